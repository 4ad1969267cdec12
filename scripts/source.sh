#!/usr/bin/env bash
# Brings a folder out of a Python source package: downloads it once into the cache, checks its digest, unpacks.
# Usage: scripts/source.sh PACKAGE VERSION SHA256 FOLDER_IN_PACKAGE DESTINATION
set -euo pipefail
cd "$(dirname "$0")/.."
package=$1 version=$2 digest=$3 folder=$4 destination=$5
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hyprstream/downloads
archive=$cache/$package-$version.tar.gz

matches() { echo "$digest  $archive" | sha256sum --check --status 2>/dev/null; }

if ! matches; then
  echo "[$package] downloading $version"
  mkdir -p "$cache"
  part=$(mktemp -d "$cache/part.XXXXXX")
  trap 'rm -rf "$part"' EXIT
  .deps/venv/bin/python -m pip download --quiet --no-deps --no-binary "$package" --dest "$part" "$package==$version"
  mv "$part"/*.tar.gz "$archive"
  if ! matches; then
    echo "$archive: SHA-256 is $(sha256sum <"$archive" | cut -d' ' -f1), expected $digest; deleted" >&2
    rm -f "$archive"
    exit 1
  fi
fi
echo "[$package] $folder -> $destination"
depth=$(($(tr -cd / <<<"$folder" | wc -c) + 2)) # the archive's own top folder, and FOLDER itself
rm -rf "$destination.part" "$destination"
mkdir -p "$destination.part"
tar -xzf "$archive" -C "$destination.part" --no-same-owner --strip-components=$depth --wildcards "*-$version/$folder/*"
mv "$destination.part" "$destination"
