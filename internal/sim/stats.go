package sim

import (
	"math"
	"time"
)

// stats are the engine's own counters and histograms, guarded by the engine's mutex. Their meanings
// are those of vLLM's V1 metrics.
type stats struct {
	created time.Time

	prefixQueries    float64 // tokens
	prefixHits       float64 // tokens
	preemptions      float64
	rejections       float64 // by the limit of queued requests
	promptTokens     float64 // whole prompts, when their prefill ends
	cachedTokens     float64 // of them found in the prefix cache
	generationTokens float64
	finishedBy       map[string]float64

	requestPrompt     histogram
	requestGeneration histogram
	iterationTokens   histogram
	maxGeneration     histogram
	paramsN           histogram
	paramsMaxTokens   histogram
	ttft              histogram
	interToken        histogram
	perOutputToken    histogram
	e2e               histogram
	queue             histogram
	inference         histogram
	prefill           histogram
	decode            histogram
	preemptionsEach   histogram
	prefillComputed   histogram
}

// Bucket bounds as vLLM has them.
var (
	bucketsTTFT      = []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560}
	bucketsITL       = []float64{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80}
	bucketsLong      = []float64{0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680}
	bucketsStep      = []float64{1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384}
	bucketsFew       = []float64{1, 2, 5, 10, 20}
	bucketsPreempted = []float64{1, 2, 3, 4, 5, 10, 20}
)

// buckets125 are 1, 2, 5, 10 … up to the context length.
func buckets125(maxModelLen int) []float64 {
	var out []float64
	for scale := 1; ; scale *= 10 {
		for _, m := range []int{1, 2, 5} {
			if m*scale > maxModelLen {
				return out
			}
			out = append(out, float64(m*scale))
		}
	}
}

func newStats(maxModelLen int) *stats {
	lengths := buckets125(maxModelLen)
	return &stats{
		created:           time.Now(),
		finishedBy:        map[string]float64{},
		requestPrompt:     newHistogram(lengths),
		requestGeneration: newHistogram(lengths),
		iterationTokens:   newHistogram(bucketsStep),
		maxGeneration:     newHistogram(lengths),
		paramsN:           newHistogram(bucketsFew),
		paramsMaxTokens:   newHistogram(lengths),
		ttft:              newHistogram(bucketsTTFT),
		interToken:        newHistogram(bucketsITL),
		perOutputToken:    newHistogram(bucketsITL),
		e2e:               newHistogram(bucketsLong),
		queue:             newHistogram(bucketsLong),
		inference:         newHistogram(bucketsLong),
		prefill:           newHistogram(bucketsLong),
		decode:            newHistogram(bucketsLong),
		preemptionsEach:   newHistogram(bucketsPreempted),
		prefillComputed:   newHistogram(lengths),
	}
}

// admitted counts a request's first admission.
func (s *stats) admitted(r *request) {
	s.prefixQueries += float64(r.promptTokens)
	s.prefixHits += float64(r.cached)
}

func (s *stats) firstToken(r *request) {
	s.promptTokens += float64(r.promptTokens)
	s.cachedTokens += float64(r.cached)
	s.ttft.observe(r.firstAt.Sub(r.arrived).Seconds())
}

// requestFinished counts a request whose last token has just been made.
func (s *stats) requestFinished(r *request, reason string) {
	s.finishedBy[reason]++
	n := float64(r.made)
	s.requestPrompt.observe(float64(r.promptTokens))
	s.requestGeneration.observe(n)
	s.maxGeneration.observe(n)
	s.paramsN.observe(1)
	s.paramsMaxTokens.observe(float64(r.maxTokens))
	decode := r.lastAt.Sub(r.firstAt).Seconds()
	perToken := 0.0
	if n > 1 {
		perToken = decode / (n - 1)
	}
	s.perOutputToken.observe(perToken)
	s.e2e.observe(r.lastAt.Sub(r.arrived).Seconds())
	s.queue.observe(r.scheduledAt.Sub(r.queuedAt).Seconds())
	s.inference.observe(r.lastAt.Sub(r.scheduledAt).Seconds())
	s.prefill.observe(r.firstAt.Sub(r.scheduledAt).Seconds())
	s.decode.observe(decode)
	s.preemptionsEach.observe(float64(r.preempted))
	s.prefillComputed.observe(float64(r.promptTokens - r.cached))
}

// histogram has cumulative buckets only when it is written out.
type histogram struct {
	bounds []float64
	counts []float64 // one more than bounds: the last is above all of them
	sum    float64
}

func newHistogram(bounds []float64) histogram {
	return histogram{bounds: bounds, counts: make([]float64, len(bounds)+1)}
}

func (h *histogram) observe(v float64) {
	i := 0
	for i < len(h.bounds) && v > h.bounds[i] {
		i++
	}
	h.counts[i]++
	h.sum += v
}

func (h *histogram) count() float64 {
	n := 0.0
	for _, c := range h.counts {
		n += c
	}
	return n
}

// each calls f with every bucket's upper bound and cumulative count.
func (h *histogram) each(f func(le, cumulative float64)) {
	n := 0.0
	for i, c := range h.counts {
		n += c
		if i < len(h.bounds) {
			f(h.bounds[i], n)
		} else {
			f(math.Inf(1), n)
		}
	}
}
