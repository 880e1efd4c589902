package catalog

import (
	"strings"
	"testing"
)

func TestParsePrices(t *testing.T) {
	got, err := ParsePrices("p.csv", strings.NewReader("\ufeffGPU, buy_usd,hour_usd,as_of,note\n# ours\nrtx-3090,900,,2026-11-02,used\nH100,, 1.99 ,2026-10,our contract\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || *got[0].BuyUSD != 900 || got[0].HourUSD != nil || *got[1].HourUSD != 1.99 || got[1].AsOf != "2026-10" || !strings.Contains(got[1].GPU, "H100") {
		t.Errorf("read %+v", got)
	}
	for text, want := range map[string]string{
		"":                                   "p.csv is empty",
		"card,buy_usd\n":                     `p.csv:1: column "card" is not known`,
		"buy_usd\n3\n":                       "p.csv:1: column gpu is missing",
		"gpu,buy_usd\nrtx-3091,3\n":          "p.csv:2: unknown GPU",
		"gpu,buy_usd\nrtx-3090,cheap\n":      `p.csv:2: buy_usd "cheap"`,
		"gpu,buy_usd\nrtx-3090,-5\n":         "p.csv:2: buy_usd",
		"gpu,buy_usd\nrtx-3090,NaN\n":        "p.csv:2: buy_usd",
		"gpu,buy_usd,hour_usd\nrtx-3090,,\n": "p.csv:2: no price for",
		"gpu,buy_usd\nrtx-3090\n":            "p.csv: record on line 2",
	} {
		if _, err := ParsePrices("p.csv", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %v, want one line with %q", text, err, want)
		}
	}
}

func FuzzParsePrices(f *testing.F) {
	f.Add("gpu,buy_usd\nrtx-3090,900\n")
	f.Add("gpu,hour_usd,as_of\nh100,2,2026-11\n\"")
	f.Fuzz(func(t *testing.T, text string) {
		prices, err := ParsePrices("p.csv", strings.NewReader(text))
		if err != nil {
			return
		}
		for _, p := range prices {
			if p.BuyUSD == nil && p.HourUSD == nil || p.GPU == "" {
				t.Errorf("%q gives %+v", text, p)
			}
		}
	})
}
