/* SPDX-License-Identifier: MIT
 * norm_axes_invariance.c -- Q33: what a norm does not see. Each transformation of weights or data
 * multiplies z by a and adds b; a norm is invariant exactly if neither varies over the axes of its
 * A (a > 0; RMS norm: no b at all). So the axis table predicts every cell, and every cell is
 * measured. For a fully connected layer this is table 1 of Ba, Kiros & Hinton (2016). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "norm_axes.h"
#include "seed_check.h"

/* What a transformation does to z: is there a factor (a shift), and over which axes does it vary?
 */
enum { SOME = 8 };
enum {
    WEIGHT_SCALE,
    WEIGHT_RECENTRE,
    WEIGHT_ROW,
    DATA_SCALE,
    DATA_RECENTRE,
    ONE_CASE, /* up to here: the six of Ba et al. */
    OWN_CONTRAST,
    DATA_CONSTANT,
    OTHER_SAMPLE,
    TRANSFORMATIONS
};
enum { TABLE_1 = ONE_CASE + 1, PUBLISHED = 3 };

static const struct {
    const char *id;
    dlf_text name;
    unsigned factor, shift;
} transformation[TRANSFORMATIONS] = {
    [WEIGHT_SCALE] = {"weight_scale", {"权重缩放", "weights scaled"}, SOME, 0},
    [WEIGHT_RECENTRE] = {"weight_recentre",
                         {"权重平移", "weights shifted"},
                         0,
                         SOME | AXIS_SAMPLES | AXIS_POSITIONS},
    [WEIGHT_ROW] = {"weight_row", {"一行权重缩放", "one row scaled"}, SOME | AXIS_CHANNELS, 0},
    [DATA_SCALE] = {"data_scale", {"数据缩放", "data scaled"}, SOME, 0},
    [DATA_RECENTRE] = {"data_recentre",
                       {"数据平移", "data shifted"},
                       0,
                       SOME | AXIS_CHANNELS | AXIS_POSITIONS},
    [ONE_CASE] = {"one_case", {"单个样本缩放", "one case scaled"}, SOME | AXIS_SAMPLES, 0},
    [OWN_CONTRAST] = {"own_contrast",
                      {"各图自己的对比度", "own contrast"},
                      SOME | AXIS_SAMPLES,
                      SOME | AXIS_SAMPLES | AXIS_CHANNELS},
    [DATA_CONSTANT] = {"data_constant", {"数据加常数", "data + constant"}, 0, SOME | AXIS_CHANNELS},
    [OTHER_SAMPLE] = {"other_sample", {"换掉另一样本", "other sample replaced"}, 0, 0},
};

/* The layer: images (N,Cin,side,side), kernel x kernel filters without padding. */
typedef struct layer_shape {
    const char *id;
    int N, inputs, side, kernel, C, groups, columns;
} layer_shape;
static const layer_shape conv = {"conv", 4, 3, 7, 3, 8, 4, TRANSFORMATIONS};
static const layer_shape fc = {"fc", 16, 20, 1, 1, 12, 4, TABLE_1};

static bool invariant(int method, int t, bool spatial)
{
    const unsigned none = spatial ? 0u : AXIS_POSITIONS;
    const unsigned factor = transformation[t].factor & ~none,
                   shift = transformation[t].shift & ~none;
    if (method == NORM_NONE) return !factor && !shift;
    if (method == NORM_WEIGHT)
        return t == WEIGHT_SCALE || t == WEIGHT_ROW || t == OTHER_SAMPLE; /* w/|w| row by row */
    const unsigned A = norm_axes_of((dlf_norm_kind)method, spatial);
    if (t == OTHER_SAMPLE) return !(A & AXIS_SAMPLES);
    return !(factor & A) && !(shift & A) && !(method == DLF_RMS_NORM && shift);
}

/* ---- one layer on one device ------------------------------------------------------------------
 */

typedef struct bench {
    const layer_shape *shape;
    norm_layer layer;
    int pixels, outputs, patch; /* of an image; positions of the output; K */
    double *x, *w, *a;          /* (P,N,pixels), (P,C,K), (P,N,outputs,K) */
    double *before, *after;     /* y */
} bench;

static int64_t x_count(const bench *b)
{
    return b->layer.P * b->shape->N * b->pixels;
}

