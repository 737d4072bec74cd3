/* SPDX-License-Identifier: MIT
 * training.c -- minibatch SGD of a population on a data set that lives on the device. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/mlp.h"
#include "dlf/rng.h"

struct dlf_training {
    dlf_mlp *m;
    const dlf_dataset *data;
    dlf_training_spec spec;
    int epoch, step, epoch_steps; /* step: position in the current epoch */
    int32_t *draw;
    int32_t *order;                            /* (steps,P,B) of the current epoch, host */
    dlf_tensor x, label;                       /* the data set (R,features), (R)         */
    dlf_tensor index;                          /* (steps,P,B) of the current epoch       */
    dlf_tensor batch_x, batch_label;           /* (P,B,features), (P,B)      */
    dlf_tensor loss, hit;                      /* (P,B)                      */
    dlf_tensor lr, max_norm, norm, g_scale;    /* (P)                 */
    dlf_tensor eval_index, eval_x, eval_label; /* (1,B), (1,B,features), (1,B) */
};

void dlf_training_free(dlf_training *t)
{
    if (!t) return;
    dlf_tensor *all[] = {&t->x,       &t->label,      &t->index,  &t->batch_x,   &t->batch_label,
                         &t->loss,    &t->hit,        &t->lr,     &t->max_norm,  &t->norm,
                         &t->g_scale, &t->eval_index, &t->eval_x, &t->eval_label};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
    free(t->order);
    free(t->draw);
    free(t);
}

static dlf_status allocate(dlf_training *t)
{
    dlf_device *dev = t->m->device;
    const dlf_dtype real = dev->real;
    const int64_t P = t->m->spec.members, B = t->m->spec.batch, S = t->epoch_steps;
    const int64_t F = t->data->features, rows = t->data->train + t->data->test;
    DLF_TRY(dlf_tensor_new(&t->x, dev, real, rows, F));
    DLF_TRY(dlf_tensor_new(&t->label, dev, DLF_I32, rows));
    DLF_TRY(dlf_tensor_new(&t->index, dev, DLF_I32, S, P, B));
    DLF_TRY(dlf_tensor_new(&t->batch_x, dev, real, P, B, F));
    DLF_TRY(dlf_tensor_new(&t->batch_label, dev, DLF_I32, P, B));
    DLF_TRY(dlf_tensor_new(&t->loss, dev, real, P, B));
    DLF_TRY(dlf_tensor_new(&t->hit, dev, real, P, B));
    DLF_TRY(dlf_tensor_new(&t->lr, dev, real, P));
    DLF_TRY(dlf_tensor_new(&t->max_norm, dev, real, P));
    DLF_TRY(dlf_tensor_new(&t->norm, dev, real, P));
    DLF_TRY(dlf_tensor_new(&t->g_scale, dev, real, P));
    DLF_TRY(dlf_tensor_new(&t->eval_index, dev, DLF_I32, 1, B));
    DLF_TRY(dlf_tensor_new(&t->eval_x, dev, real, 1, B, F));
    DLF_TRY(dlf_tensor_new(&t->eval_label, dev, DLF_I32, 1, B));
    return DLF_OK;
}

dlf_status dlf_training_new(dlf_training **out, dlf_mlp *m, const dlf_dataset *data,
                            const dlf_training_spec *spec)
{
    dlf_status status;
    const int64_t P = m->spec.members, B = m->spec.batch;
    *out = NULL;
    if (B > data->train || data->features != m->spec.inputs || data->classes != m->spec.classes)
        return dlf_fail(
            DLF_ERR_SHAPE,
            "training: %s has %d rows, %d features, %d classes; the network wants batches "
            "of %d, %d features, %d classes",
            data->name, data->train, data->features, data->classes, m->spec.batch, m->spec.inputs,
            m->spec.classes);
    dlf_training *t = calloc(1, sizeof *t);
    if (!t) return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    t->m = m;
    t->data = data;
    t->spec = *spec;
    t->epoch_steps = data->train / (int)B;
    t->order = malloc((size_t)(t->epoch_steps * P * B) * sizeof *t->order);
    t->draw = malloc((size_t)P * sizeof *t->draw);
    if (!t->order || !t->draw) {
        status = dlf_fail(DLF_ERR_OOM, "training: out of memory");
        goto done;
    }
    memcpy(t->draw, spec->draw, (size_t)P * sizeof *t->draw);
    DLF_TRY_DONE(allocate(t));
    DLF_TRY_DONE(dlf_tensor_upload(&t->x, data->x));
    DLF_TRY_DONE(dlf_tensor_upload_i32(&t->label, data->label));
    DLF_TRY_DONE(dlf_tensor_upload_f64(&t->lr, spec->lr));
    if (spec->max_norm) DLF_TRY_DONE(dlf_tensor_upload_f64(&t->max_norm, spec->max_norm));
    *out = t;
    return DLF_OK;
done:
    dlf_training_free(t);
    return status;
}

int dlf_training_epoch_steps(const dlf_training *t)
{
    return t->epoch_steps;
}

/* A fresh permutation per member; equal draws give equal orders. */
static dlf_status start_epoch(dlf_training *t)
{
    const int64_t P = t->m->spec.members, B = t->m->spec.batch;
    int32_t *permutation = malloc((size_t)t->data->train * sizeof *permutation);
    if (!permutation) return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    for (int64_t p = 0; p < P; p++) {
        dlf_permutation(permutation, t->data->train, t->spec.seed,
                        dlf_stream(DLF_PURPOSE_SHUFFLE, (uint32_t)t->epoch + 1),
                        (uint32_t)t->draw[p]);
        for (int64_t s = 0; s < t->epoch_steps; s++)
            memcpy(t->order + (s * P + p) * B, permutation + s * B, (size_t)B * sizeof *t->order);
    }
    free(permutation);
    t->epoch++;
    t->step = 0;
    return dlf_tensor_upload_i32(&t->index, t->order);
}

