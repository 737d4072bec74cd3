/* SPDX-License-Identifier: MIT
 * test_conv1x1_properties.c -- what must hold of the 1x1 convolution whatever the definition says:
 * folding, derivatives, the same bits again, weights packed beforehand, refusals. */
#include "conv1x1_case.h"

/* conv -> statistics -> fold -> conv with prologue is conv -> batch norm -> relu -> conv. */
static void folded_batch_norm_is_batch_norm(void **state)
{
    (void)state;
    const c1_case c = {.P = 2, .N = 3, .C = 12, .K = 16, .H = 5, .W = 5};
    const int64_t inner[] = {2, 3, 16, 5, 5}, back[] = {2, 16, 16}, row[] = {2, 16};
    side dev = {0}, ref = {0};
    build(&c, &dev, &ref);
    float *host = kt_random(2 * 16 * 16, 40, 0.25f, 0.0f);
    float *gamma = kt_random(2 * 16, 41, 0.3f, 1.0f), *beta = kt_random(2 * 16, 42, 0.3f, 0.0f);
    dlf_tensor w2 = kt_tensor_of(kt_dev, host, 3, back), tg = kt_tensor_of(kt_dev, gamma, 2, row);
    dlf_tensor tb = kt_tensor_of(kt_dev, beta, 2, row), scale = kt_tensor_of(kt_dev, NULL, 2, row);
    dlf_tensor shift = kt_tensor_of(kt_dev, NULL, 2, row);
    dlf_tensor fused = kt_tensor_of(kt_dev, NULL, 5, inner);
    dlf_tensor normed = kt_tensor_of(kt_dev, NULL, 5, inner);
    dlf_tensor plain = kt_tensor_of(kt_dev, NULL, 5, inner);
    dlf_conv1x1 conv = {.layout = DLF_NCHW};
    dlf_conv1x1_fwd first = forward_of(&c, &dev);
    first.mean = &dev.o[MEAN].t, first.var = &dev.o[VAR].t;
    OK(dlf_conv1x1_forward(&first, &conv));
    const dlf_norm norm = {.kind = DLF_BATCH_NORM, .eps = 1e-5, .activation = {DLF_RELU, 0.0}};
    const dlf_norm_fwd nf = {.y = &normed, .x = first.y, .gamma = &tg, .beta = &tb};
    OK(dlf_norm_forward(&nf, &norm));
    const dlf_conv1x1_fwd unfused = {.y = &plain, .x = &normed, .w = &w2};
    OK(dlf_conv1x1_forward(&unfused, &conv));
    OK(dlf_conv1x1_fold(&scale, &shift, first.mean, first.var, &tg, &tb, 1e-5));
    conv.input_activation = dlf_activation_of(DLF_RELU);
    const dlf_conv1x1_fwd second = {
        .y = &fused, .x = first.y, .w = &w2, .scale = &scale, .shift = &shift};
    OK(dlf_conv1x1_forward(&second, &conv));
    assert_true(kt_worst(&fused, &plain, 1e-5, 1e-5) <= 1.0);
    dlf_tensor *all[] = {&w2, &tg, &tb, &scale, &shift, &fused, &normed, &plain};
    for (int i = 0; i < 8; i++) dlf_tensor_free(all[i]);
    release(&dev), release(&ref);
    free(host), free(gamma), free(beta);
}

/* sum dz dy/dp = the derivative of sum dz y along p, by differences of the definition itself. */
static void gradients_are_derivatives(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        const c1_case c = {.P = 1,
                           .N = 2,
                           .C = 3,
                           .K = 4,
                           .H = 5,
                           .W = 4,
                           .stride = 2,
                           .bias = true,
                           .layout = (dlf_layout)layout};
        side dev = {0}, ref = {0};
        build(&c, &dev, &ref);
        const dlf_conv1x1 conv = options(&c);
        const dlf_conv1x1_fwd fwd = forward_of(&c, &ref);
        const dlf_conv1x1_bwd bwd = backward_of(&c, &ref);
        OK(dlf_conv1x1_backward(&bwd, &conv));
        dlf_tensor *const of[] = {&ref.o[X].t, &ref.o[W].t, &ref.o[BIAS].t};
        const dlf_tensor *const gradient[] = {bwd.dx, bwd.dw, bwd.dbias};
        const int64_t n_y = dlf_tensor_count(fwd.y);
        double y[2][64], dz[64];
        assert_true(n_y <= 64);
        OK(dlf_tensor_download_f64(dz, bwd.dz));
        for (int i = 0; i < 3; i++) {
            double value[128], analytic[128];
            const int64_t n = dlf_tensor_count(of[i]);
            assert_true(n <= 128);
            OK(dlf_tensor_download_f64(value, of[i]));
            OK(dlf_tensor_download_f64(analytic, gradient[i]));
            for (int64_t e = 0; e < n; e++) {
                const double was = value[e], h = 1e-3;
                for (int s = 0; s < 2; s++) {
                    value[e] = was + (s ? -h : h);
                    OK(dlf_tensor_upload_f64(of[i], value));
                    OK(dlf_conv1x1_forward(&fwd, &conv));
                    OK(dlf_tensor_download_f64(y[s], fwd.y));
                }
                value[e] = was;
                double slope = 0.0; /* y is linear in each of them: no error but rounding */
                for (int64_t k = 0; k < n_y; k++) slope += dz[k] * (y[0][k] - y[1][k]) / (2.0 * h);
                if (!(fabs(slope - analytic[e]) <= 1e-10 * (1.0 + fabs(slope))))
                    fail_msg("gradient %d [%lld]: %.12g, by differences %.12g", i, (long long)e,
                             analytic[e], slope);
            }
            OK(dlf_tensor_upload_f64(of[i], value));
        }
        release(&dev), release(&ref);
    }
}

