/* SPDX-License-Identifier: MIT
 * answer_lint.c -- templates hold no typed numbers, and both languages cite the same ones. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "report/answer.h"
#include "report/answer_internal.h"
#include "result/utf8.h"

/* ---- bare digits ------------------------------------------------------------------------------
 */

typedef struct lint_state {
    const char *name;
    int line;
    bool in_block, in_math, in_literature; /* inside ``` or $$; below the heading of citations */
} lint_state;

static dlf_status complain(const lint_state *s, const char *what, const char *at)
{
    return dlf_fail(DLF_ERR_INPUT, "%s, line %d: %s near '%.40s'", s->name, s->line, what, at);
}

static bool is_literature(const char *heading)
{
    return strstr(heading, "文献") || strstr(heading, "Literature");
}

/* "3. text", "12) text", "## 2. text": a number that only counts. */
static const char *behind_numbering(const char *line)
{
    const char *p = line + strspn(line, " #>");
    const size_t digits = strspn(p, "0123456789");
    return digits && (p[digits] == '.' || p[digits] == ')') && p[digits + 1] == ' ' ? p + digits + 2
                                                                                    : line;
}

/* Behind the end of a piece that starts at `p` and ends with `close`, or NULL. */
static const char *behind(const char *p, const char *close)
{
    const char *end = strstr(p, close);
    return end ? end + strlen(close) : NULL;
}

/* If an exempt piece starts at `p`, what follows it; else NULL. */
static const char *behind_exempt(const char *p)
{
    if (p[0] == '`') return behind(p + 1, "`");
    if (p[0] == '$') return behind(p + 1, "$");
    if (p[0] == ']' && p[1] == '(') return behind(p, ")");
    if (!strncmp(p, "http://", 7) || !strncmp(p, "https://", 8)) return p + strcspn(p, " )>");
    /* 1×1, 3x3: the name of a convolution. */
    if (isdigit((unsigned char)p[0]) && p[1] == 'x' && p[2] == p[0]) return p + 3;
    if (isdigit((unsigned char)p[0]) && !strncmp(p + 1, "×", 2) && p[3] == p[0]) return p + 4;
    return NULL;
}

/* Digits of ASCII or full width: length of the one at `p`, or 0. */
static int digit_length(const char *p)
{
    uint32_t c;
    const int n = dlf_utf8_decode(p, &c);
    return n > 0 && ((c >= '0' && c <= '9') || (c >= 0xFF10 && c <= 0xFF19)) ? n : 0;
}

/* A word with letters before its digits is a name: Q7, L2, H100, float32, ResNet-50. Returns its
 * end if a word starts at `p`. */
static const char *behind_word(const char *p)
{
    if (!isalpha((unsigned char)*p)) return NULL;
    while (isalnum((unsigned char)*p) || *p == '_' || (*p == '-' && isalnum((unsigned char)p[1])))
        p++;
    return p;
}

static dlf_status lint_line(lint_state *s, const char *line)
{
    const char *p = behind_numbering(line), *end;
    while (*p) {
        if (!strncmp(p, "$$", 2)) {
            s->in_math = !s->in_math;
            p += 2;
        } else if (s->in_math) {
            p++;
        } else if (!strncmp(p, "{{", 2)) {
            answer_placeholder placeholder;
            answer_next(p, &end);
            const char *wrong = answer_parse(&placeholder, p, end);
            if (wrong) return complain(s, wrong, p);
            p = end;
        } else if ((end = behind_exempt(p)) != NULL || (end = behind_word(p)) != NULL) {
            p = end;
        } else if (digit_length(p)) {
            return complain(s, "a typed number; use a placeholder", p);
        } else {
            p++;
        }
    }
    return DLF_OK;
}

/* Call `visit` for every line without its newline. */
static dlf_status for_lines(const char *text, lint_state *s,
                            dlf_status (*visit)(lint_state *s, const char *line))
{
    for (s->line = 1; *text; s->line++) {
        const size_t length = strcspn(text, "\n");
        char *line = strndup(text, length);
        if (!line) return dlf_fail(DLF_ERR_OOM, "out of memory reading %s", s->name);
        const dlf_status status = visit(s, line);
        free(line);
        if (status != DLF_OK) return status;
        text += length + (text[length] == '\n');
    }
    return DLF_OK;
}

static dlf_status lint(lint_state *s, const char *line)
{
    if (!strncmp(line, "```", 3)) {
        s->in_block = !s->in_block;
        return DLF_OK;
    }
    if (s->in_block) return DLF_OK;
    if (line[0] == '#') s->in_literature = is_literature(line);
    const char *item = line + strspn(line, " ");
    if (s->in_literature && !strncmp(item, "- ", 2)) return DLF_OK;
    return lint_line(s, line);
}

dlf_status dlf_answer_lint(const char *text, const char *name, const char *lang)
{
    (void)lang; /* both languages follow the same rules */
    lint_state s = {.name = name};
    DLF_TRY(for_lines(text, &s, lint));
    if (s.in_block) return dlf_fail(DLF_ERR_INPUT, "%s: a ``` block is not closed", name);
    if (s.in_math) return dlf_fail(DLF_ERR_INPUT, "%s: a $$ formula is not closed", name);
    return DLF_OK;
}

/* ---- parity
 * -------------------------------------------------------------------------------------- */

static bool contains(const char *text, const char *placeholder, size_t length)
{
    const char *end;
    for (const char *p = text; (p = answer_next(p, &end)) != NULL; p = end ? end : p + 2)
        if (end && (size_t)(end - p) == length && !memcmp(p, placeholder, length)) return true;
    return false;
}

/* Every placeholder of `a` is in `b`. */
static dlf_status subset(const char *a, const char *b, const char *name, const char *lacking)
{
    const char *end;
    for (const char *p = a; (p = answer_next(p, &end)) != NULL; p = end) {
        if (!end) return dlf_fail(DLF_ERR_INPUT, "%s: '%.40s' is not closed", name, p);
        const size_t length = (size_t)(end - p);
        if (!contains(b, p, length))
            return dlf_fail(DLF_ERR_INPUT, "%s: the %s text lacks %.*s", name, lacking, (int)length,
                            p);
    }
    return DLF_OK;
}

dlf_status dlf_answer_parity(const char *zh, const char *en, const char *name)
{
    DLF_TRY(subset(zh, en, name, "English"));
    return subset(en, zh, name, "Chinese");
}
