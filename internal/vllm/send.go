package vllm

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"bench/internal/record"
)

const (
	// afterDone is how long the end of the body may take after [DONE]; the answer is complete by
	// then and only the connection's reuse is at stake.
	afterDone = 2 * time.Second
	// maxStamps bounds the room set aside for stamps before a send; more tokens make it grow.
	maxStamps = 1 << 16
	// headKept is how much of a body that is no event stream is kept to tell what it is.
	headKept = 8 << 10
)

// Send performs one attempt and returns its record: every stamp and count filled, and of a failure
// its class and a bounded message. The caller fills TestID, Run, Index, Attempt and ScheduledNS.
func (c *Client) Send(ctx context.Context, p *Prepared) record.Request {
	r, _ := c.send(ctx, p, nil)
	return r
}

// SendText is [Client.Send] with the text of the answer, as the next request of a conversation needs it: its content alone,
// without reasoning and tool calls.
func (c *Client) SendText(ctx context.Context, p *Prepared) (r record.Request, text string) {
	var content strings.Builder
	r, _ = c.send(ctx, p, &content)
	return r, content.String()
}

// send is Send with the head of the answer, nil where none came. content gets the answer's text where it is not nil.
func (c *Client) send(ctx context.Context, p *Prepared, content *strings.Builder) (record.Request, http.Header) {
	r := record.Request{
		AskedPromptTokens: p.gen.AskedPromptTokens, AskedOutputTokens: p.gen.MaxTokens,
		TokenNS: make([]int64, 0, min(p.gen.MaxTokens, maxStamps)),
	}
	ex := &exchange{message: p.message, pool: c.streams, timeout: c.timeout}
	t := &tally{r: &r, gen: &p.gen, content: content}
	resp, err := ex.do(ctx)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = c.refusal(resp, p.gen.Endpoint)
	}
	if err == nil {
		err = t.read(ex)
	}
	r.HTTPStatus = ex.status
	r.EndNS = c.clock.Now()
	if err == nil {
		r.EndNS = t.endNS
	}
	r.SentNS = r.EndNS // where nothing could be sent, the attempt ends where it would have begun
	if ex.sent {
		r.SentNS, r.ConnectedNS = ex.sentNS, new(ex.connectedNS)
		if !ex.reused {
			r.DialNS = new(ex.dialNS)
			if ex.tlsNS > 0 {
				r.TLSNS = new(ex.tlsNS)
			}
		}
	}
	if ex.status != 0 {
		r.HeadersNS = new(ex.headersNS)
	}
	c.judge(ctx, t, err)
	if ex.response == nil {
		return r, nil
	}
	_ = ex.response.Body.Close()
	return r, ex.response.Header
}

func redirectText(status int) string {
	if status >= 300 {
		return fmt.Sprintf("HTTP %d: the server redirects elsewhere, which is not followed: set --base-url to the address it points to", status)
	}
	return fmt.Sprintf("HTTP %d: not the 200 of a stream", status)
}

// tally takes the stream's events into the record.
type tally struct {
	r    *record.Request
	gen  *Generate
	chnk chunk
	// content gets the answer's text; nil where nobody needs it.
	content *strings.Builder

	head     []byte // of the body, until the first event
	events   int
	lastRead int // read that brought the latest token
	// finish, inBand and broken keep the first of their kind.
	inBand string
	failed bool
	broken string
	endNS  int64
}

