/* SPDX-License-Identifier: MIT
 * linear_vs_nonlinear_modes.c -- Q14: a deep linear net computes what one matrix computes, but does
 * not learn it the same way (Saxe, McClelland & Ganguli 2013).
 *
 * y = W2 W1 x is fitted to y = A x, x = unit vectors, by gradient descent on |y - A x|^2 / 2 from
 * W1 = sqrt(u0) R V^T, W2 = sqrt(u0) U R^T with A = U S V^T. Every mode then moves by itself:
 * du/dt = 2 u (s - u), a sigmoid with a plateau; one layer: du/dt = s - u, no plateau (control). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/train.h"
#include "figures.h"
#include "linear_vs_nonlinear.h"

enum {
    N = 4,
    FINE = 2,
    RECORDS = 40
}; /* FINE: steps of the second population per step of the first */
static const double strengths[N] = {3.0, 2.0, 1.0, 0.5};
#define START 0.01
#define TIME  4.0

double dlf_deep_mode(double s, double u0, double t)
{
    const double e = exp(-2.0 * s * t);
    return s / (1.0 + e * (s / u0 - 1.0));
}

double dlf_shallow_mode(double s, double u0, double t)
{
    return s + (u0 - s) * exp(-t);
}

/* U, V, R of every seed; A and the start from them. All (seeds, N, N). */
typedef struct basis {
    double *u, *v, *r;
} basis;

static void basis_free(basis *b)
{
    free(b->u);
    free(b->v);
    free(b->r);
}

static dlf_status basis_new(basis *b, dlf_run *run, int seeds)
{
    const char *const names[3] = {"u", "v", "r"};
    double **const out[3] = {&b->u, &b->v, &b->r};
    dlf_node node[3];
    dlf_graph *g;
    *b = (basis){0};
    DLF_TRY(dlf_graph_new(&g, dlf_run_device(run), seeds));
    for (int i = 0; i < 3; i++)
        node[i] = dlf_parameter(g, names[i], 3, (int64_t[]){seeds, N, N}, dlf_orthogonal(1.0));
    dlf_status status = dlf_graph_compile(g);
    if (status == DLF_OK) status = dlf_graph_initialise(g, dlf_run_seed(run) + 2, NULL);
    for (int i = 0; i < 3 && status == DLF_OK; i++) {
        *out[i] = malloc((size_t)(seeds * N * N) * sizeof **out[i]);
        status = *out[i] ? dlf_tensor_download_f64(*out[i], dlf_graph_value(g, node[i]))
                         : dlf_fail(DLF_ERR_OOM, "modes: out of memory");
    }
    dlf_graph_free(g);
    return status;
}

/* out = a diag(d) b^T */
static void product(double *out, const double *a, const double *d, const double *b)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0.0;
            for (int k = 0; k < N; k++) sum += a[i * N + k] * d[k] * b[j * N + k];
            out[i * N + j] = sum;
        }
}

/* Rows s N .. s N + N-1: the unit vectors and their images under seed s's A. */
static dlf_status data_new(dlf_dataset *d, const basis *b, int seeds)
{
    const size_t rows = (size_t)seeds * N;
    *d = (dlf_dataset){.name = "modes", .train = (int)rows, .features = N, .targets = N};
    d->x = calloc(rows * N, sizeof *d->x);
    d->target = calloc(rows * N, sizeof *d->target);
    if (!d->x || !d->target) return dlf_fail(DLF_ERR_OOM, "modes: out of memory");
    for (int s = 0; s < seeds; s++) {
        double a[N * N];
        product(a, b->u + s * N * N, strengths, b->v + s * N * N);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                d->x[(s * N + i) * N + j] = i == j;
                d->target[(s * N + i) * N + j] = (float)a[j * N + i];
            }
    }
    return DLF_OK;
}

/* A population: one or two layers, members = seeds x {dt, dt/2}. */
typedef struct population {
    bool deep;
    dlf_graph *g;
    dlf_train *t;
    dlf_node w1, w2; /* w2 invalid in the shallow one */
} population;

static void population_free(population *p)
{
    dlf_train_free(p->t);
    dlf_graph_free(p->g);
}

