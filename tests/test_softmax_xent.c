/* SPDX-License-Identifier: MIT
 * test_softmax_xent.c -- softmax cross-entropy, its hit and its gradient.
 *
 * Tolerances. z - max is rounded to float, so exp(z - max) is off by |z - max| 2^-24, at most 4e-7
 * of the largest term times 1/e; the loss adds a rounding of z[label] - max (or its own). A loss of
 * size L is good to 1e-6 + 5e-7 L, a probability (at most 1) to 1e-6 absolute. */
#include "kernel_test.h"

static const double absolute = 1e-6, relative = 5e-7;

typedef struct problem {
    int64_t P, B, C, label_rows; /* label_rows: P, or 1 for the same labels everywhere */
    float *z;
    int32_t *labels;
} problem;

static problem problem_of(int64_t P, int64_t B, int64_t C, bool shared, float scale)
{
    problem q = {P, B, C, shared ? 1 : P, kt_random(P * B * C, 1, scale, 0.0f), NULL};
    q.labels = malloc((size_t)(q.label_rows * B) * sizeof *q.labels);
    assert_non_null(q.labels);
    for (int64_t i = 0; i < q.label_rows * B; i++) q.labels[i] = (int32_t)((i * 7 + 3) % C);
    return q;
}

static void problem_free(problem *q)
{
    free(q->z);
    free(q->labels);
}

typedef struct tensors {
    dlf_tensor z, labels, loss, hit, dz;
} tensors;

/* Forward and backward on one device, into outputs full of NaN. */
static tensors run(dlf_device *dev, const problem *q, double scale)
{
    tensors t = {.z = kt_tensor(dev, q->z, q->P, q->B, q->C),
                 .loss = kt_tensor(dev, NULL, q->P, q->B),
                 .hit = kt_tensor(dev, NULL, q->P, q->B),
                 .dz = kt_tensor(dev, NULL, q->P, q->B, q->C)};
    OK(dlf_tensor_new(&t.labels, dev, DLF_I32, q->label_rows, q->B));
    OK(dlf_tensor_upload_i32(&t.labels, q->labels));
    OK(dlf_softmax_xent_forward(&t.loss, &t.hit, &t.z, &t.labels));
    OK(dlf_softmax_xent_backward(&t.dz, &t.z, &t.labels, scale));
    return t;
}

static void tensors_free(tensors *t)
{
    dlf_tensor_free(&t->z), dlf_tensor_free(&t->labels), dlf_tensor_free(&t->loss);
    dlf_tensor_free(&t->hit), dlf_tensor_free(&t->dz);
}

static void assert_matches_reference(const problem *q)
{
    const double scale = 1.0 / (double)q->B;
    tensors got = run(kt_dev, q, scale), want = run(kt_ref, q, scale);
    const double loss = kt_worst(&got.loss, &want.loss, absolute, relative);
    const double hit = kt_worst(&got.hit, &want.hit, 1e-30, 0.0);
    const double dz = kt_worst(&got.dz, &want.dz, absolute * scale, relative);
    tensors_free(&got), tensors_free(&want);
    if (!(loss <= 1.0 && hit <= 1.0 && dz <= 1.0))
        fail_msg("(%d,%d,%d): loss %.3g, hit %.3g, dlogits %.3g x tolerance", (int)q->P, (int)q->B,
                 (int)q->C, loss, hit, dz);
}

static void matches_reference(void **state)
{
    (void)state;
    const int64_t shapes[][3] = {{1, 1, 1},    {1, 1, 2},    {3, 7, 10},   {16, 64, 10},
                                 {2, 33, 16},  {2, 9, 17},   {1, 257, 33}, {1, 5, 257},
                                 {2, 3, 1024}, {2, 3, 1031}, {1, 2, 4099}, {1, 2, 9001}};
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
        for (int shared = 0; shared < 2; shared++) {
            problem q = problem_of(shapes[k][0], shapes[k][1], shapes[k][2], shared, 3.0f);
            assert_matches_reference(&q);
            problem_free(&q);
        }
}

