/* SPDX-License-Identifier: MIT
 * relu_vs_sigmoid_layers.c -- Q36, what one layer does to random numbers: the eigenvalues of its
 * second-moment matrix, the share of exact zeros, and networks that are dead from birth. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "dlf/theory.h"
#include "figures.h"
#include "relu_vs_sigmoid.h"

/* ---- (b) second moments ------------------------------------------------------------------------
 *
 * a = f(z), z of N independent N(0,1) units. E a a^T = v I + m^2 1 1^T: one eigenvalue v + N m^2,
 * all others v. Sampling n rows spreads the v's over v (1 +- sqrt(N/n))^2 (Marchenko & Pastur
 * 1967).   */

enum { UNITS = 100, CHUNK = 2500, KINDS = 3 };
static const dlf_activation_kind kinds[KINDS] = {DLF_SIGMOID, DLF_RELU, DLF_TANH};

typedef struct layer_moments {
    dlf_tensor z, a, second[KINDS], first[KINDS]; /* (S,CHUNK,N); sums of a a^T, of a */
} layer_moments;

static void moments_free(layer_moments *m)
{
    dlf_tensor_free(&m->z);
    dlf_tensor_free(&m->a);
    for (int k = 0; k < KINDS; k++) {
        dlf_tensor_free(&m->second[k]);
        dlf_tensor_free(&m->first[k]);
    }
}

static dlf_status moments_new(layer_moments *m, dlf_device *dev, int seeds, int rows)
{
    DLF_TRY(dlf_tensor_new(&m->z, dev, dev->real, seeds, rows, UNITS));
    DLF_TRY(dlf_tensor_new(&m->a, dev, dev->real, seeds, rows, UNITS));
    for (int k = 0; k < KINDS; k++) {
        DLF_TRY(dlf_tensor_new(&m->second[k], dev, dev->real, seeds, UNITS, UNITS));
        DLF_TRY(dlf_tensor_new(&m->first[k], dev, dev->real, seeds, UNITS));
    }
    return DLF_OK;
}

static dlf_status sample(dlf_run *run, layer_moments *m, int chunks, double from, double to)
{
    for (int c = 0; c < chunks; c++) {
        const uint32_t stream = dlf_stream(DLF_PURPOSE_INPUT, 0x100u + (uint32_t)c);
        DLF_TRY(dlf_run_stage(run, from + (to - from) * c / chunks, "second moments of a layer"));
        DLF_TRY(dlf_random_normal(&m->z, NULL, NULL, (dlf_rng){dlf_run_seed(run), stream}));
        for (int k = 0; k < KINDS; k++) {
            const double beta = c ? 1.0 : 0.0;
            DLF_TRY(dlf_activation_forward(&m->a, &m->z, dlf_activation_of(kinds[k])));
            DLF_TRY(dlf_gemm(&m->second[k], &m->a, &m->a,
                             (dlf_gemm_args){.trans_a = true, .alpha = 1.0, .beta = beta}));
            DLF_TRY(dlf_bias_grad(&m->first[k], &m->a, beta));
        }
    }
    return DLF_OK;
}

static double value_of(double z, const void *kind)
{
    return dlf_activation_value(dlf_activation_of(*(const dlf_activation_kind *)kind), z);
}
static double square_of(double z, const void *kind)
{
    const double y = value_of(z, kind);
    return y * y;
}

/* Largest eigenvalue over the mean of the others. */
static double condition(const double *value)
{
    double rest = 0.0;
    for (int i = 1; i < UNITS; i++) rest += value[i] / (UNITS - 1);
    return value[0] / rest;
}

