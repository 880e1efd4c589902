package gpu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrElsewhere says that what listens on the server's port only passes connections on to another machine.
var ErrElsewhere = errors.New("the server runs elsewhere")

// forwarders are programs that hold a port for a server on another machine.
var forwarders = [...]string{"ssh", "sshd", "kubectl"}

// process is a process as /proc shows it.
type process struct {
	pid, parent, group int
	name               string
}

// ServerProcesses are the ids of the processes behind a TCP port of this machine: those that hold the
// listening socket, all that descend from them, and what else is in the process groups these lead. An
// error says why they cannot be known: the system has no /proc, nobody listens here (the server is in a
// container with a network of its own), or the listener belongs to another user.
func ServerProcesses(port int) (map[int]bool, error) { return serverProcesses("/proc", port) }

func serverProcesses(proc string, port int) (map[int]bool, error) {
	sockets, err := listeningSockets(proc, port)
	if err != nil {
		return nil, err
	}
	all, err := processes(proc)
	if err != nil {
		return nil, err
	}
	pids := map[int]bool{}
	for _, p := range all {
		if !holdsSocket(filepath.Join(proc, strconv.Itoa(p.pid), "fd"), sockets) {
			continue
		}
		if slices.Contains(forwarders[:], p.name) {
			return nil, fmt.Errorf("%w: port %d is forwarded by %s", ErrElsewhere, port, p.name)
		}
		pids[p.pid] = true
	}
	if len(pids) == 0 {
		return nil, fmt.Errorf("the process that listens on port %d belongs to another user", port)
	}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !pids[p.pid] && (pids[p.parent] || pids[p.group]) {
				pids[p.pid], grown = true, true
			}
		}
	}
	return pids, nil
}

// listeningSockets are the links that a process holding a socket listening on port has among its files.
func listeningSockets(proc string, port int) (map[string]bool, error) {
	sockets := map[string]bool{}
	read := false
	for _, name := range []string{"tcp", "tcp6"} {
		table, err := os.ReadFile(filepath.Join(proc, "net", name))
		if err != nil {
			continue // a kernel without IPv6 has one table
		}
		read = true
		for _, inode := range listening(string(table), port) {
			sockets["socket:["+inode+"]"] = true
		}
	}
	switch {
	case !read:
		return nil, errors.New("this system does not tell which process listens on a port")
	case len(sockets) == 0:
		return nil, fmt.Errorf("no process of this machine listens on port %d", port)
	}
	return sockets, nil
}

// listening are the inodes of the sockets in a /proc/net/tcp table that listen on port.
func listening(table string, port int) (inodes []string) {
	const listen = "0A"
	for line := range strings.Lines(table) {
		f := strings.Fields(line) // sl, local address, remote address, state, …, inode is the tenth
		if len(f) < 10 || f[3] != listen {
			continue
		}
		_, hex, _ := strings.Cut(f[1], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil && int(n) == port {
			inodes = append(inodes, f[9])
		}
	}
	return inodes
}

// processes are all processes there are. One that ends meanwhile is left out.
func processes(proc string) ([]process, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var all []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(proc, e.Name(), "stat"))
		if err != nil {
			continue
		}
		if p, ok := parseStat(string(stat)); ok {
			p.pid = pid
			all = append(all, p)
		}
	}
	return all, nil
}

// parseStat reads name, parent and group out of /proc/PID/stat: the name is in parentheses and may hold
// any character, then come the state, the parent and the process group.
func parseStat(stat string) (p process, ok bool) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return process{}, false
	}
	f := strings.Fields(stat[end+1:])
	if len(f) < 3 {
		return process{}, false
	}
	parent, err1 := strconv.Atoi(f[1])
	group, err2 := strconv.Atoi(f[2])
	return process{parent: parent, group: group, name: stat[open+1 : end]}, err1 == nil && err2 == nil
}

// holdsSocket says whether one of the files in a /proc/PID/fd folder is one of the sockets. A folder
// that may not be read, another user's, holds none.
func holdsSocket(folder string, sockets map[string]bool) bool {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		link, err := os.Readlink(filepath.Join(folder, e.Name()))
		return err == nil && sockets[link]
	})
}
