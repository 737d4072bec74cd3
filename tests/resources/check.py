#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check.py -- registers, shared memory and spills of every kernel, against budget.txt.

    tests/resources/check.py --arch 80 90a        exit status 1 if a kernel is over its budget
    tests/resources/check.py --write              writes docs/kernel-resources.md
    tests/resources/check.py --print --arch 80    every kernel with its numbers

Compiles each kernels/*.cu as CMake does, to a cubin, and reads what ptxas says: so it also shows
that the file compiles for the architecture. No GPU is needed. What was compiled before is found
again in the cache as long as compiler, flags and all files read are the same."""

import argparse
import concurrent.futures
import fnmatch
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUDGET = pathlib.Path(__file__).resolve().parent / "budget.txt"
REPORT = ROOT / "docs" / "kernel-resources.md"
REPORTED = ["75", "80", "90a"]  # the first, the one with PTX for all, the measured one


class Trouble(Exception):
    pass


# ---- compiling ----------------------------------------------------------------------------------

@dataclass
class Kernel:
    family: str
    arch: str
    name: str
    registers: int
    smem: int   # static; what a launch asks for besides is not known to the compiler
    stack: int  # bytes of local memory of a thread, spills included
    spill: int  # bytes stored + loaded


def cmake_flags():
    """-Xcompiler=... as in cmake/cuda.cmake, where it stands once."""
    text = (ROOT / "cmake" / "cuda.cmake").read_text()
    found = re.search(r"COMPILE_LANGUAGE:CUDA>:(-Xcompiler=[^>\s]+)>", text)
    if not found:
        raise Trouble("cmake/cuda.cmake: no -Xcompiler= in add_compile_options")
    return ["-std=c++17", "-O3", "-DNDEBUG", found.group(1), "-Werror=all-warnings",
            "-Iinclude", "-Ikernels"]


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Compiler:
    def __init__(self, nvcc, cache):
        self.nvcc, self.cache, self.flags = nvcc, cache, cmake_flags()
        self.version = subprocess.run([nvcc, "--version"], check=True, text=True,
                                      stdout=subprocess.PIPE).stdout
        cache.mkdir(parents=True, exist_ok=True)

    def log(self, source, arch):
        """What ptxas said about kernels/X.cu on this architecture."""
        name = str(source.relative_to(ROOT))
        key = digest("\0".join([self.version, *self.flags, arch, name]).encode())
        entry = self.cache / f"{source.stem}.{arch}.{key[:16]}.json"
        if entry.is_file():
            kept = json.loads(entry.read_text())
            if all((ROOT / f).is_file() and digest((ROOT / f).read_bytes()) == d
                   for f, d in kept["read"].items()):
                return kept["log"]
        with tempfile.TemporaryDirectory() as scratch:
            depends = pathlib.Path(scratch) / "depends"
            run = subprocess.run(
                [self.nvcc, "-cubin", "-Xptxas", "-v", f"-arch=sm_{arch}", *self.flags, "-MD",
                 "-MF", str(depends), "-o", f"{scratch}/cubin", name],
                cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if run.returncode:
                raise Trouble(f"{name} does not compile for sm_{arch}:\n{run.stdout}")
            words = depends.read_text().replace("\\\n", " ").split(":", 1)[1].split()
        files = {pathlib.Path(os.path.normpath(ROOT / w)) for w in words}
        read = {str(f.relative_to(ROOT)): digest(f.read_bytes())
                for f in files if f.is_relative_to(ROOT)}
        part = entry.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps({"read": read, "log": run.stdout}))
        part.replace(entry)
        return run.stdout


def kernels_of(source, arch, log):
    """The entry functions in ptxas' words. Device functions that were not inlined count with the
    kernel they are listed under."""
    found = []
    for part in re.split(r"Compiling entry function ", log)[1:]:
        name = re.match(r"'(\w+)'", part)
        used = re.search(r"Used (\d+) registers", part)
        frames = re.findall(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part)
        if not (name and used and frames):
            raise Trouble(f"{source.name}, sm_{arch}: ptxas speaks in a new way:\n{part}")
        smem = re.search(r"(\d+) bytes smem", part)
        found.append(Kernel(source.stem, arch, name.group(1), int(used.group(1)),
                            int(smem.group(1)) if smem else 0, max(int(f[0]) for f in frames),
                            sum(int(f[1]) + int(f[2]) for f in frames)))
    if not found and "__global__" in source.read_text():
        raise Trouble(f"{source.name}, sm_{arch}: ptxas says nothing about its kernels")
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


def compile_all(compiler, archs, jobs):
    work = [(s, a) for a in archs for s in sorted((ROOT / "kernels").glob("*.cu"))]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        logs = list(pool.map(lambda w: compiler.log(*w), work))
    kernels = [k for (s, a), log in zip(work, logs) for k in kernels_of(s, a, log)]
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

def table(kernels, archs, version):
    """One row per family, one column per architecture."""
    families = sorted({k.family for k in kernels})
    lines = ["# Registers, shared memory and spills", "",
             f"What ptxas (CUDA {version}) says about every kernel: of each family and architecture the most registers "
             "a thread uses, then the bytes of spills (stored + loaded) where there are any. Shared "
             "memory is the static part, which does not depend on the architecture. Written by "
             "`tests/resources/check.py --write`; the limits are in `tests/resources/budget.txt`.",
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
    parser.add_argument("--arch", nargs="+", default=[], help="75 80 90a ..")
    parser.add_argument("--nvcc", default=shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc")
    parser.add_argument("--cache", type=pathlib.Path, default=ROOT / "build" / "resources")
    parser.add_argument("--jobs", type=int, default=2, help="compilers side by side")
    parser.add_argument("--print", action="store_true", help="print every kernel")
    parser.add_argument("--write", action="store_true", help=f"write {REPORT.name}")
    options = parser.parse_args()
    archs = options.arch or REPORTED
    try:
        rules = read_budget()
        compiler = Compiler(options.nvcc, options.cache)
        kernels = compile_all(compiler, archs, options.jobs)
        complaints = over_budget(kernels, rules)
    except (Trouble, OSError, subprocess.CalledProcessError) as trouble:
        print(f"resources: {trouble}")
        return 1
    if not kernels:
        print("resources: no kernel was compiled")
        return 1
    if options.print:
        for k in sorted(kernels, key=lambda k: (k.family, k.name, k.arch)):
            print(f"{k.registers:4} registers {k.smem:6} shared {k.stack:5} stack "
                  f"{k.spill:5} spilled  sm_{k.arch:4} {k.family}: {k.name}")
    if options.write:
        REPORT.parent.mkdir(exist_ok=True)
        release = re.search(r"release (\S+),", compiler.version)
        REPORT.write_text(table(kernels, archs, release.group(1) if release else "?"))
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
