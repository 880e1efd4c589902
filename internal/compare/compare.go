// Package compare owns the judgement of two sides' results: which tests compare, how far each figure changed, and
// whether the repeats are enough to say so. It is pure: it reads no file and prints nothing.
package compare

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"bench/internal/record"
)

// Side is one of the two results.
type Side struct {
	Name    string
	Source  string // record.SourceBench or record.SourceVLLM
	Run     record.Run
	Records []record.Record
}

// Options are what a comparison is asked to hold.
type Options struct {
	MaxRegression *float64 // share of A's figure by which B's may be worse; nil: no gate
}

// Compare says how B differs from A. It refuses sides of which no figure means the same on both.
func Compare(a, b Side, o Options) (record.Comparison, error) {
	if err := comparable(a, b); err != nil {
		return record.Comparison{}, err
	}
	doc := record.Comparison{
		Schema: record.SchemaComparison, A: a.side(), B: b.side(),
		Differs: differences(a, b), Left: []record.LeftOut{}, Tests: []record.ComparedTest{},
	}
	pairs, left := match(a, b)
	doc.Left = append(doc.Left, left...)
	if len(pairs) == 0 {
		return record.Comparison{}, noCommon(a, b, left)
	}
	if o.MaxRegression != nil {
		if err := enoughRepeats(pairs, a, b); err != nil {
			return record.Comparison{}, err
		}
	}
	doc.Level = simultaneous(len(pairs) * len(metrics()))
	for _, p := range pairs {
		doc.Tests = append(doc.Tests, p.compare(doc.Level, a, b))
	}
	doc.Verdict, doc.Unclear = overall(doc.Tests)
	if o.MaxRegression != nil {
		doc.Gate = gate(doc.Tests, *o.MaxRegression)
	}
	return doc, nil
}

func (s Side) side() record.ComparedSide {
	model := s.Run.Identity.ModelRoot
	if model == "" {
		model = s.Run.Server.ServedModel
	}
	return record.ComparedSide{Name: s.Name, Source: s.Source, Model: model, Simulated: s.Run.Simulated}
}

// comparable refuses sides whose figures mean different things. What two set-ups differ in (card, model, version) is
// what one compares them for; how they were measured must be the same.
func comparable(a, b Side) error {
	var why []string
	if a.Run.Simulated != b.Run.Simulated {
		why = append(why, "one was simulated, the other measured")
	}
	// Another tool's file says little of its settings: what it does not say cannot be held against it.
	if a.Source == record.SourceBench && b.Source == record.SourceBench {
		if x, y := a.Run.Settings.Endpoint, b.Run.Settings.Endpoint; x != y {
			why = append(why, fmt.Sprintf("--endpoint is %s and %s", x, y))
		}
		if x, y := a.Run.Settings.Temperature, b.Run.Settings.Temperature; x != y {
			why = append(why, fmt.Sprintf("--temperature is %g and %g", x, y))
		}
		if x, y := a.Run.Server.IgnoresEOS, b.Run.Server.IgnoresEOS; x != nil && y != nil && *x != *y {
			why = append(why, "only one of the servers honours ignore_eos, so the answers differ in length")
		}
	}
	if len(why) == 0 {
		return nil
	}
	return fmt.Errorf("%s and %s do not compare: %s; measure both the same way", a.Name, b.Name, strings.Join(why, "; "))
}

// differences lists what differs between the set-ups, in the order in which it usually matters.
func differences(a, b Side) []record.Difference {
	out := []record.Difference{}
	add := func(what, x, y string) {
		if x != y && x != "" && y != "" {
			out = append(out, record.Difference{What: what, A: x, B: y})
		}
	}
	ra, rb := a.Run, b.Run
	add("tool", a.Source, b.Source)
	add("model", a.side().Model, b.side().Model)
	add("GPUs", gpus(ra), gpus(rb))
	add("vLLM version", ra.Identity.EngineVersion, rb.Identity.EngineVersion)
	add("KV-cache dtype", ra.Identity.KVCacheDType, rb.Identity.KVCacheDType)
	add("max_model_len", count(ra.Identity.MaxModelLen), count(rb.Identity.MaxModelLen))
	for _, key := range cacheKeys(ra, rb) {
		add(key, ra.Server.CacheConfig[key], rb.Server.CacheConfig[key])
	}
	add("client machine", host(ra.Host), host(rb.Host))
	add("bench version", ra.ToolVersion, rb.ToolVersion)
	if a.Source == b.Source {
		add("warm-up requests", strconv.Itoa(ra.Settings.Warmup), strconv.Itoa(rb.Settings.Warmup))
	}
	return out
}

// gpus names a run's cards by kind: two cards of one kind differ in nothing but their numbers.
func gpus(r record.Run) string {
	if len(r.GPUs) == 0 && r.Simulation != nil {
		return r.Simulation.GPU
	}
	var names []string
	for _, g := range r.GPUs {
		names = append(names, g.Name)
	}
	return strings.Join(names, ", ")
}

// cacheKeys are the settings of the KV cache that either server told and that are its own choice.
func cacheKeys(a, b record.Run) []string {
	var keys []string
	for _, k := range []string{"num_gpu_blocks", "block_size", "gpu_memory_utilization", "enable_prefix_caching"} {
		if a.Server.CacheConfig[k] != "" && b.Server.CacheConfig[k] != "" {
			keys = append(keys, k)
		}
	}
	return keys
}

func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func host(h record.Host) string {
	if h.OS == "" {
		return ""
	}
	return fmt.Sprintf("%s/%s, %d CPUs", h.OS, h.Arch, h.CPUs)
}

