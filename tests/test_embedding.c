/* SPDX-License-Identifier: MIT
 * test_embedding.c -- embeddings against the definition.
 *
 * Tolerances. Forward copies: exact. Backward adds n rows of dy of size 1 in float; 2^-24 = 6e-8 of
 * the partial sum, which is below 5 sqrt(n), at each of n steps, with uncorrelated signs:
 * 6e-8 5 n. Where dy holds small integers the sum is exact. */
#include "kernel_test.h"

enum { OUTSIDE = -1, NEGATIVE = -2, LAST = -3 }; /* kinds of index, see index_of */

/* B indices into V rows: random for kind >= 0 (which seeds), some out of range for OUTSIDE and
 * NEGATIVE, all the same for LAST. */
static int32_t *index_of(int64_t B, int64_t V, int kind)
{
    int32_t *index = malloc((size_t)B * sizeof *index);
    assert_non_null(index);
    for (int64_t i = 0; i < B; i++) {
        const double u =
            dlf_rng_uniform(7, dlf_stream(DLF_PURPOSE_TEST, (uint32_t)(kind + 9)), 0, (uint64_t)i);
        index[i] = kind == LAST ? (int32_t)(V - 1) : (int32_t)(u * (double)V);
        if (kind == OUTSIDE && i % 5 == 1) index[i] = i % 2 ? (int32_t)V : INT32_MAX;
        if (kind == NEGATIVE && i % 3 == 1) index[i] = i % 2 ? -1 : INT32_MIN;
    }
    return index;
}

static dlf_tensor index_tensor(dlf_device *dev, const int32_t *host, int64_t Q, int64_t B)
{
    dlf_tensor t;
    OK(dlf_tensor_new(&t, dev, DLF_I32, Q, B));
    OK(dlf_tensor_upload_i32(&t, host));
    return t;
}

typedef struct shape {
    int64_t P, B, V, N;
} shape;

static double forward_worst(shape s, const int32_t *index, int64_t Q)
{
    float *w = kt_random(s.P * s.V * s.N, 1, 1.0f, 0.0f);
    dlf_device *dev[2] = {kt_dev, kt_ref};
    dlf_tensor table[2], y[2], at[2];
    for (int k = 0; k < 2; k++) {
        table[k] = kt_tensor(dev[k], w, s.P, s.V, s.N);
        y[k] = kt_tensor(dev[k], NULL, s.P, s.B, s.N);
        at[k] = index_tensor(dev[k], index, Q, s.B);
        OK(dlf_embedding_forward(&y[k], &table[k], &at[k]));
    }
    const double worst = kt_worst(&y[0], &y[1], 1e-300, 0.0);
    for (int k = 0; k < 2; k++)
        dlf_tensor_free(&table[k]), dlf_tensor_free(&y[k]), dlf_tensor_free(&at[k]);
    free(w);
    return worst;
}

static double backward_worst(shape s, const int32_t *index, int64_t Q, double beta)
{
    float *g = kt_random(s.P * s.B * s.N, 2, 1.0f, 0.0f);
    float *before = kt_random(s.P * s.V * s.N, 3, 1.0f, 0.0f);
    dlf_device *dev[2] = {kt_dev, kt_ref};
    dlf_tensor table[2], dy[2], at[2];
    for (int k = 0; k < 2; k++) { /* beta 0 must not read: NaN */
        table[k] = kt_tensor(dev[k], beta == 0.0 ? NULL : before, s.P, s.V, s.N);
        dy[k] = kt_tensor(dev[k], g, s.P, s.B, s.N);
        at[k] = index_tensor(dev[k], index, Q, s.B);
        OK(dlf_embedding_backward(&table[k], &dy[k], &at[k], beta));
    }
    const double rows = 4.0 + 4.0 * (double)s.B / (double)s.V;
    const double worst = kt_worst(&table[0], &table[1], 6e-8 * 5.0 * rows, 2e-7);
    for (int k = 0; k < 2; k++)
        dlf_tensor_free(&table[k]), dlf_tensor_free(&dy[k]), dlf_tensor_free(&at[k]);
    free(g), free(before);
    return worst;
}

