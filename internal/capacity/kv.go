package capacity

import (
	"math"
	"slices"
	"sort"

	"bench/internal/catalog"
	"bench/internal/unit"
)

// pageTokens is vLLM's default block size.
const pageTokens = 16

// layerKV is what one layer of a kind keeps on one GPU.
type layerKV struct {
	kind     catalog.LayerKind
	layers   int // on one GPU
	perToken int64
	state    int64 // of a request; linear attention
	window   int
}

// layerKVs describes the layers that keep something, on the GPU of the largest pipeline stage. KV
// heads divide by tensor parallel size down to one a GPU; a latent (MLA) does not divide at all.
func layerKVs(m catalog.Model, e Engine) []layerKV {
	width := e.kvBytes()
	var out []layerKV
	for _, l := range m.Layers {
		k := layerKV{kind: l.Kind, layers: ceilDiv(l.Count, e.PipelineParallel), window: l.Window}
		switch {
		case l.Kind == catalog.NoAttention:
			continue
		case l.Kind == catalog.LinearAttention:
			tp := int64(e.TensorParallel)
			k.state = int64(m.Linear.StateElements*m.Linear.StateBytes)/tp + int64(m.Linear.ConvElements)*dtypeBytes(e.DType)/tp
		case m.MLA != nil && parseVersion(e.Version).before(0, 7):
			// Before the latent was cached: keys and values of every head, padded to 256 elements.
			k.perToken = 2 * int64(ceilDiv(m.Heads, e.TensorParallel)) * 256 * width
		case m.MLA != nil:
			k.perToken = int64(m.MLA.KVLoRARank+m.MLA.RopeHeadDim) * width
		default:
			heads := max(1, ceilDiv(l.KVHeads, e.TensorParallel))
			k.perToken = 2 * int64(heads) * int64(l.HeadDim) * width
		}
		out = append(out, k)
	}
	return out
}

// indexerBytes is the sparse-attention indexer's own key cache for one token of all its layers: one
// FP8 key and one float32 scale for every 128 elements.
func indexerBytes(m catalog.Model, e Engine) int64 {
	if m.MLA == nil || m.MLA.IndexHeadDim == 0 {
		return 0
	}
	key := int64(m.MLA.IndexHeadDim + ceilDiv(m.MLA.IndexHeadDim, 128)*4)
	return key * int64(ceilDiv(m.MLA.IndexerLayers, e.PipelineParallel))
}

// layOut cuts the pool into blocks.
//
// Without the hybrid manager every attention layer keeps the whole context and a block holds 16
// tokens of all of them. With it, layers are sorted into groups of equal size that draw from one
// pool: a block holds one page of each layer of a group, so a short group is padded.
func (mem *Memory) layOut(m catalog.Model, e Engine, v version) {
	kinds := layerKVs(m, e)
	windowed := func(k layerKV) bool { return k.window > 0 }
	if m.Linear == nil && !(e.hybrid(m, v) && slices.ContainsFunc(kinds, windowed)) {
		var perToken int64
		for _, k := range kinds {
			perToken += int64(k.layers) * k.perToken
		}
		perToken += indexerBytes(m, e)
		mem.BlockTokens, mem.BlockBytes = pageTokens, unit.Bytes(pageTokens*perToken)
		mem.Groups = []Group{{Kind: catalog.FullAttention, Count: 1, Layers: m.NumLayers() - m.LayersOf(catalog.NoAttention).Count, BlockTokens: pageTokens}}
	} else {
		mem.group(kinds, v)
	}
	mem.Blocks = max(0, int(mem.KVCache/mem.BlockBytes))
	mem.GuaranteedConcurrency = mem.GuaranteedConcurrencyAt(e.MaxModelLen)
	mem.KVCacheTokens = mem.printedTokens(e, v)
}

// group forms the hybrid manager's groups. All pages are of one size, that of the kind with the
// largest; a smaller kind puts more tokens into its pages. Where a model has linear-attention
// layers too, attention pages grow in steps of 16 tokens until a state fits into one.
func (mem *Memory) group(kinds []layerKV, v version) {
	var step, state int64
	for _, k := range kinds {
		step, state = max(step, pageTokens*k.perToken), max(state, k.state)
	}
	page := step
	if state > step && step > 0 {
		page = (state + step - 1) / step * step
	}
	size := groupSize(kinds, v)
	for _, k := range kinds {
		g := Group{Kind: k.kind, Count: ceilDiv(k.layers, size), Layers: size, Window: k.window}
		if k.perToken > 0 {
			g.BlockTokens = int(page/(pageTokens*k.perToken)) * pageTokens
		}
		if k.kind == catalog.FullAttention || mem.BlockTokens == 0 {
			mem.BlockTokens = g.BlockTokens
		}
		mem.Groups = append(mem.Groups, g)
	}
	mem.BlockBytes = unit.Bytes(max(page, state) * int64(size))
}

