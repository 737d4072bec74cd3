/* SPDX-License-Identifier: MIT
 * doctor.h -- findings about this machine and this build. */
#ifndef DLF_CLI_DOCTOR_H
#define DLF_CLI_DOCTOR_H
#include "dlf/backend.h"
#include "dlf/result.h"

typedef enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL } doctor_level;

typedef struct doctor_item {
    const char *id;
    doctor_level level;
    char value[320];  /* what was found, English */
    dlf_text advice;  /* what to do; NULL when ok */
    double number;    /* a measured rate, else NaN */
    const char *unit; /* of number */
} doctor_item;

enum { DOCTOR_ITEMS_MAX = 32 };

typedef struct doctor {
    doctor_item item[DOCTOR_ITEMS_MAX];
    int n;
} doctor;

/* Append a finding; returns it, so that a number can be added. */
doctor_item *doctor_add(doctor *d, const char *id, doctor_level level, dlf_text advice,
                        const char *format, ...) __attribute__((format(printf, 5, 6)));

void doctor_check_build(doctor *d);
void doctor_check_cuda(doctor *d);
void doctor_check_tools(doctor *d);
void doctor_check_data(doctor *d, const char *dir); /* NULL: as without --data */
void doctor_check_output(doctor *d, const char *dir);
/* Copy bandwidth and GEMM rate, through the same calls that experiments use. */
void doctor_measure(doctor *d, dlf_device *dev);

#endif
