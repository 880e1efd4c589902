package sizing

import (
	"math"
	"slices"
	"sort"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
	"bench/internal/unit"
)

// Shares of what a card can do that no server was seen to pass. More than 97 % of the bandwidth for the
// weights alone, 90 % of the peak for one prompt or 85 % of it over a whole run were, wherever they were
// published, another set-up than the one named.
const (
	weightShareLimit = 0.97
	promptShareLimit = 0.90
	runShareLimit    = 0.85
	// rateGap is how much of the rate that the times themselves give may be missing from a printed rate
	// before something beside the engine held it back.
	rateGap = 1.35
	// rounding is what printed figures lose by being rounded.
	rounding = 1.02
)

// Figures are published figures to check; nil = not claimed. Times are in milliseconds, throughput in
// output tokens a second of the whole set-up.
type Figures struct{ TTFTMS, TPOTMS, Throughput *float64 }

// FigureRequest is what is claimed of which set-up under which load.
type FigureRequest struct {
	Model   catalog.Model
	GPU     catalog.GPU
	Engine  capacity.Engine
	Load    capacity.Load
	Figures Figures
}

// figureCheck is a FigureRequest on its way to a document.
type figureCheck struct {
	FigureRequest
	laws       capacity.Laws
	prediction *capacity.Prediction // nil where the engine does not start
	doc        record.FigureCheck
}

// CheckFigures holds published figures against the laws of the card and against what is expected. It fails
// only with a *RequestError.
func CheckFigures(req FigureRequest) (record.FigureCheck, error) {
	f, l := req.Figures, req.Load
	if f.TTFTMS == nil && f.TPOTMS == nil && f.Throughput == nil {
		return record.FigureCheck{}, &RequestError{"no figure to check: name tpot, ttft or throughput"}
	}
	for _, v := range []*float64{f.TTFTMS, f.TPOTMS, f.Throughput} {
		if v != nil && !(*v > 0 && !math.IsInf(*v, 0)) {
			return record.FigureCheck{}, &RequestError{"a figure to check must be above zero"}
		}
	}
	if l.Concurrent < 1 || l.InputTokens < 1 || l.OutputTokens < 1 {
		return record.FigureCheck{}, &RequestError{"the load of the figures needs at least one request of one input and one output token"}
	}
	req.Engine = req.Engine.WithDefaults(req.Model, req.GPU)
	e := req.Engine
	c := figureCheck{FigureRequest: req, doc: record.FigureCheck{Schema: record.SchemaFigures, Model: req.Model.ID, GPU: req.GPU.Name, Count: e.GPUs(),
		TensorParallel: e.TensorParallel, Quantization: e.Quantization, Verdict: record.FigurePlausible, Figures: []record.CheckedFigure{}, Notes: []record.Text{},
		Demand: record.Demand{Concurrent: l.Concurrent, ContextTokens: l.InputTokens + l.OutputTokens, InputTokens: l.InputTokens, OutputTokens: l.OutputTokens, Load: l.Kind.String()}}}
	if refusals := capacity.Refusals(req.Model, req.GPU, e); len(refusals) > 0 {
		for _, r := range refusals {
			c.doc.Notes = append(c.doc.Notes, refusalText(r, req.Model, req.GPU, e))
		}
		c.doc.Verdict = record.FigureImpossible
		return c.doc, nil
	}
	c.laws = capacity.LawsOf(req.Model, req.GPU, e)
	if p, err := capacity.Predict(req.Model, req.GPU, e, l, nil); err == nil {
		c.prediction = &p
	} else {
		c.doc.Verdict = record.FigureImpossible
		c.doc.Notes = append(c.doc.Notes, say("by memory: %[1]s", "메모리 계산: %[1]s", err.Error()))
	}
	c.tpot()
	c.ttft()
	c.throughput()
	c.consistent()
	return c.doc, nil
}

