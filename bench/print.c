/* SPDX-License-Identifier: MIT
 * print.c -- a report on one screen, as CSV, as Markdown. */
#include <math.h>
#include <string.h>

#include "dlf/bench.h"

/* Wider than this, a row says so; the run's own limit is in its manifest. */
static const double noisy = 0.05;

static const char *storage_name(const dlf_bench_case *c)
{
    return c->tf32 ? "tf32" : dlf_dtype_name(c->dtype);
}

/* "12.3 us" in 9 columns. */
static void print_time(char out[16], double ns)
{
    if (isnan(ns))
        snprintf(out, 16, "NaN");
    else if (ns < 1e3)
        snprintf(out, 16, "%.0f ns", ns);
    else if (ns < 1e6)
        snprintf(out, 16, "%.*f us", ns < 1e4 ? 2 : 1, 1e-3 * ns);
    else
        snprintf(out, 16, "%.*f ms", ns < 1e7 ? 2 : 1, 1e-6 * ns);
}

static void flag_words(char *out, size_t size, const dlf_bench_summary *s)
{
    static const struct {
        unsigned flag;
        const char *word;
    } words[] = {{DLF_FLAG_WRONG, "WRONG"},
                 {DLF_FLAG_SUSPECT, "SUSPECT"},
                 {DLF_FLAG_BITS, "not-deterministic"},
                 {DLF_FLAG_PEER_WRONG, "peer-WRONG"},
                 {DLF_FLAG_THROTTLED, "throttled"},
                 {DLF_FLAG_NOISY, "noisy"}};
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (s->flags & words[i].flag && at < size)
            at += (size_t)snprintf(out + at, size - at, "%s%s", at ? " " : "", words[i].word);
}

/* Eight cells, a full one is 100 % of the copy. */
static void bar(char *out, double share, bool utf8)
{
    const int cells = isnan(share) ? 0 : (int)(8.0 * fmin(share, 1.0) + 0.5);
    out[0] = '\0';
    for (int i = 0; i < 8; i++)
        strcat(out, i < cells ? (utf8 ? "\u2588" : "#") : (utf8 ? "\u00b7" : "."));
}

static const char *bound_name(const dlf_bench_roof *roof)
{
    return isnan(roof->share) ? "" : roof->compute_bound ? "flops" : "bytes";
}

typedef struct table_style {
    bool utf8, peers, before;
    int name; /* width of the first column */
} table_style;

static void table_row(FILE *out, const dlf_bench_report *r, const dlf_bench_row *row,
                      table_style style)
{
    char name[DLF_BENCH_NAME], cold[16], hot[16], shares[32], words[64];
    dlf_bench_summary s, h;
    dlf_bench_case_name(name, &row->c);
    if (row->skipped[0] || !dlf_bench_summarise(&s, row, 0, DLF_BENCH_COLD, noisy)) {
        fprintf(out, "%-*s skipped: %s\n", style.name, name, row->skipped);
        return;
    }
    print_time(cold, s.time.median);
    snprintf(hot, sizeof hot, "-");
    if (row->runner[0].ns[DLF_BENCH_HOT] && dlf_bench_summarise(&h, row, 0, DLF_BENCH_HOT, noisy))
        print_time(hot, h.time.median);
    else
        h = s;
    bar(shares, s.of_copy.value, style.utf8);
    flag_words(words, sizeof words, &s);
    fprintf(out, "%-*s %9s %4.1f%% %9s %7.1f %s %4.0f%%", style.name, name, cold,
            50.0 * (s.time.hi - s.time.lo) / s.time.median, hot, s.gb_per_s, shares,
            100.0 * s.of_copy.value);
    if (r->n_ceilings) {
        const dlf_bench_roof roof = dlf_bench_roof_of(r, row);
        if (isnan(roof.share))
            fprintf(out, " %5s %-5s", "-", "");
        else
            fprintf(out, " %4.0f%% %-5s", 100.0 * roof.share, bound_name(&roof));
    }
    if (style.peers && h.peer_name)
        fprintf(out, " %5.2fx %4.2f-%-4.2f %-8s", h.peer.value, h.peer.lo, h.peer.hi, h.peer_name);
    else if (style.peers)
        fprintf(out, " %-25s", row->n_runners > 3 && row->runner[3].note[0] ? "-" : "");
    if (style.before) fprintf(out, " %6.3f %5.3f-%5.3f", s.before.value, s.before.lo, s.before.hi);
    fprintf(out, " %8.1e %4d %s\n", row->runner[0].check.done ? row->runner[0].check.error : NAN,
            row->rounds, words);
}

