/* SPDX-License-Identifier: MIT
 * cmd_list.c -- `dlf list`: questions, experiments, parameters, devices. Opens nothing but for
 * `list devices`, so that it starts at once. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/questions.h"
#include "cli/selection.h"
#include "cli/words.h"
#include "dlf/backend.h"
#include "experiments/nearest.h"
#include "experiments/run.h"

/* Print `json` (taken over) as one document. */
static dlf_status print_json(json_t *json)
{
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_ENCODE_ANY) : NULL;
    json_decref(json);
    if (!text) return dlf_fail(DLF_ERR_OOM, "no memory for the JSON text");
    puts(text);
    free(text);
    return DLF_OK;
}

static json_t *json_text(dlf_text t)
{
    return json_pack("{s:s, s:s}", "zh", t.zh, "en", t.en);
}

static void header(const cli_language *l, dlf_text word, int columns)
{
    cli_print_cell(stdout, cli_say(l, word), columns);
}

/* ---- questions ----------------------------------------------------------------------------------
 */

/* Slugs of the experiments that answer `q`, comma-separated; "–" if none. */
static const char *slugs_of(const dlf_question *q, char *out, size_t size)
{
    out[0] = '\0';
    for (int i = 0; dlf_experiments[i]; i++) {
        if (!dlf_experiment_answers(dlf_experiments[i], q->id)) continue;
        const size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%s", used ? "," : "", dlf_experiments[i]->slug);
    }
    return out[0] ? out : "–";
}

static dlf_status list_questions_json(void)
{
    json_t *list = json_array();
    for (int i = 0; i < DLF_QUESTIONS; i++) {
        const dlf_question *q = &dlf_questions[i];
        json_t *experiments = json_array();
        for (int k = 0; dlf_experiments[k]; k++)
            if (dlf_experiment_answers(dlf_experiments[k], q->id))
                json_array_append_new(experiments, json_string(dlf_experiments[k]->slug));
        json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:s, s:o}", "id", q->id, "level",
                                              json_text(dlf_level_name(q->level)), "title",
                                              json_text(q->title), "status",
                                              json_array_size(experiments) ? "ready" : "planned",
                                              "experiments", experiments));
    }
    return print_json(list);
}

static dlf_status list_questions(const cli_language *l)
{
    int ready = 0;
    char slugs[256];
    header(l, CLI_ID, 5);
    header(l, CLI_LEVEL, 14);
    header(l, CLI_EXPERIMENT, 14);
    header(l, CLI_STATUS, 9);
    printf("%s\n", cli_say(l, CLI_QUESTION));
    for (int i = 0; i < DLF_QUESTIONS; i++) {
        const dlf_question *q = &dlf_questions[i];
        const bool has = dlf_experiment_find(q->id) != NULL;
        ready += has;
        cli_print_cell(stdout, q->id, 5);
        cli_print_cell(stdout, cli_say(l, dlf_level_name(q->level)), 14);
        cli_print_cell(stdout, slugs_of(q, slugs, sizeof slugs), 14);
        cli_print_cell(stdout, cli_say(l, has ? CLI_READY : CLI_PLANNED), 9);
        printf("%s\n", cli_say(l, q->title));
    }
    if (l->say_zh)
        printf("%d 个问题中 %d 个已有实验。下一步：dlf run Q7\n", DLF_QUESTIONS, ready);
    else
        printf("%d of %d questions %s an experiment. Next: dlf run Q7\n", ready, DLF_QUESTIONS,
               ready == 1 ? "has" : "have");
    return DLF_OK;
}

/* ---- experiments --------------------------------------------------------------------------------
 */

static dlf_status list_experiments_json(void)
{
    json_t *list = json_array();
    for (int i = 0; dlf_experiments[i]; i++) {
        const dlf_experiment *e = dlf_experiments[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:o, s:o, s:i, s:i}", "experiment", e->slug,
                                        "questions", e->questions, "title", json_text(e->title),
                                        "claim", json_text(e->claim), "quick_seeds", e->quick_seeds,
                                        "full_seeds", e->full_seeds));
    }
    return print_json(list);
}

static dlf_status list_experiments(const cli_language *l)
{
    header(l, CLI_EXPERIMENT, 16);
    header(l, CLI_QUESTIONS, 11);
    printf("%s\n", cli_say(l, CLI_CLAIM));
    for (int i = 0; dlf_experiments[i]; i++) {
        const dlf_experiment *e = dlf_experiments[i];
        cli_print_cell(stdout, e->slug, 16);
        cli_print_cell(stdout, e->questions, 11);
        printf("%s\n", cli_say(l, e->claim));
    }
    return DLF_OK;
}

/* ---- parameters ---------------------------------------------------------------------------------
 */

static dlf_status list_params_json(const dlf_experiment *e)
{
    static const char *const types[] = {"int", "real", "choice"};
    json_t *list = json_array();
    for (const dlf_param *p = e->params; p->name; p++) {
        json_t *item = json_pack("{s:s, s:s, s:s, s:o}", "name", p->name, "type", types[p->type],
                                 "unit", p->unit ? p->unit : "1", "help", json_text(p->help));
        if (p->type == DLF_PARAM_CHOICE) {
            json_t *choices = json_array();
            const char *choice;
            size_t n;
            for (int i = 0; (choice = dlf_choice_at(p->choices, i, &n)); i++)
                json_array_append_new(choices, json_stringn(choice, n));
            json_object_set_new(item, "choices", choices);
        } else {
            json_object_set_new(item, "quick", json_real(p->quick));
            json_object_set_new(item, "full", json_real(p->full));
            json_object_set_new(item, "min", json_real(p->min));
            json_object_set_new(item, "max", json_real(p->max));
        }
        json_array_append_new(list, item);
    }
    return print_json(list);
}

