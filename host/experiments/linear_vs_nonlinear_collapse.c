/* SPDX-License-Identifier: MIT
 * linear_vs_nonlinear_collapse.c -- Q14, Q18: a deep linear net is one matrix, whose rank is at
 * most that of its narrowest layer. The control is the same net with an activation. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/graph.h"
#include "dlf/rng.h"
#include "dlf/theory.h"
#include "exploding.h"
#include "figures.h"
#include "linear_vs_nonlinear.h"

enum { LAYERS_MAX = 32 };

/* ---- a stack of matrices ------------------------------------------------------------------------
 */

typedef struct tower {
    dlf_graph *g;
    dlf_node x, y;
    dlf_node w[LAYERS_MAX + 1];
} tower;

/* y = W_L f( .. f(W_1 x)); units[0] inputs, units[layers] outputs; W ~ N(0, gain2 / fan_in) */
static dlf_status tower_new(tower *t, dlf_device *device, int members, int batch, int layers,
                            const int *units, dlf_activation_kind f, double gain2)
{
    *t = (tower){0};
    DLF_TRY(dlf_graph_new(&t->g, device, members));
    t->x = dlf_input(t->g, "x", 3, (int64_t[]){members, batch, units[0]});
    dlf_node h = t->x;
    for (int l = 1; l <= layers; l++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", l);
        t->w[l] = dlf_parameter(t->g, name, 3, (int64_t[]){members, units[l], units[l - 1]},
                                dlf_init_normal(gain2));
        h = dlf_matmul(t->g, NULL, h, false, t->w[l], true, 1.0);
        if (l < layers && f != DLF_LINEAR) h = dlf_activate(t->g, NULL, h, dlf_activation_of(f));
    }
    t->y = h;
    dlf_want_value(t->g, h);
    return dlf_graph_compile(t->g);
}

static double *download(dlf_graph *g, dlf_node x, dlf_status *status)
{
    const dlf_tensor *t = dlf_graph_value(g, x);
    double *host = malloc((size_t)dlf_tensor_count(t) * sizeof *host);
    *status = host ? dlf_tensor_download_f64(host, t)
                   : dlf_fail(DLF_ERR_OOM, "linear networks: out of memory");
    return host;
}

/* ---- superposition ------------------------------------------------------------------------------
 */

double dlf_superposition_defect(int layers)
{
    double apart = 0.0, half = sqrt(0.5); /* correlations of u with v, and of u with u+v */
    for (int l = 1; l < layers; l++) {
        apart = dlf_arccos_kernel1(apart);
        half = dlf_arccos_kernel1(half);
    }
    /* lengths sqrt(2), 1, 1 are kept by relu nets of gain 2 */
    const double square = (2.0 + 2.0 + 2.0 * apart - 4.0 * sqrt(2.0) * half) / 2.0;
    return sqrt(fmax(0.0, square)); /* one layer: 0, but for rounding */
}

/* Rows k, K+k, 2K+k are u, v and u+v. */
static dlf_status upload_triples(dlf_graph *g, dlf_node x, uint64_t seed, int triples)
{
    dlf_tensor *t = dlf_graph_value(g, x);
    const int64_t P = t->shape[0], N = t->shape[2], K = triples;
    double *host = malloc((size_t)dlf_tensor_count(t) * sizeof *host);
    dlf_status status;
    if (!host) return dlf_fail(DLF_ERR_OOM, "linear networks: out of memory");
    DLF_TRY_DONE(
        dlf_random_normal(t, NULL, NULL, (dlf_rng){seed, dlf_stream(DLF_PURPOSE_INPUT, 0)}));
    DLF_TRY_DONE(dlf_tensor_download_f64(host, t));
    for (int64_t p = 0; p < P; p++)
        for (int64_t i = 0; i < K * N; i++) {
            double *row = host + p * 3 * K * N + i;
            row[2 * K * N] = row[0] + row[K * N];
        }
    DLF_TRY_DONE(dlf_tensor_upload_f64(t, host));
done:
    free(host);
    return status;
}

static double defect_of(const double *y, int64_t size)
{
    double lack = 0.0, whole = 0.0;
    for (int64_t i = 0; i < size; i++) {
        const double sum = y[2 * size + i], d = sum - y[i] - y[size + i];
        lack += d * d;
        whole += sum * sum;
    }
    return sqrt(lack / whole);
}

