package sizing

import (
	"regexp"
	"slices"
	"strings"

	"bench/internal/catalog"
	"bench/internal/record"
)

// priceOf is what count cards cost to buy and, by the cheapest offer, to hire; nil where neither is
// known. perReplica is the number of GPUs one server spans.
func priceOf(gpu catalog.GPU, count, perReplica int, offers []catalog.CloudOffer) *record.Price {
	var p record.Price
	p.HourUSD, p.Hour = hourPrice(gpu, count, perReplica, offers)
	if p.Hour != nil {
		p.AsOf = p.Hour.AsOf
	}
	if gpu.PriceUSD != nil {
		p.BuyUSD = new(*gpu.PriceUSD * float64(count))
		p.BuyNote = gpu.PriceNote
		p.AsOf = priceDate(gpu.PriceNote)
	}
	if p.BuyUSD == nil && p.HourUSD == nil {
		return nil
	}
	return &p
}

// planDate is when the plan that fixed some of the catalogue's prices was written.
const planDate = "2025-11-26"

var datePattern = regexp.MustCompile(`\b20\d\d(-\d\d-\d\d|-\d\d|-Q\d| to 20\d\d)?\b`)

// priceDate is the date of a card's price: the first in its note, which opens with the price used.
func priceDate(note string) string {
	if strings.HasPrefix(note, "fixed by the plan") {
		return planDate
	}
	if date := datePattern.FindString(note); date != "" {
		return date
	}
	return "undated"
}

// hourPrice is the cheapest way to hire count of gpu. A machine of that many GPUs, several smaller
// ones or the whole of a larger one are offers as they stand; where one server would span several
// machines, the price assumes that the provider rents a larger machine at the same rate per GPU,
// and says so.
func hourPrice(gpu catalog.GPU, count, perReplica int, offers []catalog.CloudOffer) (*float64, *record.HourPrice) {
	var best *float64
	var offer *record.HourPrice
	for _, o := range offers {
		if o.GPU != gpu.Name || o.USDPerHour == nil || o.GPUCount < 1 {
			continue
		}
		machines := (count + o.GPUCount - 1) / o.GPUCount
		usd := *o.USDPerHour * float64(machines)
		// Providers price by the GPU, so equal prices differ in their last digits: then fewer
		// machines are the better answer.
		if best != nil && (usd > *best*1.001 || usd > *best*0.999 && machines >= offer.Instances) {
			continue
		}
		h := record.HourPrice{
			Provider: o.Provider, Instance: o.InstanceType, Instances: machines, GPUs: o.GPUCount,
			AsOf: o.PriceDate, Confidence: o.Confidence,
		}
		switch {
		case o.GPUCount == count:
			h.Basis = say("price of that machine", "해당 인스턴스의 가격")
		case o.GPUCount > count:
			h.Basis = say("a machine of %[1]d GPUs hired whole for %[2]d", "GPU %[1]d개 인스턴스를 통째로 빌려 %[2]d개만 사용", o.GPUCount, count)
		case perReplica <= o.GPUCount:
			h.Basis = say("%[1]d machines of %[2]d GPU", "GPU %[2]d개 인스턴스 %[1]d대", machines, o.GPUCount)
		default:
			h.Assumed = true
			h.Basis = say("%[1]d × the rate of a machine of %[2]d GPU: assumes one with %[3]d at the same rate",
				"GPU %[2]d개 인스턴스 요금 × %[1]d: GPU %[3]d개 인스턴스도 같은 단가라고 가정", machines, o.GPUCount, perReplica)
		}
		best, offer = new(usd), &h
	}
	return best, offer
}

// ownPrices puts a user's buying prices on the cards.
func ownPrices(gpus []catalog.GPU, own []catalog.OwnPrice) []catalog.GPU {
	if len(own) == 0 {
		return gpus
	}
	gpus = slices.Clone(gpus)
	for _, p := range own {
		for i := range gpus {
			if gpus[i].Name == p.GPU && p.BuyUSD != nil {
				gpus[i].PriceUSD, gpus[i].PriceNote = p.BuyUSD, ownNote(p)
			}
		}
	}
	return gpus
}

// ownOffers puts a user's hourly price in place of all offers of that card.
func ownOffers(offers []catalog.CloudOffer, own []catalog.OwnPrice) []catalog.CloudOffer {
	for _, p := range own {
		if p.HourUSD == nil {
			continue
		}
		offers = slices.DeleteFunc(slices.Clone(offers), func(o catalog.CloudOffer) bool { return o.GPU == p.GPU })
		// A price for each card holds for any number of them in one machine.
		for _, n := range []int{1, 2, 4, 8} {
			offers = append(offers, catalog.CloudOffer{Provider: ownProvider, InstanceType: p.Note, GPU: p.GPU, GPUCount: n,
				USDPerHour: new(float64(n) * *p.HourUSD), PriceDate: dated(p.AsOf), Confidence: "yours"})
		}
	}
	return offers
}

// ownProvider names the source of a price from --prices.
const ownProvider = "own price"

// ownNote opens with the date, which [priceDate] reads.
func ownNote(p catalog.OwnPrice) string {
	note := ownProvider + " of " + dated(p.AsOf)
	if p.Note != "" {
		note += ": " + p.Note
	}
	return note
}

func dated(asOf string) string {
	if asOf == "" {
		return "undated"
	}
	return asOf
}
