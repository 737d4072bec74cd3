/* SPDX-License-Identifier: MIT
 * batch_norm_ref.c -- by definition, in double. */
#include "norm_ref.h"

dlf_status dlf_batch_norm_forward_ref(const dlf_norm_fwd *io, const dlf_norm *norm);
dlf_status dlf_batch_norm_backward_ref(const dlf_norm_bwd *io, const dlf_norm *norm);
dlf_status dlf_batch_norm_infer_ref(const dlf_norm_fwd *io, const dlf_norm *norm);

dlf_status dlf_batch_norm_forward_ref(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    return norm_ref_forward(io, norm);
}

dlf_status dlf_batch_norm_backward_ref(const dlf_norm_bwd *io, const dlf_norm *norm)
{
    return norm_ref_backward(io, norm);
}

dlf_status dlf_batch_norm_infer_ref(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    return norm_ref_infer(io, norm);
}
