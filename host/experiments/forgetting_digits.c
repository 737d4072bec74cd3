/* SPDX-License-Identifier: MIT
 * forgetting_digits.c -- Q11 on handwritten digits: networks that meet five tasks one after the
 * other, without protection, with elastic weight consolidation, with replay. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/data.h"
#include "dlf/ops.h"
#include "dlf/rng.h"
#include "dlf/train.h"
#include "forgetting.h"
#include "forgetting_story.h"
#include "transfer_nets.h"

enum {
    TASKS = DLF_FORGETTING_TASKS,
    ARMS = DLF_FORGETTING_ARMS,
    CLASSES = 10,
    BATCH = 20,
    FISHER_ROWS = 100,
    PLAIN = 0, /* kinds of blocks */
    SAME,
    REPLAY,
    KINDS
};
static const int task_rows[DLF_FORGETTING_SCENES] = {400, 200};
static const int most_tests[DLF_FORGETTING_SCENES] = {200, 80};
static const double rate = 0.1;
const double dlf_forgetting_strength[DLF_FORGETTING_STRENGTHS] = {1, 10, 100, 1000, 10000};

void dlf_forgetting_places(dlf_graph *g, long at[4])
{
    static const char *const names[4] = {"h1.w", "h1.b", "logits.w", "logits.b"};
    const dlf_tensor *all = dlf_graph_parameters(g);
    for (int i = 0; i < 4; i++) {
        const dlf_tensor *part = dlf_graph_value(g, dlf_graph_find(g, names[i]));
        at[i] = (long)(((const char *)part->data - (const char *)all->data) /
                       (ptrdiff_t)dlf_dtype_size(all->dtype));
    }
}

void dlf_fisher_diagonal(double *out, const float *w, const long at[4], const float *x, int rows,
                         int inputs, int width, int classes)
{
    const float *w1 = w + at[0], *b1 = w + at[1], *v = w + at[2], *b2 = w + at[3];
    double *fw = out + at[0], *fb1 = out + at[1], *fv = out + at[2], *fb2 = out + at[3];
    double h[512], z[64];
    for (int r = 0; r < rows; r++) {
        const float *row = x + (long)r * inputs;
        double most = -INFINITY, sum = 0.0;
        for (int j = 0; j < width; j++) {
            h[j] = b1[j];
            for (int i = 0; i < inputs; i++) h[j] += (double)w1[(long)j * inputs + i] * row[i];
            if (h[j] < 0.0) h[j] = 0.0;
        }
        for (int c = 0; c < classes; c++) {
            z[c] = b2[c];
            for (int j = 0; j < width; j++) z[c] += v[(long)c * width + j] * h[j];
            if (z[c] > most) most = z[c];
        }
        for (int c = 0; c < classes; c++) sum += z[c] = exp(z[c] - most);
        for (int c = 0; c < classes; c++) {
            z[c] /= sum;
            fb2[c] += z[c] * (1.0 - z[c]) / rows;
            for (int j = 0; j < width; j++)
                fv[(long)c * width + j] += z[c] * (1.0 - z[c]) * h[j] * h[j] / rows;
        }
        for (int j = 0; j < width; j++) {
            double mean = 0.0, square = 0.0;
            if (!(h[j] > 0.0)) continue;
            for (int c = 0; c < classes; c++) {
                mean += z[c] * v[(long)c * width + j];
                square += z[c] * v[(long)c * width + j] * v[(long)c * width + j];
            }
            const double variance = (square - mean * mean) / rows;
            fb1[j] += variance;
            for (int i = 0; i < inputs; i++) fw[(long)j * inputs + i] += variance * row[i] * row[i];
        }
    }
}

