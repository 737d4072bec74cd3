/* SPDX-License-Identifier: MIT
 * hmm.c -- hidden Markov models: sampling, forward, forward-backward, Baum-Welch. */
#include "hmm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"

dlf_status dlf_hmm_new(dlf_hmm *m, int states, int symbols)
{
    const size_t K = (size_t)states, M = (size_t)symbols;
    *m = (dlf_hmm){.states = states, .symbols = symbols};
    m->start = calloc(K + K * K + K * M, sizeof *m->start);
    if (!m->start) return dlf_fail(DLF_ERR_OOM, "hidden Markov model: out of memory");
    m->move = m->start + K;
    m->emit = m->move + K * K;
    return DLF_OK;
}

void dlf_hmm_free(dlf_hmm *m)
{
    free(m->start);
    *m = (dlf_hmm){0};
}

static void normalise(double *row, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) sum += row[i];
    for (int i = 0; i < n; i++) row[i] /= sum;
}

static void normalise_all(dlf_hmm *m)
{
    normalise(m->start, m->states);
    for (int i = 0; i < m->states; i++) normalise(m->move + i * m->states, m->states);
    for (int i = 0; i < m->states; i++) normalise(m->emit + i * m->symbols, m->symbols);
}

void dlf_hmm_draw(dlf_hmm *m, double least, double power, uint64_t seed, uint32_t stream,
                  uint32_t member)
{
    const int n = m->states * (1 + m->states + m->symbols);
    for (int i = 0; i < n; i++)
        m->start[i] =
            pow(least + (double)dlf_rng_uniform(seed, stream, member, (uint64_t)i), power);
    normalise_all(m);
}

/* The entry of a row of probabilities that u falls on. */
static int pick(const double *row, int n, double u)
{
    int i = 0;
    for (; i < n - 1 && u >= row[i]; i++) u -= row[i];
    return i;
}

int dlf_hmm_sample(const dlf_hmm *m, int *state, const double u[2])
{
    const double *row = *state < 0 ? m->start : m->move + *state * m->states;
    *state = pick(row, m->states, u[0]);
    return pick(m->emit + *state * m->symbols, m->symbols, u[1]);
}

/* next = (prev move) * emit(o), or start * emit(o), normalised; its sum before that. */
static double forward(const dlf_hmm *m, const double *prev, double *next, int o)
{
    const int K = m->states;
    double scale = 0.0;
    for (int j = 0; j < K; j++) {
        double sum = prev ? 0.0 : m->start[j];
        for (int i = 0; i < K && prev; i++) sum += prev[i] * m->move[i * K + j];
        next[j] = sum * m->emit[j * m->symbols + o];
        scale += next[j];
    }
    for (int j = 0; j < K; j++) next[j] /= scale;
    return scale;
}

double dlf_hmm_filter(const dlf_hmm *m, double *alpha, int o, bool first)
{
    double next[64];
    if (m->states > 64) return NAN;
    const double scale = forward(m, first ? NULL : alpha, next, o);
    memcpy(alpha, next, (size_t)m->states * sizeof *next);
    return scale;
}

/* beta_t from beta_{t+1}, into `out`; moves of step t are counted on the way. */
static void backward(const dlf_hmm *m, const double *alpha, const double *beta, double *out, int o,
                     double scale, double *move)
{
    const int K = m->states;
    for (int i = 0; i < K; i++) {
        out[i] = 0.0;
        for (int j = 0; j < K; j++) {
            const double through =
                m->move[i * K + j] * m->emit[j * m->symbols + o] * beta[j] / scale;
            out[i] += through;
            if (move) move[i * K + j] += alpha[i] * through;
        }
    }
}

dlf_status dlf_hmm_counts(const dlf_hmm *m, const int *o, int T, double *move, double *emit,
                          double *start, double *log_likelihood)
{
    const int K = m->states;
    double *alpha = malloc(((size_t)T * (size_t)(K + 1) + 2 * (size_t)K) * sizeof *alpha);
    if (!alpha) return dlf_fail(DLF_ERR_OOM, "hidden Markov model: out of memory");
    double *scale = alpha + (long)T * K, *beta = scale + T, *before = beta + K, sum = 0.0;
    for (int t = 0; t < T; t++) {
        scale[t] = forward(m, t ? alpha + (long)(t - 1) * K : NULL, alpha + (long)t * K, o[t]);
        sum += log(scale[t]);
    }
    for (int i = 0; i < K; i++) beta[i] = 1.0;
    for (int t = T - 1; t >= 0; t--) {
        const double *a = alpha + (long)t * K;
        for (int i = 0; i < K && emit; i++) emit[i * m->symbols + o[t]] += a[i] * beta[i];
        for (int i = 0; i < K && start && t == 0; i++) start[i] += a[i] * beta[i];
        if (t == 0) break;
        backward(m, a - K, beta, before, o[t], scale[t], move);
        memcpy(beta, before, (size_t)K * sizeof *beta);
    }
    if (log_likelihood) *log_likelihood = sum;
    free(alpha);
    return DLF_OK;
}

dlf_status dlf_hmm_fit(dlf_hmm *m, const int *o, int R, int T, int rounds, double *log_likelihood)
{
    dlf_hmm count;
    dlf_status status;
    DLF_TRY_DONE(dlf_hmm_new(&count, m->states, m->symbols));
    const int n = m->states * (1 + m->states + m->symbols);
    for (int round = 0; round < rounds; round++) {
        /* a hair above 0, so that a state that is never reached keeps a row that sums to 1 */
        for (int i = 0; i < n; i++) count.start[i] = 1e-30;
        double sum = 0.0;
        for (int r = 0; r < R; r++) {
            double one;
            DLF_TRY_DONE(
                dlf_hmm_counts(m, o + (long)r * T, T, count.move, count.emit, count.start, &one));
            sum += one;
        }
        memcpy(m->start, count.start, (size_t)n * sizeof *m->start);
        normalise_all(m);
        if (log_likelihood) *log_likelihood = sum;
    }
done:
    dlf_hmm_free(&count);
    return status;
}
