package cli

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"bench/internal/record"
	"bench/internal/runner"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// shardFlags make a command one of several machines that send a load together.
type shardFlags struct {
	shard   string
	startAt string
	every   time.Duration

	parsed *record.Shard // once read
}

func (f *shardFlags) register(fs *pflag.FlagSet) {
	defer topic(fs, "Many machines")()
	fs.StringVar(&f.shard, "shard", "", "send part i of n of a load: i/n, i from 0; env/n takes i from JOB_COMPLETION_INDEX or SLURM_PROCID")
	fs.StringVar(&f.startAt, "start-at", "", "when all shards begin, as 2026-01-31T12:00:00Z; clocks must be synchronised")
	fs.DurationVar(&f.every, "start-every", 0, "time from the start of a shard's repeat to that of the next")
}

// indexVariables hold the index of a process among those of its job: Kubernetes Indexed Jobs, Slurm.
var indexVariables = []string{"JOB_COMPLETION_INDEX", "SLURM_PROCID"}

// read parses the flags; nil where none was given.
func (f *shardFlags) read(c *cobra.Command, env func(string) string) error {
	if f.shard == "" {
		if f.startAt != "" || f.every != 0 {
			return usagef("--start-at and --start-every are of a load that several machines share: name this one's part with --shard")
		}
		return nil
	}
	index, of, _ := strings.Cut(f.shard, "/")
	if index == "env" {
		index = ""
		for _, name := range indexVariables {
			if v := env(name); v != "" {
				index = v
				break
			}
		}
		if index == "" {
			return usagef("--shard %s: none of %s is set", f.shard, strings.Join(indexVariables, ", "))
		}
	}
	i, errI := strconv.Atoi(index)
	n, errN := strconv.Atoi(of)
	if errI != nil || errN != nil {
		return usagef("--shard %q: want i/n, as 0/4, or env/4", f.shard)
	}
	at, err := time.Parse(time.RFC3339, f.startAt)
	if err != nil {
		return usagef("--shard needs --start-at with a time that all shards are given, as %s", time.Now().Add(5*time.Minute).UTC().Format(time.RFC3339))
	}
	f.parsed = &record.Shard{Index: i, Of: n, StartAt: at.UTC(), EveryS: f.every.Seconds()}
	return nil
}

// apply gives the tests to this shard, and the results a folder of its own.
func (f *shardFlags) apply(tests []record.Test, s *serverFlags, o *outFlags) ([]record.Test, error) {
	if f.parsed == nil {
		return tests, nil
	}
	if s.simulated() {
		return nil, usagef("--shard needs a server that all shards reach: sim: lives in one process; serve it with `bench simulate`")
	}
	if len(tests) > 1 {
		return nil, usagef("--shard sends one test, which all begin at --start-at: name one load with --concurrent or --request-rate")
	}
	out := make([]record.Test, len(tests))
	for i, t := range tests {
		out[i] = runner.WithShard(t, *f.parsed)
		if err := runner.CheckTest(out[i]); err != nil {
			return nil, usagef("--shard: %w", err)
		}
	}
	if name := fmt.Sprintf("shard-%d", f.parsed.Index); filepath.Base(o.dir) != name {
		o.dir = filepath.Join(o.dir, name)
	}
	return out, nil
}
