#include "dlf/backend.h"

dlf_status dlf_embedding_forward_ref(dlf_tensor *y, const dlf_tensor *table, const dlf_tensor *index);
dlf_status dlf_embedding_backward_ref(dlf_tensor *dtable, const dlf_tensor *dy, const dlf_tensor *index, double beta);

dlf_status dlf_embedding_forward_ref(dlf_tensor *y, const dlf_tensor *table, const dlf_tensor *index)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "embedding_forward: not written yet");
}

dlf_status dlf_embedding_backward_ref(dlf_tensor *dtable, const dlf_tensor *dy, const dlf_tensor *index, double beta)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "embedding_backward: not written yet");
}
