/* SPDX-License-Identifier: MIT
 * test_graph_plan.c -- the computational graph: seeds, modes, initialisation; the memory plan
 * against its lower bound; cost, observers, messages. Its ops: test_graph.c. */
#include "graph_net.h"

/* ---- vector-Jacobian products, modes, hypers ----------------------------------------------------
 */

/* y = x w^T with a seed s at y: dw = s^T x, and the seed is left alone. */
static void seeds_give_vector_jacobian_products(void **state)
{
    (void)state;
    dlf_graph *g;
    OK(dlf_graph_new(&g, kt_dev, 1));
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){1, 1, 2});
    const dlf_node w =
        dlf_parameter(g, "w", 3, (int64_t[]){1, 2, 2}, (dlf_init){.kind = DLF_INIT_GIVEN});
    const dlf_node y = dlf_matmul(g, "y", x, false, w, true, 1.0);
    const dlf_node z = dlf_scale(g, "z", y, none, 3.0);
    dlf_graph_seed(g, y);
    dlf_graph_seed(g, z);
    dlf_want_gradient(g, x);
    dlf_want_value(g, z);
    OK(dlf_graph_compile(g));
    OK(dlf_tensor_upload(dlf_graph_value(g, x), (float[]){5.0f, 7.0f}));
    OK(dlf_tensor_upload(dlf_graph_value(g, w), (float[]){1.0f, 2.0f, 3.0f, 4.0f}));
    OK(dlf_tensor_upload(dlf_graph_seed_gradient(g, y), (float[]){1.0f, 10.0f}));
    OK(dlf_tensor_upload(dlf_graph_seed_gradient(g, z), (float[]){100.0f, 0.0f}));
    for (int twice = 0; twice < 2; twice++) { /* total at y: (1,10) + 3 (100,0) = (301,10) */
        OK(dlf_graph_forward(g, DLF_TRAINING));
        OK(dlf_graph_backward(g));
        float v[4];
        OK(dlf_tensor_download(v, dlf_graph_value(g, z)));
        assert_true(v[0] == 57.0f && v[1] == 129.0f);
        OK(dlf_tensor_download(v, dlf_graph_gradient(g, w)));
        assert_true(v[0] == 1505.0f && v[1] == 2107.0f && v[2] == 50.0f && v[3] == 70.0f);
        OK(dlf_tensor_download(v, dlf_graph_gradient(g, x)));
        assert_true(v[0] == 331.0f && v[1] == 642.0f);
    }
    dlf_graph_free(g);
}

static void dropout_is_off_in_evaluation_and_new_in_every_step(void **state)
{
    (void)state;
    dlf_graph *g;
    OK(dlf_graph_new(&g, kt_dev, 2));
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){2, 1, 64});
    const dlf_node rate = dlf_hyper(g, "rate", (double[]){0.5, 0.25});
    const dlf_node y = dlf_drop(g, "y", x, rate, false);
    dlf_want_value(g, y);
    OK(dlf_graph_compile(g));
    float ones[128], first[128], again[128], later[128];
    for (int i = 0; i < 128; i++) ones[i] = 1.0f;
    OK(dlf_tensor_upload(dlf_graph_value(g, x), ones));
    OK(dlf_graph_initialise(g, 5,
                            (int32_t[]){4, 4})); /* equal draws: the same masks but for the rate */
    OK(dlf_graph_forward(g, DLF_EVALUATION));
    OK(dlf_tensor_download(first, dlf_graph_value(g, y)));
    for (int i = 0; i < 128; i++) assert_true(first[i] == (i < 64 ? 0.5f : 0.75f));
    OK(dlf_graph_forward(g, DLF_TRAINING));
    OK(dlf_tensor_download(first, dlf_graph_value(g, y)));
    OK(dlf_graph_forward(g, DLF_TRAINING));
    OK(dlf_tensor_download(again, dlf_graph_value(g, y)));
    OK(dlf_tensor_upload_i32(dlf_graph_clock(g), (int32_t[]){1}));
    OK(dlf_graph_forward(g, DLF_TRAINING));
    OK(dlf_tensor_download(later, dlf_graph_value(g, y)));
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, later, sizeof first);
    int dropped = 0;
    for (int i = 0; i < 64; i++) { /* what the lower rate drops, the higher one drops too */
        dropped += first[i] == 0.0f;
        assert_true(first[64 + i] == 1.0f || first[i] == 0.0f);
    }
    assert_in_range(dropped, 16, 48); /* 32 +- 4 */
    OK(dlf_graph_set_hyper(g, rate, (double[]){0.0, 1.0}));
    OK(dlf_graph_forward(g, DLF_EVALUATION));
    OK(dlf_tensor_download(first, dlf_graph_value(g, y)));
    assert_true(first[0] == 1.0f && first[64] == 0.0f);
    dlf_graph_free(g);
}

