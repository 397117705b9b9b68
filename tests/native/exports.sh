#!/usr/bin/env bash
# The shared library exports fastrnn_* and what lies in namespace fastrnn, and nothing else.
# Usage: exports.sh LIBRARY        NM: the nm that reads it, that of this machine unless given
set -euo pipefail
exported=$("${NM:-nm}" -D --defined-only "$1" | awk '{print $3}' | sed 's/@.*//')
extra=$(grep -vE '^(fastrnn_[a-z_]+|_Z(N|NK|TIN|TSN|TVN)7fastrnn.*)$' <<< "$exported" || true)
if [ -n "$extra" ]; then
  echo "$1 exports more than its interface:"
  c++filt <<< "$extra"
  exit 1
fi
# All of the C API, and nothing that its header does not have.
header=$(dirname "${BASH_SOURCE[0]}")/../../csrc/include/fastrnn/fastrnn.h
diff <(grep -oE 'fastrnn_[a-z_]+\(' "$header" | tr -d '(' | sort -u) <(grep '^fastrnn_' <<< "$exported" | sort -u) ||
  { echo "$1 and fastrnn.h differ in their functions"; exit 1; }
echo "$(wc -l <<< "$exported") symbols, $(grep -c '^fastrnn_' <<< "$exported") of them the C API"
