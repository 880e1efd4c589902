package runner_test

import (
	"context"
	"testing"
	"time"

	"bench/internal/record"
	"bench/internal/runner"
)

// slowClient is a client that needs so long for each send, one after another.
type slowClient struct {
	target
	turn chan struct{}
	took time.Duration
}

func (c slowClient) Prepare(p runner.Prompt) (runner.Send, error) {
	send, err := c.target.Prepare(p)
	return func(ctx context.Context) record.Request {
		c.turn <- struct{}{}
		time.Sleep(c.took)
		<-c.turn
		return send(ctx)
	}, err
}

// TestClientThatCannotHoldTheRate: sends that are late are counted, a rate that the client does not reach makes the test invalid,
// and the server is not blamed for it.
func TestClientThatCannotHoldTheRate(t *testing.T) {
	for _, c := range []struct {
		took    time.Duration
		verdict string
		late    int // at least
	}{{0, record.TrustSound, 0}, {5 * time.Millisecond, record.TrustDoubtful, 200}, {400 * time.Millisecond, record.TrustInvalid, 200}} {
		test := runner.OpenTest(poisson(4), runner.Shape{InputTokens: 60, OutputTokens: 20}, 1, 200, 0)
		recs, _, _ := openRun(t, "", func(r *rig) {
			r.opts.Target = slowClient{target{r.client}, make(chan struct{}, 1), c.took}
		}, test)
		rec, o := recs[0], recs[0].Detail.OpenLoad
		if rec.Trust.Verdict != c.verdict || rec.Detail.LateSends < c.late || c.late == 0 && rec.Detail.LateSends > 0 || o.Oversaturated != nil || rec.Detail.Requests != 200 {
			t.Errorf("%v a send: %s, %d late sends of %d, %+v; %+v", c.took, rec.Trust.Verdict, rec.Detail.LateSends, rec.Detail.Requests, rec.Trust.Findings, o.Oversaturated)
		}
		if share := *o.SentPerSec / *o.OfferedPerSec; (share < 0.9) != (c.verdict == record.TrustInvalid) {
			t.Errorf("%v a send: sent %v/s of %v/s", c.took, *o.SentPerSec, *o.OfferedPerSec)
		}
	}
}
