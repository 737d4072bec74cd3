/* SPDX-License-Identifier: MIT
 * hmm_vs_rnn_floor.c -- Q43: data of a hidden Markov model: n-grams, a fitted model and recurrent
 * networks above the loss of the forward algorithm. Control: little data. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "figures.h"
#include "hmm_vs_rnn.h"
#include "seed_check.h"

enum {
    GRAMS = 12, /* longest n-gram                                                        */
    DEEP = 16,  /* symbols after which the entropy is taken for the rate                 */
    SIZES = 3,  /* training sequences: 1, 10 and 100 hundredths                          */
    HIDDEN = 8,
    BATCH = 32,
    CHECKED = 6, /* the n-gram that is checked                                            */
    FREE = 4     /* of a model of two states and symbols, which starts as its moves say   */
};

dlf_status dlf_sticky_source(dlf_hmm *m)
{
    DLF_TRY(dlf_hmm_new(m, 2, 2));
    for (int i = 0; i < 2; i++) {
        m->start[i] = 0.5;
        for (int j = 0; j < 2; j++) {
            m->move[2 * i + j] = i == j ? 0.97 : 0.03;
            m->emit[2 * i + j] = i == j ? 0.8 : 0.2;
        }
    }
    return DLF_OK;
}

static void descend(const dlf_hmm *m, double *h, int most, int depth, double p, const double *alpha)
{
    double after[64];
    for (int o = 0; o < m->symbols; o++) {
        memcpy(after, alpha, (size_t)m->states * sizeof *after);
        const double q = dlf_hmm_filter(m, after, o, depth == 0);
        if (q <= 0.0) continue;
        h[depth] -= p * q * log(q);
        if (depth + 1 < most) descend(m, h, most, depth + 1, p * q, after);
    }
}

void dlf_hmm_entropies(const dlf_hmm *m, double *h, int most)
{
    const double none[64] = {0.0};
    memset(h, 0, (size_t)most * sizeof *h);
    descend(m, h, most, 0, 1.0, none);
}

/* ---- data of one seed ---- */

typedef struct sample {
    int n;
    int *train, *test; /* (n+1), (n) */
    double *floor;     /* (n) loss of the forward algorithm on the test sequence */
} sample;

static void sample_free(sample *s)
{
    free(s->train);
    free(s->floor);
}

static void draw(const dlf_hmm *m, int *o, int n, uint64_t seed, uint32_t stream, uint32_t member)
{
    int state = -1;
    for (int t = 0; t < n; t++) {
        const double u[2] = {(double)dlf_rng_uniform(seed, stream, member, 2 * (uint64_t)t),
                             (double)dlf_rng_uniform(seed, stream, member, 2 * (uint64_t)t + 1)};
        o[t] = dlf_hmm_sample(m, &state, u);
    }
}

static dlf_status sample_new(sample *s, const dlf_hmm *m, const dlf_run *run, int seed)
{
    const int n = dlf_run_int(run, "symbols");
    *s = (sample){.n = n};
    s->train = malloc((size_t)(2 * n + 1) * sizeof *s->train);
    s->floor = malloc((size_t)n * sizeof *s->floor);
    if (!s->train || !s->floor) return dlf_fail(DLF_ERR_OOM, "hmm-vs-rnn: out of memory");
    s->test = s->train + n + 1;
    draw(m, s->train, n + 1, dlf_run_seed(run), dlf_stream(DLF_PURPOSE_DATA, 43), (uint32_t)seed);
    draw(m, s->test, n, dlf_run_seed(run), dlf_stream(DLF_PURPOSE_TEST, 43), (uint32_t)seed);
    double alpha[2];
    for (int t = 0; t < n; t++) s->floor[t] = -log(dlf_hmm_filter(m, alpha, s->test[t], t == 0));
    return DLF_OK;
}

/* Training symbols of a size; the first windows and symbols are left out of every test. */
static int size_of(const dlf_run *run, int k)
{
    const int n = dlf_run_int(run, "symbols"), least = dlf_run_int(run, "time") + 1;
    const int size = n / (k == 0 ? 100 : k == 1 ? 10 : 1);
    return size > least ? size : least;
}

enum { SKIPPED = 64 }; /* test symbols before models are compared: no one has a history there */

/* Mean over the test sequence of loss - floor. */
static double excess_of(const sample *s, const double *loss)
{
    double sum = 0.0;
    for (int t = SKIPPED; t < s->n; t++) sum += loss[t] - s->floor[t];
    return sum / (s->n - SKIPPED);
}

/* ---- predictors ---- */

