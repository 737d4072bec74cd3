/* SPDX-License-Identifier: MIT
 * test_nets.c -- the counter of layer lists on lists counted by hand, every published network,
 * lists as graphs, and a small run of the experiments `architectures` (Q28) and `conv1x1` (Q15). */
#include "kernel_test.h"

#include "dlf/experiment.h"
#include "experiments/conv1x1.h"
#include "experiments/nets_graph.h"

static net_totals counted(net *n, int c, int h, int w)
{
    net_totals sum;
    OK(net_count(n, c, h, w, &sum));
    return sum;
}

static net *fresh(void)
{
    net *n = net_new();
    assert_non_null(n);
    return n;
}

/* ---- the counter ---- */

static void layers_by_hand(void **state)
{
    net *n = fresh();
    CONV(n, 6, 3, .stride = 2, .pad = 1, .groups = 2); /* 4x9x7 -> 6x5x4 */
    NORM(n);
    POOL(n, 2, 2);
    DENSE(n, 5);
    const net_totals t = counted(n, 4, 9, 7);
    assert_int_equal(net_layer_at(n, 0)->h, 5);
    assert_int_equal(net_layer_at(n, 0)->w, 4);
    assert_int_equal(net_layer_at(n, 2)->h, 2);
    assert_int_equal(t.parameters, (6 * 2 * 9 + 6) + 12 + (6 * 2 * 2 * 5 + 5));
    assert_int_equal(t.macs, 6 * 2 * 9 * 20 + 6 * 2 * 2 * 5);
    assert_int_equal(t.biases, 6 + 5);
    assert_int_equal(t.statistics, 12);
    assert_int_equal(t.weighted, 2);
    assert_int_equal(t.pointwise_macs, 0); /* depthwise and dense are none */
    net_free(n);
}

static void pooling_rounds_up_where_asked(void **state)
{
    static const struct {
        int size, kernel, stride, pad;
        bool ceil;
        int want;
    } cases[] = {{112, 3, 2, 0, true, 56}, {112, 3, 2, 0, false, 55}, {28, 3, 2, 0, true, 14},
                 {7, 2, 2, 0, true, 4},    {7, 2, 2, 0, false, 3},    {3, 2, 2, 1, true, 2},
                 {4, 2, 2, 1, true, 3},    {6, 3, 3, 0, true, 2},     {5, 1, 3, 0, true, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        net *n = fresh();
        POOL(n, cases[i].kernel, cases[i].stride, .pad = cases[i].pad, .ceil = cases[i].ceil);
        counted(n, 1, cases[i].size, cases[i].size);
        assert_int_equal(net_layer_at(n, 0)->h, cases[i].want);
        net_free(n);
    }
}

static void branches_join(void **state)
{
    net *n = fresh();
    const int x = net_here(n);
    CONV(n, 3, 1, .no_bias = true);
    const int a = net_here(n);
    net_from(n, x);
    CONV(n, 5, 3, .pad = 1, .no_bias = true);
    net_concat(n, a);
    assert_int_equal(counted(n, 2, 4, 4).parameters, 6 + 90);
    assert_int_equal(net_layer_at(n, 2)->c, 8);
    net_sum(n, a);
    net_totals sum;
    assert_int_equal(net_count(n, 2, 4, 4, &sum), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "layer 3 (sum"));
    net_free(n);

    n = fresh();
    CONV(n, 4, 7);
    assert_int_equal(net_count(n, 1, 6, 6, &sum), DLF_ERR_SHAPE);
    net_free(n);
    n = fresh();
    CONV(n, 4, 1, .groups = 3);
    assert_int_equal(net_count(n, 4, 6, 6, &sum), DLF_ERR_SHAPE);
    net_free(n);
}

/* ---- what was published ---- */

static void every_network_has_its_published_parameters(void **state)
{
    for (int i = 0; i < n_net_infos; i++) {
        net_totals t;
        const net_info *n = &net_infos[i];
        OK(net_build(n, NULL, &t));
        if (t.parameters != n->parameters)
            fail_msg("%s: %lld, published %lld", n->name, (long long)t.parameters,
                     (long long)n->parameters);
        if (n->gmacs > 0 && !(fabs((double)t.macs / 1e9 - n->gmacs) <= n->last_digit))
            fail_msg("%s: %g 1e9 multiply-adds, published %g", n->name, (double)t.macs / 1e9,
                     n->gmacs);
    }
}

static void names_count_the_layers(void **state)
{
    static const struct {
        const char *id;
        int layers; /* of the name, and the 1x1 shortcuts that it leaves out */
    } depths[] = {{"vgg16", 16},          {"vgg19", 19},          {"alexnet", 8},
                  {"resnet18", 18 + 3},   {"resnet34", 34 + 3},   {"resnet50", 50 + 4},
                  {"resnet101", 101 + 4}, {"resnet152", 152 + 4}, {"densenet121", 121}};
    for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++) {
        net_totals t;
        OK(net_build(net_find(depths[i].id), NULL, &t));
        assert_int_equal(t.weighted, depths[i].layers);
    }
    net_totals t; /* LeCun et al. 1998; Keras counts the running statistics as parameters too */
    OK(net_build(net_find("lenet5_1998"), NULL, &t));
    assert_int_equal(t.connections, 340908);
    OK(net_build(net_find("mobilenet_v1"), NULL, &t));
    assert_int_equal(t.parameters + t.statistics, 4253864);
}

