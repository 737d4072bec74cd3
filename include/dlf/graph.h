/* SPDX-License-Identifier: MIT
 * graph.h -- a computational graph with a population axis: build once, run many, differentiate.
 *
 *   dlf_graph *g;
 *   DLF_TRY(dlf_graph_new(&g, device, P));
 *   dlf_node x = dlf_input(g, "x", 3, (int64_t[]){P, B, 64});
 *   dlf_node t = dlf_input_int(g, "label", 2, (int64_t[]){P, B});
 *   dlf_node h = dlf_dense(g, "hidden", x, 128, dlf_activation_of(DLF_RELU), dlf_he());
 *   dlf_node z = dlf_dense(g, "logits", h, 10, dlf_activation_of(DLF_LINEAR), dlf_lecun());
 *   dlf_graph_minimise(g, dlf_cross_entropy(g, "loss", z, t), 1.0 / B);
 *   DLF_TRY(dlf_graph_compile(g));          // the first error of the lines above, with its node
 *   DLF_TRY(dlf_graph_initialise(g, seed, draw));
 *   DLF_TRY(dlf_graph_forward(g, DLF_TRAINING));
 *   DLF_TRY(dlf_graph_backward(g));
 *
 * A node is a tensor-valued expression; shapes are checked where the node is made. Errors stick:
 * a builder that fails returns an invalid node, builders given an invalid node return another, and
 * compile returns the first failure, e.g.
 *
 *   node 'logits.z' (matmul): x has 64 columns but w has 128 (x (16,32,64), w (16,10,128))
 *
 * Letters: P population   B batch rows   N features. Every shape starts with P, or with 1 for what
 * all members share (inputs and constants only).
 *
 * Derivatives are reverse mode (Linnainmaa 1970; Griewank & Walther 2008, ch. 3): one backward pass
 * gives the gradient of  sum_k scale_k sum(node_k)  over everything passed to dlf_graph_minimise,
 * per member, with respect to every parameter (and every input that asked).
 *
 * Memory is planned by compile: values and gradients live in one block, and share bytes when their
 * lifetimes do not meet. A value that backward needs lives until then; what is watched, read by the
 * user or marked lives for ever. Nothing is allocated by forward and backward. */
#ifndef DLF_GRAPH_H
#define DLF_GRAPH_H
#include <stdio.h>

#include "dlf/backend.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct dlf_graph dlf_graph;
typedef struct dlf_node {
    int id; /* 0 is invalid */
} dlf_node;

/* EVALUATION: dropout passes everything, batch norm uses its running statistics. */
typedef enum dlf_graph_mode { DLF_TRAINING, DLF_EVALUATION } dlf_graph_mode;

DLF_MUST_CHECK dlf_status dlf_graph_new(dlf_graph **out, dlf_device *device, int members);
void dlf_graph_free(dlf_graph *g); /* NULL is fine */
dlf_device *dlf_graph_device(const dlf_graph *g);
int dlf_graph_members(const dlf_graph *g);

/* ---- leaves --------------------------------------------------------------------------------- */

/* How a parameter (P,out,in..) starts. fan_in = product of the axes after the second; a parameter
 * (P,n) has fan_in 1. gain2 is the variance of a unit's input when E x^2 = 1. */
typedef enum dlf_init_kind {
    DLF_INIT_CONSTANT, /* value                                                                   */
    DLF_INIT_NORMAL,   /* N(0, gain2 / fan_in)                                                    */
    DLF_INIT_UNIFORM,  /* U(-a, a) of the same variance: a = sqrt(3 gain2 / fan_in)               */
    DLF_INIT_GLOROT,   /* N(0, gain2 2 / (fan_in + fan_out)), fan_out = axis 1 x receptive field  */
    DLF_INIT_ORTHOGONAL, /* sqrt(gain2) Q, Q^T Q = 1 or Q Q^T = 1 (QR of a normal matrix, signs by
                            R) */
    DLF_INIT_GIVEN /* left for the user to upload                                             */
} dlf_init_kind;

typedef struct dlf_init {
    dlf_init_kind kind;
    double value; /* CONSTANT                                                                */
    double gain2; /* all members                                                             */
    const double *gains; /* (P) per member, instead of gain2; NULL: gain2. Copied. */
    int64_t receptive; /* GLOROT: positions of a kernel whose axes come before the channels, as in
                          NHWC; 0: the product of the axes after the third */
} dlf_init;

