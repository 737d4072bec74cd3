/* SPDX-License-Identifier: MIT
 * deliver.h -- a finished run as files: result, tables, figures, answers. */
#ifndef DLF_CLI_DELIVER_H
#define DLF_CLI_DELIVER_H
#include "cli/term.h"

/* Can a run write into `dir`? Creates it and writes and removes a file of some size, so that a
 * wrong path or a full disk shows before minutes of compute.   errors  DLF_ERR_OUTPUT */
DLF_MUST_CHECK dlf_status cli_probe_directory(const char *dir);

typedef struct cli_delivery {
    int figures;
    bool answer_zh, answer_en;
} cli_delivery;

/* Where `r` belongs: `dir`, but DIR/interrupted when the run was cut short and DIR holds a complete
 * one, which must not be lost. malloc'ed; NULL without memory. */
char *cli_delivery_directory(const dlf_result *r, const char *dir);

/* Store `r` in `dir`, then draw its figures (unless !plot) and write its answers. The result is
 * safe before anything else is tried; a figure or answer that cannot be made is a warning, unless
 * the disk is to blame.   errors  DLF_ERR_OUTPUT */
DLF_MUST_CHECK dlf_status cli_deliver(cli_delivery *out, const dlf_result *r, const char *dir,
                                      const cli_language *language, bool plot);

/* "Wrote out/x/: result.json, *.csv, 3 figures, ..." */
void cli_print_delivery(FILE *out, const cli_delivery *d, const char *dir,
                        const cli_language *language);

#endif
