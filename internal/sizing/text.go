package sizing

import (
	"fmt"
	"strconv"

	"bench/internal/record"
	"bench/internal/unit"
)

// say formats both languages with the same arguments; a format names them by index where the
// order of words differs.
func say(en, ko string, args ...any) record.Text {
	return record.Text{En: fmt.Sprintf(en, args...), Ko: fmt.Sprintf(ko, args...)}
}

// decimalGB prints bytes as GB (10^9), the unit the plan counts in.
func decimalGB[T ~int64 | ~float64](bytes T) string {
	return strconv.FormatFloat(float64(bytes)/1e9, 'f', 2, 64) + " GB"
}

// gib prints bytes as GiB also where they are less than one, for figures that stand side by side.
func gib(b unit.Bytes) string { return strconv.FormatFloat(b.GiB(), 'f', 2, 64) + " GiB" }

// num prints a setting as people write it: no trailing zeros.
func num(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// percent prints a share of 0–1 as whole per cent.
func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 0, 64) + " %" }
