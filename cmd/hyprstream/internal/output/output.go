package output

import (
	"bufio"
	"io"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"hyprstream/errs"
)

// Formats are the names that --format takes.
var Formats = []string{"table", "csv", "json", "arrow"}

// Options of a writer.
type Options struct {
	Format   string
	Width    int  // columns of the terminal; 0 when the output is none
	Terminal bool // colours, and no Arrow
}

// Check refuses a format that does not exist or cannot go where the output goes.
func (o Options) Check() error {
	if !slices.Contains(Formats, o.Format) {
		return errs.New(errs.InvalidArgument, "sql", "--format %q is none of %s", o.Format, strings.Join(Formats, ", "))
	}
	if o.Format == "arrow" && o.Terminal {
		return errs.New(errs.InvalidArgument, "sql", "Arrow's binary stream does not go to a terminal; redirect it to a file, or use another --format")
	}
	return nil
}

// Write writes the rows of r, and returns how many they were. The rows before
// an error are written.
func Write(w io.Writer, r array.RecordReader, opt Options) (rows int64, err error) {
	switch opt.Format {
	case "arrow":
		return writeArrow(w, r)
	case "csv":
		return writeCSV(w, r)
	case "json":
		return writeJSON(w, r)
	}
	if isPlan(r.Schema()) {
		return writePlan(w, r)
	}
	return writeTable(w, r, opt)
}

func writeArrow(w io.Writer, r array.RecordReader) (rows int64, err error) {
	out := ipc.NewWriter(w, ipc.WithSchema(r.Schema()))
	for r.Next() {
		if err := out.Write(r.RecordBatch()); err != nil {
			return rows, broken(err)
		}
		rows += r.RecordBatch().NumRows()
	}
	if r.Err() != nil {
		return rows, r.Err()
	}
	return rows, broken(out.Close())
}

func broken(err error) error {
	return errs.Wrap(err, errs.Internal, "sql", "the output cannot be written")
}

// writeCSV follows RFC 4180, with lines ended by \n.
func writeCSV(w io.Writer, r array.RecordReader) (rows int64, err error) {
	out := bufio.NewWriter(w)
	for i, f := range r.Schema().Fields() {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(csvField(f.Name))
	}
	out.WriteByte('\n')
	for r.Next() {
		b := r.RecordBatch()
		for i := range int(b.NumRows()) {
			for c, col := range b.Columns() {
				if c > 0 {
					out.WriteByte(',')
				}
				if !col.IsNull(i) {
					out.WriteString(csvField(Text(col, i)))
				}
			}
			out.WriteByte('\n')
		}
		rows += b.NumRows()
		if err := out.Flush(); err != nil { // each batch leaves as it comes
			return rows, broken(err)
		}
	}
	if err := out.Flush(); err != nil {
		return rows, broken(err)
	}
	return rows, r.Err()
}

func csvField(s string) string {
	if s == "" || strings.ContainsAny(s, ",\"\r\n") || s[0] == ' ' || s[len(s)-1] == ' ' {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

// writeJSON writes one array with an object per line, its keys in the order of
// the columns.
func writeJSON(w io.Writer, r array.RecordReader) (rows int64, err error) {
	out := bufio.NewWriter(w)
	keys := make([]string, r.Schema().NumFields())
	for i, f := range r.Schema().Fields() {
		keys[i] = jsonText(f.Name)
	}
	out.WriteByte('[')
	for r.Next() {
		b := r.RecordBatch()
		for i := range int(b.NumRows()) {
			if rows++; rows > 1 {
				out.WriteByte(',')
			}
			out.WriteString("\n{")
			for c, col := range b.Columns() {
				if c > 0 {
					out.WriteString(", ")
				}
				out.WriteString(keys[c] + ": " + jsonText(col.GetOneForMarshal(i)))
			}
			out.WriteByte('}')
		}
		if err := out.Flush(); err != nil {
			return rows, broken(err)
		}
	}
	if r.Err() != nil {
		_ = out.Flush() // the rows until here; the error is what matters
		return rows, r.Err()
	}
	out.WriteString("\n]\n")
	return rows, broken(out.Flush())
}
