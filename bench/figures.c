/* SPDX-License-Identifier: MIT
 * figures.c -- a report as a result: tables and figures that `dlf plot` draws. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/bench.h"

enum { MOST_OPS = 16 };

typedef struct ops {
    char name[MOST_OPS][24];
    int n;
} ops;

static void note_op(ops *o, const char *name)
{
    for (int i = 0; i < o->n; i++)
        if (!strcmp(o->name[i], name)) return;
    if (o->n < MOST_OPS) snprintf(o->name[o->n++], sizeof o->name[0], "%s", name);
}

/* An end of an interval as it is drawn. Two passes that differ say next to nothing, and their
 * interval spans decades, in which everything else would be a line. */
static double drawn(dlf_bench_ratio r, bool high)
{
    return high ? fmin(r.hi, 4.0 * r.value) : fmax(r.lo, 0.25 * r.value);
}

/* ---- tables --------------------------------------------------------------------------------- */

static dlf_status add_rows(dlf_result *result, const dlf_bench_report *r, ops *seen, bool *peers)
{
    static const dlf_column columns[] = {{"name", NULL},          {"op", NULL},
                                         {"mode", NULL},          {"bytes", "B"},
                                         {"intensity", "flop/B"}, {"ns", "ns"},
                                         {"ns_low", "ns"},        {"ns_high", "ns"},
                                         {"gb_per_s", "GB/s"},    {"gflop_per_s", "GFLOP/s"},
                                         {"of_copy", "1"},        {"of_copy_low", "1"},
                                         {"of_copy_high", "1"},   {NULL, NULL}};
    static const dlf_column against[] = {
        {"name", NULL},     {"op", NULL},        {"peer", NULL},     {"mode", NULL},
        {"bytes", "B"},     {"ratio", "1"},      {"ratio_low", "1"}, {"ratio_high", "1"},
        {"drawn_low", "1"}, {"drawn_high", "1"}, {NULL, NULL}};
    static const dlf_column shares[] = {
        {"name", NULL},     {"op", NULL},         {"bytes", "B"},
        {"of_copy", "1"},   {"of_copy_low", "1"}, {"of_copy_high", "1"},
        {"drawn_low", "1"}, {"drawn_high", "1"},  {NULL, NULL}};
    static const dlf_column rates[] = {{"name", NULL},
                                       {"op", NULL},
                                       {"intensity", "flop/B"},
                                       {"gflop_per_s", "GFLOP/s"},
                                       {NULL, NULL}};
    dlf_table *times, *ratios, *cold, *points;
    DLF_TRY(dlf_result_table(result, "times", (dlf_text){"每次调用的时间", "time per call"},
                             columns, &times));
    DLF_TRY(dlf_result_table(result, "peers", (dlf_text){"与对手之比", "ratio to the fastest peer"},
                             against, &ratios));
    DLF_TRY(dlf_result_table(result, "cold",
                             (dlf_text){"冷缓存：占拷贝的比例", "cold: share of the copy"}, shares,
                             &cold));
    DLF_TRY(dlf_result_table(result, "intensities",
                             (dlf_text){"冷缓存：计算强度与速度", "cold: intensity and rate"},
                             rates, &points));
    for (int i = 0; i < r->n; i++) {
        const dlf_bench_row *row = &r->rows[i];
        char name[DLF_BENCH_NAME];
        dlf_bench_case_name(name, &row->c);
        for (int m = 0; m < DLF_BENCH_MODES; m++) {
            dlf_bench_summary s;
            const char *mode = dlf_bench_mode_name((dlf_bench_mode)m);
            if (row->skipped[0] || !row->runner[0].ns[m] ||
                !dlf_bench_summarise(&s, row, 0, (dlf_bench_mode)m, 0.05))
                continue;
            note_op(seen, row->c.op);
            DLF_TRY(dlf_table_row(
                times, DLF_TXT(name), DLF_TXT(row->c.op), DLF_TXT(mode), DLF_NUM(row->bytes),
                DLF_NUM(row->flops / row->bytes), DLF_NUM(s.time.median), DLF_NUM(s.time.lo),
                DLF_NUM(s.time.hi), DLF_NUM(s.gb_per_s), DLF_NUM(s.gflop_per_s),
                DLF_NUM(s.of_copy.value), DLF_NUM(s.of_copy.lo), DLF_NUM(s.of_copy.hi)));
            if (m == DLF_BENCH_COLD)
                DLF_TRY(dlf_table_row(cold, DLF_TXT(name), DLF_TXT(row->c.op), DLF_NUM(row->bytes),
                                      DLF_NUM(s.of_copy.value), DLF_NUM(s.of_copy.lo),
                                      DLF_NUM(s.of_copy.hi), DLF_NUM(drawn(s.of_copy, false)),
                                      DLF_NUM(drawn(s.of_copy, true))));
            if (m == DLF_BENCH_COLD && row->flops > 0.0)
                DLF_TRY(dlf_table_row(points, DLF_TXT(name), DLF_TXT(row->c.op),
                                      DLF_NUM(row->flops / row->bytes), DLF_NUM(s.gflop_per_s)));
            if (!s.peer_name) continue;
            *peers = true;
            DLF_TRY(dlf_table_row(ratios, DLF_TXT(name), DLF_TXT(row->c.op), DLF_TXT(s.peer_name),
                                  DLF_TXT(mode), DLF_NUM(row->bytes), DLF_NUM(s.peer.value),
                                  DLF_NUM(s.peer.lo), DLF_NUM(s.peer.hi),
                                  DLF_NUM(drawn(s.peer, false)), DLF_NUM(drawn(s.peer, true))));
        }
    }
    return DLF_OK;
}

