/* SPDX-License-Identifier: MIT
 * boltzmann_annealing.c -- Q29: the partition function of trained machines by annealed importance
 * sampling (Neal 2001; Salakhutdinov & Murray 2008), against enumeration. Control: importance
 * sampling without annealing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "boltzmann.h"
#include "dlf/rng.h"
#include "figures.h"
#include "seed_check.h"

enum { LEVELS = 5, EARLY = 0, TRAINED, ARMS };
static const char *const arm_ids[ARMS] = {"early", "trained"};

typedef struct lab {
    int seeds, chains;
    int temperatures[LEVELS];
    double *error;  /* (ARMS, LEVELS, seeds): estimate of log Z less log Z            */
    double *spread; /* the same: standard deviation of log weights                    */
    double *share;  /* the same: (sum w)^2 / (n sum w^2), the share of useful samples */
    double *plain;  /* (seeds): that share without annealing, trained; exact          */
    double *weight; /* (chains)                                                       */
} lab;

static double *cell(const lab *l, double *of, int arm, int k)
{
    return of + (arm * LEVELS + k) * l->seeds;
}

/* log sum_h of the machine at inverse temperature beta, its visible biases as they are. */
static double score_at(const dlf_rbm *m, int v, double beta)
{
    double score = 0.0;
    for (int i = 0; i < DLF_RBM_V; i++)
        if (v >> i & 1) score += m->b[i];
    for (int j = 0; j < DLF_RBM_H; j++) {
        double z = m->c[j];
        for (int i = 0; i < DLF_RBM_V; i++)
            if (v >> i & 1) z += m->w[j][i];
        z *= beta;
        score += fmax(z, 0.0) + log1p(exp(-fabs(z)));
    }
    return score;
}

/* At beta = 0 only the biases count: pixels are independent, log Z = H ln 2 + sum ln(1 + e^b). */
static double log_z_base(const dlf_rbm *m)
{
    double z = DLF_RBM_H * log(2.0);
    for (int i = 0; i < DLF_RBM_V; i++) z += fmax(m->b[i], 0.0) + log1p(exp(-fabs(m->b[i])));
    return z;
}

static double one_chain(const dlf_rbm *m, int temperatures, dlf_rbm_dice *dice)
{
    int v = dlf_rbm_sample_visible(m, 0, 0.0, dice); /* of the biases alone */
    double log_weight = 0.0;
    for (int t = 1; t <= temperatures; t++) {
        const double beta = (double)t / temperatures, before = (double)(t - 1) / temperatures;
        log_weight += score_at(m, v, beta) - score_at(m, v, before);
        if (t < temperatures)
            v = dlf_rbm_sample_visible(m, dlf_rbm_sample_hidden(m, v, beta, dice), beta, dice);
    }
    return log_weight;
}

static void measure(const lab *l, const dlf_rbm *m, int arm, int s, uint64_t seed)
{
    const double log_z = dlf_rbm_log_z(m), base = log_z_base(m);
    for (int k = 0; k < LEVELS; k++) {
        double most = -INFINITY, sum = 0.0, squares = 0.0;
        dlf_rbm_dice dice = {.seed = seed,
                             .stream = dlf_stream(DLF_PURPOSE_INPUT, 93),
                             .member = (uint32_t)((s * ARMS + arm) * LEVELS + k)};
        for (int c = 0; c < l->chains; c++)
            most = fmax(most, l->weight[c] = one_chain(m, l->temperatures[k], &dice));
        for (int c = 0; c < l->chains; c++) {
            sum += exp(l->weight[c] - most);
            squares += exp(2.0 * (l->weight[c] - most));
        }
        cell(l, l->error, arm, k)[s] = base + most + log(sum / l->chains) - log_z;
        cell(l, l->spread, arm, k)[s] = dlf_estimate_of(l->weight, l->chains, 1).sd;
        cell(l, l->share, arm, k)[s] = sum * sum / squares / l->chains;
    }
    if (arm != TRAINED) return;
    double second = 0.0; /* E w^2 / (E w)^2, states drawn by their biases */
    for (int v = 0; v < DLF_RBM_STATES; v++)
        second += exp(2.0 * (score_at(m, v, 1.0) - log_z) - (score_at(m, v, 0.0) - base));
    l->plain[s] = 1.0 / second;
}

static dlf_estimate at(const lab *l, double *of, int arm, int k)
{
    return dlf_estimate_of(cell(l, of, arm, k), l->seeds, 1);
}