static const shape shapes[] = {
    {1, 1, 1, 1},     {2, 7, 3, 5},     {3, 65, 26, 8},   {1, 300, 26, 128},  {2, 40, 255, 4},
    {2, 40, 256, 7},  {1, 129, 300, 3}, {1, 2049, 26, 2}, {2, 4100, 1000, 1}, {1, 33, 70000, 1},
    {1, 90, 5, 1031}, {4, 17, 129, 36}, {1, 9, 3, 12000},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static void matches_reference(void **state)
{
    (void)state;
    const double betas[] = {0.0, 1.0, -0.3};
    for (int k = 0; k < N_SHAPES; k++)
        for (int kind = NEGATIVE; kind < 1; kind++)
            for (int shared = 0; shared < 2; shared++) {
                const shape s = shapes[k];
                const int64_t Q = shared ? 1 : s.P;
                int32_t *index = index_of(Q * s.B, s.V, kind);
                double worst = forward_worst(s, index, Q);
                if (!(worst <= 1.0)) fail_msg("forward, shape %d, kind %d: %g", k, kind, worst);
                worst = backward_worst(s, index, Q, betas[(k + kind + 2) % 3]);
                if (!(worst <= 1.0)) fail_msg("backward, shape %d, kind %d: %g", k, kind, worst);
                free(index);
            }
}

static void small_case_by_hand(void **state)
{
    (void)state;
    const float table[] = {1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60};
    const int32_t index[] = {2, 0, 2, 1, 3, -1};
    const float y_want[] = {5, 6, 1, 2, 5, 6, 30, 40, NAN, NAN, NAN, NAN};
    const float dy[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048};
    const float d_want[] = {4 + 2, 8 + 4, 6,       8,        17 + 10, 34 + 12,
                            20,    40,    64 + 60, 128 + 80, 100,     120};
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int k = 0; k < 2; k++) {
        float y[12], d[12];
        dlf_tensor t = kt_tensor(devices[k], table, 2, 3, 2);
        dlf_tensor at = index_tensor(devices[k], index, 2, 3);
        dlf_tensor out = kt_tensor(devices[k], NULL, 2, 3, 2);
        OK(dlf_embedding_forward(&out, &t, &at));
        OK(dlf_tensor_download(y, &out));
        for (int i = 0; i < 12; i++)
            assert_true(y[i] == y_want[i] || (isnan(y[i]) && isnan(y_want[i])));
        OK(dlf_tensor_upload(&out, dy));
        OK(dlf_embedding_backward(&t, &out, &at, 2.0));
        OK(dlf_tensor_download(d, &t));
        for (int i = 0; i < 12; i++) assert_true(d[i] == d_want[i]);
        dlf_tensor_free(&t), dlf_tensor_free(&at), dlf_tensor_free(&out);
    }
}

/* ---- property ------------------------------------------------------------------------------- */

/* backward on ref is the slope of L = sum w y: exact for a linear L up to rounding. */
static void backward_on_ref_is_the_difference_quotient(void **state)
{
    (void)state;
    enum { B = 9, V = 4, N = 3 };
    const double h = 1e-3;
    int32_t *index = index_of(B, V, 0);
    float *w = kt_random(B * N, 4, 1.0f, 0.0f), *t = kt_random(V * N, 5, 1.0f, 0.0f);
    double grad[V * N], at[V * N], y[B * N];
    dlf_tensor tw = kt_tensor(kt_ref, w, 1, B, N), td = kt_tensor(kt_ref, NULL, 1, V, N);
    dlf_tensor ti = index_tensor(kt_ref, index, 1, B), ty = kt_tensor(kt_ref, NULL, 1, B, N);
    OK(dlf_embedding_backward(&td, &tw, &ti, 0.0));
    OK(dlf_tensor_download_f64(grad, &td));
    for (int i = 0; i < V * N; i++) at[i] = (double)t[i];
    for (int i = 0; i < V * N; i++) {
        double loss[2] = {0.0, 0.0};
        for (int side = 0; side < 2; side++) {
            at[i] = (double)t[i] + (side ? h : -h);
            OK(dlf_tensor_upload_f64(&td, at));
            OK(dlf_embedding_forward(&ty, &td, &ti));
            OK(dlf_tensor_download_f64(y, &ty));
            for (int k = 0; k < B * N; k++) loss[side] += (double)w[k] * y[k];
        }
        at[i] = (double)t[i];
        assert_true(fabs((loss[1] - loss[0]) / (2 * h) - grad[i]) < 1e-9);
    }
    dlf_tensor_free(&tw), dlf_tensor_free(&td), dlf_tensor_free(&ti), dlf_tensor_free(&ty);
    free(index), free(w), free(t);
}

