/* SPDX-License-Identifier: MIT */
/* Atomics, for exactly the types that CUDA has them for. Included by simt.h. */
#ifndef DLF_SIMT_ATOMIC_H
#define DLF_SIMT_ATOMIC_H

#include "simt_core.h"
#include <type_traits>

namespace simt
{

template <class T, class... Allowed>
constexpr bool one_of = (std::is_same<T, Allowed>::value || ...);

template <class T> struct same {
    typedef T type; /* keeps the value argument out of template deduction */
};
template <class T> using Value = typename same<T>::type;

typedef unsigned long long u64;

/* Relaxed, as on the GPU: an atomic orders nothing but itself. update(old) gives the new value. */
template <class T, class Update> inline T atomic_update(T *p, Update update)
{
    T old, desired;
    __atomic_load(p, &old, __ATOMIC_RELAXED);
    do desired = update(old);
    while (!__atomic_compare_exchange(p, &old, &desired, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
#if defined(__SANITIZE_THREAD__)
    atomic_acquire();
#endif
    return old;
}

} // namespace simt

#define SIMT_ATOMIC(name, result, ...)                                                             \
    template <class T> inline T name(T *p, simt::Value<T> v)                                       \
    {                                                                                              \
        static_assert(simt::one_of<T, __VA_ARGS__>, #name " has no such type on the GPU");         \
        return simt::atomic_update(p, [&](T old) -> T { return result; });                         \
    }
SIMT_ATOMIC(atomicAdd, old + v, int, unsigned, simt::u64, float, double, __half, __half2,
            __nv_bfloat16, __nv_bfloat162)
SIMT_ATOMIC(atomicSub, old - v, int, unsigned)
SIMT_ATOMIC(atomicExch, (void(old), v), int, unsigned, simt::u64, float)
SIMT_ATOMIC(atomicMin, v < old ? v : old, int, unsigned, long long, simt::u64)
SIMT_ATOMIC(atomicMax, old < v ? v : old, int, unsigned, long long, simt::u64)
SIMT_ATOMIC(atomicAnd, old &v, int, unsigned, simt::u64)
SIMT_ATOMIC(atomicOr, old | v, int, unsigned, simt::u64)
SIMT_ATOMIC(atomicXor, old ^ v, int, unsigned, simt::u64)
SIMT_ATOMIC(atomicInc, old >= v ? 0 : old + 1, unsigned)
SIMT_ATOMIC(atomicDec, old == 0 || old > v ? v : old - 1, unsigned)
#undef SIMT_ATOMIC

template <class T> inline T atomicCAS(T *p, simt::Value<T> compare, simt::Value<T> value)
{
    static_assert(simt::one_of<T, int, unsigned, simt::u64, unsigned short>,
                  "atomicCAS has no such type on the GPU");
    return simt::atomic_update(p, [&](T old) -> T { return old == compare ? value : old; });
}

#endif
