/* SPDX-License-Identifier: MIT
 * answer_files.c -- answers of a run as files, with the numbers of the runs that lie beside it. */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/answer.h"
#include "report/answer_internal.h"
#include "result/atomic_file.h"

enum { MOST = 32 };

/* Results of other experiments that lie beside a run's directory. */
typedef struct neighbours {
    const dlf_result *result[MOST + 1]; /* ends with NULL */
    char *dir[MOST];
    int n;
} neighbours;

static dlf_status oom(void)
{
    return dlf_fail(DLF_ERR_OOM, "out of memory writing an answer");
}

static void neighbours_free(neighbours *all)
{
    for (int i = 0; i < all->n; i++) {
        dlf_result_free((dlf_result *)all->result[i]);
        free(all->dir[i]);
    }
}

/* DIR/../NAME, malloc'ed. */
static char *beside(const char *dir, const char *name)
{
    char *copy = strdup(dir);
    char *path = copy ? dlf_path_join(dirname(copy), name) : NULL;
    free(copy);
    return path;
}

static dlf_status add(neighbours *all, const char *dir, const char *name)
{
    for (int i = 0; i < all->n; i++)
        if (!strcmp(dlf_result_experiment(all->result[i]), name)) return DLF_OK;
    char *path = beside(dir, name), *file = path ? dlf_path_join(path, "result.json") : NULL;
    dlf_result *r = NULL;
    if (!file) {
        free(path);
        return oom();
    }
    /* Whatever is wrong with it: to this text it is a run that is not there. */
    const bool there = all->n < MOST && access(file, R_OK) == 0 &&
                       dlf_result_load(&r, file) == DLF_OK &&
                       !strcmp(dlf_result_experiment(r), name);
    free(file);
    if (there) {
        all->result[all->n] = r;
        all->dir[all->n++] = path;
        return DLF_OK;
    }
    dlf_result_free(r);
    free(path);
    return DLF_OK;
}

static dlf_status find(neighbours *all, const dlf_result *r, const char *dir, bool zh)
{
    const char *question_at = NULL;
    for (int question; (question = answer_question(r, &question_at)) != 0;) {
        char file[ANSWER_NAME], name[DLF_ANSWER_EXPERIMENT];
        const char *text = answer_template(question, zh, file);
        for (const char *at = NULL; text && dlf_answer_experiment(text, &at, name);)
            if (strcmp(name, dlf_result_experiment(r)) != 0) DLF_TRY(add(all, dir, name));
    }
    return DLF_OK;
}

/* `only_again`: only where there is such a file already. */
static dlf_status write_one(const dlf_result *r, const neighbours *all, const char *dir,
                            const char *lang, bool only_again)
{
    char *text = NULL, name[32];
    snprintf(name, sizeof name, "answer.%s.md", !strcmp(lang, "zh") ? "zh" : "en");
    char *path = dlf_path_join(dir, name);
    dlf_status status = DLF_OK;
    if (!path) return oom();
    if (!only_again || access(path, F_OK) == 0) {
        DLF_TRY_DONE(dlf_answer_render(r, all->result, lang, &text));
        DLF_TRY_DONE(dlf_make_directories(dir));
        DLF_TRY_DONE(dlf_write_file_atomically(path, text, strlen(text)));
    }
done:
    free(text);
    free(path);
    return status;
}

dlf_status dlf_answer_write(const dlf_result *r, const char *dir, const char *lang)
{
    neighbours all = {.n = 0};
    dlf_status status;
    DLF_TRY_DONE(find(&all, r, dir, !strcmp(lang, "zh")));
    DLF_TRY_DONE(write_one(r, &all, dir, lang, false));
    for (int i = 0; i < all.n; i++) {
        neighbours around = {.n = 0};
        /* The run just stored is one of those around. */
        status = find(&around, all.result[i], all.dir[i], !strcmp(lang, "zh"));
        if (status == DLF_OK) status = write_one(all.result[i], &around, all.dir[i], lang, true);
        neighbours_free(&around);
        if (status == DLF_ERR_OUTPUT || status == DLF_ERR_OOM) goto done;
        status = DLF_OK; /* an old run may lack what its text asks for: its file stays */
    }
done:
    neighbours_free(&all);
    return status;
}
