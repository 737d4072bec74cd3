/* SPDX-License-Identifier: MIT
 * recurrent.c -- Elman's recurrent network, unrolled over time. */
#include "recurrent.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

dlf_node dlf_elman(dlf_graph *g, const dlf_elman_spec *s, dlf_node x)
{
    const int64_t P = s->members, B = s->batch, H = s->hidden, I = s->inputs, O = s->outputs;
    const dlf_init init = dlf_init_normal(s->gain2 > 0.0 ? s->gain2 : 1.0);
    const dlf_node w = dlf_parameter(g, "w", 3, (int64_t[]){P, H, H + I}, init);
    const dlf_node v = dlf_parameter(g, "v", 3, (int64_t[]){P, O, H}, init);
    const dlf_node c = dlf_parameter(g, "c", 2, (int64_t[]){P, O}, dlf_init_constant(0.0));
    dlf_node h = {0}, all = {0};
    for (int t = 0; t < s->steps; t++) {
        char name[24];
        snprintf(name, sizeof name, "h%d", t + 1);
        dlf_node in = dlf_columns(g, NULL, x, t * I, I);
        if (t) in = dlf_concat(g, NULL, h, in);
        const dlf_node used = t ? w : dlf_columns(g, NULL, w, H, I);
        h = dlf_activate(g, name, dlf_matmul(g, NULL, in, false, used, true, 1.0),
                         dlf_activation_of(DLF_TANH));
        all = t ? dlf_concat(g, NULL, all, h) : h;
    }
    const int64_t rows = B * s->steps;
    all = dlf_view(g, NULL, all, 3, (int64_t[]){P, rows, H});
    const dlf_node out = dlf_bias(g, NULL, dlf_matmul(g, NULL, all, false, v, true, 1.0), c);
    return dlf_view(g, "outputs", out, 3, (int64_t[]){P, B, s->steps * O});
}

dlf_status dlf_elman_weights_new(dlf_elman_weights *e, int hidden, int inputs, int outputs)
{
    const size_t H = (size_t)hidden, I = (size_t)inputs, O = (size_t)outputs;
    *e = (dlf_elman_weights){.hidden = hidden, .inputs = inputs, .outputs = outputs};
    e->w = calloc(H * (H + I) + O * H + O, sizeof *e->w);
    if (!e->w) return dlf_fail(DLF_ERR_OOM, "recurrent network: out of memory");
    e->v = e->w + H * (H + I);
    e->c = e->v + O * H;
    return DLF_OK;
}

void dlf_elman_weights_free(dlf_elman_weights *e)
{
    free(e->w);
    *e = (dlf_elman_weights){0};
}

static dlf_status download(double *to, dlf_graph *g, const char *name, int member, int64_t n)
{
    dlf_tensor *t = dlf_graph_value(g, dlf_graph_find(g, name));
    double *all = malloc((size_t)dlf_tensor_count(t) * sizeof *all);
    if (!all) return dlf_fail(DLF_ERR_OOM, "recurrent network: out of memory");
    const dlf_status status = dlf_tensor_download_f64(all, t);
    if (status == DLF_OK) memcpy(to, all + member * n, (size_t)n * sizeof *to);
    free(all);
    return status;
}

dlf_status dlf_elman_download(dlf_elman_weights *e, dlf_graph *g, int member)
{
    const int64_t H = e->hidden, I = e->inputs, O = e->outputs;
    DLF_TRY(download(e->w, g, "w", member, H * (H + I)));
    DLF_TRY(download(e->v, g, "v", member, O * H));
    return download(e->c, g, "c", member, O);
}

void dlf_elman_step(const dlf_elman_weights *e, double *h, const double *x, double *out)
{
    const int H = e->hidden, I = e->inputs;
    double next[256];
    for (int i = 0; i < H; i++) {
        const double *w = e->w + (long)i * (H + I);
        double sum = 0.0;
        for (int j = 0; j < H; j++) sum += w[j] * h[j];
        for (int j = 0; j < I; j++) sum += w[H + j] * x[j];
        next[i] = tanh(sum);
    }
    memcpy(h, next, (size_t)H * sizeof *h);
    for (int k = 0; k < e->outputs; k++) {
        out[k] = e->c[k];
        for (int j = 0; j < H; j++) out[k] += e->v[(long)k * H + j] * h[j];
    }
}
