/* SPDX-License-Identifier: MIT
 * measure.c -- one case: who goes next, and when it is enough. */
#include "bench/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dlf/rng.h"

static const char *const mode_names[] = {"cold", "hot", "graph"};
const char *dlf_bench_mode_name(dlf_bench_mode mode)
{
    return mode_names[mode];
}

static const char *const stop_names[] = {"noise", "rounds", "time", "sequential"};
const char *dlf_bench_stop_name(dlf_bench_stop stop)
{
    return stop_names[stop];
}

double bench_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int bench_passes(const dlf_bench_options *o)
{
    const int most = o->max_rounds < DLF_BENCH_PASSES ? o->max_rounds : DLF_BENCH_PASSES;
    return o->passes < 1 ? 1 : o->passes < most ? o->passes : most;
}

/* Fewer say nothing about how passes differ. */
static int least_passes(const dlf_bench_options *o)
{
    const int passes = bench_passes(o);
    return passes < 3 ? passes : 3;
}

/* Who takes part in one pass over a case. */
typedef struct party {
    bench_runner runner[DLF_BENCH_RUNNERS];
    int n;
} party;

static void release(party *t)
{
    for (int i = 0; i < t->n; i++)
        if (t->runner[i].release) t->runner[i].release(&t->runner[i]);
}

static bool takes(const bench_session *s, const party *t, int i, int mode)
{
    const unsigned wanted = s->o->modes ? s->o->modes : ~0u;
    return t->runner[i].modes & wanted & 1u << mode;
}

/* In the first pass: names, and room for all samples. */
static dlf_status introduce(const bench_session *s, const party *t, dlf_bench_row *row)
{
    row->n_runners = t->n;
    for (int i = 0; i < t->n; i++) {
        dlf_bench_runner_result *r = &row->runner[i];
        memcpy(r->name, t->runner[i].name, sizeof r->name);
        memcpy(r->note, t->runner[i].note, sizeof r->note);
        r->check = t->runner[i].check;
        for (int m = 0; m < DLF_BENCH_MODES; m++) {
            if (!takes(s, t, i, m)) continue;
            r->ns[m] = malloc((size_t)s->o->max_rounds * sizeof(double));
            if (!r->ns[m]) return dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for the samples");
            for (int k = 0; k < s->o->max_rounds; k++) r->ns[m][k] = NAN;
        }
    }
    return DLF_OK;
}

/* The (mode, runner) pairs of a round, in an order drawn for it. */
static int order_of(int *order, const bench_session *s, const dlf_bench_row *row, int round)
{
    int n = 0;
    for (int m = 0; m < DLF_BENCH_MODES; m++)
        for (int i = 0; i < row->n_runners; i++)
            if (row->runner[i].ns[m]) order[n++] = m * DLF_BENCH_RUNNERS + i;
    for (int k = n - 1; k > 0; k--) { /* Fisher & Yates */
        const uint32_t bits = dlf_rng_bits(s->o->seed, dlf_stream(DLF_PURPOSE_SHUFFLE, 0),
                                           (uint32_t)round, (uint64_t)k);
        const int j = (int)((uint64_t)bits * (uint64_t)(k + 1) >> 32), swap = order[k];
        order[k] = order[j];
        order[j] = swap;
    }
    return n;
}

/* A peer that left after an earlier pass leaves NaN. */
static dlf_status one_sample(party *t, dlf_bench_row *row, int mode, int i, int round)
{
    if (!(t->runner[i].modes & 1u << mode)) return DLF_OK;
    return t->runner[i].sample(&t->runner[i], (dlf_bench_mode)mode,
                               &row->runner[i].ns[mode][round]);
}

static dlf_status one_round(const bench_session *s, party *t, dlf_bench_row *row, int round)
{
    int order[DLF_BENCH_RUNNERS * DLF_BENCH_MODES];
    const int n = order_of(order, s, row, round);
    for (int k = 0; k < n; k++)
        DLF_TRY(
            one_sample(t, row, order[k] / DLF_BENCH_RUNNERS, order[k] % DLF_BENCH_RUNNERS, round));
    return DLF_OK;
}

/* Half the interval of every median of ours and the peers', relative: below what was asked for? */
static bool quiet_enough(const bench_session *s, const dlf_bench_row *row)
{
    for (int i = 0; i < row->n_runners; i++)
        for (int m = 0; m < DLF_BENCH_MODES; m++) {
            if (!row->runner[i].ns[m]) continue;
            const dlf_bench_stats q = dlf_bench_stats_of(row->runner[i].ns[m], row->rounds);
            if (!(0.5 * (q.hi - q.lo) <= s->o->max_noise * q.median)) return false;
        }
    return true;
}

