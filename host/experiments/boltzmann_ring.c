/* SPDX-License-Identifier: MIT
 * boltzmann_ring.c -- Q29: the smallest Boltzmann machine with a closed form, a ring of spins, by
 * enumeration and by Gibbs sampling. Controls: no coupling; so cold that sampling is stuck. */
#include <math.h>
#include <stdlib.h>

#include "boltzmann.h"
#include "dlf/rng.h"
#include "figures.h"
#include "seed_check.h"

enum { N = 12, MOST = N / 2, WARM = 0, FREE, COLD, ARMS, FAR = 3 };
static const double coupling[ARMS] = {0.7, 0.0, 4.0};
static const char *const arm_ids[ARMS] = {"warm", "free", "cold"};

/* Sums over all 2^N states: log Z and <s_0 s_r>. */
static double enumerate(double k, double correlation[MOST + 1])
{
    double z = 0.0;
    for (int r = 0; r <= MOST; r++) correlation[r] = 0.0;
    for (int state = 0; state < 1 << N; state++) {
        int agree = 0;
        for (int i = 0; i < N; i++)
            agree += (state >> i & 1) == (state >> ((i + 1) % N) & 1) ? 1 : -1;
        const double weight = exp(k * agree);
        z += weight;
        for (int r = 0; r <= MOST; r++)
            correlation[r] += ((state & 1) == (state >> r & 1) ? 1 : -1) * weight;
    }
    for (int r = 0; r <= MOST; r++) correlation[r] /= z;
    return log(z);
}

/* Gibbs sampling from all spins up; correlations over the whole ring, and the mean spin. */
static void sample(uint64_t seed, uint32_t member, double k, int sweeps,
                   double correlation[MOST + 1], double *mean)
{
    int spin[N];
    for (int i = 0; i < N; i++) spin[i] = 1;
    for (int r = 0; r <= MOST; r++) correlation[r] = 0.0;
    *mean = 0.0;
    dlf_rbm_dice dice = {
        .seed = seed, .stream = dlf_stream(DLF_PURPOSE_INPUT, 90), .member = member};
    for (int sweep = 0; sweep < sweeps; sweep++) {
        for (int i = 0; i < N; i++) {
            const int field = spin[(i + 1) % N] + spin[(i + N - 1) % N];
            spin[i] = dlf_rbm_toss(&dice) < 1.0 / (1.0 + exp(-2.0 * k * field)) ? 1 : -1;
        }
        for (int i = 0; i < N; i++) {
            *mean += (double)spin[i] / N / sweeps;
            for (int r = 0; r <= MOST; r++)
                correlation[r] += (double)(spin[i] * spin[(i + r) % N]) / N / sweeps;
        }
    }
}

typedef struct outcome {
    int seeds;
    double *correlation; /* (ARMS, MOST+1, seeds) */
    double *mean;        /* (ARMS, seeds)         */
} outcome;

static double *cell(const outcome *o, int arm, int r)
{
    return o->correlation + (arm * (MOST + 1) + r) * o->seeds;
}

