/* SPDX-License-Identifier: MIT */
/* The runtime API of the test bed: what must work, what must fail, and with which error. */
#include "simt_control.h"
#include "test_simt.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define OK(call) assert_int_equal(call, cudaSuccess)

/* Returns err, leaves it as the last error once, and then no more. */
#define FAILS(call, err)                                                                           \
    do {                                                                                           \
        assert_int_equal(call, err);                                                               \
        assert_int_equal(cudaPeekAtLastError(), err);                                              \
        assert_int_equal(cudaGetLastError(), err);                                                 \
        assert_int_equal(cudaGetLastError(), cudaSuccess);                                         \
    } while (0)

void allocations(void **state)
{
    unsigned char *a, *b, host[100];
    size_t before, after, total;
    (void)state;
    OK(cudaMemGetInfo(&before, &total));
    OK(cudaMalloc((void **)&a, sizeof host));
    OK(cudaMallocAsync((void **)&b, 1000, 0));
    assert_int_equal((uintptr_t)a % 256, 0);
    assert_int_equal((uintptr_t)b % 256, 0);
    OK(cudaMemGetInfo(&after, &total));
    assert_int_equal(before - after, 1100);
    assert_int_equal(simt_live_allocations(), 2);
    assert_int_equal(simt_live_bytes(), 1100);

    OK(cudaMemcpy(host, a, sizeof host, cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < sizeof host; i++) assert_int_equal(host[i], 0xFF);

    FAILS(cudaFree(a + 1), cudaErrorInvalidValue);
    FAILS(cudaFree(host), cudaErrorInvalidValue);
    FAILS(cudaFreeHost(a), cudaErrorInvalidValue);
    OK(cudaFree(a));
    FAILS(cudaFree(a), cudaErrorInvalidValue);
    OK(cudaFreeAsync(b, 0));
    OK(cudaFree(NULL));
    void *nothing = host;
    OK(cudaMalloc(&nothing, 0));
    assert_null(nothing);
    assert_int_equal(simt_report_leaks(), 0);
}

void capacity(void **state)
{
    void *a, *b;
    (void)state;
    simt_set_capacity(1000);
    OK(cudaMalloc(&a, 600));
    FAILS(cudaMalloc(&b, 401), cudaErrorMemoryAllocation);
    FAILS(cudaMalloc(&b, SIZE_MAX), cudaErrorMemoryAllocation);
    OK(cudaMalloc(&b, 400));
    OK(cudaFree(a));
    OK(cudaFree(b));
    simt_set_capacity((size_t)2 << 30);
}

void copies(void **state)
{
    float host[12], back[12], *a, *b;
    (void)state;
    for (int i = 0; i < 12; i++) host[i] = (float)i;
    OK(cudaMalloc((void **)&a, sizeof host));
    OK(cudaMalloc((void **)&b, sizeof host));
    OK(cudaMemcpy(a, host, sizeof host, cudaMemcpyHostToDevice));
    OK(cudaMemcpy(b, a, sizeof host, cudaMemcpyDeviceToDevice));
    OK(cudaMemcpyAsync(back, b, sizeof host, cudaMemcpyDefault, 0));
    assert_memory_equal(back, host, sizeof host);
    OK(cudaMemset(b + 1, 0, sizeof *b));
    OK(cudaMemcpy(back, b, sizeof host, cudaMemcpyDeviceToHost));
    assert_true(back[0] == 0.0f && back[1] == 0.0f && back[2] == 2.0f);

    /* the left two columns of a 3x4 matrix, packed */
    OK(cudaMemcpy2D(back, 2 * sizeof *b, a, 4 * sizeof *b, 2 * sizeof *b, 3,
                    cudaMemcpyDeviceToHost));
    const float packed[6] = {0, 1, 4, 5, 8, 9};
    assert_memory_equal(back, packed, sizeof packed);

    /* zeros in the right two columns */
    OK(cudaMemset2D(a + 2, 4 * sizeof *a, 0, 2 * sizeof *a, 3));
    OK(cudaMemcpy(back, a, sizeof host, cudaMemcpyDeviceToHost));
    for (int i = 0; i < 12; i++) assert_true(back[i] == (i % 4 < 2 ? host[i] : 0.0f));
    FAILS(cudaMemset2DAsync(a, 4, 0, 8, 2, 0), cudaErrorInvalidPitchValue);

    /* wrong direction, wrong side, too long */
    FAILS(cudaMemcpy(host, a, 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    FAILS(cudaMemcpy(back, host, 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    FAILS(cudaMemcpy(a, b, 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    FAILS(cudaMemcpy(a + 1, host, sizeof host, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    FAILS(cudaMemset(host, 0, 4), cudaErrorInvalidValue);
    FAILS(cudaMemset(a, 0, sizeof host + 1), cudaErrorInvalidValue);
    FAILS(cudaMemcpy2D(back, 4, a, 16, 8, 3, cudaMemcpyDeviceToHost), cudaErrorInvalidPitchValue);
    FAILS(cudaMemcpy(a, host, 4, (enum cudaMemcpyKind)9), cudaErrorInvalidMemcpyDirection);
    OK(cudaMemcpy(NULL, NULL, 0, cudaMemcpyHostToDevice));
    OK(cudaFree(a));
    OK(cudaFree(b));
}

void pinned_memory(void **state)
{
    struct cudaPointerAttributes attributes;
    float *host, *device, local;
    (void)state;
    OK(cudaMallocHost((void **)&host, 64));
    OK(cudaMalloc((void **)&device, 64));
    host[0] = 5.0f;
    OK(cudaMemcpy(device, host, 64, cudaMemcpyHostToDevice));
    OK(cudaPointerGetAttributes(&attributes, host + 1));
    assert_int_equal(attributes.type, cudaMemoryTypeHost);
    OK(cudaPointerGetAttributes(&attributes, device + 1));
    assert_int_equal(attributes.type, cudaMemoryTypeDevice);
    OK(cudaPointerGetAttributes(&attributes, &local));
    assert_int_equal(attributes.type, cudaMemoryTypeUnregistered);
    FAILS(cudaFree(host), cudaErrorInvalidValue);
    OK(cudaFreeHost(host));
    OK(cudaHostAlloc((void **)&host, 64, cudaHostAllocDefault));
    OK(cudaFreeHost(host));
    OK(cudaFree(device));
}

void streams_and_events(void **state)
{
    cudaStream_t stream, other;
    cudaEvent_t start, end, untimed;
    float ms = -1.0f;
    (void)state;
    OK(cudaStreamCreate(&stream));
    OK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
    OK(cudaEventCreate(&start));
    OK(cudaEventCreate(&end));
    OK(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming));
    FAILS(cudaEventElapsedTime(&ms, start, end), cudaErrorInvalidResourceHandle);
    OK(cudaEventRecord(start, stream));
    OK(cudaEventRecord(end, stream));
    OK(cudaEventRecord(untimed, other));
    OK(cudaStreamWaitEvent(other, end, 0));
    OK(cudaEventSynchronize(end));
    OK(cudaEventQuery(end));
    OK(cudaStreamQuery(stream));
    OK(cudaStreamSynchronize(other));
    OK(cudaEventElapsedTime(&ms, start, end));
    assert_true(ms >= 0.0f);
    FAILS(cudaEventElapsedTime(&ms, start, untimed), cudaErrorInvalidResourceHandle);
    assert_int_equal(simt_live_streams(), 2);
    assert_int_equal(simt_live_events(), 3);
    OK(cudaEventDestroy(start));
    OK(cudaEventDestroy(end));
    OK(cudaEventDestroy(untimed));
    OK(cudaStreamDestroy(stream));
    OK(cudaStreamDestroy(other));
    FAILS(cudaStreamDestroy(stream), cudaErrorInvalidResourceHandle);
    FAILS(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle);
    FAILS(cudaEventRecord(end, 0), cudaErrorInvalidResourceHandle);
}

void device_queries(void **state)
{
    struct cudaDeviceProp prop;
    int n = 0, device = -1, value = 0;
    (void)state;
    OK(cudaGetDeviceCount(&n));
    assert_int_equal(n, 1);
    OK(cudaSetDevice(0));
    FAILS(cudaSetDevice(1), cudaErrorInvalidDevice);
    OK(cudaGetDevice(&device));
    assert_int_equal(device, 0);
    OK(cudaGetDeviceProperties(&prop, 0));
    assert_string_equal(prop.name, "simt (CPU test bed)");
    assert_int_equal(prop.major, 8);
    assert_int_equal(prop.multiProcessorCount, 4);
    OK(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    assert_int_equal(value, prop.sharedMemPerBlockOptin);
    OK(cudaDriverGetVersion(&value));
    assert_int_equal(value, CUDART_VERSION);
    assert_int_equal(test_blocks_per_sm(256, 0), 8);
    assert_int_equal(test_blocks_per_sm(32, 0), 32);
    assert_int_equal(test_blocks_per_sm(256, 100 << 10), 2);
    assert_int_equal(test_blocks_per_sm(256, 228 << 10), -1);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
    assert_string_equal(cudaGetErrorName(cudaErrorMemoryAllocation), "cudaErrorMemoryAllocation");
    assert_string_equal(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
    assert_string_equal(cudaGetErrorName((cudaError_t)123456), "unrecognized error code");
}

/* Launches that must be refused; none of them may run. */
void launch_limits(void **state)
{
    const struct {
        struct dim3 grid, block;
        cudaError_t err;
    } cases[] = {
        {{1, 1, 1}, {1024, 1, 1}, cudaSuccess},
        {{1, 1, 1}, {1025, 1, 1}, cudaErrorInvalidConfiguration},
        {{1, 1, 1}, {32, 33, 1}, cudaErrorInvalidConfiguration},
        {{1, 1, 1}, {1, 1, 65}, cudaErrorInvalidConfiguration},
        {{1, 1, 1}, {1, 1, 64}, cudaSuccess},
        {{1, 1, 1}, {0, 1, 1}, cudaErrorInvalidConfiguration},
        {{0, 1, 1}, {1, 1, 1}, cudaErrorInvalidConfiguration},
        {{1, 65536, 1}, {1, 1, 1}, cudaErrorInvalidConfiguration},
        {{1, 1, 65536}, {1, 1, 1}, cudaErrorInvalidConfiguration},
        {{0x80000000u, 1, 1}, {1, 1, 1}, cudaErrorInvalidConfiguration},
        {{1, 1, 1}, {65536, 65536, 1}, cudaErrorInvalidConfiguration},
    };
    unsigned *out, first;
    cudaStream_t gone;
    (void)state;
    OK(cudaMalloc((void **)&out, 1024 * sizeof *out));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        OK(cudaMemset(out, 0xEE, 1024 * sizeof *out));
        assert_int_equal(test_number_threads(out, cases[i].grid, cases[i].block, 0), cases[i].err);
        OK(cudaGetLastError()); /* the launch has cleared it */
        OK(cudaMemcpy(&first, out, sizeof first, cudaMemcpyDeviceToHost));
        assert_int_equal(first, cases[i].err == cudaSuccess ? 0 : 0xEEEEEEEEu);
    }
    const struct dim3 one = {1, 1, 1};
    OK(cudaStreamCreate(&gone));
    OK(test_number_threads(out, one, one, gone));
    OK(cudaStreamDestroy(gone));
    assert_int_equal(test_number_threads(out, one, one, gone), cudaErrorInvalidResourceHandle);
    OK(cudaGetLastError());
    const size_t kib = 1024;
    assert_int_equal(test_reverse((float *)out, 4, 228 * kib, 0), cudaErrorInvalidValue);
    OK(cudaGetLastError());
    OK(test_reverse((float *)out, 4, 227 * kib, 0));
    OK(cudaFree(out));
}

void injected_failures(void **state)
{
    const struct dim3 one = {1, 1, 1};
    unsigned *out, *other;
    (void)state;
    simt_inject("cudaMalloc", 2, cudaErrorMemoryAllocation, 0);
    assert_int_equal(simt_inject_pending(), 1);
    OK(cudaMalloc((void **)&out, 16));
    FAILS(cudaMalloc((void **)&other, 16), cudaErrorMemoryAllocation);
    assert_int_equal(simt_inject_pending(), 0);
    OK(cudaMalloc((void **)&other, 16));

    OK(cudaMemset(out, 0xEE, 16));
    simt_inject("launch", 1, cudaErrorLaunchOutOfResources, 0);
    assert_int_equal(test_number_threads(out, one, one, 0), cudaErrorLaunchOutOfResources);
    unsigned first;
    OK(cudaMemcpy(&first, out, sizeof first, cudaMemcpyDeviceToHost));
    assert_int_equal(first, 0xEEEEEEEEu); /* it did not run */
    OK(test_number_threads(out, one, one, 0));

    simt_inject("cudaStreamSynchronize", 0, cudaErrorLaunchFailure, 0);
    FAILS(cudaStreamSynchronize(0), cudaErrorLaunchFailure);
    FAILS(cudaStreamSynchronize(0), cudaErrorLaunchFailure);
    simt_inject_clear();
    OK(cudaStreamSynchronize(0));
    OK(cudaFree(out));
    OK(cudaFree(other));
}

void sticky_failures(void **state)
{
    const struct dim3 one = {1, 1, 1};
    unsigned *out, *other;
    int n;
    (void)state;
    OK(cudaMalloc((void **)&out, 16));
    simt_inject("cudaDeviceSynchronize", 1, cudaErrorIllegalAddress, 1);
    assert_int_equal(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cudaGetLastError(), cudaErrorIllegalAddress);
        assert_int_equal(cudaMalloc((void **)&other, 16), cudaErrorIllegalAddress);
        assert_int_equal(cudaFree(out), cudaErrorIllegalAddress);
        assert_int_equal(cudaGetDeviceCount(&n), cudaErrorIllegalAddress);
        assert_int_equal(test_number_threads(out, one, one, 0), cudaErrorIllegalAddress);
    }
    assert_int_equal(simt_live_allocations(), 1);
    OK(cudaDeviceReset());
    OK(cudaGetLastError());
    assert_int_equal(simt_live_allocations(), 0);
    OK(cudaMalloc((void **)&out, 16));
    OK(test_number_threads(out, one, one, 0));
    OK(cudaFree(out));
    simt_inject_clear();
}

static enum cudaStreamCaptureStatus status_of(cudaStream_t stream)
{
    enum cudaStreamCaptureStatus status;
    OK(cudaStreamIsCapturing(stream, &status));
    return status;
}

/* A kernel, a copy and a fill: nothing happens until the launch, then everything, every time. */
void graphs(void **state)
{
    const struct dim3 one = {1, 1, 1}, four = {4, 1, 1};
    unsigned *a, *b, host[4] = {0};
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    (void)state;
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    OK(cudaMalloc((void **)&a, sizeof host));
    OK(cudaMalloc((void **)&b, sizeof host));
    FAILS(cudaStreamBeginCapture(0, cudaStreamCaptureModeRelaxed),
          cudaErrorStreamCaptureUnsupported);
    FAILS(cudaStreamEndCapture(stream, &graph), cudaErrorIllegalState);
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    FAILS(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaErrorIllegalState);
    assert_int_equal(status_of(stream), cudaStreamCaptureStatusActive);
    OK(test_number_threads(a, one, four, stream));
    OK(cudaMemcpyAsync(b, a, sizeof host, cudaMemcpyDeviceToDevice, stream));
    OK(cudaMemsetAsync(b, 0, sizeof *b, stream));
    OK(cudaMemset2DAsync(b + 1, 8, 1, 4, 2, stream));
    OK(cudaStreamEndCapture(stream, &graph));
    assert_int_equal(status_of(stream), cudaStreamCaptureStatusNone);
    OK(cudaMemcpy(host, a, sizeof host, cudaMemcpyDeviceToHost));
    assert_int_equal(host[1], 0xFFFFFFFFu);
    OK(cudaGraphInstantiate(&exec, graph, 0));
    assert_int_equal(simt_live_graphs(), 2);
    OK(cudaGraphDestroy(graph));
    FAILS(cudaGraphDestroy(graph), cudaErrorInvalidValue);
    for (int k = 0; k < 2; k++) {
        OK(cudaMemset(a, 0xEE, sizeof host));
        OK(cudaGraphLaunch(exec, stream));
        OK(cudaMemcpy(host, b, sizeof host, cudaMemcpyDeviceToHost));
        assert_true(host[0] == 0 && host[1] == 0x01010101u && host[2] == 2 &&
                    host[3] == 0x01010101u);
    }
    /* memory that is gone is noticed */
    OK(cudaFree(a));
    FAILS(cudaGraphLaunch((cudaGraphExec_t)graph, stream), cudaErrorInvalidValue);
    OK(cudaGraphExecDestroy(exec));
    assert_int_equal(simt_live_graphs(), 0);
    OK(cudaFree(b));
    OK(cudaStreamDestroy(stream));
}

/* One call that the capture in this mode forbids, its error, and whether it ends the capture. */
static void forbidden(enum cudaStreamCaptureMode mode, unsigned flags, int call, cudaError_t err)
{
    static float host[4];
    float *device;
    void *p = NULL;
    cudaStream_t stream;
    cudaEvent_t event;
    cudaGraph_t graph = NULL;
    cudaError_t got = cudaSuccess;
    OK(cudaStreamCreateWithFlags(&stream, flags));
    OK(cudaEventCreate(&event));
    OK(cudaMalloc((void **)&device, sizeof host));
    OK(cudaStreamBeginCapture(stream, mode));
    switch (call) {
    case 0: got = cudaMalloc(&p, 16); break;
    case 1: got = cudaMallocHost(&p, 16); break;
    case 2: got = cudaStreamSynchronize(stream); break;
    case 3: got = cudaStreamQuery(stream); break;
    case 4: got = cudaDeviceSynchronize(); break;
    case 5: got = cudaMemcpyAsync(device, host, 16, cudaMemcpyHostToDevice, stream); break;
    case 6: got = cudaMemcpyAsync(host, device, 16, cudaMemcpyDeviceToHost, stream); break;
    case 7: got = cudaMemcpy(device, host, 16, cudaMemcpyHostToDevice); break;
    case 8: got = cudaMemset(device, 0, 16); break;
    case 9: got = cudaStreamSynchronize(0); break;
    default: fail();
    }
    if (got != err) fail_msg("call %d in mode %d: error %d, not %d", call, (int)mode, got, err);
    (void)cudaGetLastError();
    if (err == cudaSuccess) {
        OK(cudaStreamEndCapture(stream, &graph));
        OK(cudaGraphDestroy(graph));
        OK(call == 1 ? cudaFreeHost(p) : cudaFree(p));
    } else {
        assert_int_equal(status_of(stream), cudaStreamCaptureStatusInvalidated);
        FAILS(cudaMemsetAsync(device, 0, 16, stream), cudaErrorStreamCaptureInvalidated);
        FAILS(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
        assert_null(graph);
    }
    OK(cudaStreamSynchronize(stream)); /* as before */
    OK(cudaFree(device));
    OK(cudaEventDestroy(event));
    OK(cudaStreamDestroy(stream));
    assert_int_equal(simt_live_graphs(), 0);
}

void captures_forbid(void **state)
{
    const enum cudaStreamCaptureMode modes[] = {cudaStreamCaptureModeGlobal,
                                                cudaStreamCaptureModeThreadLocal,
                                                cudaStreamCaptureModeRelaxed};
    (void)state;
    for (int m = 0; m < 3; m++) {
        const cudaError_t unsafe = m < 2 ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
        for (int call = 0; call < 2; call++)
            forbidden(modes[m], cudaStreamNonBlocking, call, unsafe);
        for (int call = 2; call < 7; call++)
            forbidden(modes[m], cudaStreamNonBlocking, call, cudaErrorStreamCaptureUnsupported);
        for (int call = 7; call < 9; call++) {
            forbidden(modes[m], cudaStreamNonBlocking, call, unsafe);
            forbidden(modes[m], cudaStreamDefault, call,
                      m < 2 ? unsafe : cudaErrorStreamCaptureImplicit);
        }
        forbidden(modes[m], cudaStreamNonBlocking, 9, cudaSuccess);
        forbidden(modes[m], cudaStreamDefault, 9, cudaErrorStreamCaptureImplicit);
    }
}

void captured_events(void **state)
{
    cudaStream_t stream, other;
    cudaEvent_t event;
    cudaGraph_t graph;
    (void)state;
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    OK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
    OK(cudaEventCreate(&event));
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    OK(cudaEventRecord(event, stream));
    FAILS(cudaEventSynchronize(event), cudaErrorCapturedEvent);
    FAILS(cudaEventQuery(event), cudaErrorCapturedEvent);
    FAILS(cudaStreamWaitEvent(other, event, 0), cudaErrorNotSupported);
    OK(cudaStreamWaitEvent(stream, event, 0));
    OK(cudaStreamEndCapture(stream, &graph));
    OK(cudaGraphDestroy(graph));
    OK(cudaEventRecord(event, stream));
    OK(cudaEventSynchronize(event));
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    OK(cudaStreamDestroy(stream)); /* and its capture */
    assert_int_equal(simt_live_graphs(), 0);
    OK(cudaEventDestroy(event));
    OK(cudaStreamDestroy(other));
}
