/* SPDX-License-Identifier: MIT
 * subject.c -- operands: the same random numbers on every device. */
#include "bench/subject.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/half.h"
#include "dlf/rng.h"

/* Longer tensors repeat their first numbers: drawing them would take longer than the timing. */
enum { DRAWN = 1 << 20 };

dlf_dtype bench_storage(const bench_subject *s)
{
    return s->device->real == DLF_F64 ? DLF_F64 : s->c.dtype;
}

static double rounded(double x, dlf_dtype as)
{
    switch (as) {
    case DLF_F16: return dlf_float_of_f16(dlf_f16_of_double(x));
    case DLF_BF16: return dlf_float_of_bf16(dlf_bf16_of_double(x));
    case DLF_F32: return (float)x;
    case DLF_F64:
    case DLF_I32: break;
    }
    return x;
}

static dlf_status tensor(bench_subject *s, int i, role r, dlf_dtype dtype, int ndim,
                         const int64_t *shape)
{
    s->role[i] = r;
    return dlf_tensor_init(&s->t[i], s->device, dtype, ndim, shape);
}

/* t[first ..] = t[0 ..], again and again. */
static dlf_status repeat(dlf_tensor *t, int64_t drawn)
{
    const int64_t n = dlf_tensor_count(t), flat[] = {1, n};
    dlf_tensor all = dlf_tensor_reshape(t, 2, flat);
    for (int64_t at = drawn; at < n; at += drawn) {
        const int64_t piece[] = {1, n - at < drawn ? n - at : drawn};
        const dlf_tensor from = dlf_tensor_window(&all, 0, 2, piece);
        dlf_tensor to = dlf_tensor_window(&all, at, 2, piece);
        DLF_TRY(dlf_tensor_copy(&to, &from));
    }
    return DLF_OK;
}

/* Normal numbers of stream i, drawn once for all cases: drawing them for every pass would take
 * longer than the timing. At most SUBJECT_TENSORS x 4 MiB, until the process ends. */
static const float *draws(int i, int64_t n)
{
    static float *kept[SUBJECT_TENSORS];
    static int64_t count[SUBJECT_TENSORS];
    if (count[i] >= n) return kept[i];
    float *grown = realloc(kept[i], (size_t)n * sizeof *grown);
    if (!grown) return NULL;
    for (int64_t k = count[i]; k < n; k++)
        grown[k] =
            (float)dlf_rng_normal(1, dlf_stream(DLF_PURPOSE_INPUT, (uint32_t)i), 0, (uint64_t)k);
    kept[i] = grown;
    count[i] = n;
    return grown;
}

dlf_status bench_input(bench_subject *s, int i, dlf_dtype dtype, dlf_dtype as, int ndim,
                       const int64_t *shape, double shift, double scale)
{
    DLF_TRY(tensor(s, i, INPUT, dtype, ndim, shape));
    dlf_tensor *t = &s->t[i];
    if (s->zeros) return dlf_tensor_zero(t);
    const int64_t n = dlf_tensor_count(t), drawn = n < DRAWN ? n : DRAWN, piece[] = {1, drawn};
    double *host = malloc((size_t)drawn * sizeof *host);
    const float *x = draws(i, drawn);
    if (!host || !x) {
        free(host);
        return dlf_fail(DLF_ERR_OOM, "dlf bench: no host memory for %lld numbers",
                        (long long)drawn);
    }
    for (int64_t k = 0; k < drawn; k++) host[k] = rounded(shift + scale * x[k], as);
    const int64_t flat[] = {1, n};
    const dlf_tensor all = dlf_tensor_reshape(t, 2, flat);
    dlf_tensor first = dlf_tensor_window(&all, 0, 2, piece);
    dlf_status status = dlf_tensor_upload_f64(&first, host);
    free(host);
    if (status == DLF_OK) status = repeat(t, drawn);
    return status;
}

dlf_status bench_labels(bench_subject *s, int i, int ndim, const int64_t *shape, int classes)
{
    DLF_TRY(tensor(s, i, INPUT, DLF_I32, ndim, shape));
    const int64_t n = dlf_tensor_count(&s->t[i]);
    int32_t *host = malloc((size_t)n * sizeof *host);
    if (!host)
        return dlf_fail(DLF_ERR_OOM, "dlf bench: no host memory for %lld labels", (long long)n);
    for (int64_t k = 0; k < n; k++) {
        const uint32_t bits =
            dlf_rng_bits(1, dlf_stream(DLF_PURPOSE_INPUT, (uint32_t)i), 0, (uint64_t)k);
        host[k] = (int32_t)((uint64_t)bits * (uint64_t)classes >> 32);
    }
    const dlf_status status = dlf_tensor_upload_i32(&s->t[i], host);
    free(host);
    return status;
}