dlf_init dlf_init_constant(double value);
dlf_init dlf_init_normal(double sigma2); /* mean field: sigma_w^2 / fan_in; biases: sigma_b^2 */
dlf_init dlf_lecun(void);                /* gain2 = 1  LeCun et al. 1998                */
dlf_init dlf_he(void); /* gain2 = 2  He et al. 2015                                               */
dlf_init dlf_glorot(void);             /* Glorot & Bengio 2010             */
dlf_init dlf_orthogonal(double gain2); /* Saxe et al. 2013 */
/* The init of a name, for --set init=he: constant, lecun, he, glorot, orthogonal. */
DLF_MUST_CHECK dlf_status dlf_init_find(dlf_init *out, const char *name);

/* Fed from outside: dlf_tensor_upload to dlf_graph_value, or train.h. Axis 0 is P or 1. */
dlf_node dlf_input(dlf_graph *g, const char *name, int ndim, const int64_t *shape);
dlf_node dlf_input_int(dlf_graph *g, const char *name, int ndim, const int64_t *shape);
/* Trained. Parameters lie one behind another in each member's row of dlf_graph_parameters. */
dlf_node dlf_parameter(dlf_graph *g, const char *name, int ndim, const int64_t *shape,
                       dlf_init init);
/* (P) reals of the user's: dropout rates, residual scales. Not trained. Copied at compile. */
dlf_node dlf_hyper(dlf_graph *g, const char *name, const double *values);
/* Keep the gradient of this node, an input too; read it with dlf_graph_gradient. */
void dlf_want_gradient(dlf_graph *g, dlf_node x);
/* Keep the value until the next run, whatever the plan says. */
void dlf_want_value(dlf_graph *g, dlf_node x);

/* ---- ops. `name` may be NULL: then the op's name and a number ------------------------------- */

/* op(a) op(b) per member, as dlf_gemm: a (P,M,K), b (P,K,N), transposed where asked; or axis 0 = 1
 */
dlf_node dlf_matmul(dlf_graph *g, const char *name, dlf_node a, bool trans_a, dlf_node b,
                    bool trans_b, double alpha);
dlf_node dlf_bias(dlf_graph *g, const char *name, dlf_node x, dlf_node b); /* (P,B,N) + (P,N)  */
dlf_node dlf_activate(dlf_graph *g, const char *name, dlf_node x, dlf_activation f);
dlf_node dlf_add(dlf_graph *g, const char *name, dlf_node a, dlf_node b);     /* same shape       */
dlf_node dlf_product(dlf_graph *g, const char *name, dlf_node a, dlf_node b); /* elementwise      */
/* alpha s_p x; s a dlf_hyper, or the invalid node (dlf_node){0}: 1 */
dlf_node dlf_scale(dlf_graph *g, const char *name, dlf_node x, dlf_node s, double alpha);
dlf_node dlf_concat(dlf_graph *g, const char *name, dlf_node a, dlf_node b); /* along last axis  */
dlf_node dlf_columns(dlf_graph *g, const char *name, dlf_node x, int64_t first, int64_t count);
dlf_node dlf_view(dlf_graph *g, const char *name, dlf_node x, int ndim, const int64_t *shape);
/* gamma, beta (P,C) parameters, or invalid: 1 and 0; batch norm's running statistics belong to the
 * node (start: mean 0, variance 1). residual: like x, or invalid. */
dlf_node dlf_normalise(dlf_graph *g, const char *name, dlf_node x, dlf_node gamma, dlf_node beta,
                       dlf_node residual, dlf_norm norm);
dlf_node dlf_pooling(dlf_graph *g, const char *name, dlf_node x, dlf_pool pool);
/* x (P,B,C,H,W) or (P,B,H,W,C), or (1,..); w (P,K,C/G,R,S) or (P,K,R,S,C/G), b (P,K): conv.h */
dlf_node dlf_convolve(dlf_graph *g, const char *name, dlf_node x, dlf_node w, dlf_conv conv);
dlf_node dlf_convolve_bias(dlf_graph *g, const char *name, dlf_node x, dlf_node w, dlf_node b,
                           dlf_conv conv);
