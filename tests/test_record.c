/* SPDX-License-Identifier: MIT
 * test_record.c -- sequences of ops that are recorded once and replayed: the bits of the ops
 * themselves, whatever the inputs hold by then, and memory that nobody else gets meanwhile. Devices
 * that do not record say so. */
#include "kernel_test.h"

enum { P = 2, B = 600, N = 12, M = 9, V = 50, MOST = 32 };

/* A step of something like training: ops with scratch memory, in place, strided, counted by a
 * clock. */
enum {
    X,
    W,
    H,
    DH,
    GAMMA,
    BETA,
    DGAMMA,
    DBETA,
    MEAN,
    RSTD,
    Y,
    DW,
    VELOCITY,
    LR,
    LIMIT,
    NORM,
    SCALE,
    RATE,
    MASKED,
    TABLE,
    DTABLE,
    ROWS,
    DB,
    MOMENT,
    SQUARE,
    REALS
};
typedef struct problem {
    dlf_device *dev;
    dlf_tensor t[REALS], index, clock, moments, mean, arena, window;
} problem;

#define SHAPE(...)                                                                                 \
    {                                                                                              \
        (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                                 \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
static const struct {
    int ndim;
    int64_t shape[4];
} shapes[REALS] = {
    [X] = SHAPE(P, B, N),        [W] = SHAPE(P, N, M),     [H] = SHAPE(P, B, M),
    [DH] = SHAPE(P, B, M),       [GAMMA] = SHAPE(P, M),    [BETA] = SHAPE(P, M),
    [DGAMMA] = SHAPE(P, M),      [DBETA] = SHAPE(P, M),    [MEAN] = SHAPE(P, M),
    [RSTD] = SHAPE(P, M),        [Y] = SHAPE(P, B, M),     [DW] = SHAPE(P, N, M),
    [VELOCITY] = SHAPE(P, N, M), [LR] = SHAPE(P),          [LIMIT] = SHAPE(P),
    [NORM] = SHAPE(P),           [SCALE] = SHAPE(P),       [RATE] = SHAPE(P),
    [MASKED] = SHAPE(P, B, M),   [TABLE] = SHAPE(P, V, M), [DTABLE] = SHAPE(P, V, M),
    [ROWS] = SHAPE(P, B, M),     [DB] = SHAPE(P, M),       [MOMENT] = SHAPE(P, N, M),
    [SQUARE] = SHAPE(P, N, M),
};

static void fill(dlf_tensor *t, uint32_t stream, float scale, float shift)
{
    float *x = kt_random(dlf_tensor_count(t), stream, scale, shift);
    OK(dlf_tensor_upload(t, x));
    free(x);
}

static problem problem_of(dlf_device *dev)
{
    problem q = {.dev = dev};
    for (int i = 0; i < REALS; i++) {
        OK(dlf_tensor_init(&q.t[i], dev, dev->real, shapes[i].ndim, shapes[i].shape));
        fill(&q.t[i], (uint32_t)i, 1.0f, 0.0f);
    }
    for (int i = LR; i <= RATE; i++) fill(&q.t[i], (uint32_t)i, 0.01f, 0.2f);
    fill(&q.t[SQUARE], SQUARE, 0.01f, 1.0f);
    OK(dlf_tensor_new(&q.mean, dev, DLF_F64, P, M));
    OK(dlf_tensor_new(&q.moments, dev, DLF_F64, P, DLF_MOMENTS));
    OK(dlf_tensor_new(&q.index, dev, DLF_I32, P, B));
    OK(dlf_tensor_new(&q.clock, dev, DLF_I32, 1));
    q.arena = kt_tensor(dev, NULL, P, 2 * N * M + 3);
    q.window = dlf_tensor_window(&q.arena, 3, 3, shapes[W].shape);
    return q;
}

static void problem_free(problem *q)
{
    for (int i = 0; i < REALS; i++) dlf_tensor_free(&q->t[i]);
    dlf_tensor_free(&q->mean), dlf_tensor_free(&q->moments), dlf_tensor_free(&q->index);
    dlf_tensor_free(&q->clock), dlf_tensor_free(&q->arena);
}

/* What changes from step to step, from outside. */
static void inputs_of_step(problem *q, int step)
{
    int32_t index[P * B];
    for (int i = 0; i < P * B; i++) index[i] = (i * 7 + step * 13) % V;
    OK(dlf_tensor_upload_i32(&q->index, index));
    OK(dlf_tensor_upload_i32(&q->clock, &(int32_t){step}));
    fill(&q->t[X], 100 + (uint32_t)step, 1.0f, 0.1f);
    fill(&q->t[DH], 200 + (uint32_t)step, 1.0f, 0.0f);
}

static dlf_status ops_of_step(problem *q)
{
    dlf_tensor *t = q->t;
    const dlf_norm norm = {.kind = DLF_BATCH_NORM, .eps = 1e-5, .activation = {DLF_RELU, 0.0}};
    const dlf_norm_fwd fwd = {.y = &t[Y],
                              .mean = &q->mean,
                              .rstd = &t[RSTD],
                              .x = &t[H],
                              .gamma = &t[GAMMA],
                              .beta = &t[BETA]};
    const dlf_norm_bwd bwd = {.dx = &t[DH],
                              .dgamma = &t[DGAMMA],
                              .dbeta = &t[DBETA],
                              .dy = &t[DH],
                              .x = &t[H],
                              .mean = &q->mean,
                              .rstd = &t[RSTD],
                              .gamma = &t[GAMMA],
                              .beta = &t[BETA]};
    const dlf_dropout drop = {{7, dlf_stream(DLF_PURPOSE_TEST, 3)}, 0, B * M, 1, true};
    DLF_TRY(dlf_tensor_zero(&q->window));
    DLF_TRY(dlf_gemm(&t[H], &t[X], &t[W], (dlf_gemm_args){.alpha = 1.0}));
    DLF_TRY(dlf_embedding_forward(&t[ROWS], &t[TABLE], &q->index));
    DLF_TRY(dlf_axpby(&t[H], &t[ROWS], &t[SCALE], 0.5, 1.0));
    DLF_TRY(dlf_norm_forward(&fwd, &norm));
    DLF_TRY(dlf_dropout_apply(&t[MASKED], &t[Y], NULL, &t[RATE], &q->clock, drop));
    DLF_TRY(dlf_moments(&q->moments, &t[MASKED]));
    DLF_TRY(dlf_norm_backward(&bwd, &norm));
    DLF_TRY(dlf_bias_grad(&t[DB], &t[DH], 0.5));
    DLF_TRY(dlf_embedding_backward(&t[DTABLE], &t[DH], &q->index, 0.5));
    DLF_TRY(dlf_gemm(&q->window, &t[X], &t[DH], (dlf_gemm_args){.trans_a = true, .alpha = 0.01}));
    DLF_TRY(dlf_tensor_copy(&t[DW], &q->window));
    dlf_tensor g = dlf_tensor_reshape(&t[DW], 2, (const int64_t[]){P, N * M});
    dlf_tensor w = dlf_tensor_reshape(&t[W], 2, g.shape), v = w, m = w, s = w;
    v.data = t[VELOCITY].data, m.data = t[MOMENT].data, s.data = t[SQUARE].data;
    DLF_TRY(dlf_clip_by_norm(&t[SCALE], &t[NORM], &g, &t[LIMIT]));
    DLF_TRY(dlf_sgd_step(&w, &v, &g, &t[LR], &t[SCALE], (dlf_sgd_args){0.9, 0.01}));
    return dlf_adam_step(&w, &m, &s, &g, &t[LR], NULL, &q->clock,
                         (dlf_adam_args){.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8});
}

static dlf_recording *record(problem *q)
{
    dlf_recording *r = NULL;
    OK(dlf_record_begin(q->dev));
    const dlf_status status = ops_of_step(q);
    OK(dlf_record_end(q->dev, &r));
    OK(status);
    assert_non_null(r);
    return r;
}

static void same_bits(const dlf_tensor *a, const dlf_tensor *b, const char *what, int which)
{
    const size_t n = (size_t)dlf_tensor_count(a);
    double *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
    assert_true(x && y);
    OK(dlf_tensor_download_f64(x, a));
    OK(dlf_tensor_download_f64(y, b));
    if (memcmp(x, y, n * sizeof *x) != 0) fail_msg("%s: tensor %d differs", what, which);
    free(x), free(y);
}

static void same_results(const problem *a, const problem *b, const char *what)
{
    for (int i = 0; i < REALS; i++) same_bits(&a->t[i], &b->t[i], what, i);
    same_bits(&a->moments, &b->moments, what, -1);
    same_bits(&a->mean, &b->mean, what, -2);
    same_bits(&a->window, &b->window, what, -3);
}

#define NEEDS_RECORDING()                                                                          \
    do {                                                                                           \
        if (!dlf_device_records(kt_dev)) skip();                                                   \
    } while (0)

/* ---- tests ---------------------------------------------------------------------------------- */

static void devices_that_do_not_record_say_so(void **state)
{
    (void)state;
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int k = 0; k < 2; k++) {
        if (dlf_device_records(devices[k])) continue;
        dlf_recording *r = (dlf_recording *)&r;
        assert_int_equal(dlf_record_begin(devices[k]), DLF_ERR_NO_KERNEL);
        assert_non_null(strstr(dlf_error_message(), devices[k]->info.backend));
        assert_int_equal(dlf_record_end(devices[k], &r), DLF_ERR_NO_KERNEL);
        assert_null(r);
        OK(dlf_device_sync(devices[k])); /* not left half recording */
    }
    assert_false(dlf_device_records(kt_ref));
    assert_true(dlf_device_records(kt_dev) == !strcmp(kt_dev->info.backend, "cuda"));
    dlf_recording_free(NULL);
}

/* Five steps run and five steps replayed, with other inputs and another clock every time. */
static void replays_give_the_bits_of_the_ops(void **state)
{
    (void)state;
    NEEDS_RECORDING();
    problem direct = problem_of(kt_dev), replayed = problem_of(kt_dev);
    inputs_of_step(&direct, 0), inputs_of_step(&replayed, 0);
    OK(ops_of_step(&direct));
    OK(ops_of_step(&replayed)); /* the first run, for real */
    dlf_recording *r = record(&replayed);
    same_results(&direct, &replayed, "recording ran something");
    for (int step = 1; step < 6; step++) {
        inputs_of_step(&direct, step), inputs_of_step(&replayed, step);
        OK(ops_of_step(&direct));
        OK(dlf_replay(r));
        same_results(&direct, &replayed, "a replay");
    }
    /* the device goes on as before, beside the recording */
    inputs_of_step(&direct, 6), inputs_of_step(&replayed, 6);
    OK(ops_of_step(&replayed));
    OK(ops_of_step(&direct));
    same_results(&direct, &replayed, "ops after replays");
    dlf_recording_free(r);
    problem_free(&direct), problem_free(&replayed);
}

/* Recorded without a first run, and replayed twice without waiting. */
static void the_first_run_may_be_a_replay(void **state)
{
    (void)state;
    NEEDS_RECORDING();
    problem direct = problem_of(kt_dev), replayed = problem_of(kt_dev);
    inputs_of_step(&direct, 3), inputs_of_step(&replayed, 3);
    dlf_recording *r = record(&replayed);
    OK(dlf_replay(r));
    OK(dlf_replay(r));
    dlf_recording_free(r); /* while it may still run */
    OK(ops_of_step(&direct));
    OK(ops_of_step(&direct));
    same_results(&direct, &replayed, "two replays");
    problem_free(&direct), problem_free(&replayed);
}

/* Tensors made while the recording lives never share memory with its scratch. */
static void nobody_gets_the_memory_of_a_recording(void **state)
{
    (void)state;
    NEEDS_RECORDING();
    problem direct = problem_of(kt_dev), replayed = problem_of(kt_dev);
    inputs_of_step(&direct, 0), inputs_of_step(&replayed, 0);
    OK(ops_of_step(&direct));
    OK(ops_of_step(&replayed));
    dlf_recording *r = record(&replayed);
    dlf_tensor others[MOST];
    int64_t n = 16;
    for (int i = 0; i < MOST; i++, n += n / 2) {
        OK(dlf_tensor_new(&others[i], kt_dev, DLF_I32, n < 400000 ? n : 400000));
        const int64_t count = dlf_tensor_count(&others[i]);
        int32_t *host = malloc((size_t)count * sizeof *host);
        assert_non_null(host);
        for (int64_t k = 0; k < count; k++) host[k] = (int32_t)(i * 1000003 + k);
        OK(dlf_tensor_upload_i32(&others[i], host));
        free(host);
    }
    inputs_of_step(&direct, 1), inputs_of_step(&replayed, 1);
    OK(dlf_replay(r));
    OK(ops_of_step(&direct));
    same_results(&direct, &replayed, "a replay among new tensors");
    for (int i = 0; i < MOST; i++) {
        const int64_t count = dlf_tensor_count(&others[i]);
        int32_t *host = malloc((size_t)count * sizeof *host);
        assert_non_null(host);
        OK(dlf_tensor_download_i32(host, &others[i]));
        for (int64_t k = 0; k < count; k++) assert_int_equal(host[k], i * 1000003 + k);
        free(host);
        dlf_tensor_free(&others[i]);
    }
    dlf_recording_free(r);
    problem_free(&direct), problem_free(&replayed);
}

static void refused(dlf_status status, const char *what)
{
    assert_int_equal(status, DLF_ERR_DEVICE);
    if (!strstr(dlf_error_message(), "cannot be recorded") || !strstr(dlf_error_message(), what))
        fail_msg("'%s' does not name %s", dlf_error_message(), what);
}

/* What cannot be recorded is refused, and the recording goes on. */
static void what_is_refused_in_between(void **state)
{
    (void)state;
    NEEDS_RECORDING();
    const float one[] = {1.0f, 2.0f};
    float got[2];
    double ns;
    dlf_tensor a = kt_tensor(kt_dev, one, 2), b = kt_tensor(kt_dev, NULL, 2), c;
    dlf_recording *first = NULL, *r = NULL;
    OK(dlf_record_begin(kt_dev));
    OK(dlf_tensor_copy(&b, &a));
    OK(dlf_record_end(kt_dev, &first));

    OK(dlf_record_begin(kt_dev));
    OK(dlf_axpby(&b, &a, NULL, 2.0, 0.0));
    refused(dlf_record_begin(kt_dev), "another recording");
    refused(dlf_replay(first), "a replay");
    refused(dlf_tensor_upload(&a, one), "an upload");
    refused(dlf_tensor_download(got, &a), "a download");
    refused(dlf_tensor_new(&c, kt_dev, DLF_F32, 5), "a new tensor");
    assert_null(c.data);
    refused(dlf_device_sync(kt_dev), "waiting");
    refused(kt_dev->backend->time_start(kt_dev), "the stopwatch");
    refused(kt_dev->backend->time_stop(kt_dev, &ns), "the stopwatch");
    /* an op that is refused leaves no trace in it */
    dlf_tensor wrong = dlf_tensor_slice(&a, 0, 1);
    assert_int_equal(dlf_axpby(&wrong, &a, NULL, 7.0, 0.0), DLF_ERR_SHAPE);
    OK(dlf_axpby(&b, &b, NULL, 3.0, 0.0));
    OK(dlf_record_end(kt_dev, &r));
    dlf_recording *none = r;
    assert_int_equal(dlf_record_end(kt_dev, &none), DLF_ERR_DEVICE);
    assert_non_null(strstr(dlf_error_message(), "not begun"));
    assert_null(none);
    OK(dlf_replay(r));
    OK(dlf_tensor_download(got, &b));
    assert_true(got[0] == 6.0f && got[1] == 12.0f);
    OK(dlf_replay(first));
    OK(dlf_tensor_download(got, &b));
    assert_true(got[0] == 1.0f && got[1] == 2.0f);
    dlf_recording_free(first), dlf_recording_free(r);
    dlf_tensor_free(&a), dlf_tensor_free(&b);
}

/* In any order, also of one while another is being recorded, which may use what it gives back. */
static void recordings_are_freed_in_any_order(void **state)
{
    (void)state;
    NEEDS_RECORDING();
    problem direct = problem_of(kt_dev), replayed = problem_of(kt_dev);
    for (int order = 0; order < 3; order++) {
        inputs_of_step(&direct, order), inputs_of_step(&replayed, order);
        dlf_recording *a = record(&replayed), *b, *c;
        OK(dlf_replay(a));
        b = record(&replayed);
        if (order == 0) dlf_recording_free(a);
        OK(dlf_record_begin(kt_dev));
        if (order == 1) dlf_recording_free(a);
        OK(ops_of_step(&replayed));
        if (order == 2) dlf_recording_free(a);
        OK(dlf_record_end(kt_dev, &c));
        OK(dlf_replay(c));
        OK(dlf_replay(b));
        for (int k = 0; k < 3; k++) OK(ops_of_step(&direct));
        same_results(&direct, &replayed, "three recordings");
        dlf_recording_free(order ? b : c), dlf_recording_free(order ? c : b);
    }
    problem_free(&direct), problem_free(&replayed);
}

/* A tensor that is freed in between belongs to the recording: its memory is still written. */
static void a_tensor_freed_in_between(void **state)
{
    (void)state;
    NEEDS_RECORDING();
    float *x = kt_random(300, 1, 1.0f, 0.0f), got[300];
    dlf_tensor a = kt_tensor(kt_dev, x, 300), middle = kt_tensor(kt_dev, NULL, 300);
    dlf_tensor b = kt_tensor(kt_dev, NULL, 300);
    dlf_recording *r;
    OK(dlf_record_begin(kt_dev));
    OK(dlf_axpby(&middle, &a, NULL, 2.0, 0.0));
    OK(dlf_axpby(&b, &middle, NULL, 2.0, 0.0));
    dlf_tensor_free(&middle);
    OK(dlf_record_end(kt_dev, &r));
    dlf_tensor later = kt_tensor(kt_dev, x, 300);
    OK(dlf_replay(r));
    OK(dlf_tensor_download(got, &b));
    for (int i = 0; i < 300; i++) assert_true(got[i] == 4.0f * x[i]);
    OK(dlf_tensor_download(got, &later));
    assert_memory_equal(got, x, sizeof got);
    dlf_recording_free(r);
    dlf_tensor_free(&a), dlf_tensor_free(&b), dlf_tensor_free(&later);
    free(x);
}

/* A device may be closed with a recording begun and not ended. */
static void closed_in_the_middle(void **state)
{
    (void)state;
    NEEDS_RECORDING();
    dlf_device *dev;
    OK(dlf_device_open(&dev, "cuda"));
    problem q = problem_of(dev);
    inputs_of_step(&q, 0);
    OK(dlf_record_begin(dev));
    OK(ops_of_step(&q));
    problem_free(&q);
    dlf_device_close(dev);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_that_do_not_record_say_so),
        cmocka_unit_test(replays_give_the_bits_of_the_ops),
        cmocka_unit_test(the_first_run_may_be_a_replay),
        cmocka_unit_test(nobody_gets_the_memory_of_a_recording),
        cmocka_unit_test(what_is_refused_in_between),
        cmocka_unit_test(recordings_are_freed_in_any_order),
        cmocka_unit_test(a_tensor_freed_in_between),
        cmocka_unit_test(closed_in_the_middle),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
