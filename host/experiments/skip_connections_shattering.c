/* SPDX-License-Identifier: MIT
 * skip_connections_shattering.c -- Q40: do the gradients of two inputs still point the same way
 * (Balduzzi et al. 2017)?
 *
 * The gradient at two inputs starts from the same vector at the top and passes the same weights but
 * other masks: two inputs of correlation c share the share kappa_0(c) of their active units, and
 * c' = kappa_1(c) afterwards (arc-cosine kernels, Cho & Saul 2009). Batch norm makes the rows of a
 * batch uncorrelated, c = 0: half of the masks are shared in every layer.
 *
 * Through batch norm every gradient also moves all other rows. The rows of the seed have
 * alternating signs, so that these contributions cancel and the path of the row itself is left. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/theory.h"
#include "figures.h"
#include "skip_connections.h"

#define CORRELATION 0.5

/* ---- theory -----------------------------------------------------------------------------------
 */

double dlf_skip_shattering_law(double skip, double branch, double c, int depth)
{
    const double s = skip * skip, a = branch * branch;
    double product = 1.0;
    for (int l = 0; l < depth; l++) {
        product *= (s + a * dlf_arccos_kernel0(c)) / (s + a);
        c = (s * c + a * dlf_arccos_kernel1(c)) / (s + a);
    }
    return product;
}

double dlf_skip_norm_shattering(int depth)
{
    double product = 1.0;
    for (int l = 0; l < depth; l++) {
        const double share = 1.0 / dlf_skip_variance(l);
        product *= (1.0 + 0.5 * share) / (1.0 + share);
    }
    return product;
}

/* Correlation of two inputs after `depth` plain ReLU layers. */
static double correlation_after(double c, int depth)
{
    for (int l = 0; l < depth; l++) c = dlf_arccos_kernel1(c);
    return c;
}

/* ---- measure ----------------------------------------------------------------------------------
 */

typedef struct shatter_arm {
    const char *id;
    dlf_text label, claim;
    dlf_skip_kind kind;
    double skip, branch; /* branch < 0: 1/sqrt(depth) */
    bool control;
} shatter_arm;

enum { ARMS = 5, DEPTHS = 6 };
static const shatter_arm arms[ARMS] = {
    {"plain",
     {"普通 ReLU", "plain ReLU"},
     {"普通 ReLU：两个输入的梯度相关按 Πκ₀(c) 衰减",
      "plain ReLU: the correlation of two inputs' gradients falls as Πκ₀(c)"},
     DLF_SKIP_SUM,
     0.0,
     1.0,
     false},
    {"residual",
     {"残差", "residual"},
     {"残差：梯度相关按 Π(1+κ₀(c))/2 衰减，更慢",
      "residual: the correlation falls as Π(1+κ₀(c))/2, more slowly"},
     DLF_SKIP_SUM,
     1.0,
     1.0,
     false},
    {"scaled",
     {"残差，分支 ×1/√L", "residual, branch ×1/√L"},
     {"分支乘 1/√L：梯度相关不随深度破碎",
      "branch scaled by 1/√L: the correlation hardly falls with depth"},
     DLF_SKIP_SUM,
     1.0,
     -1.0,
     true},
    {"norm_plain",
     {"普通 BN-ReLU", "plain BN-ReLU"},
     {"普通 BN-ReLU：梯度相关每层减半，(1/2)^L",
      "plain BN-ReLU: the correlation halves in every layer, (1/2)^L"},
     DLF_SKIP_NORM_SUM,
     0.0,
     1.0,
     false},
    {"norm_residual",
     {"残差 + BN", "residual + BN"},
     {"残差+BN：梯度相关只按幂律衰减，Π(1+1/(2v))/(1+1/v)",
      "residual + BN: the correlation falls only as a power, Π(1+1/(2v))/(1+1/v)"},
     DLF_SKIP_NORM_SUM,
     1.0,
     1.0,
     false}};
static const int depths[DEPTHS] = {1, 2, 3, 5, 10, 20};

static double branch_of(const shatter_arm *a, int depth)
{
    return a->branch < 0.0 ? 1.0 / sqrt(depth) : a->branch;
}

static double theory_of(const shatter_arm *a, int depth)
{
    if (a->kind == DLF_SKIP_SUM)
        return dlf_skip_shattering_law(a->skip, branch_of(a, depth), CORRELATION, depth);
    return a->skip > 0.0 ? dlf_skip_norm_shattering(depth) : pow(0.5, depth);
}

/* Rows of correlation c: sqrt(c) of a common vector, sqrt(1-c) of each its own. */
static double *common_mix(int batch, double c)
{
    double *m = calloc((size_t)batch * ((size_t)batch + 1), sizeof *m);
    for (int i = 0; m && i < batch; i++) {
        m[i * (batch + 1)] = sqrt(c);
        m[i * (batch + 1) + 1 + i] = sqrt(1.0 - c);
    }
    return m;
}

