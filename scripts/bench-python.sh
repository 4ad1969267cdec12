#!/usr/bin/env bash
# Makes .deps/bench-venv: DuckDB's Python package and llama-cpp-python, what bench/udf.py runs. The binding is compiled from
# the very package that llama.cpp's source came from, with the flags of what bin/hyprstream links (scripts/llama.sh).
# Usage: scripts/bench-python.sh PACKAGE VERSION SHA256 [extra cmake arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
package=$1 version=$2 digest=$3
shift 3
archive=$(bash scripts/archive.sh "$package" "$version" "$digest")
venv=.deps/bench-venv log=.deps/bench-venv.log

echo "[bench-python] packages of bench/requirements.txt"
python3 -m venv --clear "$venv"
install=("$venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check)
"${install[@]}" -r bench/requirements.txt

echo "[bench-python] compiling $package $version (about 5 minutes on 2 cores)"
flags=(-DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DGGML_OPENMP=ON -DLLAVA_BUILD=OFF) # LLAVA: images, not used
for part in TOOLS TESTS EXAMPLES SERVER APP; do flags+=("-DLLAMA_BUILD_$part=OFF"); done
# No build isolation: what compiles is pinned in bench/requirements.txt as well.
CMAKE_GENERATOR=Ninja CMAKE_ARGS="${flags[*]} $*" nice -n 5 "${install[@]}" --no-deps --no-build-isolation --no-cache-dir \
  "$archive" >"$log" 2>&1 || { tail -50 "$log" >&2; exit 1; }
