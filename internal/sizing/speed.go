package sizing

import (
	"cmp"
	"time"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
	"bench/internal/unit"
)

// loads are the kinds of load a demand may name.
var loads = map[string]capacity.LoadKind{
	capacity.LoadClosed.String(): capacity.LoadClosed,
	capacity.LoadBurst.String():  capacity.LoadBurst,
}

// predict adds how fast the set-up serves the demand, each replica its share; it leaves the speed out
// where the engine does not start.
func (c *candidate) predict(req Request, perReplica int) {
	load := capacity.Load{Kind: loads[req.Demand.Load], Concurrent: perReplica,
		InputTokens: max(req.Demand.InputTokens, 1), OutputTokens: max(req.Demand.OutputTokens, 1)}
	var scale *capacity.Calibration
	if req.Measured != nil {
		scale = &req.Measured.Factors
	}
	p, err := capacity.Predict(req.Model, c.gpu, c.engine, load, scale)
	if err != nil {
		return
	}
	// The last replica may carry less than the others: the rate is that of the demand, not of full replicas.
	share := float64(req.Demand.Concurrent) / float64(perReplica)
	c.setup.Speed = &record.Speed{
		TTFTMS: p.TTFTMS.Value, TTFTMSLow: p.TTFTMS.Low, TTFTMSHigh: p.TTFTMS.High,
		TPOTMS: p.TPOTMS.Value, TPOTMSLow: p.TPOTMS.Low, TPOTMSHigh: p.TPOTMS.High,
		LatencyMS: p.LatencyMS.Value, LatencyMSLow: p.LatencyMS.Low, LatencyMSHigh: p.LatencyMS.High,
		OutputTokensPerSec: share * p.OutputTokensPerSec.Value, OutputTokensPerSecLow: share * p.OutputTokensPerSec.Low,
		OutputTokensPerSecHigh: share * p.OutputTokensPerSec.High,
		Running:                p.Running, Bound: p.Bound, Measured: p.Measured, Basis: p.Basis, Caveats: p.Caveats,
	}
}

// limit is one bound of the demand beside what is predicted.
type limit struct {
	name                string
	bound               float64 // ms
	expected, low, high float64
}

// limits are those the demand names, against a predicted speed.
func limits(d record.Demand, s *record.Speed) []limit {
	var out []limit
	for _, l := range []limit{
		{"TTFT", d.MaxTTFTMS, s.TTFTMS, s.TTFTMSLow, s.TTFTMSHigh},
		{"TPOT", d.MaxTPOTMS, s.TPOTMS, s.TPOTMSLow, s.TPOTMSHigh},
		{"latency", d.MaxLatencyMS, s.LatencyMS, s.LatencyMSLow, s.LatencyMSHigh},
	} {
		if l.bound > 0 {
			out = append(out, l)
		}
	}
	return out
}

// missed says whether a limit is missed by what is expected.
func (l limit) missed() bool { return l.expected > l.bound }

// close says whether the limit lies where four of five measurements lie: either may come true.
func (l limit) close() bool { return l.low <= l.bound && l.bound < l.high }

// tooSlow says whether the set-up is expected to miss a limit of the demand.
func (c candidate) tooSlow(d record.Demand) bool {
	if c.setup.Speed == nil {
		return false
	}
	for _, l := range limits(d, c.setup.Speed) {
		if l.missed() {
			return true
		}
	}
	return false
}

// qualifies says whether the set-up carries the demand in memory and in time.
func (c candidate) qualifies() bool { return c.setup.Fits && c.setup.Verdict != record.VerdictTooSlow }

// caveatsInKorean says what [capacity.SpeedCaveats] says; the package that knows them has one language.
var caveatsInKorean = map[string]string{
	"NVFP4 was not measured": "NVFP4는 측정된 적이 없음",
	"tensor parallel on GeForce cards was measured with old engines (V0) only; how fast they exchange data depends on the mainboard": "GeForce 카드의 tensor parallel은 예전 엔진(V0)에서만 측정되었으며, 카드 사이의 통신 속도는 메인보드에 따라 다름",
	"tensor parallel above 8 was not measured":                                   "8을 넘는 tensor parallel은 측정된 적이 없음",
	"pipeline parallel was not measured":                                         "pipeline parallel은 측정된 적이 없음",
	"the cost of --enforce-eager was not measured; decoding is slower than this": "--enforce-eager의 비용은 측정된 적이 없으며, 디코딩은 이보다 느림",
	"float32 was not measured":                                                   "float32는 측정된 적이 없음",
	"mixture of experts was not measured above 64 requests in flight":            "MoE는 동시 요청 64개를 넘는 범위에서 측정된 적이 없음",
	"linear-attention layers were not measured":                                  "linear attention 레이어는 측정된 적이 없음",
}

// speedReasons say how fast the set-up is, what bounds it, and how sure that is.
func speedReasons(d record.Demand, s *record.Speed) []record.Text {
	if s == nil {
		return nil
	}
	var out []record.Text
	for _, l := range limits(d, s) {
		switch {
		case l.missed() && l.close():
			out = append(out, say("%[1]s is expected at %[2]s, above the limit of %[3]s, which may still be met (%[4]s to %[5]s)",
				"%[1]s 예상 %[2]s로 한도 %[3]s를 넘지만 만족할 가능성도 있음 (%[4]s~%[5]s)",
				l.name, duration(l.expected), duration(l.bound), duration(l.low), duration(l.high)))
		case l.missed():
			out = append(out, say("%[1]s is expected at %[2]s, above the limit of %[3]s", "%[1]s 예상 %[2]s로 한도 %[3]s를 넘음",
				l.name, duration(l.expected), duration(l.bound)))
		case l.close():
			out = append(out, say("%[1]s is expected at %[2]s, below the limit of %[3]s, which may be missed (up to %[4]s)",
				"%[1]s 예상 %[2]s로 한도 %[3]s 이내지만 넘을 수도 있음 (최대 %[4]s)",
				l.name, duration(l.expected), duration(l.bound), duration(l.high)))
		}
	}
	out = append(out, boundText(s.Bound))
	if !s.Measured {
		out = append(out, say("unmeasured: no published measurement covers this card with weights of this width; the bounds are those of %[1]s",
			"미측정: 이 카드와 가중치 폭에 대한 공개 측정값이 없어 오차 범위는 다음 자료를 따름: %[1]s", s.Basis))
	}
	for _, caveat := range s.Caveats {
		out = append(out, record.Text{En: caveat, Ko: cmp.Or(caveatsInKorean[caveat], caveat)})
	}
	return out
}

