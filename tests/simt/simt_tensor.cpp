/* SPDX-License-Identifier: MIT */
/* Tensor-core operations as warp operations. Products are accumulated one by one in fp32, in the
 * order of k; real tensor cores add in another order and with other roundings. */
#include "simt_tensor.h"
#include "simt_rt.h"

#include <cuda_fp16.h>
#include <string.h>

namespace simt
{

static void need_all_lanes(const WarpCall &call)
{
    if (call.active != all_lanes)
        fail(self->site, "%s needs all 32 lanes, there are %08x", self->waits_in, call.active);
}

static float from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* The element in the low (0) or high (1) half of a register. */
static float bf16_half(uint32_t r, int high)
{
    return from_bits(high ? r & 0xffff0000u : r << 16);
}
static float f16_half(uint32_t r, int high)
{
    return __half2float(__ushort_as_half(static_cast<unsigned short>(high ? r >> 16 : r)));
}

template <int K> static void multiply(const WarpCall &call, float (&a)[16][K], float (&b)[K][8])
{
    for (int lane = 0; lane < 32; lane++) {
        const MmaRegisters *regs = static_cast<const MmaRegisters *>(call.in[lane]);
        const int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; i++) {
            const int row = g + i / 2 * 8, col = t * 2 + i % 2;
            float sum = regs->c[i];
            for (int k = 0; k < K; k++) sum += a[row][k] * b[k][col];
            regs->c[i] = sum;
        }
    }
}

template <float (*element)(uint32_t, int)> static void run_mma_16bit(WarpCall &call)
{
    float a[16][16], b[16][8];
    need_all_lanes(call);
    for (int lane = 0; lane < 32; lane++) {
        const MmaRegisters *regs = static_cast<const MmaRegisters *>(call.in[lane]);
        const int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; i++)
            for (int high = 0; high < 2; high++)
                a[g + i % 2 * 8][t * 2 + high + i / 2 * 8] = element(regs->a[i], high);
        for (int i = 0; i < 2; i++)
            for (int high = 0; high < 2; high++)
                b[t * 2 + high + i * 8][g] = element(regs->b[i], high);
    }
    multiply<16>(call, a, b);
}
const WarpOp mma_bf16_op = {"mma.sync bf16", run_mma_16bit<bf16_half>};
const WarpOp mma_f16_op = {"mma.sync f16", run_mma_16bit<f16_half>};

static void run_mma_tf32(WarpCall &call)
{
    const uint32_t used_bits = 0xffffe000; /* the hardware does not look at the others */
    float a[16][8], b[8][8];
    need_all_lanes(call);
    for (int lane = 0; lane < 32; lane++) {
        const MmaRegisters *regs = static_cast<const MmaRegisters *>(call.in[lane]);
        const int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; i++)
            a[g + i % 2 * 8][t + i / 2 * 4] = from_bits(regs->a[i] & used_bits);
        for (int i = 0; i < 2; i++) b[t + i * 4][g] = from_bits(regs->b[i] & used_bits);
    }
    multiply<8>(call, a, b);
}
const WarpOp mma_tf32_op = {"mma.sync tf32", run_mma_tf32};

/* Lane l holds elements (l / 4, 2 (l % 4)) and the next of each matrix, or of its transpose. */
template <bool transpose> static void run_ldmatrix(WarpCall &call)
{
    uint16_t m[4][8][8];
    need_all_lanes(call);
    for (int lane = 0; lane < 32; lane++) {
        const uintptr_t row = reinterpret_cast<uintptr_t>(call.in[lane]);
        if (row % 16) fail(self->site, "ldmatrix: the row of lane %d is not 16-byte aligned", lane);
#if defined(SIMT_TSAN)
        __tsan_read_range(const_cast<void *>(call.in[lane]), sizeof m[0][0]);
#endif
        memcpy(m[lane / 8][lane % 8], call.in[lane], sizeof m[0][0]);
    }
    for (int lane = 0; lane < 32; lane++) {
        uint32_t out[4];
        for (int i = 0; i < 4; i++) {
            const int r = lane / 4, c = lane % 4 * 2;
            const uint16_t low = transpose ? m[i][c][r] : m[i][r][c];
            const uint16_t high = transpose ? m[i][c + 1][r] : m[i][r][c + 1];
            out[i] = static_cast<uint32_t>(high) << 16 | low;
        }
        memcpy(call.out[lane], out, sizeof out);
    }
}
const WarpOp ldmatrix_op = {"ldmatrix", run_ldmatrix<false>};
const WarpOp ldmatrix_trans_op = {"ldmatrix.trans", run_ldmatrix<true>};

} // namespace simt
