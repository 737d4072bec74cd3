/* SPDX-License-Identifier: MIT
 * dropout_linear.c -- Q31 on least squares: the expected loss under dropout is that of scaled
 * weights plus a penalty, and training with dropout converges to the ridge that the penalty makes.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "dlf/theory.h"
#include "dlf/train.h"
#include "dropout.h"
#include "seed_check.h"

enum { N = 64, P = 6, KEEPS = 9, FITS = 5 };
static const double keeps[KEEPS] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};
static const double fit_keeps[FITS] = {0.3, 0.5, 0.7, 0.9, 1.0};

typedef struct problem {
    double x[N * P], y[N], w[P], gram[P * P], xty[P], diagonal[P], level[P];
} problem;

/* Columns of unequal length that go together, so that the penalty is not that of plain ridge. */
static void make_problem(problem *q, uint64_t seed)
{
    memset(q, 0, sizeof *q);
    for (int i = 0; i < N; i++) {
        const double common =
            dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 130), 0, (uint64_t)i);
        q->y[i] =
            0.5 * (double)dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 131), 0, (uint64_t)i);
        for (int j = 0; j < P; j++) {
            const double own =
                dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 132), 0, (uint64_t)(i * P + j));
            const double length = pow(2.0, (double)j / (P - 1) - 0.5);
            q->x[i * P + j] = (double)(float)(length * (0.5 * common + own));
            q->w[j] = 2.0 * (double)dlf_rng_uniform(seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 130), 0,
                                                    (uint64_t)j) -
                      0.5;
            q->w[j] = (double)(float)q->w[j];
            q->y[i] += q->x[i * P + j] * q->w[j];
        }
        q->y[i] = (double)(float)q->y[i];
    }
    double trace = 0.0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < P; j++) {
            q->xty[j] += q->x[i * P + j] * q->y[i];
            for (int k = 0; k < P; k++) q->gram[j * P + k] += q->x[i * P + j] * q->x[i * P + k];
        }
    for (int j = 0; j < P; j++) trace += q->diagonal[j] = q->gram[j * P + j];
    for (int j = 0; j < P; j++) q->level[j] = trace / P;
}

/* ---- the expected loss ---- */

typedef struct masks {
    dlf_tensor x, dropped, w, y, z, loss, member, rate;
    float *tile;
    double *host;
    int32_t *index;
} masks;

static void masks_free(masks *m)
{
    dlf_tensor *all[] = {&m->x, &m->dropped, &m->w, &m->y, &m->z, &m->loss, &m->member, &m->rate};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
    free(m->tile);
    free(m->host);
    free(m->index);
}

/* Members (keep, seed); each holds the rows `chunk` times, for as many masks. */
static dlf_status masks_new(masks *m, const problem *q, dlf_device *dev, int seeds, int chunk)
{
    const int64_t members = KEEPS * (int64_t)seeds, rows = (int64_t)chunk * N, all = members * rows;
    m->tile = malloc((size_t)(all * P) * sizeof *m->tile);
    m->host = malloc((size_t)all * sizeof *m->host);
    m->index = malloc((size_t)members * sizeof *m->index);
    if (!m->tile || !m->host || !m->index) return dlf_fail(DLF_ERR_OOM, "dropout: out of memory");
    for (int64_t i = 0; i < all * P; i++) m->tile[i] = (float)q->x[i % (N * P)];
    for (int64_t i = 0; i < rows; i++) m->host[i] = q->y[i % N];
    DLF_TRY(dlf_tensor_new(&m->y, dev, dev->real, 1, rows, 1));
    DLF_TRY(dlf_tensor_upload_f64(&m->y, m->host));
    for (int64_t p = 0; p < members; p++) {
        m->host[p] = 1.0 - keeps[p / seeds];
        m->index[p] = (int32_t)(p % seeds);
    }
    DLF_TRY(dlf_tensor_new(&m->rate, dev, dev->real, members));
    DLF_TRY(dlf_tensor_upload_f64(&m->rate, m->host));
    DLF_TRY(dlf_tensor_new(&m->member, dev, DLF_I32, members));
    DLF_TRY(dlf_tensor_upload_i32(&m->member, m->index));
    DLF_TRY(dlf_tensor_new(&m->x, dev, dev->real, members, rows, P));
    DLF_TRY(dlf_tensor_upload(&m->x, m->tile));
    DLF_TRY(dlf_tensor_new(&m->dropped, dev, dev->real, members, rows, P));
    DLF_TRY(dlf_tensor_new(&m->w, dev, dev->real, 1, P, 1));
    DLF_TRY(dlf_tensor_upload_f64(&m->w, q->w));
    DLF_TRY(dlf_tensor_new(&m->z, dev, dev->real, members, rows, 1));
    return dlf_tensor_new(&m->loss, dev, dev->real, members, rows);
}

