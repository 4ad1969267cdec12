package shell

import (
	"path/filepath"
	"reflect"
	"testing"
)

func TestHistory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "history")
	h := openHistory(file)
	h.keep([]string{"SELECT 1;"})
	h.keep([]string{"SELECT 1;"})
	h.keep([]string{"SELECT", "  2;"})
	h.keep([]string{"SELECT -- two", "2;"})
	h.keep([]string{""})
	h.Add("not this")
	want := []string{"SELECT 1;", "SELECT   2;", "SELECT -- two", "2;"}
	for _, h := range []*history{h, openHistory(file)} {
		if !reflect.DeepEqual(h.entries, want) || h.Len() != 4 || h.At(0) != "2;" || h.At(3) != "SELECT 1;" {
			t.Errorf("%q", h.entries)
		}
	}
	if openHistory("").Len() != 0 {
		t.Error("no file, no entries")
	}
}
