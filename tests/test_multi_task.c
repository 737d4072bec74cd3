/* SPDX-License-Identifier: MIT
 * test_multi_task.c -- Q26: the closed forms by their limits and against each other, that what is
 * not asked has no gradient, and a small run. */
#include "small_run.h"

#include "experiments/multi_task.h"
#include "experiments/multi_task_nets.h"

static void closed_forms(void **state)
{
    const double v = 0.2;
    /* pooling is level with alone at tau^2 = v, whatever T */
    for (int T = 4; T < 1000; T *= 3) assert_true(fabs(dlf_mean_pooled(sqrt(v), T, v) - v) < 1e-14);
    /* James-Stein: below alone, above the best known shrinkage, and v 3/T where tasks are equal */
    for (double tau = 0.0; tau < 5.0; tau += 0.1) {
        const double risk = dlf_mean_james_stein(tau, 50, v),
                     best = v * (tau * tau + v / 50) / (tau * tau + v);
        assert_true(risk < v && risk > best);
    }
    assert_true(fabs(dlf_mean_james_stein(0.0, 50, v) - v * 3.0 / 50) < 1e-15);
    /* by the singular values y and the alignments c */
    for (double x = 1.0; x < 4.0; x *= 1.4)
        for (double b = 0.01; b < x * x * x * x; b *= 3.0) {
            const double T = 1e4, x4 = pow(x, 4.0);
            const int n = (int)(b * T); /* d - k */
            const double r = n / T, y2 = (x + 1.0 / x) * (x + r / x),
                         u2 = (x4 - r) / (x4 + r * x * x), v2 = (x4 - r) / (x4 + x * x),
                         want = 3.0 * (y2 + x * x - 2.0 * x * sqrt(y2 * u2 * v2));
            assert_true(fabs(dlf_shared_risk(n + 3, 3, (int)T, x) - want) < 1e-9);
        }
    /* continuous where the representation appears, x^4 = (d-k)/T */
    assert_true(fabs(dlf_shared_risk(40, 3, 37, 1.0 + 1e-9) - dlf_shared_risk(40, 3, 37, 1.0)) <
                1e-6);
    /* alone with ridge: neither worse than nothing nor than no ridge */
    for (double x = 0.5; x < 4.0; x *= 1.7)
        assert_true(dlf_alone_ridge_risk(40, 3, x) < fmin(40.0, 3.0 * x * x));
}

/* A row that asks only the second question moves only the second head. */
static void what_is_not_asked_has_no_gradient(void **state)
{
    enum { F = 3, TASKS = 2 };
    dlf_graph *g = NULL;
    const float x[F + TASKS] = {0.5f, -1.0f, 2.0f, 0.0f, 1.0f}, target[TASKS] = {0.0f, 1.0f};
    double bias[TASKS];
    OK(dlf_multi_task_net(&g, kt_ref, 1, 1, F, 4, TASKS));
    OK(dlf_graph_initialise(g, 1, NULL));
    OK(dlf_tensor_upload(dlf_graph_value(g, dlf_graph_find(g, "x")), x));
    OK(dlf_tensor_upload(dlf_graph_value(g, dlf_graph_find(g, "target")), target));
    OK(dlf_graph_forward(g, DLF_TRAINING));
    OK(dlf_graph_backward(g));
    OK(dlf_tensor_download_f64(bias, dlf_graph_gradient(g, dlf_graph_find(g, "heads.b"))));
    assert_true(bias[0] == 0.0 && bias[1] < 0.0);
    dlf_graph_free(g);
}

static void small_run_finds_what_it_should(void **state)
{
    const small_run run = {
        .question = "Q26",
        .slug = "multi-task",
        .seed = 1,
        .seeds = 4,
        .set = {{"copies", "40"}, {"draws", "2"}, {"width", "24"}, {"steps", "120"}},
        .refuted = {"pooling_always", "stein_each", "unrelated_shared", "few_tasks",
                    "digits_unrelated"},
        .left_out = {"digits_same_rows", "digits_related"}, /* for more seeds and steps to decide */
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_forms),
        cmocka_unit_test(what_is_not_asked_has_no_gradient),
        cmocka_unit_test(small_run_finds_what_it_should),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
