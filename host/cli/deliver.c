/* SPDX-License-Identifier: MIT
 * deliver.c -- a finished run as files. */
#include "cli/deliver.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/words.h"
#include "report/answer.h"
#include "report/plot.h"
#include "result/atomic_file.h"

dlf_status cli_probe_directory(const char *dir)
{
    static const char probe[1 << 16]; /* more than a full disk would take */
    DLF_TRY(dlf_make_directories(dir));
    char *path = dlf_path_join(dir, ".dlf-probe");
    if (!path) return dlf_fail(DLF_ERR_OOM, "no memory for a path");
    const dlf_status status = dlf_write_file_atomically(path, probe, sizeof probe);
    unlink(path);
    free(path);
    return status;
}

static dlf_status draw(cli_delivery *out, const dlf_result *r, const char *dir,
                       const cli_language *language)
{
    if (dlf_result_figures(r) == 0) return DLF_OK;
    char note[256] = "";
    const dlf_plot_options options = {
        .languages = (language->zh ? DLF_PLOT_ZH : 0u) | (language->en ? DLF_PLOT_EN : 0u),
        .note = note,
        .note_size = sizeof note,
    };
    const dlf_status status = dlf_plot(r, dir, options);
    if (status == DLF_ERR_OUTPUT) return status;
    if (status != DLF_OK) {
        cli_warn("no figures: %s", dlf_error_message());
        return DLF_OK;
    }
    if (*note) cli_warn("%s", note);
    out->figures = dlf_result_figures(r);
    return DLF_OK;
}

/* An experiment without an answer text is complete without one. */
static dlf_status write_answer(bool *written, const dlf_result *r, const char *dir,
                               const char *lang)
{
    const dlf_status status = dlf_answer_write(r, dir, lang);
    *written = status == DLF_OK;
    if (status == DLF_OK || status == DLF_ERR_NOT_FOUND) return DLF_OK;
    if (status == DLF_ERR_OUTPUT) return status;
    cli_warn("no answer.%s.md: %s", lang, dlf_error_message());
    return DLF_OK;
}

char *cli_delivery_directory(const dlf_result *r, const char *dir)
{
    if (!dlf_result_manifest(r)->complete) {
        dlf_result *stored = NULL;
        const bool whole =
            dlf_result_load(&stored, dir) == DLF_OK && dlf_result_manifest(stored)->complete;
        dlf_result_free(stored);
        if (whole) return dlf_path_join(dir, "interrupted");
    }
    return strdup(dir);
}

dlf_status cli_deliver(cli_delivery *out, const dlf_result *r, const char *dir,
                       const cli_language *language, bool plot)
{
    *out = (cli_delivery){.figures = 0};
    DLF_TRY(dlf_result_store(r, dir));
    if (plot) DLF_TRY(draw(out, r, dir, language));
    if (language->zh) DLF_TRY(write_answer(&out->answer_zh, r, dir, "zh"));
    if (language->en) DLF_TRY(write_answer(&out->answer_en, r, dir, "en"));
    return DLF_OK;
}

void cli_print_delivery(FILE *out, const cli_delivery *d, const char *dir,
                        const cli_language *language)
{
    fprintf(out, "%s %s/: result.json, *.csv", cli_say(language, CLI_WROTE), dir);
    if (d->figures) fprintf(out, ", %d %s", d->figures, cli_say(language, CLI_FIGURES));
    if (d->answer_zh) fputs(", answer.zh.md", out);
    if (d->answer_en) fputs(", answer.en.md", out);
    fputc('\n', out);
}
