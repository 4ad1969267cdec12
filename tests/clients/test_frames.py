"""pandas and Polars, reading and writing through the stock ADBC driver."""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

PROMPT = "Q: What is the capital of France?\nA:"


@pytest.fixture(autouse=True)
def dropped(con):
    yield
    with con.cursor() as cur:
        cur.execute("DROP TABLE IF EXISTS frames")
        cur.execute("DROP SCHEMA IF EXISTS lab CASCADE")


@pytest.fixture
def lab(cur):
    """The name of a schema, dropped after the test with what is in it."""
    cur.execute("CREATE SCHEMA lab")
    return "lab"


@pytest.fixture
def uri(server):
    """The address as libraries want it that find the driver by the scheme; without `transport=tcp` the driver asks for TLS."""
    return server.flight.replace("grpc://", "flightsql://") + "?transport=tcp"


# --- pandas ---

PANDAS = pd.DataFrame({
    "i": pd.Series([1, 2, 3], dtype="int64"), "small": pd.Series([1, -2, 3], dtype="int16"), "x": [0.5, float("nan"), 2.5],
    "ok": [True, False, True], "s": ["a", None, "naïve 🚀"],
    "t": pd.to_datetime(["2024-02-29 12:30:01.000005", None, "1969-07-20 20:17:40.000000"]).astype("datetime64[us]"),
    "z": pd.to_datetime(["2024-02-29 12:30", None, "1969-07-20 20:17"]).tz_localize("UTC").astype("datetime64[us, UTC]"),
    "part": pd.Categorical(["x", "y", "x"]),
})


def test_pandas_reads_types(con):
    have = pd.read_sql("SELECT 1 AS i, 2::SMALLINT AS small, 0.5::DOUBLE AS x, true AS ok, 'ü' AS s, DATE '2024-02-29' AS d, "
                       "TIMESTAMP '2024-02-29 12:30:01' AS t, 12.34::DECIMAL(10, 2) AS n, [1, 2] AS l, {'a': 1} AS r", con)
    assert {name: str(kind) for name, kind in have.dtypes.items()} == {
        "i": "int32", "small": "int16", "x": "float64", "ok": "bool", "s": "str", "d": "object", "t": "datetime64[us]", "n": "object",
        "l": "object", "r": "object"}
    row = have.iloc[0]
    assert (row.s, row.d, row.t, row.n) == ("ü", datetime.date(2024, 2, 29), pd.Timestamp(2024, 2, 29, 12, 30, 1), decimal.Decimal("12.34"))
    assert (list(row.l), row.r) == ([1, 2], {"a": 1})


@pytest.mark.parametrize("backend", ["pyarrow", "numpy_nullable"])
def test_pandas_keeps_nulls(con, backend):
    have = pd.read_sql("SELECT CASE WHEN i <> 1 THEN i END AS i, CASE WHEN i <> 1 THEN i = 2 END AS ok FROM range(3) t(i) ORDER BY t.i", con, dtype_backend=backend)
    assert have["i"].isna().tolist() == [False, True, False]
    assert (have["i"][2], have["ok"][2]) == (2, True)
    assert [str(kind) for kind in have.dtypes] == (["int64[pyarrow]", "bool[pyarrow]"] if backend == "pyarrow" else ["Int64", "boolean"])


def test_pandas_dates_and_index(con):
    have = pd.read_sql("SELECT 10 + i AS n, '2024-02-29' AS d FROM range(2) t(i)", con, parse_dates=["d"], index_col="n")
    assert have.index.tolist() == [10, 11]
    assert have["d"].tolist() == [pd.Timestamp(2024, 2, 29)] * 2


@pytest.mark.xfail(strict=True, raises=NotImplementedError, reason="pandas: 'params' is not implemented for ADBC drivers")
def test_pandas_parameters(con):
    pd.read_sql("SELECT ? AS n", con, params=(10,))


@pytest.mark.xfail(strict=True, raises=NotImplementedError, reason="pandas: 'chunksize' is not implemented for ADBC drivers")
def test_pandas_chunks(con):
    pd.read_sql("FROM range(10)", con, chunksize=5)


