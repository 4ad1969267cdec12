package shell

import (
	"os"
	"path/filepath"
	"strings"
)

// maxEntries bounds what is read from a history file.
const maxEntries = 1000

// history is a term.History over a file with an entry per line. A file that
// cannot be read or written leaves a history in memory: it is a convenience.
type history struct {
	entries []string
	file    string
}

func openHistory(file string) *history {
	h := &history{file: file}
	text, err := os.ReadFile(file)
	if err != nil {
		return h
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if line != "" {
			h.entries = append(h.entries, line)
		}
	}
	h.entries = h.entries[max(0, len(h.entries)-maxEntries):]
	return h
}

// Add is the editor's: it gets single lines. keep gets whole inputs instead.
func (h *history) Add(string) {}

// Len is the number of entries.
func (h *history) Len() int { return len(h.entries) }

// At gives an entry; 0 is the latest.
func (h *history) At(i int) string { return h.entries[len(h.entries)-1-i] }

// keep adds an input as one line, so that it can be called back whole; with a
// "--" comment in it, which would swallow the lines after it, line by line.
func (h *history) keep(lines []string) {
	joined := []string{strings.Join(lines, " ")}
	if strings.Contains(joined[0], "--") {
		joined = lines
	}
	for _, entry := range joined {
		entry = strings.TrimSpace(entry)
		if entry == "" || len(h.entries) > 0 && h.entries[len(h.entries)-1] == entry {
			continue
		}
		h.entries = append(h.entries, entry)
		h.write(entry)
	}
}

func (h *history) write(entry string) {
	if h.file == "" || os.MkdirAll(filepath.Dir(h.file), 0o700) != nil {
		return
	}
	f, err := os.OpenFile(h.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.WriteString(entry + "\n")
}
