/* SPDX-License-Identifier: MIT
 * hidden_layers_networks.c -- Q17: trained networks against the same networks before training,
 * layer by layer. On the digits, and on Fashion-MNIST where it is installed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "hidden_layers.h"
#include "seed_check.h"

enum { COLLAPSE, NO_DECAY, PLAIN, ARMS };
static const dlf_hidden_arm arms[ARMS] = {
    {"collapse", {"批归一化 + 权重衰减", "batch norm + weight decay"}, true, 1e-2, 0.1},
    {"no_decay", {"对照：批归一化，无衰减", "control: batch norm, no decay"}, true, 0.0, 0.1},
    {"plain", {"无批归一化，有衰减", "no batch norm, weight decay"}, false, 5e-3, 0.05},
};

/* What is probed: the curves of the figures. */
enum { TRAINED, FREE, RANDOM, FASHION_TRAINED, FASHION_RANDOM, CURVES };
static const struct {
    const char *id;
    dlf_text label;
    dlf_role role;
} curves[CURVES] = {
    {"trained", {"训练后", "trained"}, DLF_MEASURED},
    {"free", {"训练后，无衰减", "trained, no decay"}, DLF_MEASURED},
    {"random", {"对照：训练前", "control: before training"}, DLF_CONTROL},
    {"fashion_trained", {"训练后，Fashion-MNIST", "trained, Fashion-MNIST"}, DLF_MEASURED},
    {"fashion_random",
     {"对照：训练前，Fashion-MNIST", "control: before, Fashion-MNIST"},
     DLF_CONTROL},
};

#define PROBE(part) offsetof(dlf_hidden_probe, part)

typedef struct probed {
    int seeds, depth;
    dlf_hidden_probe *of[CURVES]; /* (depth+1, seeds); NULL: not measured */
} probed;

static double probe_at(const probed *q, int curve, int layer, int seed, size_t offset)
{
    const dlf_hidden_probe *p = &q->of[curve][layer * q->seeds + seed];
    return *(const double *)(const void *)((const char *)p + offset);
}

static dlf_estimate estimate_at(const probed *q, int curve, int layer, size_t offset)
{
    const char *first = (const char *)&q->of[curve][layer * q->seeds] + offset;
    return dlf_estimate_of((const double *)(const void *)first, q->seeds,
                           (int)(sizeof(dlf_hidden_probe) / sizeof(double)));
}

/* ---- table and figures ---- */

static dlf_status layer_table(dlf_run *run, const probed *q)
{
    dlf_table *table;
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "layers",
                         (dlf_text){"每一层里线性可读出的内容", "what linear maps read off layers"},
                         (const dlf_column[]){{"arm", NULL},
                                              {"layer", "layer"},
                                              {"accuracy", "1"},
                                              {"accuracy_lo", "1"},
                                              {"accuracy_hi", "1"},
                                              {"fuzziness", "1"},
                                              {"fuzziness_lo", "1"},
                                              {"fuzziness_hi", "1"},
                                              {"pixels", "1"},
                                              {"pixels_lo", "1"},
                                              {"pixels_hi", "1"},
                                              {NULL, NULL}},
                         &table));
    for (int c = 0; c < CURVES; c++)
        for (int l = 0; q->of[c] && l <= q->depth; l++) {
            const dlf_estimate a = estimate_at(q, c, l, PROBE(accuracy)),
                               f = estimate_at(q, c, l, PROBE(fuzziness)),
                               p = estimate_at(q, c, l, PROBE(pixels));
            DLF_TRY(dlf_table_row(table, DLF_TXT(curves[c].id), DLF_NUM(l), DLF_NUM(a.mean),
                                  DLF_NUM(a.lo), DLF_NUM(a.hi), DLF_NUM(f.mean),
                                  DLF_NUM(fmax(f.lo, 0.5 * f.mean)), DLF_NUM(f.hi), DLF_NUM(p.mean),
                                  DLF_NUM(p.lo), DLF_NUM(p.hi)));
        }
    return DLF_OK;
}

