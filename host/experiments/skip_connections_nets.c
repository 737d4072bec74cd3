/* SPDX-License-Identifier: MIT
 * skip_connections_nets.c -- random stacks of blocks: build, draw, differentiate, look. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/graph.h"
#include "dlf/rng.h"
#include "skip_connections.h"

#define MEMORY_AT_A_TIME (256.0 * 1024 * 1024)

static const dlf_node none = {0};

/* One population while it is measured. */
typedef struct stack {
    const dlf_skip_stack *spec;
    int nets, members; /* networks at a time; members = nets x arms, arm fastest */
    dlf_graph *g;
    dlf_node *x;      /* (depth+1) */
    dlf_node *weight; /* (2 depth) */
    int weights;
    dlf_tensor draw, scale;   /* (P)   */
    dlf_tensor source, mix;   /* (P,C,N), (1,B,C): what x_0 or the seed is mixed from */
    dlf_tensor moments, gram; /* (P,MOMENTS), (P,B,B) */
    double *host;             /* (P) x max(MOMENTS, B B) */
} stack;

static void stack_free(stack *s)
{
    dlf_graph_free(s->g);
    dlf_tensor *all[] = {&s->draw, &s->scale, &s->source, &s->mix, &s->moments, &s->gram};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
    free(s->x);
    free(s->weight);
    free(s->host);
}

void dlf_skip_view_free(dlf_skip_view *v)
{
    free(v->energy);
    free(v->variance);
    free(v->gram);
    *v = (dlf_skip_view){0};
}

/* ---- build ------------------------------------------------------------------------------------
 */

/* Weights are inputs, not parameters: nobody wants their gradient. */
static dlf_node apply_weight(stack *s, dlf_node x)
{
    const int64_t in = dlf_graph_node(s->g, x).shape[2];
    char name[24];
    snprintf(name, sizeof name, "w%d", s->weights);
    const dlf_node w = dlf_input(s->g, name, 3, (int64_t[]){s->members, s->spec->width, in});
    s->weight[s->weights++] = w;
    return dlf_matmul(s->g, NULL, x, false, w, true, 1.0);
}

static dlf_node activate(stack *s, dlf_node x)
{
    return dlf_activate(s->g, NULL, x,
                        s->spec->activation ? *s->spec->activation : dlf_activation_of(DLF_RELU));
}

/* (1-T) x + T h as x + T (h - x), T = sigmoid(V x + b) */
static dlf_node gated(stack *s, dlf_node x, dlf_node bias)
{
    const dlf_node h = apply_weight(s, activate(s, x));
    const dlf_node v = dlf_bias(s->g, NULL, apply_weight(s, x), bias);
    const dlf_node t = dlf_activate(s->g, NULL, v, dlf_activation_of(DLF_SIGMOID));
    const dlf_node change = dlf_add(s->g, NULL, h, dlf_scale(s->g, NULL, x, none, -1.0));
    return dlf_add(s->g, NULL, x, dlf_product(s->g, NULL, t, change));
}

static dlf_node block(stack *s, dlf_node x, dlf_node skip, dlf_node branch)
{
    dlf_graph *g = s->g;
    const dlf_norm batch_norm = {.kind = DLF_BATCH_NORM, .eps = 0.0, .momentum = 0.1};
    const dlf_norm norm = s->spec->norm ? *s->spec->norm : batch_norm;
    switch (s->spec->kind) {
    case DLF_SKIP_CONCAT: return dlf_concat(g, NULL, x, apply_weight(s, activate(s, x)));
    case DLF_SKIP_GATE: return gated(s, x, skip);
    case DLF_SKIP_NORM_SUM:
    case DLF_SKIP_SUM: break;
    }
    const dlf_node in =
        s->spec->kind == DLF_SKIP_SUM ? x : dlf_normalise(g, NULL, x, none, none, none, norm);
    const dlf_node h = dlf_scale(g, NULL, apply_weight(s, activate(s, in)), branch, 1.0);
    return dlf_add(g, NULL, dlf_scale(g, NULL, x, skip, 1.0), h);
}

static bool looked_at(const dlf_skip_stack *spec, int l)
{
    return l == 0 || (spec->every > 0 && l % spec->every == 0);
}

