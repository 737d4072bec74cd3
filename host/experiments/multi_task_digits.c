/* SPDX-License-Identifier: MIT
 * multi_task_digits.c -- Q26 on handwritten digits: five questions about one image, answered by one
 * network with five heads or by five networks. Controls: companions that bring no rows of their
 * own; companions whose labels are random; a trunk too small for all. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/data.h"
#include "dlf/ops.h"
#include "dlf/rng.h"
#include "dlf/train.h"
#include "figures.h"
#include "multi_task.h"
#include "multi_task_nets.h"
#include "seed_check.h"

enum { TASKS = 5, BATCH = 20 };
/* odd; at least five; prime; with a closed loop; a multiple of three */
static const unsigned char answer[TASKS][10] = {{0, 1, 0, 1, 0, 1, 0, 1, 0, 1},
                                                {0, 0, 0, 0, 0, 1, 1, 1, 1, 1},
                                                {0, 0, 1, 1, 0, 1, 0, 1, 0, 0},
                                                {1, 0, 0, 0, 0, 0, 1, 0, 1, 1},
                                                {1, 0, 0, 1, 0, 0, 1, 0, 0, 1}};
static const int sizes[] = {25, 50, 100, 200, 500};
static const int widths[] = {1, 2, 4, 8, 16, 32};
enum {
    SIZES = sizeof sizes / sizeof sizes[0],
    WIDTHS = sizeof widths / sizeof widths[0],
    FEW = 1,
    NARROW = 1,
    PLENTY = 1000,   /* rows of the sweep over widths */
    COMPANIONS = 700 /* rows of the companions        */
};

/* A network per question, but for TOGETHER. */
typedef enum arm {
    ALONE,
    TOGETHER,  /* one for all five, on the same rows                          */
    RELATED,   /* the other four have rows of their own                       */
    UNRELATED, /* the same rows, their labels tossed                          */
    ARMS
} arm;
static const char *const arm_ids[ARMS] = {"alone", "together", "related", "unrelated"};
static const dlf_text arm_names[ARMS] = {
    {"各学各的", "alone"},
    {"对照：同样的样本，五问一起", "control: same rows, all five"},
    {"另外四问自带 700 行", "700 rows of the other four"},
    {"对照：700 行随机标签", "control: 700 random labels"}};

dlf_status dlf_multi_task_net(dlf_graph **out, dlf_device *device, int members, int batch,
                              int inputs, int width, int tasks)
{
    DLF_TRY(dlf_graph_new(out, device, members));
    dlf_graph *g = *out;
    const dlf_node all = dlf_input(g, "x", 3, (int64_t[]){members, batch, inputs + tasks});
    const dlf_node x = dlf_columns(g, "pixels", all, 0, inputs);
    const dlf_node asked = dlf_columns(g, "asked", all, inputs, tasks);
    const dlf_node target = dlf_input(g, "target", 3, (int64_t[]){members, batch, tasks});
    const dlf_node h = dlf_dense(g, "h1", x, width, dlf_activation_of(DLF_RELU), dlf_he());
    const dlf_node z = dlf_dense(g, "heads", h, tasks, dlf_activation_of(DLF_LINEAR), dlf_lecun());
    const dlf_loss loss = {.kind = DLF_LOSS_BCE};
    dlf_graph_minimise(
        g, dlf_row_loss(g, "loss", dlf_product(g, "asked.z", z, asked), target, loss), 1.0 / batch);
    const dlf_status status = dlf_graph_compile(g);
    if (status == DLF_OK) return DLF_OK;
    dlf_graph_free(g);
    *out = NULL;
    return status;
}

typedef struct study {
    int seeds;
    dlf_dataset digits;
    double *by_rows;  /* (ARMS, SIZES, seeds): mean error over the tasks  */
    double *by_width; /* (ALONE and TOGETHER, WIDTHS, seeds)   */
} study;

/* ---- one training ---- */

/* Members: seeds for TOGETHER, (seeds, TASKS) for the others. */
typedef struct job {
    arm a;
    int members, rows, block, width, tests; /* rows of the question, of a member, units, .. */
    dlf_graph *g;
    dlf_train *t;
    dlf_dataset data;
    dlf_tensor x, h, z; /* (1,tests,F), (P,tests,W), (P,tests,TASKS) */
    double *out;
    int32_t *base;
    double *lr;
} job;

