"""How soon a one-row statement answers beside a statement of 10,000 rows that generate on the same model.

    .deps/venv/bin/python bench/fairness.py [--questions 20] [--runs 3] [--slots N]

The question is one row of 16 tokens on a connection of its own, each time another prompt. Runs alternate (idle, beside);
prints the distribution of each in milliseconds and the ratio of the medians. The peer is the same server with an idle engine.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from hyprstream import Hyprstream  # noqa: E402
from neighbour import Neighbour  # noqa: E402
from timing import line  # noqa: E402

ROWS = 10_000
LONG = f"""SELECT i, generate('gemma', 'Once upon a time there was a number ' || i, max_tokens := 64, ignore_eos := true)
           FROM range({ROWS}) r(i)"""
numbers = itertools.count()


def ask(hyprstream, questions):
    """Milliseconds that each question took, one after the other."""
    took = []
    for i in itertools.islice(numbers, questions):
        begun = time.perf_counter()
        [(answer,)] = hyprstream.sql(
            f"SELECT generate('gemma', 'Question {i}: what is a good name for a boat?', max_tokens := 16, ignore_eos := true)")
        took.append((time.perf_counter() - begun) * 1000)
        assert answer
    return took


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--questions", type=int, default=20)
    args.add_argument("--runs", type=int, default=3)
    args.add_argument("--slots", type=int, help="of hyprstream (its own default)")
    args.add_argument("--quick", action="store_true", help="1 run of 2 questions: shows that it works, measures nothing")
    args.add_argument("--json", type=Path, metavar="FILE", help="write every single figure there")
    args = args.parse_args()
    if args.quick:
        args.runs, args.questions = 1, 2
    with tempfile.TemporaryDirectory() as folder:
        hyprstream = Hyprstream(folder, args.slots)
        try:
            ask(hyprstream, 1)
            took = {"idle": [], "beside": []}  # a list of milliseconds per run
            for _ in range(args.runs):
                took["idle"].append(ask(hyprstream, args.questions))
                line("idle", took["idle"][-1])
                neighbour = Neighbour(hyprstream.server.flight, LONG)
                try:
                    took["beside"].append(ask(hyprstream, args.questions))
                finally:
                    neighbour.stop()
                line("beside", took["beside"][-1])
            idle, beside = (statistics.median(map(statistics.median, took[k])) for k in ("idle", "beside"))
            print(f"median of medians: idle {idle:.1f} ms, beside {ROWS} rows {beside:.1f} ms, ratio {beside / idle:.2f}")
        finally:
            hyprstream.stop()
    if args.json:
        args.json.write_text(json.dumps(took, indent=1) + "\n")


if __name__ == "__main__":
    main()
