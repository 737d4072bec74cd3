/* SPDX-License-Identifier: MIT
 * fake_cudnn_graph.c -- the graph interface of the stand-in for cuDNN, for graphs of one
 * normalization. A descriptor is a list of attributes; finalizing it checks that those are there
 * which the real library wants. Names are those of cudnn_graph.h, as numbers. */
#include "fake_cudnn.h"

enum { ATTRIBUTES = 24, MOST = 12 };
enum {
    CONFIG = 3,
    HEURISTICS = 4,
    PLAN = 5,
    GRAPH = 15,
    PACK = 16,
    TENSOR = 17,
    FORWARD = 29,
    BACKWARD = 30
};

typedef struct attribute {
    int name, type;
    int64_t count;
    int64_t value[MOST]; /* the first bytes of it */
} attribute;

typedef struct backend {
    int kind;
    bool final;
    attribute list[ATTRIBUTES];
    int n;
    bool runs; /* a configuration: a plan can be made of it */
} backend;

static size_t size_of(int type)
{
    switch (type) {
    case 2: return 1; /* boolean */
    case 0:           /* handle */
    case 3:           /* int64 */
    case 6:           /* pointer */
    case 15: return 8;
    default: return 4; /* enumerations */
    }
}

static const attribute *find(const backend *b, int name)
{
    for (int i = 0; b && i < b->n; i++)
        if (b->list[i].name == name) return &b->list[i];
    return NULL;
}

static void *pointer(const backend *b, int name)
{
    const attribute *a = find(b, name);
    void *p = NULL;
    if (a) memcpy(&p, a->value, sizeof p);
    return p;
}

static int number(const backend *b, int name)
{
    const attribute *a = find(b, name);
    int x = -1;
    if (a) memcpy(&x, a->value, sizeof x);
    return x;
}

int cudnnBackendCreateDescriptor(int kind, backend **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return BAD_PARAM;
    (*out)->kind = kind;
    fake_count(1);
    return SUCCESS;
}

int cudnnBackendDestroyDescriptor(backend *b)
{
    fake_count(-1);
    free(b);
    return SUCCESS;
}

int cudnnBackendSetAttribute(backend *b, int name, int type, int64_t count, const void *value)
{
    if (b->final || b->n == ATTRIBUTES || count < 1 || count > MOST) return BAD_PARAM;
    const backend *d;
    memcpy(&d, value, type == 15 ? sizeof d : 0);
    if (type == 15 && !(d && (d->final || d->kind == CONFIG))) return BAD_PARAM;
    attribute *a = &b->list[b->n++];
    *a = (attribute){.name = name, .type = type, .count = count};
    memcpy(a->value, value, (size_t)count * size_of(type));
    return SUCCESS;
}

/* ---- tensors -------------------------------------------------------------------------------- */

static fake_view view(const backend *operation, int name, const backend *pack)
{
    const backend *t = pointer(operation, name);
    fake_view v = {.data = NULL};
    if (!t || t->kind != TENSOR) return v;
    for (int i = 0; i < 4; i++) {
        v.size[i] = find(t, 902)->value[i];
        v.stride[i] = find(t, 903)->value[i];
    }
    v.type = number(t, 901) == 2 ? FAKE_HALF : number(t, 901) == 9 ? FAKE_BFLOAT : FAKE_FLOAT;
    const attribute *ids = pack ? find(pack, 1000) : NULL, *data = pack ? find(pack, 1001) : NULL;
    for (int64_t i = 0; ids && i < ids->count; i++)
        if (ids->value[i] == find(t, 906)->value[0])
            memcpy(&v.data, &data->value[i], sizeof v.data);
    return v;
}

static bool same_size(fake_view a, fake_view b)
{
    return memcmp(a.size, b.size, sizeof a.size) == 0 && a.size[0] > 0;
}

