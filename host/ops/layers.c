/* SPDX-License-Identifier: MIT
 * layers.c -- elementwise losses, embeddings, pooling, dropout: check the operands once, then call
 * the device's kernel. */
#include "dlf/ops.h"
#include "ops/check.h"

/* ---- elementwise losses ---- */

const char *dlf_loss_name(dlf_loss_kind kind)
{
    static const char *const names[] = {
#define X(name, text) [DLF_##name] = text,
        DLF_LOSS_MAP(X)
#undef X
    };
    return (unsigned)kind < DLF_LOSS_COUNT ? names[kind] : "?";
}

static dlf_status check_loss(const dlf_call *call, const dlf_tensor *x, const dlf_tensor *t,
                             dlf_loss l)
{
    if ((unsigned)l.kind >= DLF_LOSS_COUNT)
        return dlf_fail(DLF_ERR_ARG, "%s: there is no loss number %d", call->op, (int)l.kind);
    if (l.kind == DLF_LOSS_HUBER && !(l.delta > 0.0))
        return dlf_fail(DLF_ERR_ARG, "%s: huber needs delta > 0, not %g", call->op, l.delta);
    DLF_TRY(dlf_call_axes(call, "x", x, 3));
    return dlf_call_shape_is(call, "t", t, t->shape[0] == 1 ? 1 : x->shape[0], x->shape[1],
                             x->shape[2]);
}

dlf_status dlf_loss_forward(dlf_tensor *loss, const dlf_tensor *x, const dlf_tensor *t, dlf_loss l)
{
    DLF_CALL("loss_forward", DLF_OUT(loss), DLF_IN(x), DLF_IN(t));
    DLF_TRY(check_loss(&call, x, t, l));
    DLF_TRY(dlf_call_shape(&call, "loss", loss, 2, x->shape));
    DLF_RUN(loss_forward, loss->device, loss, x, t, l);
}

dlf_status dlf_loss_backward(dlf_tensor *dx, const dlf_tensor *x, const dlf_tensor *t, dlf_loss l,
                             double scale)
{
    DLF_CALL("loss_backward", DLF_OUT_MAY_BE(dx, x), DLF_IN(x), DLF_IN(t));
    DLF_TRY(check_loss(&call, x, t, l));
    DLF_TRY(dlf_call_shape(&call, "dx", dx, 3, x->shape));
    DLF_RUN(loss_backward, dx->device, dx, x, t, l, scale);
}

/* ---- embeddings ---- */

/* rows (P,B,N), table (P,V,N), index (P,B) or (1,B). */
static dlf_status check_embedding(const dlf_call *call, const char *name, const dlf_tensor *rows,
                                  const char *table_name, const dlf_tensor *table,
                                  const dlf_tensor *index)
{
    DLF_TRY(dlf_call_axes(call, name, rows, 3));
    DLF_TRY(dlf_call_axes(call, table_name, table, 3));
    DLF_TRY(dlf_call_shape_is(call, table_name, table, rows->shape[0], table->shape[1],
                              rows->shape[2]));
    return dlf_call_shape_is(call, "index", index, index->shape[0] == 1 ? 1 : rows->shape[0],
                             rows->shape[1]);
}

dlf_status dlf_embedding_forward(dlf_tensor *y, const dlf_tensor *table, const dlf_tensor *index)
{
    DLF_CALL("embedding_forward", DLF_OUT(y), DLF_IN(table), DLF_IN_INT(index));
    DLF_TRY(check_embedding(&call, "y", y, "table", table, index));
    DLF_RUN(embedding_forward, y->device, y, table, index);
}

dlf_status dlf_embedding_backward(dlf_tensor *dtable, const dlf_tensor *dy, const dlf_tensor *index,
                                  double beta)
{
    DLF_CALL("embedding_backward", DLF_OUT(dtable), DLF_IN(dy), DLF_IN_INT(index));
    DLF_TRY(check_embedding(&call, "dy", dy, "dtable", dtable, index));
    DLF_RUN(embedding_backward, dtable->device, dtable, dy, index, beta);
}

