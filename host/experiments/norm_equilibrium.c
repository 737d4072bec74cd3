/* SPDX-License-Identifier: MIT
 * norm_equilibrium.c -- Q33: weight decay on weights in front of a norm does not make the function
 * simpler, it sets how fast the weights turn.
 *
 * Claim   The gradient is orthogonal to w, so that steps only make w longer and decay makes it
 *         shorter. At the balance (g~ = |w| g does not depend on |w|)
 *
 *             <|w|^4> = eta <|g~|^2> / (2 lambda)            rms turn per step = sqrt(2 eta lambda)
 *
 *         whatever the data, the loss and the start (van Laarhoven 2017; Wan et al. 2021). Exactly,
 *         where |w| neither grows nor shrinks on average: <-ln cos theta> = -ln(1 - eta lambda),
 *         since |w'| cos theta = (1 - eta lambda) |w|. From elsewhere the balance is approached as
 *         d|w|^4/dt = -4 eta lambda |w|^4 + 2 eta^2 |g~|^2 says.
 * Control no norm: the angle does not depend on lambda and is several times as large. */
#include "norm_equilibrium.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "seed_check.h"

enum { SETTINGS = 4, LONGER = SETTINGS, SHORTER, ARMS };
static const balance_arm arms[ARMS] = {
    {0.1, 0.005, 1.0}, {0.1, 0.001, 1.0}, {0.5, 0.001, 1.0}, {0.05, 0.005, 1.0},
    {0.1, 0.005, 2.0}, {0.1, 0.005, 0.5}}; /* the last two: away from the balance */

static const dlf_param params[] = {
    DLF_INT_PARAM("steps", 6000, 20000, 4, 1000000, "steps", "步数", "steps"),
    DLF_INT_PARAM("units", 12, 16, 2, 256, "units", "每个网络的单元数", "units per network"),
    {.name = NULL},
};

static const int methods[] = {DLF_BATCH_NORM, DLF_LAYER_NORM, NORM_NONE};
enum { METHODS = sizeof methods / sizeof methods[0] };

static double angle_law(const balance_arm *a)
{
    return sqrt(2.0 * a->eta * a->lambda);
}

/* Mean and interval over seeds of a function of one member. */
typedef double (*member_value)(const balance *b, int p, const balance_arm *arm);

static double angle_of(const balance *b, int p, const balance_arm *arm)
{
    (void)arm;
    return sqrt(b->angle2[p]);
}

static double length_of(const balance *b, int p, const balance_arm *arm)
{
    (void)arm;
    return b->w4[p];
}

static double length_law(const balance *b, int p, const balance_arm *arm)
{
    return arm->eta * b->g2[p] / (2.0 * arm->lambda);
}

/* Measured over predicted, for what is compared across the settings. */
static double angle_ratio(const balance *b, int p, const balance_arm *arm)
{
    return sqrt(b->angle2[p]) / angle_law(arm);
}

static double length_ratio(const balance *b, int p, const balance_arm *arm)
{
    return b->w4[p] / length_law(b, p, arm);
}

static double cosine_ratio(const balance *b, int p, const balance_arm *arm)
{
    return b->log_cos[p] / -log1p(-arm->eta * arm->lambda);
}

static dlf_estimate estimate(const balance *b, int arm, member_value value)
{
    double v[256];
    for (int s = 0; s < b->seeds; s++) v[s] = value(b, arm * b->seeds + s, &arms[arm]);
    return dlf_estimate_of(v, b->seeds, 1);
}

/* ---- tables -----------------------------------------------------------------------------------
 */

/* With layer norm |g~|^2 depends on the shape of the matrix, which comes to rest in 1/(eta lambda)
 * steps, far later than the length: settings that have not had the time are not at a balance. */
static bool has_settled(int method, const balance_arm *arm, int steps)
{
    return method != DLF_LAYER_NORM || 2.0 * arm->eta * arm->lambda * steps >= 4.0 || steps < 1000;
}

static dlf_status add_rows(dlf_table *t, int method, const balance *b, int steps)
{
    for (int a = 0; a < SETTINGS; a++) {
        if (!has_settled(method, &arms[a], steps)) continue;
        const dlf_estimate angle = estimate(b, a, angle_of), w4 = estimate(b, a, length_of);
        DLF_TRY(dlf_table_row(t, DLF_TXT(norm_method_id(method)), DLF_NUM(arms[a].eta),
                              DLF_NUM(arms[a].lambda), DLF_NUM(arms[a].eta * arms[a].lambda),
                              DLF_NUM(angle.mean), DLF_NUM(angle.lo), DLF_NUM(angle.hi),
                              DLF_NUM(angle_law(&arms[a])), DLF_NUM(w4.mean), DLF_NUM(w4.lo),
                              DLF_NUM(w4.hi), DLF_NUM(estimate(b, a, length_law).mean)));
    }
    return DLF_OK;
}

