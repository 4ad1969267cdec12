package database

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"hyprstream/storage/convert/converttest"
)

// Models with a tokenizer.model cut texts as SentencePiece itself does; the ids
// that it gives are in a file, see testdata/pieces.py.
func TestSentencePiece(t *testing.T) {
	raw, err := os.ReadFile("../testdata/pieces/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var expected map[string][]struct {
		Text string
		IDs  []int
	}
	if err := json.Unmarshal(raw, &expected); err != nil {
		t.Fatal(err)
	}
	s := open(t)
	for name, texts := range expected {
		if len(texts) < 12 {
			t.Errorf("%s: %d texts", name, len(texts))
		}
		pieces, err := os.ReadFile("../testdata/pieces/" + name + ".model")
		if err != nil {
			t.Fatal(err)
		}
		const vocab = 400 // rows of the embeddings, more than there are tokens
		model := converttest.New()
		model.Config["vocab_size"] = vocab
		model.Tensors["model.embed_tokens.weight"][0], model.Tensors["lm_head.weight"][0] = vocab, vocab
		dir := model.Write(t, map[string][]byte{"tokenizer.model": pieces, "tokenizer.json": nil, "tokenizer_config.json": nil})
		sql(t, s, "CREATE MODEL "+name+" FROM '"+dir+"'")
		for _, c := range texts {
			want := strings.ReplaceAll(fmt.Sprint(c.IDs), " ", ",")
			if got := sql(t, s, "SELECT tokenize($1, $2)", name, c.Text); got != want {
				t.Errorf("%s: %q\n  have %s\n  want %s", name, c.Text, got, want)
			}
		}
	}
}
