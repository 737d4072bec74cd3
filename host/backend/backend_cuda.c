/* SPDX-License-Identifier: MIT
 * backend_cuda.c -- one GPU as a device: stream, copies, cuBLAS if there is one.
 * Plain C over the runtime API. Nothing here runs before a CUDA device is asked for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda_impl.h"
#include "backend/cuda_library.h"
#include "backend/record.h"

#define KERNEL(family, op, args) dlf_status dlf_##op##_cuda args;
#include "dlf/kernels.def"
#undef KERNEL

static const dlf_ops ops = {
#define KERNEL(family, op, args) .op = dlf_##op##_cuda,
#include "dlf/kernels.def"
#undef KERNEL
};

enum { WORKSPACE_BYTES = 32 << 20 }; /* what NVIDIA advises for Hopper */

dlf_status dlf_cuda_check(cudaError_t error, const char *what)
{
    if (error == cudaSuccess) return DLF_OK;
    (void)cudaGetLastError();
    return dlf_fail(DLF_ERR_DEVICE, "cuda: %s failed: %s (CUDA error %d)", what,
                    cudaGetErrorString(error), (int)error);
}

dlf_status dlf_cuda_bind(const dlf_device *dev)
{
    return dlf_cuda_check(cudaSetDevice(dev->info.ordinal), "cudaSetDevice");
}

void dlf_cuda_bind_quietly(const dlf_device *dev)
{
    if (cudaSetDevice(dev->info.ordinal) != cudaSuccess) (void)cudaGetLastError();
}

void *dlf_cuda_stream(const dlf_device *dev)
{
    dlf_cuda_bind_quietly(dev);
    return dlf_cuda_of(dev)->stream;
}

dlf_status dlf_cuda_sgemm(const dlf_device *dev, const dlf_sgemm_batch *g)
{
    const dlf_cuda *impl = dlf_cuda_of(dev);
    if (!impl->has_cublas) return DLF_ERR_NO_KERNEL;
    DLF_TRY(dlf_cuda_bind(dev));
    return dlf_cublas_sgemm(&impl->cublas, g);
}

/* ---- copies ---- */

enum { MAX_PITCH = 0x7fffffff }; /* of the 2-D calls */

static dlf_status copy_2d(dlf_device *dev, void *dst, size_t dst_pitch, const void *src,
                          size_t src_pitch, size_t row_bytes, size_t rows, enum cudaMemcpyKind kind)
{
    DLF_TRY(dlf_cuda_bind(dev));
    const cudaStream_t stream = dlf_cuda_of(dev)->stream;
    if (rows > 1 && dst_pitch <= MAX_PITCH && src_pitch <= MAX_PITCH)
        return dlf_cuda_check(
            cudaMemcpy2DAsync(dst, dst_pitch, src, src_pitch, row_bytes, rows, kind, stream),
            "a strided copy");
    for (size_t r = 0; r < rows; r++)
        DLF_TRY(dlf_cuda_check(cudaMemcpyAsync((char *)dst + r * dst_pitch,
                                               (const char *)src + r * src_pitch, row_bytes, kind,
                                               stream),
                               "a copy"));
    return DLF_OK;
}

static dlf_status cuda_sync(dlf_device *dev)
{
    DLF_TRY(dlf_cuda_bind(dev));
    return dlf_cuda_check(cudaStreamSynchronize(dlf_cuda_of(dev)->stream), "queued work");
}

static dlf_status cuda_upload(dlf_device *dev, void *dst, size_t dst_pitch, const void *src,
                              size_t src_pitch, size_t row_bytes, size_t rows)
{
    DLF_TRY(copy_2d(dev, dst, dst_pitch, src, src_pitch, row_bytes, rows, cudaMemcpyHostToDevice));
    return cuda_sync(dev);
}

static dlf_status cuda_download(dlf_device *dev, void *dst, size_t dst_pitch, const void *src,
                                size_t src_pitch, size_t row_bytes, size_t rows)
{
    DLF_TRY(copy_2d(dev, dst, dst_pitch, src, src_pitch, row_bytes, rows, cudaMemcpyDeviceToHost));
    return cuda_sync(dev);
}

static dlf_status cuda_copy(dlf_device *dev, void *dst, size_t dst_pitch, const void *src,
                            size_t src_pitch, size_t row_bytes, size_t rows)
{
    return copy_2d(dev, dst, dst_pitch, src, src_pitch, row_bytes, rows, cudaMemcpyDeviceToDevice);
}

