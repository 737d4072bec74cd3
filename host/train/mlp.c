/* SPDX-License-Identifier: MIT
 * mlp.c -- forward and backward pass of a population of fully connected networks. */
#include "dlf/mlp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"

static int fan_in(const dlf_mlp_spec *s, int l)
{
    return l == 1 ? s->inputs : s->width;
}
static int fan_out(const dlf_mlp_spec *s, int l)
{
    return l == s->depth + 1 ? s->classes : s->width;
}

static int64_t parameter_count(const dlf_mlp_spec *s)
{
    int64_t n = 0;
    for (int l = 1; l <= s->depth + 1; l++) n += (int64_t)fan_out(s, l) * (fan_in(s, l) + 1);
    return n;
}

/* Parameters lie in a member's row as W1 b1 W2 b2 ...: one SGD launch updates all of them. */
static void place_parameters(dlf_mlp *m)
{
    const dlf_mlp_spec *s = &m->spec;
    const int64_t P = s->members;
    int64_t at = 0;
    for (int l = 1; l <= m->layers; l++) {
        const int64_t in = fan_in(s, l), out = fan_out(s, l);
        const int64_t w_shape[] = {P, out, in}, b_shape[] = {P, out};
        dlf_mlp_layer *layer = &m->layer[l];
        layer->w = dlf_tensor_window(&m->params, at, 3, w_shape);
        layer->dw = dlf_tensor_window(&m->grads, at, 3, w_shape);
        at += out * in;
        layer->b = dlf_tensor_window(&m->params, at, 2, b_shape);
        layer->db = dlf_tensor_window(&m->grads, at, 2, b_shape);
        at += out;
    }
}

dlf_status dlf_mlp_new(dlf_mlp *out, dlf_device *device, const dlf_mlp_spec *spec)
{
    dlf_status status;
    memset(out, 0, sizeof *out);
    out->spec = *spec;
    out->device = device;
    out->layers = spec->depth + 1;
    const dlf_dtype real = device->real;
    const int64_t P = spec->members, B = spec->batch, n = parameter_count(spec);
    const bool keep_z = dlf_activation_needs_x(spec->activation.kind);

    out->layer = calloc((size_t)out->layers + 1, sizeof *out->layer);
    if (!out->layer) return dlf_fail(DLF_ERR_OOM, "mlp: out of memory");
    DLF_TRY_DONE(dlf_tensor_new(&out->params, device, real, P, n));
    DLF_TRY_DONE(dlf_tensor_new(&out->grads, device, real, P, n));
    DLF_TRY_DONE(dlf_tensor_new(&out->velocity, device, real, P, n));
    place_parameters(out);
    for (int l = 1; l <= out->layers; l++) {
        dlf_mlp_layer *layer = &out->layer[l];
        const int64_t N = fan_out(spec, l);
        DLF_TRY_DONE(dlf_tensor_new(&layer->a, device, real, P, B, N));
        DLF_TRY_DONE(dlf_tensor_new(&layer->delta, device, real, P, B, N));
        if (keep_z && l < out->layers)
            DLF_TRY_DONE(dlf_tensor_new(&layer->z, device, real, P, B, N));
    }
done:
    if (status != DLF_OK) dlf_mlp_free(out);
    return status;
}

void dlf_mlp_free(dlf_mlp *m)
{
    if (!m) return;
    for (int l = 1; m->layer && l <= m->layers; l++) {
        dlf_tensor_free(&m->layer[l].z);
        dlf_tensor_free(&m->layer[l].a);
        dlf_tensor_free(&m->layer[l].delta);
    }
    free(m->layer);
    dlf_tensor_free(&m->velocity);
    dlf_tensor_free(&m->grads);
    dlf_tensor_free(&m->params);
    memset(m, 0, sizeof *m);
}

