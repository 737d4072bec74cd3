/* SPDX-License-Identifier: MIT
 * graph_internal.h -- what a node, an op and a compiled graph are made of.
 *
 * Adding an op = one `dlf_graph_op` (shape rule, forward, backward, what backward reads) in a file
 * of ops_*.c, its builder in graph.h, and a line in tests/test_graph.c's table. */
#ifndef DLF_GRAPH_INTERNAL_H
#define DLF_GRAPH_INTERNAL_H
#include "dlf/graph.h"

enum { GRAPH_INPUTS = 4, GRAPH_NAME = 48, GRAPH_MESSAGE = 512 };

typedef union graph_attributes {
    struct {
        bool trans_a, trans_b;
        double alpha;
    } matmul;
    dlf_activation activation;
    double alpha;
    struct {
        int64_t first, count;
    } columns;
    dlf_norm norm;
    dlf_pool pool;
    dlf_conv conv;
    dlf_loss loss;
    bool rescale;
    struct {
        int ndim;
        int64_t shape[DLF_MAX_DIMS];
    } view;
} graph_attributes;

typedef struct graph_node graph_node;

/* Gradients that one call of an op's backward is to write. */
typedef struct graph_backward {
    const dlf_tensor *dy;         /* NULL for losses                                             */
    dlf_tensor *dx[GRAPH_INPUTS]; /* NULL: not wanted; may be dy's memory if the op says so      */
    double beta[GRAPH_INPUTS];    /* dx = gradient + beta dx; 1 only where the op accumulates    */
} graph_backward;

enum { SAVES_OUTPUT = 1 << GRAPH_INPUTS }; /* beside bit i for input i */

typedef struct dlf_graph_op {
    const char *name;
    /* Set n->ndim and n->shape from inputs and attributes, or refuse with graph_refuse. */
    dlf_status (*shape)(dlf_graph *g, graph_node *n);
    /* Memory of the op's own (statistics), after shape; may be NULL. */
    dlf_status (*allocate)(dlf_graph *g, graph_node *n);
    /* A hyper among the inputs has new values; may be NULL. */
    dlf_status (*hyper_changed)(dlf_graph *g, graph_node *n);
    dlf_status (*forward)(dlf_graph *g, graph_node *n, dlf_graph_mode mode);
    /* Write call->dx in ascending order of inputs: two of them may be the same node. */
    dlf_status (*backward)(dlf_graph *g, graph_node *n, const graph_backward *call);
    /* Values that backward reads: bits of inputs, SAVES_OUTPUT. NULL: none. */
    unsigned (*saves)(const dlf_graph *g, const graph_node *n);
    unsigned accumulates; /* bit i: backward honours beta[i]                                      */
    unsigned value_alias; /* bit i: y may take x_i's memory if x_i dies here                      */
    unsigned gradient_alias; /* bit i: dx_i may be dy's memory */
    unsigned always_writes;  /* bit i: backward needs dx_i's memory even where nobody wants it  */
    unsigned constant; /* bit i: input i must not depend on anything that is differentiated     */
    bool shares;       /* y is x_0's memory, always: a view                                    */
    bool is_loss;      /* backward needs no dy                                                 */
    double (*flops)(const dlf_graph *g,
                    const graph_node *n); /* forward; NULL: one per element of y */
} dlf_graph_op;

struct graph_node {
    const dlf_graph_op *op; /* NULL: a leaf */
    const char *kind; /* "input", "parameter", "hyper", or op->name                          */
    char name[GRAPH_NAME];
    int inputs, input[GRAPH_INPUTS]; /* 0: an optional input that was not given */
    graph_attributes attr;
    dlf_dtype dtype;
    int ndim;
    int64_t shape[DLF_MAX_DIMS];

    bool parameter, hyper, external; /* external: a leaf the user fills */
    int64_t offset; /* parameter: of its first element in a member's row           */
    dlf_init init;
    double *given; /* hyper: values until compile; init.gains of a parameter: owned copy */

    bool want_value, want_gradient, seeded, minimised;
    double scale; /* of a minimised loss                                                       */
    bool has_gradient; /* depends on something whose gradient is wanted */
    bool active; /* and the objective depends on it: has a backward step                       */

