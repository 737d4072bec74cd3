/* SPDX-License-Identifier: MIT
 * report_question.c -- one question on the page: the stored answer with its figures, then the runs
 * behind it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report_page.h"
#include "cli/words.h"
#include "report/answer.h"
#include "report/html.h"
#include "result/atomic_file.h"

enum { MOST_FIGURE = 16 << 20 };

static const char *const classes[REPORT_LANGUAGES] = {"zh\" lang=\"zh-CN", "en\" lang=\"en"};

/* ---- figures ----------------------------------------------------------------------------------
 */

static void put_base64(dlf_buffer *out, const char *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        unsigned x = 0;
        char four[4];
        for (size_t k = 0; k < 3; k++)
            x = x << 8 | (i + k < size ? (unsigned char)data[i + k] : 0u);
        for (int k = 0; k < 4; k++)
            four[k] = i + (size_t)k > size ? '=' : digits[x >> (18 - 6 * k) & 63];
        dlf_buffer_append(out, four, 4);
    }
}

/* A name of one file or directory, which cannot lead elsewhere. */
static bool is_plain_name(const char *name, size_t n)
{
    if (n == 0 || n > 100 || name[0] == '.') return false;
    for (size_t i = 0; i < n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", name[i]) ||
            !name[i])
            return false;
    return true;
}

/* Answers link FIGURE.svg of their own run and ../EXPERIMENT/FIGURE.svg of a neighbour's; nothing
 * else is opened. "" if it is neither, else the path below the run's directory. */
static const char *figure_path(char out[256], const char *source, size_t n)
{
    const bool beside = n > 3 && memcmp(source, "../", 3) == 0;
    const char *name = beside ? source + 3 : source, *end = source + n;
    out[0] = '\0';
    if (beside) {
        const char *slash = memchr(name, '/', (size_t)(end - name));
        if (!slash || !is_plain_name(name, (size_t)(slash - name))) return out;
        name = slash + 1;
    }
    if (!is_plain_name(name, (size_t)(end - name)) || end - name < 5 ||
        memcmp(end - 4, ".svg", 4) != 0)
        return out;
    snprintf(out, 256, "%.*s", (int)n, source);
    return out;
}

/* dlf_html_images.write; `user` is the run. */
static void put_figure(void *user, dlf_buffer *out, const char *alt, const char *source, size_t n)
{
    const report_run *run = user;
    dlf_buffer svg = {0};
    char path[256];
    if (*figure_path(path, source, n) && report_read(&svg, run->dir, path, MOST_FIGURE) == DLF_OK &&
        svg.size) {
        dlf_buffer_printf(out, "<img alt=\"%s\" src=\"data:image/svg+xml;base64,", alt);
        put_base64(out, svg.data, svg.size);
        dlf_buffer_puts(out, "\">");
    } else {
        dlf_buffer_printf(out, "<span class=\"note\">[%s: —]</span>", alt);
    }
    out->failed |= svg.failed;
    dlf_buffer_free(&svg);
}

/* ---- the answer -------------------------------------------------------------------------------
 */

/* The part of an answer file that is about `id`, behind its heading "# Q7 ..."; NULL if none is. */
static const char *find_section(const dlf_buffer *answer, const char *id, size_t *size)
{
    const size_t n = strlen(id);
    const char *found = NULL, *at = answer->data;
    const char *end = at ? at + answer->size : NULL;
    while (at && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const bool heading = end - at > 3 && memcmp(at, "# Q", 3) == 0;
        if (heading && found) {
            *size = (size_t)(at - found);
            return found;
        }
        if (heading && newline && strncmp(at + 2, id, n) == 0 &&
            (at[2 + n] == ' ' || at[2 + n] == '\n'))
            found = newline + 1;
        at = newline ? newline + 1 : end;
    }
    if (found) *size = (size_t)(end - found);
    return found;
}

/* Of several runs the one started last: it had the others' numbers. */
static const report_run *newest_answer(const report_runs *runs, const char *id, int language,
                                       const char **text, size_t *size)
{
    const report_run *best = NULL;
    for (int i = 0; i < runs->n; i++) {
        const report_run *run = &runs->run[i];
        size_t n = 0;
        const char *section =
            report_is_about(run, id) ? find_section(&run->answer[language], id, &n) : NULL;
        if (!section || (best && strcmp(dlf_result_manifest(run->result)->started,
                                        dlf_result_manifest(best->result)->started) <= 0))
            continue;
        best = run;
        *text = section;
        *size = n;
    }
    return best;
}

/* Figures as their results describe them, where no answer says what to show. */
static void put_bare_figures(dlf_buffer *out, const report_run *run, bool zh)
{
    for (int i = 0; i < dlf_result_figures(run->result); i++) {
        const dlf_figure *f = dlf_result_get_figure(run->result, i);
        const char *title = zh ? f->title.zh : f->title.en;
        char source[256];
        dlf_buffer alt = {0};
        const int n = snprintf(source, sizeof source, "%s.%s.svg", f->id, zh ? "zh" : "en");
        dlf_html_escape(&alt, title, strlen(title));
        dlf_buffer_puts(out, "<figure>");
        put_figure((void *)run, out, alt.data ? alt.data : "", source,
                   n < (int)sizeof source ? (size_t)n : 0);
        dlf_buffer_puts(out, "</figure>\n");
        out->failed |= alt.failed;
        dlf_buffer_free(&alt);
    }
}

