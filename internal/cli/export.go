package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"bench/internal/record"
	"bench/internal/report"

	"github.com/spf13/cobra"
)

// exporter writes a folder's requests or figures in one format.
type exporter func(io.Writer, report.Input, report.Requests) error

// exporterOf is the one of a --format, and whether it reads the data files.
func exporterOf(format string) (write exporter, requests bool, err error) {
	switch format {
	case "csv":
		return report.CSVRequests, true, nil
	case "jsonl":
		return report.JSONLRequests, true, nil
	case "benchfmt":
		return func(w io.Writer, in report.Input, _ report.Requests) error { return report.Benchfmt(w, in) }, false, nil
	case "prometheus":
		return func(w io.Writer, in report.Input, _ report.Requests) error { return report.Prometheus(w, in) }, false, nil
	}
	if format == "" {
		return nil, false, usagef("in which format? give --format csv, jsonl, benchfmt or prometheus")
	}
	return nil, false, usagef("--format %q: want csv, jsonl, benchfmt or prometheus", format)
}

func (a *app) exportCommand() *cobra.Command {
	var format, out string
	c := &cobra.Command{
		Use:   "export [DIR] --format csv|jsonl|benchfmt|prometheus",
		Short: "Write a result folder's requests or figures in a format that other tools read",
		Long: `export writes what the records of a result folder rest on:

  csv, jsonl   every request of every test with its test, repeat and figures, a line each
  benchfmt     Go's benchmark format, a line a repeat: for benchstat
  prometheus   figures and limits in Prometheus' text format

What is not known is an empty cell, null, or absent, never zero. Simulated results say so.`,
		Example: `  bench export results --format csv --out requests.csv
  bench export results --format benchfmt --out new.txt && benchstat old.txt new.txt`,
		Args: words(0, 1, "one folder"),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.export(args[0], format, out)
			}
			dir, err := a.onlyFolder()
			if err != nil {
				return err
			}
			return a.export(dir, format, out)
		},
	}
	c.Flags().StringVar(&format, "format", "", "csv, jsonl, benchfmt or prometheus")
	c.Flags().StringVar(&out, "out", "", "file to write (default stdout)")
	return c
}

func (a *app) export(dir, format, out string) error {
	write, requests, err := exporterOf(format)
	if err != nil {
		return err
	}
	folder, err := record.OpenFolder(dir)
	if err != nil {
		return err
	}
	in, err := readInput(folder)
	if err != nil {
		return err
	}
	if len(in.Baselines)+len(in.Tests) == 0 {
		return fmt.Errorf("%s holds no test that has ended: nothing to export", dir)
	}
	if requests {
		in.Baselines, in.Tests = a.withData(folder, in.Baselines), a.withData(folder, in.Tests)
	}
	do := func(w io.Writer) error {
		buffered := bufio.NewWriterSize(w, 1<<16)
		if err := write(buffered, in, folder); err != nil {
			return err
		}
		return buffered.Flush()
	}
	if out == "" {
		return do(a.Out)
	}
	return writeOut(out, do)
}

// withData are the records whose data files are there; the others are named.
func (a *app) withData(folder *record.Folder, recs []record.Record) []record.Record {
	return slices.DeleteFunc(recs, func(r record.Record) bool {
		name := r.Detail.Files.Requests
		_, err := os.Stat(folder.Path(name))
		if err != nil {
			a.status("%s: no %s: its requests are left out", r.TestID, folder.Path(name))
		}
		return err != nil
	})
}

// writeOut puts a file in place when it is whole; what is no file (a device, a pipe) is written to as it is.
func writeOut(name string, write func(io.Writer) error) (err error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		file, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("--out: %w", err)
		}
		defer file.Close()
		return write(file)
	}
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	defer func() {
		file.Close() // a second time where it is in place: of no effect
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	if err := write(file); err != nil {
		return err
	}
	if err := file.Chmod(0o644); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("--out %s: %w", name, err)
	}
	return os.Rename(file.Name(), name)
}
