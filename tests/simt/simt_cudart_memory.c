/* SPDX-License-Identifier: MIT */
/* Memory of the runtime API: allocations with guard zones, copies that check their direction. */
#include "simt_control.h"
#include "simt_internal.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define ASAN 1
#else
#define ASAN                              0
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

/* ---- allocations ----
 * Device memory starts out as 0xFF: a float that was never written is a NaN. Around it lie guard
 * zones, also 0xFF, which are looked at after each kernel. Under AddressSanitizer an allocation is
 * exactly as large as asked for, so that the zones are those of malloc, and the memory itself is
 * out of bounds while neither a kernel nor a copy runs: the host may not touch it. */

enum { ALIGN = 256, GUARD = ASAN ? 0 : 512 }; /* cudaMalloc() aligns to 256 bytes as well */

enum place { ON_DEVICE, ON_HOST, OF_SYMBOL };

static struct allocation {
    char *p;
    size_t size;
    enum place place;
} * allocations;
static size_t n_allocations, n_slots, device_bytes;
/* More than there is: tests of far addresses touch little of what they ask for. */
static size_t capacity = (size_t)(ASAN ? 2 : 256) << 30;
static int open_depth;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static char *block_of(const struct allocation *a)
{
    return a->p - GUARD;
}

static int add_allocation(char *p, size_t size, enum place place)
{
    if (n_allocations == n_slots) {
        const size_t n = n_slots ? 2 * n_slots : 64;
        struct allocation *grown = realloc(allocations, n * sizeof *grown);
        if (!grown) return 0;
        allocations = grown;
        n_slots = n;
    }
    allocations[n_allocations++] = (struct allocation){p, size, place};
    return 1;
}

static struct allocation *find_containing(const void *p)
{
    for (size_t i = 0; i < n_allocations; i++) {
        const struct allocation *a = &allocations[i];
        /* An empty allocation has an address all the same. */
        const size_t size = a->size ? a->size : 1;
        if ((uintptr_t)p - (uintptr_t)a->p < size) return &allocations[i];
    }
    return NULL;
}

static int guards_are_intact(const struct allocation *a)
{
    if (a->place == OF_SYMBOL) return 1;
    for (int i = 0; i < GUARD; i++)
        if ((unsigned char)a->p[-1 - i] != 0xFF || (unsigned char)a->p[a->size + (size_t)i] != 0xFF)
            return 0;
    return 1;
}

static void check_guards(const char *when, const char *what)
{
    for (size_t i = 0; i < n_allocations; i++)
        if (!guards_are_intact(&allocations[i])) {
            simt_complain("%s %s: somebody wrote outside an allocation of %zu bytes", when, what,
                          allocations[i].size);
            abort();
        }
}

void simt_memory_check(const char *kernel)
{
    pthread_mutex_lock(&lock);
    check_guards("after kernel", kernel);
    pthread_mutex_unlock(&lock);
}

static void set_reachable(const struct allocation *a, int reachable)
{
    if (a->place != ON_DEVICE) return;
    if (reachable)
        ASAN_UNPOISON_MEMORY_REGION(a->p, a->size);
    else
        ASAN_POISON_MEMORY_REGION(a->p, a->size);
}

static void open_memory(int step)
{
    const int was_open = open_depth > 0;
    open_depth += step;
    if (ASAN && was_open != (open_depth > 0))
        for (size_t i = 0; i < n_allocations; i++) set_reachable(&allocations[i], !was_open);
}

void simt_memory_open(void)
{
    pthread_mutex_lock(&lock);
    open_memory(1);
    pthread_mutex_unlock(&lock);
}

void simt_memory_close(void)
{
    pthread_mutex_lock(&lock);
    open_memory(-1);
    pthread_mutex_unlock(&lock);
}

/* Uninitialised memory is NaN; the middle of a huge block is left untouched, hence unmapped. */
static void fill(void *block, size_t size)
{
    const size_t most = (size_t)512 << 20, end = (size_t)16 << 20;
    if (size <= most) {
        memset(block, 0xFF, size);
        return;
    }
    memset(block, 0xFF, end);
    memset((char *)block + size - end, 0xFF, end);
}

static cudaError_t allocate(void **p, size_t size, enum place place)
{
    void *block;
    if (!p) return cudaErrorInvalidValue;
    *p = NULL;
    if (!size) return cudaSuccess; /* and a null pointer, as from the real one */
    if (place == ON_DEVICE && (size > capacity || device_bytes > capacity - size))
        return cudaErrorMemoryAllocation;
    if (posix_memalign(&block, ALIGN, size + 2 * (size_t)GUARD)) return cudaErrorMemoryAllocation;
    fill(block, size + 2 * (size_t)GUARD);
    pthread_mutex_lock(&lock);
    const int added = add_allocation((char *)block + GUARD, size, place);
    if (added && place == ON_DEVICE) {
        device_bytes += size;
        set_reachable(&allocations[n_allocations - 1], open_depth > 0);
    }
    pthread_mutex_unlock(&lock);
    if (!added) {
        free(block);
        return cudaErrorMemoryAllocation;
    }
    *p = (char *)block + GUARD;
    return cudaSuccess;
}

