/* SPDX-License-Identifier: MIT
 * cuda_library.h -- find NVIDIA's libraries at run time, so that neither building nor starting dlf
 * needs them. */
#ifndef DLF_CUDA_LIBRARY_H
#define DLF_CUDA_LIBRARY_H
#include <stdbool.h>
#include <stddef.h>

/* The file that environment variable `variable` names ("none": no library), else the first of
 * `names` (ending with NULL) in the loader's own search path, $CUDA_HOME/lib64, $CUDA_PATH/lib64,
 * /usr/local/cuda/lib64. NULL: not found. For dlclose. */
void *dlf_cuda_library(const char *variable, const char *const *names);

/* Symbols as function pointers: `function` is the address of one. False: the library lacks one. */
typedef struct dlf_cuda_wanted {
    void *function;
    const char *name;
} dlf_cuda_wanted;
bool dlf_cuda_symbols(void *library, const dlf_cuda_wanted *wanted, size_t n);

/* Is the device the CPU test bed (tests/simt), linked in place of a driver? By its name. */
bool dlf_cuda_is_test_bed(const char *device_name);

/* Is the library wanted here? Always on a GPU. The CPU test bed's memory a real one would not
 * understand: there only a stand-in chosen by name in `variable`. */
bool dlf_cuda_library_wanted(const char *variable, const char *device_name);
#endif
