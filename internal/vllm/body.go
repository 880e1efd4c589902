package vllm

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

var errBadFraming = errors.New("the chunked framing of the answer is broken")

// body reads the payload of one answer. Unlike net/http's it never waits for more while it has
// bytes to give: a Read gives bytes of one chunk, and all of them arrived with the connection's
// last read or before it. Hence the stamp of that read is the arrival of the last byte given.
type body struct {
	ex      *exchange
	chunked bool
	began   bool  // a chunk has been opened, so its line end has to be passed
	left    int64 // bytes left of the chunk or of the answer; -1: until the connection closes
	err     error // sticky; io.EOF is the clean end
	reuse   bool  // the connection stands at the start of a next answer
}

func newBody(ex *exchange, resp *http.Response) *body {
	b := &body{ex: ex, left: resp.ContentLength}
	keep := resp.ProtoAtLeast(1, 1) && !resp.Close
	switch {
	case len(resp.TransferEncoding) > 0 && resp.TransferEncoding[0] == "chunked":
		b.chunked, b.left, b.reuse = true, 0, keep
	case resp.ContentLength >= 0:
		b.reuse = keep
		if resp.ContentLength == 0 {
			b.err = io.EOF
		}
	}
	return b
}

// Read gives payload; its error is io.EOF only at the end that the answer's own head announced.
func (b *body) Read(p []byte) (int, error) {
	data, err := b.next(len(p))
	return copy(p, data), err
}

// payload is what has arrived and was not yet taken of the current chunk, where it lies: valid until
// the connection is read again. Errors are those of Read.
func (b *body) payload() ([]byte, error) { return b.next(readBuffer) }

// next is payload of at most so many bytes.
func (b *body) next(most int) ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	if b.chunked && b.left == 0 {
		if b.err = b.nextChunk(); b.err != nil {
			return nil, b.err
		}
	}
	br := b.ex.conn.br
	_, err := br.Peek(1) // waits where nothing is there
	n := min(br.Buffered(), most)
	if b.left >= 0 {
		n = int(min(int64(n), b.left))
	}
	if b.left > 0 {
		b.left -= int64(n)
	}
	switch {
	case err == io.EOF && b.left != -1:
		b.err = io.ErrUnexpectedEOF
	case err != nil:
		b.err = err
	case b.left == 0 && !b.chunked:
		b.err = io.EOF
	}
	if n == 0 {
		return nil, b.err
	}
	data, _ := br.Peek(n)
	_, _ = br.Discard(n) // neither fails: so many are buffered
	return data, nil
}

// nextChunk reads up to the first byte of the next chunk; io.EOF after the closing zero chunk.
func (b *body) nextChunk() error {
	if b.began {
		end, err := b.line()
		if err != nil {
			return err
		}
		if len(end) != 0 {
			return errBadFraming
		}
	}
	b.began = true
	head, err := b.line()
	if err != nil {
		return err
	}
	head, _, _ = bytes.Cut(head, []byte{';'})
	size, err := parseHex(bytes.TrimSpace(head))
	if err != nil {
		return err
	}
	if b.left = size; size > 0 {
		return nil
	}
	for { // trailer
		line, err := b.line()
		if err != nil {
			b.reuse = false // the zero chunk came: complete, but the connection is spent
			return io.EOF
		}
		if len(line) == 0 {
			return io.EOF
		}
	}
}

// line reads one line of framing without its end.
func (b *body) line() ([]byte, error) {
	line, err := b.ex.conn.br.ReadSlice('\n')
	if err != nil {
		switch {
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		case len(line) == b.ex.conn.br.Size():
			return nil, errBadFraming
		}
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
}

func parseHex(s []byte) (int64, error) {
	if len(s) == 0 || len(s) > 15 {
		return 0, errBadFraming
	}
	var n int64
	for _, c := range s {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | int64(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			n = n<<4 | int64(c|0x20-'a'+10)
		default:
			return 0, errBadFraming
		}
	}
	return n, nil
}

// Close ends the exchange; the connection is kept where it can be.
func (b *body) Close() error {
	b.ex.release()
	return nil
}

// content is an answer's payload without its content encoding.
type content interface {
	io.ReadCloser
	payload() ([]byte, error)
}

// decoded undoes the content encoding. None is ever asked for, but some gateways compress anyway.
func decoded(b *body, encoding string) (content, error) {
	switch encoding {
	case "", "identity":
		return b, nil
	case "gzip", "x-gzip":
		return &gzipBody{body: b}, nil
	}
	return nil, &Error{Class: errBadPayload, Message: fmt.Sprintf("the answer has Content-Encoding %s, which was not asked for", strconv.Quote(encoding))}
}

// gzipBody begins to decompress at its first Read: the gzip head may come long after HTTP's.
type gzipBody struct {
	*body
	zr       *gzip.Reader
	inflated []byte
}

func (g *gzipBody) payload() ([]byte, error) {
	if g.inflated == nil {
		g.inflated = make([]byte, readBuffer)
	}
	n, err := g.Read(g.inflated)
	return g.inflated[:n], err
}

func (g *gzipBody) Read(p []byte) (int, error) {
	if g.zr == nil {
		zr, err := gzip.NewReader(g.body)
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		g.zr = zr
	}
	n, err := g.zr.Read(p)
	if err == io.EOF {
		// Pass the framing's end too, or the connection could not be kept.
		if _, more := io.Copy(io.Discard, g.body); more != nil {
			err = more
		}
	}
	return n, err
}
