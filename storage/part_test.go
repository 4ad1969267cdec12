package storage

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"testing"

	"hyprstream/errs"
)

// TestPart leaves a part in several states and makes it again, with pieces of
// other lengths: its bytes are the new ones, whatever was there.
func TestPart(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	want := make([]byte, 300_000)
	for i := range want {
		want[i] = byte(r.Uint32())
	}
	at := func(n int) []byte {
		b := bytes.Clone(want)
		b[n] ^= 1
		return b
	}
	for name, left := range map[string][]byte{
		"nothing": nil, "a beginning": want[:123_456], "all": want, "more": append(bytes.Clone(want), 1, 2, 3),
		"another first byte": at(0), "another byte in the middle": at(150_000), "another last byte": at(len(want) - 1),
		"zeros at the end": append(bytes.Clone(want[:200_000]), make([]byte, 50_000)...),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			p, err := s.Part([]byte("key"), "x")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Write(left); err != nil {
				t.Fatal(err)
			}
			p.End(true)
			if s, err = Open(dir); err != nil { // as after a restart
				t.Fatal(err)
			}
			if p, err = s.Part([]byte("key"), "x"); err != nil {
				t.Fatal(err)
			}
			if err := p.Room(int64(len(want)), 0, ""); err != nil {
				t.Error(err)
			}
			for rest := want; len(rest) > 0; {
				n := min(len(rest), 1+r.IntN(20_000))
				if _, err := p.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			sha, err := p.Finish()
			if err != nil {
				t.Fatal(err)
			}
			blob, err := p.Adopt()
			p.End(false)
			if err != nil || blob.SHA256 != sha || blob.Bytes != int64(len(want)) {
				t.Errorf("%+v, %v", blob, err)
			}
			if got, err := os.ReadFile(blob.Path); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if err := s.Verify(t.Context(), sha); err != nil {
				t.Error(err)
			}
			if left := names(t, s); len(left) != 1 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// What is the same is not written again: a part that cannot be written is enough.
func TestPartIsKept(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Part([]byte("key"), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte("the same")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Part([]byte("key"), "importing x"); errs.CodeOf(err) != errs.AlreadyExists {
		t.Error("opened twice:", err)
	}
	p.End(true)
	if p, err = s.Part([]byte("key"), "x"); err != nil {
		t.Fatal(err)
	}
	p.file.Close()
	if p.file, err = os.Open(p.path); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte("the same")); err != nil {
		t.Error(err)
	}
	if _, err := p.Write([]byte("more")); !errors.Is(err, os.ErrPermission) && errs.CodeOf(err) != errs.Internal {
		t.Error("written:", err)
	}
	p.End(false)
	if left := names(t, s); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// Room counts what is there.
func TestPartRoom(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.free = func(string) (int64, error) { return DiskReserve + 1000, nil }
	p, err := s.Part([]byte("key"), "converting x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(make([]byte, 500)); err != nil {
		t.Fatal(err)
	}
	p.End(true)
	if p, err = s.Part([]byte("key"), "converting x"); err != nil {
		t.Fatal(err)
	}
	defer p.End(false)
	if err := p.Room(1400, 0, ""); err != nil {
		t.Error(err)
	}
	if err := p.Room(1400, 200, ""); errs.CodeOf(err) != errs.DiskFull {
		t.Error(err)
	}
}