typedef struct lab {
    int seeds, members, parameters, width, inputs, kept, tests; /* tests: rows per task */
    dlf_forgetting_scene scene;
    dlf_dataset digits;
    int32_t
        *order;    /* (seeds, TASKS, train): rows of a task in the order of a seed, -1 at the end */
    int32_t *test; /* (TASKS, tests)                                                             */
    int32_t *pixel; /* (seeds, TASKS, inputs): where a pixel comes from                           */
    double *fisher, *pull; /* (members, parameters): sum of F, of F w */
    float *w; /* (members, parameters)                                                 */
    dlf_graph *g;
    dlf_tensor anchor, shrink; /* (members, parameters)                                          */
} lab;

static void lab_free(lab *l)
{
    dlf_tensor_free(&l->shrink);
    dlf_tensor_free(&l->anchor);
    dlf_graph_free(l->g);
    free(l->w);
    free(l->fisher);
    free(l->order);
    dlf_dataset_free(&l->digits);
}

static bool belongs(const lab *l, int row, int task)
{
    return l->scene == DLF_PERMUTED || l->digits.label[row] / 2 == task;
}

/* Which rows and pixels every seed's tasks have. */
static dlf_status deal(lab *l, uint64_t seed)
{
    const int N = l->digits.train;
    int32_t *all = malloc((size_t)N * sizeof *all);
    if (!all) return dlf_fail(DLF_ERR_OOM, "forgetting: out of memory");
    for (int s = 0; s < l->seeds; s++)
        for (int t = 0; t < TASKS; t++) {
            const uint32_t member = (uint32_t)(s * TASKS + t);
            int32_t *order = l->order + (long)member * N,
                    *pixel = l->pixel + (long)member * l->inputs;
            int taken = 0;
            dlf_permutation(all, N, seed, dlf_stream(DLF_PURPOSE_SHUFFLE, 82), member);
            for (int i = 0; i < N; i++)
                if (belongs(l, all[i], t)) order[taken++] = all[i];
            dlf_permutation(pixel, l->inputs, seed, dlf_stream(DLF_PURPOSE_SHUFFLE, 83), member);
            for (int i = 0; i < l->inputs && l->scene == DLF_SPLIT; i++) pixel[i] = i;
            if (taken < task_rows[l->scene]) {
                free(all);
                return dlf_fail(DLF_ERR_SELF_CHECK, "forgetting: task %d has %d rows", t, taken);
            }
        }
    free(all);
    for (int t = 0; t < TASKS; t++) {
        int taken = 0;
        for (int i = 0; i < l->digits.test && taken < l->tests; i++)
            if (belongs(l, N + i, t)) l->test[t * l->tests + taken++] = N + i;
        if (taken < l->tests)
            return dlf_fail(DLF_ERR_SELF_CHECK, "forgetting: task %d has %d test rows", t, taken);
    }
    return DLF_OK;
}

static dlf_status lab_new(lab *l, dlf_run *run, dlf_forgetting_scene scene)
{
    dlf_device *dev = dlf_run_device(run);
    *l = (lab){.seeds = dlf_run_seeds(run),
               .width = dlf_run_int(run, "width"),
               .kept = dlf_run_int(run, "kept_rows"),
               .scene = scene};
    const int tests = dlf_run_int(run, "test_rows");
    l->tests = tests < most_tests[scene] ? tests : most_tests[scene];
    DLF_TRY(dlf_digits_load(&l->digits));
    l->inputs = l->digits.features;
    l->members = ARMS * l->seeds;
    const size_t tasks = (size_t)(l->seeds * TASKS);
    l->order = malloc((tasks * (size_t)(l->digits.train + l->inputs) + (size_t)(TASKS * l->tests)) *
                      sizeof *l->order);
    if (!l->order) return dlf_fail(DLF_ERR_OOM, "forgetting: out of memory");
    l->pixel = l->order + tasks * (size_t)l->digits.train;
    l->test = l->pixel + tasks * (size_t)l->inputs;
    DLF_TRY(deal(l, dlf_run_seed(run)));
    const classifier_spec net = dlf_transfer_net(l->members, BATCH, l->inputs, l->width, CLASSES);
    DLF_TRY(classifier_new(&l->g, dev, &net));
    const int64_t n = dlf_graph_parameters(l->g)->shape[1];
    const size_t all = (size_t)l->members * (size_t)n;
    l->parameters = (int)n;
    l->fisher = calloc(2 * all, sizeof *l->fisher);
    l->w = malloc(2 * all * sizeof *l->w);
    if (!l->fisher || !l->w) return dlf_fail(DLF_ERR_OOM, "forgetting: out of memory");
    l->pull = l->fisher + all;
    DLF_TRY(dlf_tensor_new(&l->anchor, dev, dev->real, l->members, n));
    return dlf_tensor_new(&l->shrink, dev, dev->real, l->members, n);
}

