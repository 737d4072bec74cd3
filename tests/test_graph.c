/* SPDX-License-Identifier: MIT
 * test_graph.c -- the computational graph: every op's backward against central differences in
 * double, alone and where its gradients have to be summed; cpu and cuda against ref. The
 * rest of the graph: test_graph_plan.c. */
#include "graph_net.h"

/* ---- one small network per op ---------------------------------------------------------------- */

typedef dlf_node (*body)(net *n, dlf_node h);

static const double rates[P] = {0.0, 0.4, 0.7}, factors[P] = {0.5, -1.0, 2.0};

static dlf_node body_bias(net *n, dlf_node h)
{
    return dense(n, "d", h, N, DLF_LINEAR);
}
static dlf_node body_matmul_nn(net *n, dlf_node h)
{
    const dlf_node w = dlf_parameter(n->g, "w", 3, (int64_t[]){P, N, 6}, dlf_lecun());
    return dlf_matmul(n->g, "y", h, false, w, false, 0.7);
}
static dlf_node body_matmul_tt(net *n, dlf_node h)
{
    const dlf_node w = dlf_parameter(n->g, "w", 3, (int64_t[]){P, N, 6}, dlf_lecun());
    const dlf_node v = dlf_parameter(n->g, "v", 3, (int64_t[]){P, 4, 6}, dlf_lecun());
    const dlf_node turned = dlf_matmul(n->g, "turned", w, true, h, true, 1.3); /* (P,6,B) */
    return dlf_matmul(n->g, "y", turned, true, v, true, 1.0);                  /* (P,B,4) */
}
static dlf_node body_matmul_self(net *n, dlf_node h)
{
    return dlf_matmul(n->g, "gram", h, false, h, true, 1.0); /* both gradients go to h: (P,B,B) */
}
static dlf_node body_relu(net *n, dlf_node h)
{
    return dlf_activate(n->g, "f", h, dlf_activation_of(DLF_RELU));
}
static dlf_activation_kind any_kind; /* set by the test that goes through all of them */
static dlf_node body_any_kind(net *n, dlf_node h)
{
    return dlf_activate(n->g, "f", h, dlf_activation_of(any_kind));
}
static dlf_node body_sigmoid_of_tanh(net *n, dlf_node h)
{
    const dlf_node a = dlf_activate(n->g, "f", h, dlf_activation_of(DLF_TANH));
    return dlf_activate(n->g, "s", a, dlf_activation_of(DLF_SIGMOID));
}
static dlf_node body_add(net *n, dlf_node h)
{
    const dlf_node a = dense(n, "a", h, N, DLF_TANH);
    return dlf_add(n->g, "sum", a, h);
}
static dlf_node body_add_self(net *n, dlf_node h)
{
    return dlf_add(n->g, "sum", h, h);
}
static dlf_node body_product(net *n, dlf_node h)
{
    const dlf_node a = dense(n, "a", h, N, DLF_SIGMOID), b = dense(n, "b", h, N, DLF_TANH);
    return dlf_product(n->g, "gated", a, b);
}
static dlf_node body_square(net *n, dlf_node h)
{
    return dlf_product(n->g, "square", h, h);
}
static dlf_node body_scale(net *n, dlf_node h)
{
    const dlf_node s = dlf_hyper(n->g, "s", factors);
    return dlf_add(n->g, "res", h,
                   dlf_scale(n->g, "scaled", dense(n, "a", h, N, DLF_TANH), s, 0.5));
}
static dlf_node body_concat(net *n, dlf_node h)
{
    return dlf_concat(n->g, "cat", dense(n, "a", h, 3, DLF_TANH), h);
}
static dlf_node body_columns(net *n, dlf_node h)
{
    const dlf_node left = dlf_columns(n->g, "left", h, 0, 3),
                   right = dlf_columns(n->g, "right", h, 2, 6);
    return dlf_concat(n->g, "cat", left,
                      right); /* column 2 is in both, so gradients add up there */
}
static dlf_node body_view(net *n, dlf_node h)
{
    const dlf_node v = dlf_view(n->g, "v", h, 3, (int64_t[]){P, 2 * B, N / 2});
    const dlf_node a = dense(n, "a", v, N / 2, DLF_TANH);
    return dlf_view(n->g, "back", a, 3, (int64_t[]){P, B, N});
}
static dlf_node body_view_shared(net *n, dlf_node h)
{
    const dlf_node v = dlf_view(n->g, "v", h, 3, (int64_t[]){P, B, N});
    return dlf_product(n->g, "square", v, h); /* the view's gradient and h's own meet */
}
static dlf_node norm_body(net *n, dlf_node h, dlf_norm_kind kind, dlf_activation_kind f)
{
    const dlf_norm norm = {.kind = kind,
                           .groups = 2,
                           .eps = 1e-3,
                           .momentum = 0.1,
                           .activation = dlf_activation_of(f)};
    return dlf_norm_layer(n->g, "norm", h, norm);
}
static dlf_node body_batch_norm(net *n, dlf_node h)
{
    return norm_body(n, h, DLF_BATCH_NORM, DLF_LINEAR);
}
static dlf_node body_layer_norm(net *n, dlf_node h)
{
    return norm_body(n, h, DLF_LAYER_NORM, DLF_SILU);
}
static dlf_node body_group_norm(net *n, dlf_node h)
{
    return norm_body(n, h, DLF_GROUP_NORM, DLF_TANH);
}
static dlf_node body_rms_norm(net *n, dlf_node h)
{
    return norm_body(n, h, DLF_RMS_NORM, DLF_LINEAR);
}
static dlf_node body_instance_norm(net *n, dlf_node h)
{
    const dlf_node v = dlf_view(n->g, "v", h, 4, (int64_t[]){P, B, 2, N / 2});
    const dlf_node y = norm_body(n, v, DLF_INSTANCE_NORM, DLF_LINEAR);
    return dlf_view(n->g, "back", y, 3, (int64_t[]){P, B, N});
}
static dlf_node body_norm_residual(net *n, dlf_node h)
{
    const dlf_norm norm = {
        .kind = DLF_LAYER_NORM, .eps = 1e-3, .activation = dlf_activation_of(DLF_TANH)};
    return dlf_normalise(n->g, "norm", dense(n, "a", h, N, DLF_LINEAR), none, none, h, norm);
}
static dlf_node body_norm_of_itself(net *n, dlf_node h)
{
    const dlf_norm norm = {.kind = DLF_LAYER_NORM, .eps = 1e-3};
    return dlf_normalise(n->g, "norm", h, none, none, h, norm); /* dx and dresidual meet */
}
static dlf_node body_norm_of_input(net *n, dlf_node h)
{
    const dlf_norm norm = {.kind = DLF_LAYER_NORM, .eps = 1e-3};
    return dlf_add(n->g, "sum", h, dlf_norm_layer(n->g, "norm", n->x, norm)); /* nobody wants dx */
}
static dlf_node pool_body(net *n, dlf_node h, dlf_pool_kind kind)
{
    const dlf_pool pool = {kind, DLF_NCHW, {2, 2}, {1, 2}, {0, 1}, false};
    const dlf_node v = dlf_view(n->g, "v", h, 5, (int64_t[]){P, B, 1, 2, 4});
    const dlf_node y = dlf_pooling(n->g, "pool", v, pool); /* (P,B,1,1,3) */
    return dlf_view(n->g, "back", y, 3, (int64_t[]){P, B, 3});
}
static dlf_node body_pool_max(net *n, dlf_node h)
{
    return pool_body(n, h, DLF_POOL_MAX);
}
static dlf_node body_pool_average(net *n, dlf_node h)
{
    return pool_body(n, h, DLF_POOL_AVERAGE);
}
/* Twice the same kernels: the gradients of w and b add up. */
static dlf_node conv_body(net *n, dlf_node h, dlf_layout layout, int64_t groups)
{
    const bool nchw = layout == DLF_NCHW;
    const int64_t image[5] = {P, B, 2, 2, 2}; /* two channels of 2x2, or 2x2 of two channels */
    dlf_conv conv = {layout, {3, 2}, {1, 1}, {1, 0}, {1, 1}, groups};
    const int64_t each = 2 / groups,
                  w_shape[5] = {P, 2, nchw ? each : 3, nchw ? 3 : 2, nchw ? 2 : each};
    const dlf_node w = dlf_parameter(n->g, "w", 5, w_shape, dlf_lecun());
    const dlf_node b = dlf_parameter(n->g, "b", 2, (int64_t[]){P, 2}, dlf_init_normal(0.1));
    dlf_node y = dlf_view(n->g, "image", h, 5, image);
    y = dlf_convolve_bias(n->g, "conv1", y, w, b, conv); /* 2x1 */
    y = dlf_activate(n->g, "f", y, dlf_activation_of(DLF_TANH));
    conv.pad[1] = 1;
    y = dlf_convolve_bias(n->g, "conv2", y, w, b, conv); /* 2x2 */
    return dlf_add(n->g, "sum", dlf_view(n->g, "back", y, 3, (int64_t[]){P, B, 8}), h);
}
static dlf_node body_conv_nchw(net *n, dlf_node h)
{
    return conv_body(n, h, DLF_NCHW, 1);
}
static dlf_node body_conv_nhwc(net *n, dlf_node h)
{
    return conv_body(n, h, DLF_NHWC, 1);
}
static dlf_node body_conv_groups(net *n, dlf_node h)
{
    return conv_body(n, h, DLF_NCHW, 2);
}
static dlf_node body_conv_layer(net *n, dlf_node h)
{
    const dlf_conv conv = {DLF_NHWC, {2, 2}, {2, 1}, {1, 1}, {1, 2}, 2};
    const dlf_node x = dlf_view(n->g, "image", h, 5, (int64_t[]){P, B, 1, 2, 4}); /* to 1x2x6 */
    const dlf_node y =
        dlf_conv_layer(n->g, "conv", x, 6, conv, dlf_activation_of(DLF_SIGMOID), dlf_lecun());
    return dlf_view(n->g, "back", y, 3, (int64_t[]){P, B, 12});
}
static dlf_node body_embed(net *n, dlf_node h)
{
    const dlf_node table = dlf_parameter(n->g, "table", 3, (int64_t[]){P, 4, N}, dlf_lecun());
    return dlf_product(n->g, "mixed", h, dlf_embed(n->g, "e", table, n->index));
}
static dlf_node body_drop(net *n, dlf_node h)
{
    return dlf_drop(n->g, "drop", h, dlf_hyper(n->g, "rate", rates), true);
}
/* DropConnect: the mask is on the weights, and its backward on their gradient. */
static dlf_node body_drop_weights(net *n, dlf_node h)
{
    const dlf_node w = dlf_parameter(n->g, "w", 3, (int64_t[]){P, N, N}, dlf_lecun());
    const dlf_node kept = dlf_drop(n->g, "drop", w, dlf_hyper(n->g, "rate", rates), true);
    return dlf_matmul(n->g, "y", h, false, kept, true, 1.0);
}
static dlf_node body_shared_weights(net *n, dlf_node h)
{
    const dlf_node w = dlf_parameter(n->g, "w", 3, (int64_t[]){P, N, N}, dlf_lecun());
    const dlf_node b = dlf_parameter(n->g, "b", 2, (int64_t[]){P, N}, dlf_init_constant(0.1));
    for (int t = 0; t < 3; t++) { /* a recurrent network: one w, three uses */
        h = dlf_bias(n->g, NULL, dlf_matmul(n->g, NULL, h, false, w, true, 1.0), b);
        h = dlf_activate(n->g, NULL, h, dlf_activation_of(DLF_TANH));
    }
    return h;
}
static dlf_node body_shared_norm(net *n, dlf_node h)
{
    const dlf_norm norm = {.kind = DLF_LAYER_NORM, .eps = 1e-3};
    const dlf_node gamma =
        dlf_parameter(n->g, "gamma", 2, (int64_t[]){P, N}, dlf_init_constant(1.0));
    const dlf_node once = dlf_normalise(n->g, "n1", h, gamma, none, none, norm);
    const dlf_node a = dlf_activate(n->g, "f", once, dlf_activation_of(DLF_TANH));
    return dlf_normalise(n->g, "n2", a, gamma, none, none, norm); /* gamma's gradients are summed */
}

