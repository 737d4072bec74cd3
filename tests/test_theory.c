/* SPDX-License-Identifier: MIT
 * test_theory.c -- the mean-field solver and special functions against independent values: closed
 * forms, 25-digit quadrature, and the values tabulated in the literature survey. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dlf/theory.h"

static void close_to(double got, double want, double relative, int line)
{
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("line %d: got %.15g, want %.15g (relative %.2g)", line, got, want, relative);
}
#define CLOSE(got, want, relative) close_to((got), (want), (relative), __LINE__)

static dlf_meanfield solve(dlf_activation_kind kind, double w2, double b2)
{
    return dlf_meanfield_solve(dlf_activation_of(kind), w2, b2, true);
}

static double fourth_power(double z, const void *user)
{
    return z * z * z * z + 0 * (user != 0);
}
static double step_at_zero(double z, const void *user)
{
    return (z > 0.0) + 0 * (user != 0);
}
static double gaussian_bump(double z, const void *user)
{
    const double s = *(const double *)user;
    return exp(-0.5 * s * z * z); /* E = 1/sqrt(1+s) */
}

static void quadrature_is_exact(void **state)
{
    CLOSE(dlf_gaussian_mean(fourth_power, NULL), 3.0, 1e-13);
    CLOSE(dlf_gaussian_mean(step_at_zero, NULL), 0.5, 1e-14); /* the kink costs nothing */
    const double wide = 1e-4, narrow = 1e8;                   /* a feature 1e-4 wide at 0 */
    CLOSE(dlf_gaussian_mean(gaussian_bump, &wide), 1.0 / sqrt(1.0 + wide), 1e-13);
    CLOSE(dlf_gaussian_mean(gaussian_bump, &narrow), 1.0 / sqrt(1.0 + narrow), 1e-10);
}

/* Gauss-Hermite with an odd number of nodes puts one node on ReLU's kink. This is the trap that the
 * graded rule avoids; the test shows that the trap is real, so that nobody "simplifies" the solver.
 */
static void odd_gauss_hermite_is_wrong_for_relu(void **state)
{
    enum { N = 201 };
    /* weight of the middle node of the N-point rule: 1/w = sum_k h_k(0)^2 over normalised
     * (probabilists') Hermite functions; only even k contribute */
    double previous = 0.0, h = 1.0, sum = 1.0;
    for (int k = 0; k + 1 < N; k++) {
        const double next = -sqrt((double)k / (k + 1)) * previous;
        previous = h;
        h = next;
        sum += h * h;
    }
    const double middle = 1.0 / sum;
    const double chi_if_one = 2.0 * (0.5 * (1.0 - middle) + middle); /* phi'(0) = 1 */
    assert_true(fabs(chi_if_one - 1.0) > 0.05);
    CLOSE(solve(DLF_RELU, 2.0, 0.0).chi_1, 1.0, 1e-12);
}

static void homogeneous_activations_have_closed_forms(void **state)
{
    for (double w2 = 0.5; w2 < 4.0; w2 += 0.5) {
        CLOSE(solve(DLF_RELU, w2, 0.0).chi_1, w2 / 2, 1e-12);
        CLOSE(solve(DLF_LINEAR, w2, 0.0).chi_1, w2, 1e-12);
        CLOSE(solve(DLF_LEAKY_RELU, w2, 0.0).chi_1, w2 * (1 + 1e-4) / 2, 1e-12);
    }
    CLOSE(solve(DLF_RELU, 1.0, 0.5).q_star, 1.0, 1e-10); /* q = q/2 + 1/2 */
    assert_true(isinf(solve(DLF_RELU, 3.0, 0.0).q_star));
    assert_true(solve(DLF_RELU, 1.0, 0.0).q_star == 0.0);
    CLOSE(solve(DLF_SELU, 1.0, 0.0).q_star, 1.0, 1e-6); /* what SELU's constants are made for */
}

