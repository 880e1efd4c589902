package record

import (
	"fmt"
	"strings"
)

// GPUInfo is one GPU of this machine (or of the simulator).
type GPUInfo struct {
	Index          int      `json:"index"`
	UUID           string   `json:"uuid"`
	Name           string   `json:"name"`
	MemoryTotalMiB *float64 `json:"memory_total_mib"`
	MemoryUsedMiB  *float64 `json:"memory_used_mib"`
	DriverVersion  string   `json:"driver_version,omitempty"`
	ComputeCap     string   `json:"compute_capability,omitempty"`
	PowerLimitW    *float64 `json:"power_limit_w,omitempty"`
	Source         string   `json:"source"` // nvml, nvidia-smi, simulated
	// MIG says that the GPU is split into instances: figures of the whole GPU are then absent.
	MIG bool `json:"mig,omitempty"`
	// Absent are the columns of the memory log that this GPU does not give, each with the reason.
	Absent []AbsentColumn `json:"absent_columns,omitempty"`
}

// NotRead lists the columns that the GPU does not give, those with one reason together; "" where it gives all.
func (g GPUInfo) NotRead() string {
	var reasons []string
	columns := map[string][]string{}
	for _, a := range g.Absent {
		if columns[a.Reason] == nil {
			reasons = append(reasons, a.Reason)
		}
		columns[a.Reason] = append(columns[a.Reason], a.Column)
	}
	for i, reason := range reasons {
		reasons[i] = fmt.Sprintf("%s (%s)", strings.Join(columns[reason], ", "), reason)
	}
	return strings.Join(reasons, "; ")
}

// AbsentColumn is a column of the memory log that a GPU does not give.
type AbsentColumn struct {
	Column string `json:"column"`
	Reason string `json:"reason"`
}

// GPUSample is one reading of one GPU; null (empty in CSV) where the driver did not say.
type GPUSample struct {
	AtNS           int64
	Index          int
	MemoryUsedMiB  *float64
	MemoryTotalMiB *float64
	GPUUtil        *float64 // percent
	MemoryUtil     *float64 // percent
	PowerW         *float64 // as nvidia-smi's power.draw: most cards since Ampere average it over a second
	PowerLimitW    *float64 // enforced
	EnergyJ        *float64 // counter since the driver was loaded
	SMClockMHz     *float64
	MemClockMHz    *float64
	TemperatureC   *float64
	ClockEvents    *float64 // bits of [ClockEvents]

	// What follows is read about once a second and stands in one sample a reading.

	ECCUncorrected *float64 // counter since the last reboot
	XID            *float64 // of the last XID error since the reading before; null where none came
	PCIeTxKBps     *float64 // as the driver measured it over 20 ms
	PCIeRxKBps     *float64
}

// ClockEvents are reasons why a GPU's clocks are lower than they could be, as NVML's bits have them
// (nvmlClocksEventReasons, in older drivers nvmlClocksThrottleReasons).
type ClockEvents uint64

// The reasons. Of these SWPowerCap is the usual state of a busy card at its power limit; the thermal
// ones, HWSlowdown and HWPowerBrake say that the card could not hold what it was built for.
const (
	ClockGPUIdle            ClockEvents = 1 << iota // nothing runs
	ClockApplicationSetting                         // clocks were set by somebody
	ClockSWPowerCap                                 // at the power limit
	ClockHWSlowdown                                 // halved or less: heat, power brake or a fault of the supply
	ClockSyncBoost                                  // kept equal to a slower card
	ClockSWThermalSlowdown                          // above the driver's temperature target
	ClockHWThermalSlowdown                          // too hot, halved or less
	ClockHWPowerBrake                               // the supply or the chassis asked for less
	ClockDisplaySetting                             // held by a display
	ClockBoardLimit                                 // board's limit of current or voltage
	ClockReliability                                // held to spare the chip
)

// clockEventNames are the bits' names as nvidia-smi has them, in the bits' order.
var clockEventNames = [...]string{"gpu_idle", "applications_clocks_setting", "sw_power_cap", "hw_slowdown", "sync_boost",
	"sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown", "display_clocks_setting", "board_limit", "reliability"}

// Names are the names of the reasons in c, in the bits' order; a bit without a name is left out.
func (c ClockEvents) Names() []string {
	var names []string
	for bit, name := range clockEventNames {
		if c&(1<<bit) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// GPUPeak is what one GPU showed over a test; null where the driver did not say.
type GPUPeak struct {
	Index          int      `json:"index"`
	UUID           string   `json:"uuid"`
	Name           string   `json:"name"`
	PeakMemoryMiB  *float64 `json:"peak_memory_mib"`
	MaxUtil        *float64 `json:"max_utilization_percent"`
	MaxMemoryUtil  *float64 `json:"max_memory_utilization_percent"`
	MaxPowerW      *float64 `json:"max_power_w"`
	PowerLimitW    *float64 `json:"power_limit_w"` // enforced
	MaxTempC       *float64 `json:"max_temperature_c"`
	MaxSMClockMHz  *float64 `json:"max_sm_clock_mhz"`
	MeanSMClockMHz *float64 `json:"mean_sm_clock_mhz"` // during the repeats
	// ClockEvents are the reasons for lowered clocks seen during the repeats; null where the driver
	// does not tell, empty where there was none.
	ClockEvents []ClockEventShare `json:"clock_events"`
	// ECCUncorrected is how many uncorrectable memory errors came during the test.
	ECCUncorrected *float64 `json:"ecc_uncorrected"`
	// XIDs are the driver's error numbers seen during the test, in order; null where it does not tell.
	XIDs []int `json:"xids"`
}

// ClockEventShare is one reason for lowered clocks.
type ClockEventShare struct {
	Reason string  `json:"reason"` // nvidia-smi's name
	Share  float64 `json:"share"`  // of the samples taken during the repeats, 0–1
}

// GPUSampling says how well a test's GPU samples were taken.
type GPUSampling struct {
	IntervalMS float64 `json:"interval_ms"` // asked for
	Samples    int     `json:"samples"`     // instants at which all GPUs were read
	MeanLateMS float64 `json:"mean_late_ms"`
	MaxLateMS  float64 `json:"max_late_ms"` // behind the instant asked for
	Missed     int     `json:"missed"`      // instants that passed while a reading was under way, or that failed
	// Failure is the first reading's error; sampling of the test ended with it when Abandoned.
	Failure   string `json:"failure,omitempty"`
	Abandoned bool   `json:"abandoned,omitempty"`
}

// GPUProcess is a compute process that holds memory of a GPU at one instant.
type GPUProcess struct {
	PID       int
	Name      string   // "" where it is not readable
	MemoryMiB *float64 // null where the driver does not say
	Server    *bool    // whether it belongs to the server; null where that is not known
}

// GPUProcessSeen is a compute process that was seen on a GPU during a test.
type GPUProcessSeen struct {
	GPUIndex  int      `json:"gpu"`
	PID       int      `json:"pid"`
	Name      string   `json:"name"`       // "" where it is not readable
	MemoryMiB *float64 `json:"memory_mib"` // the most it was seen with
	Server    *bool    `json:"server"`     // whether it belongs to the server; null where that is not known
	FirstNS   int64    `json:"first_ns"`   // first and last time it was seen, on the run's clock
	LastNS    int64    `json:"last_ns"`
}
