/* SPDX-License-Identifier: MIT
 * cudnn.h -- cuDNN 9 as far as we use it, opened at run time with prototypes of our own. No CUDA
 * header here.
 *
 * Of its two interfaces this is the older one (descriptors and algorithm numbers), which cuDNN 9
 * still has: three calls of one shape, a determinism flag and a workspace size per algorithm. An
 * algorithm is asked for once per shape, by cuDNN's own heuristics, not by timing: the choice, and
 * with it the bits of a result, is the same in every run on the same GPU and version. */
#ifndef DLF_CUDNN_H
#define DLF_CUDNN_H
#include "../../kernels/conv_dnn.h"

typedef struct dlf_cudnn_plan dlf_cudnn_plan;

/* cudnnConvolution*AlgoPerf_t: one layout for the three directions. */
typedef struct dlf_cudnn_algorithm {
    int algorithm, status;
    float time;
    size_t memory;
    int determinism, math;
    int reserved[3];
} dlf_cudnn_algorithm;

typedef struct dlf_cudnn {
    void *library, *handle;
    int version; /* 91900 = 9.19.0 */
    int (*destroy)(void *handle);
    int (*create_tensor)(void **), (*destroy_tensor)(void *);
    int (*create_filter)(void **), (*destroy_filter)(void *);
    int (*create_convolution)(void **), (*destroy_convolution)(void *);
    int (*set_tensor)(void *, int format, int type, int n, int c, int h, int w);
    int (*set_filter)(void *, int type, int format, int k, int c, int h, int w);
    int (*set_convolution)(void *, int pad_h, int pad_w, int stride_h, int stride_w, int dilation_h,
                           int dilation_w, int mode, int type);
    int (*set_groups)(void *, int count), (*set_math)(void *, int type);
    /* By result: y, dx, dw. */
    int (*choose[3])(void *handle, void *a, void *b, void *convolution, void *out, int most,
                     int *count, void *algorithms);
    int (*run[3])(void *handle, const void *alpha, void *a_descriptor, const void *a,
                  void *b_descriptor, const void *b, void *convolution, int algorithm,
                  void *workspace, size_t workspace_bytes, const void *beta, void *out_descriptor,
                  void *out);
    dlf_cudnn_plan *plans; /* by shape, the last used first; also shapes that cuDNN does not take */
    int n_plans;
} dlf_cudnn;

/* Load it and bind it to a stream. False: *why is a short reason, `out` is zeroed. */
bool dlf_cudnn_open(dlf_cudnn *out, void *stream, const char **why);
void dlf_cudnn_close(dlf_cudnn *d);

/* The plan of a shape, made when it is asked for the first time. DLF_ERR_NO_KERNEL: none that is
 * deterministic, in float, and within the bound of the workspace. */
dlf_status dlf_cudnn_plan_of(dlf_cudnn *d, const dlf_conv_problem *problem, dlf_cudnn_plan **out);
size_t dlf_cudnn_workspace(const dlf_cudnn_plan *plan);
/* out = result of a and b + beta out, of one member (see dlf_cuda_conv). */
dlf_status dlf_cudnn_run(const dlf_cudnn *d, const dlf_cudnn_plan *plan, const float *a,
                         const float *b, float *out, float beta, void *workspace);
#endif
