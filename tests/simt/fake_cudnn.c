/* SPDX-License-Identifier: MIT
 * fake_cudnn.c -- a cuDNN for the test bed, whose device memory is host memory: the entry points
 * that host/backend/cudnn.c asks for, on plain loops. It checks what the real one would: handles,
 * descriptors that are set before they are used, sizes that agree, a workspace of the size that the
 * algorithm asked for. What it cannot show is what the real library answers. */
#include <stdio.h>

#include "fake_cudnn.h"

typedef struct algorithm {
    int algorithm, status;
    float time;
    size_t memory;
    int determinism, math;
    int reserved[3];
} algorithm;

static char the_handle;
static int living;

bool fake_is_handle(const void *handle)
{
    return handle == &the_handle;
}

void fake_count(int change)
{
    living += change;
}

int cudnnCreate(void **handle)
{
    *handle = &the_handle;
    return SUCCESS;
}

int cudnnDestroy(void *handle)
{
    if (living) {
        fprintf(stderr, "fake cuDNN: %d descriptors are left\n", living);
        abort();
    }
    return handle == &the_handle ? SUCCESS : BAD_PARAM;
}

int cudnnSetStream(void *handle, void *stream)
{
    return handle == &the_handle && stream ? SUCCESS : BAD_PARAM;
}

size_t cudnnGetVersion(void)
{
    return 90000;
}

static int create(descriptor **d, char kind)
{
    *d = calloc(1, sizeof **d);
    if (!*d) return BAD_PARAM;
    (*d)->kind = kind;
    living++;
    return SUCCESS;
}

static int destroy(descriptor *d, char kind)
{
    if (!d || d->kind != kind) return BAD_PARAM;
    living--;
    free(d);
    return SUCCESS;
}

#define LIFE(Name, kind)                                                                           \
    int cudnnCreate##Name##Descriptor(descriptor **d)                                              \
    {                                                                                              \
        return create(d, kind);                                                                    \
    }                                                                                              \
    int cudnnDestroy##Name##Descriptor(descriptor *d)                                              \
    {                                                                                              \
        return destroy(d, kind);                                                                   \
    }
LIFE(Tensor, 't')
LIFE(Filter, 'f')
LIFE(Convolution, 'c')
LIFE(Activation, 'a')

static int set_sizes(descriptor *d, char kind, int format, int type, int n, int c, int h, int w)
{
    if (!d || d->kind != kind || (type != 0 && type != 2 && type != 9) || format < 0 ||
        format > 1 || n < 1 || c < 1 || h < 1 || w < 1)
        return BAD_PARAM;
    d->set = true;
    d->format = format;
    d->type = type == 2 ? FAKE_HALF : type == 9 ? FAKE_BFLOAT : FAKE_FLOAT;
    d->n = n, d->c = c, d->h = h, d->w = w;
    return SUCCESS;
}

int cudnnSetTensor4dDescriptor(descriptor *d, int format, int type, int n, int c, int h, int w)
{
    return set_sizes(d, 't', format, type, n, c, h, w);
}

int cudnnSetFilter4dDescriptor(descriptor *d, int type, int format, int k, int c, int h, int w)
{
    return set_sizes(d, 'f', format, type, k, c, h, w);
}

int cudnnSetConvolution2dDescriptor(descriptor *d, int pad_h, int pad_w, int u, int v,
                                    int dilation_h, int dilation_w, int mode, int type)
{
    if (!d || d->kind != 'c' || mode != 1 || type != 0) return BAD_PARAM;
    d->set = true;
    d->pad[0] = pad_h, d->pad[1] = pad_w;
    d->stride[0] = u, d->stride[1] = v;
    d->dilation[0] = dilation_h, d->dilation[1] = dilation_w;
    d->groups = 1;
    d->math = -1;
    return SUCCESS;
}

int cudnnSetConvolutionGroupCount(descriptor *d, int count)
{
    if (!d || !d->set || count < 1) return BAD_PARAM;
    d->groups = count;
    return SUCCESS;
}

