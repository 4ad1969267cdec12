"""Where the time of a statement goes: W1 once, by the engine's own counters, by processor time, and by perf's samples.

    .deps/venv/bin/python bench/steps.py [--rows 256] [--slots N] [--no-perf]

Counters: every column of ai.engines that ends in _seconds, beside the statement's time; where they tell steps, sampling and
overhead apart, what is not llama_decode as well. Processor time: seconds that the server's and the engine's process used.
perf (Debian's linux-perf, as root or with kernel.perf_event_paranoid at 1): samples of the engine's process by function: those
of llama.cpp's computation, the kernel's and all others, with the heaviest of each. Samples are processor time: a thread that
waits has none.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import workloads  # noqa: E402
from hyprstream import Hyprstream  # noqa: E402

# Functions that llama_decode runs in. What else llama.cpp has, such as samplers and the tokenizer, counts as the rest.
COMPUTES = re.compile(r"^hs::|ggml|gomp|GOMP|llama_(decode|context|kv|graph|batch|memory)|llm_(graph|build)|quantize|vec_dot|sgemm|tinyBLAS"
                      r"|^tiled_|expf|tanhf|^gemm")
COMPUTES_IN = ("libgomp",)
KERNEL = "[kernel"


def engine(hyprstream):
    """The row of ai.engines, by column."""
    with hyprstream.conn.cursor() as cur:
        cur.execute("SELECT * FROM ai.engines WHERE model = 'gemma'")
        return dict(zip([d[0] for d in cur.description], cur.fetchone()))


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Perf:
    """Samples one process until it is stopped."""

    def __init__(self, pid, folder):
        self.data, self.log = Path(folder) / "perf.data", Path(folder) / "perf.log"
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(["perf", "record", "-e", "cpu-clock", "-F", "499", "-p", str(pid), "-o", self.data],
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self):
        """Gives {(library, function): samples}; None where perf may not look."""
        self.child.send_signal(signal.SIGINT)
        self.child.wait(60)
        done = subprocess.run(["perf", "report", "-i", self.data, "--stdio", "--sort", "dso,symbol", "-F", "sample,dso,symbol",
                               "-t", "\t", "-g", "none"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            print(f"perf gave nothing: {self.log.read_text().strip()} {done.stderr.strip()}"[:600])
            return None
        rows = [text.split("\t")[:3] for text in done.stdout.splitlines() if text.strip() and not text.startswith("#")]
        return {(dso.strip(), re.sub(r"^\[.\] ", "", symbol.strip())): int(n) for n, dso, symbol in rows}


def show(samples):
    groups = {"computation": Counter(), "kernel": Counter(), "the rest": Counter()}
    for (dso, symbol), n in samples.items():
        computes = COMPUTES.search(symbol) or dso.startswith(COMPUTES_IN)
        groups["kernel" if dso.startswith(KERNEL) else "computation" if computes else "the rest"][symbol] += n
    total = sum(samples.values())
    for name, found in groups.items():
        print(f"{name}: {sum(found.values()) / total:.1%} of {total} samples")
        for symbol, n in found.most_common(8):
            print(f"  {n / total:6.1%}  {symbol[:100]}")


def counters(before, after, seconds):
    spent = {c: after[c] - before[c] for c in after if c.endswith("_seconds")}
    for column, took in spent.items():
        print(f"  {column:20} {took:7.2f} s, {took / seconds:6.1%} of the statement's time")
    if {"step_seconds", "sample_seconds", "overhead_seconds"} <= set(spent):
        rest = 1 - (spent["step_seconds"] - spent["sample_seconds"] - spent["overhead_seconds"]) / seconds
        print(f"  not in llama_decode: {rest:.1%} of the statement's time")


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rows", type=int, default=256)
    args.add_argument("--slots", type=int, help="of hyprstream (its own default)")
    args.add_argument("--no-perf", action="store_true")
    args = args.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hyprstream = Hyprstream(folder, args.slots)
        try:
            writer = workloads.Writer(hyprstream.count_tokens)
            hyprstream.run(workloads.make("W1", writer, 8, "warmup"))
            work = workloads.make("W1", writer, args.rows, 0)
            before = engine(hyprstream)
            pids = {"server": hyprstream.server.process.pid, "engine": before["pid"]}
            used = {name: processor_seconds(pid) for name, pid in pids.items()}
            perf = Perf(before["pid"], folder) if shutil.which("perf") and not args.no_perf else None
            r = hyprstream.run(work)
            used = {name: processor_seconds(pid) - used[name] for name, pid in pids.items()}
            after = engine(hyprstream)
            samples = perf.stop() if perf else None
        finally:
            hyprstream.stop()
    print(f"W1, {r.rows} rows: {r.seconds:.2f} s, {r.rate:.2f} rows/s")
    counters(before, after, r.seconds)
    for name, seconds in used.items():
        print(f"  processor, {name:9} {seconds:7.2f} s, {seconds / r.seconds:6.1%}; {os.cpu_count()} cores are {os.cpu_count()}00 %")
    if samples:
        show(samples)


if __name__ == "__main__":
    main()
