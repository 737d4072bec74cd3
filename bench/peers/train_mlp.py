#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Training step of a digits classifier: dlf's population against PyTorch, in turns.

    python3 bench/peers/train_mlp.py build/default/bench_train_mlp [--out FILE.json]

Both train depth-8 width-64 sigmoid networks, batch 64, SGD with momentum 0.9, on the same number of
threads of the same machine. dlf trains 16 seeds together and is charged per seed and step. PyTorch
trains one network in the ordinary loop (nn.Sequential, cross_entropy, torch.optim.SGD), batches
gathered from a resident tensor. Rounds alternate A/B/A/B; the ratio is taken per round, so that a
slow phase of the machine hits both sides.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time


def torch_round(torch, threads, depth, width, batch, steps, activation):
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    act = {"sigmoid": torch.nn.Sigmoid, "relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[activation]
    layers, fan_in = [], 64
    for _ in range(depth):
        layers += [torch.nn.Linear(fan_in, width), act()]
        fan_in = width
    layers.append(torch.nn.Linear(fan_in, 10))
    net = torch.nn.Sequential(*layers)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    x, y = torch.randn(1297, 64), torch.randint(0, 10, (1297,))

    def run(count):
        done = 0
        while done < count:
            order = torch.randperm(1297)
            for i in range(1297 // batch):
                index = order[i * batch:(i + 1) * batch]
                optimizer.zero_grad(set_to_none=True)
                loss = torch.nn.functional.cross_entropy(net(x[index]), y[index])
                loss.backward()
                optimizer.step()
                done += 1
                if done == count:
                    return

    run(40)  # warm up
    start = time.perf_counter()
    run(steps)
    return 1e6 * (time.perf_counter() - start) / steps


def summary(values):
    q = statistics.quantiles(values, n=4)
    return {"median": statistics.median(values), "q1": q[0], "q3": q[2], "n": len(values),
            "samples": values}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--activation", default="sigmoid")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out")
    a = parser.parse_args()
    import torch

    ours, theirs, info = [], [], {}
    for i in range(a.rounds):
        out = subprocess.run(
            [a.binary, "cpu", str(a.members), str(a.depth), str(a.width), str(a.batch),
             str(a.steps), a.activation],
            env={**os.environ, "OMP_NUM_THREADS": str(a.threads)}, check=True,
            stdout=subprocess.PIPE, text=True).stdout
        info = json.loads(out)
        ours.append(info["us_per_member_step"])
        theirs.append(torch_round(torch, a.threads, a.depth, a.width, a.batch, a.steps,
                                  a.activation))
        print(f"round {i + 1}: dlf {ours[-1]:8.1f} us   torch {theirs[-1]:8.1f} us   "
              f"ratio {theirs[-1] / ours[-1]:.2f}", file=sys.stderr)
    result = {
        "what": "wall time per seed and training step, microseconds",
        "network": {k: getattr(a, k) for k in ("depth", "width", "batch", "activation")},
        "members": a.members, "threads": a.threads,
        "dlf": summary(ours), "torch": summary(theirs),
        "ratio_torch_over_dlf": summary([t / o for t, o in zip(theirs, ours)]),
        "machine": {"cpu": info["device"], "detail": info["detail"], "system": platform.system()},
        "torch_version": torch.__version__,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    text = json.dumps(result, indent=1)
    if a.out:
        with open(a.out, "w") as f:
            f.write(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
