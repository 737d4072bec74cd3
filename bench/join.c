/* SPDX-License-Identifier: MIT
 * join.c -- results of several runs as one, and what they come to per op. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/store.h"

/* ---- joining -------------------------------------------------------------------------------- */

static bool same_device(const json_t *a, const json_t *b)
{
    const json_t *x = json_object_get(a, "device"), *y = json_object_get(b, "device");
    return (!x && !y) || json_equal(x, y);
}

/* {..a, "parts": [a, b, ...]}: what was run is not forgotten. */
static dlf_status join_manifests(char **into, const char *other)
{
    json_t *a = json_loads(*into ? *into : "{}", 0, NULL),
           *b = json_loads(other ? other : "{}", 0, NULL);
    dlf_status status =
        same_device(a, b) ? DLF_OK
                          : dlf_fail(DLF_ERR_INPUT, "results of different devices are not joined");
    char *text = NULL;
    if (status == DLF_OK) {
        json_t *parts = json_object_get(a, "parts");
        if (!parts) {
            parts = json_array();
            json_array_append_new(parts, json_copy(a));
            json_object_set_new(a, "parts", parts);
        }
        json_array_append(parts, b);
        text = json_dumps(a, JSON_COMPACT);
        if (!text) status = dlf_fail(DLF_ERR_OOM, "no memory to join results");
    }
    json_decref(a);
    json_decref(b);
    if (status != DLF_OK) return status;
    free(*into);
    *into = text;
    return DLF_OK;
}

void bench_drop_samples(dlf_bench_row *row)
{
    for (int k = 0; k < DLF_BENCH_RUNNERS; k++)
        for (int m = 0; m < DLF_BENCH_MODES; m++) free(row->runner[k].ns[m]);
}

static dlf_bench_row *row_named(dlf_bench_row *rows, int n, const char *name)
{
    for (int i = 0; i < n; i++) {
        char other[DLF_BENCH_NAME];
        if (!strcmp(dlf_bench_case_name(other, &rows[i].c), name)) return &rows[i];
    }
    return NULL;
}

/* rows has room for all; those of `other` have moved. */
static void join_rows(dlf_bench_row *rows, int *n, const dlf_bench_row *other, int *m)
{
    for (int i = 0; i < *m; i++) {
        char name[DLF_BENCH_NAME];
        dlf_bench_row *old = row_named(rows, *n, dlf_bench_case_name(name, &other[i].c));
        if (old) bench_drop_samples(old);
        *(old ? old : &rows[(*n)++]) = other[i];
    }
    *m = 0;
}

dlf_status dlf_bench_join(dlf_bench_report *into, dlf_bench_report *other)
{
    dlf_bench_row *rows =
        realloc(into->rows, (size_t)(into->n + other->n + 1) * sizeof *into->rows);
    if (!rows) return dlf_fail(DLF_ERR_OOM, "no memory to join results");
    into->rows = rows;
    dlf_bench_row *ceilings = realloc(
        into->ceilings, (size_t)(into->n_ceilings + other->n_ceilings + 1) * sizeof *ceilings);
    if (!ceilings) return dlf_fail(DLF_ERR_OOM, "no memory to join results");
    into->ceilings = ceilings;
    DLF_TRY(join_manifests(&into->manifest, other->manifest));
    join_rows(into->rows, &into->n, other->rows, &other->n);
    join_rows(into->ceilings, &into->n_ceilings, other->ceilings, &other->n_ceilings);
    into->complete = into->complete && other->complete;
    return DLF_OK;
}

/* ---- per op --------------------------------------------------------------------------------- */

typedef struct op_line {
    const char *op, *direction;
    double *ratio, *share; /* one per case that has one */
    int cases, ratios, shares;
} op_line;

static double median(const double *x, int n)
{
    return dlf_bench_stats_of(x, n).median;
}

static op_line *line_of(op_line *lines, int *n, const dlf_bench_case *c, double *room, int rows)
{
    for (int i = 0; i < *n; i++)
        if (!strcmp(lines[i].op, c->op) && !strcmp(lines[i].direction, c->direction))
            return &lines[i];
    lines[*n] = (op_line){.op = c->op,
                          .direction = c->direction,
                          .ratio = room + 2 * (size_t)rows * (size_t)*n,
                          .share = room + (2 * (size_t)*n + 1) * (size_t)rows};
    return &lines[(*n)++];
}

