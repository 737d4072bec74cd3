/* SPDX-License-Identifier: MIT
 * adam_cpu.c -- the step in one pass over w, m, v and g. The three that are written were read, so
 * that plain stores cost no extra traffic. */
#include "adam_power.h"
#include "cpu.h"

enum { CHUNK = 4096 }; /* four such arrays fit a 128 KiB second-level cache */

/* What is the same for a whole member. */
typedef struct step {
    float s, l2;          /* d = s g + l2 w                             */
    float beta1, gain1;   /* gain = 1 - beta, rounded from double       */
    float beta2, gain2;   /*                                            */
    float rate, root;     /* lr / (1-beta1^t) and 1 / sqrt(1-beta2^t)   */
    float eps, shrinkage; /* w loses shrinkage w: lr lambda if decoupled */
} step;

static inline __attribute__((always_inline)) void update(float *restrict w, float *restrict m,
                                                         float *restrict v, const float *restrict g,
                                                         int64_t n, step k, bool decoupled)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float scaled = k.s * g[i];
        const float d = decoupled ? scaled : fmaf(k.l2, w[i], scaled);
        const float mi = fmaf(k.beta1, m[i], k.gain1 * d);
        const float vi = fmaf(k.gain2 * d, d, k.beta2 * v[i]);
        const float kept = decoupled ? fmaf(-k.shrinkage, w[i], w[i]) : w[i];
        m[i] = mi;
        v[i] = vi;
        w[i] = fmaf(-k.rate, mi / fmaf(sqrtf(vi), k.root, k.eps), kept);
    }
}

static void coupled(float *w, float *m, float *v, const float *g, int64_t n, step k)
{
    update(w, m, v, g, n, k, false);
}

static void decoupled(float *w, float *m, float *v, const float *g, int64_t n, step k)
{
    update(w, m, v, g, n, k, true);
}

dlf_status DLF_CPU(adam_step)(dlf_tensor *w, dlf_tensor *m, dlf_tensor *v, const dlf_tensor *g,
                              const dlf_tensor *lr, const dlf_tensor *g_scale,
                              const dlf_tensor *clock, dlf_adam_args args)
{
    const int64_t P = w->shape[0], n = dlf_tensor_member_count(w);
    const int64_t chunks = (n + CHUNK - 1) / CHUNK;
    const int64_t t = clock ? (int64_t) * (const int32_t *)clock->data + 1 : args.step;
    const dlf_adam_corrections c = dlf_adam_corrections_at(args.beta1, args.beta2, t);
    const int threads = dlf_cpu_threads(w, (double)(P * n));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < P * chunks; task++) {
        const int64_t p = task / chunks, i = task % chunks * CHUNK;
        const int64_t count = n - i < CHUNK ? n - i : CHUNK;
        const float rate = ((const float *)lr->data)[p * lr->stride];
        if (rate == 0.0f) continue; /* frozen */
        const step k = {
            .s = g_scale ? ((const float *)g_scale->data)[p * g_scale->stride] : 1.0f,
            .l2 = (float)args.weight_decay,
            .beta1 = (float)args.beta1,
            .gain1 = (float)(1.0 - args.beta1),
            .beta2 = (float)args.beta2,
            .gain2 = (float)(1.0 - args.beta2),
            .rate = (float)((double)rate / c.first),
            .root = c.root,
            .eps = (float)args.eps,
            .shrinkage = (float)((double)rate * args.weight_decay),
        };
        (args.decoupled ? decoupled : coupled)(
            (float *)w->data + p * w->stride + i, (float *)m->data + p * m->stride + i,
            (float *)v->data + p * v->stride + i, (const float *)g->data + p * g->stride + i, count,
            k);
    }
    return DLF_OK;
}
