// Package internal_test holds the import table of docs/architecture.md.
package internal_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// rows: an import may only go to a lower number, and packages of one row do not know each other.
var rows = map[string]int{
	"cli":    5,
	"report": 4, "term": 4, "schema": 4, "accuracy": 4,
	"runner": 3, "analysis": 3, "sizing": 3, "compare": 3,
	"load": 2, "vllm": 2, "gpu": 2, "sim": 2,
	"record": 1, "capacity": 1,
	"catalog": 0, "stats": 0, "unit": 0, "clock": 0, "display": 0,
}

// owners: each dependency is imported by one package.
var owners = map[string]string{
	"github.com/spf13/cobra":            "cli",
	"github.com/spf13/pflag":            "cli",
	"golang.org/x/term":                 "term",
	"gonum.org/v1/plot":                 "report",
	"golang.org/x/image":                "report",
	"go.yaml.in/yaml":                   "runner",
	"github.com/sashabaranov/go-openai": "vllm",
	"github.com/prometheus":             "vllm",
	"github.com/NVIDIA/go-nvml":         "gpu",
	"github.com/google/renameio":        "record",
	"golang.org/x/sync":                 "vllm",
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "bench/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestImportsRunDownwards(t *testing.T) {
	seen := 0
	for _, p := range list(t) {
		from, ok := strings.CutPrefix(p.ImportPath, "bench/internal/")
		if !ok {
			continue
		}
		fromRow, known := rows[from]
		if !known {
			t.Errorf("package %s has no row in the table", from)
		}
		seen++
		for _, imp := range p.Imports {
			to, ok := strings.CutPrefix(imp, "bench/internal/")
			if !ok {
				continue
			}
			if rows[to] >= fromRow {
				t.Errorf("%s (row %d) imports %s (row %d): imports only run downwards", from, fromRow, to, rows[to])
			}
		}
	}
	if seen != len(rows) {
		t.Errorf("%d packages were found, the table has %d", seen, len(rows))
	}
}

func TestEachDependencyHasOneOwner(t *testing.T) {
	used := map[string]bool{}
	for _, p := range list(t) {
		from := strings.TrimPrefix(p.ImportPath, "bench/internal/")
		for _, imp := range p.Imports {
			first, _, _ := strings.Cut(imp, "/")
			if first == "bench" || !strings.Contains(first, ".") {
				continue
			}
			owner := ""
			for dep, o := range owners {
				if imp == dep || strings.HasPrefix(imp, dep+"/") {
					owner, used[dep] = o, true
				}
			}
			if owner != from {
				t.Errorf("%s imports %s, which belongs to %q", from, imp, owner)
			}
		}
	}
	for dep := range owners {
		if !used[dep] {
			t.Errorf("%s is in the table and imported by nobody", dep)
		}
	}
}
