//go:build linux && cgo

package gpu

import (
	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"bench/internal/record"
)

// nvmlColumn is one call with the columns of the memory log that it fills.
type nvmlColumn struct {
	names   []string
	symbols []string // the driver's functions, of which it needs one
	whole   bool     // a figure of the whole GPU, which in MIG mode is not that of the server's instance
	slow    bool     // read at slowPeriod
	read    func(*nvmlDevice, *record.GPUSample) nvml.Return
}

// nvmlColumns are all columns. Memory has two forms of the call: the second (driver 510 and later) keeps
// what the driver itself reserves out of "used"; the first counts that in, some hundred MiB more.
// nvidia-smi of a driver uses the newest form the driver has, so the same is done here. Power is what
// nvidia-smi prints as power.draw.
func nvmlColumns() []nvmlColumn {
	return []nvmlColumn{
		{names: []string{"memory_used_mib", "memory_total_mib"}, symbols: []string{"nvmlDeviceGetMemoryInfo_v2"}, whole: true, read: readMemoryV2},
		{names: []string{"memory_used_mib", "memory_total_mib"}, symbols: []string{"nvmlDeviceGetMemoryInfo"}, whole: true, read: readMemory},
		{names: []string{"gpu_util_percent", "memory_util_percent"}, symbols: []string{"nvmlDeviceGetUtilizationRates"}, whole: true, read: readUtilisation},
		{names: []string{"power_w"}, symbols: []string{"nvmlDeviceGetPowerUsage"}, whole: true,
			read: func(d *nvmlDevice, s *record.GPUSample) nvml.Return {
				return number(d.handle.GetPowerUsage, 1000, &s.PowerW)
			}},
		{names: []string{"power_limit_w"}, symbols: []string{"nvmlDeviceGetEnforcedPowerLimit"},
			read: func(d *nvmlDevice, s *record.GPUSample) nvml.Return {
				return number(d.handle.GetEnforcedPowerLimit, 1000, &s.PowerLimitW)
			}},
		{names: []string{"energy_j"}, symbols: []string{"nvmlDeviceGetTotalEnergyConsumption"}, whole: true,
			read: func(d *nvmlDevice, s *record.GPUSample) nvml.Return {
				return number(d.handle.GetTotalEnergyConsumption, 1000, &s.EnergyJ)
			}},
		{names: []string{"sm_clock_mhz"}, symbols: []string{"nvmlDeviceGetClockInfo"},
			read: func(d *nvmlDevice, s *record.GPUSample) nvml.Return {
				return number(func() (uint32, nvml.Return) { return d.handle.GetClockInfo(nvml.CLOCK_SM) }, 1, &s.SMClockMHz)
			}},
		{names: []string{"memory_clock_mhz"}, symbols: []string{"nvmlDeviceGetClockInfo"},
			read: func(d *nvmlDevice, s *record.GPUSample) nvml.Return {
				return number(func() (uint32, nvml.Return) { return d.handle.GetClockInfo(nvml.CLOCK_MEM) }, 1, &s.MemClockMHz)
			}},
		{names: []string{"temperature_c"}, symbols: []string{"nvmlDeviceGetTemperature"},
			read: func(d *nvmlDevice, s *record.GPUSample) nvml.Return {
				return number(func() (uint32, nvml.Return) { return d.handle.GetTemperature(nvml.TEMPERATURE_GPU) }, 1, &s.TemperatureC)
			}},
		{names: []string{"clock_events"}, symbols: []string{"nvmlDeviceGetCurrentClocksEventReasons"},
			read: func(d *nvmlDevice, s *record.GPUSample) nvml.Return {
				return number(d.handle.GetCurrentClocksEventReasons, 1, &s.ClockEvents)
			}},
		{names: []string{"clock_events"}, symbols: []string{"nvmlDeviceGetCurrentClocksThrottleReasons"}, // before driver 535
			read: func(d *nvmlDevice, s *record.GPUSample) nvml.Return {
				return number(d.handle.GetCurrentClocksThrottleReasons, 1, &s.ClockEvents)
			}},
		{names: []string{"ecc_uncorrected"}, symbols: []string{"nvmlDeviceGetTotalEccErrors"}, whole: true, slow: true,
			read: func(d *nvmlDevice, s *record.GPUSample) nvml.Return {
				return number(func() (uint64, nvml.Return) {
					return d.handle.GetTotalEccErrors(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.VOLATILE_ECC)
				}, 1, &s.ECCUncorrected)
			}},
		{names: []string{"xid"}, symbols: []string{"nvmlEventSetWait_v2", "nvmlEventSetWait"}, slow: true, read: readXID},
		{names: []string{"pcie_tx_kb_per_s"}, symbols: []string{"nvmlDeviceGetPcieThroughput"}, whole: true, slow: true,
			read: func(d *nvmlDevice, s *record.GPUSample) nvml.Return {
				return number(func() (uint32, nvml.Return) { return d.handle.GetPcieThroughput(nvml.PCIE_UTIL_TX_BYTES) }, 1, &s.PCIeTxKBps)
			}},
		{names: []string{"pcie_rx_kb_per_s"}, symbols: []string{"nvmlDeviceGetPcieThroughput"}, whole: true, slow: true,
			read: func(d *nvmlDevice, s *record.GPUSample) nvml.Return {
				return number(func() (uint32, nvml.Return) { return d.handle.GetPcieThroughput(nvml.PCIE_UTIL_RX_BYTES) }, 1, &s.PCIeRxKBps)
			}},
	}
}

