/* SPDX-License-Identifier: MIT
 * check.h -- what ops.c checks before a kernel runs, and how a refusal reads:
 *
 *   gemm on cpu: a has 5 columns but b has 4 rows (c f32(2,3,6), a f32(2,3,5), b f32(2,4,6)) */
#ifndef DLF_OPS_CHECK_H
#define DLF_OPS_CHECK_H
#include "dlf/backend.h"

/* DLF_STORAGE: real, or f16 or bf16 where real is f32; the same for all such operands of a call. */
typedef enum dlf_operand_type {
    DLF_REAL,
    DLF_REAL64,
    DLF_INT,
    DLF_REAL_OR_INT,
    DLF_STORAGE
} dlf_operand_type;

typedef struct dlf_operand {
    const char *name;
    const dlf_tensor *t; /* NULL: an optional operand that was not given */
    dlf_operand_type type;
    bool out;          /* written; must not overlap the others             */
    const char *alias; /* what it may be the same as: "a", "a, b", or NULL */
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

/* The call as data, checked:  DLF_CALL("gemm", DLF_OUT(c), DLF_IN(a), ...) declares `call`. */
#define DLF_CALL(name, ...)                                                                        \
    const dlf_operand operands_[] = {__VA_ARGS__};                                                 \
    const dlf_call call = {name, operands_, sizeof operands_ / sizeof operands_[0]};               \
    DLF_TRY(dlf_call_check(&call))

/* clang-format off */
#define DLF_OPERAND(name, t, type, out, alias) {name, t, type, out, alias}
/* clang-format on */
#define DLF_IN(t)              DLF_OPERAND(#t, t, DLF_REAL, false, NULL)
#define DLF_IN_INT(t)          DLF_OPERAND(#t, t, DLF_INT, false, NULL)
#define DLF_OUT(t)             DLF_OPERAND(#t, t, DLF_REAL, true, NULL)
#define DLF_OUT_MAY_BE(t, ...) DLF_OPERAND(#t, t, DLF_REAL, true, #__VA_ARGS__)
/* The same for storage types. */
#define DLF_IN_STORAGE(t)              DLF_OPERAND(#t, t, DLF_STORAGE, false, NULL)
#define DLF_OUT_STORAGE(t)             DLF_OPERAND(#t, t, DLF_STORAGE, true, NULL)
#define DLF_OUT_STORAGE_MAY_BE(t, src) DLF_OPERAND(#t, t, DLF_STORAGE, true, #src)

/* Hand the call to the device's kernel. `device` is any operand's. */
#define DLF_RUN(op, device, ...)                                                                   \
    do {                                                                                           \
        const dlf_device *dev_ = (device);                                                         \
        if (dev_->ops->op) return dev_->ops->op(__VA_ARGS__);                                      \
        return dlf_fail(DLF_ERR_NO_KERNEL, "%s has no kernel on %s", #op, dev_->info.backend);     \
    } while (0)
#endif
