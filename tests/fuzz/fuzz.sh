#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# fuzz.sh FORMAT SECONDS [DIR] -- libFuzzer with address and undefined-behaviour sanitizers on one loader
# (idx, npy, cifar, digits), one core. Inputs found are kept in DIR (default build/fuzz). Needs clang and
# libclang-rt, and the generated files of a configured build (BUILD, default build/cpu).
set -eu
format=$1 seconds=$2
cd "$(dirname "$0")/../.."
dir=${3:-build/fuzz} build=${BUILD:-build/cpu}
mkdir -p "$dir/$format"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${CC:-clang}" -std=c11 -D_GNU_SOURCE -g -O1 -ffp-contract=off -fno-omit-frame-pointer \
  -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Iinclude -Ihost -Itests/fuzz \
  tests/fuzz/fuzzer.c tests/fuzz/fuzz_data.c host/data/*.c host/result/atomic_file.c host/result/buffer.c \
  host/backend/status.c host/experiments/nearest.c "$build/generated/embedded_files.c" -lz -lm -o "$scratch/fuzzer"
mkdir "$scratch/files"
DLF_FUZZ=$format DLF_FUZZ_SCRATCH=$scratch/files "$scratch/fuzzer" -max_total_time="$seconds" -timeout=10 \
  -print_final_stats=1 -artifact_prefix="$dir/$format-" ${FUZZ_FLAGS:-} "$dir/$format" "tests/fuzz/corpus/$format"
