package vllm

import (
	"bytes"
	"errors"
)

// maxEvent bounds one line and one event of a stream. Answers batched into one event of more
// than 1 MiB exist.
const maxEvent = 16 << 20

var errEventTooLarge = errors.New("an event of the stream is larger than 16 MiB")

// event is one event of a stream; data is valid until the parser's next call, as long as the bytes given to it are.
type event struct {
	data []byte
	// failed: its type is error, or it came as a line of the field "error", which some servers
	// send in place of data.
	failed bool
}

// eventParser splits an event stream (text/event-stream) into events: lines end in LF, CR LF or
// CR and nothing else, one leading byte order mark and one blank after the colon are dropped,
// data lines of an event are joined by LF, comments and events without data are none. It keeps
// what is incomplete between calls and allocates only while its buffers grow.
type eventParser struct {
	line    []byte // start of a line whose end has not come
	data    []byte
	failed  bool
	began   bool // a line has been seen
	joined  bool // the event has a data line
	skipLF  bool // the last line ended in CR: a LF right after it belongs to that end
	emitted bool // data has been handed out and is to be cleared
}

// next takes bytes from b up to the end of an event, or all of b. It returns the event, if one is
// complete, and how many bytes it took.
func (p *eventParser) next(b []byte) (ev event, n int, ok bool, err error) {
	if p.emitted {
		p.clear()
	}
	if data, n := p.whole(b); n > 0 {
		return event{data: data}, n, true, nil
	}
	for n < len(b) {
		if p.skipLF {
			p.skipLF = false
			if b[n] == '\n' {
				n++
				continue
			}
		}
		rest := b[n:]
		end := lineEnd(rest)
		if end < 0 {
			if len(p.line)+len(rest) > maxEvent {
				return event{}, n, false, errEventTooLarge
			}
			p.line = append(p.line, rest...)
			return event{}, len(b), false, nil
		}
		line := rest[:end]
		n += end + 1
		p.skipLF = rest[end] == '\r'
		if len(p.line) > 0 {
			p.line = append(p.line, line...)
			line, p.line = p.line, p.line[:0]
		}
		if len(p.data)+len(line) > maxEvent {
			return event{}, n, false, errEventTooLarge
		}
		if p.take(line) {
			p.emitted = true
			return event{data: p.data, failed: p.failed}, n, true, nil
		}
	}
	return event{}, n, false, nil
}

// whole is the usual event: one data line and a blank line, with which b begins, and nothing left over from before.
// Its data stays where it is. n is 0 where b does not begin so.
func (p *eventParser) whole(b []byte) (data []byte, n int) {
	if !p.began || p.skipLF || p.joined || p.failed || len(p.line) > 0 || !bytes.HasPrefix(b, []byte("data: ")) {
		return nil, 0
	}
	end := bytes.IndexByte(b, '\n')
	if end < 0 || end+1 == len(b) || b[end+1] != '\n' {
		return nil, 0
	}
	data = b[len("data: "):end]
	if len(data) == 0 || bytes.IndexByte(data, '\r') >= 0 {
		return nil, 0
	}
	return data, end + 2
}

// take reads one line and says whether it completed an event.
func (p *eventParser) take(line []byte) bool {
	if !p.began {
		p.began = true
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	if len(line) == 0 {
		if len(p.data) > 0 || p.failed {
			return true
		}
		p.clear()
		return false
	}
	name, value, _ := bytes.Cut(line, []byte{':'})
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	switch string(name) {
	case "data":
		if p.joined {
			p.data = append(p.data, '\n')
		}
		p.joined = true
		p.data = append(p.data, value...)
	case "event":
		p.failed = string(value) == "error"
	case "error":
		p.failed = true
		p.data = append(p.data, value...)
	}
	return false
}

func (p *eventParser) clear() {
	p.data, p.failed, p.joined, p.emitted = p.data[:0], false, false, false
}

// lineEnd is the index of the first CR or LF, or -1.
func lineEnd(b []byte) int {
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return lf
}
