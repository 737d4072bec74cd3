/* SPDX-License-Identifier: MIT
 * test_layer_norm.c -- layer and RMS normalization.
 *
 * Tolerances against ref are those of norm_test.h. Where a test has its own, u = 2^-24 = 6e-8:
 *   xhat of float storage    a subtraction, a product, and the rounding of mean and rstd: 6 u
 * |xhat|, below 2e-6 for |xhat| < 6; its mean over a row averages them sum of dx over a row     L
 * terms of size rstd |g|, each with 4 u, and the two means with sqrt(L) u relative: 1e-6 rstd sum
 * |g| is far above that */
#include "norm_test.h"

/* ---- against the definition -------------------------------------------------------------------
 */

/* Every version of the table that fits the case; `ran` counts them. */
enum { VERSIONS = 6 };
static int ran[VERSIONS];

static void every_version(nt_case c)
{
    for (c.version = 0; c.version < VERSIONS; c.version++)
        if (nt_run(c)) ran[c.version]++;
}

static const dlf_norm_kind both[] = {DLF_LAYER_NORM, DLF_RMS_NORM};
static const dlf_dtype storages[] = {DLF_F32, DLF_F16, DLF_BF16};

/* {N, C} of a matrix (P,N,C): one element, primes, warp and block edges, every rung of the ladders
 * of threads, and rows that only shared memory or rereading can take. */
static const int64_t matrices[][2] = {{1, 1},     {7, 1},    {3, 5},    {37, 8},  {5, 31},
                                      {33, 32},   {9, 33},   {70, 64},  {11, 96}, {6, 128},
                                      {5, 257},   {17, 256}, {4, 1009}, {9, 512}, {5, 768},
                                      {10, 1024}, {3, 2048}, {3, 1032}, {2, 4100}};
enum { MATRICES = sizeof matrices / sizeof matrices[0] };

static void matrices_match_reference(void **state)
{
    (void)state;
    for (int i = 0; i < MATRICES; i++)
        for (int k = 0; k < 2; k++)
            every_version((nt_case){.kind = both[k],
                                    .P = 1 + i % 3,
                                    .N = matrices[i][0],
                                    .C = matrices[i][1],
                                    .dtype = storages[(i + k) % 3],
                                    .layout = i % 2 ? DLF_NHWC : DLF_NCHW,
                                    .residual = i % 3 == 0,
                                    .plain = i % 5 == 4,
                                    .accumulate = i % 4 == 1 ? -0.5 : 0.0});
}

static void every_storage_matches_reference(void **state)
{
    (void)state;
    const int64_t widths[] = {24, 160, 1040, 2056};
    for (int i = 0; i < 4; i++)
        for (int t = 0; t < 3; t++)
            every_version((nt_case){.kind = both[i % 2],
                                    .P = 2,
                                    .N = 5,
                                    .C = widths[i],
                                    .dtype = storages[t],
                                    .residual = t == i % 3,
                                    .accumulate = 0.25});
}

/* Wide rows: the last rungs of backward and of forward, and what comes after them. */
static void wide_rows_match_reference(void **state)
{
    (void)state;
    const struct {
        int64_t N, C;
        dlf_dtype dtype;
    } cases[] = {{3, 6000, DLF_F32},  {3, 8192, DLF_F32},   {2, 12288, DLF_F32},
                 {2, 12292, DLF_F32}, {2, 16384, DLF_BF16}, {2, 16388, DLF_F32},
                 {1, 32776, DLF_F16}, {1, 60004, DLF_F32}};
    for (int i = 0; i < 8; i++)
        for (int version = 0; version < VERSIONS; version++) {
            nt_case c = {.kind = both[i % 2],
                         .P = 1,
                         .N = cases[i].N,
                         .C = cases[i].C,
                         .dtype = cases[i].dtype,
                         .activation = i == 0 ? DLF_RELU : DLF_LINEAR,
                         .version = version};
            if (version != 1 && nt_run(c)) ran[version]++;
        }
}