static const struct {
    const char *name;
    body make;
} bodies[] = {
    {"bias", body_bias},
    {"matmul nn", body_matmul_nn},
    {"matmul tt", body_matmul_tt},
    {"matmul self", body_matmul_self},
    {"relu", body_relu},
    {"sigmoid of tanh", body_sigmoid_of_tanh},
    {"add", body_add},
    {"add self", body_add_self},
    {"product", body_product},
    {"square", body_square},
    {"scale", body_scale},
    {"concat", body_concat},
    {"columns", body_columns},
    {"view", body_view},
    {"view shared", body_view_shared},
    {"batch norm", body_batch_norm},
    {"layer norm", body_layer_norm},
    {"group norm", body_group_norm},
    {"rms norm", body_rms_norm},
    {"instance norm", body_instance_norm},
    {"norm with residual", body_norm_residual},
    {"norm of itself", body_norm_of_itself},
    {"norm of an input", body_norm_of_input},
    {"max pool", body_pool_max},
    {"average pool", body_pool_average},
    {"convolution nchw", body_conv_nchw},
    {"convolution nhwc", body_conv_nhwc},
    {"convolution in groups", body_conv_groups},
    {"convolution layer", body_conv_layer},
    {"embedding", body_embed},
    {"dropout", body_drop},
    {"dropconnect", body_drop_weights},
    {"shared weights", body_shared_weights},
    {"shared norm", body_shared_norm},
};
enum { BODIES = sizeof bodies / sizeof bodies[0], LOSSES = DLF_LOSS_COUNT + 1 };

