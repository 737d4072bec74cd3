#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Everything that only a GPU can say, in one run of less than nine minutes: build, tests on the device,
# compute-sanitizer on small shapes, timings against PyTorch, cuDNN and cuBLASLt, the experiments, counters
# of five kernels.
#
#   scripts/hardware_pass.sh OUT [cuda|cpu]
#
# Needs nvcc, gcc, CMake >= 3.25 and ninja; no package manager and no network. What else it needs is in
# .hw (scripts/hardware_carry.sh, run where there is a package manager). python3 with PyTorch,
# compute-sanitizer and ncu are used if they are there. `cpu` rehearses all of it on a machine without a
# GPU. Writes at most 8 files into OUT; a stage that fails or runs out of time does not stop the next.
# Exit status: 0 if every stage that could run passed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=$(mkdir -p "${1:?usage: scripts/hardware_pass.sh OUT [cuda|cpu]}" && cd "$1" && pwd)
device=${2:-cuda}
build=build/hw
failed=0
all=530 # seconds; what is left of them is the last limit of every stage
export LD_LIBRARY_PATH=$PWD/.hw/lib:/usr/local/cuda/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PYTHONUNBUFFERED=1

skip() { printf '%-34s %-22s\n' "$1" "skipped: $2" | tee -a "$out/summary.txt"; }

# stage NAME SECONDS LOG COMMAND...: one line of summary, the output appended to LOG.
stage() {
  local name=$1 limit=$2 log=$out/$3 start=$SECONDS status=0
  shift 3
  if [ $((all - SECONDS)) -lt "$limit" ]; then limit=$((all - SECONDS)); fi
  if [ "$limit" -lt 5 ]; then skip "$name" "no time left"; failed=1; return; fi
  { echo "==== $name: $*"; timeout --kill-after=5 "$limit" "$@"; } >>"$log" 2>&1 || status=$?
  local word=passed
  [ $status = 0 ] || { word="FAILED ($status)"; failed=1; }
  [ $status != 124 ] || word="OUT OF TIME after ${limit} s"
  printf '%-34s %-22s %4d s\n' "$name" "$word" $((SECONDS - start)) | tee -a "$out/summary.txt"
}

rm -f "$out"/{summary,device,tests,sanitizer,ncu}.txt "$out"/{bench_small.json,bench.json,experiments.tar.gz}
{
  git rev-parse HEAD 2>/dev/null
  date -u +%Y-%m-%dT%H:%MZ
  nvcc --version
  nvidia-smi || echo "no nvidia-smi"
  uname -a
} >"$out/device.txt" 2>&1

configure=(cmake -G Ninja -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DDLF_TEST_BED=OFF
  -DCMAKE_PREFIX_PATH="$PWD/.hw")
if [ "$device" = cuda ]; then configure+=(-DDLF_CUDA=ON -DDLF_CUDA_ARCHS=native); else configure+=(-DDLF_CUDA=OFF); fi
stage configure 60 tests.txt "${configure[@]}"
stage build 180 tests.txt cmake --build "$build" --parallel
[ -x "$build/dlf" ] || { echo "nothing was built; see $out/tests.txt" >&2; exit 1; }
"$build/dlf" doctor >>"$out/device.txt" 2>&1

if [ "$device" = cuda ]; then pattern='\.cuda$'; else pattern='\.cpu$|^every_op$'; fi
stage "tests on $device" 150 tests.txt ctest --test-dir "$build" -R "$pattern" -j4 --output-on-failure --timeout 120

small=$build/tests/test_every_op
# All four at once: they look at correctness, not at time.
sanitize() {
  local pids=() tool pid status=0
  for tool in memcheck racecheck initcheck synccheck; do
    compute-sanitizer --tool $tool --error-exitcode 9 --print-limit 20 "$small" cuda \
      >"$build/$tool.log" 2>&1 &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || status=$?; done
  for tool in memcheck racecheck initcheck synccheck; do
    echo "---- $tool"
    cat "$build/$tool.log"
  done
  return $status
}
if [ "$device" = cuda ] && command -v compute-sanitizer >/dev/null; then
  export build small
  export -f sanitize
  stage "compute-sanitizer, four tools" 120 sanitizer.txt bash -c sanitize
else
  skip "compute-sanitizer" "not on this machine"
fi

# Correctness was tested above; here the gate would take minutes of the host for the largest shapes, so
# it looks at the small ones, of ours and of the peers. Convolutions in a stage of their own: cuDNN and
# cuBLASLt search for their plans. Their file travels with the experiments.
suite=gpu convs=resnet50
[ "$device" = cuda ] || suite=small convs=small
bench=("$build/dlf" bench --device "$device" --quiet --max-noise 2 --passes 1 --against best,unfused)
python3 -c 'import torch' 2>/dev/null || skip "PyTorch as a peer" "no torch in python3"
mkdir -p "$build/out"
stage "timings, small, gated" 60 tests.txt "${bench[@]}" all --suite small --time 0.05 --out "$out/bench_small.json"
stage "timings, $suite" 100 tests.txt "${bench[@]}" norm activation softmax_xent ceiling --suite $suite \
  --dtype f32,bf16 --no-gate --time 0.1 --out "$out/bench.json"
stage "timings, convolutions, $convs" 60 tests.txt "${bench[@]}" conv1x1 conv --suite $convs --layout nhwc \
  --dtype tf32,bf16,f32 --filter '^conv |tf32|bf16' --no-gate --time 0.05 --out "$build/out/bench_conv.json"

run=("$build/dlf" run all --device "$device" --out "$build/out" --no-plot)
if [ "$device" = cuda ]; then run+=(--full); else run+=(--quick); fi
stage experiments 90 tests.txt "${run[@]}"
[ ! -d "$build/out" ] || tar -C "$build" -czf "$out/experiments.tar.gz" out

if [ "$device" = cuda ] && command -v ncu >/dev/null; then
  requests='norm layer_norm forward nchw f32 linear 0 0 1 8192 4096 1 0
norm layer_norm backward nchw f32 linear 0 0 1 8192 4096 1 0
norm batch_norm forward nchw f32 linear 0 0 1 32 64 112 112
norm group_norm forward nhwc f32 linear 32 0 1 8 512 64 64
act gelu forward f32 67108864'
  while read -r request; do
    stage "ncu $(echo "$request" | cut -d' ' -f1-4)" 25 ncu.txt bash -c \
      'echo "$1" | ncu --clock-control none --section SpeedOfLight --section LaunchStats --section Occupancy \
         --launch-count 4 "$2" cuda' _ "$request" "$build/bench_kernels"
  done <<<"$requests"
else
  skip ncu "not on this machine"
fi
exit $failed
