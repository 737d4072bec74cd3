/* SPDX-License-Identifier: MIT
 * test_experiments.c -- every registered experiment in a tiny configuration, on the device under
 * test: it finishes, produces what its figures and answers need, is reproducible bit for bit from
 * its seed, changes with the seed, and agrees with the cpu backend within float32 rounding. */
#include "kernel_test.h"

#include "data/embedded.h"
#include "dlf/experiment.h"
#include "dlf/graph.h"
#include "experiments/run.h"
#include "report/answer.h"

/* argv[3], an experiment's slug, restricts the tests to it: a single one takes seconds in the test
 * bed. An answer that draws on several is then not rendered. */
static const char *only;
#define EACH(e)                                                                                    \
    for (const dlf_experiment *const *e = dlf_experiments; *e; e++)                                \
        if (!only || strcmp((*e)->slug, only) == 0)

/* Settings that exist in an experiment are applied; small enough for the CPU test bed. */
static const dlf_setting tiny[] = {{"width", "24"},
                                   {"depth", "5"},
                                   {"batch", "3"},
                                   {"digits_depth", "2"},
                                   {"digits_width", "8"},
                                   {"steps", "12"},
                                   {"rate_steps", "4"},
                                   {"step_repeats", "1"},
                                   {"time", "12"},
                                   {"starts", "2"},
                                   {"trials", "20"},
                                   {"phase_width", "8"},
                                   {"tents", "3"},
                                   {"draws", "2"},
                                   {"points", "64"},
                                   {"tent_steps", "4"},
                                   {"tent_width", "2"},
                                   {"parameters", "310"},
                                   {"nets", "1"},
                                   {"channels", "6"},
                                   {"norm_depth", "6"},
                                   {"norm_batch", "8"},
                                   {"samples", "21"},
                                   {"escape_steps", "200"},
                                   {"copies", "1"},
                                   {"rows", "8"},
                                   {"fit_steps", "20"},
                                   {"digits_steps", "4"},
                                   {"rate", "0.02"},
                                   {"values", "1024"},
                                   {"game_steps", "4"},
                                   {"class_steps", "2"},
                                   {"most_steps", "5"},
                                   {"test_rows", "16"},
                                   {"epochs", "1"},
                                   {"conv_epochs", "1"},
                                   {"train_rows", "128"},
                                   {"fold_positions", "256"},
                                   {"largest_batch", "8"},
                                   {"shatter_batch", "8"},
                                   {"n", "20"},
                                   {"p", "6"},
                                   {"side", "12"},
                                   {"data", "digits"},
                                   {"descent_steps", "30"},
                                   {"passes", "4"},
                                   {"pair_rows", "8"},
                                   {"boolean_passes", "1"},
                                   {"cases", "500"},
                                   {"largest_sample", "400"},
                                   {"hebb_dim", "20"},
                                   {"symbols", "2000"},
                                   {"corridor", "3"},
                                   {"longest_corridor", "5"},
                                   {"tiger_steps", "4"},
                                   {"games", "4"},
                                   {"memory_bits", "3"},
                                   {"copy_steps", "4"},
                                   {"features", "10"},
                                   {"saxe_rate", "0.02"},
                                   {"source_steps", "4"},
                                   {"runs", "2"},
                                   {"bits", "8"},
                                   {"pairs", "3"},
                                   {"generations", "12"},
                                   {"search_steps", "4"},
                                   {"pairs_of_points", "20"},
                                   {"queries", "8"},
                                   {"digit_rows", "300"},
                                   {"rounds", "3"},
                                   {"models", "3"},
                                   {"voters", "50"},
                                   {"vocabulary", "20"},
                                   {"identity_steps", "2"},
                                   {"largest", "8"},
                                   {"word_steps", "20"},
                                   {"digits_passes", "2"},
                                   {"masks", "10"},
                                   {"most_units", "32"},
                                   {"scenes", "17"},
                                   {"test_scenes", "2"},
                                   {"boxes", "20"},
                                   {"proposals", "4"},
                                   {"sweeps", "200"},
                                   {"learn_steps", "20"},
                                   {"chains", "10"},
                                   {"temperatures", "20"},
                                   {"task_features", "12"},
                                   {"task_pairs", "3"},
                                   {"task_steps", "4"},
                                   {"quadratic_rows", "200"},
                                   {"judge_rows", "64"},
                                   {"judge_steps", "4"},
                                   {"orbit_steps", "40"},
                                   {"ring_steps", "20"},
                                   {"ring_width", "8"},
                                   {"ring_batch", "8"},
                                   {"clips", "64"},
                                   {"test_clips", "16"},
                                   {"pca_steps", "3"},
                                   {"coder_steps", "3"},
                                   {"coder_digits_steps", "2"},
                                   {"coder_digits_width", "8"},
                                   {"score_rows", "64"},
                                   {"score_steps", "4"},
                                   {"walk_steps", "20"},
                                   {"linear_steps", "12"}};

