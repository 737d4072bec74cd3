/* SPDX-License-Identifier: MIT
 * nets_train.c -- populations of networks that are given as lists of layers. */
#include <stdlib.h>

#include "dlf/train.h"
#include "nets_graph.h"
#include "stopwatch.h"

static void describe(net_outcome *out, dlf_graph *g, const net_job *job)
{
    const dlf_graph_memory m = dlf_graph_memory_of(g);
    const int64_t members = dlf_graph_members(g);
    out->parameters = dlf_graph_parameter_count(g);
    out->macs = dlf_graph_cost_of(g).forward_macs / members / job->batch;
    out->bytes = (m.planned + m.parameters) / members;
}

/* Steps first..last-1; returns the time they took in *us. */
static dlf_status steps(dlf_run *run, dlf_train *t, const net_job *job, int first, int last,
                        double from, double to, double *us)
{
    dlf_device *dev = dlf_run_device(run);
    DLF_TRY(dlf_device_sync(dev));
    const double start = dlf_stopwatch_us(dev);
    for (int i = first; i < last; i++) {
        if (i % 4 == 0)
            DLF_TRY(dlf_run_stage(run, from + (to - from) * i / job->steps, "%s", job->what));
        DLF_TRY(dlf_train_step(t));
    }
    DLF_TRY(dlf_device_sync(dev));
    *us = dlf_stopwatch_us(dev) - start;
    return DLF_OK;
}

static dlf_status train(dlf_run *run, dlf_graph *g, dlf_train *t, const net_job *job,
                        net_outcome *out, double from, double to)
{
    const dlf_dataset *d = job->data;
    const int members = dlf_graph_members(g);
    for (int k = 0, done = 0; k < job->looks; k++) {
        const int next = job->steps * (k + 1) / job->looks;
        double us;
        DLF_TRY(steps(run, t, job, done, next, from, to, &us));
        out->step[k] = next;
        out->image_us[k] = us / ((double)(next - done) * members * job->batch);
        done = next;
        DLF_TRY(dlf_train_evaluate(t, d->train, d->test, NULL, out->test + k * members));
    }
    return DLF_OK;
}

static dlf_status train_list(dlf_run *run, const net *n, const net_job *job, net_outcome *out,
                             double from, double to)
{
    const int members = dlf_run_seeds(run);
    const dlf_dataset *d = job->data;
    dlf_status status;
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    double *lr = malloc((size_t)members * sizeof *lr);
    if (!lr) return dlf_fail(DLF_ERR_OOM, "%s: out of memory", job->what);
    for (int i = 0; i < members; i++) lr[i] = job->lr;
    const net_shape shape = {members, job->batch, d->channels, d->height, d->width};
    DLF_TRY_DONE(net_graph_new(&g, dlf_run_device(run), n, &shape));
    describe(out, g, job);
    DLF_TRY_DONE(dlf_graph_initialise(g, job->seed, NULL));
    DLF_TRY_DONE(
        dlf_train_new(&t, g, d,
                      &(dlf_train_spec){.seed = job->seed,
                                        .lr = lr,
                                        .optimiser = dlf_adam(0.0),
                                        .schedule = {DLF_SCHEDULE_COSINE, 0, job->steps, 0.0}}));
    DLF_TRY_DONE(train(run, g, t, job, out, from, to));
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    free(lr);
    return status;
}

dlf_status net_train(dlf_run *run, const net_job *job, net_outcome *out, double from, double to)
{
    const dlf_dataset *d = job->data;
    net *n = net_new();
    if (!n) return dlf_fail(DLF_ERR_OOM, "%s: out of memory", job->what);
    job->build(n, job->how);
    dlf_status status = net_count(n, d->channels, d->height, d->width, &out->sum);
    if (status == DLF_OK) status = train_list(run, n, job, out, from, to);
    net_free(n);
    return status;
}
