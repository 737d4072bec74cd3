/* SPDX-License-Identifier: MIT
 * autoencoder_nets.c -- autoencoders and variational ones as one population. */
#include "autoencoder_nets.h"

#include <stdio.h>
#include <stdlib.h>

#include "dlf/train.h"

static dlf_node hidden(dlf_graph *g, const char *prefix, dlf_node x, int depth, int width)
{
    char name[32];
    for (int l = 1; l <= depth; l++) {
        snprintf(name, sizeof name, "%s%d", prefix, l);
        x = dlf_dense(g, name, x, width, dlf_activation_of(DLF_RELU), dlf_he());
    }
    return x;
}

/* Without bias where everything is linear. */
static dlf_node last(dlf_graph *g, const char *name, dlf_node x, int units, int depth)
{
    const dlf_init zero = dlf_init_constant(0.0);
    return dlf_dense_init(g, name, x, units, dlf_activation_of(DLF_LINEAR), dlf_lecun(),
                          depth ? &zero : NULL);
}

static dlf_node decoder(dlf_graph *g, dlf_node z, const dlf_coder_spec *s)
{
    return last(g, "out", hidden(g, "dec", z, s->depth, s->width), s->inputs, s->depth);
}

/* s before its sigmoid: of the row, or where all is linear the same for all rows. */
static dlf_node spread(dlf_graph *g, dlf_node h, const dlf_coder_spec *s)
{
    if (s->depth) return last(g, "a", h, s->latents, s->depth);
    const dlf_node none = dlf_input(g, "none", 3, (int64_t[]){s->members, s->batch, s->latents});
    return dlf_bias(
        g, "a", none,
        dlf_parameter(g, "a.b", 2, (int64_t[]){s->members, s->latents}, dlf_init_constant(0.0)));
}

dlf_status dlf_coder_graph(dlf_graph **out, dlf_device *device, const dlf_coder_spec *s)
{
    DLF_TRY(dlf_graph_new(out, device, s->members));
    dlf_graph *g = *out;
    const int64_t rows[] = {s->members, s->batch, s->inputs},
                  codes[] = {s->members, s->batch, s->latents};
    double *precision = malloc((size_t)s->members * sizeof *precision);
    if (!precision) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    for (int p = 0; p < s->members; p++) precision[p] = 1.0 / s->sd[p];
    const dlf_node weight = dlf_hyper(g, "precision", precision);
    free(precision);
    const dlf_node noise = dlf_hyper(g, "noise", s->noise), prior = dlf_hyper(g, "prior", s->prior);
    const dlf_node x = dlf_input(g, "x", 3, rows), eps = dlf_input(g, "eps", 3, codes),
                   zero = dlf_input(g, "zero", 3, (int64_t[]){1, s->batch, s->latents}),
                   one = dlf_input(g, "one", 3, (int64_t[]){1, s->batch, s->latents}),
                   nothing = dlf_input(g, "nothing", 3, (int64_t[]){1, s->batch, s->inputs});
    const dlf_node h = hidden(g, "enc", x, s->depth, s->width);
    const dlf_node mu = last(g, "mu", h, s->latents, s->depth), a = spread(g, h, s);
    const dlf_node sd = dlf_activate(g, "s", a, dlf_activation_of(DLF_SIGMOID));
    const dlf_node z =
        dlf_add(g, "z", mu, dlf_scale(g, NULL, dlf_product(g, NULL, sd, eps), noise, 1.0));
    const dlf_node made = decoder(g, z, s);
    const dlf_node miss = dlf_add(g, "miss", made, dlf_scale(g, NULL, x, (dlf_node){0}, -1.0));
    const dlf_loss square = {DLF_LOSS_MSE, 0}, bce = {DLF_LOSS_BCE, 0};
    dlf_want_value(g, mu);
    dlf_want_value(g, sd);
    dlf_want_value(g, made);
    dlf_want_value(g, miss);
    dlf_graph_minimise(
        g, dlf_row_loss(g, "fit", dlf_scale(g, NULL, miss, weight, 1.0), nothing, square),
        0.5 / s->batch);
    dlf_graph_minimise(g,
                       dlf_row_loss(g, "length", dlf_scale(g, NULL, mu, prior, 1.0), zero, square),
                       0.5 / s->batch);
    dlf_graph_minimise(g, dlf_row_loss(g, "width", sd, zero, square), 0.5 / s->batch);
    dlf_graph_minimise(g, dlf_row_loss(g, "narrow", a, one, bce), 1.0 / s->batch); /* -ln s */
    return dlf_graph_compile(g);
}

