/* SPDX-License-Identifier: MIT
 * selection.c -- which experiments, with which settings. */
#include "cli/selection.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/questions.h"
#include "experiments/nearest.h"
#include "experiments/run.h"
#include "result/buffer.h"

enum { NAMES_MAX = 256 };

static int count_experiments(void)
{
    int n = 0;
    while (dlf_experiments[n]) n++;
    return n;
}

/* Nearest among slugs, the questions that have an experiment, and "all". */
static dlf_status unknown_experiment(const char *name)
{
    const char *names[NAMES_MAX + 1] = {NULL};
    int n = 0;
    for (int i = 0; dlf_experiments[i] && n < NAMES_MAX; i++) names[n++] = dlf_experiments[i]->slug;
    for (int i = 0; i < DLF_QUESTIONS && n < NAMES_MAX; i++)
        if (dlf_experiment_find(dlf_questions[i].id)) names[n++] = dlf_questions[i].id;
    if (n < NAMES_MAX) names[n++] = "all";
    char hint[512];
    return dlf_fail(DLF_ERR_NOT_FOUND, "there is no experiment or question '%.40s'%s", name,
                    dlf_nearest(hint, sizeof hint, name, names));
}

dlf_status cli_find_experiment(const dlf_experiment **out, const char *name)
{
    *out = dlf_experiment_find(name);
    return *out ? DLF_OK : unknown_experiment(name);
}

static void add_once(const dlf_experiment **list, int *n, const dlf_experiment *e)
{
    for (int i = 0; i < *n; i++)
        if (list[i] == e) return;
    list[(*n)++] = e;
}

/* Everything that `word` means: a question may have several experiments. */
static dlf_status add_named(const dlf_experiment **list, int *n, const char *word)
{
    const bool all = strcasecmp(word, "all") == 0;
    bool found = all;
    for (int i = 0; dlf_experiments[i]; i++) {
        const dlf_experiment *e = dlf_experiments[i];
        if (!all && strcasecmp(word, e->slug) != 0 && !dlf_experiment_answers(e, word)) continue;
        add_once(list, n, e);
        found = true;
    }
    return found ? DLF_OK : unknown_experiment(word);
}

dlf_status cli_select(const dlf_experiment ***out, int *n, const cli_args *args)
{
    *n = 0;
    *out = calloc((size_t)count_experiments() + 1, sizeof **out);
    if (!*out) return dlf_fail(DLF_ERR_OOM, "no memory for the list of experiments");
    if (args->n_words == 0)
        return dlf_fail(DLF_ERR_ARG,
                        "%s needs an experiment, a question such as Q7, or 'all'; `dlf list` shows "
                        "what there is",
                        args->command);
    for (int i = 0; i < args->n_words; i++) DLF_TRY(add_named(*out, n, args->words[i]));
    return DLF_OK;
}

dlf_status cli_settings(dlf_setting **out, int *n, const cli_args *args)
{
    *n = 0;
    *out = calloc((size_t)args->n_options + 1, sizeof **out);
    if (!*out) return dlf_fail(DLF_ERR_OOM, "no memory for the settings");
    for (int i = 0; i < args->n_options; i++) {
        if (strcmp(args->options[i].flag->name, "set") != 0) continue;
        const char *text = args->options[i].value, *equals = strchr(text, '=');
        if (!equals || equals == text || !equals[1])
            return dlf_fail(DLF_ERR_ARG, "--set is name=value, not '%.60s'", text);
        char *name = strndup(text, (size_t)(equals - text));
        if (!name) return dlf_fail(DLF_ERR_OOM, "no memory for the settings");
        (*out)[(*n)++] = (dlf_setting){name, equals + 1};
    }
    return DLF_OK;
}

void cli_settings_free(dlf_setting *set, int n)
{
    for (int i = 0; set && i < n; i++) free((char *)set[i].name);
    free(set);
}

/* ---- the command line as text -------------------------------------------------------------------
 */

static void append_quoted(dlf_buffer *b, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-+=.,:/%@";
    if (*word && !word[strspn(word, plain)]) {
        dlf_buffer_puts(b, word);
        return;
    }
    dlf_buffer_puts(b, "'");
    for (; *word; word++) {
        if (*word == '\'')
            dlf_buffer_puts(b, "'\\''");
        else
            dlf_buffer_append(b, word, 1);
    }
    dlf_buffer_puts(b, "'");
}

char *cli_command_line(int argc, char **argv)
{
    dlf_buffer b = {0};
    dlf_buffer_puts(&b, "dlf"); /* not argv[0]: where the program lies is nobody's business */
    for (int i = 1; i < argc; i++) {
        dlf_buffer_puts(&b, " ");
        append_quoted(&b, argv[i]);
    }
    if (b.failed) {
        dlf_buffer_free(&b);
        return NULL;
    }
    return b.data;
}
