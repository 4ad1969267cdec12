#!/usr/bin/env bash
# Downloads a Python source package once into the cache, checks its digest and prints its path.
# Usage: scripts/archive.sh PACKAGE VERSION SHA256
set -euo pipefail
cd "$(dirname "$0")/.."
package=$1 version=$2 digest=$3
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hyprstream/downloads
archive=$cache/$package-$version.tar.gz

matches() { echo "$digest  $archive" | sha256sum --check --status 2>/dev/null; }

if ! matches; then
  echo "[$package] downloading $version" >&2
  mkdir -p "$cache"
  part=$(mktemp -d "$cache/part.XXXXXX")
  trap 'rm -rf "$part"' EXIT
  .deps/venv/bin/python -m pip download --quiet --no-deps --no-binary "$package" --dest "$part" "$package==$version" >&2
  mv "$part"/*.tar.gz "$archive"
  if ! matches; then
    echo "$archive: SHA-256 is $(sha256sum <"$archive" | cut -d' ' -f1), expected $digest; deleted" >&2
    rm -f "$archive"
    exit 1
  fi
fi
echo "$archive"
