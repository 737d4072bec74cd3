/* SPDX-License-Identifier: MIT
 * hidden_layers_nets.c -- Q17: classifiers trained past the point where every training row is
 * right, and looked at on the way. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/train.h"
#include "hidden_layers.h"

enum { BATCH = 64 };

/* The same networks twice: on minibatches, and on all rows at once, shared by the members. */
typedef struct session {
    dlf_hidden_story *story;
    dlf_graph *trained, *watched;
    dlf_train *t;
    float *rows, *weights; /* a layer and the last weights, of all members */
    double *accuracy;      /* (seeds) */
} session;

static void session_free(session *s)
{
    dlf_train_free(s->t);
    dlf_graph_free(s->trained);
    dlf_graph_free(s->watched);
    free(s->rows);
    free(s->weights);
    free(s->accuracy);
}

static dlf_node named(const dlf_graph *g, const char *format, int layer)
{
    char name[24];
    snprintf(name, sizeof name, format, layer);
    return dlf_graph_find(g, name);
}

static dlf_status build(dlf_graph *g, const dlf_hidden_story *s, int batch, bool watch)
{
    const dlf_activation linear = dlf_activation_of(DLF_LINEAR), relu = dlf_activation_of(DLF_RELU);
    const dlf_norm norm = {.kind = DLF_BATCH_NORM, .eps = 1e-5, .momentum = 0.1};
    const dlf_init zero = dlf_init_constant(0.0);
    const int64_t owners = watch ? 1 : dlf_graph_members(g);
    dlf_node h = dlf_input(g, "x", 3, (int64_t[]){owners, batch, s->data->features});
    for (int l = 1; l <= s->depth; l++) {
        char dense[24], normed[24], name[24];
        snprintf(dense, sizeof dense, "h%d.dense", l);
        snprintf(normed, sizeof normed, "h%d.norm", l);
        snprintf(name, sizeof name, "h%d", l);
        h = dlf_dense_init(g, dense, h, s->width, linear, dlf_he(), s->arm->norm ? NULL : &zero);
        if (s->arm->norm) h = dlf_norm_layer(g, normed, h, norm);
        h = dlf_activate(g, name, h, relu);
        if (watch) dlf_want_value(g, h);
    }
    h = dlf_dense(g, "logits", h, s->data->classes, linear, dlf_lecun());
    if (watch) {
        dlf_want_value(g, h);
        return dlf_graph_compile(g);
    }
    const dlf_node label = dlf_input_int(g, "label", 2, (int64_t[]){owners, batch});
    dlf_graph_minimise(g, dlf_cross_entropy(g, "loss", h, label), 1.0 / batch);
    return dlf_graph_compile(g);
}

static dlf_status start(session *s, dlf_run *run)
{
    dlf_hidden_story *q = s->story;
    const size_t S = (size_t)q->seeds, R = (size_t)(q->data->train + q->data->test);
    double *lr = malloc(S * sizeof *lr);
    s->accuracy = malloc(S * sizeof *s->accuracy);
    s->rows = malloc(S * R * (size_t)q->width * sizeof *s->rows);
    s->weights = malloc(S * (size_t)(q->data->classes * q->width) * sizeof *s->weights);
    dlf_status status;
    if (!lr || !s->accuracy || !s->rows || !s->weights) {
        status = dlf_fail(DLF_ERR_OOM, "hidden layers: out of memory");
        goto done;
    }
    for (int i = 0; i < q->seeds; i++) lr[i] = q->arm->lr;
    DLF_TRY_DONE(dlf_graph_new(&s->trained, dlf_run_device(run), q->seeds));
    DLF_TRY_DONE(build(s->trained, q, BATCH < q->data->train ? BATCH : q->data->train, false));
    DLF_TRY_DONE(dlf_graph_initialise(s->trained, dlf_run_seed(run) + 172, NULL));
    DLF_TRY_DONE(dlf_graph_new(&s->watched, dlf_run_device(run), q->seeds));
    DLF_TRY_DONE(build(s->watched, q, (int)R, true));
    DLF_TRY_DONE(dlf_tensor_upload(dlf_graph_value(s->watched, dlf_graph_find(s->watched, "x")),
                                   q->data->x));
    const dlf_train_spec spec = {.seed = dlf_run_seed(run) + 172,
                                 .lr = lr,
                                 .optimiser = dlf_sgd(0.9, q->arm->decay),
                                 .schedule = {DLF_SCHEDULE_COSINE, 0, q->steps, 0.01}};
    DLF_TRY_DONE(dlf_train_new(&s->t, s->trained, q->data, &spec));
done:
    free(lr);
    return status;
}

/* ---- looking ---- */

/* Forward all rows through the networks as they are now. */
static dlf_status refresh(session *s)
{
    DLF_TRY(dlf_tensor_copy(dlf_graph_parameters(s->watched), dlf_graph_parameters(s->trained)));
    for (int l = 1; l <= s->story->depth && s->story->arm->norm; l++) {
        const dlf_node from = named(s->trained, "h%d.norm", l),
                       to = named(s->watched, "h%d.norm", l);
        DLF_TRY(dlf_tensor_copy(dlf_graph_running_mean(s->watched, to),
                                dlf_graph_running_mean(s->trained, from)));
        DLF_TRY(dlf_tensor_copy(dlf_graph_running_var(s->watched, to),
                                dlf_graph_running_var(s->trained, from)));
    }
    return dlf_graph_forward(s->watched, DLF_EVALUATION);
}

