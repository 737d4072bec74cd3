#include "dlf/backend.h"

dlf_status dlf_dropout_apply_ref(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *member, const dlf_tensor *rate, dlf_dropout dropout);

dlf_status dlf_dropout_apply_ref(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *member, const dlf_tensor *rate, dlf_dropout dropout)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "dropout_apply: not written yet");
}
