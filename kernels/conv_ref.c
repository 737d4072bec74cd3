/* SPDX-License-Identifier: MIT
 * conv_ref.c -- the definition: every product of the formula by itself. */
#include "dlf/backend.h"

dlf_status dlf_conv_forward_ref(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *w,
                                const dlf_tensor *bias, dlf_conv conv);
dlf_status dlf_conv_data_grad_ref(dlf_tensor *dx, const dlf_tensor *dy, const dlf_tensor *w,
                                  dlf_conv conv, double beta);
dlf_status dlf_conv_weight_grad_ref(dlf_tensor *dw, const dlf_tensor *x, const dlf_tensor *dy,
                                    dlf_conv conv, double beta);
dlf_status dlf_conv_bias_grad_ref(dlf_tensor *dbias, const dlf_tensor *dy, double beta);

/* (N,C,H,W) of a tensor in either layout; for w: (K,C/G,R,S). */
typedef struct extent {
    int64_t N, C, H, W;
    dlf_layout layout;
} extent;

static extent extent_of(const dlf_tensor *t, dlf_layout layout)
{
    const int64_t *s = t->shape;
    return layout == DLF_NCHW ? (extent){s[1], s[2], s[3], s[4], layout}
                              : (extent){s[1], s[4], s[2], s[3], layout};
}

static int64_t at(const extent *e, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return e->layout == DLF_NCHW ? ((n * e->C + c) * e->H + h) * e->W + w
                                 : ((n * e->H + h) * e->W + w) * e->C + c;
}

static double *member(const dlf_tensor *t, int64_t p)
{
    return (double *)t->data + (t->shape[0] == 1 ? 0 : p * t->stride);
}

/* Calls `take` for every product of the sum: where in y, x and w it lies. */
typedef void (*product)(void *user, int64_t in_y, int64_t in_x, int64_t in_w);

static void each_product(const extent *y, const extent *x, const extent *w, const dlf_conv *conv,
                         product take, void *user)
{
    for (int64_t n = 0; n < y->N; n++)
        for (int64_t k = 0; k < y->C; k++)
            for (int64_t i = 0; i < y->H; i++)
                for (int64_t j = 0; j < y->W; j++)
                    for (int64_t c = 0; c < w->C; c++)
                        for (int64_t r = 0; r < w->H; r++)
                            for (int64_t s = 0; s < w->W; s++) {
                                const int64_t group = k / (y->C / conv->groups);
                                const int64_t h =
                                    i * conv->stride[0] - conv->pad[0] + r * conv->dilation[0];
                                const int64_t v =
                                    j * conv->stride[1] - conv->pad[1] + s * conv->dilation[1];
                                if (h < 0 || h >= x->H || v < 0 || v >= x->W) continue;
                                take(user, at(y, n, k, i, j), at(x, n, group * w->C + c, h, v),
                                     at(w, k, c, r, s));
                            }
}

typedef struct member_data {
    double *y, *x, *w;
} member_data;

static void into_y(void *user, int64_t y, int64_t x, int64_t w)
{
    member_data *d = user;
    d->y[y] += d->x[x] * d->w[w];
}

static void into_x(void *user, int64_t y, int64_t x, int64_t w)
{
    member_data *d = user;
    d->x[x] += d->y[y] * d->w[w];
}

static void into_w(void *user, int64_t y, int64_t x, int64_t w)
{
    member_data *d = user;
    d->w[w] += d->y[y] * d->x[x];
}

/* Every member, `out` having been multiplied by beta first. */
static dlf_status run(const dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *w,
                      const dlf_conv *conv, const dlf_tensor *out, double beta, product take)
{
    const extent ye = extent_of(y, conv->layout), xe = extent_of(x, conv->layout);
    const extent we = extent_of(w, conv->layout);
    for (int64_t p = 0; p < out->shape[0]; p++) {
        member_data d = {member(y, p), member(x, p), member(w, p)};
        double *to = member(out, p);
        for (int64_t i = 0; i < dlf_tensor_member_count(out); i++)
            to[i] = beta == 0.0 ? 0.0 : beta * to[i];
        each_product(&ye, &xe, &we, conv, take, &d);
    }
    return DLF_OK;
}

dlf_status dlf_conv_forward_ref(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *w,
                                const dlf_tensor *bias, dlf_conv conv)
{
    const extent e = extent_of(y, conv.layout);
    DLF_TRY(run(y, x, w, &conv, y, 0.0, into_y));
    for (int64_t p = 0; bias && p < y->shape[0]; p++)
        for (int64_t n = 0; n < e.N; n++)
            for (int64_t k = 0; k < e.C; k++)
                for (int64_t i = 0; i < e.H; i++)
                    for (int64_t j = 0; j < e.W; j++)
                        member(y, p)[at(&e, n, k, i, j)] += member(bias, p)[k];
    return DLF_OK;
}

dlf_status dlf_conv_data_grad_ref(dlf_tensor *dx, const dlf_tensor *dy, const dlf_tensor *w,
                                  dlf_conv conv, double beta)
{
    return run(dy, dx, w, &conv, dx, beta, into_x);
}

dlf_status dlf_conv_weight_grad_ref(dlf_tensor *dw, const dlf_tensor *x, const dlf_tensor *dy,
                                    dlf_conv conv, double beta)
{
    return run(dy, x, dw, &conv, dw, beta, into_w);
}

/* DLF_NCHW; the other layout is bias_grad. */
dlf_status dlf_conv_bias_grad_ref(dlf_tensor *dbias, const dlf_tensor *dy, double beta)
{
    const extent e = extent_of(dy, DLF_NCHW);
    for (int64_t p = 0; p < dy->shape[0]; p++)
        for (int64_t k = 0; k < e.C; k++) {
            double sum = 0.0, *to = member(dbias, p) + k;
            for (int64_t n = 0; n < e.N; n++)
                for (int64_t i = 0; i < e.H; i++)
                    for (int64_t j = 0; j < e.W; j++) sum += member(dy, p)[at(&e, n, k, i, j)];
            *to = beta == 0.0 ? sum : sum + beta * *to;
        }
    return DLF_OK;
}
