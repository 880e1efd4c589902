package sim

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"bench/internal/capacity"
	"bench/internal/catalog"
)

// Prefix is how a target names the simulator.
const Prefix = "sim:"

// Config says what is simulated. [ParseTarget] makes one that can start.
type Config struct {
	GPU    catalog.GPU
	Model  catalog.Model
	Engine capacity.Engine // zero values mean vLLM's own defaults
	// NumGPUBlocksOverride forces the size of the KV pool; 0 = as much as fits.
	NumGPUBlocksOverride int
	// MaxNumQueuedReqs is how many requests may run and wait before a further one gets a 503, as vLLM has it since
	// 0.29; 0 = no limit.
	MaxNumQueuedReqs int
	ServedModel      string // name that clients use; "" = the checkpoint's
	LoRAModules      []string
	// Reasoning is the share of the tokens asked for that an answer spends on reasoning first; chats only.
	Reasoning float64
	APIKey    string // asked of every /v1 request; "" = none
	Faults    Faults
	Seed      int64 // of output texts, their lengths where EOS is honoured, and ids
}

// The machine of the plan document as it probably is: a 3090 with 4-bit weights.
const (
	defaultGPU         = "rtx-3090"
	defaultModel       = "google/gemma-3-12b-it"
	defaultQuant       = "w4a16"
	defaultMaxModelLen = 4096
	defaultUtilization = 0.95
	defaultVersion     = "0.32.0"
)

// What vLLM takes, as far as the simulator knows it.
var (
	quantMethods  = []string{"none", "awq", "gptq", "w4a16", "fp8", "int8", "bitsandbytes", "nvfp4", "mxfp4", "gguf"}
	kvCacheDTypes = []string{"auto", "fp8", "fp8_e4m3", "fp8_e5m2"}
)

var versionSyntax = regexp.MustCompile(`^[0-9]{1,4}\.[0-9]{1,4}(\.[0-9]{1,4})?$`)

// setting is one key of a target.
type setting struct {
	key, example, help string
	set                func(c *Config, value string) error
}

// settings are all keys a target may have, in the order errors and help list them.
var settings = []setting{
	{"gpu", defaultGPU, "the card", func(c *Config, v string) (err error) { c.GPU, err = catalog.FindGPU(v); return err }},
	{"model", defaultModel, "the model", func(c *Config, v string) (err error) { c.Model, err = catalog.FindModel(v); return err }},
	{"quant", defaultQuant, "its weights; none: as the checkpoint has them", func(c *Config, v string) error { return oneOf(&c.Engine.Quantization, v, quantMethods) }},
	{"tp", "2", "tensor parallel size", func(c *Config, v string) error { return positive(&c.Engine.TensorParallel, v) }},
	{"max-model-len", "8192", "context", func(c *Config, v string) error { return positive(&c.Engine.MaxModelLen, v) }},
	{"max-num-seqs", "16", "requests that run at once", func(c *Config, v string) error { return positive(&c.Engine.MaxNumSeqs, v) }},
	{"max-num-batched-tokens", "2048", "tokens of one step", func(c *Config, v string) error { return positive(&c.Engine.MaxNumBatchedTokens, v) }},
	{"max-num-queued-reqs", "32", "running and waiting requests beyond which a further one gets a 503", func(c *Config, v string) error { return positive(&c.MaxNumQueuedReqs, v) }},
	{"gpu-memory-utilization", "0.9", "share of the card that vLLM takes", func(c *Config, v string) error { return share(&c.Engine.GPUMemoryUtilization, v) }},
	{"kv-cache-dtype", "fp8", "of the KV cache", func(c *Config, v string) error { return oneOf(&c.Engine.KVCacheDType, v, kvCacheDTypes) }},
	{"num-gpu-blocks-override", "1700", "size of the KV pool in blocks", func(c *Config, v string) error { return positive(&c.NumGPUBlocksOverride, v) }},
	{"enforce-eager", "true", "no CUDA graphs", func(c *Config, v string) error { return boolean(&c.Engine.EnforceEager, v) }},
	{"version", defaultVersion, "of vLLM, from 0.8 on: memory, speed, and how it speaks", func(c *Config, v string) error { return versionNumber(&c.Engine.Version, v) }},
	{"served-model", "gemma", "name that clients use", func(c *Config, v string) error { c.ServedModel = v; return nil }},
	{"lora-modules", "sql+chat", "adapters that it serves besides; they cost nothing", func(c *Config, v string) error { c.LoRAModules = strings.Split(v, "+"); return nil }},
	{"reasoning", "0.5", "share of a chat's answer that is reasoning, told in its own deltas", func(c *Config, v string) error { return share(&c.Reasoning, v) }},
	{"seed", "7", "of texts and of which requests a fault strikes", func(c *Config, v string) error { return integer(&c.Seed, v) }},

	{"start-after", "20s", "refuses clients that long, as a server that loads", func(c *Config, v string) error { return duration(&c.Faults.StartAfter, v) }},
	{"die-at", "8", "the engine dies when so many requests run", func(c *Config, v string) error { return positive(&c.Faults.DieAt, v) }},
	{"die-after", "90s", "the engine dies that long after its start", func(c *Config, v string) error { return duration(&c.Faults.DieAfter, v) }},
	{"oom-at", "8", "it runs out of GPU memory when so many requests run, and dies", func(c *Config, v string) error { return positive(&c.Faults.OOMAt, v) }},
	{"return", "30s", "a dead server is there again after that; without it never", func(c *Config, v string) error { return duration(&c.Faults.Return, v) }},
	{"throttle-at", "8", "the cards are too hot while so many requests run: half the speed", func(c *Config, v string) error { return positive(&c.Faults.ThrottleAt, v) }},
	{"foreign", "4", "another client keeps so many requests in flight", func(c *Config, v string) error { return positive(&c.Faults.Foreign, v) }},
	{"prefix-hits", "0.5", "share of each prompt that counts as found in the prefix cache", func(c *Config, v string) error { return share(&c.Faults.PrefixHits, v) }},
	{"usage-off", "3", "usage says so many prompt tokens too many", func(c *Config, v string) error { return positive(&c.Faults.UsageOff, v) }},
	{"ignore-eos", "false", "false: answers end by themselves though ignore_eos was asked", func(c *Config, v string) error { return negated(&c.Faults.HeedEOS, v) }},
	{"stall", "0.1", "share of the requests whose stream falls silent half-way", shareOf(faultStall)},
	{"reset", "0.1", "share whose connection is reset half-way", shareOf(faultReset)},
	{"in-band-error", "0.1", "share whose stream ends half-way with an error", shareOf(faultError)},
	{"short", "0.1", "share that gets half of the tokens asked for", shareOf(faultShort)},
	{"http-429", "0.1", "share that a gateway refuses as too many", shareOf(faultTooMany)},
	{"reply", "case.http", "what each request for text gets, to the byte; case.ctl says when", func(c *Config, v string) (err error) {
		c.Faults.Reply, err = ReadRecorded(v)
		return err
	}},
}