/* Relative frequencies after n - 1 symbols, half a count added (Krichevsky & Trofimov 1981). */
static double ngram(const sample *s, int n, int size, double *loss)
{
    double count[1 << GRAMS];
    const unsigned mask = (1u << n) - 1u;
    for (unsigned i = 0; i <= mask; i++) count[i] = 0.5;
    unsigned word = 0;
    for (int t = 0; t < size; t++) {
        word = (word << 1 | (unsigned)s->train[t]) & mask;
        if (t >= n - 1) count[word] += 1.0;
    }
    word = 0;
    for (int t = 0; t < s->n; t++) {
        word = (word << 1 | (unsigned)s->test[t]) & mask;
        loss[t] = -log(count[word] / (count[word] + count[word ^ 1u]));
    }
    return excess_of(s, loss);
}

/* Baum-Welch from a guess, then the forward algorithm. */
static dlf_status fitted(const sample *s, int size, int rounds, double *loss, double *excess)
{
    dlf_hmm m;
    dlf_status status;
    DLF_TRY_DONE(dlf_sticky_source(&m));
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            m.move[2 * i + j] = i == j ? 0.9 : 0.1;
            m.emit[2 * i + j] = i == j ? 0.7 : 0.3;
        }
    DLF_TRY_DONE(dlf_hmm_fit(&m, s->train, 1, size, rounds, NULL));
    double alpha[2];
    for (int t = 0; t < s->n; t++) loss[t] = -log(dlf_hmm_filter(&m, alpha, s->test[t], t == 0));
    *excess = excess_of(s, loss);
done:
    dlf_hmm_free(&m);
    return status;
}

/* ---- all of it ---- */

typedef struct outcome {
    int seeds;
    double h[DEEP];
    double *ngram; /* (GRAMS, seeds)  the largest training sequence */
    double *few;   /* (SIZES, seeds)  the n-gram that is checked    */
    double *hmm;   /* (SIZES, seeds) */
    double *rnn;   /* (SIZES, seeds) */
} outcome;

/* Members: size by size, all seeds; windows of a short sequence come again and again. */
static dlf_status windows_new(dlf_windows *w, const sample *s, dlf_run *run, int seeds)
{
    const int T = dlf_run_int(run, "time"), P = SIZES * seeds;
    w->rows = size_of(run, SIZES - 1) / T;
    if (w->rows < BATCH) w->rows = BATCH;
    w->all = P * w->rows;
    w->x = malloc((size_t)w->all * (size_t)(3 * T) * sizeof *w->x);
    w->base = malloc((size_t)P * sizeof *w->base);
    if (!w->x || !w->base) return dlf_fail(DLF_ERR_OOM, "hmm-vs-rnn: out of memory");
    w->target = w->x + (long)w->all * 2 * T;
    for (int p = 0; p < P; p++) {
        const int here = size_of(run, p / seeds) / T;
        w->base[p] = p * w->rows;
        for (int r = 0; r < w->rows; r++) {
            const long row = (long)w->base[p] + r;
            dlf_next_symbol_row(w->x + row * 2 * T, w->target + row * T,
                                s[p % seeds].train + (r % here) * T, T);
        }
    }
    return DLF_OK;
}

static dlf_status networks(outcome *o, const sample *s, dlf_run *run, double *loss, double from,
                           double to)
{
    const int P = SIZES * o->seeds;
    const dlf_next_symbol net = {
        .members = P, .batch = BATCH, .hidden = HIDDEN, .steps = dlf_run_int(run, "time")};
    dlf_windows w = {0};
    dlf_status status;
    dlf_elman_weights *weights = calloc((size_t)P, sizeof *weights);
    if (!weights) return dlf_fail(DLF_ERR_OOM, "hmm-vs-rnn: out of memory");
    DLF_TRY_DONE(windows_new(&w, s, run, o->seeds));
    DLF_TRY_DONE(
        dlf_next_symbol_train(run, &net, &w, dlf_run_int(run, "steps"), 0.01, weights, from, to));
    for (int p = 0; p < P; p++) {
        const sample *of = &s[p % o->seeds];
        dlf_next_symbol_losses(&weights[p], of->test, of->n, loss);
        o->rnn[p] = excess_of(of, loss);
    }
done:
    for (int p = 0; p < P; p++) dlf_elman_weights_free(&weights[p]);
    free(weights);
    free(w.base);
    free(w.x);
    return status;
}

