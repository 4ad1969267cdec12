"""PEP 249 over the stock ADBC driver: its classic compliance suite (PyPI: dbapi-compliance), and what that leaves out.

What the driver does not do by itself, whatever the server answers, is expected to fail, and reported when it no longer does.
"""

import dbapi20
import pytest
from adbc_driver_flightsql import dbapi


def by_the_driver(reason, raises=AssertionError):
    return pytest.mark.xfail(strict=True, raises=raises, reason=reason)


class TestCompliance(dbapi20.DatabaseAPI20Test):
    driver = dbapi

    @pytest.fixture(autouse=True)
    def address(self, server):
        self.connect_args = (server.flight,)

    @by_the_driver("description is [] after a statement without rows, where PEP 249 says None")
    def test_description(self):
        super().test_description()

    @by_the_driver("fetchone() after a statement without rows is None, where PEP 249 says an Error")
    def test_fetchone(self):
        super().test_fetchone()

    @by_the_driver("fetchall() after a statement without rows is [], where PEP 249 says an Error")
    def test_fetchall(self):
        super().test_fetchall()

    @by_the_driver("a second close() of a connection is no Error; the suite says that reasonable persons differ")
    def test_non_idempotent_close(self):
        super().test_non_idempotent_close()

    @by_the_driver("the module has no Binary", raises=AttributeError)
    def test_Binary(self):
        super().test_Binary()

    @by_the_driver("callproc() is not supported (PEP 249 leaves it out if a database has none)", raises=dbapi.NotSupportedError)
    def test_callproc(self):
        super().test_callproc()

    def test_nextset(self):
        """No statement has two results; the suite leaves this one to whoever runs it."""
        with dbapi.connect(*self.connect_args) as con, con.cursor() as cur:
            cur.execute("SELECT 1")
            with pytest.raises(dbapi.NotSupportedError):
                cur.nextset()

    def test_setoutputsize(self):
        """May do nothing; the suite leaves this one to whoever runs it."""
        with dbapi.connect(*self.connect_args) as con, con.cursor() as cur:
            cur.setoutputsize(10, 0)
            cur.execute("SELECT repeat('x', 1000)")
            assert cur.fetchone() == ("x" * 1000,)


@pytest.fixture
def pep(server):
    """A connection as PEP 249 opens it: not in autocommit."""
    with dbapi.connect(server.flight) as con:
        yield con


def rows(con, sql, parameters=None):
    with con.cursor() as cur:
        cur.execute(sql, parameters)
        return cur.fetchall()


def test_nothing_is_kept_without_commit(server, con):
    with con.cursor() as cur:
        cur.execute("CREATE OR REPLACE TABLE pep (n INTEGER)")
    closed = dbapi.connect(server.flight)
    rows(closed, "INSERT INTO pep VALUES (1)")
    closed.close()
    with dbapi.connect(server.flight) as committed:
        rows(committed, "INSERT INTO pep VALUES (2)")
        committed.commit()
    with pytest.raises(KeyError), dbapi.connect(server.flight) as failed:
        rows(failed, "INSERT INTO pep VALUES (3)")
        raise KeyError
    assert rows(con, "FROM pep") == [(2,)]
    rows(con, "DROP TABLE pep")


@pytest.mark.parametrize("sql, kind", [
    ("SELEKT 1", dbapi.ProgrammingError),
    ("SELECT nothing FROM pep", dbapi.ProgrammingError),
    ("SELECT * FROM nowhere", dbapi.ProgrammingError),
    ("SELECT generate('no such model', 'x')", dbapi.ProgrammingError),
    *(pytest.param(sql, kind, marks=by_the_driver(f"the driver makes errors of gRPC's codes, and none of those is an {kind.__name__}")) for sql, kind in (
        ("INSERT INTO pep VALUES (1)", dbapi.IntegrityError), ("INSERT INTO pep VALUES (NULL)", dbapi.IntegrityError),
        ("SELECT 'one'::INTEGER", dbapi.DataError), ("SELECT 300::TINYINT", dbapi.DataError))),
], ids=lambda value: value if isinstance(value, str) else value.__name__)
def test_errors(con, sql, kind):
    rows(con, "CREATE OR REPLACE TABLE pep (n INTEGER PRIMARY KEY)")
    rows(con, "INSERT INTO pep VALUES (1)")
    with pytest.raises(dbapi.Error) as caught:
        rows(con, sql)
    assert isinstance(caught.value, kind), repr(caught.value)
    assert rows(con, "FROM pep") == [(1,)]
    rows(con, "DROP TABLE pep")


