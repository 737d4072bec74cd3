#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py -- breaks the kernels one way at a time and requires that the tests notice.

    tests/mutations/run.py                       all families; writes docs/mutations.md
    tests/mutations/run.py --family bias,clip    only these; the other families' lines stay
    tests/mutations/run.py --list

tests/mutations/FAMILY.tsv has one mutation per line, five fields with tabs between them:

    id   what is broken   path   old text   new text

The old text stands exactly once in the file. A .cu or .cuh is tested by test_FAMILY_simt, a _cpu.c
by test_FAMILY on cpu, what both contain (_ref.c, headers) by both; golden.tsv by test_golden, on ref if the
path is ref's. The work is done in copies of
the tree under build/mutations, never in the tree itself. Exit status 1 if a mutation survives, does
not compile, or cannot be applied."""

import argparse
import concurrent.futures
import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLES = ROOT / "tests" / "mutations"
REPORT = ROOT / "docs" / "mutations.md"
COPIES = ROOT / "build" / "mutations"


class Trouble(Exception):
    """Something that is neither caught nor survived; the text says what."""


@dataclass
class Mutation:
    family: str
    name: str
    what: str
    path: str
    old: str
    new: str
    where: str  # table and line, for messages

    def devices(self):
        """The tests that can notice: cpu, simt, and ref where it is compared with others."""
        if self.family == "golden" and "_ref." in self.path:
            return ["ref"]
        if self.path.endswith((".cu", ".cuh")):
            return ["simt"]
        if self.path.endswith("_cpu.c") or re.fullmatch(r"kernels/cpu\w*\.[ch]", self.path):
            return ["cpu"]
        return ["cpu", "simt"]


@dataclass
class Outcome:
    mutation: Mutation
    state: str  # caught, SURVIVED, ERROR
    by: str
    seconds: float


def read_tables(families):
    mutations, problems, names = [], [], set()
    for table in sorted(TABLES.glob("*.tsv")):
        if families and table.stem not in families:
            continue
        for number, line in enumerate(table.read_text().splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            where = f"{table.name}:{number}"
            fields = line.split("\t")
            if len(fields) != 5:
                problems.append(f"{where}: {len(fields)} fields, not 5")
                continue
            mutation = Mutation(table.stem, *fields, where)
            if (table.stem, mutation.name) in names:
                problems.append(f"{where}: the id {mutation.name} is there twice")
            names.add((table.stem, mutation.name))
            source = ROOT / mutation.path
            count = source.read_text().count(mutation.old) if source.is_file() else None
            if count is None:
                problems.append(f"{where}: no file {mutation.path}")
            elif count != 1 or not mutation.old or mutation.old == mutation.new:
                problems.append(f"{where}: '{mutation.old}' is {count} times in {mutation.path}")
            else:
                mutations.append(mutation)
    return mutations, problems


class Copy:
    """A copy of the tree with a build of its own."""

    def __init__(self, directory, cores):
        self.tree, self.cores = directory / "tree", cores
        self.build_dir = directory / "build"
        self.log = directory / "log.txt"
        listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT,
                                check=True, stdout=subprocess.PIPE).stdout.decode()
        names = {n for n in listed.split("\0") if n and (ROOT / n).is_file()}
        for name in names:  # unchanged files keep their time stamps, so that little is built again
            target, content = self.tree / name, (ROOT / name).read_bytes()
            if not target.is_file() or target.read_bytes() != content:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
                target.chmod((ROOT / name).stat().st_mode)
        for old in [p for p in self.tree.rglob("*") if p.is_file()]:
            if str(old.relative_to(self.tree)) not in names:
                old.unlink()
        # Warnings, such as a variable that is no longer used, are no reason not to compile.
        self.command(["cmake", "--preset", "cpu", "-B", str(self.build_dir), "-DDLF_WERROR=OFF"])

    def command(self, words):
        with open(self.log, "w") as log:
            status = subprocess.run(words, cwd=self.tree, stdout=log, stderr=log).returncode
        if status:
            errors = [l for l in self.log.read_text().splitlines() if "error" in l.lower()]
            raise Trouble((errors or ["failed: " + " ".join(words)])[0].strip())

    def build(self, targets):
        self.command(["cmake", "--build", str(self.build_dir), "--parallel", str(self.cores),
                      "--target", *targets])

    def test(self, family, device, seed, timeout):
        """What noticed: the failed tests, a crash, a time out; None if nothing did."""
        program = ("tests/simt/" if device == "simt" else "tests/") + target_of(family, device)
        environment = dict(os.environ, SIMT_SEED=str(seed), DLF_CUBLAS="none")
        process = subprocess.Popen(
            [self.build_dir / program, "cuda" if device == "simt" else device], cwd=self.tree,
            env=environment, text=True, errors="replace", start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            output = process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return f"no end after {timeout} s"
        return None if process.returncode == 0 else verdict(output, process.returncode)


def target_of(family, device):
    return f"test_{family}" + ("_simt" if device == "simt" else "")


def verdict(output, status):
    """One line from the output of a failed run."""
    if status == 77:
        raise Trouble("the test was skipped: the device cannot be opened here")
    # cmocka survives a crash and goes on, inside the kernel: the first failure is what counts.
    failed = list(dict.fromkeys(re.findall(r"\[  FAILED  \] ([A-Za-z_]\w*)", output)))
    crash = re.search(r"Test failed with exception: (.*)", output)
    if failed:
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        return ", ".join(failed[:3]) + more + (f" ({crash.group(1)})" if crash else "")
    running = re.findall(r"\[ RUN      \] (\w+)", output)
    inside = f" in {running[-1]}" if running else ""
    fault = re.search(r"^simt: (.*? in kernel \w+).*\n(?:  .*\n)*", output, re.MULTILINE)
    if fault:
        detail = next((l.strip() for l in output[fault.end():].splitlines() if l.strip()), "")
        return f"test bed, {fault.group(1)}: {detail[:80]}{inside}"
    if status < 0:
        return f"{signal.Signals(-status).name}{inside}"
    return (output.strip().splitlines() or [f"exit status {status}"])[-1][:100]


def try_mutation(copy, mutation, timeout):
    """(state, by)"""
    source = copy.tree / mutation.path
    original = source.read_bytes()
    devices = mutation.devices()
    try:
        source.write_bytes(original.replace(mutation.old.encode(), mutation.new.encode()))
        copy.build([target_of(mutation.family, d) for d in devices])
        for device in devices:
            for seed in (0, 1) if device == "simt" else (0,):
                noticed = copy.test(mutation.family, device, seed, timeout)
                if noticed:
                    return "caught", noticed
        return "SURVIVED", ""
    except Trouble as trouble:
        return "ERROR", str(trouble)
    finally:
        source.write_bytes(original)


def check_unbroken(copy, mutations, timeout):
    """A test that fails anyway would catch everything."""
    needed = sorted({(m.family, d) for m in mutations for d in m.devices()})
    copy.build([target_of(*pair) for pair in needed])
    for family, device in needed:
        for seed in (0, 1) if device == "simt" else (0,):
            noticed = copy.test(family, device, seed, timeout)
            if noticed:
                raise Trouble(f"test_{family} on {device} fails without a mutation: {noticed}")


def run_all(mutations, jobs, timeout):
    cores = max(1, (os.cpu_count() or 1) // jobs)
    free = queue.Queue()
    for k in range(jobs):
        free.put(Copy(COPIES / str(k), cores))
    first = free.get()
    check_unbroken(first, mutations, timeout)
    free.put(first)

    def one(mutation):
        start, copy = time.monotonic(), free.get()
        try:
            state, by = try_mutation(copy, mutation, timeout)
        finally:
            free.put(copy)
        outcome = Outcome(mutation, state, by, time.monotonic() - start)
        print(f"{state:8}  {mutation.family}/{mutation.name}: {mutation.what}"
              f"{'  <- ' + by if by else ''}  [{outcome.seconds:.0f} s]", flush=True)
        return outcome

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, mutations))


def lines_of(outcomes):
    """{family: its lines of the table}"""
    def cell(value):
        return value.replace("|", "\\|")

    table = {}
    for o in outcomes:
        by = o.by if o.state == "caught" else f"**{o.state}** {o.by}".strip()
        table.setdefault(o.mutation.family, []).append(
            f"| {o.mutation.family} | {cell(o.mutation.what)} | "
            f"`{pathlib.PurePath(o.mutation.path).name}` | {cell(by)} |")
    return table


def report(outcomes, before):
    """The whole table: what has run now, and of the other families what stood there."""
    table = {}
    for line in before.splitlines():
        found = re.match(r"\| (\w+) \| .*`", line)
        if found and (TABLES / f"{found.group(1)}.tsv").is_file():
            table.setdefault(found.group(1), []).append(line)
    table.update(lines_of(outcomes))
    rows = [line for family in sorted(table) for line in table[family]]
    caught = sum("| **SURVIVED" not in line and "| **ERROR" not in line for line in rows)
    return "\n".join([
        "# Mutations", "",
        "Errors put into the kernels one at a time, and the test that noticed. "
        "Generated by `tests/mutations/run.py`, a family at a time; the exact changes are in "
        "`tests/mutations/*.tsv`.", "",
        f"{caught} of {len(rows)} are caught.", "",
        "| family | what is broken | file | caught by |", "| --- | --- | --- | --- |", *rows]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", default="", help="only these, separated by commas")
    parser.add_argument("--only", default="", help="only ids that contain this text")
    parser.add_argument("--jobs", type=int, default=1, help="copies of the tree side by side")
    parser.add_argument("--timeout", type=int, default=180, help="seconds for one run of a test")
    parser.add_argument("--list", action="store_true", help="print the mutations, run nothing")
    options = parser.parse_args()

    families = set(filter(None, options.family.split(",")))
    for missing in families - {t.stem for t in TABLES.glob("*.tsv")}:
        sys.exit(f"there is no tests/mutations/{missing}.tsv")
    mutations, problems = read_tables(families)
    mutations = [m for m in mutations if options.only in m.name]
    for problem in problems:
        print(f"ERROR     {problem}")
    if options.list:
        for m in mutations:
            print(f"{m.family}/{m.name}: {m.what} ({m.path}, on {' and '.join(m.devices())})")
        return 1 if problems else 0
    if not mutations:
        sys.exit("no mutation to run")
    try:
        outcomes = run_all(mutations, max(1, options.jobs), options.timeout)
    except Trouble as trouble:
        sys.exit(f"mutations: {trouble}")
    if not options.only:
        REPORT.write_text(report(outcomes, REPORT.read_text() if REPORT.is_file() else ""))
    bad = [o for o in outcomes if o.state != "caught"]
    print(f"{len(outcomes) - len(bad)} of {len(outcomes)} caught"
          f"{', ' + str(len(problems)) + ' cannot be applied' if problems else ''}")
    return 1 if bad or problems else 0


if __name__ == "__main__":
    sys.exit(main())
