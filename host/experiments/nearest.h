/* SPDX-License-Identifier: MIT
 * nearest.h -- what somebody who typed an unknown name probably meant. */
#ifndef DLF_NEAREST_H
#define DLF_NEAREST_H
#include <stddef.h>

/* Edits (insert, delete, replace, swap neighbours; case is free) from a to b. */
int dlf_edit_distance(const char *a, const char *b);

/* "; did you mean 'depth' or 'width'?" -- the nearest of the NULL-terminated `names` -- or, when
 * nothing is near, "; there are depth, width". Returns `out`. */
const char *dlf_nearest(char *out, size_t size, const char *typed, const char *const *names);

#endif
