/* SPDX-License-Identifier: MIT
 * gnuplot.c -- running gnuplot and fc-list: no shell, and files instead of pipes on both sides, so
 * that neither can block on the other however much they write. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report/plot_internal.h"

extern char **environ;

static void close_files(plot_job *job)
{
    if (job->in) fclose(job->in);
    if (job->out) fclose(job->out);
    if (job->err) fclose(job->err);
    *job = (plot_job){0};
}

/* The environment without what changes gnuplot's output, in the C locale. */
static char **clean_environment(void)
{
    static char locale[] = "LC_ALL=C";
    size_t n = 0, kept = 0;
    while (environ[n]) n++;
    char **clean = malloc((n + 2) * sizeof *clean);
    if (!clean) return NULL;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "GNU", 3) && strncmp(environ[i], "LC_", 3) &&
            strncmp(environ[i], "LANG", 4))
            clean[kept++] = environ[i];
    clean[kept++] = locale;
    clean[kept] = NULL;
    return clean;
}

static int spawn(plot_job *job, const char *const *argv, char **environment)
{
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return error;
    FILE *const files[3] = {job->in, job->out, job->err};
    for (int fd = 0; fd < 3 && !error; fd++)
        error = posix_spawn_file_actions_adddup2(&actions, fileno(files[fd]), fd);
    pid_t pid = 0;
    if (!error)
        error = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environment);
    job->pid = pid;
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

dlf_status plot_job_start(plot_job *job, const char *const *argv, const char *input, size_t size)
{
    *job = (plot_job){.in = tmpfile(), .out = tmpfile(), .err = tmpfile()};
    int error = job->in && job->out && job->err ? 0 : errno;
    if (!error && (fwrite(input, 1, size, job->in) != size || fflush(job->in) != 0)) error = errno;
    if (error) {
        close_files(job);
        return dlf_fail(DLF_ERR_OUTPUT, "cannot write a temporary file: %s", strerror(error));
    }
    rewind(job->in);
    lseek(fileno(job->in), 0, SEEK_SET);
    char **environment = clean_environment();
    error = environment ? spawn(job, argv, environment) : ENOMEM;
    free(environment);
    if (!error) return DLF_OK;
    close_files(job);
    return dlf_fail(error == ENOENT ? DLF_ERR_NOT_FOUND : DLF_ERR_INTERNAL, "cannot start %s: %s",
                    argv[0], strerror(error));
}

static void read_all(FILE *file, dlf_buffer *out)
{
    char chunk[4096];
    size_t n;
    rewind(file);
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0) dlf_buffer_append(out, chunk, n);
}

dlf_status plot_job_finish(plot_job *job, dlf_buffer *out)
{
    int state = 0;
    pid_t done;
    do done = waitpid(job->pid, &state, 0);
    while (done < 0 && errno == EINTR);
    dlf_buffer words = {0};
    read_all(job->out, out);
    read_all(job->err, &words);
    close_files(job);
    dlf_status status = DLF_OK;
    if (out->failed)
        status = dlf_fail(DLF_ERR_OOM, "out of memory drawing a figure");
    else if (done < 0 || !WIFEXITED(state) || WEXITSTATUS(state) == 127)
        status = dlf_fail(DLF_ERR_NOT_FOUND, "a drawing program could not be run");
    else if (WEXITSTATUS(state) != 0)
        status = dlf_fail(DLF_ERR_INTERNAL, "a drawing program failed: %.600s",
                          words.data ? words.data : "(no message)");
    dlf_buffer_free(&words);
    return status;
}

/* ---- fonts -------------------------------------------------------------------------------------
 */

static plot_fonts fonts;

static void ask(const char *pattern, dlf_buffer *families)
{
    plot_job job;
    if (plot_job_start(&job, (const char *[]){"fc-list", pattern, "family", NULL}, "", 0) ==
            DLF_OK &&
        plot_job_finish(&job, families) == DLF_OK)
        return;
    families->size = 0;
}

static void find_fonts(void)
{
    dlf_buffer families = {0}, minus = {0};
    char pattern[200];
    snprintf(fonts.family, sizeof fonts.family, "Noto Sans CJK SC");
    ask(":lang=zh-cn", &families);
    fonts.has_zh = families.size > 0 && families.data[0] != '\n';
    if (fonts.has_zh && !strstr(families.data, fonts.family)) {
        const size_t length = strcspn(families.data, ",:\n'\"");
        snprintf(fonts.family, sizeof fonts.family, "%.*s", (int)(length < 120 ? length : 120),
                 families.data);
    }
    if (!fonts.has_zh) snprintf(fonts.family, sizeof fonts.family, "DejaVu Sans");
    snprintf(pattern, sizeof pattern, "%s:charset=2212", fonts.family);
    ask(pattern, &minus);
    fonts.has_minus = minus.size > 0;
    dlf_buffer_free(&families);
    dlf_buffer_free(&minus);
    dlf_error_clear(); /* no fc-list is an answer, not a failure */
}

const plot_fonts *plot_find_fonts(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_fonts);
    return &fonts;
}
