#!/usr/bin/env bash
# Makes Go 1.26 available. Go 1.21 and later fetch the toolchain that go.mod asks for by themselves
# (GOTOOLCHAIN=auto, set by the Makefile). An older Go, such as Debian 12's 1.19, cannot switch, but it can
# download the same toolchain as a module, checked against Go's checksum database; it is then kept in .deps/go.
set -euo pipefail
cd "$(dirname "$0")/.."
toolchain=go1.26.8

[ ! -x .deps/go/bin/go ] || exit 0
version=$(cd / && GOTOOLCHAIN=local go version) # outside the module: an old Go cannot read its go.mod
minor=$(sed -n 's/.*go1\.\([0-9]*\).*/\1/p' <<<"$version")
[ "${minor:-99}" -lt 21 ] || exit 0

echo "[go] ${version#go version } is too old to switch; fetching $toolchain through the module proxy"
module=golang.org/toolchain@v0.0.1-$toolchain.$(go env GOOS)-$(go env GOARCH)
rm -rf .deps/go.part && mkdir -p .deps
dir=$(cd / && go mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p')
[ -n "$dir" ] || { echo "could not fetch $module; install Go 1.21 or newer by hand" >&2; exit 1; }
cp -r "$dir" .deps/go.part
chmod -R u+w .deps/go.part
chmod +x .deps/go.part/bin/* .deps/go.part/pkg/tool/*/* # module files carry no execute bits
mv .deps/go.part .deps/go
.deps/go/bin/go version