static void drop(struct allocation *a)
{
    check_guards("when freeing", "memory");
    set_reachable(a, 1);
    if (a->place == ON_DEVICE) device_bytes -= a->size;
    if (a->place != OF_SYMBOL) free(block_of(a));
    *a = allocations[--n_allocations];
}

static cudaError_t release(const char *api, void *p, enum place place)
{
    cudaError_t err = cudaSuccess;
    if (!p) return cudaSuccess;
    pthread_mutex_lock(&lock);
    struct allocation *a = find_containing(p);
    if (a && a->p == (char *)p && a->place == place) {
        drop(a);
    } else {
        simt_complain("%s(%p): not the start of a live allocation", api, p);
        err = cudaErrorInvalidValue;
    }
    pthread_mutex_unlock(&lock);
    return err;
}

cudaError_t cudaMalloc(void **p, size_t size)
{
    SIMT_ENTER();
    SIMT_TRY(simt_unsafe());
    return simt_record(allocate(p, size, ON_DEVICE));
}

cudaError_t cudaFree(void *p)
{
    SIMT_ENTER();
    SIMT_TRY(simt_unsafe());
    return simt_record(release(__func__, p, ON_DEVICE));
}

cudaError_t cudaMallocAsync(void **p, size_t size, cudaStream_t stream)
{
    SIMT_ENTER();
    if (simt_is_capturing(stream)) return simt_record(cudaErrorNotSupported); /* memory nodes */
    if (!simt_stream_is_valid(stream)) return simt_record(cudaErrorInvalidResourceHandle);
    return simt_record(allocate(p, size, ON_DEVICE));
}

cudaError_t cudaFreeAsync(void *p, cudaStream_t stream)
{
    SIMT_ENTER();
    if (simt_is_capturing(stream)) return simt_record(cudaErrorNotSupported); /* memory nodes */
    if (!simt_stream_is_valid(stream)) return simt_record(cudaErrorInvalidResourceHandle);
    return simt_record(release(__func__, p, ON_DEVICE));
}

cudaError_t cudaMallocHost(void **p, size_t size)
{
    SIMT_ENTER();
    SIMT_TRY(simt_unsafe());
    return simt_record(allocate(p, size, ON_HOST));
}

cudaError_t cudaHostAlloc(void **p, size_t size, unsigned flags)
{
    SIMT_ENTER();
    SIMT_TRY(simt_unsafe());
    (void)flags;
    return simt_record(allocate(p, size, ON_HOST));
}