// add judges a figure: impossible where reasons were given by a law, else by where it lies.
func (c *figureCheck) add(metric string, claimed float64, bound *float64, r *capacity.Range, broken []record.Text) {
	fig := record.CheckedFigure{Metric: metric, Claimed: claimed, Bound: bound, Verdict: record.FigurePlausible, Reasons: broken}
	if r != nil {
		fig.Expected, fig.Low, fig.High = &r.Value, &r.Low, &r.High
	}
	switch {
	case len(broken) > 0:
		fig.Verdict = record.FigureImpossible
	case r == nil:
		fig.Reasons = []record.Text{say("no law of the card forbids it; what to expect cannot be computed", "카드의 물리적 한계를 넘지는 않으나 예상값은 계산할 수 없음")}
	case far(claimed, *r):
		fig.Verdict = record.FigureUnlikely
		fig.Reasons = []record.Text{say("outside what published measurements of its class would give (%[1]s)", "같은 부류의 공개 측정값에서 나올 범위를 벗어남 (%[1]s)", c.prediction.Basis)}
		fig.Reasons = append(fig.Reasons, c.hints(metric, claimed, *r)...)
	default:
		fig.Reasons = []record.Text{say("within what published measurements of its class would give (%[1]s)", "같은 부류의 공개 측정값에서 나올 범위 안에 있음 (%[1]s)", c.prediction.Basis)}
	}
	c.doc.Figures = append(c.doc.Figures, fig)
	c.worsen(fig.Verdict)
}

// far says whether a figure lies at least twice as far from what is expected as one in ten published ones
// do, and by a quarter: one in five lies outside the bounds themselves.
func far(claimed float64, r capacity.Range) bool {
	low, high := r.Low/r.Value, r.High/r.Value
	return claimed < r.Value*min(low*low, 0.8) || claimed > r.Value*max(high*high, 1.25)
}

func (c *figureCheck) worsen(v record.FigureVerdict) {
	order := []record.FigureVerdict{record.FigurePlausible, record.FigureUnlikely, record.FigureImpossible}
	if slices.Index(order, v) > slices.Index(order, c.doc.Verdict) {
		c.doc.Verdict = v
	}
}

// tpot: every output token reads all weights once, whatever else happens.
func (c *figureCheck) tpot() {
	if c.Figures.TPOTMS == nil {
		return
	}
	claimed := *c.Figures.TPOTMS
	bound := 1000 * c.laws.WeightReadSeconds
	var broken []record.Text
	if bound > weightShareLimit*claimed {
		broken = append(broken, say(
			"reading the weights once takes %[1]s at the card's full bandwidth of %[2]s GB/s; %[3]s per token would be %[4]s of it",
			"카드의 전체 대역폭 %[2]s GB/s로도 가중치를 한 번 읽는 데 %[1]s가 걸리며, 토큰당 %[3]s는 그 대역폭의 %[4]s에 해당함",
			duration(bound), unit.Count(int(c.GPU.BandwidthGBs)), duration(claimed), percent(bound/claimed)))
		broken = append(broken, c.wouldDo(func(l capacity.Laws) bool { return 1000*l.WeightReadSeconds <= weightShareLimit*claimed })...)
		broken = append(broken, say("or speculative decoding with more than %[1]s tokens accepted per step on average",
			"또는 스텝당 평균 %[1]s개를 넘는 토큰이 채택되는 추측 디코딩(speculative decoding)", oneDecimal(bound/claimed/weightShareLimit)))
	}
	c.add(capacity.MetricTPOT, claimed, &bound, c.expected(func(p *capacity.Prediction) capacity.Range { return p.TPOTMS }), broken)
}

// ttft: the prompt has to be computed, unless a cache holds it.
func (c *figureCheck) ttft() {
	if c.Figures.TTFTMS == nil {
		return
	}
	claimed := *c.Figures.TTFTMS
	bound := 1000 * c.laws.PromptSeconds(c.Load.InputTokens)
	var broken []record.Text
	if bound > promptShareLimit*claimed {
		computed := sort.Search(c.Load.InputTokens, func(n int) bool { return 1000*c.laws.PromptSeconds(n+1) > promptShareLimit*claimed })
		broken = append(broken,
			say("computing %[1]s takes %[2]s at the card's full rate; no server passes %[3]s of it",
				"%[1]s 프롬프트를 카드의 최대 연산 속도로 계산해도 %[2]s가 걸리며, 그 %[3]s를 넘는 서버는 없음",
				unit.Tokens(c.Load.InputTokens), duration(bound), percent(promptShareLimit)),
			say("it is possible if all but %[1]s of the prompt came from the prefix cache, or if the prompt was that short",
				"프롬프트 중 %[1]s를 제외한 나머지가 prefix cache에서 왔거나 프롬프트가 그만큼 짧았다면 가능함", unit.Tokens(computed)))
	}
	c.add(capacity.MetricTTFT, claimed, &bound, c.expected(func(p *capacity.Prediction) capacity.Range { return p.TTFTMS }), broken)
}

