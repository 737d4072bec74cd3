/* SPDX-License-Identifier: MIT
 * conv1x1_counts.c -- Q15: what reducing channels first saves, as exact integers: lists of layers,
 * walked by the counter of nets.h, against the closed forms. */
#include "conv1x1.h"
#include "nets.h"
#include "seed_check.h"

/* kernel, channels, groups of the layers, ending with a kernel of 0; from (c,side,side) */
typedef struct piece {
    int kernel, channels, groups;
} piece;

static dlf_status count(const piece *layers, int c, int side, int64_t *weights, int64_t *macs)
{
    net_totals sum;
    net *n = net_new();
    if (!n) return dlf_fail(DLF_ERR_OOM, "conv1x1: out of memory");
    for (const piece *l = layers; l->kernel; l++)
        CONV(n, l->channels, l->kernel, .pad = l->kernel / 2, .groups = l->groups, .no_bias = true);
    const dlf_status status = net_count(n, c, side, side, &sum);
    net_free(n);
    *weights = sum.parameters;
    *macs = sum.macs;
    return status;
}

static dlf_status bottleneck(dlf_run *run)
{
    int64_t narrow, wide, basic, macs;
    DLF_TRY(
        count((const piece[]){{1, 64, 1}, {3, 64, 1}, {1, 256, 1}, {0}}, 256, 14, &narrow, &macs));
    DLF_TRY(count((const piece[]){{3, 256, 1}, {0}}, 256, 14, &wide, &macs));
    DLF_TRY(count((const piece[]){{3, 64, 1}, {3, 64, 1}, {0}}, 64, 14, &basic, &macs));
    DLF_TRY(dlf_add_exact(
        run, "bottleneck_weights",
        (dlf_text){"瓶颈 256-64-64-256 的权重数", "weights of the bottleneck 256-64-64-256"},
        (double)narrow, 256 * 64 + 9 * 64 * 64 + 64 * 256, 0.0,
        "closed form; He et al. 2016, figure 5", NULL));
    DLF_TRY(dlf_add_exact(run, "wide_weights",
                          (dlf_text){"直接 3×3、256→256 的权重数", "weights of 3x3, 256 to 256"},
                          (double)wide, 9 * 256 * 256, 0.0, "closed form: 9 C^2", NULL));
    DLF_TRY(dlf_add_exact(run, "bottleneck_ratio",
                          (dlf_text){"瓶颈省下的倍数", "what the bottleneck saves, as a factor"},
                          (double)wide / (double)narrow, dlf_conv1x1_mac_ratio(3, 256, 64), 1e-12,
                          "closed form: 9 C^2 / (2 C r + 9 r^2)", NULL));
    return dlf_add_exact(
        run, "basic_weights",
        (dlf_text){"瓶颈与两个 3×3、64 通道“复杂度相近”：权重数之比",
                   "\"similar complexity\" to two 3x3 of 64 channels: ratio of weights"},
        (double)narrow / (double)basic, 1.0, 0.1,
        "He et al. 2016, figure 5, in words; 73,728 against 69,632", NULL);
}

static dlf_status inception(dlf_run *run)
{
    int64_t weights, direct, reduced;
    DLF_TRY(count((const piece[]){{5, 32, 1}, {0}}, 192, 28, &weights, &direct));
    DLF_TRY(count((const piece[]){{1, 16, 1}, {5, 32, 1}, {0}}, 192, 28, &weights, &reduced));
    DLF_TRY(dlf_add_exact(run, "inception_direct",
                          (dlf_text){"Inception 3a 的 5×5、192→32 直接算的乘加次数",
                                     "multiply-adds of inception 3a's 5x5, 192 to 32, directly"},
                          (double)direct, 28.0 * 28 * 32 * 192 * 25, 0.0, "closed form: HW K C k^2",
                          NULL));
    DLF_TRY(dlf_add_exact(run, "inception_reduced",
                          (dlf_text){"先用 1×1 降到 16 通道", "with a 1x1 to 16 channels first"},
                          (double)reduced, 28.0 * 28 * (192 * 16 + 16 * 32 * 25), 0.0,
                          "closed form; Szegedy et al. 2015, table 1", NULL));
    return dlf_result_fact(dlf_run_result(run), "inception_ratio", (double)direct / (double)reduced,
                           "1");
}

static dlf_status separable(dlf_run *run)
{
    int64_t weights, full, split;
    net_totals mobile;
    DLF_TRY(count((const piece[]){{3, 512, 1}, {0}}, 512, 14, &weights, &full));
    DLF_TRY(count((const piece[]){{3, 512, 512}, {1, 512, 1}, {0}}, 512, 14, &weights, &split));
    DLF_TRY(dlf_add_exact(
        run, "separable",
        (dlf_text){"深度可分离 3×3（512 通道）的乘加占普通 3×3 的比例",
                   "separable 3x3 at 512 channels: multiply-adds over the plain one's"},
        (double)split / (double)full, 1.0 / 512 + 1.0 / 9, 1e-12,
        "closed form: 1/K + 1/k^2, Howard et al. 2017, section 3.1", NULL));
    DLF_TRY(net_build(net_find("mobilenet_v1"), NULL, &mobile));
    return dlf_add_exact(run, "mobilenet",
                         (dlf_text){"MobileNet-v1 的乘加中 1×1 卷积的份额",
                                    "share of 1x1 convolutions in MobileNet-v1's multiply-adds"},
                         (double)mobile.pointwise_macs / (double)mobile.macs, 0.9486, 5e-5,
                         "Howard et al. 2017, table 2", NULL);
}

dlf_status dlf_conv1x1_counts(dlf_run *run)
{
    DLF_TRY(bottleneck(run));
    DLF_TRY(inception(run));
    return separable(run);
}
