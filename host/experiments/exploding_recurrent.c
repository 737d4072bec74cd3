/* SPDX-License-Identifier: MIT
 * exploding_recurrent.c -- Q8 through time: orthogonal and Gaussian recurrent matrices, the LSTM
 * carousel. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "exploding.h"

enum { WIDTH = 64 };

/* ---- h_{t+1} = rho Q h_t: dh_T/dh_0 v has length rho^T exactly ----------------------------------
 */

static const double rhos[] = {0.9, 1.0, 1.1};
static const char *const rho_ids[] = {"0.9", "1.0", "1.1"};
enum { RHOS = sizeof rhos / sizeof rhos[0] };

/* Rows of a random orthogonal matrix: Gram-Schmidt on Gaussian rows, twice for double precision. */
static void orthogonal(double *q, uint64_t seed, uint32_t member)
{
    for (int i = 0; i < WIDTH; i++) {
        double *row = q + i * WIDTH;
        for (int j = 0; j < WIDTH; j++)
            row[j] = (double)dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 0), member,
                                            (uint64_t)(i * WIDTH + j));
        for (int pass = 0; pass < 2; pass++)
            for (int k = 0; k < i; k++) {
                double dot = 0.0;
                for (int j = 0; j < WIDTH; j++) dot += row[j] * q[k * WIDTH + j];
                for (int j = 0; j < WIDTH; j++) row[j] -= dot * q[k * WIDTH + j];
            }
        double square = 0.0;
        for (int j = 0; j < WIDTH; j++) square += row[j] * row[j];
        for (int j = 0; j < WIDTH; j++) row[j] /= sqrt(square);
    }
}

/* growth[t * P + p] = |v_t| / |v_0| for v_{t+1} = W_p v_t on `device`; w is (P,N,N). */
static dlf_status iterate(dlf_device *device, uint64_t seed, const double *w, int P, int T,
                          double *growth)
{
    dlf_status status;
    dlf_tensor wt = {0}, v = {0}, next = {0}, moments = {0};
    double *host = malloc((size_t)P * DLF_MOMENTS * sizeof *host);
    if (!host) return dlf_fail(DLF_ERR_OOM, "rnn: out of memory");
    DLF_TRY_DONE(dlf_tensor_new(&wt, device, device->real, P, WIDTH, WIDTH));
    DLF_TRY_DONE(dlf_tensor_new(&v, device, device->real, P, 1, WIDTH));
    DLF_TRY_DONE(dlf_tensor_new(&next, device, device->real, P, 1, WIDTH));
    DLF_TRY_DONE(dlf_tensor_new(&moments, device, DLF_F64, P, DLF_MOMENTS));
    DLF_TRY_DONE(dlf_tensor_upload_f64(&wt, w));
    DLF_TRY_DONE(
        dlf_random_normal(&v, NULL, NULL, (dlf_rng){seed, dlf_stream(DLF_PURPOSE_INPUT, 0)}));
    for (int t = 0; t <= T; t++) {
        DLF_TRY_DONE(dlf_moments(&moments, &v));
        DLF_TRY_DONE(dlf_tensor_download_f64(host, &moments));
        for (int p = 0; p < P; p++) {
            growth[t * P + p] = sqrt(host[p * DLF_MOMENTS + DLF_MOMENT_SUM_SQUARES]);
            if (t > 0) growth[t * P + p] /= growth[p];
        }
        DLF_TRY_DONE(dlf_gemm(&next, &v, &wt, (dlf_gemm_args){.trans_b = true, .alpha = 1.0}));
        DLF_TRY_DONE(dlf_tensor_copy(&v, &next));
    }
    for (int p = 0; p < P; p++) growth[p] = 1.0;
done:
    dlf_tensor_free(&moments);
    dlf_tensor_free(&next);
    dlf_tensor_free(&v);
    dlf_tensor_free(&wt);
    free(host);
    return status;
}

