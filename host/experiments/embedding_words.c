/* SPDX-License-Identifier: MIT
 * embedding_words.c -- Q9: what word vectors learn. Skip-gram with negative samples on the exact
 * expectation of its loss, for every number of dimensions; squared error beside it, whose best
 * low-rank answer is known. Control: a language in which neighbours say nothing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/backend.h"
#include "dlf/ops.h"
#include "dlf/rng.h"
#include "embedding.h"
#include "figures.h"
#include "seed_check.h"

enum { W = DLF_WORDS, CELLS = W * W, TOPICAL = 0, INDEPENDENT, LANGUAGES };
static const int dims[] = {1, 2, 3, 4, 6, 8, 12, W};
enum { DIMS = sizeof dims / sizeof dims[0], STRUCTURE = 3 /* dims[3] == DLF_TOPICS */ };
static const char *const language_ids[LANGUAGES] = {"topical", "independent"};

/* Members: language * seeds + seed. Scores m = a b^T of words a and contexts b. */
typedef struct model {
    int P, D;
    dlf_tensor a, b, m, s, g, da, db, rate; /* (P,W,D) x2, (P,W,W) x3, (P,W,D) x2, (P) */
    dlf_tensor total, together, target;     /* (P,W,W): P_ij + k P_i P_j, P_ij, PMI - ln k */
    dlf_tensor moment[4];                   /* Adam's, of a and b                       */
} model;

static void model_free(model *n)
{
    dlf_tensor *all[] = {&n->a,      &n->b,         &n->m,         &n->s,         &n->g,
                         &n->da,     &n->db,        &n->rate,      &n->total,     &n->together,
                         &n->target, &n->moment[0], &n->moment[1], &n->moment[2], &n->moment[3]};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
}

static dlf_status model_new(model *n, dlf_run *run, int D, const double *total,
                            const double *together, const double *target)
{
    dlf_device *dev = dlf_run_device(run);
    *n = (model){.P = LANGUAGES * dlf_run_seeds(run), .D = D};
    dlf_tensor *vectors[] = {&n->a, &n->b, &n->da, &n->db};
    dlf_tensor *squares[] = {&n->m, &n->s, &n->g, &n->total, &n->together, &n->target};
    for (int i = 0; i < 4; i++) {
        DLF_TRY(dlf_tensor_new(vectors[i], dev, dev->real, n->P, W, D));
        DLF_TRY(dlf_tensor_new(&n->moment[i], dev, dev->real, n->P, (int64_t)W * D));
        DLF_TRY(dlf_tensor_zero(&n->moment[i]));
    }
    for (int i = 0; i < 6; i++) DLF_TRY(dlf_tensor_new(squares[i], dev, dev->real, n->P, W, W));
    DLF_TRY(dlf_tensor_upload_f64(&n->total, total));
    DLF_TRY(dlf_tensor_upload_f64(&n->together, together));
    DLF_TRY(dlf_tensor_upload_f64(&n->target, target));
    DLF_TRY(dlf_tensor_new(&n->rate, dev, dev->real, n->P));
    for (int i = 0; i < 2; i++)
        DLF_TRY(dlf_random_normal(
            vectors[i], NULL, NULL,
            (dlf_rng){dlf_run_seed(run), dlf_stream(DLF_PURPOSE_START, (uint32_t)(10 + i))}));
    return DLF_OK;
}

static dlf_status adam(model *n, int which, int step)
{
    const int64_t flat[] = {n->P, (int64_t)W * n->D};
    dlf_tensor w = dlf_tensor_reshape(which ? &n->b : &n->a, 2, flat);
    const dlf_tensor g = dlf_tensor_reshape(which ? &n->db : &n->da, 2, flat);
    return dlf_adam_step(&w, &n->moment[2 * which], &n->moment[2 * which + 1], &g, &n->rate, NULL,
                         NULL, (dlf_adam_args){0.9, 0.999, 1e-8, 0.0, false, step});
}

/* One step on the whole expectation. skip-gram: dL/dm = (P_ij + k P_i P_j) s(m) - P_ij, scaled by
 * the number of cells so that it is of order 1; squared error: dL/dm = m - target. */
