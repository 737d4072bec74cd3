/* SPDX-License-Identifier: MIT
 * test_hidden_layers.c -- Q17: closed forms and estimators against independent arithmetic, and a
 * small run. */
#include "kernel_test.h"

#include "dlf/experiment.h"
#include "dlf/theory.h"
#include "experiments/hidden_layers.h"

/* ---- unconstrained features ---- */

static double loss_of_margin(int C, int n, double decay, double m)
{
    return log1p((C - 1) * exp(-m)) + decay * (C - 1) * sqrt(n) * m;
}

static void margin_is_where_the_loss_is_least(void **state)
{
    static const double decays[] = {1e-4, 1e-3, 5e-3, 0.02, 0.0223};
    for (int i = 0; i < 5; i++) {
        const double m = dlf_unconstrained_margin(10, 20, decays[i]), h = 1e-3;
        assert_true(m > 0.0);
        const double here = loss_of_margin(10, 20, decays[i], m);
        assert_true(here < loss_of_margin(10, 20, decays[i], m + h));
        assert_true(here < loss_of_margin(10, 20, decays[i], m - h));
    }
    const double threshold = dlf_unconstrained_threshold(10, 20);
    assert_true(fabs(threshold - 1.0 / (10.0 * sqrt(20.0))) < 1e-15);
    assert_true(dlf_unconstrained_margin(10, 20, 1.001 * threshold) == 0.0);
    assert_true(dlf_unconstrained_margin(10, 20, 0.999 * threshold) > 0.0);
}

/* m_c = e_c - mean in R^C: a simplex. Scaled so that the margin of W h is m where h = W / sqrt(n).
 */
static double corner(int C, int c, int d, double m, int n)
{
    const double scale = sqrt(m * sqrt(n));
    return scale * ((c == d) - 1.0 / C);
}

/* The simplex of the closed form, in a graph: the gradient is minus the decay of the parameters. */
static void the_simplex_is_a_stationary_point(void **state)
{
    enum { C = 4, N = 3, ROWS = C * N, W = C * C, SIZE = ROWS * C + W + C };
    const double decay = 0.02, m = dlf_unconstrained_margin(C, N, decay);
    dlf_graph *g = NULL;
    double theta[SIZE] = {0}, gradient[SIZE], objective;
    OK(dlf_unconstrained_new(&g, kt_ref, &(dlf_unconstrained){1, C, N, C}));
    assert_true(dlf_graph_parameters(g)->shape[1] == SIZE);
    for (int i = 0; i < ROWS; i++)
        for (int d = 0; d < C; d++) theta[i * C + d] = corner(C, i % C, d, m, N) / sqrt(N);
    for (int c = 0; c < C; c++)
        for (int d = 0; d < C; d++) theta[ROWS * C + c * C + d] = corner(C, c, d, m, N);
    OK(dlf_tensor_upload_f64(dlf_graph_parameters(g), theta));
    OK(dlf_graph_forward(g, DLF_TRAINING));
    OK(dlf_graph_backward(g));
    OK(dlf_tensor_download_f64(gradient, dlf_graph_gradients(g)));
    double square = 0.0;
    for (int i = 0; i < SIZE; i++) {
        square += theta[i] * theta[i];
        assert_true(fabs(gradient[i] + decay * theta[i]) < 1e-12);
    }
    OK(dlf_graph_objective(g, &objective));
    assert_true(fabs(objective + 0.5 * decay * square - loss_of_margin(C, N, decay, m)) < 1e-12);
    dlf_graph_free(g);
}

/* ---- collapse ---- */