static void same_bits_again(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        const c1_case c = {.P = 1,
                           .N = 3,
                           .C = 40,
                           .K = 50,
                           .H = 13,
                           .W = 13,
                           .bias = true,
                           .statistics = true,
                           .layout = (dlf_layout)layout};
        side dev = {0}, ref = {0};
        build(&c, &dev, &ref);
        const dlf_conv1x1 conv = options(&c);
        const dlf_conv1x1_fwd fwd = forward_of(&c, &dev);
        const dlf_conv1x1_bwd bwd = backward_of(&c, &dev);
        const dlf_tensor *const out[] = {fwd.y, fwd.mean, fwd.var, bwd.dx, bwd.dw, bwd.dbias};
        double *first[6], *again;
        const int threads = kt_dev->info.threads;
        for (int round = 0; round < 2; round++) {
            if (round && !is_cuda()) kt_dev->info.threads = 1; /* nor for any number of threads */
            OK(dlf_conv1x1_forward(&fwd, &conv));
            OK(dlf_conv1x1_backward(&bwd, &conv));
            for (int i = 0; i < 6; i++) {
                const size_t bytes = (size_t)dlf_tensor_count(out[i]) * sizeof(double);
                again = malloc(bytes);
                assert_non_null(again);
                OK(dlf_tensor_download_f64(again, out[i]));
                if (round == 0) {
                    first[i] = again;
                    continue;
                }
                assert_memory_equal(first[i], again, bytes);
                free(first[i]), free(again);
            }
        }
        kt_dev->info.threads = threads;
        release(&dev), release(&ref);
    }
}

/* What happens to w after packing does not show, until it is packed again. */
static void packed_weights_are_a_copy(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        const c1_case c = {.P = 2, .N = 2, .C = 9, .K = 11, .H = 4, .W = 4, .layout = layout};
        side dev = {0}, ref = {0};
        build(&c, &dev, &ref);
        const dlf_conv1x1 conv = options(&c);
        dlf_conv1x1_fwd io = forward_of(&c, &dev);
        dlf_tensor *w = &dev.o[W].t;
        dlf_conv1x1_packed packed = {.K = 0};
        OK(dlf_conv1x1_pack(&packed, w, conv.layout));
        OK(dlf_conv1x1_forward(&io, &conv));
        const written before = outputs_of(&io);
        float *other = kt_random(dlf_tensor_count(w), 99, 1.0f, 0.0f);
        OK(dlf_tensor_upload(w, other));
        OK(dlf_conv1x1_forward(&io, &conv));
        const written after = outputs_of(&io);
        const size_t bytes = (size_t)dlf_tensor_count(io.y) * sizeof(double);
        assert_memory_not_equal(before.v[0], after.v[0], bytes);
        io.w = NULL, io.packed = &packed;
        for (int again = 0; again < 2; again++) {
            if (again) OK(dlf_conv1x1_pack(&packed, w, conv.layout));
            OK(dlf_conv1x1_forward(&io, &conv));
            const written now = outputs_of(&io);
            assert_memory_equal(now.v[0], again ? after.v[0] : before.v[0], bytes);
            free(now.v[0]);
        }
        free(before.v[0]), free(after.v[0]), free(other);
        dlf_conv1x1_packed_free(&packed);
        release(&dev), release(&ref);
    }
    dlf_conv1x1_packed_free(NULL);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void refusals_say_why(void **state)
{
    (void)state;
    dlf_tensor x = kt_tensor(kt_dev, NULL, 2, 3, 4, 5, 5), w = kt_tensor(kt_dev, NULL, 2, 6, 4);
    dlf_tensor y = kt_tensor(kt_dev, NULL, 2, 3, 6, 5, 5), bad = kt_tensor(kt_dev, NULL, 2, 6, 5);
    const dlf_conv1x1 conv = {.layout = DLF_NCHW};
    dlf_conv1x1 other = conv;
    dlf_conv1x1_fwd io = {.y = &y, .x = &x, .w = &bad};
    assert_int_equal(dlf_conv1x1_forward(&io, &conv), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "w must be (P,K,4)"));
    io.w = &w;
    other.stride[0] = -1;
    assert_int_equal(dlf_conv1x1_forward(&io, &other), DLF_ERR_ARG);
    other = conv, other.stride[1] = 2;
    assert_int_equal(dlf_conv1x1_forward(&io, &other), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "y must be"));
    io.bias = &w;
    assert_int_equal(dlf_conv1x1_forward(&io, &conv), DLF_ERR_SHAPE);
    io.bias = NULL, io.y = NULL;
    assert_int_equal(dlf_conv1x1_forward(&io, &conv), DLF_ERR_ARG);
    io.y = &y;
    other = conv, other.version = 99;
    if (kt_dev->real == DLF_F32)
        assert_int_equal(dlf_conv1x1_forward(&io, &other), DLF_ERR_NO_KERNEL);
    dlf_conv1x1_bwd bwd = {.dz = &y, .x = &x};
    assert_int_equal(dlf_conv1x1_backward(&bwd, &conv), DLF_ERR_ARG);
    bwd.dx = &x;
    assert_int_equal(dlf_conv1x1_backward(&bwd, &conv), DLF_ERR_ARG);
    assert_non_null(strstr(dlf_error_message(), "w, which dx needs"));
    dlf_tensor_free(&x), dlf_tensor_free(&w), dlf_tensor_free(&y), dlf_tensor_free(&bad);
}