// throughput: a step makes one token for each running request and reads the weights once; all of its tokens
// and their prompts have to be computed.
func (c *figureCheck) throughput() {
	if c.Figures.Throughput == nil {
		return
	}
	claimed := *c.Figures.Throughput
	perToken := c.laws.DecodeSeconds() + c.laws.PromptSeconds(c.Load.InputTokens)/float64(c.Load.OutputTokens)
	byReading := weightShareLimit * float64(c.Load.Concurrent) / c.laws.WeightReadSeconds
	byCompute := runShareLimit / perToken
	bound := min(byReading, byCompute)
	var broken []record.Text
	if claimed > byReading {
		broken = append(broken, say(
			"%[1]s requests in flight make at most %[2]s if every step only reads the weights, at the card's full bandwidth",
			"동시 %[1]s개 요청으로는 매 스텝이 카드의 전체 대역폭으로 가중치만 읽는다 해도 최대 %[2]s임",
			unit.Count(c.Load.Concurrent), unit.Rate(float64(c.Load.Concurrent)/c.laws.WeightReadSeconds)),
			say("it is possible with at least %[1]s in flight, or with speculative decoding", "동시 요청이 %[1]s개 이상이거나 추측 디코딩을 쓴다면 가능함",
				unit.Count(int(math.Ceil(claimed*c.laws.WeightReadSeconds/weightShareLimit)))))
	}
	if claimed > byCompute {
		broken = append(broken, say(
			"its tokens and their prompts take %[1]s of the card's peak over the whole run; no server passes %[2]s: prompts came from the prefix cache",
			"출력 토큰과 프롬프트 계산에 카드 최대 성능의 %[1]s가 필요하지만 %[2]s를 넘는 서버는 없음: 프롬프트가 prefix cache에서 왔을 것",
			percent(claimed*perToken), percent(runShareLimit)))
	}
	c.add(capacity.MetricThroughput, claimed, &bound, c.expected(func(p *capacity.Prediction) capacity.Range { return p.OutputTokensPerSec }), broken)
}

// consistent holds the claimed figures against each other: requests in flight = rate × time each takes.
func (c *figureCheck) consistent() {
	f := c.Figures
	if f.TTFTMS == nil || f.TPOTMS == nil || f.Throughput == nil || c.Load.Kind != capacity.LoadClosed {
		return
	}
	out := float64(c.Load.OutputTokens)
	rate := float64(c.Load.Concurrent) * out / ((*f.TTFTMS + *f.TPOTMS*(out-1)) / 1000)
	switch {
	case *f.Throughput > rate*rounding:
		c.worsen(record.FigureImpossible)
		c.doc.Notes = append(c.doc.Notes, say(
			"the figures contradict each other: %[1]s requests with these times make %[2]s, not %[3]s: more were in flight, or answers were longer",
			"수치가 서로 모순됨: 이 시간이라면 동시 %[1]s개 요청의 처리량은 %[3]s가 아니라 %[2]s임. 실제로는 더 많은 요청이 동시에 있었거나 응답이 더 길었음",
			unit.Count(c.Load.Concurrent), unit.Rate(rate), unit.Rate(*f.Throughput)))
	case rate > *f.Throughput*rateGap:
		c.worsen(record.FigureUnlikely)
		c.doc.Notes = append(c.doc.Notes, say(
			"these times alone would make %[1]s, %[2]s is claimed: max_num_seqs was below the client's concurrency, or ramp-up was counted",
			"이 시간이라면 %[1]s여야 하나 %[2]s로 주장됨: max_num_seqs가 클라이언트의 동시 요청 수보다 작았거나 초기 구간이 포함됨",
			unit.Rate(rate), unit.Rate(*f.Throughput)))
	}
}

