/* SPDX-License-Identifier: MIT
 * exploding_cliff.c -- Q8: the cliff of Pascanu, Mikolov & Bengio 2013 and what clipping does on
 * it.
 *
 *   x_{t+1} = sigmoid(w x_t + b),  x_0 = 1/2,  loss = (x_T - 0.7)^2,  T = 50
 *
 * Near the bifurcation of the map the loss surface has a wall; a plain step there jumps far away.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "exploding.h"

enum { T = 50, STEPS = 300, ARMS = 3 };
#define RATE 0.1

static const double clips[ARMS] = {INFINITY, 1.0, 0.1};
static const char *const arm_ids[ARMS] = {"none", "1.0", "0.1"};

typedef struct point {
    double w, b;
} point;

/* Loss and its gradient by reverse mode through the 50 steps. */
static double cliff_loss(point p, point *gradient)
{
    double x[T + 1];
    x[0] = 0.5;
    for (int t = 0; t < T; t++) x[t + 1] = 1.0 / (1.0 + exp(-(p.w * x[t] + p.b)));
    const double error = x[T] - 0.7;
    double dx = 2.0 * error;
    *gradient = (point){0.0, 0.0};
    for (int t = T - 1; t >= 0; t--) {
        const double dz = dx * x[t + 1] * (1.0 - x[t + 1]);
        gradient->w += dz * x[t];
        gradient->b += dz;
        dx = dz * p.w;
    }
    return error * error;
}

/* What one run of 300 steps showed. */
typedef struct descent {
    double loss;        /* at the end                                              */
    double longest;     /* longest step taken                                      */
    double bound_error; /* largest ||step| / (rate clip) - 1| over clipped steps   */
    double turn;        /* largest 1 - cos between a step and the raw gradient      */
} descent;

/* The larger of two errors; NaN is the worst of all (fmax would drop it). */
static double worse(double a, double b)
{
    return b <= a ? a : isnan(b) ? INFINITY : b;
}

static descent descend(point p, double clip, point *path)
{
    descent d = {0};
    for (int step = 0; step < STEPS; step++) {
        point g;
        if (path) path[step] = p;
        d.loss = cliff_loss(p, &g);
        const double norm = hypot(g.w, g.b);
        const double scale = norm > clip ? clip / norm : 1.0;
        const point move = {-RATE * scale * g.w, -RATE * scale * g.b};
        const double length = hypot(move.w, move.b);
        if (length > d.longest) d.longest = length;
        if (norm > clip) d.bound_error = worse(d.bound_error, fabs(length / (RATE * clip) - 1.0));
        if (length > 0.0)
            d.turn = worse(d.turn, 1.0 + (move.w * g.w + move.b * g.b) / (length * norm));
        p.w += move.w;
        p.b += move.b;
    }
    point unused;
    d.loss = cliff_loss(p, &unused);
    return d;
}

static point start_point(uint64_t seed, int s, int i)
{
    const uint32_t stream = dlf_stream(DLF_PURPOSE_START, 0);
    const double u = (double)dlf_rng_uniform(seed, stream, (uint32_t)s, 2 * (uint64_t)i);
    const double v = (double)dlf_rng_uniform(seed, stream, (uint32_t)s, 2 * (uint64_t)i + 1);
    return (point){4.5 + 2.0 * u, -2.8 + 0.8 * v};
}

/* Per seed: shares over its starting points. */
typedef struct arm_shares {
    double converged, long_step;
} arm_shares;

typedef struct cliff_data {
    arm_shares *share; /* [arm * seeds + seed]           */
    double error;      /* worst over all clipped runs    */
    double turn;       /* worst over all runs            */
} cliff_data;

