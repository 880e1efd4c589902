package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"

	"bench/internal/record"
)

// MarkdownSizing writes a sizing as Markdown, without charts.
func MarkdownSizing(w io.Writer, s *record.Sizing, lang string) error {
	b := builder{Input{Sizing: s}, lang}
	_, err := w.Write(markdown(document{lang: lang, title: b.f(wSizingTitle, s.Model.ID), sections: []section{b.sizing(s)}}))
	return err
}

// sizingColumns are those of [CSVSizing], with their units in their names.
var sizingColumns = []struct {
	name string
	of   func(record.Setup) string
}{
	{"rank", func(s record.Setup) string { return strconv.Itoa(s.Rank) }},
	{"gpu", func(s record.Setup) string { return s.GPU }},
	{"count", func(s record.Setup) string { return strconv.Itoa(s.Count) }},
	{"tensor_parallel", func(s record.Setup) string { return strconv.Itoa(s.TensorParallel) }},
	{"pipeline_parallel", func(s record.Setup) string { return strconv.Itoa(s.PipelineParallel) }},
	{"replicas", func(s record.Setup) string { return strconv.Itoa(s.Replicas) }},
	{"verdict", func(s record.Setup) string { return string(s.Verdict) }},
	{"total_bytes", memoryCell(func(m *record.SetupMemory) int64 { return m.TotalBytes })},
	{"weights_bytes", memoryCell(func(m *record.SetupMemory) int64 { return m.WeightsBytes })},
	{"activation_bytes", memoryCell(func(m *record.SetupMemory) int64 { return m.ActivationBytes })},
	{"non_torch_bytes", memoryCell(func(m *record.SetupMemory) int64 { return m.NonTorchBytes })},
	{"cuda_graph_bytes", memoryCell(func(m *record.SetupMemory) int64 { return m.CUDAGraphBytes })},
	{"kv_cache_bytes", memoryCell(func(m *record.SetupMemory) int64 { return m.KVCacheBytes })},
	{"kv_cache_tokens", memoryCell(func(m *record.SetupMemory) int64 { return m.KVCacheTokens })},
	{"guaranteed", concurrencyCell(func(c *record.Concurrency) int { return c.Guaranteed })},
	{"steady", concurrencyCell(func(c *record.Concurrency) int { return c.Steady })},
	{"ttft_ms", speedCell(func(s *record.Speed) float64 { return s.TTFTMS })},
	{"ttft_ms_low", speedCell(func(s *record.Speed) float64 { return s.TTFTMSLow })},
	{"ttft_ms_high", speedCell(func(s *record.Speed) float64 { return s.TTFTMSHigh })},
	{"tpot_ms", speedCell(func(s *record.Speed) float64 { return s.TPOTMS })},
	{"tpot_ms_low", speedCell(func(s *record.Speed) float64 { return s.TPOTMSLow })},
	{"tpot_ms_high", speedCell(func(s *record.Speed) float64 { return s.TPOTMSHigh })},
	{"latency_ms", speedCell(func(s *record.Speed) float64 { return s.LatencyMS })},
	{"output_tokens_per_sec", speedCell(func(s *record.Speed) float64 { return s.OutputTokensPerSec })},
	{"output_tokens_per_sec_low", speedCell(func(s *record.Speed) float64 { return s.OutputTokensPerSecLow })},
	{"output_tokens_per_sec_high", speedCell(func(s *record.Speed) float64 { return s.OutputTokensPerSecHigh })},
	{"measured", func(s record.Setup) string {
		if s.Speed == nil {
			return ""
		}
		return strconv.FormatBool(s.Speed.Measured)
	}},
	{"buy_usd", priceCell(func(p *record.Price) *float64 { return p.BuyUSD })},
	{"hour_usd", priceCell(func(p *record.Price) *float64 { return p.HourUSD })},
	{"usd_per_million_output_tokens", priceCell(func(p *record.Price) *float64 { return p.PerMillionUSD })},
	{"price_as_of", func(s record.Setup) string {
		if s.Price == nil {
			return ""
		}
		return harmless(s.Price.AsOf) // may be the user's own words
	}},
}

func memoryCell(of func(*record.SetupMemory) int64) func(record.Setup) string {
	return func(s record.Setup) string {
		if s.Memory == nil {
			return ""
		}
		return strconv.FormatInt(of(s.Memory), 10)
	}
}

func concurrencyCell(of func(*record.Concurrency) int) func(record.Setup) string {
	return func(s record.Setup) string {
		if s.Concurrency == nil {
			return ""
		}
		return strconv.Itoa(of(s.Concurrency))
	}
}

func speedCell(of func(*record.Speed) float64) func(record.Setup) string {
	return func(s record.Setup) string {
		if s.Speed == nil {
			return ""
		}
		return strconv.FormatFloat(of(s.Speed), 'f', 3, 64)
	}
}

func priceCell(of func(*record.Price) *float64) func(record.Setup) string {
	return func(s record.Setup) string {
		if s.Price == nil || of(s.Price) == nil {
			return ""
		}
		return strconv.FormatFloat(*of(s.Price), 'f', 4, 64)
	}
}

// CSVSizing writes one line a set-up, best first; what is not known is an empty cell.
func CSVSizing(w io.Writer, s *record.Sizing) error {
	out := csv.NewWriter(w)
	line := make([]string, len(sizingColumns))
	for i, c := range sizingColumns {
		line[i] = c.name
	}
	out.Write(line) // its error stays and comes out of Flush
	for _, setup := range s.Setups {
		for i, c := range sizingColumns {
			line[i] = c.of(setup)
		}
		out.Write(line)
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("writing CSV: %w", err)
	}
	return nil
}
