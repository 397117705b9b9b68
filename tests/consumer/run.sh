#!/usr/bin/env bash
# Builds the consumer project and the embedding examples outside the tree, against the installed wheel, and, with
# `all`, against a build by add_subdirectory and what that installs (find_package and pkg-config), which compiles the
# library once. Needs CMake, and a Python in which fastrnn is installed.
# Usage: run.sh WORK_DIRECTORY [all]
set -euo pipefail
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
mkdir -p "$1"
work=$(cd "$1" && pwd)
cd "$work" # not the source tree, whose package is not installed
model=$work/model.safetensors
python - "$model" <<'PYTHON'
import sys

import fastrnn

model = fastrnn.Sequential([fastrnn.LSTM(16, return_sequences=True), fastrnn.GRU(8, return_sequences=True)])
model.add(fastrnn.Dense(3, activation="softmax"))
model.build((None, 20, 4))
model.save(sys.argv[1])
PYTHON

# consumer NAME OPTIONS...: configures, builds and runs it.
consumer() {
  local name=$1
  shift
  echo "-- consumer: $name"
  cmake -S "$tree/tests/consumer" -B "$work/$name" -DCMAKE_BUILD_TYPE=Release "-DMODEL=$model" "$@" > "$name.log"
  cmake --build "$work/$name" --parallel 2 >> "$name.log" || { tail -n 40 "$name.log"; return 1; }
  ctest --test-dir "$work/$name" --output-on-failure | tail -n 3
}

# example NAME OPTIONS...: two steps give two lines of three numbers.
example() {
  local name=$1
  shift
  cmake -S "$tree/examples/$name" -B "$work/$name" "$@" > "$name.log"
  cmake --build "$work/$name" >> "$name.log"
  echo "1 2 3 4  0.5 -1 0 2" | "$work/$name/$name" "$model" > "$name.out"
  [ "$(awk 'NF == 3' "$name.out" | wc -l)" = 2 ] || { echo "$name: expected 2 lines of 3, got:"; cat "$name.out"; return 1; }
  echo "-- example: $name ran"
}

wheel=$(python -m fastrnn --cmake-dir)
consumer wheel "-Dfastrnn_DIR=$wheel"
# By the compiler itself: CMake's own module for pkg-config looks for files of -l, and knows none of -l:NAME.
echo "-- consumer: wheel, pkg-config"
flags=$(PKG_CONFIG_PATH=$wheel/../../pkgconfig pkg-config --cflags --libs fastrnn)
cc -std=c99 "$tree/tests/consumer/use.c" $flags -o use_c # shellcheck: words are meant
./use_c "$model" | grep -E "^bits [0-9a-f]+$"
for name in embed_c embed_cpp; do example "$name" "-Dfastrnn_DIR=$wheel"; done
cmp embed_c.out embed_cpp.out

if [ "${2:-}" = all ]; then
  consumer source -DFASTRNN_FROM=source "-DFASTRNN_SOURCE=$tree" -DFASTRNN_INSTALL=ON -DFASTRNN_CUDA=OFF \
    -DFASTRNN_KERNEL_OPTIMISATION=-O1 -DFASTRNN_AVX512=OFF  # quicker, and as good for what is looked at here
  cmake --install "$work/source" --prefix "$work/prefix" > install.log
  mv "$work/prefix" "$work/moved" # the package is relocatable
  consumer package "-DCMAKE_PREFIX_PATH=$work/moved"
  PKG_CONFIG_PATH=$(dirname "$(find "$work/moved" -name fastrnn.pc)") consumer pkgconfig -DFASTRNN_FROM=pkgconfig \
    "-DCMAKE_BUILD_RPATH=$(dirname "$(find "$work/moved" -name 'libfastrnn.so')")"
  bash "$tree/tests/native/exports.sh" "$(find "$work/moved" -name 'libfastrnn.so')"
fi