/* By hand: z = (0, log 3): probabilities 1/4 and 3/4. On the device and on ref. */
static void small_case_by_hand(void **state)
{
    (void)state;
    float z[] = {0.0f, 1.0986122886681098f, 0.0f, 1.0986122886681098f, 2.0f, 2.0f};
    int32_t labels[] = {0, 1, 1};
    const problem q = {1, 3, 2, 1, z, labels};
    const double loss_want[] = {log(4.0), log(4.0 / 3.0), log(2.0)};
    const double hit_want[] = {0.0, 1.0, 0.0}; /* the third row is a tie: the lowest class wins */
    const double dz_want[] = {-1.5, 1.5, 0.5, -0.5, 1.0, -1.0};
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int k = 0; k < 2; k++) {
        tensors t = run(devices[k], &q, 2.0);
        double loss[3], hit[3], dz[6];
        OK(dlf_tensor_download_f64(loss, &t.loss));
        OK(dlf_tensor_download_f64(hit, &t.hit));
        OK(dlf_tensor_download_f64(dz, &t.dz));
        for (int i = 0; i < 3; i++) {
            assert_true(fabs(loss[i] - loss_want[i]) < 2e-7);
            assert_true(hit[i] == hit_want[i]);
        }
        for (int i = 0; i < 6; i++) assert_true(fabs(dz[i] - dz_want[i]) < 3e-7);
        tensors_free(&t);
    }
}

static double loss_on_ref(const problem *q, const double *z)
{
    double loss[8], sum = 0.0;
    assert_true(q->P * q->B <= 8);
    dlf_tensor t, l, labels;
    OK(dlf_tensor_new(&t, kt_ref, DLF_F64, q->P, q->B, q->C));
    OK(dlf_tensor_new(&l, kt_ref, DLF_F64, q->P, q->B));
    OK(dlf_tensor_new(&labels, kt_ref, DLF_I32, q->label_rows, q->B));
    OK(dlf_tensor_upload_f64(&t, z));
    OK(dlf_tensor_upload_i32(&labels, q->labels));
    OK(dlf_softmax_xent_forward(&l, NULL, &t, &labels));
    OK(dlf_tensor_download_f64(loss, &l));
    for (int64_t i = 0; i < q->P * q->B; i++) sum += loss[i];
    dlf_tensor_free(&t), dlf_tensor_free(&l), dlf_tensor_free(&labels);
    return sum;
}

static void backward_on_ref_is_the_difference_quotient(void **state)
{
    (void)state;
    problem q = problem_of(2, 4, 5, true, 2.0f);
    enum { N = 2 * 4 * 5 };
    const double h = 1e-5, scale = 0.25;
    double z[N], dz[N];
    for (int i = 0; i < N; i++) z[i] = q.z[i];
    tensors t = run(kt_ref, &q, scale);
    OK(dlf_tensor_download_f64(dz, &t.dz));
    for (int i = 0; i < N; i++) {
        z[i] = q.z[i] + h;
        const double up = loss_on_ref(&q, z);
        z[i] = q.z[i] - h;
        const double slope = scale * (up - loss_on_ref(&q, z)) / (2 * h);
        z[i] = q.z[i];
        if (!(fabs(dz[i] - slope) <= 1e-6 * fabs(slope) + 1e-9))
            fail_msg("[%d] %.12g, difference quotient %.12g", i, dz[i], slope);
    }
    tensors_free(&t), problem_free(&q);
}

/* Each row of the gradient sums to 0, is negative at the label only, and the loss does not change
 * when a constant is added to a row. */
static void gradient_rows_sum_to_zero(void **state)
{
    (void)state;
    problem q = problem_of(3, 41, 23, false, 4.0f);
    const int64_t rows = q.P * q.B;
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int k = 0; k < 2; k++) {
        tensors t = run(devices[k], &q, 1.0);
        float *dz = malloc((size_t)(rows * q.C) * sizeof *dz);
        assert_non_null(dz);
        OK(dlf_tensor_download(dz, &t.dz));
        for (int64_t r = 0; r < rows; r++) {
            double sum = 0.0;
            for (int64_t c = 0; c < q.C; c++) {
                sum += dz[r * q.C + c];
                assert_true(c == q.labels[r] ? dz[r * q.C + c] <= 0.0f : dz[r * q.C + c] >= 0.0f);
            }
            assert_true(fabs(sum) < 1e-6);
        }
        free(dz), tensors_free(&t);
    }
    tensors a = run(kt_dev, &q, 1.0);
    for (int64_t i = 0; i < rows * q.C; i++) q.z[i] = q.z[i] + 64.0f; /* loses 4 bits of z */
    tensors b = run(kt_dev, &q, 1.0);
    assert_true(kt_worst(&b.loss, &a.loss, 3e-5, 0.0) <= 1.0);
    tensors_free(&a), tensors_free(&b), problem_free(&q);
}

