/* SPDX-License-Identifier: MIT
 * answer.h -- answers/qNN.<lang>.md with the numbers of a run filled in.
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
 * Behind a placeholder of a number |FORMAT, a printf conversion %[flags][width][.digits]{e,f,g}:
 * {{fact:ID|%.2f}}. Without one, a check with an interval shows as many decimals as its interval
 * supports, everything else %.3g, and whole numbers below a million are printed whole. NaN prints
 * as NaN, infinities as ∞ and −∞, negative numbers with U+2212; e notation becomes ×10^k in
 * superscript (×10⁻³). A missing id is an error naming template, line and placeholder, unless the
 * run was interrupted or had parameters of the user's own (manifest.complete, .customised): then it
 * prints —. */
#ifndef DLF_ANSWER_H
#define DLF_ANSWER_H
#include <stddef.h>

#include "dlf/result.h"

/* Fill one template. *out is malloc'ed.  errors  DLF_ERR_INPUT, DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status dlf_answer_fill(const dlf_result *r, const char *lang, const char *name,
                                          const char *text, size_t size, char **out);

/* The answers of all questions of `r`, from the embedded templates answers/qNN.<lang>.md, one after
 * the other. `lang` is "zh" or "en".
 *   errors  DLF_ERR_NOT_FOUND  a question without a template in this language
 *           DLF_ERR_INPUT, DLF_ERR_OOM                                                           */
DLF_MUST_CHECK dlf_status dlf_answer_render(const dlf_result *r, const char *lang, char **out);

/* The same to DIR/answer.<lang>.md. Creates DIR. */
DLF_MUST_CHECK dlf_status dlf_answer_write(const dlf_result *r, const char *dir, const char *lang);

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
