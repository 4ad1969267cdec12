package sqlfuncs

import "fmt"

// constants is how many predicates a part of the rows may have for each to be a
// question of its own; more are a column's, whose rows are learnt from together.
const constants = 8

// question is what the rows of one cascade have in common: all but their texts.
type question struct {
	model, adapters string
	predicate       string // "" where it is a column's
	match, raw      bool
	target          target
}

// questionOf is a row's question without its predicate.
func questionOf(r *call) question {
	return question{model: r.req.Model, adapters: fmt.Sprint(r.req.Adapters),
		match: r.req.Choice.Label != "", raw: r.req.Raw, target: r.target}
}

// function is the SQL function that asks it.
func (q *question) function() string {
	if q.match {
		return batchedFunctions[fnMatch].name
	}
	return batchedFunctions[fnFilter].name
}

// sortOut finds the rows of each question, in the order of their first ones, and
// those without a target.
func sortOut(asked []request) (questions []question, rows map[question][]int, plain []int) {
	of := make([]question, len(asked))
	predicates := map[question]map[string]bool{}
	for i := range asked {
		if !asked[i].target.set() {
			plain = append(plain, i)
			continue
		}
		of[i] = questionOf(&asked[i].call)
		if predicates[of[i]] == nil {
			predicates[of[i]] = map[string]bool{}
		}
		predicates[of[i]][asked[i].predicate] = true
	}
	rows = map[question][]int{}
	for i := range asked {
		if !asked[i].target.set() {
			continue
		}
		q := of[i]
		if len(predicates[q]) <= constants {
			q.predicate = asked[i].predicate
		}
		if rows[q] == nil {
			questions = append(questions, q)
		}
		rows[q] = append(rows[q], i)
	}
	return questions, rows, plain
}
