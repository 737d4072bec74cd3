/* SPDX-License-Identifier: MIT
 * run.h -- what the CLI needs beside dlf/experiment.h. */
#ifndef DLF_EXPERIMENTS_RUN_H
#define DLF_EXPERIMENTS_RUN_H
#include "dlf/experiment.h"

/* Would dlf_experiment_run accept these settings? Same errors, nothing computed: so that a typo in
 * the last experiment of a list shows before the first one runs for minutes. */
DLF_MUST_CHECK dlf_status dlf_experiment_check_settings(const dlf_experiment *e,
                                                        const dlf_setting *set, int n_set);

/* Is `question` ("Q7", any case) one of the experiment's? */
bool dlf_experiment_answers(const dlf_experiment *e, const char *question);

/* The parameter of that name, NULL if the experiment has none. */
const dlf_param *dlf_experiment_param(const dlf_experiment *e, const char *name);

/* A finite decimal number and nothing else: no blanks, no hexadecimal, no "nan". */
bool dlf_parse_number(double *out, const char *text);

/* Two-sided 95 % quantile of Student's t: P(|T| <= t) = 0.95. */
double dlf_student_t95(int degrees_of_freedom);

/* Choice number i of "all,tanh,relu"; length in *n; NULL beyond the last. */
const char *dlf_choice_at(const char *choices, int i, size_t *n);

#endif
