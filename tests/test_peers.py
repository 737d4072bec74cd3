#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/peers/torch_peer.py: do Liger-Kernel and QuACK get every operand in its place? Against modules with
their signatures (Liger-Kernel 0.8.5, QuACK 0.6.5), because neither runs without a GPU. With PyTorch, where it is
installed: are its own ways what the formulas in double say, and is a wrong one seen?"""
import contextlib
import importlib.util
import inspect
import pathlib
import sys
import types
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).parent
spec = importlib.util.spec_from_file_location("torch_peer", HERE.parent / "bench/peers/torch_peer.py")
peer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(peer)


class Tensor:
    """A name, what was done to it, and whether it is contiguous."""

    def __init__(self, name, contiguous=True):
        self.name, self.contiguous, self.shape, self.numbers, self.wants = name, contiguous, [6, 8, 5, 4], name, False

    def __repr__(self):
        return self.name

    def __len__(self):
        return 6

    def float(self):
        return Tensor(self.name + ".float")

    def int(self):
        return Tensor(self.name + ".int")

    def detach(self):
        return self

    def clone(self):
        return Tensor(self.name)

    def copy_(self, other):
        self.numbers = other.name

    def is_contiguous(self):
        return self.contiguous

    def requires_grad_(self, wanted):
        self.wants = wanted


class FakeTorch:
    enable_grad = no_grad = contextlib.nullcontext

    class autograd:
        @staticmethod
        def grad(y, wants, dy, retain_graph):
            return "gradients", y, [t.name for t in wants], dy.name

    @staticmethod
    def full_like(t, value):
        return Tensor(f"{value:g} like {t}")


calls = []


def entry(signature, result):
    """A function with this signature that notes its arguments by name."""
    def f(*args, **kwargs):
        bound = inspect.signature(shape).bind(*args, **kwargs)
        calls.append({k: v.name if isinstance(v, Tensor) else v for k, v in bound.arguments.items()})
        return result
    space = {}
    exec(f"def shape({signature}): pass", space)
    shape = space["shape"]
    return f


def apply(signature, result):
    return type("Function", (), {"apply": staticmethod(entry(signature, result))})


MODULES = {
    "liger_kernel": {}, "liger_kernel.ops": {},  # as older versions: nothing in the package itself
    "liger_kernel.ops.rms_norm": {"LigerRMSNormFunction": apply(
        "X, W, eps, offset=0.0, casting_mode='llama', in_place=True, row_mode=None", "y")},
    "liger_kernel.ops.layer_norm": {"LigerLayerNormFunction": apply("X, W, B, eps", "y")},
    "liger_kernel.ops.group_norm": {"LigerGroupNormFunction": apply(
        "X, affine_scaling_weight, affine_shifting_bias, num_channels, num_groups, eps", "y")},
    "liger_kernel.ops.cross_entropy": {"LigerCrossEntropyFunction": apply(
        "_input, target, weight, ignore_index=-100, lse_square_scale=0.0, label_smoothing=0.0, reduction='mean', "
        "softcap=None, return_z_loss=False, return_token_accuracy=False, return_predicted_tokens=False",
        ("loss", None, None, None))},
    "quack": {},
    "quack.rmsnorm": {
        "rmsnorm_fwd": entry("x, weight=None, bias=None, residual=None, out_dtype=None, residual_dtype=None, "
                             "eps=1e-6, store_rstd=False, weight_offset=0.0", ("out", "residual", Tensor("rstd"))),
        "rmsnorm_bwd": entry("x, weight, dout, rstd, dresidual_out=None, has_bias=False, has_residual=False, "
                             "weight_offset=0.0", ("dx", "dw", None, None)),
        "layernorm_fwd": entry("x, weight, bias=None, eps=1e-6, return_rstd=False, return_mean=False",
                               ("out", Tensor("rstd"), Tensor("mean"))),
        "layernorm_bwd": entry("x, weight, dout, rstd, mean, has_bias=True", ("dx", "dw", "db"))},
    "quack.cross_entropy": {
        "cross_entropy_fwd": entry("x, target, target_logit=None, weight=None, ignore_index=-100, return_lse=False, "
                                   "return_dx=False, inplace_backward=False", (Tensor("loss"), Tensor("lse"))),
        "cross_entropy_bwd": entry("x, target, dloss, lse, weight=None, ignore_index=-100, inplace_backward=False",
                                   "dx")},
}


class Mapping(unittest.TestCase):
    def setUp(self):
        for name, content in MODULES.items():
            sys.modules[name] = types.ModuleType(name)
            vars(sys.modules[name]).update(content)

    def tearDown(self):
        for name in MODULES:
            del sys.modules[name]

    def call(self, kind, op, direction, contiguous=True):
        """What one call returned; its arguments are in self.got, the operands in self.o."""
        p = kind.__new__(kind)
        p.torch, p.kept = FakeTorch, []
        self.p, self.o = p, {k: Tensor(k, contiguous) for k in ("x", "dy", "w", "b", "labels")}
        way = p.way(op, direction, self.o, 4)
        if "gradients" not in way.__qualname__:
            calls.clear()
        result = way()
        self.got = calls[0]
        calls.clear()
        return result

    def test_liger_norms(self):
        for op, want, leaves in (
                ("rms_norm", dict(X="x", W="w", eps=1e-5, offset=0.0, casting_mode="llama", in_place=True), "xw"),
                ("layer_norm", dict(X="x", W="w", B="b", eps=1e-5), "xwb"),
                ("group_norm", dict(X="x", affine_scaling_weight="w", affine_shifting_bias="b", num_channels=8,
                                    num_groups=4, eps=1e-5), "xwb"),
                ("instance_norm", dict(X="x", affine_scaling_weight="w", affine_shifting_bias="b", num_channels=8,
                                       num_groups=8, eps=1e-5), "xwb")):
            self.assertEqual(self.call(peer.Liger, op, "forward"), "y")
            self.assertEqual(self.got, want)
            self.assertEqual(self.call(peer.Liger, op, "backward"), ("gradients", "y", list(leaves), "dy"))
            self.assertEqual(self.got, want)
            self.assertTrue(all(self.o[k].wants for k in leaves))
            self.assertEqual([t.name for t, _ in self.p.kept], ["dy"] if op == "rms_norm" else [])

    def test_liger_cross_entropy(self):
        want = dict(_input="x", target="labels", weight=None, ignore_index=-100, lse_square_scale=0.0,
                    label_smoothing=0.0, reduction="none", softcap=None, return_z_loss=False)
        self.assertEqual(self.call(peer.Liger, "softmax_xent", "forward"), "loss")
        self.assertEqual(self.got, want)
        self.assertIs(self.call(peer.Liger, "softmax_xent", "backward"), self.o["x"])
        self.assertEqual(self.got, {**want, "reduction": "mean"})
        self.assertTrue(self.o["x"].wants)

    def test_what_is_overwritten_is_put_back(self):
        self.call(peer.Liger, "softmax_xent", "backward")
        self.o["x"].numbers = "a gradient"
        self.p.restore()
        self.assertEqual(self.o["x"].numbers, "x")

    def test_the_package_comes_before_its_files(self):
        better = apply("X, W, B, eps", "better")
        sys.modules["liger_kernel.ops"].LigerLayerNormFunction = better
        self.assertEqual(self.call(peer.Liger, "layer_norm", "forward"), "better")

    def test_quack(self):
        back = dict(x="x", dout="dy", rstd="rstd")
        for op, direction, want, result in (
                ("rms_norm", "forward", dict(x="x", weight="w.float", eps=1e-5, store_rstd=True), "out"),
                ("rms_norm", "backward", dict(back, weight="w.float"), ("dx", "dw")),
                ("layer_norm", "forward", dict(x="x", weight="w.float", bias="b.float", eps=1e-5, return_rstd=True,
                                               return_mean=True), "out"),
                ("layer_norm", "backward", dict(back, weight="w.float", mean="mean"), ("dx", "dw", "db")),
                ("softmax_xent", "backward", dict(x="x", target="labels.int", dloss="0.166667 like loss", lse="lse"),
                 "dx")):
            self.assertEqual(self.call(peer.Quack, op, direction), result)
            self.assertEqual(self.got, want)
        self.call(peer.Quack, "softmax_xent", "forward")
        self.assertEqual(self.got, dict(x="x", target="labels.int"))

    def test_what_they_do_not_have(self):
        for kind, op in ((peer.Liger, "batch_norm"), (peer.Quack, "group_norm"), (peer.Quack, "gelu")):
            with self.assertRaisesRegex(ValueError, "has no such op"):
                self.call(kind, op, "forward")
        with self.assertRaisesRegex(ValueError, "not in this layout"):
            self.call(peer.Liger, "group_norm", "forward", contiguous=False)


class OnAGpu(unittest.TestCase):
    """What is queued, in which order."""

    def test_hot_calls_wait_behind_something(self):
        log = []

        class Event:
            made = 0

            def __init__(self, enable_timing):
                self.name, Event.made = ("start", "stop")[Event.made % 2], Event.made + 1

            def record(self):
                log.append(self.name)

            def synchronize(self):
                pass

            def elapsed_time(self, stop):
                return 3.0

        cuda = types.SimpleNamespace(Event=Event, _sleep=lambda cycles: log.append("wait"))
        p = peer.Torch.__new__(peer.Torch)
        p.torch = types.SimpleNamespace(cuda=cuda, no_grad=contextlib.nullcontext)
        p.device, p.kept, p.host = "cuda", [], float("inf")
        p.sweep = types.SimpleNamespace(zero_=lambda: log.append("sweep"))

        def call():
            log.append("call")

        for cold, want in ((False, ["start", "call", "call", "stop"]), (False, ["wait", "start", "call", "call", "stop"]),
                           (True, ["sweep", "start", "call", "call", "stop"])):
            log.clear()
            self.assertEqual(p.time(call, 2, cold), 3e-3)
            self.assertEqual(log, want)
        del cuda._sleep
        self.assertEqual(p.time(call, 2), 3e-3)


class Absence(unittest.TestCase):
    def test_the_reason(self):
        for name, package in (("liger", "liger-kernel"), ("quack", "quack-kernels")):
            with self.assertRaisesRegex(RuntimeError, "needs --device cuda"):
                peer.start({"peer": name, "device": "cpu", "threads": 1})
            if not importlib.util.find_spec(package.replace("-", "_")) and not importlib.util.find_spec(name):
                with self.assertRaisesRegex(RuntimeError, f"no {package} in this Python"):
                    peer.start({"peer": name, "device": "cuda", "threads": 1})


@unittest.skipUnless(importlib.util.find_spec("torch"), "no PyTorch in this Python")
class Torch(unittest.TestCase):
    def test_ways_and_definitions_agree(self):
        p, _ = peer.start({"device": "cpu", "threads": 1, "peer": "torch"})
        image, rows, conv = [3, 8, 5, 4], [6, 16], [12, 3, 2, 1]
        cases = [(op, d, s, None) for op, s in (("layer_norm", rows), ("rms_norm", rows), ("group_norm", image),
                                                ("instance_norm", image), ("batch_norm", image), ("batch_norm", rows),
                                                ("softmax_xent", rows), *((a, [40]) for a in peer.ACTIVATIONS))
                 for d in ("forward", "backward")]
        cases += [("batch_norm", "infer", image, None), ("conv1x1_stats", "forward", image, [12, 1, 1, 0])]
        cases += [("conv", d, [3, 8, 5, 5], conv) for d in ("forward", "data", "weight")]
        with p.torch.no_grad():
            for op, direction, shape, convolution in cases:
                for layout in ("nchw", "nhwc")[:len(shape) - 2] or ("nchw",):
                    with self.subTest(op=op, direction=direction, shape=shape, layout=layout):
                        p.ready(dict(op=op, direction=direction, dtype="f32", shape=shape, layout=layout, groups=4,
                                     convolution=convolution))
                        self.assertLess(p.off(), 2e-6)
                        right = p.call
                        p.call = lambda: [t * 1.01 for t in peer_list(right())]
                        self.assertGreater(p.off(), 2e-3)
                        p.call = lambda: [float("nan") * t for t in peer_list(right())]
                        self.assertEqual(p.off(), "Infinity")


def peer_list(result):
    return [t for t in (result if isinstance(result, (tuple, list)) else [result]) if t is not None]


if __name__ == "__main__":
    unittest.main()
