/* SPDX-License-Identifier: MIT
 * data_test.h -- what tests of data sets share. */
#ifndef DLF_DATA_TEST_H
#define DLF_DATA_TEST_H
#include <stddef.h>
#include <stdint.h>

#define FNV_START 14695981039346656037u

/* FNV-1a of more bytes behind those of `h`: numbers pinned bit for bit. */
static inline uint64_t fnv(uint64_t h, const void *data, size_t size)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++) h = (h ^ p[i]) * 1099511628211u;
    return h;
}
#endif
