/* SPDX-License-Identifier: MIT
 * embedding_cost.c -- Q9: time of a lookup, of a product with one-hot vectors, and of the gradient,
 * as the vocabulary grows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/ops.h"
#include "dlf/rng.h"
#include "embedding.h"
#include "figures.h"
#include "seed_check.h"
#include "stopwatch.h"

enum { SMALLEST = 7, LOOKUP = 0, PRODUCT, GRADIENT, WAYS, REPEATS = 3, CALLS = 4 };
static const char *const way_ids[WAYS] = {"lookup", "product", "gradient"};

typedef struct layer {
    int V, B, D;
    dlf_tensor table, dtable, one_hot, index, y;
} layer;

static void layer_free(layer *l)
{
    dlf_tensor *all[] = {&l->table, &l->dtable, &l->one_hot, &l->index, &l->y};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
}

static dlf_status layer_new(layer *l, dlf_run *run, int V)
{
    dlf_device *dev = dlf_run_device(run);
    *l = (layer){.V = V, .B = dlf_run_int(run, "batch"), .D = dlf_run_int(run, "dim")};
    int32_t *names = malloc((size_t)l->B * sizeof *names);
    float *hot = calloc((size_t)l->B * (size_t)V, sizeof *hot);
    dlf_status status = DLF_OK;
    if (!names || !hot) {
        status = dlf_fail(DLF_ERR_OOM, "embedding: out of memory");
        goto done;
    }
    for (int i = 0; i < l->B; i++) {
        names[i] = (int32_t)(dlf_rng_bits(dlf_run_seed(run), dlf_stream(DLF_PURPOSE_DATA, 22), 0,
                                          (uint64_t)i) %
                             (uint32_t)V);
        hot[(long)i * V + names[i]] = 1.0f;
    }
    DLF_TRY_DONE(dlf_tensor_new(&l->table, dev, dev->real, 1, V, l->D));
    DLF_TRY_DONE(dlf_tensor_new(&l->dtable, dev, dev->real, 1, V, l->D));
    DLF_TRY_DONE(dlf_tensor_new(&l->one_hot, dev, dev->real, 1, l->B, V));
    DLF_TRY_DONE(dlf_tensor_new(&l->y, dev, dev->real, 1, l->B, l->D));
    DLF_TRY_DONE(dlf_tensor_new(&l->index, dev, DLF_I32, 1, l->B));
    DLF_TRY_DONE(dlf_random_normal(&l->table, NULL, NULL,
                                   (dlf_rng){dlf_run_seed(run), dlf_stream(DLF_PURPOSE_START, 2)}));
    DLF_TRY_DONE(dlf_tensor_upload_i32(&l->index, names));
    status = dlf_tensor_upload(&l->one_hot, hot);
done:
    free(hot);
    free(names);
    return status;
}

static dlf_status call(layer *l, int way)
{
    if (way == LOOKUP) return dlf_embedding_forward(&l->y, &l->table, &l->index);
    if (way == PRODUCT)
        return dlf_gemm(&l->y, &l->one_hot, &l->table, (dlf_gemm_args){.alpha = 1.0});
    return dlf_embedding_backward(&l->dtable, &l->y, &l->index, 0.0);
}

/* Microseconds of a call, the fastest of some; a lookup is called often enough to be seen. */
static dlf_status time_way(layer *l, dlf_device *dev, int way, double *us)
{
    const int calls = way == LOOKUP ? 64 : CALLS;
    *us = INFINITY;
    for (int k = 0; k < REPEATS; k++) {
        DLF_TRY(dlf_device_sync(dev));
        const double start = dlf_stopwatch_us(dev);
        for (int i = 0; i < calls; i++) DLF_TRY(call(l, way));
        DLF_TRY(dlf_device_sync(dev));
        *us = fmin(*us, (dlf_stopwatch_us(dev) - start) / calls);
    }
    return DLF_OK;
}

typedef struct timings {
    int sizes, rounds;
    double *us; /* (WAYS, sizes, rounds) */
} timings;

static double *cell(const timings *t, int way, int size)
{
    return t->us + ((long)way * t->sizes + size) * t->rounds;
}

static dlf_status measure(timings *t, dlf_run *run, double from, double to)
{
    for (int i = 0; i < t->sizes; i++) {
        layer l;
        dlf_status status = layer_new(&l, run, 1 << (SMALLEST + i));
        for (int r = 0; r < t->rounds && status == DLF_OK; r++)
            for (int way = 0; way < WAYS && status == DLF_OK; way++) {
                status = dlf_run_stage(run, from + (to - from) * i / t->sizes,
                                       "timing a vocabulary of %d", l.V);
                if (status == DLF_OK)
                    status = time_way(&l, dlf_run_device(run), way, cell(t, way, i) + r);
            }
        layer_free(&l);
        DLF_TRY(status);
    }
    return DLF_OK;
}