// chooseColumns tries every column once: one that the driver or the GPU does not have costs itself and
// nothing else, and its reason is kept. A reading that fails for another reason, as of a GPU that is
// lost, is tried again at each sample.
func (l *nvmlLib) chooseColumns(d *nvmlDevice) {
	reasons := map[string]string{}
	given := map[string]bool{}
	for _, c := range nvmlColumns() {
		if given[c.names[0]] {
			continue
		}
		reason := ""
		switch {
		case d.mig && c.whole:
			reason = migReason
		case !l.offers(c.symbols...):
			reason = "the driver has no " + c.symbols[0]
		default:
			switch ret := c.read(d, &record.GPUSample{}); ret {
			case nvml.ERROR_NOT_SUPPORTED, nvml.ERROR_NO_PERMISSION, nvml.ERROR_FUNCTION_NOT_FOUND, nvml.ERROR_ARGUMENT_VERSION_MISMATCH:
				reason = l.text(ret)
			}
		}
		for _, name := range c.names {
			given[name] = reason == ""
			reasons[name] = reason
		}
		switch {
		case reason != "":
		case c.slow:
			d.slow = append(d.slow, c)
		default:
			d.fast = append(d.fast, c)
		}
	}
	for _, name := range record.GPUColumns() {
		if reason := reasons[name]; reason != "" {
			d.absent = append(d.absent, record.AbsentColumn{Column: name, Reason: reason})
		}
	}
}

// read takes one reading of columns. A code other than success (GPU lost, unknown error) means that
// there is no reading, which is nil.
func (l *nvmlLib) read(d *nvmlDevice, columns []nvmlColumn, atNS int64) record.GPUSample {
	s := record.GPUSample{AtNS: atNS, Index: d.index}
	for _, c := range columns {
		c.read(d, &s)
	}
	return s
}

// number stores a reading in a unit that holds so many of the driver's.
func number[N uint32 | uint64](call func() (N, nvml.Return), driverUnits float64, to **float64) nvml.Return {
	value, ret := call()
	if ret == nvml.SUCCESS {
		*to = new(float64(value) / driverUnits)
	}
	return ret
}

func readMemoryV2(d *nvmlDevice, s *record.GPUSample) nvml.Return {
	m, ret := d.handle.GetMemoryInfo_v2()
	if ret == nvml.SUCCESS {
		s.MemoryUsedMiB, s.MemoryTotalMiB = new(mib(m.Used)), new(mib(m.Total))
	}
	return ret
}

func readMemory(d *nvmlDevice, s *record.GPUSample) nvml.Return {
	m, ret := d.handle.GetMemoryInfo()
	if ret == nvml.SUCCESS {
		s.MemoryUsedMiB, s.MemoryTotalMiB = new(mib(m.Used)), new(mib(m.Total))
	}
	return ret
}

func readUtilisation(d *nvmlDevice, s *record.GPUSample) nvml.Return {
	rates, ret := d.handle.GetUtilizationRates()
	if ret == nvml.SUCCESS {
		s.GPUUtil, s.MemoryUtil = new(float64(rates.Gpu)), new(float64(rates.Memory))
	}
	return ret
}

// watchXIDs asks the driver to keep the GPU's XID errors for later; d.xids stays nil where it will not.
func (l *nvmlLib) watchXIDs(d *nvmlDevice) {
	for _, symbol := range []string{"nvmlEventSetCreate", "nvmlEventSetFree", "nvmlDeviceGetSupportedEventTypes", "nvmlDeviceRegisterEvents"} {
		if !l.offers(symbol) {
			return
		}
	}
	if types, ret := d.handle.GetSupportedEventTypes(); ret != nvml.SUCCESS || types&nvml.EventTypeXidCriticalError == 0 {
		return
	}
	set, ret := l.api.EventSetCreate()
	if ret != nvml.SUCCESS {
		return
	}
	if d.handle.RegisterEvents(nvml.EventTypeXidCriticalError, set) != nvml.SUCCESS {
		set.Free()
		return
	}
	d.xids = set
}

// readXID takes the oldest XID error that is waiting. Asked to wait for no time, the driver answers at
// once; later errors are told at the next readings, in their order.
func readXID(d *nvmlDevice, s *record.GPUSample) nvml.Return {
	if d.xids == nil {
		return nvml.ERROR_NOT_SUPPORTED
	}
	event, ret := d.xids.Wait(0)
	if ret == nvml.SUCCESS && event.EventType == nvml.EventTypeXidCriticalError {
		s.XID = new(float64(event.EventData))
	}
	return ret
}

// mib is bytes in MiB, the unit nvidia-smi prints.
func mib(bytes uint64) float64 { return float64(bytes) / (1 << 20) }
