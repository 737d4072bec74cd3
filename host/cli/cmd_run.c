/* SPDX-License-Identifier: MIT
 * cmd_run.c -- `dlf run`: run experiments, keep every result as soon as there is one. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/deliver.h"
#include "cli/selection.h"
#include "cli/summary.h"
#include "cli/sweep.h"
#include "cli/words.h"
#include "dlf/backend.h"
#include "experiments/run.h"
#include "result/atomic_file.h"

enum { SEEDS_MAX = 100000, MESSAGE = 512 };

typedef enum format { HUMAN, JSON, CSV } format;

typedef struct job {
    const cli_language *language;
    const dlf_experiment **experiments;
    int n_experiments;
    dlf_setting *set; /* one free slot behind n_set, for the value of a sweep */
    int n_set;
    cli_sweep *sweep; /* NULL: none */
    const char *out_dir;
    format format;
    bool plot, quiet;
    dlf_run_options options;
    char *command;
    bool csv_header_due;
    int runs, failures;    /* so far                                          */
    dlf_status worst;      /* of the failures                                 */
    char message[MESSAGE]; /* the sentence of the worst                      */
} job;

/* ---- failures -----------------------------------------------------------------------------------
 */

/* Which of two failures decides the exit code: an interruption, then a broken run, then untrusted
 * numbers. */
static int severity(dlf_status s)
{
    return s == DLF_OK ? 0 : s == DLF_ERR_SELF_CHECK ? 1 : s == DLF_ERR_CANCELLED ? 3 : 2;
}

static const char *sentence(dlf_status status)
{
    return *dlf_error_message() ? dlf_error_message() : dlf_status_text(status);
}

/* Remember a failure; where several runs follow each other also say it now, where it happened. */
static void note_failure(job *j, dlf_status status)
{
    j->failures++;
    if (severity(status) > severity(j->worst)) {
        j->worst = status;
        snprintf(j->message, sizeof j->message, "%s", sentence(status));
    }
    const bool several = j->n_experiments > 1 || j->sweep;
    if (several && status != DLF_ERR_CANCELLED) cli_warn("%s", sentence(status));
}

static dlf_status verdict_of_job(const job *j)
{
    if (j->worst == DLF_OK) return DLF_OK;
    if (j->worst == DLF_ERR_CANCELLED)
        return dlf_fail(DLF_ERR_CANCELLED, "interrupted; what is finished is kept in %s",
                        j->out_dir);
    if (j->runs > 1)
        return dlf_fail(j->worst, "%d of %d runs failed; the worst: %s", j->failures, j->runs,
                        j->message);
    return dlf_fail(j->worst, "%s", j->message);
}

/* ---- one run ------------------------------------------------------------------------------------
 */

static void print_json(const dlf_result *r)
{
    char *json = NULL;
    if (dlf_result_to_json(r, &json) == DLF_OK) fputs(json, stdout);
    free(json);
}

static void print_result(job *j, const dlf_result *r, const cli_delivery *d, const char *dir)
{
    if (j->format == JSON) {
        print_json(r);
    } else if (j->format == CSV) {
        cli_print_checks_csv(stdout, r, j->csv_header_due);
        j->csv_header_due = false;
    } else {
        cli_print_summary(stdout, r, j->language);
        if (d) cli_print_delivery(stdout, d, dir, j->language);
    }
    fflush(stdout);
}

/* Run `e` into *r; the progress line is there while it computes. */
static dlf_status compute(job *j, const dlf_experiment *e, int n_set, dlf_result **r)
{
    cli_progress progress;
    cli_progress_begin(&progress, e->slug, j->quiet);
    j->options.n_set = n_set;
    j->options.progress = cli_progress_update;
    j->options.user = &progress;
    const dlf_status status = dlf_experiment_run(r, e, &j->options);
    cli_progress_end(&progress);
    return status;
}

/* Run once into `dir`. The numbers are printed even if they cannot be stored: they may have taken
 * minutes. *r may be NULL afterwards. */
