package gpu

import (
	"encoding/json"
	"testing"

	"bench/internal/record"
)

func sameSamples(t *testing.T, got, want []record.GPUSample) {
	t.Helper()
	// JSON shows what pointers point to.
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if string(g) != string(w) {
		t.Errorf("samples\n got %s\nwant %s", g, w)
	}
}

func TestNone(t *testing.T) {
	source, note, err := Open(None, nil)
	if source != nil || note != "" || err != nil {
		t.Errorf("%v, %q, %v", source, note, err)
	}
}

func TestUnknownMode(t *testing.T) {
	if _, _, err := Open("nvm", nil); err == nil {
		t.Error("no error")
	}
}
