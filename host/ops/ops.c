/* SPDX-License-Identifier: MIT
 * ops.c -- every public op: check the operands once, then call the device's kernel. */
#include "dlf/ops.h"

#include "ops/check.h"

dlf_status dlf_gemm(dlf_tensor *c, const dlf_tensor *a, const dlf_tensor *b, dlf_gemm_args args)
{
    DLF_CALL("gemm", DLF_OUT(c), DLF_IN(a), DLF_IN(b));
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
    DLF_RUN(gemm, c->device, c, a, b, args);
}

dlf_status dlf_bias_add(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *bias)
{
    DLF_CALL("bias_add", DLF_OUT_MAY_BE(y, x), DLF_IN(x), DLF_IN(bias));
    DLF_TRY(dlf_call_axes(&call, "y", y, 3));
    DLF_TRY(dlf_call_shape(&call, "x", x, 3, y->shape));
    DLF_TRY(dlf_call_shape_is(&call, "bias", bias, y->shape[0], y->shape[2]));
    DLF_RUN(bias_add, y->device, y, x, bias);
}

dlf_status dlf_bias_grad(dlf_tensor *dbias, const dlf_tensor *dy, double beta)
{
    DLF_CALL("bias_grad", DLF_OUT(dbias), DLF_IN(dy));
    DLF_TRY(dlf_call_axes(&call, "dy", dy, 3));
    DLF_TRY(dlf_call_shape_is(&call, "dbias", dbias, dy->shape[0], dy->shape[2]));
    DLF_RUN(bias_grad, dbias->device, dbias, dy, beta);
}

static dlf_status check_kind(const dlf_call *call, dlf_activation f)
{
    if ((unsigned)f.kind < DLF_ACTIVATION_COUNT) return DLF_OK;
    return dlf_fail(DLF_ERR_ARG, "%s: there is no activation number %d", call->op, (int)f.kind);
}

dlf_status dlf_activation_forward(dlf_tensor *y, const dlf_tensor *x, dlf_activation f)
{
    DLF_CALL("activation_forward", DLF_OUT_STORAGE_MAY_BE(y, x), DLF_IN_STORAGE(x));
    DLF_TRY(check_kind(&call, f));
    DLF_TRY(dlf_call_shape(&call, "x", x, y->ndim, y->shape));
    DLF_RUN(activation_forward, y->device, y, x, f);
}

dlf_status dlf_activation_backward(dlf_tensor *dx, const dlf_tensor *dy, const dlf_tensor *x,
                                   const dlf_tensor *y, dlf_activation f)
{
    DLF_CALL("activation_backward", DLF_OUT_STORAGE_MAY_BE(dx, dy), DLF_IN_STORAGE(dy),
             DLF_IN_STORAGE(x), DLF_IN_STORAGE(y));
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
    DLF_RUN(activation_backward, dx->device, dx, dy, x, y, f);
}

dlf_status dlf_moments(dlf_tensor *out, const dlf_tensor *x)
{
    DLF_CALL("moments", {"out", out, DLF_REAL64, true, NULL}, DLF_IN(x));
    DLF_TRY(dlf_call_shape_is(&call, "out", out, x->shape[0], DLF_MOMENTS));
    DLF_RUN(moments, out->device, out, x);
}

dlf_status dlf_moments_pieces(dlf_tensor *out, const dlf_tensor *x, const dlf_tensor *offsets)
{
    DLF_CALL("moments_pieces", {"out", out, DLF_REAL64, true, NULL}, DLF_IN(x),
             DLF_IN_INT(offsets));
    DLF_TRY(dlf_call_axes(&call, "x", x, 2));
    DLF_TRY(dlf_call_axes(&call, "offsets", offsets, 1));
    DLF_TRY(dlf_call_shape_is(&call, "out", out, x->shape[0], offsets->shape[0] - 1, DLF_MOMENTS));
    DLF_RUN(moments_pieces, out->device, out, x, offsets);
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
    DLF_CALL("softmax_xent_forward", DLF_OUT(loss), DLF_OUT(hit), DLF_IN(logits),
             DLF_IN_INT(labels));
    DLF_TRY(dlf_call_axes(&call, "logits", logits, 3));
    DLF_TRY(dlf_call_shape(&call, "loss", loss, 2, logits->shape));
    DLF_TRY(dlf_call_shape(&call, "hit", hit, 2, logits->shape));
    DLF_TRY(check_labels(&call, labels, logits));
    DLF_RUN(softmax_xent_forward, loss->device, loss, hit, logits, labels);
}

