// Package unit owns the units of the field as people read and write them: bytes, token counts,
// rates, times and money. It formats and parses; it never computes a quantity.
package unit

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes is an amount of memory. Its text is binary (GiB), as nvidia-smi and vLLM count, also
// where those print "GB".
type Bytes int64

// Binary and decimal multiples. GPU memory and vLLM's log lines are binary; file sizes and
// bandwidths are decimal.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40

	KB Bytes = 1e3
	MB Bytes = 1e6
	GB Bytes = 1e9
	TB Bytes = 1e12
)

// FromGiB is v GiB, rounded to a whole byte.
func FromGiB(v float64) Bytes { return Bytes(math.Round(v * float64(GiB))) }

// GiB is b in units of 2^30 bytes.
func (b Bytes) GiB() float64 { return float64(b) / float64(GiB) }

// MiB is b in units of 2^20 bytes.
func (b Bytes) MiB() float64 { return float64(b) / float64(MiB) }

// String prints b with the largest binary unit that leaves a number of at least one: "22.70 GiB",
// "512 MiB", "96 B".
func (b Bytes) String() string {
	for _, u := range []struct {
		size Bytes
		name string
	}{{TiB, "TiB"}, {GiB, "GiB"}, {MiB, "MiB"}, {KiB, "KiB"}} {
		if b < u.size && b > -u.size {
			continue
		}
		if b%u.size == 0 && u.size <= MiB {
			return fmt.Sprintf("%d %s", b/u.size, u.name)
		}
		return fmt.Sprintf("%.2f %s", float64(b)/float64(u.size), u.name)
	}
	return fmt.Sprintf("%d B", int64(b))
}

// byteUnits maps the lower-case spelling of a unit to its size. A bare letter is binary, as
// nvidia-smi and docker mean it.
var byteUnits = map[string]Bytes{
	"": 1, "b": 1,
	"k": KiB, "m": MiB, "g": GiB, "t": TiB,
	"kib": KiB, "mib": MiB, "gib": GiB, "tib": TiB,
	"kb": KB, "mb": MB, "gb": GB, "tb": TB,
}

// ParseBytes reads "22.7 GiB", "24564MiB", "24.4GB", "24G" or a plain number of bytes. GB and MB
// are decimal, GiB, MiB and a bare G or M binary.
func ParseBytes(s string) (Bytes, error) {
	t := strings.TrimSpace(s)
	end := strings.LastIndexAny(t, "0123456789.") + 1
	size, ok := byteUnits[strings.ToLower(strings.TrimSpace(t[end:]))]
	v, err := strconv.ParseFloat(strings.TrimSpace(t[:end]), 64)
	if !ok || err != nil || math.IsNaN(v) || v < 0 || v*float64(size) >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is not an amount of memory; write for example 22.7GiB, 24564MiB or 24.4GB", s)
	}
	return Bytes(math.Round(v * float64(size))), nil
}

// ParseShare reads a share above 0 and below 1 written in percent: "5%" is 0.05.
func ParseShare(s string) (float64, error) {
	number, ok := strings.CutSuffix(strings.TrimSpace(s), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || err != nil || !(v > 0 && v < 100) {
		return 0, fmt.Errorf("%q: want a share above 0%% and below 100%%, such as 5%%", s)
	}
	return v / 100, nil
}

// Count prints n with a comma between thousands: "393,216".
func Count[T ~int | ~int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	var b strings.Builder
	b.WriteString(sign)
	for i, r := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Tokens prints a token count with its unit: "1 token", "4,096 tokens".
func Tokens(n int) string {
	if n == 1 {
		return "1 token"
	}
	return Count(n) + " tokens"
}

// Rate prints tokens per second with three significant digits or all digits before the point:
// "2,271 tokens/s", "44.1 tokens/s".
func Rate(perSecond float64) string { return significant(perSecond) + " tokens/s" }

// Millis prints a time as the field does: milliseconds below ten seconds, seconds above.
func Millis(d time.Duration) string {
	if d >= 10*time.Second {
		return significant(d.Seconds()) + " s"
	}
	return significant(float64(d)/float64(time.Millisecond)) + " ms"
}

// USD prints money: whole dollars with thousands from 100 up, cents below.
func USD(v float64) string {
	sign := ""
	if v < 0 {
		sign, v = "-", -v
	}
	if v >= 100 {
		return sign + "$" + Count(int64(math.Round(v)))
	}
	return fmt.Sprintf("%s$%.2f", sign, v)
}

// significant prints v with three significant digits, never dropping digits before the point.
func significant(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return strconv.FormatFloat(v, 'f', -1, 64)
	case a >= 99.95:
		return Count(int64(math.Round(v)))
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}
