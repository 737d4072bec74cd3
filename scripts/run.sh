#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# From a clean clone to answers: set up, build, run every experiment into out/. Arguments go to
# `dlf run all`:  scripts/run.sh --quick --seeds 8
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/setup.sh
cmake --preset default
cmake --build --preset default --parallel --target dlf bench_train_step # the tests are for scripts/test.sh

out=out before=
for argument; do
  case $before in --out | -o) out=$argument ;; esac
  case $argument in --out=*) out=${argument#--out=} ;; esac
  before=$argument
done

status=0
build/default/dlf run all "$@" || status=$?
# What was stored is worth reading even if a run failed; then it is the run's exit code that counts.
build/default/dlf report "$out" || [ "$status" != 0 ] || status=$?
echo
echo "Open $out/report.html, or $out/*/answer.en.md and $out/*/answer.zh.md one by one."
exit "$status"