cudaError_t cudaFreeHost(void *p)
{
    SIMT_ENTER();
    SIMT_TRY(simt_unsafe());
    return simt_record(release(__func__, p, ON_HOST));
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    SIMT_ENTER();
    *total = capacity;
    *free_bytes = capacity > device_bytes ? capacity - device_bytes : 0;
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *p)
{
    SIMT_ENTER();
    memset(attributes, 0, sizeof *attributes);
    pthread_mutex_lock(&lock);
    const struct allocation *a = find_containing(p);
    if (!a) {
        attributes->type = cudaMemoryTypeUnregistered;
        attributes->device = -2; /* cudaInvalidDeviceId */
        attributes->hostPointer = (void *)(uintptr_t)p;
    } else {
        attributes->type = a->place == ON_HOST ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
        attributes->devicePointer = (void *)(uintptr_t)p;
        attributes->hostPointer = a->place == ON_HOST ? (void *)(uintptr_t)p : NULL;
    }
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

/* ---- copies ---- */

/* Whether n bytes at p may be one side of a copy; is_device says which side is meant. */
static int range_is_good(const char *api, const char *side, const void *p, size_t n, int is_device)
{
    const struct allocation *a = find_containing(p);
    if (is_device && (!a || a->place == ON_HOST)) {
        simt_complain("%s: %s %p is not device memory", api, side, p);
        return 0;
    }
    if (!is_device && a && a->place != ON_HOST) {
        simt_complain("%s: %s %p is device memory", api, side, p);
        return 0;
    }
    if (a && n > a->size - (size_t)((const char *)p - a->p)) {
        simt_complain("%s: %s: %zu bytes at offset %zu of an allocation of %zu", api, side, n,
                      (size_t)((const char *)p - a->p), a->size);
        return 0;
    }
    return 1;
}

static int is_device_side(const void *p)
{
    const struct allocation *a = find_containing(p);
    return a && a->place != ON_HOST;
}

struct transfer {
    const char *api;
    void *dst;
    const void *src; /* NULL: bytes of `value` */
    size_t dst_pitch, src_pitch, width, height;
    enum cudaMemcpyKind kind;
    int value;
};

/* A plain copy is one row. */
static cudaError_t copy_now(const void *bytes)
{
    const struct transfer *t = bytes;
    const size_t dst_size = (t->height - 1) * t->dst_pitch + t->width;
    const size_t src_size = (t->height - 1) * t->src_pitch + t->width;
    cudaError_t err = cudaErrorInvalidValue;
    pthread_mutex_lock(&lock);
    const int to_device = t->kind == cudaMemcpyDefault ? is_device_side(t->dst)
                                                       : t->kind == cudaMemcpyHostToDevice ||
                                                             t->kind == cudaMemcpyDeviceToDevice;
    const int from_device = t->kind == cudaMemcpyDefault ? is_device_side(t->src)
                                                         : t->kind == cudaMemcpyDeviceToHost ||
                                                               t->kind == cudaMemcpyDeviceToDevice;
    if (range_is_good(t->api, "destination", t->dst, dst_size, to_device) &&
        range_is_good(t->api, "source", t->src, src_size, from_device)) {
        open_memory(1);
        for (size_t row = 0; row < t->height; row++)
            memmove((char *)t->dst + row * t->dst_pitch, (const char *)t->src + row * t->src_pitch,
                    t->width);
        open_memory(-1);
        err = cudaSuccess;
    }
    pthread_mutex_unlock(&lock);
    return err;
}

/* Memory of the host that is not pinned may be gone when a graph runs. */
static int is_pageable(const void *p)
{
    pthread_mutex_lock(&lock);
    const int known = find_containing(p) != NULL;
    pthread_mutex_unlock(&lock);
    return !known;
}

static cudaError_t copy(const char *api, void *dst, size_t dst_pitch, const void *src,
                        size_t src_pitch, size_t width, size_t height, enum cudaMemcpyKind kind,
                        cudaStream_t stream)
{
    if (!simt_stream_is_valid(stream)) return cudaErrorInvalidResourceHandle;
    if ((unsigned)kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
    if (!width || !height) return cudaSuccess;
    if (height > 1 && (width > dst_pitch || width > src_pitch)) return cudaErrorInvalidPitchValue;
    const struct transfer t = {api, dst, src, dst_pitch, src_pitch, width, height, kind, 0};
    cudaError_t err;
    const int pageable = is_pageable(dst) || is_pageable(src);
    if (simt_capture(stream, pageable ? NULL : copy_now, &t, sizeof t, &err)) return err;
    return copy_now(&t);
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t n, enum cudaMemcpyKind kind)
{
    SIMT_ENTER();
    SIMT_TRY(simt_use_legacy_stream());
    return simt_record(copy(__func__, dst, n, src, n, n, 1, kind, NULL));
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t n, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    SIMT_ENTER();
    return simt_record(copy(__func__, dst, n, src, n, n, 1, kind, stream));
}

cudaError_t cudaMemcpy2D(void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
                         size_t width, size_t height, enum cudaMemcpyKind kind)
{
    SIMT_ENTER();
    SIMT_TRY(simt_use_legacy_stream());
    return simt_record(copy(__func__, dst, dst_pitch, src, src_pitch, width, height, kind, NULL));
}

cudaError_t cudaMemcpy2DAsync(void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    SIMT_ENTER();
    return simt_record(copy(__func__, dst, dst_pitch, src, src_pitch, width, height, kind, stream));
}

static cudaError_t set_now(const void *bytes)
{
    const struct transfer *t = bytes;
    cudaError_t err = cudaErrorInvalidValue;
    pthread_mutex_lock(&lock);
    if (range_is_good(t->api, "destination", t->dst, (t->height - 1) * t->dst_pitch + t->width,
                      1)) {
        open_memory(1);
        for (size_t row = 0; row < t->height; row++)
            memset((char *)t->dst + row * t->dst_pitch, t->value, t->width);
        open_memory(-1);
        err = cudaSuccess;
    }
    pthread_mutex_unlock(&lock);
    return err;
}

static cudaError_t set_bytes(const char *api, void *p, size_t pitch, int value, size_t width,
                             size_t height, cudaStream_t stream)
{
    if (!simt_stream_is_valid(stream)) return cudaErrorInvalidResourceHandle;
    if (!width || !height) return cudaSuccess;
    if (height > 1 && width > pitch) return cudaErrorInvalidPitchValue;
    const struct transfer t = {
        .api = api, .dst = p, .dst_pitch = pitch, .width = width, .height = height, .value = value};
    cudaError_t err;
    if (simt_capture(stream, set_now, &t, sizeof t, &err)) return err;
    return set_now(&t);
}

cudaError_t cudaMemset(void *p, int value, size_t n)
{
    SIMT_ENTER();
    SIMT_TRY(simt_use_legacy_stream());
    return simt_record(set_bytes(__func__, p, n, value, n, 1, NULL));
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t n, cudaStream_t stream)
{
    SIMT_ENTER();
    return simt_record(set_bytes(__func__, p, n, value, n, 1, stream));
}

cudaError_t cudaMemset2D(void *p, size_t pitch, int value, size_t width, size_t height)
{
    SIMT_ENTER();
    SIMT_TRY(simt_use_legacy_stream());
    return simt_record(set_bytes(__func__, p, pitch, value, width, height, NULL));
}

cudaError_t cudaMemset2DAsync(void *p, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream)
{
    SIMT_ENTER();
    return simt_record(set_bytes(__func__, p, pitch, value, width, height, stream));
}

/* ---- __device__ and __constant__ variables: plain globals here ---- */

/* Their size is not to be had at run time, so one is known from its first use to the end of the
 * largest constant bank. */
enum { SYMBOL_SIZE = 64 << 10 };

static cudaError_t know_symbol(const void *symbol)
{
    if (!symbol) return cudaErrorInvalidSymbol;
    pthread_mutex_lock(&lock);
    const struct allocation *a = find_containing(symbol);
    const int known = a || add_allocation((char *)(uintptr_t)symbol, SYMBOL_SIZE, OF_SYMBOL);
    pthread_mutex_unlock(&lock);
    return known ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaGetSymbolAddress(void **p, const void *symbol)
{
    SIMT_ENTER();
    *p = (void *)(uintptr_t)symbol;
    return simt_record(know_symbol(symbol));
}

cudaError_t cudaMemcpyToSymbolAsync(const void *symbol, const void *src, size_t n, size_t offset,
                                    enum cudaMemcpyKind kind, cudaStream_t stream)
{
    SIMT_ENTER();
    const cudaError_t err = know_symbol(symbol);
    if (err != cudaSuccess) return simt_record(err);
    void *dst = (char *)(uintptr_t)symbol + offset;
    return simt_record(copy(__func__, dst, n, src, n, n, 1, kind, stream));
}

cudaError_t cudaMemcpyFromSymbolAsync(void *dst, const void *symbol, size_t n, size_t offset,
                                      enum cudaMemcpyKind kind, cudaStream_t stream)
{
    SIMT_ENTER();
    const cudaError_t err = know_symbol(symbol);
    if (err != cudaSuccess) return simt_record(err);
    const void *src = (const char *)symbol + offset;
    return simt_record(copy(__func__, dst, n, src, n, n, 1, kind, stream));
}

cudaError_t cudaMemcpyToSymbol(const void *symbol, const void *src, size_t n, size_t offset,
                               enum cudaMemcpyKind kind)
{
    SIMT_ENTER();
    return cudaMemcpyToSymbolAsync(symbol, src, n, offset, kind, NULL);
}

cudaError_t cudaMemcpyFromSymbol(void *dst, const void *symbol, size_t n, size_t offset,
                                 enum cudaMemcpyKind kind)
{
    SIMT_ENTER();
    return cudaMemcpyFromSymbolAsync(dst, symbol, n, offset, kind, NULL);
}

/* ---- control API ---- */

size_t simt_live_allocations(void)
{
    size_t n = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < n_allocations; i++) n += allocations[i].place != OF_SYMBOL;
    pthread_mutex_unlock(&lock);
    return n;
}

size_t simt_live_bytes(void)
{
    return device_bytes;
}

size_t simt_report_leaks(void)
{
    size_t n = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < n_allocations; i++)
        if (allocations[i].place != OF_SYMBOL) {
            n++;
            simt_complain("leak: %zu bytes of %s memory at %p", allocations[i].size,
                          allocations[i].place == ON_DEVICE ? "device" : "pinned host",
                          (void *)allocations[i].p);
        }
    pthread_mutex_unlock(&lock);
    return n;
}

void simt_set_capacity(size_t bytes)
{
    capacity = bytes;
}

/* What becomes of device memory at cudaDeviceReset(). */
void simt_memory_reset(void)
{
    pthread_mutex_lock(&lock);
    while (n_allocations) drop(&allocations[n_allocations - 1]);
    pthread_mutex_unlock(&lock);
}
