package decode

import (
	"strings"
	"testing"
)

func TestTextHoldsBackStopsAndPartsOfCodePoints(t *testing.T) {
	tests := []struct {
		name   string
		stops  []string
		pieces []string
		want   []string // what each push lets out, then what finish adds
		stop   bool
	}{
		{"plain", nil, []string{"a", "bc"}, []string{"a", "bc", ""}, false},
		{"stop in one piece", []string{"END"}, []string{"xENDy"}, []string{"x"}, true},
		{"stop across pieces", []string{"\nUser:"}, []string{"hi\n", "Us", "er", ":", "no"}, []string{"hi", "", "", ""}, true},
		{"no stop after all", []string{"\nUser:"}, []string{"hi\n", "Us", "e", " it"}, []string{"hi", "", "", "\nUse it", ""}, false},
		{"held until the end", []string{"STOP"}, []string{"ab ST", "O"}, []string{"ab ", "", "STO"}, false},
		{"overlapping starts", []string{"aab"}, []string{"a", "a", "a", "b"}, []string{"", "", "a", ""}, true},
		{"earliest of two", []string{"yy", "x"}, []string{"0x1yy"}, []string{"0"}, true},
		{"first complete wins", []string{"abc", "b"}, []string{"a", "b", "c"}, []string{"", "a"}, true},
		{"stop at once", []string{"a"}, []string{"a"}, []string{""}, true},
		{"euro in three bytes", nil, []string{"\xe2", "\x82", "\xac!"}, []string{"", "", "€!", ""}, false},
		{"emoji across pieces", nil, []string{"a\xf0\x9f", "\x98\x80b"}, []string{"a", "😀b", ""}, false},
		{"cut off at the end", nil, []string{"a\xf0\x9f"}, []string{"a", "\uFFFD"}, false},
		{"invalid in the middle", nil, []string{"a\xff", "b"}, []string{"a\uFFFD", "b", ""}, false},
		{"start without its rest", nil, []string{"\xe2", "a"}, []string{"", "\uFFFDa", ""}, false},
		{"stop of many bytes", []string{"日本"}, []string{"x日", "\xe6\x9c", "\xac."}, []string{"x", "", ""}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := textOut{stops: tt.stops}
			var got []string
			stopped := false
			for _, p := range tt.pieces {
				var text string
				text, stopped = o.push([]byte(p))
				got = append(got, text)
				if stopped {
					break
				}
			}
			if !stopped {
				got = append(got, o.finish())
			}
			if stopped != tt.stop || strings.Join(got, "|") != strings.Join(tt.want, "|") {
				t.Errorf("got %q stopped=%v, want %q stopped=%v", got, stopped, tt.want, tt.stop)
			}
			if all := strings.Join(tt.want, ""); o.all.String() != all {
				t.Errorf("whole text %q, want %q", o.all.String(), all)
			}
		})
	}
}
