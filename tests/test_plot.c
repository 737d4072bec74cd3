/* SPDX-License-Identifier: MIT
 * test_plot.c -- figures: same bytes, nothing dropped or clipped. */
#include "plot_sample.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_and_bytes),    cmocka_unit_test(test_svg_says_what_it_should),
        cmocka_unit_test(test_no_text_is_clipped), cmocka_unit_test(test_points_csv),
        cmocka_unit_test(test_many_series),
    };
    return cmocka_run_group_tests(tests, start, end);
}
