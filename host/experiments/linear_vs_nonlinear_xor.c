/* SPDX-License-Identifier: MIT
 * linear_vs_nonlinear_xor.c -- Q14, Q18: XOR, the smallest thing that a linear net cannot do.
 *
 * The four corners (+-1, +-1), target 1 where the signs differ. At w = 0 the gradient of the mean
 * cross-entropy, sum_i (1/2 - t_i) x_i, is 0, and the loss is convex in the product of all
 * matrices: ln 2 is the best that any linear net can do, at any depth. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/train.h"
#include "linear_vs_nonlinear.h"

enum { CORNERS = 4, GRID = 33, ARMS = 4 };
#define REACH  2.0                          /* the maps show -REACH..REACH */
#define SHIFT  (REACH + REACH / (GRID - 1)) /* side by side in one figure, without a gap */
#define SOLVED 0.01 /* mean cross-entropy: every corner right with probability 0.99 */

static const float corners[CORNERS][2] = {{-1, -1}, {-1, 1}, {1, -1}, {1, 1}};
static const float targets[CORNERS] = {0, 1, 1, 0};

typedef struct xor_arm {
    const char *id;
    dlf_text label;
    bool hidden, control;
    dlf_activation_kind f;
} xor_arm;

static const xor_arm arms[ARMS] = {
    {"linear", {"对照：一层线性", "control: one linear layer"}, false, true, DLF_LINEAR},
    {"deep_linear", {"两层线性", "two linear layers"}, true, false, DLF_LINEAR},
    {"relu", {"ReLU 隐藏层", "hidden ReLU layer"}, true, false, DLF_RELU},
    {"tanh", {"tanh 隐藏层", "hidden tanh layer"}, true, false, DLF_TANH}};

/* ---- lines, by enumeration ----------------------------------------------------------------------
 */

/* The perceptron finds a line within R^2/gamma^2 < 100 updates if there is one (Novikoff 1962):
 * R^2 = 3, and the margin of these corners is at least 1/2 for every labelling with a line. */
static bool a_line_separates(unsigned labelling)
{
    int w[3] = {0, 0, 0}, clean = 0;
    for (int i = 0; i < 400; i++) {
        const float *x = corners[i % CORNERS];
        const int want = labelling >> (i % CORNERS) & 1 ? 1 : -1;
        const int z = w[0] + w[1] * (int)x[0] + w[2] * (int)x[1];
        if (z * want > 0) {
            if (++clean == CORNERS) return true;
            continue;
        }
        clean = 0;
        w[0] += want;
        w[1] += want * (int)x[0];
        w[2] += want * (int)x[1];
    }
    return false;
}

int dlf_xor_best_line(int *separable)
{
    int best = 0;
    *separable = 0;
    for (unsigned labelling = 0; labelling < 1u << CORNERS; labelling++) {
        if (!a_line_separates(labelling)) continue;
        int right = 0;
        for (int i = 0; i < CORNERS; i++) right += (labelling >> i & 1) == (targets[i] > 0);
        if (right > best) best = right;
        ++*separable;
    }
    return best;
}

/* ---- networks -----------------------------------------------------------------------------------
 */

static dlf_status build(dlf_graph *g, int members, int batch, int units, dlf_activation_kind kind)
{
    dlf_node h = dlf_input(g, "x", 3, (int64_t[]){members, batch, 2});
    const dlf_node target = dlf_input(g, "target", 3, (int64_t[]){members, batch, 1});
    if (units > 0) h = dlf_dense(g, "hidden", h, units, dlf_activation_of(kind), dlf_he());
    h = dlf_dense(g, "y", h, 1, dlf_activation_of(DLF_LINEAR), dlf_lecun());
    dlf_want_value(g, h);
    dlf_graph_minimise(g, dlf_row_loss(g, "loss", h, target, (dlf_loss){DLF_LOSS_BCE, 0}),
                       1.0 / batch);
    return dlf_graph_compile(g);
}

dlf_status dlf_xor_network(dlf_graph **out, dlf_device *device, int members, int batch, int units,
                           dlf_activation_kind kind)
{
    DLF_TRY(dlf_graph_new(out, device, members));
    const dlf_status status = build(*out, members, batch, units, kind);
    if (status == DLF_OK) return DLF_OK;
    dlf_graph_free(*out);
    *out = NULL;
    return status;
}