static void copy_row(const lab *l, dlf_dataset *to, long at, int s, int task, int row)
{
    const int32_t *pixel = l->pixel + (long)(s * TASKS + task) * l->inputs;
    for (int j = 0; j < l->inputs; j++)
        to->x[at * l->inputs + j] = l->digits.x[(long)row * l->inputs + pixel[j]];
    to->label[at] = l->digits.label[row];
}

static int row_of(const lab *l, int s, int task, int i)
{
    return l->order[(long)(s * TASKS + task) * l->digits.train + i];
}

/* A block: `train` training rows, then the test rows of all tasks. */
static dlf_status blocks_new(const lab *l, dlf_dataset *out, int blocks, int train)
{
    const size_t rows = (size_t)blocks * (size_t)(train + TASKS * l->tests);
    *out = (dlf_dataset){.name = "tasks",
                         .train = (int)rows,
                         .features = l->inputs,
                         .classes = CLASSES,
                         .x = malloc(rows * (size_t)l->inputs * sizeof *out->x),
                         .label = malloc(rows * sizeof *out->label)};
    if (out->x && out->label) return DLF_OK;
    dlf_dataset_free(out);
    return dlf_fail(DLF_ERR_OOM, "forgetting: out of memory");
}

static void fill_tests(const lab *l, dlf_dataset *to, long first, int s, bool same)
{
    const int tests = l->tests;
    for (int t = 0; t < TASKS; t++)
        for (int i = 0; i < tests; i++) {
            const int task = same ? 0 : t;
            copy_row(l, to, first + (long)t * tests + i, s, task, l->test[task * tests + i]);
        }
}

/* Half of a block are the rows of task t, the other half the same again, or kept rows of the tasks
 * before. */
static void fill_block(const lab *l, dlf_dataset *to, int kind, int s, int t)
{
    const int rows = task_rows[l->scene];
    const long each = 2 * rows + TASKS * l->tests, first = ((long)kind * l->seeds + s) * each;
    for (int i = 0; i < 2 * rows; i++) {
        const bool old = kind == REPLAY && t > 0 && i >= rows;
        const int task = kind == SAME ? 0 : old ? i % t : t;
        const int row = old ? row_of(l, s, task, i / t % l->kept) : row_of(l, s, t, i % rows);
        copy_row(l, to, first + i, s, task,
                 kind == SAME && l->scene == DLF_SPLIT ? row_of(l, s, 0, i % rows) : row);
    }
    fill_tests(l, to, first + 2 * rows, s, kind == SAME);
}

/* A proximal step on the penalty  strength/2 sum F (w - anchor)^2, after the gradient step on the
 * loss: stable for any strength. */
static dlf_status pull_back(lab *l)
{
    dlf_tensor *w = dlf_graph_parameters(l->g);
    DLF_TRY(dlf_axpby(w, &l->anchor, NULL, -1.0, 1.0));
    DLF_TRY(dlf_multiply(w, w, &l->shrink, 0.0));
    return dlf_axpby(w, &l->anchor, NULL, 1.0, 1.0);
}

/* The Fisher information of the task just learned joins that of the others: a sum of quadratics is
 * one around the weighted mean. */
