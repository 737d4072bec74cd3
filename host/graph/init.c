/* SPDX-License-Identifier: MIT
 * init.c -- initialisations by name, and drawing them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "graph/graph_internal.h"

dlf_init dlf_init_constant(double value)
{
    return (dlf_init){.kind = DLF_INIT_CONSTANT, .value = value};
}
dlf_init dlf_init_normal(double sigma2)
{
    return (dlf_init){.kind = DLF_INIT_NORMAL, .gain2 = sigma2};
}
dlf_init dlf_lecun(void)
{
    return dlf_init_normal(1.0);
}
dlf_init dlf_he(void)
{
    return dlf_init_normal(2.0);
}
dlf_init dlf_glorot(void)
{
    return (dlf_init){.kind = DLF_INIT_GLOROT, .gain2 = 1.0};
}
dlf_init dlf_orthogonal(double gain2)
{
    return (dlf_init){.kind = DLF_INIT_ORTHOGONAL, .gain2 = gain2};
}

dlf_status dlf_init_find(dlf_init *out, const char *name)
{
    const struct {
        const char *name;
        dlf_init init;
    } known[] = {{"lecun", dlf_lecun()},
                 {"he", dlf_he()},
                 {"glorot", dlf_glorot()},
                 {"orthogonal", dlf_orthogonal(1.0)},
                 {"zero", dlf_init_constant(0.0)}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, name) == 0) {
            *out = known[i].init;
            return DLF_OK;
        }
    return dlf_fail(DLF_ERR_NOT_FOUND,
                    "no initialisation '%s'; known: lecun, he, glorot, orthogonal, zero", name);
}

/* A parameter as a matrix: units by the numbers that each of them reads. */
typedef struct fans {
    int64_t in, out, units;
} fans;

static fans fans_of(const graph_node *n)
{
    fans f = {1, 1, n->shape[1]};
    for (int i = 2; i < n->ndim; i++) f.in *= n->shape[i];
    f.out = n->shape[1];
    if (n->init.receptive > 0) f.out *= n->init.receptive;
    for (int i = 3; i < n->ndim && n->init.receptive == 0; i++) f.out *= n->shape[i];
    return f;
}

static double variance(const graph_node *n, int p)
{
    const fans f = fans_of(n);
    const double gain2 = n->init.gains ? n->init.gains[p] : n->init.gain2;
    if (n->init.kind == DLF_INIT_GLOROT) return gain2 * 2.0 / (double)(f.in + f.out);
    return gain2 / (double)f.in;
}

/* Rows (or columns, whichever are fewer) orthonormal: modified Gram-Schmidt, twice, over the
 * shorter side. With positive diagonal of R this is the Haar measure (Mezzadri 2007). */
static void orthonormalise(double *a, int64_t count, int64_t length, int64_t item, int64_t step)
{
    for (int64_t i = 0; i < count; i++) {
        double *v = a + i * item;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t j = 0; j < i; j++) {
                const double *u = a + j * item;
                double dot = 0.0;
                for (int64_t k = 0; k < length; k++) dot += u[k * step] * v[k * step];
                for (int64_t k = 0; k < length; k++) v[k * step] -= dot * u[k * step];
            }
        double square = 0.0;
        for (int64_t k = 0; k < length; k++) square += v[k * step] * v[k * step];
        for (int64_t k = 0; k < length; k++) v[k * step] /= sqrt(square);
    }
}

static dlf_status draw_orthogonal(dlf_graph *g, graph_node *n, dlf_rng rng, const int32_t *draw)
{
    const fans f = fans_of(n);
    const int64_t size = f.units * f.in;
    double *all = malloc((size_t)(g->members * size) * sizeof *all);
    if (!all) return dlf_fail(DLF_ERR_OOM, "graph: out of memory");
    for (int p = 0; p < g->members; p++) {
        double *a = all + p * size;
        for (int64_t i = 0; i < size; i++)
            a[i] = (double)dlf_rng_normal(rng.seed, rng.stream, (uint32_t)draw[p], (uint64_t)i);
        if (f.units <= f.in)
            orthonormalise(a, f.units, f.in, f.in, 1);
        else
            orthonormalise(a, f.in, f.units, 1, f.in);
        const double gain = sqrt(n->init.gains ? n->init.gains[p] : n->init.gain2);
        for (int64_t i = 0; i < size; i++) a[i] *= gain;
    }
    const dlf_status status = dlf_tensor_upload_f64(&n->value, all);
    free(all);
    return status;
}

