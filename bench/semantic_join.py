"""A join on ai_match beside the plan that asks for its pairs in place, within DuckDB's nested loop, as a plain function would.

    .deps/venv/bin/python bench/semantic_join.py [--runs 1] [--documents 40] [--topics 30] [--json FILE] [--quick]

Documents of 40 words, topics of 4, on the real model; every tenth document is another one's double. Sides: in place (inside a
lambda, which no plan moves); exact, which must give the same pairs save for the rounding of other batch shapes; recall 0.95 by
embeddings, and by the topics as labels of the documents. Kept: share of the pairs in place that the side has too. Added: pairs that
it has beside, per pair in place. With more documents than topics DuckDB's loop goes topic by topic, so that the long texts are not
what consecutive prompts share; with fewer it goes the better way, by luck. A base model of 270M cannot judge pairs; the predicate is
one that it answers both ways. What is measured is the plan, and that approximation keeps its word.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from answers import ask, save, show, texts  # noqa: E402
from hyprstream import Hyprstream  # noqa: E402

JOIN = "SELECT d.i, t.i FROM documents d JOIN topics t ON "
SIDES = {"in place": "list_transform([d.text], lambda x: ai_match(x, t.text, 'no'))[1]",
         "exact": "ai_match(d.text, t.text, 'no')",
         "recall 0.95, embeddings": "ai_match(d.text, t.text, 'no', recall := 0.95)",
         "recall 0.95, classify": "ai_match(d.text, t.text, 'no', recall := 0.95, proxy := 'classify')"}


def arguments():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--runs", type=int, default=1)
    args.add_argument("--documents", type=int, default=40)
    args.add_argument("--topics", type=int, default=30)
    args.add_argument("--json", type=Path, metavar="FILE", help="write every single figure there")
    args.add_argument("--quick", action="store_true", help="1 run, 10 documents, 6 topics: shows that it works, measures nothing")
    args = args.parse_args()
    if args.quick:
        args.runs, args.documents, args.topics = 1, 10, 6
    return args


def agreement(first, other):
    first, other = set(first), set(other)
    return {"kept": len(first & other) / len(first) if first else 1, "added": len(other - first) / max(1, len(first))}


def main():
    args, found = arguments(), {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        hyprstream = Hyprstream(folder)
        try:
            for run in range(args.runs):
                for side in list(SIDES) if run % 2 == 0 else list(SIDES)[::-1]:
                    hyprstream.sql("ALTER MODEL gemma UNLOAD")  # and with it the prefixes of the side before
                    hyprstream.sql("ALTER MODEL gemma LOAD")
                    documents = texts("documents", args.documents, 40, run)
                    documents[9::10] = documents[8::10][:len(documents[9::10])]  # doubles
                    hyprstream.sql("SELECT 1", documents=documents, topics=texts("topics", args.topics, 4, run))
                    found[side].append(ask(hyprstream, JOIN + SIDES[side]))
                    print(f"run {run + 1}  {side:24} {found[side][-1].seconds:7.2f} s, {len(found[side][-1].rows)} pairs", flush=True)
        finally:
            hyprstream.stop()
    print(f"\n{args.documents} documents, {args.topics} topics, {args.documents * args.topics} pairs, medians of {args.runs} runs")
    show(found, agreement)
    save(args.json, found)


if __name__ == "__main__":
    main()