/* {N, C, H, W}: S > 1, packs that lie in a channel (NCHW) or along the channels (NHWC), and not */
static const int64_t images[][4] = {{2, 3, 1, 2}, {3, 5, 3, 7},  {2, 64, 4, 4}, {5, 8, 2, 2},
                                    {1, 1, 9, 9}, {2, 33, 5, 1}, {70, 6, 2, 4}};

static void images_match_reference(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++)
        for (int layout = 0; layout < 2; layout++)
            for (int k = 0; k < 2; k++)
                every_version((nt_case){.kind = both[k],
                                        .layout = layout ? DLF_NHWC : DLF_NCHW,
                                        .P = 1 + (i + k) % 2,
                                        .N = images[i][0],
                                        .C = images[i][1],
                                        .H = images[i][2],
                                        .W = images[i][3],
                                        .dtype = storages[(i + layout) % 3],
                                        .residual = k == 0,
                                        .plain = i == 4,
                                        .accumulate = k ? 2.0 : 0.0});
}

static void activations_match_reference(void **state)
{
    (void)state;
    for (int f = 0; f < DLF_ACTIVATION_COUNT; f++)
        for (int i = 0; i < 3; i++)
            every_version((nt_case){.kind = both[f % 2],
                                    .P = 1,
                                    .N = 6,
                                    .C = (const int64_t[]){40, 320, 600}[i],
                                    .H = 2,
                                    .W = i == 0 ? 2 : 0,
                                    .layout = f % 3 ? DLF_NHWC : DLF_NCHW,
                                    .dtype = storages[(f + i) % 3],
                                    .activation = (dlf_activation_kind)f,
                                    .residual = f % 2 == 0});
}

/* Members are windows at an odd offset of longer rows, or at one that keeps 16-byte alignment. */
static void strided_members(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        for (int t = 0; t < 3; t++)
            every_version((nt_case){.kind = both[t % 2],
                                    .P = 3,
                                    .N = 5,
                                    .C = 48,
                                    .dtype = storages[t],
                                    .residual = true,
                                    .activation = t ? DLF_LINEAR : DLF_GELU,
                                    .accumulate = 1.0,
                                    .pad = i ? 8 : 3});
}

/* Must run after the tests above. nt_run takes a version of one direction for enough, so each
 * direction is asked for its versions at a shape that all of them fit and the tests above had. */
static void every_version_has_run(void **state)
{
    (void)state;
    const bool cuda = strcmp(kt_dev->info.backend, "cuda") == 0;
    const int forward = cuda ? 4 : 1, backward = cuda ? 3 : 1;
    for (int v = 0; v < VERSIONS; v++) assert_true((ran[v] > 0) == (v <= forward));
    nt_case c = {.kind = DLF_LAYER_NORM, .P = 1, .N = 70, .C = 64};
    nt_side dev, ref;
    nt_build(&c, &dev, &ref);
    const dlf_norm_fwd fwd = nt_fwd(&c, &dev);
    const dlf_norm_bwd bwd = nt_bwd(&c, &dev);
    for (c.version = 0; c.version < VERSIONS; c.version++) {
        const dlf_norm norm = nt_norm(&c);
        assert_int_equal(dlf_norm_forward(&fwd, &norm),
                         c.version <= forward ? DLF_OK : DLF_ERR_NO_KERNEL);
        assert_int_equal(dlf_norm_backward(&bwd, &norm),
                         c.version <= backward ? DLF_OK : DLF_ERR_NO_KERNEL);
    }
    nt_free(&dev), nt_free(&ref);
}

/* ---- properties ---------------------------------------------------------------------------------
 */

typedef struct rows {
    dlf_norm_kind kind;
    int64_t N, C;
    int version;
} rows;

static const rows property_rows[] = {{DLF_LAYER_NORM, 5, 64, 0},   {DLF_RMS_NORM, 4, 257, 0},
                                     {DLF_LAYER_NORM, 3, 1536, 0}, {DLF_LAYER_NORM, 4, 96, 1},
                                     {DLF_RMS_NORM, 3, 1040, 3},   {DLF_LAYER_NORM, 3, 2048, 3}};
enum { PROPERTY_ROWS = sizeof property_rows / sizeof property_rows[0] };

