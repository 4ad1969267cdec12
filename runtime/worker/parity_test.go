package worker

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hyprstream/runtime/decode"
)

// parityPrompts are single prompts of many kinds, name and text.
var parityPrompts = [][2]string{
	{"one word", "Hello"},
	{"one letter", "a"},
	{"fact", "The capital of France is"},
	{"dialogue", "The following is a conversation between a user and a helpful assistant.\n\nUser: What is 2+2?\nAssistant:"},
	{"story", "Once upon a time, in a village at the foot of a mountain,"},
	{"French", "La Révolution française a commencé en"},
	{"German", "Die Würde des Menschen ist"},
	{"Spanish", "En un lugar de la Mancha, de cuyo nombre no quiero"},
	{"Portuguese", "A língua portuguesa é falada em"},
	{"Polish", "Zażółć gęślą jaźń to zdanie, które"},
	{"Russian", "Все счастливые семьи похожи друг на друга,"},
	{"Greek", "Η Αθήνα είναι η πρωτεύουσα"},
	{"Arabic", "عاصمة مصر هي"},
	{"Hebrew", "בראשית ברא אלהים"},
	{"Hindi", "भारत की राजधानी"},
	{"Japanese", "日本で一番高い山は"},
	{"Chinese", "中国的首都是"},
	{"Korean", "대한민국의 수도는"},
	{"Thai", "กรุงเทพมหานครเป็น"},
	{"emoji", "I love 🍕 and 🐱‍👤! My favourite emojis are 🎉"},
	{"Go", "package main\n\nimport \"fmt\"\n\nfunc main() {\n\tfor i := 0; i < 10; i++ {\n"},
	{"Python", "def fibonacci(n):\n    \"\"\"Return the nth Fibonacci number.\"\"\"\n"},
	{"SQL", "SELECT customer_id, SUM(amount) FROM orders WHERE"},
	{"JSON", "{\"name\": \"Ada\", \"born\": 1815, \"known_for\": ["},
	{"numbers", "1, 1, 2, 3, 5, 8, 13, 21,"},
	{"markup as text", "<b>bold</b> and <start_of_turn>user is just text here"},
	{"white space", "\n\n   \t  indented\n"},
	{"300 tokens", strings.Repeat("The quick brown fox jumps over the lazy dog near the river bank, while seven wizards quietly judge my box of vows. ", 12) + "In short,"},
}

const parityTokens = 32

// TestGreedyEqualsLlamaCpp compares token ids of single prompts with those of
// llama.cpp's own greedy sampler, from a C program over the same library.
func TestGreedyEqualsLlamaCpp(t *testing.T) {
	path := model(t)
	want, margins := reference(t, path)
	p := start(t, Spec{Path: path, ContextLength: 4096, Slots: 4})
	long := 0
	for i, pr := range parityPrompts {
		rs, err := results(t.Context(), p, []decode.Request{prompt(pr[1], parityTokens)})
		if err != nil || rs[0].Err != nil {
			t.Fatalf("%s: %v %v", pr[0], err, rs[0])
		}
		got := strings.Trim(fmt.Sprint(rs[0].Tokens), "[]")
		if got != want[i] {
			t.Errorf("%s: ids differ (smallest margin in the reference %s)\n got %s\nwant %s", pr[0], margins[i], got, want[i])
		}
		long = max(long, rs[0].PromptTokens)
		t.Logf("%-15s %3d prompt tokens, %2d ids, smallest margin %s", pr[0], rs[0].PromptTokens, len(rs[0].Tokens), margins[i])
	}
	if long < 280 {
		t.Errorf("the longest prompt has %d tokens, the set should have one near 300", long)
	}
}

// program is the path of a reference program in tools, built if the Makefile has not.
func program(t *testing.T, name string) string {
	t.Helper()
	exe, err := filepath.Abs("../../.deps/bin/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(exe); err != nil {
		exe = filepath.Join(t.TempDir(), name)
		if out, err := exec.CommandContext(t.Context(), "../../tools/build.sh", name, exe).CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", name, err, out)
		}
	}
	return exe
}

// reference runs tools/greedyref.
func reference(t *testing.T, model string) (ids, margins []string) {
	t.Helper()
	exe := program(t, "greedyref")
	var in bytes.Buffer
	for _, p := range parityPrompts {
		in.WriteString(p[1] + "\x00")
	}
	cmd := exec.CommandContext(t.Context(), exe, model, fmt.Sprint(parityTokens), "1")
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("greedyref: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) == 2 { // no ids: the prompt ended at once
			f = append([]string{""}, f...)
		}
		ids, margins = append(ids, f[0]), append(margins, f[1]+" at "+f[2])
	}
	if len(ids) != len(parityPrompts) {
		t.Fatalf("greedyref gave %d lines for %d prompts", len(ids), len(parityPrompts))
	}
	return ids, margins
}
