package worker

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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
// llama.cpp's own greedy sampler, from a C program over the same library. With
// llama.cpp's own products they must be equal.
func TestGreedyEqualsLlamaCpp(t *testing.T) {
	compareWithReference(t, 0, "HYPRSTREAM_CPU_KERNEL=ggml")
}

// nearTie bounds the margin between the two best logits at which the order of
// float additions may decide: it moves what is rounded to 8 bits in the next
// layer. Batches of 8 change llama.cpp's own choices at margins up to 0.26,
// flash attention off up to 0.58 (docs/decisions/0014-vnni-kernel.md).
const nearTie = 0.6

// TestGreedyWithOwnKernel does the same with the products of this processor's
// own kernel: ids may part where the reference nearly tied, and nowhere else.
func TestGreedyWithOwnKernel(t *testing.T) {
	compareWithReference(t, nearTie)
}

// compareWithReference wants equal ids up to a step where the reference's
// margin was at most tie.
func compareWithReference(t *testing.T, tie float64, env ...string) {
	path := model(t)
	want := reference(t, path)
	o := options()
	o.Env = append(o.Env, env...)
	p, err := Start(t.Context(), Spec{Path: path, ContextLength: 4096, Slots: 4}, o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	long, equal := 0, 0
	for i, pr := range parityPrompts {
		rs, err := results(t.Context(), p, []decode.Request{prompt(pr[1], parityTokens)})
		if err != nil || rs[0].Err != nil {
			t.Fatalf("%s: %v %v", pr[0], err, rs[0])
		}
		got, ref := rs[0].Tokens, want[i]
		same := 0
		for same < min(len(got), len(ref.ids)) && got[same] == ref.ids[same] {
			same++
		}
		long = max(long, rs[0].PromptTokens)
		least := slices.Min(ref.margins)
		if same == len(ref.ids) && same == len(got) {
			equal++
			t.Logf("%-15s %3d prompt tokens, %2d ids, smallest margin %f", pr[0], rs[0].PromptTokens, same, least)
			continue
		}
		t.Logf("%-15s parts at step %d, where the margin was %f", pr[0], same, ref.margins[same])
		if ref.margins[same] > tie {
			t.Errorf("%s: ids differ from step %d\n got %v\nwant %v", pr[0], same, got, ref.ids)
		}
	}
	t.Logf("%d of %d prompts are equal", equal, len(parityPrompts))
	if long < 280 {
		t.Errorf("the longest prompt has %d tokens, the set should have one near 300", long)
	}
}

// ownKernel says whether this processor has what the own kernel needs; the
// processors with AVX512-VNNI have the rest.
func ownKernel() bool {
	flags, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && strings.Contains(string(flags), "avx512_vnni")
}

// TestRowsDoNotDependOnTheirBatch: with the own kernel a row has the same tokens
// and log probabilities, to the bit, alone and among others. llama.cpp's own
// kernels add in an order that depends on the batch's shape.
func TestRowsDoNotDependOnTheirBatch(t *testing.T) {
	if !ownKernel() {
		t.Log("no AVX512-VNNI: the kernel is not used here")
		return
	}
	path := model(t)
	var reqs []decode.Request
	for _, pr := range parityPrompts {
		r := prompt(pr[1], parityTokens)
		r.Logprobs = true
		reqs = append(reqs, r)
	}
	var alone []*decode.Result
	p := start(t, Spec{Path: path, ContextLength: 512, Slots: 1, BatchSize: 64})
	for _, r := range reqs {
		rs, err := results(t.Context(), p, []decode.Request{r})
		if err != nil || rs[0].Err != nil {
			t.Fatal(err, rs[0])
		}
		alone = append(alone, rs[0])
	}
	for _, spec := range []Spec{{Slots: 4, BatchSize: 100}, {Slots: 32}} {
		spec.Path, spec.ContextLength = path, 512
		rs, err := results(t.Context(), start(t, spec), reqs)
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range rs {
			if want := alone[i]; !slices.Equal(got.Tokens, want.Tokens) || got.Logprob != want.Logprob {
				t.Errorf("%d slots, %s: %v with log probability %v, alone %v with %v", spec.Slots, parityPrompts[i][0],
					got.Tokens, got.Logprob, want.Tokens, want.Logprob)
			}
		}
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

// greedy is what the reference says of a prompt: ids, and the margin between
// the best two logits at each step, the one that ended it included.
type greedy struct {
	ids     []decode.Token
	margins []float64
}

var referenceOnce []greedy // it takes a while

// reference runs tools/greedyref, once.
func reference(t *testing.T, model string) (out []greedy) {
	t.Helper()
	if referenceOnce != nil {
		return referenceOnce
	}
	exe := program(t, "greedyref")
	var in bytes.Buffer
	for _, p := range parityPrompts {
		in.WriteString(p[1] + "\x00")
	}
	cmd := exec.CommandContext(t.Context(), exe, model, fmt.Sprint(parityTokens), "1")
	cmd.Stdin = &in
	said, err := cmd.Output()
	if err != nil {
		t.Fatalf("greedyref: %v", err)
	}
	for line := range strings.Lines(string(said)) {
		ids, margins, _ := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		var g greedy
		for _, f := range strings.Fields(ids) {
			n, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			g.ids = append(g.ids, decode.Token(n))
		}
		for _, f := range strings.Fields(margins) {
			m, err := strconv.ParseFloat(f, 64)
			if err != nil {
				t.Fatal(err)
			}
			g.margins = append(g.margins, m)
		}
		out = append(out, g)
	}
	if len(out) != len(parityPrompts) {
		t.Fatalf("greedyref gave %d lines for %d prompts", len(out), len(parityPrompts))
	}
	referenceOnce = out
	return out
}