static dlf_norm norm_of(rows r, double eps)
{
    const bool known = strcmp(kt_dev->info.backend, "cuda") == 0 || r.version <= 1;
    return (dlf_norm){.kind = r.kind, .eps = eps, .version = known ? r.version : 0};
}

/* y of x without gamma and beta, and if wanted dx of dy */
static void plain(rows r, double eps, const float *x, const float *dy, double *y, double *dx)
{
    const dlf_norm norm = norm_of(r, eps);
    dlf_tensor tx = kt_tensor(kt_dev, x, 1, r.N, r.C), ty = kt_tensor(kt_dev, NULL, 1, r.N, r.C);
    dlf_tensor rstd = kt_tensor(kt_dev, NULL, 1, r.N), mean, td = {0};
    OK(dlf_tensor_new(&mean, kt_dev, DLF_F64, 1, r.N));
    dlf_tensor *kept = r.kind == DLF_RMS_NORM ? NULL : &mean;
    OK(dlf_norm_forward(&(dlf_norm_fwd){.y = &ty, .x = &tx, .mean = kept, .rstd = &rstd}, &norm));
    OK(dlf_tensor_download_f64(y, &ty));
    if (dy) {
        td = kt_tensor(kt_dev, dy, 1, r.N, r.C);
        OK(dlf_norm_backward(
            &(dlf_norm_bwd){.dx = &ty, .dy = &td, .x = &tx, .mean = kept, .rstd = &rstd}, &norm));
        OK(dlf_tensor_download_f64(dx, &ty));
    }
    dlf_tensor_free(&tx), dlf_tensor_free(&ty), dlf_tensor_free(&td);
    dlf_tensor_free(&mean), dlf_tensor_free(&rstd);
}

/* Mean of xhat 0 (layer norm), mean square 1; sum of dx 0 (layer norm), <dx, xhat> = 0: y does not
 * move along these directions. */
static void identities_of_a_row(void **state)
{
    (void)state;
    for (int k = 0; k < PROPERTY_ROWS; k++) {
        const rows r = property_rows[k];
        const int64_t n = r.N * r.C;
        float *x = kt_random(n, 11, 3.0f, 0.5f), *dy = kt_random(n, 12, 1.0f, 0.3f);
        double *y = malloc((size_t)n * sizeof *y), *dx = malloc((size_t)n * sizeof *dx);
        assert_true(y && dx);
        plain(r, 0.0, x, dy, y, dx);
        for (int64_t i = 0; i < r.N; i++) {
            double sum = 0, squares = 0, sum_dx = 0, along = 0, size = 0;
            for (int64_t c = i * r.C; c < (i + 1) * r.C; c++) {
                sum += y[c], squares += y[c] * y[c];
                sum_dx += dx[c], along += dx[c] * y[c];
                size += fabs((double)dy[c]) * 0.4; /* rstd is about 1/3 */
            }
            assert_true(fabs(squares / (double)r.C - 1.0) < 2e-6);
            assert_true(fabs(along) < 2e-6 * size);
            if (r.kind == DLF_RMS_NORM) continue;
            assert_true(fabs(sum / (double)r.C) < 1e-6);
            assert_true(fabs(sum_dx) < 1e-6 * size);
        }
        free(x), free(dy), free(y), free(dx);
    }
}

/* y(a x + b) = y(x) for layer norm, y(a x) = y(x) for both, a > 0; a power of two is exact. */
static void shift_and_scale_of_a_row_change_nothing(void **state)
{
    (void)state;
    for (int k = 0; k < PROPERTY_ROWS; k++) {
        const rows r = property_rows[k];
        const bool rms = r.kind == DLF_RMS_NORM;
        const int64_t n = r.N * r.C;
        float *x = kt_random(n, 13, 1.0f, 0.0f), *moved = malloc((size_t)n * sizeof *moved);
        double *y = malloc(2 * (size_t)n * sizeof *y);
        assert_true(moved && y);
        for (int64_t i = 0; i < n; i++) { /* multiples of 2^-12: x + b is exact */
            x[i] = roundf(x[i] * 4096.0f) / 4096.0f;
            moved[i] = 4.0f * x[i] + (rms ? 0.0f : (float)(3 + i / r.C));
        }
        plain(r, 0.0, x, NULL, y, NULL);
        plain(r, 0.0, moved, NULL, y + n, NULL);
        for (int64_t i = 0; i < n; i++)
            assert_true(rms ? y[i] == y[n + i] : fabs(y[i] - y[n + i]) < 3e-6);
        free(x), free(moved), free(y);
    }
}