// pair is a test that both sides have.
type pair struct{ a, b record.Record }

// match pairs the tests of equal load, those of the same name first, in A's order.
func match(a, b Side) (pairs []pair, left []record.LeftOut) {
	taken := make([]bool, len(b.Records))
	leave := func(id, why string) { left = append(left, record.LeftOut{TestID: id, Reason: why}) }
	find := func(r record.Record, sameID bool) int {
		return slices.IndexFunc(b.Records, func(o record.Record) bool {
			return sameLoad(r, o) && (!sameID || r.TestID == o.TestID)
		})
	}
	for _, r := range a.Records {
		i := find(r, true)
		if i < 0 || taken[i] {
			i = slices.IndexFunc(b.Records, func(o record.Record) bool {
				return sameLoad(r, o) && r.Detail.Kind == o.Detail.Kind
			})
		}
		switch {
		case i < 0 || taken[i]:
			leave(r.TestID, whyNoMatch(r, b))
		case r.Trust.Verdict == record.TrustInvalid:
			taken[i] = true
			leave(r.TestID, "its record in "+a.Name+" is invalid: "+checks(r))
		case b.Records[i].Trust.Verdict == record.TrustInvalid:
			taken[i] = true
			leave(r.TestID, "its record in "+b.Name+" is invalid: "+checks(b.Records[i]))
		default:
			taken[i] = true
			pairs = append(pairs, pair{r, b.Records[i]})
		}
	}
	for i, r := range b.Records {
		if !taken[i] && !slices.ContainsFunc(left, func(l record.LeftOut) bool { return l.TestID == r.TestID }) {
			leave(r.TestID, whyNoMatch(r, a))
		}
	}
	return pairs, left
}

// lengthTolerance is how far two tests' token counts may lie apart and still be one shape: other tools' prompts are
// only about as long as asked. Prefill grows in proportion, so TTFT is off by no more than the same share.
const lengthTolerance = 0.02

// sameLoad is true of tests that put the same load on a server. N requests once and N kept in flight for many more
// are different loads.
func sameLoad(a, b record.Record) bool {
	if !reflect.DeepEqual(a.Detail.Workload, b.Detail.Workload) {
		return false
	}
	if x, y := a.Detail.OpenLoad, b.Detail.OpenLoad; x != nil || y != nil {
		// Of an open load the requests in flight are a result, not the load.
		return x != nil && y != nil && reflect.DeepEqual(x.Arrivals, y.Arrivals) && x.MaxConcurrency == y.MaxConcurrency &&
			perRepeat(a) == perRepeat(b) && near(a.InputTokens, b.InputTokens) && near(a.MaxOutputTokens, b.MaxOutputTokens)
	}
	return a.ConcurrentRequests == b.ConcurrentRequests && perRepeat(a) == perRepeat(b) &&
		near(a.InputTokens, b.InputTokens) && near(a.MaxOutputTokens, b.MaxOutputTokens)
}

func near(a, b int) bool {
	return float64(max(a, b)-min(a, b)) <= lengthTolerance*float64(max(a, b))
}

// perRepeat is the number of requests each repeat sent; a repeat that broke off may have sent fewer.
func perRepeat(r record.Record) int {
	n := 0
	for _, p := range r.Detail.Repeats {
		n = max(n, p.Requests)
	}
	return n
}

func whyNoMatch(r record.Record, other Side) string {
	if r.Detail.OpenLoad != nil {
		return fmt.Sprintf("%s has no test of %s (%s), %d requests a repeat", other.Name, r.TestID, r.Detail.Purpose, perRepeat(r))
	}
	for _, o := range other.Records {
		if o.ConcurrentRequests != r.ConcurrentRequests || o.Detail.OpenLoad != nil {
			continue
		}
		if near(o.InputTokens, r.InputTokens) && near(o.MaxOutputTokens, r.MaxOutputTokens) && perRepeat(o) != perRepeat(r) {
			return fmt.Sprintf("%s sent %d requests a repeat at this concurrency, not %d: another load", other.Name, perRepeat(o), perRepeat(r))
		}
	}
	return fmt.Sprintf("%s has no test of %d at once with %d/%d tokens", other.Name, r.ConcurrentRequests, r.InputTokens, r.MaxOutputTokens)
}

func noCommon(a, b Side, left []record.LeftOut) error {
	for _, s := range []Side{a, b} {
		if len(s.Records) == 0 {
			return fmt.Errorf("%s holds no test: measure one with `bench stress --out %s`", s.Name, s.Name)
		}
	}
	return fmt.Errorf("%s and %s have no test in common: %s: %s", a.Name, b.Name, left[0].TestID, left[0].Reason)
}

func checks(r record.Record) string {
	var names []string
	for _, f := range r.Trust.Findings {
		if !slices.Contains(names, f.Check) {
			names = append(names, f.Check)
		}
	}
	return strings.Join(names, ", ")
}

// enoughRepeats refuses a gate that could not fail.
func enoughRepeats(pairs []pair, a, b Side) error {
	for _, p := range pairs {
		for i, r := range []record.Record{p.a, p.b} {
			if n := len(r.Detail.Repeats); n < fewest {
				name := []string{a.Name, b.Name}[i]
				return fmt.Errorf("--max-regression needs %d repeats of each test to tell a change from chance: %s of %s has %d; measure with --runs %d",
					fewest, r.TestID, name, n, fewest)
			}
		}
	}
	return nil
}
