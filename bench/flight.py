"""What reaching the data over Flight SQL costs, beside DuckDB in the client's own process.

    .deps/venv/bin/python bench/flight.py [--rows 5000000] [--runs 5]

Starts bin/hyprstream on a data directory of its own. Sides take turns in each run:

- reading the table t (BIGINT, DOUBLE, VARCHAR) as an Arrow table: over loopback by the Python ADBC driver, and by DuckDB's Python package of the
  same version from a file of its own with the same table, in a process that does nothing else (.deps/bench-venv); the first batch, and the server's memory
- loading 1 million of those rows: adbc_ingest, and CREATE TABLE AS from an Arrow table in process
- SELECT of one row by number, a statement after the other, on 1, 8 and 64 connections of one Python process
- reading t by the JDBC driver, row by row

Client and server share the machine's cores. GizmoSQL is not among the peers: its package fetches its server when it first runs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from adbc_driver_flightsql import dbapi  # noqa: E402

from serving import Server  # noqa: E402
from timing import spread  # noqa: E402

TABLE = "CREATE TABLE t AS SELECT i AS id, i * 0.5::DOUBLE AS x, 'row number ' || (i * 7919 % 1000003) AS s FROM range({rows}) r(i)"
INGEST = 1_000_000
DRIVER = ROOT / ".deps" / "jdbc" / "flight-sql-jdbc-driver-18.3.0.jar"

# What the peer runs: a line in, seconds out.
IN_PROCESS = """
import sys, time
import duckdb
con = duckdb.connect(sys.argv[1])
con.execute("SET enable_progress_bar = false")
con.execute(sys.argv[2])
con.execute("CHECKPOINT")
for line in sys.stdin:
    begun = time.perf_counter()
    if line.strip() == "read":
        table = con.execute("FROM t").to_arrow_table()
    else:
        con.execute("CREATE OR REPLACE TABLE loaded AS FROM part")
    took = time.perf_counter() - begun
    part = con.execute("FROM t LIMIT %d").to_arrow_table()
    table = None
    print(took, duckdb.__version__, flush=True)
""" % INGEST


class InProcess:
    """DuckDB in a Python process of its own."""

    def __init__(self, folder, rows):
        python = ROOT / ".deps" / "bench-venv" / "bin" / "python"
        self.process = subprocess.Popen([python, "-c", IN_PROCESS, str(Path(folder) / "peer.duckdb"), TABLE.format(rows=rows)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ask("read")

    def ask(self, what):
        print(what, file=self.process.stdin, flush=True)
        seconds, self.version = self.process.stdout.readline().split()
        return float(seconds)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


class Memory:
    """The most that a process had resident while this ran, in MB."""

    def __init__(self, pid):
        self.pid, self.most, self.over = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def now(self):
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6

    def watch(self):
        while not self.over.wait(0.01):
            self.most = max(self.most, self.now())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def read(flight, rows):
    """Seconds to the whole Arrow table."""
    with dbapi.connect(flight, autocommit=True) as con, con.cursor() as cur:
        begun = time.perf_counter()
        cur.execute("FROM t")
        table = cur.fetch_arrow_table()
        took = time.perf_counter() - begun
        assert table.num_rows == rows
    return took


def first(flight):
    """Milliseconds to the first batch of rows, the statement's preparation included."""
    with dbapi.connect(flight, autocommit=True) as con, con.cursor() as cur:
        cur.execute("SELECT 1")
        cur.fetchall()
        begun = time.perf_counter()
        cur.execute("FROM t")
        batch = cur.fetch_record_batch().read_next_batch()
        assert batch.num_rows > 0
        return (time.perf_counter() - begun) * 1000


def ingest(flight, part):
    with dbapi.connect(flight, autocommit=True) as con, con.cursor() as cur:
        begun = time.perf_counter()
        assert cur.adbc_ingest("loaded", part, mode="replace") == part.num_rows
        return time.perf_counter() - begun


