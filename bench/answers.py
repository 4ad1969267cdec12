"""One statement whose answers are compared: its rows, seconds, and what it asked of the model by ai.usage."""

import json
import random
import statistics
from dataclasses import dataclass

from timing import Stopwatch, spread
from workloads import SEED, WORDS


@dataclass
class Asked:
    rows: list
    seconds: float
    calls: int  # distinct requests that the model answered
    proxied: int  # rows that the proxy answered alone
    computed: int  # prompt tokens that were not shared, the proxy's too
    shared: int


def ask(hyprstream, statement):
    watch = Stopwatch()
    rows = hyprstream.sql(statement)
    watch.stop()
    used = hyprstream.used()
    prompt, shared, proxied = used["prompt_tokens"], used["shared_tokens"], used["proxy_rows"]
    return Asked(sorted(rows), watch.seconds, used["distinct_rows"] - proxied, proxied, prompt - shared, shared)


def texts(name, rows, words, run):
    """New ones for each run, so that none finds another's prompts in the cache of prefixes."""
    rng = random.Random(f"{SEED} {name} {run}")
    return [" ".join(rng.choice(WORDS) for _ in range(words)) for _ in range(rows)]


def show(found, agreement):
    """found: {side: [Asked]}, the first side is what the others are compared with; agreement(first, other) has shares by name."""
    first = next(iter(found.values()))
    for side, runs in found.items():
        shares = [agreement(a.rows, b.rows) for a, b in zip(first, runs)]
        said = ", ".join(f"{name} {statistics.median(s[name] for s in shares):.3f}" for name in shares[0])
        ratio = statistics.median(a.seconds for a in first) / statistics.median(r.seconds for r in runs)
        m = {k: int(statistics.median(getattr(r, k) for r in runs)) for k in ("calls", "proxied", "computed", "shared")}
        print(f"  {side:24} {spread([r.seconds for r in runs])} s, {ratio:.2f} times as fast; {m['calls']} calls, {m['proxied']} by proxy; "
              f"prompt tokens {m['computed']} computed, {m['shared']} shared; {said}")


def save(path, found):
    if path:
        sides = {side: [{k: v for k, v in vars(r).items() if k != "rows"} | {"rows": len(r.rows)} for r in runs]
                 for side, runs in found.items()}
        path.write_text(json.dumps(sides, indent=1) + "\n")
