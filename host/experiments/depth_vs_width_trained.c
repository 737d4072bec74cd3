/* SPDX-License-Identifier: MIT
 * depth_vs_width_trained.c -- Q16, Q34: what gradient descent finds. tent^k fitted by networks of
 * one and of five hidden layers with equally many parameters. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "depth_vs_width.h"
#include "dlf/train.h"

enum { TENTS = 4, ARCHS = 2, RATES = 3, RESTARTS = 3, TRAIN = 256, TEST = 512, BATCH = 64 };

typedef struct arch {
    const char *id;
    int depth, width;
    char zh[64], en[64];
} arch;

static const double rates[RATES] = {2e-3, 5e-3, 1e-2};

static int parameters_of(const arch *a)
{
    return 2 * a->width + (a->depth - 1) * a->width * (a->width + 1) + a->width + 1;
}

/* Five layers of `width`, and one with as many parameters (3 per unit, and a bias). */
static void choose_archs(arch *archs, int width)
{
    archs[1] = (arch){.id = "deep", .depth = 5, .width = width};
    archs[0] = (arch){.id = "shallow", .depth = 1, .width = (parameters_of(&archs[1]) + 1) / 3};
    for (int a = 0; a < ARCHS; a++) {
        snprintf(archs[a].zh, sizeof archs[a].zh, "%d 个隐藏层 × %d", archs[a].depth,
                 archs[a].width);
        snprintf(archs[a].en, sizeof archs[a].en, "%d hidden layer%s of %d", archs[a].depth,
                 archs[a].depth > 1 ? "s" : "", archs[a].width);
    }
}

/* ---- data: x in [-1,1], targets tent^1 .. tent^4 of (x+1)/2 -----------------------------------
 */

static double tent(double x)
{
    return 1.0 - fabs(2.0 * x - 1.0);
}

static dlf_status make_data(dlf_dataset *d)
{
    *d = (dlf_dataset){
        .name = "tents", .train = TRAIN, .test = TEST, .features = 1, .targets = TENTS};
    d->x = malloc((TRAIN + TEST) * sizeof *d->x);
    d->target = malloc((size_t)(TRAIN + TEST) * TENTS * sizeof *d->target);
    if (!d->x || !d->target) return dlf_fail(DLF_ERR_OOM, "tents: out of memory");
    for (int i = 0; i < TRAIN + TEST; i++) {
        const double u = i < TRAIN ? (i + 0.5) / TRAIN : (i - TRAIN + 0.5) / TEST;
        double y = u;
        d->x[i] = (float)(2.0 * u - 1.0);
        for (int k = 0; k < TENTS; k++) {
            y = tent(y);
            d->target[i * TENTS + k] = (float)y;
        }
    }
    return DLF_OK;
}

/* ---- one architecture: every k, rate and seed together --------------------------------------- */

/* The last k, where runs get stuck, is tried RESTARTS times per seed and rate, the others once.
 * Equal seeds and restarts start equal and see equal batches, whatever k, rate and architecture. */
typedef struct member {
    int k, rate, seed;
} member;

typedef struct population {
    int members;
    member *who;
    int32_t *draw;
    double *lr, *pick; /* pick[k * members + p]: is k the target of member p? */
    double *loss;
} population;

static dlf_status population_new(population *p, int seeds)
{
    const int P = (TENTS - 1 + RESTARTS) * RATES * seeds;
    *p = (population){.members = P};
    p->who = malloc((size_t)P * sizeof *p->who);
    p->draw = malloc((size_t)P * sizeof *p->draw);
    p->lr = calloc((size_t)P * (2 + TENTS), sizeof *p->lr);
    if (!p->who || !p->draw || !p->lr) return dlf_fail(DLF_ERR_OOM, "tents: out of memory");
    p->loss = p->lr + P;
    p->pick = p->loss + P;
    for (int i = 0; i < P; i++) {
        const int block = i / seeds / RATES; /* k, then the restarts of the last k */
        const int k = block < TENTS ? block : TENTS - 1;
        p->who[i] = (member){k, i / seeds % RATES, i % seeds};
        p->draw[i] = (block - k) * seeds + i % seeds;
        p->lr[i] = rates[p->who[i].rate];
        p->pick[k * P + i] = 1.0;
    }
    return DLF_OK;
}

static void population_free(population *p)
{
    free(p->who);
    free(p->draw);
    free(p->lr);
}