/* The probabilities of one member over the plane, as rows of the table. */
static dlf_status map_rows(dlf_run *run, dlf_table *table, const xor_arm *arm, int units,
                           dlf_graph *trained, int member)
{
    float x[GRID * GRID][2];
    double *z = malloc(GRID * GRID * sizeof *z);
    dlf_graph *g = NULL;
    dlf_status status;
    if (!z) return dlf_fail(DLF_ERR_OOM, "xor: out of memory");
    DLF_TRY_DONE(dlf_xor_network(&g, dlf_run_device(run), 1, GRID * GRID, units, arm->f));
    for (int i = 0; i < GRID * GRID; i++) {
        x[i][0] = (float)(REACH * (2.0 * (i % GRID) / (GRID - 1) - 1.0));
        x[i][1] = (float)(REACH * (2.0 * (i / GRID) / (GRID - 1) - 1.0));
    }
    const dlf_tensor one = dlf_tensor_slice(dlf_graph_parameters(trained), member, 1);
    DLF_TRY_DONE(dlf_tensor_copy(dlf_graph_parameters(g), &one));
    DLF_TRY_DONE(dlf_tensor_upload(dlf_graph_value(g, dlf_graph_find(g, "x")), x[0]));
    DLF_TRY_DONE(dlf_tensor_zero(dlf_graph_value(g, dlf_graph_find(g, "target"))));
    DLF_TRY_DONE(dlf_graph_forward(g, DLF_EVALUATION));
    DLF_TRY_DONE(dlf_tensor_download_f64(z, dlf_graph_value(g, dlf_graph_find(g, "y"))));
    for (int i = 0; i < GRID * GRID; i++)
        DLF_TRY_DONE(dlf_table_row(table, DLF_TXT(arm->id), DLF_NUM(x[i][0]), DLF_NUM(x[i][1]),
                                   DLF_NUM(x[i][0] + (arm->hidden ? SHIFT : -SHIFT)),
                                   DLF_NUM(1.0 / (1.0 + exp(-z[i])))));
done:
    dlf_graph_free(g);
    free(z);
    return status;
}

/* ---- training -----------------------------------------------------------------------------------
 */

/* Of one arm: final loss of every seed and start; the mean curve is in the table. */
static dlf_status follow(dlf_run *run, const xor_arm *arm, dlf_train *t, dlf_table *curve,
                         double *loss, double from, double to)
{
    const int S = dlf_run_seeds(run), starts = dlf_run_int(run, "starts");
    const int steps = dlf_run_int(run, "steps"), every = steps < 60 ? 1 : steps / 60;
    dlf_status status = DLF_OK;
    double *seed = malloc((size_t)S * sizeof *seed);
    if (!seed) return dlf_fail(DLF_ERR_OOM, "xor: out of memory");
    for (int step = 0; step <= steps; step++) {
        DLF_TRY_DONE(dlf_train_step(t)); /* its loss is that of the weights before the step */
        if (step % every && step != steps) continue;
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * step / steps, "xor: %s", arm->id));
        DLF_TRY_DONE(dlf_train_loss(t, loss));
        for (int s = 0; s < S; s++) {
            seed[s] = INFINITY;
            for (int i = 0; i < starts; i++) seed[s] = fmin(seed[s], loss[s * starts + i]);
        }
        const dlf_estimate e = dlf_estimate_of(seed, S, 1);
        DLF_TRY_DONE(dlf_table_row(curve, DLF_TXT(arm->id), DLF_NUM(step), DLF_NUM(e.mean),
                                   DLF_NUM(fmax(e.lo, 1e-9)), DLF_NUM(e.hi), DLF_NUM(M_LN2)));
    }
done:
    free(seed);
    return status;
}

