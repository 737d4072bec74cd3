#include "dlf/backend.h"

dlf_status dlf_pool_forward_ref(dlf_tensor *y, const dlf_tensor *x, dlf_pool pool);
dlf_status dlf_pool_backward_ref(dlf_tensor *dx, const dlf_tensor *dy, const dlf_tensor *x, dlf_pool pool);

dlf_status dlf_pool_forward_ref(dlf_tensor *y, const dlf_tensor *x, dlf_pool pool)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "pool_forward: not written yet");
}

dlf_status dlf_pool_backward_ref(dlf_tensor *dx, const dlf_tensor *dy, const dlf_tensor *x, dlf_pool pool)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "pool_backward: not written yet");
}
