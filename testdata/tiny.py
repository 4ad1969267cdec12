"""Writes the tiny models that tests load: random weights, a real tokenizer, under 1 MB each.

    python testdata/tiny.py [OUTPUT_DIRECTORY]      (default: this directory)

tiny.gguf             2 layers of 64, 512 tokens, context 2048, ChatML template
tiny-notemplate.gguf  the same weights without a chat template, as a base model
tiny-lora.gguf        a LoRA adapter of rank 4 for both; it changes greedy output
tiny-bert.gguf        an encoder: 2 layers of 32, a WordPiece vocabulary, 128 tokens, mean pooling

The same bytes come out each time (fixed seed). What makes the models useful in tests:
any text tokenises (256 byte tokens), nothing sampled greedily is a byte, control or end token
(their output rows are zero), so a greedy completion has exactly max_tokens tokens and valid UTF-8,
and the output depends on the prompt.
"""

import sys
from pathlib import Path

import gguf
import numpy as np

SEED = 20240817
EMBED, LAYERS, HEADS, KV_HEADS, FFN, CONTEXT, VOCAB = 64, 2, 4, 2, 160, 2048, 512
RANK, ALPHA = 4, 8.0
ENCODER = {"embed": 32, "heads": 4, "ffn": 64, "context": 128}

TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# Frequent first: a piece's score is its rank, and the tokenizer joins pairs by score.
WORDS = """the of and to in is that it for was on are as with his they at be this from have or by one had not but
what all were when we there can an your which their said if do will each about how up out them then she many some
so these would other into has more her two like him see time could no make than first been its who now people my
made over did down only way find use may water long little very after words called just where most know""".split()
OTHER = list("éüñßøçàèöäåî") + list("中文日本語") + ["😀", "🙂", "→", "“", "”", "—"]


def vocabulary():
    """Returns token texts, scores and types: specials, 256 bytes, ChatML markers, then pieces."""
    texts, scores, types = [], [], []

    def add(text, kind, score=0.0):
        texts.append(text.encode())
        scores.append(score)
        types.append(kind)

    add("<unk>", gguf.TokenType.UNKNOWN)
    add("<s>", gguf.TokenType.CONTROL)
    add("</s>", gguf.TokenType.CONTROL)
    for b in range(256):
        add(f"<0x{b:02X}>", gguf.TokenType.BYTE)
    add("<|im_start|>", gguf.TokenType.CONTROL)
    add("<|im_end|>", gguf.TokenType.CONTROL)

    characters = ["▁"] + [chr(c) for c in range(0x21, 0x7F)] + OTHER
    prefixes = []  # a word is reached only when each join on the way to it is a piece as well
    for word in WORDS:
        for end in range(1, len(word) + 1):
            piece = "▁" + word[:end]
            if piece not in prefixes:
                prefixes.append(piece)
    pieces = prefixes[: VOCAB - len(texts) - len(characters)] + characters
    for rank, piece in enumerate(pieces):
        add(piece, gguf.TokenType.NORMAL, -float(rank))
    assert len(texts) == VOCAB, len(texts)
    return texts, scores, types


def weights():
    """Returns name -> float32 array, shaped (out, in) as GGUF's Python package wants them."""
    rng = np.random.default_rng(SEED)

    def normal(out, inner, gain=1.0):
        return (rng.standard_normal((out, inner)) * gain / np.sqrt(inner)).astype(np.float32)

    kv = EMBED // HEADS * KV_HEADS
    tensors = {"token_embd.weight": normal(VOCAB, EMBED, 8.0)}
    for i in range(LAYERS):
        b = f"blk.{i}."
        tensors[b + "attn_norm.weight"] = np.ones(EMBED, np.float32)
        tensors[b + "attn_q.weight"] = normal(EMBED, EMBED, 2.0)
        tensors[b + "attn_k.weight"] = normal(kv, EMBED, 2.0)
        tensors[b + "attn_v.weight"] = normal(kv, EMBED, 2.0)
        tensors[b + "attn_output.weight"] = normal(EMBED, EMBED, 2.0)
        tensors[b + "ffn_norm.weight"] = np.ones(EMBED, np.float32)
        tensors[b + "ffn_gate.weight"] = normal(FFN, EMBED, 1.5)
        tensors[b + "ffn_up.weight"] = normal(FFN, EMBED, 1.5)
        tensors[b + "ffn_down.weight"] = normal(EMBED, FFN, 2.0)
    tensors["output_norm.weight"] = np.ones(EMBED, np.float32)
    output = normal(VOCAB, EMBED, 3.0)
    output[: 3 + 256 + 2] = 0  # never the greedy choice: unknown, begin, end, bytes, ChatML markers
    tensors["output.weight"] = output
    return tensors


