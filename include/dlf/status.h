/* SPDX-License-Identifier: MIT
 * status.h -- the one error vocabulary of the project.
 *
 * Every function that can fail returns dlf_status; zero is success, errors are
 * negative. Nothing below main() prints or exits. The function that detects a
 * failure also leaves one sentence for a person (op, shape, device, what to do)
 * with dlf_fail(); callers pass the status up and leave the sentence alone. */
#ifndef DLF_STATUS_H
#define DLF_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/*        name          value  exit  text                                            */
#define DLF_STATUS_MAP(X)                                                                \
    X(OK,                0,    0,   "success")                                           \
    X(ERR_INTERNAL,     -1,    1,   "internal error")                                    \
    X(ERR_ARG,          -2,    2,   "argument out of range")                             \
    X(ERR_NOT_FOUND,    -3,    2,   "no such name")                                      \
    X(ERR_SHAPE,        -4,    1,   "tensor shapes do not agree")                        \
    X(ERR_OOM,          -5,    1,   "out of memory")                                     \
    X(ERR_INPUT,        -6,    3,   "input cannot be read")                              \
    X(ERR_OUTPUT,       -7,    1,   "output cannot be written")                          \
    X(ERR_NO_DEVICE,    -8,    4,   "no usable device")                                  \
    X(ERR_DEVICE,       -9,    1,   "device call failed")                                \
    X(ERR_NO_KERNEL,   -10,    1,   "no kernel for this op on this device")              \
    X(ERR_SELF_CHECK,  -11,    5,   "a numerical self-check failed")                     \
    X(ERR_FINDING,     -13,  10,    "a finding reached --fail-on")                       \
    X(ERR_CANCELLED,   -12,  130,   "interrupted; finished parts are kept")

typedef enum dlf_status {
#define X(name, value, exit_code, text) DLF_##name = value,
    DLF_STATUS_MAP(X)
#undef X
} dlf_status;

#define DLF_MUST_CHECK __attribute__((warn_unused_result))

/* Short text of a status, never NULL, static. */
const char *dlf_status_text(dlf_status status);

/* Exit code of the program when `status` reaches main(). */
int dlf_status_exit_code(dlf_status status);

/* Record the sentence that explains `status` (this thread, replaces the last one) and return
 * `status`:   return dlf_fail(DLF_ERR_SHAPE, "bias_add on %s: y is %s, bias is %s", ...);      */
dlf_status dlf_fail(dlf_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The last sentence of this thread; "" if none. Valid until the next dlf_fail. */
const char *dlf_error_message(void);
void dlf_error_clear(void);

/* Leave the function with the first error. Evaluates `call` exactly once. */
#define DLF_TRY(call)                                                                    \
    do {                                                                                 \
        const dlf_status try_status_ = (call);                                           \
        if (try_status_ != DLF_OK) return try_status_;                                   \
    } while (0)

/* Same, for functions that own something: needs a local `status` and a label `done:` that
 * releases in reverse order and returns `status`. */
#define DLF_TRY_DONE(call)                                                               \
    do {                                                                                 \
        status = (call);                                                                 \
        if (status != DLF_OK) goto done;                                                 \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
