/* SPDX-License-Identifier: MIT
 * test_drqn.c -- Q41: the closed forms against enumeration and linear equations, the pair of
 * networks, and a small run. */
#include "small_run.h"

#include "experiments/drqn.h"

/* All patterns of hidden signs: right where one is seen, else half of the time. */
static void maze_by_enumeration(void **state)
{
    for (int frames = 1; frames <= 7; frames++) {
        const dlf_maze m = {6, 3, 0.3};
        double success = 0.0;
        for (int pattern = 0; pattern < 8; pattern++) {
            double p = 1.0;
            bool seen = false;
            for (int t = 0; t < 3; t++) {
                p *= pattern >> t & 1 ? m.hidden : 1.0 - m.hidden;
                seen |= !(pattern >> t & 1) && t > m.corridor - frames;
            }
            success += p * (seen ? 1.0 : 0.5);
        }
        assert_true(fabs(dlf_maze_success(&m, frames) - success) < 1e-14);
    }
    const dlf_maze five = {5, 1, 0.0};
    assert_true(fabs(dlf_maze_return(&five, 1.0) - 3.6156831872) < 1e-9);
    assert_true(fabs(dlf_maze_return(&five, 0.5) - 1.7626455538) < 1e-9);
}

/* Open once two heard in a row agree; else listen. A = 10 + gV, B = -100 + gV,
 *   right = -1 + g (.85 A + .15 wrong),  wrong = -1 + g (.15 B + .85 right)
 *   V = -1 + g (.85 right + .15 wrong)                                        solved by hand */
static double window_of_two(void)
{
    const double g = 0.95, q = 0.85, p = 1.0 - q;
    /* right = a0 + a1 V, wrong = b0 + b1 V */
    const double c0 = -1.0 + g * q * 10.0, c1 = g * q * g, d0 = -1.0 - g * p * 100.0,
                 d1 = g * p * g;
    const double det = 1.0 - g * p * g * q;
    const double a0 = (c0 + g * p * d0) / det, a1 = (c1 + g * p * d1) / det;
    const double b0 = d0 + g * q * a0, b1 = d1 + g * q * a1;
    return (-1.0 + g * (q * a0 + p * b0)) / (1.0 - g * (q * a1 + p * b1));
}

static void tiger_values(void **state)
{
    assert_true(fabs(dlf_tiger_value(40) - 19.3714) < 1e-4); /* by another program */
    assert_true(fabs(dlf_tiger_value(40) - dlf_tiger_value(10)) < 1e-9);
    for (int n = 1; n <= 6; n++) assert_true(dlf_tiger_threshold(n) <= dlf_tiger_value(40) + 1e-9);
    /* opening after one: -1 + g (8.5 - 15 + gV) = V */
    assert_true(fabs(dlf_tiger_threshold(1) - (-1.0 - 0.95 * 6.5) / (1.0 - 0.95 * 0.95)) < 1e-9);
    assert_true(fabs(dlf_tiger_window(1) + 20.0) < 1e-9);
    assert_true(fabs(dlf_tiger_window(2) - window_of_two()) < 1e-9);
    assert_true(dlf_tiger_window(2) < dlf_tiger_value(40) - 5.0);
}

/* The second network follows every `every` steps, and not before; a gradient of 1 lowers a value.
 */
static void pair_of_networks(void **state)
{
    for (int recurrent = 0; recurrent < 2; recurrent++) {
        const dlf_qnet_spec spec = {.members = 2,
                                    .batch = 3,
                                    .steps = 4,
                                    .inputs = 2,
                                    .outputs = 3,
                                    .hidden = 5,
                                    .recurrent = recurrent};
        const int n = 2 * 3 * 4 * 3;
        dlf_qnet q = {0};
        OK(dlf_qnet_new(&q, kt_dev, &spec, 1, 0.01, 2, 10));
        for (int i = 0; i < 2 * 3 * 4 * 2; i++) q.x[i] = i % 5 - 2.0;
        for (int step = 0; step < 4; step++) {
            OK(dlf_qnet_look(&q, true));
            double apart = 0.0, before = q.value[7];
            for (int i = 0; i < n; i++) apart = fmax(apart, fabs(q.value[i] - q.target[i]));
            assert_true(step % 2 ? apart > 1e-4 : apart == 0.0);
            q.gradient[7] = 1.0;
            OK(dlf_qnet_learn(&q));
            OK(dlf_qnet_look(&q, false));
            assert_true(q.value[7] < before && q.gradient[7] == 0.0);
        }
        /* double Q-learning: the target of the action that the other network prefers */
        for (int i = 0; i < n; i++) {
            q.value[i] = i % 3 == 1;
            q.target[i] = i;
        }
        assert_int_equal(dlf_qnet_best(&q, 1, 2, 3), 1);
        assert_true(dlf_qnet_worth(&q, 1, 2, 3) == n - 2);
        dlf_qnet_free(&q);
    }
}

static void small_run_finds_what_it_should(void **state)
{
    const small_run run = {
        .question = "Q41",
        .slug = "drqn",
        .seed = 1,
        .seeds = 3,
        .set = {{"corridor", "3"},
                {"longest_corridor", "5"},
                {"steps", "300"},
                {"tiger_steps", "150"},
                {"games", "50"}},
        /* a random start will do for 5; so few steps are too few to add up what was heard */
        .left_out = {"random_start", "tiger_all", "tiger_gain", "tiger_believes", "tiger_vain"},
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maze_by_enumeration),
        cmocka_unit_test(tiger_values),
        cmocka_unit_test(pair_of_networks),
        cmocka_unit_test(small_run_finds_what_it_should),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
