package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bench/internal/capacity"
)

// uniform is a pool of that many usable blocks of 16 tokens for a model of one kind of layer.
type uniform int

func (u uniform) UsableBlocks() int                 { return int(u) }
func (u uniform) BlocksLive(tokens int) int         { return (tokens + 15) / 16 }
func (u uniform) BlocksForAdmission(tokens int) int { return (tokens + 15) / 16 }

// handEngine is an engine whose steps the test makes by hand.
type handEngine struct {
	*engine
	clock time.Time
}

func newHandEngine(blocks, maxSeqs, budget int) *handEngine {
	e := newEngine(limits{maxSeqs: maxSeqs, maxBatchedTokens: budget}, uniform(blocks), 16, capacity.Stepper{}, newTokenizer(), newStats(4096))
	return &handEngine{engine: e, clock: time.Unix(1e9, 0)}
}

// add queues a request of that many prompt tokens, named by its order.
func (e *handEngine) add(name string, prompt, output int) *request {
	r := &request{order: name, salt: name, prompt: make([]int, prompt), promptTokens: prompt, maxTokens: output, ignoreEOS: true, out: newOutbox(), arrived: e.clock, queuedAt: e.clock}
	e.arrivals = append(e.arrivals, r)
	return r
}

// step makes one step and says what it computed: "a:100 b:1" in order of scheduling.
func (e *handEngine) step() string {
	e.clock = e.clock.Add(time.Millisecond)
	e.receive(e.clock)
	e.plan(e.clock)
	var parts []string
	for _, r := range e.running {
		if r.scheduled > 0 {
			parts = append(parts, fmt.Sprintf("%s:%d", r.order, r.scheduled))
		}
	}
	e.finish(e.clock)
	return strings.Join(parts, " ")
}

func (e *handEngine) queue() string {
	var names []string
	for _, r := range e.waiting {
		names = append(names, r.order)
	}
	return strings.Join(names, " ")
}

func (e *handEngine) expect(t *testing.T, steps ...string) {
	t.Helper()
	var got []string
	for range steps {
		got = append(got, e.step())
	}
	if !slices.Equal(got, steps) {
		t.Errorf("steps:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(steps, "\n"))
	}
}

// The budget goes to running requests first; a prompt takes what is left, in chunks.
func TestTokenBudget(t *testing.T) {
	e := newHandEngine(100, 8, 100)
	e.add("a", 60, 4)
	e.add("b", 150, 2)
	e.expect(t, "a:60 b:40", "a:1 b:99", "a:1 b:11", "a:1 b:1", "")
}

// Requests of one instant are taken in the order they name themselves, later ones after them.
func TestOrderOfArrival(t *testing.T) {
	e := newHandEngine(100, 1, 100)
	e.add("z", 1, 1)
	e.add("b", 1, 1)
	e.add("c", 1, 1)
	e.clock = e.clock.Add(time.Nanosecond)
	e.add("a", 1, 1)
	e.expect(t, "b:1", "c:1", "z:1", "a:1")
}

// A request is admitted only when its whole prompt fits, and one that does not holds up the next.
func TestAdmissionNeedsTheWholePrompt(t *testing.T) {
	e := newHandEngine(10, 8, 32)
	e.add("a", 32, 3)  // 2 blocks, a third from its second token on
	e.add("b", 140, 1) // 9 blocks: its first chunk would fit
	e.add("c", 16, 1)
	e.expect(t, "a:32", "a:1", "a:1", "b:32", "b:32", "b:32", "b:32", "b:12 c:16")
}

// Out of blocks, the youngest running request gives way, goes to the front of the queue, and nothing
// is admitted in that step. Later it is recomputed with what it had made.
func TestPreemption(t *testing.T) {
	e := newHandEngine(4, 8, 100)
	a := e.add("a", 32, 10)
	b := e.add("b", 32, 3)
	b.salt = "b"
	e.expect(t, "a:32 b:32")
	e.add("c", 16, 1)
	e.expect(t, "a:1")
	if got := e.queue(); got != "b c" || b.preempted != 1 || e.stats.preemptions != 0 || a.preempted != 0 {
		t.Errorf("queue %q after a preemption, want b before c", got)
	}
	// b's 33 tokens need 3 blocks, a holds 3 of 4: b waits, and c behind it, until a has ended.
	for range 8 {
		e.expect(t, "a:1")
	}
	// a took one of b's blocks in the meantime, the later one; the first is still cached.
	e.expect(t, "b:17 c:16", "b:1", "")
	if e.stats.preemptions != 1 {
		t.Errorf("%v preemptions are counted after the token that tells of one", e.stats.preemptions)
	}
	if len(b.output) != 3 || e.pool.used != 0 {
		t.Errorf("b made %d tokens, %d blocks are held", len(b.output), e.pool.used)
	}
}

// A lone request may fill the pool to its last block.
func TestOneRequestMayFillThePool(t *testing.T) {
	e := newHandEngine(2, 8, 100)
	e.add("a", 30, 3)
	e.expect(t, "a:30", "a:1", "a:1", "")
}

// A hit leaves at least one token to compute, in whole blocks.
func TestHitNeverCoversAWholePrompt(t *testing.T) {
	e := newHandEngine(100, 8, 100)
	for _, c := range []struct{ prompt, first, again int }{{32, 32, 16}, {33, 1, 1}, {47, 15, 15}} {
		for _, computed := range []int{c.first, c.again} {
			e.add("same", c.prompt, 1)
			e.expect(t, fmt.Sprintf("same:%d", computed))
		}
	}
}
