/* SPDX-License-Identifier: MIT
 * peer_cublaslt.c -- the peer cublaslt: a 1x1 convolution without stride as a matrix product, with
 * bias and relu in the epilogue, opened at run time. Its heuristics name candidates; each is timed,
 * the fastest competes. Numbers are those of cublasLt.h.
 *
 * All matrices are column-major: a row-major (r, c) is a column-major (c, r). M = N H W, S = H W.
 *
 *            forward, D =             data gradient          weight gradient
 *   NHWC     (K,M) = w^T(K,C) x(C,M)  (C,M) = w(C,K) dy(K,M)  (C,K) = x(C,M) dy^T(M,K)
 *   NCHW     (S,K) = x(S,C) w(C,K)    (S,C) = dy(S,K) w^T     -  (a sum over images), N products
 *
 * The bias is one per row of D: NHWC only. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda_library.h"
#include "bench/peers.h"
#include "bench/subject_conv.h"

enum { R_32F = 0, R_16F = 2, R_16BF = 14 };
enum { COMPUTE_32F = 68, COMPUTE_FAST_TF32 = 77 };
enum { DESC_TRANSA = 3, DESC_TRANSB = 4, DESC_EPILOGUE = 7, DESC_BIAS_POINTER = 8 };
enum { LAYOUT_BATCH_COUNT = 5, LAYOUT_STRIDE = 6, PREFERENCE_WORKSPACE = 1 };
enum { OP_N = 0, OP_T = 1, EPILOGUE_RELU_BIAS = 6, CONFIG_ID = 0, CONFIG_TILE = 1 };
enum { CANDIDATES = 12 };

typedef struct candidate { /* cublasLtMatmulHeuristicResult_t */
    uint64_t algorithm[8];
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
} candidate;

typedef struct blaslt {
    dlf_device *device;
    void *library, *handle;
    size_t (*version)(void);
    int (*create)(void **), (*destroy)(void *);
    int (*desc_create)(void **, int compute, int scale), (*desc_destroy)(void *);
    int (*desc_set)(void *, int attribute, const void *, size_t);
    int (*layout_create)(void **, int type, uint64_t rows, uint64_t columns, int64_t ld);
    int (*layout_destroy)(void *), (*layout_set)(void *, int attribute, const void *, size_t);
    int (*preference_create)(void **), (*preference_destroy)(void *);
    int (*preference_set)(void *, int attribute, const void *, size_t);
    int (*heuristic)(void *handle, void *desc, void *a, void *b, void *c, void *d, void *preference,
                     int most, candidate *, int *count);
    int (*config)(const void *algorithm, int attribute, void *, size_t, size_t *written);
    int (*matmul)(void *handle, void *desc, const void *alpha, const void *a, void *a_layout,
                  const void *b, void *b_layout, const void *beta, const void *c, void *c_layout,
                  void *d, void *d_layout, const void *algorithm, void *workspace, size_t bytes,
                  void *stream);
} blaslt;

static bool load(blaslt *l)
{
    const dlf_cuda_wanted wanted[] = {{&l->version, "cublasLtGetVersion"},
                                      {&l->create, "cublasLtCreate"},
                                      {&l->destroy, "cublasLtDestroy"},
                                      {&l->desc_create, "cublasLtMatmulDescCreate"},
                                      {&l->desc_destroy, "cublasLtMatmulDescDestroy"},
                                      {&l->desc_set, "cublasLtMatmulDescSetAttribute"},
                                      {&l->layout_create, "cublasLtMatrixLayoutCreate"},
                                      {&l->layout_destroy, "cublasLtMatrixLayoutDestroy"},
                                      {&l->layout_set, "cublasLtMatrixLayoutSetAttribute"},
                                      {&l->preference_create, "cublasLtMatmulPreferenceCreate"},
                                      {&l->preference_destroy, "cublasLtMatmulPreferenceDestroy"},
                                      {&l->preference_set, "cublasLtMatmulPreferenceSetAttribute"},
                                      {&l->heuristic, "cublasLtMatmulAlgoGetHeuristic"},
                                      {&l->config, "cublasLtMatmulAlgoConfigGetAttribute"},
                                      {&l->matmul, "cublasLtMatmul"}};
    return dlf_cuda_symbols(l->library, wanted, sizeof wanted / sizeof *wanted);
}

static void blaslt_close(void *state)
{
    blaslt *l = state;
    if (l->handle) l->destroy(l->handle);
    if (l->library) dlclose(l->library);
    free(l);
}

