/* SPDX-License-Identifier: MIT
 * compute_graph_hmm.c -- Q13: a hidden Markov model is a computational graph.
 *
 *   alpha_1 = pi * b(o_1),   alpha_{t+1} = (alpha_t A) * b(o_{t+1}),   likelihood = sum alpha_T
 *
 * (* elementwise, b(o) the column of emission probabilities.) Its gradient holds the expected
 * counts of the forward-backward algorithm (Baum et al. 1970; Eisner 2016, "inside-outside is just
 * backprop"):
 *
 *   A_ij dlog L / dA_ij = E[number of transitions i -> j | o] */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compute_graph.h"
#include "dlf/rng.h"
#include "hmm.h"

enum { STATES = 4, SYMBOLS = 5 };

static dlf_status draw_model(dlf_hmm *m, uint64_t seed, uint32_t member)
{
    DLF_TRY(dlf_hmm_new(m, STATES, SYMBOLS));
    dlf_hmm_draw(m, 0.05, 1.0, seed, dlf_stream(DLF_PURPOSE_START, 200), member);
    return DLF_OK;
}

static int symbol(uint64_t seed, uint32_t member, int t)
{
    const double u =
        (double)dlf_rng_uniform(seed, dlf_stream(DLF_PURPOSE_START, 201), member, (uint64_t)t);
    return (int)(u * SYMBOLS);
}

/* ---- the same as a graph ---- */

typedef struct hmm {
    dlf_graph *g;
    dlf_node start, move, emit, likelihood;
    int T;
} hmm;

/* Observations as one-hot rows; each step multiplies by S, so that 60 of them do not underflow. */
static dlf_status build(hmm *h, dlf_device *device, int members)
{
    const int64_t P = members;
    const dlf_node none = {0};
    DLF_TRY(dlf_graph_new(&h->g, device, members));
    const dlf_init given = {.kind = DLF_INIT_GIVEN};
    h->start = dlf_parameter(h->g, "pi", 3, (int64_t[]){P, 1, STATES}, given);
    h->move = dlf_parameter(h->g, "A", 3, (int64_t[]){P, STATES, STATES}, given);
    h->emit = dlf_parameter(h->g, "B", 3, (int64_t[]){P, STATES, SYMBOLS}, given);
    dlf_node alpha = none;
    for (int t = 0; t < h->T; t++) {
        char name[32];
        snprintf(name, sizeof name, "o%d", t + 1);
        const dlf_node o = dlf_input(h->g, name, 3, (int64_t[]){P, 1, SYMBOLS});
        const dlf_node b = dlf_matmul(h->g, NULL, o, false, h->emit, true, SYMBOLS);
        const dlf_node prior =
            t ? dlf_matmul(h->g, NULL, alpha, false, h->move, false, 1.0) : h->start;
        snprintf(name, sizeof name, "alpha%d", t + 1);
        alpha = dlf_product(h->g, name, prior, b);
    }
    const dlf_node ones = dlf_input(h->g, "ones", 3, (int64_t[]){P, STATES, 1});
    h->likelihood = dlf_matmul(h->g, "likelihood", alpha, false, ones, false, 1.0);
    dlf_graph_seed(h->g, h->likelihood);
    dlf_want_value(h->g, h->likelihood);
    return dlf_graph_compile(h->g);
}

static dlf_status upload(dlf_graph *g, dlf_node n, const double *values)
{
    return dlf_tensor_upload_f64(dlf_graph_value(g, n), values);
}

static dlf_status fill(const hmm *h, const dlf_hmm *m, uint64_t seed, int members, double *space)
{
    char name[32];
    for (int p = 0; p < members; p++)
        memcpy(space + p * STATES, m[p].start, STATES * sizeof *space);
    DLF_TRY(upload(h->g, h->start, space));
    for (int p = 0; p < members; p++)
        memcpy(space + p * STATES * STATES, m[p].move, STATES * STATES * sizeof *space);
    DLF_TRY(upload(h->g, h->move, space));
    for (int p = 0; p < members; p++)
        memcpy(space + p * STATES * SYMBOLS, m[p].emit, STATES * SYMBOLS * sizeof *space);
    DLF_TRY(upload(h->g, h->emit, space));
    for (int i = 0; i < members * STATES; i++) space[i] = 1.0;
    DLF_TRY(upload(h->g, dlf_graph_find(h->g, "ones"), space));
    for (int t = 0; t < h->T; t++) {
        for (int p = 0; p < members; p++)
            for (int s = 0; s < SYMBOLS; s++)
                space[p * SYMBOLS + s] = symbol(seed, (uint32_t)p, t) == s;
        snprintf(name, sizeof name, "o%d", t + 1);
        DLF_TRY(upload(h->g, dlf_graph_find(h->g, name), space));
    }
    return DLF_OK;
}