/* x -> dense -> body -> dense -> loss; the last of LOSSES is cross-entropy. */
static net build(dlf_device *dev, body make, int loss)
{
    net n = {0};
    OK(dlf_graph_new(&n.g, dev, P));
    n.x = dlf_input(n.g, "x", 3, (int64_t[]){P, B, N});
    n.label = dlf_input_int(n.g, "label", 2, (int64_t[]){P, B});
    n.index = dlf_input_int(n.g, "index", 2, (int64_t[]){1, B});
    dlf_node y = make(&n, dense(&n, "first", n.x, N, DLF_TANH));
    y = dense(&n, "logits", y, 4, DLF_LINEAR);
    if (loss == DLF_LOSS_COUNT) {
        dlf_graph_minimise(n.g, dlf_cross_entropy(n.g, "loss", y, n.label), 1.0 / B);
    } else {
        n.target = dlf_input(n.g, "target", 3, (int64_t[]){P, B, 4});
        const dlf_loss l = {(dlf_loss_kind)loss, 0.8};
        dlf_graph_minimise(n.g, dlf_row_loss(n.g, "loss", y, n.target, l), 0.3);
    }
    OK(dlf_graph_compile(n.g));
    return n;
}

static void fill(net *n, uint32_t stream)
{
    float *x = kt_random(P * B * N, stream, 1.0f, 0.2f);
    OK(dlf_tensor_upload(dlf_graph_value(n->g, n->x), x));
    int32_t label[P * B], index[B];
    for (int i = 0; i < P * B; i++) label[i] = (i * 7 + i / 3) % 4;
    for (int i = 0; i < B; i++) index[i] = i * i % 4;
    OK(dlf_tensor_upload_i32(dlf_graph_value(n->g, n->label), label));
    OK(dlf_tensor_upload_i32(dlf_graph_value(n->g, n->index), index));
    if (n->target.id) {
        float t[P * B * 4];
        for (int i = 0; i < P * B * 4; i++) t[i] = x[i] > 0.2f ? 1.0f : -1.0f; /* fits hinge, too */
        OK(dlf_tensor_upload(dlf_graph_value(n->g, n->target), t));
    }
    free(x);
    OK(dlf_graph_initialise(n->g, 11, NULL));
}

