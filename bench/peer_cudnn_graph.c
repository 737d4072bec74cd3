/* SPDX-License-Identifier: MIT
 * peer_cudnn_graph.c -- a normalization in cuDNN's graph interface: tensors, one operation, an
 * operation graph, engine configurations from the heuristics, execution plans. Numbers are those of
 * cudnn_graph.h. As in cuDNN's own front end x of a layer norm is (N, C, 1, 1) with channels last,
 * scale and bias (1, C, 1, 1), statistics (N, 1, 1, 1), of an instance norm (N, C, 1, 1), of a
 * batch norm (1, C, 1, 1), and epsilon is a number on the host. */
#include <stdlib.h>
#include <string.h>

#include "backend/cuda_library.h"
#include "bench/peer_cudnn.h"
#include "bench/subject_norm.h"

enum { /* cudnnBackendDescriptorType_t */
       ENGINE_CONFIG = 3,
       HEURISTICS = 4,
       PLAN = 5,
       OPERATION_GRAPH = 15,
       VARIANT_PACK = 16,
       TENSOR = 17,
       NORM_FORWARD = 29,
       NORM_BACKWARD = 30
};
enum { /* cudnnBackendAttributeType_t */
       TYPE_HANDLE = 0,
       TYPE_DATA_TYPE = 1,
       TYPE_BOOLEAN = 2,
       TYPE_INT64 = 3,
       TYPE_POINTER = 6,
       TYPE_HEURISTIC = 8,
       TYPE_DESCRIPTOR = 15,
       TYPE_NORM_MODE = 27,
       TYPE_NORM_PHASE = 28
};
enum { /* cudnnBackendAttributeName_t */
       HEURISTICS_MODE = 200,
       HEURISTICS_GRAPH = 201,
       HEURISTICS_RESULTS = 202,
       PLAN_HANDLE = 400,
       PLAN_CONFIG = 401,
       PLAN_WORKSPACE = 402,
       GRAPH_HANDLE = 800,
       GRAPH_OPERATIONS = 801,
       TENSOR_ALIGNMENT = 900,
       TENSOR_TYPE = 901,
       TENSOR_DIMENSIONS = 902,
       TENSOR_STRIDES = 903,
       TENSOR_ID = 906,
       TENSOR_BY_VALUE = 908,
       PACK_IDS = 1000,
       PACK_POINTERS = 1001,
       PACK_WORKSPACE = 1003,
       FORWARD_MODE = 2000,
       FORWARD_PHASE = 2001,
       FORWARD_X = 2002,
       FORWARD_MEAN = 2003,
       FORWARD_RSTD = 2004,
       FORWARD_SCALE = 2005,
       FORWARD_BIAS = 2006,
       FORWARD_EPSILON = 2007,
       FORWARD_Y = 2013,
       BACKWARD_MODE = 2100,
       BACKWARD_X = 2101,
       BACKWARD_MEAN = 2102,
       BACKWARD_RSTD = 2103,
       BACKWARD_DY = 2104,
       BACKWARD_SCALE = 2105,
       BACKWARD_DSCALE = 2107,
       BACKWARD_DBIAS = 2108,
       BACKWARD_DX = 2109
};
enum { LAYER = 0, INSTANCE = 1, BATCH = 2, RMS = 4, TRAINING = 1 };
enum { HEURISTIC_A = 3, HEURISTIC_FALLBACK = 2 };
enum { PLANS_MOST = 8, DESCRIPTORS_MOST = 64, OPERANDS_MOST = 12 };

struct cudnn_graph {
    const peer_cudnn *d;
    int (*create)(int type, void **), (*destroy)(void *), (*finalize)(void *);
    int (*set)(void *, int name, int type, int64_t count, const void *);
    int (*get)(void *, int name, int type, int64_t most, int64_t *count, void *);
    int (*execute)(void *handle, void *plan, void *pack);
    void *owned[DESCRIPTORS_MOST];
    int n_owned;
    void *operations;
    int64_t ids[OPERANDS_MOST];
    void *pointers[OPERANDS_MOST];
    int n_operands;
    float epsilon;
    void *configs[PLANS_MOST], *plans[PLANS_MOST]; /* NULL: not made */
    int64_t workspaces[PLANS_MOST];
    int n_plans, chosen;
    void *pack; /* of the chosen plan */
    bench_workspace workspace;
};

