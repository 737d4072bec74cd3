/* SPDX-License-Identifier: MIT
 * features_digits.c -- Q1 on handwritten digits: how many random features are as good as a few
 * trained ones. */
#include <math.h>
#include <stdlib.h>

#include "classifier.h"
#include "dlf/data.h"
#include "dlf/rng.h"
#include "dlf/train.h"
#include "features.h"
#include "figures.h"
#include "least_squares.h"
#include "seed_check.h"

static const int trained_units[] = {2, 4, 8, 16, 32, 64};
static const int fixed_units[] = {4, 8, 16, 32, 64, 128, 256, 512, 1024};
enum {
    TRAINED = sizeof trained_units / sizeof trained_units[0],
    FIXED = sizeof fixed_units / sizeof fixed_units[0],
    ROWS = 1000,
    C = 10,
    BATCH = 50,
    FEW = 2 /* 8 trained units, and 16 fixed ones */
};

/* error: (TRAINED, seeds), (FIXED, seeds) on the test rows */
typedef struct outcome {
    double *trained, *fixed;
    int sizes; /* of fixed_units that are tried */
} outcome;

static dlf_status train(const dlf_dataset *data, dlf_run *run, int units, double *error)
{
    const int seeds = dlf_run_seeds(run), steps = dlf_run_int(run, "digits_steps");
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    dlf_status status;
    const classifier_spec net = {.members = seeds,
                                 .batch = BATCH,
                                 .inputs = data->features,
                                 .width = units,
                                 .depth = 1,
                                 .classes = C,
                                 .f = dlf_activation_of(DLF_RELU),
                                 .init = dlf_he()};
    double *lr = malloc((size_t)seeds * sizeof *lr);
    if (!lr) return dlf_fail(DLF_ERR_OOM, "features: out of memory");
    for (int s = 0; s < seeds; s++) lr[s] = 0.01;
    const dlf_train_spec spec = {
        .seed = dlf_run_seed(run),
        .lr = lr,
        .rows = ROWS,
        .optimiser = dlf_adam(0.0),
        .schedule = {.kind = DLF_SCHEDULE_COSINE, .steps = steps, .final = 0.0}};
    DLF_TRY_DONE(classifier_new(&g, dlf_run_device(run), &net));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    DLF_TRY_DONE(dlf_train_new(&t, g, data, &spec));
    DLF_TRY_DONE(dlf_train_run(t, steps));
    DLF_TRY_DONE(dlf_train_evaluate(t, data->train, data->test, NULL, error));
    for (int s = 0; s < seeds; s++) error[s] = 1.0 - error[s];
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    free(lr);
    return status;
}

/* ---- fixed features: ridge regression on one-hot labels ---- */

typedef struct workspace {
    int p;                 /* features of the largest size, with a constant                 */
    double *h;             /* (rows, p): units of all rows, the constant first              */
    double *gram, *factor; /* (p, p)                                                        */
    double *right, *w;     /* (p, C)                                                        */
} workspace;

/* relu(w . x / sqrt(d/2) + b/2): a unit is the same whatever their number. */
static void units_of(workspace *k, const dlf_dataset *data, uint64_t seed, uint32_t member)
{
    const int d = data->features, all = data->train + data->test, units = k->p - 1;
    double *w = k->h + (long)all * k->p; /* room behind */
    for (int u = 0; u < units; u++)
        for (int j = 0; j <= d; j++)
            w[(long)j * units + u] =
                (j < d ? sqrt(2.0 / d) : 0.5) *
                dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 61), member,
                               (uint64_t)u * (uint64_t)(d + 1) + (uint64_t)j);
    for (int i = 0; i < all; i++) {
        double *row = k->h + (long)i * k->p;
        const float *x = data->x + (long)i * d;
        row[0] = 1.0;
        for (int u = 0; u < units; u++) row[1 + u] = w[(long)d * units + u];
        for (int j = 0; j < d; j++)
            for (int u = 0; u < units; u++) row[1 + u] += x[j] * w[(long)j * units + u];
        for (int u = 0; u < units; u++) row[1 + u] = fmax(row[1 + u], 0.0);
    }
}

