/* SPDX-License-Identifier: MIT
 * boltzmann_training.c -- Q29: restricted Boltzmann machines on bars and stripes, by the exact
 * gradient and by contrastive divergence (Hinton 2002), sampled and in the mean. Controls:
 * independent pixels; without hidden units a parity, which pairs of pixels do not show. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boltzmann.h"
#include "dlf/ops.h"
#include "dlf/rng.h"
#include "figures.h"
#include "seed_check.h"

enum {
    V = DLF_RBM_V,
    H = DLF_RBM_H,
    STATES = DLF_RBM_STATES,
    PATTERNS = DLF_RBM_PATTERNS,
    BITS = 3, /* of the parity */
    RECORDS = 20
};
/* the last two learn the even states of three pixels */
enum { EXACT, CD_MEAN, CD_TEN, CD_ONE, PAIRWISE, PARITY, PARITY_PAIRS, ARMS };
static const char *const arm_ids[ARMS] = {"exact",    "cd1_mean", "cd10",        "cd1",
                                          "pairwise", "parity",   "parity_pairs"};
static const double rate = 0.5;

typedef struct lab {
    int seeds, steps;
    int32_t pattern[PATTERNS];
    double *loss; /* (ARMS, RECORDS+1, seeds) */
    double gap;   /* of the graph's gradient and the moments', relative */
} lab;

static double *cell(const lab *l, int arm, int record)
{
    return l->loss + (arm * (RECORDS + 1) + record) * l->seeds;
}

/* ---- exact, on the device ---- */

static dlf_status feed(dlf_graph *g, const char *name, const double *x)
{
    return dlf_tensor_upload_f64(dlf_graph_value(g, dlf_graph_find(g, name)), x);
}

/* Biases, and couplings if there are no hidden units. */
static int columns_of(int pixels, bool pairs)
{
    return pixels + (pairs ? pixels * (pixels - 1) / 2 : 0);
}

/* All states; without hidden units also the products of their pixels. */
static dlf_status feed_states(dlf_graph *g, int pixels, bool pairs, const int32_t *pattern)
{
    const int columns = columns_of(pixels, pairs), states = 1 << pixels;
    double *x = malloc((size_t)(states * columns) * sizeof *x), ones[PATTERNS];
    if (!x) return dlf_fail(DLF_ERR_OOM, "boltzmann: out of memory");
    for (int s = 0; s < states; s++) {
        int at = 0;
        for (int i = 0; i < pixels; i++) x[s * columns + at++] = s >> i & 1;
        for (int i = 0; i < pixels && pairs; i++)
            for (int j = 0; j < i; j++) x[s * columns + at++] = (s >> i & 1) * (s >> j & 1);
    }
    for (int k = 0; k < PATTERNS; k++) ones[k] = 1.0;
    dlf_status status;
    DLF_TRY_DONE(feed(g, "x", x));
    DLF_TRY_DONE(feed(g, "ones", ones));
    if (!pairs) DLF_TRY_DONE(feed(g, "sum", ones));
    status = dlf_tensor_upload_i32(dlf_graph_value(g, dlf_graph_find(g, "label")), pattern);
done:
    free(x);
    return status;
}

/* Weights (or their gradients) of all members. */
static dlf_status take(dlf_graph *g, bool gradients, dlf_rbm *out, int members)
{
    double *x = malloc((size_t)(members * H * V) * sizeof *x);
    if (!x) return dlf_fail(DLF_ERR_OOM, "boltzmann: out of memory");
    static const char *const names[] = {"h.w", "h.b", "b"};
    static const int counts[] = {H * V, H, V};
    dlf_status status = DLF_OK;
    for (int part = 0; part < 3; part++) {
        const dlf_node node = dlf_graph_find(g, names[part]);
        DLF_TRY_DONE(dlf_tensor_download_f64(x, gradients ? dlf_graph_gradient(g, node)
                                                          : dlf_graph_value(g, node)));
        for (int p = 0; p < members; p++) {
            double *to = part == 0 ? &out[p].w[0][0] : part == 1 ? out[p].c : out[p].b;
            memcpy(to, x + p * counts[part], (size_t)counts[part] * sizeof *x);
        }
    }
done:
    free(x);
    return status;
}

