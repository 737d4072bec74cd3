/* SPDX-License-Identifier: MIT
 * synthetic.h -- what generators share: sizes, and draws by (seed, what for, part). */
#ifndef DLF_DATA_SYNTHETIC_H
#define DLF_DATA_SYNTHETIC_H
#include "data/dataset.h"

#define DLF_SYNTHETIC_MAX 1e6 /* of noise, separation, signal, turns */

/* What numbers are drawn for; every generator has streams of its own. */
typedef enum dlf_drawn {
    DLF_DRAWN_MIXTURE_X,
    DLF_DRAWN_MIXTURE_CENTRE,
    DLF_DRAWN_XOR_X,
    DLF_DRAWN_SPIRAL_X,
    DLF_DRAWN_SPIRAL_RADIUS,
    DLF_DRAWN_PARITY_X,
    DLF_DRAWN_LINEAR_X,
    DLF_DRAWN_LINEAR_BETA,
    DLF_DRAWN_LINEAR_NOISE,
    DLF_DRAWN_TEACHER_X,
    DLF_DRAWN_TEACHER_W,
    DLF_DRAWN_TEACHER_A,
    DLF_DRAWN_TEACHER_NOISE
} dlf_drawn;
uint32_t dlf_drawn_stream(dlf_drawn what);

/* out[0..n-1] from N(0,1). Parts are members of the stream: row i of a part is the same however
 * many rows there are. */
void dlf_draw_normal(float *out, size_t n, uint64_t seed, dlf_drawn what, dlf_part part);

/* Is x in lo..hi? NaN is not. Says which argument is wrong. */
DLF_MUST_CHECK dlf_status dlf_in_range(const char *generator, const char *argument, double x,
                                       double lo, double hi);

/* Sizes and memory of *out; out->name says whose. */
DLF_MUST_CHECK dlf_status dlf_synthetic_start(dlf_dataset *out, dlf_rows rows);

#endif
