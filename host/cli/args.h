/* SPDX-License-Identifier: MIT
 * args.h -- command lines: flags in any order, `--flag value` and `--flag=value`. */
#ifndef DLF_CLI_ARGS_H
#define DLF_CLI_ARGS_H
#include <stdbool.h>

#include "dlf/result.h"

enum { CLI_FLAGS_MAX = 24 };

typedef struct cli_flag {
    const char *name;  /* without the dashes                                     */
    const char *value; /* what its value is called in help; NULL: it takes none  */
    char letter;       /* short form, 0: none                                    */
    bool repeat;       /* may be given more than once                            */
    dlf_text help;
} cli_flag;

/* clang-format off */
#define CLI_FLAG(name, letter, value, zh, en)          {name, value, letter, false, {zh, en}}
#define CLI_FLAG_REPEATED(name, letter, value, zh, en) {name, value, letter, true, {zh, en}}
#define CLI_FLAGS_END                                  {NULL, NULL, 0, false, {NULL, NULL}}
/* clang-format on */
#define CLI_FLAG_HELP CLI_FLAG_REPEATED("help", 'h', NULL, "显示本帮助", "show this help")
#define CLI_FLAG_LANG                                                                              \
    CLI_FLAG("lang", 0, "zh|en|both", "语言；默认取自 LC_ALL、LANG",                               \
             "language; default from LC_ALL, LANG")

typedef struct cli_option {
    const cli_flag *flag;
    const char *value; /* NULL if it takes none */
} cli_option;

typedef struct cli_args {
    const char *command; /* "dlf run", for messages                 */
    cli_option *options; /* as typed, in order                      */
    const char **words;  /* everything that is not a flag, in order */
    int n_options, n_words;
} cli_args;

/* Sort argv[0..argc-1] (behind the subcommand) into *out; it points into argv. `flags` ends with
 * {NULL}.
 *   errors  DLF_ERR_NOT_FOUND (unknown flag; names the nearest), DLF_ERR_ARG (value missing or
 *           superfluous, flag given twice), DLF_ERR_OOM.  Free *out in every case. */
DLF_MUST_CHECK dlf_status cli_args_parse(cli_args *out, const char *command, const cli_flag *flags,
                                         int argc, char **argv);
void cli_args_free(cli_args *args);

bool cli_has(const cli_args *args, const char *flag);
/* Value of the flag; `otherwise` if it was not given. */
const char *cli_value(const cli_args *args, const char *flag, const char *otherwise);
/* A whole number in min..max; *out stays as it is when the flag was not given. */
DLF_MUST_CHECK dlf_status cli_integer(const cli_args *args, const char *flag, long long min,
                                      long long max, long long *out);
/* DLF_ERR_ARG if there are more than `max` words. */
DLF_MUST_CHECK dlf_status cli_at_most(const cli_args *args, int max);

#endif
