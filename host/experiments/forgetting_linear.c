/* SPDX-License-Identifier: MIT
 * forgetting_linear.c -- Q11 on linear tasks: what the second costs the first, by how many rows
 * they have and how alike they are. Controls: replay of all rows; the same task, and one orthogonal
 * to it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "figures.h"
#include "forgetting.h"
#include "least_squares.h"
#include "seed_check.h"

/* rows over dimensions; the last cell has tasks of different sizes */
static const double shares[][2] = {{0.1, 0.1}, {0.2, 0.2},         {1.0 / 3.0, 1.0 / 3.0},
                                   {0.5, 0.5}, {2.0 / 3, 2.0 / 3}, {0.8, 0.8},
                                   {0.9, 0.9}, {0.5, 1.0 / 6.0}};
static const double degrees[] = {0, 15, 30, 45, 60, 75, 90};
enum {
    CELLS = sizeof shares / sizeof shares[0],
    EQUAL = CELLS - 1, /* cells of the figure */
    LOW = 0,
    HALF = 3,
    HIGH = 6,
    ANGLES = sizeof degrees / sizeof degrees[0],
    MIDDLE = 3,
    FORGOTTEN = 0,
    LOSS,
    REPLAY,
    KINDS
};
static const double ridge = 1e-9; /* replay of 2k = d rows: a square matrix, in rounding singular */

typedef struct lab {
    int d, seeds, pairs;
    double *a, *b, *y, *w, *move, *target; /* rows (2d,d), (d,d); (2d); (d)   */
    double *random;                        /* (CELLS, KINDS, seeds)           */
    double *turned;                        /* (ANGLES, seeds)                 */
} lab;

static double *cell(const lab *l, int c, int kind)
{
    return l->random + ((long)c * KINDS + kind) * l->seeds;
}

static int rows_of(const lab *l, double share)
{
    const int k = (int)lround(share * l->d);
    return k < 1 ? 1 : k;
}

/* y = x (target - w) */
static void residual(const lab *l, const double *x, int rows)
{
    for (int i = 0; i < rows; i++) {
        l->y[i] = 0.0;
        for (int j = 0; j < l->d; j++) l->y[i] += x[i * l->d + j] * (l->target[j] - l->w[j]);
    }
}

/* The weights move to the nearest that fit the rows: where gradient descent on them ends. */
static dlf_status learn(const lab *l, const double *x, int rows, double penalty)
{
    residual(l, x, rows);
    DLF_TRY(dlf_least_squares(l->move, x, l->y, rows, l->d, penalty));
    for (int j = 0; j < l->d; j++) l->w[j] += l->move[j];
    return DLF_OK;
}

static double square(const double *x, int n)
{
    double s = 0.0;
    for (int i = 0; i < n; i++) s += x[i] * x[i];
    return s;
}

/* |P_A (target - w)|^2 / |target|^2, the loss on A's rows per row and |target|^2. */
static dlf_status forgotten(const lab *l, int rows, double *projected, double *loss)
{
    residual(l, l->a, rows);
    *loss = square(l->y, rows) / rows / square(l->target, l->d);
    DLF_TRY(dlf_least_squares(l->move, l->a, l->y, rows, l->d, 0.0));
    *projected = square(l->move, l->d) / square(l->target, l->d);
    return DLF_OK;
}

static dlf_status random_pair(const lab *l, uint64_t seed, uint32_t member, int c, int s)
{
    const int d = l->d, ka = rows_of(l, shares[c][0]), kb = rows_of(l, shares[c][1]);
    double value, loss;
    memset(l->w, 0, (size_t)d * sizeof *l->w);
    for (int i = 0; i < ka * d; i++)
        l->a[i] = dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 80), member, (uint64_t)i);
    for (int i = 0; i < kb * d; i++)
        l->b[i] = dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 81), member, (uint64_t)i);
    DLF_TRY(learn(l, l->a, ka, 0.0));
    DLF_TRY(learn(l, l->b, kb, 0.0));
    DLF_TRY(forgotten(l, ka, &value, &loss));
    cell(l, c, FORGOTTEN)[s] += value / l->pairs;
    cell(l, c, LOSS)[s] += loss / l->pairs;
    memcpy(l->a + (long)ka * d, l->b, (size_t)(kb * d) * sizeof *l->a);
    DLF_TRY(learn(l, l->a, ka + kb, ridge)); /* all rows of both */
    DLF_TRY(forgotten(l, ka, &value, &loss));
    cell(l, c, REPLAY)[s] += value / l->pairs;
    return DLF_OK;
}

