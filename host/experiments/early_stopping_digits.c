/* SPDX-License-Identifier: MIT
 * early_stopping_digits.c -- Q10 on the digits: stop where a validation set says so, with wrong
 * labels (where it matters) and with clean ones (the control), against training to the end and
 * against weight decay chosen on the same validation set. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "classifier.h"
#include "digits_blocks.h"
#include "dlf/train.h"
#include "early_stopping_story.h"

enum { BATCH = 40, TRAIN = 400, VALID = 200, TEST = 500 };
enum { PATIENCE = 10, DECAYS = 4 };
static const double decays[DECAYS] = {0.003, 0.01, 0.03, 0.1};

/* ---- data: a block of rows per (arm, seed) ---- */

/* In the noisy arm a share of the labels of training and validation rows names another class. */
static dlf_status make_blocks(dlf_run *run, dlf_dataset *out, int32_t *base)
{
    const int S = dlf_run_seeds(run), blocks = STORY_ARMS * S;
    dlf_status status;
    dlf_dataset digits = {0};
    dlf_block *block = calloc((size_t)blocks, sizeof *block);
    if (!block) return dlf_fail(DLF_ERR_OOM, "early-stopping: out of memory");
    for (int m = 0; m < blocks; m++)
        block[m] = (dlf_block){.draw = (uint32_t)(m % S),
                               .wrong = m < S ? dlf_run_real(run, "label_noise") : 0.0};
    DLF_TRY_DONE(dlf_digits_load(&digits));
    DLF_TRY_DONE(dlf_blocks_make(out, base, &digits, dlf_run_seed(run),
                                 (dlf_block_size){TRAIN, VALID, TEST}, block, blocks));
done:
    free(block);
    dlf_dataset_free(&digits);
    return status;
}

/* ---- one population ---- */

static const int part_first[PARTS] = {0, TRAIN, TRAIN + VALID};
static const int part_count[PARTS] = {TRAIN, VALID, TEST};

static void story_free(story *s)
{
    free(s->loss);
    free(s->accuracy);
    free(s->best);
    free(s->stop);
    free(s->stopped);
    free(s->decayed);
}

static dlf_status story_new(story *s, dlf_run *run)
{
    const int steps = dlf_run_int(run, "steps");
    *s = (story){.seeds = dlf_run_seeds(run), .records = steps / STORY_EVERY + 1};
    s->members = STORY_ARMS * s->seeds;
    const size_t P = (size_t)s->members, n = (size_t)s->records * PARTS * P;
    s->loss = malloc(n * sizeof *s->loss);
    s->accuracy = malloc(n * sizeof *s->accuracy);
    s->best = calloc(P, sizeof *s->best);
    s->stop = malloc(P * sizeof *s->stop);
    s->stopped = malloc(P * sizeof *s->stopped);
    s->decayed = malloc(P * sizeof *s->decayed);
    if (!s->loss || !s->accuracy || !s->best || !s->stop || !s->stopped || !s->decayed)
        return dlf_fail(DLF_ERR_OOM, "early-stopping: out of memory");
    for (int p = 0; p < s->members; p++) s->stop[p] = s->records - 1;
    return DLF_OK;
}

typedef struct job {
    dlf_graph *g;
    dlf_train *t;
} job;

static void job_end(job *j)
{
    dlf_train_free(j->t);
    dlf_graph_free(j->g);
}

static dlf_status job_start(job *j, dlf_run *run, const dlf_dataset *data, const int32_t *base,
                            double decay)
{
    const int S = dlf_run_seeds(run), P = STORY_ARMS * S;
    dlf_status status;
    double *lr = malloc((size_t)P * sizeof *lr);
    int32_t *draw = malloc((size_t)P * sizeof *draw);
    if (!lr || !draw) {
        status = dlf_fail(DLF_ERR_OOM, "early-stopping: out of memory");
        goto done;
    }
    for (int p = 0; p < P; p++) {
        lr[p] = 0.01;
        draw[p] = p % S; /* both arms start alike and see the same batches */
    }
    const classifier_spec net = {.members = P,
                                 .batch = BATCH,
                                 .inputs = data->features,
                                 .width = dlf_run_int(run, "width"),
                                 .depth = 1,
                                 .classes = data->classes,
                                 .f = dlf_activation_of(DLF_RELU),
                                 .init = dlf_he()};
    DLF_TRY_DONE(classifier_new(&j->g, dlf_run_device(run), &net));
    DLF_TRY_DONE(dlf_graph_initialise(j->g, dlf_run_seed(run), draw));
    const dlf_train_spec spec = {.seed = dlf_run_seed(run),
                                 .draw = draw,
                                 .base = base,
                                 .lr = lr,
                                 .optimiser = dlf_sgd(0.9, decay),
                                 .rows = TRAIN};
    DLF_TRY_DONE(dlf_train_new(&j->t, j->g, data, &spec));
done:
    free(lr);
    free(draw);
    return status;
}

