/* SPDX-License-Identifier: MIT
 * depth_vs_width_built.c -- Q16, Q34: networks whose weights are written down. Tents composed k
 * times, x^2 out of tents (Yarotsky 2017), and x^2 by the best single layer.
 *
 * On a dyadic grid every number in the deep networks below 2 is a multiple of 2^-23: float32 is
 * exact. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "depth_vs_width.h"
#include "dlf/graph.h"

enum { SQUARES = 8 };
static const dlf_node none = {0};

/* ---- a network with given weights -------------------------------------------------------------
 */

static const dlf_init given = {.kind = DLF_INIT_GIVEN};

/* f(w x + b) of `units` units that read `columns` columns; w, b: see set_dense. */
static dlf_node dense(dlf_graph *g, const char *name, dlf_node x, int units, dlf_activation_kind f)
{
    return dlf_dense_init(g, name, x, units, dlf_activation_of(f), given, &given);
}

static dlf_status set_parameter(dlf_graph *g, const char *layer, const char *part,
                                const double *values)
{
    char name[32];
    snprintf(name, sizeof name, "%s.%s", layer, part);
    return dlf_tensor_upload_f64(dlf_graph_value(g, dlf_graph_find(g, name)), values);
}

static dlf_status set_dense(dlf_graph *g, const char *layer, const double *w, const double *b)
{
    DLF_TRY(set_parameter(g, layer, "w", w));
    return set_parameter(g, layer, "b", b);
}

/* values[i] of node `y` (1,n,1). */
static dlf_status read_values(dlf_graph *g, dlf_node y, double *values)
{
    return dlf_tensor_download_f64(values, dlf_graph_value(g, y));
}

/* ---- the deep network: g_s = tent(g_{s-1}), f_m = x - sum_{s <= m} 4^-s g_s --------------------
 */

typedef struct tower {
    dlf_graph *g;
    int tents, points;
    dlf_node x, tent[16], square[SQUARES + 1];
} tower;

/* tent(x) = 2 relu(x) - 4 relu(x - 1/2) + 2 relu(x - 1) */
static const double tent_out[3] = {2.0, -4.0, 2.0}, tent_bias[3] = {0.0, -0.5, -1.0};

static dlf_status build_tower(tower *t, dlf_device *device, int tents, int points,
                              dlf_activation_kind f)
{
    *t = (tower){.tents = tents, .points = points};
    DLF_TRY(dlf_graph_new(&t->g, device, 1));
    t->x = dlf_input(t->g, "x", 3, (int64_t[]){1, points, 1});
    dlf_node h = t->x;
    t->square[0] = t->x;
    for (int s = 1; s <= tents; s++) {
        char name[24];
        snprintf(name, sizeof name, "hidden%d", s);
        h = dense(t->g, name, h, 3, f);
        snprintf(name, sizeof name, "tent%d", s);
        t->tent[s] = dense(t->g, name, h, 1, DLF_LINEAR);
        dlf_want_value(t->g, t->tent[s]);
        if (s > SQUARES) continue;
        const dlf_node part = dlf_scale(t->g, NULL, t->tent[s], none, -ldexp(1.0, -2 * s));
        t->square[s] = dlf_add(t->g, NULL, t->square[s - 1], part);
        dlf_want_value(t->g, t->square[s]);
    }
    return dlf_graph_compile(t->g);
}

static dlf_status run_tower(tower *t, const double *x)
{
    double repeat[9];
    for (int i = 0; i < 9; i++) repeat[i] = tent_out[i % 3];
    const double ones[3] = {1.0, 1.0, 1.0}, zero = 0.0;
    for (int s = 1; s <= t->tents; s++) {
        char name[24];
        snprintf(name, sizeof name, "hidden%d", s);
        DLF_TRY(set_dense(t->g, name, s == 1 ? ones : repeat, tent_bias));
        snprintf(name, sizeof name, "tent%d", s);
        DLF_TRY(set_dense(t->g, name, tent_out, &zero));
    }
    DLF_TRY(dlf_tensor_upload_f64(dlf_graph_value(t->g, t->x), x));
    return dlf_graph_forward(t->g, DLF_EVALUATION);
}

/* Linear pieces of equidistant samples: where the slope changes, a new one begins. */
static int count_pieces(const double *y, int n)
{
    int pieces = 1;
    for (int i = 2; i < n; i++) pieces += y[i] - y[i - 1] != y[i - 1] - y[i - 2];
    return pieces;
}

static double sup_error(const double *x, const double *y, int n)
{
    double worst = 0.0;
    for (int i = 0; i < n; i++) {
        const double e = fabs(y[i] - x[i] * x[i]);
        if (!(e <= worst)) worst = e; /* NaN stays */
    }
    return worst;
}

