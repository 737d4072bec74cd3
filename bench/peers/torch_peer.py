#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PyTorch as a contestant of `dlf bench --against torch`.

One JSON object per line on standard input, one per line on standard output:

    {"device": "cpu", "threads": 2}                   {"version": "PyTorch 2.15.0"}
    {"prepare": {"op": "layer_norm", "direction": "forward", "dtype": "f32", "layout": "nchw",
                 "shape": [512, 1024], "groups": 32}} {"modes": ["hot"]}  or  {"error": "..."}
    {"run": "hot", "calls": 10}                       {"ns": 12345.6}     per call

PyTorch gets its own best case: operators are called directly (backward through the aten operators that
autograd would call). Cold is what it is for dlf: on the CPU every cache line of the operands, and of what the
last call returned and the next will be given again, is flushed before the call (x86-64 with CLFLUSHOPT; there
is no cold mode elsewhere), on a GPU a block larger than the L2 is overwritten.

As `torch-compile` ({"device": ..., "peer": "torch-compile"}) the same functions go through torch.compile.
"""
import ctypes
import json
import mmap
import os
import platform
import sys
import time

ACTIVATIONS = ["relu", "sigmoid", "tanh", "gelu", "silu"]
SWEEP = 1 << 28  # bytes; more than any L2


def flusher():
    """A function (address, cache lines) that flushes them; None where there is none.

    Twenty-two bytes of machine code in a page of its own, because Python has no name for the instruction:
    test rsi,rsi; jz end; loop: clflushopt [rdi]; add rdi,64; dec rsi; jnz loop; end: mfence; ret"""
    try:
        with open("/proc/cpuinfo") as f:
            known = platform.machine() == "x86_64" and " clflushopt" in f.read()
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) if known else None
    except OSError:
        return None
    if not page:
        return None
    page.write(bytes.fromhex("4885f6740d660fae3f4883c74048ffce75f30faef0c3"))
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t)(start)
    call.page = page  # lives as long as the function
    return call


class Torch:
    def __init__(self, threads, device, compiled=False):
        import torch
        self.torch, self.device, self.compiled = torch, device, compiled
        self.flush = flusher() if device == "cpu" else None
        self.operands, self.last, self.built, self.found = [], None, {}, {}
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        if device == "cuda":
            self.sweep = torch.empty(SWEEP, dtype=torch.uint8, device=device)

    def convolution(self, op, direction, x, sizes, groups):
        """Ways to compute it, by name. Layouts: those of x and of w; onednn: w packed beforehand."""
        torch = self.torch
        outputs, kernel, stride, pad = sizes
        like = dict(device=x.device, dtype=x.dtype)
        w = torch.randn(outputs, x.shape[1] // groups, kernel, kernel, **like)
        relu, statistics = op in ("conv1x1_relu", "conv1x1_stats"), op == "conv1x1_stats"
        b = torch.randn(outputs, **like) if relu else None
        conv = torch.nn.functional.conv2d

        def after(y):
            if relu:
                y = torch.relu_(y)
            return (y, *torch.var_mean(y, (0, 2, 3), correction=0)) if statistics else y

        def way(x, w):
            if direction == "forward":
                return lambda: after(conv(x, w, b, stride, pad, 1, groups))
            dy = torch.randn_like(conv(x, w, None, stride, pad, 1, groups))
            wanted = [direction == "data", direction == "weight", False]
            return lambda: torch.ops.aten.convolution_backward(
                dy, x, w, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], groups, wanted)

        last = torch.channels_last
        xl, wl = x.contiguous(memory_format=last), w.contiguous(memory_format=last)
        ways = {"contiguous": way(x.contiguous(), w), "channels_last": way(xl, wl)}
        if self.device == "cpu" and direction == "forward" and x.dtype == torch.float32:
            steps = [pad] * 2, [stride] * 2, [1, 1]
            packed = torch._C._nn.mkldnn_reorder_conv2d_weight(wl.to_mkldnn(), *steps, groups, list(xl.shape))
            fused = torch.ops.mkldnn._convolution_pointwise
            act = "relu" if relu else "none"

            def onednn():
                y = fused(xl, packed, b, *steps, groups, act, [], "")
                return (y, *torch.var_mean(y, (0, 2, 3), correction=0)) if statistics else y
            ways["onednn"] = onednn
        return ways

    def fastest(self, ways):
        """Its name, of three calls each."""
        trial = {}
        for name, call in ways.items():
            call()
            trial[name] = min(self.time(call, 1) for _ in range(3))
        return min(trial, key=trial.get)

    def prepare(self, op, direction, dtype, shape, layout, groups=32, convolution=None):
        """A function that does the work once. Of a convolution the fastest of several; self.note says which."""
        torch, aten = self.torch, self.torch.ops.aten
        F = torch.nn.functional
        like = dict(device=self.device, dtype={"f16": torch.float16, "bf16": torch.bfloat16}.get(dtype, torch.float32))
        self.note = ""
        x = torch.randn(shape, **like)
        if layout == "nhwc" and len(shape) == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        if convolution:
            torch.backends.cudnn.allow_tf32 = dtype == "tf32"
            torch.backends.cudnn.benchmark = True  # its own search for the fastest algorithm
            ways = self.convolution(op, direction, x, convolution, groups)
            key = op, direction, dtype, *shape, layout, groups, *convolution
            if key not in self.found:  # later passes take the way that the first one found
                self.found[key] = self.fastest(ways)
            self.note = self.found[key]
            return ways[self.note]
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

    def tensors(self, thing, seen):
        """Those that a function works on, and those in what it returns."""
        if id(thing) in seen:
            return
        seen.add(id(thing))
        if isinstance(thing, self.torch.Tensor):
            if thing.layout is self.torch.strided:
                yield thing
        elif isinstance(thing, (tuple, list)):
            for part in thing:
                yield from self.tensors(part, seen)
        elif callable(thing):
            for cell in getattr(thing, "__closure__", None) or ():
                yield from self.tensors(cell.cell_contents, seen)

    def ready(self, request):
        """The function of a request. A compiled one is kept: another pass would take as long again."""
        key = json.dumps(request)
        if key in self.built:
            self.operands, call = self.built[key]
            return call
        plain = self.prepare(**request)
        self.operands, call = list(self.tensors(plain, set())), plain
        if self.compiled:
            self.torch._dynamo.reset()
            call = self.torch.compile(plain)
            self.built[key] = self.operands, call
        self.last = None
        return call

    def evict(self):
        for t in [*self.operands, *self.tensors(self.last, set())]:
            bytes_ = t.untyped_storage()
            start = bytes_.data_ptr() & ~63
            self.flush(start, (bytes_.data_ptr() + bytes_.nbytes() - start + 63) // 64)

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
        if cold:
            self.last = call()
            self.evict()
            self.last = None
        start = time.perf_counter()
        for _ in range(count):
            result = call()
        stop = time.perf_counter()
        del result
        return stop - start


def answer(state, request):
    if "device" in request:
        compiled = request.get("peer") == "torch-compile"
        state["torch"] = Torch(request["threads"], request["device"], compiled)
        return {"version": f"PyTorch {state['torch'].torch.__version__}{', torch.compile' if compiled else ''}, "
                           f"{request['threads']} threads"}
    torch = state["torch"]
    if "prepare" in request:
        state["call"] = None
        state["call"] = torch.ready(request["prepare"])
        state["call"]()
        return {"modes": ["cold", "hot"] if torch.device == "cuda" or torch.flush else ["hot"], "note": torch.note}
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