static void job_end(job *j)
{
    dlf_tensor_free(&j->z);
    dlf_tensor_free(&j->h);
    dlf_tensor_free(&j->x);
    dlf_train_free(j->t);
    dlf_graph_free(j->g);
    dlf_dataset_free(&j->data);
    free(j->out);
    free(j->base);
    free(j->lr);
}

static int task_of(const job *j, int member)
{
    return j->a == TOGETHER ? -1 : member % TASKS;
}

/* Row i of a member's block; of its companions' 700 the first half are its own rows, repeated. */
static void deal_row(job *j, const study *s, uint64_t seed, const int32_t *order, int m, int i)
{
    const int F = s->digits.features, task = task_of(j, m), mine = j->block - COMPANIONS;
    const bool companions = j->a == RELATED || j->a == UNRELATED, theirs = companions && i >= mine;
    const int32_t row = order[theirs ? j->rows + i - mine : i % j->rows];
    const long to = (long)m * j->block + i;
    float *x = j->data.x + to * (F + TASKS), *target = j->data.target + to * TASKS;
    memcpy(x, s->digits.x + (long)row * F, (size_t)F * sizeof *x);
    for (int k = 0; k < TASKS; k++) {
        const bool asked = j->a == TOGETHER || (k == task) != theirs;
        const bool coin = j->a == UNRELATED && theirs;
        const uint32_t toss = dlf_rng_bits(seed, dlf_stream(DLF_PURPOSE_DATA, 84), (uint32_t)m,
                                           (uint64_t)(i * TASKS + k));
        x[F + k] = asked;
        /* what is not asked has logit 0 and target 0: no gradient */
        target[k] = !asked ? 0.0f : coin ? (float)(toss & 1u) : answer[k][s->digits.label[row]];
    }
}

static dlf_status deal(job *j, const study *s, uint64_t seed)
{
    const size_t rows = (size_t)j->members * (size_t)j->block, F = (size_t)s->digits.features;
    int32_t *order = malloc((size_t)s->digits.train * sizeof *order);
    j->data = (dlf_dataset){.name = "tasks",
                            .train = (int)rows,
                            .features = (int)F + TASKS,
                            .targets = TASKS,
                            .x = malloc(rows * (F + TASKS) * sizeof(float)),
                            .target = malloc(rows * TASKS * sizeof(float))};
    if (!order || !j->data.x || !j->data.target) {
        free(order);
        return dlf_fail(DLF_ERR_OOM, "multi-task: out of memory");
    }
    for (int m = 0; m < j->members; m++) {
        j->base[m] = m * j->block;
        j->lr[m] = 0.005;
        dlf_permutation(order, s->digits.train, seed, dlf_stream(DLF_PURPOSE_SHUFFLE, 84),
                        (uint32_t)(j->a == TOGETHER ? m : m / TASKS));
        for (int i = 0; i < j->block; i++) deal_row(j, s, seed, order, m, i);
    }
    free(order);
    return DLF_OK;
}