static dlf_status layer_figure(dlf_run *run, const probed *q, dlf_figure figure, const char *y,
                               const char *lo, const char *hi)
{
    dlf_series *s = figure.series;
    figure.kind = DLF_LINES;
    figure.x = (dlf_axis){{"层（0 为输入）", "layer (0: the input)"}, false};
    figure.subtitle = (dlf_text){"带批归一化的网络，手写数字；误差带为种子间 95% 区间",
                                 "networks with batch norm, digits; bands: 95 % over seeds"};
    for (int c = 0; c < CURVES; c++) {
        if (!q->of[c]) continue;
        *s++ = (dlf_series){.role = curves[c].role,
                            .table = "layers",
                            .where = "arm",
                            .equals = curves[c].id,
                            .x = "layer",
                            .y = y,
                            .lo = lo,
                            .hi = hi,
                            .label = curves[c].label,
                            .colour = c};
    }
    return dlf_result_figure(dlf_run_result(run), &figure);
}

static dlf_status figures(dlf_run *run, const probed *q)
{
    DLF_TRY(layer_figure(
        run, q,
        (dlf_figure){
            .id = "probes",
            .title = {"训练后越深的层越线性可分；随机层正相反",
                      "Trained layers make the classes linearly separable; random layers do "
                      "the opposite"},
            .y = {{"线性探针的测试正确率", "test accuracy of a linear probe"}, false}},
        "accuracy", "accuracy_lo", "accuracy_hi"));
    DLF_TRY(layer_figure(
        run, q,
        (dlf_figure){
            .id = "separation",
            .title =
                {"训练后的每一层都把类的模糊度乘以大致相同的因子",
                 "Every trained layer multiplies the fuzziness of the classes by about the same "
                 "factor"},
            .y = {{"模糊度 tr(S_W S_B⁺)", "fuzziness tr(S_W S_B⁺)"}, true}},
        "fuzziness", "fuzziness_lo", "fuzziness_hi"));
    return layer_figure(
        run, q,
        (dlf_figure){
            .id = "pixels",
            .title = {"输入的细节逐层丢失，训练与否相差不大",
                      "Layer by layer the picture is lost, with or without training"},
            .y = {{"可线性恢复的像素方差比例", "share of pixel variance recovered"}, false}},
        "pixels", "pixels_lo", "pixels_hi");
}

/* ---- checks ---- */

/* Per seed: layer a of curve a minus layer b of curve b. */
static dlf_status difference(dlf_estimate *out, const probed *q, int curve_a, int layer_a,
                             int curve_b, int layer_b, size_t offset)
{
    double *value = malloc((size_t)q->seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "probes: out of memory");
    for (int s = 0; s < q->seeds; s++)
        value[s] =
            probe_at(q, curve_a, layer_a, s, offset) - probe_at(q, curve_b, layer_b, s, offset);
    *out = dlf_estimate_of(value, q->seeds, 1);
    free(value);
    return DLF_OK;
}

/* Is the difference above 0, by the whole interval? */
static dlf_status above_zero(dlf_run *run, const char *id, dlf_text claim, dlf_estimate e,
                             const char *source)
{
    dlf_check c = dlf_check_of(id, claim, e);
    c.relation = DLF_AT_LEAST;
    c.source = source;
    c.has_verdict = true;
    c.verdict = dlf_verdict_above(e, 0.0);
    return dlf_result_check(dlf_run_result(run), c);
}

/* Of every seed: correlation of ln fuzziness with the layer, and its slope. */
static dlf_status law(const probed *q, int curve, dlf_estimate *correlation, dlf_estimate *slope)
{
    const int n = q->depth + 1;
    double *work = malloc((size_t)(2 * q->seeds + 2 * n) * sizeof *work);
    if (!work) return dlf_fail(DLF_ERR_OOM, "probes: out of memory");
    double *x = work + 2 * q->seeds, *y = x + n;
    for (int s = 0; s < q->seeds; s++) {
        for (int l = 0; l < n; l++) {
            x[l] = l;
            y[l] = log(probe_at(q, curve, l, s, PROBE(fuzziness)));
        }
        const double b = dlf_slope(x, y, n), back = dlf_slope(y, x, n);
        work[s] = copysign(sqrt(b * back), b);
        work[q->seeds + s] = b;
    }
    *correlation = dlf_estimate_of(work, q->seeds, 1);
    *slope = dlf_estimate_of(work + q->seeds, q->seeds, 1);
    free(work);
    return DLF_OK;
}

