/* SPDX-License-Identifier: MIT
 * cmd_compare.c -- `dlf compare`: two stored benchmarks. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "dlf/bench.h"

static void print_interval(char out[32], dlf_bench_ratio r)
{
    snprintf(out, 32, "%.3f %.3f-%.3f", r.value, r.lo, r.hi);
}

static void print_rows(const dlf_bench_comparison *c, int n, bool why)
{
    static const char *const colours[] = {"", "\x1b[32m", "\x1b[31m", "\x1b[33m"};
    const bool coloured = cli_has_colours(stdout);
    printf("%-46s %-5s %-20s %-20s %-6s %s\n", "case", "mode", "time B/A", "anchored B/A", "anchor",
           "verdict");
    for (int i = 0; i < n; i++) {
        char time[32], anchored[32];
        print_interval(time, c[i].time);
        print_interval(anchored, c[i].anchored);
        printf("%-46s %-5s %-20s %-20s %-6s %s%s%s%s%s\n", c[i].name,
               dlf_bench_mode_name(c[i].mode), time, anchored, c[i].anchor,
               coloured ? colours[c[i].verdict] : "", dlf_bench_verdict_name(c[i].verdict),
               coloured ? "\x1b[0m" : "", why ? ": " : "", why ? c[i].why : "");
    }
}

/* exp mean log of the ratios, by verdicts. */
static void print_totals(const dlf_bench_comparison *c, int n)
{
    int count[4] = {0};
    double logs = 0.0;
    for (int i = 0; i < n; i++) {
        count[c[i].verdict]++;
        logs += log(c[i].anchored.value) / n;
    }
    for (int v = 0; v < 4; v++)
        printf("%s%d %s", v ? ", " : "", count[v], dlf_bench_verdict_name((dlf_bench_verdict)v));
    printf("; anchored geometric mean B/A %.3f\n", exp(logs));
}

static json_t *ratio(dlf_bench_ratio r)
{
    return isfinite(r.value) && isfinite(r.lo) && isfinite(r.hi)
               ? json_pack("[f,f,f]", r.value, r.lo, r.hi)
               : json_pack("[s,s,s]", "NaN", "NaN", "NaN");
}

static dlf_status print_json(const dlf_bench_comparison *c, int n)
{
    json_t *rows = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(
            rows, json_pack("{s:s, s:s, s:o, s:o, s:s, s:s, s:s}", "name", c[i].name, "mode",
                            dlf_bench_mode_name(c[i].mode), "time", ratio(c[i].time), "anchored",
                            ratio(c[i].anchored), "anchor", c[i].anchor, "verdict",
                            dlf_bench_verdict_name(c[i].verdict), "why", c[i].why));
    json_t *o = json_pack("{s:s, s:o}", "schema", "dlf.compare/1", "rows", rows);
    char *text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
    json_decref(o);
    if (!text) return dlf_fail(DLF_ERR_OOM, "no memory for the JSON text");
    puts(text);
    free(text);
    return DLF_OK;
}

static dlf_status read_threshold(double *out, const cli_args *a)
{
    const char *text = cli_value(a, "least", "2");
    char *end = NULL;
    const double percent = strtod(text, &end);
    if (end == text || *end || !(percent >= 0.0 && percent <= 100.0))
        return dlf_fail(DLF_ERR_ARG, "--least is a percentage, not '%.40s'", text);
    *out = 0.01 * percent;
    return DLF_OK;
}

static dlf_status judge(const dlf_bench_comparison *c, int n, const char *fail_on)
{
    int slower = 0;
    for (int i = 0; i < n; i++) slower += c[i].verdict == DLF_SLOWER;
    if (!fail_on || !slower) return DLF_OK;
    return dlf_fail(DLF_ERR_FINDING, "%d of %d rows are slower", slower, n);
}

static dlf_status run(const cli_call *call)
{
    const cli_args *a = call->args;
    const char *fail_on = cli_value(a, "fail-on", NULL);
    dlf_bench_report *before = NULL, *after = NULL;
    dlf_bench_comparison *c = NULL;
    double least = 0.0;
    int n = 0;
    dlf_status status;
    DLF_TRY(cli_at_most(a, 2));
    if (a->n_words < 1)
        return dlf_fail(DLF_ERR_ARG,
                        "dlf compare needs two results of dlf bench --out, or one of dlf bench "
                        "--baseline PROGRAM --out");
    if (fail_on && strcmp(fail_on, "slower") != 0)
        return dlf_fail(DLF_ERR_ARG, "--fail-on knows 'slower', not '%.40s'", fail_on);
    DLF_TRY(read_threshold(&least, a));
    DLF_TRY_DONE(dlf_bench_load(&before, a->words[0]));
    if (a->n_words == 2) {
        DLF_TRY_DONE(dlf_bench_load(&after, a->words[1]));
        DLF_TRY_DONE(dlf_bench_compare(&c, &n, before, after, least));
    } else {
        DLF_TRY_DONE(dlf_bench_compare_before(&c, &n, before, least));
    }
    if (!n) {
        status = after ? dlf_fail(DLF_ERR_INPUT, "%s and %s have no case in common", a->words[0],
                                  a->words[1])
                       : dlf_fail(DLF_ERR_INPUT,
                                  "%s was measured without --baseline; give a second result",
                                  a->words[0]);
        goto done;
    }
    if (cli_has(a, "json")) {
        DLF_TRY_DONE(print_json(c, n));
    } else {
        print_rows(c, n, cli_has(a, "why"));
        print_totals(c, n);
    }
    status = judge(c, n, fail_on);
done:
    free(c);
    dlf_bench_report_free(after);
    dlf_bench_report_free(before);
    return status;
}

static const cli_flag flags[] = {
    CLI_FLAG("fail-on", 0, "slower", "有变慢的即以 10 退出", "exit with 10 if anything got slower"),
    CLI_FLAG("least", 0, "PERCENT", "小于此的差别不算，默认 2",
             "smaller differences do not count, default 2"),
    CLI_FLAG("why", 0, NULL, "说明每个判断的理由", "say why, row by row"),
    CLI_FLAG("json", 0, NULL, "输出 JSON", "print JSON"),
    CLI_FLAG_LANG,
    CLI_FLAG_HELP,
    CLI_FLAGS_END,
};

const cli_command cli_compare = {
    .name = "compare",
    .synopsis = "A.json B.json | NOW.json [flags]",
    .summary = {"比较两次基准测试：更快、更慢、相同或说不准",
                "compare two benchmarks: FASTER, SLOWER, SAME or AMBIGUOUS"},
    .examples = "  dlf compare before.json after.json --why\n"
                "  dlf bench norm --baseline ./before/dlf --out now.json; dlf compare now.json\n"
                "  dlf compare before.json after.json --fail-on slower\n",
    .details =
        {"退出码：0；有变慢的且给了 --fail-on slower 时 10；文件不可读 3",
         "Exit code: 0; 10 with --fail-on slower when something is; 3 for an unreadable file"},
    .flags = flags,
    .run = run};
