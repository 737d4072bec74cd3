/* SPDX-License-Identifier: MIT
 * conv_equals_fc_identities.c -- Q22: the three ways in which a convolution is a fully connected
 * layer, computed both ways; and what a fully connected layer is not: unmoved by a shift.
 *
 * Shift. y = L(x), y' = L(x') with x' = x moved by one column. A convolution has y' = y moved by
 * one column where both are defined. A layer with its own weights at every output compares two sums
 * of independent weights over inputs of equal length: E (y' - y)^2 = 2 E y^2, hence sqrt 2. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conv_equals_fc.h"
#include "dlf/rng.h"
#include "host_arrays.h"
#include "seed_check.h"

void dlf_conv_fc_matrix(double *t, dlf_conv_fc_map m, const double *w, bool tied)
{
    const int out = dlf_conv_fc_out(m), taps = m.kernel * m.kernel, H = m.side;
    const size_t columns = (size_t)m.channels * (size_t)(H * H);
    memset(t, 0, (size_t)(m.maps * out * out) * columns * sizeof *t);
    for (int k = 0; k < m.maps; k++)
        for (int at = 0; at < out * out; at++)
            for (int c = 0; c < m.channels; c++)
                for (int tap = 0; tap < taps; tap++) {
                    const int owner = tied ? k : k * out * out + at;
                    const int h = at / out + tap / m.kernel, v = at % out + tap % m.kernel;
                    t[(size_t)(k * out * out + at) * columns + (size_t)(c * H * H + h * H + v)] =
                        w[(size_t)(owner * m.channels + c) * (size_t)taps + (size_t)tap];
                }
}

double dlf_conv_fc_filled(const double *t, int64_t n)
{
    int64_t filled = 0;
    for (int64_t i = 0; i < n; i++) filled += t[i] != 0.0;
    return (double)filled / (double)n;
}

/* ---- identities ----------------------------------------------------------------------------- */

enum { ROWS = 4, WHOLE = 0, POINT, PIXEL, TOEPLITZ, IDENTITIES };

static const struct {
    const char *id;
    dlf_text label, claim;
} identities[IDENTITIES] = {
    {"whole",
     {"卷积核＝输入大小", "kernel = input"},
     {"卷积核与输入一样大时，卷积等于全连接（最大相对误差）",
      "with a kernel as large as the input the convolution is a dense layer (worst relative "
      "difference)"}},
    {"point",
     {"输入 1×1", "1×1 input"},
     {"输入只有一个位置时，3×3（填充 1）只剩中心权重，等于全连接",
      "on one position a 3x3 with padding keeps its centre weights only: a dense layer"}},
    {"pixel",
     {"1×1 核，逐像素", "1×1 kernel, per pixel"},
     {"1×1 卷积等于逐像素共用的全连接",
      "a 1x1 convolution is one dense layer shared by all pixels"}},
    {"toeplitz",
     {"Toeplitz 矩阵", "Toeplitz matrix"},
     {"任意卷积等于乘一个稀疏、权重共用的矩阵",
      "any convolution is a product with a sparse matrix of tied weights"}}};

typedef struct work {
    dlf_conv_fc_map m;
    double *x, *w, *matrix, *y, *z, *moved;
    size_t in, out; /* elements of x and y per row */
} work;

static void work_free(work *k)
{
    free(k->x);
    free(k->w);
    free(k->matrix);
    free(k->y);
    free(k->z);
    free(k->moved);
}

static dlf_status work_new(work *k, dlf_conv_fc_map m)
{
    const size_t o = (size_t)dlf_conv_fc_out(m), s = (size_t)m.side;
    const size_t in = (size_t)m.channels * s * s, out = (size_t)m.maps * o * o;
    /* the kernel as large as the input, or own weights everywhere */
    const size_t weights =
        (size_t)(m.maps * m.channels) * (o * o * (size_t)(m.kernel * m.kernel) + s * s);
    const size_t rows = ROWS * s * s; /* every pixel as a row */
    *k = (work){.m = m, .in = in, .out = out};
    k->x = malloc(ROWS * in * sizeof *k->x);
    k->moved = malloc(ROWS * in * sizeof *k->x);
    k->w = malloc(weights * sizeof *k->w);
    k->matrix = malloc(out * in * sizeof *k->matrix);
    k->y = malloc(rows * (size_t)m.maps * sizeof *k->y);
    k->z = malloc(rows * (size_t)m.maps * sizeof *k->z);
    if (k->x && k->moved && k->w && k->matrix && k->y && k->z) return DLF_OK;
    work_free(k);
    return dlf_fail(DLF_ERR_OOM, "conv-equals-fc: out of memory");
}

