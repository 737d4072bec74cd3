/* SPDX-License-Identifier: MIT
 * forgetting_story.h -- what the networks of `forgetting` leave to its report. */
#ifndef DLF_FORGETTING_STORY_H
#define DLF_FORGETTING_STORY_H
#include "dlf/experiment.h"

enum { DLF_FORGETTING_TASKS = 5, DLF_FORGETTING_STRENGTHS = 5 };

/* PERMUTED: the same digits, every task with its pixels permuted. SPLIT: digits 0 and 1, then 2 and
 * 3, .., told apart from all ten in the end. */
typedef enum dlf_forgetting_scene {
    DLF_PERMUTED,
    DLF_SPLIT,
    DLF_FORGETTING_SCENES
} dlf_forgetting_scene;

typedef enum dlf_forgetting_arm {
    DLF_NAIVE,  /* one task after the other                                                  */
    DLF_SAME,   /* the control: every task is the first, with rows of its own                */
    DLF_REPLAY, /* half of every batch are a few kept rows of old tasks                      */
    DLF_EWC,    /* and the following: growing strengths                                      */
    DLF_FORGETTING_ARMS = DLF_EWC + DLF_FORGETTING_STRENGTHS
} dlf_forgetting_arm;

extern const double dlf_forgetting_strength[DLF_FORGETTING_STRENGTHS];

typedef struct dlf_forgetting_story {
    int seeds;
    double *accuracy; /* (SCENES, ARMS, TASKS trained, TASKS tested, seeds) */
    double *joint;    /* (SCENES, seeds): all tasks at once                 */
} dlf_forgetting_story;

static inline double *dlf_forgetting_at(const dlf_forgetting_story *s, int scene, int arm,
                                        int trained, int tested)
{
    return s->accuracy +
           ((((long)scene * DLF_FORGETTING_ARMS + arm) * DLF_FORGETTING_TASKS + trained) *
                DLF_FORGETTING_TASKS +
            tested) *
               s->seeds;
}

DLF_MUST_CHECK dlf_status dlf_forgetting_report(const dlf_forgetting_story *s, dlf_run *run);
#endif
