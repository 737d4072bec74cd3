/* SPDX-License-Identifier: MIT
 * digits_nets.c -- train populations on the digits and record the symptoms. */
#include "digits_nets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "classifier.h"
#include "dlf/train.h"

/* Everything one job holds while it runs. */
typedef struct session {
    const dlf_digits_job *job;
    int members, seeds, layers;
    classifier_spec spec;
    dlf_graph *g;
    dlf_train *training;
    float *before, *after;   /* parameters (P,n) at the start and the end */
    double *loss, *previous; /* (P)                                       */
    double *change, *level;  /* (P) sums for the roughness                */
    double *squares;         /* (P,L+1)                                   */
} session;

static void session_free(session *s)
{
    dlf_train_free(s->training);
    dlf_graph_free(s->g);
    free(s->before);
    free(s->after);
    free(s->loss);
    free(s->previous);
    free(s->change);
    free(s->squares);
}

static dlf_status allocate(session *s)
{
    const size_t P = (size_t)s->members, n = (size_t)dlf_graph_parameters(s->g)->shape[1];
    s->before = malloc(P * n * sizeof *s->before);
    s->after = malloc(P * n * sizeof *s->after);
    s->loss = calloc(P, sizeof *s->loss);
    s->previous = calloc(P, sizeof *s->previous);
    s->change = calloc(P, sizeof *s->change);
    s->squares = calloc(P * (size_t)(s->layers + 1), sizeof *s->squares);
    if (!s->before || !s->after || !s->loss || !s->previous || !s->change || !s->squares)
        return dlf_fail(DLF_ERR_OOM, "digits: out of memory for %d networks", s->members);
    return DLF_OK;
}

static dlf_status start(session *s, dlf_run *run, const dlf_dataset *data)
{
    const dlf_digits_job *job = s->job;
    const int P = s->members;
    dlf_status status;
    double *values = malloc((size_t)P * 3 * sizeof *values);
    int32_t *draw = malloc((size_t)P * sizeof *draw);
    if (!values || !draw) {
        status = dlf_fail(DLF_ERR_OOM, "digits: out of memory");
        goto done;
    }
    double *sigma_w2 = values, *lr = values + P, *max_norm = values + 2 * P;
    bool clip = false;
    for (int p = 0; p < P; p++) {
        const dlf_digits_net *net = &job->net[p / s->seeds];
        draw[p] = p % s->seeds; /* the same seeds in every net: differences are paired */
        sigma_w2[p] = net->sigma_w2;
        lr[p] = net->lr;
        max_norm[p] = net->max_norm;
        clip = clip || isfinite(net->max_norm);
    }
    s->spec = (classifier_spec){.members = P,
                                .batch = job->batch,
                                .inputs = data->features,
                                .width = job->width,
                                .depth = job->depth,
                                .classes = data->classes,
                                .f = dlf_activation_of(job->kind),
                                .init = {.kind = DLF_INIT_NORMAL, .gains = sigma_w2},
                                .loss_scale = job->loss_scale,
                                .watch = true};
    DLF_TRY_DONE(classifier_new(&s->g, dlf_run_device(run), &s->spec));
    DLF_TRY_DONE(dlf_graph_initialise(s->g, dlf_run_seed(run), draw));
    DLF_TRY_DONE(allocate(s));
    const dlf_train_spec training = {.seed = dlf_run_seed(run),
                                     .draw = draw,
                                     .lr = lr,
                                     .max_norm = clip ? max_norm : NULL,
                                     .optimiser = dlf_sgd(job->momentum, job->weight_decay),
                                     .keep_diverged = true};
    DLF_TRY_DONE(dlf_train_new(&s->training, s->g, data, &training));
    DLF_TRY_DONE(dlf_tensor_download(s->before, dlf_graph_parameters(s->g)));
done:
    free(draw);
    free(values);
    return status;
}

/* Losses of the unscaled objective. */
static dlf_status evaluate(session *s, int first, int count, double *loss, double *accuracy)
{
    DLF_TRY(dlf_train_evaluate(s->training, first, count, loss, accuracy));
    for (int p = 0; loss && p < s->members; p++) loss[p] /= s->job->loss_scale;
    return DLF_OK;
}

/* Sums of squares of every layer's delta, or of its weights' gradient: squares[p * (L+1) + l]. */
static dlf_status layer_squares(session *s, bool weights)
{
    for (int l = 1; l <= s->layers; l++) {
        const dlf_node n =
            weights ? classifier_weight(s->g, &s->spec, l) : classifier_z(s->g, &s->spec, l);
        DLF_TRY(classifier_squares(dlf_graph_gradient(s->g, n), s->squares + l, s->layers + 1));
    }
    return DLF_OK;
}

/* Gradients of the first minibatch, before any update. */
static dlf_status look_before(session *s, const dlf_dataset *data, dlf_digits_outcome *out)
{
    const int depth = s->job->depth, row = s->layers + 1;
    DLF_TRY(evaluate(s, 0, data->train, s->loss, NULL));
    DLF_TRY(dlf_train_probe(s->training));
    DLF_TRY(layer_squares(s, false));
    for (int p = 0; p < s->members; p++) {
        double *square = s->squares + p * row;
        out[p].loss_start = s->loss[p];
        for (int l = 1; l <= s->layers; l++) {
            square[l] /= s->job->batch * (l > depth ? data->classes : s->job->width);
            out[p].delta2[l] = square[l];
        }
        out[p].growth = depth < 2 ? NAN : pow(square[1] / square[depth], 1.0 / (depth - 1));
        out[p].depth_ratio = depth < 1 ? NAN : sqrt(square[1] / square[depth]);
    }
    DLF_TRY(layer_squares(s, true));
    for (int p = 0; p < s->members; p++) {
        out[p].min_gradient = INFINITY;
        for (int l = 1; l <= depth; l++) {
            const double norm = sqrt(s->squares[p * row + l]);
            if (!(norm >= out[p].min_gradient)) out[p].min_gradient = norm;
            if (!(norm <= out[p].max_gradient)) out[p].max_gradient = norm;
        }
    }
    return DLF_OK;
}