/* dtable on the device for an index of one member. */
static float *dtable_of(const int32_t *index, const float *dy, int64_t B, int64_t V, int64_t N)
{
    float *d = malloc((size_t)(V * N) * sizeof *d);
    assert_non_null(d);
    dlf_tensor t = kt_tensor(kt_dev, NULL, 1, V, N), g = kt_tensor(kt_dev, dy, 1, B, N);
    dlf_tensor at = index_tensor(kt_dev, index, 1, B);
    OK(dlf_embedding_backward(&t, &g, &at, 0.0));
    OK(dlf_tensor_download(d, &t));
    dlf_tensor_free(&t), dlf_tensor_free(&g), dlf_tensor_free(&at);
    return d;
}

/* The very bits of a float sum in ascending order, for a hot row, for all rows, with the chunks and
 * digits of a long sort. Numbers of very different sizes: any other order gives other bits. */
static void sums_run_in_ascending_order(void **state)
{
    (void)state;
    const int64_t V_of[] = {1, 26, 128, 1000, 66000};
    enum { B = 5000, N = 2 };
    float *dy = kt_random(B * N, 6, 1.0f, 0.0f);
    for (int i = 0; i < B * N; i++) dy[i] *= ldexpf(1.0f, (i * 7) % 23);
    for (int k = 0; k < 5; k++)
        for (int kind = LAST; kind < 1; kind++) {
            const int64_t V = V_of[k];
            int32_t *index = index_of(B, V, kind);
            float *want = calloc((size_t)(V * N), sizeof *want);
            assert_non_null(want);
            for (int64_t i = 0; i < B; i++)
                for (int j = 0; j < N; j++)
                    if (index[i] >= 0 && index[i] < V) want[index[i] * N + j] += dy[i * N + j];
            float *got = dtable_of(index, dy, B, V, N);
            for (int64_t i = 0; i < V * N; i++)
                if (got[i] != want[i])
                    fail_msg("V %d, kind %d: [%d] %.9g, not %.9g", (int)V, kind, (int)i, got[i],
                             want[i]);
            free(index), free(want), free(got);
        }
    free(dy);
}

/* More positions than one warp counts at a time: 32 chunks of 2048 on cuda. */
static void a_long_index_is_sorted(void **state)
{
    (void)state;
    enum { B = 70001, V = 300 };
    float *dy = malloc(B * sizeof *dy), want[V] = {0};
    int32_t *index = index_of(B, V, 2);
    assert_non_null(dy);
    for (int i = 0; i < B; i++) {
        dy[i] = (float)(i % 31 - 9); /* sums below 2^24: exact */
        want[index[i]] += dy[i];
    }
    float *got = dtable_of(index, dy, B, V, 1);
    assert_memory_equal(got, want, sizeof want);
    free(dy), free(index), free(got);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    enum { B = 3000, V = 700, N = 33 };
    const int threads = kt_dev->info.threads;
    float *dy = kt_random(B * N, 8, 1.0f, 0.0f), *got[2];
    int32_t *index = index_of(B, V, 3);
    for (int k = 0; k < 2; k++) {
        kt_dev->info.threads = 1 + k;
        got[k] = dtable_of(index, dy, B, V, N);
    }
    kt_dev->info.threads = threads;
    assert_memory_equal(got[0], got[1], V * N * sizeof *dy);
    free(dy), free(index), free(got[0]), free(got[1]);
}