static bool is_build(const char *name)
{
    return !strcmp(name, DLF_BENCH_BEFORE) || !strcmp(name, DLF_BENCH_NOW);
}

/* Is there a runner, beyond dlf and the anchors, that is (not) one of the two builds? */
static bool has_peers(const dlf_bench_report *r, bool before)
{
    for (int i = 0; i < r->n; i++)
        for (int k = 3; k < r->rows[i].n_runners; k++)
            if (is_build(r->rows[i].runner[k].name) == before) return true;
    return false;
}

/* A line per size. */
static void print_ceilings(FILE *out, const dlf_bench_report *r)
{
    double size = 0.0;
    for (int i = 0; i < r->n_ceilings; i++) {
        const dlf_bench_row *row = &r->ceilings[i];
        dlf_bench_summary s;
        if (row->skipped[0] || !dlf_bench_summarise(&s, row, 0, DLF_BENCH_COLD, noisy)) continue;
        if (row->flops > 0.0) {
            fprintf(out, "\nroof, cold, %-9s %s %.0f GFLOP/s, %.0f x %.0f%s%s", "products",
                    row->c.op, s.gflop_per_s, cbrt(row->flops / 2.0), cbrt(row->flops / 2.0),
                    strcmp(row->c.op, "fma") ? " " : "",
                    strcmp(row->c.op, "fma") ? storage_name(&row->c) : "");
            continue;
        }
        const double kib = row->bytes / 1024.0;
        char name[16];
        snprintf(name, sizeof name, "%.0f %s", kib < 1000.0 ? kib : kib / 1024.0,
                 kib < 1000.0 ? "KiB" : "MiB");
        if (!(fabs(row->bytes / size - 1.0) < 0.1))
            fprintf(out, "\nroof, cold, %-9s", name);
        else
            fprintf(out, " |");
        fprintf(out, " %s %.1f GB/s", row->c.op, s.gb_per_s);
        size = row->bytes;
    }
    if (r->n_ceilings) fprintf(out, "\n");
}

static void print_table(FILE *out, const dlf_bench_report *r, bool utf8)
{
    table_style style = {utf8, has_peers(r, false), has_peers(r, true), 24};
    for (int i = 0; i < r->n; i++) {
        char name[DLF_BENCH_NAME];
        const int n = (int)strlen(dlf_bench_case_name(name, &r->rows[i].c));
        if (n > style.name) style.name = n;
    }
    fprintf(out, "%-*s %9s %5s %9s %7s %-13s", style.name, "case", "cold", "+-95%", "hot", "GB/s",
            "of copy");
    if (r->n_ceilings) fprintf(out, " %-11s", "of roof");
    if (style.peers) fprintf(out, " %-25s", "over peer (hot)");
    if (style.before) fprintf(out, " %-18s", "now / before");
    fprintf(out, " %8s %4s\n", "error", "n");
    for (int i = 0; i < r->n; i++) table_row(out, r, &r->rows[i], style);
    print_ceilings(out, r);
}

/* A cell, empty for what is not known. */
static void print_known(FILE *out, double x)
{
    if (!isnan(x)) fprintf(out, "%.6g", x);
    fputc(',', out);
}

