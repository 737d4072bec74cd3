/* SPDX-License-Identifier: MIT
 * gan_orbits.c -- Q45: the smallest GAN, two numbers that play against each other: what gradient
 * steps do at an equilibrium that is no minimum, and how much a penalty on the slope of the
 * discriminator helps. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "figures.h"
#include "gan.h"
#include "seed_check.h"

/* h; so near that f' is 1/2 for 3000 steps of growth, so far that nothing underflows in as many */
static const double step = 0.1, radius = 1e-3;

typedef struct game {
    const char *id;
    dlf_text name;
    double gamma;
    bool in_turns;
} game;

static const game games[] = {
    {"at_once", {"同时更新", "both at once"}, 0.0, false},
    {"in_turns", {"交替更新", "in turns"}, 0.0, true},
    {"r1_small", {"同时更新，R1，γ=0.3", "at once, R1, γ=0.3"}, 0.3, false},
    {"r1_best", {"同时更新，R1，γ=1", "at once, R1, γ=1"}, 1.0, false},
    {"r1_large", {"同时更新，R1，γ=2", "at once, R1, γ=2"}, 2.0, false},
};
enum { GAMES = sizeof games / sizeof games[0], SHOWN = 400, EVERY = 10, GAMMAS = 13 };

/* f'(t) of f(t) = -log(1 + e^-t) */
static double slope(double t)
{
    return 1.0 / (1.0 + exp(t));
}

/* log of the distance from the equilibrium, before every step. */
static void play(double gamma, bool in_turns, double angle, double *distance, int steps)
{
    double theta = radius * cos(angle), psi = radius * sin(angle);
    for (int t = 0; t < steps; t++) {
        distance[t] = 0.5 * log(theta * theta + psi * psi);
        const double now = slope(theta * psi), before = psi;
        psi += step * (now * theta - gamma * psi);
        if (in_turns)
            theta -= step * slope(theta * psi) * psi;
        else
            theta -= step * now * before;
    }
}

/* Factor per step over the last half, when the faster of two roots has died out. */
static double rate_of(const double *count, const double *distance, int steps)
{
    const int from = steps / 2;
    return exp(dlf_slope(count + from, distance + from, steps - from));
}

static double angle_of(const dlf_run *run, int seed)
{
    return 2.0 * M_PI *
           dlf_rng_uniform(dlf_run_seed(run), dlf_stream(DLF_PURPOSE_START, 120), (uint32_t)seed,
                           0);
}

static dlf_status check_of(dlf_run *run, const game *g, const double *rate)
{
    char id[40], zh[160], en[160];
    snprintf(id, sizeof id, "orbit_%s", g->id);
    snprintf(zh, sizeof zh, "Dirac-GAN，%s：每步到均衡点的距离乘以多少", g->name.zh);
    snprintf(en, sizeof en, "Dirac-GAN, %s: factor on the distance from the equilibrium, per step",
             g->name.en);
    dlf_check c =
        dlf_check_of(id, (dlf_text){zh, en}, dlf_estimate_of(rate, dlf_run_seeds(run), 1));
    c.expected = dlf_dirac_rate(step, g->gamma, g->in_turns);
    c.tolerance = g->gamma == 1.0 ? 2.0 / dlf_run_int(run, "orbit_steps") : 1e-5;
    c.source = "closed form: spectral radius of a step (Mescheder et al. 2018, sec. 2 to 4); 1e-5: "
               "orbits are ellipses; 2/steps at the double root, where the distance is t lambda^t";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status orbits_figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "orbits",
        .kind = DLF_LINES,
        .title = {"没有惩罚，两个玩家绕着均衡转：同时更新越转越远，交替更新原地打转",
                  "Without a penalty two players turn about the equilibrium: outwards at once, "
                  "for ever in turns"},
        .subtitle =
            {"Dirac-GAN，步长 0.1；虚线为一步的谱半径的幂 λᵗ，没有拟合参数（γ=1 是重根，为 tλᵗ）",
             "Dirac-GAN, step 0.1; dashed: powers λᵗ of a step's spectral radius, nothing "
             "fitted (γ=1 is a double root: tλᵗ)"},
        .x = {{"步", "step"}, false},
        .y = {{"到均衡点的距离（起点为 1）", "distance from the equilibrium (start: 1)"}, true}};
    for (int k = 0; k < GAMES; k++) {
        f.series[2 * k] =
            dlf_arm_series(games[k].gamma > 0.0 ? DLF_MEASURED : DLF_CONTROL, "orbits", "game",
                           games[k].id, "step", "distance", games[k].name, k);
        dlf_theory_of(&f, 2 * k, 2 * k + 1, "theory");
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* distance (seeds, steps) of one game after the other; count (steps) is 0, 1, .. */
static dlf_status orbits(dlf_run *run, const double *count, double *distance, double *rate)
{
    const int seeds = dlf_run_seeds(run), steps = dlf_run_int(run, "orbit_steps");
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "orbits",
        (dlf_text){"Dirac-GAN：到均衡点的距离", "Dirac-GAN: distance from the equilibrium"},
        (const dlf_column[]){{"game", NULL},
                             {"step", "step"},
                             {"distance", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {NULL, NULL}},
        &t));
    double *at = rate + seeds;
    for (int k = 0; k < GAMES; k++) {
        for (int s = 0; s < seeds; s++) {
            play(games[k].gamma, games[k].in_turns, angle_of(run, s), distance + (long)s * steps,
                 steps);
            rate[s] = rate_of(count, distance + (long)s * steps, steps);
        }
        DLF_TRY(check_of(run, &games[k], rate));
        for (int i = 0; i < steps && i <= SHOWN; i += EVERY) {
            for (int s = 0; s < seeds; s++)
                at[s] = distance[(long)s * steps + i] - distance[(long)s * steps];
            const dlf_estimate e = dlf_estimate_of(at, seeds, 1); /* of logarithms */
            DLF_TRY(dlf_table_row(
                t, DLF_TXT(games[k].id), DLF_NUM(i), DLF_NUM(exp(e.mean)), DLF_NUM(exp(e.lo)),
                DLF_NUM(exp(e.hi)),
                DLF_NUM(pow(dlf_dirac_rate(step, games[k].gamma, games[k].in_turns), i))));
        }
    }
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "turn", 2.0 * M_PI / atan(0.5 * step), "step"));
    return orbits_figure(run);
}

