/* SPDX-License-Identifier: MIT */
/* Errors of the runtime API: last error, sticky error, names, and injected failures. */
#include "simt_control.h"
#include "simt_internal.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static __thread cudaError_t last_error;
static cudaError_t sticky_error; /* of the context: seen by all threads, ends with a reset */

/* ---- injection ---- */

enum { RULES_MAX = 32, API_NAME_MAX = 64 };

static struct rule {
    char api[API_NAME_MAX];
    int nth, seen, fired; /* nth 0: every call */
    cudaError_t err;
    int sticky;
} rules[RULES_MAX];
static int n_rules;
static pthread_mutex_t rules_lock = PTHREAD_MUTEX_INITIALIZER;

static void add_rule(const char *api, int nth, cudaError_t err, int sticky)
{
    pthread_mutex_lock(&rules_lock);
    if (n_rules == RULES_MAX || nth < 0 || strlen(api) >= API_NAME_MAX) {
        fprintf(stderr, "simt: cannot inject %s:%d\n", api, nth);
        abort();
    }
    struct rule *r = &rules[n_rules++];
    memset(r, 0, sizeof *r);
    strcpy(r->api, api);
    r->nth = nth;
    r->err = err;
    r->sticky = sticky;
    pthread_mutex_unlock(&rules_lock);
}

/* SIMT_INJECT=name:nth:err[:sticky][,...] */
static void read_environment(void)
{
    const char *text = getenv("SIMT_INJECT");
    while (text && *text) {
        char api[API_NAME_MAX];
        int nth, err, sticky = 0;
        if (sscanf(text, "%63[^:]:%d:%d:%d", api, &nth, &err, &sticky) < 3) {
            fprintf(stderr, "simt: SIMT_INJECT wants name:nth:err[:sticky], not '%s'\n", text);
            abort();
        }
        add_rule(api, nth, (cudaError_t)err, sticky);
        text = strchr(text, ',');
        text = text ? text + 1 : NULL;
    }
}

static void read_environment_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_environment);
}

static cudaError_t injected(const char *api)
{
    cudaError_t err = cudaSuccess;
    read_environment_once();
    pthread_mutex_lock(&rules_lock);
    for (int i = 0; i < n_rules; i++) {
        struct rule *r = &rules[i];
        if (strcmp(r->api, api) != 0 || (++r->seen != r->nth && r->nth != 0)) continue;
        r->fired = 1;
        err = r->err;
        if (r->sticky) sticky_error = err;
    }
    pthread_mutex_unlock(&rules_lock);
    return err;
}

void simt_inject(const char *api_name, int nth_call, cudaError_t err, int sticky)
{
    read_environment_once();
    add_rule(api_name, nth_call, err, sticky);
}

void simt_inject_clear(void)
{
    read_environment_once();
    pthread_mutex_lock(&rules_lock);
    n_rules = 0;
    pthread_mutex_unlock(&rules_lock);
}

int simt_inject_pending(void)
{
    int pending = 0;
    pthread_mutex_lock(&rules_lock);
    for (int i = 0; i < n_rules; i++) pending += !rules[i].fired;
    pthread_mutex_unlock(&rules_lock);
    return pending;
}

/* ---- state ---- */

cudaError_t simt_enter(const char *api)
{
    return sticky_error != cudaSuccess ? sticky_error : injected(api);
}

cudaError_t simt_record(cudaError_t err)
{
    if (err != cudaSuccess) last_error = err;
    return err;
}

void simt_clear_errors(void)
{
    sticky_error = cudaSuccess;
    last_error = cudaSuccess;
}

