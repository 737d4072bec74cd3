/* SPDX-License-Identifier: MIT
 * relu_vs_sigmoid_findings.c -- Q36, the price, on trained networks: what the graph's observers
 * see, and the finding with its layer that follows from it: diverged, dead unit, saturated. Truth
 * is known by construction. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "observed_nets.h"
#include "relu_vs_sigmoid.h"

enum {
    DEPTH = 2,
    LAYERS = DEPTH + 1,
    BATCH = 64,
    RELU_NETS = 3,
    SIGMOID_NETS = 2,
    NETS = RELU_NETS + SIGMOID_NETS
};
/* A quarter of a layer's units silent on every image; half of its values where |f'| < max/20. */
#define DEAD      0.25
#define SATURATED 0.5

typedef struct finding_net {
    const char *id;
    dlf_text label;
    const char *truth;
    dlf_observed_net net;
} finding_net;

static const finding_net nets[NETS] = {
    {"relu", {"ReLU，学习率 0.05", "ReLU, lr 0.05"}, "none", {2.0, 0.05}},
    {"relu_fast", {"ReLU，学习率 1.6", "ReLU, lr 1.6"}, "dead unit", {2.0, 1.6}},
    {"relu_faster", {"ReLU，学习率 200", "ReLU, lr 200"}, "diverged", {2.0, 200.0}},
    {"sigmoid", {"sigmoid，σw²=1", "sigmoid, σw²=1"}, "none", {1.0, 0.2}},
    {"sigmoid_400", {"sigmoid，σw²=400", "sigmoid, σw²=400"}, "saturated", {400.0, 0.05}},
};

typedef struct finding {
    const char *name;
    int layer; /* 0: none; LAYERS: the logits */
} finding;

/* Layer 1..DEPTH with the largest share; NaN (not an activation that saturates) counts as 0. */
static int largest(const dlf_observed_layer *layer, size_t offset, double *share)
{
    int at = 0;
    *share = 0.0;
    for (int l = 1; l <= DEPTH; l++) {
        double x;
        memcpy(&x, (const char *)&layer[l] + offset, sizeof x);
        if (!(x > *share)) continue;
        *share = x;
        at = l;
    }
    return at;
}

/* The first layer whose output is not finite; all finite: the loss itself overflowed, at the
 * logits.
 */
static int blown_up(const dlf_observed_outcome *o)
{
    for (int l = 1; l <= DEPTH; l++)
        if (o->after[l].nonfinite > 0.0) return l;
    return LAYERS;
}

static finding find(const dlf_observed_outcome *o)
{
    double dead, saturated;
    const int silent = largest(o->after, offsetof(dlf_observed_layer, dead), &dead);
    const int flat = largest(o->after, offsetof(dlf_observed_layer, saturated), &saturated);
    if (o->diverged >= 0) return (finding){"diverged", blown_up(o)};
    if (dead >= DEAD) return (finding){"dead unit", silent};
    if (saturated >= SATURATED) return (finding){"saturated", flat};
    return (finding){"none", 0};
}

/* ---- tables ------------------------------------------------------------------------------------
 */

static dlf_status add_layers(dlf_table *t, const char *id, const dlf_observed_outcome *o, int S)
{
    const int stride = (int)(sizeof *o / sizeof(double));
    for (int l = 1; l <= LAYERS; l++) {
        const dlf_observed_layer *b = &o->before[l], *a = &o->after[l];
        DLF_TRY(dlf_table_row(t, DLF_TXT(id), DLF_NUM(l),
                              DLF_NUM(dlf_estimate_of(&b->zeros, S, stride).mean),
                              DLF_NUM(dlf_estimate_of(&a->zeros, S, stride).mean),
                              DLF_NUM(dlf_estimate_of(&a->dead, S, stride).mean),
                              DLF_NUM(dlf_estimate_of(&a->saturated, S, stride).mean),
                              DLF_NUM(dlf_estimate_of(&a->nonfinite, S, stride).mean),
                              DLF_NUM(dlf_estimate_of(&b->rms, S, stride).mean),
                              DLF_NUM(dlf_estimate_of(&a->rms, S, stride).mean),
                              DLF_NUM(dlf_estimate_of(&b->gradient_rms, S, stride).mean),
                              DLF_NUM(dlf_estimate_of(&a->gradient_rms, S, stride).mean)));
    }
    return DLF_OK;
}

