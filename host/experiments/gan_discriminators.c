/* SPDX-License-Identifier: MIT
 * gan_discriminators.c -- Q20: discriminators of pairs of densities whose best one is known: what
 * they learn, what it is worth, and what gradient it leaves to the generator. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/data.h"
#include "dlf/rng.h"
#include "dlf/train.h"
#include "figures.h"
#include "gan.h"
#include "seed_check.h"

typedef struct pair {
    const char *id;
    dlf_text name;
    dlf_humps real, fake;
} pair;

static const pair pairs[] = {
    {"same", {"相同的分布", "equal densities"}, {0, 0, 1}, {0, 0, 1}},
    {"shift_05", {"平移 0.5", "shifted by 0.5"}, {0, 0, 1}, {0.5, 0, 1}},
    {"shift_1", {"平移 1", "shifted by 1"}, {0, 0, 1}, {1, 0, 1}},
    {"shift_2", {"平移 2", "shifted by 2"}, {0, 0, 1}, {2, 0, 1}},
    {"shift_4", {"平移 4", "shifted by 4"}, {0, 0, 1}, {4, 0, 1}},
    {"two_humps", {"双峰对单峰", "two humps against one"}, {0, 2, 0.7}, {0, 0, 1.5}},
};
enum {
    PAIRS = sizeof pairs / sizeof pairs[0],
    SHIFTS = PAIRS - 1,
    HUMPS = PAIRS - 1,
    SAME = 0,
    NEAR = 2,
    FAR = 4,
    GRID = 256,
    UNITS = 16,
    LAWS = 33
};
static const double grid_from = -8.0, grid_step = 20.0 / GRID;

static double grid_at(int i)
{
    return grid_from + (i + 0.5) * grid_step;
}

/* x -> 16 tanh units -> logit that x is real. */
static dlf_status judge_new(dlf_graph **out, dlf_device *device, int members, int batch, bool probe)
{
    DLF_TRY(dlf_graph_new(out, device, members));
    dlf_graph *g = *out;
    const dlf_activation f = dlf_activation_of(DLF_TANH), none = dlf_activation_of(DLF_LINEAR);
    const dlf_init spread = dlf_init_normal(1.0);
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){members, batch, 1});
    const dlf_node h = dlf_dense_init(g, "h", x, UNITS, f, dlf_lecun(), &spread);
    const dlf_node logit = dlf_dense(g, "logits", h, 1, none, dlf_lecun());
    if (probe) {
        dlf_want_value(g, logit);
        dlf_want_gradient(g, x);
        dlf_graph_seed(g, logit);
    } else {
        const dlf_node target = dlf_input(g, "target", 3, (int64_t[]){members, batch, 1});
        dlf_graph_minimise(g, dlf_row_loss(g, "loss", logit, target, (dlf_loss){DLF_LOSS_BCE, 0}),
                           1.0 / batch);
    }
    return dlf_graph_compile(g);
}

/* n rows of every pair and seed, real and generated in turns: x, and target 1 or 0. */
static dlf_status rows_new(dlf_dataset *d, const dlf_run *run)
{
    const int n = dlf_run_int(run, "judge_rows"), P = PAIRS * dlf_run_seeds(run);
    const uint64_t seed = dlf_run_seed(run);
    *d = (dlf_dataset){.name = "humps", .train = P * n, .features = 1, .targets = 1};
    d->x = malloc((size_t)P * (size_t)n * sizeof *d->x);
    d->target = malloc((size_t)P * (size_t)n * sizeof *d->target);
    if (!d->x || !d->target) return dlf_fail(DLF_ERR_OOM, "gan: out of memory");
    for (int p = 0; p < P; p++)
        for (int i = 0; i < n; i++) {
            const pair *k = &pairs[p % PAIRS];
            const dlf_humps h = i % 2 ? k->fake : k->real;
            const float z =
                dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_DATA, 120), (uint32_t)p, (uint64_t)i);
            const double side =
                dlf_rng_bits(seed, dlf_stream(DLF_PURPOSE_DATA, 121), (uint32_t)p, (uint64_t)i) & 1
                    ? 1.0
                    : -1.0;
            d->x[(long)p * n + i] = (float)(h.centre + side * h.half + h.sd * z);
            d->target[(long)p * n + i] = i % 2 ? 0.0f : 1.0f;
        }
    return DLF_OK;
}

