package sim

import "container/list"

// blockLayout says how many blocks of the KV pool a request needs. [capacity.Memory] is one.
type blockLayout interface {
	UsableBlocks() int                 // the pool without its null block
	BlocksLive(tokens int) int         // held by a request with this many tokens computed
	BlocksForAdmission(tokens int) int // held at most while these tokens are being computed
}

// pool is the KV-cache pool: how many blocks each request holds, and which full blocks of tokens can
// be found again (the prefix cache).
//
// Blocks are counted per request: two requests that share a cached prefix each count it, so usage
// is never under-reported. What a hit saves is computation.
type pool struct {
	layout      blockLayout
	blockTokens int
	usable      int
	perEntry    int // pool blocks that one full block of tokens occupies over all groups
	used        int

	entries map[blockKey]*entry
	lru     *list.List // entries no request holds, the longest unused first
}

// blockKey identifies a full block of tokens with everything before it.
type blockKey uint64

// entry is a full block of tokens in the prefix cache.
type entry struct {
	key    blockKey
	owners int
	place  *list.Element // in the LRU list while owners is 0
}

func newPool(layout blockLayout, blockTokens int) *pool {
	return &pool{
		layout:      layout,
		blockTokens: blockTokens,
		usable:      layout.UsableBlocks(),
		perEntry:    max(1, layout.BlocksLive(blockTokens)),
		entries:     map[blockKey]*entry{},
		lru:         list.New(),
	}
}

func (p *pool) free() int { return p.usable - p.used }

// usage is the share of usable blocks in use, as vllm:kv_cache_usage_perc has it. Cached blocks that
// no request holds count as free.
func (p *pool) usage() float64 { return float64(p.used) / float64(p.usable) }

// fits says whether all of a request's known tokens could be computed with the blocks now free.
func (p *pool) fits(tokens int) bool { return p.layout.BlocksForAdmission(tokens) <= p.free() }

// grow gives r the blocks for computing count more tokens; false when too few are free. Blocks that
// slid out of a window since the last step are given back by the same call.
func (p *pool) grow(r *request, count int) bool {
	need := p.layout.BlocksLive(r.computed + count)
	if count > 1 { // a prompt's tokens in flight keep a sliding window wider than a decode does
		need = p.layout.BlocksForAdmission(r.computed + count)
	}
	if need-r.blocks > p.free() {
		return false
	}
	p.used += need - r.blocks
	r.blocks = need
	p.trim()
	return true
}

// release takes all of r's blocks back. Full blocks keep their content until they are needed.
func (p *pool) release(r *request) {
	p.used -= r.blocks
	r.blocks = 0
	for i := len(r.entries) - 1; i >= 0; i-- { // the tail of a prompt is evicted before its head
		e := r.entries[i]
		if e.owners--; e.owners == 0 {
			e.place = p.lru.PushBack(e)
		}
	}
	r.entries = r.entries[:0]
	p.trim()
}

// trim drops cached content that the free blocks no longer hold.
func (p *pool) trim() {
	for p.lru.Len()*p.perEntry > p.free() {
		e := p.lru.Remove(p.lru.Front()).(*entry)
		delete(p.entries, e.key)
	}
}

// lookup finds how many of r's first tokens are cached, in whole blocks and at most all tokens but
// one, and makes r an owner of what it found.
func (p *pool) lookup(r *request) (tokens int) {
	for end := p.blockTokens; end < r.known(); end += p.blockTokens {
		e, ok := p.entries[r.blockKey(len(r.entries), p.blockTokens)]
		if !ok {
			break
		}
		p.own(r, e)
		tokens = end
	}
	return tokens
}

// publish makes r's full computed blocks findable; they are as soon as they are computed.
func (p *pool) publish(r *request) {
	for (len(r.entries)+1)*p.blockTokens <= r.computed {
		key := r.blockKey(len(r.entries), p.blockTokens)
		e, ok := p.entries[key]
		if !ok {
			e = &entry{key: key}
			p.entries[key] = e
		}
		p.own(r, e)
	}
}

func (p *pool) own(r *request, e *entry) {
	if e.place != nil {
		p.lru.Remove(e.place)
		e.place = nil
	}
	e.owners++
	r.entries = append(r.entries, e)
}