static dlf_status train(dlf_run *run, const xor_arm *arm, dlf_table *curve, dlf_table *map,
                        double *loss, double from, double to)
{
    const int P = dlf_run_seeds(run) * dlf_run_int(run, "starts");
    const int units = arm->hidden ? dlf_run_int(run, "units") : 0;
    float x[CORNERS * 2], target[CORNERS];
    for (int i = 0; i < CORNERS; i++) {
        x[2 * i] = corners[i][0];
        x[2 * i + 1] = corners[i][1];
        target[i] = targets[i];
    }
    const dlf_dataset data = {.name = "xor corners",
                              .train = CORNERS,
                              .features = 2,
                              .targets = 1,
                              .x = x,
                              .target = target};
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    dlf_status status;
    double *lr = malloc((size_t)P * sizeof *lr);
    if (!lr) return dlf_fail(DLF_ERR_OOM, "xor: out of memory");
    for (int p = 0; p < P; p++) lr[p] = 0.1;
    DLF_TRY_DONE(dlf_xor_network(&g, dlf_run_device(run), P, CORNERS, units, arm->f));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run) + 3, NULL));
    DLF_TRY_DONE(dlf_train_new(&t, g, &data,
                               &(dlf_train_spec){.seed = dlf_run_seed(run) + 3,
                                                 .lr = lr,
                                                 .optimiser = dlf_sgd(0.9, 0.0)}));
    DLF_TRY_DONE(follow(run, arm, t, curve, loss, from, to));
    int best = 0;
    for (int p = 0; p < dlf_run_int(run, "starts"); p++)
        if (loss[p] < loss[best]) best = p;
    if (arm->f == DLF_RELU || !arm->hidden) DLF_TRY_DONE(map_rows(run, map, arm, units, g, best));
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    free(lr);
    return status;
}

/* ---- report -------------------------------------------------------------------------------------
 */

static dlf_status bound_check(dlf_run *run, const xor_arm *arm, const double *loss)
{
    const int S = dlf_run_seeds(run), starts = dlf_run_int(run, "starts");
    const dlf_estimate e = dlf_estimate_of(loss, S * starts, 1);
    char id[40], zh[160], en[160];
    snprintf(id, sizeof id, "xor_%s", arm->id);
    snprintf(zh, sizeof zh, "XOR：%s的损失停在 ln 2", arm->hidden ? "两层线性网络" : "线性模型");
    snprintf(en, sizeof en, "XOR: the loss of %s stays at ln 2",
             arm->hidden ? "two linear layers" : "a linear model");
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = id,
                    .claim = {zh, en},
                    .measured = e.mean,
                    .lo = e.lo,
                    .hi = e.hi,
                    .n = S,
                    .expected = M_LN2,
                    .tolerance = 1e-4,
                    .relation = DLF_EQUAL,
                    .source = "convex, and the gradient at 0 is sum (1/2-t) x = 0 (Minsky & "
                              "Papert 1969); mean over all starts"});
}

static dlf_status solved_check(dlf_run *run, const xor_arm *arm, const double *loss)
{
    const int S = dlf_run_seeds(run), starts = dlf_run_int(run, "starts");
    double *seed = malloc((size_t)S * sizeof *seed), solved = 0.0;
    if (!seed) return dlf_fail(DLF_ERR_OOM, "xor: out of memory");
    for (int s = 0; s < S; s++) {
        seed[s] = INFINITY;
        for (int i = 0; i < starts; i++) {
            seed[s] = fmin(seed[s], loss[s * starts + i]);
            solved += (double)(loss[s * starts + i] < SOLVED) / (S * starts);
        }
    }
    const dlf_estimate e = dlf_estimate_of(seed, S, 1);
    free(seed);
    char id[40], zh[160], en[160];
    snprintf(id, sizeof id, "xor_solved_%s", arm->id);
    DLF_TRY(dlf_result_fact(dlf_run_result(run), id, solved, "1"));
    snprintf(id, sizeof id, "xor_%s", arm->id);
    snprintf(zh, sizeof zh, "XOR：2-%d-1 的 %s 网络损失趋于零（每个种子取最好的起点）",
             dlf_run_int(run, "units"), arm->id);
    snprintf(en, sizeof en,
             "XOR: a 2-%d-1 %s net brings the loss to zero (best start of each seed)",
             dlf_run_int(run, "units"), arm->id);
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = id,
                    .claim = {zh, en},
                    .measured = e.mean,
                    .lo = e.lo,
                    .hi = e.hi,
                    .n = S,
                    .expected = 0.0,
                    .tolerance = SOLVED,
                    .relation = DLF_AT_MOST,
                    .source = "XOR = relu(a-b) + relu(b-a); 0.01: every corner right with "
                              "probability 0.99"});
}

static dlf_status line_check(dlf_run *run)
{
    int separable;
    const int best = dlf_xor_best_line(&separable);
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "xor_separable", separable, "1"));
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "xor_line",
                    .claim = {"没有直线能把 XOR 的四个点分对三个以上",
                              "no line gets more than three of the four corners of XOR right"},
                    .measured = best / (double)CORNERS,
                    .lo = NAN,
                    .hi = NAN,
                    .expected = 0.75,
                    .relation = DLF_EQUAL,
                    .source = "enumeration of all 16 labellings; 14 have a line (Cover 1965)"});
}

