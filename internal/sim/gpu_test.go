package sim

import (
	"testing"
	"time"
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
		if tdp := *infos[0].PowerLimitW; *busy[0].PowerW != tdp || *idle[0].PowerW >= tdp/2 || *busy[0].TemperatureC <= *idle[0].TemperatureC {
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
