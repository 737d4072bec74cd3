#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make.py -- what PyTorch says: inputs and outputs of its functions, as JSON beside this file.

    python3 tests/golden/make.py        needs PyTorch; the files name the version that wrote them

The inputs are float32 numbers, so that every device starts from the same ones. The outputs are
PyTorch's in float64, written so that they read back to the bit: what tests/test_golden.c finds is
the error of our arithmetic, not of PyTorch's float32. Everything is seeded: a second run writes the
same files. A tensor is [[shape], [elements in row-major order]]; axis 0 is the population P, each
member computed by a call of its own."""

import json
import math
import pathlib
import struct

import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
torch.set_num_threads(1)


# ---- numbers ------------------------------------------------------------------------------------

def as_f32(values):
    """Rounded to float32, kept in float64."""
    return torch.as_tensor(values, dtype=torch.float64).float().double()


def normal(generator, *shape, scale=1.0, shift=0.0):
    return as_f32(torch.randn(*shape, generator=generator, dtype=torch.float64) * scale + shift)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def shortest(value):
    """The shortest text that rounds to this float32."""
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if struct.unpack("f", struct.pack("f", float(text)))[0] == value:
            return float(text)
    raise ValueError(f"{value!r} is no float32")


def packed(tensor, exact):
    flat = tensor.detach().reshape(-1).tolist()
    if not all(math.isfinite(v) for v in flat):
        raise ValueError("JSON has no NaN and no Inf")
    return [list(tensor.shape), flat if exact else [shortest(v) for v in flat]]


class Case(dict):
    """One call: parameters, then tensors. Inputs must be float32 numbers, outputs are float64."""

    def inputs(self, **tensors):
        for name, tensor in tensors.items():
            if tensor.dtype == torch.int64:
                self[name] = [list(tensor.shape), tensor.reshape(-1).tolist()]
            else:
                self[name] = packed(tensor, exact=False)
        return self

    def outputs(self, **tensors):
        for name, tensor in tensors.items():
            self[name] = packed(tensor, exact=True)
        return self


def write(name, cases):
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    head = json.dumps({"torch": torch.__version__, "made by": "tests/golden/make.py"})
    path = HERE / f"{name}.json"
    path.write_text(f'{head[:-1]}, "cases": [\n{lines}\n]}}\n')
    print(f"{path.name}: {len(cases)} cases, {path.stat().st_size} bytes")


def stacked(members):
    """A list of {name: tensor}, one for each member, as {name: tensor with axis P in front}."""
    return {name: torch.stack([m[name] for m in members]) for name in members[0]}


# ---- normalizations -----------------------------------------------------------------------------

EPS = 1e-5


def normalized(kind, x, gamma, beta, groups, running):
    """PyTorch's own function for `kind`; x is (N,C,...)."""
    if kind == "batch_norm":
        return F.batch_norm(x, *running, gamma, beta, training=True, momentum=0.1, eps=EPS)
    if kind == "instance_norm":
        return F.instance_norm(x, weight=gamma, bias=beta, eps=EPS)
    if kind == "group_norm":
        return F.group_norm(x, groups, gamma, beta, eps=EPS)
    if kind == "layer_norm":
        if x.dim() == 2:
            return F.layer_norm(x, x.shape[1:], gamma, beta, eps=EPS)
        return F.group_norm(x, 1, gamma, beta, eps=EPS)  # weights per channel
    per_channel = (-1,) + (1,) * (x.dim() - 2)
    weight = gamma.view(per_channel).expand(x.shape[1:])
    return F.rms_norm(x, x.shape[1:], weight, eps=EPS) + beta.view(per_channel)


