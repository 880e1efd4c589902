package sim

import (
	"fmt"
	"slices"
	"time"
)

// traffic counts HTTP requests as vLLM's web layer does; guarded by the server's mutex. A stream
// counts with no bytes, and as a success whatever happened inside it.
type traffic struct {
	created   float64
	byStatus  []*statusCount  // in order of first use
	byHandler []*handlerCount // in order of first use
	byMethod  []*methodCount  // in order of first use
	durations histogram
}

type statusCount struct {
	handler, method, status string
	requests                float64
	created                 float64
}

type handlerCount struct {
	handler                               string
	requests, requestBytes, responseBytes float64
	created                               float64
}

type methodCount struct {
	handler, method string
	durations       histogram
	created         float64
}

var (
	bucketsHTTPFine   = []float64{0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 7.5, 10, 30, 60}
	bucketsHTTPCoarse = []float64{0.1, 0.5, 1}
)

func newTraffic() traffic {
	return traffic{created: unixSeconds(time.Now()), durations: newHistogram(bucketsHTTPFine)}
}

// count adds one answered request. handler is "none" where no route took it.
func (t *traffic) count(handler, method string, status int, requestBytes int64, responseBytes int, took time.Duration) {
	now := unixSeconds(time.Now())
	class := fmt.Sprintf("%dxx", status/100)
	s := find(&t.byStatus, func(s *statusCount) bool { return s.handler == handler && s.method == method && s.status == class },
		func() *statusCount {
			return &statusCount{handler: handler, method: method, status: class, created: now}
		})
	s.requests++
	h := find(&t.byHandler, func(h *handlerCount) bool { return h.handler == handler },
		func() *handlerCount { return &handlerCount{handler: handler, created: now} })
	h.requests++
	h.requestBytes += float64(requestBytes)
	h.responseBytes += float64(responseBytes)
	m := find(&t.byMethod, func(m *methodCount) bool { return m.handler == handler && m.method == method },
		func() *methodCount {
			return &methodCount{handler: handler, method: method, durations: newHistogram(bucketsHTTPCoarse), created: now}
		})
	m.durations.observe(took.Seconds())
	t.durations.observe(took.Seconds())
}

// find is the first element that fits, or a new one at the end.
func find[T any](list *[]*T, fits func(*T) bool, make func() *T) *T {
	if i := slices.IndexFunc(*list, fits); i >= 0 {
		return (*list)[i]
	}
	one := make()
	*list = append(*list, one)
	return one
}

func (t *traffic) write(e *expo) {
	const total = "HTTP requests by route, method and class of status."
	e.family("http_requests_total", "counter", total)
	for _, s := range t.byStatus {
		e.sample("http_requests_total", s.labels(), s.requests)
	}
	e.family("http_requests_created", "gauge", total)
	for _, s := range t.byStatus {
		e.sample("http_requests_created", s.labels(), s.created)
	}
	t.writeSizes(e, "http_request_size_bytes", "Bytes of request bodies by route.", func(h *handlerCount) float64 { return h.requestBytes })
	t.writeSizes(e, "http_response_size_bytes", "Bytes of answers by route; streams count none.", func(h *handlerCount) float64 { return h.responseBytes })

	e.created = t.created
	e.histogram("http_request_duration_highr_seconds", "Request to end of answer, in many buckets.", "", "", &t.durations)

	const name, help = "http_request_duration_seconds", "Request to end of answer by route, in few buckets."
	e.family(name, "histogram", help)
	for _, m := range t.byMethod {
		e.buckets(name, m.before(), m.after(), &m.durations)
	}
	e.family(name+"_created", "gauge", help)
	for _, m := range t.byMethod {
		e.sample(name+"_created", braces(m.before(), m.after()), m.created)
	}
}

func (t *traffic) writeSizes(e *expo, name, help string, bytes func(*handlerCount) float64) {
	e.family(name, "summary", help)
	for _, h := range t.byHandler {
		e.sample(name+"_count", h.labels(), h.requests)
		e.sample(name+"_sum", h.labels(), bytes(h))
	}
	e.family(name+"_created", "gauge", help)
	for _, h := range t.byHandler {
		e.sample(name+"_created", h.labels(), h.created)
	}
}

func (s *statusCount) labels() string {
	return fmt.Sprintf(`{handler="%s",method="%s",status="%s"}`, s.handler, escapeLabel(s.method), s.status)
}

func (h *handlerCount) labels() string { return fmt.Sprintf(`{handler="%s"}`, h.handler) }

func (m *methodCount) before() string { return fmt.Sprintf(`handler="%s",`, m.handler) }
func (m *methodCount) after() string  { return fmt.Sprintf(`,method="%s"`, escapeLabel(m.method)) }
