/* SPDX-License-Identifier: MIT
 * fourier_learning.c -- Q37: networks learn low frequencies first, at rates that are Fourier
 * coefficients of their kernel, and Fourier features change them (Rahaman et al. 2019; Basri et al.
 * 2019; Tancik et al. 2020). Control: without biases odd frequencies are not learned at all. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "dlf/theory.h"
#include "figures.h"
#include "fourier.h"
#include "seed_check.h"

enum { POINTS = 32, MODES = 8, FEATURES = 8, SHOTS = 30 };
typedef enum arm { BIAS, NO_BIAS, FOURIER, LARGE, ARMS } arm;
static const char *const arm_ids[ARMS] = {"bias", "no_bias", "fourier", "large"};
static const dlf_text arm_names[ARMS] = {
    {"有偏置", "with biases"},
    {"对照：没有偏置", "control: no biases"},
    {"傅里叶特征", "Fourier features"},
    {"有偏置，目标大 33 倍", "with biases, goal 33 times as large"}};
/* Of every mode of the goal. For 1 the weights of 2,048 units move by a third of their length: the
 * kernel does not stay what it was. */
static const double goal_amplitude[ARMS] = {0.03, 0.03, 0.03, 1.0};
static const double rate = 1.0; /* below 2 / 0.554, the largest eigenvalue of the three */

static dlf_fourier_net net_of(arm a, int members, int width)
{
    return (dlf_fourier_net){.members = members,
                             .n = POINTS,
                             .features = a == FOURIER ? FEATURES : 1,
                             .width = width,
                             .bias = a == BIAS || a == LARGE};
}

double dlf_fourier_rate(int m, int n, int features, bool bias)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) {
        const double t = 2.0 * M_PI * i / n;
        double rho = 0.0;
        for (int k = 1; k <= features; k++) rho += cos(k * t) / features;
        rho = fmin(1.0, fmax(-1.0, rho));
        sum += (0.5 * dlf_arccos_kernel1(rho) + 0.5 * (rho + bias) * dlf_arccos_kernel0(rho)) *
               cos(m * t) / n;
    }
    return sum;
}

dlf_status dlf_fourier_network(dlf_graph **out, dlf_device *device, const dlf_fourier_net *net)
{
    const int64_t P = net->members, in = 2 * net->features;
    DLF_TRY(dlf_graph_new(out, device, net->members));
    dlf_graph *g = *out;
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){1, net->n, in});
    const dlf_node w =
        dlf_parameter(g, "w", 3, (int64_t[]){P, net->width, in}, dlf_init_normal((double)in));
    dlf_node z = dlf_matmul(g, "z", x, false, w, true, 1.0);
    if (net->bias)
        z = dlf_bias(g, "zb", z,
                     dlf_parameter(g, "b", 2, (int64_t[]){P, net->width}, dlf_init_constant(0.0)));
    const dlf_node h = dlf_activate(g, "h", z, dlf_activation_of(DLF_RELU));
    const dlf_node a =
        dlf_parameter(g, "a", 3, (int64_t[]){P, 1, net->width}, dlf_init_normal(net->width));
    const dlf_node f = dlf_matmul(g, "f", h, false, a, true, 1.0 / sqrt(net->width));
    dlf_want_value(g, f);
    dlf_graph_seed(g, f);
    const dlf_status status = dlf_graph_compile(g);
    if (status == DLF_OK) return DLF_OK;
    dlf_graph_free(g);
    *out = NULL;
    return status;
}

/* ---- training ---- */

typedef struct trainer {
    dlf_graph *g;
    dlf_node f;
    dlf_tensor lr; /* (P) */
    int members;
    double size;                /* of every mode of the goal */
    double *out, *goal, *error; /* (P,POINTS) */
} trainer;

static void trainer_free(trainer *t)
{
    free(t->out);
    dlf_tensor_free(&t->lr);
    dlf_graph_free(t->g);
}

static dlf_status upload_points(dlf_graph *g, int features)
{
    double x[POINTS * 2 * FEATURES];
    for (int i = 0; i < POINTS; i++)
        for (int k = 0; k < features; k++) {
            const double angle = 2.0 * M_PI * i / POINTS * (k + 1);
            x[(i * features + k) * 2] = cos(angle) / sqrt(features);
            x[(i * features + k) * 2 + 1] = sin(angle) / sqrt(features);
        }
    return dlf_tensor_upload_f64(dlf_graph_value(g, dlf_graph_find(g, "x")), x);
}

