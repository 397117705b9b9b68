#!/usr/bin/env bash
# Runs the native tests of the AVX-512 kernels, on any x86-64 machine: sets the emulator up where it is not, builds the
# tests statically, runs them, one line each. Status 0: all passed.
# Usage: check.sh [DIRECTORY]        for emulator and build; build/avx512 of the checkout unless given
#        JOBS=2 check.sh             parallel compilations, 1 unless given
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(cd "$here/../../.." && pwd)
target=${1:-$checkout/build/avx512}
mkdir -p "$target"
target=$(cd "$target" && pwd)
# Not test_threads: there is one emulated CPU.
tests=(test_gradients test_bitwise test_precision)
# test_gradients and test_bitwise in full for the base, the extensions where they differ.
isas_of() { if [ "$1" = test_precision ]; then echo avx512 avx512_vnni avx512_bf16; else echo avx512; fi; }
limit=3600  # seconds for each

# Quiet unless it fails. Static, because nothing but the program is there when it runs.
build_tests() {
  local log=$target/native.log
  (cd "$checkout" && cmake --preset release -B "$target/native" -DCMAKE_EXE_LINKER_FLAGS=-static &&
    cmake --build "$target/native" --parallel "${JOBS:-1}" --target "${tests[@]}") > "$log" 2>&1 ||
    { tail -n 30 "$log" >&2; echo "check: the build failed (log: $log)" >&2; exit 1; }
}

# One line for the test; what it printed only if it failed.
run_test() {
  local name=$1 status=0 start=$SECONDS output isas
  isas=$(isas_of "$1")
  # shellcheck disable=SC2086  # a list of words
  output=$("$here/run.sh" -t "$limit" -d "$target" "$target/native/tests/native/$name" $isas 2>&1) || status=$?
  if [ "$status" -eq 0 ]; then
    echo "$name $isas: passed ($((SECONDS - start)) s)"
  else
    echo "$name $isas: FAILED with status $status ($((SECONDS - start)) s)"
    echo "$output"
  fi
  return "$status"
}

"$here/setup.sh" "$target"
build_tests
failed=0
for name in "${tests[@]}"; do
  run_test "$name" || failed=1
done
exit "$failed"
