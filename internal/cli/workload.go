package cli

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/runner"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Names of datasets that are made and not read, by vLLM's names.
const (
	datasetRandom     = "random"
	datasetRepetition = "prefix_repetition"
	datasetImages     = "random-mm"
)

// workloadFlags say what requests are beyond one length for all, under the names of vLLM's bench serve.
type workloadFlags struct {
	seed       int64 // of the command
	rangeRatio float64
	prefixLen  int
	tokenIDs   bool
	dataset    string
	path       string
	skip       bool
	multiplier float64
	chunk      int
	repetition repetitionFlags
	turns      turnFlags
	lora       loraFlags
	images     imageFlags

	samples       []runner.Sample // of the dataset, counted by the server
	due           []time.Duration // of a trace: when each of them is sent
	of            record.Workload // what is known of the dataset by then
	lowID, highID int             // token ids that the server takes
}

// repetitionFlags are of prompts that share one of several beginnings.
type repetitionFlags struct{ prefix, suffix, prefixes, output int }

// turnFlags are of conversations, under the names of vLLM's vllm-bench.
type turnFlags struct {
	on                  bool
	turns, fewest, most int
	perTurn, delayMS    int
	delayRatio          float64
}

// loraFlags are of requests for LoRA adapters.
type loraFlags struct {
	modules    []string
	assignment string
}

// imageFlags are of requests with images.
type imageFlags struct {
	items      int
	itemsRatio float64
	buckets    string
}

func (f *workloadFlags) register(fs *pflag.FlagSet) {
	done := topic(fs, "What requests hold")
	fs.Float64Var(&f.rangeRatio, "random-range-ratio", 0, "draw each length evenly from (1-ratio) to (1+ratio) times --input-tokens, --output-tokens")
	fs.IntVar(&f.prefixLen, "random-prefix-len", 0, "tokens before --input-tokens that all prompts of a test share, for the prefix cache to find")
	fs.BoolVar(&f.tokenIDs, "prompt-token-ids", false, "send prompts as token ids (needs --endpoint completions): no tokenizer works, lengths are exact")
	fs.StringVar(&f.dataset, "dataset-name", "", "random (default), random-mm (with images), prefix_repetition; or from --dataset-path: sharegpt (JSON), custom (JSONL with prompt, or OpenAI's messages), and traces, sent as they were: mooncake (JSONL), azure (CSV)")
	fs.StringVar(&f.path, "dataset-path", "", "the file of --dataset-name")
	fs.Float64Var(&f.multiplier, "timed-trace-sec-multiplier", 0, "seconds for each unit of a trace's stamps (mooncake 0.001, azure 1): half of that is twice as fast")
	fs.IntVar(&f.chunk, "timed-trace-chunk-hash-size", 0, "tokens of a block that a hash id of a trace stands for (mooncake 512)")
	fs.BoolVar(&f.skip, "skip-bad-lines", false, "leave out what is no request, or too long for the server, and say so")

	r := &f.repetition
	fs.IntVar(&r.prefix, "prefix-repetition-prefix-len", 256, "of prefix_repetition: tokens that prompts of one prefix share")
	fs.IntVar(&r.suffix, "prefix-repetition-suffix-len", 256, "and tokens of their own, the chat template among them")
	fs.IntVar(&r.prefixes, "prefix-repetition-num-prefixes", 10, "and different prefixes")
	fs.IntVar(&r.output, "prefix-repetition-output-len", 128, "and answer tokens")

	done()
	done = topic(fs, "Conversations")
	t := &f.turns
	fs.BoolVar(&t.on, "multi-turn", false, "conversations: --concurrent users hold --requests of them, each question after the answer before it, with all that was said")
	fs.IntVar(&t.turns, "multi-turn-num-turns", 3, "turns of a conversation")
	fs.IntVar(&t.fewest, "multi-turn-min-turns", 0, "draw the turns of each evenly from this")
	fs.IntVar(&t.most, "multi-turn-max-turns", 0, "to this; of a dataset: take no more turns of a conversation")
	fs.IntVar(&t.perTurn, "per-turn-input-len", 0, "tokens of each later question as a prompt of its own (default: as --input-tokens)")
	fs.IntVar(&t.delayMS, "multi-turn-delay-ms", 0, "think time between an answer's end and the next question")
	fs.Float64Var(&t.delayRatio, "multi-turn-delay-range-ratio", 0, "draw each think time evenly from (1-ratio) to (1+ratio) times that")

	done()
	done = topic(fs, "LoRA adapters")
	fs.StringSliceVar(&f.lora.modules, "lora-modules", nil, "LoRA adapters that requests are for, as /v1/models lists them: sql chat")
	fs.StringVar(&f.lora.assignment, "lora-assignment", record.AssignRandom, "how: random or round-robin; a conversation keeps its own")

	done()
	defer topic(fs, "Images")()
	i := &f.images
	fs.IntVar(&i.items, "random-mm-base-items-per-request", 1, "of random-mm: images of a request")
	fs.Float64Var(&i.itemsRatio, "random-mm-num-mm-items-range-ratio", 0, "draw their number evenly from (1-ratio) to (1+ratio) times that")
	fs.StringVar(&i.buckets, "random-mm-bucket-config", "{(256, 256, 1): 0.5, (720, 1280, 1): 0.5}", "sizes of images, (height, width, 1), and how often each is drawn")
}

