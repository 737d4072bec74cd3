/* SPDX-License-Identifier: MIT
 * html_math.c -- TeX as MathML Core, by recursive descent: a row is atoms, an atom may carry
 * scripts. Every function that writes an atom writes exactly one element. */
#include <ctype.h>
#include <string.h>

#include "report/html.h"
#include "report/html_symbols.h"
#include "result/utf8.h"

enum { MOST_DEPTH = 24 };

typedef struct math {
    const char *at, *end;
    int depth;
    bool unary;  /* a sign here belongs to what follows */
    bool failed; /* something was not understood: the whole is shown as it stands */
} math;

/* What an atom is to its neighbours. */
typedef enum atom { ORDINARY, FUNCTION, LIMITS, OPERATOR } atom;

static atom write_atom(math *m, dlf_buffer *out);
static void write_row(math *m, dlf_buffer *out);

static void skip_blanks(math *m)
{
    while (m->at < m->end && (*m->at == ' ' || *m->at == '\n' || *m->at == '\t')) m->at++;
}

/* ---- macros ---------------------------------------------------------------------------------- */

enum { MACRO = 24 };

/* The name behind a backslash at m->at; "" if there is none. Moves behind it. */
static void take_macro(math *m, char name[MACRO])
{
    size_t n = 0;
    name[0] = '\0';
    if (m->at >= m->end || *m->at != '\\') return;
    const char *begin = ++m->at;
    while (begin + n < m->end && isalpha((unsigned char)begin[n])) n++;
    if (n == 0 && begin < m->end) n = 1;
    m->at += n;
    if (n >= MACRO || n == 0 || (unsigned char)begin[0] >= 0x80) {
        m->failed = true;
        return;
    }
    memcpy(name, begin, n);
    name[n] = '\0';
}

/* Is the macro `name` next? Does not move. */
static bool macro_follows(const math *m, const char *name)
{
    math copy = *m;
    char next[MACRO];
    take_macro(&copy, next);
    return next[0] && strcmp(next, name) == 0;
}

/* The text between { and its }, without them. */
static bool take_braces(math *m, const char **begin, size_t *size)
{
    skip_blanks(m);
    if (m->at >= m->end || *m->at != '{') return false;
    int open = 0;
    for (const char *p = m->at; p < m->end; p++) {
        if (*p == '\\' && p + 1 < m->end)
            p++;
        else if (*p == '{')
            open++;
        else if (*p == '}' && --open == 0) {
            *begin = m->at + 1;
            *size = (size_t)(p - m->at - 1);
            m->at = p + 1;
            return true;
        }
    }
    m->failed = true;
    return false;
}

/* ---- leaves ---------------------------------------------------------------------------------- */

static void write_operator(dlf_buffer *out, const char *attributes, const char *text)
{
    dlf_buffer_printf(out, "<mo%s>", attributes);
    dlf_html_escape(out, text, strlen(text));
    dlf_buffer_puts(out, "</mo>");
}

static void write_space(dlf_buffer *out, const char *em)
{
    dlf_buffer_printf(out, "<mspace width=\"%sem\"/>", em);
}

#define NOT_STRETCHED " stretchy=\"false\""
#define BAR           " stretchy=\"false\" lspace=\"0\" rspace=\"0\""

static void write_text_element(dlf_buffer *out, const char *tag, const char *text, size_t size)
{
    dlf_buffer_printf(out, "<%s>", tag);
    /* MathML cuts blanks off the ends. */
    if (size && text[0] == ' ') dlf_buffer_puts(out, "\xC2\xA0");
    dlf_html_escape(out, text, size);
    if (size > 1 && text[size - 1] == ' ') dlf_buffer_puts(out, "\xC2\xA0");
    dlf_buffer_printf(out, "</%.*s>", (int)strcspn(tag, " "), tag);
}

