package vllm

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The reference server runs in a process of its own (this test binary, started again), so that neither
// its record nor its processor time mixes with the client's. It answers like an engine: all requests in
// flight get a token in every step, each with a write of its own.
const (
	referenceEnv     = "BENCH_REFERENCE_SERVER"
	discardEnv       = "BENCH_DISCARD_CLIENT"
	referencePrefill = 40 * time.Millisecond // last arrival of a burst → first token
	referenceStep    = 8 * time.Millisecond
	referenceTokens  = 40 // where the request names no number
)

func TestMain(m *testing.M) {
	if setting := os.Getenv(referenceEnv); setting != "" {
		serveReference(setting)
		return
	}
	if setting := os.Getenv(discardEnv); setting != "" {
		discardAll(setting)
		return
	}
	if os.Getenv(spinEnv) != "" {
		spin()
	}
	if setting := os.Getenv(slowDiskEnv); setting != "" {
		serveSlowDisk(setting)
		return
	}
	os.Exit(m.Run())
}

// served is the server's own record of one request, in nanoseconds of its clock. Arrived is taken
// after the read that brought the request's end, the others before the write of the token.
type served struct {
	ID      string `json:"id"`
	Arrived int64  `json:"arrived"`
	First   int64  `json:"first"`
	Last    int64  `json:"last"`
	Tokens  int    `json:"tokens"`
	prompt  int
	given   int
	conn    net.Conn
}

// burst are requests that begin together.
type burst struct {
	requests []*served
	due      time.Time // of the first token
}

// serveReference prints its port, then one JSON line for every burst of requests it has served. The
// setting is "SIZE STEP": requests that are waited for before they begin together, and the time
// between two tokens of each. It ends with its standard input.
func serveReference(setting string) {
	var size int
	var stepText string
	if _, err := fmt.Sscan(setting, &size, &stepText); err != nil {
		panic(err)
	}
	step, err := time.ParseDuration(stepText)
	if err != nil {
		panic(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	start := time.Now()
	arrivals := make(chan *served, 1<<14)
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
	stepAll(arrivals, size, step, start)
}

// readRequests answers at once what needs no engine, and hands the rest to it.
func readRequests(c net.Conn, start time.Time, arrivals chan<- *served) {
	defer c.Close()
	br := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		at := int64(time.Since(start))
		var asked struct {
			MaxTokens int    `json:"max_tokens"`
			Prompt    string `json:"prompt"`
			Messages  []struct{ Content string }
		}
		json.Unmarshal(body, &asked)
		for _, m := range asked.Messages {
			asked.Prompt += m.Content
		}
		words := len(strings.Fields(asked.Prompt))
		document := ""
		switch req.URL.Path {
		case "/v1/chat/completions":
			io.WriteString(c, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n")
			id := req.Header.Get("X-Request-Id")
			if id == "" { // as the program names prompts in its records
				sum := sha256.Sum256(fmt.Appendf(nil, "%d\x00%s", asked.MaxTokens, asked.Prompt))
				id = hex.EncodeToString(sum[:8])
			}
			arrivals <- &served{ID: id, Arrived: at, Tokens: cmp.Or(asked.MaxTokens, referenceTokens), prompt: words, conn: c}
			continue
		case "/v1/models":
			document = `{"object":"list","data":[{"id":"reference","max_model_len":1000000}]}`
		case "/version":
			document = `{"version":"0"}`
		case "/tokenize":
			document = fmt.Sprintf(`{"count":%d}`, words)
		case "/health":
		default:
			io.WriteString(c, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
			continue
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", len(document), document)
	}
}

// stepAll is the engine: at each step every request of a burst whose prefill is over gets a token.
// Without time between steps they follow as fast as the connections take them.
func stepAll(arrivals <-chan *served, size int, step time.Duration, start time.Time) {
	out := json.NewEncoder(os.Stdout)
	var waiting []*served
	var bursts []*burst
	next := time.Now()
	for {
		select {
		case s := <-arrivals:
			waiting = append(waiting, s)
		default:
			if len(bursts) == 0 {
				waiting = append(waiting, <-arrivals)
			}
		}
		if len(waiting) == size {
			if len(bursts) == 0 {
				next = time.Now().Add(referencePrefill)
			}
			bursts = append(bursts, &burst{waiting, time.Now().Add(referencePrefill)})
			waiting = nil
		}
		if len(bursts) == 0 || len(arrivals) > 0 {
			continue
		}
		time.Sleep(time.Until(next))
		next = next.Add(step)
		bursts = slices.DeleteFunc(bursts, func(b *burst) bool {
			if time.Until(b.due) > step/2 {
				return false
			}
			more := false
			for _, s := range b.requests {
				more = s.token(start) || more
			}
			if !more {
				out.Encode(b.requests)
			}
			return !more
		})
	}
}

const (
	referenceHead = `{"id":"chatcmpl-aafa775f97625f9b","object":"chat.completion.chunk","created":1795000164,"model":"reference","choices":[{"index":0,"delta":{`
	referenceTail = `},"logprobs":null,"finish_reason":null,"token_ids":null}]}`
)

func chunked(data string) string {
	data = "data: " + data + "\n\n"
	return fmt.Sprintf("%x\r\n%s\r\n", len(data), data)
}

var (
	referenceToken = chunked(referenceHead + `"content":"tok"` + referenceTail)
	referenceFirst = chunked(referenceHead+`"role":"assistant","content":""`+referenceTail) + referenceToken
	referenceLast  = chunked(referenceHead + `"content":"tok"},"logprobs":null,"finish_reason":"length"}]}`)
)

// token sends the request's next token and says whether more follow.
func (s *served) token(start time.Time) bool {
	if s.given == s.Tokens {
		return false
	}
	text := referenceToken
	if s.given == 0 {
		text, s.First = referenceFirst, int64(time.Since(start))
	}
	if s.given++; s.given == s.Tokens {
		s.Last = int64(time.Since(start))
		if s.given == 1 {
			text = chunked(referenceHead + `"role":"assistant","content":""` + referenceTail)
		} else {
			text = ""
		}
		text += referenceLast + chunked(fmt.Sprintf(`{"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}`, s.prompt, s.Tokens)) +
			chunked("[DONE]") + "0\r\n\r\n"
	}
	io.WriteString(s.conn, text)
	return s.given < s.Tokens
}

// reference is a running reference server.
type reference struct {
	port int
	out  *bufio.Scanner
	pipe io.Reader // what out reads
	in   io.Closer // the server ends with it
}

// startReference starts one that serves bursts of n and gives each request a token every step.
func startReference(t *testing.T, n int, step time.Duration) *reference {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %v", referenceEnv, n, step), "GOMAXPROCS=1")
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
	r := &reference{out: bufio.NewScanner(out), pipe: out, in: in}
	r.out.Buffer(nil, 4<<20) // a line a burst, 100 bytes a request
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