static dlf_node per_member(stack *s, const char *name, const double *arms, double *row)
{
    for (int p = 0; p < s->members; p++) row[p] = arms[p % s->spec->arms];
    return dlf_hyper(s->g, name, row);
}

static dlf_status build(stack *s, dlf_device *device)
{
    const dlf_skip_stack *spec = s->spec;
    const int64_t P = s->members, N = spec->width;
    double *row = malloc((size_t)P * sizeof *row);
    if (!row) return dlf_fail(DLF_ERR_OOM, "skip connections: out of memory");
    dlf_node skip = none, branch = none;
    dlf_status status = dlf_graph_new(&s->g, device, s->members);
    if (status != DLF_OK) goto done;
    if (spec->kind == DLF_SKIP_GATE) {
        skip = dlf_input(s->g, "gate_bias", 2, (int64_t[]){P, N});
    } else if (spec->kind != DLF_SKIP_CONCAT) {
        skip = per_member(s, "skip", spec->skip, row);
        branch = per_member(s, "branch", spec->branch, row);
    }
    s->x[0] = dlf_input(s->g, "x", 3, (int64_t[]){P, spec->batch, N});
    for (int l = 0; l <= spec->depth; l++) {
        if (l > 0) s->x[l] = block(s, s->x[l - 1], skip, branch);
        if (!looked_at(spec, l)) continue;
        dlf_want_gradient(s->g, s->x[l]);
        dlf_want_value(s->g, s->x[l]);
    }
    dlf_graph_seed(s->g, s->x[spec->depth]);
    DLF_TRY_DONE(dlf_graph_compile(s->g));
    if (spec->kind == DLF_SKIP_GATE) {
        double *bias = malloc((size_t)(P * N) * sizeof *bias);
        for (int64_t i = 0; bias && i < P * N; i++) bias[i] = spec->skip[i / N % spec->arms];
        status = bias ? dlf_tensor_upload_f64(dlf_graph_value(s->g, skip), bias)
                      : dlf_fail(DLF_ERR_OOM, "skip connections: out of memory");
        free(bias);
    }
done:
    free(row);
    return status;
}

/* ---- draw -------------------------------------------------------------------------------------
 */

static dlf_status draw_weight(stack *s, int index, uint64_t seed)
{
    dlf_tensor *w = dlf_graph_value(s->g, s->weight[index]);
    const bool gate = s->spec->kind == DLF_SKIP_GATE && index % 2 == 1;
    const double deviation = sqrt((gate ? 1.0 : 2.0) / (double)w->shape[2]);
    for (int p = 0; p < s->members; p++) s->host[p] = deviation;
    DLF_TRY(dlf_tensor_upload_f64(&s->scale, s->host));
    return dlf_random_normal(w, &s->draw, &s->scale,
                             (dlf_rng){seed, dlf_stream(DLF_PURPOSE_WEIGHTS, (uint32_t)index + 1)});
}

/* t = mix r, r ~ N(0,1) of (columns, width of t) per member */
static dlf_status draw_mixture(stack *s, dlf_tensor *t, const double *mix, int columns, dlf_rng rng)
{
    dlf_device *dev = dlf_graph_device(s->g);
    dlf_tensor_free(&s->source);
    dlf_tensor_free(&s->mix);
    DLF_TRY(dlf_tensor_new(&s->source, dev, dev->real, s->members, columns, t->shape[2]));
    DLF_TRY(dlf_tensor_new(&s->mix, dev, dev->real, 1, s->spec->batch, columns));
    DLF_TRY(dlf_random_normal(&s->source, &s->draw, NULL, rng));
    DLF_TRY(dlf_tensor_upload_f64(&s->mix, mix));
    return dlf_gemm(t, &s->mix, &s->source, (dlf_gemm_args){.alpha = 1.0});
}