/* Worst relative difference of one member's counts; gradient is dL/dA, likelihood L. */
static dlf_status compare(const dlf_hmm *m, uint64_t seed, int member, int T,
                          const double *gradient, double likelihood, double *worst, double *total)
{
    double count[STATES * STATES] = {0.0};
    int *o = malloc((size_t)T * sizeof *o);
    if (!o) return dlf_fail(DLF_ERR_OOM, "compute-graph: out of memory");
    for (int t = 0; t < T; t++) o[t] = symbol(seed, (uint32_t)member, t);
    const dlf_status status = dlf_hmm_counts(m, o, T, count, NULL, NULL, NULL);
    free(o);
    *worst = *total = 0.0;
    for (int i = 0; i < STATES && status == DLF_OK; i++)
        for (int j = 0; j < STATES; j++) {
            const double ours = m->move[i * STATES + j] * gradient[i * STATES + j] / likelihood;
            const double error = fabs(ours - count[i * STATES + j]) / count[i * STATES + j];
            if (!(error <= *worst)) *worst = error;
            *total += ours;
        }
    return status;
}

/* A relative error that may only be rounding. */
static dlf_status identity(dlf_result *r, const char *id, dlf_text claim, double error,
                           const char *source)
{
    dlf_check check = dlf_check_exact(id, claim, error);
    check.tolerance = 1e-10;
    check.relation = DLF_AT_MOST;
    check.self_check = true;
    check.source = source;
    return dlf_result_check(r, check);
}

static dlf_status add_checks(dlf_run *run, double worst, double total_error, int members, int T)
{
    dlf_result *r = dlf_run_result(run);
    DLF_TRY(
        identity(r, "hmm_posteriors",
                 (dlf_text){"隐马尔可夫模型似然的梯度就是前向后向算法的期望转移次数",
                            "the gradient of a hidden Markov model's likelihood is the expected "
                            "transition counts of the forward-backward algorithm"},
                 worst, "Baum et al. 1970; Eisner 2016"));
    DLF_TRY(identity(r, "hmm_transitions",
                     (dlf_text){"期望转移次数之和等于 T − 1", "the expected counts sum to T - 1"},
                     total_error, "every step is one transition"));
    DLF_TRY(dlf_result_fact(r, "hmm_models", members, "1"));
    return dlf_result_fact(r, "hmm_length", T, "steps");
}

dlf_status dlf_compute_graph_hmm(dlf_run *run, double from)
{
    dlf_status status;
    dlf_device *ref = NULL;
    hmm h = {.T = dlf_run_int(run, "time")};
    const int P = dlf_run_seeds(run);
    const uint64_t seed = dlf_run_seed(run);
    dlf_hmm *m = calloc((size_t)P, sizeof *m);
    double *space = malloc((size_t)P * (STATES * (STATES + SYMBOLS) + 1) * sizeof *space);
    double worst = 0.0, total_error = 0.0;
    if (!m || !space) {
        status = dlf_fail(DLF_ERR_OOM, "compute-graph: out of memory");
        goto done;
    }
    DLF_TRY_DONE(dlf_run_stage(run, from, "hidden Markov models"));
    DLF_TRY_DONE(dlf_device_open(&ref, "ref"));
    DLF_TRY_DONE(build(&h, ref, P));
    for (int p = 0; p < P; p++) DLF_TRY_DONE(draw_model(&m[p], seed, (uint32_t)p));
    DLF_TRY_DONE(fill(&h, m, seed, P, space));
    for (int p = 0; p < P; p++) space[p] = 1.0;
    DLF_TRY_DONE(dlf_tensor_upload_f64(dlf_graph_seed_gradient(h.g, h.likelihood), space));
    DLF_TRY_DONE(dlf_graph_forward(h.g, DLF_TRAINING));
    DLF_TRY_DONE(dlf_graph_backward(h.g));
    DLF_TRY_DONE(dlf_tensor_download_f64(space, dlf_graph_gradient(h.g, h.move)));
    double *likelihood = space + P * STATES * STATES;
    DLF_TRY_DONE(dlf_tensor_download_f64(likelihood, dlf_graph_value(h.g, h.likelihood)));
    for (int p = 0; p < P; p++) {
        double error = 0.0, total = 0.0;
        DLF_TRY_DONE(compare(&m[p], seed, p, h.T, space + p * STATES * STATES, likelihood[p],
                             &error, &total));
        if (!(error <= worst)) worst = error;
        if (!(fabs(total / (h.T - 1) - 1.0) <= total_error))
            total_error = fabs(total / (h.T - 1) - 1.0);
    }
    DLF_TRY_DONE(add_checks(run, worst, total_error, P, h.T));

done:
    dlf_graph_free(h.g);
    dlf_device_close(ref);
    for (int p = 0; p < P && m; p++) dlf_hmm_free(&m[p]);
    free(space);
    free(m);
    return status;
}
