/* SPDX-License-Identifier: MIT
 * telemetry.h -- what the GPU did while it was being timed, from NVML, opened at run time. */
#ifndef DLF_BENCH_TELEMETRY_H
#define DLF_BENCH_TELEMETRY_H
#include "dlf/bench.h"

typedef struct bench_telemetry bench_telemetry;
/* NULL where there is nothing to ask (cpu, no NVML); the others take it. */
bench_telemetry *bench_telemetry_open(const dlf_device *device);
void bench_telemetry_close(bench_telemetry *t);
/* GB/s that the memory's highest clock and the width of its bus allow, with two transfers per
 * clock; 0: not known. */
double bench_telemetry_spec(const bench_telemetry *t);
void bench_telemetry_begin(bench_telemetry *t);
/* Means of now and of begin; throttle reasons of either. */
dlf_bench_telemetry bench_telemetry_end(bench_telemetry *t);
/* `sum` holds the means of `n` passes; now of n + 1. */
void bench_telemetry_join(dlf_bench_telemetry *sum, dlf_bench_telemetry next, int n);
#endif
