/* SPDX-License-Identifier: MIT
 * measure.h -- a run, and one pass over one of its cases. */
#ifndef DLF_BENCH_MEASURE_H
#define DLF_BENCH_MEASURE_H
#include "bench/peers.h"
#include "bench/pin.h"
#include "bench/telemetry.h"

typedef struct bench_session {
    const dlf_bench_options *o;
    bench_evictor evictor;
    bench_subject gemm; /* one for all cases */
    bench_peers *peers;
    bench_telemetry *telemetry;
    bench_pinning *pinning;
} bench_session;

int bench_passes(const dlf_bench_options *o);
double bench_seconds(void); /* of a clock that only goes forward */

/* Operands in fresh memory, and this pass's share of the rounds and of the seconds. The first pass
 * opens the gate and says who takes part; every pass ends with the gate's second look.
 *   errors  those of the op: a shape, a type or a version that there is not                     */
DLF_MUST_CHECK dlf_status bench_time_case(bench_session *s, dlf_bench_row *row, bench_gate *gate,
                                          int pass);
#endif
