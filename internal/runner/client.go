package runner

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"time"

	"bench/internal/record"
)

// Bounds from which the client, not the server, may have set a test's figures.
const (
	// limitedCPU is the share of all processors from which the next token may find none free.
	limitedCPU = 0.8
	// limitedDelay is the share of the measured time that the program's threads waited for a processor.
	limitedDelay = 0.2
	// limitedLag is the lag of a waking goroutine, as a share of the mean TPOT, that shows in inter-token times.
	limitedLag = 0.25
)

// lagPeriod is how often the watch wants to wake up: twenty times a second give a mean of any repeat. At 10 ms the
// watch took a sixth of the program's own processor time at 32 streams, and so made the lag it looks for.
const lagPeriod = 50 * time.Millisecond

// watch measures how the program itself fares while repeats run.
type watch struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	wakes     int
	lag, most time.Duration
	measured  time.Duration
	began     time.Time
	cpu0      time.Duration
	cpuOK     bool
	delay0    time.Duration
	delayOK   bool
	gc0       []uint64
	cpu       time.Duration
	delay     time.Duration
	gcPauses  int
	gcMax     float64 // seconds
}

// start begins watching one repeat; end must follow.
func (w *watch) start(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(ctx)
	w.began = time.Now()
	w.cpu0, w.cpuOK = processorTime()
	w.delay0, w.delayOK = runDelay()
	w.gc0, _ = gcPauses()
	w.done.Go(func() {
		tick := time.NewTicker(lagPeriod)
		defer tick.Stop()
		next := time.Now().Add(lagPeriod)
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			late := max(0, time.Since(next))
			w.wakes++
			w.lag, w.most = w.lag+late, max(w.most, late)
			next = next.Add(lagPeriod)
			for time.Until(next) < 0 { // the ticker drops what it could not deliver
				next = next.Add(lagPeriod)
			}
		}
	})
}

func (w *watch) end() {
	w.cancel()
	w.done.Wait()
	w.measured += time.Since(w.began)
	if cpu, ok := processorTime(); ok && w.cpuOK {
		w.cpu += cpu - w.cpu0
	}
	if delay, ok := runDelay(); ok && w.delayOK {
		w.delay += max(0, delay-w.delay0) // a thread that ended takes its figure with it
	}
	now, bounds := gcPauses()
	for i := range now {
		if n := now[i] - w.gc0[i]; n > 0 {
			w.gcPauses += int(n)
			if top := bounds[i+1]; !math.IsInf(top, 0) {
				w.gcMax = max(w.gcMax, top)
			}
		}
	}
}

// load is what was seen over all repeats; nil where nothing was watched.
func (w *watch) load(tpotMS *float64) *record.ClientLoad {
	if w == nil || w.measured <= 0 {
		return nil
	}
	out := &record.ClientLoad{LagMaxMS: ms(w.most), GCPauses: w.gcPauses, GCPauseMaxMS: 1000 * w.gcMax}
	if w.wakes > 0 {
		out.LagMeanMS = ms(w.lag) / float64(w.wakes)
	}
	share := w.cpu.Seconds() / w.measured.Seconds() / float64(runtime.GOMAXPROCS(0))
	if w.cpuOK {
		out.CPUShare = &share
	}
	if w.delayOK {
		out.RunDelayMS = new(ms(w.delay))
	}
	switch {
	case w.cpuOK && share >= limitedCPU:
		out.Why = fmt.Sprintf("this program used %.0f %% of its processors", 100*share)
	case w.delayOK && w.delay.Seconds() >= limitedDelay*w.measured.Seconds():
		out.Why = fmt.Sprintf("its threads waited %.1f s for a processor in %.1f s of measuring: something else runs on this machine", w.delay.Seconds(), w.measured.Seconds())
	case tpotMS != nil && out.LagMeanMS >= limitedLag**tpotMS:
		out.Why = fmt.Sprintf("it woke up %.1f ms late on average, the mean TPOT is %.1f ms", out.LagMeanMS, *tpotMS)
	}
	out.Limited = out.Why != ""
	return out
}

// runDelay is how long all threads of this process have waited for a processor while they could run, from the
// second figure of /proc/self/task/*/schedstat; ok is false where the kernel does not tell.
func runDelay() (d time.Duration, ok bool) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, false
	}
	for _, t := range tasks {
		text, err := os.ReadFile("/proc/self/task/" + t.Name() + "/schedstat")
		if err != nil {
			continue // the thread has ended
		}
		if fields := strings.Fields(string(text)); len(fields) >= 2 {
			if ns, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				d, ok = d+time.Duration(ns), true
			}
		}
	}
	return d, ok
}

// gcPauses are the counts of the garbage collector's pauses so far, by bucket, with the buckets' bounds in seconds.
func gcPauses() (counts []uint64, bounds []float64) {
	s := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindFloat64Histogram {
		return nil, nil
	}
	h := s[0].Value.Float64Histogram()
	return h.Counts, h.Buckets
}
