/* SPDX-License-Identifier: MIT
 * sgd_cpu.c -- the optimiser step in one pass over w, v and g. */
#include "cpu.h"

enum { CHUNK = 8192 };

typedef struct step {
    float rate, s, momentum, decay;
} step;

static void with_velocity(float *w, float *v, const float *g, int64_t n, step k)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float d = fmaf(k.decay, w[i], k.s * g[i]);
        v[i] = fmaf(k.momentum, v[i], d);
        w[i] = fmaf(-k.rate, v[i], w[i]);
    }
}

static void without_velocity(float *w, const float *g, int64_t n, step k)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float d = fmaf(k.decay, w[i], k.s * g[i]);
        w[i] = fmaf(-k.rate, d, w[i]);
    }
}

dlf_status DLF_CPU(sgd_step)(dlf_tensor *w, dlf_tensor *v, const dlf_tensor *g,
                             const dlf_tensor *lr, const dlf_tensor *g_scale, dlf_sgd_args args)
{
    const int64_t P = w->shape[0], n = dlf_tensor_member_count(w);
    const int64_t chunks = (n + CHUNK - 1) / CHUNK;
    const int threads = dlf_cpu_threads(w, 0.3 * (double)(P * n));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < P * chunks; task++) {
        const int64_t p = task / chunks, i = task % chunks * CHUNK;
        const int64_t count = n - i < CHUNK ? n - i : CHUNK;
        const step k = {
            .rate = ((const float *)lr->data)[p * lr->stride],
            .s = g_scale ? ((const float *)g_scale->data)[p * g_scale->stride] : 1.0f,
            .momentum = (float)args.momentum,
            .decay = (float)args.weight_decay,
        };
        if (k.rate == 0.0f) continue; /* frozen */
        float *w_p = (float *)w->data + p * w->stride + i;
        const float *g_p = (const float *)g->data + p * g->stride + i;
        if (v)
            with_velocity(w_p, (float *)v->data + p * v->stride + i, g_p, count, k);
        else
            without_velocity(w_p, g_p, count, k);
    }
    return DLF_OK;
}
