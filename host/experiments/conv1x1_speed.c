/* SPDX-License-Identifier: MIT
 * conv1x1_speed.c -- Q15: multiply-adds that a bottleneck saves against time that it saves, over
 * the number r of channels in between. Three small convolutions move more bytes per multiply-add
 * than one large, and start three times: the ratio of multiply-adds is what time could at most save
 * if every kernel ran at one speed. */
#include <math.h>
#include <stdlib.h>

#include "conv1x1.h"
#include "dlf/conv.h"
#include "dlf/ops.h"
#include "dlf/rng.h"
#include "seed_check.h"
#include "stopwatch.h"

enum { WIDTHS = 5, REPEATS = 3, STAGES = 3 };

/* y_i = conv_i(y_(i-1)): one stage for the plain convolution, three for a bottleneck. */
typedef struct chain {
    int stages;
    dlf_conv conv[STAGES];
    dlf_tensor w[STAGES], y[STAGES + 1]; /* y[0] is the input */
} chain;

static void chain_free(chain *c)
{
    for (int i = 0; i < STAGES; i++) dlf_tensor_free(&c->w[i]);
    for (int i = 0; i <= STAGES; i++) dlf_tensor_free(&c->y[i]);
}

static dlf_status add_stage(chain *c, dlf_run *run, int kernel, int maps)
{
    dlf_device *dev = dlf_run_device(run);
    const int i = c->stages++;
    const dlf_tensor *x = &c->y[i];
    const dlf_rng rng = {dlf_run_seed(run), dlf_stream(DLF_PURPOSE_WEIGHTS, 30 + (uint32_t)i)};
    c->conv[i] = dlf_conv_of(DLF_NCHW, kernel, 1, (kernel - 1) / 2);
    DLF_TRY(dlf_tensor_new(&c->w[i], dev, dev->real, 1, maps, x->shape[2], kernel, kernel));
    DLF_TRY(dlf_random_normal(&c->w[i], NULL, NULL, rng));
    return dlf_tensor_new(&c->y[i + 1], dev, dev->real, 1, x->shape[1], maps, x->shape[3],
                          x->shape[4]);
}

/* reduce 0: the plain 3x3. */
static dlf_status chain_new(chain *c, dlf_run *run, int reduce)
{
    dlf_device *dev = dlf_run_device(run);
    const int C = dlf_run_int(run, "channels"), side = dlf_run_int(run, "side");
    *c = (chain){0};
    DLF_TRY(dlf_tensor_new(&c->y[0], dev, dev->real, 1, dlf_run_int(run, "images"), C, side, side));
    DLF_TRY(dlf_random_normal(&c->y[0], NULL, NULL,
                              (dlf_rng){dlf_run_seed(run), dlf_stream(DLF_PURPOSE_INPUT, 30)}));
    if (!reduce) return add_stage(c, run, 3, C);
    DLF_TRY(add_stage(c, run, 1, reduce));
    DLF_TRY(add_stage(c, run, 3, reduce));
    return add_stage(c, run, 1, C);
}

/* Microseconds of the fastest of some passes. */
static dlf_status time_chain(dlf_device *dev, chain *c, double *us)
{
    *us = INFINITY;
    for (int k = 0; k < REPEATS; k++) {
        DLF_TRY(dlf_device_sync(dev));
        const double start = dlf_stopwatch_us(dev);
        for (int i = 0; i < c->stages; i++)
            DLF_TRY(dlf_conv_forward(&c->y[i + 1], &c->y[i], &c->w[i], NULL, c->conv[i]));
        DLF_TRY(dlf_device_sync(dev));
        *us = fmin(*us, dlf_stopwatch_us(dev) - start);
    }
    return DLF_OK;
}

/* ---- report --------------------------------------------------------------------------------- */

