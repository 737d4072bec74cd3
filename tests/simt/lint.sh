#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Rules for kernel sources that a compiler does not enforce. Prints file:line: reason for each
# violation and exits with 1 if there is one, 2 on wrong use.
#
#   lint.sh [directory]        default: the kernels/ of this repository
#
# Shared memory and launches are spelled in launch.cuh only, or the CPU test bed cannot see them.
# atomicAdd on floating-point numbers makes results depend on the order of execution; which type it
# adds cannot be seen in the text, so each use says why it is harmless: /* atomics: <reason> */
set -euo pipefail

dir=${1:-$(cd "$(dirname "$0")/../.." && pwd)/kernels}
[ -d "$dir" ] || { echo "lint.sh: no directory $dir" >&2; exit 2; }

find "$dir" -type f \( -name '*.cu' -o -name '*.cuh' -o -name '*.h' \) ! -name launch.cuh -print0 |
    sort -z |
    xargs -0 -r awk '
function report(reason) { printf "%s:%d: %s\n", FILENAME, FNR, reason; bad = 1 }

# The line without comments and string literals; comments may go on over several lines.
function code_of(line,    out, i, two, ch) {
    out = ""
    for (i = 1; i <= length(line); i++) {
        two = substr(line, i, 2)
        ch = substr(line, i, 1)
        if (in_comment) {
            if (two == "*/") { in_comment = 0; i++ }
        } else if (two == "/*") { in_comment = 1; i++ }
        else if (two == "//") break
        else if (ch == "\"") {
            for (i++; i <= length(line) && substr(line, i, 1) != "\""; i++)
                if (substr(line, i, 1) == "\\") i++
            out = out "\"\""
        } else out = out ch
    }
    return out
}

FNR == 1 { in_comment = 0 }
{
    code = code_of($0)
    if (code ~ /__shared__/) report("raw __shared__: use DLF_SHARED or DLF_DYN_SHARED")
    if (code ~ /<<</) report("raw kernel launch: use DLF_LAUNCH")
    if (code ~ /[^A-Za-z0-9_]atomicAdd[ \t]*\(|^atomicAdd[ \t]*\(/ &&
        $0 !~ /\/\* atomics: [^ *][^*]*\*\//)
        report("atomicAdd without a reason on the same line: /* atomics: <reason> */")
}
END { exit bad }
' || { status=$?; [ "$status" -eq 123 ] || [ "$status" -eq 1 ] || exit "$status"; exit 1; }
