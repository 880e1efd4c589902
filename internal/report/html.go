package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"regexp"
	"strings"
)

//go:embed page.html
var pageSource string

// pageScript makes tables sortable; nothing else needs it.
//
//go:embed page.js
var pageScript string

// policy keeps a browser from running or fetching anything but the page's own script, whatever a server's text may be.
func policy() string {
	sum := sha256.Sum256([]byte(pageScript))
	return "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}

func script() template.HTML { return template.HTML("<script>" + pageScript + "</script>") }

// html writes the document as one page that needs nothing else: no network, and no script to be read. Everything
// but our own drawings passes through the template's escaping.
func html(doc document) ([]byte, error) {
	page, err := template.New("page").Funcs(template.FuncMap{"svg": inlineSVG, "code": code, "policy": policy, "script": script}).Parse(pageSource)
	if err != nil {
		return nil, fmt.Errorf("report page: %w", err)
	}
	var out bytes.Buffer
	if err := page.Execute(&out, viewOf(doc)); err != nil {
		return nil, fmt.Errorf("report page: %w", err)
	}
	return out.Bytes(), nil
}

// The view is the document with names a template can see.
type view struct {
	Lang, Title, Subtitle, Banner string
	Lead                          []string
	Sections                      []sectionView
}

type sectionView struct {
	ID     string
	Title  string
	Blocks []blockView
}

type blockView struct {
	Para   string
	List   []string
	Table  *tableView
	Figure *figureView
}

type tableView struct {
	Caption string
	Columns []cellView
	Rows    [][]cellView
}

type cellView struct {
	Text  string
	Class string
}

type figureView struct {
	Alt, Caption string
	SVG          []byte
}

func viewOf(doc document) view {
	v := view{Lang: doc.lang, Title: clean(doc.title), Subtitle: clean(doc.subtitle), Banner: doc.banner}
	for _, s := range doc.lead {
		v.Lead = append(v.Lead, clean(s))
	}
	for i, s := range doc.sections {
		sv := sectionView{ID: fmt.Sprintf("s%d", i+1), Title: s.title}
		for _, b := range s.blocks {
			sv.Blocks = append(sv.Blocks, blockViewOf(b))
		}
		v.Sections = append(v.Sections, sv)
	}
	return v
}

func blockViewOf(b block) blockView {
	v := blockView{Para: clean(b.para)}
	for _, item := range b.list {
		v.List = append(v.List, clean(item))
	}
	if f := b.figure; f != nil {
		v.Figure = &figureView{Alt: f.alt, Caption: f.caption, SVG: f.svg}
	}
	if t := b.table; t != nil {
		tv := &tableView{Caption: clean(t.caption)}
		for _, c := range t.columns {
			tv.Columns = append(tv.Columns, cellView{Text: c.title, Class: classOf(c, plain)})
		}
		for _, r := range t.rows {
			var cells []cellView
			for i, c := range r {
				cells = append(cells, cellView{Text: clean(c.text), Class: classOf(t.columns[i], c.tone)})
			}
			tv.Rows = append(tv.Rows, cells)
		}
		v.Table = tv
	}
	return v
}

func classOf(c column, as tone) string {
	var classes []string
	if c.right {
		classes = append(classes, "n")
	}
	if c.wrap {
		classes = append(classes, "w")
	}
	if as != plain {
		classes = append(classes, string(as))
	}
	return strings.Join(classes, " ")
}

// inlineSVG is a drawing of ours without the parts that belong to a file of its own.
func inlineSVG(svg []byte) template.HTML {
	if i := bytes.Index(svg, []byte("<svg")); i >= 0 {
		svg = svg[i:]
	}
	return template.HTML(svg)
}

// quantity is a figure with its unit, which must not part at the end of a line.
var quantity = regexp.MustCompile(`(\d) (ms|s|tokens/s|MiB|GiB|%|×)`)

// code shows text in backquotes, the commands a reader can run, as code.
func code(s string) template.HTML {
	parts := strings.Split(quantity.ReplaceAllString(s, "$1\u00a0$2"), "`")
	var out strings.Builder
	for i, p := range parts {
		if len(parts)%2 == 1 && i%2 == 1 {
			out.WriteString("<code>" + template.HTMLEscapeString(p) + "</code>")
			continue
		}
		out.WriteString(template.HTMLEscapeString(p))
		if len(parts)%2 == 0 && i < len(parts)-1 {
			out.WriteByte('`')
		}
	}
	return template.HTML(out.String())
}