def rate(flight, connections, seconds):
    """Statements per second."""
    counts, ready, go = [0] * connections, threading.Barrier(connections + 1), threading.Event()
    end = []

    def work(n):
        with dbapi.connect(flight, autocommit=True) as con, con.cursor() as cur:
            ready.wait()
            go.wait()
            while time.perf_counter() < end[0]:
                cur.execute(f"SELECT id, x, s FROM t WHERE id = {counts[n]}")
                assert len(cur.fetchall()) == 1
                counts[n] += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(connections)]
    for t in threads:
        t.start()
    ready.wait()
    end.append(time.perf_counter() + seconds)
    go.set()
    for t in threads:
        t.join()
    return sum(counts) / seconds


class Jdbc:
    def __init__(self, flight, folder):
        subprocess.run(["javac", "-d", folder, ROOT / "bench" / "Read.java"], check=True)
        self.process = subprocess.Popen(
            ["java", "--add-opens=java.base/java.nio=ALL-UNNAMED", "-Xmx2g", "-cp", f"{DRIVER}{os.pathsep}{folder}", "Read",
             flight.replace("grpc://", "jdbc:arrow-flight-sql://")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def read(self, rows):
        print("FROM t", file=self.process.stdin, flush=True)
        seconds, have = self.process.stdout.readline().split()
        assert int(have) == rows
        return float(seconds)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rows", type=int, default=5_000_000)
    args.add_argument("--runs", type=int, default=5)
    args.add_argument("--seconds", type=float, default=5, help="of each measurement of statements per second")
    args.add_argument("--json", help="a file that the measurements are written to")
    args.add_argument("--quick", action="store_true", help="1 run of 1.1 million rows: shows that it works, measures nothing")
    args = args.parse_args()
    if args.quick:
        args.rows, args.runs, args.seconds = 1_100_000, 1, 1
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder)).start()
        peer, jdbc, found = None, None, {}
        note = lambda name, value: found.setdefault(name, []).append(value)
        try:
            with dbapi.connect(server.flight, autocommit=True) as con, con.cursor() as cur:
                cur.execute(TABLE.format(rows=args.rows))
                cur.execute("CHECKPOINT")
                cur.execute(f"FROM t LIMIT {INGEST}")
                part = cur.fetch_arrow_table()
            peer, jdbc = InProcess(folder, args.rows), Jdbc(server.flight, folder)
            read(server.flight, args.rows)
            jdbc.read(args.rows)
            with Memory(server.process.pid) as memory:
                begun = memory.now()
                for _ in range(args.runs):
                    note("read", read(server.flight, args.rows))
                    note("read in process", peer.ask("read"))
                    note("first batch", first(server.flight))
            found["memory"] = [begun, memory.most]
            for _ in range(args.runs):
                note("ingest", ingest(server.flight, part))
                note("ingest in process", peer.ask("ingest"))
                note("jdbc", jdbc.read(args.rows))
                for n in (1, 8, 64):
                    note(f"{n} connections", rate(server.flight, n, args.seconds))
            version = peer.version
        finally:
            for side in (peer, jdbc, server):
                if side:
                    side.stop()
    median = {k: statistics.median(v) for k, v in found.items()}
    print(f"{args.rows} rows (BIGINT, DOUBLE, VARCHAR), {args.runs} runs, median (least to most); the peer is DuckDB {version} in Python's process")
    print(f"read as Arrow table        {spread(found['read'])} s   in process {spread(found['read in process'])} s   ratio {median['read'] / median['read in process']:.2f}")
    print(f"first batch                {spread(found['first batch'])} ms")
    print(f"server's memory            {found['memory'][0]:.0f} MB before, at most {found['memory'][1]:.0f} MB")
    print(f"ingest of {INGEST} rows    {spread(found['ingest'])} s   in process {spread(found['ingest in process'])} s   ratio {median['ingest'] / median['ingest in process']:.2f}")
    print(f"JDBC, row by row           {spread(found['jdbc'])} s   {args.rows / median['jdbc'] / 1e6:.2f} million rows/s")
    for n in (1, 8, 64):
        print(f"single rows, {n:2} connections {spread(found[f'{n} connections'], 0)} statements/s")
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
