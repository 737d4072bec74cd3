/* SPDX-License-Identifier: MIT
 * test_norm_experiments.c -- Q33: the layer that is taken apart against plain loops, the
 * predictions from the axis table, and small runs. */
#include "kernel_test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "experiments/bench_store.h"
#include "experiments/norm_axes.h"

enum { P = 2, N = 3, S = 4, K = 5, C = 6 };

/* z[p,n,s,c] of the layer, in double. */
static double product(const double *a, const double *w, int p, int i, int c, bool unit)
{
    double z = 0.0, square = 0.0;
    for (int k = 0; k < K; k++) {
        const double v = w[(p * C + c) * K + k];
        z += a[(p * N * S + i) * K + k] * v;
        square += v * v;
    }
    return unit ? z / sqrt(square) : z;
}

static void the_layer_is_a_product(void **state)
{
    double a[P * N * S * K], w[P * C * K], z[P * N * S * C], y[P * N * S * C];
    for (int p = 0; p < P; p++) {
        norm_draw(a + p * N * S * K, N * S * K, 1, DLF_PURPOSE_INPUT, 0, (uint32_t)p);
        norm_draw(w + p * C * K, C * K, 1, DLF_PURPOSE_WEIGHTS, 0, (uint32_t)p);
    }
    for (int method = 0; method < NORM_METHODS; method++) {
        norm_layer l;
        OK(norm_layer_new(&l, kt_dev, method, 2, 0.0, P, N, S, K, C));
        OK(dlf_tensor_upload_f64(&l.a, a));
        OK(dlf_tensor_upload_f64(&l.w, w));
        OK(norm_layer_product(&l));
        OK(norm_layer_normalise(&l));
        OK(dlf_tensor_download_f64(z, &l.z));
        OK(dlf_tensor_download_f64(y, &l.y));
        double mean = 0.0, square = 0.0;
        for (int i = 0; i < P * N * S * C; i++) {
            const double want =
                product(a, w, i / (N * S * C), i / C % (N * S), i % C, method == NORM_WEIGHT);
            if (!(fabs(z[i] - want) < 1e-5)) fail_msg("method %d: %g, want %g", method, z[i], want);
            mean += y[i] / (P * N * S * C);
            square += y[i] * y[i] / (P * N * S * C);
        }
        if (method < DLF_NORM_COUNT) assert_true(fabs(square - 1.0) < 1e-5);
        if (method < DLF_NORM_COUNT && method != DLF_RMS_NORM) assert_true(fabs(mean) < 1e-6);
        norm_layer_free(&l);
    }
}

static void axes_are_those_of_the_table(void **state)
{
    assert_int_equal(norm_axes_of(DLF_BATCH_NORM, true), AXIS_SAMPLES | AXIS_POSITIONS);
    assert_int_equal(norm_axes_of(DLF_LAYER_NORM, true), AXIS_CHANNELS | AXIS_POSITIONS);
    assert_int_equal(norm_axes_of(DLF_INSTANCE_NORM, true), AXIS_POSITIONS);
    assert_int_equal(norm_axes_of(DLF_GROUP_NORM, false), AXIS_CHANNELS);
    assert_int_equal(norm_axes_of(DLF_RMS_NORM, false), AXIS_CHANNELS);
}

/* Every check of a run is supported. */
static void all_supported(const char *slug, const dlf_setting *set, int n_set)
{
    const dlf_run_options options = {
        .device = kt_dev, .seed = 5, .seeds = 3, .set = set, .n_set = n_set, .command = "test"};
    dlf_result *r = NULL;
    OK(dlf_experiment_run(&r, dlf_experiment_find(slug), &options));
    for (int i = 0; i < dlf_result_checks(r); i++) {
        const dlf_check *c = dlf_result_get_check(r, i);
        if (c->verdict != DLF_SUPPORTED)
            fail_msg("%s, %s: %s, %g for %g +- %g", slug, c->id, dlf_verdict_name(c->verdict),
                     c->measured, c->expected, c->tolerance);
    }
    dlf_result_free(r);
}

static void axes_are_supported(void **state)
{
    all_supported("norm-axes", NULL, 0);
}

/* At the balance, in a run of a second. The tolerances are those of the full run; seed 5 lies well
 * inside. */
