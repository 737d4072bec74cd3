#include "cpu.h"

dlf_status DLF_CPU(pool_forward)(dlf_tensor *y, const dlf_tensor *x, dlf_pool pool)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "pool_forward: not written yet");
}

dlf_status DLF_CPU(pool_backward)(dlf_tensor *dx, const dlf_tensor *dy, const dlf_tensor *x, dlf_pool pool)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "pool_backward: not written yet");
}