// flagsOf are the flags that belong to something, with what that is.
var flagsOf = []struct {
	of     string
	asked  func(f *workloadFlags) bool
	prefix []string
}{
	{"--multi-turn", func(f *workloadFlags) bool { return f.turns.on }, []string{"multi-turn-", "per-turn-input-len"}},
	{"--lora-modules", func(f *workloadFlags) bool { return len(f.lora.modules) > 0 }, []string{"lora-assignment"}},
	{"--dataset-name " + datasetImages, func(f *workloadFlags) bool { return f.dataset == datasetImages }, []string{"random-mm-"}},
	{"--dataset-name " + datasetRepetition, func(f *workloadFlags) bool { return f.dataset == datasetRepetition }, []string{"prefix-repetition-"}},
}

// fromFile says whether requests are read and not made.
func (f *workloadFlags) fromFile() bool {
	return f.dataset == load.ShareGPT || f.dataset == load.Custom || load.IsTrace(f.dataset)
}

// check refuses workload flags that do not go with the tests or each other.
func (f *workloadFlags) check(c *cobra.Command, endpoint string, matrix bool) error {
	given := func(names ...string) string { return givenFlag(c, names...) }
	if name := given("random-range-ratio", "random-prefix-len", "prompt-token-ids", "dataset-name", "dataset-path", "skip-bad-lines", "multi-turn", "lora-modules"); matrix && name != "" {
		return usagef("--%s needs --concurrent, --request-rate or an objective: the matrix has one kind of request for all", name)
	}
	if err := f.checkTrace(given("timed-trace-sec-multiplier", "timed-trace-chunk-hash-size")); err != nil {
		return err
	}
	for _, x := range flagsOf {
		lost := ""
		c.Flags().Visit(func(flag *pflag.Flag) {
			if slices.ContainsFunc(x.prefix, func(p string) bool { return strings.HasPrefix(flag.Name, p) }) && !x.asked(f) {
				lost = flag.Name
			}
		})
		if lost != "" {
			return usagef("--%s needs %s", lost, x.of)
		}
	}
	made := []string{datasetRandom, datasetImages, datasetRepetition}
	read := []string{load.ShareGPT, load.Custom, load.Mooncake, load.Azure}
	known := slices.Concat(made, read)
	switch {
	case f.dataset != "" && !slices.Contains(known, f.dataset):
		return usagef("--dataset-name %q: want %s", f.dataset, strings.Join(known, ", "))
	case f.fromFile() != (f.path != ""):
		return usagef("--dataset-path and --dataset-name %s need each other", strings.Join(read, ", "))
	case f.skip && !f.fromFile():
		return usagef("--skip-bad-lines needs --dataset-path")
	}
	if name := given("random-range-ratio", "random-prefix-len", "input-tokens", "per-turn-input-len", "multi-turn-num-turns", "prompt-token-ids"); f.fromFile() && name != "" {
		return usagef("--%s is of random prompts: those of a dataset have lengths of their own", name)
	}
	if name := given("output-tokens", "multi-turn"); load.IsTrace(f.dataset) && name != "" {
		return usagef("--%s: the requests of a trace are single ones, with lengths of their own", name)
	}
	if name := given("random-prefix-len", "input-tokens", "output-tokens"); f.dataset == datasetRepetition && name != "" {
		return usagef("--%s: %s has --prefix-repetition-prefix-len, -suffix-len and -output-len", name, datasetRepetition)
	}
	chat := f.turns.on || f.dataset == datasetImages
	switch {
	case f.dataset == datasetRepetition && f.repetition.prefixes < 1:
		return usagef("--prefix-repetition-num-prefixes %d: want 1 or more", f.repetition.prefixes)
	case f.tokenIDs && endpoint != "completions":
		return usagef("--prompt-token-ids needs --endpoint completions: a chat is text")
	case chat && endpoint != "chat":
		return usagef("conversations and images need --endpoint chat")
	case f.turns.on && f.dataset == datasetImages:
		return usagef("--multi-turn and --dataset-name %s exclude each other", datasetImages)
	case f.turns.on && f.turns.fewest > 0 && f.turns.most == 0:
		return usagef("--multi-turn-min-turns needs --multi-turn-max-turns")
	case f.turns.on && given("request-rate", "ramp-up-strategy", "max-ttft", "max-tpot", "max-latency", "find-limit") != "":
		return usagef("--multi-turn needs --concurrent alone: its users are held, and so is how many requests they make")
	}
	if err := f.lora.check(); err != nil {
		return err
	}
	if f.dataset == datasetImages {
		if _, err := load.ParseImageMix(f.images.buckets); err != nil {
			return usagef("--random-mm-bucket-config: %w", err)
		}
		if f.images.items < 1 {
			return usagef("--random-mm-base-items-per-request %d: want 1 or more", f.images.items)
		}
	}
	return nil
}

