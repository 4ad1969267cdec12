"""Similarity search over the stock ADBC driver, with DuckDB's vss, without it, and after a kill."""

import platform
import random
import sys

import pyarrow as pa
import pytest
from adbc_driver_flightsql import dbapi

from serving import ROOT, Server

VSS = ROOT / ".deps" / "vss" / "vss.duckdb_extension"
SIZE = 48
KINDS = ["without", "with"] if sys.platform == "linux" and platform.machine() == "x86_64" else ["without"]


def rows(count):
    """count vectors around as many directions as there are tens of them."""
    draw = random.Random(7)
    centres = [[draw.gauss(0, 1) for _ in range(SIZE)] for _ in range(count // 10)]
    return [[x + 0.1 * (i // len(centres)) * draw.gauss(0, 0.3) for x in centres[i % len(centres)]] for i in range(count)]


def table(vectors):
    flat = pa.array([x for v in vectors for x in v], pa.float32())
    return pa.table({"id": pa.array(range(len(vectors))), "v": pa.FixedSizeListArray.from_arrays(flat, SIZE)})


def search(cur, vector, where="", explain=""):
    """The ids of the rows nearest to a vector, which is a parameter; or the plan."""
    question = pa.record_batch({"q": pa.array([vector], pa.list_(pa.float64()))})
    cur.execute(f"{explain} SELECT id FROM docs {where} ORDER BY similarity(v, ?) DESC LIMIT 3", question)
    if explain:
        return str(cur.fetchall())
    return [id for id, in cur.fetchall()]


def nearest(vectors, vector, among):
    def cosine(i):
        dot = sum(a * b for a, b in zip(vectors[i], vector))
        return dot / (sum(a * a for a in vectors[i]) * sum(b * b for b in vector)) ** 0.5
    return sorted(among, key=cosine, reverse=True)[:3]


def check(server, vectors, indexed):
    with dbapi.connect(server.flight, autocommit=True) as con, con.cursor() as cur:
        cur.execute("SELECT count(*) FROM docs")
        assert cur.fetchone() == (len(vectors),)
        everything = range(len(vectors))
        for n in (3, 700, len(vectors) - 1):
            assert search(cur, vectors[n]) == nearest(vectors, vectors[n], everything)
            assert search(cur, vectors[n], "WHERE id % 2 = 0") == nearest(vectors, vectors[n], everything[::2])
        assert ("VECTOR_SEARCH" in search(cur, vectors[3], explain="EXPLAIN")) == indexed


@pytest.mark.parametrize("kind", KINDS)
def test_searches_survive_a_kill(tmp_path, kind):
    vectors = rows(2000)
    place = tmp_path / "extensions" / VSS.name
    if kind == "with":
        place.parent.mkdir()
        place.symlink_to(VSS)
    server = Server(tmp_path).start()
    con = dbapi.connect(server.flight, autocommit=True)
    try:
        with con.cursor() as cur:
            cur.adbc_ingest("docs", table(vectors[:1900]))
            if kind == "with":
                cur.execute("CREATE INDEX docs_v ON docs USING HNSW (v) WITH (metric = 'cosine')")
            check(server, vectors[:1900], kind == "with")
            cur.execute("CHECKPOINT")
            cur.adbc_ingest("docs", table(vectors).slice(1900), mode="append")
            cur.execute("UPDATE docs SET v = v WHERE id IN (3, 1999)")
    finally:
        server.process.kill()
        server.process.wait()
        con.close()
    try:
        server.start()
        check(server, vectors, kind == "with")
        with dbapi.connect(server.flight, autocommit=True) as con, con.cursor() as cur:
            cur.execute("INSERT INTO docs SELECT id + 10000, NULL FROM docs LIMIT 5")
            cur.execute("DELETE FROM docs WHERE id >= 10000")
        server.stop()
        place.unlink(missing_ok=True)
        server.start()
        check(server, vectors, False)
    finally:
        server.stop()
    said = (tmp_path / "server.log").read_text()
    assert ("made anew" in said, "dropped, so that its table can be written" in said) == (kind == "with", kind == "with"), said
