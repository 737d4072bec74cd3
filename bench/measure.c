/* SPDX-License-Identifier: MIT
 * measure.c -- the rounds: who goes next, and when it is enough. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/gate.h"
#include "bench/manifest.h"
#include "bench/peers.h"
#include "bench/telemetry.h"
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

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- one case ------------------------------------------------------------------------------- */

typedef struct session {
    const dlf_bench_options *o;
    bench_evictor evictor;
    bench_subject gemm; /* one for all cases */
    bench_peers *peers;
    bench_telemetry *telemetry;
} session;

typedef struct round_table {
    bench_runner runner[DLF_BENCH_RUNNERS];
    int n;
    double *ns[DLF_BENCH_RUNNERS][DLF_BENCH_MODES];
} round_table;

static void release(round_table *t)
{
    for (int i = 0; i < t->n; i++)
        if (t->runner[i].release) t->runner[i].release(&t->runner[i]);
}

static bool takes(const session *s, const round_table *t, int i, int mode)
{
    const unsigned wanted = s->o->modes ? s->o->modes : ~0u;
    return t->runner[i].modes & wanted & 1u << mode;
}

static dlf_status allocate(const session *s, round_table *t)
{
    for (int i = 0; i < t->n; i++)
        for (int m = 0; m < DLF_BENCH_MODES; m++) {
            if (!takes(s, t, i, m)) continue;
            t->ns[i][m] = calloc((size_t)s->o->max_rounds, sizeof(double));
            if (!t->ns[i][m]) return dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for the samples");
        }
    return DLF_OK;
}

/* The (mode, runner) pairs of a round, in an order drawn for it. */
static int order_of(int *order, const session *s, const round_table *t, int round)
{
    int n = 0;
    for (int m = 0; m < DLF_BENCH_MODES; m++)
        for (int i = 0; i < t->n; i++)
            if (takes(s, t, i, m)) order[n++] = m * DLF_BENCH_RUNNERS + i;
    for (int k = n - 1; k > 0; k--) { /* Fisher & Yates */
        const uint32_t bits = dlf_rng_bits(s->o->seed, dlf_stream(DLF_PURPOSE_SHUFFLE, 0),
                                           (uint32_t)round, (uint64_t)k);
        const int j = (int)((uint64_t)bits * (uint64_t)(k + 1) >> 32), swap = order[k];
        order[k] = order[j];
        order[j] = swap;
    }
    return n;
}

static dlf_status one_sample(round_table *t, int mode, int i, int round)
{
    return t->runner[i].sample(&t->runner[i], (dlf_bench_mode)mode, &t->ns[i][mode][round]);
}

static dlf_status one_round(const session *s, round_table *t, int round)
{
    int order[DLF_BENCH_RUNNERS * DLF_BENCH_MODES];
    const int n = order_of(order, s, t, round);
    for (int k = 0; k < n; k++)
        DLF_TRY(one_sample(t, order[k] / DLF_BENCH_RUNNERS, order[k] % DLF_BENCH_RUNNERS, round));
    return DLF_OK;
}

/* Half the interval of every median of ours and the peers', relative: below what was asked for? */
static bool quiet_enough(const session *s, const round_table *t, int rounds)
{
    for (int i = 0; i < t->n; i++)
        for (int m = 0; m < DLF_BENCH_MODES; m++) {
            if (!t->ns[i][m]) continue;
            const dlf_bench_stats q = dlf_bench_stats_of(t->ns[i][m], rounds);
            if (!(0.5 * (q.hi - q.lo) <= s->o->max_noise * q.median)) return false;
        }
    return true;
}

/* A beginner's mistake on purpose: one runner after the other. */
static dlf_status sequential(const session *s, round_table *t, dlf_bench_row *row)
{
    row->rounds = s->o->max_rounds;
    row->stop = DLF_STOP_SEQUENTIAL;
    for (int i = 0; i < t->n; i++)
        for (int m = 0; m < DLF_BENCH_MODES; m++)
            for (int k = 0; t->ns[i][m] && k < row->rounds; k++) DLF_TRY(one_sample(t, m, i, k));
    return DLF_OK;
}

