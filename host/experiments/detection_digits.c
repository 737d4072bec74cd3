/* SPDX-License-Identifier: MIT
 * detection_digits.c -- Q44: a detector of handwritten digits, and what it is without each of its
 * parts: examples of nothing, hard ones among them, suppression, enough proposals. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "classifier.h"
#include "detection.h"
#include "dlf/rng.h"
#include "dlf/train.h"
#include "figures.h"
#include "seed_check.h"

typedef enum training { NO_NOTHING, RANDOM, MINED, TRAININGS } training;
typedef enum arm { FULL, RANDOM_ONLY, WITHOUT_NOTHING, WITHOUT_NMS, COARSE, ARMS } arm;
enum { BINS = 20, STRIDE = 4, BATCH = 50, C = DLF_DETECTION_CLASSES, F = DLF_WINDOW_PIXELS };

static const struct {
    training training;
    bool nms;
    int stride;
    const char *id;
    dlf_text name;
} arms[ARMS] = {{MINED, true, 1, "full", {"完整", "complete"}},
                {RANDOM, true, 1, "random", {"没有难负例", "no hard negatives"}},
                {NO_NOTHING, true, 1, "without_nothing", {"没有“背景”类", "no class of nothing"}},
                {MINED, false, 1, "without_nms", {"没有 NMS", "no suppression"}},
                {MINED, true, STRIDE, "coarse", {"候选区域太稀", "too few proposals"}}};

/* One block per seed: as many windows of digits, of random places, of hard places. */
typedef struct lab {
    int seeds, scenes, tests, each;
    dlf_dataset digits, windows;
    float *ink;
    dlf_scene *train, *test; /* (seeds, scenes), (seeds, tests)            */
    int32_t *base;
    double *lr;
    dlf_graph *learner, *scanner; /* the same network for a batch, and for all windows of a scene */
    float *pixels;                /* (seeds, WINDOWS, F)                        */
    double *logits;               /* (seeds, WINDOWS, C)                        */
    dlf_detection *found, *kept;  /* (seeds, places); of one seed and detector   */
    int *count;                   /* (seeds): of found                           */
    double *ap, *precision;       /* (ARMS, seeds), (ARMS, BINS, seeds)         */
} lab;

static void lab_free(lab *t)
{
    free(t->precision);
    free(t->ap);
    free(t->count);
    free(t->kept);
    free(t->found);
    free(t->logits);
    free(t->pixels);
    dlf_graph_free(t->scanner);
    dlf_graph_free(t->learner);
    free(t->lr);
    free(t->base);
    free(t->test);
    free(t->train);
    free(t->ink);
    dlf_dataset_free(&t->windows);
    dlf_dataset_free(&t->digits);
}

static classifier_spec network_of(int members, int batch)
{
    return (classifier_spec){.members = members,
                             .batch = batch,
                             .inputs = F,
                             .width = 64,
                             .depth = 1,
                             .classes = C,
                             .f = dlf_activation_of(DLF_RELU),
                             .init = dlf_he()};
}

/* Window (y, x) of scene k of seed s as row `row` of its block. */
static void put(lab *t, int s, int row, int k, int y, int x)
{
    const dlf_scene *scene = t->train + (long)s * t->scenes + k;
    const long at = (long)t->base[s] + row;
    dlf_scene_window(t->windows.x + at * F, scene, y, x);
    t->windows.label[at] = dlf_scene_shows(scene, y, x);
}

