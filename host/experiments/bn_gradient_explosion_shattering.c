/* SPDX-License-Identifier: MIT
 * bn_gradient_explosion_shattering.c -- Q25: batch norm makes the samples of a batch as unlike as
 * independent ones, in every layer anew. Two of them then share half of their ReLU masks, and their
 * gradients lose half of their correlation per layer: (1/2)^k after k layers (Balduzzi et al.
 * 2017).
 *
 * Control: layer norm works on one sample; inputs of correlation c grow alike, kappa_1(c) > c, and
 * their gradients keep kappa_0(c) > 1/2 of it. */
#include <math.h>
#include <stdlib.h>

#include "bn_gradient_explosion.h"
#include "dlf/theory.h"
#include "seed_check.h"
#include "skip_connections.h"

enum { DEPTH = 10, CHECKED = 4, NETS = 8, KINDS = 2 };
static const dlf_norm_kind kinds[KINDS] = {DLF_BATCH_NORM, DLF_LAYER_NORM};

/* k layers from the top; independent inputs at the bottom. */
static double law(dlf_norm_kind kind, int k)
{
    double product = 1.0, c = 0.0;
    if (kind == DLF_BATCH_NORM) return pow(0.5, k);
    for (int l = 0; l < DEPTH; l++) {
        if (l >= DEPTH - k) product *= dlf_arccos_kernel0(c);
        c = dlf_arccos_kernel1(c);
    }
    return product;
}

static dlf_status look(dlf_skip_view *view, dlf_run *run, dlf_norm_kind kind, int batch,
                       const double *mix, const double *sign, double from, double to)
{
    const double skip = 0.0, branch = 1.0;
    const dlf_norm norm = {.kind = kind};
    const dlf_skip_stack stack = {.kind = DLF_SKIP_NORM_SUM,
                                  .width = dlf_run_int(run, "width"),
                                  .depth = DEPTH,
                                  .batch = batch,
                                  .arms = 1,
                                  .skip = &skip,
                                  .branch = &branch,
                                  .mix = mix,
                                  .mix_columns = batch,
                                  .gradient_mix = sign,
                                  .gradient_columns = 1,
                                  .every = 1,
                                  .gram = true,
                                  .norm = &norm};
    return dlf_skip_look(view, run, &stack, dlf_run_seeds(run) * NETS, dlf_run_seed(run) + 5, from,
                         to, "shattered gradients");
}

static dlf_status report(dlf_run *run, dlf_table *t, const dlf_skip_view *view, dlf_norm_kind kind,
                         const double *sign, double *by_seed)
{
    const int S = dlf_run_seeds(run);
    const bool batch = kind == DLF_BATCH_NORM;
    for (int k = 0; k <= DEPTH; k++) {
        dlf_skip_correlations(by_seed, view, 0, DEPTH - k, sign, S);
        const dlf_estimate e = dlf_estimate_of(by_seed, S, 1);
        DLF_TRY(dlf_table_row(t, DLF_TXT(dlf_norm_name(kind)), DLF_NUM(k), DLF_NUM(e.mean),
                              DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(law(kind, k))));
        if (k != CHECKED) continue;
        dlf_check check = dlf_check_of(
            batch ? "shattering" : "shattering_layer_norm",
            batch
                ? (dlf_text){"BN-ReLU：四层之后两个样本的梯度相关只剩 (1/2)⁴",
                             "BN-ReLU: after four layers the gradients of two samples keep (1/2)⁴ "
                             "of their correlation"}
                : (dlf_text){"对照，LN-ReLU：四层之后按 Πκ₀(c)，保留得多",
                             "control, LN-ReLU: Πκ₀(c) after four layers, which is much more"},
            e);
        check.expected = law(kind, k);
        check.relative = true;
        /* see skip_connections_shattering.c: |sum of rows|^2 is a chi-square passed on k times;
         * with layer norm |g|^2 of one network fluctuates by 5 k/N */
        check.tolerance = fmax(
            0.06, batch ? 4.0 * sqrt(2.0 * k / ((double)view->nets * dlf_run_int(run, "width")))
                        : 5.0 * DEPTH / dlf_run_int(run, "width"));
        check.source = batch ? "closed form: half of the masks are shared (Balduzzi et al. 2017); "
                               "6 %: terms of k/B; or 4 standard errors"
                             : "closed form: arc-cosine kernels (Cho & Saul 2009); 6 % or 5 L/N";
        DLF_TRY(dlf_result_check(dlf_run_result(run), check));
    }
    return DLF_OK;
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "shattering",
        .kind = DLF_LINES,
        .title = {"批归一化让同批样本的梯度每层失去一半相关",
                  "Batch norm halves the correlation of two samples' gradients in every layer"},
        .subtitle = {"ReLU，独立输入，顶部梯度相同；虚线 (1/2)ᵏ 与 Πκ₀(c)",
                     "ReLU, independent inputs, the same gradient at the top; dashed: (1/2)ᵏ and "
                     "Πκ₀(c)"},
        .x = {{"距顶部的层数 k", "layers from the top k"}, false},
        .y = {{"两个样本的梯度相关", "correlation of two gradients"}, true}};
    for (int i = 0; i < KINDS; i++) {
        const dlf_series shared = {.table = "shattering",
                                   .where = "norm",
                                   .equals = dlf_norm_name(kinds[i]),
                                   .x = "from_top",
                                   .colour = i};
        f.series[2 * i] = f.series[2 * i + 1] = shared;
        f.series[2 * i].role = i ? DLF_CONTROL : DLF_MEASURED;
        f.series[2 * i].y = "correlation";
        f.series[2 * i].lo = "lo";
        f.series[2 * i].hi = "hi";
        f.series[2 * i].label =
            i ? (dlf_text){"对照：LN-ReLU", "control: LN-ReLU"} : (dlf_text){"BN-ReLU", "BN-ReLU"};
        f.series[2 * i + 1].role = DLF_THEORY;
        f.series[2 * i + 1].y = "theory";
        f.series[2 * i + 1].label = i ? (dlf_text){"", ""} : (dlf_text){"公式", "law"};
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_bn_shattering(dlf_run *run, double from, double to)
{
    dlf_table *table;
    dlf_status status;
    const int batch = dlf_run_int(run, "shatter_batch");
    double *sign = malloc((size_t)batch * sizeof *sign), *mix = dlf_skip_identity(batch);
    double *by_seed = malloc((size_t)dlf_run_seeds(run) * sizeof *by_seed);
    if (!sign || !mix || !by_seed) {
        status = dlf_fail(DLF_ERR_OOM, "shattering: out of memory");
        goto done;
    }
    for (int i = 0; i < batch; i++) sign[i] = i % 2 ? -1.0 : 1.0;
    DLF_TRY_DONE(dlf_result_table(
        dlf_run_result(run), "shattering",
        (dlf_text){"两个样本的梯度相关", "correlation of the gradients of two samples"},
        (const dlf_column[]){{"norm", NULL},
                             {"from_top", "layers"},
                             {"correlation", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {NULL, NULL}},
        &table));
    for (int i = 0; i < KINDS; i++) {
        dlf_skip_view view = {0};
        const double at = from + (to - from) * i / KINDS;
        DLF_TRY_DONE(look(&view, run, kinds[i], batch, mix, sign, at, at + (to - from) / KINDS));
        status = report(run, table, &view, kinds[i], sign, by_seed);
        dlf_skip_view_free(&view);
        if (status != DLF_OK) goto done;
    }
    DLF_TRY_DONE(figure(run));
done:
    free(by_seed);
    free(mix);
    free(sign);
    return status;
}
