"""Similarity search: an HNSW index of DuckDB's vss, and reading the table, over Flight SQL, beside DuckDB and numpy in a process of their own.

    .deps/venv/bin/python bench/vectors.py [--rows 100000] [--runs 3]

Vectors of 384 numbers, of a fixed seed: points around 1,000 centres in 64 dimensions, laid into 384 with noise and normalised; the queries are
further such points, and the nearest vector's cosine to them is about 0.5. Each answer is compared with the exact one (numpy, float64): recall@10 is the share of the true ten. Sides
take turns in each run, query by query in the same order; times are of a statement, from sending it to having its rows:

- hyprstream: ORDER BY similarity(v, …) DESC LIMIT 10 on FLOAT[384] with an index, as it is and with hnsw_ef_search = 400, without one, on FLOAT[] (no
  array), and with a WHERE that a tenth of the rows meet; the query's vector is a subquery over a table of queries
- DuckDB's Python package of the same version (.deps/bench-venv): ORDER BY array_cosine_distance(v, constant) LIMIT 10, with vss's index and without
- numpy: a product of the matrix and the query, argpartition, with normalised float32

Client and server share the machine's cores; all use all of them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from adbc_driver_flightsql import dbapi  # noqa: E402

from serving import Server  # noqa: E402

SIZE, LATENT, CENTRES, K = 384, 64, 1000, 10
VSS = ROOT / ".deps" / "vss" / "vss.duckdb_extension"
INDEX = "CREATE INDEX {0}_v ON {0} USING HNSW (v) WITH (metric = 'cosine')"

PEER = """
import json, sys, time
import duckdb, pyarrow.parquet as pq
folder, vss = sys.argv[1:]
con = duckdb.connect(folder + "/peer.duckdb")
con.execute("SET enable_progress_bar = false")
con.execute("LOAD '" + vss + "'")
con.execute("SET hnsw_enable_experimental_persistence = true")
for t in ("indexed", "plain"):
    con.execute(f"CREATE TABLE {t} AS SELECT id, id % 10 AS kind, v::FLOAT[384] AS v FROM '{folder}/rows.parquet' ORDER BY id")
begun = time.perf_counter()
con.execute("CREATE INDEX indexed_v ON indexed USING HNSW (v) WITH (metric = 'cosine')")
print(time.perf_counter() - begun, duckdb.__version__, flush=True)
con.execute("CHECKPOINT")
queries = con.execute(f"SELECT v FROM '{folder}/queries.parquet' ORDER BY id").fetchall()
for line in sys.stdin:
    table, n = line.split()
    text = "[" + ",".join(map(repr, queries[int(n)][0])) + "]::FLOAT[384]"
    begun = time.perf_counter()
    ids = con.execute(f"SELECT id FROM {table} ORDER BY array_cosine_distance(v, {text}) LIMIT 10").fetchall()
    print(json.dumps([time.perf_counter() - begun, [i for i, in ids]]), flush=True)
