/* SPDX-License-Identifier: MIT
 * test_result.c -- building results, verdicts, JSON; hostile documents. */
#include "result_sample.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "result/utf8.h"

/* ---- building -------------------------------------------------------------------------------- */

static void test_building_refuses_nonsense(void **state)
{
    (void)state;
    dlf_result *r;
    dlf_table *t;
    assert_int_equal(dlf_result_new(&r, "Bad Name", "Q7", TEXT("a", "b")), DLF_ERR_ARG);
    assert_null(r);
    assert_int_equal(dlf_result_new(&r, "-x", "Q7", TEXT("a", "b")), DLF_ERR_ARG);
    OK(dlf_result_new(&r, "depth-vs-width", "Q16,Q34", TEXT("a", "b"))); /* names may have '-' */
    dlf_result_free(r);
    assert_int_equal(dlf_result_new(&r, "x", "Q7;Q8", TEXT("a", "b")), DLF_ERR_ARG);
    assert_int_equal(dlf_result_new(&r, "x", "Q7", TEXT("", "b")), DLF_ERR_ARG);
    r = new_result();
    add_everything(r);
    const dlf_column x[] = {{"x", "1"}, {NULL}}, twice[] = {{"x", "1"}, {"x", "1"}, {NULL}};
    assert_int_equal(dlf_result_table(r, "growth", TEXT("a", "b"), x, &t), DLF_ERR_ARG);
    assert_int_equal(dlf_result_table(r, "twice", TEXT("a", "b"), twice, &t), DLF_ERR_ARG);
    assert_int_equal(dlf_result_table(r, "none", TEXT("a", "b"), x + 1, &t), DLF_ERR_ARG);
    OK(dlf_result_table(r, "ok", TEXT("a", "b"), x, &t));
    assert_int_equal(dlf_table_row(t, DLF_TXT("text")), DLF_ERR_ARG);
    assert_int_equal(dlf_table_row(t, DLF_NUM(1), DLF_NUM(2)), DLF_ERR_ARG);
    assert_int_equal(dlf_table_rows(t), 0);
    assert_int_equal(dlf_result_parameter(r, "depth", 1), DLF_ERR_ARG);
    assert_int_equal(dlf_result_parameter(r, "other", NAN), DLF_ERR_ARG);
    assert_int_equal(dlf_result_fact(r, "decades", 1, "1"), DLF_ERR_ARG);
    const dlf_check good = {.id = "new", .claim = TEXT("a", "b"), .source = "s"};
    dlf_check bad = good;
    bad.id = "rate";
    assert_int_equal(dlf_result_check(r, bad), DLF_ERR_ARG);
    bad = good, bad.claim.zh = NULL;
    assert_int_equal(dlf_result_check(r, bad), DLF_ERR_ARG);
    bad = good, bad.source = NULL;
    assert_int_equal(dlf_result_check(r, bad), DLF_ERR_ARG);
    bad = good, bad.tolerance = -1;
    assert_int_equal(dlf_result_check(r, bad), DLF_ERR_ARG);
    dlf_figure f = *dlf_result_get_figure(r, 0);
    assert_int_equal(dlf_result_figure(r, &f), DLF_ERR_ARG);
    f.id = "second";
    f.series[0].y = "no_such_column";
    assert_int_equal(dlf_result_figure(r, &f), DLF_ERR_ARG);
    assert_non_null(strstr(dlf_error_message(), "no_such_column"));
    f = *dlf_result_get_figure(r, 0), f.id = "second", f.series[0].table = "no_such_table";
    assert_int_equal(dlf_result_figure(r, &f), DLF_ERR_ARG);
    f = *dlf_result_get_figure(r, 0), f.id = "second", f.series[0].y = "activation";
    assert_int_equal(dlf_result_figure(r, &f), DLF_ERR_ARG);
    f = *dlf_result_get_figure(r, 0), f.id = "second", f.series[1].by = NULL;
    assert_int_equal(dlf_result_figure(r, &f), DLF_ERR_ARG);
    assert_int_equal(dlf_result_figures(r), 1);
    dlf_result_free(r);
    dlf_result_free(NULL);
}