static void equilibrium_is_supported(void **state)
{
    static const dlf_setting set[] = {{"steps", "4000"}, {"units", "16"}};
    all_supported("norm-equilibrium", set, 2);
}

/* ---- stored measurements ---- */

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void stores_are_read(void **state)
{
    char path[] = "/tmp/dlf-store-XXXXXX";
    const int file = mkstemp(path);
    bench_store s;
    assert_true(file >= 0);
    close(file);
    write_file(path, "{\"device\":\"X | y\",\"rows\":{"
                     "\"layer_norm forward 8x4\":{\"bytes\":256,\"dlf_us\":{\"median\":2.5},"
                     "\"of_copy\":{\"median\":0.5}},"
                     "\"no time\":{\"bytes\":256,\"of_copy\":{\"median\":0.5}},"
                     "\"wrong\":7}}");
    OK(bench_store_read(&s, path));
    assert_int_equal(s.rows, 1);
    assert_string_equal(s.device, "X | y");
    assert_string_equal(s.row[0].name, "layer_norm forward 8x4");
    assert_true(s.row[0].bytes == 256.0 && s.row[0].us == 2.5 && s.row[0].of_copy == 0.5);
    bench_store_free(&s);
    static const char *const damaged[] = {"",
                                          "{",
                                          "[]",
                                          "{\"rows\":{}}",
                                          "{\"device\":\"X\",\"rows\":[]}",
                                          "{\"schema\":\"dlf.bench/1\",\"rows\":3}"};
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        write_file(path, damaged[i]);
        assert_int_equal(bench_store_read(&s, path), DLF_ERR_INPUT);
        assert_null(s.row);
    }
    unlink(path);
}

/* A directory of measurements that --data names comes before those of the source tree. */
static void cost_is_of_the_store(void **state)
{
    char root[] = "/tmp/dlf-data-XXXXXX", path[200];
    assert_non_null(mkdtemp(root));
    static const char *const parts[] = {"/bench", "/bench/results", "/bench/results/mine"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", root, parts[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    snprintf(path, sizeof path, "%s/bench/results/mine/kernels.json", root);
    write_file(path, "{\"device\":\"X | y\",\"rows\":{"
                     "\"layer_norm forward 4096x4096\":{\"bytes\":134217728,"
                     "\"dlf_us\":{\"median\":2000},\"of_copy\":{\"median\":0.5}},"
                     "\"layer_norm forward 4096x8192\":{\"bytes\":1,"
                     "\"dlf_us\":{\"median\":1},\"of_copy\":{\"median\":9}}}}");
    const dlf_run_options options = {
        .device = kt_dev, .seed = 1, .seeds = 3, .command = "test", .data_dir = root};
    dlf_result *r = NULL;
    OK(dlf_experiment_run(&r, dlf_experiment_find("norm-cost"), &options));
    assert_string_equal(dlf_result_find_parameter_text(r, "store"), "mine");
    assert_non_null(
        strstr(dlf_result_find_check(r, "store")->claim.en, "not measured on this device"));
    /* The second row counts bytes that the formula does not: noticed, and too small to be drawn. */
    assert_true(dlf_result_find_check(r, "bytes_differ")->measured == 1.0);
    const dlf_table *t = dlf_result_find_table(r, "cost");
    const int share = dlf_table_find_column(t, "of_copy"), n = dlf_table_find_column(t, "shapes");
    assert_true(dlf_table_cell(t, 2 * DLF_LAYER_NORM, share).number == 0.5);
    assert_true(dlf_table_cell(t, 2 * DLF_LAYER_NORM, n).number == 1.0);
    assert_true(isnan(dlf_table_cell(t, 2 * DLF_BATCH_NORM, share).number));
    dlf_result_free(r);
    for (int i = 3; i >= 0; i--) {
        if (i < 3) snprintf(path, sizeof path, "%s%s", root, parts[i]);
        assert_int_equal(remove(path), 0);
    }
    assert_int_equal(remove(root), 0);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layer_is_a_product), cmocka_unit_test(axes_are_those_of_the_table),
        cmocka_unit_test(axes_are_supported),     cmocka_unit_test(equilibrium_is_supported),
        cmocka_unit_test(stores_are_read),        cmocka_unit_test(cost_is_of_the_store),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
