/* SPDX-License-Identifier: MIT
 * propagate.c -- forward lengths and backward gradients of a population of random networks. */
#include "dlf/propagate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "dlf/theory.h"

#define WEIGHT_BYTES_MAX (256.0 * 1024 * 1024)

/* One group of nets that fits the weight budget, and everything it needs. */
typedef struct group {
    dlf_device *device;
    uint64_t seed;
    int width, depth, batch, count;
    const dlf_random_net *net;
    dlf_tensor draw;                                   /* (P) int32                        */
    dlf_tensor w_scale, b_scale, x_scale, delta_scale; /* (P)                              */
    dlf_tensor w, b;                                   /* (P,N,N), (P,N): the layer at hand */
    dlf_tensor x, delta, next;                         /* (P,B,N)                          */
    dlf_tensor *z;                                     /* z[l] (P,B,N), l = 1..depth       */
    dlf_tensor moments;                                /* (P,DLF_MOMENTS)                  */
    double *host;                                      /* P * DLF_MOMENTS                  */
} group;

static void group_free(group *g)
{
    dlf_tensor *all[] = {&g->draw, &g->w_scale, &g->b_scale, &g->x_scale, &g->delta_scale, &g->w,
                         &g->b,    &g->x,       &g->delta,   &g->next,    &g->moments};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
    for (int l = 1; g->z && l <= g->depth; l++) dlf_tensor_free(&g->z[l]);
    free(g->z);
    free(g->host);
}

/* t[p] = of(net p, width) */
static dlf_status upload_scale(group *g, dlf_tensor *t,
                               double (*of)(const dlf_random_net *net, int width))
{
    DLF_TRY(dlf_tensor_new(t, g->device, g->device->real, g->count));
    for (int p = 0; p < g->count; p++) g->host[p] = of(&g->net[p], g->width);
    return dlf_tensor_upload_f64(t, g->host);
}

static double w_scale(const dlf_random_net *n, int width)
{
    return sqrt(n->sigma_w2 / width);
}
static double b_scale(const dlf_random_net *n, int width)
{
    return sqrt(n->sigma_b2);
}
static double x_scale(const dlf_random_net *n, int width)
{
    return n->x_scale;
}
static double delta_scale(const dlf_random_net *n, int width)
{
    return n->delta_scale;
}

static dlf_status group_new(group *g)
{
    const int64_t P = g->count, N = g->width, B = g->batch;
    const dlf_dtype real = g->device->real;
    dlf_status status = DLF_OK;
    g->host = malloc((size_t)P * DLF_MOMENTS * sizeof *g->host);
    g->z = calloc((size_t)g->depth + 1, sizeof *g->z);
    int32_t *draw = malloc((size_t)P * sizeof *draw);
    if (!g->host || !g->z || !draw) {
        status = dlf_fail(DLF_ERR_OOM, "propagate: out of memory");
        goto done;
    }
    for (int64_t p = 0; p < P; p++) draw[p] = g->net[p].draw;
    DLF_TRY_DONE(dlf_tensor_new(&g->draw, g->device, DLF_I32, P));
    DLF_TRY_DONE(dlf_tensor_upload_i32(&g->draw, draw));
    DLF_TRY_DONE(upload_scale(g, &g->w_scale, w_scale));
    DLF_TRY_DONE(upload_scale(g, &g->b_scale, b_scale));
    DLF_TRY_DONE(upload_scale(g, &g->x_scale, x_scale));
    DLF_TRY_DONE(upload_scale(g, &g->delta_scale, delta_scale));
    DLF_TRY_DONE(dlf_tensor_new(&g->w, g->device, real, P, N, N));
    DLF_TRY_DONE(dlf_tensor_new(&g->b, g->device, real, P, N));
    DLF_TRY_DONE(dlf_tensor_new(&g->x, g->device, real, P, B, N));
    DLF_TRY_DONE(dlf_tensor_new(&g->delta, g->device, real, P, B, N));
    DLF_TRY_DONE(dlf_tensor_new(&g->next, g->device, real, P, B, N));
    DLF_TRY_DONE(dlf_tensor_new(&g->moments, g->device, DLF_F64, P, DLF_MOMENTS));
    for (int l = 1; l <= g->depth; l++)
        DLF_TRY_DONE(dlf_tensor_new(&g->z[l], g->device, real, P, B, N));
done:
    free(draw);
    return status;
}

