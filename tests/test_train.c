/* SPDX-License-Identifier: MIT
 * test_train.c -- training: the step against plain loops, members against themselves alone,
 * divergence, stopping, evaluation, schedules, messages. */
#include "kernel_test.h"

#include <unistd.h>

#include "dlf/train.h"

static dlf_dataset digits;

typedef struct job {
    dlf_graph *g;
    dlf_train *t;
} job;

/* 64 - width (relu) - 10; width 0: softmax regression. */
static dlf_graph *classifier(dlf_device *dev, int members, int owners, int batch, int width)
{
    dlf_graph *g;
    OK(dlf_graph_new(&g, dev, members));
    dlf_node x = dlf_input(g, "x", 3, (int64_t[]){owners, batch, 64}), h = x;
    if (owners != members) { /* the first layer takes a shared x */
        const dlf_node w =
            dlf_parameter(g, "shared.w", 3, (int64_t[]){members, width, 64}, dlf_he());
        h = dlf_matmul(g, "shared", x, false, w, true, 1.0);
    } else if (width) {
        h = dlf_dense(g, "hidden", x, width, dlf_activation_of(DLF_RELU), dlf_he());
    }
    h = dlf_dense(g, "logits", h, 10, dlf_activation_of(DLF_LINEAR), dlf_lecun());
    const dlf_node label = dlf_input_int(g, "label", 2, (int64_t[]){owners, batch});
    dlf_graph_minimise(g, dlf_cross_entropy(g, "loss", h, label), 1.0 / batch);
    OK(dlf_graph_compile(g));
    return g;
}

static job start(dlf_device *dev, int members, int batch, int width, const int32_t *draw,
                 const dlf_train_spec *spec)
{
    job j = {classifier(dev, members, members, batch, width), NULL};
    OK(dlf_graph_initialise(j.g, 9, draw));
    OK(dlf_train_new(&j.t, j.g, &digits, spec));
    return j;
}

static void end(job *j)
{
    dlf_train_free(j->t);
    dlf_graph_free(j->g);
}

static double *parameters(const job *j)
{
    const dlf_tensor *w = dlf_graph_parameters(j->g);
    double *v = malloc((size_t)dlf_tensor_count(w) * sizeof *v);
    assert_non_null(v);
    OK(dlf_tensor_download_f64(v, w));
    return v;
}

static int64_t row_of(const job *j)
{
    return dlf_graph_parameters(j->g)->shape[1];
}

/* ---- the step against plain loops ---- */

enum { F = 64, C = 10, BATCH = 7, WEIGHTS = C * F + C + 2 /* padding of b to a multiple of 4 */ };

/* Mean cross-entropy gradient of softmax regression, w (C,F) then b (C). */
static double regression_gradient(const double *w, const int32_t *rows, double *g)
{
    double loss = 0.0;
    memset(g, 0, WEIGHTS * sizeof *g);
    for (int i = 0; i < BATCH; i++) {
        const float *x = digits.x + (size_t)rows[i] * F;
        double z[C], sum = 0.0;
        for (int c = 0; c < C; c++) {
            z[c] = w[C * F + c];
            for (int k = 0; k < F; k++) z[c] += w[c * F + k] * (double)x[k];
            sum += exp(z[c]);
        }
        loss += (log(sum) - z[digits.label[rows[i]]]) / BATCH;
        for (int c = 0; c < C; c++) {
            const double d = (exp(z[c]) / sum - (c == digits.label[rows[i]])) / BATCH;
            g[C * F + c] += d;
            for (int k = 0; k < F; k++) g[c * F + k] += d * (double)x[k];
        }
    }
    return loss;
}

