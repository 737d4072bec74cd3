/* SPDX-License-Identifier: MIT
 * dropout_story.h -- the digits of Q31: what is trained, and what is reported of it. */
#ifndef DLF_DROPOUT_STORY_H
#define DLF_DROPOUT_STORY_H
#include "digits_blocks.h"
#include "dropout.h"

/* Settings: part of the labels wrong; few different rows; neither, the control.
 * Arms: rates of dropout, the first 0, then DropConnect. Member (setting, arm, seed). */
enum { STORY_NOISY, STORY_SMALL, STORY_CLEAN, STORY_SETTINGS };
enum { STORY_RATES = 6, STORY_CONNECT = STORY_RATES, STORY_ARMS, STORY_HALF = 3 };
enum { STORY_RECORDS_MAX = 11, STORY_TRAIN = 0, STORY_VALID, STORY_TEST, STORY_PARTS };
/* Masks averaged at test time, and how many counts of them are read: 1, 2, 4, .. */
enum { STORY_MASKS = 32, STORY_COUNTS = 6 };
extern const double dropout_rates[STORY_RATES];

typedef struct story_reading {
    double loss, error; /* cross-entropy and share of wrong test rows */
} story_reading;

typedef struct story {
    int seeds, members, steps, records;
    dlf_block_size size;
    double *loss, *accuracy; /* (records, STORY_PARTS, members) */
    /* (STORY_SETTINGS, seeds) of rate STORY_HALF: all units; mean of the probabilities of 1, 2, ..
     * masks; geometric mean of all masks */
    story_reading *scaled, *masks[STORY_COUNTS], *geometric;
} story;

static inline int story_member(const story *s, int setting, int arm, int seed)
{
    return (setting * STORY_ARMS + arm) * s->seeds + seed;
}
static inline double *story_cell(const story *s, double *field, int record, int part, int member)
{
    return field + (record * STORY_PARTS + part) * s->members + member;
}

/* Adds tables, figures and checks. */
DLF_MUST_CHECK dlf_status dropout_story_report(dlf_run *run, const story *s);
/* Only the table of test accuracies, under the id `table`: of another data set. */
DLF_MUST_CHECK dlf_status dropout_story_rates(dlf_run *run, const story *s, const char *table);
#endif
