/* SPDX-License-Identifier: MIT
 * cuda_record.c -- recordings are CUDA graphs, taken down by capturing the device's stream.
 *
 * The capture is in relaxed mode, for one reason: scratch memory. In the other modes a cudaMalloc
 * during the capture breaks it, so that recording would depend on what the cache happens to hold.
 * cudaMalloc is said to be unsafe there because it is not replayed; here it need not be, as every
 * block that ops allocate or release in between belongs to the recording until that is freed.
 * Nothing else the other modes forbid is left to be done: record.c and tensor.c refuse it. */
#include <stdlib.h>

#include "backend/cuda_impl.h"

dlf_status dlf_cuda_record_begin(dlf_device *dev)
{
    dlf_cuda *impl = dlf_cuda_of(dev);
    DLF_TRY(dlf_cuda_bind(dev));
    dlf_cuda_recording *recording = calloc(1, sizeof *recording);
    if (!recording) return dlf_fail(DLF_ERR_OOM, "no host memory for a recording");
    const dlf_status status =
        dlf_cuda_check(cudaStreamBeginCapture(impl->stream, cudaStreamCaptureModeRelaxed),
                       "cudaStreamBeginCapture");
    if (status == DLF_OK)
        impl->recording = recording;
    else
        free(recording);
    return status;
}

static void destroy_graph(cudaGraph_t graph)
{
    if (graph && cudaGraphDestroy(graph) != cudaSuccess) (void)cudaGetLastError();
}

/* After a failed end: the stream must not go on capturing. */
static void abandon(dlf_cuda *impl)
{
    cudaGraph_t graph = NULL;
    enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    if (cudaStreamIsCapturing(impl->stream, &status) == cudaSuccess &&
        status != cudaStreamCaptureStatusNone && cudaStreamEndCapture(impl->stream, &graph) == 0)
        destroy_graph(graph);
    (void)cudaGetLastError();
}

static dlf_status end_capture(dlf_cuda *impl, cudaGraph_t *graph)
{
    *graph = NULL;
    const cudaError_t error = cudaStreamEndCapture(impl->stream, graph);
    if (error == cudaSuccess && *graph) return DLF_OK;
    (void)cudaGetLastError();
    abandon(impl);
    return dlf_fail(DLF_ERR_DEVICE,
                    "cuda: this sequence cannot be recorded: %s (CUDA error %d); has it run once "
                    "before?",
                    cudaGetErrorString(error), (int)error);
}

static void destroy(dlf_device *dev, dlf_cuda_recording *recording)
{
    if (recording->exec) {
        /* A replay may be under way. */
        if (cudaStreamSynchronize(dlf_cuda_of(dev)->stream) != cudaSuccess)
            (void)cudaGetLastError();
        if (cudaGraphExecDestroy(recording->exec) != cudaSuccess) (void)cudaGetLastError();
    }
    dlf_cuda_pool_return(dev, &recording->scratch);
    free(recording);
}

static void destroy_retired(dlf_device *dev)
{
    dlf_cuda *impl = dlf_cuda_of(dev);
    while (impl->retired) {
        dlf_cuda_recording *recording = impl->retired;
        impl->retired = recording->next;
        destroy(dev, recording);
    }
}

dlf_status dlf_cuda_record_end(dlf_device *dev, void **out)
{
    dlf_cuda *impl = dlf_cuda_of(dev);
    dlf_cuda_recording *recording = impl->recording;
    impl->recording = NULL;
    cudaGraph_t graph = NULL;
    dlf_cuda_bind_quietly(dev);
    dlf_status status = end_capture(impl, &graph);
    if (status == DLF_OK && recording->lost)
        status = dlf_fail(DLF_ERR_OOM, "no host memory for the blocks of a recording");
    if (status == DLF_OK && out)
        status = dlf_cuda_check(cudaGraphInstantiate(&recording->exec, graph, 0),
                                "cudaGraphInstantiate");
    if (status == DLF_OK && cudaGraphGetNodes(graph, NULL, &recording->nodes) != cudaSuccess) {
        (void)cudaGetLastError();
        recording->nodes = 0;
    }
    destroy_graph(graph);
    if (status == DLF_OK && out)
        *out = recording;
    else
        destroy(dev, recording);
    destroy_retired(dev);
    return status;
}

dlf_status dlf_cuda_replay(dlf_device *dev, void *recording)
{
    DLF_TRY(dlf_cuda_bind(dev));
    const dlf_cuda_recording *r = recording;
    return dlf_cuda_check(cudaGraphLaunch(r->exec, dlf_cuda_of(dev)->stream), "a replay");
}

void dlf_cuda_recording_free(dlf_device *dev, void *recording)
{
    dlf_cuda *impl = dlf_cuda_of(dev);
    dlf_cuda_recording *r = recording;
    if (impl->recording) { /* the stream captures: nobody can wait for it now */
        r->next = impl->retired;
        impl->retired = r;
        return;
    }
    dlf_cuda_bind_quietly(dev);
    destroy(dev, r);
}
