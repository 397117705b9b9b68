#!/usr/bin/env bash
# Builds the library and the Python module with each compiler, warnings as errors, and checks every instruction set of
# this machine against the reference; what a compiler's build computes must be what the first one's does, bit for bit.
# With `library` first, the library alone is compiled. Kernels are at -O1, unless OPTIMISATION says otherwise.
# Usage: compilers.sh [library] [COMPILER...]      (needs CMake, Ninja, and for the module pybind11 and NumPy)
set -euo pipefail
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
target=all
if [ "${1:-}" = library ]; then
  target=fastrnn
  shift
fi
[ $# -gt 0 ] || set -- g++-11 g++-12 clang++-14 clang++-19

options=(-G Ninja -DCMAKE_BUILD_TYPE=Release -DFASTRNN_CUDA=OFF -DFASTRNN_WERROR=ON
  "-DFASTRNN_KERNEL_OPTIMISATION=${OPTIMISATION:--O1}" -DCMAKE_INSTALL_LIBDIR=lib)
[ "$target" = fastrnn ] ||
  options+=(-DFASTRNN_PYTHON=ON "-Dpybind11_DIR=$(python -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$(command -v python)")

# check FOLDER: runs the package in FOLDER on every instruction set; prints digests of its results.
check() {
  for isa in $(cd "$1" && python -c 'import fastrnn; print(*fastrnn.isa_available())'); do
    (cd "$1" && FASTRNN_ISA=$isa python "$tree/tests/native/compiler_check.py")
  done
}

first=
for compiler in "$@"; do
  command -v "$compiler" > /dev/null || { echo "-- $compiler: not here, skipped"; continue; }
  folder=$work/$compiler
  CXX=$compiler cmake -S "$tree" -B "$folder" "${options[@]}" > "$work/log" || { cat "$work/log"; exit 1; }
  cmake --build "$folder" --target "$target" -- -j2 > "$work/log" || { tail -n 40 "$work/log"; exit 1; }
  if [ "$target" = all ]; then
    cmake --install "$folder" --prefix "$folder/site/fastrnn" > "$work/log"
    cp -r "$tree"/python/fastrnn/* "$folder/site/fastrnn/"
    check "$folder/site" > "$folder/digests"
    first=${first:-$folder/digests}
    diff "$first" "$folder/digests" || { echo "-- $compiler: other results than the first compiler's"; exit 1; }
    rm -rf "$folder/site"
  fi
  echo "-- $compiler: $("$compiler" -dumpfullversion -dumpversion), no warnings${first:+, $(wc -l < "$first") digests}"
done
