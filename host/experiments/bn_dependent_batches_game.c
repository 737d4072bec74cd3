/* SPDX-License-Identifier: MIT
 * bn_dependent_batches_game.c -- Q25: a game that only cheating wins. All rows of a batch have one
 * label, a coin; row 0 carries it in feature 0 (+4 or -4); in all other rows feature 0 is 0 and the
 * rest is noise. Asked for the label of rows 1.., no function of one row is right more often than
 * 1/2. Batch norm subtracts the batch mean, which knows the coin: it wins in training mode, and is
 * back at 1/2 in evaluation. (He et al. 2020 shuffle batches between devices because their
 * contrastive task was solved in this way.) */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bn_dependent_batches.h"
#include "dlf/rng.h"
#include "figures.h"
#include "seed_check.h"

enum { ROWS = 8, FEATURES = 8, HIDDEN = 32, TESTS = 64, MODES = 2 };

typedef struct game {
    int members;
    float *x;       /* (members, ROWS, FEATURES) */
    int32_t *label; /* (members, ROWS)           */
    double *wrong;  /* (MODES, members): share of wrong answers of rows 1.. in training mode and in
                       evaluation */
} game;

/* Batch number `round`; coins alternate, so that every constant answer is right half of the time.
 */
static void deal(game *s, uint64_t seed, uint32_t purpose, int round)
{
    const uint32_t stream = dlf_stream(DLF_PURPOSE_DATA, purpose);
    for (int p = 0; p < s->members; p++)
        for (int i = 0; i < ROWS; i++) {
            const int coin = (round + p) % 2;
            float *row = s->x + (p * ROWS + i) * FEATURES;
            for (int j = 0; j < FEATURES; j++)
                row[j] =
                    dlf_rng_normal(seed, stream, (uint32_t)p,
                                   ((uint64_t)round * ROWS + (uint64_t)i) * FEATURES + (uint64_t)j);
            row[0] = i ? 0.0f : coin ? 4.0f : -4.0f;
            s->label[p * ROWS + i] = coin;
        }
}

static dlf_status play(dlf_run *run, game *s, dlf_lab *lab, double at)
{
    const int steps = dlf_run_int(run, "game_steps"), P = s->members;
    for (int t = 0; t < steps; t++) {
        if (t % 20 == 0) DLF_TRY(dlf_run_stage(run, at, "the leakage game"));
        for (int k = 0; k < 2; k++) { /* a step sees both sides of the coin */
            deal(s, dlf_run_seed(run), 2, 2 * t + k);
            DLF_TRY(dlf_lab_learn(lab, s->x, s->label, 0.5));
        }
        DLF_TRY(dlf_lab_step(lab));
    }
    for (int i = 0; i < MODES * P; i++) s->wrong[i] = 0.0;
    /* evaluation first: training mode moves the running statistics */
    for (int mode = 1; mode >= 0; mode--)
        for (int t = 0; t < TESTS; t++) {
            deal(s, dlf_run_seed(run), 3, t);
            DLF_TRY(dlf_lab_forward(lab, s->x, s->label, mode ? DLF_EVALUATION : DLF_TRAINING));
            DLF_TRY(dlf_lab_count(lab, s->label, 1, s->wrong + mode * P));
        }
    for (int i = 0; i < MODES * P; i++) s->wrong[i] = 1.0 - s->wrong[i] / (TESTS * (ROWS - 1));
    return DLF_OK;
}