static void packed_weights_that_do_not_fit(void **state)
{
    (void)state;
    dlf_tensor x = kt_tensor(kt_dev, NULL, 2, 3, 4, 5, 5), w = kt_tensor(kt_dev, NULL, 2, 6, 4);
    dlf_tensor y = kt_tensor(kt_dev, NULL, 2, 3, 6, 5, 5), w3 = kt_tensor(kt_dev, NULL, 3, 6, 4);
    dlf_tensor w5 = kt_tensor(kt_dev, NULL, 2, 6, 5), w7 = kt_tensor(kt_dev, NULL, 2, 7, 4);
    const dlf_conv1x1 conv = {.layout = DLF_NCHW};
    dlf_conv1x1_packed packed = {.K = 0};
    dlf_conv1x1_fwd io = {.y = &y, .x = &x, .packed = &packed};
    assert_int_equal(dlf_conv1x1_pack(&packed, &x, DLF_NCHW), DLF_ERR_SHAPE); /* not 3 axes */
    assert_int_equal(dlf_conv1x1_pack(&packed, &w, (dlf_layout)7), DLF_ERR_ARG);
    assert_null(packed.t.data);
    assert_int_equal(dlf_conv1x1_forward(&io, &conv), DLF_ERR_SHAPE); /* never packed */
    assert_non_null(strstr(dlf_error_message(), "packed is not allocated"));
    OK(dlf_conv1x1_pack(&packed, &w, DLF_NCHW));
    OK(dlf_conv1x1_forward(&io, &conv));
    io.w = &w;
    assert_int_equal(dlf_conv1x1_forward(&io, &conv), DLF_ERR_ARG);
    assert_non_null(strstr(dlf_error_message(), "only one"));
    io.w = NULL;
    /* filled anew from another shape, for another layout */
    const dlf_tensor *const others[] = {&w3, &w5, &w7};
    for (int i = 0; i < 3; i++)
        assert_int_equal(dlf_conv1x1_pack(&packed, others[i], DLF_NCHW), DLF_ERR_SHAPE);
    assert_int_equal(dlf_conv1x1_pack(&packed, &w, DLF_NHWC), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "free it first"));
    /* used for another layout, depth, number of channels or of members */
    for (int i = 0; i < 3; i++) {
        dlf_conv1x1_packed other = {.K = 0};
        OK(dlf_conv1x1_pack(&other, others[i], DLF_NCHW));
        io.packed = &other;
        assert_int_equal(dlf_conv1x1_forward(&io, &conv), DLF_ERR_SHAPE);
        dlf_conv1x1_packed_free(&other);
    }
    dlf_conv1x1_packed last = {.K = 0};
    OK(dlf_conv1x1_pack(&last, &w, DLF_NHWC));
    io.packed = &last;
    assert_int_equal(dlf_conv1x1_forward(&io, &conv), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "packed is for NHWC"));
    dlf_conv1x1_packed_free(&last), dlf_conv1x1_packed_free(&packed);
    if (kt_dev->real == DLF_F32) { /* of another type */
        const int64_t shape[] = {2, 6, 4};
        dlf_tensor half;
        OK(dlf_tensor_init(&half, kt_dev, DLF_F16, 3, shape));
        OK(dlf_tensor_zero(&half));
        OK(dlf_conv1x1_pack(&packed, &half, DLF_NCHW));
        io.packed = &packed;
        assert_int_equal(dlf_conv1x1_forward(&io, &conv), DLF_ERR_SHAPE);
        dlf_conv1x1_packed_free(&packed), dlf_tensor_free(&half);
    }
    dlf_tensor *all[] = {&x, &y, &w, &w3, &w5, &w7};
    for (int i = 0; i < 6; i++) dlf_tensor_free(all[i]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folded_batch_norm_is_batch_norm),
        cmocka_unit_test(gradients_are_derivatives),
        cmocka_unit_test(same_bits_again),
        cmocka_unit_test(packed_weights_are_a_copy),
        cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(packed_weights_that_do_not_fit),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
