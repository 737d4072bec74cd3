/* SPDX-License-Identifier: MIT
 * plot_sample.h -- a result with one figure of each kind, and a directory for what is drawn. */
#ifndef DLF_PLOT_SAMPLE_H
#define DLF_PLOT_SAMPLE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report/plot.h"
#include "report/plot_internal.h"
#include "result/atomic_file.h"

#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) != DLF_OK) fail_msg("%s: %s", #call, dlf_error_message());                      \
    } while (0)
#define TEXT(z, e) ((dlf_text){(z), (e)})

static char root[] = "/tmp/dlf_test_plot.XXXXXX";
static bool has_gnuplot;

static inline char *slurp(const char *dir, const char *name, size_t *size)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s/%s", root, dir, name);
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("%s is missing", path);
    char *text = calloc(1, 1 << 23);
    const size_t n = fread(text, 1, (1 << 23) - 1, file);
    if (size) *size = n;
    fclose(file);
    return text;
}

static inline const char *in_root(const char *dir)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/%s", root, dir);
    return path;
}

/* ---- a result with one figure of each kind --------------------------------------------------- */

static inline dlf_result *empty_result(void)
{
    dlf_result *r;
    OK(dlf_result_new(&r, "sample", "Q7", TEXT("题", "Title")));
    OK(dlf_result_set_manifest(r, &(dlf_manifest){.git = "abc1234",
                                                  .command = "dlf run Q7",
                                                  .mode = "quick",
                                                  .seeds = 3,
                                                  .backend = "cpu",
                                                  .device = "a CPU",
                                                  .complete = true}));
    return r;
}

static inline void add_lines(dlf_result *r)
{
    dlf_table *m, *s, *t;
    OK(dlf_result_table(
        r, "m", TEXT("甲", "m"),
        (dlf_column[]){{"arm", NULL}, {"x", "1"}, {"y", "1"}, {"lo", "1"}, {"hi", "1"}, {NULL}},
        &m));
    OK(dlf_result_table(r, "s", TEXT("乙", "s"),
                        (dlf_column[]){{"seed", "1"}, {"x", "1"}, {"y", "1"}, {NULL}}, &s));
    OK(dlf_result_table(r, "t", TEXT("丙", "t"), (dlf_column[]){{"x", "1"}, {"y", "1"}, {NULL}},
                        &t));
    for (int x = 1; x <= 20; x++) {
        const double y = pow(0.3, x), m_y = x > 18    ? NAN
                                            : x > 16  ? INFINITY
                                            : x == 16 ? 0
                                                      : 1.1 * y;
        OK(dlf_table_row(m, DLF_TXT("sigmoid"), DLF_NUM(x), DLF_NUM(m_y), DLF_NUM(m_y * 0.9),
                         DLF_NUM(m_y * 1.1)));
        OK(dlf_table_row(m, DLF_TXT("relu"), DLF_NUM(x), DLF_NUM(1), DLF_NUM(0.9), DLF_NUM(1.1)));
        OK(dlf_table_row(t, DLF_NUM(x), DLF_NUM(y)));
        for (int k = 0; k < 3; k++)
            OK(dlf_table_row(s, DLF_NUM(k), DLF_NUM(x),
                             DLF_NUM(k < 2 && x > 17 ? NAN : y * (0.9 + 0.1 * k))));
    }
    OK(dlf_result_figure(
        r,
        &(dlf_figure){
            .id = "lines",
            .kind = DLF_LINES,
            .residuals = true,
            .title =
                TEXT("梯度每层缩小到约三成，二十层之后无法学习", "Gradients shrink to a third"),
            .subtitle = TEXT("多层感知机，三个种子", "MLP, three seeds"),
            .x = {TEXT("层", "layer"), false},
            .y = {TEXT("梯度范数之比", "gradient norm ratio"), true},
            .series = {
                {.role = DLF_SEEDS, .table = "s", .x = "x", .y = "y", .by = "seed"},
                {.role = DLF_MEASURED,
                 .table = "m",
                 .where = "arm",
                 .equals = "sigmoid",
                 .x = "x",
                 .y = "y",
                 .lo = "lo",
                 .hi = "hi",
                 .label = TEXT("实测", "measured")},
                {.role = DLF_THEORY,
                 .table = "t",
                 .x = "x",
                 .y = "y",
                 .label = TEXT("理论", "theory")},
                {.role = DLF_CONTROL,
                 .table = "m",
                 .where = "arm",
                 .equals = "relu",
                 .x = "x",
                 .y = "y",
                 .lo = "lo",
                 .hi = "hi",
                 .colour = 1,
                 .label = TEXT(
                     "对照",
                     "control: a label too long for one line beside the axes of any figure")}}}));
}