static void draw(lab *t, uint64_t seed)
{
    for (int s = 0; s < t->seeds; s++) {
        uint64_t at = 0;
        int row = 0;
        t->base[s] = s * 3 * t->each;
        t->lr[s] = 0.01;
        for (int k = 0; k < t->scenes; k++)
            dlf_scene_draw(t->train + (long)s * t->scenes + k, t->ink, t->digits.label, 0,
                           t->digits.train, seed, dlf_stream(DLF_PURPOSE_DATA, 95), (uint32_t)s,
                           (uint32_t)k);
        for (int k = 0; k < t->tests; k++)
            dlf_scene_draw(t->test + (long)s * t->tests + k, t->ink, t->digits.label,
                           t->digits.train, t->digits.test, seed, dlf_stream(DLF_PURPOSE_TEST, 95),
                           (uint32_t)s, (uint32_t)k);
        for (; row < t->each; at++) { /* digits in turns, at every place that counts as a hit */
            const int k = row / DLF_SCENE_OBJECTS, i = row % DLF_SCENE_OBJECTS;
            const dlf_scene *scene = t->train + (long)s * t->scenes + k;
            const uint32_t by =
                dlf_rng_bits(seed, dlf_stream(DLF_PURPOSE_START, 95), (uint32_t)s, at);
            const int y = scene->y[i] + (int)(by >> 16) % 5 - 2,
                      x = scene->x[i] + (int)(by & 0xffff) % 5 - 2;
            if (y < 0 || x < 0 || y >= DLF_WINDOWS_ALONG || x >= DLF_WINDOWS_ALONG) continue;
            put(t, s, row, k, y, x);
            if (t->windows.label[t->base[s] + row] == scene->label[i]) row++;
        }
        for (; row < 2 * t->each; at++) { /* places that show none */
            const uint32_t where =
                dlf_rng_bits(seed, dlf_stream(DLF_PURPOSE_SHUFFLE, 95), (uint32_t)s, at);
            put(t, s, row, row % t->scenes, (int)((where >> 16) % DLF_WINDOWS_ALONG),
                (int)((where & 0xffff) % DLF_WINDOWS_ALONG));
            if (t->windows.label[t->base[s] + row] == DLF_NOTHING) row++;
        }
    }
}

static dlf_status lab_new(lab *t, dlf_run *run)
{
    *t = (lab){.seeds = dlf_run_seeds(run),
               .scenes = dlf_run_int(run, "scenes"),
               .tests = dlf_run_int(run, "test_scenes")};
    t->each = DLF_SCENE_OBJECTS * t->scenes;
    DLF_TRY(dlf_digits_load(&t->digits));
    const size_t n = (size_t)t->seeds, rows = n * 3 * (size_t)t->each;
    t->windows = (dlf_dataset){
        .name = "windows", .train = (int)rows, .features = F, .classes = DLF_DETECTION_CLASSES};
    t->windows.x = malloc(rows * F * sizeof *t->windows.x);
    t->windows.label = malloc(rows * sizeof *t->windows.label);
    t->ink = malloc((size_t)(t->digits.train + t->digits.test) * F * sizeof *t->ink);
    t->train = malloc(n * (size_t)t->scenes * sizeof *t->train);
    t->test = malloc(n * (size_t)t->tests * sizeof *t->test);
    t->base = malloc(n * sizeof *t->base);
    t->lr = malloc(n * sizeof *t->lr);
    t->pixels = malloc(n * DLF_WINDOWS * F * sizeof *t->pixels);
    t->logits = malloc(n * DLF_WINDOWS * C * sizeof *t->logits);
    t->found = malloc(n * (size_t)t->tests * DLF_WINDOWS * sizeof *t->found);
    t->kept = malloc((size_t)t->tests * DLF_WINDOWS * sizeof *t->kept);
    t->count = malloc(n * sizeof *t->count);
    t->ap = malloc(ARMS * n * sizeof *t->ap);
    t->precision = malloc(ARMS * BINS * n * sizeof *t->precision);
    if (!t->windows.x || !t->windows.label || !t->ink || !t->train || !t->test || !t->base ||
        !t->lr || !t->pixels || !t->logits || !t->found || !t->kept || !t->count || !t->ap ||
        !t->precision)
        return dlf_fail(DLF_ERR_OOM, "detection: out of memory");
    dlf_digit_ink(t->ink, &t->digits);
    draw(t, dlf_run_seed(run));
    const classifier_spec learner = network_of(t->seeds, BATCH);
    classifier_spec scanner = network_of(t->seeds, DLF_WINDOWS);
    scanner.observe = true; /* keeps the logits */
    DLF_TRY(classifier_new(&t->learner, dlf_run_device(run), &learner));
    return classifier_new(&t->scanner, dlf_run_device(run), &scanner);
}