static void draw(double *to, size_t n, uint64_t seed, uint32_t layer, int member)
{
    host_normal(to, (int64_t)n, 1.0, seed, dlf_stream(DLF_PURPOSE_WEIGHTS, layer),
                (uint32_t)member);
}

static dlf_status whole(dlf_device *dev, work *k, double *off)
{
    const int64_t C = k->m.channels, K = k->m.maps, H = k->m.side;
    DLF_TRY(host_conv(dev, k->y, k->x, (int64_t[]){ROWS, C, H, H}, k->w, (int64_t[]){K, C, H, H},
                      dlf_conv_of(DLF_NCHW, H, 1, 0)));
    DLF_TRY(host_dense(dev, k->z, k->x, ROWS, C * H * H, k->w, K));
    *off = host_worst(k->y, k->z, ROWS * K);
    return DLF_OK;
}

static dlf_status point(dlf_device *dev, work *k, double *off)
{
    const int64_t C = k->m.channels, K = k->m.maps;
    DLF_TRY(host_conv(dev, k->y, k->x, (int64_t[]){ROWS, C, 1, 1}, k->w, (int64_t[]){K, C, 3, 3},
                      dlf_conv_of(DLF_NCHW, 3, 1, 1)));
    for (int64_t i = 0; i < K * C; i++) k->matrix[i] = k->w[i * 9 + 4];
    DLF_TRY(host_dense(dev, k->z, k->x, ROWS, C, k->matrix, K));
    *off = host_worst(k->y, k->z, ROWS * K);
    return DLF_OK;
}

static dlf_status pixel(dlf_device *dev, work *k, double *off)
{
    const int64_t C = k->m.channels, K = k->m.maps, S = (int64_t)k->m.side * k->m.side;
    DLF_TRY(host_conv(dev, k->y, k->x, (int64_t[]){ROWS, C, k->m.side, k->m.side}, k->w,
                      (int64_t[]){K, C, 1, 1}, dlf_conv_of(DLF_NCHW, 1, 1, 0)));
    for (int64_t n = 0; n < ROWS; n++) /* pixels as rows */
        for (int64_t c = 0; c < C; c++)
            for (int64_t s = 0; s < S; s++)
                k->moved[(n * S + s) * C + c] = k->x[(n * C + c) * S + s];
    DLF_TRY(host_dense(dev, k->z, k->moved, ROWS * S, C, k->w, K));
    double *as_planes = k->matrix; /* it is large enough: S times maps times channels S */
    for (int64_t n = 0; n < ROWS; n++)
        for (int64_t q = 0; q < K; q++)
            for (int64_t s = 0; s < S; s++)
                as_planes[(n * K + q) * S + s] = k->z[(n * S + s) * K + q];
    *off = host_worst(k->y, as_planes, ROWS * K * S);
    return DLF_OK;
}

static dlf_status toeplitz(dlf_device *dev, work *k, double *off)
{
    const int64_t C = k->m.channels, K = k->m.maps, H = k->m.side, R = k->m.kernel;
    DLF_TRY(host_conv(dev, k->y, k->x, (int64_t[]){ROWS, C, H, H}, k->w, (int64_t[]){K, C, R, R},
                      dlf_conv_of(DLF_NCHW, R, 1, 0)));
    dlf_conv_fc_matrix(k->matrix, k->m, k->w, true);
    DLF_TRY(host_dense(dev, k->z, k->x, ROWS, (int64_t)k->in, k->matrix, (int64_t)k->out));
    *off = host_worst(k->y, k->z, ROWS * (int64_t)k->out);
    return DLF_OK;
}

