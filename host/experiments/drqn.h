/* SPDX-License-Identifier: MIT
 * drqn.h -- the parts of the experiment `drqn` (Q41), its closed forms, and networks that learn
 * action values. */
#ifndef DLF_DRQN_H
#define DLF_DRQN_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_drqn_maze(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_drqn_tiger(dlf_run *run, double from, double to);

/* ---- T-maze (Bakker 2002), the corridor walks by itself --------------------------------------
 *
 * Steps t = 0 .. N; at t < `cues` a sign shows which way is right, each time hidden with
 * probability p; at t = N the agent turns: 4 for the right way, -0.1 for the wrong one, discounted
 * by 0.98^N. */
typedef struct dlf_maze {
    int corridor, cues; /* N >= cues >= 1 */
    double hidden;      /* p */
} dlf_maze;
/* Share of right turns of the best agent that sees the last `frames` steps (N + 1: all of them):
 * 1 - p^c/2, c the steps with a sign among them; and the return of such a share. */
double dlf_maze_success(const dlf_maze *m, int frames);
double dlf_maze_return(const dlf_maze *m, double success);

/* ---- the tiger (Kaelbling, Littman & Cassandra 1998) ------------------------------------------
 *
 * Behind one of two doors. Listening costs 1 and is right with probability 0.85; opening gives 10,
 * or -100 at the tiger, and starts anew. Discount 0.95.
 *
 * tiger_value: the best return, by value iteration over the belief, which is a function of the
 * number of times that one side was heard more often than the other; at least `depth` of them
 * count. tiger_threshold: that of opening once the difference is n, exactly: a random walk. n >= 1.
 * tiger_window: that of the best policy of Q-learning on the last 1 or 2 observations under random
 * behaviour, played out exactly: what it believes is not what happens, as it acts on what it saw.
 */
double dlf_tiger_value(int depth);
double dlf_tiger_threshold(int n);
double dlf_tiger_window(int frames);

/* ---- action values by networks ----------------------------------------------------------------
 */

/* x (P,B,T I) -> "values" (P,B,T O), an Elman network over the T steps (recurrent.h), or the same
 * for every step alone: one hidden layer without memory. The gradient at the values is seeded. */
typedef struct dlf_qnet_spec {
    int members, batch, steps, inputs, outputs, hidden;
    bool recurrent;
    bool random_start; /* of the recurrent weights; else see dlf_qnet_new */
} dlf_qnet_spec;
DLF_MUST_CHECK dlf_status dlf_qnet_network(dlf_graph **out, dlf_device *device,
                                           const dlf_qnet_spec *spec);

/* Two networks, one that learns (Adam) and one that says what the next step is worth and follows
 * every `every` steps (Mnih et al. 2015). The learning rate falls to 0 along half a cosine.
 * Recurrent weights start as the identity, and those of the first input, which is always 1, at 0:
 * what was seen is kept until something is learned, and gradients neither vanish nor explode (Le,
 * Jaitly & Hinton 2015). On the
 * host: x (P,B,T I); value, target, gradient (P,B,T O). */
typedef struct dlf_qnet {
    dlf_qnet_spec spec;
    dlf_graph *online, *frozen;
    dlf_tensor m, v, lr;
    double rate;
    int every, steps, done;
    double *x, *value, *target, *gradient;
} dlf_qnet;
DLF_MUST_CHECK dlf_status dlf_qnet_new(dlf_qnet *q, dlf_device *device, const dlf_qnet_spec *spec,
                                       uint64_t seed, double rate, int every, int steps);
void dlf_qnet_free(dlf_qnet *q); /* zeroed is fine */
/* value of x; with `both` also target. The gradient is set to 0. */
DLF_MUST_CHECK dlf_status dlf_qnet_look(dlf_qnet *q, bool both);
/* A step along the gradient that the caller has filled in. */
DLF_MUST_CHECK dlf_status dlf_qnet_learn(dlf_qnet *q);
/* The action of largest value at row b of member p and step t, and what it is worth: its target,
 * not the largest target, which would be too high on average (van Hasselt, Guez & Silver 2016). */
int dlf_qnet_best(const dlf_qnet *q, int p, int b, int t);
double dlf_qnet_worth(const dlf_qnet *q, int p, int b, int t);
#endif
