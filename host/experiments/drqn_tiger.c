/* SPDX-License-Identifier: MIT
 * drqn_tiger.c -- Q41: the tiger: two doors, and listening that has to be added up. What one, two
 * and all observations are worth, and what networks that see them learn. Control: one observation,
 * with which opening never pays. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "dlf/theory.h"
#include "drqn.h"
#include "figures.h"
#include "recurrent.h"
#include "seed_check.h"

static const double hears = 0.85, discount = 0.95, listening = -1.0, prize = 10.0, tiger = -100.0;
enum {
    LISTEN,
    LEFT, /* open this door */
    RIGHT,
    ACTIONS,
    FEATURES = 3, /* 1, what was heard, whether a door was opened */
    STEPS = 12,   /* of an episode */
    BATCH = 96,
    HIDDEN = 24,
    EVERY = 10,
    PLAYED = 150 /* steps that are played out: 0.95^150 = 5e-4 */
};
static const double unit = 10.0; /* rewards are divided by it for the networks */

/* ---- what is best ---- */

/* P(tiger left) after hearing left d times more often than right. */
static double belief(double d)
{
    return 1.0 / (1.0 + pow((1.0 - hears) / hears, d));
}

/* Of opening the door where the tiger is not believed to be, for b >= 1/2. */
static double opening(double b)
{
    return prize * b + tiger * (1.0 - b);
}

double dlf_tiger_value(int depth)
{
    double v[129] = {0.0}, change;
    if (depth > 64) depth = 64;
    do { /* by symmetry for d >= 0; beyond `depth` listening is never best */
        double next[129];
        change = 0.0;
        for (int d = 0; d <= depth; d++) {
            const double b = belief(d), more = b * hears + (1.0 - b) * (1.0 - hears);
            const double listen = listening + discount * (more * v[d < depth ? d + 1 : d] +
                                                          (1.0 - more) * v[d ? d - 1 : 1]);
            next[d] = fmax(listen, opening(b) + discount * v[0]);
            change = fmax(change, fabs(next[d] - v[d]));
        }
        memcpy(v, next, (size_t)(depth + 1) * sizeof *v);
    } while (change > 1e-13);
    return v[0];
}

/* d starts at 0 and moves by +-1; value V of d = 0 is linear in what opening is followed by. With
 * the tiger left (say) d goes up with probability 0.85: two chains of n inner states each side. */
double dlf_tiger_threshold(int n)
{
    /* w[d] = E over the walk from d, given the tiger, of the discounted reward, as constant + slope
     * V, V what starting anew is worth; solved by elimination is not needed: iterate. */
    double constant[129] = {0.0}, slope[129] = {0.0}, change;
    const int at = n; /* w[at + d] */
    do {
        change = 0.0;
        for (int d = -n + 1; d <= n - 1; d++) {
            double c = listening, s = 0.0;
            for (int up = 0; up < 2; up++) {
                const double p = up ? hears : 1.0 - hears;
                const int to = d + (up ? 1 : -1);
                const bool open = abs(to) == n;
                c += p * discount * (open ? (to > 0 ? prize : tiger) : constant[at + to]);
                s += p * discount * (open ? discount : slope[at + to]);
            }
            change = fmax(change, fabs(c - constant[at + d]) + fabs(s - slope[at + d]));
            constant[at + d] = c;
            slope[at + d] = s;
        }
    } while (change > 1e-14);
    return constant[at] / (1.0 - slope[at]);
}

/* Windows: nothing heard since a door was opened; one heard; the last two agree; they differ. */
enum { FRESH, HEARD_ONE, AGREE, DIFFER, WINDOWS };

