#include "dlf/backend.h"

dlf_status dlf_adam_step_ref(dlf_tensor *w, dlf_tensor *m, dlf_tensor *v, const dlf_tensor *g, const dlf_tensor *lr, const dlf_tensor *g_scale, dlf_adam_args args);

dlf_status dlf_adam_step_ref(dlf_tensor *w, dlf_tensor *m, dlf_tensor *v, const dlf_tensor *g, const dlf_tensor *lr, const dlf_tensor *g_scale, dlf_adam_args args)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "adam_step: not written yet");
}
