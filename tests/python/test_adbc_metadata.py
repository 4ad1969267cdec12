"""What the Python ADBC driver tells of the database, and bulk ingest."""

import pyarrow as pa
import pytest
from adbc_driver_flightsql import dbapi


def test_info(con):
    info = con.adbc_get_info()
    assert info["vendor_name"] == "hyprstream"
    assert info["vendor_version"] and info["vendor_arrow_version"]


def test_table_types(con):
    assert set(con.adbc_get_table_types()) == {"TABLE", "VIEW", "LOCAL TEMPORARY"}


def test_table_schema(con, table):
    schema = con.adbc_get_table_schema(table).remove_metadata()
    assert [(f.name, f.type) for f in schema] == [("id", pa.int32()), ("name", pa.string())]


def objects(con, **filters):
    found = con.adbc_get_objects(**filters).read_all().to_pylist()
    return {
        (c["catalog_name"], s["db_schema_name"], t["table_name"]): t
        for c in found for s in c["catalog_db_schemas"] or [] for t in s["db_schema_tables"] or []
    }


def test_objects(con, table):
    found = objects(con, depth="all", table_name_filter=table)
    assert list(found) == [("hyprstream", "main", table)]
    columns = found["hyprstream", "main", table]["table_columns"]
    assert [(c["column_name"], c["ordinal_position"], c["xdbc_type_name"]) for c in columns] == [
        ("id", 1, "INTEGER"), ("name", 2, "VARCHAR")]


def test_own_tables_are_visible(con):
    found = objects(con, depth="tables", db_schema_filter="ai")
    assert {"models", "adapters", "engines", "queries", "usage"} <= {name for _, _, name in found}


def test_filters_are_not_sql(con, table):
    for filter in ("'; DROP TABLE people; --", "peop'le", 'people"'):
        assert objects(con, depth="tables", table_name_filter=filter) == {}
    assert list(objects(con, depth="tables", table_name_filter="peo%")) == [("hyprstream", "main", table)]


ROWS = pa.table({
    "i": pa.array([1, 2, None], pa.int64()), "s": ["a", None, "ü"], "x": [0.5, None, 2.5],
    "d": pa.array([1, 2, 3], pa.date32()), "t": pa.array([1, 2, None], pa.timestamp("us")),
    "b": [True, None, False], "l": [[1, 2], [], None],
})


def test_ingest_modes(con, cur):
    def count():
        cur.execute("SELECT count(*) FROM loaded")
        return cur.fetchone()[0]

    with pytest.raises(dbapi.Error, match=r'\[NOT_FOUND\] there is no table "loaded" to append to'):
        cur.adbc_ingest("loaded", ROWS, mode="append")
    assert cur.adbc_ingest("loaded", ROWS, mode="create") == 3
    with pytest.raises(dbapi.Error, match="ALREADY_EXISTS"):
        cur.adbc_ingest("loaded", ROWS, mode="create")
    cur.adbc_ingest("loaded", ROWS, mode="append")
    assert count() == 6
    cur.adbc_ingest("loaded", ROWS, mode="create_append")
    assert count() == 9
    cur.adbc_ingest("loaded", ROWS, mode="replace")
    cur.execute("SELECT * FROM loaded")
    assert cur.fetch_arrow_table().to_pylist() == ROWS.to_pylist()
    cur.execute("DROP TABLE loaded")


def test_ingest_streams(cur):
    schema = pa.schema([("n", pa.int64())])
    batches = (pa.record_batch([pa.array(range(k * 10000, (k + 1) * 10000))], schema=schema) for k in range(20))
    assert cur.adbc_ingest("many", pa.RecordBatchReader.from_batches(schema, batches), mode="replace") == 200000
    cur.execute("SELECT sum(n) FROM many")
    assert cur.fetchone()[0] == 200000 * 199999 // 2
    cur.execute("DROP TABLE many")


def test_ingest_temporary(con, connect):
    with con.cursor() as cur:
        cur.adbc_ingest("passing", ROWS.select(["i"]), mode="create", temporary=True)
        cur.execute("SELECT count(*) FROM passing")
        assert cur.fetchone() == (3,)
    with connect(autocommit=True).cursor() as other, pytest.raises(dbapi.Error, match="NOT_FOUND"):
        other.execute("SELECT count(*) FROM passing")
