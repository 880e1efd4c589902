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
	idleSMClock     = 210  // MHz
	busySMClock     = 1695 // MHz
	memoryClock     = 9501 // MHz
	ambientC        = 30.0
	fullLoadRiseC   = 45.0 // above ambient at TDP, when settled
	thermalConstant = 20 * time.Second
)

// gpus are the virtual cards of one server. All work alike, since every step runs on all of them.
type gpus struct {
	card   catalog.GPU
	count  int
	used   unit.Bytes // taken at start and never given back, as vLLM does
	core   *engine
	mu     sync.Mutex
	readAt time.Time
	worked time.Duration // up to readAt
	busy   float64       // share of the time before readAt, 0 to 1
	tempC  float64
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
		})
	}
	return out
}

// SampleGPU reads the virtual GPUs; atNS becomes the samples' stamp. Utilisation is the share of time
// since the last reading that steps were running, as a driver averages it.
func (s *Server) SampleGPU(atNS int64) []record.GPUSample {
	g := s.gpus
	now := time.Now()
	g.core.mu.Lock()
	worked := g.core.worked.until(now)
	g.core.mu.Unlock()

	g.mu.Lock()
	defer g.mu.Unlock()
	if passed := now.Sub(g.readAt); passed > 0 {
		g.busy = min(1, max(0, float64(worked-g.worked)/float64(passed)))
		power := g.power() / float64(g.card.TDPW)
		settled := ambientC + fullLoadRiseC*power
		g.tempC += (settled - g.tempC) * (1 - math.Exp(-passed.Seconds()/thermalConstant.Seconds()))
		g.readAt, g.worked = now, worked
	}
	clock := float64(idleSMClock)
	if g.busy > 0 {
		clock = busySMClock
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
			SMClockMHz:     new(clock),
			MemClockMHz:    new(float64(memoryClock)),
			TemperatureC:   new(math.Round(g.tempC)),
		})
	}
	return out
}

// power is a card's draw in watts.
func (g *gpus) power() float64 {
	tdp := float64(g.card.TDPW)
	return tdp * (idlePowerShare + (1-idlePowerShare)*g.busy)
}