/* Without loss of generality the rows of A are axes 0..k-1, and B's turn towards k..2k-1: the
 * target has no direction of its own. */
static dlf_status turned_pair(const lab *l, int angle, int s)
{
    const int d = l->d, k = d / 4;
    const double turn = degrees[angle] * M_PI / 180.0;
    double value, loss;
    memset(l->w, 0, (size_t)d * sizeof *l->w);
    memset(l->a, 0, (size_t)(k * d) * sizeof *l->a);
    memset(l->b, 0, (size_t)(k * d) * sizeof *l->b);
    for (int i = 0; i < k; i++) {
        l->a[i * d + i] = 1.0;
        l->b[i * d + i] = cos(turn);
        l->b[i * d + k + i] = sin(turn);
    }
    DLF_TRY(learn(l, l->a, k, 0.0));
    DLF_TRY(learn(l, l->b, k, 0.0));
    DLF_TRY(forgotten(l, k, &value, &loss));
    l->turned[angle * l->seeds + s] += value / l->pairs;
    return DLF_OK;
}

static dlf_status measure(const lab *l, dlf_run *run, double from, double to)
{
    const uint64_t seed = dlf_run_seed(run);
    for (int s = 0; s < l->seeds; s++)
        for (int p = 0; p < l->pairs; p++) {
            const uint32_t member = (uint32_t)(s * l->pairs + p);
            if (p % 20 == 0)
                DLF_TRY(dlf_run_stage(run, from + (to - from) * s / l->seeds, "linear tasks"));
            for (int j = 0; j < l->d; j++)
                l->target[j] =
                    dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 80), member, (uint64_t)j);
            for (int c = 0; c < CELLS; c++) DLF_TRY(random_pair(l, seed, member, c, s));
            for (int a = 0; a < ANGLES; a++) DLF_TRY(turned_pair(l, a, s));
        }
    return DLF_OK;
}

/* ---- report ---- */

static double theory(const lab *l, int c)
{
    return dlf_forgotten_random(rows_of(l, shares[c][0]), rows_of(l, shares[c][1]), l->d);
}

static dlf_status equal(dlf_run *run, const char *id, dlf_text claim, const double *value,
                        double expected, const char *source)
{
    return dlf_add_law(run, id, claim, dlf_estimate_of(value, dlf_run_seeds(run), 1), expected,
                       0.02, source);
}

static dlf_status checks(const lab *l, dlf_run *run)
{
    static const struct {
        const char *id;
        int cell;
    } checked[] = {{"few_rows", LOW}, {"half", HALF}, {"many_rows", HIGH}, {"unequal", EQUAL}};
    static const char source[] = "closed form: (1-a/d) a b (d-b) / (d(d+2)(d-1)), derived in "
                                 "forgetting.h; cf. Evron et al. 2022; 4 standard errors or 2 %";
    char zh[200], en[200];
    for (size_t i = 0; i < sizeof checked / sizeof checked[0]; i++) {
        const int c = checked[i].cell;
        snprintf(zh, sizeof zh, "两个随机任务各 %d 行与 %d 行，%d 个权重：第一个任务被遗忘的比例",
                 rows_of(l, shares[c][0]), rows_of(l, shares[c][1]), l->d);
        snprintf(en, sizeof en,
                 "two random tasks, %d and %d rows, %d weights: share of the first "
                 "that is forgotten",
                 rows_of(l, shares[c][0]), rows_of(l, shares[c][1]), l->d);
        DLF_TRY(equal(run, checked[i].id, (dlf_text){zh, en}, cell(l, c, FORGOTTEN), theory(l, c),
                      source));
    }
    DLF_TRY(equal(run, "loss_back",
                  (dlf_text){"同上（各半）：第一个任务的训练损失回升到起点的比例",
                             "the same at half: how much of its first loss comes back on the first "
                             "task's rows"},
                  cell(l, HALF, LOSS), theory(l, HALF) * l->d / rows_of(l, shares[HALF][0]),
                  "closed form: d/a times the share, Wishart mean; 4 standard errors or 2 %"));
    dlf_check c = dlf_check_of("replay_linear",
                               (dlf_text){"对照，重放第一个任务的全部样本：被遗忘的比例",
                                          "control, all rows of the first task are replayed: "
                                          "share that is forgotten"},
                               dlf_estimate_of(cell(l, HALF, REPLAY), l->seeds, 1));
    c.tolerance = 1e-6;
    c.source = "one w fits both; a ridge of 1e-9 is left";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    DLF_TRY(equal(run, "half_alike",
                  (dlf_text){"第二个任务的每一行与第一个任务成 45°：被遗忘的比例",
                             "every row of the second task at 45° to the first: share that is "
                             "forgotten"},
                  l->turned + MIDDLE * l->seeds,
                  dlf_forgotten_turned(l->d / 4, l->d, degrees[MIDDLE] * M_PI / 180.0),
                  "closed form: k/d sin^2 cos^2; 4 standard errors or 2 %"));
    return DLF_OK;
}

