/* SPDX-License-Identifier: MIT
 * test_pool.c -- pooling against the definition, in both layouts.
 *
 * Tolerances, from 2^-24 = 6e-8 per rounding and |x|, |dy| < 6. Max forward is one of its inputs:
 * exact. Max backward adds the dy of up to `area` windows, average the x of one window: the
 * roundings of a sum of n terms are not correlated and add up like sqrt(n), 6e-8 6 (4 +
 * sqrt(area)); the division comes on top. */
#include "kernel_test.h"

typedef struct pool_case {
    int64_t P, N, C, H, W;
    int64_t kernel[2], stride[2], pad[2];
} pool_case;

static const pool_case cases[] = {
    {1, 1, 1, 1, 1, {1, 1}, {1, 1}, {0, 0}},
    {2, 2, 3, 5, 7, {2, 2}, {2, 2}, {0, 0}},        /* a row and a column are left over        */
    {2, 2, 4, 8, 8, {3, 3}, {2, 2}, {1, 1}},        /* ResNet                                  */
    {1, 3, 8, 8, 6, {2, 2}, {2, 2}, {1, 1}},        /* padding larger than the overhang        */
    {2, 3, 5, 7, 7, {7, 7}, {1, 1}, {0, 0}},        /* global                                  */
    {2, 1, 36, 7, 7, {7, 7}, {7, 7}, {0, 0}},       /* global, more than a tile of channels    */
    {1, 2, 3, 40, 41, {40, 41}, {1, 1}, {0, 0}},    /* global, a block per row                 */
    {1, 2, 3, 7, 7, {6, 6}, {2, 2}, {0, 0}},        /* one window, but not the whole image     */
    {1, 2, 3, 7, 7, {7, 7}, {2, 2}, {3, 3}},        /* kernel as large as the image, padded    */
    {2, 1, 2, 13, 11, {3, 2}, {1, 3}, {1, 1}},      /* nothing square                          */
    {1, 2, 4, 6, 6, {2, 2}, {3, 3}, {0, 0}},        /* gaps between the windows                */
    {1, 1, 3, 9, 9, {5, 5}, {1, 1}, {2, 2}},        /* every position in 25 windows            */
    {1, 1, 4, 12, 12, {4, 4}, {4, 4}, {0, 0}},      /* the largest that needs no index         */
    {1, 1, 4, 12, 12, {6, 6}, {6, 6}, {0, 0}},      /* no overlap, but too large to search     */
    {1, 1, 2, 20, 18, {17, 17}, {3, 2}, {8, 8}},    /* more than 256 positions in a window     */
    {1, 1, 1, 2, 9000, {2, 3}, {2, 2}, {1, 1}},     /* rows longer than a buffer               */
    {1, 1, 1, 1, 4500, {1, 4200}, {1, 50}, {0, 0}}, /* a window longer than a buffer         */
    {1, 2, 2, 101, 99, {3, 3}, {2, 2}, {1, 1}},     /* several tasks for one plane             */
    {1, 1, 515, 3, 3, {2, 2}, {1, 1}, {0, 0}},      /* more channels than a task takes         */
    {1, 1, 130, 19, 5, {3, 3}, {1, 1}, {1, 1}},     /* several tasks for one NHWC image        */
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

static const dlf_pool kinds[] = {{.kind = DLF_POOL_MAX, .layout = DLF_NCHW},
                                 {.kind = DLF_POOL_AVERAGE, .layout = DLF_NCHW},
                                 {.kind = DLF_POOL_AVERAGE, .layout = DLF_NCHW, .count_pad = true},
                                 {.kind = DLF_POOL_MAX, .layout = DLF_NHWC},
                                 {.kind = DLF_POOL_AVERAGE, .layout = DLF_NHWC},
                                 {.kind = DLF_POOL_AVERAGE, .layout = DLF_NHWC, .count_pad = true}};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

static dlf_pool pool_of(const pool_case *c, dlf_pool pool)
{
    for (int k = 0; k < 2; k++) {
        pool.kernel[k] = c->kernel[k];
        pool.stride[k] = c->stride[k];
        pool.pad[k] = c->pad[k];
    }
    return pool;
}

static int64_t outputs(const pool_case *c, int axis)
{
    const int64_t in = axis ? c->W : c->H;
    return (in + 2 * c->pad[axis] - c->kernel[axis]) / c->stride[axis] + 1;
}

static void shape_of(int64_t shape[5], const pool_case *c, dlf_layout layout, int64_t H, int64_t W)
{
    const int64_t nchw[5] = {c->P, c->N, c->C, H, W}, nhwc[5] = {c->P, c->N, H, W, c->C};
    memcpy(shape, layout == DLF_NCHW ? nchw : nhwc, sizeof nchw);
}

static int64_t count_of(const int64_t shape[5])
{
    return shape[0] * shape[1] * shape[2] * shape[3] * shape[4];
}

static double tolerance(const dlf_pool *pool)
{
    return 6e-8 * 6.0 * (4.0 + sqrt((double)(pool->kernel[0] * pool->kernel[1])));
}

/* Forward and backward on the device and on ref, members `offset` elements into wider rows. */
static void check(const pool_case *c, dlf_pool kind, const float *x, const float *dy,
                  int64_t offset, const char *what)
{
    const dlf_pool pool = pool_of(c, kind);
    int64_t in[5], out[5];
    shape_of(in, c, pool.layout, c->H, c->W);
    shape_of(out, c, pool.layout, outputs(c, 0), outputs(c, 1));
    dlf_device *dev[2] = {kt_dev, kt_ref};
    kt_placed tx[2], ty[2], tg[2], td[2];
    const bool max = pool.kind == DLF_POOL_MAX;
    for (int k = 0; k < 2; k++) {
        tx[k] = kt_place(dev[k], x, 5, in, offset, 2 * offset);
        ty[k] = kt_place(dev[k], NULL, 5, out, offset, 2 * offset);
        tg[k] = kt_place(dev[k], dy, 5, out, offset, 2 * offset);
        td[k] = kt_place(dev[k], NULL, 5, in, offset, 2 * offset);
        OK(dlf_pool_forward(&ty[k].view, &tx[k].view, pool));
        OK(dlf_pool_backward(&td[k].view, &tg[k].view, max ? &tx[k].view : NULL, pool));
    }
    const double forward =
        kt_worst(&ty[0].whole, &ty[1].whole, max ? 1e-300 : tolerance(&pool), 0.0);
    const double backward = kt_worst(&td[0].whole, &td[1].whole, tolerance(&pool), 0.0);
    for (int k = 0; k < 2; k++) {
        dlf_tensor_free(&tx[k].whole), dlf_tensor_free(&ty[k].whole);
        dlf_tensor_free(&tg[k].whole), dlf_tensor_free(&td[k].whole);
    }
    if (!(forward <= 1.0 && backward <= 1.0))
        fail_msg("%s: case %d, %s%s %s, offset %d: forward %.3g, backward %.3g x tolerance", what,
                 (int)(c - cases), max ? "max" : "average", pool.count_pad ? " with padding" : "",
                 pool.layout == DLF_NCHW ? "nchw" : "nhwc", (int)offset, forward, backward);
}

static int64_t in_count(const pool_case *c)
{
    return c->P * c->N * c->C * c->H * c->W;
}

static int64_t out_count(const pool_case *c)
{
    return c->P * c->N * c->C * outputs(c, 0) * outputs(c, 1);
}

static void matches_reference(void **state)
{
    (void)state;
    for (const pool_case *c = cases; c < cases + N_CASES; c++) {
        float *x = kt_random(in_count(c), 1, 1.0f, 0.5f);
        float *dy = kt_random(out_count(c), 2, 1.0f, 0.5f);
        for (int k = 0; k < N_KINDS; k++)
            for (int64_t offset = 0; offset < 4; offset += 3)
                check(c, kinds[k], x, dy, offset, "random");
        free(x), free(dy);
    }
}

/* Four different values: most windows hold their maximum several times. */
static void ties_go_to_the_first(void **state)
{
    (void)state;
    for (const pool_case *c = cases; c < cases + N_CASES; c++) {
        float *x = kt_random(in_count(c), 3, 1.5f, 0.0f), *dy = kt_random(out_count(c), 4, 1.0f, 0);
        for (int64_t i = 0; i < in_count(c); i++)
            x[i] = x[i] < -1 ? -1.0f : x[i] < 0 ? -0.0f : x[i] < 1 ? 0.0f : 1.0f;
        check(c, kinds[0], x, dy, 0, "ties");
        check(c, kinds[3], x, dy, 0, "ties");
        for (int64_t i = 0; i < in_count(c); i++) x[i] = -INFINITY;
        check(c, kinds[0], x, dy, 0, "all -Inf");
        check(c, kinds[3], x, dy, 0, "all -Inf");
        free(x), free(dy);
    }
}

/* ---- property ------------------------------------------------------------------------------- */

static void small_case_by_hand(void **state)
{
    (void)state;
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 9, 9}, dy[] = {10, 20, 30, 40};
    const float max[] = {5, 6, 9, 9}, d_max[] = {0, 0, 0, 0, 10, 20, 0, 70, 0};
    /* 3x3, stride 2, pad 1: four windows of 2x2 positions */
    const float mean[] = {3, 4, 6.25f, 7.25f},
                mean9[] = {12 / 9.0f, 16 / 9.0f, 25 / 9.0f, 29 / 9.0f};
    const float d_mean[] = {2.5f, 7.5f, 5, 10, 25, 15, 7.5f, 17.5f, 10};
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int k = 0; k < 4; k++) {
        dlf_device *dev = devices[k / 2];
        const dlf_layout layout = k % 2 ? DLF_NCHW : DLF_NHWC;
        const int64_t in[][5] = {{1, 1, 1, 3, 3}, {1, 1, 3, 3, 1}};
        const int64_t out[][5] = {{1, 1, 1, 2, 2}, {1, 1, 2, 2, 1}};
        dlf_tensor tx = kt_tensor_of(dev, x, 5, in[layout]);
        dlf_tensor tg = kt_tensor_of(dev, dy, 5, out[layout]);
        dlf_tensor ty = kt_tensor_of(dev, NULL, 5, out[layout]);
        dlf_tensor td = kt_tensor_of(dev, NULL, 5, in[layout]);
        float y[4], d[9];
        dlf_pool pool = {DLF_POOL_MAX, layout, {2, 2}, {1, 1}, {0, 0}, false};
        OK(dlf_pool_forward(&ty, &tx, pool));
        OK(dlf_pool_backward(&td, &tg, &tx, pool));
        OK(dlf_tensor_download(y, &ty));
        OK(dlf_tensor_download(d, &td));
        assert_memory_equal(y, max, sizeof y);
        for (int i = 0; i < 9; i++) assert_true(d[i] == d_max[i]);
        pool = (dlf_pool){DLF_POOL_AVERAGE, layout, {3, 3}, {2, 2}, {1, 1}, false};
        OK(dlf_pool_forward(&ty, &tx, pool));
        OK(dlf_pool_backward(&td, &tg, NULL, pool));
        OK(dlf_tensor_download(y, &ty));
        OK(dlf_tensor_download(d, &td));
        assert_memory_equal(y, mean, sizeof y);
        for (int i = 0; i < 9; i++) assert_true(d[i] == d_mean[i]);
        pool.count_pad = true;
        OK(dlf_pool_forward(&ty, &tx, pool));
        OK(dlf_tensor_download(y, &ty));
        for (int i = 0; i < 4; i++) assert_true(fabs(y[i] - mean9[i]) < 1e-6);
        dlf_tensor_free(&tx), dlf_tensor_free(&tg), dlf_tensor_free(&ty), dlf_tensor_free(&td);
    }
}