/* Keep the parameters wherever the validation loss is the least so far, until it has not fallen for
 * PATIENCE records: after that a member would have stopped, and is only watched. */
static dlf_status heed_validation(story *s, dlf_train *t, int record)
{
    for (int p = 0; p < s->members; p++) {
        if (record > s->stop[p]) continue;
        const double now = *story_cell(s, s->loss, record, VALID_PART, p);
        if (record == 0 || now < *story_cell(s, s->loss, s->best[p], VALID_PART, p)) {
            s->best[p] = record;
            DLF_TRY(dlf_train_keep(t, p));
        } else if (record - s->best[p] >= PATIENCE) {
            s->stop[p] = record;
        }
    }
    return DLF_OK;
}

static dlf_status watch(story *s, dlf_run *run, const dlf_dataset *data, const int32_t *base,
                        double from, double to)
{
    dlf_status status;
    job j = {NULL, NULL};
    DLF_TRY_DONE(job_start(&j, run, data, base, 0.0));
    for (int r = 0; r < s->records; r++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * r / s->records,
                                   "digits with wrong labels: step %d", r * STORY_EVERY));
        if (r) DLF_TRY_DONE(dlf_train_run(j.t, STORY_EVERY));
        for (int k = 0; k < PARTS; k++)
            DLF_TRY_DONE(dlf_train_evaluate(j.t, part_first[k], part_count[k],
                                            story_cell(s, s->loss, r, k, 0),
                                            story_cell(s, s->accuracy, r, k, 0)));
        DLF_TRY_DONE(heed_validation(s, j.t, r));
    }
    for (int p = 0; p < s->members; p++) DLF_TRY_DONE(dlf_train_restore_kept(j.t, p));
    DLF_TRY_DONE(dlf_train_evaluate(j.t, TRAIN + VALID, TEST, NULL, s->stopped));
done:
    job_end(&j);
    return status;
}

/* The same training to the end with weight decay; of each member the decay of least validation
 * loss counts. */
static dlf_status decay(story *s, dlf_run *run, const dlf_dataset *data, const int32_t *base,
                        double from, double to)
{
    const int P = s->members, steps = (s->records - 1) * STORY_EVERY;
    dlf_status status = DLF_OK;
    double *work = malloc(3 * (size_t)P * sizeof *work);
    if (!work) return dlf_fail(DLF_ERR_OOM, "early-stopping: out of memory");
    double *loss = work, *accuracy = work + P, *least = work + 2 * P;
    for (int p = 0; p < P; p++) least[p] = INFINITY;
    for (int k = 0; k < DECAYS && status == DLF_OK; k++) {
        job j = {NULL, NULL};
        status = job_start(&j, run, data, base, decays[k]);
        for (int done = 0; done < steps && status == DLF_OK; done += STORY_EVERY) {
            status = dlf_run_stage(run, from + (to - from) * (k + (double)done / steps) / DECAYS,
                                   "digits: weight decay %g", decays[k]);
            if (status == DLF_OK) status = dlf_train_run(j.t, STORY_EVERY);
        }
        if (status == DLF_OK) status = dlf_train_evaluate(j.t, TRAIN, VALID, loss, NULL);
        if (status == DLF_OK) status = dlf_train_evaluate(j.t, TRAIN + VALID, TEST, NULL, accuracy);
        for (int p = 0; p < P && status == DLF_OK; p++) {
            if (!(loss[p] < least[p])) continue;
            least[p] = loss[p];
            s->decayed[p] = accuracy[p];
        }
        job_end(&j);
    }
    free(work);
    return status;
}

dlf_status dlf_early_digits(dlf_run *run, double from, double to)
{
    dlf_status status;
    dlf_dataset data = {0};
    story s = {0};
    int32_t *base = malloc((size_t)(STORY_ARMS * dlf_run_seeds(run)) * sizeof *base);
    double *value = malloc((size_t)dlf_run_seeds(run) * sizeof *value);
    const double middle = from + 0.4 * (to - from);
    if (!base || !value) {
        status = dlf_fail(DLF_ERR_OOM, "early-stopping: out of memory");
        goto done;
    }
    DLF_TRY_DONE(story_new(&s, run));
    DLF_TRY_DONE(make_blocks(run, &data, base));
    DLF_TRY_DONE(watch(&s, run, &data, base, from, middle));
    DLF_TRY_DONE(decay(&s, run, &data, base, middle, to));
    DLF_TRY_DONE(story_report(run, &s, value));
done:
    story_free(&s);
    dlf_dataset_free(&data);
    free(base);
    free(value);
    return status;
}