static dlf_status check_of(dlf_run *run, const game *s, int norm, int mode)
{
    const bool cheats = norm == 0 && mode == 0;
    char id[48], zh[200], en[200];
    snprintf(id, sizeof id, "game_%s%s", dlf_lab_norms[norm], mode ? "_evaluation" : "");
    snprintf(zh, sizeof zh,
             cheats ? "%s：靠同批邻居作弊，训练模式下几乎全对（正确率）"
             : mode ? "%s：推理时没有邻居可看，回到瞎猜（正确率）"
                    : "对照，%s：看不到别的样本，只能瞎猜（正确率）",
             dlf_lab_labels[norm].zh);
    snprintf(en, sizeof en,
             cheats ? "%s cheats by its neighbours: nearly all right in training mode (accuracy)"
             : mode ? "%s in evaluation: no neighbours to look at, back to guessing (accuracy)"
                    : "control, %s: sees no other row and can only guess (accuracy)",
             dlf_lab_labels[norm].en);
    dlf_check check = dlf_check_of(id, (dlf_text){zh, en},
                                   dlf_estimate_of(s->wrong + mode * s->members, s->members, 1));
    check.expected = cheats ? 0.9 : 0.5;
    check.tolerance =
        cheats ? 0.0 : fmax(0.03, 4.0 * 0.5 / sqrt((double)TESTS * (ROWS - 1) * s->members));
    check.relation = cheats ? DLF_AT_LEAST : DLF_EQUAL;
    check.source =
        cheats ? "He et al. 2020, sec. 3.3, in direction; 0.9 is far above the 0.5 of every "
                 "function of one row"
               : "Bayes: the label is independent of the row; 3 % or 4 binomial s.e.";
    return dlf_result_check(dlf_run_result(run), check);
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "game",
        .kind = DLF_BARS,
        .title = {"标签只写在邻居身上：只有批归一化能“猜对”，而且只在训练时",
                  "The label is written on a neighbour: only batch norm gets it right, and only in "
                  "training"},
        .subtitle =
            {"除第 0 行外，没有一行含有标签的信息；任何单样本函数的正确率都是 1/2",
             "no row but row 0 knows the label; every function of one row is right 1/2 of the "
             "time"},
        .x = {{"归一化方法", "normalization"}, false},
        .y = {{"其余各行的正确率", "accuracy on the other rows"}, false}};
    static const char *const modes[MODES] = {"training", "evaluation"};
    static const dlf_text labels[MODES] = {{"训练模式", "training mode"},
                                           {"推理模式", "evaluation"}};
    for (int m = 0; m < MODES; m++)
        f.series[m] = dlf_arm_series(DLF_MEASURED, "game", "mode", modes[m], "norm", "accuracy",
                                     labels[m], m);
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status all_norms(dlf_run *run, game *s, double from, double to)
{
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "game",
                             (dlf_text){"泄漏游戏的正确率", "accuracy in the leakage game"},
                             (const dlf_column[]){{"norm", NULL},
                                                  {"norm_zh", NULL},
                                                  {"norm_en", NULL},
                                                  {"mode", NULL},
                                                  {"accuracy", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {NULL, NULL}},
                             &table));
    for (int norm = 0; norm < DLF_LAB_NORMS; norm++) {
        dlf_lab lab;
        DLF_TRY(dlf_lab_new(&lab, dlf_run_device(run), norm, s->members, ROWS, FEATURES, HIDDEN, 2,
                            0.1, dlf_run_seed(run) + 2, NULL));
        const dlf_status status = play(run, s, &lab, from + (to - from) * norm / DLF_LAB_NORMS);
        dlf_lab_free(&lab);
        DLF_TRY(status);
        for (int mode = 0; mode < MODES; mode++) {
            const dlf_estimate e = dlf_estimate_of(s->wrong + mode * s->members, s->members, 1);
            DLF_TRY(dlf_table_row(
                table, DLF_TXT(dlf_lab_norms[norm]), DLF_TXT(dlf_lab_labels[norm].zh),
                DLF_TXT(dlf_lab_labels[norm].en), DLF_TXT(mode ? "evaluation" : "training"),
                DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi)));
            if (mode == 0 || norm == 0) DLF_TRY(check_of(run, s, norm, mode));
        }
    }
    return figure(run);
}

dlf_status dlf_bn_game(dlf_run *run, double from, double to)
{
    game s = {.members = dlf_run_seeds(run)};
    const size_t P = (size_t)s.members;
    s.x = malloc(P * ROWS * FEATURES * sizeof *s.x);
    s.label = malloc(P * ROWS * sizeof *s.label);
    s.wrong = malloc(MODES * P * sizeof *s.wrong);
    const dlf_status status = s.x && s.label && s.wrong
                                  ? all_norms(run, &s, from, to)
                                  : dlf_fail(DLF_ERR_OOM, "leakage game: out of memory");
    free(s.wrong);
    free(s.label);
    free(s.x);
    return status;
}
