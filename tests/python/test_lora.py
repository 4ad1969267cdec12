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


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def model(request, spaced_model, server):
    """A random model by its architecture's name, with its weights and a folder that the server may read."""
    arch = request.param
    w, folder = lora.weights(7), spaced_model.parent
    lora.write_model(folder / f"{arch}.gguf", arch, w)
    server("sql", f"CREATE MODEL {arch} FROM '{folder}/{arch}.gguf' WITH (slots = 4, threads = 1, context_length = 256)")
    yield arch, w, folder
    server("sql", f"DROP MODEL {arch}")


@pytest.fixture
def ask(cur, model):
    """Log probabilities of TEXTS' continuations by the server, with the option adapter, and by the reference."""
    arch, w, _ = model
    tokens = []
    for pair in TEXTS:
        cur.execute(f"SELECT tokenize('{arch}', ?), tokenize('{arch}', ?)", pair)
        tokens.append(cur.fetchone())

    def both(adapter, *parts):
        option = f", adapter := {adapter}" if adapter else ""
        have = []
        for p, c in TEXTS:
            cur.execute(f"SELECT logprob('{arch}', ?, ?, raw := true{option})", (p, c))
            have.append(cur.fetchone()[0])
        return np.array(have), np.array([lora.logprob(arch, lora.merged(w, *parts), *t) for t in tokens])

    return both


@pytest.fixture
def adapter(cur, model):
    """Makes adapters of the model, dropped after the test."""
    arch, _, folder = model
    made = []

    def make(seed, modules, **changes):
        name = f"{arch}_{len(made)}"
        directory = folder / f"{name}-{seed}"
        added = lora.make_adapter(directory, seed, modules, **changes)
        cur.execute(f"CREATE OR REPLACE ADAPTER {name} FOR MODEL {arch} FROM '{directory}'")
        made.append(name)
        return name, added

    yield make
    for name in made:
        cur.execute(f"DROP ADAPTER IF EXISTS {name}")


def test_model(ask):
    have, want = ask("")
    assert np.abs(have - want).max() < TOLERANCE


@pytest.mark.parametrize("case", CASES)
def test_target(case, ask, adapter, record_property):
    modules, changes = CASES[case]
    name, added = adapter(100 + list(CASES).index(case), modules, **changes)
    have, want = ask(f"'{name}'", (added, 1))
    plain, _ = ask("")
    off, effect = np.abs(have - want).max(), np.abs(have - plain).max()
    record_property("off", off)
    print(f"{name} {case}: off by {off:.5f} at most, effect {effect:.2f}")
    assert off < TOLERANCE
    assert effect > 10 * TOLERANCE