/* ---- the shallow network: the best spline of units + 1 pieces, and x at the output -------------
 */

/* Knots i/N; slope 1/N on the first piece, 2/N more on every next one; lowered by half its error.
 * Sampled at knots, middles and between. */
static dlf_status shallow_error(double *error, dlf_device *device, int units)
{
    enum { PER_PIECE = 128 };
    const int N = units + 1, n = N * PER_PIECE + 1;
    dlf_status status;
    dlf_graph *g = NULL;
    double *memory = malloc((size_t)(2 * n + 3 * units) * sizeof *memory);
    if (!memory) return dlf_fail(DLF_ERR_OOM, "depth: out of memory");
    double *x = memory, *y = x + n, *w = y + n, *b = w + units, *out = b + units;
    const double lowered = -dlf_square_error_shallow(N);
    for (int i = 0; i < n; i++) x[i] = (double)i / (n - 1);
    for (int i = 0; i < units; i++) {
        w[i] = 1.0;
        b[i] = -(i + 1.0) / N;
        out[i] = 2.0 / N;
    }
    DLF_TRY_DONE(dlf_graph_new(&g, device, 1));
    const dlf_node input = dlf_input(g, "x", 3, (int64_t[]){1, n, 1});
    const dlf_node h = dense(g, "hidden", input, units, DLF_RELU);
    const dlf_node kinks = dense(g, "kinks", h, 1, DLF_LINEAR);
    const dlf_node f = dlf_add(g, "f", kinks, dlf_scale(g, NULL, input, none, 1.0 / N));
    dlf_want_value(g, f);
    DLF_TRY_DONE(dlf_graph_compile(g));
    DLF_TRY_DONE(set_dense(g, "hidden", w, b));
    DLF_TRY_DONE(set_dense(g, "kinks", out, &lowered));
    DLF_TRY_DONE(dlf_tensor_upload_f64(dlf_graph_value(g, input), x));
    DLF_TRY_DONE(dlf_graph_forward(g, DLF_EVALUATION));
    DLF_TRY_DONE(read_values(g, f, y));
    *error = sup_error(x, y, n);
done:
    dlf_graph_free(g);
    free(memory);
    return status;
}

/* ---- tables and checks --------------------------------------------------------------------------
 */

static dlf_check exact_check(const char *id, dlf_text claim, double measured, double expected,
                             double tolerance, const char *source)
{
    return (dlf_check){.id = id,
                       .claim = claim,
                       .measured = measured,
                       .lo = NAN,
                       .hi = NAN,
                       .expected = expected,
                       .tolerance = tolerance,
                       .relation = DLF_EQUAL,
                       .source = source};
}

static double worse(double a, double b)
{
    return b <= a ? a : b; /* NaN stays */
}

static dlf_status tents(dlf_run *run, tower *t, double *y)
{
    dlf_result *r = dlf_run_result(run);
    dlf_table *table;
    DLF_TRY(dlf_result_table(r, "tents",
                             (dlf_text){"k 层帐篷映射的线性片段数", "linear pieces of k tents"},
                             (const dlf_column[]){{"k", "layers"},
                                                  {"units", "units"},
                                                  {"pieces", "1"},
                                                  {"theory", "1"},
                                                  {"one_layer", "1"},
                                                  {NULL, NULL}},
                             &table));
    double worst = 0.0, pieces = NAN;
    for (int k = 1; k <= t->tents; k++) {
        DLF_TRY(read_values(t->g, t->tent[k], y));
        pieces = count_pieces(y, t->points);
        worst = worse(worst, fabs(pieces / ldexp(1.0, k) - 1.0));
        DLF_TRY(dlf_table_row(table, DLF_NUM(k), DLF_NUM(3 * k), DLF_NUM(pieces),
                              DLF_NUM(ldexp(1.0, k)), DLF_NUM(3 * k + 1)));
    }
    DLF_TRY(dlf_result_check(
        r, exact_check(
               "tent_pieces",
               (dlf_text){"帐篷映射复合 k 次（每层 3 个单元），恰有 2^k 个线性片段（取最大的 k）",
                          "k tents of 3 units each have exactly 2^k linear pieces (largest "
                          "k)"},
               pieces, ldexp(1.0, t->tents), 0.0,
               "Telgarsky 2015, arXiv:1509.08101, lemma 2.4; counted on a dyadic grid "
               "where float32 is exact")));
    return dlf_result_check(
        r, exact_check("tent_every_depth",
                       (dlf_text){"对每个 k 都是 2^k：最大相对偏差为 0",
                                  "2^k for every k: the largest relative deviation is 0"},
                       worst, 0.0, 0.0, "Telgarsky 2015, arXiv:1509.08101, lemma 2.4"));
}

