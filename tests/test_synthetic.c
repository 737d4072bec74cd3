/* SPDX-License-Identifier: MIT
 * test_synthetic.c -- generated data: exact where it can be, statistical where it must. Statistical
 * bounds are 5 standard deviations of what is checked, so that one in a million fresh seeds would
 * fail; the seeds here are fixed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/rounded.h"
#include "data_test.h"
#include "dlf/data.h"

static const double pi = 3.14159265358979323846;

#define OK(call) assert_int_equal((call), DLF_OK)

static double normal_cdf(double x)
{
    return 0.5 * erfc(-x / sqrt(2.0));
}

/* |measured - expected| <= bound, else says by how much. */
static void near(double measured, double expected, double bound)
{
    if (fabs(measured - expected) <= bound) return;
    fail_msg("%.9g differs from %.9g by %.3g, more than %.3g", measured, expected,
             fabs(measured - expected), bound);
}

/* n draws of N(0,1): mean, variance, and share beyond 2. */
static void looks_normal(const double *z, int n)
{
    double sum = 0.0, square = 0.0;
    int beyond = 0;
    for (int i = 0; i < n; i++) {
        sum += z[i];
        square += z[i] * z[i];
        beyond += fabs(z[i]) > 2.0;
    }
    const double p = 2.0 * normal_cdf(-2.0);
    near(sum / n, 0.0, 5.0 / sqrt(n));
    near(square / n, 1.0, 5.0 * sqrt(2.0 / n));
    near((double)beyond / n, p, 5.0 * sqrt(p * (1.0 - p) / n));
}

static void rounded_functions(void **state)
{
    double c, s;
    for (int i = -5000; i <= 5000; i++) {
        const double turns = i * 0.000731;
        dlf_rounded_circle(turns, &c, &s);
        /* The reference rounds 2 pi turns in long double: 23 radians, 2^-60 each. */
        near(c, (double)cosl(2.0L * M_PIl * turns), 6e-16);
        near(s, (double)sinl(2.0L * M_PIl * turns), 6e-16);
        const double x = i * 0.005, exact = (double)tanhl(x);
        near(dlf_rounded_tanh(x), exact, 5e-16 * fabs(exact));
        assert_true(dlf_rounded_tanh(-x) == -dlf_rounded_tanh(x));
    }
    dlf_rounded_circle(0.25, &c, &s);
    assert_true(c == 0.0 && s == 1.0);
    dlf_rounded_circle(0.0, &c, &s);
    assert_true(c == 1.0 && s == 0.0);
    assert_true(dlf_rounded_tanh(1e-300) == 1e-300);
    assert_true(dlf_rounded_tanh(INFINITY) == 1.0);
    assert_true(dlf_rounded_tanh(-1e300) == -1.0);
    assert_true(isnan(dlf_rounded_tanh(NAN)));
}

/* ---- what all have in common --------------------------------------------------------------- */

enum { GENERATORS = 8 };

static dlf_status make(dlf_dataset *d, int which, dlf_rows rows)
{
    switch (which) {
    case 0: return dlf_make_mixture(d, rows, 3, 5, 2.0);
    case 1: return dlf_make_xor(d, rows, 0.5);
    case 2: return dlf_make_spirals(d, rows, 3, 1.5, 0.1);
    case 3: return dlf_make_parity(d, rows, 7);
    case 4: return dlf_make_linear(d, rows, 5, 2.0, 0.5, NULL);
    case 5: return dlf_make_teacher(d, rows, (dlf_teacher){DLF_TEACHER_LINEAR, 5, 0, 2, 0.1});
    case 6: return dlf_make_teacher(d, rows, (dlf_teacher){DLF_TEACHER_RELU, 5, 7, 2, 0.1});
    default: return dlf_make_teacher(d, rows, (dlf_teacher){DLF_TEACHER_TANH, 5, 7, 2, 0.1});
    }
}

