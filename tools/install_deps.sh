#!/usr/bin/env bash
# Installs what building, testing and serving need, from the packages of Debian 12 or Ubuntu 24.04.
# As root, or with sudo. With --without-server first, what the engine, its tests and benchmarks need.
# Further packages can be named as arguments.
set -euo pipefail

server=(
  libgrpc++-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libcli11-dev libedit-dev
)
if [ "${1:-}" = --without-server ]; then
  server=()
  shift
fi
packages=(
  cmake ninja-build g++ pkg-config python3
  ${server[@]+"${server[@]}"}
  libabsl-dev libdnnl-dev libpcre2-dev libutf8proc-dev libsimdjson-dev nlohmann-json3-dev
  libgtest-dev libgmock-dev libbenchmark-dev libboost-context-dev
  "$@"
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "install_deps: needs root to install: ${missing[*]}" >&2
    exit 1
  }
  sudo=(sudo)
fi
echo "install_deps: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  "${missing[@]}" >/dev/null