/* Eigenvalues of every seed, raw and centred; ratio[centred * seeds + s]. */
static dlf_status spectra_of(dlf_run *run, dlf_table *table, const layer_moments *m, int k,
                             int64_t n, double *ratio)
{
    const int S = dlf_run_seeds(run);
    const char *name = dlf_activation_name(kinds[k]);
    const size_t NN = (size_t)UNITS * UNITS;
    dlf_status status;
    double *second = malloc((size_t)S * NN * sizeof *second), *a = malloc(NN * sizeof *a);
    double *first = malloc((size_t)S * UNITS * sizeof *first), value[UNITS];
    if (!second || !first || !a) {
        status = dlf_fail(DLF_ERR_OOM, "spectra: out of memory");
        goto done;
    }
    DLF_TRY_DONE(dlf_tensor_download_f64(second, &m->second[k]));
    DLF_TRY_DONE(dlf_tensor_download_f64(first, &m->first[k]));
    for (int centred = 0; centred < 2; centred++)
        for (int s = 0; s < S; s++) {
            const double *mean = first + (size_t)s * UNITS;
            for (size_t i = 0; i < NN; i++)
                a[i] = second[(size_t)s * NN + i] / (double)n -
                       centred * mean[i / UNITS] * mean[i % UNITS] / ((double)n * (double)n);
            dlf_symmetric_eigen(a, UNITS, value, NULL);
            ratio[centred * S + s] = condition(value);
            char arm[48];
            snprintf(arm, sizeof arm, "%s%s", name, centred ? "_centred" : "");
            for (int i = 0; i < UNITS && s == 0; i++)
                DLF_TRY_DONE(dlf_table_row(table, DLF_TXT(arm), DLF_NUM(i + 1), DLF_NUM(value[i])));
        }
done:
    free(first);
    free(a);
    free(second);
    return status;
}

static dlf_status condition_check(dlf_run *run, const char *id, dlf_text claim, const double *ratio,
                                  double expected, const char *source)
{
    const dlf_estimate e = dlf_estimate_of(ratio, dlf_run_seeds(run), 1);
    return dlf_result_check(dlf_run_result(run), (dlf_check){.id = id,
                                                             .claim = claim,
                                                             .measured = e.mean,
                                                             .lo = e.lo,
                                                             .hi = e.hi,
                                                             .n = e.n,
                                                             .expected = expected,
                                                             .tolerance = 0.01,
                                                             .relative = true,
                                                             .relation = DLF_EQUAL,
                                                             .source = source});
}

static dlf_status spectra_checks(dlf_run *run, dlf_table *summary, int k, int64_t n,
                                 const double *ratio)
{
    static const char source[] = "closed form 1 + N m^2/v, m and v over N(0,1) by quadrature; "
                                 "LeCun et al. 1998, Efficient BackProp";
    static const char edge[] = "upper edge of Marchenko & Pastur 1967: (1 + sqrt(N/n))^2, all that "
                               "is left is sampling";
    const dlf_activation_kind kind = kinds[k];
    const char *name = dlf_activation_name(kind);
    const double m = dlf_gaussian_mean(value_of, &kind);
    const double v = dlf_gaussian_mean(square_of, &kind) - m * m;
    const double theory = 1.0 + UNITS * m * m / v;
    const double sampling = pow(1.0 + sqrt(UNITS / (double)n), 2.0);
    const dlf_estimate e = dlf_estimate_of(ratio, dlf_run_seeds(run), 1);
    char id[48], zh[160], en[160];
    DLF_TRY(dlf_table_row(summary, DLF_TXT(name), DLF_NUM(m), DLF_NUM(v), DLF_NUM(e.mean),
                          DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(theory)));
    snprintf(id, sizeof id, "condition_%s", name);
    snprintf(zh, sizeof zh, "%s：一层输出的二阶矩矩阵最大特征值与其余之比为 1 + N m²/v", name);
    snprintf(en, sizeof en,
             "%s: largest eigenvalue of a layer's second moments over the others is "
             "1 + N m²/v",
             name);
    const bool mean_free = kind == DLF_TANH; /* only the spread of the sample remains */
    DLF_TRY(condition_check(run, id, (dlf_text){zh, en}, ratio, mean_free ? sampling : theory,
                            mean_free ? edge : source));
    if (kind != DLF_SIGMOID) return DLF_OK;
    return condition_check(
        run, "condition_centred",
        (dlf_text){"对照：减去均值后 sigmoid 的病态完全消失，原因就是均值",
                   "control: with its mean removed sigmoid is not ill-conditioned at all; the mean "
                   "is the cause"},
        ratio + dlf_run_seeds(run), sampling, edge);
}

