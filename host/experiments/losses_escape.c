/* SPDX-License-Identifier: MIT
 * losses_escape.c -- Q19: how long a saturated sigmoid unit needs to come back, by cross-entropy
 * and by squared error. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/ops.h"
#include "losses.h"
#include "seed_check.h"

/* z0 = 1..8, each with the step dt and dt/2: two steps give the time for dt -> 0 (Richardson). */
enum { STARTS = 8, MEMBERS = 2 * STARTS };

/* One unit per member. It starts at -z0 and is kept as u = z + z0, which starts at 0: float32 would
 * round the first tiny steps away beside z0. */
typedef struct unit {
    dlf_tensor u, z, start, y, dz, rate;
} unit;

typedef struct escape {
    unit unit[2];            /* 0 cross-entropy, 1 squared error  */
    dlf_tensor target;       /* 1                                 */
    double time[2][MEMBERS]; /* when z = 0 was crossed; NaN: never */
    double dt[2][MEMBERS], last[2][MEMBERS];
} escape;

static void escape_free(escape *e)
{
    for (int k = 0; k < 2; k++) {
        dlf_tensor *all[] = {&e->unit[k].u, &e->unit[k].z,  &e->unit[k].start,
                             &e->unit[k].y, &e->unit[k].dz, &e->unit[k].rate};
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
    }
    dlf_tensor_free(&e->target);
}

static double theory(int k, double z0)
{
    return k ? dlf_losses_escape_mse(z0) : dlf_losses_escape_ce(z0);
}

static double start_of(int member)
{
    return 1.0 + member % STARTS;
}

static dlf_status prepare(escape *e, dlf_device *dev, int steps)
{
    double ones[MEMBERS], start[MEMBERS];
    for (int p = 0; p < MEMBERS; p++) {
        ones[p] = 1.0;
        start[p] = -start_of(p);
    }
    DLF_TRY(dlf_tensor_new(&e->target, dev, dev->real, MEMBERS, 1, 1));
    DLF_TRY(dlf_tensor_upload_f64(&e->target, ones));
    for (int k = 0; k < 2; k++) {
        unit *n = &e->unit[k];
        dlf_tensor *cubes[] = {&n->u, &n->z, &n->y, &n->dz};
        for (int i = 0; i < 4; i++)
            DLF_TRY(dlf_tensor_new(cubes[i], dev, dev->real, MEMBERS, 1, 1));
        DLF_TRY(dlf_tensor_new(&n->start, dev, dev->real, MEMBERS, 1));
        DLF_TRY(dlf_tensor_new(&n->rate, dev, dev->real, MEMBERS));
        DLF_TRY(dlf_tensor_zero(&n->u));
        DLF_TRY(dlf_tensor_upload_f64(&n->start, start));
        for (int p = 0; p < MEMBERS; p++) {
            e->dt[k][p] = theory(k, start_of(p)) / steps / (p < STARTS ? 1.0 : 2.0);
            e->time[k][p] = NAN;
            e->last[k][p] = start[p];
        }
        DLF_TRY(dlf_tensor_upload_f64(&n->rate, e->dt[k]));
    }
    return DLF_OK;
}

/* One Euler step of gradient flow: gradient descent with the step as its rate. */
static dlf_status advance(escape *e, int k)
{
    unit *n = &e->unit[k];
    const int64_t flat[] = {MEMBERS, 1};
    const dlf_activation sigmoid = dlf_activation_of(DLF_SIGMOID);
    DLF_TRY(dlf_bias_add(&n->z, &n->u, &n->start));
    if (k == 0) {
        const dlf_loss bce = {.kind = DLF_LOSS_BCE};
        DLF_TRY(dlf_loss_backward(&n->dz, &n->z, &e->target, bce, 1.0));
    } else {
        const dlf_loss mse = {.kind = DLF_LOSS_MSE};
        DLF_TRY(dlf_activation_forward(&n->y, &n->z, sigmoid));
        DLF_TRY(dlf_loss_backward(&n->dz, &n->y, &e->target, mse, 0.5));
        DLF_TRY(dlf_activation_backward(&n->dz, &n->dz, &n->z, &n->y, sigmoid));
    }
    dlf_tensor u = dlf_tensor_reshape(&n->u, 2, flat);
    const dlf_tensor dz = dlf_tensor_reshape(&n->dz, 2, flat);
    return dlf_sgd_step(&u, NULL, &dz, &n->rate, NULL, (dlf_sgd_args){0.0, 0.0});
}

