/* SPDX-License-Identifier: MIT
 * dropout_ensemble.c -- Q31: what a network with all its units computes, against the mean of all
 * its 2^12 masked sub-networks: exactly their geometric mean if dropout stands before the last
 * layer only, about it if it stands before others too, and never quite their arithmetic mean. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "dropout.h"
#include "figures.h"
#include "seed_check.h"

enum { UNITS = 12, DEPTHS = 3, INPUTS = 12, CLASSES = 5, TRIES = 16, KINDS = 2 };
#define KEEP 0.5

/* depth hidden layers of UNITS / depth relu units, a mask on each; He's weights. */
typedef struct small_net {
    int depth;
    double x[INPUTS], w[DEPTHS + 1][UNITS * INPUTS];
} small_net;

static void draw(small_net *n, uint64_t seed, uint32_t member)
{
    for (int i = 0; i < INPUTS; i++)
        n->x[i] = dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 160), member, (uint64_t)i);
    for (int l = 0; l <= n->depth; l++)
        for (int i = 0; i < UNITS * INPUTS; i++)
            n->w[l][i] = dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 160 + (uint32_t)l),
                                        member, (uint64_t)i);
}

static void logits(const void *user, const double *factor, double *z)
{
    const small_net *n = user;
    const int width = UNITS / n->depth;
    double h[INPUTS], next[UNITS];
    int inputs = INPUTS;
    memcpy(h, n->x, sizeof h);
    for (int l = 0; l < n->depth; l++) {
        for (int i = 0; i < width; i++) {
            double sum = 0.0;
            for (int j = 0; j < inputs; j++) sum += n->w[l][i * INPUTS + j] * h[j];
            next[i] = fmax(sum, 0.0) * sqrt(2.0 / inputs) * factor[l * width + i];
        }
        memcpy(h, next, (size_t)width * sizeof *h);
        inputs = width;
    }
    for (int c = 0; c < CLASSES; c++) {
        double sum = 0.0;
        for (int j = 0; j < inputs; j++) sum += n->w[n->depth][c * INPUTS + j] * h[j];
        z[c] = 2.0 * sum * sqrt(2.0 / inputs);
    }
}

/* value (DEPTHS, KINDS, seeds): distance of the scaled network from geometric and arithmetic mean.
 */
static void enumerate(const dlf_run *run, int depth, int seed, double *value)
{
    const int seeds = dlf_run_seeds(run);
    double *to = value + ((depth - 1) * KINDS) * seeds + seed;
    for (int t = 0; t < TRIES; t++) {
        dlf_mask_ensemble e;
        small_net n = {.depth = depth};
        draw(&n, dlf_run_seed(run), (uint32_t)(seed * TRIES + t));
        dlf_mask_ensemble_of(&e, logits, &n, UNITS, CLASSES, KEEP);
        to[0] += dlf_total_variation(e.scaled, e.geometric, CLASSES) / TRIES;
        to[seeds] += dlf_total_variation(e.scaled, e.arithmetic, CLASSES) / TRIES;
    }
}

static dlf_status report(dlf_run *run, const double *value)
{
    const int seeds = dlf_run_seeds(run);
    static const char *const ids[DEPTHS] = {"one", "two", "three"};
    static const dlf_text names[DEPTHS] = {
        {"一层", "one layer"}, {"两层", "two layers"}, {"三层", "three layers"}};
    static const char *const kinds[KINDS] = {"geometric", "arithmetic"};
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "sub_networks",
        (dlf_text){"完整网络与全部子网络平均之间的距离",
                   "distance of the whole network from the mean of all sub-networks"},
        (const dlf_column[]){{"layers", NULL},
                             {"layers_zh", NULL},
                             {"layers_en", NULL},
                             {"mean", NULL},
                             {"distance", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {NULL, NULL}},
        &t));
    for (int d = 0; d < DEPTHS; d++)
        for (int k = 0; k < KINDS; k++) {
            const dlf_estimate e = dlf_estimate_of(value + (d * KINDS + k) * seeds, seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(ids[d]), DLF_TXT(names[d].zh), DLF_TXT(names[d].en),
                                  DLF_TXT(kinds[k]), DLF_NUM(e.mean), DLF_NUM(e.lo),
                                  DLF_NUM(e.hi)));
        }
    double worst = 0.0;
    for (int s = 0; s < seeds; s++) worst = fmax(worst, value[s]);
    dlf_check c = dlf_check_exact(
        "geometric_identity",
        (dlf_text){"dropout 只在最后一层之前：完整网络恰好是全部子网络的归一化几何平均",
                   "dropout before the last layer only: the whole network is the normalised "
                   "geometric mean of all sub-networks"},
        worst);
    c.tolerance = 1e-12;
    c.source = "Baldi & Sadowski 2013; Srivastava et al. 2014: identity, all 2^12 masks";
    c.self_check = true;
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    const dlf_estimate deep = dlf_estimate_of(value + KINDS * seeds, seeds, 1);
    c = dlf_check_of("geometric_deep",
                     (dlf_text){"两层都有 dropout 时，这个等式不再成立",
                                "with dropout before two layers the identity no longer holds"},
                     deep);
    c.expected = 0.01;
    c.relation = DLF_AT_LEAST;
    c.source = "relu between the masks is not linear; total variation above 0.01";
    c.has_verdict = true;
    c.verdict = dlf_verdict_above(deep, 0.01);
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    const dlf_estimate mean = dlf_estimate_of(value + seeds, seeds, 1);
    c = dlf_check_of("arithmetic_differs",
                     (dlf_text){"它不是子网络概率的算术平均",
                                "it is not the arithmetic mean of their probabilities"},
                     mean);
    c.expected = 0.01;
    c.relation = DLF_AT_LEAST;
    c.source = "inequality of the means; total variation above 0.01, one layer";
    c.has_verdict = true;
    c.verdict = dlf_verdict_above(mean, 0.01);
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "sub_networks",
        .kind = DLF_BARS,
        .title = {"权重缩放：一层 dropout 时恰好是几何平均，多层时只是近似",
                  "Weight scaling is the geometric mean with one layer of dropout, about it with "
                  "more"},
        .subtitle = {"随机 relu 网络，枚举全部掩码，keep = 0.5；灰色对照：与算术平均的距离",
                     "random relu networks, all masks enumerated, keep = 0.5; grey control: the "
                     "arithmetic mean"},
        .x = {{"dropout 层数", "layers with dropout"}, false},
        .y = {{"与完整网络的全变差距离", "total variation from the whole network"}, false}};
    static const dlf_text labels[KINDS] = {{"几何平均", "geometric mean"},
                                           {"对照：算术平均", "control: arithmetic mean"}};
    for (int k = 0; k < KINDS; k++)
        f.series[k] =
            dlf_arm_series(k ? DLF_CONTROL : DLF_MEASURED, "sub_networks", "mean",
                           k ? "arithmetic" : "geometric", "layers", "distance", labels[k], k);
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_dropout_ensemble(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    dlf_status status;
    double *value = calloc((size_t)(DEPTHS * KINDS * seeds), sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "dropout: out of memory");
    for (int s = 0; s < seeds; s++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * s / seeds, "all sub-networks"));
        for (int d = 1; d <= DEPTHS; d++) enumerate(run, d, s, value);
    }
    DLF_TRY_DONE(report(run, value));
    DLF_TRY_DONE(figure(run));
done:
    free(value);
    return status;
}
