/* SPDX-License-Identifier: MIT
 * test_plot_odd.c -- figures: odd and hostile data, missing programs, terminals and scales. */
#include "plot_sample.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_chinese_font), /* first: no fonts looked up before the fork */
        cmocka_unit_test(test_titles_are_not_commands),
        cmocka_unit_test(test_odd_data),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_wrapping),
    };
    return cmocka_run_group_tests(tests, start, end);
}
