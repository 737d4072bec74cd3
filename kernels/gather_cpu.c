/* SPDX-License-Identifier: MIT
 * gather_cpu.c -- rows picked by index. float32 and int32 are both moved as 32-bit words. */
#include "cpu.h"

dlf_status DLF_CPU(gather_rows)(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *index)
{
    const int64_t P = y->shape[0], B = y->shape[1], R = x->shape[0];
    const int64_t N = dlf_tensor_member_count(x);
    const int64_t index_stride = index->shape[0] == 1 ? 0 : index->stride;
    const float nan = NAN;
    uint32_t outside = 0x80000000u; /* INT32_MIN */
    if (y->dtype == DLF_F32) memcpy(&outside, &nan, sizeof outside);
    const int threads = dlf_cpu_threads(y, (double)(P * B) * (double)(N + 8));
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t row = 0; row < P * B; row++) {
        const int64_t p = row / B, i = row % B;
        const int64_t r = ((const int32_t *)index->data)[p * index_stride + i];
        uint32_t *to = (uint32_t *)y->data + p * y->stride + i * N;
        if (r >= 0 && r < R)
            memcpy(to, (const uint32_t *)x->data + r * x->stride, (size_t)N * sizeof *to);
        else
            for (int64_t j = 0; j < N; j++) to[j] = outside;
    }
    return DLF_OK;
}
