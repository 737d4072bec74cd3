/* SPDX-License-Identifier: MIT
 * test_hmm_vs_rnn.c -- Q43: hidden Markov models against sums over all paths, the unrolled network
 * against the same step by step, the closed forms, and a small run. */
#include "small_run.h"

#include "experiments/hmm_vs_rnn.h"

enum { K = 3, M = 2, T = 5, PATHS = 243 };

static double path_probability(const dlf_hmm *m, const int *o, int path, int s[T])
{
    double p = 1.0;
    for (int t = 0; t < T; t++) {
        s[t] = path % K;
        path /= K;
        p *= t ? m->move[s[t - 1] * K + s[t]] : m->start[s[0]];
        p *= m->emit[s[t] * M + o[t]];
    }
    return p;
}

static void counts_are_sums_over_paths(void **state)
{
    dlf_hmm m;
    const int o[T] = {0, 1, 1, 0, 1};
    OK(dlf_hmm_new(&m, K, M));
    dlf_hmm_draw(&m, 0.1, 1.0, 3, 4, 5);
    double move[K * K] = {0}, emit[K * M] = {0}, start[K] = {0}, log_p, p = 0.0;
    double want_move[K * K] = {0}, want_emit[K * M] = {0}, want_start[K] = {0};
    OK(dlf_hmm_counts(&m, o, T, move, emit, start, &log_p));
    for (int path = 0; path < PATHS; path++) {
        int s[T];
        const double q = path_probability(&m, o, path, s);
        p += q;
        want_start[s[0]] += q;
        for (int t = 0; t < T; t++) want_emit[s[t] * M + o[t]] += q;
        for (int t = 1; t < T; t++) want_move[s[t - 1] * K + s[t]] += q;
    }
    assert_true(fabs(log_p - log(p)) < 1e-13);
    for (int i = 0; i < K * K; i++) assert_true(fabs(move[i] - want_move[i] / p) < 1e-13);
    for (int i = 0; i < K * M; i++) assert_true(fabs(emit[i] - want_emit[i] / p) < 1e-13);
    for (int i = 0; i < K; i++) assert_true(fabs(start[i] - want_start[i] / p) < 1e-13);
    dlf_hmm_free(&m);
}

static void likelihood_never_falls(void **state)
{
    dlf_hmm m;
    int o[3 * 40];
    for (int i = 0; i < 3 * 40; i++) o[i] = i * i % 7 < 3;
    OK(dlf_hmm_new(&m, K, M));
    dlf_hmm_draw(&m, 0.1, 4.0, 1, 2, 3);
    double before = -INFINITY, now;
    for (int round = 0; round < 30; round++, before = now) {
        OK(dlf_hmm_fit(&m, o, 3, 40, 1, &now));
        assert_true(now >= before - 1e-12);
    }
    assert_true(now > 3 * 40 * log(0.5)); /* it has learned something */
    dlf_hmm_free(&m);
}

static void entropies_are_sums_over_sequences(void **state)
{
    enum { MOST = 6 };
    dlf_hmm m;
    double h[MOST], sum = 0.0, most = 0.0;
    OK(dlf_sticky_source(&m));
    dlf_hmm_entropies(&m, h, MOST);
    for (int word = 0; word < 1 << MOST; word++) {
        int o[MOST];
        double log_p;
        for (int t = 0; t < MOST; t++) o[t] = word >> t & 1;
        OK(dlf_hmm_counts(&m, o, MOST, NULL, NULL, NULL, &log_p));
        sum -= exp(log_p) * log_p;
        most += exp(log_p);
    }
    assert_true(fabs(most - 1.0) < 1e-13);
    for (int n = 0; n < MOST; n++) sum -= h[n]; /* the chain rule */
    assert_true(fabs(sum) < 1e-12 && fabs(h[0] - log(2.0)) < 1e-14);
    for (int n = 1; n < MOST; n++) assert_true(h[n] < h[n - 1]);
    dlf_hmm_free(&m);
}

