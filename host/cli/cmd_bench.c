/* SPDX-License-Identifier: MIT
 * cmd_bench.c -- `dlf bench`: time kernels. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/selection.h"
#include "cli/words.h"
#include "dlf/bench.h"
#include "report/plot.h"
#include "result/atomic_file.h"

typedef enum output { TABLE, JSON, CSV, MARKDOWN, OPS, PEERS, LEDGER } output;

static dlf_status real_value(const cli_args *a, const char *flag, double min, double max,
                             double *out)
{
    const char *text = cli_value(a, flag, NULL);
    if (!text) return DLF_OK;
    char *end = NULL;
    const double x = strtod(text, &end);
    if (end == text || *end || !(x >= min && x <= max))
        return dlf_fail(DLF_ERR_ARG, "--%s is a number between %g and %g, not '%.40s'", flag, min,
                        max, text);
    *out = x;
    return DLF_OK;
}

static dlf_status read_output(output *out, const cli_args *a)
{
    static const char *const names[] = {"json", "csv", "markdown", "ops", "peers", "ledger"};
    *out = TABLE;
    for (int i = 0; i < 6; i++) {
        if (!cli_has(a, names[i])) continue;
        if (*out != TABLE)
            return dlf_fail(DLF_ERR_ARG, "dlf bench: --json, --csv, --markdown, --ops, --peers and "
                                         "--ledger exclude each other");
        *out = (output)(i + 1);
    }
    return DLF_OK;
}

static dlf_status read_modes(unsigned *out, const char *text)
{
    *out = 0;
    while (text && *text) {
        const size_t n = strcspn(text, ",");
        unsigned bit = 0;
        for (int m = 0; m < DLF_BENCH_MODES; m++) {
            const char *name = dlf_bench_mode_name((dlf_bench_mode)m);
            if (strlen(name) == n && !strncmp(name, text, n)) bit = 1u << m;
        }
        if (!bit)
            return dlf_fail(
                DLF_ERR_ARG,
                "--mode is cold, hot, graph or several of them with commas, not '%.40s'", text);
        *out |= bit;
        text += n + (text[n] == ',');
    }
    return DLF_OK;
}

static dlf_status read_options(dlf_bench_options *o, const cli_args *a)
{
    long long rounds = 300, seed = 1, passes = 0;
    double noise = 1.0;
    *o = (dlf_bench_options){.peers = cli_value(a, "against", NULL),
                             .python = cli_value(a, "python", NULL),
                             .baseline = cli_value(a, "baseline", NULL),
                             .pin = !cli_has(a, "no-pin"),
                             .min_rounds = 16,
                             .seconds = 1.0,
                             .gate = !cli_has(a, "no-gate"),
                             .ceilings = !cli_has(a, "no-ceilings")};
    DLF_TRY(cli_integer(a, "rounds", 3, 100000, &rounds));
    DLF_TRY(cli_integer(a, "passes", 1, DLF_BENCH_PASSES, &passes));
    DLF_TRY(cli_integer(a, "seed", 0, 9223372036854775807LL, &seed));
    DLF_TRY(real_value(a, "max-noise", 0.0, 100.0, &noise));
    DLF_TRY(real_value(a, "time", 0.0, 3600.0, &o->seconds));
    DLF_TRY(read_modes(&o->modes, cli_value(a, "mode", NULL)));
    DLF_TRY(dlf_bench_distortions(&o->distort, cli_value(a, "distort", "")));
    o->max_rounds = (int)rounds;
    o->passes = (int)passes;
    if (o->min_rounds > o->max_rounds) o->min_rounds = o->max_rounds;
    o->max_noise = 0.01 * noise;
    o->seed = (uint64_t)seed;
    return DLF_OK;
}

static dlf_status read_choice(dlf_bench_choice *c, const cli_args *a)
{
    long long versions = 0;
    DLF_TRY(cli_integer(a, "versions", 0, 16, &versions));
    *c = (dlf_bench_choice){.what = a->n_words ? a->words : NULL,
                            .suite = cli_value(a, "suite", NULL),
                            .dtypes = cli_value(a, "dtype", NULL),
                            .directions = cli_value(a, "direction", NULL),
                            .layouts = cli_value(a, "layout", NULL),
                            .filter = cli_value(a, "filter", NULL),
                            .versions = (int)versions};
    return DLF_OK;
}

static void print_list(const dlf_bench_case *cases, int n, const cli_language *l)
{
    for (const dlf_bench_suite *s = dlf_bench_suites; s->name; s++)
        printf("suite %-12s %s\n", s->name, cli_say(l, s->about));
    for (int i = 0; i < n; i++) {
        char name[DLF_BENCH_NAME];
        puts(dlf_bench_case_name(name, &cases[i]));
    }
}

static void print_headline(const dlf_device *d)
{
    printf("%s: %s, %s, %d %s\n", d->info.backend, d->info.name, d->info.detail, d->info.threads,
           strcmp(d->info.backend, "cuda") ? "threads" : "multiprocessors");
}

/* Through memory: a reader that closes the pipe early is no failure. */
static dlf_status show(const dlf_bench_report *r, output what)
{
    char *text = NULL;
    size_t size = 0;
    if (what == JSON) {
        DLF_TRY(dlf_bench_to_json(&text, r));
        puts(text);
        free(text);
        return DLF_OK;
    }
    static const dlf_bench_format formats[] = {
        [TABLE] = DLF_BENCH_TABLE, [CSV] = DLF_BENCH_CSV, [MARKDOWN] = DLF_BENCH_MARKDOWN};
    FILE *memory = open_memstream(&text, &size);
    if (!memory) return dlf_fail(DLF_ERR_OOM, "no memory for the table");
    dlf_status status = what == OPS      ? dlf_bench_print_ops(memory, r)
                        : what == PEERS  ? dlf_bench_print_peers(memory, r)
                        : what == LEDGER ? dlf_bench_print_ledger(memory, r)
                                         : dlf_bench_print(memory, r, formats[what], cli_is_utf8());
    if (fclose(memory) != 0 && status == DLF_OK)
        status = dlf_fail(DLF_ERR_OOM, "no memory for the table");
    if (status == DLF_OK) fwrite(text, 1, size, stdout);
    free(text);
    return status;
}