static void draw_all(bench *b, uint64_t seed)
{
    const int64_t x = x_count(b) / b->layer.P, w = b->layer.C * b->layer.K;
    for (int64_t p = 0; p < b->layer.P; p++) {
        norm_draw(b->x + p * x, x, seed, DLF_PURPOSE_INPUT, 2, (uint32_t)p);
        norm_draw(b->w + p * w, w, seed, DLF_PURPOSE_WEIGHTS, 2, (uint32_t)p);
    }
}

static void transform(bench *b, int t, uint64_t seed)
{
    const int64_t image = b->pixels, N = b->shape->N, K = b->layer.K, C = b->layer.C;
    double shift[512];
    norm_draw(shift, 512, seed, DLF_PURPOSE_TEST, 2, 0);
    for (int64_t i = 0; i < b->layer.P * C * K; i++) {
        const int64_t row = i / K % C;
        if (t == WEIGHT_SCALE || (t == WEIGHT_ROW && row == 0)) b->w[i] *= 1.7;
        if (t == WEIGHT_RECENTRE) b->w[i] += shift[i % K];
    }
    for (int64_t i = 0; i < x_count(b); i++) {
        const int64_t n = i / image % N;
        const double own = (double)n / (double)N;
        if (t == DATA_SCALE || (t == ONE_CASE && n == 0)) b->x[i] *= 1.7;
        if (t == DATA_RECENTRE) b->x[i] += shift[i % image];
        if (t == OWN_CONTRAST) b->x[i] = (0.6 + 1.3 * own) * b->x[i] + 0.9 - own;
        if (t == DATA_CONSTANT) b->x[i] += 0.8;
        if (t == OTHER_SAMPLE && n == 1) b->x[i] = shift[i % 512] + 0.5;
    }
}

/* Patches of all images: a convolution is their product with the filters. */
static void patches(bench *b)
{
    const int side = b->shape->side, k = b->shape->kernel, out = side - k + 1;
    double *a = b->a;
    for (int64_t n = 0; n < b->layer.P * b->shape->N; n++)
        for (int i = 0; i < out; i++)
            for (int j = 0; j < out; j++)
                for (int c = 0; c < b->shape->inputs; c++)
                    for (int di = 0; di < k; di++)
                        for (int dj = 0; dj < k; dj++)
                            *a++ = b->x[n * b->pixels + (c * side + i + di) * side + j + dj];
}

static dlf_status output(bench *b, double *y)
{
    patches(b);
    DLF_TRY(dlf_tensor_upload_f64(&b->layer.a, b->a));
    DLF_TRY(dlf_tensor_upload_f64(&b->layer.w, b->w));
    DLF_TRY(norm_layer_product(&b->layer));
    DLF_TRY(norm_layer_normalise(&b->layer));
    return dlf_tensor_download_f64(y, &b->layer.y);
}

static dlf_status bench_new(bench *b, dlf_device *device, const layer_shape *s, int method, int P)
{
    const int out = s->side - s->kernel + 1;
    *b = (bench){.shape = s,
                 .pixels = s->inputs * s->side * s->side,
                 .outputs = out * out,
                 .patch = s->inputs * s->kernel * s->kernel};
    DLF_TRY(norm_layer_new(&b->layer, device, method, s->groups, 0.0, P, s->N, b->outputs, b->patch,
                           s->C));
    const size_t y = (size_t)(P * s->N * b->outputs * s->C);
    const size_t x = (size_t)x_count(b), w = (size_t)(P * s->C * b->patch);
    const size_t a = (size_t)(P * s->N * b->outputs * b->patch);
    b->x = malloc((x + w + a + 2 * y) * sizeof *b->x);
    if (!b->x) return dlf_fail(DLF_ERR_OOM, "norm-axes: out of memory");
    b->w = b->x + x;
    b->a = b->w + w;
    b->before = b->a + a;
    b->after = b->before + y;
    return DLF_OK;
}

static void bench_free(bench *b)
{
    norm_layer_free(&b->layer);
    free(b->x);
}

/* Largest |change| of member p over the length of an output, among the samples that are compared.
 */