static dlf_status build(dlf_graph **g, dlf_device *device, const arch *a, const population *p)
{
    const int64_t P = p->members;
    DLF_TRY(dlf_graph_new(g, device, p->members));
    dlf_node h = dlf_input(*g, "x", 3, (int64_t[]){P, BATCH, 1});
    for (int l = 0; l < a->depth; l++) {
        char name[24];
        snprintf(name, sizeof name, "hidden%d", l + 1);
        /* Biases as large as the weights: kinks all over the line, not all of them at 0. */
        const dlf_init w = l ? dlf_he() : dlf_lecun(), b = dlf_init_normal(l ? 0.01 : 1.0);
        h = dlf_dense_init(*g, name, h, a->width, dlf_activation_of(DLF_RELU), w, &b);
    }
    const dlf_node y = dlf_dense(*g, "y", h, 1, dlf_activation_of(DLF_LINEAR), dlf_lecun());
    const dlf_node targets = dlf_input(*g, "target", 3, (int64_t[]){P, BATCH, TENTS});
    dlf_node mine = {0};
    for (int k = 0; k < TENTS; k++) {
        char name[24];
        snprintf(name, sizeof name, "pick%d", k + 1);
        const dlf_node picked = dlf_hyper(*g, name, p->pick + (size_t)k * (size_t)P);
        const dlf_node part =
            dlf_scale(*g, NULL, dlf_columns(*g, NULL, targets, k, 1), picked, 1.0);
        mine = k ? dlf_add(*g, NULL, mine, part) : part;
    }
    const dlf_node loss = dlf_row_loss(*g, "loss", y, mine, (dlf_loss){.kind = DLF_LOSS_MSE});
    dlf_graph_minimise(*g, loss, 1.0 / BATCH);
    return dlf_graph_compile(*g);
}

static dlf_status train_arch(dlf_run *run, const arch *a, population *p, const dlf_dataset *data,
                             double from, double to)
{
    const int steps = dlf_run_int(run, "tent_steps");
    dlf_status status;
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    DLF_TRY_DONE(build(&g, dlf_run_device(run), a, p));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), p->draw));
    const dlf_train_spec spec = {.seed = dlf_run_seed(run),
                                 .draw = p->draw,
                                 .lr = p->lr,
                                 .optimiser = dlf_adam(0.0),
                                 .schedule = {.kind = DLF_SCHEDULE_COSINE, .steps = steps}};
    DLF_TRY_DONE(dlf_train_new(&t, g, data, &spec));
    for (int step = 0; step < steps; step += 20) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * step / steps, "tents: %s", a->en));
        DLF_TRY_DONE(dlf_train_run(t, steps - step < 20 ? steps - step : 20));
    }
    DLF_TRY_DONE(dlf_train_evaluate(t, TRAIN, TEST, p->loss, NULL));
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    return status;
}

/* ---- results
 * -------------------------------------------------------------------------------------
 */

/* error[k seeds + seed] of one architecture: MSE on the test points over the target's variance
 * there, of the best rate and restart. One that diverged is no better than the constant 0. */
static void note_errors(const population *p, const dlf_dataset *data, int seeds, double *error)
{
    for (int k = 0; k < TENTS; k++) {
        double sum = 0.0, square = 0.0;
        for (int i = TRAIN; i < TRAIN + TEST; i++) {
            const double y = (double)data->target[i * TENTS + k];
            sum += y / TEST;
            square += y * y / TEST;
        }
        for (int s = 0; s < seeds; s++) {
            double best = square;
            for (int i = 0; i < p->members; i++)
                if (p->who[i].k == k && p->who[i].seed == s && p->loss[i] < best) best = p->loss[i];
            error[k * seeds + s] = best / (square - sum * sum);
        }
    }
}

static dlf_status trained_table(dlf_run *run, const arch *archs, const double *error)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *table;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "trained",
        (dlf_text){"训练后的均方误差与目标方差之比（种子间几何平均）",
                   "mean squared error after training over the target's variance (geometric mean "
                   "over seeds)"},
        (const dlf_column[]){{"arch", NULL},
                             {"parameters", "1"},
                             {"k", "1"},
                             {"error", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {NULL, NULL}},
        &table));
    double *logs = malloc((size_t)seeds * sizeof *logs);
    if (!logs) return dlf_fail(DLF_ERR_OOM, "tents: out of memory");
    dlf_status status = DLF_OK;
    for (int i = 0; i < ARCHS * TENTS; i++) {
        for (int s = 0; s < seeds; s++) logs[s] = log(error[i * seeds + s]);
        const dlf_estimate e = dlf_estimate_of(logs, seeds, 1);
        DLF_TRY_DONE(dlf_table_row(
            table, DLF_TXT(archs[i / TENTS].id), DLF_NUM(parameters_of(&archs[i / TENTS])),
            DLF_NUM(i % TENTS + 1), DLF_NUM(exp(e.mean)), DLF_NUM(exp(e.lo)), DLF_NUM(exp(e.hi))));
    }
done:
    free(logs);
    return status;
}

static dlf_status trained_check(dlf_run *run, const char *id, dlf_text claim, dlf_estimate e,
                                double expected, dlf_relation relation, const char *source)
{
    return dlf_result_check(dlf_run_result(run), (dlf_check){.id = id,
                                                             .claim = claim,
                                                             .measured = e.mean,
                                                             .lo = e.lo,
                                                             .hi = e.hi,
                                                             .n = e.n,
                                                             .expected = expected,
                                                             .relation = relation,
                                                             .source = source});
}

