/* SPDX-License-Identifier: MIT
 * bn_dependent_batches_running.c -- Q25: what evaluation uses are running statistics,
 * r <- (1-m) r + m mu, an exponential average: after t steps the share (1-m)^t of the start is
 * still in it, and of the noise of one batch, 1/B, the share m/(2-m) (1 - (1-m)^2t) stays for ever.
 * A large m forgets fast and is noisy, a small m the other way round. Measured on the running
 * statistics that the library's batch norm keeps. Control: layer norm has none, and does the same
 * in training and evaluation, bit for bit. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bn_dependent_batches.h"
#include "bn_theory.h"
#include "dlf/rng.h"
#include "seed_check.h"

enum { BATCH = 8, STEPS = 80, RATES = 3, EARLY = 20 };
static const double momenta[RATES] = {0.5, 0.1, 0.02};
#define MEAN      3.0
#define DEVIATION 2.0

typedef struct memory {
    int seeds, channels;
    dlf_tensor x, shift, scale, mean, var; /* (S,BATCH,C), (S,C), (S), running (S,C) twice */
    double *host;                          /* (S,C) */
    double *bias, *spread, *square; /* (STEPS+1, S): mean of r, its variance over channels, mean
                                       square distance from the truth */
    double *variance_mean;          /* (S): mean of the running variance at the end */
} memory;

static void memory_free(memory *m)
{
    dlf_tensor *all[] = {&m->x, &m->shift, &m->scale, &m->mean, &m->var};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
    free(m->host);
    free(m->bias);
}

static dlf_status fill(dlf_tensor *t, double *host, double value)
{
    const int64_t n = dlf_tensor_count(t);
    for (int64_t i = 0; i < n; i++) host[i] = value;
    return dlf_tensor_upload_f64(t, host);
}

static dlf_status memory_new(memory *m, dlf_run *run)
{
    dlf_device *dev = dlf_run_device(run);
    const int S = dlf_run_seeds(run), C = dlf_run_int(run, "channels");
    *m = (memory){.seeds = S, .channels = C};
    m->host = malloc((size_t)S * (size_t)C * sizeof *m->host);
    m->bias = malloc((size_t)(3 * (STEPS + 1) * S + S) * sizeof *m->bias);
    if (!m->host || !m->bias) return dlf_fail(DLF_ERR_OOM, "running statistics: out of memory");
    m->spread = m->bias + (STEPS + 1) * S;
    m->square = m->spread + (STEPS + 1) * S;
    m->variance_mean = m->square + (STEPS + 1) * S;
    DLF_TRY(dlf_tensor_new(&m->x, dev, dev->real, S, BATCH, C));
    DLF_TRY(dlf_tensor_new(&m->shift, dev, dev->real, S, C));
    DLF_TRY(dlf_tensor_new(&m->scale, dev, dev->real, S));
    DLF_TRY(dlf_tensor_new(&m->mean, dev, dev->real, S, C));
    DLF_TRY(dlf_tensor_new(&m->var, dev, dev->real, S, C));
    DLF_TRY(fill(&m->shift, m->host, MEAN));
    return fill(&m->scale, m->host, DEVIATION);
}

static dlf_status look(memory *m, int t)
{
    const int S = m->seeds, C = m->channels;
    DLF_TRY(dlf_tensor_download_f64(m->host, &m->mean));
    for (int s = 0; s < S; s++) {
        double mean = 0.0, spread = 0.0, square = 0.0;
        const double *r = m->host + s * C;
        for (int c = 0; c < C; c++) {
            mean += r[c] / C;
            square += (r[c] - MEAN) * (r[c] - MEAN) / C;
        }
        for (int c = 0; c < C; c++) spread += (r[c] - mean) * (r[c] - mean) / (C - 1);
        m->bias[t * S + s] = mean;
        m->spread[t * S + s] = spread;
        m->square[t * S + s] = square;
    }
    return DLF_OK;
}