static dlf_status matrix_checks(dlf_run *run, work *k)
{
    const dlf_conv_fc_map m = k->m;
    const double o = dlf_conv_fc_out(m), H = m.side, taps = (double)m.kernel * m.kernel;
    const double weights = (double)m.maps * m.channels * taps;
    const double entries = (double)k->out * (double)k->in;
    dlf_check c =
        dlf_check_exact("ratio",
                        (dlf_text){"全连接矩阵的元素数与卷积的权重数之比",
                                   "entries of the matrix over weights of the convolution"},
                        entries / weights);
    c.expected = o * o * H * H / taps;
    c.source = "closed form: Ho Wo H W / k^2";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    c = dlf_check_exact("filled",
                        (dlf_text){"矩阵中非零元素的比例", "share of entries that are not 0"},
                        dlf_conv_fc_filled(k->matrix, (int64_t)(k->out * k->in)));
    c.expected = taps / (H * H);
    c.tolerance = 1e-15;
    c.source = "closed form: k^2 / (H W), counted in the matrix that reproduces the convolution";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "weights", weights, "1"));
    return dlf_result_fact(dlf_run_result(run), "entries", entries, "1");
}

/* One input and one output map, so that the picture shows every weight; above it the same pattern
 * with own weights. */
static dlf_status picture(dlf_run *run)
{
    enum { SIDE = 7, KERNEL = 3, OUT = 5, ROWS_EACH = OUT * OUT, COLUMNS = SIDE * SIDE };
    const dlf_conv_fc_map m = {1, 1, SIDE, KERNEL};
    double w[ROWS_EACH * KERNEL * KERNEL], t[2][ROWS_EACH * COLUMNS];
    host_normal(w, ROWS_EACH * KERNEL * KERNEL, 1.0, dlf_run_seed(run),
                dlf_stream(DLF_PURPOSE_WEIGHTS, 22), 0);
    dlf_conv_fc_matrix(t[0], m, w, true);
    dlf_conv_fc_matrix(t[1], m, w, false);
    dlf_table *table;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "matrix",
        (dlf_text){"卷积（下）与局部连接层（上）的矩阵",
                   "the matrices of a convolution (below) and a locally connected layer (above)"},
        (const dlf_column[]){{"input", "1"}, {"output", "1"}, {"weight", "1"}, {NULL}}, &table));
    for (int row = 0; row < 2 * ROWS_EACH + 1; row++)
        for (int column = 0; column < COLUMNS; column++) {
            const int part = row > ROWS_EACH, inside = row - part * (ROWS_EACH + 1);
            const double value = row == ROWS_EACH ? 0.0 : t[part][inside * COLUMNS + column];
            DLF_TRY(dlf_table_row(table, DLF_NUM(column), DLF_NUM(row), DLF_NUM(value)));
        }
    const dlf_figure f = {
        .id = "matrix",
        .kind = DLF_HEATMAP,
        .title =
            {"卷积是一个稀疏、权重共用的矩阵：每条斜线只有一个值",
             "A convolution is a sparse matrix of tied weights: one value along each diagonal"},
        .subtitle =
            {"3×3 卷积，7×7 输入，5×5 输出；上半为对照：同样的位置，权重各不相同（局部连接）",
             "3×3 over 7×7, 5×5 outputs; upper half, the control: the same places, own "
             "weights (locally connected)"},
        .x = {{"输入像素（按行编号）", "input pixel, row by row"}, false},
        .y = {{"输出像素（上半：局部连接）", "output pixel (upper half: locally connected)"},
              false},
        .z = {{"权重", "weight"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "matrix",
                    .x = "input",
                    .y = "output",
                    .z = "weight",
                    .label = {"权重", "weight"}}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status report(dlf_run *run, const double *off, int seeds)
{
    dlf_table *table;
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "identities",
                         (dlf_text){"卷积与全连接之差（最大相对误差）",
                                    "convolution against dense layer (worst relative difference)"},
                         (const dlf_column[]){{"identity", NULL},
                                              {"identity_zh", NULL},
                                              {"identity_en", NULL},
                                              {"difference", "1"},
                                              {"least", "1"},
                                              {"most", "1"},
                                              {NULL}},
                         &table));
    for (int i = 0; i < IDENTITIES; i++) {
        double most = 0.0, least = INFINITY, sum = 0.0;
        for (int s = 0; s < seeds; s++) {
            const double d = off[i * seeds + s];
            if (d > most || isnan(d)) most = d; /* a NaN stays */
            if (d < least) least = d;
            sum += d / seeds;
        }
        DLF_TRY(dlf_table_row(table, DLF_TXT(identities[i].id), DLF_TXT(identities[i].label.zh),
                              DLF_TXT(identities[i].label.en), DLF_NUM(sum), DLF_NUM(least),
                              DLF_NUM(most)));
        dlf_check c = dlf_check_exact(identities[i].id, identities[i].claim, most);
        c.n = seeds;
        c.tolerance = 1e-5;
        c.source = "identity; float32 sums of up to channels x pixels products in two orders";
        c.self_check = true;
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    }
    return DLF_OK;
}

