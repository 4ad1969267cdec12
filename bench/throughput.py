"""Rows per second of statements that use the model, beside what else does the same work, in one run.

    .deps/venv/bin/python bench/throughput.py [--workloads W1,W2,…] [--sides hyprstream,…] [--runs 3] [--rows N] [--quick]

    W1  256 distinct prompts of 64 tokens, 32 tokens out
    W2  256 rows: an instruction of 380 tokens that all share, 20 tokens of their own, 16 out; then other rows, instruction
        seen before (W2warm)
    W3  512 rows drawn by Zipf from 64 prompts of 64 tokens, 16 out
    W4  256 rows: 127 tokens shared, 38 of their own, one of 4 labels: ai_classify beside a grammar
    W5  512 embeddings of texts of 64 tokens
    W6  W1 with a persistent cache; then the same table with 1 % of the rows new (W6again)
    W7  W1 with 10 adapters mixed row by row, beside one adapter for all (W7one); then 10 sets of two weighted adapters
        (W7pairs) beside one such set (W7pair). First: each row's text equals what it is in its own set's statement
    W8  W1 and W2 beside a Python UDF in DuckDB that asks llama-cpp-python row by row (the first --udf-rows rows)

hyprstream is the whole product: a SELECT over Flight SQL by the ADBC driver. llama-server gets the same prompts from a pool
of HTTP clients; llama-batched-bench (W1) is llama_decode and nothing else. All are greedy, on the same model file,
with 2 threads, and write as many tokens as they may; what comes from the same source is built with the same flags.
They take turns, the order changing from run to run. The figures to quote are ratios within one run: rows/s are this
machine's, at this load. `limit` is what llama-batched-bench's prefill and decode speeds allow for the tokens that must be
computed when shared and equal ones are computed once. `make bench-deps` builds the peers; --quick is 1 run of 32 rows.

On a busy machine the peers' threads spin at barriers and lose many times over, which proves nothing: there set
GOMP_SPINCOUNT=1000, which is what hyprstream's engine runs with, for all sides. On a quiet one the peers are faster without.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import numpy as np  # noqa: E402

import workloads  # noqa: E402
from hyprstream import Hyprstream  # noqa: E402
from llamaserver import LlamaServer  # noqa: E402
from report import report  # noqa: E402
from sides import LLAMA, PYTHON, Run, Udf, batched_bench  # noqa: E402

OURS, SERVER, BATCHED, UDF = SIDES = ("hyprstream", "llama-server", "llama-batched-bench", "udf")

# What each workload runs, in this order, and on which sides. llama-batched-bench runs once before them all.
PLAN = {
    "W1": {"W1": (OURS, SERVER)},
    "W2": {"W2": (OURS, SERVER), "W2warm": (OURS, SERVER)},
    "W3": {"W3": (OURS, SERVER)},
    "W4": {"W4": (OURS, SERVER)},
    "W5": {"W5": (OURS, SERVER)},
    "W6": {"W6": (OURS,), "W6again": (OURS, SERVER)},
    "W7": {"W7one": (OURS,), "W7": (OURS,), "W7pair": (OURS,), "W7pairs": (OURS,)},
    "W8": {"W8W1": (OURS, UDF), "W8W2": (OURS, UDF)},
}
ORDERED = ("W2", "W6")  # whose second part needs the first one before it


@dataclass
class Measured:
    run: int
    work: workloads.Workload
    side: str
    result: Run
    load: float  # of the machine, a minute's average, after it


def arguments():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--workloads", default=",".join(PLAN))
    args.add_argument("--sides", default=",".join(SIDES), help="one alone for tuning (hyprstream is always started: it counts tokens)")
    args.add_argument("--runs", type=int, default=3)
    args.add_argument("--rows", type=int, help="rows of every workload (each has its own number)")
    args.add_argument("--udf-rows", type=int, default=48, help="of W8, for the UDF, which is slow")
    args.add_argument("--slots", type=int, help="of hyprstream (its own default)")
    args.add_argument("--peer-slots", type=int, default=32, help="of llama-server; W4 and W5 have 16")
    args.add_argument("--sequences", default="32,64,128", help="of llama-batched-bench; the best counts")
    args.add_argument("--json", type=Path, metavar="FILE", help="write every single figure there")
    args.add_argument("--quick", action="store_true", help="1 run of 32 rows: shows that it works, measures nothing")
    args = args.parse_args()
    for name, known in (("workloads", PLAN), ("sides", SIDES)):
        found = getattr(args, name).split(",")
        if unknown := set(found) - set(known):
            sys.exit(f"--{name}: {', '.join(sorted(unknown))} is not one of {', '.join(known)}")
        setattr(args, name, found)
    args.sequences = [int(n) for n in args.sequences.split(",")]
    if args.quick:
        args.runs, args.rows, args.udf_rows, args.sequences = 1, args.rows or 32, 4, [32]
    for side, path in ((SERVER, LLAMA / "llama-server"), (BATCHED, LLAMA / "llama-batched-bench"), (UDF, PYTHON)):
        if side in args.sides and not path.exists():
            sys.exit(f"{path} is not there: run `make bench-deps`")
    return args


def same_vectors(sides, writer):
    """W5 compares nothing unless both sides give the same vectors."""
    texts = [writer.text(random.Random(i), 40) for i in range(8)]
    ours, theirs = (np.array(sides[name].vectors(texts)) for name in (OURS, SERVER))
    cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    print(f"embeddings of {len(texts)} texts: cosine with llama-server's at least {cosines.min():.5f}", flush=True)
    assert cosines.min() > 0.99, cosines


def same_mixed(ours, writer):
    """A row's text does not depend on the adapter sets of the rows beside it."""
    work = workloads.make("W7pairs", writer, 40, "mix")
    mixed = ours.texts(work, range(work.rows))
    for i in range(workloads.ADAPTERS):
        alone = range(i, work.rows, workloads.ADAPTERS)
        assert ours.texts(work, alone) == [mixed[k] for k in alone], f"set {i} alone writes other texts than in the mix"
    plain = ours.texts(work, range(work.rows), adapters=False)
    differ = sum(a != b for a, b in zip(mixed, plain))
    assert differ > work.rows // 2, f"only {differ} of {work.rows} texts show their adapters"
    print(f"texts of {work.rows} rows with {workloads.ADAPTERS} adapter sets mixed: all equal those of each set alone, "
          f"{differ} differ from those without adapters", flush=True)