void dlf_skip_correlations(double *out, const dlf_skip_view *v, int arm, int look,
                           const double *sign, int seeds)
{
    const int B = v->batch, each = v->nets / seeds;
    for (int s = 0; s < seeds; s++) {
        double pairs = 0.0, own = 0.0;
        for (int n = s * each; n < (s + 1) * each; n++) {
            const double *g = v->gram + dlf_skip_at(v, n, arm, look) * (size_t)B * (size_t)B;
            for (int i = 0; i < B; i++)
                for (int j = 0; j < B; j++) {
                    if (i == j)
                        own += g[i * B + j] / B;
                    else
                        pairs += sign[i] * sign[j] * g[i * B + j] / B / (B - 1);
                }
        }
        out[s] = pairs / own;
    }
}

/* The arms first.. of one kind at one depth; by_seed[arm * seeds + seed]. */
static dlf_status measure(dlf_run *run, int first, int n, int depth, double *by_seed, double from,
                          double to)
{
    const int S = dlf_run_seeds(run), nets = S * dlf_run_int(run, "nets");
    const bool norm = arms[first].kind == DLF_SKIP_NORM_SUM;
    const int batch = dlf_run_int(run, norm ? "norm_batch" : "batch");
    double skip[ARMS], branch[ARMS];
    dlf_status status;
    dlf_skip_view view = {0};
    double *mix = norm ? dlf_skip_identity(batch) : common_mix(batch, CORRELATION);
    double *sign = malloc((size_t)batch * sizeof *sign);
    if (!mix || !sign) {
        status = dlf_fail(DLF_ERR_OOM, "skip connections: out of memory");
        goto done;
    }
    for (int i = 0; i < batch; i++) sign[i] = norm && i % 2 ? -1.0 : 1.0;
    for (int i = 0; i < n; i++) {
        skip[i] = arms[first + i].skip;
        branch[i] = branch_of(&arms[first + i], depth);
    }
    const dlf_skip_stack stack = {.kind = arms[first].kind,
                                  .width = dlf_run_int(run, "width"),
                                  .depth = depth,
                                  .batch = batch,
                                  .arms = n,
                                  .skip = skip,
                                  .branch = branch,
                                  .mix = mix,
                                  .mix_columns = norm ? batch : batch + 1,
                                  .gradient_mix = sign,
                                  .gradient_columns = 1,
                                  .gram = true};
    DLF_TRY_DONE(dlf_skip_look(&view, run, &stack, nets, dlf_run_seed(run) + 2, from, to,
                               "shattered gradients"));
    for (int i = 0; i < n; i++)
        dlf_skip_correlations(by_seed + (first + i) * S, &view, i, 0, sign, S);
done:
    dlf_skip_view_free(&view);
    free(sign);
    free(mix);
    return status;
}

/* ---- report -----------------------------------------------------------------------------------
 */

static dlf_status add_check(dlf_run *run, const shatter_arm *a, int depth, const dlf_estimate *e)
{
    const double width = dlf_run_int(run, "width");
    const int nets = dlf_run_seeds(run) * dlf_run_int(run, "nets");
    const double theory = theory_of(a, depth);
    char id[64], zh[256], en[256];
    snprintf(id, sizeof id, "shatter_%s", a->id);
    snprintf(zh, sizeof zh, "%s（L=%d）", a->claim.zh, depth);
    snprintf(en, sizeof en, "%s (L=%d)", a->claim.en, depth);
    /* Without BN: |g|^2 of one network fluctuates by 5 L/N, and the ratio is biased by that order.
     * With BN the mean over pairs is |sum of rows|^2, a chi-square of N terms passed on L times:
     * relative variance 2 L/N for each network. */
    const double finite = 5.0 * depth / width, pairs = 4.0 * sqrt(2.0 * depth / (width * nets));
    const bool norm = a->kind == DLF_SKIP_NORM_SUM;
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = id,
                    .claim = {zh, en},
                    .measured = e->mean,
                    .lo = e->lo,
                    .hi = e->hi,
                    .n = e->n,
                    .expected = theory,
                    .tolerance = norm ? fmax(0.05, pairs) : fmax(0.05, finite),
                    .relative = true,
                    .relation = DLF_EQUAL,
                    .source = norm ? "closed form: half of the masks are shared, Balduzzi et al. "
                                     "2017; tolerance 5 % or 4 sqrt(2 L/(N nets))"
                                   : "closed form: arc-cosine kernels, Cho & Saul 2009; tolerance "
                                     "5 % or 5 L/N, the finite-width variance of ln|g|^2"});
}

