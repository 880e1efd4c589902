package sizing

import (
	"math"
	"strings"
	"testing"

	"bench/internal/catalog"
	"bench/internal/record"
)

func buy(x record.Setup) float64 {
	if x.Price == nil || x.Price.BuyUSD == nil {
		return math.Inf(1)
	}
	return *x.Price.BuyUSD
}

// Those that fit come first, by price, an unknown price last; then misses by how near they are;
// then what vLLM refuses.
func TestRankOrder(t *testing.T) {
	s := sized(t, gemma(t))
	order := func(x record.Setup) int {
		switch {
		case x.Fits:
			return 0
		case x.Verdict == record.VerdictDoesNotFit:
			return 1
		}
		return 2
	}
	for i := 1; i < len(s.Setups); i++ {
		a, b := s.Setups[i-1], s.Setups[i]
		if order(a) > order(b) {
			t.Errorf("rank %d (%s) before rank %d (%s)", a.Rank, a.Verdict, b.Rank, b.Verdict)
		}
		if a.Fits && b.Fits && buy(a) > buy(b) {
			t.Errorf("rank %d costs %v, rank %d %v", a.Rank, buy(a), b.Rank, buy(b))
		}
		if order(a) == 1 && order(b) == 1 && a.Concurrency.Steady < b.Concurrency.Steady {
			t.Errorf("rank %d holds %d, rank %d %d", a.Rank, a.Concurrency.Steady, b.Rank, b.Concurrency.Steady)
		}
	}
}

func TestOptions(t *testing.T) {
	s := sized(t, gemma(t))
	o := s.Options
	if o.Minimum == nil || o.Recommended == nil || o.CheapestCloud == nil {
		t.Fatalf("options %+v", o)
	}
	if o.Minimum.Rank != 1 {
		t.Errorf("minimum is rank %d", o.Minimum.Rank)
	}
	recommended := s.Setups[o.Recommended.Rank-1]
	if recommended.Verdict != record.VerdictRecommended || recommended.Concurrency.Headroom < Headroom {
		t.Errorf("recommended %+v with headroom %v", recommended.Verdict, recommended.Concurrency.Headroom)
	}
	count := 0
	for _, x := range s.Setups {
		if x.Verdict == record.VerdictRecommended {
			count++
		}
		g, err := catalog.FindGPU(x.GPU)
		if err != nil {
			t.Fatal(err)
		}
		trapped := x.TensorParallel > 2 && g.FormFactor == "pcie" || g.MemoryNVMLMiB == 0
		if x.Rank < o.Recommended.Rank && x.Fits && x.Concurrency.Headroom >= Headroom && !trapped {
			t.Errorf("rank %d, %d× %s, is cheaper than what is recommended", x.Rank, x.Count, x.GPU)
		}
		if x.Fits && x.Price != nil && x.Price.Hour != nil && !x.Price.Hour.Assumed && *x.Price.HourUSD < *o.CheapestCloud.Price.HourUSD {
			t.Errorf("rank %d costs %v an hour, the cheapest cloud option %v", x.Rank, *x.Price.HourUSD, *o.CheapestCloud.Price.HourUSD)
		}
	}
	if count != 1 {
		t.Errorf("%d set-ups are recommended", count)
	}
	for _, option := range []*record.Option{o.Minimum, o.Recommended, o.CheapestCloud} {
		x := s.Setups[option.Rank-1]
		if x.GPU != option.GPU || x.Count != option.Count || x.TensorParallel != option.TensorParallel {
			t.Errorf("option %+v points to %+v", option, x)
		}
		if option.Why.En == "" || option.Why.Ko == "" {
			t.Errorf("option %+v without a reason", option)
		}
	}
}

