package sim

// blockLayout says how many blocks of the KV pool a request needs. [capacity.Memory] is one.
type blockLayout interface {
	UsableBlocks() int                 // the pool without its null block
	BlocksLive(tokens int) int         // held by a request with this many tokens computed
	BlocksForAdmission(tokens int) int // held at most while these tokens are being computed
}

// pool is the KV-cache pool: how many blocks each request holds, and through its cache which full blocks of tokens can
// be found again.
//
// Blocks are counted per request: two requests that share a cached prefix each count it, so usage
// is never under-reported. What a hit saves is computation.
type pool struct {
	layout      blockLayout
	blockTokens int
	usable      int
	perEntry    int // pool blocks that one full block of tokens occupies over all groups
	used        int
	cache       prefixCache
	live        []int // layout's BlocksLive, as far as it was asked for; -1 = not yet
}

// prefixCache knows what full blocks of tokens no request holds any more but the pool still has.
type prefixCache interface {
	// lookup finds how many of r's first tokens are cached, in whole blocks and at most all tokens but
	// one, and makes r an owner of what it found.
	lookup(r *request) (tokens int)
	// publish makes r's full computed blocks findable; they are as soon as they are computed.
	publish(r *request)
	// release gives up r's ownership. Full blocks keep their content until they are needed, the tail of a prompt being
	// evicted before its head.
	release(r *request)
	// trim drops what the oldest owners left until at most so many full blocks without an owner are cached.
	trim(most int)
}

// newPool makes an empty pool; its cache is to be set.
func newPool(layout blockLayout, blockTokens int) *pool {
	return &pool{layout: layout, blockTokens: blockTokens, usable: layout.UsableBlocks(), perEntry: max(1, layout.BlocksLive(blockTokens))}
}

func (p *pool) free() int { return p.usable - p.used }

// usage is the share of usable blocks in use, as vllm:kv_cache_usage_perc has it. Cached blocks that
// no request holds count as free.
func (p *pool) usage() float64 { return float64(p.used) / float64(p.usable) }

// fits says whether all of a request's known tokens could be computed with the blocks now free.
func (p *pool) fits(tokens int) bool { return p.layout.BlocksForAdmission(tokens) <= p.free() }

// blocksLive is the layout's, which takes longer than a look into a table.
func (p *pool) blocksLive(tokens int) int {
	for len(p.live) <= tokens {
		p.live = append(p.live, -1)
	}
	if p.live[tokens] < 0 {
		p.live[tokens] = p.layout.BlocksLive(tokens)
	}
	return p.live[tokens]
}

// grow gives r the blocks for computing count more tokens; false when too few are free. Blocks that
// slid out of a window since the last step are given back by the same call.
func (p *pool) grow(r *request, count int) bool {
	var need int
	if count > 1 { // a prompt's tokens in flight keep a sliding window wider than a decode does
		need = p.layout.BlocksForAdmission(r.computed + count)
	} else {
		need = p.blocksLive(r.computed + count)
	}
	if need == r.blocks {
		return true
	}
	if need-r.blocks > p.free() {
		return false
	}
	p.used += need - r.blocks
	r.blocks = need
	p.trim()
	return true
}

// release takes all of r's blocks back.
func (p *pool) release(r *request) {
	p.used -= r.blocks
	r.blocks = 0
	p.cache.release(r)
	p.trim()
}

// trim drops cached content that the free blocks no longer hold.
func (p *pool) trim() { p.cache.trim(p.free() / p.perEntry) }
