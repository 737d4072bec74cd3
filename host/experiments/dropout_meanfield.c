/* SPDX-License-Identifier: MIT
 * dropout_meanfield.c -- Q31 on wide random tanh networks: two inputs under independent masks,
 * their correlation layer by layer, its fixed point c* and depth scale xi_c, by simulation and in
 * theory. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "dlf/theory.h"
#include "dropout.h"
#include "seed_check.h"

enum { KEEPS = 5, WEIGHTS = 5, ARMS = KEEPS * WEIGHTS, EDGE = 2, TWINS = 8, ROWS = 2 * TWINS };
static const double keeps[KEEPS] = {1.0, 0.99, 0.95, 0.9, 0.5};
static const char *const keep_ids[KEEPS] = {"1", "0.99", "0.95", "0.9", "0.5"};
static const double biases = 0.05;

typedef struct study {
    int width, depth, seeds;
    dlf_activation f;
    double weights[WEIGHTS]; /* sigma_w^2; number EDGE: the edge of chaos without dropout */
    dlf_meanfield theory[ARMS];
    /* (depth+1, ARMS, seeds): mean correlation of inputs that were equal / independent at layer 1
     */
    double *equal, *apart;
    double *value; /* (seeds) scratch */
} study;

static double *cell(const study *s, double *field, int layer, int arm)
{
    return field + (layer * ARMS + arm) * s->seeds;
}

/* ---- simulation ---- */

typedef struct nets {
    dlf_tensor w, b, x, z, gram, zero, seed, rate, gain, bias, scale;
    float *start;
    double *host;
} nets;

static void nets_free(nets *n)
{
    dlf_tensor *all[] = {&n->w,    &n->b,    &n->x,    &n->z,    &n->gram, &n->zero,
                         &n->seed, &n->rate, &n->gain, &n->bias, &n->scale};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
    free(n->start);
    free(n->host);
}

static dlf_status upload_arms(dlf_tensor *t, dlf_device *dev, const double *values)
{
    DLF_TRY(dlf_tensor_new(t, dev, dev->real, ARMS));
    return dlf_tensor_upload_f64(t, values);
}

/* One weight matrix for all arms: they differ in its scale and in their masks only. */
static dlf_status nets_new(nets *n, const study *s, dlf_device *dev)
{
    const int64_t N = s->width;
    const int32_t none[ARMS] = {0};
    double rate[ARMS], gain[ARMS], bias[ARMS];
    n->start = malloc((size_t)(ARMS * ROWS * N) * sizeof *n->start);
    n->host = malloc((size_t)ARMS * ROWS * ROWS * sizeof *n->host);
    if (!n->start || !n->host) return dlf_fail(DLF_ERR_OOM, "dropout: out of memory");
    for (int a = 0; a < ARMS; a++) {
        rate[a] = 1.0 - keeps[a / WEIGHTS];
        gain[a] = sqrt(s->weights[a % WEIGHTS]);
        bias[a] = sqrt(biases);
    }
    DLF_TRY(upload_arms(&n->rate, dev, rate));
    DLF_TRY(upload_arms(&n->gain, dev, gain));
    DLF_TRY(upload_arms(&n->bias, dev, bias));
    DLF_TRY(dlf_tensor_new(&n->zero, dev, DLF_I32, ARMS));
    DLF_TRY(dlf_tensor_upload_i32(&n->zero, none));
    DLF_TRY(dlf_tensor_new(&n->seed, dev, DLF_I32, 1));
    DLF_TRY(dlf_tensor_new(&n->scale, dev, dev->real, 1));
    DLF_TRY(dlf_tensor_upload_f64(&n->scale, (const double[]){1.0 / sqrt((double)N)}));
    DLF_TRY(dlf_tensor_new(&n->w, dev, dev->real, 1, N, N));
    DLF_TRY(dlf_tensor_new(&n->b, dev, dev->real, ARMS, N));
    DLF_TRY(dlf_tensor_new(&n->x, dev, dev->real, ARMS, ROWS, N));
    DLF_TRY(dlf_tensor_new(&n->z, dev, dev->real, ARMS, ROWS, N));
    return dlf_tensor_new(&n->gram, dev, dev->real, ARMS, ROWS, ROWS);
}

