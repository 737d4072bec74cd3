#include "cpu.h"

dlf_status DLF_CPU(batch_norm_forward)(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "batch_norm_forward: not written yet");
}

dlf_status DLF_CPU(batch_norm_infer)(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "batch_norm_infer: not written yet");
}

dlf_status DLF_CPU(batch_norm_backward)(const dlf_norm_bwd *io, const dlf_norm *norm)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "batch_norm_backward: not written yet");
}
