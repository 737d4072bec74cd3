/* SPDX-License-Identifier: MIT
 * evolution_weights.c -- Q47: evolving the weights of a network. Every generation is a population
 * of perturbed networks that are evaluated together; what they say of the gradient is measured
 * against backpropagation, and so is the number of generations. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/backend.h"
#include "dlf/data.h"
#include "dlf/ops.h"
#include "dlf/rng.h"
#include "evolution.h"
#include "evolution_nets.h"
#include "figures.h"
#include "seed_check.h"

enum { WIDTH = 8, POINTS = 4, LEVEL = 8 };
static const int batches[POINTS] = {1, 4, 16, 32}; /* of `pairs` each */
static const double sigma = 0.01, rate = 0.5;

classifier_spec dlf_evolution_net(int members, int batch, int width, bool shared)
{
    return (classifier_spec){.members = members,
                             .batch = batch,
                             .inputs = 64,
                             .width = width,
                             .depth = 1,
                             .classes = 10,
                             .f = dlf_activation_of(DLF_TANH),
                             .init = dlf_lecun(),
                             .shared = shared};
}

/* theta, and 2 m networks theta +- sigma eps on the same rows. */
typedef struct nest {
    int m, n, rows; /* pairs, parameters, rows                          */
    dlf_graph *many, *one;
    dlf_tensor theta, eps, weight, step; /* (1,1,n), (m,n), (1,1,m), (1,1,n) */
    double *loss, *weights;              /* (2m, rows), (m)                  */
} nest;

static void nest_free(nest *s)
{
    dlf_tensor_free(&s->step);
    dlf_tensor_free(&s->weight);
    dlf_tensor_free(&s->eps);
    dlf_tensor_free(&s->theta);
    dlf_graph_free(s->one);
    dlf_graph_free(s->many);
    free(s->weights);
    free(s->loss);
}

static dlf_status feed(dlf_graph *g, const dlf_dataset *d, const int32_t *order, int rows)
{
    float *x = malloc((size_t)rows * (size_t)d->features * sizeof *x);
    int32_t *label = malloc((size_t)rows * sizeof *label);
    dlf_status status;
    if (!x || !label) {
        status = dlf_fail(DLF_ERR_OOM, "evolution: out of memory");
        goto done;
    }
    for (int i = 0; i < rows; i++) {
        label[i] = d->label[order[i]];
        for (int j = 0; j < d->features; j++)
            x[(long)i * d->features + j] = d->x[(long)order[i] * d->features + j];
    }
    DLF_TRY_DONE(dlf_tensor_upload(dlf_graph_value(g, dlf_graph_find(g, "x")), x));
    status = dlf_tensor_upload_i32(dlf_graph_value(g, dlf_graph_find(g, "label")), label);
done:
    free(label);
    free(x);
    return status;
}

static dlf_status nest_new(nest *s, dlf_run *run, const dlf_dataset *d, int seed)
{
    dlf_device *dev = dlf_run_device(run);
    const int32_t draw[1] = {seed};
    *s = (nest){.m = dlf_run_int(run, "pairs"), .rows = dlf_run_int(run, "rows")};
    const classifier_spec many = dlf_evolution_net(2 * s->m, s->rows, WIDTH, true),
                          one = dlf_evolution_net(1, s->rows, WIDTH, true);
    int32_t *order = malloc((size_t)d->train * sizeof *order);
    if (!order) return dlf_fail(DLF_ERR_OOM, "evolution: out of memory");
    dlf_permutation(order, d->train, dlf_run_seed(run), dlf_stream(DLF_PURPOSE_SHUFFLE, 60),
                    (uint32_t)seed);
    dlf_status status;
    DLF_TRY_DONE(classifier_new(&s->many, dev, &many));
    DLF_TRY_DONE(classifier_new(&s->one, dev, &one));
    DLF_TRY_DONE(feed(s->many, d, order, s->rows));
    DLF_TRY_DONE(feed(s->one, d, order, s->rows));
    DLF_TRY_DONE(dlf_graph_initialise(s->one, dlf_run_seed(run), draw));
    s->n = (int)dlf_tensor_member_count(dlf_graph_parameters(s->one));
    DLF_TRY_DONE(dlf_tensor_new(&s->theta, dev, dev->real, 1, 1, s->n));
    DLF_TRY_DONE(dlf_tensor_new(&s->step, dev, dev->real, 1, 1, s->n));
    DLF_TRY_DONE(dlf_tensor_new(&s->eps, dev, dev->real, s->m, s->n));
    DLF_TRY_DONE(dlf_tensor_new(&s->weight, dev, dev->real, 1, 1, s->m));
    s->loss = malloc(2 * (size_t)s->m * (size_t)s->rows * sizeof *s->loss);
    s->weights = malloc((size_t)s->m * sizeof *s->weights);
    if (!s->loss || !s->weights) status = dlf_fail(DLF_ERR_OOM, "evolution: out of memory");
done:
    free(order);
    return status;
}

