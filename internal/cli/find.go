package cli

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bench/internal/record"
)

// foundFolder is a result folder that nobody named.
type foundFolder struct {
	dir string
	run record.Run
}

// findFolders are the folders with a run that lie in dir, or dir itself where it is one, the oldest first.
func findFolders(dir string) []foundFolder {
	if f, ok := asFolder(dir); ok {
		return []foundFolder{f}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []foundFolder
	for _, e := range entries {
		if f, ok := asFolder(filepath.Join(dir, e.Name())); ok {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b foundFolder) int {
		return cmp.Or(a.run.CreatedAt.Compare(b.run.CreatedAt), cmp.Compare(a.dir, b.dir))
	})
	return out
}

func asFolder(dir string) (foundFolder, bool) {
	if _, err := os.Stat(filepath.Join(dir, record.RunFile)); err != nil {
		return foundFolder{}, false
	}
	folder, err := record.OpenFolder(dir)
	if err != nil {
		return foundFolder{}, false
	}
	run, ok, err := folder.ReadRun()
	return foundFolder{dir, run}, ok && err == nil
}

// onlyFolder is the one folder with a run that can be meant where none was named. The default name counts first: what
// a run without flags writes, a command without flags reads.
func (a *app) onlyFolder() (dir string, err error) {
	if f, ok := asFolder(defaultOut); ok {
		return f.dir, nil
	}
	switch found := findFolders("."); len(found) {
	case 0:
		return "", usagef("no results here: measure some with `bench run`, or name their folder")
	case 1:
		a.status("results: %s", found[0].dir)
		return found[0].dir, nil
	default:
		return "", usagef("which results? here are %s", names(found))
	}
}

func names(found []foundFolder) string {
	var out []string
	for _, f := range found {
		out = append(out, f.dir)
	}
	return strings.Join(out, ", ")
}

// twoFolders are the sides to compare, of which given names none or the second only where two can be meant: the older
// one is A.
func (a *app) twoFolders(given []string) (sideA, sideB string, err error) {
	if len(given) == 2 {
		return given[0], given[1], nil
	}
	found := findFolders(".")
	if len(given) == 1 {
		found = slices.DeleteFunc(found, func(f foundFolder) bool { return filepath.Clean(f.dir) == filepath.Clean(given[0]) })
		if len(found) != 1 {
			return "", "", usagef("compare needs two sides, as in `bench compare A B`; beside %s here are %s", given[0], cmp.Or(names(found), "no results"))
		}
		a.status("comparing %s with %s", found[0].dir, given[0])
		return found[0].dir, given[0], nil
	}
	if len(found) != 2 {
		return "", "", usagef("compare needs two sides, as in `bench compare A B`; here are %s", cmp.Or(names(found), "no results"))
	}
	a.status("comparing %s with the later %s", found[0].dir, found[1].dir)
	return found[0].dir, found[1].dir, nil
}