static dlf_status run_into(job *j, const dlf_experiment *e, int n_set, const char *dir,
                           dlf_result **r)
{
    j->runs++;
    DLF_TRY(cli_probe_directory(dir));
    dlf_status status = compute(j, e, n_set, r);
    if (!*r) {
        rmdir(dir); /* only if there is nothing in it */
        return status;
    }
    char message[MESSAGE];
    snprintf(message, sizeof message, "%s", sentence(status));
    cli_delivery delivery;
    char *target = cli_delivery_directory(*r, dir);
    const dlf_status stored = target ? cli_deliver(&delivery, *r, target, j->language, j->plot)
                                     : dlf_fail(DLF_ERR_OOM, "no memory for a path");
    if (stored != DLF_OK && severity(stored) > severity(status)) {
        status = stored;
        snprintf(message, sizeof message, "%s", sentence(stored));
    }
    if (!j->sweep || j->format == JSON)
        print_result(j, *r, stored == DLF_OK ? &delivery : NULL, target);
    free(target);
    return status == DLF_OK ? DLF_OK : dlf_fail(status, "%s", message);
}

/* ---- sweeps -------------------------------------------------------------------------------------
 */

enum { COLUMN_VALUE = 13, COLUMN_CLAIM = 25, COLUMN_MEASURED = 32, COLUMN_EXPECTED = 18 };

static void print_sweep_row(const job *j, const char *value, const dlf_result *r)
{
    for (int i = 0; i < dlf_result_checks(r); i++) {
        const dlf_check *c = dlf_result_get_check(r, i);
        if (c->self_check && c->verdict != DLF_REFUTED) continue;
        dlf_buffer measured = {0}, expected = {0};
        cli_describe_measured(&measured, c);
        cli_describe_expected(&expected, c, j->language);
        fputs("  ", stdout);
        cli_print_cell(stdout, value, COLUMN_VALUE);
        cli_print_cell(stdout, c->id, COLUMN_CLAIM);
        cli_print_cell(stdout, measured.data ? measured.data : "", COLUMN_MEASURED);
        cli_print_cell(stdout, expected.data ? expected.data : "", COLUMN_EXPECTED);
        cli_print_verdict(stdout, c->verdict, j->language, 0);
        putchar('\n');
        dlf_buffer_free(&measured);
        dlf_buffer_free(&expected);
    }
    fflush(stdout);
}

static void print_sweep_header(const job *j, const dlf_experiment *e)
{
    printf("%s  %s\n  ", e->questions, cli_say(j->language, e->title));
    cli_print_cell(stdout, j->sweep->name, COLUMN_VALUE);
    cli_print_cell(stdout, cli_say(j->language, CLI_CLAIM), COLUMN_CLAIM);
    cli_print_cell(stdout, cli_say(j->language, CLI_MEASURED), COLUMN_MEASURED);
    cli_print_cell(stdout, cli_say(j->language, CLI_EXPECTED), COLUMN_EXPECTED);
    printf("%s\n", cli_say(j->language, CLI_VERDICT));
}

/* dir/<name>=<value>, run there, append to the table and write it: an interrupted sweep keeps its
 * rows. */
static dlf_status sweep_value(job *j, const dlf_experiment *e, const char *dir, const char *value,
                              dlf_buffer *csv)
{
    char name[2 * CLI_SWEEP_TEXT];
    snprintf(name, sizeof name, "%s=%s", j->sweep->name, value);
    char *value_dir = dlf_path_join(dir, name), *csv_path = dlf_path_join(dir, "sweep.csv");
    dlf_result *r = NULL;
    j->set[j->n_set] = (dlf_setting){j->sweep->name, value};
    dlf_status status = value_dir && csv_path ? run_into(j, e, j->n_set + 1, value_dir, &r)
                                              : dlf_fail(DLF_ERR_OOM, "no memory for a path");
    if (r) {
        const size_t before = csv->size;
        cli_sweep_csv(csv, value, r);
        if (j->format == CSV) fwrite(csv->data + before, 1, csv->size - before, stdout);
        if (j->format == HUMAN) print_sweep_row(j, value, r);
        const dlf_status written = csv->failed
                                       ? dlf_fail(DLF_ERR_OOM, "no memory for sweep.csv")
                                       : dlf_write_file_atomically(csv_path, csv->data, csv->size);
        if (severity(written) > severity(status)) status = written;
    }
    dlf_result_free(r);
    free(csv_path);
    free(value_dir);
    return status;
}

static void run_sweep(job *j, const dlf_experiment *e, const char *dir)
{
    dlf_buffer csv = {0};
    if (j->format == HUMAN) print_sweep_header(j, e);
    for (int i = 0; i < j->sweep->n && j->worst != DLF_ERR_CANCELLED; i++) {
        const dlf_status status = sweep_value(j, e, dir, j->sweep->value[i], &csv);
        if (status != DLF_OK) note_failure(j, status);
    }
    if (j->format == HUMAN && csv.size)
        printf("%s %s/sweep.csv\n", cli_say(j->language, CLI_WROTE), dir);
    dlf_buffer_free(&csv);
}

