/* SPDX-License-Identifier: MIT
 * figures.h -- what many figures have in common. */
#ifndef DLF_FIGURES_H
#define DLF_FIGURES_H
#include "dlf/result.h"

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
