/* SPDX-License-Identifier: MIT
 * selection.h -- which experiments, with which settings. */
#ifndef DLF_CLI_SELECTION_H
#define DLF_CLI_SELECTION_H
#include "cli/args.h"
#include "dlf/experiment.h"

/* Experiments named by slug, question or "all", each once, in the order typed. *out has *n entries
 * and is malloc'ed.   errors  DLF_ERR_ARG (none named), DLF_ERR_NOT_FOUND (names the nearest) */
DLF_MUST_CHECK dlf_status cli_select(const dlf_experiment ***out, int *n, const cli_args *args);

/* One experiment by slug or question. */
DLF_MUST_CHECK dlf_status cli_find_experiment(const dlf_experiment **out, const char *name);

/* Every `--set name=value`, plus one empty slot behind them for a sweep.   errors  DLF_ERR_ARG */
DLF_MUST_CHECK dlf_status cli_settings(dlf_setting **out, int *n, const cli_args *args);
void cli_settings_free(dlf_setting *set, int n);

/* argv as one line that a shell would take back; malloc'ed, NULL without memory. */
char *cli_command_line(int argc, char **argv);

#endif
