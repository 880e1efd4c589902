package main

import (
	"bytes"
	"embed"
	"encoding/csv"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"bench/internal/capacity"
	"bench/internal/catalog"
)

// measurementsCSV is published serving measurements of vLLM, one source a row.
//
//go:embed data/serving_measurements.csv
var measurementsCSV string

// row is one line of a table, by column name.
type row map[string]string

func readRows(text string) ([]row, error) {
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return nil, err
	}
	var out []row
	for _, line := range lines[1:] {
		r := row{}
		for i, name := range lines[0] {
			r[name] = line[i]
		}
		out = append(out, r)
	}
	return out, nil
}

// number is a cell's figure; ok is false where it is blank or none.
func (r row) number(name string) (v float64, ok bool) {
	v, err := strconv.ParseFloat(r[name], 64)
	return v, err == nil
}

func (r row) int(name string) int {
	n, _ := strconv.Atoi(r[name])
	return n
}

// first is the first of several cells that holds a figure.
func (r row) first(names ...string) (v float64, ok bool) {
	for _, name := range names {
		if v, ok = r.number(name); ok {
			return v, true
		}
	}
	return 0, false
}

// measurement is one published measurement as the model sees it. Lengths are what the requests had,
// which for one source is 90 % of what it names.
type measurement struct {
	row
	model    catalog.Model
	gpu      catalog.GPU
	engine   capacity.Engine
	load     capacity.Load // of one replica
	replicas int
	openRate float64 // requests a second and replica of an open loop; 0 = none
	offline  bool    // one call over a list of prompts: no HTTP, prompt time inside its rate
}

// sameBuild maps checkpoints that are built like a model of the catalogue under another name.
var sameBuild = map[string]string{
	"meta-llama/Meta-Llama-3-8B-Instruct":  "meta-llama/Llama-3.1-8B-Instruct",
	"meta-llama/Meta-Llama-3-70B-Instruct": "meta-llama/Llama-3.1-70B-Instruct",
	"meta-llama/Llama-3.1-70B":             "meta-llama/Llama-3.1-70B-Instruct",
}

// cardSlugs maps how sources write a card to its slug, where that is no alias.
var cardSlugs = map[string]string{
	"A100 SXM 40GB": "a100-40gb", "A100 SXM 80GB": "a100-80gb", "A800 SXM 80GB": "a100-80gb",
	"H100 SXM": "h100", "H200 SXM": "h200", "B200 SXM": "b200", "RTX A6000": "a6000", "RTX 6000 Ada": "rtx-6000-ada",
	"V100 PCIe 32GB": "v100-32gb",
}

// variants are cards that differ from one of the catalogue only in rate. Their rates are those of
// the makers' data sheets.
var variants = map[string]struct {
	slug                 string
	bandwidth, bf16, fp8 float64
	fp16                 float64
	pcie                 int // generation, where the variant is a PCIe card; 0 = as its sister
}{
	"V100S PCIe 32GB": {slug: "v100-32gb", bandwidth: 1134, fp16: 130, pcie: 3},
	"RTX 4090 D":      {slug: "rtx-4090", bandwidth: 1008, fp16: 147, bf16: 147, fp8: 294},
	"H20-3e":          {slug: "h200", bandwidth: 4800, fp16: 148, bf16: 148, fp8: 296},
}

// cardNamed finds a source's card.
func cardNamed(name string) (catalog.GPU, error) {
	if v, ok := variants[name]; ok {
		g, err := catalog.FindGPU(v.slug)
		if v.pcie > 0 {
			g.FormFactor, g.PCIeGen, g.NVLinkGBs = "pcie", v.pcie, 0
		}
		g.Name, g.BandwidthGBs, g.FP16TFLOPS, g.BF16TFLOPS, g.FP8TFLOPS = name, v.bandwidth, v.fp16, v.bf16, v.fp8
		return g, err
	}
	if slug, ok := cardSlugs[name]; ok {
		name = slug
	}
	return catalog.FindGPU(name)
}

// smallModels are config.json files of models that the catalogue leaves out and measurements were
// made with.
//
//go:embed data/models/*.json
var smallModels embed.FS

// modelNamed finds a source's model.
func modelNamed(name string) (catalog.Model, error) {
	file := "data/models/" + name[strings.LastIndex(name, "/")+1:] + ".json"
	if text, err := smallModels.ReadFile(file); err == nil {
		return catalog.ParseConfig(name, bytes.NewReader(text))
	}
	if same, ok := sameBuild[name]; ok {
		name = same
	}
	m, _, ok := catalog.GuessModel(name)
	if !ok {
		return m, fmt.Errorf("not in the catalogue")
	}
	return m, nil
}

var versionOf = regexp.MustCompile(`vLLM (\d[\w.]*)`)

// measurements reads the table. A row whose card or model the catalogue does not hold is returned among
// skipped, with the reason.
func measurements() (out []measurement, skipped map[string]int, err error) {
	rows, err := readRows(measurementsCSV)
	if err != nil {
		return nil, nil, fmt.Errorf("serving_measurements.csv: %w", err)
	}
	skipped = map[string]int{}
	for _, r := range rows {
		m, reason := measurementOf(r)
		if reason != "" {
			skipped[reason]++
			continue
		}
		out = append(out, m)
	}
	return out, skipped, nil
}

func measurementOf(r row) (m measurement, skip string) {
	m.row = r
	var err error
	if m.model, err = modelNamed(r["model_id"]); err != nil {
		return m, "model " + r["model_id"] + ": " + err.Error()
	}
	if m.gpu, err = cardNamed(r["gpu_name"]); err != nil {
		return m, "card " + r["gpu_name"] + ": " + err.Error()
	}
	tp := max(r.int("tensor_parallel"), 1)
	m.replicas = max(r.int("gpu_count")/tp, 1)
	m.engine = capacity.Engine{TensorParallel: tp, Quantization: weightsNamed(r["quantization"]), EnforceEager: r["eager"] != ""}
	if v := versionOf.FindStringSubmatch(r["engine"]); v != nil {
		m.engine.Version = v[1]
	}
	m.offline = strings.Contains(r["engine"], "offline")
	share, ok := r.number("length_share")
	if !ok {
		share = 1
	}
	m.load = capacity.Load{InputTokens: max(int(share*float64(r.int("input_tokens"))), 1), OutputTokens: max(int(share*float64(r.int("output_tokens"))), 1),
		Concurrent: max(r.int("concurrency")/m.replicas, 1)}
	m.engine.MaxModelLen = min(m.model.MaxPositionEmbeddings, max(8192, 2*(m.load.InputTokens+m.load.OutputTokens)))
	switch r["load_kind"] {
	case "burst":
		m.load.Kind = capacity.LoadBurst
		m.load.Concurrent = max(r.int("requests")/m.replicas, 1)
		if r.int("requests") == 0 {
			return m, "burst of a size that is not printed"
		}
	case "open_loop_poisson":
		rate, ok := r.number("request_rate")
		if !ok {
			return m, "open loop of a rate that is not printed"
		}
		m.openRate = rate / float64(m.replicas)
	}
	return m, ""
}

// weightsNamed maps how sources name a checkpoint's weights to vLLM's name.
func weightsNamed(s string) string {
	switch s = strings.ToLower(s); {
	case strings.HasPrefix(s, "fp8"):
		return "fp8"
	case strings.Contains(s, "int8"):
		return "int8"
	case strings.Contains(s, "gptq"):
		return "gptq"
	case strings.Contains(s, "awq"):
		return "awq"
	}
	return ""
}