/* sum[member], square[member]: of |y - (m o X) w|^2 over all masks. */
static dlf_status expected_loss(dlf_run *run, const problem *q, int chunk, int count, double *sum,
                                double *square, double from, double to)
{
    const int seeds = dlf_run_seeds(run), members = KEEPS * seeds;
    dlf_status status;
    masks m = {0};
    DLF_TRY_DONE(masks_new(&m, q, dlf_run_device(run), seeds, chunk));
    for (int done = 0; done < count; done += chunk) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * done / count,
                                   "least squares: masks %d of %d", done, count));
        const dlf_dropout how = {.rng = {dlf_run_seed(run), dlf_stream(DLF_PURPOSE_DROPOUT, 130)},
                                 .first = (uint64_t)done * N * P,
                                 .run = 1};
        DLF_TRY_DONE(dlf_dropout_apply(&m.dropped, &m.x, &m.member, &m.rate, NULL, how));
        DLF_TRY_DONE(dlf_gemm(&m.z, &m.dropped, &m.w, (dlf_gemm_args){.alpha = 1.0}));
        DLF_TRY_DONE(dlf_loss_forward(&m.loss, &m.z, &m.y, (dlf_loss){.kind = DLF_LOSS_MSE}));
        DLF_TRY_DONE(dlf_tensor_download_f64(m.host, &m.loss));
        for (int i = 0; i < members * chunk; i++) {
            double loss = 0.0;
            for (int k = 0; k < N; k++) loss += m.host[i * N + k];
            sum[i / chunk] += loss;
            square[i / chunk] += loss * loss;
        }
    }
done:
    masks_free(&m);
    return status;
}

static dlf_status report_loss(dlf_run *run, const problem *q, int count, double *sum,
                              const double *square)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *t;
    dlf_check worst = {.n = 0};
    double far = -1.0;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "linear_loss",
        (dlf_text){"dropout 下最小二乘的期望损失", "expected least-squares loss under dropout"},
        (const dlf_column[]){{"keep", "1"},
                             {"loss", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {"without_noise", "1"},
                             {NULL, NULL}},
        &t));
    for (int k = 0; k < KEEPS; k++) {
        double spread = 0.0, noise;
        for (int s = k * seeds; s < (k + 1) * seeds; s++) {
            spread += square[s] / count - sum[s] / count * (sum[s] / count);
            sum[s] /= count;
        }
        const dlf_estimate e = dlf_estimate_of(sum + k * seeds, seeds, 1);
        const double want = dlf_dropout_loss(q->x, q->y, q->w, N, P, keeps[k], &noise);
        DLF_TRY(dlf_table_row(t, DLF_NUM(keeps[k]), DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                              DLF_NUM(want), DLF_NUM(want - noise)));
        const double error = sqrt(spread / seeds / ((double)count * seeds));
        if (fabs(e.mean - want) / error <= far) continue;
        far = fabs(e.mean - want) / error;
        worst = dlf_check_of("linear_loss",
                             (dlf_text){"最小二乘：dropout 的期望损失 = |y−pXw|² + "
                                        "p(1−p)Σw_j²|X_j|²",
                                        "least squares: the expected loss under dropout is "
                                        "|y−pXw|² + p(1−p)Σw_j²|X_j|²"},
                             e);
        worst.expected = want;
        worst.tolerance = 4.0 * error;
    }
    worst.source = "Srivastava et al. 2014, section 9.1, p = keep; four standard errors of all "
                   "masks; the worst of nine p";
    return dlf_result_check(dlf_run_result(run), worst);
}