def prepare(args, sides, writer):
    """Brings up what is started late, so that no timed part does, and checks that the sides do the same."""
    both = {OURS, SERVER} <= set(args.sides)
    if "W7" in args.workloads:
        sides[OURS].create_adapters()
        same_mixed(sides[OURS], writer)
    if "W5" in args.workloads and both:
        same_vectors(sides, writer)
    warmed = set()
    for workload in args.workloads:
        for name, names in PLAN[workload].items():
            work = workloads.make(name, writer, 8, "warmup")
            for side in set(names) & set(args.sides):
                if (key := (side, work.kind, bool(work.adapters))) not in warmed:
                    warmed.add(key)
                    r = sides[side].run(work)
                    if name == "W4" and r.prompt != 165 * work.rows:
                        print(f"NOT THE SAME: {side}'s prompts of W4 have {r.prompt / work.rows:.1f} tokens, and should have 165", flush=True)


def measure(args, sides):
    """Runs everything. Gives [Measured] and llama-batched-bench's best Speeds, one per run."""
    writer = workloads.Writer(sides[OURS].count_tokens)
    prepare(args, sides, writer)
    measured, speeds = [], []
    for i in range(args.runs):
        if BATCHED in args.sides:
            s = max(batched_bench(64, 32, args.sequences), key=lambda s: s.rows)
            speeds.append(s)
            print(f"run {i + 1}  W1       llama-batched-bench  {s.rows:6.2f} rows/s at {s.sequences} sequences; "
                  f"prefill {s.prefill:.0f}, decode {s.decode:.0f} tokens/s  load {os.getloadavg()[0]:.1f}", flush=True)
        for workload in args.workloads:
            steps = list(PLAN[workload].items())
            for name, names in steps if i % 2 == 0 or workload in ORDERED else steps[::-1]:
                work = workloads.make(name, writer, args.rows, i)
                for side in names if i % 2 == 0 else names[::-1]:
                    if side in args.sides:
                        measured.append(Measured(i + 1, work, side, sides[side].run(work), os.getloadavg()[0]))
                        show(measured[-1])
    return measured, speeds


def show(m):
    r = m.result
    print(f"run {m.run}  {m.work.name:8} {m.side:13} {r.rate:6.2f} rows/s  {r.seconds:7.2f} s, first row {r.first:6.2f} s  "
          f"prompt {r.prompt}, shared {r.shared}, completion {r.completion} tokens, cached {r.cached} rows  load {m.load:.1f}", flush=True)


def write_json(path, args, measured, speeds):
    runs = [{"run": m.run, "workload": m.work.name, "side": m.side, "must_prompt": m.work.computed, "must_completion": m.work.decoded,
             "load": m.load} | asdict(m.result) for m in measured]
    path.write_text(json.dumps({
        "cores": os.cpu_count(), "spin": os.environ.get("GOMP_SPINCOUNT"), "seed": workloads.SEED, "slots": args.slots,
        "peer_slots": args.peer_slots, "batched_bench": [asdict(s) for s in speeds], "runs": runs}, indent=1) + "\n")


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that what was started is stopped
    print(f"{args.runs} runs, {args.slots or 'default'} slots, llama-server {args.peer_slots}, prompts of seed {workloads.SEED}; "
          f"{os.cpu_count()} cores, load average {' '.join(f'{n:.1f}' for n in os.getloadavg())} before the start (a quiet machine is "
          f"below 0.5), GOMP_SPINCOUNT {os.environ.get('GOMP_SPINCOUNT', 'unset: 1000 for hyprstream, the default for its peers')}",
          flush=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as started:
        sides = {OURS: Hyprstream(folder, args.slots)}
        started.callback(sides[OURS].stop)
        if SERVER in args.sides:
            sides[SERVER] = LlamaServer(args.peer_slots)
            started.callback(sides[SERVER].stop)
        if UDF in args.sides and "W8" in args.workloads:
            sides[UDF] = Udf(args.udf_rows)
            started.callback(sides[UDF].stop)
        measured, speeds = measure(args, sides)
    report(measured, speeds)
    if args.json:
        write_json(args.json, args, measured, speeds)


if __name__ == "__main__":
    main()
