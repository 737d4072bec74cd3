/* SPDX-License-Identifier: MIT
 * bn_gradient_explosion_rates.c -- Q25: the factor per layer, by norm, activation, batch size and
 * weight scale. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bn_gradient_explosion.h"
#include "bn_theory.h"
#include "dlf/theory.h"
#include "gradient_arms.h"
#include "seed_check.h"
#include "skip_connections.h"

enum { NONE = -1, SCALES = 3 };
static const double scales[SCALES] = {1.0, 0.5, 2.0}; /* sigma_w^2 = 2, 1/2, 8 */

/* batch 0: the largest. A check is made where it has a claim. */
typedef struct rate_arm {
    const char *id;
    dlf_activation_kind kind;
    int norm; /* dlf_norm_kind, or NONE */
    int batch;
    bool drawn;
    dlf_text claim;
} rate_arm;

static const rate_arm arms[] = {
    {"bn_linear_6", DLF_LINEAR, DLF_BATCH_NORM, 6, false, {NULL, NULL}},
    {"bn_linear_8",
     DLF_LINEAR,
     DLF_BATCH_NORM,
     8,
     true,
     {"线性 BN 网络，B = 8：每层 (B−2)/(B−3) 倍",
      "linear BN network, B = 8: (B−2)/(B−3) per layer"}},
    {"bn_linear_16", DLF_LINEAR, DLF_BATCH_NORM, 16, false, {NULL, NULL}},
    {"bn_linear_64",
     DLF_LINEAR,
     DLF_BATCH_NORM,
     64,
     false,
     {"线性 BN 网络，B = 64：批大时不再爆炸",
      "linear BN network, B = 64: no explosion with a large batch"}},
    {"bn_relu_6", DLF_RELU, DLF_BATCH_NORM, 6, false, {NULL, NULL}},
    {"bn_relu_8",
     DLF_RELU,
     DLF_BATCH_NORM,
     8,
     true,
     {"BN-ReLU，B = 8：小批的倍数更大", "BN-ReLU, B = 8: small batches explode faster"}},
    {"bn_relu_16", DLF_RELU, DLF_BATCH_NORM, 16, false, {NULL, NULL}},
    {"bn_relu_64",
     DLF_RELU,
     DLF_BATCH_NORM,
     64,
     false,
     {"BN-ReLU，B = 64：有限批的精确倍数", "BN-ReLU, B = 64: the exact factor of a finite batch"}},
    {"bn_relu_large",
     DLF_RELU,
     DLF_BATCH_NORM,
     0,
     true,
     {"BN-ReLU，大批：每层 π/(π−1) 倍，批再大也降不下去",
      "BN-ReLU, large batch: π/(π−1) per layer, which no larger batch lowers"}},
    {"bn_tanh_large",
     DLF_TANH,
     DLF_BATCH_NORM,
     0,
     false,
     {"BN-tanh，大批：每层 E φ'²/Var φ 倍", "BN-tanh, large batch: E φ'²/Var φ per layer"}},
    {"ln_relu_6", DLF_RELU, DLF_LAYER_NORM, 6, false, {NULL, NULL}},
    {"ln_relu_16", DLF_RELU, DLF_LAYER_NORM, 16, false, {NULL, NULL}},
    {"ln_relu_64",
     DLF_RELU,
     DLF_LAYER_NORM,
     64,
     true,
     {"对照，层归一化 + ReLU：每层 1 倍", "control, layer norm + ReLU: factor 1 per layer"}},
    {"ln_tanh_64",
     DLF_TANH,
     DLF_LAYER_NORM,
     64,
     false,
     {"反例，层归一化 + tanh：E φ'²/E φ²，照样爆炸",
      "counter-example, layer norm + tanh: E φ'²/E φ², explodes all the same"}},
    {"plain_relu_64",
     DLF_RELU,
     NONE,
     64,
     true,
     {"对照，不归一化的 ReLU（σw²=2）：每层 1 倍",
      "control, ReLU without norm (σw²=2): factor 1 per layer"}}};
enum { ARMS = sizeof arms / sizeof arms[0] };

static int batch_of(dlf_run *run, const rate_arm *a)
{
    return a->batch ? a->batch : dlf_run_int(run, "largest_batch");
}

static double rate_theory(const rate_arm *a, int B)
{
    const dlf_activation f = dlf_activation_of(a->kind);
    if (a->norm == NONE) return 1.0;
    if (a->norm == DLF_LAYER_NORM) return dlf_ln_rate_wide(f);
    return a->kind == DLF_LINEAR ? dlf_bn_rate_linear(B)
           : a->kind == DLF_RELU ? dlf_bn_rate_relu(B)
                                 : dlf_bn_rate_wide(f);
}

