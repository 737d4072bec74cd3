/* SPDX-License-Identifier: MIT
 * cuda_library.h -- find NVIDIA's libraries at run time, so that neither building nor starting dlf
 * needs them. */
#ifndef DLF_CUDA_LIBRARY_H
#define DLF_CUDA_LIBRARY_H
#include <stdbool.h>

/* The file that environment variable `variable` names ("none": no library), else the first of
 * `names` (ending with NULL) in the loader's own search path, $CUDA_HOME/lib64, $CUDA_PATH/lib64,
 * /usr/local/cuda/lib64. NULL: not found. For dlclose. */
void *dlf_cuda_library(const char *variable, const char *const *names);

/* A symbol as a function pointer: `function` is the address of one. False: the library lacks it. */
bool dlf_cuda_symbol(void *function, void *library, const char *name);
/* Is the library wanted here? Always on a GPU. The CPU test bed's memory a real one would not
 * understand: there only a stand-in chosen by name in `variable`. */
bool dlf_cuda_library_wanted(const char *variable, bool test_bed);
#endif
