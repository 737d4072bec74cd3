/* SPDX-License-Identifier: MIT
 * test_html.c -- Markdown and TeX of the answers as HTML and MathML. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/questions.h"
#include "report/answer_internal.h"
#include "report/html.h"

/* ---- what is compared --------------------------------------------------------------------------
 */

static void image(void *user, dlf_buffer *out, const char *alt, const char *source, size_t n)
{
    (void)user;
    dlf_buffer_printf(out, "<IMG %s|%.*s>", alt, (int)n, source);
}

static char *markdown(const char *text, size_t size)
{
    const dlf_html_images images = {image, NULL};
    dlf_buffer b = {0};
    dlf_buffer_puts(&b, "");
    dlf_html_markdown(&b, text, size, 1, &images);
    assert_false(b.failed);
    return b.data ? b.data : strdup("");
}

static void expect_markdown(const char *text, const char *html)
{
    char *got = markdown(text, strlen(text));
    assert_string_equal(got, html);
    free(got);
}

static void expect_math(const char *tex, const char *mathml)
{
    dlf_buffer b = {0};
    dlf_html_math(&b, tex, strlen(tex), false);
    assert_false(b.failed);
    char whole[1024];
    snprintf(whole, sizeof whole, "<math><mrow>%s</mrow></math>", mathml);
    assert_string_equal(b.data, whole);
    dlf_buffer_free(&b);
}

static void expect_source(const char *tex)
{
    dlf_buffer b = {0}, escaped = {0};
    dlf_html_math(&b, tex, strlen(tex), true);
    dlf_html_escape(&escaped, tex, strlen(tex));
    char whole[8192];
    snprintf(whole, sizeof whole, "<code class=\"tex\">%s</code>", escaped.data);
    assert_string_equal(b.data, whole);
    dlf_buffer_free(&b);
    dlf_buffer_free(&escaped);
}

/* ---- Markdown ----------------------------------------------------------------------------------
 */

static void blocks(void **state)
{
    (void)state;
    expect_markdown("", "");
    expect_markdown("one\ntwo\n\nthree", "<p>one\ntwo</p>\n<p>three</p>\n");
    expect_markdown("# a\n###### b\n#c\n", "<h2>a</h2>\n<h6>b</h6>\n<p>#c</p>\n");
    expect_markdown("- a\n  more\n- b\n\ntext\n",
                    "<ul>\n<li>a\nmore</li>\n<li>b</li>\n</ul>\n<p>text</p>\n");
    expect_markdown("3. a\n\n4. b\n", "<ol start=\"3\">\n<li>a</li>\n<li>b</li>\n</ol>\n");
    expect_markdown("- a\n1. b\n", "<ul>\n<li>a</li>\n</ul>\n<ol>\n<li>b</li>\n</ol>\n");
    expect_markdown("> a\n> b\n\nc", "<blockquote>\n<p>a\nb</p>\n</blockquote>\n<p>c</p>\n");
    expect_markdown("```c\nif (a < b) **x**;\n```\nc",
                    "<pre tabindex=\"0\"><code>if (a &lt; b) **x**;\n</code></pre>\n<p>c</p>\n");
    expect_markdown("```\nnever closed", "<pre tabindex=\"0\"><code>never closed\n</code></pre>\n");
    expect_markdown("a\r\n\r\n---\r\nb", "<p>a</p>\n<hr>\n<p>b</p>\n");
    expect_markdown("![a](b.svg)\n", "<figure><IMG a|b.svg></figure>\n");
}

static void tables(void **state)
{
    (void)state;
    expect_markdown("| a | b |\n|---|:-:|\n| `x\\|y` | $|z|$ |\n| 1 |\n\nt",
                    "<div class=\"scroll\" tabindex=\"0\"><table>\n"
                    "<thead><tr><th>a</th><th>b</th></tr>\n</thead>\n<tbody>\n"
                    "<tr><td><code>x|y</code></td><td>$</td><td>z</td><td>$</td></tr>\n"
                    "<tr><td>1</td></tr>\n</tbody></table></div>\n<p>t</p>\n");
    expect_markdown("| not a table\n", "<p>| not a table</p>\n");
    expect_markdown("| | a |\n| --- | --- |\n", "<div class=\"scroll\" tabindex=\"0\"><table>\n"
                                                "<thead><tr><th></th><th>a</th></tr>\n</thead>\n"
                                                "<tbody>\n</tbody></table></div>\n");
}

