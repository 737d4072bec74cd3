/* SPDX-License-Identifier: MIT
 * hidden_layers_unconstrained.c -- Q17: what a last hidden layer would compute if it were free. All
 * features are parameters of their own; cross-entropy with weight decay drives them to a simplex
 * (neural collapse) of a size that is known in closed form, or, above a threshold, to nothing.
 *
 * Controls: the same without decay, which separates the classes but collapses nothing; a decay
 * above the threshold; and the mean cosine, which looks collapsed before any training. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/theory.h"
#include "hidden_layers.h"
#include "seed_check.h"

enum { CLASSES = 10, ROWS = 20, FEATURES = 16, DECAYS = 7, LOOKS = 24, POPULATIONS = 2 };
enum { FREE = 0, DECAYED = 1 }; /* the two populations: without decay, with each decay */

/* In units of the threshold 1 / (C sqrt(n)); the trajectories are those of decay number SHOWN. */
static const double shares[DECAYS] = {0.01, 0.03, 0.1, 0.25, 0.5, 0.8, 1.25};
enum { SHOWN = 3 };
#define RATE     3.0
#define MOMENTUM 0.9

static const char *const population_ids[POPULATIONS] = {"free", "decay"};

static dlf_status build(dlf_graph *g, const dlf_unconstrained *s)
{
    const int64_t P = s->members, N = (int64_t)s->classes * s->rows;
    const dlf_init zero = dlf_init_constant(0.0);
    const dlf_node label = dlf_input_int(g, "label", 2, (int64_t[]){1, N});
    const dlf_node h = dlf_parameter(g, "features", 3, (int64_t[]){P, N, s->features},
                                     dlf_init_normal(s->features));
    const dlf_node z = dlf_dense_init(g, "logits", h, s->classes, dlf_activation_of(DLF_LINEAR),
                                      dlf_lecun(), &zero);
    dlf_want_value(g, z);
    dlf_graph_minimise(g, dlf_cross_entropy(g, "loss", z, label), 1.0 / (double)N);
    DLF_TRY(dlf_graph_compile(g));
    int32_t *labels = malloc((size_t)N * sizeof *labels);
    if (!labels) return dlf_fail(DLF_ERR_OOM, "unconstrained features: out of memory");
    for (int64_t i = 0; i < N; i++) labels[i] = (int32_t)(i % s->classes);
    const dlf_status status = dlf_tensor_upload_i32(dlf_graph_value(g, label), labels);
    free(labels);
    return status;
}

dlf_status dlf_unconstrained_new(dlf_graph **out, dlf_device *device, const dlf_unconstrained *spec)
{
    DLF_TRY(dlf_graph_new(out, device, spec->members));
    const dlf_status status = build(*out, spec);
    if (status == DLF_OK) return DLF_OK;
    dlf_graph_free(*out);
    *out = NULL;
    return status;
}

/* ---- descent ----------------------------------------------------------------------------------
 *
 * The op's decay is one number for all members, the scale of the gradient is one per member: with
 * the gradient times s = decay/decay_p and the rate lr/s, a member descends on its own decay. */
typedef struct population {
    int members, seeds;
    double decay; /* of the op */
    dlf_graph *g;
    dlf_tensor velocity, rate, scale;
} population;

static void population_free(population *p)
{
    dlf_graph_free(p->g);
    dlf_tensor_free(&p->velocity);
    dlf_tensor_free(&p->rate);
    dlf_tensor_free(&p->scale);
}

static double decay_of(int k)
{
    return shares[k] * dlf_unconstrained_threshold(CLASSES, ROWS);
}

static dlf_status population_new(population *p, dlf_run *run, bool decayed)
{
    dlf_status status;
    dlf_device *device = dlf_run_device(run);
    const int P = p->members;
    double *scale = malloc((size_t)(2 * P) * sizeof *scale);
    int32_t *draw = malloc((size_t)P * sizeof *draw);
    if (!scale || !draw) {
        status = dlf_fail(DLF_ERR_OOM, "unconstrained features: out of memory");
        goto done;
    }
    double *rate = scale + P;
    for (int i = 0; i < P; i++) {
        draw[i] = i % p->seeds; /* the same starts at every decay */
        scale[i] = decayed ? p->decay / decay_of(i / p->seeds) : 1.0;
        rate[i] = RATE / scale[i];
    }
    const dlf_unconstrained spec = {P, CLASSES, ROWS, FEATURES};
    DLF_TRY_DONE(dlf_unconstrained_new(&p->g, device, &spec));
    DLF_TRY_DONE(dlf_graph_initialise(p->g, dlf_run_seed(run) + 171, draw));
    const int64_t n = dlf_graph_parameters(p->g)->shape[1];
    DLF_TRY_DONE(dlf_tensor_new(&p->velocity, device, device->real, P, n));
    DLF_TRY_DONE(dlf_tensor_new(&p->rate, device, device->real, P));
    DLF_TRY_DONE(dlf_tensor_new(&p->scale, device, device->real, P));
    DLF_TRY_DONE(dlf_tensor_zero(&p->velocity));
    DLF_TRY_DONE(dlf_tensor_upload_f64(&p->rate, rate));
    DLF_TRY_DONE(dlf_tensor_upload_f64(&p->scale, scale));
done:
    free(scale);
    free(draw);
    return status;
}