static dlf_status spectra_figure(dlf_run *run)
{
    static const struct {
        const char *arm;
        dlf_text label;
        dlf_role role;
    } lines[] = {
        {"sigmoid", {"sigmoid", "sigmoid"}, DLF_MEASURED},
        {"relu", {"ReLU", "ReLU"}, DLF_MEASURED},
        {"sigmoid_centred", {"sigmoid，减去均值", "sigmoid, mean removed"}, DLF_CONTROL},
        {"tanh", {"tanh（均值为 0）", "tanh (mean 0)"}, DLF_CONTROL},
    };
    dlf_figure figure = {
        .id = "spectra",
        .kind = DLF_LINES,
        .title = {"sigmoid 的非零均值使一层的二阶矩矩阵病态；减去均值便恢复",
                  "The mean of sigmoid's outputs makes a layer ill-conditioned; removing it cures "
                  "that"},
        .subtitle = {"100 个独立单元的输出，z ~ N(0,1)；第一个特征值是 v + N m²，其余是 v",
                     "outputs of 100 independent units, z ~ N(0,1); the first eigenvalue is v + N "
                     "m², the others v"},
        .x = {{"特征值序号", "rank of the eigenvalue"}, true},
        .y = {{"特征值", "eigenvalue"}, true}};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        figure.series[i] = (dlf_series){.role = lines[i].role,
                                        .table = "spectra",
                                        .where = "arm",
                                        .equals = lines[i].arm,
                                        .x = "rank",
                                        .y = "eigenvalue",
                                        .label = lines[i].label,
                                        .colour = (int)i};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

dlf_status dlf_relu_spectra(dlf_run *run, double from, double to)
{
    const int S = dlf_run_seeds(run), samples = dlf_run_int(run, "samples");
    const int rows = samples < CHUNK ? samples : CHUNK, chunks = samples / rows;
    const int64_t n = (int64_t)rows * chunks;
    dlf_status status;
    layer_moments m = {0};
    dlf_table *spectra, *summary;
    double *ratio = malloc(2 * (size_t)S * sizeof *ratio);
    if (!ratio) return dlf_fail(DLF_ERR_OOM, "spectra: out of memory");
    DLF_TRY_DONE(moments_new(&m, dlf_run_device(run), S, rows));
    DLF_TRY_DONE(sample(run, &m, chunks, from, 0.5 * (from + to)));
    DLF_TRY_DONE(dlf_result_table(
        dlf_run_result(run), "spectra",
        (dlf_text){"一层输出的二阶矩矩阵的特征值（第一个种子）",
                   "eigenvalues of a layer's second-moment matrix (first seed)"},
        (const dlf_column[]){{"arm", NULL}, {"rank", "1"}, {"eigenvalue", "1"}, {NULL, NULL}},
        &spectra));
    DLF_TRY_DONE(dlf_result_table(
        dlf_run_result(run), "condition",
        (dlf_text){"最大特征值与其余之比", "largest eigenvalue over the mean of the others"},
        (const dlf_column[]){{"activation", NULL},
                             {"m", "1"},
                             {"v", "1"},
                             {"ratio", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {NULL, NULL}},
        &summary));
    for (int k = 0; k < KINDS; k++) {
        DLF_TRY_DONE(dlf_run_stage(run, 0.5 * (from + to) + 0.5 * (to - from) * k / KINDS,
                                   "eigenvalues %s", dlf_activation_name(kinds[k])));
        DLF_TRY_DONE(spectra_of(run, spectra, &m, k, n, ratio));
        DLF_TRY_DONE(spectra_checks(run, summary, k, n, ratio));
    }
    DLF_TRY_DONE(spectra_figure(run));
done:
    moments_free(&m);
    free(ratio);
    return status;
}

/* ---- (c) exact zeros --------------------------------------------------------------------------
 */

dlf_status dlf_relu_sparsity(dlf_run *run)
{
    const int S = dlf_run_seeds(run);
    const int64_t n =
        5 * (int64_t)dlf_run_int(run, "samples"); /* a quarter of a million per seed */
    const dlf_rng rng = {dlf_run_seed(run), dlf_stream(DLF_PURPOSE_INPUT, 0x10000u)};
    dlf_status status;
    dlf_tensor z = {0}, moments = {0};
    double *host = malloc((size_t)S * DLF_MOMENTS * sizeof *host);
    if (!host) return dlf_fail(DLF_ERR_OOM, "sparsity: out of memory");
    DLF_TRY_DONE(dlf_tensor_new(&z, dlf_run_device(run), dlf_run_device(run)->real, S, n));
    DLF_TRY_DONE(dlf_tensor_new(&moments, dlf_run_device(run), DLF_F64, S, DLF_MOMENTS));
    DLF_TRY_DONE(dlf_random_normal(&z, NULL, NULL, rng));
    DLF_TRY_DONE(dlf_activation_forward(&z, &z, dlf_activation_of(DLF_RELU)));
    DLF_TRY_DONE(dlf_moments(&moments, &z));
    DLF_TRY_DONE(dlf_tensor_download_f64(host, &moments));
    for (int s = 0; s < S; s++) host[s] = host[s * DLF_MOMENTS + DLF_MOMENT_ZEROS] / (double)n;
    const dlf_estimate e = dlf_estimate_of(host, S, 1);
    DLF_TRY_DONE(dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "half_zero",
                    .claim = {"随机层中 ReLU 的输出恰有一半为 0",
                              "in a random layer exactly half of ReLU's outputs are 0"},
                    .measured = e.mean,
                    .lo = e.lo,
                    .hi = e.hi,
                    .n = e.n,
                    .expected = 0.5,
                    .tolerance = fmax(0.002, 4.0 * sqrt(0.25 / ((double)n * S))),
                    .relation = DLF_EQUAL,
                    .source = "closed form: P(z <= 0) = 1/2 by symmetry; Glorot, Bordes & Bengio "
                              "2011; tolerance 0.002 or four standard errors"}));
done:
    dlf_tensor_free(&moments);
    dlf_tensor_free(&z);
    free(host);
    return status;
}

