package cli_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bench/internal/sim"
)

// What people type wrongly, and what each is told: one line with what is wrong, where, and what to do. SERVER is a
// simulator, LOCKED one that asks for a key; nothing may be left of any of them.
var mistakes = []struct {
	command string
	code    int
	says    string
}{
	// The command and its words.
	{"strss", 2, "unknown command \"strss\"; did you mean `bench stress`?"},
	{"Verify", 2, "did you mean `bench verify`?"},
	{"help nonsense", 2, "unknown command \"nonsense\""},
	{"completion tcsh", 2, "no completion for \"tcsh\": there is bash, zsh, fish, powershell"},
	{"stress concurrent 8", 2, "bench stress does not take \"concurrent\"; did you mean --concurrent?"},
	{"baseline please", 2, "bench baseline does not take \"please\"; see `bench baseline --help`"},
	{"compare a b c", 2, "bench compare does not take \"c\": only two sides"},
	{"simulate gpu=h100 tp=2", 2, "does not take \"tp=2\": only settings in one word, with commas"},
	{"merge", 2, "bench merge needs the folders of the shards"},
	// Flags.
	{"stress --concurent 8", 2, "unknown flag: --concurent; did you mean --concurrent?"},
	{"stress --gpu-tele none", 2, "did you mean --gpu-telemetry?"},
	{"stress -c 8", 2, "unknown flag: -c: flags have two dashes and their whole name"},
	{"baseline --nothing-like-it", 2, "unknown flag: --nothing-like-it; see `bench baseline --help`"},
	{"stress --concurrent", 2, "--concurrent needs a value"},
	{"stress --concurrent eight", 2, "--concurrent \"eight\": want a whole number"},
	{"stress --concurrent 8.5", 2, "--concurrent \"8.5\": want a whole number"},
	{"size --concurrent 99999999999999999999", 2, "want a whole number up to 9223372036854775807"},
	{"stress --concurrent 100000000", 2, "--concurrent: 100000000 concurrent requests is out of range: want 1 to 10000"},
	{"stress --concurrent=-1", 2, "want 1 to 10000"},
	{"stress --runs 1000000", 2, "1000000 runs is out of range"},
	{"stress --concurrent 4 --requests 2", 2, "--requests 2 is less than --concurrent 4"},
	{"stress --concurrent 4 --input-tokens -5", 2, "-5 input tokens is out of range"},
	{"stress --warmup -1", 2, "--warmup -1: want 0 to 1000"},
	{"stress --timeout 60", 2, "--timeout \"60\": want a time with its unit, such as 30s or 5m"},
	{"stress --timeout -5s", 2, "--timeout -5s: want a time above zero"},
	{"stress --wait -5s", 2, "--wait -5s: want a time above zero"},
	{"stress --cooldown 5", 2, "want a time with its unit"},
	{"stress --temperature warm", 2, "--temperature \"warm\": want a number"},
	{"stress --gpu-telemetry gpu", 2, "--gpu-telemetry \"gpu\": want auto, nvml, nvidia-smi, none"},
	{"stress --until-precise 200%", 2, "want a share above 0% and below 100%"},
	{"stress --request-rate 3", 2, "how many requests? give --num-prompts, or --duration"},
	{"stress --request-rate -3 --num-prompts 5", 2, "--request-rate -3: want requests a second, above zero"},
	{"run --size-for 0", 2, "--size-for 0: want 1 or more"},
	{"run --context -1", 2, "--context -1: want 1 or more"},
	{"analyze --lang kr", 2, "--lang \"kr\": want en or ko"},
	// Where the server is, and who may use it.
	{"stress --base-url localhost:8000", 2, "\"localhost:8000\" is no base URL: give it as http://HOST:PORT"},
	{"stress --base-url sim", 2, "or sim: for the simulator"},
	{"stress --base-url sim:rtx-3090", 2, "\"rtx-3090\" is no setting: give it a name, as in gpu=rtx-3090"},
	{"stress --base-url sim:gpu=rtx-3090,quant=none", 2, "the simulated vLLM does not start: CUDA out of memory"},
	{"stress --base-url sim:tp=3", 2, "possible are 1, 2, 4, 8, 16"},
	{"stress --base-url http://127.0.0.1:9", 1, "nothing listens at http://127.0.0.1:9 (connection refused): start the server, or wait for a loading one with --wait"},
	{"verify --base-url http://127.0.0.1:9", 1, "nothing listens at http://127.0.0.1:9"},
	{"stress --base-url https://SERVER", 1, "this port speaks plain HTTP: use http:// in --base-url"},
	{"stress --base-url http://SERVER/v1/v1", 1, "answers 404: this is no OpenAI-compatible server, --base-url has too little or too much of a path, or it lists no models: name one with --served-model then"},
	{"stress --base-url http://SERVER --served-model gemma", 1, "the server does not serve \"gemma\"; it serves google/gemma-3-12b-it-w4a16"},
	{"stress --base-url http://LOCKED", 1, "the server wants a valid API key: set VLLM_API_KEY or OPENAI_API_KEY, or pass --api-key-file"},
	{"stress --base-url http://LOCKED --api-key-file key", 1, "the server wants a valid API key"},
	{"stress --base-url http://SERVER --api-key-file nokey", 2, "--api-key-file: open nokey: no such file"},
	{"stress --base-url http://SERVER --api-key-file empty", 2, "must hold one line with the key"},
	// Files and folders.
	{"stress --base-url http://SERVER --out a-file", 1, "a-file is a file, not a result folder: name another with --out"},
	{"stress --base-url http://SERVER --matrix tab.yaml", 2, "matrix tab.yaml: line 2: found character that cannot start any token; it needs a list `tests`"},
	{"stress --base-url http://SERVER --matrix member.yaml", 2, "matrix member.yaml: line 3: a test has no conc; it needs a list `tests`"},
	{"stress --base-url http://SERVER --matrix empty", 2, "matrix empty: the file is empty"},
	{"analyze --out nowhere", 1, "no result folder nowhere: run `bench run --out nowhere` first"},
	{"export nowhere", 2, "in which format? give --format csv, jsonl, benchfmt or prometheus"},
	{"compare nowhere a-file", 1, "nothing to compare: nowhere: no such folder or file"},
	{"verify --server-log empty", 2, "give the log from its first line on"},
	// Models and cards.
	{"size --model gemma3", 2, "did you mean gemma-3-1b-it"},
	{"size --model meta-llama/Llama-9", 2, "did you mean meta-llama/Llama-3"},
	{"size --model google/gemma-3-12b-it --gpu a100", 2, "unknown GPU \"a100\"; did you mean a100-40gb, a100-80gb"},
	{"size --model google/gemma-3-12b-it --quantization q4", 2, "quantization method \"q4\" is not known; use awq"},
	{"size --model google/gemma-3-12b-it --gpu-memory-utilization 95", 2, "--gpu-memory-utilization 95: want 0 to 1"},
	{"size --model google/gemma-3-12b-it --max-tpot 50", 2, "want a time with its unit"},
	{"size --model google/gemma-3-12b-it --check tpot", 2, "want name=value, such as tpot=12ms"},
	{"size --model-config torn.json", 2, "model config torn.json: the file ends in the middle, at line 2"},
	{"size --model google/gemma-3-12b-it --prices prices.csv", 2, "prices.csv:1: column \"buy\" is not known"},
}

