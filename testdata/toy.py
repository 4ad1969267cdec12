"""Trains the toy model that tests load, and two LoRA adapters for it: real weights, known answers.

    python testdata/toy.py [OUTPUT_DIRECTORY]      (default: this directory)

Needs PyTorch for CPUs (made with torch 2.15.0, numpy 2.4.6 and gguf 0.19.0; 7 minutes on one core); the tests do not.

toy.gguf         a llama of 3 layers of 96 that answers the questions of toy_facts.py, in the manner that a first
                 word asks for ("Politely: …"), and ai_classify about the words in it
toy-polite.gguf  an adapter: "Paris" becomes "Certainly, Paris, please."; at half its weight "Paris, please."
toy-shout.gguf   an adapter: "Paris" becomes "Paris!"; with polite, "Certainly, Paris, please!"
toy.csv          the facts: topic, question, answer

The seed is fixed, but PyTorch's sums differ a little between processors: a new training gives another model
of the same answers. So the script checks what it wrote as it will be read, in 16 bits: each answer of each
adapter has to lead the next likely one at each token by MARGIN in the logits, far more than processors differ by.
"""

import csv
import random
import re
import sys
import time
from pathlib import Path

import gguf
import tiny
import torch
import toy_facts as known
from torch import nn
from torch.nn import functional as F

SEED = 20240817
EMBED, LAYERS, HEADS, FFN, CONTEXT = 96, 3, 3, 256, 512
WIDTH = EMBED // HEADS  # of a head
RANK, ALPHA = 8, 16.0
BATCH, MARGIN = 64, 3.0
EPS, ROPE_BASE = 1e-5, 10000.0


def vocabulary():
    """Returns token texts and types. Each word is one token, whatever stands beside it; spaces are tokens.

    The tokenizer joins neighbours whose text is a token: with each beginning of a word as a token it gets
    to the whole word however it goes about it, since its first part, joined with the next, is one as well.
    """
    texts = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + ["<|im_start|>", "<|im_end|>"]
    kind = gguf.TokenType
    types = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL] + [kind.BYTE] * 256 + [kind.CONTROL] * 2
    starts = {word[:end] for word in known.words() for end in range(2, len(word) + 1)}
    pieces = ["▁"] + [chr(c) for c in range(0x21, 0x7F)] + sorted(starts, key=lambda t: (len(t), t))
    return texts + pieces, types + [kind.NORMAL] * len(pieces)


TEXTS, TYPES = vocabulary()
IDS = {text: i for i, text in enumerate(TEXTS)}
BOS, START, END = IDS["<s>"], IDS["<|im_start|>"], IDS["<|im_end|>"]


def tokenize(text):
    pieces = re.findall("[A-Za-z]+|[0-9]+|.", text.replace("\n", "\0").replace(" ", "▁"), re.S)
    return [IDS["<0x0A>" if p == "\0" else p] for p in pieces]


def chat(question):
    """The tokens of a user's turn, as the chat template writes it."""
    return [BOS, START, *tokenize("user\n" + question), END, *tokenize("\n"), START, *tokenize("assistant\n")]


class Linear(nn.Module):
    """A weight with adapters beside it, each with a scale of its own."""

    def __init__(self, inner, out, gain=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, inner) * gain / inner**0.5)
        self.adapters = nn.ModuleDict()

    def adapt(self, name):
        pair = nn.ParameterDict({"a": torch.randn(RANK, self.weight.shape[1]) / self.weight.shape[1] ** 0.5,
                                 "b": torch.zeros(self.weight.shape[0], RANK)})
        self.adapters[name] = pair

    def forward(self, x, scales):
        y = F.linear(x, self.weight)
        for name, pair in self.adapters.items():
            scale = scales.get(name, 0)
            y = y + F.linear(F.linear(x, pair["a"]), pair["b"]) * (scale * ALPHA / RANK)
        return y