/* Q-learning under behaviour that does not look: before a window the tiger is anywhere. */
static double believe(int frames, bool open[WINDOWS])
{
    const double two = hears * hears / (hears * hears + (1.0 - hears) * (1.0 - hears));
    const double b[WINDOWS] = {0.5, hears, two, 0.5};
    double v[WINDOWS] = {0.0}, change;
    do {
        double next[WINDOWS];
        change = 0.0;
        for (int w = 0; w < WINDOWS; w++) {
            /* the next is heard on the side of the last */
            const double last = w == DIFFER ? 0.5 : b[w];
            const double agree = last * hears + (1.0 - last) * (1.0 - hears);
            const double then = frames == 1 || w == FRESH
                                    ? v[HEARD_ONE]
                                    : agree * v[AGREE] + (1.0 - agree) * v[DIFFER];
            const double listen = listening + discount * then;
            const double door = opening(fmax(b[w], 0.5)) + discount * v[FRESH];
            open[w] = door > listen;
            next[w] = fmax(listen, door);
            change = fmax(change, fabs(next[w] - v[w]));
        }
        memcpy(v, next, sizeof v);
    } while (change > 1e-13);
    return v[FRESH];
}

/* Played out: the state is what the policy sees, and whether the last heard was right. */
double dlf_tiger_window(int frames)
{
    bool open[WINDOWS];
    double v[WINDOWS][2] = {{0.0}}, change;
    (void)believe(frames, open);
    do {
        change = 0.0;
        for (int w = 0; w < WINDOWS; w++)
            for (int right = 0; right < 2; right++) {
                double value;
                if (open[w]) {
                    const double reward = w == FRESH ? 0.5 * (prize + tiger)
                                          : right    ? prize
                                                     : tiger;
                    value = reward + discount * v[FRESH][0];
                } else {
                    value = listening;
                    for (int next = 0; next < 2; next++) {
                        const int to = frames == 1 || w == FRESH ? HEARD_ONE
                                       : next == right           ? AGREE
                                                                 : DIFFER;
                        value += (next ? hears : 1.0 - hears) * discount * v[to][next];
                    }
                }
                change = fmax(change, fabs(value - v[w][right]));
                v[w][right] = value;
            }
    } while (change > 1e-13);
    return v[FRESH][0];
}

/* ---- what networks learn ---- */

/* One step as the networks are shown it. */
typedef struct seen {
    double heard; /* -1 left, +1 right, 0: a door was opened */
} seen;

static void show(double *x, const seen *history, int t, int frames)
{
    for (int back = 0; back < frames; back++) {
        double *at = x + back * FEATURES;
        const bool there = t >= back;
        at[0] = 1.0;
        at[1] = there ? history[t - back].heard : 0.0;
        at[2] = !there || history[t - back].heard == 0.0;
    }
}

static int frames_of(const dlf_qnet *q)
{
    return q->spec.inputs / FEATURES;
}

static double uniform(uint64_t seed, uint32_t layer, int p, uint64_t at)
{
    return (double)dlf_rng_uniform(seed, dlf_stream(DLF_PURPOSE_DATA, layer), (uint32_t)p, at);
}

/* An episode of random behaviour, listening three times of five: x, actions and rewards. */
static void episode(dlf_qnet *q, uint64_t seed, int step, int p, int b, int *action, double *reward)
{
    const dlf_qnet_spec *s = &q->spec;
    seen history[STEPS] = {{0.0}};
    uint64_t at = ((uint64_t)step * BATCH + (uint64_t)b) * (3 * STEPS + 1);
    int place = uniform(seed, 42, p, at++) < 0.5 ? LEFT : RIGHT;
    for (int t = 0; t < STEPS; t++) {
        show(q->x + (((long)p * s->batch + b) * STEPS + t) * s->inputs, history, t, frames_of(q));
        const double u = uniform(seed, 42, p, at++);
        action[t] = u < 0.6 ? LISTEN : u < 0.8 ? LEFT : RIGHT;
        const bool is_right = uniform(seed, 42, p, at++) < hears;
        reward[t] = action[t] == LISTEN ? listening : action[t] == place ? tiger : prize;
        if (t + 1 < STEPS)
            history[t + 1].heard = action[t] != LISTEN           ? 0.0
                                   : (place == LEFT) == is_right ? -1.0
                                                                 : 1.0;
        if (action[t] != LISTEN) place = uniform(seed, 42, p, at++) < 0.5 ? LEFT : RIGHT;
    }
}

typedef struct memory {
    int *action;    /* (P,BATCH,STEPS) */
    double *reward; /* the same        */
} memory;

