/* SPDX-License-Identifier: MIT
 * test_conv.c -- convolution and its gradients against the definition, in both layouts; adjoint
 * identities; 1x1 kernels and kernels as large as the image against matrix products. */
#include "kernel_test.h"

typedef struct conv_case {
    int64_t P, N, C, H, W, K, G;
    int64_t kernel[2], stride[2], pad[2], dilation[2];
} conv_case;

static const conv_case cases[] = {
    {1, 1, 1, 1, 1, 1, 1, {1, 1}, {1, 1}, {0, 0}, {1, 1}}, /* one product                        */
    {2, 3, 5, 1, 1, 4, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}}, /* one pixel: all but one tap padding */
    {2, 2, 3, 5, 7, 4, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}}, /* VGG                                */
    {1, 2, 4, 9, 8, 6, 1, {3, 3}, {2, 2}, {1, 1}, {1, 1}}, /* ResNet, a column is left over      */
    {2, 2, 3, 13, 12, 5, 1, {5, 5}, {1, 1}, {0, 0}, {1, 1}}, /* LeNet */
    {1, 1, 3, 15, 17, 7, 1, {7, 7}, {2, 2}, {3, 3}, {1, 1}}, /* ResNet's first */
    {2, 3, 8, 6, 6, 10, 1, {1, 1}, {1, 1}, {0, 0}, {1, 1}}, /* 1x1                                */
    {2, 3, 8, 7, 6, 4, 1, {1, 1}, {2, 2}, {0, 0}, {1, 1}},  /* 1x1, most inputs unread            */
    {2, 4, 6, 5, 4, 9, 1, {5, 4}, {1, 1}, {0, 0}, {1, 1}},  /* fully connected                    */
    {2, 1, 2, 11, 13, 3, 1, {3, 2}, {1, 3}, {1, 0}, {1, 1}}, /* nothing square */
    {1, 2, 3, 12, 11, 4, 1, {3, 3}, {1, 1}, {2, 2}, {2, 2}}, /* dilated, same size */
    {1, 2, 2, 14, 13, 3, 1, {3, 2}, {2, 3}, {3, 1}, {3, 4}}, /* dilation and stride, coprime */
    {1, 1, 2, 9, 9, 2, 1, {3, 3}, {4, 4}, {1, 1}, {2, 2}}, /* dilation and stride, even          */
    {1, 2, 2, 2, 3, 3, 1, {5, 6}, {1, 1}, {2, 3}, {1, 1}}, /* kernel larger than the image       */
    {1, 1, 2, 3, 3, 2, 1, {2, 2}, {2, 2}, {4, 4}, {1, 1}}, /* whole windows of padding           */
    {1, 1, 2, 6, 6, 2, 1, {2, 2}, {3, 3}, {0, 0}, {1, 1}}, /* gaps between the windows           */
    {2, 2, 6, 5, 5, 9, 3, {3, 3}, {1, 1}, {1, 1}, {1, 1}}, /* groups of two and three channels   */
    {2, 2, 5, 7, 6, 5, 5, {3, 3}, {1, 1}, {1, 1}, {1, 1}}, /* depthwise                          */
    {1, 2, 20, 9, 9, 20, 20, {3, 3}, {2, 2}, {1, 1}, {1, 1}}, /* depthwise, strided */
    {1, 1, 4, 8, 8, 8, 4, {5, 3}, {1, 1}, {2, 1}, {1, 1}}, /* depthwise, two outputs a channel   */
    {1, 1, 17, 6, 40, 19, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}}, /* ragged rows, more than two vectors
                                                               */
    {1, 2, 33, 5, 5, 70, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}},  /* ragged channels, depth 297  */
    {3, 40, 1, 8, 8, 6, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}}, /* digits: many samples               */
    {1, 5, 3, 19, 21, 8, 1, {3, 3}, {1, 1}, {0, 0}, {1, 1}}, /* 1605 positions: parts of a sum */
    /* more images than a vector has lanes */
    {1, 16, 5, 6, 7, 7, 1, {3, 3}, {2, 1}, {1, 1}, {1, 1}},
    {2, 33, 4, 4, 4, 6, 2, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
    {1, 17, 18, 5, 6, 18, 18, {3, 3}, {1, 2}, {1, 1}, {1, 1}},
    /* what a task of the CPU does not take whole: units; channels; rows */
    {1, 1, 70, 5, 4, 130, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
    {1, 16, 64, 30, 30, 2, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
};
enum { N_CASES = sizeof cases / sizeof cases[0], FOR_THE_CPU = N_CASES - 2 };

/* There a case goes through one layout, the next through the other, and the large ones only through
 * matches_reference. */
static bool skipped(const conv_case *c, int layout)
{
    return kt_in_bed() && ((c - cases) % 2 != layout || c - cases >= 20);
}

static dlf_conv conv_of(const conv_case *c, dlf_layout layout)
{
    dlf_conv conv = {.layout = layout, .groups = c->G};
    for (int k = 0; k < 2; k++) {
        conv.kernel[k] = c->kernel[k];
        conv.stride[k] = c->stride[k];
        conv.pad[k] = c->pad[k];
        conv.dilation[k] = c->dilation[k];
    }
    return conv;
}

/* The shapes of x, w, y and bias. */
typedef struct shapes {
    int64_t x[5], w[5], y[5], b[2];
} shapes;

static void arrange(int64_t to[5], dlf_layout layout, int64_t P, int64_t N, int64_t C, int64_t H,
                    int64_t W)
{
    const int64_t nchw[5] = {P, N, C, H, W}, nhwc[5] = {P, N, H, W, C};
    memcpy(to, layout == DLF_NCHW ? nchw : nhwc, sizeof nchw);
}

static shapes shapes_of(const conv_case *c, dlf_layout layout)
{
    shapes s = {.b = {c->P, c->K}};
    int64_t out[2];
    for (int k = 0; k < 2; k++) {
        const int64_t reach = c->dilation[k] * (c->kernel[k] - 1) + 1;
        out[k] = ((k ? c->W : c->H) + 2 * c->pad[k] - reach) / c->stride[k] + 1;
    }
    arrange(s.x, layout, c->P, c->N, c->C, c->H, c->W);
    arrange(s.w, layout, c->P, c->K, c->C / c->G, c->kernel[0], c->kernel[1]);
    arrange(s.y, layout, c->P, c->N, c->K, out[0], out[1]);
    return s;
}

static int64_t count_of(const int64_t shape[5])
{
    return shape[0] * shape[1] * shape[2] * shape[3] * shape[4];
}

/* Host values of x, w, dy, bias; the accumulators start from the same numbers. */
typedef struct numbers {
    float *x, *w, *dy, *b;
} numbers;

static numbers numbers_of(const shapes *s, uint32_t stream)
{
    return (numbers){kt_random(count_of(s->x), stream, 1.0f, 0.0f),
                     kt_random(count_of(s->w), stream + 1, 1.0f, 0.0f),
                     kt_random(count_of(s->y), stream + 2, 1.0f, 0.0f),
                     kt_random(s->b[0] * s->b[1], stream + 3, 1.0f, 0.0f)};
}

static void release(numbers *n)
{
    free(n->x), free(n->w), free(n->dy), free(n->b);
}

/* All five results of one device, with room around each member. */
enum { Y, DX, DW, DB, RESULTS };
static const char *const result_name[] = {"forward", "data_grad", "weight_grad", "bias_grad"};
typedef struct outcome {
    kt_placed t[RESULTS];
} outcome;

static outcome run(dlf_device *dev, const shapes *s, dlf_conv conv, const numbers *n,
                   int64_t offset, double beta)
{
    kt_placed x = kt_place(dev, n->x, 5, s->x, offset, offset);
    kt_placed w = kt_place(dev, n->w, 5, s->w, offset, 2 * offset);
    kt_placed dy = kt_place(dev, n->dy, 5, s->y, offset, 0);
    kt_placed b = kt_place(dev, n->b, 2, s->b, offset, offset);
    const bool given = beta != 0.0;
    outcome o = {{kt_place(dev, NULL, 5, s->y, offset, offset),
                  kt_place(dev, given ? n->x : NULL, 5, s->x, offset, 2 * offset),
                  kt_place(dev, given ? n->w : NULL, 5, s->w, offset, offset),
                  kt_place(dev, given ? n->b : NULL, 2, s->b, offset, offset)}};
    OK(dlf_conv_forward(&o.t[Y].view, &x.view, &w.view, &b.view, conv));
    OK(dlf_conv_data_grad(&o.t[DX].view, &dy.view, &w.view, conv, beta));
    OK(dlf_conv_weight_grad(&o.t[DW].view, &x.view, &dy.view, conv, beta));
    OK(dlf_conv_bias_grad(&o.t[DB].view, &dy.view, conv.layout, beta));
    dlf_tensor_free(&x.whole), dlf_tensor_free(&w.whole);
    dlf_tensor_free(&dy.whole), dlf_tensor_free(&b.whole);
    return o;
}

static void discard(outcome *o)
{
    for (int k = 0; k < RESULTS; k++) dlf_tensor_free(&o->t[k].whole);
}

/* A sum of K products of unit normals has size sqrt(K); each of its K roundings is below
 * eps/2 sqrt(K), their random sum below eps/2 K. Six of these for the worst of many elements. */
static double tolerance(const conv_case *c, const shapes *s, int result)
{
    const double eps = ldexp(1.0, -23), taps = (double)(c->kernel[0] * c->kernel[1]);
    const double positions = (double)count_of(s->y) / (double)(c->P * c->K);
    const double terms[] = {(double)(c->C / c->G) * taps, (double)(c->K / c->G) * taps, positions,
                            positions};
    return 3.0 * eps * terms[result] + 4.0 * eps;
}

static void fail_case(const conv_case *c, dlf_layout layout, int result, const char *what,
                      double worst)
{
    fail_msg("%s: case %d, %s %s: %.3g x tolerance", what, (int)(c - cases),
             layout == DLF_NCHW ? "nchw" : "nhwc", result_name[result], worst);
}

static void check(const conv_case *c, dlf_layout layout, const numbers *n, int64_t offset,
                  double beta, const char *what)
{
    const shapes s = shapes_of(c, layout);
    outcome got = run(kt_dev, &s, conv_of(c, layout), n, offset, beta);
    outcome want = run(kt_ref, &s, conv_of(c, layout), n, offset, beta);
    double worst[RESULTS];
    for (int k = 0; k < RESULTS; k++)
        worst[k] = kt_worst(&got.t[k].whole, &want.t[k].whole, tolerance(c, &s, k), 4.0e-7);
    discard(&got), discard(&want);
    for (int k = 0; k < RESULTS; k++)
        if (!(worst[k] <= 1.0)) fail_case(c, layout, k, what, worst[k]);
}

static void matches_reference(void **state)
{
    (void)state;
    for (const conv_case *c = cases; c < cases + (kt_in_bed() ? FOR_THE_CPU : N_CASES); c++)
        for (int layout = 0; layout < 2; layout++) {
            const shapes s = shapes_of(c, (dlf_layout)layout);
            numbers n = numbers_of(&s, 1);
            if (!kt_in_bed()) check(c, (dlf_layout)layout, &n, 0, 0.0, "random");
            check(c, (dlf_layout)layout, &n, 3, -0.5, "strided members, accumulated");
            release(&n);
        }
}

/* ---- property ------------------------------------------------------------------------------- */

static void expect(dlf_tensor *t, const float *want, int n)
{
    float got[16];
    OK(dlf_tensor_download(got, t));
    for (int i = 0; i < n; i++)
        if (got[i] != want[i]) fail_msg("[%d] is %g, want %g", i, (double)got[i], (double)want[i]);
    dlf_tensor_free(t);
}

/* 3x3 image, 2x2 kernel, two channels out; the numbers are small integers, hence exact. */
static void small_case_by_hand(void **state)
{
    (void)state;
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, b[] = {0.5f, -1};
    const float w[] = {1, 2, 3, 4, 0, 1, 0, -1};
    const float y_nchw[] = {37.5f, 47.5f, 67.5f, 77.5f, -4, -4, -4, -4};
    const float y_nhwc[] = {37.5f, -4, 47.5f, -4, 67.5f, -4, 77.5f, -4};
    const float dy_nchw[] = {1, 0, 0, 2, 0, 3, 0, 0}, dy_nhwc[] = {1, 0, 0, 3, 0, 0, 2, 0};
    /* dy 1 at (0,0) and 2 at (1,1) through the first kernel, 3 at (0,1) through the second */
    const float dx[] = {1, 2, 3, 3, 6, 1, 0, 6, 8};
    const float dw[] = {11, 14, 20, 23, 6, 9, 15, 18}, db[] = {3, 3};
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int k = 0; k < 4; k++) {
        dlf_device *dev = devices[k / 2];
        const bool nchw = k % 2;
        const dlf_conv conv = dlf_conv_of(nchw ? DLF_NCHW : DLF_NHWC, 2, 1, 0);
        dlf_tensor tx = nchw ? kt_tensor(dev, x, 1, 1, 1, 3, 3) : kt_tensor(dev, x, 1, 1, 3, 3, 1);
        dlf_tensor tw = nchw ? kt_tensor(dev, w, 1, 2, 1, 2, 2) : kt_tensor(dev, w, 1, 2, 2, 2, 1);
        dlf_tensor tg =
            nchw ? kt_tensor(dev, dy_nchw, 1, 1, 2, 2, 2) : kt_tensor(dev, dy_nhwc, 1, 1, 2, 2, 2);
        dlf_tensor ty = kt_tensor(dev, NULL, 1, 1, 2, 2, 2), tb = kt_tensor(dev, b, 1, 2);
        dlf_tensor tdx = kt_tensor_of(dev, NULL, 5, tx.shape), tdb = kt_tensor(dev, NULL, 1, 2);
        dlf_tensor tdw = kt_tensor_of(dev, NULL, 5, tw.shape);
        OK(dlf_conv_forward(&ty, &tx, &tw, &tb, conv));
        OK(dlf_conv_data_grad(&tdx, &tg, &tw, conv, 0.0));
        OK(dlf_conv_weight_grad(&tdw, &tx, &tg, conv, 0.0));
        OK(dlf_conv_bias_grad(&tdb, &tg, conv.layout, 0.0));
        expect(&ty, nchw ? y_nchw : y_nhwc, 8);
        expect(&tdx, dx, 9), expect(&tdw, dw, 8), expect(&tdb, db, 2);
        dlf_tensor_free(&tx), dlf_tensor_free(&tw), dlf_tensor_free(&tg), dlf_tensor_free(&tb);
    }
}

/* L = sum dy y is linear in x and in w: ref's gradients are its differences for steps of one. */
static double objective(const dlf_tensor *x, const dlf_tensor *w, dlf_tensor *y, const float *dy,
                        dlf_conv conv)
{
    double host[512], sum = 0.0;
    const int64_t n = dlf_tensor_count(y);
    assert_true(n <= 512);
    OK(dlf_conv_forward(y, x, w, NULL, conv));
    OK(dlf_tensor_download_f64(host, y));
    for (int64_t i = 0; i < n; i++) sum += (double)dy[i] * host[i];
    return sum;
}

static void gradients_on_ref_are_differences(void **state)
{
    (void)state;
    static const conv_case few[] = {{1, 2, 4, 5, 4, 6, 2, {3, 2}, {2, 1}, {1, 2}, {1, 2}},
                                    {1, 1, 3, 4, 5, 2, 1, {2, 3}, {1, 2}, {0, 1}, {2, 1}}};
    for (int k = 0; k < 4; k++) {
        const conv_case *c = &few[k / 2];
        const dlf_layout layout = (dlf_layout)(k % 2);
        const dlf_conv conv = conv_of(c, layout);
        const shapes s = shapes_of(c, layout);
        numbers n = numbers_of(&s, 11);
        dlf_tensor t[2] = {kt_tensor_of(kt_ref, n.x, 5, s.x), kt_tensor_of(kt_ref, n.w, 5, s.w)};
        dlf_tensor y = kt_tensor_of(kt_ref, NULL, 5, s.y), g = kt_tensor_of(kt_ref, n.dy, 5, s.y);
        dlf_tensor d[2] = {kt_tensor_of(kt_ref, NULL, 5, s.x), kt_tensor_of(kt_ref, NULL, 5, s.w)};
        OK(dlf_conv_data_grad(&d[0], &g, &t[1], conv, 0.0));
        OK(dlf_conv_weight_grad(&d[1], &t[0], &g, conv, 0.0));
        const double here = objective(&t[0], &t[1], &y, n.dy, conv);
        for (int which = 0; which < 2; which++) {
            const int64_t size = dlf_tensor_count(&t[which]);
            double at[512], slope[512];
            assert_true(size <= 512);
            OK(dlf_tensor_download_f64(at, &t[which]));
            OK(dlf_tensor_download_f64(slope, &d[which]));
            for (int64_t i = 0; i < size; i++) {
                at[i] += 1.0;
                OK(dlf_tensor_upload_f64(&t[which], at));
                const double there = objective(&t[0], &t[1], &y, n.dy, conv);
                assert_true(fabs(there - here - slope[i]) < 1e-11);
                at[i] -= 1.0;
            }
            OK(dlf_tensor_upload_f64(&t[which], at));
        }
        for (int i = 0; i < 2; i++) dlf_tensor_free(&t[i]), dlf_tensor_free(&d[i]);
        dlf_tensor_free(&y), dlf_tensor_free(&g);
        release(&n);
    }
}

static double inner(const dlf_tensor *t, const float *v)
{
    const int64_t n = dlf_tensor_count(t);
    double *host = malloc((size_t)n * sizeof *host), sum = 0.0;
    assert_non_null(host);
    OK(dlf_tensor_download_f64(host, t));
    for (int64_t i = 0; i < n; i++) sum += host[i] * (double)v[i];
    free(host);
    return sum;
}

/* <dy, conv(x, w)> = <conv^T(dy, w), x> = <dw(x, dy), w>, each with the device's own results. */
static void gradients_are_adjoint(void **state)
{
    (void)state;
    for (const conv_case *c = cases; c < cases + N_CASES; c++)
        for (int layout = 0; layout < 2; layout++) {
            if (skipped(c, layout)) continue;
            const shapes s = shapes_of(c, (dlf_layout)layout);
            numbers n = numbers_of(&s, 21);
            memset(n.b, 0, (size_t)(c->P * c->K) * sizeof *n.b);
            outcome o = run(kt_dev, &s, conv_of(c, (dlf_layout)layout), &n, 0, 0.0);
            const double y = inner(&o.t[Y].view, n.dy), dx = inner(&o.t[DX].view, n.x);
            const double dw = inner(&o.t[DW].view, n.w);
            discard(&o), release(&n);
            /* Errors of the elements, weighted by unit normals, add up like a square root. */
            const double count[] = {(double)count_of(s.y), (double)count_of(s.x),
                                    (double)count_of(s.w)};
            double most = 0.0;
            for (int k = 0; k < 3; k++) most = fmax(most, tolerance(c, &s, k) * sqrt(count[k]));
            if (!(fabs(y - dx) <= 2.0 * most))
                fail_case(c, (dlf_layout)layout, DX, "adjoint", (y - dx) / most);
            if (!(fabs(y - dw) <= 2.0 * most))
                fail_case(c, (dlf_layout)layout, DW, "adjoint", (y - dw) / most);
        }
}

/* A 1x1 kernel over NHWC, and a kernel as large as the image over NCHW, are matrix products:
 * y (P, rows, K) = x (P, rows, depth) w (P, K, depth)^T, and so are their gradients. */
static void is_a_matrix_product(void **state)
{
    (void)state;
    static const conv_case products[] = {
        {2, 3, 17, 6, 5, 21, 1, {1, 1}, {1, 1}, {0, 0}, {1, 1}},
        {2, 6, 5, 4, 3, 18, 1, {4, 3}, {1, 1}, {0, 0}, {1, 1}},
    };
    for (int k = 0; k < 2; k++) {
        const conv_case *c = &products[k];
        const shapes s = shapes_of(c, k ? DLF_NCHW : DLF_NHWC);
        numbers n = numbers_of(&s, 31);
        memset(n.b, 0, (size_t)(c->P * c->K) * sizeof *n.b);
        outcome o = run(kt_dev, &s, conv_of(c, k ? DLF_NCHW : DLF_NHWC), &n, 0, 0.0);
        const int64_t rows = k ? c->N : c->N * c->H * c->W, depth = k ? c->C * c->H * c->W : c->C;
        dlf_tensor x = kt_tensor(kt_dev, n.x, c->P, rows, depth);
        dlf_tensor w = kt_tensor(kt_dev, n.w, c->P, c->K, depth);
        dlf_tensor dy = kt_tensor(kt_dev, n.dy, c->P, rows, c->K);
        dlf_tensor want[3] = {kt_tensor(kt_dev, NULL, c->P, rows, c->K),
                              kt_tensor(kt_dev, NULL, c->P, rows, depth),
                              kt_tensor(kt_dev, NULL, c->P, c->K, depth)};
        OK(dlf_gemm(&want[Y], &x, &w, (dlf_gemm_args){.trans_b = true, .alpha = 1.0}));
        OK(dlf_gemm(&want[DX], &dy, &w, (dlf_gemm_args){.alpha = 1.0}));
        OK(dlf_gemm(&want[DW], &dy, &x, (dlf_gemm_args){.trans_a = true, .alpha = 1.0}));
        for (int r = 0; r < 3; r++) {
            const double worst = kt_worst(&o.t[r].whole, &want[r], 2.0 * tolerance(c, &s, r), 0.0);
            if (!(worst <= 1.0)) fail_msg("%d: %s: %.3g x tolerance", k, result_name[r], worst);
            dlf_tensor_free(&want[r]);
        }
        dlf_tensor_free(&x), dlf_tensor_free(&w), dlf_tensor_free(&dy);
        discard(&o), release(&n);
    }
}

/* x, w and dy of one member for all: as if every member had a copy. */
static void shared_operands(void **state)
{
    (void)state;
    const conv_case c = {3, 2, 4, 6, 5, 6, 2, {3, 3}, {1, 1}, {1, 1}, {1, 1}};
    for (int layout = 0; layout < 2; layout++) {
        const dlf_conv conv = conv_of(&c, (dlf_layout)layout);
        const shapes s = shapes_of(&c, (dlf_layout)layout);
        numbers n = numbers_of(&s, 41);
        float *full[] = {n.x, n.w, n.dy};
        const int64_t size[] = {count_of(s.x) / c.P, count_of(s.w) / c.P, count_of(s.y) / c.P};
        for (int k = 0; k < 3; k++)
            for (int64_t p = 1; p < c.P; p++)
                memcpy(full[k] + p * size[k], full[k], (size_t)size[k] * sizeof(float));
        outcome want = run(kt_dev, &s, conv, &n, 0, 0.0), got;
        memset(&got, 0, sizeof got);
        for (int k = 0; k < 3; k++) /* nobody is to read the other members */
            for (int64_t i = size[k]; i < c.P * size[k]; i++) full[k][i] = NAN;
        dlf_tensor all[3] = {kt_tensor_of(kt_dev, n.x, 5, s.x), kt_tensor_of(kt_dev, n.w, 5, s.w),
                             kt_tensor_of(kt_dev, n.dy, 5, s.y)};
        dlf_tensor x = dlf_tensor_slice(&all[0], 0, 1), w = dlf_tensor_slice(&all[1], 0, 1);
        dlf_tensor dy = dlf_tensor_slice(&all[2], 0, 1), b = kt_tensor_of(kt_dev, n.b, 2, s.b);
        got.t[Y] = kt_place(kt_dev, NULL, 5, s.y, 0, 0);
        got.t[DX] = kt_place(kt_dev, NULL, 5, s.x, 0, 0);
        got.t[DW] = kt_place(kt_dev, NULL, 5, s.w, 0, 0);
        OK(dlf_conv_forward(&got.t[Y].view, &x, &w, &b, conv));
        OK(dlf_conv_data_grad(&got.t[DX].view, &dy, &w, conv, 0.0));
        OK(dlf_conv_weight_grad(&got.t[DW].view, &x, &dy, conv, 0.0));
        for (int k = 0; k < 3; k++)
            assert_true(kt_worst(&got.t[k].whole, &want.t[k].whole, 1e-300, 0.0) <= 1.0);
        for (int k = 0; k < 3; k++) dlf_tensor_free(&all[k]);
        dlf_tensor_free(&b);
        discard(&got), discard(&want), release(&n);
    }
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    if (kt_dev->real == DLF_F64) skip();
    const int threads = kt_dev->info.threads;
    const conv_case few[] = {{2, 5, 12, 21, 17, 20, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
                             {2, 9, 12, 11, 17, 12, 12, {3, 3}, {2, 1}, {1, 1}, {1, 1}}};
    for (int k = 0; k < 4; k++) {
        const dlf_layout layout = (dlf_layout)(k % 2);
        const shapes s = shapes_of(&few[k / 2], layout);
        numbers n = numbers_of(&s, 51);
        outcome o[2];
        for (int t = 0; t < 2; t++) {
            kt_dev->info.threads = 1 + t;
            o[t] = run(kt_dev, &s, conv_of(&few[k / 2], layout), &n, 0, 1.0);
        }
        for (int r = 0; r < RESULTS; r++)
            assert_true(kt_worst(&o[0].t[r].whole, &o[1].t[r].whole, 1e-300, 0.0) <= 1.0);
        discard(&o[0]), discard(&o[1]), release(&n);
    }
    kt_dev->info.threads = threads;
}

/* A recorded convolution reads what its operands hold when it is replayed. */
static void can_be_recorded(void **state)
{
    (void)state;
    /* The bed's stand-in for cuDNN computes when it is called. */
    if (!dlf_device_records(kt_dev) || (kt_in_bed() && strstr(kt_dev->info.detail, "cuDNN ")))
        skip();
    const conv_case c = {1, 2, 3, 6, 5, 4, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}};
    const shapes s = shapes_of(&c, DLF_NCHW);
    const dlf_conv conv = conv_of(&c, DLF_NCHW);
    numbers n = numbers_of(&s, 81), other = numbers_of(&s, 91);
    dlf_tensor x = kt_tensor_of(kt_dev, n.x, 5, s.x), w = kt_tensor_of(kt_dev, n.w, 5, s.w);
    dlf_tensor dy = kt_tensor_of(kt_dev, n.dy, 5, s.y), b = kt_tensor_of(kt_dev, n.b, 2, s.b);
    dlf_tensor y = kt_tensor_of(kt_dev, NULL, 5, s.y), dw = kt_tensor_of(kt_dev, NULL, 5, s.w);
    dlf_tensor dx = kt_tensor_of(kt_dev, NULL, 5, s.x);
    dlf_recording *recording;
    for (int k = 0; k < 2; k++) { /* once for real, then for the record */
        if (k) OK(dlf_record_begin(kt_dev));
        OK(dlf_conv_forward(&y, &x, &w, &b, conv));
        OK(dlf_conv_data_grad(&dx, &dy, &w, conv, 0.0));
        OK(dlf_conv_weight_grad(&dw, &x, &dy, conv, 0.0));
    }
    OK(dlf_record_end(kt_dev, &recording));
    OK(dlf_tensor_upload(&x, other.x));
    OK(dlf_tensor_upload(&w, other.w));
    OK(dlf_tensor_upload(&dy, other.dy));
    OK(dlf_tensor_upload(&b, other.b));
    OK(dlf_replay(recording));
    outcome want = run(kt_ref, &s, conv, &other, 0, 0.0);
    const dlf_tensor *got[] = {&y, &dx, &dw};
    for (int k = 0; k < 3; k++)
        assert_true(kt_worst(got[k], &want.t[k].whole, tolerance(&c, &s, k), 4e-7) <= 1.0);
    dlf_recording_free(recording);
    dlf_tensor_free(&x), dlf_tensor_free(&w), dlf_tensor_free(&dy), dlf_tensor_free(&b);
    dlf_tensor_free(&y), dlf_tensor_free(&dx), dlf_tensor_free(&dw);
    discard(&want), release(&n), release(&other);
}

/* ---- extremes ------------------------------------------------------------------------------- */

/* Agreement with ref, except that `open` channels of the result may be NaN instead (conv.h):
 * `inner` elements of a channel lie side by side. */
static void check_open(const conv_case *c, dlf_layout layout, int result, const outcome *got,
                       const outcome *want, int64_t channels, int64_t inner_size, int64_t open)
{
    const dlf_tensor *a = &got->t[result].whole, *b = &want->t[result].whole;
    const int64_t n = dlf_tensor_count(a);
    const shapes s = shapes_of(c, layout);
    double *g = malloc((size_t)n * sizeof *g), *w = malloc((size_t)n * sizeof *w);
    assert_true(g && w);
    OK(dlf_tensor_download_f64(g, a));
    OK(dlf_tensor_download_f64(w, b));
    int64_t ordinary = 0;
    for (int64_t i = 0; i < n; i++) {
        const bool may = i / inner_size % channels == open && isnan(g[i]);
        const bool same = g[i] == w[i] || (isnan(g[i]) && isnan(w[i])) ||
                          fabs(g[i] - w[i]) <= tolerance(c, &s, result) + 4e-7 * fabs(w[i]);
        if (!same && !may)
            fail_msg("case %d, %s %s [%lld]: got %g want %g", (int)(c - cases),
                     layout == DLF_NCHW ? "nchw" : "nhwc", result_name[result], (long long)i, g[i],
                     w[i]);
        ordinary += isfinite(g[i]) != 0;
    }
    assert_true(ordinary > 0 || channels == 1 || n == channels);
    free(g), free(w);
}

/* NaN, Inf and denormals in x, then in the last channel of dy, then in the last kernel. */
static void extremes_match_reference(void **state)
{
    (void)state;
    const float rare[] = {NAN, INFINITY, -INFINITY, 1e-45f, -1e-40f, -0.0f, 0.0f, 3e38f};
    for (const conv_case *c = cases; c < cases + N_CASES; c++)
        for (int layout = 0; layout < 2; layout++) {
            if (skipped(c, layout) || c == cases + N_CASES - 1) continue; /* slow on ref */
            const bool nchw = layout == DLF_NCHW;
            const shapes s = shapes_of(c, (dlf_layout)layout);
            numbers n = numbers_of(&s, 61);
            const int64_t positions = count_of(s.y) / (c->P * c->N * c->K);
            for (int64_t i = 0; i < count_of(s.x); i++) {
                const uint32_t draw = (uint32_t)i * 2654435761u >> 16;
                if (draw % 11 == 0) n.x[i] = rare[draw / 11 % 7];
            }
            outcome got = run(kt_dev, &s, conv_of(c, (dlf_layout)layout), &n, 0, 0.0);
            outcome want = run(kt_ref, &s, conv_of(c, (dlf_layout)layout), &n, 0, 0.0);
            for (int k = 0; k < RESULTS; k++)
                check_open(c, (dlf_layout)layout, k, &got, &want, 1, 1, 1);
            discard(&got), discard(&want), release(&n);

            n = numbers_of(&s, 65);
            const int64_t width = nchw ? positions : 1;
            for (int64_t i = 0; i < count_of(s.y); i++)
                if (i / width % c->K == c->K - 1 && i % 3 == 0) n.dy[i] = rare[i / 3 % 7];
            got = run(kt_dev, &s, conv_of(c, (dlf_layout)layout), &n, 0, 0.0);
            want = run(kt_ref, &s, conv_of(c, (dlf_layout)layout), &n, 0, 0.0);
            check_open(c, (dlf_layout)layout, DX, &got, &want, 1, 1, 1);
            check_open(c, (dlf_layout)layout, DB, &got, &want, 1, 1, 1);
            check_open(c, (dlf_layout)layout, DW, &got, &want, c->K, count_of(s.w) / (c->P * c->K),
                       c->pad[0] + c->pad[1] > 0 ? c->K - 1 : -1);
            discard(&got), discard(&want), release(&n);

            n = numbers_of(&s, 69);
            const int64_t kernel = count_of(s.w) / (c->P * c->K);
            for (int64_t p = 0; p < c->P; p++) n.w[((p + 1) * c->K - 1) * kernel] = rare[p % 3];
            got = run(kt_dev, &s, conv_of(c, (dlf_layout)layout), &n, 0, 0.0);
            want = run(kt_ref, &s, conv_of(c, (dlf_layout)layout), &n, 0, 0.0);
            check_open(c, (dlf_layout)layout, Y, &got, &want, c->K, width,
                       c->pad[0] + c->pad[1] > 0 ? c->K - 1 : -1);
            check_open(c, (dlf_layout)layout, DX, &got, &want, c->C, nchw ? c->H * c->W : 1,
                       c->C - c->C / c->G);
            discard(&got), discard(&want), release(&n);
        }
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    dlf_tensor x = kt_tensor(kt_dev, NULL, 2, 1, 4, 5, 5),
               w = kt_tensor(kt_dev, NULL, 2, 6, 4, 3, 3);
    dlf_tensor y = kt_tensor(kt_dev, NULL, 2, 1, 6, 3, 3), b = kt_tensor(kt_dev, NULL, 2, 6);
    const dlf_conv good = dlf_conv_of(DLF_NCHW, 3, 1, 0);
    OK(dlf_conv_forward(&y, &x, &w, &b, good));
    OK(dlf_conv_forward(&y, &x, &w, NULL, good));
    for (int k = 0; k < 9; k++) {
        dlf_conv bad = good;
        if (k == 0) bad.kernel[0] = 6;
        if (k == 1) bad.stride[1] = 0;
        if (k == 2) bad.pad[0] = -1;
        if (k == 3) bad.dilation[1] = 3;
        if (k == 4) bad.groups = 3;
        if (k == 5) bad.groups = 0;
        if (k == 6) bad.layout = DLF_NHWC;
        if (k == 7) bad.pad[1] = 1;
        if (k == 8) bad.kernel[0] = (int64_t)1 << 40;
        assert_int_equal(dlf_conv_forward(&y, &x, &w, &b, bad), DLF_ERR_SHAPE);
        assert_int_equal(dlf_conv_data_grad(&x, &y, &w, bad, 0.0), DLF_ERR_SHAPE);
        assert_int_equal(dlf_conv_weight_grad(&w, &x, &y, bad, 0.0), DLF_ERR_SHAPE);
    }
    assert_int_equal(dlf_conv_forward(&y, &y, &w, &b, good), DLF_ERR_SHAPE);
    dlf_conv odd = good;
    odd.layout = (dlf_layout)7;
    assert_int_equal(dlf_conv_forward(&y, &x, &w, &b, odd), DLF_ERR_ARG);
    dlf_tensor one = dlf_tensor_slice(&w, 0, 1);
    assert_int_equal(dlf_conv_weight_grad(&one, &x, &y, good, 0.0), DLF_ERR_SHAPE);
    dlf_tensor_free(&x), dlf_tensor_free(&w), dlf_tensor_free(&y), dlf_tensor_free(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_case_by_hand),
        cmocka_unit_test(gradients_on_ref_are_differences),
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(gradients_are_adjoint),
        cmocka_unit_test(is_a_matrix_product),
        cmocka_unit_test(shared_operands),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(can_be_recorded),
        cmocka_unit_test(extremes_match_reference),
        cmocka_unit_test(refuses_what_does_not_fit),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