static dlf_status checks(const outcome *o, dlf_run *run)
{
    double exact[MOST + 1], worst;
    const double log_z = enumerate(coupling[WARM], exact);
    worst = fabs(log_z / dlf_ising_log_z(N, coupling[WARM]) - 1.0);
    for (int r = 0; r <= MOST; r++)
        worst = fmax(worst, fabs(exact[r] - dlf_ising_correlation(N, coupling[WARM], r)));
    dlf_check c =
        dlf_check_exact("ring_exact",
                        (dlf_text){"12 个自旋的环：配分函数与相关，枚举与闭式解之差",
                                   "ring of 12 spins: partition function and correlations, "
                                   "enumeration less closed form"},
                        worst);
    c.tolerance = 1e-12;
    c.self_check = true;
    c.source = "closed form: Z = (2 cosh K)^N (1 + tanh^N K); transfer matrix (Ising 1925)";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    DLF_TRY(dlf_add_law(run, "ring_gibbs",
                        (dlf_text){"Gibbs 采样：相距三格的自旋的相关",
                                   "Gibbs sampling: correlation of spins three apart"},
                        dlf_estimate_of(cell(o, WARM, FAR), o->seeds, 1),
                        dlf_ising_correlation(N, coupling[WARM], FAR), 0.02,
                        "closed form: (t^r + t^(N-r)) / (1 + t^N); 4 standard errors or 2 %"));
    DLF_TRY(
        dlf_add_within(run, "ring_free",
                       (dlf_text){"对照，没有耦合：同样的相关", "control, no coupling: the same"},
                       dlf_estimate_of(cell(o, FREE, FAR), o->seeds, 1), 0.02,
                       "independent spins: 0; an equivalence test"));
    return dlf_add_within(
        run, "ring_cold",
        (dlf_text){"“Gibbs 采样总能到达模型的分布”：低温下平均自旋为零",
                   "\"Gibbs sampling always reaches the law\": when cold the mean "
                   "spin is 0"},
        dlf_estimate_of(o->mean + COLD * o->seeds, o->seeds, 1), 0.1,
        "the sentence; the law is symmetric, but a flip takes e^(4K) tries");
}

static dlf_status table_and_figure(const outcome *o, dlf_run *run)
{
    static const dlf_text names[] = {{"Gibbs 采样", "Gibbs sampling"},
                                     {"对照：没有耦合", "control: no coupling"}};
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "ring",
                             (dlf_text){"环上自旋的相关", "correlation on the ring"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"distance", "1"},
                                                  {"correlation", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {NULL, NULL}},
                             &t));
    dlf_figure f = {
        .id = "ring",
        .kind = DLF_LINES,
        .title = {"Gibbs 采样到达玻尔兹曼分布：相关与闭式解重合",
                  "Gibbs sampling reaches the Boltzmann law: correlations as in closed form"},
        .subtitle = {"12 个自旋的环，βJ = 0.7；虚线为闭式解，没有拟合参数",
                     "ring of 12 spins, βJ = 0.7; closed form dashed, nothing fitted"},
        .x = {{"距离", "distance"}, false},
        .y = {{"相关 ⟨s₀ sᵣ⟩", "correlation ⟨s₀ sᵣ⟩"}, false}};
    for (int arm = 0; arm < COLD; arm++) {
        for (int r = 1; r <= MOST; r++) {
            const dlf_estimate e = dlf_estimate_of(cell(o, arm, r), o->seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(arm_ids[arm]), DLF_NUM(r), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi),
                                  DLF_NUM(dlf_ising_correlation(N, coupling[arm], r))));
        }
        f.series[2 * arm] =
            dlf_arm_series(arm == FREE ? DLF_CONTROL : DLF_MEASURED, "ring", "arm", arm_ids[arm],
                           "distance", "correlation", names[arm], arm);
        f.series[2 * arm].points = true;
        dlf_theory_of(&f, 2 * arm, 2 * arm + 1, "theory");
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_boltzmann_ring(dlf_run *run, double from, double to)
{
    outcome o = {.seeds = dlf_run_seeds(run)};
    const size_t S = (size_t)o.seeds;
    o.correlation = malloc((ARMS * (MOST + 1) + ARMS) * S * sizeof *o.correlation);
    if (!o.correlation) return dlf_fail(DLF_ERR_OOM, "boltzmann: out of memory");
    o.mean = o.correlation + ARMS * (MOST + 1) * S;
    dlf_status status;
    for (int s = 0; s < o.seeds; s++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * s / o.seeds, "ring of spins"));
        for (int arm = 0; arm < ARMS; arm++) {
            double correlation[MOST + 1];
            sample(dlf_run_seed(run), (uint32_t)(s * ARMS + arm), coupling[arm],
                   dlf_run_int(run, "sweeps"), correlation, o.mean + arm * o.seeds + s);
            for (int r = 0; r <= MOST; r++) cell(&o, arm, r)[s] = correlation[r];
        }
    }
    DLF_TRY_DONE(checks(&o, run));
    status = table_and_figure(&o, run);
done:
    free(o.correlation);
    return status;
}
