/* SPDX-License-Identifier: MIT
 * test_plot.c -- figures: same bytes, nothing dropped or clipped, odd data, missing programs. */
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

static char *slurp(const char *dir, const char *name, size_t *size)
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

static const char *in_root(const char *dir)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/%s", root, dir);
    return path;
}

/* ---- a result with one figure of each kind --------------------------------------------------- */

static dlf_result *empty_result(void)
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

static void add_lines(dlf_result *r)
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

static void add_heatmap(dlf_result *r)
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
static void add_named(dlf_result *r)
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

static void add_bars(dlf_result *r)
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

static dlf_result *sample(void)
{
    dlf_result *r = empty_result();
    add_lines(r);
    add_heatmap(r);
    add_named(r);
    add_bars(r);
    return r;
}

/* ---- files
 * ----------------------------------------------------------------------------------------- */

static void test_files_and_bytes(void **state)
{
    (void)state;
    if (!has_gnuplot) skip();
    static const char *const names[] = {"lines.zh.svg",    "lines.en.svg",   "lines.zh.png",
                                        "heat.en.svg",     "heat.zh.svg",    "bars.en.svg",
                                        "bars.zh.svg",     "heat.en.png",    "lines.points.csv",
                                        "heat.points.csv", "bars.points.csv"};
    dlf_result *r = sample(), *again;
    char *json, note[200] = "x";
    OK(dlf_result_to_json(r, &json));
    OK(dlf_result_from_json(&again, json, strlen(json), "again"));
    OK(dlf_plot(r, in_root("one"), (dlf_plot_options){.note = note, .note_size = sizeof note}));
    OK(dlf_plot(again, in_root("two"), (dlf_plot_options){0}));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t n, m;
        char *a = slurp("one", names[i], &n), *b = slurp("two", names[i], &m);
        assert_true(n > 100);
        assert_int_equal(n, m);
        assert_memory_equal(a, b, n);
        if (strstr(names[i], "png")) assert_memory_equal(a, "\x89PNG", 4);
        free(a);
        free(b);
    }
    if (plot_find_fonts()->has_zh) assert_string_equal(note, "");
    free(json);
    dlf_result_free(r);
    dlf_result_free(again);
}

static void contains(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (!strstr(text, *words)) fail_msg("'%s' is not in the figure", *words);
}

static int count(const char *text, const char *word)
{
    int n = 0;
    for (; (text = strstr(text, word)) != NULL; text += strlen(word)) n++;
    return n;
}

