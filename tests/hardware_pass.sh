#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# hardware_pass.sh DLF SOURCE -- scripts/hardware_pass.sh on paper: every stage selects something, and all of
# them fit when each takes as long as it may.
set -u
dlf=$(realpath -e "$1") || exit 1
source=$(realpath -e "$2") || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/build" && ln -s "$dlf" "$work/build/dlf"
failures=0
fail() {
  echo "FAILED: $*"
  sed 's/^/    /' "$work/out/summary.txt"
  failures=$((failures + 1))
}

# rehearse DEVICE SECONDS STAGE...: in this order, others between them
rehearse() {
  local device=$1 most=$2 rest stage
  shift 2
  DLF_BUILD=$work/build bash "$source/scripts/hardware_pass.sh" "$work/out" "$device" rehearse >"$work/log" 2>&1 ||
    fail "on $device: exit status $?"
  rest=$(<"$work/out/summary.txt")
  for stage in "$@"; do
    [[ $rest == *"$stage "* ]] || fail "on $device: no stage '$stage', or not in this order"
    rest=${rest#*"$stage "}
  done
  if grep -qE 'FAILED|OUT OF TIME|no time left' "$work/out/summary.txt"; then fail "on $device"; fi
  local total
  total=$(awk '$NF == "s" { sum += $(NF - 1) } END { print sum }' "$work/out/summary.txt")
  [ "$total" -le "$most" ] || fail "on $device: $total s, at most $most s"
  [ "$(ls "$work/out" | wc -l)" -le 8 ] || fail "more than 8 files"
}

rehearse cuda 530 configure build 'tests on cuda' 'compute-sanitizer, four tools' 'timings, small, gated' 'timings, gpu' \
  'timings, convolutions, resnet50' experiments ncu
[ "$(tail -n 5 "$work/out/tests.txt" | grep -cE '^(layer|batch|group)_norm|^gelu')" = 5 ] || fail 'five kernels for ncu'
for words in 'softmax_xent forward f32 2048x128256' 'tensor move bf16' 'conv1x1 forward bf16 nhwc 32x64x56x56->64'; do
  grep -q "^$words" "$work/out/tests.txt" || fail "on cuda: nothing like '$words'"
done
rehearse cpu 530 configure build 'tests on cpu' 'timings, small, gated' 'timings, small' 'timings, convolutions, small' \
  experiments
[ "$failures" = 0 ] || exit 1
