/* SPDX-License-Identifier: MIT
 * norm_landscape_rates.c -- Q33: the largest learning rate that trains, by depth and norm. All
 * rates and seeds of a network train side by side; a rate trains if after the last step the loss
 * over the training set is below half of what guessing has, ln(10)/2. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/train.h"
#include "figures.h"
#include "norm_landscape.h"
#include "seed_check.h"

enum { RATES = 10, LOWEST = -6, DEPTHS = 3, BATCH = 32 }; /* rates 2^LOWEST .. 2^(LOWEST+RATES-1) */
static const int methods[] = {NORM_NONE, DLF_BATCH_NORM, DLF_LAYER_NORM, DLF_GROUP_NORM,
                              DLF_RMS_NORM};
enum { METHODS = sizeof methods / sizeof methods[0] };

static double rate_of(int r)
{
    return ldexp(1.0, LOWEST + r);
}

/* Loss of every (rate, seed) after training; NaN where it diverged. */
static dlf_status train(dlf_run *run, const dlf_dataset *data, int method, int depth, double *loss,
                        double from, double to)
{
    const int seeds = dlf_run_seeds(run), P = RATES * seeds, steps = dlf_run_int(run, "rate_steps");
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    dlf_status status;
    double *lr = malloc((size_t)P * sizeof *lr);
    int32_t *draw = malloc((size_t)P * sizeof *draw);
    if (!lr || !draw) {
        status = dlf_fail(DLF_ERR_OOM, "norm-landscape: out of memory");
        goto done;
    }
    for (int p = 0; p < P; p++) {
        lr[p] = rate_of(p / seeds);
        draw[p] = p % seeds;
    }
    DLF_TRY_DONE(landscape_network(&g, dlf_run_device(run), method, P, BATCH, data->features,
                                   dlf_run_int(run, "digits_width"), depth, data->classes));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), draw));
    DLF_TRY_DONE(dlf_train_new(
        &t, g, data,
        &(dlf_train_spec){
            .seed = dlf_run_seed(run), .draw = draw, .lr = lr, .optimiser = dlf_sgd(0.0, 0.0)}));
    for (int i = 0; i < steps; i += 10) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * i / steps, "%s, %d layers",
                                   norm_method_id(method), depth));
        DLF_TRY_DONE(dlf_train_run(t, i + 10 < steps ? 10 : steps - i));
    }
    DLF_TRY_DONE(dlf_train_evaluate(t, 0, data->train, loss, NULL));
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    free(draw);
    free(lr);
    return status;
}

/* log2 of the largest rate that trains, up to which all rates above the first that trains do: a
 * rate beyond a gap is luck. One step below the grid if none does. */
static double largest(const double *loss, int seeds, int s, int classes)
{
    const double enough = 0.5 * log(classes);
    int best = -1;
    for (int r = 0; r < RATES; r++) {
        const bool trains = loss[r * seeds + s] < enough;
        if (trains) best = r;
        if (!trains && best >= 0) break;
    }
    return LOWEST + best;
}

/* ---- report -----------------------------------------------------------------------------------
 */

/* log2 of the largest rate: [depth][method][seed]. */
typedef struct rates {
    int seeds, depth[DEPTHS];
    double *log2rate;
} rates;

static double *at(const rates *r, int d, int m)
{
    return r->log2rate + (d * METHODS + m) * r->seeds;
}

static dlf_status add_rows(dlf_table *t, const rates *r, int d)
{
    for (int m = 0; m < METHODS; m++) {
        const dlf_estimate e = dlf_estimate_of(at(r, d, m), r->seeds, 1);
        DLF_TRY(dlf_table_row(t, DLF_TXT(norm_method_id(methods[m])), DLF_NUM(r->depth[d]),
                              DLF_NUM(exp2(e.mean)), DLF_NUM(exp2(e.lo)), DLF_NUM(exp2(e.hi))));
    }
    return DLF_OK;
}

/* Largest rate with norm m over that without, at depth d. */
static dlf_estimate gain(const rates *r, int d, int m)
{
    double v[256];
    const int n = r->seeds < 256 ? r->seeds : 256;
    for (int s = 0; s < n; s++) v[s] = at(r, d, m)[s] - at(r, d, 0)[s];
    return dlf_estimate_of(v, n, 1);
}

static dlf_check of_factor(const char *id, dlf_text claim, dlf_estimate log2)
{
    const dlf_estimate e = {exp2(log2.mean), exp2(log2.lo), exp2(log2.hi), (double)NAN, log2.n};
    return dlf_check_of(id, claim, e);
}

