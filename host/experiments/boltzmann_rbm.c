/* SPDX-License-Identifier: MIT
 * boltzmann_rbm.c -- the restricted Boltzmann machine of `boltzmann`, small enough to enumerate,
 * and the Ising ring's closed forms. */
#include <math.h>
#include <string.h>

#include "boltzmann.h"
#include "dlf/rng.h"

enum { V = DLF_RBM_V, H = DLF_RBM_H, STATES = DLF_RBM_STATES, HIDDEN = 1 << DLF_RBM_H };

double dlf_ising_log_z(int n, double coupling)
{
    return n * log(2.0 * cosh(coupling)) + log1p(pow(tanh(coupling), n));
}

double dlf_ising_correlation(int n, double coupling, int r)
{
    const double t = tanh(coupling);
    return (pow(t, r) + pow(t, n - r)) / (1.0 + pow(t, n));
}

void dlf_rbm_patterns(int32_t pattern[DLF_RBM_PATTERNS])
{
    bool is[STATES] = {false};
    int count = 0;
    for (int bits = 0; bits < 8; bits++) {
        int rows = 0, columns = 0;
        for (int i = 0; i < V; i++) {
            rows |= (bits >> (i / 3) & 1) << i;
            columns |= (bits >> (i % 3) & 1) << i;
        }
        is[rows] = is[columns] = true;
    }
    for (int s = 0; s < STATES; s++)
        if (is[s]) pattern[count++] = s;
}

static double softplus(double x)
{
    return fmax(x, 0.0) + log1p(exp(-fabs(x)));
}

/* c_j + W_j v */
static double input_of(const dlf_rbm *m, int j, int v)
{
    double z = m->c[j];
    for (int i = 0; i < V; i++)
        if (v >> i & 1) z += m->w[j][i];
    return z;
}

double dlf_rbm_score(const dlf_rbm *m, int state)
{
    double score = 0.0;
    for (int i = 0; i < V; i++)
        if (state >> i & 1) score += m->b[i];
    for (int j = 0; j < H; j++) score += softplus(input_of(m, j, state));
    return score;
}

void dlf_rbm_law(const dlf_rbm *m, double p[DLF_RBM_STATES])
{
    double most = -INFINITY, sum = 0.0;
    for (int s = 0; s < STATES; s++) most = fmax(most, p[s] = dlf_rbm_score(m, s));
    for (int s = 0; s < STATES; s++) sum += p[s] = exp(p[s] - most);
    for (int s = 0; s < STATES; s++) p[s] /= sum;
}

double dlf_rbm_log_z(const dlf_rbm *m)
{
    double score[STATES], most = -INFINITY, sum = 0.0;
    for (int s = 0; s < STATES; s++) most = fmax(most, score[s] = dlf_rbm_score(m, s));
    for (int s = 0; s < STATES; s++) sum += exp(score[s] - most);
    return most + log(sum);
}

