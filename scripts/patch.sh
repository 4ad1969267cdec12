#!/usr/bin/env bash
# Makes .deps/src/llama.cpp-patched, what hyprstream is built from: .deps/src/llama.cpp with runtime/llama/patches applied.
# The original stays as it is, for the peers of the benchmarks. Every file is new, so that all that changed is compiled.
set -euo pipefail
cd "$(dirname "$0")/.."
source=.deps/src/llama.cpp patched=.deps/src/llama.cpp-patched
rm -rf "$patched.part" "$patched"
cp -r "$source/" "$patched.part"
rm -f "$patched.part/.git" # points to a repository that is not here
for patch in "$PWD"/runtime/llama/patches/*.patch; do
  echo "[llama.cpp] applying $(basename "$patch")"
  # The ceiling keeps git from taking the folder for a part of this repository, whose paths it would then expect.
  GIT_CEILING_DIRECTORIES=$(realpath .deps/src) git -C "$patched.part" apply "$patch"
done
mv "$patched.part" "$patched"