/* \mathrm{KL}, \operatorname{Var}: words; anything else in there is a formula of its own. */
static void write_upright(math *m, dlf_buffer *out)
{
    const char *text;
    size_t size, i = 0;
    skip_blanks(m);
    if (m->at < m->end && *m->at != '{' && *m->at != '\\') {
        text = m->at++;
        size = 1;
    } else if (!take_braces(m, &text, &size)) {
        m->failed = true;
        return;
    }
    while (i < size && (isalnum((unsigned char)text[i]) || strchr(" -+", text[i]))) i++;
    if (i == size) {
        write_text_element(
            out, size == 1 && isalpha((unsigned char)*text) ? "mi mathvariant=\"normal\"" : "mi",
            text, size);
        return;
    }
    math inner = {.at = text, .end = text + size, .depth = m->depth + 1};
    write_row(&inner, out);
    m->failed |= inner.failed || inner.at != inner.end;
}

static void write_blackboard(math *m, dlf_buffer *out)
{
    const char *text;
    size_t size;
    skip_blanks(m);
    if (m->at < m->end && *m->at != '{') {
        text = m->at++;
        size = 1;
    } else if (!take_braces(m, &text, &size)) {
        m->failed = true;
        return;
    }
    if (size != 1 || *text < 'A' || *text > 'Z') {
        m->failed = true;
        return;
    }
    /* Those that had their place in Unicode before the others. */
    static const struct {
        char letter;
        unsigned point;
    } old[] = {{'C', 0x2102}, {'H', 0x210D}, {'N', 0x2115}, {'P', 0x2119},
               {'Q', 0x211A}, {'R', 0x211D}, {'Z', 0x2124}};
    unsigned point = 0x1D538u + (unsigned)(*text - 'A');
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++)
        if (old[i].letter == *text) point = old[i].point;
    dlf_buffer_printf(out, "<mi>&#x%X;</mi>", point);
}

static void write_number(math *m, dlf_buffer *out, bool one_digit)
{
    const char *begin = m->at++;
    while (!one_digit && m->at < m->end &&
           (isdigit((unsigned char)*m->at) ||
            (*m->at == '.' && m->at + 1 < m->end && isdigit((unsigned char)m->at[1]))))
        m->at++;
    write_text_element(out, "mn", begin, (size_t)(m->at - begin));
}

/* Greek letters are letters, mathematical signs are operators, the rest (Chinese) is text. */
static atom write_unicode(math *m, dlf_buffer *out)
{
    const char *begin = m->at;
    int n = 0;
    uint32_t point = 0;
    while (m->at < m->end && (unsigned char)*m->at >= 0x80) {
        n = dlf_utf8_decode(m->at, &point);
        if (n <= 0 || m->at + n > m->end) {
            m->failed = true;
            m->at = m->end;
            return ORDINARY;
        }
        const bool sign = (point >= 0x2000 && point < 0x2c00) || point == 0xd7 || point == 0xb1;
        const bool greek = point >= 0x370 && point < 0x400;
        if ((sign || greek) && m->at > begin) break;
        m->at += n;
        if (!sign && !greek) continue;
        write_text_element(out, sign ? "mo" : "mi", begin, (size_t)n);
        return sign ? OPERATOR : ORDINARY;
    }
    write_text_element(out, "mtext", begin, (size_t)(m->at - begin));
    return ORDINARY;
}

/* ---- macros with arguments ------------------------------------------------------------------- */

static void write_group(math *m, dlf_buffer *out)
{
    const char *text;
    size_t size;
    if (!take_braces(m, &text, &size)) {
        m->failed = true;
        return;
    }
    math inner = {.at = text, .end = text + size, .depth = m->depth + 1};
    write_row(&inner, out);
    m->failed |= inner.failed || inner.at != inner.end;
}

/* What \frac or ^ takes: a group, else one symbol. */
static void write_argument(math *m, dlf_buffer *out)
{
    skip_blanks(m);
    if (m->at >= m->end || strchr("}&^_", *m->at))
        m->failed = true;
    else if (*m->at == '{')
        write_group(m, out);
    else if (isdigit((unsigned char)*m->at))
        write_number(m, out, true);
    else
        write_atom(m, out);
}

static void write_fraction(math *m, dlf_buffer *out, const char *open, const char *close)
{
    dlf_buffer_puts(out, open);
    write_argument(m, out);
    write_argument(m, out);
    dlf_buffer_puts(out, close);
}