dlf_status dlf_mlp_init(dlf_mlp *m, uint64_t seed, const int32_t *draw, const double *sigma_w2,
                        const double *sigma_b2)
{
    const int64_t P = m->spec.members;
    dlf_status status;
    dlf_tensor member = {0}, scale = {0};
    double *host = malloc((size_t)P * sizeof *host);
    if (!host) return dlf_fail(DLF_ERR_OOM, "mlp: out of memory");
    DLF_TRY_DONE(dlf_tensor_new(&member, m->device, DLF_I32, P));
    DLF_TRY_DONE(dlf_tensor_new(&scale, m->device, m->device->real, P));
    DLF_TRY_DONE(dlf_tensor_upload_i32(&member, draw));
    for (int l = 1; l <= m->layers; l++) {
        const uint32_t layer = (uint32_t)l;
        for (int64_t p = 0; p < P; p++) host[p] = sqrt(sigma_w2[p] / fan_in(&m->spec, l));
        DLF_TRY_DONE(dlf_tensor_upload_f64(&scale, host));
        DLF_TRY_DONE(dlf_random_normal(&m->layer[l].w, &member, &scale,
                                       (dlf_rng){seed, dlf_stream(DLF_PURPOSE_WEIGHTS, layer)}));
        for (int64_t p = 0; p < P; p++) host[p] = sqrt(sigma_b2[p]);
        DLF_TRY_DONE(dlf_tensor_upload_f64(&scale, host));
        DLF_TRY_DONE(dlf_random_normal(&m->layer[l].b, &member, &scale,
                                       (dlf_rng){seed, dlf_stream(DLF_PURPOSE_BIAS, layer)}));
    }
    DLF_TRY_DONE(dlf_tensor_zero(&m->velocity));
done:
    dlf_tensor_free(&scale);
    dlf_tensor_free(&member);
    free(host);
    return status;
}

dlf_status dlf_mlp_forward(dlf_mlp *m, const dlf_tensor *x)
{
    const dlf_tensor *input = x;
    for (int l = 1; l <= m->layers; l++) {
        dlf_mlp_layer *layer = &m->layer[l];
        dlf_tensor *z = layer->z.data ? &layer->z : &layer->a;
        DLF_TRY(dlf_gemm(z, input, &layer->w, (dlf_gemm_args){.trans_b = true, .alpha = 1.0}));
        DLF_TRY(dlf_bias_add(z, z, &layer->b));
        if (l < m->layers) DLF_TRY(dlf_activation_forward(&layer->a, z, m->spec.activation));
        input = &layer->a;
    }
    return DLF_OK;
}

dlf_status dlf_mlp_backward(dlf_mlp *m, const dlf_tensor *x, const dlf_tensor *labels, double scale)
{
    dlf_mlp_layer *last = &m->layer[m->layers];
    DLF_TRY(dlf_softmax_xent_backward(&last->delta, &last->a, labels, scale));
    for (int l = m->layers; l >= 1; l--) {
        dlf_mlp_layer *layer = &m->layer[l];
        const dlf_tensor *input = l == 1 ? x : &m->layer[l - 1].a;
        DLF_TRY(dlf_gemm(&layer->dw, &layer->delta, input,
                         (dlf_gemm_args){.trans_a = true, .alpha = 1.0}));
        DLF_TRY(dlf_bias_grad(&layer->db, &layer->delta, 0.0));
        if (l == 1) break;
        dlf_mlp_layer *below = &m->layer[l - 1];
        DLF_TRY(dlf_gemm(&below->delta, &layer->delta, &layer->w, (dlf_gemm_args){.alpha = 1.0}));
        DLF_TRY(dlf_activation_backward(&below->delta, &below->delta,
                                        below->z.data ? &below->z : NULL, &below->a,
                                        m->spec.activation));
    }
    return DLF_OK;
}

/* Sums of squares of one tensor per member into out[p * pitch]. */
static dlf_status member_squares(const dlf_tensor *t, double *out, int64_t pitch, bool mean)
{
    const int64_t P = t->shape[0];
    dlf_status status;
    dlf_tensor moments = {0};
    double *host = malloc((size_t)P * DLF_MOMENTS * sizeof *host);
    if (!host) return dlf_fail(DLF_ERR_OOM, "mlp: out of memory");
    DLF_TRY_DONE(dlf_tensor_new(&moments, t->device, DLF_F64, P, DLF_MOMENTS));
    DLF_TRY_DONE(dlf_moments(&moments, t));
    DLF_TRY_DONE(dlf_tensor_download_f64(host, &moments));
    const double n = mean ? (double)dlf_tensor_member_count(t) : 1.0;
    for (int64_t p = 0; p < P; p++)
        out[p * pitch] = host[p * DLF_MOMENTS + DLF_MOMENT_SUM_SQUARES] / n;
done:
    dlf_tensor_free(&moments);
    free(host);
    return status;
}

dlf_status dlf_mlp_delta_squares(dlf_mlp *m, double *out)
{
    for (int l = 1; l <= m->layers; l++)
        DLF_TRY(member_squares(&m->layer[l].delta, out + l, m->layers + 1, true));
    return DLF_OK;
}

dlf_status dlf_mlp_weight_squares(dlf_mlp *m, bool gradient, double *out)
{
    for (int l = 1; l <= m->layers; l++)
        DLF_TRY(member_squares(gradient ? &m->layer[l].dw : &m->layer[l].w, out + l, m->layers + 1,
                               false));
    return DLF_OK;
}
