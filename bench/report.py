"""The tables that throughput.py prints at its end: each workload's sides, then the ratios that matter beside their goals."""

import statistics

from timing import spread

# (what, side and workload above, side and workload below, goal): the ratio of their rows/s; below None is llama-batched-bench.
RATIOS = (
    ("W1", ("hyprstream", "W1"), None, ">= 0.97"),
    ("W1", ("hyprstream", "W1"), ("llama-server", "W1"), "> 1"),
    ("W2 cold", ("hyprstream", "W2"), ("llama-server", "W2"), ">= 2"),
    ("W2 warm", ("hyprstream", "W2warm"), ("llama-server", "W2warm"), ">= 1.2"),
    ("W3", ("hyprstream", "W3"), ("llama-server", "W3"), ">= 5"),
    ("W4", ("hyprstream", "W4"), ("llama-server", "W4"), ">= 2.5"),
    ("W5", ("hyprstream", "W5"), ("llama-server", "W5"), ">= 2"),
    ("W6 again, in time", ("hyprstream", "W6"), ("hyprstream", "W6again"), "< 0.03"),
    ("W7 mixed, of one", ("hyprstream", "W7"), ("hyprstream", "W7one"), ">= 0.8"),
    ("W7 pairs, of one", ("hyprstream", "W7pairs"), ("hyprstream", "W7pair"), ">= 0.8"),
    ("W8, W1", ("hyprstream", "W8W1"), ("udf", "W8W1"), ">= 2.5"),
    ("W8, W2", ("hyprstream", "W8W2"), ("udf", "W8W2"), ">= 6"),
)


def report(measured, speeds):
    found = {}
    for m in measured:
        found.setdefault(m.work.name, {}).setdefault(m.side, []).append(m)
    for sides in found.values():
        show(sides, speeds)
    rates = {(side, name): [m.result.rate for m in ms] for name, sides in found.items() for side, ms in sides.items()}
    batched = [s.rows for s in speeds]
    print("\n" + f"{'ratio of rows/s':20} {'hyprstream':24} {'beside':20} {'':24} {'ratio':>8}  goal")
    for what, above, below, goal in RATIOS:
        ours, theirs = rates.get(above), rates.get(below) if below else batched
        if ours and theirs:
            ratio = statistics.median(ours) / statistics.median(theirs)
            print(f"{what:20} {spread(ours):24} {below[0] if below else 'llama-batched-bench':20} {spread(theirs):24} {ratio:8.3f}  {goal}")


def show(sides, speeds):
    """A workload: every side's rows/s, and the tokens that it computed beside those that must be computed."""
    work = next(iter(sides.values()))[-1].work
    must = work.computed + work.decoded
    print(f"\n{work.name}: {work.rows} rows, {work.says}; {work.computed} prompt and {work.decoded} completion tokens must be computed")
    for side, ms in sides.items():
        r = ms[-1].result
        computed = r.prompt - r.shared + r.completion
        beside = f"{computed} computed, {computed / must:.2f} of what must be" if r.rows == work.rows else f"{r.rows} rows"
        print(f"  {side:20} {spread([m.result.rate for m in ms])} rows/s, first row {spread([m.result.first for m in ms])} s; "
              f"tokens: {r.prompt} prompt, {r.shared} shared, {r.completion} completion, {beside}")
    if speeds:
        prefill, decode = (statistics.median(getattr(s, k) for s in speeds) for k in ("prefill", "decode"))
        limit = work.rows / (work.computed / prefill + work.decoded / decode)
        print(f"  {'limit':20} {limit:.2f} rows/s")
