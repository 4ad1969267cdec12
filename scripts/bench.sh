#!/usr/bin/env bash
# Builds llama-server and llama-batched-bench, what bench/throughput.py is measured against, in .deps/llama-bench: the same
# source and the same flags as what bin/hyprstream links (scripts/llama.sh). Nothing is fetched: no TLS, no web interface.
# Usage: scripts/bench.sh [extra cmake arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
build=.deps/llama-bench
flags=(-DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=ON -DGGML_OPENMP=ON)
for part in COMMON TOOLS SERVER; do flags+=("-DLLAMA_BUILD_$part=ON"); done
for part in TESTS EXAMPLES APP UI; do flags+=("-DLLAMA_BUILD_$part=OFF"); done
flags+=(-DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF)

echo "[llama-bench] configuring $build"
mkdir -p "$build"
rm -f "$build/CMakeCache.txt" # flags given once must not stay
cmake -S .deps/src/llama.cpp -B "$build" -G Ninja "${flags[@]}" "$@" >"$build/configure.log" 2>&1 ||
  { cat "$build/configure.log" >&2; exit 1; }

echo "[llama-bench] compiling (about 10 minutes on 2 cores)"
NINJA_STATUS='[llama-bench %f/%t, %es] ' nice -n 5 ninja -C "$build" llama-server llama-batched-bench >"$build/build.log" 2>&1 ||
  { grep -A 30 'FAILED' "$build/build.log" >&2 || tail -30 "$build/build.log" >&2; exit 1; }