static void tabulated_values(void **state)
{
    CLOSE(solve(DLF_SIGMOID, 1.0, 0.0).chi_1, 0.05572, 1e-4);
    CLOSE(solve(DLF_SIGMOID, 16.0, 0.0).chi_1, 0.39888, 1e-5);
    static const double tanh_chi[][2] = {
        {1.0, 0.75903}, {1.76, 0.9997964242}, {2.5, 1.13352}, {4.0, 1.34240}};
    for (size_t i = 0; i < sizeof tanh_chi / sizeof tanh_chi[0]; i++)
        CLOSE(solve(DLF_TANH, tanh_chi[i][0], 0.05).chi_1, tanh_chi[i][1], 1e-5);
    static const double xi[][2] = {{1.0, 3.63}, {1.3, 7.83}, {1.5, 15.8}, {1.7, 74.9},
                                   {2.0, 25.2}, {2.5, 11.8}, {3.0, 9.05}, {4.0, 6.98}};
    for (size_t i = 0; i < sizeof xi / sizeof xi[0]; i++)
        CLOSE(solve(DLF_TANH, xi[i][0], 0.05).xi_c, xi[i][1], 2e-3);
    CLOSE(solve(DLF_TANH, 2.0, 0.05).c_star, 0.744, 1e-3);
}

static void edges_of_chaos(void **state)
{
    static const double edge[][2] = {
        {0.01, 1.42421}, {0.05, 1.76095}, {0.1, 1.98607}, {0.3, 2.50513}};
    for (size_t i = 0; i < sizeof edge / sizeof edge[0]; i++)
        CLOSE(dlf_meanfield_edge(dlf_activation_of(DLF_TANH), edge[i][0]), edge[i][1], 1e-5);
    CLOSE(dlf_meanfield_edge(dlf_activation_of(DLF_TANH), 0.0), 1.0, 1e-5);
    CLOSE(dlf_meanfield_edge(dlf_activation_of(DLF_RELU), 0.0), 2.0, 1e-9);
    /* 25-digit quadrature: chi_1 = 1 - 1.8e-8 and q* = 45.62427598 at this sigma_w^2 */
    const double sigmoid = dlf_meanfield_edge(dlf_activation_of(DLF_SIGMOID), 0.0);
    CLOSE(sigmoid, 103.00755, 1e-7);
    CLOSE(solve(DLF_SIGMOID, 103.00755, 0.0).q_star, 45.62427598, 1e-8);
}

static void digamma_and_trigamma(void **state)
{
    const double euler = 0.57721566490153286, pi2 = M_PI * M_PI;
    CLOSE(dlf_digamma(1.0), -euler, 1e-14);
    CLOSE(dlf_digamma(0.5), -euler - 2 * M_LN2, 1e-14);
    CLOSE(dlf_trigamma(1.0), pi2 / 6, 1e-14);
    CLOSE(dlf_trigamma(0.5), pi2 / 2, 1e-14);
    for (double x = 0.3; x < 40.0; x += 1.7) { /* recurrences */
        CLOSE(dlf_digamma(x + 1) - dlf_digamma(x), 1 / x, 1e-11);
        CLOSE(dlf_trigamma(x) - dlf_trigamma(x + 1), 1 / (x * x), 1e-10);
    }
}

static void finite_width_laws(void **state)
{
    CLOSE(dlf_log_law_linear(8).mean, -0.13018, 1e-4);
    CLOSE(dlf_log_law_linear(8).variance, 0.2838, 2e-4);
    CLOSE(dlf_log_law_linear(32).mean, -0.03158, 2e-4);
    CLOSE(dlf_log_law_relu(32).mean, -0.0825, 1e-3);
    CLOSE(dlf_log_law_relu(32).variance, 0.1775, 1e-3);
    const double n = 4096; /* large N: -5/(2N) and 5/N */
    CLOSE(dlf_log_law_relu((int)n).mean, -2.5 / n, 2e-3);
    CLOSE(dlf_log_law_relu((int)n).variance, 5.0 / n, 2e-3);
}