static bool load(cudnn_graph *g)
{
    const dlf_cuda_wanted wanted[] = {{&g->create, "cudnnBackendCreateDescriptor"},
                                      {&g->destroy, "cudnnBackendDestroyDescriptor"},
                                      {&g->set, "cudnnBackendSetAttribute"},
                                      {&g->get, "cudnnBackendGetAttribute"},
                                      {&g->finalize, "cudnnBackendFinalize"},
                                      {&g->execute, "cudnnBackendExecute"}};
    return dlf_cuda_symbols(g->d->lib.library, wanted, sizeof wanted / sizeof *wanted);
}

void cudnn_graph_free(cudnn_graph *g)
{
    if (!g) return;
    while (g->n_owned) g->destroy(g->owned[--g->n_owned]);
    if (g->pack) g->destroy(g->pack);
    bench_workspace_free(&g->workspace);
    free(g);
}

void *cudnn_graph_operations(const cudnn_graph *g)
{
    return g->operations;
}

/* ---- descriptors ---------------------------------------------------------------------------- */

/* NULL: no more room, or cuDNN refuses. */
static void *owned(cudnn_graph *g, int type)
{
    void *d = NULL;
    if (g->n_owned == DESCRIPTORS_MOST || g->create(type, &d) != 0) return NULL;
    g->owned[g->n_owned++] = d;
    return d;
}

static bool set_int64(cudnn_graph *g, void *d, int name, int64_t count, const int64_t *value)
{
    return g->set(d, name, TYPE_INT64, count, value) == 0;
}

static bool set_descriptor(cudnn_graph *g, void *d, int name, void *value)
{
    return value && g->set(d, name, TYPE_DESCRIPTOR, 1, &value) == 0;
}

/* Of four axes. data: what the id stands for when the graph runs; a host address if `by_value`. */
static void *tensor(cudnn_graph *g, int type, const int64_t size[4], bool nhwc, void *data,
                    bool by_value)
{
    const int64_t C = size[1], H = size[2], W = size[3];
    const int64_t nchw_strides[] = {C * H * W, H * W, W, 1},
                  nhwc_strides[] = {C * H * W, 1, W * C, C};
    const int64_t id = g->n_operands + 1, alignment = 16;
    void *d = owned(g, TENSOR);
    if (!d || g->n_operands == OPERANDS_MOST) return NULL;
    g->ids[g->n_operands] = id;
    g->pointers[g->n_operands++] = data;
    const bool ok = g->set(d, TENSOR_TYPE, TYPE_DATA_TYPE, 1, &type) == 0 &&
                    set_int64(g, d, TENSOR_DIMENSIONS, 4, size) &&
                    set_int64(g, d, TENSOR_STRIDES, 4, nhwc ? nhwc_strides : nchw_strides) &&
                    set_int64(g, d, TENSOR_ID, 1, &id) &&
                    set_int64(g, d, TENSOR_ALIGNMENT, 1, &alignment) &&
                    (!by_value || g->set(d, TENSOR_BY_VALUE, TYPE_BOOLEAN, 1, &by_value) == 0) &&
                    g->finalize(d) == 0;
    return ok ? d : NULL;
}

/* The sizes of the case's tensors. */
typedef struct sizes {
    int64_t x[4], parameters[4], statistics[4];
    int type;
    bool nhwc;
} sizes;

static sizes sizes_of(const bench_subject *s)
{
    const dlf_bench_case *c = &s->c;
    const bool image = c->ndim == 4, instance = s->norm.kind == DLF_INSTANCE_NORM,
               batch = s->norm.kind == DLF_BATCH_NORM;
    const int64_t N = c->shape[0], C = c->shape[1];
    return (sizes){.x = {N, C, image ? c->shape[2] : 1, image ? c->shape[3] : 1},
                   .parameters = {1, C, 1, 1},
                   .statistics = {batch ? 1 : N, batch || instance ? C : 1, 1, 1},
                   .type = peer_cudnn_type(c->dtype),
                   .nhwc = !image || c->layout == DLF_NHWC};
}