static dlf_status job_start(job *j, dlf_run *run, const study *s, arm a, int rows, int width)
{
    dlf_device *dev = dlf_run_device(run);
    const int F = s->digits.features;
    *j = (job){.a = a,
               .members = s->seeds * (a == TOGETHER ? 1 : TASKS),
               .rows = rows,
               .block = a == RELATED || a == UNRELATED ? 2 * COMPANIONS : rows,
               .width = width,
               .tests = dlf_run_int(run, "test_rows")};
    j->base = malloc((size_t)j->members * sizeof *j->base);
    j->lr = malloc((size_t)j->members * sizeof *j->lr);
    j->out = malloc((size_t)(j->members * j->tests) * TASKS * sizeof *j->out);
    if (!j->base || !j->lr || !j->out) return dlf_fail(DLF_ERR_OOM, "multi-task: out of memory");
    DLF_TRY(deal(j, s, dlf_run_seed(run)));
    DLF_TRY(
        dlf_multi_task_net(&j->g, dev, j->members, rows < BATCH ? rows : BATCH, F, width, TASKS));
    DLF_TRY(dlf_graph_initialise(j->g, dlf_run_seed(run), NULL));
    const dlf_train_spec spec = {.seed = dlf_run_seed(run),
                                 .base = j->base,
                                 .lr = j->lr,
                                 .optimiser = dlf_adam(0.0),
                                 .rows = j->block};
    DLF_TRY(dlf_train_new(&j->t, j->g, &j->data, &spec));
    DLF_TRY(dlf_tensor_new(&j->x, dev, dev->real, 1, j->tests, F));
    DLF_TRY(dlf_tensor_upload(&j->x, s->digits.x + (long)s->digits.train * F));
    DLF_TRY(dlf_tensor_new(&j->h, dev, dev->real, j->members, j->tests, width));
    return dlf_tensor_new(&j->z, dev, dev->real, j->members, j->tests, TASKS);
}

/* y = x w^T + b of the layer `name`. */
static dlf_status layer(job *j, dlf_tensor *y, const dlf_tensor *x, const char *w, const char *b)
{
    DLF_TRY(dlf_gemm(y, x, dlf_graph_value(j->g, dlf_graph_find(j->g, w)),
                     (dlf_gemm_args){.trans_b = true, .alpha = 1.0}));
    return dlf_bias_add(y, y, dlf_graph_value(j->g, dlf_graph_find(j->g, b)));
}

/* error[seed]: share of wrong answers on the test rows, mean over the five tasks. */
static dlf_status judge(job *j, const study *s, double *error)
{
    DLF_TRY(layer(j, &j->h, &j->x, "h1.w", "h1.b"));
    DLF_TRY(dlf_activation_forward(&j->h, &j->h, dlf_activation_of(DLF_RELU)));
    DLF_TRY(layer(j, &j->z, &j->h, "heads.w", "heads.b"));
    DLF_TRY(dlf_tensor_download_f64(j->out, &j->z));
    const int32_t *label = s->digits.label + s->digits.train;
    for (int seed = 0; seed < s->seeds; seed++) {
        int wrong = 0;
        for (int task = 0; task < TASKS; task++) {
            const int m = j->a == TOGETHER ? seed : seed * TASKS + task;
            for (int i = 0; i < j->tests; i++)
                wrong += (j->out[((long)m * j->tests + i) * TASKS + task] > 0.0) !=
                         answer[task][label[i]];
        }
        error[seed] = wrong / (double)(j->tests * TASKS);
    }
    return DLF_OK;
}

static dlf_status learn(study *s, dlf_run *run, arm a, int rows, int width, double *error)
{
    job j;
    dlf_status status;
    DLF_TRY_DONE(job_start(&j, run, s, a, rows, width));
    DLF_TRY_DONE(dlf_train_run(j.t, dlf_run_int(run, "steps")));
    status = judge(&j, s, error);
done:
    job_end(&j);
    return status;
}

static double *rows_cell(const study *s, int a, int k)
{
    return s->by_rows + (a * SIZES + k) * s->seeds;
}
static double *width_cell(const study *s, int a, int k)
{
    return s->by_width + (a * WIDTHS + k) * s->seeds;
}

static dlf_status measure(study *s, dlf_run *run, double from, double to)
{
    for (int a = 0; a < ARMS; a++) {
        for (int k = 0; k < SIZES; k++) {
            DLF_TRY(dlf_run_stage(run, from + (to - from) * (a + k / (double)SIZES) / ARMS,
                                  "digits, %s, %d rows", arm_ids[a], sizes[k]));
            DLF_TRY(learn(s, run, (arm)a, sizes[k], dlf_run_int(run, "width"), rows_cell(s, a, k)));
        }
        for (int k = 0; k < WIDTHS && a <= TOGETHER; k++)
            DLF_TRY(learn(s, run, (arm)a, PLENTY, widths[k], width_cell(s, a, k)));
    }
    return DLF_OK;
}

/* ---- report ---- */