static void test_svg_says_what_it_should(void **state)
{
    (void)state;
    if (!has_gnuplot || !plot_find_fonts()->has_zh) skip();
    dlf_result *r = sample();
    OK(dlf_plot(r, in_root("svg"),
                (dlf_plot_options){.formats = DLF_PLOT_SVG, .keep_script = true}));
    char *zh = slurp("svg", "lines.zh.svg", NULL), *en = slurp("svg", "lines.en.svg", NULL);
    contains(zh, (const char *[]){
                     "<title>梯度每层缩小到约三成，二十层之后无法学习</title>",
                     "<desc>多层感知机，三个种子</desc>", ">梯度每层缩小到约三成", ">NaN<",
                     ">+Inf<", ">≤ 0<", "实测 / 理论", ">对照<", "自 18 起（2/3 个种子）",
                     "sample · git abc1234 · quick · 3 个种子", "$ dlf run Q7", "role=\"img\"",
                     "lang=\"zh-CN\"", "Microsoft YaHei", "stroke-dasharray", NULL});
    contains(en, (const char *[]){"<title>Gradients shrink to a third</title>", ">NaN<",
                                  "measured / theory", "2 of 3 seeds", "control: a label", NULL});
    assert_null(strstr(zh, ">gnuplot_plot"));
    assert_null(strstr(zh, ":Bold"));
    assert_null(strstr(zh, "Gradients"));
    char *heat = slurp("svg", "heat.en.svg", NULL), *bars = slurp("svg", "bars.zh.svg", NULL);
    contains(heat, (const char *[]){"<image ", "pixelated", "NaN (1)", "critical line", ">factor<",
                                    NULL});
    contains(bars, (const char *[]){">层归一化<", ">NaN<", ">1.5<", "本项目", NULL});
    char *named = slurp("svg", "named.en.svg", NULL), *gp = slurp("svg", "named.en.gp", NULL);
    contains(named, (const char *[]){">batch norm<", ">transformation<", ">method<", NULL});
    contains(gp, (const char *[]){"set xrange [-0.5:4.5]", "set yrange [-0.5:2.5]", "unset xtics",
                                  "unset ytics", NULL});
    assert_int_equal(count(gp, "'batch norm'"), 2);  /* the row without a name has none */
    assert_int_equal(count(gp, "'data scaled'"), 3); /* one line each */
    contains(gp,
             (const char *[]){"\n1 0 0.5 1.5", NULL}); /* the cell beside the gap keeps its width */
    free(named);
    free(gp);
    char *script = slurp("svg", "lines.zh.gp", NULL);
    /* Marks of the measured curve: in the key, 5 values on rails, 4 of them again as residuals. */
    assert_int_equal(count(script, "point pt 7 ps 0.8 "), 1 + 5 + 4);
    assert_int_equal(count(script, "point pt 7 ps 0.45 "), 2 * 3); /* of two seeds, three each */
    assert_int_equal(count(script, "lw 0.6 lc rgb '#80"), 1);      /* the seeds as thin lines */
    assert_int_equal(count(script, "with filledcurves"), 2 + 1);   /* bands, and of the residual */
    free(script);
    free(zh);
    free(en);
    free(heat);
    free(bars);
    dlf_result_free(r);
}

/* The number behind `key` at or behind *text. */
static double number_after(const char **text, const char *key)
{
    *text = strstr(*text, key);
    assert_non_null(*text);
    *text += strlen(key);
    return strtod(*text, NULL);
}

/* Every text of an SVG lies inside it, by the widths of the font it is laid out with. */
static void check_texts_inside(const char *svg, const char *name)
{
    const char *p = svg;
    const double w = number_after(&p, " width=\"");
    p = svg;
    const double h = number_after(&p, " height=\"");
    int texts = 0;
    for (p = svg; (p = strstr(p, "<g transform=\"translate(")) != NULL;) {
        const char *at = p;
        double x = number_after(&at, "translate(");
        const double y = number_after(&at, ",");
        const char *const end = strstr(p, "</g>");
        const bool turned = strstr(p, "rotate(") && strstr(p, "rotate(") < strstr(p, ">");
        const double size = number_after(&at, "font-size=\"");
        const char anchor = (at = strstr(p, "text-anchor=\""))[13];
        char text[600] = "";
        const char *q = strstr(p, "<text>"), *const last = q ? strstr(q, "</text>") : NULL;
        for (; q && q < last; q++) { /* without the tags */
            if (*q == '<')
                q += strcspn(q, ">");
            else if (strlen(text) < sizeof text - 1)
                strncat(text, q, 1);
        }
        const double length = plot_text_width(text, size) * 0.97; /* measured letters, kerned */
        const double start = anchor == 's' ? 0 : anchor == 'm' ? -length / 2 : -length;
        const bool inside = turned
                                ? y + start >= -3 && y - start <= h + 3 && x > 0 && x < w
                                : x + start >= -1 && x + start + length <= w + 1 && y > 8 && y < h;
        if (!inside) fail_msg("%s: '%s' at %g,%g sticks out of %g x %g", name, text, x, y, w, h);
        texts++;
        p = end;
    }
    assert_true(texts > 8);
}