/* The fastest product among the ceilings, in GFLOP/s; 0: none was measured. */
static double best_product(const dlf_bench_report *r)
{
    double best = 0.0;
    for (int i = 0; i < r->n_ceilings; i++) {
        dlf_bench_summary s;
        if (!r->ceilings[i].skipped[0] &&
            dlf_bench_summarise(&s, &r->ceilings[i], 0, DLF_BENCH_COLD, 1.0))
            best = fmax(best, s.gflop_per_s);
    }
    return best;
}

/* The copy's best median: what this machine moves, in GB/s. */
static double best_copy(const dlf_bench_report *r)
{
    double best = 0.0;
    for (int i = 0; i < r->n; i++) {
        const dlf_bench_row *row = &r->rows[i];
        const double *copy = row->n_runners > 1 ? row->runner[1].ns[DLF_BENCH_COLD] : NULL;
        if (!copy) continue;
        const double rate = row->copy_bytes / dlf_bench_stats_of(copy, row->rounds).median;
        if (rate > best) best = rate;
    }
    return best;
}

static dlf_status add_roof(dlf_result *result, const dlf_bench_report *r)
{
    static const dlf_column columns[] = {
        {"intensity", "flop/B"}, {"bandwidth", "GFLOP/s"}, {NULL, NULL}};
    dlf_table *t;
    const double gb = best_copy(r), peak = best_product(r);
    DLF_TRY(dlf_result_table(
        result, "roof",
        (dlf_text){"带宽与矩阵乘所允许的", "what the copy's bandwidth and the product allow"},
        columns, &t));
    double least = INFINITY, most = 0.0;
    for (int i = 0; i < r->n; i++) {
        const double x = r->rows[i].flops / r->rows[i].bytes;
        if (!(x > 0.0)) continue;
        least = fmin(least, x);
        most = fmax(most, x);
    }
    if (!(most > 0.0)) return DLF_OK;
    const double from = 0.7 * least, to = 1.4 * most, ridge = peak / gb;
    const double end = peak > 0.0 ? fmin(to * gb, peak) : to * gb;
    DLF_TRY(dlf_table_row(t, DLF_NUM(from), DLF_NUM(fmin(from * gb, end))));
    if (ridge > from && ridge < to) DLF_TRY(dlf_table_row(t, DLF_NUM(ridge), DLF_NUM(peak)));
    return dlf_table_row(t, DLF_NUM(to), DLF_NUM(end));
}

/* ---- figures -------------------------------------------------------------------------------- */

/* One series of points per op. */
static void series_per_op(dlf_figure *f, const ops *seen, const char *table, const char *x,
                          const char *y, const char *lo, const char *hi)
{
    int at = 0;
    while (at < DLF_FIGURE_SERIES_MAX && f->series[at].table) at++;
    for (int i = 0; i < seen->n && at < DLF_FIGURE_SERIES_MAX; i++, at++)
        f->series[at] = (dlf_series){.role = DLF_MEASURED,
                                     .table = table,
                                     .where = "op",
                                     .equals = seen->name[i],
                                     .x = x,
                                     .y = y,
                                     .lo = lo,
                                     .hi = hi,
                                     .label = {seen->name[i], seen->name[i]},
                                     .colour = i,
                                     .points = true};
}

