#!/usr/bin/env bash
# The quick checks of `make check`: each says what it looks at; the first failure ends the run.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "[check] gofmt"
unformatted=$(gofmt -l $(go list -f '{{.Dir}}' ./...))
[ -z "$unformatted" ] || { echo "run gofmt -w on:" >&2; echo "$unformatted" >&2; exit 1; }

echo "[check] go vet"
go vet ./...

echo "[check] module files"
go mod verify
go mod tidy -diff

echo "[check] layering"
go test -count=1 .

echo "[check] generated files"
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
.deps/venv/bin/python testdata/tiny.py "$fresh"
for file in "$fresh"/*.gguf; do
  cmp "$file" "testdata/$(basename "$file")" || { echo "run $PWD/.deps/venv/bin/python testdata/tiny.py" >&2; exit 1; }
done
