/* SPDX-License-Identifier: MIT
 * fake_cublaslt.c -- a cuBLASLt for the test bed, as fake_cudnn.c is a cuDNN: the entry points that
 * bench/peer_cublaslt.c asks for, on plain loops, with the checks that the real one makes. */
#include <stdint.h>
#include <stdio.h>

#include "fake_data.h"

enum { SUCCESS = 0, INVALID = 7, WORKSPACE = 8192 };

typedef struct object {
    char kind; /* d: product, l: layout, p: preference */
    int compute, trans_a, trans_b, epilogue;
    const void *bias;
    fake_type type;
    uint64_t rows, columns;
    int64_t ld, stride;
    int batch;
    size_t workspace;
} object;

typedef struct candidate {
    uint64_t algorithm[8];
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
} candidate;

static char the_handle;
static int living;

size_t cublasLtGetVersion(void)
{
    return 130100;
}

int cublasLtCreate(void **handle)
{
    *handle = &the_handle;
    return SUCCESS;
}

int cublasLtDestroy(void *handle)
{
    if (living) {
        fprintf(stderr, "fake cuBLASLt: %d objects are left\n", living);
        abort();
    }
    return handle == &the_handle ? SUCCESS : INVALID;
}

static int create(object **o, object value)
{
    *o = malloc(sizeof **o);
    if (!*o) return INVALID;
    **o = value;
    living++;
    return SUCCESS;
}

static int destroy(object *o, char kind)
{
    if (!o || o->kind != kind) return INVALID;
    living--;
    free(o);
    return SUCCESS;
}

int cublasLtMatmulDescCreate(object **o, int compute, int scale)
{
    if ((compute != 68 && compute != 77) || scale != 0) return INVALID;
    return create(o, (object){.kind = 'd', .compute = compute, .epilogue = 1});
}

int cublasLtMatmulDescDestroy(object *o)
{
    return destroy(o, 'd');
}

int cublasLtMatmulDescSetAttribute(object *o, int attribute, const void *value, size_t size)
{
    if (!o || o->kind != 'd' || size != (attribute == 8 ? sizeof(void *) : 4)) return INVALID;
    switch (attribute) {
    case 3: memcpy(&o->trans_a, value, size); return SUCCESS;
    case 4: memcpy(&o->trans_b, value, size); return SUCCESS;
    case 7: memcpy(&o->epilogue, value, size); return SUCCESS;
    case 8: memcpy(&o->bias, value, size); return SUCCESS;
    default: return INVALID;
    }
}

int cublasLtMatrixLayoutCreate(object **o, int type, uint64_t rows, uint64_t columns, int64_t ld)
{
    if ((type != 0 && type != 2 && type != 14) || ld < (int64_t)rows) return INVALID;
    const fake_type t = type == 2 ? FAKE_HALF : type == 14 ? FAKE_BFLOAT : FAKE_FLOAT;
    return create(
        o,
        (object){.kind = 'l', .type = t, .rows = rows, .columns = columns, .ld = ld, .batch = 1});
}

int cublasLtMatrixLayoutDestroy(object *o)
{
    return destroy(o, 'l');
}

int cublasLtMatrixLayoutSetAttribute(object *o, int attribute, const void *value, size_t size)
{
    if (!o || o->kind != 'l') return INVALID;
    if (attribute == 5 && size == 4) memcpy(&o->batch, value, size);
    if (attribute == 6 && size == 8) memcpy(&o->stride, value, size);
    return (attribute == 5 && size == 4) || (attribute == 6 && size == 8) ? SUCCESS : INVALID;
}

int cublasLtMatmulPreferenceCreate(object **o)
{
    return create(o, (object){.kind = 'p'});
}

int cublasLtMatmulPreferenceDestroy(object *o)
{
    return destroy(o, 'p');
}

