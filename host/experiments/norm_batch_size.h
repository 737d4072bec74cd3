/* SPDX-License-Identifier: MIT
 * norm_batch_size.h -- the parts of the experiment `norm-batch-size` (Q25, Q33), and the training
 * that they share. */
#ifndef DLF_NORM_BATCH_SIZE_H
#define DLF_NORM_BATCH_SIZE_H
#include "dlf/data.h"
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_nbs_dense(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_nbs_groups(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_nbs_conv(dlf_run *run, double from, double to);

typedef enum dlf_nbs_kind {
    DLF_NBS_BN,
    DLF_NBS_LN,
    DLF_NBS_GN,
    DLF_NBS_IN,
    DLF_NBS_NONE
} dlf_nbs_kind;
enum { DLF_NBS_KINDS = 5 };
extern const char *const dlf_nbs_ids[DLF_NBS_KINDS]; /* "batch_norm", .. "none" */
extern const dlf_text dlf_nbs_labels[DLF_NBS_KINDS];

/* Networks of one kind, one batch size, all seeds together, lr = 0.1 B/32 (linear scaling; without
 * norm a fifth of it), momentum 0.9. */
typedef struct dlf_nbs_job {
    dlf_nbs_kind kind;
    int groups; /* GN */
    int batch, epochs;
    bool conv; /* convolutional, or three hidden layers */
} dlf_nbs_job;

/* error[s]: share of the test rows that are wrong; a network that diverged errs on what its frozen
 * parameters get wrong, and counts in *diverged, which is a share of the seeds. */
DLF_MUST_CHECK dlf_status dlf_nbs_train(dlf_run *run, const dlf_dataset *data,
                                        const dlf_nbs_job *job, double *error, double *diverged,
                                        double from, double to);
/* The network alone, for dlf_experiment.network. */
DLF_MUST_CHECK dlf_status dlf_nbs_network(dlf_graph **out, dlf_device *device,
                                          const dlf_nbs_job *job, int members, int width,
                                          const dlf_dataset *shape);

#endif
