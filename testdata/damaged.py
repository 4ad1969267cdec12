"""Writes damaged variants of tiny.gguf: what a broken download, a foreign file or an attacker could bring.

    python3 testdata/damaged.py OUTPUT_DIRECTORY

Prints one line per file: its name, a tab, `refuse` or `survive`, a tab, what was done to it.
`refuse` means that the file must be turned down with an error. `survive` means that nothing in it can be told
from a real model without running it: whatever comes out, the server lives. Needs nothing but Python.
"""

import struct
import sys
from pathlib import Path

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
HUGE = 2**60


class Layout:
    """Where things are in a GGUF file: byte offsets by key and by tensor name."""

    def __init__(self, data):
        self.data, self.at = data, 4
        self.version_at = self.at
        self.skip("I")
        self.tensor_count_at = self.at
        tensors = self.skip("Q")
        self.kv_count_at = self.at
        pairs = self.skip("Q")
        self.keys = {}  # key -> offsets of (key length, type, value)
        for _ in range(pairs):
            start = self.at
            key = self.string()
            kind_at = self.at
            kind = self.skip("I")
            self.keys[key] = (start, kind_at, self.at)
            self.value(kind)
        self.tensors = {}  # name -> offsets of (name length, dimension count, dimensions, type, offset)
        self.infos_at = self.at
        for _ in range(tensors):
            start = self.at
            name = self.string()
            count_at = self.at
            dims = self.skip("I")
            dims_at = self.at
            self.at += 8 * dims
            self.tensors[name] = (start, count_at, dims_at, self.at, self.at + 4)
            self.at += 12
        self.infos_end = self.at
        self.weights_at = (self.at + 31) // 32 * 32

    def skip(self, code):
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def string(self):
        length = self.skip("Q")
        text = self.data[self.at : self.at + length]
        self.at += length
        return text.decode("utf-8", "replace")

    def value(self, kind):
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            element, count = self.skip("I"), self.skip("Q")
            for _ in range(count):
                self.value(element)
        else:
            self.skip(SCALARS[kind])


def patched(data, at, code, value):
    out = bytearray(data)
    struct.pack_into("<" + code, out, at, value)
    return bytes(out)


def with_pair(data, layout, key, code, kind, value):
    """Adds one scalar key at the front; the weights stay aligned because the gap before them is made anew."""
    pair = struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I" + code, kind, value)
    first = layout.kv_count_at + 8
    head = data[:first] + pair + data[first : layout.infos_end]
    (count,) = struct.unpack_from("<Q", data, layout.kv_count_at)
    head = patched(head, layout.kv_count_at, "Q", count + 1)
    return head + bytes(-len(head) % 32) + data[layout.weights_at :]


