// Vulndb lays the reports of golang.org/x/vulndb out as govulncheck reads them: vulndb FOLDER-OF-REPORTS OUT.
// It is for machines that reach Go's module proxy, where that module is, and not the database itself.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// report is what the index needs of one, in the OSV format.
type report struct {
	ID       string `json:"id"`
	Affected []struct {
		Package struct {
			Name string `json:"name"`
		} `json:"package"`
	} `json:"affected"`
}

// module is one entry of the index.
type module struct {
	Path  string     `json:"path"`
	Vulns []vulnName `json:"vulns"`
}

type vulnName struct {
	ID string `json:"id"`
}

func main() {
	if err := layOut(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "vulndb:", err)
		os.Exit(1)
	}
}

func layOut(from, to string) error {
	names, err := filepath.Glob(filepath.Join(from, "*.json"))
	if err != nil {
		return err
	}
	for _, dir := range []string{"ID", "index"} {
		if err := os.MkdirAll(filepath.Join(to, dir), 0o755); err != nil {
			return err
		}
	}
	byPath := map[string]*module{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var r report
		if err := json.Unmarshal(data, &r); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(to, "ID", r.ID+".json"), data, 0o644); err != nil {
			return err
		}
		for _, a := range r.Affected {
			m := byPath[a.Package.Name]
			if m == nil {
				m = &module{Path: a.Package.Name}
				byPath[m.Path] = m
			}
			if v := (vulnName{r.ID}); !slices.Contains(m.Vulns, v) {
				m.Vulns = append(m.Vulns, v)
			}
		}
	}
	index := make([]module, 0, len(byPath))
	for _, m := range byPath {
		index = append(index, *m)
	}
	for name, v := range map[string]any{"modules": index, "db": map[string]string{"modified": "0001-01-01T00:00:00Z"}} {
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, "index", name+".json"), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
