package runner

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"bench/internal/load"
	"bench/internal/record"
)

// shardsOf splits what one machine would have sent between machines whose clocks show anything.
func shardsOf(t record.Test, of, sentUntil int) (shards []ShardResult, due []time.Duration) {
	due = load.Schedule(*t.Arrivals, t.Requests, load.Stream(1, "arrivals", t.ID, 0))
	for i := range of {
		x := ShardResult{Name: "shard", Run: record.Run{Settings: record.Settings{Seed: 1}}, File: &record.RequestFile{Test: WithShard(t, record.Shard{Index: i, Of: of})}}
		clock := int64(i+1) * 1e12
		for k := i; k < sentUntil; k += of {
			at := clock + int64(due[k])
			x.File.Requests = append(x.File.Requests, record.Request{Index: k, ScheduledNS: at, SentNS: at, FirstTokenNS: new(at + 1e8), LastTokenNS: new(at + 1e9),
				TokenNS: []int64{at + 1e8, at + 1e9}, EndNS: at + 1e9, CountedTokens: 2, Success: true, PromptSHA256: "ab"})
		}
		if sentUntil < t.Requests {
			x.File.Stops = []record.Stop{{AtNS: clock + int64(due[sentUntil]), Due: len(x.File.Requests), Saturation: record.Saturation{Seen: record.SeenQueue}}}
		}
		shards = append(shards, x)
	}
	return shards, due
}

// halvesOf is what two machines sent of a load, each request so long after the start on its machine's clock; those of a trace
// keep that.
func halvesOf(test record.Test, due func(index int) int64) (out []ShardResult) {
	for i := range 2 {
		x := ShardResult{Name: "shard", File: &record.RequestFile{Test: WithShard(test, record.Shard{Index: i, Of: 2})}}
		for _, k := range part(x.File.Test) {
			at := int64(i+1)*1e12 + due(k)
			r := record.Request{Index: k, ScheduledNS: at, SentNS: at, FirstTokenNS: new(at + 1e8), LastTokenNS: new(at + 9e8),
				TokenNS: []int64{at + 1e8, at + 9e8}, EndNS: at + 9e8, CountedTokens: 2, Success: true}
			if test.Arrivals != nil {
				r.DueNS = new(due(k))
			}
			x.File.Requests = append(x.File.Requests, r)
		}
		out = append(out, x)
	}
	return out
}

// TestMerge: whatever the shards' clocks show, the merged requests lie on one, as one machine would have sent them; in whole and
// where the load was stopped.
func TestMerge(t *testing.T) {
	test := OpenTest(record.Arrivals{RequestRate: 20, Burstiness: new(1.0)}, Shape{100, 2}, 1, 50, 0)
	for _, sent := range []int{50, 31} {
		shards, due := shardsOf(test, 4, sent)
		shards[0], shards[3] = shards[3], shards[0] // in any order
		got, err := Merge(shards, record.Merged{Shards: 4})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Requests) != sent || got.Test.Shard != nil || got.Record.Detail.Requests != sent {
			t.Fatalf("%d requests of %d", len(got.Requests), sent)
		}
		for i, r := range got.Requests {
			at := int64(1e12) + int64(due[i])
			if r.Index != i || r.ScheduledNS != at || r.SentNS != at || *r.FirstTokenNS != at+1e8 || *r.LastTokenNS != at+1e9 || r.TokenNS[1] != at+1e9 || r.EndNS != at+1e9 {
				t.Fatalf("request %d is %+v", i, r)
			}
		}
		o := got.Record.Detail.OpenLoad
		if rate := float64(sent-1) / (due[sent-1] - due[0]).Seconds(); math.Abs(*o.OfferedPerSec/rate-1) > 1e-9 || got.Record.Detail.TTFT.Mean != 100 {
			t.Errorf("%+v", o)
		}
		if (sent < 50) != (o.Oversaturated != nil) || sent+o.Dropped+o.NotDue != 50 && sent < 50 || len(got.Stops) != map[bool]int{true: 1, false: 0}[sent < 50] {
			t.Errorf("%d sent: %+v, stops %+v", sent, o, got.Stops)
		}
	}
	shards, _ := shardsOf(test, 4, 50)
	shards[2].Run.Settings.Seed = 2
	if _, err := Merge(shards, record.Merged{}); err == nil || !strings.Contains(err.Error(), "--seed") {
		t.Errorf("another seed: %v", err)
	}
	shards, _ = shardsOf(test, 4, 50)
	shards[1].File.Requests = shards[1].File.Requests[:5]
	if _, err := Merge(shards, record.Merged{}); err == nil || !strings.Contains(err.Error(), "5 of 13 requests") {
		t.Errorf("a shard that was interrupted: %v", err)
	}
}