/* Difference quotients of ref: loss = <dy, y>, in x, gamma and beta. */
static double loss_on_ref(const dlf_norm *norm, const dlf_norm_fwd *io, const float *dy, int64_t n)
{
    double y[64], loss = 0.0;
    OK(dlf_norm_forward(io, norm));
    OK(dlf_tensor_download_f64(y, io->y));
    for (int64_t i = 0; i < n; i++) loss += (double)dy[i] * y[i];
    return loss;
}

static void gradients_on_ref_are_difference_quotients(void **state)
{
    (void)state;
    enum { N = 2, C = 3, H = 2, ALL = N * C * H };
    const double h = 1e-5;
    for (int k = 0; k < 4; k++) {
        const bool nhwc = k / 2;
        const dlf_norm norm = {.kind = both[k % 2],
                               .layout = nhwc ? DLF_NHWC : DLF_NCHW,
                               .eps = 1e-3,
                               .activation = dlf_activation_of(DLF_TANH)};
        const int64_t shape[] = {1, N, nhwc ? H : C, nhwc ? C : H}, stats[] = {1, N};
        float *x = kt_random(ALL, 14, 1.0f, 0.2f), *dy = kt_random(ALL, 15, 1.0f, 0.0f);
        float *g = kt_random(C, 16, 0.5f, 1.0f), *b = kt_random(C, 17, 0.5f, 0.0f);
        dlf_tensor t[3] = {kt_tensor_of(kt_ref, x, 4, shape), kt_tensor(kt_ref, g, 1, C),
                           kt_tensor(kt_ref, b, 1, C)};
        dlf_tensor d[3] = {kt_tensor_of(kt_ref, NULL, 4, shape), kt_tensor(kt_ref, NULL, 1, C),
                           kt_tensor(kt_ref, NULL, 1, C)};
        dlf_tensor y = kt_tensor_of(kt_ref, NULL, 4, shape),
                   tdy = kt_tensor_of(kt_ref, dy, 4, shape);
        dlf_tensor mean = kt_tensor_of(kt_ref, NULL, 2, stats);
        dlf_tensor rstd = kt_tensor_of(kt_ref, NULL, 2, stats);
        dlf_tensor *kept = k % 2 ? NULL : &mean;
        const dlf_norm_fwd fwd = {
            .y = &y, .mean = kept, .rstd = &rstd, .x = &t[0], .gamma = &t[1], .beta = &t[2]};
        OK(dlf_norm_forward(&fwd, &norm));
        OK(dlf_norm_backward(&(dlf_norm_bwd){.dx = &d[0],
                                             .dgamma = &d[1],
                                             .dbeta = &d[2],
                                             .dy = &tdy,
                                             .x = &t[0],
                                             .mean = kept,
                                             .rstd = &rstd,
                                             .gamma = &t[1],
                                             .beta = &t[2]},
                             &norm));
        for (int which = 0; which < 3; which++) {
            double at[ALL], slope[ALL];
            OK(dlf_tensor_download_f64(at, &t[which]));
            OK(dlf_tensor_download_f64(slope, &d[which]));
            for (int i = 0; i < (which ? C : ALL); i++) {
                const double was = at[i];
                at[i] = was + h;
                OK(dlf_tensor_upload_f64(&t[which], at));
                const double above = loss_on_ref(&norm, &fwd, dy, ALL);
                at[i] = was - h;
                OK(dlf_tensor_upload_f64(&t[which], at));
                const double below = loss_on_ref(&norm, &fwd, dy, ALL);
                at[i] = was;
                OK(dlf_tensor_upload_f64(&t[which], at));
                assert_true(fabs((above - below) / (2 * h) - slope[i]) < 1e-7);
            }
        }
        for (int i = 0; i < 3; i++) dlf_tensor_free(&t[i]), dlf_tensor_free(&d[i]);
        dlf_tensor_free(&y), dlf_tensor_free(&tdy), dlf_tensor_free(&mean), dlf_tensor_free(&rstd);
        free(x), free(dy), free(g), free(b);
    }
}

