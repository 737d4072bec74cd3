#include "cpu.h"

dlf_status DLF_CPU(layer_norm_forward)(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "layer_norm_forward: not written yet");
}

dlf_status DLF_CPU(layer_norm_backward)(const dlf_norm_bwd *io, const dlf_norm *norm)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "layer_norm_backward: not written yet");
}