static dlf_status measure(dlf_run *run, work *k, double *off, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    const uint64_t seed = dlf_run_seed(run);
    static dlf_status (*const compare[IDENTITIES])(dlf_device *, work *, double *) = {
        whole, point, pixel, toeplitz}; /* the matrix of the last is counted afterwards */
    for (int s = 0; s < seeds; s++) {
        DLF_TRY(dlf_run_stage(run, from + (to - from) * s / seeds, "identities"));
        draw(k->x, ROWS * k->in, seed, 1, s);
        draw(k->w, (size_t)(k->m.maps * k->m.channels * k->m.side * k->m.side), seed, 2, s);
        for (int i = 0; i < IDENTITIES; i++)
            DLF_TRY(compare[i](dlf_run_device(run), k, &off[i * seeds + s]));
    }
    DLF_TRY(report(run, off, seeds));
    return matrix_checks(run, k);
}

static dlf_conv_fc_map map_of(dlf_run *run)
{
    const int C = dlf_run_int(run, "channels");
    return (dlf_conv_fc_map){C, 2 * C, 7, 3};
}

dlf_status dlf_conv_fc_identities(dlf_run *run, double from, double to)
{
    work k;
    dlf_status status;
    DLF_TRY(work_new(&k, map_of(run)));
    double *off = malloc((size_t)(IDENTITIES * dlf_run_seeds(run)) * sizeof *off);
    if (!off) {
        work_free(&k);
        return dlf_fail(DLF_ERR_OOM, "conv-equals-fc: out of memory");
    }
    DLF_TRY_DONE(measure(run, &k, off, from, to));
    DLF_TRY_DONE(picture(run));
done:
    free(off);
    work_free(&k);
    return status;
}

/* ---- shifts --------------------------------------------------------------------------------- */

enum { TIED, UNTIED, FULL, LAYERS };

static const struct {
    const char *id;
    dlf_text label, claim;
} layers[LAYERS] = {
    {"shift_conv",
     {"卷积（权重共用）", "convolution (tied)"},
     {"卷积：输入移动一列，输出跟着移动一列", "a convolution's output moves with its input"}},
    {"shift_local",
     {"对照：局部连接（权重不共用）", "control: locally connected (untied)"},
     {"对照，局部连接层：同样稀疏而权重不共用，输出不跟着移动，相对差为 √2",
      "control, locally connected: as sparse, but untied; its output does not follow: √2"}},
    {"shift_dense",
     {"对照：全连接", "control: dense"},
     {"对照，全连接层：输出不跟着移动，相对差为 √2", "control, dense layer: does not follow: √2"}}};

/* x' = x moved right by one column; column 0 is new. */
static void move(const work *k, uint64_t seed, int member)
{
    const int H = k->m.side;
    const size_t planes = (size_t)(ROWS * k->m.channels * H);
    for (size_t p = 0; p < planes; p++) {
        double *to = k->moved + p * (size_t)H;
        const double *x = k->x + p * (size_t)H;
        memcpy(to + 1, x, (size_t)(H - 1) * sizeof *to);
        to[0] = (double)dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 7), (uint32_t)member, p);
    }
}

/* Distance of y' moved back from y, over the columns that both have. */
static double follows(const work *k, const double *y, const double *y_moved)
{
    const int o = dlf_conv_fc_out(k->m);
    const size_t rows = ROWS * k->out / (size_t)o;
    double off = 0.0, size = 0.0;
    for (size_t r = 0; r < rows; r++)
        for (int j = 0; j + 1 < o; j++) {
            const double a = y[r * (size_t)o + (size_t)j];
            const double b = y_moved[r * (size_t)o + (size_t)j + 1];
            off += (a - b) * (a - b);
            size += a * a;
        }
    return sqrt(off / size);
}