static void write_root(math *m, dlf_buffer *out)
{
    skip_blanks(m);
    if (m->at < m->end && *m->at == '[') {
        const char *close = memchr(m->at, ']', (size_t)(m->end - m->at));
        if (!close) {
            m->failed = true;
            return;
        }
        math degree = {.at = m->at + 1, .end = close, .depth = m->depth + 1};
        dlf_buffer index = {0};
        write_row(&degree, &index);
        m->failed |= degree.failed || degree.at != degree.end;
        m->at = close + 1;
        dlf_buffer_puts(out, "<mroot>");
        write_argument(m, out);
        dlf_buffer_append(out, index.data, index.size);
        dlf_buffer_puts(out, "</mroot>");
        out->failed |= index.failed;
        dlf_buffer_free(&index);
        return;
    }
    dlf_buffer_puts(out, "<msqrt>");
    write_argument(m, out);
    dlf_buffer_puts(out, "</msqrt>");
}

/* The delimiter behind \left or \big; "" for ".", NULL if there is none. */
static const char *take_delimiter(math *m)
{
    static const char *const plain[] = {"(", ")", "[", "]", "|", "/", "<", ">"};
    skip_blanks(m);
    if (m->at >= m->end) return NULL;
    if (*m->at == '.') {
        m->at++;
        return "";
    }
    if (*m->at == '\\') {
        char name[MACRO];
        take_macro(m, name);
#define X(tex, utf8, kind)                                                                         \
    if (strcmp(name, tex) == 0) return utf8;
        DLF_TEX_SYMBOLS(X)
#undef X
        return NULL;
    }
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (*m->at == plain[i][0]) {
            m->at++;
            return plain[i];
        }
    return NULL;
}

static void write_delimiter(math *m, dlf_buffer *out, const char *attributes)
{
    const char *text = take_delimiter(m);
    if (!text)
        m->failed = true;
    else
        write_operator(out, attributes, text);
}

/* The empty <mi> keeps scripts on the delimiter from making it small again. */
static void write_sized(math *m, dlf_buffer *out, const char *attributes)
{
    dlf_buffer_puts(out, "<mrow>");
    write_delimiter(m, out, attributes);
    dlf_buffer_puts(out, "<mi></mi></mrow>");
}

static void write_fenced(math *m, dlf_buffer *out)
{
    dlf_buffer_puts(out, "<mrow>");
    write_delimiter(m, out, " stretchy=\"true\" form=\"prefix\"");
    write_row(m, out);
    char name[MACRO];
    take_macro(m, name);
    m->failed |= strcmp(name, "right") != 0;
    write_delimiter(m, out, " stretchy=\"true\" form=\"postfix\"");
    dlf_buffer_puts(out, "</mrow>");
}

/* \begin{pmatrix} a & b \\ c & d \end{pmatrix} */
static void write_matrix(math *m, dlf_buffer *out)
{
    static const struct {
        const char *name, *open, *close;
    } known[] = {{"matrix", "", ""},    {"pmatrix", "(", ")"}, {"bmatrix", "[", "]"},
                 {"vmatrix", "|", "|"}, {"cases", "{", ""},    {"aligned", "", ""}};
    const char *name, *end;
    size_t size, end_size, kind = 0;
    const size_t kinds = sizeof known / sizeof known[0];
    if (!take_braces(m, &name, &size)) {
        m->failed = true;
        return;
    }
    while (kind < kinds &&
           (strlen(known[kind].name) != size || memcmp(known[kind].name, name, size) != 0))
        kind++;
    if (kind == kinds) {
        m->failed = true;
        return;
    }
    dlf_buffer_puts(out, "<mrow>");
    if (*known[kind].open) write_operator(out, " stretchy=\"true\"", known[kind].open);
    dlf_buffer_puts(out, "<mtable><mtr><mtd>");
    for (;;) {
        write_row(m, out);
        if (m->failed || m->at >= m->end) {
            m->failed = true;
            return;
        }
        if (*m->at == '&') {
            m->at++;
            dlf_buffer_puts(out, "</mtd><mtd>");
        } else if (macro_follows(m, "\\")) {
            m->at += 2;
            dlf_buffer_puts(out, "</mtd></mtr><mtr><mtd>");
        } else {
            break;
        }
    }
    dlf_buffer_puts(out, "</mtd></mtr></mtable>");
    char macro[MACRO];
    take_macro(m, macro);
    if (strcmp(macro, "end") != 0 || !take_braces(m, &end, &end_size) || end_size != size ||
        memcmp(end, name, size) != 0)
        m->failed = true;
    if (*known[kind].close) write_operator(out, " stretchy=\"true\"", known[kind].close);
    dlf_buffer_puts(out, "</mrow>");
}