static void test_no_text_is_clipped(void **state)
{
    (void)state;
    if (!has_gnuplot) skip();
    static const char *const names[] = {"lines.zh.svg", "lines.en.svg", "heat.zh.svg",
                                        "heat.en.svg",  "bars.zh.svg",  "bars.en.svg",
                                        "named.zh.svg", "named.en.svg"};
    const int widths[] = {360, 480, 720, 1200};
    dlf_result *r = sample();
    for (int k = 0; k < 4; k++) {
        OK(dlf_plot(r, in_root("clip"),
                    (dlf_plot_options){.formats = DLF_PLOT_SVG, .width = widths[k]}));
        for (int i = 0; i < 8; i++) {
            char *svg = slurp("clip", names[i], NULL);
            check_texts_inside(svg, names[i]);
            free(svg);
        }
    }
    dlf_result_free(r);
}

static void test_points_csv(void **state)
{
    (void)state;
    if (!has_gnuplot) skip();
    dlf_result *r = sample();
    OK(dlf_plot(r, in_root("csv"),
                (dlf_plot_options){.formats = DLF_PLOT_SVG, .languages = DLF_PLOT_EN}));
    char *csv = slurp("csv", "lines.points.csv", NULL);
    contains(csv, (const char *[]){"series,role,label_zh,label_en,group,x,y,lo,hi,z\r\n",
                                   "1,measured,\"实测\",\"measured\",0,20,NaN,NaN,NaN,\r\n",
                                   "1,measured,\"实测\",\"measured\",0,17,Infinity,",
                                   "0,seeds,\"\",\"\",2,20,", ",residual,", NULL});
    free(csv);
    csv = slurp("csv", "bars.points.csv", NULL);
    contains(csv, (const char *[]){",\"层归一化\",1.5,", ",\"group norm\",NaN,", NULL});
    free(csv);
    struct stat info;
    assert_int_not_equal(stat(in_root("csv/lines.zh.svg"), &info), 0); /* not asked for */
    assert_int_not_equal(stat(in_root("csv/lines.en.png"), &info), 0);
    dlf_result_free(r);
}

/* ---- hostile and odd data
 * ----------------------------------------------------------------------------- */

static void test_titles_are_not_commands(void **state)
{
    (void)state;
    if (!has_gnuplot) skip();
    char evil[2000];
    const char *const proof = in_root("proof");
    snprintf(evil, sizeof evil,
             "a'; system(\"touch %s\"); '`touch %s`\n!touch %s\nEOD\n@x %%s <&>\"", proof, proof,
             proof);
    dlf_result *r = empty_result();
    dlf_table *t;
    OK(dlf_result_set_manifest(r, &(dlf_manifest){.command = evil, .device = evil, .git = evil}));
    OK(dlf_result_table(r, "t", TEXT(evil, evil),
                        (dlf_column[]){{"name", NULL}, {"x", "1"}, {NULL}}, &t));
    OK(dlf_table_row(t, DLF_TXT(evil), DLF_NUM(1)));
    OK(dlf_table_row(t, DLF_TXT(evil), DLF_NUM(2)));
    const dlf_axis axis = {TEXT(evil, evil), false};
    dlf_figure f = {.id = "evil",
                    .title = TEXT(evil, evil),
                    .subtitle = TEXT(evil, evil),
                    .x = axis,
                    .y = axis,
                    .z = axis,
                    .series = {{.table = "t", .x = "x", .y = "x", .label = TEXT(evil, evil)}}};
    OK(dlf_result_figure(r, &f));
    f.id = "evil_bars", f.kind = DLF_BARS, f.series[0].x = "name";
    OK(dlf_result_figure(r, &f));
    OK(dlf_plot(r, in_root("evil"), (dlf_plot_options){.formats = DLF_PLOT_SVG}));
    struct stat info;
    assert_int_not_equal(stat(in_root("proof"), &info), 0);
    char *svg = slurp("evil", "evil.en.svg", NULL);
    contains(svg, (const char *[]){"<title>a'; system(\"touch ", "&lt;&amp;&gt;", NULL});
    free(svg);
    dlf_result_free(r);
}

