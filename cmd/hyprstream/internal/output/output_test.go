package output

import (
	"bytes"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// rows gives a reader over three rows: an id, a text with everything that is
// hard to write, a list.
func rows(t *testing.T) array.RecordReader {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "text", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "list", Type: arrow.ListOf(arrow.PrimitiveTypes.Int32), Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues([]int64{1, 22, 0}, []bool{true, true, false})
	b.Field(1).(*array.StringBuilder).AppendValues([]string{"a \"quoted\", <b>\nsecond line", "", ""}, []bool{true, true, false})
	lists := b.Field(2).(*array.ListBuilder)
	lists.Append(true)
	lists.ValueBuilder().(*array.Int32Builder).AppendValues([]int32{1, 2}, nil)
	lists.AppendNull()
	lists.Append(true)
	rec := b.NewRecordBatch()
	r, err := array.NewRecordReader(schema, []arrow.RecordBatch{rec})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFormats(t *testing.T) {
	for _, c := range []struct {
		name string
		opt  Options
		want string
	}{
		{"csv", Options{Format: "csv"}, "id,text,list\n1,\"a \"\"quoted\"\", <b>\nsecond line\",\"[1,2]\"\n22,\"\",\n,,[]\n"},
		{"json", Options{Format: "json"}, `[
{"id": 1, "text": "a \"quoted\", <b>\nsecond line", "list": [1,2]},
{"id": 22, "text": "", "list": null},
{"id": null, "text": null, "list": []}
]
`},
		{"table", Options{Format: "table"}, `
┌──────┬──────────────────────────────┬───────┐
│   id │ text                         │ list  │
├──────┼──────────────────────────────┼───────┤
│    1 │ a "quoted", <b>\nsecond line │ [1,2] │
│   22 │                              │ NULL  │
│ NULL │ NULL                         │ []    │
└──────┴──────────────────────────────┴───────┘
(3 rows)
`},
		{"narrow terminal", Options{Format: "table", Width: 32}, `
┌──────┬───────────────┬───────┐
│   id │ text          │ list  │
├──────┼───────────────┼───────┤
│    1 │ a "quoted",   │ [1,2] │
│      │ <b>           │       │
│      │ second line   │       │
│   22 │               │ NULL  │
│ NULL │ NULL          │ []    │
└──────┴───────────────┴───────┘
(3 rows)
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var buf bytes.Buffer
			n, err := Write(&buf, rows(t), c.opt)
			if err != nil || n != 3 {
				t.Fatal(n, err)
			}
			if got := buf.String(); got != strings.TrimPrefix(c.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestArrow(t *testing.T) {
	var buf bytes.Buffer
	if _, err := Write(&buf, rows(t), Options{Format: "arrow"}); err != nil {
		t.Fatal(err)
	}
	r, err := ipc.NewReader(&buf)
	if err != nil || !r.Next() || r.RecordBatch().NumRows() != 3 {
		t.Error(err)
	}
}

func TestTerminalIsNotSteered(t *testing.T) {
	tab := &table{opt: Options{Width: 80, Terminal: true}}
	if got := tab.clean("a\x1b[31mb\u009b\tc\r\nd"); got != "a\uFFFD[31mb\uFFFD c\nd" {
		t.Errorf("%q", got)
	}
}

func TestCheck(t *testing.T) {
	if Options(Options{Format: "xml"}).Check() == nil || Options(Options{Format: "arrow", Terminal: true}).Check() == nil {
		t.Error("must be refused")
	}
	for _, f := range Formats {
		if err := (Options{Format: f}).Check(); err != nil {
			t.Error(err)
		}
	}
}