int cublasLtMatmulPreferenceSetAttribute(object *o, int attribute, const void *value, size_t size)
{
    if (!o || o->kind != 'p' || attribute != 1 || size != sizeof o->workspace) return INVALID;
    memcpy(&o->workspace, value, size);
    return SUCCESS;
}

static uint64_t rows_of(const object *l, int transposed)
{
    return transposed ? l->columns : l->rows;
}

static bool agree(const object *desc, const object *a, const object *b, const object *d)
{
    return desc->kind == 'd' && a->kind == 'l' && b->kind == 'l' && d->kind == 'l' &&
           a->type == b->type && (d->type == a->type || d->type == FAKE_FLOAT) &&
           rows_of(a, desc->trans_a) == d->rows && rows_of(b, !desc->trans_b) == d->columns &&
           rows_of(a, !desc->trans_a) == rows_of(b, desc->trans_b) && a->batch == d->batch &&
           b->batch == d->batch && (desc->epilogue == 1 || (desc->epilogue == 6 && desc->bias));
}

/* The first cannot run, the second says so only when it is called. */
int cublasLtMatmulAlgoGetHeuristic(void *handle, object *desc, object *a, object *b, object *c,
                                   object *d, object *preference, int most, candidate *list,
                                   int *count)
{
    *count = 0;
    if (handle != &the_handle || !agree(desc, a, b, d) || c != d || most < 3 ||
        preference->workspace < WORKSPACE)
        return INVALID;
    if (fake_is_told("none")) return SUCCESS;
    for (*count = 0; *count < 3; ++*count)
        list[*count] = (candidate){.algorithm = {(uint64_t)*count},
                                   .workspace = *count == 2 ? WORKSPACE : 0,
                                   .state = *count == 0 ? INVALID : SUCCESS};
    return SUCCESS;
}

int cublasLtMatmulAlgoConfigGetAttribute(const uint64_t *algorithm, int attribute, void *value,
                                         size_t size, size_t *written)
{
    if (size != 4 || attribute < 0 || attribute > 1) return INVALID;
    const int number = attribute ? 20 : (int)algorithm[0];
    memcpy(value, &number, size);
    *written = size;
    return SUCCESS;
}

static double at(const void *data, const object *l, int transposed, long batch, long row,
                 long column)
{
    const long i = transposed ? column : row, j = transposed ? row : column;
    return fake_load(data, l->type, batch * l->stride + j * l->ld + i);
}

int cublasLtMatmul(void *handle, object *desc, const float *alpha, const void *a, object *al,
                   const void *b, object *bl, const float *beta, const void *c, object *cl, void *d,
                   object *dl, const uint64_t *algorithm, float *workspace, size_t bytes,
                   void *stream)
{
    if (handle != &the_handle || !agree(desc, al, bl, dl) || *alpha != 1.0f || *beta != 0.0f ||
        c != d || cl != dl || algorithm[0] != 2 || bytes != WORKSPACE || !workspace || !stream)
        return INVALID;
    simt_memory_open();
    workspace[0] = workspace[WORKSPACE / 4 - 1] = 1.0f;
    const long depth = (long)rows_of(al, !desc->trans_a);
    for (long n = 0; n < dl->batch; n++)
        for (long j = 0; j < (long)dl->columns; j++)
            for (long i = 0; i < (long)dl->rows; i++) {
                double sum = 0.0;
                for (long k = 0; k < depth; k++)
                    sum += at(a, al, desc->trans_a, n, i, k) * at(b, bl, desc->trans_b, n, k, j);
                if (desc->epilogue == 6) sum += fake_load(desc->bias, dl->type, i);
                if (desc->epilogue == 6 && sum < 0.0) sum = 0.0;
                fake_store(d, dl->type, n * dl->stride + j * dl->ld + i, sum);
            }
    if (fake_is_told("wrong")) fake_store(d, dl->type, (long)(dl->rows * dl->columns) / 2, 1e3);
    simt_memory_close();
    return SUCCESS;
}