/* gram = h^T h and right = h^T onehot over the training rows */
static void products(workspace *k, const dlf_dataset *data)
{
    const int P = k->p;
    for (long i = 0; i < (long)P * P; i++) k->gram[i] = 0.0;
    for (int i = 0; i < P * C; i++) k->right[i] = 0.0;
    for (int i = 0; i < ROWS; i++) {
        const double *row = k->h + (long)i * P;
        for (int a = 0; a < P; a++) {
            if (row[a] == 0.0) continue;
            for (int b = 0; b <= a; b++) k->gram[(long)a * P + b] += row[a] * row[b];
            k->right[a * C + data->label[i]] += row[a];
        }
    }
}

/* Error of the first `units` features, the least over several ridges: a favour to them. */
static dlf_status fit(workspace *k, const dlf_dataset *data, int units, double *error)
{
    static const double ridges[] = {1e-3, 1e-1, 1.0, 10.0};
    const int p = units + 1;
    *error = 1.0;
    for (int r = 0; r < 4; r++) {
        for (int a = 0; a < p; a++)
            for (int b = 0; b <= a; b++)
                k->factor[(long)a * p + b] =
                    k->gram[(long)a * k->p + b] + (a == b ? ridges[r] : 0.0);
        for (int i = 0; i < p * C; i++) k->w[i] = k->right[i];
        if (!dlf_solve_positive(k->factor, p, k->w, C))
            return dlf_fail(DLF_ERR_SELF_CHECK, "features: singular matrix of %d features", units);
        int wrong = 0;
        for (int i = data->train; i < data->train + data->test; i++) {
            double score[C] = {0.0};
            int best = 0;
            for (int a = 0; a < p; a++)
                for (int c = 0; c < C; c++) score[c] += k->h[(long)i * k->p + a] * k->w[a * C + c];
            for (int c = 1; c < C; c++)
                if (score[c] > score[best]) best = c;
            wrong += best != data->label[i];
        }
        *error = fmin(*error, (double)wrong / data->test);
    }
    return DLF_OK;
}

static dlf_status fixed(const outcome *o, const dlf_dataset *data, dlf_run *run, double from,
                        double to)
{
    const int seeds = dlf_run_seeds(run);
    const size_t all = (size_t)(data->train + data->test),
                 p = (size_t)fixed_units[o->sizes - 1] + 1;
    workspace k = {.p = (int)p,
                   .h = malloc((all * p + (size_t)(data->features + 1) * p) * sizeof *k.h),
                   .gram = malloc(2 * (p * p + p * C) * sizeof *k.gram)};
    dlf_status status = DLF_OK;
    if (!k.h || !k.gram) {
        status = dlf_fail(DLF_ERR_OOM, "features: out of memory");
        goto done;
    }
    k.factor = k.gram + p * p;
    k.right = k.factor + p * p;
    k.w = k.right + p * C;
    for (int s = 0; s < seeds; s++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * s / seeds, "digits, fixed features"));
        units_of(&k, data, dlf_run_seed(run), (uint32_t)s);
        products(&k, data);
        for (int i = 0; i < o->sizes; i++)
            DLF_TRY_DONE(fit(&k, data, fixed_units[i], o->fixed + (long)i * seeds + s));
    }
done:
    free(k.gram);
    free(k.h);
    return status;
}

/* ---- report ---- */

/* How many fixed units err as often as `error`, by straight lines in log N; Infinity: more than
 * were tried. */
static double worth(const outcome *o, int seeds, double error)
{
    double last = 1.0;
    for (int i = 0; i < o->sizes; i++) {
        const double e = dlf_estimate_of(o->fixed + (long)i * seeds, seeds, 1).mean;
        if (e <= error) {
            if (i == 0) return fixed_units[0];
            const double share = (last - error) / (last - e);
            return exp((1.0 - share) * log(fixed_units[i - 1]) + share * log(fixed_units[i]));
        }
        last = e;
    }
    return INFINITY;
}

