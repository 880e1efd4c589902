package runner

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"bench/internal/clock"
	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/stats"
)

// openLoad is one repeat of an open test while it runs. It ends the load when the server does not keep up.
type openLoad struct {
	test    record.Test
	run     int
	attempt int
	whole   []time.Duration // the schedule
	due     []time.Duration // of the requests that this machine sends
	atOnce  int             // most of them in flight; 0 = no bound
	now     func() int64
	uneven  float64 // the schedule's variation, once for all: what judges holds the lock that each send takes

	mu      sync.Mutex
	startNS int64
	stop    *record.Stop
	checked int       // requests that had ended when they were judged last
	at      []float64 // readings of the server's queue since it was last empty: seconds of the schedule
	queue   []float64 // and requests waiting
}

func (r *run) openLoad(t record.Test, n, attempt int) *openLoad {
	o := &openLoad{test: t, run: n, attempt: attempt, now: r.Clock.Now, atOnce: t.Places(), whole: r.Due}
	if t.Arrivals.Trace == nil {
		o.whole = load.Schedule(*t.Arrivals, t.Requests, load.Stream(r.Settings.Seed, "arrivals", t.ID, n))
	}
	for _, i := range part(t) {
		o.due = append(o.due, o.whole[i])
	}
	o.uneven = variation(*t.Arrivals, o.whole)
	return o
}

// part is which requests of a repeat this machine sends, by index.
func part(t record.Test) []int {
	index := make([]int, 0, t.Share())
	for i := range t.Requests {
		if t.Mine(i) {
			index = append(index, i)
		}
	}
	return index
}

// send runs the load from an instant on until its schedule, the user or saturation ends it.
func (o *openLoad) send(ctx context.Context, r *run, startNS int64, send load.OpenSend) {
	o.mu.Lock()
	o.startNS = startNS
	plan := load.OpenPlan{StartNS: startNS, Due: o.due, Most: o.atOnce,
		Stopped: func() bool { return r.draining.Load() || o.stopped() != nil }}
	o.mu.Unlock()
	if !r.VirtualTime {
		plan.Nap = clock.Nap
	}
	load.Open(ctx, plan, o.now, send)
}

func (o *openLoad) stopped() *record.Stop {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stop
}

// ended judges the requests that have ended: after every tenth more, so that all looks together cost as much as ten of
// the last.
func (o *openLoad) ended(done []record.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stop != nil || len(done) < o.checked+max(minEnded/4, o.checked/10) {
		return
	}
	o.checked = len(done)
	o.end(waitingGrows(done, o.uneven))
}

// sample judges the server's queue.
func (o *openLoad) sample(s record.ServerSample) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stop != nil || o.startNS == 0 || s.AtNS < o.startNS || s.Waiting == nil {
		return
	}
	if *s.Waiting == 0 {
		o.at, o.queue = nil, nil
		return
	}
	at := time.Duration(s.AtNS - o.startNS).Seconds()
	o.at, o.queue = append(o.at, at), append(o.queue, *s.Waiting)
	offered, _ := slices.BinarySearch(o.whole, time.Duration(s.AtNS-o.startNS)+1) // by all machines: the queue is of them all
	o.end(queueGrows(o.at, o.queue, float64(offered)/at, o.uneven))
}

// end stops the load for a reason, if there is one. o.mu is held.
func (o *openLoad) end(why *record.Saturation) {
	if why == nil {
		return
	}
	atNS := o.now()
	why.Run, why.AfterS = o.run, time.Duration(atNS-o.startNS).Seconds()
	o.stop = &record.Stop{Run: o.run, Attempt: o.attempt, AtNS: atNS, Due: o.dueBy(atNS), Saturation: *why}
}

// dueBy is how many requests were due by an instant.
func (o *openLoad) dueBy(atNS int64) int {
	n, _ := slices.BinarySearch(o.due, time.Duration(atNS-o.startNS)+1)
	return n
}

// variation is the coefficient of variation of the gaps between arrivals, 1 at least: the server's own times vary too. That of
// a trace is what its gaps have.
func variation(a record.Arrivals, due []time.Duration) float64 {
	switch {
	case a.Trace != nil:
		var gaps []float64
		for i := 1; i < len(due); i++ {
			gaps = append(gaps, (due[i] - due[i-1]).Seconds())
		}
		mean, _ := stats.Mean(gaps)
		sd, ok := stats.SD(gaps)
		if !ok || mean == 0 {
			return 1
		}
		return max(1, sd/mean)
	case a.Burstiness != nil:
		return max(1, 1/math.Sqrt(*a.Burstiness))
	}
	return 1
}