def add_tensors(writer, tensors):
    for name, data in tensors.items():
        # llama.cpp adds biases, positions and token types to float32, and wants them as such.
        full = data.ndim == 1 or name in ("position_embd.weight", "token_types.weight")
        writer.add_tensor(name, data if full else data.astype(np.float16))


def write(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_model(path, template):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("model")
    writer.add_name("Tiny random llama")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBED)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(EMBED // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(VOCAB)
    texts, scores, types = vocabulary()
    writer.add_tokenizer_model("llama")
    writer.add_token_list(texts)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_eot_token_id(texts.index(b"<|im_end|>"))
    writer.add_add_bos_token(True)
    if template:
        writer.add_chat_template(template)
    add_tensors(writer, weights())
    write(writer)


def write_adapter(path):
    rng = np.random.default_rng(SEED + 1)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_name("Tiny random LoRA")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    kv = EMBED // HEADS * KV_HEADS
    shapes = {"attn_q": (EMBED, EMBED), "attn_v": (kv, EMBED), "ffn_down": (EMBED, FFN)}
    tensors = {}
    for i in range(LAYERS):
        for name, (out, inner) in shapes.items():
            base = f"blk.{i}.{name}.weight"
            tensors[base + ".lora_a"] = (rng.standard_normal((RANK, inner)) / np.sqrt(inner)).astype(np.float32)
            tensors[base + ".lora_b"] = (rng.standard_normal((out, RANK)) * 2 / np.sqrt(RANK)).astype(np.float32)
    add_tensors(writer, tensors)
    write(writer)


def encoder_vocabulary():
    """Returns token texts as llama.cpp has them: a word's beginning carries a mark, what goes on inside a word none."""
    letters = [chr(c) for c in range(0x21, 0x7F) if not chr(c).isupper()] + OTHER
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + ["▁" + t for t in dict.fromkeys(WORDS + letters)] + letters


def encoder_weights(vocab):
    rng = np.random.default_rng(SEED + 2)
    width, ffn = ENCODER["embed"], ENCODER["ffn"]
    tensors = {}

    def linear(name, out, inner, gain=1.0):
        tensors[name + ".weight"] = (rng.standard_normal((out, inner)) * gain / np.sqrt(inner)).astype(np.float32)
        tensors[name + ".bias"] = (rng.standard_normal(out) / 8).astype(np.float32)

    def norm(name):
        tensors[name + ".weight"] = np.ones(width, np.float32)
        tensors[name + ".bias"] = np.zeros(width, np.float32)

    tensors["token_embd.weight"] = rng.standard_normal((vocab, width)).astype(np.float32)
    tensors["position_embd.weight"] = (rng.standard_normal((ENCODER["context"], width)) / 4).astype(np.float32)
    tensors["token_types.weight"] = (rng.standard_normal((2, width)) / 4).astype(np.float32)
    norm("token_embd_norm")
    for i in range(LAYERS):
        b = f"blk.{i}."
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            linear(b + part, width, width, 2.0)
        norm(b + "attn_output_norm")
        linear(b + "ffn_up", ffn, width, 1.5)
        linear(b + "ffn_down", width, ffn, 2.0)
        norm(b + "layer_output_norm")
    return tensors


def write_encoder(path):
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_type("model")
    writer.add_name("Tiny random encoder")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(ENCODER["context"])
    writer.add_embedding_length(ENCODER["embed"])
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(ENCODER["ffn"])
    writer.add_head_count(ENCODER["heads"])
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    texts = encoder_vocabulary()
    writer.add_vocab_size(len(texts))
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(2)
    writer.add_token_list([t.encode() for t in texts])
    writer.add_token_types([gguf.TokenType.CONTROL] * 5 + [gguf.TokenType.NORMAL] * (len(texts) - 5))
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)  # [CLS]
    writer.add_sep_token_id(3)
    writer.add_mask_token_id(4)
    add_tensors(writer, encoder_weights(len(texts)))
    write(writer)


def main():
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    directory.mkdir(parents=True, exist_ok=True)
    write_model(directory / "tiny.gguf", TEMPLATE)
    write_model(directory / "tiny-notemplate.gguf", None)
    write_adapter(directory / "tiny-lora.gguf")
    write_encoder(directory / "tiny-bert.gguf")


if __name__ == "__main__":
    main()