static dlf_status measure(session *s, int k)
{
    dlf_hidden_story *q = s->story;
    const dlf_dataset *d = q->data;
    const int C = d->classes, D = q->width;
    const size_t R = (size_t)(d->train + d->test);
    dlf_hidden_look *look = q->look + k * q->seeds;
    DLF_TRY(dlf_tensor_download(s->rows,
                                dlf_graph_value(s->watched, named(s->watched, "h%d", q->depth))));
    DLF_TRY(dlf_tensor_download(
        s->weights, dlf_graph_value(s->watched, dlf_graph_find(s->watched, "logits.w"))));
    for (int i = 0; i < q->seeds; i++) {
        const float *h = s->rows + (size_t)i * R * (size_t)D;
        double *gram = i == 0 ? q->gram + k * C * C : NULL;
        DLF_TRY(dlf_collapse_of(&look[i].train, gram, h, d->label, d->train, D, C,
                                s->weights + i * C * D));
        DLF_TRY(dlf_collapse_of(&look[i].test, NULL, h + (size_t)d->train * (size_t)D,
                                d->label + d->train, d->test, D, C, NULL));
    }
    DLF_TRY(dlf_train_evaluate(s->t, 0, d->train, NULL, s->accuracy));
    for (int i = 0; i < q->seeds; i++) look[i].train_accuracy = s->accuracy[i];
    DLF_TRY(dlf_train_evaluate(s->t, d->train, d->test, NULL, s->accuracy));
    for (int i = 0; i < q->seeds; i++) look[i].test_accuracy = s->accuracy[i];
    return DLF_OK;
}

static dlf_status keep_layers(session *s, float *out)
{
    const dlf_hidden_story *q = s->story;
    const size_t layer =
        (size_t)q->seeds * (size_t)(q->data->train + q->data->test) * (size_t)q->width;
    for (int l = 1; l <= q->depth; l++)
        DLF_TRY(dlf_tensor_download(out + (size_t)(l - 1) * layer,
                                    dlf_graph_value(s->watched, named(s->watched, "h%d", l))));
    return DLF_OK;
}

/* 0, and then 10 and every sqrt(10) further, and the last step. */
static int choose_looks(int *at, int steps)
{
    int n = 0;
    at[n++] = 0;
    for (double t = 10.0; t < 0.8 * steps && n < DLF_HIDDEN_LOOKS - 1; t *= sqrt(10.0))
        at[n++] = (int)(t + 0.5);
    at[n++] = steps;
    return n;
}

static dlf_status allocate(dlf_hidden_story *q)
{
    const size_t layers = (size_t)q->depth * (size_t)q->seeds *
                          (size_t)(q->data->train + q->data->test) * (size_t)q->width;
    const size_t cells = (size_t)(q->data->classes * q->data->classes);
    q->look = calloc((size_t)(DLF_HIDDEN_LOOKS * q->seeds), sizeof *q->look);
    q->gram = calloc(DLF_HIDDEN_LOOKS * cells, sizeof *q->gram);
    q->before = malloc(layers * sizeof *q->before);
    q->after = malloc(layers * sizeof *q->after);
    if (!q->look || !q->gram || !q->before || !q->after)
        return dlf_fail(DLF_ERR_OOM, "hidden layers: out of memory");
    return DLF_OK;
}

void dlf_hidden_story_free(dlf_hidden_story *s)
{
    free(s->look);
    free(s->gram);
    free(s->before);
    free(s->after);
    *s = (dlf_hidden_story){0};
}

dlf_status dlf_hidden_train(dlf_hidden_story *out, dlf_run *run, const dlf_hidden_arm *arm,
                            const dlf_dataset *data, int seeds, int steps, double from, double to)
{
    dlf_status status;
    *out = (dlf_hidden_story){.arm = arm,
                              .data = data,
                              .seeds = seeds,
                              .depth = dlf_run_int(run, "digits_depth"),
                              .width = dlf_run_int(run, "digits_width"),
                              .steps = steps};
    out->looks = choose_looks(out->at, steps);
    session s = {.story = out};
    DLF_TRY_DONE(allocate(out));
    DLF_TRY_DONE(start(&s, run));
    for (int t = 0, k = 0; t <= steps; t++) {
        if (t == out->at[k]) {
            DLF_TRY_DONE(refresh(&s));
            DLF_TRY_DONE(measure(&s, k++));
        }
        if (t == 0) DLF_TRY_DONE(keep_layers(&s, out->before));
        if (t % 10 == 0)
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * t / steps, "%s, %s: step %d",
                                       data->name, arm->id, t));
        if (t < steps) DLF_TRY_DONE(dlf_train_step(s.t));
    }
    DLF_TRY_DONE(keep_layers(&s, out->after));
done:
    session_free(&s);
    if (status != DLF_OK) dlf_hidden_story_free(out);
    return status;
}

dlf_estimate dlf_hidden_at(const dlf_hidden_story *s, int look, size_t offset)
{
    const char *first = (const char *)(s->look + look * s->seeds) + offset;
    return dlf_estimate_of((const double *)(const void *)first, s->seeds,
                           (int)(sizeof(dlf_hidden_look) / sizeof(double)));
}
