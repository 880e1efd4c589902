package gpu

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// tcpTable is a /proc/net/tcp with listeners on ports 8000 (inode 4711) and 22, and a connection of the first.
const tcpTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 99 1 0000000000000000 100 0 0 10 0
   2: 0100007F:1F40 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 5000 1 0000000000000000 100 0 0 10 0
`

// fakeProcess is one folder of a made-up /proc.
type fakeProcess struct {
	pid, parent, group int
	name, socket       string
}

func fakeProc(t *testing.T, table string, ps ...fakeProcess) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if table != "" {
		write("net/tcp", table)
	}
	for _, p := range ps {
		write(fmt.Sprintf("%d/stat", p.pid), fmt.Sprintf("%d (%s) S %d %d 7 0 -1 4194304\n", p.pid, p.name, p.parent, p.group))
		fd := filepath.Join(dir, fmt.Sprint(p.pid), "fd")
		if err := os.Mkdir(fd, 0o755); err != nil {
			t.Fatal(err)
		}
		if p.socket != "" {
			if err := os.Symlink(p.socket, filepath.Join(fd, "7")); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func TestServerProcesses(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no symbolic links")
	}
	const listener = "socket:[4711]"
	for _, c := range []struct {
		what  string
		table string
		ps    []fakeProcess
		want  []int
		err   string
	}{
		{"engine and workers descend from the API server", tcpTable, []fakeProcess{
			{10, 1, 10, "vllm", listener}, {11, 10, 10, "VLLM::EngineCor", ""}, {12, 11, 10, "VLLM::Worker_TP", ""}, {20, 1, 20, "python3", ""},
		}, []int{10, 11, 12}, ""},
		{"several API servers share the socket", tcpTable, []fakeProcess{
			{10, 1, 10, "vllm", listener}, {11, 10, 10, "ApiServer_0", listener}, {12, 10, 10, "EngineCore (a)", ""},
		}, []int{10, 11, 12}, ""},
		{"an orphan of the server's process group", tcpTable, []fakeProcess{
			{10, 1, 10, "vllm", listener}, {13, 1, 10, "VLLM::Worker", ""},
		}, []int{10, 13}, ""},
		{"a neighbour started by the same script is none", tcpTable, []fakeProcess{
			{5, 1, 5, "start.sh", ""}, {10, 5, 5, "vllm", listener}, {14, 5, 5, "python3", ""},
		}, []int{10}, ""},
		{"a connection is no listener", tcpTable, []fakeProcess{{10, 1, 10, "client", "socket:[5000]"}}, nil, "belongs to another user"},
		{"nobody listens", strings.ReplaceAll(tcpTable, "1F40", "1F41"), []fakeProcess{{10, 1, 10, "vllm", listener}}, nil, "no process of this machine listens on port 8000"},
		{"a tunnel", tcpTable, []fakeProcess{{10, 1, 10, "ssh", listener}}, nil, "port 8000 is forwarded by ssh"},
		{"no /proc", "", nil, nil, "does not tell"},
		{"garbage", "0: 1 2\n\x00\n: : : 0A\n" + tcpTable, []fakeProcess{{10, 1, 10, ") ((", listener}}, []int{10}, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			pids, err := serverProcesses(fakeProc(t, c.table, c.ps...), 8000)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || errors.Is(err, ErrElsewhere) != strings.Contains(c.err, "forwarded") {
					t.Errorf("%v, error %v, want one with %q", pids, err, c.err)
				}
				return
			}
			if got := slices.Sorted(maps.Keys(pids)); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%v, %v, want %v", got, err, c.want)
			}
		})
	}
}

// This process listens for real, and a child of it counts as the server's.
func TestThisProcessListens(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("%s: %v", address, err) // a machine without IPv6
			continue
		}
		child := exec.Command("sleep", "600")
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		pids, err := ServerProcesses(port)
		if err != nil || !pids[os.Getpid()] || !pids[child.Process.Pid] || pids[os.Getppid()] {
			t.Errorf("%s: %v, %v; this is %d, its child %d", address, pids, err, os.Getpid(), child.Process.Pid)
		}
		child.Process.Kill()
		child.Wait()
		l.Close()
		if pids, err := ServerProcesses(port); err == nil {
			t.Errorf("%s closed: %v", address, pids)
		}
	}
}

func FuzzListening(f *testing.F) {
	f.Add(tcpTable, 8000)
	f.Add("  0: 00000000000000000000000001000000:1F40 00:00 0A 0 0 0 0 0 12\n", 8000)
	f.Add("0: :FFFFF 0 0A 0 0 0 0 0 9\n", 65535)
	f.Fuzz(func(t *testing.T, table string, port int) {
		inodes := listening(table, port)
		if len(inodes) > 0 && (port < 0 || port > 65535) {
			t.Errorf("port %d: %v", port, inodes)
		}
		if len(inodes) > strings.Count(table, "0A") {
			t.Errorf("%d sockets of %q", len(inodes), table)
		}
	})
}

func FuzzParseStat(f *testing.F) {
	f.Add("10 (a (b) c) S 1 10 7")
	f.Add("10 )( S")
	f.Fuzz(func(t *testing.T, stat string) {
		if p, ok := parseStat(stat); ok && !strings.Contains(stat, "("+p.name+")") {
			t.Errorf("name %q of %q", p.name, stat)
		}
	})
}

// BenchmarkServerProcesses is what one look for the server's processes costs on this machine.
func BenchmarkServerProcesses(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	for b.Loop() {
		if _, err := ServerProcesses(l.Addr().(*net.TCPAddr).Port); err != nil {
			b.Skip(err)
		}
	}
}
