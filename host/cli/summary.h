/* SPDX-License-Identifier: MIT
 * summary.h -- a result as the few lines somebody reads after `dlf run`. */
#ifndef DLF_CLI_SUMMARY_H
#define DLF_CLI_SUMMARY_H
#include <stdio.h>

#include "cli/term.h"
#include "result/buffer.h"

/* Question, set-up, one line per check. */
void cli_print_summary(FILE *out, const dlf_result *r, const cli_language *language);

/* The checks as CSV (RFC 4180); header line first if `header`. */
void cli_print_checks_csv(FILE *out, const dlf_result *r, bool header);

/* Verdict in words of the language, padded with blanks and coloured where the stream has colours.
 */
void cli_print_verdict(FILE *out, dlf_verdict verdict, const cli_language *language, int columns);

/* Append "0.2361 (0.2355…0.2367)" and "0.2362 ±2%", "≤ 1", "NaN or infinite". */
void cli_describe_measured(dlf_buffer *b, const dlf_check *c);
void cli_describe_expected(dlf_buffer *b, const dlf_check *c, const cli_language *language);

/* "0.2361", "1.2e-13", "NaN": four significant digits. */
enum { CLI_NUMBER = 32 };
const char *cli_number(char text[CLI_NUMBER], double x);

#endif