static dlf_status sentences(const lab *l, dlf_run *run)
{
    double *value = malloc((size_t)l->seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "forgetting: out of memory");
    dlf_status status;
    for (int s = 0; s < l->seeds; s++)
        value[s] = fmax(l->turned[s], l->turned[(ANGLES - 1) * l->seeds + s]);
    dlf_check c =
        dlf_check_of("extremes",
                     (dlf_text){"对照，第二个任务与第一个相同或正交：被遗忘的比例（较大者）",
                                "control, the second task is the first, or orthogonal to "
                                "it: share that is forgotten (the larger)"},
                     dlf_estimate_of(value, l->seeds, 1));
    c.tolerance = 1e-12;
    c.source = "closed form: sin^2 cos^2 = 0; rounding";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    for (int s = 0; s < l->seeds; s++)
        value[s] = l->turned[MIDDLE * l->seeds + s] - l->turned[(ANGLES - 1) * l->seeds + s];
    status =
        dlf_add_bound(run, "similar_forgets_less",
                      (dlf_text){"“任务越相似，忘得越少”：45° 不比 90° 忘得多（两者之差）",
                                 "\"the more alike, the less is forgotten\": no more at 45° "
                                 "than at 90° (difference)"},
                      dlf_estimate_of(value, l->seeds, 1), DLF_AT_MOST, 0.0,
                      "the sentence; Evron et al. 2022 and Ramasesh et al. 2021 say otherwise");
done:
    free(value);
    return status;
}

static dlf_status tables(const lab *l, dlf_run *run)
{
    dlf_table *random, *turned;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "rows",
                             (dlf_text){"被遗忘的比例与任务的行数", "share forgotten by rows"},
                             (const dlf_column[]){{"rows_over_d", "1"},
                                                  {"forgotten", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {"replay", "1"},
                                                  {NULL, NULL}},
                             &random));
    for (int c = 0; c < EQUAL; c++) {
        const dlf_estimate e = dlf_estimate_of(cell(l, c, FORGOTTEN), l->seeds, 1);
        DLF_TRY(dlf_table_row(random, DLF_NUM((double)rows_of(l, shares[c][0]) / l->d),
                              DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(theory(l, c)),
                              DLF_NUM(dlf_estimate_of(cell(l, c, REPLAY), l->seeds, 1).mean)));
    }
    DLF_TRY(dlf_result_table(dlf_run_result(run), "angle",
                             (dlf_text){"被遗忘的比例与任务间的夹角", "share forgotten by angle"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"degrees", "degree"},
                                                  {"forgotten", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {NULL, NULL}},
                             &turned));
    for (int a = 0; a < ANGLES; a++) {
        const dlf_estimate e = dlf_estimate_of(l->turned + a * l->seeds, l->seeds, 1);
        DLF_TRY(dlf_table_row(
            turned, DLF_TXT(a == 0 || a == ANGLES - 1 ? "extremes" : "between"),
            DLF_NUM(degrees[a]), DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
            DLF_NUM(dlf_forgotten_turned(l->d / 4, l->d, degrees[a] * M_PI / 180.0))));
    }
    return DLF_OK;
}

