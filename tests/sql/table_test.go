package sql_test

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// table is a result: its columns' types, and its rows as text.
type table struct {
	types []arrow.DataType
	rows  [][]cell
}

type cell struct {
	text    string // as Arrow writes it
	decimal string // of a decimal, with all of its digits
	null    bool
}

// read adds a stream's rows.
func (r *table) read(rd interface {
	Schema() *arrow.Schema
	Next() bool
	RecordBatch() arrow.RecordBatch
	Err() error
}) error {
	r.types = nil
	for _, f := range rd.Schema().Fields() {
		r.types = append(r.types, f.Type)
	}
	for rd.Next() {
		rec := rd.RecordBatch()
		for i := range int(rec.NumRows()) {
			row := make([]cell, rec.NumCols())
			for j, c := range rec.Columns() {
				text := strings.Clone(c.ValueStr(i)) // it lies in the batch
				row[j] = cell{text: strings.ReplaceAll(text, "\n", `\n`), null: c.IsNull(i)}
				if d, ok := c.(*array.Decimal128); ok && !row[j].null {
					row[j].decimal = d.Value(i).ToString(d.DataType().(arrow.DecimalType).GetScale())
				}
			}
			r.rows = append(r.rows, row)
		}
	}
	return rd.Err()
}

// lines writes a line for each row, "|" between columns, NULL as Arrow has it.
func (r *table) lines() []string {
	return r.each("|", func(c cell) string { return c.text })
}

// logic writes rows as sqllogictest has them: a tab between columns, NULL for
// NULL and (empty) for the empty string.
func (r *table) logic() []string {
	return r.each("\t", func(c cell) string {
		switch {
		case c.null:
			return "NULL"
		case c.text == "":
			return "(empty)"
		case c.decimal != "":
			return c.decimal
		}
		return c.text
	})
}

func (r *table) each(between string, write func(cell) string) []string {
	var lines []string
	for _, row := range r.rows {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = write(c)
		}
		lines = append(lines, strings.Join(cells, between))
	}
	return lines
}

// fits compares the columns with a query's letters: I are integers, R other
// numbers, T everything else.
func (r *table) fits(letters string) error {
	have := make([]byte, len(r.types))
	for i, t := range r.types {
		decimal, ok := t.(arrow.DecimalType)
		switch {
		case arrow.IsInteger(t.ID()), ok && decimal.GetScale() == 0:
			have[i] = 'I'
		case arrow.IsFloating(t.ID()), ok:
			have[i] = 'R'
		default:
			have[i] = 'T'
		}
	}
	if string(have) != letters {
		return fmt.Errorf("columns %s (%v) where the script says %s", have, r.types, letters)
	}
	return nil
}
