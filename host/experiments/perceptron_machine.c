/* SPDX-License-Identifier: MIT
 * perceptron_machine.c -- Q12: populations of perceptrons on the ops of a device. */
#include <stdlib.h>

#include "dlf/backend.h"
#include "dlf/ops.h"
#include "perceptron.h"

void dlf_perceptrons_free(dlf_perceptrons *p)
{
    dlf_tensor *all[] = {&p->x, &p->t,  &p->w,  &p->mistakes, &p->sum,     &p->xt,  &p->tt,
                         &p->z, &p->dz, &p->dw, &p->x_index,  &p->t_index, &p->rate};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
}

dlf_status dlf_perceptrons_new(dlf_perceptrons *p, dlf_device *dev, int members, int rows,
                               int features, const float *x, int labels, int outputs,
                               const float *t, bool averaged)
{
    const dlf_dtype real = dev->real;
    *p = (dlf_perceptrons){
        .members = members, .features = features, .outputs = outputs, .averaged = averaged};
    DLF_TRY(dlf_tensor_new(&p->x, dev, real, rows, features));
    DLF_TRY(dlf_tensor_new(&p->t, dev, real, labels, outputs));
    DLF_TRY(dlf_tensor_upload(&p->x, x));
    DLF_TRY(dlf_tensor_upload(&p->t, t));
    dlf_tensor *weights[] = {&p->w, &p->dw, &p->sum};
    for (int i = 0; i < 3; i++) {
        if (i == 2 && !averaged) continue;
        DLF_TRY(dlf_tensor_new(weights[i], dev, real, members, features, outputs));
        DLF_TRY(dlf_tensor_zero(weights[i]));
    }
    dlf_tensor *columns[] = {&p->mistakes, &p->tt, &p->z, &p->dz};
    for (int i = 0; i < 4; i++) DLF_TRY(dlf_tensor_new(columns[i], dev, real, members, 1, outputs));
    DLF_TRY(dlf_tensor_zero(&p->mistakes));
    DLF_TRY(dlf_tensor_new(&p->xt, dev, real, members, 1, features));
    DLF_TRY(dlf_tensor_new(&p->rate, dev, real, members));

    double *ones = malloc((size_t)members * sizeof *ones);
    if (!ones) return dlf_fail(DLF_ERR_OOM, "perceptrons: out of memory");
    for (int i = 0; i < members; i++) ones[i] = 1.0;
    const dlf_status status = dlf_tensor_upload_f64(&p->rate, ones);
    free(ones);
    return status;
}

dlf_status dlf_perceptrons_order(dlf_perceptrons *p, int steps, const int32_t *x_index,
                                 const int32_t *t_index)
{
    dlf_device *dev = p->w.device;
    dlf_tensor_free(&p->x_index);
    dlf_tensor_free(&p->t_index);
    p->steps = steps;
    const int64_t all = (int64_t)steps * p->members;
    DLF_TRY(dlf_tensor_new(&p->x_index, dev, DLF_I32, all, 1));
    DLF_TRY(dlf_tensor_new(&p->t_index, dev, DLF_I32, all, 1));
    DLF_TRY(dlf_tensor_upload_i32(&p->x_index, x_index));
    return dlf_tensor_upload_i32(&p->t_index, t_index ? t_index : x_index);
}

static dlf_status step(dlf_perceptrons *p, int s)
{
    const int64_t flat[] = {p->members, (int64_t)p->features * p->outputs};
    const dlf_tensor xi = dlf_tensor_slice(&p->x_index, (int64_t)s * p->members, p->members);
    const dlf_tensor ti = dlf_tensor_slice(&p->t_index, (int64_t)s * p->members, p->members);
    DLF_TRY(dlf_gather_rows(&p->xt, &p->x, &xi));
    DLF_TRY(dlf_gather_rows(&p->tt, &p->t, &ti));
    /* s = 2^60: every z > 0 that floats can have here lies beyond the margin 1/s */
    DLF_TRY(dlf_gemm(&p->z, &p->xt, &p->w, (dlf_gemm_args){.alpha = 0x1p60}));
    const dlf_loss hinge = {.kind = DLF_LOSS_HINGE};
    DLF_TRY(dlf_loss_backward(&p->dz, &p->z, &p->tt, hinge, 1.0));
    DLF_TRY(dlf_gemm(&p->dw, &p->xt, &p->dz, (dlf_gemm_args){.trans_a = true, .alpha = 1.0}));
    dlf_tensor w = dlf_tensor_reshape(&p->w, 2, flat);
    const dlf_tensor dw = dlf_tensor_reshape(&p->dw, 2, flat);
    DLF_TRY(dlf_sgd_step(&w, NULL, &dw, &p->rate, NULL, (dlf_sgd_args){0.0, 0.0}));
    DLF_TRY(dlf_multiply(&p->mistakes, &p->dz, &p->dz, 1.0));
    return p->averaged ? dlf_axpby(&p->sum, &p->w, NULL, 1.0, 1.0) : DLF_OK;
}

dlf_status dlf_perceptrons_present(dlf_perceptrons *p, int first, int count)
{
    for (int s = first; s < first + count; s++) DLF_TRY(step(p, s));
    return DLF_OK;
}

dlf_status dlf_perceptrons_converge(dlf_perceptrons *p, int passes, double *total, int *last,
                                    dlf_run *run, double from, double to, const char *what)
{
    const int64_t n = (int64_t)p->members * p->outputs;
    double *now = malloc((size_t)n * sizeof *now);
    if (!now) return dlf_fail(DLF_ERR_OOM, "perceptrons: out of memory");
    dlf_status status = DLF_OK;
    for (int64_t i = 0; i < n; i++) {
        total[i] = 0.0;
        last[i] = 0;
    }
    bool moved = true;
    for (int pass = 1; pass <= passes && moved; pass++) {
        if (run) DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * pass / passes, "%s", what));
        DLF_TRY_DONE(dlf_perceptrons_present(p, 0, p->steps));
        DLF_TRY_DONE(dlf_tensor_download_f64(now, &p->mistakes));
        moved = false;
        for (int64_t i = 0; i < n; i++)
            if (now[i] != total[i]) {
                moved = true;
                last[i] = pass;
                total[i] = now[i];
            }
    }
done:
    free(now);
    return status;
}
