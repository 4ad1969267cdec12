package output

import (
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// isPlan says whether rows are what EXPLAIN answers: drawings, not cells.
func isPlan(s *arrow.Schema) bool {
	return s.NumFields() == 2 && s.Field(0).Name == "explain_key" && s.Field(1).Name == "explain_value"
}

func writePlan(w io.Writer, r array.RecordReader) (rows int64, err error) {
	for r.Next() {
		b := r.RecordBatch()
		for i := range int(b.NumRows()) {
			for line := range strings.Lines(Text(b.Column(1), i)) {
				if _, err := io.WriteString(w, Printable(strings.TrimRight(line, "\n"))+"\n"); err != nil {
					return rows, broken(err)
				}
			}
			rows++
		}
	}
	return rows, r.Err()
}