/* The graph's gradient is <..> of the model less <..> of the data. */
static dlf_status compare_gradient(lab *l, dlf_graph *g, const dlf_rbm *model)
{
    dlf_rbm *got = malloc((size_t)l->seeds * sizeof *got), of_data, of_model;
    double p[STATES], data[STATES] = {0.0}, largest = 0.0, worst = 0.0;
    if (!got) return dlf_fail(DLF_ERR_OOM, "boltzmann: out of memory");
    const dlf_status status = take(g, true, got, l->seeds);
    if (status == DLF_OK) {
        for (int k = 0; k < PATTERNS; k++) data[l->pattern[k]] = 1.0 / PATTERNS;
        dlf_rbm_law(model, p);
        dlf_rbm_moments(model, p, &of_model);
        dlf_rbm_moments(model, data, &of_data);
        for (int j = 0; j < H; j++)
            for (int i = 0; i < V; i++) {
                const double want = of_model.w[j][i] - of_data.w[j][i];
                largest = fmax(largest, fabs(want));
                worst = fmax(worst, fabs(got[0].w[j][i] - want));
            }
        l->gap = worst / largest;
    }
    free(got);
    return status;
}

/* Gradient descent with the exact gradient; EXACT keeps models on the way. */
static dlf_status descend(lab *l, dlf_run *run, int arm, const dlf_rbm_models *models, double from,
                          double to)
{
    const bool pairs = arm == PAIRWISE || arm == PARITY_PAIRS, parity = arm >= PARITY;
    const int pixels = parity ? BITS : V;
    int32_t even[PATTERNS] = {0};
    int count = 0;
    for (int s = 0; s < 1 << BITS; s++)
        if (__builtin_popcount((unsigned)s) % 2 == 0) even[count++] = s;
    dlf_graph *g = NULL;
    dlf_status status;
    DLF_TRY_DONE(dlf_boltzmann_net(&g, dlf_run_device(run), l->seeds, 1 << pixels,
                                   columns_of(pixels, pairs), pairs ? 0 : H,
                                   parity ? count : PATTERNS, parity ? 3.0 : 0.09));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    DLF_TRY_DONE(feed_states(g, pixels, pairs, parity ? even : l->pattern));
    if (arm == EXACT) DLF_TRY_DONE(take(g, false, models->start, l->seeds));
    for (int t = 0, record = 0; t <= l->steps; t++) {
        DLF_TRY_DONE(dlf_graph_forward(g, DLF_TRAINING));
        if (t == (long)l->steps * record / RECORDS) {
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * t / l->steps, "exact gradient"));
            DLF_TRY_DONE(dlf_graph_objective(g, cell(l, arm, record)));
            if (arm == EXACT && record == RECORDS / 10)
                DLF_TRY_DONE(take(g, false, models->early, l->seeds));
            record++;
        }
        if (t == l->steps) break;
        DLF_TRY_DONE(dlf_graph_backward(g));
        if (arm == EXACT && t == 0) DLF_TRY_DONE(compare_gradient(l, g, &models->start[0]));
        DLF_TRY_DONE(dlf_axpby(dlf_graph_parameters(g), dlf_graph_gradients(g), NULL, -rate, 1.0));
    }
    if (arm == EXACT) DLF_TRY_DONE(take(g, false, models->trained, l->seeds));
done:
    dlf_graph_free(g);
    return status;
}

/* ---- contrastive divergence, on the host ---- */

/* One step: all patterns, and the law of the chains after k rounds from each, sampled once; or the
 * exact law after one round, that is CD-1 in the mean (k = 0). */
