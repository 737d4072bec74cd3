/* SPDX-License-Identifier: MIT
 * rounded.h -- sine, cosine and tanh from operations that IEEE 754 rounds correctly, for data that
 * must be the same on every machine; a C library's own may differ in the last bit. */
#ifndef DLF_DATA_ROUNDED_H
#define DLF_DATA_ROUNDED_H

/* cos and sin of 2 pi `turns`, |turns| < 2^50; within 4e-16 of the exact values. */
void dlf_rounded_circle(double turns, double *cosine, double *sine);

/* Within 4e-16 of tanh x, relatively; NaN gives NaN. */
double dlf_rounded_tanh(double x);

#endif
