/* SPDX-License-Identifier: MIT
 * boltzmann_bias.c -- Q29: how wrong the expected gradient of CD-k is, exactly: the law of the data
 * after k steps of the Markov chain, against the model's. Control: untrained weights, where one
 * step is enough. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boltzmann.h"
#include "dlf/rng.h"
#include "figures.h"
#include "seed_check.h"

static const int rounds[] = {1, 2, 5, 10, 20, 50, 100, 200, 400};
enum {
    ROUNDS = sizeof rounds / sizeof rounds[0],
    STATES = DLF_RBM_STATES,
    HIDDEN = 1 << DLF_RBM_H,
    START = 0,
    EARLY,
    TRAINED,
    ARMS,
    ONE = 0,
    TEN = 3
};
static const char *const arm_ids[ARMS] = {"start", "early", "trained"};

typedef struct lab {
    int seeds, rounds, most;        /* entries of `rounds`, and the most steps of a chain */
    double *to_hidden, *to_visible; /* (STATES,HIDDEN), (HIDDEN,STATES)                   */
    double *bias;                   /* (ARMS, ROUNDS, seeds): over the true gradient      */
    double *second;                 /* (ARMS, seeds): second eigenvalue of the chain      */
    double *rate;                   /* (seeds): what the bias loses per step in the end   */
    double *sampled;                /* (seeds): sampled over exact bias, k = 1, trained   */
} lab;

static double *cell(const lab *l, int arm, int k)
{
    return l->bias + (arm * ROUNDS + k) * l->seeds;
}

static double distance(const dlf_rbm *a, const dlf_rbm *b)
{
    double square = 0.0;
    for (int j = 0; j < DLF_RBM_H; j++)
        for (int i = 0; i < DLF_RBM_V; i++) square += pow(a->w[j][i] - b->w[j][i], 2.0);
    return sqrt(square);
}

/* Power iteration on differences of laws (their sum stays 0), with the Rayleigh quotient of the
 * inner product 1/pi, in which the chain is symmetric. */
static double second_eigenvalue(const lab *l, const double *law, uint64_t seed, uint32_t member)
{
    double d[STATES], next[STATES], sum = 0.0, quotient = 0.0;
    for (int s = 0; s < STATES; s++) {
        d[s] = law[s] * dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_TEST, 92), member, (uint64_t)s);
        sum += d[s];
    }
    for (int s = 0; s < STATES; s++) d[s] -= sum * law[s];
    for (int power = 0; power < l->most; power++) {
        double along = 0.0, square = 0.0, length = 0.0;
        sum = 0.0; /* rounding leaves a little of pi, which would win */
        for (int s = 0; s < STATES; s++) sum += d[s];
        for (int s = 0; s < STATES; s++) next[s] = d[s] -= sum * law[s];
        dlf_rbm_step(l->to_hidden, l->to_visible, next);
        for (int s = 0; s < STATES; s++) {
            along += next[s] * d[s] / law[s];
            square += d[s] * d[s] / law[s];
            length += next[s] * next[s] / law[s];
        }
        quotient = along / square;
        if (!(length > 0.0)) break;
        for (int s = 0; s < STATES; s++) d[s] = next[s] / sqrt(length);
    }
    return quotient;
}

static void exact(const lab *l, const dlf_rbm *m, int arm, int s, uint64_t seed)
{
    double law[STATES], p[STATES] = {0.0};
    int32_t pattern[DLF_RBM_PATTERNS];
    dlf_rbm model, chain;
    dlf_rbm_tables(m, l->to_hidden, l->to_visible);
    dlf_rbm_patterns(pattern);
    for (int k = 0; k < DLF_RBM_PATTERNS; k++) p[pattern[k]] = 1.0 / DLF_RBM_PATTERNS;
    dlf_rbm_law(m, law);
    dlf_rbm_moments(m, law, &model);
    dlf_rbm_moments(m, p, &chain);
    const double gradient = distance(&chain, &model);
    for (int k = 0, done = 0; k < l->rounds; k++) {
        for (; done < rounds[k]; done++) dlf_rbm_step(l->to_hidden, l->to_visible, p);
        dlf_rbm_moments(m, p, &chain);
        cell(l, arm, k)[s] = distance(&chain, &model) / gradient;
    }
    l->second[arm * l->seeds + s] = second_eigenvalue(l, law, seed, (uint32_t)(arm * l->seeds + s));
    if (arm == EARLY) {
        int later = l->rounds - 1; /* the last that is not yet rounding: one mode is left */
        while (later > 1 && cell(l, arm, later)[s] < 1e-12) later--;
        const int late = later - 1;
        l->rate[s] = pow(cell(l, arm, later)[s] / cell(l, arm, late)[s],
                         1.0 / (rounds[later] - rounds[late]));
    }
}