/* Logits and their derivatives on the grid, (P, GRID). */
static dlf_status probe(dlf_graph *trained, int P, double *logit, double *slope)
{
    dlf_graph *g = NULL;
    dlf_status status;
    double *x = malloc((size_t)P * GRID * sizeof *x);
    if (!x) return dlf_fail(DLF_ERR_OOM, "gan: out of memory");
    DLF_TRY_DONE(judge_new(&g, dlf_graph_device(trained), P, GRID, true));
    const dlf_node logits = dlf_graph_find(g, "logits"), in = dlf_graph_find(g, "x");
    DLF_TRY_DONE(dlf_tensor_copy(dlf_graph_parameters(g), dlf_graph_parameters(trained)));
    for (int i = 0; i < P * GRID; i++) x[i] = grid_at(i % GRID);
    DLF_TRY_DONE(dlf_tensor_upload_f64(dlf_graph_value(g, in), x));
    for (int i = 0; i < P * GRID; i++) x[i] = 1.0;
    DLF_TRY_DONE(dlf_tensor_upload_f64(dlf_graph_seed_gradient(g, logits), x));
    DLF_TRY_DONE(dlf_graph_forward(g, DLF_TRAINING));
    DLF_TRY_DONE(dlf_graph_backward(g));
    DLF_TRY_DONE(dlf_tensor_download_f64(logit, dlf_graph_value(g, logits)));
    status = dlf_tensor_download_f64(slope, dlf_graph_gradient(g, in));
done:
    dlf_graph_free(g);
    free(x);
    return status;
}

/* Members p = seed PAIRS + pair. */
static dlf_status train(dlf_run *run, double *logit, double *slope, double from, double to)
{
    const int P = PAIRS * dlf_run_seeds(run), n = dlf_run_int(run, "judge_rows"),
              steps = dlf_run_int(run, "judge_steps"), pieces = 10;
    dlf_dataset d = {0};
    dlf_graph *g = NULL;
    dlf_train *trainer = NULL;
    dlf_status status;
    double *lr = malloc((size_t)P * sizeof *lr);
    int32_t *base = malloc((size_t)P * sizeof *base);
    if (!lr || !base) {
        status = dlf_fail(DLF_ERR_OOM, "gan: out of memory");
        goto done;
    }
    for (int p = 0; p < P; p++) {
        lr[p] = 0.05;
        base[p] = p * n;
    }
    DLF_TRY_DONE(rows_new(&d, run));
    DLF_TRY_DONE(judge_new(&g, dlf_run_device(run), P, n < GRID ? n : GRID, false));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    const dlf_train_spec spec = {
        .seed = dlf_run_seed(run),
        .base = base,
        .lr = lr,
        .optimiser = dlf_adam(0.0),
        .schedule = {.kind = DLF_SCHEDULE_COSINE, .steps = steps, .final = 0.0},
        .rows = n};
    DLF_TRY_DONE(dlf_train_new(&trainer, g, &d, &spec));
    for (int k = 0; k < pieces; k++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * k / pieces, "discriminators"));
        DLF_TRY_DONE(dlf_train_run(trainer, steps * (k + 1) / pieces - steps * k / pieces));
    }
    status = probe(g, P, logit, slope);
done:
    dlf_train_free(trainer);
    dlf_graph_free(g);
    dlf_dataset_free(&d);
    free(base);
    free(lr);
    return status;
}

/* ---- what they are worth ---- */

/* log(1 + e^x) */
static double softplus(double x)
{
    return fmax(x, 0.0) + log1p(exp(-fabs(x)));
}

/* Exact means over the densities of a learned discriminator: the grid is an integration rule. */
typedef struct worth {
    double value, miss;                /* E_p log D + E_q log(1-D); mean |D - D*| over (p+q)/2 */
    double saturating, non_saturating; /* |derivative by a shift of q|                      */
} worth;

static worth worth_of(const pair *k, const double *logit, const double *slope)
{
    worth w = {0};
    for (int i = 0; i < GRID; i++) {
        const double x = grid_at(i), p = grid_step * dlf_humps_density(k->real, x),
                     q = grid_step * dlf_humps_density(k->fake, x),
                     D = 1.0 / (1.0 + exp(-logit[i]));
        w.value -= p * softplus(-logit[i]) + q * softplus(logit[i]);
        w.miss += 0.5 * (p + q) * fabs(D - dlf_best_discriminator(k->real, k->fake, x));
        w.saturating -= q * D * slope[i];
        w.non_saturating -= q * (1.0 - D) * slope[i];
    }
    w.saturating = fabs(w.saturating);
    w.non_saturating = fabs(w.non_saturating);
    return w;
}

