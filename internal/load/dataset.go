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
	"unicode/utf8"
)

// Formats of a dataset, by vLLM's names.
const (
	ShareGPT = "sharegpt" // a JSON array of conversations: {"conversations": [{"from": "human", "value": …}, {"from": "gpt", …}]}
	Custom   = "custom"   // a JSON object a line: {"prompt": …}, or a chat request as OpenAI's API and its batches have it
)

// Message is one turn of what is sent.
type Message struct {
	Role    string
	Content string
}

// Sample is one request of a dataset.
type Sample struct {
	Line         int // of the file, from 1; of a trace it tells times and lengths, and no text
	Messages     []Message
	Reply        string // the answer that the dataset holds; "" where it holds none
	OutputTokens int    // that the dataset asks for; 0 where it does not say

	// Of a trace: when it was sent there, in the trace's own unit; how long its prompt is; and which blocks that begins with.
	// A block has the same name in two requests if both and all that stands before them are the same.
	At           float64
	PromptTokens int
	Blocks       []string
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
}

// Bounds of a dataset: more is likelier a mistake than a wish.
const (
	maxSampleBytes = 1 << 20
	maxSamples     = 2_000_000
	maxBadLines    = 1000 // after so many the file is of another format
)

// ReadDataset reads a dataset. What is wrong with single lines is in Bad; an error is about the whole file.
func ReadDataset(format string, in io.Reader) (*Dataset, error) {
	sum := sha256.New()
	in = io.TeeReader(in, sum)
	d := &Dataset{}
	var err error
	switch format {
	case Custom:
		err = d.readLines(in, parseCustom)
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

// request is a line of a custom dataset: vLLM's own form, OpenAI's chat request, or one of its batch files with that as body.
type request struct {
	Prompt              *string  `json:"prompt"`
	OutputTokens        *int     `json:"output_tokens"`
	Messages            []turn   `json:"messages"`
	MaxTokens           *int     `json:"max_tokens"`
	MaxCompletionTokens *int     `json:"max_completion_tokens"`
	Body                *request `json:"body"`
}

type turn struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

func parseCustom(line []byte) (Sample, error) {
	var s Sample
	if !utf8.Valid(line) {
		return s, errors.New("not UTF-8")
	}
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return s, fmt.Errorf("no JSON object of a request: %w", err)
	}
	if r.Body != nil {
		r = *r.Body
	}
	for _, n := range []*int{r.OutputTokens, r.MaxTokens, r.MaxCompletionTokens} {
		if n == nil {
			continue
		}
		if *n < 1 {
			return s, fmt.Errorf("asks for %d output tokens", *n)
		}
		s.OutputTokens = *n
	}
	switch {
	case r.Prompt != nil && r.Messages != nil:
		return s, errors.New("has a prompt and messages")
	case r.Prompt != nil:
		s.Messages = []Message{{"user", *r.Prompt}}
	case len(r.Messages) > 0:
		for _, t := range r.Messages {
			var text string
			if json.Unmarshal(t.Content, &text) != nil {
				return s, fmt.Errorf("the content of a message of %q is no text", t.Role)
			}
			s.Messages = append(s.Messages, Message{t.Role, text})
		}
	default:
		return s, errors.New("has neither prompt nor messages")
	}
	return s, s.check()
}

// check refuses what no server would answer.
func (s Sample) check() error {
	for _, m := range s.Messages {
		if m.Role != "system" && m.Role != "user" && m.Role != "assistant" {
			return fmt.Errorf("a message has the role %q: want system, user or assistant", m.Role)
		}
	}
	last := s.Messages[len(s.Messages)-1]
	if last.Role != "user" {
		return fmt.Errorf("the last message is of %q, not of the user", last.Role)
	}
	if len(bytes.TrimSpace([]byte(last.Content))) == 0 {
		return errors.New("the prompt is empty")
	}
	return nil
}

// conversation is an entry of a ShareGPT file.
type conversation struct {
	Conversations []struct {
		From  string `json:"from"`
		Value string `json:"value"`
	} `json:"conversations"`
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
		s, err := parseConversation(raw)
		if err := d.add(line, s, err); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("line %d: the array does not end: the file is torn", lines.at(dec.InputOffset()))
	}
	return nil
}

// parseConversation takes the first question of a conversation, and its answer for the length.
func parseConversation(raw []byte) (Sample, error) {
	var s Sample
	if len(raw) > maxSampleBytes {
		return s, fmt.Errorf("longer than %d bytes", maxSampleBytes)
	}
	if !utf8.Valid(raw) {
		return s, errors.New("not UTF-8")
	}
	var c conversation
	if err := json.Unmarshal(raw, &c); err != nil {
		return s, fmt.Errorf("no conversation: %w", err)
	}
	turns := c.Conversations
	if len(turns) < 2 || turns[0].From != "human" && turns[0].From != "user" || turns[1].From != "gpt" && turns[1].From != "assistant" && turns[1].From != "chatgpt" {
		return s, errors.New("does not begin with a question and its answer")
	}
	if turns[1].Value == "" {
		return s, errors.New("the answer is empty")
	}
	s.Messages, s.Reply = []Message{{"user", turns[0].Value}}, turns[1].Value
	return s, s.check()
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
