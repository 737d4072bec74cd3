/* SPDX-License-Identifier: MIT
 * internal.h -- what the files of host/result share; nobody else includes it. */
#ifndef DLF_RESULT_INTERNAL_H
#define DLF_RESULT_INTERNAL_H
#include <stddef.h>

#include "dlf/result.h"

#define DLF_RESULT_SCHEMA "dlf.result/1"

/* Strings live as long as the result: one list of blocks, freed at once. */
typedef struct dlf_strings {
    struct dlf_string_block *blocks;
} dlf_strings;

struct dlf_table {
    dlf_result *result;
    const char *id;
    dlf_text title;
    dlf_column *columns;
    int n_columns, n_rows, capacity; /* capacity in rows */
    dlf_cell *cells;                 /* row-major */
};

typedef struct dlf_parameter {
    const char *name, *text; /* text == NULL: a number */
    double number;
} dlf_parameter;

typedef struct dlf_fact {
    const char *id, *unit;
    double value;
} dlf_fact;

struct dlf_result {
    dlf_strings strings;
    const char *experiment, *questions;
    dlf_text title;
    dlf_manifest manifest;
    /* Tables, checks and figures are allocated one by one: callers keep pointers to them. */
    dlf_table **tables;
    dlf_check **checks;
    dlf_figure **figures;
    dlf_parameter *parameters;
    dlf_fact *facts;
    int n_tables, n_checks, n_figures, n_parameters, n_facts;
};

/* Copy; bytes that are not UTF-8 become U+FFFD, so that every stored string can be written as JSON
 * (a command line may hold anything). NULL becomes "". NULL only when out of memory. */
const char *dlf_strings_copy(dlf_strings *strings, const char *text);
void dlf_strings_free(dlf_strings *strings);

/* Copy both languages; DLF_ERR_ARG names `what` when one is missing. Two empty texts are missing
 * too unless `optional`. */
DLF_MUST_CHECK dlf_status dlf_result_copy_text(dlf_result *r, dlf_text *out, dlf_text text,
                                               bool optional, const char *what);

/* *array of `count` elements of `size` bytes gets room for one more (array may move). */
DLF_MUST_CHECK dlf_status dlf_result_grow(void *array, int count, size_t size);

bool dlf_is_id(const char *text);        /* [a-z0-9_]+ */
bool dlf_is_questions(const char *text); /* "", "Q7", "Q7,Q8" */
dlf_status dlf_result_oom(void);

const char *dlf_relation_name(dlf_relation relation);
const char *dlf_role_name(dlf_role role);
const char *dlf_figure_kind_name(dlf_figure_kind kind);
/* -1 if unknown. */
int dlf_relation_from_name(const char *name);
int dlf_role_from_name(const char *name);
int dlf_figure_kind_from_name(const char *name);
int dlf_verdict_from_name(const char *name);
#endif
