/* SPDX-License-Identifier: MIT
 * activations_output.c -- Q4, the output layer: tanh is a sigmoid, and each loss has the activation
 * with which the gradient is prediction minus target. On device `ref`, in double. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "activations.h"
#include "dlf/graph.h"

enum { POINTS = 51 }; /* z = -10, -9.6, .. 10: without 1, where a gradient is 0 */

typedef struct pairing {
    const char *id;
    dlf_text name, label; /* with its formula; short */
    dlf_activation_kind f;
    dlf_loss_kind loss;
    long double (*objective)(long double z);
    double (*gradient)(double z);
} pairing;

static double at(int i)
{
    return (4 * i - 100) / 10.0;
}
static double sigmoid(double z)
{
    return dlf_activation_value(dlf_activation_of(DLF_SIGMOID), z);
}

/* Target 1 throughout. Objectives are written out in long double, apart from all our kernels. */
static long double bce(long double z)
{
    return log1pl(expl(-z));
}
static long double sigmoid_mse(long double z)
{
    const long double d = 1.0L / (1.0L + expl(-z)) - 1.0L;
    return d * d;
}
static long double tanh_mse(long double z)
{
    const long double d = tanhl(z) - 1.0L;
    return d * d;
}
static long double linear_mse(long double z)
{
    return (z - 1.0L) * (z - 1.0L);
}
static double bce_gradient(double z)
{
    return sigmoid(z) - 1.0;
}
static double sigmoid_mse_gradient(double z)
{
    const double p = sigmoid(z);
    return 2.0 * (p - 1.0) * p * (1.0 - p);
}
static double tanh_mse_gradient(double z)
{
    const double y = tanh(z);
    return 2.0 * (y - 1.0) * (1.0 - y * y);
}
static double linear_mse_gradient(double z)
{
    return 2.0 * (z - 1.0);
}

static const pairing pairings[] = {
    {"sigmoid_bce",
     {"sigmoid + 交叉熵：p − y", "sigmoid + cross-entropy: p − y"},
     {"sigmoid + 交叉熵", "sigmoid + cross-entropy"},
     DLF_LINEAR,
     DLF_LOSS_BCE,
     bce,
     bce_gradient},
    {"linear_mse",
     {"线性 + 平方误差：2(z − y)", "linear + squared error: 2(z − y)"},
     {"线性 + 平方误差", "linear + squared error"},
     DLF_LINEAR,
     DLF_LOSS_MSE,
     linear_mse,
     linear_mse_gradient},
    {"sigmoid_mse",
     {"sigmoid + 平方误差：2(p − y)p(1 − p)", "sigmoid + squared error: 2(p − y)p(1 − p)"},
     {"sigmoid + 平方误差", "sigmoid + squared error"},
     DLF_SIGMOID,
     DLF_LOSS_MSE,
     sigmoid_mse,
     sigmoid_mse_gradient},
    {"tanh_mse",
     {"tanh + 平方误差：2(t − y)(1 − t²)", "tanh + squared error: 2(t − y)(1 − t²)"},
     {"tanh + 平方误差", "tanh + squared error"},
     DLF_TANH,
     DLF_LOSS_MSE,
     tanh_mse,
     tanh_mse_gradient},
};
enum { PAIRINGS = sizeof pairings / sizeof pairings[0] };

/* dLoss/dz of the graph at every point. */
static dlf_status graph_gradient(dlf_device *ref, const pairing *p, double *out)
{
    dlf_status status;
    dlf_graph *g;
    double z[POINTS], ones[POINTS];
    DLF_TRY(dlf_graph_new(&g, ref, 1));
    const dlf_node x =
        dlf_parameter(g, "z", 3, (int64_t[]){1, POINTS, 1}, (dlf_init){.kind = DLF_INIT_GIVEN});
    const dlf_node y = p->f == DLF_LINEAR ? x : dlf_activate(g, "y", x, dlf_activation_of(p->f));
    const dlf_node target = dlf_input(g, "target", 3, (int64_t[]){1, POINTS, 1});
    dlf_graph_minimise(g, dlf_row_loss(g, "loss", y, target, (dlf_loss){p->loss, 1.0}), 1.0);
    DLF_TRY_DONE(dlf_graph_compile(g));
    for (int i = 0; i < POINTS; i++) {
        z[i] = at(i);
        ones[i] = 1.0;
    }
    DLF_TRY_DONE(dlf_tensor_upload_f64(dlf_graph_value(g, x), z));
    DLF_TRY_DONE(dlf_tensor_upload_f64(dlf_graph_value(g, target), ones));
    DLF_TRY_DONE(dlf_graph_forward(g, DLF_TRAINING));
    DLF_TRY_DONE(dlf_graph_backward(g));
    DLF_TRY_DONE(dlf_tensor_download_f64(out, dlf_graph_gradient(g, x)));
done:
    dlf_graph_free(g);
    return status;
}