"""


class Peer:
    """DuckDB with vss in a Python process of its own."""

    def __init__(self, folder):
        python = ROOT / ".deps" / "bench-venv" / "bin" / "python"
        self.process = subprocess.Popen([python, "-c", PEER, folder, str(VSS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        built, self.version = self.process.stdout.readline().split()
        self.built = float(built)

    def search(self, table):
        def run(n):
            print(table, n, file=self.process.stdin, flush=True)
            return json.loads(self.process.stdout.readline())
        return run

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def points(rng, count, centres, into):
    """count vectors, float32 of length 1."""
    z = centres[rng.integers(0, len(centres), count)] + rng.standard_normal((count, LATENT))
    v = z @ into + 0.7 * rng.standard_normal((count, SIZE))
    return (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)


def write(path, vectors):
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), SIZE)
    pq.write_table(pa.table({"id": pa.array(range(len(vectors)), pa.int64()), "v": flat}), path)


def over_flight(cur, table, where="", effort=None):
    def run(n):
        cur.execute(f"SET hnsw_ef_search = {effort}" if effort else "RESET hnsw_ef_search")
        begun = time.perf_counter()
        cur.execute(f"SELECT id FROM {table} {where} ORDER BY similarity(v, (SELECT v FROM queries WHERE id = {n})) DESC LIMIT {K}")
        ids = [i for i, in cur.fetchall()]
        return time.perf_counter() - begun, ids
    return run


def numpy_search(vectors, queries):
    def run(n):
        begun = time.perf_counter()
        s = vectors @ queries[n]
        near = np.argpartition(-s, K)[:K]
        ids = near[np.argsort(-s[near])].tolist()
        return time.perf_counter() - begun, ids
    return run


def exact(vectors, queries, among):
    """The true ids for each query, of the rows that among names."""
    s = queries.astype(np.float64) @ vectors[among].astype(np.float64).T
    return [set(among[np.argsort(-row)[:K]].tolist()) for row in s]


def resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def load(cur, folder):
    cur.execute(f"CREATE TABLE queries AS SELECT id, v::FLOAT[{SIZE}] AS v FROM '{folder}/queries.parquet'")
    for table, kind in (("indexed", f"FLOAT[{SIZE}]"), ("plain", f"FLOAT[{SIZE}]"), ("lists", "FLOAT[]")):
        cur.execute(f"CREATE TABLE {table} AS SELECT id, id % 10 AS kind, v::{kind} AS v FROM '{folder}/rows.parquet' ORDER BY id")
    cur.execute("CHECKPOINT")


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rows", type=int, default=100_000)
    args.add_argument("--queries", type=int, default=100)
    args.add_argument("--runs", type=int, default=3)
    args.add_argument("--json", help="a file that the measurements are written to")
    args.add_argument("--quick", action="store_true", help="1 run of 10 queries on 5,000 rows: shows that it works, measures nothing")
    args = args.parse_args()
    if args.quick:
        args.rows, args.queries, args.runs = 5_000, 10, 1
    rng = np.random.default_rng(20260401)
    centres, into = rng.standard_normal((CENTRES, LATENT)), rng.standard_normal((LATENT, SIZE)) / np.sqrt(LATENT)
    vectors, queries = points(rng, args.rows, centres, into), points(rng, args.queries, centres, into)
    everything = np.arange(args.rows)
    truth = {"all": exact(vectors, queries, everything), "tenth": exact(vectors, queries, everything[everything % 10 == 3])}
    with tempfile.TemporaryDirectory() as folder:
        write(folder + "/rows.parquet", vectors)
        write(folder + "/queries.parquet", queries)
        data = Path(folder) / "data"
        (data / "extensions").mkdir(parents=True)
        (data / "extensions" / VSS.name).symlink_to(VSS)
        server, peer = Server(data).start("--allow-dir", folder), None
        try:
            with dbapi.connect(server.flight, autocommit=True) as con, con.cursor() as cur:
                load(cur, folder)
                before, begun = resident(server.process.pid), time.perf_counter()
                cur.execute(INDEX.format("indexed"))
                built, grown = time.perf_counter() - begun, resident(server.process.pid) - before
                cur.execute("SELECT approx_memory_usage / 1e6 FROM pragma_hnsw_index_info()")
                [(memory,)] = cur.fetchall()
                peer = Peer(folder)
                sides = {
                    "hyprstream, index": (over_flight(cur, "indexed"), "all"),
                    "hyprstream, index, ef 400": (over_flight(cur, "indexed", effort=400), "all"),
                    "hyprstream, table": (over_flight(cur, "plain"), "all"),
                    "hyprstream, table of FLOAT[]": (over_flight(cur, "lists"), "all"),
                    "hyprstream, index, WHERE": (over_flight(cur, "indexed", "WHERE kind = 3"), "tenth"),
                    "hyprstream, table, WHERE": (over_flight(cur, "plain", "WHERE kind = 3"), "tenth"),
                    "DuckDB in process, index": (peer.search("indexed"), "all"),
                    "DuckDB in process, table": (peer.search("plain"), "all"),
                    "numpy": (numpy_search(vectors, queries), "all"),
                }
                times, hits = {s: [] for s in sides}, {s: [] for s in sides}
                for run in range(-1, args.runs):  # the first one is not counted
                    for name, (search, of) in sides.items():
                        mine = []
                        for n in range(args.queries):
                            took, ids = search(n)
                            mine.append(took)
                            if run >= 0:
                                hits[name].append(len(truth[of][n] & set(ids)) / K)
                        if run >= 0:
                            times[name] += mine
        finally:
            for side in (peer, server):
                if side:
                    side.stop()
    load_average = os.getloadavg()[0]
    print(f"{args.rows} vectors of {SIZE}, {args.queries} queries, {args.runs} runs, {os.cpu_count()} cores, load average {load_average:.1f}")
    print(f"index built in {built:.1f} s (in process, DuckDB {peer.version}: {peer.built:.1f} s); it says it takes {memory:.0f} MB, the server grew by {grown:.0f} MB")
    for name in sides:
        ms = sorted(t * 1000 for t in times[name])
        print(f"{name:29} recall@{K} {statistics.mean(hits[name]):.3f}   p50 {statistics.median(ms):8.2f} ms   p10 {ms[len(ms) // 10]:8.2f}   "
              f"p90 {ms[len(ms) * 9 // 10]:8.2f}   {1000 / statistics.mean(ms):8.1f} queries/s")
    if args.json:
        Path(args.json).write_text(json.dumps({"times": times, "recall": {k: statistics.mean(v) for k, v in hits.items()}, "built": built,
                                               "built in process": peer.built, "memory": memory, "grown": grown}, indent=1))


if __name__ == "__main__":
    main()
