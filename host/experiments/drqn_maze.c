/* SPDX-License-Identifier: MIT
 * drqn_maze.c -- Q41: a corridor that forgets. Returns by how often the sign is hidden and how much
 * an agent remembers, and by the length of the corridor. Control: a sign that is never shown. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "drqn.h"
#include "figures.h"
#include "seed_check.h"

static const double right_turn = 4.0, wrong_turn = -0.1, discount = 0.98;
enum {
    CUES = 3,
    PATTERNS = 2 << CUES, /* way and which signs are hidden: an evaluation is all of them */
    FEATURES = 3,         /* 1, the sign, the junction */
    TURNS = 2,
    HIDDEN = 16,
    EVERY = 10,
    LONGEST = 64
};

double dlf_maze_success(const dlf_maze *m, int frames)
{
    const int first = m->corridor - frames + 1; /* the first step that is still seen */
    const int seen = m->cues - (first > 0 ? first : 0);
    return 1.0 - 0.5 * pow(m->hidden, seen > 0 ? seen : 0);
}

double dlf_maze_return(const dlf_maze *m, double success)
{
    return pow(discount, m->corridor) * (right_turn * success + wrong_turn * (1.0 - success));
}

/* One member: a maze, and how many frames its network is shown; 0: a recurrent network. */
typedef struct agent {
    dlf_maze maze;
    int frames;
} agent;

/* Sign of every step: 0 hidden or none. */
static void signs(const dlf_maze *m, int way, int unseen, double *sign)
{
    for (int t = 0; t <= m->corridor; t++)
        sign[t] = t < m->cues && !(unseen >> t & 1) ? (way ? 1.0 : -1.0) : 0.0;
}

/* What the network of an agent is shown at all steps: x (T I). */
static void show(const agent *a, const double *sign, double *x, int inputs)
{
    const int N = a->maze.corridor;
    memset(x, 0, (size_t)((N + 1) * inputs) * sizeof *x);
    for (int t = 0; t <= N; t++)
        for (int back = 0; back < (a->frames ? a->frames : 1) && back <= t; back++) {
            double *at = x + t * inputs + back * FEATURES;
            at[0] = 1.0;
            at[1] = sign[t - back];
            at[2] = t - back == N;
        }
}

static double *row_of(const dlf_qnet *q, int p, int b)
{
    return q->x + ((long)p * q->spec.batch + b) * q->spec.steps * q->spec.inputs;
}

/* Shows a batch of episodes; ways (P B) gets the right turns. */
static void draw(dlf_qnet *q, const agent *agents, uint64_t seed, int step, int *ways)
{
    const dlf_qnet_spec *s = &q->spec;
    const uint32_t stream = dlf_stream(DLF_PURPOSE_DATA, 41);
    double sign[LONGEST + 1];
    for (int p = 0; p < s->members; p++)
        for (int b = 0; b < s->batch; b++) {
            uint64_t at =
                ((uint64_t)step * (uint64_t)s->batch + (uint64_t)b) * (uint64_t)(CUES + 1);
            const dlf_maze *m = &agents[p].maze;
            const int way = dlf_rng_uniform(seed, stream, (uint32_t)p, at++) < 0.5f;
            int unseen = 0;
            for (int c = 0; c < m->cues; c++)
                if ((double)dlf_rng_uniform(seed, stream, (uint32_t)p, at++) < m->hidden)
                    unseen |= 1 << c;
            signs(m, way, unseen, sign);
            show(&agents[p], sign, row_of(q, p, b), s->inputs);
            ways[p * s->batch + b] = way;
        }
}

/* Random turns at every step, and a step along the gradient of the squared temporal differences. */
static dlf_status practise(dlf_qnet *q, const agent *agents, uint64_t seed, int step, int *ways)
{
    const dlf_qnet_spec *s = &q->spec;
    const int N = s->steps - 1, B = s->batch;
    draw(q, agents, seed, step, ways);
    DLF_TRY(dlf_qnet_look(q, true));
    for (int p = 0; p < s->members; p++)
        for (int i = 0; i < B * (N + 1); i++) {
            const int b = i / (N + 1), t = i % (N + 1);
            const uint64_t at = (uint64_t)step * (uint64_t)(B * (N + 1)) + (uint64_t)i;
            const int turn =
                (int)(dlf_rng_bits(seed, dlf_stream(DLF_PURPOSE_TEST, 41), (uint32_t)p, at) & 1u);
            const long cell = ((long)p * B * (N + 1) + i) * TURNS + turn;
            const double worth = t < N ? discount * dlf_qnet_worth(q, p, b, t + 1)
                                 : turn == ways[p * B + b] ? right_turn
                                                           : wrong_turn;
            q->gradient[cell] = (q->value[cell] - worth) / (B * (N + 1));
        }
    return dlf_qnet_learn(q);
}

