/* SPDX-License-Identifier: MIT
 * architectures_counts.c -- Q28: parameters and multiply-adds of the networks in nets.h against
 * what was published, and how much of both is 1x1 convolution. Pure arithmetic. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "architectures.h"
#include "nets.h"
#include "seed_check.h"

enum { NETS_MOST = 32 };

typedef struct counted {
    const net_info *info;
    net_totals sum;
} counted;

static const net_totals *totals_of(const counted *all, const char *id)
{
    for (int i = 0; i < n_net_infos; i++)
        if (strcmp(all[i].info->id, id) == 0) return &all[i].sum;
    return NULL;
}

static double share(int64_t part, int64_t whole)
{
    return (double)part / (double)whole;
}

/* ---- tables --------------------------------------------------------------------------------- */

static dlf_status nets_table(dlf_run *run, const counted *all)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "nets",
        (dlf_text){"各网络的参数量与乘加次数", "parameters and multiply-adds of the networks"},
        (const dlf_column[]){{"net", NULL},
                             {"name", NULL},
                             {"family", NULL},
                             {"year", "1"},
                             {"side", "pixel"},
                             {"weighted", "layer"},
                             {"parameters", "1"},
                             {"published_parameters", "1"},
                             {"gmacs", "1e9"},
                             {"pointwise_macs", "1"},
                             {"pointwise_parameters", "1"},
                             {"dense_parameters", "1"},
                             {NULL, NULL}},
        &t));
    for (int i = 0; i < n_net_infos; i++) {
        const net_info *n = all[i].info;
        const net_totals *s = &all[i].sum;
        DLF_TRY(dlf_table_row(
            t, DLF_TXT(n->id), DLF_TXT(n->name), DLF_TXT(n->family), DLF_NUM(n->year),
            DLF_NUM(n->side), DLF_NUM(s->weighted), DLF_NUM(s->parameters), DLF_NUM(n->parameters),
            DLF_NUM((double)s->macs / 1e9), DLF_NUM(share(s->pointwise_macs, s->macs)),
            DLF_NUM(share(s->pointwise_parameters, s->parameters)),
            DLF_NUM(share(s->dense_parameters, s->parameters))));
    }
    return DLF_OK;
}

static dlf_status published_table(dlf_run *run)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "published",
        (dlf_text){"已发表的数（两者都有的网络）", "published numbers, of networks that have both"},
        (const dlf_column[]){{"net", NULL}, {"parameters", "1"}, {"gmacs", "1e9"}, {NULL}}, &t));
    for (int i = 0; i < n_net_infos; i++)
        if (net_infos[i].gmacs > 0)
            DLF_TRY(dlf_table_row(t, DLF_TXT(net_infos[i].id), DLF_NUM(net_infos[i].parameters),
                                  DLF_NUM(net_infos[i].gmacs)));
    return DLF_OK;
}

/* The line on which every weight is used once: fully connected networks. */
static dlf_status once_table(dlf_run *run)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "once",
                             (dlf_text){"每个权重只用一次：全连接网络",
                                        "every weight used once: fully connected networks"},
                             (const dlf_column[]){{"parameters", "1"}, {"gmacs", "1e9"}, {NULL}},
                             &t));
    for (double p = 5e4; p < 3e8; p *= 10.0)
        DLF_TRY(dlf_table_row(t, DLF_NUM(p), DLF_NUM(p / 1e9)));
    return dlf_table_row(t, DLF_NUM(2e8), DLF_NUM(0.2));
}

static const char *const shown[] = {"lenet5_dense", "vgg16",       "googlenet",    "squeezenet",
                                    "resnet50",     "densenet121", "mobilenet_v2", "mobilenet_v1"};

static dlf_status pointwise_table(dlf_run *run, const counted *all)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "pointwise",
                             (dlf_text){"1×1 卷积所占的份额", "the share of 1x1 convolutions"},
                             (const dlf_column[]){{"net", NULL},
                                                  {"net_zh", NULL},
                                                  {"net_en", NULL},
                                                  {"share", "1"},
                                                  {"of", NULL},
                                                  {NULL}},
                             &t));
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        const net_totals *s = totals_of(all, shown[i]);
        const char *name = net_find(shown[i])->name;
        const char *dash = strchr(name, ' '); /* the variant in brackets does not matter here */
        char text[32];
        snprintf(text, sizeof text, "%.*s", (int)(dash ? dash - name : 31), name);
        const double macs = share(s->pointwise_macs, s->macs);
        const double parameters = share(s->pointwise_parameters, s->parameters);
        DLF_TRY(dlf_table_row(t, DLF_TXT(shown[i]), DLF_TXT(text), DLF_TXT(text), DLF_NUM(macs),
                              DLF_TXT("macs")));
        DLF_TRY(dlf_table_row(t, DLF_TXT(shown[i]), DLF_TXT(text), DLF_TXT(text),
                              DLF_NUM(parameters), DLF_TXT("parameters")));
    }
    return DLF_OK;
}