static dlf_status shift(dlf_run *run, work *k, int layer, int member, double *out)
{
    dlf_device *dev = dlf_run_device(run);
    const uint64_t seed = dlf_run_seed(run);
    const dlf_conv_fc_map m = k->m;
    const size_t tied = (size_t)(m.maps * m.channels * m.kernel * m.kernel);
    const size_t o = (size_t)dlf_conv_fc_out(m);
    if (layer == FULL) {
        draw(k->matrix, k->out * k->in, seed, 5, member);
    } else {
        draw(k->w, layer == TIED ? tied : tied * o * o, seed, 3 + (uint32_t)layer, member);
        dlf_conv_fc_matrix(k->matrix, m, k->w, layer == TIED);
    }
    DLF_TRY(host_dense(dev, k->y, k->x, ROWS, (int64_t)k->in, k->matrix, (int64_t)k->out));
    DLF_TRY(host_dense(dev, k->z, k->moved, ROWS, (int64_t)k->in, k->matrix, (int64_t)k->out));
    *out = follows(k, k->y, k->z);
    return DLF_OK;
}

static dlf_status shift_report(dlf_run *run, const double *values)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "shift",
                             (dlf_text){"输入移动一列后输出之差",
                                        "difference of the outputs after a shift by one column"},
                             (const dlf_column[]){{"layer", NULL},
                                                  {"layer_zh", NULL},
                                                  {"layer_en", NULL},
                                                  {"difference", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {NULL}},
                             &table));
    for (int i = 0; i < LAYERS; i++) {
        const dlf_estimate e = dlf_estimate_of(values + i * seeds, seeds, 1);
        const double theory = i == TIED ? 0.0 : sqrt(2.0);
        DLF_TRY(dlf_table_row(table, DLF_TXT(layers[i].id), DLF_TXT(layers[i].label.zh),
                              DLF_TXT(layers[i].label.en), DLF_NUM(e.mean), DLF_NUM(e.lo),
                              DLF_NUM(e.hi), DLF_NUM(theory)));
        dlf_check c = dlf_check_of(layers[i].id, layers[i].claim, e);
        c.expected = theory;
        c.tolerance = i == TIED ? 1e-5 : 0.06;
        c.source = i == TIED
                       ? "identity: one weight for all positions"
                       : "closed form: E(y' - y)^2 = 2 E y^2 for independent weights; 6 % is 3 "
                         "s.e. of a few hundred outputs";
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    }
    const dlf_figure f = {
        .id = "shift",
        .kind = DLF_BARS,
        .title = {"权重共用的矩阵跟着输入移动；不共用的不会",
                  "Tied weights follow the input's shift; "
                  "untied ones do not"},
        .subtitle =
            {"输入移动一列，比较移回来的输出；同样的随机输入，误差棒为种子间 95% 区间",
             "input moved by one column, outputs compared after moving back; bars: 95 % over "
             "seeds"},
        .x = {{"层", "layer"}, false},
        .y = {{"输出的相对差（均方根）", "relative difference of the outputs (rms)"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "shift",
                    .x = "layer",
                    .y = "difference",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"实测", "measured"},
                    .colour = 0},
                   {.role = DLF_THEORY,
                    .table = "shift",
                    .x = "layer",
                    .y = "theory",
                    .label = {"公式：0 或 √2", "formula: 0 or √2"},
                    .colour = 0}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_conv_fc_shifts(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    work k;
    dlf_status status;
    DLF_TRY(work_new(&k, map_of(run)));
    double *values = malloc((size_t)(LAYERS * seeds) * sizeof *values);
    if (!values) {
        work_free(&k);
        return dlf_fail(DLF_ERR_OOM, "conv-equals-fc: out of memory");
    }
    for (int s = 0; s < seeds; s++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * s / seeds, "shifts"));
        draw(k.x, ROWS * k.in, dlf_run_seed(run), 6, s);
        move(&k, dlf_run_seed(run), s);
        for (int i = 0; i < LAYERS; i++) DLF_TRY_DONE(shift(run, &k, i, s, &values[i * seeds + s]));
    }
    DLF_TRY_DONE(shift_report(run, values));
done:
    free(values);
    work_free(&k);
    return status;
}