/* ---- detector ---- */

/* Logits of every window of scene k of every seed, one batch. */
static dlf_status scan(lab *t, const dlf_scene *scenes, int per_seed, int k)
{
    for (int s = 0; s < t->seeds; s++)
        for (int w = 0; w < DLF_WINDOWS; w++)
            dlf_scene_window(t->pixels + ((long)s * DLF_WINDOWS + w) * F,
                             scenes + (long)s * per_seed + k, w / DLF_WINDOWS_ALONG,
                             w % DLF_WINDOWS_ALONG);
    dlf_graph *g = t->scanner;
    DLF_TRY(dlf_tensor_upload(dlf_graph_value(g, dlf_graph_find(g, "x")), t->pixels));
    DLF_TRY(dlf_graph_forward(g, DLF_EVALUATION));
    return dlf_tensor_download_f64(t->logits, dlf_graph_value(g, dlf_graph_find(g, "logits")));
}

/* The most probable digit and its probability. */
static double best_digit(const double *logits, int *label, bool nothing)
{
    double most = logits[0], sum = 0.0;
    for (int c = 0; c < C - !nothing; c++) most = fmax(most, logits[c]);
    for (int c = 0; c < C - !nothing; c++) sum += exp(logits[c] - most);
    *label = 0;
    for (int c = 1; c < DLF_NOTHING; c++)
        if (logits[c] > logits[*label]) *label = c;
    return exp(logits[*label] - most) / sum;
}

/* The windows of nothing that look most like a digit, three of every scene, into the last third. */
static dlf_status mine(lab *t)
{
    for (int k = 0; k < t->scenes; k++) {
        DLF_TRY(scan(t, t->train, t->scenes, k));
        for (int s = 0; s < t->seeds; s++) {
            const dlf_scene *scene = t->train + (long)s * t->scenes + k;
            int worst[DLF_SCENE_OBJECTS] = {0}, kept = 0;
            double score[DLF_SCENE_OBJECTS];
            for (int w = 0; w < DLF_WINDOWS; w++) {
                int label;
                if (dlf_scene_shows(scene, w / DLF_WINDOWS_ALONG, w % DLF_WINDOWS_ALONG) !=
                    DLF_NOTHING)
                    continue;
                const double p =
                    best_digit(t->logits + ((long)s * DLF_WINDOWS + w) * C, &label, true);
                int at = kept < DLF_SCENE_OBJECTS ? kept++ : DLF_SCENE_OBJECTS;
                for (; at > 0 && score[at - 1] < p; at--)
                    if (at < DLF_SCENE_OBJECTS) {
                        score[at] = score[at - 1];
                        worst[at] = worst[at - 1];
                    }
                if (at == DLF_SCENE_OBJECTS) continue;
                score[at] = p;
                worst[at] = w;
            }
            for (int i = 0; i < DLF_SCENE_OBJECTS; i++)
                put(t, s, 2 * t->each + k * DLF_SCENE_OBJECTS + i, k, worst[i] / DLF_WINDOWS_ALONG,
                    worst[i] % DLF_WINDOWS_ALONG);
        }
    }
    return DLF_OK;
}

static dlf_status train(lab *t, dlf_run *run, training how)
{
    const int steps = dlf_run_int(run, "steps");
    dlf_train *trainer = NULL;
    const dlf_train_spec spec = {
        .seed = dlf_run_seed(run),
        .base = t->base,
        .lr = t->lr,
        .rows = (1 + (int)how) * t->each,
        .optimiser = dlf_adam(0.0),
        .schedule = {.kind = DLF_SCHEDULE_COSINE, .steps = steps, .final = 0.0}};
    dlf_status status;
    DLF_TRY_DONE(dlf_graph_initialise(t->learner, dlf_run_seed(run), NULL));
    DLF_TRY_DONE(dlf_train_new(&trainer, t->learner, &t->windows, &spec));
    DLF_TRY_DONE(dlf_train_run(trainer, steps));
    status = dlf_tensor_copy(dlf_graph_parameters(t->scanner), dlf_graph_parameters(t->learner));
done:
    dlf_train_free(trainer);
    return status;
}