/* STEPS batches through the library's batch norm. */
static dlf_status average(memory *m, dlf_run *run, double momentum)
{
    const dlf_norm norm = {.kind = DLF_BATCH_NORM, .eps = 1e-5, .momentum = momentum};
    DLF_TRY(fill(&m->mean, m->host, 0.0));
    DLF_TRY(fill(&m->var, m->host, 1.0));
    DLF_TRY(look(m, 0));
    for (int t = 1; t <= STEPS; t++) {
        const dlf_rng rng = {dlf_run_seed(run),
                             dlf_stream(DLF_PURPOSE_INPUT, 0x4000u + (uint32_t)t)};
        DLF_TRY(dlf_random_normal(&m->x, NULL, &m->scale, rng));
        DLF_TRY(dlf_bias_add(&m->x, &m->x, &m->shift));
        DLF_TRY(dlf_norm_forward(
            &(dlf_norm_fwd){
                .y = &m->x, .x = &m->x, .running_mean = &m->mean, .running_var = &m->var},
            &norm));
        DLF_TRY(look(m, t));
    }
    DLF_TRY(dlf_tensor_download_f64(m->host, &m->var));
    for (int s = 0; s < m->seeds; s++) {
        m->variance_mean[s] = 0.0;
        for (int c = 0; c < m->channels; c++)
            m->variance_mean[s] += m->host[s * m->channels + c] / m->channels;
    }
    return DLF_OK;
}

/* ---- report -----------------------------------------------------------------------------------
 */

static double noise(double momentum, int t)
{
    return dlf_ema_spread(momentum, t) * DEVIATION * DEVIATION / BATCH;
}

static dlf_status rows_of(dlf_table *table, const memory *m, const char *id, double momentum)
{
    for (int t = 1; t <= STEPS; t++) {
        const dlf_estimate e = dlf_estimate_of(m->square + t * m->seeds, m->seeds, 1);
        const double bias = MEAN * dlf_ema_bias(momentum, t);
        DLF_TRY(dlf_table_row(table, DLF_TXT(id), DLF_NUM(t), DLF_NUM(sqrt(e.mean)),
                              DLF_NUM(sqrt(fmax(e.lo, 0.0))), DLF_NUM(sqrt(e.hi)),
                              DLF_NUM(sqrt(bias * bias + noise(momentum, t))),
                              DLF_NUM(DEVIATION / sqrt(BATCH))));
    }
    return DLF_OK;
}

/* At m = 0.1, where most libraries start. */
static dlf_status checks(dlf_run *run, memory *m, double momentum)
{
    const int S = m->seeds;
    const double n = (double)S * m->channels;
    double *left = m->bias + EARLY * S;
    dlf_result *r = dlf_run_result(run);
    for (int s = 0; s < S; s++) left[s] = (left[s] - MEAN) / -MEAN;
    dlf_check check =
        dlf_check_of("running_bias",
                     (dlf_text){"动量 0.1：20 步后初值还剩 (1−m)²⁰",
                                "momentum 0.1: after 20 steps (1−m)²⁰ of the start is left"},
                     dlf_estimate_of(left, S, 1));
    check.expected = dlf_ema_bias(momentum, EARLY);
    check.tolerance = 4.0 * sqrt(noise(momentum, EARLY) / n) / MEAN;
    check.source = "closed form: exponential average (bn_theory.h); 4 standard errors";
    DLF_TRY(dlf_result_check(r, check));
    check = dlf_check_of(
        "running_noise",
        (dlf_text){"动量 0.1：滑动均值永远带着单批噪声的 m/(2−m)（方差）",
                   "momentum 0.1: the running mean keeps m/(2−m) of one batch's noise for ever "
                   "(variance)"},
        dlf_estimate_of(m->spread + STEPS * S, S, 1));
    check.expected = noise(momentum, STEPS);
    check.relative = true;
    check.tolerance = fmax(0.01, 4.0 * sqrt(2.0 / n));
    check.source = "closed form: sigma^2/B m/(2-m) (1-(1-m)^2t); 1 % or 4 standard errors of a "
                   "variance";
    DLF_TRY(dlf_result_check(r, check));
    check =
        dlf_check_of("running_variance",
                     (dlf_text){"滑动方差用无偏估计（M−1）：期望是真方差，而训练用的有偏方差小 1/B",
                                "the running variance is unbiased (M−1): its mean is the true one, "
                                "while training uses one that is 1/B too small"},
                     dlf_estimate_of(m->variance_mean, S, 1));
    const double start = dlf_ema_bias(momentum, STEPS), true_variance = DEVIATION * DEVIATION;
    check.expected = true_variance + start * (1.0 - true_variance);
    check.tolerance =
        4.0 * sqrt(2.0 / (BATCH - 1.0) * dlf_ema_spread(momentum, STEPS) / n) * true_variance;
    check.source = "closed form: E = sigma^2 + (1-m)^t (1 - sigma^2); 4 standard errors";
    return dlf_result_check(r, check);
}

