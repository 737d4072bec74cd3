#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check.py -- registers, shared memory and spills of every kernel, against budget.txt.

    tests/resources/check.py build/ci             exit status 1 if a kernel is over its budget
    tests/resources/check.py build/ci --write     writes docs/kernel-resources.md
    tests/resources/check.py build/ci --print     every kernel with its numbers

Reads what ptxas said when the build in that folder compiled kernels/*.cu (keep_log.sh keeps it
beside the objects), for each architecture of that build. No GPU is needed."""

import argparse
import fnmatch
import pathlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUDGET = pathlib.Path(__file__).resolve().parent / "budget.txt"
REPORT = ROOT / "docs" / "kernel-resources.md"
REPORTED = ["75", "80", "90a"]  # the first, the one with PTX for all, the measured one


class Trouble(Exception):
    pass


# ---- what ptxas said -----------------------------------------------------------------------------

@dataclass
class Kernel:
    family: str
    arch: str
    name: str
    registers: int
    smem: int   # static; what a launch asks for besides is not known to the compiler
    stack: int  # bytes of local memory of a thread, spills included
    spill: int  # bytes stored + loaded


def kernels_of(source, log):
    """The entry functions in ptxas' words. Device functions that were not inlined count with the
    kernel they are listed under."""
    found = []
    for part in re.split(r"Compiling entry function ", log)[1:]:
        name = re.match(r"'(\w+)' for 'sm_(\w+)'", part)
        used = re.search(r"Used (\d+) registers", part)
        frames = re.findall(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part)
        if not (name and used and frames):
            raise Trouble(f"{source.name}: ptxas speaks in a new way:\n{part}")
        smem = re.search(r"(\d+) bytes smem", part)
        found.append(Kernel(source.stem, name.group(2), name.group(1), int(used.group(1)),
                            int(smem.group(1)) if smem else 0, max(int(f[0]) for f in frames),
                            sum(int(f[1]) + int(f[2]) for f in frames)))
    if not found and "__global__" in source.read_text():
        raise Trouble(f"{source.name}: ptxas says nothing about its kernels")
    return found


def demangled(kernels):
    """Readable names: "grad(dlf_view<float>, ...)" is cut to "grad"; template arguments stay."""
    tool = shutil.which("cu++filt") or shutil.which("c++filt")
    if not tool or not kernels:
        return
    lines = subprocess.run([tool], input="\n".join(k.name for k in kernels), check=True, text=True,
                           stdout=subprocess.PIPE).stdout.splitlines()
    for kernel, line in zip(kernels, lines):
        line = re.sub(r"^void ", "", line)
        depth = 0
        for i, c in enumerate(line):
            depth += (c == "<") - (c == ">")
            if c == "(" and depth == 0 and i:
                line = line[:i]
                break
        kernel.name = line


def all_kernels(build):
    kernels = []
    for source in sorted((ROOT / "kernels").glob("*.cu")):
        logs = list(build.glob(f"CMakeFiles/*.dir/kernels/{source.name}.o.ptxas"))
        if len(logs) != 1:
            raise Trouble(f"{build}: {len(logs)} logs of {source.name}; build dlf there, with CUDA")
        kernels += kernels_of(source, logs[0].read_text())
    demangled(kernels)
    return kernels


# ---- budgets ------------------------------------------------------------------------------------

@dataclass
class Rule:
    family: str
    kernel: str
    arch: str
    registers: int
    smem: int
    stack: int
    line: int
    used: bool = False

    def fits(self, k):
        return (self.family in (k.family, "*") and fnmatch.fnmatchcase(k.arch, self.arch)
                and fnmatch.fnmatchcase(k.name.replace(" ", ""), self.kernel))


def read_budget():
    rules = []
    for number, line in enumerate(BUDGET.read_text().splitlines(), 1):
        fields = line.split("#")[0].split()
        if not fields:
            continue
        if len(fields) != 6:
            raise Trouble(f"budget.txt:{number}: family, kernel, arch, registers, smem, stack; "
                          f"not {len(fields)} fields")
        if rules and "#" not in line:
            raise Trouble(f"budget.txt:{number}: an exception needs its reason, behind a #")
        rules.append(Rule(*fields[:3], *map(int, fields[3:]), number))
    return rules


def over_budget(kernels, rules):
    """The last line that fits a kernel holds. One sentence for all instances of a template."""
    worst, excess = {}, {}  # (family, template, resource) -> the sentence; the kernels
    for k in kernels:
        fitting = [r for r in rules if r.fits(k)]
        for r in fitting:
            r.used = True
        if not fitting:
            raise Trouble(f"budget.txt has no line for {k.family}: {k.name}")
        rule = fitting[-1]
        for what, has, may in (("registers", k.registers, rule.registers),
                               ("bytes of static shared memory", k.smem, rule.smem),
                               ("bytes of stack", k.stack, rule.stack)):
            if has <= may:
                continue
            key = (k.family, k.name.split("<")[0], what)
            excess[key] = excess.get(key, 0) + 1
            worst[key] = max(worst.get(key, (0, "")), (
                has, f"{k.family}.cu: {k.name} has {has} {what} on sm_{k.arch}, {may} allowed "
                     f"(budget.txt:{rule.line})"))
    return [worst[key][1] + (f"; {excess[key] - 1} more like it" if excess[key] > 1 else "")
            for key in sorted(worst)]


# ---- output -------------------------------------------------------------------------------------

def table(kernels, archs):
    """One row per family, one column per architecture."""
    families = sorted({k.family for k in kernels})
    lines = ["# Registers, shared memory and spills", "",
             "What ptxas says about every kernel: of each family and architecture the most registers "
             "a thread uses, then the bytes of spills (stored + loaded) where there are any. Shared "
             "memory is the static part, which does not depend on the architecture. Written by "
             "`tests/resources/check.py build/ci --write`; the limits are in `tests/resources/budget.txt`.",
             "",
             "| family | kernels | shared bytes | " + " | ".join(f"sm_{a}" for a in archs) + " |",
             "| --- | ---: | ---: | " + " | ".join("---:" for _ in archs) + " |"]
    for family in families:
        mine = [k for k in kernels if k.family == family]
        cells = []
        for arch in archs:
            there = [k for k in mine if k.arch == arch]
            spill = max((k.spill for k in there), default=0)
            cells.append(f"{max((k.registers for k in there), default=0)}"
                         + (f", spill {spill}" if spill else ""))
        count = len([k for k in mine if k.arch == archs[0]])
        lines.append(f"| {family} | {count} | {max(k.smem for k in mine)} | "
                     + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path, help="build/ci, or any other with CUDA")
    parser.add_argument("--print", action="store_true", help="print every kernel")
    parser.add_argument("--write", action="store_true", help=f"write {REPORT.name}")
    options = parser.parse_args()
    try:
        rules = read_budget()
        kernels = all_kernels(options.build)
        archs = sorted({k.arch for k in kernels}, key=lambda a: int(re.sub(r"\D", "", a)))
        if options.write and not set(archs) >= set(REPORTED):
            raise Trouble(f"--write is for {' '.join(REPORTED)}; {options.build} has "
                          f"{' '.join(archs)}")
        complaints = over_budget(kernels, rules)
    except (Trouble, OSError, subprocess.CalledProcessError) as trouble:
        print(f"resources: {trouble}")
        return 1
    if not kernels:
        print("resources: no kernels")
        return 1
    if options.print:
        for k in sorted(kernels, key=lambda k: (k.family, k.name, k.arch)):
            print(f"{k.registers:4} registers {k.smem:6} shared {k.stack:5} stack "
                  f"{k.spill:5} spilled  sm_{k.arch:4} {k.family}: {k.name}")
    if options.write:
        REPORT.parent.mkdir(exist_ok=True)
        REPORT.write_text(table(kernels, REPORTED))
    for complaint in complaints:
        print(f"over budget: {complaint}")
    for rule in rules:
        if set(archs) >= set(REPORTED) and rule.arch == "*" and not rule.used:
            print(f"note: budget.txt:{rule.line} fits no kernel")
    count = len({(k.family, k.name) for k in kernels})
    print(f"{count} kernels on {', '.join('sm_' + a for a in archs)}: "
          f"{len(complaints) or 'none'} over budget")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
