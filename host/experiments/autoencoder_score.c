/* SPDX-License-Identifier: MIT
 * autoencoder_score.c -- Q32: a denoising autoencoder knows the slope of the log density, and with
 * it one generates: by the steps of Langevin, from anywhere. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "autoencoder.h"
#include "dlf/data.h"
#include "dlf/rng.h"
#include "dlf/train.h"
#include "figures.h"
#include "host_arrays.h"
#include "seed_check.h"

static const dlf_humps rows = {0.0, 2.0, 0.5};
static const double noise = 0.7;
enum { BATCH = 256, GRID = 1024, UNITS = 32, ARMS = 2, SHOWN_EVERY = 20 };
static const double grid_from = -5.0, grid_step = 10.0 / GRID, stride = 0.05;

static double grid_at(int i)
{
    return grid_from + (i + 0.5) * grid_step;
}

/* The rows, blurred by the noise. */
static dlf_humps blurred(void)
{
    return (dlf_humps){rows.centre, rows.half, hypot(rows.sd, noise)};
}

/* x -> 32 tanh units -> what x was before the noise. */
static dlf_status net_new(dlf_graph **out, dlf_device *device, int members, int batch)
{
    DLF_TRY(dlf_graph_new(out, device, members));
    dlf_graph *g = *out;
    const int64_t shape[] = {members, batch, 1};
    const dlf_init spread = dlf_init_normal(1.0);
    const dlf_node x = dlf_input(g, "x", 3, shape), target = dlf_input(g, "target", 3, shape);
    const dlf_node h =
        dlf_dense_init(g, "h", x, UNITS, dlf_activation_of(DLF_TANH), dlf_lecun(), &spread);
    const dlf_node out_x = dlf_dense(g, "out", h, 1, dlf_activation_of(DLF_LINEAR), dlf_lecun());
    dlf_want_value(g, out_x);
    dlf_graph_minimise(g, dlf_row_loss(g, "loss", out_x, target, (dlf_loss){DLF_LOSS_MSE, 0}),
                       1.0 / batch);
    return dlf_graph_compile(g);
}

/* Members p = arm seeds + seed; arm 0 denoises, arm 1 sees rows without noise. Both see the same
 * inputs: a plain autoencoder is told to give back what it sees. */
static dlf_status rows_new(dlf_dataset *d, const dlf_run *run)
{
    const int n = dlf_run_int(run, "score_rows"), seeds = dlf_run_seeds(run), P = ARMS * seeds;
    const uint64_t seed = dlf_run_seed(run);
    *d = (dlf_dataset){.name = "blurred humps", .train = P * n, .features = 1, .targets = 1};
    d->x = malloc((size_t)P * (size_t)n * sizeof *d->x);
    d->target = malloc((size_t)P * (size_t)n * sizeof *d->target);
    if (!d->x || !d->target) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    for (int p = 0; p < P; p++)
        for (int i = 0; i < n; i++) {
            const uint32_t member = (uint32_t)(p % seeds);
            const uint64_t at = (uint64_t)i;
            const bool right =
                dlf_rng_bits(seed, dlf_stream(DLF_PURPOSE_DATA, 140), member, at) & 1;
            const double x =
                rows.centre + (right ? rows.half : -rows.half) +
                rows.sd * dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_DATA, 141), member, at);
            const double seen =
                x + noise * dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_DATA, 142), member, at);
            d->x[(long)p * n + i] = (float)seen;
            d->target[(long)p * n + i] = (float)(p / seeds ? seen : x);
        }
    return DLF_OK;
}