void simt_complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("simt: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

cudaError_t cudaGetLastError(void)
{
    if (sticky_error != cudaSuccess) return sticky_error;
    const cudaError_t err = last_error;
    last_error = cudaSuccess;
    return err;
}

cudaError_t cudaPeekAtLastError(void)
{
    return sticky_error != cudaSuccess ? sticky_error : last_error;
}

/* ---- names ---- */

#define ERROR_MAP(X)                                                                               \
    X(cudaSuccess, "no error")                                                                     \
    X(cudaErrorInvalidValue, "invalid argument")                                                   \
    X(cudaErrorMemoryAllocation, "out of memory")                                                  \
    X(cudaErrorInitializationError, "initialization error")                                        \
    X(cudaErrorCudartUnloading, "driver shutting down")                                            \
    X(cudaErrorInvalidConfiguration, "invalid configuration argument")                             \
    X(cudaErrorInvalidPitchValue, "invalid pitch argument")                                        \
    X(cudaErrorInvalidSymbol, "invalid device symbol")                                             \
    X(cudaErrorInvalidDevicePointer, "invalid device pointer")                                     \
    X(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy")                        \
    X(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version") \
    X(cudaErrorMissingConfiguration, "__global__ function call is not configured")                 \
    X(cudaErrorInvalidDeviceFunction, "invalid device function")                                   \
    X(cudaErrorNoDevice, "no CUDA-capable device is detected")                                     \
    X(cudaErrorInvalidDevice, "invalid device ordinal")                                            \
    X(cudaErrorDevicesUnavailable, "CUDA-capable device(s) is/are busy or unavailable")            \
    X(cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device") \
    X(cudaErrorECCUncorrectable, "uncorrectable ECC error encountered")                            \
    X(cudaErrorInvalidResourceHandle, "invalid resource handle")                                   \
    X(cudaErrorSymbolNotFound, "named symbol not found")                                           \
    X(cudaErrorNotReady, "device not ready")                                                       \
    X(cudaErrorIllegalAddress, "an illegal memory access was encountered")                         \
    X(cudaErrorLaunchOutOfResources, "too many resources requested for launch")                    \
    X(cudaErrorLaunchTimeout, "the launch timed out and was terminated")                           \
    X(cudaErrorHostMemoryAlreadyRegistered,                                                        \
      "part or all of the requested memory range is already mapped")                               \
    X(cudaErrorHostMemoryNotRegistered,                                                            \
      "pointer does not correspond to a registered memory region")                                 \
    X(cudaErrorAssert, "device-side assert triggered")                                             \
    X(cudaErrorHardwareStackError, "hardware stack error")                                         \
    X(cudaErrorIllegalInstruction, "an illegal instruction was encountered")                       \
    X(cudaErrorMisalignedAddress, "misaligned address")                                            \
    X(cudaErrorInvalidAddressSpace, "operation not supported on global/shared address space")      \
    X(cudaErrorInvalidPc, "invalid program counter")                                               \
    X(cudaErrorLaunchFailure, "unspecified launch failure")                                        \
    X(cudaErrorNotPermitted, "operation not permitted")                                            \
    X(cudaErrorNotSupported, "operation not supported")                                            \
    X(cudaErrorSystemNotReady, "system not yet initialized")                                       \
    X(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing")       \
    X(cudaErrorStreamCaptureImplicit,                                                              \
      "operation would make the legacy stream depend on a capturing blocking stream")              \
    X(cudaErrorCapturedEvent,                                                                      \
      "operation not permitted on an event last recorded in a capturing stream")                   \
    X(cudaErrorStreamCaptureWrongThread,                                                           \
      "attempt to terminate a thread-local capture sequence from another thread")                  \
    X(cudaErrorIllegalState, "the operation cannot be performed in the present state")             \
    X(cudaErrorStreamCaptureInvalidated,                                                           \
      "operation failed due to a previous error during capture")                                   \
    X(cudaErrorUnknown, "unknown error")

const char *cudaGetErrorName(cudaError_t err)
{
    switch (err) {
#define X(name, text)                                                                              \
    case name: return #name;
        ERROR_MAP(X)
#undef X
    default: return "unrecognized error code";
    }
}

const char *cudaGetErrorString(cudaError_t err)
{
    switch (err) {
#define X(name, text)                                                                              \
    case name: return text;
        ERROR_MAP(X)
#undef X
    default: return "unrecognized error code";
    }
}
