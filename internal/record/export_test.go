package record_test

import (
	"errors"
	"io"
	"testing"

	"bench/internal/record"
)

// TestEachRequest: of a repeat that was begun again, the newest attempt's requests and no others; an error of the
// caller ends it as it is.
func TestEachRequest(t *testing.T) {
	folder, err := record.LockFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	log, err := folder.NewRequestLog(record.Test{ID: "T2"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []record.Request{{Run: 0, Index: 1}, {Run: 0, Index: 0}, {Run: 1, Index: 0}, {Run: 1, Attempt: 1, Index: 0, Message: `"attempt":0,`}, {Run: 1, Attempt: 1, Index: 1}} {
		if err := log.Append(r); err != nil {
			t.Fatal(err)
		}
		if r.Run == 1 && r.Attempt == 0 {
			if err := log.Abandon(1, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	var got [][3]int
	if err := folder.EachRequest(log.Name(), func(r *record.Request) error {
		got = append(got, [3]int{r.Run, r.Attempt, r.Index})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := [][3]int{{0, 0, 1}, {0, 0, 0}, {1, 1, 0}, {1, 1, 1}}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("request %d is %v, want %v", i, got[i], want[i])
		}
	}
	if err := folder.EachRequest(log.Name(), func(*record.Request) error { return io.ErrShortWrite }); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("the caller's error became %v", err)
	}
	if err := folder.EachRequest("requests/none.jsonl", func(*record.Request) error { return nil }); err == nil {
		t.Error("a file that is not there is no error")
	}
}

// TestExport: a figure that a request does not have is null.
func TestExport(t *testing.T) {
	rec := record.Record{ConcurrentRequests: 4, Detail: record.Detail{Kind: record.KindConcurrent, Simulated: true}}
	e := record.Export(&rec, &record.Request{SentNS: 1e6, FirstTokenNS: new(int64(2e6)), LastTokenNS: new(int64(2e6)), CompletionTokens: new(1)})
	if !e.Simulated || e.Kind != record.KindConcurrent || e.ConcurrentRequests != 4 || e.OutputTokens != 1 || e.TTFTMS == nil || *e.TTFTMS != 1 ||
		e.LatencyMS == nil || *e.LatencyMS != 1 || e.TPOTMS != nil {
		t.Errorf("%+v", e)
	}
	if e := record.Export(&rec, &record.Request{}); e.TTFTMS != nil || e.LatencyMS != nil {
		t.Errorf("without a token: %+v", e)
	}
}
