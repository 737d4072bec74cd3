/* SPDX-License-Identifier: MIT
 * gradient_arms.h -- the measurement that Q7 and Q8 share: random networks ("arms") side by side,
 * the gradient of every layer, its growth factor against chi_1. */
#ifndef DLF_GRADIENT_ARMS_H
#define DLF_GRADIENT_ARMS_H
#include "dlf/experiment.h"

typedef struct dlf_arm {
    const char *id; /* [a-z0-9_]+; names the check chi_<id>                        */
    dlf_activation_kind kind;
    double sigma_w2, sigma_b2; /* sigma_w2 < 0: the edge of chaos for this sigma_b2           */
    bool control;              /* the arm where chi_1 = 1: nothing may happen                 */
} dlf_arm;

/* Parameters every user of the arms has; put the macro into the experiment's list. */
#define DLF_ARM_PARAMS                                                                             \
    {"activation",                                                                                 \
     DLF_PARAM_CHOICE,                                                                             \
     0,                                                                                            \
     0,                                                                                            \
     0,                                                                                            \
     0,                                                                                            \
     "all,linear,sigmoid,tanh,relu,leaky_relu,elu,selu,gelu,gelu_tanh,silu,softplus",              \
     "",                                                                                           \
     {"激活函数；all 为内置的对照组合", "activation; all: the built-in set of arms"}},             \
        {"sigma_w2",                                                                               \
         DLF_PARAM_REAL,                                                                           \
         1,                                                                                        \
         1,                                                                                        \
         0.001,                                                                                    \
         1000,                                                                                     \
         NULL,                                                                                     \
         "1",                                                                                      \
         {"权重方差 × fan_in（需同时指定 activation）",                                            \
          "weight variance x fan_in (needs activation)"}},                                         \
        {"sigma_b2",                                                                               \
         DLF_PARAM_REAL,                                                                           \
         0,                                                                                        \
         0,                                                                                        \
         0,                                                                                        \
         100,                                                                                      \
         NULL,                                                                                     \
         "1",                                                                                      \
         {"偏置方差（需同时指定 activation）", "bias variance (needs activation)"}},               \
        {"width",                                                                                  \
         DLF_PARAM_INT,                                                                            \
         512,                                                                                      \
         1024,                                                                                     \
         8,                                                                                        \
         16384,                                                                                    \
         NULL,                                                                                     \
         "units",                                                                                  \
         {"每层宽度", "units per layer"}},                                                         \
        {"depth",                                                                                  \
         DLF_PARAM_INT,                                                                            \
         30,                                                                                       \
         50,                                                                                       \
         3,                                                                                        \
         1000,                                                                                     \
         NULL,                                                                                     \
         "layers",                                                                                 \
         {"未训练网络的层数", "layers of the untrained networks"}},                                \
    {                                                                                              \
        "batch", DLF_PARAM_INT, 4, 4, 1, 4096, NULL, "rows",                                       \
        {                                                                                          \
            "输入个数", "inputs per network"                                                       \
        }                                                                                          \
    }

/* The user's own arm and its critical control when activation=... was set; else the given set. */
DLF_MUST_CHECK dlf_status dlf_choose_arms(dlf_run *run, const dlf_arm *defaults, int n_defaults,
                                          dlf_arm *arms, int *n_arms);

/* dlf_propagate's progress as a share of the run's: pass dlf_report_stage and a dlf_stage. */
typedef struct dlf_stage {
    dlf_run *run;
    double from, to;
    const char *text;
} dlf_stage;
DLF_MUST_CHECK dlf_status dlf_report_stage(void *stage, double fraction);

/* Propagate all arms x seeds and add
 *   table  growth          one row per arm: theory and measured factor with interval
 *   table  gradients       arm, layer: mean |delta|^2 relative to the top layer, interval, theory
 *   table  gradient_seeds  arm, seed, layer: each seed
 *   check  chi_<arm>       2 % or three standard errors of the finite-width noise, sqrt(5/(N L S))
 * Uses the share from..to of the progress bar. */
DLF_MUST_CHECK dlf_status dlf_measure_arms(dlf_run *run, const dlf_arm *arms, int n_arms,
                                           double from, double to);

/* Figure gradient_by_layer of arms[pick[0]], arms[pick[1]], ... (pick NULL: arms[0], arms[1], ...),
 * at most DLF_ARMS_DRAWN of them: every seed, mean with interval, theory, ratio below. */
enum { DLF_ARMS_DRAWN = 8 };
DLF_MUST_CHECK dlf_status dlf_gradient_figure(dlf_run *run, const dlf_arm *arms, const int *pick,
                                              int n, dlf_text title);

/* exp of mean and 95 % jackknife interval of ln(mean of values[0], values[step], ...). */
dlf_estimate dlf_log_mean(const double *values, int n, int step);

/* "tanh, σw²=4, σb²=0.05" */
void dlf_arm_label(const dlf_arm *arm, char *text, size_t size);

#endif
