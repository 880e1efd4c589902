// Package report owns what a reader sees of a result folder: text tables, Markdown, one
// self-contained HTML page and its charts. It renders records and judgements that others made; it
// measures nothing, judges nothing and opens no file itself.
package report

import (
	"fmt"

	"bench/internal/record"
)

// Languages of a report.
const (
	English = "en"
	Korean  = "ko"
)

// Input is what a report shows. What is nil or empty is left out of it.
type Input struct {
	Run       record.Run
	Verify    *record.Verify
	Baselines []record.Record
	Tests     []record.Record
	Open      []record.Record // tests of an open load
	Analysis  *record.Analysis
	Sizing    *record.Sizing
	Samples   Samples // nil: no chart over time
	// Missing are data files that a record names and the folder does not hold.
	Missing []string
}

// Samples reads the data files that records name; *record.Folder is one.
type Samples interface {
	ReadGPUSamples(name string) ([]record.GPUSample, error)
	ReadServerRows(name string) ([]record.ServerRow, error)
	ReadRequests(name string) ([]record.Request, error)
}

// WriteAll writes the report in one language (English or Korean) through write, which puts a whole
// file of a result folder in place: report.md and report.html, or report.ko.md and report.ko.html,
// and the charts both show, as SVG and PNG under charts/. It returns the names written, the page to
// open last.
func WriteAll(write func(name string, data []byte) error, in Input, lang string) ([]string, error) {
	if lang != English && lang != Korean {
		return nil, fmt.Errorf("report language %q is not known: use %s or %s", lang, English, Korean)
	}
	figures, missing, err := drawFigures(in)
	if err != nil {
		return nil, err
	}
	doc := build(in, lang, figures, missing)
	page, err := html(doc)
	if err != nil {
		return nil, err
	}
	suffix := ""
	if lang != English {
		suffix = "." + lang
	}
	var names []string
	put := func(name string, data []byte) {
		if err == nil {
			err = write(name, data)
			names = append(names, name)
		}
	}
	for _, f := range figures {
		put("charts/"+f.name+".svg", f.svg)
		put("charts/"+f.name+".png", f.png)
	}
	put("report"+suffix+".md", markdown(doc))
	put("report"+suffix+".html", page)
	if err != nil {
		return nil, fmt.Errorf("writing the report: %w", err)
	}
	return names, nil
}
