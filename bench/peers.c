/* SPDX-License-Identifier: MIT
 * peers.c -- who competes, and what the peers inside this process share. */
#include "bench/peers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda_library.h"
#include "experiments/nearest.h"

enum { PEERS_MOST = DLF_BENCH_RUNNERS - 3 };

typedef struct contestant {
    char name[16];
    const bench_inside *inside; /* NULL: a process */
    void *state;
    bench_peer *process;
    char text[160]; /* version, or why it does not work here */
    bool works;
    bench_subject theirs;  /* of the case; device NULL: none */
    struct memory *memory; /* the last case first */
} contestant;

/* What the search for the fastest way of a case came to. */
typedef struct memory {
    struct memory *next;
    dlf_bench_case c;
    int way;
} memory;

struct bench_peers {
    const dlf_bench_options *o;
    contestant peer[PEERS_MOST];
    int n;
};

static const bench_inside *const insiders[] = {&bench_inside_cudnn, &bench_inside_cublaslt,
                                               &bench_inside_unfused};
enum { INSIDERS = sizeof insiders / sizeof *insiders };

static void warn(const dlf_bench_options *o, const char *text)
{
    if (o->warn) o->warn(o->user, text);
}

static memory *recall(contestant *c, const dlf_bench_case *of)
{
    for (memory *m = c->memory; m; m = m->next)
        if (!memcmp(&m->c, of, sizeof *of)) return m;
    memory *m = calloc(1, sizeof *m);
    if (!m) return NULL; /* then it is searched for again */
    m->c = *of;
    m->next = c->memory;
    return c->memory = m;
}

static void forget(contestant *c)
{
    for (memory *m = c->memory, *next; m; m = next) {
        next = m->next;
        free(m);
    }
    c->memory = NULL;
}

/* ---- opening -------------------------------------------------------------------------------- */

static void add_inside(bench_peers *p, const bench_inside *inside)
{
    contestant *c = &p->peer[p->n++];
    snprintf(c->name, sizeof c->name, "%s", inside->name);
    c->inside = inside;
    c->works = inside->open(&c->state, p->o->device, c->text, sizeof c->text);
    if (c->works) return;
    char line[256];
    snprintf(line, sizeof line, "peer %s: not available here: %s", inside->name, c->text);
    warn(p->o, line);
}

/* Kernels for one kind of GPU: few have them, so that naming them where they are not is no error.
 */
static bool needs_cuda(const char *name)
{
    return !strcmp(name, "liger") || !strcmp(name, "quack");
}

/* `must`: it was named, so that it not starting is an error. */
static dlf_status add_process(bench_peers *p, const char *name, bool must)
{
    contestant *c = &p->peer[p->n];
    snprintf(c->name, sizeof c->name, "%s", name);
    const bool allowed = !needs_cuda(name) || !strcmp(p->o->device->backend->name, "cuda");
    const dlf_status status = allowed ? bench_peer_start(&c->process, name, p->o)
                                      : dlf_fail(DLF_ERR_NOT_FOUND, "it needs --device cuda");
    if (status != DLF_OK && must) return status;
    p->n++;
    c->works = status == DLF_OK;
    if (c->works) {
        snprintf(c->text, sizeof c->text, "%s", bench_peer_version(c->process));
        return DLF_OK;
    }
    char line[512];
    snprintf(c->text, sizeof c->text, "%s", dlf_error_message());
    snprintf(line, sizeof line, "peer %s: not available here: %s", name, dlf_error_message());
    warn(p->o, line);
    return DLF_OK;
}

static dlf_status start_dlf(bench_peers *p, contestant *c, const char *name)
{
    bench_peer_stop(c->process);
    snprintf(c->name, sizeof c->name, "%s", name);
    c->process = NULL;
    c->works = false;
    DLF_TRY(bench_peer_start_dlf(&c->process, name, p->o));
    c->works = true;
    snprintf(c->text, sizeof c->text, "%s: %s", name, bench_peer_version(c->process));
    return DLF_OK;
}

dlf_status bench_peers_renew(bench_peers *p, int pass)
{
    static const char *const names[] = {DLF_BENCH_BEFORE, DLF_BENCH_NOW};
    if (!p->o->baseline) return DLF_OK;
    if (!p->n) p->n = 2;
    for (int i = 0; i < 2; i++) {
        const int which = (i + pass) % 2;
        DLF_TRY(start_dlf(p, &p->peer[which], names[which]));
    }
    return DLF_OK;
}

static bool is_in(const bench_peers *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (!strcmp(name, p->peer[i].name)) return true;
    return false;
}

static const bench_inside *inside_of(const char *name)
{
    for (int i = 0; i < INSIDERS; i++)
        if (!strcmp(insiders[i]->name, name)) return insiders[i];
    return NULL;
}

