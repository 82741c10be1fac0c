#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: builds Quire without its server, or takes ready programs, runs all
# tests that need a GPU and the benchmark, and sums up. Ends with 0 only where a GPU was there and no
# test failed.
#   tools/gpu_check.sh                      build in build/gpu-check (CMake, Ninja, nvcc; no gRPC)
#   tools/gpu_check.sh --binaries DIR       programs of tools/pack_gpu_check.sh
# Further: --out DIR    for logs and gpu_bench.json (gpu-check-results)
#          --minutes N  in which the benchmark begins a further part (what is left of eight minutes)
#          --no-bench, --no-tests
set -uo pipefail

usage() {
  sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

out=$PWD/gpu-check-results
binaries=
minutes=
tests=1
bench=1
while [ $# -gt 0 ]; do
  case "$1" in
    --binaries) binaries=${2:?a directory}; shift ;;
    --out) out=${2:?a directory}; shift ;;
    --minutes) minutes=${2:?a number}; shift ;;
    --no-bench) bench=0 ;;
    --no-tests) tests=0 ;;
    *) usage ;;
  esac
  shift
done
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 1
started=$SECONDS

if [ -n "$binaries" ]; then
  root=$(cd "$binaries" && pwd) || exit 1
  [ -f "$root/gpu_tests.txt" ] || { echo "gpu_check: $root is not of tools/pack_gpu_check.sh" >&2; exit 2; }
  export LD_LIBRARY_PATH="$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  programs=$root/bin
  source=$root
  list=$root/gpu_tests.txt
else
  source=$(cd "$(dirname "$0")/.." && pwd)
  build=$source/build/gpu-check
  programs=$build
  list=$build/gpu_tests.txt
  for tool in cmake ninja nvcc; do
    command -v "$tool" >/dev/null || { echo "gpu_check: $tool is not found: install it, or take ready programs (--binaries)" >&2; exit 2; }
  done
  # Kernels for the GPU that is here, for an H100 where none tells what it is.
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | tr -d '. ')
  case "$capability" in
    90 | 1[0-9][0-9]) architecture=${capability}a ;;
    [1-9][0-9]) architecture=$capability ;;
    *) architecture=90a ;;
  esac
  echo "gpu_check: building in $build for sm_$architecture"
  { cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DQUIRE_WITH_CUDA=ON \
      -DQUIRE_BUILD_SERVER=OFF "-DQUIRE_CUDA_ARCHITECTURES=$architecture" && cmake --build "$build" --target gpu_check; } >"$out/build.log" 2>&1 || {
    tail -30 "$out/build.log" >&2
    echo "gpu_check: the build failed, see $out/build.log" >&2
    exit 1
  }
fi
built=$((SECONDS - started))

# The first test that needs a device says whether there is one.
device=0
probe=$(awk '/core_cuda_device_test/ {print $1}' "$list")
"$programs/$probe" --gtest_color=no '--gtest_filter=CudaDeviceTest.MemoryIsZeroed*' >"$out/device.log" 2>&1 </dev/null
if grep -q '^\[       OK \]' "$out/device.log"; then
  device=1
  nvidia-smi -L 2>/dev/null | sed 's/ (UUID.*//'
else
  echo "gpu_check: no CUDA device: $(grep -m1 -E 'CUDA|error' "$out/device.log" || tail -1 "$out/device.log")" >&2
fi

# Tests find their models here.
export QUIRE_TEST_ROOT=$source
passed=0 failed=0 skipped=0
failures=()
if [ "$tests" = 1 ]; then
  # Lines of a program and the seconds that it may take.
  while read -r program seconds; do
    name=$(basename "$program")
    log=$out/$name.log
    begin=$SECONDS
    timeout "$seconds" "$programs/$program" --gtest_color=no </dev/null >"$log" 2>&1
    status=$?
    ok=$(grep -c '^\[       OK \]' "$log")
    bad=$(grep -c '^\[  FAILED  \].* (.* ms)$' "$log")
    left=$(grep -c '^\[  SKIPPED \].* (.* ms)$' "$log")
    passed=$((passed + ok)) skipped=$((skipped + left))
    if [ "$status" -ne 0 ] || [ "$bad" -gt 0 ]; then
      [ "$bad" -gt 0 ] || bad=1
      failed=$((failed + bad))
      why="exit code $status"
      [ "$status" -eq 124 ] && why="took more than $seconds s"
      failures+=("$name: $why, see $log")
      printf '%-44s FAILED  %d passed, %d failed, %d skipped, %d s (%s)\n' "$name" "$ok" "$bad" "$left" $((SECONDS - begin)) "$why"
    else
      printf '%-44s ok      %d passed, %d skipped, %d s\n' "$name" "$ok" "$left" $((SECONDS - begin))
    fi
  done <"$list"
fi

if [ "$device" = 1 ] && [ "$skipped" -gt 0 ]; then
  failures+=("$skipped tests skipped though there is a device: the logs say why")
fi
bench_status="not run"
if [ "$bench" = 1 ] && [ "$device" = 1 ]; then
  models=()
  for model in llama-3.1-8b deepseek-v2-lite qwen3-30b-a3b qwen3-8b; do
    models+=("--model=$source/bench/configs/$model")
  done
  if [ -z "$minutes" ]; then
    left=$((480 - SECONDS + started))
    minutes=$(awk -v s=$((left > 60 ? left : 60)) 'BEGIN {printf "%.1f", s / 60}')
  fi
  bench_program=$programs/gpu_bench
  [ -n "$binaries" ] || bench_program=$build/bench/gpu/gpu_bench
  "$bench_program" "${models[@]}" --minutes="$minutes" --json="$out/gpu_bench.json" 2>&1 | tee "$out/gpu_bench.txt"
  if [ "${PIPESTATUS[0]}" -eq 0 ]; then
    bench_status="ok, $out/gpu_bench.json"
  else
    bench_status="FAILED"
    failures+=("gpu_bench: see $out/gpu_bench.txt")
  fi
fi

echo
echo "gpu_check: $passed tests passed, $failed failed, $skipped skipped; benchmark $bench_status; build $built s, all $((SECONDS - started)) s"
for failure in ${failures[@]+"${failures[@]}"}; do echo "gpu_check: $failure"; done
if [ "$device" = 0 ]; then
  echo "gpu_check: no CUDA device: nothing was shown" >&2
  exit 3
fi
[ ${#failures[@]} -eq 0 ]
