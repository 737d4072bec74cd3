/* SPDX-License-Identifier: MIT
 * report_page.c -- the page around the questions: style, headline, index. */
#include "cli/report_page.h"

#include <ctype.h>
#include <string.h>

#include "build_info.h"
#include "cli/questions.h"
#include "cli/words.h"
#include "report/answer.h"
#include "report/html.h"

/* ---- words ------------------------------------------------------------------------------------
 */

void report_put_text(dlf_buffer *out, dlf_text text, const cli_language *language)
{
    if (language->zh) {
        dlf_buffer_puts(out, "<span class=\"zh\" lang=\"zh-CN\">");
        dlf_html_escape(out, text.zh, strlen(text.zh));
        dlf_buffer_puts(out, "</span>");
    }
    if (language->en) {
        dlf_buffer_puts(out, "<span class=\"en\" lang=\"en\">");
        dlf_html_escape(out, text.en, strlen(text.en));
        dlf_buffer_puts(out, "</span>");
    }
}

void report_put_words(dlf_buffer *out, const char *zh, const char *en, const cli_language *language)
{
    report_put_text(out, (dlf_text){zh, en}, language);
}

/* ---- counting ---------------------------------------------------------------------------------
 */

bool report_is_about(const report_run *run, const char *question)
{
    const size_t n = strlen(question);
    for (const char *at = dlf_result_questions(run->result); at;) {
        if (strncmp(at, question, n) == 0 && (at[n] == ',' || !at[n])) return true;
        at = strchr(at, ',');
        if (at) at++;
    }
    return false;
}

void report_count(report_counts *counts, const report_run *run)
{
    for (int i = 0; i < dlf_result_checks(run->result); i++) {
        const dlf_check *c = dlf_result_get_check(run->result, i);
        if (!c->self_check)
            counts->verdict[c->verdict]++;
        else
            counts->failed += c->verdict == DLF_REFUTED;
    }
}

void report_put_counts(dlf_buffer *out, const report_counts *counts, const cli_language *language)
{
    for (int v = DLF_SUPPORTED; v <= DLF_UNDECIDED; v++) {
        if (!counts->verdict[v]) continue;
        dlf_buffer_printf(out, "<span class=\"count %s\">%d ", dlf_verdict_name((dlf_verdict)v),
                          counts->verdict[v]);
        report_put_words(out, dlf_answer_verdict((dlf_verdict)v, true),
                         dlf_answer_verdict((dlf_verdict)v, false), language);
        dlf_buffer_puts(out, "</span> ");
    }
    if (counts->failed) {
        dlf_buffer_printf(out, "<span class=\"count failed\">%d ", counts->failed);
        report_put_text(out, CLI_FAILED, language);
        dlf_buffer_puts(out, "</span> ");
    }
}

