/* SPDX-License-Identifier: MIT
 * cpu_conv_plan.h -- a forward pass or a residue of a data gradient as one product: what it reads
 * (lattice), what it multiplies with (weights), where it goes (target). */
#ifndef DLF_CPU_CONV_PLAN_H
#define DLF_CPU_CONV_PLAN_H
#include "cpu_conv.h"

/* Element (unit m, channel c, tap r,t) of the weights, whose taps are listed for the lattice's. */
typedef struct weights {
    const float *w;
    int64_t member, group, unit, channel, tap[2]; /* strides */
    int64_t units;                                /* of a group */
    int32_t *index[2];                            /* of the lattice's taps in the kernel */
} weights;

typedef struct target {
    float *out;                                 /* of position 0 of the grid                     */
    int64_t member, group, sample, unit, at[2]; /* strides */
    bool dense;                                 /* positions follow each other                   */
    float beta;
    const float *bias; /* NULL: 0 */
    int64_t bias_member;
} target;

typedef struct plan {
    lattice l;
    weights w;
    target t;
    const float *in;
    int64_t P, in_group; /* in_group: elements from group to group of the input */
    int32_t groups;
    bool nchw;
    float *packed; /* weights: [member][group][block of units][d][lane]               */
    int64_t block; /* units of a block; a block has MR (NCHW) or NR (NHWC) lanes      */
    int64_t blocks, packed_size;
    int threads;
    int32_t *memory; /* of the lists */
} plan;

static inline int64_t lanes_of(const plan *p)
{
    return p->nchw ? MR : NR;
}

/* Lists of taps; at least one entry each. */
static dlf_status list_taps(plan *p, const dlf_conv_shape *s)
{
    const size_t n[2] = {(size_t)s->kernel[0] + 1, (size_t)s->kernel[1] + 1};
    p->memory = calloc(2 * (n[0] + n[1]), sizeof *p->memory);
    if (!p->memory) return dlf_fail(DLF_ERR_OOM, "conv: no memory for the taps of a kernel");
    p->l.offset[0] = p->memory;
    p->w.index[0] = p->memory + n[0];
    p->l.offset[1] = p->memory + 2 * n[0];
    p->w.index[1] = p->memory + 2 * n[0] + n[1];
    return DLF_OK;
}

static dlf_status plan_forward(plan *p, const dlf_conv_shape *s, float *y, const float *x,
                               const float *w)
{
    *p = (plan){.in = x, .P = s->P, .groups = s->groups, .nchw = s->nchw};
    DLF_TRY(list_taps(p, s));
    p->in_group = s->C * s->x.channel;
    p->l.N = s->N;
    p->l.channels = s->C;
    p->l.in = s->x;
    p->t = (target){y,
                    s->y.member,
                    s->K * s->y.channel,
                    s->y.sample,
                    s->y.channel,
                    {s->y.at[0], s->y.at[1]},
                    true,
                    0.0f,
                    NULL,
                    0};
    p->w.w = w;
    p->w.member = s->w.member;
    p->w.group = s->K * s->w.unit;
    p->w.unit = s->w.unit;
    p->w.channel = s->w.channel;
    p->w.units = s->K;
    for (int k = 0; k < 2; k++) {
        p->w.tap[k] = s->w.tap[k];
        p->l.size[k] = s->in[k];
        p->l.grid[k] = s->out[k];
        p->l.step[k] = s->stride[k];
        p->l.taps[k] = s->kernel[k];
        for (int32_t r = 0; r < s->kernel[k]; r++) {
            p->l.offset[k][r] = r * s->dilation[k] - s->pad[k];
            p->w.index[k][r] = r;
        }
    }
    return DLF_OK;
}

/* Positions residue, residue + stride, .. of the input: those of the output that tap r reaches them
 * from are q + (residue + pad - r dilation) / stride, where that is whole. */