/* Theory alone: how the plain law decays for deep networks. */
static dlf_status asymptotic_checks(dlf_run *run)
{
    enum { DEEP = 1000 };
    DLF_TRY(dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "inputs_align",
                    .claim = {"普通 ReLU：输入的相关以 1−c = 9π²/(2L²) 趋于一",
                              "plain ReLU: inputs align as 1−c = 9π²/(2L²)"},
                    .measured = 1.0 - correlation_after(CORRELATION, DEEP),
                    .lo = NAN,
                    .hi = NAN,
                    .expected = 9.0 * M_PI * M_PI / (2.0 * DEEP * DEEP),
                    .tolerance = 0.05,
                    .relative = true,
                    .relation = DLF_EQUAL,
                    .source = "1-kappa_1(c) = d - (2 sqrt 2/(3 pi)) d^1.5 with d = 1-c; the next "
                              "term is ln(L)/L"}));
    const double near = dlf_skip_shattering_law(0.0, 1.0, CORRELATION, DEEP);
    const double far = dlf_skip_shattering_law(0.0, 1.0, CORRELATION, 2 * DEEP);
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "plain_power",
                    .claim = {"没有 BN 的普通 ReLU：梯度相关最终只按 L⁻³ 衰减，并非指数",
                              "plain ReLU without BN: the correlation finally falls only as L⁻³, "
                              "not exponentially"},
                    .measured = log2(near / far),
                    .lo = NAN,
                    .hi = NAN,
                    .expected = 3.0,
                    .tolerance = 0.05,
                    .relation = DLF_EQUAL,
                    .source = "1-kappa_0(c) = sqrt(2 (1-c))/pi = 3/L, by the law above; so prod "
                              "kappa_0 ~ L^-3"});
}

static dlf_status shattering_figure(dlf_run *run)
{
    dlf_figure figure = {
        .id = "shattering",
        .kind = DLF_LINES,
        .title = {"没有跳转时，不同输入的梯度迅速变得互不相关；残差使之变慢",
                  "Without skips the gradients of different inputs soon have nothing in common; "
                  "residual connections slow this down"},
        .subtitle = {"两个输入在底部的梯度的相关系数；输入相关 0.5（BN 使其为零）；虚线为公式",
                     "correlation of the bottom gradients of two inputs; inputs correlate by 0.5 "
                     "(BN makes it zero); dashed: formula"},
        .x = {{"块数 L", "blocks L"}, true},
        .y = {{"梯度的相关系数", "correlation of gradients"}, true},
        .residuals = true};
    for (int i = 0; i < ARMS; i++) {
        figure.series[2 * i] =
            dlf_arm_series(arms[i].control ? DLF_CONTROL : DLF_MEASURED, "shattering", "arm",
                           arms[i].id, "depth", "correlation", arms[i].label, i);
        figure.series[2 * i + 1] = (dlf_series){.role = DLF_THEORY,
                                                .table = "shattering",
                                                .where = "arm",
                                                .equals = arms[i].id,
                                                .x = "depth",
                                                .y = "theory",
                                                .label = {i ? "" : "公式", i ? "" : "formula"},
                                                .colour = i};
    }
    return dlf_result_figure(dlf_run_result(run), &figure);
}

