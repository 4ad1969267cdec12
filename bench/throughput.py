"""Rows per second of generating statements, beside llama-server and llama-batched-bench in one run.

    .deps/venv/bin/python bench/throughput.py [--workloads W1,W2,W3] [--runs 3] [--rows N] [--slots 32] [--quick]

    W1  256 distinct prompts of 64 tokens, 32 tokens out
    W2  256 rows: an instruction of 380 tokens that all share, 20 tokens of their own, 16 out; then other rows, instruction
        seen before (W2warm)
    W3  512 rows drawn by Zipf from 64 prompts of 64 tokens, 16 out

hyprstream is the whole product: a SELECT over Flight SQL by the ADBC driver. llama-server gets the same prompts from a pool
of HTTP clients; llama-batched-bench (W1 only) is llama_decode and nothing else. All are greedy, on the same model file,
with 2 threads, and always write as many tokens as they may; what comes from the same source is built with the same flags.
They take turns, the order changing from run to run. The figures to quote are ratios within one run: rows/s are this
machine's, at this load. `limit` is what llama-batched-bench's prefill and decode speeds allow for the tokens that must be
computed when shared ones are computed once. `make bench-deps` builds the peers; --quick is 1 run of 32 rows.

On a busy machine the peers' threads spin at barriers and lose many times over, which proves nothing: there set
GOMP_SPINCOUNT=1000, which is what hyprstream's engine runs with, for all sides. On a quiet one the peers are faster without.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import workloads  # noqa: E402
from sides import LLAMA, Hyprstream, LlamaServer, batched_bench  # noqa: E402

WORKLOADS = ("W1", "W2", "W3")


def arguments():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--workloads", default=",".join(WORKLOADS))
    args.add_argument("--runs", type=int, default=3)
    args.add_argument("--rows", type=int, help="rows of every workload (each has its own number)")
    args.add_argument("--slots", type=int, default=32)
    args.add_argument("--sequences", default="32,64,128", help="of llama-batched-bench; the best counts")
    args.add_argument("--quick", action="store_true", help="1 run of 32 rows: shows that it works, measures nothing")
    args = args.parse_args()
    args.workloads = args.workloads.split(",")
    args.sequences = [int(n) for n in args.sequences.split(",")]
    if unknown := set(args.workloads) - set(WORKLOADS):
        sys.exit(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    if args.quick:
        args.runs, args.rows, args.sequences = 1, 32, [32]
    if not (LLAMA / "llama-server").exists():
        sys.exit(f"{LLAMA / 'llama-server'} is not there: run `make bench-deps`")
    return args


def measure(args, hyprstream, sides):
    """Runs everything. Gives [(work, {side: [Run]})] and llama-batched-bench's Speeds, one per run."""
    writer = workloads.Writer(hyprstream.count_tokens)
    warmup = workloads.make("W3", writer, 8, "warmup")
    for side in sides:
        side.run(warmup)
    names = [n for w in args.workloads for n in ((w, "W2warm") if w == "W2" else (w,))]
    works, runs, speeds = {}, defaultdict(lambda: defaultdict(list)), []
    for i in range(args.runs):
        speeds.append(batched_bench(64, 32, args.sequences))
        s = speeds[-1]
        print(f"run {i + 1}  W1      llama-batched-bench  {s.rows:6.2f} rows/s at {s.sequences} sequences; "
              f"prefill {s.prefill:.0f}, decode {s.decode:.0f} tokens/s  load {os.getloadavg()[0]:.1f}", flush=True)
        for name in names:
            work = works[name] = workloads.make(name, writer, args.rows, i)
            for side in sides if i % 2 == 0 else sides[::-1]:
                r = side.run(work)
                runs[name][side.name].append(r)
                print(f"run {i + 1}  {name:7} {side.name:13} {work.rows / r.seconds:6.2f} rows/s  {r.seconds:7.2f} s, first row "
                      f"{r.first:6.2f} s  prompt {r.prompt}, shared {r.shared}, completion {r.completion} tokens  "
                      f"load {os.getloadavg()[0]:.1f}", flush=True)
    return [(works[n], runs[n]) for n in names], speeds


def report(measured, speeds):
    ceiling = statistics.median(s.rows for s in speeds)
    prefill, decode = (statistics.median(getattr(s, k) for s in speeds) for k in ("prefill", "decode"))
    for work, sides in measured:
        print(f"\n{work.name}: {work.rows} rows, {work.says}")
        rates = {}
        for name, runs in sides.items():
            rate = [work.rows / r.seconds for r in runs]
            rates[name] = statistics.median(rate)
            r = runs[-1]
            print(f"  {name:20} {rates[name]:6.2f} rows/s ({min(rate):.2f} to {max(rate):.2f}), first row "
                  f"{statistics.median(r.first for r in runs):.2f} s; tokens: {r.prompt} prompt, {r.shared} of them shared, "
                  f"{r.completion} completion")
        limit = work.rows / (work.computed / prefill + work.distinct * work.output / decode)
        ours = rates["hyprstream"]
        print(f"  {'limit':20} {limit:6.2f} rows/s: {work.computed} prompt and {work.distinct * work.output} completion tokens computed")
        if work.name == "W1":
            rate = [s.rows for s in speeds]
            print(f"  {'llama-batched-bench':20} {ceiling:6.2f} rows/s ({min(rate):.2f} to {max(rate):.2f})")
        print(f"  hyprstream is {ours / rates['llama-server']:.2f} of llama-server"
              + (f", {ours / ceiling:.2f} of llama-batched-bench" if work.name == "W1" else "") + f", {ours / limit:.2f} of the limit")


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that what was started is stopped
    print(f"{args.runs} runs, {args.slots} slots, prompts of seed {workloads.SEED}; {os.cpu_count()} cores, load average "
          f"{' '.join(f'{n:.1f}' for n in os.getloadavg())} before the start (a quiet machine is below 0.5), GOMP_SPINCOUNT "
          f"{os.environ.get('GOMP_SPINCOUNT', 'unset: 1000 for hyprstream, the default for its peers')}", flush=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as started:
        hyprstream = Hyprstream(folder, args.slots)
        started.callback(hyprstream.stop)
        peer = LlamaServer(args.slots)
        started.callback(peer.stop)
        report(*measure(args, hyprstream, [hyprstream, peer]))


if __name__ == "__main__":
    main()
