/* SPDX-License-Identifier: MIT
 * video_clips.c -- Q30: the clips, and the networks that classify them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "dlf/train.h"
#include "video.h"

enum { T = DLF_CLIP_FRAMES, R = DLF_CLIP_RING, W = DLF_CLIP_PIXELS, F = DLF_CLIP_FEATURES };

double dlf_video_best(double motion, bool whole_clip)
{
    return whole_clip ? 0.5 + 0.5 * fmax(motion, 1.0 - motion) : 1.0 - 0.5 * motion;
}

static void draw_clip(float *x, int32_t *label, uint64_t seed, uint32_t block, uint64_t row,
                      double motion)
{
    const double noise = 0.2;
    const uint32_t bits = dlf_rng_bits(seed, dlf_stream(DLF_PURPOSE_TEST, 80), block, row);
    const bool by_motion = (double)(bits >> 8) < motion * (double)(1 << 24);
    const int y = bits & 1, other = bits >> 1 & 1, start = bits >> 2 & (R - 1);
    const int step = (by_motion ? y : other) ? 1 : -1, half = (by_motion ? other : y) ? 1 : 0;
    *label = y;
    for (int t = 0; t < T; t++)
        for (int i = 0; i < W; i++) {
            const int pixel = (i - 2 + R) % R;
            const int gap = (pixel - start - step * t + 8 * R) % R;
            const bool lit = gap <= half || gap >= R - half;
            x[t * W + i] =
                (lit ? 1.0f : 0.0f) +
                (float)noise * dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 80), block,
                                              row * (uint64_t)(T * R) + (uint64_t)(t * R + pixel));
        }
}

dlf_status dlf_clips_new(dlf_dataset *out, uint64_t seed, int blocks, int rows, double motion)
{
    const long all = (long)blocks * rows;
    *out = (dlf_dataset){.name = "clips", .train = (int)all, .features = F, .classes = 2};
    out->x = malloc((size_t)all * F * sizeof *out->x);
    out->label = malloc((size_t)all * sizeof *out->label);
    if (!out->x || !out->label) return dlf_fail(DLF_ERR_OOM, "video: out of memory");
    for (long i = 0; i < all; i++)
        draw_clip(out->x + i * F, out->label + i, seed, (uint32_t)(i / rows), (uint64_t)(i % rows),
                  motion);
    return DLF_OK;
}

/* ---- networks ---- */

enum { HIDDEN = 32, CHANNELS = 16 };

/* relu(convolution over `frames` x 5), then the mean over all positions: (P,B,CHANNELS). */
static dlf_node convolved(dlf_graph *g, dlf_node x, int members, int batch, int length, int frames)
{
    const dlf_node image = dlf_view(g, "frames", x, 5, (int64_t[]){members, batch, 1, length, W});
    dlf_conv conv = dlf_conv_of(DLF_NCHW, 5, 1, 0);
    conv.kernel[0] = frames;
    const dlf_node h =
        dlf_conv_layer(g, "conv", image, CHANNELS, conv, dlf_activation_of(DLF_RELU), dlf_he());
    const int64_t all[2] = {length - frames + 1, R};
    const dlf_pool mean = {.kind = DLF_POOL_AVERAGE,
                           .layout = DLF_NCHW,
                           .kernel = {all[0], all[1]},
                           .stride = {all[0], all[1]}};
    return dlf_view(g, "pooled", dlf_pooling(g, "mean", h, mean), 3,
                    (int64_t[]){members, batch, CHANNELS});
}

static dlf_node recurrent(dlf_graph *g, dlf_node x, int members)
{
    const dlf_activation tanh_ = dlf_activation_of(DLF_TANH);
    const dlf_node a = dlf_parameter(g, "input.w", 3, (int64_t[]){members, HIDDEN, W}, dlf_lecun()),
                   b = dlf_parameter(g, "state.w", 3, (int64_t[]){members, HIDDEN, HIDDEN},
                                     dlf_lecun()),
                   c = dlf_parameter(g, "state.b", 2, (int64_t[]){members, HIDDEN},
                                     dlf_init_constant(0.0));
    dlf_node h = {0};
    for (int t = 0; t < T; t++) {
        char name[3][24];
        snprintf(name[0], sizeof name[0], "frame%d", t);
        snprintf(name[1], sizeof name[1], "input%d", t);
        snprintf(name[2], sizeof name[2], "z%d", t);
        dlf_node z =
            dlf_matmul(g, name[1], dlf_columns(g, name[0], x, t * W, W), false, a, true, 1.0);
        if (t > 0) {
            char state[24], sum[24];
            snprintf(state, sizeof state, "state%d", t);
            snprintf(sum, sizeof sum, "sum%d", t);
            z = dlf_add(g, sum, z, dlf_matmul(g, state, h, false, b, true, 1.0));
        }
        z = dlf_bias(g, name[2], z, c);
        snprintf(name[0], sizeof name[0], "h%d", t);
        h = dlf_activate(g, name[0], z, tanh_);
    }
    return h;
}

