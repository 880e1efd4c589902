package vllm

import (
	"regexp"
	"strings"
)

// settingPattern finds key=value of a config line or a Namespace, and 'key': value of the
// non-default arguments. A value is quoted, a list or a bare word.
var settingPattern = regexp.MustCompile(`(?:^|[\s({,])'?([a-z][a-z_]*)'?(?:=|: )('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[^\s,(){}"]+)`)

// settings are the values of a line by key; of a key that stands in nested settings too, the first.
func settings(line string) map[string]string {
	out := map[string]string{}
	for _, m := range settingPattern.FindAllStringSubmatch(line, -1) {
		if _, seen := out[m[1]]; !seen {
			out[m[1]] = pythonValue(m[2])
		}
	}
	return out
}

// pythonValue is a Python value as people write it: no quotes, of a list its first entry, of None
// nothing.
func pythonValue(v string) string {
	if list, ok := strings.CutPrefix(v, "["); ok {
		v, _, _ = strings.Cut(strings.TrimSuffix(list, "]"), ",")
	}
	if v = strings.Trim(v, `'" `); v == "None" {
		return ""
	}
	return quoteLog(v)
}

// arguments takes what the server was started with. A Namespace spells out every default, and None
// in it means that the engine chooses.
func (s *startup) arguments(line string) {
	in, d := settings(line), &s.doc
	setText(&d.Model, in["model"])
	setText(&d.ServedModel, in["served_model_name"])
	if q := in["quantization"]; q != "" {
		d.Quantization = q
	}
	if t := in["dtype"]; t != "auto" {
		setText(&d.DType, strings.TrimPrefix(t, "torch."))
	}
	setText(&d.KVCacheDType, in["kv_cache_dtype"])
	setCount(&d.TensorParallel, in["tensor_parallel_size"])
	setCount(&d.PipelineParallel, in["pipeline_parallel_size"])
	setCount(&d.DataParallel, in["data_parallel_size"])
	setCount(&d.MaxModelLen, in["max_model_len"])
	setCount(&d.MaxNumSeqs, in["max_num_seqs"])
	setCount(&d.MaxNumBatchedTokens, in["max_num_batched_tokens"])
	setCount(&d.BlockTokens, in["block_size"])
	setShare(&d.GPUMemoryUtilization, in["gpu_memory_utilization"])
	d.KVCacheByHand = d.KVCacheByHand || in["num_gpu_blocks_override"] != "" || in["kv_cache_memory_bytes"] != ""
	setBool(&d.EnforceEager, in["enforce_eager"])
	setBool(&d.ChunkedPrefill, in["enable_chunked_prefill"])
	setBool(&d.PrefixCaching, in["enable_prefix_caching"])
	setBool(&d.ExpertParallel, in["enable_expert_parallel"])
	if m := imageLimit.FindStringSubmatch(line); m != nil {
		if n, ok := parseCount(m[1]); ok {
			d.ImagesPerPrompt = &n
		}
	}
}

// imageLimit finds the images of --limit-mm-per-prompt.
var imageLimit = regexp.MustCompile(`limit_mm_per_prompt'?(?:=|: )\{[^}]*'image': (\d+)`)

// configuration takes what the engine made of it; it says last what holds.
func (s *startup) configuration(line string) {
	in, d := settings(line), &s.doc
	setText(&d.Model, in["model"])
	setText(&d.ServedModel, in["served_model_name"])
	setText(&d.DType, strings.TrimPrefix(in["dtype"], "torch."))
	setText(&d.KVCacheDType, in["kv_cache_dtype"])
	setText(&d.Device, in["device_config"])
	if strings.Contains(line, "quantization=None") {
		d.Quantization = "none"
	}
	setText(&d.Quantization, in["quantization"])
	setCount(&d.TensorParallel, in["tensor_parallel_size"])
	setCount(&d.PipelineParallel, in["pipeline_parallel_size"])
	setCount(&d.DataParallel, in["data_parallel_size"])
	setCount(&d.MaxModelLen, in["max_seq_len"])
	setBool(&d.EnforceEager, in["enforce_eager"])
	setBool(&d.ChunkedPrefill, in["enable_chunked_prefill"])
	setBool(&d.ChunkedPrefill, in["chunked_prefill_enabled"])
	setBool(&d.PrefixCaching, in["enable_prefix_caching"])
}

func setText(at *string, v string) {
	if v != "" {
		*at = v
	}
}

func setBool(at **bool, v string) {
	switch v {
	case "True":
		*at = new(true)
	case "False":
		*at = new(false)
	}
}
