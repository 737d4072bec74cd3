/* SPDX-License-Identifier: MIT
 * test_conv_net.c -- networks of convolutions: initialisation, gradients through everything that
 * follows a convolution, training, checkpoints, observers, messages. */
#include "kernel_test.h"

#include <unistd.h>

#include "dlf/train.h"

/* ---- initialisation ---- */

static double variance_of(dlf_layout layout, dlf_init init)
{
    dlf_graph *g;
    OK(dlf_graph_new(&g, kt_dev, 1));
    const int64_t nchw[] = {1, 1, 24, 5, 5}, nhwc[] = {1, 1, 5, 5, 24};
    const dlf_node x = dlf_input(g, "x", 5, layout == DLF_NCHW ? nchw : nhwc);
    dlf_conv conv = {layout, {4, 3}, {1, 1}, {0, 0}, {1, 1}, 2};
    const dlf_node y = dlf_conv_layer(g, "conv", x, 80, conv, dlf_activation_of(DLF_RELU), init);
    dlf_want_value(g, y);
    OK(dlf_graph_compile(g));
    OK(dlf_graph_initialise(g, 5, NULL));
    double w[80 * 12 * 12], sum = 0.0;
    const dlf_tensor *t = dlf_graph_value(g, dlf_graph_find(g, "conv.w"));
    assert_int_equal(dlf_tensor_count(t), 80 * 12 * 12);
    OK(dlf_tensor_download_f64(w, t));
    for (int i = 0; i < 80 * 12 * 12; i++) sum += w[i] * w[i];
    dlf_graph_free(g);
    return sum / (80 * 12 * 12);
}

/* fan_in = C/G R S = 12*12, fan_out = K R S = 80*12 in both layouts; the variance of n = 11520
 * draws is known to sqrt(2/n) = 1.3 %. */
static void variance_follows_the_fans(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        const double he = variance_of((dlf_layout)layout, dlf_he());
        const double glorot = variance_of((dlf_layout)layout, dlf_glorot());
        assert_true(fabs(he / (2.0 / 144.0) - 1.0) < 0.06);
        assert_true(fabs(glorot / (2.0 / (144.0 + 960.0)) - 1.0) < 0.06);
    }
}

/* ---- gradients ---- */

enum { P = 2, B = 3 };

static dlf_norm norm_of(dlf_norm_kind kind, dlf_layout layout)
{
    return (dlf_norm){.kind = kind, .layout = layout, .groups = 2, .eps = 1e-3, .momentum = 0.1};
}

/* A residual block as ResNet has it, with every normalization, both poolings and a view. */
static dlf_graph *residual_net(dlf_device *dev, dlf_layout layout, dlf_norm_kind kind)
{
    dlf_graph *g;
    OK(dlf_graph_new(&g, dev, P));
    const bool nchw = layout == DLF_NCHW;
    const dlf_activation tanh_ = dlf_activation_of(DLF_TANH), none = dlf_activation_of(DLF_LINEAR);
    const int64_t in[5] = {P, B, nchw ? 2 : 6, nchw ? 6 : 5, nchw ? 5 : 2};
    const dlf_node x = dlf_input(g, "x", 5, in);
    const dlf_conv same = dlf_conv_of(layout, 3, 1, 1), one = dlf_conv_of(layout, 1, 2, 0);
    dlf_conv half = dlf_conv_of(layout, 3, 2, 1);
    half.groups = 2;
    dlf_node h = dlf_conv_layer(g, "stem", x, 4, same, tanh_, dlf_lecun());
    dlf_node f = dlf_conv_layer_init(g, "c1", h, 4, half, none, dlf_lecun(), NULL);
    f = dlf_activate(g, "a1", dlf_norm_layer(g, "n1", f, norm_of(kind, layout)), tanh_);
    f = dlf_conv_layer_init(g, "c2", f, 4, same, none, dlf_lecun(), NULL);
    f = dlf_norm_layer(g, "n2", f, norm_of(kind, layout));
    h = dlf_add(g, "sum", f, dlf_conv_layer_init(g, "short", h, 4, one, none, dlf_lecun(), NULL));
    const dlf_pool max = {DLF_POOL_MAX, layout, {2, 2}, {1, 1}, {0, 0}, false};
    const dlf_pool all = {DLF_POOL_AVERAGE, layout, {2, 2}, {1, 1}, {0, 0}, false};
    h = dlf_pooling(g, "all", dlf_pooling(g, "max", h, max), all); /* 3x3, 2x2, 1x1 */
    h = dlf_view(g, "flat", h, 3, (int64_t[]){P, B, 4});
    h = dlf_dense(g, "logits", h, 3, none, dlf_lecun());
    const dlf_node label = dlf_input_int(g, "label", 2, (int64_t[]){P, B});
    dlf_graph_minimise(g, dlf_cross_entropy(g, "loss", h, label), 1.0 / B);
    dlf_want_value(g, dlf_graph_find(g, "a1"));
    dlf_want_gradient(g, x);
    OK(dlf_graph_compile(g));
    OK(dlf_graph_initialise(g, 3, NULL));
    float *random = kt_random(P * B * 60, 7, 1.0f, 0.0f);
    OK(dlf_tensor_upload(dlf_graph_value(g, x), random));
    OK(dlf_tensor_upload_i32(dlf_graph_value(g, label), (int32_t[]){0, 2, 1, 2, 2, 0}));
    free(random);
    return g;
}

