package catalog

import (
	"slices"
	"strings"
	"testing"
)

func TestFindGPU(t *testing.T) {
	tests := []struct{ name, want string }{
		{"rtx-3090", "NVIDIA GeForce RTX 3090"},
		{"RTX 3090", "NVIDIA GeForce RTX 3090"},
		{"GeForce RTX 3090", "NVIDIA GeForce RTX 3090"},
		{"NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 3090"},
		{"3090 ti", "NVIDIA GeForce RTX 3090 Ti"},
		{"NVIDIA A100-SXM4-80GB", "NVIDIA A100-SXM4-80GB"},
		{"a100-80gb", "NVIDIA A100-SXM4-80GB"},
		{"a100-40gb", "NVIDIA A100-SXM4-40GB"},
		{"h100", "NVIDIA H100 80GB HBM3"},
		{"NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"},
		{"Tesla T4", "Tesla T4"},
		{"nvidia t4", "Tesla T4"},
		{"L40S", "NVIDIA L40S"},
	}
	for _, tc := range tests {
		g, err := FindGPU(tc.name)
		if err != nil || g.Name != tc.want {
			t.Errorf("%s: %q, %v, want %q", tc.name, g.Name, err, tc.want)
		}
	}
	_, err := FindGPU("rtx 3099")
	if err == nil || !strings.Contains(err.Error(), "rtx-3090") {
		t.Errorf("rtx 3099: error %v, want one that offers rtx-3090", err)
	}
	if _, err := FindGPU(""); err == nil {
		t.Error("an empty name found a GPU")
	}
}

// TestGPUs holds laws of the table: each card can be found by all its names, and its numbers are
// of the right size.
func TestGPUs(t *testing.T) {
	seen := make(map[string]string)
	for _, g := range GPUs() {
		for _, name := range append(slices.Clone(g.Aliases), g.Name, g.Slug) {
			found, err := FindGPU(name)
			if err != nil || found.Name != g.Name {
				t.Errorf("%s is found as %q (%v), want %q", name, found.Name, err, g.Name)
			}
		}
		if other, dup := seen[g.Slug]; dup {
			t.Errorf("slug %s is that of %s and %s", g.Slug, other, g.Name)
		}
		seen[g.Slug] = g.Name
		nvml := float64(g.MemoryNVMLMiB) / 1024
		if g.MemoryNVMLMiB > 0 && (g.MemoryTorchGiB >= nvml || g.MemoryTorchGiB < 0.93*nvml) {
			t.Errorf("%s: torch sees %.2f GiB of %.2f", g.Name, g.MemoryTorchGiB, nvml)
		}
		if bf16 := g.ComputeCapability >= 8; bf16 != (g.BF16TFLOPS > 0) {
			t.Errorf("%s: compute capability %.1f, BF16 %v TFLOPS", g.Name, g.ComputeCapability, g.BF16TFLOPS)
		}
		if fp8 := g.ComputeCapability >= 8.9; fp8 != (g.FP8TFLOPS > 0) {
			t.Errorf("%s: compute capability %.1f, FP8 %v TFLOPS", g.Name, g.ComputeCapability, g.FP8TFLOPS)
		}
		if g.BandwidthGBs < 200 || g.BandwidthGBs > 10000 || g.FP16TFLOPS < 20 || g.MemoryTorchGiB < 8 || g.PriceNote == "" {
			t.Errorf("%s: %+v", g.Name, g)
		}
		if g.PriceUSD != nil && *g.PriceUSD < 100 {
			t.Errorf("%s costs %v", g.Name, *g.PriceUSD)
		}
	}
	if len(seen) != 40 {
		t.Errorf("%d cards, want 40", len(seen))
	}
	spark, err := FindGPU("gb10")
	if err != nil || !spark.MemoryTorchEstimated || spark.MemoryTorchGiB < 110 || spark.MemoryTorchGiB > 120 {
		t.Errorf("gb10: %.1f GiB, estimated %v, %v", spark.MemoryTorchGiB, spark.MemoryTorchEstimated, err)
	}
}

func TestCloudOffers(t *testing.T) {
	offers := CloudOffers()
	if len(offers) != 62 {
		t.Errorf("%d offers, want 62", len(offers))
	}
	for _, o := range offers {
		if _, err := FindGPU(o.GPU); err != nil {
			t.Errorf("%s %s: %v", o.Provider, o.InstanceType, err)
		}
		if o.PriceDate == "" || o.GPUCount < 1 {
			t.Errorf("%s %s: %+v", o.Provider, o.InstanceType, o)
		}
		if o.USDPerHour == nil || o.USDPerGPUHour == nil {
			continue
		}
		if each := *o.USDPerHour / float64(o.GPUCount); each / *o.USDPerGPUHour > 1.001 || each / *o.USDPerGPUHour < 0.999 {
			t.Errorf("%s %s: %v an hour is not %d × %v", o.Provider, o.InstanceType, *o.USDPerHour, o.GPUCount, *o.USDPerGPUHour)
		}
	}
}