static dlf_status all_rounds(const session *s, round_table *t, dlf_bench_row *row)
{
    if (s->o->distort & DLF_DISTORT_SEQUENTIAL) return sequential(s, t, row);
    const double start = seconds_now();
    row->stop = DLF_STOP_ROUNDS;
    while (row->rounds < s->o->max_rounds) {
        DLF_TRY(one_round(s, t, row->rounds++));
        if (row->rounds < s->o->min_rounds) continue;
        if (row->rounds % 8 == 0 && quiet_enough(s, t, row->rounds)) {
            row->stop = DLF_STOP_NOISE;
            break;
        }
        if (seconds_now() - start > s->o->seconds) {
            row->stop = DLF_STOP_TIME;
            break;
        }
    }
    row->seconds = seconds_now() - start;
    return DLF_OK;
}

static dlf_status enlist(session *s, round_table *t, bench_subject *ours, bench_subject *copy,
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
    return bench_peers_join(s->peers, t->runner, &t->n, ours, s->o->gate ? gate : NULL,
                            &s->evictor);
}

/* The samples become the row's. */
static void hand_over(dlf_bench_row *row, round_table *t)
{
    row->n_runners = t->n;
    for (int i = 0; i < t->n; i++) {
        memcpy(row->runner[i].name, t->runner[i].name, sizeof row->runner[i].name);
        memcpy(row->runner[i].note, t->runner[i].note, sizeof row->runner[i].note);
        row->runner[i].check = t->runner[i].check;
        for (int m = 0; m < DLF_BENCH_MODES; m++) {
            row->runner[i].ns[m] = t->ns[i][m];
            t->ns[i][m] = NULL;
        }
    }
}

static dlf_status time_case(session *s, dlf_bench_row *row)
{
    bench_subject ours = {.device = NULL}, copy = {.device = NULL};
    round_table t = {.n = 0};
    bench_gate gate = {.hash = 0};
    dlf_status status;
    DLF_TRY_DONE(
        bench_subject_new(&ours, s->o->device, &row->c, s->o->distort & DLF_DISTORT_ZEROS));
    DLF_TRY_DONE(bench_subject_copy(&copy, &ours));
    if (s->o->gate) DLF_TRY_DONE(bench_gate_open(&gate, &ours, s->o->distort & DLF_DISTORT_WRONG));
    DLF_TRY_DONE(enlist(s, &t, &ours, &copy, &gate));
    bench_gate_close(&gate);
    DLF_TRY_DONE(allocate(s, &t));
    bench_telemetry_begin(s->telemetry);
    DLF_TRY_DONE(all_rounds(s, &t, row));
    row->telemetry = bench_telemetry_end(s->telemetry);
    if (s->o->gate) DLF_TRY_DONE(bench_gate_again(&gate, &ours));
    const double lie = s->o->distort & DLF_DISTORT_BYTES ? 2.0 : 1.0;
    row->bytes = lie * ours.bytes;
    row->bytes_moved = lie * ours.bytes_moved;
    row->copy_bytes = copy.bytes;
    row->flops = ours.flops;
    hand_over(row, &t);
    row->runner[0].check = gate.check;
done:
    bench_gate_close(&gate);
    release(&t);
    bench_peers_leave(s->peers);
    for (int i = 0; i < DLF_BENCH_RUNNERS; i++)
        for (int m = 0; m < DLF_BENCH_MODES; m++) free(t.ns[i][m]);
    bench_subject_free(&copy);
    bench_subject_free(&ours);
    return status;
}

/* ---- all cases ------------------------------------------------------------------------------ */

static dlf_status session_open(session *s, const dlf_bench_options *o)
{
    *s = (session){.o = o};
    DLF_TRY(bench_evictor_new(&s->evictor, o->device));
    DLF_TRY(bench_subject_gemm(&s->gemm, o->device));
    s->telemetry = bench_telemetry_open(o->device);
    return bench_peers_open(&s->peers, o);
}

static void session_close(session *s)
{
    bench_peers_close(s->peers);
    bench_telemetry_close(s->telemetry);
    bench_subject_free(&s->gemm);
    bench_evictor_free(&s->evictor);
}