/* ---- the head ---------------------------------------------------------------------------------
 */

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1c2128;--soft:#57606a;--paper:#fff;--line:#d0d7de;"
    "--wash:#f6f8fa;--link:#0a58ad;--good:#146c37;--bad:#b3261e;--mixed:#855300;--def:#6639a6}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e3e7ec;--soft:#9ba5b0;--paper:#14181d;"
    "--line:#39414b;--wash:#1d232a;--link:#6cb2ff;--good:#5fcf86;--bad:#ff8b82;--mixed:#e0ac4d;"
    "--def:#c3a3ff}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;padding:1rem clamp(1rem,4vw,2.5rem) 4rem;max-width:56rem;color:var(--ink);"
    "background:var(--paper);font:1rem/1.65 system-ui,-apple-system,\"Segoe UI\",\"Noto Sans\","
    "\"PingFang SC\",\"Microsoft YaHei\",\"Noto Sans CJK SC\",sans-serif;overflow-wrap:anywhere}\n"
    "h1,h2,h3,h4{line-height:1.3;margin:1.8em 0 .6em}\n"
    "h1{font-size:1.8rem;margin-top:.8em}h2{font-size:1.4rem}h3{font-size:1.12rem}\n"
    "a{color:var(--link)}\n"
    "section{border-top:1px solid var(--line);margin-top:3rem}\n"
    "h2 a{text-decoration:none;margin-right:.4em}\n"
    ".switch{position:absolute;opacity:0}\n"
    ".switch+label{display:inline-block;padding:.15rem .8rem;margin-right:.4rem;cursor:pointer;"
    "border:1px solid var(--line);border-radius:1rem;color:var(--soft)}\n"
    ".switch:checked+label{color:var(--paper);background:var(--ink);border-color:var(--ink)}\n"
    ".switch:focus-visible+label{outline:2px solid var(--link);outline-offset:2px}\n"
    "#show-zh:checked~* .en,#show-en:checked~* .zh{display:none}\n"
    ".scroll{overflow-x:auto;margin:1em 0}\n"
    "table{border-collapse:collapse;font-size:.92rem;line-height:1.5;min-width:60%}\n"
    "th,td{min-width:3.6em;padding:.35em .7em;border:1px solid "
    "var(--line);text-align:left;vertical-align:top;"
    "overflow-wrap:normal;word-break:normal}\n"
    "td{font-variant-numeric:tabular-nums}\n"
    "th{background:var(--wash)}\n"
    ".checks td,.checks th{min-width:5rem}.checks td:first-child,.checks td:last-child"
    "{min-width:13rem}\n"
    ".index{width:100%}.index td:first-child,.index td:nth-child(3){white-space:nowrap}\n"
    ".open td{color:var(--soft)}\n"
    /* Chinese has no italics, but dots below. */
    "em:lang(zh){font-style:normal;text-emphasis:dot;text-emphasis-position:under right}\n"
    "figure{margin:1.4em 0}figure img,p img{max-width:100%;height:auto;background:#fff;"
    "border-radius:4px}\n"
    "code,pre{font:.9em/1.5 ui-monospace,\"Cascadia Mono\",Menlo,Consolas,monospace;"
    "background:var(--wash);border-radius:4px}\n"
    "code{padding:.1em .3em}pre{padding:.8em;overflow-x:auto}pre code{padding:0}\n"
    "blockquote{margin:1em 0;padding:.1em 1em;border-left:4px solid var(--line);"
    "color:var(--soft)}\n"
    "math{font-size:1.08em;font-family:\"STIX Two Math\",\"STIX Math\",\"Latin Modern "
    "Math\",\"Cambria "
    "Math\",math}\n"
    ".display{display:block;text-align:center;overflow-x:auto;overflow-y:hidden;padding:.3em 0}"
    ".display math{margin:.2em 1em}\n"
    ".count{display:inline-block;white-space:nowrap;padding:0 .55em;border-radius:.8em;"
    "font-size:.85rem;border:1px solid currentColor;color:var(--soft)}\n"
    ".supported{color:var(--good)}.refuted,.failed{color:var(--bad)}.depends{color:var(--mixed)}"
    ".definitional{color:var(--def)}\n"
    ".run,.note,footer{color:var(--soft);font-size:.9rem}\n"
    ".problems{border:1px solid var(--bad);border-radius:4px;padding:0 1rem;margin:1.5rem 0}\n"
    "summary{cursor:pointer}\n"
    "@media print{.switch,.switch+label{display:none}body{max-width:none;padding:0;font-size:10pt}"
    "h2,h3,h4{break-after:avoid}figure,tr{break-inside:avoid}figure "
    "img{max-height:78mm}section{break-before:page;"
    "border:0;margin:0}.scroll{overflow:visible}a{color:inherit}}\n";

static void put_switch(dlf_buffer *out, const cli_language *language)
{
    if (!language->zh || !language->en) return;
    for (int zh = 1; zh >= 0; zh--)
        dlf_buffer_printf(out,
                          "<input class=\"switch\" type=\"radio\" name=\"show\" id=\"show-%s\"%s>"
                          "<label for=\"show-%s\" lang=\"%s\">%s</label>\n",
                          zh ? "zh" : "en", zh == language->say_zh ? " checked" : "",
                          zh ? "zh" : "en", zh ? "zh-CN" : "en", zh ? "中文" : "English");
}

static const dlf_text page_title = {"深度学习问题，用实验回答",
                                    "Questions about deep learning, answered by running them"};

static void put_head(dlf_buffer *out, const cli_language *language)
{
    const bool zh = language->zh && (language->say_zh || !language->en);
    dlf_buffer_printf(out,
                      "<!DOCTYPE html>\n<html lang=\"%s\">\n<head>\n<meta charset=\"utf-8\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                      "img-src data:; style-src 'unsafe-inline'\">\n"
                      "<title>dlf: %s</title>\n<style>\n",
                      zh ? "zh-CN" : "en", zh ? page_title.zh : page_title.en);
    dlf_buffer_puts(out, style);
    dlf_buffer_puts(out, "</style>\n</head>\n<body>\n");
    put_switch(out, language);
}

/* ---- headline and index -----------------------------------------------------------------------
 */

static bool is_answered(const report_runs *runs, const char *question)
{
    for (int i = 0; i < runs->n; i++)
        if (report_is_about(&runs->run[i], question)) return true;
    return false;
}

