"""What SafeTensors models compute, in numpy and plain Python: written from the models' definitions, for comparison."""

import json
import re
import unicodedata

import numpy as np


def load(path):
    """Returns name -> float32 array of an F32 SafeTensors file."""
    raw = path.read_bytes()
    n = int.from_bytes(raw[:8], "little")
    header, data = json.loads(raw[8 : 8 + n]), raw[8 + n :]
    header.pop("__metadata__", None)
    return {k: np.frombuffer(data[slice(*v["data_offsets"])], "<f4").reshape(v["shape"]) for k, v in header.items() if v["dtype"] == "F32"}


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# --- Decoders ---


def rms_norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def frequencies(config):
    """Returns the angle by which each pair of dimensions turns per position."""
    dim = config["head_dim"]
    freq = config["rope_theta"] ** (-np.arange(0, dim, 2, dtype=np.float64) / dim)
    scaling = config.get("rope_scaling")
    if scaling:  # Llama 3.1: slow ones are slowed by the factor, fast ones kept, between them a blend
        turns = scaling["original_max_position_embeddings"] * freq / (2 * np.pi)
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        blend = np.clip((turns - low) / (high - low), 0, 1)
        freq = freq * (1 - blend) / scaling["factor"] + freq * blend
    return freq


def rotate(x, freq):
    """Turns [tokens, heads, dim] by position; the two of a pair lie half a head apart."""
    angle = np.arange(len(x))[:, None] * freq[None]
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    a, b = np.split(x, 2, -1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def decoder(config, w, tokens):
    """Returns the log probabilities of what follows the last token, [vocab]."""
    heads, kv, dim, eps = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"], config["rms_norm_eps"]
    freq = frequencies(config)
    x = w["model.embed_tokens.weight"][tokens].astype(np.float64)
    n = len(tokens)
    mask = np.triu(np.full((n, n), -np.inf), 1)
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."

        def linear(name, y, p=p):
            return y @ w[p + name + ".weight"].T + w.get(p + name + ".bias", 0)

        h = rms_norm(x, w[p + "input_layernorm.weight"], eps)
        q = linear("self_attn.q_proj", h).reshape(n, heads, dim)
        k = linear("self_attn.k_proj", h).reshape(n, kv, dim)
        v = linear("self_attn.v_proj", h).reshape(n, kv, dim)
        if config["model_type"] == "qwen3":
            q, k = rms_norm(q, w[p + "self_attn.q_norm.weight"], eps), rms_norm(k, w[p + "self_attn.k_norm.weight"], eps)
        q, k = rotate(q, freq), rotate(k, freq)
        k, v = np.repeat(k, heads // kv, 1), np.repeat(v, heads // kv, 1)
        scores = softmax(np.einsum("qhd,khd->hqk", q, k) / np.sqrt(dim) + mask)
        x = x + linear("self_attn.o_proj", np.einsum("hqk,khd->qhd", scores, v).reshape(n, -1))
        h = rms_norm(x, w[p + "post_attention_layernorm.weight"], eps)
        gate = linear("mlp.gate_proj", h)
        x = x + linear("mlp.down_proj", gate / (1 + np.exp(-gate)) * linear("mlp.up_proj", h))
    x = rms_norm(x[-1], w["model.norm.weight"], eps)
    return np.log(softmax(w.get("lm_head.weight", w["model.embed_tokens.weight"]) @ x))


CUTS = {  # the pre-tokenizers' expressions, for ASCII letters with accents and digits
    n: re.compile(r"(?:'s|'t|'re|'ve|'m|'ll|'d)|(?:(?![\r\n])[\W_])?[^\W\d_]+|" + digits +
                  r"| ?(?:(?!\s)[\W_])+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+", re.IGNORECASE)
    for n, digits in (("qwen3", r"\d"), ("llama", r"\d{1,3}"))
}


def byte_bpe(tokenizer, model_type, letters, text):
    """Returns a text's tokens: cut, written as letters for bytes, joined by the earliest merge there is."""
    vocab = tokenizer["model"]["vocab"]
    rank = {tuple(m): i for i, m in enumerate(tokenizer["model"]["merges"])}
    out = []
    for word in CUTS[model_type].findall(text):
        parts = [letters[b] for b in word.encode()]
        while True:
            pairs = [(rank[p], i) for i, p in enumerate(zip(parts, parts[1:])) if p in rank]
            if not pairs:
                break
            i = min(pairs)[1]
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        out += [vocab[p] for p in parts]
    return out


# --- Encoders ---


def word_piece(tokenizer, text):
    """Returns a text's tokens as BERT's uncased tokenizer makes them, with [CLS] and [SEP]."""
    vocab = tokenizer["model"]["vocab"]
    clean = ""
    for c in unicodedata.normalize("NFD", text.lower()):
        category = unicodedata.category(c)
        if c in "\t\n\r" or category == "Zs":
            clean += " "
        elif category == "Mn" or category.startswith("C") or c == "\ufffd":
            continue
        elif category.startswith("P") or c in "$+<=>^`|~" or 0x4E00 <= ord(c) <= 0x9FFF:
            clean += f" {c} "
        else:
            clean += c
    out = [vocab["[CLS]"]]
    for word in clean.split():
        pieces, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in vocab:
                    pieces.append(vocab[piece])
                    break
            else:
                pieces = [vocab["[UNK]"]]
                break
            start = end
        out += pieces
    return [*out, vocab["[SEP]"]]


def erf(x):
    """Returns the error function by Abramowitz and Stegun's 7.1.26, right to 1.5e-7."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.sign(x) * (1 - poly * np.exp(-x * x))


def encoder(config, w, tokens):
    """Returns the mean of BERT's last hidden states, of length 1."""
    eps, heads, n = config["layer_norm_eps"], config["num_attention_heads"], len(tokens)

    def norm(x, name):
        c = x - x.mean(-1, keepdims=True)
        return c / np.sqrt((c * c).mean(-1, keepdims=True) + eps) * w[name + ".weight"] + w[name + ".bias"]

    def linear(x, name):
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    e = "embeddings."
    x = w[e + "word_embeddings.weight"][tokens].astype(np.float64) + w[e + "position_embeddings.weight"][:n] + w[e + "token_type_embeddings.weight"][0]
    x = norm(x, e + "LayerNorm")
    for i in range(config["num_hidden_layers"]):
        p = f"encoder.layer.{i}."
        q, k, v = (linear(x, p + f"attention.self.{part}").reshape(n, heads, -1) for part in ("query", "key", "value"))
        scores = softmax(np.einsum("qhd,khd->hqk", q, k) / np.sqrt(q.shape[-1]))
        x = norm(x + linear(np.einsum("hqk,khd->qhd", scores, v).reshape(n, -1), p + "attention.output.dense"), p + "attention.output.LayerNorm")
        h = linear(x, p + "intermediate.dense")
        x = norm(x + linear(h * (1 + erf(h / np.sqrt(2))) / 2, p + "output.dense"), p + "output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)