static dlf_result *run_on(dlf_device *device, const dlf_experiment *e, uint64_t seed)
{
    dlf_setting set[sizeof tiny / sizeof tiny[0]];
    int n = 0;
    for (size_t i = 0; i < sizeof tiny / sizeof tiny[0]; i++)
        for (const dlf_param *p = e->params; p->name; p++)
            if (strcmp(p->name, tiny[i].name) == 0) set[n++] = tiny[i];
    const dlf_run_options options = {
        .device = device, .seed = seed, .seeds = 3, .set = set, .n_set = n, .command = "test"};
    dlf_result *r = NULL;
    OK(dlf_experiment_run(&r, e, &options));
    assert_non_null(r);
    return r;
}

/* The first run with seed 1 on the device under test: every test looks at the same one. */
static dlf_result *first_run[64];

static dlf_result *run_once(const dlf_experiment *const *e)
{
    const size_t i = (size_t)(e - dlf_experiments);
    assert_true(i < sizeof first_run / sizeof first_run[0]);
    if (!first_run[i]) first_run[i] = run_on(kt_dev, *e, 1);
    return first_run[i];
}

static void free_runs(void)
{
    for (size_t i = 0; i < sizeof first_run / sizeof first_run[0]; i++)
        dlf_result_free(first_run[i]);
}

/* Does the table hold times? They are never the same twice. */
static bool is_timed(const dlf_table *t)
{
    for (int i = 0; i < dlf_table_columns(t); i++) {
        const char *unit = dlf_table_column(t, i)->unit;
        if (unit && strcmp(unit, "us") == 0) return true;
    }
    return false;
}

/* All tables of figures as text, but for times: what must be equal bit for bit. */
static char *tables_of(const dlf_result *r)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    for (int i = 0; i < dlf_result_figures(r); i++)
        for (const dlf_series *s = dlf_result_get_figure(r, i)->series; s->table; s++)
            if (!is_timed(dlf_result_find_table(r, s->table)))
                OK(dlf_table_write_csv(dlf_result_find_table(r, s->table), f));
    fclose(f);
    return text;
}

/* In the CPU test bed a run takes seconds; there the kernels' own tests show that they are
 * deterministic. */
static void same_seed_same_bits(void **state)
{
    if (kt_in_bed()) skip();
    EACH(e)
    {
        dlf_result *b = run_on(kt_dev, *e, 1), *c = run_on(kt_dev, *e, 2);
        char *text_a = tables_of(run_once(e)), *text_b = tables_of(b), *text_c = tables_of(c);
        if (strcmp(text_a, text_b)) fail_msg("%s: two runs of one seed differ", (*e)->slug);
        /* What only times has nothing that a seed could change. */
        if (*text_a && !strcmp(text_a, text_c))
            fail_msg("%s: the seed changes nothing", (*e)->slug);
        free(text_a);
        free(text_b);
        free(text_c);
        dlf_result_free(b);
        dlf_result_free(c);
    }
}