static dlf_status draw_normal(group *g, dlf_tensor *t, const dlf_tensor *scale,
                              enum dlf_purpose purpose, int layer)
{
    return dlf_random_normal(t, &g->draw, scale,
                             (dlf_rng){g->seed, dlf_stream(purpose, (uint32_t)layer)});
}

/* Apply an elementwise op to every run of neighbours that share the activation. */
static dlf_status
by_activation(group *g, dlf_status (*apply)(group *, int first, int count, int l, dlf_activation f),
              int l)
{
    for (int first = 0, end; first < g->count; first = end) {
        const dlf_activation f = g->net[first].f;
        for (end = first + 1; end < g->count; end++)
            if (g->net[end].f.kind != f.kind || g->net[end].f.alpha != f.alpha) break;
        DLF_TRY(apply(g, first, end - first, l, f));
    }
    return DLF_OK;
}

/* x = f(z^l) */
static dlf_status activate(group *g, int first, int count, int l, dlf_activation f)
{
    dlf_tensor y = dlf_tensor_slice(&g->x, first, count);
    const dlf_tensor z = dlf_tensor_slice(&g->z[l], first, count);
    return dlf_activation_forward(&y, &z, f);
}

/* delta = next * f'(z^l); x is scratch for f(z^l), which f' may be read from. */
static dlf_status differentiate(group *g, int first, int count, int l, dlf_activation f)
{
    dlf_tensor y = dlf_tensor_slice(&g->x, first, count);
    dlf_tensor delta = dlf_tensor_slice(&g->delta, first, count);
    const dlf_tensor next = dlf_tensor_slice(&g->next, first, count);
    const dlf_tensor z = dlf_tensor_slice(&g->z[l], first, count);
    if (!dlf_activation_needs_x(f.kind)) DLF_TRY(dlf_activation_forward(&y, &z, f));
    return dlf_activation_backward(&delta, &next, &z, &y, f);
}

/* out[p * (depth+1)] = mean square of net p's values, over `scale`^2. */
static dlf_status mean_squares(group *g, const dlf_tensor *t, double *out, bool over_delta_scale)
{
    DLF_TRY(dlf_moments(&g->moments, t));
    DLF_TRY(dlf_tensor_download_f64(g->host, &g->moments));
    const double n = (double)dlf_tensor_member_count(t);
    for (int p = 0; p < g->count; p++) {
        const double s = over_delta_scale ? g->net[p].delta_scale : 1.0;
        out[(int64_t)p * (g->depth + 1)] =
            g->host[p * DLF_MOMENTS + DLF_MOMENT_SUM_SQUARES] / n / s / s;
    }
    return DLF_OK;
}

static dlf_status forward_layer(group *g, int l, double *length)
{
    DLF_TRY(draw_normal(g, &g->w, &g->w_scale, DLF_PURPOSE_WEIGHTS, l));
    DLF_TRY(draw_normal(g, &g->b, &g->b_scale, DLF_PURPOSE_BIAS, l));
    DLF_TRY(dlf_gemm(&g->z[l], &g->x, &g->w, (dlf_gemm_args){.trans_b = true, .alpha = 1.0}));
    DLF_TRY(dlf_bias_add(&g->z[l], &g->z[l], &g->b));
    DLF_TRY(mean_squares(g, &g->z[l], length + l, false));
    return by_activation(g, activate, l);
}

static dlf_status backward_layer(group *g, int l, double *gradient)
{
    if (l == g->depth) {
        DLF_TRY(draw_normal(g, &g->delta, &g->delta_scale, DLF_PURPOSE_GRADIENT, l));
    } else {
        DLF_TRY(draw_normal(g, &g->w, &g->w_scale, DLF_PURPOSE_WEIGHTS, l + 1));
        DLF_TRY(dlf_gemm(&g->next, &g->delta, &g->w, (dlf_gemm_args){.alpha = 1.0}));
        DLF_TRY(by_activation(g, differentiate, l));
    }
    return mean_squares(g, &g->delta, gradient + l, true);
}

typedef struct progress_range {
    dlf_status (*call)(void *user, double fraction);
    void *user;
    double from, size;
} progress_range;

