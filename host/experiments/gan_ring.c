/* SPDX-License-Identifier: MIT
 * gan_ring.c -- Q45: GANs on eight modes on a ring: which modes a generator makes, and how many it
 * leaves out, with either of its losses and with a penalty on the discriminator's slope.
 *
 * A seed's members start equal and see equal rows and noise: what differs is the loss and the
 * penalty. The penalty is R1 (Mescheder et al. 2018), gamma/2 E |dD/dx|^2 over real rows, and E
 * (u . dD/dx)^2 over u ~ N(0,I) is |dD/dx|^2: the difference of two logits stands for the second
 * derivatives that a gradient of a gradient would need. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/ops.h"
#include "dlf/rng.h"
#include "figures.h"
#include "gan.h"
#include "ring.h"
#include "seed_check.h"

typedef struct arm {
    const char *id;
    dlf_text name;
    bool saturating;
    double penalty; /* gamma */
} arm;

static const arm arms[] = {
    {"saturating", {"饱和 log(1−D)", "saturating log(1−D)"}, true, 0.0},
    {"plain", {"非饱和 −log D", "non-saturating −log D"}, false, 0.0},
    {"r1_small", {"非饱和，R1，γ=0.1", "non-saturating, R1, γ=0.1"}, false, 0.1},
    {"r1", {"非饱和，R1，γ=1", "non-saturating, R1, γ=1"}, false, 1.0},
};
enum {
    ARMS = sizeof arms / sizeof arms[0],
    SATURATING = 0,
    PLAIN,
    R1_SMALL,
    R1,
    MODES = DLF_RING_MODES,
    POOL = 64,
    LOOKS = 20,
    BATCHES = 8,
    LAST = 32,
    SHOWN = 2
};
static const double nudge = 1e-2;

/* Two hidden layers of ReLU, and a linear one. */
static dlf_node layers(dlf_graph *g, const char *prefix, dlf_node x, int width, int outputs)
{
    char name[32];
    for (int l = 1; l <= 2; l++) {
        snprintf(name, sizeof name, "%s%d", prefix, l);
        x = dlf_dense(g, name, x, width, dlf_activation_of(DLF_RELU), dlf_he());
    }
    snprintf(name, sizeof name, "%s_out", prefix);
    return dlf_dense(g, name, x, outputs, dlf_activation_of(DLF_LINEAR), dlf_lecun());
}

dlf_status dlf_gan_judge(dlf_graph **out, dlf_device *device, int members, int batch, int width,
                         const double *penalty)
{
    DLF_TRY(dlf_graph_new(out, device, members));
    dlf_graph *g = *out;
    double *weight = malloc((size_t)members * sizeof *weight);
    if (!weight) return dlf_fail(DLF_ERR_OOM, "gan: out of memory");
    for (int p = 0; p < members; p++) weight[p] = sqrt(0.5 * penalty[p]);
    const dlf_node gamma = dlf_hyper(g, "penalty", weight);
    free(weight);
    const int64_t row[] = {1, 1, batch};
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){members, 3 * batch, 2}),
                   one = dlf_input(g, "one", 3, row), zero = dlf_input(g, "zero", 3, row);
    const dlf_node logits =
        dlf_view(g, "logits", layers(g, "d", x, width, 1), 3, (int64_t[]){members, 1, 3 * batch});
    const dlf_node real = dlf_columns(g, "real", logits, 0, batch),
                   near = dlf_columns(g, "near", logits, batch, batch),
                   fake = dlf_columns(g, "fake", logits, 2 * batch, batch);
    const dlf_loss bce = {DLF_LOSS_BCE, 0}, square = {DLF_LOSS_MSE, 0};
    dlf_graph_minimise(g, dlf_row_loss(g, "real_loss", real, one, bce), 1.0 / batch);
    dlf_graph_minimise(g, dlf_row_loss(g, "fake_loss", fake, zero, bce), 1.0 / batch);
    const dlf_node slope = dlf_add(g, "slope", near, dlf_scale(g, NULL, real, (dlf_node){0}, -1.0));
    const dlf_node weighted = dlf_scale(g, "weighted", slope, gamma, 1.0 / nudge);
    dlf_graph_minimise(g, dlf_row_loss(g, "slope_loss", weighted, zero, square), 1.0 / batch);
    return dlf_graph_compile(g);
}