static void test_bytes_that_are_no_utf8_are_replaced(void **state)
{
    (void)state;
    dlf_result *r = new_result();
    OK(dlf_result_set_manifest(r, &(dlf_manifest){.command = "a\xFF\xC0\x80z\xE4\xB8"}));
    assert_string_equal(dlf_result_manifest(r)->command, "a\uFFFD\uFFFD\uFFFDz\uFFFD\uFFFD");
    free(to_json(r));
    dlf_result_free(r);
    uint32_t c;
    assert_int_equal(dlf_utf8_decode("\xED\xA0\x80", &c), -1);     /* surrogate */
    assert_int_equal(dlf_utf8_decode("\xF4\x90\x80\x80", &c), -1); /* beyond U+10FFFF */
    assert_int_equal(dlf_utf8_string_columns("a中e\xCC\x81"), 4);
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static dlf_verdict verdict(dlf_check c, bool *self_checks_hold)
{
    dlf_result *r = new_result();
    c.id = "c";
    c.claim = TEXT("甲", "A");
    c.source = "s";
    if (!c.lo && !c.hi) c.lo = c.hi = NAN;
    OK(dlf_result_check(r, c));
    const dlf_verdict v = dlf_result_find_check(r, "c")->verdict;
    if (self_checks_hold) *self_checks_hold = dlf_result_self_checks_hold(r);
    dlf_result_free(r);
    return v;
}

static void test_verdicts(void **state)
{
    (void)state;
    static const struct {
        dlf_relation relation;
        double measured, expected, tolerance;
        bool relative;
        dlf_verdict verdict;
    } cases[] = {
        {DLF_EQUAL, 1.5, 1, 0.5, false, DLF_SUPPORTED},
        {DLF_EQUAL, 1.51, 1, 0.5, false, DLF_REFUTED},
        {DLF_EQUAL, -1.5, -1, 0.5, false, DLF_SUPPORTED},
        {DLF_EQUAL, -110, -100, 0.1, true, DLF_SUPPORTED},
        {DLF_EQUAL, -111, -100, 0.1, true, DLF_REFUTED},
        {DLF_EQUAL, NAN, 1, INFINITY, false, DLF_REFUTED},
        {DLF_EQUAL, 1, NAN, INFINITY, false, DLF_REFUTED},
        {DLF_EQUAL, 1, 1, NAN, false, DLF_REFUTED},
        {DLF_EQUAL, INFINITY, 1, 0.5, false, DLF_REFUTED},
        {DLF_AT_MOST, 1.5, 1, 0.5, false, DLF_SUPPORTED},
        {DLF_AT_MOST, -9, 1, 0.5, false, DLF_SUPPORTED},
        {DLF_AT_MOST, 1.51, 1, 0.5, false, DLF_REFUTED},
        {DLF_AT_MOST, NAN, 1, 0.5, false, DLF_REFUTED},
        {DLF_AT_MOST, 10.9, 10, 0.1, true, DLF_SUPPORTED},
        {DLF_AT_LEAST, 0.5, 1, 0.5, false, DLF_SUPPORTED},
        {DLF_AT_LEAST, 0.49, 1, 0.5, false, DLF_REFUTED},
        {DLF_AT_LEAST, INFINITY, 1, 0, false, DLF_SUPPORTED},
        {DLF_AT_LEAST, NAN, 1, 0.5, false, DLF_REFUTED},
        {DLF_AT_LEAST, 8.9, 10, 0.1, true, DLF_REFUTED},
        {DLF_NOT_FINITE, NAN, 0, 0, false, DLF_SUPPORTED},
        {DLF_NOT_FINITE, -INFINITY, NAN, NAN, false, DLF_SUPPORTED},
        {DLF_NOT_FINITE, 1, 0, 0, false, DLF_REFUTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dlf_check c = {.measured = cases[i].measured,
                       .expected = cases[i].expected,
                       .tolerance = cases[i].tolerance,
                       .relative = cases[i].relative,
                       .relation = cases[i].relation};
        for (int n = 0; n <= 3; n++) {
            bool hold;
            c.n = n;
            c.self_check = false;
            assert_int_equal(verdict(c, &hold),
                             n == 1 || n == 2 ? DLF_UNDECIDED : cases[i].verdict);
            assert_true(hold); /* no self-check, nothing to fail */
            c.self_check = true;
            assert_int_equal(verdict(c, &hold), cases[i].verdict);
            assert_int_equal(hold, cases[i].verdict == DLF_SUPPORTED);
        }
    }
}

static void test_verdicts_of_experiments(void **state)
{
    (void)state;
    const dlf_verdict all[] = {DLF_SUPPORTED, DLF_REFUTED, DLF_DEPENDS, DLF_UNDECIDED};
    for (int i = 0; i < 4; i++) {
        const dlf_check c = {.has_verdict = true, .verdict = all[i], .measured = NAN, .n = 16};
        assert_int_equal(verdict(c, NULL), all[i]);
        dlf_check few = c;
        few.n = 2;
        assert_int_equal(verdict(few, NULL), DLF_UNDECIDED);
    }
    assert_int_equal(
        verdict((dlf_check){.has_verdict = true, .verdict = DLF_DEFINITIONAL, .n = 1}, NULL),
        DLF_DEFINITIONAL);
    assert_string_equal(dlf_verdict_name(DLF_UNDECIDED), "undecided");
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static uint64_t bits(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return isnan(x) ? 1 : u;
}

static void test_json_round_trip(void **state)
{
    (void)state;
    dlf_result *r = new_result(), *back;
    add_everything(r);
    char *json = to_json(r), *again;
    OK(dlf_result_from_json(&back, json, strlen(json), "round trip"));
    again = to_json(back);
    assert_string_equal(json, again);
    const dlf_table *t = dlf_result_find_table(back, "growth");
    assert_int_equal(dlf_table_rows(t), N_EXTREMES);
    for (int i = 0; i < N_EXTREMES; i++) {
        assert_true(bits(dlf_table_cell(t, i, 1).number) == bits(extremes[i]));
        assert_string_equal(dlf_table_cell(t, i, 0).text, i % 2 ? "tanh" : "a,\"b\"\n中");
    }
    const dlf_manifest *m = dlf_result_manifest(back);
    assert_true(m->seed == UINT64_MAX);
    assert_string_equal(m->command, "dlf run \"Q7\" \\ \t\x01");
    assert_string_equal(m->device, "中文 CPU \xF0\x9F\x98\x80");
    assert_true(m->complete && m->customised && m->seeds == 16 && m->threads == 2 &&
                m->seconds == 1.25);
    assert_string_equal(dlf_result_questions(back), "Q7,Q8");
    assert_true(dlf_result_find_parameter(back, "sigma_w") == 1.05);
    assert_string_equal(dlf_result_find_parameter_text(back, "activation"), "NaN");
    double lost;
    assert_true(dlf_result_find_fact(back, "lost", &lost) && isnan(lost));
    const dlf_check *c = dlf_result_find_check(back, "rate");
    assert_true(c->lo == 0.2355 && c->hi == 0.2367 && c->verdict == DLF_SUPPORTED);
    assert_string_equal(c->note, "why");
    assert_null(dlf_result_find_check(back, "decided")->note);
    const dlf_figure *f = dlf_result_get_figure(back, 0);
    assert_true(f->residuals && f->y.log && f->series[0].points && f->series[0].colour == 2);
    assert_string_equal(f->series[0].equals, "tanh");
    assert_string_equal(f->series[1].by, "activation");
    assert_null(f->series[2].table);
    free(json);
    free(again);
    dlf_result_free(r);
    dlf_result_free(back);
}

/* The members that docs/result-schema.md promises, and their types. */
static void test_json_has_every_documented_member(void **state)
{
    (void)state;
    static const struct {
        const char *path,
            *types; /* s string, i integer, n number, b bool, o object, a array, 0 null */
    } members[] = {
        {"schema", "s"},
        {"experiment", "s"},
        {"questions", "a"},
        {"questions.0", "s"},
        {"title.zh", "s"},
        {"title.en", "s"},
        {"manifest.version", "s"},
        {"manifest.git", "s"},
        {"manifest.command", "s"},
        {"manifest.seed", "is"},
        {"manifest.seeds", "i"},
        {"manifest.mode", "s"},
        {"manifest.complete", "b"},
        {"manifest.customised", "b"},
        {"manifest.started", "s"},
        {"manifest.seconds", "n"},
        {"manifest.build", "s"},
        {"manifest.device.backend", "s"},
        {"manifest.device.name", "s"},
        {"manifest.device.detail", "s"},
        {"manifest.device.threads", "i"},
        {"parameters.depth", "i"},
        {"parameters.activation", "s"},
        {"facts.decades.value", "n"},
        {"facts.decades.unit", "s"},
        {"facts.lost.value", "s"},
        {"checks.0.id", "s"},
        {"checks.0.claim.zh", "s"},
        {"checks.0.measured", "n"},
        {"checks.0.ci95", "a"},
        {"checks.1.ci95", "0"},
        {"checks.0.n", "i"},
        {"checks.0.relation", "s"},
        {"checks.0.expected", "n"},
        {"checks.0.tolerance", "n"},
        {"checks.0.relative", "b"},
        {"checks.0.source", "s"},
        {"checks.0.self_check", "b"},
        {"checks.0.decided_by", "s"},
        {"checks.0.verdict", "s"},
        {"checks.0.note", "s"},
        {"checks.1.note", "0"},
        {"tables.growth.title.en", "s"},
        {"tables.growth.columns.0.name", "s"},
        {"tables.growth.columns.0.unit", "0"},
        {"tables.growth.columns.1.unit", "s"},
        {"tables.growth.rows.0.0", "s"},
        {"tables.growth.rows.0.1", "n"},
        {"tables.growth.rows.10.1", "s"},
        {"tables.empty.rows", "a"},
        {"figures.0.id", "s"},
        {"figures.0.kind", "s"},
        {"figures.0.title.zh", "s"},
        {"figures.0.subtitle.zh", "s"},
        {"figures.0.x.label.zh", "s"},
        {"figures.0.x.log", "b"},
        {"figures.0.y.log", "b"},
        {"figures.0.z.log", "b"},
        {"figures.0.residuals", "b"},
        {"figures.0.series.0.role", "s"},
        {"figures.0.series.0.table", "s"},
        {"figures.0.series.0.where.column", "s"},
        {"figures.0.series.0.where.equals", "s"},
        {"figures.0.series.1.where", "0"},
        {"figures.0.series.0.x", "s"},
        {"figures.0.series.0.y", "s"},
        {"figures.0.series.0.lo", "s"},
        {"figures.0.series.1.lo", "0"},
        {"figures.0.series.0.hi", "s"},
        {"figures.0.series.0.z", "0"},
        {"figures.0.series.1.by", "s"},
        {"figures.0.series.0.label.zh", "s"},
        {"figures.0.series.0.colour", "i"},
        {"figures.0.series.0.points", "b"},
    };
    dlf_result *r = new_result();
    add_everything(r);
    char *json = to_json(r);
    json_t *document = json_loads(json, 0, NULL);
    assert_non_null(document);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        char path[100], *save = NULL;
        snprintf(path, sizeof path, "%s", members[i].path);
        const json_t *v = document;
        for (char *key = strtok_r(path, ".", &save); key; key = strtok_r(NULL, ".", &save))
            v = json_is_array(v) ? json_array_get(v, (size_t)atoi(key)) : json_object_get(v, key);
        const char type = !v                   ? '?'
                          : json_is_string(v)  ? 's'
                          : json_is_integer(v) ? 'i'
                          : json_is_real(v)    ? 'n'
                          : json_is_boolean(v) ? 'b'
                          : json_is_object(v)  ? 'o'
                          : json_is_array(v)   ? 'a'
                                               : '0';
        const bool ok =
            strchr(members[i].types, type) || (type == 'i' && strchr(members[i].types, 'n'));
        if (!ok) fail_msg("%s has type %c, not %s", members[i].path, type, members[i].types);
    }
    assert_non_null(strstr(json, "\n    [\"tanh\", \"Infinity\", 11],\n")); /* a row, a line */
    json_decref(document);
    free(json);
    dlf_result_free(r);
}

static dlf_status read_text(const char *text, size_t size)
{
    dlf_result *r = NULL;
    const dlf_status status = dlf_result_from_json(&r, text, size, "hostile");
    assert_true((status == DLF_OK) == (r != NULL));
    if (status != DLF_OK) {
        assert_int_equal(status, DLF_ERR_INPUT);
        assert_non_null(strstr(dlf_error_message(), "hostile"));
    } else {
        char *json = to_json(r); /* whatever was accepted can be written */
        free(json);
    }
    dlf_result_free(r);
    return status;
}

static void test_json_survives_mutations(void **state)
{
    (void)state;
    static const char bytes[] = {0,   '"', '{',  ']',        ',',        '9',
                                 '-', 'N', '\\', (char)0xFF, (char)0xC3, ' '};
    dlf_result *r = new_result();
    add_everything(r);
    char *json = to_json(r);
    const size_t size = strlen(json);
    assert_int_equal(read_text(json, size), DLF_OK);
    for (size_t n = 0; n + 1 < size; n++) { /* without the newline at the end it is complete */
        char *part = malloc(n ? n : 1);     /* exactly n bytes, so that ASan sees a read beyond */
        memcpy(part, json, n);
        assert_int_equal(read_text(part, n), DLF_ERR_INPUT);
        free(part);
    }
    int accepted = 0;
    for (size_t i = 0; i < size; i++) {
        const char old = json[i];
        for (size_t b = 0; b < sizeof bytes; b++) {
            json[i] = bytes[b];
            accepted += read_text(json, size) == DLF_OK;
        }
        json[i] = old;
    }
    assert_true(accepted > 0); /* a letter in a title may change */
    free(json);
    dlf_result_free(r);
}

/* Replace the first `from` by `to`, read, and look for `words` in the message. */
static void refuse(const char *json, const char *from, const char *to, const char *words)
{
    const char *place = strstr(json, from);
    assert_non_null(place);
    const size_t size = strlen(json) + strlen(to) + 1;
    char *changed = malloc(size);
    snprintf(changed, size, "%.*s%s%s", (int)(place - json), json, to, place + strlen(from));
    dlf_result *r;
    assert_int_equal(dlf_result_from_json(&r, changed, strlen(changed), "f.json"), DLF_ERR_INPUT);
    assert_null(r);
    if (!strstr(dlf_error_message(), words))
        fail_msg("message '%s' lacks '%s'", dlf_error_message(), words);
    free(changed);
}

static void test_json_errors_name_file_and_path(void **state)
{
    (void)state;
    dlf_result *r = new_result();
    add_everything(r);
    char *json = to_json(r);
    refuse(json, "dlf.result/1", "dlf.result/2", "f.json: schema");
    refuse(json, "\"seeds\": 16", "\"seeds\": \"16\"",
           "f.json: manifest.seeds: must be an integer");
    refuse(json, "\"seeds\": 16", "\"seeds\": 99999999999", "manifest.seeds");
    refuse(json, "\"seeds\": 16", "\"other\": 16", "manifest.seeds: missing");
    refuse(json, "\"threads\": 2", "\"threads\": -2", "manifest.device.threads");
    refuse(json, "0.23549999999999999", "1e999", "overflow");
    refuse(json, "0.23549999999999999", "null", "checks[0].ci95");
    refuse(json, "\"value\": \"NaN\"", "\"value\": null", "facts.lost.value: must be a number");
    dlf_result_free(r);
    free(json);
}

static void test_json_refuses(void **state)
{
    (void)state;
    dlf_result *r = new_result();
    add_everything(r);
    char *json = to_json(r);
    refuse(json, "\"verdict\": \"supported\"", "\"verdict\": \"refuted\"", "does not follow");
    refuse(json, "\"verdict\": \"supported\"", "\"verdict\": \"maybe\"", "checks[0].verdict");
    refuse(json, "\"relation\": \"equal\"", "\"relation\": \"equals\"", "checks[0].relation");
    refuse(json, "\"relation\"", "\"n\": 1, \"relation\"", "duplicate");
    refuse(json, "[\"tanh\", ", "[", "tables.growth.rows[1]: must be an array with one cell");
    refuse(json, "[\"tanh\", ", "[1, ", "tables.growth.rows[1][0]: must be a string");
    refuse(json, "[\"tanh\", ", "[\"tanh\", \"nan\", ", "tables.growth.rows[1]");
    refuse(json, "\"Infinity\"", "\"infinity\"", "tables.growth.rows[11][1]: must be a number");
    refuse(json, "\"kind\": \"lines\"", "\"kind\": \"pie\"", "figures[0].kind");
    refuse(json, "\"x\": \"x\"", "\"x\": \"zz\"", "figures[0]: figure fig, series 0");
    refuse(json, "\"empty\": {", "\"growth\": {", "duplicate");
    refuse(json, "\"empty\": {", "\"../evil\": {", "tables.../evil");
    refuse(json, "\"Q7\"", "\"Q7,Q9\"", "questions[0]");
    refuse(json, "Growth", "\\u0000", "f.json");
    refuse(json, "Growth", "\xC0\x80", "f.json");
    refuse(json, "Growth", "", "both languages");
    free(json);
    dlf_result_free(r);
    static char deep[200000];
    memset(deep, '[', sizeof deep);
    assert_int_equal(read_text(deep, sizeof deep), DLF_ERR_INPUT);
    assert_int_equal(read_text("", 0), DLF_ERR_INPUT);
    assert_int_equal(read_text(NULL, 0), DLF_ERR_INPUT);
    assert_int_equal(read_text("[]", 2), DLF_ERR_INPUT);
    assert_int_equal(read_text("{} {}", 5), DLF_ERR_INPUT);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_building_refuses_nonsense),
        cmocka_unit_test(test_bytes_that_are_no_utf8_are_replaced),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_verdicts_of_experiments),
        cmocka_unit_test(test_json_round_trip),
        cmocka_unit_test(test_json_has_every_documented_member),
        cmocka_unit_test(test_json_survives_mutations),
        cmocka_unit_test(test_json_errors_name_file_and_path),
        cmocka_unit_test(test_json_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
