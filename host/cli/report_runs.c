/* SPDX-License-Identifier: MIT
 * report_runs.c -- a directory of stored runs, read whole; what is damaged is said. */
#include "cli/report_runs.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dlf/experiment.h"
#include "result/atomic_file.h"
#include "result/read_file.h"

enum { MOST_ANSWER = 4 << 20 };

static dlf_status oom(void)
{
    return dlf_fail(DLF_ERR_OOM, "no memory for the report");
}

/* ---- files ------------------------------------------------------------------------------------
 */

/* A named pipe or a device would block, or never end.   errors  as of report_read */
static dlf_status check_ordinary(const char *path)
{
    struct stat s;
    if (stat(path, &s) != 0)
        return dlf_fail(errno == ENOENT ? DLF_ERR_NOT_FOUND : DLF_ERR_INPUT, "cannot read %s: %s",
                        path, strerror(errno));
    if (!S_ISREG(s.st_mode)) return dlf_fail(DLF_ERR_INPUT, "%s is not a file", path);
    return DLF_OK;
}

dlf_status report_read(dlf_buffer *out, const char *dir, const char *name, size_t limit)
{
    char *path = dlf_path_join(dir, name);
    dlf_buffer text = {0};
    dlf_status status;
    if (!path) return oom();
    DLF_TRY_DONE(check_ordinary(path));
    DLF_TRY_DONE(dlf_read_file(path, limit, &text));
    if (text.size > limit)
        status = dlf_fail(DLF_ERR_INPUT, "%s is larger than %zu bytes", path, limit);
    else
        dlf_buffer_append(out, text.data ? text.data : "", text.size);
done:
    dlf_buffer_free(&text);
    free(path);
    return status;
}

/* ---- one run ----------------------------------------------------------------------------------
 */

/* The last error as a problem; an error of ours (memory) stays one. */
static dlf_status note_problem(report_runs *all, dlf_status status)
{
    if (status != DLF_ERR_INPUT && status != DLF_ERR_NOT_FOUND) return status;
    char **grown = realloc(all->problem, sizeof *grown * (size_t)(all->n_problems + 1));
    if (!grown) return oom();
    all->problem = grown;
    all->problem[all->n_problems] = strdup(dlf_error_message());
    if (!all->problem[all->n_problems]) return oom();
    all->n_problems++;
    return DLF_OK;
}

static void free_run(report_run *run)
{
    free(run->dir);
    dlf_result_free(run->result);
    for (int l = 0; l < REPORT_LANGUAGES; l++) dlf_buffer_free(&run->answer[l]);
}

static dlf_status read_answers(report_runs *all, report_run *run, const char *dir)
{
    static const char *const names[] = {"answer.zh.md", "answer.en.md"};
    for (int l = 0; l < REPORT_LANGUAGES; l++) {
        const dlf_status status = report_read(&run->answer[l], dir, names[l], MOST_ANSWER);
        if (status != DLF_OK && status != DLF_ERR_NOT_FOUND) DLF_TRY(note_problem(all, status));
    }
    return DLF_OK;
}

static dlf_status read_run(report_run *run, const char *dir)
{
    char *path = dlf_path_join(dir, "result.json");
    if (!path) return oom();
    dlf_status status = check_ordinary(path);
    if (status == DLF_OK) status = dlf_result_load(&run->result, path);
    free(path);
    if (status != DLF_OK) return status;
    run->dir = realpath(dir, NULL);
    return run->dir ? DLF_OK : dlf_fail(DLF_ERR_INPUT, "cannot read %s: %s", dir, strerror(errno));
}

static dlf_status add_run(report_runs *all, const char *dir)
{
    report_run run = {.dir = NULL};
    dlf_status status = read_run(&run, dir);
    if (status != DLF_OK) {
        free_run(&run);
        return note_problem(all, status);
    }
    report_run *grown = realloc(all->run, sizeof *grown * (size_t)(all->n + 1));
    if (!grown) {
        free_run(&run);
        return oom();
    }
    all->run = grown;
    all->run[all->n] = run;
    return read_answers(all, &all->run[all->n++], dir);
}

/* ---- the directory ----------------------------------------------------------------------------
 */

static bool holds_result(const char *dir)
{
    struct stat s;
    char *path = dlf_path_join(dir, "result.json");
    const bool is = path && lstat(path, &s) == 0;
    free(path);
    return is;
}

static bool is_experiment(const char *name)
{
    for (int i = 0; dlf_experiments[i]; i++)
        if (strcmp(dlf_experiments[i]->slug, name) == 0) return true;
    return false;
}

/* Other directories may lie there too; one with the name of an experiment should hold its run. */
static dlf_status add_entry(report_runs *all, const char *dir, const char *name)
{
    struct stat s;
    char *path = name[0] == '.' ? NULL : dlf_path_join(dir, name);
    dlf_status status = DLF_OK;
    if (path && stat(path, &s) == 0 && S_ISDIR(s.st_mode) &&
        (holds_result(path) || is_experiment(name)))
        status = add_run(all, path);
    free(path);
    return status;
}

static dlf_status read_entries(report_runs *all, const char *dir)
{
    struct dirent **entries = NULL;
    dlf_status status = DLF_OK;
    const int n = scandir(dir, &entries, NULL, alphasort);
    if (n < 0) return dlf_fail(DLF_ERR_INPUT, "cannot read %s: %s", dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (status == DLF_OK) status = add_entry(all, dir, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static int place(const report_run *run)
{
    int i = 0;
    while (dlf_experiments[i] &&
           strcmp(dlf_experiments[i]->slug, dlf_result_experiment(run->result)) != 0)
        i++;
    return i;
}

static int by_place(const void *a, const void *b)
{
    const report_run *x = a, *y = b;
    const int difference = place(x) - place(y);
    return difference ? difference : strcmp(x->dir, y->dir);
}

dlf_status report_runs_read(report_runs *out, const char *dir)
{
    *out = (report_runs){.single = holds_result(dir)};
    if (out->single)
        DLF_TRY(add_run(out, dir));
    else
        DLF_TRY(read_entries(out, dir));
    if (out->n) qsort(out->run, (size_t)out->n, sizeof *out->run, by_place);
    if (!out->n && !out->n_problems)
        return dlf_fail(DLF_ERR_INPUT, "no stored result in %s; `dlf run all` writes them to out/",
                        dir);
    return DLF_OK;
}

void report_runs_free(report_runs *runs)
{
    for (int i = 0; i < runs->n; i++) free_run(&runs->run[i]);
    for (int i = 0; i < runs->n_problems; i++) free(runs->problem[i]);
    free(runs->run);
    free(runs->problem);
    *runs = (report_runs){.n = 0};
}
