"""ai_filter with quality := 0.95 beside the same filter without: calls of the model, time, answers.

    .deps/venv/bin/python bench/cascade.py [--runs 1] [--rows 800] [--json FILE] [--quick]

Texts of 15 words on the real model. Proxies: a copy of the model, which is never wrong and shows what the sample alone costs; the
model's own embeddings; and testdata/tiny.gguf, whose weights are random. Yes and no: share of the model's answers of that kind that
came out the same. A base model of 270M cannot judge predicates, and the predicate is one that it answers both ways: its embeddings hardly
foretell what it says. What is measured is that the answers keep to the target, and what finding out costs.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from answers import ask, save, show, texts  # noqa: E402
from hyprstream import Hyprstream  # noqa: E402
from serving import MODEL, ROOT  # noqa: E402
from sides import THREADS  # noqa: E402

TINY = ROOT / "testdata" / "tiny.gguf"
FILTER = "SELECT i, ai_filter(text, 'no', model := 'gemma'{options}) FROM texts"
SIDES = {"the model": "", "quality 0.95, itself": ", quality := 0.95, proxy := 'copy'",
         "quality 0.95, embed": ", quality := 0.95, proxy := 'embed'",
         "quality 0.95, tiny": ", quality := 0.95, proxy := 'tiny'",
         "recall 0.95, embed": ", recall := 0.95, proxy := 'embed'"}


def arguments():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--runs", type=int, default=1)
    args.add_argument("--rows", type=int, default=800)
    args.add_argument("--json", type=Path, metavar="FILE", help="write every single figure there")
    args.add_argument("--quick", action="store_true", help="1 run, 40 rows: shows that it works, measures nothing")
    args = args.parse_args()
    if args.quick:
        args.runs, args.rows = 1, 40
    return args


def agreement(first, other):
    """Rows are (i, answer), sorted by i."""
    shares = {}
    for name, value in (("yes", True), ("no", False)):
        rows = [k for k, (_, answer) in enumerate(first) if answer is value]
        shares[name] = sum(other[k][1] is value for k in rows) / len(rows) if rows else 1
    return shares


def main():
    args, found = arguments(), {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        hyprstream = Hyprstream(folder, files=(TINY.parent,))
        try:
            hyprstream.sql(f"CREATE MODEL tiny FROM '{TINY}' WITH (threads = {THREADS})")
            hyprstream.sql(f"CREATE MODEL copy FROM '{MODEL}' WITH (threads = {THREADS})")
            for run in range(args.runs):
                for side in list(SIDES) if run % 2 == 0 else list(SIDES)[::-1]:
                    hyprstream.sql("SELECT 1", texts=texts("filter", args.rows, 15, run))
                    found[side].append(ask(hyprstream, FILTER.format(options=SIDES[side])))
                    print(f"run {run + 1}  {side:24} {found[side][-1].seconds:7.2f} s", flush=True)
        finally:
            hyprstream.stop()
    print(f"\n{args.rows} rows, {sum(answer for _, answer in found['the model'][-1].rows)} of them yes, medians of {args.runs} runs")
    show(found, agreement)
    save(args.json, found)


if __name__ == "__main__":
    main()
