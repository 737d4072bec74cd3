/* SPDX-License-Identifier: MIT
 * ceilings.c -- what the machine gives to ops that do next to nothing, at the sizes of a run's
 * cases, measured before them; and what that leaves of a row. */
#include "bench/ceilings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a size class are powers of four: 16 KiB to 1 GiB, beyond which nothing changes. */
enum { LEAST_CLASS = 7, MOST_CLASS = 15 };
/* Per ceiling; the anchors, which are timed along, take two thirds of it. */
static const double seconds_each = 0.15;

/* ---- which ---------------------------------------------------------------------------------- */

static double elements_of(const dlf_bench_case *c)
{
    double n = 1.0;
    for (int i = 0; i < c->ndim; i++) n *= (double)c->shape[i];
    return n;
}

static double out_side(const dlf_bench_case *c, int axis)
{
    return floor((double)(c->shape[axis] + 2 * c->pad - c->kernel) / (double)c->stride) + 1.0;
}

static double outputs_of(const dlf_bench_case *c)
{
    return c->outputs ? (double)(c->shape[0] * c->outputs) * out_side(c, 2) * out_side(c, 3)
                      : elements_of(c);
}

/* What a forward pass reads and writes, but for the small operands. */
static double bytes_of(const dlf_bench_case *c)
{
    return (double)dlf_dtype_size(c->dtype) * (elements_of(c) + outputs_of(c));
}

static int size_class(double bytes)
{
    const double k = floor(0.5 * log2(bytes) + 0.5);
    return (int)fmin(fmax(k, LEAST_CLASS), MOST_CLASS);
}

/* Of a convolution, whose time may be that of its products; else 0. */
static double flops_of(const dlf_bench_case *c)
{
    if (!c->outputs) return 0.0;
    return 2.0 * outputs_of(c) * (double)(c->shape[1] / c->groups * c->kernel * c->kernel);
}

/* The side, a power of two, of a square product of about as much work. The definition, which the
 * gate needs, takes long for more than 512. */
static int64_t side_of(double flops, bool gpu)
{
    const double k = floor(log2(flops / 2.0) / 3.0 + 0.5);
    return (int64_t)1 << (int)fmin(fmax(k, 6.0), gpu ? 13.0 : 9.0);
}

typedef struct wish_list {
    dlf_bench_case *cases;
    int n, most;
} wish_list;

static void wish(wish_list *l, const char *op, int64_t elements, const dlf_bench_case *like)
{
    dlf_bench_case c = {
        .family = "ceiling", .direction = "move", .ndim = 1, .shape = {elements}, .groups = 32};
    snprintf(c.op, sizeof c.op, "%s", op);
    c.dtype = like ? like->dtype : DLF_F32;
    c.tf32 = like && like->tf32;
    for (int i = 0; i < l->n; i++)
        if (!strcmp(l->cases[i].op, op) && l->cases[i].shape[0] == elements &&
            l->cases[i].dtype == c.dtype && l->cases[i].tf32 == c.tf32)
            return;
    if (l->n < l->most) l->cases[l->n++] = c;
}

/* Small sizes first. */
static void wish_all(wish_list *l, const dlf_bench_case *cases, int n, bool gpu)
{
    static const struct {
        const char *op;
        int bytes; /* per element */
    } memory[] = {{"copy", 8}, {"add", 12}, {"read", 4}, {"write", 4}};
    for (int k = LEAST_CLASS; k <= MOST_CLASS; k++) {
        bool used = false;
        for (int i = 0; i < n; i++)
            used |= strcmp(cases[i].family, "ceiling") != 0 && size_class(bytes_of(&cases[i])) == k;
        for (int m = 0; used && m < 4; m++)
            wish(l, memory[m].op, ((int64_t)1 << 2 * k) / memory[m].bytes, NULL);
    }
    for (int i = 0; i < n; i++) {
        const double flops = flops_of(&cases[i]);
        const bool plain = cases[i].dtype == DLF_F32 && !cases[i].tf32;
        if (flops <= 0.0 || (!plain && !gpu)) continue;
        const int64_t side = side_of(flops, gpu);
        wish(l, plain ? "fma" : "tensor", side * side, &cases[i]);
    }
}

/* ---- measuring ------------------------------------------------------------------------------ */

static dlf_status time_all(bench_session *s, dlf_bench_report *r, const wish_list *l)
{
    for (int i = 0; i < l->n; i++) {
        char name[DLF_BENCH_NAME];
        bench_gate gate = {.yardstick = NULL};
        dlf_bench_row *row = &r->ceilings[i];
        row->c = l->cases[i];
        if (s->o->cancel && *s->o->cancel)
            return dlf_fail(DLF_ERR_CANCELLED, "interrupted before the first case");
        if (s->o->progress) s->o->progress(s->o->user, 0.0, dlf_bench_case_name(name, &row->c));
        const dlf_status status = bench_time_case(s, row, &gate, 0);
        r->n_ceilings = i + 1;
        if (status == DLF_ERR_NO_KERNEL || status == DLF_ERR_SHAPE || status == DLF_ERR_OOM)
            snprintf(row->skipped, sizeof row->skipped, "%s", dlf_error_message());
        else
            DLF_TRY(status);
    }
    return DLF_OK;
}

