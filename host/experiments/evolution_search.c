/* SPDX-License-Identifier: MIT
 * evolution_search.c -- Q47: what genetic algorithms are used for: choices that cannot be
 * differentiated. Two genes, learning rate and scale of the start; a generation is a population of
 * networks that are trained together. Control: as many random trials. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "digits_blocks.h"
#include "dlf/ops.h"
#include "dlf/rng.h"
#include "dlf/train.h"
#include "evolution.h"
#include "evolution_nets.h"
#include "figures.h"
#include "seed_check.h"

enum {
    POPULATION = 12,
    GENERATIONS = 5,
    GENES = 2,
    TRAIN = 300,
    VALID = 300,
    BATCH = 50,
    WIDTH = 32
};
enum { GENETIC, RANDOM_SEARCH, ARMS };
static const char *const arm_ids[ARMS] = {"genetic", "random"};
/* decimal logarithms: learning rate 1e-4 .. 1e2, scale of the weights 1e-3 .. 1e2 */
static const double low[GENES] = {-4.0, -3.0}, high[GENES] = {2.0, 2.0};

typedef struct individual {
    double gene[GENES], loss; /* loss: on the validation rows; NaN counts as worst */
} individual;

static bool better(const individual *a, const individual *b)
{
    if (isnan(a->loss)) return false;
    return isnan(b->loss) || a->loss < b->loss;
}

/* Every seed's generation is part of one population: members = seeds * POPULATION. */
typedef struct breed {
    int seeds, members;
    dlf_dataset data;
    int32_t *base, *draw;
    double *lr, *scale, *loss;
    individual *now, *next; /* (members) */
    double *best;           /* (ARMS, GENERATIONS, seeds): so far */
} breed;

static double uniform(uint64_t seed, int s, uint64_t *index)
{
    return dlf_rng_uniform(seed, dlf_stream(DLF_PURPOSE_DATA, 65), (uint32_t)s, (*index)++);
}

static void scatter(individual *i, uint64_t seed, int s, uint64_t *index)
{
    for (int g = 0; g < GENES; g++)
        i->gene[g] = low[g] + (high[g] - low[g]) * uniform(seed, s, index);
}

/* Trains all members at once and judges them on rows that they have not seen. */
static dlf_status judge(breed *b, dlf_run *run)
{
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    dlf_tensor scale = {0};
    dlf_device *dev = dlf_run_device(run);
    dlf_status status;
    for (int p = 0; p < b->members; p++) {
        b->lr[p] = pow(10.0, b->now[p].gene[0]);
        b->scale[p] = pow(10.0, b->now[p].gene[1]);
        b->draw[p] = p / POPULATION;
    }
    const classifier_spec net = dlf_evolution_net(b->members, BATCH, WIDTH, false);
    DLF_TRY_DONE(classifier_new(&g, dev, &net));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), b->draw));
    DLF_TRY_DONE(dlf_tensor_new(&scale, dev, dev->real, b->members));
    DLF_TRY_DONE(dlf_tensor_upload_f64(&scale, b->scale));
    dlf_tensor *all = dlf_graph_parameters(g);
    DLF_TRY_DONE(dlf_axpby(all, all, &scale, 1.0, 0.0));
    const dlf_train_spec spec = {.seed = dlf_run_seed(run),
                                 .draw = b->draw,
                                 .base = b->base,
                                 .lr = b->lr,
                                 .optimiser = dlf_sgd(0.0, 0.0),
                                 .rows = TRAIN};
    DLF_TRY_DONE(dlf_train_new(&t, g, &b->data, &spec));
    DLF_TRY_DONE(dlf_train_run(t, dlf_run_int(run, "search_steps")));
    DLF_TRY_DONE(dlf_train_evaluate(t, TRAIN, VALID, b->loss, NULL));
    for (int p = 0; p < b->members; p++) b->now[p].loss = b->loss[p];
done:
    dlf_tensor_free(&scale);
    dlf_train_free(t);
    dlf_graph_free(g);
    return status;
}

