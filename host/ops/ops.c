/* SPDX-License-Identifier: MIT
 * ops.c -- every public op: check the operands once, then call the device's kernel. */
#include "dlf/ops.h"

#include "ops/check.h"

/* The call as data, so that a refusal can print all of it. */
#define CALL(name, ...)                                                                            \
    const dlf_operand operands_[] = {__VA_ARGS__};                                                 \
    const dlf_call call = {name, operands_, sizeof operands_ / sizeof operands_[0]};               \
    DLF_TRY(dlf_call_check(&call))

#define IN(t)                                                                                      \
    {                                                                                              \
#t, t, DLF_REAL, false, NULL                                                               \
    }
#define IN_INT(t)                                                                                  \
    {                                                                                              \
#t, t, DLF_INT, false, NULL                                                                \
    }
#define OUT(t)                                                                                     \
    {                                                                                              \
#t, t, DLF_REAL, true, NULL                                                                \
    }
#define OUT_MAY_BE(t, src)                                                                         \
    {                                                                                              \
#t, t, DLF_REAL, true, #src                                                                \
    }

#define RUN(op, first, ...)                                                                        \
    do {                                                                                           \
        const dlf_device *dev_ = (first)->device;                                                  \
        if (dev_->ops->op) return dev_->ops->op(first, __VA_ARGS__);                               \
        return dlf_fail(DLF_ERR_NO_KERNEL, "%s has no kernel on %s", #op, dev_->info.backend);     \
    } while (0)

dlf_status dlf_gemm(dlf_tensor *c, const dlf_tensor *a, const dlf_tensor *b, dlf_gemm_args args)
{
    CALL("gemm", OUT(c), IN(a), IN(b));
    DLF_TRY(dlf_call_axes(&call, "c", c, 3));
    DLF_TRY(dlf_call_axes(&call, "a", a, 3));
    DLF_TRY(dlf_call_axes(&call, "b", b, 3));
    const int64_t p = c->shape[0], m = c->shape[1], n = c->shape[2];
    const int64_t k = a->shape[args.trans_a ? 1 : 2];
    const char *ta = args.trans_a ? "transposed a" : "a";
    const char *tb = args.trans_b ? "transposed b" : "b";
    if (b->shape[args.trans_b ? 2 : 1] != k)
        return dlf_call_refuse(&call, "%s has %lld columns but %s has %lld rows", ta, (long long)k,
                               tb, (long long)b->shape[args.trans_b ? 2 : 1]);
    if (a->shape[args.trans_a ? 2 : 1] != m)
        return dlf_call_refuse(&call, "c has %lld rows but %s has %lld", (long long)m, ta,
                               (long long)a->shape[args.trans_a ? 2 : 1]);
    if (b->shape[args.trans_b ? 1 : 2] != n)
        return dlf_call_refuse(&call, "c has %lld columns but %s has %lld", (long long)n, tb,
                               (long long)b->shape[args.trans_b ? 1 : 2]);
    if ((a->shape[0] != p && a->shape[0] != 1) || (b->shape[0] != p && b->shape[0] != 1))
        return dlf_call_refuse(&call, "axis 0 of a and b must be %lld or 1", (long long)p);
    RUN(gemm, c, a, b, args);
}

dlf_status dlf_bias_add(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *bias)
{
    CALL("bias_add", OUT_MAY_BE(y, x), IN(x), IN(bias));
    DLF_TRY(dlf_call_axes(&call, "y", y, 3));
    DLF_TRY(dlf_call_shape(&call, "x", x, 3, y->shape));
    DLF_TRY(dlf_call_shape_is(&call, "bias", bias, y->shape[0], y->shape[2]));
    RUN(bias_add, y, x, bias);
}

dlf_status dlf_bias_grad(dlf_tensor *dbias, const dlf_tensor *dy, double beta)
{
    CALL("bias_grad", OUT(dbias), IN(dy));
    DLF_TRY(dlf_call_axes(&call, "dy", dy, 3));
    DLF_TRY(dlf_call_shape_is(&call, "dbias", dbias, dy->shape[0], dy->shape[2]));
    RUN(bias_grad, dbias, dy, beta);
}

static dlf_status check_kind(const dlf_call *call, dlf_activation f)
{
    if ((unsigned)f.kind < DLF_ACTIVATION_COUNT) return DLF_OK;
    return dlf_fail(DLF_ERR_ARG, "%s: there is no activation number %d", call->op, (int)f.kind);
}

dlf_status dlf_activation_forward(dlf_tensor *y, const dlf_tensor *x, dlf_activation f)
{
    CALL("activation_forward", OUT_MAY_BE(y, x), IN(x));
    DLF_TRY(check_kind(&call, f));
    DLF_TRY(dlf_call_shape(&call, "x", x, y->ndim, y->shape));
    RUN(activation_forward, y, x, f);
}

dlf_status dlf_activation_backward(dlf_tensor *dx, const dlf_tensor *dy, const dlf_tensor *x,
                                   const dlf_tensor *y, dlf_activation f)
{
    CALL("activation_backward", OUT_MAY_BE(dx, dy), IN(dy), IN(x), IN(y));
    DLF_TRY(check_kind(&call, f));
    DLF_TRY(dlf_call_shape(&call, "dy", dy, dx->ndim, dx->shape));
    DLF_TRY(dlf_call_shape(&call, "x", x, dx->ndim, dx->shape));
    DLF_TRY(dlf_call_shape(&call, "y", y, dx->ndim, dx->shape));
    const bool needs_x = dlf_activation_needs_x(f.kind);
    if (needs_x ? !x : !y)
        return dlf_call_refuse(&call, "%s needs %s", dlf_activation_name(f.kind),
                               needs_x ? "x" : "y");
    if ((f.kind == DLF_LEAKY_RELU || f.kind == DLF_ELU) && f.alpha < 0)
        return dlf_fail(DLF_ERR_ARG,
                        "activation_backward: with alpha = %g the sign of x cannot be "
                        "read from y of %s; alpha must not be negative",
                        f.alpha, dlf_activation_name(f.kind));
    RUN(activation_backward, dx, dy, x, y, f);
}

dlf_status dlf_moments(dlf_tensor *out, const dlf_tensor *x)
{
    CALL("moments", {"out", out, DLF_REAL64, true, NULL}, IN(x));
    DLF_TRY(dlf_call_shape_is(&call, "out", out, x->shape[0], DLF_MOMENTS));
    RUN(moments, out, x);
}

static dlf_status check_labels(const dlf_call *call, const dlf_tensor *labels,
                               const dlf_tensor *logits)
{
    const int64_t p = labels->shape[0] == 1 ? 1 : logits->shape[0];
    return dlf_call_shape_is(call, "labels", labels, p, logits->shape[1]);
}

dlf_status dlf_softmax_xent_forward(dlf_tensor *loss, dlf_tensor *hit, const dlf_tensor *logits,
                                    const dlf_tensor *labels)
{
    CALL("softmax_xent_forward", OUT(loss), OUT(hit), IN(logits), IN_INT(labels));
    DLF_TRY(dlf_call_axes(&call, "logits", logits, 3));
    DLF_TRY(dlf_call_shape(&call, "loss", loss, 2, logits->shape));
    DLF_TRY(dlf_call_shape(&call, "hit", hit, 2, logits->shape));
    DLF_TRY(check_labels(&call, labels, logits));
    RUN(softmax_xent_forward, loss, hit, logits, labels);
}

dlf_status dlf_softmax_xent_backward(dlf_tensor *dlogits, const dlf_tensor *logits,
                                     const dlf_tensor *labels, double scale)
{
    CALL("softmax_xent_backward", OUT_MAY_BE(dlogits, logits), IN(logits), IN_INT(labels));
    DLF_TRY(dlf_call_axes(&call, "logits", logits, 3));
    DLF_TRY(dlf_call_shape(&call, "dlogits", dlogits, 3, logits->shape));
    DLF_TRY(check_labels(&call, labels, logits));
    RUN(softmax_xent_backward, dlogits, logits, labels, scale);
}

dlf_status dlf_sgd_step(dlf_tensor *w, dlf_tensor *v, const dlf_tensor *g, const dlf_tensor *lr,
                        const dlf_tensor *g_scale, dlf_sgd_args args)
{
    CALL("sgd_step", OUT(w), OUT(v), IN(g), IN(lr), IN(g_scale));
    DLF_TRY(dlf_call_axes(&call, "w", w, 2));
    DLF_TRY(dlf_call_shape(&call, "g", g, 2, w->shape));
    DLF_TRY(dlf_call_shape(&call, "v", v, 2, w->shape));
    DLF_TRY(dlf_call_shape(&call, "lr", lr, 1, w->shape));
    DLF_TRY(dlf_call_shape(&call, "g_scale", g_scale, 1, w->shape));
    if (!v && args.momentum != 0)
        return dlf_call_refuse(&call, "momentum %g needs the velocity v", args.momentum);
    RUN(sgd_step, w, v, g, lr, g_scale, args);
}

dlf_status dlf_clip_by_norm(dlf_tensor *g_scale, dlf_tensor *norm, const dlf_tensor *g,
                            const dlf_tensor *max_norm)
{
    CALL("clip_by_norm", OUT(g_scale), OUT(norm), IN(g), IN(max_norm));
    DLF_TRY(dlf_call_axes(&call, "g", g, 2));
    DLF_TRY(dlf_call_shape(&call, "g_scale", g_scale, 1, g->shape));
    DLF_TRY(dlf_call_shape(&call, "norm", norm, 1, g->shape));
    DLF_TRY(dlf_call_shape(&call, "max_norm", max_norm, 1, g->shape));
    RUN(clip_by_norm, g_scale, norm, g, max_norm);
}

dlf_status dlf_gather_rows(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *index)
{
    CALL("gather_rows", {"y", y, DLF_REAL_OR_INT, true, NULL},
         {"x", x, DLF_REAL_OR_INT, false, NULL}, IN_INT(index));
    if (y->dtype != x->dtype) return dlf_call_refuse(&call, "y and x differ in type");
    const int64_t n = x->ndim == 1 ? 1 : x->shape[1];
    if (x->ndim != 1) DLF_TRY(dlf_call_axes(&call, "x", x, 2));
    if (y->ndim != 2 || n != 1) {
        DLF_TRY(dlf_call_axes(&call, "y", y, 3));
        DLF_TRY(dlf_call_shape_is(&call, "y", y, y->shape[0], y->shape[1], n));
    }
    DLF_TRY(dlf_call_shape_is(&call, "index", index, index->shape[0] == 1 ? 1 : y->shape[0],
                              y->shape[1]));
    RUN(gather_rows, y, x, index);
}

dlf_status dlf_random_normal(dlf_tensor *x, const dlf_tensor *member, const dlf_tensor *scale,
                             dlf_rng rng)
{
    CALL("random_normal", OUT(x), IN_INT(member), IN(scale));
    DLF_TRY(dlf_call_shape(&call, "member", member, 1, x->shape));
    DLF_TRY(dlf_call_shape(&call, "scale", scale, 1, x->shape));
    RUN(random_normal, x, member, scale, rng);
}

dlf_status dlf_random_uniform(dlf_tensor *x, const dlf_tensor *member, double lo, double hi,
                              dlf_rng rng)
{
    CALL("random_uniform", OUT(x), IN_INT(member));
    DLF_TRY(dlf_call_shape(&call, "member", member, 1, x->shape));
    RUN(random_uniform, x, member, lo, hi, rng);
}
