/* SPDX-License-Identifier: MIT
 * commands.h -- the subcommands. One line in cli.c makes one. */
#ifndef DLF_CLI_COMMANDS_H
#define DLF_CLI_COMMANDS_H
#include "cli/args.h"
#include "cli/term.h"

typedef struct cli_call {
    const cli_args *args;
    const cli_language *language;
    int argc; /* the whole command line, for the manifest */
    char **argv;
} cli_call;

typedef struct cli_command {
    const char *name;
    const char *synopsis; /* "EXPERIMENT|QUESTION|all ..." */
    dlf_text summary;     /* one line */
    const char *examples; /* lines of "  dlf ...\n" */
    dlf_text details;     /* below the flags; "" if there is nothing to say */
    const cli_flag *flags;
    dlf_status (*run)(const cli_call *call);
} cli_command;

/* `dlf explain conv1x1 ...` */
DLF_MUST_CHECK dlf_status cli_explain_conv1x1(const cli_args *a);
/* One column of `dlf bench` or `dlf compare`; name NULL: all. */
DLF_MUST_CHECK dlf_status cli_explain_column(const char *name, const cli_language *language);

extern const cli_command cli_list, cli_run, cli_plot, cli_explain, cli_bench, cli_compare,
    cli_report, cli_doctor;

/* NULL-terminated, in the order of the help. */
extern const cli_command *const cli_commands[];

void cli_print_overview(FILE *out, const cli_language *language);
void cli_print_help(FILE *out, const cli_command *command, const cli_language *language);

#endif
