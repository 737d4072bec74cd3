#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# From a clean clone to answers: set up, build, run every experiment into out/. Arguments go to
# `dlf run all`:  scripts/run.sh --quick --seeds 8
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/setup.sh
cmake --preset default
cmake --build --preset default --parallel

status=0
build/default/dlf run all "$@" || status=$?
echo
echo "Open out/*/answer.en.md or out/*/answer.zh.md (the figures lie beside them)."
exit "$status"
