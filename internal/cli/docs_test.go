package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// page is a page of the documentation with its line breaks as spaces.
func page(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(data)), " ")
}

// TestDocumentedCommands runs the commands in the pages' sh blocks, those of a page one after another in one folder.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, name := range pages {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		dir, in := t.TempDir(), false
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "```") {
				in = line == "```sh"
				continue
			}
			command, _, _ := strings.Cut(line, "#")
			args := strings.Fields(command)
			if !in || len(args) == 0 || args[0] != "bench" {
				continue
			}
			ran++
			cmd := exec.CommandContext(t.Context(), binary, args[1:]...)
			cmd.Dir = dir
			if said, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %v\n%s", name, line, err, said)
			}
		}
	}
	if ran < 8 {
		t.Errorf("%d commands were found, there were 8 when this was written", ran)
	}
}

// TestDocumentedDefaults: what docs/method.md says of defaults is what --help says.
func TestDocumentedDefaults(t *testing.T) {
	method := page(t, "method.md")
	help := map[string]string{}
	for _, command := range []string{"stress", "baseline"} {
		_, out, _ := call(t, nil, command, "--help")
		help[command] = out
	}
	for _, c := range []struct{ says, command, flag string }{
		{"3 requests of the same shape", "stress", `--warmup int .*\(default 3\)`},
		{"**Repeats.** 3 (a baseline: 10)", "stress", `--runs int .*\(default 3\)`},
		{"**Repeats.** 3 (a baseline: 10)", "baseline", `--runs int .*\(default 10\)`},
		{"**Cooldown.** 30 s before the next test", "stress", `--cooldown duration .*\(default 30s\)`},
		{"A request may take 60 s (`--timeout`)", "stress", `--timeout duration .*\(default 1m0s\)`},
		{"or `--max-runs` (20) were taken", "stress", `--max-runs int .*\(default 20\)`},
		{"up to `--max-concurrent` (1024)", "stress", `--max-concurrent int .*\(default 1024\)`},
	} {
		if !strings.Contains(method, c.says) {
			t.Errorf("docs/method.md does not say %q", c.says)
		}
		if !regexp.MustCompile(c.flag).MatchString(help[c.command]) {
			t.Errorf("bench %s --help has no %s", c.command, c.flag)
		}
	}
}
