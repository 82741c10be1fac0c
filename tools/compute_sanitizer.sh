#!/usr/bin/env bash
# Runs the tests that need a GPU under compute-sanitizer, which comes with the CUDA toolkit:
#   tools/compute_sanitizer.sh memcheck|racecheck|synccheck|initcheck|all [--binaries DIR] [--out DIR]
# Programs are those of the preset cuda, or of tools/pack_gpu_check.sh. One line a tool; ends with 0
# only where all found nothing. Of slow tests they run a few; each program has 600 s (SECONDS_EACH).
set -uo pipefail

usage() {
  sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
case "${1:-}" in
  memcheck | racecheck | synccheck | initcheck) tools=("$1") ;;
  all) tools=(memcheck racecheck synccheck initcheck) ;;
  *) usage ;;
esac
shift
source=$(cd "$(dirname "$0")/.." && pwd)
programs=$source/build/cuda
list=$programs/gpu_tests.txt
out=$PWD/compute-sanitizer-results
while [ $# -gt 0 ]; do
  case "$1" in
    --binaries)
      source=$(cd "${2:?a directory}" && pwd) || exit 2
      programs=$source/bin
      list=$source/gpu_tests.txt
      export LD_LIBRARY_PATH="$source/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
      shift
      ;;
    --out) out=${2:?a directory}; shift ;;
    *) usage ;;
  esac
  shift
done
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null) || {
  echo "compute_sanitizer: compute-sanitizer is not found: install it (package cuda-sanitizer), or put the CUDA toolkit's bin into PATH" >&2
  exit 2
}
[ -f "$list" ] || {
  echo "compute_sanitizer: $list is not there: cmake --preset cuda && cmake --build --preset cuda --target gpu_check" >&2
  exit 2
}
probe=$(awk '/core_cuda_device_test/ {print $1}' "$list")
"$programs/$probe" --gtest_color=no '--gtest_filter=CudaDeviceTest.MemoryIsZeroed*' </dev/null 2>&1 | grep -q '^\[       OK \]' || {
  echo "compute_sanitizer: no CUDA device" >&2
  exit 3
}
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 1
export QUIRE_TEST_ROOT=$source
seconds=${SECONDS_EACH:-600}

# A test runs ten to a hundred times as long: of whole models one of each kind of layer, of cases the
# edges.
filter_of() {
  case "$1" in
    core_cuda_device_test) echo '*Primitives*:*Zeroed*' ;;
    ops_cuda_sampler_device_test) echo '*:-*DrawsWhatTheCpuDraws*:*Frequencies*' ;;
    ops_gpu_backend_test) echo '*:-*ARowsProduct*:*ProductsMatch*' ;;
    attention_gpu_backend_test) echo '*OneToken*:*EdgePlusOne*:*MixedBatch*:*WindowOddStart*:*AllRules*:*Dim34*:*Dim128*:*Dim256*:*KeepAPage*:*Learned*:*OddLengths*:*Pages*:*Rotations*:CudaMlaBackend.*' ;;
    engine_cuda_device_architectures_test) echo '*Golden*/llama3_*13:*Golden*/deepseek_v3_*13:*Golden*/gpt_oss_*13:*Golden*/gemma2_*13:*Bfloat16*/qwen3_moe*' ;;
    engine_gpu_invariance_test) echo '*/gemma2_*:*/deepseek_v3_*' ;;
    engine_gpu_embedding_test) echo '*InFloat32/bert*' ;;
    *) echo '-*' ;;
  esac
}

ended=0
for tool in "${tools[@]}"; do
  options=(--tool "$tool" --error-exitcode 99 --launch-timeout 0)
  [ "$tool" = memcheck ] && options+=(--leak-check no)
  begin=$SECONDS found=0 slow=0 failed=0 ran=0
  while read -r program _; do
    name=$(basename "$program")
    filter=$(filter_of "$name")
    [ "$filter" = '-*' ] && continue
    log=$out/$tool.$name.log
    timeout "$seconds" "$sanitizer" "${options[@]}" "$programs/$program" \
      --gtest_color=no "--gtest_filter=$filter" </dev/null >"$log" 2>&1
    status=$?
    ran=$((ran + $(grep -c '^\[       OK \]' "$log")))
    case $status in
      0) ;;
      99) found=$((found + 1)); echo "  $name: $(grep -m1 -E '^========= [A-Z][a-z]' "$log"), see $log" ;;
      124) slow=$((slow + 1)); echo "  $name: took more than $seconds s, see $log" ;;
      *) failed=$((failed + 1)); echo "  $name: exit code $status, see $log" ;;
    esac
  done <"$list"
  verdict=ok
  if [ $((found + slow + failed)) -gt 0 ] || [ "$ran" -eq 0 ]; then
    verdict=FAILED
    ended=1
  fi
  echo "$tool: $verdict, $ran tests ran; programs with findings $found, too slow $slow, failed $failed; $((SECONDS - begin)) s"
done
exit $ended
