/* SPDX-License-Identifier: MIT
 * gate.c -- no time without a right result. */
#include "bench/gate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { REF_MOST = 1 << 24 };
static const double ref_flops = 1e10;

static int64_t most_elements(const bench_subject *s)
{
    int64_t most = 0;
    for (int i = 0; i < SUBJECT_TENSORS; i++)
        if (s->role[i] != ABSENT && dlf_tensor_count(&s->t[i]) > most)
            most = dlf_tensor_count(&s->t[i]);
    return most;
}

static double *download(const dlf_tensor *t)
{
    double *host = malloc((size_t)dlf_tensor_count(t) * sizeof *host);
    if (host && dlf_tensor_download_f64(host, t) != DLF_OK) {
        free(host);
        return NULL;
    }
    return host;
}

/* A NaN in every output: what the kernel forgets to write stays one. */
static dlf_status poison(bench_subject *s)
{
    for (int i = 0; i < SUBJECT_TENSORS; i++) {
        if (s->role[i] != OUTPUT) continue;
        const int64_t n = dlf_tensor_count(&s->t[i]);
        double *host = malloc((size_t)n * sizeof *host);
        if (!host) return dlf_fail(DLF_ERR_OOM, "dlf bench: no host memory to poison an output");
        for (int64_t k = 0; k < n; k++) host[k] = NAN;
        const dlf_status status = dlf_tensor_upload_f64(&s->t[i], host);
        free(host);
        DLF_TRY(status);
    }
    return DLF_OK;
}

/* FNV-1a over the bits of the outputs, as doubles: the conversion from any storage is exact. */
static dlf_status hash_outputs(uint64_t *hash, const bench_subject *s)
{
    *hash = 0xcbf29ce484222325u;
    for (int i = 0; i < SUBJECT_TENSORS; i++) {
        if (s->role[i] != OUTPUT) continue;
        double *host = download(&s->t[i]);
        if (!host) return dlf_fail(DLF_ERR_OOM, "dlf bench: no host memory for an output");
        for (int64_t k = 0; k < dlf_tensor_count(&s->t[i]); k++) {
            uint64_t bits;
            memcpy(&bits, &host[k], sizeof bits);
            *hash = (*hash ^ bits) * 0x100000001b3u;
        }
        free(host);
    }
    return DLF_OK;
}

/* max |got - want| / (|want| + rms want); NaN on one side only is infinitely wrong. */
static double deviation(const double *got, const double *want, int64_t n)
{
    double squares = 0.0, worst = 0.0;
    for (int64_t k = 0; k < n; k++)
        if (isfinite(want[k])) squares += want[k] * want[k] / (double)n;
    const double rms = sqrt(squares);
    for (int64_t k = 0; k < n; k++) {
        if (isnan(got[k]) && isnan(want[k])) continue;
        if (got[k] == want[k]) continue;
        const double e = fabs(got[k] - want[k]) / (fabs(want[k]) + rms);
        if (!(e <= worst)) worst = isnan(e) ? INFINITY : e;
    }
    return worst;
}

/* Half a unit in the last place of the storage type, and room for float sums: backward's sums over
 * 1e6 positions in float, pairwise or blocked, stay below 1e-5 of their root mean square.
 *
 * A sum of n products of random sign, added one by one in float: its k-th partial sum is about
 * sqrt(k) of a product, rounded by up to 2^-24 of itself (standard deviation below 2^-25), together
 * 2^-25 sqrt(n/2) of the result's root mean square. Six of those cover 1e8 elements.
 *
 * TF32 cuts both factors to 10 bits, by up to 2^-10 where it does not round: per product a relative
 * error of standard deviation below 2^-10 sqrt(2/3), which the random signs keep that large in the
 * sum relative to its root mean square; five of those. */