/* One figure of `n` points (x,y) on axes as given; it must draw, and on the terminal too. */
static void draws(const double *x, const double *y, int n, dlf_figure_kind kind, bool log)
{
    dlf_result *r = empty_result();
    dlf_table *t;
    OK(dlf_result_table(r, "t", TEXT("t", "t"), (dlf_column[]){{"x", "1"}, {"y", "1"}, {NULL}},
                        &t));
    for (int i = 0; i < n; i++) OK(dlf_table_row(t, DLF_NUM(x[i]), DLF_NUM(y[i])));
    OK(dlf_result_figure(
        r,
        &(dlf_figure){
            .id = "f",
            .kind = kind,
            .title = TEXT("t", "t"),
            .residuals = true,
            .x = {.log = log},
            .y = {.log = log},
            .z = {.log = log},
            .series = {
                {.table = "t",
                 .x = "x",
                 .y = "y",
                 .lo = "x",
                 .hi = "y",
                 .z = kind == DLF_HEATMAP ? "y" : NULL,
                 .label = TEXT("m", "m")},
                {.role = DLF_THEORY, .table = "t", .x = "x", .y = "y", .label = TEXT("t", "t")},
                {.role = DLF_SEEDS, .table = "t", .x = "x", .y = "y", .by = "x"},
                {.role = DLF_REFERENCE, .table = "t", .x = "x", .y = "y", .label = TEXT("r", "r")},
                {.role = DLF_CONTROL,
                 .table = "t",
                 .x = "x",
                 .y = "y",
                 .colour = 1,
                 .points = true,
                 .lo = "y",
                 .hi = "y",
                 .label = TEXT("c", "c")}}}));
    if (has_gnuplot)
        OK(dlf_plot(r, in_root("odd"),
                    (dlf_plot_options){.formats = DLF_PLOT_SVG, .languages = DLF_PLOT_EN}));
    FILE *sink = fopen("/dev/null", "w");
    OK(dlf_plot_terminal(r, "f", "en", sink, 80, false));
    OK(dlf_plot_terminal(r, "f", "en", sink, 1, true));
    fclose(sink);
    dlf_result_free(r);
}

static void test_odd_data(void **state)
{
    (void)state;
    static const double nan2[] = {NAN, NAN}, inf[] = {INFINITY, -INFINITY}, same[] = {3, 3},
                        zero[] = {0, 0}, minus[] = {-1, -2}, huge[] = {-1.7e308, 1.7e308},
                        tiny[] = {5e-324, 1e-310}, wide[] = {1e-300, 1e299}, one[] = {1, 2},
                        uneven[] = {1, 2.5, 2.5, 7}, up[] = {1, 2, 3, 4};
    for (int kind = DLF_LINES; kind <= DLF_BARS; kind++) {
        for (int log = 0; log < 2; log++) {
            const dlf_figure_kind k = (dlf_figure_kind)kind;
            draws(one, one, 0, k, log);
            draws(one, one, 1, k, log);
            draws(one, nan2, 2, k, log);
            draws(nan2, nan2, 2, k, log);
            draws(inf, inf, 2, k, log);
            draws(one, same, 2, k, log);
            draws(same, same, 2, k, log);
            draws(one, zero, 2, k, log);
            draws(one, minus, 2, k, log);
            draws(one, tiny, 2, k, log);
            draws(one, wide, 2, k, log);
            if (!log) draws(huge, huge, 2, k, log); /* lo > hi would be refused */
            draws(uneven, up, 4, k, log);
        }
    }
}

static void test_many_series(void **state)
{
    (void)state;
    if (!has_gnuplot) skip();
    dlf_result *r = empty_result();
    dlf_table *t;
    OK(dlf_result_table(r, "t", TEXT("t", "t"), (dlf_column[]){{"x", "1"}, {"y", "1"}, {NULL}},
                        &t));
    OK(dlf_table_row(t, DLF_NUM(1), DLF_NUM(1)));
    OK(dlf_table_row(t, DLF_NUM(2), DLF_NUM(3)));
    dlf_figure f = {.id = "many", .title = TEXT("多", "Many")};
    for (int i = 0; i < DLF_FIGURE_SERIES_MAX; i++)
        f.series[i] =
            (dlf_series){.table = "t",
                         .x = "x",
                         .y = "y",
                         .colour = i,
                         .label = TEXT("一个比较长的名字", "a rather long name of a curve")};
    OK(dlf_result_figure(r, &f));
    for (int width = 400; width <= 800; width += 400) {
        OK(dlf_plot(r, in_root("many"),
                    (dlf_plot_options){.formats = DLF_PLOT_SVG, .width = width}));
        char *svg = slurp("many", "many.en.svg", NULL);
        check_texts_inside(svg, "many");
        free(svg);
    }
    dlf_result_free(r);
}

