/* SPDX-License-Identifier: MIT
 * fourier_spectrum.c -- Q37: the Fourier transform diagonalises convolution layers: all singular
 * values of a layer, and with them how much it can amplify, from its kernel (Sedghi, Gupta & Long
 * 2019). Control: the norm of the kernel as a matrix, which is not the layer's. */
#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "dlf/theory.h"
#include "figures.h"
#include "fourier.h"
#include "host_arrays.h"
#include "seed_check.h"

/* C inputs and outputs, N x N positions on a torus, K x K taps. */
enum { C = 2, N = 8, K = 3, UNITS = C * N * N, PADDED = N + K - 1 };

/* Row u of the matrix of the layer, transposed: what it makes of unit u. */
static dlf_status matrix(dlf_device *device, const double *w, double *a)
{
    const int64_t x_shape[4] = {UNITS, C, PADDED, PADDED}, w_shape[4] = {C, C, K, K};
    double *x = calloc((size_t)UNITS * C * PADDED * PADDED, sizeof *x);
    if (!x) return dlf_fail(DLF_ERR_OOM, "fourier: out of memory");
    for (int u = 0; u < UNITS; u++)
        for (int i = 0; i < PADDED; i++)
            for (int j = 0; j < PADDED; j++) {
                const int c = u / (N * N), row = u / N % N, column = u % N;
                if (i % N == row && j % N == column)
                    x[(((long)u * C + c) * PADDED + i) * PADDED + j] = 1.0;
            }
    const dlf_status status =
        host_conv(device, a, x, x_shape, w, w_shape, dlf_conv_of(DLF_NCHW, K, 1, 0));
    free(x);
    return status;
}

/* Squares of the singular values, descending, by the matrix itself. */
static dlf_status by_matrix(dlf_device *device, const double *w, double *square)
{
    double *a = malloc(2 * (size_t)UNITS * UNITS * sizeof *a), *gram = a + (long)UNITS * UNITS;
    if (!a) return dlf_fail(DLF_ERR_OOM, "fourier: out of memory");
    const dlf_status status = matrix(device, w, a);
    for (int i = 0; i < UNITS && status == DLF_OK; i++)
        for (int j = 0; j < UNITS; j++) {
            double sum = 0.0;
            for (int k = 0; k < UNITS; k++) sum += a[i * UNITS + k] * a[j * UNITS + k];
            gram[i * UNITS + j] = sum;
        }
    if (status == DLF_OK) dlf_symmetric_eigen(gram, UNITS, square, NULL);
    free(a);
    return status;
}

static int descending(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return (a < b) - (a > b);
}

/* Squares of the singular values of a 2 x 2 complex matrix: their sum is its squared length, their
 * product |det|^2. */
static void two_by_two(const double complex p[C][C], double square[C])
{
    double sum = 0.0;
    for (int i = 0; i < C; i++)
        for (int j = 0; j < C; j++) sum += creal(p[i][j] * conj(p[i][j]));
    const double det = cabs(p[0][0] * p[1][1] - p[0][1] * p[1][0]);
    const double root = sqrt(fmax(0.0, sum * sum - 4.0 * det * det));
    square[0] = 0.5 * (sum + root);
    square[1] = square[0] > 0.0 ? det * det / square[0] : 0.0;
}

/* The same, frequency by frequency, from the kernel. */
static void by_fourier(const double *w, double *square)
{
    for (int u = 0; u < N; u++)
        for (int v = 0; v < N; v++) {
            double complex p[C][C];
            for (int o = 0; o < C; o++)
                for (int c = 0; c < C; c++) {
                    p[o][c] = 0.0;
                    for (int r = 0; r < K; r++)
                        for (int s = 0; s < K; s++)
                            p[o][c] += w[((o * C + c) * K + r) * K + s] *
                                       cexp(2.0 * M_PI * I * (u * r + v * s) / N);
                }
            two_by_two(p, square + (u * N + v) * C);
        }
    qsort(square, UNITS, sizeof *square, descending);
}

/* Largest singular value of the kernel as a C x (C K K) matrix. */
static double reshaped_norm(const double *w)
{
    double gram[C * C], square[C];
    for (int i = 0; i < C; i++)
        for (int j = 0; j < C; j++) {
            gram[i * C + j] = 0.0;
            for (int k = 0; k < C * K * K; k++)
                gram[i * C + j] += w[i * C * K * K + k] * w[j * C * K * K + k];
        }
    dlf_symmetric_eigen(gram, C, square, NULL);
    return sqrt(square[0]);
}

