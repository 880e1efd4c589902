package cli

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bench/internal/record"
	"bench/internal/report"
	"bench/internal/runner"

	"github.com/spf13/cobra"
)

type mergeFlags struct {
	out        outFlags
	clockError time.Duration
}

func (a *app) mergeCommand() *cobra.Command {
	var f mergeFlags
	c := &cobra.Command{
		Use:   "merge FOLDER…",
		Short: "Join what several machines measured of one load into one result folder",
		Long: `merge joins the shards of a load (bench stress … --shard i/n) as if one machine had
sent it all: requests exactly, each index once, and figures, findings and verdicts made
anew from all of them. A FOLDER is a shard's, or one that holds shard-0, shard-1 and so on.

It refuses shards that are not of one load, are incomplete, or whose clocks may lie
more than 250 ms apart, by what the kernels know of them. The server's and the GPUs'
side is shard 0's.`,
		Example: `  bench merge load --out merged            # load/shard-0, load/shard-1, …
  bench merge a/shard-0 b/shard-1 --out both && bench analyze --out both`,
		Args: words(1, math.MaxInt, "the folders of the shards"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.merge(&f, args, c.Flags().Changed("clock-error"))
		},
	}
	c.Flags().StringVar(&f.out.dir, "out", "merged", "result folder to make")
	c.Flags().BoolVar(&f.out.json, "json", false, "print the records as JSON")
	c.Flags().DurationVar(&f.clockError, "clock-error", 0, "how far apart the machines' clocks are at most, where they do not tell themselves")
	return c
}

// maxClockError is how far apart two shards' clocks may be: what a synchronised machine keeps, and little beside the
// times of a request.
const maxClockError = 250 * time.Millisecond

func (a *app) merge(f *mergeFlags, args []string, stated bool) error {
	names, err := shardFolders(args)
	if err != nil {
		return err
	}
	tests, err := readShards(names)
	if err != nil {
		return err
	}
	out, err := record.LockFolder(f.out.dir)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, existing, err := out.ReadRun(); err != nil || existing {
		return errors.Join(err, fmt.Errorf("%s holds results already: name a new folder with --out", f.out.dir))
	}
	var merged []record.Record
	for _, shards := range tests {
		rec, err := mergeTest(out, shards, f.clockError, stated)
		if err != nil {
			return err
		}
		merged = append(merged, rec)
	}
	run := tests[0][0].Run
	run.Sessions = append(slices.Clone(run.Sessions), record.Session{StartedAt: a.started, Command: "bench merge " + strings.Join(args, " ")})
	if err := out.WriteJSON(record.RunFile, run); err != nil {
		return err
	}
	if f.out.json {
		return a.printJSON(merged)
	}
	in := report.Input{Run: run}
	for _, rec := range merged {
		if rec.Detail.Kind == record.KindOpen {
			in.Open = append(in.Open, rec)
		} else {
			in.Tests = append(in.Tests, rec)
		}
	}
	if err := report.Text(a.Out, in, a.columns(), a.stdout.Live); err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "\nMerged: %s. Next: bench analyze --out %s\n", f.out.dir, f.out.dir)
	return nil
}

// shardFolders are the folders named, or the shards in them.
func shardFolders(args []string) ([]string, error) {
	var out []string
	for _, dir := range args {
		if _, err := os.Stat(filepath.Join(dir, record.RunFile)); err == nil {
			out = append(out, dir)
			continue
		}
		inside, err := filepath.Glob(filepath.Join(dir, "shard-*"))
		if err != nil {
			return nil, err
		}
		if len(inside) == 0 {
			return nil, fmt.Errorf("%s is no result folder and holds no shard-0, shard-1, …", dir)
		}
		out = append(out, inside...)
	}
	return out, nil
}