/* backward on ref is the slope of L = sum w y: both kinds are linear away from ties, so that the
 * quotient is exact up to the rounding of L. */
static void backward_on_ref_is_the_difference_quotient(void **state)
{
    (void)state;
    const pool_case c = {1, 1, 2, 5, 6, {3, 2}, {2, 1}, {1, 1}};
    const double h = 1e-6;
    double at[60], y[100], dx[60];
    for (int k = 0; k < N_KINDS; k++) {
        const dlf_pool pool = pool_of(&c, kinds[k]);
        int64_t in[5], out[5];
        shape_of(in, &c, pool.layout, c.H, c.W);
        shape_of(out, &c, pool.layout, outputs(&c, 0), outputs(&c, 1));
        const int64_t n = count_of(in), m = count_of(out);
        assert_true(n <= 60 && m <= 100);
        float *x = kt_random(n, 5, 1.0f, 0.0f), *w = kt_random(m, 6, 1.0f, 0.0f);
        dlf_tensor tx = kt_tensor_of(kt_ref, x, 5, in), td = kt_tensor_of(kt_ref, NULL, 5, in);
        dlf_tensor tw = kt_tensor_of(kt_ref, w, 5, out), ty = kt_tensor_of(kt_ref, NULL, 5, out);
        OK(dlf_pool_backward(&td, &tw, &tx, pool));
        OK(dlf_tensor_download_f64(dx, &td));
        for (int64_t i = 0; i < n; i++) at[i] = (double)x[i];
        for (int64_t i = 0; i < n; i++) {
            double loss[2] = {0.0, 0.0};
            for (int side = 0; side < 2; side++) {
                at[i] = (double)x[i] + (side ? h : -h);
                OK(dlf_tensor_upload_f64(&tx, at));
                OK(dlf_pool_forward(&ty, &tx, pool));
                OK(dlf_tensor_download_f64(y, &ty));
                for (int64_t j = 0; j < m; j++) loss[side] += (double)w[j] * y[j];
            }
            at[i] = (double)x[i];
            assert_true(fabs((loss[1] - loss[0]) / (2 * h) - dx[i]) < 1e-8);
        }
        dlf_tensor_free(&tx), dlf_tensor_free(&td), dlf_tensor_free(&tw), dlf_tensor_free(&ty);
        free(x), free(w);
    }
}

