package sqlfuncs

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"

	"hyprstream/errs"
	"hyprstream/inference"
)

// answers are what calls were answered, found by the calls' digests. What is in
// memory is small: 24 bytes and some for each, and a buffer; the rest is in a file
// without a name, which is gone with its process. It is not safe for concurrent use.
type answers struct {
	dir   string
	at    map[digest]int64 // where its record begins
	tail  []byte           // the records after those in file
	file  *os.File
	saved int64 // bytes in file
	full  bool  // no more is kept: equal calls may be asked again
}

const (
	tailBytes = 4 << 20
	// keptBytes is where a statement's answers stop being kept. It is a lot of text
	// to be asked the same twice in.
	keptBytes = 4 << 30
)

// put adds an answer. When it cannot be kept, a later equal call is asked again.
func (a *answers) put(key digest, c inference.Completion) {
	if a.full {
		return
	}
	if a.at == nil {
		a.at = map[digest]int64{}
	}
	a.at[key] = a.saved + int64(len(a.tail))
	a.tail = appendRecord(a.tail, c)
	if len(a.tail) < tailBytes {
		return
	}
	if a.file == nil {
		f, err := os.CreateTemp(a.dir, "hyprstream-answers-*")
		if err != nil {
			a.full = true
			return
		}
		_ = os.Remove(f.Name()) // where that is not possible, it stays until its directory is cleaned
		a.file = f
	}
	n, err := a.file.WriteAt(a.tail, a.saved)
	if err != nil { // a full disk
		a.full = true
		return
	}
	a.saved += int64(n)
	a.tail = a.tail[:0]
	a.full = a.saved > keptBytes
}

// get finds an answer. It counts no tokens: nothing was computed for it.
func (a *answers) get(key digest) (c inference.Completion, ok bool, err error) {
	at, ok := a.at[key]
	if !ok {
		return c, false, nil
	}
	if at >= a.saved {
		return readRecord(a.tail[at-a.saved:]), true, nil
	}
	var head [4]byte
	if _, err := a.file.ReadAt(head[:], at); err != nil {
		return c, false, unreadable(err)
	}
	b := make([]byte, 4+binary.LittleEndian.Uint32(head[:]))
	if _, err := a.file.ReadAt(b, at); err != nil && err != io.EOF { //nolint:errorlint // ReadAt's own, when the record is the last one
		return c, false, unreadable(err)
	}
	return readRecord(b), true, nil
}

func unreadable(err error) error {
	return errs.Wrap(err, errs.Internal, "generate", "an answer that was put aside on disk cannot be read")
}

func (a *answers) close() {
	if a.file != nil {
		_ = a.file.Close()
	}
	*a = answers{full: true}
}

// A record is: u32 bytes that follow, then text, error code, error message, model, finish reason, lineage,
// each u32 length and bytes, then the scores, float64 each. Little endian.
func appendRecord(b []byte, c inference.Completion) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	text := func(s string) {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	text(c.Text)
	if c.Err != nil {
		text(string(c.Err.Code))
		text(c.Err.Error())
	} else {
		text("")
		text("")
	}
	text(c.Model)
	text(c.FinishReason)
	if c.Lineage == nil {
		text("")
	} else {
		doc, _ := json.Marshal(c.Lineage) //nolint:errchkjson // names and numbers
		text(string(doc))
	}
	for _, s := range c.Scores {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(s))
	}
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

func readRecord(b []byte) (c inference.Completion) {
	b = b[4 : 4+binary.LittleEndian.Uint32(b)]
	text := func() string {
		n := binary.LittleEndian.Uint32(b)
		s := string(b[4 : 4+n])
		b = b[4+n:]
		return s
	}
	c.Text = text()
	code, message := text(), text()
	if code != "" {
		c.Err = errs.New(errs.Code(code), "generate", "%s", message)
	}
	c.Model, c.FinishReason = text(), text()
	if doc := text(); doc != "" {
		c.Lineage = &inference.Lineage{}
		_ = json.Unmarshal([]byte(doc), c.Lineage) // as it was written
	}
	for ; len(b) >= 8; b = b[8:] {
		c.Scores = append(c.Scores, math.Float64frombits(binary.LittleEndian.Uint64(b)))
	}
	return c
}
