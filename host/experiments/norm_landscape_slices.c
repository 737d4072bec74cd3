/* SPDX-License-Identifier: MIT
 * norm_landscape_slices.c -- Q33: the loss along the gradient while a network trains (Santurkar et
 * al. 2018, section 3.1 and figure 4). At some steps of a run the loss L and its gradient g are
 * taken again at theta - alpha g, for alpha from a quarter to four times the learning rate, on the
 * batch of that step. Then
 *
 *   range of losses          largest L(alpha) - smallest L(alpha)
 *   gradient predictiveness  largest |g(alpha) - g(0)| / |g(0)|
 *   smoothness beta          largest |g(alpha) - g(0)| / (alpha |g(0)|)       a Lipschitz constant
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/train.h"
#include "norm_landscape.h"
#include "seed_check.h"

enum { SLICES = 10, BATCH = 64, MEASURES = 3 };
static const double alphas[] = {0.25, 0.5, 1.0, 2.0, 3.0, 4.0}; /* times the learning rate */
enum { ALPHAS = sizeof alphas / sizeof alphas[0] };
static const int methods[] = {NORM_NONE, DLF_BATCH_NORM, DLF_LAYER_NORM};
enum { METHODS = sizeof methods / sizeof methods[0] };
static const double rate = 0.1;

enum { RANGE, PREDICTIVENESS, SMOOTHNESS };

/* Per method: [slice][measure][seed]. */
typedef struct slices {
    int seeds, steps[SLICES];
    double *value;
} slices;

static double *at(const slices *s, int k, int measure)
{
    return s->value + (k * MEASURES + measure) * s->seeds;
}

/* Host copies of the parameters and gradients of all members, (P,n) each. */
typedef struct host {
    int64_t n;
    float *theta, *g, *moved, *other;
    double *loss;
} host;

static void compare(slices *s, int k, const host *h, int a, const double *least, const double *most)
{
    for (int p = 0; p < s->seeds; p++) {
        double square = 0.0, change = 0.0;
        for (int64_t i = 0; i < h->n; i++) {
            const double g = h->g[p * h->n + i], d = h->other[p * h->n + i] - g;
            square += g * g;
            change += d * d;
        }
        const double relative = sqrt(change / square);
        at(s, k, RANGE)[p] = most[p] - least[p];
        at(s, k, PREDICTIVENESS)[p] = norm_larger(at(s, k, PREDICTIVENESS)[p], relative);
        at(s, k, SMOOTHNESS)[p] =
            norm_larger(at(s, k, SMOOTHNESS)[p], relative / (alphas[a] * rate));
    }
}

/* The batch of the next step, at theta and along -g; theta is given back. */
static dlf_status look(slices *s, int k, dlf_graph *g, dlf_train *t, host *h)
{
    const int P = s->seeds;
    dlf_tensor *theta = dlf_graph_parameters(g), *gradient = dlf_graph_gradients(g);
    double least[256], most[256];
    DLF_TRY(dlf_train_probe(t));
    DLF_TRY(dlf_graph_objective(g, h->loss));
    DLF_TRY(dlf_tensor_download(h->theta, theta));
    DLF_TRY(dlf_tensor_download(h->g, gradient));
    for (int p = 0; p < P; p++) least[p] = most[p] = h->loss[p];
    for (int m = 0; m < MEASURES; m++)
        for (int p = 0; p < P; p++) at(s, k, m)[p] = 0.0;
    for (int a = 0; a < ALPHAS; a++) {
        for (int64_t i = 0; i < P * h->n; i++)
            h->moved[i] = (float)(h->theta[i] - alphas[a] * rate * h->g[i]);
        DLF_TRY(dlf_tensor_upload(theta, h->moved));
        DLF_TRY(dlf_graph_forward(g, DLF_TRAINING));
        DLF_TRY(dlf_graph_backward(g));
        DLF_TRY(dlf_graph_objective(g, h->loss));
        DLF_TRY(dlf_tensor_download(h->other, gradient));
        for (int p = 0; p < P; p++) {
            least[p] = norm_smaller(least[p], h->loss[p]);
            most[p] = norm_larger(most[p], h->loss[p]);
        }
        compare(s, k, h, a, least, most);
    }
    return dlf_tensor_upload(theta, h->theta);
}

