/* SPDX-License-Identifier: MIT
 * observed_nets.c -- train populations on the graph and look at their layers. */
#include "observed_nets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "classifier.h"
#include "dlf/train.h"

/* Everything one job holds while it runs. */
typedef struct session {
    const dlf_observed_job *job;
    const dlf_dataset *data;
    int members, rows;
    double *sigma_w2, *lr, *share; /* (P) */
    int32_t *draw;                 /* (P) */
    dlf_graph *trained, *watched;  /* the same networks: on minibatches, and on all rows at once */
    classifier_spec watched_spec;
    dlf_train *training;
} session;

static void session_free(session *s)
{
    dlf_train_free(s->training);
    dlf_graph_free(s->trained);
    dlf_graph_free(s->watched);
    free(s->sigma_w2);
    free(s->draw);
}

/* `rows` is the batch; the watched graph shares its batch among all members. */
static classifier_spec spec_of(const session *s, int rows, bool watch)
{
    static const dlf_init last = {.kind = DLF_INIT_NORMAL, .gain2 = 1.0};
    return (classifier_spec){.members = s->members,
                             .batch = rows,
                             .inputs = s->data->features,
                             .width = s->job->width,
                             .depth = s->job->depth,
                             .classes = s->data->classes,
                             .f = dlf_activation_of(s->job->kind),
                             .init = {.kind = DLF_INIT_NORMAL, .gains = s->sigma_w2},
                             .last = &last,
                             .observe = watch,
                             .shared = watch};
}

static dlf_status start(session *s, dlf_run *run)
{
    const dlf_observed_job *job = s->job;
    const size_t P = (size_t)s->members;
    s->sigma_w2 = malloc(3 * P * sizeof *s->sigma_w2);
    s->draw = malloc(P * sizeof *s->draw);
    if (!s->sigma_w2 || !s->draw) return dlf_fail(DLF_ERR_OOM, "networks: out of memory");
    s->lr = s->sigma_w2 + P;
    s->share = s->lr + P;
    for (int p = 0; p < s->members; p++) {
        s->sigma_w2[p] = job->net[p / job->seeds].sigma_w2;
        s->lr[p] = job->net[p / job->seeds].lr;
        s->draw[p] = p % job->seeds; /* the same seeds in every net: differences are paired */
    }
    const classifier_spec trained = spec_of(s, job->batch, false);
    DLF_TRY(classifier_new(&s->trained, dlf_run_device(run), &trained));
    DLF_TRY(dlf_graph_initialise(s->trained, dlf_run_seed(run), s->draw));
    const dlf_train_spec training = {
        .seed = dlf_run_seed(run), .draw = s->draw, .lr = s->lr, .optimiser = dlf_sgd(0.0, 0.0)};
    DLF_TRY(dlf_train_new(&s->training, s->trained, s->data, &training));
    if (!job->observe) return DLF_OK;
    s->watched_spec = spec_of(s, s->rows, true);
    DLF_TRY(classifier_new(&s->watched, dlf_run_device(run), &s->watched_spec));
    DLF_TRY(dlf_tensor_upload(dlf_graph_value(s->watched, dlf_graph_find(s->watched, "x")),
                              s->data->x));
    return dlf_tensor_upload_i32(dlf_graph_value(s->watched, dlf_graph_find(s->watched, "label")),
                                 s->data->label);
}

/* ---- looking ----------------------------------------------------------------------------------
 */

static dlf_status look_at_layer(session *s, int l, dlf_observed_layer *first, size_t step)
{
    dlf_status status;
    const size_t P = (size_t)s->members;
    dlf_tensor moments = {0};
    dlf_observation *seen = malloc(P * sizeof *seen);
    double *host = malloc(P * DLF_MOMENTS * sizeof *host);
    const dlf_node node = classifier_output(s->watched, &s->watched_spec, l);
    const dlf_tensor *value = dlf_graph_value(s->watched, node);
    if (!seen || !host) {
        status = dlf_fail(DLF_ERR_OOM, "networks: out of memory");
        goto done;
    }
    DLF_TRY_DONE(
        dlf_tensor_new(&moments, dlf_graph_device(s->watched), DLF_F64, s->members, DLF_MOMENTS));
    DLF_TRY_DONE(dlf_moments(&moments, value));
    DLF_TRY_DONE(dlf_tensor_download_f64(host, &moments));
    DLF_TRY_DONE(dlf_graph_observe(s->watched, node, seen));
    for (size_t p = 0; p < P; p++) {
        dlf_observed_layer *view = (dlf_observed_layer *)(void *)((char *)first + p * step) + l;
        *view = (dlf_observed_layer){
            .rms = seen[p].rms,
            .gradient_rms = seen[p].gradient_rms,
            .zeros =
                host[p * DLF_MOMENTS + DLF_MOMENT_ZEROS] / (double)dlf_tensor_member_count(value),
            .dead = seen[p].dead,
            .saturated = seen[p].saturated,
            .nonfinite = seen[p].nonfinite,
        };
    }
done:
    dlf_tensor_free(&moments);
    free(host);
    free(seen);
    return status;
}