def test_a_failed_transaction_waits_for_rollback(pep):
    rows(pep, "CREATE TABLE passing (n INTEGER PRIMARY KEY)")
    rows(pep, "INSERT INTO passing VALUES (1)")
    with pytest.raises(dbapi.Error):
        rows(pep, "INSERT INTO passing VALUES (1)")
    with pytest.raises(dbapi.Error):
        rows(pep, "SELECT 1")
    pep.rollback()
    with pytest.raises(dbapi.ProgrammingError, match="NOT_FOUND"):
        rows(pep, "FROM passing")


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("parameters", [None, ("x",)], ids=["text", "prepared"])
def test_a_transaction_ended_by_sql_is_followed_by_another(pep, con, end, parameters):
    """What comes after is not in autocommit, which the driver knows nothing of, and commit() and rollback() go on working."""
    rows(con, "CREATE OR REPLACE TABLE kept (s VARCHAR)")
    insert = "INSERT INTO kept VALUES (coalesce(?, 'x'))" if parameters else "INSERT INTO kept VALUES ('x')"
    rows(pep, insert, parameters)
    rows(pep, end)
    before = 1 if end == "COMMIT" else 0
    assert rows(con, "SELECT count(*) FROM kept") == [(before,)]
    rows(pep, insert, parameters)
    pep.rollback()
    assert rows(pep, "SELECT count(*) FROM kept") == [(before,)]
    rows(pep, insert, parameters)
    rows(pep, end)
    pep.commit()
    pep.rollback()
    assert rows(con, "SELECT count(*) FROM kept") == [(2 * before,)]
    rows(pep, "SELECT 1")
    pep.rollback()
    rows(con, "DROP TABLE kept")


@pytest.mark.parametrize("sql, kind", [
    ("'text'", dbapi.STRING), ("1", dbapi.NUMBER), ("1.5::DOUBLE", dbapi.NUMBER), ("1.5::FLOAT", dbapi.NUMBER),
    pytest.param("1.5", dbapi.NUMBER, marks=by_the_driver("its NUMBER leaves out decimals")),
    ("'\\xAA'::BLOB", dbapi.BINARY), ("DATE '2024-02-29'", dbapi.DATETIME), ("TIMESTAMP '2024-02-29 12:30:00'", dbapi.DATETIME),
    ("TIMESTAMPTZ '2024-02-29 12:30:00+00'", dbapi.DATETIME), ("TIME '12:30:00'", dbapi.DATETIME),
    ("generate('gemma', 'Once', max_tokens := 1)", dbapi.STRING),
])
def test_description_tells_the_type(cur, sql, kind):
    cur.execute(f"SELECT {sql} AS \"a Name\"")
    (name, code, *rest), = cur.description
    assert (name, len(rest)) == ("a Name", 5)
    assert code == kind, code


def test_constructors_are_parameters(cur):
    values = dbapi.Date(2024, 2, 29), dbapi.Time(12, 30, 1), dbapi.Timestamp(2024, 2, 29, 12, 30, 1)
    cur.execute("SELECT ?, ?, ?", values)
    assert cur.fetchone() == values


def test_cursors_are_iterators(cur):
    cur.execute("FROM range(3)")
    assert list(cur) == [(0,), (1,), (2,)]
    cur.arraysize = 2
    cur.execute("FROM range(3)")
    assert [len(cur.fetchmany()) for _ in range(3)] == [2, 1, 0]


def test_rowcount(cur):
    cur.execute("CREATE OR REPLACE TABLE counted (n INTEGER)")
    for sql, count in (("INSERT INTO counted FROM range(10)", 10), ("UPDATE counted SET n = n + 1 WHERE n < 4", 4), ("DELETE FROM counted WHERE n > 8", 1)):
        cur.execute(sql)
        assert cur.rowcount in (-1, count), sql
    cur.executemany("INSERT INTO counted VALUES (?)", [(1,), (2,), (3,)])
    assert cur.rowcount == 3
    cur.execute("DROP TABLE counted")


def test_a_closed_cursor_is_closed(con):
    cur = con.cursor()
    cur.execute("FROM range(100000)")
    cur.fetchone()
    cur.close()
    with pytest.raises(dbapi.Error):
        cur.execute("SELECT 1")
    assert rows(con, "SELECT 1") == [(1,)]