/* ---- (d) born dead ----------------------------------------------------------------------------
 *
 * Zero biases, symmetric weights: given that its input is not 0, each unit is negative with
 * probability 1/2 independently, so a layer is all dead with probability 2^-N, and dead it stays.
 */

enum { LAYERS = 50, CASES = 4 };

static const struct dead_case {
    const char *arm;
    dlf_text label;
    dlf_activation_kind kind;
    int width, depth; /* depth of the check; 0: the control, which cannot die */
} cases[CASES] = {
    {"relu_3", {"ReLU，宽 3", "ReLU, width 3"}, DLF_RELU, 3, 10},
    {"relu_5", {"ReLU，宽 5", "ReLU, width 5"}, DLF_RELU, 5, 20},
    {"relu_8", {"ReLU，宽 8", "ReLU, width 8"}, DLF_RELU, 8, 50},
    {"leaky_3", {"对照：leaky ReLU，宽 3", "control: leaky ReLU, width 3"}, DLF_LEAKY_RELU, 3, 0},
};

typedef struct net_chain {
    dlf_tensor v, next, w, scale, moments;
} net_chain;

static void chain_free(net_chain *c)
{
    dlf_tensor_free(&c->v);
    dlf_tensor_free(&c->next);
    dlf_tensor_free(&c->w);
    dlf_tensor_free(&c->scale);
    dlf_tensor_free(&c->moments);
}

