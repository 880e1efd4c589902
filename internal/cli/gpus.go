package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"bench/internal/gpu"
	"bench/internal/record"
	"bench/internal/sim"
)

// gpuAnswer is how long a driver may take for one answer before the first test: longer than any that is
// awake, and nobody should wait longer.
const gpuAnswer = 10 * time.Second

// openGPUs opens the GPU source; a mode that cannot be had is told before the server is waited for.
// `auto` reads this machine's GPUs only when the server runs here.
func (s *server) openGPUs(ctx context.Context, c connection) error {
	if c.telemetry == gpu.Auto && !local(c.flags.baseURL) {
		s.gpuNote = "the server runs on another machine: this machine's GPUs are not read"
		return nil
	}
	source, note, err := gpu.Open(c.telemetry, c.gpuIndex)
	if err != nil {
		return err
	}
	s.gpuNote = note
	return s.useGPUs(ctx, c, source)
}

// useGPUs makes source the one that is sampled; nil is none. With `auto` a driver that does not answer is
// none.
func (s *server) useGPUs(ctx context.Context, c connection, source gpu.Source) (err error) {
	s.source, s.gpus, s.gpuInfo = source, nil, nil
	if source == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, gpuAnswer)
	defer cancel()
	if s.gpuInfo, err = source.GPUs(ctx); err == nil {
		s.gpus = source
		return nil
	}
	if c.telemetry == gpu.Auto && ctx.Err() != nil {
		s.gpuNote = fmt.Sprintf("the GPUs are not read: %v", err)
		return nil
	}
	return fmt.Errorf("reading the GPUs: %w", err)
}

// closeGPUs ends the source. Whether the driver still answered then changes nothing of what was measured.
func (s *server) closeGPUs() {
	if s.source != nil {
		s.source.Close()
	}
}

// chooseGPUs finds the server's processes on this machine, once it is up, and keeps to the GPUs they use
// unless the user chose some.
func (s *server) chooseGPUs(ctx context.Context, c connection) error {
	if s.gpus == nil || !local(c.flags.baseURL) {
		return nil
	}
	port := portOf(c.flags.baseURL)
	_, lookup := gpu.ServerProcesses(port)
	if c.telemetry == gpu.Auto && errors.Is(lookup, gpu.ErrElsewhere) {
		s.closeGPUs()
		s.gpuNote = fmt.Sprintf("%v: this machine's GPUs are not read", lookup)
		return s.useGPUs(ctx, c, nil)
	}
	source := gpu.ForServer(s.source, port)
	if len(c.gpuIndex) > 0 || len(s.gpuInfo) < 2 {
		return s.useGPUs(ctx, c, source)
	}
	limited, cancel := context.WithTimeout(ctx, gpuAnswer)
	defer cancel()
	byGPU, err := source.Processes(limited)
	if err != nil {
		byGPU = nil // not told is not known
	}
	var all []int
	for _, g := range s.gpuInfo {
		all = append(all, g.Index)
	}
	chosen, note := gpu.Choose(byGPU, all)
	if lookup != nil {
		note += fmt.Sprintf(" (%v)", lookup)
	}
	if slices.Equal(chosen, all) {
		s.gpuNote = joined(s.gpuNote, note)
		return s.useGPUs(ctx, c, source)
	}
	s.closeGPUs()
	narrow, said, err := gpu.Open(source.Name(), chosen)
	if err != nil {
		s.source = nil
		return err
	}
	s.gpuNote = joined(said, note)
	return s.useGPUs(ctx, c, gpu.ForServer(narrow, port))
}

// noteAbsent says which columns the memory log of a test will lack, and why.
func (a *app) noteAbsent(gpus []record.GPUInfo) {
	for _, g := range gpus {
		if text := g.NotRead(); text != "" {
			a.status("note: GPU %d does not give %s", g.Index, text)
		}
	}
}

// joined is two remarks in one, either of which may be empty.
func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// portOf is the port that a base URL names or means.
func portOf(rawURL string) int {
	u, err := url.Parse(rawURL)
	if err != nil {
		return 0
	}
	if port, err := strconv.Atoi(u.Port()); err == nil {
		return port
	}
	if u.Scheme == "https" {
		return 443
	}
	return 80
}

// local says whether a URL's host is this machine.
func local(rawURL string) bool {
	u, err := url.Parse(rawURL)
	if err != nil {
		return false
	}
	host := u.Hostname()
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	if ip == nil {
		name, err := os.Hostname()
		return err == nil && host == name
	}
	if ip.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
			return true
		}
	}
	return false
}

// simulatedGPUs are the simulator's cards.
type simulatedGPUs struct{ *sim.Server }

// Period is that of NVML.
func (g simulatedGPUs) Period() time.Duration { return 100 * time.Millisecond }

func (g simulatedGPUs) Sample(_ context.Context, atNS int64) ([]record.GPUSample, error) {
	return g.SampleGPU(atNS), nil
}

func (g simulatedGPUs) Processes(context.Context) (map[int][]record.GPUProcess, error) {
	return g.GPUProcesses(), nil
}
