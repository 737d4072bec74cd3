#include "cpu.h"

dlf_status DLF_CPU(embedding_forward)(dlf_tensor *y, const dlf_tensor *table, const dlf_tensor *index)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "embedding_forward: not written yet");
}

dlf_status DLF_CPU(embedding_backward)(dlf_tensor *dtable, const dlf_tensor *dy, const dlf_tensor *index, double beta)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "embedding_backward: not written yet");
}