/* z (P,B,noise) -> g_out (P,B,2) -> the discriminator -> loss: cross-entropy against "aim" (P,1,B),
 * 1 for -log D and 0 for -log(1-D), whose gradient the saturating loss follows backwards.
 * Parameters are the generator's, then the discriminator's. */
static dlf_status player_new(dlf_graph **out, dlf_device *device, int members, int batch, int width,
                             int noise)
{
    DLF_TRY(dlf_graph_new(out, device, members));
    dlf_graph *g = *out;
    const dlf_node z = dlf_input(g, "z", 3, (int64_t[]){members, batch, noise}),
                   aim = dlf_input(g, "aim", 3, (int64_t[]){members, 1, batch});
    const dlf_node made = layers(g, "g", z, width, 2);
    dlf_want_value(g, made);
    const dlf_node logits =
        dlf_view(g, "logits", layers(g, "d", made, width, 1), 3, (int64_t[]){members, 1, batch});
    dlf_graph_minimise(g, dlf_row_loss(g, "loss", logits, aim, (dlf_loss){DLF_LOSS_BCE, 0}),
                       1.0 / batch);
    return dlf_graph_compile(g);
}

/* Members p = arm seeds + seed. */
typedef struct match {
    int P, B, seeds, n[2]; /* n: parameters of the discriminator, of the generator */
    uint64_t seed;
    dlf_graph *judge, *player;
    dlf_tensor pool;          /* (P, POOL 2B) real rows                             */
    dlf_tensor draw;          /* (P) int32: the seed                                */
    dlf_tensor nudges, small; /* (P, 2B), (P): nudge N(0,1)                         */
    dlf_tensor lr, sign;      /* (P); sign -1 where the loss is climbed             */
    dlf_tensor m[2], v[2];    /* Adam: discriminator, generator                     */
    double *host;             /* (P, POOL 2B)                                       */
} match;

static void match_free(match *t)
{
    dlf_tensor *all[] = {&t->pool, &t->draw, &t->nudges, &t->small, &t->lr,
                         &t->sign, &t->m[0], &t->m[1],   &t->v[0],  &t->v[1]};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
    dlf_graph_free(t->player);
    dlf_graph_free(t->judge);
    free(t->host);
}

static dlf_status vector_new(dlf_tensor *t, dlf_device *device, const double *value, int n)
{
    DLF_TRY(dlf_tensor_new(t, device, device->real, n));
    return dlf_tensor_upload_f64(t, value);
}

static dlf_status zeros_new(dlf_tensor *t, dlf_device *device, int P, int n)
{
    DLF_TRY(dlf_tensor_new(t, device, device->real, P, n));
    return dlf_tensor_zero(t);
}

static dlf_status constant(dlf_graph *g, const char *name, double value)
{
    dlf_tensor *t = dlf_graph_value(g, dlf_graph_find(g, name));
    DLF_TRY(dlf_tensor_zero(t));
    float *row = malloc((size_t)dlf_tensor_count(t) * sizeof *row);
    if (!row) return dlf_fail(DLF_ERR_OOM, "gan: out of memory");
    for (int64_t i = 0; i < dlf_tensor_count(t); i++) row[i] = (float)value;
    const dlf_status status = dlf_tensor_upload(t, row);
    free(row);
    return status;
}

static dlf_status pool_new(match *t, dlf_device *device)
{
    const long n = (long)POOL * t->B;
    DLF_TRY(dlf_tensor_new(&t->pool, device, device->real, t->P, 1, 2 * n));
    for (int p = 0; p < t->P; p++)
        dlf_ring_rows(t->host + 2 * p * n, n, t->seed, (uint32_t)(p % t->seeds));
    return dlf_tensor_upload_f64(&t->pool, t->host);
}

