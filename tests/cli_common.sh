# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# cli_common.sh -- what cli.sh and cli_bench.sh, started with DLF SOURCE, have in common.
set -u
dlf=$(realpath -e "$1") || exit 1
source=$(realpath -e "$2") || exit 1
unset DLF_CPU_LEVEL DLF_BLAS DLF_DATA LC_ALL LC_MESSAGES NO_COLOR
export LANG=C.UTF-8
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

fail() {
  echo "FAILED: $*"
  sed 's/^/    stdout: /' stdout | head -n 8
  sed 's/^/    stderr: /' stderr | head -n 8
  failures=$((failures + 1))
}

# with NAME=VALUE... expect ...: in this environment
settings=()
with() {
  while [ "$1" != expect ]; do
    settings+=("$1")
    shift
  done
  "$@"
  settings=()
}

# expect CODE ARGS...: run dlf, compare its exit code; output goes to ./stdout and ./stderr
expect() {
  local code=$1 got=0
  shift
  env "${settings[@]}" "$dlf" "$@" >stdout 2>stderr </dev/null || got=$?
  [ "$got" = "$code" ] || fail "dlf $(printf '%.60s ' "$@"): exit $got, expected $code"
  if [ "$code" = 0 ] && [ -s stderr ]; then fail "dlf $*: succeeds and writes to stderr"; fi
}
says() { grep -qF -- "$1" stdout || fail "stdout lacks '$1'"; }
complains() {
  grep -qF -- "$1" stderr || fail "stderr lacks '$1'"
  [ "$(wc -l <stderr)" = 1 ] || fail "an error is one line"
}

# The smallest run of a real experiment; its science does not matter here.
tiny=(--set width=16 --set depth=3 --set steps=10 --set time=5 --set starts=2 --seeds 2 --no-plot)

have_python=$(command -v python3 || true)
# json FILE: how many JSON documents does it hold one after the other? 0 if one is malformed
count_json() {
  "$have_python" -c '
import json, sys
text, n, i = open(sys.argv[1], encoding="utf-8").read(), 0, 0
try:
    while text[i:].strip():
        i += len(text[i:]) - len(text[i:].lstrip())
        _, i = json.JSONDecoder().raw_decode(text, i)
        n += 1
except ValueError:
    n = 0
print(n)' "$1"
}
expect_json() {
  [ -n "$have_python" ] || return 0
  [ "$(count_json stdout)" = "$1" ] || fail "stdout is not $1 JSON document(s)"
}

# The last line of a script: its exit status.
all_hold() {
  [ $failures = 0 ] && echo "all of $(basename "$0") holds"
  [ $failures = 0 ]
}
