/* SPDX-License-Identifier: MIT
 * hidden_layers_theory.c -- Q17: closed forms and estimators. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/theory.h"
#include "hidden_layers.h"
#include "least_squares.h"

/* ---- unconstrained features ---- */

double dlf_unconstrained_threshold(int classes, int rows)
{
    return 1.0 / (classes * sqrt(rows));
}

double dlf_unconstrained_margin(int classes, int rows, double decay)
{
    if (decay >= dlf_unconstrained_threshold(classes, rows)) return 0.0;
    return log(1.0 / (decay * sqrt(rows)) - (classes - 1.0));
}

/* ---- collapse ---- */

typedef struct class_means {
    int classes, D;
    double *mean;   /* (C,D) */
    double *m;      /* (C,D): the mean of the class means taken off */
    double *count;  /* (C)   */
    double *square; /* (C): |m_c|^2 */
} class_means;

static void find_means(class_means *k, const float *h, const int32_t *label, int rows)
{
    const int C = k->classes, D = k->D;
    for (int i = 0; i < rows; i++) {
        double *mean = k->mean + (size_t)label[i] * (size_t)D;
        k->count[label[i]] += 1.0;
        for (int d = 0; d < D; d++) mean[d] += h[(size_t)i * (size_t)D + (size_t)d];
    }
    for (int c = 0; c < C; c++)
        for (int d = 0; d < D; d++) k->mean[c * D + d] /= k->count[c];
    for (int d = 0; d < D; d++) {
        double centre = 0.0;
        for (int c = 0; c < C; c++) centre += k->mean[c * D + d] / C;
        for (int c = 0; c < C; c++) k->m[c * D + d] = k->mean[c * D + d] - centre;
    }
    for (int c = 0; c < C; c++)
        for (int d = 0; d < D; d++) k->square[c] += k->m[c * D + d] * k->m[c * D + d];
}

/* g = M M^T (C,C) */
static void gram_of(const class_means *k, double *g)
{
    const int C = k->classes, D = k->D;
    for (int a = 0; a < C; a++)
        for (int b = 0; b <= a; b++) {
            double sum = 0.0;
            for (int d = 0; d < D; d++) sum += k->m[a * D + d] * k->m[b * D + d];
            g[a * C + b] = g[b * C + a] = sum;
        }
}

/* s (C,C) = M S_W M^T; returns tr S_W. Deviations are taken one by one and in double: mean of h^2
 * minus square of the mean would lose what is left of a collapsed class. */
static double scatter(const class_means *k, const float *h, const int32_t *label, int rows,
                      double *deviation, double *s)
{
    const int C = k->classes, D = k->D;
    double trace = 0.0;
    for (int i = 0; i < rows; i++) {
        const double *mean = k->mean + (size_t)label[i] * (size_t)D;
        double along[DLF_CLASSES_MAX];
        for (int d = 0; d < D; d++) {
            deviation[d] = h[(size_t)i * (size_t)D + (size_t)d] - mean[d];
            trace += deviation[d] * deviation[d];
        }
        for (int c = 0; c < C; c++) {
            along[c] = 0.0;
            for (int d = 0; d < D; d++) along[c] += k->m[c * D + d] * deviation[d];
        }
        for (int a = 0; a < C; a++)
            for (int b = 0; b < C; b++) s[a * C + b] += along[a] * along[b] / rows;
    }
    return trace / rows;
}

/* tr(S_W S_B^+). With M the (C,D) of centred means, S_B = M^T M / C and its pseudo-inverse is
 * C M^T (G^+)^2 M, G = M M^T: everything is (C,C). G has C-1 directions, or fewer where classes lie
 * in a plane: eigenvalues below 1e-10 of the largest are none. */
static double fuzziness_of(const double *g, const double *s, int C)
{
    double a[DLF_CLASSES_MAX * DLF_CLASSES_MAX], vector[DLF_CLASSES_MAX * DLF_CLASSES_MAX];
    double value[DLF_CLASSES_MAX], sum = 0.0;
    memcpy(a, g, (size_t)(C * C) * sizeof *a);
    dlf_symmetric_eigen(a, C, value, vector);
    for (int k = 0; k < C && value[k] > 1e-10 * value[0]; k++) {
        const double *v = vector + k * C;
        double along = 0.0;
        for (int i = 0; i < C; i++)
            for (int j = 0; j < C; j++) along += v[i] * s[i * C + j] * v[j];
        sum += C * along / (value[k] * value[k]);
    }
    return sum;
}

static double alignment_of(const class_means *k, const float *w, double between)
{
    const size_t n = (size_t)k->classes * (size_t)k->D;
    double square = 0.0, sum = 0.0;
    for (size_t i = 0; i < n; i++) square += (double)w[i] * w[i];
    for (size_t i = 0; i < n; i++) {
        const double d = w[i] / sqrt(square) - k->m[i] / sqrt(between);
        sum += d * d;
    }
    return sqrt(sum);
}

