/* SPDX-License-Identifier: MIT
 * skip_connections_energy.c -- Q40: how much gradient energy arrives at the bottom of five
 * architectures, against a closed form each.
 *
 * Every block is x <- S x + W f(x) with E|W f'|^2 known, W independent of what lies below and
 * above: the energies of the paths add (Veit et al. 2016 count the paths, this weighs them):
 *
 *   plain              1                               s = 0, a = 1, sigma_w^2 = 2 (He et al. 2015)
 *   residual           (s^2 + a^2)^L                   a = 1: 2^L,  a = 1/sqrt(L): (1+1/L)^L -> e
 *   constant gate t    ((1-t)^2 + t^2)^L
 *   gate T(x)          prod E(1-T)^2 + E T^2 + 2 q E T'^2, q <- q (E(1-T)^2 + E T^2)
 *   dense (per unit)   L + 1: block l sends 1/l of its energy to each of the l blocks below
 *   batch norm inside  prod 1 + 1/v_l, v_l = 1 + l (pi-1)/pi: what BN divides by grows with depth
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/theory.h"
#include "figures.h"
#include "gradient_arms.h"
#include "skip_connections.h"

/* ---- theory -----------------------------------------------------------------------------------
 */

static double sum_theory(double skip, double branch, int depth)
{
    return pow(skip * skip + branch * branch, depth);
}

double dlf_skip_variance(int l)
{
    return 1.0 + l * (M_PI - 1.0) / M_PI;
}

double dlf_skip_norm_energy(int from, int to)
{
    double product = 1.0;
    for (int l = from; l < to; l++) product *= 1.0 + 1.0 / dlf_skip_variance(l);
    return product;
}

typedef struct gate_law {
    double bias, deviation;
} gate_law;

static double gate(double z, const void *user)
{
    const gate_law *g = user;
    return 1.0 / (1.0 + exp(-(g->bias + g->deviation * z)));
}
static double kept_square(double z, const void *user)
{
    const double t = gate(z, user);
    return (1.0 - t) * (1.0 - t) + t * t;
}
static double slope_square(double z, const void *user)
{
    const double t = gate(z, user);
    return t * t * (1.0 - t) * (1.0 - t);
}

double dlf_skip_gate_energy(double bias, int depth)
{
    double q = 1.0, product = 1.0;
    for (int l = 0; l < depth; l++) {
        const gate_law law = {bias, sqrt(q)};
        const double kept = dlf_gaussian_mean(kept_square, &law);
        product *= kept + 2.0 * q * dlf_gaussian_mean(slope_square, &law);
        q *= kept;
    }
    return product;
}

/* ---- architectures ----------------------------------------------------------------------------
 */

typedef struct architecture {
    const char *id;
    dlf_text label, claim;
    dlf_skip_kind kind;
    double skip, branch; /* branch < 0: 1/sqrt(depth); GATE: skip is the bias      */
    double tolerance;    /* relative, beside the noise of finite width             */
    bool control;
} architecture;

#define GATE_BIAS (-4.0)

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double branch_of(const architecture *a, int depth)
{
    return a->branch < 0.0 ? 1.0 / sqrt(depth) : a->branch;
}

static double theory_of(const architecture *a, int depth)
{
    switch (a->kind) {
    case DLF_SKIP_SUM: return sum_theory(a->skip, branch_of(a, depth), depth);
    case DLF_SKIP_NORM_SUM: return dlf_skip_norm_energy(0, depth);
    case DLF_SKIP_CONCAT: return depth + 1.0;
    case DLF_SKIP_GATE: return dlf_skip_gate_energy(a->skip, depth);
    }
    return NAN;
}

enum { DEPTHS = 4, ARCHITECTURES = 9 };
static const int shares[DEPTHS] = {8, 4, 2, 1}; /* the depths: max_depth over these */

