/* SPDX-License-Identifier: MIT
 * early_stopping_story.h -- the digits of Q10: what is trained, and what is reported of it. */
#ifndef DLF_EARLY_STOPPING_STORY_H
#define DLF_EARLY_STOPPING_STORY_H
#include "early_stopping.h"

/* Arms: wrong labels, right labels. A record every STORY_EVERY steps. */
enum { STORY_ARMS = 2, STORY_EVERY = 20 };
enum { TRAIN_PART, VALID_PART, TEST_PART, PARTS };

/* Losses and accuracies (records, PARTS, members). */
typedef struct story {
    int members, seeds, records;
    double *loss, *accuracy;
    int *best, *stop; /* records: least validation loss before patience ran out, and when */
    double *stopped, *decayed; /* test accuracy: at the kept parameters; by the best decay */
} story;

static inline double *story_cell(const story *s, double *field, int record, int part, int member)
{
    return field + (record * PARTS + part) * s->members + member;
}

/* Adds tables, figures and checks. value: room for one number per seed. */
DLF_MUST_CHECK dlf_status story_report(dlf_run *run, const story *s, double *value);
#endif
