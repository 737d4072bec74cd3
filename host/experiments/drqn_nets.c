/* SPDX-License-Identifier: MIT
 * drqn_nets.c -- Q41: networks that learn action values, with and without memory. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/ops.h"
#include "drqn.h"
#include "recurrent.h"

dlf_status dlf_qnet_network(dlf_graph **out, dlf_device *device, const dlf_qnet_spec *s)
{
    DLF_TRY(dlf_graph_new(out, device, s->members));
    dlf_graph *g = *out;
    const int64_t P = s->members, B = s->batch, T = s->steps;
    /* Without memory every step is a sequence of its own. */
    const int sequences = s->recurrent ? s->batch : s->batch * s->steps;
    const dlf_elman_spec spec = {
        .members = s->members,
        .batch = sequences,
        .hidden = s->hidden,
        .inputs = s->inputs,
        .outputs = s->outputs,
        .steps = s->recurrent ? s->steps : 1,
        .gain2 = s->recurrent ? 1.0 : (double)(s->hidden + s->inputs) / s->inputs};
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){P, B, T * s->inputs});
    const dlf_node rows =
        dlf_view(g, NULL, x, 3, (int64_t[]){P, sequences, B * T / sequences * s->inputs});
    const dlf_node q =
        dlf_view(g, "values", dlf_elman(g, &spec, rows), 3, (int64_t[]){P, B, T * s->outputs});
    dlf_want_value(g, q);
    dlf_graph_seed(g, q);
    const dlf_status status = dlf_graph_compile(g);
    if (status == DLF_OK) return DLF_OK;
    dlf_graph_free(g);
    *out = NULL;
    return status;
}

static int64_t cells(const dlf_qnet_spec *s, int each)
{
    return (int64_t)s->members * s->batch * s->steps * each;
}

static dlf_status follow(dlf_qnet *q)
{
    return dlf_tensor_copy(dlf_graph_parameters(q->frozen), dlf_graph_parameters(q->online));
}

/* See dlf_qnet_new. */
static dlf_status start_by_remembering(dlf_graph *g, const dlf_qnet_spec *s)
{
    dlf_tensor *w = dlf_graph_value(g, dlf_graph_find(g, "w"));
    const int H = s->hidden, columns = H + s->inputs;
    double *host = malloc((size_t)dlf_tensor_count(w) * sizeof *host);
    if (!host) return dlf_fail(DLF_ERR_OOM, "drqn: out of memory");
    dlf_status status = dlf_tensor_download_f64(host, w);
    for (int i = 0; i < s->members * H; i++)
        for (int j = 0; j <= H; j++) host[(long)i * columns + j] = i % H == j;
    if (status == DLF_OK) status = dlf_tensor_upload_f64(w, host);
    free(host);
    return status;
}

dlf_status dlf_qnet_new(dlf_qnet *q, dlf_device *device, const dlf_qnet_spec *spec, uint64_t seed,
                        double rate, int every, int steps)
{
    *q = (dlf_qnet){.spec = *spec, .rate = rate, .every = every, .steps = steps};
    const int64_t in = cells(spec, spec->inputs), out = cells(spec, spec->outputs);
    q->x = calloc((size_t)(in + 3 * out), sizeof *q->x);
    if (!q->x) return dlf_fail(DLF_ERR_OOM, "drqn: out of memory");
    q->value = q->x + in;
    q->target = q->value + out;
    q->gradient = q->target + out;
    DLF_TRY(dlf_qnet_network(&q->online, device, spec));
    DLF_TRY(dlf_qnet_network(&q->frozen, device, spec));
    DLF_TRY(dlf_graph_initialise(q->online, seed, NULL));
    if (spec->recurrent && !spec->random_start) DLF_TRY(start_by_remembering(q->online, spec));
    DLF_TRY(follow(q));
    const dlf_tensor *w = dlf_graph_parameters(q->online);
    DLF_TRY(dlf_tensor_new(&q->m, device, w->dtype, spec->members, w->shape[1]));
    DLF_TRY(dlf_tensor_new(&q->v, device, w->dtype, spec->members, w->shape[1]));
    DLF_TRY(dlf_tensor_new(&q->lr, device, device->real, spec->members));
    DLF_TRY(dlf_tensor_zero(&q->m));
    return dlf_tensor_zero(&q->v);
}

void dlf_qnet_free(dlf_qnet *q)
{
    dlf_tensor_free(&q->lr);
    dlf_tensor_free(&q->v);
    dlf_tensor_free(&q->m);
    dlf_graph_free(q->frozen);
    dlf_graph_free(q->online);
    free(q->x);
}

static dlf_status run_one(dlf_graph *g, const double *x, double *out)
{
    DLF_TRY(dlf_tensor_upload_f64(dlf_graph_value(g, dlf_graph_find(g, "x")), x));
    DLF_TRY(dlf_graph_forward(g, DLF_TRAINING));
    return dlf_tensor_download_f64(out, dlf_graph_value(g, dlf_graph_find(g, "values")));
}

dlf_status dlf_qnet_look(dlf_qnet *q, bool both)
{
    memset(q->gradient, 0, (size_t)cells(&q->spec, q->spec.outputs) * sizeof *q->gradient);
    if (both) DLF_TRY(run_one(q->frozen, q->x, q->target));
    return run_one(q->online, q->x, q->value);
}

dlf_status dlf_qnet_learn(dlf_qnet *q)
{
    dlf_graph *g = q->online;
    const dlf_node out = dlf_graph_find(g, "values");
    const double left = 0.5 * (1.0 + cos(M_PI * q->done / q->steps));
    DLF_TRY(dlf_tensor_upload_f64(dlf_graph_seed_gradient(g, out), q->gradient));
    for (int p = 0; p < q->spec.members; p++) q->value[p] = q->rate * left;
    DLF_TRY(dlf_tensor_upload_f64(&q->lr, q->value));
    DLF_TRY(dlf_graph_backward(g));
    DLF_TRY(dlf_adam_step(
        dlf_graph_parameters(g), &q->m, &q->v, dlf_graph_gradients(g), &q->lr, NULL, NULL,
        (dlf_adam_args){.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .step = ++q->done}));
    return q->done % q->every == 0 ? follow(q) : DLF_OK;
}

int dlf_qnet_best(const dlf_qnet *q, int p, int b, int t)
{
    const dlf_qnet_spec *s = &q->spec;
    const double *at = q->value + (((long)p * s->batch + b) * s->steps + t) * s->outputs;
    int best = 0;
    for (int a = 1; a < s->outputs; a++)
        if (at[a] > at[best]) best = a;
    return best;
}

double dlf_qnet_worth(const dlf_qnet *q, int p, int b, int t)
{
    const dlf_qnet_spec *s = &q->spec;
    return q->target[(((long)p * s->batch + b) * s->steps + t) * s->outputs +
                     dlf_qnet_best(q, p, b, t)];
}