/* Forward and backward of host arrays on the device; y and dx malloc'ed by the caller. */
static void run(const pool_case *c, dlf_pool kind, const float *x, const float *dy, float *y,
                float *dx)
{
    const dlf_pool pool = pool_of(c, kind);
    int64_t in[5], out[5];
    shape_of(in, c, pool.layout, c->H, c->W);
    shape_of(out, c, pool.layout, outputs(c, 0), outputs(c, 1));
    dlf_tensor tx = kt_tensor_of(kt_dev, x, 5, in), td = kt_tensor_of(kt_dev, NULL, 5, in);
    dlf_tensor tg = kt_tensor_of(kt_dev, dy, 5, out), ty = kt_tensor_of(kt_dev, NULL, 5, out);
    OK(dlf_pool_forward(&ty, &tx, pool));
    OK(dlf_pool_backward(&td, &tg, &tx, pool));
    OK(dlf_tensor_download(y, &ty));
    OK(dlf_tensor_download(dx, &td));
    dlf_tensor_free(&tx), dlf_tensor_free(&td), dlf_tensor_free(&tg), dlf_tensor_free(&ty);
}

static float *transposed(const float *nchw, const pool_case *c, int64_t H, int64_t W)
{
    float *nhwc = malloc((size_t)(c->P * c->N * c->C * H * W) * sizeof *nhwc);
    assert_non_null(nhwc);
    for (int64_t n = 0; n < c->P * c->N; n++)
        for (int64_t k = 0; k < c->C; k++)
            for (int64_t s = 0; s < H * W; s++)
                nhwc[(n * H * W + s) * c->C + k] = nchw[(n * c->C + k) * H * W + s];
    return nhwc;
}

