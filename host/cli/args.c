/* SPDX-License-Identifier: MIT
 * args.c -- command lines. */
#include "cli/args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/nearest.h"

static const cli_flag *find_long(const cli_flag *flags, const char *name, size_t length)
{
    for (; flags->name; flags++)
        if (strlen(flags->name) == length && strncmp(flags->name, name, length) == 0) return flags;
    return NULL;
}

static const cli_flag *find_short(const cli_flag *flags, char letter)
{
    for (; flags->name; flags++)
        if (flags->letter == letter) return flags;
    return NULL;
}

static dlf_status unknown_flag(const char *command, const cli_flag *flags, const char *typed)
{
    char dashed[CLI_FLAGS_MAX][32], name[48], hint[256];
    const char *names[CLI_FLAGS_MAX + 1] = {NULL};
    for (int i = 0; i < CLI_FLAGS_MAX && flags[i].name; i++) {
        snprintf(dashed[i], sizeof dashed[i], "--%s", flags[i].name);
        names[i] = dashed[i];
    }
    snprintf(name, sizeof name, "%.*s", (int)strcspn(typed, "="), typed);
    return dlf_fail(DLF_ERR_NOT_FOUND, "%s has no flag '%s'%s", command, name,
                    dlf_nearest(hint, sizeof hint, name, names));
}

static dlf_status add_option(cli_args *out, const cli_flag *flag, const char *value)
{
    if (!flag->repeat && cli_has(out, flag->name))
        return dlf_fail(DLF_ERR_ARG, "%s: --%s is given twice", out->command, flag->name);
    if (value && !*value)
        return dlf_fail(DLF_ERR_ARG, "%s: --%s needs a value (%s), not nothing", out->command,
                        flag->name, flag->value);
    out->options[out->n_options++] = (cli_option){flag, value};
    return DLF_OK;
}

/* Take the flag at argv[*i], and its value, which may be the next argument. */
static dlf_status take_flag(cli_args *out, const cli_flag *flags, int argc, char **argv, int *i)
{
    const char *typed = argv[*i];
    const cli_flag *flag;
    const char *value = NULL;
    if (typed[1] == '-') {
        const size_t length = strcspn(typed + 2, "=");
        flag = find_long(flags, typed + 2, length);
        if (!flag) return unknown_flag(out->command, flags, typed);
        if (typed[2 + length] == '=') value = typed + 2 + length + 1;
    } else {
        flag = typed[2] ? NULL : find_short(flags, typed[1]);
        if (!flag)
            return dlf_fail(DLF_ERR_NOT_FOUND, "%s has no flag '%.40s'; try %s --help",
                            out->command, typed, out->command);
    }
    if (!flag->value && value)
        return dlf_fail(DLF_ERR_ARG, "%s: --%s takes no value", out->command, flag->name);
    if (flag->value && !value) {
        if (*i + 1 >= argc)
            return dlf_fail(DLF_ERR_ARG, "%s: --%s needs a value (%s)", out->command, flag->name,
                            flag->value);
        value = argv[++*i];
        /* "--out --json" is a forgotten value, not a directory called --json. */
        if (value[0] == '-' && value[1] == '-')
            return dlf_fail(DLF_ERR_ARG, "%s: --%s needs a value (%s); '%.40s' looks like a flag",
                            out->command, flag->name, flag->value, value);
    }
    return add_option(out, flag, value);
}

dlf_status cli_args_parse(cli_args *out, const char *command, const cli_flag *flags, int argc,
                          char **argv)
{
    *out = (cli_args){.command = command};
    out->options = calloc((size_t)argc + 1, sizeof *out->options);
    out->words = calloc((size_t)argc + 1, sizeof *out->words);
    if (!out->options || !out->words)
        return dlf_fail(DLF_ERR_OOM, "no memory for %d arguments", argc);
    bool flags_end = false;
    for (int i = 0; i < argc; i++) {
        if (!flags_end && strcmp(argv[i], "--") == 0)
            flags_end = true;
        else if (!flags_end && argv[i][0] == '-' && argv[i][1])
            DLF_TRY(take_flag(out, flags, argc, argv, &i));
        else
            out->words[out->n_words++] = argv[i];
    }
    return DLF_OK;
}

void cli_args_free(cli_args *args)
{
    free(args->options);
    free(args->words);
    *args = (cli_args){0};
}

bool cli_has(const cli_args *args, const char *flag)
{
    for (int i = 0; i < args->n_options; i++)
        if (strcmp(args->options[i].flag->name, flag) == 0) return true;
    return false;
}

const char *cli_value(const cli_args *args, const char *flag, const char *otherwise)
{
    for (int i = 0; i < args->n_options; i++)
        if (strcmp(args->options[i].flag->name, flag) == 0) return args->options[i].value;
    return otherwise;
}

dlf_status cli_integer(const cli_args *args, const char *flag, long long min, long long max,
                       long long *out)
{
    const char *text = cli_value(args, flag, NULL);
    if (!text) return DLF_OK;
    char *end = NULL;
    errno = 0;
    const long long x = text[strspn(text, "-0123456789")] ? 0 : strtoll(text, &end, 10);
    if (!end || *end || end == text || errno || x < min || x > max)
        return dlf_fail(DLF_ERR_ARG, "%s: --%s is a whole number in %lld..%lld, not '%.40s'",
                        args->command, flag, min, max, text);
    *out = x;
    return DLF_OK;
}

dlf_status cli_at_most(const cli_args *args, int max)
{
    if (args->n_words <= max) return DLF_OK;
    return dlf_fail(DLF_ERR_ARG, "%s: '%.40s' is one argument too many; try %s --help",
                    args->command, args->words[max], args->command);
}
