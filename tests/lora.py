"""Small random models and PEFT adapters for them, and what a model with an adapter must say, in numpy.

The reference knows the Hugging Face layout only: queries and keys whose rotated numbers are half a head apart, and
W + factor * B @ A. The GGUF model is made of the same weights in llama.cpp's layout.
"""

import json
import struct
import sys
from pathlib import Path

import gguf
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "testdata"))
import tiny  # noqa: E402

# What is special about each architecture that takes adapters.
BIASES = ("qwen2",)  # of queries, keys and values
HEAD_NORMS = ("qwen3", "gemma3")  # of queries and keys
GEMMAS = ("gemma", "gemma2", "gemma3")  # scaled embeddings that are the output as well, GELU
POST_NORMS = ("gemma2", "gemma3")  # behind attention and feed-forward too
WINDOWS = {"gemma2": (0,), "gemma3": (0, 1)}  # layers that see WINDOW tokens only: every other one, or five of six
WINDOW, SOFTCAP, FINAL_SOFTCAP = 8, 50.0, 30.0  # caps: gemma2's
ARCHITECTURES = ("llama", "qwen2", "qwen3", *GEMMAS)

EMBED, LAYERS, HEADS, KV_HEADS, HEAD, FFN, VOCAB, EPS, BASE = 64, 2, 4, 2, 16, 160, tiny.VOCAB, 1e-5, 10000.0
SHAPES = {  # out, in
    "self_attn.q_proj": (HEADS * HEAD, EMBED), "self_attn.k_proj": (KV_HEADS * HEAD, EMBED), "self_attn.v_proj": (KV_HEADS * HEAD, EMBED),
    "self_attn.o_proj": (EMBED, HEADS * HEAD), "mlp.gate_proj": (FFN, EMBED), "mlp.up_proj": (FFN, EMBED), "mlp.down_proj": (EMBED, FFN),
}
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}


def weights(seed, arch="llama"):
    """A model's weights by their Hugging Face names; norms are not all ones, gemmas' with the one that they add."""
    rng = np.random.default_rng(seed)

    def normal(out, inner, gain=1.0):
        return (rng.standard_normal((out, inner)) * gain / np.sqrt(inner)).astype(np.float32)

    def norm(n):
        return (1 + rng.standard_normal(n) / 8).astype(np.float32)

    w = {"embed_tokens": normal(VOCAB, EMBED, 1.0 if arch in GEMMAS else 8.0), "norm": norm(EMBED)}
    w["lm_head"] = w["embed_tokens"] if arch in GEMMAS else normal(VOCAB, EMBED)
    for i in range(LAYERS):
        for module, (out, inner) in SHAPES.items():
            w[f"layers.{i}.{module}"] = normal(out, inner)
        w[f"layers.{i}.input_layernorm"], w[f"layers.{i}.post_attention_layernorm"] = norm(EMBED), norm(EMBED)
        w[f"layers.{i}.q_norm"], w[f"layers.{i}.k_norm"] = norm(HEAD), norm(HEAD)
        w[f"layers.{i}.post_self_attention_norm"], w[f"layers.{i}.post_feedforward_layernorm"] = norm(EMBED), norm(EMBED)
        for m in "qkv":
            w[f"layers.{i}.self_attn.{m}_proj.bias"] = norm(SHAPES[f"self_attn.{m}_proj"][0]) - 1
    return w


def write_model(path, arch, w):
    """The model as float32 GGUF. A llama's queries and keys are reordered, the others' rows are as they are."""
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type("model")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(512)
    writer.add_embedding_length(EMBED)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_layer_norm_rms_eps(EPS)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(BASE)
    writer.add_vocab_size(VOCAB)
    if arch in WINDOWS:
        writer.add_sliding_window(WINDOW)
    if arch == "gemma2":
        writer.add_attn_logit_softcapping(SOFTCAP)
        writer.add_final_logit_softcapping(FINAL_SOFTCAP)
    texts, scores, types = tiny.vocabulary()
    writer.add_tokenizer_model("llama")
    writer.add_token_list(texts)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)  # a text has the same tokens wherever it stands

    def pairs(rows, heads):  # llama.cpp turns neighbours
        return rows.reshape(heads, 2, HEAD // 2, -1).swapaxes(1, 2).reshape(rows.shape)

    writer.add_tensor("token_embd.weight", w["embed_tokens"])
    writer.add_tensor("output_norm.weight", w["norm"])
    if arch not in GEMMAS:
        writer.add_tensor("output.weight", w["lm_head"])
    for i in range(LAYERS):
        b, h = f"blk.{i}.", f"layers.{i}."
        writer.add_tensor(b + "attn_norm.weight", w[h + "input_layernorm"])
        writer.add_tensor(b + "ffn_norm.weight", w[h + "post_attention_layernorm"])
        if arch in POST_NORMS:
            writer.add_tensor(b + "post_attention_norm.weight", w[h + "post_self_attention_norm"])
            writer.add_tensor(b + "post_ffw_norm.weight", w[h + "post_feedforward_layernorm"])
        if arch in BIASES:
            for m in "qkv":
                writer.add_tensor(b + f"attn_{m}.bias", w[h + f"self_attn.{m}_proj.bias"])
        if arch in HEAD_NORMS:
            writer.add_tensor(b + "attn_q_norm.weight", w[h + "q_norm"])
            writer.add_tensor(b + "attn_k_norm.weight", w[h + "k_norm"])
        for module, name in NAMES.items():
            rows = w[h + module]
            if arch == "llama" and name in ("attn_q", "attn_k"):
                rows = np.ascontiguousarray(pairs(rows, HEADS if name == "attn_q" else KV_HEADS))
            writer.add_tensor(b + name + ".weight", rows)
    tiny.write(writer)


def factor(config, module):
    """Rank and factor of a module, as PEFT has them."""
    rank = next((v for k, v in config["rank_pattern"].items() if module.endswith(k)), config["r"])
    alpha = next((v for k, v in config["alpha_pattern"].items() if module.endswith(k)), config["lora_alpha"])
    return rank, alpha / np.sqrt(rank) if config["use_rslora"] else alpha / rank


def make_adapter(directory, seed, modules, dtype="F32", **changes):
    """Saves an adapter for modules ("self_attn.q_proj", "lm_head") and returns what it adds to the weights, by name."""
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "bias": "none", "use_rslora": False, "use_dora": False,
              "modules_to_save": None, "rank_pattern": {}, "alpha_pattern": {}, "target_modules": [m.split(".")[-1] for m in modules]} | changes
    rng, added, tensors = np.random.default_rng(seed), {}, {}
    for module in modules:
        layers = [module] if module == "lm_head" else [f"layers.{i}.{module}" for i in range(LAYERS)]
        out, inner = (VOCAB, EMBED) if module == "lm_head" else SHAPES[module]
        for name in layers:
            rank, scale = factor(config, name)
            a = stored(rng.standard_normal((rank, inner)) / np.sqrt(inner), dtype)
            b = stored(rng.standard_normal((out, rank)) / np.sqrt(rank) / scale, dtype)
            full = "base_model.model." + (name if module == "lm_head" else "model." + name)
            tensors[full + ".lora_A.weight"], tensors[full + ".lora_B.weight"] = a, b
            added[name] = scale * (b.astype(np.float64) @ a.astype(np.float64))
    directory.mkdir()
    (directory / "adapter_config.json").write_text(json.dumps(config))
    (directory / "adapter_model.safetensors").write_bytes(safetensors(tensors, dtype))
    return added


