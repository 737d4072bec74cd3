/* SPDX-License-Identifier: MIT
 * stats.c -- order statistics, and bootstrap intervals of ratios. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/bench.h"
#include "dlf/rng.h"
#include "dlf/theory.h"

enum { RESAMPLES = 200 }; /* of each pass: a variance, no quantiles */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *sorted, int n, double q)
{
    const double at = q * (n - 1);
    const int i = (int)at;
    return i + 1 < n ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

static bool has_nan(const double *x, int n)
{
    for (int i = 0; i < n; i++)
        if (isnan(x[i])) return true;
    return n < 1;
}

dlf_bench_stats dlf_bench_stats_of(const double *x, int n)
{
    dlf_bench_stats s = {n, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    double *sorted = has_nan(x, n) ? NULL : malloc((size_t)n * sizeof *sorted);
    if (!sorted) return s;
    memcpy(sorted, x, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    s.min = sorted[0];
    s.q1 = quantile(sorted, n, 0.25);
    s.median = quantile(sorted, n, 0.5);
    s.q3 = quantile(sorted, n, 0.75);
    s.p95 = quantile(sorted, n, 0.95);
    s.mean = 0.0;
    for (int i = 0; i < n; i++) s.mean += sorted[i] / n;
    s.noise = (s.q3 - s.q1) / s.median;
    const double half = n < 3 ? INFINITY : 1.57 * (s.q3 - s.q1) / sqrt(n);
    s.lo = s.median - half;
    s.hi = s.median + half;
    free(sorted);
    return s;
}

/* ---- bootstrap ------------------------------------------------------------------------------ */

/* The k-th smallest of x[0..n-1], which is reordered (Hoare 1961). */
static double select_kth(double *x, int n, int k)
{
    int lo = 0, hi = n - 1;
    while (lo < hi) {
        const double pivot = x[lo + (hi - lo) / 2];
        int i = lo, j = hi;
        while (i <= j) {
            while (x[i] < pivot) i++;
            while (x[j] > pivot) j--;
            if (i <= j) {
                const double swap = x[i];
                x[i++] = x[j];
                x[j--] = swap;
            }
        }
        if (k <= j)
            hi = j;
        else if (k >= i)
            lo = i;
        else
            break;
    }
    return x[k];
}

static double median_of(double *x, int n)
{
    const double upper = select_kth(x, n, n / 2);
    if (n % 2) return upper;
    double lower = x[0];
    for (int i = 1; i < n / 2; i++) lower = x[i] > lower ? x[i] : lower;
    return 0.5 * (lower + upper);
}

/* The median of one bootstrap sample of x. */
static double resampled_median(double *scratch, const double *x, int n, uint32_t stream, int which)
{
    for (int i = 0; i < n; i += 4) {
        const dlf_philox_block block = dlf_rng_block(1, stream, (uint32_t)which, (uint64_t)(i / 4));
        for (int k = 0; k < 4 && i + k < n; k++)
            scratch[i + k] = x[(uint64_t)block.v[k] * (uint64_t)n >> 32];
    }
    return median_of(scratch, n);
}

static bool positive(const double *x, int n)
{
    for (int i = 0; i < n; i++)
        if (!(x[i] > 0.0)) return false;
    return n > 0;
}

/* Variance of the median of x over bootstrap samples; x is reordered, its median goes to *median.
 */
static double median_variance(double *median, double *x, int n, double *scratch, int pass)
{
    double sum = 0.0, squares = 0.0;
    for (int k = 0; k < RESAMPLES; k++) {
        const double m =
            resampled_median(scratch, x, n, dlf_stream(DLF_PURPOSE_TEST, 77 + (uint32_t)pass), k) -
            x[0];
        sum += m / RESAMPLES;
        squares += m * m / RESAMPLES;
    }
    *median = median_of(x, n);
    return fmax(0.0, squares - sum * sum);
}

/* A mean over passes, its variance, and how far that is known. */
typedef struct effect {
    double mean;          /* of logarithms */
    double within, extra; /* parts of the mean's variance; extra: between passes, beyond `within` */
    int passes;
} effect;

static bool effect_of(effect *e, dlf_bench_samples a)
{
    const int n = a.passes > 0 ? a.end[a.passes - 1] : 0;
    double median[DLF_BENCH_PASSES],
        *x = positive(a.x, n) ? malloc(2 * (size_t)n * sizeof *x) : NULL;
    *e = (effect){.mean = NAN, .passes = 0};
    if (!x) return false;
    for (int i = 0; i < n; i++) x[i] = log(a.x[i]);
    double v = 0.0, s2 = 0.0, mean = 0.0;
    for (int k = 0, from = 0; k < a.passes; from = a.end[k++]) {
        if (a.end[k] <= from) continue;
        v += median_variance(&median[e->passes], x + from, a.end[k] - from, x + n, k);
        e->passes++;
    }
    free(x);
    v /= e->passes;
    for (int k = 0; k < e->passes; k++) mean += median[k] / e->passes;
    for (int k = 0; k < e->passes; k++) s2 += (median[k] - mean) * (median[k] - mean);
    if (e->passes > 1) s2 /= e->passes - 1;
    e->mean = mean;
    e->within = n < 3 ? INFINITY : v / e->passes;
    e->extra = fmax(0.0, s2 - v) / e->passes;
    return true;
}

/* `difference` with the sum of the variances; only what is known from few passes has few degrees of
 * freedom (Satterthwaite 1946). */
static dlf_bench_ratio interval(double difference, const effect *a, const effect *b)
{
    const double variance = a->within + a->extra + b->within + b->extra;
    double doubt = 0.0;
    if (a->passes > 1) doubt += a->extra * a->extra / (a->passes - 1);
    if (b->passes > 1) doubt += b->extra * b->extra / (b->passes - 1);
    const double dof = doubt > 0.0 ? variance * variance / doubt : 1e6;
    const double half = isinf(variance) ? INFINITY
                                        : dlf_student_t975(dof < 1.0   ? 1
                                                           : dof < 1e6 ? (int)dof
                                                                       : 1000000) *
                                              sqrt(variance);
    return (dlf_bench_ratio){exp(difference), isinf(half) ? -INFINITY : exp(difference - half),
                             exp(difference + half)};
}

dlf_bench_ratio dlf_bench_level(dlf_bench_samples a)
{
    effect e;
    const effect nothing = {.passes = 0};
    if (!effect_of(&e, a)) return (dlf_bench_ratio){NAN, NAN, NAN};
    return interval(e.mean, &e, &nothing);
}

dlf_bench_ratio dlf_bench_ratio_of_levels(dlf_bench_samples a, dlf_bench_samples b)
{
    effect x, y;
    if (!effect_of(&x, a) || !effect_of(&y, b)) return (dlf_bench_ratio){NAN, NAN, NAN};
    return interval(x.mean - y.mean, &x, &y);
}

dlf_bench_ratio dlf_bench_ratio_paired(const double *a, const double *b, const int *end, int passes)
{
    const int n = passes > 0 ? end[passes - 1] : 0;
    double *ratios = n ? malloc((size_t)n * sizeof *ratios) : NULL;
    if (!ratios) return (dlf_bench_ratio){NAN, NAN, NAN};
    for (int i = 0; i < n; i++) ratios[i] = a[i] > 0.0 && b[i] > 0.0 ? a[i] / b[i] : NAN;
    const dlf_bench_ratio r = dlf_bench_level((dlf_bench_samples){ratios, end, passes});
    free(ratios);
    return r;
}