static dlf_status step(population *p)
{
    DLF_TRY(dlf_graph_forward(p->g, DLF_TRAINING));
    DLF_TRY(dlf_graph_backward(p->g));
    return dlf_sgd_step(dlf_graph_parameters(p->g), &p->velocity, dlf_graph_gradients(p->g),
                        &p->rate, &p->scale, (dlf_sgd_args){MOMENTUM, p->decay});
}

/* ---- looking ---- */

/* Members first .. first+seeds-1. */
static dlf_status look(population *p, int first, dlf_collapse *out)
{
    enum { N = CLASSES * ROWS };
    dlf_status status;
    int32_t label[N];
    const dlf_tensor *h = dlf_graph_value(p->g, dlf_graph_find(p->g, "features"));
    const dlf_tensor *w = dlf_graph_value(p->g, dlf_graph_find(p->g, "logits.w"));
    float *features = malloc((size_t)dlf_tensor_count(h) * sizeof *features);
    float *weights = malloc((size_t)dlf_tensor_count(w) * sizeof *weights);
    if (!features || !weights) {
        status = dlf_fail(DLF_ERR_OOM, "unconstrained features: out of memory");
        goto done;
    }
    for (int i = 0; i < N; i++) label[i] = i % CLASSES;
    DLF_TRY_DONE(dlf_tensor_download(features, h));
    DLF_TRY_DONE(dlf_tensor_download(weights, w));
    for (int s = 0; s < p->seeds; s++)
        DLF_TRY_DONE(dlf_collapse_of(&out[s], NULL, features + (first + s) * N * FEATURES, label, N,
                                     FEATURES, CLASSES,
                                     weights + (first + s) * CLASSES * FEATURES));
done:
    free(features);
    free(weights);
    return status;
}

/* margin[p]: mean over rows of the logit of the right class minus the mean of the others. */
static dlf_status margins(population *p, double *margin)
{
    enum { N = CLASSES * ROWS };
    DLF_TRY(dlf_graph_forward(p->g, DLF_TRAINING));
    const dlf_tensor *z = dlf_graph_value(p->g, dlf_graph_find(p->g, "logits"));
    double *logits = malloc((size_t)dlf_tensor_count(z) * sizeof *logits);
    if (!logits) return dlf_fail(DLF_ERR_OOM, "unconstrained features: out of memory");
    const dlf_status status = dlf_tensor_download_f64(logits, z);
    for (int m = 0; m < p->members && status == DLF_OK; m++) {
        margin[m] = 0.0;
        for (int i = 0; i < N; i++)
            for (int c = 0; c < CLASSES; c++) {
                const double *row = logits + (m * N + i) * CLASSES;
                margin[m] += (row[i % CLASSES] - row[c]) / ((CLASSES - 1.0) * N);
            }
    }
    free(logits);
    return status;
}

/* 0, 1, 2, 4, 6, 9, .. and `steps` */
static int choose_looks(int *at, int steps)
{
    int n = 0;
    for (int t = 0; t < steps && n < LOOKS - 1; t += 1 + t / 2) at[n++] = t;
    at[n++] = steps;
    return n;
}

typedef struct unconstrained_study {
    int seeds, looks, at[LOOKS];
    dlf_collapse *seen[POPULATIONS]; /* (looks, seeds) */
    double *margin;                  /* (decays, seeds) */
} unconstrained_study;