static void architectures(architecture *a)
{
    const double t = sigmoid(GATE_BIAS), t2 = sigmoid(-2.0);
    const architecture all[ARCHITECTURES] = {
        {"plain",
         {"普通 ReLU", "plain ReLU"},
         {"普通 ReLU 网络（σw²=2）：梯度能量不随深度变化",
          "plain ReLU (σw²=2): the gradient energy does not change with depth"},
         DLF_SKIP_SUM,
         0.0,
         1.0,
         0.25,
         true},
        {"residual",
         {"残差 x+F(x)", "residual x+F(x)"},
         {"残差 x + W relu(x)：梯度能量是 2^L，随深度指数爆炸",
          "residual x + W relu(x): the gradient energy is 2^L, it explodes with depth"},
         DLF_SKIP_SUM,
         1.0,
         1.0,
         0.25,
         false},
        {"scaled",
         {"残差，分支 ×1/√L", "residual, branch ×1/√L"},
         {"分支乘 1/√L：梯度能量是 (1+1/L)^L，趋于 e",
          "branch scaled by 1/√L: the gradient energy is (1+1/L)^L, towards e"},
         DLF_SKIP_SUM,
         1.0,
         -1.0,
         0.05,
         false},
        {"highway",
         {"常数门 b=−4", "constant gate b=−4"},
         {"常数门 t=σ(−4) 的 Highway：梯度能量是 ((1−t)²+t²)^L",
          "highway with the constant gate t=σ(−4): the gradient energy is ((1−t)²+t²)^L"},
         DLF_SKIP_SUM,
         1.0 - t,
         t,
         0.02,
         false},
        {"highway_open",
         {"常数门 b=−2", "constant gate b=−2"},
         {"常数门 t=σ(−2)：同一公式，很深时也成立",
          "constant gate t=σ(−2): the same formula holds, also deep"},
         DLF_SKIP_SUM,
         1.0 - t2,
         t2,
         0.05,
         false},
        {"zero",
         {"分支为零", "branch of zero"},
         {"分支为零（ReZero 的起点）：梯度原样到达底部",
          "a branch of zero (where ReZero starts): the gradient arrives as it left"},
         DLF_SKIP_SUM,
         1.0,
         0.0,
         0.0,
         true},
        {"gate",
         {"门 T(x)，b=−4", "gate T(x), b=−4"},
         {"门 T(x)=σ(Vx−4) 的 Highway：梯度能量服从 E(1−T)²+E T²+2qE T'² 的连乘",
          "highway with the gate T(x)=σ(Vx−4): the energy is the product of E(1−T)²+E T²+2qE T'²"},
         DLF_SKIP_GATE,
         GATE_BIAS,
         0.0,
         0.05,
         false},
        {"dense",
         {"稠密连接", "dense (concatenation)"},
         {"稠密连接（DenseNet）：每个单元的梯度能量是 L+1，线性增长",
          "dense connections (DenseNet): the gradient energy per unit is L+1, it grows linearly"},
         DLF_SKIP_CONCAT,
         0.0,
         0.0,
         0.08,
         false},
        {"norm",
         {"残差，分支内 BN", "residual, BN in the branch"},
         {"分支内有批归一化的残差：梯度能量是 Π(1+1/v)，幂律而非指数",
          "residual with batch norm in the branch: the energy is Π(1+1/v), a power of depth, not "
          "an exponential"},
         DLF_SKIP_NORM_SUM,
         1.0,
         1.0,
         0.08,
         false}};
    memcpy(a, all, sizeof all);
}

/* ---- measure ----------------------------------------------------------------------------------
 */

double *dlf_skip_identity(int n)
{
    double *m = calloc((size_t)n * (size_t)n, sizeof *m);
    for (int i = 0; m && i < n; i++) m[i * n + i] = 1.0;
    return m;
}

/* Everything about one depth: neighbours of the same kind are measured side by side. */
static dlf_status measure(dlf_run *run, const architecture *a, int n, int depth, double *by_seed,
                          double from, double to)
{
    const int S = dlf_run_seeds(run), norm = a->kind == DLF_SKIP_NORM_SUM;
    const int nets = norm ? S : S * dlf_run_int(run, "nets");
    const int batch = dlf_run_int(run, norm ? "norm_batch" : "batch");
    dlf_status status = DLF_OK;
    dlf_skip_view view = {0};
    double skip[ARCHITECTURES], branch[ARCHITECTURES], *mix = dlf_skip_identity(batch);
    if (!mix) return dlf_fail(DLF_ERR_OOM, "skip connections: out of memory");
    for (int i = 0; i < n; i++) {
        skip[i] = a[i].skip;
        branch[i] = branch_of(&a[i], depth);
    }
    const dlf_skip_stack stack = {
        .kind = a->kind,
        .width = dlf_run_int(run, a->kind == DLF_SKIP_CONCAT ? "channels" : "width"),
        .depth = depth,
        .batch = batch,
        .arms = n,
        .skip = skip,
        .branch = branch,
        .mix = mix,
        .mix_columns = batch,
        .gradient_mix = mix,
        .gradient_columns = batch};
    char what[64];
    snprintf(what, sizeof what, "gradient energy: %s, %d blocks", a->id, depth);
    DLF_TRY_DONE(dlf_skip_look(&view, run, &stack, nets, dlf_run_seed(run), from, to, what));
    for (int i = 0; i < n; i++)
        dlf_skip_by_seed(by_seed + i * S, view.energy + dlf_skip_at(&view, 0, i, 0), nets, n, S);
done:
    dlf_skip_view_free(&view);
    free(mix);
    return status;
}

