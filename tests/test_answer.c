/* SPDX-License-Identifier: MIT
 * test_answer.c -- placeholders, refusals, and the rules for answer texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/embedded.h"
#include "report/answer.h"

#define OK(call)   assert_int_equal((call), DLF_OK)
#define TEXT(z, e) ((dlf_text){(z), (e)})

static dlf_result *sample(bool complete, const char *questions)
{
    dlf_result *r;
    OK(dlf_result_new(&r, "sample", questions, TEXT("题", "Title")));
    OK(dlf_result_set_manifest(r, &(dlf_manifest){.version = "0.1.0",
                                                  .git = "abc1234",
                                                  .command = "dlf run Q7 > x",
                                                  .mode = "full",
                                                  .device = "A <b> & `c` |d|",
                                                  .seeds = 16,
                                                  .seed = UINT64_MAX,
                                                  .backend = "cpu",
                                                  .started = "2026-01-02T03:04:05Z",
                                                  .seconds = 1.25,
                                                  .complete = complete}));
    OK(dlf_result_check(r, (dlf_check){.id = "rate",
                                       .claim = TEXT("增长率", "Growth | rate"),
                                       .measured = 0.05571,
                                       .lo = 0.05523,
                                       .hi = 0.05612,
                                       .n = 16,
                                       .expected = 0.056,
                                       .tolerance = 1,
                                       .source = "eq. 5, p < 1"}));
    OK(dlf_result_check(r, (dlf_check){.id = "exact",
                                       .claim = TEXT("恒等式", "Identity"),
                                       .measured = -2.5e-7,
                                       .lo = NAN,
                                       .hi = NAN,
                                       .expected = -1,
                                       .tolerance = 0.5,
                                       .relation = DLF_AT_MOST,
                                       .source = "s",
                                       .note = "why"}));
    OK(dlf_result_check(r, (dlf_check){.id = "blows_up",
                                       .claim = TEXT("发散", "It diverges"),
                                       .measured = -INFINITY,
                                       .lo = NAN,
                                       .hi = NAN,
                                       .n = 3,
                                       .relation = DLF_NOT_FINITE,
                                       .source = "s"}));
    OK(dlf_result_check(r, (dlf_check){.id = "few",
                                       .claim = TEXT("少", "Few"),
                                       .measured = NAN,
                                       .lo = NAN,
                                       .hi = NAN,
                                       .n = 2,
                                       .source = "s",
                                       .relation = DLF_AT_LEAST,
                                       .expected = 2}));
    OK(dlf_result_check(r, (dlf_check){.id = "def",
                                       .claim = TEXT("定义", "By definition"),
                                       .has_verdict = true,
                                       .verdict = DLF_DEFINITIONAL,
                                       .source = "s"}));
    OK(dlf_result_check(r, (dlf_check){.id = "near_one",
                                       .claim = TEXT("近一", "Near one"),
                                       .measured = 1.002,
                                       .lo = 0.996,
                                       .hi = 1.008,
                                       .n = 8,
                                       .expected = 1,
                                       .tolerance = 0.02,
                                       .relative = true,
                                       .source = "s"}));
    OK(dlf_result_fact(r, "decades", -12.3456, "decade"));
    OK(dlf_result_parameter(r, "depth", 50));
    OK(dlf_result_parameter_text(r, "activation", "tanh"));
    dlf_table *t;
    OK(dlf_result_table(r, "growth", TEXT("表", "T"),
                        (dlf_column[]){{"act", NULL}, {"depth", "1"}, {"y", "1"}, {NULL}}, &t));
    OK(dlf_table_row(t, DLF_TXT("tanh"), DLF_NUM(10), DLF_NUM(1.5)));
    OK(dlf_table_row(t, DLF_TXT("tanh"), DLF_NUM(0.1), DLF_NUM(2.5)));
    OK(dlf_table_row(t, DLF_TXT("relu"), DLF_NUM(10), DLF_NUM(3.5)));
    OK(dlf_result_figure(r,
                         &(dlf_figure){.id = "fig",
                                       .title = TEXT("图 [一]", "Figure"),
                                       .series = {{.table = "growth", .x = "depth", .y = "y"}}}));
    return r;
}

static void expect(const dlf_result *r, const char *lang, const char *template, const char *want)
{
    char *got = NULL;
    const dlf_status status =
        dlf_answer_fill(r, NULL, lang, "t.md", template, strlen(template), &got);
    if (status != DLF_OK) fail_msg("%s: %s", template, dlf_error_message());
    assert_string_equal(got, want);
    free(got);
}

static void test_placeholders(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"no placeholder { } {", "no placeholder { } {"},
        {"{{check:rate}}", "0.0557 (0.0552…0.0561)"},
        {"{{check:rate|%.4f}}.", "0.0557 (0.0552…0.0561)."},
        {"{{check:rate.measured|%.2e}}", "5.57×10⁻²"},
        {"{{check:rate.expected}} {{check:near_one}}", "0.0560 1.002 (0.996…1.008)"},
        {"{{check:rate.ci}} {{check:rate.n}}", "0.0552…0.0561 16"},
        {"{{check:rate.source}}", "eq. 5, p &lt; 1"},
        {"`{{check:rate.source}}`", "`eq. 5, p < 1`"},
        {"```\n{{check:rate.source}}\n```\n{{check:rate.source}}",
         "```\neq. 5, p < 1\n```\neq. 5, p &lt; 1"},
        {"{{check:rate.verdict}} {{check:few.verdict}}", "supported undecided"},
        {"{{check:rate.claim}} {{check:exact.note}}", "Growth \\| rate why"},
        {"{{check:exact}} {{check:exact.ci}}", "−2.5×10⁻⁷ —"},
        {"{{check:blows_up}} {{check:few}}", "−∞ NaN"},
        {"{{fact:decades|%.2f}} {{fact:decades|%+.0f}}", "−12.35 −12"},
        {"{{param:depth}} {{param:activation}}", "50 tanh"},
        {"{{table:growth.y[act=relu]}} {{table:growth.y[depth=0.10]|%.2f}}", "3.5 2.50"},
        {"{{table:growth.act[depth=10]}}", "tanh"},
        {"{{table:growth.y[act=tanh,depth=1e-1]}}", "2.5"},
        {"{{figure:fig}}", "![Figure](fig.en.svg)"},
        {"`{{manifest:command}}` {{manifest:device}}",
         "`dlf run Q7 > x` A &lt;b> &amp; 'c' \\|d\\|"},
        {"{{manifest:seeds}} {{manifest:seed}} {{manifest:date}} {{manifest:seconds}}",
         "16 18446744073709551615 2026-01-02 1.25"},
        {"{{manifest:git}} {{manifest:version}} {{manifest:mode}}", "abc1234 0.1.0 full"},
        {"{{param:depth}}\r\n{{param:depth}}", "50\r\n50"},
    };
    dlf_result *r = sample(true, "Q7");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect(r, "en", cases[i][0], cases[i][1]);
    expect(r, "zh", "{{check:rate.verdict}} {{check:blows_up.verdict}} {{check:def.verdict}}",
           "支持 支持 定义性");
    expect(r, "zh", "{{check:few.verdict}} {{check:exact.verdict}}", "未定 不支持");
    expect(r, "zh", "{{figure:fig}} {{check:rate.claim}}", "![图 \\[一\\]](fig.zh.svg) 增长率");
    dlf_result_free(r);
}

static void test_table_of_checks(void **state)
{
    (void)state;
    dlf_result *r = sample(true, "Q7");
    expect(
        r, "en", "{{checks}}\n",
        "| Claim | Measured (95 % interval) | Expected | Verdict | Source |\n"
        "|---|---|---|---|---|\n"
        "| Growth \\| rate | 0.0557 (0.0552…0.0561) | 0.0560 ± 1 | supported | eq. 5, p &lt; 1 |\n"
        "| Identity | −2.5×10⁻⁷ | ≤ −0.5 | refuted | s |\n"
        "| It diverges | −∞ | NaN or ∞ | supported | s |\n"
        "| Few | NaN | ≥ 2 | undecided | s |\n"
        "| By definition | — | — | definitional | s |\n"
        "| Near one | 1.002 (0.996…1.008) | 1.000 ± 2 % | supported | s |\n");
    dlf_result_free(r);
}

static void refuse(const char *template, const char *words)
{
    dlf_result *r = sample(true, "Q7");
    char *got = NULL, text[400];
    snprintf(text, sizeof text, "first line\n%s", template);
    assert_int_equal(dlf_answer_fill(r, NULL, "en", "t.md", text, strlen(text), &got),
                     DLF_ERR_INPUT);
    assert_null(got);
    assert_non_null(strstr(dlf_error_message(), "t.md, line 2"));
    if (!strstr(dlf_error_message(), words))
        fail_msg("'%s' lacks '%s'", dlf_error_message(), words);
    dlf_result_free(r);
}

static void test_unknown_placeholders_are_refused(void **state)
{
    (void)state;
    refuse("{{check:nope}}", "check:nope");
    refuse("{{check:rate.mean}}", "check:rate.mean");
    refuse("{{fact:nope}}", "no such fact");
    refuse("{{param:nope}}", "no such parameter");
    refuse("{{table:nope.y[act=relu]}}", "no such table");
    refuse("{{table:growth.nope[act=relu]}}", "no such column");
    refuse("{{table:growth.y[nope=relu]}}", "no column");
    refuse("{{table:growth.y[act=nope]}}", "no row");
    refuse("{{table:growth.y}}", "[KEY=VALUE]");
    refuse("{{table:growth.y[act=relu}}", "]");
    refuse("{{figure:nope}}", "no such figure");
    refuse("{{manifest:nope}}", "no such member");
    refuse("{{nope:rate}}", "no known kind");
    refuse("{{check}}", "no name");
    refuse("{{checks:all}}", "one too many");
    refuse("{{check:rate", "not closed");
    refuse("{{check:rate\n}}", "not closed");
    refuse("{{}}", "no known kind");
    refuse("{{check:rate|%s}}", "format");
    refuse("{{check:rate|%n}}", "format");
    refuse("{{check:rate|%.3g%n}}", "format");
    refuse("{{check:rate|%*.3g}}", "format");
    refuse("{{check:rate|%.999g}}", "format");
    refuse("{{/check:rate}}", "experiment");
    refuse("{{No_Slug/check:rate}}", "experiment");
    refuse("{{sample/check:nope}}", "no such check");
}

static dlf_result *other(const char *git, bool customised)
{
    dlf_result *r;
    OK(dlf_result_new(&r, "other", "Q7", TEXT("题", "Title")));
    OK(dlf_result_set_manifest(
        r, &(dlf_manifest){.git = git, .complete = true, .customised = customised}));
    OK(dlf_result_fact(r, "speed", 7.5, "1"));
    dlf_table *t;
    OK(dlf_result_table(r, "t", TEXT("表", "T"), (dlf_column[]){{"x", "1"}, {NULL}}, &t));
    OK(dlf_result_figure(r, &(dlf_figure){.id = "fig",
                                          .title = TEXT("别图", "Other"),
                                          .series = {{.table = "t", .x = "x", .y = "x"}}}));
    return r;
}

/* A placeholder with an experiment's name takes that experiment's number; what has not been run is
 * a gap, with a sentence below the title. */
