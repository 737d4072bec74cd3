/* SPDX-License-Identifier: MIT
 * result_sample.h -- a result with one of everything, for the tests of results and of their files.
 */
#ifndef DLF_RESULT_SAMPLE_H
#define DLF_RESULT_SAMPLE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>

#include "dlf/result.h"

#define OK(call)   assert_int_equal((call), DLF_OK)
#define TEXT(z, e) ((dlf_text){(z), (e)})

static const double extremes[] = {0.0,
                                  -0.0,
                                  1.0,
                                  -7.0,
                                  0.1,
                                  1.0 / 3.0,
                                  5e-324,
                                  1e-310,
                                  2.2250738585072014e-308,
                                  1.7976931348623157e308,
                                  NAN,
                                  INFINITY,
                                  -INFINITY,
                                  9007199254740993.0,
                                  1e22,
                                  -1e-7};
enum { N_EXTREMES = sizeof extremes / sizeof extremes[0] };

static inline dlf_result *new_result(void)
{
    dlf_result *r;
    OK(dlf_result_new(&r, "sample", "Q7,Q8", TEXT("梯度消失吗?", "Do gradients vanish?")));
    return r;
}

static inline void add_everything(dlf_result *r)
{
    OK(dlf_result_set_manifest(r, &(dlf_manifest){.version = "0.1.0",
                                                  .git = "abc1234",
                                                  .command = "dlf run \"Q7\" \\ \t\x01",
                                                  .started = "2026-01-02T03:04:05Z",
                                                  .build = "GNU 12",
                                                  .seed = UINT64_MAX,
                                                  .seeds = 16,
                                                  .seconds = 1.25,
                                                  .backend = "cpu",
                                                  .device = "中文 CPU \xF0\x9F\x98\x80",
                                                  .device_detail = "AVX2",
                                                  .threads = 2,
                                                  .mode = "quick",
                                                  .complete = true,
                                                  .customised = true}));
    OK(dlf_result_parameter(r, "depth", 50));
    OK(dlf_result_parameter(r, "sigma_w", 1.05));
    OK(dlf_result_parameter_text(r, "activation", "NaN"));
    OK(dlf_result_fact(r, "decades", -12.5, "decade"));
    OK(dlf_result_fact(r, "lost", NAN, "1"));
    dlf_table *t;
    OK(dlf_result_table(r, "growth", TEXT("增长", "Growth"),
                        (dlf_column[]){{"activation", NULL}, {"x", "1"}, {"y", "layer"}, {NULL}},
                        &t));
    for (int i = 0; i < N_EXTREMES; i++)
        OK(dlf_table_row(t, DLF_TXT(i % 2 ? "tanh" : "a,\"b\"\n中"), DLF_NUM(extremes[i]),
                         DLF_NUM(i)));
    OK(dlf_result_table(r, "empty", TEXT("空", "Empty"), (dlf_column[]){{"x", "1"}, {NULL}}, &t));
    OK(dlf_result_check(r, (dlf_check){.id = "rate",
                                       .claim = TEXT("增长率", "Rate"),
                                       .measured = 0.2361,
                                       .lo = 0.2355,
                                       .hi = 0.2367,
                                       .n = 16,
                                       .expected = 0.2362,
                                       .tolerance = 0.005,
                                       .source = "closed form",
                                       .note = "why"}));
    OK(dlf_result_check(r, (dlf_check){.id = "decided",
                                       .claim = TEXT("甲", "A"),
                                       .measured = NAN,
                                       .lo = NAN,
                                       .hi = NAN,
                                       .n = 3,
                                       .has_verdict = true,
                                       .verdict = DLF_DEPENDS,
                                       .source = "arms"}));
    OK(dlf_result_figure(
        r,
        &(dlf_figure){
            .id = "fig",
            .kind = DLF_LINES,
            .title = TEXT("题", "Title"),
            .x = {TEXT("横", "x"), false},
            .y = {TEXT("纵", "y"), true},
            .residuals = true,
            .series = {
                {.role = DLF_MEASURED,
                 .table = "growth",
                 .where = "activation",
                 .equals = "tanh",
                 .x = "x",
                 .y = "y",
                 .lo = "x",
                 .hi = "y",
                 .label = TEXT("量", "m"),
                 .colour = 2,
                 .points = true},
                {.role = DLF_SEEDS, .table = "growth", .x = "x", .y = "y", .by = "activation"}}}));
}

static inline char *to_json(const dlf_result *r)
{
    char *json;
    OK(dlf_result_to_json(r, &json));
    return json;
}
#endif
