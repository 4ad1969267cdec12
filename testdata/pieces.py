"""Trains the small SentencePiece models that the conversion of tokenizer.model is tested with, and notes what they make of texts.

    pip install sentencepiece==0.2.3 && python testdata/pieces.py testdata/pieces

Two BPE models over a fixed text, with one token for each byte: llama.model puts a space before a text, as Llama 2's does;
gemma.model does not, and has user-defined symbols, as Gemma's. expected.json has the ids that SentencePiece itself gives.
Tests read the files and need no SentencePiece. The training is deterministic: the same version writes the same files.
"""

import io
import json
import sys
from pathlib import Path

import sentencepiece

SENTENCES = [
    "the cat sat on the mat and the dog ran after the cat", "hello world, hello there, hello again", "a red house and a blue house near the sea",
    "Größe und Straße, naïve café, déjà vu", "the year 2026 has 365 days and 12 months", "where is the station? it is there, near the house",
    "don't, can't, won't: it's what he's said", "def main(): return 1 + 2  # the answer is 3", "привет мир, привет кот", "一 二 三 中文 中文",
]
TEXTS = [
    "", "a", " ", "  ", "hello world", " hello", "hello ", "the  cat   sat", "\n", "line one\nline two\n\n", "\tdef main():\n\t\treturn 1",
    "Größe café déjà", "привет мир", "中文 一二三", "日本語のテキスト", "🙂 and 👩‍👩‍👧 together", "naïve → arrows — “quotes”", "e\u0301 is not é", "nul\x01 and \x7f", "2026 365 12",
    "<s> is text here, and so is </s>, <unk>, <0x41>", "▁the mark itself", "don't can't", "supercalifragilistic", "HELLO World THE",
    "<|turn|>hello<|sep|>", "the<|turn|> cat", "the <|turn|>cat", "<|turn|><|turn|>",
]


def train(**options):
    out = io.BytesIO()
    settings = dict(model_type="bpe", vocab_size=360, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
                    character_coverage=1.0, num_threads=1, hard_vocab_limit=False, minloglevel=2)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(SENTENCES * 3), model_writer=out, **settings | options)
    return out.getvalue()


MODELS = {
    "llama": {},
    "gemma": {"add_dummy_prefix": False, "user_defined_symbols": ["<|turn|>", "<|sep|>", "\n\n"], "pad_id": 3},
}

if __name__ == "__main__":
    directory, expected = Path(sys.argv[1]), {}
    for name, options in MODELS.items():
        (directory / f"{name}.model").write_bytes(train(**options))
        tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(directory / f"{name}.model"))
        expected[name] = [{"text": t, "ids": tokenizer.encode(t)} for t in TEXTS]
    text = json.dumps(expected, ensure_ascii=True).replace("}, ", "},\n")
    (directory / "expected.json").write_text(text + "\n")
