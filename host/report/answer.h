/* SPDX-License-Identifier: MIT
 * answer.h -- answers/qNN.<lang>.md with the numbers of a run, or of several, filled in.
 *
 * A template is Markdown with placeholders. None of its numbers is typed: dlf_answer_lint() refuses
 * digits outside placeholders, so that a text cannot disagree with its run.
 *
 *   {{check:ID}}            0.0557 (0.0552…0.0561): measured with its 95 % interval
 *   {{check:ID.measured}}   also .expected .ci .n .verdict .source .claim .note
 *   {{fact:ID}}             a fact
 *   {{param:NAME}}          a parameter, number or text
 *   {{table:ID.COLUMN[KEY=VALUE]}}   the cell of COLUMN in the first row whose KEY is VALUE (text,
 *                           or a number written any way); {{table:ID.COLUMN[KEY=VALUE,KEY2=V2]}}
 *   {{figure:ID}}           ![title](ID.<lang>.svg)
 *   {{manifest:NAME}}       version git command seed seeds mode started date seconds build backend
 *                           device detail threads
 *   {{checks}}              a Markdown table of all checks
 *
 * A question may have several experiments. Its text says whose number it wants by the experiment's
 * name in front, {{norm-axes/check:ID}}; without one it is the run's that is written about. Figures
 * of others are linked as ../norm-axes/ID.<lang>.svg. What has not been run yet prints as —, and a
 * sentence below the title says what to run.
 *
 * Behind a placeholder of a number |FORMAT, a printf conversion %[flags][width][.digits]{e,f,g}:
 * {{fact:ID|%.2f}}. Without one, a check with an interval shows as many decimals as its interval
 * supports, everything else %.3g, and whole numbers below a million are printed whole. NaN prints
 * as NaN, infinities as ∞ and −∞, negative numbers with U+2212; e notation becomes ×10^k in
 * superscript (×10⁻³). A missing id is an error naming template, line and placeholder, unless the
 * run was interrupted or had parameters of the user's own (manifest.complete, .customised), or is
 * another experiment's from another version of the program (manifest.git): then it prints —. */
#ifndef DLF_ANSWER_H
#define DLF_ANSWER_H
#include <stdbool.h>
#include <stddef.h>

#include "dlf/result.h"

/* Fill one template. `others`: results of other experiments of the question, in any order, ends
 * with NULL; NULL: none. *out is malloc'ed.  errors  DLF_ERR_INPUT, DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status dlf_answer_fill(const dlf_result *r, const dlf_result *const *others,
                                          const char *lang, const char *name, const char *text,
                                          size_t size, char **out);

/* The answers of all questions of `r`, from the embedded templates answers/qNN.<lang>.md, one after
 * the other. `lang` is "zh" or "en".
 *   errors  DLF_ERR_NOT_FOUND  a question without a template in this language
 *           DLF_ERR_INPUT, DLF_ERR_OOM                                                           */
DLF_MUST_CHECK dlf_status dlf_answer_render(const dlf_result *r, const dlf_result *const *others,
                                            const char *lang, char **out);

/* The same to DIR/answer.<lang>.md. Creates DIR. Other experiments that the texts name are read
 * from the directories beside it, DIR/../NAME, where they have been run; their answers of this
 * language, which may name this run, are then written again. What cannot be read there counts as
 * not run. */
DLF_MUST_CHECK dlf_status dlf_answer_write(const dlf_result *r, const char *dir, const char *lang);

/* The experiments that a template names, each once, in the order of the text: call with *at NULL,
 * then again until it returns false.  */
enum { DLF_ANSWER_EXPERIMENT = 48 };
bool dlf_answer_experiment(const char *text, const char **at, char name[DLF_ANSWER_EXPERIMENT]);

/* A verdict in the words of the answers. */
const char *dlf_answer_verdict(dlf_verdict v, bool zh);

/* Refuse bare digits and malformed placeholders. Digits may stand in placeholders, `code`, fenced
 * code, $math$, $$math$$, link targets, question numbers (Q7), the number of a list item or
 * heading, names such as L2, conv2d, H100, FP16 (letters before the digits), "1×1" and "1x1" kernel
 * sizes, and in list items under the heading 文献 or Literature. errors  DLF_ERR_INPUT naming
 * template and line                                               */
DLF_MUST_CHECK dlf_status dlf_answer_lint(const char *text, const char *name, const char *lang);

/* The two languages of one answer must use the same placeholders (format included, order and
 * number of uses not).  errors  DLF_ERR_INPUT naming the placeholder and the text that lacks it  */
DLF_MUST_CHECK dlf_status dlf_answer_parity(const char *zh, const char *en, const char *name);
#endif