static void a_simplex_is_collapsed(void **state)
{
    enum { C = 5, D = 7, N = 4 };
    float h[C * N * D] = {0}, w[C * D] = {0};
    int32_t label[C * N];
    double gram[C * C];
    dlf_collapse k;
    for (int i = 0; i < C * N; i++) {
        label[i] = i % C;
        for (int d = 0; d < C; d++) h[i * D + d] = (float)corner(C, i % C, d, 1.0, 1) + 3.0f;
    }
    for (int c = 0; c < C; c++)
        for (int d = 0; d < C; d++) w[c * D + d] = (float)(2.0 * corner(C, c, d, 1.0, 1));
    OK(dlf_collapse_of(&k, gram, h, label, C * N, D, C, w));
    assert_true(fabs(k.mean_cosine + 0.25) < 1e-6 && k.spread < 1e-6 && k.lengths < 1e-6);
    assert_true(k.within < 1e-12 && k.fuzziness < 1e-12 && k.alignment < 1e-6);
    for (int i = 0; i < C * C; i++) assert_true(fabs(gram[i] - (i % (C + 1) ? -0.25 : 1)) < 1e-6);
    for (int i = 0; i < C * D; i++) w[i] = -w[i];
    OK(dlf_collapse_of(&k, NULL, h, label, C * N, D, C, w));
    assert_true(fabs(k.alignment - 2.0) < 1e-6);
}

/* Four means on a cross: no simplex, but their cosines have the simplex' mean. */
static void the_mean_cosine_does_not_tell(void **state)
{
    const float h[] = {1, 0, -1, 0, 0, 1, 0, -1};
    const int32_t label[] = {0, 1, 2, 3};
    dlf_collapse k;
    OK(dlf_collapse_of(&k, NULL, h, label, 4, 2, 4, NULL));
    assert_true(fabs(k.mean_cosine + 1.0 / 3.0) < 1e-12);
    assert_true(fabs(k.spread - sqrt(2.0 / 9.0)) < 1e-12);
    assert_true(isnan(k.alignment));
}

/* Against S_B^+ from the eigenvectors of S_B itself, (D,D). */
static void fuzziness_uses_the_pseudo_inverse(void **state)
{
    enum { C = 3, D = 6, ROWS = 30 };
    float h[ROWS * D];
    int32_t label[ROWS];
    double mean[C * D] = {0}, centre[D] = {0}, sw[D * D] = {0}, sb[D * D] = {0};
    double value[D], vector[D * D], want = 0.0, trace_w = 0.0, trace_b = 0.0;
    for (int i = 0; i < ROWS; i++) {
        label[i] = i % C;
        for (int d = 0; d < D; d++) {
            h[i * D + d] = dlf_rng_normal(7, 0, 0, (uint64_t)(i * D + d)) * (float)(1 + d) +
                           (d == label[i] ? 4.0f : 0.0f);
            mean[label[i] * D + d] += h[i * D + d] / (ROWS / C);
        }
    }
    for (int c = 0; c < C; c++)
        for (int d = 0; d < D; d++) centre[d] += mean[c * D + d] / C;
    for (int a = 0; a < D; a++)
        for (int b = 0; b < D; b++) {
            for (int i = 0; i < ROWS; i++)
                sw[a * D + b] += (h[i * D + a] - mean[label[i] * D + a]) *
                                 (h[i * D + b] - mean[label[i] * D + b]) / ROWS;
            for (int c = 0; c < C; c++)
                sb[a * D + b] += (mean[c * D + a] - centre[a]) * (mean[c * D + b] - centre[b]) / C;
        }
    for (int d = 0; d < D; d++) {
        trace_w += sw[d * D + d];
        trace_b += sb[d * D + d];
    }
    dlf_symmetric_eigen(sb, D, value, vector);
    for (int k = 0; k < C - 1; k++)
        for (int a = 0; a < D; a++)
            for (int b = 0; b < D; b++)
                want += vector[k * D + a] * sw[a * D + b] * vector[k * D + b] / value[k];
    dlf_collapse k;
    OK(dlf_collapse_of(&k, NULL, h, label, ROWS, D, C, NULL));
    assert_true(fabs(k.fuzziness / want - 1.0) < 1e-6);
    assert_true(fabs(k.within / (trace_w / trace_b) - 1.0) < 1e-6);
    assert_true(dlf_collapse_of(&k, NULL, h, label, ROWS, D, 1, NULL) == DLF_ERR_ARG);
}

/* ---- ridge ---- */

