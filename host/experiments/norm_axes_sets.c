/* SPDX-License-Identifier: MIT
 * norm_axes_sets.c -- Q33: which positions share a mean and a variance. The picture of Wu & He
 * (2018, figure 2), measured: one number of z is changed, and the set A is where y changes. It must
 * be the set that the axis table of norm.h names. And the three identities between the norms. */
#include <math.h>
#include <stdlib.h>

#include "norm_axes.h"
#include "seed_check.h"

enum { SAMPLES = 3, CHANNELS = 6, POSITIONS = 3, GROUPS = 3 };
enum { MARK_N = 1, MARK_C = 2, MARK_S = 1, COUNT = SAMPLES * POSITIONS * CHANNELS };

static int at(int n, int s, int c)
{
    return (n * POSITIONS + s) * CHANNELS + c;
}

/* Is (n,c) in the set of the marked position, by the table? Positions always share. */
static bool in_table(dlf_norm_kind kind, int n, int c)
{
    const int width = CHANNELS / GROUPS;
    const bool sample = dlf_norm_over_samples(kind) || n == MARK_N;
    switch (dlf_norm_over_channels(kind)) {
    case DLF_ALL_CHANNELS: return sample;
    case DLF_A_GROUP: return sample && c / width == MARK_C / width;
    case DLF_ONE_CHANNEL: return sample && c == MARK_C;
    }
    return false;
}

/* influence[i]: the largest |change of y_i| over the seeds when the marked z changes by 1. */
static dlf_status influence_of(dlf_run *run, int kind, double *influence)
{
    const int P = dlf_run_seeds(run);
    norm_layer l;
    dlf_status status;
    double *z = malloc((size_t)(3 * P * COUNT) * sizeof *z);
    if (!z) return dlf_fail(DLF_ERR_OOM, "norm-axes: out of memory");
    double *before = z + P * COUNT, *after = before + P * COUNT;
    DLF_TRY_DONE(norm_layer_new(&l, dlf_run_device(run), kind, GROUPS, 0.0, P, SAMPLES, POSITIONS,
                                1, CHANNELS));
    for (int p = 0; p < P; p++)
        norm_draw(z + p * COUNT, COUNT, dlf_run_seed(run), DLF_PURPOSE_INPUT, 0, (uint32_t)p);
    for (int changed = 0; changed < 2; changed++) {
        for (int p = 0; p < P; p++) z[p * COUNT + at(MARK_N, MARK_S, MARK_C)] += changed;
        DLF_TRY_DONE(dlf_tensor_upload_f64(&l.z, z));
        DLF_TRY_DONE(norm_layer_normalise(&l));
        DLF_TRY_DONE(dlf_tensor_download_f64(changed ? after : before, &l.y));
    }
    for (int i = 0; i < COUNT; i++) {
        influence[i] = 0.0;
        for (int p = 0; p < P; p++) {
            influence[i] =
                norm_larger(influence[i], fabs(after[p * COUNT + i] - before[p * COUNT + i]));
        }
    }
done:
    norm_layer_free(&l);
    free(z);
    return status;
}

/* Rows of a block, blocks below each other, a gap between; channels side by side alike. */
static dlf_status block_rows(dlf_table *t, int kind, const double *influence, int *wrong)
{
    for (int n = 0; n < SAMPLES; n++)
        for (int c = 0; c < CHANNELS; c++)
            for (int s = 0; s < POSITIONS; s++) {
                char zh[32] = "", en[32] = "";
                if (s == POSITIONS / 2) {
                    snprintf(zh, sizeof zh, "通道 %d", c + 1);
                    snprintf(en, sizeof en, "channel %d", c + 1);
                }
                const dlf_text name =
                    n == SAMPLES / 2 ? norm_method_name(kind) : (dlf_text){"", ""};
                const double d = influence[at(n, s, c)];
                const bool table = in_table((dlf_norm_kind)kind, n, c);
                *wrong += (d > 0.0) != table;
                DLF_TRY(dlf_table_row(t, DLF_TXT(norm_method_id(kind)), DLF_NUM(n), DLF_NUM(c),
                                      DLF_NUM(s), DLF_NUM(c * (POSITIONS + 1) + s), DLF_TXT(zh),
                                      DLF_TXT(en), DLF_NUM(-(kind * (SAMPLES + 1) + n)),
                                      DLF_TXT(name.zh), DLF_TXT(name.en), DLF_NUM(d > 0.0),
                                      DLF_NUM(table), DLF_NUM(d)));
            }
    return DLF_OK;
}

