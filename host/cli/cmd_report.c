/* SPDX-License-Identifier: MIT
 * cmd_report.c -- `dlf report`: what is stored, as one HTML page; nothing is run. */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/questions.h"
#include "cli/report_page.h"
#include "result/atomic_file.h"

/* The page is written whatever could not be read; scripts learn of it from the exit code. */
static dlf_status finish(const report_runs *runs, const char *path, int answered,
                         const cli_language *language)
{
    for (int i = 0; i < runs->n_problems; i++) cli_warn("%s", runs->problem[i]);
    if (runs->n_problems)
        return dlf_fail(DLF_ERR_INPUT, "%s is written without what could not be read", path);
    printf(language->say_zh ? "已写入 %s：%d 个问题中的 %d 个\n" : "Wrote %s: of %d questions %d\n",
           path, DLF_QUESTIONS, answered);
    return DLF_OK;
}

static dlf_status run(const cli_call *call)
{
    const cli_args *a = call->args;
    DLF_TRY(cli_at_most(a, 1));
    const char *dir = a->n_words ? a->words[0] : "out", *typed = cli_value(a, "out", NULL);
    report_runs runs = {.n = 0};
    dlf_buffer page = {0};
    int answered = 0;
    char *path = NULL;
    dlf_status status;
    DLF_TRY_DONE(report_runs_read(&runs, dir));
    DLF_TRY_DONE(report_page(&page, &runs, call->language, &answered));
    path = typed ? strdup(typed) : dlf_path_join(dir, "report.html");
    if (!path) {
        status = dlf_fail(DLF_ERR_OOM, "no memory for a path");
        goto done;
    }
    DLF_TRY_DONE(dlf_write_file_atomically(path, page.data, page.size));
    status = finish(&runs, path, answered, call->language);
done:
    free(path);
    dlf_buffer_free(&page);
    report_runs_free(&runs);
    return status;
}

static const cli_flag flags[] = {
    CLI_FLAG("out", 'o', "FILE", "写到哪里，默认 DIR/report.html",
             "where to write, default DIR/report.html"),
    CLI_FLAG("lang", 0, "zh|en|both", "页面的语言，默认两种，可在页面上切换",
             "of the page, default both, with a switch"),
    CLI_FLAG_HELP,
    CLI_FLAGS_END,
};

const cli_command cli_report = {
    .name = "report",
    .synopsis = "[DIR] [flags]",
    .summary = {"把已存的结果做成一个网页：全部问题、回答、图和判定；不重新运行",
                "one HTML page of what is stored: questions, answers, figures, verdicts; runs "
                "nothing"},
    .examples = "  dlf report\n"
                "  dlf report out/vanishing --lang en --out vanishing.html\n",
    .details = {"DIR 是 dlf run 的输出目录或其中一个结果，默认 out。网页不依赖其他文件和网络。\n"
                "有结果读不出时，网页仍会写出并注明，退出码为 3。",
                "DIR is what dlf run wrote, or one result in it; default out. The page needs no "
                "other file and no network.\n"
                "If a result cannot be read, the page is written all the same and says so; the "
                "exit code is 3."},
    .flags = flags,
    .run = run};
