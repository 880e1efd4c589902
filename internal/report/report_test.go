package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bench/internal/record"
)

// files is a folder in memory.
type files map[string][]byte

func (f files) write(name string, data []byte) error {
	f[name] = data
	return nil
}

// written writes the report in the languages; with -artifacts the files stay to be looked at.
func written(t *testing.T, in Input, langs ...string) files {
	t.Helper()
	out := files{}
	for _, lang := range langs {
		names, err := WriteAll(out.write, in, lang)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if out[name] == nil {
				t.Errorf("%s is named but was not written", name)
			}
		}
		if last := names[len(names)-1]; !strings.HasSuffix(last, ".html") {
			t.Errorf("last of the names is %s, want the page to open", last)
		}
	}
	for name, data := range out {
		path := filepath.Join(t.ArtifactDir(), filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func inputs(t *testing.T) map[string]Input {
	return map[string]Input{"one": one(t), "loaded": loaded(t), "nine": nine(t), "forty": forty(t), "rates": rates(t), "nothing": {}}
}

func TestWriteAll(t *testing.T) {
	for name, in := range inputs(t) {
		t.Run(name, func(t *testing.T) {
			out := written(t, in, English)
			// The charts are the same in both languages and by far the slowest part.
			korean := build(in, Korean, nil, nil)
			page, err := html(korean)
			if err != nil {
				t.Fatal(err)
			}
			out["report.ko.md"], out["report.ko.html"] = markdown(korean), page
			for _, name := range []string{"report.md", "report.html", "report.ko.md", "report.ko.html"} {
				if out[name] == nil {
					t.Fatalf("no %s", name)
				}
				for _, r := range slices.Concat(in.Baselines, in.Tests, in.Open) {
					if id := r.TestID; !bytes.Contains(out[name], []byte(id)) {
						t.Errorf("%s does not show test %s", name, id)
					}
				}
				if in.Run.Simulated && !bytes.Contains(out[name], []byte(wSimulated.In(map[bool]string{true: Korean, false: English}[strings.Contains(name, ".ko.")]))) {
					t.Errorf("%s does not say that it is simulated", name)
				}
			}
			checkPage(t, out["report.html"])
			checkPage(t, out["report.ko.html"])
			for name, data := range out {
				switch filepath.Ext(name) {
				case ".svg":
					checkSVG(t, name, data, in.Run.Simulated)
				case ".png":
					checkPNG(t, name, data)
				}
			}
		})
	}
}

// checkPage holds what every page must satisfy: small, complete in itself, well nested.
func checkPage(t *testing.T, page []byte) {
	t.Helper()
	if len(page) > 1<<20 {
		t.Errorf("page is %d bytes, want at most 1 MiB", len(page))
	}
	text := string(page)
	if own := string(script()); strings.Count(text, own) != 1 {
		t.Errorf("the page's own script is in it %d times", strings.Count(text, own))
	} else {
		text = strings.Replace(text, own, "", 1)
	}
	for _, forbidden := range []string{"<script", "<link", "<img", "<iframe", "@import", "url(", "ZgotmplZ", "%!", "<?xml"} {
		if strings.Contains(text, forbidden) {
			t.Errorf("page contains %q", forbidden)
		}
	}
	// Namespaces of SVG are names, not addresses that anything is fetched from.
	loads := regexp.MustCompile(`(?:src|href|action|data)\s*=\s*["']?\s*(?:https?:)?//`)
	if m := loads.FindString(text); m != "" {
		t.Errorf("page loads from elsewhere: %q", m)
	}
	for _, tag := range []string{"div", "section", "table", "tr", "td", "th", "ul", "li", "ol", "p", "figure", "svg", "code"} {
		opened := len(regexp.MustCompile(`<`+tag+`[\s>]`).FindAllString(text, -1))
		if closed := strings.Count(text, "</"+tag+">"); opened != closed {
			t.Errorf("%d <%s> opened, %d closed", opened, tag, closed)
		}
	}
}

func checkSVG(t *testing.T, name string, data []byte, simulated bool) {
	t.Helper()
	dec := xml.NewDecoder(bytes.NewReader(data))
	shapes := 0
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s is not well-formed: %v", name, err)
		}
		if e, ok := tok.(xml.StartElement); ok && (e.Name.Local == "path" || e.Name.Local == "text") {
			shapes++
		}
	}
	if shapes < 10 {
		t.Errorf("%s has %d shapes, want a chart", name, shapes)
	}
	if calculated := strings.Contains(name, "sizing-"); calculated {
		if !bytes.Contains(data, []byte("(calculated)")) {
			t.Errorf("%s does not say that nothing in it was measured", name)
		}
	} else if simulated != bytes.Contains(data, []byte("(simulated)")) {
		t.Errorf("%s says simulated: %v, want %v", name, !simulated, simulated)
	}
	if bytes.Contains(data, []byte("NaN")) || bytes.Contains(data, []byte("Inf")) {
		t.Errorf("%s has a coordinate that is no number", name)
	}
}

func checkPNG(t *testing.T, name string, data []byte) {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	b := img.Bounds()
	lowest := 480
	highest := 760
	if strings.Contains(name, "sizing-memory") || strings.Contains(name, "requests") {
		lowest, highest = 200, 1500 // as high as it has set-ups or tests
	}
	if b.Dx() < 900 || b.Dx() > 1000 || b.Dy() < lowest || b.Dy() > highest {
		t.Errorf("%s is %v, want about 933 × 500 or 700", name, b)
	}
	colours := map[[3]uint32]bool{}
	for y := b.Min.Y; y < b.Max.Y; y += 5 {
		for x := b.Min.X; x < b.Max.X; x += 5 {
			r, g, bl, a := img.At(x, y).RGBA()
			if a != 0xffff {
				t.Fatalf("%s is transparent at %d, %d: it would not show on a dark page", name, x, y)
			}
			colours[[3]uint32{r, g, bl}] = true
		}
	}
	if len(colours) < 8 {
		t.Errorf("%s has %d colours: it looks blank", name, len(colours))
	}
}