static void test_several_experiments(void **state)
{
    (void)state;
    dlf_result *r = sample(true, "Q7"), *o = other("abc1234", false);
    const dlf_result *const others[] = {o, NULL};
    static const char template[] =
        "# T\n{{other/fact:speed}} {{sample/fact:decades|%.0f}} {{fact:decades|%.0f}} "
        "{{other/figure:fig}} {{sample/figure:fig}}\n";
    char *got = NULL;
    OK(dlf_answer_fill(r, others, "en", "t", template, strlen(template), &got));
    assert_string_equal(got,
                        "# T\n7.5 −12 −12 ![Other](../other/fig.en.svg) ![Figure](fig.en.svg)\n");
    free(got);
    OK(dlf_answer_fill(r, NULL, "en", "t", template, strlen(template), &got));
    assert_string_equal(got, "# T\n\n> Numbers shown as — have not been run; to fill them in: "
                             "`dlf run other`\n— −12 −12 — ![Figure](fig.en.svg)\n");
    free(got);
    /* The same text from the other's side. */
    const dlf_result *const back[] = {r, NULL};
    static const char mutual[] = "{{other/fact:speed}} {{sample/fact:decades|%.0f}}";
    OK(dlf_answer_fill(o, back, "en", "t", mutual, strlen(mutual), &got));
    assert_string_equal(got, "7.5 −12");
    free(got);
    /* What another version or other parameters lack is a gap; what the same version lacks is wrong.
     */
    static const char lacking[] = "{{other/fact:nope}}";
    assert_int_equal(dlf_answer_fill(r, others, "en", "t", lacking, strlen(lacking), &got),
                     DLF_ERR_INPUT);
    for (int i = 0; i < 2; i++) {
        dlf_result *old = other(i ? "0000000" : "abc1234", !i);
        const dlf_result *const older[] = {old, NULL};
        OK(dlf_answer_fill(r, older, "en", "t", lacking, strlen(lacking), &got));
        assert_string_equal(got, "—");
        free(got);
        dlf_result_free(old);
    }
    dlf_result_free(o);
    dlf_result_free(r);
}

