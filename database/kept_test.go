package database

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const gemmaFile = "../.deps/models/gemma-3-270m-q4_k_m.gguf"

// speak says something in a session and gives the answer, the tokens of the prompt
// that were not computed, and those that a later turn may share.
func speak(t *testing.T, s *Session, session, message, options string) (answer string, shared, all int) {
	t.Helper()
	answer = sql(t, s, fmt.Sprintf("SELECT chat('%s', '%s', max_tokens := 16 %s)", session, message, options))
	counts := sql(t, s, "SELECT shared_tokens, prompt_tokens + completion_tokens FROM ai.usage WHERE function = 'chat' ORDER BY started_at DESC LIMIT 1")
	if _, err := fmt.Sscanf(counts, "%d|%d", &shared, &all); err != nil {
		t.Fatalf("%q: %v", counts, err)
	}
	return answer, shared, all
}

// reopen ends a session's database and opens its directory again.
func reopen(t *testing.T, s *Session) *Session {
	t.Helper()
	if err := s.db.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return openConfig(t, s.db.cfg)
}

// where gives the columns of ai.sessions that say what is kept.
func where(t *testing.T, s *Session, session string) (kept string, tokens, bytes int) {
	t.Helper()
	line := strings.ReplaceAll(sql(t, s, "SELECT kept, tokens, kept_bytes FROM ai.sessions WHERE session = '"+session+"'"), "|", " ")
	if _, err := fmt.Sscan(line, &kept, &tokens, &bytes); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return kept, tokens, bytes
}

func wantKept(t *testing.T, s *Session, session, want string) {
	t.Helper()
	kept, tokens, bytes := where(t, s, session)
	if kept != want || (tokens > 0) != (want != "none") || (bytes > 0) != (want != "none") {
		t.Errorf("session %s: %d tokens in %d bytes are kept in %s, want %s", session, tokens, bytes, kept, want)
	}
}

// stateFiles are what lies in the directory of states.
func stateFiles(t *testing.T, s *Session) (paths []string, bytes int) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(s.db.cfg.Dir, statesDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil || info.Mode() != 0o600 && filepath.Base(s.db.cfg.Dir) != "copy" {
			t.Errorf("%s: %v %v", p, info.Mode(), err)
		}
		bytes += int(info.Size())
	}
	return paths, bytes
}

const (
	opening = "Tell me, in a few words, about the sea and the ships that sail on it, and about the harbours where they rest, and the people who live there."
	more    = "And the mountains, and all the villages between the mountains and the sea, and what is grown there in summer?"
)

// A dialogue goes on after a restart, and after an unload, as if there had been none:
// the same tokens are computed and the same is said.
func TestDialogueIsKeptOverARestart(t *testing.T) {
	for name, c := range map[string]struct{ file, options string }{
		"tiny":    {"../testdata/tiny.gguf", ""},
		"adapter": {"../testdata/tiny.gguf", ", adapter := 'odd:0.5'"},
		"gemma":   {gemmaFile, ""},
	} {
		t.Run(name, func(t *testing.T) {
			begin := func() *Session {
				s := openConfig(t, Config{Dir: t.TempDir()})
				sql(t, s, "CREATE MODEL m FROM '"+c.file+"' WITH (slots = 2, threads = 1, context_length = 1024)")
				if c.options != "" {
					sql(t, s, "CREATE ADAPTER odd FOR MODEL m FROM '../testdata/tiny-lora.gguf'")
				}
				speak(t, s, "other", more+opening, "")
				return s
			}
			whole, broken := begin(), begin()
			for i, message := range []string{opening, more, "Which of them is older?", "Why?", "Since when?"} {
				switch i {
				case 2, 3:
					broken = reopen(t, broken)
					wantKept(t, broken, "s", "disk")
				case 4:
					sql(t, broken, "ALTER MODEL m UNLOAD")
					wantKept(t, broken, "s", "disk")
				}
				want, shared, all := speak(t, whole, "s", message, c.options)
				got, again, total := speak(t, broken, "s", message, c.options)
				if got != want || again != shared || total != all || (i > 0) != (shared > 60) {
					t.Errorf("turn %d: %q with %d of %d tokens shared, want %q with %d of %d", i, got, again, total, want, shared, all)
				}
				wantKept(t, broken, "s", "memory")
			}
			if got, shared, _ := speak(t, broken, "other", "And then?", ""); shared < 40 {
				t.Errorf("%d tokens of another session are shared: %q", shared, got)
			}
		})
	}
}

