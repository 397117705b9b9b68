#!/usr/bin/env bash
# Builds the Python module with AddressSanitizer and UndefinedBehaviorSanitizer, bindings included, and gives
# python_api.py N calls with it. Ends with an error at the first that a sanitizer or the fuzzer finds.
# Usage: bash tests/fuzz/python_asan.sh [N] [SEED]        N: 200000, SEED: 1. Needs gcc; Python with NumPy and pybind11.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-python3}
build=build/python-asan
export CXX=${CXX:-g++}
# -O1 and no AVX-512, for a quick build. A leak cannot be told from what Python keeps to its end.
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=None -DFASTRNN_PYTHON=ON -DFASTRNN_CUDA=OFF -DFASTRNN_AVX512=OFF \
  -DFASTRNN_KERNEL_OPTIMISATION=-O1 \
  -DPython_EXECUTABLE="$("$python" -c 'import sys; print(sys.executable)')" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" \
  -DCMAKE_CXX_FLAGS="-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" > /dev/null
cmake --build "$build" -j 2 --target _core | tail -n 1

package=$build/package/fastrnn
rm -rf "$build/package"
mkdir -p "$package"
cp -r python/fastrnn/. "$package"
cp "$build"/_core*.so "$package"
export PYTHONPATH=$build/package
export LD_LIBRARY_PATH=$PWD/$build${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_PRELOAD="$("$CXX" -print-file-name=libasan.so) $("$CXX" -print-file-name=libubsan.so) $("$CXX" -print-file-name=libstdc++.so)"
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:handle_segv=1 UBSAN_OPTIONS=print_stacktrace=1
"$python" tests/fuzz/python_api.py --calls "${1:-200000}" --seed "${2:-1}" --modest
