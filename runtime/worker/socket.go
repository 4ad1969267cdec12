package worker

import (
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
)

// socketPair makes a connected pair: our end as a connection, theirs as the
// file to hand to the child. Neither leaks into other children: a sibling that
// held our end would keep the child alive beyond its parent.
func socketPair() (net.Conn, *os.File, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "engine"), os.NewFile(uintptr(fds[1]), "engine-child")
	defer ours.Close() // FileConn takes a duplicate
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}

// hangUp closes the sending half: the child sees the end and exits, and what it
// had sent can still be read.
func (w *wire) hangUp() error {
	if u, ok := w.conn.(*net.UnixConn); ok {
		return u.CloseWrite()
	}
	return w.conn.Close()
}

// tail keeps the end of what a child writes to its standard error.
type tail struct {
	mu  sync.Mutex
	buf []byte // guarded by mu
}

const tailSize = 8 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

// suffix is the last telling line, to end an error's text with; "" if nothing
// was written. Of a Go panic or an assertion that is its first line.
func (t *tail) suffix() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(t.buf), "\uFFFD")), "\n")
	last := lines[len(lines)-1]
	for _, l := range lines {
		if strings.Contains(l, "GGML_ASSERT") || strings.HasPrefix(l, "panic:") || strings.HasPrefix(l, "fatal error:") || strings.HasPrefix(l, "SIG") {
			last = l
			break
		}
	}
	if last == "" {
		return ""
	}
	return ": " + strings.TrimSpace(last)
}