enum { MEASURES = 4 };

static dlf_status learned_figure(dlf_run *run, const double *logit)
{
    static const int shown[] = {SAME, 3, HUMPS};
    const int seeds = dlf_run_seeds(run);
    dlf_table *t;
    double *at = malloc((size_t)seeds * sizeof *at);
    if (!at) return dlf_fail(DLF_ERR_OOM, "gan: out of memory");
    dlf_status status;
    DLF_TRY_DONE(
        dlf_result_table(dlf_run_result(run), "learned",
                         (dlf_text){"学到的判别器与最优判别器", "learned and best discriminators"},
                         (const dlf_column[]){{"pair", NULL},
                                              {"x", "1"},
                                              {"learned", "1"},
                                              {"lo", "1"},
                                              {"hi", "1"},
                                              {"best", "1"},
                                              {NULL, NULL}},
                         &t));
    dlf_figure f = {
        .id = "learned",
        .kind = DLF_LINES,
        .title =
            {"判别器学到的就是 p/(p+q)；两个分布相同时处处是 1/2",
             "What a discriminator learns is p/(p+q); for equal densities it is 1/2 everywhere"},
        .subtitle = {"16 个 tanh 单元；虚线为 p/(p+q)，没有拟合参数；带为种子间 95 % 区间",
                     "16 tanh units; dashed p/(p+q), nothing fitted; bands: 95 % over seeds"},
        .x = {{"x", "x"}, false},
        .y = {{"D(x)：x 是真样本的概率", "D(x): probability that x is real"}, false}};
    for (int j = 0; j < 3; j++) {
        const pair *k = &pairs[shown[j]];
        for (int i = 0; i < GRID; i++) {
            const double x = grid_at(i);
            if (dlf_humps_density(k->real, x) + dlf_humps_density(k->fake, x) < 0.01) continue;
            for (int s = 0; s < seeds; s++)
                at[s] = 1.0 / (1.0 + exp(-logit[((long)s * PAIRS + shown[j]) * GRID + i]));
            const dlf_estimate e = dlf_estimate_of(at, seeds, 1);
            DLF_TRY_DONE(dlf_table_row(t, DLF_TXT(k->id), DLF_NUM(x), DLF_NUM(e.mean),
                                       DLF_NUM(e.lo), DLF_NUM(e.hi),
                                       DLF_NUM(dlf_best_discriminator(k->real, k->fake, x))));
        }
        f.series[2 * j] = dlf_arm_series(shown[j] == SAME ? DLF_CONTROL : DLF_MEASURED, "learned",
                                         "pair", k->id, "x", "learned", k->name, j);
        dlf_theory_of(&f, 2 * j, 2 * j + 1, "best");
    }
    status = dlf_result_figure(dlf_run_result(run), &f);
done:
    free(at);
    return status;
}

/* value (MEASURES, PAIRS, seeds) */
static double *cell(double *value, int seeds, int measure, int k)
{
    return value + ((long)measure * PAIRS + k) * seeds;
}