// What is dropped, replaced or forgotten has no file, whether its model is loaded or not.
func TestStatesGoWithWhatTheyAreOf(t *testing.T) {
	s := openConfig(t, Config{Dir: t.TempDir()})
	create := "CREATE OR REPLACE MODEL m FROM '../testdata/tiny.gguf' WITH (slots = 2, threads = 1, context_length = %d)"
	sql(t, s, fmt.Sprintf(create, 1024)+"; CREATE MODEL n FROM '../testdata/tiny.gguf' WITH (slots = 2)")
	for _, session := range []string{"a", "b", "c"} {
		speak(t, s, session, opening+session, "")
	}
	speak(t, s, "d", opening, ", model := 'n'")
	sql(t, s, "SELECT chat('short', 'hi', max_tokens := 1)")
	sql(t, s, "DROP SESSION a") // in memory
	sql(t, s, "ALTER MODEL m UNLOAD; ALTER MODEL n UNLOAD")
	if files, _ := stateFiles(t, s); len(files) != 3 {
		t.Error(files)
	}
	sql(t, s, "DROP SESSION b") // on disk
	if files, _ := stateFiles(t, s); len(files) != 2 {
		t.Error(files)
	}
	sql(t, s, "SELECT chat('a', 'hello', max_tokens := 1)") // another one of that name
	for session, kept := range map[string]string{"a": "none", "c": "disk", "d": "disk", "short": "none"} {
		wantKept(t, s, session, kept)
	}
	speak(t, s, "d", more, "")
	sql(t, s, "DROP MODEL n") // loaded
	wantKept(t, s, "d", "none")
	if files, _ := stateFiles(t, s); len(files) != 1 {
		t.Error(files)
	}
	sql(t, s, fmt.Sprintf(create, 512)) // other options
	wantKept(t, s, "c", "none")
	if _, shared, _ := speak(t, s, "c", more, ""); shared != 0 {
		t.Errorf("%d tokens shared with another context length", shared)
	}
	sql(t, s, "CREATE OR REPLACE MODEL m FROM '../testdata/toy.gguf' WITH (slots = 2, context_length = 512)")
	wantKept(t, s, "c", "none")
	s = reopen(t, s)
	if files, _ := stateFiles(t, s); len(files) != 0 {
		t.Error(files)
	}
	s.db.cfg.StatesSize = -1
	s = reopen(t, s)
	speak(t, s, "e", opening, "")
	s = reopen(t, s)
	wantKept(t, s, "e", "none")
}

// A file that was damaged, cut, exchanged for another session's, or is there once more
// after its session spoke on is never the answer's loss.
func TestDamagedState(t *testing.T) {
	s := openConfig(t, Config{Dir: t.TempDir()})
	sql(t, s, "CREATE MODEL m FROM '../testdata/tiny.gguf' WITH (slots = 2, threads = 1, context_length = 1024)")
	whole := openConfig(t, Config{Dir: t.TempDir()})
	sql(t, whole, "CREATE MODEL m FROM '../testdata/tiny.gguf' WITH (slots = 2, threads = 1, context_length = 1024, prefix_cache = 0)")
	said := func(session, message string, least, most int) {
		t.Helper()
		got, shared, _ := speak(t, s, session, message, "")
		if want, _, _ := speak(t, whole, session, message, ""); got != want || shared < least || shared > most {
			t.Errorf("%q with %d tokens shared (%d to %d), want %q", got, shared, least, most, want)
		}
	}
	said("s", opening, 0, 0)
	said("r", more, 0, 0)
	sql(t, s, "ALTER MODEL m UNLOAD")
	var old []byte
	for at := range 12 {
		s = reopen(t, s)
		if at%3 == 0 { // found at the start, else at the turn
			continue
		}
		files, _ := stateFiles(t, s)
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), `"Session":"s"`) {
				old = append([]byte(nil), b...)
				if b[len(b)*at/12] ^= 4; at%2 == 0 {
					b = b[:len(b)*at/12]
				}
				if err := os.WriteFile(f, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		said("s", fmt.Sprint("And number ", at, "?"), 0, 0)
		wantKept(t, s, "s", "memory")
	}
	s = reopen(t, s)
	files, _ := stateFiles(t, s)
	if len(files) != 2 {
		t.Fatal(files)
	}
	name := files[0]
	if b, err := os.ReadFile(name); err != nil || !strings.Contains(string(b), `"Session":"s"`) {
		name = files[1]
	}
	if err := os.WriteFile(name, old, 0o600); err != nil { // of a turn before
		t.Fatal(err)
	}
	s = reopen(t, s)
	said("s", "And now?", 60, 1000)
	s = reopen(t, s)
	if err := os.Rename(files[0], files[1]); err != nil { // one as the other
		t.Fatal(err)
	}
	said("s", "What is left?", 0, 0)
	said("r", "What is left?", 0, 0)
}