static dlf_status step(model *n, bool squared, int number)
{
    const dlf_gemm_args plain = {.alpha = 1.0};
    DLF_TRY(dlf_gemm(&n->m, &n->a, &n->b, (dlf_gemm_args){.trans_b = true, .alpha = 1.0}));
    if (squared) {
        DLF_TRY(dlf_tensor_copy(&n->g, &n->m));
        DLF_TRY(dlf_axpby(&n->g, &n->target, NULL, -1.0, 1.0));
    } else {
        DLF_TRY(dlf_activation_forward(&n->s, &n->m, dlf_activation_of(DLF_SIGMOID)));
        DLF_TRY(dlf_multiply(&n->g, &n->s, &n->total, 0.0));
        DLF_TRY(dlf_axpby(&n->g, &n->together, NULL, -1.0, 1.0));
    }
    DLF_TRY(dlf_gemm(&n->da, &n->g, &n->b, plain));
    DLF_TRY(dlf_gemm(&n->db, &n->g, &n->a, (dlf_gemm_args){.trans_a = true, .alpha = 1.0}));
    DLF_TRY(adam(n, 0, number));
    return adam(n, 1, number);
}

/* Trains with a rate that falls to 0 and leaves the scores in m (P,W,W). */
static dlf_status train(model *n, dlf_run *run, bool squared, double *m, double at)
{
    const int steps = dlf_run_int(run, "word_steps");
    double *rate = malloc((size_t)n->P * sizeof *rate);
    if (!rate) return dlf_fail(DLF_ERR_OOM, "embedding: out of memory");
    dlf_status status = DLF_OK;
    for (int i = 1; i <= steps; i++) {
        if (i % 100 == 1) DLF_TRY_DONE(dlf_run_stage(run, at, "word vectors, %d dimensions", n->D));
        if (i % 10 == 1) {
            for (int p = 0; p < n->P; p++)
                rate[p] = 0.1 * 0.5 * (1.0 + cos(M_PI * (i - 1) / steps));
            DLF_TRY_DONE(dlf_tensor_upload_f64(&n->rate, rate));
        }
        DLF_TRY_DONE(step(n, squared, i));
    }
    DLF_TRY_DONE(dlf_gemm(&n->m, &n->a, &n->b, (dlf_gemm_args){.trans_b = true, .alpha = 1.0}));
    status = dlf_tensor_download_f64(m, &n->m);
done:
    free(rate);
    return status;
}

typedef struct study {
    int seeds, P;
    double k;
    double *joint, *total, *together, *target, *m; /* (P,CELLS)               */
    double *excess, *residual;                     /* (DIMS, P)               */
    double *discarded;                             /* (DIMS, P)               */
    double *furthest;                              /* (P) max |m - target|, D = W */
    double *apart;                                 /* (P) cosine within - across, D = 4 */
    double *vectors;                               /* (P, W, 4): of the words, D = 4 */
    double *scores;                                /* (CELLS) m of the first seed, D = W */
} study;

static void study_free(study *s)
{
    free(s->joint);
    free(s->excess);
}

static dlf_status study_new(study *s, dlf_run *run)
{
    *s = (study){.seeds = dlf_run_seeds(run), .k = dlf_run_real(run, "negatives")};
    s->P = LANGUAGES * s->seeds;
    const long squares = (long)s->P * CELLS;
    s->joint = malloc((size_t)(6 * squares + CELLS) * sizeof *s->joint);
    s->excess = malloc((size_t)(3 * DIMS + 2) * (size_t)s->P * sizeof *s->excess);
    if (!s->joint || !s->excess) return dlf_fail(DLF_ERR_OOM, "embedding: out of memory");
    s->total = s->joint + squares;
    s->together = s->total + squares;
    s->target = s->together + squares;
    s->m = s->target + squares;
    s->vectors = s->m + squares;
    s->scores = s->vectors + squares;
    s->residual = s->excess + (long)DIMS * s->P;
    s->discarded = s->residual + (long)DIMS * s->P;
    s->furthest = s->discarded + (long)DIMS * s->P;
    s->apart = s->furthest + s->P;
    for (int p = 0; p < s->P; p++) {
        double *joint = s->joint + (long)p * CELLS, marginal[W] = {0.0};
        dlf_language(joint, p / s->seeds == INDEPENDENT, dlf_run_seed(run),
                     (uint32_t)(p % s->seeds));
        dlf_shifted_pmi(s->target + (long)p * CELLS, joint, s->k);
        for (int i = 0; i < CELLS; i++) marginal[i / W] += joint[i];
        for (int i = 0; i < CELLS; i++) {
            s->together[(long)p * CELLS + i] = CELLS * joint[i];
            s->total[(long)p * CELLS + i] =
                CELLS * (joint[i] + s->k * marginal[i / W] * marginal[i % W]);
        }
    }
    return DLF_OK;
}