static dlf_status checks(dlf_run *run, double *value)
{
    static const char *const by_value =
        "Goodfellow et al. 2014, Theorem 1: 2 JS - log 4 by quadrature; 0.01 or 4 standard errors";
    const int seeds = dlf_run_seeds(run);
    const pair *far = &pairs[FAR], *humps = &pairs[HUMPS], *same = &pairs[SAME];
    DLF_TRY(dlf_add_near(run, "value_shift",
                         (dlf_text){"平移 4：学到的判别器的值 V",
                                    "shifted by 4: value V of the learned discriminator"},
                         dlf_estimate_of(cell(value, seeds, 0, FAR), seeds, 1),
                         dlf_gan_value(far->real, far->fake), 0.01, by_value));
    DLF_TRY(dlf_add_near(run, "value_humps",
                         (dlf_text){"双峰对单峰：学到的判别器的值 V",
                                    "two humps against one: value V of the learned discriminator"},
                         dlf_estimate_of(cell(value, seeds, 0, HUMPS), seeds, 1),
                         dlf_gan_value(humps->real, humps->fake), 0.01, by_value));
    DLF_TRY(dlf_add_near(run, "value_same",
                         (dlf_text){"对照，两个分布相同：V 是 −log 4，判别器只能猜",
                                    "control, equal densities: V is -log 4, and the discriminator "
                                    "can but guess"},
                         dlf_estimate_of(cell(value, seeds, 0, SAME), seeds, 1),
                         dlf_gan_value(same->real, same->fake), 0.01, by_value));
    DLF_TRY(
        dlf_add_bound(run, "miss",
                      (dlf_text){"双峰对单峰：D 与 p/(p+q) 平均差多少",
                                 "two humps against one: how far D is from p/(p+q), on average"},
                      dlf_estimate_of(cell(value, seeds, 1, HUMPS), seeds, 1), DLF_AT_MOST, 0.03,
                      "Goodfellow et al. 2014, Proposition 1; 0.03: what 8192 rows leave open"));
    const double shift = far->fake.centre, near = pairs[NEAR].fake.centre;
    DLF_TRY(dlf_add_near(run, "saturating",
                         (dlf_text){"平移 4：饱和损失 log(1−D) 给生成器的梯度",
                                    "shifted by 4: gradient that log(1-D) gives to the generator"},
                         dlf_estimate_of(cell(value, seeds, 2, FAR), seeds, 1),
                         dlf_gan_saturating(shift), 0.04,
                         "closed form: d E sigmoid(-d z - d^2/2); 0.04 or 4 standard errors"));
    DLF_TRY(dlf_add_near(run, "non_saturating",
                         (dlf_text){"平移 1：非饱和损失 −log D 给生成器的梯度",
                                    "shifted by 1: gradient that -log D gives to the generator"},
                         dlf_estimate_of(cell(value, seeds, 3, NEAR), seeds, 1),
                         dlf_gan_non_saturating(near), 0.05 * dlf_gan_non_saturating(near),
                         "closed form: d minus the saturating one; 5 % or 4 standard errors"));
    return dlf_add_near(
        run, "gradient_far",
        (dlf_text){"平移 4：V 学到千分之几，−log D 的梯度也就学对了",
                   "shifted by 4: with V learned to a few thousandths the gradient of "
                   "-log D is right, too"},
        dlf_estimate_of(cell(value, seeds, 3, FAR), seeds, 1), dlf_gan_non_saturating(shift),
        0.1 * shift,
        "closed form; 10 % of d: V says little of D's slope where D is sure "
        "(Arjovsky & Bottou 2017)");
}

static dlf_status tables(dlf_run *run, double *value)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *t, *laws;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "shifts",
        (dlf_text){"判别器的值与生成器的梯度", "value of the discriminator, generator's gradient"},
        (const dlf_column[]){{"pair", NULL},
                             {"shift", "1"},
                             {"value", "1"},
                             {"value_lo", "1"},
                             {"value_hi", "1"},
                             {"value_theory", "1"},
                             {"saturating", "1"},
                             {"saturating_lo", "1"},
                             {"saturating_hi", "1"},
                             {"non_saturating", "1"},
                             {"non_saturating_lo", "1"},
                             {"non_saturating_hi", "1"},
                             {NULL, NULL}},
        &t));
    for (int k = 0; k < SHIFTS; k++) {
        const dlf_estimate v = dlf_estimate_of(cell(value, seeds, 0, k), seeds, 1),
                           s = dlf_estimate_of(cell(value, seeds, 2, k), seeds, 1),
                           n = dlf_estimate_of(cell(value, seeds, 3, k), seeds, 1);
        DLF_TRY(dlf_table_row(
            t, DLF_TXT(pairs[k].id), DLF_NUM(pairs[k].fake.centre), DLF_NUM(v.mean), DLF_NUM(v.lo),
            DLF_NUM(v.hi), DLF_NUM(dlf_gan_value(pairs[k].real, pairs[k].fake)), DLF_NUM(s.mean),
            DLF_NUM(s.lo), DLF_NUM(s.hi), DLF_NUM(n.mean), DLF_NUM(n.lo), DLF_NUM(n.hi)));
    }
    DLF_TRY(dlf_result_table(dlf_run_result(run), "laws",
                             (dlf_text){"平移的理论值", "closed forms by shift"},
                             (const dlf_column[]){{"shift", "1"},
                                                  {"value", "1"},
                                                  {"saturating", "1"},
                                                  {"non_saturating", "1"},
                                                  {"guess", "1"},
                                                  {NULL, NULL}},
                             &laws));
    for (int i = 0; i < LAWS; i++) {
        const double shift = 0.25 * i;
        const dlf_humps real = {0, 0, 1}, fake = {shift, 0, 1};
        DLF_TRY(dlf_table_row(laws, DLF_NUM(shift), DLF_NUM(dlf_gan_value(real, fake)),
                              DLF_NUM(dlf_gan_saturating(shift)),
                              DLF_NUM(dlf_gan_non_saturating(shift)), DLF_NUM(-log(4.0))));
    }
    const dlf_humps real = {0, 0, 1}, fake = {8, 0, 1};
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "saturating_8", dlf_gan_saturating(8.0), "1"));
    DLF_TRY(
        dlf_result_fact(dlf_run_result(run), "non_saturating_8", dlf_gan_non_saturating(8.0), "1"));
    return dlf_result_fact(dlf_run_result(run), "js_8",
                           0.5 * (dlf_gan_value(real, fake) + log(4.0)), "1");
}