static void plain_update(dlf_optimiser o, double lr, double max_norm, int step, double *w,
                         double *m, double *v, const double *g)
{
    double norm = 0.0;
    for (int i = 0; i < WEIGHTS; i++) norm += g[i] * g[i];
    const double s = fmin(1.0, max_norm / sqrt(norm));
    for (int i = 0; i < WEIGHTS; i++) {
        const bool decoupled = o.kind == DLF_ADAMW;
        const double d = s * g[i] + (decoupled ? 0.0 : o.weight_decay * w[i]);
        if (o.kind == DLF_SGD) {
            m[i] = o.momentum * m[i] + d;
            w[i] -= lr * m[i];
            continue;
        }
        m[i] = o.beta1 * m[i] + (1 - o.beta1) * d;
        v[i] = o.beta2 * v[i] + (1 - o.beta2) * d * d;
        const double mh = m[i] / (1 - pow(o.beta1, step + 1)),
                     vh = v[i] / (1 - pow(o.beta2, step + 1));
        w[i] -= lr * mh / (sqrt(vh) + o.eps) + (decoupled ? lr * o.weight_decay * w[i] : 0.0);
    }
}

/* 30 steps in double: rounding 1e-16 grows by the condition of the problem, at most 1e3 here. */
static void follow(dlf_optimiser o, double clip)
{
    const double lr[] = {0.1, 0.03}, max_norm[] = {clip, INFINITY};
    const int32_t draw[] = {4, 7};
    const dlf_train_spec spec = {.seed = 21,
                                 .draw = draw,
                                 .lr = lr,
                                 .max_norm = max_norm,
                                 .optimiser = o,
                                 .schedule = {DLF_SCHEDULE_COSINE, 5, 40, 0.1},
                                 .rows = 50};
    job j = start(kt_ref, 2, BATCH, 0, draw, &spec);
    assert_int_equal(row_of(&j), WEIGHTS);
    double *w = parameters(&j), m[2][WEIGHTS] = {{0}}, v[2][WEIGHTS] = {{0}}, g[WEIGHTS], loss[2];
    for (int step = 0; step < 30; step++) {
        OK(dlf_train_step(j.t));
        OK(dlf_train_loss(j.t, loss));
        for (int p = 0; p < 2; p++) {
            int32_t order[50];
            dlf_permutation(order, 50, 21,
                            dlf_stream(DLF_PURPOSE_SHUFFLE, (uint32_t)(step / 7) + 1),
                            (uint32_t)draw[p]);
            const double want = regression_gradient(w + p * WEIGHTS, order + step % 7 * BATCH, g);
            assert_true(fabs(loss[p] - want) < 1e-12 * want);
            plain_update(o, lr[p] * dlf_schedule_factor(spec.schedule, step), max_norm[p], step,
                         w + p * WEIGHTS, m[p], v[p], g);
        }
    }
    double *got = parameters(&j);
    for (int i = 0; i < 2 * WEIGHTS; i++) assert_true(fabs(got[i] - w[i]) < 1e-10);
    free(got);
    free(w);
    end(&j);
}

static void a_step_is_what_the_formulas_say(void **state)
{
    (void)state;
    follow(dlf_sgd(0.0, 0.0), INFINITY);
    follow(dlf_sgd(0.9, 0.01), 0.5);
    dlf_optimiser adam = dlf_adam(0.01), adamw = dlf_adamw(0.1);
    adam.eps = adamw.eps =
        1e-3; /* at 1e-8 the rounding of gradients that are really 0 would count */
    follow(adam, 0.5);
    follow(adamw, INFINITY);
}

/* ---- members ---- */

static const double lr3[] = {0.1, 0.05, 0.02};

static void a_member_is_the_same_alone(void **state)
{
    (void)state;
    const int32_t draw[] = {3, 1, 2};
    const dlf_train_spec all = {
        .seed = 2, .draw = draw, .lr = lr3, .optimiser = dlf_sgd(0.9, 1e-3)};
    job together = start(kt_dev, 3, 16, 24, draw, &all);
    OK(dlf_train_run(together.t, 100));
    double *w = parameters(&together);
    const int64_t n = row_of(&together);
    for (int p = 0; p < 3; p++) {
        dlf_train_spec one = all;
        one.draw = draw + p;
        one.lr = lr3 + p;
        job alone = start(kt_dev, 1, 16, 24, draw + p, &one);
        OK(dlf_train_run(alone.t, 100));
        double *v = parameters(&alone);
        assert_memory_equal(v, w + p * n, (size_t)n * sizeof *v);
        free(v);
        end(&alone);
    }
    free(w);
    end(&together);
}