static void angles(dlf_collapse *out, const class_means *k, const double *g)
{
    const int C = k->classes;
    double mean = 0.0, square = 0.0, cosine = 0.0, spread = 0.0;
    for (int a = 0; a < C; a++) {
        mean += sqrt(k->square[a]) / C;
        square += k->square[a] / C;
        for (int b = 0; b < C; b++) {
            if (a == b) continue;
            const double c = g[a * C + b] / sqrt(k->square[a] * k->square[b]);
            const double off = c + 1.0 / (C - 1.0);
            cosine += c / (C * (C - 1.0));
            spread += off * off / (C * (C - 1.0));
        }
    }
    out->mean_cosine = cosine;
    out->spread = sqrt(spread);
    out->lengths = sqrt(fmax(square - mean * mean, 0.0)) / mean;
}

dlf_status dlf_collapse_of(dlf_collapse *out, double *gram, const float *h, const int32_t *label,
                           int rows, int D, int classes, const float *w)
{
    const int C = classes;
    if (C < 2 || C > DLF_CLASSES_MAX)
        return dlf_fail(DLF_ERR_ARG, "collapse: 2 to %d classes, not %d", DLF_CLASSES_MAX, C);
    const size_t CD = (size_t)C * (size_t)D;
    double g[DLF_CLASSES_MAX * DLF_CLASSES_MAX], s[DLF_CLASSES_MAX * DLF_CLASSES_MAX] = {0};
    double *work = calloc(2 * CD + (size_t)D + 2 * (size_t)C, sizeof *work);
    if (!work) return dlf_fail(DLF_ERR_OOM, "collapse: out of memory");
    double *deviation = work + 2 * CD;
    class_means k = {C, D, work, work + CD, deviation + D, deviation + D + C};
    find_means(&k, h, label, rows);
    gram_of(&k, g);
    const double within = scatter(&k, h, label, rows, deviation, s);
    double between = 0.0;
    for (int c = 0; c < C; c++) between += k.square[c];
    angles(out, &k, g);
    out->within = within / (between / C);
    out->fuzziness = fuzziness_of(g, s, C);
    out->alignment = w ? alignment_of(&k, w, between) : NAN;
    for (int i = 0; gram && i < C * C; i++) gram[i] = g[i] / (between / C);
    free(work);
    return DLF_OK;
}

/* ---- ridge regression ---- */

void dlf_standardise(float *h, int D, int train, int test)
{
    double square = 0.0;
    for (int d = 0; d < D; d++) {
        double mean = 0.0;
        for (int i = 0; i < train; i++)
            mean += (double)h[(size_t)i * (size_t)D + (size_t)d] / train;
        for (int i = 0; i < train + test; i++) {
            float *x = &h[(size_t)i * (size_t)D + (size_t)d];
            *x = (float)(*x - mean);
            if (i < train) square += (double)*x * *x / ((double)train * D);
        }
    }
    const double scale = square > 0.0 ? 1.0 / sqrt(square) : 1.0;
    for (size_t i = 0; i < (size_t)(train + test) * (size_t)D; i++) h[i] = (float)(h[i] * scale);
}

/* a += x x^T / rows and b += x y^T / rows over the rows */
static void accumulate(double *a, double *b, const float *x, int D, const float *y, int K, int rows)
{
    for (int i = 0; i < rows; i++) {
        const float *xi = x + (size_t)i * (size_t)D, *yi = y + (size_t)i * (size_t)K;
        for (int p = 0; p < D; p++) {
            const double s = (double)xi[p] / rows;
            for (int q = 0; q < D; q++) a[p * D + q] += s * xi[q];
            for (int q = 0; q < K; q++) b[p * K + q] += s * yi[q];
        }
    }
}

/* Sums of squares over test rows of y, and of y minus its prediction. */
static double unexplained(const double *b, const float *x, int D, const float *y, int K, int rows,
                          double *predicted)
{
    double left = 0.0, all = 0.0;
    for (int i = 0; i < rows; i++) {
        const float *xi = x + (size_t)i * (size_t)D, *yi = y + (size_t)i * (size_t)K;
        memset(predicted, 0, (size_t)K * sizeof *predicted);
        for (int p = 0; p < D; p++)
            for (int q = 0; q < K; q++) predicted[q] += xi[p] * b[p * K + q];
        for (int q = 0; q < K; q++) {
            left += (yi[q] - predicted[q]) * (yi[q] - predicted[q]);
            all += (double)yi[q] * yi[q];
        }
    }
    return left / all;
}

dlf_status dlf_linear_share(double *out, const float *h, int D, const float *y, int K, int train,
                            int test, double lambda)
{
    const size_t rows = (size_t)train + (size_t)test, d = (size_t)D, k = (size_t)K;
    dlf_status status = DLF_OK;
    float *x = malloc(rows * d * sizeof *x), *t = malloc(rows * k * sizeof *t);
    double *a = calloc(d * d + d * k + k, sizeof *a);
    if (!x || !t || !a) {
        status = dlf_fail(DLF_ERR_OOM, "ridge: out of memory");
        goto done;
    }
    double *b = a + d * d, *predicted = b + d * k;
    memcpy(x, h, rows * d * sizeof *x);
    memcpy(t, y, rows * k * sizeof *t);
    dlf_standardise(x, D, train, test);
    dlf_standardise(t, K, train, test);
    accumulate(a, b, x, D, t, K, train);
    for (int p = 0; p < D; p++) a[p * D + p] += lambda;
    dlf_solve_positive(a, D, b, K);
    *out =
        1.0 - unexplained(b, x + (size_t)train * d, D, t + (size_t)train * k, K, test, predicted);
done:
    free(x);
    free(t);
    free(a);
    return status;
}
