"""SafeTensors directories, imported by the built binary, against numpy's reading of the same files."""

import json
import sys

import numpy as np
import pytest

import reference
from serving import ROOT

sys.path.insert(0, str(ROOT / "testdata"))
import directories  # noqa: E402

MINILM = ROOT / ".deps" / "models" / "all-MiniLM-L6-v2"
TEXTS = [
    "", "x", "Hello world", "The cat sat on the mat and purred.", "What's the QUICKEST way (by rail) to Zürich?!",
    "Größe, façade, naïve café; ÀÉÎÕÜ", "中文和日本語 mixed with English", "emoji 🙂 and → arrows — dashes…", "  spaces\t and\nlines  ",
    "3.14159 is about 22/7, not $1,000,000", "supercalifragilisticexpialidocious antidisestablishmentarianism", "Привет, мир! Ελληνικά κείμενα",
    "[CLS] is only text here, and so is [SEP]", "The central bank raised interest rates by half a percent. " * 30,
]
PROMPTS = ["hello", "the cat sat on the mat", "Red and blue: 12345 it's\n\nnaïve café", " ".join(directories.WORDS * 10)]


def rows(cli, sql):
    return json.loads(cli("sql", "--format", "json", sql).stdout)


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


@pytest.fixture(scope="module")
def minilm():
    if not (MINILM / "model.safetensors").exists():
        pytest.fail(f"{MINILM} is not there: run `make test-deps`", pytrace=False)
    config, tokenizer = (json.loads((MINILM / f).read_text()) for f in ("config.json", "tokenizer.json"))
    weights = reference.load(MINILM / "model.safetensors")
    return lambda text: reference.encoder(config, weights, reference.word_piece(tokenizer, text)[:512])


def embeddings(cli, model):
    values = ", ".join(f"({i}, {quoted(t)})" for i, t in enumerate(TEXTS))
    found = rows(cli, f"SELECT embed('{model}', t) AS v FROM (VALUES {values}) AS x(i, t) ORDER BY i")
    return [np.array(r["v"]) for r in found]


def test_an_encoder_embeds_as_the_reference_does(embedded, minilm):
    embedded("model", "load", MINILM, "--name", "minilm")
    embedded("model", "load", MINILM, "--name", "small", "--with", "quantize=Q8_0")
    want = [minilm(t) for t in TEXTS]
    exact = [v @ w for v, w in zip(embeddings(embedded, "minilm"), want, strict=True)]
    small = [v @ w for v, w in zip(embeddings(embedded, "small"), want, strict=True)]
    print("cosines:", *(f"{c:.6f}" for c in exact), "\nin Q8_0:", *(f"{c:.6f}" for c in small))
    assert min(exact) > 0.9999
    assert min(small) > 0.99
    assert abs(want[3] @ want[4]) < 0.9  # the texts' vectors differ: agreement means something
    assert rows(embedded, "SELECT quantisation AS q FROM ai.models ORDER BY name") == [{"q": "F32"}, {"q": "Q8_0"}]


@pytest.mark.parametrize("kind", directories.KINDS)
def test_a_decoder_agrees_with_the_reference(embedded, tmp_path, kind):
    config, tokenizer, weights = directories.write(tmp_path / kind, kind)
    letters, family = directories.byte_letters(), config["model_type"]
    assert sum(f.stat().st_size for f in (tmp_path / kind).iterdir()) < 1_000_000
    embedded("model", "load", tmp_path / kind, "--name", "m")
    begin = [len(tokenizer["model"]["vocab"])] if family == "llama" else []
    words = [" " + w for w in directories.WORDS] + list("abc.7")
    worst = 0.0
    for prompt in PROMPTS:
        tokens = reference.byte_bpe(tokenizer, family, letters, prompt)
        values = ", ".join(f"({i}, {quoted(w)})" for i, w in enumerate(words))
        found = rows(embedded, f"""SELECT tokenize('m', {quoted(prompt)}) AS t, tokenize('m', w) AS one, logprob('m', {quoted(prompt)}, w, raw := true) AS p
            FROM (VALUES {values}) AS x(i, w) ORDER BY i""")
        assert found[0]["t"] == tokens
        logprobs = reference.decoder(config, weights, begin + tokens)
        for r in found:
            assert len(r["one"]) == 1
            worst = max(worst, abs(r["p"] - logprobs[r["one"][0]]))
        assert np.ptp(logprobs) > 8  # far from uniform: agreement means something
    print(f"{kind}: log probabilities differ by {worst:.5f} at most")
    # Keys and values are kept in 16 bits; with weights in BF16, the kernels round what is multiplied with them to 8 bits as well.
    assert worst < (0.1 if directories.KINDS[kind].get("dtype") == "BF16" else 0.03)


def test_what_cannot_be_imported_leaves_nothing(embedded, tmp_path):
    good, spoilt = tmp_path / "good", tmp_path / "spoilt"
    directories.write(good, "qwen3")
    directories.write(spoilt, "qwen3")
    shard = spoilt / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x02")
    for path, options, code, part in (
        (spoilt, "", "INVALID_MODEL_FILE", "truncated"),
        (pickled, "", "UNSUPPORTED", "runs whatever code is in it"),
        (good, "WITH (quantize = 'Q9')", "INVALID_ARGUMENT", "Q4_K_M"),
        (good, "WITH (quantize = 8)", "INVALID_ARGUMENT", "a string in single quotes"),
        (ROOT / ".deps" / "models" / "gemma-3-270m-q4_k_m.gguf", "WITH (quantize = 'Q8_0')", "INVALID_ARGUMENT", "quantised already"),
    ):
        failed = embedded("sql", f"CREATE MODEL m FROM {quoted(str(path))} {options}", check=False)
        assert failed.returncode != 0 and code in failed.stderr and part in failed.stderr, failed.stderr
    stored = lambda: [f for f in (embedded.data / "blobs").iterdir() if f.is_file()]  # downloads have a directory there
    assert stored() == []
    embedded("sql", f"CREATE MODEL m FROM {quoted(str(good))} WITH (quantize = 'f16')")
    assert rows(embedded, "SELECT quantisation AS q, architecture AS a FROM ai.models") == [{"q": "F16", "a": "qwen3"}]
    blob, = stored()
    assert blob.stat().st_mode & 0o077 == 0
    again = embedded("model", "load", good, "--name", "m")
    assert "imported before" in again.stdout