/* Energy k layers below the top over that at the top. */
static double energy_theory(const rate_arm *a, int B, int k)
{
    const double rate = rate_theory(a, B);
    if (k == 0) return 1.0;
    const double first = a->norm != DLF_BATCH_NORM || a->kind == DLF_TANH ? rate
                         : a->kind == DLF_LINEAR                          ? dlf_bn_first_linear(B)
                                                                          : dlf_bn_first_relu(B);
    return first * pow(rate, k - 1);
}

/* ---- measure ----------------------------------------------------------------------------------
 */

static dlf_status look(dlf_skip_view *view, dlf_run *run, const rate_arm *a, double from, double to)
{
    const int B = batch_of(run, a), index = (int)(a - arms);
    const dlf_activation f = dlf_activation_of(a->kind);
    const dlf_norm norm = {.kind = a->norm == NONE ? DLF_BATCH_NORM : (dlf_norm_kind)a->norm};
    const double skip[SCALES] = {0.0};
    double *mix = dlf_skip_identity(B);
    if (!mix) return dlf_fail(DLF_ERR_OOM, "gradient explosion: out of memory");
    const dlf_skip_stack stack = {.kind = a->norm == NONE ? DLF_SKIP_SUM : DLF_SKIP_NORM_SUM,
                                  .width = dlf_run_int(run, "width"),
                                  .depth = dlf_run_int(run, "depth"),
                                  .batch = B,
                                  .arms = !strcmp(a->id, "bn_relu_64") ? SCALES : 1,
                                  .skip = skip,
                                  .branch = scales,
                                  .mix = mix,
                                  .mix_columns = B,
                                  .gradient_mix = mix,
                                  .gradient_columns = B,
                                  .every = 1,
                                  .activation = &f,
                                  .norm = &norm};
    const dlf_status status =
        dlf_skip_look(view, run, &stack, dlf_run_seeds(run) * dlf_run_int(run, "nets"),
                      dlf_run_seed(run) + 10 + (uint64_t)index, from, to, a->id);
    free(mix);
    return status;
}

/* ln of the factor per layer, for every seed: from x_1, whose variance is that of all layers, to
 * the layer next to the top, where the gradient has become one of all layers. */
static void log_rates(double *out, const dlf_skip_view *v, int arm, int seeds)
{
    const int top = v->looks - 1, stride = v->arms * v->looks;
    double high[64], low[64];
    for (int s = 0; s < seeds; s += 64) {
        const int n = seeds - s < 64 ? seeds - s : 64, each = v->nets / seeds;
        const size_t first = (size_t)(s * each * stride);
        dlf_skip_by_seed(low, v->energy + dlf_skip_at(v, 0, arm, 1) + first, n * each, stride, n);
        dlf_skip_by_seed(high, v->energy + dlf_skip_at(v, 0, arm, top - 1) + first, n * each,
                         stride, n);
        for (int i = 0; i < n; i++) out[s + i] = log(low[i] / high[i]) / (top - 2);
    }
}

static dlf_status profile_rows(dlf_table *t, const rate_arm *a, const dlf_skip_view *v, int B)
{
    for (int l = 1; l < v->looks; l++) {
        const dlf_estimate e =
            dlf_log_mean(v->energy + dlf_skip_at(v, 0, 0, l), v->nets, v->arms * v->looks);
        const int k = v->looks - 1 - l;
        DLF_TRY(dlf_table_row(t, DLF_TXT(a->id), DLF_NUM(k), DLF_NUM(e.mean), DLF_NUM(e.lo),
                              DLF_NUM(e.hi), DLF_NUM(energy_theory(a, B, k))));
    }
    return DLF_OK;
}

static dlf_estimate exp_of(dlf_estimate e)
{
    e.mean = exp(e.mean);
    e.lo = exp(e.lo);
    e.hi = exp(e.hi);
    return e;
}

/* Does the scale of the weights change the factor? The same networks with sigma_w^2 = 2, 1/2, 8. */
static dlf_status scale_check(dlf_run *run, const dlf_skip_view *v, double *by_seed)
{
    const int S = dlf_run_seeds(run);
    log_rates(by_seed, v, 0, S);
    double most = 0.0;
    for (int arm = 1; arm < SCALES; arm++) {
        double *other = by_seed + S;
        log_rates(other, v, arm, S);
        for (int s = 0; s < S; s++) {
            const double off = fabs(exp(other[s] - by_seed[s]) - 1.0);
            if (!(off <= most)) most = off;
        }
    }
    dlf_check check = dlf_check_exact(
        "scale_free",
        (dlf_text){"权重缩小一半或放大一倍，倍数不变（最大相对差）",
                   "weights half or twice as large leave the factor alone (largest relative "
                   "difference)"},
        most);
    check.expected = 0.0;
    check.tolerance = 1e-4;
    check.self_check = true;
    check.source = "identity: the next norm divides by the scale; 1e-4: float32 over the layers";
    return dlf_result_check(dlf_run_result(run), check);
}

