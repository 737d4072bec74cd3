/* SPDX-License-Identifier: MIT
 * boltzmann.h -- the parts of the experiment `boltzmann` (Q29), and the models they share. */
#ifndef DLF_BOLTZMANN_H
#define DLF_BOLTZMANN_H
#include "dlf/experiment.h"
#include "dlf/graph.h"

/* ---- Ising ring: spins s_i = +-1 on a circle of n, energy -J sum s_i s_{i+1}, coupling = beta J -
 */

/* Z = (2 cosh)^n (1 + tanh^n);  <s_0 s_r> = (t^r + t^(n-r)) / (1 + t^n), t = tanh(coupling) */
double dlf_ising_log_z(int n, double coupling);
double dlf_ising_correlation(int n, double coupling, int r);

/* ---- restricted Boltzmann machine on 3x3 bars and stripes ------------------------------------ */

enum { DLF_RBM_V = 9, DLF_RBM_H = 8, DLF_RBM_STATES = 512, DLF_RBM_PATTERNS = 14 };

/* p(v,h) = exp(b v + c h + h W v) / Z, v and h of 0 and 1 */
typedef struct dlf_rbm {
    double w[DLF_RBM_H][DLF_RBM_V], b[DLF_RBM_V], c[DLF_RBM_H];
} dlf_rbm;

/* Pixel i of state s is bit i. The fourteen images of whole rows, or of whole columns, ascending.
 */
void dlf_rbm_patterns(int32_t pattern[DLF_RBM_PATTERNS]);
/* b v + sum_j log(1 + exp(c_j + W_j v)) of a state: log p + log Z */
double dlf_rbm_score(const dlf_rbm *m, int state);
double dlf_rbm_log_z(const dlf_rbm *m);                       /* by enumeration */
double dlf_rbm_loss(const dlf_rbm *m);                        /* mean of -log p over the patterns */
void dlf_rbm_law(const dlf_rbm *m, double p[DLF_RBM_STATES]); /* p of all states */
/* <h_j v_i>, <v_i>, <h_j> where v has the law p and h follows: dloss = of the model - of the data
 */
void dlf_rbm_moments(const dlf_rbm *m, const double p[DLF_RBM_STATES], dlf_rbm *out);

/* Uniform numbers one after the other: four to a block. */
typedef struct dlf_rbm_dice {
    uint64_t seed, at;
    uint32_t stream, member;
    float u[4];
} dlf_rbm_dice;
/* h given v, then v given h; states as bits. */
int dlf_rbm_sample_hidden(const dlf_rbm *m, int v, double beta, dlf_rbm_dice *dice);
int dlf_rbm_sample_visible(const dlf_rbm *m, int h, double beta, dlf_rbm_dice *dice);
float dlf_rbm_toss(dlf_rbm_dice *dice); /* uniform in [0,1) */

/* One step of v -> h -> v on a law: p <- p T, exactly; table (STATES, 2^H) of p(h|v) and back
 * (2^H, STATES) of p(v|h), from dlf_rbm_tables. */
void dlf_rbm_tables(const dlf_rbm *m, double *to_hidden, double *to_visible);
void dlf_rbm_step(const double *to_hidden, const double *to_visible, double p[DLF_RBM_STATES]);

/* The same without tables: cheap where p is 0 for most states. */
void dlf_rbm_round(const dlf_rbm *m, double p[DLF_RBM_STATES]);

/* As a graph whose loss is exact: all `states` of "x" (1,states,inputs) are scored, "h" (hidden
 * softplus units, none if 0) and "b" are the parameters, and the cross-entropy of the scores at
 * "label" (1,patterns) is the mean of -log p: log Z is its log of a sum. "ones" (1,patterns,1) and
 * "sum" (1,hidden,1) hold ones; weights start as N(0, variance / inputs).  NULL on failure. */
DLF_MUST_CHECK dlf_status dlf_boltzmann_net(dlf_graph **out, dlf_device *device, int members,
                                            int states, int inputs, int hidden, int patterns,
                                            double variance);

/* ---- the parts ------------------------------------------------------------------------------- */

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures.
 * training leaves the exactly trained models of all seeds: trained after all steps, early after a
 * tenth, at the start; each (seeds). */
typedef struct dlf_rbm_models {
    dlf_rbm *start, *early, *trained;
} dlf_rbm_models;
DLF_MUST_CHECK dlf_status dlf_boltzmann_ring(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_boltzmann_training(dlf_run *run, const dlf_rbm_models *models,
                                                 double from, double to);
DLF_MUST_CHECK dlf_status dlf_boltzmann_bias(dlf_run *run, const dlf_rbm_models *models,
                                             double from, double to);
DLF_MUST_CHECK dlf_status dlf_boltzmann_annealing(dlf_run *run, const dlf_rbm_models *models,
                                                  double from, double to);
#endif