/* ---- bits
 * ----------------------------------------------------------------------------------------- */

/* All outputs of one side as doubles, end to end; malloc'ed. */
static double *outputs_of(nt_side *s, bool rms, int64_t *count)
{
    const int which[] = {NT_Y, NT_DX, NT_DRESIDUAL, NT_DGAMMA, NT_DBETA, NT_RSTD, NT_MEAN};
    int64_t n = 0;
    for (int i = 0; i < (rms ? 6 : 7); i++) n += dlf_tensor_count(&s->out[which[i]].t);
    double *all = malloc((size_t)n * sizeof *all);
    assert_non_null(all);
    *count = n;
    n = 0;
    for (int i = 0; i < (rms ? 6 : 7); i++) {
        OK(dlf_tensor_download_f64(all + n, &s->out[which[i]].t));
        n += dlf_tensor_count(&s->out[which[i]].t);
    }
    return all;
}

/* Forward and backward of `c`; in place: y over x, dx over dy (and x copied back in between). */
static double *bits_of(nt_case c, bool in_place, int64_t *count)
{
    nt_side dev, ref;
    nt_build(&c, &dev, &ref);
    const dlf_norm norm = nt_norm(&c);
    dlf_norm_fwd fwd = nt_fwd(&c, &dev);
    dlf_norm_bwd bwd = nt_bwd(&c, &dev);
    if (in_place) {
        OK(dlf_tensor_copy(fwd.y, fwd.x));
        OK(dlf_tensor_copy(bwd.dx, bwd.dy));
        fwd.x = fwd.y;
        bwd.dy = bwd.dx;
    }
    OK(dlf_norm_forward(&fwd, &norm));
    OK(dlf_norm_backward(&bwd, &norm));
    double *all = outputs_of(&dev, c.kind == DLF_RMS_NORM, count);
    nt_free(&dev), nt_free(&ref);
    return all;
}

static void same_bits(const double *a, const double *b, int64_t n)
{
    assert_true(n > 0);
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("[%lld] %.17g and %.17g", (long long)i, a[i], b[i]);
}

static const nt_case bit_cases[] = {
    {.kind = DLF_LAYER_NORM, .P = 2, .N = 70, .C = 96, .residual = true},
    {.kind = DLF_RMS_NORM, .P = 1, .N = 37, .C = 260, .residual = true, .dtype = DLF_BF16},
    {.kind = DLF_LAYER_NORM, .P = 1, .N = 5, .C = 1040, .residual = true, .activation = DLF_SILU},
    {.kind = DLF_LAYER_NORM, .P = 2, .N = 9, .C = 6, .H = 3, .W = 5, .residual = true},
    {.kind = DLF_RMS_NORM,
     .P = 1,
     .N = 3,
     .C = 16,
     .H = 2,
     .W = 8,
     .residual = true,
     .layout = DLF_NHWC,
     .activation = DLF_RELU,
     .dtype = DLF_F16}};
enum { BIT_CASES = sizeof bit_cases / sizeof bit_cases[0] };

static void in_place_gives_the_same_bits(void **state)
{
    (void)state;
    const int versions = strcmp(kt_dev->info.backend, "cuda") == 0 ? 3 : 1;
    for (int k = 0; k < BIT_CASES; k++)
        for (int version = 0; version <= versions; version++) {
            nt_case c = bit_cases[k];
            c.version = version;
            if (version > 1 && (c.W || c.C % 8)) continue; /* not every version fits */
            int64_t n, m;
            double *apart = bits_of(c, false, &n), *in_place = bits_of(c, true, &m);
            assert_int_equal(n, m);
            same_bits(apart, in_place, n);
            free(apart), free(in_place);
        }
}