/* Bits do not depend on the number of threads. */
static void threads_do_not_change_a_bit(void **state)
{
    (void)state;
    const int threads = kt_dev->info.threads;
    double *w[2];
    int64_t n = 0;
    for (int k = 0; k < 2; k++) {
        const dlf_train_spec spec = {.seed = 2, .lr = lr3, .optimiser = dlf_sgd(0.9, 1e-3)};
        if (strcmp(kt_dev->info.backend, "cpu") == 0) kt_dev->info.threads = k + 1;
        job j = start(kt_dev, 3, 16, 24, NULL, &spec);
        OK(dlf_train_run(j.t, 50));
        w[k] = parameters(&j);
        n = row_of(&j);
        end(&j);
    }
    kt_dev->info.threads = threads;
    assert_memory_equal(w[0], w[1], 3 * (size_t)n * sizeof *w[0]);
    free(w[0]);
    free(w[1]);
}

/* 25 steps in float32 against double. Rounding grows with the steps; 25 steps of a stable run keep
 * it below 1e-4 of the parameters' scale, where a wrong gradient is off by the learning rate. */
static void device_agrees_with_the_definition(void **state)
{
    (void)state;
    double *w[2];
    int64_t n = 0;
    for (int k = 0; k < 2; k++) {
        const double clip[] = {INFINITY, 0.5, 1.0};
        const dlf_train_spec spec = {
            .seed = 2, .lr = lr3, .max_norm = clip, .optimiser = dlf_sgd(0.9, 1e-3)};
        job j = start(k ? kt_ref : kt_dev, 3, 16, 24, NULL, &spec);
        OK(dlf_train_run(j.t, 25));
        w[k] = parameters(&j);
        n = row_of(&j);
        end(&j);
    }
    for (int64_t i = 0; i < 3 * n; i++) assert_true(fabs(w[0][i] - w[1][i]) <= 1e-4);
    free(w[0]);
    free(w[1]);
}

static void it_learns_digits(void **state)
{
    (void)state;
    const dlf_optimiser optimisers[] = {dlf_sgd(0.0, 0.0), dlf_adam(0.0)};
    for (int k = 0; k < 2; k++) {
        const double rates[] = {k ? 0.005 : 0.1, k ? 0.002 : 0.05, k ? 1e-7 : 1e-6};
        const dlf_train_spec spec = {.seed = 2, .lr = rates, .optimiser = optimisers[k]};
        job j = start(kt_dev, 3, 32, 32, NULL, &spec);
        OK(dlf_train_run(j.t, 10 * dlf_train_epoch_steps(j.t)));
        double loss[3], accuracy[3];
        int32_t bad[3];
        OK(dlf_train_evaluate(j.t, digits.train, digits.test, loss, accuracy));
        OK(dlf_train_diverged(j.t, bad));
        assert_true(accuracy[0] > 0.93 && accuracy[1] > 0.93);
        assert_true(accuracy[2] < 0.5 &&
                    loss[2] > 1.0); /* the control: a rate too small to learn */
        assert_true(bad[0] == -1 && bad[1] == -1 && bad[2] == -1);
        end(&j);
    }
}

/* A member that diverges is frozen as it is and named; the others do not notice. */
static void divergence_is_frozen_and_reported(void **state)
{
    (void)state;
    const double calm[] = {0.1, 0.05, 0.02}, wild[] = {0.1, 1e30, 0.02};
    dlf_train_spec spec = {.seed = 2, .lr = calm, .optimiser = dlf_sgd(0.9, 0.0)};
    job a = start(kt_dev, 3, 16, 24, NULL, &spec);
    spec.lr = wild;
    job b = start(kt_dev, 3, 16, 24, NULL, &spec);
    OK(dlf_train_run(a.t, 40));
    OK(dlf_train_run(b.t, 40));
    int32_t bad[3];
    OK(dlf_train_diverged(b.t, bad));
    assert_true(bad[0] == -1 && bad[1] >= 1 && bad[1] <= 30 && bad[2] == -1);
    double *u = parameters(&a), *v = parameters(&b), loss[3];
    const int64_t n = row_of(&a);
    assert_memory_equal(u, v, (size_t)n * sizeof *u);
    assert_memory_equal(u + 2 * n, v + 2 * n, (size_t)n * sizeof *u);
    OK(dlf_train_step(b.t));
    double *later = parameters(&b);
    assert_memory_equal(v + n, later + n, (size_t)n * sizeof *v);
    OK(dlf_train_loss(b.t, loss));
    assert_true(isfinite(loss[0]) && !isfinite(loss[1]) && isfinite(loss[2]));
    free(later);
    free(u);
    free(v);
    end(&a);
    end(&b);
}