/* Seeds other than small ones, all of x, labels and targets: any change of a bit shows. */
static void the_same_bits_everywhere(void **state)
{
    static const uint64_t expected[GENERATORS] = {
        0x9806ad653c560f9du, 0x2fe616be4ecfebe1u, 0xacfc22073001be69u, 0xb846fa41e5180509u,
        0x9a684c3849335735u, 0x44dd9062f114e831u, 0xb4610f7e1146474au, 0xf83e7c82b4b2c017u};
    int different = 0;
    for (int g = 0; g < GENERATORS; g++) {
        dlf_dataset d;
        OK(make(&d, g, (dlf_rows){0x123456789abcdef0u, 101, 50}));
        uint64_t h = fnv(FNV_START, d.x, (size_t)(151 * d.features) * sizeof *d.x);
        if (d.label) h = fnv(h, d.label, 151 * sizeof *d.label);
        if (d.target) h = fnv(h, d.target, (size_t)(151 * d.targets) * sizeof *d.target);
        if (h != expected[g]) {
            print_message("generator %d: 0x%016llx\n", g, (unsigned long long)h);
            different++;
        }
        dlf_dataset_free(&d);
    }
    assert_int_equal(different, 0);
}

static void shapes_and_seeds(void **state)
{
    static const int features[GENERATORS] = {5, 2, 2, 7, 5, 5, 5, 5};
    static const int classes[GENERATORS] = {3, 2, 3, 2, 0, 0, 0, 0};
    static const int targets[GENERATORS] = {0, 0, 0, 0, 1, 2, 2, 2};
    for (int g = 0; g < GENERATORS; g++) {
        dlf_dataset few, many, other;
        OK(make(&few, g, (dlf_rows){7, 10, 5}));
        OK(make(&many, g, (dlf_rows){7, 40, 20}));
        OK(make(&other, g, (dlf_rows){8, 10, 5}));
        const size_t n = (size_t)features[g];
        assert_int_equal(few.features, features[g]);
        assert_int_equal(few.classes, classes[g]);
        assert_int_equal(few.targets, targets[g]);
        assert_int_equal(few.height, 0);
        assert_true((few.label != NULL) == (classes[g] > 0));
        assert_true((few.target != NULL) == (targets[g] > 0));
        /* Rows do not depend on how many there are, in either part; parts and seeds differ. */
        assert_memory_equal(few.x, many.x, 10 * n * sizeof *few.x);
        assert_memory_equal(few.x + 10 * n, many.x + 40 * n, 5 * n * sizeof *few.x);
        assert_memory_not_equal(few.x, few.x + 10 * n, 5 * n * sizeof *few.x);
        assert_memory_not_equal(few.x, other.x, 10 * n * sizeof *few.x);
        if (few.label) {
            assert_memory_equal(few.label, many.label, 10 * sizeof *few.label);
            assert_memory_equal(few.label + 10, many.label + 40, 5 * sizeof *few.label);
        } else {
            const size_t t = (size_t)targets[g];
            assert_memory_equal(few.target, many.target, 10 * t * sizeof *few.target);
            assert_memory_equal(few.target + 10 * t, many.target + 40 * t, 5 * t * sizeof(float));
            assert_memory_not_equal(few.target, other.target, 10 * t * sizeof *few.target);
        }
        dlf_dataset_free(&few);
        dlf_dataset_free(&many);
        dlf_dataset_free(&other);
        OK(make(&few, g, (dlf_rows){7, 1, 0})); /* the least there can be */
        dlf_dataset_free(&few);
    }
}