/* Share of right turns of every agent, exactly: all patterns, by their probability; and what it
 * expects in the first step, if asked. */
static dlf_status examine(dlf_qnet *q, const agent *agents, double *success, double *expects)
{
    const dlf_qnet_spec *s = &q->spec;
    double sign[LONGEST + 1];
    for (int p = 0; p < s->members; p++)
        for (int b = 0; b < PATTERNS; b++) {
            signs(&agents[p].maze, b & 1, b >> 1, sign);
            show(&agents[p], sign, row_of(q, p, b), s->inputs);
        }
    DLF_TRY(dlf_qnet_look(q, false));
    for (int p = 0; p < s->members; p++) {
        success[p] = 0.0;
        if (expects) expects[p] = 0.0;
        for (int b = 0; b < PATTERNS; b++) {
            double chance = 0.5;
            for (int c = 0; c < CUES; c++)
                chance *= c >= agents[p].maze.cues ? 0.5
                          : b >> (c + 1) & 1       ? agents[p].maze.hidden
                                                   : 1.0 - agents[p].maze.hidden;
            success[p] += dlf_qnet_best(q, p, b, s->steps - 1) == (b & 1) ? chance : 0.0;
            if (expects)
                expects[p] += chance * q->value[((long)p * PATTERNS + b) * s->steps * TURNS +
                                                dlf_qnet_best(q, p, b, 0)];
        }
    }
    return DLF_OK;
}

static dlf_status teach(dlf_run *run, const agent *agents, int members, bool random_start,
                        double *success, double *expects, double from, double to)
{
    const int N = agents[0].maze.corridor, steps = dlf_run_int(run, "steps");
    int frames = 0;
    for (int p = 0; p < members; p++)
        if (agents[p].frames > frames) frames = agents[p].frames;
    const dlf_qnet_spec spec = {.members = members,
                                .batch = PATTERNS,
                                .steps = N + 1,
                                .inputs = FEATURES * (frames ? frames : 1),
                                .outputs = TURNS,
                                .hidden = HIDDEN,
                                .recurrent = frames == 0,
                                .random_start = random_start};
    dlf_qnet q = {0};
    dlf_status status;
    int *ways = malloc((size_t)(members * PATTERNS) * sizeof *ways);
    if (!ways) return dlf_fail(DLF_ERR_OOM, "drqn: out of memory");
    DLF_TRY_DONE(
        dlf_qnet_new(&q, dlf_run_device(run), &spec, dlf_run_seed(run), 0.005, EVERY, steps));
    for (int step = 0; step < steps; step++) {
        if (step % EVERY == 0)
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * step / steps, "maze: %s",
                                       frames ? "frames" : "recurrent"));
        DLF_TRY_DONE(practise(&q, agents, dlf_run_seed(run), step, ways));
    }
    status = examine(&q, agents, success, expects);
done:
    dlf_qnet_free(&q);
    free(ways);
    return status;
}

/* ---- how often the sign is hidden ---- */

static const double levels[] = {0.0, 0.5, 0.8, 1.0};
enum { LEVELS = sizeof levels / sizeof levels[0], KINDS = 4, NEVER = LEVELS - 1, HALF = 1 };
static const char *const kind_ids[KINDS] = {"recurrent", "one", "short", "all"};

/* Frames of each kind for a corridor N: everything, one frame, a window that misses the first sign,
 * and all frames. */
static int frames_of(int kind, int N)
{
    return kind == 0 ? 0 : kind == 1 ? 1 : kind == 2 ? N : N + 1;
}

static double best_of(const agent *a)
{
    return dlf_maze_success(&a->maze, a->frames ? a->frames : a->maze.corridor + 1);
}

