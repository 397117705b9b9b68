#!/bin/bash
# The day there is a GPU: everything that only one can show, in one command and nine minutes at most.
#
#   bash tools/gpu_day.sh FOLDER
#
# For a bare machine with an H100 or H200, nvcc, CMake, ninja, Python with NumPy, pybind11, pytest and PyTorch, without a
# network. Phases come in order of value. Each runs under a timeout of its own and leaves in FOLDER, while it runs,
# NAME.log and, where it has lines of JSON, NAME.jsonl; how it ended is a line of FOLDER/phases.jsonl as soon as it has.
# None takes another along; what is missing (a tool, a device, the right to counters, time) skips a phase with a line
# that says so. The exit status is 1 if a phase failed or ran out of its time.
#
# GPU_DAY_SECONDS, GPU_DAY_LIMIT: at most so many seconds for all, for each. GPU_DAY_PLANT="NAME:hang NAME:crash",
# FASTRNN_TEST_EMULATED_GPU=1: for the test of this file (tests/cuda/test_gpu_day.py).
set -u
[ $# -eq 1 ] || { echo "usage: bash tools/gpu_day.sh FOLDER" >&2; exit 2; }
mkdir -p "$1" && folder=$(cd "$1" && pwd) || exit 2
cd "$(dirname "$0")/.." || exit 2
python=${PYTHON:-python3}
end=$((SECONDS + ${GPU_DAY_SECONDS:-540}))
worst=0
: > "$folder/phases.jsonl"

# phase NAME SECONDS COMMAND...: its standard output is JSON if NAME ends in a colon. Status 77 means: skipped, and the
# last line says why.
phase() {
  local name=${1%:} output=/dev/stdout limit=$2 begin=$SECONDS code status why
  [ "$name" = "$1" ] || output=$folder/$name.jsonl
  shift 2
  case " ${GPU_DAY_PLANT:-} " in
    *" $name:hang "*) set -- bash -c 'trap "" TERM; while :; do sleep 1; done' ;;
    *" $name:crash "*) set -- bash -c 'kill -SEGV $$' ;;
  esac
  limit=$((limit < ${GPU_DAY_LIMIT:-limit} ? limit : ${GPU_DAY_LIMIT:-limit}))
  limit=$((limit < end - SECONDS - 2 ? limit : end - SECONDS - 2))
  if [ "$limit" -lt 2 ]; then
    tell "$name" skipped 0 0 "no time left"
    return 1
  fi
  # 2 s after the first signal comes the one that nothing survives; both go to the phase's whole process group.
  if [ "$output" = /dev/stdout ]; then
    timeout -k 2 "$limit" "$@" > "$folder/$name.log" 2>&1 < /dev/null
  else
    timeout -k 2 "$limit" "$@" > "$output" 2> "$folder/$name.log" < /dev/null
  fi
  code=$?
  why=$(cat "$folder/$name.log" "$folder/$name.jsonl" 2> /dev/null | tail -n 1 | tr -d '"\\' | tr -c '[:print:]' ' ' | cut -c -300)
  case $code in
    0) status=done why= ;;
    77) status=skipped ;;
    124 | 137) status=late why="ended after $limit s" ;;
    *) status=failed ;;
  esac
  tell "$name" $status $code $((SECONDS - begin)) "$why"
}

# tell NAME STATUS CODE SECONDS WHY
tell() {
  printf '{"phase": "%s", "status": "%s", "code": %d, "seconds": %d, "why": "%s"}\n' "$@" >> "$folder/phases.jsonl"
  printf '%-20s %-8s %4d s  %s\n' "$1" "$2" "$4" "$5"
  case $2 in done | skipped) ;; *) worst=1 ;; esac
  [ "$2" = done ]
}

skip() { tell "$1" skipped 77 0 "$2"; }
have() { command -v "$1" > /dev/null; }

