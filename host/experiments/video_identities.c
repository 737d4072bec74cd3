/* SPDX-License-Identifier: MIT
 * video_identities.c -- Q30: what kernels over time cost, and how they start from pictures. */
#include <math.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "host_arrays.h"
#include "seed_check.h"
#include "video.h"

/* A convolution over k frames is, at one time, a convolution of the k frames as channels. */
enum { TIMES = 3, C = 4, K = 6, SIDE = 8, KERNEL = 3 };

/* Kernels over time made of a picture's, w / k for each of k frames, on a clip that stands still:
 * the output is that of the picture. Control: the same clip with one frame moved. */
static dlf_status inflate(dlf_run *run)
{
    enum { X = C * SIDE * SIDE, WEIGHTS = K * C * KERNEL * KERNEL, OUT = K * 6 * 6 };
    dlf_device *dev = dlf_run_device(run);
    double x[X], w[WEIGHTS], clip[TIMES * X], inflated[TIMES * WEIGHTS], a[OUT], b[OUT];
    const dlf_conv conv = dlf_conv_of(DLF_NCHW, KERNEL, 1, 0);
    host_normal(x, X, 1.0, dlf_run_seed(run), dlf_stream(DLF_PURPOSE_INPUT, 81), 0);
    host_normal(w, WEIGHTS, 1.0, dlf_run_seed(run), dlf_stream(DLF_PURPOSE_WEIGHTS, 81), 0);
    for (int t = 0; t < TIMES; t++)
        for (int i = 0; i < X; i++) clip[t * X + i] = x[i];
    for (int k = 0; k < K; k++)
        for (int t = 0; t < TIMES; t++)
            for (int i = 0; i < C * KERNEL * KERNEL; i++)
                inflated[(k * TIMES + t) * C * KERNEL * KERNEL + i] =
                    w[k * C * KERNEL * KERNEL + i] / TIMES;
    const int64_t still[4] = {1, C, SIDE, SIDE}, moving[4] = {1, TIMES * C, SIDE, SIDE},
                  flat[4] = {K, C, KERNEL, KERNEL}, deep[4] = {K, TIMES * C, KERNEL, KERNEL};
    DLF_TRY(host_conv(dev, a, x, still, w, flat, conv));
    DLF_TRY(host_conv(dev, b, clip, moving, inflated, deep, conv));
    DLF_TRY(dlf_add_exact(
        run, "inflated",
        (dlf_text){"图像卷积核沿时间复制并除以帧数：静止片段上的输出与图像相同（相对误差）",
                   "a picture's kernel repeated over time and divided by the frames: the same "
                   "output on a clip that stands still (relative error)"},
        host_worst(b, a, OUT), 0.0, 1e-5, "identity: Carreira & Zisserman 2017, sec. 2.4", NULL));
    for (int c = 0; c < C * SIDE; c++) /* the last frame, by one pixel */
        for (int j = SIDE - 1; j > 0; j--)
            clip[(TIMES - 1) * X + c * SIDE + j] = clip[(TIMES - 1) * X + c * SIDE + j - 1];
    DLF_TRY(host_conv(dev, b, clip, moving, inflated, deep, conv));
    dlf_check c = dlf_check_exact(
        "inflated_moving",
        (dlf_text){"对照，一帧移动一个像素：输出不同（相对误差）",
                   "control, one frame moved by a pixel: another output (relative error)"},
        host_worst(b, a, OUT));
    c.relation = DLF_AT_LEAST;
    c.expected = 0.05;
    c.source = "the kernel averages over time; it is a start, not a detector of motion";
    return dlf_result_check(dlf_run_result(run), c);
}

/* C3D (Tran et al. 2015): eight convolutions of k x 3 x 3, two dense layers of 4096, `classes`. */
static int64_t c3d(int frames, int classes, int64_t *convolutions)
{
    static const int channels[] = {3, 64, 128, 256, 256, 512, 512, 512, 512};
    int64_t sum = 0;
    *convolutions = 0;
    for (int l = 1; l <= 8; l++) {
        *convolutions += (int64_t)channels[l - 1] * channels[l] * frames * 9;
        sum += channels[l];
    }
    return sum + *convolutions + (512 * 4 * 4 + 1) * 4096LL + 4097LL * 4096 + 4097LL * classes;
}

static dlf_status count(dlf_run *run)
{
    int64_t deep, flat;
    const int64_t all = c3d(3, 400, &deep);
    (void)c3d(1, 400, &flat);
    DLF_TRY(dlf_add_exact(run, "c3d_parameters",
                          (dlf_text){"C3D（400 类）的参数个数", "parameters of C3D (400 classes)"},
                          (double)all, 79e6, 1e6,
                          "Carreira & Zisserman 2017, table 1: 79M (printed in millions)", NULL));
    return dlf_add_exact(
        run, "kernel_ratio",
        (dlf_text){"3×3×3 对 3×3：卷积权重（也是每个输出的乘加）的倍数",
                   "3×3×3 against 3×3: ratio of weights, and of multiply-adds per output"},
        (double)deep / (double)flat, 3.0, 0.0, "counted: the number of frames of a kernel", NULL);
}

dlf_status dlf_video_identities(dlf_run *run, double from, double to)
{
    DLF_TRY(dlf_run_stage(run, 0.5 * (from + to), "kernels over time"));
    DLF_TRY(inflate(run));
    return count(run);
}
