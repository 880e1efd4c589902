package cli_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bench/internal/record"
	"bench/internal/sim"
)

// fenced are the lines between a page's ```word and the next ```.
func fenced(text, word string) string {
	_, rest, _ := strings.Cut(text, "```"+word+"\n")
	block, _, _ := strings.Cut(rest, "```")
	return block
}

// TestManyMachines runs what docs/machines.md and docs/kubernetes-job.yaml say with stand-ins for srun, ssh and Kubernetes that set what
// those set, with a smaller load and a start that is sooner: a server sees each request of the load once, and the shards merge.
func TestManyMachines(t *testing.T) {
	if os.Getenv("BENCH_LONG") == "" {
		t.Skip("make hostile waits for the starts that machines agree on")
	}
	data, err := os.ReadFile("../../docs/machines.md")
	if err != nil {
		t.Fatal(err)
	}
	pageText := string(data)
	manifest, err := os.ReadFile("../../docs/kubernetes-job.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var args []string
	for _, m := range regexp.MustCompile(`(?m)^ +- (stress|--[^ \n]+)`).FindAllStringSubmatch(string(manifest), -1) {
		args = append(args, m[1])
	}
	if len(args) != 9 || !strings.Contains(string(manifest), "completions: 4\n") {
		t.Fatalf("the manifest starts bench with %q", args)
	}
	stubs := t.TempDir()
	for name, text := range map[string]string{
		"srun": "#!/bin/sh\nn=${1#--ntasks=}; shift 2\ni=0; while [ $i -lt $n ]; do SLURM_PROCID=$i \"$@\" & pids=\"$pids $!\"; i=$((i+1)); done\nfor p in $pids; do wait $p || exit 1; done\n",
		"ssh":  "#!/bin/sh\nshift\nexec \"$@\"\n",
		"scp":  "#!/bin/sh\n", // the machines share a folder here
	} {
		if err := os.WriteFile(filepath.Join(stubs, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(binary, filepath.Join(stubs, "bench")); err != nil {
		t.Fatal(err)
	}
	pods := "START=$(date -u -d '+5 minutes' +%Y-%m-%dT%H:%M:%SZ)\nfor i in 0 1 2 3; do JOB_COMPLETION_INDEX=$i bench " + strings.ReplaceAll(strings.Join(args, " "), "/results/", "") +
		" & done\nwait\nbench merge load --out merged && bench analyze --out merged\n"
	for name, script := range map[string]string{"Slurm": fenced(pageText, "slurm"), "ssh": fenced(pageText, "ssh"), "Kubernetes": pods} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, url := simulator(t, "gpu=h100-sxm,model=google/gemma-3-1b-it")
			var log lockedBuffer
			s.LogRequests(&log)
			const n = 60
			script := regexp.MustCompile(`'\+[0-9] minutes'`).ReplaceAllString(script, "'+20 seconds'") // every machine is this one
			script = regexp.MustCompile(`--request-rate[ =]400 --num-prompts[ =]20000`).ReplaceAllString(script, "--request-rate 30 --num-prompts 60 --input-tokens 40 --output-tokens 5")
			script = strings.ReplaceAll(script, "http://vllm:8000", url)
			dir := t.TempDir()
			cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
			cmd.Dir, cmd.Env = dir, []string{"PATH=" + stubs + ":/usr/local/bin:/usr/bin:/bin", "HOME=" + dir}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s\n%s", err, script, out)
			}
			rec := readOne(t, filepath.Join(dir, "merged"), record.OpenFile)
			if rec.Detail.Requests != n || rec.Detail.Succeeded != n || rec.Detail.Merged == nil || rec.Detail.Merged.Shards != 4 || found(rec, "books", "") {
				t.Errorf("%d requests of %+v, %+v", rec.Detail.Requests, rec.Detail.Merged, rec.Trust)
			}
			seen := 0
			for line := range strings.Lines(log.String()) {
				var e sim.LogEntry
				if err := json.Unmarshal([]byte(line), &e); err != nil {
					t.Fatal(err)
				}
				if e.PromptTokens == 40 && e.OutputTokens == 5 {
					seen++
				}
			}
			if want := n + 4*3; seen != want { // and each one's warm-ups
				t.Errorf("the server saw %d requests, want %d", seen, want)
			}
		})
	}
}
