/* SPDX-License-Identifier: MIT
 * embedding_identity.c -- Q9: a lookup and a product with one-hot vectors, forward, backward and in
 * training; and what happens to the rows that a batch does not name. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/backend.h"
#include "dlf/ops.h"
#include "dlf/rng.h"
#include "embedding.h"
#include "host_arrays.h"
#include "seed_check.h"

/* Both ways side by side: 0 looks up, 1 multiplies. Members are seeds. */
typedef struct twins {
    int P, B, V, D;
    dlf_tensor table[2], y[2], dy[2], dtable[2]; /* (P,V,D), (P,B,D), (P,B,D), (P,V,D) */
    dlf_tensor one_hot, target, index, rate;     /* (P,B,V), (P,B,D), (P,B), (P)       */
    dlf_tensor m, v;                             /* Adam's moments of table[0]          */
    int32_t *names;                              /* (P,B)                               */
    float *hot;                                  /* (P,B,V)                             */
    double *host[2];                             /* (P,V,D)                             */
} twins;

static void twins_free(twins *t)
{
    dlf_tensor *all[] = {&t->table[0], &t->table[1],  &t->y[0],      &t->y[1],    &t->dy[0],
                         &t->dy[1],    &t->dtable[0], &t->dtable[1], &t->one_hot, &t->target,
                         &t->index,    &t->rate,      &t->m,         &t->v};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
    for (int i = 0; i < 2; i++) free(t->host[i]);
    free(t->hot);
    free(t->names);
}

static dlf_status twins_new(twins *t, dlf_run *run)
{
    dlf_device *dev = dlf_run_device(run);
    *t = (twins){.P = dlf_run_seeds(run),
                 .B = dlf_run_int(run, "batch"),
                 .V = dlf_run_int(run, "vocabulary"),
                 .D = dlf_run_int(run, "dim")};
    const size_t P = (size_t)t->P, rows = P * (size_t)t->B, V = (size_t)t->V, D = (size_t)t->D;
    t->names = malloc(rows * sizeof *t->names);
    t->hot = malloc(rows * V * sizeof *t->hot);
    t->host[0] = malloc(P * V * D * sizeof **t->host);
    t->host[1] = malloc(P * V * D * sizeof **t->host);
    double *rate = malloc(P * sizeof *rate);
    dlf_status status = DLF_OK;
    if (!t->names || !t->hot || !t->host[0] || !t->host[1] || !rate) {
        status = dlf_fail(DLF_ERR_OOM, "embedding: out of memory");
        goto done;
    }
    for (size_t i = 0; i < P; i++) rate[i] = 0.1;
    const dlf_rng start = {dlf_run_seed(run), dlf_stream(DLF_PURPOSE_START, 1)};
    for (int i = 0; i < 2; i++) {
        DLF_TRY_DONE(dlf_tensor_new(&t->table[i], dev, dev->real, t->P, t->V, t->D));
        DLF_TRY_DONE(dlf_tensor_new(&t->dtable[i], dev, dev->real, t->P, t->V, t->D));
        DLF_TRY_DONE(dlf_tensor_new(&t->y[i], dev, dev->real, t->P, t->B, t->D));
        DLF_TRY_DONE(dlf_tensor_new(&t->dy[i], dev, dev->real, t->P, t->B, t->D));
        DLF_TRY_DONE(dlf_random_normal(&t->table[i], NULL, NULL, start));
    }
    dlf_tensor *moments[] = {&t->m, &t->v};
    for (int i = 0; i < 2; i++) {
        DLF_TRY_DONE(dlf_tensor_new(moments[i], dev, dev->real, t->P, (int64_t)t->V * t->D));
        DLF_TRY_DONE(dlf_tensor_zero(moments[i]));
    }
    DLF_TRY_DONE(dlf_tensor_new(&t->one_hot, dev, dev->real, t->P, t->B, t->V));
    DLF_TRY_DONE(dlf_tensor_new(&t->target, dev, dev->real, t->P, t->B, t->D));
    DLF_TRY_DONE(dlf_tensor_new(&t->index, dev, DLF_I32, t->P, t->B));
    DLF_TRY_DONE(dlf_tensor_new(&t->rate, dev, dev->real, t->P));
    DLF_TRY_DONE(dlf_tensor_upload_f64(&t->rate, rate));
    status = dlf_random_normal(&t->target, NULL, NULL,
                               (dlf_rng){dlf_run_seed(run), dlf_stream(DLF_PURPOSE_INPUT, 1)});
done:
    free(rate);
    return status;
}

