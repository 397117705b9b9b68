#!/usr/bin/env bash
# Kernel objects export their table and nothing else: a weak inline function compiled with AVX instructions could be the
# one that the linker keeps for everybody, and an older CPU would crash on it.
# Usage: symbols.sh BUILD_DIRECTORY        NM: the nm that reads it, that of this machine unless given
set -euo pipefail
found=0
for object in $(find "$1" -name 'kernels_*.cc.o'); do
  found=$((found + 1))
  extra=$("${NM:-nm}" -C --defined-only "$object" | grep -E ' [A-TV-Zu-w] ' | grep -vE ' fastrnn::[a-z0-9_]+::(backend|int8|bfloat16)$|asan|ubsan|__odr' || true)
  if [ -n "$extra" ]; then
    echo "$object exports more than its table:"
    echo "$extra"
    exit 1
  fi
done
[ "$found" -gt 0 ] || { echo "no kernel objects under $1"; exit 1; }
echo "$found kernel objects, each exports its table alone"
