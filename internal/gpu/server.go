package gpu

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"bench/internal/record"
)

// serverSource is a source that knows which processes belong to the server under test.
type serverSource struct {
	Source
	find func() (map[int]bool, error)

	mu     sync.Mutex
	server map[int]bool // by process id, what was found out last
	again  time.Time    // no look before
}

// lookPause is how long after a look that found nothing the next one may come: going through all processes
// costs some milliseconds to tens of them, about a thousandth of a core at this pace.
const lookPause = 30 * time.Second

// ForServer is source with its processes marked by whether they belong to the server that listens on a
// TCP port of this machine; where that cannot be found out they stay unmarked.
func ForServer(source Source, port int) Source {
	return &serverSource{Source: source, find: func() (map[int]bool, error) { return ServerProcesses(port) }}
}

// Processes implements [Source]. The server's processes are looked for when one is on a GPU that was not
// there before.
func (s *serverSource) Processes(ctx context.Context) (map[int][]record.GPUProcess, error) {
	byGPU, err := s.Source.Processes(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, processes := range byGPU {
		for _, p := range processes {
			if _, known := s.server[p.PID]; !known && !time.Now().Before(s.again) {
				if s.server = marks(byGPU, s.find); s.server == nil {
					s.again = time.Now().Add(lookPause)
				}
				return marked(byGPU, s.server), nil
			}
		}
	}
	return marked(byGPU, s.server), nil
}

// marks says of each process on the GPUs whether it is one of the server's; nil when none of them is: then
// the driver counts processes in another namespace than this program (in a container), or the server's
// processes were not found.
func marks(byGPU map[int][]record.GPUProcess, find func() (map[int]bool, error)) map[int]bool {
	pids, err := find()
	if err != nil {
		return nil
	}
	server, found := map[int]bool{}, false
	for _, processes := range byGPU {
		for _, p := range processes {
			server[p.PID] = pids[p.PID]
			found = found || pids[p.PID]
		}
	}
	if !found {
		return nil
	}
	return server
}

func marked(byGPU map[int][]record.GPUProcess, server map[int]bool) map[int][]record.GPUProcess {
	for _, processes := range byGPU {
		for i := range processes {
			if is, known := server[processes[i].PID]; known {
				processes[i].Server = new(is)
			}
		}
	}
	return byGPU
}

// sameMemoryShare is the share of the fullest GPU's memory from which on another GPU counts as used by
// the same server: the GPUs of one model hold equal parts, but for the first, which holds some more.
const sameMemoryShare = 0.8

// Choose picks the GPUs that the server runs on among those whose processes are given, by index: those
// that its processes are on, else those whose processes hold the most memory, else all. note says what
// was decided and how; it is empty where there is one GPU and nothing to decide.
func Choose(byGPU map[int][]record.GPUProcess, all []int) (chosen []int, note string) {
	if len(all) < 2 {
		return all, ""
	}
	chosen = usedByServer(byGPU)
	how := "the server's processes are on"
	if len(chosen) == 0 {
		chosen = fullest(byGPU)
		how = "the processes that hold the most memory are on"
	}
	if len(chosen) == 0 {
		return all, fmt.Sprintf("all %d GPUs are read: which of them the server uses is not known; --gpu-index says it", len(all))
	}
	return chosen, fmt.Sprintf("of %d GPUs those are read that %s: %s; --gpu-index chooses others", len(all), how, list(chosen))
}

func usedByServer(byGPU map[int][]record.GPUProcess) (indexes []int) {
	for index, processes := range byGPU {
		if slices.ContainsFunc(processes, func(p record.GPUProcess) bool { return p.Server != nil && *p.Server }) {
			indexes = append(indexes, index)
		}
	}
	slices.Sort(indexes)
	return indexes
}

// fullest are the GPUs whose processes hold about as much memory as those of the fullest one.
func fullest(byGPU map[int][]record.GPUProcess) (indexes []int) {
	held := map[int]float64{}
	for index, processes := range byGPU {
		for _, p := range processes {
			if p.MemoryMiB != nil {
				held[index] += *p.MemoryMiB
			}
		}
	}
	if len(held) == 0 {
		return nil
	}
	most := slices.Max(slices.Collect(maps.Values(held)))
	for index, memory := range held {
		if memory >= sameMemoryShare*most {
			indexes = append(indexes, index)
		}
	}
	slices.Sort(indexes)
	return indexes
}
