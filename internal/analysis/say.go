package analysis

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"bench/internal/record"
)

// say formats both languages with the same arguments, each of which that is itself a text in its own language; a
// format names them by index where the order of words differs.
func say(en, ko string, args ...any) record.Text {
	if len(args) == 0 {
		return record.Text{En: en, Ko: ko}
	}
	inKorean := slices.Clone(args)
	args = slices.Clone(args)
	for i, a := range args {
		if t, ok := a.(record.Text); ok {
			args[i], inKorean[i] = t.En, t.Ko
		}
	}
	return record.Text{En: fmt.Sprintf(en, args...), Ko: fmt.Sprintf(ko, inKorean...)}
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

// same is a statement in which there is nothing to translate: a server's own words, figures under their field names.
func same(s string) record.Text { return record.Text{En: s, Ko: s} }

// noted fills the statement of a judgement in, and what it rests on.
func noted(l record.Limit, note record.Text, evidence ...record.Text) record.Limit {
	l.Note, l.NoteKO = note.En, note.Ko
	l.Evidence, l.EvidenceKO = []string{}, []string{}
	for _, e := range evidence {
		l.Evidence, l.EvidenceKO = append(l.Evidence, e.En), append(l.EvidenceKO, e.Ko)
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

// signedPercent prints a change, given as a share.
func signedPercent(change float64) string { return fmt.Sprintf("%+.1f %%", 100*change) }

// clip shortens a message of a server to n runes.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