static dlf_status add_checks(dlf_run *run, double worst, const double *ratio)
{
    dlf_check c = dlf_check_exact(
        "layer_spectrum",
        (dlf_text){"循环卷积层的全部奇异值就是各频率上小矩阵的奇异值（最大差 / 最大奇异值）",
                   "all singular values of a circular convolution layer are those of one small "
                   "matrix per frequency (largest difference over the largest value)"},
        worst);
    c.expected = 1e-5;
    c.relation = DLF_AT_MOST;
    c.self_check = true;
    c.source = "identity: Sedghi, Gupta & Long 2019, theorem 6; rounding of float32 only";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    c = dlf_check_of(
        "reshaped_norm",
        (dlf_text){
            "对照：把核摊成矩阵，其谱范数就是层的范数（层的范数 / 摊平后的范数）",
            "control: the spectral norm of the kernel as a matrix is the layer's (layer over "
            "kernel)"},
        dlf_estimate_of(ratio, dlf_run_seeds(run), 1));
    c.expected = 1.0;
    c.tolerance = 0.1;
    c.source = "the two agree for 1x1 kernels only; at most K times as large";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status measure(dlf_run *run, dlf_table *t, double *ratio, double *worst)
{
    double w[C * C * K * K], matrix_square[UNITS], fourier_square[UNITS];
    for (int s = 0; s < dlf_run_seeds(run); s++) {
        host_normal(w, C * C * K * K, 1.0 / (K * sqrt(C)), dlf_run_seed(run),
                    dlf_stream(DLF_PURPOSE_WEIGHTS, 38), (uint32_t)s);
        by_fourier(w, fourier_square);
        ratio[s] = sqrt(fourier_square[0]) / reshaped_norm(w);
        if (s > 0) continue; /* the definition needs seconds */
        DLF_TRY(by_matrix(dlf_run_device(run), w, matrix_square));
        for (int i = 0; i < UNITS; i++) {
            const double a = sqrt(fmax(matrix_square[i], 0.0)), b = sqrt(fourier_square[i]);
            if (!(fabs(a - b) / sqrt(fourier_square[0]) <= *worst))
                *worst = fabs(a - b) / sqrt(fourier_square[0]);
            DLF_TRY(dlf_table_row(t, DLF_NUM(i + 1), DLF_NUM(a), DLF_NUM(b),
                                  DLF_NUM(reshaped_norm(w))));
        }
    }
    return DLF_OK;
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "spectrum",
        .kind = DLF_LINES,
        .title = {"一次傅里叶变换给出卷积层的全部奇异值",
                  "A Fourier transform of the kernel gives all singular values of the layer"},
        .subtitle = {"循环卷积，2 进 2 出，3×3 核，8×8 个位置；点线：把核摊成矩阵的谱范数",
                     "circular convolution, 2 channels, 3×3, on 8×8 positions; dotted: norm of the "
                     "kernel as a matrix"},
        .x = {{"名次", "rank"}, false},
        .y = {{"奇异值", "singular value"}, false}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "spectrum",
                               .x = "rank",
                               .y = "matrix",
                               .label = {"层的矩阵", "matrix of the layer"},
                               .colour = 0,
                               .points = true};
    dlf_theory_of(&f, 0, 1, "fourier");
    f.series[1].label = (dlf_text){"核的傅里叶变换", "Fourier transform of the kernel"};
    f.series[2] = (dlf_series){.role = DLF_REFERENCE,
                               .table = "spectrum",
                               .x = "rank",
                               .y = "reshaped",
                               .label = {"对照：核摊成矩阵", "control: kernel as a matrix"}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_fourier_spectrum(dlf_run *run, double from, double to)
{
    (void)to;
    dlf_table *t;
    double worst = 0.0, *ratio = malloc((size_t)dlf_run_seeds(run) * sizeof *ratio);
    if (!ratio) return dlf_fail(DLF_ERR_OOM, "fourier: out of memory");
    dlf_status status;
    DLF_TRY_DONE(dlf_run_stage(run, from, "singular values of a layer"));
    DLF_TRY_DONE(dlf_result_table(
        dlf_run_result(run), "spectrum",
        (dlf_text){"一个卷积层的奇异值", "singular values of a convolution layer"},
        (const dlf_column[]){
            {"rank", "1"}, {"matrix", "1"}, {"fourier", "1"}, {"reshaped", "1"}, {NULL, NULL}},
        &t));
    DLF_TRY_DONE(measure(run, t, ratio, &worst));
    DLF_TRY_DONE(add_checks(run, worst, ratio));
    status = figure(run);
done:
    free(ratio);
    return status;
}