static dlf_status practise(dlf_qnet *q, memory *m, uint64_t seed, int step)
{
    const dlf_qnet_spec *s = &q->spec;
    const long rows = (long)s->members * BATCH;
    for (long r = 0; r < rows; r++)
        episode(q, seed, step, (int)(r / BATCH), (int)(r % BATCH), m->action + r * STEPS,
                m->reward + r * STEPS);
    DLF_TRY(dlf_qnet_look(q, true));
    for (long r = 0; r < rows; r++)
        for (int t = 0; t + 1 < STEPS; t++) {
            const long cell = (r * STEPS + t) * ACTIONS + m->action[r * STEPS + t];
            const double worth =
                m->reward[r * STEPS + t] / unit +
                discount * dlf_qnet_worth(q, (int)(r / BATCH), (int)(r % BATCH), t + 1);
            q->gradient[cell] = (q->value[cell] - worth) / (BATCH * STEPS);
        }
    return dlf_qnet_learn(q);
}

/* Discounted reward of the greedy policy, mean over games. What is heard is drawn; what opening
 * brings is replaced by its mean given all that was heard, which is less noisy. */
static double play(const dlf_elman_weights *e, bool recurrent, int games, uint64_t seed, int p)
{
    double sum = 0.0;
    uint64_t at = 0;
    const int frames = e->inputs / FEATURES;
    for (int game = 0; game < games; game++) {
        seen history[PLAYED + 1] = {{0.0}};
        double h[256] = {0.0}, x[2 * FEATURES], value[ACTIONS], factor = 1.0 / games;
        int d = 0; /* left heard more often than right */
        for (int t = 0; t < PLAYED; t++, factor *= discount) {
            if (!recurrent) memset(h, 0, sizeof h);
            show(x, history, t, frames);
            dlf_elman_step(e, h, x, value);
            const int action = value[LEFT] > value[LISTEN] && value[LEFT] > value[RIGHT] ? LEFT
                               : value[RIGHT] > value[LISTEN]                            ? RIGHT
                                                                                         : LISTEN;
            const double left = belief(d);
            if (action != LISTEN) {
                sum += factor * opening(action == RIGHT ? left : 1.0 - left);
                history[t + 1].heard = d = 0;
                continue;
            }
            sum += factor * listening;
            const bool hear_left =
                uniform(seed, 43, p, at++) < left * hears + (1.0 - left) * (1.0 - hears);
            history[t + 1].heard = hear_left ? -1.0 : 1.0;
            d += hear_left ? 1 : -1;
        }
    }
    return sum;
}

/* What a network says of its first step. */
static double expects(const dlf_elman_weights *e)
{
    const seen nothing[1] = {{0.0}};
    double h[256] = {0.0}, x[2 * FEATURES], value[ACTIONS];
    show(x, nothing, 0, e->inputs / FEATURES);
    dlf_elman_step(e, h, x, value);
    return unit * fmax(value[LISTEN], fmax(value[LEFT], value[RIGHT]));
}

/* Members: seeds. frames 0: recurrent. */
static dlf_status teach(dlf_run *run, int frames, double *value, double *believed, double from,
                        double to)
{
    const int P = dlf_run_seeds(run), steps = dlf_run_int(run, "tiger_steps");
    const dlf_qnet_spec spec = {.members = P,
                                .batch = BATCH,
                                .steps = STEPS,
                                .inputs = FEATURES * (frames ? frames : 1),
                                .outputs = ACTIONS,
                                .hidden = HIDDEN,
                                .recurrent = frames == 0};
    const size_t rows = (size_t)P * BATCH * STEPS;
    dlf_qnet q = {0};
    dlf_elman_weights e = {0};
    memory m = {malloc(rows * sizeof *m.action), malloc(rows * sizeof *m.reward)};
    dlf_status status;
    if (!m.action || !m.reward) {
        status = dlf_fail(DLF_ERR_OOM, "drqn: out of memory");
        goto done;
    }
    DLF_TRY_DONE(
        dlf_qnet_new(&q, dlf_run_device(run), &spec, dlf_run_seed(run), 0.02, EVERY, steps));
    for (int step = 0; step < steps; step++) {
        if (step % EVERY == 0)
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * step / steps, "tiger: %s",
                                       frames ? "frames" : "recurrent"));
        DLF_TRY_DONE(practise(&q, &m, dlf_run_seed(run), step));
    }
    DLF_TRY_DONE(dlf_elman_weights_new(&e, HIDDEN, spec.inputs, ACTIONS));
    for (int p = 0; p < P; p++) {
        DLF_TRY_DONE(dlf_elman_download(&e, q.online, p));
        value[p] = play(&e, frames == 0, dlf_run_int(run, "games"), dlf_run_seed(run), p);
        believed[p] = expects(&e);
    }