// What is passed over for a recommendation is named.
func TestPCIeTrapIsNamed(t *testing.T) {
	req := gemma(t)
	req.GPUs = []catalog.GPU{card(t, "rtx-4090"), card(t, "a100-80gb")}
	s := sized(t, req)
	if r := s.Options.Recommended; r == nil || r.GPU != card(t, "a100-80gb").Name || !strings.Contains(r.Why.En, "4× NVIDIA GeForce RTX 4090") {
		t.Errorf("recommended %+v", r)
	}
}

func TestNothingFits(t *testing.T) {
	req := gemma(t)
	req.GPUs, req.Counts = []catalog.GPU{card(t, "rtx-3090")}, []int{1, 2}
	s := sized(t, req)
	if o := s.Options; o.Minimum != nil || o.Recommended != nil || o.CheapestCloud != nil {
		t.Errorf("options %+v where nothing fits", o)
	}
	if len(s.Setups) != 2 || s.Setups[0].Count != 2 {
		t.Errorf("set-ups %+v, want the nearer miss first", s.Setups)
	}
}

func TestHourPrice(t *testing.T) {
	gpu := catalog.GPU{Name: "card"}
	offer := func(name string, count int, usd float64) catalog.CloudOffer {
		return catalog.CloudOffer{Provider: "P", InstanceType: name, GPU: "card", GPUCount: count, USDPerHour: &usd, PriceDate: "2026-01", Confidence: "high"}
	}
	none := catalog.CloudOffer{Provider: "P", InstanceType: "no price", GPU: "card", GPUCount: 1}
	one, two, eight := offer("one", 1, 2.0001), offer("two", 2, 4), offer("eight", 8, 12)
	for _, c := range []struct {
		name              string
		count, perReplica int
		offers            []catalog.CloudOffer
		usd               float64
		instance          string
		assumed           bool
	}{
		{"no offer", 1, 1, []catalog.CloudOffer{none}, 0, "", false},
		{"match", 1, 1, []catalog.CloudOffer{none, one, eight}, 2.0001, "one", false},
		{"the match before several at the same price", 2, 1, []catalog.CloudOffer{one, two}, 4, "two", false},
		{"several machines for replicas", 2, 1, []catalog.CloudOffer{one, eight}, 4.0002, "one", false},
		{"several machines for one server", 2, 2, []catalog.CloudOffer{one, eight}, 4.0002, "one", true},
		{"a larger machine whole", 4, 4, []catalog.CloudOffer{eight}, 12, "eight", false},
		{"cheaper whole than in parts", 8, 8, []catalog.CloudOffer{one, two, eight}, 12, "eight", false},
		{"an odd count rounds up", 3, 1, []catalog.CloudOffer{two}, 8, "two", false},
	} {
		usd, h := hourPrice(gpu, c.count, c.perReplica, c.offers)
		if c.instance == "" {
			if usd != nil || h != nil {
				t.Errorf("%s: %v", c.name, *h)
			}
			continue
		}
		if usd == nil || math.Abs(*usd-c.usd) > 1e-9 || h.Instance != c.instance || h.Assumed != c.assumed || h.AsOf == "" || h.Basis.Ko == "" {
			t.Errorf("%s: %v %+v, want %v of %s", c.name, usd, h, c.usd, c.instance)
		}
	}
}

// Every price of the catalogue gets a date or says that it has none.
func TestPriceDates(t *testing.T) {
	for note, want := range map[string]string{
		"fixed by the plan document; launch 1499 (2020-09), used about 1200 in 2026-08": planDate,
		"street 2026-08, public table; launch 329 (2021-02)":                            "2026-08",
		"reseller level 2023 to 2025 (general knowledge)":                               "2023 to 2025",
		"list price, street 8000 to 9200 in 2026-04":                                    "2026-04",
		"as the Workstation Edition":                                                    "undated",
	} {
		if got := priceDate(note); got != want {
			t.Errorf("%q: %s, want %s", note, got, want)
		}
	}
	for _, x := range sized(t, gemma(t)).Setups {
		if x.Price != nil && x.Price.AsOf == "" {
			t.Errorf("%d× %s: price without a date", x.Count, x.GPU)
		}
	}
}