static void print_csv(FILE *out, const dlf_bench_report *r)
{
    const dlf_bench_roof none = {NAN, NAN, NAN, false};
    fprintf(out, "case,family,op,direction,dtype,layout,version,runner,mode,rounds,stopped,median_"
                 "ns,q1_ns,q3_ns,p95_ns,min_ns,"
                 "ci_low_ns,ci_high_ns,bytes,flops,gb_per_s,gflop_per_s,of_copy,of_copy_low,of_"
                 "copy_high,of_spec,of_roof,bound,launches,host_ns,error,"
                 "tolerance,ok,same_bits,flags\n");
    for (int i = 0; i < r->n; i++) {
        const dlf_bench_row *row = &r->rows[i];
        const dlf_bench_case *c = &row->c;
        for (int k = 0; k < row->n_runners; k++)
            for (int m = 0; m < DLF_BENCH_MODES; m++) {
                char name[DLF_BENCH_NAME], words[64];
                dlf_bench_summary s;
                const dlf_bench_check *q = &row->runner[k].check;
                if (!row->runner[k].ns[m] ||
                    !dlf_bench_summarise(&s, row, k, (dlf_bench_mode)m, noisy))
                    continue;
                flag_words(words, sizeof words, &s);
                fprintf(out,
                        "%s,%s,%s,%s,%s,%s,%d,%s,%s,%d,%s,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.17g,"
                        "%.17g,%.6g,%.6g,%.6g,%.6g,"
                        "%.6g,",
                        dlf_bench_case_name(name, c), c->family, c->op, c->direction,
                        storage_name(c), c->layout == DLF_NHWC ? "nhwc" : "nchw", c->version,
                        row->runner[k].name, dlf_bench_mode_name((dlf_bench_mode)m), row->rounds,
                        dlf_bench_stop_name(row->stop), s.time.median, s.time.q1, s.time.q3,
                        s.time.p95, s.time.min, s.time.lo, s.time.hi, row->bytes, row->flops,
                        s.gb_per_s, s.gflop_per_s, s.of_copy.value, s.of_copy.lo, s.of_copy.hi);
                print_known(out, r->spec_gb_per_s > 0.0 ? s.gb_per_s / r->spec_gb_per_s : NAN);
                const dlf_bench_roof roof = k ? none : dlf_bench_roof_of(r, row);
                print_known(out, m == DLF_BENCH_COLD ? roof.share : NAN);
                fprintf(out, "%s,", bound_name(&roof));
                print_known(out, row->runner[k].launches >= 0.0 ? row->runner[k].launches : NAN);
                print_known(out, row->runner[k].host_ns);
                if (q->done)
                    fprintf(out, "%.6g,%.6g,%d,%d,%s\n", q->error, q->tolerance, q->ok,
                            q->same_bits, words);
                else
                    fprintf(out, ",,,,%s\n", words);
            }
    }
}

static void print_markdown(FILE *out, const dlf_bench_report *r)
{
    const bool peers = has_peers(r, false);
    fprintf(out, "| case | cold | ±95 %% | hot | GB/s | of the copy |%s%s error | rounds | |\n",
            r->n_ceilings ? " of the roof |" : "", peers ? " over the peer (hot) |" : "");
    fprintf(out, "| --- | ---: | ---: | ---: | ---: | ---: |%s%s ---: | ---: | --- |\n",
            r->n_ceilings ? " ---: |" : "", peers ? " ---: |" : "");
    for (int i = 0; i < r->n; i++) {
        const dlf_bench_row *row = &r->rows[i];
        char name[DLF_BENCH_NAME], cold[16], hot[16], words[64];
        dlf_bench_summary s, h;
        dlf_bench_case_name(name, &row->c);
        if (row->skipped[0] || !dlf_bench_summarise(&s, row, 0, DLF_BENCH_COLD, noisy)) {
            fprintf(out, "| %s | skipped: %s ||||||%s%s\n", name, row->skipped,
                    r->n_ceilings ? "|" : "", peers ? "||" : "|");
            continue;
        }
        dlf_bench_summarise(&h, row, 0, DLF_BENCH_HOT, noisy);
        print_time(cold, s.time.median);
        print_time(hot, h.time.median);
        flag_words(words, sizeof words, &s);
        fprintf(out, "| %s | %s | %.1f %% | %s | %.1f | %.0f %% |", name, cold,
                50.0 * (s.time.hi - s.time.lo) / s.time.median, hot, s.gb_per_s,
                100.0 * s.of_copy.value);
        if (r->n_ceilings) {
            const dlf_bench_roof roof = dlf_bench_roof_of(r, row);
            if (isnan(roof.share))
                fprintf(out, " |");
            else
                fprintf(out, " %.0f %% %s |", 100.0 * roof.share, bound_name(&roof));
        }
        if (peers && h.peer_name)
            fprintf(out, " %.2f (%.2f…%.2f) %s |", h.peer.value, h.peer.lo, h.peer.hi, h.peer_name);
        if (peers && !h.peer_name) fprintf(out, " |");
        fprintf(out, " %.1e | %d | %s |\n", row->runner[0].check.error, row->rounds, words);
    }
}

dlf_status dlf_bench_print(FILE *out, const dlf_bench_report *r, dlf_bench_format format, bool utf8)
{
    switch (format) {
    case DLF_BENCH_TABLE: print_table(out, r, utf8); break;
    case DLF_BENCH_CSV: print_csv(out, r); break;
    case DLF_BENCH_MARKDOWN: print_markdown(out, r); break;
    }
    return ferror(out) ? dlf_fail(DLF_ERR_OUTPUT, "the table cannot be written") : DLF_OK;
}
