package analysis

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"bench/internal/record"
)

// say formats both languages with the same arguments; a format names them by index where the
// order of words differs.
func say(en, ko string, args ...any) record.Text {
	if len(args) == 0 {
		return record.Text{En: en, Ko: ko}
	}
	return record.Text{En: fmt.Sprintf(en, args...), Ko: fmt.Sprintf(ko, args...)}
}

// join puts statements one after the other.
func join(sep string, parts ...record.Text) record.Text {
	var en, ko []string
	for _, p := range parts {
		if p.En != "" {
			en, ko = append(en, p.En), append(ko, p.Ko)
		}
	}
	return record.Text{En: strings.Join(en, sep), Ko: strings.Join(ko, sep)}
}

// noted fills the statement of a judgement in.
func noted(l record.Limit, note record.Text) record.Limit {
	l.Note, l.NoteKO = note.En, note.Ko
	if l.Evidence == nil {
		l.Evidence = []string{}
	}
	return l
}

// count prints a concurrency or another count; an interpolated one gets one decimal, because the
// rungs around it carry no more.
func count(n float64) string {
	if n == math.Trunc(n) {
		return strconv.FormatFloat(n, 'f', 0, 64)
	}
	return strconv.FormatFloat(n, 'f', 1, 64)
}

// ratio prints a factor: "1.62".
func ratio(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) }

// times prints a factor with its sign: "1.62 ×".
func times(x float64) string { return ratio(x) + " ×" }

// millis prints a time given in milliseconds, from one second on in seconds.
func millis(ms float64) string {
	switch {
	case ms >= 9995:
		return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
	case ms >= 999.5:
		return strconv.FormatFloat(ms/1000, 'f', 2, 64) + " s"
	case ms >= 99.95:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	}
	return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
}

// percent prints a share of 0–1.
func percent(share float64) string {
	return strconv.FormatFloat(100*share, 'f', 1, 64) + " %"
}

// clip shortens a message of a server to n runes.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
