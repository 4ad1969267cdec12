package sqlfuncs

import (
	"context"
	"math"
	"strconv"
	"strings"
	"testing"

	"hyprstream/inference"
)

// pairJudge says yes to texts such as "a 7 105" and "b 7 32", of one number in the
// middle. Their embeddings are near each other.
type pairJudge struct {
	countingEngine
	pairs, texts, classified int
}

func (j *pairJudge) Generate(_ context.Context, reqs []inference.Request, done func(int, inference.Completion)) error {
	for i, r := range reqs {
		if r.Choice.Cue == "Label" {
			j.classified++
			c := inference.Completion{}
			for _, label := range r.Choice.Answers { // equal numbers are likely, others less the further apart
				a, _ := strconv.Atoi(strings.Fields(label)[1])
				b, _ := strconv.Atoi(strings.Fields(r.Choice.Text)[1])
				c.Scores = append(c.Scores, -math.Abs(float64(a-b))-1)
			}
			done(i, c)
			continue
		}
		j.pairs++
		one, other, _ := strings.Cut(r.Choice.Text, "\nSecond text: ")
		if r.Choice.Label != "First text" {
			one, other, _ = strings.Cut(r.Choice.Text, "\nFirst text: ")
		}
		done(i, inference.Completion{Scores: inference.Sure(strings.Fields(one)[1] == strings.Fields(other)[1])})
	}
	return nil
}

func (j *pairJudge) Embed(_ context.Context, _ string, texts []string, done func(int, inference.Embedding)) error {
	j.texts += len(texts)
	for i, t := range texts {
		f := strings.Fields(t)
		middle, _ := strconv.ParseFloat(f[1], 64)
		last, _ := strconv.ParseFloat(f[2], 64)
		angle := middle*2*math.Pi/40 + last/2000
		done(i, inference.Embedding{Vector: []float32{float32(math.Cos(angle)), float32(math.Sin(angle))}})
	}
	return nil
}

func TestMatchAnswers(t *testing.T) {
	d := openTestDB(t)
	for _, c := range []struct{ sql, want string }{
		{"SELECT ai_match('yes', 'x', 'p'), ai_match('a', 'x', 'p'), typeof(ai_match('a', 'x', 'p'))", "true|false|BOOLEAN"},
		{"SELECT ai_match(NULL, 'x', 'p'), ai_match('x', NULL, 'p'), ai_match('x', 'y', NULL), ai_match('x', 'y', 'p', model := NULL)", "NULL|NULL|NULL|NULL"},
		{"SELECT ai_match('yes', '', 'p', model := 'm', adapter := 'polite', quality := 0.9)", "true"},
		{"SELECT ai_match('yes', 'x', 'p', recall := 0.9, proxy := 'embed:m'), ai_filter('yes', 'p', quality := 0.9, proxy := 'm')", "true|true"},
		{"SELECT a.x, b.y FROM (VALUES ('yes 1'), ('no 2'), (NULL)) a(x) JOIN (VALUES ('u'), (NULL), ('v')) b(y) ON ai_match(a.x, b.y, 'p') ORDER BY ALL", "yes 1|u,yes 1|v"},
	} {
		d.answers(c.sql, c.want)
	}
	d.must("PREPARE q AS SELECT ai_filter($1, 'p', quality := $2, proxy := $3)::VARCHAR")
	d.answers("EXECUTE q('yes', 0.9, 'm')", "true")
	d.answers("EXECUTE q('yes', NULL, NULL)", "true")
	if _, err := d.query(d.conn, "EXECUTE q('yes', 0.9, NULL)"); err == nil || !strings.Contains(err.Error(), "need a proxy") {
		t.Errorf("a target without a proxy: %v", err)
	}
}

func TestTargetErrors(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT 'a' AS x, 2.0 AS q")
	for _, c := range []struct{ sql, want string }{
		{"EXPLAIN SELECT ai_filter(x, 'p', quality := 0.9) FROM t", "[INVALID_ARGUMENT] quality and recall need a proxy"},
		{"EXPLAIN SELECT ai_filter(x, 'p', quality := 1.5, proxy := 'm') FROM t", "[INVALID_ARGUMENT] quality must be above 0 and at most 1, not 1.5"},
		{"EXPLAIN SELECT ai_match(x, 'y', 'p', recall := 0) FROM t", "[INVALID_ARGUMENT] recall must be above 0"},
		{"EXPLAIN SELECT ai_match(x, 'y', 'p', recall := 0.9, quality := 0.9) FROM t", "[INVALID_ARGUMENT] give quality or recall"},
		{"EXPLAIN SELECT ai_filter(x, 'p', proxy := 'm') FROM t", "[INVALID_ARGUMENT] proxy 'm' has no target"},
		{"EXPLAIN SELECT ai_filter(x, 'p', quality := 0.9, proxy := 'mm') FROM t", "[MODEL_NOT_FOUND]"},
		{"EXPLAIN SELECT ai_match(x, 'y', 'p', recall := 0.9, proxy := 'embed:mm') FROM t", "[MODEL_NOT_FOUND]"},
		{"SELECT ai_filter(x, 'p', quality := q, proxy := 'm', on_error := 'fail') FROM t", "[INVALID_ARGUMENT] quality must be"},
		{"EXPLAIN SELECT ai_filter(x, 'p', quality := 0.9, proxy := 'classify') FROM t", "[INVALID_ARGUMENT] proxy 'classify' is ai_match's"},
		{"SELECT ai_filter_prob(x, 'p', quality := 0.9) FROM t", "there is no option"},
		{"SELECT ai_match(x, 'p') FROM t", "it takes (first, second, predicate) and then"},
	} {
		_, err := d.query(d.conn, c.sql)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got %v\nwant %s", c.sql, err, c.want)
		}
	}
}

