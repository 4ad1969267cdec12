package worker

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// FreeMemory is how many bytes could be had without pushing others out, less a
// reserve for what they may want meanwhile. 0: not known.
func FreeMemory() uint64 {
	free := memInfo("/proc/meminfo", "MemAvailable:")
	if limit := groupLimit(); limit > 0 {
		free = min(free, limit)
	}
	return free / 20 * 17
}

// capMemory makes allocations beyond the free memory fail, instead of being
// granted and ending in the system killing this process or another. It returns
// what lifts the cap again. Without /proc it does nothing.
func capMemory() (lift func(), err error) {
	free, used := FreeMemory(), memInfo("/proc/self/status", "VmData:")
	if free == 0 {
		return func() {}, nil
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &old); err != nil {
		return nil, fmt.Errorf("reading the memory limit: %w", err)
	}
	cap := old
	cap.Cur = min(old.Cur, used+free)
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &cap); err != nil {
		return nil, fmt.Errorf("setting the memory limit: %w", err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &old); err != nil {
			fmt.Fprintln(os.Stderr, "worker: lifting the memory limit:", err)
		}
	}, nil
}

// offerToOOMKiller makes the system, when it must end a process for lack of
// memory, take this one rather than the database.
func offerToOOMKiller() error {
	return os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0)
}

// memInfo reads a line such as "MemAvailable:  123 kB" as bytes, 0 if there is none.
func memInfo(path, key string) uint64 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if fields := strings.Fields(s.Text()); len(fields) >= 2 && fields[0] == key {
			n, err := strconv.ParseUint(fields[1], 10, 64)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

// groupLimit is the container's memory limit, 0 for none.
func groupLimit() uint64 {
	b, err := os.ReadFile("/sys/fs/cgroup/memory.max")
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil { // "max"
		return 0
	}
	return n
}
