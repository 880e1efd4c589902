package sizing

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"bench/internal/catalog"
	"bench/internal/record"
	"bench/internal/unit"
)

// evidenceLog is a start-up log: the engine's own word.
const evidenceLog = "server_log"

// logChecks are what the start-up log says, and where server and claim say something else.
func logChecks(v record.Verify, s *record.Startup, add func(string, record.CheckState, record.Text)) {
	text := say("%s", "%s", describeLog(s)+logMemory(s))
	switch {
	case s.Error != "":
		add("server_log", record.CheckFailed, record.Text{En: text.En + "; the start failed: " + s.Error, Ko: text.Ko + "; 시작 실패: " + s.Error})
	case !s.Complete:
		add("server_log", record.CheckUnknown, record.Text{En: text.En + "; it ends before the KV cache was sized", Ko: text.Ko + "; KV 캐시 크기가 정해지기 전에 끝남"})
	default:
		add("server_log", record.CheckOK, text)
	}
	if s.Starts > 1 {
		add("server_log", record.CheckOK, say("start-up %[2]d of the %[1]d it holds, from line %[3]d on", "시작 기록 %[1]d개 중 %[2]d번째, %[3]d행부터", s.Starts, s.Taken, s.FirstLine))
	}
	for _, line := range s.Unread {
		add("server_log", record.CheckUnknown, record.Text{En: line, Ko: line})
	}
	agree := func(name, other string, differences []string) {
		if len(differences) > 0 {
			both := strings.Join(differences, "; ")
			add(name, record.CheckFailed, record.Text{En: both, Ko: both})
			return
		}
		add(name, record.CheckOK, say("what both name agrees with %[1]s", "양쪽에 있는 값은 %[1]s와(과) 일치함", other))
	}
	if v.Server != nil {
		agree("log_and_server", "/v1/models", logAgainstServer(s, v.Server))
	}
	if v.Claim != nil {
		agree("log_and_claim", v.Claim.Model, logAgainstClaim(s, v.Claim))
	}
}

// logMemory is the memory of one GPU as the log prints it.
func logMemory(s *record.Startup) string {
	var b strings.Builder
	for _, t := range []struct {
		name  string
		bytes *int64
	}{{"weights", s.WeightsBytes}, {"activation", s.ActivationBytes}, {"non-torch", s.NonTorchBytes},
		{"CUDA graphs", s.GraphBytes}, {"KV pool", s.KVCacheBytes}, {"of", s.TotalBytes}} {
		if t.bytes != nil {
			fmt.Fprintf(&b, ", %s %s", t.name, gib(unit.Bytes(*t.bytes)))
		}
	}
	if s.MaxConcurrency != nil && s.ConcurrencyTokens != nil {
		fmt.Fprintf(&b, ", at most %.2f requests of %s", *s.MaxConcurrency, unit.Tokens(*s.ConcurrencyTokens))
	}
	return b.String()
}

// differ notes a field of the log that is not as the other side says; what either leaves out is no
// difference.
func differ(out []string, field, log, other, who string) []string {
	if log == "" || other == "" || log == other {
		return out
	}
	return append(out, fmt.Sprintf("%s is %s in the log, %s says %s", field, log, who, other))
}

func logAgainstServer(s *record.Startup, server *record.Server) []string {
	var out []string
	if log, root := strings.TrimRight(s.Model, "/"), strings.TrimRight(server.ModelRoot, "/"); path.Base(log) != path.Base(root) {
		out = differ(out, "model", log, root, "the server")
	}
	out = differ(out, "max_model_len", count(s.MaxModelLen), count(&server.MaxModelLen), "the server")
	return differ(out, "version", strings.TrimPrefix(s.Version, "v"), strings.TrimPrefix(server.EngineVersion, "v"), "the server")
}

func logAgainstClaim(s *record.Startup, c *record.Claim) []string {
	var out []string
	if m, _, ok := catalog.GuessModel(s.Model); ok {
		out = differ(out, "model", m.ID, c.Model, "the claim")
	}
	if s.Quantization != "" {
		m, err := catalog.FindModel(c.Model)
		if method := logMethod(s, m); err != nil || widthOf(method, m) != widthOf(c.Quantization, m) {
			out = differ(out, "quantization", method, c.Quantization, "the claim")
		}
	}
	out = differ(out, "dtype", s.DType, c.DType, "the claim")
	out = differ(out, "kv_cache_dtype", s.KVCacheDType, c.KVCacheDType, "the claim")
	out = differ(out, "tensor_parallel", count(s.TensorParallel), count(&c.TensorParallel), "the claim")
	out = differ(out, "pipeline_parallel", count(s.PipelineParallel), count(&c.PipelineParallel), "the claim")
	out = differ(out, "max_model_len", count(s.MaxModelLen), count(&c.MaxModelLen), "the claim")
	if s.GPUMemoryUtilization != nil {
		out = differ(out, "gpu_memory_utilization", num(*s.GPUMemoryUtilization), num(c.GPUMemoryUtilization), "the claim")
	}
	return out
}

// logMethod is how the log's weights are stored, under the name used here.
func logMethod(s *record.Startup, m catalog.Model) string {
	return methodName(logEngine(s).WithDefaults(m, catalog.GPU{}).Quantization)
}

// count prints a number that is there; 0 is what a server says that does not tell.
func count(n *int) string {
	if n == nil || *n == 0 {
		return ""
	}
	return unit.Count(*n)
}

// provenByLog puts the log's word over what was guessed from outside. It is silent where the log
// does not name the quantisation, or is another server's.
func provenByLog(l record.Loaded, s *record.Startup, server *record.Server) record.Loaded {
	if s.Quantization == "" || server != nil && len(logAgainstServer(s, server)) > 0 {
		return l
	}
	m, _, ok := catalog.GuessModel(s.Model)
	if ok {
		l.Model = m.ID
	}
	name := logMethod(s, m)
	l.Quantization, l.Quantized, l.Strength = name, new(name != "none"), record.StrengthProven
	l.Summary = say("%[1]s in %[2]s, as its start-up log says", "시작 로그에 따르면 %[1]s, %[2]s", cmp.Or(s.Model, l.Model), methodTitle(name))
	l.Conclusions = append([]record.Conclusion{{Evidence: evidenceLog, Quantization: name, Strength: record.StrengthProven,
		Text: say("the engine logged quantization=%[1]s when it started", "엔진이 시작할 때 quantization=%[1]s(으)로 기록함", s.Quantization)}}, l.Conclusions...)
	return l
}
