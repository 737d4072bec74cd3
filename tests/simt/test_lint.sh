#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# lint.sh finds what is planted, where it is, and nothing else.
set -euo pipefail

lint=$(cd "$(dirname "$0")" && pwd)/lint.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail() { echo "test_lint.sh: $*" >&2; exit 1; }

# expect <exit status> <output>
expect() {
    local status=0 output
    output=$(bash "$lint" "$dir" 2>&1) || status=$?
    output=${output//$dir\//}
    [ "$status" -eq "$1" ] || fail "exit status $status, not $1; output: $output"
    [ "$output" = "$2" ] || fail "printed '$output', not '$2'"
}

expect 0 ""

cat >"$dir/launch.cuh" <<'EOF'
#define DLF_SHARED(T, name, ...) __shared__ T name __VA_ARGS__
kernel<<<grid, block, smem, stream>>>(args...);
EOF
cat >"$dir/good.cu" <<'EOF'
/* __shared__ in a comment,
 * kernel<<<1, 1>>>() and atomicAdd(p, 1) too */
static const char text[] = "a<<<b"; // <<<
unsigned x = 1u << 3;
atomicAdd(&count, 1u); /* atomics: integer, any order gives the same */
my_atomicAdd(p, v);
EOF
expect 0 ""

cat >"$dir/bad.cu" <<'EOF'
__shared__ float a[32];
extern __shared__ float b[];
    kernel<<<1, 32>>>(p);
atomicAdd(p, 1.0f);
  atomicAdd (p, 1.0f); /* atomics: */
EOF
expect 1 "bad.cu:1: raw __shared__: use DLF_SHARED or DLF_DYN_SHARED
bad.cu:2: raw __shared__: use DLF_SHARED or DLF_DYN_SHARED
bad.cu:3: raw kernel launch: use DLF_LAUNCH
bad.cu:4: atomicAdd without a reason on the same line: /* atomics: <reason> */
bad.cu:5: atomicAdd without a reason on the same line: /* atomics: <reason> */"

status=0
bash "$lint" "$dir/nowhere" 2>/dev/null || status=$?
[ "$status" -eq 2 ] || fail "a missing directory gives $status, not 2"

bash "$lint" >/dev/null || fail "the kernels of this repository break the rules"
echo "lint: ok"