/* ---- errors and missing programs
 * ----------------------------------------------------------------------- */

static void test_errors(void **state)
{
    (void)state;
    dlf_result *r = sample();
    assert_int_equal(dlf_plot(r, in_root("e"), (dlf_plot_options){.width = 10}), DLF_ERR_ARG);
    assert_int_equal(dlf_plot(r, in_root("e"), (dlf_plot_options){.figure = "nope"}),
                     DLF_ERR_NOT_FOUND);
    assert_int_equal(dlf_plot(r, "/dev/null/x", (dlf_plot_options){0}), DLF_ERR_OUTPUT);
    assert_int_equal(dlf_plot_terminal(r, "nope", "en", stdout, 80, false), DLF_ERR_NOT_FOUND);
    char *old = strdup(getenv("PATH"));
    setenv("PATH", "/nonexistent", 1);
    plot_find_fonts();
    assert_int_equal(dlf_plot(r, in_root("none"), (dlf_plot_options){0}), DLF_ERR_NOT_FOUND);
    assert_non_null(strstr(dlf_error_message(), "apt-get install gnuplot-nox"));
    setenv("PATH", old, 1);
    struct stat info;
    assert_int_not_equal(stat(in_root("none/lines.points.csv"), &info), 0);
    free(old);
    dlf_result_free(r);
}