static dlf_status chain_new(net_chain *c, dlf_device *dev, int64_t P, int64_t N)
{
    DLF_TRY(dlf_tensor_new(&c->v, dev, dev->real, P, 1, N));
    DLF_TRY(dlf_tensor_new(&c->next, dev, dev->real, P, 1, N));
    DLF_TRY(dlf_tensor_new(&c->w, dev, dev->real, P, N, N));
    DLF_TRY(dlf_tensor_new(&c->scale, dev, dev->real, P));
    return dlf_tensor_new(&c->moments, dev, DLF_F64, P, DLF_MOMENTS);
}

/* dead[(layer - 1) * seeds + s]: share of the seed's networks whose layer `layer` is all zeros. The
 * scale of every signal is set to 1 before each layer, which no zero depends on, so that float32
 * does not lose a small signal. */
static dlf_status propagate_until_dead(dlf_run *run, const struct dead_case *d, double *dead)
{
    const int S = dlf_run_seeds(run), trials = dlf_run_int(run, "trials"), P = S * trials;
    dlf_status status;
    net_chain c = {0};
    double *host = malloc((size_t)P * DLF_MOMENTS * sizeof *host);
    double *scale = malloc((size_t)P * sizeof *scale);
    if (!host || !scale) {
        status = dlf_fail(DLF_ERR_OOM, "born dead: out of memory");
        goto done;
    }
    DLF_TRY_DONE(chain_new(&c, dlf_run_device(run), P, d->width));
    DLF_TRY_DONE(dlf_random_normal(&c.v, NULL, NULL,
                                   (dlf_rng){dlf_run_seed(run), dlf_stream(DLF_PURPOSE_START, 0)}));
    for (int p = 0; p < P; p++) scale[p] = 1.0;
    for (int l = 1; l <= LAYERS; l++) {
        const uint32_t stream = dlf_stream(DLF_PURPOSE_WEIGHTS, (uint32_t)(0x1000 * d->width + l));
        DLF_TRY_DONE(dlf_tensor_upload_f64(&c.scale, scale));
        DLF_TRY_DONE(dlf_random_normal(&c.w, NULL, &c.scale, (dlf_rng){dlf_run_seed(run), stream}));
        DLF_TRY_DONE(dlf_gemm(&c.next, &c.v, &c.w, (dlf_gemm_args){.trans_b = true, .alpha = 1.0}));
        DLF_TRY_DONE(dlf_activation_forward(&c.v, &c.next, dlf_activation_of(d->kind)));
        DLF_TRY_DONE(dlf_moments(&c.moments, &c.v));
        DLF_TRY_DONE(dlf_tensor_download_f64(host, &c.moments));
        for (int s = 0; s < S; s++) dead[(l - 1) * S + s] = 0.0;
        for (int p = 0; p < P; p++) {
            const double *m = host + p * DLF_MOMENTS;
            dead[(l - 1) * S + p / trials] += (m[DLF_MOMENT_ZEROS] == d->width) / (double)trials;
            scale[p] = m[DLF_MOMENT_MAX_ABS] > 0.0 ? 1.0 / m[DLF_MOMENT_MAX_ABS] : 1.0;
        }
    }
done:
    chain_free(&c);
    free(scale);
    free(host);
    return status;
}

static double born_dead(int width, int depth)
{
    return -expm1(depth * log1p(-ldexp(1.0, -width)));
}

static dlf_status dead_check(dlf_run *run, const struct dead_case *d, const double *dead)
{
    const int S = dlf_run_seeds(run), trials = dlf_run_int(run, "trials");
    const int depth = d->depth ? d->depth : LAYERS;
    const double theory = d->depth ? born_dead(d->width, depth) : 0.0;
    const double se = sqrt(theory * (1.0 - theory) / ((double)S * trials));
    const dlf_estimate e = dlf_estimate_of(dead + (depth - 1) * S, S, 1);
    char id[48], zh[160], en[160];
    snprintf(id, sizeof id, "born_dead_%s", d->arm);
    if (d->depth) {
        snprintf(zh, sizeof zh, "宽 %d、深 %d 的 ReLU 网络出生即死亡的概率是 1−(1−2⁻ᴺ)ᴸ", d->width,
                 depth);
        snprintf(en, sizeof en,
                 "a ReLU network of width %d and depth %d is born dead with probability "
                 "1−(1−2⁻ᴺ)ᴸ",
                 d->width, depth);
    } else {
        snprintf(zh, sizeof zh, "对照：leaky ReLU 的网络从不死亡");
        snprintf(en, sizeof en, "control: no network of leaky ReLU is ever dead");
    }
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = id,
                    .claim = {zh, en},
                    .measured = e.mean,
                    .lo = e.lo,
                    .hi = e.hi,
                    .n = e.n,
                    .expected = theory,
                    .tolerance = 3.0 * se,
                    .relation = DLF_EQUAL,
                    .source = "closed form for one input and zero biases; dying ReLU: Lu et al. "
                              "2019; tolerance three binomial standard errors"});
}