static dlf_status remember(lab *l, const dlf_dataset *data, const int32_t *base)
{
    const long n = l->parameters, all = l->members * n;
    float *anchor = l->w + all;
    double *one = malloc((size_t)n * sizeof *one);
    if (!one) return dlf_fail(DLF_ERR_OOM, "forgetting: out of memory");
    long at[4];
    dlf_status status;
    dlf_forgetting_places(l->g, at);
    DLF_TRY_DONE(dlf_tensor_download(l->w, dlf_graph_parameters(l->g)));
    for (int m = DLF_EWC * l->seeds; m < l->members; m++) {
        const float *w = l->w + m * n;
        memset(one, 0, (size_t)n * sizeof *one);
        dlf_fisher_diagonal(one, w, at, data->x + (long)base[m] * l->inputs, FISHER_ROWS, l->inputs,
                            l->width, CLASSES);
        for (long i = 0; i < n; i++) {
            l->fisher[m * n + i] += one[i];
            l->pull[m * n + i] += one[i] * w[i];
        }
    }
    for (long i = 0; i < all; i++)
        anchor[i] = l->fisher[i] > 0.0 ? (float)(l->pull[i] / l->fisher[i]) : 0.0f;
    DLF_TRY_DONE(dlf_tensor_upload(&l->anchor, anchor));
    for (long i = 0; i < all; i++) {
        const int arm = (int)(i / n / l->seeds);
        const double strength = arm < DLF_EWC ? 0.0 : dlf_forgetting_strength[arm - DLF_EWC];
        anchor[i] = (float)(1.0 / (1.0 + rate * strength * l->fisher[i]));
    }
    status = dlf_tensor_upload(&l->shrink, anchor);
done:
    free(one);
    return status;
}

/* Trains and tests on task t; base (members). */
static dlf_status learn_task(lab *l, dlf_run *run, dlf_forgetting_story *story, int t,
                             const int32_t *base, const int32_t *draw, double *value)
{
    const int rows = task_rows[l->scene], tests = l->tests, steps = dlf_run_int(run, "task_steps");
    dlf_dataset data = {0};
    dlf_train *train = NULL;
    dlf_status status;
    DLF_TRY_DONE(blocks_new(l, &data, KINDS * l->seeds, 2 * rows));
    for (int kind = 0; kind < KINDS; kind++)
        for (int s = 0; s < l->seeds; s++) fill_block(l, &data, kind, s, t);
    for (int m = 0; m < l->members; m++) value[m] = rate;
    const dlf_train_spec spec = {.seed = dlf_run_seed(run) + (uint64_t)t,
                                 .draw = draw,
                                 .base = base,
                                 .lr = value,
                                 .optimiser = dlf_sgd(0.0, 0.0),
                                 .rows = 2 * rows};
    DLF_TRY_DONE(dlf_train_new(&train, l->g, &data, &spec));
    for (int i = 0; i < steps; i++) {
        DLF_TRY_DONE(dlf_train_step(train));
        if (t > 0) DLF_TRY_DONE(pull_back(l));
    }
    for (int k = 0; k < TASKS; k++) {
        DLF_TRY_DONE(dlf_train_evaluate(train, 2 * rows + k * tests, tests, NULL, value));
        for (int arm = 0; arm < ARMS; arm++)
            memcpy(dlf_forgetting_at(story, l->scene, arm, t, k), value + (long)arm * l->seeds,
                   (size_t)l->seeds * sizeof *value);
    }
    status = remember(l, &data, base);
done:
    dlf_train_free(train);
    dlf_dataset_free(&data);
    return status;
}