static void stop_and_keep(void **state)
{
    (void)state;
    const dlf_train_spec spec = {.seed = 2, .lr = lr3, .optimiser = dlf_sgd(0.9, 0.0)};
    job j = start(kt_dev, 3, 16, 24, NULL, &spec);
    const int64_t n = row_of(&j);
    assert_int_equal(dlf_train_restore_kept(j.t, 0), DLF_ERR_ARG);
    OK(dlf_train_run(j.t, 10));
    double *then = parameters(&j);
    OK(dlf_train_keep(j.t, 2));
    OK(dlf_train_stop(j.t, 1));
    OK(dlf_train_run(j.t, 100)); /* into the next epoch */
    double *now = parameters(&j);
    assert_memory_equal(then + n, now + n, (size_t)n * sizeof *now);
    assert_memory_not_equal(then, now, (size_t)n * sizeof *now);
    assert_memory_not_equal(then + 2 * n, now + 2 * n, (size_t)n * sizeof *now);
    OK(dlf_train_restore_kept(j.t, 2));
    double *back = parameters(&j);
    assert_memory_equal(then + 2 * n, back + 2 * n, (size_t)n * sizeof *now);
    assert_memory_equal(now, back, (size_t)n * sizeof *now);
    assert_int_equal(dlf_train_stop(j.t, 3), DLF_ERR_ARG);
    free(back);
    free(now);
    free(then);
    end(&j);
}

/* ---- evaluation ---- */

static void evaluation_counts_every_row_once(void **state)
{
    (void)state;
    const dlf_train_spec spec = {.seed = 2, .lr = lr3, .optimiser = dlf_sgd(0.0, 0.0)};
    job j = start(kt_dev, 3, 16, 24, NULL, &spec), one = start(kt_dev, 3, 1, 24, NULL, &spec);
    OK(dlf_train_run(j.t, 30));
    dlf_tensor *to = dlf_graph_parameters(one.g);
    OK(dlf_tensor_copy(to, dlf_graph_parameters(j.g)));
    const int ranges[][2] = {{0, 5}, {0, 16}, {3, 40}, {1790, 7}, {1781, 16}, {1700, 97}};
    for (size_t r = 0; r < sizeof ranges / sizeof ranges[0]; r++) {
        double loss[3], accuracy[3], row_loss[3], row_hit[3], sum[3] = {0}, hits[3] = {0};
        const int first = ranges[r][0], count = ranges[r][1];
        OK(dlf_train_evaluate(j.t, first, count, loss, accuracy));
        for (int i = first; i < first + count; i++) {
            OK(dlf_train_evaluate(one.t, i, 1, row_loss, row_hit));
            for (int p = 0; p < 3; p++) {
                sum[p] += row_loss[p] / count;
                hits[p] += row_hit[p];
            }
        }
        for (int p = 0; p < 3; p++) {
            assert_true(fabs(loss[p] - sum[p]) <= 1e-6 * fabs(sum[p])); /* other gemm shapes */
            assert_true(accuracy[p] == hits[p] / count);
        }
    }
    double loss[3];
    assert_int_equal(dlf_train_evaluate(j.t, 1790, 8, loss, NULL), DLF_ERR_ARG);
    end(&one);
    end(&j);
}