static dlf_status match_new(match *t, dlf_run *run)
{
    dlf_device *dev = dlf_run_device(run);
    const int seeds = dlf_run_seeds(run), P = ARMS * seeds, B = dlf_run_int(run, "ring_batch"),
              width = dlf_run_int(run, "ring_width");
    *t = (match){.P = P, .B = B, .seeds = seeds, .seed = dlf_run_seed(run)};
    double *penalty = malloc(4 * (size_t)P * sizeof *penalty);
    int32_t *draw = malloc((size_t)P * sizeof *draw);
    float *aim = malloc((size_t)(P * B) * sizeof *aim);
    t->host = malloc((size_t)P * POOL * 2 * (size_t)B * sizeof *t->host);
    dlf_status status;
    if (!penalty || !draw || !aim || !t->host) {
        status = dlf_fail(DLF_ERR_OOM, "gan: out of memory");
        goto done;
    }
    double *sign = penalty + P, *lr = sign + P, *small = lr + P;
    for (int p = 0; p < P; p++) {
        const arm *a = &arms[p / seeds];
        penalty[p] = a->penalty;
        sign[p] = a->saturating ? -1.0 : 1.0;
        lr[p] = dlf_run_real(run, "ring_rate");
        small[p] = nudge;
        draw[p] = p % seeds;
        for (int i = 0; i < B; i++) aim[p * B + i] = a->saturating ? 0.0f : 1.0f;
    }
    DLF_TRY_DONE(dlf_gan_judge(&t->judge, dev, P, B, width, penalty));
    DLF_TRY_DONE(player_new(&t->player, dev, P, B, width, dlf_run_int(run, "ring_noise")));
    DLF_TRY_DONE(dlf_graph_initialise(t->judge, t->seed, draw));
    DLF_TRY_DONE(dlf_graph_initialise(t->player, t->seed + 1, draw));
    DLF_TRY_DONE(constant(t->judge, "one", 1.0));
    DLF_TRY_DONE(constant(t->judge, "zero", 0.0));
    DLF_TRY_DONE(
        dlf_tensor_upload(dlf_graph_value(t->player, dlf_graph_find(t->player, "aim")), aim));
    t->n[0] = (int)dlf_tensor_member_count(dlf_graph_parameters(t->judge));
    t->n[1] = (int)dlf_tensor_member_count(dlf_graph_parameters(t->player)) - t->n[0];
    for (int i = 0; i < 2; i++) {
        DLF_TRY_DONE(zeros_new(&t->m[i], dev, P, t->n[i]));
        DLF_TRY_DONE(zeros_new(&t->v[i], dev, P, t->n[i]));
    }
    DLF_TRY_DONE(vector_new(&t->sign, dev, sign, P));
    DLF_TRY_DONE(vector_new(&t->lr, dev, lr, P));
    DLF_TRY_DONE(vector_new(&t->small, dev, small, P));
    DLF_TRY_DONE(dlf_tensor_new(&t->draw, dev, DLF_I32, P));
    DLF_TRY_DONE(dlf_tensor_upload_i32(&t->draw, draw));
    DLF_TRY_DONE(dlf_tensor_new(&t->nudges, dev, dev->real, P, 1, 2 * B));
    status = pool_new(t, dev);
done:
    free(aim);
    free(draw);
    free(penalty);
    return status;
}

static dlf_status generate(match *t, enum dlf_purpose purpose, uint32_t number)
{
    dlf_tensor *z = dlf_graph_value(t->player, dlf_graph_find(t->player, "z"));
    DLF_TRY(dlf_random_normal(z, &t->draw, NULL, (dlf_rng){t->seed, dlf_stream(purpose, number)}));
    return dlf_graph_forward(t->player, DLF_TRAINING);
}

static dlf_tensor flat(const dlf_tensor *t)
{
    return dlf_tensor_reshape(t, 3, (int64_t[]){t->shape[0], 1, dlf_tensor_member_count(t)});
}

/* Real, nudged and generated rows into the discriminator's x. */
static dlf_status rows(match *t, int step)
{
    const int64_t half = 2 * (int64_t)t->B;
    dlf_tensor x = flat(dlf_graph_value(t->judge, dlf_graph_find(t->judge, "x")));
    const dlf_tensor made = flat(dlf_graph_value(t->player, dlf_graph_find(t->player, "g_out")));
    DLF_TRY(
        dlf_random_normal(&t->nudges, &t->draw, &t->small,
                          (dlf_rng){t->seed, dlf_stream(DLF_PURPOSE_GRADIENT, (uint32_t)step)}));
    DLF_TRY(dlf_copy_columns(&x, 0, &t->pool, step % POOL * half, half, 0.0));
    DLF_TRY(dlf_copy_columns(&x, half, &t->pool, step % POOL * half, half, 0.0));
    DLF_TRY(dlf_copy_columns(&x, half, &t->nudges, 0, half, 1.0));
    return dlf_copy_columns(&x, 2 * half, &made, 0, half, 0.0);
}