// TestMergeTrace: shards of a trace are joined by the instants that their requests keep, without the trace.
func TestMergeTrace(t *testing.T) {
	test := OpenTest(record.Arrivals{Trace: &record.TraceTimes{SecMultiplier: 0.001, LengthS: 4}}, Shape{100, 2}, 1, 9, 0)
	shards := func() []ShardResult { return halvesOf(test, func(k int) int64 { return int64(k*k) * 1e8 }) }
	got, err := Merge(shards(), record.Merged{Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range got.Requests {
		if want := int64(1e12) + int64(i*i)*1e8; r.Index != i || r.SentNS != want {
			t.Fatalf("request %d is %+v", i, r)
		}
	}
	other := shards()
	*other[1].File.Requests[2].DueNS += 5
	if _, err := Merge(other, record.Merged{}); err == nil || !strings.Contains(err.Error(), "was due") {
		t.Errorf("a request at another instant: %v", err)
	}
}

// TestPlaces: the shards of a closed load hold each of its places once and send each of its requests once, as many for a place
// on one as on another.
func TestPlaces(t *testing.T) {
	for places := 1; places < 12; places++ {
		for _, requests := range []int{places, 3 * places, 3*places + 2} {
			for of := 1; of <= places; of++ {
				sumPlaces, seen := 0, map[int]bool{}
				for i := range of {
					test := WithShard(Single(places, Shape{100, 2}, 1, requests), record.Shard{Index: i, Of: of})
					mine := part(test)
					sumPlaces += test.Places()
					if len(mine) != test.Share() || len(mine) < requests/places*test.Places() || len(mine) > (requests/places+1)*test.Places() {
						t.Fatalf("%d places, shard %d of %d: %d of %d requests for %d places, its share is %d", places, i, of, len(mine), requests, test.Places(), test.Share())
					}
					for _, index := range mine {
						if seen[index] {
							t.Fatalf("request %d is of two shards", index)
						}
						seen[index] = true
					}
				}
				if sumPlaces != places || len(seen) != requests {
					t.Fatalf("%d shards hold %d of %d places and send %d of %d requests", of, sumPlaces, places, len(seen), requests)
				}
			}
		}
	}
}

// TestMergeClosed: the opening bursts of all shards are brought to one instant; what was not released there is no burst.
func TestMergeClosed(t *testing.T) {
	test := Single(5, Shape{100, 2}, 1, 20)
	shards := func() []ShardResult { return halvesOf(test, func(k int) int64 { return int64(k/5) * 1e9 }) }
	got, err := Merge(shards(), record.Merged{Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range got.Requests {
		if want := int64(1e12) + int64(i/5)*1e9; r.Index != i || r.SentNS != want {
			t.Fatalf("request %d is %+v", i, r)
		}
	}
	if rec := got.Record; rec.ConcurrentRequests != 5 || rec.Detail.Requests != 20 || rec.Detail.Kind != record.KindConcurrent || *rec.Detail.SendSkewMS != 0 {
		t.Errorf("%+v", rec)
	}
	late := shards()
	late[1].File.Requests[1].ScheduledNS++
	if _, err := Merge(late, record.Merged{}); err == nil || !strings.Contains(err.Error(), "was due") {
		t.Errorf("a burst that was released twice: %v", err)
	}
}

// TestClockError: one kernel has one clock; else the two worst bounds add up, and one that is not known makes all unknown.
func TestClockError(t *testing.T) {
	on := func(boot string, ms *float64) ShardResult {
		return ShardResult{Run: record.Run{Host: record.Host{Clock: &record.Clock{BootID: boot, MaxErrorMS: ms}}}}
	}
	for _, c := range []struct {
		shards []ShardResult
		want   time.Duration
		ok     bool
	}{
		{[]ShardResult{on("a", nil), on("a", nil)}, 0, true},
		{[]ShardResult{on("a", new(5.0)), on("b", new(20.0)), on("c", new(10.0))}, 30 * time.Millisecond, true},
		{[]ShardResult{on("a", new(5.0)), on("b", nil)}, 0, false},
		{[]ShardResult{on("", nil), {}}, 0, false},
	} {
		if got, ok := ClockError(c.shards); got != c.want || ok != c.ok {
			t.Errorf("%v, %v; want %v, %v", got, ok, c.want, c.ok)
		}
	}
}

// FuzzMerge joins two shards whose request files may hold anything: what is joined has every request once, in order.
func FuzzMerge(f *testing.F) {
	test := OpenTest(record.Arrivals{RequestRate: 20, Burstiness: new(1.0)}, Shape{100, 2}, 1, 6, 0)
	shards, _ := shardsOf(test, 2, 6)
	text := func(x ShardResult) []byte {
		header := struct {
			Schema string      `json:"schema"`
			Test   record.Test `json:"test"`
		}{record.SchemaRequest, x.File.Test}
		var out bytes.Buffer
		enc := json.NewEncoder(&out)
		err := enc.Encode(header)
		for _, r := range x.File.Requests {
			err = errors.Join(err, enc.Encode(r))
		}
		if err != nil {
			f.Fatal(err)
		}
		return out.Bytes()
	}
	f.Add(text(shards[0]), text(shards[1]))
	f.Add(bytes.Replace(text(shards[0]), []byte(`"index":0`), []byte(`"index":99`), 1), text(shards[1]))
	f.Add(bytes.ReplaceAll(text(shards[0]), []byte(`"requests":6`), []byte(`"requests":-1`)), bytes.ReplaceAll(text(shards[1]), []byte(`"requests":6`), []byte(`"requests":-1`)))
	f.Add(bytes.ReplaceAll(text(shards[0]), []byte(`"of":2`), []byte(`"of":0`)), text(shards[1]))
	f.Add(bytes.ReplaceAll(text(shards[0]), []byte(`"arrivals"`), []byte(`"departures"`)), bytes.ReplaceAll(text(shards[1]), []byte(`"arrivals"`), []byte(`"departures"`)))
	for _, field := range []string{"last_token_ns", "first_token_ns", "token_ns", "counted_tokens"} {
		f.Add(bytes.ReplaceAll(text(shards[0]), []byte(`"`+field+`"`), []byte(`"x"`)), text(shards[1]))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		dir := t.TempDir()
		var got []ShardResult
		for i, data := range [][]byte{a, b} {
			path := filepath.Join(dir, strconv.Itoa(i))
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			file, err := record.ReadRequests(path)
			if err != nil || file.Test.Shard == nil || file.Test.Requests > 1000 || file.Test.Runs > 100 {
				return // the reader's to refuse, or only slow
			}
			got = append(got, ShardResult{Name: path, Run: record.Run{Settings: record.Settings{Seed: 1}}, File: file})
		}
		merged, err := Merge(got, record.Merged{Shards: 2})
		if err != nil {
			return
		}
		last := [2]int{-1, -1}
		for _, r := range merged.Requests {
			if now := [2]int{r.Run, r.Index}; slices.Compare(now[:], last[:]) <= 0 {
				t.Errorf("request %v follows %v", now, last)
			} else {
				last = now
			}
		}
	})
}
