/* SPDX-License-Identifier: MIT
 * test_backend_faults.c -- every CUDA call that the backend makes fails once, at every place where
 * it is made: the failure comes back as a status with a sentence, nothing leaks, and the next
 * device works. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend/measure.h"
#include "dlf/backend.h"
#include "simt_control.h"

enum { N = 64, ROUNDS_MAX = 200 };

static dlf_status recorded_ops(dlf_tensor *a, dlf_tensor *b, dlf_tensor *w, dlf_tensor *moments)
{
    DLF_TRY(dlf_gemm(b, a, a, (dlf_gemm_args){.alpha = 1.0}));
    DLF_TRY(dlf_moments(moments, b)); /* scratch memory */
    DLF_TRY(dlf_tensor_zero(w));
    return dlf_tensor_copy(a, b);
}

/* What a small experiment does with a device. Frees what it made, whatever happens. */
static dlf_status small_job(void)
{
    dlf_status status;
    dlf_device *dev = NULL;
    dlf_tensor a = {0}, b = {0}, moments = {0}, loss = {0}, labels = {0}, lr = {0}, w = {0};
    float host[2 * N * N] = {0}, back[2 * N * N];
    double values[2 * DLF_MOMENTS];
    const int32_t zeros[2 * N] = {0};
    dlf_recording *recording = NULL;
    dlf_cuda_gate *gate = NULL;
    DLF_TRY(dlf_device_open(&dev, "cuda"));
    DLF_TRY_DONE(dlf_tensor_new(&a, dev, DLF_F32, 2, N, N));
    DLF_TRY_DONE(dlf_tensor_new(&b, dev, DLF_F32, 2, N, N));
    DLF_TRY_DONE(dlf_tensor_new(&w, dev, DLF_F32, 2, N));
    DLF_TRY_DONE(dlf_tensor_new(&lr, dev, DLF_F32, 2));
    DLF_TRY_DONE(dlf_tensor_new(&loss, dev, DLF_F32, 2, N));
    DLF_TRY_DONE(dlf_tensor_new(&labels, dev, DLF_I32, 2, N));
    DLF_TRY_DONE(dlf_tensor_new(&moments, dev, DLF_F64, 2, DLF_MOMENTS));
    DLF_TRY_DONE(dlf_tensor_upload(&a, host));
    DLF_TRY_DONE(dlf_tensor_upload_i32(&labels, zeros));
    DLF_TRY_DONE(dlf_tensor_zero(&w));
    DLF_TRY_DONE(dlf_tensor_zero(&lr));
    DLF_TRY_DONE(dlf_random_normal(&a, NULL, NULL, (dlf_rng){1, 2}));
    DLF_TRY_DONE(dlf_gemm(&b, &a, &a, (dlf_gemm_args){.alpha = 1.0}));
    DLF_TRY_DONE(dlf_bias_add(&b, &b, &w));
    DLF_TRY_DONE(dlf_activation_forward(&a, &b, dlf_activation_of(DLF_TANH)));
    DLF_TRY_DONE(dlf_bias_grad(&w, &a, 0.0));
    DLF_TRY_DONE(dlf_softmax_xent_forward(&loss, NULL, &a, &labels));
    DLF_TRY_DONE(dlf_moments(&moments, &a));
    DLF_TRY_DONE(dlf_tensor_copy(&b, &a));
    DLF_TRY_DONE(dlf_tensor_download(back, &b));
    DLF_TRY_DONE(dlf_tensor_download_f64(values, &moments));
    DLF_TRY_DONE(dlf_record_begin(dev));
    status = recorded_ops(&a, &b, &w, &moments);
    const dlf_status ended = dlf_record_end(dev, &recording);
    if (status == DLF_OK) status = ended;
    DLF_TRY_DONE(status);
    DLF_TRY_DONE(dlf_replay(recording));
    DLF_TRY_DONE(dlf_replay(recording));
    DLF_TRY_DONE(dlf_cuda_gate_new(&gate, dev));
    DLF_TRY_DONE(dlf_device_sync(dev));
done:
    dlf_cuda_gate_free(gate, dev);
    dlf_recording_free(recording);
    dlf_tensor_free(&a);
    dlf_tensor_free(&b);
    dlf_tensor_free(&w);
    dlf_tensor_free(&lr);
    dlf_tensor_free(&loss);
    dlf_tensor_free(&labels);
    dlf_tensor_free(&moments);
    dlf_device_close(dev);
    return status;
}

