"""How many rows reach the model, as ai.usage counts them: statements over Flight, on the tiny model."""

import pytest
from adbc_driver_flightsql import dbapi

N = 2000
G = "generate('few', prompt, max_tokens := 1)"
D = "generate('few', name, max_tokens := 1)"

# A statement, and the rows that the model may compute for it.
CASES = [
    ("SELECT generate('few', 'hi', max_tokens := 1) FROM t", 1),
    (f"SELECT {G} FROM t LIMIT 5", 5),
    (f"SELECT {G} FROM t LIMIT 5 OFFSET 1500", 5),
    (f"SELECT id, {G} FROM t ORDER BY o LIMIT 5", 5),
    (f"SELECT id, {G} FROM t ORDER BY o LIMIT 100", 100),
    (f"SELECT {G} FROM t ORDER BY prompt LIMIT 5", 5),
    (f"SELECT id, {G} FROM t JOIN d ON t.cat = d.k ORDER BY o LIMIT 5", 5),
    (f"SELECT id FROM t WHERE id % 3 = 0 AND {G} = 'x'", 667),
    (f"SELECT id FROM t WHERE {G} = 'x' AND id % 3 = 0", 667),
    (f"SELECT id FROM t WHERE regexp_matches(prompt, '7$') AND {G} = 'x'", 200),
    (f"SELECT {G} FROM t WHERE cat = 7", 20),
    (f"SELECT upper({G}), lower({G}) FROM t", 2000),
    (f"SELECT {G} FROM t WHERE cat = 7 AND {G} <> 'x'", 20),
    (f"SELECT id FROM t WHERE cat = 7 AND {G} IN ('a', 'b', 'c')", 20),
    (f"SELECT CASE {G} WHEN 'a' THEN 1 WHEN 'b' THEN 2 END FROM t WHERE cat = 7", 20),
    (f"SELECT DISTINCT {G} FROM dup", 10),
    (f"SELECT {G} FROM dup", 10),
    (f"SELECT {G} AS g, count(*) FROM dup GROUP BY g", 10),
    (f"SELECT count(*) FROM (SELECT {G} AS g FROM t)", 0),
    (f"SELECT string_agg({G}) FILTER (WHERE cat = 7) FROM t", 20),
    (f"SELECT id FROM t LEFT JOIN d ON t.cat = d.k WHERE {D} = 'x'", 100),
    (f"SELECT {D} FROM t JOIN d ON t.cat = d.k", 100),
    (f"WITH c AS (SELECT id, {G} AS g FROM t WHERE id < 300) SELECT * FROM c a JOIN c b USING (id)", 300),
    (f"WITH c AS NOT MATERIALIZED (SELECT id, {G} AS g FROM t WHERE id < 300) SELECT * FROM c a JOIN c b USING (id)", 300),
    ("SELECT generate('few', prompt, max_tokens := 1, temperature := 1) FROM dup LIMIT 20", 20),
]


@pytest.fixture(scope="module")
def tables(server, spaced_model, files):
    path = spaced_model.parent / "few.gguf"
    path.write_bytes((files.root / "testdata" / "tiny.gguf").read_bytes())
    with dbapi.connect(server.flight, autocommit=True) as con, con.cursor() as cur:
        for sql in (
            f"CREATE MODEL few FROM '{path}'",
            f"CREATE TABLE t AS SELECT i AS id, i % 100 AS cat, (i * 7919) % {N} AS o, 'p' || i AS prompt FROM range({N}) r(i)",
            "CREATE TABLE d AS SELECT i AS k, 'd' || i AS name FROM range(100) r(i)",
            f"CREATE TABLE dup AS SELECT 'p' || (i % 10) AS prompt FROM range({N}) r(i)",
        ):
            cur.execute(sql)
        yield
        for sql in ("DROP MODEL few", "DROP TABLE t", "DROP TABLE d", "DROP TABLE dup"):
            cur.execute(sql)


@pytest.mark.parametrize("sql, rows", CASES)
def test_rows_to_model(cur, tables, sql, rows):
    def computed():
        cur.execute("SELECT coalesce(sum(distinct_rows), 0)::BIGINT FROM ai.usage WHERE model = 'few'")
        return cur.fetchone()[0]

    before = computed()
    cur.execute(sql)
    cur.fetch_arrow_table()
    assert computed() - before == rows