func (f *loraFlags) check() error {
	if len(f.modules) > 0 && f.assignment != record.AssignRandom && f.assignment != record.AssignRoundRobin {
		return usagef("--lora-assignment %q: want %s or %s", f.assignment, record.AssignRandom, record.AssignRoundRobin)
	}
	for i, name := range f.modules {
		if name == "" || strings.Contains(name, ",") {
			return usagef("--lora-modules: %q names no adapter", name)
		}
		if slices.Contains(f.modules[:i], name) {
			return usagef("--lora-modules: %s stands twice", name)
		}
	}
	return nil
}

// words are what follows --goodput or --lora-modules, which both take several: those of --goodput have a colon.
func (f *loadFlags) words(c *cobra.Command, args []string) error {
	if !c.Flags().Changed("lora-modules") {
		return f.slo.goodputWords(c, args)
	}
	var limits []string
	for _, word := range args {
		if strings.Contains(word, ":") && c.Flags().Changed("goodput") {
			limits = append(limits, word)
		} else {
			f.workload.lora.modules = append(f.workload.lora.modules, word)
		}
	}
	return f.slo.goodputWords(c, limits)
}

// workload is what was asked for; empty where each request has the lengths of its test. conversations is how many a repeat
// has, where it has any.
func (f *workloadFlags) workload(conversations int) record.Workload {
	w := record.Workload{RangeRatio: f.rangeRatio, PrefixTokens: f.prefixLen}
	if f.fromFile() {
		w = f.of
		w.Dataset = f.dataset // also before it was read
	}
	if f.dataset == datasetRepetition {
		w.PrefixTokens, w.Prefixes = f.repetition.prefix, f.repetition.prefixes
	}
	if f.tokenIDs {
		w.TokenIDFrom, w.TokenIDTo = f.lowID, max(f.highID, 1) // until the server was asked
	}
	if len(f.lora.modules) > 0 {
		w.Adapters, w.AdapterAssignment = strings.Join(f.lora.modules, ","), f.lora.assignment
	}
	if f.dataset == datasetImages {
		mix, err := load.ParseImageMix(f.images.buckets)
		if err == nil { // else it was refused
			w.Images, w.ImageRangeRatio, w.ImageSizes = f.images.items, f.images.itemsRatio, mix.String()
		}
	}
	if f.turns.on {
		w.Conversations, w.ThinkMS, w.ThinkRangeRatio = conversations, f.turns.delayMS, f.turns.delayRatio
		switch {
		case f.fromFile() && len(f.samples) == 0: // until it was read
			w.MinTurns, w.MaxTurns = 1, 1
		case f.fromFile():
			w.MinTurns, w.MaxTurns = len(f.samples[0].More)+1, 1
			for _, s := range f.samples {
				w.MinTurns, w.MaxTurns = min(w.MinTurns, len(s.More)+1), max(w.MaxTurns, len(s.More)+1)
			}
		case f.turns.most > 0:
			w.MinTurns, w.MaxTurns = max(f.turns.fewest, 1), f.turns.most
		default:
			w.MinTurns, w.MaxTurns = f.turns.turns, f.turns.turns
		}
	}
	return w
}

// shape is that of the requests: the shared prefix stands before the input.
func (f *loadFlags) shape() runner.Shape {
	if r := f.workload.repetition; f.workload.dataset == datasetRepetition {
		return runner.Shape{InputTokens: r.prefix + r.suffix, OutputTokens: r.output}
	}
	return runner.Shape{InputTokens: f.input + f.workload.prefixLen, OutputTokens: f.output}
}

// shaped is a test with the workload asked for. Where that is conversations, its requests until then are their number.
func (f *loadFlags) shaped(t record.Test) record.Test {
	w := f.workload.workload(t.Requests)
	if w.Conversations > 0 && !f.workload.fromFile() {
		w.TurnTokens = cmp.Or(f.workload.turns.perTurn, f.input)
	}
	t = runner.WithWorkload(t, w)
	switch {
	case w.Conversations == 0:
	case f.workload.fromFile():
		t.Requests = 0
		for _, s := range f.workload.samples {
			t.Requests += 1 + len(s.More)
		}
		t.Requests = max(t.Requests, w.Conversations) // until it was read
	case w.MinTurns >= 1 && w.MinTurns <= w.MaxTurns && w.Conversations > 0: // else it is refused
		t.Requests = 0
		for _, turns := range runner.Turns(t, f.workload.seed) {
			t.Requests += turns
		}
	}
	return t
}
