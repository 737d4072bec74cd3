/* SPDX-License-Identifier: MIT
 * plot_scale.c -- ranges and ticks. */
#include <math.h>
#include <stdio.h>

#include "report/plot_internal.h"

/* Beyond this the arithmetic of ranges and ticks would overflow. */
static const double largest = 1e300;

double plot_axis_value(const plot_scale *scale, double value, plot_rail *rail)
{
    plot_rail ignored;
    if (!rail) rail = &ignored;
    *rail = isnan(value)                 ? PLOT_NAN
            : value > largest            ? PLOT_INF
            : scale->log && !(value > 0) ? (value < -largest ? PLOT_NEG_INF : PLOT_NOT_POSITIVE)
            : value < -largest           ? PLOT_NEG_INF
                                         : PLOT_ON_AXIS;
    if (*rail != PLOT_ON_AXIS) return NAN;
    return scale->log ? log10(value) : value;
}

void plot_scale_start(plot_scale *scale, bool log)
{
    *scale = (plot_scale){.log = log, .lo = INFINITY, .hi = -INFINITY};
}

void plot_scale_include(plot_scale *scale, double value)
{
    const double v = plot_axis_value(scale, value, NULL);
    if (v < scale->lo) scale->lo = v;
    if (v > scale->hi) scale->hi = v;
}

double plot_scale_unit(const plot_scale *scale, double v)
{
    return (v - scale->lo) / (scale->hi - scale->lo);
}

/* ---- ticks -------------------------------------------------------------------------------------
 */

static plot_tick *add_tick(plot_scale *s, double at, bool minor)
{
    const double slack = 1e-9 * (s->hi - s->lo);
    if (s->n_ticks == PLOT_TICKS || at < s->lo - slack || at > s->hi + slack) return NULL;
    plot_tick *tick = &s->tick[s->n_ticks++];
    *tick = (plot_tick){.at = at, .minor = minor};
    return tick;
}

/* 1, 2 or 5 times a power of ten, not below x. */
static double nice_step(double x)
{
    const double power = pow(10, floor(log10(x))), rest = x / power;
    return power * (rest <= 1.0001 ? 1 : rest <= 2.0001 ? 2 : rest <= 5.0001 ? 5 : 10);
}

/* Plain digits as far as they stay short, else m×10^k in gnuplot's enhanced text. */
static void number_label(char text[32], double value, double step)
{
    const double size = fmax(fabs(value), step);
    if (value == 0) {
        snprintf(text, 32, "0");
    } else if (size >= 1e5 || size < 1e-3) {
        const int exponent = (int)floor(log10(fabs(value)) + 1e-9);
        const double mantissa = value / pow(10, exponent);
        if (fabs(mantissa - 1) < 1e-9)
            snprintf(text, 32, "10^{%d}", exponent);
        else
            snprintf(text, 32, "%.4g×10^{%d}", mantissa, exponent);
    } else {
        int decimals = (int)ceil(-log10(step) - 1e-9);
        decimals = decimals < 0 ? 0 : decimals > 9 ? 9 : decimals;
        snprintf(text, 32, "%.*f", decimals, value);
    }
}

static void linear_ticks(plot_scale *s, int labels)
{
    const double step = nice_step((s->hi - s->lo) / labels);
    const double first = ceil(s->lo / step - 1e-9);
    for (int i = 0; i <= 2 * labels + 2; i++) {
        const double value = (first + i) * step;
        plot_tick *tick = add_tick(s, value, false);
        if (tick) number_label(tick->text, fabs(value) < step * 1e-6 ? 0 : value, step);
    }
}

static void decade_label(char text[32], int decade, bool plain)
{
    if (plain)
        snprintf(text, 32, "%g", pow(10, decade));
    else
        snprintf(text, 32, "10^{%d}", decade);
}

/* Labels at decades, small ticks at 2..9 while there is room for them. */
static void decade_ticks(plot_scale *s, int labels)
{
    const int lo = (int)ceil(s->lo - 1e-9), hi = (int)floor(s->hi + 1e-9);
    const int step = (int)nice_step(fmax(1, (double)(hi - lo + 1) / labels));
    const bool plain = lo >= -3 && hi <= 4;
    for (int d = lo - 1; d <= hi; d++) {
        plot_tick *tick = NULL;
        if (d >= lo && ((d % step) + step) % step == 0) tick = add_tick(s, d, false);
        if (tick) decade_label(tick->text, d, plain);
        for (int m = 2; m <= 9 && step == 1 && hi - lo <= 8; m++) add_tick(s, d + log10(m), true);
        if (step > 1 && d >= lo && !tick && hi - lo <= 60) add_tick(s, d, true);
    }
}

/* Less than two decades: labels at 1, 2, 5. */
static void mantissa_ticks(plot_scale *s)
{
    for (int d = (int)floor(s->lo); d <= (int)ceil(s->hi); d++) {
        for (int m = 1; m <= 9; m++) {
            const bool minor = m != 1 && m != 2 && m != 5;
            plot_tick *tick = add_tick(s, d + log10(m), minor);
            if (tick && !minor) number_label(tick->text, m * pow(10, d), pow(10, d));
        }
    }
}

/* Less than a third of a decade: a logarithmic axis that looks linear gets linear labels. */
static void narrow_ticks(plot_scale *s, int labels)
{
    plot_scale linear = {.lo = pow(10, s->lo), .hi = pow(10, s->hi)};
    linear_ticks(&linear, labels);
    for (int i = 0; i < linear.n_ticks; i++) {
        plot_tick *tick = add_tick(s, log10(linear.tick[i].at), false);
        if (tick) snprintf(tick->text, sizeof tick->text, "%s", linear.tick[i].text);
    }
}

void plot_scale_finish(plot_scale *s, double padding, int labels)
{
    if (!(s->lo <= s->hi)) { /* nothing to show on this axis */
        s->lo = s->log ? -1 : 0;
        s->hi = 1;
    }
    double range = s->hi - s->lo;
    if (range <= 1e-12 * fmax(fabs(s->lo), fabs(s->hi)) || range == 0) {
        range = s->log ? 1 : s->lo == 0 ? 1 : fabs(s->lo) * 0.2; /* one value: some air around it */
        s->lo -= range / 2;
        s->hi += range / 2;
    } else {
        s->lo -= padding * range;
        s->hi += padding * range;
    }
    if (labels < 2) labels = 2;
    if (!s->log)
        linear_ticks(s, labels);
    else if (s->hi - s->lo >= 1.9)
        decade_ticks(s, labels);
    else if (s->hi - s->lo >= 0.5)
        mantissa_ticks(s);
    else
        narrow_ticks(s, labels);
}
