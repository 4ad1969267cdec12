"""What a statement costs, told and bounded, through the Python ADBC driver, on the real model."""

import pyarrow as pa
import pytest
from adbc_driver_flightsql import dbapi

ASK = "SELECT id, generate('gemma', 'Say one word about number ' || id % 6, max_tokens := 3) AS a FROM numbers"


@pytest.fixture
def numbers(cur):
    cur.execute("CREATE OR REPLACE TABLE numbers AS SELECT range AS id FROM range(30)")
    yield "numbers"
    cur.execute("DROP TABLE numbers")


def plan(cur, sql):
    cur.execute(sql)
    text = "\n".join(row[1] for row in cur.fetchall())
    return [line.strip(" │") for line in text.splitlines() if line.strip(" │┌┐└┘├┤┬┴─")]


def test_estimate_then_pay(cur, numbers):
    cur.execute("SELECT * FROM ai_estimate(?)", (ASK,))
    table = cur.fetch_arrow_table()
    assert table.schema.field("prompt_tokens").type == pa.int64() and table.schema.field("complete").type == pa.bool_()
    (told,) = table.to_pylist()
    assert (told["function"], told["model"], told["adapter"]) == ("generate", "gemma", None)
    assert (told["rows"], told["distinct_rows"], told["cached_rows"], told["complete"]) == (30, 6, 0, True)
    assert told["max_completion_tokens"] == 18 and 0 < told["shared_tokens"] < told["prompt_tokens"]
    cur.execute(ASK)
    assert len(cur.fetchall()) == 30
    cur.execute("SELECT prompt_tokens FROM ai.usage WHERE rows = 30 AND distinct_rows = 6 ORDER BY started_at DESC LIMIT 1")
    assert cur.fetchone() == (told["prompt_tokens"],)


def test_estimate_of_a_change_is_an_error(cur, numbers):
    with pytest.raises(dbapi.Error, match=r"\[INVALID_ARGUMENT\] ai_estimate takes the text of one SELECT"):
        cur.execute(f"SELECT * FROM ai_estimate('DELETE FROM {numbers}')")
    cur.execute(f"SELECT count(*) FROM {numbers}")
    assert cur.fetchone() == (30,)


def test_explain(cur, numbers):
    cur.execute(ASK)
    cur.fetchall()
    lines = plan(cur, "EXPLAIN " + ASK)
    at = lines.index("INFERENCE")
    assert lines[at + 2 : at + 5] == ["generate", "model gemma", lines[at + 4]] and lines[at + 4].endswith("prompt tokens a row")
    assert any(line.endswith("tokens in all") for line in lines)


def test_explain_analyze(cur, numbers):
    lines = plan(cur, "EXPLAIN ANALYZE " + ASK)
    at = lines.index("INFERENCE:")
    assert lines[at + 1 : at + 4] == ["generate", "30 rows in", "6 distinct"] and lines[at + 4].endswith("prompt tokens")


def test_limit(connect, cur, numbers):
    cur.execute("SET ai_max_rows = 5")
    with pytest.raises(dbapi.Error, match=r"\[BUDGET_EXCEEDED\] ai_max_rows is 5 and it has at least 6 distinct rows") as refused:
        cur.execute(ASK)
        cur.fetchall()
    assert "RESOURCE_EXHAUSTED" in str(refused.value) or "ResourceExhausted" in str(refused.value)
    cur.execute(ASK + " WHERE id < 5")
    assert len(cur.fetchall()) == 5
    with connect(autocommit=True).cursor() as other:  # the setting is the session's
        other.execute(ASK)
        assert len(other.fetchall()) == 30
    cur.execute("SET ai_max_tokens = 20")
    with pytest.raises(dbapi.Error, match=r"\[BUDGET_EXCEEDED\] ai_max_tokens is 20"):
        cur.execute(ASK + " WHERE id < 5")
        cur.fetchall()