func TestChartsAreReproducible(t *testing.T) {
	in := one(t)
	a, _, err := drawFigures(in)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := drawFigures(in)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a {
		if !bytes.Equal(a[i].svg, b[i].svg) || !bytes.Equal(a[i].png, b[i].png) {
			t.Errorf("chart %s differs from one drawing to the next", a[i].name)
		}
	}
}

// hostileRun is a run whose server, and whose files, say what they should not.
func hostileRun(t *testing.T) Input {
	const text = "<script>window.ran=1;alert(1)</script><img src=x onerror=\"document.title='ran'\">|`rm`\"'>\x1b[2J\u202e**x**[y](https://evil.example)\n# z"
	in := nine(t)
	in.Run.Server.ServedModel, in.Run.Server.ModelRoot = text, text
	in.Run.GPUs[0].Name = text
	in.Tests[0].TestID = text
	in.Tests[1].Results.Errors = []record.ErrorCount{{Class: record.ErrInBand, Count: 1, Message: text}}
	in.Tests[2].Trust.Findings = []record.Finding{{Check: "books", Evidence: text}, {Check: "idle", Evidence: strings.Repeat("<b>x", 1<<18)}}
	in.Verify.ServerError = text
	return in
}

// Whatever a server calls itself or answers must come out as text.
func TestHostileText(t *testing.T) {
	in := hostileRun(t)
	out := written(t, in, English)
	checkPage(t, out["report.html"])
	for name, data := range out {
		if filepath.Ext(name) == ".svg" {
			checkSVG(t, name, data, false)
		}
	}
	var screen bytes.Buffer
	if err := Text(&screen, in, 100, false); err != nil {
		t.Fatal(err)
	}
	out["the terminal"] = screen.Bytes()
	for name, data := range out {
		if filepath.Ext(name) != ".png" && (bytes.Contains(data, []byte("\x1b")) || bytes.Contains(data, []byte("\u202e"))) {
			t.Errorf("%s carries control characters of a server", name)
		}
	}
	md := string(out["report.md"])
	for _, live := range []string{"<script>", "](https://", "\n# z"} {
		if strings.Contains(md, live) {
			t.Errorf("Markdown carries live markup %q", live)
		}
	}
	for _, line := range strings.Split(md, "\n") {
		if strings.HasPrefix(line, "| T2 |") && strings.Contains(line, "alert") {
			if cells := len(regexp.MustCompile(`[^\\]\|`).FindAllString(line, -1)); cells != 4 {
				t.Errorf("a message broke its row into %d cells: %s", cells, line)
			}
		}
	}
}

func TestMarkdownTablesAreRectangular(t *testing.T) {
	for name, in := range inputs(t) {
		md := string(markdown(build(in, English, nil, nil)))
		cells := regexp.MustCompile(`(^|[^\\])\|`)
		width := 0
		for _, line := range strings.Split(md, "\n") {
			if !strings.HasPrefix(line, "|") {
				width = 0
				continue
			}
			n := len(cells.FindAllString(line, -1))
			if width != 0 && n != width {
				t.Errorf("%s: row of %d cells in a table of %d: %s", name, n, width, line)
			}
			width = n
		}
	}
}

func TestLanguages(t *testing.T) {
	if _, err := WriteAll(files{}.write, Input{}, "fr"); err == nil || !strings.Contains(err.Error(), `"fr"`) {
		t.Errorf("an unknown language: error %v", err)
	}
	pages := map[string][]byte{}
	for _, lang := range []string{English, Korean} {
		page, err := html(build(nine(t), lang, nil, nil))
		if err != nil {
			t.Fatal(err)
		}
		pages[lang] = page
	}
	hangul := regexp.MustCompile(`\p{Hangul}`)
	if m := hangul.FindString(string(pages[English])); m != "" {
		t.Errorf("the English page has Hangul: %s", m)
	}
	for _, title := range []string{"한계점", "테스트 결과", "목표에 필요한 GPU", "환경 검증", "측정 방법", "측정 신뢰도"} {
		if !bytes.Contains(pages[Korean], []byte("<h2>"+title+"</h2>")) {
			t.Errorf("the Korean page has no section %s", title)
		}
	}
	if !bytes.Contains(pages[Korean], []byte(`<html lang="ko">`)) {
		t.Error("the Korean page does not say that it is Korean")
	}
}

func TestWriteErrors(t *testing.T) {
	full := errors.New("no space left on device")
	calls := 0
	_, err := WriteAll(func(string, []byte) error { calls++; return full }, Input{}, English)
	if !errors.Is(err, full) || calls != 1 {
		t.Errorf("error %v after %d writes, want the first to end it", err, calls)
	}
}

// A data file that cannot be read is named in the report and costs nothing else.
func TestMissingSamples(t *testing.T) {
	in := nine(t)
	in.Tests[3].Detail.Files.MemoryLog = "memory_logs/gone.csv"
	in.Tests, in.Baselines = in.Tests[2:4], nil
	out := written(t, in, Korean)
	if out["report.html"] != nil {
		t.Error("the Korean report took the English one's place")
	}
	if !bytes.Contains(out["report.ko.md"], []byte("gone.csv: no such file")) {
		t.Error("the report does not name the file it could not read")
	}
	if out["charts/memory.svg"] == nil {
		t.Error("one missing file cost the whole chart")
	}
}
