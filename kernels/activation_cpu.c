/* SPDX-License-Identifier: MIT
 * activation_cpu.c -- activations as SIMD loops over chunks of a member.
 *
 * One function per kind, chosen once per call: the loop bodies stay branch-free. `omp simd` tells
 * gcc that y == x, the only overlap allowed, carries nothing from one element to the next. 16-bit
 * storage and outputs too large for the caches go piecewise through buffers in the first level. */
#include "cpu.h"
#include "cpu_math.h"
#include "cpu_storage.h"

static const float selu_scale = 1.05070098735548049342f;
static const float selu_alpha = 1.67326324235437728482f;

/* ---- forward: y = f(x) ---------------------------------------------------------------------- */

typedef void forward_fn(float *y, const float *x, int64_t n, float alpha);
typedef void forward_lines_fn(float *y, const float *x, dlf_cpu_lines lines, bool stream,
                              float alpha);

#define FORWARD(name, value)                                                                       \
    static inline float name##_of(float v, float alpha)                                            \
    {                                                                                              \
        (void)alpha;                                                                               \
        return (value);                                                                            \
    }                                                                                              \
    static void name##_forward(float *y, const float *x, int64_t n, float alpha)                   \
    {                                                                                              \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = name##_of(x[i], alpha);         \
    }                                                                                              \
    static void name##_forward_lines(float *y, const float *x, dlf_cpu_lines lines, bool stream,   \
                                     float alpha)                                                  \
    {                                                                                              \
        DLF_CPU_EACH_LINE(i, lines, stream, y, x, x, name##_of(x[i], alpha))                       \
    }

/* min(v, 0) that keeps a NaN, for the exponential half of elu and selu */
#define NEGATIVE_PART(v) (0.0f < (v) ? 0.0f : (v))

static inline float gelu_tanh_inner(float x) /* 2 sqrt(2/pi) (x + 0.044715 x^3) */
{
    return x * fmaf(x * x, 0.0713548162726f, 1.59576912160573f);
}

FORWARD(linear, v)
FORWARD(sigmoid, vm_sigmoid(v))
FORWARD(tanh, vm_tanh(v))
FORWARD(relu, 0.0f > v ? 0.0f : v)
FORWARD(leaky_relu, v > 0.0f ? v : alpha * v)
FORWARD(elu, v > 0.0f ? v : alpha * vm_expm1_nonpos(NEGATIVE_PART(v)))
FORWARD(selu, selu_scale *(v > 0.0f ? v : selu_alpha * vm_expm1_nonpos(NEGATIVE_PART(v))))
FORWARD(gelu, vm_gelu(v))
FORWARD(gelu_tanh, v *vm_sigmoid(gelu_tanh_inner(v)))
FORWARD(silu, v *vm_sigmoid(v))
FORWARD(softplus, vm_softplus(v))

/* ---- backward: dx = dy f'; v is x for gelu, gelu_tanh, silu, else y = f(x) ------------------- */

typedef void backward_fn(float *dx, const float *dy, const float *xy, int64_t n, float alpha);
typedef void backward_lines_fn(float *dx, const float *dy, const float *xy, dlf_cpu_lines lines,
                               bool stream, float alpha);

#define BACKWARD(name, slope)                                                                      \
    static inline float name##_slope_of(float v, float alpha)                                      \
    {                                                                                              \
        (void)alpha;                                                                               \
        return (slope);                                                                            \
    }                                                                                              \
    static void name##_backward(float *dx, const float *dy, const float *xy, int64_t n,            \
                                float alpha)                                                       \
    {                                                                                              \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) dx[i] =                                \
            dy[i] * name##_slope_of(xy[i], alpha);                                                 \
    }                                                                                              \
    static void name##_backward_lines(float *dx, const float *dy, const float *xy,                 \
                                      dlf_cpu_lines lines, bool stream, float alpha)               \
    {                                                                                              \
        DLF_CPU_EACH_LINE(i, lines, stream, dx, dy, xy, dy[i] * name##_slope_of(xy[i], alpha))     \
    }

static inline float gelu_slope(float x)
{
    const vm_normal_at at = vm_normal(x);
    return fmaf(x, at.pdf, at.cdf);
}

/* Both slopes below are s + x s (1-s) u'(x) with s = sigmoid(u). Beyond the limit s is 0 or 1 to
 * the last bit, while s (1-s) as computed is small but not 0: the clamp keeps its product with x
 * small. Adding x - x, which is 0, gives NaN where the formula has 0 * Inf. */
static inline float clamp(float x, float limit)
{
    const float lo = x < -limit ? -limit : x;
    return limit < lo ? limit : lo;
}

static inline float gelu_tanh_slope(float x)
{
    const float c = clamp(x, 16.0f);
    const vm_sigmoid_pair s = vm_sigmoid_both(gelu_tanh_inner(c));
    const float du = fmaf(c * c, 0.2140644488178f, 1.59576912160573f);
    return fmaf(c * (s.value * s.complement), du, s.value) + (x - x);
}

static inline float silu_slope(float x)
{
    const float c = vm_sigmoid_clamp(x);
    const vm_sigmoid_pair s = vm_sigmoid_within(c);
    return fmaf(c, s.value * s.complement, s.value) + (x - x);
}

/* The last arm of a two-sided slope is v itself, a NaN. */
BACKWARD(sigmoid, v *(1.0f - v))
BACKWARD(tanh, (1.0f - v) * (1.0f + v))
BACKWARD(relu, v > 0.0f ? 1.0f : (v <= 0.0f ? 0.0f : v))
BACKWARD(leaky_relu, v > 0.0f ? 1.0f : (v <= 0.0f ? alpha : v))
BACKWARD(elu, v > 0.0f ? 1.0f : v + alpha)
BACKWARD(selu, v > 0.0f ? selu_scale : v + selu_scale * selu_alpha)
BACKWARD(gelu, gelu_slope(v))
BACKWARD(gelu_tanh, gelu_tanh_slope(v))
BACKWARD(silu, silu_slope(v))
BACKWARD(softplus, -vm_expm1_nonpos(-v))

/* f' = 1 reads neither x nor y. */
static void linear_backward(float *dx, const float *dy, const float *xy, int64_t n, float alpha)
{
    (void)xy, (void)alpha;
    if (dx != dy) memcpy(dx, dy, (size_t)n * sizeof *dx);
}

static void linear_backward_lines(float *dx, const float *dy, const float *xy, dlf_cpu_lines lines,
                                  bool stream, float alpha)
{
    (void)xy;
    linear_forward_lines(dx, dy, lines, stream, alpha);
}

/* ---- dispatch ------------------------------------------------------------------------------- */

/* `cost` is in elementary operations per element, for dlf_cpu_threads. */
static const struct kind {
    forward_fn *forward;
    backward_fn *backward;
    forward_lines_fn *forward_lines;
    backward_lines_fn *backward_lines;
    double forward_cost, backward_cost;
} kinds[DLF_ACTIVATION_COUNT] = {
#define KIND(name) name##_forward, name##_backward, name##_forward_lines, name##_backward_lines
    [DLF_LINEAR] = {KIND(linear), 0.2, 0.2},
    [DLF_SIGMOID] = {KIND(sigmoid), 1.0, 0.3},
    [DLF_TANH] = {KIND(tanh), 1.0, 0.3},
    [DLF_RELU] = {KIND(relu), 0.2, 0.3},
    [DLF_LEAKY_RELU] = {KIND(leaky_relu), 0.2, 0.3},
    [DLF_ELU] = {KIND(elu), 1.0, 0.3},
    [DLF_SELU] = {KIND(selu), 1.0, 0.3},
    [DLF_GELU] = {KIND(gelu), 2.0, 2.0},
    [DLF_GELU_TANH] = {KIND(gelu_tanh), 1.0, 1.5},
    [DLF_SILU] = {KIND(silu), 1.0, 1.0},
    [DLF_SOFTPLUS] = {KIND(softplus), 2.0, 1.0},
#undef KIND
};

enum {
    CHUNK = 8192, /* elements per task: three such arrays fit a 128 KiB second-level cache */
    PIECE = 1024  /* elements per buffer: three buffers fit a 32 KiB first-level cache     */
};

/* out = f(a), or with b: out = a f'(b). Members and strides as in tensors. */
typedef struct job {
    const struct kind *kind;
    float alpha;
    dlf_tensor *out;
    const dlf_tensor *a, *b;
    int64_t members, n;
    bool stream; /* write past the caches */
} job;

static void compute(const job *j, float *out, const float *a, const float *b, int64_t n)
{
    if (j->b)
        j->kind->backward(out, a, b, n, j->alpha);
    else
        j->kind->forward(out, a, n, j->alpha);
}

static void compute_lines(const job *j, float *out, const float *a, const float *b, int64_t n)
{
    const dlf_cpu_lines lines = dlf_cpu_lines_of(out, n);
    compute(j, out, a, b, lines.first);
    if (j->b)
        j->kind->backward_lines(out, a, b, lines, j->stream, j->alpha);
    else
        j->kind->forward_lines(out, a, lines, j->stream, j->alpha);
    const int64_t end = lines.end;
    compute(j, out + end, a + end, b ? b + end : NULL, n - end);
}

/* Elements i .. i + n of member p. */
static void run_chunk(const job *j, int64_t p, int64_t i, int64_t n)
{
    const dlf_dtype dtype = j->out->dtype;
    const int64_t to = p * j->out->stride + i, from = p * j->a->stride + i;
    const int64_t from_b = j->b ? p * j->b->stride + i : 0;
    if (dtype == DLF_F32) {
        compute_lines(j, (float *)j->out->data + to, (const float *)j->a->data + from,
                      j->b ? (const float *)j->b->data + from_b : NULL, n);
        return;
    }
    _Alignas(64) float result[PIECE], a_values[PIECE], b_values[PIECE];
    for (int64_t k = 0; k < n; k += PIECE) {
        const int64_t count = n - k < PIECE ? n - k : PIECE;
        const float *a = dlf_cpu_load(a_values, j->a->data, dtype, from + k, count);
        const float *b = j->b ? dlf_cpu_load(b_values, j->b->data, dtype, from_b + k, count) : NULL;
        compute(j, result, a, b, count);
        dlf_cpu_store(j->out->data, dtype, to + k, result, count);
    }
}

static dlf_status run(job j, double cost)
{
    j.members = j.out->shape[0], j.n = dlf_tensor_member_count(j.out);
    if (dlf_tensor_contiguous(j.out) && dlf_tensor_contiguous(j.a) &&
        (!j.b || dlf_tensor_contiguous(j.b))) { /* end to end: one long member */
        j.n *= j.members;
        j.members = 1;
    }
    const int64_t count = j.members * j.n, chunks = (j.n + CHUNK - 1) / CHUNK;
    /* What an in-place op overwrites it has just read: nothing is gained past the caches. */
    j.stream = j.out->dtype == DLF_F32 && j.out->data != j.a->data &&
               dlf_cpu_streams(count * (int64_t)sizeof(float));
    const int threads = dlf_cpu_threads(j.out, (double)count * cost);
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static) nowait
        for (int64_t task = 0; task < j.members * chunks; task++) {
            const int64_t p = task / chunks, i = task % chunks * CHUNK;
            run_chunk(&j, p, i, j.n - i < CHUNK ? j.n - i : CHUNK);
        }
        if (j.stream) dlf_cpu_stream_end();
    }
    return DLF_OK;
}