/* The crossing of z = 0 between two steps, by a straight line. */
static dlf_status note_crossings(escape *e, int k, int step)
{
    double u[MEMBERS];
    DLF_TRY(dlf_tensor_download_f64(u, &e->unit[k].u));
    for (int p = 0; p < MEMBERS; p++) {
        const double z = u[p] - start_of(p), before = e->last[k][p];
        if (before < 0.0 && z >= 0.0)
            e->time[k][p] = e->dt[k][p] * (step - 1 + before / (before - z));
        e->last[k][p] = z;
    }
    return DLF_OK;
}

static dlf_status integrate(escape *e, dlf_run *run, int steps, double from, double to)
{
    /* the finer members need twice the steps; a tenth more, in case theory is too short */
    const int last = (int)(2.2 * steps);
    for (int step = 1; step <= last; step++) {
        if (step % 500 == 1)
            DLF_TRY(dlf_run_stage(run, from + (to - from) * step / last, "escape from saturation"));
        for (int k = 0; k < 2; k++) {
            DLF_TRY(advance(e, k));
            DLF_TRY(note_crossings(e, k, step));
        }
    }
    return DLF_OK;
}

static dlf_status report(dlf_run *run, const escape *e)
{
    static const char *const ids[] = {"ce", "mse"};
    dlf_table *table;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "escape",
        (dlf_text){"饱和 sigmoid 单元的逃逸时间",
                   "time a saturated sigmoid unit needs to come back"},
        (const dlf_column[]){
            {"loss", NULL}, {"z0", "1"}, {"time", "1"}, {"theory", "1"}, {NULL, NULL}},
        &table));
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < STARTS; i++) {
            const double z0 = start_of(i);
            const double time = 2.0 * e->time[k][STARTS + i] - e->time[k][i];
            DLF_TRY(dlf_table_row(table, DLF_TXT(ids[k]), DLF_NUM(z0), DLF_NUM(time),
                                  DLF_NUM(theory(k, z0))));
            if (i % 2 == 0) continue; /* checked at z0 = 2, 4, 6, 8 */
            char id[32], zh[160], en[160];
            snprintf(id, sizeof id, "escape_%s_%d", ids[k], i + 1);
            snprintf(zh, sizeof zh, "从 z = −%d 出发，%s回到 z = 0 的时间", i + 1,
                     k ? "平方误差" : "交叉熵");
            snprintf(en, sizeof en, "from z = −%d %s comes back to z = 0 in this time", i + 1,
                     k ? "squared error" : "cross-entropy");
            dlf_check c = dlf_check_exact(id, (dlf_text){zh, en}, time);
            c.expected = theory(k, z0);
            c.tolerance = 1e-3;
            c.relative = true;
            c.source = k ? "closed form: e^z − 1 + 3z + 3(1 − e^−z) + (1 − e^−2z)/2"
                         : "closed form: z + 1 − e^−z";
            DLF_TRY(dlf_result_check(dlf_run_result(run), c));
        }
    return DLF_OK;
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "escape",
        .kind = DLF_LINES,
        .title = {"饱和的 sigmoid 单元：平方误差要指数长的时间，交叉熵只要线性时间",
                  "A saturated sigmoid unit: squared error takes exponential time, cross-entropy "
                  "linear time"},
        .subtitle = {"一个单元，目标 1，从 z = −z₀ 出发的梯度流；虚线为闭式解",
                     "one unit, target 1, gradient flow from z = −z₀; closed form dashed"},
        .x = {{"起点的饱和程度 z₀", "how saturated it starts, z₀"}, false},
        .y = {{"到达 z = 0 的时间", "time until z = 0"}, true},
        .residuals = true};
    static const dlf_text names[] = {{"对照：交叉熵", "control: cross-entropy"},
                                     {"平方误差", "squared error"}};
    for (int k = 0; k < 2; k++) {
        const dlf_series s = {.role = k ? DLF_MEASURED : DLF_CONTROL,
                              .table = "escape",
                              .where = "loss",
                              .equals = k ? "mse" : "ce",
                              .x = "z0",
                              .y = "time",
                              .label = names[k],
                              .colour = k,
                              .points = true};
        f.series[2 * k] = f.series[2 * k + 1] = s;
        f.series[2 * k + 1].role = DLF_THEORY;
        f.series[2 * k + 1].y = "theory";
        f.series[2 * k + 1].points = false;
        f.series[2 * k + 1].label = (dlf_text){"理论", "theory"};
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_losses_escape(dlf_run *run, double from, double to)
{
    dlf_status status;
    escape *e = calloc(1, sizeof *e);
    const int steps = dlf_run_int(run, "escape_steps");
    if (!e) return dlf_fail(DLF_ERR_OOM, "losses: out of memory");
    DLF_TRY_DONE(prepare(e, dlf_run_device(run), steps));
    DLF_TRY_DONE(integrate(e, run, steps, from, to));
    DLF_TRY_DONE(report(run, e));
    DLF_TRY_DONE(figure(run));
done:
    escape_free(e);
    free(e);
    return status;
}
