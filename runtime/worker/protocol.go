package worker

import (
	"bufio"
	"encoding/gob"
	"net"
	"sync"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// toChild is a message from parent to child. The first one carries Spec or
// Quantize alone; of the others exactly one field beside ID is set, and More.
type toChild struct {
	ID         uint64
	Spec       *Spec
	Quantize   *quantizing
	Submit     []decode.Request // a part of a Submit
	Embed      []string         // a part of an Embed
	More       bool             // other parts of this Submit, Embed or Adopt follow
	Tokenize   [][]decode.Segment
	AddBOS     bool // for Tokenize
	Whole      bool // for Tokenize: as texts to be embedded
	Detokenize [][]decode.Token
	Stats      bool
	Prefixes   bool
	Dialogues  bool
	Dialogue   string           // the name of one to be copied out
	Adopt      *decode.Dialogue // the first part of an Adopt, with State
	State      []byte           // a part of an Adopt's
	Forget     []string
	Cancel     bool // of the call with this ID
	Late       bool // Cancel because a deadline passed
}

// toParent is a message from child to parent.
type toParent struct {
	ID       uint64 // 0: about the process
	Progress float64
	Ready    *decode.Info
	Failed   *errs.Error // with ID 0: loading failed and the child is about to end

	Events  []decode.Event
	Vectors []Vector
	Done    bool // the call with this ID is over; Failed says how when it is set
	Tokens  [][]decode.Token
	Texts   []string
	Stats   *decode.Stats

	Prefixes  []decode.Prefix
	Dialogues []decode.Dialogue
	State     []byte // a part of the one of Dialogues
}

// Vector is what a text became. Err is the text's own failure.
type Vector struct {
	Index  int // of the text within its Embed
	Values []float32
	Tokens int
	Err    *errs.Error
}

// partSize is how many requests of a Submit travel in one message: a large one
// must not hold up the cancel of another.
const partSize = 256

// stateSize is how many bytes of a state travel in one message, likewise.
const stateSize = 1 << 20

// wire is one end of the socket.
type wire struct {
	conn net.Conn
	dec  *gob.Decoder // the reader's alone

	mu  sync.Mutex
	out *bufio.Writer // guarded by mu
	enc *gob.Encoder  // guarded by mu
}

func newWire(conn net.Conn) *wire {
	out := bufio.NewWriterSize(conn, 64<<10)
	return &wire{conn: conn, dec: gob.NewDecoder(bufio.NewReaderSize(conn, 64<<10)), out: out, enc: gob.NewEncoder(out)}
}

// send writes messages and flushes. It blocks while the other end reads slowly.
func (w *wire) send(messages ...any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range messages {
		if err := w.enc.Encode(m); err != nil {
			return err
		}
	}
	return w.out.Flush()
}

// plain is e without its cause, which gob could not carry; the cause's text
// stays.
func plain(e *errs.Error) *errs.Error {
	if e == nil || e.Err == nil {
		return e
	}
	return &errs.Error{Code: e.Code, Op: e.Op, Msg: e.Error()}
}