static dlf_status checks(const lab *l, dlf_run *run)
{
    enum { LAST = LEVELS - 1, BEFORE = LEVELS - 3 };
    double *slope = malloc((size_t)l->seeds * sizeof *slope);
    if (!slope) return dlf_fail(DLF_ERR_OOM, "boltzmann: out of memory");
    dlf_status status;
    dlf_check c =
        dlf_check_of("ais_log_z",
                     (dlf_text){"退火重要性采样的 ln Z 减去精确值（训练结束）",
                                "ln Z by annealed importance sampling, less exact (trained)"},
                     at(l, l->error, TRAINED, LAST));
    const double spread = at(l, l->spread, TRAINED, LAST).mean;
    c.tolerance =
        4.0 * spread / sqrt((double)l->chains * l->seeds) + 0.5 * spread * spread / l->chains;
    c.source = "enumeration; 4 standard errors of all chains, and the bias of a logarithm";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    for (int s = 0; s < l->seeds; s++)
        slope[s] = log(cell(l, l->spread, EARLY, LAST)[s] / cell(l, l->spread, EARLY, BEFORE)[s]) /
                   log((double)l->temperatures[LAST] / l->temperatures[BEFORE]);
    DLF_TRY_DONE(dlf_add_law(
        run, "ais_spread",
        (dlf_text){"训练到一成：权重对数的标准差随温度数的指数",
                   "after a tenth of training: exponent of the spread of log weights by "
                   "temperatures"},
        dlf_estimate_of(slope, l->seeds, 1), -0.5, 0.1,
        "Neal 2001: small independent steps, K^-1/2; 4 standard errors or 10 %"));
    DLF_TRY_DONE(dlf_add_bound(
        run, "ais_share",
        (dlf_text){
            "退火到最多的温度：有用样本的比例至少一半（训练结束）",
            "annealed by the most temperatures: at least half of the samples count (trained)"},
        at(l, l->share, TRAINED, LAST), DLF_AT_LEAST, 0.5, "Neal 2001, in direction"));
    DLF_TRY_DONE(dlf_add_bound(run, "plain_share",
                               (dlf_text){"对照，不退火：有用样本的比例也至少一半",
                                          "control, no annealing: as many count"},
                               dlf_estimate_of(l->plain, l->seeds, 1), DLF_AT_LEAST, 0.5,
                               "the sentence; exact, by enumeration"));
    status = dlf_result_fact(dlf_run_result(run), "most_temperatures", l->temperatures[LAST], "1");
done:
    free(slope);
    return status;
}

static dlf_status table_and_figure(const lab *l, dlf_run *run)
{
    static const dlf_text names[ARMS] = {{"退火，训练到一成", "annealed, a tenth of training"},
                                         {"退火，训练结束", "annealed, trained"}};
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "annealing",
        (dlf_text){"有用样本的比例与温度数", "share of useful samples by temperatures"},
        (const dlf_column[]){{"arm", NULL},
                             {"temperatures", "1"},
                             {"share", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"error", "nat"},
                             {"spread", "nat"},
                             {"plain", "1"},
                             {NULL, NULL}},
        &t));
    dlf_figure f = {
        .id = "annealing",
        .kind = DLF_LINES,
        .title = {"估计 Z：退火使大部分样本有用",
                  "To estimate Z: annealing makes most samples count"},
        .subtitle = {"精确训练的受限玻尔兹曼机；带为种子间 95 % 区间",
                     "exactly trained restricted Boltzmann machines; bands: 95 % over seeds"},
        .x = {{"温度数", "temperatures"}, true},
        .y = {{"有用样本的比例", "share of useful samples"}, true}};
    for (int arm = 0; arm < ARMS; arm++) {
        for (int k = 0; k < LEVELS; k++) {
            const dlf_estimate e = at(l, l->share, arm, k);
            DLF_TRY(dlf_table_row(t, DLF_TXT(arm_ids[arm]), DLF_NUM(l->temperatures[k]),
                                  DLF_NUM(e.mean), DLF_NUM(fmax(e.lo, 0.1 * e.mean)), DLF_NUM(e.hi),
                                  DLF_NUM(at(l, l->error, arm, k).mean),
                                  DLF_NUM(at(l, l->spread, arm, k).mean),
                                  DLF_NUM(dlf_estimate_of(l->plain, l->seeds, 1).mean)));
        }
        f.series[arm] = dlf_arm_series(DLF_MEASURED, "annealing", "arm", arm_ids[arm],
                                       "temperatures", "share", names[arm], arm);
    }
    f.series[ARMS] = (dlf_series){.role = DLF_CONTROL,
                                  .table = "annealing",
                                  .where = "arm",
                                  .equals = arm_ids[TRAINED],
                                  .x = "temperatures",
                                  .y = "plain",
                                  .label = {"对照：不退火", "control: no annealing"},
                                  .colour = ARMS};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_boltzmann_annealing(dlf_run *run, const dlf_rbm_models *models, double from,
                                   double to)
{
    lab l = {.seeds = dlf_run_seeds(run), .chains = dlf_run_int(run, "chains")};
    const int most = dlf_run_int(run, "temperatures");
    for (int k = 0; k < LEVELS; k++) { /* half decades */
        const double temperatures = most * pow(10.0, -0.5 * (LEVELS - 1 - k));
        l.temperatures[k] = temperatures < 1.5 ? 1 + k : (int)lround(temperatures);
    }
    const size_t S = (size_t)l.seeds;
    const size_t cells = ARMS * LEVELS * S;
    l.error = malloc((3 * cells + S + (size_t)l.chains) * sizeof *l.error);
    if (!l.error) return dlf_fail(DLF_ERR_OOM, "boltzmann: out of memory");
    l.spread = l.error + cells;
    l.share = l.spread + cells;
    l.plain = l.share + cells;
    l.weight = l.plain + S;
    dlf_status status;
    for (int s = 0; s < l.seeds; s++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * s / l.seeds, "annealing"));
        measure(&l, &models->early[s], EARLY, s, dlf_run_seed(run));
        measure(&l, &models->trained[s], TRAINED, s, dlf_run_seed(run));
    }
    DLF_TRY_DONE(checks(&l, run));
    status = table_and_figure(&l, run);
done:
    free(l.error);
    return status;
}