/* The goal is the network's first output plus all modes, equally large, phases by seed: the
 * error starts with the same amplitude at every frequency. */
static dlf_status set_goal(trainer *t, uint64_t seed)
{
    DLF_TRY(dlf_graph_forward(t->g, DLF_TRAINING));
    DLF_TRY(dlf_tensor_download_f64(t->goal, dlf_graph_value(t->g, t->f)));
    for (int p = 0; p < t->members; p++)
        for (int m = 1; m <= MODES; m++) {
            const double phase = 2.0 * M_PI *
                                 (double)dlf_rng_uniform(seed, dlf_stream(DLF_PURPOSE_DATA, 37),
                                                         (uint32_t)p, (uint64_t)m);
            for (int i = 0; i < POINTS; i++)
                t->goal[p * POINTS + i] += t->size * cos(2.0 * M_PI * m * i / POINTS + phase);
        }
    return DLF_OK;
}

static dlf_status trainer_new(trainer *t, dlf_run *run, arm a)
{
    dlf_device *dev = dlf_run_device(run);
    const int P = dlf_run_seeds(run);
    const dlf_fourier_net net = net_of(a, P, dlf_run_int(run, "width"));
    *t = (trainer){.members = P, .size = goal_amplitude[a]};
    t->out = malloc(3 * (size_t)P * POINTS * sizeof *t->out);
    if (!t->out) return dlf_fail(DLF_ERR_OOM, "fourier: out of memory");
    t->goal = t->out + (long)P * POINTS;
    t->error = t->goal + (long)P * POINTS;
    DLF_TRY(dlf_fourier_network(&t->g, dev, &net));
    t->f = dlf_graph_find(t->g, "f");
    DLF_TRY(dlf_graph_initialise(t->g, dlf_run_seed(run), NULL));
    DLF_TRY(dlf_tensor_new(&t->lr, dev, dev->real, P));
    for (int p = 0; p < P; p++) t->out[p] = rate;
    DLF_TRY(dlf_tensor_upload_f64(&t->lr, t->out));
    DLF_TRY(upload_points(t->g, net.features));
    return set_goal(t, dlf_run_seed(run));
}

/* Forward: the error, and what backward starts from. */
static dlf_status look(trainer *t)
{
    DLF_TRY(dlf_graph_forward(t->g, DLF_TRAINING));
    DLF_TRY(dlf_tensor_download_f64(t->out, dlf_graph_value(t->g, t->f)));
    for (int i = 0; i < t->members * POINTS; i++) {
        t->error[i] = t->out[i] - t->goal[i];
        t->out[i] = t->error[i] / POINTS;
    }
    return dlf_tensor_upload_f64(dlf_graph_seed_gradient(t->g, t->f), t->out);
}

static dlf_status step(trainer *t)
{
    DLF_TRY(dlf_graph_backward(t->g));
    return dlf_sgd_step(dlf_graph_parameters(t->g), NULL, dlf_graph_gradients(t->g), &t->lr, NULL,
                        (dlf_sgd_args){0.0, 0.0});
}

/* Amplitude of frequency m in the error of member p; it starts at 1. */
static double amplitude(const trainer *t, int p, int m)
{
    double c = 0.0, s = 0.0;
    for (int i = 0; i < POINTS; i++) {
        c += t->error[p * POINTS + i] * cos(2.0 * M_PI * m * i / POINTS);
        s += t->error[p * POINTS + i] * sin(2.0 * M_PI * m * i / POINTS);
    }
    return sqrt(c * c + s * s) * 2.0 / (POINTS * t->size);
}

/* ---- what was seen: amplitude (ARMS, SHOTS+1, MODES, seeds) ---- */

typedef struct record {
    int seeds, steps;
    double *amplitude;
} record;

static double *at(const record *r, int a, int shot, int m)
{
    return r->amplitude + (((long)a * (SHOTS + 1) + shot) * MODES + m - 1) * r->seeds;
}