/* |y - x (W_L..W_1)^T| / |y| with the product in double on the host, worst member. */
static dlf_status product_error(const tower *t, int layers, int width, const double *y, int batch,
                                double *worst)
{
    const dlf_tensor *xt = dlf_graph_value(t->g, t->x);
    const int64_t P = xt->shape[0], N = width, NN = N * N;
    dlf_status status;
    double *x = download(t->g, t->x, &status);
    double *product = calloc((size_t)(2 * P * NN), sizeof *product), *next = product + P * NN;
    if (!product) status = dlf_fail(DLF_ERR_OOM, "linear networks: out of memory");
    for (int64_t i = 0; status == DLF_OK && i < P * N; i++) product[i * N + i % N] = 1.0;
    for (int l = 1; status == DLF_OK && l <= layers; l++) {
        double *w = download(t->g, t->w[l], &status);
        for (int64_t i = 0; status == DLF_OK && i < P * N; i++)
            for (int64_t j = 0; j < N; j++) {
                double sum = 0.0;
                for (int64_t k = 0; k < N; k++)
                    sum += w[i * N + k] * product[i / N * NN + k * N + j];
                next[i * N + j] = sum;
            }
        free(w);
        if (status == DLF_OK) memcpy(product, next, (size_t)(P * NN) * sizeof *product);
    }
    *worst = 0.0;
    for (int64_t p = 0; status == DLF_OK && p < P; p++) {
        double error = 0.0, size = 0.0;
        for (int64_t r = p * batch; r < (p + 1) * batch; r++)
            for (int64_t i = 0; i < N; i++) {
                double want = 0.0;
                for (int64_t k = 0; k < N; k++) want += product[p * NN + i * N + k] * x[r * N + k];
                error += (y[r * N + i] - want) * (y[r * N + i] - want);
                size += want * want;
            }
        *worst = fmax(*worst, sqrt(error / size));
    }
    free(product);
    free(x);
    return status;
}

typedef struct collapse_arm {
    const char *id;
    dlf_text label;
    dlf_activation_kind f;
    double gain2;
} collapse_arm;

enum { ARMS = 3, TRIPLES = 8, DEPTHS = 5 };
static const collapse_arm arms[ARMS] = {{"linear", {"线性", "linear"}, DLF_LINEAR, 1.0},
                                        {"relu", {"ReLU", "ReLU"}, DLF_RELU, 2.0},
                                        {"tanh", {"tanh", "tanh"}, DLF_TANH, 2.0}};
static const int depths[DEPTHS] = {2, 4, 8, 16, 32};

/* The defect of every seed, and for linear nets the error of the product. */
static dlf_status measure(dlf_run *run, dlf_device *device, const collapse_arm *arm, int layers,
                          int width, double *defect, double *error)
{
    const int S = dlf_run_seeds(run), B = 3 * TRIPLES;
    int units[LAYERS_MAX + 1];
    double *y = NULL;
    tower t;
    dlf_status status;
    for (int l = 0; l <= layers; l++) units[l] = width;
    DLF_TRY_DONE(tower_new(&t, device, S, B, layers, units, arm->f, arm->gain2));
    DLF_TRY_DONE(dlf_graph_initialise(t.g, dlf_run_seed(run), NULL));
    DLF_TRY_DONE(upload_triples(t.g, t.x, dlf_run_seed(run), TRIPLES));
    DLF_TRY_DONE(dlf_graph_forward(t.g, DLF_EVALUATION));
    y = download(t.g, t.y, &status);
    if (status != DLF_OK) goto done;
    const int64_t size = (int64_t)TRIPLES * width;
    for (int s = 0; s < S; s++) defect[s] = defect_of(y + s * 3 * size, size);
    if (error) DLF_TRY_DONE(product_error(&t, layers, width, y, B, error));
done:
    free(y);
    dlf_graph_free(t.g);
    return status;
}

