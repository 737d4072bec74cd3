#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Normalizations and activations: dlf against PyTorch, in turns, with the copy bandwidth beside it.

    python3 bench/peers/kernels.py build/default/bench_kernels [--filter REGEX] [--out FILE.json]
    python3 bench/peers/kernels.py --table FILE.json        what was stored, as Markdown

Both sides run the same shapes on the same number of threads of the same machine. Rounds alternate
dlf, PyTorch, dlf, PyTorch; the ratio is taken per round, so that a slow phase of the machine hits both.
PyTorch gets its own best case: its operators are called directly (backward through the aten operators
that autograd would call), and the allocator keeps memory instead of returning it to the system. The
copy moves as many bytes as the kernel must (every operand once), so that "of copy" is a fraction of what
this machine reached in the same round.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

from torch_peer import ACTIVATIONS, Torch

# What is measured where: rows (samples, features), images (samples, channels, height, width),
# elements of an activation.
SUITES = {
    "cpu": dict(
        rows=[(8192, 768), (2048, 4096), (512, 1024), (4096, 128), (128, 16384), (64, 64)],
        batch_rows=[(8192, 512), (64, 128)],
        images=[(8, 64, 112, 112), (8, 64, 56, 56), (8, 256, 56, 56), (8, 512, 28, 28),
                (8, 1024, 14, 14), (8, 2048, 7, 7)],
        sizes=[1 << 14, 1 << 20, 1 << 24, 1 << 26]),
    # Rows of NVIDIA's own H200 table (cudnn-frontend, benchmark/norms), and long rows.
    "gpu": dict(
        rows=[(16384, 4096), (8192, 8192), (4096, 16384), (8192, 5120), (2048, 4096), (131072, 128),
              (8192, 128), (1024, 12288), (2048, 32768), (512, 131072)],
        batch_rows=[(65536, 1024)],
        images=[(128, 64, 112, 112), (128, 256, 56, 56), (128, 512, 28, 28), (128, 1024, 14, 14),
                (128, 2048, 7, 7), (16, 320, 64, 64), (4, 512, 128, 128)],
        sizes=[1 << 20, 1 << 24, 1 << 28]),
}


def suite(name, dtype):
    """(name, request to bench_kernels, description for the peer)."""
    s = SUITES[name]

    def norm(kind, direction, layout, shape):
        n, c, h, w = shape if len(shape) == 4 else (*shape, 1, 0)
        words = [kind, direction] + ([layout] if w else []) + ["x".join(map(str, shape))]
        return (" ".join(words), f"norm {kind} {direction} {layout} {dtype} linear 32 0 1 {n} {c} {h} {w}",
                dict(op=kind, direction=direction, shape=shape, layout=layout))

    for direction in ("forward", "backward"):
        for kind in ("layer_norm", "rms_norm"):
            for shape in s["rows"]:
                yield norm(kind, direction, "nchw", shape)
        for kind in ("batch_norm", "group_norm", "instance_norm"):
            for shape in s["images"]:
                for layout in ("nchw", "nhwc"):
                    yield norm(kind, direction, layout, shape)
        for shape in s["batch_rows"]:
            yield norm("batch_norm", direction, "nchw", shape)
        for kind in ACTIVATIONS:
            for n in s["sizes"]:
                yield (f"{kind} {direction} {n}", f"act {kind} {direction} {dtype} {n}",
                       dict(op=kind, direction=direction, shape=(n,), layout="nchw"))
    for shape in s["images"][:3]:
        yield norm("batch_norm", "infer", "nchw", shape)