int cudnnSetConvolutionMathType(descriptor *d, int math)
{
    if (!d || !d->set) return BAD_PARAM;
    d->math = math;
    return SUCCESS;
}

int cudnnSetActivationDescriptor(descriptor *d, int mode, int nan, double coefficient)
{
    if (!d || d->kind != 'a' || mode != 1 || nan != 0) return BAD_PARAM;
    d->set = true;
    return SUCCESS;
}

static int positions(const descriptor *c, int axis, int in, int kernel)
{
    return (in + 2 * c->pad[axis] - c->dilation[axis] * (kernel - 1) - 1) / c->stride[axis] + 1;
}

static bool agree(const void *handle, const descriptor *x, const descriptor *w, const descriptor *y,
                  const descriptor *c)
{
    return handle == &the_handle && x->kind == 't' && w->kind == 'f' && y->kind == 't' &&
           c->kind == 'c' && x->set && w->set && y->set && c->set && x->type == w->type &&
           x->type == y->type &&
           (x->type == FAKE_FLOAT ? c->math == 3 || c->math == 0 : c->math == 1) &&
           x->format == y->format && x->format == w->format && x->n == y->n &&
           x->c == w->c * c->groups && y->c == w->n && w->n % c->groups == 0 &&
           y->h == positions(c, 0, x->h, w->h) && y->w == positions(c, 1, x->w, w->w);
}

/* The fastest is not deterministic, the next wants too much memory, the third is what is to be
 * taken. NHWC with groups: nothing, as if this version could not. */
static int choose(bool good, const descriptor *c, int format, int most, int *count, algorithm *list)
{
    if (!good || most < 4) return BAD_PARAM;
    *count = 0;
    if ((format == 1 && c->groups > 1) || fake_is_told("none")) return SUCCESS;
    const algorithm all[] = {{0, SUCCESS, 1.0f, 0, 0, c->math, {0}},
                             {1, SUCCESS, 2.0f, (size_t)1 << 40, 1, c->math, {0}},
                             {2, NOT_SUPPORTED, -1.0f, 0, 1, c->math, {0}},
                             {5, SUCCESS, 3.0f, WORKSPACE, 1, c->math, {0}}};
    for (int i = 0; i < 4; i++) list[(*count)++] = all[i];
    return SUCCESS;
}

static long at(const descriptor *d, int n, int c, int h, int w)
{
    return d->format == 0 ? (((long)n * d->c + c) * d->h + h) * d->w + w
                          : (((long)n * d->h + h) * d->w + w) * d->c + c;
}

typedef enum what { FORWARD, DATA, WEIGHT } what;

/* Algorithm 0 is listed and does not run. bias: one per channel of y, then relu; NULL: neither. */
static int run(void *handle, const float *alpha, const descriptor *xd, const void *x,
               const descriptor *wd, const void *w, const descriptor *yd, const void *y,
               const descriptor *c, int chosen, float *workspace, size_t bytes, const float *beta,
               const void *bias, void *out, what result)
{
    if (!agree(handle, xd, wd, yd, c) || *alpha != 1.0f || chosen != 5 || bytes != WORKSPACE ||
        !workspace)
        return BAD_PARAM;
    const descriptor *od = result == FORWARD ? yd : result == DATA ? xd : wd;
    const long n = (long)od->n * od->c * od->h * od->w;
    double *sum = calloc((size_t)n, sizeof *sum);
    if (!sum) return BAD_PARAM;
    simt_memory_open();
    workspace[0] = workspace[WORKSPACE / 4 - 1] = 1.0f;
    for (int i = 0; i < yd->n; i++)
        for (int k = 0; k < yd->c; k++)
            for (int h = 0; h < yd->h; h++)
                for (int v = 0; v < yd->w; v++)
                    for (int q = 0; q < wd->c; q++)
                        for (int r = 0; r < wd->h; r++)
                            for (int s = 0; s < wd->w; s++) {
                                const int a = h * c->stride[0] - c->pad[0] + r * c->dilation[0];
                                const int b = v * c->stride[1] - c->pad[1] + s * c->dilation[1];
                                if (a < 0 || a >= xd->h || b < 0 || b >= xd->w) continue;
                                const int group = k / (yd->c / c->groups);
                                const long ix = at(xd, i, group * wd->c + q, a, b);
                                const long iw = at(wd, k, q, r, s), iy = at(yd, i, k, h, v);
                                if (result == FORWARD)
                                    sum[iy] +=
                                        fake_load(x, xd->type, ix) * fake_load(w, wd->type, iw);
                                else if (result == DATA)
                                    sum[ix] +=
                                        fake_load(y, yd->type, iy) * fake_load(w, wd->type, iw);
                                else
                                    sum[iw] +=
                                        fake_load(y, yd->type, iy) * fake_load(x, xd->type, ix);
                            }
    for (long i = 0; i < n && bias; i++) {
        const long channel = od->format == 0 ? i / (od->h * od->w) % od->c : i % od->c;
        sum[i] += fake_load(bias, od->type, channel);
        if (sum[i] < 0.0) sum[i] = 0.0;
    }
    for (long i = 0; i < n; i++)
        fake_store(out, od->type, i,
                   *beta == 0.0f ? sum[i] : sum[i] + (double)*beta * fake_load(out, od->type, i));
    if (fake_is_told("wrong")) fake_store(out, od->type, n / 2, 1e3);
    simt_memory_close();
    free(sum);
    return SUCCESS;
}