static const individual *tournament(const individual *of, uint64_t seed, int s, uint64_t *index)
{
    const individual *a = of + (int)(POPULATION * uniform(seed, s, index)),
                     *b = of + (int)(POPULATION * uniform(seed, s, index));
    return better(b, a) ? b : a;
}

/* The best stays; the others are children of two winners: each gene somewhere between its parents',
 * and a mutation that gets smaller from generation to generation. */
static void reproduce(breed *b, uint64_t seed, int s, int generation, uint64_t *index)
{
    const individual *from = b->now + s * POPULATION;
    individual *to = b->next + s * POPULATION;
    int best = 0;
    for (int i = 1; i < POPULATION; i++)
        if (better(from + i, from + best)) best = i;
    to[0] = from[best];
    for (int i = 1; i < POPULATION; i++) {
        const individual *mother = tournament(from, seed, s, index),
                         *father = tournament(from, seed, s, index);
        for (int g = 0; g < GENES; g++) {
            const double mix = uniform(seed, s, index);
            const double mutation =
                dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_TEST, 65), (uint32_t)s, (*index)++);
            const double value = mix * mother->gene[g] + (1.0 - mix) * father->gene[g] +
                                 0.6 / (1.0 + generation) * mutation;
            to[i].gene[g] = fmin(high[g], fmax(low[g], value));
        }
    }
}

static dlf_status evolve(breed *b, dlf_run *run, int arm, double from, double to)
{
    const uint64_t seed = dlf_run_seed(run) + (arm == RANDOM_SEARCH ? 7 : 0);
    uint64_t *index = calloc((size_t)b->seeds, sizeof *index);
    if (!index) return dlf_fail(DLF_ERR_OOM, "evolution: out of memory");
    dlf_status status = DLF_OK;
    for (int g = 0; g < GENERATIONS; g++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * g / GENERATIONS,
                                   "%s search, generation %d", arm_ids[arm], g + 1));
        for (int s = 0; s < b->seeds; s++)
            for (int i = 0; i < POPULATION && (g == 0 || arm == RANDOM_SEARCH); i++)
                scatter(b->now + s * POPULATION + i, seed, s, index + s);
        DLF_TRY_DONE(judge(b, run));
        for (int s = 0; s < b->seeds; s++) {
            double *best = b->best + ((long)arm * GENERATIONS + g) * b->seeds + s;
            *best = g ? best[-b->seeds] : INFINITY;
            for (int i = 0; i < POPULATION; i++)
                if (b->now[s * POPULATION + i].loss < *best)
                    *best = b->now[s * POPULATION + i].loss;
            if (arm == GENETIC) reproduce(b, seed, s, g, index + s);
        }
        if (arm == GENETIC)
            for (int p = 0; p < b->members; p++) b->now[p] = b->next[p];
    }
done:
    free(index);
    return status;
}