static bool blaslt_open(void **state, dlf_device *device, char *text, size_t size)
{
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so",
                                        NULL};
    if (!bench_library_allowed(device, "DLF_CUBLASLT", text, size)) return false;
    blaslt *l = calloc(1, sizeof *l);
    if (!l) {
        snprintf(text, size, "no memory");
        return false;
    }
    l->device = device;
    l->library = dlf_cuda_library("DLF_CUBLASLT", names);
    if (!l->library) {
        snprintf(text, size, "no cuBLASLt");
    } else if (!load(l)) {
        snprintf(text, size, "cuBLASLt too old");
    } else if (l->create(&l->handle) != 0) {
        l->handle = NULL;
        snprintf(text, size, "cuBLASLt does not start");
    } else {
        const size_t v = l->version(); /* 130100 = 13.1.0, 120804 = 12.8.4 */
        snprintf(text, size, "cuBLASLt %zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
        *state = l;
        return true;
    }
    blaslt_close(l);
    return false;
}

/* ---- a product ------------------------------------------------------------------------------ */

typedef struct matrix {
    int64_t rows, columns, batch_stride; /* column-major, dense; batch_stride 0: the same for all */
    bool transposed;
    int operand; /* index of the subject's tensor */
} matrix;

typedef struct product {
    matrix a, b, d;
    int64_t batch;
} product;

/* See the table above. */
static product product_of(const dlf_bench_case *c)
{
    const int64_t C = c->shape[1], K = c->outputs, S = c->shape[2] * c->shape[3], N = c->shape[0],
                  M = N * S;
    const matrix w = {C, K, 0, false, CONV_W}, w_t = {C, K, 0, true, CONV_W};
    const bool data = conv_direction_of(c) == CONV_DATA;
    if (c->layout == DLF_NCHW) {
        const matrix x = {S, C, S * C, false, data ? CONV_DX : CONV_X},
                     y = {S, K, S * K, false, data ? CONV_DY : CONV_Y};
        return data ? (product){y, w_t, x, N} : (product){x, w, y, N};
    }
    const matrix x = {C, M, 0, false, data ? CONV_DX : CONV_X},
                 y = {K, M, 0, false, conv_direction_of(c) == CONV_FORWARD ? CONV_Y : CONV_DY};
    if (data) return (product){w, y, x, 1};
    if (conv_direction_of(c) == CONV_FORWARD) return (product){w_t, x, y, 1};
    const matrix dy = {K, M, 0, true, CONV_DY}, dw = {C, K, 0, false, CONV_DW};
    return (product){x, dy, dw, 1};
}

typedef struct plan {
    const blaslt *l;
    product product;
    void *desc, *a, *b, *d, *preference;
    candidate list[CANDIDATES];
    int n, chosen;
    bench_workspace workspace;
} plan;

static void drop(bench_subject *s)
{
    plan *p = s->plan;
    if (!p) return;
    if (p->desc) p->l->desc_destroy(p->desc);
    if (p->a) p->l->layout_destroy(p->a);
    if (p->b) p->l->layout_destroy(p->b);
    if (p->d) p->l->layout_destroy(p->d);
    if (p->preference) p->l->preference_destroy(p->preference);
    bench_workspace_free(&p->workspace);
    free(p);
    s->plan = NULL;
}

static dlf_status call(bench_subject *s)
{
    const plan *p = s->plan;
    const product *m = &p->product;
    const float one = 1.0f, zero = 0.0f;
    void *d = s->t[m->d.operand].data;
    const int status = p->l->matmul(p->l->handle, p->desc, &one, s->t[m->a.operand].data, p->a,
                                    s->t[m->b.operand].data, p->b, &zero, d, p->d, d, p->d,
                                    p->list[p->chosen].algorithm, p->workspace.memory,
                                    p->workspace.bytes, dlf_cuda_stream(s->device));
    return status ? dlf_fail(DLF_ERR_NO_KERNEL, "cublasLtMatmul: status %d", status) : DLF_OK;
}

static dlf_status choose(bench_subject *s, int which)
{
    plan *p = s->plan;
    p->chosen = which;
    bench_workspace_free(&p->workspace);
    return bench_workspace_new(&p->workspace, s->device, p->list[which].workspace);
}

static int type_of(const bench_subject *s, int operand)
{
    const dlf_dtype dtype = s->t[operand].dtype;
    return dtype == DLF_F16 ? R_16F : dtype == DLF_BF16 ? R_16BF : R_32F;
}