static dlf_status store(const dlf_bench_report *r, const char *path, const cli_call *call,
                        output what)
{
    char *text = NULL;
    DLF_TRY(dlf_bench_to_json(&text, r));
    const dlf_status status = dlf_write_file_atomically(path, text, strlen(text));
    free(text);
    if (status == DLF_OK && what == TABLE)
        printf("%s %s\n", cli_say(call->language, CLI_WROTE), path);
    return status;
}

/* Tables and figures into a directory. */
static dlf_status draw(const dlf_bench_report *r, const cli_call *call, output what)
{
    const char *dir = cli_value(call->args, "plot", NULL);
    dlf_result *result = NULL;
    char note[256] = "";
    if (!dir) return DLF_OK;
    DLF_TRY(dlf_bench_to_result(&result, r));
    const dlf_plot_options options = {.languages = (call->language->zh ? DLF_PLOT_ZH : 0u) |
                                                   (call->language->en ? DLF_PLOT_EN : 0u),
                                      .note = note,
                                      .note_size = sizeof note};
    dlf_status status = dlf_result_store(result, dir);
    if (status == DLF_OK) status = dlf_plot(result, dir, options);
    if (*note) cli_warn("%s", note);
    if (status == DLF_OK && what == TABLE)
        printf("%s %s/: %d %s\n", cli_say(call->language, CLI_WROTE), dir,
               dlf_result_figures(result), cli_say(call->language, CLI_FIGURES));
    dlf_result_free(result);
    return status;
}

