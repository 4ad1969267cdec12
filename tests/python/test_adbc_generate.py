"""Inference through the Python ADBC driver, on the real model: properties, not prose."""

import threading
import time

import pyarrow as pa
import pytest
from adbc_driver_flightsql import dbapi

PROMPTS = [
    "Q: What is the capital of France?\nA:", "The chemical symbol for gold is", "Q: How many legs does a spider have?\nA:",
    "Translate to Spanish.\nEnglish: Good morning!\nSpanish:", "Once upon a time",
]


@pytest.fixture
def prompts(cur):
    cur.execute("CREATE OR REPLACE TABLE prompts (id INTEGER, prompt VARCHAR)")
    cur.executemany("INSERT INTO prompts VALUES (?, ?)", list(enumerate(PROMPTS)))
    yield "prompts"
    cur.execute("DROP TABLE prompts")


def test_generate_over_a_table(cur, prompts):
    cur.execute(f"SELECT id, generate('gemma', prompt, max_tokens := 12) AS text FROM {prompts}")
    rows = dict(cur.fetchall())
    assert sorted(rows) == list(range(len(PROMPTS)))
    assert all(text and text.strip() for text in rows.values())
    assert "Paris" in rows[0]
    assert len(set(rows.values())) == len(rows)


def test_generate_is_deterministic_and_takes_parameters(cur):
    texts = []
    for _ in range(2):
        cur.execute("SELECT generate('gemma', ?, max_tokens := 8)", (PROMPTS[0],))
        texts += cur.fetchall()
    assert texts[0] == texts[1] and texts[0][0]


def test_prompts_bound_together_are_one_batch(cur):
    batch = pa.record_batch({"id": list(range(200)), "prompt": [f"The number {n % 40} is" for n in range(200)]})
    cur.execute("SELECT $1 AS id, generate('gemma', $2, max_tokens := 4) AS text", batch)
    rows = cur.fetchall()
    assert [r[0] for r in rows] == list(range(200))
    assert all(rows[n][1] == rows[n % 40][1] for n in range(200))
    cur.execute("SELECT rows, distinct_rows FROM ai.usage WHERE rows = 200")
    assert cur.fetchall() == [(200, 40)]


def test_generate_for_each_parameter_row(cur, prompts):
    cur.execute("CREATE OR REPLACE TABLE answers (id INTEGER, answer VARCHAR)")
    cur.execute(f"INSERT INTO answers SELECT id, generate('gemma', prompt, max_tokens := 4) FROM {prompts}")
    cur.execute("SELECT count(*) FROM answers WHERE answer <> ''")
    assert cur.fetchone() == (len(PROMPTS),)
    cur.execute("DROP TABLE answers")


def test_persistent_cache_computes_what_is_new(cur):
    def run(rows):
        cur.execute("SELECT i, generate('gemma', 'The colour number ' || i || ' is', max_tokens := 6, cache := 'persistent') "
                    f"FROM range({rows}) t(i) ORDER BY i")
        answers = cur.fetchall()
        cur.execute("SELECT rows, cached_rows FROM ai.usage ORDER BY finished_at DESC LIMIT 1")
        usage = cur.fetchone()
        cur.execute("SELECT prompt_tokens, completion_tokens FROM ai.engines WHERE model = 'gemma'")
        return answers, usage, cur.fetchone()

    cur.execute("CLEAR CACHE")
    cur.fetchall()
    first, usage, spent = run(100)
    assert usage == (100, 0) and len({text for _, text in first}) > 10
    again, usage, after = run(100)
    assert again == first and usage == (100, 100) and after == spent
    grown, usage, after = run(101)
    assert grown[:100] == first and grown[100][1] and usage == (101, 100)
    assert 0 < after[1] - spent[1] <= 6 and after[0] - spent[0] < 20


def test_null_prompt_is_null(cur):
    cur.execute("SELECT generate('gemma', NULL)")
    assert cur.fetchall() == [(None,)]


def test_stream_arrives_while_the_model_decodes(cur):
    cur.execute("SELECT generate('gemma', 'Hi', max_tokens := 1)")  # the model is loaded now
    cur.fetchall()
    start = time.monotonic()
    cur.execute("FROM generate_stream('gemma', 'Once upon a time', max_tokens := 150, ignore_eos := true)")
    arrivals, text = [], ""
    for batch in cur.fetch_record_batch():
        arrivals += [time.monotonic() - start] * batch.num_rows
        text += "".join(t or "" for t in batch.column("text").to_pylist())
    assert len(arrivals) > 20 and text.strip()
    assert arrivals[0] < arrivals[-1] / 4, f"first row after {arrivals[0]:.3f} s of {arrivals[-1]:.3f} s"


def wait_until_idle(cur, seconds=30):
    deadline = time.monotonic() + seconds
    while True:
        cur.execute("SELECT busy, queued FROM ai.engines WHERE model = 'gemma'")
        state = cur.fetchall()
        if state == [(0, 0)]:
            return
        assert time.monotonic() < deadline, f"the engine still works: {state}"
        time.sleep(0.05)


LONG = "SELECT generate('gemma', 'Story number ' || i, max_tokens := 1000, ignore_eos := true) FROM range(64) t(i)"


def test_cancel_reaches_the_model(cur):
    cur.execute(LONG)
    threading.Timer(1.0, cur.adbc_cancel).start()
    start = time.monotonic()
    with pytest.raises(dbapi.Error):
        cur.fetchall()
    assert time.monotonic() - start < 10  # 64,000 tokens would take minutes
    wait_until_idle(cur)


def test_closing_the_connection_ends_the_work(connect, cur):
    con = connect(autocommit=True)
    other = con.cursor()
    other.execute(LONG)
    time.sleep(1)
    other.close()
    con.close()
    wait_until_idle(cur)


def test_others_are_not_held_up(connect, cur):
    """SELECT 1 on a second connection while a long generation runs."""
    con = connect(autocommit=True)
    with con.cursor() as busy:
        busy.execute(LONG)
        time.sleep(1)
        times = []
        for _ in range(50):
            start = time.monotonic()
            cur.execute("SELECT 1")
            assert cur.fetchall() == [(1,)]
            times.append(time.monotonic() - start)
        busy.adbc_cancel()
        with pytest.raises(dbapi.Error):
            busy.fetchall()
    times.sort()
    print(f"SELECT 1: median {times[25] * 1e3:.1f} ms, p95 {times[47] * 1e3:.1f} ms, max {times[-1] * 1e3:.1f} ms")
    assert times[25] < 0.5
