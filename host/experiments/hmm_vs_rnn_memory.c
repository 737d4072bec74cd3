/* SPDX-License-Identifier: MIT
 * hmm_vs_rnn_memory.c -- Q43: k random bits, said twice: what states and units can remember.
 * Control: as many states as the bound asks for, and a model built by hand, which lose nothing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "figures.h"
#include "hmm_vs_rnn.h"
#include "seed_check.h"

enum { HIDDEN = 24, MOST_SIZES = 10 };

double dlf_memory_bound(double k, double K)
{
    return fmax(0.0, k - log2(K)) * log(2.0);
}

/* States in blocks, one per position t = 1 .. k + j: first the bits said so far, as far as they are
 * remembered (2^min(t,j) states), then those still to be said; behind them one state that guesses,
 * unless j = k. */
static int bits_at(int k, int j, int t)
{
    return t > k ? k + j - t + 1 : t < j ? t : j;
}

static int block(int k, int j, int position)
{
    int at = 0;
    for (int t = 1; t < position; t++) at += 1 << bits_at(k, j, t);
    return at;
}

int dlf_memory_states(int k, int j)
{
    return (j ? block(k, j, k + j + 1) : 0) + (j < k);
}

static void fill_state(dlf_hmm *m, int k, int j, int t, int b)
{
    const int bits = bits_at(k, j, t), state = block(k, j, t) + b;
    double *move = m->move + (long)state * m->states, *emit = m->emit + 2L * state;
    double *next = move + block(k, j, t + 1);
    if (t > j && t <= k)
        emit[0] = emit[1] = 0.5;
    else
        emit[t <= k ? b & 1 : b >> (bits - 1)] = 1.0;
    if (t < j)
        next[2 * b] = next[2 * b + 1] = 0.5;
    else if (t <= k)
        next[b] = 1.0;
    else if (t < k + j)
        next[b & ((1 << (bits - 1)) - 1)] = 1.0;
    else if (j < k)
        next[0] = 1.0;
    else
        move[state] = 1.0; /* over */
}

dlf_status dlf_memory_hmm(dlf_hmm *m, int k, int j)
{
    DLF_TRY(dlf_hmm_new(m, dlf_memory_states(k, j), 2));
    const int last = m->states - 1;
    for (int t = 1; j && t <= k + j; t++)
        for (int b = 0; b < 1 << bits_at(k, j, t); b++) fill_state(m, k, j, t, b);
    if (j < k) {
        m->move[(long)last * m->states + last] = 1.0;
        m->emit[2 * last] = m->emit[2 * last + 1] = 0.5;
    }
    m->start[0] = j ? 0.5 : 1.0;
    if (j) m->start[1] = 0.5;
    return DLF_OK;
}

dlf_status dlf_memory_rnn(dlf_elman_weights *e, int k)
{
    DLF_TRY(dlf_elman_weights_new(e, k, 2, 1));
    const double gain = 4.0; /* tanh(4 h) = h at h = 0.9993: bits stay bits */
    for (int i = 0; i < k; i++) e->w[i * (k + 2) + (i ? i - 1 : k + 1)] = gain;
    e->v[k - 1] = 40.0;
    return DLF_OK;
}

/* All 2^k sequences of 2k symbols. */
static void sequence(int k, int which, int *o)
{
    for (int i = 0; i < k; i++) o[i] = o[i + k] = which >> (k - 1 - i) & 1;
}

/* Mean loss over all sequences of the second half. */
static double rnn_loss(const dlf_elman_weights *e, int k)
{
    double sum = 0.0, loss[64];
    int o[64];
    for (int which = 0; which < 1 << k; which++) {
        sequence(k, which, o);
        dlf_next_symbol_losses(e, o, 2 * k, loss);
        for (int t = k; t < 2 * k; t++) sum += loss[t];
    }
    return sum / (1 << k);
}

