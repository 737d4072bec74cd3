/* SPDX-License-Identifier: MIT */
/* CPU bodies of tensor_core.cuh; the operations themselves are in simt_tensor.cpp. */
#ifndef DLF_SIMT_TENSOR_H
#define DLF_SIMT_TENSOR_H

#include "simt_math.h"

namespace simt
{
struct MmaRegisters {
    const uint32_t *a, *b;
    float *c;
};
extern const WarpOp mma_bf16_op, mma_f16_op, mma_tf32_op; /* in: MmaRegisters */
extern const WarpOp ldmatrix_op, ldmatrix_trans_op;       /* in: a row, out: uint32_t[4] */

const unsigned all_lanes = 0xffffffffu;
} // namespace simt

template <int BYTES>
inline void dlf_cp_async_zfill(void *smem, const void *gmem, unsigned valid,
                               simt::Site site = simt::Site::here())
{
    simt::cp_async(smem, gmem, BYTES, valid, site);
}

template <int BYTES>
inline void dlf_cp_async(void *smem, const void *gmem, simt::Site site = simt::Site::here())
{
    simt::cp_async(smem, gmem, BYTES, BYTES, site);
}

inline void dlf_cp_async_commit()
{
    simt::cp_async_commit();
}

template <int PENDING> inline void dlf_cp_async_wait()
{
    simt::cp_async_wait(PENDING);
}

SIMT_UNTRACED inline void dlf_ldmatrix_x4(uint32_t (&r)[4], const void *row,
                                          simt::Site site = simt::Site::here())
{
    simt::warp_call(simt::ldmatrix_op, simt::all_lanes, row, r, 0, site);
}

SIMT_UNTRACED inline void dlf_ldmatrix_x4_trans(uint32_t (&r)[4], const void *row,
                                                simt::Site site = simt::Site::here())
{
    simt::warp_call(simt::ldmatrix_trans_op, simt::all_lanes, row, r, 0, site);
}

#define SIMT_MMA(name, op)                                                                         \
    SIMT_UNTRACED inline void name(float(&c)[4], const uint32_t(&a)[4], const uint32_t(&b)[2],     \
                                   simt::Site site = simt::Site::here())                           \
    {                                                                                              \
        const simt::MmaRegisters registers = {a, b, c};                                            \
        simt::warp_call(op, simt::all_lanes, &registers, nullptr, 0, site);                        \
    }
SIMT_MMA(dlf_mma_bf16, simt::mma_bf16_op)
SIMT_MMA(dlf_mma_f16, simt::mma_f16_op)
SIMT_MMA(dlf_mma_tf32, simt::mma_tf32_op)
#undef SIMT_MMA

inline uint32_t dlf_to_tf32(float x)
{
    const uint32_t bits = __float_as_uint(x);
    const uint32_t half_of_the_last_place = 0x1000, kept = 0xffffe000;
    return isfinite(x) ? (bits + half_of_the_last_place) & kept : bits;
}

#endif
