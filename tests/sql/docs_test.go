package sql_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const pages = "../../docs/sql"

// example is a block of SQL and what a page says it prints.
var example = regexp.MustCompile("(?ms)^```sql\n(.*?)^```\n(?:\n*```text\n(.*?)^```\n)?")

// reviews is the table that examples use.
const reviews = `CREATE TABLE reviews AS SELECT * FROM (VALUES
	(1, 5, 'The soup was wonderful and the staff were kind.'), (2, 1, 'Cold food, rude waiter, never again.'),
	(3, 4, 'Good pizza, fair price.'), (4, 2, 'We waited an hour for a table.'),
	(5, 5, 'Best coffee in town!'), (6, 3, 'It was fine, nothing special.')) t(id, stars, body)`

// Every example of the pages runs, and prints what its page says, or begins so where
// that ends in "…". Each page has one.
func TestDocs(t *testing.T) {
	paths, err := filepath.Glob(pages + "/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatal("no pages", err)
	}
	db := open(t, append([]string{realModel, reviews}, toys...)...)
	c := inProcess(t, db)
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".md")
		t.Run(name, func(t *testing.T) {
			page, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			shown := 0
			for _, m := range example.FindAllStringSubmatch(string(page), -1) {
				have, err := c.query(t.Context(), m[1])
				want := strings.TrimSuffix(m[2], "\n")
				if err != nil {
					have = []string{"ERROR " + err.Error()}
				}
				if m[2] == "" && err == nil {
					continue // an example that shows no output must only run
				}
				shown++
				text := strings.Join(have, "\n")
				if begin, cut := strings.CutSuffix(want, "…"); text != want && (!cut || !strings.HasPrefix(text, begin)) {
					t.Errorf("%s\nhave\n%s\nwant\n%s", m[1], text, want)
				}
			}
			if shown == 0 && name != "README" {
				t.Error("the page has no example with its output")
			}
		})
	}
}
