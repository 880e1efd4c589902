package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Recorded is an answer of another server, to the byte, that each request for text gets: what a client makes of it is
// then known before a real server sends it.
type Recorded struct {
	data   []byte
	script []direction
}

// direction is one line of how a recorded answer is written.
type direction struct {
	verb  string
	text  []byte
	bytes int
	wait  time.Duration
}

// repeatedWord stands for a word many times over: {{262144 brick}}.
var repeatedWord = regexp.MustCompile(`\{\{(\d{1,8}) (\w{1,32})\}\}`)

// ReadRecorded reads a reply from a file: status line, headers and body, chunk framing included. A file of the same
// name that ends in .ctl instead of .http says how it is written, a direction a line:
//
//	send N            the next N bytes in one write
//	send-to "TEXT"    up to and including TEXT (quoted as in Go)
//	rest              all that is left
//	each N MS         the rest in writes of N bytes, so many milliseconds apart
//	chunks MS         the rest in one write a chunk, so many milliseconds apart
//	pause MS          nothing for so long
//	stall MS          nothing more, and the connection stays open for so long
//	close, reset      the connection ends here, with or without a farewell
//	idle-close MS     the rest, and the connection is closed after so long
//
// What no direction sent is sent at once.
func ReadRecorded(path string) (*Recorded, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(data, []byte("HTTP/")) {
		return nil, fmt.Errorf("%s is no reply: it does not begin with HTTP/", path)
	}
	r := &Recorded{data: repeatedWord.ReplaceAllFunc(data, func(mark []byte) []byte {
		parts := repeatedWord.FindSubmatch(mark)
		n, _ := strconv.Atoi(string(parts[1])) // eight digits at most
		return bytes.Repeat(parts[2], n)
	})}
	script, err := os.ReadFile(strings.TrimSuffix(path, ".http") + ".ctl")
	if errors.Is(err, fs.ErrNotExist) || path == strings.TrimSuffix(path, ".http") {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	for i, line := range strings.Split(string(script), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		d, err := parseDirection(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", strings.TrimSuffix(path, ".http")+".ctl", i+1, err)
		}
		r.script = append(r.script, d)
	}
	return r, nil
}

func parseDirection(line string) (d direction, err error) {
	verb, rest, _ := strings.Cut(line, " ")
	d.verb = verb
	milliseconds := func(text string) {
		var ms float64
		ms, err = strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err == nil && !(ms >= 0 && ms <= 3600_000) {
			err = fmt.Errorf("%s: want 0 to 3600000 milliseconds", line)
		}
		d.wait = time.Duration(ms * float64(time.Millisecond))
	}
	count := func(text string) {
		if d.bytes, err = strconv.Atoi(text); err == nil && d.bytes < 1 {
			err = fmt.Errorf("%s: want 1 byte or more", line)
		}
	}
	switch verb {
	case "send":
		count(rest)
	case "send-to":
		var text string
		text, err = strconv.Unquote(rest)
		d.text = []byte(text)
	case "each":
		n, ms, _ := strings.Cut(rest, " ")
		if count(n); err == nil {
			milliseconds(ms)
		}
	case "chunks", "pause", "stall", "idle-close":
		milliseconds(rest)
	case "rest", "close", "reset":
	default:
		err = fmt.Errorf("no direction is called %q", verb)
	}
	return d, err
}

// send writes the answer; keep is false where the connection is to be closed.
func (r *Recorded) send(conn net.Conn, stopped <-chan struct{}) (keep bool) {
	data := r.data
	put := func(n int) (ok bool) {
		_, err := conn.Write(data[:n])
		data = data[n:]
		return err == nil
	}
	wait := func(d time.Duration) (ok bool) {
		if d <= 0 {
			return true
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return true
		case <-stopped:
			return false
		}
	}
	for _, d := range r.script {
		ok := true
		switch d.verb {
		case "send":
			ok = put(min(d.bytes, len(data)))
		case "send-to":
			if i := bytes.Index(data, d.text); i >= 0 {
				ok = put(i + len(d.text))
			}
		case "rest":
			ok = put(len(data))
		case "each":
			for ok && len(data) > 0 {
				ok = put(min(d.bytes, len(data))) && wait(d.wait)
			}
		case "chunks":
			for ok && len(data) > 0 {
				ok = put(chunkEnd(data)) && wait(d.wait)
			}
		case "pause":
			ok = wait(d.wait)
		case "stall":
			wait(d.wait)
			return false
		case "close":
			return false
		case "reset":
			if c, ok := conn.(interface{ SetLinger(sec int) error }); ok {
				_ = c.SetLinger(0) // the close that follows is then a reset
			}
			return false
		case "idle-close":
			put(len(data))
			wait(d.wait)
			return false
		}
		if !ok {
			return false
		}
	}
	return put(len(data)) && keepsAlive(r.data)
}

// chunkEnd is the length of the head, or of the first HTTP chunk, or of a rest that is none.
func chunkEnd(data []byte) int {
	if bytes.HasPrefix(data, []byte("HTTP/")) {
		if i := bytes.Index(data, []byte("\r\n\r\n")); i >= 0 {
			return i + 4
		}
		return len(data)
	}
	head, _, ok := bytes.Cut(data, []byte("\r\n"))
	size, err := strconv.ParseUint(string(head), 16, 31)
	if end := len(head) + 2 + int(size) + 2; ok && err == nil && end <= len(data) {
		return end
	}
	return len(data)
}

// keepsAlive says whether a reply ends before its connection does.
func keepsAlive(data []byte) bool {
	head, _, _ := bytes.Cut(bytes.ToLower(data), []byte("\r\n\r\n"))
	if bytes.Contains(head, []byte("\r\nconnection: close")) || bytes.HasPrefix(head, []byte("http/1.0")) {
		return false
	}
	return bytes.Contains(head, []byte("\r\ncontent-length:")) || bytes.Contains(head, []byte("\r\ntransfer-encoding:"))
}
