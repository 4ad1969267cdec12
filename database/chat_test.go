package database

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// dialogue speaks three turns and gives, for each, its tokens of prompt and answer and
// those that were not computed, and what was said.
func dialogue(t *testing.T, s *Session, session string) (counts [][3]int, said string) {
	t.Helper()
	for i, message := range []string{
		"Tell me, in a few words, about the sea and the ships that sail on it, and about the harbours where they rest.",
		"And the mountains?", "Which of them is older?",
	} {
		sql(t, s, fmt.Sprintf("SELECT chat('%s', '%s', max_tokens := 24, model := 'm')", session, message))
		var c [3]int
		line := sql(t, s, fmt.Sprintf("SELECT prompt_tokens, completion_tokens, shared_tokens FROM ai.usage WHERE function = 'chat' ORDER BY started_at OFFSET %d", i))
		for j, n := range strings.Split(line, "|") {
			var err error
			if c[j], err = strconv.Atoi(n); err != nil {
				t.Fatal(line)
			}
		}
		counts = append(counts, c)
	}
	return counts, sql(t, s, "SELECT role, content FROM ai.messages WHERE session = '"+session+"' ORDER BY seq")
}

// A turn computes what is new in it, and says what it says when everything is computed.
func TestDialogueIsNotComputedAgain(t *testing.T) {
	for _, file := range []string{"../testdata/tiny.gguf", "../testdata/tiny-notemplate.gguf", "../.deps/models/gemma-3-270m-q4_k_m.gguf"} {
		t.Run(file, func(t *testing.T) {
			again := open(t)
			sql(t, again, "CREATE MODEL m FROM '"+file+"' WITH (prefix_cache = 0)")
			plain, want := dialogue(t, again, "s")
			kept := open(t)
			sql(t, kept, "CREATE MODEL m FROM '"+file+"'")
			counts, said := dialogue(t, kept, "s")
			for i, c := range counts {
				if plain[i][2] != 0 || c[0] != plain[i][0] {
					t.Errorf("turn %d: %v, without what was kept %v", i, c, plain[i])
				}
				if i == 0 {
					continue
				}
				before := counts[i-1]
				least, most := before[0], before[0]+before[1]
				if strings.Contains(file, "gemma") {
					least = most - 4 // words of a language come back as the tokens they were
				}
				if c[2] < least-2 || c[2] > most {
					t.Errorf("turn %d: %d tokens shared, want %d to %d", i, c[2], least, most)
				}
			}
			if said != want && vnni() {
				t.Errorf("with what was kept\n%s\nwithout\n%s", said, want)
			}
		})
	}
}

// A dialogue that parts from another one starts from what both have in common, by
// cutting the other one's state back: also behind the real model's window of 512 tokens.
func TestDialoguesThatPart(t *testing.T) {
	said := map[int]string{}
	for cache := range 2 {
		s := open(t)
		sql(t, s, fmt.Sprintf("CREATE MODEL m FROM '../.deps/models/gemma-3-270m-q4_k_m.gguf' WITH (context_length = 2048, prefix_cache = %d)", 64*cache))
		for i, question := range []string{"Where do they sail?", "What do they carry?", "Who is on board?"} {
			sql(t, s, fmt.Sprintf("SELECT chat('s%d', repeat('The ships sail over the sea at night. ', %d) || '%s', max_tokens := 12)", i, 30+40*(i/2), question))
			shared := sql(t, s, "SELECT shared_tokens FROM ai.usage ORDER BY started_at DESC LIMIT 1")
			if n, err := strconv.Atoi(shared); err != nil || (n > 200) != (cache > 0 && i > 0) {
				t.Errorf("dialogue %d with a cache of %d: %s tokens shared, %v", i, 64*cache, shared, err)
			}
		}
		// The first one goes on, and the long one is begun once more.
		sql(t, s, "SELECT chat('s0', 'And then?', max_tokens := 12)")
		sql(t, s, "SELECT chat('s3', repeat('The ships sail over the sea at night. ', 70) || 'What else?', max_tokens := 12)")
		said[cache] = sql(t, s, "SELECT session, role, content FROM ai.messages ORDER BY session, seq")
	}
	if said[0] != said[1] && vnni() {
		t.Errorf("with what was kept\n%s\nwithout\n%s", said[1], said[0])
	}
}

// vnni: the product's kernel is used, with which a row is the same to the bit in any batch.
func vnni() bool {
	flags, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && strings.Contains(string(flags), "avx512_vnni")
}

// A turn is on disk before its answer is there, and the next process goes on from it.
func TestDialoguesOverRestarts(t *testing.T) {
	s := open(t)
	sql(t, s, "CREATE MODEL m FROM '../testdata/tiny.gguf'; CREATE MODEL other FROM '../testdata/tiny.gguf'")
	_, said := dialogue(t, s, "it''s one")
	sql(t, s, "SELECT chat('two', 'hello', max_tokens := 3); SELECT chat('gone', 'hello', max_tokens := 3); DROP SESSION gone")
	sql(t, s, "SELECT chat('three', 'hello', model := 'other', max_tokens := 3)")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.db.cfg.Dir)); err != nil { // as a kill -9 would leave it
		t.Fatal(err)
	}
	db, err := Open(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	after, err := db.Session(t.Context(), SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const list = "SELECT session, model, messages, used_at >= created_at FROM ai.sessions ORDER BY session"
	if got, want := sql(t, after, list), "it's one|m|6|true\nthree|other|2|true\ntwo|m|2|true"; got != want || sql(t, s, list) != want {
		t.Error(got)
	}
	const first = "SELECT role, content FROM ai.messages WHERE session = 'it''s one' ORDER BY seq"
	if got := sql(t, after, first); got != said {
		t.Errorf("%s\nwant\n%s", got, said)
	}
	// Both go on with the same prompt.
	const turn = "SELECT chat('it''s one', 'go on', max_tokens := 5)"
	if here, there := sql(t, s, turn), sql(t, after, turn); here != there && vnni() {
		t.Errorf("%q and %q", here, there)
	}
	const tokens = "SELECT prompt_tokens FROM ai.usage WHERE function = 'chat' ORDER BY started_at DESC LIMIT 1"
	if here, there := sql(t, s, tokens), sql(t, after, tokens); here != there {
		t.Errorf("prompts of %s and %s tokens", here, there)
	}
	sql(t, after, "DROP MODEL other")
	if _, err := after.Query(t.Context(), "SELECT chat('three', 'hello', on_error := 'fail')"); err == nil ||
		!strings.Contains(err.Error(), `session "three" was held with model "other", which was dropped`) {
		t.Error(err)
	}
}

// Many speak at one time: all of it is kept.
func TestManyDialoguesAtOnce(t *testing.T) {
	s := open(t)
	tiny(t, s)
	var wg sync.WaitGroup
	for i := range 8 {
		other, err := s.db.Session(t.Context(), SessionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			r, err := other.Query(t.Context(), fmt.Sprintf("SELECT count(chat('s' || j %% 5 || '-%d', 'hello ' || j, max_tokens := 2)) FROM range(20) t(j)", i))
			if err != nil {
				t.Error(err)
				return
			}
			if got := rows(t, r, nil); got != "20" {
				t.Error(got)
			}
		})
	}
	wg.Wait()
	if got := sql(t, s, "SELECT count(*), min(messages), max(messages), (SELECT count(*) FROM ai.messages), (SELECT count(DISTINCT (session, seq)) FROM ai.messages) FROM ai.sessions"); got != "40|8|8|320|320" {
		t.Error(got)
	}
}