static void contrast(dlf_rbm *m, const int32_t *pattern, int k, dlf_rbm_dice *dice)
{
    double data[STATES] = {0.0}, law[STATES] = {0.0};
    dlf_rbm of_data, of_chain;
    for (int d = 0; d < PATTERNS; d++) {
        int v = pattern[d];
        data[v] = 1.0 / PATTERNS;
        for (int round = 0; round < k; round++)
            v = dlf_rbm_sample_visible(m, dlf_rbm_sample_hidden(m, v, 1.0, dice), 1.0, dice);
        law[v] += 1.0 / PATTERNS;
    }
    if (k == 0) dlf_rbm_round(m, law);
    dlf_rbm_moments(m, data, &of_data);
    dlf_rbm_moments(m, law, &of_chain);
    for (int i = 0; i < V; i++) m->b[i] += rate * (of_data.b[i] - of_chain.b[i]);
    for (int j = 0; j < H; j++) {
        m->c[j] += rate * (of_data.c[j] - of_chain.c[j]);
        for (int i = 0; i < V; i++) m->w[j][i] += rate * (of_data.w[j][i] - of_chain.w[j][i]);
    }
}

static dlf_status contrastive(const lab *l, dlf_run *run, int arm, const dlf_rbm_models *models,
                              double from, double to)
{
    for (int s = 0; s < l->seeds; s++) {
        dlf_rbm m = models->start[s];
        dlf_rbm_dice dice = {.seed = dlf_run_seed(run),
                             .stream = dlf_stream(DLF_PURPOSE_INPUT, 91),
                             .member = (uint32_t)(s * ARMS + arm)};
        for (int record = 0, t = 0; record <= RECORDS; record++) {
            DLF_TRY(
                dlf_run_stage(run, from + (to - from) * s / l->seeds, "contrastive divergence"));
            for (; t < (long)l->steps * record / RECORDS; t++)
                contrast(&m, l->pattern, arm == CD_TEN ? 10 : arm == CD_ONE, &dice);
            cell(l, arm, record)[s] = dlf_rbm_loss(&m);
        }
    }
    return DLF_OK;
}

/* ---- report ---- */

