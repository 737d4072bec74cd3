/* SPDX-License-Identifier: MIT
 * drqn.c -- Q41: what is DRQN?
 *
 * Claim   Where the agent does not see everything, memory raises the best return by an amount that
 * can be computed; a recurrent network that learns action values (DRQN) reaches it, one that sees
 * the last frames (DQN) only what those frames are worth. Control a sign that is never shown, for
 * which memory is worth nothing; one frame. */
#include "drqn.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("corridor", 8, 8, 3, 60, "steps", "走廊长度", "length of the corridor"),
    DLF_INT_PARAM("longest_corridor", 20, 20, 5, 20, "steps", "走廊长度实验中最长的走廊",
                  "longest corridor of those whose lengths are compared"),
    DLF_INT_PARAM("steps", 500, 1500, 1, 1000000, "steps", "迷宫的训练步数",
                  "training steps of the maze"),
    DLF_INT_PARAM("tiger_steps", 1200, 1500, 1, 1000000, "steps", "老虎问题的训练步数",
                  "training steps of the tiger"),
    DLF_INT_PARAM("games", 400, 1000, 1, 1000000, "games", "评估老虎问题的局数",
                  "games that are played to judge the tiger"),
    {.name = NULL},
};

static dlf_status run_drqn(dlf_run *run)
{
    DLF_TRY(dlf_drqn_maze(run, 0.0, 0.5));
    return dlf_drqn_tiger(run, 0.5, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return dlf_qnet_network(out, device,
                            &(dlf_qnet_spec){.members = 2,
                                             .batch = 3,
                                             .steps = 4,
                                             .inputs = 3,
                                             .outputs = 2,
                                             .hidden = 5,
                                             .recurrent = true});
}

const dlf_experiment dlf_experiment_drqn = {
    .slug = "drqn",
    .questions = "Q41",
    .title = {"什么是深度循环 Q 网络（DRQN）？", "What is a deep recurrent Q-network (DRQN)?"},
    .claim = {"看不全时，记忆让最优回报提高多少可以算出来；DRQN 到达它，DQN 只到达它那几帧的价值",
              "where not everything is seen, what memory adds to the best return can be computed; "
              "DRQN reaches it, DQN only what its frames are worth"},
    .quick_seeds = 5,
    .full_seeds = 10,
    .params = params,
    .network = network,
    .run = run_drqn,
};
