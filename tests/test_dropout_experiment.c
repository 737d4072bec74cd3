/* SPDX-License-Identifier: MIT
 * test_dropout_experiment.c -- Q31: closed forms and mean-field theory against independent
 * arithmetic, blocks of rows, and a small run. */
#include "kernel_test.h"

#include "dlf/experiment.h"
#include "dlf/theory.h"
#include "experiments/digits_blocks.h"
#include "experiments/dropout.h"

/* ---- sums and least squares: all masks ---- */

/* Mean of f over all 2^n masks with keep probability p. */
static double over_masks(double (*f)(const double *m, const void *user), const void *user, int n,
                         double keep)
{
    double sum = 0.0, m[16];
    for (int mask = 0; mask < 1 << n; mask++) {
        double share = 1.0;
        for (int j = 0; j < n; j++) {
            m[j] = mask >> j & 1;
            share *= mask >> j & 1 ? keep : 1.0 - keep;
        }
        sum += share * f(m, user);
    }
    return sum;
}

static const double terms[] = {0.3, -1.2, 2.0, 0.7, -0.4, 1.1};
enum { TERMS = 6 };

static double total(const double *m, const void *user)
{
    double sum = 0.0;
    for (int j = 0; j < TERMS; j++) sum += m[j] * terms[j];
    return sum / *(const double *)user;
}
static double total_squared(const double *m, const void *user)
{
    return total(m, user) * total(m, user);
}

static void sums_have_their_moments(void **state)
{
    for (double keep = 0.2; keep < 1.05; keep += 0.2)
        for (int rescale = 0; rescale < 2; rescale++) {
            const double by = rescale ? keep : 1.0;
            const dlf_dropped_sum s = dlf_dropout_sum(terms, TERMS, keep, rescale);
            const double mean = over_masks(total, &by, TERMS, keep);
            const double square = over_masks(total_squared, &by, TERMS, keep);
            assert_true(fabs(s.mean - mean) < 1e-13);
            assert_true(fabs(s.variance - (square - mean * mean)) < 1e-12);
        }
}

enum { N = 3, P = 4 };
static const double x[N * P] = {1.0, 0.2, -0.5, 2.0, 0.1, -1.0, 0.8, 0.4, -0.7, 0.3, 1.5, -0.2};
static const double y[N] = {1.0, -0.5, 2.0};

typedef struct one_row {
    const double *w;
    int row;
} one_row;

static double squared_error(const double *m, const void *user)
{
    const one_row *r = user;
    double f = 0.0;
    for (int j = 0; j < P; j++) f += m[j] * x[r->row * P + j] * r->w[j];
    return (y[r->row] - f) * (y[r->row] - f);
}

static double expected_loss(const double *w, double keep)
{
    double sum = 0.0;
    for (int i = 0; i < N; i++) {
        const one_row r = {w, i};
        sum += over_masks(squared_error, &r, P, keep);
    }
    return sum;
}

static void expected_loss_is_that_of_all_masks(void **state)
{
    const double w[P] = {0.5, -1.0, 0.25, 2.0};
    double noise;
    for (double keep = 0.1; keep < 1.05; keep += 0.3) {
        const double got = dlf_dropout_loss(x, y, w, N, P, keep, &noise);
        assert_true(fabs(got - expected_loss(w, keep)) < 1e-12);
        assert_true(noise >= 0.0 && (keep < 0.99 || noise < 1e-12));
    }
}

/* With division by keep, loss(w) without it has its minimum at w / keep: any step from there is up,
 * also where X has fewer rows than columns. */
static void ridge_minimises_the_expected_loss(void **state)
{
    double gram[P * P] = {0}, xty[P] = {0}, diagonal[P], w[P];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < P; j++) {
            xty[j] += x[i * P + j] * y[i];
            for (int k = 0; k < P; k++) gram[j * P + k] += x[i * P + j] * x[i * P + k];
        }
    for (int j = 0; j < P; j++) diagonal[j] = gram[j * P + j];
    for (double keep = 0.3; keep < 0.95; keep += 0.2) {
        dlf_dropout_ridge(gram, xty, diagonal, P, keep, w);
        for (int j = 0; j < P; j++) w[j] /= keep;
        const double least = expected_loss(w, keep);
        for (int j = 0; j < P; j++)
            for (double step = -1e-3; step < 2e-3; step += 2e-3) {
                w[j] += step;
                assert_true(expected_loss(w, keep) > least);
                w[j] -= step;
            }
    }
}

