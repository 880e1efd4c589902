package sizing

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
)

// Measured is what a results folder says about computed times: factors for capacity, and the same
// in words. [Calibrate] makes it.
type Measured struct {
	Factors  capacity.Calibration // for capacity.Predict; 1 where nothing is to be scaled
	Document record.MeasuredCalibration
}

// Results is what a results folder holds.
type Results struct {
	Folder  string // its name
	Run     record.Run
	Verify  *record.Verify // nil: not verified
	Records []record.Record
}

// Bounds on measured ÷ computed, beyond which the machine is not what it is taken for. Computed times
// assume 80 % of the card's bandwidth and 60 % of its peak, so less than 0.6 is more than the card has;
// 83 published measurements of one request lie between 0.79 and 1.99, and a wrong quantisation alone
// makes 2 to 4.
const minFactor, maxFactor = 0.6, 3

// Calibrate compares the lightest load that was measured with what is computed for it. The rest of
// the error is mostly one factor a machine (host CPU, clocks, form factor), which that load shows
// best: it waits for nobody. Where the folder does not tell what was measured, or nothing in it can
// be believed, the factors stay 1 and the document says why; Calibrate itself cannot fail.
func Calibrate(r Results) *Measured {
	out := &Measured{
		Factors:  capacity.Calibration{StepFactor: 1, PrefillFactor: 1},
		Document: record.MeasuredCalibration{Folder: r.Folder, Simulated: r.Run.Simulated},
	}
	d := &out.Document
	tell := func(en, ko string, args ...any) { d.Text = append(d.Text, say(en, ko, args...)) }
	if r.Run.Simulated {
		tell("%[1]s was SIMULATED, nothing in it was measured on a GPU", "%[1]s은(는) 시뮬레이션 결과이며 GPU에서 측정된 것이 아님", r.Folder)
	}
	m, g, e, why := measuredEngine(r)
	if why != (record.Text{}) {
		d.Text = append(d.Text, record.Text{
			En: "nothing is scaled by " + r.Folder + ": " + why.En,
			Ko: r.Folder + "(으)로 보정하지 않음: " + why.Ko,
		})
		return out
	}
	full := e.WithDefaults(m, g)
	d.Class = capacity.KernelClass(m, g, e)
	d.Machine = fmt.Sprintf("%d × %s, %s, %s", full.GPUs(), g.Name, m.ID, methodTitle(methodName(full.Quantization)))
	out.Factors.Class, out.Factors.Source = d.Class, r.Folder
	best, ok := lightest(r.Records)
	if !ok {
		tell("nothing is scaled by %[1]s: it holds no test that succeeded and can be believed", "%[1]s에 신뢰할 수 있는 성공한 시험이 없어 보정하지 않음", r.Folder)
		return out
	}
	lone, err := loneRequest(m, g, e, best)
	if err != nil {
		tell("nothing is scaled by %[1]s: %[2]s cannot be computed: %[3]s", "%[1]s(으)로 보정하지 않음: %[2]s을(를) 계산할 수 없음: %[3]s", r.Folder, d.Machine, err.Error())
		return out
	}
	tpot := *best.Results.AvgTPOTMS
	factor := tpot / lone.tpotMS
	if !(factor >= minFactor && factor <= maxFactor) {
		tell("nothing is scaled by %[1]s: %.1[2]f ms per token were measured with %[3]d in flight, %.1[4]f ms computed for %[5]s; that far apart the machine is not what it is taken for",
			"%[1]s(으)로 보정하지 않음: 동시 %[3]d에서 토큰당 %.1[2]fms가 측정되었으나 %[5]s의 계산값은 %.1[4]fms로, 이 정도 차이면 가정한 장비가 아님",
			r.Folder, tpot, best.ConcurrentRequests, lone.tpotMS, d.Machine)
		return out
	}
	out.Factors.StepFactor, d.StepFactor = factor, &factor
	tell("%[1]s: %.1[2]f ms per token measured with %[3]d in flight (%[4]s), %.1[5]f ms computed: factor %.2[6]f",
		"%[1]s: 동시 %[3]d(%[4]s)에서 토큰당 %.1[2]fms 측정, 계산값 %.1[5]fms: 계수 %.2[6]f",
		d.Machine, tpot, best.ConcurrentRequests, best.TestID, lone.tpotMS, factor)
	out.prefill(best, lone)
	return out
}

