package sim

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bench/internal/capacity"
)

// crowdedServer is the address of a real vLLM 0.32 on a CPU whose pool has too few blocks for its 8 slots.
const crowdedServer = "BENCH_E2E_CROWDED"

// tinyLayout is how that server divides its pool: blocks of 128 tokens as CPUs have them, and of the tiny model's six
// layers one that sees everything and five with a window of 512, each a group of its own.
type tinyLayout int // blocks

const (
	tinyBlock, tinyWindow, tinySliding = 128, 512, 5
	tinyBudget                         = 2048 // tokens of a step, and as many in flight
)

func (l tinyLayout) UsableBlocks() int { return int(l) - 1 }

func (l tinyLayout) BlocksLive(tokens int) int {
	all := (tokens + tinyBlock - 1) / tinyBlock
	return all + tinySliding*min(all, tinyWindow/tinyBlock+1)
}

func (l tinyLayout) BlocksForAdmission(tokens int) int {
	all := (tokens + tinyBlock - 1) / tinyBlock
	return all + tinySliding*min(all, (min(tinyWindow-1+tinyBudget, tokens)+tinyBlock-1)/tinyBlock+1)
}

// moment is what the gauges and counters of a server say at one time.
type moment struct{ generated, running, waiting, usage, preemptions float64 }

var gauges = regexp.MustCompile(`(?m)^vllm:(generation_tokens_total|num_requests_running|num_requests_waiting|kv_cache_usage_perc|num_preemptions_total)\{.*\} (\S+)$`)

func momentOf(text string) (m moment) {
	for _, g := range gauges.FindAllStringSubmatch(text, -1) {
		v, _ := strconv.ParseFloat(g[2], 64)
		*map[string]*float64{"generation_tokens_total": &m.generated, "num_requests_running": &m.running, "num_requests_waiting": &m.waiting,
			"kv_cache_usage_perc": &m.usage, "num_preemptions_total": &m.preemptions}[g[1]] = v
	}
	return m
}

// TestSchedulerFollowsARealOne gives a real vLLM and the simulator's scheduler one burst of requests and compares what
// runs, waits and is preempted by how many tokens have been made, so that the speed of a CPU is no matter.
func TestSchedulerFollowsARealOne(t *testing.T) {
	url := os.Getenv(crowdedServer)
	if url == "" {
		t.Skip("make e2e starts a real vLLM with few blocks and names it in " + crowdedServer)
	}
	const requests, prompt, output, slots = 16, 200, 200, 8
	scrape := func() (moment, string) {
		resp, err := http.Get(url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return momentOf(string(text)), string(text)
	}
	defer http.DefaultClient.CloseIdleConnections()
	before, text := scrape()
	blocks, err := strconv.Atoi(regexp.MustCompile(`num_gpu_blocks="(\d+)"`).FindStringSubmatch(text)[1])
	if err != nil {
		t.Fatal(err)
	}

	// The simulator's, step by step.
	e := newEngine(limits{maxSeqs: slots, maxBatchedTokens: tinyBudget}, tinyLayout(blocks), tinyBlock, capacity.Stepper{}, newTokenizer(), newStats(4096))
	h := &handEngine{engine: e, clock: time.Unix(1e9, 0)}
	var simulated []moment
	step := func() {
		h.clock = h.clock.Add(time.Millisecond)
		h.receive(h.clock)
		h.plan(h.clock)
		h.endStep(h.clock)
		simulated = append(simulated, moment{h.stats.generationTokens, float64(len(h.running)), float64(len(h.waiting)), h.pool.usage(), h.stats.preemptions})
	}
	for i := range requests {
		r := h.add(fmt.Sprintf("%02d", i), prompt, output)
		r.seed = uint64(i)
		if i == 0 {
			step() // the first one finds an idle engine, and the others that at work
		}
	}
	for h.inFlight() > 0 {
		step()
	}

	var sending sync.WaitGroup
	for i := range requests {
		sending.Go(func() {
			ids := make([]string, prompt)
			for j := range ids {
				ids[j] = strconv.Itoa(300 + (i*97+j*31)%1500)
			}
			resp, err := http.Post(url+"/v1/completions", "application/json",
				strings.NewReader(fmt.Sprintf(`{"prompt":[%s],"max_tokens":%d,"ignore_eos":true,"cache_salt":"%d-%d"}`, strings.Join(ids, ","), output, i, time.Now().UnixNano())))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
		})
	}
	over := make(chan struct{})
	go func() { sending.Wait(); close(over) }()
	var real []moment
	for done := false; !done; {
		select {
		case <-over:
			done = true
		case <-time.After(20 * time.Millisecond):
		}
		m, _ := scrape()
		m.generated -= before.generated
		m.preemptions -= before.preemptions
		real = append(real, m)
	}

	// How much of the burst the first step sees is chance, and shifts what follows by a step: 97 samples of 100 still agreed
	// where this test assumed another first step than the server had, 99 else, and preemptions were one off.
	const agreeing, preemptions = 0.9, 1
	agree := 0
	for _, m := range real {
		s := at(simulated, m.generated)
		if m.running == s.running && m.waiting == s.waiting && math.Abs(m.usage-s.usage) < 0.01 {
			agree++
		} else {
			t.Logf("a real vLLM %+v, the simulator %+v", m, s)
		}
	}
	last, want := simulated[len(simulated)-1], real[len(real)-1]
	t.Logf("%d of %d samples agree; %v preemptions, simulated %v", agree, len(real), want.preemptions, last.preemptions)
	const fewest = 25 // a busy machine scrapes rarely: 48 were seen where an idle one has 300
	if float64(agree) < agreeing*float64(len(real)) || len(real) < fewest {
		t.Errorf("only %d of %d samples agree", agree, len(real))
	}
	if math.Abs(last.preemptions-want.preemptions) > preemptions || last.generated != want.generated {
		t.Errorf("in the end %+v, simulated %+v", want, last)
	}
}

// at is what the simulator's scheduler shows when so many tokens have been made.
func at(list []moment, generated float64) moment {
	for _, m := range list {
		if m.generated >= generated {
			return m
		}
	}
	return list[len(list)-1]
}
