/* SPDX-License-Identifier: MIT
 * conv1x1_plan.c -- which version of the 1x1 convolution a shape gets, and why: a roofline. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../kernels/conv1x1_shape.h"

/* Data sheets (dense, float accumulation): bytes/s of device memory; flop/s in float, tf32, 16
 * bits. The first whose name is part of the device's. */
static const dlf_conv1x1_gpu gpus[] = {
    {"H200", 90, 132, 232448, 4.8e12, {67e12, 494.7e12, 989.5e12}},
    {"H100 PCIe", 90, 114, 232448, 2.0e12, {51e12, 378e12, 756e12}},
    {"H100", 90, 132, 232448, 3.35e12, {67e12, 494.7e12, 989.5e12}},
    {"B200", 100, 148, 232448, 8.0e12, {75e12, 1100e12, 2250e12}},
    {"A100", 80, 108, 166912, 1.555e12, {19.5e12, 156e12, 312e12}},
    {"L40S", 89, 142, 101376, 0.864e12, {91.6e12, 183e12, 362e12}},
    {"L4", 89, 58, 101376, 0.30e12, {30.3e12, 60e12, 121e12}},
    {"RTX 4090", 89, 128, 101376, 1.008e12, {82.6e12, 82.6e12, 165e12}},
    {"RTX 3090", 86, 82, 101376, 0.936e12, {35.6e12, 35.6e12, 71e12}},
    {"T4", 75, 40, 65536, 0.32e12, {8.1e12, 0.0, 65e12}},
};
enum { N_GPUS = sizeof gpus / sizeof gpus[0] };

/* Filled from measurements; nothing has been measured yet (bench/results/VERIFIED.md). */
static const dlf_conv1x1_crossover none_measured[] = {{NULL, 0, 0, 0.0, 0.0, 0}};

dlf_status dlf_conv1x1_gpu_find(dlf_conv1x1_gpu *out, const char *name)
{
    for (int i = 0; i < N_GPUS; i++)
        if (strcasestr(name, gpus[i].name)) {
            *out = gpus[i];
            return DLF_OK;
        }
    char list[160] = "";
    for (int i = 0; i < N_GPUS; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "",
                 gpus[i].name);
    return dlf_fail(DLF_ERR_NOT_FOUND, "no data sheet for a GPU '%.60s'; there are %s", name, list);
}

static const char *const rates[] = {"float multiply-adds", "tf32 tensor cores",
                                    "16-bit tensor cores"};

