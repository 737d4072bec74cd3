/* SPDX-License-Identifier: MIT
 * dropout_digits.c -- Q31 on real images: dropout at several rates and DropConnect, on wrong
 * labels, on few rows, and where there is nothing to remember (the control), all in one population;
 * then one network, or the mean of many masked ones, at test time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "digits_blocks.h"
#include "dlf/rng.h"
#include "dlf/train.h"
#include "dropout_story.h"

enum { BATCH = 40, DEPTH = 2 };
const double dropout_rates[STORY_RATES] = {0.0, 0.1, 0.25, 0.5, 0.7, 0.85};

static void story_free(story *s)
{
    free(s->loss);
    free(s->scaled);
}

static dlf_status story_new(story *s, dlf_run *run)
{
    const int seeds = dlf_run_seeds(run), rows = dlf_run_int(run, "rows");
    *s = (story){.seeds = seeds,
                 .members = STORY_SETTINGS * STORY_ARMS * seeds,
                 .steps = dlf_run_int(run, "digits_steps"),
                 .size = {rows, rows / 2, rows * 5 / 4}};
    s->records = s->steps / 2 + 1 < STORY_RECORDS_MAX ? s->steps / 2 + 1 : STORY_RECORDS_MAX;
    const size_t n = (size_t)(s->records * STORY_PARTS * s->members);
    const size_t half = (size_t)(STORY_SETTINGS * seeds);
    s->loss = calloc(2 * n, sizeof *s->loss);
    s->scaled = calloc((STORY_COUNTS + 2) * half, sizeof *s->scaled);
    if (!s->loss || !s->scaled) return dlf_fail(DLF_ERR_OOM, "dropout: out of memory");
    s->accuracy = s->loss + n;
    for (int k = 0; k < STORY_COUNTS; k++) s->masks[k] = s->scaled + (k + 1) * half;
    s->geometric = s->scaled + (STORY_COUNTS + 1) * half;
    return DLF_OK;
}

static dlf_status make_blocks(dlf_run *run, const story *s, const dlf_dataset *source,
                              dlf_dataset *out, int32_t *base)
{
    dlf_block *block = calloc((size_t)s->members, sizeof *block);
    if (!block) return dlf_fail(DLF_ERR_OOM, "dropout: out of memory");
    for (int p = 0; p < s->members; p++) {
        const int setting = p / (STORY_ARMS * s->seeds);
        block[p] =
            (dlf_block){.draw = (uint32_t)(p % s->seeds),
                        .wrong = setting == STORY_NOISY ? dlf_run_real(run, "label_noise") : 0.0,
                        .distinct = setting == STORY_SMALL ? s->size.train / 5 : 0};
    }
    const dlf_status status =
        dlf_blocks_make(out, base, source, dlf_run_seed(run), s->size, block, s->members);
    free(block);
    return status;
}

/* ---- training ---- */

static dlf_status start(dlf_run *run, const story *s, const dlf_dataset *data, const int32_t *base,
                        dlf_graph **g, dlf_train **t)
{
    const int P = s->members;
    dlf_status status;
    double *values = calloc(3 * (size_t)P, sizeof *values);
    int32_t *draw = calloc((size_t)P, sizeof *draw);
    if (!values || !draw) {
        status = dlf_fail(DLF_ERR_OOM, "dropout: out of memory");
        goto done;
    }
    double *lr = values, *unit = values + P, *weight = values + 2 * P;
    for (int p = 0; p < P; p++) {
        const int arm = p / s->seeds % STORY_ARMS;
        lr[p] = 0.02;
        draw[p] = p % s->seeds; /* all arms of a seed start alike and see the same batches */
        unit[p] = arm == STORY_CONNECT ? 0.0 : dropout_rates[arm];
        weight[p] = arm == STORY_CONNECT ? dropout_rates[STORY_HALF] : 0.0;
    }
    const dlf_dropout_net net = {.members = P,
                                 .batch = s->size.train < BATCH ? s->size.train : BATCH,
                                 .inputs = data->features,
                                 .width = dlf_run_int(run, "digits_width"),
                                 .depth = DEPTH,
                                 .classes = data->classes,
                                 .unit = unit,
                                 .weight = weight};
    DLF_TRY_DONE(dlf_dropout_net_new(g, dlf_run_device(run), &net));
    DLF_TRY_DONE(dlf_graph_initialise(*g, dlf_run_seed(run), draw));
    const dlf_train_spec spec = {.seed = dlf_run_seed(run),
                                 .draw = draw,
                                 .base = base,
                                 .lr = lr,
                                 .optimiser = dlf_sgd(0.9, 0.0),
                                 .rows = s->size.train};
    DLF_TRY_DONE(dlf_train_new(t, *g, data, &spec));
done:
    free(values);
    free(draw);
    return status;
}