/* The names of batch `step`, as indices and as one-hot rows; some names come twice. */
static dlf_status deal(twins *t, uint64_t seed, int step)
{
    memset(t->hot, 0, (size_t)t->P * (size_t)t->B * (size_t)t->V * sizeof *t->hot);
    for (int p = 0; p < t->P; p++)
        for (int i = 0; i < t->B; i++) {
            const long at = (long)p * t->B + i;
            t->names[at] = (int32_t)(dlf_rng_bits(seed, dlf_stream(DLF_PURPOSE_DATA, 21),
                                                  (uint32_t)p, (uint64_t)step * t->B + i) %
                                     (uint32_t)t->V);
            t->hot[at * t->V + t->names[at]] = 1.0f;
        }
    DLF_TRY(dlf_tensor_upload_i32(&t->index, t->names));
    return dlf_tensor_upload(&t->one_hot, t->hot);
}

/* Forward, loss and backward in both ways. */
static dlf_status both(twins *t)
{
    const dlf_loss mse = {.kind = DLF_LOSS_MSE};
    DLF_TRY(dlf_embedding_forward(&t->y[0], &t->table[0], &t->index));
    DLF_TRY(dlf_gemm(&t->y[1], &t->one_hot, &t->table[1], (dlf_gemm_args){.alpha = 1.0}));
    for (int i = 0; i < 2; i++)
        DLF_TRY(dlf_loss_backward(&t->dy[i], &t->y[i], &t->target, mse, 0.5));
    DLF_TRY(dlf_embedding_backward(&t->dtable[0], &t->dy[0], &t->index, 0.0));
    return dlf_gemm(&t->dtable[1], &t->one_hot, &t->dy[1],
                    (dlf_gemm_args){.trans_a = true, .alpha = 1.0});
}

static dlf_status distance(twins *t, const dlf_tensor *pair, double *out)
{
    for (int i = 0; i < 2; i++) DLF_TRY(dlf_tensor_download_f64(t->host[i], &pair[i]));
    *out = host_worst(t->host[0], t->host[1], dlf_tensor_count(&pair[0]));
    return DLF_OK;
}

static dlf_status descend(twins *t, int way)
{
    const int64_t flat[] = {t->P, (int64_t)t->V * t->D};
    dlf_tensor w = dlf_tensor_reshape(&t->table[way], 2, flat);
    const dlf_tensor g = dlf_tensor_reshape(&t->dtable[way], 2, flat);
    return dlf_sgd_step(&w, NULL, &g, &t->rate, NULL, (dlf_sgd_args){0.0, 0.0});
}

/* Largest change of a row that the batch does not name, after it and before it. */
static double moved_absent(const twins *t)
{
    double worst = 0.0;
    bool *named = calloc((size_t)t->V, sizeof *named);
    if (!named) return NAN;
    for (int p = 0; p < t->P; p++) {
        memset(named, 0, (size_t)t->V * sizeof *named);
        for (int i = 0; i < t->B; i++) named[t->names[(long)p * t->B + i]] = true;
        for (int v = 0; v < t->V; v++)
            for (int j = 0; j < t->D && !named[v]; j++) {
                const long at = ((long)p * t->V + v) * t->D + j;
                const double d = fabs(t->host[1][at] - t->host[0][at]);
                if (!(d <= worst)) worst = d;
            }
    }
    free(named);
    return worst;
}