static dlf_status checks(const outcome *o, dlf_run *run)
{
    const int seeds = dlf_run_seeds(run);
    double *gap = malloc((size_t)seeds * sizeof *gap);
    if (!gap) return dlf_fail(DLF_ERR_OOM, "features: out of memory");
    dlf_status status;
    for (int s = 0; s < seeds; s++)
        gap[s] = o->fixed[(FEW + 1) * seeds + s] - o->trained[(FEW + 1) * seeds + s];
    const dlf_estimate few = dlf_estimate_of(gap, seeds, 1);
    DLF_TRY_DONE(dlf_add_above(
        run, "digits_few",
        (dlf_text){"手写数字：16 个训练出来的特征好过 32 个固定的（错误率之差）",
                   "digits: 16 trained features beat 32 fixed ones (difference of errors)"},
        few, "Rahimi & Recht 2008 against backpropagation, in direction"));
    for (int s = 0; s < seeds; s++)
        gap[s] = o->fixed[(o->sizes - 1) * seeds + s] - o->trained[(TRAINED - 1) * seeds + s];
    const dlf_estimate many = dlf_estimate_of(gap, seeds, 1);
    dlf_check c = dlf_check_of(
        "digits_many",
        (dlf_text){"对照，固定的特征足够多：不比训练的 64 个差（错误率之差）",
                   "control, fixed features enough: no worse than 64 trained ones (difference of "
                   "errors)"},
        many);
    c.relation = DLF_AT_MOST;
    c.expected = 0.01;
    c.has_verdict = true;
    c.verdict = dlf_verdict_below(many, c.expected);
    c.source = "Rahimi & Recht 2008: enough random features are a kernel; digits are easy for one";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    const double error = dlf_estimate_of(o->trained + FEW * seeds, seeds, 1).mean;
    DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), "few_error", error, "1"));
    status = dlf_result_fact(dlf_run_result(run), "few_worth", worth(o, seeds, error), "features");
done:
    free(gap);
    return status;
}

static dlf_status table_and_figure(const outcome *o, dlf_run *run)
{
    static const char *const ids[] = {"trained", "fixed"};
    static const dlf_text names[] = {{"训练出来的特征", "trained features"},
                                     {"固定的随机特征", "fixed random features"}};
    const int seeds = dlf_run_seeds(run),
              count[] = {TRAINED, o->sizes}, *const units[] = {trained_units, fixed_units};
    const double *const error[] = {o->trained, o->fixed};
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "digits",
        (dlf_text){"手写数字：错误率与特征个数", "digits: error by features"},
        (const dlf_column[]){
            {"kind", NULL}, {"units", "1"}, {"error", "1"}, {"lo", "1"}, {"hi", "1"}, {NULL, NULL}},
        &t));
    dlf_figure f = {
        .id = "digits",
        .kind = DLF_LINES,
        .title = {"几个训练出来的特征抵许多随机特征，直到随机特征也够多",
                  "A few trained features are worth many random ones, until those are enough"},
        .subtitle = {"一个隐藏层，1000 个训练样本；带为种子间 95 % 区间",
                     "one hidden layer, 1,000 training rows; bands: 95 % over seeds"},
        .x = {{"特征个数", "features"}, true},
        .y = {{"错误率", "error"}, true}};
    for (int kind = 0; kind < 2; kind++) {
        for (int i = 0; i < count[kind]; i++) {
            const dlf_estimate e = dlf_estimate_of(error[kind] + (long)i * seeds, seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(ids[kind]), DLF_NUM(units[kind][i]), DLF_NUM(e.mean),
                                  DLF_NUM(fmax(e.lo, 1e-3)), DLF_NUM(e.hi)));
        }
        f.series[kind] = dlf_arm_series(kind ? DLF_CONTROL : DLF_MEASURED, "digits", "kind",
                                        ids[kind], "units", "error", names[kind], kind);
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_features_digits(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    const double middle = 0.5 * (from + to);
    dlf_dataset data = {0};
    outcome o = {.trained = malloc((size_t)((TRAINED + FIXED) * seeds) * sizeof(double))};
    if (!o.trained) return dlf_fail(DLF_ERR_OOM, "features: out of memory");
    o.fixed = o.trained + TRAINED * seeds;
    while (o.sizes < FIXED && fixed_units[o.sizes] <= dlf_run_int(run, "most_units")) o.sizes++;
    dlf_status status;
    DLF_TRY_DONE(dlf_digits_load(&data));
    for (int i = 0; i < TRAINED; i++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (middle - from) * i / TRAINED,
                                   "digits, %d trained features", trained_units[i]));
        DLF_TRY_DONE(train(&data, run, trained_units[i], o.trained + (long)i * seeds));
    }
    DLF_TRY_DONE(fixed(&o, &data, run, middle, to));
    DLF_TRY_DONE(checks(&o, run));
    status = table_and_figure(&o, run);
done:
    dlf_dataset_free(&data);
    free(o.trained);
    return status;
}
