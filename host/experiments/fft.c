/* SPDX-License-Identifier: MIT
 * fft.c -- the fast Fourier transform of the textbook. */
#include "fft.h"

#include <math.h>
#include <stdlib.h>

/* In place; root[k] = exp(-+2 pi i k / M), k < M/2. */
static void transform(double complex *x, int M, const double complex *root, double *flops)
{
    for (int i = 1, j = 0; i < M; i++) { /* bits of i in reverse */
        int bit = M / 2;
        for (; j & bit; bit /= 2) j ^= bit;
        j ^= bit;
        if (i < j) {
            const double complex swap = x[i];
            x[i] = x[j];
            x[j] = swap;
        }
    }
    for (int half = 1; half < M; half *= 2)
        for (int k = 0; k < half; k++) {
            const double wr = creal(root[k * (M / 2 / half)]), wi = cimag(root[k * (M / 2 / half)]);
            for (int i = k; i < M; i += 2 * half) {
                const double ar = creal(x[i]), ai = cimag(x[i]);
                const double br = creal(x[i + half]), bi = cimag(x[i + half]);
                const double tr = wr * br - wi * bi, ti = wr * bi + wi * br;
                x[i] = CMPLX(ar + tr, ai + ti);
                x[i + half] = CMPLX(ar - tr, ai - ti);
                *flops += 10.0;
            }
        }
}

dlf_status dlf_fft2(double complex *x, int M, bool inverse, double *flops)
{
    double unused = 0.0, *counted = flops ? flops : &unused;
    double complex *root = malloc((size_t)(M + M / 2 + 1) * sizeof *root), *column;
    if (!root) return dlf_fail(DLF_ERR_OOM, "fourier: out of memory");
    column = root + M / 2 + 1;
    for (int k = 0; k < M / 2; k++) {
        const double angle = (inverse ? 2.0 : -2.0) * M_PI * k / M;
        root[k] = CMPLX(cos(angle), sin(angle));
    }
    for (int i = 0; i < M; i++) transform(x + (long)i * M, M, root, counted);
    for (int j = 0; j < M; j++) {
        for (int i = 0; i < M; i++) column[i] = x[(long)i * M + j];
        transform(column, M, root, counted);
        for (int i = 0; i < M; i++) x[(long)i * M + j] = column[i];
    }
    if (inverse)
        for (long i = 0; i < (long)M * M; i++) x[i] /= (double)M * M;
    free(root);
    return DLF_OK;
}