/* One more step: of plain gradient descent, then of Adam, which remembers the steps before. */
static dlf_status absent_rows(twins *t, uint64_t seed, int steps, double *sgd, double *adam)
{
    const int64_t flat[] = {t->P, (int64_t)t->V * t->D};
    dlf_tensor w = dlf_tensor_reshape(&t->table[0], 2, flat);
    const dlf_tensor g = dlf_tensor_reshape(&t->dtable[0], 2, flat);
    for (int step = 0; step < 4; step++) {
        DLF_TRY(deal(t, seed, steps + step));
        DLF_TRY(both(t));
        DLF_TRY(dlf_tensor_download_f64(t->host[0], &t->table[0]));
        if (step == 0)
            DLF_TRY(descend(t, 0));
        else
            DLF_TRY(dlf_adam_step(&w, &t->m, &t->v, &g, &t->rate, NULL, NULL,
                                  (dlf_adam_args){0.9, 0.999, 1e-8, 0.0, false, step}));
        DLF_TRY(dlf_tensor_download_f64(t->host[1], &t->table[0]));
        *(step == 0 ? sgd : adam) = moved_absent(t);
    }
    return DLF_OK;
}

static dlf_status add(dlf_run *run, const char *id, dlf_text claim, double measured, double bound,
                      const char *source)
{
    dlf_check c = dlf_check_exact(id, claim, measured);
    c.expected = bound;
    c.relation = DLF_AT_MOST;
    c.source = source;
    c.self_check = true;
    return dlf_result_check(dlf_run_result(run), c);
}

dlf_status dlf_embedding_identity(dlf_run *run, double from, double to)
{
    const int steps = dlf_run_int(run, "identity_steps");
    double forward = 0.0, backward = 0.0, trained, sgd, adam;
    twins t;
    dlf_status status;
    DLF_TRY_DONE(twins_new(&t, run));
    for (int step = 0; step < steps; step++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * step / steps, "lookup and product"));
        DLF_TRY_DONE(deal(&t, dlf_run_seed(run), step));
        DLF_TRY_DONE(both(&t));
        if (step == 0) { /* later the tables differ by rounding */
            DLF_TRY_DONE(distance(&t, t.y, &forward));
            DLF_TRY_DONE(distance(&t, t.dtable, &backward));
        }
        for (int way = 0; way < 2; way++) DLF_TRY_DONE(descend(&t, way));
    }
    DLF_TRY_DONE(distance(&t, t.table, &trained));
    DLF_TRY_DONE(add(run, "lookup_forward",
                     (dlf_text){"查表与乘 one-hot 的输出完全相同（最大相对差）",
                                "a lookup and a product with one-hot vectors give the same output "
                                "(largest relative difference)"},
                     forward, 0.0, "identity: all other terms of the sum are 0; exact in float"));
    DLF_TRY_DONE(add(run, "lookup_backward",
                     (dlf_text){"散加的梯度等于 Xᵀ·dY（最大相对差）",
                                "the scattered gradient is X^T dY (largest relative difference)"},
                     backward, 1e-6, "identity; float32 sums of repeated names in another order"));
    DLF_TRY_DONE(add(run, "lookup_trained",
                     (dlf_text){"两种方式训练之后，表也相同（最大相对差）",
                                "after training in both ways the tables are the same (largest "
                                "relative difference)"},
                     trained, 1e-5, "identity; float32 rounding of all steps"));
    DLF_TRY_DONE(absent_rows(&t, dlf_run_seed(run), steps, &sgd, &adam));
    DLF_TRY_DONE(dlf_add_exact(
        run, "absent_sgd",
        (dlf_text){
            "普通梯度下降：这一批没有的词，它的行一点也不动（最大变化）",
            "gradient descent: a row that the batch does not name does not move (largest change)"},
        sgd, 0.0, 0.0, "identity: its gradient is exactly 0", NULL));
    dlf_check c = dlf_check_exact("absent_adam",
                                  (dlf_text){"Adam：这一批没有的词也会动，因为动量还在（最大变化）",
                                             "Adam: rows that the batch does not name move, too, "
                                             "by their momentum (largest change)"},
                                  adam);
    c.expected = 1e-3;
    c.relation = DLF_AT_LEAST;
    c.source =
        "Kingma & Ba 2015, Algorithm 1 with gradient 0: m is not 0; \"sparse\" or \"lazy\" Adam "
        "leaves these rows alone and is another algorithm";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
done:
    twins_free(&t);
    return status;
}
