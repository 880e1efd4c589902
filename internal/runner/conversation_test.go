package runner_test

import (
	"cmp"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/runner"
	"bench/internal/sim"
)

// conversations is a test of n of them, with its turns drawn by a seed.
func conversations(users, n int, shape runner.Shape, w record.Workload, runs int, seed int64) record.Test {
	w.Conversations = n
	t := runner.WithWorkload(runner.Single(users, shape, runs, n), w)
	t.Requests = 0
	for _, turns := range runner.Turns(t, seed) {
		t.Requests += turns
	}
	return t
}

// seeded is a run of a seed.
func seeded(t *testing.T, seed int64) func(*rig) {
	return func(r *rig) {
		r.opts.Settings.Seed = seed
		var err error
		if r.opts.Prompts, err = load.NewPrompts(r.t.Context(), counter{r.client}, seed, load.Options{}); err != nil {
			t.Error(err)
		}
	}
}

// TestConversations: a turn is sent its think time after the answer before it, to the nanosecond, with all that was said, as the
// server's log has it; so many users and no more are held.
func TestConversations(t *testing.T) {
	shape := runner.Shape{InputTokens: 60, OutputTokens: 20}
	w := record.Workload{MinTurns: 2, MaxTurns: 4, TurnTokens: 25, ThinkMS: 400, ThinkRangeRatio: 0.5, RangeRatio: 0.25}
	hashes := map[string]bool{}
	for _, seed := range []int64{3, 3, 4} {
		test := conversations(3, 10, shape, w, 2, seed)
		recs, all, log := openRun(t, "", seeded(t, seed), test)
		rec, requests := recs[0], all[0]
		hashes[rec.Detail.SentSHA256] = true
		slices.SortFunc(log, func(a, b sim.LogEntry) int { return cmp.Compare(a.ArrivedNS, b.ArrivedNS) })
		log = log[len(log)-len(requests):]   // the warm-ups came before
		arrived := map[int64]*sim.LogEntry{} // by the time since the first
		for i := range log {
			arrived[log[i].ArrivedNS-log[0].ArrivedNS] = &log[i]
		}
		first := slices.MinFunc(requests, func(a, b record.Request) int { return cmp.Compare(a.SentNS, b.SentNS) }).SentNS
		thinks := map[time.Duration]bool{}
		begun := 0
		for i, r := range requests {
			if !r.Success || r.Turns < 2 || r.Turns > 4 || r.SentNS != r.ScheduledNS {
				t.Errorf("request %d: %+v", i, r)
			}
			e := arrived[r.SentNS-first]
			if r.Turn == 1 {
				begun++
				continue // several may have come at one instant
			}
			before := requests[i-1]
			think := time.Duration(r.SentNS - before.EndNS)
			thinks[think] = true
			if think < 200*time.Millisecond || think > 600*time.Millisecond || think%time.Millisecond != 0 || r.Conversation != before.Conversation || r.Turn != before.Turn+1 {
				t.Errorf("request %d is sent %v after the answer before it", i, think)
			}
			// The whole blocks of the first prompt are found at least: what follows is the text of an answer, of which a token
			// without text is no part.
			if e == nil || e.Messages != 2*r.Turn-1 || e.PromptTokens != *r.PromptTokens || e.PromptTokens <= *before.PromptTokens || e.CachedTokens < 32 {
				t.Errorf("turn %d of conversation %d: the server saw %+v", r.Turn, r.Conversation, e)
			}
		}
		if most := users(requests); begun != 20 || most != 3 || len(thinks) < 10 {
			t.Errorf("%d conversations, %d users at once, %d think times", begun, most, len(thinks))
		}
		d := rec.Detail
		if c := d.Conversations; c.Begun != 20 || c.Whole != 20 || c.NotSent != 0 || c.HistoryExact == 0 || c.HistoryExact+c.HistoryDiffers != len(requests)-20 {
			t.Errorf("%+v", c)
		}
		if rec.Trust.Verdict != record.TrustSound || d.LateSends != 0 || d.Prompt.Exact != 20 || d.Output.Exact != len(requests) {
			t.Errorf("%+v, %d late, %+v, %+v", rec.Trust, d.LateSends, d.Prompt, d.Output)
		}
		if g := d.Groups; len(g) != 4 || g[0].Requests != 20 || g[3].Name != "4" || *g[3].PromptTokens <= *g[1].PromptTokens {
			t.Errorf("%+v", g)
		}
	}
	if len(hashes) != 2 || hashes[""] {
		t.Errorf("two runs of one seed and one of another have the hashes %v", hashes)
	}
}