/* What every seed finds at all places of its test scenes: found and count. */
static dlf_status detect(lab *t, training how)
{
    const double least = 0.05;
    memset(t->count, 0, (size_t)t->seeds * sizeof *t->count);
    for (int k = 0; k < t->tests; k++) {
        DLF_TRY(scan(t, t->test, t->tests, k));
        for (int s = 0; s < t->seeds; s++)
            for (int w = 0; w < DLF_WINDOWS; w++) {
                dlf_detection d = {
                    .scene = k, .y = w / DLF_WINDOWS_ALONG, .x = w % DLF_WINDOWS_ALONG};
                d.score = best_digit(t->logits + ((long)s * DLF_WINDOWS + w) * C, &d.label,
                                     how != NO_NOTHING);
                if (d.score >= least)
                    t->found[(long)s * t->tests * DLF_WINDOWS + t->count[s]++] = d;
            }
    }
    return DLF_OK;
}

static void judge(lab *t, arm a)
{
    const int stride = arms[a].stride;
    for (int s = 0; s < t->seeds; s++) {
        const dlf_detection *found = t->found + (long)s * t->tests * DLF_WINDOWS;
        double precision[BINS];
        int n = 0;
        for (int i = 0; i < t->count[s]; i++)
            if (found[i].y % stride == 0 && found[i].x % stride == 0) t->kept[n++] = found[i];
        n = dlf_suppress(t->kept, n, arms[a].nms ? 0.3 : 1.0);
        t->ap[a * t->seeds + s] = dlf_average_precision(t->kept, n, t->test + (long)s * t->tests,
                                                        t->tests, precision, BINS);
        for (int b = 0; b < BINS; b++)
            t->precision[((long)a * BINS + b) * t->seeds + s] = precision[b];
    }
}

/* Share of the test objects that the coarse grid reaches, per seed. */
static void reach(const lab *t, double *recall)
{
    for (int s = 0; s < t->seeds; s++) {
        int objects = 0, reached = 0;
        for (int k = 0; k < t->tests; k++) {
            const dlf_scene *scene = t->test + (long)s * t->tests + k;
            for (int i = 0; i < scene->pieces; i++) {
                if (scene->label[i] == DLF_NOTHING) continue;
                objects++;
                reached += dlf_grid_reaches(STRIDE, scene->y[i], scene->x[i]);
            }
        }
        recall[s] = (double)reached / objects;
    }
}

/* ---- report ---- */

