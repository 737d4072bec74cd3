/* SPDX-License-Identifier: MIT
 * summary.c -- what a row says. */
#include <math.h>
#include <string.h>

#include "dlf/bench.h"

enum { DLF_RUNNER, COPY_RUNNER, GEMM_RUNNER, FIRST_PEER };

static bool any_mode(dlf_bench_mode *mode, const dlf_bench_runner_result *r)
{
    const dlf_bench_mode order[] = {*mode, DLF_BENCH_COLD, DLF_BENCH_HOT, DLF_BENCH_GRAPH};
    for (int i = 0; i < 4; i++)
        if (r->ns[order[i]]) {
            *mode = order[i];
            return true;
        }
    return false;
}

/* The peer that is fastest in this mode, against `us`. */
static void find_peer(dlf_bench_summary *out, const dlf_bench_row *row, const double *us)
{
    double best = INFINITY;
    const double *now = NULL, *before = NULL;
    for (int i = FIRST_PEER; i < row->n_runners; i++) {
        const double *theirs = row->runner[i].ns[out->mode];
        if (!theirs) continue;
        if (!strcmp(row->runner[i].name, DLF_BENCH_NOW)) now = theirs;
        if (!strcmp(row->runner[i].name, DLF_BENCH_BEFORE)) before = theirs;
        if (theirs == now || theirs == before) continue;
        const double median = dlf_bench_stats_of(theirs, row->rounds).median;
        if (!(median < best)) continue;
        best = median;
        out->peer = dlf_bench_ratio_paired(theirs, us, row->pass_end, row->passes);
        out->peer_name = row->runner[i].name;
    }
    if (now && before)
        out->before = dlf_bench_ratio_paired(now, before, row->pass_end, row->passes);
}

static unsigned flags_of(const dlf_bench_summary *s, const dlf_bench_row *row, int runner,
                         double max_noise)
{
    const dlf_bench_check *c = &row->runner[runner].check;
    unsigned flags = 0;
    if (c->done && !c->ok) flags |= DLF_FLAG_WRONG;
    if (c->done && !c->same_bits) flags |= DLF_FLAG_BITS;
    /* Faster than moving the bytes: 2 % beyond what the intervals allow. */
    if (s->mode == DLF_BENCH_COLD && s->of_copy.lo > 1.02 && strcmp(row->c.family, "ceiling") != 0)
        flags |= DLF_FLAG_SUSPECT;
    if (!(0.5 * (s->time.hi - s->time.lo) <= max_noise * s->time.median)) flags |= DLF_FLAG_NOISY;
    for (int i = FIRST_PEER; runner == DLF_RUNNER && i < row->n_runners; i++)
        if (row->runner[i].check.done && !row->runner[i].check.ok) flags |= DLF_FLAG_PEER_WRONG;
    if (row->telemetry.throttled > 0) flags |= DLF_FLAG_THROTTLED;
    return flags;
}

bool dlf_bench_summarise(dlf_bench_summary *out, const dlf_bench_row *row, int runner,
                         dlf_bench_mode mode, double max_noise)
{
    *out = (dlf_bench_summary){.mode = mode};
    if (runner >= row->n_runners || !any_mode(&out->mode, &row->runner[runner])) return false;
    const double *us = row->runner[runner].ns[out->mode],
                 *copy = row->runner[COPY_RUNNER].ns[out->mode];
    out->time = dlf_bench_stats_of(us, row->rounds);
    const dlf_bench_ratio level =
        dlf_bench_level((dlf_bench_samples){us, row->pass_end, row->passes});
    out->time.lo = out->time.median * (level.lo / level.value);
    out->time.hi = out->time.median * (level.hi / level.value);
    out->gb_per_s = row->bytes / out->time.median;
    out->gflop_per_s = row->flops / out->time.median;
    out->of_copy = (dlf_bench_ratio){NAN, NAN, NAN};
    out->peer = out->before = out->of_copy;
    if (copy) out->of_copy = dlf_bench_ratio_paired(copy, us, row->pass_end, row->passes);
    /* The copy's bytes are the case's ideal bytes, up to rounding; a lie about them shows here. */
    const double claimed = row->copy_bytes > 0.0 ? row->bytes / row->copy_bytes : 1.0;
    out->of_copy.value *= claimed;
    out->of_copy.lo *= claimed;
    out->of_copy.hi *= claimed;
    if (runner == DLF_RUNNER) find_peer(out, row, us);
    out->flags = flags_of(out, row, runner, max_noise);
    return true;
}
