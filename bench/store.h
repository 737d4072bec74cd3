/* SPDX-License-Identifier: MIT
 * store.h -- a case as JSON: in stored results, and in what a peer is asked. */
#ifndef DLF_BENCH_STORE_H
#define DLF_BENCH_STORE_H
#include <jansson.h>

#include "dlf/bench.h"

json_t *bench_case_to_json(const dlf_bench_case *c);
/* NULL, or what is wrong. */
const char *bench_case_of_json(dlf_bench_case *c, const json_t *object);
/* The samples of a row. */
void bench_drop_samples(dlf_bench_row *row);
#endif