static dlf_status checks(const lab *t, dlf_run *run)
{
    static const struct {
        arm without;
        const char *id;
        dlf_text claim;
        const char *source;
    } parts[] = {
        {RANDOM_ONLY,
         "hard_negatives",
         {"加入难负例提高平均精度（AP 之差）",
          "hard examples of nothing raise the average precision (difference)"},
         "Girshick et al. 2014 (hard negative mining), Lin et al. 2017, in direction"},
        {WITHOUT_NOTHING,
         "class_of_nothing",
         {"对照，训练时没有“背景”类：平均精度大降（AP 之差）",
          "control, trained without a class of nothing: average precision falls (difference)"},
         "windows of nothing outnumber digits two hundred to one"},
        {WITHOUT_NMS,
         "suppression",
         {"对照，没有 NMS：同一目标重复检出，平均精度大降（AP 之差）",
          "control, without suppression: one object is found many times, average precision falls "
          "(difference)"},
         "only the first hit of an object counts (Everingham et al. 2010)"}};
    double *x = malloc((size_t)t->seeds * sizeof *x);
    if (!x) return dlf_fail(DLF_ERR_OOM, "detection: out of memory");
    dlf_status status;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        for (int s = 0; s < t->seeds; s++)
            x[s] = t->ap[FULL * t->seeds + s] - t->ap[parts[i].without * t->seeds + s];
        DLF_TRY_DONE(dlf_add_above(run, parts[i].id, parts[i].claim,
                                   dlf_estimate_of(x, t->seeds, 1), parts[i].source));
    }
    reach(t, x);
    const dlf_estimate recall = dlf_estimate_of(x, t->seeds, 1);
    dlf_check c = dlf_check_of(
        "proposal_recall",
        (dlf_text){"步长为 4 的候选窗口覆盖到的目标比例（IoU ≥ 1/2）",
                   "share of objects that proposals of stride 4 reach (IoU of 1/2 or more)"},
        recall);
    c.expected = dlf_grid_recall(STRIDE);
    c.tolerance = 4.0 * sqrt(c.expected * (1.0 - c.expected) / (t->seeds * t->tests * 3.0));
    c.source = "counted over all places of a window; 4 binomial standard errors";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    DLF_TRY_DONE(dlf_add_bound(
        run, "recall_bounds",
        (dlf_text){"对照，只用这些候选窗口：平均精度不超过它们的召回率",
                   "control, those proposals alone: average precision is at most their recall"},
        dlf_estimate_of(t->ap + COARSE * t->seeds, t->seeds, 1), DLF_AT_MOST, recall.mean,
        "identity: what no proposal reaches cannot be found (Hosang et al. 2015)"));
    DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), "ap_full",
                                 dlf_estimate_of(t->ap, t->seeds, 1).mean, "1"));
    for (int a = RANDOM_ONLY; a <= WITHOUT_NMS; a++) {
        char id[40] = "ap_";
        strcat(id, arms[a].id);
        DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), id,
                                     dlf_estimate_of(t->ap + (long)a * t->seeds, t->seeds, 1).mean,
                                     "1"));
    }
    status = dlf_result_fact(dlf_run_result(run), "windows", DLF_WINDOWS, "windows");
done:
    free(x);
    return status;
}

static dlf_status table_and_figure(const lab *t, dlf_run *run)
{
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "digits",
                             (dlf_text){"精度与召回率", "precision by recall"},
                             (const dlf_column[]){{"detector", NULL},
                                                  {"recall", "1"},
                                                  {"precision", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {NULL, NULL}},
                             &table));
    dlf_figure f = {
        .id = "digits",
        .kind = DLF_LINES,
        .title =
            {"检测器是窗口分类器再加三个部件，缺一个精度就垮一段",
             "A detector is a classifier of windows and three more parts, each of which counts"},
        .subtitle = {"场景中的手写数字与半个数字，IoU ≥ 1/2 算检出；带为种子间 95 % 区间",
                     "digits and halves of digits in scenes, a hit has an IoU of 1/2 or more; "
                     "bands: 95 % over seeds"},
        .x = {{"召回率", "recall"}, false},
        .y = {{"精度（插值）", "precision (interpolated)"}, false}};
    for (int a = 0; a < ARMS; a++) {
        for (int b = 0; b < BINS; b++) {
            const dlf_estimate e =
                dlf_estimate_of(t->precision + ((long)a * BINS + b) * t->seeds, t->seeds, 1);
            DLF_TRY(dlf_table_row(table, DLF_TXT(arms[a].id), DLF_NUM((b + 1.0) / BINS),
                                  DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi)));
        }
        f.series[a] =
            dlf_arm_series(a == FULL || a == RANDOM_ONLY ? DLF_MEASURED : DLF_CONTROL, "digits",
                           "detector", arms[a].id, "recall", "precision", arms[a].name, a);
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_detection_digits(dlf_run *run, double from, double to)
{
    lab t;
    dlf_status status;
    DLF_TRY_DONE(lab_new(&t, run));
    for (int how = 0; how < TRAININGS; how++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * how / TRAININGS,
                                   "training a detector, %d of %d", how + 1, (int)TRAININGS));
        DLF_TRY_DONE(train(&t, run, how));
        DLF_TRY_DONE(detect(&t, how));
        for (int a = 0; a < ARMS; a++)
            if (arms[a].training == (training)how) judge(&t, a);
        if (how == RANDOM) DLF_TRY_DONE(mine(&t));
    }
    DLF_TRY_DONE(checks(&t, run));
    status = table_and_figure(&t, run);
done:
    lab_free(&t);
    return status;
}