static dlf_status add_rows(dlf_table *table, dlf_table *seeds, const architecture *a, int depth,
                           const double *by_seed, int S)
{
    const dlf_estimate e = dlf_log_mean(by_seed, S, 1);
    const double theory = theory_of(a, depth);
    for (int s = 0; s < S; s++)
        DLF_TRY(
            dlf_table_row(seeds, DLF_TXT(a->id), DLF_NUM(s), DLF_NUM(depth), DLF_NUM(by_seed[s])));
    return dlf_table_row(table, DLF_TXT(a->id), DLF_NUM(depth), DLF_NUM(e.mean), DLF_NUM(e.lo),
                         DLF_NUM(e.hi), DLF_NUM(theory), DLF_NUM(e.mean / theory));
}

/* Deviation of ln|J^T g|^2 over networks: 5/N per block of full strength (Hanin 2018); of a branch
 * only its share a^2/(s^2+a^2) of the energy is random. Without skips the mean over B rows leaves
 * the masks, 1/N, which soon are the same for all rows, and 4/N of the weights seen by B gradients.
 * (With a = 1 the energy of finite nets is also too large by L/(2N): 7 % at L = 10, N = 64.) */
static double noise_of(const architecture *a, int depth, double width, int batch, int nets)
{
    if (a->kind != DLF_SKIP_SUM) return 0.0;
    const double b = branch_of(a, depth), share = b * b / (a->skip * a->skip + b * b);
    const double per_block = a->skip == 0.0 ? 1.0 + 4.0 / batch : 5.0;
    return sqrt(per_block * depth * share * share / (width * nets));
}

/* x + F(x) is held to its factor per block, because its energy has a heavy tail and a bias. */
static dlf_status factor_check(dlf_run *run, const architecture *a, int depth,
                               const dlf_estimate *e)
{
    const double root = 1.0 / depth;
    char en[160], zh[160];
    snprintf(zh, sizeof zh, "残差 x + W relu(x)：梯度能量每块翻倍（L=%d）", depth);
    snprintf(en, sizeof en, "residual x + W relu(x): the gradient energy doubles per block (L=%d)",
             depth);
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "energy_residual",
                    .claim = {zh, en},
                    .measured = pow(e->mean, root),
                    .lo = pow(e->lo, root),
                    .hi = pow(e->hi, root),
                    .n = e->n,
                    .expected = pow(theory_of(a, depth), root),
                    .tolerance = 0.02,
                    .relative = true,
                    .relation = DLF_EQUAL,
                    .source = "closed form: 1 + a^2 per block; 2 %: the energy of finite nets is "
                              "too large by about L/(2N), and its tail is heavy"});
}

static dlf_status add_check(dlf_run *run, const architecture *a, int depth, bool deepest,
                            const double *by_seed)
{
    const int S = dlf_run_seeds(run), nets = S * dlf_run_int(run, "nets");
    const bool zero = strcmp(a->id, "zero") == 0;
    const dlf_estimate e = dlf_log_mean(by_seed, S, 1);
    if (deepest && strcmp(a->id, "residual") == 0) return factor_check(run, a, depth, &e);
    const double noise =
        noise_of(a, depth, dlf_run_int(run, "width"), dlf_run_int(run, "batch"), nets);
    char id[64], zh[256], en[256];
    snprintf(id, sizeof id, "energy_%s%s", a->id, deepest ? "" : "_quarter");
    snprintf(zh, sizeof zh, "%s（L=%d）", a->claim.zh, depth);
    snprintf(en, sizeof en, "%s (L=%d)", a->claim.en, depth);
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = id,
                    .claim = {zh, en},
                    .measured = e.mean,
                    .lo = e.lo,
                    .hi = e.hi,
                    .n = S,
                    .expected = theory_of(a, depth),
                    .tolerance = fmax(a->tolerance, 3.0 * noise),
                    .relative = true,
                    .relation = DLF_EQUAL,
                    .self_check = zero,
                    .source =
                        zero ? "identity: nothing but the skip path is left"
                             : "closed form: energies of independent paths add; tolerance: the 1/N "
                               "and 1/B terms left out, or 3 s.e. of the finite-width noise (Hanin "
                               "2018: variance 5 L/N)"});
}

