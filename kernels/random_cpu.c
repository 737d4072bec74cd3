/* SPDX-License-Identifier: MIT
 * random_cpu.c -- normal and uniform draws, a vector of Philox blocks at a time; bit for bit what
 * rng.h gives one at a time. */
#include "cpu.h"
#include "cpu_philox.h"
#include "dlf/rng.h"

enum {
    GROUP = 32,   /* numbers searched for a tail at once */
    CHUNK = 448,  /* words between Philox and transform */
    PIECE = 8192, /* elements that one thread takes     */
    COST = 32     /* operations per number              */
};

/* What becomes of the bits. */
typedef struct transform {
    bool normal;
    float scale;     /* normal  */
    float lo, range; /* uniform */
} transform;

/* Loops with short dependency chains: they overlap better than one with a long chain. All numbers
 * are first taken for central ones; the one in 300 that lies in a tail is then done again. `bits`
 * is filled up to a multiple of GROUP. */
static void normals(float *restrict out, const uint32_t *restrict bits, int n, float scale)
{
    _Alignas(64) float w[CHUNK], y[CHUNK];
    const int padded = (n + GROUP - 1) / GROUP * GROUP;
    for (int i = 0; i < padded; i++) {
        const dlf_normal_half h = dlf_normal_begin(bits[i]);
        w[i] = h.w;
        y[i] = h.y;
    }
    for (int i = 0; i < n; i++)
        out[i] = scale * dlf_normal_end(dlf_normal_centre(w[i]), (dlf_normal_half){w[i], y[i]});
    for (int from = 0; from < padded; from += GROUP) {
        int tails = 0;
        for (int i = 0; i < GROUP; i++) tails |= !(w[from + i] < 5.0f);
        if (!tails) continue;
        for (int i = from; i < from + GROUP && i < n; i++)
            if (!(w[i] < 5.0f)) out[i] = scale * dlf_normal_of_bits(bits[i]);
    }
}

/* Elements begin .. end-1 of one member; begin is a multiple of 4. */
static void fill(float *x, int64_t begin, int64_t end, dlf_rng rng, uint32_t member, transform t)
{
    _Alignas(64) uint32_t bits[CHUNK];
    for (int64_t i = begin; i < end; i += CHUNK) {
        const int n = (int)(end - i < CHUNK ? end - i : CHUNK);
        for (int w = 0; w < n; w += PHILOX_WORDS)
            philox_words(bits + w, (uint64_t)(i + w) / 4, rng.seed, rng.stream, member);
        if (t.normal)
            normals(x + i, bits, n, t.scale);
        else
            for (int w = 0; w < n; w++)
                x[i + w] = fmaf(t.range, dlf_uniform_of_bits(bits[w]), t.lo);
    }
}

static dlf_status draw(dlf_tensor *x, const dlf_tensor *member, const dlf_tensor *scale,
                       dlf_rng rng, transform t)
{
    const int64_t P = x->shape[0], n = dlf_tensor_member_count(x);
    const int64_t pieces = (n + PIECE - 1) / PIECE;
    const int threads = dlf_cpu_threads(x, (double)P * (double)n * COST);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t job = 0; job < P * pieces; job++) {
        const int64_t p = job / pieces, begin = job % pieces * PIECE;
        const int64_t end = begin + PIECE < n ? begin + PIECE : n;
        const uint32_t id =
            (uint32_t)(member ? ((const int32_t *)member->data)[p * member->stride] : p);
        transform mine = t;
        if (scale) mine.scale = ((const float *)scale->data)[p * scale->stride];
        fill((float *)x->data + p * x->stride, begin, end, rng, id, mine);
    }
    return DLF_OK;
}

dlf_status DLF_CPU(random_normal)(dlf_tensor *x, const dlf_tensor *member, const dlf_tensor *scale,
                                  dlf_rng rng)
{
    return draw(x, member, scale, rng, (transform){.normal = true, .scale = 1.0f});
}

dlf_status DLF_CPU(random_uniform)(dlf_tensor *x, const dlf_tensor *member, double lo, double hi,
                                   dlf_rng rng)
{
    return draw(x, member, NULL, rng, (transform){.lo = (float)lo, .range = (float)(hi - lo)});
}
