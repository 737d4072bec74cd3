/* SPDX-License-Identifier: MIT
 * experiments.c -- the list in experiments.def as a table, and the way to find one. */
#include <string.h>
#include <strings.h>

#include "experiments/run.h"

#define EXPERIMENT(name) extern const dlf_experiment dlf_experiment_##name;
#include "experiments.def"
#undef EXPERIMENT

const dlf_experiment *const dlf_experiments[] = {
#define EXPERIMENT(name) &dlf_experiment_##name,
#include "experiments.def"
#undef EXPERIMENT
    NULL,
};

bool dlf_experiment_answers(const dlf_experiment *e, const char *question)
{
    const size_t length = strlen(question);
    for (const char *item = e->questions; *item;) {
        const size_t n = strcspn(item, ",");
        if (n == length && strncasecmp(item, question, n) == 0) return true;
        item += n + (item[n] == ',');
    }
    return false;
}

const dlf_experiment *dlf_experiment_find(const char *name)
{
    if (!name || !*name) return NULL;
    for (int i = 0; dlf_experiments[i]; i++)
        if (strcasecmp(name, dlf_experiments[i]->slug) == 0) return dlf_experiments[i];
    for (int i = 0; dlf_experiments[i]; i++)
        if (dlf_experiment_answers(dlf_experiments[i], name)) return dlf_experiments[i];
    return NULL;
}