static void batch_norm_knows_its_modes(void **state)
{
    (void)state;
    dlf_graph *g;
    OK(dlf_graph_new(&g, kt_dev, 1));
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){1, 2, 1});
    const dlf_norm norm = {.kind = DLF_BATCH_NORM, .momentum = 0.5};
    const dlf_node y = dlf_norm_layer(g, "y", x, norm);
    dlf_want_value(g, y);
    OK(dlf_graph_compile(g));
    OK(dlf_graph_initialise(g, 1, NULL));
    OK(dlf_tensor_upload(dlf_graph_value(g, x), (float[]){2.0f, 6.0f}));
    float v[2], mean, var;
    OK(dlf_graph_forward(g, DLF_TRAINING));
    OK(dlf_tensor_download(v, dlf_graph_value(g, y)));
    assert_true(v[0] == -1.0f && v[1] == 1.0f); /* a batch of two leaves only the signs */
    OK(dlf_tensor_download(&mean, dlf_graph_running_mean(g, y)));
    OK(dlf_tensor_download(&var, dlf_graph_running_var(g, y)));
    assert_true(mean == 2.0f && var == 4.5f); /* (0+4)/2, (1 + 8)/2: unbiased */
    OK(dlf_graph_forward(g, DLF_EVALUATION));
    OK(dlf_tensor_download(v, dlf_graph_value(g, y)));
    assert_true(v[0] == 0.0f && fabsf(v[1] - 1.8856181f) < 1e-6f);
    dlf_graph_free(g);
}

/* ---- initialisation -----------------------------------------------------------------------------
 */

static double variance_of(dlf_graph *g, dlf_node w, int member, double *mean)
{
    dlf_tensor *t = dlf_graph_value(g, w);
    const int64_t n = dlf_tensor_member_count(t);
    double *v = malloc((size_t)(n * t->shape[0]) * sizeof *v), sum = 0.0, squares = 0.0;
    assert_non_null(v);
    OK(dlf_tensor_download_f64(v, t));
    for (int64_t i = 0; i < n; i++) {
        sum += v[member * n + i];
        squares += v[member * n + i] * v[member * n + i];
    }
    free(v);
    *mean = sum / (double)n;
    return squares / (double)n - *mean * *mean;
}

/* 12,800 draws: the variance of a normal sample is off by sqrt(2/12800) = 1.25 %; 5 % is 4 s.e. */
static void initialisations_have_their_variance(void **state)
{
    (void)state;
    const double gains[2] = {2.0, 0.5};
    const dlf_init inits[] = {dlf_he(),
                              dlf_lecun(),
                              dlf_glorot(),
                              {.kind = DLF_INIT_UNIFORM, .gain2 = 2.0},
                              {.kind = DLF_INIT_NORMAL, .gain2 = 9.0, .gains = gains},
                              dlf_orthogonal(2.0)};
    const double want[][2] = {{2.0 / 128, 2.0 / 128}, {1.0 / 128, 1.0 / 128},
                              {2.0 / 228, 2.0 / 228}, {2.0 / 128, 2.0 / 128},
                              {2.0 / 128, 0.5 / 128}, {2.0 / 128, 2.0 / 128}};
    for (size_t i = 0; i < sizeof inits / sizeof inits[0]; i++) {
        dlf_graph *g;
        OK(dlf_graph_new(&g, kt_dev, 2));
        const dlf_node w = dlf_parameter(g, "w", 3, (int64_t[]){2, 100, 128}, inits[i]);
        OK(dlf_graph_compile(g));
        OK(dlf_graph_initialise(g, 3, NULL));
        for (int p = 0; p < 2; p++) {
            double mean;
            const double var = variance_of(g, w, p, &mean);
            if (!(fabs(var / want[i][p] - 1.0) < 0.05))
                fail_msg("init %zu: %g not %g", i, var, want[i][p]);
            assert_true(fabs(mean) < 4.0 * sqrt(want[i][p] / 12800));
        }
        dlf_graph_free(g);
    }
}