/* |w|^4 over its balance from starts 16 times too large and too small, at 60 times. */
static dlf_status relaxation(dlf_run *run, const balance *b)
{
    static const char *const names[] = {"longer", "shorter"};
    const double balance4 = estimate(b, 0, length_law).mean;
    const int every = b->records > 60 ? b->records / 60 : 1;
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "relaxation",
                             (dlf_text){"长度回到平衡", "the length returns to its balance"},
                             (const dlf_column[]){{"start", NULL},
                                                  {"step", "step"},
                                                  {"w4", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {NULL, NULL}},
                             &t));
    for (int a = LONGER; a <= SHORTER; a++)
        for (int k = 0; k < b->records; k += every) {
            double v[256];
            for (int s = 0; s < b->seeds; s++)
                v[s] = b->course[(k * b->arms + a) * b->seeds + s] / balance4;
            const dlf_estimate e = dlf_estimate_of(v, b->seeds, 1);
            const double step = k * b->every, rate = 4.0 * arms[a].eta * arms[a].lambda;
            DLF_TRY(dlf_table_row(
                t, DLF_TXT(names[a - LONGER]), DLF_NUM(step), DLF_NUM(e.mean), DLF_NUM(e.lo),
                DLF_NUM(e.hi), DLF_NUM(1.0 + (pow(arms[a].start, 4.0) - 1.0) * exp(-rate * step))));
        }
    return DLF_OK;
}

/* ---- checks -----------------------------------------------------------------------------------
 */

