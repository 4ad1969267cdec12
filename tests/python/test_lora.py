"""PEFT adapters against a numpy reference: each target alone, all together, patterns, rslora, types, blends, sets."""

import numpy as np
import pytest

import lora

TEXTS = [("the people of this house were here", " and they are as we"), ("what is that which you said", " to her"), ("no", " one could make more time than water")]
PATTERNS = {"rank_pattern": {"q_proj": 8, "mlp.down_proj": 2}, "alpha_pattern": {"v_proj": 2, "layers.1.mlp.up_proj": 32}}
CASES = {m.split(".")[-1]: ([m], {}) for m in lora.SHAPES} | {
    "lm_head": (["lm_head"], {}),
    "all": ([*lora.SHAPES, "lm_head"], {}),
    "alpha": ([*lora.SHAPES], {"lora_alpha": 1}),
    "patterns": ([*lora.SHAPES], PATTERNS),
    "rslora": ([*lora.SHAPES], {"use_rslora": True}),
    "rslora, patterns": ([*lora.SHAPES], {"use_rslora": True, **PATTERNS}),
    "F16": ([*lora.SHAPES], {"dtype": "F16"}),
    "BF16": ([*lora.SHAPES], {"dtype": "BF16"}),
}
# Of a sum over some 20 tokens. The weights are float32; attention is computed in float16.
TOLERANCE = 0.02


@pytest.fixture(scope="module", params=lora.ARCHITECTURES)
def model(request, spaced_model, server):
    """A random model: its name, its architecture, its weights, and a folder that the server may read."""
    arch = request.param
    name = f"random_{arch}"
    w, folder = lora.weights(7, arch), spaced_model.parent
    lora.write_model(folder / f"{arch}.gguf", arch, w)
    server("sql", f"CREATE MODEL {name} FROM '{folder}/{arch}.gguf' WITH (slots = 4, threads = 1, context_length = 256)")
    yield name, arch, w, folder
    server("sql", f"DROP MODEL {name}")


@pytest.fixture
def ask(cur, model):
    """Log probabilities of TEXTS' continuations by the server, with the option adapter, and by the reference."""
    model_name, arch, w, _ = model
    tokens = []
    for pair in TEXTS:
        cur.execute(f"SELECT tokenize('{model_name}', ?), tokenize('{model_name}', ?)", pair)
        tokens.append(cur.fetchone())

    def both(adapter, *parts):
        option = f", adapter := {adapter}" if adapter else ""
        have = []
        for p, c in TEXTS:
            cur.execute(f"SELECT logprob('{model_name}', ?, ?, raw := true{option})", (p, c))
            have.append(cur.fetchone()[0])
        return np.array(have), np.array([lora.logprob(arch, lora.merged(w, *parts), *t) for t in tokens])

    return both


@pytest.fixture
def adapter(cur, model):
    """Makes adapters of the model, dropped after the test."""
    model_name, arch, _, folder = model
    made = []

    def make(seed, modules, **changes):
        name = f"{arch}_{len(made)}"
        directory = folder / f"{name}-{seed}"
        added = lora.make_adapter(directory, seed, modules, **changes)
        cur.execute(f"CREATE OR REPLACE ADAPTER {name} FOR MODEL {model_name} FROM '{directory}'")
        made.append(name)
        return name, added

    yield make
    for name in made:
        cur.execute(f"DROP ADAPTER IF EXISTS {name}")


def test_model(ask):
    have, want = ask("")
    assert np.abs(have - want).max() < TOLERANCE


@pytest.mark.parametrize("case", CASES)
def test_target(case, model, ask, adapter, record_property):
    modules, changes = CASES[case]
    if model[1] in lora.GEMMAS:  # their output is the embedding
        if modules == ["lm_head"]:
            with pytest.raises(Exception, match="lm_head"):
                adapter(99, modules)
            return
        modules = [m for m in modules if m != "lm_head"]
    name, added = adapter(100 + list(CASES).index(case), modules, **changes)
    have, want = ask(f"'{name}'", (added, 1))
    plain, _ = ask("")
    off, effect = np.abs(have - want).max(), np.abs(have - plain).max()
    record_property("off", off)
    print(f"{name} {case}: off by {off:.5f} at most, effect {effect:.2f}")
    assert off < TOLERANCE
    assert effect > 5 * TOLERANCE


def close(pair):
    have, want = pair
    return np.abs(have - want).max() < TOLERANCE