static dlf_status tables(dlf_run *run, dlf_table **layers, dlf_table **named)
{
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "layers",
        (dlf_text){"观察器所见：每层训练前后（第 3 层是 logits）",
                   "what the observers see, per layer, before and after training (layer 3: the "
                   "logits)"},
        (const dlf_column[]){{"net", NULL},
                             {"layer", "layer"},
                             {"zeros_before", "1"},
                             {"zeros", "1"},
                             {"dead", "1"},
                             {"saturated", "1"},
                             {"nonfinite", "1"},
                             {"rms_before", "1"},
                             {"rms", "1"},
                             {"gradient_before", "1"},
                             {"gradient", "1"},
                             {NULL, NULL}},
        layers));
    return dlf_result_table(
        dlf_run_result(run), "findings",
        (dlf_text){
            "每个网络的诊断与所在层；比例取最差的层，只计未发散的运行",
            "what is named in each network, and in which layer; shares of the worst layer, of runs "
            "that did not diverge"},
        (const dlf_column[]){{"net", NULL},
                             {"net_zh", NULL},
                             {"net_en", NULL},
                             {"truth", NULL},
                             {"finding", NULL},
                             {"layer", "layer"},
                             {"where_zh", NULL},
                             {"where_en", NULL},
                             {"named", "1"},
                             {"step", "step"},
                             {"dead", "1"},
                             {"saturated", "1"},
                             {"diverged", "1"},
                             {NULL, NULL}},
        named);
}

static void layer_name(int layer, char *zh, char *en, size_t size)
{
    snprintf(zh, size, layer < LAYERS ? "第 %d 层" : "输出层 logits", layer);
    snprintf(en, size, layer < LAYERS ? "layer %d" : "the logits", layer);
}

static dlf_status named_check(dlf_run *run, const finding_net *net, double share, finding first)
{
    char id[48], zh[200], en[200];
    snprintf(id, sizeof id, "named_%s", net->id);
    if (strcmp(net->truth, "none") == 0) {
        snprintf(zh, sizeof zh, "对照（%s）：观察器不报告任何问题", net->label.zh);
        snprintf(en, sizeof en, "control (%s): the observers name nothing", net->label.en);
    } else {
        char where_zh[32], where_en[32];
        layer_name(first.layer, where_zh, where_en, sizeof where_zh);
        snprintf(zh, sizeof zh, "%s：观察器报告 %s，%s", net->label.zh, net->truth, where_zh);
        snprintf(en, sizeof en, "%s: the observers name %s, %s", net->label.en, net->truth,
                 where_en);
    }
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = id,
                    .claim = {zh, en},
                    .measured = share,
                    .lo = NAN,
                    .hi = NAN,
                    .n = dlf_run_seeds(run),
                    .expected = 1.0,
                    .tolerance = 0.2,
                    .relation = DLF_AT_LEAST,
                    .source = "rules proposed here: 25 % of a layer's units 0 on every image; 50 % "
                              "of its values where |f'| < max|f'|/20; loss not a number",
                    .note = "share of seeds in which exactly this is named"});
}