static void choose(dlf_conv1x1_choice *c, int version, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void choose(dlf_conv1x1_choice *c, int version, const char *format, ...)
{
    va_list args;
    c->version = version;
    va_start(args, format);
    vsnprintf(c->reason, sizeof c->reason, format, args);
    va_end(args);
}

/* Bytes, flops and what bounds them. */
static void roofline(dlf_conv1x1_choice *c, dlf_conv1x1_op op, const dlf_conv1x1_geometry *g,
                     dlf_dtype dtype, bool tf32, const dlf_conv1x1_gpu *gpu)
{
    const double P = (double)g->P, M = (double)g->M, C = (double)g->C, K = (double)g->K;
    const double size = (double)dlf_dtype_size(dtype), dw = op == DLF_CONV1X1_BACKWARD_WEIGHT;
    c->rate = size == 2.0 ? DLF_CONV1X1_16_BIT : tf32 ? DLF_CONV1X1_TF32 : DLF_CONV1X1_FLOAT;
    if (gpu->capability < 80) c->rate = DLF_CONV1X1_FLOAT; /* no mma.sync of ours below */
    c->bytes = P * (size * M * (C + K) + (dw != 0.0 ? 4.0 : size) * K * C);
    c->flops = 2.0 * P * M * C * K;
    c->intensity = c->flops / c->bytes;
    c->ridge = gpu->flops_per_s[c->rate] / gpu->bytes_per_s;
    c->memory_bound = c->intensity < c->ridge;
    c->floor_us = 1e6 * (c->memory_bound ? c->bytes / gpu->bytes_per_s
                                         : c->flops / gpu->flops_per_s[c->rate]);
}

static bool measured(dlf_conv1x1_choice *c, dlf_conv1x1_op op, const dlf_conv1x1_gpu *gpu,
                     const dlf_conv1x1_crossover *table)
{
    for (; table && table->gpu; table++)
        if (strcasestr(gpu->name, table->gpu) && table->op == op && table->rate == c->rate &&
            c->intensity >= table->from && c->intensity < table->to) {
            choose(c, table->version,
                   "version %d was measured to be the fastest on %s from %g to %g flop/B",
                   table->version, gpu->name, table->from, table->to);
            return true;
        }
    return false;
}

void dlf_conv1x1_plan_with(dlf_conv1x1_choice *c, dlf_conv1x1_op op, const dlf_conv1x1_geometry *g,
                           dlf_dtype dtype, const dlf_conv1x1 *conv, const dlf_conv1x1_gpu *gpu,
                           const dlf_conv1x1_crossover *table)
{
    memset(c, 0, sizeof *c);
    const bool narrow = dtype == DLF_F16 || dtype == DLF_BF16, tf32 = conv->tf32 && !narrow;
    roofline(c, op, g, dtype, tf32, gpu);
    if (measured(c, op, gpu, table)) return;
    const bool weight = op == DLF_CONV1X1_BACKWARD_WEIGHT;
    if ((narrow || tf32) && gpu->capability < 80) {
        choose(c, 1, "%s has compute capability %d.%d, and our tensor-core kernels need 8.0",
               gpu->name, gpu->capability / 10, gpu->capability % 10);
        return;
    }
    if (weight && c->rate != DLF_CONV1X1_FLOAT) {
        choose(c, 2, "the weight gradient keeps no weights on chip: tensor cores, positions cut");
        return;
    }
    if (!c->memory_bound || weight) {
        choose(c, c->rate == DLF_CONV1X1_FLOAT ? 1 : 2,
               "%s-bound: %.0f flop/B, and %s of %s balance at %.0f",
               c->memory_bound ? "memory" : "compute", c->intensity, rates[c->rate], gpu->name,
               c->ridge);
        return;
    }
    const int fallback = c->rate == DLF_CONV1X1_FLOAT ? 1 : 2;
    const bool forward = op == DLF_CONV1X1_FORWARD;
    const int64_t depth = forward ? g->C : g->K, columns = forward ? g->K : g->C;
    const int64_t shared = c1_resident_bytes(depth, (int64_t)dlf_dtype_size(dtype));
    const int64_t tiles = (g->M + C1_ROWS - 1) / C1_ROWS;
    const int64_t groups = (columns + C1_PIPE_COLUMNS - 1) / C1_PIPE_COLUMNS;
    if (shared > gpu->shared_bytes)
        choose(c, fallback,
               "memory-bound (%.0f flop/B, ridge %.0f), but 64 columns of w and the pipeline take "
               "%lld KiB of shared memory and a block has %lld",
               c->intensity, c->ridge, (long long)(shared >> 10),
               (long long)(gpu->shared_bytes >> 10));
    else if (tiles * groups < 4 * (int64_t)gpu->processors)
        choose(c, fallback,
               "memory-bound (%.0f flop/B, ridge %.0f), but %lld tiles give a block of %d "
               "multiprocessors no second one to overlap with",
               c->intensity, c->ridge, (long long)(tiles * groups), gpu->processors);
    else
        choose(c, 3, "memory-bound: %.0f flop/B, and %s of %s balance at %.0f; w stays on chip",
               c->intensity, rates[c->rate], gpu->name, c->ridge);
}

void dlf_conv1x1_plan(dlf_conv1x1_choice *out, dlf_conv1x1_op op, const dlf_conv1x1_geometry *g,
                      dlf_dtype dtype, const dlf_conv1x1 *conv, const dlf_conv1x1_gpu *gpu)
{
    dlf_conv1x1_plan_with(out, op, g, dtype, conv, gpu, none_measured);
}