static void results_are_complete(void **state)
{
    EACH(e)
    {
        const dlf_result *r = run_once(e);
        assert_true(dlf_result_checks(r) > 0);
        assert_true(dlf_result_figures(r) > 0);
        assert_true(dlf_result_self_checks_hold(r));
        for (int i = 0; i < dlf_result_figures(r); i++) { /* every figure has its control */
            const dlf_figure *f = dlf_result_get_figure(r, i);
            bool has_points = false;
            for (const dlf_series *s = f->series; s->table; s++)
                has_points |= dlf_table_rows(dlf_result_find_table(r, s->table)) > 0;
            if (!has_points) fail_msg("%s: figure %s is empty", (*e)->slug, f->id);
        }
    }
}

/* Every experiment that an answer names exists and belongs to the question. */
static void answers_name_experiments(void **state)
{
    for (const dlf_embedded_file *f = dlf_embedded_files; f->name; f++) {
        int question;
        char name[DLF_ANSWER_EXPERIMENT], id[16];
        if (sscanf(f->name, "answers/q%d", &question) != 1) continue;
        snprintf(id, sizeof id, "Q%d", question);
        for (const char *at = NULL; dlf_answer_experiment((const char *)f->begin, &at, name);) {
            const dlf_experiment *e = dlf_experiment_find(name);
            if (!e || !dlf_experiment_answers(e, id)) fail_msg("%s names %s", f->name, name);
        }
    }
}

/* The answers name only numbers that a plain run has. Renders strictly: the tiny run is not
 * customised in its networks, only in their size. */
static void answers_find_their_numbers(void **state)
{
    if (only) skip();
    const dlf_result *all[sizeof first_run / sizeof first_run[0] + 1] = {NULL};
    EACH(e)
    {
        dlf_result *r = run_once(e);
        dlf_manifest m = *dlf_result_manifest(r);
        m.customised = false;
        OK(dlf_result_set_manifest(r, &m));
        all[e - dlf_experiments] = r;
    }
    EACH(e)
    {
        const dlf_result *r = run_once(e);
        static const char *const languages[] = {"zh", "en"};
        for (int i = 0; i < 2; i++) {
            char *text = NULL;
            OK(dlf_answer_render(r, all, languages[i], &text));
            assert_true(strlen(text) > 1000);
            free(text);
        }
    }
}

/* Untrained measurements on the device against the cpu backend: same draws, float32 arithmetic in
 * another order. 12 training steps and 5 layers keep the difference far below 1e-3; a wrong kernel
 * or a wrong seed is off by per cents. Of counts, one in a few hundred may fall on the other side.
 */
