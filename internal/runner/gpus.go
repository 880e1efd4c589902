package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"bench/internal/clock"
	"bench/internal/record"
)

// gpuLimit is how long one reading of the GPUs may take. A driver that is awake, as under a running
// server it is, answers within milliseconds and nvidia-smi within a fraction of a second: one that needs
// longer than this hangs, and the rest of the test goes on without it.
const gpuLimit = 2 * time.Second

// processPeriod is how often the processes on the GPUs are listed: one that comes and goes in between
// could not load its model's weights in that time.
const processPeriod = 5 * time.Second

// gpuSampling reads the GPUs during one test, off the measuring path. A reading that fails is a gap in
// the log, never an error of the test; a log that cannot be written is.
type gpuSampling struct {
	source Sampler
	clock  *clock.Clock
	log    *record.SampleLog[record.GPUSample]
	name   string // of the log
	event  func(Event)
	pace   pace
	turn   turn // one reading at a time, so that stamps stay in order

	mu        sync.Mutex // guards what follows
	instants  int
	failed    int
	failure   string // of the first reading that failed
	abandoned bool   // a reading took longer than gpuLimit
	silent    bool   // so did a listing of processes
	util      float64
	processes map[processKey]record.GPUProcessSeen
	told      bool  // the driver told of processes at least once
	err       error // of the log
}

type processKey struct {
	gpu, pid int
	name     string
}

func newGPUSampling(r *run, requests string, event func(Event)) *gpuSampling {
	g := &gpuSampling{source: r.GPUs, clock: r.Clock, event: event, turn: newTurn(), processes: map[processKey]record.GPUProcessSeen{}}
	g.log, g.name = r.Folder.NewGPULog(requests, r.GPUInfo)
	return g
}

// sample reads every GPU once.
func (g *gpuSampling) sample(ctx context.Context) {
	if !g.turn.take(ctx) {
		return
	}
	defer g.turn.pass()
	if g.over(&g.abandoned) {
		return
	}
	limited, cancel := context.WithTimeout(ctx, gpuLimit)
	defer cancel()
	samples, err := g.source.Sample(limited, g.clock.Now())
	if ctx.Err() != nil {
		return
	}
	g.keep(samples, err, limited.Err() != nil)
	if err == nil {
		g.event(Event{Kind: GPUSampled, GPUs: samples})
	}
}

// keep notes one reading, or that it failed; late says that it took too long.
func (g *gpuSampling) keep(samples []record.GPUSample, err error, late bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.util = 0
	if err != nil {
		g.failed++
		g.failure = cmp.Or(g.failure, err.Error())
		g.abandoned = late
		return
	}
	for _, s := range samples {
		if s.GPUUtil != nil {
			g.util = max(g.util, *s.GPUUtil)
		}
	}
	g.instants++
	g.err = errors.Join(g.err, g.log.Append(samples...))
}

// over says whether something was given up for the rest of the test.
func (g *gpuSampling) over(what *bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return *what
}

// list notes which processes are on the GPUs, where the source can say. A list that fails is not there.
func (g *gpuSampling) list(ctx context.Context) {
	lister, ok := g.source.(ProcessLister)
	if !ok || g.over(&g.silent) {
		return
	}
	limited, cancel := context.WithTimeout(ctx, gpuLimit)
	defer cancel()
	at := g.clock.Now()
	byGPU, err := lister.Processes(limited)
	if ctx.Err() != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.silent = limited.Err() != nil
		return
	}
	for gpu, processes := range byGPU {
		g.told = true
		for _, p := range processes {
			key := processKey{gpu, p.PID, p.Name}
			seen, again := g.processes[key]
			if !again {
				seen = record.GPUProcessSeen{GPUIndex: gpu, PID: p.PID, Name: p.Name, FirstNS: at}
			}
			highest(&seen.MemoryMiB, p.MemoryMiB)
			seen.LastNS = at
			if p.Server != nil {
				seen.Server = p.Server
			}
			g.processes[key] = seen
		}
	}
}

