/* SPDX-License-Identifier: MIT
 * gpu_oracles.c -- the oracles by which the test bed's intrinsics were judged, judged by a GPU: the
 * same two files compiled by nvcc. Whatever fails here, the bed has been taught wrong. */
#include <stdio.h>

#include "test_simt.h"

int main(void)
{
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices < 1) {
        printf("skipped: no CUDA device\n");
        return 77;
    }
    static const struct {
        const char *name;
        int (*run)(void);
    } oracles[] = {{"shuffles", test_shuffles},
                   {"votes", test_votes},
                   {"match and reduce", test_match_and_reduce},
                   {"block votes", test_block_votes},
                   {"atomics", test_atomics},
                   {"math", test_math},
                   {"half", test_half}};
    int failed = 0;
    for (size_t i = 0; i < sizeof oracles / sizeof oracles[0]; i++) {
        const int wrong = oracles[i].run();
        printf("%-16s %s\n", oracles[i].name, wrong ? "WRONG" : "right");
        failed += wrong != 0;
    }
    return failed ? 1 : 0;
}
