/* SPDX-License-Identifier: MIT
 * test_training.c -- the population of MLPs: gradients against finite differences in double,
 * members independent of each other and of the thread count, cpu against the double definition,
 * propagation against stored-weight arithmetic. */
#include "kernel_test.h"

#include "dlf/mlp.h"
#include "dlf/propagate.h"
#include "dlf/theory.h"

static dlf_dataset digits;
static const int32_t draw3[] = {0, 1, 2};
static const double w2[] = {1.0, 2.0, 1.5}, b2[] = {0.1, 0.0, 0.2};
static const double lr3[] = {0.05, 0.02, 0.01}, clip3[] = {INFINITY, 0.5, 1.0};

static dlf_mlp_spec small(dlf_activation_kind kind, int members, int depth)
{
    return (dlf_mlp_spec){.members = members,
                          .batch = 16,
                          .inputs = 64,
                          .width = 12,
                          .depth = depth,
                          .classes = 10,
                          .activation = dlf_activation_of(kind)};
}

static dlf_tensor first_rows(dlf_device *dev, int rows)
{
    return kt_tensor(dev, digits.x, 1, rows, 64);
}

static double loss_of(dlf_mlp *m, const dlf_tensor *x, const dlf_tensor *labels, int member)
{
    const int64_t P = m->spec.members, B = m->spec.batch;
    dlf_tensor loss;
    OK(dlf_tensor_new(&loss, m->device, m->device->real, P, B));
    OK(dlf_mlp_forward(m, x));
    OK(dlf_softmax_xent_forward(&loss, NULL, &m->layer[m->layers].a, labels));
    double rows[64];
    assert_true(P * B <= 64);
    OK(dlf_tensor_download_f64(rows, &loss));
    double sum = 0.0;
    for (int64_t i = 0; i < B; i++) sum += rows[member * B + i];
    dlf_tensor_free(&loss);
    return sum / (double)B;
}

/* Signed relative error of single components; a flipped sign is an error of 2. */
static void check_gradient(dlf_activation_kind kind)
{
    dlf_mlp m;
    const dlf_mlp_spec spec = small(kind, 3, 3);
    OK(dlf_mlp_new(&m, kt_ref, &spec));
    OK(dlf_mlp_init(&m, 5, draw3, w2, b2));
    dlf_tensor x = first_rows(kt_ref, 16), labels;
    OK(dlf_tensor_new(&labels, kt_ref, DLF_I32, 1, 16));
    OK(dlf_tensor_upload_i32(&labels, digits.label));
    OK(dlf_mlp_forward(&m, &x));
    OK(dlf_mlp_backward(&m, &x, &labels, 1.0 / 16));
    const int64_t n = m.params.shape[1];
    double *params = malloc(3 * (size_t)n * sizeof *params),
           *grads = malloc(3 * (size_t)n * sizeof *grads);
    assert_non_null(params);
    assert_non_null(grads);
    OK(dlf_tensor_download_f64(params, &m.params));
    OK(dlf_tensor_download_f64(grads, &m.grads));
    const double h = 1e-5;
    for (int64_t i = 0; i < n; i += 37) { /* every layer, weights and biases */
        const int p = (int)(i % 3);
        const int64_t at = p * n + i;
        const double old = params[at];
        params[at] = old + h;
        OK(dlf_tensor_upload_f64(&m.params, params));
        const double up = loss_of(&m, &x, &labels, p);
        params[at] = old - h;
        OK(dlf_tensor_upload_f64(&m.params, params));
        const double down = loss_of(&m, &x, &labels, p);
        params[at] = old;
        const double numeric = (up - down) / (2 * h);
        const double scale = fmax(fabs(numeric), 1e-4);
        if (!(fabs(grads[at] - numeric) <= 1e-5 * scale))
            fail_msg("%s parameter %lld of member %d: %.12g, finite difference %.12g",
                     dlf_activation_name(kind), (long long)i, p, grads[at], numeric);
    }
    free(grads);
    free(params);
    dlf_tensor_free(&labels);
    dlf_tensor_free(&x);
    dlf_mlp_free(&m);
}

