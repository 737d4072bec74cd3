#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what is missing to build and run dlf: nothing if nothing is missing, and never asks.
# Where it may not install (no root, no sudo without password, no apt-get) it prints the one line to
# run and exits with 1.
set -euo pipefail

# package, and how to see that what it brings is there already, from wherever that came
needs=(
  "gcc|command -v gcc"
  "g++|command -v g++"
  "cmake|command -v cmake"
  "ninja-build|command -v ninja"
  "git|command -v git"
  "libjansson-dev|has_header jansson.h"
  "zlib1g-dev|has_header zlib.h"
  "libcmocka-dev|has_header cmocka.h"
  "libopenblas0-pthread|has_library libopenblas.so.0"
  "gnuplot-nox|command -v gnuplot"
  "fontconfig|command -v fc-list"
  "fonts-noto-cjk|has_chinese_font"
)

has_header() {
  echo "#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <$1>" | gcc -E -x c - 2>/dev/null
}
has_library() { { ldconfig -p || /sbin/ldconfig -p; } 2>/dev/null | grep -F "$1"; }
has_chinese_font() { fc-list :lang=zh family 2>/dev/null | grep .; }

missing=()
find_missing() {
  missing=()
  local need
  for need in "${needs[@]}"; do
    # no quoting: the second half is a command with its arguments
    ${need#*|} >/dev/null 2>&1 || missing+=("${need%%|*}")
  done
}

install_packages() {
  local install=(apt-get install -y --no-install-recommends "${missing[@]}")
  if ! command -v apt-get >/dev/null; then
    echo "setup: this system has no apt-get. Needed, under the names that Debian uses:" >&2
    echo "  ${missing[*]}" >&2
    exit 1
  fi
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      echo "setup: packages are missing and this user may not install them. Run once:" >&2
      echo "  sudo ${install[*]}" >&2
      exit 1
    fi
    as_root=(sudo -n)
  fi
  echo "setup: installing ${missing[*]}"
  # A stale or half-broken package index is no reason to stop: the install decides.
  "${as_root[@]}" apt-get update -qq </dev/null || true
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}" </dev/null
}

# CMakePresets.json needs CMake 3.25; Ubuntu 22.04 brings 3.22.
check_cmake() {
  local version
  version=$(cmake --version | sed -n '1s/.*version \([0-9]*\.[0-9]*\).*/\1/p')
  if [ "$(printf '%s\n3.25\n' "$version" | sort -V | head -n 1)" != 3.25 ]; then
    echo "setup: CMake $version is too old, 3.25 is needed. One of these brings a newer one:" >&2
    echo "  pip install cmake" >&2
    echo "  sudo snap install cmake --classic" >&2
    exit 1
  fi
}

find_missing
if [ ${#missing[@]} -gt 0 ]; then
  install_packages
  find_missing
  if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: still missing after the installation: ${missing[*]}" >&2
    exit 1
  fi
fi
check_cmake
