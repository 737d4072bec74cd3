/* SPDX-License-Identifier: MIT
 * hidden_layers.h -- the parts of the experiment `hidden-layers` (Q17), its closed forms and its
 * estimators. */
#ifndef DLF_HIDDEN_LAYERS_H
#define DLF_HIDDEN_LAYERS_H
#include "dlf/data.h"
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_hidden_kernel(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_hidden_unconstrained(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_hidden_networks(dlf_run *run, double from, double to);

/* ---- unconstrained features -------------------------------------------------------------------
 *
 * Every one of n rows per class has D features h of its own, free to move; logits W h + b, and
 *
 *     loss = mean cross-entropy + decay/2 (|W|^2 + |b|^2 + sum_i |h_i|^2)
 *
 * Its minimum (Zhu et al. 2021): h_i = W_c / sqrt(n) for every row i of class c, the W_c a simplex
 * of C equal lengths and cosines -1/(C-1). With m the logit of the right class above any other,
 *
 *     loss(m) = ln(1 + (C-1) e^-m) + decay (C-1) sqrt(n) m
 *     loss'(m) = 0:   m = ln(1 / (decay sqrt(n)) - (C-1)),    0 from decay = 1 / (C sqrt(n)) on  */
typedef struct dlf_unconstrained {
    int members, classes, rows, features; /* rows of each class: n */
} dlf_unconstrained;
double dlf_unconstrained_margin(int classes, int rows, double decay);
double dlf_unconstrained_threshold(int classes, int rows);

/* "features" (P,C n,D) and "logits.w" are parameters, row i belongs to class i mod C. Compiled, not
 * drawn. */
DLF_MUST_CHECK dlf_status dlf_unconstrained_new(dlf_graph **out, dlf_device *device,
                                                const dlf_unconstrained *spec);

/* ---- collapse ---------------------------------------------------------------------------------
 *
 * Papyan, Han & Donoho 2020, for rows h_i of class c_i, class means mu_c and the mean mu of these:
 * m_c = mu_c - mu, S_W = mean of (h - mu_c)(h - mu_c)^T, S_B = mean of m_c m_c^T.
 *
 * The m_c add up to 0, so the mean of their cosines is -1/(C-1) for ANY features whose m_c have one
 * length, collapsed or not: it says next to nothing. `spread` does. */
typedef struct dlf_collapse {
    double mean_cosine; /* over pairs of classes */
    double spread;    /* rms over pairs of (cosine + 1/(C-1)): 0 for a simplex                   */
    double lengths;   /* standard deviation of |m_c| over their mean                             */
    double within;    /* tr S_W / tr S_B                                                         */
    double fuzziness; /* tr(S_W S_B^+)      (He & Su 2023; Papyan's NC1 is this over C)          */
    double alignment; /* | W/|W| - M/|M| |, W (C,D) the last layer; NaN without W                */
} dlf_collapse;

enum { DLF_CLASSES_MAX = 16 };

/* h (rows, D) with labels below classes, at most DLF_CLASSES_MAX; every class has a row. gram
 * (C,C), may be NULL: m_c . m_d over the mean of |m_c|^2.
 *   errors  DLF_ERR_OOM, DLF_ERR_ARG (classes) */
DLF_MUST_CHECK dlf_status dlf_collapse_of(dlf_collapse *out, double *gram, const float *h,
                                          const int32_t *label, int rows, int D, int classes,
                                          const float *w);

/* ---- trained networks -------------------------------------------------------------------------
 *
 * Fully connected ReLU classifiers, `depth` hidden layers h1, h2, .. of equal width, with or
 * without batch norm before each ReLU; looked at as they would be used (running statistics). */
enum { DLF_HIDDEN_LOOKS = 16 };

typedef struct dlf_hidden_arm {
    const char *id;
    dlf_text label;
    bool norm;
    double decay, lr;
} dlf_hidden_arm;

typedef struct dlf_hidden_look {
    dlf_collapse train, test; /* of the last hidden layer */
    double train_accuracy, test_accuracy;
} dlf_hidden_look;

typedef struct dlf_hidden_story {
    const dlf_hidden_arm *arm;
    const dlf_dataset *data;
    int seeds, depth, width, steps;
    int looks, at[DLF_HIDDEN_LOOKS]; /* steps; the first is 0, the last `steps`             */
    dlf_hidden_look *look;           /* (looks, seeds)                                      */
    double *gram;                    /* (looks, C, C): of the first seed, training rows     */
    float *before, *after;           /* (depth, seeds, train+test, width): h1 .. h<depth>   */
} dlf_hidden_story;

/* Train `seeds` networks and look. *out is zeroed on failure. Progress: from..to. */
DLF_MUST_CHECK dlf_status dlf_hidden_train(dlf_hidden_story *out, dlf_run *run,
                                           const dlf_hidden_arm *arm, const dlf_dataset *data,
                                           int seeds, int steps, double from, double to);
void dlf_hidden_story_free(dlf_hidden_story *s);

/* Estimate over seeds of the double at `offset` into the looks number `look`. */
dlf_estimate dlf_hidden_at(const dlf_hidden_story *s, int look, size_t offset);

/* Tables, checks and figures of collapse: arms[0] is the one that should collapse. */
DLF_MUST_CHECK dlf_status dlf_hidden_collapse_report(dlf_run *run, const dlf_hidden_story *arms,
                                                     int n);

/* ---- linear probes ---- */

/* What linear maps find in layer 0 (the input), 1, .. depth of networks, per seed. */
typedef struct dlf_hidden_probe {
    double accuracy;  /* softmax regression on the layer, test rows                 */
    double fuzziness; /* tr(S_W S_B^+), training rows                               */
    double pixels;    /* share of the variance of the inputs, linear, test rows     */
} dlf_hidden_probe;

/* probe[l * seeds + s]; `trained`: the networks after training, else before. */
DLF_MUST_CHECK dlf_status dlf_hidden_probes(dlf_hidden_probe *probe, dlf_run *run,
                                            const dlf_hidden_story *s, bool trained, double from,
                                            double to);

/* ---- ridge regression -------------------------------------------------------------------------
 */

/* Share of the variance of y over the test rows that a linear map of h explains: fitted on the
 * training rows (which come first) with h centred and scaled to mean square 1, ridge
 * lambda. h (train+test, D), y (train+test, K).     errors DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status dlf_linear_share(double *out, const float *h, int D, const float *y,
                                           int K, int train, int test, double lambda);

/* h[i] <- (h[i] - mean of its column) / one number, so that training rows have mean square 1. */
void dlf_standardise(float *h, int D, int train, int test);

#endif