static dlf_status train(dlf_run *run, dlf_graph **out, double from, double to)
{
    const int P = ARMS * dlf_run_seeds(run), n = dlf_run_int(run, "score_rows"),
              steps = dlf_run_int(run, "score_steps"), pieces = 10;
    dlf_dataset d = {0};
    dlf_train *trainer = NULL;
    dlf_status status;
    double *lr = malloc((size_t)P * sizeof *lr);
    int32_t *base = malloc(2 * (size_t)P * sizeof *base), *draw = base + P;
    if (!lr || !base) {
        status = dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
        goto done;
    }
    for (int p = 0; p < P; p++) {
        lr[p] = 0.02;
        base[p] = p * n;
        draw[p] = p % dlf_run_seeds(run);
    }
    DLF_TRY_DONE(rows_new(&d, run));
    DLF_TRY_DONE(net_new(out, dlf_run_device(run), P, n < BATCH ? n : BATCH));
    DLF_TRY_DONE(dlf_graph_initialise(*out, dlf_run_seed(run), draw));
    const dlf_train_spec spec = {
        .seed = dlf_run_seed(run),
        .draw = draw,
        .base = base,
        .lr = lr,
        .optimiser = dlf_adam(0.0),
        .schedule = {.kind = DLF_SCHEDULE_COSINE, .steps = steps, .final = 0.0},
        .rows = n};
    DLF_TRY_DONE(dlf_train_new(&trainer, *out, &d, &spec));
    for (int k = 0; k < pieces; k++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * k / pieces, "denoising"));
        DLF_TRY_DONE(dlf_train_run(trainer, steps * (k + 1) / pieces - steps * k / pieces));
    }
done:
    dlf_train_free(trainer);
    dlf_dataset_free(&d);
    free(base);
    free(lr);
    return status;
}

static dlf_status through(dlf_graph *g, const double *x, double *y)
{
    DLF_TRY(dlf_tensor_upload_f64(dlf_graph_value(g, dlf_graph_find(g, "x")), x));
    DLF_TRY(dlf_graph_forward(g, DLF_EVALUATION));
    return dlf_tensor_download_f64(y, dlf_graph_value(g, dlf_graph_find(g, "out")));
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Wasserstein-1 of x (n), which it sorts, and the blurred rows: area between the distribution
 * functions. */
static double area(double *x, int n)
{
    const double h = 0.02;
    double sum = 0.0;
    qsort(x, (size_t)n, sizeof *x, by_value);
    int below = 0;
    for (double t = -10.0; t < 10.0; t += h) {
        while (below < n && x[below] <= t) below++;
        sum += h * fabs((double)below / n - dlf_humps_cdf(blurred(), t));
    }
    return sum;
}

/* distance (walk_steps / SHOWN_EVERY + 1, P): from the rows after so many steps of Langevin from
 * N(0,1/4), in the dip between the humps. */
static dlf_status walk(dlf_graph *g, const dlf_run *run, int P, double *distance)
{
    double *x = malloc(3 * (size_t)P * GRID * sizeof *x);
    if (!x) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    double *y = x + (long)P * GRID, *sorted = y + (long)P * GRID;
    const uint64_t seed = dlf_run_seed(run);
    const int seeds = P / ARMS;
    dlf_status status = DLF_OK;
    for (int i = 0; i < P * GRID; i++)
        x[i] = 0.5 * dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_START, 140),
                                    (uint32_t)(i / GRID % seeds), (uint64_t)(i % GRID));
    for (int t = 0; t <= dlf_run_int(run, "walk_steps"); t++) {
        if (t % SHOWN_EVERY == 0)
            for (int p = 0; p < P; p++) {
                for (int i = 0; i < GRID; i++) sorted[i] = x[(long)p * GRID + i];
                distance[t / SHOWN_EVERY * P + p] = area(sorted, GRID);
            }
        DLF_TRY_DONE(through(g, x, y));
        for (int i = 0; i < P * GRID; i++)
            x[i] += stride * (y[i] - x[i]) / (noise * noise) +
                    sqrt(2.0 * stride) *
                        dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_GRADIENT, 1000 + (uint32_t)t),
                                       (uint32_t)(i / GRID % seeds), (uint64_t)(i % GRID));
    }
done:
    free(x);
    return status;
}

/* Of as many exact draws from the blurred rows. */
static dlf_status exact_draws(const dlf_run *run, double *distance)
{
    double *x = malloc(GRID * sizeof *x);
    if (!x) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    const dlf_humps h = blurred();
    for (int s = 0; s < dlf_run_seeds(run); s++) {
        host_normal(x, GRID, h.sd, dlf_run_seed(run), dlf_stream(DLF_PURPOSE_TEST, 140),
                    (uint32_t)s);
        for (int i = 0; i < GRID; i++)
            x[i] += h.centre + (dlf_rng_bits(dlf_run_seed(run), dlf_stream(DLF_PURPOSE_TEST, 141),
                                             (uint32_t)s, (uint64_t)i) &
                                        1
                                    ? h.half
                                    : -h.half);
        distance[s] = area(x, GRID);
    }
    free(x);
    return DLF_OK;
}

