package vllm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A slow disk: a file system of this process (FUSE) in a mount namespace of its own, which keeps its files in an
// ordinary folder and makes every write and sync take its time, as a network share or a worn card does.

// onSlowDisk is a command whose folder mount lies on a slow disk that keeps its files in store.
func onSlowDisk(mount, store string, delay time.Duration, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], append([]string{name}, args...)...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%v:%s:%s", slowDiskEnv, delay, mount, store))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	return cmd
}

// serveSlowDisk mounts the disk, runs the command in the arguments and ends as it does.
func serveSlowDisk(setting string) {
	fields := strings.SplitN(setting, ":", 3)
	delay, err := time.ParseDuration(fields[0])
	if err != nil {
		panic(err)
	}
	fd, err := syscall.Open("/dev/fuse", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err == nil {
		err = syscall.Mount("slow", fields[1], "fuse", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d", fd, os.Getuid(), os.Getgid()))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "no file system can be mounted here:", err)
		os.Exit(slowDiskAbsent)
	}
	d := &slowDisk{fd: fd, delay: delay, paths: map[uint64]string{1: fields[2]}, files: map[uint64]*os.File{}}
	go d.serve()
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		panic(err)
	}
	fmt.Fprintf(os.Stderr, "\nslow disk: %d writes\n", d.writes.Load())
	os.Exit(cmd.ProcessState.ExitCode())
}

// slowDisk answers the kernel's requests. Names and layouts are those of linux/fuse.h, version 7.31.
type slowDisk struct {
	fd     int
	delay  time.Duration
	writes atomic.Int64

	mu    sync.Mutex
	last  uint64 // node or handle given out
	paths map[uint64]string
	files map[uint64]*os.File
}

// Operations of the protocol that a result folder needs; all others are answered with ENOSYS.
const (
	fuseLookup      = 1
	fuseForget      = 2
	fuseGetattr     = 3
	fuseSetattr     = 4
	fuseMkdir       = 9
	fuseUnlink      = 10
	fuseRename      = 12
	fuseOpen        = 14
	fuseRead        = 15
	fuseWrite       = 16
	fuseRelease     = 18
	fuseFsync       = 20
	fuseInit        = 26
	fuseOpendir     = 27
	fuseReaddir     = 28
	fuseReleasedir  = 29
	fuseFsyncdir    = 30
	fuseCreate      = 35
	fuseBatchForget = 42
	fuseRename2     = 45

	fuseInHeader = 40
	fuseMaxWrite = 64 << 10
)

// serve reads requests until the file system is gone; a slow one holds up no other.
func (d *slowDisk) serve() {
	for {
		buf := make([]byte, fuseMaxWrite+4096)
		n, err := syscall.Read(d.fd, buf)
		if errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.ENOENT) {
			continue
		}
		if err != nil {
			return
		}
		op, unique, node := binary.NativeEndian.Uint32(buf[4:]), binary.NativeEndian.Uint64(buf[8:]), binary.NativeEndian.Uint64(buf[16:])
		if op == fuseForget || op == fuseBatchForget {
			continue // these have no answer
		}
		go func() {
			out, err := d.do(op, node, buf[fuseInHeader:n])
			var errno syscall.Errno
			if err != nil && !errors.As(err, &errno) {
				errno = syscall.EIO
			}
			if errno != 0 {
				out = nil
			}
			syscall.Write(d.fd, append(fuseWords(uint32(16+len(out)), -int32(errno), unique), out...))
		}()
	}
}

// fuseWords lays values out one after another.
func fuseWords(values ...any) []byte {
	var out bytes.Buffer
	for _, v := range values {
		binary.Write(&out, binary.NativeEndian, v)
	}
	return out.Bytes()
}