static dlf_status penalties(dlf_run *run, const double *count, double *distance, double *rate)
{
    const int seeds = dlf_run_seeds(run), steps = dlf_run_int(run, "orbit_steps");
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "penalties",
        (dlf_text){"Dirac-GAN：每步的因子与惩罚的大小", "Dirac-GAN: factor per step by penalty"},
        (const dlf_column[]){{"gamma", "1"},
                             {"rate", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {"still", "1"},
                             {NULL, NULL}},
        &t));
    for (int k = 0; k < GAMMAS; k++) {
        const double gamma = 0.25 * k;
        for (int s = 0; s < seeds; s++) {
            play(gamma, false, angle_of(run, s), distance, steps);
            rate[s] = rate_of(count, distance, steps);
        }
        const dlf_estimate e = dlf_estimate_of(rate, seeds, 1);
        DLF_TRY(dlf_table_row(t, DLF_NUM(gamma), DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                              DLF_NUM(dlf_dirac_rate(step, gamma, false)), DLF_NUM(1.0)));
    }
    dlf_figure f = {
        .id = "penalties",
        .kind = DLF_LINES,
        .title = {"惩罚不是越大越好：γ=1 时收敛最快，再大就过阻尼",
                  "More penalty is not better: γ=1 converges fastest, beyond it is overdamped"},
        .subtitle = {"Dirac-GAN，同时更新，步长 0.1；低于 1 收敛，高于 1 发散",
                     "Dirac-GAN, both at once, step 0.1; converges below 1, diverges above"},
        .x = {{"梯度惩罚 γ", "gradient penalty γ"}, false},
        .y = {{"每步距离的因子", "factor on the distance per step"}, false}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "penalties",
                               .x = "gamma",
                               .y = "rate",
                               .lo = "lo",
                               .hi = "hi",
                               .label = {"实测", "measured"},
                               .colour = 0,
                               .points = true};
    dlf_theory_of(&f, 0, 1, "theory");
    f.series[2] = (dlf_series){.role = DLF_REFERENCE,
                               .table = "penalties",
                               .x = "gamma",
                               .y = "still",
                               .label = {"原地不动", "no progress"},
                               .colour = 1};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_gan_orbits(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run), steps = dlf_run_int(run, "orbit_steps");
    double *distance =
        malloc(((size_t)(seeds + 1) * (size_t)steps + 2 * (size_t)seeds) * sizeof *distance);
    if (!distance) return dlf_fail(DLF_ERR_OOM, "gan: out of memory");
    double *count = distance + (long)seeds * steps, *rate = count + steps;
    for (int t = 0; t < steps; t++) count[t] = t;
    dlf_status status;
    DLF_TRY_DONE(dlf_run_stage(run, from, "Dirac-GAN"));
    DLF_TRY_DONE(orbits(run, count, distance, rate));
    DLF_TRY_DONE(dlf_run_stage(run, 0.5 * (from + to), "Dirac-GAN, penalties"));
    status = penalties(run, count, distance, rate);
done:
    free(distance);
    return status;
}