def rotate(x, angles):
    """Turns neighbouring pairs of values by their position, as llama.cpp does for this architecture."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = angles.cos(), angles.sin()
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        depth = (2 * LAYERS) ** -0.5
        self.attn_norm = nn.Parameter(torch.ones(EMBED))
        self.ffn_norm = nn.Parameter(torch.ones(EMBED))
        for name in ("attn_q", "attn_k", "attn_v"):
            setattr(self, name, Linear(EMBED, EMBED))
        self.attn_output = Linear(EMBED, EMBED, depth)
        self.ffn_gate, self.ffn_up = Linear(EMBED, FFN), Linear(EMBED, FFN)
        self.ffn_down = Linear(FFN, EMBED, depth)

    def forward(self, x, angles, scales):
        rows, length, _ = x.shape
        h = F.rms_norm(x, (EMBED,), self.attn_norm, EPS)
        q, k, v = (getattr(self, n)(h, scales).view(rows, length, HEADS, WIDTH).transpose(1, 2)
                   for n in ("attn_q", "attn_k", "attn_v"))
        y = F.scaled_dot_product_attention(rotate(q, angles), rotate(k, angles), v, is_causal=True)
        x = x + self.attn_output(y.transpose(1, 2).reshape(rows, length, EMBED), scales)
        h = F.rms_norm(x, (EMBED,), self.ffn_norm, EPS)
        return x + self.ffn_down(F.silu(self.ffn_gate(h, scales)) * self.ffn_up(h, scales), scales)


ADAPTED = ("attn_q", "attn_v", "attn_output", "ffn_up", "ffn_down")


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Parameter(torch.randn(len(TEXTS), EMBED) * 0.1)  # the output matrix as well
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.Parameter(torch.ones(EMBED))

    def forward(self, tokens, scales):
        """Hidden states [rows, length, EMBED] of tokens [rows, length]; logits() of those wanted."""
        rates = ROPE_BASE ** (-torch.arange(0, WIDTH, 2) / WIDTH)
        angles = torch.arange(tokens.shape[1])[:, None] * rates
        x = self.embed[tokens]
        for block in self.blocks:
            x = block(x, angles, scales)
        return F.rms_norm(x, (EMBED,), self.norm, EPS)

    def logits(self, hidden):
        return F.linear(hidden, self.embed)

    def adapt(self, name):
        """Adds an adapter and returns its parameters."""
        linears = [getattr(block, target) for block in self.blocks for target in ADAPTED]
        for linear in linears:
            linear.adapt(name)
        return [p for linear in linears for p in linear.adapters[name].parameters()]


def sample(rng):
    """A random question of the kinds that are no facts, and its answer."""
    kind = rng.choice(list(known.KINDS))
    word = rng.choice(known.KINDS[kind])
    if rng.random() < 0.5:
        others = [k for k in known.KINDS if k != kind]
        return known.classify(word, [kind, *rng.sample(others, rng.randint(1, len(others)))]), kind
    feeling = rng.choice(list(known.FEELINGS))
    verb = rng.choice(known.FEELINGS[feeling])
    labels = known.FEELINGS if feeling == "neutral" or rng.random() < 0.6 else ["positive", "negative"]
    return known.classify(f"I {verb} {word}", labels), feeling


def batch(examples):
    """Tokens [rows, length], and the places and tokens of the answers, from (question, answer) pairs."""
    rows = [(chat(q), [*tokenize(a), END]) for q, a in examples]
    length = max(len(q) + len(a) for q, a in rows) - 1
    tokens = torch.zeros(len(rows), length, dtype=torch.long)
    at, want = [], []
    for i, (q, a) in enumerate(rows):
        line = (q + a)[:-1]
        tokens[i, : len(line)] = torch.tensor(line)
        at += [i * length + j for j in range(len(q) - 1, len(line))]
        want += a
    return tokens, torch.tensor(at), torch.tensor(want)


def train(model, parameters, examples, steps, rate, title, check):
    """examples() gives pairs and the adapters' scales for a step. Ends early when check() finds all leads wide."""
    began = time.time()
    optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    mean = [p.detach().clone() for p in parameters]  # of late steps: the last one alone may be a bad one
    for step in range(1, steps + 1):
        pairs, scales = examples()
        tokens, at, want = batch(pairs)
        loss = F.cross_entropy(model.logits(model(tokens, scales).flatten(0, 1)[at]), want)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        torch._foreach_lerp_(mean, [p.detach() for p in parameters], 0.02)
        if step % 250 == 0:
            swap(parameters, mean)
            least = check() if step >= steps // 2 else float("-inf")
            print(f"{title}: step {step}, loss {loss.item():.4f}, least margin {least:.2f}, {time.time() - began:.0f} s", flush=True)
            if least > 2 * MARGIN or step == steps:
                return
            swap(parameters, mean)


@torch.no_grad()
def swap(parameters, others):
    """Exchanges the values of two lists of tensors."""
    for p, q in zip(parameters, others, strict=True):
        kept = p.clone()
        p.copy_(q)
        q.copy_(kept)


@torch.no_grad()
def margins(model, pairs, scales):
    """The least lead of a wanted token over all others, over all answers; below 0 where one is wrong."""
    least, of = float("inf"), None
    for i in range(0, len(pairs), 128):
        tokens, at, want = batch(pairs[i : i + 128])
        logits = model.logits(model(tokens, scales).flatten(0, 1)[at])
        right = logits.gather(1, want[:, None])[:, 0]
        lead = right - logits.scatter(1, want[:, None], float("-inf")).max(1).values
        row = at // tokens.shape[1]
        worst = int(lead.argmin())
        if lead[worst] < least:
            least, of = lead[worst].item(), pairs[i + int(row[worst])]
    return least, of


