/* SPDX-License-Identifier: MIT
 * video.c -- Q30: which network for classifying videos?
 *
 * Claim   What only the order of frames tells, no network can learn that sees one frame, or frames
 * without their order, or that is linear in them; local kernels over time find it with few clips.
 * Where labels can be told from a still, motion adds nothing. Control those blind networks, at
 * chance; labels that a still decides. */
#include "video.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("clips", 1024, 4096, 64, 100000, "clips", "最多的训练片段数",
                  "most training clips"),
    DLF_INT_PARAM("test_clips", 1000, 2000, 16, 100000, "clips", "测试片段数", "test clips"),
    DLF_INT_PARAM("steps", 400, 1000, 1, 1000000, "steps", "训练步数", "training steps"),
    {.name = NULL},
};

static dlf_status run_video(dlf_run *run)
{
    DLF_TRY(dlf_video_motion(run, 0.0, 0.7));
    DLF_TRY(dlf_video_labels(run, 0.7, 0.95));
    return dlf_video_identities(run, 0.95, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return dlf_video_network(out, device, DLF_VIDEO_RECURRENT, 2, 2);
}

const dlf_experiment dlf_experiment_video = {
    .slug = "video",
    .questions = "Q30",
    .title = {"对视频进行分类时，使用什么网络？", "Which network for classifying videos?"},
    .claim =
        {"只有帧的次序才说明的东西，看单帧、看无序的帧或线性的网络都学不会；时间上的局部卷积核用少"
         "量片段"
         "就学会；静止画面就能定的标签，运动不添什么",
         "what only the order of frames tells is beyond networks that see one frame, frames "
         "without order, or are linear; local kernels over time learn it from few clips; where "
         "a still decides the label motion adds nothing"},
    .quick_seeds = 5,
    .full_seeds = 10,
    .params = params,
    .network = network,
    .run = run_video,
};