static dlf_status sweep(dlf_run *run, cliff_data *data, double from, double to)
{
    const int seeds = dlf_run_seeds(run), starts = dlf_run_int(run, "starts");
    const uint64_t seed = dlf_run_seed(run);
    const int threads = dlf_run_device(run)->info.threads;
    double error = 0.0, turn = 0.0;
    for (int s = 0; s < seeds; s++) {
        DLF_TRY(dlf_run_stage(run, from + (to - from) * s / seeds, "cliff, seed %d", s));
        for (int a = 0; a < ARMS; a++) {
            int converged = 0, longer = 0;
#pragma omp parallel for num_threads(threads) schedule(static)                                     \
    reduction(+ : converged, longer) reduction(max : error, turn)
            for (int i = 0; i < starts; i++) {
                const descent d = descend(start_point(seed, s, i), clips[a], NULL);
                converged += d.loss < 1e-3;
                longer += d.longest > 1.0;
                error = worse(error, d.bound_error);
                turn = worse(turn, d.turn);
            }
            data->share[a * seeds + s] =
                (arm_shares){(double)converged / starts, (double)longer / starts};
        }
    }
    data->error = error;
    data->turn = turn;
    return DLF_OK;
}

static dlf_status share_table(dlf_run *run, const cliff_data *data)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *table;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "cliff",
        (dlf_text){"悬崖：收敛与跳跃的比例", "cliff: share converged, share that jumped"},
        (const dlf_column[]){{"clip", NULL},
                             {"converged", "1"},
                             {"converged_lo", "1"},
                             {"converged_hi", "1"},
                             {"long_step", "1"},
                             {"long_lo", "1"},
                             {"long_hi", "1"},
                             {NULL, NULL}},
        &table));
    for (int a = 0; a < ARMS; a++) {
        const dlf_estimate c = dlf_estimate_of(&data->share[a * seeds].converged, seeds, 2);
        const dlf_estimate l = dlf_estimate_of(&data->share[a * seeds].long_step, seeds, 2);
        DLF_TRY(dlf_table_row(table, DLF_TXT(arm_ids[a]), DLF_NUM(c.mean), DLF_NUM(fmax(0.0, c.lo)),
                              DLF_NUM(c.hi), DLF_NUM(l.mean), DLF_NUM(fmax(0.0, l.lo)),
                              DLF_NUM(l.hi)));
    }
    return DLF_OK;
}

static dlf_status share_check(dlf_run *run, const char *id, dlf_text claim, dlf_estimate e,
                              double expected, dlf_relation relation)
{
    return dlf_result_check(dlf_run_result(run),
                            (dlf_check){.id = id,
                                        .claim = claim,
                                        .measured = e.mean,
                                        .lo = e.lo,
                                        .hi = e.hi,
                                        .n = e.n,
                                        .expected = expected,
                                        .relation = relation,
                                        .source = "Pascanu, Mikolov & Bengio 2013, section 3; "
                                                  "threshold chosen before the run"});
}

static const char clip_identity[] =
    "identity: g min(1, c/|g|) has length at most c and the direction of g";

static dlf_status checks(dlf_run *run, const cliff_data *data)
{
    const int seeds = dlf_run_seeds(run);
    const dlf_estimate none = dlf_estimate_of(&data->share[0].converged, seeds, 2);
    const dlf_estimate clip1 = dlf_estimate_of(&data->share[seeds].converged, seeds, 2);
    DLF_TRY(share_check(run, "cliff_long_steps",
                        (dlf_text){"不裁剪时，过半的运行至少有一步跳出长度 1 之外",
                                   "without clipping more than half of the runs make a step longer "
                                   "than 1"},
                        dlf_estimate_of(&data->share[0].long_step, seeds, 2), 0.5, DLF_AT_LEAST));
    DLF_TRY(share_check(run, "cliff_clipping_helps",
                        (dlf_text){"阈值为 1 的裁剪使收敛的比例达到不裁剪时的 3 倍以上",
                                   "clipping at 1 makes more than 3 times as many runs converge"},
                        clip1, 3.0 * none.mean, DLF_AT_LEAST));
    DLF_TRY(dlf_identity_check(run, "clip_bound",
                               (dlf_text){"裁剪后的步长恰为 学习率 × 阈值",
                                          "a clipped step is exactly rate x threshold long"},
                               data->error, 1e-12, clip_identity));
    return dlf_identity_check(
        run, "clip_direction",
        (dlf_text){"裁剪不改变方向：cos = 1", "clipping keeps the direction: cos = 1"}, data->turn,
        1e-6, clip_identity);
}

enum { GRID = 80, SHOWN = STEPS };

