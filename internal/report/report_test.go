package report

import (
	"os"
	"path/filepath"
	"testing"
)

func writeTo(dir string) func(string, []byte) error {
	return func(name string, data []byte) error {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, data, 0o644)
	}
}

func TestWriteAll(t *testing.T) {
	for name, in := range map[string]Input{"one": one(t), "nine": nine(t), "forty": forty(t)} {
		t.Run(name, func(t *testing.T) {
			dir := t.ArtifactDir()
			for _, lang := range []string{English, Korean} {
				if _, err := WriteAll(writeTo(dir), in, lang); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
