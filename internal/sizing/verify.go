package sizing

import (
	"fmt"

	"bench/internal/capacity"
	"bench/internal/record"
	"bench/internal/unit"
)

// Verify puts together what is known of a server, what is claimed (nil: nothing) and what is
// probably loaded. The caller fills CreatedAt in.
func Verify(claim *Claim, ev Evidence) record.Verify {
	if claim != nil {
		if ev.GPU == nil {
			ev.GPU = &claim.GPU
		}
		if ev.Model == nil {
			ev.Model = &claim.Model
		}
		if ev.TensorParallel == 0 {
			ev.TensorParallel = claim.Engine.TensorParallel
		}
	}
	out := record.Verify{
		Schema:      record.SchemaVerify,
		Server:      ev.Server,
		ServerError: ev.ServerError,
		GPUs:        ev.GPUs,
		Loaded:      GuessLoaded(ev),
	}
	if ev.Server != nil {
		out.BaseURL = ev.Server.BaseURL
		out.Simulated = ev.Server.Simulated
	}
	if claim != nil {
		judged := JudgeClaim(*claim, ev)
		out.Claim, out.Possible = &judged, judged.Possible
		if ev.Server == nil && len(judged.Instead) > 0 {
			out.Loaded = supposed(judged)
		}
	}
	if ev.Startup != nil {
		out.ServerLog = ev.Startup
		out.Loaded = provenByLog(out.Loaded, ev.Startup, ev.Server)
	}
	out.Checks = checks(out, ev)
	return out
}

// supposed is what a server that runs as claimed, but cannot, has probably loaded instead.
func supposed(c record.Claim) record.Loaded {
	first := c.Instead[0]
	return record.Loaded{
		Model: c.Model, Quantization: first.Quantization, Quantized: new(first.Quantization != "none"), Strength: record.StrengthHint,
		Summary: record.Text{
			En: "a server that runs with this model on that card has probably loaded " + first.Text.En,
			Ko: "이 카드에서 이 모델이 동작 중이라면 실제로 로드된 것은 아마 " + first.Text.Ko,
		},
		Conclusions: []record.Conclusion{},
	}
}

// checks is the plan's phase 1 list with its answers.
func checks(v record.Verify, ev Evidence) []record.Check {
	out := []record.Check{}
	add := func(name string, state record.CheckState, evidence record.Text) {
		out = append(out, record.Check{Name: name, State: state, Evidence: evidence})
	}
	if v.Server == nil {
		add("server", record.CheckFailed, record.Text{En: v.ServerError, Ko: v.ServerError})
	} else {
		serverChecks(*v.Server, ev, add)
	}
	memoryCheck(v.GPUs, add)
	switch loaded := v.Loaded; {
	case v.Server == nil && v.ServerLog == nil: // nothing is loaded that could be checked
	case loaded.Quantized == nil:
		add("quantization", record.CheckUnknown, loaded.Summary)
	default:
		add("quantization", record.CheckOK, loaded.Summary)
	}
	if v.ServerLog != nil {
		logChecks(v, v.ServerLog, add)
	}
	if c := v.Claim; c != nil {
		state, what := record.CheckOK, describe(*c)
		text := say("possible: %s", "가능: %s", what)
		if c.Possible != nil && !*c.Possible {
			state, text = record.CheckFailed, say("impossible: %s", "불가능: %s", what)
		}
		add("claim", state, text)
	}
	return out
}