static dlf_status checks(const lab *l, dlf_run *run)
{
    const double floor = log(PATTERNS);
    double *value = malloc((size_t)l->seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "boltzmann: out of memory");
    dlf_status status;
    dlf_check c = dlf_check_exact(
        "rbm_gradient",
        (dlf_text){"自动微分的梯度就是 ⟨vh⟩模型 − ⟨vh⟩数据（相对差）",
                   "the gradient of automatic differentiation is <vh> model − <vh> data (relative "
                   "difference)"},
        l->gap);
    c.tolerance = 1e-4;
    c.self_check = true;
    c.source = "Ackley, Hinton & Sejnowski 1985; both by enumeration, single precision";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    for (int s = 0; s < l->seeds; s++) value[s] = cell(l, EXACT, RECORDS)[s] - floor;
    DLF_TRY_DONE(dlf_add_bound(run, "rbm_exact",
                               (dlf_text){"精确梯度：−log p 高出下限（数据的熵）多少",
                                          "exact gradient: −log p above its floor, the entropy of "
                                          "the data"},
                               dlf_estimate_of(value, l->seeds, 1), DLF_AT_MOST, 0.1,
                               "ln 14: no model is below; 0.1 nat for a finite time"));
    for (int s = 0; s < l->seeds; s++)
        value[s] = cell(l, CD_MEAN, RECORDS)[s] - cell(l, EXACT, RECORDS)[s];
    DLF_TRY_DONE(dlf_add_above(
        run, "bias_alone",
        (dlf_text){"CD-1 的期望梯度（没有采样噪声）也停得比精确梯度高（−log p 之差）",
                   "CD-1 in the mean, without sampling noise, ends above the exact gradient, too "
                   "(difference of −log p)"},
        dlf_estimate_of(value, l->seeds, 1),
        "Carreira-Perpinan & Hinton 2005, in direction; decided by the whole interval"));
    DLF_TRY_DONE(dlf_add_bound(
        run, "learns_cd1",
        (dlf_text){
            "但 CD-1 学得会：−log p 比独立像素至少低一个 nat",
            "but CD-1 learns: its −log p is at least a nat below that of independent pixels"},
        dlf_estimate_of(cell(l, CD_MEAN, RECORDS), l->seeds, 1), DLF_AT_MOST, V * log(2.0) - 1.0,
        "independent pixels: 9 ln 2, every one is on in half of the images"));
    for (int s = 0; s < l->seeds; s++)
        value[s] = cell(l, CD_ONE, RECORDS)[s] - cell(l, CD_TEN, RECORDS)[s];
    DLF_TRY_DONE(
        dlf_add_above(run, "cd1_above_cd10",
                      (dlf_text){"采样的 CD-1 停得比 CD-10 高（−log p 之差）",
                                 "sampled, CD-1 ends above CD-10 (difference of −log p)"},
                      dlf_estimate_of(value, l->seeds, 1),
                      "Carreira-Perpinan & Hinton 2005, in direction; decided by the whole "
                      "interval"));
    for (int s = 0; s < l->seeds; s++) value[s] = cell(l, PAIRWISE, RECORDS)[s] - floor;
    DLF_TRY_DONE(dlf_add_bound(
        run, "no_hidden",
        (dlf_text){
            "没有隐藏单元、像素两两耦合：条纹图像也学得会（高出下限多少）",
            "no hidden units, all pairs of pixels coupled: bars and stripes are learned, too "
            "(above the floor)"},
        dlf_estimate_of(value, l->seeds, 1), DLF_AT_MOST, 0.1,
        "a finding: pairs of pixels are enough for 3x3; as for the exact gradient"));
    c = dlf_check_of(
        "parity_pairs",
        (dlf_text){"对照，没有隐藏单元学三位偶校验：−log p",
                   "control, no hidden units on the even states of three pixels: −log p"},
        dlf_estimate_of(cell(l, PARITY_PAIRS, RECORDS), l->seeds, 1));
    c.expected = BITS * log(2.0);
    c.tolerance = 1e-4;
    c.source =
        "all means and pairs are those of coin tosses, so that the model of largest entropy is";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    for (int s = 0; s < l->seeds; s++)
        value[s] = cell(l, PARITY, RECORDS)[s] - (BITS - 1) * log(2.0);
    DLF_TRY_DONE(dlf_add_bound(run, "parity_hidden",
                               (dlf_text){"八个隐藏单元学三位偶校验：高出下限多少",
                                          "eight hidden units on the even states: above the floor"},
                               dlf_estimate_of(value, l->seeds, 1), DLF_AT_MOST, 0.1,
                               "2 ln 2: four states; as for the exact gradient"));
    for (int arm = 0; arm < ARMS; arm++)
        DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), arm_ids[arm],
                                     dlf_estimate_of(cell(l, arm, RECORDS), l->seeds, 1).mean,
                                     "nat"));
    status = dlf_result_fact(dlf_run_result(run), "floor", floor, "nat");
done:
    free(value);
    return status;
}

static dlf_status table(const lab *l, dlf_run *run)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "training",
                             (dlf_text){"训练：−log p 与步数", "training: −log p by step"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"step", "step"},
                                                  {"loss", "nat"},
                                                  {"excess", "nat"},
                                                  {"lo", "nat"},
                                                  {"hi", "nat"},
                                                  {"apart", "nat"},
                                                  {NULL, NULL}},
                             &t));
    for (int arm = 0; arm < ARMS; arm++)
        for (int r = 1; r <= RECORDS; r++) {
            const dlf_estimate e = dlf_estimate_of(cell(l, arm, r), l->seeds, 1);
            const double floor = arm >= PARITY ? (BITS - 1) * log(2.0) : log(PATTERNS),
                         over = e.mean - floor;
            DLF_TRY(dlf_table_row(t, DLF_TXT(arm_ids[arm]), DLF_NUM((long)l->steps * r / RECORDS),
                                  DLF_NUM(e.mean), DLF_NUM(over),
                                  DLF_NUM(fmax(e.lo - floor, 0.1 * over)), DLF_NUM(e.hi - floor),
                                  DLF_NUM((arm >= PARITY ? BITS : V) * log(2.0) - floor)));
        }
    return DLF_OK;
}