/* Max pooling in one layout has the bits of the other, and hands on every dy once: sums of small
 * integers are exact. */
static void max_is_the_same_in_both_layouts_and_loses_nothing(void **state)
{
    (void)state;
    for (const pool_case *c = cases; c < cases + N_CASES; c++) {
        const int64_t n = in_count(c), m = out_count(c), OH = outputs(c, 0), OW = outputs(c, 1);
        float *x = kt_random(n, 7, 1.0f, 0.0f), *dy = malloc((size_t)m * sizeof *dy);
        float *y[2] = {malloc((size_t)m * sizeof *x), malloc((size_t)m * sizeof *x)};
        float *dx[2] = {malloc((size_t)n * sizeof *x), malloc((size_t)n * sizeof *x)};
        assert_true(dy && y[0] && y[1] && dx[0] && dx[1]);
        double given = 0.0, taken = 0.0;
        for (int64_t i = 0; i < m; i++) given += dy[i] = (float)(i % 17 - 5);
        float *x_t = transposed(x, c, c->H, c->W), *dy_t = transposed(dy, c, OH, OW);
        run(c, kinds[0], x, dy, y[0], dx[0]);
        run(c, kinds[3], x_t, dy_t, y[1], dx[1]);
        float *y_t = transposed(y[0], c, OH, OW), *dx_t = transposed(dx[0], c, c->H, c->W);
        for (int64_t i = 0; i < m; i++) assert_true(y_t[i] == y[1][i]);
        for (int64_t i = 0; i < n; i++) assert_true(dx_t[i] == dx[1][i]);
        for (int64_t i = 0; i < n; i++) taken += (double)dx[0][i];
        assert_true(given == taken);
        free(x), free(dy), free(x_t), free(dy_t), free(y_t), free(dx_t);
        for (int k = 0; k < 2; k++) free(y[k]), free(dx[k]);
    }
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    const pool_case c = {2, 3, 8, 61, 67, {3, 3}, {2, 2}, {1, 1}};
    const int threads = kt_dev->info.threads;
    const int64_t n = in_count(&c), m = out_count(&c);
    float *x = kt_random(n, 8, 1.0f, 0.0f), *dy = kt_random(m, 9, 1.0f, 0.0f);
    float *got[2] = {malloc((size_t)(n + m) * sizeof *x), malloc((size_t)(n + m) * sizeof *x)};
    assert_true(got[0] && got[1]);
    for (int kind = 0; kind < N_KINDS; kind++) {
        for (int k = 0; k < 2; k++) {
            kt_dev->info.threads = 1 + k;
            run(&c, kinds[kind], x, dy, got[k], got[k] + m);
        }
        assert_memory_equal(got[0], got[1], (size_t)(n + m) * sizeof *x);
    }
    kt_dev->info.threads = threads;
    free(x), free(dy), free(got[0]), free(got[1]);
}

