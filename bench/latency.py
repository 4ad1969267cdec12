"""What a generating statement costs its neighbours: SELECT 1 on a second connection, alone and beside a long generate.

    .deps/venv/bin/python bench/latency.py [--seconds 20] [--runs 3]

Starts bin/hyprstream on a data directory of its own with the real model. Runs alternate (alone, beside); prints the
distribution of each in milliseconds and the ratio of the medians. The peer is the same server with an idle engine.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from adbc_driver_flightsql import dbapi  # noqa: E402

from neighbour import Neighbour  # noqa: E402
from serving import MODEL, Server  # noqa: E402
from timing import line  # noqa: E402

LONG = """SELECT i, generate('gemma', 'Once upon a time there was a number ' || i, max_tokens := 64, ignore_eos := true)
          FROM range(100000) r(i)"""


def measure(flight, seconds):
    """Milliseconds that each SELECT 1 took, one after the other."""
    took, end = [], time.monotonic() + seconds
    with dbapi.connect(flight) as conn, conn.cursor() as cur:
        while time.monotonic() < end:
            begun = time.perf_counter()
            cur.execute("SELECT 1")
            assert cur.fetchall() == [(1,)]
            took.append((time.perf_counter() - begun) * 1000)
    return took


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--seconds", type=float, default=20)
    args.add_argument("--runs", type=int, default=3)
    args.add_argument("--quick", action="store_true", help="1 run of 2 seconds: shows that it works, measures nothing")
    args = args.parse_args()
    if args.quick:
        args.runs, args.seconds = 1, 2
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder)).start("--allow-dir", MODEL.parent)
        try:
            server("model", "load", MODEL, "--name", "gemma")
            medians = {"alone": [], "beside": []}
            for _ in range(args.runs):
                took = measure(server.flight, args.seconds)
                line("alone", took)
                medians["alone"].append(statistics.median(took))
                neighbour = Neighbour(server.flight, LONG)
                try:
                    took = measure(server.flight, args.seconds)
                finally:
                    neighbour.stop()
                line("beside", took)
                medians["beside"].append(statistics.median(took))
            alone, beside = (statistics.median(medians[k]) for k in ("alone", "beside"))
            print(f"median of medians: alone {alone:.2f} ms, beside {beside:.2f} ms, ratio {beside / alone:.2f}")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
