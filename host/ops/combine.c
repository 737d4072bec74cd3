/* SPDX-License-Identifier: MIT
 * combine.c -- sums, products and columns: check the operands once, then call the device's kernel.
 */
#include "dlf/ops.h"
#include "ops/check.h"

dlf_status dlf_axpby(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *scale, double alpha,
                     double beta)
{
    DLF_CALL("axpby", DLF_OUT_MAY_BE(y, x), DLF_IN(x), DLF_IN(scale));
    int64_t shape[DLF_MAX_DIMS];
    for (int i = 0; i < y->ndim; i++) shape[i] = y->shape[i];
    if (x->shape[0] == 1) shape[0] = 1;
    DLF_TRY(dlf_call_shape(&call, "x", x, y->ndim, shape));
    DLF_TRY(dlf_call_shape(&call, "scale", scale, 1, y->shape));
    if (x->shape[0] != y->shape[0] && x->data == y->data)
        return dlf_call_refuse(&call, "y and x overlap in memory");
    DLF_RUN(axpby, y->device, y, x, scale, alpha, beta);
}

dlf_status dlf_multiply(dlf_tensor *y, const dlf_tensor *a, const dlf_tensor *b, double beta)
{
    DLF_CALL("multiply", DLF_OUT_MAY_BE(y, a, b), DLF_IN(a), DLF_IN(b));
    DLF_TRY(dlf_call_shape(&call, "a", a, y->ndim, y->shape));
    DLF_TRY(dlf_call_shape(&call, "b", b, y->ndim, y->shape));
    DLF_RUN(multiply, y->device, y, a, b, beta);
}

dlf_status dlf_copy_columns(dlf_tensor *y, int64_t to, const dlf_tensor *x, int64_t from,
                            int64_t count, double beta)
{
    DLF_CALL("copy_columns", DLF_OUT(y), DLF_IN(x));
    DLF_TRY(dlf_call_axes(&call, "y", y, 3));
    DLF_TRY(dlf_call_axes(&call, "x", x, 3));
    DLF_TRY(dlf_call_shape_is(&call, "x", x, y->shape[0], y->shape[1], x->shape[2]));
    const int64_t N = y->shape[2], K = x->shape[2];
    if (count < 1 || to < 0 || from < 0 || to > N - count || from > K - count)
        return dlf_call_refuse(&call, "%lld columns do not fit at %lld of y and %lld of x",
                               (long long)count, (long long)to, (long long)from);
    DLF_RUN(copy_columns, y->device, y, to, x, from, count, beta);
}