dlf_status bench_ceilings(bench_session *s, dlf_bench_report *r, const dlf_bench_case *cases, int n)
{
    const bool gpu = !strcmp(s->o->device->backend->name, "cuda");
    wish_list l = {.most = 4 * (MOST_CLASS - LEAST_CLASS + 1) + n};
    l.cases = calloc((size_t)l.most, sizeof *l.cases);
    r->ceilings = calloc((size_t)l.most, sizeof *r->ceilings);
    dlf_status status;
    dlf_bench_options o = *s->o;
    bench_session mine = *s;
    mine.o = &o;
    mine.peers = NULL;
    o.peers = o.baseline = NULL;
    o.modes = 1u << DLF_BENCH_COLD;
    o.passes = 1;
    o.min_rounds = o.max_rounds < 3 ? o.max_rounds : 3;
    o.seconds = fmin(o.seconds, seconds_each);
    o.distort = 0;
    if (!l.cases || !r->ceilings) {
        free(l.cases);
        return dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for the ceilings");
    }
    DLF_TRY_DONE(bench_peers_open(&mine.peers, &o));
    wish_all(&l, cases, n, gpu);
    DLF_TRY_DONE(time_all(&mine, r, &l));
done:
    bench_peers_close(mine.peers);
    free(l.cases);
    return status;
}

/* ---- what a row is below them --------------------------------------------------------------- */

static bool cold_rate(double *out, const dlf_bench_row *row, bool flops)
{
    dlf_bench_summary s;
    if (row->skipped[0] || !dlf_bench_summarise(&s, row, 0, DLF_BENCH_COLD, 1.0)) return false;
    *out = flops ? s.gflop_per_s : s.gb_per_s;
    return *out > 0.0;
}

/* Share of what the op reads in what it moves. */
static const struct {
    const char *op;
    double read;
} mixes[] = {{"copy", 0.5}, {"add", 2.0 / 3.0}, {"read", 1.0}, {"write", 0.0}};

/* NaN, of results of before it was stored: a copy. */
static const char *mix_of(double read_share)
{
    int best = 0;
    for (int i = 1; i < 4; i++)
        if (fabs(mixes[i].read - read_share) < fabs(mixes[best].read - read_share)) best = i;
    return mixes[best].op;
}

/* The rate at this size: between the ceilings below and above it linear in the logarithm of the
 * size, beyond them the last one's; NaN: there is none. */
static double rate_at(const dlf_bench_report *r, const char *op, const dlf_bench_case *like,
                      double size, bool flops)
{
    double below = 0.0, above = INFINITY, low = NAN, high = NAN, found;
    for (int i = 0; i < r->n_ceilings; i++) {
        const dlf_bench_row *row = &r->ceilings[i];
        const double at = flops ? row->flops : row->bytes;
        if (strcmp(row->c.op, op) != 0) continue;
        if (like && (row->c.dtype != like->dtype || row->c.tf32 != like->tf32)) continue;
        if (!cold_rate(&found, row, flops)) continue;
        if (at <= size && at > below) below = at, low = found;
        if (at >= size && at < above) above = at, high = found;
    }
    if (isnan(low) || isnan(high) || above == below) return isnan(low) ? high : low;
    return low + (high - low) * log(size / below) / log(above / below);
}

dlf_bench_roof dlf_bench_roof_of(const dlf_bench_report *r, const dlf_bench_row *row)
{
    dlf_bench_roof out = {NAN, NAN, NAN, false};
    dlf_bench_summary s;
    if (row->skipped[0] || !dlf_bench_summarise(&s, row, 0, DLF_BENCH_COLD, 1.0)) return out;
    if (s.mode != DLF_BENCH_COLD) return out; /* what is in a cache is not below this roof */
    const bool plain = row->c.dtype == DLF_F32 && !row->c.tf32;
    out.gb_per_s = rate_at(r, mix_of(row->read_share), NULL, row->bytes, false);
    if (row->c.outputs || (row->flops > 0.0 && !strcmp(row->c.family, "ceiling")))
        out.gflop_per_s = rate_at(r, plain ? "fma" : "tensor", &row->c, row->flops, true);
    const double moving = row->bytes / out.gb_per_s, computing = row->flops / out.gflop_per_s;
    out.compute_bound = computing > moving;
    out.share = (out.compute_bound ? computing : moving) / s.time.median;
    return out;
}