static dlf_status dead_figure(dlf_run *run)
{
    dlf_figure figure = {
        .id = "born_dead",
        .kind = DLF_LINES,
        .title = {"窄而深的 ReLU 网络多半出生即死亡；leaky ReLU 不会",
                  "Narrow deep ReLU networks are mostly born dead; leaky ReLU never is"},
        .subtitle = {"一个输入、偏置为零；虚线为精确公式 1−(1−2⁻ᴺ)ᴸ",
                     "one input, zero biases; dashed: the exact 1−(1−2⁻ᴺ)ᴸ"},
        .x = {{"深度 L", "depth L"}, false},
        .y = {{"整层为零的网络比例", "share of networks with a layer of zeros"}, false}};
    int n = 0;
    for (int i = 0; i < CASES; i++) {
        figure.series[n++] =
            dlf_arm_series(cases[i].depth ? DLF_MEASURED : DLF_CONTROL, "born_dead", "arm",
                           cases[i].arm, "depth", "dead", cases[i].label, i);
        if (!cases[i].depth) continue;
        figure.series[n] = figure.series[n - 1];
        figure.series[n].role = DLF_THEORY;
        figure.series[n].y = "theory";
        figure.series[n].lo = figure.series[n].hi = NULL;
        figure.series[n].label = i ? (dlf_text){"", ""} : (dlf_text){"理论", "theory"};
        n++;
    }
    return dlf_result_figure(dlf_run_result(run), &figure);
}

dlf_status dlf_relu_born_dead(dlf_run *run, double from, double to)
{
    const int S = dlf_run_seeds(run);
    dlf_status status;
    dlf_table *table;
    double *dead = malloc((size_t)LAYERS * (size_t)S * sizeof *dead);
    if (!dead) return dlf_fail(DLF_ERR_OOM, "born dead: out of memory");
    DLF_TRY_DONE(dlf_result_table(dlf_run_result(run), "born_dead",
                                  (dlf_text){"出生即死亡的网络", "networks that are born dead"},
                                  (const dlf_column[]){{"arm", NULL},
                                                       {"width", "units"},
                                                       {"depth", "layers"},
                                                       {"dead", "1"},
                                                       {"lo", "1"},
                                                       {"hi", "1"},
                                                       {"theory", "1"},
                                                       {NULL, NULL}},
                                  &table));
    for (int i = 0; i < CASES; i++) {
        DLF_TRY_DONE(
            dlf_run_stage(run, from + (to - from) * i / CASES, "born dead: %s", cases[i].arm));
        DLF_TRY_DONE(propagate_until_dead(run, &cases[i], dead));
        for (int l = 1; l <= LAYERS; l++) {
            const dlf_estimate e = dlf_estimate_of(dead + (l - 1) * S, S, 1);
            const double theory = cases[i].depth ? born_dead(cases[i].width, l) : 0.0;
            DLF_TRY_DONE(dlf_table_row(table, DLF_TXT(cases[i].arm), DLF_NUM(cases[i].width),
                                       DLF_NUM(l), DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                                       DLF_NUM(theory)));
        }
        DLF_TRY_DONE(dead_check(run, &cases[i], dead));
    }
    DLF_TRY_DONE(dead_figure(run));
done:
    free(dead);
    return status;
}
