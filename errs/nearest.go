package errs

import (
	"strings"

	"github.com/agext/levenshtein"
)

// Nearest is the one of names that was probably meant by name, whatever the case; "":
// none is near. Of equally near ones it is the first.
func Nearest(name string, names []string) string {
	best, score := "", 0.0
	for _, n := range names {
		if s := levenshtein.Similarity(strings.ToLower(name), strings.ToLower(n), nil); s > score {
			best, score = n, s
		}
	}
	if score < 0.5 {
		return ""
	}
	return best
}
