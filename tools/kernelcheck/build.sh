#!/bin/sh
# Builds kernelcheck against the llama.cpp that hyprstream links: build.sh OUT
set -eu
out=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
lib=$root/.deps/llama/ggml/src
src=$root/.deps/src/llama.cpp
mkdir -p "$(dirname "$out")"
exec ${CXX:-c++} -std=c++17 -O2 -DNDEBUG -DHS_VNNI_KERNEL -o "$out" \
    -I"$src/include" -I"$src/ggml/include" -I"$src/ggml/src" -I"$src/ggml/src/ggml-cpu" \
    "$root"/tools/kernelcheck/kernelcheck.cpp "$root"/runtime/llama/kernel_*.cpp \
    "$lib/libggml.a" "$lib/libggml-cpu.a" "$lib/libggml-base.a" -fopenmp -lm -lpthread -ldl