static void memory_in_states_and_units(void **state)
{
    assert_true(dlf_memory_bound(8, 16) == 4.0 * log(2.0) && dlf_memory_bound(3, 100) == 0.0);
    for (int k = 2; k <= 5; k++)
        for (int j = 0; j <= k; j++) {
            dlf_hmm m;
            OK(dlf_memory_hmm(&m, k, j));
            for (int i = 0; i < m.states; i++) {
                double moves = 0.0;
                for (int to = 0; to < m.states; to++) moves += m.move[i * m.states + to];
                assert_true(moves == 1.0 && m.emit[2 * i] + m.emit[2 * i + 1] == 1.0);
            }
            /* what is said has the probability it should: 2^-k at first, 2^-(k-j) then */
            int o[10] = {0};
            double log_p;
            for (int i = 0; i < k; i++) o[i] = o[i + k] = i % 3 == 1;
            OK(dlf_hmm_counts(&m, o, 2 * k, NULL, NULL, NULL, &log_p));
            assert_true(fabs(log_p + (2 * k - j) * log(2.0)) < 1e-12);
            o[k] ^= j > 0; /* the first bit is always remembered */
            if (j) {
                OK(dlf_hmm_counts(&m, o, 2 * k, NULL, NULL, NULL, &log_p));
                assert_false(log_p > -1e300); /* -Infinity, or NaN behind it */
            }
            assert_int_equal(m.states, dlf_memory_states(k, j));
            dlf_hmm_free(&m);
        }
    assert_int_equal(dlf_memory_states(6, 6), (1 << 8) - 4);
    assert_int_equal(dlf_memory_states(6, 0), 1);
}

static void unrolled_network_is_its_steps(void **state)
{
    enum { P = 2, B = 3, STEPS = 6 };
    const dlf_next_symbol n = {.members = P, .batch = B, .hidden = 5, .steps = STEPS};
    dlf_graph *g;
    float x[P * B * 2 * STEPS], target[P * B * STEPS];
    int o[P * B][STEPS + 1];
    double loss[P * B], by_step[STEPS + 1];
    OK(dlf_next_symbol_network(&g, kt_dev, &n));
    OK(dlf_graph_initialise(g, 7, NULL));
    for (int row = 0; row < P * B; row++) {
        for (int t = 0; t <= STEPS; t++) o[row][t] = (row * 5 + t * t) % 3 == 1;
        dlf_next_symbol_row(x + row * 2 * STEPS, target + row * STEPS, o[row], STEPS);
    }
    OK(dlf_tensor_upload(dlf_graph_value(g, dlf_graph_find(g, "x")), x));
    OK(dlf_tensor_upload(dlf_graph_value(g, dlf_graph_find(g, "target")), target));
    OK(dlf_graph_forward(g, DLF_TRAINING));
    OK(dlf_tensor_download_f64(loss, dlf_graph_value(g, dlf_graph_find(g, "loss"))));
    for (int row = 0; row < P * B; row++) {
        dlf_elman_weights e;
        double sum = 0.0;
        OK(dlf_elman_weights_new(&e, n.hidden, 2, 1));
        OK(dlf_elman_download(&e, g, row / B));
        dlf_next_symbol_losses(&e, o[row], STEPS + 1, by_step);
        for (int t = 1; t <= STEPS; t++) sum += by_step[t];
        assert_true(fabs(sum - loss[row]) < 1e-5);
        dlf_elman_weights_free(&e);
    }
    dlf_graph_free(g);
}

static void small_run_finds_what_it_should(void **state)
{
    const small_run run = {
        .question = "Q43",
        .slug = "hmm-vs-rnn",
        .seed = 1,
        .seeds = 4,
        .set = {{"symbols", "30000"},
                {"time", "16"},
                {"steps", "200"},
                {"rounds", "30"},
                {"memory_bits", "3"},
                {"copy_steps", "250"}},
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_sums_over_paths),
        cmocka_unit_test(likelihood_never_falls),
        cmocka_unit_test(entropies_are_sums_over_sequences),
        cmocka_unit_test(memory_in_states_and_units),
        cmocka_unit_test(unrolled_network_is_its_steps),
        cmocka_unit_test(small_run_finds_what_it_should),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