/* dresidual may alias dy where dx does not. */
static void dresidual_over_dy(void **state)
{
    (void)state;
    for (int k = 0; k < BIT_CASES; k++) {
        nt_side dev, ref;
        nt_build(&bit_cases[k], &dev, &ref);
        const dlf_norm norm = nt_norm(&bit_cases[k]);
        const dlf_norm_fwd fwd = nt_fwd(&bit_cases[k], &dev);
        dlf_norm_bwd bwd = nt_bwd(&bit_cases[k], &dev);
        OK(dlf_tensor_copy(bwd.dresidual, bwd.dy));
        bwd.dy = bwd.dresidual;
        OK(dlf_norm_forward(&fwd, &norm));
        OK(dlf_norm_backward(&bwd, &norm));
        int64_t n, m;
        const bool rms = bit_cases[k].kind == DLF_RMS_NORM;
        double *over = outputs_of(&dev, rms, &n), *apart = bits_of(bit_cases[k], false, &m);
        assert_int_equal(n, m);
        same_bits(over, apart, n);
        free(over), free(apart);
        nt_free(&dev), nt_free(&ref);
    }
}

static void a_matrix_is_the_same_in_both_layouts(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++) {
        nt_case c = bit_cases[k], other = c;
        other.layout = DLF_NHWC;
        int64_t n, m;
        double *first = bits_of(c, false, &n), *second = bits_of(other, false, &m);
        assert_int_equal(n, m);
        same_bits(first, second, n);
        free(first), free(second);
    }
}

/* On cpu `threads` is how many threads work; on cuda it is the size of the device, which may decide
 * where sums are cut: there two runs must agree. */
static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    const int threads = kt_dev->info.threads;
    const bool cpu = strcmp(kt_dev->info.backend, "cpu") == 0;
    for (int k = 0; k < BIT_CASES; k++) {
        nt_case c = bit_cases[k];
        if (cpu) c.N *= 8;
        int64_t n, m;
        if (cpu) kt_dev->info.threads = 1;
        double *one = bits_of(c, false, &n);
        if (cpu) kt_dev->info.threads = 3;
        double *three = bits_of(c, false, &m);
        kt_dev->info.threads = threads;
        assert_int_equal(n, m);
        same_bits(one, three, n);
        free(one), free(three);
    }
}

/* ---- extremes
 * --------------------------------------------------------------------------------------- */

/* A NaN or an Inf spoils its own row and no other. */
static void nonfinite_values_stay_in_their_row(void **state)
{
    (void)state;
    enum { ROWS = 5, COLUMNS = 40 };
    for (int k = 0; k < 2; k++)
        for (int version = 0; version <= 1; version++) {
            const rows r = {both[k], ROWS, COLUMNS, version};
            float *x = kt_random(ROWS * COLUMNS, 18, 1.0f, 0.0f);
            float *dy = kt_random(ROWS * COLUMNS, 19, 1.0f, 0.0f);
            double y[ROWS * COLUMNS], dx[ROWS * COLUMNS];
            x[1 * COLUMNS + 7] = NAN;
            x[3 * COLUMNS + 39] = INFINITY;
            dy[4 * COLUMNS + 2] = NAN;
            plain(r, 1e-5, x, dy, y, dx);
            for (int i = 0; i < ROWS * COLUMNS; i++) {
                const int row = i / COLUMNS;
                const bool rms_inf = r.kind == DLF_RMS_NORM && row == 3;
                if (rms_inf && i % COLUMNS != 39)
                    assert_true(y[i] == 0.0);
                else
                    assert_true(isfinite(y[i]) == (row != 1 && row != 3));
                assert_true(row == 0 || row == 2 ? isfinite(dx[i]) : isnan(dx[i]));
            }
            free(x), free(dy);
        }
}

/* mean 1e4, variance 1e-4: a float has 1e-3 there, so that x itself is coarse, and what it holds
 * must be normalised as exactly as small numbers are. */
static void large_mean_small_variance(void **state)
{
    (void)state;
    const int64_t widths[] = {64, 1030, 2048};
    for (int i = 0; i < 3; i++)
        for (int layout = 0; layout < 2; layout++)
            every_version((nt_case){.kind = DLF_LAYER_NORM,
                                    .layout = layout ? DLF_NHWC : DLF_NCHW,
                                    .P = 1,
                                    .N = 4,
                                    .C = widths[i],
                                    .scale = 1e-2f,
                                    .shift = 1e4f});
}

