"""Statements, parameters, transactions and errors through the Python ADBC driver."""

import datetime
import decimal
import threading
import time
import warnings

import pyarrow as pa
import pytest
from adbc_driver_flightsql import dbapi


def fetch(cur, sql, parameters=None):
    cur.execute(sql, parameters)
    return cur.fetchall()


def test_cursor(cur, table):
    cur.execute(f"SELECT id, name FROM {table} ORDER BY id")
    assert [d[0] for d in cur.description] == ["id", "name"]
    assert cur.fetchone() == (1, "Ada")
    assert cur.fetchmany(1) == [(2, "Grace")]
    assert cur.fetchall() == [(3, None)]
    assert cur.fetchone() is None


def test_no_warnings(server):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with dbapi.connect(server.flight) as con, con.cursor() as cur:
            assert fetch(cur, "SELECT 1") == [(1,)]


def test_arrow_table(cur, table):
    cur.execute(f"SELECT * FROM {table} ORDER BY id")
    have = cur.fetch_arrow_table()
    want = pa.table({"id": pa.array([1, 2, 3], pa.int32()), "name": ["Ada", "Grace", None]})
    assert have.equals(want)


def test_pandas(cur, table):
    cur.execute(f"SELECT id * 1.5 AS x FROM {table} ORDER BY id")
    assert cur.fetch_df()["x"].astype(float).tolist() == [1.5, 3.0, 4.5]


def test_large_result(cur):
    cur.execute("SELECT range AS i, range / 2 AS x, 'row ' || range AS s FROM range(300000)")
    have = cur.fetch_arrow_table()
    assert have.num_rows == 300000
    assert pa.compute.sum(have["i"]).as_py() == 300000 * 299999 // 2


@pytest.mark.parametrize("value", [
    7, -(2**40), 1.25, True, "text", "", "наука 🚀", b"\x00\xff", None,
    datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12, 30, 1, 5), datetime.time(1, 2, 3),
    decimal.Decimal("12.340"), [1, 2, None], {"a": 1, "b": "x"},
])
def test_parameter_comes_back(cur, value):
    assert fetch(cur, "SELECT ? AS v", (value,)) == [(value,)]


def test_parameters(cur, table):
    assert fetch(cur, f"SELECT name FROM {table} WHERE id = ?", (2,)) == [("Grace",)]
    assert fetch(cur, f"SELECT id FROM {table} WHERE name = $1 OR id = $2 ORDER BY id", ("Ada", 3)) == [(1,), (3,)]


def test_prepared_again_and_again(cur, table):
    for id, name in ((1, "Ada"), (2, "Grace"), (1, "Ada")):
        assert fetch(cur, f"SELECT name FROM {table} WHERE id = ?", (id,)) == [(name,)]


def test_executemany(cur, table):
    cur.executemany(f"INSERT INTO {table} VALUES (?, ?)", [(n, f"name {n}") for n in range(10, 2010)])
    assert cur.rowcount == 2000
    assert fetch(cur, f"SELECT count(*), count(DISTINCT name) FROM {table}") == [(2003, 2002)]


def test_executemany_is_all_or_nothing(cur, table):
    with pytest.raises(dbapi.Error):
        cur.executemany(f"INSERT INTO {table} SELECT ?::INTEGER, 'x'", [("1",), ("two",)])
    assert fetch(cur, f"SELECT count(*) FROM {table}") == [(3,)]


def test_changes_need_no_fetch(cur):
    """execute() does not wait for rows: the change must be there for the next statement anyway."""
    for n in range(20):
        cur.execute("CREATE OR REPLACE TABLE made (n INTEGER)")
        cur.execute(f"INSERT INTO made VALUES ({n})")
        assert fetch(cur, "SELECT n FROM made") == [(n,)]
    cur.execute("DROP TABLE made")


def test_returning(cur, table):
    assert fetch(cur, f"DELETE FROM {table} WHERE id > 1 RETURNING id") == [(2,), (3,)]


def test_transactions(connect, con, table):
    other = connect()
    with other.cursor() as cur, con.cursor() as outside:
        cur.execute(f"DELETE FROM {table}")
        assert fetch(cur, f"SELECT count(*) FROM {table}") == [(0,)]
        assert fetch(outside, f"SELECT count(*) FROM {table}") == [(3,)]
        other.rollback()
        assert fetch(cur, f"SELECT count(*) FROM {table}") == [(3,)]
        cur.execute(f"DELETE FROM {table} WHERE id = 1")
        other.commit()
        assert fetch(outside, f"SELECT count(*) FROM {table}") == [(2,)]
        other.rollback()


def test_temporary_tables_are_of_their_connection(connect):
    one, two = connect(autocommit=True), connect(autocommit=True)
    with one.cursor() as a, two.cursor() as b:
        a.execute("CREATE TEMP TABLE mine AS SELECT 1 AS x")
        b.execute("CREATE TEMP TABLE mine AS SELECT 2 AS x")
        assert fetch(a, "FROM mine") == [(1,)]
        assert fetch(b, "FROM mine") == [(2,)]


@pytest.mark.parametrize("autocommit", [True, False])
def test_two_cursors_of_one_connection(connect, autocommit):
    """A second statement must not wait for a result that is not read; nor in a transaction, up to 64 MB of it."""
    con = connect(autocommit=autocommit)
    with con.cursor() as first, con.cursor() as second:
        first.execute("SELECT repeat('x', 1000) FROM range(30000)")
        reader = first.fetch_record_batch()
        rows = reader.read_next_batch().num_rows
        start = time.monotonic()
        assert fetch(second, "SELECT 1") == [(1,)]
        assert time.monotonic() - start < 5
        assert rows + sum(batch.num_rows for batch in reader) == 30000


def test_cursors_in_threads(con):
    results = {}

    def work(n):
        with con.cursor() as cur:
            results[n] = [fetch(cur, "SELECT ?::BIGINT + i FROM range(?) t(i)", (n, 50)) for _ in range(10)]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert results == {n: [[(n + i,) for i in range(50)]] * 10 for n in range(6)}


@pytest.mark.parametrize("sql, kind, code", [
    ("SELEKT 1", dbapi.ProgrammingError, "SYNTAX_ERROR"),
    ("SELECT * FROM nowhere", dbapi.ProgrammingError, "NOT_FOUND"),
    ("SELECT 1 +", dbapi.ProgrammingError, "SYNTAX_ERROR"),
    ("CREATE MODEL broken FROM '/nowhere/model.gguf'", dbapi.Error, r"\[[A-Z_]+\]"),
    ("SELECT generate('no such model', 'x')", dbapi.Error, "MODEL_NOT_FOUND"),
])
def test_errors(cur, sql, kind, code):
    with pytest.raises(kind, match=code):
        cur.execute(sql)
        cur.fetchall()
    assert fetch(cur, "SELECT 1") == [(1,)]


def test_cancel(cur):
    cur.execute("SELECT count(*) FROM range(1000000000000) t(a) WHERE a % 7 = 3")
    start = time.monotonic()
    threading.Timer(0.5, cur.adbc_cancel).start()
    with pytest.raises(dbapi.Error):
        cur.fetchall()
    assert time.monotonic() - start < 5
    assert fetch(cur, "SELECT 1") == [(1,)]
