package cli

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"bench/internal/analysis"
	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/runner"
	"bench/internal/sizing"
	"bench/internal/term"
	"bench/internal/vllm"
)

// measurement is a folder, open for writing, and what is measured into it.
type measurement struct {
	server   *serverFlags
	out      *outFlags
	load     *loadFlags
	folder   *record.Folder
	run      record.Run
	existing bool // the folder held a run before
}

// openMeasurement locks the result folder and reads what is there already.
func openMeasurement(s *serverFlags, o *outFlags, l *loadFlags) (*measurement, error) {
	folder, err := record.LockFolder(o.dir)
	if err != nil {
		return nil, err
	}
	m := &measurement{server: s, out: o, load: l, folder: folder}
	m.run, m.existing, err = folder.ReadRun()
	if err != nil {
		folder.Close()
		return nil, err
	}
	return m, nil
}

// clockOffset is what the folder's clock shows now: a folder has one axis of time, also over several
// commands. Simulated time outruns the wall, so there the last stamp counts.
func (m *measurement) clockOffset(now time.Time) (time.Duration, error) {
	if !m.existing {
		return 0, nil
	}
	offset := now.Sub(m.run.CreatedAt)
	if m.run.Simulated {
		last, err := m.folder.LastStamp()
		if err != nil {
			return 0, err
		}
		offset = max(offset, time.Duration(last))
	}
	return max(offset, 0), nil
}

// begin writes run.json, or refuses a folder of another identity.
func (a *app) begin(m *measurement, s *server) error {
	settings := m.load.settings(m.server, m.out)
	id := identity(s)
	if m.existing {
		if diff := m.run.Identity.Differences(id); len(diff) > 0 {
			return fmt.Errorf("%s holds another environment's results: %s; name another folder with --out", m.folder.Dir(), strings.Join(diff, ", "))
		}
		diff := m.run.Settings.Differences(settings)
		if m.out.resume && len(diff) > 0 {
			return fmt.Errorf("cannot resume %s with other settings: %s; use the same, or another folder with --out", m.folder.Dir(), strings.Join(diff, ", "))
		}
		if m.run.Settings.Endpoint != settings.Endpoint || m.run.Settings.Temperature != settings.Temperature {
			return fmt.Errorf("%s was measured with other requests: %s; use the same, or another folder with --out", m.folder.Dir(), strings.Join(diff, ", "))
		}
	} else {
		m.run = record.Run{Schema: record.SchemaRun, CreatedAt: a.started}
	}
	m.run.ToolVersion, m.run.Identity, m.run.Server, m.run.Settings, m.run.GPUs = version(), id, s.info, settings, s.gpuInfo
	m.run.Host = record.Host{OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Kernel: kernel()}
	if m.load.shard.parsed != nil {
		m.run.Host.Clock = hostClock()
	}
	m.run.Simulated, m.run.Simulation = s.simulation != nil, s.simulation
	a.resumable.Store(true)
	m.run.Sessions = append(m.run.Sessions, record.Session{StartedAt: a.started, Command: "bench " + strings.Join(a.args, " ")})
	return m.folder.WriteJSON(record.RunFile, m.run)
}

// identity is what two tests must share to stand in one folder.
func identity(s *server) record.Identity {
	id := record.Identity{ModelRoot: s.info.ModelRoot, EngineVersion: s.info.EngineVersion, MaxModelLen: s.info.MaxModelLen,
		KVCacheDType: s.info.CacheConfig["cache_dtype"], GPUUUIDs: []string{}, ToolMajor: record.ToolMajor}
	for _, g := range s.gpuInfo {
		id.GPUUUIDs = append(id.GPUUUIDs, g.UUID)
	}
	return id
}

