/* SPDX-License-Identifier: MIT
 * questions.h -- the 46 questions this program sets out to answer (Q1..Q47; there is no Q6). */
#ifndef DLF_QUESTIONS_H
#define DLF_QUESTIONS_H
#include "dlf/experiment.h"

enum { DLF_QUESTIONS = 46 };

typedef enum dlf_level { DLF_BEGINNER, DLF_INTERMEDIATE, DLF_ADVANCED } dlf_level;

typedef struct dlf_question {
    const char *id; /* "Q7" */
    dlf_level level;
    dlf_text title;
} dlf_question;

extern const dlf_question dlf_questions[DLF_QUESTIONS];

dlf_text dlf_level_name(dlf_level level);
/* By id, case-insensitively. NULL if there is no such question. */
const dlf_question *dlf_question_find(const char *id);

#endif