/* \mathrel{+}=: a sign that belongs to the next one. */
static void write_relation(math *m, dlf_buffer *out)
{
    const char *text;
    size_t size;
    if (!take_braces(m, &text, &size)) {
        m->failed = true;
        return;
    }
    dlf_buffer_puts(out, "<mo lspace=\"0.278em\" rspace=\"0\">");
    dlf_html_escape(out, text, size);
    dlf_buffer_puts(out, "</mo>");
    m->failed |= memchr(text, '\\', size) != NULL;
}

static void write_accent(math *m, dlf_buffer *out, const char *mark, bool stretched)
{
    dlf_buffer_puts(out, "<mover accent=\"true\">");
    write_argument(m, out);
    write_operator(out, stretched ? " stretchy=\"true\"" : NOT_STRETCHED, mark);
    dlf_buffer_puts(out, "</mover>");
}

/* ---- atoms ----------------------------------------------------------------------------------- */

typedef enum symbol_kind { I, F, L, S, O, P, Q } symbol_kind;

static atom write_symbol(dlf_buffer *out, const char *text, symbol_kind kind)
{
    switch (kind) {
    case I: write_text_element(out, "mi", text, strlen(text)); return ORDINARY;
    case F: write_text_element(out, "mi", text, strlen(text)); return FUNCTION;
    case L:
        write_operator(out, " movablelimits=\"true\" lspace=\"0\" rspace=\"0\"", text);
        return LIMITS;
    case S: write_operator(out, "", text); return LIMITS;
    case O: write_operator(out, NOT_STRETCHED, text); return OPERATOR;
    case P: write_operator(out, BAR " form=\"prefix\"", text); return OPERATOR;
    case Q: write_operator(out, BAR " form=\"postfix\"", text); return ORDINARY;
    }
    return ORDINARY;
}

static atom write_macro(math *m, dlf_buffer *out)
{
    char name[MACRO];
    take_macro(m, name);
    const char *text;
    size_t size;
#define IS(tex) (strcmp(name, tex) == 0)
#define X(tex, utf8, kind)                                                                         \
    if (IS(tex)) return write_symbol(out, utf8, kind);
    DLF_TEX_SYMBOLS(X)
#undef X
#define X(tex, mark, stretched)                                                                    \
    if (IS(tex)) return write_accent(m, out, mark, stretched), ORDINARY;
    DLF_TEX_ACCENTS(X)
#undef X
#define X(tex, em)                                                                                 \
    if (IS(tex)) return write_space(out, em), OPERATOR;
    DLF_TEX_SPACES(X)
#undef X
#define X(tex, em)                                                                                 \
    if (IS(tex))                                                                                   \
        return write_sized(m, out,                                                                 \
                           " stretchy=\"true\" symmetric=\"true\" lspace=\"0\" rspace=\"0\" "      \
                           "minsize=\"" em "em\" maxsize=\"" em "em\""),                           \
               ORDINARY;
    DLF_TEX_SIZES(X)
#undef X
    if (IS("frac"))
        write_fraction(m, out, "<mfrac>", "</mfrac>");
    else if (IS("tfrac"))
        write_fraction(m, out, "<mstyle displaystyle=\"false\"><mfrac>", "</mfrac></mstyle>");
    else if (IS("dfrac"))
        write_fraction(m, out, "<mstyle displaystyle=\"true\"><mfrac>", "</mfrac></mstyle>");
    else if (IS("binom"))
        write_fraction(m, out, "<mrow><mo>(</mo><mfrac linethickness=\"0\">",
                       "</mfrac><mo>)</mo></mrow>");
    else if (IS("sqrt"))
        write_root(m, out);
    else if (IS("mathrm"))
        write_upright(m, out);
    else if (IS("operatorname"))
        return write_upright(m, out), FUNCTION;
    else if (IS("mathbb"))
        write_blackboard(m, out);
    else if (IS("mathrel"))
        return write_relation(m, out), OPERATOR;
    else if (IS("text") && take_braces(m, &text, &size))
        write_text_element(out, "mtext", text, size);
    else if (IS("left"))
        write_fenced(m, out);
    else if (IS("begin"))
        write_matrix(m, out);
    else
        m->failed = true;
#undef IS
    return ORDINARY;
}

