#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PyTorch as a contestant of `dlf bench --against torch`, and what builds on it: Liger-Kernel, QuACK.

One JSON object per line on standard input, one per line on standard output:

    {"device": "cpu", "threads": 2, "peer": "torch"}  {"version": "PyTorch 2.15.0"}
    {"prepare": {"op": "layer_norm", "direction": "forward", "dtype": "f32", "layout": "nchw",
                 "shape": [512, 1024], "groups": 32},
     "gate": true}                                    {"modes": ["hot"], "off": 1e-7}  or  {"error": "..."}
    {"run": "hot", "calls": 10}                       {"ns": 12345.6}     per call

A peer gets its own best case: operators are called directly (backward through the aten operators that
autograd would call). Cold is what it is for dlf: on the CPU every cache line of the operands, and of what the
last call returned and the next will be given again, is flushed before the call (x86-64 with CLFLUSHOPT; there
is no cold mode elsewhere), on a GPU a block larger than the L2 is overwritten.

"off" is how far the result is from the formula evaluated in double on the same operands, max |got - want| /
(|want| + rms want); dlf judges it by the tolerance that its own kernels are held to. It is left out where the
formula would take minutes.

As `torch-compile` the same functions go through torch.compile; as `torch-layout` convolutions have one way, that of
the case's own layout, and as `onednn`, in that layout, oneDNN with weights packed beforehand.
"""
import importlib
import importlib.metadata
import importlib.util
import ctypes
import json
import mmap
import os
import platform
import sys
import time

ACTIVATIONS = ["relu", "sigmoid", "tanh", "gelu", "silu"]
EPS = 1e-5
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
        self.torch, self.device, self.compiled, self.only = torch, device, compiled, None
        self.flush = flusher() if device == "cpu" else None
        self.operands, self.last, self.built, self.found = [], None, {}, {}
        self.call, self.want, self.kept, self.note = None, None, [], ""
        self.host = float("inf")  # seconds that queueing a call takes at best (cuda)
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        if device == "cuda":
            self.sweep = torch.empty(SWEEP, dtype=torch.uint8, device=device)

    # ---- operands, and what is to come out ----------------------------------------------------------------

    def operands_of(self, op, direction, shape, dtype, layout, groups, convolution):
        """Tensors by name: x, dy, w, b, mean, var, labels; those that the case has."""
        torch = self.torch
        like = dict(device=self.device, dtype={"f16": torch.float16, "bf16": torch.bfloat16}.get(dtype, torch.float32))
        last = layout == "nhwc" and len(shape) == 4

        def normal(shape):
            t = torch.randn(shape, **like)
            return t.contiguous(memory_format=torch.channels_last) if last else t

        o = {"x": normal(shape)}
        if convolution:
            outputs, kernel, stride, pad = convolution
            o["w"] = torch.randn(outputs, shape[1] // groups, kernel, kernel, **like)
            if op in ("conv1x1_relu", "conv1x1_stats"):
                o["b"] = torch.randn(outputs, **like)
            if direction != "forward":
                side = [(n + 2 * pad - kernel) // stride + 1 for n in shape[2:]]
                o["dy"] = normal([shape[0], outputs, *side])
            return o
        if op == "softmax_xent":
            return {**o, "labels": torch.randint(0, shape[1], (shape[0],), device=self.device)}
        if direction == "backward":
            o["dy"] = normal(shape)
        if op not in ACTIVATIONS:
            o["w"] = torch.rand(shape[1], **like) + 0.5
            if op != "rms_norm":
                o["b"] = torch.rand(shape[1], **like) + 0.5
        if direction == "infer":
            o["mean"], o["var"] = torch.zeros(shape[1], **like), torch.ones(shape[1], **like)
        return o

    def formula(self, op, o, groups, convolution):
        """What the op is, in elementary functions of the tensors o: a list. Gradients come from it by autograd."""
        torch, x = self.torch, o["x"]
        if convolution:
            y = torch.nn.functional.conv2d(x, o["w"], o.get("b"), convolution[2], convolution[3], 1, groups)
            y = y.clamp(min=0) if "b" in o else y
            return [y, *torch.var_mean(y, (0, 2, 3), correction=0)] if op == "conv1x1_stats" else [y]
        if op in ACTIVATIONS:
            return [{"relu": lambda: x.clamp(min=0), "sigmoid": lambda: 1 / (1 + torch.exp(-x)),
                     "tanh": lambda: torch.tanh(x), "gelu": lambda: 0.5 * x * (1 + torch.erf(x / 2 ** 0.5)),
                     "silu": lambda: x / (1 + torch.exp(-x))}[op]()]
        if op == "softmax_xent":
            return [torch.logsumexp(x, 1) - x.gather(1, o["labels"][:, None].long())[:, 0]]
        n, channels = x.shape[:2]
        each = [1, channels] + [1] * (x.dim() - 2)
        if op in ("group_norm", "instance_norm"):
            parts, over = x.reshape(n, groups if op == "group_norm" else channels, -1), (2,)
        else:
            parts, over = x, (1,) if op in ("layer_norm", "rms_norm") else (0, *range(2, x.dim()))
        mean = parts.mean(over, keepdim=True) if op != "rms_norm" else 0.0
        var = ((parts - mean) ** 2).mean(over, keepdim=True)
        if "mean" in o:
            mean, var = o["mean"].reshape(each), o["var"].reshape(each)
        hat = ((parts - mean) / torch.sqrt(var + EPS)).reshape(x.shape)
        return [hat * o["w"].reshape(each) + (o["b"].reshape(each) if "b" in o else 0.0)]

    def definition(self, op, direction, o, groups, convolution):
        """The outputs in double; of a backward direction the gradients of x, w and b, as far as they are asked for."""
        torch = self.torch
        o = {k: v.detach().double() if v.is_floating_point() else v for k, v in o.items()}
        if direction in ("forward", "infer"):
            return self.formula(op, o, groups, convolution)
        if "y" in o:  # as it was stored: an operand of the call
            y = o["y"]
            return [o["dy"] * {"relu": (y > 0).double(), "sigmoid": y * (1 - y), "tanh": 1 - y * y}[op]]
        names = {"data": ["x"], "weight": ["w"]}.get(direction, [k for k in ("x", "w", "b") if k in o])
        with torch.enable_grad():
            for name in names:
                o[name].requires_grad_(True)
            y = self.formula(op, o, groups, convolution)[0]
            return torch.autograd.grad(y, [o[k] for k in names], o["dy"] if "dy" in o else torch.ones_like(y) / len(y))

    def off(self):
        """How far the prepared call is from its definition; None: not looked at."""
        if not self.want:
            return None
        self.restore()
        want = self.want()
        self.restore()
        got = self.call()
        got = [t for t in (got if isinstance(got, (tuple, list)) else [got]) if t is not None]
        worst = 0.0
        for g, w in zip(got, want, strict=False):  # what follows are statistics that the caller may keep
            g = g.detach().double().reshape(w.shape)
            e = (g - w).abs() / (w.abs() + (w * w).mean().sqrt())
            e = self.torch.where(g == w, 0.0, e).max().item()
            worst = e if not e <= worst else worst
        if len(got) < len(want) or not worst < float("inf"):
            return "Infinity"
        return worst

    def short(self, shape, convolution, groups):
        """Does the formula in double come to an end soon?"""
        size, work = 1, 1
        for n in shape:
            size *= n
        if convolution:
            outputs, kernel, stride, pad = convolution
            work = 2 * size // stride ** 2 * outputs * kernel ** 2 // groups
        return size <= 1 << 26 and work <= 1e12 if self.device == "cuda" else size <= 1 << 24 and work <= 1e10

    # ---- PyTorch's ways -----------------------------------------------------------------------------------

    def convolution(self, op, direction, o, sizes, groups):
        """Ways to compute it, by name. Layouts: those of x and of w; onednn_: w packed beforehand."""
        torch, x, w, b = self.torch, o["x"], o["w"], o.get("b")
        outputs, kernel, stride, pad = sizes
        conv = torch.nn.functional.conv2d

        def after(y):
            if b is not None:
                y = torch.relu_(y)
            return (y, *torch.var_mean(y, (0, 2, 3), correction=0)) if op == "conv1x1_stats" else y

        def way(layout):
            mine = {k: t.contiguous(memory_format=layout) if t.dim() == 4 else t for k, t in o.items()}
            x, w, dy = mine["x"], mine["w"], mine.get("dy")
            if direction == "forward":
                return lambda: after(conv(x, w, b, stride, pad, 1, groups))
            wanted = [direction == "data", direction == "weight", False]
            return lambda: torch.ops.aten.convolution_backward(
                dy, x, w, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], groups, wanted)

        ways = {"contiguous": way(torch.contiguous_format), "channels_last": way(torch.channels_last)}
        if self.device == "cpu" and direction == "forward" and x.dtype == torch.float32:
            steps = [pad] * 2, [stride] * 2, [1, 1]
            fused = torch.ops.mkldnn._convolution_pointwise
            act = "relu" if b is not None else "none"

            def onednn(layout):
                xl, wl = (t.contiguous(memory_format=layout) for t in (x, w))
                packed = torch._C._nn.mkldnn_reorder_conv2d_weight(wl.to_mkldnn(), *steps, groups, list(xl.shape))

                def call():
                    y = fused(xl, packed, b, *steps, groups, act, [], "")
                    return (y, *torch.var_mean(y, (0, 2, 3), correction=0)) if op == "conv1x1_stats" else y
                return call
            ways["onednn_contiguous"] = onednn(torch.contiguous_format)
            ways["onednn_channels_last"] = onednn(torch.channels_last)
        return ways

    def chosen(self, ways, layout):
        """Those that take part under the name of this peer."""
        own = "channels_last" if layout == "nhwc" else "contiguous"
        names = {"torch-layout": [own], "onednn": ["onednn_" + own]}.get(self.only, ways)
        if not all(name in ways for name in names):
            raise ValueError("oneDNN packs weights for f32 convolutions forward on a CPU only")
        return {name: ways[name] for name in names}

    def fastest(self, ways):
        """Its name, of three calls each."""
        trial = {}
        for name, call in ways.items():
            call()
            trial[name] = min(self.time(call, 1) for _ in range(3))
        return min(trial, key=trial.get)

    def prepare(self, op, direction, dtype, shape, layout, groups=32, convolution=None):
        """A function that does the work once, in self.call. Of a convolution the fastest of several; self.note says
        which. self.want: what it should come to; self.kept: operands that it overwrites."""
        o = self.operands_of(op, direction, shape, dtype, layout, groups, convolution)
        self.note, self.kept = "", []
        self.want = None
        if self.short(shape, convolution, groups):
            self.want = lambda: self.definition(op, direction, o, groups, convolution)
        if convolution:
            self.torch.backends.cudnn.allow_tf32 = dtype == "tf32"
            self.torch.backends.cudnn.benchmark = True  # its own search for the fastest algorithm
            ways = self.chosen(self.convolution(op, direction, o, convolution, groups), layout)
            key = op, direction, dtype, *shape, layout, groups, *convolution
            if key not in self.found:  # later passes take the way that the first one found
                self.found[key] = self.fastest(ways)
            self.note = self.found[key]
            return ways[self.note]
        if self.only == "onednn":
            raise ValueError("it packs weights of convolutions, and this has none")
        return self.way(op, direction, o, groups)

    def overwrites(self, t):
        """Calls write into operand t: it is put back before they are timed, and before they are looked at."""
        self.kept.append((t, t.detach().clone()))

    def restore(self):
        with self.torch.no_grad():
            for t, numbers in self.kept:
                t.copy_(numbers)

    def gradients(self, call, wants, dy):
        """The backward pass of call(), again and again."""
        for t in wants:
            t.requires_grad_(True)
        with self.torch.enable_grad():
            y = call()
        return lambda: self.torch.autograd.grad(y, wants, dy, retain_graph=True)

    def way(self, op, direction, o, groups):
        torch, aten = self.torch, self.torch.ops.aten
        F = torch.nn.functional
        x, dy = o["x"], o.get("dy")
        if op in ACTIVATIONS:
            forward = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "gelu": F.gelu,
                       "silu": F.silu}[op]
            y = forward(x)
            if direction == "backward" and op not in ("gelu", "silu"):
                o["y"] = y
            backward = {"relu": lambda: aten.threshold_backward(dy, y, 0),
                        "sigmoid": lambda: aten.sigmoid_backward(dy, y),
                        "tanh": lambda: aten.tanh_backward(dy, y),
                        "gelu": lambda: aten.gelu_backward(dy, x),
                        "silu": lambda: aten.silu_backward(dy, x)}[op]
            return (lambda: forward(x)) if direction == "forward" else backward
        if op == "softmax_xent":
            labels = o["labels"]
            if direction == "forward":
                return lambda: F.cross_entropy(x, labels, reduction="none")
            return self.gradients(lambda: F.cross_entropy(x, labels), [x], None)
        return self.norm(op, direction, o, groups)

    def norm(self, op, direction, o, groups):
        aten, F = self.torch.ops.aten, self.torch.nn.functional
        x, dy, w, b, mean, var = (o.get(k) for k in ("x", "dy", "w", "b", "mean", "var"))
        channels = x.shape[1]
        if op == "layer_norm":
            y, mu, rstd = aten.native_layer_norm(x, [channels], w, b, EPS)
            if direction == "forward":
                return lambda: aten.native_layer_norm(x, [channels], w, b, EPS)
            return lambda: aten.native_layer_norm_backward(dy, x, [channels], mu, rstd, w, b, [True] * 3)
        if op == "batch_norm":
            if direction == "infer":
                return lambda: aten.native_batch_norm(x, w, b, mean, var, False, 0.1, EPS)
            mean, var = self.torch.zeros_like(w), self.torch.ones_like(w)  # the running ones
            y, mu, rstd = aten.native_batch_norm(x, w, b, mean, var, True, 0.1, EPS)
            if direction == "forward":
                return lambda: aten.native_batch_norm(x, w, b, mean, var, True, 0.1, EPS)
            return lambda: aten.native_batch_norm_backward(dy, x, w, mean, var, mu, rstd, True, EPS, [True] * 3)
        if op == "group_norm":
            n, size = x.shape[0], x.shape[2] * x.shape[3]
            y, mu, rstd = aten.native_group_norm(x, w, b, n, channels, size, groups, EPS)
            if direction == "forward":
                return lambda: aten.native_group_norm(x, w, b, n, channels, size, groups, EPS)
            return lambda: aten.native_group_norm_backward(dy, x, mu, rstd, w, n, channels, size, groups, [True] * 3)
        call = {"instance_norm": lambda: F.instance_norm(x, weight=w, bias=b),
                "rms_norm": lambda: F.rms_norm(x, [channels], w, EPS)}[op]
        if direction == "forward":
            return call
        return self.gradients(call, [x, w, b] if op == "instance_norm" else [x, w], dy)

    # ---- timing -------------------------------------------------------------------------------------------

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
        """The function of a request into self.call. A compiled one is kept: another pass would take as long again."""
        key = json.dumps(request)
        if key in self.built:
            self.operands, self.call = self.built[key]
            return
        plain = self.prepare(**request)
        self.operands, call = list(self.tensors(plain, set())), plain
        if self.compiled:
            self.torch._dynamo.reset()
            call = self.torch.compile(plain)
            self.built[key] = self.operands, call
        self.last, self.call, self.host = None, call, float("inf")

    def evict(self):
        for t in [*self.operands, *self.tensors(self.last, set())]:
            bytes_ = t.untyped_storage()
            start = bytes_.data_ptr() & ~63
            self.flush(start, (bytes_.data_ptr() + bytes_.nbytes() - start + 63) // 64)

    def hold(self, count):
        """Keeps the GPU busy while that many calls are queued, so that launch latency stays out, as it does for dlf:
        twice as long as queueing took at best, a hundredth of a second at most, at 2 GHz."""
        wait = getattr(self.torch.cuda, "_sleep", None)
        if wait:
            wait(int(2e9 * min(2.0 * self.host * count, 0.01)))

    def time(self, call, count, cold=False):
        """Seconds of `count` calls."""
        self.restore()
        if self.device == "cuda":
            start, stop = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
            if cold:
                self.sweep.zero_()  # runs while what follows is being queued
            elif self.host < 1.0:
                self.hold(count)
            start.record()
            begin = time.perf_counter()
            for _ in range(count):
                call()
            self.host = min(self.host, (time.perf_counter() - begin) / count)
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


class Liger(Torch):
    """Liger-Kernel (Triton), through the autograd functions that its modules call, with their defaults."""
    package = "liger_kernel.ops", "liger-kernel"

    def function(self, file, name):
        # liger_kernel.ops has what suits the device, where there is a choice; older versions have the files alone.
        found = getattr(importlib.import_module("liger_kernel.ops"), name, None)
        return (found or getattr(importlib.import_module(f"liger_kernel.ops.{file}"), name)).apply

    def way(self, op, direction, o, groups):
        x, dy, w, b = (o.get(k) for k in ("x", "dy", "w", "b"))
        if op == "rms_norm":
            norm, wants = self.function("rms_norm", "LigerRMSNormFunction"), [x, w]
            if direction == "backward":
                self.overwrites(dy)  # dx lands there
            call = lambda: norm(x, w, EPS, 0.0, "llama", True)
        elif op == "layer_norm":
            norm, wants = self.function("layer_norm", "LigerLayerNormFunction"), [x, w, b]
            call = lambda: norm(x, w, b, EPS)
        elif op in ("group_norm", "instance_norm") and x.is_contiguous():
            norm, wants = self.function("group_norm", "LigerGroupNormFunction"), [x, w, b]
            channels = x.shape[1]
            call = lambda: norm(x, w, b, channels, groups if op == "group_norm" else channels, EPS)
        elif op == "softmax_xent":
            loss, labels = self.function("cross_entropy", "LigerCrossEntropyFunction"), o["labels"]
            if direction == "forward":
                return lambda: loss(x, labels, None, -100, 0.0, 0.0, "none", None, False)[0]
            self.overwrites(x)  # the gradient lands there, in the same kernel as the loss
            x.requires_grad_(True)
            return lambda: (loss(x, labels, None, -100, 0.0, 0.0, "mean", None, False), x)[1]
        else:
            raise ValueError("Liger-Kernel has no such op, or not in this layout")
        return call if direction == "forward" else self.gradients(call, wants, dy)


class Quack(Torch):
    """QuACK (CuTe-DSL), through the functions behind its autograd functions. Weights are float."""
    package = "quack", "quack-kernels"

    def way(self, op, direction, o, groups):
        x, dy = o["x"], o.get("dy")
        w, b = (o[k].float() if k in o else None for k in ("w", "b"))
        back = direction == "backward"
        if op == "rms_norm":
            q = importlib.import_module("quack.rmsnorm")
            if not back:
                return lambda: q.rmsnorm_fwd(x, w, eps=EPS, store_rstd=True)[0]
            rstd = q.rmsnorm_fwd(x, w, eps=EPS, store_rstd=True)[2]
            return lambda: q.rmsnorm_bwd(x, w, dy, rstd)[:2]
        if op == "layer_norm":
            q = importlib.import_module("quack.rmsnorm")
            if not back:
                return lambda: q.layernorm_fwd(x, w, b, eps=EPS, return_rstd=True, return_mean=True)[0]
            _, rstd, mean = q.layernorm_fwd(x, w, b, eps=EPS, return_rstd=True, return_mean=True)
            return lambda: q.layernorm_bwd(x, w, dy, rstd, mean)
        if op == "softmax_xent":
            q = importlib.import_module("quack.cross_entropy")
            labels = o["labels"].int()
            if not back:
                return lambda: q.cross_entropy_fwd(x, labels)
            loss, lse = q.cross_entropy_fwd(x, labels, return_lse=True)
            dloss = self.torch.full_like(loss, 1 / len(loss))
            return lambda: q.cross_entropy_bwd(x, labels, dloss, lse)
        raise ValueError("QuACK has no such op")


def start(request):
    """The peer that was asked for, and its version."""
    name, threads = request.get("peer", "torch"), request["threads"]
    peer, version = {"liger": Liger, "quack": Quack}.get(name, Torch), ""
    if peer is not Torch:
        module, package = peer.package
        if request["device"] != "cuda":
            raise RuntimeError("it needs --device cuda")
        if not importlib.util.find_spec(module.partition(".")[0]):
            raise RuntimeError(f"no {package} in this Python")
        importlib.import_module(module)  # what it lacks is told now, and not for every case
        version = f"{package} {importlib.metadata.version(package)}, "
    compiled = name == "torch-compile"
    made = peer(threads, request["device"], compiled)
    made.only = name  # of a convolution's ways
    return made, f"{version}PyTorch {made.torch.__version__}{', torch.compile' if compiled else ''}, {threads} threads"


def answer(state, request):
    if "device" in request:
        state["torch"], version = start(request)
        return {"version": version}
    torch = state["torch"]
    if "prepare" in request:
        torch.call = None
        torch.ready(request["prepare"])
        torch.call()
        off = torch.off() if request.get("gate") else None
        if torch.device == "cuda" and off is not None:
            torch.torch.cuda.empty_cache()  # what the formula took: dlf needs memory, too
        return {"modes": ["cold", "hot"] if torch.device == "cuda" or torch.flush else ["hot"], "note": torch.note,
                **({} if off is None else {"off": off})}
    if request["run"] == "hot":
        torch.call()  # wakes the workers, fills the caches
    return {"ns": 1e9 * torch.time(torch.call, request["calls"], request["run"] == "cold") / request["calls"]}


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
