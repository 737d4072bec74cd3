/* SPDX-License-Identifier: MIT
 * stats.c -- order statistics, and bootstrap intervals of ratios. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/bench.h"
#include "dlf/rng.h"

enum { RESAMPLES = 2000 };

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

/* nb = 0: b is not resampled, x are ratios already. */
static dlf_bench_ratio bootstrap(const double *a, int na, const double *b, int nb)
{
    dlf_bench_ratio r = {NAN, NAN, NAN};
    const uint32_t stream = dlf_stream(DLF_PURPOSE_TEST, 77);
    const int most = na > nb ? na : nb;
    double *scratch = malloc((size_t)most * sizeof *scratch),
           *medians = malloc(RESAMPLES * sizeof *medians);
    if (scratch && medians) {
        memcpy(scratch, a, (size_t)na * sizeof *a);
        r.value = median_of(scratch, na);
        if (nb) {
            memcpy(scratch, b, (size_t)nb * sizeof *b);
            r.value /= median_of(scratch, nb);
        }
        for (int k = 0; k < RESAMPLES; k++) {
            medians[k] = resampled_median(scratch, a, na, stream, k);
            if (nb) medians[k] /= resampled_median(scratch, b, nb, stream + 1, k);
        }
        qsort(medians, RESAMPLES, sizeof *medians, by_value);
        const bool few = na < 3 || (nb && nb < 3);
        r.lo = few ? -INFINITY : quantile(medians, RESAMPLES, 0.025);
        r.hi = few ? INFINITY : quantile(medians, RESAMPLES, 0.975);
    }
    free(medians);
    free(scratch);
    return r;
}

dlf_bench_ratio dlf_bench_ratio_paired(const double *a, const double *b, int n)
{
    dlf_bench_ratio r = {NAN, NAN, NAN};
    if (!positive(a, n) || !positive(b, n)) return r;
    double *ratios = malloc((size_t)n * sizeof *ratios);
    if (!ratios) return r;
    for (int i = 0; i < n; i++) ratios[i] = a[i] / b[i];
    r = bootstrap(ratios, n, NULL, 0);
    free(ratios);
    return r;
}

dlf_bench_ratio dlf_bench_ratio_unpaired(const double *a, int na, const double *b, int nb)
{
    if (!positive(a, na) || !positive(b, nb)) return (dlf_bench_ratio){NAN, NAN, NAN};
    return bootstrap(a, na, b, nb);
}