/* One element. At m->at is something, and no end of a row. */
static atom write_atom(math *m, dlf_buffer *out)
{
    const char c = *m->at;
    if (m->failed || ++m->depth > MOST_DEPTH) {
        m->failed = true;
        m->at = m->end;
        return ORDINARY;
    }
    atom kind = ORDINARY;
    if (c == '\\') {
        kind = write_macro(m, out);
    } else if (c == '{') {
        write_group(m, out);
    } else if (isdigit((unsigned char)c)) {
        write_number(m, out, false);
    } else if (isalpha((unsigned char)c)) {
        write_text_element(out, "mi", m->at++, 1);
    } else if ((unsigned char)c >= 0x80) {
        kind = write_unicode(m, out);
    } else if (c && strchr("()[]|", c)) {
        const char text[] = {c, '\0'};
        m->at++;
        write_operator(out, c == '|' ? BAR : NOT_STRETCHED, text);
        kind = c == ')' || c == ']' || c == '|' ? ORDINARY : OPERATOR;
    } else if (c && strchr("+-=<>,.:;/!*", c)) {
        const char text[] = {c, '\0'};
        m->at++;
        const bool sign = m->unary && (c == '-' || c == '+');
        write_operator(out,
                       c == '/' || c == '.' ? BAR
                       : sign               ? " form=\"prefix\""
                                            : "",
                       c == '-' ? "−" : text);
        kind = OPERATOR;
    } else if (c == '~') {
        m->at++;
        write_space(out, "0.3");
        kind = OPERATOR;
    } else {
        m->failed = true;
    }
    m->depth--;
    return kind;
}

/* ^ and _ and primes behind an atom; `super` and `sub` stay empty where there are none. */
static void take_scripts(math *m, dlf_buffer *sub, dlf_buffer *super)
{
    int primes = 0, subs = 0, supers = 0;
    for (; !m->failed; skip_blanks(m)) {
        skip_blanks(m);
        if (m->at >= m->end) break;
        const char c = *m->at;
        if (c != '\'' && c != '^' && c != '_') break;
        m->at++;
        if (c == '\'') {
            if (primes++ == 0) dlf_buffer_puts(super, "<mo>");
            dlf_buffer_puts(super, "′");
            if (m->at >= m->end || *m->at != '\'') dlf_buffer_puts(super, "</mo>");
            continue;
        }
        int *count = c == '_' ? &subs : &supers;
        if ((*count)++) m->failed = true;
        write_argument(m, c == '_' ? sub : super);
    }
    if (primes && supers) { /* two elements: one row */
        dlf_buffer row = {0};
        dlf_buffer_printf(&row, "<mrow>%s</mrow>", super->data ? super->data : "");
        row.failed |= super->failed;
        dlf_buffer_free(super);
        *super = row;
    }
}

static void write_scripted(dlf_buffer *out, const dlf_buffer *base, const dlf_buffer *sub,
                           const dlf_buffer *super, atom kind)
{
    static const char *const tags[2][4] = {{"", "msub", "msup", "msubsup"},
                                           {"", "munder", "mover", "munderover"}};
    const char *tag = tags[kind == LIMITS][(sub->size > 0) + 2 * (super->size > 0)];
    if (*tag) dlf_buffer_printf(out, "<%s>", tag);
    if (base->size)
        dlf_buffer_append(out, base->data, base->size);
    else
        dlf_buffer_puts(out, "<mrow></mrow>");
    if (sub->size) dlf_buffer_append(out, sub->data, sub->size);
    if (super->size) dlf_buffer_append(out, super->data, super->size);
    if (*tag) dlf_buffer_printf(out, "</%s>", tag);
    out->failed |= base->failed || sub->failed || super->failed;
}

