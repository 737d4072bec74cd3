#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds and runs all tests. Any failure makes the exit status non-zero.
#   DLF_PRESET     configure, build and test preset (default: default; CI uses ci)
#   DLF_SKIP_ASAN  1: leave out the second pass under address and undefined-behaviour sanitizers
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset=${DLF_PRESET:-default}

scripts/setup.sh

build_and_test() {
  cmake --preset "$1"
  cmake --build --preset "$1" --parallel
  ctest --preset "$1" -j2
}

build_and_test "$preset"
if [ "${DLF_SKIP_ASAN:-0}" != 1 ] && [ "$preset" != asan ]; then
  build_and_test asan
fi