static dlf_status record(const story *s, dlf_train *t, int r)
{
    const int first[STORY_PARTS] = {0, s->size.train, s->size.train + s->size.valid};
    const int count[STORY_PARTS] = {s->size.train, s->size.valid, s->size.test};
    for (int k = 0; k < STORY_PARTS; k++)
        DLF_TRY(dlf_train_evaluate(t, first[k], count[k], story_cell(s, s->loss, r, k, 0),
                                   story_cell(s, s->accuracy, r, k, 0)));
    return DLF_OK;
}

static dlf_status train(dlf_run *run, const story *s, dlf_train *t, double from, double to)
{
    int done = 0;
    DLF_TRY(record(s, t, 0));
    for (int r = 1; r < s->records; r++) {
        const int until = (int)((int64_t)s->steps * r / (s->records - 1));
        while (done < until) {
            DLF_TRY(dlf_run_stage(run, from + (to - from) * done / s->steps,
                                  "digits with dropout: step %d", done));
            const int some = until - done < 20 ? until - done : 20;
            DLF_TRY(dlf_train_run(t, some));
            done += some;
        }
        DLF_TRY(record(s, t, r));
    }
    return DLF_OK;
}

/* ---- test time ---- */

/* Cross-entropy and errors of log-probabilities (rows, classes). */
static story_reading read_rows(const double *log_p, const int32_t *label, int rows, int classes)
{
    story_reading r = {0.0, 0.0};
    for (int i = 0; i < rows; i++) {
        const double *row = log_p + i * classes;
        int best = 0;
        for (int c = 1; c < classes; c++)
            if (row[c] > row[best]) best = c;
        r.loss -= row[label[i]] / rows;
        r.error += (best != label[i]) / (double)rows;
    }
    return r;
}

/* Members of rate STORY_HALF, all settings, all test rows at once. */
typedef struct jury {
    dlf_graph *g;
    int members, rows, classes;
    const int32_t *label;
    double *logits, *mean, *log_mean; /* (members, rows, classes) */
} jury;

static void jury_free(jury *j)
{
    dlf_graph_free(j->g);
    free(j->logits);
}

static dlf_status jury_new(jury *j, dlf_run *run, const story *s, dlf_graph *trained,
                           const dlf_dataset *source)
{
    const int P = STORY_SETTINGS * s->seeds;
    const size_t n = (size_t)(P * s->size.test * source->classes);
    double rate[256];
    if (P > 256) return dlf_fail(DLF_ERR_ARG, "dropout: at most %d seeds", 256 / STORY_SETTINGS);
    j->members = P;
    j->rows = s->size.test;
    j->classes = source->classes;
    j->label = source->label + source->train;
    j->logits = calloc(3 * n, sizeof *j->logits);
    if (!j->logits) return dlf_fail(DLF_ERR_OOM, "dropout: out of memory");
    j->mean = j->logits + n;
    j->log_mean = j->mean + n;
    for (int p = 0; p < P; p++) rate[p] = dropout_rates[STORY_HALF];
    const double zero[256] = {0.0};
    const dlf_dropout_net net = {.members = P,
                                 .batch = s->size.test,
                                 .inputs = source->features,
                                 .width = dlf_run_int(run, "digits_width"),
                                 .depth = DEPTH,
                                 .classes = source->classes,
                                 .unit = rate,
                                 .weight = zero,
                                 .shared = true};
    DLF_TRY(dlf_dropout_net_new(&j->g, dlf_run_device(run), &net));
    DLF_TRY(dlf_graph_initialise(j->g, dlf_run_seed(run) + 1, NULL)); /* masks of its own */
    DLF_TRY(dlf_tensor_upload(dlf_graph_value(j->g, dlf_graph_find(j->g, "x")),
                              source->x + (size_t)source->train * (size_t)source->features));
    DLF_TRY(dlf_tensor_upload_i32(dlf_graph_value(j->g, dlf_graph_find(j->g, "label")), j->label));
    for (int k = 0; k < STORY_SETTINGS; k++) {
        dlf_tensor to = dlf_tensor_slice(dlf_graph_parameters(j->g), k * s->seeds, s->seeds);
        const dlf_tensor of = dlf_tensor_slice(dlf_graph_parameters(trained),
                                               story_member(s, k, STORY_HALF, 0), s->seeds);
        DLF_TRY(dlf_tensor_copy(&to, &of));
    }
    return DLF_OK;
}

/* Log-probabilities of one pass into j->logits. */
static dlf_status pass(jury *j, dlf_graph_mode mode)
{
    DLF_TRY(dlf_graph_forward(j->g, mode));
    DLF_TRY(
        dlf_tensor_download_f64(j->logits, dlf_graph_value(j->g, dlf_graph_find(j->g, "logits"))));
    for (int i = 0; i < j->members * j->rows; i++)
        dlf_log_softmax(j->logits + i * j->classes, j->classes);
    return DLF_OK;
}