/* The step of a shot: denser at the beginning. */
static int step_of(const record *r, int shot)
{
    return (int)ceil(r->steps * pow((double)shot / SHOTS, 2.0));
}

static double theory_rate(int a, int m)
{
    return dlf_fourier_rate(m, POINTS, a == FOURIER ? FEATURES : 1, a == BIAS || a == LARGE);
}

static double theory_amplitude(const record *r, int a, int shot, int m)
{
    return pow(1.0 - rate * theory_rate(a, m), step_of(r, shot));
}

static dlf_status train(record *r, dlf_run *run, arm a, double from, double to)
{
    trainer t;
    dlf_status status;
    DLF_TRY_DONE(trainer_new(&t, run, a));
    for (int k = 0, shot = 0; k <= r->steps; k++) {
        DLF_TRY_DONE(look(&t));
        for (; shot <= SHOTS && step_of(r, shot) == k; shot++) {
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * k / (r->steps + 1), "training: %s",
                                       arm_ids[a]));
            for (int m = 1; m <= MODES; m++)
                for (int p = 0; p < t.members; p++) at(r, a, shot, m)[p] = amplitude(&t, p, m);
        }
        if (k < r->steps) DLF_TRY_DONE(step(&t));
    }
done:
    trainer_free(&t);
    return status;
}

/* The shot at which theory is nearest to 1/e: rates are read there. */
static int shot_of(const record *r, int a, int m)
{
    int shot = 1;
    while (shot < SHOTS && theory_amplitude(r, a, shot, m) > exp(-1.0)) shot++;
    return shot;
}

/* 1 - amplitude^(1/steps): what a step takes from the amplitude. */
static void rates(const record *r, int a, int m, double *out)
{
    const int shot = shot_of(r, a, m);
    for (int s = 0; s < r->seeds; s++)
        out[s] = (1.0 - pow(at(r, a, shot, m)[s], 1.0 / step_of(r, shot))) / rate;
}

/* ---- report ---- */

static dlf_status rate_check(const record *r, dlf_run *run, int a, int m, const char *id,
                             dlf_text claim, double *space)
{
    rates(r, a, m, space);
    const dlf_estimate e = dlf_estimate_of(space, r->seeds, 1);
    dlf_check c = dlf_check_of(id, claim, e);
    c.expected = theory_rate(a, m);
    c.tolerance = fmax(0.05 * c.expected, 4.0 * e.sd / sqrt(r->seeds));
    c.source = "eigenvalue of the neural tangent kernel (Jacot et al. 2018; Basri et al. 2019); "
               "5 % for the finite width, or 4 standard errors";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status checks(const record *r, dlf_run *run)
{
    double *space = malloc((size_t)r->seeds * sizeof *space);
    if (!space) return dlf_fail(DLF_ERR_OOM, "fourier: out of memory");
    dlf_status status;
    DLF_TRY_DONE(rate_check(r, run, BIAS, 1, "rate_low",
                            (dlf_text){"有偏置：频率 1 每步学会的比例",
                                       "with biases: share of frequency 1 learned per step"},
                            space));
    DLF_TRY_DONE(rate_check(r, run, BIAS, MODES, "rate_high",
                            (dlf_text){"有偏置：频率 8 每步学会的比例",
                                       "with biases: share of frequency 8 learned per step"},
                            space));
    DLF_TRY_DONE(rate_check(r, run, FOURIER, MODES, "rate_features",
                            (dlf_text){"输入傅里叶特征：频率 8 每步学会的比例",
                                       "with Fourier features: share of frequency 8 per step"},
                            space));
    DLF_TRY_DONE(rate_check(
        r, run, LARGE, MODES, "rate_large_goal",
        (dlf_text){"对照，目标大 33 倍，权重走得远：频率 8 每步学会的比例仍是初始核给出的",
                   "control, a goal 33 times as large, for which weights move far: share "
                   "of frequency 8 learned per step is still the first kernel's"},
        space));
    const dlf_estimate odd = dlf_estimate_of(at(r, NO_BIAS, SHOTS, 3), r->seeds, 1);
    dlf_check c = dlf_check_of(
        "odd_without_bias",
        (dlf_text){"对照，没有偏置：频率 3 到训练结束仍未学到（剩下的误差振幅）",
                   "control, no biases: frequency 3 is not learned by the end (amplitude left)"},
        odd);
    c.expected = 1.0;
    c.tolerance = fmax(0.05, 4.0 * odd.sd / sqrt(r->seeds));
    c.source = "Basri et al. 2019: its eigenvalue is 0; 0.05 for the finite width, or 4 standard "
               "errors";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    rates(r, BIAS, MODES, space);
    const double slow = dlf_estimate_of(space, r->seeds, 1).mean;
    rates(r, BIAS, 1, space);
    for (int s = 0; s < r->seeds; s++) space[s] /= slow;
    c = dlf_check_of("all_frequencies_alike",
                     (dlf_text){"所有频率学得一样快（频率 1 与频率 8 的速率之比）",
                                "all frequencies are learned equally fast (rate of frequency 1 "
                                "over that of 8)"},
                     dlf_estimate_of(space, r->seeds, 1));
    c.expected = 1.0;
    c.tolerance = 0.5;
    c.source = "the sentence that spectral bias contradicts (Rahaman et al. 2019)";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), "slowdown",
                                 theory_rate(BIAS, 1) / theory_rate(BIAS, MODES), "1"));
    DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), "goal_ratio",
                                 goal_amplitude[LARGE] / goal_amplitude[BIAS], "1"));
    status = dlf_result_fact(dlf_run_result(run), "speedup",
                             theory_rate(FOURIER, MODES) / theory_rate(BIAS, MODES), "1");
