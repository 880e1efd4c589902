package load

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Formats of a dataset, by vLLM's names.
const (
	ShareGPT = "sharegpt" // a JSON array of conversations: {"conversations": [{"from": "human", "value": …}, {"from": "gpt", …}]}
	Custom   = "custom"   // a JSON object a line: {"prompt": …}, or a chat request as OpenAI's API and its batches have it
)

// Message is one message of what is sent.
type Message struct {
	Role    string
	Content string
	Images  []string        // data URIs, after the text
	Raw     json.RawMessage // the whole message as a dataset has it, in place of the rest; nil where that says all
}

// Sample is one request of a dataset, or one conversation.
type Sample struct {
	Line int // of the file, from 1
	Turn
	More       []Turn          // of a conversation, after the first
	Tools      json.RawMessage // offered to the model; nil for none
	ToolChoice json.RawMessage

	// Of a trace, which tells times and lengths and no text: when it was sent there, in the trace's own unit; how long its prompt
	// is; and which blocks that begins with. A block has the same name in two requests if both and all that stands before them
	// are the same.
	At           float64
	PromptTokens int
	Blocks       []string
}

// Turn is what a user says and what the dataset knows of the answer.
type Turn struct {
	Messages     []Message // new ones
	Reply        string    // the answer that the dataset holds; "" where it holds none
	OutputTokens int       // that the dataset asks for; 0 where it does not say
}

// BadLine is a line, or an entry that begins there, that is no request.
type BadLine struct {
	Line int
	Why  string
}

// Dataset is what a file holds.
type Dataset struct {
	SHA256  string // of the file
	Samples []Sample
	Bad     []BadLine

	conversations bool // samples are whole ones
}

// Bounds of a dataset: more is likelier a mistake than a wish.
const (
	maxSampleBytes = 1 << 20
	maxSamples     = 2_000_000
	maxBadLines    = 1000 // after so many the file is of another format
)

// ReadDataset reads a dataset: single requests, or whole conversations. What is wrong with single lines is in Bad; an error
// is about the whole file.
func ReadDataset(format string, conversations bool, in io.Reader) (*Dataset, error) {
	sum := sha256.New()
	in = io.TeeReader(in, sum)
	d := &Dataset{conversations: conversations}
	var err error
	switch format {
	case Custom:
		err = d.readLines(in, func(line []byte) (Sample, error) { return parseCustom(line, conversations) })
	case Mooncake:
		err = d.readLines(in, parseMooncake)
	case Azure:
		err = d.readLines(in, new(azure).parse)
	case ShareGPT:
		err = d.readArray(in)
	default:
		return nil, fmt.Errorf("the dataset format %q is not known: want %s, %s, %s or %s", format, ShareGPT, Custom, Mooncake, Azure)
	}
	if err != nil {
		return nil, err
	}
	if len(d.Samples)+len(d.Bad) == 0 {
		return nil, errors.New("the file holds no request")
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return nil, err
	}
	d.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return d, nil
}

// add takes a request or what is wrong with it.
func (d *Dataset) add(line int, s Sample, err error) error {
	if err != nil {
		if d.Bad = append(d.Bad, BadLine{line, err.Error()}); len(d.Bad) > maxBadLines {
			return fmt.Errorf("more than %d lines are no request, the first is line %d: %s", maxBadLines, d.Bad[0].Line, d.Bad[0].Why)
		}
		return nil
	}
	s.Line = line
	if d.Samples = append(d.Samples, s); len(d.Samples) > maxSamples {
		return fmt.Errorf("the file holds more than %d requests", maxSamples)
	}
	return nil
}

// readLines reads a request a line; parse says [errNoRequest] of one that is meant to be none.
func (d *Dataset) readLines(in io.Reader, parse func(line []byte) (Sample, error)) error {
	r := bufio.NewReaderSize(in, 1<<16)
	for n := 1; ; n++ {
		line, tooLong, err := readBounded(r)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		ended := err != nil
		if ended && len(line) == 0 && !tooLong {
			return nil
		}
		var s Sample
		switch {
		case tooLong:
			err = fmt.Errorf("longer than %d bytes", maxSampleBytes)
		case len(bytes.TrimSpace(line)) == 0:
			err = errors.New("empty")
		default:
			s, err = parse(line)
		}
		if errors.Is(err, errNoRequest) {
			continue
		}
		if err := d.add(n, s, err); err != nil || ended {
			return err
		}
	}
}

// readBounded reads a line without keeping more of it than a sample may have.
func readBounded(r *bufio.Reader) (line []byte, tooLong bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxSampleBytes {
			line, tooLong = nil, true
		}
		if !tooLong {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(line, "\r\n"), tooLong, err
		}
	}
}

// readArray reads a JSON array one entry at a time.
func (d *Dataset) readArray(in io.Reader) error {
	lines := &lineCounter{in: in}
	dec := json.NewDecoder(lines)
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return errors.New("it does not begin with a JSON array")
	}
	for dec.More() {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return fmt.Errorf("line %d: %w", lines.at(dec.InputOffset()), err)
		}
		line := lines.at(dec.InputOffset() - int64(len(raw)))
		s, err := parseConversation(raw, d.conversations)
		if err := d.add(line, s, err); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("line %d: the array does not end: the file is torn", lines.at(dec.InputOffset()))
	}
	return nil
}

// lineCounter tells the line of an offset of what was read; offsets must ascend.
type lineCounter struct {
	in     io.Reader
	read   int64
	breaks []int64 // offsets of line ends that no offset has passed yet
	passed int
}

func (l *lineCounter) Read(p []byte) (int, error) {
	n, err := l.in.Read(p)
	for i, b := range p[:n] {
		if b == '\n' {
			l.breaks = append(l.breaks, l.read+int64(i))
		}
	}
	l.read += int64(n)
	return n, err
}

func (l *lineCounter) at(offset int64) int {
	for len(l.breaks) > 0 && l.breaks[0] < offset {
		l.breaks = l.breaks[1:]
		l.passed++
	}
	return 1 + l.passed
}
