package output

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Text is value i of col, which is not NULL, as a person reads it. It does not
// point into the batch, whose memory may be DuckDB's.
func Text(col arrow.Array, i int) string {
	switch col := col.(type) {
	case *array.String:
		return strings.Clone(col.Value(i))
	case *array.Float64:
		return strconv.FormatFloat(col.Value(i), 'g', -1, 64)
	case *array.Float32:
		return strconv.FormatFloat(float64(col.Value(i)), 'g', -1, 32)
	case *array.Timestamp:
		t := col.DataType().(*arrow.TimestampType)
		layout := "2006-01-02 15:04:05.999999999"
		if t.TimeZone != "" {
			layout += "Z07:00"
		}
		return col.Value(i).ToTime(t.Unit).Format(layout)
	case *array.Binary:
		return `\x` + hex.EncodeToString(col.Value(i))
	}
	if nested, ok := col.DataType().(arrow.NestedType); ok && len(nested.Fields()) > 0 {
		return jsonText(col.GetOneForMarshal(i))
	}
	return strings.Clone(col.ValueStr(i))
}

// jsonText is v as JSON, without the escapes that only HTML needs.
func jsonText(v any) string {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "null" // a value Arrow itself cannot express, such as a broken union
	}
	return string(bytes.TrimSuffix(buf.Bytes(), []byte("\n")))
}

// isNumber says whether a column is set flush right.
func isNumber(t arrow.DataType) bool {
	switch t.ID() {
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64,
		arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64, arrow.DECIMAL128, arrow.DECIMAL256, arrow.DECIMAL32, arrow.DECIMAL64:
		return true
	}
	return false
}