/* <vh> after one sampled round, along the exact bias: the mean over many rounds, over the exact. */
static double sampled(const dlf_rbm *m, int repeats, uint64_t seed, uint32_t member, const lab *l)
{
    double law[STATES], p[STATES] = {0.0}, dot = 0.0, square = 0.0;
    int32_t pattern[DLF_RBM_PATTERNS];
    dlf_rbm model, chain, mean;
    dlf_rbm_dice dice = {
        .seed = seed, .stream = dlf_stream(DLF_PURPOSE_INPUT, 92), .member = member};
    dlf_rbm_patterns(pattern);
    dlf_rbm_law(m, law);
    dlf_rbm_moments(m, law, &model);
    for (int k = 0; k < DLF_RBM_PATTERNS; k++) p[pattern[k]] = 1.0 / DLF_RBM_PATTERNS;
    dlf_rbm_step(l->to_hidden, l->to_visible, p);
    dlf_rbm_moments(m, p, &chain);
    memset(p, 0, sizeof p);
    for (int r = 0; r < repeats; r++)
        for (int k = 0; k < DLF_RBM_PATTERNS; k++)
            p[dlf_rbm_sample_visible(m, dlf_rbm_sample_hidden(m, pattern[k], 1.0, &dice), 1.0,
                                     &dice)] += 1.0 / repeats / DLF_RBM_PATTERNS;
    dlf_rbm_moments(m, p, &mean);
    for (int j = 0; j < DLF_RBM_H; j++)
        for (int i = 0; i < DLF_RBM_V; i++) {
            const double bias = chain.w[j][i] - model.w[j][i];
            dot += bias * (mean.w[j][i] - model.w[j][i]);
            square += bias * bias;
        }
    return dot / square;
}