def variants(data):
    """Yields (name, verdict, what, bytes)."""
    at = Layout(data)
    key, tensor = at.keys, at.tensors
    embed, first = tensor["token_embd.weight"], tensor["blk.0.attn_q.weight"]
    tokens = key["tokenizer.ggml.tokens"]

    yield "empty", "refuse", "no byte at all", b""
    yield "three-bytes", "refuse", "ends inside the magic", data[:3]
    yield "magic-only", "refuse", "ends after the magic", data[:4]
    yield "header-half", "refuse", "ends inside the counts", data[:14]
    yield "header-only", "refuse", "ends before the first key", data[: at.kv_count_at + 8]
    yield "cut-in-tokens", "refuse", "ends inside the token list", data[: tokens[2] + 1000]
    yield "cut-in-tensor-list", "refuse", "ends inside the list of tensors", data[: at.infos_at + 100]
    yield "cut-before-weights", "refuse", "ends where the weights begin", data[: at.weights_at]
    yield "cut-in-weights", "refuse", "half of the weights are gone", data[: (at.weights_at + len(data)) // 2]
    yield "cut-end", "refuse", "40 bytes short", data[:-40]
    yield "foreign-zip", "refuse", "a zip archive's first bytes, then noise", b"PK\x03\x04" + data[4:]
    yield "foreign-text", "refuse", "a web page saved under this name", b"<!DOCTYPE html><html>404</html>" * 100
    yield "foreign-ggml", "refuse", "the magic of the format before GGUF", b"tjgg" + data[4:]
    yield "version-0", "refuse", "version 0", patched(data, at.version_at, "I", 0)
    yield "version-99", "refuse", "a version of the future", patched(data, at.version_at, "I", 99)
    yield "big-endian", "refuse", "the version in the other byte order", patched(data, at.version_at, "I", 3 << 24)
    yield "tensors-huge", "refuse", "2^60 tensors announced", patched(data, at.tensor_count_at, "Q", HUGE)
    yield "tensors-none", "refuse", "no tensors announced", patched(data, at.tensor_count_at, "Q", 0)
    yield "keys-huge", "refuse", "2^60 keys announced", patched(data, at.kv_count_at, "Q", HUGE)
    yield "keys-few", "refuse", "two keys announced, more follow", patched(data, at.kv_count_at, "Q", 2)
    yield "key-length-huge", "refuse", "a key of 2^60 bytes", patched(data, key["general.name"][0], "Q", HUGE)
    yield "string-length-huge", "refuse", "a string of 2^60 bytes", patched(data, key["general.name"][2], "Q", HUGE)
    yield "string-length-max", "refuse", "a string of 2^64-1 bytes", patched(data, key["general.name"][2], "Q", 2**64 - 1)
    yield "value-type-unknown", "refuse", "a value of type 77", patched(data, key["general.name"][1], "I", 77)
    yield "value-type-wrong", "refuse", "context_length is a float", patched(data, key["llama.context_length"][1], "I", 6)
    yield "array-huge", "refuse", "2^60 tokens announced", patched(data, tokens[2] + 4, "Q", HUGE)
    yield "array-of-arrays", "refuse", "tokens are an array of arrays", patched(data, tokens[2], "I", ARRAY)
    yield "architecture-unknown", "refuse", "architecture 'xlama'", patched(data, key["general.architecture"][2] + 8, "B", ord("x"))
    yield "architecture-not-utf8", "refuse", "architecture is not UTF-8", patched(data, key["general.architecture"][2] + 8, "B", 0xFF)
    yield "alignment-0", "refuse", "alignment 0", with_pair(data, at, "general.alignment", "I", 4, 0)
    yield "alignment-odd", "refuse", "alignment 33", with_pair(data, at, "general.alignment", "I", 4, 33)
    yield "heads-0", "refuse", "no attention heads", patched(data, key["llama.attention.head_count"][2], "I", 0)
    yield "layers-huge", "refuse", "4 billion layers", patched(data, key["llama.block_count"][2], "I", 2**32 - 1)
    yield "layers-3", "refuse", "one layer more than there are weights for", patched(data, key["llama.block_count"][2], "I", 3)
    yield "embedding-0", "refuse", "embedding length 0", patched(data, key["llama.embedding_length"][2], "I", 0)
    yield "embedding-other", "refuse", "embedding length 65", patched(data, key["llama.embedding_length"][2], "I", 65)
    yield "dimensions-9", "refuse", "a tensor of 9 dimensions", patched(data, embed[1], "I", 9)
    yield "dimension-huge", "refuse", "a tensor 2^60 wide", patched(data, embed[2], "Q", HUGE)
    yield "dimension-negative", "refuse", "a tensor -1 wide", patched(data, embed[2], "q", -1)
    yield "dimension-0", "refuse", "a tensor 0 wide", patched(data, embed[2], "Q", 0)
    yield "dimensions-overflow", "refuse", "dimensions whose product overflows", patched(
        patched(data, embed[2], "Q", 2**33), embed[2] + 8, "Q", 2**33)
    yield "tensor-type-unknown", "refuse", "weights of type 999", patched(data, first[3], "I", 999)
    yield "tensor-type-other", "refuse", "16-bit weights said to be 4-bit", patched(data, first[3], "I", 2)
    yield "tensor-offset-beyond", "refuse", "weights beyond the end", patched(data, first[4], "Q", 2**40)
    yield "tensor-offset-odd", "refuse", "weights at an unaligned offset", patched(data, first[4], "Q", 33)
    yield "tensor-name-twice", "refuse", "two tensors of one name", patched(
        data, tensor["blk.1.attn_q.weight"][0] + 8 + 4, "B", ord("0"))
    yield "tensor-name-lost", "refuse", "the embedding has another name", patched(data, embed[0] + 8, "B", ord("x"))
    yield "bos-out-of-range", "survive", "a begin token beyond the vocabulary", patched(
        data, key["tokenizer.ggml.bos_token_id"][2], "I", 2**31 - 1)
    yield "tokenizer-unknown", "refuse", "tokenizer 'xlama'", patched(data, key["tokenizer.ggml.model"][2] + 8, "B", ord("x"))
    yield "context-0", "survive", "context length 0", patched(data, key["llama.context_length"][2], "I", 0)
    yield "context-huge", "survive", "context length 4 billion", patched(data, key["llama.context_length"][2], "I", 2**32 - 1)
    nan = b"\x00\x7e" * ((len(data) - at.weights_at) // 2)
    yield "weights-nan", "survive", "every weight is NaN", data[: at.weights_at] + nan
    flipped = bytearray(data)
    for i in range(at.weights_at, len(data), 97):
        flipped[i] ^= 0x55
    yield "weights-noise", "survive", "flipped bits in the weights", bytes(flipped)
    yield "trailing-noise", "survive", "a page of noise after the end", data + b"\xa5" * 4096


def main():
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    data = (Path(__file__).parent / "tiny.gguf").read_bytes()
    for name, verdict, what, content in variants(data):
        (directory / f"{name}.gguf").write_bytes(content)
        print(f"{name}\t{verdict}\t{what}")


if __name__ == "__main__":
    main()
