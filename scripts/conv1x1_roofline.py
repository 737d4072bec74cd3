#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/conv1x1-roofline.md from the shapes of `dlf bench --suite resnet50` and what `dlf explain conv1x1` says.

    scripts/conv1x1_roofline.py build/default/dlf > docs/conv1x1-roofline.md
    scripts/conv1x1_roofline.py build/default/dlf --check      exit status 1 if the file differs
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOC = ROOT / "docs" / "conv1x1-roofline.md"
BATCH, GPU = 128, "H200"

HEAD = """# 1×1 convolutions of ResNet-50 on an {gpu}: the roofline

Made by `scripts/conv1x1_roofline.py build/default/dlf > docs/conv1x1-roofline.md` from the shapes of `dlf bench conv1x1 --suite resnet50` and the planner's own numbers (`dlf explain conv1x1 {batch}x64x56x56 256 --dtype bf16 --gpu {gpu}`); the test `conv1x1.roofline` compares.

Forward, batch {batch}. Bytes: x (what the stride leaves), w and y once each. The floor is the larger of bytes over the memory rate and flops over the peak of the data sheet, 4.8 TB/s and 989.5 (bf16), 494.7 (tf32), 67 (float) TFLOP/s; no kernel gets quite there (the best copy published for this card moves 4.0 TB/s, the best cuBLAS product makes about 800 TFLOP/s in bf16). Bias, activation, folded batch norm and the statistics of the output change no row: they move nothing. A residual adds one read of y.

**Nothing here has been measured: our kernels have not yet run on a GPU** ([VERIFIED.md](../bench/results/VERIFIED.md)). Versions 2 and 3 multiply by `mma.sync`, which on Hopper does not reach the peak that `wgmma` does, so that rows marked "compute" will stay above their floor until the version that [kernels.md](kernels.md) describes exists.
"""


def network():
    """(C, K, H, stride) -> stage and number, from how ResNet-50 is built: stages of 3, 4, 6 and 3 blocks, each
    1x1 to a quarter, 3x3, 1x1 back; the first block of a stage has a 1x1 shortcut (v1.5: its 3x3 and shortcut
    have the stride)."""
    found, inputs, height = {}, 64, 56
    for i, blocks in enumerate((3, 4, 6, 3)):
        width, stride = 64 << i, 1 if i == 0 else 2
        after = height // stride
        ones = [(inputs, width, height, 1), (inputs, 4 * width, height, stride), (width, 4 * width, after, 1)]
        ones += [(4 * width, width, after, 1), (width, 4 * width, after, 1)] * (blocks - 1)
        for one in ones:
            stage, count = found.get(one, (f"conv{i + 2}", 0))
            found[one] = stage, count + 1
        inputs, height = 4 * width, after
    return found


def shapes(dlf):
    """The rows of the benchmark, which must be the network's."""
    words = [dlf, "bench", "conv1x1", "--suite", "resnet50", "--direction", "forward", "--layout", "nchw", "--list",
             "--filter", "^conv1x1 "]
    listed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    rows, found = [], network()
    for name in re.findall(r"^conv1x1 forward f32 nchw (.*)$", listed, re.M):
        c, h, k, stride = re.fullmatch(r"\d+x(\d+)x(\d+)x\d+->(\d+)(?: ?/(\d+))?", name).groups(default="1")
        stage, count = found.pop((int(c), int(k), int(h), int(stride)))
        rows.append({"stage": stage, "C": c, "K": k, "H": h, "stride": stride, "count": count})
    if found:
        sys.exit(f"dlf bench lacks 1x1 convolutions of ResNet-50: {found}")
    return rows


def row(dlf, s, dtype):
    words = [dlf, "explain", "conv1x1", f"{BATCH}x{s['C']}x{s['H']}x{s['H']}", s["K"], "--stride", s["stride"],
             "--dtype", dtype, "--gpu", GPU, "--format", "tsv"]
    out = subprocess.run(words, check=True, capture_output=True, text=True).stdout.rstrip("\n").split("\t")
    size, flops, intensity, _, bound, floor, version, _ = out
    name = f"{s['C']}→{s['K']}, {s['H']}×{s['H']}" + (f", stride {s['stride']}" if s["stride"] != "1" else "")
    return (f"| {s['stage']} | {name} | {s['count']} | {float(size) / 1e6:.1f} | {float(flops) / 1e9:.2f} | "
            f"{float(intensity):.0f} | {bound} | {float(floor):.1f} | {version} | not yet run |"), float(floor) * int(s["count"])


def document(dlf):
    text = [HEAD.format(gpu=GPU, batch=BATCH)]
    for dtype in ("bf16", "tf32", "f32"):
        text.append(f"## {dtype}\n")
        text.append("| stage | channels, image, stride | in the network | MB | GFLOP | flop/B | bound | floor µs | version | measured µs |")
        text.append("| --- | --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: |")
        listed = shapes(dlf)
        rows = [row(dlf, s, dtype) for s in listed]
        text += [r[0] for r in rows]
        text.append(f"\nAll {sum(int(s['count']) for s in listed)} of the network: {sum(r[1] for r in rows) / 1000:.2f} ms.\n")
    return "\n".join(text).rstrip("\n") + "\n"


def main():
    text = document(sys.argv[1])
    if "--check" not in sys.argv:
        sys.stdout.write(text)
    elif text != DOC.read_text(encoding="utf-8"):
        sys.exit(f"{DOC.relative_to(ROOT)} is not what {sys.argv[0]} makes of the present tree: write it again")


if __name__ == "__main__":
    main()