/* Layer 1 on its fixed length: TWINS equal rows, TWINS independent ones. */
static dlf_status start(nets *n, const study *s, uint64_t seed, int draw)
{
    const int N = s->width;
    for (int a = 0; a < ARMS; a++)
        for (int r = 0; r < ROWS; r++)
            for (int i = 0; i < N; i++)
                n->start[(a * ROWS + r) * N + i] =
                    (float)sqrt(s->theory[a].q_star) *
                    dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 150), (uint32_t)draw,
                                   (uint64_t)((r < TWINS ? 0 : r) * N + i));
    return dlf_tensor_upload(&n->z, n->start);
}

/* z^l -> z^(l+1) */
static dlf_status layer(nets *n, const study *s, uint64_t seed, int draw, int l)
{
    const uint32_t at = 0x10000u + (uint32_t)l;
    const uint64_t masks = (uint64_t)ROWS * (uint64_t)s->width;
    const dlf_rng weights = {seed, dlf_stream(DLF_PURPOSE_WEIGHTS, at)};
    /* the bias draws of a seed: member 0 of its own stream, so that all arms share them */
    const dlf_rng biased = {seed, dlf_stream(DLF_PURPOSE_BIAS, at + 1000u * (uint32_t)draw)};
    const dlf_dropout how = {
        .rng = {seed, dlf_stream(DLF_PURPOSE_DROPOUT, 0x10000u + (uint32_t)draw)},
        .first = (uint64_t)l * masks,
        .run = 1,
        .rescale = true};
    DLF_TRY(dlf_activation_forward(&n->x, &n->z, s->f));
    DLF_TRY(dlf_dropout_apply(&n->x, &n->x, &n->zero, &n->rate, NULL, how));
    DLF_TRY(dlf_random_normal(&n->w, &n->seed, &n->scale, weights));
    DLF_TRY(dlf_gemm(&n->z, &n->x, &n->w, (dlf_gemm_args){.trans_b = true, .alpha = 1.0}));
    DLF_TRY(dlf_axpby(&n->z, &n->z, &n->gain, 1.0, 0.0));
    DLF_TRY(dlf_random_normal(&n->b, &n->zero, &n->bias, biased));
    return dlf_bias_add(&n->z, &n->z, &n->b);
}

/* Inner product of different rows over the mean square length: all pairs that began alike, and all
 * that began apart. */
static dlf_status look(nets *n, study *s, int draw, int l)
{
    DLF_TRY(dlf_gemm(&n->gram, &n->z, &n->z, (dlf_gemm_args){.trans_b = true, .alpha = 1.0}));
    DLF_TRY(dlf_tensor_download_f64(n->host, &n->gram));
    for (int a = 0; a < ARMS; a++) {
        const double *g = n->host + a * ROWS * ROWS;
        double equal = 0.0, apart = 0.0, twins = 0.0, all = 0.0;
        int equals = 0, aparts = 0;
        for (int i = 0; i < ROWS; i++) {
            all += g[i * ROWS + i] / ROWS;
            if (i < TWINS) twins += g[i * ROWS + i] / TWINS;
            for (int j = 0; j < i; j++) {
                if (i < TWINS) {
                    equal += g[i * ROWS + j];
                    equals++;
                } else {
                    apart += g[i * ROWS + j];
                    aparts++;
                }
            }
        }
        cell(s, s->equal, l, a)[draw] = equal / equals / twins;
        cell(s, s->apart, l, a)[draw] = apart / aparts / all;
    }
    return DLF_OK;
}

