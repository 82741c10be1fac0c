#!/usr/bin/env bash
# Makes a directory that tools/gpu_check.sh --binaries takes, and an archive of it: stripped programs,
# the shared libraries that they need but the C library and the driver, and the files that tests read.
# For machines with an x86-64 CPU, a C library at least as new as this machine's, and a CUDA driver.
#   tools/pack_gpu_check.sh [DIR]     gpu-check.tar.xz beside DIR (build/gpu-check-pack)
set -euo pipefail
cd "$(dirname "$0")/.."
pack=${1:-build/gpu-check-pack}
build=build/gpu-check
jobs=${JOBS:-$(nproc)}

cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DQUIRE_WITH_CUDA=ON -DQUIRE_BUILD_SERVER=OFF >/dev/null
cmake --build "$build" --target gpu_check -- -j "$jobs"

rm -rf "$pack"
mkdir -p "$pack/bin" "$pack/lib" "$pack/tests/golden" "$pack/models" "$pack/bench" "$pack/tools"
programs=(bench/gpu/gpu_bench)
while read -r program seconds; do
  programs+=("$program")
  echo "$(basename "$program") $seconds" >>"$pack/gpu_tests.txt"
done <"$build/gpu_tests.txt"
for program in "${programs[@]}"; do
  strip -o "$pack/bin/$(basename "$program")" "$build/$program"
done
# The C library belongs to the system's loader, libcuda to its driver.
ldd "$pack"/bin/* | awk '/=> \//{print $1, $3}' | sort -u |
  grep -Ev '^(libc|libm|libdl|librt|libpthread|libresolv|ld-linux[^ ]*|libcuda)\.so' |
  while read -r name path; do
    cp -L "$path" "$pack/lib/$name"
    strip --strip-unneeded "$pack/lib/$name" 2>/dev/null || true
  done
cp -r tests/golden/models "$pack/tests/golden/"
cp -r models/fairytale "$pack/models/"
cp -r bench/configs "$pack/bench/"
cp tools/gpu_check.sh tools/compute_sanitizer.sh "$pack/tools/"
# Programs have most in common: a dictionary that holds one of them while the next is read.
tar -C "$(dirname "$pack")" -I 'xz --lzma2=preset=3,dict=64MiB' \
  -cf "${pack%/*}/gpu-check.tar.xz" "$(basename "$pack")"
du -sh "$pack" "${pack%/*}/gpu-check.tar.xz"