static dlf_status loss_figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "linear_loss",
        .kind = DLF_LINES,
        .title = {"dropout 的期望损失 = 缩放后的损失 + p(1−p)·加权 L2 惩罚",
                  "Expected loss under dropout = loss of the scaled weights + p(1−p) weighted L2"},
        .subtitle = {"最小二乘，六个权重；灰色对照：不丢弃，只把权重乘以 p",
                     "least squares, six weights; grey control: nothing dropped, weights times p"},
        .x = {{"保留概率 p", "keep probability p"}, false},
        .y = {{"|y − (m∘X)w|² 的均值", "mean of |y − (m∘X)w|²"}, false}};
    const dlf_series points = {.role = DLF_MEASURED,
                               .table = "linear_loss",
                               .x = "keep",
                               .y = "loss",
                               .lo = "lo",
                               .hi = "hi",
                               .label = {"随机掩码", "random masks"},
                               .points = true};
    f.series[0] = f.series[1] = f.series[2] = points;
    f.series[1].role = DLF_THEORY;
    f.series[2].role = DLF_CONTROL;
    for (int i = 1; i < 3; i++) {
        f.series[i].lo = f.series[i].hi = NULL;
        f.series[i].points = false;
    }
    f.series[1].y = "theory";
    f.series[1].label = (dlf_text){"闭式解", "closed form"};
    f.series[2].y = "without_noise";
    f.series[2].label = (dlf_text){"对照：|y − pXw|²", "control: |y − pXw|²"};
    f.series[2].colour = 1;
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* ---- training with dropout ---- */

static dlf_status network(dlf_graph **out, dlf_device *dev, int members, const double *rate)
{
    DLF_TRY(dlf_graph_new(out, dev, members));
    dlf_graph *g = *out;
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){members, N, P});
    const dlf_node y = dlf_input(g, "target", 3, (int64_t[]){members, N, 1});
    const dlf_node dropped = dlf_drop(g, "dropped", x, dlf_hyper(g, "rate", rate), true);
    const dlf_node f = dlf_dense_init(g, "f", dropped, 1, dlf_activation_of(DLF_LINEAR),
                                      dlf_init_constant(0.0), NULL);
    const dlf_loss square = {.kind = DLF_LOSS_MSE};
    dlf_graph_minimise(g, dlf_row_loss(g, "loss", f, y, square), 0.5 / N);
    return dlf_graph_compile(g);
}

/* A tenth of the largest stable rate of the expected loss. */
static double learning_rate(const problem *q, double keep)
{
    double h[P * P], value[P];
    memcpy(h, q->gram, sizeof h);
    for (int j = 0; j < P; j++) h[j * P + j] += (1.0 - keep) / keep * q->diagonal[j];
    dlf_symmetric_eigen(h, P, value, NULL);
    return 0.2 * N / value[0];
}

/* average (members (keep, seed, copy), P): mean of the iterates once they have settled. The
 * gradient is linear in w and the mask is fresh, so that this mean is the minimiser of the expected
 * loss, however large the steps are. */
static dlf_status fit(dlf_run *run, const problem *q, double *average, double from, double to)
{
    const int each = dlf_run_seeds(run) * dlf_run_int(run, "copies"), members = FITS * each;
    const int steps = dlf_run_int(run, "linear_steps");
    const int settle = steps / 4;
    dlf_status status;
    dlf_graph *g = NULL;
    dlf_train *train = NULL;
    dlf_tensor mean = {0};
    float x[N * P], y[N];
    dlf_dataset data = {.name = "least squares", .train = N, .features = P, .targets = 1};
    double *lr = malloc(2 * (size_t)members * sizeof *lr), *rate = lr + members;
    if (!lr) return dlf_fail(DLF_ERR_OOM, "dropout: out of memory");
    for (int p = 0; p < members; p++) {
        rate[p] = 1.0 - fit_keeps[p / each];
        lr[p] = learning_rate(q, fit_keeps[p / each]);
    }
    for (int i = 0; i < N * P; i++) x[i] = (float)q->x[i];
    for (int i = 0; i < N; i++) y[i] = (float)q->y[i];
    data.x = x;
    data.target = y;
    DLF_TRY_DONE(network(&g, dlf_run_device(run), members, rate));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    const dlf_train_spec spec = {
        .seed = dlf_run_seed(run), .lr = lr, .optimiser = dlf_sgd(0.0, 0.0)};
    DLF_TRY_DONE(dlf_train_new(&train, g, &data, &spec));
    const dlf_tensor *w = dlf_graph_value(g, dlf_graph_find(g, "f.w"));
    DLF_TRY_DONE(dlf_tensor_init(&mean, dlf_run_device(run), w->dtype, w->ndim, w->shape));
    DLF_TRY_DONE(dlf_tensor_zero(&mean));
    for (int step = 0; step < settle + steps; step++) {
        if (step % 100 == 0)
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * step / (settle + steps),
                                       "least squares trained with dropout: step %d", step));
        DLF_TRY_DONE(dlf_train_step(train));
        if (step >= settle) DLF_TRY_DONE(dlf_axpby(&mean, w, NULL, 1.0 / steps, 1.0));
    }
    DLF_TRY_DONE(dlf_tensor_download_f64(average, &mean));
