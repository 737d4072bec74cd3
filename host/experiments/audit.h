/* SPDX-License-Identifier: MIT
 * audit.h -- put the document's own sentences to the test: does "symptom X tells you the gradient
 * vanishes" fire where it should, and stay silent where it should? */
#ifndef DLF_AUDIT_H
#define DLF_AUDIT_H
#include "digits_nets.h"

typedef struct dlf_audit_rule {
    const char *id;    /* check id: audit_<id>                                              */
    dlf_text name;     /* two or three words, under the bars                                */
    dlf_text sentence; /* the criterion, as the document states it                          */
    bool (*fires)(const dlf_digits_outcome *o);
    bool ours; /* not from the document: the rule proposed instead                          */
} dlf_audit_rule;

typedef struct dlf_audit_net {
    const char *id;
    dlf_text label;
    bool sick; /* ground truth, from how the network was built                              */
    const dlf_digits_outcome *outcome; /* one per seed                                      */
} dlf_audit_net;

/* Adds table `audit` (rule, net, truth, share of seeds in which the rule fires), figure `audit`,
 * and one check per rule: measured = share of sick runs in which it fires; supported  fires in >=
 * 90 % of sick and <= 10 % of the other runs of every network refuted    fires in <= 10 % of the
 * sick runs depends    else; the note says where it fired wrongly undecided  fewer than 3 seeds */
DLF_MUST_CHECK dlf_status dlf_audit(dlf_run *run, const dlf_audit_rule *rules, int n_rules,
                                    const dlf_audit_net *nets, int n_nets, dlf_text title,
                                    dlf_text subtitle);

#endif
