/* SPDX-License-Identifier: MIT
 * depth_vs_width_random.c -- Q16, Q34: linear pieces of random networks along a line, in one, two
 * and four layers of as many units. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "depth_vs_width.h"
#include "dlf/graph.h"

typedef struct shape {
    const char *id; /* series of the figure */
    int layers, neurons;
    bool deep_bias; /* biases behind the first layer are N(0,1), else 0 */
} shape;

static const shape shapes[] = {
    {"1", 1, 64, false},  {"2", 2, 64, false},  {"4", 4, 64, false},  {"1", 1, 128, false},
    {"2", 2, 128, false}, {"4", 4, 128, false}, {"1", 1, 256, false}, {"2", 2, 256, false},
    {"4", 4, 256, false}, {"4b", 4, 64, true},  {"4b", 4, 128, true}, {"4b", 4, 256, true},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0], LAYERS_MAX = 4 };

/* ---- a population of random networks on a line -------------------------------------------------
 */

typedef struct line_nets {
    dlf_graph *g;
    dlf_node x, layer[LAYERS_MAX];
    int members, samples, width, layers;
} line_nets;

static dlf_status build(line_nets *n, dlf_device *device, const shape *s, int members, int samples)
{
    *n = (line_nets){.members = members,
                     .samples = samples,
                     .width = s->neurons / s->layers,
                     .layers = s->layers};
    DLF_TRY(dlf_graph_new(&n->g, device, members));
    n->x = dlf_input(n->g, "x", 3, (int64_t[]){1, samples, 1});
    dlf_node h = n->x;
    for (int l = 0; l < s->layers; l++) {
        char name[24];
        snprintf(name, sizeof name, "layer%d", l + 1);
        const dlf_init w = l == 0 ? dlf_lecun() : dlf_he();
        const dlf_init b = l == 0 || s->deep_bias ? dlf_init_normal(1.0) : dlf_init_constant(0.0);
        h = dlf_dense_init(n->g, name, h, n->width, dlf_activation_of(DLF_RELU), w, &b);
        dlf_want_value(n->g, h);
        n->layer[l] = h;
    }
    return dlf_graph_compile(n->g);
}

/* How often units of one member switch on or off from sample to sample, in steps of `stride`. */
static int64_t switches(const float *a, int samples, int width, int stride)
{
    int64_t count = 0;
    for (int i = stride; i < samples; i += stride) {
        const float *now = a + (int64_t)i * width, *before = now - (int64_t)stride * width;
        for (int j = 0; j < width; j++) count += (now[j] > 0.0f) != (before[j] > 0.0f);
    }
    return count;
}

/* Mean over the members: linear pieces counted on all samples, and on every second one. */
static dlf_status count_pieces(line_nets *n, double *pieces, double *coarse)
{
    const int64_t size = (int64_t)n->samples * n->width;
    const int threads = dlf_graph_device(n->g)->info.threads;
    int64_t all = 0, every_second = 0;
    dlf_status status = DLF_OK;
    float *a = malloc((size_t)(size * n->members) * sizeof *a);
    if (!a) return dlf_fail(DLF_ERR_OOM, "pieces: out of memory");
    for (int l = 0; l < n->layers; l++) {
        DLF_TRY_DONE(dlf_tensor_download(a, dlf_graph_value(n->g, n->layer[l])));
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : all, every_second)
        for (int p = 0; p < n->members; p++) {
            all += switches(a + p * size, n->samples, n->width, 1);
            every_second += switches(a + p * size, n->samples, n->width, 2);
        }
    }
    *pieces = 1.0 + (double)all / n->members;
    *coarse = 1.0 + (double)every_second / n->members;
done:
    free(a);
    return status;
}

/* pieces[seed], coarse[seed] of one shape. */
static dlf_status measure(dlf_run *run, const shape *s, double *pieces, double *coarse)
{
    const int draws = dlf_run_int(run, "draws"), samples = dlf_run_int(run, "points") + 1;
    const double reach = dlf_run_real(run, "reach");
    dlf_status status;
    line_nets n = {0};
    int32_t *draw = malloc((size_t)draws * sizeof *draw);
    double *x = malloc((size_t)samples * sizeof *x);
    if (!draw || !x) {
        status = dlf_fail(DLF_ERR_OOM, "pieces: out of memory");
        goto done;
    }
    for (int i = 0; i < samples; i++) x[i] = reach * (2.0 * i / (samples - 1) - 1.0);
    DLF_TRY_DONE(build(&n, dlf_run_device(run), s, draws, samples));
    DLF_TRY_DONE(dlf_tensor_upload_f64(dlf_graph_value(n.g, n.x), x));
    for (int seed = 0; seed < dlf_run_seeds(run); seed++) {
        for (int i = 0; i < draws; i++) draw[i] = seed * draws + i;
        DLF_TRY_DONE(dlf_graph_initialise(n.g, dlf_run_seed(run), draw));
        DLF_TRY_DONE(dlf_graph_forward(n.g, DLF_EVALUATION));
        DLF_TRY_DONE(count_pieces(&n, &pieces[seed], &coarse[seed]));
    }
done:
    dlf_graph_free(n.g);
    free(x);
    free(draw);
    return status;
}

