package analysis

import (
	"slices"
	"strings"

	"bench/internal/record"
)

// plannedGPU is the card the plan's expectations are about.
const plannedGPU = "3090"

// expectations holds the plan's own figures (its section 6.1: stable at 2–4 requests, at most 6–8
// with short contexts, run at 4 or fewer) against the ladder of the shortest prompts.
func expectations(in Input, ladders []*ladder, judged []record.Ladder) []record.Expectation {
	out := []record.Expectation{
		{Name: "stable", ExpectedLow: new(2.0), ExpectedHigh: 4},
		{Name: "maximum", ExpectedLow: new(6.0), ExpectedHigh: 8},
		{Name: "recommended", ExpectedHigh: 4},
	}
	notes := []record.Text{
		say("highest tested with every request within 2 × baseline, none queued or preempted",
			"모든 요청이 baseline의 2배 이내이고 대기나 선점이 없었던 최대 동시 요청 수"),
		say("highest tested with every request answered in under 60 s and the KV cache not full",
			"모든 요청이 60초 안에 응답하고 KV cache가 가득 차지 않은 최대 동시 요청 수"),
		say("the recommended concurrency of the limits table", "한계 표의 권장 동시 요청 수"),
	}
	elsewhere := whereMeasured(in)
	first := slices.IndexFunc(ladders, func(l *ladder) bool { return l.workload == record.Workload{} }) // the plan knows no other
	for i := range out {
		e := &out[i]
		e.Verdict = record.ExpectedUnmeasured
		if first >= 0 {
			l := ladders[first]
			switch e.Name {
			case "stable":
				if l.base != nil {
					e.Measured = l.highestWith(func(r rung) bool { return l.unstable(r).En == "" })
				}
			case "maximum":
				e.Measured = l.highestWith(func(r rung) bool { return failing(r).En == "" && kvFull(r) == nil })
			case "recommended":
				e.Measured = judged[first].Recommended.Concurrent
			}
			e.AtLeast = e.Measured != nil && *e.Measured >= l.highest()
			e.Verdict = against(*e)
		}
		note := join("; ", notes[i], elsewhere)
		e.Note, e.NoteKO = note.En, note.Ko
	}
	return out
}

// against says how what was measured compares with what was expected.
func against(e record.Expectation) string {
	switch {
	case e.Measured == nil:
		return record.ExpectedUnmeasured
	case *e.Measured > e.ExpectedHigh:
		return record.ExpectedHigher
	case e.ExpectedLow != nil && *e.Measured < *e.ExpectedLow:
		if e.AtLeast {
			return record.ExpectedUnmeasured // the ladder ends below what was expected
		}
		return record.ExpectedLower
	}
	return record.ExpectedAsMeasured
}

// highestWith is the concurrency of the highest rung that holds, or nil.
func (l *ladder) highestWith(holds func(rung) bool) *float64 {
	for _, r := range slices.Backward(l.rungs) {
		if holds(r) {
			return new(r.n)
		}
	}
	return nil
}

// whereMeasured says on what else than the plan's card the figures were measured.
func whereMeasured(in Input) record.Text {
	switch {
	case in.Run.Simulation != nil:
		return say("simulated on %s", "%s 시뮬레이션 결과", in.Run.Simulation.GPU)
	case simulated(in):
		return say("simulated", "시뮬레이션 결과")
	case len(in.Run.GPUs) == 0:
		return say("the plan speaks of an RTX 3090; which GPU served this is not known", "계획은 RTX 3090 기준이며, 이 측정에 쓰인 GPU는 알 수 없음")
	case !strings.Contains(in.Run.GPUs[0].Name, plannedGPU):
		return say("the plan speaks of an RTX 3090; measured on %s", "계획은 RTX 3090 기준이며, 측정은 %s에서 수행", in.Run.GPUs[0].Name)
	}
	return record.Text{}
}