// launchShare is the share of the first token's time that the prompt's compute must have for it to tell
// how fast prompts are: of √(launches² + compute²), compute twice the launches. Shorter prompts show
// the host.
const launchShare = 0.89

// prefill adds the prompt's factor where the prompt is what the first token waited for.
func (c *Measured) prefill(best record.Record, lone loneTimes) {
	d := &c.Document
	ttft := best.Results.AvgTTFTMS
	if ttft == nil || best.ConcurrentRequests > 1 {
		return
	}
	if lone.promptMS < launchShare*lone.ttftMS {
		d.Text = append(d.Text, say("prompts of %[1]d tokens are too short to tell how fast prompts are computed: that stays as computed",
			"%[1]d토큰 프롬프트는 너무 짧아 프리필 속도를 알 수 없으므로 계산값을 유지함", best.InputTokens))
		return
	}
	factor := *ttft / lone.ttftMS
	if !(factor >= minFactor && factor <= maxFactor) {
		d.Text = append(d.Text, say("the first token after %.0[1]f ms, %.0[2]f ms computed, tells no factor for prompts: they may have come from the prefix cache",
			"첫 토큰 %.0[1]fms(계산값 %.0[2]fms)로는 프리필 계수를 정할 수 없음: 프리픽스 캐시에서 왔을 수 있음", *ttft, lone.ttftMS))
		return
	}
	c.Factors.PrefillFactor, d.PrefillFactor = factor, &factor
	d.Text = append(d.Text, say("first token after %.0[1]f ms measured, %.0[2]f ms computed: factor %.2[3]f for prompts",
		"첫 토큰 %.0[1]fms 측정, 계산값 %.0[2]fms: 프리필 계수 %.2[3]f", *ttft, lone.ttftMS, factor))
}

// MeasuredSetup is the model, the card and the engine that a results folder was measured on; ok is false where the
// folder does not tell.
func MeasuredSetup(r Results) (m catalog.Model, g catalog.GPU, e capacity.Engine, ok bool) {
	m, g, e, why := measuredEngine(r)
	return m, g, e, why == record.Text{}
}

// measuredEngine is what the folder's server ran; why says what is not known of it.
func measuredEngine(r Results) (m catalog.Model, g catalog.GPU, e capacity.Engine, why record.Text) {
	fail := func(en, ko string, args ...any) (catalog.Model, catalog.GPU, capacity.Engine, record.Text) {
		return m, g, e, say(en, ko, args...)
	}
	ev := Evidence{Server: &r.Run.Server, GPUs: r.Run.GPUs}
	if s := r.Run.Simulation; s != nil {
		ev.TensorParallel = len(r.Run.GPUs)
	}
	m, quant, ok := guessModel(r.Run.Server)
	if !ok {
		return fail("the catalogue does not have its model", "카탈로그에 없는 모델임")
	}
	gpu := cardOf(ev)
	if gpu == nil {
		return fail("it does not say on which GPU it was measured, or the catalogue does not have it", "어떤 GPU에서 측정했는지 알 수 없거나 카탈로그에 없음")
	}
	e = serverEngine(ev)
	switch {
	case r.Verify != nil && r.Verify.ServerLog != nil && r.Verify.ServerLog.Quantization != "":
		e.Quantization = logEngine(r.Verify.ServerLog).Quantization
	case r.Run.Simulation != nil:
		e.Quantization = r.Run.Simulation.Quant
	case m.Quantization != nil:
		e.Quantization = m.Quantization.Method
	case r.Verify != nil && r.Verify.Loaded.Quantized != nil:
		e.Quantization = r.Verify.Loaded.Quantization
	case quant != "":
		e.Quantization = quant
	default:
		return fail("whether its model is quantised is not known; give verify the start-up log (--server-log)", "모델의 양자화 여부를 알 수 없음; verify에 --server-log를 지정하면 알 수 있음")
	}
	if r := capacity.Refusals(m, *gpu, e); len(r) > 0 {
		return fail("vLLM would not start what it seems to have run: %[1]s", "측정된 것으로 보이는 구성을 vLLM이 거부함: %[1]s", r[0].Reason)
	}
	return m, *gpu, e, record.Text{}
}

