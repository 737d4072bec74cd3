/* SPDX-License-Identifier: MIT
 * manifest.h -- where, when and how a benchmark ran. */
#ifndef DLF_BENCH_MANIFEST_H
#define DLF_BENCH_MANIFEST_H
#include <stddef.h>

#include "dlf/bench.h"

void bench_utc_now(char *out, size_t size);
typedef struct bench_circumstances {
    const char *command, *started;
    double seconds;
    const char *const *peers; /* version texts, NULL-terminated */
    int pinned;               /* threads with a CPU of their own */
} bench_circumstances;
/* *out is malloc'ed JSON. */
DLF_MUST_CHECK dlf_status bench_manifest(char **out, const dlf_bench_options *o,
                                         const bench_circumstances *c);
#endif
