#!/bin/sh
# Builds a reference program against the llama.cpp that hyprstream links: build.sh greedyref|embedref OUT
set -eu
name=$1
out=$2
root=$(cd "$(dirname "$0")/.." && pwd)
lib=$root/.deps/llama
src=$root/.deps/src/llama.cpp
if [ ! -f "$lib/src/libllama.a" ]; then
    echo "$name: $lib/src/libllama.a is missing; run: make deps" >&2
    exit 1
fi
mkdir -p "$(dirname "$out")"
exec ${CXX:-c++} -O2 -Wall -o "$out" -I"$src/include" -I"$src/ggml/include" \
    -x c "$root/tools/$name/$name.c" -x none \
    "$lib/src/libllama.a" "$lib/ggml/src/libggml.a" "$lib/ggml/src/libggml-cpu.a" "$lib/ggml/src/libggml-base.a" \
    -fopenmp -lm -lpthread -ldl