static dlf_status cuda_zero(dlf_device *dev, void *dst, size_t pitch, size_t row_bytes, size_t rows)
{
    DLF_TRY(dlf_cuda_bind(dev));
    const cudaStream_t stream = dlf_cuda_of(dev)->stream;
    if (rows > 1 && pitch <= MAX_PITCH)
        return dlf_cuda_check(cudaMemset2DAsync(dst, pitch, 0, row_bytes, rows, stream),
                              "a strided fill");
    for (size_t r = 0; r < rows; r++)
        DLF_TRY(dlf_cuda_check(cudaMemsetAsync((char *)dst + r * pitch, 0, row_bytes, stream),
                               "a fill"));
    return DLF_OK;
}

static dlf_status cuda_time_start(dlf_device *dev)
{
    DLF_TRY(dlf_not_recording(dev, "the stopwatch"));
    DLF_TRY(dlf_cuda_bind(dev));
    return dlf_cuda_check(cudaEventRecord(dlf_cuda_of(dev)->start, dlf_cuda_of(dev)->stream),
                          "the stopwatch");
}

static dlf_status cuda_time_stop(dlf_device *dev, double *ns)
{
    const dlf_cuda *impl = dlf_cuda_of(dev);
    DLF_TRY(dlf_not_recording(dev, "the stopwatch"));
    DLF_TRY(dlf_cuda_bind(dev));
    float ms = 0.0f;
    DLF_TRY(dlf_cuda_check(cudaEventRecord(impl->stop, impl->stream), "the stopwatch"));
    DLF_TRY(dlf_cuda_check(cudaEventSynchronize(impl->stop), "queued work"));
    DLF_TRY(dlf_cuda_check(cudaEventElapsedTime(&ms, impl->start, impl->stop), "the stopwatch"));
    *ns = (double)ms * 1e6;
    return DLF_OK;
}

/* ---- open and close ---- */

static int count_devices(char *why, size_t size)
{
    int n = 0;
    const cudaError_t error = cudaGetDeviceCount(&n);
    if (error == cudaSuccess && n > 0) return n;
    (void)cudaGetLastError();
    if (error == cudaErrorInsufficientDriver)
        snprintf(why, size, "driver too old or missing (CUDA error 35)");
    else if (error == cudaErrorNoDevice || error == cudaSuccess)
        snprintf(why, size, "the driver sees no GPU (CUDA error 100)");
    else
        snprintf(why, size, "%s (CUDA error %d)", cudaGetErrorString(error), (int)error);
    return 0;
}

int dlf_cuda_device_count(const char **why)
{
    static _Thread_local char text[160];
    text[0] = '\0';
    const int n = count_devices(text, sizeof text);
    if (why) *why = text;
    return n;
}

static void cuda_close(dlf_device *dev)
{
    dlf_cuda *impl = dlf_cuda_of(dev);
    if (!impl) return;
    dlf_cuda_bind_quietly(dev);
    if (impl->recording) (void)dlf_cuda_record_end(dev, NULL);
    if (impl->stream) (void)cudaStreamSynchronize(impl->stream);
    if (impl->has_cublas) dlf_cublas_close(&impl->cublas);
    if (impl->has_cudnn) dlf_cudnn_close(&impl->cudnn);
    if (impl->workspace) (void)cudaFree(impl->workspace);
    dlf_cuda_pool_flush(&impl->cache);
    if (impl->stop) (void)cudaEventDestroy(impl->stop);
    if (impl->start) (void)cudaEventDestroy(impl->start);
    if (impl->stream) (void)cudaStreamDestroy(impl->stream);
    (void)cudaGetLastError();
    free(impl);
    dev->impl = NULL;
}

static void open_cublas(dlf_device *dev, const struct cudaDeviceProp *prop, char *text, size_t size)
{
    dlf_cuda *impl = dlf_cuda_of(dev);
    const char *why = "no memory for its workspace";
    if (!dlf_cuda_library_wanted("DLF_CUBLAS", prop->name)) {
        why = "test bed";
    } else if (cudaMalloc(&impl->workspace, WORKSPACE_BYTES) == cudaSuccess) {
        impl->has_cublas =
            dlf_cublas_open(&impl->cublas, impl->stream, impl->workspace, WORKSPACE_BYTES, &why);
        if (!impl->has_cublas) {
            (void)cudaFree(impl->workspace);
            impl->workspace = NULL;
        }
    }
    (void)cudaGetLastError();
    const int v = impl->cublas.version; /* 120304 = 12.3.4 */
    if (impl->has_cublas)
        snprintf(text, size, "cuBLAS %d.%d.%d", v / 10000, v / 100 % 100, v % 100);
    else
        snprintf(text, size, "own GEMM (%s)", why);
}