static const char *const calls[] = {
    "cudaGetDeviceCount",
    "cudaSetDevice",
    "cudaGetDeviceProperties",
    "cudaDriverGetVersion",
    "cudaRuntimeGetVersion",
    "cudaMemGetInfo",
    "cudaStreamCreateWithFlags",
    "cudaStreamSynchronize",
    "cudaMalloc",
    "cudaHostAlloc",
    "cudaMemcpy2DAsync",
    "cudaMemcpyAsync",
    "cudaMemset2DAsync",
    "cudaMemsetAsync",
    "cudaEventCreate",
    "cudaEventCreateWithFlags",
    "cudaStreamBeginCapture",
    "cudaStreamEndCapture",
    "cudaGraphInstantiate",
    "cudaGraphLaunch",
    "launch",
};

/* Fail the 1st, 2nd, ... call of `name` until the job no longer reaches the nth. */
static int fail_everywhere(const char *name, int sticky)
{
    int failed = 0;
    for (int nth = 1; nth < ROUNDS_MAX; nth++) {
        dlf_error_clear();
        simt_inject(name, nth, cudaErrorUnknown, sticky);
        const dlf_status status = small_job();
        const int not_reached = simt_inject_pending();
        simt_inject_clear();
        if (sticky) (void)cudaDeviceReset();
        (void)cudaGetLastError();
        if (simt_live_allocations() != 0 || simt_live_streams() != 0 || simt_live_events() != 0 ||
            simt_live_graphs() != 0)
            fail_msg("%s, call %d: %zu allocations, %zu streams, %zu events, %zu graphs leak", name,
                     nth, simt_live_allocations(), simt_live_streams(), simt_live_events(),
                     simt_live_graphs());
        if (not_reached) {
            if (status != DLF_OK) fail_msg("%s: %s", name, dlf_error_message());
            return failed;
        }
        if (status != DLF_OK) {
            failed++;
            if (!dlf_error_message()[0])
                fail_msg("%s, call %d: a status but no sentence", name, nth);
        }
    }
    fail_msg("%s: still called after %d rounds", name, ROUNDS_MAX);
    return failed;
}

static void every_call_may_fail(void **state)
{
    int total = 0;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        total += fail_everywhere(calls[i], 0);
    assert_true(total > 20); /* the injections do reach the backend */
    assert_true(fail_everywhere("launch", 0) >= 5);
    assert_true(fail_everywhere("cudaMalloc", 0) >= 1);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (strstr(calls[i], "Capture") || strstr(calls[i], "Graph"))
            assert_true(fail_everywhere(calls[i], 0) >= 1);
}

static void sticky_errors_end_with_the_device(void **state)
{
    assert_true(fail_everywhere("launch", 1) >= 5);
    assert_true(fail_everywhere("cudaStreamSynchronize", 1) >= 1);
    assert_true(fail_everywhere("cudaStreamEndCapture", 1) >= 1);
    assert_true(fail_everywhere("cudaGraphLaunch", 1) >= 1);
    const dlf_status status = small_job(); /* after the reset everything works again */
    if (status != DLF_OK) fail_msg("%s", dlf_error_message());
}

static void a_full_device_says_so(void **state)
{
    simt_set_capacity(1 << 16);
    const dlf_status status = small_job();
    simt_set_capacity((size_t)2 << 30);
    assert_int_equal(status, DLF_ERR_OOM);
    assert_non_null(strstr(dlf_error_message(), "MiB"));
    assert_int_equal(simt_live_allocations(), 0);
    assert_int_equal(small_job(), DLF_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_may_fail),
        cmocka_unit_test(sticky_errors_end_with_the_device),
        cmocka_unit_test(a_full_device_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