static dlf_status figures(dlf_run *run)
{
    dlf_figure f = {.id = "rows",
                    .kind = DLF_LINES,
                    .title = {"忘得最多的是中等大小的任务", "Tasks of half the size forget most"},
                    .subtitle = {"两个随机线性任务，行数相同，依次学习；虚线为闭式解，没有拟合参数",
                                 "two random linear tasks of equal size, one after the other; "
                                 "closed form dashed, nothing fitted"},
                    .x = {{"每个任务的行数 / 权重数", "rows of each task / weights"}, false},
                    .y = {{"第一个任务被遗忘的比例", "share of the first task forgotten"}, false}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "rows",
                               .x = "rows_over_d",
                               .y = "forgotten",
                               .lo = "lo",
                               .hi = "hi",
                               .label = {"依次学习", "one after the other"},
                               .points = true};
    dlf_theory_of(&f, 0, 1, "theory");
    f.series[2] = (dlf_series){.role = DLF_CONTROL,
                               .table = "rows",
                               .x = "rows_over_d",
                               .y = "replay",
                               .label = {"对照：重放全部旧样本", "control: all old rows replayed"},
                               .colour = 1};
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &f));
    dlf_figure g = {
        .id = "angle",
        .kind = DLF_LINES,
        .title = {"部分相似的任务忘得最多；相同或无关的任务不忘",
                  "Tasks that are half alike forget most; equal and unrelated ones nothing"},
        .subtitle = {"第二个任务的每一行都从第一个任务的行转出一个角度；虚线为闭式解",
                     "every row of the second task is a row of the first, turned; closed form "
                     "dashed"},
        .x = {{"夹角 / 度", "angle / degrees"}, false},
        .y = {{"第一个任务被遗忘的比例", "share of the first task forgotten"}, false}};
    g.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "angle",
                               .where = "arm",
                               .equals = "between",
                               .x = "degrees",
                               .y = "forgotten",
                               .lo = "lo",
                               .hi = "hi",
                               .label = {"两者之间", "in between"},
                               .points = true};
    dlf_theory_of(&g, 0, 1, "theory");
    g.series[1].where = g.series[1].equals = NULL;
    g.series[2] = (dlf_series){.role = DLF_CONTROL,
                               .table = "angle",
                               .where = "arm",
                               .equals = "extremes",
                               .x = "degrees",
                               .y = "forgotten",
                               .label = {"对照：相同、正交", "control: equal, orthogonal"},
                               .colour = 1,
                               .points = true};
    return dlf_result_figure(dlf_run_result(run), &g);
}

dlf_status dlf_forgetting_linear(dlf_run *run, double from, double to)
{
    lab l = {.d = dlf_run_int(run, "task_features"),
             .seeds = dlf_run_seeds(run),
             .pairs = dlf_run_int(run, "task_pairs")};
    const size_t d = (size_t)l.d, S = (size_t)l.seeds;
    l.random = calloc((CELLS * KINDS + ANGLES) * S, sizeof *l.random);
    l.a = malloc((3 * d * d + 5 * d) * sizeof *l.a);
    dlf_status status = DLF_OK;
    if (!l.random || !l.a) {
        status = dlf_fail(DLF_ERR_OOM, "forgetting: out of memory");
        goto done;
    }
    l.turned = l.random + CELLS * KINDS * S;
    l.b = l.a + 2 * d * d;
    l.y = l.b + d * d;
    l.w = l.y + 2 * d;
    l.move = l.w + d;
    l.target = l.move + d;
    DLF_TRY_DONE(measure(&l, run, from, to));
    DLF_TRY_DONE(checks(&l, run));
    DLF_TRY_DONE(sentences(&l, run));
    DLF_TRY_DONE(tables(&l, run));
    status = figures(run);
done:
    free(l.a);
    free(l.random);
    return status;
}
