/* SPDX-License-Identifier: MIT
 * bench_sample.h -- made-up measurements, for the tests of what is made of them. */
#ifndef DLF_BENCH_SAMPLE_H
#define DLF_BENCH_SAMPLE_H
#include "kernel_test.h"

#include "dlf/bench.h"

static inline void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("got %.17g, expected %.17g", got, want);
}

/* Times of a kernel with a heavy tail, as a virtual machine has it: lognormal, one in ten late. */
static inline void draw(double *x, int n, double scale, double spread, uint32_t member)
{
    for (int i = 0; i < n; i++) {
        const double z = dlf_rng_normal(5, dlf_stream(DLF_PURPOSE_TEST, 1), member, (uint64_t)i);
        const uint32_t late =
            dlf_rng_bits(5, dlf_stream(DLF_PURPOSE_TEST, 2), member, (uint64_t)i) % 10;
        x[i] = scale * exp(spread * z) * (late == 0 ? 1.5 : 1.0);
    }
}

enum { PASSES = 6, PASS = 20 };
static const int ends[PASSES] = {20, 40, 60, 80, 100, 120};

enum { ROUNDS = PASSES * PASS };

static inline double *of(double scale, uint32_t member)
{
    double *x = malloc(ROUNDS * sizeof *x);
    assert_non_null(x);
    draw(x, ROUNDS, scale, 0.02, member);
    return x;
}

/* A row of one case whose kernel takes `time`, on a machine that goes at `machine` (2: half as
 * fast). */
static inline dlf_bench_report *made_up(double time, double machine, uint32_t member)
{
    dlf_bench_report *r = calloc(1, sizeof *r);
    r->rows = calloc(1, sizeof *r->rows);
    r->n = 1;
    r->complete = true;
    r->manifest = strdup("{}");
    dlf_bench_row *row = r->rows;
    row->c = (dlf_bench_case){.family = "layer_norm",
                              .op = "layer_norm",
                              .direction = "forward",
                              .ndim = 2,
                              .shape = {512, 1024},
                              .groups = 32};
    row->rounds = ROUNDS;
    row->passes = PASSES;
    memcpy(row->pass_end, ends, sizeof ends);
    row->n_runners = 3;
    row->bytes = row->copy_bytes = 4.2e6;
    row->telemetry = (dlf_bench_telemetry){NAN, NAN, NAN, -1};
    static const char *const names[] = {"dlf", "copy", "gemm"};
    const double times[] = {time, 300e3, 70e3};
    for (int i = 0; i < 3; i++) {
        row->runner[i].launches = 2.0 * i - 1.0; /* the first is not known */
        row->runner[i].host_ns = i ? 1e3 * i : NAN;
        snprintf(row->runner[i].name, sizeof row->runner[i].name, "%s", names[i]);
        row->runner[i].ns[DLF_BENCH_COLD] = of(machine * times[i], 10 * member + (uint32_t)i);
    }
    return r;
}

#endif
