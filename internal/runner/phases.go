package runner

import (
	"time"

	"bench/internal/record"
)

// phases are the stretches of the requests' time; nil where no response head came.
func phases(all []record.Request) *record.Phases {
	out := record.Phases{}
	var dial, tls, wait, first, stream []float64
	span := func(to *[]float64, fromNS, toNS int64) { *to = append(*to, ms(time.Duration(toNS-fromNS))) }
	for _, r := range all {
		if r.ConnectedNS != nil && r.DialNS == nil {
			out.Reused++
		}
		if r.DialNS != nil {
			span(&dial, 0, *r.DialNS)
		}
		if r.TLSNS != nil {
			span(&tls, 0, *r.TLSNS)
		}
		if r.HeadersNS == nil {
			continue
		}
		span(&wait, r.SentNS, *r.HeadersNS)
		if r.FirstTokenNS != nil {
			span(&first, *r.HeadersNS, *r.FirstTokenNS)
			span(&stream, *r.FirstTokenNS, r.EndNS)
		}
	}
	if len(wait) == 0 {
		return nil
	}
	out.Dial, out.TLS, out.Wait = distribution(dial), distribution(tls), distribution(wait)
	out.First, out.Stream = distribution(first), distribution(stream)
	return &out
}