/* ---- logistic regression ---- */

static double log_loss(const double *m, const void *user)
{
    return log(1.0 + exp(total(m, user)));
}

static void penalties(void **state)
{
    double t[TERMS], sum = 0.0;
    for (int j = 0; j < TERMS; j++) sum += terms[j];
    for (double keep = 0.3; keep < 1.0; keep += 0.3) {
        const double exact = over_masks(log_loss, &keep, TERMS, keep) - log(1.0 + exp(sum));
        assert_true(fabs(dlf_dropout_penalty(terms, TERMS, keep, false) - exact) < 1e-13);
        assert_true(fabs(dlf_dropout_penalty(terms, TERMS, keep, true) -
                         dlf_dropout_penalty_quadratic(terms, TERMS, keep, true)) < 1e-12);
        /* what is left out falls as the fourth and the sixth power of the scale: odd derivatives of
         * A vanish at 0 */
        double left[2][2];
        for (int k = 0; k < 2; k++) {
            const double scale = k ? 0.02 : 0.04;
            for (int j = 0; j < TERMS; j++) t[j] = scale * terms[j];
            const double e = dlf_dropout_penalty(t, TERMS, keep, false);
            left[0][k] = fabs(e - dlf_dropout_penalty_quadratic(t, TERMS, keep, false));
            left[1][k] = fabs(e - dlf_dropout_penalty_fourth(t, TERMS, keep));
        }
        const double fourth = left[0][0] / left[0][1], sixth = left[1][0] / left[1][1];
        assert_true(fourth > 14.0 && fourth < 18.0);
        assert_true(sixth > 50.0 && sixth < 80.0);
    }
    /* many small terms are nearly normal */
    double many[20];
    for (int j = 0; j < 20; j++) many[j] = 0.3 * cos(j);
    const double exact = dlf_dropout_penalty(many, 20, 0.5, false);
    assert_true(fabs(dlf_dropout_penalty_normal(many, 20, 0.5) / exact - 1.0) < 0.02);
}

/* ---- ensembles ---- */

enum { UNITS = 6, CLASSES = 3 };
static void linear_logits(const void *user, const double *factor, double *z)
{
    for (int c = 0; c < CLASSES; c++) {
        z[c] = 0.1 * c;
        for (int j = 0; j < UNITS; j++) z[c] += factor[j] * terms[j] * cos(1.0 + c * UNITS + j);
    }
}
static void bent_logits(const void *user, const double *factor, double *z)
{
    linear_logits(user, factor, z);
    for (int c = 0; c < CLASSES; c++) z[c] = fmax(z[c], 0.0);
}

static void geometric_mean_is_exact_for_linear_logits(void **state)
{
    for (double keep = 0.2; keep < 1.0; keep += 0.3) {
        dlf_mask_ensemble e, bent;
        dlf_mask_ensemble_of(&e, linear_logits, NULL, UNITS, CLASSES, keep);
        dlf_mask_ensemble_of(&bent, bent_logits, NULL, UNITS, CLASSES, keep);
        double sum[3] = {0.0}, apart = 0.0, bent_apart = 0.0;
        for (int c = 0; c < CLASSES; c++) {
            sum[0] += exp(e.scaled[c]);
            sum[1] += exp(e.geometric[c]);
            sum[2] += exp(e.arithmetic[c]);
            assert_true(fabs(e.scaled[c] - e.geometric[c]) < 1e-13);
            apart += fabs(e.scaled[c] - e.arithmetic[c]);
            bent_apart += fabs(bent.scaled[c] - bent.geometric[c]);
        }
        for (int i = 0; i < 3; i++) assert_true(fabs(sum[i] - 1.0) < 1e-13);
        assert_true(apart > 1e-3 && bent_apart > 1e-3);
    }
}