static const struct {
    const char *slug, *table, *column;
    double tolerance;
} compared[] = {
    {"activations", "growth", "chi_measured", 1e-3},
    {"activations", "output_gradient", "gradient", 1e-12},
    {"vanishing", "growth", "chi_measured", 1e-3},
    {"exploding", "growth", "chi_measured", 1e-3},
    {"depth-vs-width", "tents", "pieces", 0.0},
    {"depth-vs-width", "square", "deep", 0.0},
    {"depth-vs-width", "random", "pieces", 0.02},
    {"features", "cube", "explained", 1e-2},
    {"features", "unseen", "accuracy", 0.05},
    {"more-data", "cases", "error", 0.0},
    {"more-data", "examples", "error", 1e-3},
    {"more-data", "rows", "risk", 0.0},
    {"gan", "shifts", "value", 1e-3},
    {"gan", "orbits", "distance", 0.0},
    {"gan", "ring", "value", 1e-2},
    {"autoencoder", "collapse", "kl", 1e-3},
    {"autoencoder", "frechet", "distance", 1e-3},
    {"autoencoder", "ring", "miss", 1e-2},
    {"autoencoder", "walk", "distance", 1e-3},
    {"autoencoder", "digits", "distance", 1e-3},
    {"autoencoder", "features", "error", 0.02}, /* a row in fifty falls on either side */
    {"transfer", "law", "risk", 0.0},
    {"transfer", "time", "time", 1e-3},
    {"transfer", "labels", "scratch", 0.02},
    {"evolution", "weights", "loss", 1e-3},
    {"evolution", "alignment", "cos2", 1e-2},
    {"evolution", "sphere", "progress", 0.0},
    {"dimension", "distances", "spread", 0.0},
    {"dimension", "learners", "error", 1e-2},
    {"drqn", "flicker", "theory", 0.0},
    {"drqn", "tiger", "believed", 1e-3},
    {"hmm-vs-rnn", "context", "excess", 1e-2},
    {"hmm-vs-rnn", "memory", "loss", 1e-3},
    {"detection", "counts", "rcnn", 0.0},
    {"detection", "rounding", "iou", 0.0},
    {"video", "motion", "parameters", 0.0},
    {"video", "labels", "theory", 0.0},
    {"few-labels", "mixture", "labelled", 1e-3},
    {"few-labels", "digits", "error", 0.0},
    {"ensemble", "digits", "brier", 1e-3},
    {"ensemble", "laws", "variance", 0.0},
    {"embedding", "rank", "residual", 1e-3},
    {"embedding", "rank", "excess", 1e-3},
    {"forgetting", "rows", "forgotten", 0.0},
    {"forgetting", "diagonal", "diagonal", 0.0},
    {"forgetting", "scenes", "permuted", 0.05},
    {"multi-task", "means", "risk", 0.0},
    {"multi-task", "representation", "risk", 0.0},
    {"multi-task", "digits", "error", 0.05},
    {"svm", "margin", "length", 0.0},
    {"svm", "digits", "error", 0.05},
    {"svm", "support", "share", 0.0},
    {"boltzmann", "ring", "correlation", 0.0},
    {"boltzmann", "training", "loss", 1e-3},
    {"boltzmann", "bias", "bias", 0.05},       /* far out on a decaying curve of a trained model */
    {"perceptron", "bound", "mistakes", 0.05}, /* a row on the plane falls on either side */
    {"perceptron", "capacity", "share", 0.0},
    {"perceptron", "online", "mistakes", 0.02},
    {"linear-vs-nonlinear", "modes", "u", 1e-3},
    {"linear-vs-nonlinear", "rank", "rank", 0.0},
    {"early-stopping", "paths", "risk", 1e-3},
    {"hidden-layers", "kernel_error", "error", 1e-3},
    {"hidden-layers", "unconstrained", "spread", 1e-3},
    {"hidden-layers", "collapse", "within", 1e-2},
    {"losses", "escape", "time", 1e-3},
    {"conv-equals-fc", "fcn_cost", "fcn_gmacs", 0.0},
    {"conv-equals-fc", "matrix", "weight", 0.0},
    {"conv1x1", "digits", "macs", 0.0},
    {"architectures", "nets", "parameters", 0.0},
    {"architectures", "blocks", "macs", 0.0},
    {"bn-statistics", "laws", "measured", 1e-4},
    {"bn-statistics", "space", "effective", 1e-4},
    {"norm-axes", "sets", "in_set", 0.0},
    {"norm-axes", "conv", "invariant", 0.0},
    {"norm-axes", "length", "gradient", 1e-4},
    {"bn-dependent-batches", "leak", "share", 1e-4},
    {"bn-dependent-batches", "running", "error", 1e-4},
    {"norm-batch-size", "dense", "error", 0.05},
    {"norm-batch-size", "conv", "error", 0.05},
    {"bn-gradient-explosion", "rates", "rate", 1e-3},
    {"bn-gradient-explosion", "shattering", "correlation", 1e-2},
    {"dropout", "scaling", "measured", 1e-3},
    {"dropout", "linear_loss", "loss", 1e-3},
    {"dropout", "c_star", "c_star", 1e-3},
    {"norm-equilibrium", "equilibrium", "angle", 1e-3},
    {"norm-landscape", "slices", "predictiveness", 1e-2},
    {"norm-cost", "cost", "elements", 0.0},
    {"relu-vs-sigmoid", "growth", "chi_measured", 1e-3},
    {"relu-vs-sigmoid", "condition", "ratio", 1e-3},
    {"relu-vs-sigmoid", "born_dead", "dead", 0.02},
    {"relu-vs-sigmoid", "layers", "gradient_before", 1e-3},
    {"fourier", "spectrum", "matrix", 1e-3},
    {"fourier", "learning", "amplitude", 1e-3},
    {"skip-connections", "energy", "energy", 1e-3},
    {"skip-connections", "norm_profile", "variance", 1e-3},
    {"skip-connections", "shattering", "correlation", 5e-3},
    {"compute-graph", "differences", "error", 0.0},
    {"compute-graph", "cost", "forward_macs", 0.0},
};

