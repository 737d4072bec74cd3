/* SPDX-License-Identifier: MIT
 * fake_data.h -- what the stand-ins for NVIDIA's libraries share: device memory of the test bed,
 * read and written as numbers, and how they are told to misbehave. */
#ifndef FAKE_DATA_H
#define FAKE_DATA_H
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/half.h"

/* The bed's: device memory is out of bounds for the host except while these hold it open. */
void simt_memory_open(void);
void simt_memory_close(void);

typedef enum fake_type { FAKE_FLOAT, FAKE_HALF, FAKE_BFLOAT } fake_type;

static inline double fake_load(const void *data, fake_type type, long i)
{
    switch (type) {
    case FAKE_HALF: return (double)dlf_float_of_f16(((const uint16_t *)data)[i]);
    case FAKE_BFLOAT: return (double)dlf_float_of_bf16(((const uint16_t *)data)[i]);
    case FAKE_FLOAT: break;
    }
    return (double)((const float *)data)[i];
}

static inline void fake_store(void *data, fake_type type, long i, double x)
{
    if (type == FAKE_HALF)
        ((uint16_t *)data)[i] = dlf_f16_of_float((float)x);
    else if (type == FAKE_BFLOAT)
        ((uint16_t *)data)[i] = dlf_bf16_of_float((float)x);
    else
        ((float *)data)[i] = (float)x;
}

/* FAKE_LIBRARY=none: no plan for anything; wrong: one number of every result is off. */
static inline bool fake_is_told(const char *what)
{
    const char *told = getenv("FAKE_LIBRARY");
    return told && !strcmp(told, what);
}
#endif