// flush hands over what is known about the test so far.
func (g *gpuSampling) flush(ctx context.Context, sum *summary, folder *record.Folder) (err error) {
	g.list(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return g.err
	}
	meanMS, maxMS, missed := g.pace.lateness()
	sum.gpuSampling = &record.GPUSampling{IntervalMS: ms(g.source.Period()), Samples: g.instants, MeanLateMS: meanMS, MaxLateMS: maxMS,
		Missed: missed + g.failed, Failure: g.failure, Abandoned: g.abandoned}
	if g.told {
		sum.gpuProcesses = []record.GPUProcessSeen{}
		for _, p := range g.processes {
			sum.gpuProcesses = append(sum.gpuProcesses, p)
		}
		slices.SortFunc(sum.gpuProcesses, func(a, b record.GPUProcessSeen) int {
			return cmp.Or(a.GPUIndex-b.GPUIndex, cmp.Compare(a.FirstNS, b.FirstNS), a.PID-b.PID)
		})
	}
	if g.instants > 0 {
		sum.files.MemoryLog = g.name
		sum.gpu, err = folder.ReadGPUSamples(g.name)
	}
	return err
}

// lastUtil is the utilisation of the busiest GPU in the last reading, in percent.
func (g *gpuSampling) lastUtil() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.util
}

// close ends the log; nothing reads the GPUs any more.
func (g *gpuSampling) close() error { return errors.Join(g.err, g.log.Close()) }

// note says why samples are missing, "" where none is.
func (g *gpuSampling) note() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.abandoned:
		return "the GPUs were not read to the end of the test: " + g.failure
	case g.failure != "":
		return fmt.Sprintf("%d readings of the GPUs failed: %s", g.failed, g.failure)
	}
	return ""
}

// gpuPeaks are the extremes of each GPU over the test, and what lowered its clocks during the repeats.
func (s *summary) gpuPeaks() []record.GPUPeak {
	var out []record.GPUPeak
	for _, g := range s.gpuInfo {
		peak := record.GPUPeak{Index: g.Index, UUID: g.UUID, Name: g.Name}
		seen := false
		var ecc []float64
		var busy []record.GPUSample
		for _, x := range s.gpu {
			if x.Index != g.Index {
				continue
			}
			seen = true
			highest(&peak.PeakMemoryMiB, x.MemoryUsedMiB)
			highest(&peak.MaxUtil, x.GPUUtil)
			highest(&peak.MaxMemoryUtil, x.MemoryUtil)
			highest(&peak.MaxPowerW, x.PowerW)
			highest(&peak.PowerLimitW, x.PowerLimitW)
			highest(&peak.MaxTempC, x.TemperatureC)
			highest(&peak.MaxSMClockMHz, x.SMClockMHz)
			if x.ECCUncorrected != nil {
				ecc = append(ecc, *x.ECCUncorrected)
			}
			if x.XID != nil {
				peak.XIDs = append(peak.XIDs, int(*x.XID))
			}
			if s.measuredAt(x.AtNS) {
				busy = append(busy, x)
			}
		}
		if !seen {
			continue
		}
		if len(ecc) > 0 {
			peak.ECCUncorrected = new(max(0, ecc[len(ecc)-1]-ecc[0])) // a reset of the GPU begins it anew
		}
		if peak.XIDs == nil && !slices.ContainsFunc(g.Absent, func(a record.AbsentColumn) bool { return a.Column == "xid" }) {
			peak.XIDs = []int{}
		}
		peak.MeanSMClockMHz, peak.ClockEvents = clocks(busy)
		out = append(out, peak)
	}
	return out
}

// measuredAt says whether an instant lies in one of the repeats.
func (s *summary) measuredAt(atNS int64) bool {
	for _, rs := range s.repeats {
		if len(rs) == 0 {
			continue
		}
		if start, end := window(rs); start <= atNS && atNS <= end {
			return true
		}
	}
	return false
}

// clocks are the mean SM clock and the share of samples with each reason for lowered clocks; nil where
// no sample tells.
func clocks(samples []record.GPUSample) (meanMHz *float64, events []record.ClockEventShare) {
	var mhz []float64
	told := 0
	count := map[string]int{}
	for _, x := range samples {
		if x.SMClockMHz != nil {
			mhz = append(mhz, *x.SMClockMHz)
		}
		if x.ClockEvents == nil {
			continue
		}
		told++
		for _, name := range record.ClockEvents(*x.ClockEvents).Names() {
			count[name]++
		}
	}
	if told > 0 {
		events = []record.ClockEventShare{}
	}
	for _, name := range record.ClockEvents(^uint64(0)).Names() {
		if n := count[name]; n > 0 {
			events = append(events, record.ClockEventShare{Reason: name, Share: float64(n) / float64(told)})
		}
	}
	return mean(mhz), events
}
