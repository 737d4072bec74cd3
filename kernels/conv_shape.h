/* SPDX-License-Identifier: MIT
 * conv_shape.h -- both layouts of a convolution as one, for conv.cu and conv_cpu.c: sizes, and the
 * distance in elements from one index of an axis to the next inside a member. */
#ifndef DLF_CONV_SHAPE_H
#define DLF_CONV_SHAPE_H
#include "dlf/ops.h"

enum { DLF_VERTICAL, DLF_HORIZONTAL };

typedef struct dlf_conv_image {
    int64_t member; /* from member to member; 0: all share one */
    int64_t sample, channel, at[2];
} dlf_conv_image;

typedef struct dlf_conv_shape {
    int64_t P, N;
    int32_t groups, C, K; /* C, K: channels of one group; the op refuses axes above 2^30 */
    int32_t in[2], out[2], kernel[2], stride[2], pad[2], dilation[2];
    bool nchw;
    dlf_conv_image x, y;
    struct {
        int64_t member, unit, channel, tap[2]; /* unit: output channel */
    } w;
} dlf_conv_shape;

static inline dlf_conv_image dlf_conv_image_of(const dlf_tensor *t, bool nchw)
{
    const int64_t C = t->shape[nchw ? 2 : 4], H = t->shape[nchw ? 3 : 2],
                  W = t->shape[nchw ? 4 : 3];
    dlf_conv_image image;
    image.member = t->shape[0] == 1 ? 0 : t->stride;
    image.sample = C * H * W;
    image.channel = nchw ? H * W : 1;
    image.at[DLF_HORIZONTAL] = nchw ? 1 : C;
    image.at[DLF_VERTICAL] = W * image.at[DLF_HORIZONTAL];
    return image;
}

/* P is the result's: `out` is one of the three. */
static inline dlf_conv_shape dlf_conv_shape_of(const dlf_tensor *y, const dlf_tensor *x,
                                               const dlf_tensor *w, const dlf_tensor *out,
                                               const dlf_conv *conv)
{
    dlf_conv_shape s;
    s.nchw = conv->layout == DLF_NCHW;
    s.P = out->shape[0];
    s.N = x->shape[1];
    s.groups = (int32_t)conv->groups;
    s.C = (int32_t)(x->shape[s.nchw ? 2 : 4] / conv->groups);
    s.K = (int32_t)(y->shape[s.nchw ? 2 : 4] / conv->groups);
    for (int k = 0; k < 2; k++) {
        s.in[k] = (int32_t)x->shape[(s.nchw ? 3 : 2) + k];
        s.out[k] = (int32_t)y->shape[(s.nchw ? 3 : 2) + k];
        s.kernel[k] = (int32_t)conv->kernel[k];
        s.stride[k] = (int32_t)conv->stride[k];
        s.pad[k] = (int32_t)conv->pad[k];
        s.dilation[k] = (int32_t)conv->dilation[k];
    }
    s.x = dlf_conv_image_of(x, s.nchw);
    s.y = dlf_conv_image_of(y, s.nchw);
    s.w.member = w->shape[0] == 1 ? 0 : w->stride;
    s.w.unit = (int64_t)s.C * s.kernel[0] * s.kernel[1];
    s.w.channel = s.nchw ? (int64_t)s.kernel[0] * s.kernel[1] : 1;
    s.w.tap[DLF_HORIZONTAL] = s.nchw ? 1 : s.C;
    s.w.tap[DLF_VERTICAL] = s.kernel[1] * s.w.tap[DLF_HORIZONTAL];
    return s;
}
#endif
