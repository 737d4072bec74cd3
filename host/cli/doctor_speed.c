/* SPDX-License-Identifier: MIT
 * doctor_speed.c -- how fast this device copies and multiplies. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "dlf/rng.h"

enum { REPETITIONS = 7, WARM_UP = 2 };

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Bytes of each of the two buffers: far beyond the last cache, but at most 1/16 of the memory. */
static int64_t copy_bytes(const dlf_device *dev)
{
    const int64_t MiB = 1 << 20, memory = dev->info.memory_bytes;
    const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    int64_t bytes = 512 * MiB;
    if (strcmp(dev->info.backend, "cuda") != 0) bytes = 4 * (int64_t)(cache > 0 ? cache : 0);
    if (bytes < 256 * MiB) bytes = 256 * MiB;
    if (bytes > 512 * MiB) bytes = 512 * MiB;
    return memory > 0 && bytes > memory / 16 ? memory / 16 / MiB * MiB : bytes;
}

/* Median nanoseconds of copying src to dst. */
static dlf_status time_copy(dlf_device *dev, dlf_tensor *dst, const dlf_tensor *src, double *median)
{
    double ns[REPETITIONS];
    for (int i = -WARM_UP; i < REPETITIONS; i++) {
        double one;
        DLF_TRY(dev->backend->time_start(dev));
        DLF_TRY(dlf_tensor_copy(dst, src));
        DLF_TRY(dev->backend->time_stop(dev, &one));
        if (i >= 0) ns[i] = one;
    }
    qsort(ns, REPETITIONS, sizeof ns[0], by_value);
    *median = ns[REPETITIONS / 2];
    return DLF_OK;
}

static dlf_status measure_copy(doctor *d, dlf_device *dev)
{
    dlf_tensor a = {0}, b = {0};
    dlf_status status;
    double ns;
    const int64_t rows = copy_bytes(dev) / (1 << 20);
    const int64_t columns = (1 << 20) / (int64_t)dlf_dtype_size(dev->real);
    DLF_TRY_DONE(dlf_tensor_new(&a, dev, dev->real, rows, columns));
    DLF_TRY_DONE(dlf_tensor_new(&b, dev, dev->real, rows, columns));
    DLF_TRY_DONE(dlf_tensor_zero(&a)); /* touch every page before the clock runs */
    DLF_TRY_DONE(dlf_tensor_zero(&b));
    DLF_TRY_DONE(time_copy(dev, &b, &a, &ns));
    const double rate = 2.0 * (double)(rows << 20) / ns; /* bytes per ns: read and written */
    doctor_item *item = doctor_add(d, "copy", DOCTOR_OK, (dlf_text){NULL, NULL},
                                   "%.1f GB/s read + write (2 x %lld MiB, median of %d)", rate,
                                   (long long)rows, REPETITIONS);
    item->number = rate;
    item->unit = "GB/s";
done:
    dlf_tensor_free(&b);
    dlf_tensor_free(&a);
    return status;
}

static dlf_status time_gemm(dlf_device *dev, dlf_tensor *c, const dlf_tensor *a,
                            const dlf_tensor *b, double *median)
{
    double ns[REPETITIONS];
    for (int i = -WARM_UP; i < REPETITIONS; i++) {
        double one;
        DLF_TRY(dev->backend->time_start(dev));
        DLF_TRY(dlf_gemm(c, a, b, (dlf_gemm_args){.alpha = 1.0}));
        DLF_TRY(dev->backend->time_stop(dev, &one));
        if (i >= 0) ns[i] = one;
    }
    qsort(ns, REPETITIONS, sizeof ns[0], by_value);
    *median = ns[REPETITIONS / 2];
    return DLF_OK;
}

static dlf_status measure_gemm(doctor *d, dlf_device *dev)
{
    /* ref multiplies with three loops; 1024 would take seconds. */
    const int64_t n = strcmp(dev->info.backend, "ref") == 0 ? 128 : 1024;
    dlf_tensor a = {0}, b = {0}, c = {0};
    dlf_status status;
    double ns;
    DLF_TRY_DONE(dlf_tensor_new(&a, dev, dev->real, 1, n, n));
    DLF_TRY_DONE(dlf_tensor_new(&b, dev, dev->real, 1, n, n));
    DLF_TRY_DONE(dlf_tensor_new(&c, dev, dev->real, 1, n, n));
    /* Random numbers: zeros draw less power and run faster on a GPU. */
    DLF_TRY_DONE(dlf_random_normal(&a, NULL, NULL, (dlf_rng){1, dlf_stream(DLF_PURPOSE_TEST, 0)}));
    DLF_TRY_DONE(dlf_random_normal(&b, NULL, NULL, (dlf_rng){1, dlf_stream(DLF_PURPOSE_TEST, 1)}));
    DLF_TRY_DONE(time_gemm(dev, &c, &a, &b, &ns));
    const double rate = 2.0 * (double)(n * n * n) / ns; /* flop per ns */
    doctor_item *item = doctor_add(d, "gemm", DOCTOR_OK, (dlf_text){NULL, NULL},
                                   "%.1f GFLOP/s %s (%lld^3, median of %d)", rate,
                                   dlf_dtype_name(dev->real), (long long)n, REPETITIONS);
    item->number = rate;
    item->unit = "GFLOP/s";
done:
    dlf_tensor_free(&c);
    dlf_tensor_free(&b);
    dlf_tensor_free(&a);
    return status;
}

void doctor_measure(doctor *d, dlf_device *dev)
{
    const dlf_text advice = {"此设备不可靠：换一个 --device",
                             "do not trust this device; try another --device"};
    if (measure_copy(d, dev) != DLF_OK)
        doctor_add(d, "copy", DOCTOR_FAIL, advice, "%s", dlf_error_message());
    if (measure_gemm(d, dev) != DLF_OK)
        doctor_add(d, "gemm", DOCTOR_FAIL, advice, "%s", dlf_error_message());
}