/* The largest difference of layer norm's output in evaluation and in training. */
static dlf_status control(dlf_run *run, memory *m)
{
    const size_t n = (size_t)dlf_tensor_count(&m->x);
    const dlf_norm norm = {.kind = DLF_LAYER_NORM, .eps = 1e-5};
    dlf_tensor y = {0};
    dlf_status status;
    float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
    if (!a || !b) {
        status = dlf_fail(DLF_ERR_OOM, "running statistics: out of memory");
        goto done;
    }
    DLF_TRY_DONE(dlf_tensor_init(&y, m->x.device, m->x.dtype, m->x.ndim, m->x.shape));
    DLF_TRY_DONE(dlf_norm_forward(&(dlf_norm_fwd){.y = &y, .x = &m->x}, &norm));
    DLF_TRY_DONE(dlf_tensor_download(a, &y));
    DLF_TRY_DONE(dlf_norm_infer(&(dlf_norm_fwd){.y = &y, .x = &m->x}, &norm));
    DLF_TRY_DONE(dlf_tensor_download(b, &y));
    double most = 0.0;
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - b[i]) <= most)) most = fabs((double)a[i] - b[i]);
    dlf_check check = dlf_check_exact(
        "modes_layer_norm",
        (dlf_text){"对照，层归一化：训练与推理逐位相同（最大差）",
                   "control, layer norm: training and evaluation are the same, bit for "
                   "bit (largest difference)"},
        most);
    check.expected = 0.0;
    check.self_check = true;
    check.source = "identity: layer norm knows no modes";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), check));
done:
    dlf_tensor_free(&y);
    free(b);
    free(a);
    return status;
}

static dlf_status figure(dlf_run *run)
{
    static const char *const ids[RATES] = {"m50", "m10", "m02"};
    static const dlf_text labels[RATES] = {
        {"m = 0.5", "m = 0.5"}, {"m = 0.1", "m = 0.1"}, {"m = 0.02", "m = 0.02"}};
    dlf_figure f = {
        .id = "running",
        .kind = DLF_LINES,
        .title = {"动量大，忘得快但噪声大；动量小，噪声小但忘得慢",
                  "A large momentum forgets fast and is noisy, a small one the other way round"},
        .subtitle = {"滑动均值与真值的均方根距离；批大小 8；虚线 √(偏差² + 方差)，无拟合参数",
                     "running mean, rms distance from the truth; batches of 8; dashed: √(bias² + "
                     "variance), nothing fitted"},
        .x = {{"步数 t", "steps t"}, false},
        .y = {{"均方根误差", "rms error"}, true}};
    for (int i = 0; i < RATES; i++) {
        const dlf_series shared = {
            .table = "running", .where = "momentum", .equals = ids[i], .x = "step", .colour = i};
        f.series[2 * i] = f.series[2 * i + 1] = shared;
        f.series[2 * i].role = DLF_MEASURED;
        f.series[2 * i].y = "error";
        f.series[2 * i].lo = "lo";
        f.series[2 * i].hi = "hi";
        f.series[2 * i].label = labels[i];
        f.series[2 * i + 1].role = DLF_THEORY;
        f.series[2 * i + 1].y = "theory";
        f.series[2 * i + 1].label = i ? (dlf_text){"", ""} : (dlf_text){"公式", "law"};
    }
    f.series[2 * RATES] = (dlf_series){.role = DLF_REFERENCE,
                                       .table = "running",
                                       .where = "momentum",
                                       .equals = ids[0],
                                       .x = "step",
                                       .y = "batch",
                                       .label = {"单批均值 σ/√B", "one batch's mean, σ/√B"}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status all_momenta(dlf_run *run, memory *m, double from, double to)
{
    static const char *const ids[RATES] = {"m50", "m10", "m02"};
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "running",
                             (dlf_text){"滑动均值的误差", "error of the running mean"},
                             (const dlf_column[]){{"momentum", NULL},
                                                  {"step", "steps"},
                                                  {"error", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {"batch", "1"},
                                                  {NULL, NULL}},
                             &table));
    for (int i = 0; i < RATES; i++) {
        DLF_TRY(dlf_run_stage(run, from + (to - from) * i / RATES, "running statistics, m = %g",
                              momenta[i]));
        DLF_TRY(average(m, run, momenta[i]));
        DLF_TRY(rows_of(table, m, ids[i], momenta[i]));
        if (i == 1) DLF_TRY(checks(run, m, momenta[i]));
    }
    DLF_TRY(control(run, m));
    return figure(run);
}

dlf_status dlf_bn_running(dlf_run *run, double from, double to)
{
    memory m;
    dlf_status status = memory_new(&m, run);
    if (status == DLF_OK) status = all_momenta(run, &m, from, to);
    memory_free(&m);
    return status;
}
