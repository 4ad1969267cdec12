"""Writes tiny random models as Hugging Face keeps them: config.json, SafeTensors, tokenizer.json; under 1 MB each.

    python testdata/directories.py OUTPUT_DIRECTORY

Tests call write(); a fixed seed makes the same bytes each time. The SafeTensors files are written here by hand, so that
tests need no other package, and say what the format is: the length of a JSON object, the object, the tensors' bytes.
"""

import json
import sys
from pathlib import Path

import numpy as np

SEED = 20261126
WIDTH, FFN, LAYERS, HEADS, KV_HEADS, CONTEXT = 64, 96, 2, 4, 2, 256
WORDS = ["the", "cat", "sat", "on", "mat", "hello", "world", "red", "blue", "and"]
SPECIAL = ["<|begin|>", "<|end|>", "<|im_start|>", "<|im_end|>"]
SPLIT = {  # pre-tokenizers by llama.cpp's names
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}


def byte_letters():
    """Returns the letter that byte-level BPE writes for each byte: itself where it can be seen, else one from 256 on."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters, extra = {}, 0
    for b in range(256):
        letters[b] = chr(b) if b in seen else chr(256 + extra)
        extra += b not in seen
    return letters


def byte_bpe(pre, begin):
    """Returns tokenizer.json's content: 256 bytes, words joined letter by letter, special tokens behind them."""
    vocab = {letter: i for i, letter in enumerate(byte_letters().values())}
    merges = []
    for word in ["Ġ" + w for w in WORDS] + WORDS:
        for end in range(2, len(word) + 1):
            if word[:end] not in vocab:
                vocab[word[:end]] = len(vocab)
                merges.append([word[: end - 1], word[end - 1]])
    added = [{"id": len(vocab) + i, "content": t, "special": True} for i, t in enumerate(SPECIAL)]
    begins = [{"SpecialToken": {"id": SPECIAL[0], "type_id": 0}}] if begin else []
    return {
        "version": "1.0", "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": SPLIT[pre]}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
        "post_processor": {"type": "TemplateProcessing", "single": [*begins, {"Sequence": {"id": "A", "type_id": 0}}]},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": merges, "byte_fallback": False},
    }


def bfloat16(x):
    """Returns float32 values rounded to bfloat16, as uint16."""
    bits = x.astype("<f4").view("<u4").astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def rounded(x, dtype):
    """Returns values as a type of SafeTensors holds them."""
    if dtype == "BF16":
        return (bfloat16(x).astype("<u4") << 16).view("<f4")
    return x.astype(np.float16).astype(np.float32) if dtype == "F16" else x


def save(path, tensors, dtype="F32"):
    """Writes name -> float32 array as one SafeTensors file."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, x in tensors.items():
        raw = {"F32": lambda x: x.astype("<f4"), "F16": lambda x: x.astype("<f2"), "BF16": bfloat16}[dtype](x).tobytes()
        header[name] = {"dtype": dtype, "shape": list(x.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def decoder_weights(config, rng):
    """Returns name -> float32 array for a Llama or Qwen3 configuration."""
    dim, kv = config["head_dim"], config["num_key_value_heads"]
    qwen = config["model_type"] == "qwen3"

    def normal(*shape, gain=1.0):
        return (rng.standard_normal(shape) * gain / np.sqrt(shape[-1])).astype(np.float32)

    def near_one(n):
        return (1 + rng.standard_normal(n) / 8).astype(np.float32)

    out = {"model.embed_tokens.weight": normal(config["vocab_size"], WIDTH, gain=2.0)}
    for i in range(LAYERS):
        p = f"model.layers.{i}."
        out[p + "input_layernorm.weight"] = near_one(WIDTH)
        for name, heads in (("q_proj", HEADS), ("k_proj", kv), ("v_proj", kv)):
            out[p + f"self_attn.{name}.weight"] = normal(heads * dim, WIDTH, gain=2.0)
            if config.get("attention_bias"):
                out[p + f"self_attn.{name}.bias"] = (rng.standard_normal(heads * dim) / 4).astype(np.float32)
        if qwen:
            out[p + "self_attn.q_norm.weight"], out[p + "self_attn.k_norm.weight"] = near_one(dim), near_one(dim)
        out[p + "self_attn.o_proj.weight"] = normal(WIDTH, HEADS * dim, gain=2.0)
        if config.get("attention_bias"):
            out[p + "self_attn.o_proj.bias"] = (rng.standard_normal(WIDTH) / 4).astype(np.float32)
        out[p + "post_attention_layernorm.weight"] = near_one(WIDTH)
        out[p + "mlp.gate_proj.weight"] = normal(FFN, WIDTH, gain=1.5)
        out[p + "mlp.up_proj.weight"] = normal(FFN, WIDTH, gain=1.5)
        out[p + "mlp.down_proj.weight"] = normal(WIDTH, FFN, gain=2.0)
    out["model.norm.weight"] = near_one(WIDTH)
    if not config["tie_word_embeddings"]:
        out["lm_head.weight"] = normal(config["vocab_size"], WIDTH, gain=3.0)
    return out


LLAMA3_ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}

# name -> what differs: tied embeddings, one head of keys for two of queries or one each, types, files
KINDS = {
    "llama": {"model_type": "llama"},
    "llama-tied": {"model_type": "llama", "tie_word_embeddings": True, "dtype": "BF16"},
    "llama-bias": {"model_type": "llama", "attention_bias": True, "num_key_value_heads": HEADS, "dtype": "F16"},
    "llama3-rope": {"model_type": "llama", "rope_scaling": LLAMA3_ROPE, "shards": 3},
    "qwen3": {"model_type": "qwen3", "head_dim": 32, "shards": 2},
    "qwen3-tied": {"model_type": "qwen3", "tie_word_embeddings": True, "dtype": "BF16"},
}


def write(directory, kind):
    """Writes the model of a name of KINDS; returns its configuration, tokenizer and weights as they are in the files."""
    directory.mkdir(parents=True, exist_ok=True)
    options = dict(KINDS[kind])
    dtype, shards = options.pop("dtype", "F32"), options.pop("shards", 1)
    qwen = options["model_type"] == "qwen3"
    tokenizer = byte_bpe("qwen2" if qwen else "llama-bpe", begin=not qwen)
    config = {
        "architectures": ["Qwen3ForCausalLM" if qwen else "LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": WIDTH,
        "intermediate_size": FFN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "head_dim": WIDTH // HEADS, "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "vocab_size": len(tokenizer["model"]["vocab"]) + len(SPECIAL) + 5, **options,
    }
    tensors = decoder_weights(config, np.random.default_rng([SEED, *kind.encode()]))
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    (directory / "tokenizer_config.json").write_text(json.dumps(
        {"eos_token": {"content": SPECIAL[1]}, **({} if qwen else {"bos_token": SPECIAL[0]})}))
    names = list(tensors)
    if shards == 1:
        save(directory / "model.safetensors", tensors, dtype)
    else:
        files = {n: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, n in enumerate(names)}
        for file in set(files.values()):
            save(directory / file, {n: tensors[n] for n in names if files[n] == file}, dtype)
        (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    return config, tokenizer, {n: rounded(x, dtype) for n, x in tensors.items()}


if __name__ == "__main__":
    for kind in KINDS:
        write(Path(sys.argv[1]) / kind, kind)
