/* SPDX-License-Identifier: MIT
 * norm_axes.c -- Q33: batch, layer, instance, group norm: what is the difference?
 *
 * Claim   They differ in nothing but the axes that share one mean and variance, and those axes
 *         decide everything else: what a norm does not see, whom it mixes with whom, and which way
 *         the gradient may point. Every prediction is computed from the axis table of norm.h.
 * Control no norm, and weight norm, which normalizes no activation at all. */
#include "norm_axes.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("rows", 64, 64, 4, 4096, "rows", "梯度几何：批大小",
                  "gradient geometry: rows of a batch"),
    {.name = NULL},
};

unsigned norm_axes_of(dlf_norm_kind kind, bool spatial)
{
    return (dlf_norm_over_samples(kind) ? AXIS_SAMPLES : 0u) |
           (dlf_norm_over_channels(kind) != DLF_ONE_CHANNEL ? AXIS_CHANNELS : 0u) |
           (spatial ? AXIS_POSITIONS : 0u);
}

static dlf_status run_norm_axes(dlf_run *run)
{
    dlf_device *exact = NULL;
    dlf_status status;
    DLF_TRY_DONE(dlf_device_open(&exact, "ref"));
    DLF_TRY_DONE(dlf_run_stage(run, 0.0, "sets"));
    DLF_TRY_DONE(norm_axes_sets(run));
    DLF_TRY_DONE(dlf_run_stage(run, 0.2, "identities"));
    DLF_TRY_DONE(norm_axes_identities(run, exact));
    DLF_TRY_DONE(dlf_run_stage(run, 0.4, "invariances"));
    DLF_TRY_DONE(norm_axes_invariance(run, exact));
    DLF_TRY_DONE(dlf_run_stage(run, 0.7, "gradient"));
    DLF_TRY_DONE(norm_axes_geometry(run));
done:
    dlf_device_close(exact);
    return status;
}

const dlf_experiment dlf_experiment_norm_axes = {
    .slug = "norm-axes",
    .questions = "Q33",
    .title = {"Batch Normalization、Instance Normalization、Layer Normalization、Group "
              "Normalization之间有什么区别？",
              "What is the difference between Batch, Instance, Layer and Group Normalization?"},
    .claim = {"它们只差在均值和方差取自哪些轴；轴决定不变性、样本间的依赖和梯度的方向",
              "they differ only in the axes of the mean and variance; the axes decide the "
              "invariances, who depends on whom, and where the gradient may point"},
    .quick_seeds = 5,
    .full_seeds = 16,
    .params = params,
    .run = run_norm_axes,
};