typedef struct square_row {
    double deep, shallow[2], linear; /* shallow: as many units, as many parameters */
} square_row;

static int measured_crossover(const square_row *row, bool equal_parameters)
{
    for (int m = 1; m <= SQUARES; m++)
        if (row[m].deep < row[m].shallow[equal_parameters]) return m;
    return SQUARES + 1;
}

static dlf_status square_checks(dlf_run *run, const square_row *row)
{
    dlf_result *r = dlf_run_result(run);
    double deep = 0.0, shallow = 0.0, linear = 0.0;
    for (int m = 1; m <= SQUARES; m++) {
        deep = worse(deep, fabs(row[m].deep / dlf_square_error_deep(m) - 1.0));
        linear = worse(linear, fabs(row[m].linear / 0.25 - 1.0));
        for (int e = 0; e < 2; e++) {
            const double law = dlf_square_error_shallow(dlf_square_shallow_units(m, e) + 1);
            shallow = worse(shallow, fabs(row[m].shallow[e] / law - 1.0));
        }
    }
    const dlf_check checks[] = {
        exact_check("square_deep",
                    (dlf_text){"m 层帐篷逼近 x² 的最大误差恰为 4^−(m+1)（m = 1…8，最大相对偏差）",
                               "m tents approximate x² with sup error exactly 4^-(m+1) (m = 1…8, "
                               "largest relative deviation)"},
                    deep, 0.0, 1e-12, "Yarotsky 2017, arXiv:1610.01145, proposition 2"),
        exact_check("square_shallow",
                    (dlf_text){"最优的 N 片折线（单隐藏层）误差为 1/(8N²)（最大相对偏差）",
                               "the best line of N pieces (one hidden layer) has error 1/(8N²) "
                               "(largest relative deviation)"},
                    shallow, 0.0, 0.01,
                    "h²/8 per piece, some piece has h >= 1/N; 1 %: float32 sums of up to 38 terms "
                    "of size 1 against an error of 1e-4"),
        exact_check("square_crossover",
                    (dlf_text){"单元数相同时，从第几层起深层胜过最优的单层",
                               "with as many units: depth from which the deep network beats the "
                               "best single layer"},
                    measured_crossover(row, false), dlf_square_crossover(false), 0.0,
                    "first m with 4^-(m+1) < 1/(8 (3m+1)^2)"),
        exact_check("square_crossover_parameters",
                    (dlf_text){"参数量相同时，从第几层起深层胜过最优的单层",
                               "with as many parameters: depth from which the deep network beats "
                               "the best single layer"},
                    measured_crossover(row, true), dlf_square_crossover(true), 0.0,
                    "first m with 4^-(m+1) < 1/(8 (5m-1)^2): the deep network has 15m-4 "
                    "parameters, the shallow one 3 per unit and 2"),
        exact_check(
            "square_linear",
            (dlf_text){"对照：同样的权重换成线性激活，误差恒为 1/4，与深度无关（最大相对偏差）",
                       "control: the same weights with linear activations stay at error "
                       "1/4 at every depth (largest relative deviation)"},
            linear, 0.0, 1e-12, "closed form: the tents vanish, sup |x - x²| = 1/4"),
    };
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
        DLF_TRY(dlf_result_check(r, checks[i]));
    return DLF_OK;
}

static dlf_status square_table(dlf_run *run, const square_row *row)
{
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "square",
                             (dlf_text){"x² 的最大逼近误差", "sup error of approximating x²"},
                             (const dlf_column[]){{"m", "layers"},
                                                  {"units", "units"},
                                                  {"deep", "1"},
                                                  {"deep_theory", "1"},
                                                  {"shallow", "1"},
                                                  {"shallow_theory", "1"},
                                                  {"shallow_units", "units"},
                                                  {"shallow_parameters", "1"},
                                                  {"shallow_parameters_theory", "1"},
                                                  {"linear", "1"},
                                                  {NULL, NULL}},
                             &table));
    for (int m = 1; m <= SQUARES; m++) {
        const int u = dlf_square_shallow_units(m, false), v = dlf_square_shallow_units(m, true);
        DLF_TRY(dlf_table_row(table, DLF_NUM(m), DLF_NUM(3 * m), DLF_NUM(row[m].deep),
                              DLF_NUM(dlf_square_error_deep(m)), DLF_NUM(row[m].shallow[0]),
                              DLF_NUM(dlf_square_error_shallow(u + 1)), DLF_NUM(v),
                              DLF_NUM(row[m].shallow[1]), DLF_NUM(dlf_square_error_shallow(v + 1)),
                              DLF_NUM(row[m].linear)));
    }
    return DLF_OK;
}

