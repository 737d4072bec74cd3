/* SPDX-License-Identifier: MIT
 * cudnn.c -- find cuDNN and call it. */
#include "backend/cudnn.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda_library.h"

enum {
    NCHW = 0,
    NHWC = 1,
    FLOAT = 0,
    CROSS_CORRELATION = 1,
    DETERMINISTIC = 1,
    DEFAULT_MATH = 0,
    FMA_MATH = 3, /* of the descriptor, so of every algorithm: true fp32, no TF32 */
    ALGORITHMS_MOST = 16,
    PLANS_MOST = 256
};
static const size_t workspace_most = (size_t)256 << 20;

struct dlf_cudnn_plan {
    dlf_cudnn_plan *next;
    dlf_conv_problem problem;
    bool usable;
    void *x, *y, *w, *convolution; /* descriptors */
    int algorithm;
    size_t workspace;
};

/* ---- the library ---- */

static bool load(dlf_cudnn *d, int (**create)(void **), int (**set_stream)(void *, void *),
                 size_t (**get_version)(void))
{
    const dlf_cuda_wanted wanted[] = {
        {create, "cudnnCreate"},
        {set_stream, "cudnnSetStream"},
        {get_version, "cudnnGetVersion"},
        {&d->destroy, "cudnnDestroy"},
        {&d->create_tensor, "cudnnCreateTensorDescriptor"},
        {&d->destroy_tensor, "cudnnDestroyTensorDescriptor"},
        {&d->create_filter, "cudnnCreateFilterDescriptor"},
        {&d->destroy_filter, "cudnnDestroyFilterDescriptor"},
        {&d->create_convolution, "cudnnCreateConvolutionDescriptor"},
        {&d->destroy_convolution, "cudnnDestroyConvolutionDescriptor"},
        {&d->set_tensor, "cudnnSetTensor4dDescriptor"},
        {&d->set_filter, "cudnnSetFilter4dDescriptor"},
        {&d->set_convolution, "cudnnSetConvolution2dDescriptor"},
        {&d->set_groups, "cudnnSetConvolutionGroupCount"},
        {&d->set_math, "cudnnSetConvolutionMathType"},
        {&d->choose[DLF_CONV_Y], "cudnnGetConvolutionForwardAlgorithm_v7"},
        {&d->choose[DLF_CONV_DX], "cudnnGetConvolutionBackwardDataAlgorithm_v7"},
        {&d->choose[DLF_CONV_DW], "cudnnGetConvolutionBackwardFilterAlgorithm_v7"},
        {&d->run[DLF_CONV_Y], "cudnnConvolutionForward"},
        {&d->run[DLF_CONV_DX], "cudnnConvolutionBackwardData"},
        {&d->run[DLF_CONV_DW], "cudnnConvolutionBackwardFilter"},
    };
    return dlf_cuda_symbols(d->library, wanted, sizeof wanted / sizeof *wanted);
}

bool dlf_cudnn_open(dlf_cudnn *out, void *stream, const char **why)
{
    static const char *const names[] = {"libcudnn.so.9", "libcudnn.so", NULL};
    memset(out, 0, sizeof *out);
    dlf_cudnn d = {.library = dlf_cuda_library("DLF_CUDNN", names)};
    if (!d.library) {
        *why = "no cuDNN";
        return false;
    }
    int (*create)(void **), (*set_stream)(void *, void *);
    size_t (*get_version)(void);
    if (!load(&d, &create, &set_stream, &get_version)) {
        *why = "cuDNN of another version than 9";
    } else if (create(&d.handle) != 0) {
        d.handle = NULL;
        *why = "cuDNN does not start";
    } else if (set_stream(d.handle, stream) != 0) {
        *why = "cuDNN cannot be set up";
    } else {
        d.version = (int)get_version();
        *out = d;
        return true;
    }
    dlf_cudnn_close(&d);
    return false;
}

static void plan_free(const dlf_cudnn *d, dlf_cudnn_plan *plan)
{
    if (plan->x) d->destroy_tensor(plan->x);
    if (plan->y) d->destroy_tensor(plan->y);
    if (plan->w) d->destroy_filter(plan->w);
    if (plan->convolution) d->destroy_convolution(plan->convolution);
    free(plan);
}

void dlf_cudnn_close(dlf_cudnn *d)
{
    for (dlf_cudnn_plan *plan = d->plans, *next; plan; plan = next) {
        next = plan->next;
        plan_free(d, plan);
    }
    if (d->handle) d->destroy(d->handle);
    if (d->library) dlclose(d->library);
    memset(d, 0, sizeof *d);
}

/* ---- plans ---- */

static bool fits_int(const dlf_conv_problem *p)
{
    const int64_t all[] = {p->N,         p->C,           p->H,           p->W,
                           p->K,         p->OH,          p->OW,          p->kernel[0],
                           p->kernel[1], p->stride[0],   p->stride[1],   p->pad[0],
                           p->pad[1],    p->dilation[0], p->dilation[1], p->groups};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i] > INT_MAX) return false;
    return (double)p->N * (double)p->C * (double)p->H * (double)p->W < (double)INT_MAX &&
           (double)p->N * (double)p->K * (double)p->OH * (double)p->OW < (double)INT_MAX;
}

