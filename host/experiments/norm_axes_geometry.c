/* SPDX-License-Identifier: MIT
 * norm_axes_geometry.c -- Q33: what the invariances mean for the gradient. With y(a w) = y(w) for
 * every a > 0, the derivative along w is zero, so that
 *
 *   w . dL/dw = 0         and         dL/dw (a w) = dL/dw (w) / a               (eps = 0)
 *
 * for every unit's w with batch norm, for the matrix as a whole with layer norm. With eps > 0 the
 * length of w is seen a little: from y = (z - mu)/sqrt(v + eps), row by row exactly
 *
 *   w . dL/dw = sum_b dy_b h_b eps / (v + eps)
 *
 * since w . dz/dw = z and d y / d ln|w| = h (1 - v/(v + eps)). The gradient that leaves batch norm
 * has no component along 1 and along h:  sum_b dz = 0,  sum_b dz h = 0. */
#include <math.h>
#include <stdlib.h>

#include "norm_axes.h"
#include "seed_check.h"

enum { INPUTS = 20, UNITS = 8, EPSILONS = 9, FACTORS = 5 };
static const double epsilons[EPSILONS] = {0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0};
static const double factors[FACTORS] = {0.1, 0.3, 1.0, 3.0, 10.0};

typedef struct bench {
    norm_layer l;
    int P, N;
    double *w, *g, *z, *dz, *dy; /* (P,C,K) twice, (P,N,C) three times */
} bench;

static void bench_free(bench *b)
{
    norm_layer_free(&b->l);
    free(b->w);
}

/* The same a, w and dy for every method and eps. */
static dlf_status bench_new(bench *b, dlf_run *run, int method, double eps)
{
    const int P = dlf_run_seeds(run), N = dlf_run_int(run, "rows");
    const size_t w = (size_t)P * UNITS * INPUTS, z = (size_t)(P * N) * UNITS;
    const size_t a = (size_t)(P * N) * INPUTS;
    const uint64_t seed = dlf_run_seed(run);
    dlf_status status;
    *b = (bench){.P = P, .N = N};
    b->w = malloc((2 * w + 3 * z) * sizeof *b->w);
    double *host = malloc(a * sizeof *host);
    if (!b->w || !host) {
        status = dlf_fail(DLF_ERR_OOM, "norm-axes: out of memory");
        goto done;
    }
    b->g = b->w + w;
    b->z = b->g + w;
    b->dz = b->z + z;
    b->dy = b->dz + z;
    DLF_TRY_DONE(
        norm_layer_new(&b->l, dlf_run_device(run), method, 1, eps, P, N, 1, INPUTS, UNITS));
    for (int p = 0; p < P; p++) {
        const int64_t n = N * INPUTS;
        norm_draw(host + p * n, n, seed, DLF_PURPOSE_INPUT, 3, (uint32_t)p);
        norm_draw(b->w + p * UNITS * INPUTS, UNITS * INPUTS, seed, DLF_PURPOSE_WEIGHTS, 3,
                  (uint32_t)p);
        norm_draw(b->dy + p * N * UNITS, N * UNITS, seed, DLF_PURPOSE_GRADIENT, 3, (uint32_t)p);
    }
    for (size_t i = 0; i < w; i++) b->w[i] *= sqrt(1.0 / INPUTS);
    DLF_TRY_DONE(dlf_tensor_upload_f64(&b->l.a, host));
    DLF_TRY_DONE(dlf_tensor_upload_f64(&b->l.dy, b->dy));
    status = dlf_tensor_download_f64(b->dy, &b->l.dy);
done:
    free(host);
    if (status != DLF_OK) bench_free(b);
    return status;
}

/* Gradient at factor * w. */
static dlf_status gradient(bench *b, double factor)
{
    const int n = b->P * UNITS * INPUTS;
    for (int i = 0; i < n; i++) b->g[i] = factor * b->w[i];
    DLF_TRY(dlf_tensor_upload_f64(&b->l.w, b->g));
    DLF_TRY(norm_layer_product(&b->l));
    DLF_TRY(norm_layer_normalise(&b->l));
    DLF_TRY(norm_layer_backward(&b->l));
    DLF_TRY(dlf_tensor_download_f64(b->z, &b->l.z));
    DLF_TRY(dlf_tensor_download_f64(b->dz, &b->l.dz));
    return dlf_tensor_download_f64(b->g, &b->l.dw);
}