dlf_status dlf_skip_shattering(dlf_run *run, double from, double to)
{
    const int S = dlf_run_seeds(run), deepest = dlf_run_int(run, "shatter_depth");
    double *by_seed = malloc((size_t)(ARMS * S) * sizeof *by_seed);
    dlf_table *table;
    dlf_status status;
    if (!by_seed) return dlf_fail(DLF_ERR_OOM, "skip connections: out of memory");
    DLF_TRY_DONE(dlf_result_table(
        dlf_run_result(run), "shattering",
        (dlf_text){"两个输入的梯度的相关", "correlation of the gradients of two inputs"},
        (const dlf_column[]){{"arm", NULL},
                             {"depth", "blocks"},
                             {"correlation", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {NULL, NULL}},
        &table));
    for (int d = 0; d < DEPTHS && depths[d] <= deepest; d++) {
        const double size = (to - from) / DEPTHS;
        for (int first = 0, n; first < ARMS; first += n) {
            for (n = 1; first + n < ARMS && arms[first + n].kind == arms[first].kind;) n++;
            DLF_TRY_DONE(measure(run, first, n, depths[d], by_seed,
                                 from + size * (d + (double)first / ARMS),
                                 from + size * (d + (double)(first + n) / ARMS)));
        }
        for (int i = 0; i < ARMS; i++) {
            const dlf_estimate e = dlf_estimate_of(by_seed + i * S, S, 1);
            const bool lost = arms[i].skip == 0.0 && depths[d] > 5; /* below what can be seen */
            if (arms[i].kind == DLF_SKIP_NORM_SUM && lost) continue;
            DLF_TRY_DONE(dlf_table_row(table, DLF_TXT(arms[i].id), DLF_NUM(depths[d]),
                                       DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                                       DLF_NUM(theory_of(&arms[i], depths[d]))));
            if (depths[d] == 5 || (depths[d] == deepest && deepest < 5))
                DLF_TRY_DONE(add_check(run, &arms[i], depths[d], &e));
        }
    }
    DLF_TRY_DONE(asymptotic_checks(run));
    DLF_TRY_DONE(shattering_figure(run));
done:
    free(by_seed);
    return status;
}

/* ---- heat maps --------------------------------------------------------------------------------
 */

enum { ANGLES = 25, MAPS = 2 };

static dlf_status heat_map_figure(dlf_run *run, int map)
{
    static const dlf_text titles[MAPS] = {
        {"普通 ReLU：相距稍远的输入，梯度已互不相关（白噪声）",
         "Plain ReLU: a little apart, and the gradients of two inputs are unrelated"},
        {"残差（分支 ×1/√L）：梯度随输入平滑变化",
         "Residual (branch ×1/√L): the gradient changes smoothly with the input"}};
    static const char *const ids[MAPS] = {"covariance_plain", "covariance_residual"};
    const dlf_figure figure = {
        .id = ids[map],
        .kind = DLF_HEATMAP,
        .title = titles[map],
        .subtitle = {"输入在半圆上移动；颜色为两处梯度的相关系数，种子平均",
                     "inputs along a half circle; colour: correlation of the gradients at two of "
                     "them, mean over seeds"},
        .x = {{"第一个输入的角度 (°)", "angle of one input (°)"}, false},
        .y = {{"第二个输入的角度 (°)", "angle of the other (°)"}, false},
        .z = {{"梯度的相关系数", "correlation of gradients"}, false},
        .series = {{.role = map ? DLF_CONTROL : DLF_MEASURED,
                    .table = ids[map],
                    .x = "first",
                    .y = "second",
                    .z = "correlation",
                    .label = {"实测", "measured"}}}};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

static dlf_status heat_map_table(dlf_run *run, const dlf_skip_view *v, int map)
{
    dlf_table *table;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), map ? "covariance_residual" : "covariance_plain",
        (dlf_text){map ? "梯度的相关系数，残差" : "梯度的相关系数，普通 ReLU",
                   map ? "correlation of gradients, residual"
                       : "correlation of gradients, plain ReLU"},
        (const dlf_column[]){
            {"first", "degree"}, {"second", "degree"}, {"correlation", "1"}, {NULL, NULL}},
        &table));
    for (int i = 0; i < ANGLES; i++)
        for (int j = 0; j < ANGLES; j++) {
            double sum = 0.0;
            for (int n = 0; n < v->nets; n++) {
                const double *g = v->gram + dlf_skip_at(v, n, map, 0) * ANGLES * ANGLES;
                sum += g[i * ANGLES + j] / sqrt(g[i * ANGLES + i] * g[j * ANGLES + j]);
            }
            DLF_TRY(dlf_table_row(table, DLF_NUM(180.0 * i / (ANGLES - 1)),
                                  DLF_NUM(180.0 * j / (ANGLES - 1)), DLF_NUM(sum / v->nets)));
        }
    return heat_map_figure(run, map);
}

dlf_status dlf_skip_heat_maps(dlf_run *run, double from, double to)
{
    const int depth = dlf_run_int(run, "shatter_depth");
    const double skip[MAPS] = {0.0, 1.0}, branch[MAPS] = {1.0, 1.0 / sqrt(depth)};
    double mix[2 * ANGLES], ones[ANGLES];
    for (int i = 0; i < ANGLES; i++) {
        mix[2 * i] = cos(M_PI * i / (ANGLES - 1));
        mix[2 * i + 1] = sin(M_PI * i / (ANGLES - 1));
        ones[i] = 1.0;
    }
    const dlf_skip_stack stack = {.kind = DLF_SKIP_SUM,
                                  .width = dlf_run_int(run, "width"),
                                  .depth = depth,
                                  .batch = ANGLES,
                                  .arms = MAPS,
                                  .skip = skip,
                                  .branch = branch,
                                  .mix = mix,
                                  .mix_columns = 2,
                                  .gradient_mix = ones,
                                  .gradient_columns = 1,
                                  .gram = true};
    dlf_skip_view view;
    DLF_TRY(dlf_skip_look(&view, run, &stack, dlf_run_seeds(run), dlf_run_seed(run) + 3, from, to,
                          "gradient covariance"));
    dlf_status status;
    for (int map = 0; map < MAPS; map++) DLF_TRY_DONE(heat_map_table(run, &view, map));
done:
    dlf_skip_view_free(&view);
    return status;
}