static dlf_status superposition_figure(dlf_run *run)
{
    dlf_figure figure = {
        .id = "superposition",
        .kind = DLF_LINES,
        .title =
            {"线性网络无论多深都满足叠加，只差舍入误差；非线性网络不满足",
             "A linear net superposes at any depth, up to rounding; a non-linear one does not"},
        .subtitle = {"随机网络；|f(u+v)−f(u)−f(v)| / |f(u+v)|；虚线为 ReLU 的公式",
                     "random networks; |f(u+v)−f(u)−f(v)| / |f(u+v)|; dashed: formula for ReLU"},
        .x = {{"层数", "layers"}, true},
        .y = {{"对叠加的偏离", "departure from superposition"}, true}};
    for (int a = 0; a < ARMS; a++)
        figure.series[a] =
            dlf_arm_series(a ? DLF_MEASURED : DLF_CONTROL, "superposition", "activation",
                           arms[a].id, "layers", "defect", arms[a].label, a);
    figure.series[ARMS] = (dlf_series){.role = DLF_THEORY,
                                       .table = "superposition",
                                       .where = "activation",
                                       .equals = "relu",
                                       .x = "layers",
                                       .y = "theory",
                                       .label = {"κ₁ 的公式", "formula, κ₁"},
                                       .colour = 1};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

static dlf_status defect_check(dlf_run *run, int layers, int width, const dlf_estimate *e)
{
    char zh[160], en[160];
    snprintf(zh, sizeof zh, "%d 层 ReLU 网络不满足叠加，偏离等于 κ₁ 的公式", layers);
    snprintf(en, sizeof en,
             "a ReLU net of %d layers does not superpose, and departs as the κ₁ formula says",
             layers);
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "superposition_relu",
                    .claim = {zh, en},
                    .measured = e->mean,
                    .lo = e->lo,
                    .hi = e->hi,
                    .n = e->n,
                    .expected = dlf_superposition_defect(layers),
                    .tolerance = fmax(0.05, 5.0 * layers / width),
                    .relative = true,
                    .relation = DLF_EQUAL,
                    .source = "arc-cosine kernel, Cho & Saul 2009; tolerance 5 % or 5 L/N, the "
                              "finite-width variance of a length (Hanin 2018)"});
}

/* On the device in its own precision, and once in double on `ref`. */
static dlf_status product_checks(dlf_run *run, double error, int deepest)
{
    const double bound = dlf_run_device(run)->real == DLF_F64 ? 1e-13 : 1e-5;
    char zh[160], en[160];
    dlf_device *ref;
    dlf_status status;
    double in_double = NAN, *defect = malloc((size_t)dlf_run_seeds(run) * sizeof *defect);
    if (!defect) return dlf_fail(DLF_ERR_OOM, "linear networks: out of memory");
    status = dlf_device_open(&ref, "ref");
    if (status == DLF_OK) {
        status = measure(run, ref, &arms[0], deepest, 16, defect, &in_double);
        dlf_device_close(ref);
    }
    free(defect);
    DLF_TRY(status);
    snprintf(zh, sizeof zh, "%d 层线性网络等于一个矩阵 W_L…W_1（本设备精度）", deepest);
    snprintf(en, sizeof en, "%d linear layers equal one matrix W_L…W_1 (precision of the device)",
             deepest);
    DLF_TRY(dlf_identity_check(run, "collapse_device", (dlf_text){zh, en}, error, bound,
                               "associativity; some L roundings of 6e-8 (float) each"));
    snprintf(zh, sizeof zh, "%d 层线性网络等于一个矩阵（双精度）", deepest);
    snprintf(en, sizeof en, "%d linear layers equal one matrix (double)", deepest);
    return dlf_identity_check(run, "collapse_double", (dlf_text){zh, en}, in_double, 1e-13,
                              "associativity; some L roundings of 1e-16 each");
}