static dlf_status square_figure(dlf_run *run)
{
    const dlf_series series = {.table = "square", .x = "m"};
    dlf_figure figure = {
        .id = "square",
        .kind = DLF_LINES,
        .title = {"逼近 x²：深层误差按 4⁻ᵐ 指数下降，单层只按 N⁻² 下降",
                  "Approximating x²: deep networks gain 4⁻ᵐ, one layer only N⁻²"},
        .subtitle = {"深层：m 个帐篷，各 3 个单元；浅层：单元数或参数量与之相同的最优折线",
                     "deep: m tents of 3 units; shallow: the best spline with as many units or "
                     "parameters"},
        .x = {{"深层网络的层数 m", "tents m in the deep network"}, false},
        .y = {{"[0,1] 上的最大误差", "largest error on [0,1]"}, true}};
    const struct {
        dlf_role role;
        const char *y;
        dlf_text label;
        int colour;
    } lines[] = {
        {DLF_MEASURED, "deep", {"深层", "deep"}, 0},
        {DLF_THEORY, "deep_theory", {"1/4ᵐ⁺¹", "1/4ᵐ⁺¹"}, 0},
        {DLF_MEASURED, "shallow", {"单层，单元数相同", "one layer, as many units"}, 1},
        {DLF_THEORY, "shallow_theory", {"1/8(3m+1)²", "1/8(3m+1)²"}, 1},
        {DLF_MEASURED,
         "shallow_parameters",
         {"单层，参数量相同", "one layer, as many parameters"},
         2},
        {DLF_THEORY, "shallow_parameters_theory", {"1/8(5m−1)²", "1/8(5m−1)²"}, 2},
        {DLF_CONTROL, "linear", {"对照：线性激活", "control: linear activation"}, 3},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        figure.series[i] = series;
        figure.series[i].role = lines[i].role;
        figure.series[i].y = lines[i].y;
        figure.series[i].label = lines[i].label;
        figure.series[i].colour = lines[i].colour;
        figure.series[i].points = lines[i].role == DLF_MEASURED;
    }
    return dlf_result_figure(dlf_run_result(run), &figure);
}

static dlf_status squares(dlf_run *run, tower *deep, tower *linear, const double *x, double *y)
{
    square_row row[SQUARES + 1] = {0};
    for (int m = 1; m <= SQUARES; m++) {
        DLF_TRY(read_values(deep->g, deep->square[m], y));
        row[m].deep = sup_error(x, y, deep->points);
        DLF_TRY(read_values(linear->g, linear->square[m], y));
        row[m].linear = sup_error(x, y, deep->points);
        for (int e = 0; e < 2; e++)
            DLF_TRY(shallow_error(&row[m].shallow[e], dlf_run_device(run),
                                  dlf_square_shallow_units(m, e)));
    }
    DLF_TRY(square_table(run, row));
    DLF_TRY(square_checks(run, row));
    return square_figure(run);
}

dlf_status dlf_depth_built(dlf_run *run, double from, double to)
{
    const int k = dlf_run_int(run, "tents");
    dlf_device *device = dlf_run_device(run);
    dlf_status status;
    tower deep = {0}, linear = {0};
    const int most = k > SQUARES ? k : SQUARES, points = (2 << most) + 1;
    double *x = malloc(2 * (size_t)points * sizeof *x), *y = x + points;
    if (!x) return dlf_fail(DLF_ERR_OOM, "depth: out of memory");
    for (int i = 0; i < points; i++) x[i] = (double)i / (points - 1); /* middles of all pieces */
    DLF_TRY_DONE(dlf_run_stage(run, from, "%d tents", k));
    DLF_TRY_DONE(build_tower(&deep, device, most, points, DLF_RELU));
    DLF_TRY_DONE(build_tower(&linear, device, SQUARES, points, DLF_LINEAR));
    DLF_TRY_DONE(run_tower(&deep, x));
    DLF_TRY_DONE(run_tower(&linear, x));
    deep.tents = k;
    DLF_TRY_DONE(tents(run, &deep, y));
    DLF_TRY_DONE(dlf_run_stage(run, 0.5 * (from + to), "x^2"));
    DLF_TRY_DONE(squares(run, &deep, &linear, x, y));
done:
    dlf_graph_free(deep.g);
    dlf_graph_free(linear.g);
    free(x);
    return status;
}