    int forward_step, backward_step; /* -1: none */
    int value_store, gradient_store; /* into graph->store; -1: memory of its own */
    dlf_tensor value, gradient, seed;
    graph_backward call; /* resolved by compile                                           */
    dlf_tensor
        target[GRAPH_INPUTS]; /* what call.dx points to: gradient, view of it, or temporary   */
    dlf_tensor temp[GRAPH_INPUTS]; /* where the op cannot accumulate: its result before the sum */
    int temp_store[GRAPH_INPUTS];

    dlf_tensor mean, rstd, running_mean, running_var; /* normalise */
    dlf_tensor hit;  /* cross_entropy                              */
    dlf_tensor keep; /* drop: 1 - rate                             */
};

/* A piece of every member's row of the planned block, alive from step first to step last (both
 * included). */
typedef struct graph_store {
    int64_t elements, at; /* of the device's real type */
    int first, last;
    int merged; /* this store became part of that one; -1: it is its own */
} graph_store;

typedef struct graph_lane graph_lane;

struct dlf_graph {
    dlf_device *device;
    int members;
    dlf_status failed;
    char message[GRAPH_MESSAGE];
    graph_node *node; /* 1..nodes */
    int nodes, room;
    bool compiled;

    int forward_steps, backward_steps;
    graph_store *store;
    int stores, stores_room;
    dlf_graph_memory memory;

    int64_t parameter_elements; /* of one member, padding included */
    dlf_tensor parameters, gradients;
    dlf_tensor block; /* (P,row): values and gradients, as planned; a row per member */
    int64_t row;
    dlf_tensor clock, draw;
    uint64_t seed;     /* of dropout's masks */
    graph_lane *lane;  /* lanes.c; none on devices whose work is queued */
    int lanes, tile;   /* tile: members at a time */
    bool keep_running; /* a gradient check must not move running statistics */
};

/* ---- graph.c ---- */
graph_node *graph_at(dlf_graph *g, dlf_node x);
const graph_node *graph_input(const dlf_graph *g, const graph_node *n, int i); /* NULL: not given */
graph_node *graph_input_of(dlf_graph *g, graph_node *n, int i);
/* The node of an op. inputs ends at `count`; an invalid optional node stands for "not given". */
dlf_node graph_add(dlf_graph *g, const dlf_graph_op *op, const char *name, graph_attributes attr,
                   int count, const dlf_node *inputs, unsigned optional);
/* Record "node 'h' (matmul): ..., (shapes of the inputs)" as DLF_ERR_SHAPE and return it. */
dlf_status graph_refuse(dlf_graph *g, const graph_node *n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
dlf_status graph_fail(dlf_graph *g, dlf_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int64_t graph_elements(const graph_node *n);
/* "(16,32,64)" */
const char *graph_shape_text(const graph_node *n, char *text, size_t size);

/* ---- shapes.c: rules that several ops share ---- */
dlf_status graph_same_as(dlf_graph *g, graph_node *n, int input); /* y is shaped like that input */
dlf_status graph_expect_axes(dlf_graph *g, const graph_node *n, int input, int ndim);
bool graph_same_shape(const graph_node *a, const graph_node *b);

/* ---- ops_*.c: those whose attributes say where the channels are ---- */
extern const dlf_graph_op graph_op_conv, graph_op_pool, graph_op_norm;

/* ---- plan.c ---- */
/* Who needs gradients, lifetimes, offsets: fills store, memory and the *_store of all nodes. */
dlf_status graph_plan(dlf_graph *g);
int graph_store_of(const dlf_graph *g, int store); /* following merges */
unsigned graph_saves(const dlf_graph *g, const graph_node *n);

/* ---- run.c ---- */
dlf_status graph_run_forward(dlf_graph *lane,
                             dlf_graph_mode mode); /* of the members that `lane` has */
dlf_status graph_run_backward(dlf_graph *lane);

/* ---- lanes.c ---- */
dlf_status graph_make_lanes(dlf_graph *g);
void graph_free_lanes(dlf_graph *g);
/* Run `body` for all members: once with the graph itself, or in pieces first..first+count-1 on
 * several threads, each with a lane that stands for the graph with those members only. */
typedef dlf_status (*graph_body)(dlf_graph *lane, int first, int count, void *user);
dlf_status graph_for_members(dlf_graph *g, graph_body body, void *user);
/* A tensor (P,...) of the caller's for use beside a lane; one that all members share must not be.
 */
dlf_tensor graph_part(const dlf_graph *lane, const dlf_tensor *t, int first, int count);

#endif