static const dlf_axis bytes_axis = {{"必须搬运的字节", "bytes that must be moved"}, true};

static dlf_status add_figures(dlf_result *result, const ops *seen, bool peers)
{
    dlf_figure roof = {
        .id = "roofline",
        .kind = DLF_LINES,
        .title = {"屋顶线：离带宽与算力的上限还有多远",
                  "Roofline: how far below what bandwidth and arithmetic allow"},
        .subtitle = {"冷缓存中位数；点线：同一次测量中最快的拷贝，以及（若已测）最快的矩阵乘",
                     "cold medians; dotted: the fastest copy of the same run and, "
                     "where it was measured, the fastest matrix product"},
        .x = {{"计算强度 (flop/B)", "arithmetic intensity (flop/B)"}, true},
        .y = {{"GFLOP/s", "GFLOP/s"}, true},
        .series = {{.role = DLF_REFERENCE,
                    .table = "roof",
                    .x = "intensity",
                    .y = "bandwidth",
                    .label = {"屋顶：拷贝与矩阵乘", "roof: copy, product"}}}};
    dlf_figure share = {
        .id = "of_copy",
        .kind = DLF_LINES,
        .title = {"与拷贝同样多的字节相比", "Compared with copying as many bytes"},
        .subtitle =
            {"冷缓存；拷贝时间 ÷ 内核时间，逐轮配对；95% 区间，至多画到 4 倍",
             "cold; copy's time / kernel's time, paired by rounds; 95 % intervals, drawn up "
             "to a factor of 4"},
        .x = bytes_axis,
        .y = {{"占拷贝的比例", "share of the copy"}, true}};
    dlf_figure against = {
        .id = "peers",
        .kind = DLF_LINES,
        .title = {"与最快的对手相比", "Compared with the fastest peer"},
        .subtitle =
            {"每种方式；对手时间 ÷ dlf 时间，大于 1 为更快；95% 区间，至多画到 4 倍",
             "every mode; peer's time / dlf's time, above 1 is faster; 95 % intervals, drawn up "
             "to a factor of 4"},
        .x = bytes_axis,
        .y = {{"对手 ÷ dlf", "peer / dlf"}, true}};
    series_per_op(&roof, seen, "intensities", "intensity", "gflop_per_s", NULL, NULL);
    series_per_op(&share, seen, "cold", "bytes", "of_copy", "drawn_low", "drawn_high");
    DLF_TRY(dlf_result_figure(result, &roof));
    DLF_TRY(dlf_result_figure(result, &share));
    if (!peers) return DLF_OK;
    series_per_op(&against, seen, "peers", "bytes", "ratio", "drawn_low", "drawn_high");
    return dlf_result_figure(result, &against);
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static dlf_status set_manifest(dlf_result *result, const dlf_bench_report *r)
{
    json_t *j = json_loads(r->manifest ? r->manifest : "{}", 0, NULL);
    const json_t *device = json_object_get(j, "device");
    const dlf_manifest m = {.version = text_of(j, "version"),
                            .git = text_of(j, "git"),
                            .command = text_of(j, "command"),
                            .started = text_of(j, "started"),
                            .build = text_of(j, "build"),
                            .seed = (uint64_t)json_integer_value(json_object_get(j, "seed")),
                            .seeds = 1,
                            .seconds = json_number_value(json_object_get(j, "seconds")),
                            .backend = text_of(device, "backend"),
                            .device = text_of(device, "name"),
                            .device_detail = text_of(device, "detail"),
                            .threads = (int)json_integer_value(json_object_get(device, "threads")),
                            .mode = "full",
                            .complete = r->complete};
    const dlf_status status = dlf_result_set_manifest(result, &m);
    json_decref(j);
    return status;
}

dlf_status dlf_bench_to_result(dlf_result **out, const dlf_bench_report *r)
{
    dlf_result *result = NULL;
    ops seen = {.n = 0};
    bool peers = false;
    dlf_status status;
    *out = NULL;
    DLF_TRY_DONE(
        dlf_result_new(&result, "bench", "", (dlf_text){"内核基准测试", "kernel benchmark"}));
    DLF_TRY_DONE(set_manifest(result, r));
    DLF_TRY_DONE(add_rows(result, r, &seen, &peers));
    DLF_TRY_DONE(add_roof(result, r));
    DLF_TRY_DONE(add_figures(result, &seen, peers));
    *out = result;
    return DLF_OK;
done:
    dlf_result_free(result);
    return status;
}
