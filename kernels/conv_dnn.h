/* SPDX-License-Identifier: MIT
 * conv_dnn.h -- the vendor's convolutions that the cuda backend may have found at run time. The
 * backend defines the function, the conv family calls it; neither needs cuDNN to build. */
#ifndef DLF_KERNELS_CONV_DNN_H
#define DLF_KERNELS_CONV_DNN_H
#include "dlf/backend.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef enum dlf_conv_result { DLF_CONV_Y, DLF_CONV_DX, DLF_CONV_DW } dlf_conv_result;

/* One convolution without bias, of one member. A key: no padding bytes, compared as a whole. */
typedef struct dlf_conv_problem {
    int64_t result, layout;
    int64_t N, C, H, W, K, OH, OW;
    int64_t kernel[2], stride[2], pad[2], dilation[2], groups;
} dlf_conv_problem;

/* out = result of a and b + beta out for `members` members; strides are elements from member to
 * member, 0 = the same.     y: a = x, b = w      dx: a = w, b = dy      dw: a = x, b = dy
 * DLF_ERR_NO_KERNEL: there is no cuDNN, or it has no deterministic algorithm in float for this. */
dlf_status dlf_cuda_conv(dlf_device *dev, const dlf_conv_problem *problem, int64_t members,
                         const float *a, int64_t stride_a, const float *b, int64_t stride_b,
                         float *out, int64_t stride_out, double beta);

#ifdef __cplusplus
}
#endif
#endif