static dlf_status gain_checks(dlf_run *run, const rates *r)
{
    const int deep = DEPTHS - 1;
    for (int m = 1; m < METHODS; m++) {
        char id[48], zh[200], en[200];
        const dlf_text name = norm_method_name(methods[m]);
        snprintf(id, sizeof id, "rate_%s", norm_method_id(methods[m]));
        snprintf(zh, sizeof zh, "%d 层时，%s 能训练的最大学习率是不归一化的几倍", r->depth[deep],
                 name.zh);
        snprintf(en, sizeof en,
                 "%d layers: largest learning rate that trains with %s, over that "
                 "without a norm",
                 r->depth[deep], name.en);
        dlf_check c = of_factor(id, (dlf_text){zh, en}, gain(r, deep, m));
        const bool centres = methods[m] == DLF_BATCH_NORM;
        c.relation = centres ? DLF_AT_LEAST : DLF_AT_MOST;
        c.expected = centres ? 4.0 : 2.0;
        c.source = centres ? "Bjorck et al. 2018, in direction; 4: two steps of the grid"
                           : "rescaling each sample does not remove what all samples share, which "
                             "Bjorck et al. "
                             "2018 (section 4) hold responsible; 2: one step of the grid";
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    }
    double v[256];
    const int n = r->seeds < 256 ? r->seeds : 256;
    for (int s = 0; s < n; s++)
        v[s] = (at(r, deep, 1)[s] - at(r, deep, 0)[s]) - (at(r, 0, 1)[s] - at(r, 0, 0)[s]);
    char zh[200], en[200];
    snprintf(zh, sizeof zh, "BN 的好处随深度增大：%d 层的倍数 / %d 层的倍数", r->depth[deep],
             r->depth[0]);
    snprintf(en, sizeof en, "what BN gains grows with depth: factor at %d layers over factor at %d",
             r->depth[deep], r->depth[0]);
    dlf_check c = of_factor("rate_depth", (dlf_text){zh, en}, dlf_estimate_of(v, n, 1));
    c.relation = DLF_AT_LEAST;
    c.expected = 2.0;
    c.source = "Bjorck et al. 2018, in direction; 2: one step of the grid";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    return dlf_result_fact(dlf_run_result(run), "rate_none_deep",
                           exp2(dlf_estimate_of(at(r, deep, 0), r->seeds, 1).mean), "1");
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "rates",
        .kind = DLF_LINES,
        .title = {"只有 BN 使能训练的最大学习率不随深度下降",
                  "Only batch norm keeps the largest learning rate that trains from falling with "
                  "depth"},
        .subtitle =
            {"手写数字，ReLU，He 初始化，SGD，批 32；学习率按 2 倍取格，损失降到随机水平的"
             "一半算能训练",
             "digits, ReLU, He initialization, SGD, batch 32; rates in steps of 2; trained: "
             "loss below half of chance"},
        .x = {{"隐藏层数", "hidden layers"}, true},
        .y = {{"最大学习率", "largest learning rate"}, true}};
    for (int m = 0; m < METHODS; m++)
        f.series[m] = dlf_arm_series(m ? DLF_MEASURED : DLF_CONTROL, "rates", "method",
                                     norm_method_id(methods[m]), "depth", "rate",
                                     norm_method_name(methods[m]), m);
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status landscape_rates(dlf_run *run, const dlf_dataset *data, double from, double to)
{
    const int deep = dlf_run_int(run, "digits_depth"), seeds = dlf_run_seeds(run);
    rates r = {.seeds = seeds, .depth = {deep > 4 ? 2 : 1, deep > 5 ? deep / 3 : 2, deep}};
    dlf_table *t;
    dlf_status status;
    r.log2rate = malloc((size_t)(DEPTHS * METHODS * seeds) * sizeof *r.log2rate);
    double *loss = malloc((size_t)(RATES * seeds) * sizeof *loss);
    if (!r.log2rate || !loss) {
        status = dlf_fail(DLF_ERR_OOM, "norm-landscape: out of memory");
        goto done;
    }
    DLF_TRY_DONE(
        dlf_result_table(dlf_run_result(run), "rates",
                         (dlf_text){"能训练的最大学习率", "the largest learning rate that trains"},
                         (const dlf_column[]){{"method", NULL},
                                              {"depth", "layers"},
                                              {"rate", "1"},
                                              {"lo", "1"},
                                              {"hi", "1"},
                                              {NULL, NULL}},
                         &t));
    const double total = METHODS * (r.depth[0] + r.depth[1] + r.depth[2]);
    double done = 0.0;
    for (int d = 0; d < DEPTHS; d++) {
        for (int m = 0; m < METHODS; m++) {
            const double next = done + r.depth[d] / total;
            DLF_TRY_DONE(train(run, data, methods[m], r.depth[d], loss, from + (to - from) * done,
                               from + (to - from) * next));
            for (int s = 0; s < seeds; s++)
                at(&r, d, m)[s] = largest(loss, seeds, s, data->classes);
            done = next;
        }
        DLF_TRY_DONE(add_rows(t, &r, d));
    }
    DLF_TRY_DONE(gain_checks(run, &r));
    DLF_TRY_DONE(figure(run));
done:
    free(loss);
    free(r.log2rate);
    return status;
}
