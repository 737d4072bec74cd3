/* SPDX-License-Identifier: MIT */
/* Warp operations: the rendezvous of the lanes, and what each operation then does. */
#include "simt_rt.h"

#include <string.h>

namespace simt
{

/* ---- rendezvous ---- */

/* Runs the operation that `lane` waits in, if everybody is there. A lane may be waiting with
 * another mask, in an operation of a smaller group; then this one is simply not complete yet. */
static bool try_complete(Warp &w, unsigned lane)
{
    const unsigned mask = w.mask[lane];
    const unsigned active = mask & w.alive;
    if ((w.pending & active) != active) return false;
    for (unsigned l = 0; l < 32; l++)
        if (active >> l & 1 && w.mask[l] != mask) return false;
    const WarpOp *op = w.op[lane];
    for (unsigned l = 0; l < 32; l++)
        if (active >> l & 1 && w.op[l] != op) {
            const Thread *t = &sched->threads[self->warp * 32 + lane];
            const Thread *other = &sched->threads[self->warp * 32 + l];
            fail(t->site, "lane %u is in %s, but lane %u of the same mask %08x in %s at %s:%d",
                 lane, t->waits_in, l, mask, other->waits_in, other->site.file, other->site.line);
        }
    w.call.mask = mask;
    w.call.active = active;
    op->run(w.call);
    w.pending &= ~active;
    w.generation++;
    return true;
}

/* Pushed in reverse, so that seed 0 resumes low lanes first. */
static void wake_all_but(unsigned warp, unsigned lane)
{
    Scheduler &s = *sched;
    for (unsigned l = 32; l-- > 0;)
        if (l != lane && s.warps[warp].call.active >> l & 1)
            s.ready.push_back(&s.threads[warp * 32 + l]);
}

void warp_call(const WarpOp &op, unsigned mask, const void *in, void *out, int arg, Site site)
{
    Quiet quiet;
    Thread *t = self;
    Warp &w = sched->warps[t->warp];
    const unsigned lane = t->lane;
    t->site = site;
    t->waits_in = op.name;
    if (!(mask >> lane & 1))
        fail(site, "%s: the calling lane %u is not in mask %08x", op.name, lane, mask);
    w.call.in[lane] = in;
    w.call.out[lane] = out;
    w.call.arg[lane] = arg;
    w.mask[lane] = mask;
    w.op[lane] = &op;
    w.pending |= 1u << lane;
    if (try_complete(w, lane))
        wake_all_but(t->warp, lane);
    else
        wait_as(t, State::at_warp_op);
}

/* The others need not wait for a lane that has returned from the kernel. */
void warp_lane_exits(Thread *thread)
{
    Warp &w = sched->warps[thread->warp];
    const unsigned nobody = 32;
    w.alive &= ~(1u << thread->lane);
    for (unsigned l = 0; l < 32; l++)
        if (w.pending >> l & 1 && try_complete(w, l)) wake_all_but(thread->warp, nobody);
}

/* ---- __syncwarp: of all warp operations the only one that orders memory ---- */

static void run_syncwarp(WarpCall &) {}
static const WarpOp syncwarp_op = {"__syncwarp", run_syncwarp};

void syncwarp(unsigned mask, Site site)
{
    const unsigned warp = self->warp;
    char *tag = barrier_tag(FIRST_WARP_TAG + warp, sched->warps[warp].generation);
    tsan_release(tag);
    warp_call(syncwarp_op, mask, nullptr, nullptr, 0, site);
    tsan_acquire(tag);
}

/* ---- operations ---- */

template <class Body> static void for_active(const WarpCall &call, Body body)
{
    for (int l = 0; l < 32; l++)
        if (call.active >> l & 1) body(l);
}

/* Reading a lane that does not take part is undefined: gives all ones, a NaN. */
template <size_t size> static void run_shuffle(WarpCall &call)
{
    unsigned char result[32][size];
    for_active(call, [&](int l) {
        const int source = call.arg[l];
        if (call.active >> source & 1)
            memcpy(result[l], call.in[source], size);
        else
            memset(result[l], 0xFF, size);
    });
    for_active(call, [&](int l) { memcpy(call.out[l], result[l], size); });
}

const WarpOp &shuffle_op(Shuffle kind, size_t size)
{
    /* One object for each kind and size: lanes that meet in different ones are an error. */
    static const WarpOp ops[4][3] = {
        {{"__shfl_sync", run_shuffle<2>},
         {"__shfl_sync", run_shuffle<4>},
         {"__shfl_sync", run_shuffle<8>}},
        {{"__shfl_up_sync", run_shuffle<2>},
         {"__shfl_up_sync", run_shuffle<4>},
         {"__shfl_up_sync", run_shuffle<8>}},
        {{"__shfl_down_sync", run_shuffle<2>},
         {"__shfl_down_sync", run_shuffle<4>},
         {"__shfl_down_sync", run_shuffle<8>}},
        {{"__shfl_xor_sync", run_shuffle<2>},
         {"__shfl_xor_sync", run_shuffle<4>},
         {"__shfl_xor_sync", run_shuffle<8>}},
    };
    return ops[static_cast<int>(kind)][size == 2 ? 0 : size == 4 ? 1 : 2];
}

static void run_ballot(WarpCall &call)
{
    unsigned votes = 0;
    for_active(call, [&](int l) { votes |= static_cast<unsigned>(call.arg[l] != 0) << l; });
    for_active(call, [&](int l) { memcpy(call.out[l], &votes, sizeof votes); });
}
const WarpOp ballot_op = {"__ballot_sync, __any_sync or __all_sync", run_ballot};

template <size_t size> static void run_match_any(WarpCall &call)
{
    unsigned result[32];
    for_active(call, [&](int l) {
        result[l] = 0;
        for_active(call, [&](int other) {
            if (!memcmp(call.in[l], call.in[other], size)) result[l] |= 1u << other;
        });
    });
    for_active(call, [&](int l) { memcpy(call.out[l], &result[l], sizeof result[l]); });
}
template <size_t size> static void run_match_all(WarpCall &call)
{
    const int first = __builtin_ctz(call.active);
    unsigned result = call.mask;
    for_active(call, [&](int l) {
        if (memcmp(call.in[l], call.in[first], size)) result = 0;
    });
    for_active(call, [&](int l) { memcpy(call.out[l], &result, sizeof result); });
}
const WarpOp &match_op(bool all, size_t size)
{
    static const WarpOp ops[2][2] = {
        {{"__match_any_sync", run_match_any<4>}, {"__match_any_sync", run_match_any<8>}},
        {{"__match_all_sync", run_match_all<4>}, {"__match_all_sync", run_match_all<8>}},
    };
    return ops[all][size == 8];
}

/* Bits are the same for int and unsigned, except in comparisons. */
template <Reduce kind, class T> static T combine(T a, T b)
{
    switch (kind) {
    case Reduce::add: return static_cast<T>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
    case Reduce::min: return a < b ? a : b;
    case Reduce::max: return a < b ? b : a;
    case Reduce::bit_and: return a & b;
    case Reduce::bit_or: return a | b;
    default: return a ^ b;
    }
}
template <Reduce kind, class T> static void run_reduce(WarpCall &call)
{
    T result;
    memcpy(&result, call.in[__builtin_ctz(call.active)], sizeof result);
    unsigned rest = call.active & (call.active - 1);
    for (; rest; rest &= rest - 1) {
        T value;
        memcpy(&value, call.in[__builtin_ctz(rest)], sizeof value);
        result = combine<kind>(result, value);
    }
    for_active(call, [&](int l) { memcpy(call.out[l], &result, sizeof result); });
}
const WarpOp &reduce_op(Reduce kind, bool is_signed)
{
#define BOTH(name, kind)                                                                           \
    {                                                                                              \
        {name, run_reduce<Reduce::kind, uint32_t>},                                                \
        {                                                                                          \
            name, run_reduce<Reduce::kind, int32_t>                                                \
        }                                                                                          \
    }
    static const WarpOp ops[6][2] = {
        BOTH("__reduce_add_sync", add),   BOTH("__reduce_min_sync", min),
        BOTH("__reduce_max_sync", max),   BOTH("__reduce_and_sync", bit_and),
        BOTH("__reduce_or_sync", bit_or), BOTH("__reduce_xor_sync", bit_xor),
    };
#undef BOTH
    return ops[static_cast<int>(kind)][is_signed];
}

} // namespace simt
