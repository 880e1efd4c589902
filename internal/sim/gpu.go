package sim

import (
	"fmt"
	"math"
	"sync"
	"time"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
	"bench/internal/unit"
)

// Behaviour of a virtual card. The catalogue knows each card's power limit but no clocks and no
// cooler, so these are one typical card's, scaled by nothing: they show load, not a product.
const (
	idlePowerShare  = 0.1  // of TDP
	busyPowerShare  = 0.85 // of TDP: decoding waits for memory, which leaves a card below its limit
	idleSMClock     = 210  // MHz
	busySMClock     = 1695 // MHz
	memoryClock     = 9501 // MHz
	ambientC        = 30.0
	fullLoadRiseC   = 45.0 // above ambient at TDP, when settled
	thermalConstant = 20 * time.Second

	// throttleSlowdown is by how much a throttled card's clocks fall and its steps grow: a thermal slowdown of the
	// hardware halves the clocks or more.
	throttleSlowdown = 2
	throttledC       = 95 // degrees, where cards begin to slow down
)

// throttleReasons are what a throttled card says of itself.
const throttleReasons = record.ClockHWSlowdown | record.ClockHWThermalSlowdown

// notSimulated are the columns of the memory log that virtual cards do not have.
var notSimulated = [...]string{"memory_util_percent", "ecc_uncorrected", "xid", "pcie_tx_kb_per_s", "pcie_rx_kb_per_s"}

// gpus are the virtual cards of one server. All work alike, since every step runs on all of them.
type gpus struct {
	card      catalog.GPU
	count     int
	used      unit.Bytes // taken at start and never given back, as vLLM does
	core      *engine
	mu        sync.Mutex // guards what follows
	readAt    time.Time
	worked    time.Duration // up to readAt
	busy      float64       // share of the time before readAt, 0 to 1
	tempC     float64
	energyJ   float64 // of one card, up to readAt
	throttled bool    // in the step at readAt
}

func newGPUs(card catalog.GPU, count int, mem capacity.Memory, core *engine) *gpus {
	pool := unit.Bytes(mem.Blocks) * mem.BlockBytes
	return &gpus{
		card:   card,
		count:  count,
		used:   mem.Weights + mem.Activation + mem.NonTorch + mem.CUDAGraph + pool,
		core:   core,
		readAt: time.Now(),
		tempC:  ambientC,
	}
}

// totalMiB is the memory NVML reports of the card.
func (g *gpus) totalMiB() float64 {
	if g.card.MemoryNVMLMiB > 0 {
		return float64(g.card.MemoryNVMLMiB)
	}
	return math.Round(g.card.MemoryTorchGiB * 1024)
}

// GPUs are the virtual GPUs the simulated server uses.
func (s *Server) GPUs() []record.GPUInfo {
	g := s.gpus
	var absent []record.AbsentColumn
	for _, column := range notSimulated {
		absent = append(absent, record.AbsentColumn{Column: column, Reason: "not simulated"})
	}
	var out []record.GPUInfo
	for i := range g.count {
		out = append(out, record.GPUInfo{
			Index:          i,
			UUID:           fmt.Sprintf("GPU-simulated-%s-%d", g.card.Slug, i),
			Name:           g.card.Name,
			MemoryTotalMiB: new(g.totalMiB()),
			MemoryUsedMiB:  new(g.used.MiB()),
			ComputeCap:     fmt.Sprintf("%.1f", g.card.ComputeCapability),
			PowerLimitW:    new(float64(g.card.TDPW)),
			Source:         "simulated",
			Absent:         absent,
		})
	}
	return out
}

// GPUProcesses are the processes on the virtual GPUs, by index: the server's own.
func (s *Server) GPUProcesses() map[int][]record.GPUProcess {
	byGPU := map[int][]record.GPUProcess{}
	for i := range s.gpus.count {
		byGPU[i] = []record.GPUProcess{{PID: i + 1, Name: "simulated vLLM", MemoryMiB: new(s.gpus.used.MiB()), Server: new(true)}}
	}
	return byGPU
}

// SampleGPU reads the virtual GPUs; atNS becomes the samples' stamp. Utilisation is the share of time
// since the last reading that steps were running, as a driver averages it.
func (s *Server) SampleGPU(atNS int64) []record.GPUSample {
	g := s.gpus
	g.advance(time.Now())
	g.mu.Lock()
	defer g.mu.Unlock()
	clock, events, temp := float64(busySMClock), record.ClockEvents(0), g.tempC
	if g.throttled {
		clock, events, temp = busySMClock/throttleSlowdown, throttleReasons, throttledC
	}
	if g.busy == 0 {
		clock, events = idleSMClock, record.ClockGPUIdle
	}
	var out []record.GPUSample
	for i := range g.count {
		out = append(out, record.GPUSample{
			AtNS:           atNS,
			Index:          i,
			MemoryUsedMiB:  new(g.used.MiB()),
			MemoryTotalMiB: new(g.totalMiB()),
			GPUUtil:        new(math.Round(100 * g.busy)),
			PowerW:         new(g.power()),
			PowerLimitW:    new(float64(g.card.TDPW)),
			EnergyJ:        new(g.energyJ),
			SMClockMHz:     new(clock),
			MemClockMHz:    new(float64(memoryClock)),
			TemperatureC:   new(math.Round(temp)),
			ClockEvents:    new(float64(events)),
		})
	}
	return out
}

// advance brings the cards to now.
func (g *gpus) advance(now time.Time) {
	g.core.mu.Lock()
	worked, hot := g.core.worked.until(now), g.core.hot
	g.core.mu.Unlock()

	g.mu.Lock()
	defer g.mu.Unlock()
	passed := now.Sub(g.readAt)
	if passed <= 0 {
		return
	}
	g.throttled = hot
	g.busy = min(1, max(0, float64(worked-g.worked)/float64(passed)))
	g.energyJ += g.power() * passed.Seconds() // power is even over the interval as busy is its share
	settled := ambientC + fullLoadRiseC*g.power()/float64(g.card.TDPW)
	g.tempC += (settled - g.tempC) * (1 - math.Exp(-passed.Seconds()/thermalConstant.Seconds()))
	g.readAt, g.worked = now, worked
}

// power is a card's draw in watts, averaged over the time before readAt.
func (g *gpus) power() float64 {
	busy := busyPowerShare - idlePowerShare
	if g.throttled {
		busy /= throttleSlowdown
	}
	return float64(g.card.TDPW) * (idlePowerShare + busy*g.busy)
}
