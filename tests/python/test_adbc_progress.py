"""A statement that is polled: the driver's incremental execution, with progress in rows while a model works."""

import threading
import time

import adbc_driver_manager
import pyarrow as pa

SQL = "SELECT range AS i, generate('gemma', 'word ' || range, max_tokens := 40, ignore_eos := true) AS text FROM range(96)"


def partitions(stmt, found):
    while True:
        parts, schema, _ = stmt.execute_partitions()
        if not parts:
            return
        found.append((parts, schema))


def test_progress_while_a_model_works(con, cur):
    stmt = adbc_driver_manager.AdbcStatement(con.adbc_connection)
    stmt.set_options(**{"adbc.statement.exec.incremental": "true"})
    stmt.set_sql_query(SQL)
    found, seen = [], []
    worker = threading.Thread(target=partitions, args=(stmt, found))
    worker.start()
    while worker.is_alive():
        seen.append(stmt.get_option_float("adbc.statement.exec.progress"))
        time.sleep(0.02)
    worker.join()
    [(parts, _)] = found
    assert len(parts) == 1
    between = {p for p in seen if 0 < p < 1}
    assert between and all(abs(p * 96 - round(p * 96)) < 1e-6 for p in between), seen  # whole rows of 96
    stream = con.adbc_connection.read_partition(parts[0])
    table = pa.RecordBatchReader._import_from_c(stream.address).read_all()
    assert table.column("i").to_pylist() == list(range(96))
    assert table.column("text").null_count == 0
    stmt.close()


def test_session_options(connect):
    con = connect(autocommit=True, **{"adbc.flight.sql.rpc.timeout_seconds.fetch": "30"})
    low = con.adbc_connection
    low.set_options(**{"adbc.flight.sql.session.option.ai_max_rows": "7"})
    assert low.get_option("adbc.flight.sql.session.option.ai_max_rows") == "7"
    low.set_options(**{"adbc.connection.db_schema": "ai"})
    assert con.adbc_current_db_schema == "ai"
    with con.cursor() as cur:
        cur.execute("SELECT name FROM models")
        assert ("gemma",) in cur.fetchall()
        cur.execute("SELECT current_setting('ai_max_rows')")
        assert [int(v) for v, in cur.fetchall()] == [7]