static dlf_status forward_backward(dlf_training *t)
{
    dlf_mlp *m = t->m;
    const int64_t shape[] = {m->spec.members, m->spec.batch};
    if (t->epoch == 0 || t->step == t->epoch_steps) DLF_TRY(start_epoch(t));
    const dlf_tensor row = dlf_tensor_slice(&t->index, t->step, 1);
    const dlf_tensor index = dlf_tensor_reshape(&row, 2, shape);
    DLF_TRY(dlf_gather_rows(&t->batch_x, &t->x, &index));
    DLF_TRY(dlf_gather_rows(&t->batch_label, &t->label, &index));
    DLF_TRY(dlf_mlp_forward(m, &t->batch_x));
    DLF_TRY(dlf_softmax_xent_forward(&t->loss, NULL, &m->layer[m->layers].a, &t->batch_label));
    return dlf_mlp_backward(m, &t->batch_x, &t->batch_label, t->spec.loss_scale / m->spec.batch);
}

dlf_status dlf_training_probe(dlf_training *t)
{
    return forward_backward(t);
}

dlf_status dlf_training_step(dlf_training *t)
{
    dlf_mlp *m = t->m;
    DLF_TRY(forward_backward(t));
    const dlf_tensor *g_scale = NULL;
    if (t->spec.max_norm) {
        DLF_TRY(dlf_clip_by_norm(&t->g_scale, &t->norm, &m->grads, &t->max_norm));
        g_scale = &t->g_scale;
    }
    DLF_TRY(dlf_sgd_step(&m->params, &m->velocity, &m->grads, &t->lr, g_scale,
                         (dlf_sgd_args){t->spec.momentum, t->spec.weight_decay}));
    t->step++;
    return DLF_OK;
}

dlf_status dlf_training_loss(dlf_training *t, double *loss)
{
    const int64_t P = t->m->spec.members, B = t->m->spec.batch;
    double *rows = malloc((size_t)(P * B) * sizeof *rows);
    if (!rows) return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    const dlf_status status = dlf_tensor_download_f64(rows, &t->loss);
    for (int64_t p = 0; p < P; p++) {
        double sum = 0.0;
        for (int64_t i = 0; i < B; i++) sum += rows[p * B + i];
        loss[p] = sum / (double)B;
    }
    free(rows);
    return status;
}

/* Loss and hits of rows [at, at+fresh) that stand at the end of a batch of B. */
static dlf_status evaluate_batch(dlf_training *t, int at, int fresh, double *rows, double *loss,
                                 double *hits)
{
    dlf_mlp *m = t->m;
    const int64_t P = m->spec.members, B = m->spec.batch;
    int32_t *index = t->order; /* its contents are on the device already; reuse the memory */
    for (int64_t i = 0; i < B; i++) index[i] = (int32_t)(at + fresh - B + i);
    DLF_TRY(dlf_tensor_upload_i32(&t->eval_index, index));
    DLF_TRY(dlf_gather_rows(&t->eval_x, &t->x, &t->eval_index));
    DLF_TRY(dlf_gather_rows(&t->eval_label, &t->label, &t->eval_index));
    DLF_TRY(dlf_mlp_forward(m, &t->eval_x));
    DLF_TRY(dlf_softmax_xent_forward(&t->loss, &t->hit, &m->layer[m->layers].a, &t->eval_label));
    DLF_TRY(dlf_tensor_download_f64(rows, &t->loss));
    DLF_TRY(dlf_tensor_download_f64(rows + P * B, &t->hit));
    for (int64_t p = 0; p < P; p++)
        for (int64_t i = B - fresh; i < B; i++) {
            loss[p] += rows[p * B + i];
            hits[p] += rows[P * B + p * B + i];
        }
    return DLF_OK;
}

dlf_status dlf_training_evaluate(dlf_training *t, int first, int count, double *loss,
                                 double *accuracy)
{
    const int64_t P = t->m->spec.members;
    const int B = t->m->spec.batch;
    if (first < 0 || count < 1 || first + count > t->data->train + t->data->test ||
        first + count < B)
        return dlf_fail(DLF_ERR_ARG, "evaluate: rows %d..%d are not all in %s (%d rows)", first,
                        first + count - 1, t->data->name, t->data->train + t->data->test);
    dlf_status status = DLF_OK;
    double *rows = malloc((size_t)(2 * P * B) * sizeof *rows);
    double *sums = calloc((size_t)(2 * P), sizeof *sums);
    if (!rows || !sums) {
        status = dlf_fail(DLF_ERR_OOM, "evaluate: out of memory");
        goto done;
    }
    /* The last batch reaches back over rows already counted, so that every batch is full. */
    for (int at = first; at < first + count; at += B) {
        const int fresh = at + B <= first + count ? B : first + count - at;
        DLF_TRY_DONE(evaluate_batch(t, at, fresh, rows, sums, sums + P));
    }
    for (int64_t p = 0; p < P; p++) {
        if (loss) loss[p] = sums[p] / count;
        if (accuracy) accuracy[p] = sums[P + p] / count;
    }
done:
    free(sums);
    free(rows);
    return status;
}
