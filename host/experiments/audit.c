/* SPDX-License-Identifier: MIT
 * audit.c -- confusion matrix of diagnostic rules over networks whose truth is known. */
#include "audit.h"
#include "figures.h"

#include <math.h>
#include <stdio.h>

static dlf_status add_rows(dlf_run *run, const dlf_audit_rule *rules, int n_rules,
                           const dlf_audit_net *nets, int n_nets)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *table;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "audit",
        (dlf_text){"每条判据在每个网络中触发的比例", "share of runs in which each criterion fires"},
        (const dlf_column[]){{"rule", NULL},
                             {"rule_zh", NULL},
                             {"rule_en", NULL},
                             {"sentence", NULL},
                             {"net", NULL},
                             {"truth", NULL},
                             {"share", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {NULL, NULL}},
        &table));
    for (int r = 0; r < n_rules; r++)
        for (int i = 0; i < n_nets; i++) {
            const double share = dlf_digits_share(nets[i].outcome, seeds, rules[r].fires);
            /* Wilson's interval: sensible at shares of 0 and 1 */
            const double z = 1.96, n = seeds, d = 1 + z * z / n;
            const double mid = (share + z * z / (2 * n)) / d;
            const double half = z / d * sqrt(share * (1 - share) / n + z * z / (4 * n * n));
            DLF_TRY(dlf_table_row(table, DLF_TXT(rules[r].id), DLF_TXT(rules[r].name.zh),
                                  DLF_TXT(rules[r].name.en), DLF_TXT(rules[r].sentence.en),
                                  DLF_TXT(nets[i].id), DLF_TXT(nets[i].sick ? "sick" : "healthy"),
                                  DLF_NUM(share), DLF_NUM(fmax(0.0, mid - half)),
                                  DLF_NUM(fmin(1.0, mid + half))));
        }
    return DLF_OK;
}

static dlf_verdict judge(double caught, double false_alarm, int seeds)
{
    if (seeds < 3) return DLF_UNDECIDED;
    if (caught <= 0.1) return DLF_REFUTED;
    return caught >= 0.9 && false_alarm <= 0.1 ? DLF_SUPPORTED : DLF_DEPENDS;
}

static dlf_status add_check(dlf_run *run, const dlf_audit_rule *rule, const dlf_audit_net *nets,
                            int n_nets)
{
    const int seeds = dlf_run_seeds(run);
    double caught = 0.0, false_alarm = 0.0;
    int sick = 0;
    const char *where = "none";
    for (int i = 0; i < n_nets; i++) {
        const double share = dlf_digits_share(nets[i].outcome, seeds, rule->fires);
        if (nets[i].sick) {
            caught += share;
            sick++;
        } else if (share > false_alarm) {
            false_alarm = share;
            where = nets[i].id;
        }
    }
    caught /= sick;
    char id[64], note[160], fact[64];
    snprintf(id, sizeof id, "audit_%s", rule->id);
    snprintf(fact, sizeof fact, "false_alarm_%s", rule->id);
    snprintf(note, sizeof note, "fires in %.0f %% of sick runs; most false alarms: %.0f %% (%s)",
             100 * caught, 100 * false_alarm, where);
    DLF_TRY(dlf_result_fact(dlf_run_result(run), fact, false_alarm, "1"));
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = id,
                    .claim = rule->sentence,
                    .measured = caught,
                    .lo = NAN,
                    .hi = NAN,
                    .n = seeds,
                    .expected = 1.0,
                    .tolerance = 0.1,
                    .relation = DLF_AT_LEAST,
                    .source = rule->ours ? "rule proposed here; truth by construction of the nets"
                                         : "sentence of the document; truth by construction",
                    .has_verdict = true,
                    .verdict = judge(caught, false_alarm, seeds),
                    .note = note});
}

dlf_status dlf_audit(dlf_run *run, const dlf_audit_rule *rules, int n_rules,
                     const dlf_audit_net *nets, int n_nets, dlf_text title, dlf_text subtitle)
{
    DLF_TRY(add_rows(run, rules, n_rules, nets, n_nets));
    for (int r = 0; r < n_rules; r++) DLF_TRY(add_check(run, &rules[r], nets, n_nets));
    dlf_figure figure = {.id = "audit",
                         .kind = DLF_BARS,
                         .title = title,
                         .subtitle = subtitle,
                         .x = {{"判据", "criterion"}, false},
                         .y = {{"触发的比例", "share of runs in which it fires"}, false}};
    for (int i = 0; i < n_nets; i++)
        figure.series[i] = dlf_arm_series(nets[i].sick ? DLF_MEASURED : DLF_CONTROL, "audit", "net",
                                          nets[i].id, "rule", "share", nets[i].label, i);
    return dlf_result_figure(dlf_run_result(run), &figure);
}