class Ours:
    def __init__(self, binary, device, threads):
        env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen([binary, device], env=env, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.name = self.process.stdout.readline().strip()

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        reply = self.process.stdout.readline().strip()
        if not reply.startswith("ok "):
            raise RuntimeError(f"{line}: {reply or 'bench_kernels died'}")
        return float(reply[3:])


def quartiles(values):
    q = statistics.quantiles(values, n=4)
    return {"median": statistics.median(values), "q1": q[0], "q3": q[2], "n": len(values),
            "samples": [float(f"{v:.5g}") for v in values]}


def measure(ours, copier, peer, request, description, dtype, rounds, budget):
    call = peer.prepare(dtype=dtype, **description)
    bytes_moved = ours.ask(request)
    copier.ask(f"copy {int(bytes_moved)}")
    once = max(ours.ask("run 2") / 2, 1e-7)
    count = max(1, int(budget / once))
    call()
    once = max(peer.time(call, 2) / 2, 1e-7)
    peer_count = max(1, int(budget / once))
    a, b, c = [], [], []
    for _ in range(rounds):
        a.append(1e6 * ours.ask(f"run {count}") / count)
        b.append(1e6 * peer.time(call, peer_count) / peer_count)
        time.sleep(0.01)  # PyTorch's workers spin for some milliseconds after their last region
        c.append(1e6 * copier.ask(f"run {count}") / count)
    return {"bytes": bytes_moved, "dlf_us": quartiles(a), "torch_us": quartiles(b),
            "copy_us": quartiles(c), "speedup": quartiles([t / o for t, o in zip(b, a)]),
            "of_copy": quartiles([k / o for k, o in zip(c, a)])}


def table(path):
    """Per op and direction: shapes, speed-up over PyTorch (median, least), fraction of the copy."""
    with open(path) as f:
        rows = {k: v for k, v in json.load(f)["rows"].items() if "error" not in v}
    groups = {}
    for name, r in rows.items():
        op, direction = name.split()[:2]
        groups.setdefault("activations" if op in ACTIVATIONS else op, {}).setdefault(direction, []).append(r)
    print("| | shapes | times as fast as PyTorch: median (least) | of the copy: median |")
    print("| --- | ---: | ---: | ---: |")
    for op, directions in groups.items():
        for direction, rs in directions.items():
            speed = [r["speedup"]["median"] for r in rs]
            copy = statistics.median(r["of_copy"]["median"] for r in rs)
            print(f"| {op.replace('_', ' ')} {direction} | {len(rs)} | {statistics.median(speed):.2f} "
                  f"({min(speed):.2f}) | {100 * copy:.0f} % |")
    slower = sorted((r["speedup"]["median"], n) for n, r in rows.items() if r["speedup"]["median"] < 1)
    print(f"\n{len(rows) - len(slower)} of {len(rows)} at least as fast. The others: "
          + (", ".join(f"{n} {v:.2f}" for v, n in slower) or "none") + ".")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", nargs="?")
    parser.add_argument("--table", metavar="FILE.json")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--suite", choices=list(SUITES), help="default: cpu or gpu, as the device is")
    parser.add_argument("--dtype", default="f32", choices=["f32", "f16", "bf16"])
    parser.add_argument("--filter", default="", help="regular expression on the row's name")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--budget", type=float, default=0.05, help="seconds per side and round")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out")
    parser.add_argument("--add", action="store_true", help="keep the rows that --out holds: a suite in pieces")
    a = parser.parse_args()
    if a.table:
        return table(a.table)
    if not a.binary:
        parser.error("which bench_kernels?")
    # glibc gives large blocks back at every free; without this PyTorch would pay for page faults.
    keep = {"MALLOC_MMAP_THRESHOLD_": str(1 << 34), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
    if any(os.environ.get(k) != v for k, v in keep.items()):
        os.environ.update(keep)
        os.execv(sys.executable, [sys.executable, *sys.argv])
    ours, copier = (Ours(a.binary, a.device, a.threads) for _ in range(2))
    peer = Torch(a.threads, a.device)
    rows = {}
    print(f"{'':44} {'dlf us':>10} {'torch us':>10} {'speed-up':>8} {'quartiles':>13} {'GB/s':>6} {'of copy':>8}",
          file=sys.stderr)
    with peer.torch.no_grad():
        for name, request, description in suite(a.suite or ("gpu" if a.device == "cuda" else "cpu"), a.dtype):
            if not re.search(a.filter, name):
                continue
            try:
                r = measure(ours, copier, peer, request, description, a.dtype, a.rounds, a.budget)
            except RuntimeError as e:
                rows[name] = {"error": str(e)}
                print(f"{name:44} {e}", file=sys.stderr)
                continue
            rows[name] = r
            s = r["speedup"]
            print(f"{name:44} {r['dlf_us']['median']:10.1f} {r['torch_us']['median']:10.1f} {s['median']:8.2f} "
                  f"{s['q1']:6.2f}-{s['q3']:<6.2f} {1e-3 * r['bytes'] / r['dlf_us']['median']:6.1f} "
                  f"{100 * r['of_copy']['median']:6.0f} %", file=sys.stderr)
    result = {"what": "time per call in microseconds, buffers reused", "dtype": a.dtype, "device": ours.name,
              "threads": a.threads, "torch_version": peer.torch.__version__,
              "date": time.strftime("%Y-%m-%d", time.gmtime()), "rounds": a.rounds, "rows": rows}
    if a.out and a.add and os.path.exists(a.out):
        with open(a.out) as f:
            before = json.load(f)
        for key in ("device", "dtype", "threads", "torch_version", "rounds"):
            if before[key] != result[key]:
                parser.error(f"{a.out} holds rows with {key} {before[key]}, these have {result[key]}")
        result["rows"] = {**before["rows"], **rows}
    if a.out:
        with open(a.out, "w") as f:
            json.dump(result, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
