package cli_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Tests that run many commands are not parallel with others: those that measure in real time need the processors.

// workplace is a folder in which the commands of help and documentation can be run as they stand: the files they name
// are there, and the server on port 8000 is the simulator.
type workplace struct {
	dir string
	env []string
}

func newWorkplace(t *testing.T) workplace {
	t.Helper()
	w := workplace{dir: t.TempDir()}
	stubs := t.TempDir()
	log, err := os.ReadFile("../vllm/testdata/startup/0.9.2-v1.log")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		filepath.Join(w.dir, "vllm.log"):         string(log),
		filepath.Join(w.dir, "mine.yaml"):        "tests:\n  - concurrent: 2\n    input_tokens: 50\n    output_tokens: 20\n",
		filepath.Join(w.dir, "config.json"):      smallConfig,
		filepath.Join(w.dir, "prices.csv"):       "gpu,buy_usd,hour_usd,as_of,note\na100-80gb,9000,,2025-11-01,quote\n",
		filepath.Join(w.dir, "ShareGPT_V3.json"): conversations(600),
		filepath.Join(w.dir, "trace.jsonl"):      kept(t, "../load/testdata/mooncake.jsonl"),
		filepath.Join(w.dir, "azure.csv"):        kept(t, "../load/testdata/azure.csv"),
		filepath.Join(w.dir, "old.txt"):          "",
		filepath.Join(stubs, "docker"):           "#!/bin/sh\ncat vllm.log.kept\n",
		filepath.Join(stubs, "benchstat"):        "#!/bin/sh\ntest -e \"$1\" && test -s \"$2\"\n",
		filepath.Join(w.dir, "vllm.log.kept"):    string(log),
	} {
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{filepath.Join(stubs, "bench"), filepath.Join(w.dir, "bin", "bench")} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(binary, name); err != nil {
			t.Fatal(err)
		}
	}
	w.env = []string{"PATH=" + stubs + ":/usr/local/bin:/usr/bin:/bin", "HOME=" + w.dir, "BENCH_BASE_URL=sim:lora-modules=sql+chat"}
	return w
}

// kept is the text of a file of the source.
func kept(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// conversations are so many of them as a ShareGPT file has them.
func conversations(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,{"conversations": [{"from": "human", "value": "Question %d?"}, {"from": "gpt", "value": "Answer %d."}]}`, i, i)
	}
	return "[" + b.String()[1:] + "]"
}

// shards has two processes measure a load together, for bench merge.
func (w workplace) shards(t *testing.T) {
	_, url := simulator(t, "gpu=h100-sxm,model=google/gemma-3-1b-it")
	w.run(t, fmt.Sprintf(`at=$(date -u -d '+6 seconds' +%%Y-%%m-%%dT%%H:%%M:%%SZ)
one() { bench stress --base-url %s --request-rate 10 --num-prompts 10 --runs 1 --output-tokens 5 --warmup 0 --gpu-telemetry none --out load --shard $1/2 --start-at $at; }
one 0 & one 1 && wait $! && cp -r load a && cp -r load b`, url))
}

const smallConfig = `{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":2048,"intermediate_size":8192,"num_hidden_layers":16,
"num_attention_heads":32,"num_key_value_heads":8,"head_dim":64,"vocab_size":128256,"max_position_embeddings":131072,"tie_word_embeddings":true,"torch_dtype":"bfloat16"}`

// run runs a line of a shell. 3, the negative answer, is an answer.
func (w workplace) run(t *testing.T, line string) string {
	t.Helper()
	line = strings.ReplaceAll(line, "--base-url http://localhost:8000", "--base-url sim:")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	cmd.Dir, cmd.Env = w.dir, w.env
	said, err := cmd.CombinedOutput()
	if e, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || e.ExitCode() != 3) {
		t.Errorf("%s: %v\n%s", line, err, said)
	}
	return string(said)
}

// examples are the lines of a command's help under Examples.
func examples(help string) []string {
	_, rest, _ := strings.Cut(help, "\nExamples:\n")
	text, _, _ := strings.Cut(rest, "\n\n")
	var out []string
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", "")) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// Every command has examples in its help, and each works as it stands.
func TestExamplesOfHelp(t *testing.T) {
	_, help, _ := call(t, nil, "--help")
	_, rest, _ := strings.Cut(help, "\nCommands:\n")
	list, _, _ := strings.Cut(rest, "\n\n")
	ran := 0
	for line := range strings.Lines(list) {
		name := strings.Fields(line)[0]
		if name == "help" || name == "completion" {
			continue
		}
		_, help, _ := call(t, nil, name, "--help")
		lines := examples(help)
		if len(lines) == 0 {
			t.Errorf("bench %s --help has no example", name)
		}
		ran += len(lines)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkplace(t)
			w.run(t, `bench stress --concurrent 4 --out results && for d in results-0.19 results-0.20 main.results branch.results; do cp -r results $d; done`)
			if name == "merge" {
				w.shards(t)
			}
			for _, line := range lines {
				if strings.HasPrefix(line, "bench simulate") { // it serves until it is interrupted
					line = "timeout --preserve-status -s INT 2 " + line
					if !strings.Contains(line, "--listen") {
						line += " --listen 127.0.0.1:0"
					}
					line = strings.ReplaceAll(line, ":8000", ":0") + " || [ $? = 130 ]"
					if said := w.run(t, line); !strings.Contains(said, "simulated vLLM") {
						t.Errorf("%s: %s", line, said)
					}
					continue
				}
				w.run(t, line)
			}
		})
	}
	if ran < 25 {
		t.Errorf("%d examples were found, there were 28 when this was written", ran)
	}
}