static void student_quantiles(void **state)
{
    static const struct {
        int dof;
        double t;
    } table[] = {{1, 12.7062},  {2, 4.30265},  {3, 3.18245},   {7, 2.36462},
                 {15, 2.13145}, {30, 2.04227}, {100, 1.98397}, {100000, 1.95996}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        CLOSE(dlf_student_t975(table[i].dof), table[i].t, 2e-5);
}

/* relu(u) E relu(v | u) and 1(u>0) P(v>0 | u): v = c u + sqrt(1-c^2) w */
static double relu_given(double u, const void *user)
{
    const double c = *(const double *)user, s = sqrt(1.0 - c * c), m = c * u;
    const double above = 0.5 * erfc(-m / s / sqrt(2.0));
    return u > 0.0 ? u * (m * above + s * exp(-0.5 * m * m / s / s) / sqrt(2.0 * M_PI)) : 0.0;
}
static double step_given(double u, const void *user)
{
    const double c = *(const double *)user, s = sqrt(1.0 - c * c);
    return u > 0.0 ? 0.5 * erfc(-c * u / s / sqrt(2.0)) : 0.0;
}

/* relu(u)^2 E relu(v)^2 given u */
static double relu_square_given(double u, const void *user)
{
    const double c = *(const double *)user, s = sqrt(1.0 - c * c), m = c * u;
    const double above = 0.5 * erfc(-m / s / sqrt(2.0));
    const double density = exp(-0.5 * m * m / s / s) / sqrt(2.0 * M_PI);
    return u > 0.0 ? u * u * ((m * m + s * s) * above + m * s * density) : 0.0;
}

static void arc_cosine_kernels(void **state)
{
    CLOSE(dlf_arccos_kernel0(0.5), 2.0 / 3.0, 1e-15);
    CLOSE(dlf_arccos_kernel1(0.0), 1.0 / M_PI, 1e-15);
    assert_true(dlf_arccos_kernel0(1.0) == 1.0 && dlf_arccos_kernel1(1.0) == 1.0);
    CLOSE(dlf_arccos_kernel2(1.0), 3.0, 1e-15);
    assert_true(dlf_arccos_kernel0(-1.0) == 0.0 && fabs(dlf_arccos_kernel1(-1.0)) < 1e-15);
    for (double c = -0.9; c < 0.95; c += 0.3) {
        CLOSE(dlf_arccos_kernel0(c), 2.0 * dlf_gaussian_mean(step_given, &c), 1e-11);
        CLOSE(dlf_arccos_kernel1(c), 2.0 * dlf_gaussian_mean(relu_given, &c), 1e-11);
        CLOSE(dlf_arccos_kernel2(c), 2.0 * dlf_gaussian_mean(relu_square_given, &c), 1e-11);
    }
}

/* The second difference has the eigenvalues 2 - 2 cos(k pi/(n+1)); shifted and ranked one, a matrix
 * of ones plus 0.5 has n + 0.5 and 0.5. */
static void eigenvalues_of_known_matrices(void **state)
{
    enum { N = 41 };
    static double a[N * N], value[N];
    for (int i = 0; i < N * N; i++) {
        const int d = abs(i / N - i % N);
        a[i] = d == 0 ? 2.0 : d == 1 ? -1.0 : 0.0;
    }
    dlf_symmetric_eigen(a, N, value, NULL);
    for (int k = 0; k < N; k++)
        assert_true(fabs(value[k] - 2.0 + 2.0 * cos((N - k) * acos(-1.0) / (N + 1))) < 1e-12);
    for (int i = 0; i < N * N; i++) a[i] = 1.0 + (i / N == i % N ? 0.5 : 0.0);
    dlf_symmetric_eigen(a, N, value, NULL);
    assert_true(fabs(value[0] - N - 0.5) < 1e-12);
    for (int k = 1; k < N; k++) assert_true(fabs(value[k] - 0.5) < 1e-12);
}

static void eigenvectors_rebuild_the_matrix(void **state)
{
    enum { N = 12 };
    double a[N * N], copy[N * N], value[N], vector[N * N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) a[i * N + j] = sin(3.0 * i * j + i + j) * (i == j ? 3.0 : 1.0);
    memcpy(copy, a, sizeof a);
    dlf_symmetric_eigen(copy, N, value, vector);
    for (int i = 0; i < N; i++) {
        assert_true(i == 0 || value[i - 1] >= value[i]);
        for (int j = 0; j < N; j++) {
            double rebuilt = 0.0, dot = 0.0;
            for (int k = 0; k < N; k++) {
                rebuilt += value[k] * vector[k * N + i] * vector[k * N + j];
                dot += vector[i * N + k] * vector[j * N + k];
            }
            assert_true(fabs(rebuilt - a[i * N + j]) < 1e-12);
            assert_true(fabs(dot - (i == j)) < 1e-13);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quadrature_is_exact),
        cmocka_unit_test(odd_gauss_hermite_is_wrong_for_relu),
        cmocka_unit_test(homogeneous_activations_have_closed_forms),
        cmocka_unit_test(tabulated_values),
        cmocka_unit_test(edges_of_chaos),
        cmocka_unit_test(digamma_and_trigamma),
        cmocka_unit_test(finite_width_laws),
        cmocka_unit_test(student_quantiles),
        cmocka_unit_test(arc_cosine_kernels),
        cmocka_unit_test(eigenvalues_of_known_matrices),
        cmocka_unit_test(eigenvectors_rebuild_the_matrix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
