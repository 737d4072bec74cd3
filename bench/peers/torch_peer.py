#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PyTorch as a contestant of `dlf bench --against torch`.

One JSON object per line on standard input, one per line on standard output:

    {"device": "cpu", "threads": 2}                   {"version": "PyTorch 2.15.0"}
    {"prepare": {"op": "layer_norm", "direction": "forward", "dtype": "f32", "layout": "nchw",
                 "shape": [512, 1024], "groups": 32}} {"modes": ["hot"]}  or  {"error": "..."}
    {"run": "hot", "calls": 10}                       {"ns": 12345.6}     per call

PyTorch gets its own best case: operators are called directly (backward through the aten operators that
autograd would call). On the CPU there is no cold mode: eviction by CLFLUSH is not to be had from Python.
"""
import json
import os
import sys
import time

ACTIVATIONS = ["relu", "sigmoid", "tanh", "gelu", "silu"]
SWEEP = 1 << 28  # bytes; more than any L2


class Torch:
    def __init__(self, threads, device):
        import torch
        self.torch, self.device = torch, device
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        if device == "cuda":
            self.sweep = torch.empty(SWEEP, dtype=torch.uint8, device=device)

    def convolution(self, direction, x, kernel, arguments, layout):
        torch, (stride, pad, groups) = self.torch, arguments
        w = torch.randn(kernel, device=x.device, dtype=x.dtype)
        b = torch.randn(kernel[0], device=x.device, dtype=x.dtype)
        if layout == "nhwc":
            w = w.contiguous(memory_format=torch.channels_last)
        if direction == "forward":
            return lambda: torch.nn.functional.conv2d(x, w, b, stride, pad, 1, groups)
        dy = torch.randn_like(torch.nn.functional.conv2d(x, w, b, stride, pad, 1, groups))
        wanted = [direction == "data", direction == "weight", False]
        return lambda: torch.ops.aten.convolution_backward(
            dy, x, w, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], groups, wanted)

    def prepare(self, op, direction, dtype, shape, layout, groups=32, kernel=None, arguments=None):
        """A function that does the work once."""
        torch, aten = self.torch, self.torch.ops.aten
        F = torch.nn.functional
        like = dict(device=self.device, dtype={"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[dtype])
        x = torch.randn(shape, **like)
        if layout == "nhwc" and len(shape) == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        if op == "conv":
            return self.convolution(direction, x, kernel, arguments, layout)
        dy = torch.randn_like(x)
        if op in ACTIVATIONS:
            forward = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "gelu": F.gelu,
                       "silu": F.silu}[op]
            y = forward(x)
            backward = {"relu": lambda: aten.threshold_backward(dy, y, 0),
                        "sigmoid": lambda: aten.sigmoid_backward(dy, y),
                        "tanh": lambda: aten.tanh_backward(dy, y),
                        "gelu": lambda: aten.gelu_backward(dy, x),
                        "silu": lambda: aten.silu_backward(dy, x)}[op]
            return (lambda: forward(x)) if direction == "forward" else backward
        if op == "softmax_xent":
            labels = torch.randint(0, shape[1], (shape[0],), device=self.device)
            if direction == "forward":
                return lambda: F.cross_entropy(x, labels, reduction="none")
            x.requires_grad_(True)
            with torch.enable_grad():
                loss = F.cross_entropy(x, labels)
            return lambda: torch.autograd.grad(loss, x, retain_graph=True)
        return self.norm(op, direction, x, dy, groups)

    def norm(self, op, direction, x, dy, groups):
        torch, aten = self.torch, self.torch.ops.aten
        F = torch.nn.functional
        like = dict(device=self.device, dtype=x.dtype)
        channels = x.shape[1]
        w, b = (torch.rand(channels, **like) + 0.5 for _ in range(2))
        mean, var = torch.zeros(channels, **like), torch.ones(channels, **like)
        if op == "layer_norm":
            y, mu, rstd = aten.native_layer_norm(x, [channels], w, b, 1e-5)
            if direction == "forward":
                return lambda: aten.native_layer_norm(x, [channels], w, b, 1e-5)
            return lambda: aten.native_layer_norm_backward(dy, x, [channels], mu, rstd, w, b, [True] * 3)
        if op == "batch_norm":
            if direction == "infer":
                return lambda: aten.native_batch_norm(x, w, b, mean, var, False, 0.1, 1e-5)
            y, mu, rstd = aten.native_batch_norm(x, w, b, mean, var, True, 0.1, 1e-5)
            if direction == "forward":
                return lambda: aten.native_batch_norm(x, w, b, mean, var, True, 0.1, 1e-5)
            return lambda: aten.native_batch_norm_backward(dy, x, w, mean, var, mu, rstd, True, 1e-5, [True] * 3)
        if op == "group_norm":
            n, size = x.shape[0], x.shape[2] * x.shape[3]
            y, mu, rstd = aten.native_group_norm(x, w, b, n, channels, size, groups, 1e-5)
            if direction == "forward":
                return lambda: aten.native_group_norm(x, w, b, n, channels, size, groups, 1e-5)
            return lambda: aten.native_group_norm_backward(dy, x, mu, rstd, w, n, channels, size, groups, [True] * 3)
        call = {"instance_norm": lambda: F.instance_norm(x, weight=w, bias=b),
                "rms_norm": lambda: F.rms_norm(x, [channels], w, 1e-5)}[op]
        if direction == "forward":
            return call
        wants = (x, w, b) if op == "instance_norm" else (x, w)
        for t in wants:
            t.requires_grad_(True)
        with torch.enable_grad():
            y = call()
        return lambda: torch.autograd.grad(y, wants, dy, retain_graph=True)

    def time(self, call, count, cold=False):
        """Seconds of `count` calls."""
        if self.device == "cuda":
            start, stop = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
            if cold:
                self.sweep.zero_()  # runs while what follows is being queued
            start.record()
            for _ in range(count):
                call()
            stop.record()
            stop.synchronize()
            return 1e-3 * start.elapsed_time(stop)
        start = time.perf_counter()
        for _ in range(count):
            call()
        return time.perf_counter() - start


def answer(state, request):
    if "device" in request:
        state["torch"] = Torch(request["threads"], request["device"])
        return {"version": f"PyTorch {state['torch'].torch.__version__}, {request['threads']} threads"}
    torch = state["torch"]
    if "prepare" in request:
        state["call"] = None
        state["call"] = torch.prepare(**request["prepare"])
        state["call"]()
        return {"modes": ["cold", "hot"] if torch.device == "cuda" else ["hot"]}
    if request["run"] == "hot":
        state["call"]()  # wakes the workers, fills the caches
    return {"ns": 1e9 * torch.time(state["call"], request["calls"], request["run"] == "cold") / request["calls"]}


def serve():
    state = {}
    grad_off = None
    for line in sys.stdin:
        try:
            reply = answer(state, json.loads(line))
            if grad_off is None:
                grad_off = state["torch"].torch.no_grad()
                grad_off.__enter__()
        except Exception as e:  # a refusal is an answer
            reply = {"error": f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"[:150]}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    # glibc gives large blocks back at every free; without this PyTorch would pay for page faults.
    keep = {"MALLOC_MMAP_THRESHOLD_": str(1 << 34), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
    if any(os.environ.get(k) != v for k, v in keep.items()) and sys.orig_argv[1:]:
        os.environ.update(keep)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    serve()
