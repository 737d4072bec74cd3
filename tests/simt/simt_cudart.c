/* SPDX-License-Identifier: MIT */
/* The CUDA runtime API on the CPU: devices, streams, events, functions. Everything has happened
 * when a call returns; streams and events exist so that their misuse can be found. */
#include "simt_control.h"
#include "simt_internal.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FAIL_UNLESS(condition, err)                                                                \
    do {                                                                                           \
        if (!(condition)) return simt_record(err);                                                 \
    } while (0)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- handles: a list of the live ones, so that any other value is an invalid handle ---- */

struct handle {
    struct handle *next;
    unsigned flags;
    int priority;
    int recorded, captured; /* captured: by a stream that was capturing */
    struct timespec time;
};
/* The opaque types of the API. */
struct CUstream_st {
    struct handle h;
};
struct CUevent_st {
    struct handle h;
};

static struct handle *streams, *events;

static struct handle *new_handle(struct handle **list, unsigned flags)
{
    struct handle *h = calloc(1, sizeof *h);
    if (!h) return NULL;
    h->flags = flags;
    pthread_mutex_lock(&lock);
    h->next = *list;
    *list = h;
    pthread_mutex_unlock(&lock);
    return h;
}

static int is_live(struct handle *list, const void *wanted)
{
    pthread_mutex_lock(&lock);
    while (list && list != wanted) list = list->next;
    pthread_mutex_unlock(&lock);
    return list != NULL;
}

static int free_handle(struct handle **list, void *wanted)
{
    pthread_mutex_lock(&lock);
    while (*list && *list != wanted) list = &(*list)->next;
    struct handle *h = *list;
    if (h) *list = h->next;
    pthread_mutex_unlock(&lock);
    free(h);
    return h != NULL;
}

static size_t count_handles(const struct handle *list)
{
    size_t n = 0;
    pthread_mutex_lock(&lock);
    for (; list; list = list->next) n++;
    pthread_mutex_unlock(&lock);
    return n;
}

size_t simt_live_streams(void)
{
    return count_handles(streams);
}

size_t simt_live_events(void)
{
    return count_handles(events);
}

/* ---- streams ---- */

int simt_stream_is_valid(cudaStream_t stream)
{
    return !stream || stream == cudaStreamLegacy || stream == cudaStreamPerThread ||
           is_live(streams, stream);
}

int simt_stream_is_blocking(cudaStream_t stream)
{
    return stream != cudaStreamPerThread && is_live(streams, stream) &&
           !(stream->h.flags & cudaStreamNonBlocking);
}