static void agrees_with_cpu(void **state)
{
    dlf_device *cpu;
    OK(dlf_device_open(&cpu, "cpu"));
    EACH(e)
    {
        const dlf_result *got = run_once(e);
        dlf_result *want = run_on(cpu, *e, 1);
        int tables = 0;
        for (size_t i = 0; i < sizeof compared / sizeof compared[0]; i++) {
            if (strcmp(compared[i].slug, (*e)->slug) != 0) continue;
            const dlf_table *a = dlf_result_find_table(got, compared[i].table);
            const dlf_table *b = dlf_result_find_table(want, compared[i].table);
            assert_true(a && b && dlf_table_rows(a) == dlf_table_rows(b));
            const int column = dlf_table_find_column(a, compared[i].column);
            tables++;
            for (int row = 0; row < dlf_table_rows(a); row++) {
                const double x = dlf_table_cell(a, row, column).number;
                const double y = dlf_table_cell(b, row, column).number;
                if (!(fabs(x - y) <= compared[i].tolerance * fabs(y)))
                    fail_msg("%s: %s row %d: %.9g, cpu %.9g", (*e)->slug, compared[i].table, row, x,
                             y);
            }
        }
        if (!tables) fail_msg("%s: nothing is compared with cpu", (*e)->slug);
        dlf_result_free(want);
    }
    dlf_device_close(cpu);
}

/* Fill the inputs of a network: numbers, and labels or indices below 2. */
static void fill_inputs(dlf_graph *g)
{
    for (int id = 1; id <= dlf_graph_nodes(g); id++) {
        if (strcmp(dlf_graph_node(g, (dlf_node){id}).op, "input") != 0) continue;
        dlf_tensor *t = dlf_graph_value(g, (dlf_node){id});
        const int64_t n = dlf_tensor_count(t);
        float *x = kt_random(n, 40 + (uint32_t)id, 1.0f, 0.0f);
        int32_t *i32 = malloc((size_t)n * sizeof *i32);
        assert_non_null(i32);
        for (int64_t i = 0; i < n; i++) i32[i] = x[i] > 0.0f;
        if (t->dtype == DLF_I32)
            OK(dlf_tensor_upload_i32(t, i32));
        else
            OK(dlf_tensor_upload(t, x));
        free(i32);
        free(x);
    }
}

/* Every network that experiments show: backward against central differences in double. Deep nets
 * curve more than the single ops of test_graph.c, hence 1e-5. */
static void networks_have_the_gradients_of_finite_differences(void **state)
{
    EACH(e)
    {
        if (!(*e)->network) continue;
        dlf_graph *g = NULL;
        dlf_gradient_check c;
        OK((*e)->network(&g, kt_ref));
        OK(dlf_graph_initialise(g, 3, NULL));
        fill_inputs(g);
        OK(dlf_graph_check_gradients(g, 1, 1e-3, &c));
        if (!(c.worst <= 1e-5)) fail_msg("%s: %g at %s", (*e)->slug, c.worst, c.where);
        const dlf_graph_memory m = dlf_graph_memory_of(g);
        if (!((double)m.planned <= 1.10 * (double)m.lower_bound))
            fail_msg("%s: plan of %lld bytes, bound %lld", (*e)->slug, (long long)m.planned,
                     (long long)m.lower_bound);
        dlf_graph_free(g);
    }
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    if (argc > 3) only = argv[3];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_have_the_gradients_of_finite_differences),
        cmocka_unit_test(same_seed_same_bits),
        cmocka_unit_test(results_are_complete),
        cmocka_unit_test(answers_name_experiments),
        cmocka_unit_test(answers_find_their_numbers),
        cmocka_unit_test(agrees_with_cpu),
    };
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    free_runs();
    return kt_close(failures);
}