static dlf_status law_checks(dlf_run *run, const probed *q)
{
    dlf_estimate correlation = {.mean = NAN}, slope = {.mean = NAN};
    dlf_result *r = dlf_run_result(run);
    static const struct {
        const char *id, *fact;
        dlf_text claim;
        int curve;
    } row[] = {
        {"law_free",
         "factor_free",
         {"训练后（无衰减）模糊度的对数随层数线性下降（相关系数）",
          "after training without decay the logarithm of the fuzziness falls linearly with the "
          "layer "
          "(correlation)"},
         FREE},
        {"law_trained",
         "factor_trained",
         {"训练后（有衰减）也是如此", "and after training with decay"},
         TRAINED},
    };
    for (int i = 0; i < 2; i++) {
        DLF_TRY(law(q, row[i].curve, &correlation, &slope));
        dlf_check c = dlf_check_of(row[i].id, row[i].claim, correlation);
        c.expected = -0.95;
        c.relation = DLF_AT_MOST;
        c.source = "He & Su 2023: every layer multiplies the fuzziness by one factor";
        DLF_TRY(dlf_result_check(r, c));
        DLF_TRY(dlf_result_fact(r, row[i].fact, exp(slope.mean), "1"));
    }
    DLF_TRY(law(q, RANDOM, &correlation, &slope));
    DLF_TRY(dlf_result_fact(r, "factor_random", exp(slope.mean), "1"));
    return above_zero(
        run, "law_random",
        (dlf_text){"对照：随机层使模糊度增大（对数斜率）",
                   "control: random layers raise the fuzziness (slope of its logarithm)"},
        slope, "the kernel of random layers draws all inputs together; ordering");
}

static dlf_status probe_checks(dlf_run *run, const probed *q, const dlf_hidden_story *net)
{
    const int L = q->depth;
    dlf_estimate e;
    DLF_TRY(difference(&e, q, TRAINED, L, TRAINED, 0, PROBE(accuracy)));
    DLF_TRY(
        above_zero(run, "probe_trained",
                   (dlf_text){"训练后，最后一个隐藏层的线性探针比输入的更准（差）",
                              "after training a linear probe on the last hidden layer beats one "
                              "on the input (difference)"},
                   e, "Alain & Bengio 2016; ordering, same test rows"));
    DLF_TRY(difference(&e, q, RANDOM, 0, RANDOM, L, PROBE(accuracy)));
    DLF_TRY(
        above_zero(run, "probe_random",
                   (dlf_text){"对照：训练前，最后一个隐藏层的探针不如输入的（差）",
                              "control: before training a probe on the last hidden layer is worse "
                              "than one on the input (difference)"},
                   e, "random layers of one width draw inputs together; ordering"));
    DLF_TRY(difference(&e, q, RANDOM, L, TRAINED, L, PROBE(pixels)));
    DLF_TRY(
        above_zero(run, "pixels_trained",
                   (dlf_text){"训练使最后一层比随机层丢失更多像素细节（差）",
                              "training makes the last layer lose more of the picture than random "
                              "layers do (difference)"},
                   e, "what information-bottleneck accounts suggest; ordering"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "pixels_trained",
                            estimate_at(q, TRAINED, L, PROBE(pixels)).mean, "1"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "pixels_free",
                            estimate_at(q, FREE, L, PROBE(pixels)).mean, "1"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "pixels_random",
                            estimate_at(q, RANDOM, L, PROBE(pixels)).mean, "1"));
    double *gap = malloc((size_t)q->seeds * sizeof *gap);
    if (!gap) return dlf_fail(DLF_ERR_OOM, "probes: out of memory");
    for (int s = 0; s < q->seeds; s++)
        gap[s] = probe_at(q, TRAINED, L, s, PROBE(accuracy)) -
                 net->look[(net->looks - 1) * net->seeds + s].test_accuracy;
    dlf_check c = dlf_check_of(
        "probe_head",
        (dlf_text){
            "最后一层的探针与网络自己的输出层一样准：输出层本身就是线性探针",
            "a probe on the last layer is as good as the network's own output layer, which is "
            "a linear probe"},
        dlf_estimate_of(gap, q->seeds, 1));
    free(gap);
    c.tolerance = 0.02;
    c.source = "both are linear maps of one layer; 2 points: 2 binomial s.e. on 500 images";
    return dlf_result_check(dlf_run_result(run), c);
}

/* ---- Fashion-MNIST ---- */