dlf_status DLF_CPU(activation_forward)(dlf_tensor *y, const dlf_tensor *x, dlf_activation f)
{
    const struct kind *kind = &kinds[f.kind];
    return run((job){.kind = kind, .alpha = (float)f.alpha, .out = y, .a = x}, kind->forward_cost);
}

dlf_status DLF_CPU(activation_backward)(dlf_tensor *dx, const dlf_tensor *dy, const dlf_tensor *x,
                                        const dlf_tensor *y, dlf_activation f)
{
    const struct kind *kind = &kinds[f.kind];
    const dlf_tensor *xy = f.kind == DLF_LINEAR ? dy : dlf_activation_needs_x(f.kind) ? x : y;
    return run((job){.kind = kind, .alpha = (float)f.alpha, .out = dx, .a = dy, .b = xy},
               kind->backward_cost);
}

/* ---- for other kernels: f and f' on a piece of a row in cache -------------------------------- */

void DLF_CPU(activation_values)(float *y, const float *z, int64_t n, dlf_activation f)
{
    kinds[f.kind].forward(y, z, n, (float)f.alpha);
}

void DLF_CPU(activation_slopes)(float *dz, const float *dy, const float *z, int64_t n,
                                dlf_activation f)
{
    const struct kind *kind = &kinds[f.kind];
    const float alpha = (float)f.alpha;
    const bool from_z = dlf_activation_needs_x(f.kind) || f.kind == DLF_RELU ||
                        f.kind == DLF_LEAKY_RELU || f.kind == DLF_LINEAR;
    if (from_z) {
        kind->backward(dz, dy, z, n, alpha);
        return;
    }
    float y[512];
    for (int64_t i = 0; i < n; i += 512) {
        const int64_t count = n - i < 512 ? n - i : 512;
        kind->forward(y, z + i, count, alpha);
        kind->backward(dz + i, dy + i, y, count, alpha);
    }
}