/* Scale, bias and statistics as large as the mode wants. */
static bool operation_is_good(const backend *o)
{
    const bool forward = o->kind == FORWARD;
    const int first = forward ? 2000 : 2100, mode = number(o, first);
    const fake_view x = view(o, first + (forward ? 2 : 1), NULL),
                    mean = view(o, first + (forward ? 3 : 2), NULL),
                    rstd = view(o, first + (forward ? 4 : 3), NULL),
                    scale = view(o, first + 5, NULL);
    const long per_sample = mode == 2 ? 1 : x.size[0],
               per_channel = mode == 1 || mode == 2 ? x.size[1] : 1;
    const bool sizes = rstd.size[0] == per_sample && rstd.size[1] == per_channel &&
                       scale.size[0] == 1 && scale.size[1] == x.size[1] &&
                       (mode == 4 ? !mean.size[0] : same_size(mean, rstd));
    const backend *epsilon = pointer(o, 2007);
    if (mode < 0 || mode > 4 || mode == 3 || !sizes) return false;
    if (forward)
        return number(o, 2001) == 1 && find(o, 2000)->type == 27 && find(o, 2001)->type == 28 &&
               epsilon && find(epsilon, 908) && same_size(view(o, 2006, NULL), scale) &&
               same_size(view(o, 2013, NULL), x);
    return same_size(view(o, 2104, NULL), x) && same_size(view(o, 2109, NULL), x) &&
           same_size(view(o, 2107, NULL), scale) && same_size(view(o, 2108, NULL), scale);
}

static bool complete(const backend *b)
{
    const backend *config = pointer(b, 401);
    switch (b->kind) {
    case TENSOR:
        return find(b, 900) && find(b, 901) && find(b, 902) && find(b, 903) && find(b, 906);
    case FORWARD:
    case BACKWARD: return operation_is_good(b);
    case GRAPH: return fake_is_handle(pointer(b, 800)) && find(b, 801);
    case HEURISTICS: return find(b, 200) && find(b, 201);
    case PLAN: return config && config->runs && fake_is_handle(pointer(b, 400));
    case PACK: return find(b, 1000) && find(b, 1001) && find(b, 1003);
    default: return false;
    }
}

int cudnnBackendFinalize(backend *b)
{
    b->final = complete(b);
    return b->final ? SUCCESS : BAD_PARAM;
}

/* ---- plans ---------------------------------------------------------------------------------- */

/* Mode A: two configurations, the first of which makes no plan; fallback: one. */
int cudnnBackendGetAttribute(backend *b, int name, int type, int64_t most, int64_t *count,
                             void *value)
{
    const int64_t workspace = WORKSPACE;
    if (!b->final) return BAD_PARAM;
    if (b->kind == PLAN && name == 402 && type == 3 && most == 1) {
        memcpy(value, &workspace, sizeof workspace);
        *count = 1;
        return SUCCESS;
    }
    if (b->kind != HEURISTICS || name != 202 || type != 15) return BAD_PARAM;
    const int64_t n = fake_is_told("none") ? 0 : number(b, 200) == 3 ? 2 : 1;
    backend **configs = value;
    for (*count = 0; *count < n && *count < most; ++*count) {
        backend *c = configs[*count];
        c->runs = *count == n - 1;
        c->list[0] = *find(b, 201);
        c->n = 1;
    }
    return SUCCESS;
}

int cudnnBackendExecute(void *handle, backend *plan, backend *pack)
{
    if (!fake_is_handle(handle) || !plan->final || !pack->final) return BAD_PARAM;
    const backend *graph = pointer(pointer(plan, 401), 201), *o = pointer(graph, 801);
    const bool forward = o->kind == FORWARD;
    const int first = forward ? 2000 : 2100;
    float *workspace = pointer(pack, 1003);
    fake_norm n = {.x = view(o, first + (forward ? 2 : 1), pack),
                   .mean = view(o, first + (forward ? 3 : 2), pack),
                   .rstd = view(o, first + (forward ? 4 : 3), pack),
                   .scale = view(o, first + 5, pack)};
    if (!workspace || !n.x.data || !n.rstd.data || !n.scale.data) return BAD_PARAM;
    if (forward) {
        const fake_view epsilon = view(o, 2007, pack);
        n.epsilon = (double)*(const float *)epsilon.data; /* on the host */
        n.bias = view(o, 2006, pack);
        n.y = view(o, 2013, pack);
    } else {
        n.dy = view(o, 2104, pack);
        n.dscale = view(o, 2107, pack);
        n.dbias = view(o, 2108, pack);
        n.dx = view(o, 2109, pack);
    }
    simt_memory_open();
    workspace[0] = workspace[WORKSPACE / 4 - 1] = 1.0f;
    const bool ok = forward ? fake_norm_forward(&n) : fake_norm_backward(&n);
    simt_memory_close();
    return ok ? SUCCESS : BAD_PARAM;
}