static dlf_status build(population *p, dlf_device *device, int members)
{
    const int64_t P = members;
    const dlf_init given = {.kind = DLF_INIT_GIVEN};
    DLF_TRY(dlf_graph_new(&p->g, device, members));
    const dlf_node x = dlf_input(p->g, "x", 3, (int64_t[]){P, N, N});
    const dlf_node target = dlf_input(p->g, "target", 3, (int64_t[]){P, N, N});
    p->w1 = dlf_parameter(p->g, "w1", 3, (int64_t[]){P, N, N}, given);
    dlf_node y = dlf_matmul(p->g, NULL, x, false, p->w1, true, 1.0);
    if (p->deep) {
        p->w2 = dlf_parameter(p->g, "w2", 3, (int64_t[]){P, N, N}, given);
        y = dlf_matmul(p->g, NULL, y, false, p->w2, true, 1.0);
    }
    dlf_graph_minimise(p->g, dlf_row_loss(p->g, "loss", y, target, (dlf_loss){DLF_LOSS_MSE, 0}),
                       0.5);
    return dlf_graph_compile(p->g);
}

static dlf_status start(population *p, const basis *b, int seeds)
{
    const int members = seeds * FINE, NN = N * N;
    double root[N], full[N], *w1 = malloc((size_t)(2 * members * NN) * sizeof *w1);
    if (!w1) return dlf_fail(DLF_ERR_OOM, "modes: out of memory");
    double *w2 = w1 + members * NN;
    for (int k = 0; k < N; k++) {
        root[k] = sqrt(START);
        full[k] = START;
    }
    for (int m = 0; m < members; m++) {
        const double *u = b->u + m % seeds * NN, *v = b->v + m % seeds * NN;
        const double *r = b->r + m % seeds * NN;
        if (p->deep) {
            product(w1 + m * NN, r, root, v);
            product(w2 + m * NN, u, root, r);
        } else {
            product(w1 + m * NN, u, full, v);
        }
    }
    dlf_status status = dlf_tensor_upload_f64(dlf_graph_value(p->g, p->w1), w1);
    if (status == DLF_OK && p->deep)
        status = dlf_tensor_upload_f64(dlf_graph_value(p->g, p->w2), w2);
    free(w1);
    return status;
}

static dlf_status population_new(population *p, dlf_run *run, const dlf_dataset *data,
                                 const basis *b, int seeds, double dt)
{
    const int members = seeds * FINE;
    dlf_status status;
    double *lr = malloc((size_t)members * sizeof *lr);
    int32_t *base = malloc((size_t)members * sizeof *base);
    if (!lr || !base) {
        status = dlf_fail(DLF_ERR_OOM, "modes: out of memory");
        goto done;
    }
    for (int m = 0; m < members; m++) {
        lr[m] = m < seeds ? dt : dt / FINE;
        base[m] = m % seeds * N;
    }
    DLF_TRY_DONE(build(p, dlf_run_device(run), members));
    DLF_TRY_DONE(start(p, b, seeds));
    DLF_TRY_DONE(dlf_train_new(&p->t, p->g, data,
                               &(dlf_train_spec){.seed = dlf_run_seed(run),
                                                 .lr = lr,
                                                 .base = base,
                                                 .optimiser = dlf_sgd(0.0, 0.0),
                                                 .rows = N}));
done:
    free(base);
    free(lr);
    return status;
}

/* u_k = U_k^T W V_k of members first .. first+seeds-1: mode[s * N + k] */
static dlf_status modes_of(const population *p, const basis *b, int first, int seeds, double *mode)
{
    const int members = seeds * FINE, NN = N * N;
    double *w1 = malloc((size_t)(2 * members * NN) * sizeof *w1);
    if (!w1) return dlf_fail(DLF_ERR_OOM, "modes: out of memory");
    double *w2 = w1 + members * NN;
    dlf_status status = dlf_tensor_download_f64(w1, dlf_graph_value(p->g, p->w1));
    if (status == DLF_OK && p->deep)
        status = dlf_tensor_download_f64(w2, dlf_graph_value(p->g, p->w2));
    for (int s = 0; s < seeds && status == DLF_OK; s++)
        for (int k = 0; k < N; k++) {
            const double *a = w1 + (first + s) * NN, *c = w2 + (first + s) * NN;
            double hidden[N], sum = 0.0;
            for (int i = 0; i < N; i++) {
                hidden[i] = 0.0;
                for (int j = 0; j < N; j++) hidden[i] += a[i * N + j] * b->v[s * NN + j * N + k];
            }
            for (int i = 0; i < N; i++) {
                double out = p->deep ? 0.0 : hidden[i];
                for (int j = 0; j < N && p->deep; j++) out += c[i * N + j] * hidden[j];
                sum += b->u[s * NN + i * N + k] * out;
            }
            mode[s * N + k] = sum;
        }
    free(w1);
    return status;
}