// TestConversationsGoOn: a repeat that was interrupted between two turns is begun anew by a resumed run, under the next attempt
// number and with questions of its own; what had ended stays on disk.
func TestConversationsGoOn(t *testing.T) {
	test := conversations(2, 6, runner.Shape{InputTokens: 40, OutputTokens: 10}, record.Workload{MinTurns: 3, MaxTurns: 3, TurnTokens: 30, ThinkMS: 1000}, 2, 1)
	dir := t.TempDir()
	run := func(change func(*rig)) (rec []record.Record, all []record.Request, err error) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, "", dir)
			change(r)
			err = runner.Run(t.Context(), r.opts, []record.Test{test})
			rec = r.records(record.ConcurrentFile)
			var failed error
			if all, failed = r.folder.ReadRequests("requests/" + test.ID + ".jsonl"); failed != nil {
				t.Error(failed)
			}
			r.close()
		})
		return rec, all, err
	}
	recs, before, err := run(func(r *rig) {
		observe := r.opts.Observe
		r.opts.Observe = func(e runner.Event) {
			observe(e)
			if e.Kind == runner.RequestDone && e.Run == 1 && e.Done == 5 {
				r.opts.Control.Interrupt()
			}
		}
	})
	if !errors.Is(err, runner.ErrInterrupted) || len(recs) != 0 || len(before) < 18+5 || len(before) >= 36 {
		t.Fatalf("%v, %d records, %d requests", err, len(recs), len(before))
	}
	recs, after, err := run(func(r *rig) { r.opts.Resume = true })
	if err != nil || len(recs) != 1 || len(after) != len(before)+18 || recs[0].Detail.Requests != 36 || recs[0].Detail.Conversations.Whole != 12 {
		t.Fatalf("%v, %d records, %d requests after %d", err, len(recs), len(after), len(before))
	}
	asked := map[int]string{}
	for _, r := range after {
		if r.Run != 1 {
			continue
		}
		if want := asked[r.Index]; want != "" && r.Attempt == 1 && want == r.PromptSHA256 {
			t.Errorf("request %d: the second attempt asks what the first did, which the cache knows", r.Index)
		}
		asked[r.Index] = r.PromptSHA256
	}
}

// users is the most conversations that were under way at one instant.
func users(requests []record.Request) int {
	type edge struct {
		at   int64
		step int
	}
	var edges []edge
	for i, r := range requests {
		if r.Turn == 1 {
			edges = append(edges, edge{r.SentNS, 1})
		}
		if i+1 == len(requests) || requests[i+1].Turn == 1 {
			edges = append(edges, edge{r.EndNS, -1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.step, b.step)) })
	now, most := 0, 0
	for _, e := range edges {
		now += e.step
		most = max(most, now)
	}
	return most
}

// TestConversationsEndWithAFailure: of a conversation whose turn failed nothing more is sent; that is counted, and the repeat is
// whole.
func TestConversationsEndWithAFailure(t *testing.T) {
	test := conversations(4, 20, runner.Shape{InputTokens: 40, OutputTokens: 5}, record.Workload{MinTurns: 4, MaxTurns: 4, TurnTokens: 30}, 1, 1)
	recs, all, _ := openRun(t, "in-band-error=0.2", seeded(t, 1), test)
	missing := 80 - len(all[0])
	if c := recs[0].Detail.Conversations; missing == 0 || c.NotSent != missing || c.Begun != 20 || c.Whole >= 20 || c.Whole == 0 || recs[0].Status != record.StatusFailure {
		t.Errorf("%d requests are missing: %+v, %s", missing, c, recs[0].Status)
	}
	for i, r := range all[0] {
		if r.Turn > 1 && !all[0][i-1].Success {
			t.Errorf("request %d was sent after a turn that failed", i)
		}
	}
}

// TestReasoning: the first thought comes when the server writes its first token, the first answer when it writes the first one
// after the reasoning, to the nanosecond; tokens without a text are none that a client could see.
func TestReasoning(t *testing.T) {
	shape := runner.Shape{InputTokens: 50, OutputTokens: 40}
	recs, all, log := openRun(t, "reasoning=0.5", seeded(t, 1), runner.OpenTest(record.Arrivals{RequestRate: 2}, shape, 1, 30, 0))
	slices.SortFunc(log, func(a, b sim.LogEntry) int { return cmp.Compare(a.ArrivedNS, b.ArrivedNS) })
	log = log[len(log)-30:]
	exact := [2]int{}
	for i, r := range all[0] {
		e := log[i]
		if e.ReasoningTokens != 20 || e.FirstAnswerWriteNS == nil || r.FirstReasoningNS == nil || r.FirstAnswerNS == nil {
			t.Fatalf("request %d: the server saw %+v", i, e)
		}
		thought, answer := *r.FirstReasoningNS-r.SentNS, *r.FirstAnswerNS-r.SentNS
		for k, late := range []int64{thought - (*e.FirstWriteNS - e.ArrivedNS), answer - (*e.FirstAnswerWriteNS - e.ArrivedNS)} {
			switch {
			case late == 0:
				exact[k]++
			case late < 0:
				t.Errorf("request %d: seen %d ns before it was written", i, -late)
			}
		}
	}
	if exact[0] < 25 || exact[1] < 25 { // two of a hundred tokens have no text
		t.Errorf("%v of 30 requests have exact times", exact)
	}
	x := recs[0].Detail.Reasoning
	if x == nil || x.Requests != 30 || x.Unanswered != 0 || x.Thought.N != 30 || x.Answer.Mean <= x.Thought.Mean || recs[0].Trust.Verdict != record.TrustSound {
		t.Errorf("%+v, %+v", x, recs[0].Trust)
	}
}