/* A start from which the plain descent jumps off the cliff and the clipped one converges. */
static point telling_start(uint64_t seed)
{
    for (int i = 0; i < 1000; i++) {
        const point p = start_point(seed, 0, i);
        if (descend(p, clips[0], NULL).longest > 1.0 && descend(p, clips[1], NULL).loss < 1e-3)
            return p;
    }
    return start_point(seed, 0, 0);
}

/* The surface, and the trajectories with and without clipping from one start. */
static dlf_status surface(dlf_run *run)
{
    const point start = telling_start(dlf_run_seed(run));
    dlf_result *r = dlf_run_result(run);
    dlf_table *table, *path;
    DLF_TRY(dlf_result_table(
        r, "cliff_surface", (dlf_text){"损失曲面", "loss surface"},
        (const dlf_column[]){{"w", "1"}, {"b", "1"}, {"log10_loss", "1"}, {NULL, NULL}}, &table));
    DLF_TRY(dlf_result_table(
        r, "cliff_path", (dlf_text){"轨迹", "trajectories"},
        (const dlf_column[]){
            {"clip", NULL}, {"step", "step"}, {"w", "1"}, {"b", "1"}, {NULL, NULL}},
        &path));
    for (int i = 0; i < GRID * GRID; i++) {
        point unused;
        const point p = {3.5 + 3.0 * (i % GRID) / (GRID - 1), -3.0 + 1.4 * (i / GRID) / (GRID - 1)};
        const double loss = cliff_loss(p, &unused);
        DLF_TRY(dlf_table_row(table, DLF_NUM(p.w), DLF_NUM(p.b), DLF_NUM(log10(loss + 1e-6))));
    }
    for (int a = 0; a < 2; a++) {
        point at[STEPS];
        descend(start, clips[a], at);
        for (int i = 0; i < SHOWN; i++)
            DLF_TRY(dlf_table_row(path, DLF_TXT(arm_ids[a]), DLF_NUM(i), DLF_NUM(at[i].w),
                                  DLF_NUM(at[i].b)));
    }
    const dlf_figure figure = {
        .id = "cliff",
        .kind = DLF_HEATMAP,
        .title =
            {"损失曲面上有悬崖：不裁剪的一步跳走，裁剪后贴着崖壁下降",
             "The loss surface has a cliff: an unclipped step jumps away, clipped ones descend "
             "along it"},
        .subtitle = {"x ← σ(wx+b) 迭代 50 步，损失 (x₅₀−0.7)²，学习率 0.1",
                     "x ← σ(wx+b) iterated 50 times, loss (x₅₀−0.7)², learning rate 0.1"},
        .x = {{"权重 w", "weight w"}, false},
        .y = {{"偏置 b", "bias b"}, false},
        .z = {{"log₁₀(损失 + 10⁻⁶)", "log₁₀(loss + 10⁻⁶)"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "cliff_surface",
                    .x = "w",
                    .y = "b",
                    .z = "log10_loss",
                    .label = {"损失", "loss"}},
                   {.role = DLF_CONTROL,
                    .table = "cliff_path",
                    .where = "clip",
                    .equals = "none",
                    .x = "w",
                    .y = "b",
                    .label = {"不裁剪", "no clipping"},
                    .colour = 1},
                   {.role = DLF_MEASURED,
                    .table = "cliff_path",
                    .where = "clip",
                    .equals = "1.0",
                    .x = "w",
                    .y = "b",
                    .label = {"裁剪到 1", "clipped at 1"},
                    .colour = 2}}};
    return dlf_result_figure(r, &figure);
}

dlf_status dlf_exploding_cliff(dlf_run *run, double from, double to)
{
    dlf_status status;
    cliff_data data = {0};
    data.share = malloc((size_t)(ARMS * dlf_run_seeds(run)) * sizeof *data.share);
    if (!data.share) return dlf_fail(DLF_ERR_OOM, "cliff: out of memory");
    DLF_TRY_DONE(sweep(run, &data, from, to));
    DLF_TRY_DONE(share_table(run, &data));
    DLF_TRY_DONE(checks(run, &data));
    DLF_TRY_DONE(surface(run));
done:
    free(data.share);
    return status;
}
