package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bench/internal/compare"
	"bench/internal/record"
	"bench/internal/report"
	"bench/internal/unit"

	"github.com/spf13/cobra"
)

type compareFlags struct {
	json, markdown bool
	maxRegression  string
}

func (a *app) compareCommand() *cobra.Command {
	var f compareFlags
	c := &cobra.Command{
		Use:   "compare [[A] B]",
		Short: "Say how B's results differ from A's, and whether that is more than chance",
		Long: `compare sets the tests that two result folders have in common side by side: each figure's
change, its interval and a verdict. The repeat is the sampling unit. From five repeats a
side on a change has an interval, and all intervals hold together with 95 %; with three or
four it counts if the two sides lie twice as far apart as the wider of them is; with fewer
nothing is decided. A change within 2 % is the same.

A side may also be a result file of ` + "`vllm bench serve --save-result`" + `, or a folder of such
files: those of one load are repeats of one test.

Without A, or both, the sides are the results here, the older one A, if only two can be
meant.

Exit code 3: a figure is worse; with --max-regression, worse by more than that.`,
		Example: `  bench compare results-0.19 results-0.20
  bench compare main.results branch.results --max-regression 5% --markdown`,
		Args: words(0, 2, "two sides"),
		RunE: func(c *cobra.Command, args []string) error {
			sideA, sideB, err := a.twoFolders(args)
			if err != nil {
				return err
			}
			return a.compare(&f, sideA, sideB)
		},
	}
	c.Flags().BoolVar(&f.json, "json", false, "print the comparison as JSON")
	c.Flags().BoolVar(&f.markdown, "markdown", false, "print it as Markdown, for a pull request")
	c.Flags().StringVar(&f.maxRegression, "max-regression", "", "exit with 3 only if a figure is worse by more than this, as 5%")
	return c
}

func (a *app) compare(f *compareFlags, nameA, nameB string) error {
	var o compare.Options
	if f.json && f.markdown {
		return usagef("--json and --markdown are two forms of the same: give one")
	}
	if f.maxRegression != "" {
		share, err := unit.ParseShare(f.maxRegression)
		if err != nil {
			return usagef("--max-regression %w", err)
		}
		o.MaxRegression = &share
	}
	sideA, errA := readSide(nameA)
	sideB, errB := readSide(nameB)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	doc, err := compare.Compare(sideA, sideB, o)
	if err != nil {
		return err
	}
	switch {
	case f.json:
		err = a.printJSON(doc)
	case f.markdown:
		_, err = a.Out.Write(report.MarkdownComparison(doc))
	default:
		err = report.TextComparison(a.Out, doc, a.columns(), a.stdout.Live)
	}
	switch {
	case err != nil:
		return err
	case doc.Gate != nil && !doc.Gate.Passed, doc.Gate == nil && (doc.Verdict == record.ChangeWorse || doc.Verdict == record.ChangeMixed):
		return errNegative
	}
	return nil
}

// readSide reads a result folder, or what `vllm bench serve` wrote.
func readSide(name string) (compare.Side, error) {
	s := compare.Side{Name: name, Source: record.SourceBench}
	info, err := os.Stat(name)
	if err != nil {
		return s, fmt.Errorf("nothing to compare: %s: no such folder or file", name)
	}
	if !info.IsDir() {
		return s, addFile(&s, name)
	}
	folder, err := record.OpenFolder(name)
	if err != nil {
		return s, err
	}
	run, ok, err := folder.ReadRun()
	if err != nil {
		return s, err
	}
	if !ok {
		return s, addFiles(&s, name)
	}
	s.Run = run
	tests, err := folder.ReadRecords(record.ConcurrentFile)
	if err != nil {
		return s, err
	}
	baselines, err := folder.ReadRecords(record.BaselineFile)
	if err != nil {
		return s, err
	}
	open, err := folder.ReadRecords(record.OpenFile)
	s.Records = slices.Concat(tests, baselines, open)
	return s, err
}

// addFiles reads a folder that no bench wrote.
func addFiles(s *compare.Side, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := false
	for _, e := range entries {
		if !e.IsDir() && strings.HasSuffix(e.Name(), ".json") {
			found = true
			if err := addFile(s, filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if !found {
		return fmt.Errorf("%s holds no run: measure one with `bench run --out %s`", dir, dir)
	}
	return nil
}

func addFile(s *compare.Side, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	r, model, err := compare.ParseVLLM(data)
	if err == nil {
		err = s.AddVLLM(r, model)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