// boundText says what takes most of a decode step.
func boundText(bound string) record.Text {
	switch bound {
	case capacity.BoundCompute:
		return say("decoding is bound by compute", "디코딩은 연산 성능에 의해 제한됨")
	case capacity.BoundHost:
		return say("decoding is bound by the host, not by the card", "디코딩은 카드가 아니라 호스트(CPU)에 의해 제한됨")
	case capacity.BoundInterconnect:
		return say("decoding is bound by what the cards exchange", "디코딩은 카드 간 통신에 의해 제한됨")
	}
	return say("decoding is bound by memory bandwidth", "디코딩은 메모리 대역폭에 의해 제한됨")
}

// duration prints milliseconds.
func duration(ms float64) string { return unit.Millis(time.Duration(ms * float64(time.Millisecond))) }

// savingPrice says what a flag gives up, by capacity's code.
func savingPrice(s capacity.Saving) record.Text {
	switch s.Cost {
	case capacity.CostFewerRequests:
		return say("more requests than %[1]s wait", "%[1]s개를 넘는 요청은 대기함", s.Value)
	case capacity.CostLongerPrefill:
		return say("long prompts take more steps: their first token comes later", "긴 프롬프트가 더 많은 스텝에 나뉘어 첫 토큰이 늦어짐")
	case capacity.CostSmallerSteps:
		return say("fewer requests run at once, the others wait, and long prompts take more steps", "동시에 처리되는 요청이 줄어 나머지는 대기하고, 긴 프롬프트가 더 많은 스텝에 나뉨")
	case capacity.CostNoImages:
		return say("requests with images are refused", "이미지가 든 요청은 거부됨")
	case capacity.CostKVPrecision:
		return say("keys and values lose precision", "키와 값의 정밀도가 낮아짐")
	case capacity.CostKVConversion:
		return say("keys and values lose precision, and this card converts them, which is slower", "키와 값의 정밀도가 낮아지고, 이 카드는 변환이 필요해 느려짐")
	case capacity.CostSlowerDecode:
		return say("decoding is slower without CUDA graphs", "CUDA 그래프가 없어 디코딩이 느려짐")
	case capacity.CostLessSpare:
		return say("less is left for CUDA graphs and other processes: starting may run out of memory", "CUDA 그래프와 다른 프로세스의 여유가 줄어 시작 시 메모리가 부족할 수 있음")
	case capacity.CostShorterContext:
		return say("longer requests are refused", "더 긴 요청은 거부됨")
	case capacity.CostWeightPrecision:
		return say("weights lose precision; the same checkpoint is loaded", "가중치 정밀도가 낮아짐(같은 체크포인트를 그대로 사용)")
	case capacity.CostOtherCheckpoint:
		return say("weights lose precision, and a checkpoint quantised so is needed", "가중치 정밀도가 낮아지고 해당 방식으로 양자화된 체크포인트가 필요함")
	}
	return say("twice the GPUs", "GPU가 두 배 필요함")
}

// bestSavings is how many flags are named.
const bestSavings = 3

// Savings are the flags that would leave most memory to requests, other than more GPUs, which set-ups of their own
// stand for: for concurrent requests of the whole context on each of so many replicas; 0 stands for as many as fit.
func Savings(m catalog.Model, g catalog.GPU, e capacity.Engine, concurrent, replicas int) []record.Saving {
	var out []record.Saving
	for _, s := range capacity.Savings(m, g, e, concurrent) {
		if s.Cost == capacity.CostMoreGPUs || len(out) == bestSavings {
			continue
		}
		flag := s.Flag
		if s.Value != "" {
			flag += " " + s.Value
		}
		out = append(out, record.Saving{Flag: flag, FreedBytes: int64(s.FreedBytes),
			MoreRequests: float64(replicas) * s.MoreRequests, Price: savingPrice(s)})
	}
	return out
}

// perMillion is what a million output tokens cost at an hourly price; nil where either is not known.
func perMillion(p *record.Price, s *record.Speed) *float64 {
	if p == nil || p.HourUSD == nil || s == nil || s.OutputTokensPerSec <= 0 {
		return nil
	}
	return new(*p.HourUSD / (s.OutputTokensPerSec * 3600) * 1e6)
}

// score orders layouts and set-ups: what carries the demand with headroom, what just carries it, what is too
// slow, what does not fit.
func (c candidate) score() int {
	switch {
	case c.qualifies() && c.roomy:
		return 3
	case c.qualifies():
		return 2
	case c.setup.Fits:
		return 1
	}
	return 0
}

// better says whether c, the later and less replicated one, is worth more than b.
func better(c, b candidate) bool {
	if d := cmp.Compare(c.score(), b.score()); d != 0 {
		return d > 0
	}
	if c.score() == 1 { // both too slow: the faster
		return c.setup.Speed.LatencyMS < b.setup.Speed.LatencyMS
	}
	return b.setup.Memory == nil && c.setup.Memory != nil || c.steady() > b.steady()
}