static dlf_status add_finding(dlf_run *run, dlf_table *t, const finding_net *net,
                              const dlf_observed_outcome *o)
{
    const int S = dlf_run_seeds(run);
    finding shown = find(&o[0]); /* of the first seed in which the truth is named, else seed 0 */
    bool right_seen = false;
    double dead = 0.0, saturated = 0.0, share;
    int right = 0, diverged = 0, step = -1;
    for (int s = 0; s < S; s++) {
        const finding f = find(&o[s]);
        const bool is_right = strcmp(f.name, net->truth) == 0;
        right += is_right;
        if (is_right && !right_seen) {
            shown = f;
            step = o[s].diverged;
            right_seen = true;
        }
        diverged += o[s].diverged >= 0;
        if (o[s].diverged >= 0) continue; /* frozen in mid-flight: its other shares mean nothing */
        largest(o[s].after, offsetof(dlf_observed_layer, dead), &share);
        dead += share;
        largest(o[s].after, offsetof(dlf_observed_layer, saturated), &share);
        saturated += share;
    }
    const int alive = S > diverged ? S - diverged : 1;
    char where_zh[32] = "-", where_en[32] = "-";
    if (shown.layer) layer_name(shown.layer, where_zh, where_en, sizeof where_zh);
    DLF_TRY(dlf_table_row(t, DLF_TXT(net->id), DLF_TXT(net->label.zh), DLF_TXT(net->label.en),
                          DLF_TXT(net->truth), DLF_TXT(shown.name), DLF_NUM(shown.layer),
                          DLF_TXT(where_zh), DLF_TXT(where_en), DLF_NUM((double)right / S),
                          DLF_NUM(step), DLF_NUM(dead / alive), DLF_NUM(saturated / alive),
                          DLF_NUM((double)diverged / S)));
    return named_check(run, net, (double)right / S, shown);
}

static dlf_status figure(dlf_run *run)
{
    static const struct {
        const char *column;
        dlf_text label;
    } bars[] = {{"dead", {"dead unit：死亡单元的比例", "dead units: share of the layer"}},
                {"saturated", {"saturated：饱和值的比例", "saturated: share of the values"}},
                {"diverged", {"diverged：发散的种子比例", "diverged: share of the seeds"}}};
    dlf_figure f = {
        .id = "findings",
        .kind = DLF_BARS,
        .title = {"观察器分得清三种病：死亡、饱和、发散；健康网络不报警",
                  "The observers tell the three diseases apart, dead, saturated, diverged; healthy "
                  "networks are silent"},
        .subtitle = {"2 × 64，手写数字，训练后；最差的层",
                     "2 × 64, digits, after training; the worst layer"},
        .x = {{"网络", "network"}, false},
        .y = {{"比例", "share"}, false}};
    for (int i = 0; i < 3; i++)
        f.series[i] = (dlf_series){.role = DLF_MEASURED,
                                   .table = "findings",
                                   .x = "net",
                                   .y = bars[i].column,
                                   .label = bars[i].label,
                                   .colour = i};
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* ---- the run -----------------------------------------------------------------------------------
 */

/* Nets first..first+count-1, one graph. */
static dlf_status train(dlf_run *run, const dlf_dataset *digits, dlf_activation_kind kind,
                        int first, int count, dlf_observed_outcome *out, double from, double to)
{
    dlf_observed_net net[NETS];
    for (int i = 0; i < count; i++) net[i] = nets[first + i].net;
    const int steps = dlf_run_int(run, "steps") / 2;
    const dlf_observed_job job = {.what = "observers",
                                  .kind = kind,
                                  .depth = DEPTH,
                                  .width = dlf_run_int(run, "digits_width"),
                                  .batch = BATCH,
                                  .steps = steps,
                                  .net = net,
                                  .nets = count,
                                  .seeds = dlf_run_seeds(run),
                                  .observe = true};
    return dlf_observed_run(run, digits, &job, out + first * dlf_run_seeds(run), NULL, from, to);
}

dlf_status dlf_relu_findings(dlf_run *run, const dlf_dataset *digits, double from, double to)
{
    const int S = dlf_run_seeds(run);
    const double middle = 0.5 * (from + to);
    dlf_status status;
    dlf_table *layers, *named;
    dlf_observed_outcome *o = malloc((size_t)(NETS * S) * sizeof *o);
    if (!o) return dlf_fail(DLF_ERR_OOM, "findings: out of memory");
    DLF_TRY_DONE(train(run, digits, DLF_RELU, 0, RELU_NETS, o, from, middle));
    DLF_TRY_DONE(train(run, digits, DLF_SIGMOID, RELU_NETS, SIGMOID_NETS, o, middle, to));
    DLF_TRY_DONE(tables(run, &layers, &named));
    for (int i = 0; i < NETS; i++) {
        DLF_TRY_DONE(add_layers(layers, nets[i].id, o + i * S, S));
        DLF_TRY_DONE(add_finding(run, named, &nets[i], o + i * S));
    }
    DLF_TRY_DONE(figure(run));
done:
    free(o);
    return status;
}
