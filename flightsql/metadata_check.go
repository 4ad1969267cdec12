package flightsql

import (
	"errors"

	flatbuffers "github.com/google/flatbuffers/go"
)

// maxDepth bounds how deep columns nest; arrow-go reads no deeper.
const maxDepth = 64

// Of Arrow's Message.fbs and Schema.fbs: places in tables, and kinds.
const (
	messageKind, messageHeader, messageMetadata = 6, 8, 12
	schemaFields, schemaMetadata                = 6, 8
	fieldKind, fieldType                        = 8, 10
	fieldChildren, fieldMetadata                = 14, 16
	unionTypes                                  = 6
	batchBuffers, batchVariadic                 = 8, 12
	dictionaryBatch                             = 6

	kindSchema, kindDictionary, kindBatch = 1, 2, 3
	kindUnion                             = 14
)

var errMetadata = errors.New("the Arrow message is damaged: it claims more than it holds")

// metadataCheck looks through the header of an Arrow message before arrow-go does,
// which makes room for as many fields as a vector says it has, and follows a table
// into itself. It panics where an offset points outside.
type metadataCheck struct {
	buf    []byte
	fields int // seen
}

func checkMetadata(buf []byte) (err error) {
	defer broken(&err)
	c := metadataCheck{buf: buf}
	message := flatbuffers.Table{Bytes: buf, Pos: flatbuffers.GetUOffsetT(buf)}
	c.vector(message, messageMetadata, 4)
	header, ok := c.table(message, messageHeader)
	if !ok {
		panic(errMetadata)
	}
	switch message.GetByteSlot(messageKind, 0) {
	case kindSchema:
		c.vector(header, schemaMetadata, 4)
		c.each(header, schemaFields, maxDepth)
	case kindDictionary:
		if batch, ok := c.table(header, dictionaryBatch); ok {
			c.batch(batch)
		}
	case kindBatch:
		c.batch(header)
	}
	return nil
}

// table is the table at a place of another one.
func (c *metadataCheck) table(t flatbuffers.Table, place flatbuffers.VOffsetT) (flatbuffers.Table, bool) {
	at := flatbuffers.UOffsetT(t.Offset(place))
	if at == 0 {
		return flatbuffers.Table{}, false
	}
	return flatbuffers.Table{Bytes: c.buf, Pos: t.Indirect(at + t.Pos)}, true
}

// vector is where the vector at a place of a table begins, and its length: no more
// elements of so many bytes than there are bytes.
func (c *metadataCheck) vector(t flatbuffers.Table, place flatbuffers.VOffsetT, size int) (begin flatbuffers.UOffsetT, n int) {
	at := flatbuffers.UOffsetT(t.Offset(place))
	if at == 0 {
		return 0, 0
	}
	begin, n = t.Vector(at), t.VectorLen(at)
	if n > (len(c.buf)-int(begin))/size {
		panic(errMetadata)
	}
	return begin, n
}

// each looks through the fields of a schema, or the children of one.
func (c *metadataCheck) each(t flatbuffers.Table, place flatbuffers.VOffsetT, depth int) {
	begin, n := c.vector(t, place, 4)
	if c.fields += n; n > 0 && depth == 0 || c.fields > len(c.buf) {
		panic(errMetadata)
	}
	for i := range n {
		f := flatbuffers.Table{Bytes: c.buf, Pos: t.Indirect(begin + flatbuffers.UOffsetT(4*i))}
		c.vector(f, fieldMetadata, 4)
		if typ, ok := c.table(f, fieldType); ok && f.GetByteSlot(fieldKind, 0) == kindUnion {
			c.vector(typ, unionTypes, 4)
		}
		c.each(f, fieldChildren, depth-1)
	}
}

// batch looks at what a record batch says of its buffers.
func (c *metadataCheck) batch(t flatbuffers.Table) {
	_, buffers := c.vector(t, batchBuffers, 16)
	begin, n := c.vector(t, batchVariadic, 8)
	for i := range n {
		if v := t.GetInt64(begin + flatbuffers.UOffsetT(8*i)); v < 0 || v > int64(buffers) {
			panic(errMetadata)
		}
	}
}