func (c *figureCheck) expected(of func(*capacity.Prediction) capacity.Range) *capacity.Range {
	if c.prediction == nil {
		return nil
	}
	r := of(c.prediction)
	return &r
}

// wouldDo names the assumptions under which a law would hold: narrower weights, more cards.
func (c *figureCheck) wouldDo(holds func(capacity.Laws) bool) []record.Text {
	var out []record.Text
	for _, q := range []string{"fp8", "awq"} {
		e := c.Engine
		e.Quantization = q
		if c.Engine.Quantization == "" && len(capacity.Refusals(c.Model, c.GPU, e)) == 0 && holds(capacity.LawsOf(c.Model, c.GPU, e)) {
			out = append(out, say("it is possible if the weights were quantised: %[1]s would do", "가중치가 양자화되어 있었다면 가능함: %[1]s이면 충분", methodTitle(q)))
			break
		}
	}
	for _, tp := range []int{2, 4, 8} {
		e := c.Engine
		e.TensorParallel = tp
		if tp > c.Engine.TensorParallel && len(capacity.Refusals(c.Model, c.GPU, e)) == 0 && holds(capacity.LawsOf(c.Model, c.GPU, e)) {
			out = append(out, say("or with tensor parallel size %[1]d", "또는 tensor parallel 크기 %[1]d", tp))
			break
		}
	}
	var card *catalog.GPU
	for _, g := range catalog.GPUs() {
		if g.BandwidthGBs > c.GPU.BandwidthGBs && len(capacity.Refusals(c.Model, g, c.Engine)) == 0 && holds(capacity.LawsOf(c.Model, g, c.Engine)) &&
			(card == nil || g.BandwidthGBs < card.BandwidthGBs) {
			card = &g
		}
	}
	if card != nil {
		out = append(out, say("or on a card like %[1]s (%[2]s GB/s)", "또는 %[1]s (%[2]s GB/s) 같은 카드", card.Name, unit.Count(int(card.BandwidthGBs))))
	}
	return out
}

// hints name what an unlikely figure has been seen to come from.
func (c *figureCheck) hints(metric string, claimed float64, r capacity.Range) []record.Text {
	slow := claimed > r.High
	if metric == capacity.MetricThroughput {
		slow = claimed < r.Low
	}
	switch {
	case slow && metric == capacity.MetricTPOT && c.GPU.Slug == "h100" && 1000*c.laws.WeightReadSeconds/claimed < 0.5:
		return []record.Text{say("an H100 that decodes at less than half its 3,350 GB/s is a PCIe card (2,000 GB/s) until shown otherwise",
			"3,350 GB/s의 절반도 쓰지 못하는 H100은 달리 확인되지 않는 한 PCIe 카드(2,000 GB/s)일 가능성이 큼")}
	case slow && c.Engine.TensorParallel > 1 && c.GPU.NVLinkGBs > 0:
		return []record.Text{say("cards without NVLink between them are that slow", "카드 사이에 NVLink가 없으면 이 정도로 느려짐")}
	case slow:
		return []record.Text{say("a slow host CPU, a power limit, --enforce-eager or other traffic make a server that slow", "느린 호스트 CPU, 전력 제한, --enforce-eager, 다른 트래픽이 있으면 이 정도로 느려짐")}
	case metric == capacity.MetricTTFT:
		return []record.Text{say("prompts from the prefix cache or shorter than said make it that fast", "prefix cache를 쓰거나 프롬프트가 명시된 것보다 짧으면 이렇게 빨라짐")}
	}
	return []record.Text{say("quantised weights, speculative decoding or shorter contexts than said make it that fast", "양자화된 가중치, 추측 디코딩, 명시된 것보다 짧은 컨텍스트라면 이렇게 빨라짐")}
}

// oneDecimal prints a ratio, rounded up, since it is a bound from below.
func oneDecimal(x float64) string { return num(math.Ceil(10*x) / 10) }