dlf_node dlf_embed(dlf_graph *g, const char *name, dlf_node table, dlf_node index); /* (P,B,N) */
/* rate a dlf_hyper; a new mask every training step (dlf_graph_clock), member by draw[p]. */
dlf_node dlf_drop(dlf_graph *g, const char *name, dlf_node x, dlf_node rate, bool rescale);

/* Row losses (P,B): for dlf_graph_minimise and for reading; no op may follow. */
dlf_node dlf_cross_entropy(dlf_graph *g, const char *name, dlf_node logits, dlf_node labels);
dlf_node dlf_row_loss(dlf_graph *g, const char *name, dlf_node x, dlf_node target, dlf_loss loss);

/* Composites: what most networks are made of. Parameters are called name.w, name.b, name.gamma, ..
 */
dlf_node dlf_dense(dlf_graph *g, const char *name, dlf_node x, int64_t units, dlf_activation f,
                   dlf_init init); /* f(x w^T + b), w (P,units,K), b (P,units) starts at 0 */
dlf_node dlf_dense_init(dlf_graph *g, const char *name, dlf_node x, int64_t units, dlf_activation f,
                        dlf_init w, const dlf_init *b); /* b NULL: no bias */
/* f(conv(x, w) + b), w with `channels` outputs, b (P,channels) starts at 0; and with any start */
dlf_node dlf_conv_layer(dlf_graph *g, const char *name, dlf_node x, int64_t channels, dlf_conv conv,
                        dlf_activation f, dlf_init init);
dlf_node dlf_conv_layer_init(dlf_graph *g, const char *name, dlf_node x, int64_t channels,
                             dlf_conv conv, dlf_activation f, dlf_init w,
                             const dlf_init *b); /* b NULL: no bias, e.g. before batch norm */
dlf_node dlf_norm_layer(dlf_graph *g, const char *name, dlf_node x,
                        dlf_norm norm); /* own gamma, beta */

/* ---- what is differentiated ----------------------------------------------------------------- */

/* Add scale sum(rows of loss) to every member's objective. */
void dlf_graph_minimise(dlf_graph *g, dlf_node loss, double scale);
/* The gradient at x starts from dlf_graph_seed_gradient(x), which the user fills and backward
 * leaves alone, and is joined by what comes from the objective: vector-Jacobian products of
 * anything. */
void dlf_graph_seed(dlf_graph *g, dlf_node x);

/* ---- run ------------------------------------------------------------------------------------ */

/* Plan and allocate. Returns the first error of the builders. */
DLF_MUST_CHECK dlf_status dlf_graph_compile(dlf_graph *g);
/* Draw every parameter: normals and uniforms of (seed, parameter, draw[p]). Members with equal draw
 * and equal gains start equal. draw NULL: 0..P-1. Also resets running statistics and the clock. */
DLF_MUST_CHECK dlf_status dlf_graph_initialise(dlf_graph *g, uint64_t seed, const int32_t *draw);
DLF_MUST_CHECK dlf_status dlf_graph_forward(dlf_graph *g, dlf_graph_mode mode);
/* After a forward in training mode. Overwrites all gradients. */
DLF_MUST_CHECK dlf_status dlf_graph_backward(dlf_graph *g);

/* A row of a dlf_hyper again, at any time. */
DLF_MUST_CHECK dlf_status dlf_graph_set_hyper(dlf_graph *g, dlf_node hyper, const double *values);

/* Tensors of the graph (views; valid while it lives). value: parameters, inputs, hypers, losses,
 * watched and wanted nodes; NULL for others. gradient: parameters and nodes that wanted one. */
dlf_tensor *dlf_graph_value(dlf_graph *g, dlf_node x);
dlf_tensor *dlf_graph_gradient(dlf_graph *g, dlf_node x);
dlf_tensor *dlf_graph_seed_gradient(dlf_graph *g, dlf_node x); /* NULL if not seeded */
dlf_tensor *dlf_graph_parameters(dlf_graph *g); /* (P,n), all parameters of a member in one row */
dlf_tensor *dlf_graph_gradients(dlf_graph *g);  /* (P,n)  */
dlf_tensor *dlf_graph_clock(dlf_graph *g); /* (1) int32: the step, counted by train.h           */

/* ---- looking -------------------------------------------------------------------------------- */