double dlf_rbm_loss(const dlf_rbm *m)
{
    int32_t pattern[DLF_RBM_PATTERNS];
    double loss = dlf_rbm_log_z(m);
    dlf_rbm_patterns(pattern);
    for (int k = 0; k < DLF_RBM_PATTERNS; k++)
        loss -= dlf_rbm_score(m, pattern[k]) / DLF_RBM_PATTERNS;
    return loss;
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

void dlf_rbm_moments(const dlf_rbm *m, const double p[DLF_RBM_STATES], dlf_rbm *out)
{
    memset(out, 0, sizeof *out);
    for (int s = 0; s < STATES; s++) {
        if (p[s] == 0.0) continue;
        for (int i = 0; i < V; i++) out->b[i] += (s >> i & 1) * p[s];
        for (int j = 0; j < H; j++) {
            const double h = p[s] * sigmoid(input_of(m, j, s));
            out->c[j] += h;
            for (int i = 0; i < V; i++) out->w[j][i] += (s >> i & 1) * h;
        }
    }
}

float dlf_rbm_toss(dlf_rbm_dice *dice)
{
    if (dice->at % 4 == 0) {
        const dlf_philox_block block =
            dlf_rng_block(dice->seed, dice->stream, dice->member, dice->at / 4);
        for (int k = 0; k < 4; k++) dice->u[k] = dlf_uniform_of_bits(block.v[k]);
    }
    return dice->u[dice->at++ % 4];
}

int dlf_rbm_sample_hidden(const dlf_rbm *m, int v, double beta, dlf_rbm_dice *dice)
{
    int h = 0;
    for (int j = 0; j < H; j++) h |= (dlf_rbm_toss(dice) < sigmoid(beta * input_of(m, j, v))) << j;
    return h;
}

int dlf_rbm_sample_visible(const dlf_rbm *m, int h, double beta, dlf_rbm_dice *dice)
{
    int v = 0;
    for (int i = 0; i < V; i++) {
        double z = 0.0;
        for (int j = 0; j < H; j++)
            if (h >> j & 1) z += m->w[j][i];
        v |= (dlf_rbm_toss(dice) < sigmoid(m->b[i] + beta * z)) << i;
    }
    return v;
}

/* out[bits] = product over k of on[k] or 1 - on[k]: 2^n numbers, doubling. */
static void product_law(double *out, const double *on, int n)
{
    out[0] = 1.0;
    for (int k = 0; k < n; k++)
        for (int bits = 0; bits < 1 << k; bits++) {
            out[bits | 1 << k] = out[bits] * on[k];
            out[bits] *= 1.0 - on[k];
        }
}

static void hidden_law(const dlf_rbm *m, int v, double *out)
{
    double on[H];
    for (int j = 0; j < H; j++) on[j] = sigmoid(input_of(m, j, v));
    product_law(out, on, H);
}

static void visible_law(const dlf_rbm *m, int h, double *out)
{
    double on[V];
    for (int i = 0; i < V; i++) {
        double z = m->b[i];
        for (int j = 0; j < H; j++)
            if (h >> j & 1) z += m->w[j][i];
        on[i] = sigmoid(z);
    }
    product_law(out, on, V);
}

void dlf_rbm_tables(const dlf_rbm *m, double *to_hidden, double *to_visible)
{
    for (int v = 0; v < STATES; v++) hidden_law(m, v, to_hidden + (long)v * HIDDEN);
    for (int h = 0; h < HIDDEN; h++) visible_law(m, h, to_visible + (long)h * STATES);
}

void dlf_rbm_round(const dlf_rbm *m, double p[DLF_RBM_STATES])
{
    double q[HIDDEN] = {0.0}, row[STATES > HIDDEN ? STATES : HIDDEN];
    for (int v = 0; v < STATES; v++) {
        if (p[v] == 0.0) continue;
        hidden_law(m, v, row);
        for (int h = 0; h < HIDDEN; h++) q[h] += p[v] * row[h];
    }
    memset(p, 0, STATES * sizeof *p);
    for (int h = 0; h < HIDDEN; h++) {
        visible_law(m, h, row);
        for (int v = 0; v < STATES; v++) p[v] += q[h] * row[v];
    }
}

static void times(const double *x, const double *table, int rows, int columns, double *y)
{
    for (int j = 0; j < columns; j++) y[j] = 0.0;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) y[j] += x[i] * table[(long)i * columns + j];
}

void dlf_rbm_step(const double *to_hidden, const double *to_visible, double p[DLF_RBM_STATES])
{
    double q[HIDDEN];
    times(p, to_hidden, STATES, HIDDEN, q);
    times(q, to_visible, HIDDEN, STATES, p);
}

dlf_status dlf_boltzmann_net(dlf_graph **out, dlf_device *device, int members, int states,
                             int inputs, int hidden, int patterns, double variance)
{
    DLF_TRY(dlf_graph_new(out, device, members));
    dlf_graph *g = *out;
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){1, states, inputs});
    const dlf_node ones = dlf_input(g, "ones", 3, (int64_t[]){1, patterns, 1});
    const dlf_node label = dlf_input_int(g, "label", 2, (int64_t[]){1, patterns});
    const dlf_node b =
        dlf_parameter(g, "b", 3, (int64_t[]){members, inputs, 1}, dlf_init_constant(0.0));
    dlf_node score = dlf_matmul(g, "b.x", x, false, b, false, 1.0);
    if (hidden > 0) {
        const dlf_node sum = dlf_input(g, "sum", 3, (int64_t[]){1, hidden, 1});
        const dlf_node h = dlf_dense(g, "h", x, hidden, dlf_activation_of(DLF_SOFTPLUS),
                                     dlf_init_normal(variance));
        score = dlf_add(g, "score", score, dlf_matmul(g, "h.sum", h, false, sum, false, 1.0));
    }
    score = dlf_view(g, "scores", score, 3, (int64_t[]){members, 1, states});
    score = dlf_matmul(g, "logits", ones, false, score, false, 1.0);
    dlf_graph_minimise(g, dlf_cross_entropy(g, "loss", score, label), 1.0 / patterns);
    const dlf_status status = dlf_graph_compile(g);
    if (status == DLF_OK) return DLF_OK;
    dlf_graph_free(g);
    *out = NULL;
    return status;
}
