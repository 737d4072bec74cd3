/* SPDX-License-Identifier: MIT
 * conv.c -- convolutions: check the operands once, then call the device's kernel. */
#include "dlf/conv.h"

#include "ops/check.h"

static const int64_t most = (int64_t)1 << 30; /* kernels count positions of an axis in 32 bits */

dlf_conv dlf_conv_of(dlf_layout layout, int64_t kernel, int64_t stride, int64_t pad)
{
    return (dlf_conv){layout, {kernel, kernel}, {stride, stride}, {pad, pad}, {1, 1}, 1};
}

int64_t dlf_conv_positions(const dlf_conv *conv, int axis, int64_t positions)
{
    const int64_t kernel = conv->kernel[axis], stride = conv->stride[axis], pad = conv->pad[axis];
    const int64_t dilation = conv->dilation[axis];
    if (kernel < 1 || stride < 1 || pad < 0 || dilation < 1 || kernel > most || stride > most ||
        pad > most || dilation > most || positions > most)
        return 0;
    const int64_t room = positions + 2 * pad - dilation * (kernel - 1) - 1;
    if (room < 0 || dilation * (kernel - 1) >= most) return 0;
    const int64_t out = room / stride + 1;
    return out > most ? 0 : out;
}

/* x and w fit, and y is what comes out; each may be shared by all members where it is read. */
static dlf_status check_conv(const dlf_call *call, const char *y_name, const dlf_tensor *y,
                             const char *x_name, const dlf_tensor *x, const char *w_name,
                             const dlf_tensor *w, const dlf_tensor *out, const dlf_conv *conv)
{
    if (conv->layout != DLF_NCHW && conv->layout != DLF_NHWC)
        return dlf_fail(DLF_ERR_ARG, "%s: there is no layout %d", call->op, (int)conv->layout);
    const bool nchw = conv->layout == DLF_NCHW;
    const int channel = nchw ? 2 : 4, row = nchw ? 3 : 2;
    DLF_TRY(dlf_call_axes(call, x_name, x, 5));
    DLF_TRY(dlf_call_axes(call, y_name, y, 5));
    DLF_TRY(dlf_call_axes(call, w_name, w, 5));
    const int64_t C = x->shape[channel], K = y->shape[channel], G = conv->groups;
    if (G < 1 || C % G || K % G || C > most || K > most || x->shape[1] > most)
        return dlf_call_refuse(call,
                               "%lld groups do not divide %lld and %lld channels (at most 2^30)",
                               (long long)G, (long long)C, (long long)K);
    const int64_t P = out->shape[0];
    int64_t shape[5] = {y == out || y->shape[0] != 1 ? P : 1, x->shape[1]};
    shape[channel] = K;
    for (int i = 0; i < 2; i++) {
        shape[row + i] = dlf_conv_positions(conv, i, x->shape[row + i]);
        if (shape[row + i] == 0)
            return dlf_call_refuse(
                call,
                "kernel %lld, stride %lld, pad %lld, dilation %lld do not fit %lld positions "
                "(dilation (kernel - 1) + 1 <= positions + 2 pad, all <= 2^30)",
                (long long)conv->kernel[i], (long long)conv->stride[i], (long long)conv->pad[i],
                (long long)conv->dilation[i], (long long)x->shape[row + i]);
    }
    const int64_t R = conv->kernel[0], S = conv->kernel[1];
    const int64_t w_p = w != out && w->shape[0] == 1 ? 1 : P;
    const int64_t x_p = x != out && x->shape[0] == 1 ? 1 : P;
    const int64_t nchw_w[5] = {w_p, K, C / G, R, S}, nhwc_w[5] = {w_p, K, R, S, C / G};
    DLF_TRY(dlf_call_shape(call, w_name, w, 5, nchw ? nchw_w : nhwc_w));
    int64_t x_shape[5] = {x_p, x->shape[1], x->shape[2], x->shape[3], x->shape[4]};
    DLF_TRY(dlf_call_shape(call, x_name, x, 5, x_shape));
    return dlf_call_shape(call, y_name, y, 5, shape);
}

dlf_status dlf_conv_forward(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *w,
                            const dlf_tensor *bias, dlf_conv conv)
{
    DLF_CALL("conv_forward", DLF_OUT(y), DLF_IN(x), DLF_IN(w), DLF_IN(bias));
    DLF_TRY(check_conv(&call, "y", y, "x", x, "w", w, y, &conv));
    DLF_TRY(dlf_call_shape_is(&call, "bias", bias, y->shape[0], w->shape[1]));
    DLF_RUN(conv_forward, y->device, y, x, w, bias, conv);
}

dlf_status dlf_conv_data_grad(dlf_tensor *dx, const dlf_tensor *dy, const dlf_tensor *w,
                              dlf_conv conv, double beta)
{
    DLF_CALL("conv_data_grad", DLF_OUT(dx), DLF_IN(dy), DLF_IN(w));
    DLF_TRY(check_conv(&call, "dy", dy, "dx", dx, "w", w, dx, &conv));
    DLF_RUN(conv_data_grad, dx->device, dx, dy, w, conv, beta);
}

dlf_status dlf_conv_weight_grad(dlf_tensor *dw, const dlf_tensor *x, const dlf_tensor *dy,
                                dlf_conv conv, double beta)
{
    DLF_CALL("conv_weight_grad", DLF_OUT(dw), DLF_IN(x), DLF_IN(dy));
    DLF_TRY(check_conv(&call, "dy", dy, "x", x, "dw", dw, dw, &conv));
    DLF_RUN(conv_weight_grad, dw->device, dw, x, dy, conv, beta);
}

dlf_status dlf_conv_bias_grad(dlf_tensor *dbias, const dlf_tensor *dy, dlf_layout layout,
                              double beta)
{
    DLF_CALL("conv_bias_grad", DLF_OUT(dbias), DLF_IN(dy));
    DLF_TRY(dlf_call_axes(&call, "dy", dy, 5));
    if (layout != DLF_NCHW && layout != DLF_NHWC)
        return dlf_fail(DLF_ERR_ARG, "conv_bias_grad: there is no layout %d", (int)layout);
    const int64_t K = dy->shape[layout == DLF_NCHW ? 2 : 4];
    DLF_TRY(dlf_call_shape_is(&call, "dbias", dbias, dy->shape[0], K));
    if (layout == DLF_NCHW) DLF_RUN(conv_bias_grad, dbias->device, dbias, dy, beta);
    const int64_t rows[] = {dy->shape[0], dy->shape[1] * dy->shape[2] * dy->shape[3], K};
    const dlf_tensor matrix = dlf_tensor_window(dy, 0, 3, rows);
    DLF_RUN(bias_grad, dbias->device, dbias, &matrix, beta);
}
