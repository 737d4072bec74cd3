/* SPDX-License-Identifier: MIT
 * evict.c -- cold caches. */
#include "bench/evict.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/measure.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

enum { LINE = 64 };

static bool on_gpu(const bench_evictor *e)
{
    return !strcmp(e->device->backend->name, "cuda");
}

#if defined(__x86_64__)
static bool has_clflushopt(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 23 & 1u);
}

__attribute__((target("clflushopt"))) static void flush_unordered(char *p, int64_t lines)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < lines; i++) _mm_clflushopt(p + i * LINE);
    _mm_mfence();
}

static void flush_ordered(char *p, int64_t lines)
{
    for (int64_t i = 0; i < lines; i++) _mm_clflush(p + i * LINE);
    _mm_mfence();
}

static void flush(char *p, int64_t bytes)
{
    static int optimised = -1;
    if (optimised < 0) optimised = has_clflushopt();
    const int64_t lines = (bytes + LINE - 1) / LINE;
    if (optimised)
        flush_unordered(p, lines);
    else
        flush_ordered(p, lines);
}
#endif

dlf_status bench_evictor_new(bench_evictor *e, dlf_device *device)
{
    *e = (bench_evictor){.device = device};
    if (on_gpu(e)) {
        DLF_TRY(dlf_cuda_gate_new(&e->gate, device));
        const int64_t mib = 2 * (int64_t)device->info.threads;
        return dlf_tensor_new(&e->sweep, device, DLF_F32, mib < 256 ? mib : 256, 1 << 18);
    }
#if !defined(__x86_64__)
    const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    e->walk_size = 2 * (size_t)(cache > 0 ? cache : 64 << 20);
    e->walk = malloc(e->walk_size);
    if (!e->walk) return dlf_fail(DLF_ERR_OOM, "dlf bench: no memory to walk through the caches");
    memset(e->walk, 1, e->walk_size);
#endif
    return DLF_OK;
}

void bench_evictor_free(bench_evictor *e)
{
    dlf_tensor_free(&e->sweep);
    if (e->gate) dlf_cuda_gate_free(e->gate, e->device);
    e->gate = NULL;
    free(e->walk);
    e->walk = NULL;
}

dlf_status bench_evict(bench_evictor *e, const bench_subject *s)
{
    if (on_gpu(e)) {
        DLF_TRY(dlf_cuda_reset_persisting(e->device));
        return dlf_tensor_zero(&e->sweep);
    }
#if defined(__x86_64__)
    for (int i = 0; i < SUBJECT_TENSORS; i++)
        if (s->role[i] != ABSENT)
            flush(s->t[i].data,
                  dlf_tensor_count(&s->t[i]) * (int64_t)dlf_dtype_size(s->t[i].dtype));
#else
    volatile char sink = 0;
    for (size_t i = 0; i < e->walk_size; i += LINE) sink = (char)(sink + e->walk[i]);
    (void)s;
#endif
    return DLF_OK;
}