/* One value per row: xhat is 0, or +-1 for rms; a constant row likewise. eps = 0 there: NaN. */
static void rows_without_variance(void **state)
{
    (void)state;
    const float x[] = {3.0f, -0.5f, 1e-30f};
    double y[8];
    plain((rows){DLF_LAYER_NORM, 3, 1, 0}, 1e-5, x, NULL, y, NULL);
    for (int i = 0; i < 3; i++) assert_true(y[i] == 0.0);
    plain((rows){DLF_LAYER_NORM, 3, 1, 0}, 0.0, x, NULL, y, NULL);
    for (int i = 0; i < 3; i++) assert_true(isnan(y[i]));
    plain((rows){DLF_RMS_NORM, 2, 1, 0}, 0.0, x, NULL, y, NULL);
    assert_true(fabs(y[0] - 1.0) < 2e-7 && fabs(y[1] + 1.0) < 2e-7);
    const float same[] = {0.1f, 0.1f, 0.1f, 0.1f, 0.1f, 0.1f, 0.1f};
    plain((rows){DLF_LAYER_NORM, 1, 7, 0}, 1e-5, same, NULL, y, NULL);
    for (int i = 0; i < 7; i++) assert_true(fabs(y[i]) < 1e-5);
}

static void denormals_are_numbers(void **state)
{
    (void)state;
    float x[24], dy[24];
    double y[24], dx[24];
    for (int i = 0; i < 24; i++) x[i] = (float)(i % 5) * 1e-42f, dy[i] = (float)(i - 12) * 1e-40f;
    plain((rows){DLF_LAYER_NORM, 2, 12, 0}, 1.0, x, dy, y, dx);
    int nonzero = 0;
    for (int i = 0; i < 24; i++) nonzero += y[i] != 0.0 && dx[i] != 0.0;
    assert_true(nonzero >= 20);
}

/* Sums that nobody wants, and statistics that nobody keeps. */
static void optional_outputs(void **state)
{
    (void)state;
    nt_case c = {.kind = DLF_LAYER_NORM, .P = 2, .N = 21, .C = 64, .residual = true};
    int64_t n;
    double *all = bits_of(c, false, &n), *got = malloc((size_t)n * sizeof *got);
    const int64_t x = c.P * c.N * c.C, channels = c.P * c.C;
    nt_side dev, ref;
    nt_build(&c, &dev, &ref);
    const dlf_norm norm = nt_norm(&c);
    dlf_norm_fwd fwd = nt_fwd(&c, &dev);
    OK(dlf_norm_forward(&fwd, &norm));
    fwd.mean = fwd.rstd = NULL;
    OK(dlf_norm_forward(&fwd, &norm));
    OK(dlf_tensor_download_f64(got, fwd.y));
    same_bits(got, all, x);
    dlf_norm_bwd bwd = nt_bwd(&c, &dev);
    dlf_tensor *dgamma = bwd.dgamma;
    bwd.dgamma = NULL;
    OK(dlf_norm_backward(&bwd, &norm));
    OK(dlf_tensor_download_f64(got, bwd.dbeta));
    same_bits(got, all + 3 * x + channels, channels);
    bwd.dgamma = dgamma;
    bwd.dbeta = bwd.dresidual = NULL;
    OK(dlf_norm_backward(&bwd, &norm));
    OK(dlf_tensor_download_f64(got, dgamma));
    same_bits(got, all + 3 * x, channels);
    bwd.dgamma = NULL;
    OK(dlf_norm_backward(&bwd, &norm));
    OK(dlf_tensor_download_f64(got, bwd.dx));
    same_bits(got, all + x, x);
    nt_free(&dev), nt_free(&ref);
    free(all), free(got);
}

/* Two members more than 2^31 elements apart: nothing between them is touched. The memory is mapped,
 * not filled; where a device will not give so much, there is nothing to test. */
