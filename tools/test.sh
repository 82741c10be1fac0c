#!/usr/bin/env bash
# Builds Quire and runs all its tests but those that need a GPU (ctest --preset cuda -L cuda).
# Arguments go to ctest: tools/test.sh -L unit
set -euo pipefail
cd "$(dirname "$0")/.."

tools/install_deps.sh
cmake --preset release >/dev/null
cmake --build --preset release
ctest --preset release -j "$(nproc)" -LE '^cuda$' "$@"