def test_pandas_by_cursor(cur):
    """What read_sql does not do: parameters, through the cursor."""
    cur.execute("SELECT ? + i AS n, generate('gemma', ?, max_tokens := 12) AS answer FROM range(2) t(i)", (10, PROMPT))
    have = cur.fetch_df()
    assert have["n"].tolist() == [10, 11]
    assert have["answer"].str.contains("Paris").all()


def test_pandas_writes_what_it_reads(con):
    assert PANDAS.to_sql("frames", con, index=False) == 3
    have = pd.read_sql("FROM frames", con)
    pd.testing.assert_frame_equal(have, PANDAS.astype({"part": "str"}))
    pd.testing.assert_frame_equal(pd.read_sql_table("frames", con), have)
    pd.testing.assert_frame_equal(pd.read_sql("frames", con), have)


def test_pandas_if_exists(con):
    PANDAS.to_sql("frames", con, index=False)
    with pytest.raises(ValueError, match="already exists"):
        PANDAS.to_sql("frames", con, index=False)
    PANDAS.to_sql("frames", con, index=False, if_exists="append")
    assert pd.read_sql("SELECT count(*) AS n FROM frames", con)["n"].tolist() == [6]
    PANDAS[["s"]].to_sql("frames", con, index=False, if_exists="replace")
    assert pd.read_sql("FROM frames ORDER BY s NULLS LAST", con)["s"].tolist()[:2] == ["a", "naïve 🚀"]
    PANDAS[["s"]].to_sql("frames", con, index=False, if_exists="delete_rows")
    assert len(pd.read_sql("FROM frames", con)) == 3


def test_pandas_appends_to_a_table_of_other_types(con, cur):
    cur.execute("CREATE TABLE frames (i INTEGER, s VARCHAR DEFAULT 'none', x DECIMAL(10, 2))")
    pd.DataFrame({"x": [1.25], "i": [7]}).to_sql("frames", con, index=False, if_exists="append")
    cur.execute("FROM frames")
    assert cur.fetchall() == [(7, "none", decimal.Decimal("1.25"))]


def test_pandas_schemas_and_index(con, lab):
    frame = pd.DataFrame({"n": [1, 2]}, index=pd.Index(["a", "b"], name="key"))
    frame.to_sql("frames", con, schema=lab)
    pd.testing.assert_frame_equal(pd.read_sql("FROM lab.frames", con, index_col="key"), frame)
    with pytest.raises(pd.errors.DatabaseError, match="NOT_FOUND"):
        pd.read_sql("FROM main.frames", con)


@pytest.mark.xfail(strict=True, raises=pd.errors.DatabaseError, reason="pandas: read_sql_table leaves the schema out of an ADBC driver's query")
def test_pandas_reads_a_table_of_a_schema(con, lab):
    PANDAS.to_sql("frames", con, schema=lab, index=False)
    pd.read_sql_table("frames", con, schema=lab)


def test_pandas_many_rows(con):
    frame = pd.DataFrame({"i": np.arange(300_000), "s": np.arange(300_000).astype(str)})
    frame.to_sql("frames", con, index=False)
    pd.testing.assert_frame_equal(pd.read_sql("FROM frames ORDER BY i", con), frame)


# --- Polars ---

POLARS = pl.DataFrame({
    "i": pl.Series([1, None, 3], dtype=pl.Int64), "u": pl.Series([1, 2, None], dtype=pl.UInt8), "f": pl.Series([0.5, None, 2.5], dtype=pl.Float32),
    "ok": [True, None, False], "s": ["a", None, "naïve 🚀"], "b": [b"\x00\xff", None, b""],
    "d": [datetime.date(2024, 2, 29), None, datetime.date(1969, 7, 20)], "t": [datetime.datetime(2024, 2, 29, 12, 30, 1, 5), None, datetime.datetime(1969, 7, 20)],
    "clock": [datetime.time(1, 2, 3), None, datetime.time(0)],
    "n": pl.Series([decimal.Decimal("12.34"), None, decimal.Decimal("-1.00")], dtype=pl.Decimal(10, 2)),
    "l": [[1, 2], None, []], "r": [{"a": 1, "z": "x"}, {"a": None, "z": "y"}, {"a": 3, "z": None}],
})