/* Training goes on as if nobody had looked. */
static void looking_changes_nothing(void **state)
{
    (void)state;
    const dlf_train_spec spec = {.seed = 2, .lr = lr3, .optimiser = dlf_adam(0.0)};
    job a = start(kt_dev, 3, 16, 24, NULL, &spec), b = start(kt_dev, 3, 16, 24, NULL, &spec);
    for (int i = 0; i < 20; i++) {
        double loss[3], accuracy[3];
        OK(dlf_train_step(a.t));
        OK(dlf_train_probe(b.t));
        OK(dlf_train_step(b.t));
        OK(dlf_train_loss(b.t, loss));
        OK(dlf_train_evaluate(b.t, 0, 40, loss, accuracy));
    }
    double *u = parameters(&a), *v = parameters(&b);
    assert_memory_equal(u, v, 3 * (size_t)row_of(&a) * sizeof *u);
    free(u);
    free(v);
    end(&a);
    end(&b);
}

static void update_ratio_is_the_step(void **state)
{
    (void)state;
    const dlf_train_spec spec = {.seed = 2, .lr = lr3, .optimiser = dlf_sgd(0.0, 0.0)};
    job j = start(kt_dev, 3, 16, 24, NULL, &spec);
    OK(dlf_train_probe(j.t)); /* the gradient of the very next step */
    double ratio[4 * 3];
    const dlf_node w = dlf_graph_find(j.g, "hidden.w");
    dlf_tensor *value = dlf_graph_value(j.g, w), *gradient = dlf_graph_gradient(j.g, w);
    const int64_t n = dlf_tensor_member_count(value);
    double *v = malloc(6 * (size_t)n * sizeof *v), *g = v + 3 * n;
    assert_non_null(v);
    OK(dlf_tensor_download_f64(v, value));
    OK(dlf_tensor_download_f64(g, gradient));
    OK(dlf_train_update_ratio(j.t, ratio));
    assert_int_equal(dlf_train_steps_done(j.t), 1);
    for (int p = 0; p < 3; p++) {
        double a = 0.0, b = 0.0;
        for (int64_t i = p * n; i < (p + 1) * n; i++) a += v[i] * v[i], b += g[i] * g[i];
        const double want =
            lr3[p] * sqrt(b / a); /* w - lr g, rounded to 6e-8 |w|: ratios near 1e-3 */
        if (!(fabs(ratio[p] / want - 1.0) < 1e-3)) fail_msg("%g, not %g", ratio[p], want);
    }
    assert_true(isinf(ratio[1 * 3])); /* biases start at 0 */
    free(v);
    end(&j);
}

static void shared_batches(void **state)
{
    (void)state;
    const int32_t same[] = {5, 5, 5}, other[] = {5, 5, 6};
    dlf_train_spec spec = {.seed = 2, .draw = same, .lr = lr3, .optimiser = dlf_sgd(0.0, 0.0)};
    job j = {classifier(kt_dev, 3, 1, 16, 24), NULL};
    OK(dlf_graph_initialise(j.g, 9, NULL));
    OK(dlf_train_new(&j.t, j.g, &digits, &spec));
    double before[3], after[3];
    OK(dlf_train_evaluate(j.t, 0, digits.train, before, NULL));
    OK(dlf_train_run(j.t, 100));
    OK(dlf_train_evaluate(j.t, 0, digits.train, after, NULL));
    for (int p = 0; p < 3; p++) assert_true(after[p] < 0.5 * before[p]);
    dlf_train_free(j.t);
    spec.draw = other;
    assert_int_equal(dlf_train_new(&j.t, j.g, &digits, &spec), DLF_ERR_ARG);
    assert_non_null(strstr(dlf_error_message(), "must be equal"));
    end(&j);
}

/* ---- checkpoints ---- */

/* A classifier with everything that has state: batch norm, dropout. */
static dlf_graph *with_state(dlf_device *dev, int width)
{
    static const double rate[] = {0.2, 0.5};
    dlf_graph *g;
    OK(dlf_graph_new(&g, dev, 2));
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){2, 16, 64});
    const dlf_node label = dlf_input_int(g, "label", 2, (int64_t[]){2, 16});
    const dlf_norm norm = {.kind = DLF_BATCH_NORM, .eps = 1e-5, .momentum = 0.1};
    dlf_node h = dlf_dense(g, "h", x, width, dlf_activation_of(DLF_RELU), dlf_he());
    h = dlf_norm_layer(g, "norm", h, norm);
    h = dlf_drop(g, "drop", h, dlf_hyper(g, "rate", rate), true);
    h = dlf_dense(g, "logits", h, 10, dlf_activation_of(DLF_LINEAR), dlf_lecun());
    dlf_graph_minimise(g, dlf_cross_entropy(g, "loss", h, label), 1.0 / 16);
    OK(dlf_graph_compile(g));
    OK(dlf_graph_initialise(g, 9, NULL));
    return g;
}

