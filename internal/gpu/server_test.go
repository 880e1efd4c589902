package gpu

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bench/internal/record"
)

func on(gpu int, processes ...record.GPUProcess) map[int][]record.GPUProcess {
	return map[int][]record.GPUProcess{gpu: processes}
}

func TestChoose(t *testing.T) {
	held := func(mib ...float64) (ps []record.GPUProcess) {
		for i, m := range mib {
			ps = append(ps, record.GPUProcess{PID: i, MemoryMiB: &m})
		}
		return ps
	}
	servers := record.GPUProcess{PID: 7, Server: new(true)}
	foreign := record.GPUProcess{PID: 8, Server: new(false), MemoryMiB: new(80_000.0)}
	for _, c := range []struct {
		what  string
		byGPU map[int][]record.GPUProcess
		all   []int
		want  []int
		note  string
	}{
		{"one GPU", on(0, foreign), []int{0}, []int{0}, ""},
		{"the server's own", map[int][]record.GPUProcess{0: {foreign}, 2: {servers, foreign}, 3: {servers}}, []int{0, 1, 2, 3}, []int{2, 3}, "the server's processes are on: 2, 3"},
		{"the fullest two, one holds more", map[int][]record.GPUProcess{0: held(500), 1: held(70_000, 500), 2: held(68_000), 3: {}}, []int{0, 1, 2, 3}, []int{1, 2},
			"hold the most memory are on: 1, 2"},
		{"memory not told", map[int][]record.GPUProcess{0: {{PID: 1}}, 1: {{PID: 2}}}, []int{0, 1}, []int{0, 1}, "all 2 GPUs are read"},
		{"no processes", map[int][]record.GPUProcess{0: {}, 1: {}}, []int{0, 1}, []int{0, 1}, "all 2 GPUs are read"},
		{"not told", nil, []int{0, 1}, []int{0, 1}, "all 2 GPUs are read"},
	} {
		got, note := Choose(c.byGPU, c.all)
		if !slices.Equal(got, c.want) || !strings.Contains(note, c.note) || (c.note == "") != (note == "") {
			t.Errorf("%s: %v, %q; want %v, %q", c.what, got, note, c.want, c.note)
		}
	}
}

// listed is a source whose processes a test sets.
type listed struct {
	Source
	byGPU map[int][]int
}

func (l *listed) Processes(context.Context) (map[int][]record.GPUProcess, error) {
	out := map[int][]record.GPUProcess{}
	for gpu, pids := range l.byGPU {
		for _, pid := range pids {
			out[gpu] = append(out[gpu], record.GPUProcess{PID: pid})
		}
	}
	return out, nil
}

// The server's processes are looked for when a new one shows up, and only then; one that cannot be told
// stays unmarked until it can.
func TestServerMarks(t *testing.T) { synctest.Test(t, serverMarks) }

func serverMarks(t *testing.T) {
	looked := 0
	var server map[int]bool
	source := &listed{}
	s := &serverSource{Source: source, find: func() (map[int]bool, error) {
		looked++
		if server == nil {
			return nil, errors.New("nobody listens")
		}
		return server, nil
	}}
	marks := func() (text string) {
		byGPU, err := s.Processes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range byGPU[0] {
			switch {
			case p.Server == nil:
				text += "?"
			case *p.Server:
				text += "s"
			default:
				text += "f"
			}
		}
		return text
	}
	for _, step := range []struct {
		what   string
		pids   []int
		server map[int]bool
		want   string
		looked int
	}{
		{"no process", nil, nil, "", 0},
		{"the server is still loading", []int{10}, nil, "?", 1},
		{"it is too early to look again", []int{10}, map[int]bool{10: true}, "?", 1},
		{"it listens", []int{10}, map[int]bool{9: true, 10: true}, "s", 2},
		{"nothing is new", []int{10}, map[int]bool{9: true, 10: true}, "s", 2},
		{"another program comes", []int{10, 66}, map[int]bool{9: true, 10: true}, "sf", 3},
		{"and goes", []int{10}, map[int]bool{9: true, 10: true}, "s", 3},
		{"a restarted server", []int{66, 20}, map[int]bool{19: true, 20: true}, "fs", 4},
		{"processes of another namespace", []int{5001, 5002}, map[int]bool{19: true, 20: true}, "??", 5},
	} {
		if strings.HasPrefix(step.what, "it listens") {
			time.Sleep(lookPause)
		}
		source.byGPU, server = map[int][]int{0: step.pids}, step.server
		if got := marks(); got != step.want || looked != step.looked {
			t.Errorf("%s: marks %q after %d looks, want %q after %d", step.what, got, looked, step.want, step.looked)
		}
	}
}