/* The three directions differ in the order of their operands. */
#define CHOOSE(Name, a, b, out)                                                                    \
    int cudnnGetConvolution##Name##Algorithm_v7(void *handle, descriptor *a, descriptor *b,        \
                                                descriptor *c, descriptor *out, int most,          \
                                                int *count, algorithm *list);                      \
    int cudnnGetConvolution##Name##Algorithm_v7(void *handle, descriptor *a, descriptor *b,        \
                                                descriptor *c, descriptor *out, int most,          \
                                                int *count, algorithm *list)                       \
    {                                                                                              \
        return choose(agree(handle, x, w, y, c), c, x->format, most, count, list);                 \
    }
CHOOSE(Forward, x, w, y)
CHOOSE(BackwardData, w, y, x)
CHOOSE(BackwardFilter, x, y, w)

#define RUN(Name, a, b, out, result)                                                               \
    int cudnnConvolution##Name(void *handle, const void *alpha, descriptor *a##d, void *a,         \
                               descriptor *b##d, void *b, descriptor *c, int chosen,               \
                               void *workspace, size_t bytes, const void *beta,                    \
                               descriptor *out##d, void *out);                                     \
    int cudnnConvolution##Name(void *handle, const void *alpha, descriptor *a##d, void *a,         \
                               descriptor *b##d, void *b, descriptor *c, int chosen,               \
                               void *workspace, size_t bytes, const void *beta,                    \
                               descriptor *out##d, void *out)                                      \
    {                                                                                              \
        return run(handle, alpha, xd, x, wd, w, yd, y, c, chosen, workspace, bytes, beta, NULL,    \
                   out, result);                                                                   \
    }
RUN(Forward, x, w, y, FORWARD)
RUN(BackwardData, w, y, x, DATA)
RUN(BackwardFilter, x, y, w, WEIGHT)

int cudnnConvolutionBiasActivationForward(void *handle, const void *alpha, descriptor *xd, void *x,
                                          descriptor *wd, void *w, descriptor *c, int chosen,
                                          void *workspace, size_t bytes, const void *alpha2,
                                          descriptor *zd, void *z, descriptor *bd, void *b,
                                          descriptor *ad, descriptor *yd, void *y)
{
    if (!bd || !bd->set || bd->c != yd->c || bd->type != yd->type || bd->n * bd->h * bd->w != 1 ||
        !ad || ad->kind != 'a' || !ad->set || zd != yd || z != y || *(const float *)alpha2 != 0.0f)
        return BAD_PARAM;
    return run(handle, alpha, xd, x, wd, w, yd, y, c, chosen, workspace, bytes, alpha2, b, y,
               FORWARD);
}
