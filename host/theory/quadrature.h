/* SPDX-License-Identifier: MIT
 * quadrature.h -- sum_i w[i] g(z[i]) approximates E[g(z)], z ~ N(0,1); exact kinks at z = 0. */
#ifndef DLF_QUADRATURE_H
#define DLF_QUADRATURE_H

enum { DLF_GAUSS_NODES_MAX = 1024 };

typedef struct dlf_gauss_rule {
    int n;
    double z[DLF_GAUSS_NODES_MAX], w[DLF_GAUSS_NODES_MAX];
} dlf_gauss_rule;

const dlf_gauss_rule *dlf_gauss_fine(void);   /* one dimension: features down to 4e-6 wide    */
const dlf_gauss_rule *dlf_gauss_coarse(void); /* two dimensions: a third of the nodes         */
#endif