static dlf_series series_of(const char *y, const char *lo, const char *hi, dlf_text label,
                            int colour)
{
    return (dlf_series){.role = DLF_MEASURED,
                        .table = "shifts",
                        .x = "shift",
                        .y = y,
                        .lo = lo,
                        .hi = hi,
                        .label = label,
                        .colour = colour,
                        .points = true};
}

static dlf_status figures(dlf_run *run)
{
    dlf_figure f = {
        .id = "values",
        .kind = DLF_LINES,
        .title = {"判别器的值就是 2JS−log 4：两个分布分开之后不再变化",
                  "A discriminator is worth 2 JS − log 4: flat once the densities have parted"},
        .subtitle = {"N(0,1) 对 N(d,1)；虚线为理论，没有拟合参数",
                     "N(0,1) against N(d,1); theory dashed, nothing fitted"},
        .x = {{"平移 d", "shift d"}, false},
        .y = {{"值 V", "value V"}, false}};
    f.series[0] =
        series_of("value", "value_lo", "value_hi", (dlf_text){"学到的判别器", "learned"}, 0);
    dlf_theory_of(&f, 0, 1, "value");
    f.series[1].table = "laws";
    f.series[2] = (dlf_series){.role = DLF_REFERENCE,
                               .table = "laws",
                               .x = "shift",
                               .y = "guess",
                               .label = {"只能猜：−log 4", "guessing: −log 4"},
                               .colour = 1};
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &f));
    f = (dlf_figure){
        .id = "gradients",
        .kind = DLF_LINES,
        .title = {"判别器越有把握，log(1−D) 的梯度越小，−log D 的越大",
                  "The surer the discriminator the smaller the gradient of log(1−D), the larger "
                  "that of −log D"},
        .subtitle = {"N(0,1) 对 N(d,1)，对平移的梯度；两条曲线之和恰为 d；虚线为理论",
                     "N(0,1) against N(d,1), gradient by the shift; the two add up to d exactly; "
                     "theory dashed"},
        .x = {{"平移 d", "shift d"}, false},
        .y = {{"生成器梯度的大小", "size of the generator's gradient"}, false}};
    f.series[0] = series_of("saturating", "saturating_lo", "saturating_hi",
                            (dlf_text){"饱和 log(1−D)", "saturating log(1−D)"}, 0);
    dlf_theory_of(&f, 0, 1, "saturating");
    f.series[2] = series_of("non_saturating", "non_saturating_lo", "non_saturating_hi",
                            (dlf_text){"非饱和 −log D", "non-saturating −log D"}, 1);
    dlf_theory_of(&f, 2, 3, "non_saturating");
    f.series[1].table = f.series[3].table = "laws";
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_gan_discriminators(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run), P = PAIRS * seeds;
    double *logit = malloc((2 * (size_t)P * GRID + MEASURES * (size_t)P) * sizeof *logit);
    if (!logit) return dlf_fail(DLF_ERR_OOM, "gan: out of memory");
    double *slope = logit + (long)P * GRID, *value = slope + (long)P * GRID;
    dlf_status status;
    DLF_TRY_DONE(train(run, logit, slope, from, to));
    for (int s = 0; s < seeds; s++)
        for (int k = 0; k < PAIRS; k++) {
            const long p = (long)s * PAIRS + k;
            const worth w = worth_of(&pairs[k], logit + p * GRID, slope + p * GRID);
            cell(value, seeds, 0, k)[s] = w.value;
            cell(value, seeds, 1, k)[s] = w.miss;
            cell(value, seeds, 2, k)[s] = w.saturating;
            cell(value, seeds, 3, k)[s] = w.non_saturating;
        }
    DLF_TRY_DONE(tables(run, value));
    DLF_TRY_DONE(checks(run, value));
    DLF_TRY_DONE(figures(run));
    status = learned_figure(run, logit);
done:
    free(logit);
    return status;
}
