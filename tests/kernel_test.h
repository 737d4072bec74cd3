/* SPDX-License-Identifier: MIT
 * kernel_test.h -- one harness for all kernel families: run an op on the device under test and on
 * `ref` (double), compare. The device is argv[1]: cpu, cuda, ref, or what a test build offers. The
 * process exits with 77 ("skipped") when that device cannot be opened here.
 *
 * Comparisons are written so that they cannot pass by accident: NaN against a number fails, an Inf
 * must match in sign, and a check over zero elements is a failure. */
#ifndef DLF_KERNEL_TEST_H
#define DLF_KERNEL_TEST_H
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cuda_library.h"
#include "dlf/backend.h"
#include "dlf/ops.h"
#include "dlf/rng.h"

#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "-ffast-math deletes NaN checks; never build tests with it"
#endif

static dlf_device *kt_dev; /* device under test */
static dlf_device *kt_ref; /* the definition    */

/* Fails the test with the library's own sentence. */
#define OK(call)                                                                                   \
    do {                                                                                           \
        const dlf_status ok_status_ = (call);                                                      \
        if (ok_status_ != DLF_OK)                                                                  \
            fail_msg("%s: %s (%s)", #call, dlf_status_text(ok_status_), dlf_error_message());      \
    } while (0)

/* Open the devices; call first thing in main. */
static inline void kt_open(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "cpu";
    const dlf_status status = dlf_device_open(&kt_dev, name);
    if (status == DLF_ERR_NO_DEVICE) {
        printf("skipped: %s\n", dlf_error_message());
        exit(77);
    }
    if (status != DLF_OK || dlf_device_open(&kt_ref, "ref") != DLF_OK) {
        printf("cannot open %s: %s\n", name, dlf_error_message());
        exit(1);
    }
}

/* Is it the CPU test bed (tests/simt)? There a case takes a hundred times as long. */
static inline bool kt_in_bed(void)
{
    return dlf_cuda_is_test_bed(kt_dev->info.name);
}

static inline int kt_close(int failures)
{
    if (kt_dev->bytes_live || kt_ref->bytes_live) {
        printf("leak: %zu bytes on %s, %zu on ref\n", kt_dev->bytes_live, kt_dev->info.backend,
               kt_ref->bytes_live);
        failures++;
    }
    dlf_device_close(kt_ref);
    dlf_device_close(kt_dev);
    return failures;
}

/* Real tensor on `dev` from host floats (NULL: every element NaN, so unwritten outputs show). */
static inline dlf_tensor kt_tensor_of(dlf_device *dev, const float *host, int ndim,
                                      const int64_t *shape)
{
    dlf_tensor t;
    OK(dlf_tensor_init(&t, dev, dev->real, ndim, shape));
    const size_t n = (size_t)dlf_tensor_count(&t);
    float *copy = malloc(n * sizeof *copy);
    assert_non_null(copy);
    for (size_t i = 0; i < n; i++) copy[i] = host ? host[i] : NAN;
    OK(dlf_tensor_upload(&t, copy));
    free(copy);
    return t;
}
#define kt_tensor(dev, host, ...)                                                                  \
    kt_tensor_of((dev), (host), (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),         \
                 (const int64_t[]){__VA_ARGS__})

/* A tensor of NaN with room around each member, and the view inside that holds `host` (NULL: NaN). */
typedef struct kt_placed {
    dlf_tensor whole, view;
} kt_placed;

static inline kt_placed kt_place(dlf_device *dev, const float *host, int ndim, const int64_t *shape,
                                 int64_t before, int64_t after)
{
    int64_t n = 1;
    for (int i = 1; i < ndim; i++) n *= shape[i];
    const int64_t pitch = before + n + after;
    float *all = malloc((size_t)(shape[0] * pitch) * sizeof *all);
    assert_non_null(all);
    for (int64_t i = 0; i < shape[0] * pitch; i++) all[i] = NAN;
    for (int64_t p = 0; host && p < shape[0]; p++)
        memcpy(all + p * pitch + before, host + p * n, (size_t)n * sizeof *all);
    kt_placed t = {.whole = kt_tensor(dev, all, shape[0], pitch)};
    t.view = dlf_tensor_window(&t.whole, before, ndim, shape);
    free(all);
    return t;
}

/* Storage tensor on the device under test, and the same rounded values on ref. `host` NULL: NaN. */
static inline void kt_storage_pair(dlf_tensor *on_dev, dlf_tensor *on_ref, dlf_dtype dtype,
                                   const float *host, int ndim, const int64_t *shape)
{
    OK(dlf_tensor_init(on_dev, kt_dev, kt_dev->real == DLF_F32 ? dtype : kt_dev->real, ndim,
                       shape));
    OK(dlf_tensor_init(on_ref, kt_ref, DLF_F64, ndim, shape));
    const size_t n = (size_t)dlf_tensor_count(on_dev);
    double *copy = malloc(n * sizeof *copy);
    assert_non_null(copy);
    for (size_t i = 0; i < n; i++) copy[i] = host ? (double)host[i] : (double)NAN;
    OK(dlf_tensor_upload_f64(on_dev, copy));
    OK(dlf_tensor_download_f64(copy, on_dev));
    OK(dlf_tensor_upload_f64(on_ref, copy));
    free(copy);
}

/* Relative error of one rounding to `dtype`. */
static inline double kt_rounding(dlf_dtype dtype)
{
    return dtype == DLF_F16 ? 0x1p-11 : dtype == DLF_BF16 ? 0x1p-8 : 0x1p-24;
}

/* scale * N(0,1) + shift, reproducible; malloc'ed. */
static inline float *kt_random(int64_t n, uint32_t stream, float scale, float shift)
{
    float *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++)
        x[i] =
            scale * dlf_rng_normal(20260101, dlf_stream(DLF_PURPOSE_TEST, stream), 0, (uint64_t)i) +
            shift;
    return x;
}

/* Worst |got-want| / (atol + rtol |want|) over all elements; infinite if a NaN or Inf stands on one
 * side only. Pass means <= 1. NaN against NaN agrees. */
static inline double kt_worst(const dlf_tensor *got, const dlf_tensor *want, double atol,
                              double rtol)
{
    const int64_t n = dlf_tensor_count(got);
    assert_int_equal(n, dlf_tensor_count(want));
    assert_true(n > 0);
    double *g = malloc((size_t)n * sizeof *g), *w = malloc((size_t)n * sizeof *w);
    assert_non_null(g);
    assert_non_null(w);
    OK(dlf_tensor_download_f64(g, got));
    OK(dlf_tensor_download_f64(w, want));
    double worst = 0.0;
    for (int64_t i = 0; i < n; i++) {
        if (g[i] == w[i] || (isnan(g[i]) && isnan(w[i]))) continue;
        double e = fabs(g[i] - w[i]) / (atol + rtol * fabs(w[i]));
        if (!isfinite(g[i]) || !isfinite(w[i]) || isnan(e)) e = INFINITY;
        if (e > worst) {
            worst = e;
            if (e > 1.0)
                printf("  [%lld] got %.9g want %.9g: %.3g x tolerance\n", (long long)i, g[i], w[i],
                       e);
        }
    }
    free(g);
    free(w);
    return worst;
}

/* kt_close(cmocka_run_group_tests(...)) is the exit status of main. */
#endif