static dlf_status simulate(dlf_run *run, study *s, double from, double to)
{
    dlf_status status;
    nets n = {0};
    const uint64_t seed = dlf_run_seed(run);
    DLF_TRY_DONE(nets_new(&n, s, dlf_run_device(run)));
    for (int draw = 0; draw < s->seeds; draw++) {
        DLF_TRY_DONE(dlf_tensor_upload_i32(&n.seed, (const int32_t[]){draw}));
        DLF_TRY_DONE(start(&n, s, seed, draw));
        DLF_TRY_DONE(look(&n, s, draw, 1));
        for (int l = 1; l < s->depth; l++) {
            if (l % 8 == 1)
                DLF_TRY_DONE(dlf_run_stage(
                    run, from + (to - from) * (draw + (double)l / s->depth) / s->seeds,
                    "random networks with dropout: layer %d", l));
            DLF_TRY_DONE(layer(&n, s, seed, draw, l));
            DLF_TRY_DONE(look(&n, s, draw, l + 1));
        }
    }
done:
    nets_free(&n);
    return status;
}

/* ---- what is read off ---- */

/* c* of one seed: both groups, last third of the layers. Without masks equal rows stay equal, so
 * that only the others tell. */
static dlf_estimate fixed_point(study *s, int arm)
{
    const int first = 2 * s->depth / 3;
    for (int d = 0; d < s->seeds; d++) {
        double sum = 0.0;
        for (int l = first + 1; l <= s->depth; l++) {
            const double apart = cell(s, s->apart, l, arm)[d];
            sum += arm / WEIGHTS ? 0.5 * (apart + cell(s, s->equal, l, arm)[d]) : apart;
        }
        s->value[d] = sum / (s->depth - first);
    }
    return dlf_estimate_of(s->value, s->seeds, 1);
}

/* Slope of ln(mean gap) over layers where theory has the two groups between 0.25 and 0.04 apart:
 * late enough to be linear, early enough to be above the noise. Minus the slope, 1/xi_c; all draws
 * but `skip`. */
static double rate_without(const study *s, int arm, const double *gap, int skip)
{
    double n = 0.0, sx = 0.0, sy = 0.0, sxx = 0.0, sxy = 0.0;
    for (int l = 1; l <= s->depth; l++) {
        double apart = 0.0;
        for (int d = 0; d < s->seeds; d++)
            if (d != skip) apart += cell(s, s->equal, l, arm)[d] - cell(s, s->apart, l, arm)[d];
        if (gap[l] > 0.25 || gap[l] < 0.04 || !(apart > 0.0)) continue;
        n += 1.0;
        sx += l;
        sy += log(apart);
        sxx += (double)l * l;
        sxy += l * log(apart);
    }
    return n < 2.0 ? (double)NAN : -(n * sxy - sx * sy) / (n * sxx - sx * sx);
}

/* xi_c with the jackknife's interval, taken of the rate: one gap is too noisy for a logarithm. */
static dlf_estimate depth_scale(const study *s, int arm, const double *gap)
{
    const double all = rate_without(s, arm, gap, -1);
    for (int d = 0; d < s->seeds; d++)
        s->value[d] = s->seeds * all - (s->seeds - 1) * rate_without(s, arm, gap, d);
    dlf_estimate e = dlf_estimate_of(s->value, s->seeds, 1);
    const double half = e.hi - e.mean;
    e.mean = 1.0 / all;
    e.lo = 1.0 / (all + half);
    e.hi = all > half ? 1.0 / (all - half) : (double)INFINITY;
    return e;
}

/* The same gap in theory: the map iterated from 1 and from 0. path (2, depth+1); the gap of layer l
 * comes to lie at path[l]. */
static void theory_gap(const study *s, int arm, double *path)
{
    double *equal = path + 1, *apart = path + s->depth + 2;
    equal[0] = 1.0;
    apart[0] = 0.0;
    dlf_meanfield_dropout_path(&s->theory[arm], s->f, equal, s->depth - 1);
    dlf_meanfield_dropout_path(&s->theory[arm], s->f, apart, s->depth - 1);
    /* 1 is a fixed point without masks, but for the rounding of the series */
    for (int l = 1; l <= s->depth; l++) path[l] = (arm / WEIGHTS ? path[l] : 1.0) - apart[l - 1];
}

/* ---- report ---- */

