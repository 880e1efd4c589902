package sim

import (
	"strings"
	"testing"
)

func TestTargetDefaultsAreThePlansMachine(t *testing.T) {
	c := parse(t, "sim:")
	if c.GPU.Slug != "rtx-3090" || c.Model.ID != "google/gemma-3-12b-it" {
		t.Errorf("%s with %s", c.GPU.Slug, c.Model.ID)
	}
	if e := c.Engine; e.Quantization != "w4a16" || e.GPUMemoryUtilization != 0.95 || e.MaxModelLen != 4096 || e.Version != "0.32.0" {
		t.Errorf("%+v", e)
	}
}

func TestTargetSettings(t *testing.T) {
	c := parse(t, "sim:gpu=H100 SXM,model=qwen3-32b,tp=2,max-model-len=8192,max-num-seqs=16,max-num-batched-tokens=1024,gpu-memory-utilization=0.9,"+
		"kv-cache-dtype=fp8,version=0.27.1,served-model=m,seed=7,num-gpu-blocks-override=4000,enforce-eager=true")
	e := c.Engine
	if c.GPU.Slug != "h100" || c.Model.ID != "Qwen/Qwen3-32B" || e.Quantization != "" || e.TensorParallel != 2 || e.MaxModelLen != 8192 || e.MaxNumSeqs != 16 ||
		e.MaxNumBatchedTokens != 1024 || e.GPUMemoryUtilization != 0.9 || e.KVCacheDType != "fp8" || e.Version != "0.27.1" || c.ServedModel != "m" ||
		c.Seed != 7 || c.NumGPUBlocksOverride != 4000 || !e.EnforceEager {
		t.Errorf("%+v", c)
	}
}

func TestBadTargets(t *testing.T) {
	for target, want := range map[string]string{
		"simulator":                                `begins with "sim:"`,
		"sim:gpus=l4":                              "it has gpu, model, quant",
		"sim:gpu":                                  "gpu needs a value, as in gpu=rtx-3090",
		"sim:gpu=":                                 "gpu needs a value",
		"sim:gpu=l4,gpu=l4":                        "given twice",
		"sim:gpu=rtx-3091":                         "did you mean rtx-3090",
		"sim:model=gemma-3-13b-it":                 "gemma-3-12b-it",
		"sim:quant=w4a17":                          "possible are none, awq",
		"sim:tp=0":                                 "not a whole number above 0",
		"sim:max-num-seqs=many":                    "not a whole number above 0",
		"sim:gpu-memory-utilization=95":            "not a share",
		"sim:gpu-memory-utilization=NaN":           "not a share",
		"sim:kv-cache-dtype=int3":                  "possible are auto, fp8",
		"sim:version=new":                          "not a version",
		"sim:version=0.6.6":                        "older than 0.8",
		"sim:version=0.28.0,max-num-queued-reqs=9": "since 0.29, not in 0.28.0",
		"sim:die-after=never":                      "die-after: \"never\" is not a length of time such as 10s",
		"sim:stall=0":                              "stall: \"0\" is not a share",
		"sim:stall=0.6,reset=0.6":                  "add up to 1.2; at most 1",
		"sim:ignore-eos=maybe":                     "ignore-eos: \"maybe\" is neither true nor false",
		"sim:foreign=-1":                           "foreign: \"-1\" is not a whole number above 0",
		"sim:seed=x":                               "not a whole number",
		"sim:enforce-eager=perhaps":                "neither true nor false",
		"sim:quant=none":                           "CUDA out of memory", // the plan's own claim: 16 bits on 24 GB
		"sim:tp=3":                                 "tensor parallel size 3",
		"sim:max-model-len=500000":                 "above the",
		"sim:num-gpu-blocks-override=100":          "To serve at least one request with the model's max seq len (4096)",
		"sim:num-gpu-blocks-override=20000":        "Tried to allocate a KV cache of 20000 blocks of 1 MiB",
		"sim:gpu-memory-utilization=0.38":          "No available memory for the cache blocks",
	} {
		_, err := ParseTarget(target)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want a text with %q", target, err, want)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than one line: %v", target, err)
		}
	}
}

// The model length that a refusal names must be one that starts.
func TestEstimatedModelLengthStarts(t *testing.T) {
	_, err := ParseTarget("sim:max-model-len=4096,num-gpu-blocks-override=300")
	if err == nil {
		t.Fatal("no refusal")
	}
	_, after, _ := strings.Cut(err.Error(), "estimated maximum model length is ")
	length, _, _ := strings.Cut(after, ".")
	parse(t, "sim:num-gpu-blocks-override=300,max-model-len="+length)
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"sim:", "sim:gpu=l4,tp=2", "sim:,,", "sim:gpu==", "sim:max-model-len=1", "sim:stall=0.5,reset=0.5", "sim:start-after=1s,foreign=2", "sim:num-gpu-blocks-override=99999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseTarget(s)
		if err != nil {
			return
		}
		if _, err := New(c); err != nil {
			t.Errorf("%q is accepted and does not start: %v", s, err)
		}
	})
}
