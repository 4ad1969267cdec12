"""Scoring through the Python ADBC driver, on the real model: properties, and few easy answers."""

import math

import pyarrow as pa
import pytest
from adbc_driver_flightsql import dbapi

WORDS = [(1, "Giraffe", "animal"), (2, "Portugal", "country"), (3, "Seventeen", "number"), (4, None, None)]
LABELS = ["number", "animal", "country"]


@pytest.fixture
def words(cur):
    cur.execute("CREATE OR REPLACE TABLE words (id INTEGER, word VARCHAR)")
    cur.executemany("INSERT INTO words VALUES (?, ?)", [w[:2] for w in WORDS])
    yield "words"
    cur.execute("DROP TABLE words")


def test_classify(cur, words):
    cur.execute(
        f"SELECT id, ai_classify(word, ['number', 'animal', 'country', NULL, 'animal'], instruction := 'What is it?') AS label, "
        f"ai_classify_probs(word, ['country', 'number', 'animal'], instruction := 'What is it?') AS probs FROM {words} ORDER BY id"
    )
    table = cur.fetch_arrow_table()
    assert table.schema.field("label").type == pa.string()
    assert table.schema.field("probs").type == pa.map_(pa.string(), pa.float64())
    rows = table.to_pylist()
    assert rows[3]["label"] is None and rows[3]["probs"] is None
    for row in rows[:3]:
        probs = dict(row["probs"])
        assert list(probs) == sorted(LABELS) and math.isclose(sum(probs.values()), 1)
        assert all(0 <= p <= 1 for p in probs.values()) and max(probs, key=probs.get) == row["label"]
    assert sum(row["label"] == w[2] for row, w in zip(rows, WORDS)) >= 3


def test_classify_without_labels(cur):
    cur.execute("SELECT ai_classify('x', ?::VARCHAR[]), ai_classify('x', []), ai_classify_probs('x', [NULL::VARCHAR])", (None,))
    assert cur.fetchall() == [(None, None, None)]


def test_filter(cur, words):
    cur.execute(f"SELECT count(*) FROM {words} WHERE ai_filter(word, 'it lives in Africa')")
    (kept,) = cur.fetchone()
    cur.execute(f"SELECT ai_filter(word, 'it lives in Africa'), ai_filter_prob(word, 'it lives in Africa') FROM {words} ORDER BY id")
    rows = cur.fetchall()
    assert rows[3] == (None, None)
    assert all(0 < p < 1 for _, p in rows[:3]) and [k for k, _ in rows[:3]] == [p > 0.5 for _, p in rows[:3]]
    assert kept == sum(k for k, _ in rows[:3])


def test_logprob(cur):
    cur.execute(
        "SELECT logprob('gemma', 'The capital of France is', c) FROM "
        "(VALUES (1, ' Paris'), (2, ' Pa'), (3, ' cheese'), (4, ' Paris, of course'), (5, NULL)) v(i, c) ORDER BY i"
    )
    paris, _, cheese, longer, none = [row[0] for row in cur.fetchall()]
    assert none is None and cheese < paris < 0 and longer < paris
    with pytest.raises(dbapi.Error, match="the continuation is empty"):
        cur.execute("SELECT logprob('gemma', 'The capital of France is', '')")


def test_usage_counts_scored_rows(cur):
    cur.execute("SELECT ai_classify('N' || i % 3, ['a', 'b']), ai_filter('N' || i % 3, 'p') FROM range(30) t(i)")
    assert len(cur.fetchall()) == 30
    cur.execute(
        "SELECT \"function\", rows, distinct_rows, failed_rows, prompt_tokens - shared_tokens > 0, completion_tokens "
        "FROM ai.usage WHERE \"function\" LIKE '%ai_filter%' ORDER BY finished_at DESC LIMIT 1"
    )
    assert cur.fetchall() == [("ai_classify, ai_filter", 60, 6, 0, True, 0)]


def test_match_joins(cur, words):
    join = f"FROM {words} a JOIN {words} b ON ai_match(a.word, b.word, 'no'{{}}) WHERE a.id <> b.id"
    cur.execute("EXPLAIN SELECT a.id, b.id " + join.format(", recall := 0.95"))
    plan = "".join(str(row) for row in cur.fetchall())
    assert "INFERENCE" in plan and "PAIRS" in plan and "recall 0.95" in plan
    found = []
    for options in ("", ", recall := 0.95"):  # too few pairs for a proxy: the same answers
        cur.execute("SELECT a.id, b.id " + join.format(options))
        found.append(sorted(cur.fetchall()))
        cur.execute("SELECT \"function\", rows, distinct_rows, proxy_rows, failed_rows FROM ai.usage ORDER BY finished_at DESC LIMIT 1")
        assert cur.fetchall() == [("ai_match", 6, 6, 0, 0)]
    assert found[0] == found[1]
    with pytest.raises(dbapi.Error, match="quality and recall need a proxy"):
        cur.execute("SELECT ai_filter('x', 'p', quality := 0.9)")