static dlf_node body(dlf_graph *g, dlf_video_net net, dlf_node x, int members, int batch)
{
    const dlf_activation relu = dlf_activation_of(DLF_RELU);
    switch (net) {
    case DLF_VIDEO_FRAME:
        return convolved(g, dlf_columns(g, "frame", x, T / 2 * W, W), members, batch, 1, 1);
    case DLF_VIDEO_POOLED: return convolved(g, x, members, batch, T, 1);
    case DLF_VIDEO_STACKED: return dlf_dense(g, "hidden", x, HIDDEN, relu, dlf_he());
    case DLF_VIDEO_FLOW: {
        const dlf_node next = dlf_columns(g, "next", x, W, (T - 1) * W),
                       last = dlf_columns(g, "last", x, 0, (T - 1) * W);
        const dlf_node flow =
            dlf_add(g, "flow", next, dlf_scale(g, "minus", last, (dlf_node){0}, -1.0));
        return convolved(g, flow, members, batch, T - 1, 1);
    }
    case DLF_VIDEO_CONV: return convolved(g, x, members, batch, T, 2);
    case DLF_VIDEO_RECURRENT: return recurrent(g, x, members);
    default: return x; /* linear */
    }
}

dlf_status dlf_video_network(dlf_graph **out, dlf_device *device, dlf_video_net net, int members,
                             int batch)
{
    DLF_TRY(dlf_graph_new(out, device, members));
    dlf_graph *g = *out;
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){members, batch, F});
    const dlf_node label = dlf_input_int(g, "label", 2, (int64_t[]){members, batch});
    const dlf_node h = body(g, net, x, members, batch);
    const dlf_node y = dlf_dense(g, "logits", h, 2, dlf_activation_of(DLF_LINEAR), dlf_lecun());
    dlf_graph_minimise(g, dlf_cross_entropy(g, "loss", y, label), 1.0 / batch);
    const dlf_status status = dlf_graph_compile(g);
    if (status == DLF_OK) return DLF_OK;
    dlf_graph_free(g);
    *out = NULL;
    return status;
}

dlf_status dlf_video_train(dlf_run *run, const dlf_dataset *clips, int blocks, int n, int test,
                           dlf_video_net net, double *accuracy, double *parameters)
{
    const int steps = dlf_run_int(run, "steps"), rows = clips->train / blocks;
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    dlf_status status;
    double *lr = malloc((size_t)blocks * sizeof *lr);
    int32_t *base = malloc((size_t)blocks * sizeof *base);
    if (!lr || !base) {
        status = dlf_fail(DLF_ERR_OOM, "video: out of memory");
        goto done;
    }
    for (int s = 0; s < blocks; s++) {
        lr[s] = 0.03;
        base[s] = s * rows;
    }
    DLF_TRY_DONE(dlf_video_network(&g, dlf_run_device(run), net, blocks, DLF_VIDEO_BATCH));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    const dlf_train_spec spec = {
        .seed = dlf_run_seed(run),
        .base = base,
        .lr = lr,
        .rows = n,
        .optimiser = dlf_adam(0.0),
        .schedule = {.kind = DLF_SCHEDULE_COSINE, .steps = steps, .final = 0.0}};
    DLF_TRY_DONE(dlf_train_new(&t, g, clips, &spec));
    DLF_TRY_DONE(dlf_train_run(t, steps));
    DLF_TRY_DONE(dlf_train_evaluate(t, rows - test, test, NULL, accuracy));
    if (parameters) *parameters = (double)dlf_graph_parameter_count(g);
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    free(base);
    free(lr);
    return status;
}
