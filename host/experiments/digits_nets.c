/* SPDX-License-Identifier: MIT
 * digits_nets.c -- train populations on the digits and record the symptoms. */
#include "digits_nets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Everything one job holds while it runs. */
typedef struct session {
    const dlf_digits_job *job;
    int members, seeds, layers;
    dlf_mlp mlp;
    dlf_training *training;
    float *before, *after;   /* parameters (P,n) at the start and the end */
    double *loss, *previous; /* (P)                                       */
    double *change, *level;  /* (P) sums for the roughness                */
    double *squares;         /* (P,L+1)                                   */
} session;

static void session_free(session *s)
{
    dlf_training_free(s->training);
    dlf_mlp_free(&s->mlp);
    free(s->before);
    free(s->after);
    free(s->loss);
    free(s->previous);
    free(s->change);
    free(s->squares);
}

static dlf_status allocate(session *s)
{
    const size_t P = (size_t)s->members, n = (size_t)s->mlp.params.shape[1];
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
    double *values = malloc((size_t)P * 4 * sizeof *values);
    int32_t *draw = malloc((size_t)P * sizeof *draw);
    if (!values || !draw) {
        status = dlf_fail(DLF_ERR_OOM, "digits: out of memory");
        goto done;
    }
    double *sigma_w2 = values, *sigma_b2 = values + P, *lr = values + 2 * P;
    double *max_norm = values + 3 * P;
    bool clip = false;
    for (int p = 0; p < P; p++) {
        const dlf_digits_net *net = &job->net[p / s->seeds];
        draw[p] = p % s->seeds; /* the same seeds in every net: differences are paired */
        sigma_w2[p] = net->sigma_w2;
        sigma_b2[p] = 0.0;
        lr[p] = net->lr;
        max_norm[p] = net->max_norm;
        clip = clip || isfinite(net->max_norm);
    }
    const dlf_mlp_spec spec = {.members = P,
                               .batch = job->batch,
                               .inputs = data->features,
                               .width = job->width,
                               .depth = job->depth,
                               .classes = data->classes,
                               .activation = dlf_activation_of(job->kind)};
    DLF_TRY_DONE(dlf_mlp_new(&s->mlp, dlf_run_device(run), &spec));
    DLF_TRY_DONE(dlf_mlp_init(&s->mlp, dlf_run_seed(run), draw, sigma_w2, sigma_b2));
    DLF_TRY_DONE(allocate(s));
    const dlf_training_spec training = {.seed = dlf_run_seed(run),
                                        .draw = draw,
                                        .lr = lr,
                                        .max_norm = clip ? max_norm : NULL,
                                        .momentum = job->momentum,
                                        .weight_decay = job->weight_decay,
                                        .loss_scale = job->loss_scale};
    DLF_TRY_DONE(dlf_training_new(&s->training, &s->mlp, data, &training));
    DLF_TRY_DONE(dlf_tensor_download(s->before, &s->mlp.params));
done:
    free(draw);
    free(values);
    return status;
}

/* Gradients of the first minibatch, before any update. */
static dlf_status look_before(session *s, const dlf_dataset *data, dlf_digits_outcome *out)
{
    const int depth = s->job->depth, row = s->layers + 1;
    DLF_TRY(dlf_training_evaluate(s->training, 0, data->train, s->loss, NULL));
    DLF_TRY(dlf_training_probe(s->training));
    DLF_TRY(dlf_mlp_delta_squares(&s->mlp, s->squares));
    for (int p = 0; p < s->members; p++) {
        const double *square = s->squares + p * row;
        out[p].loss_start = s->loss[p];
        for (int l = 1; l <= s->layers; l++) out[p].delta2[l] = square[l];
        out[p].growth = depth < 2 ? NAN : pow(square[1] / square[depth], 1.0 / (depth - 1));
        out[p].depth_ratio = depth < 1 ? NAN : sqrt(square[1] / square[depth]);
    }
    DLF_TRY(dlf_mlp_weight_squares(&s->mlp, true, s->squares));
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
    const int64_t n = s->mlp.params.shape[1];
    DLF_TRY(dlf_training_evaluate(s->training, 0, data->train, s->previous, s->loss));
    for (int p = 0; p < s->members; p++) {
        out[p].loss_end = s->previous[p];
        out[p].train_accuracy = s->loss[p];
        out[p].roughness = 2.0 * s->change[p] / s->job->steps / out[p].loss_start;
    }
    DLF_TRY(dlf_training_evaluate(s->training, data->train, data->test, NULL, s->loss));
    DLF_TRY(dlf_tensor_download(s->after, &s->mlp.params));
    for (int p = 0; p < s->members; p++) {
        const float *w0 = s->before + p * n, *w1 = s->after + p * n;
        int64_t bad = 0, zeros = 0, weights = 0;
        out[p].accuracy = s->loss[p];
        for (int64_t i = 0; i < n; i++) bad += !isfinite(w1[i]);
        out[p].bad_weights = (double)bad / (double)n;
        for (int l = 1; l <= s->layers; l++) {
            const int64_t at =
                (const char *)s->mlp.layer[l].w.data - (const char *)s->mlp.params.data;
            const int64_t first = at / (int64_t)dlf_dtype_size(s->mlp.params.dtype);
            const int64_t count = dlf_tensor_member_count(&s->mlp.layer[l].w);
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
        DLF_TRY_DONE(dlf_training_step(s.training));
        DLF_TRY_DONE(dlf_training_loss(s.training, s.loss));
        note_losses(&s, step, out, curve);
    }
    DLF_TRY_DONE(look_after(&s, data, out));
done:
    session_free(&s);
    return status;
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