/* Four-point differences in double from h = 1e-3 down to 1e-6: truncation ~ h^4 relative,
 * cancellation 1e-16/h of the objective, kinks (relu, hinge, max pooling) only within h of one; at
 * the best step these leave 1e-8, and 1e-7 beside a kink. */
static void check_gradient(body make, const char *name, int loss)
{
    net n = build(kt_ref, make, loss);
    fill(&n, 3);
    dlf_gradient_check c;
    OK(dlf_graph_check_gradients(n.g, 3, 1e-3, &c));
    if (!(c.worst < 1e-7)) fail_msg("%s, loss %d: %g at %s", name, loss, c.worst, c.where);
    assert_true(c.directions >= 4 * 3 * P);
    dlf_graph_free(n.g);
}

static void every_op_agrees_with_finite_differences(void **state)
{
    (void)state;
    for (int i = 0; i < BODIES; i++) check_gradient(bodies[i].make, bodies[i].name, DLF_LOSS_COUNT);
    for (int loss = 0; loss < LOSSES; loss++) check_gradient(body_relu, "relu", loss);
    for (int kind = 0; kind < DLF_ACTIVATION_COUNT; kind++) {
        any_kind = (dlf_activation_kind)kind;
        check_gradient(body_any_kind, dlf_activation_name(any_kind), DLF_LOSS_COUNT);
    }
}