// Many sessions on one model with room for few of them, in memory and on disk.
func TestManySessionsInLittleRoom(t *testing.T) {
	const sessions, room = 200, 1_000_000
	s := openConfig(t, Config{Dir: t.TempDir(), StatesSize: room})
	sql(t, s, "CREATE MODEL m FROM '../testdata/tiny.gguf' WITH (slots = 1, threads = 1, context_length = 512, prefix_cache = 1)")
	whole := openConfig(t, Config{Dir: t.TempDir()})
	sql(t, whole, "CREATE MODEL m FROM '../testdata/tiny.gguf' WITH (slots = 1, threads = 1, context_length = 512, prefix_cache = 0)")
	turn := func(i int) string {
		return fmt.Sprintf("SELECT count(chat('s' || i, 'turn %d: what did the people of row ' || i || ' say about the sea?', max_tokens := 8)) FROM (SELECT abs(%d - i) AS i FROM range(%d) t(i))", i, i%2*(sessions-1), sessions)
	}
	within := func() {
		t.Helper()
		if got := sql(t, s, "SELECT coalesce(sum(kept_bytes), 0) <= 1048576, count(*), count(DISTINCT session) FROM ai.sessions WHERE kept = 'memory'"); !strings.HasPrefix(got, "true|") {
			t.Errorf("in memory: %s", got)
		}
		if _, bytes := stateFiles(t, s); bytes > room {
			t.Errorf("%d bytes on disk", bytes)
		}
	}
	for i := range 4 {
		for _, db := range []*Session{s, whole} {
			if got := sql(t, db, turn(i)); got != strconv.Itoa(sessions) {
				t.Error(got)
			}
		}
		within()
		if got := sql(t, s, "SELECT count(*) FILTER (kept = 'memory') BETWEEN 5 AND 100, prefix_bytes <= 1048576 FROM ai.sessions, ai.engines GROUP BY ALL"); got != "true|true" {
			t.Errorf("turn %d: %s", i, got)
		}
		switch i {
		case 1:
			sql(t, s, "ALTER MODEL m UNLOAD")
		case 2:
			s = reopen(t, s)
		}
		within()
		if i == 1 || i == 2 {
			if got := sql(t, s, "SELECT count(*) FILTER (kept = 'disk') BETWEEN 5 AND 100, sum(kept_bytes) <= 1000000, max(kept_bytes) > 0 FROM ai.sessions"); got != "true|true|true" {
				t.Errorf("turn %d: %s", i, got)
			}
		}
	}
	if got := sql(t, s, "SELECT sum(shared_tokens) > 3000 FROM ai.usage WHERE function = 'chat'"); got != "true" {
		t.Errorf("more than 3000 tokens shared: %s", got)
	}
	// Where two tokens are about equally likely a random model turns with the batch: some
	// sessions of those that had nothing kept do. Another's state would turn all that had.
	parted := map[string]bool{}
	const all = "SELECT session, seq, role, content FROM ai.messages ORDER BY session, seq"
	want := strings.Split(sql(t, whole, all), "\n")
	for i, line := range strings.Split(sql(t, s, all), "\n") {
		if line != want[i] {
			parted[strings.Split(line, "|")[0]] = true
		}
	}
	if t.Logf("%d sessions parted", len(parted)); len(parted) > 30 {
		t.Errorf("%d of %d sessions say something else than without anything kept", len(parted), sessions)
	}
}

