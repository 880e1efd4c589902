package sim

import "container/list"

// hashedCache is the prefix cache of a server: blocks are found by their content.
type hashedCache struct {
	blockTokens int
	entries     map[blockKey]*entry
	lru         *list.List // entries no request holds, the longest unused first
}

// blockKey identifies a full block of tokens with everything before it.
type blockKey uint64

// entry is a full block of tokens in the cache.
type entry struct {
	key    blockKey
	owners int
	place  *list.Element // in the LRU list while owners is 0
}

func newHashedCache(p *pool) *hashedCache {
	return &hashedCache{blockTokens: p.blockTokens, entries: map[blockKey]*entry{}, lru: list.New()}
}

func (c *hashedCache) lookup(r *request) (tokens int) {
	for end := c.blockTokens; end < r.known(); end += c.blockTokens {
		e, ok := c.entries[r.blockKey(len(r.entries), c.blockTokens)]
		if !ok {
			break
		}
		c.own(r, e)
		tokens = end
	}
	return tokens
}

func (c *hashedCache) publish(r *request) {
	for (len(r.entries)+1)*c.blockTokens <= r.computed {
		key := r.blockKey(len(r.entries), c.blockTokens)
		e, ok := c.entries[key]
		if !ok {
			e = &entry{key: key}
			c.entries[key] = e
		}
		c.own(r, e)
	}
}

func (c *hashedCache) own(r *request, e *entry) {
	if e.place != nil {
		c.lru.Remove(e.place)
		e.place = nil
	}
	e.owners++
	r.entries = append(r.entries, e)
}

func (c *hashedCache) release(r *request) {
	for i := len(r.entries) - 1; i >= 0; i-- {
		e := r.entries[i]
		if e.owners--; e.owners == 0 {
			e.place = c.lru.PushBack(e)
		}
	}
	r.entries = r.entries[:0]
}

func (c *hashedCache) trim(most int) {
	for c.lru.Len() > most {
		e := c.lru.Remove(c.lru.Front()).(*entry)
		delete(c.entries, e.key)
	}
}

// ownCache is the prefix cache where no two prompts have anything in common, so that a block is found only by the
// request that made it, after a preemption. It behaves as a [hashedCache] would, and keeps no block on its own.
type ownCache struct {
	blockTokens int
	left        []*leftover // the longest unused first; those without blocks are no longer counted
	blocks      int         // of all of them
}

// leftover are the blocks that a request left when it lost or finished its own.
type leftover struct{ blocks int }

func (c *ownCache) lookup(r *request) (tokens int) {
	if r.left == nil {
		return 0
	}
	n := min(r.left.blocks, (r.known()-1)/c.blockTokens)
	c.blocks -= r.left.blocks
	r.left.blocks = 0
	r.left = nil
	return n * c.blockTokens
}

func (c *ownCache) publish(*request) {}

func (c *ownCache) release(r *request) {
	if n := r.computed / c.blockTokens; n > 0 {
		r.left = &leftover{n}
		c.left = append(c.left, r.left)
		c.blocks += n
	}
}

func (c *ownCache) trim(most int) {
	for c.blocks > most {
		first := c.left[0]
		if n := min(first.blocks, c.blocks-most); n > 0 {
			first.blocks -= n
			c.blocks -= n
		}
		if first.blocks == 0 {
			c.left = c.left[1:]
		}
	}
}