def norm_member(kind, data, p, groups, relu, residual):
    leaf = {k: data[k][p].clone().requires_grad_() for k in ("x", "gamma", "beta", "residual")}
    running = [data["running_mean"][p].clone(), data["running_var"][p].clone()]
    z = normalized(kind, leaf["x"], leaf["gamma"], leaf["beta"], groups, running)
    if residual:
        z = z + leaf["residual"]
    y = F.relu(z) if relu else z
    y.backward(data["dy"][p])
    out = {"y": y, "dx": leaf["x"].grad, "dgamma": leaf["gamma"].grad, "dbeta": leaf["beta"].grad}
    if residual:
        out["dresidual"] = leaf["residual"].grad
    if kind == "batch_norm":
        out["running_mean_after"], out["running_var_after"] = running
        infer = F.batch_norm(leaf["x"], data["running_mean"][p], data["running_var"][p],
                             leaf["gamma"], leaf["beta"], training=False, eps=EPS)
        if residual:
            infer = infer + leaf["residual"]
        out["y_infer"] = F.relu(infer) if relu else infer
        out["z_infer"] = infer
    out["z"] = z
    return {k: v.detach() for k, v in out.items()}


def norm_data(seed, shape, scale, shift):
    g, channels = seeded(seed), (shape[0], shape[2])
    return {"x": normal(g, *shape, scale=scale, shift=shift), "residual": normal(g, *shape),
            "dy": normal(g, *shape, shift=0.1), "gamma": normal(g, *channels, scale=0.5, shift=1.0),
            "beta": normal(g, *channels, scale=0.5), "running_mean": normal(g, *channels),
            "running_var": normal(g, *channels, scale=0.1, shift=2.0)}


def norm_case(kind, shape, *, groups=1, relu=False, residual=False, scale=1.0, shift=0.0):
    for seed in range(1000):
        data = norm_data(seed, shape, scale, shift)
        out = stacked([norm_member(kind, data, p, groups, relu, residual)
                       for p in range(shape[0])])
        # At relu's kink rounding would decide on which side a device is.
        z = [out.pop(name).abs().min() for name in ("z", "z_infer") if name in out]
        if not relu or min(z) > 1e-3:
            break
    else:
        raise ValueError("no seed keeps away from relu's kink")
    case = Case(op="norm", kind=kind, groups=groups, relu=relu, eps=EPS, momentum=0.1, scale=scale,
                shift=shift)
    names = ["x", "dy", "gamma", "beta"] + ["residual"] * residual
    names += ["running_mean", "running_var"] * (kind == "batch_norm")
    return case.inputs(**{k: data[k] for k in names}).outputs(**out)


def norms():
    image, matrix, pixels = (2, 3, 4, 2, 3), (2, 5, 7), (1, 3, 6, 3, 2)
    cases = []
    for kind in ("batch_norm", "layer_norm", "instance_norm", "group_norm", "rms_norm"):
        shape, groups = (pixels, 3) if kind == "group_norm" else (image, 1)
        cases.append(norm_case(kind, shape, groups=groups))
        cases.append(norm_case(kind, pixels, groups=groups, relu=True, residual=kind == "group_norm"))
    for kind in ("batch_norm", "layer_norm", "rms_norm"):
        cases.append(norm_case(kind, matrix, relu=True, residual=True))
    for kind in ("batch_norm", "layer_norm"):  # a mean that E[x^2] - E[x]^2 would not survive
        cases.append(norm_case(kind, (1, 6, 5), scale=0.5, shift=3000.0))
    return cases


# ---- activations --------------------------------------------------------------------------------

GRID = ([0.0] + [s * v for v in (1e-40, 1e-30, 1e-10, 1e-5, 1e-3, 0.01, 0.1, 0.25, 0.5, 0.7517916,
                                 1.0, 1.2784645, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.5, 8.0, 10.0, 13.0,
                                 17.0, 25.0, 50.0, 88.0, 200.0, 1e4, 1e12) for s in (1.0, -1.0)])

ACTIVATIONS = {
    "linear": lambda x: x * 1.0,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.01),
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    # Its threshold, where it switches to x, out of the way: the default's error is 2e-9.
    "softplus": lambda x: F.softplus(x, threshold=700.0),
}


