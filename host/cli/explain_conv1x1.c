/* SPDX-License-Identifier: MIT
 * explain_conv1x1.c -- `dlf explain conv1x1`: which version of the 1x1 convolution a shape gets on
 * a GPU, and why. Needs no GPU. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "dlf/conv1x1.h"

static const char *const op_names[] = {"forward", "data", "weight"};

static dlf_status shape_of(dlf_conv1x1_geometry *g, const char *shape, const char *channels,
                           long long stride)
{
    long long N, C, H, W, K;
    char rest;
    if (sscanf(shape, "%lldx%lldx%lldx%lld%c", &N, &C, &H, &W, &rest) != 4 ||
        sscanf(channels, "%lld%c", &K, &rest) != 1 || N < 1 || C < 1 || H < 1 || W < 1 || K < 1 ||
        N > 1 << 20 || C > 1 << 20 || K > 1 << 20 || H > 1 << 15 || W > 1 << 15)
        return dlf_fail(DLF_ERR_ARG,
                        "dlf explain conv1x1: '%.60s %.20s' is not NxCxHxW and K, such as "
                        "128x64x56x56 256",
                        shape, channels);
    *g = (dlf_conv1x1_geometry){.P = 1,
                                .N = N,
                                .C = C,
                                .K = K,
                                .H = H,
                                .W = W,
                                .OH = (H - 1) / stride + 1,
                                .OW = (W - 1) / stride + 1,
                                .stride = {stride, stride}};
    g->M = g->N * g->OH * g->OW;
    return DLF_OK;
}

static dlf_status one_of(int *out, const char *flag, const char *value, const char *const *names,
                         int n)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(value, names[i])) {
            *out = i;
            return DLF_OK;
        }
    return dlf_fail(DLF_ERR_ARG, "dlf explain conv1x1: there is no --%s %.40s", flag, value);
}

dlf_status cli_explain_conv1x1(const cli_args *a)
{
    static const char *const types[] = {"f32", "tf32", "f16", "bf16"};
    static const dlf_dtype dtypes[] = {DLF_F32, DLF_F32, DLF_F16, DLF_BF16};
    static const char *const formats[] = {"text", "tsv"};
    int op = 0, type = 0, format = 0;
    long long stride = 1;
    dlf_conv1x1_geometry g;
    dlf_conv1x1_gpu gpu;
    dlf_conv1x1_choice c;
    DLF_TRY(cli_at_most(a, 3));
    if (a->n_words < 3)
        return dlf_fail(DLF_ERR_ARG, "dlf explain conv1x1 needs the shape of x and the number of "
                                     "output channels: dlf explain conv1x1 128x64x56x56 256");
    DLF_TRY(cli_integer(a, "stride", 1, 64, &stride));
    DLF_TRY(one_of(&op, "op", cli_value(a, "op", "forward"), op_names, 3));
    DLF_TRY(one_of(&type, "dtype", cli_value(a, "dtype", "bf16"), types, 4));
    DLF_TRY(one_of(&format, "format", cli_value(a, "format", "text"), formats, 2));
    DLF_TRY(shape_of(&g, a->words[1], a->words[2], stride));
    DLF_TRY(dlf_conv1x1_gpu_find(&gpu, cli_value(a, "gpu", "H200")));
    const dlf_conv1x1 conv = {.tf32 = type == 1};
    dlf_conv1x1_plan(&c, (dlf_conv1x1_op)op, &g, dtypes[type], &conv, &gpu);
    if (format == 1) {
        printf("%.0f\t%.0f\t%.6g\t%.6g\t%s\t%.6g\t%d\t%s\n", c.bytes, c.flops, c.intensity, c.ridge,
               c.memory_bound ? "memory" : "compute", c.floor_us, c.version, c.reason);
        return DLF_OK;
    }
    printf("conv1x1 %s, %s, x %s, K = %lld, stride %lld, on %s (data sheet)\n", op_names[op],
           types[type], a->words[1], (long long)g.K, stride, gpu.name);
    printf("  version    %d: %s\n", c.version, c.reason);
    printf("  traffic    %.1f MB at least, every operand once\n", c.bytes / 1e6);
    printf("  arithmetic %.2f GFLOP, %.1f flop/B; memory and arithmetic balance at %.0f\n",
           c.flops / 1e9, c.intensity, c.ridge);
    printf("  floor      %.1f us, %s-bound\n", c.floor_us, c.memory_bound ? "memory" : "compute");
    return DLF_OK;
}