/* A step of the discriminator, then one of the generator against the new one. */
static dlf_status turn(match *t, int step)
{
    const dlf_adam_args adam = {.beta1 = 0.5, .beta2 = 0.999, .eps = 1e-8, .step = step + 1};
    DLF_TRY(generate(t, DLF_PURPOSE_INPUT, (uint32_t)step));
    DLF_TRY(rows(t, step));
    DLF_TRY(dlf_graph_forward(t->judge, DLF_TRAINING));
    DLF_TRY(dlf_graph_backward(t->judge));
    dlf_tensor *judge = dlf_graph_parameters(t->judge);
    DLF_TRY(dlf_adam_step(judge, &t->m[0], &t->v[0], dlf_graph_gradients(t->judge), &t->lr, NULL,
                          NULL, adam));
    const int64_t D[] = {t->P, t->n[0]}, G[] = {t->P, t->n[1]};
    dlf_tensor *all = dlf_graph_parameters(t->player), *slopes = dlf_graph_gradients(t->player);
    dlf_tensor copy = dlf_tensor_window(all, t->n[1], 2, D), own = dlf_tensor_window(all, 0, 2, G),
               slope = dlf_tensor_window(slopes, 0, 2, G);
    DLF_TRY(dlf_tensor_copy(&copy, judge));
    DLF_TRY(dlf_graph_forward(t->player, DLF_TRAINING));
    DLF_TRY(dlf_graph_backward(t->player));
    DLF_TRY(dlf_axpby(&slope, &slope, &t->sign, 1.0, 0.0));
    return dlf_adam_step(&own, &t->m[1], &t->v[1], &slope, &t->lr, NULL, NULL, adam);
}

/* ---- what the generators make ---- */

enum { MODES_MADE, HITS, VALUE, MEASURES }; /* 8 e^-KL; share within 4 sd of a mode; V of D */

/* batches x B rows of every member: out (MEASURES, P), and the value of the discriminator of the
 * last step. made: the rows of the first SHOWN batches, (SHOWN, P, B, 2), or NULL. */
static dlf_status look(match *t, int batches, double *out, double *made)
{
    dlf_ring_count *count = calloc((size_t)t->P, sizeof *count);
    if (!count) return dlf_fail(DLF_ERR_OOM, "gan: out of memory");
    const long size = (long)t->P * t->B * 2;
    double *loss = t->host;
    dlf_status status;
    for (int p = 0; p < t->P; p++) out[VALUE * t->P + p] = 0.0;
    for (int side = 0; side < 2; side++) {
        const dlf_node node = dlf_graph_find(t->judge, side ? "fake_loss" : "real_loss");
        DLF_TRY_DONE(dlf_tensor_download_f64(loss, dlf_graph_value(t->judge, node)));
        for (int p = 0; p < t->P; p++) out[VALUE * t->P + p] -= loss[p] / t->B;
    }
    const dlf_tensor *g_out = dlf_graph_value(t->player, dlf_graph_find(t->player, "g_out"));
    for (int b = 0; b < batches; b++) {
        DLF_TRY_DONE(generate(t, DLF_PURPOSE_TEST, 120 + (uint32_t)b));
        DLF_TRY_DONE(dlf_tensor_download_f64(t->host, g_out));
        if (made && b < SHOWN) memcpy(made + b * size, t->host, (size_t)size * sizeof *made);
        for (int p = 0; p < t->P; p++) dlf_ring_add(&count[p], t->host + (long)p * t->B * 2, t->B);
    }
    for (int p = 0; p < t->P; p++) {
        out[MODES_MADE * t->P + p] = dlf_ring_effective(&count[p]);
        out[HITS * t->P + p] = count[p].hits / count[p].n;
    }
done:
    free(count);
    return status;
}

