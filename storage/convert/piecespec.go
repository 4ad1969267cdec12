package convert

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// pieceSpec is what a SentencePiece file says of how it cuts texts, with the
// format's defaults for what it does not say.
type pieceSpec struct {
	kind     uint64 // 1 unigram, 2 BPE
	rule     string // the normaliser's name
	replaces bool   // it has a table of replacements
	prefix   bool   // a space is put before a text
	squeeze  bool   // spaces at the ends and doubled ones are left out
	escape   bool   // spaces become U+2581
	suffix   bool   // words end with a space
	ids      map[string]int
}

func newPieceSpec() *pieceSpec {
	return &pieceSpec{kind: 1, prefix: true, squeeze: true, escape: true, ids: map[string]int{"bos": 1, "eos": 2}}
}

// trainer reads a field of the trainer's part.
func (p *pieceSpec) trainer(n protowire.Number, _ []byte, num uint64) error {
	switch n {
	case 3:
		p.kind = num
	case 24:
		p.suffix = num != 0
	case 41:
		p.ids["bos"] = int(int32(num))
	case 42:
		p.ids["eos"] = int(int32(num))
	}
	return nil
}

// normalizer reads a field of the normaliser's part.
func (p *pieceSpec) normalizer(n protowire.Number, val []byte, num uint64) error {
	switch n {
	case 1:
		p.rule = string(val)
	case 2:
		p.replaces = len(val) > 0
	case 3:
		p.prefix = num != 0
	case 4:
		p.squeeze = num != 0
	case 5:
		p.escape = num != 0
	}
	return nil
}

// check refuses what llama.cpp would cut otherwise.
func (p *pieceSpec) check(s *source, v *vocabulary) error {
	bytes, own := 0, ""
	for i, kind := range v.types {
		switch kind {
		case tokenByte:
			bytes++
		case tokenUser:
			own = v.tokens[i]
		}
	}
	switch {
	case p.kind != 2:
		return s.unsupported(pieceName, "it is a SentencePiece model of type %d; BPE (2) can be converted", p.kind)
	case p.replaces:
		return s.unsupported(pieceName, "it normalises texts (%.40q), which cannot be converted; identity can", p.rule)
	case p.squeeze:
		return s.unsupported(pieceName, "it leaves out spaces (remove_extra_whitespaces), which cannot be converted")
	case !p.escape, p.suffix:
		return s.unsupported(pieceName, "it treats spaces otherwise than as U+2581 before words, which cannot be converted")
	case bytes != 256:
		return s.unsupported(pieceName, "it has %d tokens of bytes, by which letters without a token are written; with all 256 (byte_fallback) it can be converted", bytes)
	case p.prefix && own != "":
		return s.unsupported(pieceName, "it puts a space before a text and has tokens that are always found whole (%.40q), after which another space would come; it can be converted with one of the two", own)
	}
	return nil
}