/* A gradient that is wrong by one part in ten thousand is noticed: a seed adds to backward what the
 * objective does not have. */
static void gradient_check_notices_a_wrong_gradient(void **state)
{
    (void)state;
    for (int wrong = 0; wrong < 2; wrong++) {
        dlf_graph *g;
        OK(dlf_graph_new(&g, kt_ref, 1));
        const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){1, 4, 8});
        const dlf_node label = dlf_input_int(g, "label", 2, (int64_t[]){1, 4});
        const dlf_node h = dlf_dense(g, "h", x, 6, dlf_activation_of(DLF_TANH), dlf_lecun());
        const dlf_node y = dlf_dense(g, "y", h, 3, dlf_activation_of(DLF_LINEAR), dlf_lecun());
        dlf_graph_minimise(g, dlf_cross_entropy(g, "loss", y, label), 0.25);
        dlf_graph_seed(g, y);
        OK(dlf_graph_compile(g));
        OK(dlf_graph_initialise(g, 4, NULL));
        float *random = kt_random(32, 3, 1.0f, 0.0f), seed[12];
        for (int i = 0; i < 12; i++) seed[i] = wrong ? 1e-5f * (float)(i % 5 - 2) : 0.0f;
        OK(dlf_tensor_upload(dlf_graph_value(g, x), random));
        OK(dlf_tensor_upload_i32(dlf_graph_value(g, label), (int32_t[]){0, 2, 1, 2}));
        OK(dlf_tensor_upload(dlf_graph_seed_gradient(g, y), seed));
        free(random);
        dlf_gradient_check c;
        OK(dlf_graph_check_gradients(g, 3, 1e-3, &c));
        assert_true(wrong ? c.worst > 1e-5 : c.worst < 1e-8);
        dlf_graph_free(g);
    }
}

/* ---- devices ----------------------------------------------------------------------------------
 */

static void run(net *n, double *objective)
{
    fill(n, 3);
    OK(dlf_graph_forward(n->g, DLF_TRAINING));
    OK(dlf_graph_objective(n->g, objective));
    OK(dlf_graph_backward(n->g));
}

/* float32 against double through four layers: some hundred roundings of 6e-8, amplified by the
 * norms' 1/sd up to 30: 3e-5 of the largest gradient. */
static void device_agrees_with_ref(void **state)
{
    (void)state;
    for (int i = 0; i < BODIES; i++) {
        net a = build(kt_dev, bodies[i].make, DLF_LOSS_COUNT);
        net b = build(kt_ref, bodies[i].make, DLF_LOSS_COUNT);
        double la[P], lb[P];
        run(&a, la);
        run(&b, lb);
        for (int p = 0; p < P; p++)
            if (!(fabs(la[p] - lb[p]) <= 3e-6 * fabs(lb[p])))
                fail_msg("%s: objective %.9g, ref %.9g", bodies[i].name, la[p], lb[p]);
        const double worst =
            kt_worst(dlf_graph_gradients(a.g), dlf_graph_gradients(b.g), 3e-6, 3e-5);
        if (!(worst <= 1.0)) fail_msg("%s: gradient off by %g x tolerance", bodies[i].name, worst);
        dlf_graph_free(a.g);
        dlf_graph_free(b.g);
    }
}

