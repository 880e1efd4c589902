package sim

import (
	"math"
	"sync"
	"time"
)

// request is one sequence in the engine.
type request struct {
	order     string // of requests that arrive in the same instant the lower goes first
	seed      uint64 // decides its output, whatever else runs
	prompt    []int
	pictures  map[int]uint64 // what is to be seen at the places of images
	salt      string         // separates prefix caches
	maxTokens int
	minTokens int
	ignoreEOS bool
	stopIDs   map[int]bool
	arrived   time.Time // at the front-end
	out       *outbox

	// What follows is the engine's, guarded by its mutex.

	promptTokens int
	made         int        // output tokens
	output       []int      // their ids, where anybody asks for them
	naturally    int        // tokens after which it would end by itself
	computed     int        // tokens whose KV is in the pool
	blocks       int        // of the pool
	entries      []*entry   // its full blocks in a hashed cache
	left         *leftover  // what an own cache has of it
	keys         []blockKey // of its full blocks, as far as they were needed
	scheduled    int        // tokens of the step in progress
	cached       int        // prompt tokens found in the prefix cache at first admission
	failure      string     // why the engine died under it; set before its outbox says so
	foreign      bool       // of the other client on demand, which nobody answers
	preempted    int
	told         int // of them that are counted

	queuedAt    time.Time
	scheduledAt time.Time // zero until first admitted
	firstAt     time.Time
	lastAt      time.Time
	abortedAt   time.Time // zero unless the client went away
}

// known counts the tokens to be computed before the next one can be sampled.
func (r *request) known() int { return r.promptTokens + r.made }

func (r *request) token(i int) int {
	if i < len(r.prompt) {
		return r.prompt[i]
	}
	return r.output[i-len(r.prompt)]
}

// blockKey is the key of the full block number i: a hash chain over all tokens up to its end, begun
// with the salt.
func (r *request) blockKey(i, blockTokens int) blockKey {
	for len(r.keys) <= i {
		h := hashText(0, r.salt)
		if n := len(r.keys); n > 0 {
			h = uint64(r.keys[n-1])
		}
		for j := len(r.keys) * blockTokens; j < (len(r.keys)+1)*blockTokens; j++ {
			h = mix(h ^ uint64(r.token(j)) ^ r.pictures[j])
		}
		r.keys = append(r.keys, blockKey(h))
	}
	return r.keys[i]
}

// Outputs that may end by themselves have a length drawn from an exponential distribution.
const meanNaturalTokens = 250

func naturalLength(seed uint64) int {
	u := float64(mix(seed)>>11) / (1 << 53)
	return 1 + int(-math.Log(1-u)*meanNaturalTokens)
}

// sample makes r's next token. Of a hundred tokens two have no visible text, as is common with real
// models under ignore_eos.
func (r *request) sample(tok *tokenizer) int {
	n := len(r.output)
	if !r.ignoreEOS && n+1 >= r.naturally && n >= r.minTokens {
		return tokenTurnEnd
	}
	h := mix(r.seed ^ mix(uint64(n+1)))
	pick := h >> 8
	switch h % 100 {
	case 0, 1:
		return firstUnused + int(pick%(tokenTurnStart-firstUnused))
	case 2:
		return tokenNewline
	case 3, 4, 5:
		return firstPiece + pieces1 + int(pick%pieces2)
	}
	words := uint64(len(tok.words) / wordForms)
	return firstWord + wordForms*int(pick%words) + 1
}

// mix is the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hashText continues hash h with a text (FNV-1a, then mixed).
func hashText(h uint64, s string) uint64 {
	h ^= 0xcbf29ce484222325
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return mix(h)
}

// Why an output ended.
const (
	finishStop   = "stop"
	finishLength = "length"
	finishAbort  = "abort"
	finishError  = "error" // the engine died; the request's failure says of what
)

// outbox carries a request's tokens from the engine to whoever answers its client. The engine never
// waits for it.
type outbox struct {
	mu      sync.Mutex
	changed sync.Cond
	tokens  []int
	finish  string // "" while more is to come
	stopID  int    // the token id that ended it, when finish is stop
	gone    bool   // nobody is left to answer
}

func newOutbox() *outbox {
	o := &outbox{}
	o.changed.L = &o.mu
	return o
}

// put adds a token.
func (o *outbox) put(token int, finish string, stopID int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tokens = append(o.tokens, token)
	o.finish, o.stopID = finish, stopID
	o.changed.Signal()
}

// end says that no more tokens come, and why.
func (o *outbox) end(finish string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finish = finish
	o.changed.Signal()
}

// leave wakes who waits in take: its client went away.
func (o *outbox) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gone = true
	o.changed.Signal()
}

// take waits for what comes after the last call and returns it in place of buf, which it keeps for the next call; ok
// is false when the client has gone.
func (o *outbox) take(buf []int) (tokens []int, finish string, stopID int, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.tokens) == 0 && o.finish == "" && !o.gone {
		o.changed.Wait()
	}
	tokens, o.tokens = o.tokens, buf[:0]
	return tokens, o.finish, o.stopID, !o.gone
}
