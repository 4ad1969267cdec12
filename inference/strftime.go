package inference

import (
	"fmt"
	"strings"
	"time"
)

// strftime formats as C's function of that name, as far as chat templates use it.
func strftime(t time.Time, format string) string {
	layouts := map[byte]string{
		'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'd': "02", 'e': "_2", 'F': "2006-01-02",
		'H': "15", 'h': "Jan", 'I': "03", 'j': "002", 'm': "01", 'M': "04", 'p': "PM", 'S': "05", 'T': "15:04:05",
		'R': "15:04", 'y': "06", 'Y': "2006", 'Z': "MST", 'z': "-0700", 'D': "01/02/06",
	}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		bare := format[i] == '-' && i+1 < len(format) // %-d: without the leading zero
		if bare {
			i++
		}
		layout, known := layouts[format[i]]
		switch {
		case format[i] == '%':
			b.WriteByte('%')
		case format[i] == 'w':
			fmt.Fprint(&b, int(t.Weekday()))
		case !known:
			b.WriteString(format[i-1 : i+1])
		case bare:
			b.WriteString(strings.TrimLeft(t.Format(layout), "0 "))
		default:
			b.WriteString(t.Format(layout))
		}
	}
	return b.String()
}