static dlf_status fashion_missing(dlf_run *run)
{
    dlf_check c = dlf_check_exact(
        "fashion_trained",
        (dlf_text){"本机没有安装 Fashion-MNIST，这一部分没有运行",
                   "Fashion-MNIST is not installed on this machine: this part has not been run"},
        NAN);
    c.relation = DLF_AT_LEAST;
    c.source = "Xiao, Rasul & Vollgraf 2017";
    c.has_verdict = true;
    c.verdict = DLF_UNDECIDED;
    c.note = dlf_error_message();
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status probe_new(probed *q, dlf_run *run, int curve, const dlf_hidden_story *s,
                            bool trained, double from, double to)
{
    q->of[curve] = malloc((size_t)((q->depth + 1) * q->seeds) * sizeof *q->of[curve]);
    if (!q->of[curve]) return dlf_fail(DLF_ERR_OOM, "probes: out of memory");
    return dlf_hidden_probes(q->of[curve], run, s, trained, from, to);
}

static dlf_status fashion(dlf_run *run, probed *q, double from, double to)
{
    const dlf_dataset_request request = {dlf_run_data_dir(run), dlf_run_full(run) ? 10000 : 2000,
                                         dlf_run_full(run) ? 2000 : 1000};
    const double middle = from + 0.7 * (to - from);
    char *place = NULL;
    dlf_dataset data = {0};
    dlf_hidden_story story = {0};
    dlf_estimate e;
    dlf_status status = dlf_dataset_find(&place, "fashion-mnist", request.data);
    free(place);
    if (status != DLF_OK) return fashion_missing(run);
    DLF_TRY_DONE(dlf_dataset_load(&data, "fashion-mnist", &request));
    DLF_TRY_DONE(dlf_hidden_train(&story, run, &arms[COLLAPSE], &data, q->seeds,
                                  (dlf_run_int(run, "steps") + 2) / 3, from, middle));
    DLF_TRY_DONE(probe_new(q, run, FASHION_TRAINED, &story, true, middle, to));
    DLF_TRY_DONE(probe_new(q, run, FASHION_RANDOM, &story, false, middle, to));
    DLF_TRY_DONE(
        difference(&e, q, FASHION_TRAINED, q->depth, FASHION_RANDOM, q->depth, PROBE(accuracy)));
    DLF_TRY_DONE(above_zero(run, "fashion_trained",
                            (dlf_text){"Fashion-MNIST：训练后最后一层的探针优于训练前（差）",
                                       "Fashion-MNIST: a probe on the last layer is better after "
                                       "training than before (difference)"},
                            e, "Xiao, Rasul & Vollgraf 2017; ordering"));
done:
    dlf_hidden_story_free(&story);
    dlf_dataset_free(&data);
    return status;
}

/* ---- all of it ---- */

dlf_status dlf_hidden_networks(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    const int steps = dlf_run_int(run, "steps");
    const double part = (to - from) / (ARMS + 2);
    dlf_status status;
    dlf_dataset data = {0};
    dlf_hidden_story story[ARMS] = {{0}};
    probed q = {.seeds = seeds, .depth = dlf_run_int(run, "digits_depth")};
    DLF_TRY_DONE(dlf_digits_load(&data));
    for (int a = 0; a < ARMS; a++)
        DLF_TRY_DONE(dlf_hidden_train(&story[a], run, &arms[a], &data, seeds, steps,
                                      from + part * a, from + part * (a + 1)));
    from += part * ARMS;
    DLF_TRY_DONE(probe_new(&q, run, TRAINED, &story[COLLAPSE], true, from, from + part / 3));
    DLF_TRY_DONE(probe_new(&q, run, FREE, &story[NO_DECAY], true, from, from + part / 3));
    DLF_TRY_DONE(probe_new(&q, run, RANDOM, &story[COLLAPSE], false, from + part / 3, from + part));
    DLF_TRY_DONE(dlf_hidden_collapse_report(run, story, ARMS));
    DLF_TRY_DONE(probe_checks(run, &q, &story[COLLAPSE]));
    DLF_TRY_DONE(law_checks(run, &q));
    DLF_TRY_DONE(fashion(run, &q, from + part, to));
    DLF_TRY_DONE(layer_table(run, &q));
    DLF_TRY_DONE(figures(run, &q));
done:
    for (int c = 0; c < CURVES; c++) free(q.of[c]);
    for (int a = 0; a < ARMS; a++) dlf_hidden_story_free(&story[a]);
    dlf_dataset_free(&data);
    return status;
}