// Bounds from which a server does not keep up with the rate it is offered.
const (
	// minEnded requests, minReadings readings of a queue that was never empty between them: below that a median of a
	// quarter stands on too few.
	minEnded    = 100
	minReadings = 20
	// growthShare is the part of the offered load that is left over, below which a schedule's own unevenness looks the same.
	growthShare = 0.05
	// growthFactor is how many times as much as at first must have come to wait: a queue that only fluctuates returns to
	// where it was, one that grows without bound passes any factor.
	growthFactor = 3
	// growthErrors is how many standard deviations of the number of arrivals in the stretch the growth must exceed: a
	// load is judged many times, and must not be stopped by chance.
	growthErrors = 5
	// growthSpan is the least time over which times to a first token must have grown, in multiples of how long the first
	// requests took from end to end: the requests in flight grow in any load until the first have ended.
	growthSpan = 4
)

// growth is how something grew over a stretch of time.
type growth struct{ early, late, perSec, span float64 }

// growing says how values grow that rise from quarter to quarter of their time, and not ever more slowly; at is in
// seconds.
func growing(at, values []float64) (g growth, ok bool) {
	var middle, level [4]float64
	for q := range 4 {
		from, to := q*len(at)/4, (q+1)*len(at)/4
		middle[q], level[q] = median(at[from:to]), median(values[from:to])
	}
	slope := func(a, b int) float64 { return (level[b] - level[a]) / (middle[b] - middle[a]) }
	g = growth{early: level[0], late: level[3], perSec: slope(1, 3), span: middle[3] - middle[0]}
	rising := slope(0, 1) > 0 && slope(1, 2) > 0 && slope(2, 3) > 0
	return g, rising && slope(2, 3) >= slope(0, 1)/2 && g.late >= growthFactor*g.early && !math.IsInf(g.perSec, 0)
}

func median(xs []float64) float64 {
	m, _ := stats.Quantile(xs, 0.5)
	return m
}

// queueGrows judges the requests that wait at the server, in a stretch in which some always did; rate is how many are
// offered a second.
func queueGrows(at, waiting []float64, rate, variation float64) *record.Saturation {
	if len(at) < minReadings {
		return nil
	}
	g, ok := growing(at, waiting)
	if !ok || g.perSec < growthShare*rate || g.late-g.early < growthErrors*variation*math.Sqrt(rate*g.span) {
		return nil
	}
	return &record.Saturation{Seen: record.SeenQueue, Early: g.early, Late: g.late, GrowthPerSec: g.perSec}
}

// waitingGrows judges how long requests waited for their first token from the instant they were due, in the order in which
// they were due. Where more is offered than is taken each waits longer than the one before. One that failed without a
// token waited at least until it failed. All requests are judged, then the later half, and so on: the rate may rise.
func waitingGrows(done []record.Request, variation float64) *record.Saturation {
	if len(done) < minEnded {
		return nil
	}
	done = slices.Clone(done)
	slices.SortFunc(done, func(a, b record.Request) int { return a.Index - b.Index })
	took := math.Inf(1) // from end to end, the fastest of the first
	for _, r := range done[:len(done)/4] {
		took = min(took, time.Duration(r.EndNS-r.SentNS).Seconds())
	}
	for part := done; len(part) >= minEnded; part = part[len(part)/2:] {
		at, wait := make([]float64, len(part)), make([]float64, len(part))
		for i := range part {
			d, ok := part[i].DueTTFT()
			if !ok {
				d = time.Duration(part[i].EndNS - part[i].ScheduledNS)
			}
			d -= max(0, late(part[i])) // which is the client's doing
			at[i], wait[i] = time.Duration(part[i].ScheduledNS).Seconds(), d.Seconds()
		}
		g, ok := growing(at, wait)
		arrivals := float64(part[len(part)-1].Index - part[0].Index + 1)
		if ok && g.perSec >= growthShare && g.span >= growthSpan*took && g.late-g.early >= growthErrors*variation*g.span/math.Sqrt(arrivals) {
			return &record.Saturation{Seen: record.SeenWaiting, Early: 1000 * g.early, Late: 1000 * g.late, GrowthPerSec: 1000 * g.perSec}
		}
	}
	return nil
}

// describeStop says in a line that the server did not keep up.
func describeStop(s record.Stop) string {
	x := s.Saturation
	grew := fmt.Sprintf("requests waited %.1f s for their first token, at first %.1f s, and each second added %.2f s", x.Late/1e3, x.Early/1e3, x.GrowthPerSec/1e3)
	if x.Seen == record.SeenQueue {
		grew = fmt.Sprintf("%.0f requests waited at the server, at first %.0f, and each second added %.1f", x.Late, x.Early, x.GrowthPerSec)
	}
	return fmt.Sprintf("over-saturated: after %.0f s %s; the load was stopped, %d requests in flight ended", x.AfterS, grew, x.InFlight)
}