static dlf_status report(const progress_range *r, int done, int of)
{
    return r->call ? r->call(r->user, r->from + r->size * done / of) : DLF_OK;
}

static dlf_status propagate_group(group *g, double *length, double *gradient,
                                  const progress_range *range)
{
    DLF_TRY(group_new(g));
    DLF_TRY(draw_normal(g, &g->x, &g->x_scale, DLF_PURPOSE_INPUT, 0));
    DLF_TRY(mean_squares(g, &g->x, length, false));
    for (int l = 1; l <= g->depth; l++) {
        DLF_TRY(forward_layer(g, l, length));
        DLF_TRY(report(range, l, 2 * g->depth));
    }
    for (int l = g->depth; l >= 1; l--) {
        DLF_TRY(backward_layer(g, l, gradient));
        DLF_TRY(report(range, 2 * g->depth - l + 1, 2 * g->depth));
    }
    return DLF_OK;
}

dlf_status dlf_propagate(dlf_propagation *out, dlf_device *device, uint64_t seed, int width,
                         int depth, int batch, const dlf_random_net *net, int nets,
                         dlf_status (*progress)(void *user, double fraction), void *user)
{
    dlf_status status = DLF_OK;
    const size_t row = (size_t)depth + 1;
    *out = (dlf_propagation){.nets = nets,
                             .depth = depth,
                             .length = calloc((size_t)nets * row, sizeof(double)),
                             .gradient = calloc((size_t)nets * row, sizeof(double))};
    if (!out->length || !out->gradient) {
        status = dlf_fail(DLF_ERR_OOM, "propagate: out of memory");
        goto done;
    }
    const double member_bytes = (double)dlf_dtype_size(device->real) * width * width;
    int at_once = (int)fmin(nets, floor(WEIGHT_BYTES_MAX / member_bytes));
    if (at_once < 1) at_once = 1;
    for (int first = 0; first < nets; first += at_once) {
        const int count = first + at_once <= nets ? at_once : nets - first;
        group g = {.device = device,
                   .seed = seed,
                   .width = width,
                   .depth = depth,
                   .batch = batch,
                   .count = count,
                   .net = net + first};
        const progress_range range = {progress, user, (double)first / nets, (double)count / nets};
        status = propagate_group(&g, out->length + (size_t)first * row,
                                 out->gradient + (size_t)first * row, &range);
        group_free(&g);
        if (status != DLF_OK) break;
    }
done:
    if (status != DLF_OK) dlf_propagation_free(out);
    return status;
}

void dlf_propagation_free(dlf_propagation *p)
{
    if (!p) return;
    free(p->length);
    free(p->gradient);
    memset(p, 0, sizeof *p);
}

dlf_random_net dlf_random_net_of(dlf_activation f, double sigma_w2, double sigma_b2, int depth,
                                 int32_t draw)
{
    const dlf_meanfield m = dlf_meanfield_solve(f, sigma_w2, sigma_b2, false);
    const double q = m.q_star == 0.0 ? 1e-6 : isinf(m.q_star) ? 1.0 : m.q_star;
    const double decades = 0.25 * depth * log10(m.chi_1); /* of the amplitude, half the way */
    return (dlf_random_net){
        .f = f,
        .sigma_w2 = sigma_w2,
        .sigma_b2 = sigma_b2,
        .x_scale = sqrt(fmax(0.0, q - sigma_b2) / sigma_w2),
        .delta_scale = pow(10.0, fmax(-30.0, fmin(30.0, -decades))),
        .draw = draw,
    };
}

double dlf_growth_factor(const dlf_propagation *p, int first, int count, int skip)
{
    double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (int l = 1; l <= p->depth; l++) {
        double sum = 0.0;
        for (int i = first; i < first + count; i++)
            if (i != skip) sum += p->gradient[(size_t)i * (size_t)(p->depth + 1) + (size_t)l];
        if (!(sum > 0.0) || !isfinite(sum)) continue;
        const double x = -l, y = log(sum);
        n += 1;
        sx += x;
        sy += y;
        sxx += x * x;
        sxy += x * y;
    }
    return n < 2 ? NAN : exp((n * sxy - sx * sy) / (n * sxx - sx * sx));
}
