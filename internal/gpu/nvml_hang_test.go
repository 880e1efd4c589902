//go:build linux && cgo

package gpu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bench/internal/record"
)

// within calls sample with a context that lasts d.
func within(t *testing.T, d time.Duration, source Source, atNS int64) ([]record.GPUSample, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return source.Sample(ctx, atNS)
}

// checkHangs lets one call hang: its caller leaves in time, the next ones are refused at once, and
// when the driver is back so are the readings, none of them late.
func checkHangs(t *testing.T) {
	values := os.Getenv("FAKENVML_VALUES")
	const bound, hang = 100 * time.Millisecond, 2 * time.Second
	source, _ := open(t, nil)
	writeFile(t, values, twoGPUs+fmt.Sprintf("hang.power %d\n", hang.Milliseconds()))
	start := time.Now()
	if _, err := within(t, bound, source, 1); !errors.Is(err, errStuck) {
		t.Errorf("hanging call: %v", err)
	}
	if took := time.Since(start); took < bound || took >= hang {
		t.Errorf("hanging call was left after %v, bound %v", took, bound)
	}
	writeFile(t, values, twoGPUs)
	if _, err := within(t, time.Minute, source, 2); err != errStuck {
		t.Errorf("call beside a hanging one: %v", err)
	}
	if took := time.Since(start); took >= hang {
		t.Errorf("call beside a hanging one waited until %v", took)
	}
	for {
		samples, err := within(t, time.Minute, source, 3)
		if err == nil {
			sameSamples(t, samples, wantSamples(3))
			break
		}
		if !errors.Is(err, errStuck) || time.Since(start) > time.Minute {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// checkLosesInterest: a caller that leaves before its time is up says nothing against the driver.
func checkLosesInterest(t *testing.T) {
	source, _ := open(t, nil)
	writeFile(t, os.Getenv("FAKENVML_VALUES"), twoGPUs+"hang.power 100\n")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := source.Sample(ctx, 1); err != context.Canceled {
		t.Errorf("error %v", err)
	}
	samples, err := within(t, time.Minute, source, 2)
	if err != nil {
		t.Fatal(err)
	}
	sameSamples(t, samples, wantSamples(2))
}

// checkHangsInPCIe: what is read beside the regular readings may hang without disturbing them.
func checkHangsInPCIe(t *testing.T) {
	source, _, err := Open(NVML, nil)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, os.Getenv("FAKENVML_VALUES"), twoGPUs+"hang.pcie_tx 3600000\n")
	for i := range 20 {
		samples, err := within(t, time.Minute, source, int64(i))
		if err != nil {
			t.Fatal(err)
		}
		sameSamples(t, samples, wantSamples(int64(i)))
	}
	start := time.Now()
	if err := source.Close(); !errors.Is(err, errStuck) || time.Since(start) > 2*nvmlCloseBound {
		t.Errorf("Close after %v: %v", time.Since(start), err)
	}
}

func checkHangsForGood(t *testing.T) {
	source, _, err := Open(NVML, nil)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, os.Getenv("FAKENVML_VALUES"), twoGPUs+"hang.power 3600000\n")
	for range 2 {
		if _, err := within(t, 50*time.Millisecond, source, 1); !errors.Is(err, errStuck) {
			t.Errorf("hanging call: %v", err)
		}
	}
	if err := source.Close(); !errors.Is(err, errStuck) {
		t.Errorf("Close: %v", err)
	}
}

func checkHangsAtOpen(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	source, _, err := openNVMLLibrary(ctx, nvmlLibrary, nil)
	if source != nil || !errors.Is(err, errStuck) {
		t.Errorf("%v, %v", source, err)
	}
}

// BenchmarkNVMLTick is what one sample of every column costs this program: the owner's hand-over, the
// calls into C without the driver's own work, and the line appended to the memory log for each GPU.
// %core is that at ten samples a second.
func BenchmarkNVMLTick(b *testing.B) {
	library := filepath.Join(b.TempDir(), nvmlLibrary)
	buildFakeNVML(b, library, "-DFIXED")
	for _, gpus := range []int{1, 8} {
		b.Run(fmt.Sprintf("gpus=%d", gpus), func(b *testing.B) {
			ctx, cancel := context.WithTimeout(context.Background(), nvmlOpenBound)
			defer cancel()
			source, _, err := openNVMLLibrary(ctx, library, []int{0, 1, 2, 3, 4, 5, 6, 7}[:gpus])
			if err != nil {
				b.Fatal(err)
			}
			infos, err := source.GPUs(ctx)
			if err != nil {
				b.Fatal(err)
			}
			folder, err := record.LockFolder(filepath.Join(b.TempDir(), "results"))
			if err != nil {
				b.Fatal(err)
			}
			defer folder.Close()
			log, _ := folder.NewGPULog("requests/T4.jsonl", infos)
			for b.Loop() {
				tick, cancel := context.WithTimeout(context.Background(), time.Minute)
				samples, err := source.Sample(tick, 1)
				cancel()
				if err != nil || len(samples) != gpus {
					b.Fatal(samples, err)
				}
				if err := log.Append(samples...); err != nil {
					b.Fatal(err)
				}
			}
			share := 100 * b.Elapsed().Seconds() / float64(b.N) / nvmlPeriod.Seconds()
			b.ReportMetric(share, "%core")
			if share > 1 {
				b.Errorf("sampling %d GPUs takes %.2f %% of a core, 1 %% is allowed", gpus, share)
			}
			if err := errors.Join(log.Close(), source.Close()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