static void test_experiments_of_a_text(void **state)
{
    (void)state;
    static const char text[] = "{{a-1/check:x}} {{check:y[k=a/b]}} {{b/checks}} {{a-1/fact:z}} "
                               "{{b/fact:u}} {{c/table:t.x[k=v]}}";
    static const char *const want[] = {"a-1", "b", "c"};
    char name[DLF_ANSWER_EXPERIMENT];
    int n = 0;
    for (const char *at = NULL; dlf_answer_experiment(text, &at, name); n++) {
        assert_true(n < 3);
        assert_string_equal(name, want[n]);
    }
    assert_int_equal(n, 3);
}

static void test_interrupted_results_have_gaps(void **state)
{
    (void)state;
    dlf_result *r = sample(false, "Q7");
    expect(r, "en",
           "{{check:nope}} {{fact:nope}} {{table:t.y[a=b]}} {{figure:nope}} {{param:depth}}",
           "— — — — 50");
    char *got;
    const char *typo = "{{manifest:nope}}"; /* a mistake of the text, not of the run */
    assert_int_equal(dlf_answer_fill(r, NULL, "en", "t", typo, strlen(typo), &got), DLF_ERR_INPUT);
    dlf_result_free(r);
}

static void test_languages_and_questions(void **state)
{
    (void)state;
    char *got;
    dlf_result *r = sample(true, "Q9999");
    assert_int_equal(dlf_answer_render(r, NULL, "en", &got), DLF_ERR_NOT_FOUND);
    assert_non_null(strstr(dlf_error_message(), "answers/q9999.en.md"));
    assert_int_equal(dlf_answer_render(r, NULL, "fr", &got), DLF_ERR_ARG);
    assert_int_equal(dlf_answer_write(r, "/dev/null/x", "en"), DLF_ERR_NOT_FOUND);
    dlf_result_free(r);
    r = sample(true, "");
    OK(dlf_answer_render(r, NULL, "zh", &got));
    assert_string_equal(got, "");
    free(got);
    assert_int_equal(dlf_answer_write(r, "/dev/null/x", "en"), DLF_ERR_OUTPUT);
    dlf_result_free(r);
}

