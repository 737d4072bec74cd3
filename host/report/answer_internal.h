/* SPDX-License-Identifier: MIT
 * answer_internal.h -- placeholders, as answer.c, answer_value.c and answer_lint.c see them. */
#ifndef DLF_ANSWER_INTERNAL_H
#define DLF_ANSWER_INTERNAL_H
#include <stdbool.h>
#include <stddef.h>

#include "dlf/result.h"
#include "report/answer.h"
#include "result/buffer.h"

enum { ANSWER_PLACEHOLDER = 256, ANSWER_FORMAT = 16 };

/* {{EXPERIMENT/KIND:NAME.PART[KEYS]|FORMAT}}, the parts that are there; the rest are "". */
typedef struct answer_placeholder {
    char text[ANSWER_PLACEHOLDER]; /* between the braces, for messages and comparison */
    char experiment[DLF_ANSWER_EXPERIMENT];
    char kind[16], name[96], part[64], keys[128], format[ANSWER_FORMAT];
} answer_placeholder;

/* The next "{{" at or behind `text`: its start, and its end behind "}}". NULL if there is none.
 * *end is NULL if it is not closed on its line. */
const char *answer_next(const char *text, const char **end);

/* The template of a question, NULL if there is none; `name`: what it is called. */
enum { ANSWER_NAME = 64 };
const char *answer_template(int question, bool zh, char name[ANSWER_NAME]);

/* The number of the next question of `r`, 0 behind the last: start with *at NULL. */
int answer_question(const dlf_result *r, const char **at);

/* NULL, or what is wrong with the placeholder from `begin` to `end` (see answer_next). */
const char *answer_parse(answer_placeholder *p, const char *begin, const char *end);

/* Append the value. NULL, or why there is none; *missing is then true if the result lacks something
 * that a complete run might have. `in_code`: inside a code span or block, where HTML needs no
 * escape. */
const char *answer_value(dlf_buffer *out, const dlf_result *r, const answer_placeholder *p, bool zh,
                         bool in_code, bool *missing);
#endif
