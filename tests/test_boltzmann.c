/* SPDX-License-Identifier: MIT
 * test_boltzmann.c -- Q29: closed forms against sums over all states, the machine's moments against
 * finite differences, its chain against its law, the graph against both, and a small run. */
#include "small_run.h"

#include "experiments/boltzmann.h"

static void ring_by_enumeration(void **state)
{
    enum { N = 7 };
    for (double k = -0.9; k < 2.0; k += 0.4)
        for (int r = 0; r < N; r++) {
            double z = 0.0, mean = 0.0;
            for (int s = 0; s < 1 << N; s++) {
                double energy = 0.0;
                for (int i = 0; i < N; i++)
                    energy += (s >> i & 1) == (s >> (i + 1) % N & 1) ? k : -k;
                z += exp(energy);
                mean += exp(energy) * ((s & 1) == (s >> r & 1) ? 1 : -1);
            }
            assert_true(fabs(dlf_ising_log_z(N, k) - log(z)) < 1e-12);
            assert_true(fabs(dlf_ising_correlation(N, k, r) - mean / z) < 1e-12);
        }
}

/* A machine with weights of order 1/2: its chain forgets fast. */
static void draw(dlf_rbm *m)
{
    float *x = kt_random(DLF_RBM_H * DLF_RBM_V + DLF_RBM_V + DLF_RBM_H, 5, 0.5f, 0.0f);
    int at = 0;
    for (int j = 0; j < DLF_RBM_H; j++)
        for (int i = 0; i < DLF_RBM_V; i++) m->w[j][i] = x[at++];
    for (int i = 0; i < DLF_RBM_V; i++) m->b[i] = x[at++];
    for (int j = 0; j < DLF_RBM_H; j++) m->c[j] = x[at++];
    free(x);
}

static void log_z_is_the_sum_over_all_states(void **state)
{
    dlf_rbm m;
    double z = 0.0;
    draw(&m);
    for (int v = 0; v < DLF_RBM_STATES; v++)
        for (int h = 0; h < 1 << DLF_RBM_H; h++) {
            double energy = 0.0;
            for (int i = 0; i < DLF_RBM_V; i++) energy += (v >> i & 1) * m.b[i];
            for (int j = 0; j < DLF_RBM_H; j++) {
                energy += (h >> j & 1) * m.c[j];
                for (int i = 0; i < DLF_RBM_V; i++)
                    energy += (h >> j & 1) * (v >> i & 1) * m.w[j][i];
            }
            z += exp(energy);
        }
    assert_true(fabs(dlf_rbm_log_z(&m) - log(z)) < 1e-10);
}

static void moments_are_the_gradient(void **state)
{
    dlf_rbm m, model, of_data;
    double law[DLF_RBM_STATES], data[DLF_RBM_STATES] = {0.0};
    int32_t pattern[DLF_RBM_PATTERNS];
    const double step = 1e-5;
    draw(&m);
    dlf_rbm_patterns(pattern);
    for (int k = 0; k < DLF_RBM_PATTERNS; k++) {
        assert_true(k == 0 || pattern[k] > pattern[k - 1]);
        data[pattern[k]] = 1.0 / DLF_RBM_PATTERNS;
    }
    assert_true(pattern[0] == 0 && pattern[DLF_RBM_PATTERNS - 1] == 511);
    dlf_rbm_law(&m, law);
    dlf_rbm_moments(&m, law, &model);
    dlf_rbm_moments(&m, data, &of_data);
    double *const at[] = {&m.w[2][4], &m.b[7], &m.c[5]};
    const double want[] = {model.w[2][4] - of_data.w[2][4], model.b[7] - of_data.b[7],
                           model.c[5] - of_data.c[5]};
    for (int i = 0; i < 3; i++) {
        const double here = *at[i];
        *at[i] = here + step;
        const double above = dlf_rbm_loss(&m);
        *at[i] = here - step;
        const double below = dlf_rbm_loss(&m);
        *at[i] = here;
        assert_true(fabs((above - below) / (2.0 * step) - want[i]) < 1e-7);
    }
}

