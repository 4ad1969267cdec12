#!/usr/bin/env bash
# Builds bin/portable: hyprstream with llama.cpp's shared libraries beside it, to be copied as one folder.
# The CPU code is chosen at run time from libggml-cpu-*.so.
set -euo pipefail
cd "$(dirname "$0")/.."
echo "[go] building bin/portable/hyprstream"
mkdir -p bin/portable
go build -tags llama_shared -o bin/portable/hyprstream ./cmd/hyprstream
cp -P .deps/llama-portable/bin/*.so* bin/portable/
cp -L "$(${CC:-cc} -print-file-name=libgomp.so.1)" bin/portable/ # OpenMP, which the CPU libraries need
ls -sh bin/portable
