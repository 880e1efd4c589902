package catalog

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// OwnPrice is what a user pays for a card; it takes the place of the catalogue's prices.
type OwnPrice struct {
	GPU     string   // a [GPU]'s Name
	BuyUSD  *float64 // of one card; nil = as in the catalogue
	HourUSD *float64 // of one card for an hour; nil = as in the catalogue
	AsOf    string   // date, as written in the file
	Note    string
}

// priceColumns are those of a price file; gpu and one of the prices are needed.
var priceColumns = []string{"gpu", "buy_usd", "hour_usd", "as_of", "note"}

// maxPriceLines bounds a price file: there are not that many cards.
const maxPriceLines = 10_000

// ParsePrices reads a price file: CSV with a header of gpu, buy_usd, hour_usd, as_of and note in any order,
// of which gpu and a price must be there. Prices are US dollars for one card, to buy and for an hour. name
// is the file's, for errors, which name the line.
func ParsePrices(name string, r io.Reader) ([]OwnPrice, error) {
	in := csv.NewReader(r)
	in.TrimLeadingSpace = true
	in.Comment = '#'
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s is empty: want a line of column names, such as gpu,buy_usd,hour_usd,as_of,note", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	column := map[string]int{}
	for i, h := range header {
		h = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(h, "\ufeff")))
		if !slices.Contains(priceColumns, h) {
			return nil, fmt.Errorf("%s:1: column %q is not known: use %s", name, clip(h, 40), strings.Join(priceColumns, ", "))
		}
		column[h] = i
	}
	if _, ok := column["gpu"]; !ok {
		return nil, fmt.Errorf("%s:1: column gpu is missing", name)
	}
	var out []OwnPrice
	for {
		fields, err := in.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		line, _ := in.FieldPos(0)
		if line > maxPriceLines {
			return nil, fmt.Errorf("%s has more than %d lines: this is no price file", name, maxPriceLines)
		}
		cell := func(col string) string {
			if i, ok := column[col]; ok {
				return strings.TrimSpace(fields[i])
			}
			return ""
		}
		gpu, err := FindGPU(cell("gpu"))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		p := OwnPrice{GPU: gpu.Name, AsOf: clip(cell("as_of"), 40), Note: clip(cell("note"), 200)}
		for _, c := range []struct {
			col string
			to  **float64
		}{{"buy_usd", &p.BuyUSD}, {"hour_usd", &p.HourUSD}} {
			text := cell(c.col)
			if text == "" {
				continue
			}
			v, err := strconv.ParseFloat(text, 64)
			if err != nil || !(v > 0) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("%s:%d: %s %q: want a price above 0 in US dollars", name, line, c.col, clip(text, 40))
			}
			*c.to = &v
		}
		if p.BuyUSD == nil && p.HourUSD == nil {
			return nil, fmt.Errorf("%s:%d: no price for %s: fill buy_usd or hour_usd", name, line, gpu.Name)
		}
		out = append(out, p)
	}
}

// clip bounds what a file may put into an error or a document.
func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