static dlf_tensor row(const dlf_tensor *t)
{
    return dlf_tensor_reshape(t, 2, (int64_t[]){t->shape[0], dlf_tensor_member_count(t)});
}

static dlf_status mean_loss(nest *s, dlf_graph *g, int members, double *loss)
{
    DLF_TRY(dlf_graph_forward(g, DLF_TRAINING));
    DLF_TRY(dlf_tensor_download_f64(s->loss, dlf_graph_value(g, dlf_graph_find(g, "loss"))));
    for (int p = 0; p < members; p++) {
        loss[p] = 0.0;
        for (int i = 0; i < s->rows; i++) loss[p] += s->loss[(long)p * s->rows + i] / s->rows;
    }
    return DLF_OK;
}

/* step += beta step + 1/m sum (f(theta + sigma eps) - f(theta - sigma eps)) / (2 sigma) eps */
static dlf_status estimate(nest *s, dlf_rng rng, double *loss, double beta)
{
    const dlf_tensor theta = row(&s->theta);
    dlf_tensor *all = dlf_graph_parameters(s->many);
    DLF_TRY(dlf_random_normal(&s->eps, NULL, NULL, rng));
    for (int side = 0; side < 2; side++) {
        dlf_tensor half = dlf_tensor_slice(all, (int64_t)side * s->m, s->m);
        DLF_TRY(dlf_axpby(&half, &s->eps, NULL, side ? -sigma : sigma, 0.0));
        DLF_TRY(dlf_axpby(&half, &theta, NULL, 1.0, 1.0));
    }
    DLF_TRY(mean_loss(s, s->many, 2 * s->m, loss));
    for (int i = 0; i < s->m; i++)
        s->weights[i] = (loss[i] - loss[s->m + i]) / (2.0 * sigma * s->m);
    DLF_TRY(dlf_tensor_upload_f64(&s->weight, s->weights));
    const dlf_tensor eps = dlf_tensor_reshape(&s->eps, 3, (int64_t[]){1, s->m, s->n});
    return dlf_gemm(&s->step, &s->weight, &eps, (dlf_gemm_args){.alpha = 1.0, .beta = beta});
}

/* ---- how well it points ---- */

static dlf_status align(nest *s, dlf_run *run, int seed, double *cos2)
{
    double *loss = malloc(2 * (size_t)s->m * sizeof *loss),
           *g = malloc(2 * (size_t)s->n * sizeof *g);
    dlf_status status;
    if (!loss || !g) {
        status = dlf_fail(DLF_ERR_OOM, "evolution: out of memory");
        goto done;
    }
    dlf_tensor theta = row(&s->theta);
    DLF_TRY_DONE(dlf_tensor_copy(&theta, dlf_graph_parameters(s->one)));
    DLF_TRY_DONE(dlf_graph_forward(s->one, DLF_TRAINING));
    DLF_TRY_DONE(dlf_graph_backward(s->one));
    DLF_TRY_DONE(dlf_tensor_download_f64(g, dlf_graph_gradients(s->one)));
    for (int k = 0, done_batches = 0; k < POINTS; k++) {
        for (; done_batches < batches[k]; done_batches++)
            DLF_TRY_DONE(
                estimate(s,
                         (dlf_rng){dlf_run_seed(run) + (uint64_t)seed,
                                   dlf_stream(DLF_PURPOSE_TEST, 1000 + (uint32_t)done_batches)},
                         loss, done_batches ? 1.0 : 0.0));
        DLF_TRY_DONE(dlf_tensor_download_f64(g + s->n, &s->step));
        double gh = 0.0, gg = 0.0, hh = 0.0;
        for (int j = 0; j < s->n; j++) {
            gh += g[j] * g[s->n + j];
            gg += g[j] * g[j];
            hh += g[s->n + j] * g[s->n + j];
        }
        cos2[k] = gh * gh / (gg * hh);
    }
done:
    free(g);
    free(loss);
    return status;
}

/* ---- how fast it learns ---- */

/* curve[t]: loss of theta before generation t. Steps of evolution are shorter by the alignment,
 * since its gradient is longer by one over it. */
