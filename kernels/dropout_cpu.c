/* SPDX-License-Identifier: MIT
 * dropout_cpu.c -- dropout in pieces that stay in cache: draw the words of a chunk, then multiply.
 * No mask is stored; the words of rng.h are drawn again in backward. */
#include "cpu.h"
#include "cpu_philox.h"
#include "cpu_storage.h"
#include "dlf/rng.h"

enum {
    CHUNK = 2048,  /* words drawn at a time: 8 KiB                                       */
    PIECE = 8192,  /* elements that one thread takes                                     */
    SHORT_RUN = 16 /* shorter runs are spread over an array first, to multiply in one go */
};

/* What is the same for a whole member. */
typedef struct mask {
    dlf_dropout args;
    uint32_t member;
    int32_t limit; /* u < rate is the same as: the upper 24 bits < limit */
    float keep;    /* factor of what is kept                             */
} mask;

static mask mask_of(dlf_dropout args, uint32_t member, float rate)
{
    mask m = {args, member, 0, args.rescale ? 1.0f / (1.0f - rate) : 1.0f};
    if (rate >= 1.0f)
        m.limit = 1 << 24;
    else if (rate > 0.0f)
        m.limit = (int32_t)ceilf(rate * 0x1p24f);
    if (isnan(rate)) m.keep = rate;
    return m;
}

/* words[0 ..] belong to draws first - first % 4 .. and cover first + count - 1 at least. */
static const uint32_t *draw(uint32_t *words, const mask *m, uint64_t first, int64_t count)
{
    const int64_t shift = (int64_t)(first % 4);
    for (int64_t w = 0; w < shift + count; w += PHILOX_WORDS)
        philox_words(words + w, (first + (uint64_t)w) / 4, m->args.rng.seed, m->args.rng.stream,
                     m->member);
    return words + shift;
}

static inline float factor(const mask *m, uint32_t word)
{
    return (int32_t)(word >> 8) < m->limit ? 0.0f : m->keep;
}

/* One draw per element: elements at .. at + n - 1 of the member, n <= CHUNK - 3. */
static void apply_single(float *y, const float *x, int64_t at, int64_t n, const mask *m)
{
    _Alignas(64) uint32_t words[CHUNK];
    const uint32_t *word = draw(words, m, m->args.first + (uint64_t)at, n);
    const int32_t limit = m->limit;
    const float keep = m->keep;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * ((int32_t)(word[i] >> 8) < limit ? 0.0f : keep);
}

/* One draw per run of elements; n <= CHUNK - 3. */
static void apply_runs(float *y, const float *x, int64_t at, int64_t n, const mask *m)
{
    _Alignas(64) uint32_t words[CHUNK];
    float spread[CHUNK];
    const int64_t run = m->args.run, first = at / run, last = (at + n - 1) / run;
    const uint32_t *word = draw(words, m, m->args.first + (uint64_t)first, last - first + 1);
    int64_t left = run - at % run; /* of the current run */
    for (int64_t i = 0; i < n; word++) {
        const int64_t count = n - i < left ? n - i : left;
        const float f = factor(m, *word);
        if (run < SHORT_RUN)
            for (int64_t j = 0; j < count; j++) spread[i + j] = f;
        else
#pragma omp simd
            for (int64_t j = 0; j < count; j++) y[i + j] = x[i + j] * f;
        i += count;
        left = run;
    }
    if (run >= SHORT_RUN) return;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * spread[i];
}

/* A rate of 0 (or NaN) drops nothing, so that no words are needed: in a population some members
 * have dropout and others are their controls. */
static void keep_all(float *y, const float *x, int64_t n, float keep)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * keep;
}

/* Elements begin .. end-1 of a member, past the caches if `stream`. */
static void apply(float *y, const float *x, int64_t begin, int64_t end, const mask *m, bool stream)
{
    float buffer[CHUNK];
    for (int64_t i = begin; i < end;) {
        /* Chunks after the first start with a whole block of words. */
        const int64_t most =
            m->args.run > 1 ? CHUNK - 4 : CHUNK - (int64_t)((m->args.first + (uint64_t)i) % 4);
        const int64_t n = end - i < most ? end - i : most;
        float *out = stream ? buffer : y + i;
        if (m->limit == 0)
            keep_all(out, x + i, n, m->keep);
        else
            (m->args.run > 1 ? apply_runs : apply_single)(out, x + i, i, n, m);
        if (stream) dlf_cpu_stream(y + i, buffer, n);
        i += n;
    }
    if (stream) dlf_cpu_stream_end();
}

dlf_status DLF_CPU(dropout_apply)(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *member,
                                  const dlf_tensor *rate, const dlf_tensor *clock,
                                  dlf_dropout dropout)
{
    const int32_t now = clock ? *(const int32_t *)clock->data : 0;
    dropout.first += dropout.stride * (uint64_t)now;
    const int64_t P = y->shape[0], n = dlf_tensor_member_count(y);
    const int64_t pieces = (n + PIECE - 1) / PIECE;
    const bool stream = y->data != x->data && dlf_cpu_streams(P * n * (int64_t)sizeof(float));
    const int threads = dlf_cpu_threads(y, 1.5 * (double)P * (double)n);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t job = 0; job < P * pieces; job++) {
        const int64_t p = job / pieces, begin = job % pieces * PIECE;
        const int64_t end = begin + PIECE < n ? begin + PIECE : n;
        const uint32_t id =
            (uint32_t)(member ? ((const int32_t *)member->data)[p * member->stride] : p);
        const mask m = mask_of(dropout, id, ((const float *)rate->data)[p * rate->stride]);
        apply((float *)y->data + p * y->stride, (const float *)x->data + p * x->stride, begin, end,
              &m, stream);
    }
    return DLF_OK;
}
