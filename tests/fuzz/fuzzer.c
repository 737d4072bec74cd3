/* SPDX-License-Identifier: MIT
 * fuzzer.c -- libFuzzer's side: DLF_FUZZ names the format, DLF_FUZZ_SCRATCH an empty directory. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *format = getenv("DLF_FUZZ"), *scratch = getenv("DLF_FUZZ_SCRATCH");
    if (!format || !scratch || !dlf_fuzz_data(format, scratch, data, size)) {
        fprintf(stderr, "DLF_FUZZ=idx|npy|cifar|digits DLF_FUZZ_SCRATCH=DIR\n");
        exit(2);
    }
    return 0;
}
