"""Every type through the stock ADBC driver: docs/types.md says what comes, and here it is asked."""

import datetime
import decimal
from pathlib import Path

import pyarrow as pa
import pytest

TABLE = Path(__file__).resolve().parents[2] / "docs" / "types.md"


def cells(line):
    return [c.strip().strip("`") for c in line.strip().strip("|").split(" | ")]


ROWS = [r for r in map(cells, TABLE.read_text().splitlines()) if len(r) == 7 and r[0] not in ("DuckDB",) and not r[0].startswith("---")]


def test_the_table_is_there():
    names = {r[0] for r in ROWS}
    assert len(ROWS) > 40 and {"DECIMAL(p, s)", "HUGEINT", "UUID", "ENUM", "INTERVAL", "BIT", "MAP", "UNION", "JSON"} <= names


@pytest.fixture(params=ROWS, ids=lambda r: r[0])
def row(request):
    return dict(zip(("name", "example", "arrow", "python", "pandas", "jdbc", "back"), request.param))


def arrow(cur, row):
    cur.execute(f"SELECT {row['example']} AS v")
    return cur.fetch_arrow_table()


def test_out(cur, row):
    assert str(arrow(cur, row).schema.field("v").type) == row["arrow"]
    cur.execute(f"SELECT {row['example']} AS v")
    assert repr(cur.fetchall()[0][0]) == row["python"]


def test_pandas(cur, row):
    cur.execute(f"SELECT {row['example']} AS v")
    try:
        have = str(cur.fetch_df()["v"].dtype)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as e:
        have = type(e).__name__
    assert have == row["pandas"]


def test_loaded(cur, row):
    """Into a new table and, cast from what came, into one of the very type."""
    table = arrow(cur, row)
    cur.execute("DROP TABLE IF EXISTS loaded")
    cur.adbc_ingest("loaded", table)
    cur.execute("SELECT typeof(v) FROM loaded")
    assert cur.fetchone()[0] == row["back"]
    cur.execute("SELECT v FROM loaded")
    assert cur.fetch_arrow_table().equals(table)
    if row["name"] not in ("NULL", "VARIANT"):  # no such columns; VARIANT not in this version's files
        cur.execute(f"CREATE OR REPLACE TABLE exact AS SELECT {row['example']} AS v LIMIT 0")
        cur.adbc_ingest("exact", table, mode="append")
        cur.execute(f"SELECT v::VARCHAR = ({row['example']})::VARCHAR, typeof(v) = typeof({row['example']}) FROM exact")
        assert cur.fetchone() == (True, True)
        cur.execute("DROP TABLE exact")
    cur.execute("DROP TABLE loaded")


def test_bound_as_arrow(cur, row):
    table = arrow(cur, row)
    cur.execute("SELECT ? AS v", table)
    assert cur.fetch_arrow_table().equals(table)
    cur.execute("SELECT typeof(?)", table)
    want = "HUGEINT" if row["name"] == "HUGEINT" else row["back"]  # of 39 digits
    assert cur.fetchone()[0] == want


# Values of Python that pyarrow can make no parameter of, or not the same one.
REFUSED = {
    "UBIGINT": OverflowError, "MAP": pa.ArrowTypeError, "LIST of STRUCT of MAP": pa.ArrowTypeError,
    "MAP of TIMETZ": pa.ArrowInvalid, "TIMESTAMP_NS": AssertionError,
}


def bind_value(cur, row):
    cur.execute(f"SELECT {row['example']} AS v")
    value = cur.fetchone()[0]
    cur.execute("SELECT ? AS v", (value,))
    assert cur.fetchone() == (value,)


def test_bound_as_value(cur, row):
    if error := REFUSED.get(row["name"]):
        with pytest.raises(error):
            bind_value(cur, row)
    else:
        bind_value(cur, row)


@pytest.mark.parametrize("type", [
    "BOOLEAN", "TINYINT", "UBIGINT", "HUGEINT", "UHUGEINT", "BIGNUM", "DECIMAL(38, 5)", "DOUBLE", "VARCHAR", "BLOB", "BIT", "UUID", "JSON",
    "ENUM('a')", "DATE", "TIME", "TIMETZ", "TIMESTAMP_NS", "TIMESTAMPTZ", "INTERVAL", "INTEGER[]", "INTEGER[2]", "STRUCT(a BIT)",
    "MAP(VARCHAR, TIMETZ)", "UNION(a BIT, b DATE)"])
def test_null(cur, type):
    cur.execute(f"SELECT NULL::{type} AS v UNION ALL SELECT NULL")
    assert cur.fetchall() == [(None,), (None,)]


@pytest.mark.parametrize("expression, want", [
    ("'-170141183460469231731687303715884105728'::HUGEINT", decimal.Decimal(-(2**127))),
    ("(-1e-38)::DECIMAL(38, 38)", decimal.Decimal("-1e-38")),
    ("'-0.0'::DOUBLE", "-0.0"), ("'nan'::FLOAT", "nan"), ("'-inf'::DOUBLE", "-inf"), ("5e-324::DOUBLE", "5e-324"),
    ("'a' || chr(0) || '𝔘'", "a\0𝔘"), ("'\\x00\\xFF\\x00'::BLOB", b"\0\xff\0"), ("''", ""), ("''::BLOB", b""),
    ("DATE '0001-01-01'", datetime.date.min), ("DATE '9999-12-31'", datetime.date.max),
    ("TIMESTAMP '9999-12-31 23:59:59.999999'", datetime.datetime.max), ("TIME '23:59:59.999999'", datetime.time.max),
    ("TIMETZ '00:00:00-15:59:59'", "00:00:00-15:59:59"), ("[]", []), ("[[], NULL, [1]]", [[], None, [1]]), ("MAP {}", []),
])
def test_extremes(cur, expression, want):
    cur.execute(f"SELECT {expression}")
    have = cur.fetchone()[0]
    assert (repr(have) if isinstance(have, float) else have) == want
    cur.execute(f"SELECT ?::VARCHAR = ({expression})::VARCHAR", (have,))
    if expression not in ("[]", "MAP {}", "[[], NULL, [1]]") and not isinstance(have, float):
        assert cur.fetchone() == (True,)


@pytest.mark.parametrize("expression, error", [
    ("DATE '0044-03-15 (BC)'", OverflowError), ("DATE 'infinity'", OverflowError), ("TIMESTAMP '-infinity'", OverflowError),
])
def test_what_python_cannot_have(cur, expression, error):
    """It comes as Arrow, and goes back."""
    cur.execute(f"SELECT {expression} AS v")
    table = cur.fetch_arrow_table()
    with pytest.raises(error):
        table["v"].to_pylist()
    cur.execute(f"SELECT ?::VARCHAR = ({expression})::VARCHAR", table)
    assert cur.fetchone() == (True,)


def test_interval_beyond_arrow(cur):
    with pytest.raises(Exception, match="292 years"):
        cur.execute("SELECT to_hours(3000000)")
        cur.fetchall()
