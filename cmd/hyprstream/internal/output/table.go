package output

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/charmbracelet/x/ansi"
)

const (
	sampleRows = 500 // rows that decide the columns' widths
	minWidth   = 6   // a column is not squeezed below this
	dim, plain = "\x1b[2m", "\x1b[0m"
)

// cell is one value, already as text.
type cell struct {
	text string
	null bool
}

// table lays rows out. On a terminal cells are wrapped, so that the table fits
// and long completions can be read; elsewhere a row is always one line, with
// line breaks shown as \n.
type table struct {
	out    *bufio.Writer
	opt    Options
	names  []string
	right  []bool
	widths []int
}

func writeTable(w io.Writer, r array.RecordReader, opt Options) (rows int64, err error) {
	t := &table{out: bufio.NewWriter(w), opt: opt}
	for _, f := range r.Schema().Fields() {
		t.names = append(t.names, f.Name)
		t.right = append(t.right, isNumber(f.Type))
	}
	var sample [][]cell
	for r.Next() {
		b := r.RecordBatch()
		for i := range int(b.NumRows()) {
			row := t.cells(b, i)
			if t.widths == nil {
				if sample = append(sample, row); len(sample) == sampleRows {
					t.begin(sample)
				}
				continue
			}
			t.row(row)
		}
		rows += b.NumRows()
		if err := t.out.Flush(); err != nil {
			return rows, broken(err)
		}
	}
	if t.widths == nil {
		t.begin(sample)
	}
	t.rule("└", "┴", "┘")
	if r.Err() == nil {
		fmt.Fprintf(t.out, "(%d %s)\n", rows, plural(rows, "row", "rows"))
	}
	if err := t.out.Flush(); err != nil {
		return rows, broken(err)
	}
	return rows, r.Err()
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func (t *table) cells(b arrow.RecordBatch, i int) []cell {
	row := make([]cell, b.NumCols())
	for c, col := range b.Columns() {
		if col.IsNull(i) {
			row[c] = cell{"NULL", true}
			continue
		}
		row[c].text = t.clean(Text(col, i))
	}
	return row
}

// clean keeps values from steering the terminal, and rows on one line where
// nothing wraps them.
func (t *table) clean(s string) string {
	s = Printable(strings.ReplaceAll(s, "\r\n", "\n"))
	if t.opt.Width == 0 {
		s = strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "\n", `\n`)
	}
	return strings.ReplaceAll(s, "\t", " ")
}

// Printable replaces control characters, which could steer a terminal, but for
// line breaks and tabs.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (r < ' ' || 0x7f <= r && r < 0xa0) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// begin fixes the widths by the sample and writes the head and the sample.
func (t *table) begin(sample [][]cell) {
	t.widths = make([]int, len(t.names))
	for c, name := range t.names {
		t.widths[c] = max(1, ansi.StringWidth(name))
	}
	for _, row := range sample {
		for c, v := range row {
			for line := range strings.SplitSeq(v.text, "\n") {
				t.widths[c] = max(t.widths[c], ansi.StringWidth(line))
			}
		}
	}
	if t.opt.Width > 0 {
		fit(t.widths, t.opt.Width-3*len(t.widths)-1)
	}
	t.rule("┌", "┬", "┐")
	head := make([]cell, len(t.names))
	for c, name := range t.names {
		head[c].text = t.clean(name)
	}
	t.row(head)
	t.rule("├", "┼", "┤")
	for _, row := range sample {
		t.row(row)
	}
}

// fit lowers the widest columns until they all share room.
func fit(widths []int, room int) {
	total := func(limit int) (sum int) {
		for _, w := range widths {
			sum += min(w, limit)
		}
		return sum
	}
	limit := 0
	for _, w := range widths {
		limit = max(limit, w)
	}
	for limit > minWidth && total(limit) > room {
		limit--
	}
	for c, w := range widths {
		widths[c] = min(w, limit)
	}
}

func (t *table) rule(left, middle, right string) {
	parts := make([]string, len(t.widths))
	for c, w := range t.widths {
		parts[c] = strings.Repeat("─", w+2)
	}
	t.out.WriteString(left + strings.Join(parts, middle) + right + "\n")
}

// row writes one row, as many lines high as its highest cell.
func (t *table) row(row []cell) {
	lines := make([][]string, len(row))
	height := 1
	for c, v := range row {
		lines[c] = t.lines(v.text, t.widths[c])
		height = max(height, len(lines[c]))
	}
	for l := range height {
		for c, v := range row {
			text := ""
			if l < len(lines[c]) {
				text = lines[c][l]
			}
			pad := strings.Repeat(" ", max(0, t.widths[c]-ansi.StringWidth(text)))
			if v.null && t.opt.Terminal {
				text = dim + text + plain
			}
			t.out.WriteString("│ ")
			if t.right[c] {
				t.out.WriteString(pad + text)
			} else {
				t.out.WriteString(text + pad)
			}
			t.out.WriteString(" ")
		}
		t.out.WriteString("│\n")
	}
}

// lines wraps a cell on a terminal. Elsewhere a cell wider than the sample's
// widest pushes its row's border out.
func (t *table) lines(text string, width int) []string {
	if t.opt.Width == 0 {
		return []string{text}
	}
	return strings.Split(ansi.Wrap(text, width, " "), "\n")
}
