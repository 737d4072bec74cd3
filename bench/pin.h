/* SPDX-License-Identifier: MIT
 * pin.h -- every thread of this process on a CPU of its own while it is timed. */
#ifndef DLF_BENCH_PIN_H
#define DLF_BENCH_PIN_H
#include "dlf/backend.h"

/* The i-th thread of the process goes to the i-th CPU that the process may use. NULL, and nothing
 * is changed, where the device is no CPU, the system does not let it, or there are more threads
 * than CPUs. Threads that start later inherit the CPU of the one that starts them: start all
 * before. */
typedef struct bench_pinning bench_pinning;
bench_pinning *bench_pin(const dlf_device *device);
int bench_pinned(const bench_pinning *p); /* threads; 0 for NULL */
/* Every thread may go where it could go before. */
void bench_unpin(bench_pinning *p);
#endif
