#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Everything that only a GPU can say, in one run of less than nine minutes: build, tests on the device,
# compute-sanitizer on small shapes, timings against PyTorch, cuDNN, cuBLASLt, Liger-Kernel and QuACK, the
# experiments, counters of five kernels.
#
#   scripts/hardware_pass.sh OUT [cuda|cpu] [rehearse]
#
# Needs nvcc, gcc, CMake >= 3.25 and ninja; no package manager and no network. What else it needs is in
# .hw (scripts/hardware_carry.sh, run where there is a package manager). python3 with PyTorch,
# compute-sanitizer and ncu are used if they are there. `cpu` rehearses all of it on a machine without a
# GPU; `rehearse` runs nothing: every stage takes all of its time on paper, and what `dlf bench` would time is
# listed (by build/hw/dlf, or what DLF_BUILD has), so that a wrong name or too long a pass shows anywhere.
# Writes at most 8 files into OUT; a stage that fails or runs out of time does not stop the next, and what
# dlf had measured until then is stored. Exit status: 0 if every stage that could run passed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=$(mkdir -p "${1:?usage: scripts/hardware_pass.sh OUT [cuda|cpu] [rehearse]}" && cd "$1" && pwd)
device=${2:-cuda}
rehearse=${3:-}
build=${DLF_BUILD:-build/hw}
failed=0
all=530 # seconds
export LD_LIBRARY_PATH=$PWD/.hw/lib:/usr/local/cuda/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PYTHONUNBUFFERED=1
supposed=0
elapsed() { if [ "$rehearse" ]; then echo $supposed; else echo $SECONDS; fi; }
has() { [ "$rehearse" ] || command -v "$1" >/dev/null; }

skip() { printf '%-34s %-22s\n' "$1" "skipped: $2" | tee -a "$out/summary.txt"; }

# On paper: the whole limit goes by, and of `dlf bench` the selection is listed.
pretend() {
  local limit=$1 status=0
  shift
  supposed=$((supposed + limit))
  while [ $# -gt 0 ] && [ "${1##*/}" != dlf ]; do shift; done
  if [ $# -gt 2 ] && [ "$2" = bench ]; then "$@" --list >>"$out/tests.txt" 2>&1 || status=$?; fi
  return $status
}

# stage NAME SECONDS KEEP LOG COMMAND...: one line of summary, the output appended to LOG. It may take that many
# seconds, but leaves KEEP of the pass's to the later ones.
stage() {
  local name=$1 limit=$2 keep=$3 log=$out/$4 start status=0 left
  start=$(elapsed)
  left=$((all - start - keep))
  shift 4
  if [ "$left" -lt "$limit" ]; then limit=$left; fi
  if [ "$limit" -lt 5 ]; then skip "$name" "no time left"; failed=1; return; fi
  if [ "$rehearse" ]; then
    pretend "$limit" "$@" || status=$?
  else
    # dlf stores what it has when it is told to end, which takes as long as the case that it is at.
    { echo "==== $name: $*"; timeout --kill-after=10 "$limit" "$@"; } >>"$log" 2>&1 || status=$?
  fi
  local word=passed
  [ $status = 0 ] || { word="FAILED ($status)"; failed=1; }
  [ $status != 124 ] || word="OUT OF TIME after ${limit} s"
  printf '%-34s %-22s %4d s\n' "$name" "$word" $(($(elapsed) - start)) | tee -a "$out/summary.txt"
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
stage configure 40 420 tests.txt "${configure[@]}"
stage build 180 250 tests.txt cmake --build "$build" --parallel
[ -x "$build/dlf" ] || { echo "nothing was built; see $out/tests.txt" >&2; exit 1; }
"$build/dlf" doctor >>"$out/device.txt" 2>&1

if [ "$device" = cuda ]; then pattern='\.cuda$'; else pattern='\.cpu$|^every_op$'; fi
stage "tests on $device" 120 230 tests.txt ctest --test-dir "$build" -R "$pattern" -j4 --output-on-failure --timeout 100

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
if [ "$device" = cuda ] && has compute-sanitizer; then
  export build small
  export -f sanitize
  stage "compute-sanitizer, four tools" 90 190 sanitizer.txt bash -c sanitize
else
  skip "compute-sanitizer" "not on this machine"
fi

# Correctness was tested above; here the gate would take minutes of the host for the largest shapes, so
# it looks at the small ones, of ours and of the peers. Convolutions in a stage of their own: cuDNN and
# cuBLASLt search for their plans. Their file travels with the experiments. Ceilings of its sizes come first
# in each.
suite=gpu convs=resnet50
[ "$device" = cuda ] || suite=small convs=small
bench=("$build/dlf" bench --device "$device" --quiet --max-noise 2 --passes 1 --against best,unfused)
python3 -c 'import torch' 2>/dev/null || skip "PyTorch as a peer" "no torch in python3"
mkdir -p "$build/out"
stage "timings, small, gated" 60 140 tests.txt "${bench[@]}" all --suite small --time 0.05 --out "$out/bench_small.json"
stage "timings, $suite" 100 75 tests.txt "${bench[@]}" norm activation softmax_xent ceiling --suite $suite \
  --dtype f32,bf16 --no-gate --time 0.1 --out "$out/bench.json"
stage "timings, convolutions, $convs" 60 45 tests.txt "${bench[@]}" conv1x1 conv --suite $convs --layout nhwc \
  --dtype tf32,bf16,f32 --filter '^conv |tf32|bf16' --no-gate --time 0.05 --out "$build/out/bench_conv.json"

# A rehearsal has three of them: all take minutes on two cores.
if [ "$device" = cuda ]; then which=(all --full); else which=(vanishing norm-axes conv1x1 --quick); fi
stage experiments 90 20 tests.txt "$build/dlf" run "${which[@]}" --device "$device" --out "$build/out" --no-plot
# For bench/results/VERIFIED.md. Tables and figures: `dlf bench --show bench.json --plot DIR`, wherever gnuplot is.
for stored in "$out/bench_small.json" "$out/bench.json" "$build/out/bench_conv.json"; do
  [ ! -f "$stored" ] || "$build/dlf" bench --show "$stored" --ledger >>"$out/summary.txt"
done
[ ! -d "$build/out" ] || tar -C "$build" -czf "$out/experiments.tar.gz" out

if [ "$device" = cuda ] && has ncu; then
  stage ncu 60 0 ncu.txt ncu --profile-from-start off --clock-control none --section SpeedOfLight \
    --section LaunchStats --section Occupancy --launch-count 24 "$build/dlf" bench --device cuda --suite gpu --profile 1 \
    --filter '^(layer_norm .*ward f32 8192x8192|batch_norm forward f32 nchw 128x64x112x112|group_norm forward f32 nhwc 16x320x64x64|gelu forward f32 16777216)$'
else
  skip ncu "not on this machine"
fi
exit $failed
