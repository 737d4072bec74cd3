/* SPDX-License-Identifier: MIT
 * ceilings.h -- ceilings of a run, measured before its cases. */
#ifndef DLF_BENCH_CEILINGS_H
#define DLF_BENCH_CEILINGS_H
#include "bench/measure.h"

/* copy, add, read and write at the sizes of the cases, to a factor of two; a square product, and
 * one on tensor cores, of about the work of every convolution. Cold, one pass, a tenth of a second
 * each, without peers or distortion. Into r->ceilings, also what was finished when it is
 * interrupted. */
DLF_MUST_CHECK dlf_status bench_ceilings(bench_session *s, dlf_bench_report *r,
                                         const dlf_bench_case *cases, int n);
#endif