dlf_status dlf_linear_collapse(dlf_run *run, double from, double to)
{
    const int S = dlf_run_seeds(run), width = dlf_run_int(run, "width");
    const int deepest = dlf_run_int(run, "depth");
    dlf_table *table;
    dlf_status status;
    double error = NAN, *defect = malloc((size_t)S * sizeof *defect);
    if (!defect) return dlf_fail(DLF_ERR_OOM, "linear networks: out of memory");
    DLF_TRY_DONE(dlf_result_table(dlf_run_result(run), "superposition",
                                  (dlf_text){"对叠加的偏离", "departure from superposition"},
                                  (const dlf_column[]){{"activation", NULL},
                                                       {"layers", "layers"},
                                                       {"defect", "1"},
                                                       {"lo", "1"},
                                                       {"hi", "1"},
                                                       {"theory", "1"},
                                                       {NULL, NULL}},
                                  &table));
    for (int d = 0; d < DEPTHS && depths[d] <= deepest; d++)
        for (int a = 0; a < ARMS; a++) {
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * (d + (double)a / ARMS) / DEPTHS,
                                       "superposition: %s, %d layers", arms[a].id, depths[d]));
            DLF_TRY_DONE(measure(run, dlf_run_device(run), &arms[a], depths[d], width, defect,
                                 a ? NULL : &error));
            const dlf_estimate e = dlf_estimate_of(defect, S, 1);
            const double theory = a == 1 ? dlf_superposition_defect(depths[d]) : NAN;
            DLF_TRY_DONE(dlf_table_row(table, DLF_TXT(arms[a].id), DLF_NUM(depths[d]),
                                       DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                                       DLF_NUM(theory)));
            if (a == 1 && d == 1) DLF_TRY_DONE(defect_check(run, depths[d], width, &e));
        }
    DLF_TRY_DONE(product_checks(run, error, deepest));
    DLF_TRY_DONE(superposition_figure(run));
done:
    free(defect);
    return status;
}

/* ---- rank -------------------------------------------------------------------------------------
 */

enum { RANK_LAYERS = 4, BOTTLENECKS = 5 };
#define RANK_THRESHOLD 1e-5 /* beyond L N roundings of 6e-8, far below the smallest true one */

/* Singular values above the threshold, as roots of the eigenvalues of y y^T (N,N); gram is scratch.
 * Squared, the threshold is 1e-10, still a thousand times the error of the eigenvalues. */
static int rank_of(const double *y, int n, double *gram, double *value)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0.0;
            for (int k = 0; k < n; k++) sum += y[i * n + k] * y[j * n + k];
            gram[i * n + j] = sum;
        }
    dlf_symmetric_eigen(gram, n, value, NULL);
    int rank = 0;
    while (rank < n && value[rank] > RANK_THRESHOLD * RANK_THRESHOLD * value[0]) rank++;
    return rank;
}

/* Rank of the outputs of all unit vectors: for a linear net, of its matrix. */
static dlf_status ranks(dlf_run *run, dlf_activation_kind f, int width, int k, double *rank)
{
    const int S = dlf_run_seeds(run);
    const int units[RANK_LAYERS + 1] = {width, width, k, width, width};
    const int64_t NN = (int64_t)width * width;
    double *y = NULL, *x = calloc((size_t)(S * NN), sizeof *x);
    double *scratch = malloc((size_t)(NN + width) * sizeof *scratch);
    tower t;
    dlf_status status = tower_new(&t, dlf_run_device(run), S, width, RANK_LAYERS, units, f, 2.0);
    if (!x || !scratch) status = dlf_fail(DLF_ERR_OOM, "linear networks: out of memory");
    if (status != DLF_OK) goto done;
    for (int64_t i = 0; i < (int64_t)S * width; i++) x[i * width + i % width] = 1.0;
    DLF_TRY_DONE(dlf_graph_initialise(t.g, dlf_run_seed(run) + 1, NULL));
    DLF_TRY_DONE(dlf_tensor_upload_f64(dlf_graph_value(t.g, t.x), x));
    DLF_TRY_DONE(dlf_graph_forward(t.g, DLF_EVALUATION));
    y = download(t.g, t.y, &status);
    for (int s = 0; status == DLF_OK && s < S; s++)
        rank[s] = rank_of(y + s * NN, width, scratch, scratch + NN);
done:
    free(scratch);
    free(y);
    free(x);
    dlf_graph_free(t.g);
    return status;
}