/* Into the next free place. */
static dlf_status add_one(bench_peers *p, const char *name, bool must)
{
    const bench_inside *inside = inside_of(name);
    if (is_in(p, name)) return DLF_OK;
    if (p->n == PEERS_MOST)
        return dlf_fail(DLF_ERR_ARG, "--against: at most %d peers, --baseline counts as two",
                        PEERS_MOST);
    if (!inside) return add_process(p, name, must);
    add_inside(p, inside);
    return DLF_OK;
}

/* Libraries that do not need what is not here are not asked for: no line about cuDNN on a CPU. */
static dlf_status add_best(bench_peers *p)
{
    DLF_TRY(add_one(p, "torch", false));
    if (strcmp(p->o->device->backend->name, "cuda") != 0) return DLF_OK;
    DLF_TRY(add_one(p, "cudnn", false));
    DLF_TRY(add_one(p, "cublaslt", false));
    DLF_TRY(add_one(p, "liger", false));
    return add_one(p, "quack", false);
}

static dlf_status add(bench_peers *p, const char *name)
{
    static const char *const known[] = {
        "torch", "torch-compile", "torch-layout", "onednn", "cudnn", "cublaslt",
        "liger", "quack",         "unfused",      "best",   NULL};
    if (!strcmp(name, "best")) return add_best(p);
    if (!strcmp(name, "copy")) return DLF_OK; /* an anchor of every row */
    if (!strcmp(name, "cublas")) name = "cublaslt";
    for (int i = 0; known[i]; i++)
        if (!strcmp(known[i], name)) return add_one(p, name, !needs_cuda(name));
    char hint[256];
    return dlf_fail(DLF_ERR_NOT_FOUND, "--against: there is no peer '%s'%s", name,
                    dlf_nearest(hint, sizeof hint, name, known));
}

dlf_status bench_peers_open(bench_peers **out, const dlf_bench_options *o)
{
    *out = NULL;
    bench_peers *p = calloc(1, sizeof *p);
    if (!p) return dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for peers");
    p->o = o;
    const dlf_status started = o->baseline ? bench_peers_renew(p, 0) : DLF_OK;
    if (started != DLF_OK) {
        bench_peers_close(p);
        return started;
    }
    for (const char *at = o->peers; at && *at;) {
        const size_t n = strcspn(at, ",");
        char name[16];
        snprintf(name, sizeof name, "%.*s", (int)(n < 15 ? n : 15), at);
        const dlf_status status = add(p, name);
        if (status != DLF_OK) {
            bench_peers_close(p);
            return status;
        }
        at += n + (at[n] == ',');
    }
    *out = p;
    return DLF_OK;
}

void bench_peers_close(bench_peers *p)
{
    if (!p) return;
    bench_peers_leave(p);
    for (int i = 0; i < p->n; i++) {
        contestant *c = &p->peer[i];
        bench_peer_stop(c->process);
        forget(c);
        if (c->inside && c->works) c->inside->close(c->state);
    }
    free(p);
}

void bench_peers_versions(const bench_peers *p, const char *out[DLF_BENCH_RUNNERS])
{
    int n = 0;
    for (int i = 0; i < p->n; i++)
        if (p->peer[i].works) out[n++] = p->peer[i].text;
    out[n] = NULL;
}

/* ---- a case --------------------------------------------------------------------------------- */

/* What is wrong is not timed, and told. */
static void tell_wrong(const bench_peers *p, bench_runner *r, const dlf_bench_case *c)
{
    char name[DLF_BENCH_NAME], line[256];
    if (!r->check.done || r->check.ok) return;
    snprintf(r->note, sizeof r->note, "WRONG: off by %.3g (tolerance %.3g)", r->check.error,
             r->check.tolerance);
    snprintf(line, sizeof line, "peer %s is %s and not timed: %s", r->name, r->note,
             dlf_bench_case_name(name, c));
    warn(p->o, line);
}

static dlf_status enlist(bench_peers *p, contestant *c, bench_runner *r, const bench_subject *ours,
                         bench_gate *gate, bench_evictor *e)
{
    dlf_bench_case plain = ours->c;
    char note[160] = "";
    plain.version = 0;
    DLF_TRY(bench_subject_new(&c->theirs, ours->device, &plain, ours->zeros));
    memory *m = recall(c, &ours->c);
    c->theirs.way = m ? m->way : 0;
    DLF_TRY(c->inside->take(c->state, &c->theirs, note, sizeof note));
    if (m) m->way = c->theirs.way;
    if (gate) DLF_TRY(bench_gate_peer(gate, &c->theirs, &r->check));
    tell_wrong(p, r, &c->theirs.c);
    if (gate && !r->check.ok) return DLF_OK;
    const dlf_bench_check check = r->check;
    DLF_TRY(bench_runner_of(r, c->inside->name, &c->theirs, e, p->o->hot_ns,
                            p->o->distort & DLF_DISTORT_NO_EVICT));
    r->check = check;
    snprintf(r->note, sizeof r->note, "%s", note);
    return DLF_OK;
}