static void gradients_match_finite_differences(void **state)
{
    /* smooth activations: a kink within h of a pre-activation would spoil the difference */
    check_gradient(DLF_TANH);
    check_gradient(DLF_SIGMOID);
    check_gradient(DLF_GELU);
    check_gradient(DLF_SOFTPLUS);
}

/* Parameters after 25 steps of members [first, first+count) trained together. */
static float *train(dlf_device *dev, int first, int count, dlf_activation_kind kind, double *loss)
{
    dlf_mlp m;
    dlf_training *t;
    const dlf_mlp_spec spec = small(kind, count, 3);
    OK(dlf_mlp_new(&m, dev, &spec));
    OK(dlf_mlp_init(&m, 5, draw3 + first, w2 + first, b2 + first));
    const dlf_training_spec training = {.seed = 5,
                                        .draw = draw3 + first,
                                        .lr = lr3 + first,
                                        .max_norm = clip3 + first,
                                        .momentum = 0.9,
                                        .weight_decay = 1e-3,
                                        .loss_scale = 1.0};
    OK(dlf_training_new(&t, &m, &digits, &training));
    for (int i = 0; i < 25; i++) OK(dlf_training_step(t));
    OK(dlf_training_loss(t, loss));
    float *params = malloc((size_t)dlf_tensor_count(&m.params) * sizeof *params);
    assert_non_null(params);
    OK(dlf_tensor_download(params, &m.params));
    dlf_training_free(t);
    dlf_mlp_free(&m);
    return params;
}

static void members_do_not_see_each_other(void **state)
{
    double together[3], alone[3];
    float *all = train(kt_dev, 0, 3, DLF_RELU, together);
    for (int p = 0; p < 3; p++) {
        float *one = train(kt_dev, p, 1, DLF_RELU, alone + p);
        const size_t n = 64 * 12 + 12 + 2 * (12 * 12 + 12) + 12 * 10 + 10;
        /* not bit for bit: a library may pick another kernel for another batch count */
        for (size_t i = 0; i < n; i++)
            assert_true(fabsf(one[i] - all[(size_t)p * n + i]) <= 2e-5f * (1.0f + fabsf(one[i])));
        free(one);
    }
    free(all);
}

static void threads_do_not_change_a_bit(void **state)
{
    const int threads = kt_dev->info.threads;
    double loss1[3], loss2[3];
    const size_t n = 3 * (64 * 12 + 12 + 2 * (12 * 12 + 12) + 12 * 10 + 10);
    kt_dev->info.threads = 1;
    float *one = train(kt_dev, 0, 3, DLF_SIGMOID, loss1);
    kt_dev->info.threads = strcmp(kt_dev->info.backend, "cpu") == 0 ? 2 : threads;
    float *two = train(kt_dev, 0, 3, DLF_SIGMOID, loss2);
    kt_dev->info.threads = threads;
    assert_memory_equal(one, two, n * sizeof *one);
    assert_memory_equal(loss1, loss2, sizeof loss1);
    free(one);
    free(two);
}

/* 25 steps in float32 against double. Rounding grows with the steps; 25 steps of a stable run keep
 * it below 1e-4 of the parameters' scale, where a wrong gradient is off by the learning rate. */
static void device_agrees_with_the_definition(void **state)
{
    double got_loss[3], want_loss[3];
    float *got = train(kt_dev, 0, 3, DLF_TANH, got_loss);
    float *want = train(kt_ref, 0, 3, DLF_TANH, want_loss);
    const size_t n = 3 * (64 * 12 + 12 + 2 * (12 * 12 + 12) + 12 * 10 + 10);
    for (size_t i = 0; i < n; i++) assert_true(fabsf(got[i] - want[i]) <= 1e-4f);
    for (int p = 0; p < 3; p++)
        assert_true(fabs(got_loss[p] - want_loss[p]) <= 1e-4 * want_loss[p]);
    free(got);
    free(want);
}