/* Does this build hold machine code, or PTX, for this GPU? The shortest kernel tells. */
static dlf_status probe(dlf_device *dev, const struct cudaDeviceProp *prop)
{
    dlf_tensor x = {0};
    dlf_status status = dlf_tensor_new(&x, dev, DLF_F32, 1, 1);
    if (status == DLF_OK) status = dev->ops->random_uniform(&x, NULL, 0.0, 1.0, (dlf_rng){0, 0});
    if (status == DLF_OK) status = cuda_sync(dev);
    dlf_tensor_free(&x);
    dev->bytes_peak = 0;
    if (status == DLF_OK) return DLF_OK;
    char why[512];
    snprintf(why, sizeof why, "%s", dlf_error_message());
    return dlf_fail(DLF_ERR_NO_DEVICE,
                    "%s (compute capability %d.%d) cannot run this build: %s; configure with "
                    "-DDLF_CUDA_ARCHS=native, or use --device cpu",
                    prop->name, prop->major, prop->minor, why);
}

static dlf_status cuda_setup(dlf_device *dev)
{
    dlf_cuda *impl = dlf_cuda_of(dev);
    struct cudaDeviceProp prop;
    int driver = 0, runtime = 0;
    DLF_TRY(dlf_cuda_bind(dev));
    DLF_TRY(dlf_cuda_check(cudaGetDeviceProperties(&prop, dev->info.ordinal),
                           "cudaGetDeviceProperties"));
    DLF_TRY(dlf_cuda_check(cudaStreamCreateWithFlags(&impl->stream, cudaStreamNonBlocking),
                           "cudaStreamCreate"));
    DLF_TRY(dlf_cuda_check(cudaEventCreate(&impl->start), "cudaEventCreate"));
    DLF_TRY(dlf_cuda_check(cudaEventCreate(&impl->stop), "cudaEventCreate"));
    DLF_TRY(dlf_cuda_check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion"));
    DLF_TRY(dlf_cuda_check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion"));

    snprintf(dev->info.name, sizeof dev->info.name, "%.120s", prop.name);
    dev->info.threads = prop.multiProcessorCount;
    dev->info.memory_bytes = (int64_t)prop.totalGlobalMem;
    dev->info.shared_bytes = (int64_t)prop.sharedMemPerBlockOptin;
    dev->ops = &ops;
    const char *cache = getenv("DLF_CUDA_CACHE");
    impl->cached = cache && cache[0] ? strcmp(cache, "0") != 0 : !dlf_cuda_is_test_bed(prop.name);
    DLF_TRY(probe(dev, &prop));
    char blas[96], dnn[96];
    open_cublas(dev, &prop, blas, sizeof blas);
    dlf_cuda_open_cudnn(dev, prop.name, dnn, sizeof dnn);
    snprintf(dev->info.detail, sizeof dev->info.detail,
             "cc %d.%d, driver %d.%d, runtime %d.%d, %s, %s", prop.major, prop.minor, driver / 1000,
             driver / 10 % 100, runtime / 1000, runtime / 10 % 100, blas, dnn);
    return DLF_OK;
}

static dlf_status cuda_open(dlf_device *dev, int ordinal)
{
    char why[512];
    const int count = count_devices(why, sizeof why);
    if (count == 0)
        return dlf_fail(DLF_ERR_NO_DEVICE,
                        "no usable CUDA device: %s; use --device cpu or run 'dlf doctor'", why);
    if (ordinal >= count)
        return dlf_fail(DLF_ERR_NO_DEVICE,
                        "there is no cuda:%d; this machine has %d CUDA device%s, the first is "
                        "cuda:0",
                        ordinal, count, count > 1 ? "s" : "");
    dev->impl = calloc(1, sizeof(dlf_cuda));
    if (!dev->impl) return dlf_fail(DLF_ERR_OOM, "no host memory for a device");
    const dlf_status status = cuda_setup(dev);
    if (status == DLF_OK) return DLF_OK;
    snprintf(why, sizeof why, "%s", dlf_error_message());
    cuda_close(dev);
    if (status == DLF_ERR_NO_DEVICE) return dlf_fail(status, "%s", why);
    return dlf_fail(DLF_ERR_NO_DEVICE,
                    "cuda:%d is there but does not start: %s; use --device cpu or run 'dlf doctor'",
                    ordinal, why);
}

const dlf_backend dlf_backend_cuda = {
    .name = "cuda",
    .open = cuda_open,
    .close = cuda_close,
    .alloc = dlf_cuda_alloc,
    .release = dlf_cuda_release,
    .upload = cuda_upload,
    .download = cuda_download,
    .copy = cuda_copy,
    .zero = cuda_zero,
    .sync = cuda_sync,
    .record_begin = dlf_cuda_record_begin,
    .record_end = dlf_cuda_record_end,
    .replay = dlf_cuda_replay,
    .recording_free = dlf_cuda_recording_free,
    .time_start = cuda_time_start,
    .time_stop = cuda_time_stop,
};