// readShards reads what the folders hold of each test, in the order of the first folder's records; shard 0 comes first.
func readShards(names []string) ([][]runner.ShardResult, error) {
	var tests [][]runner.ShardResult
	for _, name := range names {
		folder, err := record.OpenFolder(name)
		if err != nil {
			return nil, err
		}
		run, ok, err := folder.ReadRun()
		if err != nil || !ok {
			return nil, errors.Join(err, fmt.Errorf("%s holds no run", name))
		}
		closed, errClosed := folder.ReadRecords(record.ConcurrentFile)
		open, errOpen := folder.ReadRecords(record.OpenFile)
		if err := errors.Join(errClosed, errOpen); err != nil {
			return nil, err
		}
		recs := slices.Concat(closed, open)
		recs = slices.DeleteFunc(recs, func(r record.Record) bool { return r.Detail.Shard == nil })
		if len(recs) == 0 {
			return nil, fmt.Errorf("%s holds no shard of a load: measure with `bench stress … --shard i/n`", name)
		}
		for _, rec := range recs {
			x, err := readShard(folder, run, rec)
			if err != nil {
				return nil, err
			}
			i := slices.IndexFunc(tests, func(of []runner.ShardResult) bool { return of[0].Record.TestID == rec.TestID })
			if i < 0 {
				i, tests = len(tests), append(tests, nil)
			}
			tests[i] = append(tests[i], x)
		}
	}
	for _, shards := range tests {
		slices.SortStableFunc(shards, func(a, b runner.ShardResult) int { return a.File.Test.Shard.Index - b.File.Test.Shard.Index })
	}
	return tests, nil
}

func readShard(folder *record.Folder, run record.Run, rec record.Record) (runner.ShardResult, error) {
	x := runner.ShardResult{Name: folder.Dir(), Run: run, Record: rec}
	var errs [4]error
	files := rec.Detail.Files
	if p := rec.Detail.Probe; p != nil {
		x.Probes, errs[3] = record.ReadRequests(folder.Path(p.File))
	}
	x.File, errs[0] = record.ReadRequests(folder.Path(files.Requests))
	if files.MemoryLog != "" {
		x.GPU, errs[1] = folder.ReadGPUSamples(files.MemoryLog)
	}
	if files.ServerMetrics != "" {
		x.Server, errs[2] = folder.ReadServerRows(files.ServerMetrics)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return x, err
	}
	if x.File.Test.Shard == nil {
		return x, fmt.Errorf("%s: %s names no shard, its record does", folder.Dir(), files.Requests)
	}
	return x, nil
}

// mergeTest joins the shards of one test and writes what came out.
func mergeTest(out *record.Folder, shards []runner.ShardResult, stated time.Duration, isStated bool) (record.Record, error) {
	merged := record.Merged{Shards: len(shards)}
	apart, known := runner.ClockError(shards)
	switch {
	case known:
		merged.ClockErrorMS = new(apart.Seconds() * 1000)
	case isStated:
		apart = stated
		merged.StatedMS = new(apart.Seconds() * 1000)
	default:
		return record.Record{}, fmt.Errorf("how far apart the clocks of %s and the other shards are is not known: synchronise them (chrony, NTP) and measure again, or state it with --clock-error", shards[0].Name)
	}
	if apart > maxClockError {
		return record.Record{}, fmt.Errorf("the clocks of two shards may be %v apart, more than %v: synchronise them (chrony, NTP) and measure again", apart, maxClockError)
	}
	result, err := runner.Merge(shards, merged)
	if err != nil {
		return record.Record{}, err
	}
	log, err := out.NewRequestLog(result.Test)
	if err != nil {
		return record.Record{}, err
	}
	for _, r := range result.Requests {
		err = errors.Join(err, log.Append(r))
	}
	for _, s := range result.Stops {
		err = errors.Join(err, log.Stop(s))
	}
	if err = errors.Join(err, log.Sync(), log.Close()); err != nil {
		return record.Record{}, err
	}
	rec := result.Record
	rec.Detail.Files = shards[0].Record.Detail.Files
	rec.Detail.Files.Requests = log.Name()
	copied := []string{rec.Detail.Files.MemoryLog, rec.Detail.Files.ServerMetrics}
	if rec.Detail.Probe != nil {
		copied = append(copied, rec.Detail.Probe.File)
	}
	for _, name := range copied {
		if name == "" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(shards[0].Name, name))
		if err == nil {
			err = out.WriteFile(name, data)
		}
		if err != nil {
			return rec, err
		}
	}
	return rec, out.PutRecord(result.Test.RecordFile(), rec)
}