static dlf_status figure(dlf_run *run)
{
    const dlf_figure f = {
        .id = "speed",
        .kind = DLF_LINES,
        .title = {"乘加次数之比不等于时间之比",
                  "The ratio of multiply-adds is not the ratio of times"},
        .subtitle =
            {"3×3、C→C 对瓶颈 C→r→r→C，前向；误差棒为各轮间 95% 区间",
             "3×3, C to C, against the bottleneck C→r→r→C, forward; bars: 95 % over rounds"},
        .x = {{"中间通道数 r", "channels in between r"}, true},
        .y = {{"直接 3×3 / 瓶颈", "plain 3×3 / bottleneck"}, true},
        .series = {{.role = DLF_MEASURED,
                    .table = "speed",
                    .x = "reduce",
                    .y = "speed",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"时间之比", "times"},
                    .colour = 0},
                   {.role = DLF_THEORY,
                    .table = "speed",
                    .x = "reduce",
                    .y = "mac_ratio",
                    .label = {"乘加次数之比 9C²/(2Cr+9r²)", "multiply-adds, 9C²/(2Cr+9r²)"},
                    .colour = 1},
                   {.role = DLF_REFERENCE,
                    .table = "speed",
                    .x = "reduce",
                    .y = "one",
                    .label = {"对照：一样快", "control: no faster"}}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status report(dlf_run *run, const int *reduce, const double *speed, double *best)
{
    const int rounds = dlf_run_seeds(run), C = dlf_run_int(run, "channels");
    double most = 0.0;
    dlf_table *t;
    for (int k = 0; k < rounds; k++) best[k] = (double)NAN;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "speed",
        (dlf_text){"瓶颈省下的乘加与时间", "multiply-adds and time that a bottleneck saves"},
        (const dlf_column[]){{"reduce", "channel"},
                             {"mac_ratio", "1"},
                             {"speed", "us"}, /* a ratio of times: never the same twice */
                             {"lo", "us"},
                             {"hi", "us"},
                             {"one", "1"},
                             {NULL}},
        &t));
    for (int i = 0; i < WIDTHS; i++) {
        const double ratio = dlf_conv1x1_mac_ratio(3, C, reduce[i]);
        const dlf_estimate e = dlf_estimate_of(speed + i * rounds, rounds, 1);
        DLF_TRY(dlf_table_row(t, DLF_NUM(reduce[i]), DLF_NUM(ratio), DLF_NUM(e.mean), DLF_NUM(e.lo),
                              DLF_NUM(e.hi), DLF_NUM(1.0)));
        /* The r that saves most in the mean: the largest of every round grows with noise. */
        if (!(e.mean / ratio > most)) continue;
        most = e.mean / ratio;
        for (int k = 0; k < rounds; k++) best[k] = speed[i * rounds + k] / ratio;
    }
    const dlf_estimate e = dlf_estimate_of(best, rounds, 1);
    dlf_check c =
        dlf_check_of("speed_bound",
                     (dlf_text){"时间最多省乘加之比那么多：时间之比除以乘加之比（各 r 中最大者）",
                                "time saves at most what multiply-adds do: ratio of times over "
                                "ratio of multiply-adds (largest over r)"},
                     e);
    c.expected = 1.0;
    c.relation = DLF_AT_MOST;
    c.has_verdict = true;
    c.verdict = e.n < 3       ? DLF_UNDECIDED
                : e.hi <= 1.0 ? DLF_SUPPORTED
                : e.lo > 1.0  ? DLF_REFUTED
                              : DLF_DEPENDS;
    c.source =
        "true if every kernel runs at one speed; a finding about this device and its kernels";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    return figure(run);
}

static dlf_status measure(dlf_run *run, const int *reduce, double *speed, double from, double to)
{
    const int rounds = dlf_run_seeds(run);
    dlf_device *dev = dlf_run_device(run);
    dlf_status status;
    chain plain = {0}, narrow[WIDTHS] = {0};
    DLF_TRY_DONE(chain_new(&plain, run, 0));
    for (int i = 0; i < WIDTHS; i++) DLF_TRY_DONE(chain_new(&narrow[i], run, reduce[i]));
    for (int s = 0; s < rounds; s++)
        for (int i = 0; i < WIDTHS; i++) {
            double whole, parts;
            DLF_TRY_DONE(
                dlf_run_stage(run, from + (to - from) * s / rounds, "timing r = %d", reduce[i]));
            DLF_TRY_DONE(time_chain(dev, &plain, &whole));
            DLF_TRY_DONE(time_chain(dev, &narrow[i], &parts));
            speed[i * rounds + s] = whole / parts;
        }
done:
    chain_free(&plain);
    for (int i = 0; i < WIDTHS; i++) chain_free(&narrow[i]);
    return status;
}

dlf_status dlf_conv1x1_speed(dlf_run *run, double from, double to)
{
    const int C = dlf_run_int(run, "channels");
    const size_t rounds = (size_t)dlf_run_seeds(run);
    int reduce[WIDTHS];
    dlf_status status;
    for (int i = 0; i < WIDTHS; i++) reduce[i] = C >> i < 1 ? 1 : C >> i;
    double *v = malloc((WIDTHS + 1) * rounds * sizeof *v);
    if (!v) return dlf_fail(DLF_ERR_OOM, "conv1x1: out of memory");
    DLF_TRY_DONE(measure(run, reduce, v, from, to));
    DLF_TRY_DONE(report(run, reduce, v, v + WIDTHS * rounds));
done:
    free(v);
    return status;
}
