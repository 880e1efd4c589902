package schema

import (
	"fmt"
	"reflect"
	"strings"

	"bench/docs"
	"bench/internal/record"
)

// Document is one kind of file that bench writes, or document that it prints.
type Document struct {
	Name  string
	Files string // where it is found
	of    func(*generator) *Schema
}

// Documents are all kinds, in the order in which they come about.
func Documents() []Document {
	return []Document{
		{"run", record.RunFile, value[record.Run]},
		{"verify", record.VerifyFile, value[record.Verify]},
		{"record", record.BaselineFile + ", " + record.ConcurrentFile + ", " + record.OpenFile, value[[]record.Record]},
		{"request", "requests/*.jsonl and probes/*.jsonl, each line", requestLine},
		{"memory_log", "memory_logs/*.csv, each row", rows("memory_log", record.GPUColumns(), "at_ns", "gpu")},
		{"server_metrics", "server_metrics/*.csv, each row", rows("server_metrics", record.ServerColumns(), "at_ns")},
		{"flight", "flight/*.json", value[record.Flight]},
		{"analysis", record.AnalysisFile, value[record.Analysis]},
		{"sizing", record.SizingFile, value[record.Sizing]},
		{"figures", "bench size --check … --json", value[record.FigureCheck]},
		{"comparison", "bench compare --json", value[record.Comparison]},
		{"export", "bench export --format jsonl, each line", value[record.ExportedRequest]},
	}
}

// schemas are the versions that documents carry.
var schemas = map[reflect.Type]string{
	reflect.TypeFor[record.Run]():           record.SchemaRun,
	reflect.TypeFor[record.Verify]():        record.SchemaVerify,
	reflect.TypeFor[record.Record]():        record.SchemaRecord,
	reflect.TypeFor[record.RequestHeader](): record.SchemaRequest,
	reflect.TypeFor[record.Flight]():        record.SchemaFlight,
	reflect.TypeFor[record.Analysis]():      record.SchemaAnalysis,
	reflect.TypeFor[record.Sizing]():        record.SchemaSizing,
	reflect.TypeFor[record.FigureCheck]():   record.SchemaFigures,
	reflect.TypeFor[record.Comparison]():    record.SchemaComparison,
}

// enums are the values of the types that have a fixed set of them.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[record.Status](): names(record.StatusSuccess, record.StatusWarning, record.StatusFailure),
	reflect.TypeFor[record.ErrorClass](): names(record.ErrTimeout, record.ErrRefused, record.ErrReset, record.ErrTruncated, record.ErrHTTP4xx,
		record.ErrHTTP5xx, record.ErrInBand, record.ErrEngineDead, record.ErrOutOfMemory, record.ErrContextLength, record.ErrShortOutput,
		record.ErrBadPayload, record.ErrCancelled),
	reflect.TypeFor[record.Cause](): names(record.CauseKVCache, record.CauseSchedulerSlots, record.CauseCompute, record.CauseMemoryBandwidth,
		record.CausePower, record.CauseThermal, record.CauseClient, record.CauseNetwork, record.CauseOutOfMemory, record.CauseEngineDeath,
		record.CauseUnknown),
	reflect.TypeFor[record.Verdict](): names(record.VerdictRecommended, record.VerdictGood, record.VerdictTight, record.VerdictTooSlow,
		record.VerdictDoesNotFit, record.VerdictNotEligible),
	reflect.TypeFor[record.FigureVerdict](): names(record.FigurePlausible, record.FigureUnlikely, record.FigureImpossible),
	reflect.TypeFor[record.Change](): names(record.ChangeSame, record.ChangeBetter, record.ChangeWorse, record.ChangeMixed,
		record.ChangeUnclear),
	reflect.TypeFor[record.Strength]():   names(record.StrengthProven, record.StrengthLikely, record.StrengthHint, record.StrengthNone),
	reflect.TypeFor[record.CheckState](): names(record.CheckOK, record.CheckFailed, record.CheckUnknown),
}

