/* SPDX-License-Identifier: MIT
 * ledger.c -- per op: where and when it ran, how far from its definition, how fast. For
 * bench/results/VERIFIED.md. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/bench.h"

typedef struct entry {
    const dlf_bench_case *c; /* family and op */
    int cases, skipped, checked, wrong, suspect, other_bits, ahead, against;
    double worst;          /* error / tolerance */
    double *share, *ratio; /* of the copy, cold; over the fastest peer, hot */
    int shares;
} entry;

static entry *entry_of(entry *all, int *n, const dlf_bench_case *c, double *room, int rows)
{
    for (int i = 0; i < *n; i++)
        if (!strcmp(all[i].c->family, c->family) && !strcmp(all[i].c->op, c->op)) return &all[i];
    all[*n] = (entry){.c = c,
                      .share = room + 2 * (size_t)rows * (size_t)*n,
                      .ratio = room + (2 * (size_t)*n + 1) * (size_t)rows};
    return &all[(*n)++];
}

static void note(entry *e, const dlf_bench_row *row)
{
    const dlf_bench_check *q = &row->runner[0].check;
    dlf_bench_summary cold, hot;
    e->cases++;
    if (row->skipped[0]) {
        e->skipped++;
        return;
    }
    if (q->done) {
        const double share = q->error / q->tolerance;
        e->checked++;
        e->wrong += !q->ok;
        e->other_bits += !q->same_bits;
        if (!isnan(e->worst) && !(share <= e->worst)) e->worst = share;
    }
    if (dlf_bench_summarise(&cold, row, 0, DLF_BENCH_COLD, 1.0)) {
        e->suspect += (cold.flags & DLF_FLAG_SUSPECT) != 0;
        if (!isnan(cold.of_copy.value)) e->share[e->shares++] = cold.of_copy.value;
    }
    if (dlf_bench_summarise(&hot, row, 0, DLF_BENCH_HOT, 1.0) && hot.peer_name) {
        e->ahead += hot.peer.value >= 1.0;
        e->ratio[e->against++] = hot.peer.value;
    }
}

static void print_entry(FILE *out, const entry *e)
{
    fprintf(out, "| %s | %s | %d", e->c->family, e->c->op, e->cases - e->skipped);
    if (e->skipped) fprintf(out, " (%d skipped)", e->skipped);
    if (e->checked)
        fprintf(out, " | %d of %d right, worst %.0f %% of the tolerance%s | ",
                e->checked - e->wrong, e->checked, 100.0 * e->worst,
                e->other_bits ? ", NOT THE SAME BITS TWICE" : "");
    else
        fprintf(out, " | not checked | ");
    if (e->shares)
        fprintf(out, "%.0f %%%s", 100.0 * dlf_bench_stats_of(e->share, e->shares).median,
                e->suspect ? ", SUSPECT" : "");
    fprintf(out, " | ");
    if (e->against) {
        const dlf_bench_stats s = dlf_bench_stats_of(e->ratio, e->against);
        fprintf(out, "%.2f (least %.2f), at least as fast in %d of %d", s.median, s.min, e->ahead,
                e->against);
    }
    fprintf(out, " |\n");
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "?";
}

static void print_head(FILE *out, const dlf_bench_report *r)
{
    json_t *m = json_loads(r->manifest ? r->manifest : "{}", 0, NULL);
    const json_t *device = json_object_get(m, "device");
    fprintf(
        out,
        "%s (%s), commit %s, %s%s\n\n"
        "| family | op | cases | result | of the copy, cold: median | over the fastest peer, hot: "
        "median |\n| --- | --- | ---: | --- | ---: | --- |\n",
        text_of(device, "name"), text_of(device, "backend"), text_of(m, "git"),
        text_of(m, "started"), r->complete ? "" : ", INCOMPLETE");
    json_decref(m);
}

dlf_status dlf_bench_print_ledger(FILE *out, const dlf_bench_report *r)
{
    const size_t most = (size_t)(r->n ? r->n : 1);
    entry *all = calloc(most, sizeof *all);
    double *room = calloc(2 * most * most, sizeof *room);
    int n = 0;
    const bool ok = all && room;
    for (int i = 0; ok && i < r->n; i++)
        note(entry_of(all, &n, &r->rows[i].c, room, r->n), &r->rows[i]);
    if (ok) print_head(out, r);
    for (int i = 0; ok && i < n; i++) print_entry(out, &all[i]);
    free(room);
    free(all);
    if (!ok) return dlf_fail(DLF_ERR_OOM, "no memory for the ledger");
    return ferror(out) ? dlf_fail(DLF_ERR_OUTPUT, "the ledger cannot be written") : DLF_OK;
}
