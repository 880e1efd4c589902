package cli_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func readRoot(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The server of docker-compose.yml is the set-up that the bench beside it claims; that one can work, and the plan's own,
// from which it differs, cannot.
func TestComposeCanWork(t *testing.T) {
	t.Parallel()
	text := readRoot(t, "docker-compose.yml")
	claim := regexp.MustCompile(`(?s)command: \[(verify, --wait[^\]]*)\]`).FindStringSubmatch(text)
	if claim == nil {
		t.Fatal("no bench verify in docker-compose.yml")
	}
	args := regexp.MustCompile(`[,\s]+`).Split(strings.ReplaceAll(claim[1], `"`, ""), -1)
	var claimed []string // without the waiting
	for i := 0; i < len(args); i++ {
		if args[i] == "--wait" {
			i++
			continue
		}
		claimed = append(claimed, args[i])
	}
	server := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^      - --([a-z-]+)=(\S+)`).FindAllStringSubmatch(text, -1) {
		server[m[1]] = m[2]
	}
	for i, arg := range claimed {
		name, isFlag := strings.CutPrefix(arg, "--")
		if v, set := server[name]; isFlag && set && v != claimed[i+1] && !strings.Contains(v, "image") {
			t.Errorf("--%s is %s for vllm and %s for bench", name, v, claimed[i+1])
		}
	}
	if len(server) < 4 {
		t.Errorf("only %v are the server's settings", server)
	}
	w := newWorkplace(t)
	if said := w.run(t, "bench "+strings.Join(claimed, " ")+" --base-url http://127.0.0.1:9"); !strings.Contains(said, "This set-up can work.") {
		t.Errorf("bench says of its own compose file:\n%s", said)
	}
	code, said, _ := call(t, nil, "verify", "--base-url", "http://127.0.0.1:9", "--out", t.TempDir(), "--model", "google/gemma-3-12b-it", "--dtype", "half", "--gpu", "rtx-3090",
		"--gpu-memory-utilization", "0.95", "--max-model-len", "4096")
	if code != 3 {
		t.Errorf("the plan's own set-up: exit %d\n%s", code, said)
	}
}

// The bench commands of the workflow people copy work one after the other, and its gate lets an equal branch pass.
func TestWorkflowToCopy(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.run(t, "bench stress --runs 5 --concurrent 4 --out main.results")
	ran := 0
	for _, m := range regexp.MustCompile(`(?m)^ +(?:run: )?(bench .*)$`).FindAllStringSubmatch(readRoot(t, "docs/github-action.yml"), -1) {
		line := strings.ReplaceAll(m[1], "bench stress", "bench stress --concurrent 4")
		w.run(t, "GITHUB_STEP_SUMMARY=summary.md; "+line)
		ran++
	}
	summary, err := os.ReadFile(w.dir + "/summary.md")
	if err != nil || !strings.Contains(string(summary), "main.results") || ran != 3 {
		t.Errorf("%d commands ran; the summary is %q, %v", ran, summary, err)
	}
}

// What the release configuration runs and packs exists.
func TestReleasePacks(t *testing.T) {
	t.Parallel()
	text := readRoot(t, ".goreleaser.yaml")
	for _, name := range []string{"README.md", "README.ko.md"} {
		if !strings.Contains(text, "- "+name+"\n") {
			t.Errorf("%s is not packed", name)
		}
		readRoot(t, name)
	}
	w := newWorkplace(t)
	w.run(t, "bench man dist.pages/man1")
	for _, m := range regexp.MustCompile(`for s in ([a-z ]+);`).FindAllStringSubmatch(text, -1) {
		for _, shell := range strings.Fields(m[1]) {
			w.run(t, "bench completion "+shell+" >dist.pages/bench."+shell)
		}
	}
}
