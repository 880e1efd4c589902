package capacity

import (
	"math"
	"strings"

	"bench/internal/catalog"
)

// reduceTable is the time of one all-reduce in microseconds, at the sizes of reduceSizes: medians
// of vLLM's custom kernel under CUDA graphs.
type reduceTable [5]float64

var reduceSizes = [5]float64{16 << 10, 128 << 10, 1 << 20, 8 << 20, 64 << 20} // bytes

// reducePCIe4 is Gen 5's table with the bandwidth of large messages halved, as the link's is. What was
// measured on L40S is slower from four cards on: a machine whose cards sit on two sockets; eight RTX A6000,
// RTX 3090 and RTX 4090 serve two to three times as fast as that table would let them.
var reducePCIe4 = [3]reduceTable{{6.2, 11, 60, 450, 3542}, {18, 40, 176, 924, 7114}, {28, 60, 268, 1350, 10136}}

// Tables by link, each for 2, 4 and 8 GPUs. Only 8 were measured for Blackwell's NVLink: 2 and 4
// are in the ratio of Hopper's.
var (
	reduceAmpereNVLink    = [3]reduceTable{{5.3, 5.7, 11, 90, 388}, {6, 7.8, 18, 118, 540}, {6.5, 11, 22, 129, 594}}
	reduceHopperNVLink    = [3]reduceTable{{4.5, 4.8, 8.3, 45, 307}, {4.8, 5.8, 13, 54, 330}, {5.3, 7.9, 15, 51, 344}}
	reduceBlackwellNVLink = [3]reduceTable{{6.9, 7, 9.4, 34, 199}, {7.3, 7.4, 15, 39, 214}, {8.1, 9.4, 17, 39, 223}}
	reduceL40S            = [3]reduceTable{{6.2, 11, 60, 450, 3542}, {18, 60, 361, 3322, 27241}, {27, 108, 583, 8168, 60073}}
	reducePCIe5           = [3]reduceTable{{5.1, 8.2, 30, 244, 1844}, {15, 25, 88, 462, 3557}, {28, 49, 134, 675, 5068}} // RTX PRO 6000
)

// reduceTableFor picks the table of the card's link; nil for one GPU. PCIe cards are taken as
// unbridged, also where a bridge for two exists. GeForce cards lack peer-to-peer, so the slower
// PCIe table stands in for all of them. Sizes between 2, 4 and 8 take the next larger one's.
func reduceTableFor(g catalog.GPU, tp int) *reduceTable {
	if tp < 2 {
		return nil
	}
	column := min(2, int(math.Ceil(math.Log2(float64(tp))))-1)
	switch {
	case g.FormFactor == "pcie" && g.PCIeGen >= 5 && !g.GeForce(),
		g.FormFactor == "soc":
		return &reducePCIe5[column]
	case strings.HasPrefix(g.Slug, "l40"):
		return &reduceL40S[column]
	case g.FormFactor == "pcie":
		return &reducePCIe4[column]
	case g.Architecture == "Hopper":
		return &reduceHopperNVLink[column]
	case strings.HasPrefix(g.Architecture, "Blackwell"):
		return &reduceBlackwellNVLink[column]
	}
	return &reduceAmpereNVLink[column]
}

// seconds interpolates between the table's sizes on logarithmic scales. Below the smallest it is
// latency, above the largest bandwidth. A nil table is one GPU, which has nothing to reduce.
func (t *reduceTable) seconds(bytes float64) float64 {
	last := len(reduceSizes) - 1
	switch {
	case t == nil:
		return 0
	case bytes <= reduceSizes[0]:
		return t[0] * 1e-6
	case bytes >= reduceSizes[last]:
		return t[last] * 1e-6 * bytes / reduceSizes[last]
	}
	i := 1
	for bytes > reduceSizes[i] {
		i++
	}
	share := math.Log(bytes/reduceSizes[i-1]) / math.Log(reduceSizes[i]/reduceSizes[i-1])
	return t[i-1] * math.Pow(t[i]/t[i-1], share) * 1e-6
}
