/* SPDX-License-Identifier: MIT
 * test_perceptron.c -- Q12: Cover's count by his recursion, the nearest point of a hull by brute
 * force, the machine against Rosenblatt's rule in plain loops. */
#include "small_run.h"

#include "dlf/rng.h"
#include "experiments/hull.h"
#include "experiments/perceptron.h"

static double normal(int member, uint64_t i)
{
    return dlf_rng_normal(11, dlf_stream(DLF_PURPOSE_INPUT, 9), (uint32_t)member, i);
}

/* ---- Cover ---- */

/* A new point is cut by the hyperplanes of one dimension less: Cover 1965, theorem 1. */
static double recursion(int points, int dim)
{
    if (dim == 0) return 0.0;
    return points == 1 ? 2.0 : recursion(points - 1, dim) + recursion(points - 1, dim - 1);
}

static void cover_counts_by_his_recursion(void **state)
{
    for (int points = 1; points <= 14; points++)
        for (int dim = 1; dim <= 8; dim++) {
            assert_true(dlf_cover_count(points, dim) == recursion(points, dim));
            assert_true(fabs(dlf_cover_share(points, dim) -
                             recursion(points, dim) / (double)(1 << points)) < 1e-15);
        }
    for (int dim = 1; dim < 300; dim *= 3)
        assert_true(fabs(dlf_cover_share(2 * dim, dim) - 0.5) < 1e-12);
    assert_true(dlf_cover_share(10, 10) == 1.0 && dlf_cover_share(4000, 2) == 0.0);
}

/* ---- the nearest point of a hull ---- */

/* The largest margin in the plane, over a fine circle of directions. */
static double margin_by_circle(const double *a, int n)
{
    double best = -INFINITY;
    for (int k = 0; k < 200000; k++) {
        const double angle = 2.0 * M_PI * k / 200000, c = cos(angle), s = sin(angle);
        double least = INFINITY;
        for (int i = 0; i < n; i++) least = fmin(least, c * a[2 * i] + s * a[2 * i + 1]);
        best = fmax(best, least);
    }
    return best;
}

static void margins_in_the_plane(void **state)
{
    int separable = 0;
    for (int trial = 0; trial < 12; trial++) {
        double a[2 * 6], w[2] = {0.0, 0.0};
        for (int i = 0; i < 12; i++)
            a[i] = normal(trial, (uint64_t)i) + (trial % 2 && i % 2 ? 1.5 : 0.0);
        const double want = margin_by_circle(a, 6);
        dlf_hull hull;
        OK(dlf_hull_nearest(&hull, a, 6, 2, w, NULL));
        assert_int_equal(hull.separable, want > 0.0);
        if (!hull.separable) continue;
        separable++;
        assert_true(fabs(hull.margin - want) < 2e-5 * 5.0); /* the circle's step times |a| */
        assert_true(fabs(hypot(w[0], w[1]) - 1.0) < 1e-12);
        for (int i = 0; i < 6; i++)
            assert_true(w[0] * a[2 * i] + w[1] * a[2 * i + 1] >= hull.margin * (1.0 - 1e-12));
    }
    assert_true(separable >= 3 && separable <= 9); /* both answers were tried */
}

/* In many dimensions by what proves it: Karush-Kuhn-Tucker for the margin, Gordan for none. */
static void hulls_prove_what_they_say(void **state)
{
    enum { N = 60, D = 24 };
    double a[N * D], w[D], lambda[N];
    for (int n = D; n <= N; n += 6) {
        dlf_hull hull;
        for (int i = 0; i < n * D; i++) a[i] = normal(100 + n, (uint64_t)i);
        OK(dlf_hull_nearest(&hull, a, n, D, w, lambda));
        double sum = 0.0, v[D] = {0.0}, square = 0.0;
        for (int i = 0; i < n; i++) {
            assert_true(lambda[i] >= 0.0);
            sum += lambda[i];
            for (int j = 0; j < D; j++) v[j] += lambda[i] * a[i * D + j];
        }
        for (int j = 0; j < D; j++) square += v[j] * v[j];
        assert_true(fabs(sum - 1.0) < 1e-12);
        assert_true(n > D || hull.separable); /* no more points than dimensions: always */
        assert_true(n < N || !hull.separable);
        if (!hull.separable) {
            assert_true(sqrt(square) < 1e-9);
            continue;
        }
        assert_true(fabs(sqrt(square) / hull.margin - 1.0) < 1e-9);
        for (int i = 0; i < n; i++) {
            double z = 0.0;
            for (int j = 0; j < D; j++) z += w[j] * a[i * D + j];
            assert_true(z > hull.margin * (1.0 - 1e-9));
            if (lambda[i] > 1e-9) assert_true(fabs(z / hull.margin - 1.0) < 1e-6);
        }
    }
}

