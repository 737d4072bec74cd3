/* SPDX-License-Identifier: MIT
 * test_propagate.c -- signal and gradient propagation in random networks: against theory, against the
 * double definition, and stopping half way. */
#include "kernel_test.h"

#include "dlf/propagate.h"
#include "dlf/theory.h"

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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(propagation_matches_theory_and_definition),
        cmocka_unit_test(propagation_can_be_stopped),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