static dlf_status rnn_table(dlf_run *run, const double *growth, int seeds, int T)
{
    dlf_table *table;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "rnn",
        (dlf_text){"h ← ρQh：|dh_T/dh_0 v| / |v|", "h <- rho Q h: |dh_T/dh_0 v| / |v|"},
        (const dlf_column[]){{"rho", NULL},
                             {"t", "step"},
                             {"growth", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {NULL, NULL}},
        &table));
    for (int i = 0; i < RHOS; i++)
        for (int t = 0; t <= T; t++) {
            const dlf_estimate e = dlf_estimate_of(growth + t * RHOS * seeds + i * seeds, seeds, 1);
            DLF_TRY(dlf_table_row(table, DLF_TXT(rho_ids[i]), DLF_NUM(t), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(pow(rhos[i], t))));
        }
    return DLF_OK;
}

/* Worst relative deviation from rho^T over all seeds and rhos. */
static double worst_error(const double *growth, int seeds, int T)
{
    double worst = 0.0;
    for (int i = 0; i < RHOS; i++)
        for (int s = 0; s < seeds; s++) {
            const double theory = pow(rhos[i], T);
            const double e = fabs(growth[T * RHOS * seeds + i * seeds + s] - theory) / theory;
            if (!(e <= worst)) worst = e;
        }
    return worst;
}

static const char rnn_identity[] =
    "identity: |rho Q v| = rho |v| for orthogonal Q; worst relative error over seeds and rho";

static dlf_status rnn_figure(dlf_run *run)
{
    static char labels[RHOS][24];
    dlf_figure figure = {
        .id = "rnn",
        .kind = DLF_LINES,
        .title = {"循环网络的梯度按 ρᵀ 消失或爆炸；只有 ρ = 1 保持不变",
                  "Through time the gradient vanishes or explodes as ρᵀ; only ρ = 1 keeps it"},
        .subtitle = {"线性循环 h ← ρQh，Q 为随机正交阵，64 个单元",
                     "linear recurrence h ← ρQh, Q random orthogonal, 64 units"},
        .x = {{"时间步 T", "time steps T"}, false},
        .y = {{"|∂h_T/∂h₀ v| / |v|", "|∂h_T/∂h₀ v| / |v|"}, true},
        .residuals = true};
    for (int i = 0; i < RHOS; i++) {
        snprintf(labels[i], sizeof labels[i], "ρ = %s", rho_ids[i]);
        figure.series[2 * i] = (dlf_series){.role = rhos[i] == 1.0 ? DLF_CONTROL : DLF_MEASURED,
                                            .table = "rnn",
                                            .where = "rho",
                                            .equals = rho_ids[i],
                                            .x = "t",
                                            .y = "growth",
                                            .lo = "lo",
                                            .hi = "hi",
                                            .label = {labels[i], labels[i]},
                                            .colour = i};
        figure.series[2 * i + 1] = (dlf_series){.role = DLF_THEORY,
                                                .table = "rnn",
                                                .where = "rho",
                                                .equals = rho_ids[i],
                                                .x = "t",
                                                .y = "theory",
                                                .label = {"ρᵀ", "ρᵀ"},
                                                .colour = i};
    }
    return dlf_result_figure(dlf_run_result(run), &figure);
}

/* A Gaussian matrix of gain g is not g^T at finite width: its spectral radius exceeds g. One matrix
 * fluctuates by several per cent, so that many are needed whatever the number of seeds. */
enum { MATRICES = 128 };

