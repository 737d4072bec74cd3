/* SPDX-License-Identifier: MIT
 * transfer_time.c -- Q24: the time that a good start saves, on the smallest deep network, w1 w2 x,
 * on the ops of the device. Control: one layer, where a start near zero costs nothing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/backend.h"
#include "dlf/ops.h"
#include "figures.h"
#include "seed_check.h"
#include "transfer.h"

static const double starts[] = {1e-4, 1e-3, 1e-2, 0.1, 0.5};
enum { STARTS = sizeof starts / sizeof starts[0], DEEP = 0, SHALLOW, KINDS };
static const double target = 1.0, reached = 0.95;

double dlf_saxe_time(double s, double u0, double u)
{
    return log(u * (s - u0) / (u0 * (s - u))) / (2.0 * s);
}

/* du/dt = s - u: one layer. */
static double shallow_time(double u0, double u)
{
    return log((target - u0) / (target - u));
}

/* Members: starts. w1, w2 and their product u; one layer: w1 alone. */
typedef struct units {
    dlf_tensor w1, w2, u, e, g1, g2, s; /* (STARTS,1) */
} units;

static void units_free(units *n)
{
    dlf_tensor *all[] = {&n->w1, &n->w2, &n->u, &n->e, &n->g1, &n->g2, &n->s};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
}

static dlf_status units_new(units *n, dlf_device *dev, int kind)
{
    dlf_tensor *all[] = {&n->w1, &n->w2, &n->u, &n->e, &n->g1, &n->g2, &n->s};
    double w[STARTS], s[STARTS];
    *n = (units){0};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        DLF_TRY(dlf_tensor_new(all[i], dev, dev->real, STARTS, 1));
    for (int i = 0; i < STARTS; i++) {
        w[i] = kind == DEEP ? sqrt(starts[i]) : starts[i];
        s[i] = target;
    }
    DLF_TRY(dlf_tensor_upload_f64(&n->w1, w));
    DLF_TRY(dlf_tensor_upload_f64(&n->w2, w));
    return dlf_tensor_upload_f64(&n->s, s);
}

/* One step of gradient descent on (s - u)^2 / 2; u is left as it was before. */
static dlf_status step(units *n, int kind, double rate)
{
    if (kind == DEEP)
        DLF_TRY(dlf_multiply(&n->u, &n->w1, &n->w2, 0.0));
    else
        DLF_TRY(dlf_tensor_copy(&n->u, &n->w1));
    DLF_TRY(dlf_tensor_copy(&n->e, &n->s));
    DLF_TRY(dlf_axpby(&n->e, &n->u, NULL, -1.0, 1.0));
    if (kind == SHALLOW) return dlf_axpby(&n->w1, &n->e, NULL, rate, 1.0);
    DLF_TRY(dlf_multiply(&n->g1, &n->e, &n->w2, 0.0));
    DLF_TRY(dlf_multiply(&n->g2, &n->e, &n->w1, 0.0));
    DLF_TRY(dlf_axpby(&n->w1, &n->g1, NULL, rate, 1.0));
    return dlf_axpby(&n->w2, &n->g2, NULL, rate, 1.0);
}

/* When u passes `reached`, by a straight line between two steps; NaN: never. */
static dlf_status race(dlf_run *run, int kind, double time[STARTS])
{
    const double rate = dlf_run_real(run, "saxe_rate");
    const int steps = (int)(1.2 * dlf_saxe_time(target, starts[0], reached) / rate);
    double u[STARTS], before[STARTS];
    units n;
    dlf_status status;
    for (int i = 0; i < STARTS; i++) {
        time[i] = NAN;
        before[i] = starts[i];
    }
    DLF_TRY_DONE(units_new(&n, dlf_run_device(run), kind));
    for (int t = 0; t <= steps; t++) {
        DLF_TRY_DONE(step(&n, kind, rate));
        DLF_TRY_DONE(dlf_tensor_download_f64(u, &n.u));
        for (int i = 0; i < STARTS; i++) {
            if (before[i] < reached && u[i] >= reached)
                time[i] = rate * (t - 1 + (reached - before[i]) / (u[i] - before[i]));
            before[i] = u[i];
        }
    }
done:
    units_free(&n);
    return status;
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "time",
        .kind = DLF_LINES,
        .title = {"深的网络从零附近起步很慢：预训练省下对数时间",
                  "Deep networks are slow to leave zero: pre-training saves a logarithm of time"},
        .subtitle =
            {"网络 w₁w₂x，目标 1，到达 0.95 的时间；虚线为 Saxe 的公式；对照只有一层",
             "network w₁w₂x, target 1, time until 0.95; Saxe's formula dashed; the control has one "
             "layer"},
        .x = {{"起点 u₀ = w₁w₂", "start u₀ = w₁w₂"}, true},
        .y = {{"学会所需的时间", "time to learn"}, false}};
    static const dlf_text labels[KINDS] = {{"两层", "two layers"},
                                           {"对照：一层", "control: one layer"}};
    static const char *const ids[KINDS] = {"deep", "shallow"};
    for (int k = 0; k < KINDS; k++) {
        f.series[2 * k] = (dlf_series){.role = k == SHALLOW ? DLF_CONTROL : DLF_MEASURED,
                                       .table = "time",
                                       .where = "layers",
                                       .equals = ids[k],
                                       .x = "start",
                                       .y = "time",
                                       .label = labels[k],
                                       .colour = k,
                                       .points = true};
        dlf_theory_of(&f, 2 * k, 2 * k + 1, "theory");
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_transfer_time(dlf_run *run, double from, double to)
{
    dlf_table *t;
    double time[KINDS][STARTS];
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "time", (dlf_text){"学会所需的时间与起点", "time to learn by start"},
        (const dlf_column[]){
            {"layers", NULL}, {"start", "1"}, {"time", "1"}, {"theory", "1"}, {NULL, NULL}},
        &t));
    for (int k = 0; k < KINDS; k++) {
        DLF_TRY(dlf_run_stage(run, from + (to - from) * k / KINDS, "time to learn"));
        DLF_TRY(race(run, k, time[k]));
        for (int i = 0; i < STARTS; i++)
            DLF_TRY(dlf_table_row(t, DLF_TXT(k ? "shallow" : "deep"), DLF_NUM(starts[i]),
                                  DLF_NUM(time[k][i]),
                                  DLF_NUM(k ? shallow_time(starts[i], reached)
                                            : dlf_saxe_time(target, starts[i], reached))));
        dlf_check c = dlf_check_exact(
            k ? "time_saved_shallow" : "time_saved",
            k ? (dlf_text){"对照，一层：同样的预训练省下的时间",
                           "control, one layer: time that the same pre-training saves"}
              : (dlf_text){"两层：从 0.0001 预训练到 0.5 省下的时间",
                           "two layers: time that pre-training from 0.0001 to 0.5 saves"},
            time[k][0] - time[k][STARTS - 1]);
        c.expected =
            k ? shallow_time(starts[0], reached) - shallow_time(starts[STARTS - 1], reached)
              : dlf_saxe_time(target, starts[0], starts[STARTS - 1]);
        c.tolerance = 0.01;
        c.relative = true;
        c.source = k ? "closed form: du/dt = s - u; steps are finite"
                     : "Saxe et al. 2014: ln of the ratio of starts over 2s; steps are finite";
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    }
    return figure(run);
}
