#include "common.cuh"

extern "C" dlf_status dlf_embedding_forward_cuda(dlf_tensor *y, const dlf_tensor *table, const dlf_tensor *index)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "embedding_forward: not written yet");
}

extern "C" dlf_status dlf_embedding_backward_cuda(dlf_tensor *dtable, const dlf_tensor *dy, const dlf_tensor *index, double beta)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "embedding_backward: not written yet");
}