func serverChecks(s record.Server, ev Evidence, add func(string, record.CheckState, record.Text)) {
	told := func(name, value, missing, missingKo string) {
		if value == "" {
			add(name, record.CheckUnknown, record.Text{En: missing, Ko: missingKo})
			return
		}
		add(name, record.CheckOK, record.Text{En: value, Ko: value})
	}
	switch {
	case s.Healthy == nil:
		add("server", record.CheckUnknown, say("%s answers; it has no health endpoint", "%s 응답함; health 엔드포인트 없음", s.BaseURL))
	case *s.Healthy:
		add("server", record.CheckOK, say("%s is healthy", "%s 정상", s.BaseURL))
	default:
		add("server", record.CheckFailed, say("%s answers that it is not healthy", "%s이(가) 비정상이라고 응답함", s.BaseURL))
	}
	name := s.ServedModel
	if s.ModelRoot != "" && s.ModelRoot != name {
		name = fmt.Sprintf("%s (%s)", name, s.ModelRoot)
	}
	told("model", name, "the server names no model", "서버가 모델 이름을 알려 주지 않음")
	length := ""
	if s.MaxModelLen > 0 {
		length = unit.Count(s.MaxModelLen)
	}
	told("max_model_len", length, "not served", "제공되지 않음")
	told("engine_version", s.EngineVersion, "not served", "제공되지 않음")
	if s.HasMetrics {
		add("metrics", record.CheckOK, say("/metrics is served", "/metrics 제공됨"))
	} else {
		add("metrics", record.CheckUnknown, say("/metrics cannot be read: what the server sees cannot be recorded (%[1]s)", "/metrics를 읽을 수 없어 서버 내부 지표를 기록할 수 없음 (%[1]s)", s.MetricsAbsent))
	}
	dtypeCheck(s, ev, add)
}

// dtypeCheck tells the dtype as far as it can be told: no endpoint serves it, the start-up log does,
// and a model vLLM refuses in FP16 is not running in FP16.
func dtypeCheck(s record.Server, ev Evidence, add func(string, record.CheckState, record.Text)) {
	if log := ev.Startup; log != nil && log.DType != "" && len(logAgainstServer(log, &s)) == 0 {
		add("dtype", record.CheckOK, say("%[1]s, as its start-up log says", "시작 로그에 따르면 %[1]s", log.DType))
		return
	}
	m, _, known := guessModel(s)
	if !known && ev.Model != nil {
		m, known = *ev.Model, true
	}
	gpu := cardOf(ev)
	if known && gpu != nil {
		half := capacity.Engine{Version: s.EngineVersion, DType: "float16", MaxModelLen: s.MaxModelLen, TensorParallel: ev.TensorParallel}
		for _, r := range capacity.Refusals(m, *gpu, half) {
			if r.Code == capacity.RefusedFP16 {
				add("dtype", record.CheckOK, say("not float16, which vLLM refuses for %[1]s; bfloat16 unless told otherwise",
					"float16은 아님 (vLLM이 %[1]s에서 거부함); 별도 지정이 없으면 bfloat16", m.ModelType))
				return
			}
		}
	}
	add("dtype", record.CheckUnknown, say("no endpoint of vLLM serves it", "vLLM의 어떤 엔드포인트도 알려 주지 않음"))
}

func memoryCheck(gpus []record.GPUInfo, add func(string, record.CheckState, record.Text)) {
	if len(gpus) == 0 {
		add("gpu_memory", record.CheckUnknown, say("no GPU of the server's machine could be read", "서버 장비의 GPU를 읽을 수 없음"))
		return
	}
	for _, g := range gpus {
		if g.MemoryUsedMiB == nil || g.MemoryTotalMiB == nil {
			add("gpu_memory", record.CheckUnknown, say("GPU %[1]d, %[2]s: the driver does not tell its memory", "GPU %[1]d, %[2]s: 드라이버가 메모리를 알려 주지 않음", g.Index, g.Name))
			continue
		}
		driver := ""
		if g.DriverVersion != "" {
			driver = ", driver " + g.DriverVersion
		}
		text := fmt.Sprintf("GPU %d, %s: %s / %s MiB%s", g.Index, g.Name,
			unit.Count(int(*g.MemoryUsedMiB)), unit.Count(int(*g.MemoryTotalMiB)), driver)
		add("gpu_memory", record.CheckOK, record.Text{En: text, Ko: text})
	}
}
