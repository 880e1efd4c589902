package catalog

import (
	_ "embed" // cloud.csv
	"slices"
	"sync"
)

//go:embed data/cloud.csv
var cloudCSV string

// CloudOffer is one machine for hire. Prices move: print PriceDate and Confidence beside them.
type CloudOffer struct {
	Provider      string
	InstanceType  string
	GPU           string // a [GPU]'s Name
	GPUCount      int
	USDPerHour    *float64 // of the whole machine; nil = not offered on demand
	USDPerGPUHour *float64
	Region        string
	PriceDate     string
	Confidence    string // high, medium, low
	Source        string
}

var cloudOffers = sync.OnceValue(func() []CloudOffer {
	var list []CloudOffer
	for row := range csvRows(cloudCSV) {
		list = append(list, CloudOffer{
			Provider:      row.text("provider"),
			InstanceType:  row.text("instance_type"),
			GPU:           row.text("gpu"),
			GPUCount:      int(row.number("gpu_count")),
			USDPerHour:    row.optional("usd_per_hour"),
			USDPerGPUHour: row.optional("usd_per_gpu_hour"),
			Region:        row.text("region"),
			PriceDate:     row.text("price_date"),
			Confidence:    row.text("confidence"),
			Source:        row.text("source"),
		})
	}
	return list
})

// CloudOffers are all known offers in the catalogue's order. The caller may change the slice.
func CloudOffers() []CloudOffer { return slices.Clone(cloudOffers()) }