// groupSize is the number of layers of the rarer kind; that of the commoner one where the two are
// close (less than 1.5 times apart, 1.25 before March 2026), which pads less.
func groupSize(kinds []layerKV, v version) int {
	least, most := math.MaxInt, 0
	for _, k := range kinds {
		least, most = min(least, k.layers), max(most, k.layers)
	}
	ratio := 1.5
	if v.before(0, 18) {
		ratio = 1.25
	}
	if float64(most) < ratio*float64(least) {
		return most
	}
	return least
}

// printedTokens is the N of "GPU KV cache size: N tokens". Versions before 0.21 printed blocks ÷
// groups × 16, which understates hybrid models; later ones concurrency × max_model_len.
func (mem *Memory) printedTokens(e Engine, v version) int {
	groups := 0
	for _, g := range mem.Groups {
		groups += g.Count
	}
	switch {
	case len(mem.Groups) == 1 && mem.Groups[0].Window == 0:
		return mem.Blocks * mem.BlockTokens
	case !v.printsConcurrency():
		return mem.Blocks / groups * mem.BlockTokens
	}
	return int(mem.GuaranteedConcurrency * float64(e.MaxModelLen))
}

// printsConcurrency says whether the printed tokens are concurrency × max_model_len.
func (v version) printsConcurrency() bool { return !v.before(0, 21) }

// PrintsConcurrencyTokens says whether that vLLM version prints as the size of its KV cache, for a
// model with several groups of layers, maximum concurrency × max_model_len.
func PrintsConcurrencyTokens(vllm string) bool { return parseVersion(vllm).printsConcurrency() }

// UsableBlocks is the number of blocks requests can hold: V1 keeps one as a placeholder for blocks
// that have left a window.
func (mem Memory) UsableBlocks() int {
	if mem.v0 {
		return mem.Blocks
	}
	return max(0, mem.Blocks-1)
}

// BlocksLive is what a decoding request of that many tokens holds now: sliding groups have freed
// what left their window.
func (mem Memory) BlocksLive(tokens int) int {
	return mem.blocks(tokens, 1, func(g Group, all int) int {
		return min(all, ceilDiv(g.Window, g.BlockTokens)+1)
	})
}

// BlocksForAdmission is what must be free to take in a request whose prompt has that many tokens:
// sliding groups hold at most their window and one scheduler step's tokens at once.
func (mem Memory) BlocksForAdmission(tokens int) int {
	return mem.blocks(tokens, mem.statePages, func(g Group, all int) int {
		return min(all, ceilDiv(min(g.Window-1+mem.inFlight, tokens), g.BlockTokens)+1)
	})
}

// statePages is how many blocks of each linear-attention group a request reserves: its state, and
// from 0.21 a second one that the state is copied to at block boundaries, so that a prefix can be
// found again. All four start-up logs of such models that print the pool count two.
func statePages(v version) int {
	if v.before(0, 21) {
		return 1
	}
	return 2
}

// reservedBlocks is vLLM's start-up figure for one request of that length. It is the worst case,
// and does not notice that a sliding group cannot hold more than the whole request.
func (mem Memory) reservedBlocks(tokens int) int {
	return mem.blocks(tokens, mem.statePages, func(g Group, _ int) int {
		return ceilDiv(min(g.Window-1+mem.inFlight, tokens), g.BlockTokens) + 1
	})
}

// blocks sums over the groups; a linear-attention group takes states blocks, and sliding decides for
// those with a window, given what the request would take without one.
func (mem Memory) blocks(tokens, states int, sliding func(g Group, all int) int) int {
	n := 0
	for _, g := range mem.Groups {
		switch {
		case g.Kind == catalog.LinearAttention:
			n += g.Count * states
		case g.Window > 0:
			n += g.Count * sliding(g, ceilDiv(tokens, g.BlockTokens))
		default:
			n += g.Count * ceilDiv(tokens, g.BlockTokens)
		}
	}
	return n
}

// GuaranteedConcurrencyAt is how many requests of that many tokens fit with the worst case reserved
// for each: what vLLM prints as maximum concurrency when max_model_len is context.
func (mem Memory) GuaranteedConcurrencyAt(context int) float64 {
	return perRequest(mem.Blocks, mem.reservedBlocks(context))
}

// SteadyConcurrency is how many requests of that many tokens fit once all of them decode. Memory
// alone: max_num_seqs may allow fewer.
func (mem Memory) SteadyConcurrency(context int) float64 {
	return perRequest(mem.UsableBlocks(), mem.BlocksLive(context))
}

func perRequest(blocks, each int) float64 {
	if each == 0 {
		return 0
	}
	return float64(blocks) / float64(each)
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// LongestRequest is the longest request one replica's pool holds with the worst case reserved, in
// tokens, rounded down to a block: what vLLM names as the estimated maximum model length where
// max_model_len does not fit. 0 where none fits.
func (mem Memory) LongestRequest() int {
	const most = 1 << 30 // tokens; no model's context is longer
	blocks := sort.Search(most/pageTokens, func(i int) bool { return mem.reservedBlocks((i+1)*pageTokens) > mem.Blocks })
	return blocks * pageTokens
}
