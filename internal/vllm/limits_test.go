package vllm

import (
	"strings"
	"testing"
)

func TestCheckLimits(t *testing.T) {
	const usual = "32768\t60999\n" // Linux: 28,232 ports
	for _, c := range []struct {
		n, open int
		allowed uint64
		known   bool
		ports   string
		want    string // "" = allowed
	}{
		{2000, 10, 20_000, true, usual, ""},
		{950, 10, 1024, true, usual, ""},
		{951, 10, 1024, true, usual, "951 requests at once need 1025 open files, this machine allows 1024"},
		{951, 10, 0, false, usual, ""},
		{28_232, 10, 1 << 20, true, usual, ""},
		{28_233, 10, 1 << 20, true, usual, "28233 requests at once need as many local ports, this machine has 28232"},
		{28_233, 10, 1 << 20, true, "", ""},
		{28_233, 10, 1 << 20, true, "60999 32768", ""},
		{28_233, 10, 1 << 20, true, "many", ""},
	} {
		err := checkLimits(c.n, c.open, c.allowed, c.known, c.ports)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := CheckLimits(1); err != nil {
		t.Errorf("one connection on this machine: %v", err)
	}
	if err := CheckLimits(1 << 30); err == nil {
		t.Skip("this machine tells no limits")
	}
}