/* Minutes of timing are not to end with a name that cannot be written. */
static dlf_status check_outputs(const cli_args *a)
{
    const char *path = cli_value(a, "out", NULL), *dir = cli_value(a, "plot", NULL);
    if (path) DLF_TRY(dlf_can_write_file(path));
    return dir ? dlf_make_directories(dir) : DLF_OK;
}

/* What the run ended with is kept, whatever becomes of showing and storing what it measured; and it
 * is shown even if it cannot be stored. */
static dlf_status deliver(const dlf_bench_report *r, dlf_status ended, const cli_call *call,
                          output what)
{
    char sentence[512];
    snprintf(sentence, sizeof sentence, "%s", dlf_error_message());
    const char *path = cli_value(call->args, "out", NULL);
    const dlf_status shown = show(r, what);
    if (path) DLF_TRY(store(r, path, call, what));
    DLF_TRY(shown);
    DLF_TRY(draw(r, call, what));
    return ended == DLF_OK ? DLF_OK : dlf_fail(ended, "%s", sentence);
}

/* "a.json,b.json,...", joined. */
static dlf_status load_stored(dlf_bench_report **out, const char *paths)
{
    *out = NULL;
    while (*paths) {
        const size_t n = strcspn(paths, ",");
        char *path = strndup(paths, n);
        dlf_bench_report *next = NULL;
        dlf_status status = path ? dlf_bench_load(&next, path) : dlf_fail(DLF_ERR_OOM, "no memory");
        free(path);
        if (status == DLF_OK && *out) {
            status = dlf_bench_join(*out, next);
            dlf_bench_report_free(next);
        } else if (status == DLF_OK) {
            *out = next;
        }
        if (status != DLF_OK) {
            dlf_bench_report_free(*out);
            *out = NULL;
            return status;
        }
        paths += n + (paths[n] == ',');
    }
    return *out ? DLF_OK : dlf_fail(DLF_ERR_ARG, "--show needs a file");
}