/* As in test_graph.c: differences in double leave 1e-7 beside a kink of max. */
static void gradients_agree_with_finite_differences(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++)
        for (int kind = 0; kind < DLF_NORM_COUNT; kind++) {
            dlf_graph *g = residual_net(kt_ref, (dlf_layout)layout, (dlf_norm_kind)kind);
            dlf_gradient_check c;
            OK(dlf_graph_check_gradients(g, 2, 1e-3, &c));
            if (!(c.worst < 1e-7))
                fail_msg("layout %d, norm %d: %g at %s", layout, kind, c.worst, c.where);
            dlf_graph_free(g);
        }
}

static void device_agrees_with_ref(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        dlf_graph *g[2];
        for (int k = 0; k < 2; k++) {
            g[k] = residual_net(k ? kt_ref : kt_dev, (dlf_layout)layout, DLF_BATCH_NORM);
            OK(dlf_graph_forward(g[k], DLF_TRAINING));
            OK(dlf_graph_backward(g[k]));
        }
        assert_true(kt_worst(dlf_graph_gradients(g[0]), dlf_graph_gradients(g[1]), 3e-6, 3e-5) <=
                    1.0);
        dlf_observation o[2][P];
        for (int k = 0; k < 2; k++) OK(dlf_graph_observe(g[k], dlf_graph_find(g[k], "a1"), o[k]));
        for (int p = 0; p < P; p++) {
            assert_true(fabs(o[0][p].rms / o[1][p].rms - 1.0) < 1e-5);
            assert_true(o[0][p].nonfinite == 0.0 && o[0][p].saturated == o[1][p].saturated);
        }
        const dlf_graph_cost cost = dlf_graph_cost_of(g[0]);
        /* positions x outputs x taps: stem 30*4*18, c1 9*4*18, c2 9*4*36, short 9*4*4, logits 3*4
         */
        assert_int_equal(cost.forward_macs, P * B * (2160 + 648 + 1296 + 144 + 12));
        dlf_graph_free(g[0]), dlf_graph_free(g[1]);
    }
}

/* Three channels, the second with weights 0 and bias -1: its channel is dead behind ReLU, and so it
 * is behind a sum and a pooling, in either layout. Along the last axis of NCHW, all would live. */