static dlf_status measure(outcome *o, dlf_run *run, double from, double to)
{
    const int seeds = o->seeds, n = dlf_run_int(run, "symbols");
    dlf_hmm source = {0};
    dlf_status status;
    sample *s = calloc((size_t)seeds, sizeof *s);
    double *loss = malloc((size_t)n * sizeof *loss);
    if (!s || !loss) {
        status = dlf_fail(DLF_ERR_OOM, "hmm-vs-rnn: out of memory");
        goto done;
    }
    DLF_TRY_DONE(dlf_sticky_source(&source));
    dlf_hmm_entropies(&source, o->h, DEEP);
    for (int i = 0; i < seeds; i++) {
        DLF_TRY_DONE(sample_new(&s[i], &source, run, i));
        for (int g = 1; g <= GRAMS; g++) o->ngram[(g - 1) * seeds + i] = ngram(&s[i], g, n, loss);
        for (int k = 0; k < SIZES; k++) {
            DLF_TRY_DONE(dlf_run_stage(run,
                                       from + 0.4 * (to - from) * (i * SIZES + k) / (seeds * SIZES),
                                       "Baum-Welch, %d symbols", size_of(run, k)));
            o->few[k * seeds + i] = ngram(&s[i], CHECKED, size_of(run, k), loss);
            DLF_TRY_DONE(fitted(&s[i], size_of(run, k), dlf_run_int(run, "rounds"), loss,
                                &o->hmm[k * seeds + i]));
        }
    }
    status = networks(o, s, run, loss, from + 0.4 * (to - from), to);
done:
    for (int i = 0; i < seeds && s; i++) sample_free(&s[i]);
    dlf_hmm_free(&source);
    free(loss);
    free(s);
    return status;
}

/* Best n-gram above the rate, and what counting costs: half a nat per free parameter and symbol. */
static double ngram_theory(const outcome *o, int n, double size)
{
    return o->h[n - 1] - o->h[DEEP - 1] + 0.5 * pow(2.0, n - 1) / size;
}

static dlf_status add_equal(dlf_run *run, const char *id, dlf_text claim, dlf_estimate e,
                            double expected, double relative, const char *source)
{
    dlf_check c = dlf_check_of(id, claim, e);
    c.expected = expected;
    c.tolerance = fmax(relative * expected, 4.0 * e.sd / sqrt(e.n));
    c.source = source;
    return dlf_result_check(dlf_run_result(run), c);
}

/* The mean excess of all models that is furthest below 0, in its standard errors. */
static double lowest(const outcome *o)
{
    double least = INFINITY;
    const double *all[] = {o->ngram, o->hmm, o->rnn};
    const int counts[] = {GRAMS, SIZES, SIZES};
    for (int a = 0; a < 3; a++)
        for (int k = 0; k < counts[a]; k++) {
            const dlf_estimate e = dlf_estimate_of(all[a] + k * o->seeds, o->seeds, 1);
            least = fmin(least, e.mean / (e.sd / sqrt(e.n)));
        }
    return least;
}