/* ---- extremes ------------------------------------------------------------------------------- */

/* NaN, Inf and denormals among the numbers of x, then of dy. */
static void extremes_match_reference(void **state)
{
    (void)state;
    const float rare[] = {NAN, INFINITY, -INFINITY, 1e-45f, -1e-40f, -0.0f, 0.0f, NAN};
    for (const pool_case *c = cases; c < cases + N_CASES; c++)
        for (int where = 0; where < 2; where++) {
            float *x = kt_random(in_count(c), 10, 1.0f, 0.0f);
            float *dy = kt_random(out_count(c), 11, 1.0f, 0.0f);
            float *into = where ? dy : x;
            const int64_t n = where ? out_count(c) : in_count(c);
            for (int64_t i = 0; i < n; i++) {
                const uint32_t draw = (uint32_t)i * 2654435761u >> 16;
                if (draw % 5 == 0) into[i] = rare[draw / 5 % 8];
            }
            for (int k = 0; k < N_KINDS; k++) check(c, kinds[k], x, dy, 0, "extremes");
            free(x), free(dy);
        }
}

/* The largest floats: max compares, and never adds or subtracts. */
static void max_of_the_largest_floats(void **state)
{
    (void)state;
    const pool_case c = {1, 1, 4, 4, 4, {3, 3}, {1, 1}, {1, 1}};
    float x[64], y[64], dx[64], dy[64];
    for (int i = 0; i < 64; i++) {
        x[i] = i % 3 ? -3.4e38f : 3.4e38f;
        dy[i] = 1.0f;
    }
    for (int k = 0; k < N_KINDS; k += 3) {
        run(&c, kinds[k], x, dy, y, dx);
        for (int i = 0; i < 64; i++) assert_true(y[i] == 3.4e38f || y[i] == -3.4e38f);
        check(&c, kinds[k], x, dy, 0, "largest");
    }
}