static cudaError_t create_stream(cudaStream_t *stream, unsigned flags, int priority)
{
    if (!stream || flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
    struct handle *h = new_handle(&streams, flags);
    if (!h) return cudaErrorMemoryAllocation;
    h->priority = priority;
    *stream = (cudaStream_t)h;
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    SIMT_ENTER();
    return simt_record(create_stream(stream, cudaStreamDefault, 0));
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    SIMT_ENTER();
    return simt_record(create_stream(stream, flags, 0));
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority)
{
    SIMT_ENTER();
    return simt_record(create_stream(stream, flags, priority));
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    SIMT_ENTER();
    *least = *greatest = 0;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    SIMT_ENTER();
    FAIL_UNLESS(free_handle(&streams, stream), cudaErrorInvalidResourceHandle);
    simt_capture_forget(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    SIMT_ENTER();
    FAIL_UNLESS(simt_stream_is_valid(stream), cudaErrorInvalidResourceHandle);
    SIMT_TRY(simt_wait_for_stream(stream));
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    SIMT_ENTER();
    FAIL_UNLESS(simt_stream_is_valid(stream), cudaErrorInvalidResourceHandle);
    SIMT_TRY(simt_wait_for_stream(stream));
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    SIMT_ENTER();
    (void)flags;
    FAIL_UNLESS(simt_stream_is_valid(stream) && is_live(events, event),
                cudaErrorInvalidResourceHandle);
    /* Would draw this stream into the capture of another: not modelled. */
    FAIL_UNLESS(!event->h.captured || simt_is_capturing(stream), cudaErrorNotSupported);
    return cudaSuccess;
}

struct host_call {
    cudaHostFn_t function;
    void *data;
};

static cudaError_t call_host(const void *bytes)
{
    const struct host_call *c = bytes;
    c->function(c->data);
    return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data)
{
    SIMT_ENTER();
    FAIL_UNLESS(simt_stream_is_valid(stream), cudaErrorInvalidResourceHandle);
    const struct host_call c = {function, data};
    cudaError_t err;
    if (simt_capture(stream, call_host, &c, sizeof c, &err)) return simt_record(err);
    return call_host(&c);
}

/* ---- events ---- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    SIMT_ENTER();
    FAIL_UNLESS(event, cudaErrorInvalidValue);
    *event = (cudaEvent_t)new_handle(&events, flags);
    FAIL_UNLESS(*event, cudaErrorMemoryAllocation);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    SIMT_ENTER();
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    SIMT_ENTER();
    FAIL_UNLESS(free_handle(&events, event), cudaErrorInvalidResourceHandle);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    SIMT_ENTER();
    FAIL_UNLESS(is_live(events, event) && simt_stream_is_valid(stream),
                cudaErrorInvalidResourceHandle);
    clock_gettime(CLOCK_MONOTONIC, &event->h.time);
    event->h.captured = simt_is_capturing(stream);
    event->h.recorded = !event->h.captured;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    SIMT_ENTER();
    FAIL_UNLESS(is_live(events, event), cudaErrorInvalidResourceHandle);
    FAIL_UNLESS(!event->h.captured, cudaErrorCapturedEvent);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    SIMT_ENTER();
    FAIL_UNLESS(is_live(events, event), cudaErrorInvalidResourceHandle);
    FAIL_UNLESS(!event->h.captured, cudaErrorCapturedEvent);
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    SIMT_ENTER();
    FAIL_UNLESS(ms, cudaErrorInvalidValue);
    FAIL_UNLESS(is_live(events, start) && is_live(events, end), cudaErrorInvalidResourceHandle);
    FAIL_UNLESS(start->h.recorded && end->h.recorded &&
                    !((start->h.flags | end->h.flags) & cudaEventDisableTiming),
                cudaErrorInvalidResourceHandle);
    const double seconds = (double)(end->h.time.tv_sec - start->h.time.tv_sec) +
                           (double)(end->h.time.tv_nsec - start->h.time.tv_nsec) * 1e-9;
    *ms = (float)(seconds * 1e3);
    return cudaSuccess;
}

/* ---- devices ---- */

cudaError_t cudaGetDeviceCount(int *count)
{
    SIMT_ENTER();
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    SIMT_ENTER();
    FAIL_UNLESS(device == 0, cudaErrorInvalidDevice);
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    SIMT_ENTER();
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaSetDeviceFlags(unsigned flags)
{
    SIMT_ENTER();
    (void)flags;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    SIMT_ENTER();
    SIMT_TRY(simt_wait_for_device());
    return cudaSuccess;
}

/* Ends a sticky error and takes all resources with it; the one call that works after a fault. */
cudaError_t cudaDeviceReset(void)
{
    simt_clear_errors();
    SIMT_ENTER();
    simt_graphs_reset();
    simt_memory_reset();
    while (streams) free_handle(&streams, streams);
    while (events) free_handle(&events, events);
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    SIMT_ENTER();
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    SIMT_ENTER();
    *version = CUDART_VERSION;
    return cudaSuccess;
}

enum { REGISTERS = 65536, THREADS_PER_SM = 2048, BLOCKS_PER_SM = 32, SMEM_PER_SM = 228 << 10 };

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    SIMT_ENTER();
    FAIL_UNLESS(prop, cudaErrorInvalidValue);
    FAIL_UNLESS(device == 0, cudaErrorInvalidDevice);
    size_t free_bytes, total;
    const cudaError_t err = cudaMemGetInfo(&free_bytes, &total);
    if (err != cudaSuccess) return err;
    memset(prop, 0, sizeof *prop);
    strcpy(prop->name, "simt (CPU test bed)");
    prop->totalGlobalMem = total;
    prop->sharedMemPerBlock = SIMT_SMEM_STATIC_MAX;
    prop->sharedMemPerBlockOptin = SIMT_SMEM_MAX;
    prop->sharedMemPerMultiprocessor = SMEM_PER_SM;
    prop->reservedSharedMemPerBlock = 1024;
    prop->regsPerBlock = REGISTERS;
    prop->regsPerMultiprocessor = REGISTERS;
    prop->warpSize = 32;
    prop->memPitch = 0x7fffffff;
    prop->maxThreadsPerBlock = SIMT_THREADS_MAX;
    prop->maxThreadsPerMultiProcessor = THREADS_PER_SM;
    prop->maxBlocksPerMultiProcessor = BLOCKS_PER_SM;
    prop->maxThreadsDim[0] = prop->maxThreadsDim[1] = SIMT_THREADS_MAX;
    prop->maxThreadsDim[2] = SIMT_BLOCK_Z_MAX;
    prop->maxGridSize[0] = 0x7fffffff;
    prop->maxGridSize[1] = prop->maxGridSize[2] = SIMT_GRID_YZ_MAX;
    prop->totalConstMem = 64 << 10;
    prop->major = 8;
    prop->minor = 0;
    prop->multiProcessorCount = SIMT_SM_COUNT;
    prop->unifiedAddressing = 1;
    prop->memoryPoolsSupported = 1;
    prop->memoryBusWidth = 64;
    prop->l2CacheSize = 4 << 20;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    SIMT_ENTER();
    FAIL_UNLESS(value, cudaErrorInvalidValue);
    FAIL_UNLESS(device == 0, cudaErrorInvalidDevice);
    switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = 8; break;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
    case cudaDevAttrMultiProcessorCount: *value = SIMT_SM_COUNT; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrMaxThreadsPerBlock:
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY: *value = SIMT_THREADS_MAX; break;
    case cudaDevAttrMaxBlockDimZ: *value = SIMT_BLOCK_Z_MAX; break;
    case cudaDevAttrMaxGridDimX: *value = 0x7fffffff; break;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ: *value = SIMT_GRID_YZ_MAX; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = THREADS_PER_SM; break;
    case cudaDevAttrMaxBlocksPerMultiprocessor: *value = BLOCKS_PER_SM; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = SIMT_SMEM_STATIC_MAX; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = SIMT_SMEM_MAX; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = SMEM_PER_SM; break;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor: *value = REGISTERS; break;
    case cudaDevAttrL2CacheSize: *value = 4 << 20; break;
    case cudaDevAttrClockRate:
    case cudaDevAttrMemoryClockRate:
        *value = 1000000; /* kHz */
        break;
    case cudaDevAttrGlobalMemoryBusWidth: *value = 64; break;
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrMemoryPoolsSupported: *value = 1; break;
    default: *value = 0;
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int length, int device)
{
    static const char text[] = "0000:00:00.0";
    SIMT_ENTER();
    FAIL_UNLESS(device == 0, cudaErrorInvalidDevice);
    FAIL_UNLESS(id && length >= (int)sizeof text, cudaErrorInvalidValue);
    strcpy(id, text);
    return cudaSuccess;
}

/* Nobody is looking. */
cudaError_t cudaProfilerStart(void)
{
    SIMT_ENTER();
    return cudaSuccess;
}

cudaError_t cudaProfilerStop(void)
{
    SIMT_ENTER();
    return cudaSuccess;
}

/* Here nothing is set aside in a cache. */
cudaError_t cudaCtxResetPersistingL2Cache(void)
{
    SIMT_ENTER();
    return cudaSuccess;
}

/* ---- memory pools: settings of the allocator behind cudaMallocAsync(), of no effect ---- */

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int device)
{
    static char the_pool;
    SIMT_ENTER();
    FAIL_UNLESS(device == 0, cudaErrorInvalidDevice);
    *pool = (cudaMemPool_t)&the_pool;
    return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value)
{
    SIMT_ENTER();
    (void)attribute;
    FAIL_UNLESS(pool && value, cudaErrorInvalidValue);
    return cudaSuccess;
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t bytes)
{
    SIMT_ENTER();
    (void)bytes;
    FAIL_UNLESS(pool, cudaErrorInvalidValue);
    return cudaSuccess;
}

/* ---- functions ---- */

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value)
{
    SIMT_ENTER();
    FAIL_UNLESS(function, cudaErrorInvalidDeviceFunction);
    if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize)
        FAIL_UNLESS(value >= 0 && value <= SIMT_SMEM_MAX, cudaErrorInvalidValue);
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *function)
{
    SIMT_ENTER();
    FAIL_UNLESS(function, cudaErrorInvalidDeviceFunction);
    memset(attributes, 0, sizeof *attributes);
    attributes->maxThreadsPerBlock = SIMT_THREADS_MAX;
    attributes->maxDynamicSharedSizeBytes = SIMT_SMEM_MAX;
    attributes->numRegs = 32;
    attributes->binaryVersion = attributes->ptxVersion = 80;
    return cudaSuccess;
}

/* Registers and static shared memory of a kernel are not known here, so they do not count. */
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function,
                                                          int block_size, size_t smem)
{
    SIMT_ENTER();
    FAIL_UNLESS(blocks && function && block_size > 0, cudaErrorInvalidValue);
    int n = block_size > SIMT_THREADS_MAX || smem > SIMT_SMEM_MAX ? 0 : THREADS_PER_SM / block_size;
    if (n > BLOCKS_PER_SM) n = BLOCKS_PER_SM;
    if (smem && n > (int)(SMEM_PER_SM / smem)) n = (int)(SMEM_PER_SM / smem);
    *blocks = n;
    return cudaSuccess;
}