static dlf_status follow(unconstrained_study *q, dlf_run *run, int which, double from, double to)
{
    dlf_status status;
    const bool decayed = which == DECAYED;
    population p = {.members = decayed ? DECAYS * q->seeds : q->seeds,
                    .seeds = q->seeds,
                    .decay = decayed ? decay_of(SHOWN) : 0.0};
    const int steps = dlf_run_int(run, "descent_steps");
    DLF_TRY_DONE(population_new(&p, run, decayed));
    for (int t = 0, k = 0; t <= steps; t++) {
        if (t == q->at[k])
            DLF_TRY_DONE(look(&p, decayed ? SHOWN * q->seeds : 0, q->seen[which] + k++ * q->seeds));
        if (t % 50 == 0)
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * t / steps,
                                       "unconstrained features: step %d", t));
        if (t < steps) DLF_TRY_DONE(step(&p));
    }
    if (decayed) DLF_TRY_DONE(margins(&p, q->margin));
done:
    population_free(&p);
    return status;
}

/* ---- report ---- */

/* Estimate over seeds of the double at `offset` in the collapse of a look. */
static dlf_estimate seen_at(const unconstrained_study *q, int which, int look, size_t offset)
{
    const char *first = (const char *)(q->seen[which] + look * q->seeds) + offset;
    return dlf_estimate_of((const double *)(const void *)first, q->seeds,
                           (int)(sizeof(dlf_collapse) / sizeof(double)));
}

static dlf_status tables(dlf_run *run, const unconstrained_study *q)
{
    dlf_table *path, *margin;
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "unconstrained",
                         (dlf_text){"自由特征的塌缩过程", "how unconstrained features collapse"},
                         (const dlf_column[]){{"arm", NULL},
                                              {"step", "step"},
                                              {"within", "1"},
                                              {"within_lo", "1"},
                                              {"within_hi", "1"},
                                              {"spread", "1"},
                                              {"mean_cosine", "1"},
                                              {"alignment", "1"},
                                              {NULL, NULL}},
                         &path));
    for (int a = 0; a < POPULATIONS; a++)
        for (int k = 0; k < q->looks; k++) {
            const dlf_estimate e = seen_at(q, a, k, offsetof(dlf_collapse, within));
            DLF_TRY(
                dlf_table_row(path, DLF_TXT(population_ids[a]), DLF_NUM(q->at[k] + 1),
                              DLF_NUM(e.mean), DLF_NUM(fmax(e.lo, 0.5 * e.mean)), DLF_NUM(e.hi),
                              DLF_NUM(seen_at(q, a, k, offsetof(dlf_collapse, spread)).mean),
                              DLF_NUM(seen_at(q, a, k, offsetof(dlf_collapse, mean_cosine)).mean),
                              DLF_NUM(seen_at(q, a, k, offsetof(dlf_collapse, alignment)).mean)));
        }
    DLF_TRY(dlf_result_table(dlf_run_result(run), "margin",
                             (dlf_text){"训练结束时的间隔与权重衰减",
                                        "margin at the end of training against weight decay"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"decay", "1"},
                                                  {"margin", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {NULL, NULL}},
                             &margin));
    for (int k = 0; k < DECAYS; k++) {
        const dlf_estimate e = dlf_estimate_of(q->margin + k * q->seeds, q->seeds, 1);
        const double theory = dlf_unconstrained_margin(CLASSES, ROWS, decay_of(k));
        DLF_TRY(dlf_table_row(margin, DLF_TXT("measured"), DLF_NUM(decay_of(k)), DLF_NUM(e.mean),
                              DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(theory)));
    }
    for (int i = 0; i <= 60; i++) {
        const double decay =
            2.0 * dlf_unconstrained_threshold(CLASSES, ROWS) * pow(10.0, -i / 24.0);
        DLF_TRY(dlf_table_row(margin, DLF_TXT("theory"), DLF_NUM(decay), DLF_NUM(NAN), DLF_NUM(NAN),
                              DLF_NUM(NAN),
                              DLF_NUM(dlf_unconstrained_margin(CLASSES, ROWS, decay))));
    }
    return DLF_OK;
}

