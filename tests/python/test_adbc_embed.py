"""Embeddings through the Python ADBC driver, on the real model."""

import math

import pyarrow as pa
import pytest
from adbc_driver_flightsql import dbapi

TEXTS = [
    "The cat sat on the mat and purred.", "A kitten is lying on the rug, purring.",
    "The central bank raised interest rates by half a percent.", "Borrowing became dearer after the bank's decision on rates.",
    "Preheat the oven and grease the baking tin.", "Stir flour, eggs and sugar into a smooth dough.",
    "Bonjour tout le monde", "x", "", None,
]


@pytest.fixture
def docs(cur):
    cur.execute("CREATE OR REPLACE TABLE docs (id INTEGER, body VARCHAR)")
    cur.executemany("INSERT INTO docs VALUES (?, ?)", list(enumerate(TEXTS)))
    yield "docs"
    cur.execute("DROP TABLE docs")


def test_vectors_arrive_as_lists_of_float(cur, docs):
    cur.execute(f"SELECT id, embed('gemma', body) AS v, embed(body) AS same FROM {docs} ORDER BY id")
    table = cur.fetch_arrow_table()
    assert table.num_rows == len(TEXTS)
    assert table.schema.field("v").type == pa.list_(pa.field("", pa.float32()), 640)
    vectors = table.column("v").to_pylist()
    assert vectors == table.column("same").to_pylist()
    assert vectors[-1] is None
    for v in vectors[:-1]:
        assert len(v) == 640 and math.isclose(sum(x * x for x in v), 1, abs_tol=1e-4)


def test_similarity_of_sentences(cur, docs):
    cur.execute(f"""WITH e AS MATERIALIZED (SELECT id, embed('gemma', body) AS v FROM {docs} WHERE id < 6)
        SELECT a.id, arg_max(b.id, similarity(a.v, b.v)), max(similarity(a.v, b.v)) FROM e a JOIN e b ON a.id <> b.id GROUP BY a.id ORDER BY a.id""")
    rows = cur.fetchall()
    assert [(a, b) for a, b, _ in rows] == [(0, 1), (1, 0), (2, 3), (3, 2), (4, 5), (5, 4)]
    assert all(0 < s < 1.0001 for _, _, s in rows)
    cur.execute(f"SELECT id FROM {docs} WHERE body <> '' ORDER BY similarity(embed(body), embed('a purring cat')) DESC LIMIT 2")
    assert {id for id, in cur.fetchall()} == {0, 1}


def test_parameters_and_nulls(cur):
    cur.execute("SELECT len(embed('gemma', ?)), embed('gemma', NULL), embed(NULL, 'x'), similarity(embed('gemma', NULL), [1.0])", ("Hello",))
    assert cur.fetchall() == [(640, None, None, None)]


def test_errors(cur):
    with pytest.raises(dbapi.Error, match="MODEL_NOT_FOUND"):
        cur.execute("SELECT embed('gema', 'x')")
        cur.fetchall()
    with pytest.raises(dbapi.Error, match="CONTEXT_OVERFLOW"):
        cur.execute("SELECT embed('gemma', repeat('word ', 20000))")
        cur.fetchall()


def test_one_computation_for_equal_texts(cur):
    cur.execute("SELECT count(embed('gemma', 'number ' || (i % 5) || ' of five')) FROM range(1000) t(i)")
    assert cur.fetchone() == (1000,)
    cur.execute("SELECT rows, distinct_rows, failed_rows, completion_tokens FROM ai.usage WHERE function = 'embed' AND rows = 1000")
    assert cur.fetchall() == [(1000, 5, 0, 0)]


def test_an_encoder(cur, files, spaced_model):
    """A model of BERT's kind embeds, and says so when it is asked to generate."""
    path = spaced_model.parent / "tiny-bert.gguf"
    path.write_bytes((files.root / "testdata" / "tiny-bert.gguf").read_bytes())
    cur.execute(f"CREATE MODEL encoder FROM '{path}'")
    try:
        cur.execute("SELECT len(embed('encoder', 'the time')), similarity(embed('encoder', 'the time'), embed('encoder', 'the time')) > 0.999")
        assert cur.fetchall() == [(32, True)]
        with pytest.raises(dbapi.Error, match="embed"):
            cur.execute("SELECT generate('encoder', 'the time')")
            cur.fetchall()
    finally:
        cur.execute("DROP MODEL encoder")
