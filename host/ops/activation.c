/* SPDX-License-Identifier: MIT
 * activation.c -- names and properties of the activations; their formulas are in
 * kernels/activation_ref.c. */
#include <stdio.h>
#include <string.h>

#include "dlf/ops.h"

static const char *const names[] = {
#define X(name, text) [DLF_##name] = text,
    DLF_ACTIVATION_MAP(X)
#undef X
};

dlf_activation dlf_activation_of(dlf_activation_kind kind)
{
    const double alpha = kind == DLF_LEAKY_RELU ? 0.01 : 1.0; /* only elu reads the 1 */
    return (dlf_activation){kind, alpha};
}

const char *dlf_activation_name(dlf_activation_kind kind)
{
    return (unsigned)kind < DLF_ACTIVATION_COUNT ? names[kind] : "?";
}

dlf_status dlf_activation_find(dlf_activation *out, const char *name)
{
    char list[256] = "";
    size_t at = 0;
    for (int i = 0; i < DLF_ACTIVATION_COUNT; i++) {
        if (!strcmp(name, names[i])) {
            *out = dlf_activation_of((dlf_activation_kind)i);
            return DLF_OK;
        }
        if (at < sizeof list)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", names[i]);
    }
    return dlf_fail(DLF_ERR_NOT_FOUND, "no activation '%s'; there are %s", name, list);
}

bool dlf_activation_needs_x(dlf_activation_kind kind)
{
    return kind == DLF_GELU || kind == DLF_GELU_TANH || kind == DLF_SILU;
}