/* Readings of the first k masks, k a power of two; of all for the geometric mean. */
static void read_means(const story *s, jury *j, int masks)
{
    const int each = j->rows * j->classes;
    int at = 0;
    while (1 << at < masks) at++;
    if (1 << at != masks || at >= STORY_COUNTS) return;
    for (int p = 0; p < j->members; p++) {
        for (int i = 0; i < each; i++) j->logits[i] = log(j->mean[p * each + i] / masks);
        s->masks[at][p] = read_rows(j->logits, j->label, j->rows, j->classes);
        if (masks < STORY_MASKS) continue;
        for (int i = 0; i < each; i++) j->logits[i] = j->log_mean[p * each + i] / masks;
        for (int i = 0; i < j->rows; i++) dlf_log_softmax(j->logits + i * j->classes, j->classes);
        s->geometric[p] = read_rows(j->logits, j->label, j->rows, j->classes);
    }
}

static dlf_status judge(dlf_run *run, const story *s, dlf_graph *trained, const dlf_dataset *source,
                        double from, double to)
{
    dlf_status status;
    jury j = {NULL};
    DLF_TRY_DONE(jury_new(&j, run, s, trained, source));
    const int each = j.rows * j.classes;
    DLF_TRY_DONE(pass(&j, DLF_EVALUATION));
    for (int p = 0; p < j.members; p++)
        s->scaled[p] = read_rows(j.logits + p * each, j.label, j.rows, j.classes);
    for (int k = 0; k < STORY_MASKS; k++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * k / STORY_MASKS,
                                   "digits: mean of %d masks", k + 1));
        DLF_TRY_DONE(dlf_tensor_upload_i32(dlf_graph_clock(j.g), (const int32_t[]){k}));
        DLF_TRY_DONE(pass(&j, DLF_TRAINING));
        for (int i = 0; i < j.members * each; i++) {
            j.mean[i] += exp(j.logits[i]);
            j.log_mean[i] += j.logits[i];
        }
        read_means(s, &j, k + 1);
    }
done:
    jury_free(&j);
    return status;
}

/* ---- the whole ---- */

static dlf_status tell(dlf_run *run, story *s, const dlf_dataset *source, bool with_jury,
                       double from, double to)
{
    dlf_status status;
    dlf_dataset data = {0};
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    const double middle = with_jury ? from + 0.8 * (to - from) : to;
    int32_t *base = NULL;
    DLF_TRY_DONE(story_new(s, run));
    base = malloc((size_t)s->members * sizeof *base);
    if (!base) {
        status = dlf_fail(DLF_ERR_OOM, "dropout: out of memory");
        goto done;
    }
    DLF_TRY_DONE(make_blocks(run, s, source, &data, base));
    DLF_TRY_DONE(start(run, s, &data, base, &g, &t));
    DLF_TRY_DONE(train(run, s, t, from, middle));
    if (with_jury) DLF_TRY_DONE(judge(run, s, g, source, middle, to));
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    dlf_dataset_free(&data);
    free(base);
    return status;
}

/* Fashion-MNIST where it is installed, in the full run: the same question on other images. */
static dlf_status fashion(dlf_run *run, double from, double to)
{
    dlf_status status;
    story s = {0};
    dlf_dataset source = {0};
    char *place = NULL;
    if (dlf_dataset_find(&place, "fashion-mnist", dlf_run_data_dir(run)) != DLF_OK) {
        dlf_error_clear();
        return DLF_OK;
    }
    free(place);
    const dlf_dataset_request request = {.data = dlf_run_data_dir(run), .train = 5000, .test = 500};
    DLF_TRY_DONE(dlf_dataset_load(&source, "fashion-mnist", &request));
    DLF_TRY_DONE(tell(run, &s, &source, false, from, to));
    DLF_TRY_DONE(dropout_story_rates(run, &s, "fashion_rates"));
done:
    story_free(&s);
    dlf_dataset_free(&source);
    return status;
}

dlf_status dlf_dropout_digits(dlf_run *run, double from, double to)
{
    dlf_status status;
    story s = {0};
    dlf_dataset source = {0};
    const double middle = dlf_run_full(run) ? 0.5 * (from + to) : to;
    DLF_TRY_DONE(dlf_digits_load(&source));
    DLF_TRY_DONE(tell(run, &s, &source, true, from, middle));
    DLF_TRY_DONE(dropout_story_report(run, &s));
    if (dlf_run_full(run)) DLF_TRY_DONE(fashion(run, middle, to));
done:
    story_free(&s);
    dlf_dataset_free(&source);
    return status;
}