static void observers_see_dead_channels(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        const bool nchw = layout == DLF_NCHW;
        dlf_graph *g;
        OK(dlf_graph_new(&g, kt_dev, P));
        const int64_t in[5] = {P, B, nchw ? 2 : 4, nchw ? 4 : 5, nchw ? 5 : 2};
        const dlf_node x = dlf_input(g, "x", 5, in);
        const dlf_conv same = dlf_conv_of((dlf_layout)layout, 3, 1, 1);
        const dlf_node r =
            dlf_conv_layer(g, "r", x, 3, same, dlf_activation_of(DLF_RELU), dlf_init_constant(0.5));
        const dlf_node twice = dlf_add(g, "twice", r, r);
        const dlf_pool pool = {DLF_POOL_MAX, (dlf_layout)layout, {2, 2}, {2, 2}, {0, 0}, false};
        const dlf_node top = dlf_pooling(g, "top", twice, pool);
        dlf_want_value(g, r), dlf_want_value(g, twice), dlf_want_value(g, top);
        OK(dlf_graph_compile(g));
        OK(dlf_graph_initialise(g, 3, NULL));
        float *random = kt_random(P * B * 40, 7, 1.0f, 0.0f), w[P * 3 * 18];
        const dlf_node nodes[] = {r, twice, top};
        for (int i = 0; i < P * 3 * 18; i++) w[i] = i / 18 % 3 == 1 ? 0.0f : 0.5f;
        OK(dlf_tensor_upload(dlf_graph_value(g, x), random));
        OK(dlf_tensor_upload(dlf_graph_value(g, dlf_graph_find(g, "r.w")), w));
        OK(dlf_tensor_upload(dlf_graph_value(g, dlf_graph_find(g, "r.b")),
                             (float[]){0, -1, 0, 0, 1e-9f, 0}));
        OK(dlf_graph_forward(g, DLF_TRAINING));
        for (int k = 0; k < 3; k++) {
            dlf_observation o[P];
            OK(dlf_graph_observe(g, nodes[k], o));
            assert_true(o[0].dead == 1.0 / 3 && o[1].dead == 0.0);
        }
        dlf_graph_free(g);
        free(random);
    }
}

/* ---- training ---- */

static dlf_dataset digits;

typedef struct job {
    dlf_graph *g;
    dlf_train *t;
} job;

/* 8x8 - 3x3x8 - pool - 3x3x16 - pool - 10 */
static job classifier(int members, int owners)
{
    enum { BATCH = 32 };
    job j;
    OK(dlf_graph_new(&j.g, kt_dev, members));
    const dlf_activation relu = dlf_activation_of(DLF_RELU);
    const dlf_conv same = dlf_conv_of(DLF_NCHW, 3, 1, 1);
    const dlf_pool pool = {DLF_POOL_MAX, DLF_NCHW, {2, 2}, {2, 2}, {0, 0}, false};
    const dlf_node x = dlf_input(j.g, "x", 5, (int64_t[]){owners, BATCH, 1, 8, 8});
    dlf_node h =
        dlf_pooling(j.g, "p1", dlf_conv_layer(j.g, "c1", x, 8, same, relu, dlf_he()), pool);
    h = dlf_pooling(j.g, "p2", dlf_conv_layer(j.g, "c2", h, 16, same, relu, dlf_he()), pool);
    h = dlf_view(j.g, "flat", h, 3, (int64_t[]){members, BATCH, 64});
    h = dlf_dense(j.g, "logits", h, 10, dlf_activation_of(DLF_LINEAR), dlf_lecun());
    const dlf_node label = dlf_input_int(j.g, "label", 2, (int64_t[]){owners, BATCH});
    dlf_graph_minimise(j.g, dlf_cross_entropy(j.g, "loss", h, label), 1.0 / BATCH);
    OK(dlf_graph_compile(j.g));
    OK(dlf_graph_initialise(j.g, 9, NULL));
    const double lr[] = {0.01, 0.01, 0.01, 0.005};
    const int32_t same_draw[4] = {0};
    const dlf_train_spec spec = {
        .seed = 2, .draw = owners == 1 ? same_draw : NULL, .lr = lr, .optimiser = dlf_adam(0.0)};
    OK(dlf_train_new(&j.t, j.g, &digits, &spec));
    return j;
}

static void end(job *j)
{
    dlf_train_free(j->t);
    dlf_graph_free(j->g);
}

