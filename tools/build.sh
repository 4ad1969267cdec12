#!/bin/sh
# Builds a program against the llama.cpp that hyprstream links: build.sh greedyref|embedref|kernelcheck OUT
set -eu
name=$1
out=$2
root=$(cd "$(dirname "$0")/.." && pwd)
lib=$root/.deps/llama
src=$root/.deps/src/llama.cpp-patched
if [ ! -f "$lib/src/libllama.a" ]; then
    echo "$name: $lib/src/libllama.a is missing; run: make deps" >&2
    exit 1
fi
mkdir -p "$(dirname "$out")"
case $name in
kernelcheck) # what it checks is compiled with it, and reaches into ggml's CPU backend
    set -- -std=c++17 -DNDEBUG -DHS_VNNI_KERNEL -I"$src/ggml/src" -I"$src/ggml/src/ggml-cpu" \
        "$root/tools/$name/$name.cpp" "$root"/runtime/llama/kernel_*.cpp
    ;;
*) set -- -Wall -x c "$root/tools/$name/$name.c" -x none ;;
esac
exec ${CXX:-c++} -O2 -o "$out" -I"$src/include" -I"$src/ggml/include" "$@" \
    "$lib/src/libllama.a" "$lib/ggml/src/libggml.a" "$lib/ggml/src/libggml-cpu.a" "$lib/ggml/src/libggml-base.a" \
    -fopenmp -lm -lpthread -ldl