/* An almost sure prediction keeps its digits: loss and gradient are e^-d to the last few bits. */
static void sure_predictions_keep_their_digits(void **state)
{
    (void)state;
    float z[] = {30.0f, 0.0f, -70.0f, 60.0f, 0.0f, -70.0f, 90.0f, 0.0f, -200.0f};
    int32_t labels[] = {0, 0, 0};
    const problem q = {1, 3, 3, 1, z, labels};
    tensors t = run(kt_dev, &q, 1.0);
    double dz[9];
    OK(dlf_tensor_download_f64(dz, &t.dz));
    for (int r = 0; r < 3; r++) {
        const double e = exp((double)z[3 * r + 1] - z[3 * r]);
        assert_true(fabs(dz[3 * r + 1] - e) <= 1e-6 * e + 1e-44);
    }
    assert_true(fabs(dz[0] + exp(-30.0)) <= 2e-3 * exp(-30.0)); /* 2^-53 of a sum in double */
    tensors_free(&t);
}

/* Row r is largest by far in column r: a maximum that is not found overflows, and is no hit. */
static void the_maximum_is_found_wherever_it_is(void **state)
{
    (void)state;
    enum { B = 203 };
    float *z = kt_random(B * B, 91, 1.0f, 0.0f), hit[B], loss[B];
    int32_t labels[B];
    for (int r = 0; r < B; r++) {
        z[r * B + r] = 200.0f;
        labels[r] = r;
    }
    const problem q = {1, B, B, 1, z, labels};
    assert_matches_reference(&q);
    tensors t = run(kt_dev, &q, 1.0);
    OK(dlf_tensor_download(hit, &t.hit));
    OK(dlf_tensor_download(loss, &t.loss));
    for (int r = 0; r < B; r++) assert_true(hit[r] == 1.0f && loss[r] >= 0.0f && loss[r] < 1e-6f);
    tensors_free(&t), free(z);
}

static void extremes(void **state)
{
    (void)state;
    enum { C = 10, B = 16 };
    float z[B * C];
    int32_t labels[B];
    for (int i = 0; i < B * C; i++) z[i] = (float)(i % C) / 4.0f;
    for (int i = 0; i < B; i++) labels[i] = i % C;
    z[0 * C + 4] = NAN;                                                 /* NaN off the label      */
    z[1 * C + 1] = NAN;                                                 /* on the label           */
    z[2 * C + 2] = INFINITY;                                            /* +Inf on the label      */
    z[3 * C + 5] = INFINITY;                                            /* +Inf off the label     */
    z[4 * C + 7] = -INFINITY;                                           /* impossible other class */
    z[5 * C + 5] = -INFINITY;                                           /* impossible label       */
    for (int c = 0; c < C; c++) z[6 * C + c] = -INFINITY;               /* nothing possible       */
    for (int c = 0; c < C; c++) z[7 * C + c] = c == 7 ? 3e38f : -3e38f; /* difference: Inf    */
    for (int c = 0; c < C; c++) z[8 * C + c] = 1e38f;                   /* uniform, huge          */
    for (int c = 0; c < C; c++) z[9 * C + c] = c % 2 ? 1e-45f : -1e-45f;
    for (int c = 0; c < C; c++) z[10 * C + c] = c < 3 ? 5.0f : 1.0f; /* tie of three           */
    labels[0] = C - 1; /* the largest number; with a NaN beside it that is no hit */
    labels[10] = 1;
    labels[11] = -1;
    labels[12] = C;
    labels[13] = INT32_MAX;
    labels[14] = INT32_MIN;
    for (int c = 0; c < C; c++) z[15 * C + c] = NAN;
    for (int width = 0; width < 2; width++) { /* and the same rows padded to a long one */
        const int64_t C2 = width ? 1500 : C;
        float *wide = malloc((size_t)(B * C2) * sizeof *wide);
        assert_non_null(wide);
        for (int64_t i = 0; i < B * C2; i++)
            wide[i] = i % C2 < C ? z[i / C2 * C + i % C2] : -INFINITY;
        const problem q = {1, B, C2, 1, wide, labels};
        assert_matches_reference(&q);
        tensors t = run(kt_dev, &q, 1.0);
        float loss[B], hit[B];
        OK(dlf_tensor_download(loss, &t.loss));
        OK(dlf_tensor_download(hit, &t.hit));
        const int nan_rows[] = {0, 1, 2, 3, 6, 11, 13, 14, 15};
        for (size_t i = 0; i < sizeof nan_rows / sizeof nan_rows[0]; i++)
            assert_true(isnan(loss[nan_rows[i]]));
        assert_true(loss[5] == INFINITY);
        assert_true(loss[7] == 0.0f && hit[7] == 1.0f);
        assert_true(fabs(loss[8] - log(10.0)) < 1e-6);
        assert_true(hit[0] == 0.0f && hit[15] == 0.0f && hit[11] == 0.0f && hit[10] == 0.0f);
        assert_true(hit[2] == 1.0f); /* +Inf is the largest, though the loss is Inf - Inf */
        tensors_free(&t), free(wide);
    }
}