/* Everything at once, as many steps in all: what there is to be kept. */
static dlf_status learn_jointly(lab *l, dlf_run *run, double *out)
{
    const int rows = task_rows[l->scene], tests = l->tests, S = l->seeds;
    int32_t *base = malloc((size_t)S * sizeof *base);
    double *value = malloc((size_t)S * sizeof *value);
    dlf_graph *g = NULL;
    dlf_train *train = NULL;
    dlf_dataset data = {0};
    dlf_status status = DLF_OK;
    if (!base || !value) {
        status = dlf_fail(DLF_ERR_OOM, "forgetting: out of memory");
        goto done;
    }
    DLF_TRY_DONE(blocks_new(l, &data, S, TASKS * rows));
    for (int s = 0; s < S; s++) {
        base[s] = s * TASKS * (rows + tests);
        value[s] = rate;
        for (int i = 0; i < TASKS * rows; i++)
            copy_row(l, &data, base[s] + i, s, i / rows, row_of(l, s, i / rows, i % rows));
        fill_tests(l, &data, base[s] + TASKS * rows, s, false);
    }
    const classifier_spec net = dlf_transfer_net(S, BATCH, l->inputs, l->width, CLASSES);
    DLF_TRY_DONE(classifier_new(&g, dlf_run_device(run), &net));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    const dlf_train_spec spec = {.seed = dlf_run_seed(run),
                                 .base = base,
                                 .lr = value,
                                 .optimiser = dlf_sgd(0.0, 0.0),
                                 .rows = TASKS * rows};
    DLF_TRY_DONE(dlf_train_new(&train, g, &data, &spec));
    DLF_TRY_DONE(dlf_train_run(train, TASKS * dlf_run_int(run, "task_steps")));
    status = dlf_train_evaluate(train, TASKS * rows, TASKS * tests, NULL, out);
done:
    dlf_train_free(train);
    dlf_graph_free(g);
    dlf_dataset_free(&data);
    free(value);
    free(base);
    return status;
}

static dlf_status learn_scene(dlf_run *run, dlf_forgetting_story *story, dlf_forgetting_scene scene,
                              double from, double to)
{
    lab l;
    int32_t *base = NULL, *draw = NULL;
    double *value = NULL;
    dlf_status status;
    DLF_TRY_DONE(lab_new(&l, run, scene));
    base = malloc((size_t)l.members * sizeof *base);
    draw = malloc((size_t)l.members * sizeof *draw);
    value = malloc((size_t)l.members * sizeof *value);
    if (!base || !draw || !value) {
        status = dlf_fail(DLF_ERR_OOM, "forgetting: out of memory");
        goto done;
    }
    const int each = 2 * task_rows[scene] + TASKS * l.tests;
    for (int m = 0; m < l.members; m++) {
        const int arm = m / l.seeds, s = m % l.seeds;
        const int kind = arm == DLF_SAME ? SAME : arm == DLF_REPLAY ? REPLAY : PLAIN;
        draw[m] = s;
        base[m] = (kind * l.seeds + s) * each;
    }
    DLF_TRY_DONE(dlf_graph_initialise(l.g, dlf_run_seed(run), draw));
    for (int t = 0; t < TASKS; t++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * t / TASKS, "digits, %s, task %d",
                                   scene == DLF_SPLIT ? "new classes" : "pixels permuted", t + 1));
        DLF_TRY_DONE(learn_task(&l, run, story, t, base, draw, value));
    }
    status = learn_jointly(&l, run, story->joint + (long)scene * l.seeds);
done:
    free(value);
    free(draw);
    free(base);
    lab_free(&l);
    return status;
}

dlf_status dlf_forgetting_digits(dlf_run *run, double from, double to)
{
    dlf_forgetting_story s = {.seeds = dlf_run_seeds(run)};
    const size_t cells = (size_t)DLF_FORGETTING_SCENES * ARMS * TASKS * TASKS, S = (size_t)s.seeds;
    s.accuracy = malloc((cells + DLF_FORGETTING_SCENES) * S * sizeof *s.accuracy);
    if (!s.accuracy) return dlf_fail(DLF_ERR_OOM, "forgetting: out of memory");
    s.joint = s.accuracy + cells * S;
    dlf_status status;
    for (int scene = 0; scene < DLF_FORGETTING_SCENES; scene++)
        DLF_TRY_DONE(learn_scene(run, &s, (dlf_forgetting_scene)scene,
                                 from + (to - from) * scene / DLF_FORGETTING_SCENES,
                                 from + (to - from) * (scene + 1) / DLF_FORGETTING_SCENES));
    status = dlf_forgetting_report(&s, run);
done:
    free(s.accuracy);
    return status;
}