dlf_status dlf_softmax_xent_backward(dlf_tensor *dlogits, const dlf_tensor *logits,
                                     const dlf_tensor *labels, double scale)
{
    DLF_CALL("softmax_xent_backward", DLF_OUT_MAY_BE(dlogits, logits), DLF_IN(logits),
             DLF_IN_INT(labels));
    DLF_TRY(dlf_call_axes(&call, "logits", logits, 3));
    DLF_TRY(dlf_call_shape(&call, "dlogits", dlogits, 3, logits->shape));
    DLF_TRY(check_labels(&call, labels, logits));
    DLF_RUN(softmax_xent_backward, dlogits->device, dlogits, logits, labels, scale);
}

dlf_status dlf_sgd_step(dlf_tensor *w, dlf_tensor *v, const dlf_tensor *g, const dlf_tensor *lr,
                        const dlf_tensor *g_scale, dlf_sgd_args args)
{
    DLF_CALL("sgd_step", DLF_OUT(w), DLF_OUT(v), DLF_IN(g), DLF_IN(lr), DLF_IN(g_scale));
    DLF_TRY(dlf_call_axes(&call, "w", w, 2));
    DLF_TRY(dlf_call_shape(&call, "g", g, 2, w->shape));
    DLF_TRY(dlf_call_shape(&call, "v", v, 2, w->shape));
    DLF_TRY(dlf_call_shape(&call, "lr", lr, 1, w->shape));
    DLF_TRY(dlf_call_shape(&call, "g_scale", g_scale, 1, w->shape));
    if (!v && args.momentum != 0)
        return dlf_call_refuse(&call, "momentum %g needs the velocity v", args.momentum);
    DLF_RUN(sgd_step, w->device, w, v, g, lr, g_scale, args);
}

static bool in_unit_interval(double x)
{
    return x >= 0.0 && x < 1.0;
}

dlf_status dlf_adam_step(dlf_tensor *w, dlf_tensor *m, dlf_tensor *v, const dlf_tensor *g,
                         const dlf_tensor *lr, const dlf_tensor *g_scale, const dlf_tensor *clock,
                         dlf_adam_args args)
{
    DLF_CALL("adam_step", DLF_OUT(w), DLF_OUT(m), DLF_OUT(v), DLF_IN(g), DLF_IN(lr),
             DLF_IN(g_scale), DLF_IN_INT(clock));
    DLF_TRY(dlf_call_axes(&call, "w", w, 2));
    DLF_TRY(dlf_call_shape(&call, "m", m, 2, w->shape));
    DLF_TRY(dlf_call_shape(&call, "v", v, 2, w->shape));
    DLF_TRY(dlf_call_shape(&call, "g", g, 2, w->shape));
    DLF_TRY(dlf_call_shape(&call, "lr", lr, 1, w->shape));
    DLF_TRY(dlf_call_shape(&call, "g_scale", g_scale, 1, w->shape));
    DLF_TRY(dlf_call_shape_is(&call, "clock", clock, 1));
    if (!in_unit_interval(args.beta1) || !in_unit_interval(args.beta2) || !(args.eps >= 0.0) ||
        !(args.weight_decay >= 0.0) || (!clock && args.step < 1))
        return dlf_fail(DLF_ERR_ARG,
                        "adam_step: beta1 %g and beta2 %g must lie in [0,1), eps %g and "
                        "weight_decay %g must not be negative, step %lld must be 1 or more",
                        args.beta1, args.beta2, args.eps, args.weight_decay, (long long)args.step);
    DLF_RUN(adam_step, w->device, w, m, v, g, lr, g_scale, clock, args);
}