static void put_headline(dlf_buffer *out, const report_runs *runs, int answered,
                         const cli_language *language)
{
    char zh[128], en[128];
    report_counts all = {.failed = 0};
    for (int i = 0; i < runs->n; i++) report_count(&all, &runs->run[i]);
    dlf_buffer_puts(out, "<header>\n<h1>");
    report_put_text(out, page_title, language);
    dlf_buffer_puts(out, "</h1>\n<p>");
    snprintf(zh, sizeof zh, "%d 个问题中已回答 %d 个，结果来自 %d 次实验。论断的判定：",
             DLF_QUESTIONS, answered, runs->n);
    snprintf(en, sizeof en,
             "%d of %d questions answered, from %d stored run%s. Verdicts: ", answered,
             DLF_QUESTIONS, runs->n, runs->n == 1 ? "" : "s");
    report_put_words(out, zh, en, language);
    report_put_counts(out, &all, language);
    dlf_buffer_puts(out, "</p>\n");
    if (runs->n_problems) {
        dlf_buffer_puts(out, "<div class=\"problems\"><p><strong>");
        report_put_words(out, "无法读取，其余不受影响：",
                         "Could not be read; the rest is complete:", language);
        dlf_buffer_puts(out, "</strong></p>\n<ul>\n");
        for (int i = 0; i < runs->n_problems; i++) {
            dlf_buffer_puts(out, "<li>");
            dlf_html_escape(out, runs->problem[i], strlen(runs->problem[i]));
            dlf_buffer_puts(out, "</li>\n");
        }
        dlf_buffer_puts(out, "</ul></div>\n");
    }
    dlf_buffer_puts(out, "</header>\n");
}

/* "q7": the anchor of Q7. */
static void put_anchor(dlf_buffer *out, const char *id)
{
    dlf_buffer_printf(out, "%c%s", tolower((unsigned char)id[0]), id + 1);
}

static void put_index_row(dlf_buffer *out, const report_runs *runs, const dlf_question *q,
                          const cli_language *language)
{
    const bool answered = is_answered(runs, q->id);
    report_counts counts = {.failed = 0};
    for (int i = 0; i < runs->n; i++)
        if (report_is_about(&runs->run[i], q->id)) report_count(&counts, &runs->run[i]);
    dlf_buffer_puts(out, answered ? "<tr><td><a href=\"#" : "<tr class=\"open\"><td>");
    if (answered) {
        put_anchor(out, q->id);
        dlf_buffer_puts(out, "\">");
    }
    dlf_buffer_puts(out, q->id);
    dlf_buffer_puts(out, answered ? "</a></td><td>" : "</td><td>");
    report_put_text(out, q->title, language);
    dlf_buffer_puts(out, "</td><td>");
    report_put_text(out, dlf_level_name(q->level), language);
    dlf_buffer_puts(out, "</td><td>");
    if (answered)
        report_put_words(out, "已回答", "answered", language);
    else
        report_put_words(out, "没有存储的结果", "no stored result", language);
    dlf_buffer_puts(out, "</td><td>");
    report_put_counts(out, &counts, language);
    dlf_buffer_puts(out, "</td></tr>\n");
}

static void put_index(dlf_buffer *out, const report_runs *runs, const cli_language *language)
{
    static const dlf_text columns[] = {{"编号", "ID"},
                                       {"问题", "Question"},
                                       {"级别", "Level"},
                                       {"状态", "State"},
                                       {"论断的判定", "Verdicts"}};
    dlf_buffer_puts(out,
                    "<nav class=\"scroll\" tabindex=\"0\"><table class=\"index\">\n<thead><tr>");
    for (int i = 0; i < 5; i++) {
        dlf_buffer_puts(out, "<th>");
        report_put_text(out, columns[i], language);
        dlf_buffer_puts(out, "</th>");
    }
    dlf_buffer_puts(out, "</tr></thead>\n<tbody>\n");
    for (int i = 0; i < DLF_QUESTIONS; i++)
        if (!runs->single || is_answered(runs, dlf_questions[i].id))
            put_index_row(out, runs, &dlf_questions[i], language);
    dlf_buffer_puts(out, "</tbody></table></nav>\n");
}

dlf_status report_page(dlf_buffer *out, const report_runs *runs, const cli_language *language,
                       int *answered)
{
    *answered = 0;
    for (int i = 0; i < DLF_QUESTIONS; i++) *answered += is_answered(runs, dlf_questions[i].id);
    put_head(out, language);
    put_headline(out, runs, *answered, language);
    dlf_buffer_puts(out, "<main>\n");
    put_index(out, runs, language);
    for (int i = 0; i < DLF_QUESTIONS; i++) {
        const dlf_question *q = &dlf_questions[i];
        if (!is_answered(runs, q->id)) continue;
        dlf_buffer_puts(out, "<section id=\"");
        put_anchor(out, q->id);
        dlf_buffer_puts(out, "\">\n<h2><a href=\"#");
        put_anchor(out, q->id);
        dlf_buffer_printf(out, "\">%s</a>", q->id);
        report_put_text(out, q->title, language);
        dlf_buffer_puts(out, "</h2>\n");
        DLF_TRY(report_put_question(out, runs, q->id, language));
        dlf_buffer_puts(out, "</section>\n");
    }
    dlf_buffer_puts(out, "</main>\n<footer><p>");
    report_put_words(out, "由存储的结果生成，没有重新运行实验：",
                     "Made from stored results, nothing "
                     "was run: ",
                     language);
    dlf_buffer_printf(out, "<code>dlf report</code> %s</p></footer>\n</body>\n</html>\n",
                      DLF_VERSION);
    return out->failed ? dlf_fail(DLF_ERR_OOM, "no memory for the report") : DLF_OK;
}