// read takes the whole body. Its error is that of the transport; nil is a clean end, to which
// belongs the end of the connection once [DONE] has come.
func (t *tally) read(ex *exchange) error {
	var (
		parser eventParser
		socket = ex.conn.socket
	)
	for {
		b, err := ex.content.payload()
		if t.events == 0 && len(t.head) < headKept {
			t.head = append(t.head, b[:min(len(b), headKept)]...)
		}
		for len(b) > 0 && !t.r.Done {
			ev, used, ok, bad := parser.next(b)
			if bad != nil {
				return bad
			}
			b = b[used:]
			if !ok {
				continue
			}
			t.take(ev, socket.readNS, socket.reads)
			if t.r.Done {
				_ = ex.conn.SetReadDeadline(earlier(ex.deadline, time.Now().Add(afterDone)))
			}
		}
		t.endNS = socket.readNS
		switch {
		case err == io.EOF, err != nil && t.r.Done:
			return nil
		case err != nil:
			return err
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// take reads one event, which the read numbered read brought at stamp.
func (t *tally) take(ev event, stamp int64, read int) {
	t.events++
	if string(ev.data) == "[DONE]" {
		t.r.Done = true
		return
	}
	c := &t.chnk
	valid := c.parse(ev.data)
	switch {
	case ev.failed && valid && c.failure != nil, !ev.failed && c.failure != nil:
		t.fail(messageOf(c.failure))
		return
	case ev.failed:
		t.fail(messageOf(ev.data))
		return
	case !valid:
		if t.broken == "" {
			t.broken = fmt.Sprintf("event %d of the stream is no valid JSON", t.events)
		}
		return
	}
	t.usage(c)
	ended := t.r.FinishReason != ""
	if len(c.finish) > 0 && !ended {
		t.r.FinishReason = clean(unquote(c.finish))
	}
	visible := c.visible()
	// After the finish reason an empty choice is an echo of it, no token.
	token := c.token() && (visible || !ended)
	if token {
		t.token(stamp, read)
	}
	if token || len(c.finish) > 0 {
		t.r.LastTokenNS = stampAt(t.r.LastTokenNS, stamp)
	}
	if visible {
		t.visible(c, stamp)
	}
}

// visible notes what of an answer a user could see first.
func (t *tally) visible(c *chunk, stamp int64) {
	r := t.r
	r.ContentEvents++
	r.ToolCalls += c.callNames
	first := func(at **int64, came bool) {
		if came && *at == nil {
			*at = new(stamp)
		}
	}
	first(&r.FirstTextNS, true)
	first(&r.FirstReasoningNS, len(c.reasoning) > 0)
	first(&r.FirstToolCallNS, c.toolCalls > 0)
	first(&r.FirstAnswerNS, len(c.content) > 0)
	if t.content != nil {
		t.content.WriteString(unquote(c.content))
	}
}

func (t *tally) fail(text string) {
	if !t.failed {
		t.failed, t.inBand = true, text
	}
}

func (t *tally) token(stamp int64, read int) {
	r := t.r
	r.CountedTokens++
	if r.FirstTokenNS == nil {
		r.FirstTokenNS = new(stamp)
	}
	if read != t.lastRead {
		t.lastRead = read
		r.TokenNS = append(r.TokenNS, stamp)
		if r.TokensPerRead != nil {
			r.TokensPerRead = append(r.TokensPerRead, 1)
		}
		return
	}
	r.Coalesced++
	if r.TokensPerRead == nil { // every read before this one brought one
		r.TokensPerRead = make([]int, len(r.TokenNS), cap(r.TokenNS))
		for i := range r.TokensPerRead {
			r.TokensPerRead[i] = 1
		}
	}
	r.TokensPerRead[len(r.TokensPerRead)-1]++
}

// usage takes running counts over: each replaces the one before it.
func (t *tally) usage(c *chunk) {
	if c.hasPrompt {
		t.r.PromptTokens = countAt(t.r.PromptTokens, c.prompt)
	}
	if c.hasCompletion {
		t.r.CompletionTokens = countAt(t.r.CompletionTokens, c.completion)
	}
	if c.hasCached {
		t.r.CachedTokens = countAt(t.r.CachedTokens, c.cached)
	}
	if c.hasThought {
		t.r.ReasoningTokens = countAt(t.r.ReasoningTokens, c.thought)
	}
}

// stampAt and countAt store a value where one was, so that a stream costs one allocation a field.
func stampAt(p *int64, v int64) *int64 {
	if p == nil {
		return new(v)
	}
	*p = v
	return p
}

func countAt(p *int, v int) *int {
	if p == nil {
		return new(v)
	}
	*p = v
	return p
}

// judge decides whether the request succeeded and, if not, in which way it failed.
func (c *Client) judge(ctx context.Context, t *tally, err error) {
	r, g := t.r, t.gen
	if len(r.TokenNS) == 0 {
		r.TokenNS = nil
	}
	if r.FirstReasoningNS == nil && r.FirstToolCallNS == nil {
		r.FirstAnswerNS = nil // the first text is the answer's, and said already
	}
	class, message := t.verdict()
	if err != nil && !t.failed {
		f := c.failure(ctx, err, c.timeout)
		class, message = f.Class, f.Message
	}
	r.Success = class == ""
	r.Error = class
	r.Message = withoutSecrets(message, c.key, g.Prompt)
}

// verdict applies the rules of success to a stream that was read to its end.
func (t *tally) verdict() (record.ErrorClass, string) {
	r, g := t.r, t.gen
	tokens := r.OutputTokens()
	enforced := g.IgnoreEOS && !g.AnyLength
	switch {
	case t.failed:
		return causeOf(t.inBand, record.ErrInBand), join("the server reported an error within the stream", t.inBand)
	case r.FinishReason == "abort" || r.FinishReason == "error":
		return record.ErrInBand, fmt.Sprintf("the server ended the request with finish reason %q after %d tokens", r.FinishReason, tokens)
	case t.broken != "":
		return record.ErrBadPayload, t.broken
	case t.events == 0:
		return t.noStream()
	case r.CountedTokens == 0:
		return record.ErrShortOutput, "the stream ended without a token"
	case r.FinishReason == "":
		return record.ErrTruncated, "the stream ended without a finish reason"
	case r.CompletionTokens != nil && tokens > g.MaxTokens:
		return record.ErrBadPayload, fmt.Sprintf("usage says %d completion tokens where at most %d were asked for", tokens, g.MaxTokens)
	case enforced && tokens < g.MaxTokens && (r.CompletionTokens != nil || r.FinishReason != "length"):
		return record.ErrShortOutput, fmt.Sprintf("%d of %d tokens came (finish reason %q)", tokens, g.MaxTokens, r.FinishReason)
	}
	return "", ""
}

// noStream is the verdict on a 200 whose body held no event.
func (t *tally) noStream() (record.ErrorClass, string) {
	text := strings.TrimSpace(strings.TrimPrefix(string(t.head), "\ufeff"))
	var c chunk
	switch {
	case text == "":
		return record.ErrTruncated, "the answer is empty"
	case isHTML([]byte(text)):
		return record.ErrBadPayload, join("in place of a stream came", errorText([]byte(text)))
	case c.parse([]byte(text)) && c.failure != nil:
		msg := errorText([]byte(text))
		return causeOf(msg, record.ErrInBand), join("the server reported an error under HTTP 200", msg)
	case text[0] == '{':
		return record.ErrBadPayload, "in place of a stream came one JSON document: no first token can be timed"
	}
	return record.ErrBadPayload, "the answer is no event stream"
}