static dlf_status curve_figure(dlf_run *run)
{
    dlf_figure figure = {
        .id = "xor",
        .kind = DLF_LINES,
        .title = {"XOR：线性网络停在 ln 2，加一个非线性隐藏层就能学会",
                  "XOR: linear nets stay at ln 2, one hidden non-linear layer learns it"},
        .subtitle = {"四个点，二元交叉熵；每个种子取最好的起点",
                     "four corners, binary cross-entropy; best start of each seed"},
        .x = {{"步数", "steps"}, false},
        .y = {{"损失 (nat)", "loss (nat)"}, true}};
    for (int a = 0; a < ARMS; a++)
        figure.series[a] = (dlf_series){.role = arms[a].control ? DLF_CONTROL : DLF_MEASURED,
                                        .table = "xor",
                                        .where = "arm",
                                        .equals = arms[a].id,
                                        .x = "step",
                                        .y = "loss",
                                        .label = arms[a].label,
                                        .colour = a};
    figure.series[ARMS] = (dlf_series){.role = DLF_THEORY,
                                       .table = "xor",
                                       .where = "arm",
                                       .equals = "linear",
                                       .x = "step",
                                       .y = "ln2",
                                       .label = {"ln 2", "ln 2"}};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

static dlf_status map_figure(dlf_run *run)
{
    const dlf_figure figure = {
        .id = "xor_map",
        .kind = DLF_HEATMAP,
        .title = {"左：线性模型处处回答 0.5（对照）；右：ReLU 网络把平面折起来，分开 XOR",
                  "Left: the linear model answers 0.5 everywhere (control); right: the ReLU net "
                  "folds the plane and separates XOR"},
        .subtitle =
            {"训练后的输出概率；四个角 (±1, ±1)，异号为一类；两张图并排，各自的 x₁ 从 −2 到 2",
             "probability after training; corners (±1, ±1), one class where signs differ; "
             "two maps side by side, x₁ from −2 to 2 in each"},
        .x = {{"x₁ − 2（左）　　x₁ + 2（右）", "x₁ − 2 (left)      x₁ + 2 (right)"}, false},
        .y = {{"x₂", "x₂"}, false},
        .z = {{"异号的概率", "probability of different signs"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "xor_map",
                    .x = "at",
                    .y = "x2",
                    .z = "probability",
                    .label = {"网络", "network"}}}};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

dlf_status dlf_linear_xor(dlf_run *run, double from, double to)
{
    const int P = dlf_run_seeds(run) * dlf_run_int(run, "starts");
    dlf_table *curve, *map;
    dlf_status status;
    double *loss = malloc((size_t)P * sizeof *loss);
    if (!loss) return dlf_fail(DLF_ERR_OOM, "xor: out of memory");
    DLF_TRY_DONE(dlf_result_table(dlf_run_result(run), "xor",
                                  (dlf_text){"XOR 的损失", "loss on XOR"},
                                  (const dlf_column[]){{"arm", NULL},
                                                       {"step", "step"},
                                                       {"loss", "nat"},
                                                       {"lo", "nat"},
                                                       {"hi", "nat"},
                                                       {"ln2", "nat"},
                                                       {NULL, NULL}},
                                  &curve));
    DLF_TRY_DONE(dlf_result_table(dlf_run_result(run), "xor_map",
                                  (dlf_text){"平面上的输出概率", "probability over the plane"},
                                  (const dlf_column[]){{"arm", NULL},
                                                       {"x1", "1"},
                                                       {"x2", "1"},
                                                       {"at", "1"},
                                                       {"probability", "1"},
                                                       {NULL, NULL}},
                                  &map));
    for (int a = 0; a < ARMS; a++) {
        const double size = (to - from) / ARMS;
        DLF_TRY_DONE(
            train(run, &arms[a], curve, map, loss, from + size * a, from + size * (a + 1)));
        DLF_TRY_DONE(arms[a].f == DLF_LINEAR ? bound_check(run, &arms[a], loss)
                                             : solved_check(run, &arms[a], loss));
    }
    DLF_TRY_DONE(line_check(run));
    DLF_TRY_DONE(curve_figure(run));
    DLF_TRY_DONE(map_figure(run));
done:
    free(loss);
    return status;
}