/* A file is shown whole. */
static dlf_status refuse_selection(const cli_args *a)
{
    static const char *const flags[] = {"suite",   "dtype",    "direction", "layout", "filter",
                                        "against", "baseline", "profile",   "list"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (cli_has(a, flags[i]))
            return dlf_fail(DLF_ERR_ARG,
                            "dlf bench: --show shows all of a file; --%s does not go with it",
                            flags[i]);
    if (!a->n_words) return DLF_OK;
    return dlf_fail(DLF_ERR_ARG,
                    "dlf bench: --show shows all of a file; '%.40s' does not go with it",
                    a->words[0]);
}

/* Stored results again: tables are functions of what was measured. */
static dlf_status show_stored(const cli_call *call, output what)
{
    dlf_bench_report *r = NULL;
    DLF_TRY(refuse_selection(call->args));
    DLF_TRY(load_stored(&r, cli_value(call->args, "show", "")));
    const dlf_status status = deliver(r, DLF_OK, call, what);
    dlf_bench_report_free(r);
    return status;
}

static void warn(void *user, const char *text)
{
    cli_warn("%s", text);
}

static dlf_status run(const cli_call *call)
{
    const cli_args *a = call->args;
    dlf_bench_options o;
    dlf_bench_choice choice;
    dlf_bench_case *cases = NULL;
    dlf_bench_report *report = NULL;
    char *command = NULL;
    output what;
    int n = 0;
    long long calls = 0;
    dlf_status status;
    if (cli_has(a, "serve")) return dlf_bench_serve(stdin, stdout);
    DLF_TRY(read_output(&what, a));
    if (cli_has(a, "show")) return show_stored(call, what);
    DLF_TRY(read_options(&o, a));
    DLF_TRY(read_choice(&choice, a));
    DLF_TRY(cli_integer(a, "profile", 1, 100000, &calls));
    DLF_TRY(dlf_bench_cases(&cases, &n, &choice));
    if (cli_has(a, "list")) {
        print_list(cases, n, call->language);
        free(cases);
        return DLF_OK;
    }
    cli_progress progress;
    if (!calls) DLF_TRY_DONE(check_outputs(a));
    DLF_TRY_DONE(dlf_device_open(&o.device, cli_value(a, "device", "auto")));
    if (calls) {
        status = dlf_bench_profile(o.device, cases, n, (int)calls);
        goto done;
    }
    if (!o.passes) o.passes = strcmp(o.device->backend->name, "cuda") ? 8 : 1;
    command = cli_command_line(call->argc, call->argv);
    o.cancel = cli_catch_interrupts();
    o.progress = cli_progress_update;
    o.warn = warn;
    o.user = &progress;
    if (what == TABLE) print_headline(o.device);
    cli_progress_begin(&progress, "bench", cli_has(a, "quiet"));
    status = dlf_bench_run(&report, cases, n, &o, command ? command : "dlf bench");
    cli_progress_end(&progress);
    if (report) status = deliver(report, status, call, what);
done:
    dlf_bench_report_free(report);
    free(command);
    dlf_device_close(o.device);
    free(cases);
    return status;
}

static const cli_flag flags[] = {
    CLI_FLAG("suite", 0, "NAME", "形状的集合，默认 small；见 --list",
             "which shapes, default small; see --list"),
    CLI_FLAG("dtype", 0, "f32,tf32,f16,bf16", "存储类型，默认 f32", "storage types, default f32"),
    CLI_FLAG("direction", 0, "forward,backward,infer,data,weight",
             "方向，默认全部；data、weight 是卷积的两个梯度",
             "directions, default all; data and weight are the gradients of a convolution"),
    CLI_FLAG("layout", 0, "nchw,nhwc", "图像的内存布局，默认两种",
             "layouts of images, default both"),
    CLI_FLAG("filter", 0, "REGEX", "只测名称匹配的", "only cases whose name matches"),
    CLI_FLAG("versions", 0, "N", "也测每个内核的第 1 到第 N 版",
             "versions 1..N of each kernel, too"),
    CLI_FLAG(
        "against", 0,
        "torch,torch-compile,torch-layout,onednn,cudnn,cublaslt,liger,quack,unfused|best",
        "对手；与 dlf 轮流计时。best：这里能用的库；unfused：自己的内核逐个调用",
        "peers; they take turns with dlf. best: the libraries that work here; unfused: our own "
        "kernels one after another"),
    CLI_FLAG("python", 0, "PROGRAM", "对手所用的解释器，默认 $DLF_PYTHON 或 python3",
             "interpreter of the peers, default $DLF_PYTHON or python3"),
    CLI_FLAG("mode", 0, "cold,hot,graph", "冷缓存、热缓存、CUDA 图；默认全部",
             "cold or hot caches, CUDA graph; default all"),
    CLI_FLAG("passes", 0, "N", "每种情形分几遍测，每遍用新的内存；默认 CPU 8，GPU 1",
             "in how many passes, each in fresh memory; default 8 on a CPU, 1 on a GPU"),
    CLI_FLAG("no-pin", 0, NULL, "不把线程固定在各自的 CPU 上",
             "do not bind each thread to a CPU of its own"),
    CLI_FLAG(
        "baseline", 0, "PROGRAM",
        "另一个 dlf（如改动之前的），在同样的轮次里计时；随后 dlf compare FILE.json",
        "another dlf (of before a change), timed in the same rounds; then dlf compare FILE.json"),
    CLI_FLAG("serve", 0, NULL, "（供 --baseline 使用）听命于另一个 dlf",
             "(for --baseline) be timed by another dlf"),
    CLI_FLAG("rounds", 0, "N", "轮数上限，默认 300", "at most N rounds, default 300"),
    CLI_FLAG("time", 0, "S", "每种情形计时的秒数上限，默认 1",
             "at most S seconds of timing per case, default 1"),
    CLI_FLAG("max-noise", 0, "PERCENT", "中位数的半区间小于此即停，默认 1",
             "stop when medians are known to this, default 1"),
    CLI_FLAG("seed", 0, "S", "轮内次序的种子，默认 1", "of the order within rounds, default 1"),
    CLI_FLAG("no-gate", 0, NULL, "不核对结果", "do not check the results"),
    CLI_FLAG("no-ceilings", 0, NULL, "不先测拷贝、读、写与矩阵乘的上限",
             "do not first measure what copies, reads, writes and products reach"),
    CLI_FLAG("distort", 0, "NAMES",
             "故意测错，看差多少：zeros, sequential, slow, wrong, no-evict, bytes",
             "measure wrongly on purpose: zeros, sequential, slow, wrong, no-evict, bytes"),
    CLI_FLAG("device", 0, "auto|cpu|cuda|cuda:N", "计算设备，默认 auto",
             "where to compute, default auto"),
    CLI_FLAG("profile", 0, "N",
             "每种情形只调用 N 次，不计时：供 ncu --profile-from-start off 等分析器使用",
             "only call each case N times, time nothing: for ncu --profile-from-start off"),
    CLI_FLAG("list", 0, NULL, "只列出将要测的", "only list what would be timed"),
    CLI_FLAG("show", 0, "FILE.json,...", "显示已存的结果，不计时；多个文件合为一个（--out 存下）",
             "show what is stored, time nothing; several are joined (and stored by --out)"),
    CLI_FLAG("ops", 0, NULL, "每种运算一行的 Markdown 表格",
             "print a Markdown table, a line per op"),
    CLI_FLAG("peers", 0, NULL, "每种情形一行、每个对手一列的 Markdown 表格",
             "print a Markdown table, a line per case, a column per peer"),
    CLI_FLAG("ledger", 0, NULL, "每种运算一行：何处何时运行过，误差与速度（Markdown）",
             "print Markdown, a line per op: where and when it ran, how right, how fast"),
    CLI_FLAG("out", 'o', "FILE.json", "存下全部样本", "store all samples"),
    CLI_FLAG("plot", 0, "DIR", "画图并写出表格", "draw figures and write tables into DIR"),
    CLI_FLAG("json", 0, NULL, "输出 JSON", "print JSON"),
    CLI_FLAG("csv", 0, NULL, "输出 CSV", "print CSV"),
    CLI_FLAG("markdown", 0, NULL, "输出 Markdown 表格", "print a Markdown table"),
    CLI_FLAG("quiet", 'q', NULL, "不显示进度", "no progress line"),
    CLI_FLAG_LANG,
    CLI_FLAG_HELP,
    CLI_FLAGS_END,
};

const cli_command cli_bench = {
    .name = "bench",
    .synopsis = "[FAMILY|OP|norm|all ...] [flags]",
    .summary = {"给内核计时：先核对结果，再与对手和拷贝轮流计时",
                "time kernels: checked first, in turns with peers and with a copy"},
    .examples = "  dlf bench norm --suite small\n"
                "  dlf bench layer_norm gelu --suite cpu --against torch --out now.json\n"
                "  dlf bench --show now.json --markdown\n"
                "  dlf bench norm --baseline ./before/dlf --out now.json; dlf compare now.json\n"
                "  dlf compare before.json now.json --fail-on slower\n"
                "  ncu --profile-from-start off dlf bench gelu --suite gpu --profile 1\n",
    .details =
        {"各列含义见 docs/benchmarking.md。\n退出码：0；5 内核结果与定义不符；其余同 dlf run",
         "How to read the columns: docs/benchmarking.md.\n"
         "Exit code: 0; 5 when a kernel disagrees with its definition; else as dlf run"},
    .flags = flags,
    .run = run};