static dlf_status draw(stack *s, int first, uint64_t seed)
{
    const dlf_skip_stack *spec = s->spec;
    dlf_graph *g = s->g;
    int32_t *which = malloc((size_t)s->members * sizeof *which);
    if (!which) return dlf_fail(DLF_ERR_OOM, "skip connections: out of memory");
    for (int p = 0; p < s->members; p++) which[p] = first + p / spec->arms;
    const dlf_status status = dlf_tensor_upload_i32(&s->draw, which);
    free(which);
    DLF_TRY(status);
    for (int i = 0; i < s->weights; i++) DLF_TRY(draw_weight(s, i, seed));
    DLF_TRY(draw_mixture(s, dlf_graph_value(g, s->x[0]), spec->mix, spec->mix_columns,
                         (dlf_rng){seed, dlf_stream(DLF_PURPOSE_INPUT, 0)}));
    return draw_mixture(s, dlf_graph_seed_gradient(g, s->x[spec->depth]), spec->gradient_mix,
                        spec->gradient_columns,
                        (dlf_rng){seed, dlf_stream(DLF_PURPOSE_GRADIENT, 0)});
}

/* ---- look -------------------------------------------------------------------------------------
 */

static dlf_status mean_squares(stack *s, const dlf_tensor *t, double *out)
{
    const double count = (double)dlf_tensor_member_count(t);
    DLF_TRY(dlf_moments(&s->moments, t));
    DLF_TRY(dlf_tensor_download_f64(s->host, &s->moments));
    for (int p = 0; p < s->members; p++)
        out[p] = s->host[p * DLF_MOMENTS + DLF_MOMENT_SUM_SQUARES] / count;
    return DLF_OK;
}

/* s->host (P,B,B) = t t^T / columns */
static dlf_status gram_of(stack *s, const dlf_tensor *t)
{
    DLF_TRY(
        dlf_gemm(&s->gram, t, t,
                 (dlf_gemm_args){.trans_b = true, .alpha = 1.0 / (double)t->shape[t->ndim - 1]}));
    return dlf_tensor_download_f64(s->host, &s->gram);
}

/* Mean over units of the variance over the batch: mean diagonal minus mean entry. */
static double variance_of(const double *gram, int B)
{
    double trace = 0.0, sum = 0.0;
    for (int i = 0; i < B; i++) {
        trace += gram[i * B + i];
        for (int j = 0; j < B; j++) sum += gram[i * B + j];
    }
    return trace / B - sum / B / B;
}

static dlf_status look(stack *s, dlf_skip_view *v, int first, const double *top, double *energy)
{
    const dlf_skip_stack *spec = s->spec;
    const size_t BB = (size_t)(spec->batch * spec->batch);
    for (int k = 0, l = 0; l <= spec->depth; l++) {
        if (!looked_at(spec, l)) continue;
        DLF_TRY(mean_squares(s, dlf_graph_gradient(s->g, s->x[l]), energy));
        for (int p = 0; p < s->members; p++)
            v->energy[dlf_skip_at(v, first + p / v->arms, p % v->arms, k)] = energy[p] / top[p];
        if (v->variance) {
            DLF_TRY(gram_of(s, dlf_graph_value(s->g, s->x[l])));
            for (int p = 0; p < s->members; p++)
                v->variance[dlf_skip_at(v, first + p / v->arms, p % v->arms, k)] =
                    variance_of(s->host + (size_t)p * BB, spec->batch);
        }
        if (v->gram) {
            DLF_TRY(gram_of(s, dlf_graph_gradient(s->g, s->x[l])));
            for (int p = 0; p < s->members; p++) {
                double *to = v->gram + dlf_skip_at(v, first + p / v->arms, p % v->arms, k) * BB;
                for (size_t i = 0; i < BB; i++) to[i] = s->host[(size_t)p * BB + i] / top[p];
            }
        }
        k++;
    }
    return DLF_OK;
}

/* ---- all of it ----------------------------------------------------------------------------------
 */

/* Bytes of one member: weights, and about four tensors of activations a block. */
static double bytes_of(const dlf_skip_stack *spec, const dlf_device *device)
{
    const double N = spec->width, L = spec->depth;
    const double units = spec->kind == DLF_SKIP_CONCAT ? N * (L + 2) / 2 : N;
    const double matrices = spec->kind == DLF_SKIP_GATE ? 2 : 1;
    const double kept = spec->every ? 6 : 4;
    return (double)dlf_dtype_size(device->real) * L * units *
           (matrices * N + kept * matrices * spec->batch);
}