/* ---- mean field ---- */

/* E[tanh(s u) tanh(s v)], correlation c, by the midpoint rule on a grid. */
static double brute_product(double q, double c)
{
    enum { POINTS = 600 };
    const double far = 8.0, h = 2 * far / POINTS, s = sqrt(q), t = sqrt(1 - c * c);
    double sum = 0.0;
    for (int i = 0; i < POINTS; i++) {
        const double a = -far + (i + 0.5) * h;
        double inner = 0.0;
        for (int j = 0; j < POINTS; j++) {
            const double b = -far + (j + 0.5) * h;
            inner += exp(-0.5 * b * b) * tanh(s * (c * a + t * b));
        }
        sum += exp(-0.5 * a * a) * tanh(s * a) * inner;
    }
    return sum * h * h / (2 * M_PI);
}

static void correlations_with_dropout(void **state)
{
    const dlf_activation f = dlf_activation_of(DLF_TANH);
    /* values of an independent quadrature: c* at sigma_w^2 = 1.7 */
    static const double want[][2] = {{0.99, 0.800}, {0.95, 0.537}, {0.9, 0.378}, {0.5, 0.051}};
    for (int i = 0; i < 4; i++) {
        const double keep = want[i][0];
        const dlf_meanfield m = dlf_meanfield_dropout(f, 1.7, 0.05, keep);
        assert_true(fabs(m.c_star - want[i][1]) < 6e-4);
        /* q* is that of sigma_w^2 / keep, c* a fixed point of the map by brute force */
        const dlf_meanfield plain = dlf_meanfield_solve(f, 1.7 / keep, 0.05, false);
        assert_true(m.q_star == plain.q_star && m.chi_1 == plain.chi_1);
        const double next = (1.7 * brute_product(m.q_star, m.c_star) + 0.05) / m.q_star;
        assert_true(fabs(next - m.c_star) < 1e-8);
        /* chi_c is the slope of the map there */
        const double d = 1e-4;
        const double slope =
            (brute_product(m.q_star, m.c_star + d) - brute_product(m.q_star, m.c_star - d)) /
            (2 * d) * 1.7 / m.q_star;
        assert_true(fabs(slope / m.chi_c - 1.0) < 1e-5);
        assert_true(fabs(m.xi_c + 1.0 / log(m.chi_c)) < 1e-12 && m.chi_c < 1.0);
        double path[200] = {1.0};
        dlf_meanfield_dropout_path(&m, f, path, 199);
        assert_true(path[1] < 1.0 && fabs(path[199] - m.c_star) < 1e-5);
    }
    /* keep = 1 is the theory without dropout, and the limit from below where that is chaotic */
    const dlf_meanfield one = dlf_meanfield_dropout(f, 2.5, 0.05, 1.0);
    assert_true(one.c_star == dlf_meanfield_solve(f, 2.5, 0.05, true).c_star);
    const dlf_meanfield near = dlf_meanfield_dropout(f, 2.5, 0.05, 1.0 - 1e-9);
    assert_true(fabs(near.c_star - one.c_star) < 1e-7);
    assert_true(fabs(near.xi_c / one.xi_c - 1.0) < 1e-6);
}

/* ReLU without biases has closed forms: lengths q' = sigma_w^2 q / (2 keep), and the arc-cosine
 * kernel. At sigma_w^2 = 2 keep the length stays and c* solves keep kappa_1(c) = c. */
static void relu_has_a_closed_form(void **state)
{
    const double keep = 0.8;
    dlf_meanfield m = {.sigma_w2 = 2 * keep, .q_star = 0.7};
    double path[400] = {1.0};
    dlf_meanfield_dropout_path(&m, dlf_activation_of(DLF_RELU), path, 399);
    assert_true(fabs(path[1] - keep) < 1e-10); /* at c = 1 the series holds all of E f^2 */
    for (int l = 1; l < 6; l++)
        assert_true(fabs(path[l + 1] - keep * dlf_arccos_kernel1(path[l])) < 1e-8);
    assert_true(fabs(keep * dlf_arccos_kernel1(path[399]) - path[399]) < 1e-8);
}

