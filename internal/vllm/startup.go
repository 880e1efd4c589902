package vllm

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"bench/internal/record"
)

// Bounds on what a log may make the reader hold.
const (
	maxLogLine   = 1 << 20 // bytes; the rest of a longer line is skipped
	maxUnread    = 20      // lines reported as no longer readable
	maxLogText   = 200     // bytes of a line that is quoted
	maxProcesses = 1024    // of one start-up
)

// ReadStartupLog reads what vLLM 0.6 to 0.32 prints while it starts: settings, chosen kernels and
// where the memory of each GPU goes. It finds the lines whatever stands before them (time stamps,
// compose and journal prefixes, colours), passes over lines it does not know, and takes the last
// start-up of the log that came up, else the last one. A last line without its end is not used: a
// number may have been cut in it. It fails only where r does, or where no line of the log is vLLM's.
func ReadStartupLog(r io.Reader) (record.Startup, error) {
	var log startupLog
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, whole, err := readLogLine(in)
		if line != "" || whole {
			log.lines++
		}
		switch {
		case whole:
			log.read(line)
		case knownStartupLine(line):
			log.current().unread(log.lines, "cut off", line)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return record.Startup{}, fmt.Errorf("reading the start-up log after line %d: %w", log.lines, err)
		}
	}
	log.close()
	if log.taken == nil {
		return record.Startup{}, fmt.Errorf("%d lines hold no start-up of vLLM: give the log from its first line on (`docker logs`, `journalctl -u`)", log.lines)
	}
	out := log.taken.result()
	out.Lines, out.Starts = log.lines, log.starts
	return out, nil
}

