#!/usr/bin/env bash
# Builds the tests with a sanitizer and runs those that it is for.
#   tools/sanitize.sh address   AddressSanitizer and UndefinedBehaviorSanitizer: all but the sweeps
#   tools/sanitize.sh thread    ThreadSanitizer: what has threads
# Equality of bits is not what they are for: of those tests they run the quick ones.
set -euo pipefail
cd "$(dirname "$0")/.."
sanitizer=${1:?address or thread}

case "$sanitizer" in
  address)
    preset=asan
    targets=(all)
    # Kernels of all instruction sets are one text: the plainest and the newest stand for the others.
    tests=(-LE slow -E '/(avx2|avx512)_[A-Z]|CudaInvariance.*/(d|gpt|l)|Cuda/Embedding.*(Neither|modern)|Cuda/Soak|CudaGqa(Rules)?Backend|Cuda/Architecture.*/(gem|gpt2|llama_|mi|ol|ph|qu|qw|st)|HeldOutPerplexity|Invariance\.(OfEvery|Among|InChunks|After|From).*(/float32|_(portable|avx2|avx512)( |$))')
    ;;
  thread)
    preset=tsan
    targets=(core_thread_pool_test engine_engine_test engine_invariance_test
             tokenizer_thread_test server_e2e_test server_lifecycle_test
             server_transport_test)
    tests=(-R "^($(IFS='|'; echo "${targets[*]}"))" -E 'Invariance\.(OfEvery.*_(portable|avx2)|Among|InChunks|After|From)')
    # gRPC and Abseil as packaged are not instrumented.
    export TSAN_OPTIONS="suppressions=$PWD/tests/testing/tsan_suppressions.txt"
    ;;
  *)
    echo "sanitize: '$sanitizer' is neither address nor thread" >&2
    exit 2
    ;;
esac

tools/install_deps.sh
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" --target "${targets[@]}"
ctest --preset "$preset" -j "$(nproc)" "${tests[@]}"