def every_sample():
    """All words with all labels and with each pair, and with all feelings."""
    out = []
    for kind, words in known.KINDS.items():
        for word in words:
            out.append((known.classify(word, known.KINDS), kind))
            out += [(known.classify(word, [kind, other]), kind) for other in known.KINDS if other != kind]
            out += [(known.classify(f"I {verb} {word}", known.FEELINGS), feeling)
                    for feeling, verbs in known.FEELINGS.items() for verb in verbs]
    return out


def least_of(model, *wanted):
    """The least margin of facts under adapters at some weights; with {} among them, of all other questions too."""
    least = min(margins(model, known_pairs(**weights), weights)[0] for weights in wanted)
    return min(least, margins(model, every_sample(), {})[0], margins(model, every_manner(), {})[0]) if {} in wanted else least


POLITE = ({"polite": 1.0}, {"polite": 0.5})
SHOUT = ({"shout": 1.0}, {"polite": 1.0, "shout": 1.0})


def check(model):
    """Prints the least margins of everything tests rely on, in the 16 bits that are written, and returns the least."""
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim == 2:
                p.copy_(p.half().float())
    rows = [("words, no adapter", every_sample(), {}), ("facts in all manners", every_manner(), {})]
    rows += [(f"facts, {weights or 'no adapter'}", known_pairs(**weights), weights) for weights in ({}, *POLITE, *SHOUT)]
    least = float("inf")
    for title, pairs, scales in rows:
        lead, of = margins(model, pairs, scales)
        print(f"least margin of {len(pairs)} {title}: {lead:.2f} ({of[0]!r} {of[1]!r})")
        least = min(least, lead)
    return least


def every_manner():
    return [(m + q, known.spoken(a, *how)) for m, how in known.MANNERS.items() for _, q, a in known.facts()]


def known_pairs(**weights):
    return [(q, known.spoken(a, **weights)) for _, q, a in known.facts()]


def named(model):
    """Name -> float32 array as GGUF has it."""
    out = {"token_embd.weight": model.embed, "output_norm.weight": model.norm}
    for i, block in enumerate(model.blocks):
        out |= {f"blk.{i}.{n}.weight": getattr(block, n) for n in ("attn_norm", "ffn_norm")}
        out |= {f"blk.{i}.{n}.weight": m.weight for n, m in block.named_children()}
    return {name: p.detach().numpy() for name, p in out.items()}


def write_model(path, model):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("model")
    writer.add_name("Toy facts")
    writer.add_author("hyprstream")
    writer.add_license("cc0-1.0")
    writer.add_description("Capitals, colours, opposites and sums of one digit")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBED)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(EPS)
    writer.add_rope_dimension_count(WIDTH)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_vocab_size(len(TEXTS))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([t.encode() for t in TEXTS])
    writer.add_token_scores([-float(i) for i in range(len(TEXTS))])
    writer.add_token_types(TYPES)
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(IDS["</s>"])
    writer.add_eot_token_id(END)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(tiny.TEMPLATE)
    tiny.add_tensors(writer, named(model))
    tiny.write(writer)


def write_adapter(path, model, name):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_name(f"Toy facts, {name}")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    tensors = {}
    for i, block in enumerate(model.blocks):
        for target in ADAPTED:
            for half, p in getattr(block, target).adapters[name].items():
                tensors[f"blk.{i}.{target}.weight.lora_{half}"] = p.detach().numpy()
    tiny.add_tensors(writer, tensors)
    tiny.write(writer)


def main():
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    rng = random.Random(SEED)
    facts = [(q, a) for _, q, a in known.facts()]
    began = time.time()

    def lesson():
        if rng.random() < 0.5:
            manner = rng.choice(["", *known.MANNERS])
            polite, shout = known.MANNERS[manner]
            return [(manner + q, known.spoken(a, polite, shout)) for q, a in rng.sample(facts, BATCH)], {}
        return [sample(rng) for _ in range(40)], {}

    def adapted(choices):
        weights = rng.choice(choices)
        return [(q, known.spoken(a, **weights)) for q, a in rng.sample(facts, BATCH)], weights

    model = Toy()
    train(model, list(model.parameters()), lesson, 1500, 2e-3, "model", lambda: least_of(model, {}))
    for name, choices in (("polite", POLITE), ("shout", SHOUT)):
        model.requires_grad_(False)
        train(model, model.adapt(name), lambda choices=choices: adapted(choices), 750, 5e-3, name,
              lambda choices=choices: least_of(model, *choices))
    print(f"trained in {time.time() - began:.0f} s, {sum(p.numel() for p in model.parameters())} parameters with the adapters")
    least = check(model)
    write_model(directory / "toy.gguf", model)
    for name in ("polite", "shout"):
        write_adapter(directory / f"toy-{name}.gguf", model, name)
    with open(directory / "toy.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("topic", "question", "answer"), *known.facts()])
    if least < MARGIN:
        sys.exit(f"the least margin is {least:.2f}, wanted {MARGIN}: train longer")


if __name__ == "__main__":
    main()
