#include "dlf/backend.h"

dlf_status dlf_batch_norm_forward_ref(const dlf_norm_fwd *io, const dlf_norm *norm);
dlf_status dlf_batch_norm_infer_ref(const dlf_norm_fwd *io, const dlf_norm *norm);
dlf_status dlf_batch_norm_backward_ref(const dlf_norm_bwd *io, const dlf_norm *norm);

dlf_status dlf_batch_norm_forward_ref(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "batch_norm_forward: not written yet");
}

dlf_status dlf_batch_norm_infer_ref(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "batch_norm_infer: not written yet");
}

dlf_status dlf_batch_norm_backward_ref(const dlf_norm_bwd *io, const dlf_norm *norm)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "batch_norm_backward: not written yet");
}