// What has to make room in memory is on disk before, and comes back for its next turn
// while the model is loaded.
func TestDialoguesMakeRoom(t *testing.T) {
	begin := func(cache int) *Session {
		s := openConfig(t, Config{Dir: t.TempDir()})
		sql(t, s, fmt.Sprintf("CREATE MODEL m FROM '../testdata/tiny.gguf' WITH (slots = 2, threads = 1, context_length = 512, prefix_cache = %d)", cache))
		return s
	}
	s, roomy := begin(1), begin(64)
	for i := range 60 {
		for _, db := range []*Session{s, roomy} {
			speak(t, db, fmt.Sprint("s", i), fmt.Sprint("number ", i, opening), "")
		}
		for end := time.Now().Add(10 * time.Second); sql(t, s, "SELECT count(*) FROM ai.sessions WHERE kept = 'none'") != "0"; {
			if time.Now().After(end) {
				t.Fatalf("after %d sessions some are kept nowhere", i+1)
			}
		}
	}
	if got := sql(t, s, "SELECT count(*) FILTER (kept = 'disk') > 10, count(*) FILTER (kept = 'memory') > 10 FROM ai.sessions"); got != "true|true" {
		t.Errorf("on disk and in memory: %s", got)
	}
	if files, _ := stateFiles(t, roomy); len(files) != 0 {
		t.Errorf("%d files where there is room in memory", len(files))
	}
	for i := range 5 {
		session := fmt.Sprint("s", i)
		wantKept(t, s, session, "disk")
		want, shared, _ := speak(t, roomy, session, "And then?", "")
		got, again, _ := speak(t, s, session, "And then?", "")
		if got != want || again != shared || shared < 60 {
			t.Errorf("%q with %d tokens shared, want %q with %d", got, again, want, shared)
		}
		wantKept(t, s, session, "memory")
	}
}

// A copy of the directory is what a kill -9 leaves: the state on disk is of an earlier
// turn, or none.
func TestStatesAfterAKill(t *testing.T) {
	s := openConfig(t, Config{Dir: t.TempDir()})
	sql(t, s, "CREATE MODEL m FROM '../testdata/tiny.gguf' WITH (slots = 2, threads = 1, context_length = 1024)")
	_, _, first := speak(t, s, "s", opening, "")
	s = reopen(t, s)
	speak(t, s, "s", more, "")
	speak(t, s, "t", more, "")
	dir := filepath.Join(t.TempDir(), "copy") // with other modes
	if err := os.CopyFS(dir, os.DirFS(s.db.cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, statesDir, "9.tmp"), []byte("half a state"), 0o600); err != nil {
		t.Fatal(err)
	}
	after := openConfig(t, Config{Dir: dir})
	wantKept(t, after, "s", "disk")
	wantKept(t, after, "t", "none")
	for _, session := range []string{"s", "t"} {
		want, _, all := speak(t, s, session, "Which of them is older?", "")
		got, shared, total := speak(t, after, session, "Which of them is older?", "")
		if got != want || total != all || session == "t" && shared != 0 || session == "s" && (shared < 60 || shared > first) {
			t.Errorf("%s: %q with %d of %d tokens shared, want %q", session, got, shared, total, want)
		}
	}
	// A model's process that is killed takes what it had along.
	pid, err := strconv.Atoi(sql(t, after, "SELECT pid FROM ai.engines"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if answer, _, _ := speak(t, after, "t", "And why?", ""); answer == "(null)" {
		t.Error("no answer after the process was killed")
	}
	wantKept(t, after, "t", "memory")
	if files, _ := stateFiles(t, after); len(files) > 1 {
		t.Error(files)
	}
}

// A full disk, for which a limit of the process on its files' size stands, loses the
// saving only.
func TestStatesOnAFullDisk(t *testing.T) {
	s := openConfig(t, Config{Dir: t.TempDir()})
	sql(t, s, "CREATE MODEL m FROM '"+gemmaFile+"' WITH (slots = 2, threads = 1, context_length = 1024)")
	if _, _, all := speak(t, s, "s", strings.Repeat(opening, 10), ""); all < 200 {
		t.Fatal(all)
	}
	speak(t, s, "t", opening, "")
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 3 << 20, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	sql(t, s, "ALTER MODEL m UNLOAD")
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	wantKept(t, s, "s", "none")
	if files, _ := stateFiles(t, s); len(files) > 1 {
		t.Error(files)
	}
	if got, shared, _ := speak(t, s, "s", "And then?", ""); got == "(null)" || shared != 0 {
		t.Errorf("%q, %d shared", got, shared)
	}
	sql(t, s, "ALTER MODEL m UNLOAD")
	wantKept(t, s, "s", "disk")
	wantKept(t, s, "t", "disk")
}