static void wrong_arguments(void **state)
{
    dlf_dataset d;
    const dlf_rows ok = {1, 4, 4};
    for (int g = 0; g < GENERATORS; g++) {
        assert_int_equal(make(&d, g, (dlf_rows){1, 0, 4}), DLF_ERR_ARG);
        assert_int_equal(make(&d, g, (dlf_rows){1, 4, -1}), DLF_ERR_ARG);
        assert_int_equal(make(&d, g, (dlf_rows){1, 2147483647, 2147483647}), DLF_ERR_ARG);
        assert_non_null(strstr(dlf_error_message(), "too many"));
    }
    assert_int_equal(dlf_make_mixture(&d, ok, 6, 5, 1.0), DLF_ERR_ARG); /* no sixth axis */
    assert_non_null(strstr(dlf_error_message(), "mixture: classes must lie in 2..5; 6 does not"));
    assert_int_equal(dlf_make_mixture(&d, ok, 1, 5, 1.0), DLF_ERR_ARG);
    assert_int_equal(dlf_make_mixture(&d, ok, 2, -5, 1.0), DLF_ERR_ARG);
    assert_int_equal(dlf_make_mixture(&d, ok, 2, 5, -1.0), DLF_ERR_ARG);
    assert_int_equal(dlf_make_mixture(&d, ok, 2, 5, NAN), DLF_ERR_ARG);
    assert_int_equal(dlf_make_xor(&d, ok, -0.1), DLF_ERR_ARG);
    assert_int_equal(dlf_make_xor(&d, ok, INFINITY), DLF_ERR_ARG);
    assert_int_equal(dlf_make_spirals(&d, ok, 1, 1.0, 0.0), DLF_ERR_ARG);
    assert_int_equal(dlf_make_spirals(&d, ok, 2, INFINITY, 0.0), DLF_ERR_ARG);
    assert_int_equal(dlf_make_spirals(&d, ok, 2, 1.0, NAN), DLF_ERR_ARG);
    assert_int_equal(dlf_make_parity(&d, ok, 0), DLF_ERR_ARG);
    assert_int_equal(dlf_make_parity(&d, ok, 2147483647), DLF_ERR_ARG);
    assert_int_equal(dlf_make_linear(&d, ok, 0, 1.0, 0.0, NULL), DLF_ERR_ARG);
    assert_int_equal(dlf_make_linear(&d, ok, 3, NAN, 0.0, NULL), DLF_ERR_ARG);
    assert_int_equal(dlf_make_linear(&d, ok, 3, 1.0, -1.0, NULL), DLF_ERR_ARG);
    const dlf_teacher wrong[] = {
        {DLF_TEACHER_LINEAR, 5, 3, 1, 0.0}, /* a linear one has no hidden units */
        {DLF_TEACHER_RELU, 5, 0, 1, 0.0},           {DLF_TEACHER_RELU, 0, 3, 1, 0.0},
        {DLF_TEACHER_RELU, 5, 3, 0, 0.0},           {DLF_TEACHER_RELU, 5, 3, 1, NAN},
        {DLF_TEACHER_RELU, 100000, 100000, 1, 0.0}, {(dlf_teacher_kind)3, 5, 3, 1, 0.0},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(dlf_make_teacher(&d, ok, wrong[i]), DLF_ERR_ARG);
}

/* ---- each one ------------------------------------------------------------------------------ */

enum { MANY = 20000 };

static void mixture(void **state)
{
    enum { CLASSES = 4, FEATURES = 6 };
    const double separation = 3.0;
    dlf_dataset d, noise;
    const dlf_rows rows = {5, MANY, 0};
    OK(dlf_make_mixture(&d, rows, CLASSES, FEATURES, separation));
    OK(dlf_make_mixture(&noise, rows, CLASSES, FEATURES, 0.0));
    /* The same noise around other centres. x is rounded to f32 at |x| < 16: 2^-21 each. */
    double centre[CLASSES][FEATURES], *z = malloc(MANY * FEATURES * sizeof *z);
    assert_non_null(z);
    for (int r = 0; r < MANY; r++) {
        assert_int_equal(d.label[r], r % CLASSES);
        for (int i = 0; i < FEATURES; i++) {
            const int at = r * FEATURES + i;
            const double c = (double)d.x[at] - (double)noise.x[at];
            if (r < CLASSES) centre[r][i] = c;
            near(c, centre[r % CLASSES][i], 1e-6);
            z[at] = (double)noise.x[at];
        }
    }
    looks_normal(z, MANY * FEATURES);
    for (int a = 0; a < CLASSES; a++) {
        for (int b = 0; b < CLASSES; b++) {
            double product = 0.0;
            for (int i = 0; i < FEATURES; i++) product += centre[a][i] * centre[b][i];
            near(product, a == b ? separation * separation / 2.0 : 0.0, 1e-5);
        }
    }
    free(z);
    dlf_dataset_free(&d);
    dlf_dataset_free(&noise);

    /* As many axes as there are, where Gram-Schmidt is at its worst. */
    enum { ALL = 100 };
    OK(dlf_make_mixture(&d, (dlf_rows){5, ALL, 0}, ALL, ALL, separation));
    OK(dlf_make_mixture(&noise, (dlf_rows){5, ALL, 0}, ALL, ALL, 0.0));
    for (int a = 0; a < ALL; a++) {
        for (int b = 0; b < a; b++) {
            double square = 0.0;
            for (int i = 0; i < ALL; i++) {
                const double c = (double)d.x[a * ALL + i] - (double)noise.x[a * ALL + i] -
                                 ((double)d.x[b * ALL + i] - (double)noise.x[b * ALL + i]);
                square += c * c;
            }
            near(sqrt(square), separation, 1e-5);
        }
    }
    dlf_dataset_free(&d);
    dlf_dataset_free(&noise);

    /* Two classes: who knows the axes errs with probability Phi(-separation/2). */
    OK(dlf_make_mixture(&d, rows, 2, FEATURES, separation));
    OK(dlf_make_mixture(&noise, rows, 2, FEATURES, 0.0));
    int errors = 0;
    for (int r = 0; r < MANY; r++) {
        double side = 0.0; /* of the plane halfway between the centres, which are equally long */
        for (int i = 0; i < FEATURES; i++) {
            const double c0 = (double)d.x[i] - (double)noise.x[i];
            const double c1 = (double)d.x[FEATURES + i] - (double)noise.x[FEATURES + i];
            side += (double)d.x[r * FEATURES + i] * (c1 - c0);
        }
        errors += (side > 0.0) != d.label[r];
    }
    const double p = normal_cdf(-separation / 2.0);
    near((double)errors / MANY, p, 5.0 * sqrt(p * (1.0 - p) / MANY));
    dlf_dataset_free(&d);
    dlf_dataset_free(&noise);
}

static void exclusive_or(void **state)
{
    dlf_dataset d;
    OK(dlf_make_xor(&d, (dlf_rows){3, 8, 4}, 0.0));
    int corner[4] = {0};
    for (int r = 0; r < 12; r++) {
        const float x = d.x[2 * r], y = d.x[2 * r + 1];
        assert_true(fabsf(x) == 1.0f && fabsf(y) == 1.0f);
        assert_int_equal(d.label[r], x != y);
        corner[2 * (x > 0.0f) + (y > 0.0f)]++;
    }
    for (int i = 0; i < 4; i++) assert_int_equal(corner[i], 3);
    dlf_dataset_free(&d);

    OK(dlf_make_xor(&d, (dlf_rows){3, MANY, 0}, 0.8));
    int errors = 0;
    for (int r = 0; r < MANY; r++)
        errors += ((d.x[2 * r] > 0.0f) != (d.x[2 * r + 1] > 0.0f)) != d.label[r];
    const double q = normal_cdf(-1.0 / 0.8), p = 2.0 * q * (1.0 - q);
    near((double)errors / MANY, p, 5.0 * sqrt(p * (1.0 - p) / MANY));
    dlf_dataset_free(&d);
}

static void spirals(void **state)
{
    dlf_dataset d, noisy;
    const int arms = 3;
    const double turns = 1.75;
    OK(dlf_make_spirals(&d, (dlf_rows){4, MANY, 0}, arms, turns, 0.0));
    OK(dlf_make_spirals(&noisy, (dlf_rows){4, MANY, 0}, arms, turns, 0.25));
    double radius = 0.0, *z = malloc(2 * MANY * sizeof *z);
    assert_non_null(z);
    for (int r = 0; r < MANY; r++) {
        const double x = (double)d.x[2 * r], y = (double)d.x[2 * r + 1], t = hypot(x, y);
        assert_int_equal(d.label[r], r % arms);
        assert_true(t < 1.0);
        radius += t;
        const double angle = 2.0 * pi * (turns * t + (double)d.label[r] / arms);
        /* x, y carry 2^-25 relative error, and so does t */
        near(x, t * cos(angle), 1e-6);
        near(y, t * sin(angle), 1e-6);
        for (int i = 0; i < 2; i++)
            z[2 * r + i] = ((double)noisy.x[2 * r + i] - (double)d.x[2 * r + i]) / 0.25;
    }
    near(radius / MANY, 0.5, 5.0 * sqrt(1.0 / 12.0 / MANY));
    looks_normal(z, 2 * MANY);
    free(z);
    dlf_dataset_free(&d);
    dlf_dataset_free(&noisy);
}

static void parity(void **state)
{
    enum { BITS = 9 };
    dlf_dataset d;
    OK(dlf_make_parity(&d, (dlf_rows){6, MANY, 100}, BITS));
    int set[BITS] = {0}, odd = 0;
    for (int r = 0; r < MANY + 100; r++) {
        int ones = 0;
        for (int i = 0; i < BITS; i++) {
            assert_true(fabsf(d.x[r * BITS + i]) == 1.0f);
            ones += d.x[r * BITS + i] > 0.0f;
            if (r < MANY) set[i] += d.x[r * BITS + i] > 0.0f;
        }
        assert_int_equal(d.label[r], ones % 2);
        if (r < MANY) odd += ones % 2;
    }
    for (int i = 0; i < BITS; i++) near((double)set[i] / MANY, 0.5, 5.0 * sqrt(0.25 / MANY));
    near((double)odd / MANY, 0.5, 5.0 * sqrt(0.25 / MANY));
    dlf_dataset_free(&d);
}

static void linear(void **state)
{
    enum { FEATURES = 30 };
    dlf_dataset d;
    double beta[FEATURES], length = 0.0, *z = malloc(MANY * FEATURES * sizeof *z);
    assert_non_null(z);
    OK(dlf_make_linear(&d, (dlf_rows){9, MANY, 50}, FEATURES, 1.5, 0.5, beta));
    for (int i = 0; i < FEATURES; i++) length += beta[i] * beta[i];
    near(sqrt(length), 1.5, 1e-14);
    for (int i = 0; i < MANY * FEATURES; i++) z[i] = (double)d.x[i];
    looks_normal(z, MANY * FEATURES);
    for (int r = 0; r < MANY; r++) { /* what is left of the targets is the noise */
        z[r] = (double)d.target[r];
        for (int i = 0; i < FEATURES; i++) z[r] -= beta[i] * (double)d.x[r * FEATURES + i];
        z[r] /= 0.5;
    }
    looks_normal(z, MANY);
    dlf_dataset_free(&d);
    OK(dlf_make_linear(&d, (dlf_rows){9, 50, 50}, FEATURES, 1.5, 0.0, beta));
    for (int r = 0; r < 100; r++) {
        double y = 0.0;
        for (int i = 0; i < FEATURES; i++) y += beta[i] * (double)d.x[r * FEATURES + i];
        near((double)d.target[r], y, 1e-6); /* |y| < 8 in f32 */
    }
    free(z);
    dlf_dataset_free(&d);
}

/* Mean of y^2 over rows and targets, noise-free. */
static double power_of(dlf_teacher t, uint64_t seed, int rows)
{
    dlf_dataset d;
    double square = 0.0;
    OK(dlf_make_teacher(&d, (dlf_rows){seed, rows, 0}, t));
    const int n = rows * t.targets;
    for (int i = 0; i < n; i++) square += (double)d.target[i] * (double)d.target[i];
    dlf_dataset_free(&d);
    return square / n;
}

/* Over 100 teachers, which are independent: the mean of their powers, with 5 standard errors taken
 * from their own spread. */
static void power_is(dlf_teacher t, double expected)
{
    enum { TEACHERS = 100 };
    double sum = 0.0, square = 0.0;
    for (int i = 0; i < TEACHERS; i++) {
        const double p = power_of(t, 100 + (uint64_t)i, 50);
        sum += p;
        square += p * p;
    }
    const double mean = sum / TEACHERS, variance = square / TEACHERS - mean * mean;
    const double error = sqrt(variance / TEACHERS);
    assert_true(error < 0.05 * expected); /* sharp enough to tell */
    near(mean, expected, 5.0 * error);
}

static void teachers(void **state)
{
    power_is((dlf_teacher){DLF_TEACHER_LINEAR, 40, 0, 10, 0.0}, 1.0);
    /* E phi(z)^2, z ~ N(0, |x|^2/features): relu 1/2 exactly; tanh 0.3943 for |x|^2 = features, and
     * its curvature there moves it by under 1 % at 40 features: less than the bound. */
    power_is((dlf_teacher){DLF_TEACHER_RELU, 40, 50, 10, 0.0}, 0.5);
    power_is((dlf_teacher){DLF_TEACHER_TANH, 40, 50, 10, 0.0}, 0.39429449);

    enum { ROWS = 5000 };
    const dlf_rows rows = {11, ROWS, 7};
    for (dlf_teacher_kind k = DLF_TEACHER_LINEAR; k <= DLF_TEACHER_TANH; k++) {
        dlf_dataset exact, noisy;
        double *z = malloc(2 * ROWS * sizeof *z);
        assert_non_null(z);
        const int hidden = k == DLF_TEACHER_LINEAR ? 0 : 5;
        OK(dlf_make_teacher(&exact, rows, (dlf_teacher){k, 3, hidden, 2, 0.0}));
        OK(dlf_make_teacher(&noisy, rows, (dlf_teacher){k, 3, hidden, 2, 0.5}));
        assert_memory_equal(exact.x, noisy.x, (ROWS + 7) * 3 * sizeof(float));
        for (int i = 0; i < 2 * ROWS; i++)
            z[i] = ((double)noisy.target[i] - (double)exact.target[i]) / 0.5;
        looks_normal(z, 2 * ROWS);
        free(z);
        dlf_dataset_free(&exact);
        dlf_dataset_free(&noisy);
    }
}

/* The solution of three equations a v = b by Cramer's rule. */
static double det(const double a[3], const double b[3], const double c[3])
{
    return a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) +
           a[2] * (b[0] * c[1] - b[1] * c[0]);
}

