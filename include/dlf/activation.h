/* SPDX-License-Identifier: MIT
 * activation.h -- the activation functions by name and definition; the ops are in ops.h. */
#ifndef DLF_ACTIVATION_H
#define DLF_ACTIVATION_H
#include <stdbool.h>

#include "dlf/status.h"
#ifdef __cplusplus
extern "C" {
#endif

/*        name        text          value                                                       */
#define DLF_ACTIVATION_MAP(X)                                                                   \
    X(LINEAR,     "linear")      /* x                                                          */ \
    X(SIGMOID,    "sigmoid")     /* 1/(1+e^-x)                                                 */ \
    X(TANH,       "tanh")        /* tanh x                                                     */ \
    X(RELU,       "relu")        /* x > 0 ? x : 0                              derivative(0)=0 */ \
    X(LEAKY_RELU, "leaky_relu")  /* x > 0 ? x : alpha x      alpha = 0.01      derivative(0)=alpha */ \
    X(ELU,        "elu")         /* x > 0 ? x : alpha (e^x-1)  alpha = 1                       */ \
    X(SELU,       "selu")        /* s ELU(x), s = 1.0507.., alpha = 1.6732..  Klambauer 2017   */ \
    X(GELU,       "gelu")        /* x Phi(x), Phi by erf            Hendrycks & Gimpel 2016    */ \
    X(GELU_TANH,  "gelu_tanh")   /* x/2 (1+tanh(sqrt(2/pi)(x+0.044715x^3)))                    */ \
    X(SILU,       "silu")        /* x sigmoid(x)                    Elfwing et al. 2017        */ \
    X(SOFTPLUS,   "softplus")    /* log(1+e^x)                                                 */

typedef enum dlf_activation_kind {
#define X(name, text) DLF_##name,
    DLF_ACTIVATION_MAP(X)
#undef X
    DLF_ACTIVATION_COUNT
} dlf_activation_kind;

typedef struct dlf_activation {
    dlf_activation_kind kind;
    double alpha; /* leaky_relu slope, elu scale; ignored by the others */
} dlf_activation;

/* The activation with its default alpha. */
dlf_activation dlf_activation_of(dlf_activation_kind kind);
const char *dlf_activation_name(dlf_activation_kind kind);
/* DLF_ERR_NOT_FOUND with the list of names in the message. */
DLF_MUST_CHECK dlf_status dlf_activation_find(dlf_activation *out, const char *name);
/* The definition, in double. Used by the reference, by theory and by finite differences. */
double dlf_activation_value(dlf_activation f, double x);
double dlf_activation_derivative(dlf_activation f, double x);
/* What dlf_activation_backward reads: true = x (gelu, gelu_tanh, silu), false = y (all others). */
bool dlf_activation_needs_x(dlf_activation_kind kind);

#ifdef __cplusplus
}
#endif
#endif
