package catalog

import (
	_ "embed" // gpus.csv
	"fmt"
	"slices"
	"strings"
	"sync"
)

//go:embed data/gpus.csv
var gpusCSV string

// GPU is one card. Rates are dense and, for GeForce cards, those with FP32 accumulation, which
// is what vLLM's kernels use; a rate of 0 means the card has no unit for it.
type GPU struct {
	Name              string // as NVML prints it
	Slug              string // first alias: rtx-3090
	Aliases           []string
	Architecture      string  // Ampere, Ada Lovelace, Hopper, …
	ComputeCapability float64 // 8.6, 9.0, …

	MemoryMarketingGB    int
	MemoryNVMLMiB        int     // total as nvidia-smi prints it; 0 where NVML reports none (shared memory)
	MemoryTorchGiB       float64 // total as torch sees it: the base of vLLM's budget
	MemoryTorchEstimated bool    // no log showed it; derived from the NVML or marketing figure

	BandwidthGBs float64 // 10^9 bytes/s
	FP16TFLOPS   float64
	BF16TFLOPS   float64
	FP8TFLOPS    float64
	FP4TFLOPS    float64
	TDPW         int
	NVLinkGBs    float64 // 0 = none
	PCIeGen      int     // 0 = none
	FormFactor   string  // pcie, sxm, superchip, soc

	PriceUSD  *float64 // reference price of one card; nil = none known
	PriceNote string   // whose price it is, with its date
	Source    string
}

// GeForce says whether g is a consumer card: half-rate FP32 accumulation, no peer-to-peer over
// PCIe in the stock driver, and a desktop may hold some of its memory.
func (g GPU) GeForce() bool { return strings.Contains(g.Name, "GeForce") }

var gpus = sync.OnceValue(func() []GPU { return parseGPUs(gpusCSV) })

// GPUs are all known cards in the catalogue's order. The caller may change the slice.
func GPUs() []GPU { return slices.Clone(gpus()) }

// FindGPU finds a card by slug, alias or NVML name, whatever the case and punctuation; a vendor
// prefix may be left out. The error offers the nearest slugs.
func FindGPU(name string) (GPU, error) {
	want := gpuKey(name)
	var slugs []string
	for _, g := range gpus() {
		if want != "" && (want == gpuKey(g.Name) || slices.ContainsFunc(g.Aliases, func(a string) bool { return want == gpuKey(a) })) {
			return g, nil
		}
		slugs = append(slugs, g.Slug)
	}
	return GPU{}, fmt.Errorf("unknown GPU %q; did you mean %s?", name, strings.Join(nearest(want, slugs, 3), ", "))
}

// gpuKey reduces a card's name to what tells cards apart: lower case, words joined by single
// hyphens, no vendor or brand that appears in one spelling and not in the other.
func gpuKey(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return r == ' ' || r == '-' || r == '_' || r == '(' || r == ')'
	})
	words = slices.DeleteFunc(words, func(w string) bool {
		return w == "nvidia" || w == "geforce" || w == "tesla"
	})
	return strings.Join(words, "-")
}

// parseGPUs reads the embedded table. It is part of the program, so a bad row is a bug, which
// the package's tests find.
func parseGPUs(text string) []GPU {
	var list []GPU
	for row := range csvRows(text) {
		g := GPU{
			Name:              row.text("name"),
			Aliases:           strings.Split(row.text("aliases"), ";"),
			Architecture:      row.text("architecture"),
			ComputeCapability: row.number("compute_capability"),
			MemoryMarketingGB: int(row.number("vram_marketing_gb")),
			MemoryNVMLMiB:     int(row.number("vram_nvml_mib")),
			MemoryTorchGiB:    row.number("vram_torch_gib"),
			BandwidthGBs:      row.number("mem_bandwidth_gbs"),
			FP16TFLOPS:        row.number("fp16_dense_tflops"),
			BF16TFLOPS:        row.number("bf16_dense_tflops"),
			FP8TFLOPS:         row.number("fp8_dense_tflops"),
			FP4TFLOPS:         row.number("fp4_dense_tflops"),
			TDPW:              int(row.number("tdp_w")),
			NVLinkGBs:         row.number("nvlink_gbs"),
			PCIeGen:           int(row.number("pcie_gen")),
			FormFactor:        row.text("form_factor"),
			PriceUSD:          row.optional("price_usd_reference"),
			PriceNote:         row.text("price_note"),
			Source:            row.text("source"),
		}
		g.Slug = gpuKey(g.Aliases[0])
		if g.MemoryTorchGiB == 0 {
			g.MemoryTorchGiB, g.MemoryTorchEstimated = estimateTorchGiB(g), true
		}
		list = append(list, g)
	}
	return list
}

// estimateTorchGiB is what torch sees of a card nobody has logged: the NVML total less what the
// driver keeps, 0.6 GiB, or 1 GiB on cards above 100 GiB. Where NVML reports none, the marketing
// figure stands in for it.
func estimateTorchGiB(g GPU) float64 {
	gib := float64(g.MemoryNVMLMiB) / 1024
	if g.MemoryNVMLMiB == 0 {
		gib = float64(g.MemoryMarketingGB) * 1e9 / (1 << 30)
	}
	if gib > 100 {
		return gib - 1
	}
	return gib - 0.6
}