static dlf_status theory_table(dlf_run *run, const study *s)
{
    enum { POINTS = 16 };
    dlf_table *t;
    double w2[POINTS + 2];
    int n = 0;
    for (int i = 0; i < POINTS; i++) {
        const double at = 1.0 + 3.0 * i / (POINTS - 1), edge = s->weights[EDGE];
        if (n && w2[n - 1] < edge && at > edge) { /* close to where keep = 1 diverges */
            w2[n++] = edge * 0.999;
            w2[n++] = edge * 1.001;
        }
        w2[n++] = at;
    }
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "criticality_theory",
        (dlf_text){"不动点与深度尺度（理论）", "fixed point and depth scale in theory"},
        (const dlf_column[]){
            {"keep", NULL}, {"sigma_w2", "1"}, {"c_star", "1"}, {"xi_c", "layer"}, {NULL, NULL}},
        &t));
    for (int k = 0; k < KEEPS; k++) {
        double most = 0.0;
        for (int i = 0; i < n; i++) {
            const dlf_meanfield m = dlf_meanfield_dropout(s->f, w2[i], biases, keeps[k]);
            most = fmax(most, m.xi_c);
            DLF_TRY(dlf_table_row(t, DLF_TXT(keep_ids[k]), DLF_NUM(w2[i]), DLF_NUM(m.c_star),
                                  DLF_NUM(m.xi_c)));
        }
        char id[32];
        snprintf(id, sizeof id, "most_xi_%d", (int)lround(100 * keeps[k]));
        DLF_TRY(dlf_result_fact(dlf_run_result(run), id, most, "layer"));
    }
    return DLF_OK;
}

static dlf_check worst_of(dlf_check worst, dlf_check c)
{
    const double a = fabs(worst.measured - worst.expected) / worst.tolerance;
    const double b = fabs(c.measured - c.expected) / c.tolerance;
    return worst.id && !(b > a) ? worst : c;
}

static dlf_status layer_rows(dlf_table *t, study *s, int arm, const double *gap)
{
    for (int l = 1; l <= s->depth && gap[l] > 0.04; l++) { /* below: noise at these widths */
        for (int d = 0; d < s->seeds; d++)
            s->value[d] = cell(s, s->equal, l, arm)[d] - cell(s, s->apart, l, arm)[d];
        const dlf_estimate e = dlf_estimate_of(s->value, s->seeds, 1);
        DLF_TRY(dlf_table_row(t, DLF_TXT(keep_ids[arm / WEIGHTS]), DLF_NUM(l), DLF_NUM(e.mean),
                              DLF_NUM(fmax(e.lo, 0.01)), DLF_NUM(e.hi), DLF_NUM(gap[l])));
    }
    return DLF_OK;
}

static dlf_check c_star_check(const study *s, int arm, dlf_estimate c)
{
    const double xi = s->theory[arm].xi_c, kept = fmin(xi, s->depth / 3.0);
    dlf_check check = dlf_check_of(
        arm / WEIGHTS ? "c_star" : "c_star_control",
        arm / WEIGHTS
            ? (dlf_text){"随机网络的相关系数收敛到理论的 c*",
                         "correlations in random networks converge to c* of theory"}
            : (dlf_text){"对照：不丢弃、有序相中，相关系数趋于 1",
                         "control: without dropout, in the ordered phase, they converge to 1"},
        c);
    check.expected = s->theory[arm].c_star;
    /* a layer adds noise of variance about 1/width, kept for xi_c / 2 layers; averaged over seeds
     * and over depth / 3 layers */
    check.tolerance =
        fmax(0.02, 4.0 * sqrt(0.5 * kept / s->width / s->seeds * fmin(1.0, 3.0 * kept / s->depth)));
    check.source = "Schoenholz et al. 2017, section 5; quadrature; the worst of all σw²";
    return check;
}

static dlf_check xi_check(const study *s, int arm, dlf_estimate xi)
{
    dlf_check check = dlf_check_of("xi_c",
                                   (dlf_text){"收敛的深度尺度 ξc 与理论一致",
                                              "the depth scale ξc of convergence is that of "
                                              "theory"},
                                   xi);
    check.expected = s->theory[arm].xi_c;
    check.relative = true;
    check.tolerance = 0.25; /* gaps of 0.04 to 0.25 have noise of about 0.02 */
    check.source = "Schoenholz et al. 2017, section 5; slope of the gap from 0.25 to 0.04; the "
                   "worst of keep 0.9 to 0.99 at the edge";
    return check;
}