dlf_status bench_output(bench_subject *s, int i, dlf_dtype dtype, int ndim, const int64_t *shape)
{
    DLF_TRY(tensor(s, i, OUTPUT, dtype, ndim, shape));
    return dlf_tensor_zero(&s->t[i]); /* touch every page before the clock runs */
}

/* ---- anchors -------------------------------------------------------------------------------- */

enum { A, B, C };

/* The linear activation is the copy in which all threads share. */
static dlf_status copy_once(bench_subject *s)
{
    return dlf_activation_forward(&s->t[C], &s->t[A], dlf_activation_of(DLF_LINEAR));
}

static dlf_status add_once(bench_subject *s)
{
    return dlf_multiply(&s->t[C], &s->t[A], &s->t[B], 0.0);
}

void bench_traffic(const bench_subject *s, double *read, double *written)
{
    *read = *written = 0.0;
    for (int i = 0; i < SUBJECT_TENSORS; i++) {
        if (s->role[i] == ABSENT) continue;
        const double bytes =
            (double)(dlf_tensor_count(&s->t[i]) * (int64_t)dlf_dtype_size(s->t[i].dtype));
        *(s->role[i] == OUTPUT ? written : read) += bytes;
    }
}

dlf_status bench_subject_copy(bench_subject *s, const bench_subject *like)
{
    *s = (bench_subject){.device = like->device, .c = like->c, .zeros = like->zeros};
    double read, written;
    bench_traffic(like, &read, &written);
    /* Two reads for a write where the case reads more than one and a half times what it writes. */
    const bool two = read > 1.5 * written;
    const double each = like->bytes / (two ? 3.0 : 2.0) / 4.0;
    const int64_t shape[] = {1, each < 1.0 ? 1 : (int64_t)each};
    dlf_status status;
    const dlf_dtype f32 = s->device->real;
    DLF_TRY_DONE(bench_input(s, A, f32, DLF_F32, 2, shape, 0.0, 1.0));
    if (two) DLF_TRY_DONE(bench_input(s, B, f32, DLF_F32, 2, shape, 0.0, 1.0));
    DLF_TRY_DONE(bench_output(s, C, f32, 2, shape));
    s->bytes = s->bytes_moved = (two ? 12.0 : 8.0) * (double)shape[1];
    s->call = two ? add_once : copy_once;
    return DLF_OK;
done:
    bench_subject_free(s);
    return status;
}

static dlf_status gemm_once(bench_subject *s)
{
    return dlf_gemm(&s->t[C], &s->t[A], &s->t[B], (dlf_gemm_args){.alpha = 1.0});
}

/* C = A B, all of them n x n. */
static dlf_status square_product(bench_subject *s, int64_t n)
{
    const int64_t shape[] = {1, n, n};
    const dlf_dtype real = s->device->real;
    DLF_TRY(bench_input(s, A, real, DLF_F32, 3, shape, 0.0, 1.0));
    DLF_TRY(bench_input(s, B, real, DLF_F32, 3, shape, 0.0, 1.0));
    DLF_TRY(bench_output(s, C, real, 3, shape));
    s->flops = 2.0 * (double)(n * n * n);
    s->bytes = s->bytes_moved = 12.0 * (double)(n * n);
    s->depth = (double)n;
    s->call = gemm_once;
    return DLF_OK;
}

dlf_status bench_subject_gemm(bench_subject *s, dlf_device *device)
{
    /* A few microseconds to a few hundred, on a device of any size. */
    const bool gpu = !strcmp(device->backend->name, "cuda");
    *s = (bench_subject){.device = device, .c = {.dtype = DLF_F32}};
    const dlf_status status = square_product(s, gpu ? 16 * device->info.threads
                                                : device->real == DLF_F64 ? 48
                                                                          : 192);
    if (status != DLF_OK) bench_subject_free(s);
    return status;
}

