package decode

import (
	"strings"
	"unicode/utf8"
)

// textOut turns the bytes of tokens into text that may be shown: whole code
// points only, nothing that may yet turn out to be the start of a stop string.
type textOut struct {
	stops []string        // none empty
	bytes []byte          // the start of a code point whose rest has not come
	held  string          // text that may begin a stop string
	all   strings.Builder // what was let out
}

// push adds the bytes of a token and returns the text that can go out now.
// stopped says that a stop string is complete: what it let out ends before it,
// and nothing may be pushed any more.
func (o *textOut) push(piece []byte) (text string, stopped bool) {
	o.bytes = append(o.bytes, piece...)
	n := len(o.bytes) - incomplete(o.bytes)
	o.held += strings.ToValidUTF8(string(o.bytes[:n]), "\uFFFD")
	o.bytes = append(o.bytes[:0], o.bytes[n:]...)
	return o.release()
}

// finish returns what was held back, for an end without a stop string.
func (o *textOut) finish() string {
	text := o.held + strings.ToValidUTF8(string(o.bytes), "\uFFFD")
	o.held, o.bytes = "", nil
	o.all.WriteString(text)
	return text
}

func (o *textOut) release() (string, bool) {
	at := -1
	for _, s := range o.stops {
		if i := strings.Index(o.held, s); i >= 0 && (at < 0 || i < at) {
			at = i
		}
	}
	stopped := at >= 0
	if !stopped {
		at = len(o.held) - o.mayStop()
	}
	text := o.held[:at]
	o.held = o.held[at:]
	if stopped {
		o.held, o.bytes = "", nil
	}
	o.all.WriteString(text)
	return text, stopped
}

// mayStop is the length of the longest end of held that begins a stop string.
func (o *textOut) mayStop() int {
	longest := 0
	for _, s := range o.stops {
		for n := min(len(s)-1, len(o.held)); n > longest; n-- {
			if strings.HasSuffix(o.held, s[:n]) {
				longest = n
			}
		}
	}
	return longest
}

// incomplete is how many bytes at the end of b begin a code point that more
// bytes may complete; 0 when b ends whole or is beyond repair.
func incomplete(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		c := b[len(b)-n]
		if utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