static dlf_status descend(nest *s, dlf_run *run, int seed, bool evolve, int generations,
                          double *curve)
{
    const int32_t draw[1] = {seed};
    double *loss = malloc(2 * (size_t)s->m * sizeof *loss);
    if (!loss) return dlf_fail(DLF_ERR_OOM, "evolution: out of memory");
    dlf_status status;
    dlf_tensor theta = row(&s->theta);
    const dlf_tensor step = row(&s->step);
    DLF_TRY_DONE(dlf_graph_initialise(s->one, dlf_run_seed(run), draw));
    DLF_TRY_DONE(dlf_tensor_copy(&theta, dlf_graph_parameters(s->one)));
    for (int t = 0; t < generations; t++) {
        DLF_TRY_DONE(dlf_tensor_copy(dlf_graph_parameters(s->one), &theta));
        DLF_TRY_DONE(mean_loss(s, s->one, 1, &curve[t]));
        if (evolve) {
            DLF_TRY_DONE(estimate(s,
                                  (dlf_rng){dlf_run_seed(run) + (uint64_t)seed,
                                            dlf_stream(DLF_PURPOSE_TEST, 2000 + (uint32_t)t)},
                                  loss, 0.0));
            DLF_TRY_DONE(dlf_axpby(&theta, &step, NULL, -rate * dlf_es_alignment(s->m, s->n), 1.0));
        } else {
            DLF_TRY_DONE(dlf_graph_backward(s->one));
            DLF_TRY_DONE(dlf_axpby(&theta, dlf_graph_gradients(s->one), NULL, -rate, 1.0));
        }
    }
done:
    free(loss);
    return status;
}

/* First generation at which the curve is below `level`, between two by a straight line; NaN: never.
 */
static double crossing(const double *curve, int n, double level)
{
    for (int t = 1; t < n; t++)
        if (curve[t] <= level) return t - 1 + (curve[t - 1] - level) / (curve[t - 1] - curve[t]);
    return NAN;
}

/* ---- report ---- */

typedef struct outcome {
    int seeds, generations, m, n;
    double *cos2;     /* (seeds, POINTS)          */
    double *curve[2]; /* (seeds, generations): backpropagation, evolution */
    double *slower;   /* (seeds)                  */
} outcome;

static dlf_status tables(const outcome *o, dlf_run *run)
{
    dlf_table *align_table, *curves;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "alignment",
        (dlf_text){"进化估计的梯度与真梯度的夹角", "how evolution's gradient points"},
        (const dlf_column[]){
            {"ratio", "1"}, {"cos2", "1"}, {"lo", "1"}, {"hi", "1"}, {"theory", "1"}, {NULL, NULL}},
        &align_table));
    for (int k = 0; k < POINTS; k++) {
        const double m = (double)batches[k] * o->m;
        const dlf_estimate e = dlf_estimate_of(o->cos2 + k, o->seeds, POINTS);
        DLF_TRY(dlf_table_row(align_table, DLF_NUM(m / o->n), DLF_NUM(e.mean),
                              DLF_NUM(fmax(e.lo, 0.1 * e.mean)), DLF_NUM(e.hi),
                              DLF_NUM(dlf_es_alignment(m, o->n))));
    }
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "weights",
        (dlf_text){"进化与反向传播的损失", "loss of evolution and of backpropagation"},
        (const dlf_column[]){{"arm", NULL},
                             {"generation", "1"},
                             {"loss", "nat"},
                             {"lo", "nat"},
                             {"hi", "nat"},
                             {NULL, NULL}},
        &curves));
    for (int arm = 0; arm < 2; arm++)
        for (int t = 0; t < o->generations; t += t < 20 ? 1 : 10) {
            const dlf_estimate e = dlf_estimate_of(o->curve[arm] + t, o->seeds, o->generations);
            DLF_TRY(dlf_table_row(curves, DLF_TXT(arm ? "evolution" : "backpropagation"),
                                  DLF_NUM(t + 1), DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi)));
        }
    return DLF_OK;
}

static dlf_status checks(const outcome *o, dlf_run *run)
{
    static const char *const ids[POINTS] = {"alignment_few", NULL, NULL, "alignment_many"};
    for (int k = 0; k < POINTS; k++) {
        if (!ids[k]) continue;
        const int m = batches[k] * o->m;
        const dlf_estimate e = dlf_estimate_of(o->cos2 + k, o->seeds, POINTS);
        char zh[160], en[160];
        snprintf(zh, sizeof zh, "%d 对扰动、%d 个参数：进化的梯度与真梯度的 cos²", m, o->n);
        snprintf(en, sizeof en,
                 "%d pairs, %d parameters: cos² of evolution's gradient and the true one", m, o->n);
        dlf_check c = dlf_check_of(ids[k], (dlf_text){zh, en}, e);
        c.expected = dlf_es_alignment(m, o->n);
        /* about chi-square of m degrees of freedom over its bound 1 */
        c.tolerance = c.expected * fmax(0.03, 4.0 * sqrt(2.0 / m / o->seeds) * (1.0 - c.expected));
        c.source = "closed form: m/(m+d+1), ratio of means (Nesterov & Spokoiny 2017); 3 % or 4 "
                   "standard errors of m squares";
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    }
    dlf_check c = dlf_check_of(
        "slower",
        (dlf_text){
            "到达同样的损失，进化需要的代数是反向传播的多少倍",
            "to the same loss evolution takes so many times the generations of backpropagation"},
        dlf_estimate_of(o->slower, o->seeds, 1));
    c.expected = 1.0 / dlf_es_alignment(o->m, o->n);
    c.tolerance = 0.15;
    c.relative = true;
    c.source = "one over the alignment, as long as the loss is about linear in a step; 15 %";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "parameters", o->n, "1"));
    return dlf_result_fact(dlf_run_result(run), "evaluations_per_generation", 2.0 * o->m, "1");
}