static dlf_status ratio_check(dlf_run *run, const balance *b, int arm, const char *what,
                              dlf_text claim, member_value value, double tolerance,
                              const char *source)
{
    char id[48], zh[240], en[240];
    snprintf(id, sizeof id, "%s_%d", what, arm + 1);
    snprintf(zh, sizeof zh, "η=%g，λ=%g：%s", arms[arm].eta, arms[arm].lambda, claim.zh);
    snprintf(en, sizeof en, "η=%g, λ=%g: %s", arms[arm].eta, arms[arm].lambda, claim.en);
    dlf_check c = dlf_check_of(id, (dlf_text){zh, en}, estimate(b, arm, value));
    c.expected = 1.0;
    c.tolerance = tolerance;
    c.relative = true;
    c.source = source;
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status norm_checks(dlf_run *run, const balance *batch, const balance *layer)
{
    for (int a = 0; a < SETTINGS; a++) {
        DLF_TRY(ratio_check(
            run, batch, a, "bn_angle",
            (dlf_text){"BN 权重每步转角 / √(2ηλ)", "BN, turn of the weights per step over √(2ηλ)"},
            angle_ratio, 0.005,
            "Wan et al. 2021, theorem 1; 0.5 %: terms of order ηλ and what is "
            "left of fluctuations"));
        DLF_TRY(ratio_check(
            run, batch, a, "bn_length",
            (dlf_text){"BN，⟨|w|⁴⟩ 与 η⟨|g̃|²⟩/(2λ) 之比", "BN, ⟨|w|⁴⟩ over η⟨|g̃|²⟩/(2λ)"},
            length_ratio, 0.01,
            "van Laarhoven 2017; Wan et al. 2021; 1 %: as before, for the fourth "
            "power"));
    }
    DLF_TRY(ratio_check(
        run, batch, 0, "bn_cosine",
        (dlf_text){"BN，⟨−ln cos θ⟩ 与 −ln(1−ηλ) 之比", "BN, ⟨−ln cos θ⟩ over −ln(1−ηλ)"},
        cosine_ratio, 0.005,
        "exact at the balance: |w'| cos θ = (1−ηλ)|w|; 0.5 %: the length still "
        "drifts in a finite run"));
    DLF_TRY(ratio_check(run, layer, 0, "ln_angle",
                        (dlf_text){"LN 整个矩阵每步转角 / √(2ηλ)",
                                   "LN, turn of the whole matrix per step over √(2ηλ)"},
                        angle_ratio, 0.01,
                        "the same law: LN does not see the length of the matrix; "
                        "1 %: one vector per network instead of many"));
    return ratio_check(
        run, layer, 0, "ln_length",
        (dlf_text){"LN，⟨|W|⁴⟩ 与 η⟨|g̃|²⟩/(2λ) 之比", "LN, ⟨|W|⁴⟩ over η⟨|g̃|²⟩/(2λ)"}, length_ratio,
        0.02, "the same law for the whole matrix");
}

/* The start is forgotten at the rate 4 eta lambda: ln of the distance falls by 1 in 1/(4 eta
 * lambda) steps. */
static dlf_status relaxation_check(dlf_run *run, const balance *b)
{
    double v[256];
    const balance_arm *arm = &arms[LONGER];
    const double rate = 4.0 * arm->eta * arm->lambda;
    int k = (int)(1.0 / rate) / b->every;
    if (k >= b->records) k = b->records - 1;
    const double balance4 = estimate(b, 0, length_law).mean, t = k * b->every;
    for (int s = 0; s < b->seeds; s++)
        v[s] = b->course[(k * b->arms + LONGER) * b->seeds + s] / balance4;
    dlf_check c = dlf_check_of("bn_relaxation",
                               (dlf_text){"从两倍的长度开始，1/(4ηλ) 步之后的 |w|⁴（平衡 = 1）",
                                          "started twice as long, |w|⁴ after 1/(4ηλ) steps "
                                          "(balance: 1)"},
                               dlf_estimate_of(v, b->seeds, 1));
    c.expected = 1.0 + (pow(arm->start, 4.0) - 1.0) * exp(-rate * t);
    c.tolerance = 0.03;
    c.relative = true;
    c.source =
        "closed form: d|w|^4/dt = -4 eta lambda |w|^4 + 2 eta^2 |g~|^2; 3 %: fluctuations of "
        "one moment";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status control_checks(dlf_run *run, const balance *none)
{
    double v[256];
    dlf_check c = dlf_check_of("control_angle",
                               (dlf_text){"对照，无归一化：每步转角 / √(2ηλ)",
                                          "control, no norm: turn per step over √(2ηλ)"},
                               estimate(none, 0, angle_ratio));
    c.relation = DLF_AT_LEAST;
    c.expected = 5.0;
    c.source = "closed form: a linear unit turns by about acos(1 - eta (1+lambda)), 0.45 here: 14 "
               "times as much";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    for (int s = 0; s < none->seeds; s++)
        v[s] = sqrt(none->angle2[s] / none->angle2[none->seeds + s]);
    c = dlf_check_of("control_decay",
                     (dlf_text){"对照，无归一化：λ 大五倍，转角不变（之比）",
                                "control, no norm: five times the decay does not change the turn "
                                "(ratio)"},
                     dlf_estimate_of(v, none->seeds, 1));
    c.expected = sqrt((1.0 + arms[0].lambda) / (1.0 + arms[1].lambda));
    c.tolerance = 0.02;
    c.relative = true;
    c.source = "closed form: turn ~ sqrt(2 eta (1+lambda)); with a norm the ratio is sqrt(5) = "
               "2.24; 2 %: fluctuations";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    return dlf_result_fact(dlf_run_result(run), "norm_decay_ratio",
                           angle_law(&arms[0]) / angle_law(&arms[1]), "1");
}

/* ---- figures ----------------------------------------------------------------------------------
 */

static dlf_status figures(dlf_run *run)
{
    dlf_figure angle = {.id = "angle",
                        .kind = DLF_LINES,
                        .title = {"归一化之前的权重每步转 √(2ηλ)，与数据和损失无关",
                                  "Weights in front of a norm turn by √(2ηλ) per step, whatever "
                                  "the data and the loss"},
                        .subtitle = {"一层网络，20 个输入，批 16，随机目标，SGD 加权重衰减；四组"
                                     "（η，λ）",
                                     "one layer, 20 inputs, batch 16, random targets, SGD with "
                                     "weight decay; four settings of (η, λ)"},
                        .x = {{"ηλ", "ηλ"}, true},
                        .y = {{"每步转角（弧度，均方根）", "turn per step (radians, rms)"}, true},
                        .residuals = true};
    const dlf_text label[METHODS] = {{"BN，每个单元", "BN, per unit"},
                                     {"LN，整个矩阵", "LN, whole matrix"},
                                     {"对照：无归一化", "control: no norm"}};
    int n = 0;
    for (int m = 0; m < METHODS; m++)
        angle.series[n++] = (dlf_series){.role = m == 2 ? DLF_CONTROL : DLF_MEASURED,
                                         .table = "equilibrium",
                                         .where = "method",
                                         .equals = norm_method_id(methods[m]),
                                         .x = "eta_lambda",
                                         .y = "angle",
                                         .lo = "lo",
                                         .hi = "hi",
                                         .label = label[m],
                                         .colour = m,
                                         .points = true};
    for (int m = 0; m < 2; m++)
        angle.series[n++] = (dlf_series){.role = DLF_THEORY,
                                         .table = "equilibrium",
                                         .where = "method",
                                         .equals = norm_method_id(methods[m]),
                                         .x = "eta_lambda",
                                         .y = "theory",
                                         .label = {"√(2ηλ)", "√(2ηλ)"},
                                         .colour = m};
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &angle));
    dlf_figure back = {
        .id = "relaxation",
        .kind = DLF_LINES,
        .title = {"长度忘掉起点：无论从多长开始，|w|⁴ 都回到 η⟨|g̃|²⟩/(2λ)",
                  "The length forgets its start: |w|⁴ returns to η⟨|g̃|²⟩/(2λ)"},
        .subtitle = {"BN，η=0.1，λ=0.005；起点长一倍、短一半；1 为平衡",
                     "BN, η=0.1, λ=0.005; started twice and half as long; 1 is the balance"},
        .x = {{"步", "step"}, false},
        .y = {{"|w|⁴ / 平衡值", "|w|⁴ / its balance"}, true}};
    const dlf_text names[] = {{"起点两倍长", "twice as long"}, {"起点一半长", "half as long"}};
    for (int i = 0; i < 2; i++) {
        back.series[2 * i] = (dlf_series){.role = DLF_MEASURED,
                                          .table = "relaxation",
                                          .where = "start",
                                          .equals = i ? "shorter" : "longer",
                                          .x = "step",
                                          .y = "w4",
                                          .lo = "lo",
                                          .hi = "hi",
                                          .label = names[i],
                                          .colour = i};
        back.series[2 * i + 1] = back.series[2 * i];
        back.series[2 * i + 1].role = DLF_THEORY;
        back.series[2 * i + 1].y = "theory";
        back.series[2 * i + 1].lo = back.series[2 * i + 1].hi = NULL;
        back.series[2 * i + 1].label = (dlf_text){"1 + (f⁴−1) e^(−4ηλt)", "1 + (f⁴−1) e^(−4ηλt)"};
    }
    return dlf_result_figure(dlf_run_result(run), &back);
}