/* ---- table, checks, figure
 * ------------------------------------------------------------------------
 */

static double law(const dlf_run *run, const shape *s)
{
    return dlf_line_pieces(s->layers, s->neurons / s->layers, dlf_run_real(run, "reach"),
                           s->deep_bias ? 1.0 : 0.0);
}

static dlf_status piece_table(dlf_run *run, const dlf_estimate *e)
{
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "random",
                             (dlf_text){"随机 ReLU 网络沿线段的线性片段数",
                                        "linear pieces of random ReLU networks along a line"},
                             (const dlf_column[]){{"shape", NULL},
                                                  {"layers", "layers"},
                                                  {"units", "units"},
                                                  {"pieces", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {NULL, NULL}},
                             &table));
    for (int i = 0; i < SHAPES; i++)
        DLF_TRY(dlf_table_row(table, DLF_TXT(shapes[i].id), DLF_NUM(shapes[i].layers),
                              DLF_NUM(shapes[i].neurons), DLF_NUM(e[i].mean), DLF_NUM(e[i].lo),
                              DLF_NUM(e[i].hi), DLF_NUM(law(run, &shapes[i]))));
    DLF_TRY(dlf_result_table(dlf_run_result(run), "one_layer",
                             (dlf_text){"单层网络片段数的上限", "most pieces of a single layer"},
                             (const dlf_column[]){{"units", "units"}, {"most", "1"}, {NULL, NULL}},
                             &table));
    for (int units = 3; units <= 256; units += units < 16 ? 1 : 16)
        DLF_TRY(dlf_table_row(table, DLF_NUM(units), DLF_NUM(units + 1)));
    return DLF_OK;
}

static int find_shape(const char *id, int neurons)
{
    for (int i = 0; i < SHAPES; i++)
        if (shapes[i].neurons == neurons && shapes[i].id[0] == id[0] &&
            (shapes[i].id[1] == 'b') == (id[1] == 'b'))
            return i;
    return -1;
}

static dlf_status law_check(dlf_run *run, const dlf_estimate *e, const char *id, const char *of,
                            dlf_text claim, double tolerance, const char *source)
{
    const int i = find_shape(of, 256);
    return dlf_result_check(dlf_run_result(run), (dlf_check){.id = id,
                                                             .claim = claim,
                                                             .measured = e[i].mean,
                                                             .lo = e[i].lo,
                                                             .hi = e[i].hi,
                                                             .n = e[i].n,
                                                             .expected = law(run, &shapes[i]),
                                                             .tolerance = tolerance,
                                                             .relative = true,
                                                             .relation = DLF_EQUAL,
                                                             .source = source});
}

/* Largest ratio between two shapes of as many units. */
static double worst_shape_ratio(const dlf_estimate *e)
{
    double worst = 1.0;
    for (int i = 0; i < SHAPES; i++)
        for (int k = 0; k < SHAPES; k++) {
            if (shapes[i].neurons != shapes[k].neurons || shapes[i].deep_bias ||
                shapes[k].deep_bias)
                continue;
            const double ratio = e[i].mean / e[k].mean;
            if (!(ratio <= worst)) worst = ratio;
        }
    return worst;
}

static dlf_status piece_checks(dlf_run *run, const dlf_estimate *e, double lost)
{
    dlf_result *r = dlf_run_result(run);
    const double networks = (double)dlf_run_seeds(run) * dlf_run_int(run, "draws");
    /* pieces - 1 of one layer is binomial of 256 and p = 1/2 (reach 1): four standard errors */
    const double noise =
        4.0 * sqrt(256 * 0.25 / networks) / law(run, &shapes[find_shape("1", 256)]);
    DLF_TRY(law_check(
        run, e, "random_one_layer", "1",
        (dlf_text){"单层 256 个随机单元沿线段的片段数 = 1 + 256·(2/π)·arctan(a)",
                   "one layer of 256 random units has 1 + 256·(2/π)·atan(a) pieces along the line"},
        noise, "closed form: zeros of w x + b, w, b ~ N(0,1); four standard errors (binomial)"));
    DLF_TRY(law_check(
        run, e, "random_four_layers", "4",
        (dlf_text){"4 层各 64 个随机单元，片段数与单层 256 个单元的公式相同",
                   "four layers of 64 random units obey the same formula as one layer of 256"},
        0.1,
        "Kac-Rice on the wide limit (depth_vs_width.h); 10 %: width 64; Hanin & Rolnick 2019, "
        "arXiv:1901.09021"));
    DLF_TRY(law_check(
        run, e, "random_deep_bias", "4b",
        (dlf_text){"每层都有随机偏置时，越深的层折点越少：Σ N·(2/π)·arctan(a/√l)",
                   "with random biases in every layer deeper layers have fewer breakpoints: "
                   "Σ N·(2/π)·atan(a/√l)"},
        0.1, "Kac-Rice on the wide limit (depth_vs_width.h); 10 %: width 64"));
    DLF_TRY(dlf_result_check(
        r,
        (dlf_check){.id = "random_shapes",
                    .claim = {"随机初始化时深度不增加片段数：单元数相同的形状之比不超过 1.1",
                              "at random initialisation depth adds no pieces: shapes of as many "
                              "units differ by a factor of at most 1.1"},
                    .measured = worst_shape_ratio(e),
                    .lo = NAN,
                    .hi = NAN,
                    .n = dlf_run_seeds(run),
                    .expected = 1.1,
                    .relation = DLF_AT_MOST,
                    .source = "Hanin & Rolnick 2019, arXiv:1901.09021: pieces along a line are "
                              "of the order of the number of units; 1.1 chosen before the run"}));
    return dlf_result_check(
        r, (dlf_check){.id = "random_resolution",
                       .claim = {"数折点的网格足够细：隔点数只少不到 1%",
                                 "the grid is fine enough: every second point loses less than 1 % "
                                 "of the pieces"},
                       .measured = lost,
                       .lo = NAN,
                       .hi = NAN,
                       .n = dlf_run_seeds(run),
                       .expected = 0.01,
                       .relation = DLF_AT_MOST,
                       .source = "two switches of one unit within an interval cancel"});
}