/* ---- ceilings: what memory gives to ops that do next to nothing ----------------------------- */

static dlf_status read_once(bench_subject *s)
{
    return dlf_moments(&s->t[C], &s->t[A]);
}
static dlf_status write_once(bench_subject *s)
{
    return dlf_tensor_zero(&s->t[C]);
}

/* What multiplying and adding reaches. The side is the size's root. */
static dlf_status build_fma(bench_subject *s)
{
    return square_product(s, (int64_t)sqrt((double)s->c.shape[0]));
}

/* What our tensor cores reach: C = A B, n x n, as the 1x1 convolution that it is, by the version of
 * that name (which tells where there are none). From here on the case is that convolution, also for
 * the gate and for peers. */
static dlf_status build_tensor(bench_subject *s)
{
    if (strcmp(s->device->backend->name, "cuda") != 0)
        return dlf_fail(DLF_ERR_NO_KERNEL, "tensor cores are measured on --device cuda only");
    const int64_t n = (int64_t)sqrt((double)s->c.shape[0]);
    s->c = (dlf_bench_case){.family = "conv1x1",
                            .op = "conv1x1",
                            .direction = "forward",
                            .dtype = s->c.dtype,
                            .tf32 = s->c.tf32,
                            .layout = DLF_NHWC,
                            .ndim = 4,
                            .shape = {1, n, n, 1},
                            .groups = 1,
                            .version = s->c.version ? s->c.version : 2,
                            .outputs = n,
                            .kernel = 1,
                            .stride = 1};
    return bench_build_conv(s);
}

dlf_status bench_build_ceiling(bench_subject *s)
{
    if (!strcmp(s->c.op, "fma")) return build_fma(s);
    if (!strcmp(s->c.op, "tensor")) return build_tensor(s);

    static const struct {
        const char *op;
        int reads, writes;
        dlf_status (*call)(bench_subject *s);
    } known[] = {{"copy", 1, 1, copy_once},
                 {"add", 2, 1, add_once},
                 {"read", 1, 0, read_once},
                 {"write", 0, 1, write_once}};
    const int64_t shape[] = {1, s->c.shape[0]}, moments[] = {1, DLF_MOMENTS};
    const dlf_dtype real = s->device->real;
    int k = 0;
    while (strcmp(known[k].op, s->c.op)) k++;
    for (int i = 0; i < known[k].reads; i++)
        DLF_TRY(bench_input(s, A + i, real, DLF_F32, 2, shape, 0.0, 1.0));
    if (known[k].writes)
        DLF_TRY(bench_output(s, C, real, 2, shape));
    else
        DLF_TRY(bench_output(s, C, DLF_F64, 2, moments));
    s->bytes = s->bytes_moved = 4.0 * (known[k].reads + known[k].writes) * (double)shape[1];
    s->call = known[k].call;
    return DLF_OK;
}

/* ---- cases ---------------------------------------------------------------------------------- */

static const struct builder {
    const char *family;
    dlf_status (*build)(bench_subject *s);
} builders[] = {
    {"layer_norm", bench_build_norm},      {"batch_norm", bench_build_norm},
    {"group_norm", bench_build_norm},      {"activation", bench_build_activation},
    {"softmax_xent", bench_build_softmax}, {"conv", bench_build_conv},
    {"conv1x1", bench_build_conv},         {"ceiling", bench_build_ceiling},
};

dlf_status bench_subject_new(bench_subject *s, dlf_device *device, const dlf_bench_case *c,
                             bool zeros)
{
    *s = (bench_subject){.device = device, .c = *c, .zeros = zeros};
    dlf_status status = DLF_ERR_INTERNAL;
    for (size_t i = 0; i < sizeof builders / sizeof *builders; i++)
        if (!strcmp(builders[i].family, c->family)) status = builders[i].build(s);
    if (status == DLF_OK && s->setup) status = s->setup(s);
    if (status == DLF_OK) status = s->call(s); /* refusals show here; warms up, too */
    if (status == DLF_OK) status = dlf_device_sync(device);
    if (status != DLF_OK) bench_subject_free(s);
    return status;
}

void bench_subject_free(bench_subject *s)
{
    if (s->drop) s->drop(s);
    s->drop = NULL;
    for (int i = 0; i < SUBJECT_TENSORS; i++) dlf_tensor_free(&s->t[i]);
}
