/* SPDX-License-Identifier: MIT
 * result.h -- what an experiment produces: tables, checks, figures, facts. Data, never text output.
 *
 * A result is built by the experiment, stored as JSON (schema "dlf.result/1", docs/result-schema.md)
 * with one CSV per table beside it, and read back by plot, report and verify, which are pure
 * functions of the stored file. NaN and infinities are values: JSON carries them as the strings
 * "NaN", "Infinity", "-Infinity".
 *
 * Strings passed in are copied. All `id`s are [a-z0-9_]+ and unique in their list. */
#ifndef DLF_RESULT_H
#define DLF_RESULT_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "dlf/status.h"
#ifdef __cplusplus
extern "C" {
#endif

/* One sentence in both languages; parity is by construction: neither may be NULL or empty. */
typedef struct dlf_text {
    const char *zh, *en;
} dlf_text;

typedef struct dlf_result dlf_result;
typedef struct dlf_table dlf_table;

/* ---- tables -------------------------------------------------------------------------------- */

typedef struct dlf_column {
    const char *name; /* [a-z0-9_]+, English, stable: scripts read it */
    const char *unit; /* "1", "layer", "step", "ms", ...; NULL: the column holds text */
} dlf_column;

typedef struct dlf_cell {
    const char *text; /* for text columns, else NULL */
    double number;
} dlf_cell;
#define DLF_TXT(s) ((dlf_cell){.text = (s)})
#define DLF_NUM(x) ((dlf_cell){.number = (double)(x)})

/* Add an empty table. `columns` ends with {NULL}. *out is owned by the result.
 *   errors  DLF_ERR_ARG (id or column name malformed or taken), DLF_ERR_OOM                    */
DLF_MUST_CHECK dlf_status dlf_result_table(dlf_result *r, const char *id, dlf_text title,
                                           const dlf_column *columns, dlf_table **out);

/* Append a row: dlf_table_row(t, DLF_TXT("tanh"), DLF_NUM(1.0), ...), one cell per column.
 *   errors  DLF_ERR_ARG (cell count or kind differs from the columns), DLF_ERR_OOM             */
#define dlf_table_row(t, ...)                                                            \
    dlf_table_append((t), (int)(sizeof((dlf_cell[]){__VA_ARGS__}) / sizeof(dlf_cell)),   \
                     (const dlf_cell[]){__VA_ARGS__})
DLF_MUST_CHECK dlf_status dlf_table_append(dlf_table *t, int n_cells, const dlf_cell *cells);

/* Reading (NULL / -1 when absent). Cells of a number column have text == NULL. */
const dlf_table *dlf_result_find_table(const dlf_result *r, const char *id);
const char *dlf_table_id(const dlf_table *t);
int dlf_table_rows(const dlf_table *t);
int dlf_table_columns(const dlf_table *t);
const dlf_column *dlf_table_column(const dlf_table *t, int column);
int dlf_table_find_column(const dlf_table *t, const char *name);
dlf_cell dlf_table_cell(const dlf_table *t, int row, int column);

/* ---- checks -------------------------------------------------------------------------------- */

/* supported    the data agree with the claim
 * refuted      they contradict it
 * depends      true in one arm, false in another: the experiment says which
 * definitional nothing to measure
 * undecided    fewer than 3 seeds: no verdict, whatever the number says or the experiment decided;
 *              self-checks and definitions, which need no seeds, are exempt                     */
#define DLF_VERDICT_MAP(X)                                                               \
    X(SUPPORTED, "supported") X(REFUTED, "refuted") X(DEPENDS, "depends")                \
    X(DEFINITIONAL, "definitional") X(UNDECIDED, "undecided")
typedef enum dlf_verdict {
#define X(name, text) DLF_##name,
    DLF_VERDICT_MAP(X)
#undef X
} dlf_verdict;
const char *dlf_verdict_name(dlf_verdict v);

/* How `measured` must stand to `expected` (NaN satisfies none):
 * (relative: `tolerance` stands for tolerance |expected|)
 *   EQUAL     |measured - expected| <= tolerance
 *   AT_MOST   measured <= expected + tolerance
 *   AT_LEAST  measured >= expected - tolerance
 *   NOT_FINITE  measured is NaN or infinite (expected, tolerance are ignored)                   */
typedef enum dlf_relation {
    DLF_EQUAL, DLF_AT_MOST, DLF_AT_LEAST, DLF_NOT_FINITE
} dlf_relation;

typedef struct dlf_check {
    const char *id;
    dlf_text claim;         /* a sentence that can be false                                     */
    double measured;        /* centre: mean (or what the claim says) over seeds                 */
    double lo, hi;          /* 95 % interval of `measured` over seeds; NaN, NaN if it has none  */
    int n;                  /* seeds behind it; 0: exact arithmetic, no sampling                */
    double expected;        /* theory or published value, computed, never typed from this run   */
    double tolerance;
    bool relative;
    dlf_relation relation;
    const char *source;     /* "Schoenholz et al. 2017, eq. 5" or "closed form: ..."            */
    bool self_check;        /* an identity our own numerics must satisfy: failing it is a bug of
                               ours, not a finding (exit code 5)                                */
    bool has_verdict;       /* true: `verdict` below was decided by the experiment; false: from
                               the relation, with `undecided` for 0 < n < 3                     */
    dlf_verdict verdict;
    const char *note;       /* optional: what the number means, or why theory is off; may be NULL */
} dlf_check;

DLF_MUST_CHECK dlf_status dlf_result_check(dlf_result *r, dlf_check check);
int dlf_result_checks(const dlf_result *r);
const dlf_check *dlf_result_get_check(const dlf_result *r, int i); /* with verdict filled in */
const dlf_check *dlf_result_find_check(const dlf_result *r, const char *id);
bool dlf_result_self_checks_hold(const dlf_result *r);

/* ---- facts: single numbers the answer texts quote ------------------------------------------ */

DLF_MUST_CHECK dlf_status dlf_result_fact(dlf_result *r, const char *id, double value,
                                          const char *unit);
/* NaN and false when absent. */
bool dlf_result_find_fact(const dlf_result *r, const char *id, double *value);

/* ---- figures: a description; host/report draws it ------------------------------------------- */

typedef enum dlf_figure_kind {
    DLF_LINES,   /* y against x                                                                 */
    DLF_HEATMAP, /* z over a regular (x,y) grid, first series; further series drawn over it.
                    Text columns <x>_zh and <x>_en (<y>_..) of its table name the ticks of that
                    axis ("": none); then cells are one unit wide, and what is left out is a gap */
    DLF_BARS     /* y per text category x, grouped by series; text columns <x>_zh and <x>_en, if
                    the table has them, name the categories under the bars                      */
} dlf_figure_kind;

typedef enum dlf_role {
    DLF_MEASURED, /* centre line or points with band or bars from lo..hi                        */
    DLF_THEORY,   /* dashed, no fitted parameter                                                */
    DLF_CONTROL,  /* like MEASURED, drawn grey: the arm where nothing may happen                */
    DLF_SEEDS,    /* thin lines, one per value of column `by`                                   */
    DLF_REFERENCE /* thin dotted guide: a threshold, chance level                               */
} dlf_role;

typedef struct dlf_series {
    dlf_role role;
    const char *table;        /* id of the table the points come from                           */
    const char *where, *equals; /* only rows whose text column `where` equals this; NULL: all   */
    const char *x, *y;        /* columns                                                        */
    const char *lo, *hi;      /* columns of the interval; NULL: none                            */
    const char *z;            /* heatmap value column                                           */
    const char *by;           /* SEEDS: column that numbers the seeds                           */
    dlf_text label;           /* legend; {"" , ""} for SEEDS                                     */
    int colour;               /* same colour index = belongs together (measured with its theory) */
    bool points;              /* draw markers, no line                                          */
} dlf_series;

typedef struct dlf_axis {
    dlf_text label; /* with unit */
    bool log;
} dlf_axis;

enum { DLF_FIGURE_SERIES_MAX = 24 };

typedef struct dlf_figure {
    const char *id;
    dlf_figure_kind kind;
    dlf_text title;    /* the claim                                                             */
    dlf_text subtitle; /* the set-up: net, width, depth, data, seeds                            */
    dlf_axis x, y, z;
    bool residuals;    /* strip below: measured / theory of the same colour                     */
    dlf_series series[DLF_FIGURE_SERIES_MAX]; /* ends at the first with table == NULL           */
} dlf_figure;

/* errors  DLF_ERR_ARG when a series names a table or column that does not exist */
DLF_MUST_CHECK dlf_status dlf_result_figure(dlf_result *r, const dlf_figure *figure);
int dlf_result_figures(const dlf_result *r);
const dlf_figure *dlf_result_get_figure(const dlf_result *r, int i);

/* ---- the whole ------------------------------------------------------------------------------ */

typedef struct dlf_manifest {
    const char *version, *git, *command, *started, *build; /* started: ISO-8601 UTC */
    uint64_t seed;
    int seeds;
    double seconds;
    const char *backend, *device, *device_detail;
    int threads;
    const char *mode; /* "quick" or "full" */
    bool complete;    /* false: interrupted, finished parts only */
    bool customised;  /* the user set a parameter: other networks than the answer texts speak of */
} dlf_manifest;

DLF_MUST_CHECK dlf_status dlf_result_new(dlf_result **out, const char *experiment,
                                         const char *questions, dlf_text title);
void dlf_result_free(dlf_result *r);
const char *dlf_result_experiment(const dlf_result *r);
const char *dlf_result_questions(const dlf_result *r); /* "Q7" or "Q7,Q8" */
dlf_text dlf_result_title(const dlf_result *r);
DLF_MUST_CHECK dlf_status dlf_result_set_manifest(dlf_result *r, const dlf_manifest *m);
const dlf_manifest *dlf_result_manifest(const dlf_result *r);
/* Parameters as used by the run, for the record. Each name once; numbers are finite. */
DLF_MUST_CHECK dlf_status dlf_result_parameter(dlf_result *r, const char *name, double value);
DLF_MUST_CHECK dlf_status dlf_result_parameter_text(dlf_result *r, const char *name,
                                                    const char *value);
/* NaN if absent or text. */
double dlf_result_find_parameter(const dlf_result *r, const char *name);
const char *dlf_result_find_parameter_text(const dlf_result *r, const char *name);

/* The JSON document, malloc'ed, newline at the end; same result, same bytes. */
DLF_MUST_CHECK dlf_status dlf_result_to_json(const dlf_result *r, char **out);
/* Strict: wrong schema, missing or mistyped members are DLF_ERR_INPUT with the JSON path. `name`
 * is for messages. Treats the text as hostile. */
DLF_MUST_CHECK dlf_status dlf_result_from_json(dlf_result **out, const char *text, size_t size,
                                               const char *name);

/* Write DIR/result.json and DIR/<table>.csv. Each file is written beside its final name, synced and
 * renamed, so a full disk or a kill leaves the old file. Creates DIR.
 *   errors  DLF_ERR_OUTPUT with path and reason */
DLF_MUST_CHECK dlf_status dlf_result_store(const dlf_result *r, const char *dir);
/* Read DIR/result.json or the file itself.  errors  DLF_ERR_INPUT */
DLF_MUST_CHECK dlf_status dlf_result_load(dlf_result **out, const char *path);

/* RFC 4180, header line of column names, '.' decimal point, %.17g, NaN/Infinity as in JSON. */
DLF_MUST_CHECK dlf_status dlf_table_write_csv(const dlf_table *t, FILE *file);

#ifdef __cplusplus
}
#endif
#endif
