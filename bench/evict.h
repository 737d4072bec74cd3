/* SPDX-License-Identifier: MIT
 * evict.h -- cold caches. */
#ifndef DLF_BENCH_EVICT_H
#define DLF_BENCH_EVICT_H
#include "bench/subject.h"

/* cpu: the cache lines of every operand are written back and dropped (CLFLUSH): exactly these, from
 *   every cache of the machine, whatever its size. What is not x86 reads through twice the last
 * cache. cuda: 2 MiB per multiprocessor are zeroed, 256 at the most: more than any L2 so far (H200:
 * 50 MB, B200: 126 MB). Before, lines
 * that were set aside as persisting lose that mark. It is queued, not waited for: while it runs,
 * the work to be timed is being queued, so that launch latency is not in the interval. */
typedef struct bench_evictor {
    dlf_device *device;
    dlf_tensor sweep; /* cuda */
    struct dlf_cuda_gate
        *gate;  /* cuda: hot samples are queued behind it; NULL: nothing is held up */
    char *walk; /* not x86 */
    size_t walk_size;
} bench_evictor;

DLF_MUST_CHECK dlf_status bench_evictor_new(bench_evictor *e, dlf_device *device);
void bench_evictor_free(bench_evictor *e);
DLF_MUST_CHECK dlf_status bench_evict(bench_evictor *e, const bench_subject *s);

#endif