static dlf_status figures(dlf_run *run)
{
    const dlf_figure path = {
        .id = "unconstrained",
        .kind = DLF_LINES,
        .title = {"有权重衰减，同类的特征缩成一点；没有衰减，类分开了却不塌缩",
                  "With weight decay the features of a class shrink to a point; without it classes "
                  "part but nothing collapses"},
        .subtitle = {"自由特征，10 类各 20 个样本，16 维，交叉熵，全批梯度下降",
                     "unconstrained features, 10 classes of 20 rows, 16 dimensions, cross-entropy, "
                     "gradient descent"},
        .x = {{"训练步数 + 1", "training step + 1"}, true},
        .y = {{"类内方差 / 类间方差", "variance within / between classes"}, true},
        .series = {{.role = DLF_MEASURED,
                    .table = "unconstrained",
                    .where = "arm",
                    .equals = "decay",
                    .x = "step",
                    .y = "within",
                    .lo = "within_lo",
                    .hi = "within_hi",
                    .label = {"有权重衰减", "with weight decay"}},
                   {.role = DLF_CONTROL,
                    .table = "unconstrained",
                    .where = "arm",
                    .equals = "free",
                    .x = "step",
                    .y = "within",
                    .lo = "within_lo",
                    .hi = "within_hi",
                    .label = {"对照：无衰减", "control: no decay"},
                    .colour = 1}}};
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &path));
    const dlf_figure margin = {
        .id = "margin",
        .kind = DLF_LINES,
        .title = {"权重衰减定出塌缩后的间隔；过了阈值，一切塌缩为零",
                  "Weight decay sets the margin of the collapsed features; beyond a threshold all "
                  "collapses to nothing"},
        .subtitle = {"自由特征；虚线：ln(1/(λ√n) − (C−1))，无拟合参数",
                     "unconstrained features; dashed: ln(1/(λ√n) − (C−1)), nothing fitted"},
        .x = {{"权重衰减 λ", "weight decay λ"}, true},
        .y = {{"间隔（正确类与其余类的 logit 之差）", "margin (right logit minus the others)"},
              false},
        .series = {{.role = DLF_MEASURED,
                    .table = "margin",
                    .where = "arm",
                    .equals = "measured",
                    .x = "decay",
                    .y = "margin",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"实测", "measured"},
                    .points = true},
                   {.role = DLF_THEORY,
                    .table = "margin",
                    .where = "arm",
                    .equals = "theory",
                    .x = "decay",
                    .y = "theory",
                    .label = {"闭式解", "closed form"}}}};
    return dlf_result_figure(dlf_run_result(run), &margin);
}

static dlf_status collapse_checks(dlf_run *run, const unconstrained_study *q)
{
    dlf_result *r = dlf_run_result(run);
    const int end = q->looks - 1;
    static const struct {
        const char *id;
        dlf_text claim;
        int which;
        size_t offset;
        double expected;
        dlf_relation relation;
        const char *source;
    } row[] = {
        {"free_spread",
         {"自由特征加权重衰减：类均值两两夹角的余弦都成为 −1/(C−1)（均方根偏差）",
          "unconstrained features with decay: every cosine between class means becomes −1/(C−1) "
          "(rms deviation)"},
         DECAYED,
         offsetof(dlf_collapse, spread),
         1e-3,
         DLF_AT_MOST,
         "0 in theory (Zhu et al. 2021, theorem 1); 1e-3: one per cent of 1/(C−1)"},
        {"free_within",
         {"同类特征缩成一点：类内方差与类间方差之比趋于 0",
          "the features of a class shrink to a point: variance within over between goes to 0"},
         DECAYED,
         offsetof(dlf_collapse, within),
         1e-6,
         DLF_AT_MOST,
         "0 in theory; 1e-6: a thousandth of the distance between classes"},
        {"free_alignment",
         {"最后一层的权重与类均值成比例（自对偶）",
          "the weights of the last layer become proportional to the class means (self-duality)"},
         DECAYED,
         offsetof(dlf_collapse, alignment),
         1e-3,
         DLF_AT_MOST,
         "0 in theory: | W/|W| − M/|M| |, Papyan, Han & Donoho 2020, NC3"},
        {"free_control",
         {"对照：没有权重衰减，类内方差不消失",
          "control: without decay the variance within classes does not vanish"},
         FREE,
         offsetof(dlf_collapse, within),
         0.1,
         DLF_AT_LEAST,
         "the loss has no minimum; steps of size ln t leave the start where it is; ordering"},
        {"free_control_spread",
         {"对照：没有权重衰减，夹角也不相等", "control: without decay the angles are not equal"},
         FREE,
         offsetof(dlf_collapse, spread),
         0.1,
         DLF_AT_LEAST,
         "ordering: as large as 1/(C−1) itself"},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        dlf_check c =
            dlf_check_of(row[i].id, row[i].claim, seen_at(q, row[i].which, end, row[i].offset));
        c.expected = row[i].expected;
        c.relation = row[i].relation;
        c.source = row[i].source;
        DLF_TRY(dlf_result_check(r, c));
    }
    return DLF_OK;
}