/* The plan reuses memory; with every value and gradient kept it cannot. Same bits both ways. */
static void reuse_changes_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < BODIES; i++) {
        net a = build(kt_dev, bodies[i].make, DLF_LOSS_COUNT), b = {0};
        OK(dlf_graph_new(&b.g, kt_dev, P));
        b.x = dlf_input(b.g, "x", 3, (int64_t[]){P, B, N});
        b.label = dlf_input_int(b.g, "label", 2, (int64_t[]){P, B});
        b.index = dlf_input_int(b.g, "index", 2, (int64_t[]){1, B});
        dlf_node y = bodies[i].make(&b, dense(&b, "first", b.x, N, DLF_TANH));
        y = dense(&b, "logits", y, 4, DLF_LINEAR);
        dlf_graph_minimise(b.g, dlf_cross_entropy(b.g, "loss", y, b.label), 1.0 / B);
        for (int id = 1; id <= dlf_graph_nodes(b.g); id++) {
            const dlf_node_info info = dlf_graph_node(b.g, (dlf_node){id});
            if (strcmp(info.op, "input") == 0 || strcmp(info.op, "hyper") == 0 || info.parameter ||
                strcmp(info.op, "cross_entropy") == 0)
                continue;
            dlf_want_value(b.g, (dlf_node){id});
            dlf_want_gradient(b.g, (dlf_node){id});
        }
        OK(dlf_graph_compile(b.g));
        double la[P], lb[P];
        run(&a, la);
        run(&b, lb);
        assert_memory_equal(la, lb, sizeof la);
        assert_true(kt_worst(dlf_graph_gradients(a.g), dlf_graph_gradients(b.g), 0.0, 1e-300) ==
                    0.0);
        const dlf_graph_memory ma = dlf_graph_memory_of(a.g), mb = dlf_graph_memory_of(b.g);
        assert_true(ma.planned < mb.planned);
        dlf_graph_free(a.g);
        dlf_graph_free(b.g);
    }
}

/* Members do not see each other: a NaN in one member's weights stays there. */
static void members_are_independent(void **state)
{
    (void)state;
    net n = build(kt_dev, body_product, DLF_LOSS_COUNT);
    double clean[P], poisoned[P];
    run(&n, clean);
    dlf_tensor *w = dlf_graph_parameters(n.g);
    dlf_tensor second = dlf_tensor_slice(w, 1, 1);
    float *nan = malloc((size_t)w->shape[1] * sizeof *nan);
    assert_non_null(nan);
    for (int64_t i = 0; i < w->shape[1]; i++) nan[i] = NAN;
    OK(dlf_tensor_upload(&second, nan));
    free(nan);
    OK(dlf_graph_forward(n.g, DLF_TRAINING));
    OK(dlf_graph_objective(n.g, poisoned));
    OK(dlf_graph_backward(n.g));
    assert_true(poisoned[0] == clean[0] && isnan(poisoned[1]) && poisoned[2] == clean[2]);
    double *g = malloc((size_t)dlf_tensor_count(w) * sizeof *g);
    assert_non_null(g);
    OK(dlf_tensor_download_f64(g, dlf_graph_gradients(n.g)));
    for (int64_t i = 0; i < w->shape[1]; i++)
        assert_true(isfinite(g[i]) && isfinite(g[2 * w->shape[1] + i]));
    free(g);
    dlf_graph_free(n.g);
}

static void printing_names_every_node(void **state)
{
    (void)state;
    net n = build(kt_dev, body_scale, DLF_LOSS_COUNT);
    for (int dot = 0; dot < 2; dot++) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        assert_non_null(out);
        OK(dot ? dlf_graph_print_dot(n.g, out) : dlf_graph_print(n.g, out));
        fclose(out);
        for (int id = 1; id <= dlf_graph_nodes(n.g); id++)
            assert_non_null(strstr(text, dlf_graph_node(n.g, (dlf_node){id}).name));
        assert_non_null(strstr(text, dot ? "digraph" : "lower bound"));
        free(text);
    }
    dlf_graph_free(n.g);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_agrees_with_finite_differences),
        cmocka_unit_test(gradient_check_notices_a_wrong_gradient),
        cmocka_unit_test(device_agrees_with_ref),
        cmocka_unit_test(reuse_changes_nothing),
        cmocka_unit_test(members_are_independent),
        cmocka_unit_test(printing_names_every_node),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