static void chain_keeps_the_law(void **state)
{
    enum { HIDDEN = 1 << DLF_RBM_H };
    dlf_rbm m;
    double law[DLF_RBM_STATES], p[DLF_RBM_STATES] = {0.0}, q[DLF_RBM_STATES], sum = 0.0;
    double *to_hidden = malloc(2 * DLF_RBM_STATES * HIDDEN * sizeof *to_hidden);
    assert_non_null(to_hidden);
    double *to_visible = to_hidden + DLF_RBM_STATES * HIDDEN;
    draw(&m);
    dlf_rbm_tables(&m, to_hidden, to_visible);
    dlf_rbm_law(&m, law);
    memcpy(q, law, sizeof q);
    dlf_rbm_step(to_hidden, to_visible, q);
    for (int v = 0; v < DLF_RBM_STATES; v++) assert_true(fabs(q[v] - law[v]) < 1e-14);
    p[3] = 0.25; /* two ways to make a step; and the law in the end */
    p[100] = 0.75;
    memcpy(q, p, sizeof q);
    dlf_rbm_step(to_hidden, to_visible, q);
    dlf_rbm_round(&m, p);
    for (int v = 0; v < DLF_RBM_STATES; v++) {
        assert_true(fabs(q[v] - p[v]) < 1e-15);
        sum += p[v];
    }
    assert_true(fabs(sum - 1.0) < 1e-12);
    for (int k = 0; k < 100; k++) dlf_rbm_step(to_hidden, to_visible, p);
    for (int v = 0; v < DLF_RBM_STATES; v++) assert_true(fabs(p[v] - law[v]) < 1e-6);
    free(to_hidden);
}

/* The graph's loss is the machine's. */
static void graph_has_the_loss(void **state)
{
    dlf_graph *g = NULL;
    dlf_rbm m = {0};
    double x[DLF_RBM_STATES * DLF_RBM_V], ones[DLF_RBM_PATTERNS], loss;
    int32_t pattern[DLF_RBM_PATTERNS];
    OK(dlf_boltzmann_net(&g, kt_ref, 1, DLF_RBM_STATES, DLF_RBM_V, DLF_RBM_H, DLF_RBM_PATTERNS,
                         9.0));
    OK(dlf_graph_initialise(g, 4, NULL));
    for (int s = 0; s < DLF_RBM_STATES; s++)
        for (int i = 0; i < DLF_RBM_V; i++) x[s * DLF_RBM_V + i] = s >> i & 1;
    for (int k = 0; k < DLF_RBM_PATTERNS; k++) ones[k] = 1.0;
    dlf_rbm_patterns(pattern);
    OK(dlf_tensor_upload_f64(dlf_graph_value(g, dlf_graph_find(g, "x")), x));
    OK(dlf_tensor_upload_f64(dlf_graph_value(g, dlf_graph_find(g, "ones")), ones));
    OK(dlf_tensor_upload_f64(dlf_graph_value(g, dlf_graph_find(g, "sum")), ones));
    OK(dlf_tensor_upload_i32(dlf_graph_value(g, dlf_graph_find(g, "label")), pattern));
    OK(dlf_graph_forward(g, DLF_TRAINING));
    OK(dlf_graph_objective(g, &loss));
    OK(dlf_tensor_download_f64(&m.w[0][0], dlf_graph_value(g, dlf_graph_find(g, "h.w"))));
    assert_true(fabs(loss - dlf_rbm_loss(&m)) < 1e-10);
    dlf_graph_free(g);
}

static void small_run_finds_what_it_should(void **state)
{
    const small_run run = {
        .question = "Q29",
        .slug = "boltzmann",
        .seed = 1,
        .seeds = 4,
        .set = {{"sweeps", "2000"},
                {"learn_steps", "300"},
                {"rounds", "10"},
                {"chains", "40"},
                {"temperatures", "100"}},
        .refuted = {"ring_cold", "plain_share"},
        /* what training brings takes longer */
        .left_out = {"rbm_exact", "parity_hidden", "bias_", "cd1_", "no_hidden"},
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_by_enumeration),
        cmocka_unit_test(log_z_is_the_sum_over_all_states),
        cmocka_unit_test(moments_are_the_gradient),
        cmocka_unit_test(chain_keeps_the_law),
        cmocka_unit_test(graph_has_the_loss),
        cmocka_unit_test(small_run_finds_what_it_should),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