static double change_of(const bench *b, int p, int t)
{
    const int64_t sample = b->outputs * b->shape->C, member = sample * b->shape->N;
    const double *before = b->before + p * member, *after = b->after + p * member;
    const int64_t n = t == OTHER_SAMPLE ? sample : member; /* sample 0 stays what it was */
    double most = 0.0, square = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs(after[i] - before[i]);
        square += before[i] * before[i];
        most = norm_larger(most, d);
    }
    return most / sqrt(square / (double)n);
}

/* ---- the matrix -------------------------------------------------------------------------------
 */

typedef struct cell {
    double largest, smallest; /* change over the seeds */
    double in_double;         /* largest, device ref */
} cell;

static dlf_status measure(dlf_device *device, const layer_shape *s, int method, int P,
                          uint64_t seed, cell *row, bool exact)
{
    bench b;
    dlf_status status;
    DLF_TRY_DONE(bench_new(&b, device, s, method, P));
    draw_all(&b, seed);
    DLF_TRY_DONE(output(&b, b.before));
    for (int t = 0; t < s->columns; t++) {
        draw_all(&b, seed);
        transform(&b, t, seed);
        DLF_TRY_DONE(output(&b, b.after));
        double largest = 0.0, smallest = INFINITY;
        for (int p = 0; p < P; p++) {
            const double d = change_of(&b, p, t);
            largest = norm_larger(largest, d);
            smallest = norm_smaller(smallest, d);
        }
        if (exact)
            row[t].in_double = largest;
        else
            row[t] = (cell){.largest = largest, .smallest = smallest};
    }
done:
    bench_free(&b);
    return status;
}

/* Above this a change is one. Rounding leaves 1e-6 in float; what is not invariant changes by 0.1.
 */
static const double threshold = 1e-3;
static const double floor_drawn = 1e-9;

static dlf_status add_rows(dlf_table *table, const layer_shape *s, int method, int y,
                           const cell *row)
{
    for (int t = 0; t < s->columns; t++)
        DLF_TRY(dlf_table_row(
            table, DLF_TXT(norm_method_id(method)), DLF_TXT(transformation[t].id), DLF_NUM(t),
            DLF_TXT(transformation[t].name.zh), DLF_TXT(transformation[t].name.en), DLF_NUM(y),
            DLF_TXT(norm_method_name(method).zh), DLF_TXT(norm_method_name(method).en),
            DLF_NUM(row[t].largest), DLF_NUM(row[t].smallest), DLF_NUM(row[t].in_double),
            DLF_NUM(fmin(fmax(row[t].largest, floor_drawn), 1.0)),
            DLF_NUM(invariant(method, t, s->side > 1)), DLF_NUM(row[t].largest < threshold)));
    return DLF_OK;
}

/* What all rows together come to. */
typedef struct summary {
    int cells, agree;
    double worst_yes, worst_yes_double, least_no;
} summary;

static void count_row(summary *sum, const layer_shape *s, int method, const cell *row)
{
    for (int t = 0; t < s->columns; t++) {
        const bool predicted = invariant(method, t, s->side > 1);
        sum->cells++;
        sum->agree += predicted ? row[t].largest < threshold : row[t].smallest > threshold;
        if (predicted) {
            sum->worst_yes = norm_larger(sum->worst_yes, row[t].largest);
            sum->worst_yes_double = norm_larger(sum->worst_yes_double, row[t].in_double);
        } else {
            sum->least_no = norm_smaller(sum->least_no, row[t].smallest);
        }
    }
}