static void orthogonal_is_orthogonal(void **state)
{
    (void)state;
    const int64_t sizes[][2] = {{6, 9}, {9, 6}, {7, 7}};
    for (int s = 0; s < 3; s++) {
        const int64_t rows = sizes[s][0], cols = sizes[s][1];
        dlf_graph *g;
        OK(dlf_graph_new(&g, kt_ref, 1));
        const dlf_node w =
            dlf_parameter(g, "w", 3, (int64_t[]){1, rows, cols}, dlf_orthogonal(2.0));
        OK(dlf_graph_compile(g));
        OK(dlf_graph_initialise(g, 3, NULL));
        double v[81];
        OK(dlf_tensor_download_f64(v, dlf_graph_value(g, w)));
        const int64_t n = rows < cols ? rows : cols, length = rows < cols ? cols : rows;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) {
                double dot = 0.0;
                for (int64_t k = 0; k < length; k++)
                    dot += rows < cols ? v[i * cols + k] * v[j * cols + k]
                                       : v[k * cols + i] * v[k * cols + j];
                assert_true(fabs(dot - (i == j ? 2.0 : 0.0)) < 1e-14);
            }
        dlf_graph_free(g);
    }
}

/* ---- plan, cost, messages ---- */

/* A deep chain: forward keeps one value per layer for backward, backward needs two gradients. */
static void the_plan_is_near_its_lower_bound(void **state)
{
    (void)state;
    for (int depth = 1; depth <= 40; depth += 13) {
        net n = {0};
        OK(dlf_graph_new(&n.g, kt_dev, P));
        n.x = dlf_input(n.g, "x", 3, (int64_t[]){P, 64, 64});
        dlf_node h = n.x, label = dlf_input_int(n.g, "label", 2, (int64_t[]){P, 64});
        for (int l = 0; l < depth; l++) {
            char name[16];
            snprintf(name, sizeof name, "h%d", l);
            h = dense(&n, name, h, l % 3 ? 64 : 96, DLF_RELU);
        }
        h = dense(&n, "logits", h, 10, DLF_LINEAR);
        dlf_graph_minimise(n.g, dlf_cross_entropy(n.g, "loss", h, label), 1.0 / 64);
        OK(dlf_graph_compile(n.g));
        const dlf_graph_memory m = dlf_graph_memory_of(n.g);
        assert_true(m.planned >= m.lower_bound && m.planned < m.unshared);
        if (!((double)m.planned <= 1.10 * (double)m.lower_bound))
            fail_msg("depth %d: planned %lld, bound %lld", depth, (long long)m.planned,
                     (long long)m.lower_bound);
        dlf_graph_free(n.g);
    }
}

/* 64-256-256-256-10: forward 150,016 multiply-adds, backward 283,648 (no gradient of x). */
static void cost_counts_multiply_adds(void **state)
{
    (void)state;
    net n = {0};
    OK(dlf_graph_new(&n.g, kt_dev, 1));
    n.x = dlf_input(n.g, "x", 3, (int64_t[]){1, 1, 64});
    const dlf_node label = dlf_input_int(n.g, "label", 2, (int64_t[]){1, 1});
    dlf_node h = n.x;
    for (int l = 0; l < 3; l++) h = dense(&n, (const char *[]){"a", "b", "c"}[l], h, 256, DLF_RELU);
    h = dense(&n, "logits", h, 10, DLF_LINEAR);
    dlf_graph_minimise(n.g, dlf_cross_entropy(n.g, "loss", h, label), 1.0);
    OK(dlf_graph_compile(n.g));
    const dlf_graph_cost c = dlf_graph_cost_of(n.g);
    assert_int_equal(c.forward_macs, 150016);
    assert_int_equal(c.backward_macs, 283648);
    dlf_graph_free(n.g);
}