/* Fit y = w x to rows 0..2 of x (.., 3); largest misfit on rows 3..9. */
static double misfit(const dlf_dataset *d)
{
    double column[3][3], y[3], w[3], worst = 0.0;
    for (int r = 0; r < 3; r++) {
        y[r] = (double)d->target[r];
        for (int i = 0; i < 3; i++) column[i][r] = (double)d->x[3 * r + i];
    }
    const double whole = det(column[0], column[1], column[2]);
    w[0] = det(y, column[1], column[2]) / whole;
    w[1] = det(column[0], y, column[2]) / whole;
    w[2] = det(column[0], column[1], y) / whole;
    for (int r = 3; r < 10; r++) {
        double fit = 0.0;
        for (int i = 0; i < 3; i++) fit += w[i] * (double)d->x[3 * r + i];
        worst = fmax(worst, fabs(fit - (double)d->target[r]));
    }
    return worst;
}

static void only_the_linear_teacher_is_linear(void **state)
{
    static const double at_most[] = {1e-5, INFINITY, INFINITY}, at_least[] = {0.0, 0.1, 0.05};
    for (dlf_teacher_kind k = DLF_TEACHER_LINEAR; k <= DLF_TEACHER_TANH; k++) {
        dlf_dataset d;
        const int hidden = k == DLF_TEACHER_LINEAR ? 0 : 20;
        OK(dlf_make_teacher(&d, (dlf_rows){2, 10, 0}, (dlf_teacher){k, 3, hidden, 1, 0.0}));
        const double m = misfit(&d);
        assert_true(m <= at_most[k] && m >= at_least[k]);
        dlf_dataset_free(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounded_functions),
        cmocka_unit_test(the_same_bits_everywhere),
        cmocka_unit_test(shapes_and_seeds),
        cmocka_unit_test(wrong_arguments),
        cmocka_unit_test(mixture),
        cmocka_unit_test(exclusive_or),
        cmocka_unit_test(spirals),
        cmocka_unit_test(parity),
        cmocka_unit_test(linear),
        cmocka_unit_test(teachers),
        cmocka_unit_test(only_the_linear_teacher_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
