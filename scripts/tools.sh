#!/usr/bin/env bash
# Checks the tools a build needs; on Debian as root installs what is missing, otherwise names it.
# Usage: scripts/tools.sh build|test
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
need() { # need COMMAND DEBIAN_PACKAGE
  command -v "$1" >/dev/null 2>&1 || packages+=("$2")
}

need g++ g++
need gcc gcc
need cmake cmake
need ninja ninja-build
need tar tar
need sha256sum coreutils
need python3 python3
# ensurepip is what `python3 -m venv` needs and what Debian packs apart.
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || packages+=(python3-venv)
[ -x .deps/go/bin/go ] || need go golang-go
[ -e /etc/ssl/certs/ca-certificates.crt ] || [ ! -e /etc/debian_version ] || packages+=(ca-certificates)
if [ "${1:-build}" = test ]; then
  javac -version >/dev/null 2>&1 || packages+=(default-jdk-headless)
  need mvn maven
fi

if [ ${#packages[@]} -gt 0 ]; then
  line="apt-get install -y --no-install-recommends ${packages[*]}"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "[tools] $line"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $line -qq -o Dpkg::Use-Pty=0 >/dev/null
  else
    echo "Missing: ${packages[*]}. On Debian or Ubuntu: sudo apt-get update && sudo $line" >&2
    exit 1
  fi
fi
bash scripts/go.sh