done:
    dlf_tensor_free(&mean);
    dlf_train_free(train);
    dlf_graph_free(g);
    free(lr);
    return status;
}

/* |a - b| / |b| */
static double distance(const double *a, const double *b)
{
    double d = 0.0, n = 0.0;
    for (int j = 0; j < P; j++) {
        d += (a[j] - b[j]) * (a[j] - b[j]);
        n += b[j] * b[j];
    }
    return sqrt(d / n);
}

static dlf_status fit_checks(dlf_run *run, const problem *q, const double *w, double *value)
{
    const int seeds = dlf_run_seeds(run);
    static const char *const ids[] = {"ridge_training", "ridge_plain"};
    static const dlf_text claims[] = {
        {"用 dropout 训练的权重（迭代平均）等于加权岭回归的闭式解",
         "weights trained with dropout, averaged over steps, are the weighted ridge solution"},
        {"对照：它不是普通岭回归，两者距离与闭式解之间的距离一致",
         "control: they are not plain ridge, from which they are as far as the closed form is"}};
    double weighted[P], plain[P];
    dlf_dropout_ridge(q->gram, q->xty, q->diagonal, P, 0.5, weighted);
    dlf_dropout_ridge(q->gram, q->xty, q->level, P, 0.5, plain);
    for (int i = 0; i < 2; i++) {
        for (int s = 0; s < seeds; s++)
            value[s] = distance(w + (1 * seeds + s) * P, i ? plain : weighted);
        dlf_check c = dlf_check_of(ids[i], claims[i], dlf_estimate_of(value, seeds, 1));
        c.expected = i ? distance(weighted, plain) : 0.0;
        c.tolerance = 0.02;
        c.source =
            i ? "closed form: |w_weighted − w_plain| / |w_plain| at keep = 0.5"
              : "closed form: (G + (1−p)/p diag G) w = Xᵀy at p = 0.5; 2 % of |w|: the noise "
                "of the average";
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    }
    dlf_dropout_ridge(q->gram, q->xty, q->diagonal, P, 1.0, weighted);
    for (int s = 0; s < seeds; s++) value[s] = distance(w + ((FITS - 1) * seeds + s) * P, weighted);
    dlf_check c = dlf_check_of("ridge_control",
                               (dlf_text){"对照：不丢弃时，同样的训练得到最小二乘解",
                                          "control: without dropout the same training gives least "
                                          "squares"},
                               dlf_estimate_of(value, seeds, 1));
    c.expected = 0.0;
    c.tolerance = 1e-3;
    c.source = "closed form; float32 and what is left after the settling steps";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status report_fit(dlf_run *run, const problem *q, const double *average)
{
    const int seeds = dlf_run_seeds(run), copies = dlf_run_int(run, "copies");
    dlf_status status;
    dlf_table *t;
    char name[16];
    double want[P];
    double *w = calloc((size_t)(FITS * seeds * P + seeds), sizeof *w);
    if (!w) return dlf_fail(DLF_ERR_OOM, "dropout: out of memory");
    for (int i = 0; i < FITS * seeds * copies; i++) /* mean over copies */
        for (int j = 0; j < P; j++) w[i / copies * P + j] += average[i * P + j] / copies;
    DLF_TRY_DONE(dlf_result_table(
        dlf_run_result(run), "linear_weights",
        (dlf_text){"dropout 训练所得权重与岭回归", "weights trained with dropout, and ridge"},
        (const dlf_column[]){{"weight", NULL},
                             {"keep", "1"},
                             {"trained", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {"plain_ridge", "1"},
                             {"least_squares", "1"},
                             {NULL, NULL}},
        &t));
    for (int j = 0; j < P; j++)
        for (int k = 0; k < FITS; k++) {
            double plain[P], full[P];
            const dlf_estimate e = dlf_estimate_of(w + k * seeds * P + j, seeds, P);
            dlf_dropout_ridge(q->gram, q->xty, q->diagonal, P, fit_keeps[k], want);
            dlf_dropout_ridge(q->gram, q->xty, q->level, P, fit_keeps[k], plain);
            dlf_dropout_ridge(q->gram, q->xty, q->level, P, 1.0, full);
            snprintf(name, sizeof name, "w%d", j + 1);
            DLF_TRY_DONE(dlf_table_row(t, DLF_TXT(name), DLF_NUM(fit_keeps[k]), DLF_NUM(e.mean),
                                       DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(want[j]),
                                       DLF_NUM(plain[j]), DLF_NUM(full[j])));
        }
    DLF_TRY_DONE(fit_checks(run, q, w, w + FITS * seeds * P));
done:
    free(w);
    return status;
}

static dlf_status fit_figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "linear_weights",
        .kind = DLF_LINES,
        .title = {"用 dropout 训练的线性模型收敛到加权岭回归",
                  "A linear model trained with dropout converges to weighted ridge"},
        .subtitle = {"点：随机梯度下降的迭代平均；虚线：闭式解；灰色对照：不加 dropout 时的 w1",
                     "points: averaged stochastic gradient descent; dashed: closed form; grey "
                     "control: w1 without dropout"},
        .x = {{"保留概率 keep", "keep probability"}, false},
        .y = {{"权重", "weight"}, false}};
    static const char *const shown[] = {"w1", "w3", "w6"};
    int n = 0;
    for (int i = 0; i < 3; i++) {
        const dlf_series points = {.role = DLF_MEASURED,
                                   .table = "linear_weights",
                                   .where = "weight",
                                   .equals = shown[i],
                                   .x = "keep",
                                   .y = "trained",
                                   .lo = "lo",
                                   .hi = "hi",
                                   .label = {shown[i], shown[i]},
                                   .colour = i,
                                   .points = true};
        dlf_series line = points;
        line.role = DLF_THEORY;
        line.y = "theory";
        line.lo = line.hi = NULL;
        line.points = false;
        line.label = (dlf_text){"加权岭回归", "weighted ridge"};
        f.series[n++] = points;
        f.series[n++] = line;
        if (i) continue;
        line.role = DLF_CONTROL;
        line.y = "least_squares";
        line.label = (dlf_text){"对照：w1，无 dropout", "control: w1, no dropout"};
        line.colour = 3;
        f.series[n++] = line;
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_dropout_linear(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run), fits = FITS * seeds * dlf_run_int(run, "copies");
    const int masks_wanted = dlf_run_int(run, "masks"),
              chunk = masks_wanted < 50 ? masks_wanted : 50;
    const int count = (masks_wanted + chunk - 1) / chunk * chunk;
    const double middle = from + 0.4 * (to - from);
    dlf_status status;
    problem q;
    double *sum = calloc((size_t)(2 * KEEPS * seeds + fits * P), sizeof *sum);
    if (!sum) return dlf_fail(DLF_ERR_OOM, "dropout: out of memory");
    double *square = sum + KEEPS * seeds, *average = square + KEEPS * seeds;
    make_problem(&q, dlf_run_seed(run));
    DLF_TRY_DONE(expected_loss(run, &q, chunk, count, sum, square, from, middle));
    DLF_TRY_DONE(report_loss(run, &q, count, sum, square));
    DLF_TRY_DONE(loss_figure(run));
    DLF_TRY_DONE(fit(run, &q, average, middle, to));
    DLF_TRY_DONE(report_fit(run, &q, average));
    DLF_TRY_DONE(fit_figure(run));
done:
    free(sum);
    return status;
}