static dlf_status checks(const study *s, dlf_run *run, double *value)
{
    char zh[160], en[160], id[32];
    static const char *const ids[ARMS] = {NULL, "digits_same_rows", "digits_related",
                                          "digits_unrelated"},
                             *const sources[ARMS] = {
                                 NULL,
                                 "no further image is seen; an equivalence test at 1.5 points",
                                 "Caruana 1997, in direction; decided by the whole interval",
                                 "the sentence \"more tasks help\"; whole interval"};
    static const dlf_text claims[ARMS] = {
        {NULL, NULL},
        {"对照，%d 行：五个问题在同样的样本上一起学，错误率不变（各学各的减一起）",
         "control, %d rows: all five questions on the same rows leave the error as it is (alone "
         "less together)"},
        {"手写数字，%d 行：相关的四个问题自带数据时降低错误率（各学各的减一起）",
         "digits, %d rows: four related questions with rows of their own lower the error (alone "
         "less together)"},
        {"对照，%d 行：那些数据的标签是随机的，也降低错误率（各学各的减一起）",
         "control, %d rows: the labels of those rows are random, which lowers the error, too "
         "(alone less together)"}};
    for (int a = TOGETHER; a < ARMS; a++) {
        for (int i = 0; i < s->seeds; i++)
            value[i] = rows_cell(s, ALONE, FEW)[i] - rows_cell(s, a, FEW)[i];
        snprintf(zh, sizeof zh, claims[a].zh, sizes[FEW]);
        snprintf(en, sizeof en, claims[a].en, sizes[FEW]);
        const dlf_estimate e = dlf_estimate_of(value, s->seeds, 1);
        DLF_TRY(a == TOGETHER
                    ? dlf_add_within(run, ids[a], (dlf_text){zh, en}, e, 0.015, sources[a])
                    : dlf_add_above(run, ids[a], (dlf_text){zh, en}, e, sources[a]));
    }
    DLF_TRY(dlf_add_bound(
        run, "digits_many",
        (dlf_text){"样本多时，带着相关问题一起学也学得会：错误率不到一成",
                   "with many rows, learning beside related questions does no harm: error below a "
                   "tenth"},
        dlf_estimate_of(rows_cell(s, RELATED, SIZES - 1), s->seeds, 1), DLF_AT_MOST, 0.1,
        "answering no to all questions errs on 44 % on average"));
    for (int i = 0; i < s->seeds; i++)
        value[i] = width_cell(s, TOGETHER, NARROW)[i] - width_cell(s, ALONE, NARROW)[i];
    snprintf(zh, sizeof zh, "共享的隐藏层只有 %d 个单元：一起学反而更差（一起减各学各的）",
             widths[NARROW]);
    snprintf(en, sizeof en,
             "a shared trunk of only %d units: together is worse (together less "
             "alone)",
             widths[NARROW]);
    DLF_TRY(dlf_add_above(run, "narrow_trunk", (dlf_text){zh, en},
                          dlf_estimate_of(value, s->seeds, 1),
                          "tasks compete for units; decided by the whole interval"));
    for (int a = 0; a < ARMS; a++) {
        snprintf(id, sizeof id, "%s_few", arm_ids[a]);
        DLF_TRY(dlf_result_fact(dlf_run_result(run), id,
                                dlf_estimate_of(rows_cell(s, a, FEW), s->seeds, 1).mean, "1"));
        snprintf(id, sizeof id, "%s_many", arm_ids[a]);
        DLF_TRY(dlf_result_fact(dlf_run_result(run), id,
                                dlf_estimate_of(rows_cell(s, a, SIZES - 1), s->seeds, 1).mean,
                                "1"));
    }
    return DLF_OK;
}