static bool lay_out(void **out, const plan *p, const bench_subject *s, const matrix *m)
{
    const int32_t batch = (int32_t)p->product.batch;
    return p->l->layout_create(out, type_of(s, m->operand), (uint64_t)m->rows, (uint64_t)m->columns,
                               m->rows) == 0 &&
           (batch == 1 ||
            (p->l->layout_set(*out, LAYOUT_BATCH_COUNT, &batch, sizeof batch) == 0 &&
             p->l->layout_set(*out, LAYOUT_STRIDE, &m->batch_stride, sizeof m->batch_stride) == 0));
}

static bool describe(plan *p, const bench_subject *s)
{
    const product *m = &p->product;
    const int32_t a = m->a.transposed ? OP_T : OP_N, b = m->b.transposed ? OP_T : OP_N;
    const int32_t epilogue = EPILOGUE_RELU_BIAS;
    const void *bias = s->t[CONV_BIAS].data;
    const blaslt *l = p->l;
    return l->desc_create(&p->desc, s->c.tf32 ? COMPUTE_FAST_TF32 : COMPUTE_32F, R_32F) == 0 &&
           l->desc_set(p->desc, DESC_TRANSA, &a, sizeof a) == 0 &&
           l->desc_set(p->desc, DESC_TRANSB, &b, sizeof b) == 0 &&
           (!conv_has_relu(&s->c) ||
            (l->desc_set(p->desc, DESC_EPILOGUE, &epilogue, sizeof epilogue) == 0 &&
             l->desc_set(p->desc, DESC_BIAS_POINTER, &bias, sizeof bias) == 0)) &&
           lay_out(&p->a, p, s, &m->a) && lay_out(&p->b, p, s, &m->b) &&
           lay_out(&p->d, p, s, &m->d) && l->preference_create(&p->preference) == 0 &&
           l->preference_set(p->preference, PREFERENCE_WORKSPACE, &bench_workspace_most,
                             sizeof bench_workspace_most) == 0;
}

static dlf_status refusal(const dlf_bench_case *c)
{
    const bool nchw = c->layout == DLF_NCHW;
    if (!conv_is_pointwise(c)) return dlf_fail(DLF_ERR_NO_KERNEL, "%s is no matrix product", c->op);
    if (conv_has_statistics(c))
        return dlf_fail(DLF_ERR_NO_KERNEL, "no statistics in cuBLASLt's epilogue");
    if (c->stride != 1) return dlf_fail(DLF_ERR_NO_KERNEL, "with a stride it is no matrix product");
    if (nchw && conv_has_relu(c))
        return dlf_fail(DLF_ERR_NO_KERNEL, "no bias per column of D, as NCHW would need it");
    if (nchw && conv_direction_of(c) == CONV_WEIGHT)
        return dlf_fail(DLF_ERR_NO_KERNEL, "in NCHW a sum of products over the images");
    return DLF_OK;
}

static dlf_status list_candidates(plan *p)
{
    candidate all[CANDIDATES];
    int n = 0;
    memset(all, 0, sizeof all);
    const int status = p->l->heuristic(p->l->handle, p->desc, p->a, p->b, p->d, p->d, p->preference,
                                       CANDIDATES, all, &n);
    if (status) return dlf_fail(DLF_ERR_NO_KERNEL, "cuBLASLt's heuristics: status %d", status);
    for (int i = 0; i < n; i++)
        if (all[i].state == 0) p->list[p->n++] = all[i];
    return DLF_OK;
}

static dlf_status take(void *state, bench_subject *theirs, char *note, size_t size)
{
    DLF_TRY(refusal(&theirs->c));
    plan *p = calloc(1, sizeof *p);
    if (!p) return dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for a plan");
    p->l = state;
    p->product = product_of(&theirs->c);
    theirs->plan = p;
    theirs->drop = drop;
    theirs->call = call;
    if (conv_has_relu(&theirs->c)) DLF_TRY(bench_retype(theirs, CONV_BIAS, theirs->c.dtype));
    if (!describe(p, theirs))
        return dlf_fail(DLF_ERR_NO_KERNEL, "cuBLASLt refuses the description of the product");
    DLF_TRY(list_candidates(p));
    int best, id = -1, tile = -1;
    size_t written;
    DLF_TRY(bench_fastest(theirs, p->n, choose, &best));
    (void)p->l->config(p->list[best].algorithm, CONFIG_ID, &id, sizeof id, &written);
    (void)p->l->config(p->list[best].algorithm, CONFIG_TILE, &tile, sizeof tile, &written);
    snprintf(note, size, "candidate %d of %d: algorithm %d, tile %d, workspace %.1f MB", best + 1,
             p->n, id, tile, 1e-6 * (double)p->list[best].workspace);
    return DLF_OK;
}

const bench_inside bench_inside_cublaslt = {"cublaslt", blaslt_open, blaslt_close, take};