static dlf_status figure(dlf_run *run)
{
    const dlf_figure f = {
        .id = "axes",
        .kind = DLF_HEATMAP,
        .title = {"五种归一化只差一件事：哪些位置共用一个均值和方差",
                  "Five norms, one difference: which positions share a mean and a variance"},
        .subtitle = {"实测：只改动标记处的一个数，输出变了的位置就是它的集合；每块三行为三个样本，"
                     "每个通道三个空间位置，GN 每组两个通道",
                     "measured: the one marked number is changed, and where the output changes is "
                     "its set; three samples per block, three positions per channel, GN with two "
                     "channels per group"},
        .x = {{"通道 × 空间位置", "channel × position"}, false},
        .y = {{"样本", "samples"}, false},
        .z = {{"输出变了", "output changed"}, false},
        .series = {{.role = DLF_MEASURED, .table = "sets", .x = "x", .y = "y", .z = "in_set"},
                   {.role = DLF_MEASURED,
                    .table = "marked",
                    .x = "x",
                    .y = "y",
                    .label = {"改动的位置", "the number that is changed"},
                    .points = true}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status norm_axes_sets(dlf_run *run)
{
    dlf_table *sets, *marked;
    double influence[COUNT];
    int wrong = 0;
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "sets",
                         (dlf_text){"共用统计量的集合", "which positions share their statistics"},
                         (const dlf_column[]){{"norm", NULL},
                                              {"sample", "1"},
                                              {"channel", "1"},
                                              {"position", "1"},
                                              {"x", "1"},
                                              {"x_zh", NULL},
                                              {"x_en", NULL},
                                              {"y", "1"},
                                              {"y_zh", NULL},
                                              {"y_en", NULL},
                                              {"in_set", "1"},
                                              {"in_table", "1"},
                                              {"influence", "1"},
                                              {NULL, NULL}},
                         &sets));
    DLF_TRY(dlf_result_table(dlf_run_result(run), "marked",
                             (dlf_text){"改动的位置", "the number that is changed"},
                             (const dlf_column[]){{"x", "1"}, {"y", "1"}, {NULL, NULL}}, &marked));
    for (int kind = 0; kind < DLF_NORM_COUNT; kind++) {
        DLF_TRY(influence_of(run, kind, influence));
        DLF_TRY(block_rows(sets, kind, influence, &wrong));
        DLF_TRY(dlf_table_row(marked, DLF_NUM(MARK_C * (POSITIONS + 1) + MARK_S),
                              DLF_NUM(-(kind * (SAMPLES + 1) + MARK_N))));
    }
    dlf_check c = dlf_check_exact(
        "sets_differ",
        (dlf_text){"实测的集合与轴的定义处处一致（不一致的位置数）",
                   "the measured sets are those of the axis table (positions that differ)"},
        wrong);
    c.source = "norm.h, DLF_NORM_MAP; Wu & He 2018, figure 2 and section 3.1";
    c.self_check = true;
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    return figure(run);
}

/* ---- identities -------------------------------------------------------------------------------
 */

typedef struct identity {
    const char *id;
    dlf_text claim;
    int one, other;
    int groups, samples; /* samples 0: 4 */
} identity;

enum { SPACE = 25, WIDE = 8 };
static const identity identities[] = {
    {"gn1_is_ln", {"GN(G=1) = LN", "GN(G=1) = LN"}, DLF_GROUP_NORM, DLF_LAYER_NORM, 1, 4},
    {"gnc_is_in", {"GN(G=C) = IN", "GN(G=C) = IN"}, DLF_GROUP_NORM, DLF_INSTANCE_NORM, WIDE, 4},
    {"bn1_is_in",
     {"BN（批大小 1）= IN", "BN (batch of one) = IN"},
     DLF_BATCH_NORM,
     DLF_INSTANCE_NORM,
     1,
     1}};

/* y and dz of one norm: out holds both, (2,P,N,S,C). */
static dlf_status both_ways(dlf_device *device, const identity *e, int kind, int P, uint64_t seed,
                            double *out)
{
    const int n = e->samples * SPACE * WIDE;
    norm_layer l;
    dlf_status status;
    double *host = malloc((size_t)(P * n) * sizeof *host);
    if (!host) return dlf_fail(DLF_ERR_OOM, "norm-axes: out of memory");
    DLF_TRY_DONE(norm_layer_new(&l, device, kind, e->groups, 1e-5, P, e->samples, SPACE, 1, WIDE));
    for (int p = 0; p < P; p++) norm_draw(host + p * n, n, seed, DLF_PURPOSE_INPUT, 1, (uint32_t)p);
    DLF_TRY_DONE(dlf_tensor_upload_f64(&l.z, host));
    for (int p = 0; p < P; p++)
        norm_draw(host + p * n, n, seed, DLF_PURPOSE_GRADIENT, 1, (uint32_t)p);
    DLF_TRY_DONE(dlf_tensor_upload_f64(&l.dy, host));
    DLF_TRY_DONE(dlf_tensor_zero(&l.a));
    DLF_TRY_DONE(norm_layer_normalise(&l));
    DLF_TRY_DONE(norm_layer_backward(&l));
    DLF_TRY_DONE(dlf_tensor_download_f64(out, &l.y));
    DLF_TRY_DONE(dlf_tensor_download_f64(out + P * n, &l.dz));
done:
    norm_layer_free(&l);
    free(host);
    return status;
}

static dlf_status difference_of(dlf_device *device, const identity *e, int P, uint64_t seed,
                                double *worst)
{
    const int n = 2 * P * e->samples * SPACE * WIDE;
    double *one = malloc((size_t)(2 * n) * sizeof *one);
    dlf_status status;
    if (!one) return dlf_fail(DLF_ERR_OOM, "norm-axes: out of memory");
    DLF_TRY_DONE(both_ways(device, e, e->one, P, seed, one));
    DLF_TRY_DONE(both_ways(device, e, e->other, P, seed, one + n));
    *worst = 0.0;
    for (int i = 0; i < n; i++) {
        *worst = norm_larger(*worst, fabs(one[i] - one[n + i]));
    }
done:
    free(one);
    return status;
}

dlf_status norm_axes_identities(dlf_run *run, dlf_device *exact)
{
    for (size_t i = 0; i < sizeof identities / sizeof identities[0]; i++) {
        const identity *e = &identities[i];
        const int P = dlf_run_seeds(run);
        double device, in_double;
        char id[32];
        DLF_TRY(difference_of(dlf_run_device(run), e, P, dlf_run_seed(run), &device));
        DLF_TRY(difference_of(exact, e, P, dlf_run_seed(run), &in_double));
        dlf_check c = dlf_check_exact(e->id, e->claim, device);
        c.tolerance = 1e-5;
        c.source = "the same set A; y and dx, largest difference; 1e-5: sums of 200 floats in "
                   "another order";
        c.self_check = true;
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
        snprintf(id, sizeof id, "%s_double", e->id);
        DLF_TRY(dlf_result_fact(dlf_run_result(run), id, in_double, "1"));
    }
    return DLF_OK;
}
