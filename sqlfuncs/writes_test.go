package sqlfuncs

import "testing"

// TestWritesToWhatIsRead: rows that a statement writes are not rows that it reads,
// although it writes while it still reads.
func TestWritesToWhatIsRead(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE x AS SELECT i AS id, 'p' || i AS a FROM range(30000) r(i)")
	d.must("INSERT INTO x SELECT id, generate('m', a) FROM x")
	d.answers("SELECT count(*), count(DISTINCT a), count(*) FILTER (WHERE a = '<m:p' || id || '>') FROM x", "60000|60000|30000")
	d.must("UPDATE x SET a = generate('u', a) WHERE a LIKE '<m:%'")
	d.answers("SELECT count(*), count(*) FILTER (WHERE a = '<u:<m:p' || id || '>>') FROM x", "60000|30000")
	d.must("DELETE FROM x WHERE generate('m', a) LIKE '<m:<u%'")
	d.answers("SELECT count(*), count(*) FILTER (WHERE a = 'p' || id) FROM x", "30000|30000")
	d.must("BEGIN")
	d.must("INSERT INTO x SELECT id, 'local' || id FROM x")
	d.must("INSERT INTO x SELECT id, generate('m', a) FROM x")
	d.must("UPDATE x SET a = generate('v', a)")
	d.must("COMMIT")
	d.answers("SELECT count(*), count(*) FILTER (WHERE a LIKE '<v:%') FROM x", "120000|120000")
}