static inline void add_heatmap(dlf_result *r)
{
    dlf_table *z, *c;
    OK(dlf_result_table(r, "z", TEXT("丁", "z"),
                        (dlf_column[]){{"x", "1"}, {"y", "1"}, {"z", "1"}, {NULL}}, &z));
    OK(dlf_result_table(r, "c", TEXT("戊", "c"), (dlf_column[]){{"x", "1"}, {"y", "1"}, {NULL}},
                        &c));
    for (int i = 1; i <= 8; i++) {
        for (int j = 1; j <= 6; j++)
            OK(dlf_table_row(z, DLF_NUM(i), DLF_NUM(j),
                             DLF_NUM(i == 8 && j == 1 ? NAN : i * 0.5 / j)));
        OK(dlf_table_row(c, DLF_NUM(i), DLF_NUM(i * 0.5)));
    }
    OK(dlf_result_figure(r, &(dlf_figure){.id = "heat",
                                          .kind = DLF_HEATMAP,
                                          .title = TEXT("相图", "Phases"),
                                          .x = {TEXT("权重", "weights"), false},
                                          .y = {TEXT("偏置", "biases"), false},
                                          .z = {TEXT("倍率", "factor"), true},
                                          .series = {{.table = "z", .x = "x", .y = "y", .z = "z"},
                                                     {.role = DLF_THEORY,
                                                      .table = "c",
                                                      .x = "x",
                                                      .y = "y",
                                                      .label = TEXT("临界线", "critical line")}}}));
}

/* Ticks with names, a gap at 2, and a row without a name. */
static inline void add_named(dlf_result *r)
{
    dlf_table *t;
    OK(dlf_result_table(r, "named", TEXT("庚", "named"),
                        (dlf_column[]){{"x", "1"},
                                       {"x_zh", NULL},
                                       {"x_en", NULL},
                                       {"y", "1"},
                                       {"y_zh", NULL},
                                       {"y_en", NULL},
                                       {"z", "1"},
                                       {NULL}},
                        &t));
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 3; j++)
            OK(dlf_table_row(t, DLF_NUM(i < 2 ? i : i + 1),
                             DLF_TXT(i == 0 ? "全部权重缩放" : "数据缩放"),
                             DLF_TXT(i == 0 ? "all weights scaled" : "data scaled"), DLF_NUM(j),
                             DLF_TXT(j == 1 ? "" : "批归一化"), DLF_TXT(j == 1 ? "" : "batch norm"),
                             DLF_NUM(i * j)));
    OK(dlf_result_figure(
        r, &(dlf_figure){.id = "named",
                         .kind = DLF_HEATMAP,
                         .title = TEXT("不变性", "Invariance"),
                         .x = {TEXT("变换", "transformation"), false},
                         .y = {TEXT("方法", "method"), false},
                         .z = {TEXT("变化", "change"), false},
                         .series = {{.table = "named", .x = "x", .y = "y", .z = "z"}}}));
}

static inline void add_bars(dlf_result *r)
{
    dlf_table *b;
    OK(dlf_result_table(
        r, "b", TEXT("己", "b"),
        (dlf_column[]){{"kernel", NULL}, {"ms", "ms"}, {"lo", "ms"}, {"hi", "ms"}, {NULL}}, &b));
    OK(dlf_table_row(b, DLF_TXT("层归一化"), DLF_NUM(1.5), DLF_NUM(1.4), DLF_NUM(1.7)));
    OK(dlf_table_row(b, DLF_TXT("group norm"), DLF_NUM(NAN), DLF_NUM(NAN), DLF_NUM(NAN)));
    OK(dlf_result_figure(r, &(dlf_figure){.id = "bars",
                                          .kind = DLF_BARS,
                                          .title = TEXT("更快", "Faster"),
                                          .y = {TEXT("时间（ms）", "time (ms)"), false},
                                          .series = {{.table = "b",
                                                      .x = "kernel",
                                                      .y = "ms",
                                                      .lo = "lo",
                                                      .hi = "hi",
                                                      .label = TEXT("本项目", "this")}}}));
}

static inline dlf_result *sample(void)
{
    dlf_result *r = empty_result();
    add_lines(r);
    add_heatmap(r);
    add_named(r);
    add_bars(r);
    return r;
}

static inline int start(void **state)
{
    (void)state;
    has_gnuplot = system("gnuplot --version >/dev/null 2>&1") == 0;
    return mkdtemp(root) ? 0 : -1;
}

static inline int end(void **state)
{
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return getenv("DLF_KEEP") ? 0 : system(command);
}

static inline void contains(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (!strstr(text, *words)) fail_msg("'%s' is not in the figure", *words);
}

#endif