// SettingsHelp lists what a target may set, one setting a line.
func SettingsHelp() string {
	var b strings.Builder
	for _, s := range settings {
		fmt.Fprintf(&b, "  %-29s %s\n", s.key+"="+s.example, s.help)
	}
	return b.String()
}

// ParseTarget reads a target such as "sim:" or "sim:gpu=l4,model=google/gemma-3-4b-it,tp=2". What is
// left out is a 3090 with Gemma 3 12B in 4 bits; quantisation is that default's only for that model.
// The version decides memory, speed, and how the server speaks, from 0.8 on. A set-up that vLLM would refuse
// to start is an error in vLLM's words.
func ParseTarget(s string) (Config, error) {
	list, ok := strings.CutPrefix(s, Prefix)
	if !ok {
		return Config{}, fmt.Errorf("target %q does not name the simulator: it begins with %q", s, Prefix)
	}
	values := map[string]string{}
	for field := range strings.SplitSeq(list, ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		key, value, _ := strings.Cut(field, "=")
		at := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
		if at < 0 && !strings.Contains(field, "=") {
			return Config{}, fmt.Errorf("%s%s: %q is no setting: give it a name, as in gpu=rtx-3090", Prefix, list, field)
		}
		if at < 0 {
			return Config{}, fmt.Errorf("%s%s: the simulator has no setting %q; it has %s", Prefix, list, key, strings.Join(settingKeys(), ", "))
		}
		if value == "" {
			return Config{}, fmt.Errorf("%s%s: %s needs a value, as in %s", Prefix, list, key, key+"="+settings[at].example)
		}
		if _, twice := values[key]; twice {
			return Config{}, fmt.Errorf("%s%s: %s is given twice", Prefix, list, key)
		}
		values[key] = value
	}
	model, ownModel := values["model"]
	values["gpu"] = cmp.Or(values["gpu"], defaultGPU)
	values["model"] = cmp.Or(model, defaultModel)
	values["version"] = cmp.Or(values["version"], defaultVersion)
	if !ownModel {
		values["quant"] = cmp.Or(values["quant"], defaultQuant)
	}
	c := Config{Engine: capacity.Engine{GPUMemoryUtilization: defaultUtilization}}
	for _, s := range settings {
		if value, given := values[s.key]; given {
			if err := s.set(&c, value); err != nil {
				return Config{}, fmt.Errorf("%s%s: %s: %w", Prefix, list, s.key, err)
			}
		}
	}
	if c.MaxNumQueuedReqs > 0 && !parseRelease(c.Engine.Version).has(queueLimit) {
		return Config{}, fmt.Errorf("%s%s: max-num-queued-reqs: vLLM has it since 0.29, not in %s", Prefix, list, c.Engine.Version)
	}
	if total := c.Faults.struck(); total > 1 {
		return Config{}, fmt.Errorf("%s%s: the shares of requests that a fault strikes add up to %.4g; at most 1 can be", Prefix, list, total)
	}
	if c.Engine.MaxModelLen == 0 {
		c.Engine.MaxModelLen = min(defaultMaxModelLen, c.Model.MaxPositionEmbeddings)
	}
	if _, err := c.plan(); err != nil {
		return Config{}, err
	}
	return c, nil
}