static dlf_status piece_figure(dlf_run *run)
{
    static const dlf_series points = {.table = "random",
                                      .where = "shape",
                                      .x = "units",
                                      .y = "pieces",
                                      .lo = "lo",
                                      .hi = "hi",
                                      .points = true};
    dlf_figure figure = {
        .id = "pieces",
        .kind = DLF_LINES,
        .title = {"深度能使片段数按 2ᵏ 增长，但随机初始化的网络做不到",
                  "Depth can make 2ᵏ pieces; randomly initialised networks do not use it"},
        .subtitle = {"沿一条线段的线性片段数；帐篷网络每层 3 个单元",
                     "linear pieces along a line; tent networks have 3 units per layer"},
        .x = {{"单元数", "units"}, true},
        .y = {{"线性片段数", "linear pieces"}, true},
        .series = {{.role = DLF_MEASURED,
                    .table = "tents",
                    .x = "units",
                    .y = "pieces",
                    .label = {"复合的帐篷映射", "composed tents"},
                    .points = true},
                   {.role = DLF_THEORY,
                    .table = "tents",
                    .x = "units",
                    .y = "theory",
                    .label = {"2ᵏ", "2ᵏ"}},
                   {.role = DLF_REFERENCE,
                    .table = "one_layer",
                    .x = "units",
                    .y = "most",
                    .label = {"单层的上限：单元数 + 1", "bound of one layer: units + 1"},
                    .colour = 6},
                   points,
                   points,
                   points,
                   points,
                   {.role = DLF_THEORY,
                    .table = "random",
                    .where = "shape",
                    .equals = "1",
                    .x = "units",
                    .y = "theory",
                    .label = {"理论：仅首层有偏置", "theory: bias in the first layer"},
                    .colour = 1},
                   {.role = DLF_THEORY,
                    .table = "random",
                    .where = "shape",
                    .equals = "4b",
                    .x = "units",
                    .y = "theory",
                    .label = {"理论：各层有偏置", "theory: bias in every layer"},
                    .colour = 4}}};
    static const char *const ids[] = {"1", "2", "4", "4b"};
    static const dlf_text labels[] = {
        {"对照：随机，1 层", "control: random, 1 layer"},
        {"对照：随机，2 层", "control: random, 2 layers"},
        {"对照：随机，4 层", "control: random, 4 layers"},
        {"对照：随机，4 层，各层有偏置", "control: 4 layers, bias in every"}};
    for (int i = 0; i < 4; i++) {
        dlf_series *s = &figure.series[3 + i];
        s->role = DLF_CONTROL;
        s->equals = ids[i];
        s->label = labels[i];
        s->colour = 1 + i;
    }
    return dlf_result_figure(dlf_run_result(run), &figure);
}

dlf_status dlf_depth_random(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    dlf_status status;
    dlf_estimate e[SHAPES];
    double lost = 0.0, *pieces = malloc(2 * (size_t)seeds * sizeof *pieces);
    if (!pieces) return dlf_fail(DLF_ERR_OOM, "pieces: out of memory");
    for (int i = 0; i < SHAPES; i++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * i / SHAPES, "random: %d x %d",
                                   shapes[i].layers, shapes[i].neurons / shapes[i].layers));
        DLF_TRY_DONE(measure(run, &shapes[i], pieces, pieces + seeds));
        e[i] = dlf_estimate_of(pieces, seeds, 1);
        const double share = 1.0 - dlf_estimate_of(pieces + seeds, seeds, 1).mean / e[i].mean;
        if (!(share <= lost)) lost = share;
    }
    DLF_TRY_DONE(piece_table(run, e));
    DLF_TRY_DONE(piece_checks(run, e, lost));
    DLF_TRY_DONE(piece_figure(run));
done:
    free(pieces);
    return status;
}