/* looks (LOOKS, MEASURES, P), the last one at the end. */
static dlf_status play(match *t, dlf_run *run, double *looks, double *made, double from, double to)
{
    const int steps = dlf_run_int(run, "ring_steps");
    for (int k = 0, step = 0; k < LOOKS; k++) {
        DLF_TRY(dlf_run_stage(run, from + (to - from) * k / LOOKS, "GANs on a ring"));
        for (; step < steps * (k + 1) / LOOKS; step++) DLF_TRY(turn(t, step));
        const bool last = k == LOOKS - 1;
        DLF_TRY(
            look(t, last ? LAST : BATCHES, looks + (long)k * MEASURES * t->P, last ? made : NULL));
    }
    return DLF_OK;
}

/* ---- report ---- */

static dlf_status ring_table(const match *t, dlf_run *run, const double *looks)
{
    const int steps = dlf_run_int(run, "ring_steps");
    dlf_table *ring;
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "ring",
                         (dlf_text){"环上的 GAN：有效模态数", "GANs on a ring: effective modes"},
                         (const dlf_column[]){{"arm", NULL},
                                              {"step", "step"},
                                              {"modes", "1"},
                                              {"lo", "1"},
                                              {"hi", "1"},
                                              {"hits", "1"},
                                              {"value", "1"},
                                              {"all", "1"},
                                              {NULL, NULL}},
                         &ring));
    for (int a = 0; a < ARMS; a++)
        for (int k = 0; k < LOOKS; k++) {
            const double *at = looks + (long)k * MEASURES * t->P + a * t->seeds;
            const dlf_estimate m = dlf_estimate_of(at + MODES_MADE * t->P, t->seeds, 1),
                               h = dlf_estimate_of(at + HITS * t->P, t->seeds, 1),
                               v = dlf_estimate_of(at + VALUE * t->P, t->seeds, 1);
            DLF_TRY(dlf_table_row(ring, DLF_TXT(arms[a].id), DLF_NUM(steps * (k + 1) / LOOKS),
                                  DLF_NUM(m.mean), DLF_NUM(fmax(m.lo, 1.0)),
                                  DLF_NUM(fmin(m.hi, MODES)), DLF_NUM(h.mean), DLF_NUM(v.mean),
                                  DLF_NUM(MODES)));
        }
    dlf_figure f = {
        .id = "ring",
        .kind = DLF_LINES,
        .title = {"没有惩罚的生成器丢掉模态；判别器的梯度受罚后八个都在",
                  "Without a penalty generators lose modes; with one on the discriminator's slope "
                  "they keep all eight"},
        .subtitle = {"环上八个高斯；同一种子起点、数据、噪声都相同；带为种子间 95 % 区间",
                     "eight Gaussians on a ring; arms of a seed share start, rows and noise; "
                     "bands: 95 % over seeds"},
        .x = {{"训练步", "training step"}, false},
        .y = {{"有效模态数（满分为 8）", "effective modes (of 8)"}, false}};
    for (int a = 0; a < ARMS; a++)
        f.series[a] = dlf_arm_series(a == PLAIN ? DLF_CONTROL : DLF_MEASURED, "ring", "arm",
                                     arms[a].id, "step", "modes", arms[a].name, a);
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status samples_figure(const match *t, dlf_run *run, const double *made)
{
    static const int shown[] = {PLAIN, R1};
    const long size = (long)t->P * t->B * 2;
    dlf_table *samples;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "samples",
        (dlf_text){"第一个种子的生成样本", "what is generated, first seed"},
        (const dlf_column[]){{"arm", NULL}, {"x", "1"}, {"y", "1"}, {NULL, NULL}}, &samples));
    for (int k = 0; k < MODES; k++) {
        double centre[2];
        dlf_ring_centre(k, centre);
        DLF_TRY(dlf_table_row(samples, DLF_TXT("modes"), DLF_NUM(centre[0]), DLF_NUM(centre[1])));
    }
    dlf_figure f = {
        .id = "samples",
        .kind = DLF_LINES,
        .title = {"同样的起点：一个生成器丢了模态，另一个八个都有，但更散",
                  "From one start: one generator leaves modes out, the other makes all eight, less "
                  "sharply"},
        .subtitle = {"训练结束时的生成样本，第一个种子", "samples at the end, first seed"},
        .x = {{"x", "x"}, false},
        .y = {{"y", "y"}, false}};
    for (int j = 0; j < 2; j++) {
        const double *at = made + (long)shown[j] * t->seeds * t->B * 2;
        for (int b = 0; b < SHOWN; b++)
            for (int i = 0; i < t->B; i++)
                DLF_TRY(dlf_table_row(samples, DLF_TXT(arms[shown[j]].id),
                                      DLF_NUM(at[b * size + 2 * i]),
                                      DLF_NUM(at[b * size + 2 * i + 1])));
    }
    for (int j = 0; j < 3; j++) /* the modes over the samples */
        f.series[j] = (dlf_series){.role = j == 0 ? DLF_CONTROL : DLF_MEASURED,
                                   .table = "samples",
                                   .where = "arm",
                                   .equals = j < 2 ? arms[shown[j]].id : "modes",
                                   .x = "x",
                                   .y = "y",
                                   .label = j < 2 ? arms[shown[j]].name
                                                  : (dlf_text){"真实模态的中心", "real modes"},
                                   .colour = j,
                                   .points = true};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status checks(const match *t, dlf_run *run, const double *end)
{
    const double *modes = end + MODES_MADE * t->P;
    double *gain = malloc((size_t)t->seeds * sizeof *gain);
    if (!gain) return dlf_fail(DLF_ERR_OOM, "gan: out of memory");
    dlf_status status;
    for (int s = 0; s < t->seeds; s++)
        gain[s] = modes[R1 * t->seeds + s] - modes[PLAIN * t->seeds + s];
    DLF_TRY_DONE(dlf_add_above(
        run, "penalty_keeps_modes",
        (dlf_text){"R1（γ=1）比没有惩罚多出的有效模态，同一种子",
                   "effective modes that R1 (γ=1) has more than no penalty, seed by seed"},
        dlf_estimate_of(gain, t->seeds, 1),
        "Mescheder et al. 2018, in direction; the whole interval decides"));
    dlf_check c = dlf_check_of(
        "r1_modes", (dlf_text){"R1（γ=1）：有效模态数，满分 8", "R1 (γ=1): effective modes, of 8"},
        dlf_estimate_of(modes + R1 * t->seeds, t->seeds, 1));
    c.expected = MODES * exp(-dlf_ring_divergence(LAST * t->B));
    c.tolerance = 0.1 * MODES;
    c.source = "a perfect sampler: 8 exp(-7/2n); 10 %: its samples are still moving";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    for (int a = 0; a < ARMS; a++) {
        char id[40];
        const dlf_estimate m = dlf_estimate_of(modes + a * t->seeds, t->seeds, 1),
                           h = dlf_estimate_of(end + HITS * t->P + a * t->seeds, t->seeds, 1),
                           v = dlf_estimate_of(end + VALUE * t->P + a * t->seeds, t->seeds, 1);
        snprintf(id, sizeof id, "modes_%s", arms[a].id);
        DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), id, m.mean, "1"));
        snprintf(id, sizeof id, "hits_%s", arms[a].id);
        DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), id, h.mean, "1"));
        snprintf(id, sizeof id, "value_%s", arms[a].id);
        DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), id, v.mean, "1"));
    }
done:
    free(gain);
    return status;
}

dlf_status dlf_gan_ring(dlf_run *run, double from, double to)
{
    match t;
    double *looks = NULL, *made = NULL;
    dlf_status status;
    DLF_TRY_DONE(match_new(&t, run));
    looks = malloc(LOOKS * MEASURES * (size_t)t.P * sizeof *looks);
    made = malloc(SHOWN * (size_t)t.P * (size_t)t.B * 2 * sizeof *made);
    if (!looks || !made) {
        status = dlf_fail(DLF_ERR_OOM, "gan: out of memory");
        goto done;
    }
    DLF_TRY_DONE(play(&t, run, looks, made, from, to));
    DLF_TRY_DONE(ring_table(&t, run, looks));
    DLF_TRY_DONE(samples_figure(&t, run, made));
    status = checks(&t, run, looks + (long)(LOOKS - 1) * MEASURES * t.P);
done:
    free(made);
    free(looks);
    match_free(&t);
    return status;
}
