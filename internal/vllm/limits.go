package vllm

import (
	"fmt"
	"os"
	"strings"
)

// spareFiles are the descriptors that a run needs beside its streams and what is open already: data files, /metrics,
// control requests, GPU readings, the loopback server of the calibration.
const spareFiles = 64

// CheckLimits says why this machine does not allow n connections at once to one server, and what to do; nil where
// nothing is known against it. The Go runtime has raised the soft limit of open files to the hard one by then.
func CheckLimits(n int) error {
	allowed, ok := openFilesAllowed()
	var open int
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		open = len(entries)
	}
	portRange, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		portRange = nil // another system: its own error will come when a port is missing
	}
	return checkLimits(n, open, allowed, ok, string(portRange))
}

func checkLimits(n, open int, allowed uint64, known bool, portRange string) error {
	if need := n + open + spareFiles; known && uint64(need) > allowed {
		return fmt.Errorf("%d requests at once need %d open files, this machine allows %d: raise the limit (ulimit -Hn %d, as root) or ask for fewer at once",
			n, need, allowed, need)
	}
	var low, high int
	if _, err := fmt.Sscan(strings.TrimSpace(portRange), &low, &high); err != nil || high < low {
		return nil
	}
	if ports := high - low + 1; n > ports {
		return fmt.Errorf("%d requests at once need as many local ports, this machine has %d: widen the range (sysctl -w net.ipv4.ip_local_port_range='1024 65535', as root) or ask for fewer at once",
			n, ports)
	}
	return nil
}
