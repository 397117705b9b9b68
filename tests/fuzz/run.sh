#!/usr/bin/env bash
# Builds the fuzzers with clang, AddressSanitizer and UndefinedBehaviorSanitizer, and gives each of them N inputs: half
# of them on the portable kernels, half on the fastest that the machine has. Ends with an error at the first that fails,
# which it leaves in build/fuzz/found/.
# Usage: bash tests/fuzz/run.sh [N] [model_file|calls]        N: 1000000. Needs clang, with its libclang-rt.
set -euo pipefail
cd "$(dirname "$0")/../.."

runs=${1:-1000000}
read -ra fuzzers <<< "${2:-model_file calls}"
cmake --preset fuzz > /dev/null
cmake --build --preset fuzz --target "${fuzzers[@]/#/fuzz_}" | tail -n 1

declare -A most=([model_file]=4096 [calls]=512)
export UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=allocator_may_return_null=0
for fuzzer in "${fuzzers[@]}"; do
  corpus=build/fuzz/corpus/$fuzzer
  mkdir -p "$corpus" build/fuzz/found
  for isa in portable ""; do
    echo "== $fuzzer, $((runs / 2)) inputs, ${isa:-fastest} kernels"
    dictionary=()
    if [ -f "tests/fuzz/$fuzzer.dict" ]; then dictionary=("-dict=tests/fuzz/$fuzzer.dict"); fi
    (
      if [ -n "$isa" ]; then export FASTRNN_ISA=$isa; fi
      # Time is wall time: on a busy machine an input of milliseconds was once held up for 13 s.
      # A file of 4 KB may take 64 times that in packed weights, and the same for a session; nothing may take more.
      build/fuzz/tests/fuzz/fuzz_"$fuzzer" "$corpus" "tests/fuzz/corpus/$fuzzer" "${dictionary[@]}" \
        -runs=$((runs / 2)) -max_len="${most[$fuzzer]}" -malloc_limit_mb=16 -rss_limit_mb=1024 -timeout=120 \
        -artifact_prefix=build/fuzz/found/ -print_final_stats=1 2>&1 | grep -E "ERROR|SUMMARY|stat::|Tally|runtime error|^    #|Test unit|DONE"
    )
  done
done
