/* SPDX-License-Identifier: MIT
 * experiment.h -- what one file in host/experiments/ has to provide, and what it gets.
 *
 * Adding an experiment = host/experiments/NAME.c defining `const dlf_experiment
 * dlf_experiment_NAME`, one line in experiments.def, two answer texts. */
#ifndef DLF_EXPERIMENT_H
#define DLF_EXPERIMENT_H
#include <stdbool.h>
#include <stdint.h>

#include "dlf/backend.h"
#include "dlf/graph.h"
#include "dlf/result.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef enum dlf_param_type { DLF_PARAM_INT, DLF_PARAM_REAL, DLF_PARAM_CHOICE } dlf_param_type;

/* A typed, ranged parameter: `--set name=value`. */
typedef struct dlf_param {
    const char *name;
    dlf_param_type type;
    double quick, full;  /* defaults of --quick and --full                                   */
    double min, max;     /* inclusive                                                        */
    const char *choices; /* CHOICE: "all,tanh,relu"; first is the default                    */
    const char *unit;    /* "layers", "1", ...                                               */
    dlf_text help;
} dlf_param;

/* The usual two kinds, one to a line of a table. */
/* clang-format off */
#define DLF_INT_PARAM(name, quick, full, min, max, unit, zh, en)  {name, DLF_PARAM_INT,  quick, full, min, max, NULL, unit, {zh, en}}
#define DLF_REAL_PARAM(name, quick, full, min, max, unit, zh, en) {name, DLF_PARAM_REAL, quick, full, min, max, NULL, unit, {zh, en}}
/* clang-format on */

typedef struct dlf_run dlf_run;

typedef struct dlf_experiment {
    const char *slug;      /* as typed: "vanishing"; also the file name                      */
    const char *questions; /* "Q7" or "Q14,Q18"; answers/q07.zh.md and .en.md belong to it   */
    dlf_text title;        /* the question                                                   */
    dlf_text claim;        /* one sentence that the run can support or refute                */
    int quick_seeds, full_seeds;
    const dlf_param *params; /* ends with {NULL}                                               */
    /* Build run's result. Leave early with the status of dlf_run_stage: what was added so far is
     * kept. */
    dlf_status (*run)(dlf_run *run);
    /* A network of the experiment, small (2 members, a few rows) and compiled: what `dlf explain
     * graph` prints and tests differentiate. NULL: it trains none. */
    dlf_status (*network)(dlf_graph **out, dlf_device *device);
} dlf_experiment;

extern const dlf_experiment *const dlf_experiments[]; /* NULL-terminated, in question order */

/* By slug or question ("vanishing", "Q7", "q7"). NULL if unknown. */
const dlf_experiment *dlf_experiment_find(const char *name);

/* ---- inside run() --------------------------------------------------------------------------- */

dlf_device *dlf_run_device(const dlf_run *run);
dlf_result *dlf_run_result(const dlf_run *run);
uint64_t dlf_run_seed(const dlf_run *run);
int dlf_run_seeds(const dlf_run *run);
bool dlf_run_full(const dlf_run *run);
double dlf_run_real(const dlf_run *run, const char *param);
int dlf_run_int(const dlf_run *run, const char *param);
const char *dlf_run_choice(const dlf_run *run, const char *param);
/* Directory of data sets that the user named (--data or DLF_DATA); NULL: none. For
 * dlf_dataset_request.data. */
const char *dlf_run_data_dir(const dlf_run *run);
/* Did the user type this parameter (rather than get the default)? */
bool dlf_run_is_set(const dlf_run *run, const char *param);

/* Call between pieces of work of at most about 0.2 s: shows progress with ETA on a terminal, and
 * returns DLF_ERR_CANCELLED after Ctrl-C. `fraction` is the work done so far, 0..1. `format` is the
 * current estimate or the name of the stage ("chi_1 tanh 0.759"). */
DLF_MUST_CHECK dlf_status dlf_run_stage(dlf_run *run, double fraction, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- how the CLI and tests start one ----------------------------------------------------------
 */

typedef struct dlf_setting {
    const char *name, *value; /* as typed after --set */
} dlf_setting;

typedef struct dlf_run_options {
    dlf_device *device;
    uint64_t seed;
    int seeds; /* 0: the experiment's default for the mode */
    bool full;
    const dlf_setting *set;
    int n_set;
    const char *command;  /* for the manifest */
    const char *data_dir; /* recorded as parameter data_dir; NULL: none */
    /* Called by dlf_run_stage; may be NULL. */
    void (*progress)(void *user, double fraction, const char *text);
    void *user;
    volatile const int *cancel; /* becomes non-zero on Ctrl-C; may be NULL */
} dlf_run_options;

/* Run it. *out holds the result also on DLF_ERR_CANCELLED (manifest.complete == false); it is NULL
 * on every other error.
 *   errors  DLF_ERR_NOT_FOUND  unknown parameter (message names the nearest)
 *           DLF_ERR_ARG        value not a number, out of range, not a choice, seeds < 1
 *           DLF_ERR_SELF_CHECK the result is complete (*out is set) but a self-check failed     */
DLF_MUST_CHECK dlf_status dlf_experiment_run(dlf_result **out, const dlf_experiment *e,
                                             const dlf_run_options *options);

/* Helpers shared by experiments. */
typedef struct dlf_estimate {
    double mean, lo, hi,
        sd; /* mean and 95 % Student-t interval over n values; NaN bounds if n < 2 */
    int n;
} dlf_estimate;
dlf_estimate dlf_estimate_of(const double *values, int n, int step);

/* Least-squares slope of y against x. */
double dlf_slope(const double *x, const double *y, int n);

#ifdef __cplusplus
}
#endif
#endif
