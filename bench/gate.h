/* SPDX-License-Identifier: MIT
 * gate.h -- no time without a right result: outputs are poisoned, computed, compared. */
#ifndef DLF_BENCH_GATE_H
#define DLF_BENCH_GATE_H
#include "bench/subject.h"

typedef struct bench_gate {
    dlf_bench_check check;
    uint64_t hash; /* of the outputs of the first pass */
    dlf_device *yardstick;
    bench_subject yard;
} bench_gate;

/* First pass: poison, call, compare with the case on device `ref` (its plain loops would take
 * minutes for more than 2^24 elements or 1e10 flop: those are compared with the cpu backend on
 * other devices). `wrong`: change one element before comparing (distortion). */
DLF_MUST_CHECK dlf_status bench_gate_open(bench_gate *g, bench_subject *s, bool wrong);
/* The same for a peer's outputs. An open gate only. */
DLF_MUST_CHECK dlf_status bench_gate_peer(bench_gate *g, bench_subject *theirs,
                                          dlf_bench_check *check);
/* The yardstick goes; check and hash stay. Also of a gate that did not open, or is zeroed. */
void bench_gate_close(bench_gate *g);
/* After the timing: poison, call, and compare bits with the first pass. */
DLF_MUST_CHECK dlf_status bench_gate_again(bench_gate *g, bench_subject *s);

#endif
