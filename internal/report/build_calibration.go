package report

import (
	"fmt"
	"strconv"

	"bench/internal/record"
	"bench/internal/unit"
)

var (
	wCalibration = tr("Replaced or scaled by what a server printed or measured", "서버 로그와 측정 결과에 의한 보정")
	wReplaced    = tr("Terms of the memory plan that the log replaced", "로그 값으로 대체한 메모리 항목")
	wAgainstLog  = tr("The log beside what is computed for its set-up", "로그와 같은 구성에 대한 계산값 비교")
	wTerm        = tr("Term", "항목")
	wSetupCount  = tr("Set-ups", "구성 수")
	wChange      = tr("Change, GiB", "변화, GiB")
	wRule        = tr("Why it holds there", "적용 근거")
	wPrinted     = tr("Log", "로그")
	wComputed    = tr("Computed", "계산")
	wDifference  = tr("Difference", "차이")
	wByRest      = tr("%s (what is left)", "%s (나머지)")
)

// term is the name of a term of the memory plan, with its unit.
func (b builder) term(name string) string {
	switch name {
	case "weights":
		return b.t(tr("weights, GiB", "가중치, GiB"))
	case "activation":
		return b.t(tr("activation, GiB", "활성화, GiB"))
	case "non_torch":
		return b.t(tr("non-torch, GiB", "non-torch, GiB"))
	case "cuda_graph":
		return b.t(tr("CUDA graph estimate, GiB", "CUDA graph 추정, GiB"))
	case "kv_cache":
		return b.t(tr("KV cache, GiB", "KV cache, GiB"))
	case "kv_cache_tokens":
		return b.t(tr("KV cache, tokens", "KV cache, 토큰"))
	}
	return b.t(tr("total memory, GiB", "전체 메모리, GiB"))
}

// calibration is what a start-up log replaced and what measured results scale.
func (b builder) calibration(s *section, c *record.Calibration) {
	if c == nil {
		return
	}
	s.para(b.t(wCalibration) + ":")
	if log := c.ServerLog; log != nil {
		b.texts(s, log.Text)
		t := &table{caption: b.t(wReplaced), columns: []column{{title: b.t(wTerm)}, {title: b.t(wSetupCount), right: true}, {title: b.t(wChange), right: true}, {title: b.t(wRule), wrap: true}}}
		for _, x := range log.Transfers {
			change := signedGiB(x.ChangeLowBytes)
			if high := signedGiB(x.ChangeHighBytes); high != change {
				change += " – " + high
			}
			t.rows = append(t.rows, row(b.term(x.Term), strconv.Itoa(x.Setups), change, b.t(x.Rule)))
		}
		s.table(t)
		t = &table{caption: b.t(wAgainstLog), columns: []column{{title: b.t(wTerm)}, {title: b.t(wPrinted), right: true}, {title: b.t(wComputed), right: true}, {title: b.t(wDifference), right: true}}}
		for _, x := range log.Terms {
			printed, computed, name := unit.Bytes(x.Printed).GiB(), unit.Bytes(x.Computed).GiB(), b.term(x.Term)
			if x.ByRest {
				name = b.f(wByRest, name)
			}
			if x.Unit == "tokens" {
				t.rows = append(t.rows, row(name, unit.Count(int(x.Printed)), unit.Count(int(x.Computed)), fmt.Sprintf("%+.1f %%", 100*(x.Computed/x.Printed-1))))
				continue
			}
			t.rows = append(t.rows, row(name, fmt.Sprintf("%.2f", printed), fmt.Sprintf("%.2f", computed), fmt.Sprintf("%+.2f", computed-printed)))
		}
		s.table(t)
	}
	if c.Measured != nil {
		b.texts(s, c.Measured.Text)
	}
}

func (b builder) texts(s *section, texts []record.Text) {
	var out []string
	for _, t := range texts {
		out = append(out, b.t(t))
	}
	s.list(out)
}

func signedGiB(bytes int64) string { return fmt.Sprintf("%+.2f", unit.Bytes(bytes).GiB()) }