func (d *slowDisk) do(op uint32, node uint64, in []byte) ([]byte, error) {
	u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(in[at:]) }
	u64 := func(at int) uint64 { return binary.NativeEndian.Uint64(in[at:]) }
	path := d.path(node)
	child := func(at int) string {
		name, _, _ := bytes.Cut(in[at:], []byte{0})
		return filepath.Join(path, string(name))
	}
	switch op {
	case fuseInit:
		return fuseWords(uint32(7), uint32(31), u32(8), uint32(0), uint16(12), uint16(9), uint32(fuseMaxWrite), uint32(1), [9]uint32{}), nil
	case fuseLookup:
		return d.entry(child(0))
	case fuseGetattr:
		attr, err := fuseAttr(path)
		return append(fuseWords(uint64(0), uint64(0)), attr...), err
	case fuseSetattr:
		const size = 8
		if u32(0)&size != 0 {
			if err := os.Truncate(path, int64(u64(16))); err != nil {
				return nil, err
			}
		}
		attr, err := fuseAttr(path)
		return append(fuseWords(uint64(0), uint64(0)), attr...), err
	case fuseMkdir:
		if err := os.Mkdir(child(8), 0o755); err != nil {
			return nil, err
		}
		return d.entry(child(8))
	case fuseUnlink:
		return nil, os.Remove(child(0))
	case fuseRename, fuseRename2:
		at := map[uint32]int{fuseRename: 8, fuseRename2: 16}[op]
		from, rest, _ := bytes.Cut(in[at:], []byte{0})
		to, _, _ := bytes.Cut(rest, []byte{0})
		return nil, d.rename(filepath.Join(path, string(from)), filepath.Join(d.path(u64(0)), string(to)))
	case fuseOpen, fuseCreate:
		flags := int(u32(0)) &^ (syscall.O_APPEND | syscall.O_TRUNC) // the kernel says where it writes
		if op == fuseOpen {
			file, err := os.OpenFile(path, flags, 0)
			return fuseWords(d.handle(file), uint64(0)), err
		}
		file, err := os.OpenFile(child(16), flags|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		entry, err := d.entry(child(16))
		return append(entry, fuseWords(d.handle(file), uint64(0))...), err
	case fuseRead:
		buf := make([]byte, u32(16))
		n, err := d.file(u64(0)).ReadAt(buf, int64(u64(8)))
		if err == io.EOF {
			err = nil
		}
		return buf[:n], err
	case fuseWrite:
		d.writes.Add(1)
		time.Sleep(d.delay)
		n, err := d.file(u64(0)).WriteAt(in[40:40+u32(16)], int64(u64(8)))
		return fuseWords(uint32(n), uint32(0)), err
	case fuseFsync, fuseFsyncdir:
		time.Sleep(d.delay)
		return nil, nil
	case fuseRelease:
		return nil, d.file(u64(0)).Close()
	case fuseOpendir, fuseReleasedir:
		return make([]byte, 16), nil
	case fuseReaddir:
		return fuseList(path, u64(8))
	}
	return nil, syscall.ENOSYS
}

func (d *slowDisk) path(node uint64) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.paths[node]
}

func (d *slowDisk) file(handle uint64) *os.File {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.files[handle]
}

func (d *slowDisk) handle(file *os.File) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	d.files[d.last] = file
	return d.last
}

// rename keeps the names of nodes that move with it.
func (d *slowDisk) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for node, path := range d.paths {
		if path == from {
			d.paths[node] = to
		}
	}
	return os.Rename(from, to)
}

// entry is a new node for a path. Nothing is ever cached, so a path may have several.
func (d *slowDisk) entry(path string) ([]byte, error) {
	attr, err := fuseAttr(path)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	d.paths[d.last+1<<32] = path
	return append(fuseWords(d.last+1<<32, [4]uint64{}), attr...), nil
}

func fuseAttr(path string) ([]byte, error) {
	var s syscall.Stat_t
	if err := syscall.Lstat(path, &s); err != nil {
		return nil, err
	}
	return fuseWords(s.Ino, uint64(s.Size), uint64(s.Blocks), uint64(s.Atim.Sec), uint64(s.Mtim.Sec), uint64(s.Ctim.Sec),
		uint32(s.Atim.Nsec), uint32(s.Mtim.Nsec), uint32(s.Ctim.Nsec), s.Mode, uint32(s.Nlink), s.Uid, s.Gid, uint32(s.Rdev), uint32(s.Blksize), uint32(0)), nil
}

// fuseList are the names of a folder from the one numbered from on.
func fuseList(path string, from uint64) ([]byte, error) {
	names, err := os.ReadDir(path)
	var out []byte
	for i := from; i < uint64(len(names)) && len(out) < 3000; i++ {
		name := names[i].Name()
		kind := uint32(syscall.DT_REG)
		if names[i].IsDir() {
			kind = syscall.DT_DIR
		}
		out = append(out, fuseWords(i+2, i+1, uint32(len(name)), kind)...)
		out = append(out, name...)
		out = append(out, make([]byte, (8-len(name)%8)%8)...)
	}
	return out, err
}