static void spans(void **state)
{
    (void)state;
    expect_markdown(
        "**反例：**只对 *a*、**b *c* d**",
        "<p><strong>反例：</strong>只对 <em>a</em>、<strong>b <em>c</em> d</strong></p>\n");
    expect_markdown("2 * 3 ** 4, **open", "<p>2 * 3 ** 4, **open</p>\n");
    expect_markdown("`a**b**` \\*c\\* \\| a\\b", "<p><code>a**b**</code> *c* | a\\b</p>\n");
    expect_markdown("a &amp; b & c &copy;", "<p>a &amp; b &amp; c &amp;copy;</p>\n");
    expect_markdown("costs $ 5 and $", "<p>costs $ 5 and $</p>\n");
    expect_markdown("in $x$ out", "<p>in <math><mrow><mi>x</mi></mrow></math> out</p>\n");
    expect_markdown("$$x$$:", "<p><span class=\"display\"><math "
                              "displaystyle=\"true\"><mrow><mi>x</mi></mrow></math></span>:</p>\n");
    expect_markdown("[a](https://b.c/?d&e)",
                    "<p><a href=\"https://b.c/?d&amp;e\" rel=\"noreferrer\">a</a></p>\n");
}

/* Nothing that is stored may become markup. */
static void hostile_markdown(void **state)
{
    (void)state;
    expect_markdown("<script>x</script>", "<p>&lt;script&gt;x&lt;/script&gt;</p>\n");
    expect_markdown("[a](javascript:alert) [b](data:text/html,x)", "<p>a b</p>\n");
    expect_markdown("[a](https://b\"onclick=\"c)",
                    "<p><a href=\"https://b&quot;onclick=&quot;c\" rel=\"noreferrer\">a</a></p>\n");
    expect_markdown("![\" onerror='x' <](y.svg)",
                    "<figure><IMG &quot; onerror=&#39;x&#39; &lt;|y.svg></figure>\n");
    expect_markdown("`<b>` **<b>** $<b>$",
                    "<p><code>&lt;b&gt;</code> <strong>&lt;b&gt;</strong> <math><mrow><mo>&lt;</mo>"
                    "<mi>b</mi><mo>&gt;</mo></mrow></math></p>\n");
    expect_markdown("a\x01\x7f b\xff\xc0\xaf c\xed\xa0\x80",
                    "<p>a b\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD c"
                    "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD</p>\n");
    char *got = markdown("a\0<b", 4);
    assert_string_equal(got, "<p>a&lt;b</p>\n");
    free(got);
    got = markdown("$\0$ \\\0", 6);
    assert_string_equal(got, "<p><code class=\"tex\"></code> \\</p>\n");
    free(got);
}

static void displayed_formulas(void **state)
{
    (void)state;
    expect_markdown(
        "$$a,\\qquad{b\\qquad c}$$",
        "<p><span class=\"display\"><math displaystyle=\"true\"><mrow><mi>a</mi><mo>,</mo>"
        "</mrow></math> <math displaystyle=\"true\"><mrow><mrow><mi>b</mi>"
        "<mspace width=\"2em\"/><mi>c</mi></mrow></mrow></math></span></p>\n");
    /* What stands in a fence stays whole; what one part lacks shows all as TeX. */
    char *got = markdown("$$\\left(a\\qquad b\\right)$$", 26);
    assert_non_null(strstr(got, "<mspace"));
    free(got);
    expect_markdown("$$a\\qquad\\foo$$", "<p><code class=\"tex\">a\\qquad\\foo</code></p>\n");
}

/* What would take quadratic time, or a deep stack, if it were read carelessly. */
static void long_texts(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "**",       "*",        "`",       "$",      "$$",    "[",    "![",      "](",
        "> ",       "- ",       "|",       "#",      "\\",    "[a](", "$\\frac", "${",
        "$\\left(", "**a *b [", "|---|\n", "1. a\n", "&amp;", "$_",   "$x'"};
    enum { SIZE = 200000 };
    char *text = malloc(SIZE + 1);
    assert_non_null(text);
    const clock_t start = clock();
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const size_t n = strlen(parts[i]);
        for (size_t at = 0; at < SIZE; at++) text[at] = parts[i][at % n];
        text[SIZE] = '\0';
        free(markdown(text, SIZE));
    }
    free(text);
    /* Quadratic time would be minutes; this is a fraction of a second. */
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 20.0);
}

/* ---- math --------------------------------------------------------------------------------------
 */