static dlf_status report(const lab *l, dlf_run *run)
{
    const dlf_estimate one = dlf_estimate_of(cell(l, EARLY, ONE), l->seeds, 1),
                       free_of = dlf_estimate_of(cell(l, START, ONE), l->seeds, 1);
    double *value = malloc((size_t)l->seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "boltzmann: out of memory");
    dlf_status status;
    for (int s = 0; s < l->seeds; s++)
        value[s] = log(l->rate[s]) / log(l->second[EARLY * l->seeds + s]);
    DLF_TRY_DONE(dlf_add_law(
        run, "bias_rate",
        (dlf_text){"CD-k 的偏差每步按链的第二特征值缩小（对数之比）",
                   "the bias of CD-k falls by the chain's second eigenvalue per step (ratio of "
                   "logarithms)"},
        dlf_estimate_of(value, l->seeds, 1), 1.0, 0.05,
        "spectral theorem: the chain is symmetric in 1/pi; 4 standard errors or 5 %"));
    DLF_TRY_DONE(dlf_add_law(
        run, "bias_sampled",
        (dlf_text){"采样得到的 CD-1 偏差与精确值之比", "bias of CD-1 as sampled, over exact"},
        dlf_estimate_of(l->sampled, l->seeds, 1), 1.0, 0.05,
        "by enumeration of all states; 4 standard errors or 5 %"));
    DLF_TRY_DONE(dlf_add_bound(
        run, "bias_trained",
        (dlf_text){
            "“CD-1 够用”：训练到一成时，偏差不到真梯度的一成",
            "\"CD-1 will do\": after a tenth of the training its bias is below a tenth of the "
            "true gradient"},
        one, DLF_AT_MOST, 0.1, "the sentence; exact, by enumeration"));
    DLF_TRY_DONE(dlf_add_bound(run, "bias_start",
                               (dlf_text){"对照，训练之前：偏差不到真梯度的一成",
                                          "control, before training: below a tenth"},
                               free_of, DLF_AT_MOST, 0.1,
                               "weights near 0: the chain forgets in one step"));
    for (int arm = EARLY; arm < ARMS; arm++) {
        char id[32];
        snprintf(id, sizeof id, "second_%s", arm_ids[arm]);
        DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), id,
                                     dlf_estimate_of(l->second + arm * l->seeds, l->seeds, 1).mean,
                                     "1"));
        snprintf(id, sizeof id, "bias_ten_%s", arm_ids[arm]);
        DLF_TRY_DONE(dlf_result_fact(
            dlf_run_result(run), id,
            dlf_estimate_of(cell(l, arm, TEN < l->rounds ? TEN : l->rounds - 1), l->seeds, 1).mean,
            "1"));
    }
    dlf_table *t;
    DLF_TRY_DONE(dlf_result_table(
        dlf_run_result(run), "bias", (dlf_text){"CD-k 的偏差", "bias of CD-k"},
        (const dlf_column[]){
            {"arm", NULL}, {"rounds", "1"}, {"bias", "1"}, {"lo", "1"}, {"hi", "1"}, {NULL, NULL}},
        &t));
    for (int arm = 0; arm < ARMS; arm++)
        for (int k = 0; k < l->rounds; k++) {
            const dlf_estimate e = dlf_estimate_of(cell(l, arm, k), l->seeds, 1);
            if (e.mean < 1e-12) continue; /* nothing but rounding is left */
            DLF_TRY_DONE(dlf_table_row(t, DLF_TXT(arm_ids[arm]), DLF_NUM(rounds[k]),
                                       DLF_NUM(e.mean), DLF_NUM(fmax(e.lo, 0.1 * e.mean)),
                                       DLF_NUM(e.hi)));
        }
    dlf_figure f = {.id = "bias",
                    .kind = DLF_LINES,
                    .title = {"CD-k 的偏差：训练越久，链忘得越慢",
                              "Bias of CD-k: trained chains forget slowly"},
                    .subtitle = {"精确计算（枚举全部状态）；带为种子间 95 % 区间",
                                 "exact, by enumeration of all states; bands: 95 % over seeds"},
                    .x = {{"链的步数 k", "steps of the chain k"}, true},
                    .y = {{"偏差 / 真梯度", "bias / true gradient"}, true}};
    static const dlf_text names[ARMS] = {{"对照：训练之前", "control: before training"},
                                         {"训练到一成", "after a tenth of training"},
                                         {"训练结束", "trained"}};
    for (int arm = 0; arm < ARMS; arm++)
        f.series[arm] = dlf_arm_series(arm == START ? DLF_CONTROL : DLF_MEASURED, "bias", "arm",
                                       arm_ids[arm], "rounds", "bias", names[arm], arm);
    status = dlf_result_figure(dlf_run_result(run), &f);
done:
    free(value);
    return status;
}

dlf_status dlf_boltzmann_bias(dlf_run *run, const dlf_rbm_models *models, double from, double to)
{
    lab l = {.seeds = dlf_run_seeds(run), .most = dlf_run_int(run, "rounds")};
    while (l.rounds < ROUNDS && rounds[l.rounds] <= l.most) l.rounds++;
    const size_t S = (size_t)l.seeds;
    l.to_hidden =
        malloc((2 * STATES * HIDDEN + (ARMS * ROUNDS + ARMS + 2) * S) * sizeof *l.to_hidden);
    if (!l.to_hidden) return dlf_fail(DLF_ERR_OOM, "boltzmann: out of memory");
    l.to_visible = l.to_hidden + STATES * HIDDEN;
    l.bias = l.to_visible + STATES * HIDDEN;
    l.second = l.bias + ARMS * ROUNDS * S;
    l.rate = l.second + ARMS * S;
    l.sampled = l.rate + S;
    dlf_status status;
    for (int s = 0; s < l.seeds; s++)
        for (int arm = 0; arm < ARMS; arm++) {
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * s / l.seeds, "bias of CD-k"));
            const dlf_rbm *m = (arm == START   ? models->start
                                : arm == EARLY ? models->early
                                               : models->trained) +
                               s;
            exact(&l, m, arm, s, dlf_run_seed(run));
            if (arm == EARLY)
                l.sampled[s] = sampled(m, dlf_run_int(run, "sweeps") / 4 + 1, dlf_run_seed(run),
                                       (uint32_t)s, &l);
        }
    status = report(&l, run);
done:
    free(l.to_hidden);
    return status;
}
