/* SPDX-License-Identifier: MIT
 * ensemble_masks.c -- Q3, Q38: dropout, DropConnect and zoneout as ensembles of all 2^12 masked
 * networks: what the network with its masks at their means computes, against the geometric mean of
 * all of them. Equal as long as the logits are linear in every mask. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "dropout.h"
#include "ensemble.h"
#include "figures.h"
#include "seed_check.h"

enum { MASKS = 12, CLASSES = 3, TRIES = 12, UNITS = 3, STEPS = 4, INPUTS = 4 };
#define KEEP 0.5

/* Where the masks stand. */
typedef enum place {
    DROPOUT,        /* 12 relu units, masks before the logits               */
    DROPCONNECT,    /* the 12 weights between 4 inputs and 3 logits          */
    ZONEOUT_LINEAR, /* 3 recurrent linear units, 4 steps, masks on "stay"    */
    DROPOUT_INPUT,  /* 12 inputs, masks before a relu layer                  */
    ZONEOUT_TANH,   /* as above with tanh                                    */
    PLACES
} place;
static const char *const ids[PLACES] = {"dropout", "dropconnect", "zoneout_linear", "dropout_input",
                                        "zoneout_tanh"};
static const dlf_text names[PLACES] = {{"dropout，末层前", "dropout, last layer"},
                                       {"DropConnect，末层", "DropConnect, last layer"},
                                       {"zoneout，线性循环", "zoneout, linear"},
                                       {"dropout，ReLU 层前", "dropout before relu"},
                                       {"zoneout，tanh 循环", "zoneout, tanh"}};

typedef struct masked_net {
    place where;
    double x[MASKS], w[MASKS * MASKS], v[MASKS * CLASSES];
} masked_net;

static void draw(masked_net *n, uint64_t seed, uint32_t member)
{
    double *parts[] = {n->x, n->w, n->v};
    const int counts[] = {MASKS, MASKS * MASKS, MASKS * CLASSES};
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < counts[k]; i++)
            parts[k][i] = dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 170 + (uint32_t)k),
                                         member, (uint64_t)i);
}

static void read_out(const masked_net *n, const double *h, int units, double *z)
{
    for (int c = 0; c < CLASSES; c++) {
        z[c] = 0.0;
        for (int j = 0; j < units; j++) z[c] += 2.0 * n->v[c * MASKS + j] * h[j] / sqrt(units);
    }
}

/* 12 inputs to 12 relu units, masks on the inputs or on the units. */
static void feed_forward(const masked_net *n, const double *factor, double *z)
{
    double h[MASKS];
    const bool input = n->where == DROPOUT_INPUT;
    for (int i = 0; i < MASKS; i++) {
        double sum = 0.0;
        for (int j = 0; j < MASKS; j++)
            sum += n->w[i * MASKS + j] * n->x[j] * (input ? factor[j] : 1.0) / sqrt(MASKS);
        h[i] = fmax(sum, 0.0) * (input ? 1.0 : factor[i]);
    }
    read_out(n, h, MASKS, z);
}

/* h_t = m h_(t-1) + (1 - m) f(w h_(t-1) + x_t), a mask per unit and step (Krueger et al. 2017). */
static void recur(const masked_net *n, const double *factor, double *z)
{
    double h[UNITS] = {0.5, -0.5, 1.0};
    for (int t = 0; t < STEPS; t++) {
        double next[UNITS];
        for (int i = 0; i < UNITS; i++) {
            double sum = n->x[t * UNITS + i];
            for (int j = 0; j < UNITS; j++) sum += n->w[i * UNITS + j] * h[j];
            if (n->where == ZONEOUT_TANH) sum = tanh(sum);
            const double stay = KEEP * factor[t * UNITS + i];
            next[i] = stay * h[i] + (1.0 - stay) * sum;
        }
        memcpy(h, next, sizeof h);
    }
    read_out(n, h, UNITS, z);
}

static void logits(const void *user, const double *factor, double *z)
{
    const masked_net *n = user;
    if (n->where == ZONEOUT_LINEAR || n->where == ZONEOUT_TANH) {
        recur(n, factor, z);
    } else if (n->where == DROPCONNECT) {
        for (int c = 0; c < CLASSES; c++) {
            z[c] = 0.0;
            for (int j = 0; j < INPUTS; j++)
                z[c] += n->w[c * INPUTS + j] * n->x[j] * factor[c * INPUTS + j];
        }
    } else {
        feed_forward(n, factor, z);
    }
}