static void members_beyond_two_to_the_31(void **state)
{
    (void)state;
    const int64_t far = ((int64_t)1 << 31) + 64, C = 64;
    dlf_tensor arena;
    if (strcmp(kt_dev->info.backend, "cpu") != 0 ||
        dlf_tensor_new(&arena, kt_dev, DLF_F32, 2, far) != DLF_OK)
        return;
    const int64_t shape[] = {2, 3, C};
    dlf_tensor x = dlf_tensor_window(&arena, 0, 3, shape);
    dlf_tensor dx = dlf_tensor_window(&arena, 3 * C, 3, shape);
    dlf_tensor near = {0}, out[2] = {0}, mean, rstd = kt_tensor(kt_dev, NULL, 2, 3);
    OK(dlf_tensor_new(&mean, kt_dev, DLF_F64, 2, 3));
    float *host = kt_random(2 * 3 * C, 20, 1.0f, 0.0f);
    near = kt_tensor(kt_dev, host, 2, 3, C);
    OK(dlf_tensor_upload(&x, host));
    double got[2][2 * 3 * 64];
    const dlf_norm norm = {.kind = DLF_LAYER_NORM, .eps = 1e-5};
    for (int i = 0; i < 2; i++) {
        out[i] = kt_tensor(kt_dev, NULL, 2, 3, C);
        dlf_tensor *in = i ? &x : &near, *to = i ? &dx : &out[0];
        OK(dlf_norm_forward(&(dlf_norm_fwd){.y = to, .x = in, .mean = &mean, .rstd = &rstd},
                            &norm));
        OK(dlf_norm_backward(
            &(dlf_norm_bwd){.dx = to, .dy = to, .x = in, .mean = &mean, .rstd = &rstd}, &norm));
        OK(dlf_tensor_download_f64(got[i], to));
    }
    same_bits(got[0], got[1], 2 * 3 * C);
    dlf_tensor_free(&arena), dlf_tensor_free(&near), dlf_tensor_free(&mean), dlf_tensor_free(&rstd);
    dlf_tensor_free(&out[0]), dlf_tensor_free(&out[1]);
    free(host);
}

static void refuses_versions_it_does_not_have(void **state)
{
    (void)state;
    dlf_tensor x = kt_tensor(kt_dev, NULL, 1, 2, 6), rstd = kt_tensor(kt_dev, NULL, 1, 2);
    const int wrong[] = {-1, 7};
    for (int i = 0; i < 2; i++) {
        const dlf_norm norm = {.kind = DLF_RMS_NORM, .version = wrong[i]};
        assert_int_equal(dlf_norm_forward(&(dlf_norm_fwd){.y = &x, .x = &x}, &norm),
                         DLF_ERR_NO_KERNEL);
        dlf_tensor dy = kt_tensor(kt_dev, NULL, 1, 2, 6);
        assert_int_equal(
            dlf_norm_backward(&(dlf_norm_bwd){.dx = &dy, .dy = &dy, .x = &x, .rstd = &rstd}, &norm),
            DLF_ERR_NO_KERNEL);
        dlf_tensor_free(&dy);
    }
    dlf_tensor_free(&x), dlf_tensor_free(&rstd);
}

static void one_operand_misaligned(void **state)
{
    (void)state;
    nt_one_operand_misaligned(DLF_LAYER_NORM);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_operand_misaligned),
        cmocka_unit_test(gradients_on_ref_are_difference_quotients),
        cmocka_unit_test(matrices_match_reference),
        cmocka_unit_test(every_storage_matches_reference),
        cmocka_unit_test(wide_rows_match_reference),
        cmocka_unit_test(images_match_reference),
        cmocka_unit_test(activations_match_reference),
        cmocka_unit_test(strided_members),
        cmocka_unit_test(large_mean_small_variance),
        cmocka_unit_test(every_version_has_run),
        cmocka_unit_test(identities_of_a_row),
        cmocka_unit_test(shift_and_scale_of_a_row_change_nothing),
        cmocka_unit_test(in_place_gives_the_same_bits),
        cmocka_unit_test(dresidual_over_dy),
        cmocka_unit_test(a_matrix_is_the_same_in_both_layouts),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(nonfinite_values_stay_in_their_row),
        cmocka_unit_test(rows_without_variance),
        cmocka_unit_test(denormals_are_numbers),
        cmocka_unit_test(optional_outputs),
        cmocka_unit_test(members_beyond_two_to_the_31),
        cmocka_unit_test(refuses_versions_it_does_not_have),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
