package states

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"time"
)

// A file is: magic, length and CRC-32C of the header, the header as JSON, the tokens
// as little-endian int32, the data, and the SHA-256 of all before it.
const (
	magic      = "hsstate\x01"
	prologue   = len(magic) + 8
	mostHeader = 1 << 20
)

var errDamaged = errors.New("the file is damaged")

// Info describes a state.
type Info struct {
	Session  string
	Model    string // name
	SHA256   string // of the model's file
	Options  string // of the model
	Engine   string // what computed it
	Adapters string // names the set that it was computed with, "" for none
	Length   int    // tokens
	Size     int64  // bytes of data
	Made     time.Time

	Bytes int64     `json:"-"` // of the file
	Used  time.Time `json:"-"` // the file's time
}

// State is what a model has computed of a dialogue: Data, when it had read Tokens.
type State struct {
	Info
	Tokens []int32
	Data   []byte
}

func header(i Info) ([]byte, error) {
	h, err := json.Marshal(i)
	if err == nil && len(h) > mostHeader {
		err = errors.New("the description is too long")
	}
	return h, err
}

func crc(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// size is a whole file's.
func size(header int, i Info) int64 {
	return int64(prologue+header+sha256.Size) + 4*int64(i.Length) + i.Size
}

// write writes a file, in pieces between which it looks whether ctx has ended.
func write(ctx context.Context, f io.Writer, s State) error {
	s.Length, s.Size = len(s.Tokens), int64(len(s.Data))
	head, err := header(s.Info)
	if err != nil {
		return err
	}
	start := binary.LittleEndian.AppendUint32([]byte(magic), uint32(len(head)))
	start = append(binary.LittleEndian.AppendUint32(start, crc(head)), head...)
	for _, t := range s.Tokens {
		start = binary.LittleEndian.AppendUint32(start, uint32(t))
	}
	sum := sha256.New()
	out := io.MultiWriter(f, sum)
	if _, err := out.Write(start); err != nil {
		return err
	}
	for part := range slices.Chunk(s.Data, 1<<20) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := out.Write(part); err != nil {
			return err
		}
	}
	_, err = f.Write(sum.Sum(nil))
	return err
}

// describe reads a file's header and holds its size against it.
func describe(f *os.File) (i Info, head int, err error) {
	st, err := f.Stat()
	if err != nil {
		return i, 0, err
	}
	start := make([]byte, prologue)
	if _, err := io.ReadFull(f, start); err != nil || string(start[:len(magic)]) != magic {
		return i, 0, fmt.Errorf("%w: it does not begin as one", errDamaged)
	}
	n := binary.LittleEndian.Uint32(start[len(magic):])
	if n > mostHeader {
		return i, 0, fmt.Errorf("%w: a header of %d bytes", errDamaged, n)
	}
	h := make([]byte, n)
	if _, err := io.ReadFull(f, h); err != nil || crc(h) != binary.LittleEndian.Uint32(start[len(magic)+4:]) {
		return i, 0, fmt.Errorf("%w: its header", errDamaged)
	}
	if err := json.Unmarshal(h, &i); err != nil {
		return i, 0, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if i.Length < 0 || i.Size < 0 || st.Size() != size(len(h), i) {
		return i, 0, fmt.Errorf("%w: it has %d bytes", errDamaged, st.Size())
	}
	i.Bytes, i.Used = st.Size(), st.ModTime()
	return i, len(h), nil
}

// read reads a file and checks all of it.
func read(ctx context.Context, f *os.File) (State, error) {
	i, head, err := describe(f)
	if err != nil {
		return State{}, err
	}
	all := make([]byte, i.Bytes)
	for done := 0; done < len(all); {
		n, err := f.ReadAt(all[done:min(len(all), done+1<<20)], int64(done))
		if done += n; err != nil && done < len(all) {
			return State{}, fmt.Errorf("%w: %w", errDamaged, err)
		}
		if ctx.Err() != nil {
			return State{}, ctx.Err()
		}
	}
	end := len(all) - sha256.Size
	if sum := sha256.Sum256(all[:end]); !bytes.Equal(sum[:], all[end:]) {
		return State{}, fmt.Errorf("%w: its checksum is another", errDamaged)
	}
	body := all[prologue+head : end]
	s := State{Info: i, Tokens: make([]int32, i.Length), Data: body[4*i.Length:]}
	for t := range s.Tokens {
		s.Tokens[t] = int32(binary.LittleEndian.Uint32(body[4*t:]))
	}
	return s, nil
}