/* ---- report ---- */

static const dlf_text names[ARMS] = {{"去噪自编码器", "denoising autoencoder"},
                                     {"对照：普通自编码器", "control: plain autoencoder"}};
static const char *const ids[ARMS] = {"denoising", "plain"};

static dlf_status score_report(dlf_run *run, const double *made)
{
    const int seeds = dlf_run_seeds(run);
    const double v = noise * noise;
    dlf_table *t;
    double *at = malloc(2 * (size_t)seeds * sizeof *at);
    if (!at) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    double *miss = at + seeds;
    dlf_status status;
    DLF_TRY_DONE(
        dlf_result_table(dlf_run_result(run), "score",
                         (dlf_text){"自编码器的移动与密度的斜率",
                                    "what an autoencoder adds, and the slope of the density"},
                         (const dlf_column[]){{"arm", NULL},
                                              {"x", "1"},
                                              {"score", "1"},
                                              {"lo", "1"},
                                              {"hi", "1"},
                                              {"theory", "1"},
                                              {NULL, NULL}},
                         &t));
    dlf_figure f = {
        .id = "score",
        .kind = DLF_LINES,
        .title = {"去噪自编码器给出密度对数的斜率；普通自编码器什么也没有",
                  "A denoising autoencoder gives the slope of the log density; a plain one gives "
                  "nothing"},
        .subtitle = {"双峰密度，噪声 0.7；虚线为 Tweedie 公式，没有拟合参数",
                     "two humps, noise 0.7; dashed: Tweedie's formula, nothing fitted"},
        .x = {{"x", "x"}, false},
        .y = {{"(r(x)−x)/σ²", "(r(x)−x)/σ²"}, false}};
    for (int a = 0; a < ARMS; a++) {
        for (int s = 0; s < seeds; s++) miss[s] = 0.0;
        for (int i = 0; i < GRID; i++) {
            const double x = grid_at(i), best = a ? x : dlf_denoised(rows, noise, x),
                         density = dlf_humps_density(blurred(), x);
            for (int s = 0; s < seeds; s++) {
                at[s] = (made[(long)(a * seeds + s) * GRID + i] - x) / v;
                miss[s] += grid_step * density * fabs(at[s] * v + x - best);
            }
            if (density < 0.01 || i % 8) continue;
            const dlf_estimate e = dlf_estimate_of(at, seeds, 1);
            DLF_TRY_DONE(dlf_table_row(t, DLF_TXT(ids[a]), DLF_NUM(x), DLF_NUM(e.mean),
                                       DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM((best - x) / v)));
        }
        if (a == 0)
            DLF_TRY_DONE(dlf_add_bound(
                run, "tweedie",
                (dlf_text){"去噪自编码器与 Tweedie 公式平均差多少",
                           "how far the denoising autoencoder is from Tweedie's formula, on "
                           "average"},
                dlf_estimate_of(miss, seeds, 1), DLF_AT_MOST, 0.03,
                "Alain & Bengio 2014, Vincent 2011: x + sigma^2 d log p_sigma; 0.03: what 8192 "
                "rows leave open"));
        f.series[2 * a] = dlf_arm_series(a ? DLF_CONTROL : DLF_MEASURED, "score", "arm", ids[a],
                                         "x", "score", names[a], a);
        if (a == 0) dlf_theory_of(&f, 0, 1, "theory");
    }
    status = dlf_result_figure(dlf_run_result(run), &f);
done:
    free(at);
    return status;
}

