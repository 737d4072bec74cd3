/* SPDX-License-Identifier: MIT
 * ensemble_nets.c -- Q3: populations of digits networks, and their probabilities. */
#include "ensemble_nets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/data.h"
#include "dlf/ops.h"
#include "dlf/rng.h"
#include "dlf/train.h"

enum { CLASSES = 10, BATCH = 40 };

classifier_spec dlf_ensemble_net(int members, int batch, int inputs, int width)
{
    return (classifier_spec){.members = members,
                             .batch = batch,
                             .inputs = inputs,
                             .width = width,
                             .depth = 1,
                             .classes = CLASSES,
                             .f = dlf_activation_of(DLF_RELU),
                             .init = dlf_he()};
}

typedef struct lab {
    int seeds, models, rows, members, tests;
    dlf_dataset digits, data; /* all; blocks of `rows` training rows */
    int32_t *base, *draw;     /* (members)                            */
    double *rate;             /* (members)                            */
    dlf_graph *g;
    dlf_train *t;
    dlf_tensor x, h, z; /* (1,tests,F), (P,tests,W), (P,tests,C) */
} lab;

static void lab_free(lab *l)
{
    dlf_tensor_free(&l->z);
    dlf_tensor_free(&l->h);
    dlf_tensor_free(&l->x);
    dlf_train_free(l->t);
    dlf_graph_free(l->g);
    free(l->rate);
    free(l->draw);
    free(l->base);
    dlf_dataset_free(&l->data);
    dlf_dataset_free(&l->digits);
}

/* Blocks 0..seeds-1: the rows of a seed; then one block per seed and model, drawn from them with
 * replacement. */
static dlf_status deal(lab *l, uint64_t seed)
{
    const int F = l->digits.features, blocks = l->seeds * (1 + l->models);
    int32_t *order = malloc((size_t)l->digits.train * sizeof *order);
    l->data = l->digits;
    l->data.train = blocks * l->rows;
    l->data.test = 0;
    l->data.x = malloc((size_t)l->data.train * (size_t)F * sizeof *l->data.x);
    l->data.label = malloc((size_t)l->data.train * sizeof *l->data.label);
    if (!order || !l->data.x || !l->data.label) {
        free(order);
        return dlf_fail(DLF_ERR_OOM, "ensemble: out of memory");
    }
    for (int s = 0; s < l->seeds; s++) {
        dlf_permutation(order, l->digits.train, seed, dlf_stream(DLF_PURPOSE_SHUFFLE, 30),
                        (uint32_t)s);
        for (int m = -1; m < l->models; m++)
            for (int i = 0; i < l->rows; i++) {
                const uint32_t bits = dlf_rng_bits(seed, dlf_stream(DLF_PURPOSE_DATA, 32),
                                                   (uint32_t)(s * l->models + m), (uint64_t)i);
                const int block = m < 0 ? s : l->seeds + s * l->models + m;
                const int32_t from = order[m < 0 ? (uint32_t)i : bits % (uint32_t)l->rows];
                const long to = (long)block * l->rows + i;
                memcpy(l->data.x + to * F, l->digits.x + (long)from * F, (size_t)F * sizeof(float));
                l->data.label[to] = l->digits.label[from];
            }
    }
    free(order);
    return DLF_OK;
}

/* Member (kind, seed, model): rows, and the draw that decides start and batches. */
static void assign(lab *l)
{
    for (int p = 0; p < l->members; p++) {
        const int model = p % l->models, s = p / l->models % l->seeds;
        const dlf_diversity kind = (dlf_diversity)(p / (l->models * l->seeds));
        const int block = kind == DLF_BOOTSTRAP ? l->seeds + s * l->models + model : s;
        l->base[p] = block * l->rows;
        l->draw[p] = kind == DLF_COPIES ? s * l->models : s * l->models + model;
        l->rate[p] = 0.005;
    }
}