static void note_losses(session *s, int step, dlf_digits_outcome *out, double *curve)
{
    const dlf_digits_job *job = s->job;
    for (int p = 0; p < s->members; p++) {
        const double loss = s->loss[p];
        if (!isfinite(loss) && out[p].first_bad_step < 0) out[p].first_bad_step = step;
        if (2 * step >= job->steps) s->change[p] += fabs(loss - s->previous[p]);
        s->previous[p] = loss;
        if (curve && job->curve_every && step % job->curve_every == 0)
            curve[step / job->curve_every * s->members + p] = loss;
    }
}

static dlf_status look_after(session *s, const dlf_dataset *data, dlf_digits_outcome *out)
{
    const dlf_tensor *params = dlf_graph_parameters(s->g);
    const int64_t n = params->shape[1];
    DLF_TRY(evaluate(s, 0, data->train, s->previous, s->loss));
    for (int p = 0; p < s->members; p++) {
        out[p].loss_end = s->previous[p];
        out[p].train_accuracy = s->loss[p];
        out[p].roughness = 2.0 * s->change[p] / s->job->steps / out[p].loss_start;
    }
    DLF_TRY(evaluate(s, data->train, data->test, NULL, s->loss));
    DLF_TRY(dlf_tensor_download(s->after, params));
    for (int p = 0; p < s->members; p++) {
        const float *w0 = s->before + p * n, *w1 = s->after + p * n;
        int64_t bad = 0, zeros = 0, weights = 0;
        out[p].accuracy = s->loss[p];
        for (int64_t i = 0; i < n; i++) bad += !isfinite(w1[i]);
        out[p].bad_weights = (double)bad / (double)n;
        for (int l = 1; l <= s->layers; l++) {
            const dlf_tensor *w = dlf_graph_value(s->g, classifier_weight(s->g, &s->spec, l));
            const int64_t bytes = (const char *)w->data - (const char *)params->data;
            const int64_t first = bytes / (int64_t)dlf_dtype_size(w->dtype);
            const int64_t count = dlf_tensor_member_count(w);
            double a = 0.0, b = 0.0, d = 0.0;
            for (int64_t i = first; i < first + count; i++) {
                a += (double)w0[i] * w0[i];
                b += (double)w1[i] * w1[i];
                d += ((double)w1[i] - w0[i]) * ((double)w1[i] - w0[i]);
                zeros += w1[i] == 0.0f;
            }
            weights += count;
            out[p].norm_ratio[l] = sqrt(b / a);
            out[p].move[l] = sqrt(d / a);
        }
        out[p].zero_weights = (double)zeros / (double)weights;
    }
    return DLF_OK;
}

dlf_status dlf_digits_run(dlf_run *run, const dlf_dataset *data, const dlf_digits_job *job,
                          dlf_digits_outcome *out, double *curve, double from, double to)
{
    dlf_status status;
    session s = {.job = job,
                 .seeds = job->seeds ? job->seeds : dlf_run_seeds(run),
                 .layers = job->depth + 1};
    s.members = job->nets * s.seeds;
    if (job->depth > DLF_DIGITS_LAYERS - 2)
        return dlf_fail(DLF_ERR_ARG, "digits networks have at most %d hidden layers, not %d",
                        DLF_DIGITS_LAYERS - 2, job->depth);
    memset(out, 0, (size_t)s.members * sizeof *out);
    for (int p = 0; p < s.members; p++) out[p].first_bad_step = -1;
    DLF_TRY_DONE(start(&s, run, data));
    DLF_TRY_DONE(look_before(&s, data, out));
    for (int step = 0; step < job->steps; step++) {
        if (step % 10 == 0)
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * step / job->steps, "%s: loss %.3f",
                                       job->what, s.previous[0]));
        DLF_TRY_DONE(dlf_train_step(s.training));
        DLF_TRY_DONE(dlf_train_loss(s.training, s.loss));
        for (int p = 0; p < s.members; p++) s.loss[p] /= job->loss_scale;
        note_losses(&s, step, out, curve);
    }
    DLF_TRY_DONE(look_after(&s, data, out));
done:
    session_free(&s);
    return status;
}

dlf_status dlf_digits_network(dlf_graph **out, dlf_device *device, dlf_activation_kind kind,
                              int depth, int width)
{
    const classifier_spec spec = {.members = 2,
                                  .batch = 64,
                                  .inputs = 64,
                                  .width = width,
                                  .depth = depth,
                                  .classes = 10,
                                  .f = dlf_activation_of(kind),
                                  .init = dlf_lecun()};
    return classifier_new(out, device, &spec);
}

dlf_estimate dlf_digits_estimate(const dlf_digits_outcome *first, int seeds, size_t offset)
{
    return dlf_estimate_of((const double *)(const void *)((const char *)first + offset), seeds,
                           (int)(sizeof *first / sizeof(double)));
}

double dlf_digits_share(const dlf_digits_outcome *first, int seeds,
                        bool (*rule)(const dlf_digits_outcome *o))
{
    int holds = 0;
    for (int s = 0; s < seeds; s++) holds += rule(&first[s]);
    return (double)holds / seeds;
}

bool dlf_digits_loss_high(const dlf_digits_outcome *o)
{
    return !(o->loss_end < 0.5 * log(10.0));
}
