#!/usr/bin/env bash
# Fetches DuckDB's extension vss, as DuckDB signed it, from its Python package into the cache and unpacks it as DESTINATION.
# Where the package has none for this platform it says so, and ends well. Usage: scripts/vss.sh DESTINATION
set -euo pipefail
cd "$(dirname "$0")/.."
destination=$1
version=1.5.5 # of DuckDB: exactly the one that duckdb-go-bindings links
digest=4d1b8013134cc1a14810fb2bb962653382fdccd6e1f39f0d383e38c88eb17efa
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hyprstream/downloads
name=duckdb_extension_vss-$version-py3-none-manylinux2014_x86_64.whl
file=$cache/$name

mkdir -p "$(dirname "$destination")"
if [ "$(uname -sm)" != "Linux x86_64" ]; then
  echo "[vss] none pinned for $(uname -sm): tests run without it"
  exit 0
fi

matches() { echo "$digest  $file" | sha256sum --check --status 2>/dev/null; }

if ! matches; then
  echo "[vss] downloading DuckDB's extension vss (11 MiB)"
  mkdir -p "$cache"
  part=$(mktemp -d "$cache/part.XXXXXX")
  trap 'rm -rf "$part"' EXIT
  .deps/venv/bin/python -m pip download --quiet --no-deps --no-cache-dir --dest "$part" "duckdb-extension-vss==$version"
  mv "$part/$name" "$file"
  matches || { echo "$file: digest differs from $digest; deleted" >&2; rm -f "$file"; exit 1; }
fi
echo "[vss] $destination"
.deps/venv/bin/python - "$file" "$destination.part" <<'PY'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as z:
    [name] = [n for n in z.namelist() if n.endswith("/vss.duckdb_extension")]
    with open(sys.argv[2], "wb") as out:
        out.write(z.read(name))
PY
mv "$destination.part" "$destination"