/* The same: the likelihood of the whole over that of the first half. */
static dlf_status hmm_loss(const dlf_hmm *m, int k, double *out)
{
    int o[64];
    *out = 0.0;
    for (int which = 0; which < 1 << k; which++) {
        double whole, half;
        sequence(k, which, o);
        DLF_TRY(dlf_hmm_counts(m, o, 2 * k, NULL, NULL, NULL, &whole));
        DLF_TRY(dlf_hmm_counts(m, o, k, NULL, NULL, NULL, &half));
        *out += (half - whole) / (1 << k);
    }
    return DLF_OK;
}

typedef struct outcome {
    int k, seeds, sizes;            /* sizes: models of 2, 4, .. 2^(k-1) states */
    double hmm[MOST_SIZES][64];     /* (sizes, seeds) */
    double rnn[64], shift;          /* shift: the shift register */
    double by_hand[MOST_SIZES + 1]; /* models that remember 0 .. k bits */
} outcome;

static dlf_status fit_models(outcome *o, dlf_run *run, double from, double to)
{
    const int k = o->k, R = 1 << k;
    int *all = malloc((size_t)(R * 2 * k) * sizeof *all);
    dlf_hmm m = {0};
    dlf_status status = DLF_OK;
    if (!all) return dlf_fail(DLF_ERR_OOM, "hmm-vs-rnn: out of memory");
    for (int which = 0; which < R; which++) sequence(k, which, all + which * 2 * k);
    for (int i = 0; i < o->sizes; i++)
        for (int s = 0; s < o->seeds; s++) {
            DLF_TRY_DONE(
                dlf_run_stage(run, from + (to - from) * (i * o->seeds + s) / (o->sizes * o->seeds),
                              "memory: %d states", 2 << i));
            DLF_TRY_DONE(dlf_hmm_new(&m, 2 << i, 2));
            dlf_hmm_draw(&m, 0.01, 16.0, dlf_run_seed(run),
                         dlf_stream(DLF_PURPOSE_START, 43 + (uint32_t)i), (uint32_t)s);
            DLF_TRY_DONE(dlf_hmm_fit(&m, all, R, 2 * k, 3 * dlf_run_int(run, "rounds"), NULL));
            DLF_TRY_DONE(hmm_loss(&m, k, &o->hmm[i][s]));
            dlf_hmm_free(&m);
        }
done:
    dlf_hmm_free(&m);
    free(all);
    return status;
}

static dlf_status train(outcome *o, dlf_run *run, double from, double to)
{
    const int k = o->k, R = 1 << k, T = 2 * k - 1;
    const dlf_next_symbol net = {.members = o->seeds, .batch = R, .hidden = HIDDEN, .steps = T};
    dlf_windows w = {.rows = R, .all = R};
    dlf_status status;
    dlf_elman_weights *weights = calloc((size_t)o->seeds, sizeof *weights);
    w.x = malloc((size_t)(R * 3 * T) * sizeof *w.x);
    w.base = calloc((size_t)o->seeds, sizeof *w.base);
    if (!weights || !w.x || !w.base) {
        status = dlf_fail(DLF_ERR_OOM, "hmm-vs-rnn: out of memory");
        goto done;
    }
    w.target = w.x + R * 2 * T;
    for (int which = 0; which < R; which++) {
        int symbols[64];
        sequence(k, which, symbols);
        dlf_next_symbol_row(w.x + which * 2 * T, w.target + which * T, symbols, T);
    }
    DLF_TRY_DONE(dlf_next_symbol_train(run, &net, &w, dlf_run_int(run, "copy_steps"), 0.01, weights,
                                       from, to));
    for (int s = 0; s < o->seeds; s++) o->rnn[s] = rnn_loss(&weights[s], k);
done:
    for (int s = 0; s < o->seeds && weights; s++) dlf_elman_weights_free(&weights[s]);
    free(w.base);
    free(w.x);
    free(weights);
    return status;
}

static dlf_status by_hand(outcome *o)
{
    dlf_elman_weights e = {0};
    dlf_hmm m = {0};
    dlf_status status;
    DLF_TRY_DONE(dlf_memory_rnn(&e, o->k));
    o->shift = rnn_loss(&e, o->k);
    for (int j = 0; j <= o->k; j++) {
        DLF_TRY_DONE(dlf_memory_hmm(&m, o->k, j));
        DLF_TRY_DONE(hmm_loss(&m, o->k, &o->by_hand[j]));
        dlf_hmm_free(&m);
    }
done:
    dlf_hmm_free(&m);
    dlf_elman_weights_free(&e);
    return status;
}

