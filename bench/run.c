/* SPDX-License-Identifier: MIT
 * run.c -- all cases, in passes: what differs from pass to pass (memory, the machine's speed)
 * shows. */
#include <stdlib.h>
#include <string.h>

#include "backend/measure.h"
#include "bench/ceilings.h"
#include "bench/manifest.h"
#include "bench/measure.h"
#include "bench/pin.h"
#include "bench/store.h"

static dlf_status session_open(bench_session *s, const dlf_bench_options *o)
{
    *s = (bench_session){.o = o};
    DLF_TRY(bench_evictor_new(&s->evictor, o->device));
    DLF_TRY(bench_subject_gemm(&s->gemm, o->device));
    s->telemetry = bench_telemetry_open(o->device);
    DLF_TRY(bench_peers_open(&s->peers, o));
    DLF_TRY(s->gemm.call(&s->gemm)); /* has all threads started */
    DLF_TRY(dlf_device_sync(o->device));
    if (o->pin) s->pinning = bench_pin(o->device); /* after the peers: a child inherits it */
    return DLF_OK;
}

static void session_close(bench_session *s)
{
    bench_unpin(s->pinning);
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

/* An interrupted first pass leaves the cases that it did not reach out of the report. */
static dlf_status one_pass(bench_session *s, dlf_bench_report *r, bench_gate *gates, int n,
                           int pass)
{
    const int passes = bench_passes(s->o);
    if (pass) { /* a child inherits where its parent may run */
        bench_unpin(s->pinning);
        s->pinning = NULL;
        DLF_TRY(bench_peers_renew(s->peers, pass));
        if (s->o->pin) s->pinning = bench_pin(s->o->device);
    }
    for (int i = 0; i < n; i++) {
        char name[DLF_BENCH_NAME];
        dlf_bench_row *row = &r->rows[i];
        if (pass && (row->skipped[0] || row->stop == DLF_STOP_NOISE)) continue;
        dlf_bench_case_name(name, &row->c);
        if (s->o->cancel && *s->o->cancel)
            return dlf_fail(DLF_ERR_CANCELLED,
                            "interrupted in pass %d of %d; %d of %d cases are kept", pass + 1,
                            passes, r->n, n);
        if (s->o->progress)
            s->o->progress(s->o->user, ((double)pass * n + i) / ((double)passes * n), name);
        const dlf_status status = bench_time_case(s, row, &gates[i], pass);
        if (status != DLF_OK && !is_refusal(status)) return status;
        if (status != DLF_OK)
            snprintf(row->skipped, sizeof row->skipped, "%s", dlf_error_message());
        if (!pass) r->n = i + 1;
    }
    return DLF_OK;
}

static dlf_status run_passes(bench_session *s, dlf_bench_report *r, int n)
{
    bench_gate *gates = calloc((size_t)n, sizeof *gates);
    if (!gates) return dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for %d cases", n);
    dlf_status status = DLF_OK;
    for (int pass = 0; pass < bench_passes(s->o) && status == DLF_OK; pass++)
        status = one_pass(s, r, gates, n, pass);
    free(gates);
    return status;
}

/* The first kernel that disagrees with its definition. */
static dlf_status judge_gates(const dlf_bench_report *r)
{
    for (int i = 0; i < r->n; i++) {
        char name[DLF_BENCH_NAME];
        const dlf_bench_check *c = &r->rows[i].runner[0].check;
        if (c->done && !c->ok)
            return dlf_fail(DLF_ERR_SELF_CHECK,
                            "a kernel disagrees with its definition, its times mean nothing: %s: "
                            "off by %.3g (tolerance %.3g)",
                            dlf_bench_case_name(name, &r->rows[i].c), c->error, c->tolerance);
    }
    return DLF_OK;
}

static dlf_bench_report *new_report(const dlf_bench_case *cases, int n)
{
    dlf_bench_report *r = calloc(1, sizeof *r);
    if (r) r->rows = calloc((size_t)(n ? n : 1), sizeof *r->rows);
    if (r && r->rows) {
        for (int i = 0; i < n; i++) r->rows[i].c = cases[i];
        return r;
    }
    free(r);
    return NULL;
}

dlf_status dlf_bench_run(dlf_bench_report **out, const dlf_bench_case *cases, int n,
                         const dlf_bench_options *options, const char *command)
{
    *out = NULL;
    bench_session s;
    dlf_bench_report *r = new_report(cases, n);
    if (!r) return dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for %d rows", n);
    const double start = bench_seconds();
    char started[32];
    bench_utc_now(started, sizeof started);
    dlf_status status = session_open(&s, options);
    const bool cold = !options->modes || options->modes & 1u << DLF_BENCH_COLD;
    if (status == DLF_OK && options->ceilings && cold) status = bench_ceilings(&s, r, cases, n);
    if (status == DLF_OK) status = run_passes(&s, r, n);
    r->complete = status == DLF_OK;
    r->spec_gb_per_s = bench_telemetry_spec(s.telemetry);
    if (r->spec_gb_per_s <= 0.0 && !strcmp(options->device->backend->name, "cuda"))
        r->spec_gb_per_s = dlf_cuda_memory_info(options->device).spec_gb_per_s;
    if (status == DLF_OK || status == DLF_ERR_CANCELLED) {
        const char *peers[DLF_BENCH_RUNNERS] = {NULL};
        bench_peers_versions(s.peers, peers);
        const bench_circumstances c = {command, started, bench_seconds() - start, peers,
                                       bench_pinned(s.pinning)};
        const dlf_status described = bench_manifest(&r->manifest, options, &c);
        if (described != DLF_OK) status = described;
    }
    session_close(&s);
    if (status != DLF_OK && status != DLF_ERR_CANCELLED) {
        dlf_bench_report_free(r);
        return status;
    }
    *out = r;
    return status == DLF_OK ? judge_gates(r) : status;
}

void dlf_bench_report_free(dlf_bench_report *r)
{
    if (!r) return;
    for (int i = 0; i < r->n; i++) bench_drop_samples(&r->rows[i]);
    for (int i = 0; i < r->n_ceilings; i++) bench_drop_samples(&r->ceilings[i]);
    free(r->rows);
    free(r->ceilings);
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