static dlf_status report(const breed *b, dlf_run *run)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "search",
                             (dlf_text){"超参数搜索：至今最好的验证损失",
                                        "search for hyperparameters: best validation loss so far"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"trials", "1"},
                                                  {"loss", "nat"},
                                                  {"lo", "nat"},
                                                  {"hi", "nat"},
                                                  {NULL, NULL}},
                             &t));
    for (int arm = 0; arm < ARMS; arm++)
        for (int g = 0; g < GENERATIONS; g++) {
            const dlf_estimate e =
                dlf_estimate_of(b->best + ((long)arm * GENERATIONS + g) * b->seeds, b->seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(arm_ids[arm]), DLF_NUM((g + 1) * POPULATION),
                                  DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi)));
        }
    double *value = malloc((size_t)b->seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "evolution: out of memory");
    const long last = (long)(GENERATIONS - 1) * b->seeds;
    for (int s = 0; s < b->seeds; s++)
        value[s] =
            b->best[(long)RANDOM_SEARCH * GENERATIONS * b->seeds + last + s] - b->best[last + s];
    const dlf_estimate e = dlf_estimate_of(value, b->seeds, 1);
    free(value);
    DLF_TRY(dlf_add_above(
        run, "search_better",
        (dlf_text){
            "同样多次试验，遗传算法找到的超参数优于随机搜索（验证损失之差）",
            "with as many trials the genetic algorithm finds better hyperparameters than random "
            "search (difference of validation losses)"},
        e,
        "Bergstra & Bengio 2012: random search is the control to beat; decided by the whole "
        "interval"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "search_trials", POPULATION * GENERATIONS, "1"));
    dlf_figure f = {
        .id = "search",
        .kind = DLF_LINES,
        .title =
            {"遗传算法搜索超参数：交叉与变异，对照是随机搜索",
             "Genetic search for hyperparameters: crossover and mutation, against random search"},
        .subtitle =
            {"手写数字；学习率与权重尺度两个基因，每代 12 个网络一起训练；带为种子间 95 % 区间",
             "digits; genes: learning rate and scale of weights, 12 networks per generation "
             "trained "
             "together; bands: 95 % over seeds"},
        .x = {{"试验次数", "trials"}, false},
        .y = {{"至今最好的验证损失 / nat", "best validation loss so far / nat"}, false}};
    static const dlf_text names[ARMS] = {{"遗传算法", "genetic"},
                                         {"对照：随机搜索", "control: random"}};
    for (int arm = 0; arm < ARMS; arm++)
        f.series[arm] = dlf_arm_series(arm ? DLF_CONTROL : DLF_MEASURED, "search", "arm",
                                       arm_ids[arm], "trials", "loss", names[arm], arm);
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status breed_new(breed *b, const dlf_run *run)
{
    *b = (breed){.seeds = dlf_run_seeds(run)};
    b->members = b->seeds * POPULATION;
    const size_t P = (size_t)b->members;
    dlf_dataset digits;
    dlf_block *block = malloc((size_t)b->seeds * sizeof *block);
    int32_t *first = malloc((size_t)b->seeds * sizeof *first);
    b->base = malloc(P * sizeof *b->base);
    b->draw = malloc(P * sizeof *b->draw);
    b->lr = malloc(3 * P * sizeof *b->lr);
    b->now = calloc(2 * P, sizeof *b->now);
    b->best = malloc((size_t)(ARMS * GENERATIONS * b->seeds) * sizeof *b->best);
    dlf_status status = dlf_digits_load(&digits);
    if (status == DLF_OK &&
        (!block || !first || !b->base || !b->draw || !b->lr || !b->now || !b->best))
        status = dlf_fail(DLF_ERR_OOM, "evolution: out of memory");
    if (status != DLF_OK) goto done;
    b->scale = b->lr + P;
    b->loss = b->scale + P;
    b->next = b->now + P;
    for (int s = 0; s < b->seeds; s++) block[s] = (dlf_block){.draw = (uint32_t)s};
    DLF_TRY_DONE(dlf_blocks_make(&b->data, first, &digits, dlf_run_seed(run),
                                 (dlf_block_size){TRAIN, VALID, 0}, block, b->seeds));
    for (int p = 0; p < b->members; p++) b->base[p] = first[p / POPULATION];
done:
    free(first);
    free(block);
    dlf_dataset_free(&digits);
    return status;
}

dlf_status dlf_evolution_search(dlf_run *run, double from, double to)
{
    breed b;
    dlf_status status;
    DLF_TRY_DONE(breed_new(&b, run));
    for (int arm = 0; arm < ARMS; arm++)
        DLF_TRY_DONE(evolve(&b, run, arm, from + (to - from) * arm / ARMS,
                            from + (to - from) * (arm + 1) / ARMS));
    status = report(&b, run);
done:
    free(b.best);
    free(b.now);
    free(b.lr);
    free(b.draw);
    free(b.base);
    dlf_dataset_free(&b.data);
    return status;
}