/* A process that finds gnuplot but no list of fonts: fonts are looked up once per process. */
static void test_without_chinese_font(void **state)
{
    (void)state;
    if (!has_gnuplot) skip();
    char link[300], command[700];
    snprintf(link, sizeof link, "%s/bin", root);
    snprintf(command, sizeof command, "mkdir -p %s && ln -s \"$(command -v gnuplot)\" %s/gnuplot",
             link, link);
    assert_int_equal(system(command), 0);
    const pid_t child = fork();
    if (child == 0) {
        char note[200] = "";
        dlf_result *r = sample();
        setenv("PATH", link, 1);
        const dlf_status status = dlf_plot(
            r, in_root("nofont"),
            (dlf_plot_options){.formats = DLF_PLOT_SVG, .note = note, .note_size = sizeof note});
        _exit(status == DLF_OK && strstr(note, "fonts-noto-cjk") ? 0 : 1);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    char *svg = slurp("nofont", "lines.zh.svg", NULL);
    contains(svg, (const char *[]){"Gradients shrink to a third", "measured / theory", NULL});
    assert_null(strstr(svg, "梯度"));
    free(svg);
}

/* ---- terminal and scales
 * ------------------------------------------------------------------------------------ */

static char *terminal(const dlf_result *r, const char *figure, const char *lang, int width,
                      bool ascii)
{
    char *text = NULL;
    size_t size;
    FILE *memory = open_memstream(&text, &size);
    OK(dlf_plot_terminal(r, figure, lang, memory, width, ascii));
    fclose(memory);
    return text;
}

static void test_terminal(void **state)
{
    (void)state;
    dlf_result *r = sample();
    char *text = terminal(r, "lines", "zh", 80, false);
    assert_memory_equal(text, "梯度每层", strlen("梯度每层")); /* the claim comes first */
    contains(text, (const char *[]){"NaN ┊", "+Inf ┊", "<= 0 ┊", "1e-4", "⠒", "b  实测  [实测]",
                                    "└", NULL});
    free(text);
    text = terminal(r, "lines", "en", 80, true);
    for (const char *p = text; *p; p++) assert_true((unsigned char)*p < 0x80);
    contains(text, (const char *[]){"NaN !", "1e-4", "+----", NULL});
    free(text);
    text = terminal(r, "heat", "en", 60, true);
    contains(text, (const char *[]){"Phases", "?", "@", "factor", NULL});
    free(text);
    text = terminal(r, "named", "zh", 60, false);
    contains(text, (const char *[]){"x   0 全部权重缩放  1 数据缩放", "y   0 批归一化  2 批归一化",
                                    NULL});
    free(text);
    text = terminal(r, "bars", "zh", 60, false);
    contains(text, (const char *[]){"层归一化", "█ 1.5 (1.4…1.7)", "│ NaN\n", NULL});
    free(text);
    dlf_result_free(r);
}

static void test_scales(void **state)
{
    (void)state;
    static const double ranges[][2] = {{0, 1},  {-3, 7},        {1e-9, 2e-9}, {1e6, 1.0001e6},
                                       {5, 5},  {1e-30, 1e30},  {0.2, 0.9},   {90, 110},
                                       {1, 20}, {1e-300, 1e300}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        for (int log = 0; log < 2; log++) {
            plot_scale s;
            plot_scale_start(&s, log);
            plot_scale_include(&s, ranges[i][0]);
            plot_scale_include(&s, ranges[i][1]);
            plot_scale_include(&s, NAN);
            plot_scale_finish(&s, 0.04, 6);
            int labels = 0;
            assert_true(s.lo < s.hi);
            for (int k = 0; k < s.n_ticks; k++) {
                labels += !s.tick[k].minor;
                assert_true(s.tick[k].minor || s.tick[k].text[0]);
                assert_true(plot_scale_unit(&s, s.tick[k].at) > -1e-6 &&
                            plot_scale_unit(&s, s.tick[k].at) < 1 + 1e-6);
            }
            if (labels < 2 || labels > 14) fail_msg("range %zu, log %d: %d labels", i, log, labels);
        }
    }
    plot_rail rail;
    const plot_scale log = {.log = true}, linear = {0};
    assert_true(plot_axis_value(&log, 100, &rail) == 2 && rail == PLOT_ON_AXIS);
    assert_true(isnan(plot_axis_value(&log, 0, &rail)) && rail == PLOT_NOT_POSITIVE);
    assert_true(isnan(plot_axis_value(&linear, NAN, &rail)) && rail == PLOT_NAN);
    assert_true(isnan(plot_axis_value(&linear, -INFINITY, &rail)) && rail == PLOT_NEG_INF);
}

static void test_wrapping(void **state)
{
    (void)state;
    char lines[3][PLOT_LINE];
    assert_int_equal(plot_wrap("", 10, 100, 3, lines), 0);
    assert_int_equal(plot_wrap("one two three", 10, 30, 3, lines), 3);
    assert_string_equal(lines[2], "three");
    assert_int_equal(plot_wrap("一二三四五六七八九十", 10, 55, 3, lines), 2);
    assert_string_equal(lines[0], "一二三四五");
    assert_int_equal(plot_wrap("一二三四五，六七", 10, 55, 3, lines), 2);
    assert_string_equal(lines[1], "五，六七"); /* no line begins with a comma */
    assert_int_equal(plot_wrap("a long text that needs more", 10, 50, 1, lines), 1);
    assert_true(plot_text_width(lines[0], 10) <= 50 && strstr(lines[0], "…"));
}

static int start(void **state)
{
    (void)state;
    has_gnuplot = system("gnuplot --version >/dev/null 2>&1") == 0;
    return mkdtemp(root) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return getenv("DLF_KEEP") ? 0 : system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_chinese_font), /* first: no fonts looked up before the fork */
        cmocka_unit_test(test_files_and_bytes),
        cmocka_unit_test(test_svg_says_what_it_should),
        cmocka_unit_test(test_no_text_is_clipped),
        cmocka_unit_test(test_points_csv),
        cmocka_unit_test(test_titles_are_not_commands),
        cmocka_unit_test(test_odd_data),
        cmocka_unit_test(test_many_series),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_wrapping),
    };
    return cmocka_run_group_tests(tests, start, end);
}