/* Mean cosine between the vectors of words of one topic, less that between topics. */
static double apartness(const double *v, int D)
{
    double within = 0.0, across = 0.0;
    int n_within = 0, n_across = 0;
    for (int i = 0; i < W; i++)
        for (int j = 0; j < i; j++) {
            double ij = 0.0, ii = 0.0, jj = 0.0;
            for (int d = 0; d < D; d++) {
                ij += v[i * D + d] * v[j * D + d];
                ii += v[i * D + d] * v[i * D + d];
                jj += v[j * D + d] * v[j * D + d];
            }
            const double cosine = ij / sqrt(ii * jj);
            if (i % DLF_TOPICS == j % DLF_TOPICS) {
                within += cosine;
                n_within++;
            } else {
                across += cosine;
                n_across++;
            }
        }
    return within / n_within - across / n_across;
}

static dlf_status observe(study *s, model *n, int k, bool squared)
{
    for (int i = 0; i < CELLS && !squared && dims[k] == W; i++) s->scores[i] = s->m[i];
    if (!squared && k == STRUCTURE) DLF_TRY(dlf_tensor_download_f64(s->vectors, &n->a));
    for (int p = 0; p < s->P; p++) {
        const double *m = s->m + (long)p * CELLS, *target = s->target + (long)p * CELLS;
        double far = 0.0, square = 0.0;
        for (int i = 0; i < CELLS; i++) {
            const double d = fabs(m[i] - target[i]);
            if (!(d <= far)) far = d;
            square += d * d;
        }
        if (squared) {
            s->residual[k * s->P + p] = square;
            DLF_TRY(dlf_discarded(s->discarded + k * s->P + p, target, W, dims[k]));
            continue;
        }
        s->excess[k * s->P + p] = dlf_sgns_loss(m, s->joint + (long)p * CELLS, s->k) -
                                  dlf_sgns_loss(target, s->joint + (long)p * CELLS, s->k);
        if (dims[k] == W) s->furthest[p] = far;
        if (k == STRUCTURE) s->apart[p] = apartness(s->vectors + (long)p * W * dims[k], dims[k]);
    }
    return DLF_OK;
}

static dlf_status train_all(study *s, dlf_run *run, double from, double to)
{
    for (int k = 0; k < DIMS; k++)
        for (int squared = 0; squared < 2; squared++) {
            model n;
            const double at = from + (to - from) * (2 * k + squared) / (2 * DIMS);
            dlf_status status = model_new(&n, run, dims[k], s->total, s->together, s->target);
            if (status == DLF_OK) status = train(&n, run, squared, s->m, at);
            if (status == DLF_OK) status = observe(s, &n, k, squared);
            model_free(&n);
            DLF_TRY(status);
        }
    return DLF_OK;
}

/* ---- report --------------------------------------------------------------------------------- */

static dlf_status tables(const study *s, dlf_run *run)
{
    dlf_result *r = dlf_run_result(run);
    dlf_table *rank, *scatter, *alike;
    DLF_TRY(dlf_result_table(
        r, "rank", (dlf_text){"词向量的维数与损失", "dimensions of word vectors and loss"},
        (const dlf_column[]){{"language", NULL},
                             {"dim", "1"},
                             {"excess", "nat"},
                             {"excess_lo", "nat"},
                             {"excess_hi", "nat"},
                             {"residual", "1"},
                             {"residual_lo", "1"},
                             {"residual_hi", "1"},
                             {"discarded", "1"},
                             {NULL, NULL}},
        &rank));
    for (int l = 0; l < LANGUAGES; l++)
        for (int k = 0; k < DIMS; k++) {
            const long at = (long)k * s->P + (long)l * s->seeds;
            const dlf_estimate e = dlf_estimate_of(s->excess + at, s->seeds, 1),
                               m = dlf_estimate_of(s->residual + at, s->seeds, 1),
                               t = dlf_estimate_of(s->discarded + at, s->seeds, 1);
            DLF_TRY(dlf_table_row(rank, DLF_TXT(language_ids[l]), DLF_NUM(dims[k]), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(m.mean), DLF_NUM(m.lo),
                                  DLF_NUM(m.hi), DLF_NUM(t.mean)));
        }
    DLF_TRY(dlf_result_table(r, "scores",
                             (dlf_text){"学到的得分与点互信息（第一个种子）",
                                        "learned scores and mutual information (first seed)"},
                             (const dlf_column[]){{"pmi", "nat"}, {"score", "nat"}, {NULL, NULL}},
                             &scatter));
    for (int i = 0; i < CELLS; i++)
        if (i / W <= i % W)
            DLF_TRY(dlf_table_row(scatter, DLF_NUM(s->target[i]), DLF_NUM(s->scores[i])));
    DLF_TRY(dlf_result_table(
        r, "alike",
        (dlf_text){"词向量之间的余弦（第一个种子）", "cosines between word vectors (first seed)"},
        (const dlf_column[]){{"x", "1"}, {"y", "1"}, {"cosine", "1"}, {NULL, NULL}}, &alike));
    const int D = dims[STRUCTURE], each = W / DLF_TOPICS;
    for (int i = 0; i < W; i++)
        for (int j = 0; j < W; j++) {
            /* sorted by topic */
            const double *a = s->vectors + (i % each * DLF_TOPICS + i / each) * D,
                         *b = s->vectors + (j % each * DLF_TOPICS + j / each) * D;
            double ab = 0.0, aa = 0.0, bb = 0.0;
            for (int d = 0; d < D; d++) {
                ab += a[d] * b[d];
                aa += a[d] * a[d];
                bb += b[d] * b[d];
            }
            DLF_TRY(
                dlf_table_row(alike, DLF_NUM(i + 1), DLF_NUM(j + 1), DLF_NUM(ab / sqrt(aa * bb))));
        }
    return DLF_OK;
}

