// Package sim owns the simulated vLLM: HTTP as vLLM 0.8 to 0.32 speak it, a V1 scheduler whose steps take
// the time and whose KV pool has the size that package capacity computes, /metrics, and virtual
// GPUs. It shares no wire type with the client, so that two readings of the same facts check each
// other. It measures nothing and never says that what it serves is real.
//
// A server needs no clock of its own: it sleeps. In real time it is slow as a GPU is; inside
// [InVirtualTime] it takes as long as the computer needs to run it.
package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"bench/internal/capacity"
)

// Server is one simulated vLLM server with its GPUs. Make it with [New], then Start it.
type Server struct {
	config  Config
	engine  capacity.Engine // with its defaults
	v       release         // which decides how it speaks
	memory  capacity.Memory
	tokens  *tokenizer
	core    *engine
	handler http.Handler
	gpus    *gpus

	root        string // checkpoint, as --model would name it
	name        string // served name
	fingerprint string

	mu        sync.Mutex
	ids       *rand.Rand
	traffic   traffic
	log       io.Writer // of requests; nil where none is kept
	logErr    error     // the first that writing it met
	logClock  time.Time // what its stamps are counted from
	listeners map[net.Listener]bool
	conns     map[net.Conn]*connState
	started   bool
	closed    bool
	dead      bool           // the engine is, or not there yet: clients are refused
	serving   sync.WaitGroup // accepted connections
}

// New prepares a server. It fails where vLLM would not start with that configuration.
func New(c Config) (*Server, error) {
	mem, err := c.plan()
	if err != nil {
		return nil, err
	}
	e := c.Engine.WithDefaults(c.Model, c.GPU)
	s := &Server{
		config:    c,
		engine:    e,
		v:         parseRelease(e.Version),
		memory:    mem,
		tokens:    newTokenizer(),
		root:      c.Model.ID,
		ids:       rand.New(rand.NewPCG(uint64(c.Seed), 1)),
		listeners: map[net.Listener]bool{},
		conns:     map[net.Conn]*connState{},
	}
	if e.Quantization != "" && c.Model.Quantization == nil {
		s.root += "-" + e.Quantization // as published checkpoints are named
	}
	s.name = s.root
	if c.ServedModel != "" {
		s.name = c.ServedModel
	}
	parallel := ""
	if e.TensorParallel > 1 {
		parallel = fmt.Sprintf("-tp%d", e.TensorParallel)
	}
	s.fingerprint = fmt.Sprintf("vllm-%s%s-%08x", e.Version, parallel, uint32(hashText(0, fmt.Sprintf("%s %+v %d", s.root, e, mem.Blocks))))

	stepper := capacity.NewStepper(c.Model, c.GPU, e)
	s.core = newEngine(limits{maxSeqs: e.MaxNumSeqs, maxBatchedTokens: e.MaxNumBatchedTokens},
		mem, mem.BlockTokens, stepper, s.tokens, newStats(e.MaxModelLen))
	s.core.prefixHits = c.Faults.PrefixHits
	s.core.faults, s.core.maxModelLen, s.core.maxQueued, s.core.onDeath = c.Faults, e.MaxModelLen, c.MaxNumQueuedReqs, s.setDead
	s.gpus = newGPUs(c.GPU, e.GPUs(), mem, s.core)
	s.traffic = newTraffic()
	s.handler = s.routes()
	return s, nil
}

// Start begins to compute. Requests sent before wait for it.
func (s *Server) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.closed {
		return
	}
	s.started = true
	s.dead = s.config.Faults.StartAfter > 0
	go s.core.run()
}

// Close stops the server as SIGTERM stops vLLM: streams in flight end with finish reason abort. It
// returns when all goroutines of the server have ended and all its connections are closed; its error is that of the
// request log.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	started := s.started
	for l := range s.listeners {
		_ = l.Close()
	}
	for conn, state := range s.conns {
		state.closeWhenIdle(conn)
	}
	s.mu.Unlock()

	close(s.core.stop)
	if started {
		<-s.core.done
	} else {
		s.core.abortAll()
	}
	s.serving.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logErr
}

// Handler serves the same API under another HTTP server. Headers then come in that server's order
// and case, and the events of one step in one HTTP chunk; [Server.Serve] and [Server.Dial] send them
// as vLLM's server does.
func (s *Server) Handler() http.Handler { return s.handler }

// ServedModel is the name clients use.
func (s *Server) ServedModel() string { return s.name }

// Memory is how the GPU's memory is divided; [capacity.Memory] says what the figures mean.
func (s *Server) Memory() capacity.Memory { return s.memory }

// newID makes an id of n hexadecimal digits.
func (s *Server) newID(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%016x%016x", s.ids.Uint64(), s.ids.Uint64())[:n]
}
