/* SPDX-License-Identifier: MIT
 * hmm.h -- hidden Markov models on the host, in double (Rabiner 1989).
 *
 *   p(o, s) = start[s_1] emit[s_1, o_1] prod_t move[s_t, s_{t+1}] emit[s_{t+1}, o_{t+1}] */
#ifndef DLF_HMM_H
#define DLF_HMM_H
#include <stdbool.h>
#include <stdint.h>

#include "dlf/status.h"

/* K states, M symbols; rows sum to 1. */
typedef struct dlf_hmm {
    int states, symbols;
    double *start; /* (K)   owns all three */
    double *move;  /* (K,K) from, to       */
    double *emit;  /* (K,M)                */
} dlf_hmm;

/* All zeros. errors  DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status dlf_hmm_new(dlf_hmm *m, int states, int symbols);
void dlf_hmm_free(dlf_hmm *m); /* zeroed is fine */

/* Rows of u^power, u uniform on [least, 1 + least), normalised: a function of the arguments. A
 * large power makes few entries of a row count: nearly equal rows are a saddle that EM hardly
 * leaves. */
void dlf_hmm_draw(dlf_hmm *m, double least, double power, uint64_t seed, uint32_t stream,
                  uint32_t member);

/* One symbol of the model after state *state (< 0: none yet), which moves on; u two uniforms. */
int dlf_hmm_sample(const dlf_hmm *m, int *state, const double u[2]);

/* One step of the forward algorithm: alpha (K), the posterior of the state before o (first: start
 * as it is; else moved by one step), becomes that after o. Returns p(o | what came before). */
double dlf_hmm_filter(const dlf_hmm *m, double *alpha, int o, bool first);

/* Expected counts given o (T), by forward and backward, are added to move (K,K), emit (K,M) and
 * start (K); each may be NULL. *log_likelihood: ln p(o), may be NULL.
 *   cost T (4 K^2 + K M);  errors  DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status dlf_hmm_counts(const dlf_hmm *m, const int *o, int T, double *move,
                                         double *emit, double *start, double *log_likelihood);

/* Baum-Welch from m as it is on R sequences o (R,T): `rounds` of EM, each of which cannot lower the
 * likelihood (Baum et al. 1970). *log_likelihood is that before the last round, of all sequences.
 *   errors  DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status dlf_hmm_fit(dlf_hmm *m, const int *o, int R, int T, int rounds,
                                      double *log_likelihood);
#endif