def stored(x, dtype):
    """The float32 numbers that a type can hold."""
    x = x.astype(np.float32)
    if dtype == "F16":
        return x.astype(np.float16).astype(np.float32)
    if dtype == "BF16":
        return (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    return x


def safetensors(tensors, dtype):
    head, data = {}, b""
    for name, x in tensors.items():
        raw = {"F32": lambda: x, "F16": lambda: x.astype(np.float16), "BF16": lambda: (x.view(np.uint32) >> 16).astype(np.uint16)}[dtype]().tobytes()
        head[name] = {"dtype": dtype, "shape": x.shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data


def logprobs(arch, w, tokens):
    """The logarithms of all next tokens' probabilities after each of tokens: (tokens, VOCAB)."""
    w = {k: v.astype(np.float64) for k, v in w.items()}
    n = len(tokens)
    angles = np.arange(n)[:, None] / BASE ** (2 * np.arange(HEAD // 2) / HEAD)
    cos, sin = (np.concatenate([f(angles)] * 2, -1)[:, None, :] for f in (np.cos, np.sin))

    def norm(x, g):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * g

    def rotate(x):
        return x * cos + np.concatenate([-x[..., HEAD // 2:], x[..., :HEAD // 2]], -1) * sin

    def capped(x, cap):
        return cap * np.tanh(x / cap) if arch == "gemma2" else x

    def activation(x):
        if arch in GEMMAS:
            return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2
        return x / (1 + np.exp(-x))

    x = w["embed_tokens"][tokens] * (np.sqrt(EMBED) if arch in GEMMAS else 1)
    ago = np.arange(n)[:, None] - np.arange(n)
    for i in range(LAYERS):
        p = f"layers.{i}."
        h = norm(x, w[p + "input_layernorm"])
        q, k, v = (h @ w[p + f"self_attn.{m}_proj"].T + (w[p + f"self_attn.{m}_proj.bias"] if arch in BIASES else 0) for m in "qkv")
        q, k, v = (t.reshape(n, -1, HEAD) for t in (q, k, v))
        if arch in HEAD_NORMS:
            q, k = norm(q, w[p + "q_norm"]), norm(k, w[p + "k_norm"])
        q, k = rotate(q), rotate(k)
        k, v = (np.repeat(t.astype(np.float16).astype(np.float64), HEADS // KV_HEADS, 1) for t in (k, v))  # as they are kept
        scores = capped(np.einsum("thd,shd->hts", q, k) / np.sqrt(HEAD), SOFTCAP)
        seen = (ago >= 0) & (ago < (WINDOW if i in WINDOWS.get(arch, ()) else n))
        scores = np.where(seen, scores, -np.inf)
        share = np.exp(scores - scores.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        out = np.einsum("hts,shd->thd", share, v).reshape(n, -1) @ w[p + "self_attn.o_proj"].T
        x = x + (norm(out, w[p + "post_self_attention_norm"]) if arch in POST_NORMS else out)
        h = norm(x, w[p + "post_attention_layernorm"])
        out = (activation(h @ w[p + "mlp.gate_proj"].T) * (h @ w[p + "mlp.up_proj"].T)) @ w[p + "mlp.down_proj"].T
        x = x + (norm(out, w[p + "post_feedforward_layernorm"]) if arch in POST_NORMS else out)
    logits = capped(norm(x, w["norm"]) @ w["lm_head"].T, FINAL_SOFTCAP)
    top = logits.max(-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))


def logprob(arch, w, prompt, continuation):
    """The sum over continuation's tokens, after a beginning token and prompt's."""
    tokens = [1, *prompt, *continuation]
    each = logprobs(arch, w, tokens[:-1])
    return sum(each[len(prompt) + i, t] for i, t in enumerate(continuation))


def merged(w, *parts):
    """Weights with what adapters add: parts of (added, scale)."""
    out = dict(w)
    for added, scale in parts:
        for name, delta in added.items():
            out[name] = out[name] + scale * delta
    return out