static dlf_status run_norm_equilibrium(dlf_run *run)
{
    balance b[METHODS] = {{.arms = 0}};
    dlf_table *t;
    dlf_status status;
    DLF_TRY_DONE(dlf_result_table(
        dlf_run_result(run), "equilibrium",
        (dlf_text){"步长与权重衰减的平衡", "the balance of steps and weight decay"},
        (const dlf_column[]){{"method", NULL},
                             {"eta", "1"},
                             {"lambda", "1"},
                             {"eta_lambda", "1"},
                             {"angle", "rad"},
                             {"lo", "rad"},
                             {"hi", "rad"},
                             {"theory", "rad"},
                             {"w4", "1"},
                             {"w4_lo", "1"},
                             {"w4_hi", "1"},
                             {"w4_theory", "1"},
                             {NULL, NULL}},
        &t));
    const int steps = dlf_run_int(run, "steps");
    for (int m = 0; m < METHODS; m++) {
        const bool batch = methods[m] == DLF_BATCH_NORM;
        const balance_spec spec = {.method = methods[m],
                                   .arm = arms,
                                   .arms = batch ? ARMS : SETTINGS,
                                   .units = dlf_run_int(run, "units"),
                                   .steps = steps,
                                   .burn = steps / 4,
                                   .every = steps > 40 ? 3 : 1};
        DLF_TRY_DONE(balance_run(&b[m], run, &spec, m / 3.0, (m + 1) / 3.0));
        DLF_TRY_DONE(add_rows(t, methods[m], &b[m], steps));
    }
    DLF_TRY_DONE(relaxation(run, &b[0]));
    DLF_TRY_DONE(norm_checks(run, &b[0], &b[1]));
    DLF_TRY_DONE(relaxation_check(run, &b[0]));
    DLF_TRY_DONE(control_checks(run, &b[2]));
    DLF_TRY_DONE(figures(run));
done:
    for (int m = 0; m < METHODS; m++) balance_free(&b[m]);
    return status;
}

const dlf_experiment dlf_experiment_norm_equilibrium = {
    .slug = "norm-equilibrium",
    .questions = "Q33",
    .title = {"Batch Normalization、Instance Normalization、Layer Normalization、Group "
              "Normalization之间有什么区别？",
              "What is the difference between Batch, Instance, Layer and Group Normalization?"},
    .claim = {"归一化之前的权重衰减不正则化函数，只决定权重每步转多少：√(2ηλ)",
              "weight decay in front of a norm does not regularize the function, it sets how far "
              "the weights turn per step: √(2ηλ)"},
    .quick_seeds = 5,
    .full_seeds = 8,
    .params = params,
    .run = run_norm_equilibrium,
};