static dlf_status gaussian_check(dlf_run *run, int T)
{
    dlf_status status;
    double *w = malloc((size_t)MATRICES * WIDTH * WIDTH * sizeof *w);
    double *growth = malloc((size_t)MATRICES * (size_t)(T + 1) * sizeof *growth);
    if (!w || !growth) {
        status = dlf_fail(DLF_ERR_OOM, "rnn: out of memory");
        goto done;
    }
    const uint32_t stream = dlf_stream(DLF_PURPOSE_WEIGHTS, 1);
    for (uint32_t m = 0; m < MATRICES; m++)
        for (uint32_t i = 0; i < WIDTH * WIDTH; i++)
            w[m * WIDTH * WIDTH + i] =
                (double)dlf_rng_normal(dlf_run_seed(run), stream, m, i) / sqrt(WIDTH);
    DLF_TRY_DONE(iterate(dlf_run_device(run), dlf_run_seed(run), w, MATRICES, T, growth));
    for (int m = 0; m < MATRICES; m++) growth[m] = pow(growth[T * MATRICES + m], 1.0 / T);
    const dlf_estimate e = dlf_estimate_of(growth, MATRICES, 1);
    DLF_TRY_DONE(dlf_result_check(
        dlf_run_result(run),
        (dlf_check){
            .id = "gaussian_gain",
            .claim = {"宽 64 的高斯循环矩阵即使增益 g = 1，梯度每步也增长：临界值不是 g = 1",
                      "a Gaussian recurrent matrix of width 64 and gain g = 1 still grows "
                      "per step: g = 1 is not the critical gain"},
            .measured = e.lo,
            .lo = e.lo,
            .hi = e.hi,
            .n = e.n,
            .expected = 1.0,
            .relation = DLF_AT_LEAST,
            .source = "finite-size spectral radius of the Ginibre ensemble exceeds 1 on "
                      "average; divide by the measured radius instead",
            .note = "measured is the lower end of the interval of the growth per step of "
                    "|W^T v| over 128 matrices"}));
    status = dlf_result_fact(dlf_run_result(run), "gaussian_growth", e.mean, "1");
done:
    free(growth);
    free(w);
    return status;
}

dlf_status dlf_exploding_rnn(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run), P = RHOS * seeds, T = dlf_run_int(run, "time");
    dlf_status status;
    dlf_device *ref = NULL;
    double *w = malloc((size_t)P * WIDTH * WIDTH * sizeof *w);
    double *growth = malloc((size_t)P * (size_t)(T + 1) * sizeof *growth);
    if (!w || !growth) {
        status = dlf_fail(DLF_ERR_OOM, "rnn: out of memory");
        goto done;
    }
    DLF_TRY_DONE(dlf_run_stage(run, from, "recurrent products"));
    for (int s = 0; s < seeds; s++) {
        double *q = w + (size_t)s * WIDTH * WIDTH;
        orthogonal(q, dlf_run_seed(run), (uint32_t)s);
    }
    for (int i = RHOS - 1; i >= 0; i--)
        for (size_t j = 0; j < (size_t)seeds * WIDTH * WIDTH; j++)
            w[(size_t)i * (size_t)seeds * WIDTH * WIDTH + j] = rhos[i] * w[j];
    DLF_TRY_DONE(iterate(dlf_run_device(run), dlf_run_seed(run), w, P, T, growth));
    DLF_TRY_DONE(rnn_table(run, growth, seeds, T));
    DLF_TRY_DONE(dlf_identity_check(run, "rnn_rho_device",
                                    (dlf_text){"设备上（单精度）：|∂h_T/∂h₀ v| = ρᵀ|v|",
                                               "on the device (float32): |dh_T/dh_0 v| = ρᵀ|v|"},
                                    worst_error(growth, seeds, T), 1e-4, rnn_identity));
    DLF_TRY_DONE(dlf_run_stage(run, 0.5 * (from + to), "recurrent products in double"));
    DLF_TRY_DONE(dlf_device_open(&ref, "ref"));
    DLF_TRY_DONE(iterate(ref, dlf_run_seed(run), w, P, T, growth));
    DLF_TRY_DONE(dlf_identity_check(run, "rnn_rho_double",
                                    (dlf_text){"双精度定义：|∂h_T/∂h₀ v| = ρᵀ|v|",
                                               "the definition in double: |dh_T/dh_0 v| = ρᵀ|v|"},
                                    worst_error(growth, seeds, T), 1e-10, rnn_identity));
    DLF_TRY_DONE(rnn_figure(run));
    DLF_TRY_DONE(gaussian_check(run, T));
