/* SPDX-License-Identifier: MIT
 * more_data_examples.c -- Q2: a student that learns a teacher's rule by Hebb's: the error falls as
 * 1/sqrt(alpha), alpha examples per weight, on the ops of the device. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/backend.h"
#include "dlf/ops.h"
#include "dlf/rng.h"
#include "figures.h"
#include "more_data.h"
#include "seed_check.h"

static const double loads[] = {0.25, 1.0, 4.0, 16.0};
enum { LOADS = sizeof loads / sizeof loads[0] };

typedef struct school {
    dlf_tensor x, teacher, z, t, zero, student; /* (P,n,N), (P,N,1), (P,n,1) x3, (P,N,1) */
} school;

static void school_free(school *s)
{
    dlf_tensor *all[] = {&s->x, &s->teacher, &s->z, &s->t, &s->zero, &s->student};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
}

/* w = sum t x with t = sign(teacher . x); the sign is the derivative of |z|. */
static dlf_status teach(school *s, dlf_run *run, int n, int N, uint32_t layer)
{
    dlf_device *dev = dlf_run_device(run);
    const int P = dlf_run_seeds(run);
    dlf_tensor *columns[] = {&s->z, &s->t, &s->zero};
    DLF_TRY(dlf_tensor_new(&s->x, dev, dev->real, P, n, N));
    DLF_TRY(dlf_tensor_new(&s->teacher, dev, dev->real, P, N, 1));
    DLF_TRY(dlf_tensor_new(&s->student, dev, dev->real, P, N, 1));
    for (int i = 0; i < 3; i++) DLF_TRY(dlf_tensor_new(columns[i], dev, dev->real, P, n, 1));
    DLF_TRY(dlf_tensor_zero(&s->zero));
    DLF_TRY(dlf_random_normal(&s->x, NULL, NULL,
                              (dlf_rng){dlf_run_seed(run), dlf_stream(DLF_PURPOSE_INPUT, layer)}));
    DLF_TRY(
        dlf_random_normal(&s->teacher, NULL, NULL,
                          (dlf_rng){dlf_run_seed(run), dlf_stream(DLF_PURPOSE_WEIGHTS, layer)}));
    DLF_TRY(dlf_gemm(&s->z, &s->x, &s->teacher, (dlf_gemm_args){.alpha = 1.0}));
    DLF_TRY(dlf_loss_backward(&s->t, &s->z, &s->zero, (dlf_loss){.kind = DLF_LOSS_MAE}, 1.0));
    return dlf_gemm(&s->student, &s->x, &s->t, (dlf_gemm_args){.trans_a = true, .alpha = 1.0});
}

/* Share of fresh inputs on which student and teacher differ: their angle over pi. */
static dlf_status angles(const school *s, int P, int N, double *error)
{
    double *w = malloc(2 * (size_t)(P * N) * sizeof *w), *u = w + (long)P * N;
    if (!w) return dlf_fail(DLF_ERR_OOM, "more-data: out of memory");
    dlf_status status;
    DLF_TRY_DONE(dlf_tensor_download_f64(w, &s->student));
    DLF_TRY_DONE(dlf_tensor_download_f64(u, &s->teacher));
    for (int p = 0; p < P; p++) {
        double wu = 0.0, ww = 0.0, uu = 0.0;
        for (long j = (long)p * N; j < (long)(p + 1) * N; j++) {
            wu += w[j] * u[j];
            ww += w[j] * w[j];
            uu += u[j] * u[j];
        }
        error[p] = acos(wu / sqrt(ww * uu)) / M_PI;
    }
done:
    free(w);
    return status;
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "examples",
        .kind = DLF_LINES,
        .title =
            {"学生向教师学习：误差只由每个权重的样本数决定",
             "A student learns a teacher's rule: the error depends on examples per weight only"},
        .subtitle = {"Hebb 规则；误差棒为种子间 95 % 区间；虚线为理论，没有拟合参数",
                     "Hebb's rule; bars: 95 % over seeds; theory dashed, nothing fitted"},
        .x = {{"每个权重的样本数 α", "examples per weight α"}, true},
        .y = {{"测试错误率", "test error"}, true}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "examples",
                               .x = "alpha",
                               .y = "error",
                               .lo = "lo",
                               .hi = "hi",
                               .label = {"实测", "measured"},
                               .colour = 0,
                               .points = true};
    dlf_theory_of(&f, 0, 1, "theory");
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_more_examples(dlf_run *run, double from, double to)
{
    const int P = dlf_run_seeds(run), N = dlf_run_int(run, "hebb_dim");
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "examples",
                             (dlf_text){"教师—学生：误差与每个权重的样本数",
                                        "teacher and student: error by examples per weight"},
                             (const dlf_column[]){{"alpha", "1"},
                                                  {"error", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {NULL, NULL}},
                             &table));
    double *error = malloc((size_t)P * sizeof *error);
    if (!error) return dlf_fail(DLF_ERR_OOM, "more-data: out of memory");
    dlf_status status = DLF_OK;
    for (int k = 0; k < LOADS; k++) {
        school s = {0};
        const int n = (int)fmax(1.0, round(loads[k] * N));
        status = dlf_run_stage(run, from + (to - from) * k / LOADS, "teacher and student");
        if (status == DLF_OK) status = teach(&s, run, n, N, 60 + (uint32_t)k);
        if (status == DLF_OK) status = angles(&s, P, N, error);
        school_free(&s);
        if (status != DLF_OK) goto done;
        const dlf_estimate e = dlf_estimate_of(error, P, 1);
        DLF_TRY_DONE(dlf_table_row(table, DLF_NUM(loads[k]), DLF_NUM(e.mean), DLF_NUM(e.lo),
                                   DLF_NUM(e.hi), DLF_NUM(dlf_hebb_error(loads[k]))));
        char id[32], zh[120], en[120];
        snprintf(id, sizeof id, "hebb_%d", k);
        snprintf(zh, sizeof zh, "每个权重 %g 个样本：学生的错误率", loads[k]);
        snprintf(en, sizeof en, "%g examples per weight: error of the student", loads[k]);
        dlf_check c = dlf_check_of(id, (dlf_text){zh, en}, e);
        c.expected = dlf_hebb_error(loads[k]);
        c.tolerance = fmax(0.02 * c.expected, 4.0 * e.sd / sqrt(P));
        c.source = "Vallet 1989: atan(sqrt(pi/(2 alpha)))/pi, N large; 2 % or 4 standard errors";
        DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    }
    status = figure(run);
done:
    free(error);
    return status;
}
