/* SPDX-License-Identifier: MIT */
/* Shared memory of a block, and asynchronous copies into it. */
#include "simt_rt.h"

#include <algorithm>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

namespace simt
{

/* ---- the arena ----
 * Filled with 0xFF before each block, red zones included: a float read before it was written, or
 * read past the end of an array, is a NaN. AddressSanitizer reports accesses to the red zones; in
 * other builds a changed red zone is found when the block ends. */

static void arena_reset()
{
    Scheduler &s = *sched;
#if defined(SIMT_TSAN)
    /* Mapped anew, so that the race detector forgets the accesses of the block before. */
    Quiet quiet;
    const int fixed = s.arena ? MAP_FIXED : 0;
    s.arena = static_cast<char *>(mmap(s.arena, arena_bytes, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0));
    if (s.arena == MAP_FAILED) abort();
#else
    if (!s.arena) s.arena = static_cast<char *>(aligned_alloc(4096, arena_bytes));
#endif
#if defined(SIMT_ASAN)
    __asan_poison_memory_region(s.arena, arena_bytes);
#endif
    s.arena_used = 0;
}

static char *arena_take(size_t size, size_t align)
{
    Scheduler &s = *sched;
    const size_t begin = (s.arena_used + red_zone_bytes + align - 1) & ~(align - 1);
    const size_t end = begin + size;
    if (end + red_zone_bytes > arena_bytes)
        fail(Site{nullptr, 0, 0}, "shared memory and its red zones do not fit into the arena");
#if defined(SIMT_ASAN)
    __asan_unpoison_memory_region(s.arena + begin, size);
    memset(s.arena + begin, 0xFF, size);
#else
    /* From behind the red zone of the array before: that one may have been written to already. */
    const size_t from = s.arena_used ? s.arena_used + red_zone_bytes : 0;
    memset(s.arena + from, 0xFF, end + red_zone_bytes - from);
#endif
    s.arena_used = end;
    return s.arena + begin;
}

#if !defined(SIMT_ASAN)
static bool zone_is_intact(const char *p)
{
    for (size_t i = 0; i < red_zone_bytes; i++)
        if (static_cast<unsigned char>(p[i]) != 0xFF) return false;
    return true;
}
static void check_zones(const char *name, const char *p, size_t size)
{
    if (!zone_is_intact(p - red_zone_bytes))
        fail(Site{nullptr, 0, 0}, "wrote before the start of shared array '%s'", name);
    if (!zone_is_intact(p + size))
        fail(Site{nullptr, 0, 0}, "wrote past the end of shared array '%s'", name);
}
#endif

void shared_begin(size_t dynamic_bytes)
{
    Scheduler &s = *sched;
    arena_reset();
    s.n_vars = 0;
    s.static_size = 0;
    s.dynamic_size = dynamic_bytes;
    const size_t align = 128; /* what DLF_DYN_SHARED promises */
    s.dynamic = dynamic_bytes ? arena_take(dynamic_bytes, align) : nullptr;
}

void shared_end()
{
#if !defined(SIMT_ASAN)
    Scheduler &s = *sched;
    if (s.dynamic) check_zones("(dynamic)", s.dynamic, s.dynamic_size);
    for (int i = 0; i < s.n_vars; i++) check_zones(s.vars[i].name, s.vars[i].p, s.vars[i].size);
#endif
}

void *shared_static(const void *key, size_t size, size_t align, const char *name, Site site)
{
    Quiet quiet;
    Scheduler &s = *sched;
    for (int i = 0; i < s.n_vars; i++)
        if (s.vars[i].key == key) return s.vars[i].p;
    if (s.n_vars == shared_vars_max)
        fail(site, "more than %d shared arrays in one kernel", shared_vars_max);
    s.static_size += size;
    if (s.static_size > SIMT_SMEM_STATIC_MAX)
        fail(site, "'%s' brings static shared memory to %zu bytes, over the limit of %d", name,
             s.static_size, static_cast<int>(SIMT_SMEM_STATIC_MAX));
    if (s.static_size + s.dynamic_size > SIMT_SMEM_MAX)
        fail(site, "'%s' brings shared memory to %zu static + %zu dynamic bytes, over %d", name,
             s.static_size, s.dynamic_size, static_cast<int>(SIMT_SMEM_MAX));
    char *p = arena_take(size, std::max<size_t>(align, 16));
    s.vars[s.n_vars++] = {key, name, p, size};
    return p;
}

void *shared_dynamic()
{
    return sched->dynamic;
}

/* ---- cp.async ---- */

void async_begin()
{
    Scheduler &s = *sched;
    if (!s.async_used) return;
    for (AsyncQueue &q : s.async) {
        q.copies.clear();
        q.committed = 0;
    }
    s.async_used = false;
}

void cp_async(void *dst, const void *src, unsigned size, unsigned valid, Site site)
{
    if (size != 4 && size != 8 && size != 16)
        fail(site, "cp.async of %u bytes: 4, 8 or 16 are possible", size);
    if (valid > size) fail(site, "cp.async of %u bytes, %u of them valid", size, valid);
    if ((reinterpret_cast<uintptr_t>(dst) | reinterpret_cast<uintptr_t>(src)) & (size - 1))
        fail(site, "cp.async: an address is not aligned to %u bytes", size);
#if defined(SIMT_ASAN)
    /* The copy itself happens later, in a place that would tell nothing. */
    if (valid && __asan_region_is_poisoned(const_cast<void *>(src), valid))
        fail(site, "cp.async reads outside an allocation");
#endif
    Quiet quiet;
    Scheduler &s = *sched;
    memset(dst, 0xFF, size);
    AsyncQueue &q = s.async[self->linear];
    q.copies.push_back({dst, src, size, valid, q.committed});
    s.async_used = true;
}

void cp_async_commit()
{
    sched->async[self->linear].committed++;
}

/* Completes all groups but the last `pending` ones. */
void cp_async_wait(unsigned pending)
{
    AsyncQueue &q = sched->async[self->linear];
    size_t done = 0;
    for (; done < q.copies.size(); done++) {
        const AsyncCopy &c = q.copies[done];
        if (c.group + pending >= q.committed) break;
#if defined(SIMT_TSAN)
        __tsan_read_range(const_cast<void *>(c.src), c.valid);
        __tsan_write_range(c.dst, c.size);
#endif
        Quiet quiet;
        memcpy(c.dst, c.src, c.valid);
        memset(static_cast<char *>(c.dst) + c.valid, 0, c.size - c.valid);
    }
    Quiet quiet;
    q.copies.erase(q.copies.begin(), q.copies.begin() + static_cast<ptrdiff_t>(done));
}

} // namespace simt