static double tolerance_of(const bench_subject *s)
{
    const double sums = 6.0 * 0x1p-25 * sqrt(0.5 * s->depth);
    switch (s->c.dtype) {
    case DLF_F16: return 1.5e-3 + sums;
    case DLF_BF16: return 1.2e-2 + sums;
    case DLF_F32: return (s->c.tf32 ? 5.0 * 0x1p-10 * sqrt(2.0 / 3.0) : 2e-5) + sums;
    case DLF_F64: return 1e-9;
    case DLF_I32: break;
    }
    return 0.0;
}

/* What setup computed on the device is an input of the call: the yardstick gets the same. */
static dlf_status same_kept(bench_subject *yard, const bench_subject *s)
{
    for (int i = 0; i < SUBJECT_TENSORS; i++) {
        if (s->role[i] != KEPT) continue;
        double *host = download(&s->t[i]);
        if (!host) return dlf_fail(DLF_ERR_OOM, "dlf bench: no host memory for an operand");
        const dlf_status status = dlf_tensor_upload_f64(&yard->t[i], host);
        free(host);
        DLF_TRY(status);
    }
    return DLF_OK;
}

/* The largest deviation of the outputs that both have. */
static dlf_status compare(double *error, const bench_subject *s, const bench_subject *yard,
                          bool wrong)
{
    for (int i = 0; i < SUBJECT_TENSORS; i++) {
        if (s->role[i] != OUTPUT || yard->role[i] != OUTPUT) continue;
        double *got = download(&s->t[i]), *want = download(&yard->t[i]);
        if (got && want) {
            if (wrong) got[dlf_tensor_count(&s->t[i]) / 2] += 1.0 + fabs(got[0]);
            const double e = deviation(got, want, dlf_tensor_count(&s->t[i]));
            if (!(e <= *error)) *error = e;
        }
        const bool ok = got && want;
        free(got);
        free(want);
        if (!ok) return dlf_fail(DLF_ERR_OOM, "dlf bench: no host memory to compare an output");
    }
    return DLF_OK;
}

dlf_status bench_gate_open(bench_gate *g, bench_subject *s, bool wrong)
{
    const bool on_cpu = !strcmp(s->device->backend->name, "cpu");
    const bool short_enough = most_elements(s) <= REF_MOST && s->flops <= ref_flops;
    dlf_bench_case c = s->c;
    c.version = 0;
    *g = (bench_gate){.check = {.done = true, .error = 0.0, .tolerance = tolerance_of(s)}};
    DLF_TRY(poison(s));
    DLF_TRY(dlf_device_open(&g->yardstick, on_cpu || short_enough ? "ref" : "cpu"));
    DLF_TRY(bench_subject_new(&g->yard, g->yardstick, &c, s->zeros));
    DLF_TRY(same_kept(&g->yard, s));
    DLF_TRY(g->yard.call(&g->yard));
    DLF_TRY(s->call(s));
    DLF_TRY(compare(&g->check.error, s, &g->yard, wrong));
    DLF_TRY(hash_outputs(&g->hash, s));
    g->check.ok = g->check.error <= g->check.tolerance;
    g->check.same_bits = true;
    return DLF_OK;
}

dlf_status bench_gate_peer(bench_gate *g, bench_subject *theirs, dlf_bench_check *check)
{
    *check = (dlf_bench_check){
        .done = true, .tolerance = g->check.tolerance, .same_bits = true /* is not looked at */};
    DLF_TRY(poison(theirs));
    DLF_TRY(theirs->call(theirs));
    if (theirs->settle) DLF_TRY(theirs->settle(theirs));
    DLF_TRY(compare(&check->error, theirs, &g->yard, false));
    check->ok = check->error <= check->tolerance;
    return DLF_OK;
}

void bench_gate_close(bench_gate *g)
{
    bench_subject_free(&g->yard);
    dlf_device_close(g->yardstick);
    g->yardstick = NULL;
}

dlf_status bench_gate_again(bench_gate *g, bench_subject *s)
{
    uint64_t hash;
    DLF_TRY(poison(s));
    DLF_TRY(s->call(s));
    DLF_TRY(hash_outputs(&hash, s));
    g->check.same_bits = hash == g->hash;
    return DLF_OK;
}
