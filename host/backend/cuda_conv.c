/* SPDX-License-Identifier: MIT
 * cuda_conv.c -- the cuda backend's convolutions by cuDNN, where that was found. */
#include <stdio.h>

#include "backend/cuda_impl.h"
#include "backend/cuda_library.h"

void dlf_cuda_open_cudnn(dlf_device *dev, const char *device_name, char *text, size_t size)
{
    dlf_cuda *impl = dlf_cuda_of(dev);
    const char *why = "test bed";
    if (dlf_cuda_library_wanted("DLF_CUDNN", device_name))
        impl->has_cudnn = dlf_cudnn_open(&impl->cudnn, impl->stream, &why);
    (void)cudaGetLastError();
    const int v = impl->cudnn.version; /* 91900 = 9.19.0 */
    if (impl->has_cudnn)
        snprintf(text, size, "cuDNN %d.%d.%d", v / 10000, v / 100 % 100, v % 100);
    else
        snprintf(text, size, "own convolution (%s)", why);
}

dlf_status dlf_cuda_conv(dlf_device *dev, const dlf_conv_problem *problem, int64_t members,
                         const float *a, int64_t stride_a, const float *b, int64_t stride_b,
                         float *out, int64_t stride_out, double beta)
{
    dlf_cuda *impl = dlf_cuda_of(dev);
    if (!impl->has_cudnn) return DLF_ERR_NO_KERNEL;
    DLF_TRY(dlf_cuda_bind(dev));
    dlf_cudnn_plan *plan;
    dlf_status status = dlf_cudnn_plan_of(&impl->cudnn, problem, &plan);
    if (status != DLF_OK) return status;
    void *workspace = NULL;
    const size_t bytes = dlf_cudnn_workspace(plan);
    if (bytes) DLF_TRY(dlf_cuda_alloc(dev, &workspace, bytes));
    for (int64_t p = 0; p < members && status == DLF_OK; p++)
        status = dlf_cudnn_run(&impl->cudnn, plan, a + p * stride_a, b + p * stride_b,
                               out + p * stride_out, (float)beta, workspace);
    if (workspace) dlf_cuda_release(dev, workspace, bytes);
    return status;
}