static dlf_status tables(const study *s, dlf_run *run, double *gain)
{
    dlf_table *rows, *width;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "digits",
                             (dlf_text){"手写数字：五个问题的平均错误率与样本数",
                                        "digits: mean error on five questions by rows"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"rows", "1"},
                                                  {"error", "1"},
                                                  {"gain", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {NULL, NULL}},
                             &rows));
    for (int a = 0; a < ARMS; a++)
        for (int k = 0; k < SIZES; k++) {
            for (int i = 0; i < s->seeds; i++)
                gain[i] = rows_cell(s, ALONE, k)[i] - rows_cell(s, a, k)[i];
            const dlf_estimate g = dlf_estimate_of(gain, s->seeds, 1);
            DLF_TRY(dlf_table_row(rows, DLF_TXT(arm_ids[a]), DLF_NUM(sizes[k]),
                                  DLF_NUM(dlf_estimate_of(rows_cell(s, a, k), s->seeds, 1).mean),
                                  DLF_NUM(g.mean), DLF_NUM(g.lo), DLF_NUM(g.hi)));
        }
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "width",
        (dlf_text){"平均错误率与隐藏层宽度", "mean error by hidden width"},
        (const dlf_column[]){
            {"arm", NULL}, {"units", "1"}, {"error", "1"}, {"lo", "1"}, {"hi", "1"}, {NULL, NULL}},
        &width));
    for (int a = 0; a <= TOGETHER; a++)
        for (int k = 0; k < WIDTHS; k++) {
            const dlf_estimate e = dlf_estimate_of(width_cell(s, a, k), s->seeds, 1);
            DLF_TRY(dlf_table_row(width, DLF_TXT(arm_ids[a]), DLF_NUM(widths[k]), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi)));
        }
    return DLF_OK;
}

static dlf_status figures(dlf_run *run)
{
    dlf_figure f = {
        .id = "digits",
        .kind = DLF_LINES,
        .title = {"有用的不是更多问题，而是相关问题带来的数据",
                  "Not more questions help, but the rows that related ones bring"},
        .subtitle =
            {"手写数字的五个是非题；各学各的错误率减一起学的；带为种子间 95 % 区间",
             "five yes-or-no questions about digits; error alone less error together; bands: "
             "95 % over seeds"},
        .x = {{"每题的训练样本数", "training rows of a question"}, true},
        .y = {{"一起学的收益", "gain of learning together"}, false}};
    for (int a = TOGETHER; a < ARMS; a++)
        f.series[a - TOGETHER] = dlf_arm_series(a == RELATED ? DLF_MEASURED : DLF_CONTROL, "digits",
                                                "arm", arm_ids[a], "rows", "gain", arm_names[a], a);
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &f));
    dlf_figure g = {
        .id = "width",
        .kind = DLF_LINES,
        .title = {"共享的网络太小，任务就争抢", "In too small a trunk tasks compete"},
        .subtitle = {"手写数字，1000 行；各学各的：五个网络，每个都有这么宽；带为 95 % 区间",
                     "digits, 1,000 rows; alone: five networks, each of that width; bands: 95 %"},
        .x = {{"隐藏层宽度", "hidden width"}, true},
        .y = {{"五个问题的平均错误率", "mean error on five questions"}, false}};
    static const dlf_text labels[] = {{"对照：各学各的", "control: alone"},
                                      {"五题共享", "five questions share"}};
    for (int a = 0; a <= TOGETHER; a++)
        g.series[a] = dlf_arm_series(a == ALONE ? DLF_CONTROL : DLF_MEASURED, "width", "arm",
                                     arm_ids[a], "units", "error", labels[a], a);
    return dlf_result_figure(dlf_run_result(run), &g);
}

dlf_status dlf_multi_task_digits(dlf_run *run, double from, double to)
{
    study s = {.seeds = dlf_run_seeds(run)};
    const size_t S = (size_t)s.seeds;
    DLF_TRY(dlf_digits_load(&s.digits));
    dlf_status status;
    s.by_rows = malloc((ARMS * (SIZES + WIDTHS) + 1) * S * sizeof *s.by_rows);
    if (!s.by_rows) {
        status = dlf_fail(DLF_ERR_OOM, "multi-task: out of memory");
        goto done;
    }
    s.by_width = s.by_rows + ARMS * SIZES * S;
    DLF_TRY_DONE(measure(&s, run, from, to));
    double *value = s.by_width + ARMS * WIDTHS * S;
    DLF_TRY_DONE(checks(&s, run, value));
    DLF_TRY_DONE(tables(&s, run, value));
    status = figures(run);
done:
    free(s.by_rows);
    dlf_dataset_free(&s.digits);
    return status;
}
