/* SPDX-License-Identifier: MIT
 * cpu.h -- what every X_cpu.c needs. These files are compiled once per SIMD level (v1, v3, v4 on
 * x86-64); DLF_CPU_LEVEL gives each copy its own symbol names.
 *
 *   dlf_status DLF_CPU(bias_add)(dlf_tensor *y, ...)     defines dlf_bias_add_cpu_v3 etc.
 *
 * Rules: parallelise with OpenMP over members and rows, never so that the order of a sum depends on
 * the number of threads; give gcc loops it can vectorise (branch-free bodies, restrict, omp simd);
 * write fma() only as fmaf()/fma() explicitly (contraction is off). */
#ifndef DLF_KERNELS_CPU_H
#define DLF_KERNELS_CPU_H
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "dlf/backend.h"

#define DLF_CPU_PASTE_(op, level) dlf_##op##_cpu_##level
#define DLF_CPU_PASTE(op, level)  DLF_CPU_PASTE_(op, level)
#define DLF_CPU(op)               DLF_CPU_PASTE(op, DLF_CPU_LEVEL)

#define KERNEL(family, op, args) dlf_status DLF_CPU(op) args;
#include "dlf/kernels.def"
#undef KERNEL

/* activation_cpu.c: y = f(z), and dz = dy f'(z) from z, for a piece of a row. y may be z, dz may be
 * dy or z. */
void DLF_CPU(activation_values)(float *y, const float *z, int64_t n, dlf_activation f);
void DLF_CPU(activation_slopes)(float *dz, const float *dy, const float *z, int64_t n,
                                dlf_activation f);

/* Threads for `work` elementary operations: one below ~20 us of work, where waking the team costs
 * more than it brings. Results never depend on it. */
static inline int dlf_cpu_threads(const dlf_tensor *t, double work)
{
    return work < 3e4 ? 1 : t->device->info.threads;
}

#endif