static dlf_status trained_checks(dlf_run *run, const double *error)
{
    const int seeds = dlf_run_seeds(run);
    const double *shallow = error, *deep = error + TENTS * seeds;
    double *gain = malloc((size_t)seeds * sizeof *gain);
    if (!gain) return dlf_fail(DLF_ERR_OOM, "tents: out of memory");
    for (int s = 0; s < seeds; s++)
        gain[s] = deep[(TENTS - 1) * seeds + s] - shallow[(TENTS - 1) * seeds + s];
    const dlf_estimate difference = dlf_estimate_of(gain, seeds, 1);
    free(gain);
    DLF_TRY(trained_check(
        run, "trained_one_tent",
        (dlf_text){"对照：一个帐篷，浅层网络也能学会（误差不到方差的 5%）",
                   "control: one tent is learned by the shallow network too (error below 5 % of "
                   "the variance)"},
        dlf_estimate_of(shallow, seeds, 1), 0.05, DLF_AT_MOST, "threshold chosen before the run"));
    DLF_TRY(trained_check(
        run, "trained_shallow_fails",
        (dlf_text){
            "tent⁴：浅层网络训练后误差仍在方差的一半以上，尽管它有足够的单元来精确表示",
            "tent⁴: the trained shallow network keeps more than half of the variance, though "
            "it has units enough to represent it exactly"},
        dlf_estimate_of(shallow + (TENTS - 1) * seeds, seeds, 1), 0.5, DLF_AT_LEAST,
        "Telgarsky 2016, arXiv:1602.04485 bounds what it can represent; that it also fails where "
        "it "
        "can is measured here; threshold chosen before the run"));
    DLF_TRY(trained_check(
        run, "trained_deep_error",
        (dlf_text){"tent⁴：参数量相同，5 层网络训练后的误差（占方差）不到一半",
                   "tent⁴: with as many parameters five trained layers keep less than half of the "
                   "variance"},
        dlf_estimate_of(deep + (TENTS - 1) * seeds, seeds, 1), 0.5, DLF_AT_MOST,
        "the same threshold"));
    return trained_check(
        run, "trained_deep_wins",
        (dlf_text){"tent⁴：5 层网络的误差减去单层网络的误差为负（按种子配对）",
                   "tent⁴: error of five layers minus error of one is negative (paired by seed)"},
        difference, 0.0, DLF_AT_MOST,
        "best of three rates and three restarts each, the same for both");
}

static dlf_status trained_figure(dlf_run *run, const arch *archs)
{
    dlf_figure figure = {
        .id = "trained",
        .kind = DLF_LINES,
        .title =
            {"参数量相同，训练同样充分：目标振荡越快，浅层网络越学不会",
             "As many parameters, as much training: the faster the target oscillates, the less "
             "the shallow network learns"},
        .subtitle =
            {"拟合 tentᵏ（2ᵏ 个线性片段），Adam，学习率与重启取最好；误差棒为种子间 95% 区间",
             "fitting tentᵏ (2ᵏ pieces), Adam, best of rates and restarts; bars: 95 % interval "
             "over "
             "seeds"},
        .x = {{"复合次数 k（k = 1 为对照）", "compositions k (k = 1: control)"}, false},
        .y = {{"均方误差 / 方差", "mean squared error / variance"}, true}};
    for (int a = 0; a < ARCHS; a++)
        figure.series[a] = (dlf_series){.role = DLF_MEASURED,
                                        .table = "trained",
                                        .where = "arch",
                                        .equals = archs[a].id,
                                        .x = "k",
                                        .y = "error",
                                        .lo = "lo",
                                        .hi = "hi",
                                        .label = {archs[a].zh, archs[a].en},
                                        .colour = a};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

dlf_status dlf_depth_trained(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    dlf_status status;
    dlf_dataset data = {0};
    population p = {0};
    arch archs[ARCHS];
    choose_archs(archs, dlf_run_int(run, "tent_width"));
    double *error = malloc((size_t)(ARCHS * TENTS * seeds) * sizeof *error);
    if (!error) return dlf_fail(DLF_ERR_OOM, "tents: out of memory");
    DLF_TRY_DONE(make_data(&data));
    DLF_TRY_DONE(population_new(&p, seeds));
    for (int a = 0; a < ARCHS; a++) {
        const double width = (to - from) / ARCHS;
        DLF_TRY_DONE(
            train_arch(run, &archs[a], &p, &data, from + a * width, from + (a + 1) * width));
        note_errors(&p, &data, seeds, error + a * TENTS * seeds);
    }
    DLF_TRY_DONE(trained_table(run, archs, error));
    DLF_TRY_DONE(trained_checks(run, error));
    DLF_TRY_DONE(trained_figure(run, archs));
done:
    population_free(&p);
    dlf_dataset_free(&data);
    free(error);
    return status;
}