// lightest is the record to calibrate by: fewest in flight, then the longest prompt (which also
// tells how fast prompts are), then the most requests.
func lightest(records []record.Record) (record.Record, bool) {
	usable := slices.DeleteFunc(slices.Clone(records), func(r record.Record) bool {
		return r.Status == record.StatusFailure || r.Trust.Verdict == record.TrustInvalid ||
			r.Results.AvgTPOTMS == nil || *r.Results.AvgTPOTMS <= 0 || r.MaxOutputTokens < 2 || r.ConcurrentRequests < 1 ||
			// Requests that are longer than their text says, or need another model than the one that is computed.
			r.Detail.Conversations != nil || r.Detail.Images != nil || r.Detail.Workload != nil && r.Detail.Workload.Adapters != ""
	})
	if len(usable) == 0 {
		return record.Record{}, false
	}
	return slices.MinFunc(usable, func(a, b record.Record) int {
		return cmp.Or(cmp.Compare(a.ConcurrentRequests, b.ConcurrentRequests), cmp.Compare(b.InputTokens, a.InputTokens),
			cmp.Compare(b.Detail.Requests, a.Detail.Requests), cmp.Compare(a.TestID, b.TestID))
	}), true
}

// loneTimes are computed times, in milliseconds.
type loneTimes struct {
	tpotMS, ttftMS float64
	promptMS       float64 // of the prompt's compute, without the host's launches
}

// loneRequest computes the load of that record.
func loneRequest(m catalog.Model, g catalog.GPU, e capacity.Engine, r record.Record) (loneTimes, error) {
	p, err := capacity.Predict(m, g, e, capacity.Load{Concurrent: r.ConcurrentRequests, InputTokens: r.InputTokens, OutputTokens: r.MaxOutputTokens}, nil)
	if err != nil {
		return loneTimes{}, err
	}
	s := capacity.NewStepper(m, g, e)
	var decode capacity.Step
	s.AddDecodes(&decode, 1, 1)
	both := decode
	s.AddPrefill(&both, r.InputTokens, 0)
	prompt := s.StepTime(both) - s.StepTime(decode)
	return loneTimes{p.TPOTMS.Value, p.TTFTMS.Value, float64(prompt) / float64(time.Millisecond)}, nil
}

// scales says whether the factors hold for that engine: within the class of kernels they were
// measured in, which capacity.Predict looks at too.
func (c *Measured) scales(m catalog.Model, g catalog.GPU, e capacity.Engine) bool {
	return c.Document.StepFactor != nil && capacity.KernelClass(m, g, e) == c.Factors.Class
}

// finishMeasured counts what the factors changed and what they say nothing about.
func finishMeasured(req Request, candidates []candidate) *record.MeasuredCalibration {
	out := req.Measured.Document
	if out.StepFactor == nil {
		return &out
	}
	others := map[string]bool{}
	for _, c := range candidates {
		switch {
		case c.setup.Memory == nil: // refused, it has no times
		case req.Measured.scales(req.Model, c.gpu, c.engine):
			out.Setups++
		default:
			out.Others++
			others[capacity.KernelClass(req.Model, c.gpu, c.engine)] = true
		}
	}
	out.Text = slices.Clone(out.Text)
	add := func(en, ko string, args ...any) { out.Text = append(out.Text, say(en, ko, args...)) }
	if out.Setups > 0 {
		add("scaled are the times of %[1]d set-ups with the same kernels (%[2]s)", "같은 커널(%[2]s)을 쓰는 구성 %[1]d개의 시간을 보정함", out.Setups, out.Class)
	}
	if out.Others > 0 {
		classes := slices.Sorted(maps.Keys(others))
		const named = 2 // a reader needs examples, not the list
		text := strings.Join(classes[:min(len(classes), named)], "; ")
		if more := len(classes) - named; more > 0 {
			text += fmt.Sprintf("; +%d", more)
		}
		add("the other %[1]d are as computed: %[2]s says little about %[3]s", "나머지 %[1]d개는 계산값 그대로임: %[2]s의 결과는 %[3]s에 대해 알려 주는 것이 거의 없음", out.Others, out.Class, text)
	}
	return &out
}
