/* SPDX-License-Identifier: MIT
 * fourier.h -- the parts of the experiment `fourier` (Q37), and its closed forms. */
#ifndef DLF_FOURIER_H
#define DLF_FOURIER_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_fourier_convolution(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_fourier_spectrum(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_fourier_learning(dlf_run *run, double from, double to);

/* Flops of a convolution layer, N x N outputs, K x K kernel, B images, C inputs and C outputs:
 *   direct  2 K^2 N^2 B C^2
 *   fft     transforms of M x M: (2 B C + C^2) 10 M^2 log2 M, and B C^2 products of M^2
 * frequencies. One product is 6 flops where C = 1, one product and sum 8 where C > 1. crossover:
 * the K at which both are equal, whatever M would have to be for it. */
double dlf_fourier_direct_flops(double N, double K, double B, double C);
double dlf_fourier_fft_flops(double M, double B, double C);
double dlf_fourier_crossover(double N, double M, double B, double C);

/* How fast a wide ReLU network of one hidden layer learns the frequency m of a function on the
 * circle (n points, equally spaced): under gradient descent on (1/2n) |f - y|^2 with rate lr the
 * residual of cos(m theta) shrinks by (1 - lr c_m) per step, where c_m is the eigenvalue of the
 * neural tangent kernel (Jacot et al. 2018; Basri et al. 2019), here by its definition,
 *
 *   c_m = (1/n) sum_i Theta(rho_i) cos(2 pi m i / n)
 *   Theta(rho) = kappa_1(rho)/2 + (rho + bias) kappa_0(rho)/2     arc-cosine kernels (theory.h)
 *
 * rho_i the correlation of the inputs that lie 2 pi i / n apart: cos t for (cos t, sin t), and for
 * `features` Fourier features (cos kt, sin kt), k = 1..K, divided by sqrt(K), the mean of cos kt.
 *   n -> infinity, features 1: even m  1/pi^2 (2/(m^2-1)^2 + 1/2/(m-1)^2 + 1/2/(m+1)^2),
 *                              m = 1   1/4 + bias/pi^2,     odd m > 1  bias / (pi m)^2 */
double dlf_fourier_rate(int m, int n, int features, bool bias);

/* The network: x (1,n,2 features) -> "f" (P,n,1), in the parametrisation of the tangent kernel:
 * f = sum_j a_j relu(w_j x + b_j) / sqrt(width), all weights N(0,1), b = 0. The gradient at f is
 * seeded. Compiled. */
typedef struct dlf_fourier_net {
    int members, n, features, width;
    bool bias;
} dlf_fourier_net;
DLF_MUST_CHECK dlf_status dlf_fourier_network(dlf_graph **out, dlf_device *device,
                                              const dlf_fourier_net *net);
#endif
