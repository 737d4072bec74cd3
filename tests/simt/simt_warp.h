/* SPDX-License-Identifier: MIT */
/* Warp intrinsics: shuffles, votes, match, reduce. Included by simt.h. */
#ifndef DLF_SIMT_WARP_H
#define DLF_SIMT_WARP_H

/* Mostly one-line definitions, which are easier to read as a table. */
/* clang-format off */

#include "simt_core.h"

namespace simt
{

template <class T>
SIMT_UNTRACED inline T shuffle(Shuffle kind, unsigned mask, T value, int source, Site site)
{
    T result;
    warp_call(shuffle_op(kind, sizeof(T)), mask, &value, &result, source, site);
    return result;
}

/* Lanes shuffle within segments of `width` lanes. As in the PTX ISA, only the low five bits of the
 * distance count, and a source outside of the segment means the lane itself. */
SIMT_UNTRACED inline int lane() { return static_cast<int>(self->lane); }
SIMT_UNTRACED inline int segment(int width) { return lane() & ~(width - 1); }
SIMT_UNTRACED inline int up_source(unsigned delta, int width)
{
    const int source = lane() - static_cast<int>(delta & 31);
    return source >= segment(width) ? source : lane();
}
SIMT_UNTRACED inline int down_source(unsigned delta, int width)
{
    const int source = lane() + static_cast<int>(delta & 31);
    return source < segment(width) + width ? source : lane();
}
/* Unlike up and down, xor may reach into a lower segment, but not into a higher one. */
SIMT_UNTRACED inline int bfly_source(int lane_mask, int width)
{
    const int source = lane() ^ (lane_mask & 31);
    return source < segment(width) + width ? source : lane();
}

SIMT_UNTRACED inline unsigned ballot(unsigned mask, int predicate, Site site)
{
    unsigned result;
    warp_call(ballot_op, mask, nullptr, &result, predicate != 0, site);
    return result;
}
template <class T> SIMT_UNTRACED inline unsigned match(bool all, unsigned mask, T value, Site site)
{
    unsigned result;
    warp_call(match_op(all, sizeof(T)), mask, &value, &result, 0, site);
    return result;
}
template <class T> SIMT_UNTRACED inline T reduce(Reduce kind, unsigned mask, T value, Site site)
{
    T result;
    warp_call(reduce_op(kind, static_cast<T>(-1) < 0), mask, &value, &result, 0, site);
    return result;
}

} // namespace simt

#define SIMT_SITE ::simt::Site site = ::simt::Site::here()

inline void __syncwarp(unsigned mask = 0xffffffffu, SIMT_SITE) { simt::syncwarp(mask, site); }

/* Overloads, not templates, so that a short is promoted to int as on the GPU. */
#define SIMT_SHUFFLES(T)                                                                           \
    SIMT_UNTRACED inline T __shfl_sync(unsigned mask, T value, int source, int width = 32,         \
                                       SIMT_SITE)                                                  \
    {                                                                                              \
        const int lane = ::simt::segment(width) + (source & (width - 1));                          \
        return ::simt::shuffle(::simt::Shuffle::idx, mask, value, lane, site);                     \
    }                                                                                              \
    SIMT_UNTRACED inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,  \
                                          SIMT_SITE)                                               \
    {                                                                                              \
        return ::simt::shuffle(::simt::Shuffle::up, mask, value, ::simt::up_source(delta, width),  \
                               site);                                                              \
    }                                                                                              \
    SIMT_UNTRACED inline T __shfl_down_sync(unsigned mask, T value, unsigned delta,                \
                                            int width = 32, SIMT_SITE)                             \
    {                                                                                              \
        return ::simt::shuffle(::simt::Shuffle::down, mask, value,                                 \
                               ::simt::down_source(delta, width), site);                           \
    }                                                                                              \
    SIMT_UNTRACED inline T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,  \
                                           SIMT_SITE)                                              \
    {                                                                                              \
        return ::simt::shuffle(::simt::Shuffle::bfly, mask, value,                                 \
                               ::simt::bfly_source(lane_mask, width), site);                       \
    }
SIMT_SHUFFLES(int)
SIMT_SHUFFLES(unsigned)
SIMT_SHUFFLES(long)
SIMT_SHUFFLES(unsigned long)
SIMT_SHUFFLES(long long)
SIMT_SHUFFLES(unsigned long long)
SIMT_SHUFFLES(float)
SIMT_SHUFFLES(double)
SIMT_SHUFFLES(__half)
SIMT_SHUFFLES(__half2)
SIMT_SHUFFLES(__nv_bfloat16)
SIMT_SHUFFLES(__nv_bfloat162)
#undef SIMT_SHUFFLES

inline unsigned __ballot_sync(unsigned mask, int predicate, SIMT_SITE)
{
    return simt::ballot(mask, predicate, site);
}
inline int __any_sync(unsigned mask, int predicate, SIMT_SITE)
{
    return simt::ballot(mask, predicate, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, SIMT_SITE)
{
    return simt::ballot(mask, !predicate, site) == 0;
}
/* Which lanes happen to run together is not something that fibers can imitate, and code that
 * depends on it is wrong on the GPU as well. */
inline unsigned __activemask(SIMT_SITE)
{
    simt::fail(site, "__activemask() is not modelled: pass the mask of participating lanes down");
}

#define SIMT_MATCHES(T)                                                                            \
    inline unsigned __match_any_sync(unsigned mask, T value, SIMT_SITE)                            \
    {                                                                                              \
        return ::simt::match(false, mask, value, site);                                            \
    }                                                                                              \
    inline unsigned __match_all_sync(unsigned mask, T value, int *predicate, SIMT_SITE)            \
    {                                                                                              \
        const unsigned result = ::simt::match(true, mask, value, site);                            \
        *predicate = result != 0;                                                                  \
        return result;                                                                             \
    }
SIMT_MATCHES(int)
SIMT_MATCHES(unsigned)
SIMT_MATCHES(long)
SIMT_MATCHES(unsigned long)
SIMT_MATCHES(long long)
SIMT_MATCHES(unsigned long long)
SIMT_MATCHES(float)
SIMT_MATCHES(double)
#undef SIMT_MATCHES

#define SIMT_REDUCE(name, kind, T)                                                                 \
    inline T name(unsigned mask, T value, SIMT_SITE)                                               \
    {                                                                                              \
        return ::simt::reduce(::simt::Reduce::kind, mask, value, site);                            \
    }
SIMT_REDUCE(__reduce_add_sync, add, int)
SIMT_REDUCE(__reduce_add_sync, add, unsigned)
SIMT_REDUCE(__reduce_min_sync, min, int)
SIMT_REDUCE(__reduce_min_sync, min, unsigned)
SIMT_REDUCE(__reduce_max_sync, max, int)
SIMT_REDUCE(__reduce_max_sync, max, unsigned)
SIMT_REDUCE(__reduce_and_sync, bit_and, unsigned)
SIMT_REDUCE(__reduce_or_sync, bit_or, unsigned)
SIMT_REDUCE(__reduce_xor_sync, bit_xor, unsigned)
#undef SIMT_REDUCE

#endif