/* The m_c add up to nothing: sum over pairs of m_c m_d = - sum |m_c|^2, whatever the features. */
static dlf_status mean_cosine_check(dlf_run *run, const unconstrained_study *q)
{
    const int S = q->seeds;
    double *gap = malloc((size_t)S * sizeof *gap);
    if (!gap) return dlf_fail(DLF_ERR_OOM, "unconstrained features: out of memory");
    const dlf_collapse *before = q->seen[DECAYED], *after = before + (q->looks - 1) * S;
    for (int s = 0; s < S; s++) gap[s] = before[s].mean_cosine - after[s].mean_cosine;
    dlf_check c = dlf_check_of(
        "mean_cosine",
        (dlf_text){"类均值余弦的平均能区分塌缩与未塌缩（训练前减训练后）",
                   "the mean of the cosines tells collapse from no collapse (before minus after)"},
        dlf_estimate_of(gap, S, 1));
    free(gap);
    c.expected = 0.03;
    c.relation = DLF_AT_LEAST;
    c.source =
        "centred class means add up to 0, so equal lengths alone make it −1/(C−1); 0.03: the "
        "tolerance with which the mean is usually checked";
    c.note = "use the deviation of the single cosines instead";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status margin_checks(dlf_run *run, const unconstrained_study *q)
{
    dlf_result *r = dlf_run_result(run);
    const int S = q->seeds;
    dlf_check c =
        dlf_check_of("margin",
                     (dlf_text){"塌缩后的间隔等于 ln(1/(λ√n) − (C−1))",
                                "the margin of the collapsed features is ln(1/(λ√n) − (C−1))"},
                     dlf_estimate_of(q->margin + SHOWN * S, S, 1));
    c.expected = dlf_unconstrained_margin(CLASSES, ROWS, decay_of(SHOWN));
    c.relative = true;
    c.tolerance = 1e-3;
    c.source = "closed form: minimum of the loss over simplexes, hidden_layers.h; float32";
    DLF_TRY(dlf_result_check(r, c));
    c = dlf_check_of(
        "margin_threshold",
        (dlf_text){"衰减超过 1/(C√n) 时，特征与权重全部塌缩为零",
                   "with a decay beyond 1/(C√n) features and weights collapse to zero"},
        dlf_estimate_of(q->margin + (DECAYS - 1) * S, S, 1));
    c.expected = dlf_unconstrained_margin(CLASSES, ROWS, decay_of(DECAYS - 1));
    c.tolerance = 1e-3;
    c.source = "closed form: the minimum is at 0";
    return dlf_result_check(r, c);
}

dlf_status dlf_hidden_unconstrained(dlf_run *run, double from, double to)
{
    dlf_status status;
    unconstrained_study q = {.seeds = dlf_run_seeds(run)};
    const size_t cells = (size_t)(LOOKS * q.seeds);
    q.looks = choose_looks(q.at, dlf_run_int(run, "descent_steps"));
    q.margin = malloc((size_t)(DECAYS * q.seeds) * sizeof *q.margin);
    for (int a = 0; a < POPULATIONS; a++) q.seen[a] = malloc(cells * sizeof *q.seen[a]);
    if (!q.margin || !q.seen[FREE] || !q.seen[DECAYED]) {
        status = dlf_fail(DLF_ERR_OOM, "unconstrained features: out of memory");
        goto done;
    }
    DLF_TRY_DONE(follow(&q, run, DECAYED, from, from + 0.8 * (to - from)));
    DLF_TRY_DONE(follow(&q, run, FREE, from + 0.8 * (to - from), to));
    DLF_TRY_DONE(tables(run, &q));
    DLF_TRY_DONE(figures(run));
    DLF_TRY_DONE(collapse_checks(run, &q));
    DLF_TRY_DONE(mean_cosine_check(run, &q));
    DLF_TRY_DONE(margin_checks(run, &q));
    DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), "decay_threshold",
                                 dlf_unconstrained_threshold(CLASSES, ROWS), "1"));
    DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), "mean_cosine_before",
                                 seen_at(&q, DECAYED, 0, offsetof(dlf_collapse, mean_cosine)).mean,
                                 "1"));
    DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), "spread_before",
                                 seen_at(&q, DECAYED, 0, offsetof(dlf_collapse, spread)).mean,
                                 "1"));
done:
    free(q.margin);
    for (int a = 0; a < POPULATIONS; a++) free(q.seen[a]);
    return status;
}
