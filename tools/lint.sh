#!/usr/bin/env bash
# The layers, the format and clang-tidy over our own C++.
#   tools/lint.sh            all of it
#   tools/lint.sh --format   the layers and the format alone
#   tools/lint.sh --fix      writes the format
# Formats differ between versions of clang-format: this one is in Debian 12 and in Ubuntu 24.04.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-all}
version=14
case "$mode" in
  all | --format | --fix) ;;
  *)
    echo "usage: tools/lint.sh [--format | --fix]" >&2
    exit 2
    ;;
esac

tools/install_deps.sh "clang-format-$version"
tools/check_layers.py

folders=(core kvcache scheduler ops attention model engine tokenizer jinja proto server client tests bench)
mapfile -t sources < <(find "${folders[@]}" -name '*.cc' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' | sort)
if [ "$mode" = --fix ]; then
  "clang-format-$version" -i "${sources[@]}"
  exit
fi
"clang-format-$version" --dry-run -Werror "${sources[@]}"
echo "lint: the format holds"
[ "$mode" = --format ] && exit

tools/install_deps.sh "clang-tidy-$version"
cmake --preset release >/dev/null
cmake --build --preset release --target quire_proto quire_health_proto >/dev/null
find "${folders[@]}" -name '*.cc' | sort |
  xargs -P "$(nproc)" -n 1 "clang-tidy-$version" -p build/release --quiet 2> >(grep -v 'warnings generated\|^Suppressed\|^Use -header-filter' >&2)
echo "lint: clang-tidy is clean"
