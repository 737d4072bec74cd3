/* SPDX-License-Identifier: MIT
 * figures.h -- what many figures have in common. */
#ifndef DLF_FIGURES_H
#define DLF_FIGURES_H
#include "dlf/result.h"

/* y against x with its interval in columns lo and hi, from the rows of `table` whose column `where`
 * is `equals`. */
static inline dlf_series dlf_arm_series(dlf_role role, const char *table, const char *where,
                                        const char *equals, const char *x, const char *y,
                                        dlf_text label, int colour)
{
    return (dlf_series){.role = role,
                        .table = table,
                        .where = where,
                        .equals = equals,
                        .x = x,
                        .y = y,
                        .lo = "lo",
                        .hi = "hi",
                        .label = label,
                        .colour = colour};
}

/* Series `at` of f becomes the theory of series `measured`: dashed, in its colour, by column y of
 * its table. */
static inline void dlf_theory_of(dlf_figure *f, int measured, int at, const char *y)
{
    f->series[at] = f->series[measured];
    f->series[at].role = DLF_THEORY;
    f->series[at].y = y;
    f->series[at].lo = f->series[at].hi = NULL;
    f->series[at].points = false;
    f->series[at].label = (dlf_text){"理论", "theory"};
}
#endif
