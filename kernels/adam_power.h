/* SPDX-License-Identifier: MIT
 * adam_power.h -- the bias corrections of Adam, the same bits wherever they are computed: the step
 * may be known on the host, or only on the device. pow() differs from one to the other. */
#ifndef DLF_ADAM_POWER_H
#define DLF_ADAM_POWER_H
#include <math.h>

#include "dlf/rng.h" /* DLF_HOST_DEVICE */

typedef struct dlf_adam_corrections {
    double first; /* 1 - beta1^t           */
    float root;   /* 1 / sqrt(1 - beta2^t) */
} dlf_adam_corrections;

static DLF_HOST_DEVICE double dlf_adam_product(double a, double b)
{
#if defined(__CUDA_ARCH__)
    return __dmul_rn(a, b); /* never contracted into an fma */
#else
    return a * b; /* host files are compiled with -ffp-contract=off */
#endif
}

/* base^t by squaring: products alone, in a fixed order. Off by t 2^-53 of itself at most, which
 * matters while base^t does: until t is some tens of 1 / (1 - base). */
static DLF_HOST_DEVICE double dlf_adam_power(double base, int64_t t)
{
    double power = 1.0;
    for (; t > 0; t /= 2) {
        if (t % 2) power = dlf_adam_product(power, base);
        base = dlf_adam_product(base, base);
    }
    return power;
}

static DLF_HOST_DEVICE dlf_adam_corrections dlf_adam_corrections_at(double beta1, double beta2,
                                                                    int64_t t)
{
    const dlf_adam_corrections c = {1.0 - dlf_adam_power(beta1, t),
                                    (float)(1.0 / sqrt(1.0 - dlf_adam_power(beta2, t)))};
    return c;
}
#endif
