package operator

import (
	"encoding/binary"
	"fmt"
)

// Kind says what an argument of a call holds.
type Kind uint8

// The kinds, as packed by functions.hpp.
const (
	Null    Kind = 0
	Text    Kind = 1 // one value, numbers and booleans as DuckDB prints them
	List    Kind = 2
	Unknown Kind = 3 // not constant, seen only by Check
)

// Arg is one argument of a call.
type Arg struct {
	Kind Kind
	Text string
	List []string
}

// Call is one row's call of a function.
type Call struct {
	Fn    uint16
	Nonce uint64 // equal for copies of one evaluation, different for independent ones
	Args  []Arg
}

// decode reads a packed request; the layout is told in functions.hpp.
func decode(b []byte) (Call, error) {
	var c Call
	if len(b) < 10 {
		return c, fmt.Errorf("request of %d bytes", len(b))
	}
	c.Nonce, c.Fn = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint16(b[8:])
	b = b[10:]
	u32 := func() int {
		n := int(binary.LittleEndian.Uint32(b))
		b = b[4:]
		return n
	}
	text := func() string {
		n := u32()
		s := string(b[:n])
		b = b[n:]
		return s
	}
	for len(b) > 0 {
		a := Arg{Kind: Kind(b[0])}
		b = b[1:]
		switch a.Kind {
		case Text:
			a.Text = text()
		case List:
			a.List = make([]string, u32())
			for i := range a.List {
				a.List[i] = text()
			}
		}
		c.Args = append(c.Args, a)
	}
	return c, nil
}