def activations():
    cases = []
    x0 = as_f32(GRID)[None]
    dy = as_f32([(0.75, -1.5, 1.0, -0.3)[i % 4] for i in range(len(GRID))])[None]
    for name, function in ACTIVATIONS.items():
        x = x0.clone().requires_grad_()
        y = function(x)
        y.backward(dy)
        cases.append(Case(op="activation", kind=name).inputs(x=x0, dy=dy).outputs(y=y, dx=x.grad))
    return cases


# ---- optimisers ---------------------------------------------------------------------------------

def optimizer_case(op, make, parameters, lr, state_names):
    steps, n, generator = 5, 9, seeded(7)
    w0 = normal(generator, len(lr), n)
    gradient = normal(generator, steps, len(lr), n)
    gradient[:, :, 0] = 0.0    # nothing but decay
    gradient[:, :, 1] *= 1e-6  # as small as eps
    gradient[:, :, 2] *= 1e6
    gradient = as_f32(gradient)
    lr, members = as_f32(lr), []
    for p in range(len(lr)):
        w = w0[p].clone().requires_grad_()
        optimizer, path = make([w], float(lr[p])), []
        for t in range(steps):
            w.grad = gradient[t, p].clone()
            optimizer.step()
            path.append(w.detach().clone())
        member = {"path": torch.stack(path)}
        member |= {ours: optimizer.state[w][theirs] for theirs, ours in state_names.items()}
        members.append(member)
    out = stacked(members)
    out["path"] = out["path"].transpose(0, 1)  # (steps,P,n)
    return Case(op=op, **parameters).inputs(w=w0, g=gradient, lr=lr).outputs(**out)


def adam_case(decoupled, weight_decay, betas=(0.9, 0.999), eps=1e-8):
    algorithm = torch.optim.AdamW if decoupled else torch.optim.Adam
    return optimizer_case(
        "adam", lambda w, lr: algorithm(w, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay,
                                        foreach=False),
        {"decoupled": decoupled, "weight_decay": weight_decay, "beta1": betas[0],
         "beta2": betas[1], "eps": eps}, [0.01, 0.3], {"exp_avg": "m", "exp_avg_sq": "v"})


def sgd_case(momentum, weight_decay):
    return optimizer_case(
        "sgd", lambda w, lr: torch.optim.SGD(w, lr=lr, momentum=momentum,
                                             weight_decay=weight_decay, foreach=False),
        {"momentum": momentum, "weight_decay": weight_decay}, [0.01, 0.3],
        {"momentum_buffer": "v"} if momentum else {})


def optimizers():
    return [adam_case(False, 0.0), adam_case(False, 0.1), adam_case(True, 0.1),
            adam_case(True, 0.01, betas=(0.5, 0.9), eps=1e-3),
            sgd_case(0.9, 0.0), sgd_case(0.9, 0.1), sgd_case(0.0, 0.1)]


# ---- pooling ------------------------------------------------------------------------------------

def pool_case(kind, shape, kernel, stride, pad, count_pad=False):
    generator = seeded(11)
    x0 = normal(generator, *shape)
    if kind == "max":
        x0 = torch.round(2 * x0) / 2  # with ties: the first maximum gets the gradient
    members = []
    for p in range(shape[0]):
        x = x0[p].clone().requires_grad_()
        y = (F.max_pool2d(x, kernel, stride, pad) if kind == "max" else
             F.avg_pool2d(x, kernel, stride, pad, count_include_pad=count_pad))
        dy = normal(seeded(13 + p), *y.shape)
        y.backward(dy)
        members.append({"y": y.detach(), "dx": x.grad, "dy": dy})
    out = stacked(members)
    case = Case(op="pool", kind=kind, kernel=kernel, stride=stride, pad=pad, count_pad=count_pad)
    return case.inputs(x=x0, dy=out.pop("dy")).outputs(**out)