static dlf_status host_new(host *h, dlf_graph *g, int P)
{
    *h = (host){.n = dlf_graph_parameters(g)->shape[1]};
    const size_t size = (size_t)(P * h->n);
    h->theta = malloc(4 * size * sizeof *h->theta);
    h->loss = malloc((size_t)P * sizeof *h->loss);
    if (!h->theta || !h->loss) return dlf_fail(DLF_ERR_OOM, "norm-landscape: out of memory");
    h->g = h->theta + size;
    h->moved = h->g + size;
    h->other = h->moved + size;
    return DLF_OK;
}

static dlf_status one_method(dlf_run *run, const dlf_dataset *data, int method, slices *s,
                             double from, double to)
{
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    host h = {0};
    dlf_status status;
    double lr[256];
    for (int p = 0; p < s->seeds; p++) lr[p] = rate;
    DLF_TRY_DONE(landscape_network(&g, dlf_run_device(run), method, s->seeds, BATCH, data->features,
                                   dlf_run_int(run, "digits_width"),
                                   dlf_run_int(run, "digits_depth") / 2, data->classes));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run) + 1, NULL));
    DLF_TRY_DONE(dlf_train_new(&t, g, data,
                               &(dlf_train_spec){.seed = dlf_run_seed(run) + 1,
                                                 .lr = lr,
                                                 .optimiser = dlf_sgd(0.0, 0.0)}));
    DLF_TRY_DONE(host_new(&h, g, s->seeds));
    for (int k = 0; k < SLICES; k++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * k / SLICES, "slices: %s",
                                   norm_method_id(method)));
        DLF_TRY_DONE(dlf_train_run(t, s->steps[k] - (int)dlf_train_steps_done(t)));
        DLF_TRY_DONE(look(s, k, g, t, &h));
    }
done:
    free(h.theta);
    free(h.loss);
    dlf_train_free(t);
    dlf_graph_free(g);
    return status;
}

/* ---- report -----------------------------------------------------------------------------------
 */

/* Mean and interval of the logarithm: the values scatter by factors. */
static dlf_estimate geometric(const double *value, int n)
{
    double v[256];
    for (int p = 0; p < n; p++) v[p] = log(value[p]);
    const dlf_estimate e = dlf_estimate_of(v, n, 1);
    return (dlf_estimate){exp(e.mean), exp(e.lo), exp(e.hi), e.sd, n};
}

static dlf_status add_rows(dlf_table *t, int method, const slices *s)
{
    for (int k = 0; k < SLICES; k++) {
        dlf_estimate e[MEASURES];
        for (int m = 0; m < MEASURES; m++) e[m] = geometric(at(s, k, m), s->seeds);
        DLF_TRY(dlf_table_row(t, DLF_TXT(norm_method_id(method)), DLF_NUM(s->steps[k]),
                              DLF_NUM(e[RANGE].mean), DLF_NUM(e[RANGE].lo), DLF_NUM(e[RANGE].hi),
                              DLF_NUM(e[PREDICTIVENESS].mean), DLF_NUM(e[PREDICTIVENESS].lo),
                              DLF_NUM(e[PREDICTIVENESS].hi), DLF_NUM(e[SMOOTHNESS].mean)));
    }
    return DLF_OK;
}

/* Without a norm over with it: mean of the logarithm over the slices, per seed; back to a factor.
 */
static dlf_estimate ratio_of(const slices *none, const slices *with, int measure)
{
    double v[256];
    for (int p = 0; p < none->seeds; p++) {
        v[p] = 0.0;
        for (int k = 0; k < SLICES; k++)
            v[p] += log(at(none, k, measure)[p] / at(with, k, measure)[p]) / SLICES;
    }
    const dlf_estimate e = dlf_estimate_of(v, none->seeds, 1);
    return (dlf_estimate){exp(e.mean), exp(e.lo), exp(e.hi), e.sd, e.n};
}

/* The range mixes the descent that one wants with the swing that one does not: which network has
 * the larger one depends on width and rate, so that it is a fact here and no check. */
