/* SPDX-License-Identifier: MIT
 * evaluate.c -- loss and accuracy of a population on rows of the data set; update sizes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph_internal.h"
#include "train/train_internal.h"

/* Row losses and hits are summed here; only rows that are new in a batch count. */
typedef struct tally {
    double *loss, *right; /* (P) */
    double *host;         /* (P,B) */
    bool want_right;
} tally;

static dlf_status place_rows(dlf_train *t, int first)
{
    int32_t *index = malloc((size_t)(t->owners * t->batch) * sizeof *index);
    if (!index) return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    for (int64_t i = 0; i < t->owners * t->batch; i++)
        index[i] = (int32_t)(t->base[i / t->batch] + first + i % t->batch);
    const dlf_status status = dlf_tensor_upload_i32(&t->index, index);
    free(index);
    return status;
}

static dlf_status add_rows(dlf_train *t, tally *y, const dlf_tensor *rows, double scale, int from,
                           int to, double *sum)
{
    DLF_TRY(dlf_tensor_download_f64(y->host, rows));
    for (int p = 0; p < t->members; p++)
        for (int i = from; i < to; i++) sum[p] += scale * y->host[p * t->batch + i];
    return DLF_OK;
}

/* Hits of a graph without a cross-entropy node, from its logits. */
static dlf_status hits_of_logits(dlf_train *t)
{
    const int64_t shape[] = {t->members, t->batch};
    dlf_device *dev = t->g->device;
    if (!t->eval_hit.data) {
        DLF_TRY(dlf_tensor_init(&t->eval_loss, dev, dev->real, 2, shape));
        DLF_TRY(dlf_tensor_init(&t->eval_hit, dev, dev->real, 2, shape));
    }
    return dlf_softmax_xent_forward(&t->eval_loss, &t->eval_hit, dlf_graph_value(t->g, t->logits),
                                    dlf_graph_value(t->g, t->label));
}

/* The batch that starts at row `at`, of which rows from..to-1 count. */
static dlf_status evaluate_batch(dlf_train *t, tally *y, int at, int from, int to)
{
    DLF_TRY(place_rows(t, at));
    dlf_tensor *sources[] = {&t->all_x, &t->all_label, &t->all_target};
    const dlf_node nodes[] = {t->x, t->label, t->target};
    for (int i = 0; i < 3; i++) DLF_TRY(train_gather(t, nodes[i], sources[i]));
    DLF_TRY(dlf_graph_forward(t->g, DLF_EVALUATION));
    for (int k = 0; k < t->losses; k++)
        DLF_TRY(add_rows(t, y, dlf_graph_value(t->g, t->loss[k]), t->scale[k] * t->batch, from, to,
                         y->loss));
    if (!y->want_right) return DLF_OK;
    if (!t->hits.id) DLF_TRY(hits_of_logits(t));
    return add_rows(t, y, t->hits.id ? &t->g->node[t->hits.id].hit : &t->eval_hit, 1.0, from, to,
                    y->right);
}

static dlf_status check_rows(const dlf_train *t, int first, int count, bool accuracy)
{
    const int all = t->data->train + t->data->test - t->last_base;
    if (first < 0 || count < 1 || first > all - count || all < t->batch)
        return dlf_fail(DLF_ERR_ARG,
                        "training: rows %d to %d of %d cannot be evaluated in batches "
                        "of %d",
                        first, first + count - 1, all, t->batch);
    if (accuracy && !t->hits.id && !(t->label.id && dlf_graph_value(t->g, t->logits)))
        return dlf_fail(DLF_ERR_ARG,
                        "training: accuracy needs a cross-entropy, or labels and a kept node "
                        "'logits' (dlf_want_value)");
    return DLF_OK;
}

dlf_status dlf_train_evaluate(dlf_train *t, int first, int count, double *loss, double *accuracy)
{
    const size_t P = (size_t)t->members, B = (size_t)t->batch;
    DLF_TRY(check_rows(t, first, count, accuracy != NULL));
    double *memory = calloc(2 * P + P * B, sizeof *memory);
    if (!memory) return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    tally y = {memory, memory + P, memory + 2 * P, accuracy != NULL};
    dlf_status status = DLF_OK;
    /* where a full batch still fits */
    const int last = t->data->train + t->data->test - t->last_base - t->batch;
    for (int done = 0; done < count && status == DLF_OK; done += t->batch) {
        const int wanted = first + done, at = wanted < last ? wanted : last;
        const int fresh = count - done < t->batch ? count - done : t->batch;
        status = evaluate_batch(t, &y, at, wanted - at, wanted - at + fresh);
    }
    for (size_t p = 0; p < P && status == DLF_OK; p++) {
        if (loss) loss[p] = y.loss[p] / count;
        if (accuracy) accuracy[p] = y.right[p] / count;
    }
    free(memory);
    return status;
}

/* ---- how far a step goes ---- */

static double row_rms(const double *x, int64_t n)
{
    double square = 0.0;
    for (int64_t i = 0; i < n; i++) square += x[i] * x[i];
    return sqrt(square / (double)n);
}

dlf_status dlf_train_update_ratio(dlf_train *t, double *out)
{
    dlf_status status;
    const dlf_tensor *w = dlf_graph_parameters(t->g);
    const int64_t n = w->shape[1], count = dlf_tensor_count(w);
    double *before = malloc(2 * (size_t)count * sizeof *before), *after = before + count;
    if (!before) return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    DLF_TRY_DONE(dlf_tensor_download_f64(before, w));
    DLF_TRY_DONE(dlf_train_step(t));
    DLF_TRY_DONE(dlf_tensor_download_f64(after, w));
    for (int64_t i = 0; i < count; i++) after[i] -= before[i];
    for (int id = 1, k = 0; id <= t->g->nodes; id++) {
        const graph_node *node = &t->g->node[id];
        if (!node->parameter) continue;
        const int64_t size = graph_elements(node) / t->members;
        for (int p = 0; p < t->members; p++) {
            const int64_t at = p * n + node->offset;
            out[k * t->members + p] = row_rms(after + at, size) / row_rms(before + at, size);
        }
        k++;
    }
done:
    free(before);
    return status;
}
