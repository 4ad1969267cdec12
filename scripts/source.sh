#!/usr/bin/env bash
# Brings a folder out of a Python source package (scripts/archive.sh), whose digest is checked.
# Usage: scripts/source.sh PACKAGE VERSION SHA256 FOLDER_IN_PACKAGE DESTINATION
set -euo pipefail
cd "$(dirname "$0")/.."
package=$1 version=$2 digest=$3 folder=$4 destination=$5
archive=$(bash scripts/archive.sh "$package" "$version" "$digest")
echo "[$package] $folder -> $destination"
depth=$(($(tr -cd / <<<"$folder" | wc -c) + 2)) # the archive's own top folder, and FOLDER itself
rm -rf "$destination.part" "$destination"
mkdir -p "$destination.part"
tar -xzf "$archive" -C "$destination.part" --no-same-owner --strip-components=$depth --wildcards "*-$version/$folder/*"
mv "$destination.part" "$destination"