static dlf_status arm_check(dlf_run *run, const rate_arm *a, dlf_estimate e, double theory)
{
    dlf_check check = dlf_check_of(a->id, a->claim, e);
    const double error = (e.hi - e.lo) / (2.0 * dlf_student_t975(e.n > 1 ? e.n - 1 : 1));
    check.expected = theory;
    check.relative = true;
    /* heavy tails: |g|^2 is a product over the layers, and 1/s^2 of a small batch has one itself */
    check.tolerance = fmax(0.02, 4.0 * error / theory);
    check.source = a->norm == NONE ? "closed form: sigma_w^2 E relu'^2 = 1; 2 % or 4 s.e."
                   : a->norm == DLF_LAYER_NORM
                       ? "closed form: E phi'^2/E phi^2; 2 % (terms of 1/width) or 4 s.e."
                   : a->kind == DLF_TANH
                       ? "closed form: E phi'^2/Var phi for large B; 2 % (terms of 1/B and "
                         "1/width) or 4 s.e."
                   : a->kind == DLF_LINEAR
                       ? "Yang et al. 2019, and closed form: (B-2)/(B-3) (bn_theory.h); 2 % "
                         "(terms of 1/width) or 4 s.e."
                       : "closed form: finite batch, arc-cosine kernels (bn_theory.h), towards "
                         "pi/(pi-1), Luther 2020; 2 % (terms of 1/width) or 4 s.e.";
    return dlf_result_check(dlf_run_result(run), check);
}

static dlf_status measure(dlf_run *run, const rate_arm *a, dlf_table *rates, dlf_table *profile,
                          double *by_seed, double from, double to)
{
    const int S = dlf_run_seeds(run), B = batch_of(run, a);
    dlf_skip_view view = {0};
    dlf_status status;
    DLF_TRY_DONE(look(&view, run, a, from, to));
    log_rates(by_seed, &view, 0, S);
    const dlf_estimate e = exp_of(dlf_estimate_of(by_seed, S, 1));
    const double theory = rate_theory(a, B);
    char group[32];
    snprintf(group, sizeof group, "%s_%s",
             a->norm == NONE ? "plain" : dlf_norm_name((dlf_norm_kind)a->norm),
             dlf_activation_name(a->kind));
    DLF_TRY_DONE(dlf_table_row(rates, DLF_TXT(a->id), DLF_TXT(group), DLF_NUM(B), DLF_NUM(e.mean),
                               DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(theory),
                               DLF_NUM(M_PI / (M_PI - 1.0))));
    DLF_TRY_DONE(profile_rows(profile, a, &view, B));
    if (a->claim.en) DLF_TRY_DONE(arm_check(run, a, e, theory));
    if (view.arms == SCALES) DLF_TRY_DONE(scale_check(run, &view, by_seed));
done:
    dlf_skip_view_free(&view);
    return status;
}

/* ---- figures ----------------------------------------------------------------------------------
 */