def pools():
    cases = []
    for kind, count_pad in (("max", False), ("average", False), ("average", True)):
        cases.append(pool_case(kind, (2, 1, 2, 7, 6), (3, 3), (2, 2), (1, 1), count_pad))
        cases.append(pool_case(kind, (1, 2, 3, 5, 7), (4, 3), (3, 1), (2, 0), count_pad))
    for kind in ("max", "average"):
        cases.append(pool_case(kind, (1, 2, 2, 6, 5), (2, 2), (2, 2), (0, 0)))
    return cases


# ---- convolution --------------------------------------------------------------------------------

def conv_case(shape, outputs, kernel, stride, pad, dilation, groups):
    P, N, C, H, W = shape
    generator = seeded(23)
    x0 = normal(generator, *shape)
    w0 = normal(generator, P, outputs, C // groups, *kernel)
    b0 = normal(generator, P, outputs)
    members = []
    for p in range(P):
        x, w, b = (t[p].clone().requires_grad_() for t in (x0, w0, b0))
        y = F.conv2d(x, w, b, stride, pad, dilation, groups)
        dy = normal(seeded(29 + p), *y.shape)
        y.backward(dy)
        members.append({"y": y.detach(), "dx": x.grad, "dw": w.grad, "dbias": b.grad, "dy": dy,
                        "dw_added": w.grad - 0.5 * w0[p]})
    out = stacked(members)
    case = Case(op="conv", kernel=kernel, stride=stride, pad=pad, dilation=dilation, groups=groups,
                beta=-0.5)
    return case.inputs(x=x0, w=w0, bias=b0, dy=out.pop("dy")).outputs(**out)


def convs():
    return [conv_case((2, 2, 3, 6, 5), 4, (3, 3), (1, 1), (1, 1), (1, 1), 1),
            conv_case((1, 2, 4, 7, 8), 6, (3, 2), (2, 3), (1, 0), (1, 1), 2),
            conv_case((1, 1, 2, 9, 8), 3, (3, 3), (2, 1), (2, 3), (2, 3), 1),
            conv_case((2, 1, 4, 5, 5), 4, (3, 3), (1, 1), (1, 1), (1, 1), 4),
            conv_case((1, 3, 5, 4, 3), 7, (1, 1), (1, 1), (0, 0), (1, 1), 1)]


def conv1x1_case(shape, outputs, stride, before, after):
    """Folded batch norm and `before` on the input; bias, residual, `after` and statistics on the output."""
    P, N, C, H, W = shape
    generator = seeded(31)
    x0, w0 = normal(generator, *shape), normal(generator, P, outputs, C)
    b0 = normal(generator, P, outputs)
    scale, shift = normal(generator, P, C, shift=1.0), normal(generator, P, C)
    first = F.conv2d(x0[0], w0[0, :, :, None, None], None, stride)
    residual, dz = normal(generator, P, *first.shape), normal(generator, P, *first.shape)
    members = []
    for p in range(P):
        u = ACTIVATIONS[before](x0[p] * scale[p][:, None, None] + shift[p][:, None, None])
        u.requires_grad_()
        w, b = (t[p].clone().requires_grad_() for t in (w0, b0))
        z = F.conv2d(u, w[:, :, None, None], b, stride) + residual[p]
        y = ACTIVATIONS[after](z)
        z.backward(dz[p])
        members.append({"y": y.detach(), "mean": y.detach().mean((0, 2, 3)),
                        "var": y.detach().var((0, 2, 3), unbiased=False),
                        "dx": u.grad, "dw": w.grad, "dbias": b.grad})
    case = Case(op="conv1x1", stride=stride, before=before, after=after)
    return case.inputs(x=x0, w=w0, bias=b0, scale=scale, shift=shift, residual=residual,
                       dz=dz).outputs(**stacked(members))


def conv1x1s():
    return [conv1x1_case((2, 2, 5, 4, 3), 7, (1, 1), "relu", "silu"),
            conv1x1_case((1, 3, 6, 5, 4), 3, (2, 1), "linear", "relu"),
            conv1x1_case((1, 1, 9, 3, 7), 4, (2, 2), "tanh", "linear")]


# ---- embedding ----------------------------------------------------------------------------------

def embeddings():
    P, B, V, N, generator = 2, 11, 6, 5, seeded(17)
    table, dy = normal(generator, P, V, N), normal(generator, P, B, N)
    before = normal(generator, P, V, N)
    index = torch.randint(0, V - 1, (P, B), generator=generator)  # the last row: never
    members = []
    for p in range(P):
        w = table[p].clone().requires_grad_()
        y = F.embedding(index[p], w)
        y.backward(dy[p])
        members.append({"y": y.detach(), "dtable": w.grad, "dtable_added": w.grad - 0.5 * before[p]})
    return [Case(op="embedding", beta=-0.5).inputs(table=table, index=index, dy=dy, before=before)
            .outputs(**stacked(members))]


# ---- losses -------------------------------------------------------------------------------------

def elementwise(kind, delta):
    return {
        "mse": lambda x, t: F.mse_loss(x, t, reduction="none"),
        "mae": lambda x, t: F.l1_loss(x, t, reduction="none"),
        "huber": lambda x, t: F.huber_loss(x, t, reduction="none", delta=delta),
        "bce": lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="none"),
        "hinge": lambda x, t: F.margin_ranking_loss(x, torch.zeros_like(x), t, margin=1.0,
                                                    reduction="none"),
    }[kind]


