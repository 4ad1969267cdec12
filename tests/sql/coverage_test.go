package sql_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hyprstream/sqlfuncs/operator"
)

// groupOptions are the aggregates', which DuckDB's catalog does not list.
const groupOptions = "model system adapter max_tokens temperature top_p top_k min_p repeat_penalty seed stop timeout_ms on_error raw cache"

// Every function of ours, and every option of it, is in some script; -v prints the table.
func TestEveryOptionHasAScript(t *testing.T) {
	c := inProcess(t, open(t))
	rows, err := c.query(t.Context(), `
		SELECT function_name, list_aggregate(list_filter(list_distinct(flatten(list(parameters))), lambda p: p NOT IN ('*', 'NULL') AND NOT p LIKE 'col_'), 'string_agg', ' ')
		FROM duckdb_functions() WHERE internal AND (macro_definition LIKE '%\_\_%' ESCAPE '\' OR function_type = 'table')
		AND function_name SIMILAR TO '(ai_.*|generate|generate_as|generate_rows|generate_stream|try_generate|chat|embed|logprob|render|similarity|count_tokens|tokenize|detokenize)'
		GROUP BY function_name, function_type ORDER BY ALL`)
	if err != nil {
		t.Fatal(err)
	}
	rows = append(rows, "ai_agg|text instruction "+groupOptions, "ai_summarize_agg|text "+groupOptions)
	if len(rows) < 20 {
		t.Fatalf("only %d functions are found: %v", len(rows), rows)
	}
	paths, err := filepath.Glob("*.test")
	if err != nil {
		t.Fatal(err)
	}
	scripts := map[string]script{}
	for _, p := range paths {
		scripts[strings.TrimSuffix(p, ".test")] = parseScript(t, p)
	}
	for _, row := range rows {
		name, params, _ := strings.Cut(row, "|")
		if strings.HasPrefix(name, "__") {
			continue
		}
		in := map[string]map[string]bool{} // option → scripts; "": any call
		for file, s := range scripts {
			for _, st := range s.steps {
				if st.kind == statementError {
					continue // it says what does not work
				}
				for _, call := range operator.Calls(st.sql, name) {
					for _, o := range append([]string{""}, call.Names...) {
						if in[o] == nil {
							in[o] = map[string]bool{}
						}
						in[o][file] = true
					}
				}
			}
		}
		if len(in) == 0 {
			t.Errorf("%s is in no script", name)
			continue
		}
		line := fmt.Sprintf("%s: %s", name, strings.Join(slices.Sorted(maps.Keys(in[""])), ", "))
		for _, o := range strings.Fields(params) {
			positional := in[o] == nil && slices.Contains([]string{"text", "prompt", "session", "message", "labels", "predicate", "first", "second",
				"criteria", "query", "document", "continuation", "instruction", "returns", "fields", "tokens", "a", "b", "statement", "model"}, o)
			switch {
			case positional:
			case in[o] == nil:
				t.Errorf("%s: option %s is in no script", name, o)
			default:
				line += fmt.Sprintf("; %s: %s", o, strings.Join(slices.Sorted(maps.Keys(in[o])), ", "))
			}
		}
		t.Log(line)
	}
}