/* mode[((fine * (RECORDS+1) + record) * seeds + seed) * N + k], fine: 0 dt, 1 dt/2 */
static dlf_status follow(dlf_run *run, population *p, const basis *b, int seeds, int steps,
                         double *mode, double from, double to)
{
    const int every = steps / RECORDS;
    const size_t slice = (size_t)seeds * N, half = (RECORDS + 1) * slice;
    for (int step = 0; step <= FINE * steps; step++) {
        if (step % every == 0) {
            DLF_TRY(dlf_run_stage(run, from + (to - from) * step / (FINE * steps),
                                  "modes of %s linear networks", p->deep ? "deep" : "shallow"));
            const size_t record = (size_t)(step / every);
            if (record <= RECORDS) DLF_TRY(modes_of(p, b, 0, seeds, mode + record * slice));
            if (record % FINE == 0)
                DLF_TRY(modes_of(p, b, seeds, seeds, mode + half + record / FINE * slice));
        }
        if (step < FINE * steps) DLF_TRY(dlf_train_step(p->t));
    }
    return DLF_OK;
}

/* ---- report -----------------------------------------------------------------------------------
 */

/* Largest relative departure from theory over times and modes, of one seed. */
static double worst_of(const double *mode, int seeds, int seed, bool deep)
{
    double worst = 0.0;
    for (int r = 0; r <= RECORDS; r++)
        for (int k = 0; k < N; k++) {
            const double t = TIME * r / RECORDS, s = strengths[k];
            const double want = deep ? dlf_deep_mode(s, START, t) : dlf_shallow_mode(s, START, t);
            const double got = mode[((size_t)r * (size_t)seeds + (size_t)seed) * N + (size_t)k];
            worst = fmax(worst, fabs(got / want - 1.0));
        }
    return worst;
}

static dlf_status rows(dlf_table *table, const double *mode, int seeds, bool deep)
{
    static const char *const names[N] = {"s3", "s2", "s1", "s0p5"};
    for (int k = 0; k < N; k++)
        for (int r = 0; r <= RECORDS; r++) {
            const double t = TIME * r / RECORDS, s = strengths[k];
            const dlf_estimate e =
                dlf_estimate_of(mode + (size_t)r * (size_t)seeds * N + k, seeds, N);
            char arm[24];
            strcpy(arm, deep ? "deep_" : "shallow_");
            strcat(arm, names[k]);
            DLF_TRY(dlf_table_row(
                table, DLF_TXT(arm), DLF_NUM(s), DLF_NUM(t), DLF_NUM(e.mean), DLF_NUM(e.lo),
                DLF_NUM(e.hi),
                DLF_NUM(deep ? dlf_deep_mode(s, START, t) : dlf_shallow_mode(s, START, t))));
        }
    return DLF_OK;
}

static dlf_status curve_check(dlf_run *run, const double *mode, int seeds, bool deep, double dt)
{
    double *worst = malloc((size_t)seeds * sizeof *worst);
    if (!worst) return dlf_fail(DLF_ERR_OOM, "modes: out of memory");
    for (int s = 0; s < seeds; s++) worst[s] = worst_of(mode, seeds, s, deep);
    const dlf_estimate e = dlf_estimate_of(worst, seeds, 1);
    free(worst);
    /* Euler's rate is s - dt s^2/2, so that u lags by dt s^2 t (1 - u/s), at most by dt s
     * ln(s/u0)/2 = 8.6 dt for s = 3, u0 = 0.01. One layer: dt/2. Float rounding adds 1e-4. */
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){
            .id = deep ? "modes_deep" : "modes_shallow",
            .claim = deep ? (dlf_text){"两层线性网络：每个奇异模按 S 形曲线学会，"
                                       "强者先学（最大相对偏差）",
                                       "two linear layers learn every singular mode along Saxe's "
                                       "sigmoid, strong ones first (largest relative departure)"}
                          : (dlf_text){"对照，一层：所有模同时按指数学会，没有平台",
                                       "control, one layer: all modes at once, exponentially, "
                                       "without plateau"},
            .measured = e.mean,
            .lo = e.lo,
            .hi = e.hi,
            .n = e.n,
            .expected = 0.0,
            .tolerance = deep ? 10.0 * dt : dt + 1e-4,
            .relation = DLF_AT_MOST,
            .source = deep ? "Saxe et al. 2013: u(t) = s e^{2st}/(e^{2st}-1+s/u0); tolerance: "
                             "Euler lags by dt s ln(s/u0)/2"
                           : "closed form: u(t) = s + (u0-s) e^-t; tolerance: Euler, dt"});
}