def loss_case(kind, delta=1.0):
    P, B, N, generator = 2, 3, 7, seeded(19)
    x0, t = normal(generator, P, B, N, scale=2.0), normal(generator, P, B, N)
    if kind == "bce":
        t = as_f32(torch.sigmoid(3 * t))
        t[0, 0, :2] = torch.tensor([0.0, 1.0])
        x0[0, 0, :5] = torch.tensor([60.0, -60.0, 1e-8, 20.0, -20.0])
    elif kind == "hinge":
        t = torch.sign(t)
    else:
        x0[0, 0, 0] = t[0, 0, 0]
        x0[0, 0, 1] = t[0, 0, 1] + 40
        x0 = as_f32(x0)
    x = x0.clone().requires_grad_()
    scale = 1 / (B * N)
    each = elementwise(kind, delta)(x, t)
    (each.sum() * scale).backward()
    return (Case(op="loss", kind=kind, delta=delta, scale=scale).inputs(x=x0, t=t)
            .outputs(loss=each.sum(-1), dx=x.grad))


def softmax_xent_case(C, scale, shift):
    P, B, generator = 2, 4, seeded(23)
    z0 = normal(generator, P, B, C, scale=scale, shift=shift)
    labels = torch.randint(0, C, (P, B), generator=generator)
    members = []
    for p in range(P):
        z = z0[p].clone().requires_grad_()
        loss = F.cross_entropy(z, labels[p], reduction="none")
        loss.mean().backward()
        members.append({"loss": loss.detach(), "dlogits": z.grad})
    return (Case(op="softmax_xent", scale=1 / B).inputs(logits=z0, labels=labels)
            .outputs(**stacked(members)))


def losses():
    return ([loss_case("mse"), loss_case("mae"), loss_case("huber"), loss_case("huber", 2.5),
             loss_case("bce"), loss_case("hinge")]
            + [softmax_xent_case(*a) for a in ((2, 1.0, 0.0), (10, 3.0, 0.0), (37, 30.0, 500.0))])


if __name__ == "__main__":
    write("norms", norms())
    write("activations", activations())
    write("optimizers", optimizers())
    write("pools", pools())
    write("convs", convs())
    write("conv1x1s", conv1x1s())
    write("embeddings", embeddings())
    write("losses", losses())