static dlf_series line(int arm, int colour, dlf_text label)
{
    return dlf_arm_series(arm == PARITY_PAIRS ? DLF_CONTROL : DLF_MEASURED, "training", "arm",
                          arm_ids[arm], "step", "excess", label, colour);
}

/* Independent pixels: every one of them is 1 in half of the patterns. */
static dlf_series independent(int arm, int colour, dlf_role role, dlf_text label)
{
    dlf_series s = line(arm, colour, label);
    s.role = role;
    s.y = "apart";
    s.lo = s.hi = NULL;
    return s;
}

static dlf_status figures(dlf_run *run)
{
    const dlf_axis x = {{"训练步数", "training step"}, false},
                   y = {{"−log p 高出下限 / nat", "−log p above its floor / nat"}, true};
    dlf_figure f = {
        .id = "training",
        .kind = DLF_LINES,
        .title = {"短链的梯度有偏：没有采样噪声也停在高处",
                  "Short chains bias the gradient: even without sampling noise they end higher"},
        .subtitle = {"3×3 条纹图像（14 张），9 个可见、8 个隐藏单元；带为种子间 95 % 区间",
                     "3×3 bars and stripes (14 images), 9 visible and 8 hidden units; bands: 95 %"},
        .x = x,
        .y = y};
    f.series[0] = line(EXACT, 0, (dlf_text){"精确梯度", "exact gradient"});
    f.series[1] = line(CD_MEAN, 1, (dlf_text){"CD-1 的期望", "CD-1 in the mean"});
    f.series[2] = line(CD_TEN, 2, (dlf_text){"CD-10，采样", "CD-10, sampled"});
    f.series[3] = line(CD_ONE, 3, (dlf_text){"CD-1，采样", "CD-1, sampled"});
    f.series[4] = line(PAIRWISE, 4, (dlf_text){"无隐藏单元", "no hidden units"});
    f.series[5] = independent(EXACT, 5, DLF_CONTROL,
                              (dlf_text){"对照：独立像素", "control: independent pixels"});
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &f));
    dlf_figure g = {
        .id = "parity",
        .kind = DLF_LINES,
        .title = {"隐藏单元表达两两耦合看不见的关系",
                  "Hidden units express what no pair of pixels shows"},
        .subtitle =
            {"三个像素、偶数个为 1 的四种状态；虚线：掷硬币，ln 2；带为 95 % 区间",
             "three pixels, the four states with an even number of ones; dashed: coin tosses, "
             "ln 2; bands: 95 %"},
        .x = x,
        .y = y};
    g.series[0] = line(PARITY, 0, (dlf_text){"八个隐藏单元", "eight hidden units"});
    g.series[1] = line(PARITY_PAIRS, 1, (dlf_text){"对照：无隐藏单元", "control: no hidden units"});
    g.series[2] = independent(PARITY, 1, DLF_THEORY, (dlf_text){"理论", "theory"});
    return dlf_result_figure(dlf_run_result(run), &g);
}

dlf_status dlf_boltzmann_training(dlf_run *run, const dlf_rbm_models *models, double from,
                                  double to)
{
    lab l = {.seeds = dlf_run_seeds(run), .steps = dlf_run_int(run, "learn_steps")};
    const double part = (to - from) / ARMS;
    l.loss = malloc((size_t)(ARMS * (RECORDS + 1) * l.seeds) * sizeof *l.loss);
    if (!l.loss) return dlf_fail(DLF_ERR_OOM, "boltzmann: out of memory");
    dlf_rbm_patterns(l.pattern);
    dlf_status status;
    for (int arm = 0; arm < ARMS; arm++) /* EXACT first: the others start where it starts */
        DLF_TRY_DONE(
            arm == CD_MEAN || arm == CD_TEN || arm == CD_ONE
                ? contrastive(&l, run, arm, models, from + part * arm, from + part * (arm + 1))
                : descend(&l, run, arm, models, from + part * arm, from + part * (arm + 1)));
    DLF_TRY_DONE(checks(&l, run));
    DLF_TRY_DONE(table(&l, run));
    status = figures(run);
done:
    free(l.loss);
    return status;
}