/* What gradient descent is off by is the size of its step: half the step, half the error. */
static dlf_status order_check(dlf_run *run, const double *mode, int seeds)
{
    const double *fine = mode + (size_t)(RECORDS + 1) * (size_t)seeds * N;
    double *order = malloc((size_t)seeds * sizeof *order);
    if (!order) return dlf_fail(DLF_ERR_OOM, "modes: out of memory");
    for (int s = 0; s < seeds; s++)
        order[s] = worst_of(mode, seeds, s, true) / worst_of(fine, seeds, s, true);
    const dlf_estimate e = dlf_estimate_of(order, seeds, 1);
    free(order);
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "modes_order",
                    .claim = {"偏差来自有限步长：步长减半，偏差减半",
                              "the departure is that of a finite step: half the step, half of it"},
                    .measured = e.mean,
                    .lo = e.lo,
                    .hi = e.hi,
                    .n = e.n,
                    .expected = FINE,
                    .tolerance = 0.1,
                    .relative = true,
                    .relation = DLF_EQUAL,
                    .source = "Euler's method is of first order; 10 %: float rounding of 1e-5 "
                              "beside errors of 1e-3"});
}

static dlf_status modes_figure(dlf_run *run)
{
    static const struct {
        const char *arm;
        dlf_text label;
    } drawn[] = {{"deep_s3", {"两层，s=3", "two layers, s=3"}},
                 {"deep_s2", {"两层，s=2", "two layers, s=2"}},
                 {"deep_s1", {"两层，s=1", "two layers, s=1"}},
                 {"shallow_s3", {"对照：一层，s=3", "control: one layer, s=3"}},
                 {"shallow_s1", {"对照：一层，s=1", "control: one layer, s=1"}}};
    dlf_figure figure = {
        .id = "modes",
        .kind = DLF_LINES,
        .title = {"两层线性网络表达力与一层相同，学习过程却不同：有平台，强的模先学会",
                  "Two linear layers express no more than one, but learn otherwise: plateaus, "
                  "strong modes first"},
        .subtitle = {"梯度下降拟合一个矩阵；虚线为闭式解，无拟合参数",
                     "gradient descent towards a matrix; dashed: closed form, no fitted parameter"},
        .x = {{"时间 t = 步数 × 学习率", "time t = steps × learning rate"}, false},
        .y = {{"模的强度 u(t)", "strength of the mode u(t)"}, false}};
    for (int i = 0; i < 5; i++) {
        figure.series[2 * i] = dlf_arm_series(i < 3 ? DLF_MEASURED : DLF_CONTROL, "modes", "arm",
                                              drawn[i].arm, "time", "u", drawn[i].label, i);
        figure.series[2 * i + 1] =
            (dlf_series){.role = DLF_THEORY,
                         .table = "modes",
                         .where = "arm",
                         .equals = drawn[i].arm,
                         .x = "time",
                         .y = "theory",
                         .label = {i ? "" : "闭式解", i ? "" : "closed form"},
                         .colour = i};
    }
    return dlf_result_figure(dlf_run_result(run), &figure);
}

dlf_status dlf_linear_modes(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    const double dt = dlf_run_real(run, "rate");
    const int steps = (int)ceil(TIME / dt / RECORDS) * RECORDS;
    basis b = {0};
    dlf_dataset data = {0};
    dlf_table *table;
    dlf_status status;
    double *mode = malloc((size_t)(2 * (RECORDS + 1) * seeds * N) * sizeof *mode);
    if (!mode) return dlf_fail(DLF_ERR_OOM, "modes: out of memory");
    DLF_TRY_DONE(basis_new(&b, run, seeds));
    DLF_TRY_DONE(data_new(&data, &b, seeds));
    DLF_TRY_DONE(dlf_result_table(dlf_run_result(run), "modes",
                                  (dlf_text){"奇异模随时间的学习", "singular modes over time"},
                                  (const dlf_column[]){{"arm", NULL},
                                                       {"strength", "1"},
                                                       {"time", "1"},
                                                       {"u", "1"},
                                                       {"lo", "1"},
                                                       {"hi", "1"},
                                                       {"theory", "1"},
                                                       {NULL, NULL}},
                                  &table));
    for (int deep = 1; deep >= 0; deep--) {
        population p = {.deep = deep};
        const double middle = 0.5 * (from + to);
        status = population_new(&p, run, &data, &b, seeds, TIME / steps);
        if (status == DLF_OK)
            status =
                follow(run, &p, &b, seeds, steps, mode, deep ? from : middle, deep ? middle : to);
        population_free(&p);
        if (status != DLF_OK) goto done;
        DLF_TRY_DONE(rows(table, mode, seeds, deep));
        DLF_TRY_DONE(curve_check(run, mode, seeds, deep, TIME / steps));
        if (deep) DLF_TRY_DONE(order_check(run, mode, seeds));
    }
    DLF_TRY_DONE(modes_figure(run));
done:
    basis_free(&b);
    dlf_dataset_free(&data);
    free(mode);
    return status;
}
