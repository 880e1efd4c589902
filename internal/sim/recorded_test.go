package sim

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Every recorded reply of the client's wire cases comes as it is in its file, at every other path the server is whole.
func TestRecordedReplies(t *testing.T) {
	files, err := filepath.Glob("../vllm/testdata/wire/*.http")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d replies, %v", len(files), err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".2.http") {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			recorded, err := ReadRecorded(file)
			if err != nil {
				t.Fatal(err)
			}
			for i := range recorded.script { // the order counts here, not the time
				recorded.script[i].wait = min(recorded.script[i].wait, time.Millisecond)
			}
			c := parse(t, "sim:")
			c.Faults.Reply = recorded
			s, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s.Start()
			served := make(chan struct{})
			go func() { defer close(served); _ = s.Serve(l) }()
			defer func() { _ = s.Close(); <-served }()
			ask := func(head string) []byte {
				conn, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				if _, err := io.WriteString(conn, head); err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(head, "POST") && keepsAlive(recorded.data) {
					got := make([]byte, len(recorded.data))
					n, _ := io.ReadFull(conn, got) // a reply may break off before its own end
					return got[:n]
				}
				got, _ := io.ReadAll(conn) // a reset is an error here
				return got
			}
			got := ask("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
			want := recorded.data
			broken := false
			for _, d := range recorded.script {
				broken = broken || d.verb == "close" || d.verb == "reset" || d.verb == "stall"
			}
			if broken {
				want = want[:min(len(want), len(got))]
			}
			if !bytes.Equal(got, want) || len(got) == 0 && !broken {
				t.Errorf("%d bytes came, %d were recorded", len(got), len(recorded.data))
			}
			if head := string(ask("GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")); !strings.HasPrefix(head, "HTTP/1.1 200 OK") {
				t.Errorf("/health: %.60q", head)
			}
		})
	}
}

func TestReadRecordedRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("verb.ctl", "rest\nsing 3\n")
	write("number.ctl", "# how\n\nsend many\n")
	write("never.ctl", "pause 1e99\n")
	for path, want := range map[string]string{
		filepath.Join(dir, "none.http"):                 "no such file",
		write("text.http", "hello"):                     "does not begin with HTTP/",
		write("verb.http", "HTTP/1.1 200 OK\r\n\r\n"):   "verb.ctl:2: no direction is called \"sing\"",
		write("number.http", "HTTP/1.1 200 OK\r\n\r\n"): "number.ctl:3",
		write("never.http", "HTTP/1.1 200 OK\r\n\r\n"):  "never.ctl:1: pause 1e99: want 0 to 3600000",
	} {
		if _, err := ReadRecorded(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", filepath.Base(path), err, want)
		}
		if _, err := ParseTarget("sim:reply=" + path); err == nil {
			t.Errorf("sim:reply=%s: want an error", filepath.Base(path))
		}
	}
}

func FuzzParseDirection(f *testing.F) {
	for _, line := range []string{"send 12", `send-to "\n\n"`, "each 1 0.5", "chunks 3", "pause 20", "reset", "rest"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		d, err := parseDirection(line)
		if err == nil && (d.wait < 0 || d.bytes < 0 || d.verb == "send" && d.bytes == 0) {
			t.Errorf("%q became %+v", line, d)
		}
	})
}
