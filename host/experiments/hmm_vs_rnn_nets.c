/* SPDX-License-Identifier: MIT
 * hmm_vs_rnn_nets.c -- Q43: recurrent networks that predict the next symbol. */
#include <math.h>
#include <stdlib.h>

#include "dlf/train.h"
#include "hmm_vs_rnn.h"

enum { INPUTS = 2 };

dlf_status dlf_next_symbol_network(dlf_graph **out, dlf_device *device, const dlf_next_symbol *n)
{
    const int64_t P = n->members, B = n->batch, T = n->steps;
    DLF_TRY(dlf_graph_new(out, device, n->members));
    dlf_graph *g = *out;
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){P, B, T * INPUTS});
    const dlf_node target = dlf_input(g, "target", 3, (int64_t[]){P, B, T});
    const dlf_node y = dlf_elman(g,
                                 &(dlf_elman_spec){.members = n->members,
                                                   .batch = n->batch,
                                                   .hidden = n->hidden,
                                                   .inputs = INPUTS,
                                                   .outputs = 1,
                                                   .steps = n->steps},
                                 x);
    const dlf_loss bce = {.kind = DLF_LOSS_BCE};
    dlf_graph_minimise(g, dlf_row_loss(g, "loss", y, target, bce), 1.0 / (double)(B * T));
    const dlf_status status = dlf_graph_compile(g);
    if (status == DLF_OK) return DLF_OK;
    dlf_graph_free(g);
    *out = NULL;
    return status;
}

double dlf_bit_loss(double z, int o)
{
    const double s = o ? -z : z;
    return fmax(s, 0.0) + log1p(exp(-fabs(s)));
}

void dlf_next_symbol_losses(const dlf_elman_weights *e, const int *o, int T, double *loss)
{
    double h[256] = {0.0}, z;
    for (int t = 0; t + 1 < T; t++) {
        const double x[INPUTS] = {1.0, o[t] ? 1.0 : -1.0};
        dlf_elman_step(e, h, x, &z);
        loss[t + 1] = dlf_bit_loss(z, o[t + 1]);
    }
}

void dlf_next_symbol_row(float *x, float *target, const int *o, int steps)
{
    for (int t = 0; t < steps; t++) {
        x[INPUTS * t] = 1.0f;
        x[INPUTS * t + 1] = o[t] ? 1.0f : -1.0f;
        target[t] = (float)o[t + 1];
    }
}

dlf_status dlf_next_symbol_train(dlf_run *run, const dlf_next_symbol *n, const dlf_windows *w,
                                 int steps, double rate, dlf_elman_weights *weights, double from,
                                 double to)
{
    enum { PIECE = 20 };
    const dlf_dataset data = {.name = "sequences",
                              .train = w->all,
                              .features = INPUTS * n->steps,
                              .targets = n->steps,
                              .x = w->x,
                              .target = w->target};
    dlf_graph *g = NULL;
    dlf_train *trainer = NULL;
    dlf_status status;
    double *lr = malloc((size_t)n->members * sizeof *lr);
    if (!lr) return dlf_fail(DLF_ERR_OOM, "hmm-vs-rnn: out of memory");
    for (int p = 0; p < n->members; p++) lr[p] = rate;
    DLF_TRY_DONE(dlf_next_symbol_network(&g, dlf_run_device(run), n));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    const dlf_train_spec spec = {
        .seed = dlf_run_seed(run),
        .base = w->base,
        .lr = lr,
        .optimiser = dlf_adam(0.0),
        .schedule = {.kind = DLF_SCHEDULE_COSINE, .steps = steps, .final = 0.0},
        .rows = w->rows};
    DLF_TRY_DONE(dlf_train_new(&trainer, g, &data, &spec));
    for (int done = 0; done < steps; done += PIECE) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * done / steps, "recurrent networks"));
        DLF_TRY_DONE(dlf_train_run(trainer, steps - done < PIECE ? steps - done : PIECE));
    }
    for (int p = 0; p < n->members; p++) {
        DLF_TRY_DONE(dlf_elman_weights_new(&weights[p], n->hidden, INPUTS, 1));
        DLF_TRY_DONE(dlf_elman_download(&weights[p], g, p));
    }
done:
    dlf_train_free(trainer);
    dlf_graph_free(g);
    free(lr);
    return status;
}