/* A run of the user's own parameters: its text may have gaps. */
static dlf_result *run_of(const char *experiment)
{
    dlf_result *r;
    OK(dlf_result_new(&r, experiment, "Q33", TEXT("题", "Title")));
    OK(dlf_result_set_manifest(r, &(dlf_manifest){.version = "0",
                                                  .git = "abc",
                                                  .command = "x",
                                                  .started = "2026-01-02T03:04:05Z",
                                                  .build = "b",
                                                  .backend = "cpu",
                                                  .device = "d",
                                                  .device_detail = "e",
                                                  .mode = "quick",
                                                  .complete = true,
                                                  .customised = true}));
    return r;
}

static bool file_has(const char *root, const char *name, const char *words)
{
    char path[200], text[4096];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *f = fopen(path, "r");
    if (!f) return false;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return strstr(text, words) != NULL;
}

/* The second run of a question fills the gaps that the first one left in its text. */
static void test_runs_beside_each_other(void **state)
{
    (void)state;
    char root[] = "/tmp/dlf-answer-XXXXXX", first[100], second[100];
    assert_non_null(mkdtemp(root));
    snprintf(first, sizeof first, "%s/norm-axes", root);
    snprintf(second, sizeof second, "%s/norm-cost", root);
    dlf_result *axes = run_of("norm-axes"), *cost = run_of("norm-cost");
    OK(dlf_result_store(axes, first));
    OK(dlf_answer_write(axes, first, "en"));
    assert_true(file_has(root, "norm-axes/answer.en.md", " norm-cost"));
    assert_false(file_has(root, "norm-axes/answer.en.md", "dlf run norm-axes"));
    OK(dlf_result_store(cost, second));
    OK(dlf_answer_write(cost, second, "en"));
    assert_true(file_has(root, "norm-axes/answer.en.md", "dlf run norm-equilibrium"));
    assert_false(file_has(root, "norm-axes/answer.en.md", " norm-cost"));
    assert_false(file_has(root, "norm-cost/answer.en.md", " norm-axes"));
    OK(dlf_answer_write(cost, second, "zh")); /* only what is there is written again */
    assert_true(file_has(root, "norm-cost/answer.zh.md", "Normalization"));
    assert_false(file_has(root, "norm-axes/answer.zh.md", "Normalization"));
    /* A neighbour that cannot be read is one that has not been run. */
    char damaged[150];
    snprintf(damaged, sizeof damaged, "%s/result.json", first);
    FILE *f = fopen(damaged, "w");
    assert_non_null(f);
    fputs("{", f);
    fclose(f);
    OK(dlf_answer_write(cost, second, "en"));
    assert_true(file_has(root, "norm-cost/answer.en.md", " norm-axes"));
    dlf_result_free(axes);
    dlf_result_free(cost);
    static const char *const files[] = {
        "norm-axes/result.json",  "norm-axes/answer.en.md", "norm-axes", "norm-cost/result.json",
        "norm-cost/answer.en.md", "norm-cost/answer.zh.md", "norm-cost"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[200];
        snprintf(path, sizeof path, "%s/%s", root, files[i]);
        assert_int_equal(remove(path), 0);
    }
    assert_int_equal(remove(root), 0);
}

