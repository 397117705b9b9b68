#!/usr/bin/env bash
# test_realtime under RealtimeSanitizer: its calls are non-blocking functions, in which malloc, locks and system calls are
# errors. The library is linked as it is built; the sanitizer intercepts what it calls.
# Usage: rtsan.sh BUILD_DIRECTORY      with libfastrnn.a in it; CLANG=clang++-22 names the compiler (20 or later)
set -euo pipefail
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# First what must be caught, so that a sanitizer that sees nothing does not pass.
cat > "$work/planted.cc" <<'CC'
#include <vector>
int step(int n) noexcept [[clang::nonblocking]] { return int(std::vector<int>(std::size_t(n)).size()); }
int main(int argc, char**) { return step(argc) == 1 ? 0 : 1; }
CC
"${CLANG:-clang++}" -std=c++17 -O0 -fsanitize=realtime "$work/planted.cc" -o "$work/planted"
if "$work/planted" 2> "$work/log"; then echo "rtsan: a planted vector was not caught"; exit 1; fi
grep -q "RealtimeSanitizer: unsafe-library-call" "$work/log"
"${CLANG:-clang++}" -std=c++17 -O1 -g1 -fsanitize=realtime -I "$tree/csrc/include" -I "$tree/tests/native" \
  "$tree/tests/native/test_realtime.cc" "$1/libfastrnn.a" -pthread -o "$work/test_realtime"
"$work/test_realtime"
