package report

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// browser is a real Chromium, spoken to over a pipe by its DevTools protocol: what a script of the test does there is
// not subject to the page's own policy.
type browser struct {
	t       *testing.T
	in      *os.File
	out     *bufio.Reader
	id      int
	session string
	// fetched are the addresses the page asked for; said are its console's and its policy's complaints.
	fetched, said []string
}

// startBrowser starts a browser that ends with the test; the test is skipped where there is none.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium on this machine: the pages were not looked at in a browser")
	}
	fromTest, toBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	toTest, fromBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "profile")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	// No sandbox: containers do not let it make one, and only our own pages are opened.
	cmd := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--user-data-dir="+profile, "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{fromTest, fromBrowser}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fromTest.Close()
	fromBrowser.Close()
	b := &browser{t: t, in: toBrowser, out: bufio.NewReader(toTest)}
	t.Cleanup(func() {
		toBrowser.Close() // the browser ends when the pipe does
		toTest.Close()
		cancel()
		cmd.Wait()
		// Its own children end after it, and write into the profile until they have.
		for range 100 {
			if os.RemoveAll(profile) == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Logf("the browser's profile stays in %s", profile)
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Network", "Runtime", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

type message struct {
	ID     int
	Method string
	Params struct {
		Request struct{ URL string }
		Entry   struct{ Text string }
		Args    []struct{ Value any }
	}
	Result json.RawMessage
	Error  *struct{ Message string }
}

// call sends a command and waits for its answer, noting the events that come before it.
func (b *browser) call(method string, params map[string]any, result any) {
	b.t.Helper()
	b.id++
	request := map[string]any{"id": b.id, "method": method, "params": params}
	if params == nil {
		request["params"] = map[string]any{}
	}
	if b.session != "" {
		request["sessionId"] = b.session
	}
	data, err := json.Marshal(request)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(data, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	for {
		m := b.read(method)
		if m.ID != b.id {
			continue
		}
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
		return
	}
}

func (b *browser) read(doing string) message {
	b.t.Helper()
	data, err := b.out.ReadBytes(0)
	if err != nil {
		b.t.Fatalf("%s: the browser is gone: %v", doing, err)
	}
	var m message
	if err := json.Unmarshal(data[:len(data)-1], &m); err != nil {
		m = message{} // an event of another form than those that are looked at
	}
	switch m.Method {
	case "Network.requestWillBeSent":
		b.fetched = append(b.fetched, m.Params.Request.URL)
	case "Log.entryAdded":
		b.said = append(b.said, m.Params.Entry.Text)
	case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Page.javascriptDialogOpening":
		b.said = append(b.said, fmt.Sprintf("%s: %v", m.Method, m.Params.Args))
	}
	return m
}

// open shows a page and waits until it is complete.
func (b *browser) open(path string) {
	b.t.Helper()
	b.fetched, b.said = nil, nil
	b.call("Page.navigate", map[string]any{"url": "file://" + path}, nil)
	b.eval(`new Promise(done => { const look = () => document.readyState === "complete" ? done(true) : setTimeout(look, 10); look() })`, nil)
}

// eval runs an expression, waits for it where it is a promise, and decodes its value.
func (b *browser) eval(expression string, value any) {
	b.t.Helper()
	var got struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &got)
	if e := got.ExceptionDetails; e != nil {
		b.t.Fatalf("the page's script fails: %s %s", e.Text, e.Exception.Description)
	}
	if value != nil {
		if err := json.Unmarshal(got.Result.Value, value); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *browser) width(px int) {
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": px, "height": 900, "deviceScaleFactor": 1, "mobile": px < 500}, nil)
}

// TestPagesInABrowser: no request leaves the page and its policy has nothing to complain of, nothing runs over the
// edge of a phone, a window or a wide screen, it prints on A4, a click sorts a table, and it breaks none of axe's
// rules of accessibility, light and dark (BENCH_AXE names axe.min.js; `make pages` fetches it).
func TestPagesInABrowser(t *testing.T) {
	b := startBrowser(t)
	axe := ""
	if path := os.Getenv("BENCH_AXE"); path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		axe = string(data)
	}
	for name, in := range map[string]Input{"nine": nine(t), "one": one(t),
		"loaded": loaded(t), "forty": forty(t), "hostile": hostileRun(t)} {
		for _, lang := range []string{English, Korean} {
			page := "report.html"
			if lang == Korean {
				page = "report.ko.html"
			}
			path := filepath.Join(t.TempDir(), page)
			if err := os.WriteFile(path, written(t, in, lang)[page], 0o644); err != nil {
				t.Fatal(err)
			}
			t.Run(name+"/"+lang, func(t *testing.T) {
				b.t = t
				b.open(path)
				for _, px := range []int{360, 1000, 1600} {
					b.width(px)
					var over []string
					// What a table or a chart has too much scrolls inside its own box. A browser widens its window with a page that is
					// too wide, so it is the width asked for that counts.
					b.eval(fmt.Sprintf(`[...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll table, [role=img] svg") && e.getBoundingClientRect().right > %d + 1).map(e => e.tagName + "." + e.className).slice(0, 5)`, px), &over)
					wide := false
					b.eval(fmt.Sprintf(`document.documentElement.scrollWidth > %d`, px), &wide)
					if len(over) > 0 || wide {
						t.Errorf("at %d px something runs over the edge: %v", px, over)
					}
				}
				b.checkPrint()
				b.checkSorting()
				for _, scheme := range []string{"light", "dark"} {
					if axe == "" {
						break
					}
					b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
					b.eval(axe, nil)
					var broken []string
					b.eval(`axe.run(document).then(r => r.violations.map(v => v.id + ": " + v.help + ": " + v.nodes.slice(0, 2).map(n => n.html.slice(0, 120) + " " + (n.any[0] || n.all[0] || n.none[0] || {}).message).join(" | ")))`, &broken)
					if len(broken) > 0 {
						t.Errorf("%s: axe finds\n%s", scheme, strings.Join(broken, "\n"))
					}
				}
				for _, url := range b.fetched {
					if url != "file://"+path {
						t.Errorf("the page asked for %s", url)
					}
				}
				if len(b.said) > 0 {
					t.Errorf("the browser complains: %v", b.said)
				}
				ran := false
				b.eval(`!!window.ran || document.title === "ran"`, &ran)
				if ran {
					t.Error("text of a server was run")
				}
			})
			b.t = t
		}
	}
	if axe == "" {
		t.Log("BENCH_AXE names no axe.min.js: the rules of accessibility were not checked")
	}
}

// checkPrint prints on A4 and holds the number of sheets against the length of the page.
func (b *browser) checkPrint() {
	b.t.Helper()
	var pdf struct{ Data string }
	b.call("Page.printToPDF", map[string]any{"preferCSSPageSize": true}, &pdf)
	data, err := base64.StdEncoding.DecodeString(pdf.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	if !regexp.MustCompile(`/MediaBox\s*\[0 0 59[45]\S* 84[12]`).Match(data) {
		b.t.Errorf("it does not print on A4")
	}
	sheets := len(regexp.MustCompile(`/Type\s*/Page[^s]`).FindAll(data, -1))
	var height float64
	b.width(1000)
	b.eval(`document.documentElement.scrollHeight`, &height)
	// A sheet holds about as much as 1,100 px of a window; breaks before tables and charts waste some.
	if sheets < 1 || float64(sheets) > 2+height/500 {
		b.t.Errorf("%d sheets for a page of %.0f px", sheets, height)
	}
}

// checkSorting clicks on a column of figures, twice.
func (b *browser) checkSorting() {
	b.t.Helper()
	var got [3][]string
	b.eval(`(() => {
		const table = [...document.querySelectorAll("table")].find(t => t.querySelector("button"));
		if (!table) return [[], [], []];
		const column = table.tHead.rows[0].cells.length > 2 ? 2 : 0;
		const cells = () => [...table.tBodies[0].rows].map(r => r.cells[column].textContent.trim());
		const click = () => table.tHead.rows[0].cells[column].querySelector("button").click();
		const written = cells(); click();
		const up = cells(); click();
		return [written, up, cells()];
	})()`, &got)
	if len(got[1]) != len(got[0]) || len(got[2]) != len(got[0]) {
		b.t.Fatalf("sorting loses rows: %v", got)
	}
	numbers := func(cells []string) (out []float64) {
		for _, c := range cells {
			var v float64
			if _, err := fmt.Sscanf(strings.ReplaceAll(c, ",", ""), "%g", &v); err == nil {
				out = append(out, v)
			}
		}
		return out
	}
	up, down := numbers(got[1]), numbers(got[2])
	for i := 1; i < len(up); i++ {
		if up[i] < up[i-1] || down[i] > down[i-1] {
			b.t.Errorf("sorted up %v, down %v", got[1], got[2])
		}
	}
}