static dlf_status draw_random(dlf_graph *g, graph_node *n, dlf_rng rng)
{
    dlf_status status;
    dlf_tensor scale = {0};
    double *host = malloc((size_t)g->members * sizeof *host);
    if (!host) return dlf_fail(DLF_ERR_OOM, "graph: out of memory");
    DLF_TRY_DONE(dlf_tensor_new(&scale, g->device, g->device->real, g->members));
    const double unit = n->init.kind == DLF_INIT_UNIFORM ? sqrt(3.0) : 1.0;
    for (int p = 0; p < g->members; p++) host[p] = unit * sqrt(variance(n, p));
    DLF_TRY_DONE(dlf_tensor_upload_f64(&scale, host));
    if (n->init.kind == DLF_INIT_UNIFORM) {
        DLF_TRY_DONE(dlf_random_uniform(&n->value, &g->draw, -1.0, 1.0, rng));
        DLF_TRY_DONE(dlf_axpby(&n->value, &n->value, &scale, 1.0, 0.0));
    } else {
        DLF_TRY_DONE(dlf_random_normal(&n->value, &g->draw, &scale, rng));
    }
done:
    dlf_tensor_free(&scale);
    free(host);
    return status;
}

static dlf_status fill(dlf_tensor *t, double value)
{
    const size_t count = (size_t)dlf_tensor_count(t);
    double *host = malloc(count * sizeof *host);
    if (!host) return dlf_fail(DLF_ERR_OOM, "graph: out of memory");
    for (size_t i = 0; i < count; i++) host[i] = value;
    const dlf_status status = dlf_tensor_upload_f64(t, host);
    free(host);
    return status;
}

/* The layer number of the stream counts the parameters that are drawn: other nodes, biases that
 * start at 0 and gammas that start at 1 do not change what a network starts from. */
static dlf_status draw_parameter(dlf_graph *g, graph_node *n, uint64_t seed, uint32_t number,
                                 const int32_t *draw)
{
    const dlf_rng rng = {seed, dlf_stream(DLF_PURPOSE_WEIGHTS, number)};
    switch (n->init.kind) {
    case DLF_INIT_GIVEN: return DLF_OK;
    case DLF_INIT_CONSTANT: return fill(&n->value, n->init.value);
    case DLF_INIT_ORTHOGONAL: return draw_orthogonal(g, n, rng, draw);
    default: return draw_random(g, n, rng);
    }
}

static dlf_status draw_all(dlf_graph *g, uint64_t seed, const int32_t *draw)
{
    uint32_t number = 0;
    g->seed = seed;
    DLF_TRY(dlf_tensor_upload_i32(&g->draw, draw));
    DLF_TRY(dlf_tensor_zero(&g->clock));
    for (int id = 1; id <= g->nodes; id++) {
        graph_node *n = &g->node[id];
        const bool drawn = n->init.kind != DLF_INIT_CONSTANT && n->init.kind != DLF_INIT_GIVEN;
        if (n->parameter) DLF_TRY(draw_parameter(g, n, seed, number += drawn, draw));
        if (!n->running_mean.data) continue;
        DLF_TRY(dlf_tensor_zero(&n->running_mean));
        DLF_TRY(fill(&n->running_var, 1.0));
    }
    return DLF_OK;
}

dlf_status dlf_graph_initialise(dlf_graph *g, uint64_t seed, const int32_t *draw)
{
    if (!g->compiled) return dlf_fail(DLF_ERR_ARG, "graph: call dlf_graph_compile first");
    if (draw) return draw_all(g, seed, draw);
    int32_t *own = malloc((size_t)g->members * sizeof *own);
    if (!own) return dlf_fail(DLF_ERR_OOM, "graph: out of memory");
    for (int p = 0; p < g->members; p++) own[p] = p;
    const dlf_status status = draw_all(g, seed, own);
    free(own);
    return status;
}