dlf_status dlf_clip_by_norm(dlf_tensor *g_scale, dlf_tensor *norm, const dlf_tensor *g,
                            const dlf_tensor *max_norm)
{
    DLF_CALL("clip_by_norm", DLF_OUT(g_scale), DLF_OUT(norm), DLF_IN(g), DLF_IN(max_norm));
    DLF_TRY(dlf_call_axes(&call, "g", g, 2));
    DLF_TRY(dlf_call_shape(&call, "g_scale", g_scale, 1, g->shape));
    DLF_TRY(dlf_call_shape(&call, "norm", norm, 1, g->shape));
    DLF_TRY(dlf_call_shape(&call, "max_norm", max_norm, 1, g->shape));
    DLF_RUN(clip_by_norm, g_scale->device, g_scale, norm, g, max_norm);
}

dlf_status dlf_step_guard(dlf_tensor *lr_out, dlf_tensor *first_bad, const dlf_tensor *lr,
                          const dlf_tensor *moments, const dlf_tensor *clock)
{
    DLF_CALL("step_guard", DLF_OUT_MAY_BE(lr_out, lr),
             {"first_bad", first_bad, DLF_INT, true, NULL}, DLF_IN(lr),
             {"moments", moments, DLF_REAL64, false, NULL}, DLF_IN_INT(clock));
    DLF_TRY(dlf_call_axes(&call, "lr_out", lr_out, 1));
    DLF_TRY(dlf_call_shape(&call, "first_bad", first_bad, 1, lr_out->shape));
    DLF_TRY(dlf_call_shape(&call, "lr", lr, 1, lr_out->shape));
    DLF_TRY(dlf_call_shape_is(&call, "moments", moments, lr_out->shape[0], DLF_MOMENTS));
    DLF_TRY(dlf_call_shape_is(&call, "clock", clock, 1));
    DLF_RUN(step_guard, lr_out->device, lr_out, first_bad, lr, moments, clock);
}

dlf_status dlf_gather_rows(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *index)
{
    DLF_CALL("gather_rows", {"y", y, DLF_REAL_OR_INT, true, NULL},
             {"x", x, DLF_REAL_OR_INT, false, NULL}, DLF_IN_INT(index));
    if (y->dtype != x->dtype) return dlf_call_refuse(&call, "y and x differ in type");
    const int64_t n = x->ndim == 1 ? 1 : x->shape[1];
    if (x->ndim != 1) DLF_TRY(dlf_call_axes(&call, "x", x, 2));
    if (y->ndim != 2 || n != 1) {
        DLF_TRY(dlf_call_axes(&call, "y", y, 3));
        DLF_TRY(dlf_call_shape_is(&call, "y", y, y->shape[0], y->shape[1], n));
    }
    DLF_TRY(dlf_call_shape_is(&call, "index", index, index->shape[0] == 1 ? 1 : y->shape[0],
                              y->shape[1]));
    DLF_RUN(gather_rows, y->device, y, x, index);
}

dlf_status dlf_random_normal(dlf_tensor *x, const dlf_tensor *member, const dlf_tensor *scale,
                             dlf_rng rng)
{
    DLF_CALL("random_normal", DLF_OUT(x), DLF_IN_INT(member), DLF_IN(scale));
    DLF_TRY(dlf_call_shape(&call, "member", member, 1, x->shape));
    DLF_TRY(dlf_call_shape(&call, "scale", scale, 1, x->shape));
    DLF_RUN(random_normal, x->device, x, member, scale, rng);
}

dlf_status dlf_random_uniform(dlf_tensor *x, const dlf_tensor *member, double lo, double hi,
                              dlf_rng rng)
{
    DLF_CALL("random_uniform", DLF_OUT(x), DLF_IN_INT(member));
    DLF_TRY(dlf_call_shape(&call, "member", member, 1, x->shape));
    DLF_RUN(random_uniform, x->device, x, member, lo, hi, rng);
}