static void test_lint(void **state)
{
    (void)state;
    static const char *const good[] = {
        "",
        "text\n",
        "Q7 and Q12",
        "`x = 3`",
        "$x = 3$ and $$\n3\n$$\n",
        "```\n3\n```\n",
        "1. first\n2) second\n",
        "## 3. heading",
        "ResNet-50, L2, conv2d, float32, H100",
        "1×1 and 3x3 convolutions",
        "[paper](https://arxiv.org/abs/1611.01232)",
        "# 文献\n- Schoenholz 2017\n  - sub 3\n",
        "## Literature\n- He 2015, 1502.01852\n",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (dlf_answer_lint(good[i], "good", "en") != DLF_OK) fail_msg("%s", dlf_error_message());
    }
    static const struct {
        const char *text, *where;
    } bad[] = {
        {"{{check:a}} 95 %", "line 1"},
        {"a\nb 0.236\n", "line 2"},
        {"约 4 倍", "line 1"},
        {"约４倍", "line 1"},
        {"# Literature\n- ok 2017\n# Next\n- bad 2017", "line 4"},
        {"# Literature\nnot a list 2017", "line 2"},
        {"1×3", "line 1"},
        {"`a` 3 `b`", "line 1"},
        {"$a$ 3", "line 1"},
        {"{{chek:a}}", "line 1"},
        {"{{check:a", "line 1"},
        {"{{check:a|%d}}", "line 1"},
        {"```\n", "not closed"},
        {"$$\nx", "not closed"},
        {"`open 3", "line 1"},
        {"1.5 is no list", "line 1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (dlf_answer_lint(bad[i].text, "bad", "zh") != DLF_ERR_INPUT)
            fail_msg("passed: %s", bad[i].text);
        assert_non_null(strstr(dlf_error_message(), bad[i].where));
    }
}

static void test_parity(void **state)
{
    (void)state;
    OK(dlf_answer_parity("{{check:a}} {{fact:b|%.2f}} {{check:a}}", "{{fact:b|%.2f}} {{check:a}}",
                         "q"));
    assert_int_equal(dlf_answer_parity("{{check:a}}", "", "q"), DLF_ERR_INPUT);
    assert_non_null(strstr(dlf_error_message(), "English text lacks {{check:a}}"));
    assert_int_equal(dlf_answer_parity("{{fact:b}}", "{{fact:b|%.2f}}", "q"), DLF_ERR_INPUT);
    assert_int_equal(dlf_answer_parity("", "{{check:a}}", "q"), DLF_ERR_INPUT);
    assert_non_null(strstr(dlf_error_message(), "Chinese text lacks"));
    assert_int_equal(dlf_answer_parity("{{check:a", "{{check:a}}", "q"), DLF_ERR_INPUT);
}

/* Every text that travels in the binary keeps the rules. */
static void test_shipped_answers(void **state)
{
    (void)state;
    for (const dlf_embedded_file *f = dlf_embedded_files; f->name; f++) {
        const char *end = strstr(f->name, ".zh.md");
        if (strncmp(f->name, "answers/q", 9) || !end) continue;
        char name[100];
        snprintf(name, sizeof name, "%.*s.en.md", (int)(end - f->name), f->name);
        const char *zh = (const char *)f->begin;
        const char *en = (const char *)dlf_embedded_find(name, NULL);
        if (!en) fail_msg("%s is missing", name);
        if (dlf_answer_lint(zh, f->name, "zh") != DLF_OK ||
            dlf_answer_lint(en, name, "en") != DLF_OK ||
            dlf_answer_parity(zh, en, f->name) != DLF_OK)
            fail_msg("%s", dlf_error_message());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placeholders),
        cmocka_unit_test(test_table_of_checks),
        cmocka_unit_test(test_unknown_placeholders_are_refused),
        cmocka_unit_test(test_interrupted_results_have_gaps),
        cmocka_unit_test(test_several_experiments),
        cmocka_unit_test(test_experiments_of_a_text),
        cmocka_unit_test(test_languages_and_questions),
        cmocka_unit_test(test_runs_beside_each_other),
        cmocka_unit_test(test_lint),
        cmocka_unit_test(test_parity),
        cmocka_unit_test(test_shipped_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
