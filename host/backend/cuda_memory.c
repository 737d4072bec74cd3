/* SPDX-License-Identifier: MIT
 * cuda_memory.c -- memory of the cuda backend: the cache in front of cudaMalloc, and what becomes
 * of scratch memory while a sequence is recorded. */
#include <stdlib.h>

#include "backend/cuda_impl.h"

enum { LEAST_LOG2 = 8 };

/* The class of a size, and the size that class allocates. */
static int class_of(size_t bytes, size_t *rounded)
{
    int log2 = LEAST_LOG2;
    while (log2 < 63 && ((size_t)1 << (log2 + 1)) <= bytes) log2++;
    const size_t base = (size_t)1 << log2, step = base / DLF_CUDA_CLASSES_PER_OCTAVE;
    const size_t over = bytes > base ? (bytes - base + step - 1) / step : 0;
    *rounded = base + over * step; /* over == 4 is the first class of the next octave */
    return log2 * DLF_CUDA_CLASSES_PER_OCTAVE + (int)over;
}

static void *take(dlf_cuda_pool *pool, int class)
{
    dlf_cuda_block *b = pool->free[class];
    if (!b) return NULL;
    void *memory = b->memory;
    pool->free[class] = b->next;
    free(b);
    return memory;
}

static bool put(dlf_cuda_pool *pool, int class, void *memory)
{
    dlf_cuda_block *b = malloc(sizeof *b);
    if (!b) return false;
    *b = (dlf_cuda_block){pool->free[class], memory};
    pool->free[class] = b;
    return true;
}

void dlf_cuda_pool_flush(dlf_cuda_pool *pool)
{
    for (int i = 0; i < DLF_CUDA_CLASSES; i++)
        for (void *memory; (memory = take(pool, i));) (void)cudaFree(memory);
    (void)cudaGetLastError();
}

void dlf_cuda_pool_return(dlf_device *dev, dlf_cuda_pool *pool)
{
    dlf_cuda *impl = dlf_cuda_of(dev);
    if (!impl->cached) {
        dlf_cuda_bind_quietly(dev);
        dlf_cuda_pool_flush(pool);
        return;
    }
    for (int i = 0; i < DLF_CUDA_CLASSES; i++)
        for (dlf_cuda_block *b = pool->free[i], *next; b; b = next) {
            next = b->next;
            b->next = impl->cache.free[i];
            impl->cache.free[i] = b;
            pool->free[i] = next;
        }
}

/* A block for the ops of a recording may be new: capturing in relaxed mode, cudaMalloc is as good
 * as before (cuda_record.c). Nothing is freed to make room for it, as cudaFree waits for the
 * device. */
dlf_status dlf_cuda_alloc(dlf_device *dev, void **out, size_t bytes)
{
    dlf_cuda *impl = dlf_cuda_of(dev);
    *out = NULL;
    size_t rounded;
    const int class = class_of(bytes, &rounded);
    if (!impl->cached) rounded = bytes;
    if (impl->cached && impl->recording) *out = take(&impl->recording->scratch, class);
    if (!*out) *out = take(&impl->cache, class); /* which is empty if nothing is cached */
    if (*out) return DLF_OK;
    DLF_TRY(dlf_cuda_bind(dev));
    cudaError_t error = cudaMalloc(out, rounded);
    if (error == cudaErrorMemoryAllocation && !impl->recording) { /* give back, and try once more */
        (void)cudaGetLastError();
        dlf_cuda_pool_flush(&impl->cache);
        error = cudaMalloc(out, rounded);
    }
    if (error != cudaErrorMemoryAllocation) return dlf_cuda_check(error, "cudaMalloc");
    (void)cudaGetLastError();
    size_t unused = 0, total = 0;
    if (cudaMemGetInfo(&unused, &total) != cudaSuccess) (void)cudaGetLastError();
    return dlf_fail(DLF_ERR_OOM,
                    "cuda:%d: no %.1f MiB of memory left (%.1f of %.1f MiB free, %.1f MiB live in "
                    "tensors)",
                    dev->info.ordinal, (double)bytes / 1048576.0, (double)unused / 1048576.0,
                    (double)total / 1048576.0, (double)dev->bytes_live / 1048576.0);
}

void dlf_cuda_release(dlf_device *dev, void *p, size_t bytes)
{
    dlf_cuda *impl = dlf_cuda_of(dev);
    size_t rounded;
    const int class = class_of(bytes, &rounded);
    if (impl->recording) {
        if (put(&impl->recording->scratch, class, p)) return;
        impl->recording->lost = true;
    } else if (impl->cached && put(&impl->cache, class, p)) {
        return;
    }
    /* Not remembered, so it goes back; cudaFree waits for the work that uses it. */
    dlf_cuda_bind_quietly(dev); /* even if that fails: the block must not be forgotten */
    if (cudaFree(p) != cudaSuccess) (void)cudaGetLastError();
}