static dlf_status exact_check(dlf_run *run, place where, const double *value)
{
    static const dlf_text claims[] = {
        {"dropout 在最后一层之前：恰是全部子网络的几何平均（最大偏差）",
         "dropout before the last layer: exactly the geometric mean of all sub-networks (largest "
         "difference)"},
        {"DropConnect 在最后一层：恰是全部子网络的几何平均（最大偏差）",
         "DropConnect in the last layer: exactly the geometric mean (largest difference)"},
        {"zoneout、线性循环：恰是全部子网络的几何平均（最大偏差）",
         "zoneout, linear recurrence: exactly the geometric mean (largest difference)"}};
    double worst = 0.0;
    char id[40];
    for (int s = 0; s < dlf_run_seeds(run); s++)
        if (!(value[s] <= worst)) worst = value[s];
    snprintf(id, sizeof id, "exact_%s", ids[where]);
    dlf_check c = dlf_check_exact(id, claims[where], worst);
    c.tolerance = 1e-12;
    c.source = "identity, all 2^12 masks: the mean of logits that are linear in independent masks "
               "(Srivastava 2014, Wan 2013, Krueger 2017)";
    c.self_check = true;
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status broken_check(dlf_run *run, place where, const double *value)
{
    char id[40], zh[160], en[200];
    snprintf(id, sizeof id, "exact_%s", ids[where]);
    snprintf(zh, sizeof zh, "%s：也恰是全部子网络的几何平均（偏差）", names[where].zh);
    snprintf(en, sizeof en, "%s: exactly the geometric mean, too (difference)", names[where].en);
    dlf_check c =
        dlf_check_of(id, (dlf_text){zh, en}, dlf_estimate_of(value, dlf_run_seeds(run), 1));
    c.tolerance = 1e-12;
    c.source = "the identity asks for logits that are linear in the masks";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "masks",
        .kind = DLF_BARS,
        .title =
            {"对掩码是线性的网络恰好是集成；隔着非线性就只是近似",
             "A network linear in its masks is an ensemble exactly; behind a non-linearity only "
             "about"},
        .subtitle =
            {"完整网络与全部 4096 个子网络的平均之间的总变差；误差棒为种子间 95 % 区间",
             "total variation between the whole network and the mean of all 4,096 sub-networks; "
             "bars: 95 % over seeds"},
        .x = {{"掩码的位置", "where the masks stand"}, false},
        .y = {{"距离", "distance"}, false}};
    static const char *const kinds[] = {"geometric", "arithmetic"};
    static const dlf_text labels[] = {{"几何平均", "geometric mean"},
                                      {"算术平均", "arithmetic mean"}};
    for (int k = 0; k < 2; k++)
        f.series[k] = dlf_arm_series(DLF_MEASURED, "masks", "mean", kinds[k], "place", "distance",
                                     labels[k], k);
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_ensemble_masks(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "masks",
                             (dlf_text){"完整网络与全部子网络的平均",
                                        "the whole network and the mean of all sub-networks"},
                             (const dlf_column[]){{"place", NULL},
                                                  {"place_zh", NULL},
                                                  {"place_en", NULL},
                                                  {"mean", NULL},
                                                  {"distance", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {NULL, NULL}},
                             &table));
    double *value = malloc(2 * (size_t)seeds * sizeof *value), *other = value + seeds;
    if (!value) return dlf_fail(DLF_ERR_OOM, "ensemble: out of memory");
    dlf_status status = DLF_OK;
    for (int where = 0; where < PLACES; where++) {
        DLF_TRY_DONE(
            dlf_run_stage(run, from + (to - from) * where / PLACES, "all masks, %s", ids[where]));
        for (int s = 0; s < seeds; s++) {
            value[s] = other[s] = 0.0;
            for (int t = 0; t < TRIES; t++) {
                masked_net n = {.where = (place)where};
                dlf_mask_ensemble e;
                draw(&n, dlf_run_seed(run), (uint32_t)(s * TRIES + t));
                dlf_mask_ensemble_of(&e, logits, &n, MASKS, CLASSES, KEEP);
                value[s] += dlf_total_variation(e.scaled, e.geometric, CLASSES) / TRIES;
                other[s] += dlf_total_variation(e.scaled, e.arithmetic, CLASSES) / TRIES;
            }
        }
        for (int k = 0; k < 2; k++) {
            const dlf_estimate e = dlf_estimate_of(k ? other : value, seeds, 1);
            DLF_TRY_DONE(dlf_table_row(table, DLF_TXT(ids[where]), DLF_TXT(names[where].zh),
                                       DLF_TXT(names[where].en),
                                       DLF_TXT(k ? "arithmetic" : "geometric"), DLF_NUM(e.mean),
                                       DLF_NUM(e.lo), DLF_NUM(e.hi)));
        }
        status = where < DROPOUT_INPUT ? exact_check(run, (place)where, value)
                                       : broken_check(run, (place)where, value);
        if (status != DLF_OK) goto done;
    }
    status = figure(run);
done:
    free(value);
    return status;
}
