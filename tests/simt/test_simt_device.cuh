/* SPDX-License-Identifier: MIT */
/* Host side of the tests of intrinsics: arrays on the device and comparisons. */
#ifndef DLF_TEST_SIMT_DEVICE_CUH
#define DLF_TEST_SIMT_DEVICE_CUH

#include "launch.cuh"
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vector>

static inline void must(cudaError_t err, const char *what)
{
    if (err == cudaSuccess) return;
    fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(err));
    abort();
}

/* An array on the device, copied in at the start and out on demand. */
template <class T> struct Device {
    T *p = nullptr;
    size_t n;
    explicit Device(const std::vector<T> &values) : n(values.size())
    {
        must(cudaMalloc(reinterpret_cast<void **>(&p), n * sizeof(T)), "cudaMalloc");
        must(cudaMemcpy(p, values.data(), n * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
    }
    explicit Device(size_t count) : Device(std::vector<T>(count)) {}
    Device(const Device &) = delete;
    ~Device() { must(cudaFree(p), "cudaFree"); }
    std::vector<T> get() const
    {
        std::vector<T> values(n);
        must(cudaMemcpy(values.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost), "cudaMemcpy");
        return values;
    }
};

/* Counts differing elements; bits are compared, so that NaN equals NaN and 0 differs from -0. */
template <class T>
static int compare(const char *what, const std::vector<T> &got, const std::vector<T> &want)
{
    int wrong = 0;
    for (size_t i = 0; i < want.size(); i++)
        if (memcmp(&got[i], &want[i], sizeof(T)) != 0 && wrong++ < 3)
            fprintf(stderr, "%s: result %zu is %.17g, not %.17g\n", what, i,
                    static_cast<double>(got[i]), static_cast<double>(want[i]));
    return wrong + want.empty();
}

/* Counts elements that are further off than tolerance, relative to the larger of 1 and the value.
 */
static inline int compare_floats(const char *what, const std::vector<float> &got,
                                 const std::vector<double> &want, double tolerance)
{
    int wrong = 0;
    for (size_t i = 0; i < want.size(); i++)
        if (!(fabs(got[i] - want[i]) <= tolerance * fmax(1.0, fabs(want[i])))) {
            fprintf(stderr, "%s: result %zu is %.9g, not %.9g\n", what, i,
                    static_cast<double>(got[i]), want[i]);
            wrong++;
        }
    return wrong + want.empty();
}

/* Counts up a local variable named wrong. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            wrong++;                                                                               \
        }                                                                                          \
    } while (0)

#endif
