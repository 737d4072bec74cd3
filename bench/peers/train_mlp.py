#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Training step of a digits classifier: dlf's population against PyTorch, in turns.

    python3 bench/peers/train_mlp.py build/default/bench_train_mlp [--out FILE.json]
    python3 bench/peers/train_mlp.py build/default/bench_train_mlp --members 128 --depth 2 --width 128 --activation relu

All train the same networks (default: depth-8 width-64 sigmoid), batch 64, SGD with momentum 0.9, on the
same number of threads of the same machine, and are charged per network and step:

    dlf    all members together (seeds x learning rates)
    loop   one network in PyTorch's ordinary loop (nn.Sequential, cross_entropy, torch.optim.SGD), batches
           gathered from a resident tensor
    vmap   all members together in PyTorch: torch.func.vmap(grad) over stacked parameters, fused update

Rounds alternate A/B/C/A/B/C; ratios are taken per round, so that a slow phase of the machine hits all.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time


def network(torch, depth, width, activation):
    act = {"sigmoid": torch.nn.Sigmoid, "relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[activation]
    layers, fan_in = [], 64
    for _ in range(depth):
        layers += [torch.nn.Linear(fan_in, width), act()]
        fan_in = width
    return torch.nn.Sequential(*layers, torch.nn.Linear(fan_in, 10))


def loop_round(torch, a):
    net = network(torch, a.depth, a.width, a.activation)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    x, y = torch.randn(1297, 64), torch.randint(0, 10, (1297,))

    def run(count):
        done = 0
        while done < count:
            order = torch.randperm(1297)
            for i in range(1297 // a.batch):
                index = order[i * a.batch:(i + 1) * a.batch]
                optimizer.zero_grad(set_to_none=True)
                loss = torch.nn.functional.cross_entropy(net(x[index]), y[index])
                loss.backward()
                optimizer.step()
                done += 1
                if done == count:
                    return

    run(40)  # warm up
    start = time.perf_counter()
    run(a.steps)
    return 1e6 * (time.perf_counter() - start) / a.steps


def vmap_round(torch, a):
    from torch.func import functional_call, grad, stack_module_state, vmap
    nets = [network(torch, a.depth, a.width, a.activation) for _ in range(a.members)]
    params, buffers = stack_module_state(nets)
    params = {k: v.detach() for k, v in params.items()}
    velocity = {k: torch.zeros_like(v) for k, v in params.items()}
    skeleton = network(torch, a.depth, a.width, a.activation).to("meta")
    lr = 0.05 / 2.0 ** (torch.arange(a.members) % 8)
    x, y = torch.randn(1297, 64), torch.randint(0, 10, (1297,))

    def loss(p, b, xs, ys):
        return torch.nn.functional.cross_entropy(functional_call(skeleton, (p, b), (xs,)), ys)

    gradient = vmap(grad(loss))

    def run(count):
        done = 0
        while done < count:
            order = torch.stack([torch.randperm(1297) for _ in range(a.members)])
            for i in range(1297 // a.batch):
                index = order[:, i * a.batch:(i + 1) * a.batch]
                g = gradient(params, buffers, x[index], y[index])
                for k, p in params.items():
                    velocity[k].mul_(0.9).add_(g[k])
                    p.sub_(lr.view(-1, *[1] * (p.dim() - 1)) * velocity[k])
                done += 1
                if done == count:
                    return

    with torch.no_grad():
        run(5)  # warm up
        start = time.perf_counter()
        run(a.vmap_steps)
    return 1e6 * (time.perf_counter() - start) / a.vmap_steps / a.members


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
    parser.add_argument("--vmap-steps", type=int, default=20)
    parser.add_argument("--activation", default="sigmoid")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out")
    a = parser.parse_args()
    import torch

    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    times = {"dlf": [], "loop": [], "vmap": []}
    for i in range(a.rounds):
        out = subprocess.run(
            [a.binary, "cpu", str(a.members), str(a.depth), str(a.width), str(a.batch),
             str(a.steps), a.activation],
            env={**os.environ, "OMP_NUM_THREADS": str(a.threads)}, check=True,
            stdout=subprocess.PIPE, text=True).stdout
        info = json.loads(out)
        times["dlf"].append(info["us_per_member_step"])
        times["loop"].append(loop_round(torch, a))
        times["vmap"].append(vmap_round(torch, a))
        print(f"round {i + 1}: " + "   ".join(f"{k} {v[-1]:8.1f} us" for k, v in times.items()),
              file=sys.stderr)
    result = {
        "what": "wall time per network and training step, microseconds",
        "network": {k: getattr(a, k) for k in ("depth", "width", "batch", "activation")},
        "members": a.members, "threads": a.threads,
        **{k: summary(v) for k, v in times.items()},
        **{f"ratio_{k}_over_dlf": summary([t / o for t, o in zip(times[k], times["dlf"])])
           for k in ("loop", "vmap")},
        "memory": {k: info[k] for k in ("planned_bytes", "lower_bound_bytes")},
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