static void *of_data(cudnn_graph *g, const bench_subject *s, const sizes *z, int i)
{
    return tensor(g, z->type, z->x, z->nhwc, s->t[i].data, false);
}
static void *of_parameter(cudnn_graph *g, const bench_subject *s, const sizes *z, int i)
{
    return tensor(g, CUDNN_FLOAT, z->parameters, z->nhwc, s->t[i].data, false);
}
static void *of_statistic(cudnn_graph *g, const bench_subject *s, const sizes *z, int i)
{
    return tensor(g, CUDNN_FLOAT, z->statistics, z->nhwc, s->t[i].data, false);
}

static bool forward(cudnn_graph *g, void *o, bench_subject *s, const sizes *z, int mode)
{
    static const int64_t one[] = {1, 1, 1, 1};
    const int phase = TRAINING;
    g->epsilon = (float)s->norm.eps;
    return g->set(o, FORWARD_MODE, TYPE_NORM_MODE, 1, &mode) == 0 &&
           g->set(o, FORWARD_PHASE, TYPE_NORM_PHASE, 1, &phase) == 0 &&
           set_descriptor(g, o, FORWARD_X, of_data(g, s, z, NORM_X)) &&
           (mode == RMS || set_descriptor(g, o, FORWARD_MEAN, of_statistic(g, s, z, NORM_MEAN))) &&
           set_descriptor(g, o, FORWARD_RSTD, of_statistic(g, s, z, NORM_RSTD)) &&
           set_descriptor(g, o, FORWARD_SCALE, of_parameter(g, s, z, NORM_GAMMA)) &&
           set_descriptor(g, o, FORWARD_BIAS, of_parameter(g, s, z, NORM_BETA)) &&
           set_descriptor(g, o, FORWARD_EPSILON,
                          tensor(g, CUDNN_FLOAT, one, false, &g->epsilon, true)) &&
           set_descriptor(g, o, FORWARD_Y, of_data(g, s, z, NORM_Y));
}

static bool backward(cudnn_graph *g, void *o, bench_subject *s, const sizes *z, int mode)
{
    return g->set(o, BACKWARD_MODE, TYPE_NORM_MODE, 1, &mode) == 0 &&
           set_descriptor(g, o, BACKWARD_X, of_data(g, s, z, NORM_X)) &&
           (mode == RMS || set_descriptor(g, o, BACKWARD_MEAN, of_statistic(g, s, z, NORM_MEAN))) &&
           set_descriptor(g, o, BACKWARD_RSTD, of_statistic(g, s, z, NORM_RSTD)) &&
           set_descriptor(g, o, BACKWARD_DY, of_data(g, s, z, NORM_DY)) &&
           set_descriptor(g, o, BACKWARD_SCALE, of_parameter(g, s, z, NORM_GAMMA)) &&
           set_descriptor(g, o, BACKWARD_DSCALE, of_parameter(g, s, z, NORM_DGAMMA)) &&
           set_descriptor(g, o, BACKWARD_DBIAS, of_parameter(g, s, z, NORM_DBETA)) &&
           set_descriptor(g, o, BACKWARD_DX, of_data(g, s, z, NORM_DX));
}

static int mode_of(const bench_subject *s)
{
    switch (s->norm.kind) {
    case DLF_LAYER_NORM: return LAYER;
    case DLF_INSTANCE_NORM: return INSTANCE;
    case DLF_BATCH_NORM: return BATCH;
    case DLF_RMS_NORM: return RMS;
    default: return -1; /* cuDNN has a number for group norm and no engine */
    }
}

static bool describe(cudnn_graph *g, bench_subject *s, int mode)
{
    const sizes z = sizes_of(s);
    const bool back = norm_goes_back(&s->c);
    void *o = owned(g, back ? NORM_BACKWARD : NORM_FORWARD), *handle = g->d->lib.handle;
    if (!o || !(back ? backward : forward)(g, o, s, &z, mode) || g->finalize(o) != 0) return false;
    g->operations = owned(g, OPERATION_GRAPH);
    if (!g->operations) return false;
    /* Newer versions need no handle here, older ones do. */
    if (handle) (void)g->set(g->operations, GRAPH_HANDLE, TYPE_HANDLE, 1, &handle);
    return set_descriptor(g, g->operations, GRAPH_OPERATIONS, o) && g->finalize(g->operations) == 0;
}