/* ---- extremes ------------------------------------------------------------------------------- */

/* Members inside wider rows at an offset; what is around them stays. N = 8: 16 bytes at a time if
 * only the offset allowed it. */
static void strided_and_misaligned(void **state)
{
    (void)state;
    enum { P = 3, B = 11, V = 6, N = 8, TABLE = V * N + 7, ROWS = B * N + 5 };
    for (int offset = 0; offset < 4; offset += 3) {
        const int64_t table_shape[] = {P, V, N}, rows_shape[] = {P, B, N}, index_shape[] = {P, B};
        float *t = kt_random(P * TABLE, 10, 1.0f, 0.0f), *g = kt_random(P * ROWS, 11, 1.0f, 0.0f);
        float got[P * ROWS], d[P * TABLE];
        int32_t index[P * (B + 2)];
        for (int i = 0; i < P * (B + 2); i++) index[i] = i * 5 % (V + 1); /* V: out of range */
        dlf_tensor tables = kt_tensor(kt_dev, t, P, TABLE), rows = kt_tensor(kt_dev, g, P, ROWS);
        dlf_tensor grads = kt_tensor(kt_dev, t, P, TABLE);
        dlf_tensor indices = index_tensor(kt_dev, index, P, B + 2);
        dlf_tensor table = dlf_tensor_window(&tables, offset, 3, table_shape);
        dlf_tensor y = dlf_tensor_window(&rows, offset, 3, rows_shape);
        dlf_tensor grad = dlf_tensor_window(&grads, offset, 3, table_shape);
        dlf_tensor at = dlf_tensor_window(&indices, 1, 2, index_shape);
        OK(dlf_embedding_backward(&grad, &y, &at, 1.0));
        OK(dlf_embedding_forward(&y, &table, &at));
        OK(dlf_tensor_download(got, &rows));
        OK(dlf_tensor_download(d, &grads));
        for (int p = 0; p < P; p++) {
            for (int i = 0; i < ROWS; i++) {
                const int k = i - offset,
                          v = k >= 0 && k < B * N ? index[p * (B + 2) + 1 + k / N] : 0;
                float want = g[p * ROWS + i];
                if (k >= 0 && k < B * N) want = v < V ? t[p * TABLE + offset + v * N + k % N] : NAN;
                assert_true(got[p * ROWS + i] == want || (isnan(want) && isnan(got[p * ROWS + i])));
            }
            for (int i = 0; i < TABLE; i++) {
                const int k = i - offset;
                float want = t[p * TABLE + i];
                for (int b = 0; k >= 0 && k < V * N && b < B; b++)
                    if (index[p * (B + 2) + 1 + b] == k / N)
                        want += g[p * ROWS + offset + b * N + k % N];
                assert_true(d[p * TABLE + i] == want);
            }
        }
        dlf_tensor_free(&tables), dlf_tensor_free(&rows), dlf_tensor_free(&grads);
        dlf_tensor_free(&indices);
        free(t), free(g);
    }
}

