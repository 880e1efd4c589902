package report

// document is a report in one language, before it takes the form of text, Markdown or HTML.
type document struct {
	lang     string
	title    string
	subtitle string
	banner   string   // what stands over everything, as that it is simulated
	lead     []string // the sentences for a manager
	sections []section
}

type section struct {
	title  string
	blocks []block
}

// block is one piece of a section; exactly one field is set.
type block struct {
	para   string
	list   []string
	table  *table
	figure *figure
}

type table struct {
	caption string
	columns []column
	rows    [][]cell
}

type column struct {
	title string
	right bool // numbers
	wrap  bool // prose that may take several lines
}

type cell struct {
	text string
	tone tone
}

// tone is how a cell is meant, for colour; the text says the same without it.
type tone string

const (
	plain tone = ""
	good  tone = "good"
	warn  tone = "warn"
	bad   tone = "bad"
)

// row makes a row of plain cells.
func row(texts ...string) []cell {
	cells := make([]cell, len(texts))
	for i, t := range texts {
		cells[i].text = t
	}
	return cells
}

func (s *section) para(text string) {
	if text != "" {
		s.blocks = append(s.blocks, block{para: text})
	}
}

func (s *section) list(items []string) {
	if len(items) > 0 {
		s.blocks = append(s.blocks, block{list: items})
	}
}

func (s *section) table(t *table) {
	if len(t.rows) > 0 {
		s.blocks = append(s.blocks, block{table: t})
	}
}