/* ---- report ---- */

static dlf_status at_most(dlf_run *run, dlf_check c, double bound, const char *source)
{
    c.expected = bound;
    c.relation = DLF_AT_MOST;
    c.source = source;
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status checks(const outcome *o, dlf_run *run)
{
    double least = INFINITY;
    dlf_result *r = dlf_run_result(run);
    for (int i = 0; i < o->sizes; i++)
        for (int s = 0; s < o->seeds; s++)
            least = fmin(least, o->hmm[i][s] - dlf_memory_bound(o->k, 2 << i));
    dlf_check c = dlf_check_exact(
        "memory_bound",
        (dlf_text){"没有一个拟合的 HMM 低于 (k − log₂K) ln 2（离下限最近的距离，纳特）",
                   "no fitted model is below (k - log2 K) ln 2 (nearest to it, in nats)"},
        least);
    c.expected = 0.0;
    c.tolerance = 1e-9;
    c.relation = DLF_AT_LEAST;
    c.self_check = true;
    c.source = "theorem: the state is all that the second half knows of the first (Jensen)";
    DLF_TRY(dlf_result_check(r, c));
    double worst = 0.0;
    for (int j = 0; j <= o->k; j++)
        worst = fmax(worst, fabs(o->by_hand[j] - (o->k - j) * log(2.0)));
    DLF_TRY(at_most(
        run,
        dlf_check_exact(
            "memory_states",
            (dlf_text){"对照，手工构造、记住 j 个比特的 HMM 恰好损失 (k − j) ln 2，j = k 时为零"
                       "（最大偏差，纳特）",
                       "control, models made by hand that remember j bits lose exactly "
                       "(k - j) ln 2, nothing at j = k (worst difference, nats)"},
            worst),
        1e-9, "construction: 2^(k+2) - 4 states for j = k"));
    DLF_TRY(
        at_most(run,
                dlf_check_exact("memory_units",
                                (dlf_text){"手工构造的循环网络只要 k 个单元就一点不损失（纳特）",
                                           "a recurrent network of k units made by hand loses "
                                           "nothing (nats)"},
                                o->shift),
                1e-9, "construction: a shift register"));
    DLF_TRY(at_most(
        run,
        dlf_check_of("memory_trained",
                     (dlf_text){"循环网络能从数据学会：第二遍的损失（纳特）",
                                "a recurrent network learns it from data: loss of the second half "
                                "(nats)"},
                     dlf_estimate_of(o->rnn, o->seeds, 1)),
        0.1,
        "0 is possible; 0.1 is less than any model of half as many states as bits have values"));
    DLF_TRY(dlf_result_fact(r, "states_by_hand", dlf_memory_states(o->k, o->k), "states"));
    DLF_TRY(dlf_result_fact(r, "many_states", 2 << (o->sizes - 1), "states"));
    DLF_TRY(dlf_result_fact(r, "many_states_loss",
                            dlf_estimate_of(o->hmm[o->sizes - 1], o->seeds, 1).mean, "nat"));
    DLF_TRY(dlf_result_fact(r, "many_states_bound", dlf_memory_bound(o->k, 2 << (o->sizes - 1)),
                            "nat"));
    return dlf_result_fact(r, "chance", o->k * log(2.0), "nat");
}

static dlf_status table(const outcome *o, dlf_run *run)
{
    dlf_table *t;
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "memory",
                         (dlf_text){"第二遍的损失与状态数", "loss of the second half by states"},
                         (const dlf_column[]){{"model", NULL},
                                              {"states", "1"},
                                              {"loss", "nat"},
                                              {"lo", "nat"},
                                              {"hi", "nat"},
                                              {"bound", "nat"},
                                              {NULL, NULL}},
                         &t));
    for (int i = 0; i < o->sizes; i++) {
        const dlf_estimate e = dlf_estimate_of(o->hmm[i], o->seeds, 1);
        DLF_TRY(dlf_table_row(t, DLF_TXT("fitted"), DLF_NUM(2 << i), DLF_NUM(e.mean), DLF_NUM(e.lo),
                              DLF_NUM(e.hi), DLF_NUM(dlf_memory_bound(o->k, 2 << i))));
    }
    for (int j = 0; j <= o->k; j++) {
        const double K = dlf_memory_states(o->k, j);
        DLF_TRY(dlf_table_row(t, DLF_TXT("by_hand"), DLF_NUM(K), DLF_NUM(o->by_hand[j]),
                              DLF_NUM(o->by_hand[j]), DLF_NUM(o->by_hand[j]),
                              DLF_NUM(dlf_memory_bound(o->k, K))));
    }
    const dlf_estimate n = dlf_estimate_of(o->rnn, o->seeds, 1);
    for (int i = 0; i <= o->k + 2; i++) /* a network has no states: a line */
        DLF_TRY(dlf_table_row(t, DLF_TXT("rnn"), DLF_NUM(1 << i), DLF_NUM(n.mean),
                              DLF_NUM(fmax(0.0, n.lo)), DLF_NUM(n.hi),
                              DLF_NUM(dlf_memory_bound(o->k, 1 << i))));
    return DLF_OK;
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "memory",
        .kind = DLF_LINES,
        .title =
            {"K 个状态至多记得 log₂K 比特；循环网络学会记住全部",
             "K states remember at most log₂K bits; a recurrent network learns to remember all"},
        .subtitle =
            {"k 个随机比特说两遍，第二遍的损失；误差棒为种子间 95 % 区间；虚线为 (k − log₂K) ln 2",
             "k random bits said twice, loss of the second time; bars: 95 % over seeds; dashed: "
             "(k − log₂K) ln 2"},
        .x = {{"HMM 的状态数 K", "states K of the HMM"}, true},
        .y = {{"第二遍的损失（纳特）", "loss of the second half (nats)"}, false}};
    static const char *const models[] = {"fitted", "by_hand", "rnn"};
    static const dlf_text names[] = {{"HMM，Baum-Welch", "HMM, Baum-Welch"},
                                     {"对照：手工构造的 HMM", "control: HMM made by hand"},
                                     {"循环网络，24 个单元", "recurrent network, 24 units"}};
    for (int a = 0; a < 3; a++)
        f.series[a] = (dlf_series){.role = a == 1 ? DLF_CONTROL : DLF_MEASURED,
                                   .table = "memory",
                                   .where = "model",
                                   .equals = models[a],
                                   .x = "states",
                                   .y = "loss",
                                   .lo = a == 1 ? NULL : "lo",
                                   .hi = a == 1 ? NULL : "hi",
                                   .label = names[a],
                                   .colour = a,
                                   .points = a == 0};
    dlf_theory_of(&f, 2, 3, "bound");
    f.series[3].colour = 0;
    f.series[3].label = (dlf_text){"任何 HMM 的下限", "no HMM is below"};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_hmm_memory(dlf_run *run, double from, double to)
{
    const double middle = 0.5 * (from + to);
    outcome *o = calloc(1, sizeof *o);
    if (!o) return dlf_fail(DLF_ERR_OOM, "hmm-vs-rnn: out of memory");
    o->k = dlf_run_int(run, "memory_bits");
    o->seeds = dlf_run_seeds(run);
    o->sizes = o->k - 1;
    dlf_status status;
    if (o->seeds > (int)(sizeof o->rnn / sizeof o->rnn[0])) {
        status = dlf_fail(DLF_ERR_ARG, "hmm-vs-rnn: at most 64 seeds");
        goto done;
    }
    DLF_TRY_DONE(fit_models(o, run, from, middle));
    DLF_TRY_DONE(train(o, run, middle, to));
    DLF_TRY_DONE(by_hand(o));
    DLF_TRY_DONE(checks(o, run));
    DLF_TRY_DONE(table(o, run));
    status = figure(run);
done:
    free(o);
    return status;
}