/* ---- blocks ---- */

static void blocks_of_rows(void **state)
{
    dlf_dataset d, out;
    OK(dlf_digits_load(&d));
    const dlf_block_size size = {60, 40, 20};
    const dlf_block block[] = {{0, 0.0, 0}, {0, 0.5, 0}, {0, 0.0, 15}, {1, 0.0, 0}};
    int32_t base[4];
    OK(dlf_blocks_make(&out, base, &d, 7, size, block, 4));
    assert_int_equal(out.train, 4 * 120);
    const size_t F = (size_t)out.features, row = F * sizeof *out.x;
    int wrong = 0;
    for (int i = 0; i < 120; i++) {
        const float *a = out.x + (size_t)(base[0] + i) * F, *b = out.x + (size_t)(base[1] + i) * F;
        const float *c = out.x + (size_t)(base[2] + i) * F;
        assert_memory_equal(a, b, row); /* one draw, one choice of rows */
        wrong += out.label[base[0] + i] != out.label[base[1] + i];
        if (i >= 100) {
            assert_memory_equal(a, d.x + (size_t)(d.train + i - 100) * F, row);
            assert_int_equal(out.label[base[1] + i], d.label[d.train + i - 100]);
        }
        if (i >= 60) assert_memory_equal(a, c, row);
        if (i < 60) { /* few rows, again and again, each with its label */
            assert_memory_equal(c, out.x + (size_t)(base[0] + i % 15) * F, row);
            assert_int_equal(out.label[base[2] + i], out.label[base[0] + i % 15]);
        }
    }
    assert_true(wrong > 25 && wrong < 75); /* 100 of them, half: five standard deviations */
    assert_memory_not_equal(out.x, out.x + (size_t)base[3] * F, row);
    dlf_dataset_free(&out);
    assert_int_equal(dlf_blocks_make(&out, base, &d, 7, (dlf_block_size){1200, 200, 20}, block, 1),
                     DLF_ERR_ARG);
    dlf_dataset_free(&d);
}

/* ---- a small run on the device ---- */

static void small_run_supports_its_claims(void **state)
{
    const dlf_experiment *e = dlf_experiment_find("Q31");
    assert_non_null(e);
    assert_string_equal(e->slug, "dropout");
    const dlf_setting set[] = {{"masks", "400"}, {"linear_steps", "2000"}, {"copies", "4"},
                               {"width", "150"}, {"digits_width", "40"},   {"digits_steps", "300"}};
    const dlf_run_options options = {.device = kt_dev,
                                     .seed = 3,
                                     .seeds = 4,
                                     .set = set,
                                     .n_set = sizeof set / sizeof set[0],
                                     .command = "test"};
    /* Left to chance in so small a run: whether few rows gain, which probabilities are better, and
     * a depth scale of a narrow network. */
    static const char *const open[] = {"small_gain", "monte_carlo_loss", "xi_c"};
    dlf_result *r = NULL;
    OK(dlf_experiment_run(&r, e, &options));
    for (int i = 0; i < dlf_result_checks(r); i++) {
        const dlf_check *c = dlf_result_get_check(r, i);
        bool any = false;
        for (int k = 0; k < 3; k++) any |= strcmp(open[k], c->id) == 0;
        if (!any && c->verdict != DLF_SUPPORTED)
            fail_msg("%s: %s, %g for %g +- %g", c->id, dlf_verdict_name(c->verdict), c->measured,
                     c->expected, c->tolerance);
    }
    dlf_result_free(r);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_have_their_moments),
        cmocka_unit_test(expected_loss_is_that_of_all_masks),
        cmocka_unit_test(ridge_minimises_the_expected_loss),
        cmocka_unit_test(penalties),
        cmocka_unit_test(geometric_mean_is_exact_for_linear_logits),
        cmocka_unit_test(correlations_with_dropout),
        cmocka_unit_test(relu_has_a_closed_form),
        cmocka_unit_test(blocks_of_rows),
        cmocka_unit_test(small_run_supports_its_claims),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