/* Chance is 0.1; four epochs bring 0.95 to 0.97. */
static void a_population_learns_digits(void **state)
{
    (void)state;
    for (int owners = 1; owners <= 4; owners += 3) {
        job j = classifier(4, owners);
        double loss[4], accuracy[4];
        OK(dlf_train_run(j.t, 4 * dlf_train_epoch_steps(j.t)));
        OK(dlf_train_evaluate(j.t, digits.train, digits.test, loss, accuracy));
        for (int p = 0; p < 4; p++)
            if (!(accuracy[p] > 0.93 && loss[p] < 0.25))
                fail_msg("%d data orders, member %d: accuracy %g, loss %g", owners, p, accuracy[p],
                         loss[p]);
        end(&j);
    }
}

static void a_checkpoint_continues_to_the_bit(void **state)
{
    (void)state;
    char path[] = "/tmp/dlf-conv-XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    job a = classifier(2, 2), b = classifier(2, 2);
    OK(dlf_train_run(a.t, 5));
    OK(dlf_train_save(a.t, path));
    OK(dlf_train_load(b.t, path));
    OK(dlf_train_run(a.t, 5));
    OK(dlf_train_run(b.t, 5));
    assert_true(kt_worst(dlf_graph_parameters(a.g), dlf_graph_parameters(b.g), 1e-300, 0.0) <= 1.0);
    unlink(path);
    end(&a), end(&b);
}

/* ---- messages ---- */

static void refused(dlf_graph *g, const char *want)
{
    assert_int_equal(dlf_graph_compile(g), DLF_ERR_SHAPE);
    if (!strstr(dlf_error_message(), want))
        fail_msg("\"%s\" does not say \"%s\"", dlf_error_message(), want);
    dlf_graph_free(g);
}

static void shapes_are_refused_with_a_sentence(void **state)
{
    (void)state;
    const dlf_activation relu = dlf_activation_of(DLF_RELU);
    for (int k = 0; k < 6; k++) {
        dlf_graph *g;
        OK(dlf_graph_new(&g, kt_dev, 1));
        const dlf_node x = dlf_input(g, "x", 5, (int64_t[]){1, 2, 4, 5, 5});
        const dlf_node flat = dlf_input(g, "flat", 3, (int64_t[]){1, 2, 100});
        const dlf_node w = dlf_parameter(g, "w", 5, (int64_t[]){1, 6, 3, 3, 3}, dlf_he());
        dlf_conv conv = dlf_conv_of(DLF_NCHW, 3, 1, 0);
        if (k == 0) {
            conv.groups = 3;
            dlf_conv_layer(g, "c", x, 6, conv, relu, dlf_he());
            refused(g, "node 'c.z' (convolution): 3 groups do not divide 4 and 6 channels");
        } else if (k == 1) {
            conv.kernel[1] = 7;
            dlf_conv_layer(g, "c", x, 6, conv, relu, dlf_he());
            refused(g, "kernel 7, stride 1, pad 0, dilation 1 do not fit 5 positions");
        } else if (k == 2) {
            dlf_conv_layer(g, "c", flat, 6, conv, relu, dlf_he());
            refused(g, "'flat' must be real with 5 axes");
        } else if (k == 3) {
            dlf_convolve(g, "c", x, w, conv);
            refused(g, "'w' must be a 3x3 kernel of 4 channels");
        } else if (k == 4) {
            conv.kernel[0] = 0;
            dlf_conv_layer(g, "c", x, 6, conv, relu, dlf_he());
            refused(g, "each at least 1");
        } else {
            const dlf_node b = dlf_parameter(g, "b", 2, (int64_t[]){1, 5}, dlf_he());
            const dlf_node v = dlf_parameter(g, "v", 5, (int64_t[]){1, 6, 4, 3, 3}, dlf_he());
            dlf_convolve_bias(g, "c", x, v, b, conv);
            refused(g, "the bias 'b' is (1,6)");
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variance_follows_the_fans),
        cmocka_unit_test(gradients_agree_with_finite_differences),
        cmocka_unit_test(device_agrees_with_ref),
        cmocka_unit_test(observers_see_dead_channels),
        cmocka_unit_test(a_population_learns_digits),
        cmocka_unit_test(a_checkpoint_continues_to_the_bit),
        cmocka_unit_test(shapes_are_refused_with_a_sentence),
    };
    kt_open(argc, argv);
    OK(dlf_dataset_load(&digits, "digits", NULL));
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    dlf_dataset_free(&digits);
    return kt_close(failures);
}