static dlf_status fill(dlf_graph *g, const char *name, double value)
{
    dlf_tensor *t = dlf_graph_value(g, dlf_graph_find(g, name));
    if (!t) return DLF_OK; /* only the linear one has "none" */
    if (value == 0.0) return dlf_tensor_zero(t);
    double *x = malloc((size_t)dlf_tensor_count(t) * sizeof *x);
    if (!x) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    for (int64_t i = 0; i < dlf_tensor_count(t); i++) x[i] = value;
    const dlf_status status = dlf_tensor_upload_f64(t, x);
    free(x);
    return status;
}

dlf_status dlf_coder_new(dlf_coder *c, dlf_device *device, const dlf_coder_spec *s, uint64_t seed,
                         const int32_t *draw)
{
    *c = (dlf_coder){
        .members = s->members, .batch = s->batch, .inputs = s->inputs, .latents = s->latents};
    DLF_TRY(dlf_coder_graph(&c->graph, device, s));
    DLF_TRY(dlf_graph_initialise(c->graph, seed, draw));
    DLF_TRY(fill(c->graph, "one", 1.0));
    DLF_TRY(fill(c->graph, "zero", 0.0));
    DLF_TRY(fill(c->graph, "nothing", 0.0));
    DLF_TRY(fill(c->graph, "none", 0.0));
    DLF_TRY(dlf_graph_new(&c->decoder, device, s->members));
    const dlf_node z = dlf_input(c->decoder, "z", 3, (int64_t[]){s->members, s->batch, s->latents});
    dlf_want_value(c->decoder, decoder(c->decoder, z, s));
    DLF_TRY(dlf_graph_compile(c->decoder));
    const int64_t n = dlf_tensor_member_count(dlf_graph_parameters(c->graph));
    DLF_TRY(dlf_tensor_new(&c->m, device, device->real, s->members, n));
    DLF_TRY(dlf_tensor_new(&c->v, device, device->real, s->members, n));
    DLF_TRY(dlf_tensor_new(&c->lr, device, device->real, s->members));
    DLF_TRY(dlf_tensor_zero(&c->m));
    return dlf_tensor_zero(&c->v);
}

void dlf_coder_free(dlf_coder *c)
{
    dlf_tensor_free(&c->lr);
    dlf_tensor_free(&c->v);
    dlf_tensor_free(&c->m);
    dlf_graph_free(c->decoder);
    dlf_graph_free(c->graph);
}

dlf_status dlf_coder_step(dlf_coder *c, int step, int steps, double rate)
{
    enum { EVERY = 16 }; /* the learning rate is a stair: an upload waits for the device */
    if (step % EVERY == 0) {
        const dlf_schedule half = {.kind = DLF_SCHEDULE_COSINE, .steps = steps, .final = 0.0};
        double *lr = malloc((size_t)c->members * sizeof *lr);
        if (!lr) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
        for (int p = 0; p < c->members; p++) lr[p] = rate * dlf_schedule_factor(half, step);
        const dlf_status status = dlf_tensor_upload_f64(&c->lr, lr);
        free(lr);
        DLF_TRY(status);
    }
    DLF_TRY(dlf_graph_forward(c->graph, DLF_TRAINING));
    DLF_TRY(dlf_graph_backward(c->graph));
    return dlf_adam_step(
        dlf_graph_parameters(c->graph), &c->m, &c->v, dlf_graph_gradients(c->graph), &c->lr, NULL,
        NULL, (dlf_adam_args){.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .step = step + 1});
}

dlf_status dlf_coder_decode(dlf_coder *c, const double *z, double *x)
{
    dlf_tensor *own = dlf_graph_parameters(c->decoder);
    const dlf_tensor *all = dlf_graph_parameters(c->graph);
    const int64_t n = dlf_tensor_member_count(own);
    const dlf_tensor copy =
        dlf_tensor_window(all, dlf_tensor_member_count(all) - n, 2, (int64_t[]){c->members, n});
    DLF_TRY(dlf_tensor_copy(own, &copy));
    DLF_TRY(dlf_coder_feed(c->decoder, "z", z));
    DLF_TRY(dlf_graph_forward(c->decoder, DLF_EVALUATION));
    return dlf_coder_read(c->decoder, "out", x);
}

dlf_status dlf_coder_read(dlf_graph *g, const char *name, double *x)
{
    return dlf_tensor_download_f64(x, dlf_graph_value(g, dlf_graph_find(g, name)));
}

dlf_status dlf_coder_feed(dlf_graph *g, const char *name, const double *x)
{
    return dlf_tensor_upload_f64(dlf_graph_value(g, dlf_graph_find(g, name)), x);
}