static void formulas(void **state)
{
    (void)state;
    expect_math("x", "<mi>x</mi>");
    expect_math("0.25-a", "<mn>0.25</mn><mo>−</mo><mi>a</mi>");
    expect_math("x_i^2", "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>");
    expect_math("x^2_i", "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>");
    expect_math("x^12", "<msup><mi>x</mi><mn>1</mn></msup><mn>2</mn>");
    expect_math("\\tfrac12", "<mstyle displaystyle=\"false\"><mfrac><mn>1</mn><mn>2</mn></mfrac>"
                             "</mstyle>");
    expect_math("\\frac ab", "<mfrac><mi>a</mi><mi>b</mi></mfrac>");
    expect_math("\\sqrt{2\\eta}", "<msqrt><mrow><mn>2</mn><mi>η</mi></mrow></msqrt>");
    expect_math("\\sqrt[3]x", "<mroot><mi>x</mi><mrow><mn>3</mn></mrow></mroot>");
    expect_math("\\varphi''", "<msup><mi>φ</mi><mo>′′</mo></msup>");
    expect_math("\\varphi'^2", "<msup><mi>φ</mi><mrow><mo>′</mo><mn>2</mn></mrow></msup>");
    expect_math("\\mathbb E", "<mi>&#x1D53C;</mi>");
    expect_math("\\mathbb R", "<mi>&#x211D;</mi>");
    expect_math("\\mathrm{KL}", "<mi>KL</mi>");
    expect_math("\\mathrm d", "<mi mathvariant=\"normal\">d</mi>");
    expect_math("\\text{ in a step}", "<mtext>\xC2\xA0 in a step</mtext>");
    expect_math("每步=σ", "<mtext>每步</mtext><mo>=</mo><mi>σ</mi>");
    expect_math("\\log p", "<mi>log</mi><mspace width=\"0.167em\"/><mi>p</mi>");
    expect_math("\\log(p", "<mi>log</mi><mo stretchy=\"false\">(</mo><mi>p</mi>");
    expect_math("\\sum_i", "<munder><mo>∑</mo><mi>i</mi></munder>");
    expect_math("\\hat w",
                "<mover accent=\"true\"><mi>w</mi><mo stretchy=\"false\">^</mo></mover>");
    expect_math("a=-b-c", "<mi>a</mi><mo>=</mo><mo form=\"prefix\">−</mo><mi>b</mi><mo>−</mo>"
                          "<mi>c</mi>");
    expect_math("\\left.a\\right]",
                "<mrow><mo stretchy=\"true\" form=\"prefix\"></mo><mrow><mi>a</mi></mrow>"
                "<mo stretchy=\"true\" form=\"postfix\">]</mo></mrow>");
    expect_math("\\begin{pmatrix}a&b\\\\c\\end{pmatrix}",
                "<mrow><mo stretchy=\"true\">(</mo><mtable><mtr><mtd><mrow><mi>a</mi></mrow></mtd>"
                "<mtd><mrow><mi>b</mi></mrow></mtd></mtr><mtr><mtd><mrow><mi>c</mi></mrow></mtd>"
                "</mtr></mtable><mo stretchy=\"true\">)</mo></mrow>");
}

static void formulas_not_understood(void **state)
{
    (void)state;
    static const char *const bad[] = {"\\unknown x",
                                      "{a",
                                      "a}",
                                      "a&b",
                                      "\\frac a",
                                      "x^",
                                      "x^2^3",
                                      "\\left(a",
                                      "\\right)",
                                      "\\mathbb 1",
                                      "\\sqrt[3",
                                      "\\",
                                      "\\text",
                                      "\\hat",
                                      "\\begin{foo}",
                                      "a\\\\b",
                                      "x_\xff",
                                      "\xe4\xbd",
                                      "\\mathrm{<b}}",
                                      "\\begin{pmatrix}a",
                                      "\\big",
                                      "\\begin{pmatrix}a\\end{matrix}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) expect_source(bad[i]);
    char deep[4001] = "";
    for (int i = 0; i < 2000; i++) strcat(deep, "{");
    expect_source(deep);
    for (int i = 0; i < 2000; i++) strcat(deep, "}");
    expect_source(deep);
}

/* Every formula of every answer is understood, in both languages. */
static void answers_are_understood(void **state)
{
    (void)state;
    int texts = 0;
    for (int i = 0; i < 2 * DLF_QUESTIONS; i++) {
        char name[ANSWER_NAME];
        const char *text = answer_template(atoi(dlf_questions[i / 2].id + 1), i % 2 == 0, name);
        if (!text) continue;
        char *html = markdown(text, strlen(text));
        if (strstr(html, "class=\"tex\""))
            fail_msg("%s: %.200s", name, strstr(html, "class=\"tex\""));
        texts++;
        free(html);
    }
    assert_true(texts > 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks),
        cmocka_unit_test(tables),
        cmocka_unit_test(spans),
        cmocka_unit_test(displayed_formulas),
        cmocka_unit_test(hostile_markdown),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(formulas),
        cmocka_unit_test(formulas_not_understood),
        cmocka_unit_test(answers_are_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