/* ---- all of them
 * --------------------------------------------------------------------------------- */

static void run_experiment(job *j, const dlf_experiment *e)
{
    char *dir = dlf_path_join(j->out_dir, e->slug);
    if (!dir) {
        note_failure(j, dlf_fail(DLF_ERR_OOM, "no memory for a path"));
    } else if (j->sweep) {
        run_sweep(j, e, dir);
    } else {
        dlf_result *r = NULL;
        const dlf_status status = run_into(j, e, j->n_set, dir, &r);
        if (status != DLF_OK) note_failure(j, status);
        if (r && status == DLF_OK && j->format == HUMAN)
            printf("%s: dlf plot %s --format term\n", cli_say(j->language, CLI_NEXT), dir);
        dlf_result_free(r);
    }
    free(dir);
}

static void run_experiments(job *j)
{
    for (int i = 0; i < j->n_experiments && j->worst != DLF_ERR_CANCELLED; i++) {
        if (i && j->format == HUMAN) putchar('\n');
        run_experiment(j, j->experiments[i]);
        /* Also when Ctrl-C came while figures were drawn. */
        if (*j->options.cancel && j->worst != DLF_ERR_CANCELLED)
            note_failure(j, dlf_fail(DLF_ERR_CANCELLED, "interrupted"));
    }
}

/* ---- what was typed
 * -------------------------------------------------------------------------------- */

static dlf_status read_flags(job *j, const cli_args *args)
{
    static const struct {
        const char *a, *b;
    } exclusive[] = {{"quick", "full"}, {"json", "csv"}};
    for (int i = 0; i < 2; i++)
        if (cli_has(args, exclusive[i].a) && cli_has(args, exclusive[i].b))
            return dlf_fail(DLF_ERR_ARG, "dlf run: --%s and --%s exclude each other",
                            exclusive[i].a, exclusive[i].b);
    long long seeds = 0, seed = 1;
    DLF_TRY(cli_integer(args, "seeds", 1, SEEDS_MAX, &seeds));
    DLF_TRY(cli_integer(args, "seed", 0, 9223372036854775807LL, &seed));
    j->options.seeds = (int)seeds;
    j->options.seed = (uint64_t)seed;
    j->out_dir = cli_value(args, "out", "out");
    j->plot = !cli_has(args, "no-plot");
    j->quiet = cli_has(args, "quiet");
    j->format = cli_has(args, "json") ? JSON : cli_has(args, "csv") ? CSV : HUMAN;
    j->csv_header_due = true;
    return DLF_OK;
}

/* A mistyped directory shows before anything is computed. */
static dlf_status read_data(job *j, const cli_args *args)
{
    const char *typed = cli_value(args, "data", NULL), *dir = typed ? typed : getenv("DLF_DATA");
    struct stat info;
    if (!dir || !*dir) return DLF_OK;
    if (stat(dir, &info) != 0 || !S_ISDIR(info.st_mode))
        return dlf_fail(DLF_ERR_INPUT, "%s %s is not a directory", typed ? "--data" : "DLF_DATA",
                        dir);
    j->options.data_dir = dir;
    return DLF_OK;
}

static dlf_status read_sweep(job *j, const cli_args *args)
{
    const char *text = cli_value(args, "sweep", NULL);
    if (!text) return DLF_OK;
    j->sweep = calloc(1, sizeof *j->sweep);
    if (!j->sweep) return dlf_fail(DLF_ERR_OOM, "no memory for the sweep");
    for (int i = 0; i < j->n_experiments; i++)
        DLF_TRY(cli_sweep_parse(j->sweep, text, j->experiments[i]));
    return DLF_OK;
}

/* Everything that can be wrong with the command line, before anything is computed. */
static dlf_status read_job(job *j, const cli_args *args)
{
    DLF_TRY(read_flags(j, args));
    DLF_TRY(read_data(j, args));
    DLF_TRY(cli_select(&j->experiments, &j->n_experiments, args));
    DLF_TRY(cli_settings(&j->set, &j->n_set, args));
    for (int i = 0; i < j->n_experiments; i++)
        DLF_TRY(dlf_experiment_check_settings(j->experiments[i], j->set, j->n_set));
    DLF_TRY(read_sweep(j, args));
    for (int i = 0; j->sweep && i < j->n_set; i++)
        if (strcmp(j->set[i].name, j->sweep->name) == 0)
            return dlf_fail(DLF_ERR_ARG, "dlf run: %s is in --set and in --sweep", j->sweep->name);
    j->options.set = j->set;
    return DLF_OK;
}