static dlf_status prepare(stack *s, dlf_skip_view *out, dlf_device *dev, int nets)
{
    const dlf_skip_stack *spec = s->spec;
    const size_t looks = spec->every ? (size_t)(spec->depth / spec->every) + 1 : 1;
    const size_t seen = (size_t)nets * (size_t)spec->arms * looks;
    const size_t BB = (size_t)spec->batch * (size_t)spec->batch;
    const size_t per_row = BB > DLF_MOMENTS ? BB : DLF_MOMENTS;
    *out = (dlf_skip_view){
        .nets = nets, .arms = spec->arms, .looks = (int)looks, .batch = spec->batch};
    out->energy = malloc(seen * sizeof *out->energy);
    out->variance = spec->kind == DLF_SKIP_NORM_SUM ? malloc(seen * sizeof *out->variance) : NULL;
    out->gram = spec->gram ? malloc(seen * BB * sizeof *out->gram) : NULL;
    s->x = calloc((size_t)spec->depth + 1, sizeof *s->x);
    s->weight = calloc(2 * (size_t)spec->depth, sizeof *s->weight);
    s->host = malloc((size_t)s->members * per_row * sizeof *s->host);
    if (!out->energy || (spec->kind == DLF_SKIP_NORM_SUM && !out->variance) ||
        (spec->gram && !out->gram) || !s->x || !s->weight || !s->host)
        return dlf_fail(DLF_ERR_OOM, "skip connections: out of memory");
    DLF_TRY(dlf_tensor_new(&s->draw, dev, DLF_I32, s->members));
    DLF_TRY(dlf_tensor_new(&s->scale, dev, dev->real, s->members));
    DLF_TRY(dlf_tensor_new(&s->moments, dev, DLF_F64, s->members, DLF_MOMENTS));
    DLF_TRY(dlf_tensor_new(&s->gram, dev, dev->real, s->members, spec->batch, spec->batch));
    return build(s, dev);
}

dlf_status dlf_skip_look(dlf_skip_view *out, dlf_run *run, const dlf_skip_stack *spec, int nets,
                         uint64_t seed, double from, double to, const char *what)
{
    dlf_device *dev = dlf_run_device(run);
    const double fit = floor(MEMORY_AT_A_TIME / (bytes_of(spec, dev) * spec->arms));
    int at_a_time = fit < 1 ? 1 : fit > nets ? nets : (int)fit;
    const int rounds = (nets + at_a_time - 1) / at_a_time;
    at_a_time = (nets + rounds - 1) / rounds;
    dlf_status status;
    stack s = {.spec = spec, .nets = at_a_time, .members = at_a_time * spec->arms};
    double *top = malloc((size_t)s.members * 2 * sizeof *top);
    *out = (dlf_skip_view){0};
    if (!top) return dlf_fail(DLF_ERR_OOM, "skip connections: out of memory");
    DLF_TRY_DONE(prepare(&s, out, dev, nets));
    for (int first = 0; first < nets; first += at_a_time) {
        if (first + at_a_time > nets) first = nets - at_a_time; /* the last few twice: same draws */
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * first / nets, "%s", what));
        DLF_TRY_DONE(draw(&s, first, seed));
        DLF_TRY_DONE(dlf_graph_forward(s.g, DLF_TRAINING));
        DLF_TRY_DONE(dlf_graph_backward(s.g));
        DLF_TRY_DONE(mean_squares(&s, dlf_graph_seed_gradient(s.g, s.x[spec->depth]), top));
        DLF_TRY_DONE(look(&s, out, first, top, top + s.members));
    }
done:
    free(top);
    stack_free(&s);
    if (status != DLF_OK) dlf_skip_view_free(out);
    return status;
}

void dlf_skip_by_seed(double *out, const double *values, int nets, int stride, int seeds)
{
    const int each = nets / seeds;
    for (int s = 0; s < seeds; s++) {
        double sum = 0.0;
        for (int i = 0; i < each; i++) sum += values[(size_t)(s * each + i) * (size_t)stride];
        out[s] = sum / each;
    }
}
