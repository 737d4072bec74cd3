#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""1x1 convolutions of ResNet-50, forward: dlf against PyTorch and oneDNN, in turns.

    python3 bench/peers/conv1x1.py build/default/bench_kernels [--batch 8] [--out FILE.json]
    python3 bench/peers/conv1x1.py --table FILE.json        what was stored, as Markdown

Per shape both layouts of dlf run against every way PyTorch has: F.conv2d on contiguous and on
channels_last tensors, and oneDNN's primitive with weights reordered beforehand, which dlf does not
get to do (torch.ops.mkldnn, what torch.compile calls). The peers that a first trial shows to be more
than a third slower than the best are left out; the ratio is against the fastest of the rest in the same
round. Rounds alternate; the ratio is taken per round, so that a slow phase of the machine hits all."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

SHAPES = pathlib.Path(__file__).parents[1] / "resnet50_1x1.tsv"


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


def shapes():
    lines = [line.rstrip("\n") for line in open(SHAPES) if not line.startswith("#")]
    names = lines[0].split("\t")
    for line in lines[1:]:
        row = dict(zip(names, line.split("\t")))
        yield {k: v if k == "stage" else int(v) for k, v in row.items()}


def name_of(s):
    return f"{s['C']}->{s['K']} {s['H']}x{s['H']}" + (f" /{s['stride']}" if s["stride"] > 1 else "")


class Peers:
    """Every way PyTorch has, as functions without arguments."""

    def __init__(self, threads):
        import torch
        self.torch = torch
        torch.set_num_threads(threads)
        torch.manual_seed(1)

    def of(self, s, batch, fused):
        torch = self.torch
        x = torch.randn(batch, s["C"], s["H"], s["H"])
        w = torch.randn(s["K"], s["C"], 1, 1)
        b = torch.randn(s["K"]) if fused == "relu" else None
        stride = s["stride"]
        conv = torch.nn.functional.conv2d

        def call(x, w):
            if fused == "relu":
                return lambda: torch.relu_(conv(x, w, b, stride))
            return lambda: conv(x, w, b, stride)

        last = torch.channels_last
        ways = {"contiguous": call(x, w),
                "channels_last": call(x.contiguous(memory_format=last), w.contiguous(memory_format=last))}
        xl = x.contiguous(memory_format=last)
        packed = torch._C._nn.mkldnn_reorder_conv2d_weight(w.contiguous(memory_format=last).to_mkldnn(), [0, 0],
                                                           [stride, stride], [1, 1], 1, list(xl.shape))
        pointwise = torch.ops.mkldnn._convolution_pointwise
        attribute = "relu" if fused == "relu" else "none"
        ways["onednn"] = lambda: pointwise(xl, packed, b, [0, 0], [stride, stride], [1, 1], 1, attribute, [], "")
        return ways


def timed(call, count):
    start = time.perf_counter()
    for _ in range(count):
        call()
    return 1e6 * (time.perf_counter() - start) / count


def measure(ours, peers, s, a):
    request = "conv1x1 {} {} f32 0 {} {} {} {} {} {}"
    ways = peers.of(s, a.batch, a.fused)
    trial = {}
    for way, call in ways.items():
        call()
        trial[way] = min(timed(call, 1) for _ in range(3))
    best = min(trial.values())
    ways = {k: v for k, v in ways.items() if trial[k] < 4 / 3 * best}
    count = {k: max(1, int(1e6 * a.budget / trial[k])) for k in ways}
    n = {}
    for layout in ("nchw", "nhwc"):
        ours[layout].ask(request.format(a.fused, layout, a.batch, s["C"], s["K"], s["H"], s["H"], s["stride"]))
        n[layout] = max(1, int(a.budget / max(ours[layout].ask("run 2") / 2, 1e-7)))
    samples = {k: [] for k in [*ways, *n]}
    for _ in range(a.rounds):
        for layout in n:
            samples[layout].append(1e6 * ours[layout].ask(f"run {n[layout]}") / n[layout])
        for way, call in ways.items():
            samples[way].append(timed(call, count[way]))
        time.sleep(0.01)  # PyTorch's workers spin for some milliseconds after their last region
    fastest = [min(samples[w][i] for w in ways) for i in range(a.rounds)]
    flops = 2 * a.batch * ((s["H"] - 1) // s["stride"] + 1) ** 2 * s["C"] * s["K"]
    return {"flops": flops, "trial_us": {k: float(f"{v:.4g}") for k, v in trial.items()},
            "peer": min(ways, key=lambda w: statistics.median(samples[w])),
            **{k + "_us": quartiles(v) for k, v in samples.items()},
            **{"speedup_" + k: quartiles([f / v for f, v in zip(fastest, samples[k])]) for k in n}}


def table(path):
    with open(path) as f:
        stored = json.load(f)
    print(f"| batch {stored['batch']}, {stored['fused']} | fastest peer | its µs | dlf NCHW µs | dlf NHWC µs "
          "| NCHW, times as fast | NHWC, times as fast |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name, r in stored["rows"].items():
        print(f"| {name} | {r['peer']} | {r[r['peer'] + '_us']['median']:.0f} | {r['nchw_us']['median']:.0f} | "
              f"{r['nhwc_us']['median']:.0f} | {r['speedup_nchw']['median']:.2f} | "
              f"{r['speedup_nhwc']['median']:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", nargs="?")
    parser.add_argument("--table", metavar="FILE.json")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--fused", default="plain", choices=["plain", "relu"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--budget", type=float, default=0.03, help="seconds per side and round")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", default="", help="part of a row's name")
    parser.add_argument("--out")
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
    ours = {layout: Ours(a.binary, "cpu", a.threads) for layout in ("nchw", "nhwc")}
    peers = Peers(a.threads)
    rows = {}
    with peers.torch.no_grad():
        for s in shapes():
            name = name_of(s)
            if a.only not in name:
                continue
            r = rows[name] = measure(ours, peers, s, a)
            print(f"{name:20} {r['peer']:14}{r[r['peer'] + '_us']['median']:9.0f} us   dlf "
                  f"{r['nchw_us']['median']:7.0f} {r['nhwc_us']['median']:7.0f} us   times as fast "
                  f"{r['speedup_nchw']['median']:.2f} {r['speedup_nhwc']['median']:.2f}   "
                  f"{1e-3 * r['flops'] / r['nhwc_us']['median']:.0f} GFLOP/s", file=sys.stderr)
    result = {"what": "forward, microseconds per call, buffers reused; speedup: fastest peer of the round / dlf",
              "device": ours["nchw"].name, "threads": a.threads, "batch": a.batch, "fused": a.fused, "dtype": "f32",
              "torch_version": peers.torch.__version__,
              "date": time.strftime("%Y-%m-%d", time.gmtime()), "rounds": a.rounds, "rows": rows}
    if a.out:
        with open(a.out, "w") as f:
            json.dump(result, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
