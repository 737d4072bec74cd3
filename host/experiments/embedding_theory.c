/* SPDX-License-Identifier: MIT
 * embedding_theory.c -- Q9: a small language and what its words converge to. */
#include <math.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "dlf/theory.h"
#include "embedding.h"

enum { W = DLF_WORDS };

static void marginals(double *p, const double *joint)
{
    for (int i = 0; i < W; i++) {
        p[i] = 0.0;
        for (int j = 0; j < W; j++) p[i] += joint[i * W + j];
    }
}

void dlf_language(double *joint, bool independent, uint64_t seed, uint32_t member)
{
    double sum = 0.0, p[W];
    for (int i = 0; i < W; i++)
        for (int j = i; j < W; j++) {
            const double habit = dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_DATA, 20), member,
                                                (uint64_t)(i * W + j));
            const double together = i % DLF_TOPICS == j % DLF_TOPICS ? 7.0 : 1.0;
            joint[i * W + j] = joint[j * W + i] = together * exp(0.3 * habit);
        }
    for (int i = 0; i < W * W; i++) sum += joint[i];
    for (int i = 0; i < W * W; i++) joint[i] /= sum;
    if (!independent) return;
    marginals(p, joint);
    for (int i = 0; i < W * W; i++) joint[i] = p[i / W] * p[i % W];
}

void dlf_shifted_pmi(double *m, const double *joint, double k)
{
    double p[W];
    marginals(p, joint);
    for (int i = 0; i < W * W; i++) m[i] = log(joint[i] / (p[i / W] * p[i % W])) - log(k);
}

/* ln(1 + e^x) */
static double softplus(double x)
{
    return fmax(x, 0.0) + log1p(exp(-fabs(x)));
}

double dlf_sgns_loss(const double *m, const double *joint, double k)
{
    double p[W], loss = 0.0;
    marginals(p, joint);
    for (int i = 0; i < W * W; i++)
        loss += joint[i] * softplus(-m[i]) + k * p[i / W] * p[i % W] * softplus(m[i]);
    return loss;
}

dlf_status dlf_discarded(double *out, const double *m, int n, int d)
{
    double *gram = calloc((size_t)n * (size_t)n, sizeof *gram),
           *value = malloc((size_t)n * sizeof *value);
    *out = 0.0;
    if (!gram || !value) {
        free(value);
        free(gram);
        return dlf_fail(DLF_ERR_OOM, "embedding: out of memory");
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            for (int k = 0; k < n; k++) gram[i * n + j] += m[i * n + k] * m[j * n + k];
    dlf_symmetric_eigen(gram, n, value, NULL);
    for (int i = d; i < n; i++) *out += value[i]; /* descending */
    free(value);
    free(gram);
    return DLF_OK;
}