/* success (KINDS, LEVELS, seeds); expects (LEVELS, seeds), of the recurrent ones */
static dlf_status flicker(dlf_run *run, double *success, double *expects, double from, double to)
{
    const int seeds = dlf_run_seeds(run), N = dlf_run_int(run, "corridor");
    agent *agents = malloc((size_t)(KINDS * LEVELS * seeds) * sizeof *agents);
    if (!agents) return dlf_fail(DLF_ERR_OOM, "drqn: out of memory");
    for (int i = 0; i < KINDS * LEVELS * seeds; i++)
        agents[i] =
            (agent){{N, CUES, levels[i / seeds % LEVELS]}, frames_of(i / seeds / LEVELS, N)};
    const int recurrent = LEVELS * seeds;
    dlf_status status;
    DLF_TRY_DONE(teach(run, agents, recurrent, false, success, expects, from, 0.5 * (from + to)));
    status = teach(run, agents + recurrent, (KINDS - 1) * recurrent, false, success + recurrent,
                   NULL, 0.5 * (from + to), to);
done:
    free(agents);
    return status;
}

static dlf_status add_return(dlf_run *run, const char *id, dlf_text claim, const dlf_maze *m,
                             const double *success, double best, const char *source)
{
    const int seeds = dlf_run_seeds(run);
    double *value = malloc((size_t)seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "drqn: out of memory");
    for (int s = 0; s < seeds; s++) value[s] = dlf_maze_return(m, success[s]);
    const dlf_estimate e = dlf_estimate_of(value, seeds, 1);
    free(value);
    dlf_check c = dlf_check_of(id, claim, e);
    c.expected = dlf_maze_return(m, best);
    c.tolerance = 0.05 * c.expected;
    c.source = source;
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status flicker_checks(dlf_run *run, const double *success, const double *expects)
{
    static const char source[] = "closed form: 0.98^N (4 s - 0.1 (1 - s)), s = 1 - p^c/2; 5 %";
    const int seeds = dlf_run_seeds(run), N = dlf_run_int(run, "corridor");
    const dlf_maze half = {N, CUES, levels[HALF]}, never = {N, CUES, 1.0};
    const double *of[KINDS];
    for (int k = 0; k < KINDS; k++) of[k] = success + (k * LEVELS + HALF) * seeds;
    DLF_TRY(add_return(run, "recurrent_half",
                       (dlf_text){"路标一半时间看不见：DRQN 到达有记忆的最优回报",
                                  "sign hidden half of the time: DRQN reaches the best return with "
                                  "memory"},
                       &half, of[0], dlf_maze_success(&half, N + 1), source));
    DLF_TRY(add_return(run, "one_frame",
                       (dlf_text){"同上，只看一帧的 DQN：到达无记忆的最优回报",
                                  "the same, DQN on one frame: reaches the best return without "
                                  "memory"},
                       &half, of[1], dlf_maze_success(&half, 1), source));
    DLF_TRY(add_return(run, "short_window",
                       (dlf_text){"同上，堆叠 N 帧的 DQN：看不到第一个路标，到达它自己的最优回报",
                                  "the same, DQN on N stacked frames, which miss the first sign: "
                                  "reaches its own best return"},
                       &half, of[2], dlf_maze_success(&half, N), source));
    dlf_check c = dlf_check_of(
        "expects_half",
        (dlf_text){
            "同上，DRQN 在第一步大致知道能得多少：时间差分把终点的奖励传回了起点",
            "the same, DRQN knows in the first step about what it will get: temporal differences "
            "have carried the reward back"},
        dlf_estimate_of(expects + HALF * seeds, seeds, 1));
    c.expected = dlf_maze_return(&half, dlf_maze_success(&half, N + 1));
    c.tolerance = 0.25 * c.expected;
    c.source = "Bellman 1957: the value of the first step is the return; 25 %, as it is "
               "still too high after so few steps";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    return add_return(run, "never_shown",
                      (dlf_text){"对照，路标从不出现：DRQN 不比无记忆好",
                                 "control, a sign that is never shown: DRQN is no better than "
                                 "without memory"},
                      &never, success + NEVER * seeds, 0.5, source);
}

/* Tables and figures of returns: one row per agent and x. */
static dlf_status new_table(dlf_run *run, const char *id, dlf_text title, const char *x,
                            dlf_table **t)
{
    const dlf_column columns[] = {{"agent", NULL}, {x, "1"},        {"value", "1"}, {"lo", "1"},
                                  {"hi", "1"},     {"theory", "1"}, {NULL, NULL}};
    return dlf_result_table(dlf_run_result(run), id, title, columns, t);
}

static dlf_status add_row(dlf_table *t, const char *id, double x, const dlf_maze *m,
                          const double *success, double *value, int seeds, double best)
{
    for (int s = 0; s < seeds; s++) value[s] = dlf_maze_return(m, success[s]);
    const dlf_estimate e = dlf_estimate_of(value, seeds, 1);
    return dlf_table_row(t, DLF_TXT(id), DLF_NUM(x), DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                         DLF_NUM(dlf_maze_return(m, best)));
}

static void draw_arm(dlf_figure *f, const char *x, int k, const char *id, dlf_text name,
                     bool control)
{
    f->series[2 * k] = (dlf_series){.role = control ? DLF_CONTROL : DLF_MEASURED,
                                    .table = f->id,
                                    .where = "agent",
                                    .equals = id,
                                    .x = x,
                                    .y = "value",
                                    .lo = "lo",
                                    .hi = "hi",
                                    .label = name,
                                    .colour = k,
                                    .points = true};
    dlf_theory_of(f, 2 * k, 2 * k + 1, "theory");
}

static dlf_status flicker_table(dlf_run *run, const double *success)
{
    const int seeds = dlf_run_seeds(run), N = dlf_run_int(run, "corridor");
    dlf_table *t;
    double *value = malloc((size_t)seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "drqn: out of memory");
    dlf_status status;
    DLF_TRY_DONE(
        new_table(run, "flicker",
                  (dlf_text){"回报与路标被遮住的概率", "return by how often the sign is hidden"},
                  "hidden", &t));
    for (int i = 0; i < KINDS * LEVELS; i++) {
        const agent a = {{N, CUES, levels[i % LEVELS]}, frames_of(i / LEVELS, N)};
        DLF_TRY_DONE(add_row(t, kind_ids[i / LEVELS], a.maze.hidden, &a.maze, success + i * seeds,
                             value, seeds, best_of(&a)));
    }
done:
    free(value);
    return status;
}

static dlf_status flicker_figure(dlf_run *run)
{
    static const dlf_text names[KINDS] = {{"DRQN", "DRQN"},
                                          {"对照：DQN，一帧", "control: DQN, one frame"},
                                          {"DQN，N 帧", "DQN, N frames"},
                                          {"DQN，N + 1 帧", "DQN, N + 1 frames"}};
    dlf_figure f = {
        .id = "flicker",
        .kind = DLF_LINES,
        .title = {"记忆把路标带到路口：DRQN 不必知道要看几帧；从没见过的路标谁也帮不上",
                  "Memory carries the sign to the junction, however many frames ago; a sign never "
                  "seen helps no one"},
        .subtitle =
            {"T 形迷宫，路标在最初三步，每步以概率 p 看不见；误差棒为种子间 95 % 区间；虚线为最优",
             "T-maze, a sign in the first three steps, hidden with probability p; bars: 95 % over "
             "seeds; best return dashed"},
        .x = {{"看不见的概率 p", "probability p of being hidden"}, false},
        .y = {{"折扣回报", "discounted return"}, false}};
    for (int k = 0; k < KINDS; k++) draw_arm(&f, "hidden", k, kind_ids[k], names[k], k == 1);
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* ---- how long the corridor is ---- */

static const int corridors[] = {2, 5, 10, 20};
enum { LENGTHS = sizeof corridors / sizeof corridors[0] };

/* How many of them are not longer than the longest that is wanted; two at least. */
static int lengths_of(const dlf_run *run)
{
    int n = 2;
    while (n < LENGTHS && corridors[n] <= dlf_run_int(run, "longest_corridor")) n++;
    return n;
}

enum { SHOWN, RANDOM_START, NEVER_SHOWN, ARMS };
static const char *const arm_ids[ARMS] = {"shown", "random_start", "never"};

/* success (LENGTHS, ARMS, seeds) */
static dlf_status lengths(dlf_run *run, double *success, double from, double to)
{
    const int seeds = dlf_run_seeds(run), all = lengths_of(run) * ARMS;
    agent *agents = malloc((size_t)seeds * sizeof *agents);
    if (!agents) return dlf_fail(DLF_ERR_OOM, "drqn: out of memory");
    dlf_status status = DLF_OK;
    for (int i = 0; i < all && status == DLF_OK; i++) {
        const int arm = i % ARMS;
        for (int s = 0; s < seeds; s++)
            agents[s] = (agent){{corridors[i / ARMS], 1, arm == NEVER_SHOWN}, 0};
        status = teach(run, agents, seeds, arm == RANDOM_START, success + i * seeds, NULL,
                       from + (to - from) * i / all, from + (to - from) * (i + 1) / all);
    }
    free(agents);
    return status;
}

static dlf_status lengths_table(dlf_run *run, const double *success)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *t;
    double *value = malloc((size_t)seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "drqn: out of memory");
    dlf_status status;
    DLF_TRY_DONE(new_table(run, "corridor",
                           (dlf_text){"回报与走廊长度", "return by length of the corridor"},
                           "corridor", &t));
    for (int i = 0; i < ARMS * lengths_of(run); i++) {
        const dlf_maze m = {corridors[i / ARMS], 1, i % ARMS == NEVER_SHOWN};
        DLF_TRY_DONE(add_row(t, arm_ids[i % ARMS], m.corridor, &m, success + i * seeds, value,
                             seeds, dlf_maze_success(&m, m.corridor + 1)));
    }
done:
    free(value);
    return status;
}

static dlf_status lengths_figure(dlf_run *run)
{
    static const dlf_text names[ARMS] = {{"DRQN", "DRQN"},
                                         {"DRQN，随机起步", "DRQN, random start"},
                                         {"对照：从无路标", "control: no sign"}};
    dlf_figure f = {
        .id = "corridor",
        .kind = DLF_LINES,
        .title =
            {"从“先记住”起步，DRQN 学得会走廊那头的路标；随机起步在长走廊里常学不会",
             "Starting by remembering DRQN learns a sign at the other end of the corridor; from a "
             "random start of a long one often not"},
        .subtitle =
            {"T 形迷宫，路标只在第一步；误差棒为种子间 95 % 区间；虚线为最优回报",
             "T-maze, the sign is shown in the first step only; bars: 95 % over seeds; best "
             "return dashed"},
        .x = {{"走廊长度 N", "length of the corridor, N"}, false},
        .y = {{"折扣回报", "discounted return"}, false}};
    for (int k = 0; k < ARMS; k++)
        draw_arm(&f, "corridor", k, arm_ids[k], names[k], k == NEVER_SHOWN);
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status lengths_report(dlf_run *run, const double *success)
{
    const int seeds = dlf_run_seeds(run), last = lengths_of(run) - 1;
    const dlf_maze five = {corridors[1], 1, 0.0}, far = {corridors[last], 1, 0.0};
    DLF_TRY(add_return(run, "corridor_five",
                       (dlf_text){"走廊长 5：DRQN 到达有记忆的最优回报",
                                  "corridor of 5: DRQN reaches the best return with memory"},
                       &five, success + ARMS * seeds, 1.0, "closed form: 4 x 0.98^5; 5 %"));
    DLF_TRY(add_return(
        run, "corridor_longest",
        (dlf_text){"最长的走廊：DRQN 也到达有记忆的最优回报",
                   "the longest corridor: DRQN reaches the best return with memory, too"},
        &far, success + ARMS * last * seeds, 1.0, "closed form: 4 x 0.98^N; 5 %"));
    DLF_TRY(add_return(
        run, "random_start",
        (dlf_text){"最长的走廊，循环权重随机起步：同样到达",
                   "the longest corridor, recurrent weights that start at random: the same"},
        &far, success + (ARMS * last + RANDOM_START) * seeds, 1.0,
        "gradients vanish through so many steps (Hochreiter 1991; Q7)"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "longest", corridors[last], "step"));
    DLF_TRY(lengths_table(run, success));
    return lengths_figure(run);
}

dlf_status dlf_drqn_maze(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    double *success =
        calloc((size_t)(((KINDS + 1) * LEVELS + ARMS * LENGTHS) * seeds), sizeof *success);
    if (!success) return dlf_fail(DLF_ERR_OOM, "drqn: out of memory");
    double *of_lengths = success + KINDS * LEVELS * seeds,
           *expects = of_lengths + ARMS * LENGTHS * seeds;
    dlf_status status;
    DLF_TRY_DONE(flicker(run, success, expects, from, 0.5 * (from + to)));
    DLF_TRY_DONE(flicker_checks(run, success, expects));
    DLF_TRY_DONE(flicker_table(run, success));
    DLF_TRY_DONE(flicker_figure(run));
    DLF_TRY_DONE(lengths(run, of_lengths, 0.5 * (from + to), to));
    status = lengths_report(run, of_lengths);
done:
    free(success);
    return status;
}