static dlf_status walk_report(dlf_run *run, const double *distance)
{
    const int seeds = dlf_run_seeds(run), P = ARMS * seeds,
              looks = dlf_run_int(run, "walk_steps") / SHOWN_EVERY + 1;
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "walk",
        (dlf_text){"朗之万采样到数据的距离", "distance of Langevin's samples from the rows"},
        (const dlf_column[]){{"arm", NULL},
                             {"step", "step"},
                             {"distance", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {NULL, NULL}},
        &t));
    dlf_figure f = {
        .id = "walk",
        .kind = DLF_LINES,
        .title = {"沿着去噪自编码器走就走到数据的分布；没有它，样本只是扩散",
                  "Steps along a denoising autoencoder lead to the distribution of the rows; "
                  "without one samples merely diffuse"},
        .subtitle = {"1024 个样本，从两峰之间出发；带为种子间 95 % 区间",
                     "1024 samples from between the humps; bands: 95 % over seeds"},
        .x = {{"朗之万步", "step of Langevin"}, false},
        .y = {{"Wasserstein-1 距离", "Wasserstein-1 distance"}, false}};
    for (int a = 0; a < ARMS; a++) {
        for (int k = 0; k < looks; k++) {
            const dlf_estimate e = dlf_estimate_of(distance + k * P + a * seeds, seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(ids[a]), DLF_NUM(k * SHOWN_EVERY), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi)));
            if (k == 0 && a == 0)
                DLF_TRY(dlf_result_fact(dlf_run_result(run), "walk_start", e.mean, "1"));
        }
        f.series[a] = dlf_arm_series(a ? DLF_CONTROL : DLF_MEASURED, "walk", "arm", ids[a], "step",
                                     "distance", names[a], a);
    }
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &f));
    double *gap = malloc(2 * (size_t)seeds * sizeof *gap);
    if (!gap) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    const double *end = distance + (looks - 1) * P;
    dlf_status status;
    DLF_TRY_DONE(exact_draws(run, gap + seeds));
    for (int s = 0; s < seeds; s++) gap[s] = end[s] - gap[seeds + s];
    DLF_TRY_DONE(dlf_add_within(
        run, "langevin",
        (dlf_text){"朗之万采样，去噪自编码器：比同样多的精确样本离数据远多少",
                   "Langevin with a denoising autoencoder: how much further from the rows than as "
                   "many exact samples"},
        dlf_estimate_of(gap, seeds, 1), 0.25,
        "Langevin's stationary law is exp of the score's integral: a score off by 0.03 over the 4 "
        "between the humps shifts their weights by a tenth, 0.25 of distance"));
    for (int s = 0; s < seeds; s++) gap[s] = end[seeds + s] - gap[seeds + s];
    DLF_TRY_DONE(dlf_add_within(
        run, "plain_langevin",
        (dlf_text){"普通自编码器的同样的采样也不比精确样本远",
                   "with a plain autoencoder the same steps are no further away, either"},
        dlf_estimate_of(gap, seeds, 1), 0.25,
        "its step is 0 among the rows: a random walk, until the net's units saturate"));
    DLF_TRY_DONE(
        dlf_result_fact(dlf_run_result(run), "walk_end", dlf_estimate_of(end, seeds, 1).mean, "1"));
    DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), "walk_end_plain",
                                 dlf_estimate_of(end + seeds, seeds, 1).mean, "1"));
    status = dlf_result_fact(dlf_run_result(run), "walk_exact",
                             dlf_estimate_of(gap + seeds, seeds, 1).mean, "1");
done:
    free(gap);
    return status;
}

dlf_status dlf_autoencoder_score(dlf_run *run, double from, double to)
{
    const int P = ARMS * dlf_run_seeds(run);
    dlf_graph *g = NULL, *wide = NULL;
    dlf_status status;
    double *x = malloc((2 * (size_t)P * GRID +
                        (size_t)P * (size_t)(dlf_run_int(run, "walk_steps") / SHOWN_EVERY + 1)) *
                       sizeof *x);
    if (!x) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    double *made = x + (long)P * GRID, *distance = made + (long)P * GRID;
    DLF_TRY_DONE(train(run, &g, from, to));
    DLF_TRY_DONE(net_new(&wide, dlf_run_device(run), P, GRID)); /* its batch is the grid's */
    DLF_TRY_DONE(dlf_tensor_copy(dlf_graph_parameters(wide), dlf_graph_parameters(g)));
    for (int i = 0; i < P * GRID; i++) x[i] = grid_at(i % GRID);
    DLF_TRY_DONE(through(wide, x, made));
    DLF_TRY_DONE(score_report(run, made));
    DLF_TRY_DONE(walk(wide, run, P, distance));
    status = walk_report(run, distance);
done:
    dlf_graph_free(wide);
    dlf_graph_free(g);
    free(x);
    return status;
}