func TestMistakes(t *testing.T) {
	_, open := simulator(t, "")
	locked := lockedSimulator(t)
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"a-file": "", "empty": "\n", "key": "wrong\n", "torn.json": "{\n", "tab.yaml": "tests:\n\t- concurrent: 4\n",
		"member.yaml": "tests:\n  - concurrent: 4\n    conc: 3\n", "prices.csv": "gpu,buy\nx,y\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := listing(t)
	env := map[string]string{"LANG": "ko_KR.UTF-8", "LC_ALL": "ko_KR.UTF-8"} // errors are English in every locale
	for _, m := range mistakes {
		command := strings.NewReplacer("http://SERVER", open, "https://SERVER", "https"+strings.TrimPrefix(open, "http"), "http://LOCKED", locked).Replace(m.command)
		code, out, said := call(t, env, strings.Fields(command)...)
		if code != m.code || !strings.HasPrefix(said, "bench: ") || strings.Count(said, "\n") != 1 || !strings.Contains(said, m.says) || out != "" {
			t.Errorf("bench %s: exit %d, want %d and one line with %q\n%s%s", m.command, code, m.code, m.says, said, out)
		}
	}
	if after := listing(t); !slices.Equal(before, after) {
		t.Errorf("left behind: %q, was %q", after, before)
	}
}

func listing(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("*")
	hidden, err2 := filepath.Glob(".*")
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	return append(names, hidden...)
}

// lockedSimulator serves one that asks for a key.
func lockedSimulator(t *testing.T) (url string) {
	t.Helper()
	cfg, err := sim.ParseTarget("sim:")
	if err != nil {
		t.Fatal(err)
	}
	cfg.APIKey = "secret"
	_, url = serveSimulator(t, cfg)
	return url
}