// kernel is the running kernel's release where the system tells.
func kernel() string {
	data, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// measure announces the tests and runs them.
// tpotMS is the time per output token of one request, where it was measured before; it tells how long they take.
func (a *app) measure(ctx context.Context, m *measurement, s *server, tests []record.Test, tpotMS *float64) error {
	if err := runner.CheckContext(tests, s.info.MaxModelLen); err != nil {
		return err
	}
	most := 1
	for _, t := range tests {
		most = max(most, t.Concurrent)
		if t.Arrivals != nil && t.Concurrent == 0 {
			most = max(most, min(t.Requests, unboundedStreams))
		}
	}
	if s.simulation == nil {
		if err := vllm.CheckLimits(max(most, m.load.searched())); err != nil {
			return err
		}
	}
	expected, err := m.expect(tests, tpotMS)
	if err != nil {
		return err
	}
	a.announce(m, s, tests, expected)
	virtual := s.simulation != nil && s.simulation.VirtualTime
	progress := a.watch(s, tests, virtual)
	defer a.unwatch()
	progress.Status("asking whether answers have the length asked for, and how they come")
	pace, err := s.client.Probe(ctx, m.load.endpoint, &s.info)
	if err != nil {
		return advise(m.server.baseURL, fmt.Errorf("asking for an answer of a given length: %w", err))
	}
	if expected.perToken == 0 && pace > 0 {
		expected.perToken = pace
		if total := runner.Expect(tests, m.run.Settings, pace); !virtual && expected.modelled == "" && total >= time.Second {
			progress.Status("at least %s in all, by the pace of the first answer", term.Span(total))
		}
	}
	s.info.Features = sizing.Features(s.info)
	m.run.Server = s.info
	if err := m.folder.WriteJSON(record.RunFile, m.run); err != nil {
		return err
	}
	for _, note := range sizing.Lacking(s.info.Features) {
		progress.Line("note: %s", note)
	}
	enforced := s.info.IgnoresEOS != nil && *s.info.IgnoresEOS
	progress.Status("settling prompt lengths through %s", map[bool]string{true: "the server's tokenizer", false: "usage"}[s.info.HasTokenize])
	nonce := a.started
	if m.load.shard.parsed != nil {
		nonce = m.load.shard.parsed.StartAt // the same for all shards: what their requests share they share
	}
	prompts, err := s.prompts(ctx, m.load.endpoint, m.out.seed, nonce.UTC().Format(time.RFC3339Nano))
	if err != nil {
		return advise(m.server.baseURL, err)
	}
	precise, err := m.load.precision()
	if err != nil {
		return err
	}
	next, err := m.nextTest(tests)
	if err != nil {
		return err
	}
	slo, err := m.load.slo.slo()
	if err != nil {
		return err
	}
	probe, err := m.load.arrivals.probes()
	if err != nil {
		return err
	}
	goodput, err := m.load.slo.goodputLimits()
	if err != nil {
		return err
	}
	if !virtual {
		progress.Status("measuring what this client adds by itself, on loopback")
		line, err := a.calibrate(ctx, m, most)
		if err != nil {
			return err
		}
		progress.Line("%s", line)
	}
	a.running.Store(true)
	defer a.running.Store(false)
	return runner.Run(ctx, runner.Options{
		Folder: m.folder, Clock: s.clock, Prompts: prompts, GPUs: s.gpus, HasMetrics: s.info.HasMetrics, GPUInfo: s.gpuInfo,
		Target:   target{client: s.client, endpoint: m.load.endpoint, temperature: m.load.temperature, anyLength: !enforced},
		Settings: m.run.Settings, Simulated: m.run.Simulated, VirtualTime: virtual, Resume: m.out.resume, LengthsEnforced: enforced, LengthsUnknown: s.info.IgnoresEOS == nil, NoCacheSalt: s.info.Engine != record.EngineVLLM, PerToken: expected.perToken,
		Precise: precise, Next: next, SLO: slo, Goodput: goodput, Probe: probe, Samples: m.load.workload.samples, Due: m.load.workload.due, WaitReturn: m.load.waitReturn, Recheck: func(ctx context.Context) error { return recheck(ctx, m, s) },
		Control: &a.control, Observe: progress.Observe,
	}, tests)
}

// recheck refuses a server that came back as another one. A restarted engine is the same.
func recheck(ctx context.Context, m *measurement, s *server) error {
	info, err := s.client.Server(ctx)
	if err != nil {
		return fmt.Errorf("asking the server that came back what it serves: %w", err)
	}
	now := *s
	now.info = info
	if diff := m.run.Identity.Differences(identity(&now)); len(diff) > 0 {
		return fmt.Errorf("the server that came back is another: %s; results so far are in %s, name another folder with --out for the rest", strings.Join(diff, ", "), m.folder.Dir())
	}
	return nil
}

// calibrate measures the client with most streams at once, notes it in run.json and says what came out. A
// machine on which that does not work is no reason not to measure.
func (a *app) calibrate(ctx context.Context, m *measurement, most int) (line string, err error) {
	got, err := vllm.Calibrate(ctx, most)
	if err != nil {
		return "note: " + err.Error(), nil
	}
	m.run.Calibration = &got
	return describeCalibration(got), m.folder.WriteJSON(record.RunFile, m.run)
}

// unboundedStreams is how many streams at once the client is calibrated with for a load that has no bound on them.
const unboundedStreams = 64

// describeCalibration is one line about what the client adds.
func describeCalibration(c record.ClientCalibration) string {
	return fmt.Sprintf("this client adds at most %.2f ms to a token's time (99 of 100: %.2f ms), %.1f %% of tokens came coalesced; %s at once, on loopback",
		c.AddedMaxMS, c.AddedP99MS, 100*c.CoalescedShare, plural(c.Streams, "stream"))
}

// watch shows the run on the terminal, or in lines where there is none. On virtual time it is over before anybody
// could read a screen, and a goroutine that waits for a key would be waited for.
func (a *app) watch(s *server, tests []record.Test, virtual bool) term.Progress {
	var p term.Progress
	if a.stderr.Live && !virtual {
		plan := term.Plan{Title: describeServer(s), Tests: tests, HasMetrics: s.info.HasMetrics, Simulated: s.info.Simulated}
		p = term.NewView(a.stderr, term.NewKeyboard(a.In), plan, term.Wishes{SkipCooldown: a.control.SkipCooldown,
			StopAfterTest: a.control.StopAfterTest, Interrupt: func() { // a fifth wish to stop says nothing new
				select {
				case a.pressed <- os.Interrupt:
				default:
				}
			}})
	} else {
		p = term.NewLines(a.stderr, virtual)
	}
	a.showing.Lock()
	defer a.showing.Unlock()
	a.progress = p
	return p
}

// unwatch gives the terminal back.
func (a *app) unwatch() {
	a.showing.Lock()
	defer a.showing.Unlock()
	if a.progress != nil {
		a.progress.Done()
		a.progress = nil
	}
}

// announce says what will be done and how long it takes.
func (a *app) announce(m *measurement, s *server, tests []record.Test, expected expected) {
	requests := 0
	for _, t := range tests {
		requests += t.Runs*t.Share() + m.load.warmup
	}
	cooldown := time.Duration(max(len(tests)-1, 0)) * m.load.cooldown
	a.status("%s", describeServer(s))
	line := fmt.Sprintf("%s: %d requests, warm-up included", plural(len(tests), "test"), requests)
	if s.simulation != nil && s.simulation.VirtualTime {
		line += ", on virtual time"
	} else {
		line += ", " + expected.describe(cooldown)
	}
	a.status("%s; results in %s", line, m.folder.Dir())
	for _, t := range tests {
		if t.Arrivals != nil {
			a.status("%s: %s; a schedule of about %s, %s", t.ID, t.Purpose, term.Span(load.MeanLength(*t.Arrivals, t.Requests)), plural(t.Runs, "time"))
		}
	}
	if m.load.findLimit {
		a.status("then up to %d tests more of each shape in search of its limit, to at most %d at once", analysis.MaxRungs, m.load.maxConcurrent)
	}
	if slices.ContainsFunc(tests, func(t record.Test) bool { return strings.HasPrefix(t.ID, "slo") }) {
		a.status("then up to %d tests more in search of the objective's border, to at most %d at once", analysis.MaxRungs-1, m.load.maxConcurrent)
	}
	if m.load.arrivals.find {
		a.status("then up to %d tests more in search of the largest rate that holds the objective", analysis.MaxRungs)
	}
	if p, err := m.load.arrivals.probes(); p != nil && err == nil {
		a.status("beside each load but a baseline a probe of %d/%d tokens, %g a second, kept apart", p.InputTokens, p.OutputTokens, p.RequestRate)
	}
	if m.load.precise != "" {
		a.status("a test ends after 5 to %d repeats, as soon as its intervals are within %s", m.load.maxRuns, m.load.precise)
	}
	a.sayGPUNote(s)
}

// sayGPUNote says, once, why no GPU is read or which are.
func (a *app) sayGPUNote(s *server) {
	if s.gpuNote != "" {
		a.status("note: %s", s.gpuNote)
	}
	s.gpuNote = ""
}

// describeServer is one line about what is measured.
func describeServer(s *server) string {
	line := s.info.ServedModel
	if s.info.ModelRoot != "" && s.info.ModelRoot != s.info.ServedModel {
		line += " (" + s.info.ModelRoot + ")"
	}
	line += " at " + s.info.BaseURL
	if e := strings.TrimSpace(s.info.Engine + " " + s.info.EngineVersion); e != "" {
		line += ", " + e
	}
	if g := s.info.Gateway; g != "" {
		line += ", behind " + g
	}
	if n := s.info.MaxModelLen; n > 0 {
		line += fmt.Sprintf(", context %d", n)
	}
	if s.simulation != nil {
		line += ": SIMULATED, nothing is measured on a GPU"
	}
	return line
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
