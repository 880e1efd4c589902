package record_test

import (
	"encoding/json"
	"testing"

	"bench/internal/record"
)

// keys decodes one level of an object.
func keys(t *testing.T, raw []byte) map[string]json.RawMessage {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// The names of sizing.json are a contract; what this form does not compute is absent, not null.
func TestSizingFieldNames(t *testing.T) {
	raw, err := json.Marshal(record.Sizing{
		Schema: record.SchemaSizing,
		Setups: []record.Setup{{Memory: &record.SetupMemory{}, Concurrency: &record.Concurrency{}, Price: &record.Price{}, Speed: &record.Speed{}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	doc := keys(t, raw)
	var setups []json.RawMessage
	if err := json.Unmarshal(doc["setups"], &setups); err != nil {
		t.Fatal(err)
	}
	setup := keys(t, setups[0])
	for _, c := range []struct {
		what  string
		have  map[string]json.RawMessage
		names []string
	}{
		{"document", doc, []string{"schema", "demand", "setups", "options"}},
		{"demand", keys(t, doc["demand"]), []string{"concurrent", "context_tokens", "input_tokens", "output_tokens"}},
		{"options", keys(t, doc["options"]), []string{"minimum", "recommended", "cheapest_cloud"}},
		{"setup", setup, []string{"gpu", "count", "tensor_parallel", "pipeline_parallel", "replicas", "memory", "fits", "price", "verdict", "reasons", "speed"}},
		{"memory", keys(t, setup["memory"]), []string{"total_bytes", "weights_bytes", "activation_bytes", "non_torch_bytes", "cuda_graph_bytes",
			"kv_cache_bytes", "kv_cache_tokens", "guaranteed_concurrency", "steady_concurrency"}},
		{"price", keys(t, setup["price"]), []string{"buy_usd", "hour_usd", "usd_per_million_output_tokens", "as_of"}},
		{"speed", keys(t, setup["speed"]), []string{"ttft_ms", "ttft_ms_low", "ttft_ms_high", "tpot_ms", "tpot_ms_low", "tpot_ms_high",
			"latency_ms", "latency_ms_low", "latency_ms_high", "output_tokens_per_sec", "output_tokens_per_sec_low", "output_tokens_per_sec_high"}},
	} {
		for _, name := range c.names {
			if _, ok := c.have[name]; !ok {
				t.Errorf("%s lacks %s", c.what, name)
			}
		}
	}
	if _, ok := doc["plan"]; ok {
		t.Error("document has plan, which was not asked for")
	}
}

// "possible" is null, not false, when nothing was claimed.
func TestVerifyFieldNames(t *testing.T) {
	raw, err := json.Marshal(record.Verify{Schema: record.SchemaVerify})
	if err != nil {
		t.Fatal(err)
	}
	doc := keys(t, raw)
	for _, name := range []string{"schema", "server", "gpus", "claim", "loaded", "checks", "possible"} {
		if _, ok := doc[name]; !ok {
			t.Errorf("verify lacks %s", name)
		}
	}
	if string(doc["possible"]) != "null" {
		t.Errorf("possible is %s when nothing was claimed", doc["possible"])
	}
}

func TestTextIn(t *testing.T) {
	text := record.Text{En: "two cards", Ko: "카드 두 장"}
	if text.In("ko") != text.Ko || text.In("en") != text.En || text.In("") != text.En {
		t.Errorf("%q %q", text.In("ko"), text.In("en"))
	}
}