/* ---- figure -----------------------------------------------------------------------------------
 */

static dlf_status energy_figure(dlf_run *run, const architecture *a)
{
    static const int drawn[] = {0, 1, 2, 3, 7, 8};
    dlf_figure figure = {
        .id = "energy",
        .kind = DLF_LINES,
        .title = {"跳转链接的方式决定梯度能量随深度指数、幂律、线性增长，还是有界",
                  "How the skip is made decides whether the gradient energy explodes, grows as a "
                  "power, linearly, or stays"},
        .subtitle = {"未训练的随机网络，σw²=2；虚线为各自的公式，无拟合参数；灰色为对照",
                     "untrained random networks, σw²=2; dashed: the formula of each, no fitted "
                     "parameter; grey: control"},
        .x = {{"块数 L", "blocks L"}, true},
        .y = {{"梯度能量：底部 / 顶部", "gradient energy, bottom / top"}, true},
        .residuals = true};
    dlf_series *s = figure.series;
    for (size_t i = 0; i < sizeof drawn / sizeof drawn[0]; i++) {
        const architecture *arm = &a[drawn[i]];
        *s++ = (dlf_series){.role = DLF_SEEDS,
                            .table = "energy_seeds",
                            .where = "architecture",
                            .equals = arm->id,
                            .x = "depth",
                            .y = "value",
                            .by = "seed",
                            .label = {"", ""},
                            .colour = (int)i};
        *s++ = dlf_arm_series(arm->control ? DLF_CONTROL : DLF_MEASURED, "energy", "architecture",
                              arm->id, "depth", "energy", arm->label, (int)i);
        *s++ = (dlf_series){.role = DLF_THEORY,
                            .table = "energy",
                            .where = "architecture",
                            .equals = arm->id,
                            .x = "depth",
                            .y = "theory",
                            .colour = (int)i};
        s[-1].label = i ? (dlf_text){"", ""} : (dlf_text){"公式", "formula"};
    }
    return dlf_result_figure(dlf_run_result(run), &figure);
}

static dlf_status add_tables(dlf_run *run, dlf_table **table, dlf_table **seeds)
{
    DLF_TRY(dlf_result_table(dlf_run_result(run), "energy",
                             (dlf_text){"底部与顶部的梯度能量之比",
                                        "gradient energy at the bottom over that at the top"},
                             (const dlf_column[]){{"architecture", NULL},
                                                  {"depth", "blocks"},
                                                  {"energy", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {"ratio", "1"},
                                                  {NULL, NULL}},
                             table));
    return dlf_result_table(dlf_run_result(run), "energy_seeds",
                            (dlf_text){"同上，每个种子", "the same, every seed"},
                            (const dlf_column[]){{"architecture", NULL},
                                                 {"seed", "1"},
                                                 {"depth", "blocks"},
                                                 {"value", "1"},
                                                 {NULL, NULL}},
                            seeds);
}

dlf_status dlf_skip_energy(dlf_run *run, double from, double to)
{
    const int S = dlf_run_seeds(run), deepest = dlf_run_int(run, "depth");
    architecture a[ARCHITECTURES];
    double *by_seed = malloc((size_t)(ARCHITECTURES * S) * sizeof *by_seed);
    dlf_table *table, *seeds;
    dlf_status status;
    if (!by_seed) return dlf_fail(DLF_ERR_OOM, "skip connections: out of memory");
    architectures(a);
    DLF_TRY_DONE(add_tables(run, &table, &seeds));
    double done = 0.0;
    for (int d = 0; d < DEPTHS; d++) {
        const int depth = deepest / shares[d] > 0 ? deepest / shares[d] : 1;
        const double size = (to - from) / shares[d] / 1.875;
        for (int i = 0, n; i < ARCHITECTURES; i += n) {
            for (n = 1; i + n < ARCHITECTURES && a[i + n].kind == a[i].kind;) n++;
            DLF_TRY_DONE(measure(run, a + i, n, depth, by_seed + i * S,
                                 from + done + size * i / ARCHITECTURES,
                                 from + done + size * (i + n) / ARCHITECTURES));
        }
        done += size;
        for (int i = 0; i < ARCHITECTURES; i++) {
            DLF_TRY_DONE(add_rows(table, seeds, &a[i], depth, by_seed + i * S, S));
            if (d == 1 || d == DEPTHS - 1)
                DLF_TRY_DONE(add_check(run, &a[i], depth, d > 1, by_seed + i * S));
        }
    }
    DLF_TRY_DONE(energy_figure(run, a));
done:
    free(by_seed);
    return status;
}