/* That a peer cannot is a note, not a failure of the run. */
static dlf_status join(bench_peers *p, contestant *c, bench_runner *r, const bench_subject *ours,
                       bench_gate *gate, bench_evictor *e)
{
    *r = (bench_runner){.calls = 1, .launches = -1.0, .host_ns = NAN};
    snprintf(r->name, sizeof r->name, "%s", c->name);
    if (!c->works) {
        snprintf(r->note, sizeof r->note, "not available here: %.120s", c->text);
        return DLF_OK;
    }
    if (c->process) {
        DLF_TRY(bench_runner_of_peer(r, c->process, &ours->c, p->o->hot_ns,
                                     gate ? gate->check.tolerance : NAN));
        tell_wrong(p, r, &ours->c);
        return DLF_OK;
    }
    if (enlist(p, c, r, ours, gate, e) == DLF_OK) return DLF_OK;
    r->modes = 0;
    snprintf(r->note, sizeof r->note, "%s", dlf_error_message());
    return DLF_OK;
}

dlf_status bench_peers_join(bench_peers *p, bench_runner *runner, int *n, bench_subject *ours,
                            bench_gate *gate, bench_evictor *e)
{
    for (int i = 0; i < p->n; i++, ++*n) DLF_TRY(join(p, &p->peer[i], &runner[*n], ours, gate, e));
    return DLF_OK;
}

void bench_peers_leave(bench_peers *p)
{
    for (int i = 0; i < p->n; i++) {
        if (p->peer[i].theirs.device) bench_subject_free(&p->peer[i].theirs);
        p->peer[i].theirs = (bench_subject){.device = NULL};
    }
}

/* ---- what peers inside share ---------------------------------------------------------------- */

const size_t bench_workspace_most = (size_t)1 << 30;

bool bench_library_allowed(const dlf_device *device, const char *variable, char *text, size_t size)
{
    if (strcmp(device->backend->name, "cuda") != 0)
        snprintf(text, size, "it needs --device cuda");
    else if (!dlf_cuda_library_wanted(variable, device->info.name))
        snprintf(text, size, "in the test bed only one that %s names", variable);
    else
        return true;
    return false;
}

static dlf_status time_once(bench_subject *s, double *ns)
{
    const dlf_backend *b = s->device->backend;
    DLF_TRY(b->time_start(s->device));
    const dlf_status status = s->call(s);
    DLF_TRY(b->time_stop(s->device, ns));
    return status;
}

dlf_status bench_fastest(bench_subject *s, int n, dlf_status (*choose)(bench_subject *s, int which),
                         int *best)
{
    double least = 0.0;
    *best = s->way - 1;
    if (s->way && choose(s, *best) == DLF_OK && s->call(s) == DLF_OK) return DLF_OK;
    *best = -1;
    for (int i = 0; i < n; i++) {
        double ns = 0.0, once = 0.0;
        dlf_status status = choose(s, i);
        for (int k = 0; k < 4 && status == DLF_OK; k++) { /* the first warms up */
            status = time_once(s, &once);
            if (k == 1 || (k > 1 && once < ns)) ns = once;
        }
        if (status != DLF_OK || (*best >= 0 && !(ns < least))) continue;
        least = ns;
        *best = i;
    }
    if (*best < 0)
        return dlf_fail(DLF_ERR_NO_KERNEL, "none of %d plans runs%s%.100s", n,
                        n ? "; the last: " : "", n ? dlf_error_message() : "");
    s->way = *best + 1;
    return choose(s, *best);
}

dlf_status bench_retype(bench_subject *s, int i, dlf_dtype dtype)
{
    dlf_tensor *t = &s->t[i], changed;
    if (t->dtype == dtype) return DLF_OK;
    DLF_TRY(dlf_tensor_init(&changed, s->device, dtype, t->ndim, t->shape));
    double *host = malloc((size_t)dlf_tensor_count(t) * sizeof *host);
    dlf_status status = host ? DLF_OK : dlf_fail(DLF_ERR_OOM, "dlf bench: no host memory");
    if (status == DLF_OK) status = dlf_tensor_download_f64(host, t);
    if (status == DLF_OK) status = dlf_tensor_upload_f64(&changed, host);
    free(host);
    if (status != DLF_OK) {
        dlf_tensor_free(&changed);
        return status;
    }
    dlf_tensor_free(t);
    *t = changed;
    return DLF_OK;
}

dlf_status bench_workspace_new(bench_workspace *out, dlf_device *device, size_t bytes)
{
    *out = (bench_workspace){.device = device, .bytes = bytes};
    return bytes ? device->backend->alloc(device, &out->memory, bytes) : DLF_OK;
}

void bench_workspace_free(bench_workspace *w)
{
    if (w->memory) w->device->backend->release(w->device, w->memory, w->bytes);
    *w = (bench_workspace){.device = NULL};
}