done:
    free(space);
    return status;
}

static dlf_status learning_table(const record *r, dlf_run *run)
{
    dlf_table *t;
    char id[32];
    DLF_TRY(dlf_result_table(dlf_run_result(run), "learning",
                             (dlf_text){"每个频率剩下的误差", "error left at each frequency"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"frequency", "1"},
                                                  {"step", "step"},
                                                  {"amplitude", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {NULL, NULL}},
                             &t));
    for (int a = 0; a < ARMS; a++)
        for (int m = 1; m <= MODES; m++)
            for (int shot = 1; shot <= SHOTS; shot++) {
                const dlf_estimate e = dlf_estimate_of(at(r, a, shot, m), r->seeds, 1);
                snprintf(id, sizeof id, "%s_%d", arm_ids[a], m);
                DLF_TRY(dlf_table_row(t, DLF_TXT(id), DLF_NUM(m), DLF_NUM(step_of(r, shot)),
                                      DLF_NUM(e.mean), DLF_NUM(fmax(0.0, e.lo)), DLF_NUM(e.hi),
                                      DLF_NUM(theory_amplitude(r, a, shot, m))));
            }
    return DLF_OK;
}

static dlf_status learning_figure(dlf_run *run)
{
    static const struct {
        const char *id;
        dlf_text label;
        dlf_role role;
    } drawn[] = {
        {"bias_2", {"频率 2", "frequency 2"}, DLF_MEASURED},
        {"bias_3", {"频率 3", "frequency 3"}, DLF_MEASURED},
        {"bias_8", {"频率 8", "frequency 8"}, DLF_MEASURED},
        {"fourier_8", {"频率 8，傅里叶特征", "frequency 8, Fourier features"}, DLF_MEASURED},
        {"no_bias_3", {"对照：频率 3，没有偏置", "control: frequency 3, no biases"}, DLF_CONTROL}};
    dlf_figure f = {
        .id = "learning",
        .kind = DLF_LINES,
        .title = {"低频先学会；没有偏置时奇数频率学不会；傅里叶特征让高频也学得快",
                  "Low frequencies come first; without biases odd ones never; Fourier features "
                  "speed up high ones"},
        .subtitle =
            {"圆上的函数，单隐层 ReLU 网络，梯度下降；带为种子间 95 % "
             "区间；虚线为理论，没有拟合参数",
             "functions on the circle, one hidden ReLU layer, gradient descent; bands: 95 % "
             "over seeds; theory dashed, nothing fitted"},
        .x = {{"步数", "steps"}, true},
        .y = {{"剩下的误差振幅", "amplitude of the error left"}, false}};
    for (int i = 0; i < (int)(sizeof drawn / sizeof drawn[0]); i++) {
        f.series[2 * i] = dlf_arm_series(drawn[i].role, "learning", "arm", drawn[i].id, "step",
                                         "amplitude", drawn[i].label, i);
        dlf_theory_of(&f, 2 * i, 2 * i + 1, "theory");
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* Drawn on a logarithmic axis: rates of 0 lie on its lower edge. */
static const double lowest = 1e-4;

static dlf_status rates_table(const record *r, dlf_run *run)
{
    dlf_table *t;
    double *space = malloc((size_t)r->seeds * sizeof *space);
    if (!space) return dlf_fail(DLF_ERR_OOM, "fourier: out of memory");
    dlf_status status;
    DLF_TRY_DONE(
        dlf_result_table(dlf_run_result(run), "rates",
                         (dlf_text){"每步学会的比例与频率", "share learned per step, by frequency"},
                         (const dlf_column[]){{"arm", NULL},
                                              {"frequency", "1"},
                                              {"rate", "1"},
                                              {"lo", "1"},
                                              {"hi", "1"},
                                              {"theory", "1"},
                                              {"drawn", "1"},
                                              {"drawn_lo", "1"},
                                              {"drawn_theory", "1"},
                                              {NULL, NULL}},
                         &t));
    for (int a = 0; a < ARMS; a++)
        for (int m = 1; m <= MODES; m++) {
            rates(r, a, m, space);
            const dlf_estimate e = dlf_estimate_of(space, r->seeds, 1);
            const double theory = theory_rate(a, m);
            DLF_TRY_DONE(dlf_table_row(t, DLF_TXT(arm_ids[a]), DLF_NUM(m), DLF_NUM(e.mean),
                                       DLF_NUM(e.lo), DLF_NUM(fmax(lowest, e.hi)), DLF_NUM(theory),
                                       DLF_NUM(fmax(lowest, e.mean)), DLF_NUM(fmax(lowest, e.lo)),
                                       DLF_NUM(fmax(lowest, theory))));
        }
done:
    free(space);
    return status;
}

static dlf_status rates_figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "rates",
        .kind = DLF_LINES,
        .title = {"学习速率是网络核函数的傅里叶系数",
                  "Rates of learning are Fourier coefficients of the network's kernel"},
        .subtitle =
            {"速率低于 0.0001 的画在下边缘；误差棒为种子间 95 % 区间；虚线为理论",
             "rates below 0.0001 lie on the lower edge; bars: 95 % over seeds; theory dashed"},
        .x = {{"频率", "frequency"}, false},
        .y = {{"每步学会的比例", "share learned per step"}, true}};
    for (int a = 0; a < ARMS; a++) {
        f.series[2 * a] = (dlf_series){.role = a == NO_BIAS ? DLF_CONTROL : DLF_MEASURED,
                                       .table = "rates",
                                       .where = "arm",
                                       .equals = arm_ids[a],
                                       .x = "frequency",
                                       .y = "drawn",
                                       .lo = "drawn_lo",
                                       .hi = "hi",
                                       .label = arm_names[a],
                                       .colour = a,
                                       .points = true};
        if (a != LARGE) dlf_theory_of(&f, 2 * a, 2 * a + 1, "drawn_theory");
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_fourier_learning(dlf_run *run, double from, double to)
{
    record r = {.seeds = dlf_run_seeds(run), .steps = dlf_run_int(run, "steps")};
    r.amplitude =
        malloc((size_t)ARMS * (SHOTS + 1) * MODES * (size_t)r.seeds * sizeof *r.amplitude);
    if (!r.amplitude) return dlf_fail(DLF_ERR_OOM, "fourier: out of memory");
    dlf_status status;
    for (int a = 0; a < ARMS; a++)
        DLF_TRY_DONE(train(&r, run, (arm)a, from + (to - from) * a / ARMS,
                           from + (to - from) * (a + 1) / ARMS));
    DLF_TRY_DONE(checks(&r, run));
    DLF_TRY_DONE(learning_table(&r, run));
    DLF_TRY_DONE(rates_table(&r, run));
    DLF_TRY_DONE(learning_figure(run));
    status = rates_figure(run);
done:
    free(r.amplitude);
    return status;
}