static dlf_status ratio_checks(dlf_run *run, const slices *s)
{
    for (int i = 1; i < METHODS; i++) {
        char id[48], zh[160], en[160];
        const dlf_text name = norm_method_name(methods[i]);
        const dlf_estimate ratio = ratio_of(&s[0], &s[i], PREDICTIVENESS);
        snprintf(id, sizeof id, "gradient_%s", norm_method_id(methods[i]));
        snprintf(zh, sizeof zh, "走一步之后梯度的相对变化：无归一化 / %s", name.zh);
        snprintf(en, sizeof en, "relative change of the gradient after a step: no norm over %s",
                 name.en);
        dlf_check c = dlf_check_of(id, (dlf_text){zh, en}, ratio);
        c.relation = DLF_AT_LEAST;
        c.expected = 1.0;
        c.has_verdict = true;
        c.verdict = dlf_verdict_above(ratio, 1.0);
        c.source = "Santurkar et al. 2018, figure 4, for VGG on CIFAR-10, in direction; decided by "
                   "the whole interval";
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
        snprintf(id, sizeof id, "range_%s", norm_method_id(methods[i]));
        DLF_TRY(dlf_result_fact(dlf_run_result(run), id, ratio_of(&s[0], &s[i], RANGE).mean, "1"));
    }
    return DLF_OK;
}

static dlf_status figure(dlf_run *run, const char *id, dlf_text title, dlf_text y,
                         const char *column)
{
    char lo[32], hi[32];
    snprintf(lo, sizeof lo, "%s_lo", column);
    snprintf(hi, sizeof hi, "%s_hi", column);
    dlf_figure f = {.id = id,
                    .kind = DLF_LINES,
                    .title = title,
                    .subtitle = {"手写数字，ReLU，学习率 0.1；沿梯度走学习率的 1/4 到 4 倍，同一批"
                                 "数据",
                                 "digits, ReLU, learning rate 0.1; a quarter to four times the "
                                 "rate along the gradient, on the same batch"},
                    .x = {{"训练步", "training step"}, false},
                    .y = {y, true}};
    for (int m = 0; m < METHODS; m++)
        f.series[m] = (dlf_series){.role = m ? DLF_MEASURED : DLF_CONTROL,
                                   .table = "slices",
                                   .where = "method",
                                   .equals = norm_method_id(methods[m]),
                                   .x = "step",
                                   .y = column,
                                   .lo = lo,
                                   .hi = hi,
                                   .label = norm_method_name(methods[m]),
                                   .colour = m};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status report(dlf_run *run, const slices *s)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "slices",
                             (dlf_text){"沿梯度的损失", "the loss along the gradient"},
                             (const dlf_column[]){{"method", NULL},
                                                  {"step", "step"},
                                                  {"range", "nat"},
                                                  {"range_lo", "nat"},
                                                  {"range_hi", "nat"},
                                                  {"predictiveness", "1"},
                                                  {"predictiveness_lo", "1"},
                                                  {"predictiveness_hi", "1"},
                                                  {"smoothness", "1"},
                                                  {NULL, NULL}},
                             &t));
    for (int m = 0; m < METHODS; m++) DLF_TRY(add_rows(t, methods[m], &s[m]));
    DLF_TRY(ratio_checks(run, s));
    DLF_TRY(
        figure(run, "range",
               (dlf_text){"沿梯度方向，损失起伏多大", "How far the loss swings along the gradient"},
               (dlf_text){"损失的最大值 − 最小值", "largest − smallest loss"}, "range"));
    return figure(run, "predictiveness",
                  (dlf_text){"走一步之后，梯度还剩多少可信", "How far the gradient can be trusted"},
                  (dlf_text){"max |g(α) − g(0)| / |g(0)|", "max |g(α) − g(0)| / |g(0)|"},
                  "predictiveness");
}

dlf_status landscape_slices(dlf_run *run, const dlf_dataset *data, double from, double to)
{
    const int steps = dlf_run_int(run, "rate_steps");
    slices s[METHODS] = {{.seeds = 0}};
    dlf_status status;
    for (int m = 0; m < METHODS; m++) {
        s[m].seeds = dlf_run_seeds(run) < 256 ? dlf_run_seeds(run) : 256;
        for (int k = 0; k < SLICES; k++) s[m].steps[k] = k * steps / SLICES;
        s[m].value = calloc((size_t)(SLICES * MEASURES * s[m].seeds), sizeof *s[m].value);
        if (!s[m].value) {
            status = dlf_fail(DLF_ERR_OOM, "norm-landscape: out of memory");
            goto done;
        }
        DLF_TRY_DONE(one_method(run, data, methods[m], &s[m], from + (to - from) * m / METHODS,
                                from + (to - from) * (m + 1) / METHODS));
    }
    DLF_TRY_DONE(report(run, s));
done:
    for (int m = 0; m < METHODS; m++) free(s[m].value);
    return status;
}