/* One forward and backward of the trained parameters over all rows; `first` is the array of layers
 * in the first outcome. */
static dlf_status look(session *s, dlf_observed_layer *first)
{
    if (!s->job->observe) return DLF_OK;
    DLF_TRY(dlf_tensor_copy(dlf_graph_parameters(s->watched), dlf_graph_parameters(s->trained)));
    DLF_TRY(dlf_graph_forward(s->watched, DLF_TRAINING));
    DLF_TRY(dlf_graph_backward(s->watched));
    for (int l = 1; l <= s->job->depth + 1; l++)
        DLF_TRY(look_at_layer(s, l, first, sizeof(dlf_observed_outcome)));
    return DLF_OK;
}

/* ---- training ---------------------------------------------------------------------------------
 */

static dlf_status finish(session *s, dlf_observed_outcome *out)
{
    const dlf_dataset *d = s->data;
    DLF_TRY(dlf_train_evaluate(s->training, 0, s->rows, NULL, s->share));
    for (int p = 0; p < s->members; p++) out[p].train_error = 1.0 - s->share[p];
    DLF_TRY(dlf_train_evaluate(s->training, d->train, d->test, NULL, s->share));
    for (int p = 0; p < s->members; p++) out[p].test_error = 1.0 - s->share[p];
    DLF_TRY(dlf_train_diverged(s->training, s->draw)); /* the draws are no longer needed */
    for (int p = 0; p < s->members; p++) out[p].diverged = s->draw[p];
    return look(s, out[0].after);
}

dlf_status dlf_observed_run(dlf_run *run, const dlf_dataset *data, const dlf_observed_job *job,
                            dlf_observed_outcome *out, double *error, double from, double to)
{
    dlf_status status;
    session s = {.job = job,
                 .data = data,
                 .members = job->nets * job->seeds,
                 .rows = job->rows && job->rows < data->train ? job->rows : data->train};
    if (job->depth > DLF_OBSERVED_DEPTH)
        return dlf_fail(DLF_ERR_ARG, "observed networks have at most %d hidden layers, not %d",
                        DLF_OBSERVED_DEPTH, job->depth);
    memset(out, 0, (size_t)s.members * sizeof *out);
    DLF_TRY_DONE(start(&s, run));
    DLF_TRY_DONE(look(&s, out[0].before));
    for (int step = 0, k = 0; step < job->steps; step++) {
        if (step % 10 == 0)
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * step / job->steps, "%s: step %d",
                                       job->what, step));
        DLF_TRY_DONE(dlf_train_step(s.training));
        if (!error || k >= job->looks || job->look[k] != step + 1) continue;
        DLF_TRY_DONE(dlf_train_evaluate(s.training, 0, s.rows, NULL, s.share));
        for (int p = 0; p < s.members; p++) error[k * s.members + p] = 1.0 - s.share[p];
        k++;
    }
    DLF_TRY_DONE(finish(&s, out));
done:
    session_free(&s);
    return status;
}

dlf_status dlf_observed_network(dlf_graph **out, dlf_device *device, dlf_activation_kind kind,
                                int depth, int width)
{
    const classifier_spec spec = {.members = 2,
                                  .batch = 4,
                                  .inputs = 64,
                                  .width = width,
                                  .depth = depth,
                                  .classes = 10,
                                  .f = dlf_activation_of(kind),
                                  .init = dlf_he()};
    return classifier_new(out, device, &spec);
}

int dlf_observed_looks(int *look, int room, int steps)
{
    int n = 0;
    for (int at = 2; at < steps && n < room - 1; at += at < 8 ? 1 : at / 4) look[n++] = at;
    look[n++] = steps;
    return n;
}

double dlf_steps_to(const dlf_observed_job *job, const double *error, int member, double level,
                    bool *reached)
{
    const int members = job->nets * job->seeds;
    if (reached) *reached = true;
    for (int k = 0; k < job->looks; k++) {
        const double now = error[k * members + member];
        if (!(now <= level)) continue;
        if (k == 0) return job->look[0];
        const double last = error[(k - 1) * members + member];
        const double part = (last - level) / (last - now), base = job->look[k - 1];
        return base * pow(job->look[k] / base, part);
    }
    if (reached) *reached = false;
    return job->look[job->looks - 1];
}
