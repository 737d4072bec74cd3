/* SPDX-License-Identifier: MIT
 * bn_dependent_batches_leak.c -- Q25: how much of the gradient of one row's output goes to other
 * rows? dh_i/dz_j = (delta_ij - 1/B - h_i h_j/B)/s, by the library's own backward. The share of
 * others is exact (dlf_bn_leak); B = 2 passes no gradient at all. Control: layer norm, exactly 0.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bn_dependent_batches.h"
#include "bn_theory.h"
#include "dlf/rng.h"
#include "seed_check.h"

enum { SIZES = 6, CHECKED = 2, LAYER_ROWS = 64 };
static const int sizes[SIZES] = {3, 4, 8, 16, 32, 128};

/* Squares of dh_0/dz: of row 0 and of all rows, summed over columns. With batch norm times s^2,
 * whose inverse has no mean where B <= 3. */
typedef struct squares {
    double own, all;
} squares;

typedef struct operands {
    dlf_tensor x, y, dy, mean, rstd;
} operands;

static void operands_free(operands *o)
{
    dlf_tensor *all[] = {&o->x, &o->y, &o->dy, &o->mean, &o->rstd};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
}

static dlf_status jacobian_row(operands *o, dlf_run *run, dlf_norm norm, int B, int columns,
                               float *host)
{
    dlf_device *dev = dlf_run_device(run);
    const int S = dlf_run_seeds(run);
    const bool batch = norm.kind == DLF_BATCH_NORM;
    const int statistics = batch ? columns : B;
    DLF_TRY(dlf_tensor_new(&o->x, dev, dev->real, S, B, columns));
    DLF_TRY(dlf_tensor_new(&o->y, dev, dev->real, S, B, columns));
    DLF_TRY(dlf_tensor_new(&o->dy, dev, dev->real, S, B, columns));
    DLF_TRY(dlf_tensor_new(&o->mean, dev, DLF_F64, S, statistics));
    DLF_TRY(dlf_tensor_new(&o->rstd, dev, dev->real, S, statistics));
    DLF_TRY(dlf_random_normal(
        &o->x, NULL, NULL,
        (dlf_rng){dlf_run_seed(run), dlf_stream(DLF_PURPOSE_INPUT, 0x2000u + (uint32_t)B)}));
    /* every column is a batch of its own; layer norm, whose gradient of a constant row is 0, gets
     * every other one */
    for (int s = 0; s < S; s++)
        for (int i = 0; i < B * columns; i++)
            host[(size_t)s * (size_t)B * (size_t)columns + (size_t)i] =
                i < columns && (batch || i % 2) ? 1.0f : 0.0f;
    DLF_TRY(dlf_tensor_upload(&o->dy, host));
    norm.eps = 1e-30;
    DLF_TRY(dlf_norm_forward(
        &(dlf_norm_fwd){.y = &o->y, .x = &o->x, .mean = &o->mean, .rstd = &o->rstd}, &norm));
    DLF_TRY(dlf_norm_backward(
        &(dlf_norm_bwd){.dx = &o->dy, .dy = &o->dy, .x = &o->x, .mean = &o->mean, .rstd = &o->rstd},
        &norm));
    return dlf_tensor_download(host, &o->dy);
}

static dlf_status measure(dlf_run *run, dlf_norm norm, int B, int columns, squares *out)
{
    const int S = dlf_run_seeds(run);
    const bool batch = norm.kind == DLF_BATCH_NORM;
    operands o = {0};
    dlf_status status;
    float *dx = malloc((size_t)S * (size_t)B * (size_t)columns * sizeof *dx);
    double *rstd = malloc((size_t)S * (size_t)(batch ? columns : B) * sizeof *rstd);
    if (!dx || !rstd) {
        status = dlf_fail(DLF_ERR_OOM, "leakage: out of memory");
        goto done;
    }
    DLF_TRY_DONE(jacobian_row(&o, run, norm, B, columns, dx));
    DLF_TRY_DONE(dlf_tensor_download_f64(rstd, &o.rstd));
    for (int s = 0; s < S; s++) {
        out[s] = (squares){0.0, 0.0};
        for (int i = 0; i < B; i++)
            for (int c = 0; c < columns; c++) {
                const double r = batch ? rstd[s * columns + c] : 1.0;
                const double q =
                    dx[((size_t)s * (size_t)B + (size_t)i) * (size_t)columns + (size_t)c] / r;
                out[s].all += q * q / columns;
                if (i == 0) out[s].own += q * q / columns;
            }
    }
done:
    operands_free(&o);
    free(rstd);
    free(dx);
    return status;
}

/* ---- report -----------------------------------------------------------------------------------
 */

static dlf_status silent_pair(dlf_run *run, const squares *q)
{
    const int S = dlf_run_seeds(run);
    double *all = malloc((size_t)S * sizeof *all);
    if (!all) return dlf_fail(DLF_ERR_OOM, "leakage: out of memory");
    for (int s = 0; s < S; s++) all[s] = sqrt(q[s].all);
    dlf_check check = dlf_check_of(
        "silent_pair",
        (dlf_text){
            "B = 2：h = ±1 是常数，反向传播的梯度恒为 0，网络从这一层往下学不到任何东西",
            "B = 2: h = ±1 is a constant and its gradient 0: nothing below this layer learns"},
        dlf_estimate_of(all, S, 1));
    free(all);
    check.expected = 0.0;
    check.tolerance = 1e-5;
    check.source = "closed form: 1 - 1/2 - h^2/2 = 0; 1e-5: float32";
    return dlf_result_check(dlf_run_result(run), check);
}

