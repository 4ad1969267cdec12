"""Writes small random LoRA adapters for a GGUF model, whose tensors' shapes it reads.

    .deps/venv/bin/python bench/adapters.py MODEL.gguf FOLDER [NUMBER]

Rank 8 on attention and feed-forward of every layer, the targets that are usual; values so small that text stays sane.
What they cost does not depend on their values. The same bytes come out each time.
"""

import sys
from pathlib import Path

import gguf
import numpy as np

SEED, RANK, ALPHA = 20260901, 8, 8.0
SCALE = 0.002  # of lora_b; lora_a keeps a vector's length
TARGETS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def write(model, folder, number):
    """Writes a0.gguf to a<number - 1>.gguf and gives their paths."""
    reader = gguf.GGUFReader(model)
    architecture = reader.get_field("general.architecture").contents()
    shapes = {t.name: tuple(map(int, t.shape)) for t in reader.tensors  # (in, out), as ggml counts
              if t.name.startswith("blk.") and t.name.split(".")[2] in TARGETS and t.name.endswith(".weight")}
    assert shapes, f"{model} has none of the tensors {', '.join(TARGETS)}"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"a{i}.gguf" for i in range(number)]
    for i, path in enumerate(paths):
        write_one(path, architecture, shapes, np.random.default_rng(SEED + i))
    return paths


def write_one(path, architecture, shapes, rng):
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    for name, (inner, out) in shapes.items():
        a = rng.standard_normal((RANK, inner)) / np.sqrt(inner)
        b = rng.standard_normal((out, RANK)) * SCALE
        writer.add_tensor(name + ".lora_a", a.astype(np.float16))
        writer.add_tensor(name + ".lora_b", b.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    for written in write(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 8):
        print(written)
