/* SPDX-License-Identifier: MIT
 * svm_duel.c -- Q35: a Gaussian kernel machine, one against the rest, and a network with one hidden
 * layer. */
#include "svm_duel.h"

#include <math.h>
#include <stdlib.h>

#include "dlf/train.h"
#include "svm.h"
#include "transfer_nets.h"

enum { BATCH = 20 };

/* What a machine needs room for. */
typedef struct bench {
    float *k, *q, *y;     /* (n,n), (test,n), (n) */
    float *f;             /* (n)                      */
    double *beta, *score; /* (n), (test,classes)      */
} bench;

static void bench_free(bench *b)
{
    free(b->k);
    free(b->beta);
}

static dlf_status bench_new(bench *b, int n, int test, int classes)
{
    const size_t N = (size_t)n, M = (size_t)test;
    *b = (bench){.k = malloc((N * N + M * N + 2 * N) * sizeof *b->k),
                 .beta = malloc((N + M * (size_t)classes) * sizeof *b->beta)};
    if (!b->k || !b->beta) return dlf_fail(DLF_ERR_OOM, "svm: out of memory");
    b->q = b->k + N * N;
    b->y = b->q + M * N;
    b->f = b->y + N;
    b->score = b->beta + N;
    return DLF_OK;
}

/* Error of one block with one width. */
static double judge(const bench *b, const dlf_svm_duel *d, int block, int n, double width,
                    double *gap)
{
    const int F = d->data.features, classes = d->data.classes;
    const long first = (long)block * (d->train + d->test);
    const float *x = d->data.x + first * F, *probe = x + (long)d->train * F;
    const int32_t *label = d->data.label + first, *want = label + d->train;
    int wrong = 0;
    dlf_svm_gaussian(b->k, x, n, x, n, F, width);
    dlf_svm_gaussian(b->q, probe, d->test, x, n, F, width);
    for (int c = 0; c < (classes == 2 ? 1 : classes); c++) {
        double left;
        for (int i = 0; i < n; i++) b->y[i] = label[i] == c ? 1.0f : -1.0f;
        const double bias = dlf_svm_train(b->beta, b->f, b->k, n, b->y, n, d->C, &left);
        if (!(left <= *gap)) *gap = left;
        for (int i = 0; i < d->test; i++) {
            double *score = b->score + (long)i * classes;
            score[c] = bias;
            for (int j = 0; j < n; j++) score[c] += b->beta[j] * b->q[(long)i * n + j];
            if (classes == 2) score[1] = -score[0];
        }
    }
    for (int i = 0; i < d->test; i++) {
        int best = 0;
        for (int c = 1; c < classes; c++)
            if (b->score[i * classes + c] > b->score[i * classes + best]) best = c;
        wrong += best != want[i];
    }
    return (double)wrong / d->test;
}

dlf_status dlf_svm_duel_machine(const dlf_svm_duel *d, int n, int seeds, double *machine,
                                double *gap)
{
    bench b;
    dlf_status status = bench_new(&b, n, d->test, d->data.classes);
    for (int s = 0; s < seeds && status == DLF_OK; s++) {
        machine[s] = INFINITY;
        for (int w = 0; w < DLF_SVM_WIDTHS; w++)
            machine[s] = fmin(machine[s], judge(&b, d, s, n, d->width[w], gap));
    }
    bench_free(&b);
    return status;
}

dlf_status dlf_svm_duel_network(const dlf_svm_duel *d, dlf_run *run, int n, double *network)
{
    const int P = dlf_run_seeds(run);
    int32_t *base = malloc((size_t)P * sizeof *base);
    double *lr = malloc((size_t)P * sizeof *lr);
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    dlf_status status = DLF_OK;
    if (!base || !lr) {
        status = dlf_fail(DLF_ERR_OOM, "svm: out of memory");
        goto done;
    }
    for (int p = 0; p < P; p++) {
        base[p] = p * (d->train + d->test);
        lr[p] = 0.005;
    }
    const classifier_spec net = dlf_transfer_net(P, n < BATCH ? n : BATCH, d->data.features,
                                                 dlf_run_int(run, "width"), d->data.classes);
    DLF_TRY_DONE(classifier_new(&g, dlf_run_device(run), &net));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    const dlf_train_spec spec = {
        .seed = dlf_run_seed(run), .base = base, .lr = lr, .optimiser = dlf_adam(0.0), .rows = n};
    DLF_TRY_DONE(dlf_train_new(&t, g, &d->data, &spec));
    DLF_TRY_DONE(dlf_train_run(t, dlf_run_int(run, "steps")));
    DLF_TRY_DONE(dlf_train_evaluate(t, d->train, d->test, NULL, network));
    for (int p = 0; p < P; p++) network[p] = 1.0 - network[p];
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    free(lr);
    free(base);
    return status;
}