/* ---- as graphs ---- */

/* The graph's own count, and backward against differences, for each kind of block. */
static void lists_are_graphs(void **state)
{
    for (net_block block = 0; block < NET_BLOCKS; block++) {
        const net_shape shape = {1, 2, 1, 8, 8};
        net *n = fresh();
        dlf_graph *g = NULL;
        net_of_blocks(n, block, 5, 3);
        const net_totals sum = counted(n, 1, 8, 8);
        OK(net_graph_new(&g, kt_ref, n, &shape));
        assert_int_equal(dlf_graph_cost_of(g).forward_macs, 2 * sum.macs);
        OK(dlf_graph_initialise(g, 1, NULL));
        float x[128];
        for (int i = 0; i < 128; i++) x[i] = sinf((float)(i * i));
        OK(dlf_tensor_upload(dlf_graph_value(g, dlf_graph_find(g, "x")), x));
        OK(dlf_tensor_upload_i32(dlf_graph_value(g, dlf_graph_find(g, "label")),
                                 (int32_t[]){0, 2}));
        dlf_gradient_check c;
        OK(dlf_graph_check_gradients(g, 1, 1e-3, &c));
        if (!(c.worst <= 1e-5)) fail_msg("block %d: %g at %s", (int)block, c.worst, c.where);
        dlf_graph_free(g);
        net_free(n);
    }
}

static void widths_meet_the_budget(void **state)
{
    for (net_block block = 0; block < NET_BLOCKS; block++) {
        int width;
        int64_t step;
        OK(net_width_for(&width, &step, block, 90000, 8, 10));
        net *n = fresh();
        net_of_blocks(n, block, width, 10);
        const double off = fabs((double)counted(n, 1, 8, 8).macs - 90000.0);
        if (!(off <= 0.5 * (double)step && step < 30000))
            fail_msg("block %d, width %d: off by %g", (int)block, width, off);
        net_free(n);
    }
}

/* ---- closed forms of conv1x1 ---- */

static void taps_are_counted(void **state)
{
    for (int kernel = 1; kernel <= 7; kernel += 2)
        for (int side = 7; side <= 14; side += 7) {
            int inside = 0;
            for (int at = 0; at < side; at++)
                for (int t = -(kernel / 2); t <= kernel / 2; t++)
                    inside += at + t >= 0 && at + t < side;
            const double mean = (double)inside / side;
            assert_true(fabs(dlf_conv1x1_taps(kernel, side) - mean * mean) < 1e-12);
        }
    assert_true(dlf_conv1x1_permutation_law(1, 9) == 0.0);
    assert_true(fabs(dlf_conv1x1_permutation_law(3, 1000000) - sqrt(16.0 / 9)) < 1e-5);
    assert_true(fabs(dlf_conv1x1_mac_ratio(3, 256, 64) - 589824.0 / 69632.0) < 1e-12);
}

/* ---- small runs ---- */

static void run_small(const char *name, const dlf_setting *set, int n, const char *const *open_ones)
{
    const dlf_experiment *e = dlf_experiment_find(name);
    assert_non_null(e);
    const dlf_run_options options = {
        .device = kt_dev, .seed = 2, .seeds = 3, .set = set, .n_set = n, .command = "test"};
    dlf_result *r = NULL;
    OK(dlf_experiment_run(&r, e, &options));
    for (int i = 0; i < dlf_result_checks(r); i++) {
        const dlf_check *c = dlf_result_get_check(r, i);
        bool open = false; /* findings of training and timing: any verdict */
        for (const char *const *o = open_ones; *o; o++) open |= strcmp(*o, c->id) == 0;
        if (!open && c->verdict != DLF_SUPPORTED)
            fail_msg("%s: %s: %s, %g for %g +- %g", name, c->id, dlf_verdict_name(c->verdict),
                     c->measured, c->expected, c->tolerance);
    }
    dlf_result_free(r);
}

static void small_runs_support_their_claims(void **state)
{
    static const char *const findings28[] = {"blocks_learn",
                                             "blocks_locality",
                                             "blocks_residual",
                                             "convolution_wins",
                                             "residual_wins",
                                             "lenet5_trained",
                                             NULL};
    static const char *const findings15[] = {"speed_bound", "digits_equal", "digits_one", NULL};
    const dlf_setting set28[] = {{"digits_steps", "4"}, {"batch", "4"},     {"channels", "12"},
                                 {"rows", "64"},        {"data", "digits"}, {"side", "12"}};
    const dlf_setting set15[] = {
        {"digits_steps", "2"}, {"batch", "4"}, {"channels", "8"}, {"digits_width", "8"}};
    run_small("Q28", set28, 6, findings28);
    run_small("Q15", set15, 4, findings15);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_by_hand),
        cmocka_unit_test(pooling_rounds_up_where_asked),
        cmocka_unit_test(branches_join),
        cmocka_unit_test(every_network_has_its_published_parameters),
        cmocka_unit_test(names_count_the_layers),
        cmocka_unit_test(lists_are_graphs),
        cmocka_unit_test(widths_meet_the_budget),
        cmocka_unit_test(taps_are_counted),
        cmocka_unit_test(small_runs_support_their_claims),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