/* dlogits on top of logits, both inside a larger row at an odd offset; hit not wanted. */
static void in_place_strided_misaligned(void **state)
{
    (void)state;
    enum { P = 3, B = 21, C = 7, PITCH = B * C + 6, OFFSET = 3 };
    problem q = problem_of(P, B, C, true, 2.0f);
    const int64_t shape[] = {P, B, C};
    float padded[P * PITCH], got[P * PITCH];
    for (int i = 0; i < P * PITCH; i++) padded[i] = -123.0f;
    for (int p = 0; p < P; p++)
        memcpy(padded + p * PITCH + OFFSET, q.z + p * B * C, B * C * sizeof *padded);
    tensors want = run(kt_ref, &q, 0.5);
    double *dz = malloc(P * B * C * sizeof *dz);
    assert_non_null(dz);
    OK(dlf_tensor_download_f64(dz, &want.dz));
    dlf_tensor arena = kt_tensor(kt_dev, padded, P, PITCH), labels;
    dlf_tensor z = dlf_tensor_window(&arena, OFFSET, 3, shape);
    dlf_tensor loss = kt_tensor(kt_dev, NULL, P, B);
    OK(dlf_tensor_new(&labels, kt_dev, DLF_I32, 1, B));
    OK(dlf_tensor_upload_i32(&labels, q.labels));
    OK(dlf_softmax_xent_forward(&loss, NULL, &z, &labels));
    assert_true(kt_worst(&loss, &want.loss, absolute, relative) <= 1.0);
    OK(dlf_softmax_xent_backward(&z, &z, &labels, 0.5));
    OK(dlf_tensor_download(got, &arena));
    for (int p = 0; p < P; p++)
        for (int i = 0; i < PITCH; i++) {
            const bool inside = i >= OFFSET && i < OFFSET + B * C;
            const double w = inside ? dz[p * B * C + i - OFFSET] : -123.0;
            assert_true(fabs(got[p * PITCH + i] - w) <= (inside ? absolute : 0.0));
        }
    dlf_tensor_free(&arena), dlf_tensor_free(&loss), dlf_tensor_free(&labels);
    tensors_free(&want), problem_free(&q), free(dz);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    enum { P = 4, B = 301, C = 19 };
    problem q = problem_of(P, B, C, false, 3.0f);
    const int threads = kt_dev->info.threads;
    float *loss[2], *dz[2];
    for (int k = 0; k < 2; k++) {
        loss[k] = malloc(P * B * sizeof(float)), dz[k] = malloc(P * B * C * sizeof(float));
        assert_non_null(loss[k]), assert_non_null(dz[k]);
        kt_dev->info.threads = 1 + k;
        tensors t = run(kt_dev, &q, 1.0);
        OK(dlf_tensor_download(loss[k], &t.loss));
        OK(dlf_tensor_download(dz[k], &t.dz));
        tensors_free(&t);
    }
    kt_dev->info.threads = threads;
    assert_memory_equal(loss[0], loss[1], P * B * sizeof(float));
    assert_memory_equal(dz[0], dz[1], P * B * C * sizeof(float));
    for (int k = 0; k < 2; k++) free(loss[k]), free(dz[k]);
    problem_free(&q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_case_by_hand),
        cmocka_unit_test(backward_on_ref_is_the_difference_quotient),
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(gradient_rows_sum_to_zero),
        cmocka_unit_test(sure_predictions_keep_their_digits),
        cmocka_unit_test(the_maximum_is_found_wherever_it_is),
        cmocka_unit_test(extremes),
        cmocka_unit_test(in_place_strided_misaligned),
        cmocka_unit_test(bits_do_not_depend_on_threads),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