static dlf_status checks(const outcome *o, dlf_run *run)
{
    const int seeds = o->seeds, last = SIZES - 1;
    const dlf_estimate rnn = dlf_estimate_of(o->rnn + last * seeds, seeds, 1);
    dlf_result *r = dlf_run_result(run);
    dlf_check c = dlf_check_of(
        "rnn_reaches_floor",
        (dlf_text){"数据多时，循环网络到达前向算法的损失（每个符号多出的纳特）",
                   "with much data the recurrent network reaches the loss of the forward algorithm "
                   "(excess in nats per symbol)"},
        rnn);
    c.expected = 0.002;
    c.relation = DLF_AT_MOST;
    c.source = "the floor is the entropy rate; 0.002 is 2 % of what a unigram loses";
    DLF_TRY(dlf_result_check(r, c));
    DLF_TRY(
        add_equal(run, "ngram", (dlf_text){"6-gram 多出的损失", "excess of a 6-gram"},
                  dlf_estimate_of(o->ngram + (CHECKED - 1) * seeds, seeds, 1),
                  ngram_theory(o, CHECKED, size_of(run, last)), 0.05,
                  "closed form: H(o_6 | o_1..o_5) - rate + 2^5/(2N); 5 % or 4 standard errors"));
    DLF_TRY(
        add_equal(run, "counting",
                  (dlf_text){"12-gram 多出的损失：计数的代价", "excess of a 12-gram: what counting "
                                                               "costs"},
                  dlf_estimate_of(o->ngram + (GRAMS - 1) * seeds, seeds, 1),
                  ngram_theory(o, GRAMS, size_of(run, last)), 0.25,
                  "half a nat per free parameter and symbol, for many symbols per context; "
                  "25 %: many contexts are rare"));
    c = dlf_check_exact(
        "nobody_below",
        (dlf_text){"没有模型低于前向算法（最低的平均多余损失，以标准误计）",
                   "no model is below the forward algorithm (lowest mean excess, in "
                   "standard errors)"},
        lowest(o));
    c.expected = -5.0;
    c.relation = DLF_AT_LEAST;
    c.source = "Gibbs' inequality: the source itself has the least expected loss; of 18 models one "
               "in some runs is 3 standard errors below by chance";
    DLF_TRY(dlf_result_check(r, c));
    DLF_TRY(add_equal(run, "hmm_few",
                      (dlf_text){"数据少时拟合的 HMM 多出的损失",
                                 "excess of a fitted hidden Markov model with little data"},
                      dlf_estimate_of(o->hmm, seeds, 1), 0.5 * FREE / size_of(run, 0), 0.25,
                      "half a nat per free parameter and symbol, four parameters (Akaike 1974); "
                      "25 % or 4 standard errors"));
    double *ratio = malloc((size_t)seeds * sizeof *ratio);
    if (!ratio) return dlf_fail(DLF_ERR_OOM, "hmm-vs-rnn: out of memory");
    for (int s = 0; s < seeds; s++) ratio[s] = log(o->rnn[s] / (0.5 * FREE / size_of(run, 0)));
    const dlf_estimate e = dlf_estimate_of(ratio, seeds, 1);
    free(ratio);
    DLF_TRY(dlf_add_above(
        run, "little_data",
        (dlf_text){"对照，数据少：循环网络多出的损失大于拟合的 HMM（与其理论值之比的对数）",
                   "control, little data: the recurrent network loses more than a fitted hidden "
                   "Markov model (logarithm of the ratio to what that loses in theory)"},
        e,
        "four parameters against 89; a logarithm, as some networks overfit much more than others"));
    return DLF_OK;
}

static dlf_status facts(const outcome *o, dlf_run *run)
{
    dlf_result *r = dlf_run_result(run);
    const int seeds = o->seeds;
    DLF_TRY(dlf_result_fact(r, "rate", o->h[DEEP - 1], "nat"));
    DLF_TRY(dlf_result_fact(r, "unigram", o->h[0], "nat"));
    DLF_TRY(dlf_result_fact(r, "few_symbols", size_of(run, 0), "symbols"));
    DLF_TRY(dlf_result_fact(r, "rnn_few", dlf_estimate_of(o->rnn, seeds, 1).mean, "nat"));
    DLF_TRY(dlf_result_fact(r, "hmm_many",
                            dlf_estimate_of(o->hmm + (SIZES - 1) * seeds, seeds, 1).mean, "nat"));
    return DLF_OK;
}

/* Where an excess of 0 or below is drawn. */
static const double bottom = 1e-5;

enum { GRAM, NET, FITTED, MODELS };
static const char *const model_ids[MODELS] = {"ngram", "rnn", "hmm"};

static dlf_status new_table(dlf_run *run, const char *id, dlf_text title, const char *x,
                            dlf_table **t)
{
    const dlf_column columns[] = {{"model", NULL}, {x, "1"},      {"excess", "nat"},
                                  {"lo", "nat"},   {"hi", "nat"}, {"theory", "nat"},
                                  {NULL, NULL}};
    return dlf_result_table(dlf_run_result(run), id, title, columns, t);
}

static dlf_status add_row(dlf_table *t, int model, double x, const double *excess, int seeds,
                          double theory)
{
    const dlf_estimate e = dlf_estimate_of(excess, seeds, 1);
    return dlf_table_row(t, DLF_TXT(model_ids[model]), DLF_NUM(x), DLF_NUM(fmax(bottom, e.mean)),
                         DLF_NUM(fmax(bottom, e.lo)), DLF_NUM(fmax(bottom, e.hi)), DLF_NUM(theory));
}

/* All three models of a table whose x is `x`; points: which are drawn as points. */
static void draw_models(dlf_figure *f, const char *x, dlf_text gram, const bool points[MODELS])
{
    const dlf_text names[MODELS] = {
        gram, {"循环网络", "recurrent network"}, {"对照：拟合的 HMM", "control: fitted HMM"}};
    for (int m = 0; m < MODELS; m++)
        f->series[m] = (dlf_series){.role = m == FITTED ? DLF_CONTROL : DLF_MEASURED,
                                    .table = f->id,
                                    .where = "model",
                                    .equals = model_ids[m],
                                    .x = x,
                                    .y = "excess",
                                    .lo = "lo",
                                    .hi = "hi",
                                    .label = names[m],
                                    .colour = m,
                                    .points = points[m]};
}

