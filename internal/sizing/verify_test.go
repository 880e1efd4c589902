package sizing

import (
	"strings"
	"testing"

	"bench/internal/record"
)

func check(v record.Verify, name string) record.CheckState {
	for _, c := range v.Checks {
		if c.Name == name {
			return c.State
		}
	}
	return ""
}

func TestVerifyWithoutServer(t *testing.T) {
	claim := planClaim(t)
	v := Verify(&claim, Evidence{ServerError: "nothing listens on http://localhost:8000"})
	if v.Schema != record.SchemaVerify || v.Possible == nil || *v.Possible {
		t.Fatalf("%+v", v)
	}
	if v.Loaded.Quantization != "w4a16" || v.Loaded.Strength != record.StrengthHint || !strings.Contains(v.Loaded.Summary.En, "4 bit W4A16 (QAT, AWQ, GPTQ)") {
		t.Errorf("probably loaded instead: %+v", v.Loaded)
	}
	for name, want := range map[string]record.CheckState{"server": record.CheckFailed, "claim": record.CheckFailed, "gpu_memory": record.CheckUnknown, "model": ""} {
		if got := check(v, name); got != want {
			t.Errorf("check %s: %q, want %q", name, got, want)
		}
	}
	if v := Verify(nil, Evidence{}); v.Possible != nil || v.Claim != nil || v.Checks == nil {
		t.Errorf("nothing claimed: %+v", v)
	}
}

func TestVerifyWithServer(t *testing.T) {
	claim := planClaim(t)
	ev := served(t, planModel, "rtx-3090", "w4a16", nil)
	ev.Server.Healthy, ev.Server.HasMetrics, ev.Server.Simulated = new(true), true, true
	ev.GPUs[0].DriverVersion = "580.95.05"
	v := Verify(&claim, ev)
	for _, name := range []string{"server", "model", "max_model_len", "engine_version", "metrics", "dtype", "gpu_memory", "quantization"} {
		if got := check(v, name); got != record.CheckOK {
			t.Errorf("check %s: %q", name, got)
		}
	}
	if *v.Possible || check(v, "claim") != record.CheckFailed || !v.Simulated || v.BaseURL == "" {
		t.Errorf("%+v", v)
	}
	if v.Loaded.Quantization != "w4a16" || v.Loaded.Model != planModel {
		t.Errorf("loaded %+v", v.Loaded)
	}
	for _, c := range v.Checks {
		if c.Evidence.En == "" || c.Evidence.Ko == "" {
			t.Errorf("check %s has no evidence", c.Name)
		}
	}
}

// What a bare server does not tell is unknown, not failed.
func TestVerifyBareServer(t *testing.T) {
	v := Verify(nil, Evidence{Server: &record.Server{BaseURL: "http://localhost:8000", ServedModel: "chat"}})
	for _, name := range []string{"server", "max_model_len", "engine_version", "metrics", "dtype", "gpu_memory", "quantization"} {
		if got := check(v, name); got != record.CheckUnknown {
			t.Errorf("check %s: %q, want unknown", name, got)
		}
	}
}
