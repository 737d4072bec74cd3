/* SPDX-License-Identifier: MIT
 * test_forgetting.c -- Q11: the closed forms by their limits and against sums, the Fisher
 * information against gradients, and a small run. */
#include "small_run.h"

#include "experiments/forgetting.h"
#include "experiments/transfer_nets.h"

static void closed_forms(void **state)
{
    const double d = 60;
    /* nothing is learned, nothing is free to move, nothing is left to learn */
    assert_true(dlf_forgotten_random(0, 30, d) == 0.0 && dlf_forgotten_random(30, 0, d) == 0.0);
    assert_true(dlf_forgotten_random(30, 60, d) == 0.0 && dlf_forgotten_random(60, 30, d) == 0.0);
    /* equal tasks: largest at half */
    for (double k = 1; k < d; k++)
        assert_true(dlf_forgotten_random(k, k, d) <= dlf_forgotten_random(30, 30, d));
    /* one row each: of the share 1 - 1/d that is free the row moves E t^2 - E t^4 across it, t the
     * cosine, into one of the d-1 directions that are left */
    const double one = (1.0 - 1.0 / d) / (d - 1.0) * (1.0 / d - 3.0 / (d * (d + 2.0)));
    assert_true(fabs(dlf_forgotten_random(1, 1, d) - one) < 1e-15);
    assert_true(dlf_forgotten_turned(15, 60, 0.0) == 0.0);
    assert_true(fabs(dlf_forgotten_turned(15, 60, M_PI / 2.0)) < 1e-30);
    assert_true(fabs(dlf_forgotten_turned(15, 60, M_PI / 4.0) - 0.0625) < 1e-15);
    /* uncorrelated: exact; by the sum over all eigenvalues elsewhere */
    assert_true(dlf_diagonal_excess(0.0, 20, 0.05) == 0.0);
    double kept = 0.0, all = 0.0;
    for (int i = 0; i < 20; i++) {
        const double lambda = i ? 0.4 : 1.0 + 19 * 0.6;
        kept += lambda * pow((lambda - 1.0) / (lambda + 1.0), 2.0);
        all += lambda;
    }
    assert_true(fabs(dlf_diagonal_excess(0.6, 20, 0.05) - kept / all) < 1e-14);
}

/* Mean over rows and over labels, by their probability, of squared derivatives. */
static void fisher_is_the_mean_square_gradient(void **state)
{
    enum { ROWS = 3, F = 5, W = 7, C = 10 };
    const classifier_spec net = dlf_transfer_net(1, 1, F, W, C);
    dlf_graph *g = NULL;
    OK(classifier_new(&g, kt_ref, &net));
    OK(dlf_graph_initialise(g, 3, NULL));
    const int n = (int)dlf_graph_parameters(g)->shape[1];
    long at[4];
    dlf_forgetting_places(g, at);
    float *x = kt_random(ROWS * F, 7, 1.0f, 0.0f), *w = malloc((size_t)n * sizeof *w);
    double *want = calloc((size_t)n, sizeof *want), *got = calloc((size_t)n, sizeof *got),
           *gradient = malloc((size_t)n * sizeof *gradient);
    assert_true(w && want && got && gradient);
    OK(dlf_tensor_download_f64(gradient, dlf_graph_parameters(g)));
    for (int i = 0; i < n; i++) w[i] = (float)gradient[i];
    for (int i = 0; i < n; i++) gradient[i] = w[i];
    OK(dlf_tensor_upload_f64(dlf_graph_parameters(g), gradient));
    for (int r = 0; r < ROWS; r++)
        for (int32_t label = 0; label < C; label++) {
            double loss;
            OK(dlf_tensor_upload(dlf_graph_value(g, dlf_graph_find(g, "x")), x + r * F));
            OK(dlf_tensor_upload_i32(dlf_graph_value(g, dlf_graph_find(g, "label")), &label));
            OK(dlf_graph_forward(g, DLF_TRAINING));
            OK(dlf_graph_objective(g, &loss));
            OK(dlf_graph_backward(g));
            OK(dlf_tensor_download_f64(gradient, dlf_graph_gradients(g)));
            for (int i = 0; i < n; i++) want[i] += exp(-loss) * gradient[i] * gradient[i] / ROWS;
        }
    dlf_fisher_diagonal(got, w, at, x, ROWS, F, W, C);
    for (int i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= 1e-12 + 1e-9 * want[i]))
            fail_msg("parameter %d: %g, gradients say %g", i, got[i], want[i]);
    free(gradient);
    free(got);
    free(want);
    free(w);
    free(x);
    dlf_graph_free(g);
}

static void small_run_finds_what_it_should(void **state)
{
    const small_run run = {
        .question = "Q11",
        .slug = "forgetting",
        .seed = 1,
        .seeds = 4,
        .set = {{"task_features", "24"},
                {"task_pairs", "60"},
                {"quadratic_rows", "600"},
                {"width", "24"},
                {"task_steps", "80"}},
        .refuted = {"similar_forgets_less"},
        .left_out = {"new_classes", "strength_"}, /* for a full run to decide */
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_forms),
        cmocka_unit_test(fisher_is_the_mean_square_gradient),
        cmocka_unit_test(small_run_finds_what_it_should),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
