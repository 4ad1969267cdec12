package flightsql_test

import (
	"cmp"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql/schema_ref"

	"hyprstream/flightsql"
)

// What the table of types says is what the types are: every type is in it, under the XDBC
// type of the Arrow type that is sent, in the protocol's order.
func TestTypeInfo(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	info, err := cl.GetXdbcTypeInfo(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	rec := read(t, cl, info)[0]
	if !rec.Schema().Equal(schema_ref.XdbcTypeInfo) {
		t.Errorf("schema %s", rec.Schema())
	}
	xdbc := map[arrow.Type]int32{
		arrow.BOOL: -7, arrow.INT8: -6, arrow.UINT8: -6, arrow.INT16: 5, arrow.UINT16: 5, arrow.INT32: 4, arrow.UINT32: 4, arrow.INT64: -5, arrow.UINT64: -5,
		arrow.FLOAT32: 7, arrow.FLOAT64: 8, arrow.DECIMAL128: 3, arrow.STRING: 12, arrow.BINARY: -3, arrow.DATE32: 91, arrow.TIME64: 92, arrow.TIMESTAMP: 93,
		arrow.INTERVAL_MONTH_DAY_NANO: 10,
	}
	written := map[string]string{"DECIMAL": "DECIMAL(5, 2)", "ENUM": "ENUM('a')"} // types that need more than their name
	listed := map[string]bool{}
	names, types := rec.Column(0).(*array.String), rec.Column(1).(*array.Int32)
	for i := range int(rec.NumRows()) {
		name := names.Value(i)
		listed[name] = true
		if i > 0 && cmp.Or(cmp.Compare(types.Value(i-1), types.Value(i)), strings.Compare(names.Value(i-1), name)) >= 0 {
			t.Errorf("%s comes after %s", name, names.Value(i-1))
		}
		if types.Value(i) == 0 { // nested
			continue
		}
		sent := batch(t, cl, "SELECT NULL::"+cmp.Or(written[name], name)).Schema().Field(0).Type
		if have := types.Value(i); have != xdbc[sent.ID()] {
			t.Errorf("%s: XDBC type %d, sent as %s", name, have, sent)
		}
	}
	all := batch(t, cl, "SELECT DISTINCT logical_type FROM duckdb_types() WHERE logical_type NOT IN ('NULL', 'TYPE') ORDER BY ALL")
	for i := range int(all.NumRows()) {
		if name := all.Column(0).(*array.String).Value(i); !listed[name] {
			t.Errorf("%s is not listed", name)
		}
	}
}