static dlf_status list_params(const dlf_experiment *e, const cli_language *l)
{
    printf("%s  %s\n", e->slug, cli_say(l, e->title));
    header(l, CLI_PARAMETER, 20);
    header(l, CLI_QUICK, 10);
    header(l, CLI_FULL, 10);
    header(l, CLI_UNIT, 10);
    header(l, CLI_RANGE, 22);
    printf("%s\n", cli_say(l, CLI_MEANING));
    for (const dlf_param *p = e->params; p->name; p++) {
        char quick[32], full[32], range[160];
        if (p->type == DLF_PARAM_CHOICE) {
            size_t n = 0;
            const char *first = dlf_choice_at(p->choices, 0, &n);
            snprintf(quick, sizeof quick, "%.*s", (int)n, first ? first : "");
            snprintf(full, sizeof full, "%s", quick);
            snprintf(range, sizeof range, "%s", p->choices);
        } else {
            snprintf(quick, sizeof quick, "%g", p->quick);
            snprintf(full, sizeof full, "%g", p->full);
            snprintf(range, sizeof range, "%g..%g", p->min, p->max);
        }
        cli_print_cell(stdout, p->name, 20);
        cli_print_cell(stdout, quick, 10);
        cli_print_cell(stdout, full, 10);
        cli_print_cell(stdout, p->unit ? p->unit : "", 10);
        cli_print_cell(stdout, range, 22);
        printf("  %s\n", cli_say(l, p->help));
    }
    if (l->say_zh)
        printf("随机种子个数：快速 %d，完整 %d（--seeds）\n", e->quick_seeds, e->full_seeds);
    else
        printf("Seeds: %d quick, %d full (--seeds)\n", e->quick_seeds, e->full_seeds);
    return DLF_OK;
}

/* ---- devices ------------------------------------------------------------------------------------
 */

static void add_device(json_t *list, const char *spec)
{
    dlf_device *dev = NULL;
    if (dlf_device_open(&dev, spec) != DLF_OK) {
        if (list)
            json_array_append_new(list, json_pack("{s:s, s:b, s:s}", "device", spec, "usable", 0,
                                                  "reason", dlf_error_message()));
        else
            printf("%-8s %s\n", spec, dlf_error_message());
        return;
    }
    const dlf_device_info *info = &dev->info;
    if (list)
        json_array_append_new(list, json_pack("{s:s, s:b, s:s, s:s, s:i, s:I}", "device", spec,
                                              "usable", 1, "name", info->name, "detail",
                                              info->detail, "threads", info->threads,
                                              "memory_bytes", (json_int_t)info->memory_bytes));
    else
        printf("%-8s %s · %s\n", spec, info->name, info->detail);
    dlf_device_close(dev);
}

static dlf_status list_devices(bool json)
{
    json_t *list = json ? json_array() : NULL;
    const char *why = NULL;
    const int n = dlf_cuda_device_count(&why);
    for (int i = 0; i < n; i++) {
        char spec[24];
        snprintf(spec, sizeof spec, "cuda:%d", i);
        add_device(list, spec);
    }
    if (n == 0) add_device(list, "cuda"); /* says why not */
    add_device(list, "cpu");
    add_device(list, "ref");
    return json ? print_json(list) : DLF_OK;
}

/* ---- the command --------------------------------------------------------------------------------
 */

static dlf_status list(const cli_call *call)
{
    static const char *const kinds[] = {"questions", "experiments", "devices", "params", NULL};
    const cli_args *a = call->args;
    const char *kind = a->n_words ? a->words[0] : "questions";
    const bool json = cli_has(a, "json");
    if (strcmp(kind, "params") == 0) {
        if (a->n_words < 2)
            return dlf_fail(DLF_ERR_ARG, "dlf list params needs an experiment: dlf list params Q7");
        DLF_TRY(cli_at_most(a, 2));
        const dlf_experiment *e;
        DLF_TRY(cli_find_experiment(&e, a->words[1]));
        return json ? list_params_json(e) : list_params(e, call->language);
    }
    DLF_TRY(cli_at_most(a, 1));
    if (strcmp(kind, "questions") == 0)
        return json ? list_questions_json() : list_questions(call->language);
    if (strcmp(kind, "experiments") == 0)
        return json ? list_experiments_json() : list_experiments(call->language);
    if (strcmp(kind, "devices") == 0) return list_devices(json);
    char hint[256];
    return dlf_fail(DLF_ERR_NOT_FOUND, "dlf list cannot list '%.40s'%s", kind,
                    dlf_nearest(hint, sizeof hint, kind, kinds));
}

static const cli_flag flags[] = {
    CLI_FLAG("json", 0, NULL, "输出 JSON", "print JSON"),
    CLI_FLAG_LANG,
    CLI_FLAG_HELP,
    CLI_FLAGS_END,
};

const cli_command cli_list = {
    .name = "list",
    .synopsis = "[questions|experiments|devices|params EXPERIMENT] [--json]",
    .summary = {"列出问题、实验、参数、设备", "list questions, experiments, parameters, devices"},
    .examples = "  dlf list\n  dlf list params vanishing\n  dlf list devices --json\n",
    .details = {"", ""},
    .flags = flags,
    .run = list};