static dlf_status checks(const study *s, dlf_run *run)
{
    dlf_result *r = dlf_run_result(run);
    double *value = malloc((size_t)s->seeds * sizeof *value), worst = 0.0;
    if (!value) return dlf_fail(DLF_ERR_OOM, "embedding: out of memory");
    dlf_status status = DLF_OK;
    dlf_check c = dlf_check_of(
        "sgns_pmi",
        (dlf_text){"维数足够时，词向量的内积就是 PMI − ln k（最大偏差）",
                   "with dimensions enough the products of word vectors are PMI − ln k (largest "
                   "difference)"},
        dlf_estimate_of(s->furthest, s->seeds, 1));
    c.tolerance = 0.02;
    c.source = "Levy & Goldberg 2014, eq. 12; 0.02 of a range of 2: steps are finite";
    DLF_TRY_DONE(dlf_result_check(r, c));

    for (int seed = 0; seed < s->seeds; seed++)
        value[seed] = s->excess[(STRUCTURE - 1) * s->P + seed] / s->excess[STRUCTURE * s->P + seed];
    c = dlf_check_of(
        "sgns_rank",
        (dlf_text){"四个主题要四维：从三维到四维，多余的损失降到几分之一",
                   "four topics need four dimensions: from three to four the excess loss "
                   "falls by this factor"},
        dlf_estimate_of(value, s->seeds, 1));
    c.expected = 2.0;
    c.relation = DLF_AT_LEAST;
    c.source =
        "the topics' table has rank 4; the rest is every pair's own habit, which has all ranks";
    DLF_TRY_DONE(dlf_result_check(r, c));

    for (int k = 0; dims[k] < W; k++)
        for (int p = 0; p < s->seeds; p++) {
            const double d = s->residual[k * s->P + p] / s->discarded[k * s->P + p] - 1.0;
            if (!(fabs(d) <= worst)) worst = fabs(d);
        }
    DLF_TRY_DONE(dlf_add_exact(
        run, "eckart_young",
        (dlf_text){
            "平方误差下，d 维词向量的残差就是被舍去的奇异值平方和（各维数、各种子的最大相对差）",
            "with squared error the residual of d dimensions is the sum of the squares of the "
            "discarded singular values (largest relative difference over dimensions and seeds)"},
        worst, 0.0, 0.01, "Eckart & Young 1936; gradient descent finds the best rank d", NULL));

    c = dlf_check_of("topics_apart",
                     (dlf_text){"同主题的词靠在一起（余弦：同主题减不同主题）",
                                "words of one topic lie together (cosine within less across)"},
                     dlf_estimate_of(s->apart, s->seeds, 1));
    c.expected = 0.3;
    c.relation = DLF_AT_LEAST;
    c.source = "words with the same neighbours have the same rows of PMI";
    DLF_TRY_DONE(dlf_result_check(r, c));
    const dlf_estimate e = dlf_estimate_of(s->apart + s->seeds, s->seeds, 1);
    DLF_TRY_DONE(dlf_add_within(
        run, "independent_apart",
        (dlf_text){"对照，邻词独立的语言：词向量不分主题（同一余弦之差）",
                   "control, a language of independent words: vectors know no topics (the "
                   "same difference)"},
        e, 0.1, "PMI is 0 everywhere; an equivalence test at 0.1"));
done:
    free(value);
    return status;
}