static bool put_answer(dlf_buffer *out, const report_runs *runs, const char *id, int language)
{
    const char *text = NULL;
    size_t size = 0;
    const report_run *run = newest_answer(runs, id, language, &text, &size);
    dlf_buffer_printf(out, "<div class=\"%s\">\n", classes[language]);
    if (run) {
        const dlf_html_images images = {put_figure, (void *)run};
        dlf_html_markdown(out, text, size, 1, &images);
    } else {
        dlf_buffer_puts(out,
                        language == REPORT_ZH
                            ? "<p class=\"note\">没有存储中文的回答，以下是测得的结果。</p>\n"
                            : "<p class=\"note\">No answer text is stored in English; what was "
                              "measured follows.</p>\n");
        for (int i = 0; i < runs->n; i++)
            if (report_is_about(&runs->run[i], id))
                put_bare_figures(out, &runs->run[i], language == REPORT_ZH);
    }
    dlf_buffer_puts(out, "</div>\n");
    return run != NULL;
}

/* ---- the runs ---------------------------------------------------------------------------------
 */

static void put_escaped(dlf_buffer *out, const char *text)
{
    dlf_html_escape(out, text, strlen(text));
}

static void put_manifest(dlf_buffer *out, const report_run *run, const cli_language *language)
{
    const dlf_manifest *m = dlf_result_manifest(run->result);
    dlf_buffer_puts(out, "<p class=\"run\"><strong>");
    put_escaped(out, dlf_result_experiment(run->result));
    dlf_buffer_puts(out, "</strong> · <code>");
    put_escaped(out, m->command);
    dlf_buffer_puts(out, "</code> · ");
    put_escaped(out, m->backend);
    dlf_buffer_puts(out, " (");
    put_escaped(out, m->device);
    dlf_buffer_puts(out, ") · ");
    put_escaped(out, m->mode);
    dlf_buffer_printf(out, " · %d ", m->seeds);
    report_put_text(out, CLI_SEEDS, language);
    dlf_buffer_puts(out, " · ");
    report_put_text(out, CLI_SEED, language);
    dlf_buffer_printf(out, " %llu · dlf ", (unsigned long long)m->seed);
    put_escaped(out, m->version);
    dlf_buffer_puts(out, " (");
    put_escaped(out, m->git);
    dlf_buffer_puts(out, ") · ");
    put_escaped(out, m->started);
    dlf_buffer_printf(out, " · %.1f s", m->seconds);
    if (!m->complete) {
        dlf_buffer_puts(out, " · ");
        report_put_text(out, CLI_PARTIAL, language);
    }
    if (m->customised) {
        dlf_buffer_puts(out, " · ");
        report_put_words(out, "参数由用户改过", "with parameters of the user's own", language);
    }
    dlf_buffer_puts(out, "</p>\n");
}

static dlf_status put_checks(dlf_buffer *out, const report_run *run, int language)
{
    static const char table[] = "{{checks}}\n";
    char *text = NULL;
    DLF_TRY(dlf_answer_fill(run->result, NULL, language == REPORT_ZH ? "zh" : "en", "checks", table,
                            sizeof table - 1, &text));
    dlf_buffer_printf(out, "<div class=\"checks %s\">\n", classes[language]);
    dlf_html_markdown(out, text, strlen(text), 1, NULL);
    dlf_buffer_puts(out, "</div>\n");
    free(text);
    return DLF_OK;
}

/* `open`: no answer shows these checks already. */
static dlf_status put_run(dlf_buffer *out, const report_run *run, bool open,
                          const cli_language *language)
{
    report_counts counts = {.failed = 0};
    report_count(&counts, run);
    put_manifest(out, run, language);
    dlf_buffer_puts(out, open ? "<details open><summary>" : "<details><summary>");
    report_put_words(out, "全部检验：", "All checks: ", language);
    report_put_counts(out, &counts, language);
    dlf_buffer_puts(out, "</summary>\n");
    if (language->zh) DLF_TRY(put_checks(out, run, REPORT_ZH));
    if (language->en) DLF_TRY(put_checks(out, run, REPORT_EN));
    dlf_buffer_puts(out, "</details>\n");
    return DLF_OK;
}

dlf_status report_put_question(dlf_buffer *out, const report_runs *runs, const char *id,
                               const cli_language *language)
{
    bool every = true;
    if (language->zh) every &= put_answer(out, runs, id, REPORT_ZH);
    if (language->en) every &= put_answer(out, runs, id, REPORT_EN);
    dlf_buffer_puts(out, "<h3>");
    report_put_words(out, "所据的运行", "The runs behind it", language);
    dlf_buffer_puts(out, "</h3>\n");
    for (int i = 0; i < runs->n; i++)
        if (report_is_about(&runs->run[i], id))
            DLF_TRY(put_run(out, &runs->run[i], !every, language));
    return DLF_OK;
}