static dlf_status lab_new(lab *l, dlf_run *run, int tests)
{
    dlf_device *dev = dlf_run_device(run);
    const int width = dlf_run_int(run, "width");
    *l = (lab){.seeds = dlf_run_seeds(run),
               .models = dlf_run_int(run, "models"),
               .rows = dlf_run_int(run, "train_rows"),
               .tests = tests};
    l->members = DLF_DIVERSITIES * l->seeds * l->models;
    DLF_TRY(dlf_digits_load(&l->digits));
    l->base = malloc((size_t)l->members * sizeof *l->base);
    l->draw = malloc((size_t)l->members * sizeof *l->draw);
    l->rate = malloc((size_t)l->members * sizeof *l->rate);
    if (!l->base || !l->draw || !l->rate) return dlf_fail(DLF_ERR_OOM, "ensemble: out of memory");
    DLF_TRY(deal(l, dlf_run_seed(run)));
    assign(l);
    const int batch = l->rows < BATCH ? l->rows : BATCH, F = l->digits.features;
    const classifier_spec net = dlf_ensemble_net(l->members, batch, F, width);
    DLF_TRY(classifier_new(&l->g, dev, &net));
    DLF_TRY(dlf_graph_initialise(l->g, dlf_run_seed(run), l->draw));
    const dlf_train_spec spec = {.seed = dlf_run_seed(run),
                                 .draw = l->draw,
                                 .base = l->base,
                                 .lr = l->rate,
                                 .optimiser = dlf_adam(0.0),
                                 .rows = l->rows};
    DLF_TRY(dlf_train_new(&l->t, l->g, &l->data, &spec));
    DLF_TRY(dlf_tensor_new(&l->x, dev, dev->real, 1, tests, F));
    DLF_TRY(dlf_tensor_upload(&l->x, l->digits.x + (long)l->digits.train * F));
    DLF_TRY(dlf_tensor_new(&l->h, dev, dev->real, l->members, tests, width));
    return dlf_tensor_new(&l->z, dev, dev->real, l->members, tests, CLASSES);
}

/* y = x w^T + b of the layer `name`; w (P,out,in), b (P,out). */
static dlf_status layer(lab *l, dlf_tensor *y, const dlf_tensor *x, const char *w, const char *b)
{
    const dlf_tensor *weight = dlf_graph_value(l->g, dlf_graph_find(l->g, w));
    const dlf_tensor *bias = dlf_graph_value(l->g, dlf_graph_find(l->g, b));
    DLF_TRY(dlf_gemm(y, x, weight, (dlf_gemm_args){.trans_b = true, .alpha = 1.0}));
    return dlf_bias_add(y, y, bias);
}

static void softmax(float *z, long rows)
{
    for (long r = 0; r < rows; r++) {
        float *row = z + r * CLASSES, most = row[0], sum = 0.0f;
        for (int c = 1; c < CLASSES; c++) most = row[c] > most ? row[c] : most;
        for (int c = 0; c < CLASSES; c++) sum += row[c] = expf(row[c] - most);
        for (int c = 0; c < CLASSES; c++) row[c] /= sum;
    }
}

static dlf_status predict(lab *l, float *p)
{
    DLF_TRY(layer(l, &l->h, &l->x, "h1.w", "h1.b"));
    DLF_TRY(dlf_activation_forward(&l->h, &l->h, dlf_activation_of(DLF_RELU)));
    DLF_TRY(layer(l, &l->z, &l->h, "logits.w", "logits.b"));
    DLF_TRY(dlf_tensor_download(p, &l->z));
    softmax(p, (long)l->members * l->tests);
    return DLF_OK;
}

dlf_status dlf_ensemble_train(dlf_run *run, int tests, float *p, int32_t *label, double from,
                              double to)
{
    const int steps = dlf_run_int(run, "steps");
    lab l;
    dlf_status status;
    DLF_TRY_DONE(lab_new(&l, run, tests));
    for (int done_steps = 0; done_steps < steps; done_steps += 10) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * done_steps / steps,
                                   "training %d networks", l.members));
        DLF_TRY_DONE(dlf_train_run(l.t, steps - done_steps < 10 ? steps - done_steps : 10));
    }
    DLF_TRY_DONE(predict(&l, p));
    memcpy(label, l.digits.label + l.digits.train, (size_t)tests * sizeof *label);
done:
    lab_free(&l);
    return status;
}
