/* SPDX-License-Identifier: MIT
 * report_page.h -- stored runs as one HTML page that needs no other file and no network. */
#ifndef DLF_CLI_REPORT_PAGE_H
#define DLF_CLI_REPORT_PAGE_H
#include "cli/report_runs.h"
#include "cli/term.h"

/* Append the page. Same runs and language, same bytes. Texts and names of the runs are escaped;
 * figures are <img> with data, in which scripts do not run; the page's own policy allows neither
 * scripts nor anything from elsewhere. *answered: questions with at least one run.
 *   errors  DLF_ERR_OOM, DLF_ERR_INPUT */
DLF_MUST_CHECK dlf_status report_page(dlf_buffer *out, const report_runs *runs,
                                      const cli_language *language, int *answered);

/* ---- between report_page.c and report_question.c ----------------------------------------------
 */

typedef struct report_counts {
    int verdict[DLF_UNDECIDED + 1];
    int failed; /* self-checks that do not hold */
} report_counts;

/* "Q7" is one of the run's questions. */
bool report_is_about(const report_run *run, const char *question);
void report_count(report_counts *counts, const report_run *run);
/* The counts that are not 0, as coloured labels. */
void report_put_counts(dlf_buffer *out, const report_counts *counts, const cli_language *language);

/* `text` in each language of the page, of which the page shows one. */
void report_put_text(dlf_buffer *out, dlf_text text, const cli_language *language);
/* The same for what the program says itself: a number (or -1 for none) and a word. */
void report_put_words(dlf_buffer *out, const char *zh, const char *en,
                      const cli_language *language);

/* Answer, figures, checks, manifests of one question. */
DLF_MUST_CHECK dlf_status report_put_question(dlf_buffer *out, const report_runs *runs,
                                              const char *id, const cli_language *language);
#endif