/* A beginner's mistake on purpose: one runner after the other. */
static dlf_status sequential(party *t, dlf_bench_row *row, int rounds)
{
    for (int i = 0; i < t->n; i++)
        for (int m = 0; m < DLF_BENCH_MODES; m++)
            for (int k = 0; row->runner[i].ns[m] && k < rounds; k++)
                DLF_TRY(one_sample(t, row, m, i, row->rounds + k));
    row->rounds += rounds;
    row->stop = DLF_STOP_SEQUENTIAL;
    return DLF_OK;
}

/* This pass's share of the rounds and of the seconds. */
static dlf_status some_rounds(const bench_session *s, party *t, dlf_bench_row *row, int pass)
{
    const dlf_bench_options *o = s->o;
    const int passes = bench_passes(o), last = o->max_rounds * (pass + 1) / passes;
    const double start = bench_seconds(), limit = o->seconds / passes;
    int least = (o->min_rounds + passes - 1) / passes;
    if (o->distort & DLF_DISTORT_SEQUENTIAL) return sequential(t, row, last - row->rounds);
    row->stop = DLF_STOP_ROUNDS;
    while (row->rounds < last) {
        DLF_TRY(one_round(s, t, row, row->rounds++));
        if (--least <= 0 && bench_seconds() - start > limit) {
            row->stop = DLF_STOP_TIME;
            break;
        }
    }
    row->seconds += bench_seconds() - start;
    return DLF_OK;
}

static dlf_status enlist(bench_session *s, party *t, bench_subject *ours, bench_subject *copy,
                         bench_gate *gate)
{
    const double hot = s->o->hot_ns;
    const unsigned anchors = s->o->distort & DLF_DISTORT_NO_EVICT;
    DLF_TRY(bench_runner_of(&t->runner[0], "dlf", ours, &s->evictor, hot, s->o->distort));
    t->n = 1;
    DLF_TRY(bench_runner_of(&t->runner[1], "copy", copy, &s->evictor, hot, anchors));
    t->n = 2;
    DLF_TRY(bench_runner_of(&t->runner[2], "gemm", &s->gemm, &s->evictor, hot, anchors));
    t->n = 3;
    return bench_peers_join(s->peers, t->runner, &t->n, ours, gate, &s->evictor);
}

static void note_sizes(const bench_session *s, dlf_bench_row *row, const bench_subject *ours,
                       const bench_subject *copy)
{
    const double lie = s->o->distort & DLF_DISTORT_BYTES ? 2.0 : 1.0;
    double read, written;
    bench_traffic(ours, &read, &written);
    row->read_share = read / (read + written);
    row->bytes = lie * ours->bytes;
    row->bytes_moved = lie * ours->bytes_moved;
    row->copy_bytes = copy->bytes;
    row->flops = ours->flops;
}

/* One pass: fresh operands in fresh memory, and everybody's share of the rounds. */
dlf_status bench_time_case(bench_session *s, dlf_bench_row *row, bench_gate *gate, int pass)
{
    bench_subject ours = {.device = NULL}, copy = {.device = NULL};
    party t = {.n = 0};
    dlf_status status;
    DLF_TRY_DONE(
        bench_subject_new(&ours, s->o->device, &row->c, s->o->distort & DLF_DISTORT_ZEROS));
    DLF_TRY_DONE(bench_subject_copy(&copy, &ours));
    if (s->o->gate && !pass)
        DLF_TRY_DONE(bench_gate_open(gate, &ours, s->o->distort & DLF_DISTORT_WRONG));
    DLF_TRY_DONE(enlist(s, &t, &ours, &copy, s->o->gate && !pass ? gate : NULL));
    bench_gate_close(gate);
    if (!pass) {
        DLF_TRY_DONE(introduce(s, &t, row));
        note_sizes(s, row, &ours, &copy);
    }
    bench_telemetry_begin(s->telemetry);
    DLF_TRY_DONE(some_rounds(s, &t, row, pass));
    bench_telemetry_join(&row->telemetry, bench_telemetry_end(s->telemetry), pass);
    row->pass_end[row->passes++] = row->rounds;
    for (int i = 0; i < t.n; i++) {
        row->runner[i].launches = t.runner[i].launches;
        row->runner[i].host_ns =
            pass ? fmin(row->runner[i].host_ns, t.runner[i].host_ns) : t.runner[i].host_ns;
    }
    if (s->o->gate) DLF_TRY_DONE(bench_gate_again(gate, &ours));
    row->runner[0].check = gate->check;
    if (!(s->o->distort & DLF_DISTORT_SEQUENTIAL) && row->passes >= least_passes(s->o) &&
        row->rounds >= s->o->min_rounds && quiet_enough(s, row))
        row->stop = DLF_STOP_NOISE;
done:
    bench_gate_close(gate);
    release(&t);
    bench_peers_leave(s->peers);
    bench_subject_free(&copy);
    bench_subject_free(&ours);
    return status;
}