static dlf_status summary_checks(dlf_run *run, const layer_shape *s, const summary *sum)
{
    char id[40];
    const bool spatial = s->side > 1;
    snprintf(id, sizeof id, "%s_cells", s->id);
    dlf_check c = dlf_check_exact(
        id,
        spatial ? (dlf_text){"卷积层：由轴推出的不变性与实测逐格一致（一致的格数）",
                             "convolution: the axes predict every invariance (cells that agree)"}
                : (dlf_text){"全连接层：由轴推出的不变性与实测逐格一致（一致的格数）",
                             "fully connected: the axes predict every invariance (cells that "
                             "agree)"},
        sum->agree);
    c.expected = sum->cells;
    c.source = "z -> a z + b: invariant if a and b are constant on A (RMS: b = 0); every seed";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    snprintf(id, sizeof id, "%s_invariant", s->id);
    c = dlf_check_exact(id,
                        spatial ? (dlf_text){"卷积层：不变的格里最大的变化",
                                             "convolution: the largest change where none may be"}
                                : (dlf_text){"全连接层：不变的格里最大的变化",
                                             "fully connected: the largest change where none "
                                             "may be"},
                        sum->worst_yes);
    c.relation = DLF_AT_MOST;
    c.tolerance = 1e-4;
    c.source = "closed form: 0; 1e-4: rounding of float outputs up to 5 whose variance is a "
               "difference of sums";
    c.self_check = true;
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    snprintf(id, sizeof id, "%s_double", s->id);
    c = dlf_check_exact(id,
                        spatial ? (dlf_text){"同上，双精度", "the same in double arithmetic"}
                                : (dlf_text){"同上，双精度（全连接）",
                                             "the same in double arithmetic (fully connected)"},
                        sum->worst_yes_double);
    c.relation = DLF_AT_MOST;
    c.tolerance = 1e-12;
    c.source = "closed form: 0; 1e-12: a thousand roundings of double";
    c.self_check = true;
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    snprintf(id, sizeof id, "%s_not_invariant", s->id);
    c = dlf_check_exact(id,
                        spatial ? (dlf_text){"卷积层：会变的格里最小的变化",
                                             "convolution: the smallest change where there must "
                                             "be one"}
                                : (dlf_text){"全连接层：会变的格里最小的变化",
                                             "fully connected: the smallest change where there "
                                             "must be one"},
                        sum->least_no);
    c.relation = DLF_AT_LEAST;
    c.expected = 0.1;
    c.source = "a factor 1.7 or a shift of a standard deviation changes outputs of length 1 by "
               "more than 0.1";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status figure(dlf_run *run, const layer_shape *s)
{
    char id[40];
    const bool spatial = s->side > 1;
    snprintf(id, sizeof id, "invariance_%s", s->id);
    const dlf_figure f = {
        .id = id,
        .kind = DLF_HEATMAP,
        .title = spatial ? (dlf_text){"轴决定不变性：深色是看不见的变换（卷积层）",
                                      "The axes decide the invariances: dark is what a norm does "
                                      "not see (convolution)"}
                         : (dlf_text){"全连接层：Ba 等 2016 的表 1，逐格实测",
                                      "Fully connected: table 1 of Ba et al. 2016, measured"},
        .subtitle =
            spatial ? (dlf_text){"3×3 卷积，4 张图，8 个通道，GN 4 组，eps=0；颜色为输出的最大变化"
                                 "（所有种子，画到 1 为止）",
                                 "3×3 convolution, 4 images, 8 channels, GN of 4 groups, eps=0; "
                                 "colour: the largest change of an output over all seeds, up to 1"}
                    : (dlf_text){"16 个样本，20 个输入，12 个单元，eps=0；颜色同卷积层的图",
                                 "16 samples, 20 inputs, 12 units, eps=0; colours as in the "
                                 "figure for the convolution"},
        .x = {{"变换", "transformation"}, false},
        .z = {{"输出的最大变化", "largest change of an output"}, true},
        .series = {{.role = DLF_MEASURED,
                    .table = spatial ? "conv" : "fc",
                    .x = "x",
                    .y = "y",
                    .z = "drawn"}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* ---- what is published ------------------------------------------------------------------------
 */

/* Ba, Kiros & Hinton 2016, table 1; rows BN, WN, LN, columns WEIGHT_SCALE .. ONE_CASE. */
static const struct {
    int method;
    bool yes[TABLE_1];
} published[PUBLISHED] = {{DLF_BATCH_NORM, {true, false, true, true, true, false}},
                          {NORM_WEIGHT, {true, false, true, false, false, false}},
                          {DLF_LAYER_NORM, {true, true, false, true, false, true}}};

static dlf_status published_check(dlf_run *run, cell fc_cells[NORM_METHODS][TRANSFORMATIONS])
{
    int agree = 0;
    for (int i = 0; i < PUBLISHED; i++)
        for (int t = 0; t < TABLE_1; t++) {
            const cell *c = &fc_cells[published[i].method][t];
            agree += published[i].yes[t] ? c->largest < threshold : c->smallest > threshold;
        }
    dlf_check c = dlf_check_exact("ba_table_1",
                                  (dlf_text){"Ba 等 2016 表 1 的 18 格，逐格复现",
                                             "all 18 cells of table 1 of Ba et al. 2016"},
                                  agree);
    c.expected = PUBLISHED * TABLE_1;
    c.source = "Ba, Kiros & Hinton 2016, arXiv:1607.06450, table 1";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status batch_check(dlf_run *run, cell cells[NORM_METHODS][TRANSFORMATIONS])
{
    double others = 0.0;
    for (int m = 0; m < NORM_METHODS; m++)
        if (m != DLF_BATCH_NORM) others = norm_larger(others, cells[m][OTHER_SAMPLE].largest);
    dlf_check c = dlf_check_exact(
        "bn_depends_on_others",
        (dlf_text){"换掉批中另一个样本，BN 的输出变了（变化最小的种子）",
                   "replacing another sample of the batch changes what BN gives for this one "
                   "(least over seeds)"},
        cells[DLF_BATCH_NORM][OTHER_SAMPLE].smallest);
    c.relation = DLF_AT_LEAST;
    c.expected = 0.1;
    c.source = "BN is the only norm whose A runs over samples";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    c = dlf_check_exact(
        "others_do_not",
        (dlf_text){"其他方法的输出一位不变", "with all others not a bit of the output changes"},
        others);
    c.source = "their A lies in one sample: the same operations on the same numbers";
    c.self_check = true;
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status matrix(dlf_run *run, dlf_device *exact, const layer_shape *s, const int *methods,
                         int n, cell cells[NORM_METHODS][TRANSFORMATIONS])
{
    const int P = dlf_run_seeds(run);
    dlf_table *table;
    summary sum = {.least_no = INFINITY};
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), s->id,
        s == &conv ? (dlf_text){"卷积层的不变性", "invariances of a convolution"}
                   : (dlf_text){"全连接层的不变性", "invariances of a fully connected layer"},
        (const dlf_column[]){{"method", NULL},
                             {"transformation", NULL},
                             {"x", "1"},
                             {"x_zh", NULL},
                             {"x_en", NULL},
                             {"y", "1"},
                             {"y_zh", NULL},
                             {"y_en", NULL},
                             {"largest", "1"},
                             {"smallest", "1"},
                             {"largest_double", "1"},
                             {"drawn", "1"},
                             {"predicted", "1"},
                             {"invariant", "1"},
                             {NULL, NULL}},
        &table));
    for (int i = 0; i < n; i++) {
        cell *row = cells[methods[i]];
        DLF_TRY(measure(dlf_run_device(run), s, methods[i], P, dlf_run_seed(run), row, false));
        DLF_TRY(measure(exact, s, methods[i], P, dlf_run_seed(run), row, true));
        DLF_TRY(add_rows(table, s, methods[i], n - 1 - i, row));
        count_row(&sum, s, methods[i], row);
    }
    DLF_TRY(summary_checks(run, s, &sum));
    return figure(run, s);
}

dlf_status norm_axes_invariance(dlf_run *run, dlf_device *exact)
{
    /* In a fully connected layer instance norm has one number per set, and nothing is left. */
    static const int in_conv[] = {DLF_BATCH_NORM, DLF_LAYER_NORM, DLF_INSTANCE_NORM, DLF_GROUP_NORM,
                                  DLF_RMS_NORM,   NORM_WEIGHT,    NORM_NONE};
    static const int in_fc[] = {DLF_BATCH_NORM, NORM_WEIGHT,  DLF_LAYER_NORM,
                                DLF_GROUP_NORM, DLF_RMS_NORM, NORM_NONE};
    cell cells[NORM_METHODS][TRANSFORMATIONS];
    memset(cells, 0, sizeof cells);
    DLF_TRY(matrix(run, exact, &conv, in_conv, sizeof in_conv / sizeof in_conv[0], cells));
    DLF_TRY(batch_check(run, cells));
    memset(cells, 0, sizeof cells);
    DLF_TRY(matrix(run, exact, &fc, in_fc, sizeof in_fc / sizeof in_fc[0], cells));
    return published_check(run, cells);
}