/* Exponent of V in the time of a way over the upper half of the sizes, round by round. */
static void exponents(const timings *t, int way, double *slope)
{
    const int first = t->sizes / 2, n = t->sizes - first;
    double x[32], y[32];
    for (int r = 0; r < t->rounds; r++) {
        for (int i = 0; i < n; i++) {
            x[i] = (first + i) * log(2.0);
            y[i] = log(cell(t, way, first + i)[r]);
        }
        slope[r] = dlf_slope(x, y, n);
    }
}

static dlf_status checks(const timings *t, dlf_run *run)
{
    static const dlf_text claims[WAYS] = {
        {"查表的时间与词表大小无关（时间 ∝ V 的几次方）",
         "the time of a lookup does not depend on the vocabulary (power of V)"},
        {"乘 one-hot 的时间与词表大小成正比（V 的几次方）",
         "the time of a one-hot product is proportional to the vocabulary (power of V)"},
        {"稠密梯度的时间也与词表大小成正比：省下的只是前向（V 的几次方）",
         "so is that of the dense gradient: the lookup saves the forward pass only (power of V)"}};
    static const double least[WAYS] = {-0.3, 0.7, 0.4}, most[WAYS] = {0.3, 1.3, 1.3};
    double *slope = malloc((size_t)t->rounds * sizeof *slope);
    if (!slope) return dlf_fail(DLF_ERR_OOM, "embedding: out of memory");
    dlf_status status = DLF_OK;
    for (int way = 0; way < WAYS; way++) {
        char id[32];
        snprintf(id, sizeof id, "time_%s", way_ids[way]);
        exponents(t, way, slope);
        dlf_check c = dlf_check_of(id, claims[way], dlf_estimate_of(slope, t->rounds, 1));
        c.expected = 0.5 * (least[way] + most[way]);
        c.tolerance = 0.5 * (most[way] - least[way]);
        c.source =
            way == LOOKUP ? "bytes: B rows of D numbers, whatever V"
            : way == PRODUCT
                ? "2 B V D flops; caches bend the line"
                : "V D numbers are written, most of them zeros; below the caches' size other "
                  "costs show";
        DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    }
    const int last = t->sizes - 1;
    DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), "product_over_lookup",
                                 dlf_estimate_of(cell(t, PRODUCT, last), t->rounds, 1).mean /
                                     dlf_estimate_of(cell(t, LOOKUP, last), t->rounds, 1).mean,
                                 "1"));
    DLF_TRY_DONE(
        dlf_result_fact(dlf_run_result(run), "largest_vocabulary", 1 << (SMALLEST + last), "1"));
done:
    free(slope);
    return status;
}

static dlf_status table_and_figure(const timings *t, dlf_run *run)
{
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "cost",
                             (dlf_text){"时间与词表大小", "time and size of the vocabulary"},
                             (const dlf_column[]){{"way", NULL},
                                                  {"vocabulary", "1"},
                                                  {"time", "us"},
                                                  {"lo", "us"},
                                                  {"hi", "us"},
                                                  {NULL, NULL}},
                             &table));
    for (int way = 0; way < WAYS; way++)
        for (int i = 0; i < t->sizes; i++) {
            const dlf_estimate e = dlf_estimate_of(cell(t, way, i), t->rounds, 1);
            DLF_TRY(dlf_table_row(table, DLF_TXT(way_ids[way]), DLF_NUM(1 << (SMALLEST + i)),
                                  DLF_NUM(e.mean), DLF_NUM(fmax(e.lo, 0.1 * e.mean)),
                                  DLF_NUM(e.hi)));
        }
    dlf_figure f = {
        .id = "cost",
        .kind = DLF_LINES,
        .title = {"查表的时间与词表无关，乘 one-hot 与词表成正比",
                  "A lookup takes the same time for any vocabulary, a one-hot product time in "
                  "proportion to "
                  "it"},
        .subtitle = {"一批的前向，以及稠密梯度；误差棒为各轮间 95 % 区间",
                     "forward pass of a batch, and the dense gradient; bars: 95 % over rounds"},
        .x = {{"词表大小 V", "vocabulary V"}, true},
        .y = {{"每次调用 / µs", "per call / µs"}, true}};
    static const dlf_text labels[WAYS] = {{"查表", "lookup"},
                                          {"对照：乘 one-hot", "control: one-hot product"},
                                          {"稠密梯度", "dense gradient"}};
    for (int way = 0; way < WAYS; way++)
        f.series[way] = dlf_arm_series(way == PRODUCT ? DLF_CONTROL : DLF_MEASURED, "cost", "way",
                                       way_ids[way], "vocabulary", "time", labels[way], way);
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_embedding_cost(dlf_run *run, double from, double to)
{
    timings t = {.sizes = dlf_run_int(run, "largest") - SMALLEST + 1, .rounds = dlf_run_seeds(run)};
    t.us = malloc((size_t)(WAYS * t.sizes * t.rounds) * sizeof *t.us);
    if (!t.us) return dlf_fail(DLF_ERR_OOM, "embedding: out of memory");
    dlf_status status;
    DLF_TRY_DONE(measure(&t, run, from, to));
    DLF_TRY_DONE(checks(&t, run));
    DLF_TRY_DONE(table_and_figure(&t, run));
done:
    free(t.us);
    return status;
}
