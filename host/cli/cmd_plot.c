/* SPDX-License-Identifier: MIT
 * cmd_plot.c -- `dlf plot`: draw what is stored; nothing is run. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/words.h"
#include "report/plot.h"

typedef struct formats {
    unsigned files; /* DLF_PLOT_SVG | DLF_PLOT_PNG */
    bool term;
} formats;

static dlf_status read_formats(formats *out, const char *text)
{
    static const struct {
        const char *name;
        formats format;
    } known[] = {
        {"svg", {DLF_PLOT_SVG, false}}, {"png", {DLF_PLOT_PNG, false}}, {"term", {0, true}}};
    *out = (formats){0, false};
    for (;;) {
        const size_t n = strcspn(text, ",");
        bool found = false;
        for (int i = 0; i < 3; i++) {
            if (strlen(known[i].name) != n || strncmp(known[i].name, text, n) != 0) continue;
            out->files |= known[i].format.files;
            out->term |= known[i].format.term;
            found = true;
        }
        if (!found)
            return dlf_fail(DLF_ERR_ARG,
                            "dlf plot: --format is svg, png, term or several of them "
                            "with commas, not '%.40s'",
                            text);
        if (!text[n]) return DLF_OK;
        text += n + 1;
    }
}

/* Where figures of the result at `path` go unless --out says otherwise; malloc'ed. */
static char *directory_of(const char *path)
{
    struct stat s;
    if (stat(path, &s) == 0 && S_ISDIR(s.st_mode)) return strdup(path);
    const char *slash = strrchr(path, '/');
    if (!slash) return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static dlf_status check_figure(const dlf_result *r, const char *id)
{
    for (int i = 0; id && i < dlf_result_figures(r); i++)
        if (strcmp(dlf_result_get_figure(r, i)->id, id) == 0) return DLF_OK;
    if (!id) return DLF_OK;
    char list[256] = "";
    for (int i = 0; i < dlf_result_figures(r); i++) {
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                 dlf_result_get_figure(r, i)->id);
    }
    return dlf_fail(DLF_ERR_NOT_FOUND, "there is no figure '%.40s'; this result has %s", id,
                    *list ? list : "none");
}

static dlf_status draw_each(FILE *file, const dlf_result *r, const char *figure,
                            const cli_language *l)
{
    for (int i = 0; i < dlf_result_figures(r); i++) {
        const char *id = dlf_result_get_figure(r, i)->id;
        if (figure && strcmp(figure, id) != 0) continue;
        DLF_TRY(dlf_plot_terminal(r, id, l->say_zh ? "zh" : "en", file, cli_columns(stdout),
                                  !cli_is_utf8()));
        fputc('\n', file);
    }
    return DLF_OK;
}

/* Through memory: a reader that closes the pipe early (`| head`) is no failure of the drawing. */
static dlf_status draw_on_terminal(const dlf_result *r, const char *figure, const cli_language *l)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (!memory) return dlf_fail(DLF_ERR_OOM, "no memory for the drawing");
    dlf_status status = draw_each(memory, r, figure, l);
    if (fclose(memory) != 0 && status == DLF_OK)
        status = dlf_fail(DLF_ERR_OOM, "no memory for the drawing");
    if (status == DLF_OK) fwrite(text, 1, size, stdout);
    free(text);
    return status;
}

static dlf_status draw_files(const dlf_result *r, const char *dir, unsigned which,
                             const char *figure, const cli_language *l)
{
    char note[256] = "";
    const dlf_plot_options options = {
        .languages = (l->zh ? DLF_PLOT_ZH : 0u) | (l->en ? DLF_PLOT_EN : 0u),
        .formats = which,
        .figure = figure,
        .note = note,
        .note_size = sizeof note,
    };
    DLF_TRY(dlf_plot(r, dir, options));
    if (*note) cli_warn("%s", note);
    printf("%s %s/: %d %s\n", cli_say(l, CLI_WROTE), dir, figure ? 1 : dlf_result_figures(r),
           cli_say(l, CLI_FIGURES));
    return DLF_OK;
}

static dlf_status run(const cli_call *call)
{
    const cli_args *a = call->args;
    formats f;
    DLF_TRY(read_formats(&f, cli_value(a, "format", "svg,png")));
    DLF_TRY(cli_at_most(a, 1));
    if (a->n_words < 1)
        return dlf_fail(DLF_ERR_ARG, "dlf plot needs a result: a directory that dlf run wrote, or "
                                     "a result.json");
    dlf_result *r = NULL;
    char *dir = NULL;
    const char *figure = cli_value(a, "figure", NULL), *out = cli_value(a, "out", NULL);
    dlf_status status;
    DLF_TRY_DONE(dlf_result_load(&r, a->words[0]));
    DLF_TRY_DONE(check_figure(r, figure));
    dir = out ? strdup(out) : directory_of(a->words[0]);
    if (!dir) {
        status = dlf_fail(DLF_ERR_OOM, "no memory for a path");
        goto done;
    }
    if (f.term) DLF_TRY_DONE(draw_on_terminal(r, figure, call->language));
    if (f.files) DLF_TRY_DONE(draw_files(r, dir, f.files, figure, call->language));
done:
    free(dir);
    dlf_result_free(r);
    return status;
}

static const cli_flag flags[] = {
    CLI_FLAG("format", 0, "svg,png,term", "格式，可用逗号并列；默认 svg,png",
             "formats, with commas; default svg,png"),
    CLI_FLAG("figure", 0, "ID", "只画这一幅", "only this figure"),
    CLI_FLAG("out", 'o', "DIR", "输出目录，默认在结果旁边",
             "where to write, default beside the result"),
    CLI_FLAG("lang", 0, "zh|en|both", "图的语言，默认两种", "of the figures, default both"),
    CLI_FLAG_HELP,
    CLI_FLAGS_END,
};

const cli_command cli_plot = {
    .name = "plot",
    .synopsis = "RESULT_DIR|result.json [flags]",
    .summary = {"由已存的结果画图，不重新运行",
                "draw the figures of a stored result; runs nothing"},
    .examples = "  dlf plot out/vanishing --format term\n"
                "  dlf plot out/vanishing/result.json --format svg --lang en --out figures\n",
    .details = {"", ""},
    .flags = flags,
    .run = run};
