/* SPDX-License-Identifier: MIT
 * manifest.h -- where, when and how a benchmark ran. */
#ifndef DLF_BENCH_MANIFEST_H
#define DLF_BENCH_MANIFEST_H
#include <stddef.h>

#include "dlf/bench.h"

void bench_utc_now(char *out, size_t size);
/* peers: version texts, NULL-terminated. *out is malloc'ed JSON. */
DLF_MUST_CHECK dlf_status bench_manifest(char **out, const dlf_bench_options *o,
                                         const char *command, const char *started, double seconds,
                                         const char *const *peers);
#endif
