/* SPDX-License-Identifier: MIT
 * classifier.c -- the fully connected classifier of many experiments. */
#include "classifier.h"

#include <stdio.h>
#include <stdlib.h>

/* f(norm(w x)): nodes name, name.n, name.y. */
static dlf_node normalised(dlf_graph *g, const char *name, dlf_node x, const classifier_spec *s)
{
    char part[40];
    dlf_node h = dlf_dense_init(g, name, x, s->width, dlf_activation_of(DLF_LINEAR), s->init, NULL);
    snprintf(part, sizeof part, "%s.n", name);
    h = dlf_norm_layer(g, part, h, *s->norm);
    snprintf(part, sizeof part, "%s.y", name);
    return dlf_activate(g, part, h, s->f);
}

static dlf_status build(dlf_graph *g, const classifier_spec *s)
{
    char name[32];
    const int64_t owners = s->shared ? 1 : s->members;
    dlf_node h = dlf_input(g, "x", 3, (int64_t[]){owners, s->batch, s->inputs});
    const dlf_node label = dlf_input_int(g, "label", 2, (int64_t[]){owners, s->batch});
    for (int l = 1; l <= s->depth; l++) {
        snprintf(name, sizeof name, "h%d", l);
        h = s->norm ? normalised(g, name, h, s) : dlf_dense(g, name, h, s->width, s->f, s->init);
    }
    h = dlf_dense(g, "logits", h, s->classes, dlf_activation_of(DLF_LINEAR),
                  s->last ? *s->last : s->init);
    for (int l = 1; l <= s->depth + 1 && s->watch; l++) dlf_want_gradient(g, classifier_z(g, s, l));
    for (int l = 1; l <= s->depth + 1 && s->observe; l++) {
        dlf_want_value(g, classifier_output(g, s, l));
        dlf_want_gradient(g, classifier_output(g, s, l));
    }
    const double scale = s->loss_scale != 0.0 ? s->loss_scale : 1.0;
    dlf_graph_minimise(g, dlf_cross_entropy(g, "loss", h, label), scale / s->batch);
    return dlf_graph_compile(g);
}

dlf_status classifier_new(dlf_graph **out, dlf_device *device, const classifier_spec *spec)
{
    DLF_TRY(dlf_graph_new(out, device, spec->members));
    const dlf_status status = build(*out, spec);
    if (status == DLF_OK) return DLF_OK;
    dlf_graph_free(*out);
    *out = NULL;
    return status;
}

static dlf_node part(const dlf_graph *g, const classifier_spec *spec, int l, const char *hidden,
                     const char *last)
{
    char name[32];
    if (l > spec->depth) return dlf_graph_find(g, last);
    snprintf(name, sizeof name, "h%d%s", l, hidden);
    return dlf_graph_find(g, name);
}

dlf_node classifier_weight(const dlf_graph *g, const classifier_spec *spec, int l)
{
    return part(g, spec, l, ".w", "logits.w");
}

dlf_node classifier_z(const dlf_graph *g, const classifier_spec *spec, int l)
{
    return part(g, spec, l, spec->norm || spec->f.kind == DLF_LINEAR ? "" : ".z", "logits");
}

dlf_node classifier_output(const dlf_graph *g, const classifier_spec *spec, int l)
{
    return part(g, spec, l, spec->norm ? ".y" : "", "logits");
}

dlf_status classifier_squares(const dlf_tensor *t, double *out, int64_t pitch)
{
    const int64_t P = t->shape[0];
    dlf_status status;
    dlf_tensor moments = {0};
    double *host = malloc((size_t)P * DLF_MOMENTS * sizeof *host);
    if (!host) return dlf_fail(DLF_ERR_OOM, "classifier: out of memory");
    DLF_TRY_DONE(dlf_tensor_new(&moments, t->device, DLF_F64, P, DLF_MOMENTS));
    DLF_TRY_DONE(dlf_moments(&moments, t));
    DLF_TRY_DONE(dlf_tensor_download_f64(host, &moments));
    for (int64_t p = 0; p < P; p++) out[p * pitch] = host[p * DLF_MOMENTS + DLF_MOMENT_SUM_SQUARES];
done:
    dlf_tensor_free(&moments);
    free(host);
    return status;
}