func settingKeys() []string {
	var keys []string
	for _, s := range settings {
		keys = append(keys, s.key)
	}
	return keys
}

func oneOf(dst *string, v string, allowed []string) error {
	if !slices.Contains(allowed, v) {
		return fmt.Errorf("%q is not known; possible are %s", v, strings.Join(allowed, ", "))
	}
	*dst = v
	return nil
}

func positive(dst *int, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is not a whole number above 0", v)
	}
	*dst = n
	return nil
}

func integer(dst *int64, v string) error {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not a whole number", v)
	}
	*dst = n
	return nil
}

func share(dst *float64, v string) error {
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f > 0 && f <= 1) {
		return fmt.Errorf("%q is not a share above 0 and at most 1", v)
	}
	*dst = f
	return nil
}

func boolean(dst *bool, v string) error {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", v)
	}
	*dst = b
	return nil
}

// negated reads a truth whose contrary is kept, so that the zero value is the one without a fault.
func negated(dst *bool, v string) error {
	err := boolean(dst, v)
	*dst = !*dst
	return err
}

func versionNumber(dst *string, v string) error {
	if !versionSyntax.MatchString(v) {
		return fmt.Errorf("%q is not a version such as %s", v, defaultVersion)
	}
	if !parseRelease(v).has(firstV1) {
		return fmt.Errorf("%s is older than 0.8, and the simulator has V1's engine and HTTP only", v)
	}
	*dst = v
	return nil
}

// plan divides the GPU's memory as vLLM does at start; the error is vLLM's own refusal.
func (c Config) plan() (capacity.Memory, error) {
	refused := func(format string, args ...any) (capacity.Memory, error) {
		return capacity.Memory{}, fmt.Errorf("the simulated vLLM does not start: "+format, args...)
	}
	e := c.Engine.WithDefaults(c.Model, c.GPU)
	if refusals := capacity.Refusals(c.Model, c.GPU, c.Engine); len(refusals) > 0 {
		return refused("ValueError: %s", refusals[0].Reason)
	}
	mem, err := capacity.PlanMemory(c.Model, c.GPU, c.Engine)
	switch {
	case err != nil:
		return refused("%w", err)
	case mem.Weights >= mem.Budget:
		return refused("CUDA out of memory. Failed to load model - not enough GPU memory. Try lowering --gpu-memory-utilization to free memory for weights, increasing --tensor-parallel-size, or using --quantization. (%s)", mem.Reason)
	case mem.Blocks < 1:
		return refused("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine. (%s)", mem.Reason)
	}
	if n := c.NumGPUBlocksOverride; n > 0 {
		if room := mem.Total - mem.Weights - mem.Activation - mem.NonTorch; n > int(room/mem.BlockBytes) {
			return refused("CUDA out of memory. Tried to allocate a KV cache of %d blocks of %v; %v of the card are left for it", n, mem.BlockBytes, room)
		}
		mem.Blocks = n
	}
	fits := func(tokens int) bool {
		return mem.GuaranteedConcurrencyAt(tokens) >= 1 && mem.BlocksForAdmission(tokens) <= mem.UsableBlocks()
	}
	if !fits(e.MaxModelLen) {
		blocks := float64(mem.Blocks) / mem.GuaranteedConcurrencyAt(e.MaxModelLen)
		blocks = max(blocks, float64(mem.BlocksForAdmission(e.MaxModelLen)+1)) // the null block
		low, high := 0, e.MaxModelLen                                          // fits(low), not fits(high)
		for high-low > 1 {
			if mid := (low + high) / 2; fits(mid) {
				low = mid
			} else {
				high = mid
			}
		}
		return refused("ValueError: To serve at least one request with the model's max seq len (%d), (%.2f GiB KV cache is needed, which is larger than the available KV cache memory (%.2f GiB). Based on the available memory, the estimated maximum model length is %d. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine.",
			e.MaxModelLen, blocks*mem.BlockBytes.GiB(), float64(mem.Blocks)*mem.BlockBytes.GiB(), low)
	}
	mem.GuaranteedConcurrency = mem.GuaranteedConcurrencyAt(e.MaxModelLen)
	return mem, nil
}
