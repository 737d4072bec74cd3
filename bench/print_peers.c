/* SPDX-License-Identifier: MIT
 * print_peers.c -- every row against every peer, not only the fastest one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/bench.h"

enum { FIRST_PEER = 3, MOST = DLF_BENCH_RUNNERS - FIRST_PEER };

/* A column of the table. */
typedef struct peer_column {
    const char *name;
    double *ratio;
    int ratios, abreast, surely; /* at least 1; with the whole interval */
} peer_column;

/* Peer `name` of a row, timed hot; NULL if it was not. */
static const double *timed(const dlf_bench_row *row, const char *name)
{
    for (int i = FIRST_PEER; !row->skipped[0] && i < row->n_runners; i++)
        if (!strcmp(row->runner[i].name, name)) return row->runner[i].ns[DLF_BENCH_HOT];
    return NULL;
}

static int columns_of(peer_column *columns, const dlf_bench_report *r, double *room)
{
    int n = 0;
    for (int i = 0; i < r->n; i++)
        for (int k = FIRST_PEER; k < r->rows[i].n_runners; k++) {
            const char *name = r->rows[i].runner[k].name;
            int at = 0;
            while (at < n && strcmp(columns[at].name, name)) at++;
            if (at < n || n == MOST || !timed(&r->rows[i], name)) continue;
            columns[n++] = (peer_column){.name = name, .ratio = room + (size_t)at * (size_t)r->n};
        }
    return n;
}

static void print_row(FILE *out, const dlf_bench_row *row, peer_column *columns, int n)
{
    char name[DLF_BENCH_NAME];
    const double *us = row->runner[0].ns[DLF_BENCH_HOT];
    if (row->skipped[0] || !us) return;
    const double ns = dlf_bench_stats_of(us, row->rounds).median;
    fprintf(out, "| %s | %.4g | ", dlf_bench_case_name(name, &row->c), 1e-3 * ns);
    if (row->flops > 0.0) fprintf(out, "%.0f ", row->flops / ns);
    fprintf(out, "|");
    for (int i = 0; i < n; i++) {
        const double *theirs = timed(row, columns[i].name);
        if (!theirs) {
            fprintf(out, " |");
            continue;
        }
        const dlf_bench_ratio ratio =
            dlf_bench_ratio_paired(theirs, us, row->pass_end, row->passes);
        columns[i].ratio[columns[i].ratios++] = ratio.value;
        columns[i].abreast += ratio.value >= 1.0; /* NaN is not */
        columns[i].surely += ratio.lo >= 1.0;
        fprintf(out, " %.2f (%.2f…%.2f) |", ratio.value, ratio.lo, ratio.hi);
    }
    fprintf(out, "\n");
}

dlf_status dlf_bench_print_peers(FILE *out, const dlf_bench_report *r)
{
    peer_column columns[MOST];
    double *room = calloc((size_t)MOST * (size_t)(r->n ? r->n : 1), sizeof *room);
    if (!room) return dlf_fail(DLF_ERR_OOM, "no memory for the table of peers");
    const int n = columns_of(columns, r, room);
    fprintf(out, "| case | µs, hot | GFLOP/s |");
    for (int i = 0; i < n; i++) fprintf(out, " over %s |", columns[i].name);
    fprintf(out, "\n| --- | ---: | ---: |");
    for (int i = 0; i < n; i++) fprintf(out, " ---: |");
    fprintf(out, "\n");
    for (int i = 0; i < r->n; i++) print_row(out, &r->rows[i], columns, n);
    for (int i = 0; i < n; i++) {
        const dlf_bench_stats s = dlf_bench_stats_of(columns[i].ratio, columns[i].ratios);
        fprintf(out,
                "%s%s: %d of %d rows at least as fast, %d with their whole interval, median %.2f, "
                "least %.2f",
                i ? "; " : "\n", columns[i].name, columns[i].abreast, columns[i].ratios,
                columns[i].surely, s.median, s.min);
    }
    if (n) fprintf(out, ".\n");
    free(room);
    return ferror(out) ? dlf_fail(DLF_ERR_OUTPUT, "the table cannot be written") : DLF_OK;
}