// Of a match the longer side's rows stay while the other's go by, on either side;
// where lengths are not known, those of the larger table.
func TestMatchedPairsFollowTheLongerSide(t *testing.T) {
	d := openTestDB(t)
	d.engine.keep = true
	d.must("CREATE TABLE docs AS SELECT i AS id, 'document ' || i || repeat(' word', 9) AS body FROM range(30) r(i)")
	d.must("CREATE TABLE topics AS SELECT i AS id, 'topic ' || i AS name FROM range(50) r(i)")
	for _, c := range []struct {
		sql    string
		groups int
	}{
		{"FROM docs JOIN topics ON ai_match(body, name, 'p')", 30},
		{"FROM topics JOIN docs ON ai_match(name, body, 'p')", 30},
		{"FROM topics, docs WHERE ai_match(body, name, 'p') AND docs.id + topics.id > -1", 30},
		{"SELECT ai_match(name, body, 'p') FROM topics, docs", 30},
		{"FROM (SELECT lower(body) AS b FROM docs) JOIN topics ON ai_match(b, name, 'p')", 50},
	} {
		d.engine.asked = nil
		d.must(c.sql)
		groups, last := 0, ""
		for _, r := range d.engine.asked {
			begin, _, _ := strings.Cut(r.Choice.Text, "\n")
			if c.groups == 50 { // the shorter table goes round for each row of the other
				_, begin, _ = strings.Cut(r.Choice.Text, "\n")
			}
			if begin != last {
				groups, last = groups+1, begin
			}
		}
		if groups != c.groups || len(d.engine.asked) != 1500 {
			t.Errorf("%s: %d requests in %d runs of one beginning, want %d", c.sql, len(d.engine.asked), groups, c.groups)
		}
	}
}

// A join with a target embeds each text once and asks the model for few pairs.
func TestJoinWithRecall(t *testing.T) {
	j := &pairJudge{}
	d := openTestDBWith(t, j)
	d.must("SET threads = 1")
	d.must("CREATE TABLE a AS SELECT i AS id, 'a ' || (i % 40) || ' ' || i AS x FROM range(200) r(i)")
	d.must("CREATE TABLE b AS SELECT i AS id, 'b ' || (i % 40) || ' ' || i AS y FROM range(80) r(i)")
	const join = "SELECT count(*) FROM a JOIN b ON ai_match(x, y, 'same number'"
	d.answers(join+")", "400")
	if j.pairs != 16000 || j.texts != 0 {
		t.Errorf("exact: %d pairs, %d texts", j.pairs, j.texts)
	}
	for _, c := range []struct {
		options           string
		texts, classified int // at most
	}{
		{"recall := 0.95", 280, 0},
		{"quality := 0.95", 280, 0},
		// A longer text is asked about once in each part that it is in, beside the texts of its part.
		{"recall := 0.95, proxy := 'classify'", 0, 3 * 280},
	} {
		j.pairs, j.texts, j.classified = 0, 0, 0
		got, err := strconv.Atoi(d.must(join + ", " + c.options + ")")[0])
		if err != nil || got < 380 || got > 420 || strings.HasPrefix(c.options, "recall") && got > 400 {
			t.Errorf("%s: %d of 400 pairs", c.options, got)
		}
		if j.texts != c.texts || j.pairs > 5000 || j.classified > c.classified {
			t.Errorf("%s: %d pairs, %d texts, %d classified", c.options, j.pairs, j.texts, j.classified)
		}
	}
	plan := strings.Join(d.must("EXPLAIN "+join+", recall := 0.95, proxy := 'classify')"), "")
	if !strings.Contains(plan, "recall 0.95") || !strings.Contains(plan, "proxy classify") || !strings.Contains(plan, "PAIRS") {
		t.Error(plan)
	}
}