/* Members further apart than 2^31 elements. */
static void far_members(void **state)
{
    (void)state;
    if (strcmp(kt_dev->info.backend, "cpu") != 0) skip();
    const int64_t far = ((int64_t)1 << 31) + 64, in[] = {2, 1, 2, 4, 4}, out[] = {2, 1, 2, 2, 2};
    const dlf_pool pool = {DLF_POOL_MAX, DLF_NCHW, {2, 2}, {2, 2}, {0, 0}, false};
    dlf_tensor arena;
    if (dlf_tensor_new(&arena, kt_dev, DLF_F32, 2, far) != DLF_OK)
        skip(); /* only mapped, not used */
    float x[64], y[16], want[16];
    for (int i = 0; i < 64; i++) x[i] = (float)(i * 37 % 64);
    dlf_tensor tx = dlf_tensor_window(&arena, 0, 5, in), ty = dlf_tensor_window(&arena, 32, 5, out);
    dlf_tensor td = dlf_tensor_window(&arena, 64, 5, in);
    dlf_tensor near_x = kt_tensor_of(kt_dev, x, 5, in), near_y = kt_tensor_of(kt_dev, NULL, 5, out);
    dlf_tensor near_d = kt_tensor_of(kt_dev, NULL, 5, in);
    float d[64], d_want[64];
    OK(dlf_tensor_upload(&tx, x));
    OK(dlf_pool_forward(&ty, &tx, pool));
    OK(dlf_pool_backward(&td, &ty, &tx, pool));
    OK(dlf_pool_forward(&near_y, &near_x, pool));
    OK(dlf_pool_backward(&near_d, &near_y, &near_x, pool));
    OK(dlf_tensor_download(y, &ty));
    OK(dlf_tensor_download(d, &td));
    OK(dlf_tensor_download(want, &near_y));
    OK(dlf_tensor_download(d_want, &near_d));
    assert_memory_equal(y, want, sizeof y);
    assert_memory_equal(d, d_want, sizeof d);
    dlf_tensor_free(&arena), dlf_tensor_free(&near_x), dlf_tensor_free(&near_y);
    dlf_tensor_free(&near_d);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    const float x[16] = {0};
    dlf_tensor t = kt_tensor(kt_dev, x, 1, 1, 1, 4, 4), y = kt_tensor(kt_dev, NULL, 1, 1, 1, 2, 2);
    dlf_pool pool = {DLF_POOL_MAX, DLF_NCHW, {2, 2}, {2, 2}, {0, 0}, false};
    OK(dlf_pool_forward(&y, &t, pool));
    assert_int_equal(dlf_pool_backward(&t, &y, NULL, pool), DLF_ERR_SHAPE);
    pool.pad[1] = 2; /* more than half a kernel */
    assert_int_equal(dlf_pool_forward(&y, &t, pool), DLF_ERR_SHAPE);
    pool.pad[1] = 0, pool.kernel[0] = 5;
    assert_int_equal(dlf_pool_forward(&y, &t, pool), DLF_ERR_SHAPE);
    pool.kernel[0] = (int64_t)1 << 31, pool.pad[0] = (int64_t)1 << 30;
    assert_int_equal(dlf_pool_forward(&y, &t, pool), DLF_ERR_SHAPE);
    dlf_tensor_free(&t), dlf_tensor_free(&y);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_case_by_hand),
        cmocka_unit_test(backward_on_ref_is_the_difference_quotient),
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(ties_go_to_the_first),
        cmocka_unit_test(max_is_the_same_in_both_layouts_and_loses_nothing),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(extremes_match_reference),
        cmocka_unit_test(max_of_the_largest_floats),
        cmocka_unit_test(far_members),
        cmocka_unit_test(refuses_what_does_not_fit),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