static dlf_status rank_report(dlf_run *run, double worst, const dlf_estimate *relu, int k)
{
    char zh[160], en[160];
    DLF_TRY(dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "rank_linear",
                    .claim = {"线性网络的秩恰等于最窄层的宽度（所有种子、所有宽度中的最大偏差）",
                              "the rank of a linear net is exactly the width of its narrowest "
                              "layer (largest deviation over all seeds and widths)"},
                    .measured = worst,
                    .lo = NAN,
                    .hi = NAN,
                    .n = dlf_run_seeds(run),
                    .expected = 0.0,
                    .relation = DLF_EQUAL,
                    .source = "rank(AB) <= min(rank A, rank B), equality with probability 1 for "
                              "Gaussian matrices; singular values above 1e-5 of the largest"}));
    snprintf(zh, sizeof zh, "对照：瓶颈宽 %d 的 ReLU 网络，输出的秩大于瓶颈", k);
    snprintf(en, sizeof en,
             "control: with ReLU and a bottleneck of %d the outputs have a higher rank", k);
    const dlf_figure figure = {
        .id = "rank",
        .kind = DLF_LINES,
        .title =
            {"线性网络的秩就是瓶颈的宽度；有 ReLU 时输出可以张满空间",
             "The rank of a linear net is its bottleneck; with ReLU the outputs can span more"},
        .subtitle = {"四层，第二层为瓶颈；所有单位向量的输出的数值秩",
                     "four layers, the second is the bottleneck; numerical rank of the outputs of "
                     "all unit vectors"},
        .x = {{"瓶颈宽度 k", "bottleneck k"}, true},
        .y = {{"输出的秩", "rank of the outputs"}, true},
        .series = {{.role = DLF_MEASURED,
                    .table = "rank",
                    .where = "activation",
                    .equals = "linear",
                    .x = "bottleneck",
                    .y = "rank",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"线性", "linear"}},
                   {.role = DLF_THEORY,
                    .table = "rank",
                    .where = "activation",
                    .equals = "linear",
                    .x = "bottleneck",
                    .y = "bottleneck",
                    .label = {"秩 = k", "rank = k"}},
                   {.role = DLF_CONTROL,
                    .table = "rank",
                    .where = "activation",
                    .equals = "relu",
                    .x = "bottleneck",
                    .y = "rank",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"对照：ReLU", "control: ReLU"},
                    .colour = 1}}};
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &figure));
    return dlf_result_check(dlf_run_result(run),
                            (dlf_check){.id = "rank_relu",
                                        .claim = {zh, en},
                                        .measured = relu->mean,
                                        .lo = relu->lo,
                                        .hi = relu->hi,
                                        .n = relu->n,
                                        .expected = k + 1.0,
                                        .relation = DLF_AT_LEAST,
                                        .source = "the image of a ReLU net is no subspace"});
}

dlf_status dlf_linear_rank(dlf_run *run, double from, double to)
{
    enum { WIDTH = 32 };
    static const int bottleneck[BOTTLENECKS] = {1, 2, 4, 8, 16};
    const int S = dlf_run_seeds(run);
    double worst = 0.0, *rank = malloc((size_t)S * sizeof *rank);
    dlf_estimate relu = {0};
    dlf_table *table;
    dlf_status status;
    if (!rank) return dlf_fail(DLF_ERR_OOM, "linear networks: out of memory");
    DLF_TRY_DONE(dlf_result_table(
        dlf_run_result(run), "rank",
        (dlf_text){"输出的秩与瓶颈宽度", "rank of the outputs by width of the bottleneck"},
        (const dlf_column[]){{"activation", NULL},
                             {"bottleneck", "units"},
                             {"rank", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {NULL, NULL}},
        &table));
    for (int i = 0; i < 2 * BOTTLENECKS; i++) {
        const bool linear = i % 2 == 0;
        const int k = bottleneck[i / 2];
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * i / (2 * BOTTLENECKS),
                                   "rank: bottleneck %d", k));
        DLF_TRY_DONE(ranks(run, linear ? DLF_LINEAR : DLF_RELU, WIDTH, k, rank));
        const dlf_estimate e = dlf_estimate_of(rank, S, 1);
        DLF_TRY_DONE(dlf_table_row(table, DLF_TXT(linear ? "linear" : "relu"), DLF_NUM(k),
                                   DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi)));
        for (int s = 0; linear && s < S; s++) worst = fmax(worst, fabs(rank[s] - k));
        if (!linear && k == 4) relu = e;
    }
    DLF_TRY_DONE(rank_report(run, worst, &relu, 4));
done:
    free(rank);
    return status;
}