// neverNull are the lists that their type promises to write also when they are empty.
var neverNull = map[string]bool{
	"SLOResult.Metrics": true, "Verify.Checks": true, "Claim.Reasons": true, "Claim.Instead": true, "Loaded.Conclusions": true,
	"Results.Errors": true, "Trust.Findings": true, "Detail.Repeats": true,
	"Flight.InFlight": true, "Flight.GPUs": true, "Flight.Server": true,
	"Analysis.Ladders": true, "Analysis.Rates": true, "RateLadder.Tests": true, "RateLimit.Evidence": true, "RateLimit.EvidenceKO": true, "Steady.Windows": true, "Analysis.Repeats": true, "Limit.Evidence": true, "Limit.EvidenceKO": true,
	"Sizing.Setups": true, "Sizing.Notes": true, "Setup.Reasons": true,
	"LogCalibration.Transfers": true, "LogCalibration.Terms": true, "LogCalibration.Text": true, "MeasuredCalibration.Text": true,
	"FigureCheck.Figures": true, "FigureCheck.Notes": true, "CheckedFigure.Reasons": true,
	"Comparison.Differs": true, "Comparison.Tests": true, "ComparedTest.Metrics": true, "ComparedMetric.ARepeats": true, "ComparedMetric.BRepeats": true,
	"Comparison.Left": true, "ComparedTest.Doubts": true, "Gate.Failed": true, "Gate.Undecided": true,
}

func names[T ~string](values ...T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// Find is the document of that name.
func Find(name string) (Document, error) {
	var known []string
	for _, d := range Documents() {
		if d.Name == name {
			return d, nil
		}
		known = append(known, d.Name)
	}
	return Document{}, fmt.Errorf("no document is called %q; there are %s", name, strings.Join(known, ", "))
}

// Schema is the JSON Schema of the document, or of one line of it where it is a file of lines. A row of a CSV file is
// described as an object with its cells under the names of their columns; an empty cell is absent.
func (d Document) Schema() *Schema {
	g := &generator{words: words(docs.Files)}
	s := d.of(g)
	s.Dialect, s.Title, s.Description, s.Defs = Dialect, d.Name, d.Files, g.defs
	return s
}

// value describes documents that are one value of a type.
func value[T any](g *generator) *Schema { return g.of(reflect.TypeFor[T]()) }

// requestLine: the header, requests, lines that void an attempt, and lines that end a load early.
func requestLine(g *generator) *Schema {
	return &Schema{AnyOf: []*Schema{value[record.RequestHeader](g), value[record.Request](g), value[record.AbandonedLine](g), value[record.StoppedLine](g)}}
}

// rows describes a CSV file whose leading columns are always there; a column that a source does not have is left out.
func rows(section string, optional []string, lead ...string) func(*generator) *Schema {
	return func(g *generator) *Schema {
		s := &Schema{Type: Types{"object"}, Required: lead}
		for _, name := range lead {
			s.Properties = append(s.Properties, Property{name, &Schema{Type: Types{"integer"}, Description: g.words[section][name]}})
		}
		for _, name := range optional {
			s.Properties = append(s.Properties, Property{name, &Schema{Type: Types{"number"}, Description: g.words[section][name]}})
		}
		return s
	}
}

// words are the meanings of fields that the page states: under a heading "### Name", rows of "| `field` | type | meaning |".
func words(page string) map[string]map[string]string {
	out := map[string]map[string]string{}
	section := ""
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			section = strings.TrimSpace(strings.TrimLeft(line, "#"))
			continue
		}
		cells := strings.Split(line, " | ")
		field, ok := strings.CutPrefix(cells[0], "| `")
		if !ok || len(cells) != 3 {
			continue
		}
		if out[section] == nil {
			out[section] = map[string]string{}
		}
		out[section][strings.TrimSuffix(field, "`")] = strings.TrimSuffix(cells[2], " |")
	}
	return out
}
