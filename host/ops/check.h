/* SPDX-License-Identifier: MIT
 * check.h -- what ops.c checks before a kernel runs, and how a refusal reads:
 *
 *   gemm on cpu: a has 5 columns but b has 4 rows (c f32(2,3,6), a f32(2,3,5), b f32(2,4,6)) */
#ifndef DLF_OPS_CHECK_H
#define DLF_OPS_CHECK_H
#include "dlf/backend.h"

enum { DLF_MAX_OPERANDS = 6 };

typedef enum dlf_operand_type { DLF_REAL, DLF_REAL64, DLF_INT, DLF_REAL_OR_INT } dlf_operand_type;

typedef struct dlf_operand {
    const char *name;
    const dlf_tensor *t; /* NULL: an optional operand that was not given */
    dlf_operand_type type;
    bool out;          /* written; must not overlap the others        */
    const char *alias; /* the operand it may be the same as, or NULL  */
} dlf_operand;

typedef struct dlf_call {
    const char *op;
    const dlf_operand *operands; /* the first is the main output; it must be given */
    int n;
} dlf_call;

/* DLF_ERR_SHAPE with the rule that was broken and every operand. */
dlf_status dlf_call_refuse(const dlf_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* One device, allocated, right dtypes, no overlap but the allowed one. */
dlf_status dlf_call_check(const dlf_call *call);

/* `t` has exactly this shape; t == NULL passes. */
dlf_status dlf_call_shape(const dlf_call *call, const char *name, const dlf_tensor *t, int ndim,
                          const int64_t *shape);
#define dlf_call_shape_is(call, name, t, ...)                                                      \
    dlf_call_shape((call), (name), (t), (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), \
                   (const int64_t[]){__VA_ARGS__})

/* `t` has this many axes. */
dlf_status dlf_call_axes(const dlf_call *call, const char *name, const dlf_tensor *t, int ndim);
#endif
