/* SPDX-License-Identifier: MIT
 * softmax_xent_cpu.c -- softmax cross-entropy in blocks of rows.
 *
 * With ten classes a row is shorter than a SIMD register, so the exponentials of a whole block are
 * taken in one flat loop. Sums of a row are in double; the label's entry of the gradient is
 * (e - sum)/sum, which keeps its digits when the prediction is almost sure. */
#include "cpu.h"
#include "cpu_math.h"

enum {
    ROWS = 32,    /* most rows per task                                         */
    LANES = 64,   /* of a maximum: four registers of the widest kind             */
    BUFFER = 4096 /* exponentials at a time in the forward pass: 16 KiB of stack */
};

typedef struct rows {
    int64_t C, first, count; /* columns; first row of the member, and how many */
    int64_t p;
} rows;

/* Task -> rows. A row of C > BUFFER classes is a task of its own. */
static int64_t rows_per_task(int64_t C)
{
    const int64_t fit = BUFFER / C;
    return fit < 1 ? 1 : fit < ROWS ? fit : ROWS;
}

static rows rows_of_task(int64_t task, int64_t B, int64_t C)
{
    const int64_t per = rows_per_task(C), tasks = (B + per - 1) / per;
    const int64_t first = task % tasks * per;
    return (rows){
        .C = C, .first = first, .count = B - first < per ? B - first : per, .p = task / tasks};
}

static int64_t task_count(int64_t P, int64_t B, int64_t C)
{
    const int64_t per = rows_per_task(C);
    return P * ((B + per - 1) / per);
}

/* A NaN may be missed here; it shows in the sum of the exponentials. One comparison waits for the
 * other, so a long row is looked at as LANES rows side by side. */
static float row_max(const float *z, int64_t C)
{
    float max = -INFINITY, lane[LANES];
    int64_t c = 0;
    if (C >= 2 * LANES) {
        for (int k = 0; k < LANES; k++) lane[k] = -INFINITY;
        for (; c + LANES <= C; c += LANES) {
#pragma omp simd
            for (int k = 0; k < LANES; k++) lane[k] = z[c + k] > lane[k] ? z[c + k] : lane[k];
        }
        for (int k = 0; k < LANES; k++) max = lane[k] > max ? lane[k] : max;
    }
    for (; c < C; c++) max = z[c] > max ? z[c] : max;
    return max;
}

/* e[r,c] = exp(z[r,c] - max[r]) for `count` rows of `width`, `pitch` apart in z, dense in e.
 * e may be z when the rows are dense there too. */
static void shifted_exp(float *e, const float *z, int64_t pitch, const float *max, int64_t count,
                        int64_t width)
{
    for (int64_t r = 0; r < count; r++) {
#pragma omp simd
        for (int64_t c = 0; c < width; c++) e[r * width + c] = z[r * pitch + c] - max[r];
    }
#pragma omp simd
    for (int64_t i = 0; i < count * width; i++) e[i] = vm_exp_nonpos(e[i]);
}

static double sum_of(const float *e, int64_t n)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < n; c++) sum += (double)e[c];
    return sum;
}

/* Is `label` the first column that holds the maximum? A row with a NaN has no maximum. */
static bool is_argmax(const float *z, int64_t C, int64_t label, float max, double sum)
{
    if (z[label] != max) return false;
    for (int64_t c = 0; c < label; c++)
        if (z[c] == max) return false;
    if (isnan(sum)) /* a NaN in the row, or an Inf - Inf */
        for (int64_t c = 0; c < C; c++)
            if (isnan(z[c])) return false;
    return true;
}

static const int32_t *labels_of(const dlf_tensor *labels, int64_t p)
{
    return (const int32_t *)labels->data + (labels->shape[0] == 1 ? 0 : p) * labels->stride;
}

static void forward_rows(float *loss, float *hit, const float *z, const int32_t *label, rows block)
{
    const int64_t C = block.C;
    float max[ROWS], e[BUFFER];
    double sum[ROWS] = {0};
    for (int64_t r = 0; r < block.count; r++) max[r] = row_max(z + r * C, C);
    for (int64_t c = 0; c < C; c += BUFFER) { /* more than one round only for a single long row */
        const int64_t width = C - c < BUFFER ? C - c : BUFFER;
        shifted_exp(e, z + c, C, max, block.count, width);
        for (int64_t r = 0; r < block.count; r++) sum[r] += sum_of(e + r * width, width);
    }
    for (int64_t r = 0; r < block.count; r++) {
        const float *z_r = z + r * C;
        const bool valid = label[r] >= 0 && label[r] < C;
        loss[r] = NAN;
        if (valid) loss[r] = (float)(log(sum[r]) - ((double)z_r[label[r]] - (double)max[r]));
        if (hit) hit[r] = valid && is_argmax(z_r, C, label[r], max[r], sum[r]) ? 1.0f : 0.0f;
    }
}

dlf_status DLF_CPU(softmax_xent_forward)(dlf_tensor *loss, dlf_tensor *hit,
                                         const dlf_tensor *logits, const dlf_tensor *labels)
{
    const int64_t P = logits->shape[0], B = logits->shape[1], C = logits->shape[2];
    const int threads = dlf_cpu_threads(logits, 4.0 * (double)(P * B * C));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < task_count(P, B, C); task++) {
        const rows block = rows_of_task(task, B, C);
        const int64_t p = block.p, i = block.first;
        forward_rows((float *)loss->data + p * loss->stride + i,
                     hit ? (float *)hit->data + p * hit->stride + i : NULL,
                     (const float *)logits->data + p * logits->stride + i * C,
                     labels_of(labels, p) + i, block);
    }
    return DLF_OK;
}

static void backward_rows(float *dz, const float *z, const int32_t *label, float scale, rows block)
{
    const int64_t C = block.C;
    float max[ROWS];
    for (int64_t r = 0; r < block.count; r++) max[r] = row_max(z + r * C, C);
    shifted_exp(dz, z, C, max, block.count, C);
    for (int64_t r = 0; r < block.count; r++) {
        float *dz_r = dz + r * C;
        const double sum = sum_of(dz_r, C);
        const bool valid = label[r] >= 0 && label[r] < C;
        const float factor = valid ? (float)((double)scale / sum) : NAN;
        const double at_label = valid ? ((double)dz_r[label[r]] - sum) / sum : 0.0;
#pragma omp simd
        for (int64_t c = 0; c < C; c++) dz_r[c] *= factor;
        if (valid) dz_r[label[r]] = (float)((double)scale * at_label);
    }
}

dlf_status DLF_CPU(softmax_xent_backward)(dlf_tensor *dlogits, const dlf_tensor *logits,
                                          const dlf_tensor *labels, double scale)
{
    const int64_t P = logits->shape[0], B = logits->shape[1], C = logits->shape[2];
    const int threads = dlf_cpu_threads(logits, 4.0 * (double)(P * B * C));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < task_count(P, B, C); task++) {
        const rows block = rows_of_task(task, B, C);
        const int64_t p = block.p, i = block.first;
        backward_rows((float *)dlogits->data + p * dlogits->stride + i * C,
                      (const float *)logits->data + p * logits->stride + i * C,
                      labels_of(labels, p) + i, (float)scale, block);
    }
    return DLF_OK;
}