/* ---- pooling ---- */

static dlf_status check_pool(const dlf_call *call, const char *y_name, const dlf_tensor *y,
                             const char *x_name, const dlf_tensor *x, dlf_pool pool)
{
    const int row = pool.layout == DLF_NCHW ? 3 : 2;
    if ((pool.kind != DLF_POOL_MAX && pool.kind != DLF_POOL_AVERAGE) ||
        (pool.layout != DLF_NCHW && pool.layout != DLF_NHWC))
        return dlf_fail(DLF_ERR_ARG, "%s: there is no kind %d or no layout %d", call->op,
                        (int)pool.kind, (int)pool.layout);
    DLF_TRY(dlf_call_axes(call, x_name, x, 5));
    int64_t shape[5];
    for (int i = 0; i < 5; i++) shape[i] = x->shape[i];
    for (int i = 0; i < 2; i++) {
        const int64_t kernel = pool.kernel[i], stride = pool.stride[i], pad = pool.pad[i];
        const int64_t room = x->shape[row + i] + 2 * pad - kernel;
        const int64_t most = (int64_t)1 << 30; /* kernels count positions of an axis in 32 bits */
        if (kernel < 1 || stride < 1 || pad < 0 || pad > kernel / 2 || room < 0 || kernel > most ||
            stride > most || x->shape[row + i] > most)
            return dlf_call_refuse(call,
                                   "kernel %lld, stride %lld, pad %lld do not fit %lld positions "
                                   "(0 <= pad <= kernel/2, kernel <= positions + 2 pad, all <= "
                                   "2^30)",
                                   (long long)kernel, (long long)stride, (long long)pad,
                                   (long long)x->shape[row + i]);
        shape[row + i] = room / stride + 1;
    }
    return dlf_call_shape(call, y_name, y, 5, shape);
}

dlf_status dlf_pool_forward(dlf_tensor *y, const dlf_tensor *x, dlf_pool pool)
{
    DLF_CALL("pool_forward", DLF_OUT(y), DLF_IN(x));
    DLF_TRY(check_pool(&call, "y", y, "x", x, pool));
    DLF_RUN(pool_forward, y->device, y, x, pool);
}

dlf_status dlf_pool_backward(dlf_tensor *dx, const dlf_tensor *dy, const dlf_tensor *x,
                             dlf_pool pool)
{
    DLF_CALL("pool_backward", DLF_OUT(dx), DLF_IN(dy), DLF_IN(x));
    DLF_TRY(check_pool(&call, "dy", dy, "dx", dx, pool));
    DLF_TRY(dlf_call_shape(&call, "x", x, 5, dx->shape));
    if (pool.kind == DLF_POOL_MAX && !x) return dlf_call_refuse(&call, "max pooling needs x");
    DLF_RUN(pool_backward, dx->device, dx, dy, x, pool);
}

/* ---- dropout ---- */

dlf_status dlf_dropout_apply(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *member,
                             const dlf_tensor *rate, const dlf_tensor *clock, dlf_dropout dropout)
{
    DLF_CALL("dropout_apply", DLF_OUT_MAY_BE(y, x), DLF_IN(x), DLF_IN_INT(member), DLF_IN(rate),
             DLF_IN_INT(clock));
    DLF_TRY(dlf_call_shape(&call, "x", x, y->ndim, y->shape));
    DLF_TRY(dlf_call_shape(&call, "member", member, 1, y->shape));
    DLF_TRY(dlf_call_shape(&call, "rate", rate, 1, y->shape));
    DLF_TRY(dlf_call_shape_is(&call, "clock", clock, 1));
    if (dropout.run < 1)
        return dlf_fail(DLF_ERR_ARG, "dropout_apply: run is %lld; the least is 1",
                        (long long)dropout.run);
    DLF_RUN(dropout_apply, y->device, y, x, member, rate, clock, dropout);
}