/* NaN and Inf stay in their row; denormals are added; a row of the table nobody names is 0. */
static void extremes(void **state)
{
    (void)state;
    enum { B = 6, V = 5, N = 2 };
    const int32_t index[B] = {0, 1, 1, 2, 2, 3};
    const float dy[B * N] = {NAN,   1, INFINITY, 1e-45f, -INFINITY, 1e-45f,
                             3e38f, 1, 3e38f,    -1,     -0.0f,     INFINITY};
    float *got = dtable_of(index, dy, B, V, N);
    assert_true(isnan(got[0]) && got[1] == 1.0f);
    assert_true(isnan(got[2]) && got[3] == 2 * 1e-45f);
    assert_true(got[4] == INFINITY && got[5] == 0.0f);
    assert_true(got[6] == 0.0f && got[7] == INFINITY);
    assert_true(got[8] == 0.0f && got[9] == 0.0f);
    free(got);
    const float table[] = {NAN, INFINITY, -0.0f, 1e-45f};
    const int32_t both[] = {1, 0};
    float y[4];
    dlf_tensor t = kt_tensor(kt_dev, table, 1, 2, 2), at = index_tensor(kt_dev, both, 1, 2);
    dlf_tensor ty = kt_tensor(kt_dev, NULL, 1, 2, 2);
    OK(dlf_embedding_forward(&ty, &t, &at));
    OK(dlf_tensor_download(y, &ty));
    assert_true(y[0] == 0.0f && signbit(y[0]) && y[1] == 1e-45f);
    assert_true(isnan(y[2]) && y[3] == INFINITY);
    dlf_tensor_free(&t), dlf_tensor_free(&at), dlf_tensor_free(&ty);
}

/* An output too large for the caches is written past them. */
static void large_outputs(void **state)
{
    (void)state;
    if (strcmp(kt_dev->info.backend, "cpu") != 0) skip();
    enum { B = 131072, V = 3, N = 67 }; /* 35 MB, rows that start anywhere in a line */
    float *w = kt_random(V * N, 12, 1.0f, 0.0f), *y = malloc(B * N * sizeof *y);
    int32_t *index = index_of(B, V, OUTSIDE);
    assert_non_null(y);
    dlf_tensor t = kt_tensor(kt_dev, w, 1, V, N), at = index_tensor(kt_dev, index, 1, B);
    dlf_tensor ty;
    OK(dlf_tensor_new(&ty, kt_dev, DLF_F32, 1, B, N));
    OK(dlf_embedding_forward(&ty, &t, &at));
    OK(dlf_tensor_download(y, &ty));
    for (int i = 0; i < B; i++)
        for (int j = 0; j < N; j++) {
            const float got = y[i * N + j];
            assert_true(index[i] < V ? got == w[index[i] * N + j] : isnan(got));
        }
    dlf_tensor_free(&t), dlf_tensor_free(&at), dlf_tensor_free(&ty);
    free(w), free(y), free(index);
}

/* Members further apart than 2^31 elements. */
static void far_members(void **state)
{
    (void)state;
    if (strcmp(kt_dev->info.backend, "cpu") != 0) skip();
    const int64_t far = ((int64_t)1 << 31) + 64, shape3[] = {2, 2, 3};
    const float table[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    const int32_t index[] = {1, 0, 1, 1};
    dlf_tensor arena;
    if (dlf_tensor_new(&arena, kt_dev, DLF_F32, 2, far) != DLF_OK)
        skip(); /* only mapped, not used */
    dlf_tensor t = dlf_tensor_window(&arena, 0, 3, shape3), at = index_tensor(kt_dev, index, 2, 2);
    dlf_tensor ty = dlf_tensor_window(&arena, 8, 3, shape3);
    float y[12], d[12];
    OK(dlf_tensor_upload(&t, table));
    OK(dlf_embedding_forward(&ty, &t, &at));
    OK(dlf_embedding_backward(&t, &ty, &at, 0.0));
    OK(dlf_tensor_download(y, &ty));
    OK(dlf_tensor_download(d, &t));
    const float y_want[] = {4, 5, 6, 1, 2, 3, 10, 11, 12, 10, 11, 12};
    const float d_want[] = {1, 2, 3, 4, 5, 6, 0, 0, 0, 20, 22, 24};
    assert_memory_equal(y, y_want, sizeof y);
    assert_memory_equal(d, d_want, sizeof d);
    dlf_tensor_free(&arena), dlf_tensor_free(&at);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_case_by_hand),
        cmocka_unit_test(backward_on_ref_is_the_difference_quotient),
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(sums_run_in_ascending_order),
        cmocka_unit_test(a_long_index_is_sorted),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(strided_and_misaligned),
        cmocka_unit_test(extremes),
        cmocka_unit_test(large_outputs),
        cmocka_unit_test(far_members),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
