/* SPDX-License-Identifier: MIT
 * test_word_vectors.c -- Q9: the small language, what word vectors converge to, and a small run. */
#include "small_run.h"

#include "experiments/embedding.h"

enum { W = DLF_WORDS };

static void language_is_a_distribution(void **state)
{
    double joint[W * W], other[W * W], m[W * W];
    for (int independent = 0; independent < 2; independent++) {
        double sum = 0.0, within = 0.0;
        dlf_language(joint, independent, 5, 2);
        for (int i = 0; i < W; i++)
            for (int j = 0; j < W; j++) {
                assert_true(joint[i * W + j] > 0.0);
                assert_true(fabs(joint[i * W + j] - joint[j * W + i]) < 1e-15);
                sum += joint[i * W + j];
                if (i % DLF_TOPICS == j % DLF_TOPICS) within += joint[i * W + j];
            }
        assert_true(fabs(sum - 1.0) < 1e-12);
        /* 7 : 1 : 1 : 1 as often within a topic; as often as by chance where words are independent
         */
        assert_true(fabs(within - (independent ? 0.25 : 0.7)) < 0.05);
    }
    dlf_shifted_pmi(m, joint, 5.0);
    for (int i = 0; i < W * W; i++) assert_true(fabs(m[i] + log(5.0)) < 1e-12);
    dlf_language(joint, false, 5, 2);
    dlf_language(other, false, 5, 3);
    assert_true(joint[1] != other[1]);
}

/* The loss is least where every score is the shifted mutual information: no small change of any
 * score lowers it, and its slope by central differences is 0 there. */
static void loss_is_least_at_shifted_pmi(void **state)
{
    double joint[W * W], m[W * W];
    const double k = 3.0, h = 1e-3;
    dlf_language(joint, false, 1, 0);
    dlf_shifted_pmi(m, joint, k);
    const double least = dlf_sgns_loss(m, joint, k);
    for (int i = 0; i < W * W; i += 17) {
        const double here = m[i];
        m[i] = here + h;
        const double up = dlf_sgns_loss(m, joint, k);
        m[i] = here - h;
        const double down = dlf_sgns_loss(m, joint, k);
        m[i] = here;
        assert_true(up > least && down > least);
        assert_true(fabs(up - down) / (2 * h) < 1e-6);
    }
    /* one score of its own: -p ln s(0) - k q ln s(0) each, at m = 0 */
    for (int i = 0; i < W * W; i++) m[i] = 0.0;
    assert_true(fabs(dlf_sgns_loss(m, joint, k) - (1.0 + k) * log(2.0)) < 1e-12);
}

static void discarded_singular_values(void **state)
{
    /* rows of a diagonal matrix exchanged: singular values 3, 2, 1 */
    const double m[9] = {0, -2, 0, 3, 0, 0, 0, 0, 1};
    static const double want[] = {14.0, 5.0, 1.0, 0.0};
    for (int d = 0; d <= 3; d++) {
        double got;
        OK(dlf_discarded(&got, m, 3, d));
        assert_true(fabs(got - want[d]) < 1e-12);
    }
}

static void small_run_supports_its_claims(void **state)
{
    const small_run run = {
        .question = "Q9",
        .slug = "embedding",
        .seed = 4,
        .seeds = 3,
        .set = {{"vocabulary", "100"},
                {"dim", "8"},
                {"batch", "16"},
                {"identity_steps", "5"},
                {"largest", "9"},
                {"word_steps", "6000"}},
        .left_out = {"time_"}, /* times are no matter of a test */
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(language_is_a_distribution),
        cmocka_unit_test(loss_is_least_at_shifted_pmi),
        cmocka_unit_test(discarded_singular_values),
        cmocka_unit_test(small_run_supports_its_claims),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
