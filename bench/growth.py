"""How rows/s grows: with the slots, beside llama-batched-bench at as many sequences; and with the rows, beside memory.

    .deps/venv/bin/python bench/growth.py [--runs 3] [--slots 1,2,4,…,256] [--rows 100,…,100000] [--short] [--quick]

Slots: W1 (distinct prompts of 64 tokens, 32 out) on the real model, 128 tokens of context per slot, a multiple of the slots
as rows so that none is idle at the end. Rows: distinct prompts on testdata/tiny.gguf, 2 tokens out, one statement; when the
first batch of rows came; resident memory of the server and of the model's process before it, and the most while it ran.
--rows 1000000 takes ten minutes. --short: fewer slots, rows, and 1 run.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import workloads  # noqa: E402
from hyprstream import Hyprstream  # noqa: E402
from serving import MODEL, ROOT  # noqa: E402
from sides import THREADS, batched_bench  # noqa: E402
from timing import Stopwatch, spread  # noqa: E402

TINY = ROOT / "testdata" / "tiny.gguf"
SLOT_TOKENS = 128


def arguments():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--runs", type=int, default=3)
    args.add_argument("--slots", default="1,2,4,8,16,32,64,128,256")
    args.add_argument("--rows", default="100,1000,10000,100000")
    args.add_argument("--least", type=int, default=32, help="rows of the runs over slots, or one per slot if that is more")
    args.add_argument("--json", type=Path, metavar="FILE", help="write every single figure there")
    args.add_argument("--short", action="store_true", help="1 run, 1, 8, 32 and 128 slots, to 10,000 rows")
    args.add_argument("--quick", action="store_true", help="1 run, 1 and 4 slots, 100 rows: shows that it works, measures nothing")
    args = args.parse_args()
    if args.short:
        args.runs, args.slots, args.rows = 1, "1,8,32,128", "100,1000,10000"
    if args.quick:
        args.runs, args.slots, args.rows, args.least = 1, "1,4", "100", 4
    args.slots, args.rows = ([int(n) for n in text.split(",") if n] for text in (args.slots, args.rows))
    return args


def over_slots(hyprstream, args):
    """Gives [(slots, rows/s of hyprstream, of llama-batched-bench)]."""
    writer, found = workloads.Writer(hyprstream.count_tokens), {n: ([], []) for n in args.slots}
    for n in args.slots:
        hyprstream.sql(f"""CREATE MODEL g{n} FROM '{MODEL}' WITH (slots = {n}, context_length = {SLOT_TOKENS}, threads = {THREADS})""")
    for run in range(args.runs):
        for n in args.slots if run % 2 == 0 else args.slots[::-1]:
            ours, theirs = found[n]
            theirs.append(batched_bench(64, 32, [n])[0].rows)
            hyprstream.sql(f"ALTER MODEL g{n} LOAD")
            work = workloads.make("W1", writer, max(args.least, n), f"{run} {n}")
            ours.append(hyprstream.run(work, f"g{n}").rate)
            hyprstream.sql(f"ALTER MODEL g{n} UNLOAD")
            print(f"run {run + 1}  {n:3} slots  hyprstream {ours[-1]:6.2f} rows/s, llama-batched-bench {theirs[-1]:6.2f}", flush=True)
    return [(n, *rates) for n, rates in found.items()]


class Memory:
    """Resident bytes of processes, looked at ten times a second until it is stopped."""

    def __init__(self, *pids):
        self.pids = pids
        self.before = self.most = [resident(p) for p in pids]
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        while not self.ended.wait(0.1):
            self.most = [max(most, resident(p)) for most, p in zip(self.most, self.pids)]

    def stop(self):
        self.ended.set()
        self.thread.join()


def resident(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no memory")


def over_rows(hyprstream, args):
    """Gives [(rows, rows/s, seconds to the first, server bytes before, engine bytes before, at most, at most)]."""
    hyprstream.sql(f"CREATE MODEL tiny FROM '{TINY}' WITH (context_length = {SLOT_TOKENS}, threads = {THREADS})")
    hyprstream.sql("SELECT generate('tiny', 'hello', max_tokens := 2)")
    [(pid,)] = hyprstream.sql("SELECT pid FROM ai.engines WHERE model = 'tiny'")
    found = []
    for n in args.rows:
        memory, watch, rows = Memory(hyprstream.server.process.pid, pid), Stopwatch(), 0
        try:
            with hyprstream.conn.cursor() as cur:
                cur.execute(f"SELECT i, generate('tiny', '{n} rows, number ' || i, max_tokens := 2, raw := true) FROM range({n}) r(i)")
                for batch in cur.fetch_record_batch():
                    watch.row()
                    rows += batch.num_rows
            watch.stop()
        finally:
            memory.stop()
        assert rows == n, (rows, n)
        found.append((n, n / watch.seconds, watch.first, *memory.before, *memory.most))
        print(f"{n} rows done", flush=True)
    return found


def main():
    args = arguments()
    with tempfile.TemporaryDirectory() as folder:
        hyprstream = Hyprstream(folder, row_tokens=SLOT_TOKENS, files=(TINY.parent,))
        try:
            slots = over_slots(hyprstream, args)
            rows = over_rows(hyprstream, args)
        finally:
            hyprstream.stop()
    print(f"\n{'slots':>5}  {'hyprstream, rows/s':24} {'llama-batched-bench':24} ratio")
    for n, ours, theirs in slots:
        print(f"{n:5}  {spread(ours):24} {spread(theirs):24} {statistics.median(ours) / statistics.median(theirs):.2f}")
    print(f"\n{'rows':>7} {'rows/s':>8} {'first, ms':>9}   MiB of server: before, most    of engine: before, most")
    for n, rate, first, *memory in rows:
        server, engine, server_most, engine_most = (m / 2**20 for m in memory)
        print(f"{n:7} {rate:8.1f} {1000 * first:9.0f} {server:23.1f} {server_most:7.1f} {engine:19.1f} {engine_most:7.1f}")
    if args.json:
        args.json.write_text(json.dumps({"slots": slots, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
