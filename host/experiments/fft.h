/* SPDX-License-Identifier: MIT
 * fft.h -- the fast Fourier transform of the textbook, on the host in double, counted as it runs.
 */
#ifndef DLF_FFT_H
#define DLF_FFT_H
#include <complex.h>
#include <stdbool.h>

#include "dlf/status.h"

/* x (M,M) becomes its discrete Fourier transform, M a power of 2, at most 65536:
 *
 *   X[u,v] = sum_{i,j} x[i,j] exp(-2 pi i (u i + v j) / M)
 *
 * inverse: the other sign, and divided by M^2. Radix 2 (Cooley & Tukey 1965): 2M transforms of
 * (M/2) log2 M butterflies, of one complex product and two sums (10 flops) each.
 *   flops   is raised by 10 M^2 log2 M; may be NULL
 *   errors  DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status dlf_fft2(double complex *x, int M, bool inverse, double *flops);
#endif
