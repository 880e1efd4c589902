package unit

import (
	"math"
	"testing"
	"time"
)

func TestBytesString(t *testing.T) {
	tests := []struct {
		bytes Bytes
		want  string
	}{
		{0, "0 B"}, {96, "96 B"}, {KiB, "1 KiB"}, {512 * MiB, "512 MiB"}, {GiB, "1.00 GiB"},
		{24374650080, "22.70 GiB"}, {3 * TiB / 2, "1.50 TiB"}, {-3 * GiB, "-3.00 GiB"}, {1536, "1.50 KiB"},
	}
	for _, tc := range tests {
		if got := tc.bytes.String(); got != tc.want {
			t.Errorf("%d: %q, want %q", int64(tc.bytes), got, tc.want)
		}
	}
}

func TestParseBytes(t *testing.T) {
	tests := []struct {
		text string
		want Bytes
	}{
		{"22.5 GiB", 45 * GiB / 2}, {"24564MiB", 24564 * MiB}, {"24.4GB", 24400000000}, {"24G", 24 * GiB},
		{" 1 kib ", KiB}, {"123", 123}, {"7b", 7},
	}
	for _, tc := range tests {
		if got, err := ParseBytes(tc.text); err != nil || got != tc.want {
			t.Errorf("%q: %d, %v, want %d", tc.text, got, err, tc.want)
		}
	}
	for _, bad := range []string{"", "GiB", "-1GiB", "1 parsec", "1.2.3", "NaN", "99999999TiB", "1e400"} {
		if got, err := ParseBytes(bad); err == nil {
			t.Errorf("%q: %d, want an error", bad, got)
		}
	}
}

// FuzzParseBytes holds that what parses is an amount, and prints as something that parses again to
// within the digits printed.
func FuzzParseBytes(f *testing.F) {
	for _, s := range []string{"22.7 GiB", "24564MiB", "1e3", "0x10", "١"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := ParseBytes(s)
		if err != nil {
			return
		}
		if b < 0 {
			t.Fatalf("%q: %d", s, int64(b))
		}
		again, err := ParseBytes(b.String())
		if err != nil || math.Abs(float64(again-b)) > 0.006*float64(b) {
			t.Errorf("%q: %d prints as %s, which is %d (%v)", s, int64(b), b, int64(again), err)
		}
	})
}

func TestPrinting(t *testing.T) {
	tests := []struct{ got, want string }{
		{Count(0), "0"}, {Count(393216), "393,216"}, {Count(-1234567), "-1,234,567"}, {Count(int64(12187325040)), "12,187,325,040"},
		{Tokens(1), "1 token"}, {Tokens(4096), "4,096 tokens"},
		{Rate(2271.4), "2,271 tokens/s"}, {Rate(44.06), "44.1 tokens/s"}, {Rate(0.5), "0.50 tokens/s"},
		{Millis(22 * time.Millisecond), "22.0 ms"}, {Millis(1500 * time.Millisecond), "1,500 ms"}, {Millis(75 * time.Second), "75.0 s"},
		{USD(15000), "$15,000"}, {USD(0.39), "$0.39"}, {USD(-2), "-$2.00"},
	}
	for _, tc := range tests {
		if tc.got != tc.want {
			t.Errorf("%q, want %q", tc.got, tc.want)
		}
	}
}

func TestParseShare(t *testing.T) {
	for text, want := range map[string]float64{"5%": 0.05, " 2.5 % ": 0.025, "0.1%": 0.001} {
		if got, err := ParseShare(text); err != nil || math.Abs(got-want) > 1e-15 {
			t.Errorf("ParseShare(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "5", "0.05", "%", "0%", "-5%", "100%", "NaN%", "five%"} {
		if got, err := ParseShare(bad); err == nil {
			t.Errorf("ParseShare(%q) = %v, want an error", bad, got)
		}
	}
}