def test_blend(cur, model, ask, adapter):
    """A blend is the weighted sum of its parts as they were, whatever becomes of their names."""
    model_name, arch, _, folder = model
    (a, da), (b, db) = adapter(301, ["self_attn.q_proj", "mlp.down_proj"]), adapter(302, [*lora.SHAPES], use_rslora=True)
    blend = f"{arch}_blend"
    cur.execute(f"CREATE ADAPTER {blend} FOR MODEL {model_name} FROM ({a} 0.7, {b} 0.3)")
    try:
        before = ask(f"'{blend}'", (da, 0.7), (db, 0.3))
        assert close(before) and not close(ask(f"'{blend}'", (da, 0.3), (db, 0.7)))
        assert close(ask(f"['{a}:0.7', '{b}:0.3']", (da, 0.7), (db, 0.3)))
        assert close(ask(f"['{blend}:2', '{a}:-1']", (da, 0.4), (db, 0.6)))
        other, directory = lora.make_adapter(folder / f"{a}-303", 303, ["mlp.up_proj"]), folder / f"{a}-303"
        cur.execute(f"CREATE OR REPLACE ADAPTER {a} FOR MODEL {model_name} FROM '{directory}'")
        cur.execute(f"DROP ADAPTER {b}")
        assert close(ask(f"'{a}'", (other, 1)))
        assert np.array_equal(ask(f"'{blend}'")[0], before[0])
        cur.execute("SELECT kind, parts, alpha, path FROM ai.adapters WHERE name = ?", (blend,))
        assert cur.fetchone() == ("blend", [f"{a}:0.7", f"{b}:0.3"], None, None)
    finally:
        cur.execute(f"DROP ADAPTER {blend}")


def test_mixed_sets(cur, model, adapter):
    """Ten sets of adapters, row by row in one statement: each row is as the reference says of its own set."""
    model_name, arch, w, _ = model
    made = [adapter(400 + i, modules) for i, modules in enumerate((["self_attn.v_proj"], ["self_attn.k_proj", "mlp.up_proj"], [*lora.SHAPES]))]
    sets = [[], [(0, 1)], [(1, 1)], [(2, 1)], [(0, 0.5)], [(0, -1)], [(0, 0.7), (1, 0.3)], [(1, 0.3), (2, 0.7)], [(2, 0.25)], [(0, 1), (1, 1), (2, 1)]]
    named = [[f"{made[i][0]}:{scale}" for i, scale in s] for s in sets]
    cur.execute("CREATE OR REPLACE TABLE sets AS SELECT * FROM (VALUES " + ", ".join(f"({i}, {n}::VARCHAR[])" for i, n in enumerate(named)) + ") t(id, adapters)")
    cur.execute("CREATE OR REPLACE TABLE texts AS SELECT * FROM (VALUES " + ", ".join(f"({i}, '{p}', '{c}')" for i, (p, c) in enumerate(TEXTS)) + ") t(id, p, c)")
    cur.execute(f"""SELECT s.id, t.id, logprob('{model_name}', p, c, raw := true, adapter := adapters), tokenize('{model_name}', p), tokenize('{model_name}', c)
        FROM texts t, sets s ORDER BY t.id, s.id""")
    rows = cur.fetchall()
    cur.execute("DROP TABLE sets")
    cur.execute("DROP TABLE texts")
    assert len(rows) == len(sets) * len(TEXTS)
    off = []
    for s, _, have, prompt, continuation in rows:
        want = lora.logprob(arch, lora.merged(w, *((made[i][1], scale) for i, scale in sets[s])), prompt, continuation)
        off.append(abs(have - want))
    assert max(off) < TOLERANCE
    of = [np.array([have for i, _, have, *_ in rows if i == s]) for s in range(len(sets))]
    apart = [np.abs(x - y).max() for i, x in enumerate(of) for y in of[:i]]
    assert min(apart) > 5 * TOLERANCE  # rows with another's set would show


def test_ab(cur, model, adapter):
    """All adapters of a model over a table, in one statement."""
    model_name = model[0]
    names = [adapter(500 + i, ["mlp.down_proj"])[0] for i in range(3)]
    cur.execute(f"""SELECT a.name, avg(logprob('{model_name}', e.prompt, e.answer, adapter := a.name))
        FROM ai.adapters a, (VALUES ('the people', ' of this'), ('one', ' more time')) e(prompt, answer) WHERE a.model = '{model_name}' GROUP BY 1 ORDER BY 1""")
    rows = cur.fetchall()
    assert [r[0] for r in rows] == names and len({r[1] for r in rows}) == 3