typedef struct dlf_node_info {
    const char *name, *op;
    bool parameter, has_running; /* has_running: batch norm */
    dlf_activation activation;   /* of an activation node   */
    int ndim;
    int64_t shape[DLF_MAX_DIMS];
    int inputs;
    dlf_node input[4];
    double flops, bytes; /* of its forward, all members: multiply and add count 2; ideal traffic */
} dlf_node_info;

int dlf_graph_nodes(const dlf_graph *g); /* ids are 1..nodes */
dlf_node_info dlf_graph_node(const dlf_graph *g, dlf_node x);
dlf_node dlf_graph_find(const dlf_graph *g, const char *name); /* invalid if there is none */
/* Running statistics of a batch norm node; NULL for others. */
dlf_tensor *dlf_graph_running_mean(dlf_graph *g, dlf_node x);
dlf_tensor *dlf_graph_running_var(dlf_graph *g, dlf_node x);

typedef struct dlf_graph_memory {
    int64_t parameters; /* bytes of parameters and their gradients, running statistics, hypers */
    int64_t inputs; /*                                                                            */
    int64_t planned;     /* bytes of the block of values and gradients     */
    int64_t lower_bound; /* the most that is alive at any one step: no plan needs less */
    int64_t unshared;    /* the sum: what it would be if nothing were reused    */
    int peak_step; /* where lower_bound is reached: step 0.. of forward, then backward           */
} dlf_graph_memory;
dlf_graph_memory dlf_graph_memory_of(const dlf_graph *g);

/* Forward and backward operation counts of one run, from the shapes (multiply-adds of matmul and
 * convolution alone in macs, which is what the exact counts of textbooks count). */
typedef struct dlf_graph_cost {
    int64_t forward_macs, backward_macs; /* all members */
    double forward_flops;
    int forward_calls, backward_calls; /* ops launched */
} dlf_graph_cost;
dlf_graph_cost dlf_graph_cost_of(const dlf_graph *g);

/* Numbers that a member learns; dlf_graph_parameters has more columns, as it pads them. */
int64_t dlf_graph_parameter_count(const dlf_graph *g);

/* A table of nodes, then memory and cost; or DOT (Graphviz). Needs compile. */
DLF_MUST_CHECK dlf_status dlf_graph_print(const dlf_graph *g, FILE *out);
DLF_MUST_CHECK dlf_status dlf_graph_print_dot(const dlf_graph *g, FILE *out);

/* ---- observers: what a layer does; nothing is paid unless one is called -------------------------
 */

/* Of one node and one member, from the last forward (and backward). */
typedef struct dlf_observation {
    double mean, var, rms; /* of the value                                                      */
    double max_abs;        /*                                                                   */
    double nonfinite;      /* share of values that are NaN or Inf                               */
    double dead;           /* share of units that are 0 in every row and at every position: the
                              channels of what a convolution, pooling or norm made, also behind
                              ops on single elements (activations, sums, ..); else the last axis */
    double saturated;      /* activations: share of values where |f'| < max |f'| / 20;
                              NaN for unbounded f (linear, relu, ..)                            */
    double gradient_rms;   /* NaN unless the gradient was wanted                                */
} dlf_observation;
/* out[p]; the value of x must be kept (dlf_want_value), and its gradient for gradient_rms. */
DLF_MUST_CHECK dlf_status dlf_graph_observe(dlf_graph *g, dlf_node x, dlf_observation *out);

/* ---- gradient check ---------------------------------------------------------------------------
 */

typedef struct dlf_gradient_check {
    double worst;   /* largest |analytic - numeric| / max(|analytic|, |numeric|, floor)          */
    char where[64]; /* the parameter it was found in                                             */
    int directions; /* how many derivatives were compared                                        */
} dlf_gradient_check;

/* Four-point central differences of the objective along `directions` random unit directions of
 * every parameter (and wanted input) against backward, signed and relative, with steps h, h/10,
 * h/100 and h/1000 in units of the parameter's length; the step that agrees best counts. Made for
 * device `ref` (double). floor: 1e-6 of the largest derivative. The clock and running statistics do
 * not move. */
DLF_MUST_CHECK dlf_status dlf_graph_check_gradients(dlf_graph *g, int directions, double h,
                                                    dlf_gradient_check *out);
/* scale_k sum(loss_k) of each member after a forward. */
DLF_MUST_CHECK dlf_status dlf_graph_objective(dlf_graph *g, double *out);

#ifdef __cplusplus
}
#endif
#endif