static bool row_ends(const math *m)
{
    if (m->at >= m->end || *m->at == '}' || *m->at == '&') return true;
    return *m->at == '\\' &&
           (macro_follows(m, "right") || macro_follows(m, "end") || macro_follows(m, "\\"));
}

/* Does an argument without parentheses follow, as in "log p"? */
static bool argument_follows(const math *m)
{
    if (row_ends(m)) return false;
    if (*m->at == '\\')
        return !macro_follows(m, "big") && !macro_follows(m, "bigl") && !macro_follows(m, "Big") &&
               !macro_follows(m, "Bigl") && !macro_follows(m, "left") && !macro_follows(m, ",");
    return isalnum((unsigned char)*m->at) || (unsigned char)*m->at >= 0x80;
}

static void write_row(math *m, dlf_buffer *out)
{
    atom before = OPERATOR;
    dlf_buffer_puts(out, "<mrow>");
    if (m->depth > MOST_DEPTH) {
        m->failed = true;
        m->at = m->end;
    }
    for (skip_blanks(m); !m->failed && !row_ends(m); skip_blanks(m)) {
        dlf_buffer base = {0}, sub = {0}, super = {0};
        atom kind = ORDINARY;
        m->unary = before == OPERATOR;
        if (!*m->at || !strchr("^_'", *m->at)) kind = write_atom(m, &base);
        take_scripts(m, &sub, &super);
        const bool named =
            kind == FUNCTION || (kind == LIMITS && strstr(base.data ? base.data : "", "movable"));
        if (named && before != OPERATOR) write_space(out, "0.167");
        write_scripted(out, &base, &sub, &super, kind);
        if (named && argument_follows(m)) write_space(out, "0.167");
        before = named ? OPERATOR : kind;
        dlf_buffer_free(&base);
        dlf_buffer_free(&sub);
        dlf_buffer_free(&super);
    }
    dlf_buffer_puts(out, "</mrow>");
}

/* One <math>; false, and nothing written, if it is not understood. */
static bool write_whole(dlf_buffer *out, const char *tex, const char *end, const char *tag)
{
    dlf_buffer row = {0};
    math m = {.at = tex, .end = end};
    write_row(&m, &row);
    const bool good = !m.failed && m.at == m.end;
    if (good) {
        dlf_buffer_puts(out, tag);
        dlf_buffer_append(out, row.data, row.size);
        dlf_buffer_puts(out, "</math>");
    }
    out->failed |= row.failed;
    dlf_buffer_free(&row);
    return good;
}

/* The next \qquad outside braces, or the end. */
static const char *part_end(const char *at, const char *end)
{
    int open = 0;
    for (; at < end; at++) {
        if (open == 0 && end - at >= 6 && memcmp(at, "\\qquad", 6) == 0) return at;
        open += (*at == '{') - (*at == '}');
    }
    return end;
}

/* Formulas side by side are elements of their own, so that a narrow page puts them one below the
 * other. */
static bool write_display(dlf_buffer *out, const char *tex, const char *end)
{
    dlf_buffer parts = {0};
    bool good = true;
    for (const char *at = tex; good; at += 6) {
        const char *stop = part_end(at, end);
        good = write_whole(&parts, at, stop, "<math displaystyle=\"true\">");
        at = stop;
        if (at == end) break;
        dlf_buffer_puts(&parts, " ");
    }
    if (!good) dlf_buffer_free(&parts);
    /* It may be between things that belong together. */
    if (!good) good = write_whole(&parts, tex, end, "<math displaystyle=\"true\">");
    if (good) {
        dlf_buffer_puts(out, "<span class=\"display\">");
        dlf_buffer_append(out, parts.data, parts.size);
        dlf_buffer_puts(out, "</span>");
    }
    out->failed |= parts.failed;
    dlf_buffer_free(&parts);
    return good;
}

void dlf_html_math(dlf_buffer *out, const char *tex, size_t size, bool display)
{
    const char *end = tex + size;
    if (display ? write_display(out, tex, end) : write_whole(out, tex, end, "<math>")) return;
    dlf_buffer_puts(out, "<code class=\"tex\">");
    dlf_html_escape(out, tex, size);
    dlf_buffer_puts(out, "</code>");
}