// readLogLine returns the next line without its end and without colours, at most maxLogLine bytes
// of it; whole is false for a last line that has no end.
func readLogLine(in *bufio.Reader) (line string, whole bool, err error) {
	var kept []byte
	for {
		part, err := in.ReadSlice('\n')
		if room := maxLogLine - len(kept); len(part) > 0 && room > 0 {
			kept = append(kept, part[:min(len(part), room)]...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		text := strings.TrimRight(string(kept), "\r\n")
		if strings.HasPrefix(text, `{"log":`) { // docker's own file
			var entry struct{ Log string }
			if json.Unmarshal([]byte(text), &entry) == nil {
				text = strings.TrimRight(entry.Log, "\r\n")
			}
		}
		text = stripColours(text)
		return text, err == nil, err
	}
}

// stripColours takes out the sequences that colour a terminal, ESC [ 1;36 m, also as log shippers
// spell the escape character, and as a paste leaves them behind when it loses that character.
func stripColours(text string) string {
	var out strings.Builder
	kept := 0 // text before it is in out, or was taken out
	for at := 0; ; {
		open := strings.IndexByte(text[at:], '[')
		if open < 0 {
			break
		}
		open += at
		at = open + 1
		end := at
		for end < len(text) && (text[end] == ';' || '0' <= text[end] && text[end] <= '9') {
			end++
		}
		if end == len(text) || text[end] != 'm' {
			continue
		}
		before := text[kept:open]
		for _, escape := range []string{"\x1b", "#033", "^["} {
			before = strings.TrimSuffix(before, escape)
		}
		out.WriteString(before)
		at, kept = end+1, end+1
	}
	if kept == 0 {
		return text
	}
	return out.String() + text[kept:]
}

// startupLog divides a log into start-ups.
type startupLog struct {
	lines, starts int
	now           *startup // the one being read; nil before the first
	taken         *startup // the last complete one so far, else the last
}

func (l *startupLog) current() *startup {
	if l.now == nil {
		l.starts++
		l.now = &startup{number: l.starts, firstLine: l.lines}
	}
	return l.now
}

// close ends the start-up being read and keeps it if it is worth more than the one before.
func (l *startupLog) close() {
	if l.now != nil && (l.taken == nil || l.now.complete() || !l.taken.complete()) {
		l.taken = l.now
	}
	l.now = nil
}

func (l *startupLog) read(line string) {
	if strings.Contains(line, "Received request") {
		return // a prompt may say anything
	}
	from := processOf(line)
	if l.now != nil && l.now.endedBy(line, from) {
		l.close()
	}
	if l.now != nil && l.now.serving {
		return
	}
	for _, rule := range startupRules {
		if !strings.Contains(line, rule.phrase) {
			continue
		}
		s := l.current()
		if m := rule.pattern.FindStringSubmatch(line); m != nil {
			rule.take(s, from, m)
		} else {
			s.unread(l.lines, "no longer readable", line)
		}
	}
	if l.now != nil {
		l.now.notice(line)
	}
}

func knownStartupLine(line string) bool {
	return slices.ContainsFunc(startupRules, func(r startupRule) bool { return strings.Contains(line, r.phrase) })
}

// process is who wrote a line: (Worker_TP1 pid=612), (VllmWorker rank=1 pid=77), (VllmWorker TP0
// pid=7), (EngineCore_DP0 pid=9), (RayWorkerWrapper pid=5, ip=…). Versions before 0.10 leave the engine's own process
// unnamed.
type process struct{ name, pid string }

var processPattern = regexp.MustCompile(`\(([A-Za-z_]\w*(?: \w+(?:=\w+)?)*) pid=(\d+)(?:, ip=[\w.:]+)?\)`)

func processOf(line string) process {
	if !strings.Contains(line, " pid=") {
		return process{}
	}
	if m := processPattern.FindStringSubmatch(line); m != nil {
		return process{m[1], m[2]}
	}
	return process{}
}

func (p process) String() string {
	if p.pid == "" {
		return ""
	}
	return p.name + " pid=" + p.pid
}

var (
	serverBegins = regexp.MustCompile(`vLLM API server version |[█▀▄]\s+version \d|non-default args: `)
	engineBegins = regexp.MustCompile(`Initializing an? (?:V\d )?LLM engine `)
)

// endedBy says whether line begins another start-up. A server begins once; engines of a
// data-parallel server begin side by side and are told apart by name.
func (s *startup) endedBy(line string, from process) bool {
	switch {
	case strings.Contains(line, "version ") || strings.Contains(line, "non-default args: "):
		return len(s.engines) > 0 && serverBegins.MatchString(line)
	case !strings.Contains(line, "Initializing a"):
		return false
	case !engineBegins.MatchString(line):
		return false
	case from.pid == "":
		return len(s.engines) > 0 && (s.sized() || s.failure != "")
	}
	other, again := s.engines[from.name]
	return again && other != from.pid
}

// notice takes the lines that carry no number: the end of the start-up, and why it failed.
func (s *startup) notice(line string) {
	switch {
	case strings.Contains(line, "Application startup complete"):
		s.ready, s.serving, s.failure = true, true, ""
	case strings.Contains(line, "init engine (profile"):
		s.ready, s.failure = true, "" // what was raised before was got over
	case s.failure == "" && !s.ready && strings.Contains(line, "Error: "):
		if m := raised.FindStringSubmatch(line); m != nil {
			s.failure = quoteLog(m[1])
		}
	}
}

// raised is an exception as Python prints it at the end of a traceback: at the start of the line
// or behind a log prefix, never inside a sentence.
var raised = regexp.MustCompile(`(?:^|\] |\) |\| )((?:[A-Za-z_]\w*\.)*[A-Z]\w*Error: .+)$`)

// quoteLog is a line fit to be shown: one line, bounded, no control characters.
func quoteLog(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	text = strings.TrimSpace(text)
	if len(text) > maxLogText {
		text = strings.ToValidUTF8(text[:maxLogText], "") + "…"
	}
	return text
}

// unread keeps a line that was known once.
func (s *startup) unread(number int, why, line string) {
	if len(s.doc.Unread) < maxUnread {
		s.doc.Unread = append(s.doc.Unread, "line "+strconv.Itoa(number)+", "+why+": "+quoteLog(line))
	}
}