static bool describe(const dlf_cudnn *d, dlf_cudnn_plan *plan)
{
    const dlf_conv_problem *p = &plan->problem;
    const int format = p->layout == DLF_NHWC ? NHWC : NCHW;
    return d->create_tensor(&plan->x) == 0 && d->create_tensor(&plan->y) == 0 &&
           d->create_filter(&plan->w) == 0 && d->create_convolution(&plan->convolution) == 0 &&
           d->set_tensor(plan->x, format, FLOAT, (int)p->N, (int)p->C, (int)p->H, (int)p->W) == 0 &&
           d->set_tensor(plan->y, format, FLOAT, (int)p->N, (int)p->K, (int)p->OH, (int)p->OW) ==
               0 &&
           d->set_filter(plan->w, FLOAT, format, (int)p->K, (int)(p->C / p->groups),
                         (int)p->kernel[0], (int)p->kernel[1]) == 0 &&
           d->set_convolution(plan->convolution, (int)p->pad[0], (int)p->pad[1], (int)p->stride[0],
                              (int)p->stride[1], (int)p->dilation[0], (int)p->dilation[1],
                              CROSS_CORRELATION, FLOAT) == 0 &&
           d->set_groups(plan->convolution, (int)p->groups) == 0 &&
           d->set_math(plan->convolution, FMA_MATH) == 0;
}

/* Descriptors of a, b and out, in the order in which the calls take them. */
static void operands(const dlf_cudnn_plan *plan, void *out[3])
{
    const bool dx = plan->problem.result == DLF_CONV_DX;
    out[0] = dx ? plan->w : plan->x;
    out[1] = plan->problem.result == DLF_CONV_Y ? plan->w : plan->y;
    out[2] = plan->problem.result == DLF_CONV_Y ? plan->y : dx ? plan->x : plan->w;
}

/* The first that will do, of a list that is sorted by expected time. */
static bool choose(const dlf_cudnn *d, dlf_cudnn_plan *plan)
{
    dlf_cudnn_algorithm list[ALGORITHMS_MOST];
    void *t[3];
    int n = 0;
    operands(plan, t);
    if (d->choose[plan->problem.result](d->handle, t[0], t[1], plan->convolution, t[2],
                                        ALGORITHMS_MOST, &n, list) != 0)
        return false;
    for (int i = 0; i < n; i++) {
        const dlf_cudnn_algorithm *a = &list[i];
        if (a->status != 0 || a->determinism != DETERMINISTIC ||
            (a->math != FMA_MATH && a->math != DEFAULT_MATH) || a->memory > workspace_most)
            continue;
        plan->algorithm = a->algorithm;
        plan->workspace = a->memory;
        return true;
    }
    return false;
}

/* Makes room for one more: the plan that has not been used for longest goes. */
static void forget_one(dlf_cudnn *d)
{
    dlf_cudnn_plan **last = &d->plans;
    while ((*last)->next) last = &(*last)->next;
    plan_free(d, *last);
    *last = NULL;
    d->n_plans--;
}

dlf_status dlf_cudnn_plan_of(dlf_cudnn *d, const dlf_conv_problem *problem, dlf_cudnn_plan **out)
{
    dlf_cudnn_plan **at = &d->plans;
    while (*at && memcmp(&(*at)->problem, problem, sizeof *problem) != 0) at = &(*at)->next;
    dlf_cudnn_plan *plan = *at;
    if (plan) {
        *at = plan->next;
    } else {
        if (d->n_plans == PLANS_MOST) forget_one(d);
        plan = calloc(1, sizeof *plan);
        if (!plan) return dlf_fail(DLF_ERR_OOM, "conv: no host memory for a plan");
        plan->problem = *problem;
        plan->usable = fits_int(problem) && describe(d, plan) && choose(d, plan);
        d->n_plans++;
    }
    plan->next = d->plans;
    d->plans = plan;
    *out = plan;
    return plan->usable ? DLF_OK : DLF_ERR_NO_KERNEL;
}

size_t dlf_cudnn_workspace(const dlf_cudnn_plan *plan)
{
    return plan->workspace;
}

dlf_status dlf_cudnn_run(const dlf_cudnn *d, const dlf_cudnn_plan *plan, const float *a,
                         const float *b, float *out, float beta, void *workspace)
{
    const float alpha = 1.0f;
    const dlf_conv_problem *p = &plan->problem;
    void *t[3];
    operands(plan, t);
    const int status =
        d->run[p->result](d->handle, &alpha, t[0], a, t[1], b, plan->convolution, plan->algorithm,
                          workspace, plan->workspace, &beta, t[2], out);
    if (status == 0) return DLF_OK;
    return dlf_fail(DLF_ERR_DEVICE,
                    "conv: cuDNN failed with status %d for %lldx%lldx%lldx%lld and %lld kernels of "
                    "%lldx%lld; DLF_CUDNN=none uses our own kernel",
                    status, (long long)p->N, (long long)p->C, (long long)p->H, (long long)p->W,
                    (long long)p->K, (long long)p->kernel[0], (long long)p->kernel[1]);
}
