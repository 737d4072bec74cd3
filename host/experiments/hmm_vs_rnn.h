/* SPDX-License-Identifier: MIT
 * hmm_vs_rnn.h -- the parts of the experiment `hmm-vs-rnn` (Q43), and its closed forms. */
#ifndef DLF_HMM_VS_RNN_H
#define DLF_HMM_VS_RNN_H
#include "dlf/experiment.h"
#include "hmm.h"
#include "recurrent.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures.
 * floor: data of a hidden Markov model. memory: k random bits, said twice. */
DLF_MUST_CHECK dlf_status dlf_hmm_floor(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_hmm_memory(dlf_run *run, double from, double to);

/* The source: two states that stay with probability 0.97 and say their own symbol with 0.8. */
DLF_MUST_CHECK dlf_status dlf_sticky_source(dlf_hmm *m);

/* h[n-1] = H(o_n | o_1 .. o_{n-1}) in nats, n = 1..most, over all sequences: the loss of the best
 * predictor that sees n - 1 symbols; it falls to the entropy rate. cost M^most K^2; K <= 64 */
void dlf_hmm_entropies(const dlf_hmm *m, double *h, int most);

/* Least expected loss, in nats, of any hidden Markov model of K states on the second half of k
 * random bits that are said twice: max(0, k - log2 K) ln 2. Because
 * q(x|x) <= sum over states of q(x|s), whose mean over x is at most K / 2^k (then Jensen). */
double dlf_memory_bound(double k, double K);

/* A model that remembers the first j of k bits and guesses the others: its loss is (k - j) ln 2,
 * with dlf_memory_states states: the bits said so far, then those still to be said. And a recurrent
 * network of k units that loses nothing: a shift register. */
int dlf_memory_states(int k, int j);
DLF_MUST_CHECK dlf_status dlf_memory_hmm(dlf_hmm *m, int k, int j);
DLF_MUST_CHECK dlf_status dlf_memory_rnn(dlf_elman_weights *e, int k);

/* Sequences of symbols 0 and 1 as a training set of a recurrent network: every step it sees (1,
 * +-1) and has to say the next symbol. */
typedef struct dlf_next_symbol {
    int members, batch, hidden, steps;
} dlf_next_symbol;
DLF_MUST_CHECK dlf_status dlf_next_symbol_network(dlf_graph **out, dlf_device *device,
                                                  const dlf_next_symbol *n);
/* Loss in nats of symbol `o` at logit z, -ln p. */
double dlf_bit_loss(double z, int o);
/* The network on a sequence o (T): loss[t] of symbol t, t = 1..T-1; loss[0] is left alone. */
void dlf_next_symbol_losses(const dlf_elman_weights *e, const int *o, int T, double *loss);
/* What the network sees and has to say of the steps + 1 symbols o: x (2 steps), target (steps). */
void dlf_next_symbol_row(float *x, float *target, const int *o, int steps);
/* Windows x (all, 2 steps) and target (all, steps); member p learns from `rows` of them, from
 * base[p] on. */
typedef struct dlf_windows {
    float *x, *target;
    int32_t *base; /* (members) */
    int rows, all;
} dlf_windows;
/* Trains all members; weights[p] (zeroed before) gets those of member p. */
DLF_MUST_CHECK dlf_status dlf_next_symbol_train(dlf_run *run, const dlf_next_symbol *n,
                                                const dlf_windows *w, int steps, double rate,
                                                dlf_elman_weights *weights, double from, double to);
#endif