static dlf_status measured_tables(dlf_run *run, study *s, double *gap)
{
    dlf_table *c_table, *xi_table, *layers;
    dlf_check c_star = {.id = NULL}, xi = {.id = NULL}, control = {.id = NULL};
    dlf_result *out = dlf_run_result(run);
    DLF_TRY(dlf_result_table(out, "c_star", (dlf_text){"不动点（模拟）", "fixed point, simulated"},
                             (const dlf_column[]){{"keep", NULL},
                                                  {"sigma_w2", "1"},
                                                  {"c_star", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {NULL, NULL}},
                             &c_table));
    DLF_TRY(dlf_result_table(out, "xi_c", (dlf_text){"深度尺度（模拟）", "depth scale, simulated"},
                             (const dlf_column[]){{"keep", NULL},
                                                  {"sigma_w2", "1"},
                                                  {"xi_c", "layer"},
                                                  {"lo", "layer"},
                                                  {"hi", "layer"},
                                                  {"theory", "layer"},
                                                  {NULL, NULL}},
                             &xi_table));
    DLF_TRY(dlf_result_table(
        out, "correlation_by_layer",
        (dlf_text){"临界处两组输入相关系数之差", "gap between the two groups at the edge"},
        (const dlf_column[]){{"keep", NULL},
                             {"layer", "layer"},
                             {"gap", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {NULL, NULL}},
        &layers));
    for (int a = 0; a < ARMS; a++) {
        const int k = a / WEIGHTS, i = a % WEIGHTS;
        theory_gap(s, a, gap);
        const dlf_estimate c = fixed_point(s, a);
        DLF_TRY(dlf_table_row(c_table, DLF_TXT(keep_ids[k]), DLF_NUM(s->weights[i]),
                              DLF_NUM(c.mean), DLF_NUM(c.lo), DLF_NUM(c.hi),
                              DLF_NUM(s->theory[a].c_star)));
        if (k)
            c_star = worst_of(c_star, c_star_check(s, a, c));
        else if (i < EDGE)
            control = worst_of(control, c_star_check(s, a, c));
        if (i == EDGE) DLF_TRY(layer_rows(layers, s, a, gap));
        /* Without masks equal inputs stay equal: in the chaotic phase that is not where the others
         * go, and at the edge there is no such scale. */
        if (!k && i >= EDGE) continue;
        const dlf_estimate x = depth_scale(s, a, gap);
        DLF_TRY(dlf_table_row(xi_table, DLF_TXT(keep_ids[k]), DLF_NUM(s->weights[i]),
                              DLF_NUM(x.mean), DLF_NUM(x.lo), DLF_NUM(x.hi),
                              DLF_NUM(s->theory[a].xi_c)));
        if (k >= 1 && k <= 3 && i == EDGE) xi = worst_of(xi, xi_check(s, a, x));
    }
    DLF_TRY(dlf_result_check(out, c_star));
    DLF_TRY(dlf_result_check(out, control));
    return dlf_result_check(out, xi);
}

/* Figures of one column: theory dashed, simulation as points, keep = 1 grey. */
static dlf_status figure(dlf_run *run, const char *id, dlf_text title, dlf_text subtitle,
                         dlf_axis x, dlf_axis y, const dlf_series *like, const char *theory_table,
                         const char *theory_y, int count)
{
    static const dlf_text labels[KEEPS] = {{"对照：keep = 1", "control: keep = 1"},
                                           {"keep = 0.99", "keep = 0.99"},
                                           {"keep = 0.95", "keep = 0.95"},
                                           {"keep = 0.9", "keep = 0.9"},
                                           {"keep = 0.5", "keep = 0.5"}};
    dlf_figure f = {
        .id = id, .kind = DLF_LINES, .title = title, .subtitle = subtitle, .x = x, .y = y};
    for (int k = 0; k < count; k++) {
        f.series[2 * k] = *like;
        f.series[2 * k].role = k ? DLF_MEASURED : DLF_CONTROL;
        f.series[2 * k].equals = keep_ids[k];
        f.series[2 * k].label = labels[k];
        f.series[2 * k].colour = k;
        f.series[2 * k + 1] = f.series[2 * k];
        f.series[2 * k + 1].role = DLF_THEORY;
        f.series[2 * k + 1].table = theory_table;
        f.series[2 * k + 1].y = theory_y;
        f.series[2 * k + 1].lo = f.series[2 * k + 1].hi = NULL;
        f.series[2 * k + 1].points = false;
        f.series[2 * k + 1].label = (dlf_text){"理论", "theory"};
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status figures(dlf_run *run)
{
    const dlf_axis w2 = {{"σw²", "σw²"}, false};
    dlf_series s = {.table = "c_star",
                    .where = "keep",
                    .x = "sigma_w2",
                    .y = "c_star",
                    .lo = "lo",
                    .hi = "hi",
                    .points = true};
    const dlf_text net = {
        "随机 tanh 网络，σb² = 0.05；虚线：平均场理论，点：模拟",
        "random tanh networks, σb² = 0.05; dashed: mean field, points: simulation"};
    DLF_TRY(figure(run, "c_star",
                   (dlf_text){"有 dropout 时，相同输入也会分开：c* < 1",
                              "With dropout even equal inputs come apart: c* < 1"},
                   net, w2, (dlf_axis){{"不动点 c*", "fixed point c*"}, false}, &s,
                   "criticality_theory", "c_star", KEEPS));
    s.table = s.y = "xi_c";
    DLF_TRY(figure(run, "xi_c",
                   (dlf_text){"dropout 抹掉临界点：只有 keep = 1（对照）时 ξc 发散",
                              "Dropout removes the critical point: ξc diverges at keep = 1 only"},
                   net, w2, (dlf_axis){{"深度尺度 ξc / 层", "depth scale ξc / layers"}, true}, &s,
                   "criticality_theory", "xi_c", KEEPS));
    s = (dlf_series){.table = "correlation_by_layer",
                     .where = "keep",
                     .x = "layer",
                     .y = "gap",
                     .lo = "lo",
                     .hi = "hi",
                     .points = true};
    return figure(run, "correlation_by_layer",
                  (dlf_text){"在无 dropout 的临界点上：对照按幂律收敛，有 dropout 时按指数",
                             "At the critical point: without dropout a power law, with it an "
                             "exponential"},
                  (dlf_text){"起始时相同与独立的输入，其相关系数之差；虚线：理论",
                             "gap in correlation between inputs that began equal and independent; "
                             "dashed: theory"},
                  (dlf_axis){{"层", "layer"}, false}, (dlf_axis){{"相关系数之差", "gap"}, true}, &s,
                  "correlation_by_layer", "theory", KEEPS);
}

dlf_status dlf_dropout_meanfield(dlf_run *run, double from, double to)
{
    dlf_status status;
    study s = {.width = dlf_run_int(run, "width"),
               .depth = dlf_run_int(run, "depth"),
               .seeds = dlf_run_seeds(run),
               .f = dlf_activation_of(DLF_TANH),
               .weights = {1.0, 1.4, 0.0, 2.5, 4.0}};
    const size_t each = (size_t)(s.depth + 1) * ARMS * (size_t)s.seeds;
    double *memory = calloc(2 * each + (size_t)(s.seeds + 2 * (s.depth + 1)), sizeof *memory);
    if (!memory) return dlf_fail(DLF_ERR_OOM, "dropout: out of memory");
    s.equal = memory;
    s.apart = memory + each;
    s.value = memory + 2 * each;
    s.weights[EDGE] = dlf_meanfield_edge(s.f, biases);
    for (int a = 0; a < ARMS; a++)
        s.theory[a] =
            dlf_meanfield_dropout(s.f, s.weights[a % WEIGHTS], biases, keeps[a / WEIGHTS]);
    DLF_TRY_DONE(simulate(run, &s, from, to));
    DLF_TRY_DONE(theory_table(run, &s));
    DLF_TRY_DONE(measured_tables(run, &s, s.value + s.seeds));
    DLF_TRY_DONE(figures(run));
done:
    free(memory);
    return status;
}
