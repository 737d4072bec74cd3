/* SPDX-License-Identifier: MIT */
/* The C++ forms of runtime API functions that cuda_runtime.h declares for nvcc alone: those that
 * take a kernel or a __device__ variable instead of an address. Included by simt.h. */
#ifndef DLF_SIMT_API_H
#define DLF_SIMT_API_H

#include <cuda_runtime.h>

namespace simt
{
template <class... P> const void *address_of(void (*kernel)(P...))
{
    return reinterpret_cast<const void *>(kernel);
}
} // namespace simt

template <class... P>
inline cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute attribute,
                                        int value)
{
    return cudaFuncSetAttribute(simt::address_of(kernel), attribute, value);
}

template <class... P>
inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, void (*kernel)(P...))
{
    return cudaFuncGetAttributes(attributes, simt::address_of(kernel));
}

template <class... P>
inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void (*kernel)(P...),
                                                                 int block_size, size_t smem)
{
    return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, simt::address_of(kernel),
                                                         block_size, smem);
}

template <class T>
inline cudaError_t cudaMemcpyToSymbol(const T &symbol, const void *src, size_t n, size_t offset = 0,
                                      cudaMemcpyKind kind = cudaMemcpyHostToDevice)
{
    return cudaMemcpyToSymbol(static_cast<const void *>(&symbol), src, n, offset, kind);
}

template <class T>
inline cudaError_t
cudaMemcpyToSymbolAsync(const T &symbol, const void *src, size_t n, size_t offset = 0,
                        cudaMemcpyKind kind = cudaMemcpyHostToDevice, cudaStream_t stream = nullptr)
{
    return cudaMemcpyToSymbolAsync(static_cast<const void *>(&symbol), src, n, offset, kind,
                                   stream);
}

template <class T>
inline cudaError_t cudaMemcpyFromSymbol(void *dst, const T &symbol, size_t n, size_t offset = 0,
                                        cudaMemcpyKind kind = cudaMemcpyDeviceToHost)
{
    return cudaMemcpyFromSymbol(dst, static_cast<const void *>(&symbol), n, offset, kind);
}

template <class T>
inline cudaError_t cudaMemcpyFromSymbolAsync(void *dst, const T &symbol, size_t n,
                                             size_t offset = 0,
                                             cudaMemcpyKind kind = cudaMemcpyDeviceToHost,
                                             cudaStream_t stream = nullptr)
{
    return cudaMemcpyFromSymbolAsync(dst, static_cast<const void *>(&symbol), n, offset, kind,
                                     stream);
}

template <class T> inline cudaError_t cudaGetSymbolAddress(void **p, const T &symbol)
{
    return cudaGetSymbolAddress(p, static_cast<const void *>(&symbol));
}

#endif