static const char *checkpoint_path(void)
{
    static char path[64];
    snprintf(path, sizeof path, "test_train.%ld.safetensors", (long)getpid());
    return path;
}

static void going_on_is_not_having_stopped(void **state)
{
    (void)state;
    const double lr[] = {0.01, 0.003};
    const dlf_optimiser optimisers[] = {dlf_sgd(0.9, 1e-3), dlf_adamw(0.01), dlf_sgd(0.0, 0.0)};
    const int stops[] = {0, 1, 80, 81, 97}; /* 81 steps are an epoch */
    for (size_t i = 0; i < 5; i++) {
        const dlf_train_spec spec = {.seed = 2,
                                     .lr = lr,
                                     .optimiser = optimisers[i % 3],
                                     .schedule = {DLF_SCHEDULE_COSINE, 0, 150, 0.1}};
        job a = {with_state(kt_dev, 12), NULL}, b = {with_state(kt_dev, 12), NULL};
        OK(dlf_train_new(&a.t, a.g, &digits, &spec));
        OK(dlf_train_new(&b.t, b.g, &digits, &spec));
        OK(dlf_train_run(a.t, stops[i]));
        if (i == 3) OK(dlf_train_stop(a.t, 1));
        OK(dlf_train_save(a.t, checkpoint_path()));
        OK(dlf_train_run(a.t, 100));
        OK(dlf_train_run(b.t, 7)); /* what it had before does not matter */
        OK(dlf_train_load(b.t, checkpoint_path()));
        assert_int_equal(dlf_train_steps_done(b.t), stops[i]);
        OK(dlf_train_run(b.t, 100));
        double *u = parameters(&a), *v = parameters(&b), la[2], lb[2];
        assert_memory_equal(u, v, 2 * (size_t)row_of(&a) * sizeof *u);
        OK(dlf_train_evaluate(a.t, 0, 100, la, NULL)); /* running statistics, too */
        OK(dlf_train_evaluate(b.t, 0, 100, lb, NULL));
        assert_memory_equal(la, lb, sizeof la);
        free(u);
        free(v);
        end(&a);
        end(&b);
    }
    remove(checkpoint_path());
}

