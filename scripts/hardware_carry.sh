#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copies what scripts/hardware_pass.sh needs and a bare GPU machine lacks (headers and libraries of
# jansson, zlib, cmocka) from this machine into ./.hw, under 1 MiB. Take .hw along with the sources.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh
rm -rf .hw
mkdir -p .hw/include .hw/lib
for header in jansson.h jansson_config.h zlib.h zconf.h cmocka.h; do
  path=$(echo "#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <$header>" | gcc -E -M -x c - | tr -s ' \\' '\n' | grep "/$header$" | head -n 1)
  cp "$path" .hw/include/
done
for library in libjansson.a libz.a libcmocka.so libcmocka.so.0; do
  cp -L "$(gcc -print-file-name=$library)" .hw/lib/
done
du -sh .hw
