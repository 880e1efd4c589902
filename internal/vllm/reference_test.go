package vllm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

// The reference server runs in a process of its own (this test binary, started again), so that its
// record is not disturbed by the client's scheduler. It answers like an engine: all requests of a
// burst get a token in every step.
const (
	referenceEnv     = "BENCH_REFERENCE_SERVER"
	referencePrefill = 40 * time.Millisecond // last arrival → first token
	referenceStep    = 8 * time.Millisecond
	referenceTokens  = 40
)

func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv(referenceEnv)); err == nil {
		serveReference(n)
		return
	}
	os.Exit(m.Run())
}

// served is the server's own record of one request, in nanoseconds of its clock. arrived is taken
// after the read that brought the request's end, the others before the write of the token.
type served struct {
	ID      string `json:"id"`
	Arrived int64  `json:"arrived"`
	First   int64  `json:"first"`
	Last    int64  `json:"last"`
	conn    net.Conn
}

// serveReference prints its port, then one JSON line for every burst of n requests it has served.
// It ends with its standard input.
func serveReference(n int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	start := time.Now()
	arrivals := make(chan *served, n)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go readRequests(c, start, arrivals)
		}
	}()
	out := json.NewEncoder(os.Stdout)
	for {
		burst := make([]*served, n)
		for i := range burst {
			burst[i] = <-arrivals
		}
		stepBurst(burst, start)
		out.Encode(burst)
	}
}

func readRequests(c net.Conn, start time.Time, arrivals chan<- *served) {
	defer c.Close()
	br := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		at := int64(time.Since(start))
		io.WriteString(c, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n")
		arrivals <- &served{ID: req.Header.Get("X-Request-Id"), Arrived: at, conn: c}
	}
}

func stepBurst(burst []*served, start time.Time) {
	chunk := func(data string) string {
		data = "data: " + data + "\n\n"
		return fmt.Sprintf("%x\r\n%s\r\n", len(data), data)
	}
	const head = `{"id":"chatcmpl-ref","object":"chat.completion.chunk","created":1795000164,"model":"reference","choices":[{"index":0,"delta":{`
	const tail = `},"logprobs":null,"finish_reason":null,"token_ids":null}]}`
	token := chunk(head + `"content":"tok"` + tail)
	first := chunk(head+`"role":"assistant","content":""`+tail) + token
	last := chunk(head+`"content":"tok"},"logprobs":null,"finish_reason":"length"}]}`) +
		chunk(fmt.Sprintf(`{"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":%d}}`, referenceTokens)) + chunk("[DONE]") + "0\r\n\r\n"
	next := time.Now().Add(referencePrefill)
	for i := range referenceTokens {
		time.Sleep(time.Until(next))
		next = next.Add(referenceStep)
		for _, s := range burst {
			text := token
			switch i {
			case 0:
				text, s.First = first, int64(time.Since(start))
			case referenceTokens - 1:
				text, s.Last = last, int64(time.Since(start))
			}
			io.WriteString(s.conn, text)
		}
	}
}

// reference is a running reference server.
type reference struct {
	port int
	out  *bufio.Scanner
}

// startReference starts one that serves bursts of n.
func startReference(t *testing.T, n int) *reference {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), referenceEnv+"="+strconv.Itoa(n), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	r := &reference{out: bufio.NewScanner(out)}
	r.out.Buffer(nil, 1<<20)
	if !r.out.Scan() {
		t.Fatal("the reference server did not start")
	}
	if r.port, err = strconv.Atoi(r.out.Text()); err != nil {
		t.Fatal(err)
	}
	return r
}

// record is what the server says about its latest burst, by request id.
func (r *reference) record(t *testing.T) map[string]served {
	t.Helper()
	if !r.out.Scan() {
		t.Fatal("the reference server ended")
	}
	var list []served
	if err := json.Unmarshal(r.out.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	byID := map[string]served{}
	for _, s := range list {
		byID[s.ID] = s
	}
	return byID
}

// rawBurst is the barest Go client: one goroutine a connection, a read loop and a byte search.
func rawBurst(t *testing.T, port, n int, id string) map[string]stamps {
	t.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
	}
	out := make([]stamps, n)
	start := time.Now()
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			<-begin
			out[i] = rawRequest(c, fmt.Sprintf("%s-%d", id, i), start)
		})
	}
	time.Sleep(50 * time.Millisecond)
	close(begin)
	wg.Wait()
	byID := map[string]stamps{}
	for i, s := range out {
		byID[fmt.Sprintf("%s-%d", id, i)] = s
	}
	return byID
}