/* ---- figures -------------------------------------------------------------------------------- */

static dlf_status cost_figure(dlf_run *run)
{
    static const struct {
        const char *family;
        dlf_text label;
    } families[] = {
        {"lenet", {"LeNet-5（1998）", "LeNet-5 (1998)"}},
        {"alexnet", {"AlexNet（2012、2014）", "AlexNet (2012, 2014)"}},
        {"vgg", {"VGG-16、VGG-19（2014）", "VGG-16, VGG-19 (2014)"}},
        {"googlenet", {"GoogLeNet（2014）", "GoogLeNet (2014)"}},
        {"resnet", {"ResNet-18…152（2015）", "ResNet-18…152 (2015)"}},
        {"squeezenet", {"SqueezeNet（2016）", "SqueezeNet (2016)"}},
        {"densenet", {"DenseNet-121（2016）", "DenseNet-121 (2016)"}},
        {"mobilenet", {"MobileNet-v1、v2（2017、2018）", "MobileNet-v1, v2 (2017, 2018)"}}};
    enum { FAMILIES = sizeof families / sizeof families[0] };
    dlf_figure f = {
        .id = "cost",
        .kind = DLF_LINES,
        .title = {"层列表算出的参数量与乘加次数落在已发表的数上",
                  "Parameters and multiply-adds from the layer lists fall on the "
                  "published ones"},
        .subtitle = {"实心点由层列表计数；空心为已发表的数；虚线以上：权重被多个位置共用",
                     "filled: counted from the layer lists; open: published; above the "
                     "line weights are shared by many positions"},
        .x = {{"参数量", "parameters"}, true},
        .y = {{"一幅图的乘加次数（10⁹）", "multiply-adds per image (10⁹)"}, true}};
    for (int i = 0; i < FAMILIES; i++)
        f.series[i] = (dlf_series){.role = DLF_MEASURED,
                                   .table = "nets",
                                   .where = "family",
                                   .equals = families[i].family,
                                   .x = "parameters",
                                   .y = "gmacs",
                                   .label = families[i].label,
                                   .colour = i,
                                   .points = true};
    f.series[FAMILIES] = (dlf_series){.role = DLF_THEORY,
                                      .table = "published",
                                      .x = "parameters",
                                      .y = "gmacs",
                                      .label = {"已发表", "published"},
                                      .colour = FAMILIES,
                                      .points = true};
    f.series[FAMILIES + 1] =
        (dlf_series){.role = DLF_REFERENCE,
                     .table = "once",
                     .x = "parameters",
                     .y = "gmacs",
                     .label = {"对照：全连接网络，每个权重用一次",
                               "control: fully connected, every weight used once"}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status pointwise_figure(dlf_run *run)
{
    const dlf_figure f = {
        .id = "pointwise",
        .kind = DLF_BARS,
        .title = {"1×1 卷积占的乘加从零到九成半",
                  "1×1 convolutions: from nothing to 95 % of the multiply-adds"},
        .subtitle =
            {"按层列表计数；没有 1×1 卷积的 LeNet-5、VGG-16 是对照",
             "counted from the layer lists; LeNet-5 and VGG-16, which have none, are the control"},
        .x = {{"网络", "network"}, false},
        .y = {{"1×1 卷积所占份额", "share of 1×1 convolutions"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "pointwise",
                    .where = "of",
                    .equals = "macs",
                    .x = "net",
                    .y = "share",
                    .label = {"占乘加次数", "of the multiply-adds"},
                    .colour = 0},
                   {.role = DLF_MEASURED,
                    .table = "pointwise",
                    .where = "of",
                    .equals = "parameters",
                    .x = "net",
                    .y = "share",
                    .label = {"占参数量", "of the parameters"},
                    .colour = 1}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* ---- checks --------------------------------------------------------------------------------- */

static dlf_status parameter_checks(dlf_run *run, const counted *all)
{
    for (int i = 0; i < n_net_infos; i++) {
        const net_info *n = all[i].info;
        char id[48], zh[96], en[96];
        snprintf(id, sizeof id, "parameters_%s", n->id);
        snprintf(zh, sizeof zh, "%s 的参数量与发表的逐位相同", n->name);
        snprintf(en, sizeof en, "%s has the published number of parameters, to the digit", n->name);
        DLF_TRY(dlf_add_exact(run, id, (dlf_text){zh, en}, (double)all[i].sum.parameters,
                              (double)n->parameters, 0.0, n->source, NULL));
    }
    return DLF_OK;
}

/* Largest |count - printed| in units of the last printed digit, over the networks with `source`. */
static double worst_digit(const counted *all, const char *source, bool but)
{
    double worst = 0.0;
    for (int i = 0; i < n_net_infos; i++) {
        const net_info *n = all[i].info;
        if (!(n->gmacs > 0) || (strcmp(n->macs_source, source) == 0) == but) continue;
        const double off = fabs((double)all[i].sum.macs / 1e9 - n->gmacs) / n->last_digit;
        worst = fmax(worst, off);
    }
    return worst;
}

static dlf_status mac_checks(dlf_run *run, const counted *all)
{
    const char *ops = net_find("alexnet")->macs_source;
    DLF_TRY(dlf_add_exact(
        run, "macs_torchvision",
        (dlf_text){"乘加次数与 torchvision 给出的数一致（最大偏差，以其末位为单位）",
                   "multiply-adds agree with torchvision's (worst, in units of its last "
                   "digit)"},
        worst_digit(all, ops, false), 0.0, 0.5, ops,
        "half a unit of the last digit is what rounding may do"));
    return dlf_add_exact(
        run, "macs_papers",
        (dlf_text){"乘加次数与论文印出的数一致（最大偏差，以其末位为单位）",
                   "multiply-adds agree with those printed in the papers (worst, in units "
                   "of the last digit)"},
        worst_digit(all, ops, true), 0.0, 1.0,
        "He et al. 2016, table 1; Howard et al. 2017, table 4; bvlc_googlenet",
        "a whole unit: ResNet-50 is printed as 3.8, which is cut, not rounded; only the "
        "stride in the 1x1 (v1) gives the printed values");
}

static dlf_status share_checks(dlf_run *run, const counted *all)
{
    const net_totals *m = totals_of(all, "mobilenet_v1");
    const int64_t weights = m->parameters - m->norm_parameters - m->biases;
    DLF_TRY(dlf_add_exact(
        run, "mobilenet_macs",
        (dlf_text){"MobileNet-v1 的乘加有 94.86% 在 1×1 卷积里",
                   "94.86 % of MobileNet-v1's multiply-adds are 1x1 convolutions"},
        share(m->pointwise_macs, m->macs), 0.9486, 5e-5, "Howard et al. 2017, table 2", NULL));
    DLF_TRY(dlf_add_exact(
        run, "mobilenet_parameters",
        (dlf_text){"它的权重有 74.59% 在 1×1 卷积里", "and 74.59 % of its weights"},
        share(m->pointwise_parameters, weights), 0.7459, 5e-5, "Howard et al. 2017, table 2",
        "weights alone: with the classifier's biases it is 74.57 %, with batch norm 74.19 %"));
    return dlf_add_exact(
        run, "lenet_connections",
        (dlf_text){"LeNet-5 有 340,908 个连接，却只有 60,000 个可训练参数",
                   "LeNet-5 has 340,908 connections for its 60,000 trained parameters"},
        (double)totals_of(all, "lenet5_1998")->connections, 340908.0, 0.0,
        "LeCun et al. 1998, section II.B", NULL);
}

static dlf_status facts(dlf_run *run, const counted *all)
{
    dlf_result *r = dlf_run_result(run);
    const net_totals *alex = totals_of(all, "alexnet_2012"), *vgg = totals_of(all, "vgg16");
    const net_totals *squeeze = totals_of(all, "squeezenet"), *res = totals_of(all, "resnet50");
    DLF_TRY(dlf_result_fact(r, "networks", n_net_infos, "1"));
    DLF_TRY(dlf_result_fact(r, "squeeze", share(alex->parameters, squeeze->parameters), "1"));
    DLF_TRY(dlf_result_fact(r, "vgg_over_resnet", share(vgg->macs, res->macs), "1"));
    return dlf_result_fact(r, "vgg_dense", share(vgg->dense_parameters, vgg->parameters), "1");
}

dlf_status dlf_architectures_counts(dlf_run *run, double from)
{
    counted all[NETS_MOST];
    if (n_net_infos > NETS_MOST) return dlf_fail(DLF_ERR_ARG, "architectures: too many networks");
    DLF_TRY(dlf_run_stage(run, from, "counting %d networks", n_net_infos));
    for (int i = 0; i < n_net_infos; i++) {
        all[i].info = &net_infos[i];
        DLF_TRY(net_build(&net_infos[i], NULL, &all[i].sum));
    }
    DLF_TRY(nets_table(run, all));
    DLF_TRY(published_table(run));
    DLF_TRY(once_table(run));
    DLF_TRY(pointwise_table(run, all));
    DLF_TRY(parameter_checks(run, all));
    DLF_TRY(mac_checks(run, all));
    DLF_TRY(share_checks(run, all));
    DLF_TRY(facts(run, all));
    DLF_TRY(cost_figure(run));
    return pointwise_figure(run);
}