static void expect_message(dlf_graph *g, dlf_status status, const char *part)
{
    assert_int_equal(dlf_graph_compile(g), status);
    if (!strstr(dlf_error_message(), part)) fail_msg("'%s' lacks '%s'", dlf_error_message(), part);
    dlf_graph_free(g);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    const dlf_activation relu = dlf_activation_of(DLF_RELU);
    dlf_graph *g;
    OK(dlf_graph_new(&g, kt_dev, 2));
    dlf_node x = dlf_input(g, "x", 3, (int64_t[]){2, 4, 8});
    const dlf_node w = dlf_parameter(g, "w", 3, (int64_t[]){2, 5, 9}, dlf_he());
    dlf_node y = dlf_matmul(g, "hidden", x, false, w, true, 1.0); /* wrong */
    y = dlf_activate(g, "f", y, relu); /* follows: no message of its own */
    assert_int_equal(y.id, 0);
    expect_message(
        g, DLF_ERR_SHAPE,
        "node 'hidden' (matmul): a has 8 columns but b has 9 columns (x (2,4,8), w (2,5,9))");

    OK(dlf_graph_new(&g, kt_dev, 2));
    x = dlf_input(g, "x", 3, (int64_t[]){2, 4, 8});
    dlf_activate(g, "x", x, relu);
    expect_message(g, DLF_ERR_ARG, "'x' (activation) needs a name of its own");

    OK(dlf_graph_new(&g, kt_dev, 2));
    x = dlf_input(g, "x", 3, (int64_t[]){3, 4, 8});
    expect_message(g, DLF_ERR_SHAPE, "node 'x' (input): shape (3,4,8)");

    OK(dlf_graph_new(&g, kt_dev, 2));
    x = dlf_input(g, "x", 3, (int64_t[]){2, 4, 8});
    const dlf_node t = dlf_dense(g, "t", x, 8, relu, dlf_he());
    dlf_graph_minimise(g, dlf_row_loss(g, "loss", x, t, (dlf_loss){DLF_LOSS_MSE, 0}), 1.0);
    expect_message(g, DLF_ERR_SHAPE, "node 'loss' (row_loss): 't' has a gradient");

    OK(dlf_graph_new(&g, kt_dev, 2));
    x = dlf_input(g, "x", 3, (int64_t[]){2, 4, 8});
    dlf_graph_minimise(g, x, 1.0);
    expect_message(g, DLF_ERR_ARG, "node 'x' (input): only row losses are minimised");

    OK(dlf_graph_new(&g, kt_dev, 2));
    x = dlf_input(g, "x", 3, (int64_t[]){2, 4, 8});
    dlf_concat(g, "cat", x, (dlf_node){77});
    expect_message(g, DLF_ERR_ARG, "node 'cat' (concat): input 1 is no node of this graph");

    OK(dlf_graph_new(&g, kt_dev, 2));
    assert_int_equal(dlf_graph_forward(g, DLF_TRAINING), DLF_ERR_ARG);
    dlf_graph_free(g);
    assert_int_equal(dlf_graph_new(&g, kt_dev, 0), DLF_ERR_ARG);
}

static void observers_see_dead_and_saturated(void **state)
{
    (void)state;
    dlf_graph *g;
    OK(dlf_graph_new(&g, kt_dev, 2));
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){2, 2, 4});
    const dlf_node r = dlf_activate(g, "r", x, dlf_activation_of(DLF_RELU));
    const dlf_node s = dlf_activate(g, "s", x, dlf_activation_of(DLF_TANH));
    dlf_want_value(g, r);
    dlf_want_value(g, s);
    OK(dlf_graph_compile(g));
    /* member 0: column 1 never positive, column 2 once; member 1 has a NaN */
    OK(dlf_tensor_upload(dlf_graph_value(g, x),
                         (float[]){1, -1, 5, 2, 3, -2, -1, 4, NAN, 1, 1, 1, 1, 1, 1, 1}));
    OK(dlf_graph_forward(g, DLF_TRAINING));
    dlf_observation o[2];
    OK(dlf_graph_observe(g, r, o));
    assert_true(o[0].dead == 0.25 && o[0].max_abs == 5.0 && o[0].nonfinite == 0.0);
    assert_true(o[0].mean == 15.0 / 8 && isnan(o[0].saturated) && isnan(o[0].gradient_rms));
    assert_true(o[1].nonfinite == 0.125 && isnan(o[1].mean) && isnan(o[1].max_abs) &&
                o[1].dead == 0.0);
    OK(dlf_graph_observe(g, s, o)); /* tanh' = 1 - tanh^2 < 1/20 beyond |x| = 2.18: 5, 3, 4 */
    assert_true(o[0].saturated == 3.0 / 8);
    assert_int_equal(dlf_graph_observe(g, (dlf_node){0}, o), DLF_ERR_ARG);
    dlf_graph_free(g);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_give_vector_jacobian_products),
        cmocka_unit_test(dropout_is_off_in_evaluation_and_new_in_every_step),
        cmocka_unit_test(batch_norm_knows_its_modes),
        cmocka_unit_test(initialisations_have_their_variance),
        cmocka_unit_test(orthogonal_is_orthogonal),
        cmocka_unit_test(the_plan_is_near_its_lower_bound),
        cmocka_unit_test(cost_counts_multiply_adds),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(observers_see_dead_and_saturated),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
