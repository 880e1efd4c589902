package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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

// shellLines are the commands of a page's sh blocks, without their comments.
func shellLines(text string) (out []string) {
	in := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "```") {
			in = line == "```sh"
			continue
		}
		command, _, _ := strings.Cut(line, " #")
		if command = strings.TrimSpace(command); in && command != "" && !strings.HasPrefix(command, "#") {
			out = append(out, command)
		}
	}
	return out
}

// notRun are the programs besides bench that pages tell to start: they build, fetch or need what a test has not.
var notRun = []string{"make", "git", "cd", "docker", "curl", "export", "source", "pip", "vllm"}

// TestDocumentedCommands runs the commands in the pages' sh blocks, those of a page one after another in one folder, in the place of a server the simulator.
func TestDocumentedCommands(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, name := range append(pages, "../../README.md") {
		if _, translated := translations["docs/"+filepath.Base(name)]; translated {
			continue // it has the commands of the page it says the same as
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := shellLines(string(data))
		for _, line := range lines {
			if first := strings.Fields(line)[0]; first == "bench" || first == "bin/bench" {
				ran++
			} else if !slices.Contains(notRun, first) {
				t.Errorf("%s: what is %s?", name, line)
			}
		}
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			w := newWorkplace(t)
			if strings.HasPrefix(filepath.Base(name), "README") {
				w.run(t, "bench stress --concurrent 2 --out results && cp -r results results-before && cp -r results results-after")
			}
			for _, line := range lines {
				first := strings.Fields(line)[0]
				if strings.HasSuffix(line, "bench simulate") {
					w.run(t, "timeout --preserve-status -s INT 2 "+line+" --listen 127.0.0.1:0 || [ $? = 130 ]")
				} else if first == "bench" || first == "bin/bench" {
					w.run(t, line)
				}
			}
		})
	}
	if ran < 30 {
		t.Errorf("%d commands were found, there were more than 30 when this was written", ran)
	}
}

// translations are pages in Korean and the English ones they say the same as.
var translations = map[string]string{"README.ko.md": "README.md", "docs/tutorial.ko.md": "docs/tutorial.md"}

// TestTranslationsSayTheSame: a Korean page has the commands, the words in code, the links and the figures of the English
// one, in its order of sections.
func TestTranslationsSayTheSame(t *testing.T) {
	for other, original := range translations {
		english, korean := readRoot(t, original), readRoot(t, other)
		for what, pattern := range map[string]string{
			"code":     "`[^`\n]+`",
			"links":    `\]\([^)]*\)`,
			"headings": `(?m)^#+`,
			"rows":     `(?m)^\|[^|]*\|`,
			"points":   `(?m)^\* `,
			"figures":  `[0-9]+(,[0-9]{3})*(\.[0-9]+)* ?(%|(s|GB|GiB|m|ms)\b)|[0-9]{2,}(,[0-9]{3})*`,
		} {
			all := func(text string) []string {
				// Each of two pages names the other, and a translation leads to translations.
				text = regexp.MustCompile(`(README|tutorial)(\.ko)?\.md`).ReplaceAllString(text, "$1")
				found := regexp.MustCompile(pattern).FindAllString(text, -1)
				if what == "rows" || what == "points" || what == "headings" {
					return []string{strconv.Itoa(len(found))}
				}
				slices.Sort(found)
				return found
			}
			if a, b := all(english), all(korean); !slices.Equal(a, b) {
				t.Errorf("%s of %s and %s differ:\n%q\n%q", what, original, other, a, b)
			}
		}
		if a, b := shellLines(english), shellLines(korean); !slices.Equal(a, b) {
			t.Errorf("commands of %s and %s differ:\n%q\n%q", original, other, a, b)
		}
		for _, link := range regexp.MustCompile(`\]\(([^):]+)\)`).FindAllStringSubmatch(english+korean, -1) {
			readRoot(t, filepath.Join(filepath.Dir(original), link[1]))
		}
	}
}

// What the README tells to make can be made, and its demo is what the tests of documented commands run.
func TestReadmeMakes(t *testing.T) {
	makefile := readRoot(t, "Makefile")
	for _, line := range shellLines(readRoot(t, "README.md")) {
		if target, ok := strings.CutPrefix(line, "make "); ok && !strings.Contains(makefile, "\n"+target+":") {
			t.Errorf("the Makefile has no %q", target)
		}
	}
	if !strings.Contains(makefile, "run --base-url sim: --out") {
		t.Error("make demo does not run what this test's commands run")
	}
}

// TestDocumentedDefaults: what docs/method.md says of defaults is what --help says.
// flagHelp is what a command's help says of a flag, in one line.
func flagHelp(help, flag string) string {
	_, after, _ := strings.Cut(help, "      "+flag+" ")
	if end := strings.Index(after, "      --"); end >= 0 {
		after = after[:end]
	}
	return flag + " " + strings.Join(strings.Fields(after), " ")
}

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
		if !regexp.MustCompile(c.flag).MatchString(flagHelp(help[c.command], strings.Fields(c.flag)[0])) {
			t.Errorf("bench %s --help has no %s", c.command, c.flag)
		}
	}
}