static void write_file(const char *bytes, size_t size)
{
    FILE *f = fopen(checkpoint_path(), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

/* Cut anywhere, it is refused and changes nothing; with a flipped bit it is refused or valid. */
static void damaged_checkpoints_are_refused(void **state)
{
    (void)state;
    const double lr[] = {0.01, 0.003};
    const dlf_train_spec spec = {.seed = 2, .lr = lr, .optimiser = dlf_adam(0.0)};
    job j = {with_state(kt_dev, 3), NULL}, other = {with_state(kt_dev, 4), NULL};
    OK(dlf_train_new(&j.t, j.g, &digits, &spec));
    OK(dlf_train_new(&other.t, other.g, &digits, &spec));
    OK(dlf_train_run(j.t, 3));
    OK(dlf_train_save(j.t, checkpoint_path()));
    assert_int_equal(dlf_train_load(other.t, checkpoint_path()), DLF_ERR_INPUT);
    assert_non_null(strstr(dlf_error_message(), "tensor 'h.w' is of another type or shape"));
    static char good[1 << 16], changed[1 << 16];
    FILE *f = fopen(checkpoint_path(), "rb");
    assert_non_null(f);
    const size_t size = fread(good, 1, sizeof good, f);
    fclose(f);
    assert_in_range(size, 1000, sizeof good - 1);
    double *before = parameters(&j);
    for (size_t cut = 0; cut < size; cut += cut + 64 < size ? 61 : 1) {
        write_file(good, cut);
        assert_int_equal(dlf_train_load(j.t, checkpoint_path()), DLF_ERR_INPUT);
    }
    double *after = parameters(&j);
    assert_memory_equal(before, after, 2 * (size_t)row_of(&j) * sizeof *after);
    const size_t header = 8 + (size_t)(unsigned char)good[0] + 256 * (size_t)(unsigned char)good[1];
    int refused = 0;
    for (size_t i = 0; i < 200; i++) {
        memcpy(changed, good, size);
        changed[i * 7 % header] ^= (char)(1 << i % 8);
        write_file(changed, size);
        const dlf_status status = dlf_train_load(j.t, checkpoint_path());
        assert_true(status == DLF_ERR_INPUT || status == DLF_OK);
        refused += status != DLF_OK;
    }
    assert_true(refused > 120);
    remove(checkpoint_path());
    assert_int_equal(dlf_train_load(j.t, checkpoint_path()), DLF_ERR_INPUT);
    assert_int_equal(dlf_train_save(j.t, "no/such/directory/x"), DLF_ERR_OUTPUT);
    free(after);
    free(before);
    end(&j);
    end(&other);
}

/* ---- schedules and messages ---- */

static void schedules(void **state)
{
    (void)state;
    const dlf_schedule constant = {0}, cosine = {DLF_SCHEDULE_COSINE, 0, 100, 0.2},
                       step = {DLF_SCHEDULE_STEP, 0, 10, 0.5},
                       linear = {DLF_SCHEDULE_LINEAR, 0, 10, 0.1},
                       warm = {DLF_SCHEDULE_CONSTANT, 4, 0, 0.0};
    assert_true(dlf_schedule_factor(constant, 0) == 1.0 &&
                dlf_schedule_factor(constant, 999) == 1.0);
    assert_true(dlf_schedule_factor(cosine, 0) == 1.0 && dlf_schedule_factor(cosine, 100) == 0.2);
    assert_true(fabs(dlf_schedule_factor(cosine, 50) - 0.6) < 1e-15);
    assert_true(dlf_schedule_factor(step, 9) == 1.0 && dlf_schedule_factor(step, 10) == 0.5);
    assert_true(dlf_schedule_factor(step, 25) == 0.25 && dlf_schedule_factor(linear, 10) == 0.1);
    assert_true(fabs(dlf_schedule_factor(linear, 5) - 0.55) < 1e-15);
    assert_true(dlf_schedule_factor(warm, 0) == 0.25 && dlf_schedule_factor(warm, 3) == 1.0);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    dlf_train *t;
    dlf_train_spec spec = {.seed = 2, .lr = lr3, .optimiser = dlf_sgd(0.0, 0.0)};
    dlf_graph *g = classifier(kt_dev, 3, 3, 16, 24);
    spec.rows = 15;
    assert_int_equal(dlf_train_new(&t, g, &digits, &spec), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "batches of 16 from 15 rows"));
    spec.rows = 0;
    spec.lr = (double[]){0.1, -0.1, 0.1};
    assert_int_equal(dlf_train_new(&t, g, &digits, &spec), DLF_ERR_ARG);
    assert_non_null(strstr(dlf_error_message(), "learning rate -0.1 of member 1"));
    spec.lr = lr3;
    dlf_dataset wide = digits;
    wide.features = 63;
    assert_int_equal(dlf_train_new(&t, g, &wide, &spec), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "'x' is (3,16,64) in the graph"));
    assert_null(t);
    dlf_graph_free(g);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    OK(dlf_digits_load(&digits));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_is_what_the_formulas_say),
        cmocka_unit_test(a_member_is_the_same_alone),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(device_agrees_with_the_definition),
        cmocka_unit_test(it_learns_digits),
        cmocka_unit_test(divergence_is_frozen_and_reported),
        cmocka_unit_test(stop_and_keep),
        cmocka_unit_test(evaluation_counts_every_row_once),
        cmocka_unit_test(looking_changes_nothing),
        cmocka_unit_test(update_ratio_is_the_step),
        cmocka_unit_test(shared_batches),
        cmocka_unit_test(going_on_is_not_having_stopped),
        cmocka_unit_test(damaged_checkpoints_are_refused),
        cmocka_unit_test(schedules),
        cmocka_unit_test(mistakes_are_named),
    };
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    dlf_dataset_free(&digits);
    return kt_close(failures);
}