/* Versions that there are not, types and shapes that a kernel does not take: no failure of the run.
 */
static bool is_refusal(dlf_status status)
{
    return status == DLF_ERR_NO_KERNEL || status == DLF_ERR_SHAPE || status == DLF_ERR_OOM;
}

static dlf_status run_cases(session *s, dlf_bench_report *r, const dlf_bench_case *cases, int n,
                            char *wrong, size_t size)
{
    for (int i = 0; i < n; i++) {
        char name[DLF_BENCH_NAME];
        dlf_bench_row *row = &r->rows[i];
        *row = (dlf_bench_row){.c = cases[i]};
        dlf_bench_case_name(name, &row->c);
        if (s->o->cancel && *s->o->cancel)
            return dlf_fail(DLF_ERR_CANCELLED, "interrupted; %d of %d cases are kept", i, n);
        if (s->o->progress) s->o->progress(s->o->user, (double)i / n, name);
        const dlf_status status = time_case(s, row);
        if (status != DLF_OK && !is_refusal(status)) return status;
        if (status != DLF_OK)
            snprintf(row->skipped, sizeof row->skipped, "%s", dlf_error_message());
        const dlf_bench_check *c = &row->runner[0].check;
        if (c->done && !c->ok && !*wrong)
            snprintf(wrong, size, "%s: off by %.3g (tolerance %.3g)", name, c->error, c->tolerance);
        r->n = i + 1;
    }
    return DLF_OK;
}

dlf_status dlf_bench_run(dlf_bench_report **out, const dlf_bench_case *cases, int n,
                         const dlf_bench_options *options, const char *command)
{
    *out = NULL;
    session s;
    char wrong[256] = "";
    dlf_bench_report *r = calloc(1, sizeof *r);
    dlf_status status;
    if (r) r->rows = calloc((size_t)n, sizeof *r->rows);
    if (!r || !r->rows) {
        free(r);
        return dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for %d rows", n);
    }
    const double start = seconds_now();
    char started[32];
    bench_utc_now(started, sizeof started);
    status = session_open(&s, options);
    if (status == DLF_OK) status = run_cases(&s, r, cases, n, wrong, sizeof wrong);
    r->complete = status == DLF_OK;
    if (status == DLF_OK || status == DLF_ERR_CANCELLED) {
        const char *peers[DLF_BENCH_RUNNERS] = {NULL};
        bench_peers_versions(s.peers, peers);
        const dlf_status described =
            bench_manifest(&r->manifest, options, command, started, seconds_now() - start, peers);
        if (described != DLF_OK) status = described;
    }
    session_close(&s);
    if (status != DLF_OK && status != DLF_ERR_CANCELLED) {
        dlf_bench_report_free(r);
        return status;
    }
    *out = r;
    if (status == DLF_OK && *wrong)
        return dlf_fail(DLF_ERR_SELF_CHECK,
                        "a kernel disagrees with its definition, its times mean nothing: %s",
                        wrong);
    return status;
}

void dlf_bench_report_free(dlf_bench_report *r)
{
    if (!r) return;
    for (int i = 0; i < r->n; i++)
        for (int k = 0; k < DLF_BENCH_RUNNERS; k++)
            for (int m = 0; m < DLF_BENCH_MODES; m++) free(r->rows[i].runner[k].ns[m]);
    free(r->rows);
    free(r->manifest);
    free(r);
}

/* ---- distortions ---------------------------------------------------------------------------- */

dlf_status dlf_bench_distortions(unsigned *out, const char *names)
{
    static const char *const known[] = {"zeros",    "sequential", "slow", "wrong",
                                        "no-evict", "bytes",      NULL};
    *out = 0;
    while (*names) {
        const size_t n = strcspn(names, ",");
        int which = 0;
        while (known[which] && (strlen(known[which]) != n || strncmp(known[which], names, n) != 0))
            which++;
        if (!known[which])
            return dlf_fail(
                DLF_ERR_NOT_FOUND,
                "--distort: there is no '%.*s'; there are zeros, sequential, slow, wrong, "
                "no-evict, bytes",
                (int)n, names);
        *out |= 1u << which;
        names += n + (names[n] == ',');
    }
    return DLF_OK;
}