static dlf_status leak_check(dlf_run *run, dlf_estimate e, int B)
{
    dlf_check check = dlf_check_of(
        "leak",
        (dlf_text){"B = 8：一个样本输出的梯度，有这么大份额流向同批的其他样本",
                   "B = 8: this share of the gradient of one row's output goes to other rows"},
        e);
    check.expected = dlf_bn_leak(B);
    check.relative = true;
    check.tolerance = 0.02;
    check.source = "closed form: 2/(B+1) (bn_theory.h); 2 %: "
                   "over 4 standard errors of 8192 batches";
    return dlf_result_check(dlf_run_result(run), check);
}

static dlf_status control_check(dlf_run *run, double share)
{
    dlf_check check =
        dlf_check_exact("leak_layer_norm",
                        (dlf_text){"对照，层归一化：流向其他样本的梯度恰为 0",
                                   "control, layer norm: the share of other rows is exactly 0"},
                        share);
    check.expected = 0.0;
    check.tolerance = 0.0;
    check.self_check = true;
    check.source = "identity: layer norm's statistics are those of one row";
    return dlf_result_check(dlf_run_result(run), check);
}

static dlf_status figure(dlf_run *run)
{
    const dlf_figure f = {
        .id = "leak",
        .kind = DLF_LINES,
        .title = {"批越小，一个样本的梯度流向别的样本越多",
                  "The smaller the batch, the more of a sample's gradient goes to others"},
        .subtitle = {"z ~ N(0,1)；虚线：2/(B+1)，无拟合参数",
                     "z ~ N(0,1); dashed: 2/(B+1), nothing fitted"},
        .x = {{"批大小 B", "batch size B"}, true},
        .y = {{"其他样本的份额", "share of other samples"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "leak",
                    .where = "norm",
                    .equals = "batch_norm",
                    .x = "batch",
                    .y = "share",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"批归一化", "batch norm"},
                    .points = true},
                   {.role = DLF_THEORY,
                    .table = "leak",
                    .where = "norm",
                    .equals = "batch_norm",
                    .x = "batch",
                    .y = "theory",
                    .label = {"公式", "law"}},
                   {.role = DLF_CONTROL,
                    .table = "leak",
                    .where = "norm",
                    .equals = "layer_norm",
                    .x = "batch",
                    .y = "share",
                    .label = {"对照：层归一化", "control: layer norm"},
                    .colour = 1}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status all_sizes(dlf_run *run, squares *q, double *share, double from, double to)
{
    const int S = dlf_run_seeds(run), values = dlf_run_int(run, "values");
    dlf_table *table;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "leak",
        (dlf_text){"梯度流向其他样本的份额", "share of the gradient that goes to other samples"},
        (const dlf_column[]){{"norm", NULL},
                             {"batch", "rows"},
                             {"share", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {NULL, NULL}},
        &table));
    DLF_TRY(measure(run, (dlf_norm){.kind = DLF_BATCH_NORM}, 2, values / 2, q));
    DLF_TRY(silent_pair(run, q));
    double most = 0.0;
    for (int i = 0; i < SIZES; i++) {
        const int B = sizes[i], columns = values / B > 1 ? values / B : 1;
        DLF_TRY(dlf_run_stage(run, from + (to - from) * i / SIZES, "leakage, B = %d", B));
        DLF_TRY(measure(run, (dlf_norm){.kind = DLF_BATCH_NORM}, B, columns, q));
        for (int s = 0; s < S; s++) share[s] = 1.0 - q[s].own / q[s].all;
        const dlf_estimate e = dlf_estimate_of(share, S, 1);
        DLF_TRY(dlf_table_row(table, DLF_TXT("batch_norm"), DLF_NUM(B), DLF_NUM(e.mean),
                              DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(dlf_bn_leak(B))));
        if (i == CHECKED) DLF_TRY(leak_check(run, e, B));
    }
    for (int i = 0; i < SIZES; i++) {
        DLF_TRY(measure(run, (dlf_norm){.kind = DLF_LAYER_NORM}, sizes[i], LAYER_ROWS, q));
        for (int s = 0; s < S; s++) share[s] = 1.0 - q[s].own / q[s].all;
        const dlf_estimate e = dlf_estimate_of(share, S, 1);
        for (int s = 0; s < S; s++)
            if (!(fabs(share[s]) <= most)) most = fabs(share[s]);
        DLF_TRY(dlf_table_row(table, DLF_TXT("layer_norm"), DLF_NUM(sizes[i]), DLF_NUM(e.mean),
                              DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(0)));
    }
    DLF_TRY(control_check(run, most));
    return figure(run);
}

dlf_status dlf_bn_leakage(dlf_run *run, double from, double to)
{
    const size_t S = (size_t)dlf_run_seeds(run);
    squares *q = malloc(S * sizeof *q);
    double *share = malloc(S * sizeof *share);
    const dlf_status status = q && share ? all_sizes(run, q, share, from, to)
                                         : dlf_fail(DLF_ERR_OOM, "leakage: out of memory");
    free(share);
    free(q);
    return status;
}