done:
    dlf_device_close(ref);
    free(growth);
    free(w);
    return status;
}

/* ---- LSTM: the carousel forgets at a rate set by one bias
 * ---------------------------------------- */

enum { CELLS = 16 };

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

/* c_T of one LSTM cell started from c_0: all four gates, random input weights on i, g, o, recurrent
 * weight `u` on every gate, forget bias b_f. */
static double lstm(uint64_t seed, uint32_t cell, double b_f, double u, double c, int T)
{
    const uint32_t weights = dlf_stream(DLF_PURPOSE_WEIGHTS, 2);
    double in[3], h = 0.0;
    for (uint64_t gate = 0; gate < 3; gate++)
        in[gate] = (double)dlf_rng_normal(seed, weights, cell, gate);
    for (int t = 0; t < T; t++) {
        const uint32_t stream = dlf_stream(DLF_PURPOSE_INPUT, (uint32_t)t + 1);
        const double x = (double)dlf_rng_normal(seed, stream, 0, 0);
        const double i = sigmoid(in[0] * x + u * h), g = tanh(in[1] * x + u * h);
        const double o = sigmoid(in[2] * x + u * h), f = sigmoid(b_f + u * h);
        c = f * c + i * g;
        h = o * tanh(c);
    }
    return c;
}

/* dc_T/dc_0 by a central difference, mean over cells; exact where c_T is linear in c_0. */
static double carousel(uint64_t seed, double b_f, double u, int T)
{
    double mean = 0.0;
    for (uint32_t k = 0; k < CELLS; k++)
        mean += 0.5 * (lstm(seed, k, b_f, u, 1.0, T) - lstm(seed, k, b_f, u, -1.0, T)) / CELLS;
    return mean;
}

dlf_status dlf_exploding_lstm(dlf_run *run)
{
    static const double biases[] = {0.0, 1.0, 3.0};
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "carousel",
                             (dlf_text){"LSTM 记忆的半衰期", "half-life of the LSTM memory"},
                             (const dlf_column[]){{"b_f", "1"},
                                                  {"gradient_20", "1"},
                                                  {"half_life", "step"},
                                                  {"half_life_theory", "step"},
                                                  {NULL, NULL}},
                             &table));
    double worst = 0.0;
    for (size_t i = 0; i < sizeof biases / sizeof biases[0]; i++) {
        const double gradient = carousel(dlf_run_seed(run), biases[i], 0.0, 20);
        const double half = 20.0 * log(0.5) / log(gradient);
        const double theory = log(2.0) / -log(sigmoid(biases[i]));
        if (!(fabs(half / theory - 1.0) <= worst)) worst = fabs(half / theory - 1.0);
        DLF_TRY(dlf_table_row(table, DLF_NUM(biases[i]), DLF_NUM(gradient), DLF_NUM(half),
                              DLF_NUM(theory)));
        char fact[32];
        snprintf(fact, sizeof fact, "half_life_b%d", (int)biases[i]);
        DLF_TRY(dlf_result_fact(dlf_run_result(run), fact, half, "step"));
    }
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "lstm_half_life",
                    .claim = {"LSTM 的记忆半衰期只由遗忘门偏置决定：ln2 / −ln σ(b_f)",
                              "the LSTM's memory half-life is set by the forget bias alone: ln2 / "
                              "-ln σ(b_f)"},
                    .measured = worst,
                    .lo = NAN,
                    .hi = NAN,
                    .n = 0,
                    .expected = 0.0,
                    .tolerance = 1e-6,
                    .relation = DLF_AT_MOST,
                    .source = "closed form dc_T/dc_0 = sigmoid(b_f)^T for zero recurrent weights "
                              "(Hochreiter & Schmidhuber 1997; Gers et al. 2000)",
                    .self_check = true,
                    .note = "worst relative error over b_f = 0, 1, 3"});
}