static dlf_status plan_data(plan *p, const dlf_conv_shape *s, const int32_t residue[2], float *dx,
                            const float *dy, const float *w, double beta)
{
    *p = (plan){.in = dy, .P = s->P, .groups = s->groups, .nchw = s->nchw};
    DLF_TRY(list_taps(p, s));
    p->in_group = s->K * s->y.channel;
    p->l.N = s->N;
    p->l.channels = s->K;
    p->l.in = s->y;
    p->t = (target){dx + residue[0] * s->x.at[0] + residue[1] * s->x.at[1],
                    s->x.member,
                    s->C * s->x.channel,
                    s->x.sample,
                    s->x.channel,
                    {s->stride[0] * s->x.at[0], s->stride[1] * s->x.at[1]},
                    s->stride[0] == 1 && s->stride[1] == 1,
                    (float)beta,
                    NULL,
                    0};
    p->w.w = w;
    p->w.member = s->w.member;
    p->w.group = s->K * s->w.unit;
    p->w.unit = s->w.channel;
    p->w.channel = s->w.unit;
    p->w.units = s->C;
    for (int k = 0; k < 2; k++) {
        p->w.tap[k] = s->w.tap[k];
        p->l.size[k] = s->out[k];
        p->l.step[k] = 1;
        p->l.grid[k] = (s->in[k] - residue[k] + s->stride[k] - 1) / s->stride[k];
        int64_t n = 0;
        for (int32_t r = s->kernel[k] - 1; r >= 0; r--) {
            const int64_t distance = (int64_t)residue[k] + s->pad[k] - (int64_t)r * s->dilation[k];
            if (distance % s->stride[k]) continue;
            p->l.offset[k][n] = (int32_t)(distance / s->stride[k]);
            p->w.index[k][n++] = r;
        }
        p->l.taps[k] = n;
    }
    if (p->l.taps[0] == 0 || p->l.taps[1] == 0) p->l.taps[0] = p->l.taps[1] = 0;
    return DLF_OK;
}

/* Weights as the register blocks read them: d, then the units of a block side by side. */
static void pack_block(const plan *p, float *out, const float *w, int64_t first)
{
    const lattice *l = &p->l;
    const int64_t lanes = lanes_of(p), units = least(p->block, p->w.units - first);
    const int64_t channels = l->channels, taps = l->taps[0] * l->taps[1];
    for (int64_t d = 0; d < channels * taps; d++, out += lanes) {
        const int64_t c = p->nchw ? d / taps : d % channels,
                      tap = p->nchw ? d % taps : d / channels;
        const float *from = w + first * p->w.unit + c * p->w.channel +
                            p->w.index[0][tap / l->taps[1]] * p->w.tap[0] +
                            p->w.index[1][tap % l->taps[1]] * p->w.tap[1];
        for (int64_t i = 0; i < units; i++) out[i] = from[i * p->w.unit];
        for (int64_t i = units; i < lanes; i++) out[i] = 0.0f;
    }
}

static dlf_status pack_weights(plan *p)
{
    const int64_t lanes = lanes_of(p), members = p->w.member == 0 ? 1 : p->P;
    p->blocks = (p->w.units + lanes - 1) / lanes;
    /* Rows evenly: 8 + 8 rather than 12 + 4. */
    p->block = p->nchw ? (p->w.units + p->blocks - 1) / p->blocks : NR;
    p->packed_size = p->blocks * lattice_depth(&p->l) * lanes;
    const int64_t floats = members * p->groups * p->packed_size + SLACK;
    p->packed = aligned_alloc(64, (size_t)(floats + 15) / 16 * 64);
    if (!p->packed) return dlf_fail(DLF_ERR_OOM, "conv: no memory for packing");
    const int64_t tasks = members * p->groups * p->blocks;
#pragma omp parallel for schedule(static) num_threads(p->threads) if (p->threads > 1)
    for (int64_t k = 0; k < tasks; k++) {
        const int64_t block = k % p->blocks, which = k / p->blocks;
        pack_block(p, p->packed + which * p->packed_size + block * lattice_depth(&p->l) * lanes,
                   p->w.w + which / p->groups * p->w.member + which % p->groups * p->w.group,
                   block * p->block);
    }
    return DLF_OK;
}

static void plan_free(plan *p)
{
    free(p->packed);
    free(p->memory);
}
#endif
