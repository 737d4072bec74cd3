/* SPDX-License-Identifier: MIT
 * hidden_layers_probes.c -- Q17: what can be read off a layer by a linear map (Alain & Bengio
 * 2016): the class, by softmax regression; the input itself, by ridge regression; and how far apart
 * the classes are in units of their own size. */
#include <stdlib.h>
#include <string.h>

#include "dlf/train.h"
#include "hidden_layers.h"

enum { BATCH = 64 };
#define PROBE_DECAY 1e-3
#define PROBE_RATE  0.02

/* Softmax regression from zero on `members` layers at once: member p's rows are x[p] (rows, D), the
 * training rows first, and are standardised in place. accuracy (members), on the test rows. */
static dlf_status fit(dlf_run *run, float *x, int D, int members, const dlf_dataset *data,
                      double *accuracy)
{
    const int R = data->train + data->test, steps = dlf_run_int(run, "fit_steps");
    dlf_status status;
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    int32_t *label = malloc((size_t)members * (size_t)R * sizeof *label);
    int32_t *base = malloc((size_t)members * sizeof *base);
    int32_t *draw = calloc((size_t)members, sizeof *draw);
    double *lr = malloc((size_t)members * sizeof *lr);
    if (!label || !base || !draw || !lr) {
        status = dlf_fail(DLF_ERR_OOM, "probes: out of memory");
        goto done;
    }
    for (int p = 0; p < members; p++) {
        base[p] = p * R;
        lr[p] = PROBE_RATE;
        memcpy(label + (size_t)p * (size_t)R, data->label, (size_t)R * sizeof *label);
        dlf_standardise(x + (size_t)p * (size_t)R * (size_t)D, D, data->train, data->test);
    }
    const dlf_dataset layers = {.name = "layers",
                                .train = members * R,
                                .features = D,
                                .classes = data->classes,
                                .x = x,
                                .label = label};
    const int batch = BATCH < data->train ? BATCH : data->train;
    DLF_TRY_DONE(dlf_graph_new(&g, dlf_run_device(run), members));
    const dlf_node rows = dlf_input(g, "x", 3, (int64_t[]){members, batch, D});
    const dlf_node right = dlf_input_int(g, "label", 2, (int64_t[]){members, batch});
    const dlf_node logits = dlf_dense(g, "logits", rows, data->classes,
                                      dlf_activation_of(DLF_LINEAR), dlf_init_constant(0.0));
    dlf_graph_minimise(g, dlf_cross_entropy(g, "loss", logits, right), 1.0 / batch);
    DLF_TRY_DONE(dlf_graph_compile(g));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    DLF_TRY_DONE(dlf_train_new(&t, g, &layers,
                               &(dlf_train_spec){.seed = dlf_run_seed(run) + 173,
                                                 .draw = draw,
                                                 .base = base,
                                                 .lr = lr,
                                                 .optimiser = dlf_adam(PROBE_DECAY),
                                                 .schedule = {DLF_SCHEDULE_COSINE, 0, steps, 0.01},
                                                 .rows = data->train}));
    DLF_TRY_DONE(dlf_train_run(t, steps));
    DLF_TRY_DONE(dlf_train_evaluate(t, data->train, data->test, NULL, accuracy));
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    free(label);
    free(base);
    free(draw);
    free(lr);
    return status;
}

/* The input: the same for every seed. */
static dlf_status probe_input(dlf_hidden_probe *probe, dlf_run *run, const dlf_hidden_story *s)
{
    const dlf_dataset *d = s->data;
    const size_t n = (size_t)(d->train + d->test) * (size_t)d->features;
    dlf_collapse seen;
    double accuracy;
    float *x = malloc(n * sizeof *x);
    if (!x) return dlf_fail(DLF_ERR_OOM, "probes: out of memory");
    memcpy(x, d->x, n * sizeof *x);
    dlf_status status = fit(run, x, d->features, 1, d, &accuracy);
    free(x);
    if (status == DLF_OK)
        status =
            dlf_collapse_of(&seen, NULL, d->x, d->label, d->train, d->features, d->classes, NULL);
    for (int i = 0; i < s->seeds && status == DLF_OK; i++)
        probe[i] = (dlf_hidden_probe){accuracy, seen.fuzziness, 1.0};
    return status;
}

dlf_status dlf_hidden_probes(dlf_hidden_probe *probe, dlf_run *run, const dlf_hidden_story *s,
                             bool trained, double from, double to)
{
    const dlf_dataset *d = s->data;
    const int members = s->depth * s->seeds;
    const size_t each = (size_t)(d->train + d->test) * (size_t)s->width;
    dlf_status status;
    float *x = malloc((size_t)members * each * sizeof *x);
    double *accuracy = malloc((size_t)members * sizeof *accuracy);
    if (!x || !accuracy) {
        status = dlf_fail(DLF_ERR_OOM, "probes: out of memory");
        goto done;
    }
    memcpy(x, trained ? s->after : s->before, (size_t)members * each * sizeof *x);
    DLF_TRY_DONE(probe_input(probe, run, s));
    for (int p = 0; p < members; p++) {
        dlf_hidden_probe *out = probe + s->seeds + p;
        dlf_collapse seen;
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * p / (members + 1.0),
                                   "probes: layer %d", p / s->seeds + 1));
        DLF_TRY_DONE(dlf_collapse_of(&seen, NULL, x + (size_t)p * each, d->label, d->train,
                                     s->width, d->classes, NULL));
        DLF_TRY_DONE(dlf_linear_share(&out->pixels, x + (size_t)p * each, s->width, d->x,
                                      d->features, d->train, d->test, PROBE_DECAY));
        out->fuzziness = seen.fuzziness;
    }
    DLF_TRY_DONE(fit(run, x, s->width, members, d, accuracy));
    for (int p = 0; p < members; p++) probe[s->seeds + p].accuracy = accuracy[p];
done:
    free(x);
    free(accuracy);
    return status;
}
