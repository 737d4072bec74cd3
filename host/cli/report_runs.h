/* SPDX-License-Identifier: MIT
 * report_runs.h -- the stored runs that a page is made of. */
#ifndef DLF_CLI_REPORT_RUNS_H
#define DLF_CLI_REPORT_RUNS_H
#include "dlf/result.h"
#include "result/buffer.h"

enum { REPORT_ZH, REPORT_EN, REPORT_LANGUAGES };

typedef struct report_run {
    char *dir; /* absolute */
    dlf_result *result;
    dlf_buffer answer[REPORT_LANGUAGES]; /* answer.zh.md, answer.en.md; size 0: not stored */
} report_run;

typedef struct report_runs {
    report_run *run; /* in the order of the questions */
    int n;
    char **problem; /* one sentence for each thing that could not be read */
    int n_problems;
    bool single; /* the directory was one run's, not one of runs */
} report_runs;

/* Read DIR/result.json, or where there is none DIR/<each>/result.json. What is damaged becomes a
 * problem and does not stop the rest. Free *out in every case.
 *   errors  DLF_ERR_INPUT (DIR cannot be read, or no run was ever stored in it), DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status report_runs_read(report_runs *out, const char *dir);
void report_runs_free(report_runs *runs);

/* Append the text of DIR/NAME, an ordinary file of at most `limit` bytes.
 *   errors  DLF_ERR_NOT_FOUND (there is none), DLF_ERR_INPUT, DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status report_read(dlf_buffer *out, const char *dir, const char *name,
                                      size_t limit);
#endif