# The package, as pip would lay it out, of kernels for sm_90 alone. Without it Python's phases say why they cannot run.
build() {
  phase build 240 bash -c '
    set -e
    cmake -S . -B "$1/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DFASTRNN_CUDA=ON -DFASTRNN_CUDA_TARGETS=90-real \
      -DFASTRNN_PYTHON=ON -DPython_EXECUTABLE="$(command -v "$2")" -Dpybind11_DIR="$("$2" -m pybind11 --cmakedir)"
    cmake --build "$1/build"
    mkdir -p "$1/site/fastrnn"
    cp -r python/fastrnn/. "$1/site/fastrnn/"
    cmake --install "$1/build" --prefix "$1/site/fastrnn"' build "$folder" "$python"
  [ -d "$folder/site/fastrnn" ] && export PYTHONPATH="$folder/site${PYTHONPATH:+:$PYTHONPATH}"
}

# nvcc_program NAME: bench/NAME.cu becomes FOLDER/NAME.
nvcc_program() {
  if ! have nvcc; then skip "$1-build" "no nvcc on the PATH"; return 1; fi
  phase "$1-build" 60 nvcc -std=c++17 -O3 -arch=sm_90 -Icsrc -Icsrc/include "bench/$1.cu" -o "$folder/$1"
}

checks="$python -m tests.support.cuda.gpu_checks"
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

if [ -n "${FASTRNN_TEST_EMULATED_GPU:-}" ]; then
  phase build 240 "$python" -c 'from tests.support.cuda import emulated; emulated.module()'
elif have nvcc && have cmake && have ninja; then
  build
else
  skip build "no nvcc, cmake or ninja on the PATH"
fi

nvcc_program device_facts && phase facts: 20 "$folder/device_facts"
have nvidia-smi && phase nvidia-smi 10 nvidia-smi -q
phase import: 20 "$python" -c 'import fastrnn, json; print(json.dumps(fastrnn.info(), default=str))'
nvcc_program barriers && phase barriers: 40 "$folder/barriers"

for tier in block cluster grid graph; do
  phase "tier-$tier:" 40 $checks $tier
done
FASTRNN_CUBLASLT="" phase tier-without-blas: 30 $checks block

phase speed: 80 "$python" -m bench.cuda_speed --seconds 65

for tier in block cluster grid graph; do
  phase "sizes-$tier:" 30 $checks $tier --sizes
done
# 5: no test was left, as on a machine without a GPU.
phase options 40 bash -c '"$1" -m pytest -q --full -p no:cacheprovider -m gpu tests/cuda/test_gpu.py \
  -k "options or stacks or large or thousand"; code=$?; [ $code -eq 5 ] && exit 77; exit $code' options "$python"

one='[{"cell": "lstm", "hidden": 33, "batch": 3, "steps": 4, "dtype": "bfloat16", "tier": "TIER", "ragged": true, "reverse": false}]'
for tool in memcheck racecheck; do
  for tier in block cluster grid graph; do
    if have compute-sanitizer; then
      phase "$tool-$tier:" 30 compute-sanitizer --tool=$tool --error-exitcode=99 --log-file "$folder/$tool-$tier.txt" \
        $checks $tier --cases "${one/TIER/$tier}"
    else
      skip "$tool-$tier" "no compute-sanitizer on the PATH"
    fi
  done
done

if [ -x "$folder/barriers" ]; then phase stress: 40 "$folder/barriers" 20; else skip stress "no barriers to run"; fi

for tier in block cluster grid graph; do
  hidden=$([ $tier = block ] && echo 128 || echo 512)
  if have ncu; then
    phase "ncu-$tier" 40 bash -c '
      ncu --set full -k "regex:forward|step|product" -c 2 -f -o "$1" "${@:2}"; code=$?
      [ $code -eq 0 ] || ! ncu --version > /dev/null || echo "ncu ended with $code: perhaps without the right to counters"
      exit $((code ? 77 : 0))' ncu "$folder/ncu-$tier" "$python" -m bench.cuda_speed --once lstm $hidden 16 bfloat16 $tier
  else
    skip "ncu-$tier" "no ncu on the PATH"
  fi
done

echo "how each phase ended: $folder/phases.jsonl"
exit $worst