static void hulls_of_special_points(void **state)
{
    dlf_hull hull;
    const double axes[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    OK(dlf_hull_nearest(&hull, axes, 3, 3, NULL, NULL));
    assert_true(hull.separable && fabs(hull.margin - 1.0 / sqrt(3.0)) < 1e-15);
    const double opposite[4] = {1, 2, -1, -2}, twice[6] = {3, 4, 3, 4, 3, 4}, zero[2] = {0, 0};
    OK(dlf_hull_nearest(&hull, opposite, 2, 2, NULL, NULL));
    assert_false(hull.separable);
    OK(dlf_hull_nearest(&hull, twice, 3, 2, NULL, NULL));
    assert_true(hull.separable && fabs(hull.margin - 5.0) < 1e-14);
    OK(dlf_hull_nearest(&hull, zero, 1, 2, NULL, NULL));
    assert_true(!hull.separable && hull.proof == 0.0);
    const double nan[2] = {NAN, 1}, huge[4] = {1e150, 0, 1e150, 1e150};
    assert_int_equal(dlf_hull_nearest(&hull, nan, 1, 2, NULL, NULL), DLF_ERR_ARG);
    assert_int_equal(dlf_hull_nearest(&hull, zero, 0, 2, NULL, NULL), DLF_ERR_ARG);
    assert_int_equal(dlf_hull_nearest(&hull, zero, 1, 257, NULL, NULL), DLF_ERR_ARG);
    OK(dlf_hull_nearest(&hull, huge, 2, 2, NULL, NULL));
    assert_true(hull.separable && fabs(hull.margin / 1e150 - 1.0) < 1e-12);
}

/* ---- the machine ---- */

enum { ROWS = 12, FEATURES = 3, MEMBERS = 2, OUTPUTS = 5, STEPS = 3 * ROWS };

static void machine_follows_rosenblatt(void **state)
{
    /* quarters: every sum is exact, so that z = 0, which is a mistake, happens; and 0 < t z < 1,
     * which hinge loss would not leave alone, does */
    float x[ROWS * FEATURES], t[ROWS * OUTPUTS];
    int32_t order[STEPS * MEMBERS];
    double w[MEMBERS * FEATURES * OUTPUTS] = {0}, sum[MEMBERS * FEATURES * OUTPUTS] = {0};
    double mistakes[MEMBERS * OUTPUTS] = {0}, got[MEMBERS * FEATURES * OUTPUTS];
    int zeros = 0;
    for (int i = 0; i < ROWS * FEATURES; i++) x[i] = 0.25f * (float)((i * 7 + i / 5) % 5 - 2);
    for (int i = 0; i < ROWS * OUTPUTS; i++) t[i] = (i * 11 + i / 7) % 3 ? 1.0f : -1.0f;
    for (int i = 0; i < STEPS * MEMBERS; i++) order[i] = (i * 5 + i / 3) % ROWS;
    for (int s = 0; s < STEPS; s++)
        for (int m = 0; m < MEMBERS; m++)
            for (int c = 0; c < OUTPUTS; c++) {
                const int row = order[s * MEMBERS + m];
                double z = 0.0;
                for (int j = 0; j < FEATURES; j++)
                    z += w[(m * FEATURES + j) * OUTPUTS + c] * x[row * FEATURES + j];
                zeros += z == 0.0;
                const double label = t[row * OUTPUTS + c];
                const bool wrong = label * z <= 0.0;
                mistakes[m * OUTPUTS + c] += wrong;
                for (int j = 0; j < FEATURES; j++) {
                    const int at = (m * FEATURES + j) * OUTPUTS + c;
                    if (wrong) w[at] += label * x[row * FEATURES + j];
                    sum[at] += w[at];
                }
            }
    assert_true(zeros > MEMBERS * OUTPUTS);

    dlf_perceptrons p;
    OK(dlf_perceptrons_new(&p, kt_dev, MEMBERS, ROWS, FEATURES, x, ROWS, OUTPUTS, t, true));
    OK(dlf_perceptrons_order(&p, STEPS, order, NULL));
    OK(dlf_perceptrons_present(&p, 0, STEPS));
    OK(dlf_tensor_download_f64(got, &p.w));
    for (int i = 0; i < MEMBERS * FEATURES * OUTPUTS; i++) assert_true(got[i] == w[i]);
    OK(dlf_tensor_download_f64(got, &p.sum));
    for (int i = 0; i < MEMBERS * FEATURES * OUTPUTS; i++) assert_true(got[i] == sum[i]);
    OK(dlf_tensor_download_f64(got, &p.mistakes));
    for (int i = 0; i < MEMBERS * OUTPUTS; i++) assert_true(got[i] == mistakes[i]);
    dlf_perceptrons_free(&p);
}

static void machine_says_when_it_ends(void **state)
{
    /* output 0: AND, output 1: XOR */
    const float x[4 * 3] = {-1, -1, 1, 1, -1, 1, -1, 1, 1, 1, 1, 1};
    const float t[4 * 2] = {-1, -1, -1, 1, -1, 1, 1, -1};
    const int32_t order[4] = {0, 1, 2, 3};
    double total[2];
    int last[2];
    dlf_perceptrons p;
    OK(dlf_perceptrons_new(&p, kt_dev, 1, 4, 3, x, 4, 2, t, false));
    OK(dlf_perceptrons_order(&p, 4, order, NULL));
    OK(dlf_perceptrons_converge(&p, 50, total, last, NULL, 0, 0, ""));
    assert_true(last[0] > 0 && last[0] < 50 && total[0] <= 9.0); /* (R/gamma)^2 = 3 * 3 */
    assert_int_equal(last[1], 50);
    assert_true(total[1] >= 50.0);
    dlf_perceptrons_free(&p);
}

/* ---- data ---- */

static void planted_data_keep_their_margin(void **state)
{
    enum { N = 50, D = 4 };
    float x[N * D], t[N];
    double u[D], margin, R;
    OK(dlf_perceptron_planted(x, t, u, N, D, 0.2, 5, 3));
    int positive = 0;
    for (int i = 0; i < N; i++) {
        double z = 0.0;
        for (int j = 0; j < D; j++) z += u[j] * x[i * D + j];
        assert_true(t[i] * z >= 0.2 - 1e-6);
        positive += t[i] > 0;
    }
    assert_true(positive > N / 5 && positive < 4 * N / 5);
    OK(dlf_perceptron_margin(&margin, &R, x, t, N, D));
    assert_true(margin >= 0.2 - 1e-6 && margin < 0.6 && fabs(R - 1.0) < 1e-6);
    assert_int_equal(dlf_perceptron_planted(x, t, NULL, N, 1, 1.5, 5, 3), DLF_ERR_ARG);
}

/* ---- a small run on the device ---- */

static void small_run_supports_its_claims(void **state)
{
    const small_run run = {
        .question = "Q12",
        .slug = "perceptron",
        .seed = 2,
        .seeds = 4,
        .set = {{"n", "150"}, {"passes", "100"}, {"draws", "30"}, {"pair_rows", "160"}},
        .left_out = {"second_pass_optimistic"}, /* 0.4 %: four seeds may not see it */
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cover_counts_by_his_recursion),
        cmocka_unit_test(margins_in_the_plane),
        cmocka_unit_test(hulls_prove_what_they_say),
        cmocka_unit_test(hulls_of_special_points),
        cmocka_unit_test(machine_follows_rosenblatt),
        cmocka_unit_test(machine_says_when_it_ends),
        cmocka_unit_test(planted_data_keep_their_margin),
        cmocka_unit_test(small_run_supports_its_claims),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