static double dot(const double *a, const double *b, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static double cosine(const double *a, const double *b, int n)
{
    return dot(a, b, n) / sqrt(dot(a, a, n) * dot(b, b, n));
}

static double rms(const double *x, int n)
{
    return sqrt(dot(x, x, n) / n);
}

/* Of one seed: the cosine of every unit's w with its gradient (rms over units), of the matrix with
 * its gradient, and what the law for eps says. */
typedef struct cosines {
    double units, whole, law;
} cosines;

/* Column c of z (N,C): mean and variance over the batch. */
static void moments_of(const double *z, int N, double *mean, double *variance)
{
    *mean = *variance = 0.0;
    for (int i = 0; i < N; i++) *mean += z[i * UNITS] / N;
    for (int i = 0; i < N; i++) {
        const double d = z[i * UNITS] - *mean;
        *variance += d * d / N;
    }
}

static cosines cosines_of(const bench *b, int p, double eps)
{
    const double *w = b->w + p * UNITS * INPUTS, *g = b->g + p * UNITS * INPUTS;
    const double *z = b->z + p * b->N * UNITS, *dy = b->dy + p * b->N * UNITS;
    double unit[UNITS], law[UNITS];
    for (int c = 0; c < UNITS; c++) {
        const double *wc = w + c * INPUTS, *gc = g + c * INPUTS;
        double mean, v, along = 0.0;
        moments_of(z + c, b->N, &mean, &v);
        for (int i = 0; i < b->N; i++)
            along +=
                dy[i * UNITS + c] * (z[i * UNITS + c] - mean) / sqrt(v + eps) * eps / (v + eps);
        unit[c] = cosine(wc, gc, INPUTS);
        law[c] = along / sqrt(dot(wc, wc, INPUTS) * dot(gc, gc, INPUTS));
    }
    return (cosines){.units = rms(unit, UNITS),
                     .whole = fabs(cosine(w, g, UNITS * INPUTS)),
                     .law = rms(law, UNITS)};
}

/* |sum dz| and |sum dz h| over what they are sums of: the largest over units and seeds. */
static void sums_of(const bench *b, double *plain, double *along)
{
    *plain = *along = 0.0;
    for (int p = 0; p < b->P; p++)
        for (int c = 0; c < UNITS; c++) {
            const double *z = b->z + p * b->N * UNITS + c, *dz = b->dz + p * b->N * UNITS + c;
            double mean, v, sum = 0.0, sum_h = 0.0, size = 0.0, size_h = 0.0;
            moments_of(z, b->N, &mean, &v);
            for (int i = 0; i < b->N; i++) {
                const double h = (z[i * UNITS] - mean) / sqrt(v), d = dz[i * UNITS];
                sum += d;
                sum_h += d * h;
                size += fabs(d);
                size_h += fabs(d * h);
            }
            *plain = norm_larger(*plain, fabs(sum) / size);
            *along = norm_larger(*along, fabs(sum_h) / size_h);
        }
}

/* ---- orthogonality ----------------------------------------------------------------------------
 */

static dlf_status zero_check(dlf_run *run, const char *id, dlf_text claim, double measured,
                             const char *source)
{
    dlf_check c = dlf_check_exact(id, claim, measured);
    c.relation = DLF_AT_MOST;
    c.tolerance = 1e-5;
    c.source = source;
    c.self_check = true;
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status cosine_row(dlf_table *t, int method, double eps, const double *units,
                             const double *whole, const double *law, int n)
{
    const dlf_estimate e = dlf_estimate_of(units, n, 1);
    return dlf_table_row(t, DLF_TXT(norm_method_id(method)), DLF_NUM(eps), DLF_NUM(e.mean),
                         DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(dlf_estimate_of(whole, n, 1).mean),
                         DLF_NUM(dlf_estimate_of(law, n, 1).mean));
}

/* One method at one eps: its row; units, whole, law are (seeds). */
static dlf_status look(dlf_run *run, dlf_table *t, int method, double eps, double *units,
                       double *whole, double *law, double *sum, double *sum_h)
{
    bench b;
    DLF_TRY(bench_new(&b, run, method, eps));
    dlf_status status = gradient(&b, 1.0);
    if (status == DLF_OK) {
        for (int p = 0; p < b.P; p++) {
            const cosines c = cosines_of(&b, p, eps);
            units[p] = c.units;
            whole[p] = c.whole;
            law[p] = c.law;
        }
        if (sum) sums_of(&b, sum, sum_h);
        status = cosine_row(t, method, eps, units, whole, law, b.P);
    }
    bench_free(&b);
    return status;
}

static dlf_status law_check(dlf_run *run, const double *units, const double *law, int n)
{
    dlf_check c = dlf_check_of("cosine_with_eps",
                               (dlf_text){"eps=1e-3 时夹角的余弦等于闭式",
                                          "at eps=1e-3 the cosine is what the closed form says"},
                               dlf_estimate_of(units, n, 1));
    c.expected = dlf_estimate_of(law, n, 1).mean;
    c.tolerance = 0.01;
    c.relative = true;
    c.source = "closed form: w.g = sum dy h eps/(v+eps); 1 %: float rounding of a cosine of 1e-4";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status controls(dlf_run *run, dlf_table *exact, dlf_table *t, double *units,
                           double *whole, double *law, int n)
{
    DLF_TRY(look(run, exact, DLF_LAYER_NORM, 0.0, units, whole, law, NULL, NULL));
    DLF_TRY(zero_check(run, "ln_orthogonal",
                       (dlf_text){"LN：整个权重矩阵与它的梯度正交",
                                  "LN: the weight matrix as a whole is orthogonal to its gradient"},
                       dlf_estimate_of(whole, n, 1).mean,
                       "closed form: LN is invariant to the scale of W, not of one row"));
    dlf_check c = dlf_check_of(
        "ln_units_are_not",
        (dlf_text){"LN：单个单元的权重与梯度并不正交", "LN: the weights of one unit are not"},
        dlf_estimate_of(units, n, 1));
    c.relation = DLF_AT_LEAST;
    c.expected = 0.05;
    c.source = "one row scaled is not an invariance of LN; 0.05: a quarter of 1/sqrt(20)";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    for (int e = 0; e < EPSILONS; e++)
        DLF_TRY(look(run, e ? t : exact, NORM_NONE, epsilons[e], units, whole, law, NULL, NULL));
    c = dlf_check_of("control_cosine",
                     (dlf_text){"对照，无归一化：权重与梯度不正交",
                                "control, no norm: weights and gradient are not orthogonal"},
                     dlf_estimate_of(units, n, 1));
    c.expected = sqrt(1.0 / INPUTS);
    c.tolerance = 0.25;
    c.relative = true;
    c.source = "closed form: independent directions in 20 dimensions, rms cosine 1/sqrt(20); 25 %: "
               "8 units, 3 seeds and more";
    return dlf_result_check(dlf_run_result(run), c);
}

/* eps = 0 has no place on a logarithmic axis: a table of its own. */
static dlf_status orthogonality(dlf_run *run, dlf_table *exact, dlf_table *t)
{
    const int n = dlf_run_seeds(run);
    double sum, sum_h, *units = malloc((size_t)(3 * n) * sizeof *units);
    dlf_status status;
    if (!units) return dlf_fail(DLF_ERR_OOM, "norm-axes: out of memory");
    double *whole = units + n, *law = whole + n;
    for (int e = 0; e < EPSILONS; e++) {
        DLF_TRY_DONE(look(run, e ? t : exact, DLF_BATCH_NORM, epsilons[e], units, whole, law,
                          e ? NULL : &sum, e ? NULL : &sum_h));
        if (e == 0) {
            DLF_TRY_DONE(zero_check(
                run, "bn_orthogonal",
                (dlf_text){"BN：每个单元的权重与它的梯度正交（余弦，eps=0）",
                           "BN: every unit's weights are orthogonal to their gradient (cosine, "
                           "eps=0)"},
                dlf_estimate_of(units, n, 1).mean,
                "closed form: scale invariance; van Laarhoven "
                "2017, eq. 5"));
            DLF_TRY_DONE(zero_check(run, "bn_sum",
                                    (dlf_text){"BN：梯度对批求和为零 Σ dz = 0",
                                               "BN: the gradient sums to zero over the batch, "
                                               "Σ dz = 0"},
                                    sum, "closed form: shift invariance"));
            DLF_TRY_DONE(zero_check(run, "bn_sum_h",
                                    (dlf_text){"BN：梯度与归一化后的值正交 Σ dz h = 0",
                                               "BN: the gradient is orthogonal to the normalized "
                                               "values, Σ dz h = 0"},
                                    sum_h, "closed form: scale invariance"));
        }
        if (epsilons[e] == 1e-3) DLF_TRY_DONE(law_check(run, units, law, n));
    }
    DLF_TRY_DONE(controls(run, exact, t, units, whole, law, n));
done:
    free(units);
    return status;
}

/* ---- length -----------------------------------------------------------------------------------
 */

static dlf_status lengths_of(dlf_run *run, dlf_table *t, int method, double *worst)
{
    bench b;
    dlf_status status;
    double base[256], ratio[256];
    DLF_TRY(bench_new(&b, run, method, 0.0));
    const int n = UNITS * INPUTS, P = b.P < 256 ? b.P : 256;
    DLF_TRY_DONE(gradient(&b, 1.0));
    for (int p = 0; p < P; p++) base[p] = sqrt(dot(b.g + p * n, b.g + p * n, n));
    *worst = 0.0;
    for (int f = 0; f < FACTORS; f++) {
        DLF_TRY_DONE(gradient(&b, factors[f]));
        for (int p = 0; p < P; p++) {
            ratio[p] = sqrt(dot(b.g + p * n, b.g + p * n, n)) / base[p];
            *worst = norm_larger(*worst, fabs(ratio[p] * factors[f] - 1.0));
        }
        const dlf_estimate e = dlf_estimate_of(ratio, P, 1);
        DLF_TRY_DONE(dlf_table_row(t, DLF_TXT(norm_method_id(method)), DLF_NUM(factors[f]),
                                   DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                                   DLF_NUM(method == NORM_NONE ? 1.0 : 1.0 / factors[f])));
    }
done:
    bench_free(&b);
    return status;
}

static dlf_status lengths(dlf_run *run)
{
    static const struct {
        int method;
        const char *id;
        dlf_text claim;
    } arms[] = {{DLF_BATCH_NORM,
                 "bn_length",
                 {"BN：权重放大 a 倍，梯度缩小 a 倍（|g(aw)|a/|g(w)| 与 1 的最大差）",
                  "BN: weights a times as long have a gradient a times as short (largest "
                  "|g(aw)|a/|g(w)| - 1)"}},
                {DLF_LAYER_NORM, "ln_length", {"LN：同上", "LN: the same"}},
                {NORM_NONE, NULL, {"", ""}}};
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "length",
        (dlf_text){"权重的长度与梯度的长度", "length of the weights and of the gradient"},
        (const dlf_column[]){{"method", NULL},
                             {"factor", "1"},
                             {"gradient", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {NULL, NULL}},
        &t));
    for (size_t i = 0; i < sizeof arms / sizeof arms[0]; i++) {
        double worst;
        DLF_TRY(lengths_of(run, t, arms[i].method, &worst));
        if (arms[i].id)
            DLF_TRY(zero_check(run, arms[i].id, arms[i].claim, worst,
                               "closed form: y(aw) = y(w); Hoffer et al. 2018"));
    }
    return DLF_OK;
}

/* ---- figures ----------------------------------------------------------------------------------
 */

static dlf_series of_method(dlf_role role, const char *table, int method, const char *x,
                            const char *y, dlf_text label, int colour)
{
    const bool theory = role == DLF_THEORY;
    return (dlf_series){.role = role,
                        .table = table,
                        .where = "method",
                        .equals = norm_method_id(method),
                        .x = x,
                        .y = y,
                        .lo = theory ? NULL : "lo",
                        .hi = theory ? NULL : "hi",
                        .label = label,
                        .colour = colour};
}

static dlf_status figures(dlf_run *run)
{
    const dlf_figure cosine_figure = {
        .id = "orthogonal",
        .kind = DLF_LINES,
        .title = {"BN 的梯度与权重正交；eps 漏进来的一点正是闭式所说的",
                  "With BN the gradient is orthogonal to the weights; eps lets in what the closed "
                  "form says"},
        .subtitle = {"全连接 BN 层，20 个输入，随机梯度；按单元取均方根，所有种子",
                     "fully connected layer with BN, 20 inputs, random gradients; rms over units, "
                     "all seeds"},
        .x = {{"eps", "eps"}, true},
        .y = {{"|cos(w, dL/dw)|", "|cos(w, dL/dw)|"}, true},
        .series = {of_method(DLF_MEASURED, "cosine", DLF_BATCH_NORM, "eps", "cosine",
                             (dlf_text){"BN", "BN"}, 0),
                   of_method(DLF_THEORY, "cosine", DLF_BATCH_NORM, "eps", "law",
                             (dlf_text){"Σ dy h eps/(v+eps)", "Σ dy h eps/(v+eps)"}, 0),
                   of_method(DLF_CONTROL, "cosine", NORM_NONE, "eps", "cosine",
                             (dlf_text){"对照：无归一化", "control: no norm"}, 1)}};
    const dlf_figure length_figure = {
        .id = "length",
        .kind = DLF_LINES,
        .title = {"权重越长，梯度越短：归一化网络的有效学习率是 η/|w|²",
                  "Longer weights, shorter gradient: the effective learning rate is η/|w|²"},
        .subtitle = {"权重乘以 a 之后梯度的长度；eps=0，所有种子",
                     "length of the gradient after the weights are multiplied by a; eps=0, all "
                     "seeds"},
        .x = {{"权重的倍数 a", "factor a of the weights"}, true},
        .y = {{"|g(aw)| / |g(w)|", "|g(aw)| / |g(w)|"}, true},
        .series = {of_method(DLF_MEASURED, "length", DLF_BATCH_NORM, "factor", "gradient",
                             (dlf_text){"BN", "BN"}, 0),
                   of_method(DLF_MEASURED, "length", DLF_LAYER_NORM, "factor", "gradient",
                             (dlf_text){"LN", "LN"}, 2),
                   of_method(DLF_THEORY, "length", DLF_BATCH_NORM, "factor", "theory",
                             (dlf_text){"1/a", "1/a"}, 0),
                   of_method(DLF_CONTROL, "length", NORM_NONE, "factor", "gradient",
                             (dlf_text){"对照：无归一化", "control: no norm"}, 1)}};
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &cosine_figure));
    return dlf_result_figure(dlf_run_result(run), &length_figure);
}

dlf_status norm_axes_geometry(dlf_run *run)
{
    const dlf_column columns[] = {{"method", NULL}, {"eps", "1"},   {"cosine", "1"}, {"lo", "1"},
                                  {"hi", "1"},      {"whole", "1"}, {"law", "1"},    {NULL, NULL}};
    dlf_table *exact, *with_eps;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "cosine_exact",
        (dlf_text){"权重与梯度的夹角，eps = 0", "the angle between weights and gradient, eps = 0"},
        columns, &exact));
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "cosine",
        (dlf_text){"权重与梯度的夹角，eps > 0", "the angle between weights and gradient, eps > 0"},
        columns, &with_eps));
    DLF_TRY(orthogonality(run, exact, with_eps));
    DLF_TRY(lengths(run));
    return figures(run);
}