/* The peer's time / ours in hot mode; false: no peer was timed. */
static bool over_peer(dlf_bench_summary *hot, const dlf_bench_row *row)
{
    return !row->skipped[0] && dlf_bench_summarise(hot, row, 0, DLF_BENCH_HOT, 1.0) &&
           hot->peer_name;
}

static void note_row(op_line *line, const dlf_bench_row *row)
{
    dlf_bench_summary cold, hot;
    line->cases++;
    if (over_peer(&hot, row)) line->ratio[line->ratios++] = hot.peer.value;
    if (dlf_bench_summarise(&cold, row, 0, DLF_BENCH_COLD, 1.0) && !isnan(cold.of_copy.value))
        line->share[line->shares++] = cold.of_copy.value;
}

/* The only peer that there is, by name. */
static const char *against(const dlf_bench_report *r)
{
    dlf_bench_summary hot;
    const char *name = NULL;
    for (int i = 0; i < r->n; i++) {
        if (!over_peer(&hot, &r->rows[i])) continue;
        if (name && strcmp(name, hot.peer_name)) return "the fastest peer";
        name = hot.peer_name;
    }
    return name ? name : "the fastest peer";
}

/* How many rows keep up with the fastest peer, and which do not (NaN does not). */
static void print_behind(FILE *out, const dlf_bench_report *r)
{
    dlf_bench_summary hot;
    int rows = 0, abreast = 0;
    for (int i = 0; i < r->n; i++)
        if (over_peer(&hot, &r->rows[i])) {
            rows++;
            abreast += hot.peer.value >= 1.0;
        }
    if (!rows) return;
    fprintf(out, "\n%d of %d rows at least as fast", abreast, rows);
    const char *before = "; behind:";
    for (int i = 0; i < r->n; i++) {
        char name[DLF_BENCH_NAME];
        if (!over_peer(&hot, &r->rows[i]) || hot.peer.value >= 1.0) continue;
        fprintf(out, "%s %s (%.2f, 95 %% interval %.2f to %.2f)", before,
                dlf_bench_case_name(name, &r->rows[i].c), hot.peer.value, hot.peer.lo, hot.peer.hi);
        before = ",";
    }
    fprintf(out, ".\n");
}

static void print_lines(FILE *out, const op_line *lines, int n, const char *peer)
{
    fprintf(out,
            "| | shapes | times as fast as %s, hot: median (least) | of the copy, cold: median |\n"
            "| --- | ---: | ---: | ---: |\n",
            peer);
    for (int i = 0; i < n; i++) {
        const op_line *l = &lines[i];
        char op[24];
        snprintf(op, sizeof op, "%s", l->op);
        for (char *at = op; *at; at++)
            if (*at == '_') *at = ' ';
        fprintf(out, "| %s %s | %d |", op, l->direction, l->cases);
        if (l->ratios) {
            const dlf_bench_stats s = dlf_bench_stats_of(l->ratio, l->ratios);
            fprintf(out, " %.2f (%.2f) |", s.median, s.min);
        } else {
            fprintf(out, " |");
        }
        if (l->shares)
            fprintf(out, " %.0f %% |\n", 100.0 * median(l->share, l->shares));
        else
            fprintf(out, " |\n");
    }
}

dlf_status dlf_bench_print_ops(FILE *out, const dlf_bench_report *r)
{
    const size_t most = (size_t)(r->n ? r->n : 1);
    op_line *lines = calloc(most, sizeof *lines);
    double *room = calloc(2 * most * most, sizeof *room);
    int n = 0;
    for (int i = 0; lines && room && i < r->n; i++)
        if (!r->rows[i].skipped[0])
            note_row(line_of(lines, &n, &r->rows[i].c, room, r->n), &r->rows[i]);
    const bool ok = lines && room;
    if (ok) {
        print_lines(out, lines, n, against(r));
        print_behind(out, r);
    }
    free(room);
    free(lines);
    if (!ok) return dlf_fail(DLF_ERR_OOM, "no memory for the table of ops");
    return ferror(out) ? dlf_fail(DLF_ERR_OUTPUT, "the table cannot be written") : DLF_OK;
}