static dlf_status figures(dlf_run *run)
{
    dlf_figure f = {
        .id = "alignment",
        .kind = DLF_LINES,
        .title = {"进化给出的是噪声梯度：cos² = m/(m+d+1)",
                  "Evolution gives a noisy gradient: cos² = m/(m+d+1)"},
        .subtitle =
            {"手写数字网络，m 对扰动、d 个参数，与反向传播的梯度比较；虚线没有拟合参数",
             "digits network, m pairs of perturbations, d parameters, against backpropagation; "
             "dashed: nothing fitted"},
        .x = {{"扰动对数 / 参数个数 m/d", "pairs per parameter m/d"}, true},
        .y = {{"cos²", "cos²"}, true}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "alignment",
                               .x = "ratio",
                               .y = "cos2",
                               .lo = "lo",
                               .hi = "hi",
                               .label = {"实测", "measured"},
                               .colour = 0,
                               .points = true};
    dlf_theory_of(&f, 0, 1, "theory");
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &f));
    dlf_figure g = {
        .id = "weights",
        .kind = DLF_LINES,
        .title = {"进化也能训练权重，只是慢 (m+d+1)/m 倍",
                  "Evolution trains weights as well, (m+d+1)/m times slower"},
        .subtitle = {"同一网络、同一起点；每一代进化求值 2m 个网络，反向传播一个",
                     "one network, one start; a generation of evolution evaluates 2m networks, "
                     "backpropagation one"},
        .x = {{"代数", "generation"}, true},
        .y = {{"训练损失 / nat", "training loss / nat"}, false}};
    static const char *const arms[2] = {"evolution", "backpropagation"};
    static const dlf_text names[2] = {{"进化", "evolution"},
                                      {"对照：反向传播", "control: backpropagation"}};
    for (int i = 0; i < 2; i++)
        g.series[i] = dlf_arm_series(i ? DLF_CONTROL : DLF_MEASURED, "weights", "arm", arms[i],
                                     "generation", "loss", names[i], i);
    return dlf_result_figure(dlf_run_result(run), &g);
}

static dlf_status measure(outcome *o, dlf_run *run, const dlf_dataset *digits, double from,
                          double to)
{
    for (int seed = 0; seed < o->seeds; seed++) {
        nest s;
        double *curve[2] = {o->curve[0] + (long)seed * o->generations,
                            o->curve[1] + (long)seed * o->generations};
        dlf_status status =
            dlf_run_stage(run, from + (to - from) * seed / o->seeds, "evolving weights");
        if (status != DLF_OK) return status;
        status = nest_new(&s, run, digits, seed);
        if (status == DLF_OK) status = align(&s, run, seed, o->cos2 + (long)seed * POINTS);
        for (int arm = 0; arm < 2 && status == DLF_OK; arm++)
            status = descend(&s, run, seed, arm, o->generations, curve[arm]);
        o->n = s.n;
        o->m = s.m;
        nest_free(&s);
        DLF_TRY(status);
        const double level = curve[0][o->generations > LEVEL ? LEVEL : o->generations - 1];
        o->slower[seed] = crossing(curve[1], o->generations, level) / LEVEL;
    }
    return DLF_OK;
}

dlf_status dlf_evolution_weights(dlf_run *run, double from, double to)
{
    outcome o = {.seeds = dlf_run_seeds(run), .generations = dlf_run_int(run, "generations")};
    const long S = o.seeds, cells = S * o.generations;
    dlf_dataset digits;
    DLF_TRY(dlf_digits_load(&digits));
    dlf_status status;
    o.cos2 = malloc((size_t)(S * (POINTS + 1) + 2 * cells) * sizeof *o.cos2);
    if (!o.cos2) {
        status = dlf_fail(DLF_ERR_OOM, "evolution: out of memory");
        goto done;
    }
    o.slower = o.cos2 + S * POINTS;
    o.curve[0] = o.slower + S;
    o.curve[1] = o.curve[0] + cells;
    DLF_TRY_DONE(measure(&o, run, &digits, from, to));
    DLF_TRY_DONE(tables(&o, run));
    DLF_TRY_DONE(checks(&o, run));
    status = figures(run);
done:
    free(o.cos2);
    dlf_dataset_free(&digits);
    return status;
}
