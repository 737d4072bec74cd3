/* SPDX-License-Identifier: MIT
 * test_conv_equals_fc.c -- the matrix of a convolution against loops, and a small run of the
 * experiment `conv-equals-fc`. */
#include "kernel_test.h"

#include "dlf/experiment.h"
#include "experiments/conv_equals_fc.h"
#include "experiments/host_arrays.h"

/* y[k,i,j] = sum x[c,i+r,j+s] w[k,c,r,s], or own weights at every position. */
static double by_loops(dlf_conv_fc_map m, const double *x, const double *w, bool tied, int k, int i,
                       int j)
{
    const int o = dlf_conv_fc_out(m), R = m.kernel, H = m.side;
    double sum = 0.0;
    for (int c = 0; c < m.channels; c++)
        for (int r = 0; r < R; r++)
            for (int s = 0; s < R; s++) {
                const int owner = tied ? k : (k * o + i) * o + j;
                sum +=
                    x[(c * H + i + r) * H + j + s] * w[((owner * m.channels + c) * R + r) * R + s];
            }
    return sum;
}

static void the_matrix_is_the_convolution(void **state)
{
    const dlf_conv_fc_map maps[] = {{1, 1, 3, 3}, {2, 3, 5, 2}, {3, 2, 4, 1}, {2, 2, 6, 3}};
    for (size_t n = 0; n < sizeof maps / sizeof maps[0]; n++)
        for (int tied = 0; tied < 2; tied++) {
            const dlf_conv_fc_map m = maps[n];
            const int o = dlf_conv_fc_out(m), in = m.channels * m.side * m.side;
            const int out = m.maps * o * o;
            double x[256], w[4096], *t = malloc((size_t)(in * out) * sizeof *t);
            assert_non_null(t);
            host_normal(x, in, 1.0, 1, 2, 0);
            host_normal(w, 4096, 1.0, 1, 3, 0);
            dlf_conv_fc_matrix(t, m, w, tied);
            for (int k = 0; k < m.maps; k++)
                for (int at = 0; at < o * o; at++) {
                    double y = 0.0;
                    for (int i = 0; i < in; i++) y += t[(k * o * o + at) * in + i] * x[i];
                    assert_true(fabs(y - by_loops(m, x, w, tied, k, at / o, at % o)) < 1e-12);
                }
            const double filled = (double)(m.kernel * m.kernel) / (m.side * m.side);
            assert_true(fabs(dlf_conv_fc_filled(t, in * out) - filled) < 1e-15);
            free(t);
        }
}

static void distances(void **state)
{
    const double a[] = {1.0, 2.0, -4.0}, b[] = {1.0, 1.0, -2.0}, n[] = {1.0, NAN, 0.0};
    assert_true(fabs(host_worst(a, b, 3) - 1.0) < 1e-15);
    assert_true(fabs(host_distance(a, b, 3) - sqrt(5.0 / 6.0)) < 1e-15);
    assert_true(isnan(host_worst(n, b, 3)) && isnan(host_worst(b, n, 3)));
}

static void small_run_supports_its_claims(void **state)
{
    const dlf_experiment *e = dlf_experiment_find("Q22");
    assert_non_null(e);
    const dlf_setting set[] = {{"channels", "8"}};
    const dlf_run_options options = {
        .device = kt_dev, .seed = 5, .seeds = 6, .set = set, .n_set = 1, .command = "test"};
    dlf_result *r = NULL;
    OK(dlf_experiment_run(&r, e, &options));
    for (int i = 0; i < dlf_result_checks(r); i++) {
        const dlf_check *c = dlf_result_get_check(r, i);
        if (c->verdict != DLF_SUPPORTED)
            fail_msg("%s: %s, %g for %g +- %g", c->id, dlf_verdict_name(c->verdict), c->measured,
                     c->expected, c->tolerance);
    }
    /* what the question's literature says, to the digit */
    assert_true(dlf_result_find_check(r, "fcn_parameters")->measured == 138357544.0);
    assert_true(dlf_result_find_check(r, "fcn_outputs")->measured == 36.0);
    assert_true(fabs(dlf_result_find_check(r, "fcn_saving")->measured - 12.25) < 1e-12);
    dlf_result_free(r);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_matrix_is_the_convolution),
        cmocka_unit_test(distances),
        cmocka_unit_test(small_run_supports_its_claims),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