static dlf_status rank_figures(dlf_run *run)
{
    dlf_figure f = {
        .id = "rank",
        .kind = DLF_LINES,
        .title = {"四个主题，四维就够；再多的维数只记住个别词对的习惯",
                  "Four topics need four dimensions; more only learn the habits of single pairs"},
        .subtitle =
            {"24 个词，skip-gram 加负采样，损失按期望精确计算；误差棒为种子间 95 % 区间",
             "24 words, skip-gram with negative samples on its exact expectation; bars: 95 % "
             "over seeds"},
        .x = {{"词向量的维数", "dimensions of a word vector"}, true},
        .y = {{"超出最优的损失 / nat", "loss above the best / nat"}, false}};
    for (int l = 0; l < LANGUAGES; l++)
        f.series[l] = (dlf_series){
            .role = l == INDEPENDENT ? DLF_CONTROL : DLF_MEASURED,
            .table = "rank",
            .where = "language",
            .equals = language_ids[l],
            .x = "dim",
            .y = "excess",
            .lo = "excess_lo",
            .hi = "excess_hi",
            .label = l == INDEPENDENT ? (dlf_text){"对照：邻词独立", "control: independent"}
                                      : (dlf_text){"四个主题", "four topics"},
            .colour = l};
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &f));
    f = (dlf_figure){
        .id = "eckart_young",
        .kind = DLF_LINES,
        .title =
            {"嵌入就是低秩分解：残差等于舍去的奇异值平方和",
             "An embedding is a low-rank factorisation: what remains are the discarded singular "
             "values"},
        .subtitle = {"同样的词，平方误差；虚线为 Eckart–Young 定理，没有拟合参数",
                     "the same words, squared error; dashed: theorem of Eckart and Young, nothing "
                     "fitted"},
        .x = {{"词向量的维数", "dimensions of a word vector"}, true},
        .y = {{"残差平方和", "sum of squared residuals"}, false}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "rank",
                               .where = "language",
                               .equals = language_ids[TOPICAL],
                               .x = "dim",
                               .y = "residual",
                               .lo = "residual_lo",
                               .hi = "residual_hi",
                               .label = {"训练所得", "trained"},
                               .colour = 0,
                               .points = true};
    dlf_theory_of(&f, 0, 1, "discarded");
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status word_figures(dlf_run *run)
{
    dlf_figure f = {
        .id = "scores",
        .kind = DLF_LINES,
        .title = {"词向量的内积收敛到点互信息减 ln k",
                  "Products of word vectors converge to PMI − ln k"},
        .subtitle =
            {"维数等于词数，每点一对词；虚线为理论，没有拟合参数",
             "as many dimensions as words, one point per pair; theory dashed, nothing fitted"},
        .x = {{"PMI − ln k / nat", "PMI − ln k / nat"}, false},
        .y = {{"学到的内积 / nat", "learned product / nat"}, false}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "scores",
                               .x = "pmi",
                               .y = "score",
                               .label = {"词对", "pairs of words"},
                               .colour = 0,
                               .points = true};
    dlf_theory_of(&f, 0, 1, "pmi");
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &f));
    f = (dlf_figure){
        .id = "alike",
        .kind = DLF_HEATMAP,
        .title = {"邻词相同的词，词向量也相同：四个主题分成四块",
                  "Words with the same neighbours get the same vectors: four topics, four blocks"},
        .subtitle = {"四维词向量之间的余弦，第一个种子，词按主题排列",
                     "cosines between word vectors of four dimensions, first seed, words sorted by "
                     "topic"},
        .x = {{"词", "word"}, false},
        .y = {{"词", "word"}, false},
        .z = {{"余弦", "cosine"}, false}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "alike",
                               .x = "x",
                               .y = "y",
                               .z = "cosine",
                               .label = {"余弦", "cosine"}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_embedding_words(dlf_run *run, double from, double to)
{
    study s;
    dlf_status status;
    DLF_TRY_DONE(study_new(&s, run));
    DLF_TRY_DONE(train_all(&s, run, from, to));
    DLF_TRY_DONE(tables(&s, run));
    DLF_TRY_DONE(checks(&s, run));
    DLF_TRY_DONE(rank_figures(run));
    DLF_TRY_DONE(word_figures(run));
done:
    study_free(&s);
    return status;
}