static void training_learns_and_evaluation_counts(void **state)
{
    dlf_mlp m;
    dlf_training *t;
    const dlf_mlp_spec spec = {.members = 2,
                               .batch = 32,
                               .inputs = 64,
                               .width = 32,
                               .depth = 1,
                               .classes = 10,
                               .activation = dlf_activation_of(DLF_RELU)};
    const double he[] = {2.0, 2.0}, zero[] = {0.0, 0.0}, rate[] = {0.05, 0.0};
    OK(dlf_mlp_new(&m, kt_dev, &spec));
    OK(dlf_mlp_init(&m, 1, draw3, he, zero));
    const dlf_training_spec training = {
        .seed = 1, .draw = draw3, .lr = rate, .momentum = 0.9, .loss_scale = 1.0};
    OK(dlf_training_new(&t, &m, &digits, &training));
    double before[2], after[2], accuracy[2], piece[2], sum[2] = {0.0, 0.0};
    OK(dlf_training_evaluate(t, digits.train, digits.test, before, accuracy));
    for (int i = 0; i < 120; i++) OK(dlf_training_step(t));
    OK(dlf_training_evaluate(t, digits.train, digits.test, after, accuracy));
    assert_true(accuracy[0] > 0.85); /* learnt */
    assert_true(accuracy[1] < 0.35); /* rate 0: did not */
    assert_true(after[1] == before[1]);
    /* odd pieces add up to the whole: every row is counted once */
    for (int at = 0; at < digits.test;) {
        const int count = at + 77 <= digits.test ? 77 : digits.test - at;
        OK(dlf_training_evaluate(t, digits.train + at, count, NULL, piece));
        sum[0] += piece[0] * count;
        at += count;
    }
    assert_true(fabs(sum[0] / digits.test - accuracy[0]) < 1e-12);
    dlf_training_free(t);
    dlf_mlp_free(&m);
}

static void propagation_matches_theory_and_definition(void **state)
{
    const dlf_activation f = dlf_activation_of(DLF_TANH);
    dlf_random_net net[4];
    for (int i = 0; i < 4; i++) net[i] = dlf_random_net_of(f, 2.5, 0.05, 6, i);
    dlf_propagation got, want;
    OK(dlf_propagate(&got, kt_dev, 3, 96, 6, 4, net, 4, NULL, NULL));
    OK(dlf_propagate(&want, kt_ref, 3, 96, 6, 4, net, 4, NULL, NULL));
    for (int i = 0; i < 4 * 7; i++) {
        assert_true(fabs(got.length[i] - want.length[i]) <= 1e-4 * want.length[i]);
        assert_true(fabs(got.gradient[i] - want.gradient[i]) <= 1e-4 * want.gradient[i]);
    }
    const double chi = dlf_meanfield_solve(f, 2.5, 0.05, false).chi_1;
    const double noise = sqrt(5.0 / (96.0 * 6 * 4));
    assert_true(fabs(dlf_growth_factor(&want, 0, 4, -1) / chi - 1.0) < 4 * noise);
    dlf_propagation_free(&want);
    dlf_propagation_free(&got);
}

static dlf_status stop_half_way(void *user, double fraction)
{
    ++*(int *)user;
    return fraction > 0.5 ? dlf_fail(DLF_ERR_CANCELLED, "enough") : DLF_OK;
}

static void propagation_can_be_stopped(void **state)
{
    const dlf_random_net net = dlf_random_net_of(dlf_activation_of(DLF_RELU), 2.0, 0.0, 8, 0);
    dlf_propagation p;
    int calls = 0;
    assert_int_equal(dlf_propagate(&p, kt_dev, 1, 16, 8, 2, &net, 1, stop_half_way, &calls),
                     DLF_ERR_CANCELLED);
    assert_in_range(calls, 8, 12);
    assert_null(p.length);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    if (dlf_digits_load(&digits) != DLF_OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_match_finite_differences),
        cmocka_unit_test(members_do_not_see_each_other),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(device_agrees_with_the_definition),
        cmocka_unit_test(training_learns_and_evaluation_counts),
        cmocka_unit_test(propagation_matches_theory_and_definition),
        cmocka_unit_test(propagation_can_be_stopped),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    dlf_dataset_free(&digits);
    return kt_close(failed);
}
