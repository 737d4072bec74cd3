/* SPDX-License-Identifier: MIT
 * embedding.h -- the parts of the experiment `embedding` (Q9). */
#ifndef DLF_EMBEDDING_H
#define DLF_EMBEDDING_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_embedding_identity(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_embedding_cost(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_embedding_words(dlf_run *run, double from, double to);

/* ---- a small language ----------------------------------------------------------------------- */

enum { DLF_WORDS = 24, DLF_TOPICS = 4 }; /* word w belongs to topic w % DLF_TOPICS */

/* joint (DLF_WORDS^2): probability that words i and j are neighbours, symmetric, sum 1. Topics meet
 * themselves 7 times as often as others; every pair has a habit of its own, exp(0.3 N(0,1)).
 * independent: the product of its marginals instead, a language in which neighbours say nothing. */
void dlf_language(double *joint, bool independent, uint64_t seed, uint32_t member);

/* ln(P(i,j) / (P(i) P(j))) - ln k: what skip-gram with k negative samples converges to where the
 * rank allows it (Levy & Goldberg 2014, eq. 12). */
void dlf_shifted_pmi(double *m, const double *joint, double k);

/* E loss of scores m: -sum P(i,j) ln s(m_ij) - k sum P(i) P(j) ln s(-m_ij), s the sigmoid. */
double dlf_sgns_loss(const double *m, const double *joint, double k);

/* |m - best m of rank at most d|^2: the sum of the squares of the singular values that are
 * discarded (Eckart & Young 1936). */
DLF_MUST_CHECK dlf_status dlf_discarded(double *out, const double *m, int n, int d);
#endif