dlf_status cudnn_graph_new(cudnn_graph **out, const peer_cudnn *d, bench_subject *s)
{
    const int mode = mode_of(s);
    *out = NULL;
    if (mode < 0 || norm_infers(&s->c))
        return dlf_fail(DLF_ERR_NO_KERNEL, "no %s %s in cuDNN's graphs", s->c.op, s->c.direction);
    cudnn_graph *g = calloc(1, sizeof *g);
    if (!g) return dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for a graph");
    g->d = d;
    if (!load(g)) {
        free(g);
        return dlf_fail(DLF_ERR_NO_KERNEL, "this cuDNN has no graphs");
    }
    if (!describe(g, s, mode)) {
        cudnn_graph_free(g);
        return dlf_fail(DLF_ERR_NO_KERNEL, "cuDNN refuses the graph of %s", s->c.op);
    }
    *out = g;
    return DLF_OK;
}

/* ---- plans ---------------------------------------------------------------------------------- */

/* What a mode of the heuristics lists, `most` at the most. */
static void ask(cudnn_graph *g, int mode, int most)
{
    void *h = owned(g, HEURISTICS), *configs[PLANS_MOST];
    int64_t n = 0;
    int made = 0;
    if (!h || !set_descriptor(g, h, HEURISTICS_GRAPH, g->operations) ||
        g->set(h, HEURISTICS_MODE, TYPE_HEURISTIC, 1, &mode) != 0 || g->finalize(h) != 0)
        return;
    while (made < most && (configs[made] = owned(g, ENGINE_CONFIG))) made++;
    if (g->get(h, HEURISTICS_RESULTS, TYPE_DESCRIPTOR, made, &n, configs) != 0) return;
    for (int64_t i = 0; i < n && i < made; i++) g->configs[g->n_plans++] = configs[i];
}

dlf_status cudnn_graph_plans(cudnn_graph *g, int *n)
{
    ask(g, HEURISTIC_A, PLANS_MOST - 2);
    ask(g, HEURISTIC_FALLBACK, 2);
    *n = g->n_plans;
    return g->n_plans ? DLF_OK : dlf_fail(DLF_ERR_NO_KERNEL, "cuDNN has no plan for its graph");
}

/* Made when it is first chosen: it may be compiled. */
static bool make_plan(cudnn_graph *g, int plan)
{
    void *handle = g->d->lib.handle;
    int64_t count = 0;
    if (g->plans[plan]) return true;
    void *p = owned(g, PLAN);
    if (!p) return false;
    (void)g->set(p, PLAN_HANDLE, TYPE_HANDLE, 1, &handle); /* as above */
    if (!set_descriptor(g, p, PLAN_CONFIG, g->configs[plan]) || g->finalize(p) != 0 ||
        g->get(p, PLAN_WORKSPACE, TYPE_INT64, 1, &count, &g->workspaces[plan]) != 0 ||
        g->workspaces[plan] > (int64_t)bench_workspace_most)
        return false;
    g->plans[plan] = p;
    return true;
}

dlf_status cudnn_graph_choose(cudnn_graph *g, int plan)
{
    g->chosen = plan;
    if (g->pack) g->destroy(g->pack);
    g->pack = NULL;
    bench_workspace_free(&g->workspace);
    if (!make_plan(g, plan))
        return dlf_fail(DLF_ERR_NO_KERNEL, "cuDNN makes no plan of configuration %d", plan);
    DLF_TRY(bench_workspace_new(&g->workspace, g->d->device, (size_t)g->workspaces[plan]));
    const bool ok = g->create(VARIANT_PACK, &g->pack) == 0 &&
                    set_int64(g, g->pack, PACK_IDS, g->n_operands, g->ids) &&
                    g->set(g->pack, PACK_POINTERS, TYPE_POINTER, g->n_operands, g->pointers) == 0 &&
                    g->set(g->pack, PACK_WORKSPACE, TYPE_POINTER, 1, &g->workspace.memory) == 0 &&
                    g->finalize(g->pack) == 0;
    return peer_cudnn_status(!ok, "cuDNN's variant pack");
}

dlf_status cudnn_graph_call(cudnn_graph *g)
{
    return peer_cudnn_status(g->execute(g->d->lib.handle, g->plans[g->chosen], g->pack),
                             "cudnnBackendExecute");
}

size_t cudnn_graph_workspace(const cudnn_graph *g, int plan)
{
    return (size_t)g->workspaces[plan];
}
