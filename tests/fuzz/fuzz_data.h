/* SPDX-License-Identifier: MIT
 * fuzz_data.h -- one hostile input for the loaders of data sets. */
#ifndef DLF_FUZZ_DATA_H
#define DLF_FUZZ_DATA_H
#include <stddef.h>

/* Give the bytes to the loader of "idx", "npy", "cifar" or "digits" as a file below `scratch`, an
 * existing directory. Aborts when the loader breaks a promise of dlf/data.h. For idx and npy the
 * first byte says which file it is: 1 y, not x; 2 of the test rows; 4 npy: targets. 0 if there is
 * no such format. */
int dlf_fuzz_data(const char *format, const char *scratch, const unsigned char *data, size_t size);

#endif
