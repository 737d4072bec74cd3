/* SPDX-License-Identifier: MIT
 * video.h -- the parts of the experiment `video` (Q30), its clips and its networks. */
#ifndef DLF_VIDEO_H
#define DLF_VIDEO_H
#include "dlf/data.h"
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_video_motion(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_video_labels(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_video_identities(dlf_run *run, double from, double to);

/* ---- clips ------------------------------------------------------------------------------------
 *
 * A bar, one or three pixels wide, on a ring of pixels; it starts anywhere and moves by one pixel
 * per frame, to the right or to the left; Gaussian noise on every pixel. A share `motion` of the
 * clips is labelled by the direction of the bar, the others by its width; the other property is
 * drawn by a coin. Every frame of its own, and every set of frames without their order, has the
 * same distribution for both directions. */
enum {
    DLF_CLIP_FRAMES = 8,
    DLF_CLIP_RING = 16,
    DLF_CLIP_PIXELS = DLF_CLIP_RING + 4, /* two more on both sides: the ring goes on */
    DLF_CLIP_FEATURES = DLF_CLIP_FRAMES * DLF_CLIP_PIXELS
};

/* Blocks of `rows` clips for `blocks` seeds, label 0 or 1; pure function of seed and block. */
DLF_MUST_CHECK dlf_status dlf_clips_new(dlf_dataset *out, uint64_t seed, int blocks, int rows,
                                        double motion);

/* ---- networks ---------------------------------------------------------------------------------
 */

typedef enum dlf_video_net {
    DLF_VIDEO_FRAME,     /* 1 x 5 convolution of the middle frame, mean over its positions      */
    DLF_VIDEO_POOLED,    /* 1 x 5 convolution of every frame, mean over positions and frames     */
    DLF_VIDEO_LINEAR,    /* all frames in order, no hidden layer                                 */
    DLF_VIDEO_STACKED,   /* all frames in order, 32 hidden units                                 */
    DLF_VIDEO_FLOW,      /* the convolution of the differences of neighbouring frames, pooled    */
    DLF_VIDEO_CONV,      /* 2 x 5 convolution over time and space, pooled                        */
    DLF_VIDEO_RECURRENT, /* h <- tanh(A frame + B h + b), 32 units                              */
    DLF_VIDEO_NETS
} dlf_video_net;

enum { DLF_VIDEO_BATCH = 32 }; /* clips of a training step */

/* "x" (P,B,FEATURES) -> "logits" (P,B,2) -> mean cross-entropy; built and compiled. */
DLF_MUST_CHECK dlf_status dlf_video_network(dlf_graph **out, dlf_device *device, dlf_video_net net,
                                            int members, int batch);

/* Trains one network per block on its first n clips and judges it on its last `test` ones:
 * accuracy[block]; *parameters may be NULL. */
DLF_MUST_CHECK dlf_status dlf_video_train(dlf_run *run, const dlf_dataset *clips, int blocks, int n,
                                          int test, dlf_video_net net, double *accuracy,
                                          double *parameters);

/* ---- closed forms -----------------------------------------------------------------------------
 */

/* The best accuracy where a share `motion` of labels is the direction, the others the width: from
 * a single frame 1 - motion/2; from the clip 1/2 + max(motion, 1 - motion)/2. */
double dlf_video_best(double motion, bool whole_clip);
#endif
