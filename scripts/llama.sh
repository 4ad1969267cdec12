#!/usr/bin/env bash
# Configures and builds llama.cpp, patched (scripts/patch.sh). Usage: scripts/llama.sh static|portable [extra cmake arguments]
#   static    .deps/llama           static libraries for this machine's processor; what bin/hyprstream links
#   portable  .deps/llama-portable  shared libraries, one CPU backend per processor family, chosen at run time
set -euo pipefail
cd "$(dirname "$0")/.."
kind=$1
shift
case $kind in
static) build=.deps/llama flags=(-DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=ON) ;;
portable) build=.deps/llama-portable flags=(-DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=OFF -DGGML_BACKEND_DL=ON
  -DGGML_CPU_ALL_VARIANTS=ON -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON "-DCMAKE_INSTALL_RPATH=\$ORIGIN") ;;
*) echo "usage: scripts/llama.sh static|portable" >&2; exit 2 ;;
esac

# OpenMP on: ggml's own threads spin at barriers without end, which is ruinous when a core is taken by DuckDB or Go;
# OpenMP's spin as long as GOMP_SPINCOUNT says and then sleep (docs/decisions/0001-llama-cpp-own-binding.md).
flags+=(-DCMAKE_BUILD_TYPE=Release -DGGML_OPENMP=ON)
for part in COMMON TOOLS TESTS EXAMPLES SERVER APP; do flags+=("-DLLAMA_BUILD_$part=OFF"); done

echo "[llama.cpp] configuring $build"
mkdir -p "$build"
rm -f "$build/CMakeCache.txt" # flags given once must not stay
cmake -S .deps/src/llama.cpp-patched -B "$build" -G Ninja "${flags[@]}" "$@" >"$build/configure.log" 2>&1 ||
  { cat "$build/configure.log" >&2; exit 1; }

targets=(llama ggml)
[ "$kind" = static ] || targets=(all)
echo "[llama.cpp] compiling (about 3 minutes on 2 cores; portable about 8)"
# The compiler's many warnings about llama.cpp go to the log; a terminal sees one moving line, a log every 20th step.
if [ -t 1 ]; then show='/^\[llama.cpp/ { printf "\r\033[K%.100s", $0; fflush() } END { print "" }'
else show='/^\[llama.cpp/ && ++n % 20 == 0 { print; fflush() }'; fi
NINJA_STATUS='[llama.cpp %f/%t, %es] ' ninja -C "$build" "${targets[@]}" | tee "$build/build.log" | awk "$show" ||
  { grep -A 30 '^FAILED' "$build/build.log" >&2 || tail -30 "$build/build.log" >&2; exit 1; }
