package flightsql

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// maxEmpty bounds how many NULLs may come in no bytes: work for years otherwise.
const maxEmpty = 1 << 24

func errEmpty(n int64) error { return fmt.Errorf("%d NULLs at once are too many", n) }

// checkBatch looks through a batch from outside.
func checkBatch(rec arrow.RecordBatch) error {
	if rec.NumRows() > maxEmpty && sizeOf(rec) == 0 {
		return errEmpty(rec.NumRows())
	}
	for i, col := range rec.Columns() {
		if err := checkArray(col); err != nil {
			return fmt.Errorf("column %q: %w", rec.ColumnName(i), err)
		}
	}
	return nil
}

// checkArray looks through an array: lengths, offsets and indices
// that point to where nothing is, and values that DuckDB takes to be in range.
func checkArray(a arrow.Array) error {
	data := withNullBuffers(a.Data())
	defer data.Release()
	whole := array.MakeFromData(data)
	defer whole.Release()
	if err := array.ValidateFull(whole); err != nil {
		return err
	}
	return checkValues(a)
}

// withNullBuffers is d with a buffer, nil, for each array of type null: arrow-go
// reads them without and finds them invalid without. The caller releases it.
func withNullBuffers(d arrow.ArrayData) arrow.ArrayData {
	if d.DataType().ID() == arrow.NULL && len(d.Buffers()) == 0 {
		return array.NewData(d.DataType(), d.Len(), []*memory.Buffer{nil}, nil, d.NullN(), d.Offset())
	}
	if len(d.Children()) == 0 {
		d.Retain()
		return d
	}
	children := make([]arrow.ArrayData, len(d.Children()))
	for i, child := range d.Children() {
		children[i] = withNullBuffers(child)
		defer children[i].Release()
	}
	return array.NewData(d.DataType(), d.Len(), d.Buffers(), children, d.NullN(), d.Offset())
}

// checkValues finds texts that are not UTF-8, times of no day and decimals with too
// many digits: DuckDB relies on them once they are in its vectors, and ends the
// process over a time before midnight.
func checkValues(a arrow.Array) error {
	switch a := a.(type) {
	case array.ExtensionArray:
		return checkValues(a.Storage())
	case *array.Dictionary:
		if a.Len() == 0 { // it may have no values
			return nil
		}
		return checkValues(a.Dictionary())
	}
	if valid := validValue(a); valid != nil {
		for i := range a.Len() {
			if a.IsValid(i) && !valid(i) {
				return fmt.Errorf("row %d is no value of type %s", i+1, a.DataType())
			}
		}
	}
	for _, child := range a.Data().Children() {
		if child.Len() > maxEmpty && sizeOfData(child) == 0 {
			return errEmpty(int64(child.Len()))
		}
		part := array.MakeFromData(child)
		err := checkValues(part)
		part.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// validValue judges row i, where a's type has more bit patterns than values; else it is nil.
func validValue(a arrow.Array) func(i int) bool {
	switch a := a.(type) {
	case *array.String:
		return func(i int) bool { return utf8.ValidString(a.Value(i)) }
	case *array.LargeString:
		return func(i int) bool { return utf8.ValidString(a.Value(i)) }
	case *array.StringView:
		return func(i int) bool { return utf8.ValidString(a.Value(i)) }
	case *array.Time32:
		unit := a.DataType().(*arrow.Time32Type).Unit
		return func(i int) bool { return ofADay(int64(a.Value(i)), unit) }
	case *array.Time64:
		unit := a.DataType().(*arrow.Time64Type).Unit
		return func(i int) bool { return ofADay(int64(a.Value(i)), unit) }
	case *array.Decimal32:
		return func(i int) bool { return a.Value(i).FitsInPrecision(precision(a)) }
	case *array.Decimal64:
		return func(i int) bool { return a.Value(i).FitsInPrecision(precision(a)) }
	case *array.Decimal128:
		if t := a.DataType().(arrow.DecimalType); t.GetPrecision() == 38 && t.GetScale() == 0 {
			return nil // how HUGEINTs leave, which have a digit more
		}
		return func(i int) bool { return a.Value(i).FitsInPrecision(precision(a)) }
	}
	return nil
}

func precision(a arrow.Array) int32 { return a.DataType().(arrow.DecimalType).GetPrecision() }

// ofADay says whether a time is between midnight and, in DuckDB's way, 24:00.
func ofADay(v int64, unit arrow.TimeUnit) bool {
	return v >= 0 && v <= int64(24*time.Hour/unit.Multiplier())
}