static dlf_status context_figure(const outcome *o, dlf_run *run)
{
    const int seeds = o->seeds, last = SIZES - 1;
    dlf_table *t;
    DLF_TRY(new_table(run, "context",
                      (dlf_text){"多出的损失与上文长度", "excess loss by length of the context"},
                      "context", &t));
    for (int n = 1; n <= GRAMS; n++) {
        const double theory = ngram_theory(o, n, size_of(run, last));
        DLF_TRY(add_row(t, GRAM, n - 1, o->ngram + (n - 1) * seeds, seeds, theory));
        DLF_TRY(add_row(t, NET, n - 1, o->rnn + last * seeds, seeds, theory)); /* lines */
        DLF_TRY(add_row(t, FITTED, n - 1, o->hmm + last * seeds, seeds, theory));
    }
    dlf_figure f = {
        .id = "context",
        .kind = DLF_LINES,
        .title = {"n-gram 随上文指数逼近下限，直到计数不够；循环网络与拟合的 HMM 到达下限",
                  "n-grams approach the floor exponentially until counts run out; recurrent "
                  "networks and a fitted HMM reach it"},
        .subtitle =
            {"两状态 HMM 的数据；0 是前向算法的损失；误差棒与带为种子间 95 % 区间；虚线为理论",
             "data of a two-state hidden Markov model; 0 is the forward algorithm's loss; bars and "
             "bands: 95 % over seeds; theory dashed"},
        .x = {{"上文的符号数", "symbols of context"}, false},
        .y = {{"每个符号多出的损失（纳特）", "excess loss per symbol (nats)"}, true}};
    draw_models(&f, "context", (dlf_text){"n-gram", "n-gram"}, (const bool[]){true, false, false});
    dlf_theory_of(&f, GRAM, MODELS, "theory");
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status data_figure(const outcome *o, dlf_run *run)
{
    const int seeds = o->seeds;
    dlf_table *t;
    DLF_TRY(new_table(run, "data",
                      (dlf_text){"多出的损失与训练数据", "excess loss by training data"}, "symbols",
                      &t));
    for (int k = 0; k < SIZES; k++) {
        const double size = size_of(run, k), theory = 0.5 * FREE / size;
        DLF_TRY(add_row(t, GRAM, size, o->few + k * seeds, seeds, ngram_theory(o, CHECKED, size)));
        DLF_TRY(add_row(t, NET, size, o->rnn + k * seeds, seeds, theory));
        DLF_TRY(add_row(t, FITTED, size, o->hmm + k * seeds, seeds, theory));
    }
    dlf_figure f = {
        .id = "data",
        .kind = DLF_LINES,
        .title = {"数据少时，正确的模型（HMM）远胜循环网络；数据多时两者都接近下限",
                  "With little data the right model beats the recurrent network by far; with much "
                  "both are near the floor"},
        .subtitle =
            {"两状态 HMM 的数据；误差棒为种子间 95 % 区间；虚线为理论：每个自由参数半个纳特",
             "data of a two-state hidden Markov model; bars: 95 % over seeds; theory "
             "dashed: half a nat per free parameter"},
        .x = {{"训练符号数", "training symbols"}, true},
        .y = {{"每个符号多出的损失（纳特）", "excess loss per symbol (nats)"}, true}};
    draw_models(&f, "symbols", (dlf_text){"6-gram", "6-gram"}, (const bool[]){true, false, true});
    dlf_theory_of(&f, GRAM, MODELS, "theory");
    dlf_theory_of(&f, FITTED, MODELS + 1, "theory");
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_hmm_floor(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    outcome o = {.seeds = seeds};
    o.ngram = calloc((size_t)((GRAMS + 3 * SIZES) * seeds), sizeof *o.ngram);
    if (!o.ngram) return dlf_fail(DLF_ERR_OOM, "hmm-vs-rnn: out of memory");
    o.few = o.ngram + GRAMS * seeds;
    o.hmm = o.few + SIZES * seeds;
    o.rnn = o.hmm + SIZES * seeds;
    dlf_status status;
    DLF_TRY_DONE(measure(&o, run, from, to));
    DLF_TRY_DONE(checks(&o, run));
    DLF_TRY_DONE(facts(&o, run));
    DLF_TRY_DONE(context_figure(&o, run));
    status = data_figure(&o, run);
done:
    free(o.ngram);
    return status;
}