static void linear_share_of_known_maps(void **state)
{
    enum { TRAIN = 200, TEST = 100, ROWS = TRAIN + TEST, D = 3 };
    float h[ROWS * D], y[ROWS * 2], copy[ROWS * D];
    double share;
    for (int i = 0; i < ROWS * D; i++) h[i] = 5.0f + dlf_rng_normal(3, 0, 0, (uint64_t)i);
    for (int i = 0; i < ROWS; i++) {
        y[2 * i] = 1.0f + 2.0f * h[i * D] - h[i * D + 1];
        y[2 * i + 1] = 4.0f * h[i * D + 2];
    }
    OK(dlf_linear_share(&share, h, D, y, 2, TRAIN, TEST, 0.0));
    assert_true(fabs(share - 1.0) < 1e-6);
    /* one feature of mean square 1: ridge shrinks the coefficient to 1/(1 + lambda) */
    for (int i = 0; i < ROWS; i++) y[i] = h[i] = i % 2 ? 1.0f : -1.0f;
    OK(dlf_linear_share(&share, h, 1, y, 1, TRAIN, TEST, 0.25));
    assert_true(fabs(share - (1.0 - 0.04)) < 1e-6);
    /* noise explains nothing */
    for (int i = 0; i < ROWS; i++) y[i] = dlf_rng_normal(4, 0, 0, (uint64_t)i);
    OK(dlf_linear_share(&share, h, 1, y, 1, TRAIN, TEST, 1e-3));
    assert_true(fabs(share) < 0.05);
    memcpy(copy, h, sizeof h);
    for (int i = 0; i < ROWS; i++) copy[i] = 3.0f * h[i] + 7.0f;
    dlf_standardise(copy, 1, TRAIN, TEST);
    for (int i = 0; i < ROWS; i++) assert_true(fabsf(copy[i] - h[i]) < 1e-5f);
}

/* ---- a small run ---- */

static void small_run_supports_its_claims(void **state)
{
    static const char *const wrong[] = {"mean_cosine", "digits_plain"}; /* sentences that fail */
    static const char *const open[] = {"digits_", "probe_", "law_", "pixels_", "fashion_"};
    const dlf_experiment *e = dlf_experiment_find("Q17");
    assert_non_null(e);
    assert_string_equal(e->slug, "hidden-layers");
    const dlf_setting set[] = {{"width", "256"},       {"nets", "200"},
                               {"deep_width", "256"},  {"descent_steps", "400"},
                               {"digits_width", "16"}, {"digits_depth", "2"},
                               {"steps", "20"},        {"fit_steps", "20"}};
    const dlf_run_options options = {.device = kt_dev,
                                     .seed = 3,
                                     .seeds = 4,
                                     .set = set,
                                     .n_set = sizeof set / sizeof set[0],
                                     .command = "test"};
    dlf_result *r = NULL;
    OK(dlf_experiment_run(&r, e, &options));
    for (int i = 0; i < dlf_result_checks(r); i++) {
        const dlf_check *c = dlf_result_get_check(r, i);
        bool asked = true, fails = false; /* 20 steps on the digits show nothing */
        for (int k = 0; k < 5; k++) asked = asked && strncmp(c->id, open[k], strlen(open[k])) != 0;
        for (int k = 0; k < 2; k++) fails = fails || strcmp(c->id, wrong[k]) == 0;
        if (asked && c->verdict != (fails ? DLF_REFUTED : DLF_SUPPORTED))
            fail_msg("%s: %s, %g for %g +- %g", c->id, dlf_verdict_name(c->verdict), c->measured,
                     c->expected, c->tolerance);
    }
    dlf_result_free(r);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(margin_is_where_the_loss_is_least),
        cmocka_unit_test(the_simplex_is_a_stationary_point),
        cmocka_unit_test(a_simplex_is_collapsed),
        cmocka_unit_test(the_mean_cosine_does_not_tell),
        cmocka_unit_test(fuzziness_uses_the_pseudo_inverse),
        cmocka_unit_test(linear_share_of_known_maps),
        cmocka_unit_test(small_run_supports_its_claims),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
