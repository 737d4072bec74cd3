/* SPDX-License-Identifier: MIT
 * term.h -- what the person in front of the terminal reads and sees. */
#ifndef DLF_CLI_TERM_H
#define DLF_CLI_TERM_H
#include <stdbool.h>
#include <stdio.h>

#include "cli/args.h"

typedef struct cli_language {
    bool say_zh; /* what is printed is Chinese, else English      */
    bool zh, en; /* which answers and figures are written to disk */
} cli_language;

/* From --lang, else LC_ALL, LC_MESSAGES, LANG: zh* is Chinese, anything else English; answers and
 * figures are written in both. `args` may be NULL.   errors  DLF_ERR_ARG */
DLF_MUST_CHECK dlf_status cli_language_of(cli_language *out, const cli_args *args);
const char *cli_say(const cli_language *language, dlf_text text);

/* May escape sequences go to this stream? A terminal, not TERM=dumb; colours also want NO_COLOR
 * unset or empty. */
bool cli_is_terminal(FILE *stream);
bool cli_has_colours(FILE *stream);
/* Of the terminal behind `stream`, else $COLUMNS, else 80. */
int cli_columns(FILE *stream);
/* Does the locale in the environment say UTF-8? */
bool cli_is_utf8(void);

/* `text` padded with blanks to `columns` on the terminal (Chinese characters are two wide). */
void cli_print_padded(FILE *stream, const char *text, int columns);
/* The same for a table: at least one blank behind the text. */
void cli_print_cell(FILE *stream, const char *text, int columns);

/* "dlf: sentence" on stderr, for what is worth saying while the program goes on. */
void cli_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line on stderr that redraws itself: bar, remaining time, what is being estimated. */
typedef struct cli_progress {
    bool on;
    const char *name;
    double start, drawn; /* seconds, monotonic */
} cli_progress;

void cli_progress_begin(cli_progress *p, const char *name, bool quiet);
/* dlf_run_options.progress; `user` is the cli_progress. */
void cli_progress_update(void *user, double fraction, const char *text);
void cli_progress_end(cli_progress *p);

/* Ctrl-C: the first SIGINT or SIGTERM sets the flag, the second ends the program. A signal that was
 * ignored when we started (nohup, background job) stays ignored. */
volatile const int *cli_catch_interrupts(void);

#endif
