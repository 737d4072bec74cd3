/* SPDX-License-Identifier: MIT
 * sweep.h -- `--sweep depth=10..50:5` and `--sweep activation=tanh,relu`. */
#ifndef DLF_CLI_SWEEP_H
#define DLF_CLI_SWEEP_H
#include "dlf/experiment.h"
#include "result/buffer.h"

enum { CLI_SWEEP_MAX = 256, CLI_SWEEP_TEXT = 48 };

typedef struct cli_sweep {
    char name[CLI_SWEEP_TEXT];
    char value[CLI_SWEEP_MAX][CLI_SWEEP_TEXT]; /* as --set would take them, each once */
    int n;
} cli_sweep;

/* k=a..b:n gives n evenly spaced values, rounded for whole-number parameters (then without
 * repetitions); k=v1,v2,v3 gives what it says. `e` knows the type of k.
 *   errors  DLF_ERR_ARG, DLF_ERR_NOT_FOUND (parameter unknown) */
DLF_MUST_CHECK dlf_status cli_sweep_parse(cli_sweep *out, const char *text,
                                          const dlf_experiment *e);

/* One CSV line per check of the run at `value`; the header line first if `b` is empty. */
void cli_sweep_csv(dlf_buffer *b, const char *value, const dlf_result *r);

#endif
