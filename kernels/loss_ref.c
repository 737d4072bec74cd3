#include "dlf/backend.h"

dlf_status dlf_loss_forward_ref(dlf_tensor *loss, const dlf_tensor *x, const dlf_tensor *t, dlf_loss l);
dlf_status dlf_loss_backward_ref(dlf_tensor *dx, const dlf_tensor *x, const dlf_tensor *t, dlf_loss l, double scale);

dlf_status dlf_loss_forward_ref(dlf_tensor *loss, const dlf_tensor *x, const dlf_tensor *t, dlf_loss l)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "loss_forward: not written yet");
}

dlf_status dlf_loss_backward_ref(dlf_tensor *dx, const dlf_tensor *x, const dlf_tensor *t, dlf_loss l, double scale)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "loss_backward: not written yet");
}
