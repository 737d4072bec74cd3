#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Training step of a classifier: dlf's population against PyTorch, in turns.

    python3 bench/peers/train_step.py build/default/bench_train_step [--out FILE.json]
    python3 bench/peers/train_step.py build/default/bench_train_step --members 128 --depth 2 --width 128 --activation relu
    python3 bench/peers/train_step.py build/default/bench_train_step --network lenet5 --members 8 --steps 40 --vmap-steps 4

All train the same networks (default: an mlp of 8 hidden sigmoid layers of 64 on 8x8 images; lenet5 and a small resnet
with batch norm on 28x28), batch 64, SGD with momentum 0.9, on the same number of threads of the same machine, and are
charged per network and step:

    dlf    all members together (seeds x learning rates)
    loop   one network in PyTorch's ordinary loop (nn.Module, cross_entropy, torch.optim.SGD), batches
           gathered from a resident tensor
    vmap   all members together in PyTorch: torch.func.vmap(grad) over stacked parameters, fused update; batch norm
           without running statistics, which vmap does not allow to change

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


def mlp(nn, depth, width, activation):
    act = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}[activation]
    layers, fan_in = [], 64
    for _ in range(depth):
        layers += [nn.Linear(fan_in, width), act()]
        fan_in = width
    return nn.Sequential(*layers, nn.Linear(fan_in, 10))


def lenet5(nn):
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
                         nn.Linear(84, 10))


def resnet(nn):
    def conv_norm(channels, width, kernel, stride):
        return [nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width)]

    class Residual(nn.Module):
        def __init__(self, channels, width, stride):
            super().__init__()
            self.branch = nn.Sequential(*conv_norm(channels, width, 3, stride), nn.ReLU(), *conv_norm(width, width, 3, 1))
            self.skip = nn.Sequential(*conv_norm(channels, width, 1, stride)) if channels != width else nn.Identity()

        def forward(self, x):
            return nn.functional.relu(self.skip(x) + self.branch(x))

    return nn.Sequential(*conv_norm(1, 8, 3, 2), nn.ReLU(), Residual(8, 8, 1), Residual(8, 16, 2),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


def network(torch, a):
    if a.network == "mlp":
        return mlp(torch.nn, a.depth, a.width, a.activation)
    return {"lenet5": lenet5, "resnet": resnet}[a.network](torch.nn)


def data(torch, a):
    return torch.randn(1297, *((64,) if a.network == "mlp" else (1, 28, 28))), torch.randint(0, 10, (1297,))


def loop_round(torch, a):
    net = network(torch, a)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    x, y = data(torch, a)

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

    run(min(40, a.steps))  # warm up
    start = time.perf_counter()
    run(a.steps)
    return 1e6 * (time.perf_counter() - start) / a.steps


def vmap_round(torch, a):
    from torch.func import functional_call, grad, replace_all_batch_norm_modules_, stack_module_state, vmap
    nets = [replace_all_batch_norm_modules_(network(torch, a)) for _ in range(a.members)]
    params, buffers = stack_module_state(nets)
    params = {k: v.detach() for k, v in params.items()}
    velocity = {k: torch.zeros_like(v) for k, v in params.items()}
    skeleton = replace_all_batch_norm_modules_(network(torch, a)).to("meta")
    lr = 0.05 / 2.0 ** (torch.arange(a.members) % 8)
    x, y = data(torch, a)

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
        run(min(5, a.vmap_steps))  # warm up
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
    parser.add_argument("--network", default="mlp", choices=("mlp", "lenet5", "resnet"))
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
            [a.binary, "cpu", str(a.members), str(a.batch), str(a.steps), a.network, str(a.depth),
             str(a.width), a.activation],
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
        "network": {"name": a.network, "batch": a.batch,
                    **({k: getattr(a, k) for k in ("depth", "width", "activation")} if a.network == "mlp" else {})},
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