static dlf_status run(const cli_call *call)
{
    job j = {.language = call->language};
    dlf_status status;
    DLF_TRY_DONE(read_job(&j, call->args));
    j.command = cli_command_line(call->argc, call->argv);
    j.options.command = j.command;
    DLF_TRY_DONE(dlf_device_open(&j.options.device, cli_value(call->args, "device", "auto")));
    j.options.full =
        cli_has(call->args, "full") ||
        (!cli_has(call->args, "quick") && strcmp(j.options.device->info.backend, "cuda") == 0);
    DLF_TRY_DONE(cli_probe_directory(j.out_dir));
    j.options.cancel = cli_catch_interrupts();
    run_experiments(&j);
    status = verdict_of_job(&j);
done:
    dlf_device_close(j.options.device);
    free(j.command);
    free(j.sweep);
    cli_settings_free(j.set, j.n_set);
    free(j.experiments);
    return status;
}

static const cli_flag flags[] = {
    CLI_FLAG_REPEATED("set", 0, "NAME=VALUE", "设定参数，可重复；见 dlf list params 实验",
                      "set a parameter, repeatable; see dlf list params EXPERIMENT"),
    CLI_FLAG("sweep", 0, "NAME=A..B:N|V1,V2", "对每个取值各运行一次", "run once per value"),
    CLI_FLAG("seeds", 0, "N", "随机种子个数；少于 3 个不下结论",
             "number of seeds; no verdict from fewer than 3"),
    CLI_FLAG("seed", 0, "S", "随机数的种子，默认 1", "base of all random numbers, default 1"),
    CLI_FLAG("device", 0, "auto|cpu|cuda|cuda:N|ref", "计算设备，默认 auto",
             "where to compute, default auto"),
    CLI_FLAG("quick", 0, NULL, "小规模；cpu 与 ref 的默认", "small; the default on cpu and ref"),
    CLI_FLAG("full", 0, NULL, "可引用的完整规模；cuda 的默认",
             "the citable run; the default on cuda"),
    CLI_FLAG("data", 0, "DIR", "数据集所在目录，默认取自 DLF_DATA；见 dlf doctor",
             "where data sets are, default from DLF_DATA; see dlf doctor"),
    CLI_FLAG("out", 'o', "DIR", "输出目录，默认 out", "where to write, default out"),
    CLI_FLAG("json", 0, NULL, "标准输出只有 JSON 文档",
             "print the JSON documents and nothing else"),
    CLI_FLAG("csv", 0, NULL, "标准输出只有检验的 CSV", "print the checks as CSV and nothing else"),
    CLI_FLAG("no-plot", 0, NULL, "不画图", "draw no figures"),
    CLI_FLAG("quiet", 'q', NULL, "不显示进度", "no progress line"),
    CLI_FLAG("lang", 0, "zh|en|both", "输出、图与解答的语言；默认两种都写",
             "of summary, figures, answers; default: both are written"),
    CLI_FLAG_HELP,
    CLI_FLAGS_END,
};

const cli_command cli_run = {
    .name = "run",
    .synopsis = "EXPERIMENT|QUESTION|all ... [flags]",
    .summary = {"运行实验，写出结果、图与解答",
                "run experiments; write results, figures and answers"},
    .examples = "  dlf run Q7\n"
                "  dlf run vanishing --set depth=50 --seeds 8\n"
                "  dlf run vanishing --sweep depth=10..50:5 --no-plot\n"
                "  dlf run all --quick --out out --json > all.json\n",
    .details =
        {"结果写入 DIR/<实验>/，每完成一个立即保存。Ctrl-C 一次：停在下一处边界并保留已完成的部分；"
         "两次：立即结束。\n"
         "退出码：0 完成（不论结论如何） 1 内部或写出错误 2 用法 3 数据不可读 4 设备不可用 5 "
         "数值自检失败 130 "
         "中断",
         "Results go to DIR/<experiment>/ as soon as each is finished. Ctrl-C once stops at "
         "the next\nboundary and keeps what is finished; twice ends at once.\n"
         "Exit codes: 0 done (whatever the verdicts), 1 internal or output error, 2 usage,\n"
         "3 unreadable data, 4 no usable device, 5 a numerical self-check failed, 130 interrupted"},
    .flags = flags,
    .run = run};