/* Five points, h = 3e-4: truncation h^4/30 f''''' < 3e-14, cancellation 1e-19 f/h < 1e-13. */
static double difference(long double (*f)(long double), double z)
{
    const long double h = 3e-4L, x = (long double)z;
    return (double)((f(x - 2 * h) - 8 * f(x - h) + 8 * f(x + h) - f(x + 2 * h)) / (12 * h));
}

static dlf_status identity(dlf_run *run, const char *id, dlf_text claim, double error, double bound,
                           const char *source)
{
    return dlf_result_check(dlf_run_result(run), (dlf_check){.id = id,
                                                             .claim = claim,
                                                             .measured = error,
                                                             .lo = NAN,
                                                             .hi = NAN,
                                                             .expected = 0.0,
                                                             .tolerance = bound,
                                                             .relation = DLF_AT_MOST,
                                                             .source = source,
                                                             .self_check = true});
}

static dlf_status pairing_rows(dlf_run *run, dlf_device *ref, const pairing *p, dlf_table *table)
{
    double got[POINTS], worst = 0.0, numeric = 0.0;
    char id[48];
    DLF_TRY(graph_gradient(ref, p, got));
    for (int i = 0; i < POINTS; i++) {
        const double want = p->gradient(at(i));
        worst = fmax(worst, fabs(got[i] - want));
        numeric = fmax(numeric, fabs(difference(p->objective, at(i)) - want));
        DLF_TRY(dlf_table_row(table, DLF_TXT(p->id), DLF_NUM(at(i)), DLF_NUM(fabs(got[i]))));
    }
    snprintf(id, sizeof id, "gradient_%s", p->id);
    return identity(
        run, id, p->name, fmax(worst, numeric), 1e-12,
        "closed form against the graph's backward pass in double and against five-point "
        "differences in long double, z = -10 .. 10, y = 1; largest absolute error");
}

static dlf_status gradient_figure(dlf_run *run)
{
    dlf_figure figure = {
        .id = "output_gradient",
        .kind = DLF_LINES,
        .title = {"答错时（z 很负，y = 1）只有与激活函数配对的损失还有梯度",
                  "Where the output is wrong (z very negative, y = 1) only the matching loss still "
                  "has a gradient"},
        .subtitle = {"双精度反向传播；目标 y = 1", "backward pass in double; target y = 1"},
        .x = {{"z（输出单元的输入）", "z (input of the output unit)"}, false},
        .y = {{"|∂L/∂z|", "|dL/dz|"}, true}};
    for (int i = 0; i < PAIRINGS; i++)
        figure.series[i] = (dlf_series){.role = i == 1 ? DLF_CONTROL : DLF_MEASURED,
                                        .table = "output_gradient",
                                        .where = "pairing",
                                        .equals = pairings[i].id,
                                        .x = "z",
                                        .y = "gradient",
                                        .label = pairings[i].label,
                                        .colour = i};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

dlf_status dlf_activations_output(dlf_run *run)
{
    dlf_status status;
    dlf_device *ref = NULL;
    dlf_table *table;
    double worst = 0.0;
    for (int i = -4000; i <= 4000; i++) {
        const double x = i * 0.005;
        const double t = dlf_activation_value(dlf_activation_of(DLF_TANH), x);
        worst = fmax(worst, fabs(t - (2.0 * sigmoid(2.0 * x) - 1.0)));
    }
    DLF_TRY(identity(run, "tanh_is_sigmoid",
                     (dlf_text){"tanh(x) = 2σ(2x) − 1：tanh 输出与 sigmoid 输出是同一个模型",
                                "tanh(x) = 2σ(2x) − 1: a tanh output and a sigmoid output are one "
                                "model"},
                     worst, 1e-15, "closed form; 8001 points in double, largest absolute error"));
    DLF_TRY(dlf_device_open(&ref, "ref"));
    DLF_TRY_DONE(dlf_result_table(
        dlf_run_result(run), "output_gradient",
        (dlf_text){"输出单元处的梯度", "gradient at the output unit"},
        (const dlf_column[]){{"pairing", NULL}, {"z", "1"}, {"gradient", "1"}, {NULL, NULL}},
        &table));
    for (int i = 0; i < PAIRINGS; i++) DLF_TRY_DONE(pairing_rows(run, ref, &pairings[i], table));
    DLF_TRY_DONE(gradient_figure(run));
done:
    dlf_device_close(ref);
    return status;
}