static dlf_status profile_figure(dlf_run *run)
{
    static const dlf_text labels[] = {{"线性 BN，B=8", "linear BN, B=8"},
                                      {"BN-ReLU，B=8", "BN-ReLU, B=8"},
                                      {"BN-ReLU，大批", "BN-ReLU, large batch"},
                                      {"对照：LN-ReLU", "control: LN-ReLU"},
                                      {"对照：不归一化", "control: no norm"}};
    dlf_figure f = {
        .id = "profile",
        .kind = DLF_LINES,
        .title = {"没有跳转，批归一化使梯度按层指数爆炸",
                  "Without skips batch norm makes the gradient explode layer by layer"},
        .subtitle = {"未训练的全连接网络；虚线为有限批的精确公式，无拟合参数",
                     "untrained fully connected networks; dashed: exact law of the finite batch, "
                     "nothing fitted"},
        .x = {{"距顶部的层数 k", "layers from the top k"}, false},
        .y = {{"梯度能量 |g|² / 顶部", "gradient energy |g|² / top"}, true},
        .residuals = true};
    int n = 0, drawn = 0;
    for (int i = 0; i < ARMS; i++) {
        if (!arms[i].drawn) continue;
        const bool control = arms[i].norm != DLF_BATCH_NORM;
        const dlf_series shared = {.table = "profile",
                                   .where = "arm",
                                   .equals = arms[i].id,
                                   .x = "from_top",
                                   .colour = drawn};
        f.series[n] = shared;
        f.series[n].role = control ? DLF_CONTROL : DLF_MEASURED;
        f.series[n].y = "energy";
        f.series[n].lo = "lo";
        f.series[n].hi = "hi";
        f.series[n++].label = labels[drawn];
        f.series[n] = shared;
        f.series[n].role = DLF_THEORY;
        f.series[n].y = "theory";
        f.series[n++].label = drawn++ ? (dlf_text){"", ""} : (dlf_text){"公式", "law"};
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status rates_figure(dlf_run *run)
{
    static const struct {
        const char *group;
        dlf_text label;
    } groups[] = {{"batch_norm_relu", {"BN-ReLU", "BN-ReLU"}},
                  {"batch_norm_linear", {"线性 BN", "linear BN"}},
                  {"layer_norm_relu", {"对照：LN-ReLU", "control: LN-ReLU"}}};
    dlf_figure f = {
        .id = "rates",
        .kind = DLF_LINES,
        .title = {"批越小爆炸越快；ReLU 的倍数再大的批也降不到 π/(π−1) 以下",
                  "Small batches explode faster; with ReLU no batch gets below π/(π−1)"},
        .subtitle = {"每层梯度能量的倍数；虚线：(B−2)/(B−3) 与有限批的 ReLU 公式",
                     "factor of the gradient energy per layer; dashed: (B−2)/(B−3), and "
                     "the law of ReLU at finite B"},
        .x = {{"批大小 B", "batch size B"}, true},
        .y = {{"每层的倍数", "factor per layer"}, false}};
    for (int i = 0; i < 3; i++) {
        const dlf_series shared = {.table = "rates",
                                   .where = "group",
                                   .equals = groups[i].group,
                                   .x = "batch",
                                   .colour = i};
        f.series[2 * i] = f.series[2 * i + 1] = shared;
        f.series[2 * i].role = i == 2 ? DLF_CONTROL : DLF_MEASURED;
        f.series[2 * i].y = "rate";
        f.series[2 * i].lo = "lo";
        f.series[2 * i].hi = "hi";
        f.series[2 * i].points = true;
        f.series[2 * i].label = groups[i].label;
        f.series[2 * i + 1].role = DLF_THEORY;
        f.series[2 * i + 1].y = "theory";
        f.series[2 * i + 1].label = i ? (dlf_text){"", ""} : (dlf_text){"公式", "law"};
    }
    f.series[6] = (dlf_series){.role = DLF_REFERENCE,
                               .table = "rates",
                               .where = "group",
                               .equals = "batch_norm_relu",
                               .x = "batch",
                               .y = "limit",
                               .label = {"π/(π−1)", "π/(π−1)"}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status all_arms(dlf_run *run, double *by_seed, double from, double to)
{
    dlf_table *rates, *profile;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "rates",
        (dlf_text){"每层梯度能量的倍数", "factor of the gradient energy per layer"},
        (const dlf_column[]){{"arm", NULL},
                             {"group", NULL},
                             {"batch", "rows"},
                             {"rate", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {"limit", "1"},
                             {NULL, NULL}},
        &rates));
    DLF_TRY(dlf_result_table(dlf_run_result(run), "profile",
                             (dlf_text){"各层的梯度能量", "gradient energy by layer"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"from_top", "layers"},
                                                  {"energy", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {NULL, NULL}},
                             &profile));
    double cost = 0.0, done = 0.0;
    for (int i = 0; i < ARMS; i++) cost += 20 + batch_of(run, &arms[i]);
    for (int i = 0; i < ARMS; i++) {
        const double next = done + (20 + batch_of(run, &arms[i])) / cost;
        DLF_TRY(measure(run, &arms[i], rates, profile, by_seed, from + (to - from) * done,
                        from + (to - from) * next));
        done = next;
    }
    const double rate = M_PI / (M_PI - 1.0);
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "relu_limit", rate, "1"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "relu_fifty_layers", pow(rate, 25.0), "1"));
    DLF_TRY(profile_figure(run));
    return rates_figure(run);
}

dlf_status dlf_bn_rates(dlf_run *run, double from, double to)
{
    double *by_seed = malloc((size_t)(2 * dlf_run_seeds(run)) * sizeof *by_seed);
    if (!by_seed) return dlf_fail(DLF_ERR_OOM, "gradient explosion: out of memory");
    const dlf_status status = all_arms(run, by_seed, from, to);
    free(by_seed);
    return status;
}
