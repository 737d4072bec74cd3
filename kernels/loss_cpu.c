#include "cpu.h"

dlf_status DLF_CPU(loss_forward)(dlf_tensor *loss, const dlf_tensor *x, const dlf_tensor *t, dlf_loss l)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "loss_forward: not written yet");
}

dlf_status DLF_CPU(loss_backward)(dlf_tensor *dx, const dlf_tensor *x, const dlf_tensor *t, dlf_loss l, double scale)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "loss_backward: not written yet");
}
