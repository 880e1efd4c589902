package capacity

import (
	"math"
	"strings"
	"testing"
)

// TestSpeedCaveats names what no measurement stands behind.
func TestSpeedCaveats(t *testing.T) {
	m := model(t, gemma)
	if got := SpeedCaveats(m, gpu(t, "h100"), Engine{}); len(got) != 0 {
		t.Errorf("a dense model on one H100: %q", got)
	}
	got := SpeedCaveats(m, gpu(t, "rtx-4090"), Engine{TensorParallel: 4, EnforceEager: true})
	if len(got) != 2 || !strings.Contains(got[0], "GeForce") || !strings.Contains(got[1], "--enforce-eager") {
		t.Errorf("four RTX 4090, eager: %q", got)
	}
	if d := math.Abs(peakTFLOPS(Engine{DType: "float32"}, scheme{bits: 16, computeBits: 16}, gpu(t, "v100-32gb")) - 15.6); d > 0.1 {
		t.Errorf("float32 on a V100 is %.1f TFLOPS off", d)
	}
}
