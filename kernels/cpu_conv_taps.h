/* SPDX-License-Identifier: MIT
 * cpu_conv_taps.h -- forward pass and data gradient as one thing: results at
 * q period + residue, q = 0, 1, .., along each axis read inputs at q step + offset, offset from the
 * list of taps of that residue. Forward has period 1 and step `stride`; the data gradient has
 * period `stride` and step 1, and a tap belongs to the residue that it reaches. */
#ifndef DLF_CPU_CONV_TAPS_H
#define DLF_CPU_CONV_TAPS_H
#include "cpu_conv_stack.h"

typedef struct taps {
    int64_t n;
    int32_t *offset, *index; /* offset: ascending; index: which tap of the kernel */
} taps;

typedef struct axis {
    int64_t in, out, period, step;
    int64_t residues;  /* that there are results for     */
    int64_t low, high; /* of all offsets; 0 without taps */
    taps *of;          /* by residue                     */
} axis;

typedef struct range {
    int64_t first, end;
} range;

static inline int64_t quotients(const axis *a)
{
    return (a->out + a->period - 1) / a->period;
}

/* Taps that find an input inside the image. */
static inline range taps_inside(const axis *a, const taps *t, int64_t q)
{
    range r = {0, t->n};
    while (r.first < r.end && q * a->step + t->offset[r.first] < 0) r.first++;
    while (r.end > r.first && q * a->step + t->offset[r.end - 1] >= a->in) r.end--;
    return r;
}

/* Of dlf_conv's two axes; *memory is the caller's to free. */
static dlf_status list_taps(axis axes[2], const dlf_conv_shape *s, bool data, void **memory)
{
    int64_t lists = 0;
    const int64_t all = (int64_t)s->kernel[0] + s->kernel[1];
    for (int k = 0; k < 2; k++) {
        axes[k] = (axis){.in = data ? s->out[k] : s->in[k],
                         .out = data ? s->in[k] : s->out[k],
                         .period = data ? s->stride[k] : 1,
                         .step = data ? 1 : s->stride[k]};
        axes[k].residues = least(axes[k].period, axes[k].out);
        lists += axes[k].residues;
    }
    taps *list = *memory =
        calloc(1, (size_t)lists * sizeof *list + (size_t)(2 * all) * sizeof(int32_t));
    if (!list) return dlf_fail(DLF_ERR_OOM, "conv: no memory for the taps of a kernel");
    int32_t *offset = (int32_t *)(list + lists), *index = offset + all;
    for (int k = 0; k < 2; k++) {
        axis *a = &axes[k];
        a->of = list;
        list += a->residues;
        int64_t low = INT32_MAX, high = INT32_MIN;
        for (int64_t residue = 0; residue < a->residues; residue++) {
            taps *t = &a->of[residue];
            t->offset = offset, t->index = index;
            for (int32_t i = 0; i < s->kernel[k]; i++) {
                const int32_t r = data ? s->kernel[k] - 1 - i : i; /* so that offsets ascend */
                const int64_t at = (int64_t)r * s->dilation[k] - s->pad[k];
                const int64_t distance = data ? residue - at : at;
                if (distance % a->period) continue;
                *offset = (int32_t)(distance / a->period), *index = r;
                low = least(low, *offset), high = *offset > high ? *offset : high;
                offset++, index++, t->n++;
            }
        }
        a->low = low <= high ? low : 0, a->high = low <= high ? high : 0;
    }
    return DLF_OK;
}

/* How the images of a member lie in lanes, and how many rows of them a task takes. */
typedef struct layers {
    int64_t blocks;        /* of VEC lanes                       */
    int64_t bands, band;   /* bands of an image, and quotients q */
    int64_t strips, strip; /* tasks of a band, and quotients     */
} layers;

/* As many bands as need the fewest products; exact: all bands are equally long. */
static inline void cut_into_bands(layers *l, const axis *a, int64_t N, bool exact)
{
    const int64_t Q = quotients(a);
    int64_t inside = 0, all = 0;
    for (int64_t residue = 0; residue < a->residues; residue++) {
        all += Q * a->of[residue].n;
        for (int64_t q = 0; q < Q; q++) {
            const range r = taps_inside(a, &a->of[residue], q);
            inside += r.end - r.first;
        }
    }
    double best = 0.0;
    for (int64_t bands = 1; bands <= least(Q, VEC); bands++) {
        if (exact && Q % bands) continue;
        const int64_t band = (Q + bands - 1) / bands, blocks = (N * bands + VEC - 1) / VEC;
        const double cost = (double)(blocks * band) * (double)((bands == 1 ? inside : all) + 1);
        if (bands > 1 && !(cost < 0.95 * best)) continue;
        best = cost;
        l->bands = bands, l->band = band, l->blocks = blocks;
    }
}

enum { VECTORS_MOST = (1 << 19) / (VEC * sizeof(float)) /* of a task's stacks: they stay in L2 */ };

/* Groups whose bands fit; `in` and `out` vectors per row of a group's input and results. */
static inline int64_t groups_together(const layers *l, const axis *a, int64_t in, int64_t out)
{
    const int64_t rows = l->band * a->step + a->high - a->low;
    const int64_t n = VECTORS_MOST / (rows * in + l->band * a->period * out);
    return n < 1 ? 1 : n;
}

/* Strips that fit: `in` and `out` vectors per row of input and of results. Rows that two strips
 * read are stacked twice; where there would be many, strips are longer and take most of a large L2.
 */
static inline void cut_into_strips(layers *l, const axis *a, int64_t in, int64_t out)
{
    const int64_t each = a->step * in + a->period * out, shared = a->high - a->low;
    const int64_t fit = (VECTORS_MOST - shared * in) / each;
    const int64_t longer = least((3 * VECTORS_MOST - shared * in) / each, 4 * shared / a->step);
    l->strip = fit > longer ? fit : longer;
    l->strip = l->strip < 1 ? 1 : least(l->strip, l->band);
    l->strips = (l->band + l->strip - 1) / l->strip;
    l->strip = (l->band + l->strips - 1) / l->strips; /* evenly */
}

/* Quotients of a strip, relative to where the band begins. */
static inline range strip_of(const layers *l, int64_t strip)
{
    const int64_t first = strip * l->strip;
    return (range){first, least(first + l->strip, l->band)};
}

/* Rows of input that a strip reads; whole images have nothing around them. */
static inline range rows_read(const axis *a, const layers *l, range q)
{
    range r = {q.first * a->step + a->low, (q.end - 1) * a->step + a->high + 1};
    if (l->bands > 1) return r;
    if (r.first < 0) r.first = 0;
    r.end = least(r.end, a->in);
    if (r.end < r.first) r.end = r.first;
    return r;
}

/* Taps at q: of bands all, for their stacks have zeros around the image. */
static inline range taps_at(const axis *a, const taps *t, int64_t q, bool all)
{
    return all ? (range){0, t->n} : taps_inside(a, t, q);
}

/* From q on, as far as the taps stay the same. */
static inline int64_t same_taps(const axis *a, const taps *t, int64_t q, int64_t end, bool all)
{
    const range here = taps_at(a, t, q, all);
    for (q++; q < end; q++) {
        const range r = taps_at(a, t, q, all);
        if (r.first != here.first || r.end != here.end) break;
    }
    return q;
}
#endif