done:
    dlf_elman_weights_free(&e);
    free(m.reward);
    free(m.action);
    dlf_qnet_free(&q);
    return status;
}

/* ---- report ---- */

enum { ONE, TWO, ALL, AGENTS };

static dlf_status checks(dlf_run *run, const double *value, const double *believed,
                         const double best[AGENTS])
{
    static const char *const ids[AGENTS] = {"tiger_one", "tiger_two", "tiger_all"};
    static const dlf_text claims[AGENTS] = {
        {"对照，老虎问题，只看一次观测的 DQN：永远只听（折扣回报）",
         "control, the tiger, DQN on one observation: it only ever listens (return)"},
        {"老虎问题，看两次观测的 DQN：等于精确算出的回报",
         "the tiger, DQN on two observations: the return that is computed exactly"},
        {"老虎问题，DRQN：到达信念空间的最优回报",
         "the tiger, DRQN: reaches the best return, of value iteration over beliefs"}};
    static const char *const sources[AGENTS] = {
        "closed form: -1/(1 - 0.95), less what lies beyond the last step",
        "aggregated Q-learning, its policy played out exactly (Singh, Jaakkola & Jordan 1994)",
        "Kaelbling, Littman & Cassandra 1998: value iteration over beliefs"};
    const int seeds = dlf_run_seeds(run);
    for (int a = 0; a < AGENTS; a++) {
        const dlf_estimate e = dlf_estimate_of(value + a * seeds, seeds, 1);
        dlf_check c = dlf_check_of(ids[a], claims[a], e);
        c.expected = best[a];
        c.tolerance = fmax(0.05 * fabs(best[a]), 4.0 * e.sd / sqrt(seeds));
        c.source = sources[a];
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    }
    double *gain = malloc(2 * (size_t)seeds * sizeof *gain), *vain = gain + seeds;
    if (!gain) return dlf_fail(DLF_ERR_OOM, "drqn: out of memory");
    for (int s = 0; s < seeds; s++) {
        gain[s] = value[ALL * seeds + s] - best[TWO];
        vain[s] = believed[TWO * seeds + s] - value[TWO * seeds + s];
    }
    dlf_status status =
        dlf_add_above(run, "tiger_gain",
                      (dlf_text){"DRQN 的回报高于两次观测所能得到的（高出多少）",
                                 "DRQN gets more than two observations can bring (by so much)"},
                      dlf_estimate_of(gain, seeds, 1), "window of two, played out exactly");
    if (status == DLF_OK)
        status = dlf_add_above(
            run, "tiger_vain",
            (dlf_text){"看两次观测的 DQN 高估自己（自以为的回报减实得的）",
                       "DQN on two observations expects more than it gets (by so much)"},
            dlf_estimate_of(vain, seeds, 1),
            "what it sees is no Markov state: what it believes is not what happens");
    free(gain);
    DLF_TRY(status);
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "drqn_expects",
                            dlf_estimate_of(believed + ALL * seeds, seeds, 1).mean, "1"));
    bool open[WINDOWS];
    const dlf_estimate two = dlf_estimate_of(believed + TWO * seeds, seeds, 1);
    dlf_check c =
        dlf_check_of("tiger_believes",
                     (dlf_text){"看两次观测的 DQN 自以为的回报：等于公式",
                                "what DQN on two observations expects to get: as computed"},
                     two);
    c.expected = believe(2, open);
    c.tolerance = fmax(0.05 * c.expected, 4.0 * two.sd / sqrt(seeds));
    c.source = "fixed point of aggregated Q-learning (Singh, Jaakkola & Jordan 1994); 5 % or 4 "
               "standard errors";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    c = dlf_check_exact(
        "tiger_solver",
        (dlf_text){"自检：信念值迭代与“相差两次就开门”的精确回报相同",
                   "self-check: value iteration over beliefs and the exact return of opening at a "
                   "difference of two agree"},
        dlf_tiger_value(40));
    c.expected = dlf_tiger_threshold(2);
    c.tolerance = 1e-9;
    c.self_check = true;
    c.source = "two computations that share nothing but the rewards";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status table_and_figure(dlf_run *run, const double *value, const double *believed,
                                   const double best[AGENTS])
{
    static const char *const ids[AGENTS] = {"one", "two", "all"};
    static const dlf_text names[AGENTS] = {
        {"DQN，一次观测（对照）", "DQN, one observation (control)"},
        {"DQN，两次观测", "DQN, two observations"},
        {"DRQN", "DRQN"}};
    const int seeds = dlf_run_seeds(run);
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "tiger",
                             (dlf_text){"老虎问题的回报", "returns at the tiger"},
                             (const dlf_column[]){{"agent", NULL},
                                                  {"agent_zh", NULL},
                                                  {"agent_en", NULL},
                                                  {"value", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"best", "1"},
                                                  {"believed", "1"},
                                                  {NULL, NULL}},
                             &t));
    for (int a = 0; a < AGENTS; a++) {
        const dlf_estimate e = dlf_estimate_of(value + a * seeds, seeds, 1);
        DLF_TRY(dlf_table_row(t, DLF_TXT(ids[a]), DLF_TXT(names[a].zh), DLF_TXT(names[a].en),
                              DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(best[a]),
                              DLF_NUM(dlf_estimate_of(believed + a * seeds, seeds, 1).mean)));
    }
    dlf_figure f = {
        .id = "tiger",
        .kind = DLF_BARS,
        .title = {"老虎问题：一次观测只敢听，两次高估自己，记住全部最好",
                  "The tiger: with one observation it only listens, with two it expects too much, "
                  "all are best"},
        .subtitle =
            {"折扣回报，误差棒为种子间 95 % 区间；旁边是精确算出的值",
             "discounted return, bars: 95 % over seeds; beside it what is computed exactly"},
        .x = {{"智能体看见什么", "what the agent sees"}, false},
        .y = {{"折扣回报", "discounted return"}, false}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "tiger",
                               .x = "agent",
                               .y = "value",
                               .lo = "lo",
                               .hi = "hi",
                               .label = {"学到的", "learned"},
                               .colour = 0};
    f.series[2] = (dlf_series){.role = DLF_REFERENCE,
                               .table = "tiger",
                               .x = "agent",
                               .y = "believed",
                               .label = {"自以为的", "expected by itself"},
                               .colour = 2};
    f.series[1] = (dlf_series){.role = DLF_THEORY,
                               .table = "tiger",
                               .x = "agent",
                               .y = "best",
                               .label = {"理论", "theory"},
                               .colour = 1};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_drqn_tiger(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    const double best[AGENTS] = {dlf_tiger_window(1), dlf_tiger_window(2), dlf_tiger_value(40)};
    double *value = calloc((size_t)(2 * AGENTS * seeds), sizeof *value),
           *believed = value + AGENTS * seeds;
    if (!value) return dlf_fail(DLF_ERR_OOM, "drqn: out of memory");
    dlf_status status;
    for (int a = 0; a < AGENTS; a++)
        DLF_TRY_DONE(teach(run, a == ALL ? 0 : a + 1, value + a * seeds, believed + a * seeds,
                           from + (to - from) * a / AGENTS, from + (to - from) * (a + 1) / AGENTS));
    DLF_TRY_DONE(checks(run, value, believed, best));
    status = table_and_figure(run, value, believed, best);
done:
    free(value);
    return status;
}
