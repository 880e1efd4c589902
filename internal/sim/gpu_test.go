package sim

import (
	"errors"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bench/internal/record"
)

func TestVirtualGPUsShowTheLoad(t *testing.T) {
	bubble(t, "sim:gpu=h100-sxm,model=Qwen/Qwen3-32B,tp=2", func(t *testing.T, s *Server) {
		infos := s.GPUs()
		if len(infos) != 2 || infos[0].UUID == infos[1].UUID || infos[0].Source != "simulated" || *infos[0].MemoryUsedMiB >= *infos[0].MemoryTotalMiB {
			t.Fatalf("%+v", infos)
		}
		s.SampleGPU(0)
		time.Sleep(time.Second)
		idle := s.SampleGPU(1)
		burst(t, s, 4, func(i int) string { return chatFields(i, 100, 400) })
		busy := s.SampleGPU(2)
		if len(idle) != 2 || *idle[0].GPUUtil != 0 || *busy[1].GPUUtil != 100 {
			t.Errorf("utilisation %v idle, %v busy", *idle[0].GPUUtil, *busy[1].GPUUtil)
		}
		if *idle[0].MemoryUsedMiB != *busy[0].MemoryUsedMiB {
			t.Error("memory moves with load: vLLM takes it all at start")
		}
		if tdp := *infos[0].PowerLimitW; *busy[0].PowerW >= tdp || *busy[0].PowerW < tdp/2 || *idle[0].PowerW >= tdp/2 || *busy[0].TemperatureC <= *idle[0].TemperatureC {
			t.Errorf("power %v W idle, %v W busy, %v °C, %v °C", *idle[0].PowerW, *busy[0].PowerW, *idle[0].TemperatureC, *busy[0].TemperatureC)
		}
		if busy[0].AtNS != 2 || busy[1].Index != 1 {
			t.Errorf("%+v", busy)
		}
		if again := s.SampleGPU(3); *again[0].GPUUtil != 100 { // in the same instant: nothing new to average
			t.Errorf("utilisation %v when read again", *again[0].GPUUtil)
		}
	})
}

// The energy counter is the integral of the power that the cards show, however often they are read.
func TestEnergyIsTheIntegralOfPower(t *testing.T) {
	bubble(t, "sim:gpu=rtx-3090", func(t *testing.T, s *Server) {
		first := *s.SampleGPU(0)[0].EnergyJ
		var integral float64
		done := make(chan struct{})
		go func() {
			defer close(done)
			burst(t, s, 4, func(i int) string { return chatFields(i, 100, 200) })
		}()
		const period = 100 * time.Millisecond
		for range 100 {
			time.Sleep(period)
			integral += *s.SampleGPU(0)[0].PowerW * period.Seconds()
		}
		<-done
		grown := *s.SampleGPU(0)[0].EnergyJ - first
		if math.Abs(grown-integral) > 1e-6*integral || integral <= 10*idlePowerShare*350 {
			t.Errorf("counter grew by %v J, power adds up to %v J", grown, integral)
		}
	})
}

func TestThrottledCards(t *testing.T) {
	during := func(target string, n int) (x record.GPUSample, took time.Duration) {
		bubble(t, target, func(t *testing.T, s *Server) {
			sampled := make(chan struct{})
			go func() {
				defer close(sampled)
				time.Sleep(time.Second) // all run and none has ended
				x = s.SampleGPU(0)[0]
			}()
			took = burst(t, s, n, func(i int) string { return chatFields(i, 100, 200) })[0].last
			<-sampled
			if after := s.SampleGPU(0)[0]; record.ClockEvents(*after.ClockEvents)&throttleReasons != 0 {
				t.Errorf("%s: still throttled when nothing runs", target)
			}
		})
		return x, took
	}
	well, fast := during("sim:throttle-at=4", 3)
	hot, slow := during("sim:throttle-at=3", 3)
	if names := record.ClockEvents(*hot.ClockEvents).Names(); !slices.Equal(names, []string{"hw_slowdown", "hw_thermal_slowdown"}) {
		t.Errorf("a throttled card says %v", names)
	}
	if *hot.SMClockMHz*throttleSlowdown > *well.SMClockMHz || *hot.PowerW >= *well.PowerW || *hot.TemperatureC <= *well.TemperatureC {
		t.Errorf("throttled %v MHz, %v W, %v °C; else %v MHz, %v W, %v °C",
			*hot.SMClockMHz, *hot.PowerW, *hot.TemperatureC, *well.SMClockMHz, *well.PowerW, *well.TemperatureC)
	}
	if *well.ClockEvents != 0 || *well.PowerW >= *well.PowerLimitW {
		t.Errorf("a card that is well says %#x and draws %v W", int(*well.ClockEvents), *well.PowerW)
	}
	if ratio := slow.Seconds() / fast.Seconds(); math.Abs(ratio-throttleSlowdown) > 0.01 {
		t.Errorf("throttled requests took %v, others %v", slow, fast)
	}
}

// What a virtual card does not give is listed, and nothing else is.
func TestAbsentColumnsAreListed(t *testing.T) {
	bubble(t, "sim:gpu=rtx-3090", func(t *testing.T, s *Server) {
		folder, err := record.LockFolder(t.TempDir() + "/results")
		if err != nil {
			t.Fatal(err)
		}
		defer folder.Close()
		log, name := folder.NewGPULog("requests/T1.jsonl", s.GPUs())
		samples := s.SampleGPU(1)
		if err := errors.Join(log.Append(samples...), log.Close()); err != nil {
			t.Fatal(err)
		}
		if got, err := folder.ReadGPUSamples(name); err != nil || !reflect.DeepEqual(got, samples) {
			t.Errorf("read back %+v, %v; sampled %+v", got, err, samples)
		}
		data, err := os.ReadFile(folder.Path(name))
		if header, row, _ := strings.Cut(string(data), "\n"); err != nil || strings.Contains(row, ",,") {
			t.Errorf("a column without a reading: %s %s %v", header, row, err)
		}
	})
}