def test_polars_reads_types(con):
    have = pl.read_database("SELECT 1 AS i, 2::UTINYINT AS u, 1.5::FLOAT AS f, true AS ok, 'ü' AS s, '\\xAA'::BLOB AS b, DATE '2024-02-29' AS d, "
                            "TIMESTAMP '2024-02-29 12:30' AS t, 12.34::DECIMAL(10, 2) AS n, [1, NULL] AS l, {'a': 1} AS r, [1, 2]::FLOAT[2] AS v", con)
    assert have.schema == {
        "i": pl.Int32, "u": pl.UInt8, "f": pl.Float32, "ok": pl.Boolean, "s": pl.String, "b": pl.Binary, "d": pl.Date, "t": pl.Datetime("us"),
        "n": pl.Decimal(10, 2), "l": pl.List(pl.Int32), "r": pl.Struct({"a": pl.Int32}), "v": pl.Array(pl.Float32, 2)}
    assert have["n"].to_list() == [decimal.Decimal("12.34")]
    assert have["v"].to_list() == [[1.0, 2.0]]


def test_polars_parameters(con):
    have = pl.read_database("SELECT ? + i AS n, ? AS s FROM range(2) t(i)", con, execute_options={"parameters": (10, "x")})
    assert have.rows() == [(10, "x"), (11, "x")]


def test_polars_generates_and_embeds(con):
    have = pl.read_database("SELECT generate('gemma', ?, max_tokens := 12) AS answer, embed('gemma', 'coffee') AS v", con,
                            execute_options={"parameters": (PROMPT,)})
    assert "Paris" in have["answer"][0]
    assert have.schema["v"] == pl.Array(pl.Float32, 640)
    assert have["v"].arr.sum().is_finite().all()


def test_polars_reads_by_uri(uri):
    have = pl.read_database_uri("SELECT 42 AS n, 'x' AS s", uri, engine="adbc")
    assert have.rows() == [(42, "x")]


def test_polars_streams_batches(con):
    total, parts = 0, 0
    for part in pl.read_database("SELECT range AS i FROM range(300000)", con, iter_batches=True, batch_size=10_000):
        total, parts = total + part["i"].sum(), parts + 1
    assert total == 300_000 * 299_999 // 2
    assert parts > 1


def test_polars_stops_in_the_middle(con):
    """What was not read is let go, and the connection goes on."""
    batches = pl.read_database("SELECT range AS i, repeat('x', 1000) AS s FROM range(10000000000)", con, iter_batches=True, batch_size=1000)
    assert next(iter(batches))["i"][0] == 0
    del batches
    assert pl.read_database("SELECT 1 AS n", con).rows() == [(1,)]


def test_polars_writes_what_it_reads(con):
    assert POLARS.write_database("frames", con, engine="adbc") == 3
    assert_frame_equal(pl.read_database("FROM frames", con), POLARS)


def test_polars_if_table_exists(con):
    frame = POLARS.select("i", "s")
    assert frame.write_database("frames", con, engine="adbc", if_table_exists="append") == 3
    with pytest.raises(Exception, match="ALREADY_EXISTS"):
        frame.write_database("frames", con, engine="adbc", if_table_exists="fail")
    assert frame.write_database("frames", con, engine="adbc", if_table_exists="append") == 3
    assert len(pl.read_database("FROM frames", con)) == 6
    assert frame.select("s").write_database("frames", con, engine="adbc", if_table_exists="replace") == 3
    assert_frame_equal(pl.read_database("FROM frames", con), frame.select("s"))


def test_polars_writes_by_uri_and_schema(uri, con, lab):
    POLARS.write_database(f"{lab}.frames", uri, engine="adbc")
    POLARS.write_database(f"hyprstream.{lab}.frames", con, engine="adbc", if_table_exists="append")
    assert len(pl.read_database("FROM lab.frames", con)) == 6


def test_polars_many_rows(con):
    frame = pl.DataFrame({"i": pl.int_range(500_000, eager=True)}).with_columns(s=pl.col("i").cast(pl.String))
    assert frame.write_database("frames", con, engine="adbc") == 500_000
    assert_frame_equal(pl.read_database("FROM frames ORDER BY i", con), frame)
