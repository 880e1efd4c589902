package analysis

import (
	"fmt"
	"slices"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
)

// Machine is what was measured, as far as it is known: what the card had to do follows from it.
type Machine struct {
	Model  catalog.Model
	GPU    catalog.GPU
	Engine capacity.Engine
	// Savings are flags that leave more memory to requests, the largest first.
	Savings []record.Saving
	// Burst is what the model of the set-up expects of n requests sent at once; nil where there is none, ok false where
	// the engine would not take them.
	Burst func(n, inputTokens, outputTokens int) (a Answer, ok bool)
}

// Bounds of the rules about the machine.
const (
	// powerShare is the share of samples at the power limit from which power is what lowers the clocks.
	powerShare = 0.5
	// heatShare is the share with clocks lowered by heat or by the supply; the trust finding has the same bound.
	heatShare = 0.05
	// networkShare of the mean TTFT must lie between the server's own TTFT and the client's, and networkMS at the
	// least: a step of the client's clock or a queue in the API process makes a few milliseconds.
	networkShare = 0.2
	networkMS    = 5.0
	// boundShare of a request's time must be accounted for by one resource before it is named.
	boundShare = 0.5
	// nearShare of the first resource's time makes a second one worth naming beside it.
	nearShare = 0.6
)

// clientBound returns evidence that this program, not the server, set a rung's figures.
func clientBound(r rung) []record.Text {
	if c := r.rec.Detail.Client; c != nil && c.Limited {
		return []record.Text{same(fmt.Sprintf("%s: %s", r.rec.TestID, c.Why))}
	}
	return nil
}

// networkBound returns evidence that first tokens spent their time between server and client.
func networkBound(r rung) []record.Text {
	s, here := r.rec.Detail.ServerDelta, r.rec.Results.AvgTTFTMS
	if s == nil || s.TTFTMS == nil || here == nil || !s.Complete {
		return nil
	}
	if between := *here - *s.TTFTMS; between >= networkMS && between >= networkShare**here {
		return []record.Text{say("%s: TTFT %s here, %s at the server", "%s: TTFT 클라이언트 %s, 서버 %s", r.rec.TestID, millis(*here), millis(*s.TTFTMS))}
	}
	return nil
}

// clocksBound returns evidence that a card's clocks were lowered for one of reasons.
func clocksBound(r rung, bound float64, reasons ...string) []record.Text {
	for _, g := range r.rec.Detail.GPU {
		for _, e := range g.ClockEvents {
			if e.Share < bound || !slices.Contains(reasons, e.Reason) {
				continue
			}
			evidence := say("%s: GPU %d %s in %s of the samples", "%s: GPU %d %s, 표본의 %s", r.rec.TestID, g.Index, e.Reason, percent(e.Share))
			if g.MaxPowerW != nil && g.PowerLimitW != nil {
				evidence = join("", evidence, say(", %.0f of %.0f W", ", 한도 %[2].0f W 중 %[1].0f W", *g.MaxPowerW, *g.PowerLimitW))
			}
			return []record.Text{evidence}
		}
	}
	return nil
}

// resource is what a request waited for: time on it, in milliseconds.
type resource struct {
	cause record.Cause
	what  record.Text
	ms    float64
}

// hardwareBound names what the card spent a rung's time on: reading weights and KV cache, or arithmetic. Both are
// computed from the model's architecture and the card's rates, and only named where one of them accounts for half of the
// measured latency; the rest is launches, the host and queueing. The doubt is in the evidence: it is computed.
func (l *ladder) hardwareBound(r rung) (record.Cause, []record.Text) {
	m, latency := l.machine, r.rec.Results.AvgTotalLatencyMS
	if m == nil || latency == nil || l.input < 1 || l.output < 1 {
		return "", nil
	}
	p, err := capacity.Predict(m.Model, m.GPU, m.Engine, capacity.Load{Kind: capacity.LoadBurst, Concurrent: int(r.n), InputTokens: l.input, OutputTokens: l.output}, nil)
	if err != nil {
		return "", nil
	}
	steps := float64(l.output - 1)
	used := []resource{
		{record.CauseMemoryBandwidth, say("reading weights and KV cache", "가중치와 KV cache 읽기"), steps * (p.Parts.WeightsMS + p.Parts.KVMS)},
		{record.CauseCompute, say("arithmetic on prompts and tokens", "프롬프트와 토큰 연산"), float64(p.Running)*p.Parts.PromptMS + steps*p.Parts.ComputeMS},
	}
	slices.SortFunc(used, func(a, b resource) int {
		if a.ms > b.ms {
			return -1
		}
		return 1
	})
	first, second := used[0], used[1]
	if first.ms < boundShare**latency {
		return "", nil
	}
	evidence := []record.Text{say("%s: computed for %s on %s, %s takes %s of a latency of %s", "%s: %s, %s 기준 계산으로 %s에 %s 소요(latency %s 중)",
		r.rec.TestID, m.Model.ID, m.GPU.Name, first.what, millis(first.ms), millis(*latency))}
	if second.ms >= nearShare*first.ms {
		evidence = append(evidence, say("%s: near it %s, %s takes %s", "%s: 다음 한계는 %s, %s에 %s 소요", r.rec.TestID, second.cause, second.what, millis(second.ms)))
	}
	return first.cause, evidence
}
