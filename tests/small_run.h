/* SPDX-License-Identifier: MIT
 * small_run.h -- a small run of an experiment on the device under test: every verdict is what it
 * should be. */
#ifndef DLF_SMALL_RUN_H
#define DLF_SMALL_RUN_H
#include "kernel_test.h"

#include "dlf/experiment.h"

typedef struct small_run {
    const char *question, *slug;
    uint64_t seed;
    int seeds;
    dlf_setting set[12];    /* ends with {NULL}                                                */
    const char *refuted[8]; /* checks that must be refuted: sentences that are wrong           */
    const char
        *left_out[8]; /* beginnings of ids that so small a run, or a busy machine, leaves open */
} small_run;

static inline bool small_run_begins(const char *const *list, const char *id, bool whole)
{
    for (; *list; list++)
        if (whole ? strcmp(id, *list) == 0 : strncmp(id, *list, strlen(*list)) == 0) return true;
    return false;
}

static inline void small_run_holds(const small_run *s)
{
    const dlf_experiment *e = dlf_experiment_find(s->question);
    assert_non_null(e);
    assert_string_equal(e->slug, s->slug);
    int n = 0;
    while (s->set[n].name) n++;
    const dlf_run_options options = {.device = kt_dev,
                                     .seed = s->seed,
                                     .seeds = s->seeds,
                                     .set = s->set,
                                     .n_set = n,
                                     .command = "test"};
    dlf_result *r = NULL;
    OK(dlf_experiment_run(&r, e, &options));
    assert_true(dlf_result_checks(r) > 0);
    for (int i = 0; i < dlf_result_checks(r); i++) {
        const dlf_check *c = dlf_result_get_check(r, i);
        if (small_run_begins(s->left_out, c->id, false)) continue;
        const bool wrong = small_run_begins(s->refuted, c->id, true);
        if (c->verdict != (wrong ? DLF_REFUTED : DLF_SUPPORTED))
            fail_msg("%s: %s, %g for %g +- %g", c->id, dlf_verdict_name(c->verdict), c->measured,
                     c->expected, c->tolerance);
    }
    for (const char *const *id = s->refuted; *id; id++)
        assert_non_null(dlf_result_find_check(r, *id));
    dlf_result_free(r);
}
#endif
